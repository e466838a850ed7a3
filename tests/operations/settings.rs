//! Settings that head office sets on its boxes: rolled out in rings, tried, proven, refused, taken back.

use std::cell::RefCell;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use storebox::demo::process::Process;
use storebox::demo::state::State;
use storebox_proto::limits::PAGE_RECORDS_MAX;
use storebox_tests::wait;
use tokio::task::block_in_place;

use crate::site::{PATIENCE, Site, executable, sale};

const PILOT: &str = r#"{"id":"pilot","name":"Pilot shops","order":1,"sites":["oslo"]}"#;

/// A shop of another site than the first one.
async fn rome(site: &Site) -> anyhow::Result<Process> {
    let main = &site.stage.main;
    let token_file = site.folder.join("rome.token");
    fs::write(&token_file, main.ask(&["node", "add", "rome-1"])?)?;
    let settings = format!(
        "role = \"store\"\n[main]\nurl = \"http://{}\"\npublic_key = \"{}\"\ntoken_file = {}\n\
         [http]\nlisten = [\"127.0.0.1:0\"]\n[discovery]\nsite = \"rome\"\n",
        site.stage.main_address,
        State::of(main).await?.public_key,
        json!(token_file.to_string_lossy()),
    );
    let mut rome = Process::lay_out(executable(), &site.folder, "rome-1", &settings)?;
    rome.start().await?;
    Ok(rome)
}

/// What a box says about its settings; nothing while it begins again.
async fn settings(process: &Process) -> Value {
    let status = process.control("GET", "/v1/status", None).await.unwrap_or_default();
    status["settings"].clone()
}

async fn await_state(process: &Process, revision: u64, state: &str) -> anyhow::Result<Value> {
    let what = format!("revision {revision} is {state}");
    // What is withdrawn gives way to a trial of the box's own values, which takes a minute.
    // What is asked for a second time may fall into the moment in which the box begins again.
    let found = RefCell::new(Value::Null);
    wait::until(&what, PATIENCE * 2, || async {
        let seen = settings(process).await;
        let holds = seen["revision"] == revision && seen["state"] == state;
        found.replace(seen);
        Ok(holds)
    })
    .await?;
    Ok(found.into_inner())
}

/// How many records a till is told to load at once, at the address that the box has now.
async fn batch_size(site: &Site) -> anyhow::Result<Value> {
    let address = fs::read_to_string(site.stage.store.data().join("http.addr"))?;
    let address: SocketAddr = address.trim().parse()?;
    let url = format!("http://{address}/v1/terminal/config");
    let answer = site.client.get(url).bearer_auth(&site.token).send().await?;
    let config: Value = answer.error_for_status()?.json().await?;
    Ok(config["batchSize"].clone())
}

