//! Runs and their task instances: creating, finding, counting.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter, types::Value as SqlValue};
use serde_json::Value;

use super::journal::{Event, run_state, task_id, task_state};
use super::{Micros, Store, StoreError, Write};
use crate::dag::schedule::DataInterval;
use crate::dag::{DagId, Failures, RunNumber, RunState, RunType, TaskId, TaskState};

/// A run to be created in state queued.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct NewRun {
    pub dag_id: DagId,
    /// Unique within the DAG.
    pub run_id: String,
    /// Who asks for it.
    pub run_type: RunType,
    /// The data interval's start.
    pub logical_date: Timestamp,
    pub data_interval_end: Timestamp,
    /// Overrides of the DAG's params.
    pub params: BTreeMap<String, Value>,
    /// Only these tasks; `None` means all.
    pub selection: Option<Vec<TaskId>>,
    /// The backfill that it belongs to.
    pub backfill_id: Option<i64>,
}

/// One row of `runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunRow {
    pub number: RunNumber,
    pub dag_id: DagId,
    /// Unique within the DAG.
    pub run_id: String,
    /// Who asked for it.
    pub run_type: RunType,
    /// The data interval's start.
    pub logical_date: Timestamp,
    pub data_interval_end: Timestamp,
    pub state: RunState,
    /// The version of the DAG file that it is bound to, once it has started.
    pub version_id: Option<i64>,
    /// Overrides of the DAG's params.
    pub params: BTreeMap<String, Value>,
    /// Only these tasks; `None` means all.
    pub selection: Option<Vec<TaskId>>,
    /// The backfill that it belongs to.
    pub backfill_id: Option<i64>,
    /// When it was created, or reopened.
    pub queued_at: Timestamp,
    pub start_date: Option<Timestamp>,
    pub end_date: Option<Timestamp>,
    /// When it began and ended before somebody first took it up again.
    pub first: Option<(Timestamp, Timestamp)>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
    /// Somebody has taken it up again.
    pub is_reopened: bool,
}

impl NewRun {
    /// The data that it is about.
    pub fn interval(&self) -> DataInterval {
        DataInterval { start: self.logical_date, end: self.data_interval_end }
    }
}

impl RunRow {
    /// Somebody stopped it before it began, so it has failed at nothing: any other end has a start.
    pub fn was_cancelled(&self) -> bool {
        self.state == RunState::Failed && self.start_date.is_none()
    }

    /// The data that it is about.
    pub fn interval(&self) -> DataInterval {
        DataInterval { start: self.logical_date, end: self.data_interval_end }
    }
}

/// One row of `task_instances`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskInstance {
    pub task_id: TaskId,
    pub state: TaskState,
    /// Attempts begun.
    pub try_number: u32,
    /// Attempts it may take in all.
    pub max_tries: u32,
    /// When the newest attempt started.
    pub start_date: Option<Timestamp>,
    pub end_date: Option<Timestamp>,
    /// When the next attempt may start.
    pub next_try_at: Option<Timestamp>,
    /// Why it failed or was skipped.
    pub reason: Option<String>,
}

/// A run that has not ended, with what a driver needs to take it up.
#[derive(Debug, Clone, PartialEq)]
pub struct UnfinishedRun {
    pub run: RunRow,
    /// Its task instances; empty while it has never started.
    pub tasks: Vec<TaskInstance>,
}

/// One row of `backfills`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillRow {
    pub id: i64,
    pub dag_id: DagId,
    /// Its own limit of running runs; the DAG's when `None`.
    pub max_active_runs: Option<u32>,
    /// Newest first.
    pub is_reverse: bool,
    /// Interrupted: starts nothing new.
    pub is_held: bool,
}

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Of this DAG.
    pub dag_id: Option<DagId>,
    /// In this state.
    pub state: Option<RunState>,
    /// Logical date at or after.
    pub from: Option<Timestamp>,
    /// Logical date at or before.
    pub to: Option<Timestamp>,
    /// Ended at or after.
    pub ended_since: Option<Timestamp>,
    /// Started, and not ended before that.
    pub going_since: Option<Timestamp>,
    /// Started at or before.
    pub going_until: Option<Timestamp>,
    /// A task of it is `failed` or `upstream_failed`.
    pub failed_tasks: bool,
    /// Not made, nor reopened last, before its data interval had begun.
    pub not_made_ahead: bool,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

