//! A real cache between tills and box: it answers the second till, and cannot read what it answers.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use storebox_proto::seal::answer::{self, Question};
use storebox_proto::seal::read::{self, Query};

use super::*;

/// nginx with a cache in a folder, on a socket in that folder.
struct Cache {
    nginx: Child,
    folder: TempDir,
}

impl Drop for Cache {
    fn drop(&mut self) {
        let _ = self.nginx.kill();
        let _ = self.nginx.wait();
    }
}

impl Cache {
    fn start(nginx: &str, upstream: SocketAddr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let settings = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;
             events {{ worker_connections 64; }}
             http {{
               access_log {at}/access.log;
               client_body_temp_path {at}/body; proxy_temp_path {at}/proxy;
               fastcgi_temp_path {at}/f; uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
               proxy_cache_path {at}/cache keys_zone=sealed:1m;
               server {{
                 listen unix:{at}/cache.sock;
                 location / {{
                   proxy_pass http://{upstream};
                   proxy_cache sealed;
                   add_header x-cache $upstream_cache_status;
                 }}
               }}
             }}"
        );
        let file = folder.path().join("nginx.conf");
        std::fs::write(&file, settings).unwrap();
        let mut command = Command::new(nginx);
        command.arg("-c").arg(&file).arg("-e").arg("stderr").stderr(Stdio::null());
        let nginx = command.spawn().unwrap();
        Self { nginx, folder }
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("cache.sock")
    }

    async fn client(&self) -> reqwest::Client {
        let socket = self.socket();
        let deadline = crate::env::instant() + Duration::from_secs(10);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(crate::env::instant() < deadline, "the cache does not come up");
            tokio::task::yield_now().await;
        }
        reqwest::Client::builder().unix_socket(socket).build().unwrap()
    }

    /// Whether any file of the cache holds these bytes.
    fn holds(&self, wanted: &[u8]) -> bool {
        let mut folders = vec![self.folder.path().join("cache")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                let bytes = std::fs::read(path).unwrap();
                if bytes.windows(wanted.len()).any(|window| window == wanted) {
                    return true;
                }
            }
        }
        false
    }
}

fn nginx() -> Option<&'static str> {
    let places = ["/usr/sbin/nginx", "/usr/bin/nginx"];
    let found = places.into_iter().find(|place| std::path::Path::new(place).exists());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "nginx is missing; tests/setup installs it");
        eprintln!("skipped: nginx is not installed");
    }
    found
}

#[tokio::test]
async fn two_tills_cost_the_box_one_answer_and_the_cache_cannot_read_it() {
    let Some(nginx) = nginx() else { return };
    let site = Site::open(50, Http::default()).await;
    let cache = Cache::start(nginx, site.address);
    let keys = site.till_keys();
    let pairs = |first: (&str, &str), second: (&str, &str)| {
        [first, second].map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    };
    let (field, value) = (("field", "barcode"), ("value", "40000007"));
    let path = "/v1/models/Product/records";
    let tills = [pairs(field, value), pairs(value, field)];
    let mut seen = Vec::new();
    for (pairs, status) in tills.into_iter().zip(["MISS", "HIT"]) {
        let url = read::seal(&keys, &Query::new(path, pairs).unwrap());
        let client = cache.client().await;
        let response = client.get(format!("http://cache{url}")).send().await.unwrap();
        assert_eq!(response.headers()["x-cache"], status);
        let sealed = response.bytes().await.unwrap();
        let answer = answer::open(&keys, &Question::read(&url), &sealed).unwrap();
        assert!(String::from_utf8(answer.body.clone()).unwrap().contains("Apple 7"));
        seen.push(answer);
    }
    assert_eq!(seen[0], seen[1]);
    let [(_, answers), ..] = site.traffic.answers();
    assert_eq!(answers, 1, "the box answered once");
    let sealed = keys.kid().to_string();
    assert!(cache.holds(sealed.as_bytes()), "the cache has the answer, under its key id");
    for plain in ["Apple", "40000007", "barcode", "Product"] {
        assert!(!cache.holds(plain.as_bytes()), "the cache holds {plain:?}");
    }
    assert!(
        !std::fs::read_to_string(cache.folder.path().join("access.log"))
            .unwrap()
            .contains("Product")
    );
}

#[tokio::test]
async fn what_is_one_callers_is_in_no_cache() {
    let Some(nginx) = nginx() else { return };
    let site = Site::open(1, Http::default()).await;
    let cache = Cache::start(nginx, site.address);
    let keys = site.till_keys();
    let missing = Query::new("/v1/models/Product/records/none", Vec::new()).unwrap();
    let url = read::seal(&keys, &missing);
    for _ in 0..2 {
        let client = cache.client().await;
        let response = client.get(format!("http://cache{url}")).send().await.unwrap();
        assert_eq!(response.headers()["x-cache"], "MISS");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }
}
