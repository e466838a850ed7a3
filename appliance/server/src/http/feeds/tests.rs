//! The routes as a caller sees them, over a real office in a temporary directory.

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use ed25519_dalek::SigningKey;
use storebox_proto::feed::SignedHead;
use tower::ServiceExt;

use super::operator::{Desk, office_routes};
use super::*;
use crate::replica::author::{self, Author};
use crate::replica::import::Limits;
use crate::replica::office::Office;
use crate::replica::refresher::{Options, Refresher};
use crate::replica::sources::Sources;

struct Main {
    _dir: tempfile::TempDir,
    board: Board,
    sync: Router,
    operator: Router,
    _refresher: Refresher,
    shutdown: CancellationToken,
}

impl Main {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let segments = SegmentStore::open(&dir.path().join("segments")).unwrap();
        let board = Board::new(["catalogue", "estate"].map(|feed| feed.parse().unwrap()));
        let key = SigningKey::from_bytes(&[4; 32]);
        let keys = vec![key.verifying_key()];
        let (heads, options) = (dir.path().join("heads"), author::Options::new(1));
        let author = Author::open(&heads, segments.clone(), key, board.clone(), options).unwrap();
        let office = Office::new(author, dir.path(), Limits::default());
        let history = History::open(&dir.path().join("history"), "main".parse().unwrap()).unwrap();
        let shutdown = CancellationToken::new();
        let (refresher, handle, readers) = Refresher::open(
            &dir.path().join("feeds"),
            segments.clone(),
            Sources::local(board.clone()),
            Board::default(),
            history.clone(),
            Options::new(keys),
        )
        .unwrap();
        let desk = Desk { refresher: handle, readers, history: history.clone() };
        let stop = shutdown.clone();
        let releases = SegmentStore::open(&dir.path().join("releases")).unwrap();
        let sync = Sync { board: board.clone(), segments, releases, history, shutdown: stop };
        let (sync, _) = routes(sync).split_for_parts();
        let (operator, _) =
            operator::routes(desk).merge(office_routes(office, None)).split_for_parts();
        Self { _dir: dir, board, sync, operator, _refresher: refresher, shutdown }
    }

    async fn as_node(&self, request: Request<Body>) -> Response {
        let identity = Identity::Node("box-1".parse().unwrap());
        self.sync.clone().layer(Extension(identity)).oneshot(request).await.unwrap()
    }

    async fn as_operator(&self, request: Request<Body>) -> Response {
        self.operator.clone().layer(Extension(Identity::Operator)).oneshot(request).await.unwrap()
    }

    async fn import(&self, model: &str, lines: &'static str) -> (StatusCode, serde_json::Value) {
        let path = format!("/v1/import/models/{model}");
        json(self.as_operator(post(&path, lines)).await).await
    }
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).unwrap()
}

fn post(path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    request.body(body.into()).unwrap()
}

