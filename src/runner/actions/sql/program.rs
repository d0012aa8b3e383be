//! Hive through `beeline` and Spark SQL through `spark-sql`. One program runs a whole script, so that settings and
//! temporary views live from statement to statement; after each statement it answers a mark, which tells where the
//! result ends. Neither binds values: they are put in as literals. Knows how the programs are called and how their
//! errors read; how their rows are printed is in `printed`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use regex::Regex;

use super::printed::{Format, Printed};
use super::say::say;
use super::script::{Dialect, Statement};
use super::session::{Canceller, ErrorKind, Outcome, Params, Rows, Session, SqlError, values};
use crate::dag::config::{Hive, SparkSql};
use crate::runner::actions::job::signal_of;
use crate::runner::actions::spark;

/// How many lines of the errors are searched for the reason of a failure.
const REMEMBERED_LINES: usize = 400;
/// `beeline` quotes nothing unless this is set, and there is no option for it.
const QUOTE: &str = "-Ddisable.quoting.for.sv=false";
const JVM_OPTIONS: &str = "JAVA_TOOL_OPTIONS";

/// How one of the programs is called.
pub(super) struct Program {
    name: &'static str,
    command: Vec<String>,
    format: Format,
    /// Read by the program, so that it is in no process title.
    _password: Option<File>,
    running: Option<Running>,
    shared: Arc<Shared>,
}

/// What the canceller sees.
#[derive(Default)]
struct Shared {
    /// Not yet waited for.
    child: Mutex<Option<Child>>,
    is_cancelled: AtomicBool,
}

/// A program at work on a script.
struct Running {
    printed: Printed<BufReader<ChildStdout>>,
    errors: JoinHandle<Vec<String>>,
    /// How many statements it has not answered yet.
    left: usize,
    /// It reads the script from here.
    _script: File,
}

impl Program {
    pub(super) fn beeline(hive: &Hive, password: Option<&str>) -> Result<Program, SqlError> {
        let program = hive.program.clone().unwrap_or_else(|| "beeline".to_owned());
        let mut command: Vec<String> = vec![program, "-u".to_owned(), hive.url.clone()];
        if let Some(username) = &hive.username {
            command.extend(["-n".to_owned(), username.clone()]);
        }
        let password = password.map(in_memory).transpose()?;
        if let Some(file) = &password {
            command.extend(["-w".to_owned(), path_of(file)]);
        }
        let options = ["--silent=true", "--outputformat=csv2", "--showHeader=true", "--nullemptystring=false"];
        command.extend(options.map(str::to_owned));
        Ok(Program::new("beeline", command, Format::Csv, password))
    }

    pub(super) fn spark_sql(connection: &SparkSql) -> Program {
        let in_home = || std::env::var("SPARK_HOME").ok().map(|home| format!("{home}/bin/spark-sql"));
        let program = connection.program.clone().or_else(in_home).unwrap_or_else(|| "spark-sql".to_owned());
        let mut command = vec![program];
        command.extend(spark::arguments(&connection.options));
        // The second one decides what a literal means; a home's own settings must not.
        for setting in ["spark.sql.cli.print.header=true", "spark.sql.parser.escapedStringLiterals=false"] {
            command.extend(["--conf".to_owned(), setting.to_owned()]);
        }
        if let Some(database) = &connection.database {
            command.extend(["--database".to_owned(), database.clone()]);
        }
        Program::new("spark-sql", command, Format::Tabs, None)
    }

    fn new(name: &'static str, command: Vec<String>, format: Format, password: Option<File>) -> Program {
        Program { name, command, format, _password: password, running: None, shared: Arc::default() }
    }

