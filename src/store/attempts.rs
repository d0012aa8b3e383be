//! Attempts: one row for each execution of a task instance.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::Row;

use super::journal::task_id;
use super::runs::optional_time;
use super::{Micros, Store, StoreError, Write};
use crate::dag::{DagId, RunNumber, TaskId};

/// An attempt that is about to start.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct NewAttempt<'a> {
    pub run: RunNumber,
    pub task: &'a TaskId,
    /// 1 for the first attempt.
    pub try_number: u32,
    /// Unique among all attempts.
    pub token: &'a str,
    /// Relative to the home.
    pub log_file: &'a str,
    /// When it could have started: from then on it waited for a slot alone.
    pub ready_at: Timestamp,
    /// The machine.
    pub host: &'a str,
}

/// Processes that were alive when an attempt's program had ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftProcesses {
    /// Those that were ended.
    pub ended: u32,
    /// Those that were left, because the task says so.
    pub running: u32,
}

/// One row of `attempts`.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub run: RunNumber,
    pub task_id: TaskId,
    /// 1 for the first attempt.
    pub try_number: u32,
    /// Unique among all attempts.
    pub token: String,
    /// Relative to the home.
    pub log_file: String,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// When its end was recorded; `None` while it lives.
    pub ended_at: Option<Timestamp>,
    /// How it ended, as the shim wrote it: JSON.
    pub ending: Option<String>,
    /// CPU time of its process tree, in seconds.
    pub cpu_seconds: Option<f64>,
    /// Peak memory of its largest process, in bytes.
    pub max_rss_bytes: Option<u64>,
    /// Where in the log its output begins and ends, in bytes, as far as that is known.
    pub printed: Option<(u64, u64)>,
    /// When it could have started, if that is known.
    pub ready_at: Option<Timestamp>,
    /// The machine, if that is known.
    pub host: Option<String>,
}

/// Which attempts to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFilter {
    /// Of this DAG.
    pub dag_id: DagId,
    /// Of this task.
    pub task: Option<String>,
    /// Not ended before that.
    pub going_since: Option<Timestamp>,
    /// Started at or before.
    pub going_until: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: Option<u32>,
}

const COLUMNS: &str = "run, task_id, try_number, token, log_file, started_at, ended_at, ending, cpu_seconds, max_rss_bytes, printed_from, printed_until, \
                       ready_at, host";

fn attempt(row: &Row<'_>) -> Result<Attempt, StoreError> {
    let count = |column: usize| -> rusqlite::Result<Option<u64>> {
        Ok(row.get::<_, Option<i64>>(column)?.and_then(|number| u64::try_from(number).ok()))
    };
    Ok(Attempt {
        run: RunNumber(row.get(0)?),
        task_id: task_id(row, 1)?,
        try_number: row.get(2)?,
        token: row.get(3)?,
        log_file: row.get(4)?,
        started_at: row.get::<_, Micros>(5)?.0,
        ended_at: optional_time(row, 6)?,
        ending: row.get(7)?,
        cpu_seconds: row.get(8)?,
        max_rss_bytes: count(9)?,
        printed: count(10)?.zip(count(11)?),
        ready_at: optional_time(row, 12)?,
        host: row.get(13)?,
    })
}

impl Store {
    /// Attempts whose end is not recorded.
    pub(crate) fn open_attempts(&self) -> Result<Vec<Attempt>, StoreError> {
        self.attempts_where("ended_at IS NULL ORDER BY run", [])
    }

