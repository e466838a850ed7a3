//! The line to the main server: straight for an http URL, through the bridge for an https one.

use std::path::PathBuf;
use std::sync::Arc;

use super::RoleError;
use crate::config::Config;
use crate::supervise::Supervisor;
use crate::trust::bridge::Bridge;
use crate::trust::house::{self, House};

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
    let house = house.ok_or(RoleError::NotAdopted)?;
    let folder = house::folder(&config.data_dir);
    let bridge = Bridge::open(house, &folder, "main", &main.url, main.site.clone())?;
    let socket = Some(bridge.socket().to_owned());
    supervisor.spawn_owner("bridge to main", |stop| bridge.run(stop));
    Ok(Line { url: format!("http://{rest}"), socket })
}