    fn start(&mut self, statements: &[Statement], params: &Params) -> Result<(), SqlError> {
        // A column that no table has, nor any text.
        let moment = jiff::Timestamp::now().as_nanosecond();
        let mark = format!("crondag_end_{}_{moment:x}", std::process::id());
        let mut script = String::new();
        for statement in statements {
            script.push_str(&statement.filled(&values(statement, params)?));
            // On one line: spark-sql counts lines from the `;` before, and beeline prints an empty line for each it reads.
            script.extend([";SELECT 'n' AS ", &mark, ";"]);
            if self.format == Format::Csv {
                script.push('\n');
            }
        }
        let script = in_memory(&script)?;
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).arg("-f").arg(path_of(&script));
        if self.format == Format::Csv {
            let before = std::env::var(JVM_OPTIONS).map(|options| format!("{options} ")).unwrap_or_default();
            command.env(JVM_OPTIONS, format!("{before}{QUOTE}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let program = &self.command[0];
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => SqlError::other(format!(
                "there is no program `{program}`: set `program` of the connection in crondag.toml"
            )),
            _ => SqlError::other(format!("cannot run {program}: {error}")),
        })?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(SqlError::other(format!("{program} has no output")));
        };
        *lock(&self.shared.child) = Some(child);
        self.running = Some(Running {
            printed: Printed::new(BufReader::new(stdout), self.format, mark),
            errors: std::thread::spawn(move || pass_on(stderr)),
            left: statements.len(),
            _script: script,
        });
        Ok(())
    }

    /// Waits for the program, which has closed its output or is to be ended.
    fn end(&mut self) -> (Option<std::process::ExitStatus>, Vec<String>) {
        let Some(Running { printed, errors, .. }) = self.running.take() else { return (None, Vec::new()) };
        // It may have more to say than anybody reads, and must not wait for that.
        drop(printed);
        let lines = errors.join().unwrap_or_default();
        let status = lock(&self.shared.child).take().and_then(|mut child| child.wait().ok());
        (status, lines)
    }

    /// After the last statement: all is good only if the program says so too.
    fn close(&mut self) -> Result<(), SqlError> {
        if self.running.is_none() {
            return Ok(());
        }
        match self.end() {
            (Some(status), _) if status.success() => Ok(()),
            (status, lines) => {
                let reason = reason(&lines).unwrap_or_else(|| "it gave no reason".to_owned());
                let ended = status.map_or_else(|| "how it ended is not known".to_owned(), |status| status.to_string());
                let message = format!("{} failed after the last statement: {reason}", self.name);
                let signal = status.and_then(signal_of);
                Err(SqlError { kind: ErrorKind::Other, message, code: Some(ended), offset: None, signal })
            }
        }
    }

    fn failure(&mut self, statement: &Statement, filled: &[&str]) -> SqlError {
        let (status, lines) = self.end();
        let ended = status.map_or_else(|| "it ended".to_owned(), |status| status.to_string());
        if self.shared.is_cancelled.load(Ordering::Relaxed) {
            let message = format!("{} was ended while the statement ran", self.name);
            return SqlError { kind: ErrorKind::Cancelled, message, code: Some(ended), offset: None, signal: None };
        }
        let text = lines.join("\n");
        let offset = place(&text).and_then(|(line, column)| self.offset(statement, filled, line, column));
        let message = match reason(&lines) {
            Some(reason) => format!("{}: {reason}", self.name),
            None => format!("{} gave no result and no reason", self.name),
        };
        SqlError { kind: kind(&text), message, code: Some(ended), offset, signal: status.and_then(signal_of) }
    }

    /// The byte of `text` at a line (from 1) and a column (from 0) of what the program was given.
    fn offset(&self, statement: &Statement, values: &[&str], line: usize, column: usize) -> Option<usize> {
        let filled = statement.filled(values);
        let wanted = filled.split('\n').nth(line.checked_sub(1)?)?;
        let start = filled.split('\n').take(line - 1).map(|line| line.len() + 1).sum::<usize>();
        // beeline sends its lines without their indentation.
        let indentation = if self.format == Format::Csv { wanted.len() - wanted.trim_start().len() } else { 0 };
        let within = wanted[indentation..].char_indices().nth(column).map_or(wanted.len(), |(at, _)| at + indentation);
        Some(statement.unfilled(values, start + within))
    }
}

impl Session for Program {
    fn dialect(&self) -> Dialect {
        Dialect::Hive
    }

    fn expect(&mut self, statements: &[Statement], params: &Params) -> Result<(), SqlError> {
        if statements.is_empty() {
            return Ok(());
        }
        self.start(statements, params)
    }

