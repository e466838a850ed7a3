//! What must not leave the shop is replaced before it is written down.
//!
//! Known shapes of secrets are found wherever they stand; in the configuration also by the name of their key.
//! Too much is taken rather than too little.

use crate::config::Config;

/// What stands where a secret was.
const GONE: &str = "…";
/// What every token begins with, before its random part.
const MARKS: [&str; 9] =
    ["sbt_", "sbn_", "sbo_", "v4.public.", "v4.local.", "Bearer ", "Basic ", "SBX1:", "AKIA"];
/// Fewer characters than this behind a mark are no secret.
const SECRET_CHARS_MIN: usize = 8;
/// Words in the name of a key whose text is a secret, and endings that say that it is not.
const SECRET_WORDS: [&str; 7] =
    ["token", "secret", "password", "pin", "private", "credential", "pepper"];
const HARMLESS_ENDS: [&str; 4] = ["_file", "_dir", "_s", "_max"];

/// The configuration as TOML without secrets.
pub(super) fn configuration(config: &Config) -> String {
    match toml::Value::try_from(config) {
        Ok(mut value) => {
            mask(&mut value);
            toml::to_string_pretty(&value).unwrap_or_default()
        }
        Err(error) => format!("# not to be shown: {error}\n"),
    }
}

fn mask(value: &mut toml::Value) {
    match value {
        toml::Value::Table(table) => {
            for (key, below) in table {
                let secret = SECRET_WORDS.iter().any(|word| key.contains(word))
                    && !HARMLESS_ENDS.iter().any(|end| key.ends_with(end));
                match below {
                    toml::Value::String(text) if secret && !text.is_empty() => {
                        GONE.clone_into(text);
                    }
                    toml::Value::String(_)
                    | toml::Value::Integer(_)
                    | toml::Value::Float(_)
                    | toml::Value::Boolean(_)
                    | toml::Value::Datetime(_)
                    | toml::Value::Array(_)
                    | toml::Value::Table(_) => mask(below),
                }
            }
        }
        toml::Value::Array(values) => values.iter_mut().for_each(mask),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_) => {}
    }
}

/// A text without anything that has the shape of a secret.
pub(super) fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_key = false;
    for line in text.split_inclusive('\n') {
        let begins = line.contains("-----BEGIN") && line.contains("PRIVATE KEY");
        if begins || in_key {
            in_key = !line.contains("-----END");
            if begins {
                out.push_str(GONE);
                out.push('\n');
            }
            continue;
        }
        out.push_str(&without_passwords(&without_tokens(line)));
    }
    out
}

fn without_tokens(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    'line: while !rest.is_empty() {
        for mark in MARKS {
            let Some(behind) = rest.strip_prefix(mark) else { continue };
            let length = behind.find(|c: char| !is_of_token(c)).unwrap_or(behind.len());
            if length >= SECRET_CHARS_MIN {
                out.push_str(mark);
                out.push_str(GONE);
                rest = &behind[length..];
                continue 'line;
            }
        }
        let next = rest.chars().next().expect("the rest is not empty");
        out.push(next);
        rest = &rest[next.len_utf8()..];
    }
    out
}

fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '/' | '=')
}

/// Takes the name and password out of addresses such as `ftp://name:password@host`.
fn without_passwords(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        out.push_str(before);
        let end = behind
            .find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\''))
            .unwrap_or(behind.len());
        rest = match behind[..end].rfind('@') {
            Some(name_end) => {
                out.push_str(GONE);
                &behind[name_end..]
            }
            None => behind,
        };
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tokens_passwords_and_keys_are_taken_out() {
        let planted = "a sbt_0123456789abcdef b\nAuthorization: Bearer abc.DEF-123456\n\
                       ftp://chain:hunter22@storage.example/box\n\
                       -----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----\nend";
        let clean = text(planted);
        for secret in ["0123456789abcdef", "abc.DEF", "hunter22", "MIGHA"] {
            assert!(!clean.contains(secret), "{clean}");
        }
        assert!(clean.contains("storage.example/box") && clean.ends_with("end"), "{clean}");
    }

    #[test]
    fn keys_of_the_configuration_that_name_a_secret_are_masked() {
        let mut value = toml::toml! {
            [a]
            token = "t0ps3cret"
            token_file = "/etc/token"
            body_timeout_s = 3
            [[b]]
            password = "hunter22"
        }
        .into();
        mask(&mut value);
        let text = value.to_string();
        assert!(!text.contains("t0ps3cret") && !text.contains("hunter22"), "{text}");
        assert!(text.contains("/etc/token"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_is_cleaned_without_panic_and_cleaning_again_changes_nothing(given in ".{0,200}") {
            let once = text(&given);
            prop_assert_eq!(text(&once), once);
        }
    }
}
