//! What is told of the proxy on the way out of the shop.

use crate::logging;
use crate::status::{LineStatus, PROXY, PanelBuilder, Status};
use crate::trust::line::Lines;
use crate::trust::proxy::Proxy;

/// Tells how the proxy stands, if there is one, and of the lines before what it said of the server of each.
pub fn report(lines: &Lines, panel: &mut PanelBuilder) {
    let Some(proxy) = lines.proxy().cloned() else { return };
    panel.add(move |status| tell(&proxy, status));
}

fn tell(proxy: &Proxy, status: &mut Status) {
    for line in status.lines.iter_mut().filter(|line| !line.up) {
        let Some(fault) = proxy.said_of(&line.to) else { continue };
        let gap = if line.detail.is_empty() { "" } else { ", " };
        line.detail = format!("{}{gap}{}", line.detail, logging::chain(&*fault));
    }
    let fault = proxy.fault();
    status.lines.push(LineStatus {
        to: proxy.url().to_owned(),
        service: PROXY.to_owned(),
        up: fault.is_none(),
        detail: fault.map(|fault| logging::chain(&*fault)).unwrap_or_default(),
        is_refused: false,
        since: None,
    });
}
