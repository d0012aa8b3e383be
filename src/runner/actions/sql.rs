//! `sql`: statements on one connection, in one transaction, by a process of their own (`crondag __sql`), so that timeout
//! and stop end them like any other task.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use rusqlite::types::ValueRef;
use rusqlite::{Statement, TransactionBehavior};
use serde::{Deserialize, Serialize};

use super::PrepareError;
use crate::dag::config::Connection;
use crate::dag::template::Renderer;
use crate::dag::units::format_duration;
use crate::dag::{Config, Sql, SqlSource};

/// How many rows of a result set are printed.
const SHOWN_ROWS: usize = 1_000;
/// How long a locked database is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(300);

/// What the process is told on its standard input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SqlJob {
    connection: String,
    database: PathBuf,
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
}

pub(super) fn job(home: &Path, config: &Config, sql: &Sql, renderer: &Renderer) -> Result<SqlJob, PrepareError> {
    let Some(Connection::Sqlite { path }) = config.connections.get(&sql.connection) else {
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
        database: home.join(path),
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

fn run(job: &SqlJob) -> Result<(), String> {
    let database = job.database.display();
    if let Some(folder) = job.database.parent().filter(|folder| !folder.is_dir()) {
        return Err(format!("the folder {} of connection {} does not exist", folder.display(), job.connection));
    }
    let mut connection = rusqlite::Connection::open(&job.database)
        .map_err(|error| format!("cannot open the database {database} of connection {}: {error}", job.connection))?;
    let opened = connection
        .busy_timeout(BUSY_TIMEOUT)
        .and_then(|()| connection.execute_batch("PRAGMA foreign_keys = ON;"))
        .and_then(|()| connection.transaction_with_behavior(TransactionBehavior::Immediate));
    let transaction = opened.map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DatabaseBusy) => {
            format!("another program has locked the database {database} for {}", format_duration(BUSY_TIMEOUT))
        }
        _ => format!("the database {database} of connection {} does not work: {error}", job.connection),
    })?;
    let mut last_table = None;
    let statements = split(&job.statements);
    for span in &statements {
        let text = &job.statements[span.clone()];
        let line = job.statements[..span.start].matches('\n').count() + 1;
        let place = match &job.file {
            Some(file) => format!("{file}:{line}"),
            None => format!("line {line} of the statements"),
        };
        let failed = |error: rusqlite::Error| {
            format!("{place}: {}\n  in: {}\n  everything was rolled back", message(&error), excerpt(text))
        };
        let started = Instant::now();
        let mut statement = transaction.prepare(text).map_err(failed)?;
        bind(&mut statement, &job.params)
            .map_err(|message| format!("{place}: {message}\n  everything was rolled back"))?;
        let before = transaction.total_changes();
        let outcome = if statement.column_count() > 0 {
            let table = read_table(&mut statement, job.to.is_some()).map_err(failed)?;
            let total = table.total;
            last_table = Some(table);
            rows(total)
        } else {
            statement.raw_execute().map_err(failed)?;
            format!("{} changed", rows(transaction.total_changes() - before))
        };
        println!("{place}: {outcome} in {}", format_duration(started.elapsed()));
    }
    transaction
        .commit()
        .map_err(|error| format!("the transaction could not be committed: {error}; nothing was changed"))?;
    match (&last_table, &job.to) {
        (Some(table), Some(to)) => {
            write_csv(table, to).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
            println!("wrote {} to {}", rows(table.total), to.display());
        }
        (None, Some(to)) => {
            return Err(format!("there is no result set for {}: end the statements with a SELECT", to.display()));
        }
        _ => {}
    }
    if let Some(table) = last_table {
        println!("{}", table.render());
    }
    if statements.is_empty() {
        println!("there are no statements");
    }
    // The numbers above are the task's result: a closed pipe must not turn success into failure.
    let _ = std::io::stdout().flush();
    Ok(())
}

