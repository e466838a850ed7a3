//! `log-level`: how much the running box logs, for a while.

use std::path::Path;

use super::client::{CallError, Control};
use super::{CommandError, say};
use crate::config::Level;
use crate::logging::{LevelChange, LevelsView};

/// What is changed: a level for everything, or for one module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    module: Option<String>,
    level: Option<Level>,
}

impl std::str::FromStr for Setting {
    type Err = String;

    /// `debug`, `storebox::http=debug`, or `…=reset` for what is configured.
    fn from_str(text: &str) -> Result<Self, String> {
        let (module, word) = match text.split_once('=') {
            Some((module, word)) => (Some(module.to_owned()), word),
            None => (None, text),
        };
        let level = match word {
            "reset" => None,
            "error" => Some(Level::Error),
            "warn" => Some(Level::Warn),
            "info" => Some(Level::Info),
            "debug" => Some(Level::Debug),
            "trace" => Some(Level::Trace),
            _ => return Err("a level is error, warn, info, debug, trace or reset".to_owned()),
        };
        Ok(Self { module, level })
    }
}

/// Changes levels, or shows them.
pub(super) async fn run(
    data_dir: &Path,
    settings: Vec<Setting>,
    minutes: u32,
) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    for Setting { module, level } in settings {
        let change = LevelChange { module, level, minutes: Some(minutes) };
        let put: Result<(), CallError> = control.put("/v1/log", &change).await;
        put?;
    }
    let view: LevelsView = control.get("/v1/log").await?;
    say(&screen(&view));
    Ok(())
}

fn screen(view: &LevelsView) -> String {
    let word = |level: Level| format!("{level:?}").to_lowercase();
    let mut lines = vec![word(view.level)];
    lines.extend(view.modules.iter().map(|(module, level)| format!("{module}={}", word(*level))));
    if let Some(seconds) = view.ends_in_s {
        lines.push(format!("as configured again in {} min", seconds.div_ceil(60)));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_a_level_and_perhaps_a_module() {
        let setting: Setting = "storebox::http=debug".parse().unwrap();
        assert_eq!(
            (setting.module.as_deref(), setting.level),
            (Some("storebox::http"), Some(Level::Debug))
        );
        let setting: Setting = "reset".parse().unwrap();
        assert_eq!(setting, Setting { module: None, level: None });
        assert!("storebox=loud".parse::<Setting>().is_err());
    }
}
