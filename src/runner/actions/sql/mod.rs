//! `sql`: statements on one connection, in one transaction, by a process of their own (`crondag __sql`), so that timeout
//! and stop end them like any other task.

mod connect;
mod mysql;
mod output;
mod postgres;
mod printed;
mod program;
mod say;
mod script;
mod session;
mod sqlite;
mod sqlite_script;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use self::connect::connect;
use self::output::{Output, rows};
use self::say::keep_secret;
pub(super) use self::say::say;
use self::script::{Dialect, Statement, line_and_column, split};
pub(super) use self::session::Value;
use self::session::{Canceller, Outcome, Rows, SqlError};
use super::job::{InnerProgram, Job, JobFailure};
use super::materials::{Materials, PrepareError, path, refuse_nul};
use crate::dag::config::Connection;
use crate::dag::template::Renderer;
use crate::dag::units::format_duration;
use crate::dag::{Config, Sql, SqlSource};
use crate::mask::Mask;
use crate::runner::attempt::secrets::Keyring;
use crate::text_file;

/// How long a cancelled statement may take to end; less than the time between TERM and KILL usually is.
const CANCEL_GRACE: Duration = Duration::from_secs(8);
/// How often it is cancelled meanwhile: the first time may have come between two statements.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

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
    /// Of the connection.
    password: Option<String>,
    /// Values that must not be seen, not even in part, as where an excerpt cuts a statement.
    secrets: Vec<String>,
}

