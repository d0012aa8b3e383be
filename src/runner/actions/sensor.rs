//! `wait`: one poll, by a process of its own (`crondag __sensor`) where it asks a database or a web server. `crondag test`
//! polls every condition this way.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::job::{InnerProgram, Job, JobFailure};
use super::materials::{Command, Materials, PrepareError};
use super::shell;
use super::sql::{SqlJob, Value, say};
use crate::dag::schedule::DataInterval;
use crate::dag::wait::NOT_YET;
use crate::dag::{AwaitedDag, Condition, Sql, SqlSource};
use crate::home::Home;
use crate::runner::awaited;
use crate::runner::client;
use crate::runner::engine::PollResult;
use crate::runner::{catalog, files};
use crate::store::Store;

/// How long a web server may take.
const ANSWER: Duration = Duration::from_secs(30);
/// How much of an answer is searched.
const BODY: u64 = 10 << 20;

/// What the process is told on its standard input.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Poll {
    Query(Box<SqlJob>),
    Url {
        url: String,
        status: Option<u16>,
        contains: Option<String>,
    },
    File {
        home: PathBuf,
        path: String,
    },
    Gate {
        home: PathBuf,
        gate: String,
        ds: String,
    },
    Dag {
        home: PathBuf,
        own: String,
        interval: DataInterval,
        awaited: AwaitedDag,
        /// For people: with the dates.
        words: String,
    },
}

/// The command that polls a condition: bash itself where the condition is a script, else an inner program.
pub(super) fn command(condition: &Condition, materials: &Materials<'_>) -> Result<Command, PrepareError> {
    let home = || materials.home.to_path_buf();
    match condition {
        Condition::Command(script) => shell::command(script, materials),
        Condition::Query { connection, query, params } => materials.job(|materials| {
            let source = SqlSource::Inline(query.clone());
            let sql = Sql { connection: connection.clone(), source, params: params.clone(), to: None };
            Ok(Poll::Query(Box::new(SqlJob::of(&sql, materials)?)))
        }),
        Condition::Url { url, status, contains } => materials.job(|materials| {
            let contains = contains.as_ref().map(|text| materials.renderer.render(text)).transpose()?;
            Ok(Poll::Url { url: materials.renderer.render(url)?, status: *status, contains })
        }),
        Condition::File(path) => {
            materials.job(|materials| Ok(Poll::File { home: home(), path: materials.renderer.render(path)? }))
        }
        Condition::Gate(gate) => materials.job(|materials| {
            Ok(Poll::Gate { home: home(), gate: materials.renderer.render(gate)?, ds: materials.variable("ds") })
        }),
        Condition::Dag(awaited) => materials.job(|materials| {
            let (own, interval) = (materials.scope.dag, materials.scope.interval);
            let other = awaited::file(&Home::at(home()), &awaited.dag, materials.config);
            let awaited = awaited.rendered(|text| materials.renderer.render(text))?;
            let words = awaited::in_words(own, interval, &awaited, other);
            Ok(Poll::Dag { home: home(), own: own.id.to_string(), interval, awaited, words })
        }),
    }
}

impl Poll {
    fn poll(&self) -> Result<PollResult, JobFailure> {
        match self {
            Poll::Query(job) => {
                let table = job.collect(1)?;
                let cell = table.rows.first().and_then(|row| row.first());
                Ok(match cell {
                    None => PollResult::NotYet("the query gives no row".to_owned()),
                    Some(cell) if is_true(cell) => PollResult::Found,
                    Some(cell) => PollResult::NotYet(format!("the first cell is {cell}")),
                })
            }
            Poll::Url { url, status, contains } => Ok(ask(url, *status, contains.as_deref())),
            Poll::File { home, path } => match files::exists(&home.join(path)) {
                Ok(true) => Ok(PollResult::Found),
                Ok(false) => Ok(PollResult::NotYet(format!("file {path}"))),
                Err(error) => Err(format!("cannot look for {path}: {error}").into()),
            },
            Poll::Gate { home, gate, ds } => {
                let Some(store) = open(&Home::at(home.clone()))? else { return Ok(nothing_has_run()) };
                awaited::poll_gate(&store, gate, ds).map_err(|error| error.to_string().into())
            }
            Poll::Dag { home, own, interval, awaited, .. } => {
                let home = Home::at(home.clone());
                let (config, _) = catalog::load_config(&home).map_err(|file| file.summary())?;
                let (own, _) = catalog::load_dag(&home.dag_path(own), &config).map_err(|file| file.summary())?;
                let Some(store) = open(&home)? else { return Ok(nothing_has_run()) };
                let other = awaited::file(&home, &awaited.dag, &config);
                awaited::poll(&store, &own, *interval, awaited, other).map_err(|error| error.to_string().into())
            }
        }
    }
}