/// How many task instances of a run are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StateCounts {
    /// All of them.
    pub total: u32,
    /// Running now.
    pub running: u32,
    /// In a final state.
    pub ended: u32,
    /// In state `success`.
    pub success: u32,
    /// In state `skipped`.
    pub skipped: u32,
    /// Those that failed, or did not run because of that.
    pub failures: Failures,
}

/// How a run that is watched stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    pub number: RunNumber,
    /// Its logical date.
    pub logical_date: Timestamp,
    pub state: RunState,
    pub start_date: Option<Timestamp>,
    pub end_date: Option<Timestamp>,
    /// Its tasks; zeros while it has never started.
    pub tasks: StateCounts,
}

/// Of a run: a task of it failed, or was kept from running by one that did.
const FAILED_TASKS: &str = "EXISTS (SELECT 1 FROM task_instances WHERE run = runs.id \
                            AND task_instances.state IN ('failed', 'upstream_failed'))";

const COLUMNS: &str = "id, dag_id, run_id, run_type, logical_date, data_interval_end, state, version_id, params, selection, \
                       backfill_id, queued_at, start_date, end_date, reason, is_reopened, first_start_date, first_end_date";

fn run_row(row: &Row<'_>) -> Result<RunRow, StoreError> {
    let run_type: String = row.get(3)?;
    let params: String = row.get(8)?;
    let selection: Option<String> = row.get(9)?;
    let unreadable =
        |what: &str, error: &dyn std::fmt::Display| StoreError::Impossible(format!("runs.{what}: {error}"));
    Ok(RunRow {
        number: RunNumber(row.get(0)?),
        dag_id: DagId::new(row.get::<_, String>(1)?).map_err(|error| unreadable("dag_id", &error))?,
        run_id: row.get(2)?,
        run_type: RunType::parse(&run_type).ok_or_else(|| unreadable("run_type", &run_type))?,
        logical_date: row.get::<_, Micros>(4)?.0,
        data_interval_end: row.get::<_, Micros>(5)?.0,
        state: run_state(row, 6)?,
        version_id: row.get(7)?,
        params: serde_json::from_str(&params).map_err(|error| unreadable("params", &error))?,
        selection: selection
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| unreadable("selection", &error))?,
        backfill_id: row.get(10)?,
        queued_at: row.get::<_, Micros>(11)?.0,
        start_date: optional_time(row, 12)?,
        end_date: optional_time(row, 13)?,
        first: optional_time(row, 16)?.zip(optional_time(row, 17)?),
        reason: row.get(14)?,
        is_reopened: row.get(15)?,
    })
}

pub(super) fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.get::<_, Option<Micros>>(column)?.map(|micros| micros.0))
}

fn interval(row: &Row<'_>) -> rusqlite::Result<DataInterval> {
    Ok(DataInterval { start: row.get::<_, Micros>(0)?.0, end: row.get::<_, Micros>(1)?.0 })
}

/// The key of a run that is not manual, as [`of_interval`] gives it.
const OF_INTERVAL: &str = "dag_id = ?1 AND data_interval_end = ?2 AND logical_date = ?3 AND run_type <> 'manual'";

const MANUAL_OF_INTERVAL: &str = "dag_id = ?1 AND data_interval_end = ?2 AND logical_date = ?3 AND run_type = 'manual' \
                                  ORDER BY id DESC LIMIT 1";

