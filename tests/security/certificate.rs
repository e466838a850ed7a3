//! Head office sends a certificate for browsers to the boxes of a site; nobody else can open it.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use storebox_tests::chain::{Chain, await_level};
use storebox_tests::wait;

use crate::box_of::{executable, skipped};

const PATIENCE: Duration = Duration::from_secs(60);
const DOMAIN: &str = "a1.pos.example";

/// A certificate as a public authority would give it; false if there is no tool for it.
fn make(folder: &std::path::Path, name: &str, domain: &str) -> bool {
    let at = |what: &str| folder.join(format!("{name}.{what}")).to_string_lossy().into_owned();
    let subject = format!("subjectAltName=DNS:{domain}");
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
        ])
        .args(["-subj", &format!("/CN={name}"), "-addext", &subject, "-days", "7"])
        .args(["-keyout", &at("key"), "-out", &at("pem")])
        .stderr(Stdio::null())
        .status();
    made.is_ok_and(|made| made.success())
}

/// What a browser is shown that asks for this name; later versions write no blanks around the equals sign.
fn shown(at: SocketAddr, name: &str) -> anyhow::Result<String> {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", &at.to_string(), "-servername", name])
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).replace(" = ", "="))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_browsers_comes_with_the_estate_and_is_served_by_its_name()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    if !make(folder.path(), "first", DOMAIN) || !make(folder.path(), "second", DOMAIN) {
        skipped("openssl is not installed; tests/setup installs it");
        return Ok(());
    }
    let chain = Chain::found(executable(), folder.path())?;
    let (main, section) = chain.main("").await?;
    main.ask(&["seal", "new", "--site", "0007", "--scope", "boxes"])?;
    let tls = format!(
        "{section}[http]\nlisten = [\"127.0.0.1:0\"]\n[tls]\nlisten = [\"127.0.0.1:0\"]\ndomain = \"{DOMAIN}\"\n"
    );
    let (mut store, _, secure) = chain.shop("store-1", "0007", &tls).await?;
    let (other, _, foreign) = chain.shop("store-8", "0008", &tls).await?;
    let send = |name: &str| -> anyhow::Result<String> {
        let [pem, key] = ["pem", "key"].map(|what| chain.place(&format!("{name}.{what}")));
        let out = chain.place("changes.ndjson");
        let what = ["seal", "certificate", "--site", "0007", "--domain", DOMAIN];
        main.ask(&[&what[..], &["--certificate", &pem, "--key", &key, &out]].concat())?;
        let record = fs::read_to_string(&out)?;
        main.ask(&["import", "--changes", &out])?;
        Ok(record)
    };
    let record = send("first")?;
    ensure!(!record.contains("PRIVATE") && !record.contains("CERTIFICATE"), "it travels sealed");
    wait::until("the certificate is served", PATIENCE, || async {
        Ok(shown(secure, DOMAIN)?.contains("CN=first"))
    })
    .await?;
    let own = shown(secure, "box.site-0007.storebox.internal")?;
    ensure!(!own.contains("CN=first"), "by its name alone: {own}");
    await_level(&main, &other).await?;
    ensure!(!shown(foreign, DOMAIN)?.contains("CN=first"), "another site cannot open it");
    let vault = fs::read(store.data().join("vault"))?;
    ensure!(!vault.windows(11).any(|window| window == b"PRIVATE KEY"), "it is kept sealed");

    send("second")?;
    wait::until("the next one is served", PATIENCE, || async {
        Ok(shown(secure, DOMAIN)?.contains("CN=second"))
    })
    .await?;
    // Without head office and without the ring, the box serves what it has.
    store.ask(&["seal", "remove", "--site", "0007", "--scope", "boxes"])?;
    drop(main);
    store.stop();
    store.start().await?;
    let secure = storebox_tests::chain::secure(&store)?;
    ensure!(shown(secure, DOMAIN)?.contains("CN=second"), "after a restart");
    let mismatched =
        ["--certificate", &chain.place("first.pem"), "--key", &chain.place("second.key")];
    let mut wrong = vec!["seal", "certificate", "--site", "0008", "--domain", DOMAIN];
    wrong.extend(mismatched);
    let out = chain.place("never");
    wrong.push(&out);
    let refused = store.ask(&wrong).err().map(|error| error.to_string()).unwrap_or_default();
    ensure!(refused.contains("field_invalid"), "{refused}");
    Ok(())
}
