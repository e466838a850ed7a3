//! What is told of the proxy on the way out of the shop.

use crate::logging;
use crate::status::{LineStatus, PROXY, PanelBuilder};
use crate::trust::line::Lines;
use crate::trust::proxy::Proxy;

/// Tells how the proxy stands, if there is one.
pub fn report(lines: &Lines, panel: &mut PanelBuilder) {
    let Some(proxy) = lines.proxy().cloned() else { return };
    panel.add(move |status| status.lines.push(line(&proxy)));
}

fn line(proxy: &Proxy) -> LineStatus {
    let fault = proxy.fault();
    LineStatus {
        to: proxy.url().to_owned(),
        service: PROXY.to_owned(),
        // What lies behind it has lines of its own.
        up: fault.as_ref().is_none_or(|fault| fault.is_beyond()),
        detail: fault.map(|fault| logging::chain(&*fault)).unwrap_or_default(),
        is_refused: false,
        since: None,
    }
}
