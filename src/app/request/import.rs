//! Writing DAG files that were imported into a home: all of them or none, and none over a file that is there.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::app::{App, AppError};
use crate::dag::DagId;
use crate::dag::file::{Severity, read_dag};
use crate::import::ImportedDag;
use crate::store::DagRow;

/// What will be written.
#[derive(Debug, Clone, Serialize)]
pub struct ImportPlan {
    /// The DAGs.
    pub dags: Vec<DagId>,
    #[serde(skip)]
    files: Vec<(PathBuf, String)>,
    #[serde(skip)]
    paused: Vec<DagId>,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReceipt {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// The DAGs whose jobs were switched off: their schedules are paused.
    pub paused: Vec<DagId>,
}

/// Checks each text as `crondag validate` would.
///
/// # Errors
/// A text is no good DAG file in this home; one of its name is there.
pub fn plan(app: &App, dags: &[ImportedDag]) -> Result<ImportPlan, AppError> {
    let mut plan = ImportPlan { dags: Vec::new(), files: Vec::new(), paused: Vec::new() };
    for dag in dags {
        let path = app.home.dag_path(&dag.dag_id);
        if path.exists() {
            return Err(AppError::usage(
                format!("{} is there already", path.display()),
                "name another home, or move the file away",
            ));
        }
        let root = app.home.root();
        let (_, faults) = read_dag(&dag.dag_id, &dag.text, &app.config, &|file| root.join(file).exists());
        if let Some(fault) = faults.iter().find(|fault| fault.severity == Severity::Error) {
            return Err(AppError::usage(
                format!("line {} of the crontab cannot become a DAG of this home: {}", dag.line, fault.message),
                "take the line out, or correct it, and import again",
            ));
        }
        let dag_id = DagId::new(dag.dag_id.as_str())
            .map_err(|error| AppError::usage(format!("line {}: {error}", dag.line), "give its script another name"))?;
        if dag.is_paused {
            plan.paused.push(dag_id.clone());
        }
        plan.dags.push(dag_id);
        plan.files.push((path, dag.text.clone()));
    }
    Ok(plan)
}

/// Writes the files.
///
/// # Errors
/// The database or the folder cannot be written; then none of the files is there.
pub fn apply(app: &App, plan: ImportPlan) -> Result<ImportReceipt, AppError> {
    // First: a tick that sees such a file before its pause would start what was switched off.
    if !plan.paused.is_empty() {
        let mut store = app.store_for_writing()?;
        let write = store.write()?;
        for dag_id in &plan.paused {
            let mut row = write.dag(dag_id)?.unwrap_or_else(|| DagRow::new(dag_id.clone(), app.now));
            row.is_paused = true;
            write.put_dag(&row)?;
        }
        write.commit()?;
    }
    let mut written: Vec<PathBuf> = Vec::new();
    for (path, text) in plan.files {
        let made = OpenOptions::new().write(true).create_new(true).open(&path);
        if made.is_ok() {
            written.push(path.clone());
        }
        if let Err(error) = made.and_then(|mut file| file.write_all(text.as_bytes())) {
            for path in &written {
                // What cannot be removed was made by us a moment ago; the error below names its folder.
                let _ = fs::remove_file(path);
            }
            return Err(AppError::environment(
                format!("cannot write {}: {error}", path.display()),
                "check who owns the folder and whether the disk is full; no file was written",
            ));
        }
    }
    Ok(ImportReceipt { files: written, paused: plan.paused })
}
