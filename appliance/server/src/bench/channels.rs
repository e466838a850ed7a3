//! Questions and changes through a channel, over HTTP, as a partner's program makes them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::load::{Question, ask};
use super::lookups::{import, tell_memory};
use super::table::{row, spread};
use super::{Error, machine};
use crate::demo;
use crate::demo::dataset::Dataset;
use crate::demo::stage::Stage;
use crate::env;

/// Connections at the same time.
const CONNECTIONS: usize = 16;
/// How long each kind is measured.
const WORK: Duration = Duration::from_secs(3);
/// A step that spreads questions over the whole catalogue; prime, so that it meets every product.
const STEP: usize = 7919;

/// The channel, in which one till may do everything.
const ESTATE: [(&str, &str); 4] = [
    ("Channel", r#"{"id":"web","name":"Web","type":"web-shop","priceListId":"PL1"}"#),
    (
        "ChannelService",
        "{\"id\":\"q\",\"channelId\":\"web\",\"type\":\"query\",\"log\":false}\n\
         {\"id\":\"t\",\"channelId\":\"web\",\"type\":\"ticket\",\"log\":false}",
    ),
    ("Access", r#"{"id":"a","channelId":"web","roleId":"shop","right":"write"}"#),
    ("Terminal", r#"{"id":"till-1","channelId":"web","roleId":"shop"}"#),
];

/// Measures queries that an index answers, one that looks at every product, and tickets.
pub(super) async fn measure(data: &Dataset, dir: &Path) -> Result<(), Error> {
    let executable = std::env::current_exe();
    let executable =
        executable.map_err(|source| Error::System { what: "find this program", source })?;
    let stage = Stage::set(&executable, dir, "").await?;
    let folder = dir.join("catalogue");
    let records = data.lay_out_catalogue(&folder).map_err(demo::Error::from)?;
    for (model, lines) in ESTATE {
        let written = fs::write(folder.join(format!("{model}.ndjson")), lines);
        written.map_err(|source| Error::System { what: "write a file", source })?;
    }
    import(&stage, &["import"], &folder).await?;
    tell_memory(&stage, &format!("{records} records: resident after a full refresh"));
    let token = stage.add_till(&"till-1".parse().expect("a literal name"))?;
    for (what, questions) in kinds(data, &token)? {
        let processor = || stage.store.id().map_or(Duration::ZERO, machine::processor_time);
        let (before, begun) = (processor(), env::instant());
        let mut times = ask(stage.store_address, &questions, CONNECTIONS, WORK).await?;
        let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
        let used = (processor() - before).as_secs_f64() * 1e6 / times.len().max(1) as f64;
        let value =
            format!("{rate:.0} a second, {used:.1} µs of the box each, {}", spread(&mut times));
        row(&format!("{what}, {CONNECTIONS} connections"), &value);
    }
    tell_memory(&stage, "resident after these calls");
    Ok(())
}

type Kind = (&'static str, Arc<Vec<Question>>);

fn kinds(data: &Dataset, token: &str) -> Result<Vec<Kind>, Error> {
    let products = data.records("Product").map_err(demo::Error::from)?;
    let text = |number: usize, field: &str| {
        let product = &products[number * STEP % products.len()];
        product.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let call = |service: &str, body: &Value, expected: String| {
        let body = body.to_string();
        let request = format!(
            "POST /v1/channel/{service} HTTP/1.1\r\nHost: box\r\nAuthorization: Bearer {token}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        Question { request, expected }
    };
    let query = |field: &str, operator: &str, value: &str, rows: u32, expected: String| {
        let criteria = json!([{"fieldName": field, "operator": operator, "value": value}]);
        let body = json!({"entity": "Product", "endRow": rows, "criteria": criteria});
        call("query", &body, expected)
    };
    let by_barcode = (0..products.len()).map(|number| {
        let barcode = text(number, "barcode");
        query("barcode", "equals", &barcode, 1, format!("\"barcode\":\"{barcode}\""))
    });
    let by_name = (0..products.len()).map(|number| {
        let start: String = text(number, "name").chars().take(4).collect();
        query("name", "iStartsWith", &start, 20, "\"plan\":[\"index name, prefix\"]".to_owned())
    });
    let scan = query("name", "iContains", "crushed", 20, "\"plan\":[\"scan\"]".to_owned());
    let tickets = (0..products.len()).map(|number| {
        let line = json!({"product": text(number, "barcode"), "quantity": 1});
        call("ticket", &json!({"lines": [line]}), "\"grade\":\"held\"".to_owned())
    });
    Ok(vec![
        ("query by barcode, all that a product brings", Arc::new(by_barcode.collect())),
        ("query by the start of a name, 20 rows", Arc::new(by_name.collect())),
        ("query that looks at every product", Arc::new(vec![scan])),
        ("ticket of one line", Arc::new(tickets.collect())),
    ])
}
