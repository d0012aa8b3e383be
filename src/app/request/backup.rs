//! A copy of the database.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::{App, AppError};

/// What will be written.
#[derive(Debug, Clone, Serialize)]
pub struct BackupPlan {
    /// The new file.
    pub file: PathBuf,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct BackupReceipt {
    /// The new file.
    pub file: PathBuf,
}

/// Works out what would be written.
///
/// # Errors
/// The file is there already.
pub fn plan(file: &Path) -> Result<BackupPlan, AppError> {
    if file.exists() {
        return Err(AppError::usage(format!("{} exists already", file.display()), "name a new file"));
    }
    Ok(BackupPlan { file: file.to_owned() })
}

/// Copies the database into a new file while runs go on.
///
/// # Errors
/// The file cannot be written, or is there by now; nothing has run yet.
pub fn apply(app: &App, plan: BackupPlan) -> Result<BackupReceipt, AppError> {
    app.existing_store()?.backup(&plan.file)?;
    Ok(BackupReceipt { file: plan.file })
}
