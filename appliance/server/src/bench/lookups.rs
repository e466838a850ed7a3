//! Lookups over HTTP as tills make them, and the memory of the shop's process meanwhile.
//!
//! Head office and the shop's box are processes of their own; the load comes from this one over loopback.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::load::{Question, ask};
use super::table::{megabytes, row, spread};
use super::{Error, machine};
use crate::demo;
use crate::demo::dataset::Dataset;
use crate::demo::stage::Stage;
use crate::demo::state::State;
use crate::env;

/// Connections at the same time.
const CONNECTIONS: usize = 16;
/// How long each kind of lookup is measured.
const WORK: Duration = Duration::from_secs(3);
/// How often each kind is measured; the kinds take turns, since other work on the machine comes and goes.
const ROUNDS: usize = 3;
/// Between two looks at the boxes.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// The longest that masterdata may take to arrive.
const PATIENCE: Duration = Duration::from_secs(120);
/// A step that spreads questions over the whole catalogue; prime, so that it meets every product.
const STEP: usize = 7919;

/// Measures random and repeated lookups, by barcode and by id, after a full and an incremental refresh.
pub(super) async fn measure(data: &Dataset, dir: &Path) -> Result<(), Error> {
    let executable = std::env::current_exe();
    let executable =
        executable.map_err(|source| Error::System { what: "find this program", source })?;
    let stage = Stage::set(&executable, dir, "").await?;
    let records = data.lay_out_catalogue(&dir.join("catalogue")).map_err(demo::Error::from)?;
    import(&stage, &["import"], &dir.join("catalogue")).await?;
    tell_memory(&stage, &format!("{records} records: resident after a full refresh"));
    for week in data.lay_out_weeks(&dir.join("weeks"), 1).map_err(demo::Error::from)? {
        import(&stage, &["import", "--changes"], &week.folder).await?;
        let what = format!("resident after an incremental one of {}", week.records);
        tell_memory(&stage, &what);
    }
    let token = stage.add_till(&"till-1".parse().expect("a literal name"))?;
    let kinds = kinds(data, &token)?;
    for _ in 0..ROUNDS {
        for (what, questions) in &kinds {
            lookups(&stage, stage.store_address, what, questions).await?;
        }
    }
    tell_memory(&stage, "resident after these lookups");
    Ok(())
}

async fn lookups(
    stage: &Stage,
    address: SocketAddr,
    what: &str,
    questions: &Arc<Vec<Question>>,
) -> Result<(), Error> {
    let processor = || stage.store.id().map_or(Duration::ZERO, machine::processor_time);
    let before = processor();
    let mut times = ask(address, questions, CONNECTIONS, WORK).await?;
    let used = (processor() - before).as_secs_f64() * 1e6 / times.len().max(1) as f64;
    let rate = times.len() as f64 / WORK.as_secs_f64();
    let value = format!("{rate:.0} a second, {used:.1} µs of the box each, {}", spread(&mut times));
    row(&format!("{what}, {CONNECTIONS} connections"), &value);
    Ok(())
}

type Kind = (&'static str, Arc<Vec<Question>>);

fn kinds(data: &Dataset, token: &str) -> Result<Vec<Kind>, Error> {
    let products = data.records("Product").map_err(demo::Error::from)?;
    let question = |path: &str, field: &str, number: usize| {
        let product = &products[number * STEP % products.len()];
        let value = product.get(field).and_then(serde_json::Value::as_str).unwrap_or_default();
        Question {
            request: format!(
                "GET /v1/models/Product/records{path}{value} HTTP/1.1\r\nHost: box\r\n\
                 Authorization: Bearer {token}\r\n\r\n"
            ),
            expected: format!("\"{field}\":\"{value}\""),
        }
    };
    let all = |path: &str, field: &str, count: usize| {
        Arc::new((0..count).map(|number| question(path, field, number)).collect::<Vec<_>>())
    };
    let barcode = "?field=barcode&value=";
    Ok(vec![
        ("by barcode, all products", all(barcode, "barcode", products.len())),
        ("by barcode, one product", all(barcode, "barcode", 1)),
        ("by id, all products", all("/", "id", products.len())),
        ("by id, one product", all("/", "id", 1)),
    ])
}

/// Head office imports; returns when the shop has it.
pub(super) async fn import(stage: &Stage, command: &[&str], folder: &Path) -> Result<(), Error> {
    let folder = folder.to_string_lossy();
    stage.main.ask(&[command, &[folder.as_ref()]].concat()).map_err(demo::Error::from)?;
    let author = State::of(&stage.main).await.map_err(demo::Error::from)?;
    let begun = env::instant();
    while !State::of(&stage.store).await.map_err(demo::Error::from)?.is_level_with(&author) {
        if begun.elapsed() > PATIENCE {
            let log = stage.store.log_tail();
            return Err(demo::Error::Stuck { what: "masterdata", log }.into());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

pub(super) fn tell_memory(stage: &Stage, what: &str) {
    let (now, most) = stage.store.id().map_or((0, 0), machine::resident_of);
    row(what, &format!("{}, {} at most", megabytes(now), megabytes(most)));
}