/// What head office sees of the shop's box.
async fn seen_from_above(site: &Site) -> anyhow::Result<Value> {
    let boxes = site.stage.main.control("GET", "/v1/boxes", None).await?;
    let boxes = boxes.as_array().cloned().unwrap_or_default();
    let shop = boxes.into_iter().find(|one| one["name"] == "store-367");
    Ok(shop.context("head office knows the box")?["said"]["settings"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_go_to_the_pilot_first_then_to_everyone_and_back() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "[discovery]\nsite = \"oslo\"\n").await?;
    site.import(&[("Ring", PILOT)])?;
    let rome = rome(&site).await?;
    site.sell(&sale(1, "1.00")).await?;
    let (main, process) = (&site.stage.main, site.stage.store.id());

    main.ask(&[
        "settings",
        "set",
        "night",
        "terminal.batch_size=250",
        "--ring",
        "pilot",
        "--prove-s",
        "5",
    ])?;
    let seen = await_state(&site.stage.store, 1, "proven").await?;
    ensure!(seen["ring"] == "pilot" && seen["keys"][0] == "terminal.batch_size", "{seen}");
    ensure!(batch_size(&site).await? == 250);
    ensure!(site.stage.store.id() == process, "it began again in its own place");
    let at_rome = settings(&rome).await;
    ensure!(at_rome["revision"] == 0 && at_rome["ring"] == "everyone", "{at_rome}");

    main.ask(&["settings", "promote", "night"])?;
    await_state(&rome, 1, "proven").await?;
    let steps =
        site.stage.store.control("GET", "/v1/settings", None).await?["book"]["steps"].clone();
    ensure!(steps.as_array().is_some_and(|steps| steps.len() == 2), "the pilot goes on: {steps}");
    let listed = main.ask(&["settings", "list"])?;
    ensure!(
        listed.contains("up to everyone") && listed.contains("terminal.batch_size=250"),
        "{listed}"
    );

    let shown = site.stage.store.ask(&["settings", "back", "--by", "anna"])?;
    ensure!(shown.contains("revision 0"), "{shown}");
    await_state(&site.stage.store, 0, "none").await?;
    ensure!(batch_size(&site).await? == 500);
    let shown = site.stage.store.ask(&["settings", "show"])?;
    ensure!(shown.contains("taken-back") && shown.contains("anna"), "{shown}");
    main.ask(&["settings", "withdraw", "night"])?;
    await_state(&rome, 0, "none").await?;
    let kept = settings(&site.stage.store).await;
    ensure!(kept["refused"].is_null(), "what is withdrawn is no matter any more: {kept}");

    // Not one sale was lost on the way.
    site.stage.store.check_alive()?;
    site.await_settled(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_box_can_run_with_is_refused_by_name_and_nothing_is_published() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let set = |value: &str| site.stage.main.ask(&["settings", "set", "bad", value]);
    for (value, wanted) in [
        ("main.url=http://elsewhere:1", "values.main.url"),
        ("node=other", "values.node"),
        ("tls.listen=[]", "values.tls.listen"),
        ("terminal.batch_size=0", "is not within 1 and 1000"),
        ("log.level=loud", "values.log.level"),
    ] {
        let error = set(value).unwrap_err().to_string();
        ensure!(error.contains(wanted), "{value}: {error}");
    }
    let error = site.stage.main.ask(&["settings", "set", "a", "log.level=warn", "--ring", "pilto"]);
    ensure!(error.unwrap_err().to_string().contains("no ring of that name"));
    ensure!(site.stage.main.ask(&["settings", "list"])?.contains("Nothing is set"));

    // More records than one page of an answer holds, none of which any box is to have; the last one is the newest.
    let lines: Vec<_> = (0..=PAGE_RECORDS_MAX)
        .map(|n| {
            let record = json!({"id": format!("set-{n:05}"), "number": n + 1, "ring": "nobody",
                "values": {"log.level": "warn"}});
            json!({"model": "BoxSettings", "record": record}).to_string()
        })
        .collect();
    site.change(&lines.join("\n"))?;
    let newest = PAGE_RECORDS_MAX + 1;
    wait::until("all of them are there", PATIENCE, || async {
        Ok(site.stage.main.ask(&["settings", "list"])?.contains(&format!("{newest}  set-")))
    })
    .await?;
    let said = site.stage.main.ask(&["settings", "set", "a", "log.level=warn"])?;
    ensure!(said.contains(&format!("revision {} (a)", newest + 1)), "{said}");
    Ok(())
}

/// What systemd is told until it hears this; a socket as it has one.
fn told_until(socket: &UnixDatagram, last: &str) -> anyhow::Result<Vec<String>> {
    let mut told = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let length = socket.recv(&mut buffer).with_context(|| format!("{last} after {told:?}"))?;
        told.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        if told.last().is_some_and(|one| one.starts_with(last)) {
            return Ok(told);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_sees_a_box_that_begins_again_reload_and_not_stop() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut site = Site::open(folder.path(), "").await?;
    site.stage.store.stop();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut child = Command::new(executable())
        .arg("--config")
        .arg(site.stage.store.data().with_file_name("storebox.toml"))
        .arg("run")
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "60000000")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let told = block_in_place(|| -> anyhow::Result<_> {
        let mut told = told_until(&socket, "READY=1")?;
        let set = ["settings", "set", "a", "terminal.batch_size=250", "--prove-s", "5"];
        site.stage.main.ask(&set)?;
        told.extend(told_until(&socket, "READY=1")?);
        Ok(told)
    });
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    kill(pid, Signal::SIGTERM)?;
    let end = block_in_place(|| told_until(&socket, "STOPPING=1"));
    let ended = child.wait()?;
    let told = told?;
    ensure!(!told.iter().any(|one| one.contains("STOPPING")), "{told:?}");
    let reloading = told.iter().rposition(|one| one.starts_with("RELOADING=1\nMONOTONIC_USEC="));
    let alive = told.iter().rposition(|one| one == "WATCHDOG=1");
    ensure!(reloading.is_some() && alive > reloading, "{told:?}");
    ensure!(ended.success(), "{ended}");
    end.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_go_with_a_box_is_refused_there_and_what_makes_it_ill_is_taken_back()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let (main, store) = (&site.stage.main, &site.stage.store);
    main.ask(&["settings", "set", "base", "terminal.batch_size=250", "--prove-s", "5"])?;
    await_state(store, 1, "proven").await?;

    // A technician has left the box's file half done: it runs, but could not begin again.
    let file = store.data().with_file_name("storebox.toml");
    let good = fs::read_to_string(&file)?;
    fs::write(&file, format!("{good}\nnonsense = = 1\n"))?;
    main.ask(&["settings", "set", "next", "terminal.popup_minutes=2", "--prove-s", "5"])?;
    await_refused(store, 2).await?;
    let seen = await_state(store, 1, "proven").await?;
    let why = seen["refused"]["why"].as_str().unwrap_or_default();
    ensure!(seen["revision"] == 1 && why.contains("not TOML"), "{seen}");
    fs::write(&file, good)?;

    // One refused sale waits for a person, and with these settings there is no room for another one.
    refuse_one(&site).await?;
    main.ask(&["settings", "set", "next", "outbox.entries_max=1", "--prove-s", "5"])?;
    await_refused(store, 3).await?;
    let seen = await_state(store, 1, "proven").await?;
    ensure!(seen["refused"]["revision"] == 3, "{seen}");
    // It begins again with what was proven before.
    wait::until("the batch size of before", PATIENCE, || async {
        Ok(batch_size(&site).await.is_ok_and(|size| size == 250))
    })
    .await?;
    wait::until("the finding", PATIENCE, || async {
        let status = store.control("GET", "/v1/status", None).await.unwrap_or_default();
        Ok(status["findings"].to_string().contains("\"settings_refused\""))
    })
    .await?;
    wait::until("head office sees it", PATIENCE, || async {
        let seen = seen_from_above(&site).await?;
        Ok(seen["revision"] == 1 && seen["refused"] == 3)
    })
    .await?;
    let steps = store.ask(&["settings", "show"])?;
    ensure!(steps.contains("rolled-back"), "{steps}");
    Ok(())
}

/// Sells what head office has settled with another amount: it waits for a person.
async fn refuse_one(site: &Site) -> anyhow::Result<()> {
    let token = fs::read_to_string(site.folder.join("store.token"))?;
    let url = format!("http://{}/sync/v1/transactions", site.stage.main_address);
    let before = json!({"node": "store-367", "envelopes": [sale(1, "1.00")]});
    let sent = site.client.post(url).bearer_auth(token.trim()).json(&before).send().await?;
    sent.error_for_status()?;
    let address = fs::read_to_string(site.stage.store.data().join("http.addr"))?;
    let url = format!("http://{}/v1/transactions", address.trim());
    let sold = site.client.post(url).bearer_auth(&site.token).json(&sale(1, "2.00")).send().await?;
    sold.error_for_status()?;
    wait::until("it waits for a person", PATIENCE, || async {
        Ok(State::of(&site.stage.store).await?.outbox.quarantined == 1)
    })
    .await
}

async fn await_refused(process: &Process, revision: u64) -> anyhow::Result<()> {
    wait::until(&format!("{revision} is refused"), PATIENCE, || async {
        Ok(settings(process).await["refused"]["revision"] == revision)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_integrators_guides_example_of_a_roll_out_is_taken() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "[discovery]\nsite = \"0007\"\n").await?;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = fs::read_to_string(root.join("appliance/docs/integrators.md"))?;
    let chapter = guide.split("## Roll-outs").nth(1).context("the chapter")?;
    let example = chapter.split("```").nth(1).and_then(|text| text.strip_prefix("json\n"));
    site.change(example.context("the example")?)?;
    await_state(&site.stage.store, 1, "trial").await.map(drop)
}

#[test]
fn keys_that_could_cut_a_box_off_are_not_on_the_list() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let list = fs::read_to_string(root.join("appliance/docs/reference.md")).unwrap();
    let list = list.split("## What head office may set").nth(1).unwrap();
    let list = list.split("\n## ").next().unwrap();
    assert!(list.contains("`terminal.batch_size`"));
    for word in ["main.", "tls.", "secrets.", "peers.", "http.listen", "source", "node"] {
        assert!(!list.contains(&format!("`{word}")), "{word}");
    }
}
