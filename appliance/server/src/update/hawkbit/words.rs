//! The words of the device API, as far as a box needs them; what else is said is passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use storebox_proto::ids::Hash32;

#[derive(Debug, Deserialize)]
struct Link {
    href: String,
}

/// What a box is told when it polls.
#[derive(Debug, Deserialize)]
pub(super) struct Root {
    #[serde(default)]
    config: Option<Config>,
    #[serde(default, rename = "_links")]
    links: BTreeMap<String, Link>,
}

#[derive(Debug, Deserialize)]
struct Config {
    polling: Polling,
}

#[derive(Debug, Deserialize)]
struct Polling {
    sleep: String,
}

impl Root {
    /// How long to wait before the next poll, written `HH:MM:SS`.
    pub(super) fn sleep(&self) -> Option<Duration> {
        let text = &self.config.as_ref()?.polling.sleep;
        let parts: Option<Vec<u64>> = text.split(':').map(|part| part.parse().ok()).collect();
        match parts?.as_slice() {
            &[hours, minutes, seconds] if hours < 10_000 && minutes < 60 && seconds < 60 => {
                Some(Duration::from_secs(hours * 3600 + minutes * 60 + seconds))
            }
            _ => None,
        }
    }

    pub(super) fn deployment(&self) -> Option<&str> {
        self.links.get("deploymentBase").map(|link| link.href.as_str())
    }

    pub(super) fn config_data(&self) -> Option<&str> {
        self.links.get("configData").map(|link| link.href.as_str())
    }

    pub(super) fn cancel(&self) -> Option<&str> {
        self.links.get("cancelAction").map(|link| link.href.as_str())
    }
}

/// What a box tells of itself.
#[derive(Debug, Serialize)]
pub(super) struct ConfigData {
    mode: &'static str,
    data: BTreeMap<&'static str, String>,
}

impl ConfigData {
    pub(super) fn of(board: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let data = BTreeMap::from([("board", board.to_owned()), ("storebox", version)]);
        Self { mode: "merge", data }
    }
}

/// An action that is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct Cancel {
    pub(super) id: String,
}

/// An action.
#[derive(Debug, Deserialize)]
pub(super) struct Deployment {
    id: String,
    deployment: Parts,
}

#[derive(Debug, Deserialize)]
struct Parts {
    #[serde(default)]
    download: String,
    #[serde(default)]
    chunks: Vec<Chunk>,
}

#[derive(Debug, Deserialize)]
struct Chunk {
    version: String,
    #[serde(default)]
    artifacts: Vec<Artifact>,
}

#[derive(Debug, Deserialize)]
struct Artifact {
    filename: String,
    size: u64,
    hashes: Hashes,
    #[serde(rename = "_links")]
    links: BTreeMap<String, Link>,
}

#[derive(Debug, Deserialize)]
struct Hashes {
    sha256: String,
}

/// What is to be installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) action: String,
    /// Where the action is.
    pub(super) path: String,
    pub(super) version: String,
    pub(super) size: u64,
    pub(super) sha256: Hash32,
    pub(super) href: String,
}

impl Deployment {
    /// The one bundle of the action.
    pub(super) fn found(&self, path: &str) -> Result<Found, String> {
        if self.deployment.download == "skip" {
            return Err("it is not to be downloaded".to_owned());
        }
        let chunks = self.deployment.chunks.iter();
        let bundles = chunks.flat_map(|chunk| {
            let bundles = chunk.artifacts.iter().filter(|one| one.filename.ends_with(".raucb"));
            bundles.map(move |artifact| (chunk, artifact))
        });
        let bundles: Vec<_> = bundles.collect();
        let [(chunk, artifact)] = bundles.as_slice() else {
            return Err(format!("it has {} files *.raucb, a box needs one", bundles.len()));
        };
        let link = artifact.links.get("download").or(artifact.links.get("download-http"));
        let href = link.ok_or("its bundle has no link")?.href.clone();
        let sha256 = artifact.hashes.sha256.to_lowercase();
        Ok(Found {
            action: self.id.clone(),
            path: path.to_owned(),
            version: chunk.version.clone(),
            size: artifact.size,
            sha256: sha256.parse().map_err(|_| "its SHA-256 is none")?,
            href,
        })
    }
}

/// What became of an action.
#[derive(Debug, Serialize)]
pub(super) struct Feedback {
    id: String,
    status: Status,
}

#[derive(Debug, Serialize)]
struct Status {
    execution: &'static str,
    result: Outcome,
    details: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Outcome {
    finished: &'static str,
}

impl Feedback {
    pub(super) fn of(
        action: &str,
        execution: &'static str,
        finished: &'static str,
        why: &str,
    ) -> Self {
        let details = Some(why.to_owned()).filter(|why| !why.is_empty()).into_iter().collect();
        Self {
            id: action.to_owned(),
            status: Status { execution, result: Outcome { finished }, details },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_answers_is_understood_and_what_it_adds_is_passed_over() {
        let root = r#"{"config":{"polling":{"sleep":"00:05:10"},"x":1},"_links":{
            "deploymentBase":{"href":"https://hawkbit.example/DEFAULT/controller/v1/store-1/deploymentBase/8?c=1"},
            "configData":{"href":"https://hawkbit.example/x"}}}"#;
        let root: Root = serde_json::from_str(root).unwrap();
        assert_eq!(root.sleep(), Some(Duration::from_secs(310)));
        assert!(
            root.deployment().unwrap().ends_with("deploymentBase/8?c=1") && root.cancel().is_none()
        );
        let idle: Root =
            serde_json::from_str(r#"{"config":{"polling":{"sleep":"soon"}}}"#).unwrap();
        assert_eq!((idle.sleep(), idle.deployment()), (None, None));
    }

    #[test]
    fn an_action_has_to_have_one_bundle_with_a_hash() {
        let action = |files: &str, download: &str| -> Result<Found, String> {
            let text = format!(
                r#"{{"id":"8","deployment":{{"download":"{download}","update":"forced","chunks":[
                {{"part":"os","version":"1.5.0","name":"os","artifacts":[{files}]}}]}}}}"#
            );
            serde_json::from_str::<Deployment>(&text).unwrap().found("/p")
        };
        let file = |name: &str, sum: &str| {
            format!(
                r#"{{"filename":"{name}","size":9,"hashes":{{"sha1":"","md5":"","sha256":"{sum}"}},
                "_links":{{"download":{{"href":"http://h/f"}}}}}}"#
            )
        };
        let sum = "AB".repeat(32);
        let one = file("update.raucb", &sum);
        let found = action(&format!("{one},{}", file("notes.txt", &sum)), "forced").unwrap();
        assert_eq!(
            (found.version.as_str(), found.size, found.href.as_str()),
            ("1.5.0", 9, "http://h/f")
        );
        assert!(action("", "forced").unwrap_err().contains("0 files"));
        assert!(action(&format!("{one},{one}"), "forced").unwrap_err().contains("2 files"));
        assert!(action(&one, "skip").is_err());
        assert!(action(&file("update.raucb", "zz"), "forced").unwrap_err().contains("SHA-256"));
    }
}