/// The database; `None` in a home that has none yet, where a task is tried.
fn open(home: &Home) -> Result<Option<Store>, String> {
    if !home.database_path().exists() {
        return Ok(None);
    }
    client::open_store(home).map(Some).map_err(|error| error.to_string())
}

fn nothing_has_run() -> PollResult {
    PollResult::NotYet("nothing has run in this home".to_owned())
}

fn failed(failure: &JobFailure) -> ExitCode {
    say(&format!("error: {}", failure.reason));
    failure.status()
}

/// What every database means by true, also where truth is a number or a text.
fn is_true(cell: &Value) -> bool {
    match cell {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Integer(number) => *number != 0,
        Value::Real(number) => *number != 0.0,
        Value::Decimal(text) => text.parse::<f64>().is_ok_and(|number| number != 0.0),
        Value::Text(text) => {
            let text = text.trim();
            !text.is_empty()
                && text != "0"
                && !["false", "f", "null", "no", "n"].iter().any(|no| text.eq_ignore_ascii_case(no))
        }
        Value::Bytes(bytes) => !bytes.is_empty(),
    }
}

/// A server that does not answer, or answers something else, is one that does not answer as expected yet.
fn ask(url: &str, status: Option<u16>, contains: Option<&str>) -> PollResult {
    let agent: ureq::Agent =
        ureq::Agent::config_builder().timeout_global(Some(ANSWER)).http_status_as_error(false).build().into();
    let mut answer = match agent.get(url).call() {
        Ok(answer) => answer,
        Err(ureq::Error::BadUri(reason)) => return PollResult::Failed(format!("{url} is no URL: {reason}")),
        Err(error) => return PollResult::NotYet(format!("{url} does not answer: {error}")),
    };
    let code = answer.status().as_u16();
    if !status.map_or((200..300).contains(&code), |expected| code == expected) {
        return PollResult::NotYet(format!("{url} answers with status {code}"));
    }
    let Some(contains) = contains else { return PollResult::Found };
    match answer.body_mut().with_config().limit(BODY).lossy_utf8(true).read_to_string() {
        Ok(body) if body.contains(contains) => PollResult::Found,
        Ok(_) => PollResult::NotYet(format!("the answer of {url} does not contain `{contains}`")),
        Err(error) => PollResult::NotYet(format!("the answer of {url} cannot be read: {error}")),
    }
}

impl Job for Poll {
    const PROGRAM: InnerProgram = InnerProgram::Sensor;

    fn describe(&self) -> String {
        match self {
            Poll::Query(job) => format!("wait: the first cell is true of\n{}", job.describe()),
            Poll::Url { url, .. } => format!("wait: {url}"),
            Poll::File { path, .. } => format!("wait: file {path}"),
            Poll::Gate { gate, ds, .. } => format!("wait: gate {gate} of {ds}"),
            Poll::Dag { words, .. } => format!("wait: {words}"),
        }
    }

    /// Exit status 0: it is there; 75: not yet; 1: it cannot be polled.
    fn run(&self) -> ExitCode {
        match self.poll() {
            Ok(PollResult::Found) => {
                say("it is there");
                ExitCode::SUCCESS
            }
            Ok(PollResult::NotYet(what)) => {
                say(&format!("not yet: {what}"));
                ExitCode::from(u8::try_from(NOT_YET).unwrap_or(1))
            }
            Ok(PollResult::Failed(reason)) => failed(&reason.into()),
            Err(failure) => failed(&failure),
        }
    }
}