async fn json(response: Response) -> (StatusCode, serde_json::Value) {
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

const BRANDS: &str = "{\"id\":\"M1\",\"name\":\"One\"}\n{\"id\":\"M2\",\"name\":\"Two\"}\n";

#[tokio::test]
async fn heads_and_objects_are_served_with_their_tags() {
    let main = Main::new();
    assert_eq!(main.as_node(get("/sync/v1/feeds/catalogue/head")).await.status(), 304);
    assert_eq!(main.import("Brand", BRANDS).await.0, 200);
    let response = main.as_node(get("/sync/v1/feeds/catalogue/head")).await;
    assert_eq!(response.headers()[header::ETAG], "\"1-1\"");
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let key = SigningKey::from_bytes(&[4; 32]).verifying_key();
    let head = SignedHead::parse(&bytes).unwrap().open(&[key]).unwrap();
    let same = "/sync/v1/feeds/catalogue/head?after_epoch=1&after_revision=1";
    assert_eq!(main.as_node(get(same)).await.status(), 304);
    let mut tagged = get("/sync/v1/feeds/catalogue/head");
    tagged.headers_mut().insert(header::IF_NONE_MATCH, "\"1-1\"".parse().unwrap());
    assert_eq!(main.as_node(tagged).await.status(), 304);
    let path = format!("/sync/v1/objects/{}", head.models[0].manifest);
    let response = main.as_node(get(&path)).await;
    let etag = response.headers()[header::ETAG].clone();
    assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    assert_eq!(Hash32::of(&bytes), head.models[0].manifest);
    let mut tagged = get(&path);
    tagged.headers_mut().insert(header::IF_NONE_MATCH, etag);
    assert_eq!(main.as_node(tagged).await.status(), 304);
    let (_, feeds) = json(main.as_node(get("/sync/v1/feeds")).await).await;
    let offers: Vec<Offer> = serde_json::from_value(feeds).unwrap();
    assert_eq!(offers[0].position, Some(Position { epoch: 1, revision: 1 }));
    assert_eq!(offers[1].position, None);
}

#[tokio::test]
async fn a_waiting_request_is_woken_by_a_revision_and_ended_by_a_stop() {
    let main = Main::new();
    main.import("Brand", BRANDS).await;
    let wait = "/sync/v1/feeds/catalogue/head?after_epoch=1&after_revision=1&wait_s=55";
    let (response, _) = tokio::join!(main.as_node(get(wait)), async {
        main.import("Brand", "{\"id\":\"M1\"}\n").await
    });
    assert_eq!(response.headers()[header::ETAG], "\"1-2\"");
    let wait = wait.replace("after_revision=1", "after_revision=2");
    let (response, ()) = tokio::join!(main.as_node(get(&wait)), async { main.shutdown.cancel() });
    assert_eq!(response.status(), 304);
    assert_eq!(main.board.feeds().len(), 2);
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_a_problem() {
    let main = Main::new();
    let zeros = "0".repeat(64);
    let cases = [
        ("/sync/v1/feeds/nope/head".to_owned(), "feed_unknown"),
        ("/sync/v1/feeds/NO%20PE/head".to_owned(), "feed_unknown"),
        ("/sync/v1/feeds/catalogue/head?after_epoch=1".to_owned(), "parameter_invalid"),
        (format!("/sync/v1/objects/{zeros}"), "segment_unknown"),
        ("/sync/v1/objects/..%2f..%2fetc".to_owned(), "segment_unknown"),
    ];
    for (path, code) in cases {
        let (status, body) = json(main.as_node(get(&path)).await).await;
        assert!(status.is_client_error());
        assert_eq!(body["code"], code, "{path}");
    }
    let till = Identity::Terminal("till-1".parse().unwrap());
    let sync = main.sync.clone().layer(Extension(till.clone()));
    let (status, _) = json(sync.oneshot(get("/sync/v1/feeds")).await.unwrap()).await;
    assert_eq!(status, 403);
    let operator = main.operator.clone().layer(Extension(till));
    let refused = operator.oneshot(post("/v1/refresh", "{}")).await.unwrap();
    assert_eq!(refused.status(), 403);
}

#[tokio::test]
async fn a_bad_import_names_its_faults_and_publishes_nothing() {
    let main = Main::new();
    let (status, body) = main.import("Brand", "{\"id\":\"M1\"}\n{\"id\":7}\n").await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &"field_invalid".into())
    );
    assert_eq!(body["faults"][0]["line"], 2);
    assert_eq!(body["faults"][0]["field"], "id");
    assert_eq!(body["total"], 1);
    assert!(body["detail"].as_str().unwrap().contains("body:2: field id"));
    assert!(main.board.current(&"catalogue".parse().unwrap()).is_none());
    let relative = post("/v1/import", r#"{"dir":"data"}"#);
    assert_eq!(main.as_operator(relative).await.status(), 422);
    let missing = post("/v1/import", r#"{"dir":"/nowhere/at/all"}"#);
    assert_eq!(main.as_operator(missing).await.status(), 422);
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_no_import() {
    let main = Main::new();
    let parts = [Ok("{\"id\":\"M1\"}\n"), Err(std::io::Error::other("cable pulled"))];
    let body = Body::from_stream(futures_util::stream::iter(parts));
    let (status, body) = json(main.as_operator(post("/v1/import/models/Brand", body)).await).await;
    assert_eq!(status, 422, "{body}");
    assert!(main.board.current(&"catalogue".parse().unwrap()).is_none());
    let change = r#"{"model":"Brand","record":{"id":"M1"}}"#;
    let (status, body) = json(main.as_operator(post("/v1/import/changes", change)).await).await;
    assert_eq!((status, &body["published"][0]["position"]), (StatusCode::OK, &"1.1".into()));
}

#[tokio::test]
async fn a_refresh_is_begun_for_what_can_be_refreshed() {
    let main = Main::new();
    let refresh = |body: &'static str| main.as_operator(post("/v1/refresh", body));
    let (status, body) = json(refresh(r#"{"full":true,"model":"Brand"}"#).await).await;
    assert_eq!((status, &body["feeds"]), (StatusCode::ACCEPTED, &serde_json::json!(["catalogue"])));
    assert_eq!(refresh(r#"{"model":"Nope"}"#).await.status(), 404);
    assert_eq!(refresh(r#"{"model":"Order"}"#).await.status(), 422);
    let (status, body) = json(main.as_operator(get("/v1/feeds")).await).await;
    assert_eq!(
        (status, body.as_array().map(Vec::len)),
        (StatusCode::OK, Some(0)),
        "not running yet"
    );
}

#[tokio::test]
async fn boxes_report_and_the_operator_reads_it() {
    let main = Main::new();
    let entry = r#"{"node":"box-9","number":1,"feed":"catalogue","mode":"full","position":"1.2",
        "at":"2026-11-22T10:02:00Z","tookMs":12,"models":[{"model":"Brand","records":2,"pages":1}]}"#;
    let body = format!("[{entry}]");
    let (status, answer) = json(main.as_node(post("/sync/v1/history", body.clone())).await).await;
    assert_eq!((status, &answer["new"]), (StatusCode::OK, &1.into()));
    let again = json(main.as_node(post("/sync/v1/history", body)).await).await.1;
    assert_eq!(again["new"], 0);
    let (_, list) = json(main.as_operator(get("/v1/history?model=Brand&limit=5")).await).await;
    assert_eq!(list[0]["node"], "box-1", "under the name of who reported it");
    let many = format!("[{}]", vec![entry; PAGE_MAX + 1].join(","));
    assert_eq!(main.as_node(post("/sync/v1/history", many)).await.status(), 413);
}
