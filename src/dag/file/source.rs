//! Where an action finds its statements and its database.

use super::fault::Fault;
use super::reader::{Open, Reader};
use super::suggest::or_known;
use super::surroundings::{Surroundings, warn_of_missing_file};
use super::value::quoted_key;
use crate::dag::sql::SqlSource;

/// The connection that an action names.
pub(super) fn read_connection<'f>(
    reader: &mut Reader<'f>,
    open: &Open<'_, 'f>,
    what: &str,
    surroundings: &Surroundings<'_>,
) -> Option<String> {
    let connection = reader.text(open, "connection");
    let connections = &surroundings.config.connections;
    match &connection {
        Some(connection) if !connections.contains_key(&connection.value) => {
            let message = format!("unknown connection `{}`", connection.value);
            let fault = Fault::error(
                "unknown-connection",
                connection.span.clone(),
                message,
                "crondag.toml has no such connection",
            );
            let name = quoted_key(&connection.value);
            let add = format!("add it to crondag.toml: [connections.{name}] with type = \"sqlite\" and path");
            reader.push(or_known(fault.of_config(), &connection.value, connections.keys().map(String::as_str), &add));
        }
        None if open.lacks("connection") => {
            let fault = Fault::error(
                "missing-key",
                open.at.clone(),
                format!("{what} needs a `connection`"),
                "expected `connection` in this table",
            );
            let mut names = connections.keys();
            reader.push(match names.next() {
                Some(name) => fault.help(format!("write for example connection = \"{name}\"")),
                None => fault.help("crondag.toml has no connections yet: add [connections.NAME]"),
            });
        }
        _ => {}
    }
    connection.map(|connection| connection.value)
}

/// Where the SQL of an action is: below `inline`, or in a `file`.
pub(super) fn read_source<'f>(
    reader: &mut Reader<'f>,
    open: &Open<'_, 'f>,
    inline: &'static str,
    what: &str,
    surroundings: &Surroundings<'_>,
) -> Option<SqlSource> {
    let text = reader.template(open, inline);
    let file = reader.template(open, "file");
    match (open.get(inline), open.get("file")) {
        (Some(first), Some(second)) => {
            reader.push(
                Fault::error(
                    "two-sources",
                    second.key.clone(),
                    format!("{what} has both `{inline}` and `file`"),
                    "expected only one of them",
                )
                .also(first.key.clone(), "the other one"),
            );
            None
        }
        (None, None) if !(open.lacks(inline) && open.lacks("file")) => None,
        (None, None) => {
            reader.push(
                Fault::error(
                    "missing-key",
                    open.at.clone(),
                    format!("{what} needs `{inline}` or `file`"),
                    "expected one of them in this table",
                )
                .help("write for example file = \"sql/load.sql\""),
            );
            None
        }
        (Some(_), None) => text.map(|text| SqlSource::Inline(text.value)),
        (None, Some(_)) => file.map(|file| {
            warn_of_missing_file(reader, &file, "SQL file", surroundings);
            SqlSource::File(file.value)
        }),
    }
}
