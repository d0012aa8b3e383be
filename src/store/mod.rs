//! The only SQL about runs: one `SQLite` database per home.
//!
//! Writers take the write lock when they begin (`IMMEDIATE`), so that a busy database makes them wait instead of
//! failing half-way. `synchronous=FULL`: what was committed survives power loss.

mod attempts;
mod checks;
mod dags;
mod error;
mod gates;
mod history;
mod incidents;
mod intents;
mod journal;
mod maintenance;
mod outbox;
#[cfg(test)]
mod query_plans;
mod runs;
mod troubles;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

pub(crate) use attempts::{Attempt, AttemptFilter};
pub use attempts::{LeftProcesses, NewAttempt};
pub(crate) use checks::{CheckFilter, CheckRow, CheckValue};
pub use dags::DagRow;
pub use error::StoreError;
pub(crate) use gates::{Gate, GateDecision, Published};
pub(crate) use history::History;
pub(crate) use incidents::Incident;
pub(crate) use intents::IntentRow;
pub use intents::{Intent, Rerun};
pub use outbox::{NewNotice, WaitingNotice, Way};
pub use runs::{NewRun, RunFilter};
pub(crate) use runs::{Progress, RunRow, TaskInstance, UnfinishedRun};
pub(crate) use troubles::{Trouble, TroubleKey, TroubleRow};

/// The migrations, oldest first; `PRAGMA user_version` says how many have been applied.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001.sql"),
    include_str!("migrations/0002.sql"),
    include_str!("migrations/0003.sql"),
    include_str!("migrations/0004.sql"),
    include_str!("migrations/0005.sql"),
    include_str!("migrations/0006.sql"),
    include_str!("migrations/0007.sql"),
    include_str!("migrations/0008.sql"),
    include_str!("migrations/0009.sql"),
    include_str!("migrations/0010.sql"),
];

/// How long a writer waits for another one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(60);

/// What [`Store::change_token`] gives: only to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChangeToken(i64);

/// An open database.
pub struct Store {
    connection: Connection,
    path: PathBuf,
}

impl Store {
    /// Opens the database, makes it when missing, and brings it up to date.
    ///
    /// # Errors
    /// The database is corrupt, locked for longer than a minute, newer than this program, or the disk fails.
    pub fn open(path: &Path) -> Result<Store, StoreError> {
        Store::open_unless_used(path, || Ok(()))
    }

