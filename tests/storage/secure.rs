//! Storage over TLS: believed by the company's authority, and by no other.

use std::path::Path;

use anyhow::ensure;
use storebox_tests::company::Company;

use crate::chain::{Chain, await_fault};
use crate::reading::{Place, place, publish, round_trip};
use crate::servers;

fn vouched(place: Place, company: &Company) -> Place {
    Place { authority: company.authority().to_string_lossy().into_owned(), ..place }
}

fn company(folder: &Path) -> anyhow::Result<Company> {
    Company::found(&folder.join("company"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webdav_server_over_tls() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = company(folder.path())?;
    let root = folder.path().join("dav");
    std::fs::create_dir(&root)?;
    let server = servers::secure_python("dav", &root, Some(&company.certify()?));
    let Some(server) = server else { return Ok(()) };
    let place = place(format!("davs://127.0.0.1:{}/chain/feeds", server.port));
    let place = vouched(place, &company);
    round_trip(folder.path(), &place, &place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ftp_server_that_takes_nothing_in_the_open() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = company(folder.path())?;
    let root = folder.path().join("ftp");
    std::fs::create_dir(&root)?;
    let server = servers::secure_python("ftp", &root, Some(&company.certify()?));
    let Some(server) = server else { return Ok(()) };
    let place = place(format!("ftps://127.0.0.1:{}/chain/feeds", server.port));
    let place = vouched(place, &company);
    round_trip(folder.path(), &place, &place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_over_tls() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = company(folder.path())?;
    let certified = company.certify()?;
    let server = servers::s3(&folder.path().join("bucket"), Some(&certified));
    let Some(server) = server else { return Ok(()) };
    let endpoint = format!("https://127.0.0.1:{}", server.port);
    let bucket = place("s3://feeds/chain/7".to_owned());
    let place = Place { user: "S3RVER", secret: "S3RVER", endpoint, ..bucket };
    let place = vouched(place, &company);
    round_trip(folder.path(), &place, &place).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_that_speaks_nothing_newer_than_tls_1_2() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = company(folder.path())?;
    let root = folder.path().join("www");
    std::fs::create_dir(&root)?;
    let server = servers::secure_python("old", &root, Some(&company.certify()?));
    let Some(server) = server else { return Ok(()) };
    let web = place(format!("https://127.0.0.1:{}", server.port));
    let written = place(root.to_string_lossy().into_owned());
    round_trip(folder.path(), &written, &vouched(web, &company)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_server_under_a_false_certificate_is_passed_over() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let company = company(folder.path())?;
    let other = Company::found(&folder.path().join("other"))?;
    let root = folder.path().join("www");
    std::fs::create_dir(&root)?;
    let server = servers::secure_python("web", &root, Some(&other.certify()?));
    let Some(server) = server else { return Ok(()) };
    let chain = Chain::open(folder.path(), "").await?;
    publish(&chain, &place(root.to_string_lossy().into_owned()))?;
    let url = format!("https://127.0.0.1:{}", server.port);
    let source = |authority: &Company| {
        let authority = authority.authority();
        format!(
            "[[source]]\nid = \"web\"\nkind = \"storage\"\npriority = 1\nurl = {url:?}\nca_file = {authority:?}\n"
        )
    };
    let settings = format!("{}{}", chain.main_section("store-1")?, source(&company));
    let store = chain.store("store-1", &settings).await?;
    await_fault(&store, "web", "does not answer").await?;
    chain.await_level(&store).await?;
    let believing = chain.store("store-2", &source(&other)).await?;
    chain.await_level(&believing).await?;
    let refused =
        publish(&chain, &vouched(place(format!("davs://127.0.0.1:{}", server.port)), &company));
    ensure!(refused.is_err(), "a publisher believes no stranger either");
    Ok(())
}
