//! Reading what is to be imported, and writing its DAG files into a home: all of them or none, and none over a file that is there.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::{App, AppError};
use crate::dag::DagId;
use crate::dag::file::{Severity, read_dag};
use crate::import::ImportedDag;
use crate::import::crontab::{Import, Surroundings, import};
use crate::runner::attempt::environment::User;
use crate::store::DagRow;
use crate::text_file;

/// Where a crontab is.
#[derive(Debug)]
pub enum Source<'a> {
    /// Here.
    Text(String),
    /// In a file.
    File(&'a Path),
    /// Where `crontab -l` finds it.
    Installed,
}

/// Makes DAG files of the jobs of a crontab, whose names are free in the home that `app` is, if any. `user` is whose crontab it
/// is, without it whoever asks; `chain` makes one DAG of jobs that are staggered as a chain is.
///
/// # Errors
/// The crontab cannot be read, or has no job.
pub fn read(app: Option<&App>, source: Source<'_>, user: Option<&str>, chain: bool) -> Result<Import, AppError> {
    let text = text_of(source, user)?;
    let taken = match app {
        Some(app) => app.dag_files()?.into_iter().map(|file| file.name).collect(),
        None => BTreeSet::new(),
    };
    let user = user.map_or_else(|| User::current().name.clone(), str::to_owned);
    let home_of = |name: &str| User::named(name).map(|user| user.home);
    let surroundings = Surroundings { user: &user, home_of: &home_of, is_program: &is_program, chain, taken };
    let import = import(&text, &surroundings);
    if import.dags.is_empty() && import.notes.is_empty() {
        return Err(AppError::usage(
            "there is no job in this crontab",
            "name the file of a crontab, or `-` for standard input",
        ));
    }
    Ok(import)
}

fn read_any(path: &Path) -> io::Result<String> {
    text_file::decode(fs::read(path)?).map_err(|wrong| io::Error::new(io::ErrorKind::InvalidData, wrong))
}

fn text_of(source: Source<'_>, user: Option<&str>) -> Result<String, AppError> {
    match source {
        Source::Text(text) => Ok(text),
        // It may be a pipe, as a shell's `<(...)`.
        Source::File(path) => read_any(path).map_err(|error| {
            AppError::environment(
                format!("cannot read {}: {error}", path.display()),
                "check its name and who may read it",
            )
        }),
        Source::Installed => {
            let mut line = vec!["-l"];
            if let Some(user) = user {
                line.extend(["-u", user]);
            }
            let printed = duct::cmd("crontab", line).stdout_capture().stderr_capture().unchecked().run();
            let printed = printed.map_err(|error| {
                AppError::environment(format!("cannot run `crontab -l`: {error}"), "name the file of the crontab")
            })?;
            if printed.status.success() {
                text_file::decode(printed.stdout).map_err(|wrong| {
                    AppError::usage(
                        format!("what `crontab -l` prints cannot be read: {wrong}"),
                        "write it into a file as UTF-8, and name that",
                    )
                })
            } else {
                let said = String::from_utf8_lossy(&printed.stderr).trim().to_owned();
                Err(AppError::usage(format!("`crontab -l` has none: {said}"), "name the file of the crontab"))
            }
        }
    }
}

/// Whether a program of this name is on the PATH of most crontabs.
fn is_program(name: &str) -> bool {
    let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    name == "cd" || folders.iter().any(|folder| Path::new(folder).join(name).is_file())
}

/// What will be written.
#[derive(Debug, Clone, Serialize)]
pub struct ImportPlan {
    pub dags: Vec<PlannedDag>,
}

/// A DAG file.
#[derive(Debug, Clone, Serialize)]
pub struct PlannedDag {
    pub dag_id: DagId,
    /// Where it belongs.
    pub file: PathBuf,
    /// The line of the crontab.
    pub line: usize,
    /// The job was switched off: the DAG's schedule is paused.
    pub is_paused: bool,
    #[serde(skip)]
    text: String,
}

/// What was written.
#[derive(Debug, Clone, Serialize)]
pub struct ImportReceipt {
    /// The files, in order.
    pub written: Vec<PlannedDag>,
}

/// Checks each text as `crondag validate` would.
///
/// # Errors
/// A text is no good DAG file in this home; one of its name is there.
pub fn plan(app: &App, dags: &[ImportedDag]) -> Result<ImportPlan, AppError> {
    let mut plan = ImportPlan { dags: Vec::new() };
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
        let (line, is_paused, text) = (dag.line, dag.is_paused, dag.text.clone());
        plan.dags.push(PlannedDag { dag_id, file: path, line, is_paused, text });
    }
    Ok(plan)
}

/// Writes the files.
///
/// # Errors
/// The database or the folder cannot be written; then none of the files is there.
pub fn apply(app: &App, plan: ImportPlan) -> Result<ImportReceipt, AppError> {
    // First: a tick that sees such a file before its pause would start what was switched off.
    if plan.dags.iter().any(|dag| dag.is_paused) {
        let mut store = app.store_for_writing()?;
        let write = store.write()?;
        for dag_id in plan.dags.iter().filter(|dag| dag.is_paused).map(|dag| &dag.dag_id) {
            let mut row = write.dag(dag_id)?.unwrap_or_else(|| DagRow::new(dag_id.clone(), app.now));
            row.is_paused = true;
            write.put_dag(&row)?;
        }
        write.commit()?;
    }
    let mut written: Vec<&Path> = Vec::new();
    for PlannedDag { file: path, text, .. } in &plan.dags {
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        if made.is_ok() {
            written.push(path);
        }
        if let Err(error) = made.and_then(|mut file| file.write_all(text.as_bytes())) {
            for path in written {
                // What cannot be removed was made by us a moment ago; the error below names its folder.
                let _ = fs::remove_file(path);
            }
            return Err(AppError::environment(
                format!("cannot write {}: {error}", path.display()),
                "check who owns the folder and whether the disk is full; no file was written",
            ));
        }
    }
    Ok(ImportReceipt { written: plan.dags })
}
