//! The top-level fields of a record, found without building the JSON.
//!
//! Records were validated when they were imported and are canonical; what is not is skipped, never a panic.

use std::borrow::Cow;

/// Shows every top-level field that holds a string, number or boolean: its name and its value as text.
pub(super) fn each<'a>(body: &'a [u8], mut visit: impl FnMut(&'a [u8], Cow<'a, str>)) {
    let mut scan = Scan { bytes: body, at: 0 };
    scan.spaces();
    if !scan.eat(b'{') {
        return;
    }
    loop {
        scan.spaces();
        let Some((name, _)) = scan.string() else { return };
        scan.spaces();
        if !scan.eat(b':') {
            return;
        }
        scan.spaces();
        match scan.value() {
            Some(Some(value)) => visit(name, value),
            Some(None) => {}
            None => return,
        }
        scan.spaces();
        if !scan.eat(b',') {
            return;
        }
    }
}

/// The value of one top-level field as text.
pub(super) fn get<'a>(body: &'a [u8], field: &str) -> Option<Cow<'a, str>> {
    let mut found = None;
    each(body, |name, value| {
        if found.is_none() && name == field.as_bytes() {
            found = Some(value);
        }
    });
    found
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let eaten = self.peek() == Some(byte);
        self.at += usize::from(eaten);
        eaten
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The inside of a string and whether it has escapes.
    fn string(&mut self) -> Option<(&'a [u8], bool)> {
        if !self.eat(b'"') {
            return None;
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => {
                    self.at += 1;
                    return Some((&self.bytes[start..self.at - 1], escaped));
                }
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                _ => self.at += 1,
            }
        }
    }

    /// A value: its text if it is a string, number or boolean; the outer nothing ends the scan.
    fn value(&mut self) -> Option<Option<Cow<'a, str>>> {
        let start = self.at;
        match self.peek()? {
            b'"' => {
                let (inside, escaped) = self.string()?;
                if escaped {
                    let quoted = &self.bytes[start..self.at];
                    let text = serde_json::from_slice::<String>(quoted).ok();
                    return Some(text.map(Cow::Owned));
                }
                Some(std::str::from_utf8(inside).ok().map(Cow::Borrowed))
            }
            b'{' | b'[' => self.nested().map(|()| None),
            _ => {
                while self.peek().is_some_and(|byte| !matches!(byte, b',' | b'}' | b']' | b' ')) {
                    self.at += 1;
                }
                let text = std::str::from_utf8(&self.bytes[start..self.at]).ok()?;
                Some((text != "null").then_some(Cow::Borrowed(text)))
            }
        }
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_top_level_scalars_are_fields() {
        let body = br#"{"a":{"name":"no","b":["}"]},"name":"Caf\u00e9 \"x\"","n":12.50,"ok":true,"nil":null,"z":"\\"}"#;
        assert_eq!(get(body, "name").as_deref(), Some("Café \"x\""));
        assert_eq!(get(body, "n").as_deref(), Some("12.50"));
        assert_eq!(get(body, "ok").as_deref(), Some("true"));
        assert_eq!(get(body, "z").as_deref(), Some("\\"));
        assert_eq!(get(body, "nil"), None);
        assert_eq!(get(body, "a"), None);
        assert_eq!(get(body, "b"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            each(&bytes, |_, _| {});
        }

        #[test]
        fn almost_json_never_panics(text in r#"\{?["\\:,\[\]{}a0 ]{0,60}"#) {
            each(text.as_bytes(), |_, _| {});
        }

        #[test]
        fn every_string_is_found_as_serde_wrote_it(name in "[a-z]{1,8}", value in any::<String>()) {
            let body = serde_json::json!({ "0": [1, {"x": "y"}], &name: &value }).to_string();
            let found = get(body.as_bytes(), &name);
            prop_assert_eq!(found.as_deref(), Some(value.as_str()));
        }
    }
}
