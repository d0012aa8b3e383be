//! Transitions: applied to the tables and appended to the event log in one transaction.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{CachedStatement, Row};
use serde::{Deserialize, Serialize};

use super::{Micros, Store, StoreError, Write};
use crate::dag::{DagId, RunNumber, RunState, TaskId, TaskState, Transition};

/// What the event log says about one run when it is folded from the beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    pub state: RunState,
    /// The state and the number of attempts begun of each task instance.
    pub tasks: BTreeMap<TaskId, (TaskState, u32)>,
}

/// A line of the event log: a run's creation, or a transition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Event {
    /// A client created the run.
    Created {
        /// Always true: tells this line from a transition.
        created: bool,
    },
    /// The engine decided.
    Transition(Transition),
    /// What became of the history of a whole DAG. Such a line belongs to no run: its number is 0.
    History(HistoryEvent),
}

/// What somebody did to the history of a DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "history", rename_all = "snake_case")]
pub(super) enum HistoryEvent {
    /// It has another name.
    DagRenamed {
        /// The name before.
        from: DagId,
        /// The name since.
        to: DagId,
        /// Who did it.
        by: String,
    },
    /// Its runs were removed.
    DagDeleted {
        dag: DagId,
        /// Who did it.
        by: String,
    },
}

/// Folds the event log.
///
/// # Errors
/// An event that cannot follow its predecessors: the log was tampered with or the program is wrong.
pub fn rebuild(store: &Store) -> Result<BTreeMap<RunNumber, Rebuilt>, StoreError> {
    let mut runs: BTreeMap<RunNumber, Rebuilt> = BTreeMap::new();
    let mut statement = store.connection.prepare("SELECT id, run, data FROM events ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (id, run, data): (i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
        let event: Event = serde_json::from_str(&data)
            .map_err(|error| StoreError::Impossible(format!("event {id} is unreadable: {error}")))?;
        fold(&mut runs, RunNumber(run), &event).map_err(|why| StoreError::Impossible(format!("event {id}: {why}")))?;
    }
    Ok(runs)
}

fn fold(runs: &mut BTreeMap<RunNumber, Rebuilt>, number: RunNumber, event: &Event) -> Result<(), String> {
    let transition = match event {
        Event::Created { .. } => {
            let fresh = Rebuilt { state: RunState::Queued, tasks: BTreeMap::new() };
            return match runs.insert(number, fresh) {
                None => Ok(()),
                Some(_) => Err("a run is created twice".to_owned()),
            };
        }
        Event::History(_) => return Ok(()),
        Event::Transition(transition) => transition,
    };
    let run = runs.get_mut(&number).ok_or("the run was never created")?;
    if let Transition::RunStarted { tasks, .. } = transition {
        for (task, _) in tasks {
            run.tasks.insert(task.clone(), (TaskState::None, 0));
        }
    }
    let task = match transition.task() {
        Some(id) => Some(run.tasks.get_mut(id).ok_or_else(|| format!("the run has no task {id}"))?),
        None => None,
    };
    match (transition, task) {
        (Transition::RunStarted { .. }, _) => run.state = RunState::Running,
        (Transition::RunEnded { state, .. }, _) => run.state = *state,
        (Transition::RunCancelled { .. }, _) => run.state = RunState::Failed,
        (Transition::RunReopened { .. } | Transition::RunGaveWay { .. }, _) => run.state = RunState::Queued,
        (Transition::TaskStarted { try_number, .. }, Some(task)) => match task.0 {
            TaskState::None | TaskState::UpForRetry | TaskState::UpForReschedule => {
                *task = (TaskState::Running, *try_number);
            }
            other => return Err(format!("a task starts while it is {other}")),
        },
        (Transition::TaskWaiting { try_number, .. }, Some(task)) => match task.0 {
            TaskState::None | TaskState::UpForRetry => *task = (TaskState::UpForReschedule, *try_number),
            other => return Err(format!("a task begins to wait while it is {other}")),
        },
        (Transition::TaskRescheduled { .. }, Some(task)) => match task.0 {
            TaskState::Running => task.0 = TaskState::UpForReschedule,
            other => return Err(format!("a task is rescheduled while it is {other}")),
        },
        (Transition::TaskRetry { .. }, Some(task)) => match task.0 {
            TaskState::Running | TaskState::UpForReschedule => task.0 = TaskState::UpForRetry,
            other => return Err(format!("a task is retried while it is {other}")),
        },
        (Transition::TaskEnded { state, .. }, Some(task)) => task.0 = *state,
        (Transition::TaskCleared { .. }, Some(task)) => task.0 = TaskState::None,
        (
            Transition::TaskStarted { .. }
            | Transition::TaskRetry { .. }
            | Transition::TaskWaiting { .. }
            | Transition::TaskRescheduled { .. }
            | Transition::TaskEnded { .. }
            | Transition::TaskCleared { .. },
            None,
        ) => return Err("a task's event names no task".to_owned()),
    }
    Ok(())
}

