//! Where the statements of a script for `SQLite` begin and end. Pure.

use std::ops::Range;

/// The statements of a script: each span begins at its first word and ends with its `;`. `SQLite` itself says where a
/// statement is complete, so that texts, comments and trigger bodies may contain semicolons.
pub(super) fn split(script: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = skip_blanks(script, 0);
    let mut from = start;
    while start < script.len() {
        let end = match script[from..].find(';') {
            Some(offset) => from + offset + 1,
            None => script.len(),
        };
        if end == script.len() || is_complete(&script[start..end]) {
            spans.push(start..end);
            start = skip_blanks(script, end);
            from = start;
        } else {
            from = end;
        }
    }
    spans
}

fn is_complete(sql: &str) -> bool {
    std::ffi::CString::new(sql).is_ok_and(|sql| crate::runner::attempt::local::sys::is_complete_sql(&sql))
}

/// The next place that is neither a blank, a comment, nor an empty statement.
fn skip_blanks(script: &str, mut at: usize) -> usize {
    loop {
        let rest = &script[at..];
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        at += rest.len() - trimmed.len();
        let comment = if trimmed.starts_with("--") {
            trimmed.find('\n').map_or(trimmed.len(), |newline| newline + 1)
        } else if trimmed.starts_with("/*") {
            trimmed.find("*/").map_or(trimmed.len(), |close| close + 2)
        } else {
            return at;
        };
        at += comment;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_split_where_sqlite_says() {
        let script = "-- first; comment\nSELECT ';' ; /* ; */ CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT 2; END;\n\nSELECT 3";
        let parts: Vec<&str> = split(script).into_iter().map(|span| &script[span]).collect();
        let trigger = "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT 2; END;";
        assert_eq!(parts, ["SELECT ';' ;", trigger, "SELECT 3"]);
        assert!(split("  ; -- nothing\n /* open").is_empty());
    }
}
