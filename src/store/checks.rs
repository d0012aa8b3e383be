//! What checks recorded, by date: values with their verdicts, and the verdict of the whole check.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Row;
use rusqlite::types::Value as SqlValue;

use super::journal::task_id;
use super::{Micros, Store, StoreError, Write};
use crate::dag::{DagId, TaskId, Verdict};

/// One check of one date.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckRow {
    pub dag_id: DagId,
    pub task_id: TaskId,
    pub logical_date: Timestamp,
    /// Its local date in the DAG's zone.
    pub ds: String,
    /// The worst verdict in it.
    pub verdict: Verdict,
    /// What is said of it as a whole, a line each.
    pub findings: Vec<String>,
    /// When it was recorded.
    pub at: Timestamp,
}

/// One value of a check.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckValue {
    /// Which thing: a tag.
    pub key: String,
    /// Which number of it: the column's name.
    pub metric: String,
    /// The number; `None` when there was none.
    pub value: Option<f64>,
    /// What it was compared with.
    pub baseline: Option<f64>,
    pub verdict: Verdict,
    /// Why it is not ok.
    pub reason: Option<String>,
}

/// Which checks to give.
#[derive(Debug, Clone, Default)]
pub struct CheckFilter {
    /// Only this task's.
    pub task_id: Option<TaskId>,
    /// Only dates from this one on.
    pub since: Option<Timestamp>,
    /// Only dates before this one.
    pub before: Option<Timestamp>,
    /// Only checks that did not fail.
    pub only_good: bool,
    /// At most so many, the newest ones.
    pub limit: Option<u32>,
}

impl CheckFilter {
    /// Of one task, the newest `limit` dates before `date`.
    pub(crate) fn before(task_id: &TaskId, date: Timestamp, limit: u32) -> CheckFilter {
        CheckFilter { task_id: Some(task_id.clone()), before: Some(date), limit: Some(limit), ..CheckFilter::default() }
    }

    /// Of one task, the newest `limit` dates up to `date` and with it.
    pub(crate) fn up_to(task_id: &TaskId, date: Timestamp, limit: u32) -> CheckFilter {
        // The database counts in microseconds.
        let after = date.checked_add(SignedDuration::from_micros(1)).unwrap_or(Timestamp::MAX);
        CheckFilter::before(task_id, after, limit)
    }
}

const COLUMNS: &str = "dag_id, task_id, logical_date, ds, verdict, findings, at";

fn check(row: &Row<'_>) -> Result<CheckRow, StoreError> {
    let dag_id: String = row.get(0)?;
    let findings: String = row.get(5)?;
    Ok(CheckRow {
        dag_id: DagId::new(&dag_id).map_err(|error| StoreError::Impossible(error.to_string()))?,
        task_id: task_id(row, 1)?,
        logical_date: row.get::<_, Micros>(2)?.0,
        ds: row.get(3)?,
        verdict: verdict(row, 4)?,
        findings: serde_json::from_str(&findings).map_err(|error| StoreError::Impossible(error.to_string()))?,
        at: row.get::<_, Micros>(6)?.0,
    })
}

pub(super) fn verdict(row: &Row<'_>, column: usize) -> Result<Verdict, StoreError> {
    let text: String = row.get(column)?;
    Verdict::parse(&text).ok_or_else(|| StoreError::Impossible(format!("a verdict is {text:?}")))
}

impl Store {
    /// The checks of a DAG, newest date first.
    ///
    /// # Errors
    /// The database.
    pub fn checks(&self, dag_id: &DagId, filter: &CheckFilter) -> Result<Vec<CheckRow>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS} FROM checks WHERE dag_id = ?");
        let mut params = vec![SqlValue::Text(dag_id.to_string())];
        if let Some(task) = &filter.task_id {
            sql.push_str(" AND task_id = ?");
            params.push(SqlValue::Text(task.to_string()));
        }
        if let Some(since) = filter.since {
            sql.push_str(" AND logical_date >= ?");
            params.push(SqlValue::Integer(since.as_microsecond()));
        }
        if let Some(before) = filter.before {
            sql.push_str(" AND logical_date < ?");
            params.push(SqlValue::Integer(before.as_microsecond()));
        }
        if filter.only_good {
            sql.push_str(" AND verdict <> 'fail'");
        }
        sql.push_str(" ORDER BY logical_date DESC, task_id");
        if let Some(limit) = filter.limit {
            sql.push_str(" LIMIT ?");
            params.push(SqlValue::Integer(i64::from(limit)));
        }
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        let mut checks = Vec::new();
        while let Some(row) = rows.next()? {
            checks.push(check(row)?);
        }
        Ok(checks)
    }

    /// The values of one check of one date, by key and metric.
    pub(crate) fn check_values(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        logical_date: Timestamp,
    ) -> Result<Vec<CheckValue>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT key, metric, value, baseline, verdict, reason FROM check_values
             WHERE dag_id = ?1 AND task_id = ?2 AND logical_date = ?3 ORDER BY key, metric",
        )?;
        let mut rows = statement.query((dag_id.as_str(), task_id.as_str(), Micros(logical_date)))?;
        let mut values = Vec::new();
        while let Some(row) = rows.next()? {
            values.push(CheckValue {
                key: row.get(0)?,
                metric: row.get(1)?,
                value: row.get(2)?,
                baseline: row.get(3)?,
                verdict: verdict(row, 4)?,
                reason: row.get(5)?,
            });
        }
        Ok(values)
    }
}

impl Write<'_> {
    /// Records a check and its values in place of what the same date had.
    pub(crate) fn put_check(&self, check: &CheckRow, values: &[CheckValue]) -> Result<(), StoreError> {
        let (dag, task, date) = (check.dag_id.as_str(), check.task_id.as_str(), Micros(check.logical_date));
        self.statement("DELETE FROM check_values WHERE dag_id = ?1 AND task_id = ?2 AND logical_date = ?3")?
            .execute((dag, task, date))?;
        let findings =
            serde_json::to_string(&check.findings).map_err(|error| StoreError::Impossible(error.to_string()))?;
        self.statement(
            "INSERT INTO checks (dag_id, task_id, logical_date, ds, verdict, findings, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (dag_id, task_id, logical_date) DO UPDATE
             SET ds = excluded.ds, verdict = excluded.verdict, findings = excluded.findings, at = excluded.at",
        )?
        .execute((dag, task, date, &check.ds, check.verdict.as_str(), findings, Micros(check.at)))?;
        let mut insert = self.statement(
            "INSERT INTO check_values (dag_id, task_id, logical_date, key, metric, value, baseline, verdict, reason)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?;
        for value in values {
            let date = Micros(check.logical_date);
            insert.execute((
                dag,
                task,
                date,
                &value.key,
                &value.metric,
                value.value,
                value.baseline,
                value.verdict.as_str(),
                &value.reason,
            ))?;
        }
        Ok(())
    }
}
