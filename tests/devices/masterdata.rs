//! Devices that head office names: they come like a price, and change like one.

use std::fs;
use std::path::Path;

use anyhow::ensure;
use serde_json::{Value, json};
use storebox::demo::device::Simulated;
use storebox::demo::stage::Stage;
use storebox_peripherals::printer::Profile;
use storebox_peripherals::sim::printer::PrinterSim;
use storebox_peripherals::sim::script::Script;
use storebox_tests::wait;

use crate::counter::PATIENCE;

#[tokio::test(flavor = "multi_thread")]
async fn a_printer_that_head_office_names_works_without_a_restart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let executable = Path::new(env!("CARGO_BIN_EXE_storebox-under-test"));
    let stage = Stage::set(executable, folder.path(), "").await?;
    let at = folder.path().join("lp");
    let sim = PrinterSim::new(Profile::epson_m30(), Script::default());
    let _printer = Simulated::plug_in(sim, PrinterSim::act, &at)?;
    let name = |model: &str, import: &str| -> anyhow::Result<()> {
        let (id, key, at) = ("100", "kitchen", at.to_string_lossy());
        let record =
            json!({"id": id, "searchKey": key, "name": "Kitchen", "at": at, "model": model});
        let files = folder.path().join(import);
        fs::create_dir_all(&files)?;
        fs::write(files.join("OfflinePrinter.ndjson"), format!("{record}\n"))?;
        stage.main.ask(&["import", &files.to_string_lossy()])?;
        Ok(())
    };
    name("abacus", "first")?;
    wait::until("the definition is refused by name", PATIENCE, || async {
        let list = stage.store.control("GET", "/v1/devices", None).await?;
        Ok(list["refused"][0]["id"] == "kitchen" && list["refused"][0]["from"] == "OfflinePrinter")
    })
    .await?;
    name("epson-tm-m30", "second")?;
    wait::until("the printer is open", PATIENCE, || async {
        let list = stage.store.control("GET", "/v1/devices", None).await?;
        Ok(list["devices"][0]["id"] == "kitchen" && list["devices"][0]["link"] == "open")
    })
    .await?;
    let body: Value = json!({"key": "order-1", "class": "kitchen", "receiptline": "Soup|2\n="});
    let path = "/v1/printers/kitchen/jobs?wait_s=20";
    let job = stage.store.control("POST", path, Some(&body)).await?;
    ensure!(job["state"] == "printed", "{job}");
    Ok(())
}
