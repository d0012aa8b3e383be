//! The task instances of a run.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{Timestamp, Unit};
use serde::{Serialize, Serializer};

use super::awaited;
use super::ending::{EndingAttempt, ending};
use super::runs::RunAnswer;
use crate::app::select;
use crate::app::times::{Moment, elapsed};
use crate::app::{App, AppError};
use crate::dag::{Dag, DagId, RunNumber, TaskId, TaskState};
use crate::runner::engine::due_at;
use crate::store::{AttemptFilter, RunRow, Store, TaskInstance};

/// How a task of a run stands: a state of the engine, or that the DAG no longer has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// As the engine has it.
    In(TaskState),
    /// Airflow's `removed`: the version of the DAG that the run is bound to has no such task, and it never ended.
    Removed,
}

impl Standing {
    /// As programs and people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Standing::In(state) => state.as_str(),
            Standing::Removed => "removed",
        }
    }
}

impl Serialize for Standing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// A task instance.
#[derive(Debug, Clone, Serialize)]
pub struct TaskAnswer {
    pub dag_id: DagId,
    pub run_id: String,
    pub task_id: TaskId,
    /// The start of the run's data interval.
    pub logical_date: Moment,
    pub state: Standing,
    /// Attempts begun.
    pub try_number: u32,
    /// When the newest attempt started.
    pub start_date: Option<Moment>,
    pub end_date: Option<Moment>,
    /// From start to end, in seconds.
    pub duration: Option<f64>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// What it waits for between two evaluations, with its dates.
    pub waits_for: Option<String>,
    /// Attempts it may take in all.
    pub max_tries: u32,
    /// When the next attempt may start.
    pub next_try_at: Option<Moment>,
    /// The attempt that was told to end and whose processes still live.
    pub ending_try: Option<u32>,
    /// Processes that were alive when the program of the newest attempt had ended, and were ended too.
    pub left_behind: u32,
    /// Those that were left alive (`leave_processes`).
    pub left_running: u32,
}

impl TaskAnswer {
    /// How long the newest attempt has taken so far; `None` before it started.
    pub fn took(&self, app: &App) -> Option<Duration> {
        let start = self.start_date.as_ref()?;
        Some(elapsed(start.at, self.end_date.as_ref().map_or(app.now, |end| end.at)))
    }

    /// Whether its newest attempt failed, be it to be tried again.
    pub fn has_failed(&self) -> bool {
        match self.state {
            Standing::In(TaskState::Failed | TaskState::UpForRetry) => true,
            Standing::In(
                TaskState::None
                | TaskState::Running
                | TaskState::UpForReschedule
                | TaskState::Success
                | TaskState::Skipped
                | TaskState::UpstreamFailed,
            )
            | Standing::Removed => false,
        }
    }
}

/// A run with its tasks.
#[derive(Debug, Clone)]
pub struct RunTasks {
    pub run: RunAnswer,
    /// Its tasks in the order of its DAG, those that the DAG no longer has at the end.
    pub tasks: Vec<TaskAnswer>,
}

/// The runs that a date or a run id means, oldest first, with their tasks; without one, the last run.
///
/// # Errors
/// There is no such run; the nearest ones are named.
pub fn tasks(app: &App, dag_id: &DagId, run: Option<&str>) -> Result<Vec<RunTasks>, AppError> {
    let store = app.store()?;
    let runs = select::runs(app, store.as_ref(), dag_id, run)?;
    // `select::runs` found them there, so there is a database.
    let Some(store) = &store else { return Ok(Vec::new()) };
    runs.iter().map(|run| of_run(app, store, run)).collect()
}

/// The runs in which a task ran at a time that has been, oldest first, with those tasks alone; as they are now.
///
/// # Errors
/// That is no such time; the database.
pub fn tasks_at(app: &App, dag_id: &DagId, at: &str) -> Result<Vec<RunTasks>, AppError> {
    let at = select::past_time(at, &app.zone_of(dag_id), app.now)?;
    let Some(store) = app.store()? else { return Ok(Vec::new()) };
    let (going_since, going_until) = (Some(at), Some(at));
    let filter = AttemptFilter { dag_id: dag_id.clone(), task: None, going_since, going_until, limit: None };
    let mut going: BTreeMap<RunNumber, BTreeSet<TaskId>> = BTreeMap::new();
    for attempt in store.attempts_of_dag(&filter)? {
        going.entry(attempt.run).or_default().insert(attempt.task_id);
    }
    let mut found = Vec::new();
    for (number, tasks) in going {
        // A run that is deleted in this moment takes its attempts with it.
        let Some(run) = store.run(number)? else { continue };
        let mut answer = of_run(app, &store, &run)?;
        answer.tasks.retain(|task| tasks.contains(&task.task_id));
        found.push(answer);
    }
    Ok(found)
}

