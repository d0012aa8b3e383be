//! Backup, check and retention.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use rusqlite::backup::Backup;

use super::journal::rebuild;
use super::{Micros, Store, StoreError, Write};
use crate::dag::DagId;

/// What `crondag db check` found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// What is wrong; empty when all is well.
    pub problems: Vec<String>,
    /// Runs in the database.
    pub runs: u64,
    /// Events in the log.
    pub events: u64,
}

impl Store {
    /// Copies the database into a new file while others go on writing.
    ///
    /// # Errors
    /// The target exists, cannot be written, or the disk is full; a half-written target is removed.
    pub fn backup(&self, target: &Path) -> Result<(), StoreError> {
        let exists = |source| StoreError::File { path: target.display().to_string(), source };
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(target).map_err(exists)?;
        let copied = self.copy_into(target);
        if copied.is_err() {
            // The error that matters is the copy's; a leftover would only look like a backup.
            let _ = fs::remove_file(target);
        }
        copied
    }

    fn copy_into(&self, target: &Path) -> Result<(), StoreError> {
        let mut copy = Connection::open(target).map_err(|error| StoreError::open(target, error))?;
        let backup = Backup::new(&self.connection, &mut copy)?;
        backup
            .run_to_completion(1_000, Duration::from_millis(1), None)
            .map_err(|error| StoreError::open(target, error))?;
        drop(backup);
        copy.execute_batch("PRAGMA journal_mode = DELETE;").map_err(|error| StoreError::open(target, error))?;
        fs::File::open(target)
            .and_then(|file| file.sync_all())
            .map_err(|source| StoreError::File { path: target.display().to_string(), source })
    }

    /// Checks the file's structure, its references, and that folding the event log gives the tables back.
    ///
    /// # Errors
    /// The database.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        let mut statement = self.connection.prepare("PRAGMA integrity_check(20)")?;
        for line in statement.query_map([], |row| row.get::<_, String>(0))? {
            let line = line?;
            if line != "ok" {
                report.problems.push(format!("integrity: {line}"));
            }
        }
        let mut statement = self.connection.prepare("PRAGMA foreign_key_check")?;
        for line in statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Option<i64>>(1)?)))? {
            let (table, row) = line?;
            report.problems.push(format!("references: row {row:?} of {table} refers to nothing"));
        }
        report.runs = self.count("runs")?;
        report.events = self.count("events")?;
        match rebuild(self) {
            Ok(rebuilt) => {
                let current = self.current_states()?;
                for (number, run) in &current {
                    match rebuilt.get(number) {
                        Some(expected) if expected == run => {}
                        Some(_) => report.problems.push(format!("event log: run {} differs from its tables", number.0)),
                        None => report.problems.push(format!("event log: run {} is missing", number.0)),
                    }
                }
            }
            Err(error) => report.problems.push(format!("event log: {error}")),
        }
        Ok(report)
    }

    fn count(&self, table: &str) -> Result<u64, StoreError> {
        let count: i64 = self.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(count.try_into().unwrap_or(0))
    }

    /// Runs that ended from `after` on and before `before`: their logs may go.
    pub(crate) fn runs_ended_between(
        &self,
        after: Timestamp,
        before: Timestamp,
    ) -> Result<Vec<(DagId, String)>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT dag_id, run_id FROM runs WHERE end_date IS NOT NULL AND end_date >= ?1 AND end_date < ?2
             AND state IN ('success', 'failed', 'skipped')",
        )?;
        let rows = statement.query_map((Micros(after), Micros(before)), |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })?;
        rows.map(|row| {
            let (dag_id, run_id) = row?;
            let dag_id = DagId::new(dag_id).map_err(|error| StoreError::Impossible(error.to_string()))?;
            Ok((dag_id, run_id))
        })
        .collect()
    }
}

