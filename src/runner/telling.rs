//! From a notice that waits to what its channel needs: reads what telling takes of the database, the log and the files. That may take a
//! while, so it is done when the notice is delivered, and not by the driver's thread.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use super::attempt::Printed;
use super::attempt::environment::host;
use super::catalog;
use super::evidence::{self, Failed};
use crate::dag::Config;
use crate::diagnose::Diagnosis;
use crate::home::Home;
use crate::notify::render::{self, Evidence, LogTail, Place};
use crate::notify::{Notice, NoticeEvent, RunFacts, TaskFacts, Telling};
use crate::runner::attempt::Ending;
use crate::store::{Store, StoreError, WaitingNotice};

/// How many lines of a log a mail shows.
const TAIL_LINES: usize = 50;
/// How much of a log is read for them.
const TAIL_BYTES: u64 = 64 << 10;

/// What is told of a notice.
///
/// # Errors
/// The notice cannot be read, or what a digest is to list; reads after "error: ".
pub(crate) fn of_notice(waiting: &WaitingNotice, home: &Home, config: &Config) -> Result<Telling, TellingError> {
    let notice = Notice::from_json(&waiting.notice).map_err(TellingError::Notice)?;
    let evidence = match &notice.event {
        NoticeEvent::TaskFailed { run, task, .. } | NoticeEvent::TaskRetry { run, task, .. } => {
            let (diagnosis, undiagnosed) = match diagnosis(run, task, home, config) {
                Ok(diagnosis) => (diagnosis, None),
                Err(reason) => (None, Some(reason)),
            };
            Evidence { log: log_tail(home, task), diagnosis, undiagnosed, ..Evidence::default() }
        }
        NoticeEvent::TaskSucceeded { task, .. } => Evidence { log: log_tail(home, task), ..Evidence::default() },
        NoticeEvent::Digest { .. } => Evidence { held_back: held_back(waiting.id, home)?, ..Evidence::default() },
        NoticeEvent::RunFailed { .. }
        | NoticeEvent::Recovered { .. }
        | NoticeEvent::CheckWarned { .. }
        | NoticeEvent::Trouble { .. }
        | NoticeEvent::TroubleOver { .. }
        | NoticeEvent::Report(_)
        | NoticeEvent::Rendered { .. } => Evidence::default(),
    };
    let place = Place { home: home.root().to_path_buf(), host: host() };
    Ok(Telling { notice, evidence, place, message_id: waiting.message_id.clone() })
}

/// Why a notice cannot be told. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub(crate) enum TellingError {
    /// It never can.
    #[error("{0}")]
    Notice(String),
    /// The database cannot be read now.
    #[error("what was held back cannot be read: {0}")]
    Store(#[from] StoreError),
}

fn held_back(digest: i64, home: &Home) -> Result<Vec<(jiff::Timestamp, Notice)>, TellingError> {
    let store = Store::open_read_only(&home.database_path())?;
    let held = store.held_back(digest)?.into_iter();
    held.map(|(at, text)| Ok((at, Notice::from_json(&text).map_err(TellingError::Notice)?))).collect()
}

/// Why the attempt failed, as far as its log, its upstreams and the recorded values show; `None` when there was no attempt.
fn diagnosis(run: &RunFacts, task: &TaskFacts, home: &Home, config: &Config) -> Result<Option<Diagnosis>, String> {
    let unreadable = |error: StoreError| format!("the database cannot be read: {error}");
    let store = Store::open_read_only(&home.database_path()).map_err(unreadable)?;
    let found = store.run(run.number).map_err(unreadable)?;
    let Some(row) = found.filter(|row| row.run_id == run.run_id) else {
        return Err("the run has been removed since".to_owned());
    };
    let attempts = store.attempts_of_run(run.number).map_err(unreadable)?;
    let attempt =
        attempts.iter().find(|other| other.task_id.as_str() == task.task_id && other.try_number == task.try_number);
    let Some(attempt) = attempt else { return Ok(None) };
    let text = match row.version_id {
        Some(version) => store.version(version).map_err(unreadable)?.map(|version| version.text),
        None => None,
    };
    let dag = text.and_then(|text| catalog::load_version(row.dag_id.as_str(), &text, config).ok());
    let Some((dag, index)) = dag.and_then(|dag| dag.task_index(&task.task_id).map(|index| (dag, index))) else {
        return Err("the DAG file of the run can no longer be read".to_owned());
    };
    let mut tasks = store.task_instances(run.number).map_err(unreadable)?;
    // What came later says nothing of it.
    if let Some(until) = attempt.ended_at {
        evidence::as_of(until, &mut tasks, &attempts);
    }
    // Faults of diagnosis.toml are for `validate`: a mail goes out with the causes that can be read.
    let (catalogue, _) = evidence::catalogue(home);
    let failed = Failed {
        home,
        config,
        dag: &dag,
        task: index,
        run: render::run_selector(run.run_type, &run.run_id, &run.ds, &run.data_interval).to_owned(),
        logical_date: row.logical_date,
        ending: attempt.ending.as_deref().and_then(Ending::read),
        started: Some(attempt.started_at),
        log_file: &attempt.log_file,
        printed: attempt.printed,
        tasks: &tasks,
        until: attempt.ended_at,
    };
    Ok(Some(catalogue.diagnose(&evidence::gather(&failed, &catalogue))))
}

fn log_tail(home: &Home, task: &TaskFacts) -> LogTail {
    if task.log_file.is_empty() {
        return LogTail::None;
    }
    let printed = task.printed.map(|(from, until)| Printed { from, until });
    match tail(&home.root().join(&task.log_file), printed) {
        Ok(lines) => LogTail::Lines(lines),
        Err(error) if error.kind() == io::ErrorKind::NotFound => LogTail::Removed,
        Err(error) => LogTail::Unreadable(error.to_string()),
    }
}

/// The last lines that the task itself printed. Where it is not known what it printed, its shim was killed.
fn tail(path: &Path, printed: Option<Printed>) -> io::Result<Vec<String>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let Printed { from, until } = printed.unwrap_or(Printed { from: 0, until: length });
    let until = until.min(length);
    let from = until.saturating_sub(TAIL_BYTES).max(from);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(until.saturating_sub(from)).read_to_end(&mut bytes)?;
    if printed.is_none() && from == 0 {
        let own = usize::try_from(Printed::guessed(&bytes, (&bytes, 0), false).from).unwrap_or(0);
        bytes.drain(..own);
    }
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let lines = lines.iter().rposition(|line| !line.trim().is_empty()).map_or(&[][..], |last| &lines[..=last]);
    let lines = lines.iter().position(|line| !line.trim().is_empty()).map_or(&[][..], |first| &lines[first..]);
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].iter().map(|line| (*line).to_owned()).collect())
}
