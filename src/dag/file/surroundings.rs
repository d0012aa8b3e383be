//! What a task is read against.

use std::path::Path;

use super::fault::Fault;
use super::reader::{At, Reader};
use super::value::is_template;
use crate::dag::Config;
use crate::dag::model::SparkOptions;

/// What a task is read against.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'s> {
    /// The id of the file's DAG.
    pub(super) dag: &'s str,
    pub(super) config: &'s Config,
    /// Options of spark tasks in `[defaults]`.
    pub(super) spark: &'s SparkOptions,
    pub(super) exists: &'s dyn Fn(&Path) -> bool,
    /// The tasks of the file that are checks.
    pub(super) checks: &'s [&'s str],
}

/// Warns about a file that is not there, unless its name is only known at run time.
pub(super) fn warn_of_missing_file(
    reader: &mut Reader<'_>,
    file: &At<String>,
    what: &str,
    surroundings: &Surroundings<'_>,
) {
    let path = file.value.strip_prefix("file://").unwrap_or(&file.value);
    if is_template(path) || path.contains("://") || path.starts_with("local:") || (surroundings.exists)(Path::new(path))
    {
        return;
    }
    let message = format!("the {what} `{path}` does not exist");
    reader.push(
        Fault::warning("missing-file", file.span.clone(), message, "not found from the home")
            .help("the task will fail until the file is there; relative paths begin at the home"),
    );
}
