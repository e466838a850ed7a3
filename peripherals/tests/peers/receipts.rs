//! The receipt that several peers read.

pub(crate) const EAN: &str = "4006381333931";
pub(crate) const TARGET: &str = "https://example.org/r/42";

/// Styles, scripts, rules, an EAN-13 and a QR code.
pub(crate) const DOCUMENT: &str = "^^^\"Storebox\"\n---\n{border:line; width:*,4,8}\n|Item|Qty|Price|\n-\n\
    Tea, green|2|€ 5.00\nКофе|1|3.20\n{border:space}\n_under_ `inverse` ^wide\n日本語|1\n\
    {option: ean hri 3 80}\n{code: 400638133393}\n{option: qrcode 5 m}\n\
    {code: https://example.org/r/42}\n===";
