//! Faults of the TOML itself, in words that say what to write.

use std::collections::HashSet;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::fault::Fault;

/// Every fault of the syntax, sorted by place.
pub(super) fn faults(text: &str, root: &DeTable<'_>, errors: &[toml::de::Error]) -> Vec<Fault> {
    let starts = line_starts(text);
    let mut broken_lines = HashSet::new();
    let mut faults: Vec<Fault> = Vec::new();
    for error in errors {
        let span = visible(text, error.span().unwrap_or(0..0));
        let fault = match error.message() {
            message if message.starts_with("duplicate key") => duplicate(text, root, span),
            message => syntax(text, message, span),
        };
        // One slip often makes the parser stumble again on the same line: the first word on a line is the one to read.
        if fault.code == "syntax" && !broken_lines.insert(line_of(&starts, fault.span.start)) {
            continue;
        }
        faults.push(fault);
    }
    faults.sort_by_key(|fault| fault.span.start);
    faults
}

/// Where each line begins.
pub(super) fn line_starts(text: &str) -> Vec<usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect()
}

/// The number of the line of a place, from 1.
pub(super) fn line_of(starts: &[usize], at: usize) -> usize {
    starts.partition_point(|start| *start <= at)
}

/// The span, widened to something that carets can stand under and to character boundaries.
fn visible(text: &str, span: Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    while !text.is_char_boundary(end) {
        end += 1;
    }
    if start == end {
        let is_at_end = matches!(text[start..].chars().next(), None | Some('\n' | '\r'));
        if is_at_end {
            start = text[..start].char_indices().next_back().map_or(0, |(at, _)| at);
        } else {
            end += text[start..].chars().next().map_or(0, char::len_utf8);
        }
    }
    start..end
}

fn syntax(text: &str, message: &str, span: Range<usize>) -> Fault {
    let (what, wanted) = match message.split_once(", expected ") {
        Some((what, wanted)) => (what, Some(wanted)),
        None => (message, None),
    };
    let (line, value) = line_and_value(text, &span);
    let bare = value.trim();
    let label = match wanted {
        Some("nothing") | None => "not TOML".to_owned(),
        Some(wanted) => format!("expected {wanted}"),
    };
    let fault = |span: Range<usize>, label: String| Fault::error("syntax", span, format!("not TOML: {what}"), label);
    match bare {
        "True" | "TRUE" | "yes" | "Yes" | "on" => fault(span, label).help("write true"),
        "False" | "FALSE" | "no" | "No" | "off" => fault(span, label).help("write false"),
        "None" | "null" | "nil" => fault(span, label).help("leave the key out: TOML has no null"),
        "" => fault(span, label),
        _ if what.contains("string values must be quoted") || what.contains("quoted") => {
            fault(span, "expected quotes around this".to_owned())
                .help(format!("write \"{}\"", bare.replace('"', "\\\"")))
        }
        _ if line.trim_start().starts_with("- ") => {
            fault(span, label).help("this looks like YAML: a list is [\"a\", \"b\"]")
        }
        _ => fault(span, label),
    }
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
    let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
    let is_header = text[start..].trim_start().starts_with('[');
    let path = header_before(text, span.start);
    let mut found = None;
    if is_header {
        // The path down to the repeated part of the header.
        if let Some(position) = path.iter().position(|(_, at)| *at == span.start) {
            found = key_at(root, &path[..position], name);
        }
    } else {
        found = key_at(root, &path, name).or_else(|| last_key_before(root, name, span.start));
    }
    let what = if is_header { "table" } else { "key" };
    let fault =
        Fault::error("duplicate-key", span.clone(), format!("the {what} `{name}` is there twice"), "again here");
    let fault = match found.filter(|first| first.start < span.start) {
        Some(first) => fault.also(first, "first here"),
        None => fault,
    };
    if is_header { fault.help("join the two, or give one another name") } else { fault.help("remove one of them") }
}

/// The parts of the last `[header]` that begins at or before the line of `at`, each with its place.
fn header_before(text: &str, at: usize) -> Vec<(String, usize)> {
    let end = text[at..].find('\n').map_or(text.len(), |newline| at + newline);
    let mut position = end;
    for line in text[..end].split('\n').rev() {
        position -= line.len();
        let inner = line.trim_start();
        if inner.starts_with('[') {
            let mut start = position + (line.len() - inner.len());
            let mut parts = Vec::new();
            start += inner.len() - inner.trim_start_matches('[').len();
            let body = &text[start..position + line.len()];
            let body = body.split(']').next().unwrap_or_default();
            for part in body.split('.') {
                let blanks = part.len() - part.trim_start().len();
                parts.push((part.trim().trim_matches(['"', '\'']).to_owned(), start + blanks));
                start += part.len() + 1;
            }
            return parts;
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