    /// What the attempts of a run had left when they ended, by task and number; those that had left nothing are not there.
    pub(crate) fn left_processes(&self, run: RunNumber) -> Result<BTreeMap<(TaskId, u32), LeftProcesses>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT task_id, try_number, left_behind, left_running FROM attempts
             WHERE run = ?1 AND left_behind + left_running > 0",
        )?;
        let mut rows = statement.query([run.0])?;
        let mut found = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let left = LeftProcesses { ended: row.get(2)?, running: row.get(3)? };
            found.insert((task_id(row, 0)?, row.get(1)?), left);
        }
        Ok(found)
    }

    /// Whether any attempt's end is not recorded.
    ///
    /// # Errors
    /// The database.
    pub fn has_open_attempts(&self) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM attempts WHERE ended_at IS NULL)")?
            .query_row([], |row| row.get(0))?)
    }

    /// All attempts of a run, by task and try.
    pub(crate) fn attempts_of_run(&self, run: RunNumber) -> Result<Vec<Attempt>, StoreError> {
        self.attempts_where("run = ?1 ORDER BY task_id, try_number", [run.0])
    }

    /// All attempts of a task instance, oldest first.
    ///
    /// # Errors
    /// The database.
    pub fn attempts(&self, run: RunNumber, task: &TaskId) -> Result<Vec<Attempt>, StoreError> {
        self.attempts_where("run = ?1 AND task_id = ?2 ORDER BY try_number", (run.0, task.as_str()))
    }

    /// Attempts of a DAG, in the order in which they started; with a limit, the newest ones.
    pub(crate) fn attempts_of_dag(&self, filter: &AttemptFilter) -> Result<Vec<Attempt>, StoreError> {
        let until = filter.going_until.map_or(i64::MAX, Timestamp::as_microsecond);
        let since = filter.going_since.map_or(i64::MIN, Timestamp::as_microsecond);
        let limit = filter.limit.map_or(-1, i64::from);
        let mut attempts = self.attempts_where(
            "run IN (SELECT id FROM runs WHERE dag_id = ?1) AND task_id = coalesce(?2, task_id) AND started_at <= ?3
             AND coalesce(ended_at, 9223372036854775807) >= ?4 ORDER BY started_at DESC, run DESC, task_id DESC LIMIT ?5",
            (filter.dag_id.as_str(), &filter.task, until, since, limit),
        )?;
        attempts.reverse();
        Ok(attempts)
    }

    fn attempts_where(&self, condition: &str, params: impl rusqlite::Params) -> Result<Vec<Attempt>, StoreError> {
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM attempts WHERE {condition}"))?;
        let mut rows = statement.query(params)?;
        let mut attempts = Vec::new();
        while let Some(row) = rows.next()? {
            attempts.push(attempt(row)?);
        }
        Ok(attempts)
    }
}

impl Write<'_> {
    /// Claims an attempt. A second claim of the same attempt is an error, unless the first has ended: a sensor polls again
    /// and again within one attempt.
    ///
    /// # Errors
    /// The database.
    pub fn begin_attempt(&self, attempt: &NewAttempt<'_>, now: Timestamp) -> Result<(), StoreError> {
        let claimed = self
            .statement(
                "INSERT INTO attempts (run, task_id, try_number, token, log_file, started_at, ready_at, host)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
                 ON CONFLICT (run, task_id, try_number) DO UPDATE SET token = excluded.token, ended_at = NULL, ending = NULL
                 WHERE ended_at IS NOT NULL",
            )?
            .execute((
                attempt.run.0,
                attempt.task.as_str(),
                attempt.try_number,
                attempt.token,
                attempt.log_file,
                Micros(now),
                Micros(attempt.ready_at),
                attempt.host,
            ))?;
        if claimed == 0 {
            let NewAttempt { run, task, try_number, .. } = attempt;
            return Err(StoreError::Impossible(format!(
                "try {try_number} of {task} in run {} is claimed twice",
                run.0
            )));
        }
        Ok(())
    }

    /// Records how an attempt ended. `ending` is JSON; CPU time in seconds, memory in bytes.
    ///
    /// # Errors
    /// The database.
    pub fn end_attempt(
        &self,
        (run, task, try_number): (RunNumber, &TaskId, u32),
        ending: &str,
        usage: Option<(f64, u64)>,
        left: LeftProcesses,
        printed: Option<(u64, u64)>,
        ended_at: Timestamp,
    ) -> Result<(), StoreError> {
        let cpu_seconds = usage.map(|(cpu, _)| cpu);
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let max_rss_bytes = usage.map(|(_, rss)| number(rss));
        self.statement(
            "UPDATE attempts SET ended_at = ?4, ending = ?5, cpu_seconds = ?6, max_rss_bytes = ?7, left_behind = ?8, left_running = ?9,
                                 printed_from = ?10, printed_until = ?11
             WHERE run = ?1 AND task_id = ?2 AND try_number = ?3",
        )?
        .execute((
            run.0,
            task.as_str(),
            try_number,
            Micros(ended_at),
            ending,
            cpu_seconds,
            max_rss_bytes,
            left.ended,
            left.running,
            printed.map(|(from, _)| number(from)),
            printed.map(|(_, until)| number(until)),
        ))?;
        Ok(())
    }
}
