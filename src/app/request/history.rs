//! The history of a DAG under another name, or gone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::app::{App, AppError};
use crate::dag::wait::Condition;
use crate::dag::{DagId, Task};
use crate::home::Home;
use crate::store::History;

/// What will be renamed.
#[derive(Debug, Clone, Serialize)]
pub struct RenamePlan {
    /// The name that the DAG has.
    pub from: DagId,
    /// The name that it gets.
    pub to: DagId,
    pub runs: u32,
    /// Whether its file is renamed; otherwise that has the new name already, or there is none.
    pub renames_file: bool,
    /// Other DAGs that wait for it under the old name.
    pub waiting: Vec<DagId>,
}

/// What will be removed.
#[derive(Debug, Clone, Serialize)]
pub struct DeletePlan {
    pub dag_id: DagId,
    pub runs: u32,
    /// Its file, if there is one.
    pub file: Option<PathBuf>,
    /// Whether that is removed as well. Otherwise the DAG goes on from where it is.
    pub deletes_file: bool,
}

/// What was renamed.
#[derive(Debug, Clone, Serialize)]
pub struct RenameReceipt {
    /// The name that the DAG had.
    pub from: DagId,
    /// The name that it has.
    pub to: DagId,
    pub runs: u32,
    /// Whether its file was renamed; otherwise that had the new name already, or there is none.
    #[serde(rename = "renames_file")]
    pub file: bool,
    /// Whether it had logs.
    #[serde(rename = "renames_logs")]
    pub logs: bool,
    /// Other DAGs that wait for it under the old name.
    pub waiting: Vec<DagId>,
}

/// What was removed.
#[derive(Debug, Clone, Serialize)]
pub struct DeleteReceipt {
    pub dag_id: DagId,
    pub runs: u32,
    /// Its file, if there was one.
    pub file: Option<PathBuf>,
    /// Whether that is gone as well.
    #[serde(rename = "deletes_file")]
    pub file_is_gone: bool,
}

/// Works out what would be renamed.
///
/// # Errors
/// No such DAG; the new name is none or is taken; runs have not ended.
pub fn plan_rename(app: &App, from: &str, to: &str) -> Result<RenamePlan, AppError> {
    let from = app.dag_id(from)?;
    let to = DagId::new(to).map_err(|error| AppError::usage(error, "choose another name"))?;
    if from == to {
        return Err(AppError::usage(format!("{from} has that name already"), "crondag list_dags"));
    }
    let (has_old, has_new) = (app.home.dag_path(from.as_str()).exists(), app.home.dag_path(to.as_str()).exists());
    if has_old && has_new {
        return Err(AppError::usage(
            format!("there are files of both names, dags/{from}.toml and dags/{to}.toml"),
            format!("remove the one that is not wanted, or keep {from} and choose another name"),
        ));
    }
    let (mut known, mut taken) = (History::default(), History::default());
    if let Some(store) = app.store()? {
        (known, taken) = (store.history(&from)?, store.history(&to)?);
    }
    check_rename(&from, &to, known, taken)?;
    let waits_for_it = |task: &Task| {
        let condition = task.wait().map(|wait| &wait.condition);
        matches!(condition, Some(Condition::Dag(awaited)) if awaited.dag == from.as_str())
    };
    // What a faulty file waits for is not known; once it is good, `validate` names a DAG that is not there.
    let others = app.dag_files()?.into_iter().filter_map(|file| file.dag.ok());
    let waiting = others.filter(|dag| dag.tasks.iter().any(waits_for_it)).map(|dag| dag.id);
    let waiting = waiting.collect();
    Ok(RenamePlan { from, to, runs: known.runs, renames_file: has_old, waiting })
}

fn check_rename(from: &DagId, to: &DagId, known: History, taken: History) -> Result<(), AppError> {
    refuse_unfinished(from, known)?;
    if taken.runs > 0 {
        return Err(AppError::usage(
            format!("{to} has {} of its own", runs(taken.runs)),
            format!("choose another name, or remove them: crondag dag delete {to}"),
        ));
    }
    Ok(())
}

fn refuse_unfinished(dag_id: &DagId, history: History) -> Result<(), AppError> {
    if history.unfinished == 0 {
        return Ok(());
    }
    let what = match history.unfinished {
        1 => "1 run that has not ended".to_owned(),
        count => format!("{count} runs that have not ended"),
    };
    Err(AppError::usage(
        format!("{dag_id} has {what}"),
        format!("wait (crondag runs {dag_id}), or crondag stop {dag_id}"),
    ))
}