fn of_interval(dag_id: &DagId, interval: DataInterval) -> [SqlValue; 3] {
    let micros = |at: Timestamp| SqlValue::Integer(at.as_microsecond());
    [SqlValue::Text(dag_id.to_string()), micros(interval.end), micros(interval.start)]
}

fn intervals_from(connection: &Connection, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT logical_date, data_interval_end FROM runs WHERE dag_id = ?1 AND data_interval_end >= ?2
         AND run_type <> 'manual' ORDER BY data_interval_end, logical_date",
    )?;
    let intervals = statement.query_map((dag_id.as_str(), Micros(from)), interval)?;
    Ok(intervals.collect::<rusqlite::Result<_>>()?)
}

fn last_scheduled(
    connection: &Connection,
    dag_id: &DagId,
    until: Timestamp,
) -> Result<Option<DataInterval>, StoreError> {
    // The index of all runs but the manual ones gives the order.
    let mut statement = connection.prepare_cached(
        "SELECT logical_date, data_interval_end FROM runs WHERE dag_id = ?1 AND data_interval_end <= ?2
         AND run_type <> 'manual' AND run_type = 'scheduled' ORDER BY data_interval_end DESC, logical_date DESC LIMIT 1",
    )?;
    Ok(statement.query_row((dag_id.as_str(), Micros(until)), interval).optional()?)
}

fn queued_scheduled_runs(connection: &Connection, dag_id: &DagId) -> Result<u32, StoreError> {
    let sql = "SELECT count(*) FROM runs WHERE dag_id = ?1 AND state = 'queued' AND run_type = 'scheduled'";
    Ok(connection.prepare_cached(sql)?.query_row([dag_id.as_str()], |row| row.get(0))?)
}

fn task_instances(connection: &Connection, run: RunNumber) -> Result<Vec<TaskInstance>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT task_id, state, try_number, max_tries, start_date, end_date, next_try_at, reason
         FROM task_instances WHERE run = ?1",
    )?;
    let mut rows = statement.query([run.0])?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        tasks.push(task_instance(row)?);
    }
    Ok(tasks)
}

fn task_instance(row: &Row<'_>) -> Result<TaskInstance, StoreError> {
    Ok(TaskInstance {
        task_id: task_id(row, 0)?,
        state: task_state(row, 1)?,
        try_number: row.get(2)?,
        max_tries: row.get(3)?,
        start_date: optional_time(row, 4)?,
        end_date: optional_time(row, 5)?,
        next_try_at: optional_time(row, 6)?,
        reason: row.get(7)?,
    })
}

