//! The table of built-in models, in the order in which they are loaded.
//!
//! Within a feed a model stands after those that it refers to.
//! The names are those that tills and back offices have used for years, so they are kept to the letter.

use super::IndexKind::{self, Exact, Text};

/// The feed of models that are born in the shop; it is never fetched and never published.
pub const LOCAL: &str = "local";
/// Servers, services, organisations, channels, terminals and devices.
pub const ESTATE: &str = "estate";
/// Customers and who serves them.
pub const PARTNERS: &str = "partners";
/// Products, prices, taxes and discounts.
pub const CATALOGUE: &str = "catalogue";

/// The feeds that are published, in the order in which that is done.
///
/// The estate comes first because it defines further models; discounts refer to customers, so partners precede the catalogue.
pub const PUBLISHED: [&str; 3] = [ESTATE, PARTNERS, CATALOGUE];

/// Name, feed, indexed fields.
pub(super) type Row = (&'static str, &'static str, &'static [(&'static str, IndexKind)]);

const NAMED: &[(&str, IndexKind)] = &[("name", Text)];
const KEYED: &[(&str, IndexKind)] = &[("searchKey", Exact), ("name", Text)];
const BY_PRODUCT: &[(&str, IndexKind)] = &[("productId", Exact)];
const BY_DISCOUNT: &[(&str, IndexKind)] = &[("discountId", Exact)];
const BY_PARTNER: &[(&str, IndexKind)] = &[("businessPartnerId", Exact)];
const BY_DOCUMENT: &[(&str, IndexKind)] = &[("documentNo", Exact), ("terminal", Exact)];

/// The 44 models of the original.
pub(super) const ORIGINAL: [Row; 44] = [
    ("Country", ESTATE, &[("isoCode", Exact), ("name", Text)]),
    ("CurrencyPanel", ESTATE, &[("currency", Exact)]),
    ("OfflinePrinter", ESTATE, NAMED),
    ("BPCategory", PARTNERS, KEYED),
    ("SalesRepresentative", PARTNERS, NAMED),
    (
        "BusinessPartner",
        PARTNERS,
        &[
            ("searchKey", Exact),
            ("name", Text),
            ("taxId", Exact),
            ("email", Exact),
            ("phone", Exact),
            ("categoryId", Exact),
            ("edgeId", Exact),
        ],
    ),
    (
        "BPLocation",
        PARTNERS,
        &[("businessPartnerId", Exact), ("postalCode", Exact), ("edgeId", Exact)],
    ),
    ("TaxZone", CATALOGUE, &[("taxRateId", Exact)]),
    ("TaxRate", CATALOGUE, &[("taxCategoryId", Exact)]),
    ("TaxCategoryBOM", CATALOGUE, NAMED),
    ("Brand", CATALOGUE, NAMED),
    ("Characteristic", CATALOGUE, NAMED),
    ("CharacteristicValue", CATALOGUE, &[("characteristicId", Exact), ("name", Text)]),
    ("ProductCategory", CATALOGUE, KEYED),
    ("ProductCategoryTree", CATALOGUE, &[("categoryId", Exact), ("parentId", Exact)]),
    (
        "Product",
        CATALOGUE,
        &[("barcode", Exact), ("searchKey", Exact), ("name", Text), ("categoryId", Exact)],
    ),
    ("ProductBOM", CATALOGUE, BY_PRODUCT),
    (
        "ProductCharacteristicValue",
        CATALOGUE,
        &[("productId", Exact), ("characteristicValueId", Exact)],
    ),
    ("PriceList", CATALOGUE, NAMED),
    ("ProductPrice", CATALOGUE, &[("productId", Exact), ("priceListId", Exact)]),
    ("OfferPriceList", CATALOGUE, &[("discountId", Exact), ("priceListId", Exact)]),
    ("ServiceProduct", CATALOGUE, BY_PRODUCT),
    ("ServiceProductCategory", CATALOGUE, &[("productId", Exact), ("categoryId", Exact)]),
    ("ServicePriceRule", CATALOGUE, NAMED),
    ("ServicePriceRuleRange", CATALOGUE, &[("servicePriceRuleId", Exact)]),
    (
        "ServicePriceRuleRangePrices",
        CATALOGUE,
        &[("servicePriceRuleRangeId", Exact), ("productId", Exact)],
    ),
    ("ServicePriceRuleVersion", CATALOGUE, &[("servicePriceRuleId", Exact), ("productId", Exact)]),
    ("Discount", CATALOGUE, NAMED),
    (
        "DiscountFilterBusinessPartner",
        CATALOGUE,
        &[("discountId", Exact), ("businessPartnerId", Exact)],
    ),
    (
        "DiscountFilterBusinessPartnerGroup",
        CATALOGUE,
        &[("discountId", Exact), ("categoryId", Exact)],
    ),
    (
        "DiscountFilterProduct",
        CATALOGUE,
        &[("discountId", Exact), ("productId", Exact), ("coupon", Exact)],
    ),
    ("DiscountFilterProductCategory", CATALOGUE, &[("discountId", Exact), ("categoryId", Exact)]),
    ("DiscountFilterRole", CATALOGUE, BY_DISCOUNT),
    ("DiscountFilterCharacteristic", CATALOGUE, BY_DISCOUNT),
    ("ReturnReason", CATALOGUE, KEYED),
    ("Order", LOCAL, BY_DOCUMENT),
    ("DocumentSequence", LOCAL, &[("terminal", Exact)]),
    ("ChangedBusinessPartners", LOCAL, BY_PARTNER),
    ("ChangedBPlocation", LOCAL, BY_PARTNER),
    ("CancelLayaway", LOCAL, BY_DOCUMENT),
    ("CashUp", LOCAL, &[("terminal", Exact)]),
    ("PaymentMethodCashUp", LOCAL, &[("cashUpId", Exact)]),
    ("TaxCashUp", LOCAL, &[("cashUpId", Exact)]),
    ("CashManagement", LOCAL, &[("cashUpId", Exact)]),
];

