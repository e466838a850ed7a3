//! A till comes in, and what is bad stays out: over real TLS, against a whole box.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use axum::http::Method;
use rcgen::KeyPair;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::time::Timestamp;
use storebox_proto::trust::porter::RequestId;
use storebox_proto::trust::{Kind, MemberName, Slip, Wish};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::env;
use crate::terminal::access;
use crate::trust::call::{CallError, Connection};
use crate::trust::house;
use crate::trust::join::{JoinError, Membership, Newcomer};
use crate::trust::office::Office;
use crate::trust::porch::Porch;

/// Head office, in the directory of the test.
pub(super) fn office(dir: &Path) -> Office {
    Office::found(&dir.join("office"), env::believable()).unwrap()
}

/// Makes the box `storebox` a member of site 0007.
pub(super) fn adopt(dir: &Path) {
    let (mut office, now) = (office(dir), env::believable());
    let site = "0007".parse().unwrap();
    office.new_site(&site, now).unwrap();
    let request = house::request(dir, "storebox", Vec::new()).unwrap();
    house::adopt(dir, &office.issue(&site, &request, now).unwrap(), now).unwrap();
}

pub(super) fn porch(running: &Running) -> &Porch {
    running.built.trust.porch().unwrap()
}

fn wish(kind: Kind) -> Wish {
    Wish { kind, name: None, replace: false, by: "manager".to_owned() }
}

const TEN: Duration = Duration::from_secs(600);

fn slip(running: &Running, kind: Kind, lasts: Duration) -> Slip {
    porch(running).open_slip(wish(kind), lasts, Vec::new()).unwrap().0
}

fn newcomer(running: &Running, kind: Kind, name: &str) -> Newcomer {
    let name: MemberName = name.parse().unwrap();
    Newcomer::new(&running.dir.path().join("tills").join(name.as_str()), kind, name).unwrap()
}

/// A member of this kind, enrolled by slip.
pub(super) async fn enrolled(running: &Running, kind: Kind, name: &str) -> Membership {
    let slip = slip(running, kind, TEN);
    newcomer(running, kind, name).by_slip(&slip, &[running.secure]).await.unwrap()
}

pub(super) async fn get(connection: &mut Connection, path: &str) -> Result<(), Problem> {
    let answer = connection.send(Method::GET, path, &[], "").await.unwrap();
    match answer.json::<serde_json::Value>() {
        Err(CallError::Refused(problem)) => Err(problem),
        Ok(_) | Err(_) => Ok(()),
    }
}

fn code_of(error: JoinError) -> Code {
    if let JoinError::Call(CallError::Refused(problem)) = error {
        return problem.code;
    }
    panic!("{error}")
}

fn counted(running: &Running, reason: &str) -> u64 {
    running.built.traffic.disbeliefs().find(|(known, _)| *known == reason).unwrap().1
}

async fn stop(running: Running) {
    assert!(running.supervisor.stop(STOP_MAX).await.is_empty());
}

#[tokio::test]
async fn a_till_comes_in_by_slip_by_code_and_by_request() {
    let running = start("store").await;
    let by_slip = enrolled(&running, Kind::Terminal, "till-1").await;
    let (code, _) = porch(&running).open_code(wish(Kind::Terminal), TEN).unwrap();
    let by_code = newcomer(&running, Kind::Terminal, "till-2").by_code(&code, running.secure);
    let by_code = by_code.await.unwrap();
    let asking = newcomer(&running, Kind::Terminal, "till-3");
    let (number, asked) = asking.by_request(running.secure).await.unwrap();
    let waiting = porch(&running).requests();
    assert_eq!(waiting[0].number, number);
    porch(&running).answer(waiting[0].id, Some(false), "manager").unwrap();
    let by_request = asking.once_approved(asked).await.unwrap();
    for member in [&by_slip, &by_code, &by_request] {
        let mut connection = member.connect(running.secure).await.unwrap();
        get(&mut connection, "/v1/terminal/config").await.unwrap();
    }
    let acts: Vec<_> = porch(&running).audit().into_iter().map(|line| line.act).collect();
    let wanted = ["enrolled", "asked", "enrolled", "opened", "enrolled", "opened"];
    assert_eq!(acts, wanted);
    let text = serde_json::to_string(&porch(&running).audit()).unwrap();
    assert!(!text.contains(&code.replace(' ', "")), "no secret in the audit");
    let again = Membership::open(&running.dir.path().join("tills/till-1")).unwrap();
    get(&mut again.connect(running.secure).await.unwrap(), "/v1/models").await.unwrap();
    stop(running).await;
}

