//! SQL of tasks: where it stands and on which connection it runs.

use std::collections::BTreeMap;

/// SQL statements, run in one transaction on one connection of crondag.toml.
#[derive(Debug, Clone)]
pub struct Sql {
    /// The connection's name in crondag.toml.
    pub connection: String,
    /// Where the statements are.
    pub source: SqlSource,
    /// Values bound to `:name` in the statements; each is a template. The template variables that are plain texts
    /// (`ds`, `ds_nodash`, ...) are bound without being named here.
    pub params: BTreeMap<String, String>,
    /// A CSV file, relative to the home, that gets the last result set. A template.
    pub to: Option<String>,
}

/// Where SQL statements are.
#[derive(Debug, Clone)]
pub enum SqlSource {
    /// In the DAG file. A template.
    Inline(String),
    /// In a file, relative to the home. The path and the text are templates.
    File(String),
}
