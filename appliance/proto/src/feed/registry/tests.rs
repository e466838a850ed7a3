use super::*;

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

fn def(model: &str, feed: &str, scope: Scope, fields: &[(&str, IndexKind)]) -> ModelDef {
    let index = |&(field, kind): &(&str, IndexKind)| IndexDef { field: field.into(), kind };
    let indexes = fields.iter().map(index).collect();
    ModelDef { name: name(model), feed: feed.parse().unwrap(), scope, indexes }
}

#[test]
fn all_44_models_and_18_module_models_are_built_in_once() {
    let registry = Registry::built_in();
    let rows = built_in::ORIGINAL.iter().chain(&built_in::MODULES).chain(&built_in::ESTATE_OWN);
    let names: BTreeSet<&str> = rows.map(|row| row.0).collect();
    assert_eq!(names.len(), 44 + 18 + built_in::ESTATE_OWN.len());
    assert_eq!(registry.iter().count(), names.len());
    assert!(names.iter().all(|model| registry.get(&name(model)).is_some()));
    assert!(registry.iter().all(|def| check_indexes(def).is_ok()));
    let guide = include_str!("../../../../docs/integrators.md");
    assert!(guide.contains(&format!("has {} of them in its registry", names.len())));
}

#[test]
fn outbound_documents_are_local_and_nothing_else_is() {
    let registry = Registry::built_in();
    let local: Vec<&str> = registry
        .iter()
        .filter(|def| def.scope == Scope::Local)
        .map(|def| def.name.as_str())
        .collect();
    let outbound = [
        "CancelLayaway",
        "CashManagement",
        "CashUp",
        "ChangedBPlocation",
        "ChangedBusinessPartners",
        "DocumentSequence",
        "Order",
        "PaymentMethodCashUp",
        "TaxCashUp",
    ];
    assert_eq!(local, outbound);
    assert!(registry.iter().all(|def| (def.feed.as_str() == LOCAL) == (def.scope == Scope::Local)));
}

#[test]
fn a_model_loads_after_those_it_refers_to() {
    let registry = Registry::built_in();
    let catalogue = CATALOGUE.parse().unwrap();
    let order: Vec<&str> = registry.of_feed(&catalogue).map(|def| def.name.as_str()).collect();
    let at = |model: &str| order.iter().position(|name| *name == model).unwrap();
    assert!(at("ProductCategory") < at("Product"));
    assert!(at("Product") < at("ProductPrice"));
    assert!(at("PriceList") < at("ProductPrice"));
    assert!(at("Discount") < at("DiscountFilterProduct"));
    assert!(at("TaxCategory") < at("Product"));
    assert_eq!(registry.feeds().iter().map(FeedId::as_str).collect::<Vec<_>>(), PUBLISHED);
}

#[test]
fn a_record_adds_a_model_without_a_release() {
    let body = br#"{"active":true,"feed":"recipes","id":"Recipe","indexes":[{"field":"name","kind":"text"}]}"#;
    let record = Record { id: "Recipe".parse().unwrap(), body: bytes::Bytes::from_static(body) };
    let (registry, refused) = Registry::with([ModelDef::from_record(&record).unwrap()]);
    assert_eq!(refused, []);
    let recipe = registry.get(&name("Recipe")).unwrap();
    assert_eq!((recipe.scope, recipe.indexes.len()), (Scope::Central, 1));
    assert_eq!(registry.feeds().last().unwrap().as_str(), "recipes");
}

#[test]
fn a_record_that_is_no_definition_is_named() {
    for body in ["{}", "[]", r#"{"feed":"UPPER"}"#, r#"{"feed":"a","indexes":[{"field":1}]}"#] {
        let record =
            Record { id: "Recipe".parse().unwrap(), body: body.as_bytes().to_vec().into() };
        let refused = ModelDef::from_record(&record).unwrap_err().to_string();
        assert!(refused.contains("\"Recipe\""), "{refused}");
    }
}

#[test]
fn a_built_in_model_gains_indexes_and_loses_nothing() {
    let colour = def("Product", CATALOGUE, Scope::Central, &[("colour", IndexKind::Exact)]);
    let (registry, refused) = Registry::with([colour]);
    assert_eq!(refused, []);
    let fields: Vec<&str> = registry
        .get(&name("Product"))
        .unwrap()
        .indexes
        .iter()
        .map(|index| index.field.as_str())
        .collect();
    assert_eq!(fields, ["barcode", "searchKey", "name", "categoryId", "colour"]);
}

#[test]
fn a_harmful_definition_is_refused_and_changes_nothing() {
    let long = "x".repeat(limits::FIELD_NAME_BYTES_MAX + 1);
    let many: Vec<String> = (0..=limits::MODEL_INDEXES_MAX).map(|n| format!("f{n}")).collect();
    let many: Vec<(&str, IndexKind)> =
        many.iter().map(|field| (field.as_str(), IndexKind::Exact)).collect();
    let harmful = [
        def("Order", CATALOGUE, Scope::Central, &[]),
        def("Product", LOCAL, Scope::Local, &[]),
        def("Product", PARTNERS, Scope::Central, &[]),
        def("Product", CATALOGUE, Scope::Local, &[]),
        def("Product", CATALOGUE, Scope::Central, &[("barcode", IndexKind::Text)]),
        def("Fresh", LOCAL, Scope::Central, &[]),
        def("Fresh", CATALOGUE, Scope::Local, &[]),
        def("Fresh", CATALOGUE, Scope::Central, &[("", IndexKind::Exact)]),
        def("Fresh", CATALOGUE, Scope::Central, &[(&long, IndexKind::Exact)]),
        def("Fresh", CATALOGUE, Scope::Central, &[("a", IndexKind::Exact), ("a", IndexKind::Text)]),
        def("Fresh", CATALOGUE, Scope::Central, &many),
    ];
    let count = harmful.len();
    let (registry, refused) = Registry::with(harmful);
    assert_eq!(refused.len(), count);
    assert_eq!(registry, Registry::built_in());
}

#[test]
fn feeds_and_models_are_bounded() {
    let feeds = (0..100).map(|n| def(&format!("M{n}"), &format!("f{n}"), Scope::Central, &[]));
    let (registry, refused) = Registry::with(feeds);
    assert_eq!(registry.feeds().len() + 1, limits::FEEDS_MAX);
    assert!(refused.iter().all(|why| matches!(why, ModelRefused::Limit { what: "feeds", .. })));
    let models = (0..300).map(|n| def(&format!("M{n}"), "one", Scope::Central, &[]));
    let (registry, _) = Registry::with(models);
    assert_eq!(registry.of_feed(&"one".parse().unwrap()).count(), limits::FEED_MODELS_MAX);
}
