//! Sealed requests over real sockets: what is shared, what is one caller's, and everything that is refused.

use storebox_proto::problem::{Code, Problem};
use storebox_proto::seal::answer::{self, Question};
use storebox_proto::seal::read::{self, Query};
use storebox_proto::seal::write::{self, Write};
use storebox_proto::seal::{Keys, Ring, Scope, SealError, SiteKey};

use super::*;
use crate::env;
use crate::secrets::SecretText;
use crate::wire::{Ask, MEDIA_TYPE, Wire, WireError};

const RECORDS: &str = "/v1/models/Product/records";

impl Site {
    /// The keys that tills of this site have.
    pub(super) fn till_keys(&self) -> Keys {
        let site = "store-7".parse().unwrap();
        if self.seals.list(env::believable()).is_empty() {
            self.seals.begin(&site, Scope::Tills, env::believable()).unwrap();
        }
        self.seals.moment(env::believable()).sealing(Scope::Tills).unwrap().clone()
    }

    fn wire(&self, token: &str) -> Wire {
        self.till_keys();
        let token = SecretText::new(token.to_owned());
        let address = format!("http://{}", self.address);
        Wire::new(&address, token, self.seals.clone(), Scope::Tills).unwrap()
    }

    fn write(&self, counter: u64, key: u8) -> Write {
        Write {
            life: self.seals.life(),
            counter,
            key: [key; 16],
            method: "GET".to_owned(),
            target: "/v1/terminal/config".to_owned(),
            headers: vec![("authorization".to_owned(), format!("Bearer {}", self.token))],
            body: Vec::new(),
        }
    }

    async fn post(&self, keys: &Keys, write: &Write) -> Result<answer::Answer, Problem> {
        let (url, body) = write::seal(keys, write, &env::random());
        let question = Question::write(&url, &body);
        let response = self.client.post(format!("http://{}{url}", self.address)).body(body);
        let response = response.send().await.unwrap();
        if !response.status().is_success() {
            return Err(response.json().await.unwrap());
        }
        Ok(answer::open(keys, &question, &response.bytes().await.unwrap()).unwrap())
    }

    async fn refusal(&self, url: &str) -> Code {
        let response = self.client.get(format!("http://{}{url}", self.address)).send().await;
        response.unwrap().json::<Problem>().await.unwrap().code
    }
}

fn find(barcode: &str) -> Vec<(String, String)> {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    vec![pair("value", barcode), pair("field", "barcode")]
}

fn code(answer: &answer::Answer) -> Option<Code> {
    serde_json::from_slice::<Problem>(&answer.body).ok().map(|problem| problem.code)
}

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_sealed_read_answers_what_the_open_one_does_and_any_cache_may_keep_it() {
    let site = Site::open(50, Http::default()).await;
    let keys = site.till_keys();
    let url = read::seal(&keys, &Query::new(RECORDS, find("40000007")).unwrap());
    let response = site.client.get(format!("http://{}{url}", site.address)).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], MEDIA_TYPE);
    assert_eq!(response.headers()["cache-control"], "public, max-age=30");
    let sealed = response.bytes().await.unwrap();
    assert!(!sealed.windows(5).any(|window| window == b"Apple"));
    let answer = answer::open(&keys, &Question::read(&url), &sealed).unwrap();
    assert_eq!((answer.status, answer.max_age_s), (200, 30));
    assert_eq!(answer.standing.unwrap().revision, 7);
    let open = format!("http://{}{RECORDS}?field=barcode&value=40000007", site.address);
    let open = site.client.get(open).bearer_auth(&site.token).send().await.unwrap();
    assert_eq!(answer.body, open.bytes().await.unwrap());
    let wire = site.wire("nobody's");
    let missing = wire.read("/v1/models/Product/records/none", Vec::new(), SOON, 10_000).await;
    let missing = missing.unwrap();
    assert_eq!((missing.status, missing.max_age_s), (404, 0));
}

#[tokio::test]
async fn a_sealed_write_is_its_callers_and_done_once() {
    let site = Site::open(1, Http::default()).await;
    let keys = site.till_keys();
    let wire = site.wire(&site.token.clone());
    let ask = |method, target: &str, body: &str| Ask {
        method,
        target: target.to_owned(),
        body: body.as_bytes().to_vec(),
        within: SOON,
        bytes_max: 100_000,
    };
    let config = wire.ask(ask("GET", "/v1/terminal/config", "")).await.unwrap();
    let text = String::from_utf8(config.body).unwrap();
    assert!(config.status == 200 && text.contains("till-1"), "{text}");
    let login = wire.ask(ask("POST", "/v1/terminal/login", "{}")).await.unwrap();
    assert_eq!(login.status, 200);
    let closed = wire.ask(ask("POST", "/v1/terminals", "{}")).await.unwrap();
    assert_eq!((closed.status, code(&closed)), (403, Some(Code::Forbidden)));
    let stranger = site.wire("sbt_00").ask(ask("GET", "/v1/models", "")).await.unwrap();
    assert_eq!((stranger.status, code(&stranger)), (401, Some(Code::Unauthenticated)));
    let counter = u64::MAX - 200;
    let first = site.post(&keys, &site.write(counter, 1)).await.unwrap();
    let again = site.post(&keys, &site.write(counter + 1, 1)).await.unwrap();
    assert_eq!((first.status, first.body), (again.status, again.body), "the first answer again");
}

