//! What can go wrong with the database, in words that say what to do.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;
use rustix::fs::StatVfsMountFlags;

/// Why the database did not do it. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum StoreError {
    /// `SQLite`'s own words, with the database's path and what to do.
    #[error("{what}\nnext: {next}")]
    Database {
        /// What happened, naming the file.
        what: String,
        /// What to do.
        next: String,
    },
    /// The database was written by a newer program.
    #[error(
        "the database {path} has format {found}, this crondag knows formats up to {known}\nnext: use the newer crondag that made it"
    )]
    Newer {
        path: String,
        /// Its `user_version`.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// A program of another version works with the database, which this one would have to change.
    #[error(
        "an older crondag, process {pid}, still works with the database {path}\nnext: restart that scheduler, or end it with `kill {pid}`: attempts live on, and are taken up again"
    )]
    OlderDriver { path: String, pid: u32 },
    /// A file beside the database.
    #[error("{path}: {source}\nnext: check who owns it and whether the disk is full or read-only")]
    File {
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// A row that this program cannot have written.
    #[error("the database holds an impossible value: {0}\nnext: run `crondag db check`")]
    Impossible(String),
    /// `SQLite`'s error where the home's path is not known.
    #[error("{}", in_words(&.0.0, Path::new(IN_HOME)))]
    Sqlite(SqliteError),
}

/// The library's error; nobody outside the store needs to know the library.
#[derive(Debug)]
pub struct SqliteError(rusqlite::Error);

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        StoreError::Sqlite(SqliteError(error))
    }
}

/// Where each home has its database.
const IN_HOME: &str = ".crondag/crondag.db";

impl StoreError {
    pub(super) fn open(path: &Path, error: rusqlite::Error) -> StoreError {
        StoreError::from(error).at(path)
    }

    /// Says the same naming the database by its whole path.
    pub(crate) fn at(self, path: &Path) -> StoreError {
        match self {
            StoreError::Sqlite(SqliteError(error)) => in_words(&error, path),
            named => named,
        }
    }
}

fn in_words(error: &rusqlite::Error, path: &Path) -> StoreError {
    let is_read_only = || {
        path.parent()
            .and_then(|folder| rustix::fs::statvfs(folder).ok())
            .is_some_and(|disk| disk.f_flag.contains(StatVfsMountFlags::RDONLY))
    };
    let path = path.display();
    let (what, next) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
            format!("another program has locked the database {path} for more than a minute"),
            format!("find it with `fuser -v {path}` and let it finish"),
        ),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => (
            format!("the database {path} is corrupt: {error}"),
            // A driver that has the old file open would not see the new one, and an old journal would be played into it.
            format!(
                "stop the crontab line, end what has the file open (`fuser -k {path}`), move {path}* aside, \
                 restore your last `crondag db backup` as {path}"
            ),
        ),
        Some(ErrorCode::DiskFull) => {
            (format!("the disk of the database {path} is full"), "free some space; nothing recorded is lost".to_owned())
        }
        // SQLite says only that it cannot open the files beside the database.
        Some(ErrorCode::CannotOpen) if is_read_only() => (
            format!("the disk of the database {path} is mounted read-only"),
            "look why with `dmesg`, then mount it writable again; nothing recorded is lost".to_owned(),
        ),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
            format!("the database {path} cannot be written: {error}"),
            format!("check its owner and mode (`ls -l {path}`) and that the disk is not mounted read-only"),
        ),
        Some(ErrorCode::CannotOpen) => (
            format!("the database {path} cannot be opened: {error}"),
            "check that the home's state folder exists and belongs to you".to_owned(),
        ),
        Some(ErrorCode::SystemIoFailure) => (
            format!("the disk of the database {path} fails: {error}"),
            "look whether the disk is full (`df -h`) or fails (`dmesg`)".to_owned(),
        ),
        _ => (format!("the database {path} failed: {error}"), "run `crondag db check`".to_owned()),
    };
    StoreError::Database { what, next }
}