#[tokio::test]
async fn each_bad_way_in_has_its_own_code() {
    let running = start("store").await;
    let used = slip(&running, Kind::Terminal, TEN);
    let at = [running.secure];
    newcomer(&running, Kind::Terminal, "till-1").by_slip(&used, &at).await.unwrap();
    let join = async |kind, name: &str, slip: &Slip| {
        newcomer(&running, kind, name).by_slip(slip, &at).await.map(drop).map_err(code_of)
    };
    let replayed = join(Kind::Terminal, "till-2", &used).await;
    assert_eq!(replayed, Err(Code::EnrolmentClosed));
    let expired = slip(&running, Kind::Terminal, Duration::ZERO);
    assert_eq!(join(Kind::Terminal, "till-2", &expired).await, Err(Code::EnrolmentExpired));
    let other_kind = slip(&running, Kind::Peer, TEN);
    let refused = join(Kind::Terminal, "till-2", &other_kind).await;
    assert_eq!(refused, Err(Code::EnrolmentDenied));
    let mut guessed = slip(&running, Kind::Terminal, TEN);
    guessed.secret = storebox_proto::trust::Secret::new([0; 16]);
    assert_eq!(join(Kind::Terminal, "till-2", &guessed).await, Err(Code::EnrolmentProof));
    let taken = slip(&running, Kind::Terminal, TEN);
    let dir = running.dir.path().join("thief");
    let thief = Newcomer::new(&dir, Kind::Terminal, "till-1".parse().unwrap()).unwrap();
    let refused = thief.by_slip(&taken, &at).await.map(drop).map_err(code_of);
    assert_eq!(refused, Err(Code::TerminalExists), "not in place of another till");
    let (code, _) = porch(&running).open_code(wish(Kind::Terminal), TEN).unwrap();
    let wrong = if code.starts_with('0') { "11111111" } else { "00000000" };
    let refused = newcomer(&running, Kind::Terminal, "till-2").by_code(wrong, running.secure).await;
    assert_eq!(refused.map(drop).map_err(code_of), Err(Code::EnrolmentProof));
    let asking = newcomer(&running, Kind::Terminal, "till-4");
    let (_, asked) = asking.by_request(running.secure).await.unwrap();
    let id = porch(&running).requests()[0].id;
    porch(&running).answer(id, None, "manager").unwrap();
    let denied = asking.once_approved(asked).await.map(drop).map_err(code_of);
    assert_eq!(denied, Err(Code::EnrolmentDenied));
    assert!(porch(&running).answer(RequestId(99), None, "manager").is_err());
    let refused = porch(&running).audit().iter().filter(|line| line.act == "refused").count();
    assert_eq!(refused, 6, "each is in the audit, once");
    assert_eq!(porch(&running).outcomes()[1], ("refused", 6));
    stop(running).await;
}

#[tokio::test]
async fn what_is_malformed_oversized_or_plain_is_refused_before_any_rule() {
    let running = start("store").await;
    let post = async |body: Vec<u8>| {
        let way = crate::trust::client::Way::proven_later();
        let mut connection = Connection::open(running.secure, &way, None).await.unwrap();
        let answer = connection.send(Method::POST, "/enrol/v1/slip", &[], body).await.unwrap();
        serde_json::from_slice::<Problem>(&answer.body).unwrap().code
    };
    assert_eq!(post(b"not json".to_vec()).await, Code::BodyMalformed);
    assert_eq!(post(b"{\"slip\":\"0\"}".to_vec()).await, Code::FieldInvalid);
    assert_eq!(post(vec![b' '; 20_000]).await, Code::TooLarge);
    let url = format!("http://{}/enrol/v1/code/share", running.address);
    let share = serde_json::json!({"share": "00".repeat(32)});
    let plain = reqwest::Client::new().post(url).json(&share).send().await.unwrap();
    assert_eq!(plain.json::<Problem>().await.unwrap().code, Code::TlsRequired);
    stop(running).await;
}

/// A till with a certificate from this door, as of some other time.
fn forged(dir: &Path, site: &str, name: &str, now: Timestamp) -> (KeyPair, Vec<String>) {
    let house = house::House::open(dir, true).unwrap().unwrap();
    let site: storebox_proto::ids::SiteId = site.parse().unwrap();
    house.issue_for_test(&site, name, now)
}

