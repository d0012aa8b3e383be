//! Faults of the TOML itself, in words that say what to write.

use std::collections::HashSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::fault::{Fault, within};

/// Slips after which the parser stumbles over what is no fault of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slip {
    /// A file that is YAML is so on all its lines.
    Yaml,
    /// What stands between its quotes is text.
    OpenString,
    Other,
}

/// Every fault of the syntax, sorted by place.
pub(super) fn faults(text: &str, root: &DeTable<'_>, errors: &[toml::de::Error]) -> Vec<Fault> {
    let starts = line_starts(text);
    let mut broken_lines = HashSet::new();
    let mut is_yaml = false;
    let mut faults: Vec<Fault> = Vec::new();
    // Tables that are there twice, by their headers: the keys in them are then there twice too, and not worth a word.
    let mut repeated: HashSet<Vec<(String, usize)>> = HashSet::new();
    // The last line of a text of several lines in single quotes: what is between is the text, whatever the parser makes of it.
    let mut open_until = 0;
    let mut errors: Vec<&toml::de::Error> = errors.iter().collect();
    errors.sort_by_key(|error| error.span().map_or(0, |span| line_of(&starts, span.start)));
    for error in errors {
        let span = visible(text, error.span().unwrap_or(0..0));
        if line_of(&starts, span.start) <= open_until {
            continue;
        }
        // The parser gives its faults as words only.
        let (fault, slip) = match error.message() {
            message if message.starts_with("duplicate key") => {
                let header = header_before(text, span.start);
                if header.iter().any(|(_, at)| *at == span.start) {
                    repeated.insert(header);
                } else if repeated.contains(&header) {
                    continue;
                }
                (duplicate(text, root, span), Slip::Other)
            }
            message => syntax(text, message, span),
        };
        // One slip often makes the parser stumble again on the same line: the first word on a line is the one to read.
        if fault.code == "syntax" {
            let is_again = slip == Slip::Yaml && is_yaml;
            is_yaml |= slip == Slip::Yaml;
            if is_again || !broken_lines.insert(line_of(&starts, fault.span.start)) {
                continue;
            }
        }
        if slip == Slip::OpenString {
            open_until = last_line_of_open_string(text, &starts, fault.span.start).unwrap_or(open_until);
        }
        faults.push(fault);
    }
    faults.sort_by_key(|fault| fault.span.start);
    faults
}

/// The line in which a string that begins at a line and is not closed there is closed after all. `None` where a key or a header
/// comes first: then the quote was forgotten.
fn last_line_of_open_string(text: &str, starts: &[usize], at: usize) -> Option<usize> {
    let first = line_of(starts, at);
    let mut lines = text.lines().skip(first - 1);
    let quote = lines.next()?.split_once('=')?.1.trim_start().chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    for (nth, line) in lines.enumerate() {
        let begins_key = line.split_once('=').is_some_and(|(key, value)| {
            let is_key = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
            // `NAME=value` is the shell's; keys of these files are lower-case, and people put blanks around their sign.
            !key.trim().is_empty() && key.trim().chars().all(is_key) && key.ends_with(' ') && value.starts_with(' ')
        });
        if begins_key || line.starts_with('[') {
            return None;
        }
        if line.contains(quote) {
            return Some(first + 1 + nth);
        }
    }
    None
}

/// Where each line begins.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The number of the line of a place, from 1.
pub(super) fn line_of(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at)
}

/// The span on character boundaries; an empty one is kept only at the end of a line, where something is missing.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let Range { start, mut end } = within(&span, text);
    let first = text[start..].chars().next();
    if start == end && !matches!(first, None | Some('\n' | '\r')) {
        end += first.map_or(0, char::len_utf8);
    }
    // Carets under a line end cannot be seen: they stand behind the last character of the line.
    if text[start..end].starts_with(['\n', '\r']) {
        end = start;
    }
    start..end
}

