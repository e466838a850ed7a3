//! What a field technician holds in hand: doctor, support bundle, log levels, against running boxes.

use std::process::{Command, Stdio};

use anyhow::ensure;
use serde_json::{Value, json};
use storebox_tests::{skip, wait};

use crate::site::{PATIENCE, Site, at, executable, sale};

/// Runs a command that may say by its exit code that something is wrong.
fn doctor(site: &Site) -> anyhow::Result<(bool, Value)> {
    let data = site.stage.store.data();
    let config = data.with_file_name("storebox.toml");
    let output = Command::new(executable())
        .arg("--config")
        .arg(config)
        .args(["doctor", "--json"])
        .output()?;
    Ok((output.status.success(), serde_json::from_slice(&output.stdout)?))
}

fn codes(report: &Value) -> Vec<String> {
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let findings =
        checks.iter().flat_map(|check| check["findings"].as_array().cloned().unwrap_or_default());
    findings.map(|finding| finding["code"].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_a_shop_well_and_then_names_what_is_wrong() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    site.import(&[("Brand", r#"{"id":"B1","name":"Own"}"#)])?;
    site.await_level().await?;
    let (_, report) = doctor(&site)?;
    let found = codes(&report);
    for code in ["configured", "dns", "line", "clocks", "key", "token", "devices"] {
        ensure!(found.iter().any(|found| found == code), "{code} is not in {found:?}");
    }
    site.stage.main.ask(&["node", "revoke", "store-367"])?;
    let (well, report) = doctor(&site)?;
    ensure!(!well && codes(&report).contains(&"token_refused".to_owned()), "{report}");
    site.stage.main.kill();
    site.stage.line.set_up(false);
    let (well, report) = doctor(&site)?;
    ensure!(!well && codes(&report).contains(&"line_down".to_owned()), "{report}");
    Ok(())
}

/// Everything that must never leave a shop, planted where a box keeps or says such things.
async fn plant(site: &Site) -> anyhow::Result<Vec<String>> {
    let store = &site.stage.store;
    let mut secrets = vec![
        std::fs::read_to_string(site.folder.join("store.token"))?.trim().to_owned(),
        site.token.clone(),
        store.ask(&["terminal", "add", "till-9"])?,
        store.ask(&["operator", "add", "anna"])?,
        store.ask(&["node", "add", "store-9"])?,
    ];
    // A customer and a sum in a sale, a PIN and a card number in a call, a token in an address, a name that is typed.
    let mut sold = sale(1, "77.77");
    sold["payload"]["customer"] = json!("Erika Mustermann");
    site.sell(&sold).await?;
    secrets.extend(["Erika", "77.77", "hunter22", "4000123412341234"].map(str::to_owned));
    let call = json!({"entity": "User", "pin": "hunter22", "cardNumber": "4000123412341234"});
    site.post("/v1/channel/query", &call).send().await?;
    let planted = format!("sbt_{}", "5ec7e7".repeat(11));
    site.get(&format!("/v1/models?token={planted}")).send().await?;
    at(&site.client, site.stage.store_address, "/v1/models").bearer_auth(&planted).send().await?;
    secrets.push(planted);
    // Keys of sealing, as the command prints them.
    store.ask(&["seal", "new", "--site", "store", "--scope", "tills"])?;
    let ring: Value = serde_json::from_str(
        &store.ask(&["seal", "show", "--site", "store", "--scope", "tills"])?,
    )?;
    let long = |text: &&str| text.len() >= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let ring = ring.to_string();
    let keys: Vec<_> = ring.split('"').filter(long).map(str::to_owned).collect();
    ensure!(!keys.is_empty(), "the ring shows its key");
    secrets.extend(keys);
    // What lies in the box's own folder as text: the keys of node and vault.
    for file in walk(&store.data())? {
        let name = file.file_name().map(|name| name.to_string_lossy().into_owned());
        let is_key = name.is_some_and(|name| name.ends_with(".key"));
        let text = std::fs::read_to_string(&file).ok().filter(|_| is_key);
        secrets.extend(text.map(|text| text.trim().to_owned()).filter(|text| text.len() >= 16));
    }
    Ok(secrets)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_bundle_tells_all_but_secrets_and_sales() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("site.secret");
    std::fs::write(&secret, "a secret of this store only")?;
    let settings = format!(
        "[peers]\nsecret_file = {}\n[log]\nlevel = \"trace\"\n",
        json!(secret.to_string_lossy())
    );
    let site = Site::open(folder.path(), &settings).await?;
    let mut secrets = plant(&site).await?;
    secrets.push("a secret of this store only".to_owned());
    let out = folder.path().join("bundle.tar.gz");
    let said = site.stage.store.ask(&["support-bundle", "--out", &out.to_string_lossy()])?;
    ensure!(said.contains("no secret"), "{said}");
    let unpacked = folder.path().join("unpacked");
    std::fs::create_dir(&unpacked)?;
    let tar = Command::new("tar").arg("-xzf").arg(&out).arg("-C").arg(&unpacked).status()?;
    ensure!(tar.success());
    let mut names = Vec::new();
    for entry in walk(&unpacked)? {
        let text = std::fs::read_to_string(&entry)?;
        for secret in &secrets {
            ensure!(!text.contains(secret.as_str()), "{entry:?} holds {secret}");
        }
        names.extend(entry.file_name().map(|name| name.to_string_lossy().into_owned()));
    }
    let wanted = [
        "status.json",
        "doctor.json",
        "outbox.json",
        "drills.json",
        "log.txt",
        "configuration.toml",
    ];
    for name in wanted {
        ensure!(names.iter().any(|found| found == name), "{name} is not in {names:?}");
    }
    Ok(())
}

fn walk(folder: &std::path::Path) -> anyhow::Result<Vec<std::path::PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(walk(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_logs_more_while_it_is_asked_to() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let store = &site.stage.store;
    let shown = store.ask(&["log-level", "storebox::uplink=debug", "--minutes", "5"])?;
    ensure!(shown.contains("storebox::uplink=debug") && shown.contains("5 min"), "{shown}");
    let tells = || Ok::<_, anyhow::Error>(site.log()?.contains("DEBUG storebox::uplink::shipper"));
    ensure!(!tells()?, "it told nothing before");
    site.sell(&sale(1, "1.00")).await?;
    wait::until("the module tells more", PATIENCE, || async { tells() }).await?;
    ensure!(!site.log()?.contains("DEBUG storebox::replica"), "and no other module does");
    let shown = store.ask(&["log-level", "storebox::uplink=reset"])?;
    ensure!(shown.trim() == "info", "{shown}");
    let refused = store.ask(&["log-level", "no module=debug"]).unwrap_err().to_string();
    ensure!(refused.contains("field_invalid"), "{refused}");
    Ok(())
}

/// What a program prints for these arguments, or nothing if it is not there.
fn printed(program: &str, arguments: &[&str], input: &str) -> Option<(bool, String)> {
    use std::io::Write;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else { return skip(&format!("{program} is not there")) };
    child.stdin.take().expect("it is piped").write_all(input.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some((output.status.success(), text(&output.stdout) + text(&output.stderr).as_str()))
}

#[test]
fn bash_completes_the_commands_and_their_options() {
    let (well, script) =
        printed(&executable().to_string_lossy(), &["completions", "bash"], "").expect("our own");
    assert!(well, "{script}");
    for (typed, wanted) in [("dri", "drill"), ("drill ru", "run"), ("drill run --mi", "--minutes")]
    {
        let words: Vec<_> = std::iter::once("storebox").chain(typed.split(' ')).collect();
        let last = words.len() - 1;
        let ask = format!(
            "{script}\nCOMP_WORDS=({})\nCOMP_CWORD={last}\n_storebox storebox {} {}\necho \"=${{COMPREPLY[*]}}=\"\n",
            words.join(" "),
            words[last],
            words[last - 1],
        );
        let Some((_, told)) = printed("bash", &["--norc"], &ask) else { return };
        assert!(told.contains(&format!("={wanted}=")), "{typed}: {told}");
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let told = printed(&executable().to_string_lossy(), &["completions", shell], "");
        assert!(told.is_some_and(|(well, text)| well && text.contains("drill")), "{shell}");
    }
}

#[test]
fn every_manual_page_is_one_that_man_shows_without_a_warning() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let dir = folder.path().to_string_lossy().into_owned();
    let made = printed(&executable().to_string_lossy(), &["man", &dir], "");
    ensure!(made.is_some_and(|(well, _)| well));
    let mut pages = walk(folder.path())?;
    pages.sort();
    ensure!(pages.iter().any(|page| page.ends_with("storebox-drill-run.1")), "{pages:?}");
    for page in pages {
        let text = std::fs::read_to_string(&page)?;
        let arguments = ["-man", "-Tutf8", "-ww", "-Kutf8", "-P-cbou"];
        let Some((well, shown)) = printed("groff", &arguments, &text) else { return Ok(()) };
        ensure!(
            well && shown.contains("SYNOPSIS") && !shown.contains("warning"),
            "{page:?}: {shown}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_one_screen_in_colour_for_people_and_without_for_programs()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    site.import(&[("Brand", r#"{"id":"B1","name":"Own"}"#)])?;
    site.await_level().await?;
    let data = site.stage.store.data();
    let command = format!("{} --data-dir {} status", executable().display(), data.display());
    // `script` is a terminal.
    let Some((_, shown)) = printed("script", &["-qec", &command, "/dev/null"], "") else {
        return Ok(());
    };
    ensure!(shown.contains("\x1b[32mready\x1b[0m"), "{shown}");
    ensure!(shown.lines().count() <= 40, "one screen: {shown}");
    let plain = site.stage.store.ask(&["status"])?;
    ensure!(plain.contains("ready") && !plain.contains('\x1b'), "{plain}");
    Ok(())
}