/// Binds every `:name` (or `@name`, `$name`) of a statement; an unknown one is an error, never a silent NULL.
fn bind(statement: &mut Statement<'_>, params: &BTreeMap<String, String>) -> Result<(), String> {
    for index in 1..=statement.parameter_count() {
        let Some(name) = statement.parameter_name(index).map(str::to_owned) else {
            return Err("`?` cannot be bound: write `:name`".to_owned());
        };
        let Some(value) = params.get(&name[1..]) else {
            let known: Vec<&str> = params.keys().map(String::as_str).collect();
            return Err(format!("`{name}` is not defined; known are {}", known.join(", ")));
        };
        statement.raw_bind_parameter(index, value).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// The statements of a script: each span begins at its first word and ends with its `;`. `SQLite` itself says where a
/// statement is complete, so that texts, comments and trigger bodies may contain semicolons.
fn split(script: &str) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    let mut start = skip_blanks(script, 0);
    let mut from = start;
    while start < script.len() {
        let end = match script[from..].find(';') {
            Some(offset) => from + offset + 1,
            None => script.len(),
        };
        if end == script.len() || is_complete(&script[start..end]) {
            spans.push(start..end);
            start = skip_blanks(script, end);
            from = start;
        } else {
            from = end;
        }
    }
    spans
}

fn is_complete(sql: &str) -> bool {
    std::ffi::CString::new(sql).is_ok_and(|sql| crate::runner::sys::is_complete_sql(&sql))
}

/// The next place that is neither a blank, a comment, nor an empty statement.
fn skip_blanks(script: &str, mut at: usize) -> usize {
    loop {
        let rest = &script[at..];
        let trimmed = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        at += rest.len() - trimmed.len();
        let comment = if trimmed.starts_with("--") {
            trimmed.find('\n').map_or(trimmed.len(), |newline| newline + 1)
        } else if trimmed.starts_with("/*") {
            trimmed.find("*/").map_or(trimmed.len(), |close| close + 2)
        } else {
            return at;
        };
        at += comment;
    }
}

struct Table {
    names: Vec<String>,
    rows: Vec<Vec<String>>,
    total: u64,
}

/// Reads a result set; all of it when it is to be written, else only as many rows as are shown.
fn read_table(statement: &mut Statement<'_>, is_written: bool) -> rusqlite::Result<Table> {
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let mut table = Table { rows: Vec::new(), total: 0, names };
    let columns = table.names.len();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        table.total += 1;
        if is_written || table.rows.len() < SHOWN_ROWS {
            let cells = (0..columns).map(|column| row.get_ref(column).map(cell)).collect::<rusqlite::Result<_>>()?;
            table.rows.push(cells);
        }
    }
    Ok(table)
}

fn cell(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Null => "NULL".to_owned(),
        ValueRef::Integer(number) => number.to_string(),
        ValueRef::Real(number) => number.to_string(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
        ValueRef::Blob(bytes) => format!("<{} bytes>", bytes.len()),
    }
}

impl Table {
    fn render(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::ASCII_MARKDOWN);
        table.set_header(&self.names);
        let shown = &self.rows[..self.rows.len().min(SHOWN_ROWS)];
        table.add_rows(shown);
        let mut text = table.to_string();
        let left_out = self.total - shown.len() as u64;
        if left_out > 0 {
            text = format!("{text}\n... and {} more", rows(left_out));
        }
        text
    }
}

/// Writes a CSV file as RFC 4180 has it; readers see the old file or the new one, never half of it.
fn write_csv(table: &Table, to: &Path) -> std::io::Result<()> {
    let folder = to.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let name = to.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.{}", std::process::id()));
    let quote = |cell: &String| match cell {
        cell if cell.contains([',', '"', '\n', '\r']) => format!("\"{}\"", cell.replace('"', "\"\"")),
        cell => cell.clone(),
    };
    let mut text = String::new();
    for row in std::iter::once(&table.names).chain(&table.rows) {
        text.push_str(&row.iter().map(quote).collect::<Vec<_>>().join(","));
        text.push('\n');
    }
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, to)
}

fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn message(error: &rusqlite::Error) -> String {
    match error {
        rusqlite::Error::SqliteFailure(_, Some(message)) => message.clone(),
        rusqlite::Error::SqlInputError { msg, .. } => msg.clone(),
        other => other.to_string(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_split_where_sqlite_says() {
        let script = "-- first; comment\nSELECT ';' ; /* ; */ CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT 2; END;\n\nSELECT 3";
        let parts: Vec<&str> = split(script).into_iter().map(|span| &script[span]).collect();
        let trigger = "CREATE TRIGGER t AFTER INSERT ON x BEGIN SELECT 1; SELECT 2; END;";
        assert_eq!(parts, ["SELECT ';' ;", trigger, "SELECT 3"]);
        assert!(split("  ; -- nothing\n /* open").is_empty());
    }
}