impl SqlJob {
    /// The job of these statements, with the password of their connection.
    pub(super) fn of(sql: &Sql, materials: &Materials<'_>) -> Result<SqlJob, PrepareError> {
        let Materials { home, config, renderer, default_name, keyring, env, .. } = *materials;
        let source = config.connections.get(&sql.connection).and_then(Connection::password);
        let password = match (keyring, source) {
            (Some(keyring), Some(source)) => {
                Some(keyring.password(&sql.connection, source, env).map_err(PrepareError::Secret)?)
            }
            _ => None,
        };
        let (file, statements) = match &sql.source {
            SqlSource::Inline(statements) => (None, statements.clone()),
            SqlSource::File(file) => {
                let file = path(renderer, file)?;
                let place = home.join(&file);
                let text = text_file::read(&place)
                    .map_err(|source| PrepareError::File { path: place.display().to_string(), source })?;
                (Some(file), text_file::with_newlines(text))
            }
        };
        let what = || file.clone().unwrap_or_else(|| "the SQL".to_owned());
        refuse_nul(&statements, what)?;
        let statements = renderer.render(&statements)?;
        refuse_nul(&statements, what)?;
        let mut params = renderer.variables().clone();
        for (name, value) in &sql.params {
            let value = renderer.render(value)?;
            refuse_nul(&value, || format!("the param `{name}`"))?;
            params.insert(name.clone(), value);
        }
        Ok(SqlJob {
            connection: sql.connection.clone(),
            database: database(config, &sql.connection, renderer, default_name)?,
            home: home.to_path_buf(),
            file,
            statements,
            params,
            to: sql.to.as_ref().map(|to| path(renderer, to).map(|to| home.join(to))).transpose()?,
            password,
            secrets: keyring.map(Keyring::values).unwrap_or_default(),
        })
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

/// A connection of crondag.toml, complete: with the options of `[spark]` under its own, and all templates filled in.
/// `default_name` is what Spark shows the application as.
fn database(config: &Config, name: &str, renderer: &Renderer, default_name: &str) -> Result<Connection, PrepareError> {
    let mut connection =
        config.connections.get(name).cloned().ok_or_else(|| PrepareError::Connection(name.to_owned()))?;
    if let Connection::SparkSql(spark) = &mut connection {
        let mut options = config.spark.options.clone().with(&spark.options);
        options.name.get_or_insert_with(|| default_name.to_owned());
        // spark-sql is an application itself, and its driver is here.
        (options.class, options.deploy_mode) = (None, None);
        spark.options = super::spark::rendered(&options, renderer)?;
    }
    Ok(connection)
}

impl Job for SqlJob {
    const PROGRAM: InnerProgram = InnerProgram::Sql;

    fn describe(&self) -> String {
        let (name, statements) = (&self.connection, self.statements.trim_end());
        match &self.file {
            Some(file) => format!("sql on {name}, from {file}\n{statements}"),
            None => format!("sql on {name}\n{statements}"),
        }
    }

    /// Runs the statements; prints row counts and the last result set. Exit status 1 when one fails, that of a shell when the program that runs them was killed.
    fn run(&self) -> ExitCode {
        match run(self) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => {
                say(&format!("error: {}", failure.reason));
                failure.status()
            }
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
    pub(super) fn collect(&self, limit: usize) -> Result<Table, JobFailure> {
        let mut table = Table { limit, ..Table::default() };
        execute(self, &mut table)?;
        Ok(table)
    }
}

fn run(job: &SqlJob) -> Result<(), JobFailure> {
    let mut output = Output::new(job.to.as_deref());
    let count = execute(job, &mut output)?;
    output.finish()?;
    if count == 0 {
        say("there are no statements");
    }
    Ok(())
}

/// Runs all statements in one transaction; gives their number.
fn execute(job: &SqlJob, output: &mut dyn Rows) -> Result<usize, JobFailure> {
    let explained = |error: SqlError| match error.next(&job.connection) {
        Some(next) => format!("connection {}: {error}\n  next: {next}", job.connection),
        None => error.to_string(),
    };
    keep_secret(job.secrets.iter().chain(&job.password));
    let mut session = connect(&job.connection, &job.database, job.password.as_deref(), &job.home).map_err(explained)?;
    let statements = split(&job.statements, session.dialect()).map_err(|unclosed| {
        format!("{}: this {} is never closed; nothing was run", job.point(unclosed.at), unclosed.what)
    })?;
    let is_stopped = Arc::new(AtomicBool::new(false));
    cancel_on_stop(session.canceller(), job.to.clone(), Arc::clone(&is_stopped))
        .map_err(|error| format!("cannot watch for signals: {error}"))?;
    let commits_early = session.dialect() == Dialect::Mysql && statements.iter().any(commits_implicitly);
    if commits_early && statements.len() > 1 {
        say(
            "warning: CREATE, ALTER, DROP and their like commit at once here: what ran before them stays after an error",
        );
    }
    let has_transactions = session.dialect().has_transactions();
    if !has_transactions && statements.len() > 1 {
        say("warning: there are no transactions here: what ran before an error stays");
    }
    let after_error = match (has_transactions, commits_early) {
        (false, _) => "what ran before it stays",
        (true, true) => "what ran since the last implicit commit was rolled back",
        (true, false) => "everything was rolled back",
    };
    session.begin().map_err(explained)?;
    session.expect(&statements, &job.params).map_err(explained)?;
    let mask = Mask::new(job.secrets.iter().map(String::as_str));
    for statement in &statements {
        stop_here(&is_stopped, after_error)?;
        let started = Instant::now();
        let outcome = session.run(statement, &job.params, output).map_err(|error| {
            let place = job.point(error.offset.map_or(statement.span.start, |offset| statement.origin(offset)));
            let text = excerpt(&mask.text(&job.statements[statement.span.clone()]));
            let next = error.next(&job.connection).map(|next| format!("\n  next: {next}")).unwrap_or_default();
            let reason = format!("{place}: {error}\n  in: {text}\n  {after_error}{next}");
            JobFailure { reason, signal: error.signal }
        })?;
        let outcome = match outcome {
            Outcome::Returned(count) => rows(count),
            Outcome::Changed(count) => format!("{} changed", rows(count)),
            Outcome::Done => "done".to_owned(),
        };
        say(&format!("{}: {outcome} in {}", job.place(statement.span.start), format_duration(started.elapsed())));
    }
    stop_here(&is_stopped, after_error)?;
    session
        .commit()
        .map_err(|error| format!("the transaction could not be committed: {error}; nothing was changed"))?;
    Ok(statements.len())
}

/// Between two statements there is nothing to cancel, but the rest must not run.
fn stop_here(is_stopped: &AtomicBool, after_error: &str) -> Result<(), String> {
    if is_stopped.load(Ordering::Relaxed) { Err(format!("stopped; {after_error}")) } else { Ok(()) }
}

/// TERM cancels the statement on the server, which would else run on; the error that follows ends the process.
fn cancel_on_stop(cancel: Canceller, to: Option<PathBuf>, is_stopped: Arc<AtomicBool>) -> std::io::Result<()> {
    let mut signals = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT])?;
    std::thread::spawn(move || {
        if signals.forever().next().is_some() {
            is_stopped.store(true, Ordering::Relaxed);
            say("stopped: cancelling the statement");
            let deadline = Instant::now() + CANCEL_GRACE;
            let mut failure = None;
            // The process ends meanwhile.
            while Instant::now() < deadline {
                failure = cancel().err();
                std::thread::sleep(CANCEL_AGAIN);
            }
            let why = failure.map_or_else(|| "it does not end".to_owned(), |error| error.to_string());
            say(&format!("error: the statement could not be cancelled: {why}"));
            if let Some(to) = &to {
                // It may not exist, and the process ends here.
                let _ = std::fs::remove_file(output::temporary(to));
            }
            std::process::exit(1);
        }
    });
    Ok(())
}

/// Whether `MySQL` commits the transaction before this statement.
fn commits_implicitly(statement: &Statement) -> bool {
    let words = statement.words(2);
    let first = words.first().map_or("", String::as_str);
    let is_temporary = words.get(1).is_some_and(|word| word == "TEMPORARY");
    let commits = ["CREATE", "ALTER", "DROP", "TRUNCATE", "RENAME", "GRANT", "REVOKE", "LOCK", "BEGIN", "START"];
    commits.contains(&first) && !is_temporary
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