/// The 18 models that modules of the original bring.
pub(super) const MODULES: [Row; 18] = [
    ("OBPOS_CurrencyPanel", ESTATE, &[("currency", Exact)]),
    ("OBDSCAL_Scale", ESTATE, NAMED),
    ("OBRETSS_Sequence", ESTATE, &[("terminal", Exact)]),
    ("DataCloseCashPaymentMethod", ESTATE, &[("terminal", Exact)]),
    ("IssuingCompany", PARTNERS, NAMED),
    ("GiftCard", PARTNERS, &[("searchKey", Exact), ("businessPartnerId", Exact)]),
    ("UOM", CATALOGUE, NAMED),
    ("TaxCategory", CATALOGUE, NAMED),
    ("Subtype", CATALOGUE, NAMED),
    ("MultiUPC", CATALOGUE, &[("upc", Exact), ("productId", Exact)]),
    ("ComplementaryProduct", CATALOGUE, BY_PRODUCT),
    ("LevelProductPrice", CATALOGUE, &[("productId", Exact), ("priceListId", Exact)]),
    ("StockValuation", CATALOGUE, BY_PRODUCT),
    ("OBDISX_offer_paymentmethod", CATALOGUE, BY_DISCOUNT),
    ("FreeProduct", CATALOGUE, &[("discountId", Exact), ("productId", Exact)]),
    ("ComboFamily", CATALOGUE, BY_DISCOUNT),
    ("ComboProduct", CATALOGUE, &[("comboFamilyId", Exact), ("productId", Exact)]),
    ("Coupon", CATALOGUE, &[("searchKey", Exact), ("discountId", Exact)]),
];

/// Our own: what describes the estate, and which products a terminal sells.
pub(super) const ESTATE_OWN: [Row; 26] = [
    ("Model", ESTATE, &[]),
    ("Organization", ESTATE, &[("searchKey", Exact), ("parentId", Exact)]),
    ("Server", ESTATE, NAMED),
    ("Service", ESTATE, NAMED),
    ("ServerService", ESTATE, &[("serverId", Exact), ("serviceId", Exact)]),
    ("ServerOrganization", ESTATE, &[("serverId", Exact), ("organizationId", Exact)]),
    ("Channel", ESTATE, KEYED),
    ("ChannelService", ESTATE, &[("channelId", Exact)]),
    ("Hook", ESTATE, &[("channelId", Exact)]),
    ("PushDefinition", ESTATE, &[("channelId", Exact), ("entity", Exact)]),
    ("Access", ESTATE, &[("channelId", Exact)]),
    ("TerminalType", ESTATE, NAMED),
    ("Terminal", ESTATE, &[("searchKey", Exact), ("organizationId", Exact), ("channelId", Exact)]),
    ("Preference", ESTATE, &[("property", Exact)]),
    ("StrikeList", ESTATE, &[]),
    ("Ring", ESTATE, &[]),
    ("Release", ESTATE, &[]),
    ("BoxConfiguration", ESTATE, &[]),
    ("BrowserCertificate", ESTATE, &[]),
    ("Role", ESTATE, NAMED),
    ("User", ESTATE, KEYED),
    ("TokenKey", ESTATE, &[]),
    ("Warehouse", ESTATE, KEYED),
    ("Excerpt", ESTATE, &[]),
    ("Assortment", CATALOGUE, NAMED),
    ("AssortmentProduct", CATALOGUE, &[("assortmentId", Exact), ("productId", Exact)]),
];
