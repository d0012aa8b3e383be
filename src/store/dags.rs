//! DAG files as the scheduler knows them: their stamps, their newest good text, when they are due.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{Micros, Store, StoreError, Write};
use crate::dag::DagId;

/// One row of `dags`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct DagRow {
    pub dag_id: DagId,
    /// Its newest good version.
    pub version_id: Option<i64>,
    /// The stamp of the file (and of crondag.toml) when it was read.
    pub file_stamp: String,
    /// Why the file as it stands is not used.
    pub fault: Option<String>,
    /// Whether the file is there.
    pub is_active: bool,
    /// Whether its schedule is paused.
    pub is_paused: bool,
    /// First seen or last unpaused: without catchup nothing earlier is scheduled.
    pub schedule_from: Timestamp,
    /// The newest fire time that was dealt with.
    pub scheduled_until: Option<Timestamp>,
    /// A mark that was ahead of the clock: until the clock has reached it, `scheduled_until` is what counts.
    pub set_aside_until: Option<Timestamp>,
    /// When it fires next; `None` when it has no schedule, no more fire times, or no good version.
    pub next_fire_at: Option<Timestamp>,
}

impl DagRow {
    /// The row of a DAG that is seen for the first time.
    pub fn new(dag_id: DagId, now: Timestamp) -> DagRow {
        DagRow {
            dag_id,
            version_id: None,
            // No file has such a stamp: the next tick reads it.
            file_stamp: String::new(),
            fault: None,
            is_active: true,
            is_paused: false,
            schedule_from: now,
            scheduled_until: None,
            set_aside_until: None,
            next_fire_at: None,
        }
    }
}

/// The text of a DAG file that runs use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagVersion {
    pub id: i64,
    pub dag_id: DagId,
    /// The file's text.
    pub text: String,
}

const COLUMNS: &str = "dag_id, version_id, file_stamp, fault, is_active, is_paused, schedule_from, scheduled_until, next_fire_at, set_aside_until";

fn dag_row(row: &Row<'_>) -> rusqlite::Result<Result<DagRow, StoreError>> {
    let id: String = row.get(0)?;
    Ok(match DagId::new(id) {
        Ok(dag_id) => Ok(DagRow {
            dag_id,
            version_id: row.get(1)?,
            file_stamp: row.get(2)?,
            fault: row.get(3)?,
            is_active: row.get(4)?,
            is_paused: row.get(5)?,
            schedule_from: row.get::<_, Micros>(6)?.0,
            scheduled_until: row.get::<_, Option<Micros>>(7)?.map(|micros| micros.0),
            next_fire_at: row.get::<_, Option<Micros>>(8)?.map(|micros| micros.0),
            set_aside_until: row.get::<_, Option<Micros>>(9)?.map(|micros| micros.0),
        }),
        Err(error) => Err(StoreError::Impossible(format!("dags.dag_id: {error}"))),
    })
}

impl Store {
    /// Every DAG that was ever seen, by id.
    ///
    /// # Errors
    /// The database.
    pub fn dags(&self) -> Result<Vec<DagRow>, StoreError> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM dags ORDER BY dag_id"))?;
        statement.query_map([], dag_row)?.map(|row| row?).collect()
    }

    /// One DAG.
    ///
    /// # Errors
    /// The database.
    pub fn dag(&self, dag_id: &DagId) -> Result<Option<DagRow>, StoreError> {
        dag(&self.connection, dag_id)
    }

    /// Whether a DAG fires now or should have fired before: what a planner would find without reading any file.
    pub(crate) fn is_any_due(&self, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM dags WHERE next_fire_at <= ?1 AND is_active = 1 AND is_paused = 0)",
            )?
            .query_row([Micros(now)], |row| row.get(0))?)
    }

    /// A stored version of a DAG file.
    ///
    /// # Errors
    /// The database.
    pub fn version(&self, id: i64) -> Result<Option<DagVersion>, StoreError> {
        version(&self.connection, id)
    }
}

impl Write<'_> {
    /// Keeps a DAG file's text and gives its number; the same text again has the same number.
    ///
    /// # Errors
    /// The database.
    pub fn keep_version(&self, dag_id: &DagId, text: &str, now: Timestamp) -> Result<i64, StoreError> {
        let hash = content_hash(text);
        // A collision of two different texts is told apart by the text itself.
        let known: Option<(i64, String)> = self
            .tx
            .prepare_cached("SELECT id, text FROM dag_versions WHERE dag_id = ?1 AND hash = ?2")?
            .query_row([dag_id.as_str(), &hash], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let hash = match known {
            Some((id, kept)) if kept == text => return Ok(id),
            Some((id, _)) => format!("{hash}-{id}"),
            None => hash,
        };
        Ok(self
            .tx
            .prepare_cached(
                "INSERT INTO dag_versions (dag_id, hash, text, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (dag_id, hash) DO UPDATE SET text = excluded.text RETURNING id",
            )?
            .query_row((dag_id.as_str(), hash, text, Micros(now)), |row| row.get(0))?)
    }

    /// Inserts or replaces a DAG's row.
    ///
    /// # Errors
    /// The database.
    pub fn put_dag(&self, dag: &DagRow) -> Result<(), StoreError> {
        self.tx
            .prepare_cached(&format!(
                "INSERT INTO dags ({COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
                 ON CONFLICT (dag_id) DO UPDATE SET version_id = excluded.version_id, file_stamp = excluded.file_stamp,
                 fault = excluded.fault, is_active = excluded.is_active, is_paused = excluded.is_paused,
                 schedule_from = excluded.schedule_from, scheduled_until = excluded.scheduled_until,
                 next_fire_at = excluded.next_fire_at, set_aside_until = excluded.set_aside_until"
            ))?
            .execute((
                dag.dag_id.as_str(),
                dag.version_id,
                &dag.file_stamp,
                &dag.fault,
                dag.is_active,
                dag.is_paused,
                Micros(dag.schedule_from),
                dag.scheduled_until.map(Micros),
                dag.next_fire_at.map(Micros),
                dag.set_aside_until.map(Micros),
            ))?;
        Ok(())
    }

    /// A stored version of a DAG file.
    ///
    /// # Errors
    /// The database.
    pub fn version(&self, id: i64) -> Result<Option<DagVersion>, StoreError> {
        version(&self.tx, id)
    }

    /// The DAG's row as it stands inside this transaction.
    ///
    /// # Errors
    /// The database.
    pub fn dag(&self, dag_id: &DagId) -> Result<Option<DagRow>, StoreError> {
        dag(&self.tx, dag_id)
    }
}

fn dag(connection: &Connection, dag_id: &DagId) -> Result<Option<DagRow>, StoreError> {
    let mut statement = connection.prepare_cached(&format!("SELECT {COLUMNS} FROM dags WHERE dag_id = ?1"))?;
    statement.query_row([dag_id.as_str()], dag_row).optional()?.transpose()
}

fn version(connection: &Connection, id: i64) -> Result<Option<DagVersion>, StoreError> {
    let mut statement = connection.prepare_cached("SELECT id, dag_id, text FROM dag_versions WHERE id = ?1")?;
    let found = statement
        .query_row([id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))
        .optional()?;
    found
        .map(|(id, dag_id, text)| match DagId::new(dag_id) {
            Ok(dag_id) => Ok(DagVersion { id, dag_id, text }),
            Err(error) => Err(StoreError::Impossible(format!("dag_versions.dag_id: {error}"))),
        })
        .transpose()
}

/// FNV-1a, 64 bits: finds equal texts quickly; it does not need to resist anybody.
fn content_hash(text: &str) -> String {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}