#[tokio::test]
async fn each_bad_seal_has_its_own_code() {
    let site = Site::open(1, Http::default()).await;
    let keys = site.till_keys();
    let query = Query::new("/v1/models", Vec::new()).unwrap();
    let url = read::seal(&keys, &query);
    let now = env::believable();
    let foreign = SiteKey::new([9; 32]);
    let foreign = Ring::begin(&foreign, "store-8".parse().unwrap(), Scope::Tills, 1, now);
    let foreign = read::seal(&foreign.keys(foreign.epoch_at(now)).unwrap(), &query);
    assert_eq!(site.refusal(&foreign).await, Code::SealKeyUnknown);
    let ring = site.seals.hand_over(&"store-7".parse().unwrap(), Scope::Tills).unwrap();
    let far = Ring::resume(ring).keys(keys.kid().epoch + 2).unwrap();
    assert_eq!(site.refusal(&read::seal(&far, &query)).await, Code::SealExpired);
    let last = if url.ends_with('A') { "B" } else { "A" };
    assert_eq!(site.refusal(&format!("{}{last}", &url[..url.len() - 1])).await, Code::SealBroken);
    assert_eq!(site.refusal("/x/").await, Code::SealBroken);
    assert_eq!(site.refusal(&format!("{url}?x=1")).await, Code::SealBroken);
    let private = Query::new("/v1/terminal/config", Vec::new()).unwrap();
    assert_eq!(site.refusal(&read::seal(&keys, &private)).await, Code::SealNotShared);
    let put = site.client.put(format!("http://{}{url}", site.address)).send().await.unwrap();
    assert_eq!(put.json::<Problem>().await.unwrap().code, Code::MethodNotAllowed);
    site.seals.remove(&"store-7".parse().unwrap(), Scope::Tills).unwrap();
    assert_eq!(site.refusal(&url).await, Code::SealKeyUnknown, "taken back");
}

#[tokio::test]
async fn replayed_reordered_oversized_and_old_writes_are_refused() {
    let site = Site::open(1, Http::default()).await;
    let keys = site.till_keys();
    assert_eq!(site.post(&keys, &site.write(500, 1)).await.unwrap().status, 200);
    let replayed = site.post(&keys, &site.write(500, 2)).await.unwrap();
    assert_eq!(code(&replayed), Some(Code::SealReplayed));
    assert_eq!(replayed.header("storebox-counter"), Some("500"));
    let late = site.post(&keys, &site.write(436, 3)).await.unwrap();
    assert_eq!(code(&late), Some(Code::SealReordered));
    let mut old = site.write(501, 4);
    old.life ^= 2;
    assert_eq!(code(&site.post(&keys, &old).await.unwrap()), Some(Code::SealRestarted));
    let mut large = site.write(502, 5);
    large.body = vec![b' '; Http::default().body_bytes_max + 100_000];
    assert_eq!(site.post(&keys, &large).await.unwrap_err().code, Code::TooLarge);
    let (url, mut body) = write::seal(&keys, &site.write(503, 6), &env::random());
    body[40] ^= 1;
    let posted = site.client.post(format!("http://{}{url}", site.address)).body(body);
    let problem = posted.send().await.unwrap().json::<Problem>().await.unwrap();
    assert_eq!(problem.code, Code::SealBroken);
}

#[tokio::test]
async fn nothing_falls_back_to_the_open() {
    let site = Site::open(1, Http::default()).await;
    site.till_keys();
    let open = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", open.local_addr().unwrap());
    let plain = axum::Router::new().fallback(async || "plain");
    let serving = async move { axum::serve(open, plain).await };
    let wire =
        Wire::new(&address, SecretText::new(String::new()), site.seals.clone(), Scope::Tills);
    let wire = wire.unwrap();
    let asking = async {
        let read = wire.read("/v1/models", Vec::new(), SOON, 1000).await;
        assert!(matches!(read, Err(WireError::Seal(SealError::Downgraded))));
        let keyless =
            Wire::new(&address, SecretText::new(String::new()), site.seals.clone(), Scope::Boxes);
        let read = keyless.unwrap().read("/sync/v1/feeds", Vec::new(), SOON, 1000).await;
        assert!(matches!(read, Err(WireError::NoKey { .. })));
    };
    tokio::select! {
        _ = serving => panic!("the other server ended"),
        () = asking => {}
    }
}

#[tokio::test]
async fn where_sealing_is_required_the_open_is_refused() {
    let settings = config::Seal { required: vec![Scope::Tills], ..config::Seal::default() };
    let site = Plan { seal: settings, ..Site::plan(1, Http::default()) }.open().await;
    let open = site.client.get(format!("http://{}/v1/models", site.address));
    let open = open.bearer_auth(&site.token).send().await.unwrap();
    assert_eq!(open.json::<Problem>().await.unwrap().code, Code::SealRequired);
    let keys = site.till_keys();
    assert_eq!(site.post(&keys, &site.write(1, 1)).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_target_has_nothing_behind_a_hash_that_the_tables_would_read() {
    let site = Site::open(1, Http::default()).await;
    let keys = site.till_keys();
    let target = "/v1/printers/p1/jobs/K/decision#".to_owned();
    let hidden = Write { method: "POST".to_owned(), target, ..site.write(1, 1) };
    let problem = site.post(&keys, &hidden).await.unwrap_err();
    assert_eq!(problem.code, SealError::Content("the target").code(), "{problem:?}");
}
