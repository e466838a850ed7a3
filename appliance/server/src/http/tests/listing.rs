use super::*;

#[tokio::test]
async fn a_product_is_found_by_id_barcode_prefix_and_likeness() {
    let site = Site::open(300, Http::default()).await;
    let (status, record) = site.get("/v1/models/Product/records/P00042").await;
    assert_eq!((status, record["barcode"].as_str()), (200, Some("40000042")));
    let base = "/v1/models/Product/records?field=";
    for (query, count, first) in [
        ("barcode&value=40000042", 1, "P00042"),
        ("barcode&prefix=4000001&limit=4", 4, "P00010"),
        ("name&fuzzy=aple%20299&limit=1", 1, "P00299"),
    ] {
        let (status, answer) = site.get(&format!("{base}{query}")).await;
        let records = answer["records"].as_array().unwrap();
        assert_eq!((status, records.len()), (200, count), "{query}: {answer}");
        assert_eq!(records[0]["id"], first, "{query}");
    }
    site.close().await;
}

#[tokio::test]
async fn an_answer_names_its_revision_and_is_not_sent_twice() {
    let mut site = Site::open(10, Http::default()).await;
    let path = "/v1/models/Product/records/P00003";
    let first = site.ask(path, None).await;
    let header = |response: &reqwest::Response, name: &str| {
        response.headers()[name].to_str().unwrap().to_owned()
    };
    let etag = header(&first, "etag");
    assert_eq!(header(&first, "storebox-feed"), "catalogue");
    assert_eq!(header(&first, "storebox-epoch"), "3");
    assert_eq!(header(&first, "storebox-revision"), "7");
    site.change(4, "Pear");
    let again = site.ask(path, Some(&etag)).await;
    assert_eq!((again.status().as_u16(), header(&again, "storebox-revision")), (304, "8".into()));
    site.change(3, "Plum");
    let changed = site.ask(path, Some(&etag)).await;
    assert_eq!(changed.status().as_u16(), 200);
    assert_eq!(changed.json::<Value>().await.unwrap()["name"], "Plum");
    site.close().await;
}

#[tokio::test]
async fn a_listing_goes_on_in_the_generation_it_began_in() {
    let mut site = Site::open(250, Http::default()).await;
    let mut path = "/v1/models/Product/records?limit=100".to_owned();
    let mut seen = Vec::new();
    loop {
        let (status, answer) = site.get(&path).await;
        assert_eq!(status, 200, "{answer}");
        let records = answer["records"].as_array().unwrap().clone();
        seen.extend(records.iter().map(|record| record["name"].as_str().unwrap().to_owned()));
        site.change(249, "changed while listing");
        match answer["next"].as_str() {
            Some(next) => path = format!("/v1/models/Product/records?limit=100&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 250);
    assert_eq!(seen[249], "Apple 249");
    site.close().await;
}

#[tokio::test]
async fn a_terminal_with_an_assortment_loads_its_products_and_finds_any() {
    let mut plan = Site::plan(30, Http::default());
    plan.estate = vec![
        ("Terminal", json!({"id": "till-1", "organizationId": "shop"})),
        ("Organization", json!({"id": "shop", "parentId": "region"})),
        ("Organization", json!({"id": "region", "assortmentId": "small"})),
    ];
    plan.assortment = vec![
        json!({"id": "1", "assortmentId": "small", "productId": "P00004"}),
        json!({"id": "2", "assortmentId": "small", "productId": "P00021"}),
        json!({"id": "3", "assortmentId": "large", "productId": "P00007"}),
    ];
    let site = plan.open().await;
    let mut path = "/v1/models/Product/records?limit=10".to_owned();
    let mut loaded = Vec::new();
    loop {
        let (_, answer) = site.get(&path).await;
        let records = answer["records"].as_array().unwrap();
        loaded.extend(records.iter().map(|record| record["id"].as_str().unwrap().to_owned()));
        let Some(next) = answer["next"].as_str() else { break };
        path = format!("/v1/models/Product/records?limit=10&after={next}");
    }
    assert_eq!(loaded, ["P00004", "P00021"]);
    let (_, entries) = site.get("/v1/models/AssortmentProduct/records").await;
    assert_eq!(entries["records"].as_array().unwrap().len(), 2);
    let (status, other) = site.get("/v1/models/Product/records/P00007").await;
    assert_eq!((status, other["id"].as_str()), (200, Some("P00007")), "for what comes back");
    site.close().await;
}

#[tokio::test]
async fn a_cursor_of_a_forgotten_generation_is_gone() {
    let mut site = Site::open(20, Http::default()).await;
    let (_, answer) = site.get("/v1/models/Product/records?limit=10").await;
    let next = answer["next"].as_str().unwrap().to_owned();
    for round in 0..5 {
        site.change(1, &format!("round {round}"));
        site.masterdata.keep(&site.store.current().unwrap());
    }
    let (status, problem) =
        site.get(&format!("/v1/models/Product/records?limit=10&after={next}")).await;
    assert_eq!((status, problem["code"].as_str()), (410, Some("cursor_expired")));
    site.close().await;
}

#[tokio::test]
async fn each_bad_question_gets_its_own_code() {
    let site = Site::open(1, Http::default()).await;
    let records = "/v1/models/Product/records";
    for (path, status, code) in [
        ("/v1/models/Unicorn/records/1".to_owned(), 404, "model_unknown"),
        ("/v1/models/Order/records/1".to_owned(), 404, "model_unknown"),
        ("/v1/models/Country/records/1".to_owned(), 503, "replica_empty"),
        (format!("{records}/none"), 404, "record_unknown"),
        (format!("{records}/{}", "x".repeat(200)), 400, "parameter_invalid"),
        (format!("{records}/%FF"), 400, "parameter_invalid"),
        (format!("{records}?field=colour&value=red"), 400, "index_unknown"),
        (format!("{records}?field=barcode"), 400, "parameter_invalid"),
        (format!("{records}?limit=0"), 400, "parameter_invalid"),
        (format!("{records}?limit=many"), 400, "parameter_invalid"),
        (format!("{records}?after=zz"), 400, "parameter_invalid"),
        (format!("{records}?colour=red"), 400, "parameter_invalid"),
        ("/v1/models/Product".to_owned(), 404, "path_unknown"),
        ("/v1/terminals".to_owned(), 403, "forbidden"),
    ] {
        let (got, problem) = site.get(&path).await;
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{path}: {problem}");
    }
    site.close().await;
}
