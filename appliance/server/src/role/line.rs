//! The line to the main server: straight for an http URL, through the bridge for an https one.
//!
//! A box without papers has no bridge; its line is down, as it is when the cable is cut. The shop sells all the same.

use std::path::PathBuf;
use std::sync::Arc;

use super::RoleError;
use crate::config::Config;
use crate::supervise::Supervisor;
use crate::trust::bridge::{self, Bridge};
use crate::trust::house::{self, House};

/// Of the bridge's socket.
const NAME: &str = "main";

/// Where clients of the main server connect.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// Its URL, as plain HTTP.
    pub(super) url: String,
    /// The socket that leads there, if it is reached over TLS.
    pub(super) socket: Option<PathBuf>,
}

/// Opens the line that `[main]` describes.
pub fn open(
    config: &Config,
    house: Option<&Arc<House>>,
    supervisor: &Supervisor,
) -> Result<Line, RoleError> {
    let main = &config.main;
    let Some(rest) = main.url.strip_prefix("https://") else {
        return Ok(Line { url: main.url.clone(), socket: None });
    };
    let folder = house::folder(&config.data_dir);
    let url = format!("http://{rest}");
    let Some(house) = house else {
        tracing::warn!(
            "main.url is https, but this box was not adopted by head office: the line stays down"
        );
        return Ok(Line { url, socket: Some(bridge::socket(&folder, NAME)) });
    };
    let bridge = Bridge::open(house, &folder, NAME, &main.url, main.site.clone())?;
    let socket = Some(bridge.socket().to_owned());
    supervisor.spawn_owner("bridge to main", |stop| bridge.run(stop));
    Ok(Line { url, socket })
}
