//! `channel …`: hooks, pushes and the request log.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::client::Control;
use super::{CommandError, say};
use crate::args::Channel;
use crate::channel::script::Sandbox;

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Channel) -> Result<(), CommandError> {
    let answer: Value = match what {
        Channel::Try { sample, hook, script: None } => {
            let body = json!({"hook": hook, "object": sample_of(sample)?});
            Control::open(data_dir)?.post("/v1/hooks/try", &body).await?
        }
        Channel::Try { sample, script: Some(script), .. } => here(script, sample_of(sample)?)?,
        Channel::Hooks => Control::open(data_dir)?.get("/v1/hooks").await?,
        Channel::Retry { id } => {
            let path = format!("/v1/hooks/{}/retry", segment(&id));
            Control::open(data_dir)?.post(&path, &json!({})).await?
        }
        Channel::Drop { id } => {
            let path = format!("/v1/hooks/{}/drop", segment(&id));
            Control::open(data_dir)?.post(&path, &json!({})).await?
        }
        Channel::Pushes { retry, drop } => {
            let control = Control::open(data_dir)?;
            match (retry, drop) {
                (None, None) => control.get("/v1/pushes").await?,
                (Some(id), _) => {
                    let path = format!("/v1/pushes/{}/retry", segment(&id));
                    control.post(&path, &json!({})).await?
                }
                (None, Some(id)) => {
                    let path = format!("/v1/pushes/{}/drop", segment(&id));
                    control.post(&path, &json!({})).await?
                }
            }
        }
        Channel::Log { correlation, service, refused, limit } => {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.append_pair("limit", &limit.to_string());
            query.append_pair("refused", &refused.to_string());
            let named = [("correlation", correlation), ("service", service)];
            for (name, value) in
                named.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)))
            {
                query.append_pair(name, value);
            }
            Control::open(data_dir)?.get(&format!("/v1/requests?{}", query.finish())).await?
        }
    };
    say(&serde_json::to_string_pretty(&answer).expect("an answer is JSON"));
    Ok(())
}

/// A script on this machine, in the sandbox of the box.
fn here(script: PathBuf, sample: Value) -> Result<Value, CommandError> {
    let source = std::fs::read_to_string(&script);
    let source = source.map_err(|source| CommandError::File { path: script, source })?;
    let call = json!({"name": "script", "parameters": {}});
    Ok(json!({"object": Sandbox::default().run(&source, &call, sample)?}))
}

fn sample_of(path: PathBuf) -> Result<Value, CommandError> {
    match std::fs::read(&path) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|source| CommandError::Payload { path, source })
        }
        Err(source) => Err(CommandError::File { path, source }),
    }
}

/// An id as a segment of a path.
fn segment(id: &str) -> String {
    form_urlencoded::byte_serialize(id.as_bytes()).collect::<String>().replace('+', "%20")
}
