//! The vectors that a program in another language made from the specification.
//!
//! If a test here fails, do not change the test or the vectors: boxes in the field would no longer agree.

use serde::Deserialize;

use super::*;
use crate::time::Timestamp;

const FILE: &str = include_str!("../../../../tests/vectors/sealed/v1/vectors.json");

#[derive(Deserialize)]
struct File {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Case {
    site_key: String,
    site: String,
    scope: Scope,
    generation: u32,
    begun_ms: i64,
    now_ms: i64,
    tag: String,
    epoch: u32,
    path: String,
    query: Vec<(String, String)>,
    frame: String,
    url: String,
    answer_nonce: String,
    answer_body: String,
    answer: String,
    write_nonce: String,
    write_body: String,
    write_url: String,
    write: String,
    object_name: String,
    object: String,
    stored_name: String,
    stored: String,
}

fn bytes<const N: usize>(text: &str) -> [u8; N] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn cases() -> Vec<(Case, Keyring, Moment)> {
    let file: File = serde_json::from_str(FILE).unwrap();
    let with_keys = |case: Case| {
        let key = SiteKey::new(bytes(&case.site_key));
        let begun = Timestamp::from_unix_ms(case.begun_ms);
        let site = case.site.parse().unwrap();
        let ring = Ring::begin(&key, site, case.scope, case.generation, begun);
        assert_eq!(hex::encode(ring.tag()), case.tag);
        let keyring = Keyring::new(vec![ring]).unwrap();
        let moment = keyring.moment(Timestamp::from_unix_ms(case.now_ms));
        (case, keyring, moment)
    };
    file.cases.into_iter().map(with_keys).collect()
}

#[test]
fn reads_of_version_1_have_these_urls() {
    for (case, _, moment) in cases() {
        let keys = moment.sealing(case.scope).unwrap();
        assert_eq!(keys.kid().epoch, case.epoch);
        let query = read::Query::new(&case.path, case.query).unwrap();
        assert_eq!(hex::encode(query.frame()), case.frame);
        assert_eq!(read::seal(keys, &query), case.url);
        assert_eq!(read::open(&moment, &case.url).unwrap().1, query);
    }
}

#[test]
fn answers_of_version_1_are_read_and_made() {
    for (case, _, moment) in cases() {
        let keys = moment.sealing(case.scope).unwrap();
        let question = answer::Question::read(&case.url);
        let sealed = hex::decode(&case.answer).unwrap();
        let answer = answer::open(keys, &question, &sealed).unwrap();
        assert_eq!(hex::encode(&answer.body), case.answer_body);
        assert_eq!(answer.made.unix_ms(), case.now_ms);
        assert_eq!((answer.status, answer.max_age_s), (200, 30));
        assert_eq!(answer.life, 0x0102_0304_0506_0708);
        let nonce = bytes(&case.answer_nonce);
        assert_eq!(answer::seal(keys, &question, &answer, &nonce), sealed);
    }
}

#[test]
fn writes_of_version_1_are_read_and_made() {
    for (case, _, moment) in cases() {
        let body = hex::decode(&case.write).unwrap();
        let (keys, write) = write::open(&moment, &case.write_url, &body).unwrap();
        assert_eq!(hex::encode(&write.body), case.write_body);
        assert_eq!((write.counter, write.path()), (77, "/v1/transactions"));
        let sealed = write::seal(keys, &write, &bytes(&case.write_nonce));
        assert_eq!(sealed, (case.write_url, body));
    }
}

#[test]
fn stored_objects_of_version_1_are_read_and_made() {
    for (case, keyring, _) in cases() {
        let now = Timestamp::from_unix_ms(0);
        let key = &keyring.storage(&case.site.parse().unwrap(), case.scope, now)[0];
        let object = hex::decode(&case.object).unwrap();
        assert_eq!(key.name(&case.object_name), case.stored_name);
        assert_eq!(hex::encode(key.seal(&case.object_name, &object)), case.stored);
        let sealed = hex::decode(&case.stored).unwrap();
        assert_eq!(key.open(&case.object_name, &sealed).unwrap(), object);
    }
}
