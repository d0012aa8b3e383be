//! `sql`: statements on a connection.

use crate::dag::file::reader::{Entry, Reader};
use crate::dag::file::section::{Field, Kind, Section, field};
use crate::dag::file::source::{read_connection, read_source};
use crate::dag::file::surroundings::Surroundings;
use crate::dag::file::value::any_name;
use crate::dag::sql::Sql;

pub(super) const FIELD: Field = field(
    "sql",
    Kind::Table(&SECTION),
    "{ connection = \"warehouse\", file = \"sql/load.sql\" }",
    "Action: SQL statements in one transaction",
);

/// `[tasks.NAME.sql]`
static SECTION: Section = Section {
    header: "[tasks.NAME.sql]",
    place: "an sql table",
    doc: "SQL statements, run in one transaction. Either `statements` or `file`.",
    required: &["connection"],
    one_of: &["statements", "file"],
    groups: &[&[
        field("connection", Kind::Text, "\"warehouse\"", "A connection of crondag.toml"),
        field(
            "statements",
            Kind::Template,
            "\"DELETE FROM tags WHERE data_date = :ds\"",
            "The statements, separated by `;`. A template",
        ),
        field(
            "file",
            Kind::Template,
            "\"sql/load.sql\"",
            "A file of statements, relative to the home. The path and the text are templates",
        ),
        field(
            "to",
            Kind::Template,
            "\"export/audience_{{ ds_nodash }}.csv\"",
            "A CSV file, relative to the home, that gets the last result set, whole or not at all. NULL is an empty cell, an \
             empty text is `\"\"`. A template",
        ),
        field(
            "params",
            Kind::TextMap,
            "{ window = \"{{ params.window }}\" }",
            "Values of `:NAME` in the statements; the values are templates. `:ds`, `:ds_nodash` and the other template \
             variables that are plain texts need not be named",
        ),
    ]],
};

/// Reads the `sql` action of a task.
pub(super) fn read<'f>(reader: &mut Reader<'f>, entry: &Entry<'_, 'f>, surroundings: &Surroundings<'_>) -> Option<Sql> {
    let open = reader.table(entry)?;
    let connection = read_connection(reader, &open, "an sql action", surroundings);
    let params = reader.text_map(&open, "params", any_name).unwrap_or_default();
    let to = reader.template(&open, "to").map(|to| to.value);
    let source = read_source(reader, &open, "statements", "an sql action", surroundings);
    Some(Sql { connection: connection?, source: source?, params, to })
}
