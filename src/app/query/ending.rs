//! Attempts that are being ended: their task does not run any more, their processes still live.

use serde::Serialize;

use crate::app::times::Moment;
use crate::app::{App, AppError};
use crate::dag::{DagId, RunNumber, TaskId, TaskState};
use crate::store::Store;

/// An attempt that was told to end, and has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndingAttempt {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of the run's data interval.
    pub logical_date: Moment,
    pub task_id: TaskId,
    /// Which attempt of the task it is; the first is 1.
    pub try_number: u32,
    pub start_date: Moment,
    #[serde(skip)]
    pub(crate) run: RunNumber,
}

/// All of them, by run and task.
///
/// # Errors
/// The database.
pub(crate) fn ending(app: &App, store: &Store) -> Result<Vec<EndingAttempt>, AppError> {
    let mut found = Vec::new();
    for attempt in store.open_attempts()? {
        let instances = store.task_instances(attempt.run)?;
        let runs = instances.iter().any(|task| {
            task.task_id == attempt.task_id && task.state == TaskState::Running && task.try_number == attempt.try_number
        });
        // A run that is deleted in this moment takes its attempts with it.
        let Some(run) = store.run(attempt.run)?.filter(|_| !runs) else { continue };
        let zone = app.zone_of(&run.dag_id);
        found.push(EndingAttempt {
            dag_id: run.dag_id,
            run_id: run.run_id,
            logical_date: Moment::new(run.logical_date, &zone),
            task_id: attempt.task_id,
            try_number: attempt.try_number,
            start_date: Moment::new(attempt.started_at, &zone),
            run: attempt.run,
        });
    }
    found.sort_by(|a, b| (a.run, &a.task_id).cmp(&(b.run, &b.task_id)));
    Ok(found)
}