/// How a task came to its end, beside its state and the reason in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What it waited for in vain, where it ended because of that.
    pub awaited: Option<String>,
    /// Whether its run was ended before it.
    pub cut_off: bool,
}

impl Store {
    /// The number of the newest event; 0 when there is none.
    ///
    /// # Errors
    /// The database.
    pub fn last_event(&self) -> Result<i64, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT coalesce(max(id), 0) FROM events")?
            .query_row([], |row| row.get(0))?)
    }

    /// How a task came to its end, if nothing has become of it since; `None` while it has no end.
    ///
    /// # Errors
    /// The database; its newest event is unreadable.
    pub fn ending(&self, run: RunNumber, task: &TaskId) -> Result<Option<Ending>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, data FROM events WHERE run = ?1 AND task_id = ?2 ORDER BY id DESC LIMIT 1")?;
        let mut rows = statement.query((run.0, task.as_str()))?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let (id, data): (i64, String) = (row.get(0)?, row.get(1)?);
        let event: Event = serde_json::from_str(&data)
            .map_err(|error| StoreError::Impossible(format!("event {id} is unreadable: {error}")))?;
        Ok(match event {
            Event::Transition(Transition::TaskEnded { awaited, cut_off, .. }) => Some(Ending { awaited, cut_off }),
            Event::Transition(_) | Event::Created { .. } | Event::History(_) => None,
        })
    }

    /// The tables' own view of every run, in the form that `rebuild` gives: for comparing the two.
    pub(crate) fn current_states(&self) -> Result<BTreeMap<RunNumber, Rebuilt>, StoreError> {
        let mut runs = BTreeMap::new();
        let mut statement = self.connection.prepare("SELECT id, state FROM runs")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            runs.insert(RunNumber(row.get(0)?), Rebuilt { state: run_state(row, 1)?, tasks: BTreeMap::new() });
        }
        let mut statement = self.connection.prepare("SELECT run, task_id, state, try_number FROM task_instances")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let number = RunNumber(row.get(0)?);
            let run = runs
                .get_mut(&number)
                .ok_or_else(|| StoreError::Impossible(format!("a task without run {}", number.0)))?;
            run.tasks.insert(task_id(row, 1)?, (task_state(row, 2)?, row.get(3)?));
        }
        Ok(runs)
    }
}

