//! Every query over base and overlay gives what a walk through all records would.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
struct Item {
    name: String,
    category: String,
}

fn item() -> impl Strategy<Value = Item> {
    let word = prop::sample::select(vec!["milk", "Mild", "MINT", "tea", "Tee", "crème", "ice-tea"]);
    let name = prop::collection::vec(word, 0..4).prop_map(|words| words.join(" - "));
    (name, "[ab]{0,2}").prop_map(|(name, category)| Item { name, category })
}

fn to_change(number: u32, item: Option<&Item>) -> Change {
    let body = item.map(|item| {
        let json = serde_json::json!({ "name": item.name, "categoryId": item.category });
        Bytes::from(json.to_string())
    });
    Change { id: id(number), body }
}

fn set(revision: u64, items: &BTreeMap<u32, Option<Item>>) -> ChangeSet {
    let mut set = changes(revision, []);
    let items = items.iter().map(|(number, item)| to_change(*number, item.as_ref()));
    set.changes.insert(product(), items.collect());
    set
}

fn normal(text: &str) -> String {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.join(" ")
}

/// Ids by whole value, then by word, as `prefix` promises.
fn by_prefix(all: &BTreeMap<u32, Item>, prefix: &str) -> Vec<u32> {
    let prefix = normal(prefix);
    let named = all.iter().filter(|(_, item)| !normal(&item.name).is_empty());
    let mut whole: Vec<(String, u32)> = named
        .clone()
        .map(|(number, item)| (normal(&item.name), *number))
        .filter(|(name, _)| name.starts_with(&prefix))
        .collect();
    whole.sort();
    let seen: BTreeSet<u32> = whole.iter().map(|(_, number)| *number).collect();
    let mut words: Vec<(String, u32)> = named
        .filter(|(number, _)| !seen.contains(number) && !prefix.contains(' '))
        .filter_map(|(number, item)| {
            let name = normal(&item.name);
            let word = name.split(' ').filter(|word| word.starts_with(&prefix)).min()?;
            Some((word.to_owned(), *number))
        })
        .collect();
    words.sort();
    whole.into_iter().chain(words).map(|(_, number)| number).collect()
}

fn numbers(records: Vec<Record>) -> Vec<u32> {
    records.into_iter().map(|record| record.id.as_str().parse().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn queries_equal_a_walk_through_everything(
        base in prop::collection::btree_map(0u32..300, item().prop_map(Some), 1..200),
        over in prop::collection::btree_map(0u32..300, prop::option::weighted(0.7, item()), 1..60),
        limit in 1usize..30,
    ) {
        let mut node = Node::new(1000);
        node.store.apply(set(1, &base), None).unwrap();
        node.store.apply(set(2, &over), None).unwrap();
        let now = node.store.current().unwrap();
        prop_assert_eq!(now.overlay_len(), over.len());
        let mut all = base;
        all.extend(over);
        let all: BTreeMap<u32, Item> =
            all.into_iter().filter_map(|(number, item)| Some((number, item?))).collect();

        for prefix in ["m", "MI", "te", "tea milk", "ice", "cr", ""] {
            let mut expected = by_prefix(&all, prefix);
            expected.truncate(limit);
            let got = numbers(now.prefix(&product(), "name", prefix, limit).unwrap());
            prop_assert_eq!(got, expected, "prefix {:?}", prefix);
        }
        for name in ["Milk", "tea", "ICE TEA", "milk - tea"] {
            let same = all.iter().filter(|(_, item)| normal(&item.name) == normal(name));
            let expected: Vec<u32> = same.map(|(number, _)| *number).take(limit).collect();
            let got = numbers(now.find(&product(), "name", name, limit).unwrap());
            prop_assert_eq!(got, expected, "name {:?}", name);
        }
        for category in ["a", "ab", "b"] {
            let same = all.iter().filter(|(_, item)| item.category == category);
            let expected: Vec<u32> = same.map(|(number, _)| *number).take(limit).collect();
            let got = numbers(now.find(&product(), "categoryId", category, limit).unwrap());
            prop_assert_eq!(got, expected, "category {:?}", category);
        }
        let near: BTreeSet<u32> = all
            .iter()
            .filter(|(_, item)| {
                normal(&item.name).split(' ').any(|word| ["milk", "mild"].contains(&word))
            })
            .map(|(number, _)| *number)
            .collect();
        let got = now.fuzzy(&product(), "name", "mikl", 1000).unwrap();
        let close: BTreeSet<u32> = all
            .iter()
            .filter(|(_, item)| normal(&item.name).split(' ').any(|word| word == "milk"))
            .map(|(number, _)| *number)
            .collect();
        prop_assert_eq!(&numbers(got).into_iter().collect::<BTreeSet<_>>(), &close);
        let got = now.fuzzy(&product(), "name", "milk", 1000).unwrap();
        prop_assert_eq!(&numbers(got).into_iter().collect::<BTreeSet<_>>(), &near);
    }
}
