//! Servers that begin to answer, or promise to, and then say nothing more.

use std::path::Path;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use storebox_proto::seal::Scope;

use super::*;
use crate::env;
use crate::replica::storage::Settings;
use crate::seal::Seals;
use crate::secrets::{SecretText, Vault};
use crate::trust::line::Lines;
use crate::wire::Wire;

/// Until then a silent server is noticed, although its object may take much longer.
const NOTICED_MAX: Duration = Duration::from_secs(45);
/// An object that may take an hour and a half on the slowest line.
const LARGE_BYTES: u32 = 10_000_000;
const BEGUN: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.storebox.sealed\r\n\
    Content-Length: 9000000\r\n\r\nthe first of it";

/// Asks this source for an object at a server that answers so much and no more; what comes of it.
async fn ask_silent(said: &str, source: impl FnOnce(&str) -> Source) -> SourceError {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = source(&format!("http://{}", listener.local_addr().unwrap()));
    let serving = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = [0; 4096];
        assert!(stream.read(&mut asked).await.unwrap() > 0);
        stream.write_all(said.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let name = Hash32::of(b"object");
    let asking = tokio::time::timeout(NOTICED_MAX, source.object(&name, LARGE_BYTES));
    tokio::select! {
        answer = asking => answer.expect("its silence is noticed").unwrap_err(),
        () = serving => unreachable!(),
    }
}

fn http(address: &str) -> HttpSource {
    HttpSource::new(address, "token", Duration::from_secs(2)).unwrap()
}

/// A bucket or a web server.
fn storage(dir: &Path, is_bucket: bool) -> impl FnOnce(&str) -> Source {
    move |address| {
        let (url, endpoint) = match is_bucket {
            true => ("s3://bucket/feeds".to_owned(), address.to_owned()),
            false => (address.to_owned(), String::new()),
        };
        let (user, secret) = ("key".to_owned(), "sesame".to_owned());
        let settings = Settings { url, user, secret, endpoint, ..Settings::default() };
        Source::Storage(Storage::open(settings, &Lines::new(dir, None)).unwrap())
    }
}

#[tokio::test]
async fn another_box_that_goes_silent_is_noticed_before_the_whole_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let seals = Seals::open(Vault::open(dir.path(), Path::new("")).unwrap()).unwrap();
    let (site, scope) = ("store-7".parse().unwrap(), Scope::Boxes);
    seals.begin(&site, scope, env::believable()).unwrap();
    for said in ["", BEGUN] {
        let open = ask_silent(said, |address| Source::Http(http(address))).await;
        assert!(matches!(open, SourceError::Silent { .. }), "{open}");
        let sealed = ask_silent(said, |address| {
            let token = SecretText::new("token".to_owned());
            let wire = Wire::new(address, token, seals.clone(), scope).unwrap();
            Source::Http(http(address).sealed(Some(wire)))
        });
        let sealed = sealed.await;
        let SourceError::Sealed { source, .. } = &sealed else { panic!("{sealed}") };
        assert!(matches!(source, WireError::Silent { .. }), "{source}");
        assert!(open.is_late() && sealed.is_late());
        assert_eq!((open.fault(), sealed.fault()), (Some(Fault::Silent), Some(Fault::Silent)));
    }
}

#[tokio::test]
async fn storage_that_goes_silent_is_noticed_before_the_whole_time_is_over() {
    let dir = tempfile::tempdir().unwrap();
    let asked = ["", BEGUN].into_iter().flat_map(|said| [(said, false), (said, true)]);
    let asked = asked.map(|(said, is_bucket)| ask_silent(said, storage(dir.path(), is_bucket)));
    for silent in futures_util::future::join_all(asked).await {
        assert!(silent.is_late(), "{silent}");
        assert_eq!(silent.fault(), Some(Fault::Silent));
    }
}
