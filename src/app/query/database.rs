//! Whether a database is sound: its structure, its references, and whether its event log gives its tables back.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::{App, AppError};
use crate::store::Store;

/// What was found in a database.
#[derive(Debug, Serialize)]
pub struct DatabaseAnswer {
    pub(crate) database: PathBuf,
    pub(crate) runs: u64,
    pub(crate) events: u64,
    /// A sentence each; none where it is sound.
    pub(crate) problems: Vec<String>,
}

/// Checks the home's database, or a file such as a backup.
///
/// # Errors
/// There is no such file; it cannot be read.
pub fn check(app: &App, file: Option<&Path>) -> Result<DatabaseAnswer, AppError> {
    let store = match file {
        Some(file) if !file.is_file() => {
            return Err(AppError::usage(format!("there is no file {}", file.display()), "name a backup"));
        }
        Some(file) => Store::open_read_only(file)?,
        None => app.existing_store()?,
    };
    let report = store.check().map_err(|error| error.at(store.path()))?;
    Ok(DatabaseAnswer {
        database: store.path().to_path_buf(),
        runs: report.runs,
        events: report.events,
        problems: report.problems,
    })
}
