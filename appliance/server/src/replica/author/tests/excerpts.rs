//! Excerpts against a model: what is published of them follows from what is published of the whole.

use std::collections::BTreeSet;

use storebox_proto::ids::RecordId;

use super::*;

const EXCERPTS: [&str; 2] = ["one", "two"];

/// What may happen at head office.
#[derive(Debug, Clone)]
enum Step {
    /// A product, with its price.
    Product(u8),
    Gone(u8),
    Enter(u8, bool),
    Leave(u8, bool),
    /// An excerpt gets other assortments.
    Define(bool, u8),
    /// The author starts anew.
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let id = 0u8..40;
    let step = prop_oneof![
        4 => id.clone().prop_map(Step::Product),
        1 => id.clone().prop_map(Step::Gone),
        4 => (id.clone(), any::<bool>()).prop_map(|(id, second)| Step::Enter(id, second)),
        2 => (id, any::<bool>()).prop_map(|(id, second)| Step::Leave(id, second)),
        1 => (any::<bool>(), 1u8..4).prop_map(|(second, which)| Step::Define(second, which)),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..25)
}

fn lines(step: &Step, at: usize) -> String {
    let name = |second: &bool| if *second { "B" } else { "A" };
    match step {
        Step::Product(id) => format!(
            "{{\"model\":\"Product\",\"record\":{{\"id\":\"{id}\",\"name\":\"{at}\"}}}}\n\
             {{\"model\":\"ProductPrice\",\"record\":{{\"id\":\"p{id}\",\"productId\":\"{id}\"}}}}\n"
        ),
        Step::Gone(id) => format!("{{\"model\":\"Product\",\"removed\":\"{id}\"}}\n"),
        Step::Enter(id, second) => {
            let name = name(second);
            format!(
                "{{\"model\":\"AssortmentProduct\",\"record\":{{\"id\":\"{name}{id}\",\"assortmentId\":\"{name}\",\"productId\":\"{id}\"}}}}\n"
            )
        }
        Step::Leave(id, second) => {
            format!("{{\"model\":\"AssortmentProduct\",\"removed\":\"{}{id}\"}}\n", name(second))
        }
        Step::Define(second, which) => {
            let id = EXCERPTS[usize::from(*second)];
            let of = ["[\"A\"]", "[\"B\"]", "[\"A\",\"B\"]"][usize::from(*which) - 1];
            format!(
                "{{\"model\":\"Excerpt\",\"record\":{{\"id\":\"{id}\",\"assortmentIds\":{of}}}}}\n"
            )
        }
        Step::Restart => String::new(),
    }
}

type Rows = BTreeMap<(ModelName, RecordId), Bytes>;

fn rows(author: &Author, head: &Head) -> Rows {
    let mut rows = Rows::new();
    for entry in &head.models {
        for record in model::published(&author.store, entry).unwrap() {
            rows.insert((entry.model.clone(), record.id), record.body);
        }
    }
    rows
}

/// The changes of the newest run worked into what was there before.
fn follow(author: &Author, head: &Head, mut before: Rows) -> Rows {
    for page in head.runs.last().iter().flat_map(|run| &run.pages) {
        let segment = Segment::parse(author.store.read(page.name).unwrap()).unwrap();
        for change in segment.changes().unwrap().1 {
            let key = (page.model.clone(), change.id);
            match change.body {
                Some(body) => before.insert(key, body),
                None => before.remove(&key),
            };
        }
    }
    before
}

