//! `device list|test|trace`.

use std::path::Path;

use serde_json::{Value, json};
use storebox_proto::ids::DeviceId;

use super::client::Control;
use super::{CommandError, say};
use crate::args::Device;
use crate::env;
use crate::http::devices::{DeviceList, DeviceView};

/// A test page needs no longer, or something is wrong.
const PRINT_WAIT_S: u32 = 30;

/// Runs one of the commands.
pub(super) async fn run(data_dir: &Path, what: Device) -> Result<(), CommandError> {
    let control = Control::open(data_dir)?;
    match what {
        Device::List { json } => {
            let list: DeviceList = control.get("/v1/devices").await?;
            match json {
                true => say(&pretty(&serde_json::to_value(&list).unwrap_or_default())),
                false => say(&table(&list)),
            }
        }
        Device::Test { id } => say(&test(&control, &id).await?),
        Device::Trace { id } => {
            let path = format!("/v1/traces/{id}");
            control.listen(&path, |data| say(&piece(data))).await?;
        }
    }
    Ok(())
}

async fn test(control: &Control, id: &DeviceId) -> Result<String, CommandError> {
    let list: DeviceList = control.get("/v1/devices").await?;
    let device = list.devices.iter().find(|device| device.id == id.as_str());
    let kind = device.map_or("printer", |device| device.kind.as_str());
    Ok(match kind {
        "scale" => {
            let weight: Value = control.get(&format!("/v1/scales/{id}/weight")).await?;
            pretty(&weight)
        }
        "display" => {
            let rows = json!({"upper": "Storebox", "lower": id});
            control.put(&format!("/v1/displays/{id}"), &rows).await?;
            "two rows were sent; look at the display".to_owned()
        }
        "scanner" => device.map(line).unwrap_or_default(),
        _ => {
            let path = format!("/v1/printers/{id}/jobs?wait_s={PRINT_WAIT_S}");
            let job: Value = control.post(&path, &page(id)).await?;
            pretty(&job)
        }
    })
}

/// What shows columns, characters, a code and the knife.
fn page(id: &DeviceId) -> Value {
    let text = format!(
        "^^^Storebox\n^{id}\n---\nleft||right\n\
         ÄÖÜ éèç ñ ß €|1.00\nЖДЯ ΑΒΓ ğışİ|2.00\n日本語 中文|3.00\n---\n\
         {{code:https://example.org/storebox; option:qrcode,4,m}}\n---\n{}\n=\n",
        env::timestamp()
    );
    let key = format!("test.{}", hex::encode(env::random::<8>()));
    json!({"key": key, "class": "report", "receiptline": text})
}

fn table(list: &DeviceList) -> String {
    let mut lines: Vec<String> = list.devices.iter().map(line).collect();
    let refused = list.refused.iter();
    lines.extend(refused.map(|refused| {
        format!("{:<24}  not used ({}): {}", refused.id, refused.from, refused.why)
    }));
    let known = |at: &str| list.devices.iter().any(|device| device.at == at);
    let plugged = list.plugged.iter().filter(|plugged| !known(&plugged.at));
    lines.extend(plugged.map(|plugged| {
        format!("{:<24}  plugged in, not configured: at = \"{}\"", plugged.name, plugged.at)
    }));
    match lines.is_empty() {
        true => "no device is configured".to_owned(),
        false => lines.join("\n"),
    }
}

fn line(device: &DeviceView) -> String {
    let DeviceView { id, kind, at, link, why } = device;
    let why = why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
    format!("{id:<24}  {kind:<8}  {at:<32}  {link}{why}")
}

/// One piece of a trace: time, direction, bytes, and the letters among them.
fn piece(data: &str) -> String {
    let Ok(piece) = serde_json::from_str::<Value>(data) else { return data.to_owned() };
    let text = |key: &str| piece[key].as_str().unwrap_or_default().to_owned();
    let bytes = hex::decode(text("bytes")).unwrap_or_default();
    let letters: String = bytes
        .iter()
        .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' })
        .collect();
    format!("{} {:<8} {}  {letters}", text("at"), text("way"), text("bytes"))
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("an answer is JSON")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_trace_shows_bytes_and_letters() {
        let data = r#"{"at":"2026-11-22T00:00:00Z","way":"sent","bytes":"1b4041"}"#;
        assert_eq!(piece(data), "2026-11-22T00:00:00Z sent     1b4041  .@A");
    }
}
