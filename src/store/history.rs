//! The history of a DAG as a whole: given another name, or removed.

use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::journal::{Event, HistoryEvent};
use super::{Store, StoreError, Write};
use crate::dag::DagId;

/// What the database knows of a DAG.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct History {
    pub runs: u32,
    /// Those that have not ended, or of which an attempt may still live.
    pub unfinished: u32,
}

const HISTORY: &str = "SELECT count(*), count(CASE WHEN state IN ('queued', 'running')
                       OR EXISTS (SELECT 1 FROM attempts WHERE run = runs.id AND ended_at IS NULL) THEN 1 END)
                       FROM runs WHERE dag_id = ?1";

impl Store {
    /// What is known of a DAG.
    ///
    /// # Errors
    /// The database.
    pub fn history(&self, dag_id: &DagId) -> Result<History, StoreError> {
        Ok(self
            .connection
            .prepare_cached(HISTORY)?
            .query_row([dag_id.as_str()], |row| Ok(History { runs: row.get(0)?, unfinished: row.get(1)? }))?)
    }
}

impl Write<'_> {
    /// As [`Store::history`], inside this transaction.
    ///
    /// # Errors
    /// The database.
    pub fn history(&self, dag_id: &DagId) -> Result<History, StoreError> {
        Ok(self
            .statement(HISTORY)?
            .query_row([dag_id.as_str()], |row| Ok(History { runs: row.get(0)?, unfinished: row.get(1)? }))?)
    }

    /// Gives everything that is recorded of a DAG another name. What a tick has noted of a file of the new name gives way; it
    /// must have no runs. `logs` says where the logs of either lie, relative to the home.
    pub(crate) fn rename_dag(
        &self,
        (from, to): (&DagId, &DagId),
        logs: impl Fn(&DagId) -> String,
        by: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        for table in ["dags", "dag_versions", "incidents", "troubles"] {
            self.tx.execute(&format!("DELETE FROM {table} WHERE dag_id = ?1"), [to.as_str()])?;
        }
        // They speak of the file of the old name.
        self.tx.execute("DELETE FROM troubles WHERE dag_id = ?1", [from.as_str()])?;
        for table in self.tables_about_dags()? {
            self.tx
                .execute(&format!("UPDATE {table} SET dag_id = ?2 WHERE dag_id = ?1"), [from.as_str(), to.as_str()])?;
        }
        self.tx.execute(
            "UPDATE attempts SET log_file = ?2 || substr(log_file, 1 + length(?1))
             WHERE run IN (SELECT id FROM runs WHERE dag_id = ?3) AND substr(log_file, 1, length(?1)) = ?1",
            (logs(from), logs(to), to.as_str()),
        )?;
        let event = HistoryEvent::DagRenamed { from: from.clone(), to: to.clone(), by: by.to_owned() };
        self.append(0, None, &Event::History(event), now)
    }

    /// Removes everything that is recorded of a DAG, but for mail that is still to be sent. With `keeps_schedule` it is still
    /// known until when it was scheduled and whether it is paused.
    pub(crate) fn forget_dag(
        &self,
        dag_id: &DagId,
        keeps_schedule: bool,
        by: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let id = [dag_id.as_str()];
        // A driver sees by the numbers that there is news: none is given twice.
        let last: Option<i64> =
            self.tx.query_row("SELECT max(id) FROM runs", [], |row| row.get::<_, Option<i64>>(0)).optional()?.flatten();
        if let Some(last) = last.max(self.last_number()?) {
            self.set_meta(LAST_NUMBER, &last.to_string())?;
        }
        self.tx.execute("DELETE FROM events WHERE run IN (SELECT id FROM runs WHERE dag_id = ?1)", id)?;
        self.tx.execute("DELETE FROM runs WHERE dag_id = ?1", id)?;
        for table in self.tables_about_dags()? {
            let rest = match table.as_str() {
                "dags" if keeps_schedule => continue,
                // The version that its file has is still the one to run.
                "dag_versions" if keeps_schedule => {
                    " AND id NOT IN (SELECT version_id FROM dags WHERE version_id IS NOT NULL)"
                }
                "outbox" => " AND next_try_at IS NULL AND (digest IS NULL OR sent_at IS NOT NULL)",
                _ => "",
            };
            self.tx.execute(&format!("DELETE FROM {table} WHERE dag_id = ?1{rest}"), id)?;
        }
        let event = HistoryEvent::DagDeleted { dag: dag_id.clone(), by: by.to_owned() };
        self.append(0, None, &Event::History(event), now)
    }

    fn last_number(&self) -> Result<Option<i64>, StoreError> {
        let mut statement = self.statement("SELECT CAST(value AS INTEGER) FROM meta WHERE key = ?1")?;
        Ok(statement.query_row([LAST_NUMBER], |row| row.get(0)).optional()?)
    }

    /// Every table that names DAGs; those that others refer to come last.
    fn tables_about_dags(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.statement(
            "SELECT tables.name FROM sqlite_master AS tables JOIN pragma_table_info(tables.name) AS columns
             WHERE tables.type = 'table' AND columns.name = 'dag_id'
             ORDER BY tables.name = 'dag_versions', tables.name",
        )?;
        let names = statement.query_map([], |row| row.get(0))?;
        Ok(names.collect::<Result<_, _>>()?)
    }
}

/// The key of `meta` under which the highest number of a run that was removed stands.
pub(super) const LAST_NUMBER: &str = "last_run_removed";