fn syntax(text: &str, message: &str, span: Range<usize>) -> (Fault, Slip) {
    let (what, wanted) = match message.split_once(", expected ") {
        Some((what, wanted)) => (what, Some(wanted)),
        None => (message, None),
    };
    let (line, value) = line_and_value(text, &span);
    let fault =
        |message: &str, label: &str| Fault::error("syntax", span.clone(), format!("not TOML: {message}"), label);
    let words = value.trim();
    match words {
        "True" | "TRUE" | "yes" | "Yes" | "on" => {
            return (fault("a flag in other words", "expected `true`").help("write true"), Slip::Other);
        }
        "False" | "FALSE" | "no" | "No" | "off" => {
            return (fault("a flag in other words", "expected `false`").help("write false"), Slip::Other);
        }
        "None" | "null" | "nil" => {
            return (fault("there is no null", "not a value").help("leave the key out"), Slip::Other);
        }
        _ => {}
    }
    let trimmed = line.trim_start();
    let at_line = span.start - text[..span.start].rfind('\n').map_or(0, |newline| newline + 1);
    let whole_line = || {
        let start = span.start - at_line + (line.len() - trimmed.len());
        start..start + trimmed.trim_end().len()
    };
    let mut slip = Slip::Other;
    let fault = match what {
        "key with no value"
            if trimmed.starts_with("- ") || trimmed.trim_end().ends_with(':') || trimmed.contains(": ") =>
        {
            slip = Slip::Yaml;
            let message = "not TOML: this looks like YAML";
            Fault::error("syntax", whole_line(), message, "expected `key = value`")
                .help("a table begins with [tasks.NAME], a list is [\"a\", \"b\"]")
        }
        "key with no value" => {
            let fault =
                Fault::error("syntax", whole_line(), "not TOML: a key without a value", "expected `=` and a value");
            fault.help(format!("write for example {} = \"...\"", trimmed.trim_end()))
        }
        "string values must be quoted" if !words.is_empty() => fault(what, "expected quotes around this")
            .help(format!("write \"{}\"", words.replace('\\', "\\\\").replace('"', "\\\""))),
        "invalid basic string"
        | "invalid literal string"
        | "invalid multi-line basic string"
        | "invalid multi-line literal string"
            if wanted.is_some_and(|wanted| wanted.contains('"') || wanted.contains('\'')) =>
        {
            slip = Slip::OpenString;
            fault("a string is not closed", "expected the closing quotes here")
                .help("a text of several lines stands between \'\'\' and \'\'\' (between \"\"\" and \"\"\" a backslash is an escape)")
        }
        "missing escaped value" => fault("a backslash that escapes nothing", "expected `n`, `t`, `\"`, `\\`, ...")
            .help("write `\\\\` for a backslash, or put the text in single quotes, where a backslash is a backslash"),
        "invalid unquoted key" => fault("this name needs quotes", "expected letters of English, digits, `-`, `_`")
            .help(format!("write \"{}\"", text[span.clone()].trim())),
        "unclosed table" => fault("a header is not closed", "expected `]`"),
        "unclosed array" => fault("a list is not closed", "expected `]`"),
        _ => match wanted {
            Some("nothing") | None => fault(what, "not expected here"),
            Some(wanted) => fault(what, &format!("expected {wanted}")),
        },
    };
    (fault, slip)
}

/// The line of a span and what stands behind its `=`, without a comment.
fn line_and_value<'t>(text: &'t str, span: &Range<usize>) -> (&'t str, &'t str) {
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let end = text[span.start..].find('\n').map_or(text.len(), |at| span.start + at);
    let line = &text[start..end];
    let value = line.split_once('=').map_or("", |(_, value)| value);
    (line, value.split(" #").next().unwrap_or_default())
}

