//! One line split into columns, and what stands in each.

use super::super::document::{Span, Width};
use super::super::sheet::{Align, SCALE_MAX, Style};
use super::escape;

/// A key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// Empty if the member could not be read.
    pub(super) key: String,
    pub(super) value: String,
}

/// What stands in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Text(Vec<Span>),
    Property(Vec<Member>),
    Rule,
    Cut,
    /// Braces without sense.
    Broken,
}

/// One column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) align: Align,
    pub(super) content: Content,
}

const BLANK: [char; 2] = ['\t', ' '];

/// Splits a line at its pipes, which attract the text beside them.
pub(super) fn split(line: &str) -> Vec<Column> {
    let mut line = escape::before_split(line.trim_matches(BLANK));
    let solid = |c: char| !BLANK.contains(&c);
    // Text that touches only the pipe on its right stands right: it counts as indented.
    if let Some((first, _)) = line.split_once('|')
        && first.ends_with(solid)
    {
        line.insert(0, ' ');
    }
    if let Some((_, last)) = line.rsplit_once('|')
        && last.starts_with(solid)
    {
        line.push(' ');
    }
    let line = line.strip_prefix('|').unwrap_or(&line);
    let line = line.strip_suffix('|').unwrap_or(line);
    let parts: Vec<&str> = line.split('|').collect();
    parts.iter().map(|part| column(part, parts.len() == 1)).collect()
}

fn column(part: &str, single: bool) -> Column {
    let align = match (part.starts_with(BLANK), part.ends_with(BLANK)) {
        (true, false) => Align::Right,
        (false, true) => Align::Left,
        (true, true) | (false, false) => Align::Center,
    };
    let element = part.trim_matches(BLANK);
    let inner = element.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    let content = match inner {
        Some(inner) if !inner.contains(['{', '}']) => Content::Property(members(inner)),
        Some(_) => Content::Broken,
        None if element.contains(['{', '}']) => Content::Broken,
        None if single && is_all(element, '-') => Content::Rule,
        None if single && is_all(element, '=') => Content::Cut,
        None => Content::Text(spans(element)),
    };
    Column { align, content }
}

fn is_all(text: &str, c: char) -> bool {
    !text.is_empty() && text.chars().all(|other| other == c)
}

fn members(inner: &str) -> Vec<Member> {
    let inner = escape::before_members(inner);
    inner.split(';').filter(|member| !member.trim_matches(BLANK).is_empty()).map(member).collect()
}

fn member(text: &str) -> Member {
    let broken = || Member { key: String::new(), value: String::new() };
    let Some((key, value)) = text.split_once(':') else { return broken() };
    let (key, value) = (key.trim_matches(BLANK), value.trim_matches(BLANK));
    let named = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !named || value.is_empty() {
        return broken();
    }
    let key = match key {
        "a" => "align",
        "b" => "border",
        "c" => "code",
        "i" => "image",
        "o" => "option",
        "t" => "text",
        "w" => "width",
        "x" => "command",
        "_" => "comment",
        key => key,
    };
    let value = escape::resolve(&value.replace("\\n", "\n"));
    Member { key: key.to_owned(), value }
}

fn spans(element: &str) -> Vec<Span> {
    let text = escape::before_styles(&escape::without_controls(element));
    let text = text.replace("\\n", "\n").replace('~', " ");
    let mut spans = Vec::new();
    let mut style = Style::default();
    let mut scale = 0;
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let end = rest.find(['_', '"', '`', '\n', '^']).unwrap_or(rest.len());
        let (plain, special) = rest.split_at(end);
        let shown = escape::resolve(plain);
        if !shown.is_empty() {
            spans.push(Span::Text(shown, style));
        }
        let mut taken = 1;
        match special.chars().next() {
            None => break,
            Some('_') => style.underline = !style.underline,
            Some('"') => style.bold = !style.bold,
            Some('`') => style.invert = !style.invert,
            Some('\n') => spans.push(Span::Break),
            Some(_) => {
                taken = special.bytes().take_while(|byte| *byte == b'^').count();
                // The same number of carets again ends what they began.
                let wanted = taken.min(7);
                scale = if scale == wanted { 0 } else { wanted };
                (style.width, style.height) = scaled(scale);
            }
        }
        rest = &special[taken..];
    }
    spans
}

/// `^` is wide, `^^` is high, from `^^^` on both.
fn scaled(carets: usize) -> (u8, u8) {
    match carets {
        0 => (1, 1),
        1 => (2, 1),
        2 => (1, 2),
        more => {
            let both = u8::try_from(more - 1).unwrap_or(SCALE_MAX).min(SCALE_MAX);
            (both, both)
        }
    }
}

/// The widths of a `width` property; empty means "auto".
pub(super) fn widths(value: &str) -> Vec<Width> {
    let lower = value.to_ascii_lowercase();
    let words = split_words(&lower);
    if words.contains(&"auto") {
        return Vec::new();
    }
    let width = |word: &str| match word {
        "*" => Width::Share,
        _ if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) => {
            Width::Columns(word.parse().unwrap_or(u16::MAX).min(1000))
        }
        _ => Width::Columns(0),
    };
    words.into_iter().take(super::CELLS_MAX).map(width).collect()
}

/// Splits at runs of blanks and at single commas.
fn split_words(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find([' ', '\t', ',']) {
        words.push(&rest[..at]);
        let tail = &rest[at..];
        rest = tail.strip_prefix(',').unwrap_or_else(|| tail.trim_start_matches(BLANK));
    }
    words.push(rest);
    words
}

/// Keeps what is base64 and completes its padding.
pub(super) fn base64(value: &str) -> String {
    let value = value.split('=').next().unwrap_or_default();
    let mut kept: String =
        value.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '/')).collect();
    match kept.len() % 4 {
        1 => {
            kept.pop();
        }
        2 => kept.push_str("=="),
        3 => kept.push('='),
        _ => {}
    }
    kept
}
