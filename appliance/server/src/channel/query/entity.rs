//! What each entity is made of.

use storebox_proto::query::Entity;

/// Where the rows of an entity come from.
pub(super) struct Sources {
    /// The model of head office.
    pub(super) central: Option<&'static str>,
    /// What is created in the shop.
    pub(super) local: Option<&'static str>,
    /// Fields that a row brings from elsewhere.
    pub(super) brought: &'static [&'static str],
}

/// The sources of an entity.
pub(super) fn sources(entity: Entity) -> Sources {
    let of = |central, local, brought| Sources { central, local, brought };
    match entity {
        Entity::Product => of(Some("Product"), None, &["price", "stock", "categories"]),
        Entity::ProductPrice => of(Some("ProductPrice"), None, &[]),
        Entity::ProductCategory => of(Some("ProductCategory"), None, &[]),
        Entity::ProductTax => of(Some("TaxRate"), None, &[]),
        Entity::Discount => of(Some("Discount"), None, &[]),
        Entity::Customer => {
            of(Some("BusinessPartner"), Some("ChangedBusinessPartners"), &["addresses"])
        }
        Entity::CustomerAddress => of(Some("BPLocation"), Some("ChangedBPlocation"), &[]),
        Entity::Ticket => of(None, Some("Order"), &["shipments", "payments", "invoices"]),
        Entity::Store => of(Some("Organization"), None, &["parents"]),
        Entity::Channel => of(Some("Channel"), None, &[]),
        Entity::Terminal => of(Some("Terminal"), None, &[]),
        Entity::User => of(Some("User"), None, &[]),
    }
}

/// A field by which another thing is named by its code instead of its id.
pub(super) struct Reference {
    /// The name in a criterion or a transaction.
    pub(super) name: &'static str,
    /// The field that holds the id.
    pub(super) field: &'static str,
    /// The model of the other thing.
    pub(super) model: &'static str,
    /// Its fields that hold codes.
    pub(super) codes: &'static [&'static str],
}

const CUSTOMER: Reference = Reference {
    name: "customer",
    field: "businessPartnerId",
    model: "BusinessPartner",
    codes: &["searchKey"],
};
const STORE: Reference = Reference {
    name: "store",
    field: "organizationId",
    model: "Organization",
    codes: &["searchKey"],
};

/// The references of an entity.
pub(super) fn references(entity: Entity) -> &'static [Reference] {
    const PRODUCT: &[Reference] = &[Reference {
        name: "category",
        field: "categoryId",
        model: "ProductCategory",
        codes: &["searchKey"],
    }];
    const PRICE: &[Reference] = &[Reference {
        name: "product",
        field: "productId",
        model: "Product",
        codes: &["searchKey", "barcode"],
    }];
    const TICKET: &[Reference] = &[
        CUSTOMER,
        Reference {
            name: "product",
            field: "lines.productId",
            model: "Product",
            codes: &["searchKey", "barcode"],
        },
    ];
    const CATEGORY: &[Reference] = &[Reference {
        name: "category",
        field: "categoryId",
        model: "BPCategory",
        codes: &["searchKey"],
    }];
    match entity {
        Entity::Product => PRODUCT,
        Entity::ProductPrice => PRICE,
        Entity::Ticket => TICKET,
        Entity::Customer => CATEGORY,
        Entity::CustomerAddress => &[CUSTOMER],
        Entity::Terminal | Entity::User => &[STORE],
        Entity::ProductCategory
        | Entity::ProductTax
        | Entity::Discount
        | Entity::Store
        | Entity::Channel => &[],
    }
}

/// What anybody may see of a person.
pub(super) const USER_FIELDS: [&str; 9] = [
    "id",
    "searchKey",
    "name",
    "firstName",
    "lastName",
    "roleId",
    "organizationId",
    "language",
    "updated",
];
