//! Which texts no program can take: those that are too long for an argument or a variable, and those with a NUL.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::text::Places;
use crate::dag::argument::{LONGEST_ARGUMENT, is_too_long};

/// Whether the text behind a key is one argument of a program.
pub(super) fn becomes_argument(key: &str) -> bool {
    matches!(key, "shell" | "command" | "password_command")
}

/// What is said of a text that Linux takes for no argument of a program, nor for a variable, however much memory there is. What
/// reaches its program through a pipe, as SQL does, may be longer.
pub(super) fn too_long(name: &str, at: Range<usize>, bytes: usize) -> Option<Fault> {
    if !is_too_long(bytes) {
        return None;
    }
    let most = LONGEST_ARGUMENT - 1;
    let message = format!("`{name}` has {bytes} bytes, and an argument or a variable of a program at most {most}");
    let fault = Fault::error("too-long", at, message, "longer than Linux allows (MAX_ARG_STRLEN)");
    Some(fault.help("put it into a file, below jobs/ for example, and let the program read that"))
}

/// How TOML writes the character NUL.
const NUL_ESCAPES: [&str; 3] = ["\\u0000", "\\U00000000", "\\x00"];

/// What is said of each NUL in a file: no program takes a text with one, and no file or table has one in its name.
pub(super) fn nuls(text: &str, root: &DeTable<'_>) -> Vec<Fault> {
    let mut found = Vec::new();
    // TOML has it only as an escape.
    if NUL_ESCAPES.iter().any(|escape| text.contains(escape)) {
        of_table(text, root, &mut found);
    }
    found
}

fn of_table(text: &str, table: &DeTable<'_>, found: &mut Vec<Fault>) {
    for (key, value) in table {
        let name: &str = key.get_ref();
        found.extend(of_string(text, "a name", key.span(), name));
        of_value(text, &name.replace('\0', ""), value, found);
    }
}

fn of_value(text: &str, name: &str, value: &Spanned<DeValue<'_>>, found: &mut Vec<Fault>) {
    match value.get_ref() {
        DeValue::String(string) => found.extend(of_string(text, &format!("`{name}`"), value.span(), string)),
        DeValue::Array(items) => items.iter().for_each(|item| of_value(text, name, item, found)),
        DeValue::Table(table) => of_table(text, table, found),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {}
    }
}

fn of_string(text: &str, what: &str, whole: Range<usize>, string: &str) -> Option<Fault> {
    let at = string.find('\0')?;
    let span = Places::of(text, whole, string).at(at..at + 1);
    let fault = Fault::error("bad-character", span, format!("{what} has a NUL character"), "this character");
    Some(fault.help("no program can take such a text: leave the NUL out"))
}
