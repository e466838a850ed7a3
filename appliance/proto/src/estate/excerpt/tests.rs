use serde_json::json;

use super::*;

fn read(value: Value) -> Result<Excerpt, DefinitionFault> {
    Excerpt::read(value.as_object().unwrap())
}

fn small() -> Excerpt {
    read(json!({"id": "small", "active": true, "sites": ["s1", "s2"], "assortmentIds": ["A1"],
        "only": [{"model": "ProductPrice", "field": "priceListId", "values": ["PL1"]}],
        "keep": [{"model": "Coupon", "field": "until", "days": 30}]}))
    .unwrap()
}

fn takes(sieve: &Sieve<'_>, model: &str, row: Value) -> bool {
    let id = row["id"].as_str().unwrap().parse().unwrap();
    sieve.takes(&model.parse().unwrap(), &id, row.to_string().as_bytes())
}

#[test]
fn an_excerpt_has_the_products_of_its_assortments_and_what_belongs_to_them() {
    let excerpt = small();
    let mut sieve = Sieve::new(&excerpt, "2026-11-22T12:00:00Z".parse().unwrap());
    let entries = [
        json!({"id": "1", "assortmentId": "A1", "productId": "P1"}).to_string(),
        json!({"id": "2", "assortmentId": "A2", "productId": "P2"}).to_string(),
    ];
    sieve.learn(entries.iter().map(String::as_bytes));
    let cases = [
        ("Product", json!({"id": "P1"}), true),
        ("Product", json!({"id": "P2"}), false),
        ("MultiUPC", json!({"id": "u", "productId": "P1"}), true),
        ("MultiUPC", json!({"id": "u", "productId": "P2"}), false),
        ("ProductPrice", json!({"id": "p", "productId": "P1", "priceListId": "PL1"}), true),
        ("ProductPrice", json!({"id": "p", "productId": "P1", "priceListId": "PL2"}), false),
        ("ProductPrice", json!({"id": "p", "productId": "P2", "priceListId": "PL1"}), false),
        ("AssortmentProduct", json!({"id": "1", "assortmentId": "A1", "productId": "P1"}), true),
        ("AssortmentProduct", json!({"id": "2", "assortmentId": "A2", "productId": "P1"}), false),
        ("Assortment", json!({"id": "A2"}), true),
        ("TaxRate", json!({"id": "t", "rate": "19"}), true),
        ("Coupon", json!({"id": "c", "until": "2026-10-23"}), true),
        ("Coupon", json!({"id": "c", "until": "2026-10-22T23:59:59Z"}), false),
        ("Coupon", json!({"id": "c", "until": "soon"}), true),
        ("Coupon", json!({"id": "c"}), true),
    ];
    for (model, row, wanted) in cases {
        assert_eq!(takes(&sieve, model, row.clone()), wanted, "{model} {row}");
    }
}

#[test]
fn an_assortment_without_products_is_empty_and_no_assortment_is_everything() {
    let excerpt = small();
    let mut sieve = Sieve::new(&excerpt, Timestamp::default());
    sieve.learn(std::iter::empty());
    assert!(!takes(&sieve, "Product", json!({"id": "P1"})));
    let excerpt = Excerpt { assortment_ids: BTreeSet::new(), ..excerpt };
    let mut sieve = Sieve::new(&excerpt, Timestamp::default());
    sieve.learn(std::iter::empty());
    assert!(takes(&sieve, "Product", json!({"id": "P1"})));
}

#[test]
fn an_entry_that_a_rule_leaves_out_brings_no_product() {
    let excerpt = read(json!({"id": "small", "assortmentIds": ["A1"],
        "only": [{"model": "AssortmentProduct", "field": "kind", "values": ["sold"]}],
        "keep": [{"model": "AssortmentProduct", "field": "until", "days": 10}]}))
    .unwrap();
    let mut sieve = Sieve::new(&excerpt, "2026-11-22T12:00:00Z".parse().unwrap());
    let entries = [
        (json!({"id": "1", "assortmentId": "A1", "productId": "P1", "kind": "sold"}), true),
        (json!({"id": "2", "assortmentId": "A1", "productId": "P2", "kind": "tried"}), false),
        (json!({"id": "3", "assortmentId": "A1", "productId": "P3", "until": "2026-11-01"}), false),
        (json!({"id": "4", "assortmentId": "A2", "productId": "P4", "kind": "sold"}), false),
    ];
    let bodies = entries.each_ref().map(|(entry, _)| entry.to_string());
    for body in &bodies {
        sieve.learn([body.as_bytes()]);
    }
    for (entry, taken) in entries {
        assert_eq!(takes(&sieve, "AssortmentProduct", entry.clone()), taken, "{entry}");
        assert_eq!(takes(&sieve, "Product", json!({"id": entry["productId"]})), taken, "{entry}");
    }
}

#[test]
fn a_box_passes_over_what_a_later_version_says_of_an_excerpt() {
    let later = json!({"id": "small", "sites": ["s1"], "assortmentIds": ["A1"], "colour": "red",
        "only": [{"model": "ProductPrice", "field": "f", "values": ["v"], "except": ["w"]}],
        "keep": [{"model": "Coupon", "field": "until", "days": 30, "hours": 2}]});
    assert!(read(later.clone()).is_err(), "head office refuses it");
    let excerpt = Excerpt::understand(later.as_object().unwrap()).unwrap();
    let node = "box-1".parse().unwrap();
    assert!(Excerpt::of(std::slice::from_ref(&excerpt), &node, &"s1".parse().unwrap()).is_some());
    assert_eq!((excerpt.only.len(), excerpt.keep.len()), (1, 1));
    let all = Excerpt::understand(serde_json::to_value(small()).unwrap().as_object().unwrap());
    assert_eq!(all.unwrap(), small(), "none of the fields of now is passed over");
}