impl Write<'_> {
    /// Applies one transition to the tables and appends it to the log.
    ///
    /// # Errors
    /// The database.
    pub fn apply(&self, transition: &Transition, now: Timestamp) -> Result<(), StoreError> {
        let at = Micros(now);
        let run = transition.run().0;
        match transition {
            Transition::RunStarted { version, tasks, .. } => {
                self.statement(
                    "UPDATE runs SET start_date = CASE state WHEN 'queued' THEN ?3 ELSE coalesce(start_date, ?3) END,
                     state = 'running', version_id = ?2, end_date = NULL, reason = NULL WHERE id = ?1",
                )?
                .execute((run, version, at))?;
                let mut insert = self.statement(
                    "INSERT INTO task_instances (run, task_id, state, max_tries) VALUES (?1, ?2, 'none', ?3)",
                )?;
                for (task, max_tries) in tasks {
                    insert.execute((run, task.as_str(), max_tries))?;
                }
            }
            Transition::RunEnded { state, reason, .. } => {
                self.statement(
                    "UPDATE runs SET state = ?2, end_date = ?3, reason = ?4, start_date = coalesce(start_date, ?3) WHERE id = ?1",
                )?
                .execute((run, state.as_str(), at, reason))?;
            }
            Transition::RunCancelled { reason, .. } => {
                self.statement("UPDATE runs SET state = 'failed', end_date = ?2, reason = ?3 WHERE id = ?1")?
                    .execute((run, at, reason))?;
            }
            Transition::RunReopened { .. } => {
                self.statement(
                    "UPDATE runs SET state = 'queued', queued_at = ?2, start_date = NULL, end_date = NULL, reason = NULL,
                     first_end_date = CASE WHEN is_reopened = 0 AND start_date IS NOT NULL THEN end_date
                                      ELSE first_end_date END,
                     first_start_date = CASE WHEN is_reopened = 0 THEN start_date ELSE first_start_date END,
                     is_reopened = 1 WHERE id = ?1",
                )?
                .execute((run, at))?;
            }
            // That it has started before says that it stays bound to its version.
            Transition::RunGaveWay { .. } => {
                self.statement("UPDATE runs SET state = 'queued', queued_at = ?2, reason = NULL WHERE id = ?1")?
                    .execute((run, at))?;
            }
            Transition::TaskStarted { task, try_number, .. } => {
                self.statement(
                    "UPDATE task_instances SET start_date = CASE state WHEN 'up_for_reschedule' THEN start_date ELSE ?4 END,
                     state = 'running', try_number = ?3, end_date = NULL, next_try_at = NULL, reason = NULL
                     WHERE run = ?1 AND task_id = ?2",
                )?
                .execute((run, task.as_str(), try_number, at))?;
            }
            Transition::TaskWaiting { task, try_number, .. } => {
                self.statement(
                    "UPDATE task_instances SET state = 'up_for_reschedule', try_number = ?3, start_date = ?4, end_date = NULL,
                     next_try_at = NULL, reason = NULL WHERE run = ?1 AND task_id = ?2",
                )?
                .execute((run, task.as_str(), try_number, at))?;
            }
            Transition::TaskRescheduled { task, next_poll_at, .. } => {
                self.statement(
                    "UPDATE task_instances SET state = 'up_for_reschedule', next_try_at = ?3
                     WHERE run = ?1 AND task_id = ?2",
                )?
                .execute((run, task.as_str(), Micros(*next_poll_at)))?;
            }
            Transition::TaskRetry { task, reason, next_try_at, .. } => {
                self.statement(
                    "UPDATE task_instances SET state = 'up_for_retry', end_date = ?3, next_try_at = ?4, reason = ?5
                     WHERE run = ?1 AND task_id = ?2",
                )?
                .execute((run, task.as_str(), at, Micros(*next_try_at), reason))?;
            }
            Transition::TaskEnded { task, state, reason, .. } => {
                self.statement(
                    "UPDATE task_instances SET state = ?3, end_date = ?4, next_try_at = NULL, reason = ?5
                     WHERE run = ?1 AND task_id = ?2",
                )?
                .execute((run, task.as_str(), state.as_str(), at, reason))?;
            }
            Transition::TaskCleared { run: number, task, max_tries, reason } => {
                self.withdraw_from_gates(*number, task, now)?;
                self.statement(
                    "UPDATE task_instances SET state = 'none', max_tries = ?3, start_date = NULL, end_date = NULL,
                     next_try_at = NULL, reason = ?4 WHERE run = ?1 AND task_id = ?2",
                )?
                .execute((run, task.as_str(), max_tries, reason))?;
            }
        }
        self.append(run, transition.task(), &Event::Transition(transition.clone()), now)
    }

    pub(super) fn append(
        &self,
        run: i64,
        task: Option<&TaskId>,
        event: &Event,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let data = serde_json::to_string(event).map_err(|error| StoreError::Impossible(error.to_string()))?;
        self.statement("INSERT INTO events (at, run, task_id, data) VALUES (?1, ?2, ?3, ?4)")?.execute((
            Micros(now),
            run,
            task.map(TaskId::as_str),
            data,
        ))?;
        Ok(())
    }

    pub(super) fn statement(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        Ok(self.tx.prepare_cached(sql)?)
    }
}

pub(super) fn run_state(row: &Row<'_>, column: usize) -> Result<RunState, StoreError> {
    let text: String = row.get(column)?;
    RunState::parse(&text).ok_or_else(|| StoreError::Impossible(format!("the state of a run is {text:?}")))
}

pub(super) fn task_state(row: &Row<'_>, column: usize) -> Result<TaskState, StoreError> {
    let text: String = row.get(column)?;
    TaskState::parse(&text).ok_or_else(|| StoreError::Impossible(format!("the state of a task is {text:?}")))
}

pub(super) fn task_id(row: &Row<'_>, column: usize) -> Result<TaskId, StoreError> {
    TaskId::new(row.get::<_, String>(column)?).map_err(|error| StoreError::Impossible(error.to_string()))
}
