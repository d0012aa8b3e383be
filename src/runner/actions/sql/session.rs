//! The seam between actions that need a database and the kinds of database: run statements with bound
//! parameters, take rows as typed values. Prints nothing and knows no task.

use std::collections::BTreeMap;

use super::script::{Dialect, Statement};
use crate::dag::config::{DatabaseServer, ServerAddress};

/// Values of `:name`, as texts; the server converts them.
pub type Params = BTreeMap<String, String>;

/// One cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL's NULL.
    Null,
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A binary floating-point number.
    Real(f64),
    /// An exact number, and a whole one beyond 64 bits, as the server writes it.
    Decimal(String),
    /// Text, and everything that is best said as text: dates and times (ISO 8601, a blank between date and time), JSON.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Null => f.write_str("NULL"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Integer(number) => write!(f, "{number}"),
            Value::Real(number) => write!(f, "{number}"),
            Value::Decimal(text) | Value::Text(text) => f.write_str(text),
            // As PostgreSQL writes them.
            Value::Bytes(bytes) => {
                f.write_str("\\x")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Takes the rows of a result set, one at a time.
pub trait Rows {
    /// A result set begins.
    ///
    /// # Errors
    /// The rows have nowhere to go.
    fn begin(&mut self, columns: &[String]) -> std::io::Result<()>;
    /// One row, as long as the columns.
    ///
    /// # Errors
    /// The row could not be kept.
    fn row(&mut self, row: &[Value]) -> std::io::Result<()>;
}

/// What a statement did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It gave so many rows.
    Returned(u64),
    /// It changed so many rows.
    Changed(u64),
    /// It was run; nothing is known of rows.
    Done,
}

/// What went wrong, as far as it decides what to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// Nothing answers at the address.
    Refused,
    /// The server does not accept the login.
    Authentication,
    /// The server has no such database.
    UnknownDatabase,
    /// A statement names a table that is not there.
    MissingTable,
    /// The statement was cancelled.
    Cancelled,
    /// Anything else.
    Other,
}

/// A failure of a connection or a statement. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}{}", code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default())]
pub struct SqlError {
    /// What it is.
    pub kind: ErrorKind,
    /// The server's or our words.
    pub message: String,
    /// The server's: `SQLSTATE 42P01`, `error 1146, SQLSTATE 42S02`.
    pub code: Option<String>,
    /// The byte of the statement's `text` where it happened.
    pub offset: Option<usize>,
    /// The signal that killed the program which is the session.
    pub signal: Option<i32>,
}

impl SqlError {
    /// An error that has no code.
    pub fn other(message: impl Into<String>) -> SqlError {
        SqlError { kind: ErrorKind::Other, message: message.into(), code: None, offset: None, signal: None }
    }

    /// The next thing to do about it, where there is one to name.
    pub fn next(&self, name: &str) -> Option<String> {
        let text = match self.kind {
            ErrorKind::Refused => format!("is the server up, and is the address in [connections.{name}] right?"),
            ErrorKind::Authentication => {
                format!("check username and the password of [connections.{name}] in crondag.toml")
            }
            ErrorKind::UnknownDatabase => format!("create it, or correct database of [connections.{name}]"),
            ErrorKind::MissingTable => {
                "create the table first, or check its name, its schema and the connection".to_owned()
            }
            ErrorKind::Cancelled | ErrorKind::Other => return None,
        };
        Some(text)
    }
}

/// One open connection. What has not been committed when it is dropped is rolled back.
pub trait Session {
    /// How scripts for it are split.
    fn dialect(&self) -> Dialect;

    /// Tells which statements will be run, in this order. A session that is a program (`spark-sql`, `beeline`) runs all of them in
    /// one start, so that a setting made by one statement holds for the next; other sessions do nothing here.
    ///
    /// # Errors
    /// An unknown parameter, or the program cannot be started.
    fn expect(&mut self, statements: &[Statement], params: &Params) -> Result<(), SqlError> {
        let _ = (statements, params);
        Ok(())
    }

    /// Begins a transaction, where there are any.
    ///
    /// # Errors
    /// The server's.
    fn begin(&mut self) -> Result<(), SqlError>;

    /// Makes the transaction last.
    ///
    /// # Errors
    /// The server's; then nothing is changed.
    fn commit(&mut self) -> Result<(), SqlError>;

    /// Runs one statement; its rows go to `rows` as they come and are not held.
    ///
    /// # Errors
    /// The server's, an unknown parameter, or `rows` failed.
    fn run(&mut self, statement: &Statement, params: &Params, rows: &mut dyn Rows) -> Result<Outcome, SqlError>;

    /// What cancels the running statement, from another thread.
    fn canceller(&self) -> Canceller;
}

/// Cancels what a session runs. Does nothing when it runs nothing.
pub type Canceller = Box<dyn Fn() -> Result<(), SqlError> + Send>;

/// Where a server is, for people.
pub(super) fn address(server: &DatabaseServer) -> String {
    match &server.address {
        ServerAddress::Tcp { host, port } => format!("{host}:{port}"),
        ServerAddress::Unix { path, .. } => path.display().to_string(),
    }
}

/// The values for a statement's parameters; an unknown one is an error, never a silent NULL.
pub(super) fn values<'p>(statement: &Statement, params: &'p Params) -> Result<Vec<&'p str>, SqlError> {
    statement.params.iter().map(|name| value(&format!(":{name}"), params)).collect()
}

/// The value of `:name`.
pub(super) fn value<'p>(name: &str, params: &'p Params) -> Result<&'p str, SqlError> {
    params.get(&name[1..]).map(String::as_str).ok_or_else(|| {
        let known: Vec<&str> = params.keys().map(String::as_str).collect();
        SqlError::other(format!("`{name}` is not defined; known are {}", known.join(", ")))
    })
}
