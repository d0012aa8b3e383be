//! What clients ask of the driver. A client writes an intent and notifies the driver; the driver deletes it in the
//! transaction that carries it out, so each is carried out once.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Micros, Store, StoreError, Write};
use crate::dag::{RunNumber, TaskId, TaskState};

/// Something that only the driver may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Intent {
    /// Take an existing run up again.
    Rerun(Rerun),
    /// Set the state of one task instance, or of all that have not ended.
    Mark {
        run: RunNumber,
        /// The task; `None` means the whole run.
        task: Option<TaskId>,
        /// `success`, `failed` or `skipped`.
        state: TaskState,
        /// Who asked for it, for the record.
        by: String,
    },
    /// End the run: its attempts are stopped, what has not begun is skipped, the run fails.
    Stop {
        run: RunNumber,
        /// Who asked for it, for the record.
        by: String,
        /// Its processes have no grace, nor have those that were told to end before.
        #[serde(default)]
        at_once: bool,
    },
    /// Start nothing new of a backfill, or go on with it.
    HoldBackfill {
        backfill: i64,
        /// Hold or go on.
        hold: bool,
    },
    /// Stop the running attempts of a backfill; their tasks start again when it goes on.
    StopBackfill { backfill: i64 },
}

/// Which tasks of a run are done again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Rerun {
    pub run: RunNumber,
    /// The tasks to clear; they start again as if they had never run. Empty: only take the run up as it stands.
    pub clear: Vec<TaskId>,
    /// Clear every task.
    pub clear_all: bool,
    /// The backfill that now owns the run.
    pub backfill: Option<i64>,
    /// Which tasks the run has from now on; `None` means all of its DAG.
    pub selection: Option<Vec<TaskId>>,
    /// The run's params from now on.
    pub params: BTreeMap<String, Value>,
}

/// A stored intent.
#[derive(Debug, Clone, PartialEq)]
pub struct IntentRow {
    pub id: i64,
    /// What is asked.
    pub intent: Intent,
}

impl Store {
    /// What waits to be done, oldest first.
    ///
    /// # Errors
    /// The database.
    pub fn intents(&self) -> Result<Vec<IntentRow>, StoreError> {
        let mut statement = self.connection.prepare_cached("SELECT id, data FROM intents ORDER BY id")?;
        let mut rows = statement.query([])?;
        let mut intents = Vec::new();
        while let Some(row) = rows.next()? {
            let (id, data): (i64, String) = (row.get(0)?, row.get(1)?);
            let intent = serde_json::from_str(&data)
                .map_err(|error| StoreError::Impossible(format!("intent {id} is unreadable: {error}")))?;
            intents.push(IntentRow { id, intent });
        }
        Ok(intents)
    }

    /// Whether anything waits to be done, up to the intent with number `until`.
    ///
    /// # Errors
    /// The database.
    pub fn has_intents_until(&self, until: i64) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM intents WHERE id <= ?1)")?
            .query_row([until], |row| row.get(0))?)
    }
}

impl Write<'_> {
    /// Asks the driver; gives the intent's number.
    ///
    /// # Errors
    /// The database.
    pub fn ask(&self, intent: &Intent, now: Timestamp) -> Result<i64, StoreError> {
        let data = serde_json::to_string(intent).map_err(|error| StoreError::Impossible(error.to_string()))?;
        self.statement("INSERT INTO intents (at, data) VALUES (?1, ?2)")?.execute((Micros(now), data))?;
        Ok(self.tx.last_insert_rowid())
    }

    /// Forgets an intent that this transaction carries out.
    pub(crate) fn intent_done(&self, id: i64) -> Result<(), StoreError> {
        self.statement("DELETE FROM intents WHERE id = ?1")?.execute([id])?;
        Ok(())
    }
}
