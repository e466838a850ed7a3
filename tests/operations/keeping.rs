//! A box that is backed up, replaced on other hardware, and one that leaves the shop for good.

use std::process::{Command, Output};

use anyhow::ensure;
use storebox::demo::process::Process;
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, executable, sale, told};

fn run(store: &Process, arguments: &[&str]) -> anyhow::Result<Output> {
    let config = store.data().with_file_name("storebox.toml");
    Ok(Command::new(executable()).arg("--config").arg(config).args(arguments).output()?)
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_comes_back_from_its_backup_with_tills_keys_and_unsettled_sales() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    site.import(&[("Product", r#"{"id":"1","name":"Apple","barcode":"4001"}"#)])?;
    site.await_level().await?;
    let key = site.stage.store.ask(&["key"])?;
    site.stage.line.set_up(false);
    site.sell(&sale(1, "1.00")).await?;
    let out = folder.path().join("box.tar.gz");
    let file = out.to_string_lossy().into_owned();
    let busy = run(&site.stage.store, &["backup", "--out", &file])?;
    ensure!(!busy.status.success() && said(&busy).contains("in use"), "{}", said(&busy));
    site.stage.store.stop();
    let made = run(&site.stage.store, &["backup", "--out", &file])?;
    ensure!(made.status.success(), "{}", said(&made));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&out)?.permissions());
    ensure!(mode & 0o777 == 0o600, "only its owner reads the keys: {mode:o}");
    let full = run(&site.stage.store, &["restore", &file])?;
    ensure!(!full.status.success() && said(&full).contains("not empty"), "{}", said(&full));

    // The disk is lost; another one takes its place.
    std::fs::remove_dir_all(site.stage.store.data())?;
    let back = run(&site.stage.store, &["restore", &file])?;
    ensure!(back.status.success(), "{}", said(&back));
    site.stage.line.set_up(true);
    site.stage.store_address = site.stage.store.start().await?;
    ensure!(site.stage.store.ask(&["key"])? == key);
    site.await_settled(1).await?;
    wait::until("masterdata", PATIENCE, || async {
        Ok(told(site.get("/v1/models/Product/records/1")).await?.0 == 200)
    })
    .await?;
    site.sell(&sale(2, "2.00")).await?;
    site.await_settled(2).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_that_leaves_forgets_everything_but_no_sale_unasked() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    site.stage.line.set_up(false);
    site.sell(&sale(1, "1.00")).await?;
    let store = &site.stage.store;
    ensure!(!run(store, &["reset", "--confirm", "store-367"])?.status.success(), "it runs");
    site.stage.store.stop();
    let store = &site.stage.store;
    for arguments in [
        &["reset", "--confirm", "store-1"][..],
        &["reset", "--confirm", "store-367"],
        &["reset", "--confirm", "store-367", "--lose", "2"],
    ] {
        let refused = run(store, arguments)?;
        ensure!(!refused.status.success(), "{}", said(&refused));
    }
    let refused = said(&run(store, &["reset", "--confirm", "store-367"])?);
    ensure!(refused.contains("1 sales have not reached head office"), "{refused}");
    let office = run(&site.stage.main, &["reset", "--confirm", "head-office"])?;
    ensure!(!office.status.success(), "{}", said(&office));
    let done = run(store, &["reset", "--confirm", "store-367", "--lose", "1"])?;
    ensure!(done.status.success(), "{}", said(&done));
    let left: Vec<_> = std::fs::read_dir(store.data())?
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .collect();
    ensure!(left == ["lock"], "{left:?}");
    site.stage.store_address = site.stage.store.start().await?;
    let (status, _) = told(site.get("/v1/models/Product/records/1")).await?;
    ensure!(status == 401, "the tills of its former life are strangers");
    Ok(())
}