    /// As [`Store::open`]. Before the database of an older program is brought up to date, `make_way` has to make sure that no
    /// older program works with that database any more.
    ///
    /// # Errors
    /// As [`Store::open`], and those of `make_way`.
    pub(crate) fn open_unless_used(
        path: &Path,
        make_way: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<Store, StoreError> {
        let connection = Connection::open(path).map_err(|error| StoreError::open(path, error))?;
        let mut store = Store { connection, path: path.to_path_buf() };
        store.prepare(path, make_way).map_err(|error| error.at(path))?;
        Ok(store)
    }

    /// Opens an existing database for reading only.
    ///
    /// # Errors
    /// As [`Store::open`]; also when there is no database yet. One of an older program is read as it is.
    pub fn open_read_only(path: &Path) -> Result<Store, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags).map_err(|error| StoreError::open(path, error))?;
        let opened = connection.busy_timeout(BUSY_TIMEOUT).map_err(StoreError::from);
        opened.and_then(|()| applied_migrations(&connection, path)).map_err(|error| error.at(path))?;
        Ok(Store { connection, path: path.to_path_buf() })
    }

    fn prepare(&mut self, path: &Path, make_way: impl FnOnce() -> Result<(), StoreError>) -> Result<(), StoreError> {
        let connection = &self.connection;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.set_prepared_statement_cache_capacity(64);
        connection.execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA temp_store = MEMORY;")?;
        let applied = applied_migrations(connection, path)?;
        restrict_to_owner(path)?;
        if applied < MIGRATIONS.len() {
            if applied > 0
                && let Err(error) = make_way()
                // Whoever works with it now may be of this version, and have been faster.
                && applied_migrations(connection, path)? < MIGRATIONS.len()
            {
                return Err(error);
            }
            // The journal mode is kept in the file, so it is set once, when the file is made.
            write_ahead(connection)?;
            self.migrate()?;
        }
        Ok(())
    }

    fn migrate(&mut self) -> Result<(), StoreError> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Read again under the lock: another process may have migrated meanwhile.
        let applied = applied_migrations(&tx, &self.path)?;
        for migration in MIGRATIONS.iter().skip(applied) {
            tx.execute_batch(migration)?;
        }
        tx.execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len()))?;
        tx.commit()?;
        Ok(())
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a writing transaction, waiting for other writers.
    ///
    /// # Errors
    /// The database.
    pub fn write(&mut self) -> Result<Write<'_>, StoreError> {
        let tx = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        Ok(Write { tx })
    }

    /// Differs from an earlier one of this store whenever another connection has committed since: for watching without
    /// reading. What this store itself commits does not count.
    pub(crate) fn change_token(&self) -> Result<ChangeToken, StoreError> {
        Ok(ChangeToken(self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?))
    }

    /// The text under a key of the `meta` table.
    ///
    /// # Errors
    /// The database.
    pub fn meta(&self, key: &str) -> Result<Option<String>, StoreError> {
        use rusqlite::OptionalExtension;
        let mut statement = self.connection.prepare_cached("SELECT value FROM meta WHERE key = ?1")?;
        Ok(statement.query_row([key], |row| row.get(0)).optional()?)
    }
}

/// How many migrations the database has seen.
///
/// # Errors
/// More than this program has; the database.
fn applied_migrations(connection: &Connection, path: &Path) -> Result<usize, StoreError> {
    let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match usize::try_from(found) {
        Ok(applied) if applied <= MIGRATIONS.len() => Ok(applied),
        _ => {
            let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
            Err(StoreError::Newer { path: path.display().to_string(), found, known })
        }
    }
}

/// Sets the journal mode. Where several make a database at the same moment `SQLite` does not wait for this, whatever its
/// timeout.
fn write_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let began = Instant::now();
    loop {
        match connection.execute_batch("PRAGMA journal_mode = WAL;") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && began.elapsed() < BUSY_TIMEOUT =>
            {
                thread::sleep(Duration::from_millis(5));
            }
            set => return set,
        }
    }
}

/// The database and its companions hold commands and mail: for the owner alone.
fn restrict_to_owner(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.display().to_string(), source };
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o777 != 0o600 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    }
    Ok(())
}

/// A writing transaction. Dropped without [`Write::commit`], it leaves nothing behind.
pub struct Write<'a> {
    tx: Transaction<'a>,
}

impl Write<'_> {
    /// Makes everything durable.
    ///
    /// # Errors
    /// The database.
    pub fn commit(self) -> Result<(), StoreError> {
        self.tx.commit()?;
        Ok(())
    }

    /// Puts a text under a key of the `meta` table.
    ///
    /// # Errors
    /// The database.
    pub fn set_meta(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET value = excluded.value",
            )?
            .execute([key, value])?;
        Ok(())
    }
}

/// A time as the database has it: microseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy)]
struct Micros(Timestamp);

impl ToSql for Micros {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(self.0.as_microsecond()))
    }
}

impl FromSql for Micros {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let micros = value.as_i64()?;
        Timestamp::from_microsecond(micros).map(Micros).map_err(|_| FromSqlError::OutOfRange(micros))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn many_make_the_database_at_the_same_moment() {
        for _ in 0..50 {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("crondag.db");
            let begin = Barrier::new(8);
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        begin.wait();
                        Store::open(&path).unwrap();
                    });
                }
            });
        }
    }
}
