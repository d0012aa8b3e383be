//! Troubles of the home itself: what is wrong, since when, and whether people know of it.

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Row};
use serde::{Deserialize, Serialize};

use super::runs::optional_time;
use super::{Micros, Store, StoreError, Write};

/// The kinds, as the database has them.
const FAULTY_FILE: &str = "faulty_file";
const FAULTY_CONFIG: &str = "faulty_config";
const CUT_LOG: &str = "cut_log";
const LOG_DISK: &str = "log_disk";

/// What is wrong with a home, for those who look after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Trouble {
    /// A DAG file cannot be used as it stands.
    FaultyFile {
        dag_id: String,
        /// Its first fault, with its place.
        fault: String,
        /// Whether a good version of it goes on being scheduled.
        is_scheduled: bool,
    },
    /// crondag.toml cannot be used as it stands.
    FaultyConfig {
        /// Its first fault, with its place.
        fault: String,
    },
    /// A task printed more than its log has room for.
    CutLog {
        dag_id: String,
        task_id: String,
        /// So many bytes are missing.
        left_out: u64,
    },
    /// The disk did not take a log.
    LogDisk {
        dag_id: String,
        task_id: String,
        /// What the system said.
        error: String,
    },
}

impl Trouble {
    /// What it is about.
    pub fn key(&self) -> TroubleKey<'_> {
        match self {
            Trouble::FaultyFile { dag_id, .. } => Trouble::faulty_file(dag_id),
            Trouble::FaultyConfig { .. } => Trouble::faulty_config(),
            Trouble::CutLog { dag_id, task_id, .. } => Trouble::cut_log(dag_id, task_id),
            Trouble::LogDisk { .. } => Trouble::log_disk(),
        }
    }

    /// The key of [`Trouble::FaultyFile`].
    pub fn faulty_file(dag_id: &str) -> TroubleKey<'_> {
        TroubleKey { kind: FAULTY_FILE, dag_id, task_id: "" }
    }

    /// The key of [`Trouble::FaultyConfig`].
    pub fn faulty_config() -> TroubleKey<'static> {
        TroubleKey { kind: FAULTY_CONFIG, dag_id: "", task_id: "" }
    }

    /// The key of [`Trouble::CutLog`].
    pub fn cut_log<'a>(dag_id: &'a str, task_id: &'a str) -> TroubleKey<'a> {
        TroubleKey { kind: CUT_LOG, dag_id, task_id }
    }

    /// The key of [`Trouble::LogDisk`]: there is one disk.
    pub fn log_disk() -> TroubleKey<'static> {
        TroubleKey { kind: LOG_DISK, dag_id: "", task_id: "" }
    }

    /// The DAG in which it was found; empty for the whole home.
    pub fn dag_id(&self) -> &str {
        match self {
            Trouble::FaultyFile { dag_id, .. } | Trouble::CutLog { dag_id, .. } | Trouble::LogDisk { dag_id, .. } => {
                dag_id
            }
            Trouble::FaultyConfig { .. } => "",
        }
    }
}

/// What a trouble is about: there is one of each at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TroubleKey<'a> {
    /// What kind it is of.
    pub kind: &'a str,
    /// The DAG; empty for the whole home.
    pub dag_id: &'a str,
    /// The task; empty for the whole DAG.
    pub task_id: &'a str,
}

/// From when something was found wrong to when it was good again. The newest one of each key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TroubleRow {
    /// When it was found first.
    pub opened_at: Timestamp,
    /// When it was found last.
    pub last_at: Timestamp,
    /// When it was good again; `None` while it is not.
    pub closed_at: Option<Timestamp>,
    /// How often it was found.
    pub count: u32,
    /// How often it came back soon after it was good.
    pub returns: u32,
    /// Whether people were told of it since it was last good.
    pub is_told: bool,
    /// What it is.
    pub what: Trouble,
}

const COLUMNS: &str = "opened_at, last_at, closed_at, count, returns, is_told, what";

fn trouble(row: &Row<'_>) -> Result<TroubleRow, StoreError> {
    let what: String = row.get(6)?;
    let impossible = |error| StoreError::Impossible(format!("troubles.what: {error}"));
    Ok(TroubleRow {
        opened_at: row.get::<_, Micros>(0)?.0,
        last_at: row.get::<_, Micros>(1)?.0,
        closed_at: optional_time(row, 2)?,
        count: row.get(3)?,
        returns: row.get(4)?,
        is_told: row.get(5)?,
        what: serde_json::from_str(&what).map_err(impossible)?,
    })
}

impl Store {
    /// Those that are not good again, the oldest first.
    pub(crate) fn open_troubles(&self) -> Result<Vec<TroubleRow>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM troubles WHERE closed_at IS NULL ORDER BY opened_at, kind, dag_id, task_id");
        let mut statement = self.connection.prepare_cached(&sql)?;
        let mut rows = statement.query([])?;
        let mut open = Vec::new();
        while let Some(row) = rows.next()? {
            open.push(trouble(row)?);
        }
        Ok(open)
    }
}

impl Write<'_> {
    /// The newest trouble of a key, open or over.
    ///
    /// # Errors
    /// The database.
    pub fn trouble(&self, key: TroubleKey<'_>) -> Result<Option<TroubleRow>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM troubles WHERE kind = ?1 AND dag_id = ?2 AND task_id = ?3");
        let mut statement = self.statement(&sql)?;
        let row = |row: &Row<'_>| Ok(trouble(row));
        statement.query_row([key.kind, key.dag_id, key.task_id], row).optional()?.transpose()
    }

    /// Whether any trouble with logs is not good again.
    pub(crate) fn has_open_troubles_with_logs(&self) -> Result<bool, StoreError> {
        let sql = "SELECT EXISTS (SELECT 1 FROM troubles WHERE closed_at IS NULL AND kind IN (?1, ?2))";
        Ok(self.statement(sql)?.query_row([CUT_LOG, LOG_DISK], |row| row.get(0))?)
    }

    /// Puts a trouble in the place of the one that there was.
    pub(crate) fn put_trouble(&self, trouble: &TroubleRow) -> Result<(), StoreError> {
        let key = trouble.what.key();
        let impossible = |error| StoreError::Impossible(format!("a trouble: {error}"));
        let what = serde_json::to_string(&trouble.what).map_err(impossible)?;
        let sql = format!(
            "INSERT OR REPLACE INTO troubles (kind, dag_id, task_id, {COLUMNS})
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
        );
        self.statement(&sql)?.execute((
            key.kind,
            key.dag_id,
            key.task_id,
            Micros(trouble.opened_at),
            Micros(trouble.last_at),
            trouble.closed_at.map(Micros),
            trouble.count,
            trouble.returns,
            trouble.is_told,
            what,
        ))?;
        Ok(())
    }
}
