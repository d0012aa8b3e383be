//! `sql`: statements on one connection, in one transaction, by a process of their own (`crondag __sql`), so that timeout
//! and stop end them like any other task.

mod mysql;
mod output;
mod postgres;
pub mod script;
pub mod session;
mod sqlite;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::output::Output;
use self::script::{Dialect, Statement, line_and_column, split};
use self::session::{Canceller, Outcome, Rows, SqlError, Value, connect};
use super::PrepareError;
use crate::dag::config::Connection;
use crate::dag::template::Renderer;
use crate::dag::units::format_duration;
use crate::dag::{Config, Sql, SqlSource};

/// How long the server's answer to a cancelled statement is waited for.
const CANCEL_GRACE: Duration = Duration::from_secs(2);

/// What the process is told on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlJob {
    connection: String,
    database: Connection,
    home: PathBuf,
    /// The file that the statements come from; `None` when they stand in the DAG file.
    file: Option<String>,
    statements: String,
    params: BTreeMap<String, String>,
    /// The CSV file for the last result set.
    to: Option<PathBuf>,
}

impl SqlJob {
    /// The job for people.
    pub fn describe(&self) -> String {
        let (name, statements) = (&self.connection, self.statements.trim_end());
        match &self.file {
            Some(file) => format!("sql on {name}, from {file}\n{statements}"),
            None => format!("sql on {name}\n{statements}"),
        }
    }

    /// File and line of a byte of the statements.
    fn place(&self, at: usize) -> String {
        let (line, _) = line_and_column(&self.statements, at);
        match &self.file {
            Some(file) => format!("{file}:{line}"),
            None => format!("line {line} of the statements"),
        }
    }

    /// File, line and column.
    fn point(&self, at: usize) -> String {
        let (line, column) = line_and_column(&self.statements, at);
        match &self.file {
            Some(file) => format!("{file}:{line}:{column}"),
            None => format!("line {line}, column {column} of the statements"),
        }
    }
}

pub(super) fn job(home: &Path, config: &Config, sql: &Sql, renderer: &Renderer) -> Result<SqlJob, PrepareError> {
    let Some(connection) = config.connections.get(&sql.connection) else {
        return Err(PrepareError::Connection(sql.connection.clone()));
    };
    let (file, statements) = match &sql.source {
        SqlSource::Inline(statements) => (None, statements.clone()),
        SqlSource::File(file) => {
            let file = renderer.render(file)?;
            let path = home.join(&file);
            let text = std::fs::read_to_string(&path)
                .map_err(|source| PrepareError::File { path: path.display().to_string(), source })?;
            (Some(file), text)
        }
    };
    let mut params = renderer.variables().clone();
    for (name, value) in &sql.params {
        params.insert(name.clone(), renderer.render(value)?);
    }
    Ok(SqlJob {
        connection: sql.connection.clone(),
        database: connection.clone(),
        home: home.to_path_buf(),
        file,
        statements: renderer.render(&statements)?,
        params,
        to: sql.to.as_ref().map(|to| renderer.render(to).map(|to| home.join(to))).transpose()?,
    })
}

