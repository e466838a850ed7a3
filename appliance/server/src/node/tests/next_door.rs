//! A box next door tells this one whom it has let in: over real HTTP, against a whole box.

use storebox_proto::ids::Hash32;
use storebox_proto::problem::{Code, Problem};
use storebox_proto::time::Timestamp;

use super::*;
use crate::pass::{Pass, SiteSecret};
use crate::terminal::access::Access;
use crate::terminal::next_door::{Card, Hello, Reply};

const PAGE: &str = "http://10.77.0.9:8080";

/// The box next door: a list of its own and the secret of the store.
struct Beside {
    access: Access,
    secret: SiteSecret,
    _dir: tempfile::TempDir,
}

impl Beside {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let secret = SiteSecret::new("a secret of this store only");
        Self { access: Access::open(dir.path()).unwrap(), secret, _dir: dir }
    }

    fn hello(&self) -> Hello {
        let mut hello = Hello::of("store-9", self.access.terminals());
        hello.card.addresses = vec![PAGE.to_owned()];
        hello
    }

    /// Says it at this path, with this secret.
    async fn say(
        &self,
        running: &Running,
        secret: &SiteSecret,
        path: &str,
        hello: &Hello,
    ) -> Result<Reply, Code> {
        let body = serde_json::to_vec(hello).unwrap();
        let pass = Pass::Site(secret.clone(), "store-9".parse().unwrap());
        let shown = pass.show("PUT", path, &body);
        let url = format!("http://{}{path}", running.address);
        let request = reqwest::Client::new().put(url).body(body);
        let answer = request.header("authorization", shown.header).send().await.unwrap();
        match answer.status().is_success() {
            true => Ok(answer.json().await.unwrap()),
            false => Err(answer.json::<Problem>().await.unwrap().code),
        }
    }

    async fn tell(&self, running: &Running) {
        let path = "/sync/v1/next-door/store-9";
        let asks = self.say(running, &self.secret, path, &self.hello()).await.unwrap();
        assert!(asks.wants_terminals, "it is heard with what was asked for");
        let hello = Hello { asked: asks.asks, ..self.hello() };
        let reply = self.say(running, &self.secret, path, &hello).await.unwrap();
        let again = self.say(running, &self.secret, path, &hello).await.unwrap();
        assert!(again.wants_terminals && again.asks == reply.asks, "and once");
        assert_eq!(reply.read(&self.secret, "now").unwrap().node.as_str(), "storebox");
        assert!(!reply.wants_terminals);
    }
}

/// What a page of this origin is answered with this token.
async fn ask(running: &Running, token: &str, origin: &str) -> (u16, serde_json::Value) {
    let url = format!("http://{}/v1/terminal/config", running.address);
    let request = reqwest::Client::new().get(url).bearer_auth(token).header("origin", origin);
    let answer = request.send().await.unwrap();
    if answer.status().is_success() {
        assert_eq!(answer.headers()["access-control-allow-origin"], origin);
    }
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn listening() -> Running {
    let running = start("store").await;
    let card = Card::new("storebox".parse().unwrap(), &[running.address], &[], "", &[]);
    running.built.access.next_door().serve(move || card.clone());
    running
}

#[tokio::test]
async fn a_till_of_the_box_next_door_and_its_page_are_let_in_until_it_is_revoked_there() {
    let (running, beside) = (listening().await, Beside::open());
    let now = Timestamp::from_unix_ms(1);
    let token = beside.access.add(Kind::Terminal, "till-9", [9; 32], now).unwrap();
    assert_eq!(ask(&running, &token, PAGE).await.0, 403, "a page of nobody's");
    beside.tell(&running).await;
    let (status, profile) = ask(&running, &token, PAGE).await;
    assert_eq!(
        (status, &profile["terminal"], &profile["epoch"]),
        (200, &"till-9".into(), &1.into())
    );
    assert_eq!(ask(&running, &token, "http://10.77.0.8:8080").await.0, 403);
    let (status, problem) = ask(&running, "sbt_00", PAGE).await;
    assert_eq!((status, &problem["code"]), (401, &"unauthenticated".into()));
    let shown = running.built.panel.status().await.clients;
    assert!(shown.iter().any(|client| client.name == "till-9"), "{shown:?}");
    beside.access.revoke(Kind::Terminal, "till-9", now).unwrap();
    beside.tell(&running).await;
    assert_eq!(ask(&running, &token, PAGE).await.1["code"], "revoked");
    assert!(running.supervisor.stop(STOP_MAX).await.is_empty());
}

#[tokio::test]
async fn only_a_box_with_the_secret_speaks_and_for_itself_alone() {
    let (running, beside) = (listening().await, Beside::open());
    let now = Timestamp::from_unix_ms(1);
    let path = "/sync/v1/next-door/store-9";
    let say = async |secret: &SiteSecret, path: &str, hello: &Hello| {
        beside.say(&running, secret, path, hello).await.map(drop)
    };
    let other = SiteSecret::new("a secret of another store");
    assert_eq!(say(&other, path, &beside.hello()).await, Err(Code::Unauthenticated));
    let elsewhere = "/sync/v1/next-door/store-8";
    assert_eq!(say(&beside.secret, elsewhere, &beside.hello()).await, Err(Code::PathUnknown));
    let mut hello = beside.hello();
    hello.card.node = "store-8".parse().unwrap();
    assert_eq!(say(&beside.secret, path, &hello).await, Err(Code::PathUnknown));
    hello = beside.hello();
    hello.card.addresses = vec!["*".to_owned()];
    assert_eq!(say(&beside.secret, path, &hello).await, Err(Code::FieldInvalid));
    let asked = beside.say(&running, &beside.secret, path, &beside.hello()).await.unwrap().asks;
    let operator = beside.access.add(Kind::Operator, "anna", [1; 32], now).unwrap();
    let mut entries = beside.access.terminals();
    assert!(entries.is_empty(), "nobody but terminals is told of");
    beside.access.add(Kind::Terminal, "anna", [2; 32], now).unwrap();
    entries.extend(beside.access.terminals());
    entries[0].kind = Kind::Operator;
    entries[0].hash = Hash32::of(operator.as_bytes());
    hello = Hello { terminals: Some(entries), asked, ..beside.hello() };
    assert_eq!(say(&beside.secret, path, &hello).await, Err(Code::FieldInvalid));
    let url = format!("http://{}{path}", running.address);
    let node = running.built.access.add(Kind::Node, "store-9", [3; 32], now).unwrap();
    let body = serde_json::to_vec(&beside.hello()).unwrap();
    let by_token = reqwest::Client::new().put(url).bearer_auth(node).body(body).send().await;
    assert_eq!(by_token.unwrap().status(), StatusCode::FORBIDDEN);
    let asked = ask(&running, &operator, &format!("http://{}", running.address)).await;
    assert_eq!(asked.0, 401, "an operator is let in where he was added");
    assert!(running.supervisor.stop(STOP_MAX).await.is_empty());
}
