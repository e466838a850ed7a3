use std::sync::mpsc as threads;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::config::Role;
use crate::status::PanelBuilder;
use crate::supervise::Supervisor;

/// No condition of a test takes longer, unless it is never met.
const PATIENCE: Duration = Duration::from_secs(30);

fn order(by: &str) -> Order {
    Order { seconds: 600, by: by.to_owned() }
}

fn question(id: u64) -> Question {
    Question { id, path: "/v1/status".to_owned(), by: "olga".to_owned() }
}

/// What head office says to a call.
type Answer = fn(&Call) -> Result<Asked, StatusCode>;

#[derive(Clone)]
struct Office {
    calls: mpsc::UnboundedSender<Call>,
    answer: Answer,
}

async fn hear(
    State(office): State<Office>,
    Json(call): Json<Call>,
) -> Result<Json<Asked>, StatusCode> {
    let answer = (office.answer)(&call);
    let _ = office.calls.send(call);
    match answer {
        // There is nothing to say: the call is held.
        Ok(asked) if asked == Asked::default() => std::future::pending().await,
        answer => answer.map(Json),
    }
}

/// Runs a desk against such a head office while the test reads what it is told.
async fn visited(
    desk: &Desk,
    on_request: bool,
    answer: Answer,
    test: impl AsyncFnOnce(mpsc::UnboundedReceiver<Call>),
) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (calls, heard) = mpsc::unbounded_channel();
    let office = Office { calls, answer };
    let office = Router::new().route("/sync/v1/visit", post(hear)).with_state(office);
    let ground = Ground {
        router: Router::new().route("/v1/status", get(|| async { "fine" })),
        source: HttpSource::new(&address, "token", PATIENCE).unwrap(),
        origin: Origin { file: PathBuf::new(), data_dir: None },
        on_request,
    };
    let stop = CancellationToken::new();
    let test = async {
        tokio::time::timeout(PATIENCE * 2, test(heard)).await.expect("in time");
        stop.cancel();
    };
    let run = async { tokio::join!(desk.clone().run(ground, stop.clone()), test) };
    tokio::select! {
        _ = axum::serve(listener, office).into_future() => panic!("head office is gone"),
        _ = run => {}
    }
}

#[tokio::test]
async fn an_answer_that_does_not_get_through_is_not_sent_again_and_a_close_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path());
    desk.let_in(&order("anna")).unwrap();
    // It asks for three things in the first call, and has no room for the first of them.
    let answer: Answer = |call| match call.sights.first() {
        None => Ok(Asked { questions: vec![question(1), question(2), question(3)], knock: None }),
        Some(sight) if sight.id == 1 => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Some(sight) if sight.id == 3 => Ok(Asked::default()),
        Some(_) => Ok(Asked { questions: Vec::new(), knock: Some(order("nobody")) }),
    };
    visited(&desk, false, answer, async |mut heard| {
        let mut shown = Vec::new();
        while shown.last() != Some(&3) {
            let call = heard.recv().await.unwrap();
            assert!(call.open_s > 0 && call.sights.len() <= 1, "{call:?}");
            shown.extend(call.sights.iter().map(|sight| sight.id));
        }
        assert_eq!(shown, [1, 2, 3]);
        assert!(desk.close("ben"));
        let closed = heard.recv().await.unwrap();
        assert_eq!(closed, Call::default());
    })
    .await;
}

#[tokio::test]
async fn more_is_not_taken_than_may_be_asked_and_a_name_is_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path());
    let answer: Answer = |call| {
        let many = 100 * u64::from(call.sights.is_empty());
        let knock = Some(order(" ol\u{1b}ga\n"));
        Ok(Asked { questions: (0..many).map(question).collect(), knock })
    };
    visited(&desk, true, answer, async |mut heard| {
        let knocked = heard.recv().await.unwrap();
        assert!(knocked.waits && knocked.open_s == 0, "{knocked:?}");
        assert!(heard.recv().await.unwrap().sights.is_empty());
        let mut shown = 0;
        while !heard.recv().await.unwrap().sights.is_empty() {
            shown += 1;
        }
        assert_eq!(shown, VISIT_QUESTIONS_MAX);
    })
    .await;
    let opened = desk.audit().into_iter().find(|entry| entry.what == "opened").unwrap();
    assert_eq!(opened.by, "olga");
}

#[tokio::test]
async fn a_disk_that_takes_nothing_closes_and_erases_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let desk = Desk::open(&data);
    desk.let_in(&order("anna")).unwrap();
    std::fs::remove_dir_all(&data).unwrap();
    for _ in 0..1000 {
        assert!(desk.change(|visit, at, now| visit.admit(&question(1), at, now)).is_err());
    }
    assert!(matches!(desk.let_in(&order("carl")), Err(OpenError::Audit(_))));
    assert!(desk.close("ben") && !desk.close("ben"), "it closes all the same, once");
    assert!(desk.inner.shown.borrow().is_none());
    std::fs::create_dir(&data).unwrap();
    assert!(desk.end(|visit, at, now| visit.handle_timeout(at, now)).1);
    for desk in [desk, Desk::open(&data)] {
        let told: Vec<_> = desk.audit().into_iter().map(|entry| (entry.what, entry.by)).collect();
        let one = |what: &str, by: &str| (what.to_owned(), by.to_owned());
        assert_eq!(told, [one("closed", "ben"), one("opened", "anna")]);
    }
}

#[tokio::test]
async fn the_status_does_not_wait_for_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let desk = Desk::open(dir.path());
    desk.let_in(&order("anna")).unwrap();
    let (here, there) = (threads::channel(), threads::channel());
    let writer = desk.clone();
    // As if the disk hung while something is written down.
    let writing = std::thread::spawn(move || {
        let _visit = writer.visit();
        let _audit = lock(&writer.inner.audit);
        here.0.send(()).unwrap();
        there.1.recv_timeout(PATIENCE).is_ok()
    });
    here.1.recv().unwrap();
    let node = "store-1".parse().unwrap();
    let mut panel = PanelBuilder::new(node, Role::Store, String::new(), Supervisor::new());
    panel.add(desk.report());
    let visit = panel.finish().status().await.visit;
    assert_eq!(visit.unwrap().by, "anna");
    let _ = there.0.send(());
    assert!(writing.join().unwrap(), "the status waited for the disk");
}