/// Runs the job on standard input; prints row counts and the last result set. Exit status 1 when it fails.
pub fn main() -> ExitCode {
    let mut json = String::new();
    let job: Option<SqlJob> =
        std::io::stdin().read_to_string(&mut json).ok().and_then(|_| serde_json::from_str(&json).ok());
    let Some(job) = job else {
        eprintln!("error: crondag __sql reads its job from standard input; it is not for people");
        return ExitCode::from(2);
    };
    match run(&job) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// A result set.
#[derive(Debug, Default)]
pub struct Table {
    /// The names of its columns.
    pub columns: Vec<String>,
    /// The rows that were kept.
    pub rows: Vec<Vec<Value>>,
    /// At most so many are kept.
    limit: usize,
    /// How many there were.
    pub total: u64,
}

impl Rows for Table {
    fn begin(&mut self, columns: &[String]) -> std::io::Result<()> {
        self.columns = columns.to_vec();
        self.rows.clear();
        self.total = 0;
        Ok(())
    }

    fn row(&mut self, row: &[Value]) -> std::io::Result<()> {
        self.total += 1;
        if self.rows.len() < self.limit {
            self.rows.push(row.to_vec());
        }
        Ok(())
    }
}

impl SqlJob {
    /// Runs the statements and keeps the first rows of the last result set.
    ///
    /// # Errors
    /// The server's words, with the place in the statements and what to do; reads after "error: ".
    pub fn collect(&self, limit: usize) -> Result<Table, String> {
        let mut table = Table { limit, ..Table::default() };
        execute(self, &mut table)?;
        Ok(table)
    }
}

fn run(job: &SqlJob) -> Result<(), String> {
    let mut output = Output::new(job.to.as_deref());
    let count = execute(job, &mut output)?;
    output.finish()?;
    if count == 0 {
        println!("there are no statements");
    }
    // The numbers above are the task's result: a closed pipe must not turn success into failure.
    let _ = std::io::stdout().flush();
    Ok(())
}

/// Runs all statements in one transaction; gives their number.
fn execute(job: &SqlJob, output: &mut dyn Rows) -> Result<usize, String> {
    let explained = |error: SqlError| match error.next(&job.connection) {
        Some(next) => format!("connection {}: {error}\n  next: {next}", job.connection),
        None => error.to_string(),
    };
    let mut session = connect(&job.connection, &job.database, &job.home).map_err(explained)?;
    let statements = split(&job.statements, session.dialect()).map_err(|unclosed| {
        format!("{}: this {} is never closed; nothing was run", job.point(unclosed.at), unclosed.what)
    })?;
    cancel_on_stop(session.canceller(), job.to.clone())
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    let commits_early = session.dialect() == Dialect::Mysql && statements.iter().any(commits_implicitly);
    if commits_early && statements.len() > 1 {
        println!(
            "warning: CREATE, ALTER, DROP and their like commit at once here: what ran before them stays after an error"
        );
    }
    let after_error = if commits_early {
        "what ran since the last implicit commit was rolled back"
    } else {
        "everything was rolled back"
    };
    session.begin().map_err(explained)?;
    for statement in &statements {
        let started = Instant::now();
        let outcome = session.run(statement, &job.params, output).map_err(|error| {
            let place = job.point(error.offset.map_or(statement.span.start, |offset| statement.origin(offset)));
            let text = excerpt(&job.statements[statement.span.clone()]);
            let next = error.next(&job.connection).map(|next| format!("\n  next: {next}")).unwrap_or_default();
            format!("{place}: {error}\n  in: {text}\n  {after_error}{next}")
        })?;
        let outcome = match outcome {
            Outcome::Returned(count) => rows(count),
            Outcome::Changed(count) => format!("{} changed", rows(count)),
        };
        println!("{}: {outcome} in {}", job.place(statement.span.start), format_duration(started.elapsed()));
    }
    session
        .commit()
        .map_err(|error| format!("the transaction could not be committed: {error}; nothing was changed"))?;
    Ok(statements.len())
}

/// TERM cancels the statement on the server, which would else run on; the error that follows ends the process.
fn cancel_on_stop(cancel: Canceller, to: Option<PathBuf>) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            println!("stopped: cancelling the statement");
            let outcome = cancel();
            if let Err(error) = &outcome {
                println!("the statement could not be cancelled: {error}");
            }
            // Between two statements there is nothing to cancel: the rest must not run either.
            std::thread::sleep(CANCEL_GRACE);
            if let Some(to) = &to {
                // It may not exist, and the process ends here.
                let _ = std::fs::remove_file(output::temporary(to));
            }
            std::process::exit(1);
        }
    });
    Ok(())
}

/// Whether MySQL commits the transaction before this statement.
fn commits_implicitly(statement: &Statement) -> bool {
    let words = statement.words(2);
    let first = words.first().map_or("", String::as_str);
    let is_temporary = words.get(1).is_some_and(|word| word == "TEMPORARY");
    let commits = ["CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE", "LOCK", "BEGIN", "START"];
    commits.contains(&first) && !is_temporary
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// The beginning of a statement, on one line.
fn excerpt(statement: &str) -> String {
    let text = statement.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut short: String = text.chars().take(120).collect();
    if short.len() < text.len() {
        short.push_str(" ...");
    }
    short
}