/// A key or table that was there before; points at both places.
fn duplicate(text: &str, root: &DeTable<'_>, span: Range<usize>) -> Fault {
    let name = text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'']);
    let path = header_before(text, span.start);
    // The key is a part of its header: the table itself is repeated.
    let part = path.iter().position(|(_, at)| *at == span.start);
    let found = match part {
        Some(part) => first_header(text, &path[..=part], span.start).or_else(|| key_at(root, &path[..part], name)),
        None => key_at(root, &path, name).or_else(|| last_key_before(root, name, span.start)),
    };
    let what = if part.is_some() { "table" } else { "key" };
    let fault =
        Fault::error("duplicate-key", span.clone(), format!("the {what} `{name}` is there twice"), "again here");
    let fault = match found.filter(|first| first.start < span.start) {
        Some(first) => fault.also(first, "first here"),
        None => fault,
    };
    if part.is_some() { fault.help("join the two, or give one another name") } else { fault.help("remove one of them") }
}

/// The last part of the first header with this path that stands before a place.
fn first_header(text: &str, path: &[(String, usize)], before: usize) -> Option<Range<usize>> {
    let mut at = 0;
    for line in text[..before].split_inclusive('\n') {
        if line.trim_start().starts_with('[') {
            let parts = header_parts(line, at);
            if parts.len() == path.len() && parts.iter().zip(path).all(|((one, _), (other, _))| one == other) {
                let (name, start) = parts.last()?;
                let quotes = if text[*start..].starts_with(['"', '\'']) { 2 } else { 0 };
                return Some(*start..start + name.len() + quotes).filter(|found| found.end <= before);
            }
        }
        at += line.len();
    }
    None
}

/// The parts of a `[header]` line that begins at `at`, each with its place.
fn header_parts(line: &str, at: usize) -> Vec<(String, usize)> {
    let body = line.trim_start().trim_start_matches('[');
    let mut start = at + (line.len() - body.len());
    let body = body.split(']').next().unwrap_or_default();
    let mut parts = Vec::new();
    for part in body.split('.') {
        let blanks = part.len() - part.trim_start().len();
        parts.push((part.trim().trim_matches(['"', '\'']).to_owned(), start + blanks));
        start += part.len() + 1;
    }
    parts
}

/// The parts of the last `[header]` that begins at or before the line of `at`.
fn header_before(text: &str, at: usize) -> Vec<(String, usize)> {
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let mut position = end;
    for line in text[..end].split('\n').rev() {
        position -= line.len();
        if line.trim_start().starts_with('[') {
            return header_parts(line, position);
        }
        position = position.saturating_sub(1);
    }
    Vec::new()
}

fn key_at(root: &DeTable<'_>, path: &[(String, usize)], name: &str) -> Option<Range<usize>> {
    let mut table = root;
    for (part, _) in path {
        let (_, value) = table.iter().find(|(key, _)| key.get_ref() == part)?;
        let DeValue::Table(inner) = value.get_ref() else { return None };
        table = inner;
    }
    table.iter().find(|(key, _)| key.get_ref() == name).map(|(key, _)| key.span())
}

/// The last key of that name before a place: for inline tables, which have no header.
fn last_key_before(table: &DeTable<'_>, name: &str, before: usize) -> Option<Range<usize>> {
    let mut best: Option<Range<usize>> = None;
    let mut open = vec![table];
    while let Some(table) = open.pop() {
        for (key, value) in table {
            let span = key.span();
            if key.get_ref() == name && span.start < before && best.as_ref().is_none_or(|best| best.start < span.start)
            {
                best = Some(span);
            }
            if let DeValue::Table(inner) = value.get_ref() {
                open.push(inner);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn a_span_is_widened_to_whole_characters_and_to_at_least_one() {
        let text = "aüb\nc";
        assert_eq!([visible(text, 2..2), visible(text, 0..2), visible(text, 2..4)], [1..3, 0..3, 1..4]);
        assert_eq!([visible(text, 0..0), visible(text, 1..1), visible(text, 3..3)], [0..1, 1..3, 3..4]);
        assert_eq!(visible(text, 4..4), 4..4, "behind the last character of a line something may be missing");
        assert_eq!(visible(text, 4..6), 4..4, "carets under a line end cannot be seen");
        assert_eq!([visible(text, 6..6), visible(text, 9..99)], [6..6, 6..6]);
    }
}
