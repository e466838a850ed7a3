use super::*;

async fn post(site: &Site, path: &str, body: &str) -> (u16, Value) {
    let request = site.client.post(format!("http://{}{path}", site.address));
    let request = request.bearer_auth(&site.token).header("content-type", "application/json");
    let response = request.body(body.to_owned()).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn a_login_tells_what_to_refresh_and_when_to_ask_again() {
    let site = Site::open(1, Http::default()).await;
    let (status, answer) = post(&site, "/v1/terminal/login", "{}").await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["plan"], json!({"refresh": "full", "mustSucceed": true}));
    assert_eq!(answer["feeds"][0], json!({"feed": "catalogue", "position": "3.7"}));
    assert_eq!(
        (answer["batchSize"].as_u64(), answer["popupWindowS"].as_u64()),
        (Some(500), Some(300))
    );
    let report = r#"{"extent":"full","succeeded":true,"models":[{"model":"Product","records":1}]}"#;
    let (status, answer) = post(&site, "/v1/terminal/refreshed", report).await;
    assert_eq!((status, answer["then"].as_str()), (200, Some("work")), "{answer}");
    let (_, answer) = post(&site, "/v1/terminal/login", "{}").await;
    assert_eq!(answer["plan"], json!({"refresh": "incremental", "announced": false}));
    let (_, answer) = post(&site, "/v1/terminal/idle", r#"{"event":"ticketClosed"}"#).await;
    assert_eq!((answer["orders"].clone(), answer["pending"].clone()), (json!([]), json!(false)));
    let (_, history) = site.get("/v1/terminal/refreshed").await;
    assert_eq!(history[0]["models"][0]["records"], 1);
    site.close().await;
}

#[tokio::test]
async fn the_configuration_is_sent_once() {
    let site = Site::open(0, Http::default()).await;
    let first = site.ask("/v1/terminal/config", None).await;
    let etag = first.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(first.json::<Value>().await.unwrap()["terminal"], "till-1");
    assert_eq!(site.ask("/v1/terminal/config", Some(&etag)).await.status().as_u16(), 304);
    site.close().await;
}

#[tokio::test]
async fn a_login_that_is_not_understood_names_its_field() {
    let site = Site::open(0, Http::default()).await;
    for (body, status, code, word) in [
        ("{", 400, "body_malformed", "EOF"),
        ("{\"user\":1}", 422, "field_invalid", "user"),
        ("{\"cacheLost\":1}", 422, "field_invalid", "cacheLost"),
        ("\u{0}", 400, "body_malformed", "expected"),
    ] {
        let (got, problem) = post(&site, "/v1/terminal/login", body).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(word), "{problem}");
    }
    site.close().await;
}