#[tokio::test]
async fn each_bad_certificate_has_its_own_code_and_is_counted() {
    let running = start("store").await;
    let (here, there) = (running.dir.path(), tempfile::tempdir().unwrap());
    adopt(there.path());
    let days = |days: i64| Timestamp::from_unix_ms(env::believable().unix_ms() + days * 86_400_000);
    let cases = [
        (forged(here, "0007", "till-1", days(-400)), Code::CertificateExpired),
        (forged(here, "0008", "till-1", days(0)), Code::CertificateInvalid),
        (forged(there.path(), "0007", "till-1", days(0)), Code::CertificateInvalid),
    ];
    for ((key, chain), wanted) in cases {
        let before = counted(&running, wanted.as_str());
        let mut connection = show(&running, &key, &chain).await;
        let refused = get(&mut connection, "/v1/models").await.unwrap_err();
        assert_eq!((refused.code, refused.status), (wanted, wanted.status()));
        assert_eq!(counted(&running, wanted.as_str()), before + 1);
        get(&mut connection, "/healthz").await.unwrap();
    }
    let (key, chain) = forged(here, "0007", "till-9", days(-380));
    let mut on_grace = show(&running, &key, &chain).await;
    get(&mut on_grace, "/v1/models").await.unwrap();
    stop(running).await;
}

#[tokio::test]
async fn a_certificate_comes_in_under_the_name_of_a_terminal_with_a_token_only_with_that_token() {
    let running = start("store").await;
    let now = env::believable();
    let add =
        |name, secret| running.built.access.add(access::Kind::Terminal, name, secret, now).unwrap();
    let (own, other) = (add("till-1", [1; 32]), add("till-2", [2; 32]));
    let (key, chain) = forged(running.dir.path(), "0007", "till-1", now);
    let mut connection = show(&running, &key, &chain).await;
    let refused = get(&mut connection, "/v1/models").await.unwrap_err();
    assert_eq!(refused.code, Code::TerminalExists, "{}", refused.detail);
    get(&mut connection, "/healthz").await.unwrap();
    for (token, wanted) in [(other, Some(Code::TerminalExists)), (own, None)] {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str())];
        let answer = connection.send(Method::GET, "/v1/models", &headers, "").await.unwrap();
        let refused = match answer.json::<serde_json::Value>() {
            Err(CallError::Refused(problem)) => Some(problem.code),
            Ok(_) | Err(_) => None,
        };
        assert_eq!(refused, wanted);
    }
    stop(running).await;
}

async fn show(running: &Running, key: &KeyPair, chain: &[String]) -> Connection {
    let house = running.built.trust.house().unwrap();
    let (way, _) = house.way_to(house.member.site.clone());
    let chain = chain.iter().map(|text| crate::trust::paper::from_text(text).unwrap()).collect();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    Connection::open(running.secure, &way, Some((chain, key.into()))).await.unwrap()
}

#[tokio::test]
async fn who_is_struck_off_or_revoked_is_out_at_once() {
    let running = start("store").await;
    let (one, two) = (
        enrolled(&running, Kind::Terminal, "till-1").await,
        enrolled(&running, Kind::Terminal, "till-2").await,
    );
    let mut first = one.connect(running.secure).await.unwrap();
    let mut second = two.connect(running.secure).await.unwrap();
    get(&mut first, "/v1/models").await.unwrap();
    let at = env::believable();
    let struck = storebox_proto::trust::strike::Struck {
        key: one.public().fingerprint(),
        of: "till-1".to_owned(),
        at,
    };
    let list = office(running.dir.path()).strike(struck).unwrap();
    porch(&running).take_strikes(&list).unwrap();
    assert_eq!(get(&mut first, "/v1/models").await.unwrap_err().code, Code::Revoked);
    get(&mut second, "/v1/models").await.unwrap();
    running.built.access.revoke(access::Kind::Terminal, "till-2", at).unwrap();
    assert_eq!(get(&mut second, "/v1/models").await.unwrap_err().code, Code::Revoked);
    let mut again = two.connect(running.secure).await.unwrap();
    assert_eq!(get(&mut again, "/v1/models").await.unwrap_err().code, Code::Revoked);
    assert_eq!(counted(&running, "revoked"), 3);
    stop(running).await;
}