/// `1 run`, `3 runs`.
pub fn runs(count: u32) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}

/// Renames the history, the folder of logs and the file. A rename that was broken off is finished by the same
/// command.
///
/// # Errors
/// The database or the disk; a run of the DAG has begun meanwhile, or the name is taken. Then nothing is renamed.
pub fn rename(app: &App, plan: RenamePlan, by: &str) -> Result<RenameReceipt, AppError> {
    let (from, to) = (&plan.from, &plan.to);
    let mut store = app.store_for_writing()?;
    // Ticks wait from here on, so that none sees the file without its history.
    let write = store.write()?;
    let known = write.history(from)?;
    check_rename(from, to, known, write.history(to)?)?;
    write.rename_dag((from, to), |dag| format!("{}/", Home::logs_of_dag(dag.as_str())), by, app.now)?;
    let logs = app.home.logs_dir();
    let file = (app.home.dag_path(from.as_str()), app.home.dag_path(to.as_str()));
    let moves = [(logs.join(from.as_str()), logs.join(to.as_str())), file];
    let mut was_done = [false; 2];
    let mut done = Ok(());
    for (pair, was_done) in moves.iter().zip(&mut was_done) {
        match move_file(&pair.0, &pair.1) {
            Ok(was_there) => *was_done = was_there,
            Err(error) => {
                done = Err(AppError::environment(
                    format!("cannot rename {} to {}: {error}", pair.0.display(), pair.1.display()),
                    "nothing was renamed; check who owns the folders, and whether the new name is free",
                ));
                break;
            }
        }
    }
    let done = done.and_then(|()| write.commit().map_err(AppError::from));
    if let Err(error) = done {
        for ((old, new), _) in moves.iter().zip(was_done).filter(|(_, was_done)| *was_done) {
            // What is left under the new name is found there when the same is typed again.
            let _ = fs::rename(new, old);
        }
        return Err(error);
    }
    let [logs, file] = was_done;
    Ok(RenameReceipt { from: plan.from, to: plan.to, runs: known.runs, file, logs, waiting: plan.waiting })
}

/// Says whether there was anything to move.
fn move_file(from: &Path, to: &Path) -> io::Result<bool> {
    if !from.exists() {
        return Ok(false);
    }
    if to.is_file() {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    fs::rename(from, to).map(|()| true)
}

/// Works out what would be removed.
///
/// # Errors
/// No such DAG; runs have not ended.
pub fn plan_delete(app: &App, dag: &str, deletes_file: bool) -> Result<DeletePlan, AppError> {
    let dag_id = app.dag_id(dag)?;
    let history = match app.store()? {
        Some(store) => store.history(&dag_id)?,
        None => History::default(),
    };
    refuse_unfinished(&dag_id, history)?;
    let file = Some(app.home.dag_path(dag_id.as_str())).filter(|path| path.exists());
    Ok(DeletePlan { dag_id, runs: history.runs, file, deletes_file })
}

/// Removes the history and the logs, and the file where that was asked.
///
/// # Errors
/// The database or the disk; a run has begun meanwhile.
pub fn delete(app: &App, plan: DeletePlan, by: &str) -> Result<DeleteReceipt, AppError> {
    let dag_id = &plan.dag_id;
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    let history = write.history(dag_id)?;
    refuse_unfinished(dag_id, history)?;
    let stays = plan.file.is_some() && !plan.deletes_file;
    write.forget_dag(dag_id, stays, by, app.now)?;
    let remove = |path: &Path, removed: io::Result<()>| match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(AppError::environment(
            format!("cannot remove {}: {error}", path.display()),
            "check who owns it, and type the same again",
        )),
        _ => Ok(()),
    };
    let mut file_is_gone = false;
    if let (Some(file), true) = (&plan.file, plan.deletes_file) {
        remove(file, fs::remove_file(file))?;
        file_is_gone = true;
    }
    write.commit()?;
    let logs = app.home.logs_dir().join(dag_id.as_str());
    remove(&logs, fs::remove_dir_all(&logs))?;
    Ok(DeleteReceipt { dag_id: plan.dag_id, runs: history.runs, file: plan.file, file_is_gone })
}
