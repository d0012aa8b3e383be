//! `SQLite`, within this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::ValueRef;

use super::script::{Dialect, Statement};
use super::session::{Canceller, ErrorKind, Outcome, Params, Rows, Session, SqlError, Value, value};
use crate::dag::units::format_duration;

/// How long a locked database is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(300);

/// An open database file.
pub(super) struct Sqlite {
    connection: rusqlite::Connection,
    path: PathBuf,
}

impl Sqlite {
    pub(super) fn open(name: &str, path: &Path) -> Result<Sqlite, SqlError> {
        let shown = path.display();
        if let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) {
            return Err(SqlError::other(format!(
                "the folder {} of connection {name} does not exist",
                folder.display()
            )));
        }
        let connection = rusqlite::Connection::open(path).map_err(|error| {
            SqlError::other(format!("cannot open the database {shown} of connection {name}: {error}"))
        })?;
        let opened =
            connection.busy_timeout(BUSY_TIMEOUT).and_then(|()| connection.execute_batch("PRAGMA foreign_keys = ON;"));
        opened.map_err(|error| {
            SqlError::other(format!("the database {shown} of connection {name} does not work: {error}"))
        })?;
        Ok(Sqlite { connection, path: path.to_path_buf() })
    }
}

impl Session for Sqlite {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn begin(&mut self) -> Result<(), SqlError> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DatabaseBusy) => SqlError::other(format!(
                "another program has locked the database {} for {}",
                self.path.display(),
                format_duration(BUSY_TIMEOUT)
            )),
            _ => SqlError::other(format!("the database {} does not work: {error}", self.path.display())),
        })
    }

    fn commit(&mut self) -> Result<(), SqlError> {
        self.connection.execute_batch("COMMIT").map_err(|error| failure(&error))
    }

    fn run(&mut self, statement: &Statement, params: &Params, rows: &mut dyn Rows) -> Result<Outcome, SqlError> {
        let failed = |error: rusqlite::Error| failure(&error);
        let mut prepared = self.connection.prepare(&statement.text).map_err(failed)?;
        for index in 1..=prepared.parameter_count() {
            let Some(name) = prepared.parameter_name(index).map(str::to_owned) else {
                return Err(SqlError::other("`?` cannot be bound: write `:name`"));
            };
            prepared.raw_bind_parameter(index, value(&name, params)?).map_err(failed)?;
        }
        if prepared.column_count() == 0 {
            let before = self.connection.total_changes();
            prepared.raw_execute().map_err(failed)?;
            return Ok(Outcome::Changed(self.connection.total_changes() - before));
        }
        let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
        let unkept = |error: std::io::Error| SqlError::other(error.to_string());
        rows.begin(&columns).map_err(unkept)?;
        let mut count = 0;
        let mut found = prepared.raw_query();
        while let Some(row) = found.next().map_err(failed)? {
            let cells = (0..columns.len()).map(|column| row.get_ref(column).map(cell));
            rows.row(&cells.collect::<rusqlite::Result<Vec<_>>>().map_err(failed)?).map_err(unkept)?;
            count += 1;
        }
        Ok(Outcome::Returned(count))
    }

    fn canceller(&self) -> Canceller {
        let handle = self.connection.get_interrupt_handle();
        Box::new(move || {
            handle.interrupt();
            Ok(())
        })
    }
}

fn cell(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Real(number) => Value::Real(number),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
    }
}

fn failure(error: &rusqlite::Error) -> SqlError {
    let (message, offset) = match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => (message.clone(), None),
        rusqlite::Error::SqlInputError { msg, offset, .. } => (msg.clone(), usize::try_from(*offset).ok()),
        other => (other.to_string(), None),
    };
    let kind = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => ErrorKind::Cancelled,
        _ if message.starts_with("no such table") => ErrorKind::MissingTable,
        _ => ErrorKind::Other,
    };
    SqlError { kind, message, code: None, offset, signal: None }
}
