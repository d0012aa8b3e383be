//! Orders. Each is first a plan: what will be created and changed, and what is left out and why. A plan can be shown and
//! serialised; nothing is written while it is made. `apply` (of a history `rename` and `delete`) carries it out in one transaction
//! and gives a receipt, which says what was done, and where the world has changed since the plan was made.
//!
//! `tick` has no plan, since nobody is asked: it makes what is due.
//!
//! The receipt is given also when the driver cannot be woken: what was recorded stays, and the next tick carries it out.

pub(crate) mod backfill;
pub(crate) mod backup;
pub(crate) mod clear;
pub(crate) mod gate;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod mark;
pub(crate) mod outcome;
pub(crate) mod pause;
pub(crate) mod range;
pub(crate) mod stop;
pub(crate) mod tick;
pub(crate) mod trigger;
pub(crate) mod watch;

use std::collections::BTreeMap;

use super::{App, AppError};
use crate::dag::repair::{Because, RepairScope, Stands, repair};
use crate::dag::{Dag, DagId, RunNumber, TaskId, TaskState};
use crate::store::{RunRow, Store, TaskInstance, Write};

/// That a run which was planned with is still there. Asked within the transaction that carries the plan out.
fn must_be_there(write: &Write<'_>, run: RunNumber, (dag_id, run_id): (&DagId, &str)) -> Result<(), AppError> {
    match write.run(run)? {
        Some(_) => Ok(()),
        None => Err(AppError::usage(
            format!("the run {run_id} of {dag_id} is gone: somebody has removed it meanwhile"),
            "crondag list_dags",
        )),
    }
}

/// What a repair of this run starts again. `dag` is the version with which it goes on or begins again.
///
/// # Errors
/// The database.
fn repair_of(
    app: &App,
    store: &Store,
    run: &RunRow,
    instances: &[TaskInstance],
    dag: &Dag,
    scope: RepairScope,
) -> Result<BTreeMap<TaskId, Because>, AppError> {
    let mut stands = BTreeMap::new();
    for task in instances {
        // Only of a task that was skipped does its state not say it.
        let is_skipped = task.state == TaskState::Skipped;
        let ending = if is_skipped { store.ending(run.number, &task.task_id)? } else { None };
        let stands_so = Stands {
            state: task.state,
            waited_in_vain: ending.as_ref().is_some_and(|ending| ending.awaited.is_some()),
            cut_off: ending.is_some_and(|ending| ending.cut_off),
        };
        stands.insert(task.task_id.clone(), stands_so);
    }
    let ran_with = app.dag_of_run(store, run)?;
    let versions: Vec<&Dag> = ran_with.iter().chain([dag]).collect();
    Ok(repair(&stands, &versions, scope))
}

/// Tasks that a run does not have, since they are new in the DAG, although tasks that start again now wait for them.
fn lacking_above(dag: &Dag, run: &RunRow, instances: &[TaskInstance], starts: impl Fn(&TaskId) -> bool) -> Vec<TaskId> {
    let is_above = |id: &TaskId| {
        let below = dag.task_index(id.as_str()).map(|index| dag.graph.descendants(index)).unwrap_or_default();
        run.selection.is_none()
            && !instances.iter().any(|instance| instance.task_id == *id)
            && below.into_iter().any(|index| starts(&dag.tasks[index].id))
    };
    dag.tasks.iter().map(|task| task.id.clone()).filter(is_above).collect()
}
