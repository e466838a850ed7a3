use proptest::prelude::*;

use super::*;

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn head() -> Head {
    let model: ModelName = "Product".parse().unwrap();
    let page = RunPage {
        model: model.clone(),
        name: Hash32::of(b"page"),
        digest: Hash32::of(b"content"),
        count: 2,
        bytes: 300,
    };
    Head {
        version: VERSION,
        feed: "catalogue".parse().unwrap(),
        epoch: 7,
        revision: 3,
        horizon: 1,
        published: Timestamp::from_unix_ms(1_793_491_200_000),
        models: vec![HeadModel {
            model,
            count: 10,
            digest: Hash32::of(b"digest"),
            manifest: Hash32::of(b"manifest"),
            manifest_bytes: 200,
        }],
        runs: vec![
            Run { revision: 2, pages: vec![page.clone()] },
            Run { revision: 3, pages: vec![page] },
        ],
    }
}

#[test]
fn a_head_survives_its_signature() {
    let signed = SignedHead::sign(&head(), &key(1)).unwrap();
    let bytes = serde_json::to_vec(&signed).unwrap();
    let opened = SignedHead::parse(&bytes).unwrap().open(&[key(1).verifying_key()]).unwrap();
    assert_eq!(opened, head());
}

#[test]
fn a_head_of_a_stranger_or_with_a_changed_byte_is_refused() {
    let signed = SignedHead::sign(&head(), &key(1)).unwrap();
    let trusted = [key(1).verifying_key()];
    assert!(matches!(signed.open(&[key(2).verifying_key()]), Err(HeadError::Key { .. })));
    let mut other = signed.clone();
    other.payload = other.payload.replace("\"revision\":3", "\"revision\":4");
    assert!(matches!(other.open(&trusted), Err(HeadError::Signature)));
    let mut cut = signed;
    cut.signature.truncate(10);
    assert!(matches!(cut.open(&trusted), Err(HeadError::Signature)));
}

#[test]
fn a_head_that_breaks_a_rule_is_refused_with_the_rule() {
    type Break = fn(&mut Head);
    let broken: [(Break, &str); 8] = [
        (|head| head.revision = 0, "its revision or horizon is out of bounds"),
        (|head| head.horizon = 4, "its revision or horizon is out of bounds"),
        (|head| head.horizon = 2, "its runs do not lead from the horizon to the revision"),
        (|head| head.runs[1].revision = 9, "its runs are not in order"),
        (|head| head.runs[0].pages.clear(), "a run has no pages"),
        (
            |head| head.runs[0].pages[0].model = "Stranger".parse().unwrap(),
            "a page's model, count or length is out of bounds",
        ),
        (|head| head.models[0].manifest_bytes = 0, "a model's count or manifest is out of bounds"),
        (|head| head.models.push(head.models[0].clone()), "its models do not ascend"),
    ];
    for (change, expected) in broken {
        let mut head = head();
        change(&mut head);
        match head.check() {
            Err(HeadError::Rule { rule, .. }) => assert_eq!(rule, expected),
            other => panic!("{expected}: {other:?}"),
        }
    }
}

#[test]
fn the_runs_after_a_revision_end_at_the_horizon() {
    let head = head();
    assert_eq!(head.runs_after(0), None);
    assert_eq!(head.runs_after(1).map(<[Run]>::len), Some(2));
    assert_eq!(head.runs_after(3).map(<[Run]>::len), Some(0));
    assert_eq!(head.runs_after(4), None);
}

proptest! {
    #[test]
    fn any_bytes_are_no_trusted_head(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(signed) = SignedHead::parse(&bytes) {
            prop_assert!(signed.open(&[key(1).verifying_key()]).is_err());
        }
    }
}
