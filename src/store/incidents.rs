//! Incidents: how long a DAG has been failing, and who has been told.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};

use super::runs::optional_time;
use super::{Micros, Store, StoreError, Write};
use crate::dag::RunNumber;

/// From the first failure of a DAG that people wanted to hear of to its first good run. The newest one of each DAG is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// When the first failure was.
    pub opened_at: Timestamp,
    /// When the DAG had its first good run; `None` while it fails.
    pub closed_at: Option<Timestamp>,
    /// Failed tasks, and runs that failed without one, since it was opened.
    pub failures: u32,
    /// The runs that these were in.
    pub failed_runs: u32,
    /// When people were last told of a failure.
    pub told_at: Timestamp,
    /// How often they have been reminded.
    pub reminders: u32,
    /// How often it came back soon after it was over.
    pub returns: u32,
    /// Whether people were told of a failure since it was last over.
    pub is_told: bool,
    /// Who was told.
    pub told: Vec<String>,
    /// The failed runs that had not ended when they were counted.
    pub runs: Vec<RunNumber>,
}

const COLUMNS: &str = "opened_at, closed_at, failures, failed_runs, told_at, reminders, returns, is_told, told, runs";

fn incident(row: &Row<'_>) -> Result<Incident, StoreError> {
    let json = |column: usize| -> Result<String, StoreError> { Ok(row.get(column)?) };
    let impossible = |error: serde_json::Error| StoreError::Impossible(format!("an incident: {error}"));
    Ok(Incident {
        opened_at: row.get::<_, Micros>(0)?.0,
        closed_at: optional_time(row, 1)?,
        failures: row.get(2)?,
        failed_runs: row.get(3)?,
        told_at: row.get::<_, Micros>(4)?.0,
        reminders: row.get(5)?,
        returns: row.get(6)?,
        is_told: row.get(7)?,
        told: serde_json::from_str(&json(8)?).map_err(impossible)?,
        runs: serde_json::from_str(&json(9)?).map_err(impossible)?,
    })
}

impl Store {
    /// The newest incident of a DAG, open or over.
    ///
    /// # Errors
    /// The database.
    pub fn incident(&self, dag_id: &str) -> Result<Option<Incident>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM incidents WHERE dag_id = ?1");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([dag_id])?;
        rows.next()?.map(incident).transpose()
    }
}

impl Write<'_> {
    /// As [`Store::incident`].
    ///
    /// # Errors
    /// The database.
    pub fn incident(&self, dag_id: &str) -> Result<Option<Incident>, StoreError> {
        let mut statement = self.statement(&format!("SELECT {COLUMNS} FROM incidents WHERE dag_id = ?1"))?;
        let mut rows = statement.query([dag_id])?;
        rows.next()?.map(incident).transpose()
    }

    /// The DAG of a run and the run's id, when an incident of the DAG is open.
    pub(crate) fn failing_dag_of(&self, run: RunNumber) -> Result<Option<(String, String)>, StoreError> {
        let sql = "SELECT incidents.dag_id, run_id FROM runs JOIN incidents USING (dag_id)
                   WHERE runs.id = ?1 AND start_date IS NOT NULL AND closed_at IS NULL";
        Ok(self.statement(sql)?.query_row([run.0], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    /// The DAG of a run.
    pub(crate) fn dag_of(&self, run: RunNumber) -> Result<Option<String>, StoreError> {
        let mut statement = self.statement("SELECT dag_id FROM runs WHERE id = ?1")?;
        Ok(statement.query_row([run.0], |row| row.get(0)).optional()?)
    }

    /// Whether a task of the run failed.
    pub(crate) fn has_failed_task(&self, run: RunNumber) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM task_instances WHERE run = ?1 AND state = 'failed')";
        Ok(self.statement(sql)?.query_row([run.0], |row| row.get(0))?)
    }

    /// Whether the run is queued or runs.
    pub(crate) fn is_unfinished(&self, run: RunNumber) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM runs WHERE id = ?1 AND state IN ('queued', 'running'))";
        Ok(self.statement(sql)?.query_row([run.0], |row| row.get(0))?)
    }

    /// Puts an incident in the place of the one that the DAG had.
    pub(crate) fn put_incident(&self, dag_id: &str, incident: &Incident) -> Result<(), StoreError> {
        let impossible = |error: serde_json::Error| StoreError::Impossible(format!("an incident: {error}"));
        let told = serde_json::to_string(&incident.told).map_err(impossible)?;
        let runs = serde_json::to_string(&incident.runs).map_err(impossible)?;
        let sql = format!(
            "INSERT OR REPLACE INTO incidents (dag_id, {COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)"
        );
        self.statement(&sql)?.execute((
            dag_id,
            Micros(incident.opened_at),
            incident.closed_at.map(Micros),
            incident.failures,
            incident.failed_runs,
            Micros(incident.told_at),
            incident.reminders,
            incident.returns,
            incident.is_told,
            told,
            runs,
        ))?;
        Ok(())
    }
}