/// A run with its tasks.
///
/// # Errors
/// The database.
pub(crate) fn of_run(app: &App, store: &Store, run: &RunRow) -> Result<RunTasks, AppError> {
    let dag = app.dag_of_run(store, run)?;
    let zone = app.zone_of(&run.dag_id);
    let moment = |at| Moment::new(at, &zone);
    let left = store.left_processes(run.number)?;
    let ending = ending(app, store)?;
    let instances = in_order(dag.as_ref(), store, run)?;
    let mut waits_for = BTreeMap::new();
    for instance in instances.iter().filter(|instance| instance.state == TaskState::UpForReschedule) {
        let Some(dag) = &dag else { continue };
        let task = dag.task_index(instance.task_id.as_str()).map(|index| &dag.tasks[index]);
        if let Some((task, wait)) = task.and_then(|task| Some((task, task.wait()?))) {
            let condition = awaited::condition(app, run, dag, task, wait);
            let words = awaited::in_words(app, Some(store), run, dag, &condition)?;
            waits_for.insert(instance.task_id.clone(), words);
        }
    }
    let tasks = instances.into_iter().map(|task| {
        let exact = match (task.start_date, task.end_date) {
            // No two instants are too far apart for a number of seconds.
            (Some(start), Some(end)) => {
                end.since((Unit::Second, start)).ok().and_then(|span| span.total(Unit::Second).ok())
            }
            _ => None,
        };
        let left = left.get(&(task.task_id.clone(), task.try_number)).copied().unwrap_or_default();
        let ends = |attempt: &&EndingAttempt| attempt.run == run.number && attempt.task_id == task.task_id;
        let ending_try = ending.iter().find(ends).map(|attempt| attempt.try_number);
        let next_try_at = next_try_at(dag.as_ref(), &task, app.now);
        TaskAnswer {
            dag_id: run.dag_id.clone(),
            run_id: run.run_id.clone(),
            state: standing(dag.as_ref(), &task),
            waits_for: waits_for.remove(&task.task_id),
            task_id: task.task_id,
            logical_date: moment(run.logical_date),
            try_number: task.try_number,
            start_date: task.start_date.map(moment),
            end_date: task.end_date.map(moment),
            duration: exact,
            reason: task.reason,
            max_tries: task.max_tries,
            next_try_at: next_try_at.map(moment),
            ending_try,
            left_behind: left.ended,
            left_running: left.running,
        }
    });
    Ok(RunTasks { tasks: tasks.collect(), run: RunAnswer::new(app, store, run)? })
}

/// When the engine tries it again, which does not believe what was set while the clock was ahead.
fn next_try_at(dag: Option<&Dag>, task: &TaskInstance, now: Timestamp) -> Option<Timestamp> {
    let recorded = task.next_try_at?;
    let known = dag.and_then(|dag| Some(&dag.tasks[dag.task_index(task.task_id.as_str())?]));
    let tries = (task.try_number, task.max_tries);
    known.and_then(|known| due_at(known, task.state, tries, Some(recorded), now)).or(Some(recorded))
}

/// The task instances of a run in the order of its DAG; those that a queued run will have, while it has none.
///
/// # Errors
/// The database.
pub(crate) fn tasks_of(app: &App, store: &Store, run: &RunRow) -> Result<Vec<TaskInstance>, AppError> {
    let dag = app.dag_of_run(store, run)?;
    in_order(dag.as_ref(), store, run)
}

/// A task of a run, be it one that the DAG no longer has.
///
/// # Errors
/// There is no such task; the nearest name is suggested.
pub(crate) fn task_of_run(app: &App, store: &Store, run: &RunRow, name: &str) -> Result<TaskId, AppError> {
    if let Some(found) = tasks_of(app, store, run)?.into_iter().find(|task| task.task_id.as_str() == name) {
        return Ok(found.task_id);
    }
    if let Some(dag) = app.dag_of_run(store, run)? {
        select::task(&dag, name)?;
    }
    Err(AppError::usage(
        format!("the run {} has no task `{name}`", run.run_id),
        format!("crondag tasks {} {}", run.dag_id, run.run_id),
    ))
}

fn in_order(dag: Option<&Dag>, store: &Store, run: &RunRow) -> Result<Vec<TaskInstance>, AppError> {
    let mut tasks = store.task_instances(run.number)?;
    if tasks.is_empty()
        && !run.state.is_final()
        && let Some(dag) = dag
    {
        tasks = planned(dag, run);
    }
    Ok(select::in_dag_order(dag, tasks, |task| &task.task_id))
}

fn standing(dag: Option<&Dag>, task: &TaskInstance) -> Standing {
    let is_gone = dag.is_some_and(|dag| dag.task_index(task.task_id.as_str()).is_none());
    if is_gone && !task.state.is_final() { Standing::Removed } else { Standing::In(task.state) }
}

fn planned(dag: &Dag, run: &RunRow) -> Vec<TaskInstance> {
    let is_selected =
        |task: &&crate::dag::Task| run.selection.as_ref().is_none_or(|selection| selection.contains(&task.id));
    dag.tasks
        .iter()
        .filter(is_selected)
        .map(|task| TaskInstance {
            task_id: task.id.clone(),
            state: TaskState::None,
            try_number: 0,
            max_tries: task.retries + 1,
            start_date: None,
            end_date: None,
            next_try_at: None,
            reason: None,
        })
        .collect()
}