    fn begin(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    fn commit(&mut self) -> Result<(), SqlError> {
        Ok(())
    }

    fn run(&mut self, statement: &Statement, params: &Params, rows: &mut dyn Rows) -> Result<Outcome, SqlError> {
        if self.running.is_none() {
            self.start(std::slice::from_ref(statement), params)?;
        }
        let Some(running) = &mut self.running else { return Ok(Outcome::Done) };
        let outcome = running.printed.result(rows).map_err(|error| SqlError::other(error.to_string()))?;
        match outcome {
            Some(outcome) => {
                running.left -= 1;
                if running.left == 0 {
                    self.close()?;
                }
                Ok(outcome)
            }
            None => Err(self.failure(statement, &values(statement, params)?)),
        }
    }

    fn canceller(&self) -> Canceller {
        let shared = Arc::clone(&self.shared);
        Box::new(move || {
            shared.is_cancelled.store(true, Ordering::Relaxed);
            terminate(&shared)
        })
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if self.running.is_some() {
            // It may have ended by itself.
            let _ = terminate(&self.shared);
            self.end();
        }
    }
}

fn terminate(shared: &Shared) -> Result<(), SqlError> {
    let child = lock(&shared.child);
    let Some(child) = child.as_ref() else { return Ok(()) };
    let ended = rustix::process::kill_process(rustix::process::Pid::from_child(child), rustix::process::Signal::TERM);
    ended.map_err(|error| SqlError::other(format!("the program cannot be ended: {error}")))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that holds it can leave it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that only this user's programs can open, by `path_of`, for as long as this process has it.
fn in_memory(text: &str) -> Result<File, SqlError> {
    let made = rustix::fs::memfd_create("crondag-sql", rustix::fs::MemfdFlags::CLOEXEC).map_err(std::io::Error::from);
    let written = made.and_then(|file| {
        let mut file = File::from(file);
        file.write_all(text.as_bytes())?;
        Ok(file)
    });
    written.map_err(|error| SqlError::other(format!("cannot hand over the statements: {error}")))
}

fn path_of(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

/// Passes the program's own lines on to the log; gives the last ones back.
fn pass_on(errors: ChildStderr) -> Vec<String> {
    let mut last = std::collections::VecDeque::new();
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    // An error is the end of the program's output like any other.
    while errors.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        if text.starts_with("Picked up JAVA_TOOL_OPTIONS") {
            continue;
        }
        say(&text);
        // What spark-sql closes a good statement with: what is above is of no more interest.
        if text.starts_with("Time taken: ") {
            last.clear();
            continue;
        }
        last.push_back(text);
        if last.len() > REMEMBERED_LINES {
            last.pop_front();
        }
    }
    last.into()
}

/// The line that says what went wrong.
fn reason(lines: &[String]) -> Option<String> {
    static LOGGED: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"^[0-9]{2,4}[-/][0-9]{2}[-/][0-9]{2}[ T][0-9:.,]+ \S* ?(TRACE|DEBUG|INFO|WARN)\b").ok()
    });
    let is_noise = |line: &&String| {
        let is_logged = LOGGED.as_ref().is_some_and(|logged| logged.is_match(line));
        let text = line.trim_start();
        is_logged || text.is_empty() || text.starts_with("at ") || text.starts_with("SLF4J") || text.starts_with("...")
    };
    let mut lines = lines.iter().filter(|line| !is_noise(line));
    let is_reason =
        |line: &&String| ["rror", "xception", "FAILED"].iter().any(|word| line.contains(word)) || line.starts_with('[');
    let first = lines.clone().next();
    let line = lines.by_ref().find(is_reason).or(first)?;
    // Only what the outermost exceptions say, not their names.
    let said = line.rsplit_once("Exception: ").map_or(line.as_str(), |(_, said)| said);
    let said = said.strip_prefix("Error: ").unwrap_or(said).trim();
    let said = if said.is_empty() { lines.next().map_or(line.as_str(), |next| next.trim()) } else { said };
    Some(said.trim_end_matches(';').to_owned())
}

/// Line (from 1) and column (from 0) of "line 3 pos 7", "line 1, pos 14" and Hive's "Line 1:14".
fn place(text: &str) -> Option<(usize, usize)> {
    static PLACE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\b[Ll]ine ([0-9]+)(?:,? pos |:)([0-9]+)").ok());
    let found = PLACE.as_ref()?.captures(text)?;
    Some((found[1].parse().ok()?, found[2].parse().ok()?))
}

fn kind(text: &str) -> ErrorKind {
    let kinds: [(ErrorKind, &[&str]); 4] = [
        (ErrorKind::MissingTable, &["TABLE_OR_VIEW_NOT_FOUND", "Table or view not found", "Table not found"]),
        (ErrorKind::UnknownDatabase, &["SCHEMA_NOT_FOUND", "NoSuchDatabase", "Database does not exist"]),
        (ErrorKind::Refused, &["Connection refused", "UnknownHostException", "SocketTimeoutException"]),
        (ErrorKind::Authentication, &["Error validating the login", "Error validating LDAP user"]),
    ];
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    kinds.iter().find(|(_, words)| has(words)).map_or(ErrorKind::Other, |(kind, _)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_reason_is_found_among_the_programs_lines() {
        let spark = "26/11/21 08:28:34 WARN Utils: an error of no interest\n\
            [TABLE_OR_VIEW_NOT_FOUND] The table or view `nope` cannot be found.; line 2 pos 14;\n'Project [*]\n";
        assert_eq!(
            reason(&lines(spark)).unwrap(),
            "[TABLE_OR_VIEW_NOT_FOUND] The table or view `nope` cannot be found.; line 2 pos 14"
        );
        assert_eq!((place(spark), kind(spark)), (Some((2, 14)), ErrorKind::MissingTable));
        let beeline = "Error: org.apache.hive.service.cli.HiveSQLException: Error running query: \
            [X] org.apache.spark.sql.AnalysisException: [X] A column; line 2 pos 0;\n\tat org.apache\n";
        assert_eq!(reason(&lines(beeline)).unwrap(), "[X] A column; line 2 pos 0");
        let parser = "Error: o.HiveSQLException: Error running query: [P] o.ParseException: \n[P] Syntax error at 'x'.(line 1, pos 7)\n";
        assert_eq!(reason(&lines(parser)).unwrap(), "[P] Syntax error at 'x'.(line 1, pos 7)");
        assert_eq!(place(parser), Some((1, 7)));
        let hive = "Error: Error while compiling statement: FAILED: SemanticException [Error 10001]: \
            Line 1:14 Table not found 'nope' (state=42S02,code=10001)\n";
        assert_eq!((place(hive), kind(hive)), (Some((1, 14)), ErrorKind::MissingTable));
        assert!(reason(&lines(hive)).unwrap().ends_with("Line 1:14 Table not found 'nope' (state=42S02,code=10001)"));
        assert_eq!(reason(&[]), None);
    }
}
