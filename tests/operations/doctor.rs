//! The doctor, with one fault after the other: each is named, and with each comes the next step.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use storebox_tests::wait;

use crate::site::{PATIENCE, Site, executable};

/// All that the doctor found, by the code of each finding.
fn examine(config: &Path) -> anyhow::Result<Vec<(String, Value)>> {
    let output = Command::new(executable())
        .arg("--config")
        .arg(config)
        .args(["doctor", "--json"])
        .output()?;
    let report: Value = serde_json::from_slice(&output.stdout).context("a report")?;
    let checks = report["checks"].as_array().cloned().unwrap_or_default();
    let found: Vec<Value> = checks
        .iter()
        .flat_map(|check| check["findings"].as_array().cloned().unwrap_or_default())
        .collect();
    for finding in &found {
        let is_well = finding["level"] == "good";
        ensure!(is_well || finding["advice"].is_string(), "no next step in {finding}");
    }
    let grave = found.iter().any(|finding| finding["level"] == "bad");
    ensure!(output.status.success() != grave, "the exit code says otherwise: {report}");
    let code = |finding: &Value| finding["code"].as_str().unwrap_or_default().to_owned();
    Ok(found.into_iter().map(|finding| (code(&finding), finding)).collect())
}

/// A configuration whose data directory is there and private.
fn lay_out(folder: &Path, settings: &str) -> anyhow::Result<std::path::PathBuf> {
    let data = folder.join("data");
    fs::create_dir_all(&data)?;
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    let file = folder.join("storebox.toml");
    fs::write(&file, format!("data_dir = {}\n{settings}", json!(data.to_string_lossy())))?;
    Ok(file)
}

/// Something on the line that answers every request with this, until the test ends.
fn answering(head: &str, body: &str) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\n{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // Whoever asks reads the answer or goes away: both are its business.
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Ok(url)
}

fn of_main(url: &str, more: &str) -> String {
    let key = ed25519_dalek::SigningKey::from_bytes(&[1; 32]).verifying_key();
    let key: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[main]\nurl = \"{url}\"\npublic_key = \"{key}\"\n{more}")
}

#[test]
fn each_fault_of_configuration_disk_line_and_lan_has_its_name_and_next_step() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let token = folder.path().join("token");
    fs::write(&token, "sbn_x")?;
    let token_file = format!("token_file = {}\n", json!(token.to_string_lossy()));
    let missing = "token_file = \"/not/there\"\n";
    let portal = answering("content-type: text/html\r\n", "<h1>Please log in</h1>")?;
    let status =
        json!({"node": "main", "version": "1.0.0", "publicKey": "cd".repeat(32)}).to_string();
    let old = "content-type: application/json\r\ndate: Sun, 01 Nov 2020 10:00:00 GMT\r\n";
    let office = answering(old, &status)?;
    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let cases = [
        ("[http]\nlistne = []\n".to_owned(), "configuration"),
        (String::new(), "box_silent"),
        (of_main("http://no-such-name.invalid", &token_file), "dns"),
        (of_main("https://no-such-name.invalid", &token_file), "dns"),
        (of_main(&format!("https://{nobody}"), &token_file), "line_down"),
        (of_main(&format!("http://{nobody}"), &token_file), "line_down"),
        (of_main(&portal, &token_file), "line_stranger"),
        (of_main(&office, &token_file), "clocks_apart"),
        (of_main(&office, &token_file), "key_differs"),
        (of_main(&office, missing), "token_unreadable"),
        ("[discovery]\ninterfaces = [\"nowhere0\"]\n".to_owned(), "interface_missing"),
    ];
    for (settings, code) in cases {
        let home = tempfile::tempdir()?;
        let found = examine(&lay_out(home.path(), &settings)?)?;
        let finding =
            found.iter().find(|(known, finding)| known == code && finding["level"] != "good");
        ensure!(finding.is_some(), "{code} is not in {found:?}");
    }
    let home = tempfile::tempdir()?;
    let file = lay_out(home.path(), "")?;
    fs::set_permissions(
        home.path().join("data"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    ensure!(examine(&file)?.iter().any(|(code, _)| code == "data_dir_open"));
    fs::remove_dir(home.path().join("data"))?;
    let gone = examine(&file)?;
    ensure!(
        gone.iter().any(|(code, found)| code == "data_dir" && found["level"] == "bad"),
        "{gone:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_fault_of_a_running_box_has_its_name_and_next_step() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let devices = "[[device]]\nid = \"receipts\"\nkind = \"printer\"\nat = \"/dev/not-there\"\nmodel = \"epson-tm-m30\"\n\
                   [[device]]\nid = \"odd\"\nkind = \"scale\"\nat = \"/dev/neither\"\nmodel = \"epson-tm-m30\"\n";
    let mut site = Site::open(folder.path(), devices).await?;
    let config = site.stage.store.data().with_file_name("storebox.toml");
    let look = || tokio::task::block_in_place(|| examine(&config));
    wait::until("the fault of each device", PATIENCE, || async {
        let found = look()?;
        let has = |code: &str| found.iter().any(|(known, _)| known == code);
        Ok(has("device_refused") && found.iter().any(|(code, _)| code == "printer_away"))
    })
    .await?;
    site.stage.line.set_up(false);
    site.sell(&crate::site::sale(1, "1.00")).await?;
    wait::until("the source that does not answer", PATIENCE, || async {
        Ok(look()?.iter().any(|(code, _)| code == "source_down"))
    })
    .await?;
    site.stage.store.stop();
    ensure!(look()?.iter().any(|(code, _)| code == "box_silent"));
    Ok(())
}