impl Write<'_> {
    /// Removes at most `most` runs that ended before a time, with all that belongs to them. Gives the DAG and the id of
    /// each. The newest run and the one of the newest event stay: by their numbers others see that there is news. A run for
    /// which another waits or will wait (`depends_on_past`) stays as well: the one before an unfinished run, and the last one of
    /// each DAG.
    pub(crate) fn forget_runs(&self, before: Timestamp, most: u32) -> Result<Vec<(DagId, String)>, StoreError> {
        let mut statement = self.statement(
            "SELECT id, dag_id, run_id FROM runs WHERE end_date < ?1 AND state IN ('success', 'failed', 'skipped')
             AND id < (SELECT max(id) FROM runs) AND id <> (SELECT run FROM events ORDER BY id DESC LIMIT 1)
             AND (run_type = 'manual' OR (
                 SELECT next.state NOT IN ('queued', 'running') FROM runs AS next
                 WHERE next.dag_id = runs.dag_id AND next.run_type <> 'manual' AND
                 (next.data_interval_end, next.logical_date) > (runs.data_interval_end, runs.logical_date)
                 ORDER BY next.data_interval_end, next.logical_date LIMIT 1))
             ORDER BY end_date, id LIMIT ?2",
        )?;
        let rows = statement.query_map((Micros(before), most), |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
        })?;
        let mut forgotten = Vec::new();
        for row in rows {
            let (id, dag_id, run_id) = row?;
            self.statement("DELETE FROM events WHERE run = ?1")?.execute([id])?;
            self.statement("DELETE FROM runs WHERE id = ?1")?.execute([id])?;
            let dag_id = DagId::new(dag_id).map_err(|error| StoreError::Impossible(error.to_string()))?;
            forgotten.push((dag_id, run_id));
        }
        Ok(forgotten)
    }

    /// Removes mail that was delivered or given up and written before a time.
    pub(crate) fn forget_mail(&self, before: Timestamp) -> Result<(), StoreError> {
        self.statement("DELETE FROM outbox WHERE next_try_at IS NULL AND created_at < ?1")?
            .execute([Micros(before)])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::ToSpan;

    use super::*;
    use crate::dag::{RunNumber, RunState, RunType, Transition};
    use crate::store::{NewRun, Store};

    #[test]
    fn a_run_for_which_another_waits_is_kept_and_so_is_the_last_of_a_dag() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(&folder.path().join("db")).unwrap();
        let write = store.write().unwrap();
        let day = |number: i64| Timestamp::UNIX_EPOCH + (24 * number).hours();
        let run = |dag: &str, run_type: RunType, number: i64, state: Option<RunState>| -> RunNumber {
            let new = NewRun {
                dag_id: DagId::new(dag).unwrap(),
                run_id: format!("{run_type}__{number}"),
                run_type,
                logical_date: day(number),
                data_interval_end: day(number + 1),
                params: BTreeMap::new(),
                selection: None,
                backfill_id: None,
            };
            let run = write.create_run(&new, day(0)).unwrap().unwrap();
            if let Some(state) = state {
                write.apply(&Transition::RunEnded { run, state, reason: None }, day(0)).unwrap();
            }
            run
        };
        let (good, bad) = (Some(RunState::Success), Some(RunState::Failed));
        for (number, state) in [(1, good), (2, bad), (3, None), (4, good)] {
            run("waits", RunType::Scheduled, number, state);
        }
        run("waits", RunType::Manual, 2, good);
        // The run to come will wait for the last one.
        for (number, state) in [(1, good), (2, bad)] {
            run("yearly", RunType::Scheduled, number, state);
        }
        run("other", RunType::Scheduled, 9, good);
        let mut forgotten = write.forget_runs(day(1), 100).unwrap();
        forgotten.sort();
        let names: Vec<String> = forgotten.iter().map(|(dag, run)| format!("{dag} {run}")).collect();
        assert_eq!(names, ["waits manual__2", "waits scheduled__1", "yearly scheduled__1"]);
    }
}
