//! What every file has in common: it is TOML, and its faults are shown sorted.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::reader::Reader;
use super::syntax;
use super::text::Places;

/// Parses the TOML; its faults go into the reader.
pub(super) fn parse<'f>(reader: &mut Reader<'f>) -> Spanned<DeTable<'f>> {
    let (root, errors) = DeTable::parse_recoverable(reader.text);
    reader.faults.extend(syntax::faults(reader.text, root.get_ref(), &errors));
    // TOML has it only as an escape.
    if NUL_ESCAPES.iter().any(|escape| reader.text.contains(escape)) {
        find_nuls(reader, root.get_ref());
    }
    root
}

/// How TOML writes the character NUL.
const NUL_ESCAPES: [&str; 3] = ["\\u0000", "\\U00000000", "\\x00"];

/// No program takes a text with a NUL, and no file or table has one in its name.
fn find_nuls(reader: &mut Reader<'_>, table: &DeTable<'_>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        find_nul(reader, "a name", key.span(), name);
        let name = name.replace('\0', "");
        find_nuls_of(reader, &name, value);
    }
}

fn find_nuls_of(reader: &mut Reader<'_>, name: &str, value: &Spanned<DeValue<'_>>) {
    match value.get_ref() {
        DeValue::String(text) => find_nul(reader, &format!("`{name}`"), value.span(), text),
        DeValue::Array(items) => items.iter().for_each(|item| find_nuls_of(reader, name, item)),
        DeValue::Table(table) => find_nuls(reader, table),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn find_nul(reader: &mut Reader<'_>, what: &str, whole: Range<usize>, text: &str) {
    if let Some(at) = text.find('\0') {
        let span = Places::of(reader.text, whole, text).at(at..at + 1);
        let message = format!("{what} has a NUL character");
        reader.push(
            Fault::error("bad-character", span, message, "this character")
                .help("no program can take such a text: leave the NUL out"),
        );
    }
}

/// What is said about a file: sorted by place, and without what only follows from broken syntax.
pub(super) fn settle(text: &str, mut faults: Vec<Fault>) -> Vec<Fault> {
    // Where a line cannot be read, whatever misses something or names something may be right after all. A value that is
    // wrong by itself stays wrong, wherever it belongs.
    const SURE: [&str; 8] = [
        "syntax",
        "duplicate-key",
        "bad-duration",
        "bad-schedule",
        "bad-zone",
        "bad-size",
        "bad-address",
        "out-of-range",
    ];
    let starts = syntax::line_starts(text);
    let lines: std::collections::HashSet<usize> = faults
        .iter()
        .filter(|fault| fault.code == "syntax")
        .map(|fault| syntax::line_of(&starts, fault.span.start))
        .collect();
    if !lines.is_empty() {
        faults.retain(|fault| {
            let is_same_line = lines.contains(&syntax::line_of(&starts, fault.span.start));
            SURE.contains(&fault.code) && (fault.code == "syntax" || !is_same_line)
        });
    }
    faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
    faults
}
