//! Escape sequences, in the order the grammar gives them meaning.

/// `\` before one of these stands for the character itself.
fn as_hex(text: &str, special: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match chars.peek() {
            Some(next) if c == '\\' && special.contains(*next) => {
                out.push_str(&format!("\\x{:02x}", u32::from(*next)));
                chars.next();
            }
            Some(_) | None => out.push(c),
        }
    }
    out
}

/// Makes `\\`, `\{`, `\|` and `\}` harmless before a line is split at its pipes.
pub(super) fn before_split(line: &str) -> String {
    as_hex(line, "\\{|}")
}

/// Makes `\;` harmless before a property is split.
pub(super) fn before_members(property: &str) -> String {
    as_hex(property, ";")
}

/// Makes `\-`, `\=`, `\_`, `\"`, `` \` ``, `\^` and `\~` harmless before text is read.
pub(super) fn before_styles(text: &str) -> String {
    as_hex(text, "-=_\"`^~")
}

/// Drops control characters, written plainly or in hexadecimal.
pub(super) fn without_controls(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let escaped = match chars[at..] {
            ['\\', 'x', '0' | '1', low, ..] => low.is_ascii_hexdigit(),
            ['\\', 'x', '7', 'f' | 'F', ..] => true,
            _ => false,
        };
        if escaped {
            at += 4;
            continue;
        }
        if !matches!(chars[at], '\u{0}'..='\u{1f}' | '\u{7f}') {
            out.push(chars[at]);
        }
        at += 1;
    }
    out
}

/// Resolves what is left: `\xnn` is a character, anything else after `\` is ignored.
pub(super) fn resolve(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let valid = drop_broken_hex(&chars);
    let known = drop_unknown(&valid);
    let mut out = String::with_capacity(known.len());
    let mut at = 0;
    while at < known.len() {
        match hex_at(&known[at..]) {
            Some(c) => {
                out.push(c);
                at += 4;
            }
            None => {
                out.push(known[at]);
                at += 1;
            }
        }
    }
    out
}

fn hex_at(chars: &[char]) -> Option<char> {
    match chars {
        ['\\', 'x', high, low, ..] => char::from_u32(high.to_digit(16)? * 16 + low.to_digit(16)?),
        _ => None,
    }
}

/// A `\` at the end, and a `\x` without two digits behind it, mean nothing.
fn drop_broken_hex(chars: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        match chars[at..] {
            ['\\'] => at += 1,
            ['\\', 'x'] => at += 2,
            ['\\', 'x', _] => at += 3,
            ['\\', 'x', high, low, ..] if !high.is_ascii_hexdigit() || !low.is_ascii_hexdigit() => {
                at += 4;
            }
            [first, ..] => {
                out.push(first);
                at += 1;
            }
            [] => break,
        }
    }
    out
}

fn drop_unknown(chars: &[char]) -> Vec<char> {
    let mut out = Vec::with_capacity(chars.len());
    let mut at = 0;
    while at < chars.len() {
        match chars[at..] {
            ['\\', other, ..] if other != 'x' => at += 2,
            [first, ..] => {
                out.push(first);
                at += 1;
            }
            [] => break,
        }
    }
    out
}
