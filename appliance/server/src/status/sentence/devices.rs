//! What is to be said of one device.

use super::{Count, DeviceStatus, Finding, Level, cut};

/// What is wrong with a device, if anything is; what does not print or weigh needs a person.
pub(super) fn finding(device: &DeviceStatus) -> Option<Finding> {
    let name = name(device);
    if let Some(trouble) = &device.trouble {
        let words = cut(trouble.words.as_str());
        let text = match words.strip_prefix("it ") {
            Some(rest) => format!("{name} {rest}"),
            None => format!("{name}: {words}"),
        };
        let level = if trouble.code == "recovering" { Level::Notice } else { Level::Bad };
        let finding = Finding::new(level, &format!("{}_{}", device.kind, trouble.code), text);
        return Some(finding.advise(advice(&trouble.code)));
    }
    if device.link == "away" {
        let code = format!("{}_away", device.kind);
        let finding = Finding::new(Level::Bad, &code, format!("{name} is not connected"));
        return Some(finding.advise("Check its cable and its power; it is used again by itself."));
    }
    if device.link == "unused" {
        let text = format!("Device {} is defined in a way that makes no sense", cut(&device.id));
        let finding = Finding::new(Level::Notice, "device_unused", text);
        return Some(finding.advise("Ask `storebox device list` what is wrong with it."));
    }
    if device.in_doubt > 0 {
        let papers = Count(device.in_doubt, "paper", "papers");
        let text = format!("{name}: {papers} may or may not have been printed");
        let finding = Finding::new(Level::Bad, "printer_doubt", text);
        return Some(finding.advise("Open Devices, look at the paper, and say what is on it."));
    }
    None
}

fn name(device: &DeviceStatus) -> String {
    let kind = match device.kind.as_str() {
        "printer" => "Receipt printer",
        "scale" => "Scale",
        "display" => "Customer display",
        "scanner" => "Scanner",
        _ => "Device",
    };
    match device.till.as_str() {
        "" => format!("{kind} {}", cut(&device.id)),
        till => format!("{kind} at {}", cut(till)),
    }
}

fn advice(code: &str) -> &'static str {
    match code {
        "paper_out" => "Put a new roll in; what waits prints by itself.",
        "cover_open" => "Close the cover; what waits prints by itself.",
        "cutter" => "Switch it off, take out the paper that blocks the knife, and switch it on.",
        "recovering" => "Wait a minute: it cools down and goes on by itself.",
        "unrecoverable" => "Switch it off and on; if the error stays, it needs a service.",
        _ => "Switch it off and on, and check its cable; what waits prints by itself.",
    }
}
