//! Definitions of several servers: refused where they break a rule, and told to terminals.

use std::path::Path;
use std::process::Command;

use anyhow::ensure;
use ed25519_dalek::SigningKey;
use storebox::db::SegmentStore;
use storebox::demo::process::Process;
use storebox::replica::author::{Author, Options};
use storebox::replica::board::Board;
use storebox::replica::import::{Importer, Limits, Weeks};
use storebox::replica::publisher::Publisher;
use storebox::replica::storage::{Settings, Storage};
use storebox::trust::line::Lines;
use storebox_proto::estate::{Concern, TRANSACTIONS};
use storebox_proto::feed::Registry;
use storebox_proto::time::Timestamp;
use storebox_tests::{skip, wait};

use crate::site::{PATIENCE, Site, executable, told};

const ENABLED: &str = r#"{"id":"p1","property":"OBMOBC_MultiServerArchitecture","value":"Y"}"#;
const MAIN: &str = r#"{"id":"m","name":"main","address":"http://main:8080","priority":10,"serverType":"MAIN","allOrganizations":"Y","allServices":"Y"}"#;
const SHOP: &str = r#"{"id":"s","name":"shop","address":"http://shop:8080","priority":5,"serverType":"STORE","serviceSelection":"except"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_is_told_its_servers_and_a_broken_rule_is_refused_by_name() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let (status, config) = told(site.get("/v1/terminal/config")).await?;
    ensure!(status == 200 && config["servers"].is_null(), "one server: {config}");

    let servers = format!("{MAIN}\n{SHOP}");
    site.import(&[
        ("Preference", ENABLED),
        ("Server", &servers),
        ("Organization", "{\"id\":\"chain\"}\n{\"id\":\"north\",\"parentId\":\"chain\"}"),
        ("ServerOrganization", r#"{"id":"1","serverId":"s","organizationId":"chain"}"#),
        ("Terminal", r#"{"id":"t1","searchKey":"till-1","organizationId":"north"}"#),
    ])?;
    site.await_level().await?;
    let (_, config) = told(site.get("/v1/terminal/config")).await?;
    let listed = &config["servers"]["servers"];
    ensure!(listed[0]["name"] == "shop" && listed[1]["mainServer"] == true, "{config}");

    let second = MAIN.replace("\"m\"", "\"m2\"").replace("\"main\"", "\"main 2\"");
    let refused = |lines: &str| site.change(lines).unwrap_err().to_string();
    let change =
        |model: &str, record: &str| format!("{{\"model\":\"{model}\",\"record\":{record}}}");
    let error = refused(&change("Server", &second));
    ensure!(error.contains("SRC-07 one authoritative main server"), "{error}");
    let left = |service: &str| {
        let record = format!("{{\"id\":\"x\",\"serverId\":\"s\",\"serviceId\":\"{service}\"}}");
        change("ServerService", &record)
    };
    let error = refused(&left("retail.posterminal.CustomerLoader"));
    ensure!(error.contains("SRC-32 customers and tickets"), "{error}");
    let error = refused(&change("Organization", r#"{"id":"chain","parentId":"north"}"#));
    ensure!(error.contains("SRC-23 organisation tree"), "{error}");
    site.change(&left("v1/models/BusinessPartner"))?;
    site.await_level().await?;
    let (_, config) = told(site.get("/v1/terminal/config")).await?;
    let shop = &config["servers"]["servers"][0];
    ensure!(shop["services"][0] == "v1/models/BusinessPartner", "{config}");
    ensure!(shop["allExcludingDefined"] == true, "{config}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_is_checked_before_it_is_rolled_out_and_can_be_rolled_back()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let site = Site::open(folder.path(), "").await?;
    let version = |name: &str, servers: &str| -> anyhow::Result<String> {
        let dir = folder.path().join(name);
        std::fs::create_dir(&dir)?;
        for (model, lines) in [
            ("Preference", ENABLED),
            ("Server", servers),
            ("Organization", r#"{"id":"chain"}"#),
            ("Terminal", r#"{"id":"t1","searchKey":"till-1","organizationId":"chain"}"#),
            ("ServerOrganization", r#"{"id":"1","serverId":"s","organizationId":"chain"}"#),
        ] {
            std::fs::write(dir.join(format!("{model}.ndjson")), lines)?;
        }
        Ok(dir.to_string_lossy().into_owned())
    };
    let first = version("first", &format!("{MAIN}\n{SHOP}"))?;
    let second = version("second", &format!("{MAIN}\n{}", SHOP.replace("//shop:", "//other:")))?;
    let broken =
        version("broken", &format!("{MAIN}\n{}\n{SHOP}", MAIN.replace("\"m\"", "\"m2\"")))?;
    let main = &site.stage.main;
    let servers = async || -> anyhow::Result<String> {
        site.await_level().await?;
        let (_, config) = told(site.get("/v1/terminal/config")).await?;
        Ok(config["servers"].to_string())
    };
    main.ask(&["import", &first])?;
    ensure!(servers().await?.contains("//shop:"));
    let refused = main.ask(&["import", "--check", &broken]).unwrap_err().to_string();
    ensure!(refused.contains("SRC-07"), "{refused}");
    let checked = main.ask(&["import", "--check", &second])?;
    ensure!(checked.contains("\"published\": []"), "{checked}");
    ensure!(servers().await?.contains("//shop:"), "a check publishes nothing");
    main.ask(&["import", &second])?;
    ensure!(servers().await?.contains("//other:"));
    main.ask(&["import", &first])?;
    ensure!(servers().await?.contains("//shop:"), "what was in force before is in force again");
    Ok(())
}

/// What a head office of an earlier version, which knew fewer rules, has published to a folder, and its key.
async fn unchecked(folder: &Path, lines: &str) -> anyhow::Result<(String, String)> {
    let key = SigningKey::from_bytes(&[5; 32]);
    let segments = SegmentStore::open(&folder.join("segments"))?;
    let (heads, board) = (folder.join("heads"), Board::default());
    let mut author =
        Author::open(&heads, segments.clone(), key.clone(), board.clone(), Options::new(1))?;
    let importer = Importer::new(Registry::built_in(), Limits::default(), folder);
    let import = importer.changes(lines.as_bytes(), Weeks::ALL)?;
    author.publish(&import, Timestamp::from_unix_ms(0))?;
    let root = folder.join("published");
    std::fs::create_dir(&root)?;
    let url = root.to_string_lossy().into_owned();
    let settings = Settings { url: url.clone(), ..Settings::default() };
    let storage = Storage::open(settings, &Lines::new(folder, None))?;
    let public = key.verifying_key();
    Publisher::new(storage, board, segments, vec![public]).publish().await?;
    Ok((url, public.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_box_says_which_rules_its_definitions_break_whoever_let_them_through()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let part = |id: &str, concern: Concern| {
        let name = TRANSACTIONS.iter().find(|(_, of)| *of == concern).expect("one of each").0;
        format!("{{\"id\":\"{id}\",\"serverId\":\"s\",\"serviceId\":\"{name}\"}}")
    };
    let shop = SHOP.replace("\"except\"", "\"only\"");
    let shop = shop.replace("\"id\"", "\"allOrganizations\":\"Y\",\"id\"");
    let lines: Vec<String> = [
        ("Preference", ENABLED.to_owned()),
        ("Server", MAIN.to_owned()),
        ("Server", shop),
        ("ServerService", part("1", Concern::Customers)),
        ("ServerService", part("2", Concern::CashUps)),
    ]
    .iter()
    .map(|(model, record)| format!("{{\"model\":\"{model}\",\"record\":{record}}}"))
    .collect();
    let (url, key) = unchecked(folder.path(), &lines.join("\n")).await?;
    let settings = format!(
        "role = \"store\"\n[http]\nlisten = [\"127.0.0.1:0\"]\n[main]\npublic_key = \"{key}\"\n\
         [[source]]\nid = \"stick\"\nkind = \"storage\"\nurl = {url:?}\n"
    );
    let mut store = Process::lay_out(executable(), folder.path(), "store-1", &settings)?;
    store.start().await?;
    wait::until("both rules are named", PATIENCE, || async {
        let status = store.control("GET", "/v1/status", None).await?;
        let rules = status["brokenRules"].to_string();
        Ok(["SRC-32 customers and tickets", "SRC-33 cash-ups only where their tickets are"]
            .iter()
            .all(|rule| rules.contains(rule)))
    })
    .await?;
    let told = store.ask(&["status"])?;
    ensure!(told.contains("The definitions of servers break a rule"), "{told}");
    Ok(())
}

#[test]
fn the_client_in_javascript_chooses_as_the_protocol_does() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if Command::new("node").arg("--version").output().is_err() {
        return skip("node is not installed").unwrap_or_default();
    }
    let folder = tempfile::tempdir().unwrap();
    let module = folder.path().join("servers.mjs");
    std::fs::copy(root.join("appliance/server/console/client/servers.js"), &module).unwrap();
    let run = Command::new("node")
        .arg(root.join("tests/operations/servers.mjs"))
        .arg(&module)
        .arg(root.join("appliance/proto/src/estate/vectors.json"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "13");
}

#[test]
fn the_client_in_javascript_moves_between_servers_by_the_definitions_of_its_terminal() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if Command::new("node").arg("--version").output().is_err() {
        return skip("node is not installed").unwrap_or_default();
    }
    let folder = tempfile::tempdir().unwrap();
    for module in ["boxes.js", "servers.js"] {
        let client = root.join("appliance/server/console/client").join(module);
        std::fs::copy(client, folder.path().join(module)).unwrap();
    }
    std::fs::write(folder.path().join("package.json"), "{\"type\":\"module\"}").unwrap();
    let run = Command::new("node")
        .arg(root.join("tests/operations/boxes.mjs"))
        .arg(folder.path().join("boxes.js"))
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(String::from_utf8_lossy(&run.stdout).trim(), "moved");
}