impl Store {
    fn select_runs(&self, tail: &str, params: &[SqlValue]) -> Result<Vec<RunRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM runs {tail}"))?;
        let mut rows = statement.query(params_from_iter(params))?;
        let mut runs = Vec::new();
        while let Some(row) = rows.next()? {
            runs.push(run_row(row)?);
        }
        Ok(runs)
    }

    /// Runs by logical date, oldest first; with a limit, the newest ones.
    ///
    /// # Errors
    /// The database.
    pub fn runs(&self, filter: &RunFilter) -> Result<Vec<RunRow>, StoreError> {
        let mut conditions = Vec::new();
        let mut params: Vec<SqlValue> = Vec::new();
        let mut add = |condition: &str, value: SqlValue| {
            params.push(value);
            conditions.push(format!("{condition} ?{}", params.len()));
        };
        if let Some(dag_id) = &filter.dag_id {
            add("dag_id =", SqlValue::Text(dag_id.to_string()));
        }
        if let Some(state) = filter.state {
            // With a time the index of ends is the one to use, not that of states.
            let column = if filter.ended_since.is_some() { "+state =" } else { "state =" };
            add(column, SqlValue::Text(state.as_str().to_owned()));
        }
        if let Some(from) = filter.from {
            add("logical_date >=", SqlValue::Integer(from.as_microsecond()));
        }
        if let Some(to) = filter.to {
            add("logical_date <=", SqlValue::Integer(to.as_microsecond()));
        }
        if let Some(since) = filter.ended_since {
            add("end_date >=", SqlValue::Integer(since.as_microsecond()));
        }
        if let Some(until) = filter.going_until {
            add("start_date <=", SqlValue::Integer(until.as_microsecond()));
        }
        if let Some(since) = filter.going_since {
            add(
                "start_date IS NOT NULL AND coalesce(end_date, 9223372036854775807) >=",
                SqlValue::Integer(since.as_microsecond()),
            );
        }
        if filter.failed_tasks {
            conditions.push(FAILED_TASKS.to_owned());
        }
        if filter.not_made_ahead {
            conditions.push("queued_at >= logical_date".to_owned());
        }
        let wanted = if conditions.is_empty() { String::new() } else { format!("WHERE {}", conditions.join(" AND ")) };
        // An order that an index gives, however long the history. Without a DAG the newest runs are those created last.
        let order = match filter {
            RunFilter { ended_since: Some(_), .. } => "end_date DESC, id DESC",
            RunFilter { dag_id: Some(_), .. } => "logical_date DESC, id DESC",
            _ => "id DESC",
        };
        let limit = filter.limit.map_or_else(String::new, |limit| format!("LIMIT {limit}"));
        let mut runs = self.select_runs(&format!("{wanted} ORDER BY {order} {limit}"), &params)?;
        runs.sort_by_key(|a| (a.logical_date, a.number));
        Ok(runs)
    }

    /// Runs that have ended well since then although a task of them is `failed` or `upstream_failed`.
    pub(crate) fn successes_with_failed_tasks(&self, ended_since: Timestamp) -> Result<Vec<RunRow>, StoreError> {
        self.select_runs(
            // The `+`: of those that ended lately, not of all that ever succeeded.
            &format!("WHERE end_date >= ?1 AND +state = 'success' AND {FAILED_TASKS} ORDER BY end_date, id"),
            &[SqlValue::Integer(ended_since.as_microsecond())],
        )
    }

    /// The run of a DAG that started last, or was started again last.
    pub(crate) fn run_started_last(&self, dag_id: &DagId) -> Result<Option<RunRow>, StoreError> {
        let tail = "WHERE dag_id = ?1 AND start_date IS NOT NULL ORDER BY start_date DESC, id DESC LIMIT 1";
        Ok(self.select_runs(tail, &[SqlValue::Text(dag_id.to_string())])?.pop())
    }

    /// One run.
    ///
    /// # Errors
    /// The database.
    pub fn run(&self, number: RunNumber) -> Result<Option<RunRow>, StoreError> {
        Ok(self.select_runs("WHERE id = ?1", &[SqlValue::Integer(number.0)])?.pop())
    }

    /// The run of that DAG with that id.
    pub(crate) fn run_by_id(&self, dag_id: &DagId, run_id: &str) -> Result<Option<RunRow>, StoreError> {
        let params = [SqlValue::Text(dag_id.to_string()), SqlValue::Text(run_id.to_owned())];
        Ok(self.select_runs("WHERE dag_id = ?1 AND run_id = ?2", &params)?.pop())
    }

    /// All runs that have not ended, oldest logical date first.
    pub(crate) fn unfinished_runs(&self) -> Result<Vec<UnfinishedRun>, StoreError> {
        self.unfinished("state IN ('queued', 'running')", &[])
    }

    /// Unfinished runs that were created after run `after`.
    pub(crate) fn unfinished_runs_after(&self, after: RunNumber) -> Result<Vec<UnfinishedRun>, StoreError> {
        self.unfinished("state IN ('queued', 'running') AND id > ?1", &[SqlValue::Integer(after.0)])
    }

    fn unfinished(&self, condition: &str, params: &[SqlValue]) -> Result<Vec<UnfinishedRun>, StoreError> {
        let runs = self.select_runs(&format!("WHERE {condition} ORDER BY logical_date, id"), params)?;
        runs.into_iter()
            .map(|run| {
                let tasks = self.task_instances(run.number)?;
                Ok(UnfinishedRun { run, tasks })
            })
            .collect()
    }

    /// Whether any run that is not held by an interrupted backfill has yet to end.
    pub(crate) fn has_unfinished_runs(&self) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM runs LEFT JOIN backfills ON backfills.id = backfill_id
                 WHERE state IN ('queued', 'running') AND NOT coalesce(is_held, 0))",
            )?
            .query_row([], |row| row.get(0))?)
    }

    /// The number of the newest run; 0 when there is none.
    ///
    /// # Errors
    /// The database.
    pub fn last_run(&self) -> Result<RunNumber, StoreError> {
        Ok(RunNumber(
            self.connection.prepare_cached("SELECT coalesce(max(id), 0) FROM runs")?.query_row([], |row| row.get(0))?,
        ))
    }

    /// The task instances of a run, by task id.
    ///
    /// # Errors
    /// The database.
    pub fn task_instances(&self, run: RunNumber) -> Result<Vec<TaskInstance>, StoreError> {
        task_instances(&self.connection, run)
    }

    /// The interval's run.
    ///
    /// # Errors
    /// The database.
    pub fn interval_run(&self, dag_id: &DagId, interval: DataInterval) -> Result<Option<RunRow>, StoreError> {
        let tail = format!("WHERE {OF_INTERVAL}");
        Ok(self.select_runs(&tail, &of_interval(dag_id, interval))?.pop())
    }

    /// The newest manual run of exactly that interval.
    pub(crate) fn manual_run(&self, dag_id: &DagId, interval: DataInterval) -> Result<Option<RunRow>, StoreError> {
        Ok(self.select_runs(&format!("WHERE {MANUAL_OF_INTERVAL}"), &of_interval(dag_id, interval))?.pop())
    }

    /// The interval run of the DAG that comes before `interval`, for `depends_on_past`: the last of those whose own interval
    /// ends earlier, or ends at the same time and begins earlier.
    ///
    /// # Errors
    /// The database.
    pub fn run_before(&self, dag_id: &DagId, interval: DataInterval) -> Result<Option<RunRow>, StoreError> {
        let tail = "WHERE dag_id = ?1 AND (data_interval_end, logical_date) < (?2, ?3) AND run_type <> 'manual'
                    AND state <> 'skipped' ORDER BY data_interval_end DESC, logical_date DESC LIMIT 1";
        Ok(self.select_runs(tail, &of_interval(dag_id, interval))?.pop())
    }

    /// The intervals of all interval runs of a DAG that end at `from` or later, the earliest end first.
    ///
    /// # Errors
    /// The database.
    pub fn intervals_from(&self, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError> {
        intervals_from(&self.connection, dag_id, from)
    }

    /// The interval of the DAG's scheduled run that ends last, of those that end at `until` or before.
    pub(crate) fn last_scheduled(&self, dag_id: &DagId, until: Timestamp) -> Result<Option<DataInterval>, StoreError> {
        last_scheduled(&self.connection, dag_id, until)
    }

    /// How many scheduled runs of a DAG wait for their turn.
    pub(crate) fn queued_scheduled_runs(&self, dag_id: &DagId) -> Result<u32, StoreError> {
        queued_scheduled_runs(&self.connection, dag_id)
    }

    /// A backfill.
    ///
    /// # Errors
    /// The database.
    pub fn backfill(&self, id: i64) -> Result<Option<BackfillRow>, StoreError> {
        let found = self
            .connection
            .prepare_cached("SELECT id, dag_id, max_active_runs, is_reverse, is_held FROM backfills WHERE id = ?1")?
            .query_row([id], |row| Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?, row.get(3)?, row.get(4)?)))
            .optional()?;
        found
            .map(|(id, dag_id, max_active_runs, is_reverse, is_held)| match DagId::new(dag_id) {
                Ok(dag_id) => Ok(BackfillRow { id, dag_id, max_active_runs, is_reverse, is_held }),
                Err(error) => Err(StoreError::Impossible(format!("backfills.dag_id: {error}"))),
            })
            .transpose()
    }

    /// How these runs stand, oldest first. One that was removed is left out.
    pub(crate) fn progress(&self, runs: &[RunNumber]) -> Result<Vec<Progress>, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT logical_date, state, start_date, end_date FROM runs WHERE id = ?1")?;
        let mut progress = Vec::new();
        for &number in runs {
            let mut rows = statement.query([number.0])?;
            let Some(row) = rows.next()? else { continue };
            let state = run_state(row, 1)?;
            progress.push(Progress {
                number,
                logical_date: row.get::<_, Micros>(0)?.0,
                state,
                start_date: optional_time(row, 2)?,
                end_date: optional_time(row, 3)?,
                tasks: if state == RunState::Queued { StateCounts::default() } else { self.state_counts(number)? },
            });
        }
        progress.sort_by_key(|run| run.logical_date);
        Ok(progress)
    }

    /// How many task instances of a run are in which state.
    pub(crate) fn state_counts(&self, run: RunNumber) -> Result<StateCounts, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT count(*), coalesce(sum(state = 'running'), 0),
                 coalesce(sum(state IN ('success', 'failed', 'skipped', 'upstream_failed')), 0),
                 coalesce(sum(state = 'failed'), 0), coalesce(sum(state = 'upstream_failed'), 0),
                 coalesce(sum(state = 'success'), 0), coalesce(sum(state = 'skipped'), 0)
                 FROM task_instances WHERE run = ?1",
            )?
            .query_row([run.0], |row| {
                let failures = Failures { failed: row.get(3)?, upstream_failed: row.get(4)? };
                let (success, skipped) = (row.get(5)?, row.get(6)?);
                Ok(StateCounts {
                    total: row.get(0)?,
                    running: row.get(1)?,
                    ended: row.get(2)?,
                    success,
                    skipped,
                    failures,
                })
            })?)
    }
}

