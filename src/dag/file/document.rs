//! What every file has in common: it is TOML, and its faults are shown sorted.

use toml::Spanned;
use toml::de::DeTable;

use super::fault::Fault;
use super::fit::nuls;
use super::reader::Reader;
use super::syntax;

/// Parses the TOML; its faults go into the reader.
pub(super) fn parse<'f>(reader: &mut Reader<'f>) -> Spanned<DeTable<'f>> {
    let (root, errors) = DeTable::parse_recoverable(reader.text);
    reader.faults.extend(syntax::faults(reader.text, root.get_ref(), &errors));
    reader.faults.extend(nuls(reader.text, root.get_ref()));
    root
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