#[test]
fn the_mark_changes_with_the_day_only_where_age_counts() {
    let days: [Timestamp; 2] =
        ["2026-11-22T01:00:00Z", "2026-11-23T01:00:00Z"].map(|day| day.parse().unwrap());
    let excerpt = small();
    let marks = days.map(|day| Sieve::new(&excerpt, day).mark());
    assert_ne!(marks[0], marks[1]);
    let excerpt = Excerpt { keep: Vec::new(), ..excerpt };
    let marks = days.map(|day| Sieve::new(&excerpt, day).mark());
    assert_eq!(marks[0], marks[1]);
}

#[test]
fn a_box_has_the_excerpt_that_names_it_or_its_store_or_everything() {
    let mut all = vec![small()];
    all.push(Excerpt {
        id: "tiny".parse().unwrap(),
        sites: BTreeSet::new(),
        nodes: BTreeSet::from(["box-7".parse().unwrap()]),
        ..small()
    });
    let of = |node: &str, site: &str| {
        let found = Excerpt::of(&all, &node.parse().unwrap(), &site.parse().unwrap());
        found.map(|excerpt| excerpt.id.to_string())
    };
    assert_eq!(of("box-7", "s1").as_deref(), Some("tiny"));
    assert_eq!(of("box-1", "s2").as_deref(), Some("small"));
    assert_eq!(of("box-1", "s3"), None);
}

#[test]
fn what_names_a_box_and_is_not_understood_is_not_the_absence_of_an_excerpt() {
    let own = |records: &[&str], site: &str| {
        let records = records.iter().map(|record| record.as_bytes());
        let own = Excerpt::own(records, &"box-1".parse().unwrap(), &site.parse().unwrap());
        own.map(|excerpt| excerpt.map(|excerpt| excerpt.id.to_string()))
    };
    let good = r#"{"id":"small","sites":["s1"],"assortmentIds":["A"],"newer":1}"#;
    let odd = r#"{"id":"odd","sites":["s2"],"only":[{"model":"Product","matching":"x"}]}"#;
    assert_eq!(own(&[good, odd], "s1").unwrap().as_deref(), Some("small"));
    assert_eq!(own(&[good, odd], "s3").unwrap(), None);
    assert!(own(&[good, odd], "s2").is_err());
    assert!(
        own(
            &[good, &odd.replace("s2", "s9"), &odd.replace("sites\":[\"s2", "nodes\":[\"box-1")],
            "s1"
        )
        .is_err()
    );
    assert!(own(&[good, "torn"], "s3").is_err());
}

#[test]
fn an_excerpt_is_a_feed_with_a_name_of_its_own() {
    let (excerpt, registry) = (small(), Registry::built_in());
    let feeds: Vec<FeedId> = excerpt.feeds(&registry).into_iter().collect();
    assert_eq!(feeds, ["catalogue".parse().unwrap()]);
    let cut = feeds[0].with_excerpt(&excerpt.id).unwrap();
    assert_eq!((cut.as_str(), cut.excerpt()), ("catalogue--small", Some("small")));
    assert_eq!((cut.whole(), feeds[0].excerpt()), (feeds[0].clone(), None));
    let long: FeedId = "a-feed-with-quite-a-long-name".parse().unwrap();
    assert_eq!(long.with_excerpt(&excerpt.id), None);
}

#[test]
fn excerpts_that_contradict_each_other_or_name_nothing_are_found() {
    let (one, registry) = (small(), Registry::built_in());
    assert_eq!(Excerpt::lint(std::slice::from_ref(&one), &registry), []);
    let mut two = Excerpt { id: "two".parse().unwrap(), ..one.clone() };
    two.sites = BTreeSet::from(["s2".parse().unwrap()]);
    two.only[0].model = "Terminal".parse().unwrap();
    two.keep[0].model = "Nothing".parse().unwrap();
    let said: Vec<String> =
        Excerpt::lint(&[one, two], &registry).iter().map(ToString::to_string).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].contains("Excerpt two: site s2 has the excerpt small too"), "{}", said[0]);
    assert!(said[1].contains("model Terminal"), "{}", said[1]);
    assert!(said[2].contains("model Nothing"), "{}", said[2]);
}

#[test]
fn a_typing_error_in_an_excerpt_is_refused_with_its_path() {
    for (record, path) in [
        (json!({"id": "small"}), "assortmentIds"),
        (json!({"id": "Small", "assortmentIds": ["A"]}), "id"),
        (json!({"id": "small", "assortmentsId": ["A"]}), "assortmentsId"),
        (
            json!({"id": "s", "keep": [{"model": "Coupon", "field": "u", "days": -1}]}),
            "keep[0].days",
        ),
        (json!({"id": "s", "sites": ["S 1"], "assortmentIds": ["A"]}), "sites"),
    ] {
        let fault = read(record.clone()).unwrap_err();
        assert!(fault.path.starts_with(path), "{record}: {fault}");
    }
}