#[tokio::test]
async fn a_till_renews_itself_under_its_own_key_and_no_other() {
    let running = start("store").await;
    let till = enrolled(&running, Kind::Terminal, "till-1").await;
    let other = enrolled(&running, Kind::Terminal, "till-2").await;
    let mut connection = till.connect(running.secure).await.unwrap();
    let ask = |name: &str, key| serde_json::json!({"kind": "terminal", "name": name, "key": key});
    let grant: storebox_proto::trust::words::Grant =
        connection.post("/enrol/v1/renewal", &ask("till-1", till.public())).await.unwrap();
    assert_ne!(grant.chain[0], till.grant().chain[0]);
    for (name, key) in [("till-2", till.public()), ("till-1", other.public())] {
        let refused: Result<serde_json::Value, _> =
            connection.post("/enrol/v1/renewal", &ask(name, key)).await;
        assert!(matches!(refused, Err(CallError::Refused(p)) if p.code == Code::Forbidden));
    }
    stop(running).await;
}

#[tokio::test]
async fn a_handshake_that_is_downgraded_silent_or_nonsense_ends_and_is_counted() {
    let running = start("store").await;
    let send = async |bytes: &[u8]| {
        let mut stream = tokio::net::TcpStream::connect(running.secure).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut rest = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
        rest
    };
    let alert = send(&hello_of_tls_1_2()).await;
    assert_eq!(&alert[..1], [21], "an alert, not a handshake");
    send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(counted(&running, "downgraded"), 1);
    assert_eq!(counted(&running, "handshake"), 1);
    send(b"").await;
    assert_eq!(counted(&running, "handshake_slow"), 1);
    stop(running).await;
}

/// A greeting that offers TLS 1.2 and nothing newer.
fn hello_of_tls_1_2() -> Vec<u8> {
    let extensions =
        [&[0, 10, 0, 4, 0, 2, 0, 23][..], &[0, 13, 0, 4, 0, 2, 4, 3], &[0, 11, 0, 2, 1, 0]];
    let extensions = extensions.concat();
    let length = u16::try_from(extensions.len()).unwrap().to_be_bytes();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0xc0, 0x2b, 1, 0], &length, &extensions];
    let body = body.concat();
    let short = |length: usize| u16::try_from(length).unwrap().to_be_bytes();
    let handshake = [&[1, 0][..], &short(body.len()), &body].concat();
    [&[22, 3, 1][..], &short(handshake.len()), &handshake].concat()
}

#[tokio::test]
async fn pages_of_other_origins_and_turned_names_are_refused_on_both_listeners() {
    let running = start("store").await;
    let client = reqwest::Client::new();
    let ask = async |headers: &[(&str, &str)]| {
        let mut request = client.post(format!("http://{}/v1/transactions", running.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let allowed = response.headers().get("access-control-allow-origin").cloned();
        (response.json::<Problem>().await.map(|problem| problem.code).ok(), allowed)
    };
    assert_eq!(ask(&[("host", "evil.example")]).await.0, Some(Code::HostUnknown));
    let evil = ask(&[("origin", "https://evil.example")]).await;
    assert_eq!(evil, (Some(Code::OriginForeign), None));
    let pos = ask(&[("origin", "https://pos.example")]).await;
    assert_eq!(
        pos.0,
        Some(Code::Unauthenticated),
        "the page may ask, and still has to say who it is"
    );
    assert_eq!(pos.1.unwrap(), "https://pos.example");
    let till = enrolled(&running, Kind::Terminal, "till-1").await;
    let mut connection = till.connect(running.secure).await.unwrap();
    let evil = [("origin", "https://evil.example")];
    let answer = connection.send(Method::GET, "/v1/models", &evil, "").await.unwrap();
    assert_eq!(answer.status, 403, "a certificate travels by itself; a foreign page gains nothing");
    connection.say_host("evil.example");
    let way = crate::trust::client::Way::proven_later();
    let mut nobody = Connection::open(running.secure, &way, None).await.unwrap();
    nobody.say_host("evil.example");
    let answer = nobody.send(Method::GET, "/v1/status", &[], "").await.unwrap();
    assert_eq!(answer.status, 421);
    assert_eq!((counted(&running, "host_unknown"), counted(&running, "origin_foreign")), (2, 2));
    stop(running).await;
}

#[tokio::test]
async fn the_status_says_what_is_plain_and_what_waits() {
    let running = start("store").await;
    slip(&running, Kind::Terminal, TEN);
    let status = running.built.panel.status().await;
    let shown: Vec<_> = status.listeners.iter().map(|one| (one.tls, one.exposed)).collect();
    assert_eq!(shown, [(false, false), (true, false)]);
    let trust = status.clone().trust.unwrap();
    assert_eq!((trust.member.as_str(), trust.slips_open), ("box storebox of site 0007", 1));
    assert!(trust.expires.unwrap().starts_with("20"));
    assert!(status.summary().trust.is_none(), "passers-by see nothing of it");
    let _: SocketAddr = running.secure;
    stop(running).await;
}