impl Write<'_> {
    /// Creates a run in state queued.
    ///
    /// Gives `None`, and changes nothing, when the interval has its run already (or the id is taken).
    ///
    /// # Errors
    /// The database.
    pub fn create_run(&self, run: &NewRun, now: Timestamp) -> Result<Option<RunNumber>, StoreError> {
        let number: Option<i64> = self
            .statement(
                // No number is given twice, also after the newest run was removed.
                "INSERT INTO runs (id, dag_id, run_id, run_type, logical_date, data_interval_end, state, params, selection,
                 backfill_id, queued_at) VALUES (
                 (SELECT 1 + max(coalesce((SELECT max(id) FROM runs), 0), CAST(value AS INTEGER))
                  FROM meta WHERE key = ?10),
                 ?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?7, ?8, ?9)
                 ON CONFLICT DO NOTHING RETURNING id",
            )?
            .query_row(
                (
                    run.dag_id.as_str(),
                    &run.run_id,
                    run.run_type.as_str(),
                    Micros(run.logical_date),
                    Micros(run.data_interval_end),
                    json(&run.params)?,
                    run.selection.as_ref().map(json).transpose()?,
                    run.backfill_id,
                    Micros(now),
                    super::history::LAST_NUMBER,
                ),
                |row| row.get(0),
            )
            .optional()?;
        if let Some(number) = number {
            self.append(number, None, &Event::Created { created: true }, now)?;
        }
        Ok(number.map(RunNumber))
    }

    /// As [`Store::run`], inside this transaction.
    ///
    /// # Errors
    /// The database.
    pub fn run(&self, number: RunNumber) -> Result<Option<RunRow>, StoreError> {
        let mut statement = self.statement(&format!("SELECT {COLUMNS} FROM runs WHERE id = ?1"))?;
        let mut rows = statement.query([number.0])?;
        rows.next()?.map(run_row).transpose()
    }

    /// As [`Store::task_instances`], inside this transaction.
    ///
    /// # Errors
    /// The database.
    pub fn task_instances(&self, run: RunNumber) -> Result<Vec<TaskInstance>, StoreError> {
        task_instances(&self.tx, run)
    }

    /// The interval's run, if it exists inside this transaction.
    ///
    /// # Errors
    /// The database.
    pub fn interval_run(&self, dag_id: &DagId, interval: DataInterval) -> Result<Option<RunRow>, StoreError> {
        let mut statement = self.statement(&format!("SELECT {COLUMNS} FROM runs WHERE {OF_INTERVAL}"))?;
        let mut rows = statement.query((dag_id.as_str(), Micros(interval.end), Micros(interval.start)))?;
        rows.next()?.map(run_row).transpose()
    }

    /// As [`Store::manual_run`], inside this transaction.
    pub(crate) fn manual_run(&self, dag_id: &DagId, interval: DataInterval) -> Result<Option<RunRow>, StoreError> {
        let mut statement = self.statement(&format!("SELECT {COLUMNS} FROM runs WHERE {MANUAL_OF_INTERVAL}"))?;
        let mut rows = statement.query((dag_id.as_str(), Micros(interval.end), Micros(interval.start)))?;
        rows.next()?.map(run_row).transpose()
    }

    /// As [`Store::intervals_from`], inside this transaction.
    ///
    /// # Errors
    /// The database.
    pub fn intervals_from(&self, dag_id: &DagId, from: Timestamp) -> Result<Vec<DataInterval>, StoreError> {
        intervals_from(&self.tx, dag_id, from)
    }

    /// As [`Store::last_scheduled`], inside this transaction.
    pub(crate) fn last_scheduled(&self, dag_id: &DagId, until: Timestamp) -> Result<Option<DataInterval>, StoreError> {
        last_scheduled(&self.tx, dag_id, until)
    }

    /// As [`Store::queued_scheduled_runs`], inside this transaction.
    pub(crate) fn queued_scheduled_runs(&self, dag_id: &DagId) -> Result<u32, StoreError> {
        queued_scheduled_runs(&self.tx, dag_id)
    }

    /// Begins a backfill and gives its number.
    ///
    /// # Errors
    /// The database.
    pub fn create_backfill(
        &self,
        dag_id: &DagId,
        max_active_runs: Option<u32>,
        is_reverse: bool,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        self.statement(
            "INSERT INTO backfills (dag_id, created_at, max_active_runs, is_reverse) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute((dag_id.as_str(), Micros(now), max_active_runs, is_reverse))?;
        Ok(self.tx.last_insert_rowid())
    }

    /// Interrupts a backfill, or lets it go on.
    ///
    /// # Errors
    /// The database.
    pub fn hold_backfill(&self, backfill: i64, is_held: bool) -> Result<(), StoreError> {
        self.statement("UPDATE backfills SET is_held = ?2 WHERE id = ?1")?.execute((backfill, is_held))?;
        Ok(())
    }

    /// Puts an existing run under a backfill and widens its selection of tasks.
    ///
    /// # Errors
    /// The database.
    pub fn assign_run(
        &self,
        run: RunNumber,
        backfill: Option<i64>,
        selection: Option<&[TaskId]>,
        params: &BTreeMap<String, Value>,
    ) -> Result<(), StoreError> {
        let selection = selection.map(|tasks| json(&tasks)).transpose()?;
        let params = json(params)?;
        self.statement(
            "UPDATE runs SET backfill_id = coalesce(?2, backfill_id), selection = ?3, params = ?4 WHERE id = ?1",
        )?
        .execute((run.0, backfill, selection, params))?;
        Ok(())
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Impossible(error.to_string()))
}
