//! A copy of the database.

use std::path::Path;

use crate::app::{App, AppError};

/// Copies the database into a new file while runs go on.
///
/// # Errors
/// The file is there already, or cannot be written; nothing has run yet.
pub fn backup(app: &App, file: &Path) -> Result<(), AppError> {
    if file.exists() {
        return Err(AppError::usage(format!("{} exists already", file.display()), "name a new file"));
    }
    Ok(app.existing_store()?.backup(file)?)
}