/// What the excerpt is to have, by the rows of the whole alone.
fn wanted(author: &Author, id: &str) -> Option<Rows> {
    let defined = author.excerpts().unwrap();
    let excerpt = defined.into_iter().find(|excerpt| excerpt.id.as_str() == id)?;
    let all = rows(author, &*author.head(&"catalogue".parse().unwrap())?);
    let text = |body: &Bytes, field: &str| {
        let value: serde_json::Value = serde_json::from_slice(body).unwrap();
        value[field].as_str().map(str::to_owned)
    };
    let is_entry = |model: &ModelName| model.as_str() == "AssortmentProduct";
    let listed =
        |body: &Bytes| excerpt.assortment_ids.contains(&text(body, "assortmentId").unwrap());
    let products: BTreeSet<String> = all
        .iter()
        .filter(|((model, _), body)| is_entry(model) && listed(body))
        .map(|(_, body)| text(body, "productId").unwrap())
        .collect();
    let keep = |(model, id): &(ModelName, RecordId), body: &Bytes| match model.as_str() {
        "Product" => products.contains(id.as_str()),
        "AssortmentProduct" => listed(body),
        _ => products.contains(&text(body, "productId").unwrap()),
    };
    Some(all.into_iter().filter(|(key, body)| keep(key, body)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn an_excerpt_has_what_its_assortments_say_whatever_happened_and_its_runs_lead_there(steps in steps()) {
        let mut office = Office::new();
        let mut before: BTreeMap<&str, (u64, Rows)> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            match lines(step, at) {
                none if none.is_empty() => {
                    office.author = open(office.dir.path()).unwrap();
                    prop_assert_eq!(office.author.cut_excerpts(Timestamp::from_unix_ms(0)), []);
                }
                lines => {
                    office.import(|importer| importer.changes(lines.as_bytes(), Weeks::ALL).unwrap());
                }
            }
            for id in EXCERPTS {
                let feed: FeedId = format!("catalogue--{id}").parse().unwrap();
                let head = office.author.head(&feed);
                let Some(wanted) = wanted(&office.author, id) else { continue };
                let head = head.unwrap();
                let got = rows(&office.author, &head);
                prop_assert_eq!(&got, &wanted);
                if let Some((revision, rows)) = before.insert(id, (head.revision, wanted)) {
                    prop_assert!(head.revision <= revision + 1, "one revision for one import");
                    let led = match head.revision == revision {
                        true => rows,
                        false => follow(&office.author, &head, rows),
                    };
                    prop_assert_eq!(led, got);
                }
            }
        }
    }
}

#[test]
fn what_grows_too_old_leaves_the_excerpt_with_the_day() {
    let mut office = Office::new();
    let lines = r#"{"model":"Excerpt","record":{"id":"one","keep":[{"model":"Coupon","field":"until","days":10}]}}
{"model":"Coupon","record":{"id":"a","until":"1970-01-05"}}
{"model":"Coupon","record":{"id":"b","until":"1970-01-15"}}"#;
    office.import(|importer| importer.changes(lines.as_bytes(), Weeks::ALL).unwrap());
    let feed: FeedId = "catalogue--one".parse().unwrap();
    let count = |office: &Office| office.author.head(&feed).unwrap().models[0].count;
    assert_eq!(count(&office), 2);
    let day = |n: i64| Timestamp::from_unix_ms(n * 24 * 3600 * 1000);
    assert_eq!(office.author.cut_excerpts(day(13)), []);
    assert_eq!(office.author.cut_excerpts(day(15)).len(), 1);
    assert_eq!((count(&office), office.author.head(&feed).unwrap().revision), (1, 2));
}

#[test]
fn no_two_feeds_of_an_author_share_an_epoch() {
    let mut office = Office::new();
    let lines = r#"{"model":"Excerpt","record":{"id":"one","assortmentIds":["A"]}}
{"model":"Excerpt","record":{"id":"two","assortmentIds":["B"]}}
{"model":"Product","record":{"id":"1"}}"#;
    office.import(|importer| importer.changes(lines.as_bytes(), Weeks::ALL).unwrap());
    let epoch = |feed: &str| office.author.head(&feed.parse().unwrap()).unwrap().epoch;
    let epochs = BTreeSet::from(["catalogue", "catalogue--one", "catalogue--two"].map(epoch));
    assert_eq!(epochs.len(), 3);
}

/// An excerpt of one product.
const ONE: &str = r#"{"model":"Excerpt","record":{"id":"one","assortmentIds":["A"]}}
{"model":"AssortmentProduct","record":{"id":"a1","assortmentId":"A","productId":"1"}}
{"model":"Product","record":{"id":"1"}}"#;

#[test]
fn an_excerpt_whose_head_could_not_be_written_is_cut_the_next_time() {
    let mut office = Office::new();
    office.import(|importer| importer.changes(ONE.as_bytes(), Weeks::ALL).unwrap());
    let feed: FeedId = "catalogue--one".parse().unwrap();
    let twin = office.dir.path().join("heads/catalogue--one.twin");
    // A folder with something in it is replaced by no file.
    std::fs::remove_file(&twin).unwrap();
    std::fs::create_dir_all(twin.join("in the way")).unwrap();
    let change = r#"{"model":"Product","record":{"id":"1","name":"new"}}"#;
    let published =
        office.import(|importer| importer.changes(change.as_bytes(), Weeks::ALL).unwrap());
    assert_eq!(published.len(), 1, "what it was cut from is published all the same");
    assert_eq!(office.author.head(&feed).unwrap().revision, 1);
    std::fs::remove_dir_all(&twin).unwrap();
    let cut = office.author.cut_excerpts(Timestamp::from_unix_ms(0));
    assert_eq!(cut.len(), 1, "nothing had changed since, and it was stale");
    let got = rows(&office.author, &office.author.head(&feed).unwrap());
    assert_eq!(got, wanted(&office.author, "one").unwrap());
}

#[test]
fn an_excerpt_of_which_nothing_has_changed_is_not_looked_through_again() {
    let mut office = Office::new();
    office.import(|importer| importer.changes(ONE.as_bytes(), Weeks::ALL).unwrap());
    let head = office.head();
    let entries = head.model(&"AssortmentProduct".parse().unwrap()).unwrap();
    let kept = office.author.store.read(entries.manifest).unwrap();
    office.author.store.remove(entries.manifest).unwrap();
    let now = Timestamp::from_unix_ms(0);
    assert_eq!(office.author.cut_excerpts(now), []);
    let origins = |office: &Office| office.author.origins.marks.clone();
    let before = origins(&office);
    let change = r#"{"model":"Excerpt","record":{"id":"one","assortmentIds":["A","B"]}}"#;
    office.import(|importer| importer.changes(change.as_bytes(), Weeks::ALL).unwrap());
    assert_eq!(origins(&office), before, "now the entries are wanted, and cannot be read");
    office.author.store.put_many([(entries.manifest, &kept)]).unwrap();
    office.author.cut_excerpts(now);
    assert_ne!(origins(&office), before);
}
