//! What tasks printed: the attempts with their log files, and the text of a log while it grows.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::tasks::{RunTasks, TaskAnswer, of_run, task_of_run};
use crate::app::select;
use crate::app::times::Moment;
use crate::app::{App, AppError};
use crate::dag::{DagId, RunNumber, TaskId, TaskState};
use crate::store::{Attempt, AttemptFilter, RunRow, Store};

/// An attempt and where its log is. The fields stand in the order in which `--json` has always had them.
#[derive(Debug, Clone, Serialize)]
pub struct AttemptAnswer {
    /// Of all its processes, in seconds; known once it has ended.
    pub cpu_seconds: Option<f64>,
    pub dag_id: DagId,
    pub end_date: Option<Moment>,
    /// The whole path.
    pub log_file: PathBuf,
    /// Of its largest process, in bytes; known once it has ended.
    pub max_rss_bytes: Option<u64>,
    pub run_id: String,
    pub start_date: Moment,
    pub task_id: TaskId,
    /// Which attempt of the task it is; the first is 1.
    pub try_number: u32,
    /// As the database has it: below the home.
    #[serde(skip)]
    pub path_in_home: String,
}

/// Which attempts are asked for.
#[derive(Debug, Clone, Default)]
pub struct AttemptsQuestion {
    /// Of this task.
    pub task: Option<String>,
    /// Of the runs of this date, or of this run id; without it, of the last run.
    pub run: Option<String>,
    /// Of all runs, only what ran at that time, in place of `run`.
    pub at: Option<String>,
    /// This attempt of each task.
    pub try_number: Option<u32>,
    /// Only the newest attempts of tasks, and only of those that have failed or are to be tried again.
    pub failed_only: bool,
}

/// A run with its attempts.
#[derive(Debug, Clone)]
pub struct RunAttempts {
    /// The run with its tasks.
    pub run: RunTasks,
    /// The attempts that are asked for, in the order of the DAG and of their numbers.
    pub attempts: Vec<AttemptAnswer>,
    /// Tasks among those that are asked for that failed without a log: a wait in vain, say.
    pub failed_without_log: Vec<TaskAnswer>,
}

/// The attempts that a question means, by run, oldest first.
///
/// # Errors
/// There is no such run or task; the nearest ones are named.
pub fn attempts(app: &App, dag_id: &DagId, question: &AttemptsQuestion) -> Result<Vec<RunAttempts>, AppError> {
    let store = app.store()?;
    let at = question.at.as_deref().map(|at| select::past_time(at, &app.zone_of(dag_id), app.now)).transpose()?;
    if let Some(at) = at {
        let Some(store) = &store else { return Ok(Vec::new()) };
        let (going_since, going_until) = (Some(at), Some(at));
        let task = question.task.clone();
        let filter = AttemptFilter { dag_id: dag_id.clone(), task, going_since, going_until, limit: None };
        let runs: BTreeSet<RunNumber> =
            store.attempts_of_dag(&filter)?.into_iter().map(|attempt| attempt.run).collect();
        let mut found = Vec::new();
        for number in runs {
            // A run that is deleted in this moment takes its attempts with it.
            let Some(run) = store.run(number)? else { continue };
            found.push(of_one_run(app, store, &run, question, Some(at))?);
        }
        return Ok(found);
    }
    let mut runs = select::runs(app, store.as_ref(), dag_id, question.run.as_deref())?;
    // `select::runs` found them there, so there is a database.
    let Some(store) = &store else { return Ok(Vec::new()) };
    if question.task.is_some() {
        // Several runs of one day: the newest.
        runs.drain(..runs.len().saturating_sub(1));
    }
    runs.iter().map(|run| of_one_run(app, store, run, question, None)).collect()
}

fn of_one_run(
    app: &App,
    store: &Store,
    run: &RunRow,
    question: &AttemptsQuestion,
    at: Option<Timestamp>,
) -> Result<RunAttempts, AppError> {
    let zone = app.zone_of(&run.dag_id);
    let tasks = of_run(app, store, run)?;
    let only = match &question.task {
        Some(name) => Some(task_of_run(app, store, run, name)?),
        None => None,
    };
    let found = match &only {
        Some(task) => store.attempts(run.number, task)?,
        None => store.attempts_of_run(run.number)?,
    };
    let without_log = |task: &&TaskAnswer| {
        let has_log = || found.iter().any(|attempt| attempt.task_id == task.task_id);
        task.has_failed() && only.as_ref().is_none_or(|only| *only == task.task_id) && !has_log()
    };
    let failed_without_log = tasks.tasks.iter().filter(without_log).cloned().collect();
    let is_newest_of_failed = |attempt: &Attempt| {
        let task = tasks.tasks.iter().find(|task| task.task_id == attempt.task_id);
        task.is_some_and(|task| task.has_failed() && task.try_number == attempt.try_number)
    };
    let is_wanted = |attempt: &Attempt| {
        at.is_none_or(|at| attempt.started_at <= at && attempt.ended_at.is_none_or(|end| end >= at))
            && question.try_number.is_none_or(|wanted| attempt.try_number == wanted)
            && (!question.failed_only || is_newest_of_failed(attempt))
    };
    let dag = app.dag_of_run(store, run)?;
    let attempts = select::in_dag_order(dag.as_ref(), found, |attempt| &attempt.task_id)
        .into_iter()
        .filter(is_wanted)
        .map(|attempt| AttemptAnswer {
            cpu_seconds: attempt.cpu_seconds,
            dag_id: run.dag_id.clone(),
            end_date: attempt.ended_at.map(|at| Moment::new(at, &zone)),
            log_file: app.home.root().join(&attempt.log_file),
            max_rss_bytes: attempt.max_rss_bytes,
            run_id: run.run_id.clone(),
            start_date: Moment::new(attempt.started_at, &zone),
            task_id: attempt.task_id,
            try_number: attempt.try_number,
            path_in_home: attempt.log_file,
        })
        .collect();
    Ok(RunAttempts { run: tasks, attempts, failed_without_log })
}

/// The log of an attempt, open for reading.
///
/// # Errors
/// It is gone, or may not be read.
pub fn open(path: &Path) -> Result<Log, AppError> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    Ok(Log { file, path: path.to_path_buf() })
}

/// The log of the attempt that a question about one task means: the newest one, unless it names another.
///
/// # Errors
/// There is no such run, task or attempt, or the log is gone.
pub fn of_task(app: &App, dag_id: &DagId, task: &str, question: &AttemptsQuestion) -> Result<Log, AppError> {
    let (store, run, task) = meant(app, dag_id, task, question)?;
    let attempt = attempt_of(&store, &run, &task, question.try_number)?;
    open(&app.home.root().join(&attempt.log_file))
}

/// What [`of_task`] reads, while it grows, through all attempts of the task until its end; with a number, that attempt only.
///
/// # Errors
/// There is no such run or task.
pub fn follow<'a>(
    app: &'a App,
    dag_id: &DagId,
    task: &str,
    question: &AttemptsQuestion,
) -> Result<Follower<'a>, AppError> {
    let (store, run, task) = meant(app, dag_id, task, question)?;
    Ok(Follower { app, store, run, task, wanted: question.try_number, read_until: None, attempt: None })
}

fn meant(
    app: &App,
    dag_id: &DagId,
    task: &str,
    question: &AttemptsQuestion,
) -> Result<(Store, RunRow, TaskId), AppError> {
    let store = app.store()?;
    // Several runs of one day: the newest.
    let run = select::runs(app, store.as_ref(), dag_id, question.run.as_deref())?.pop();
    let (Some(run), Some(store)) = (run, store) else { return Err(select::no_runs_yet(dag_id)) };
    let task = task_of_run(app, &store, &run, task)?;
    Ok((store, run, task))
}

/// An attempt of a task: the newest one, unless another is named.
///
/// # Errors
/// There is no such attempt, and why.
pub(crate) fn attempt_of(store: &Store, run: &RunRow, task: &TaskId, wanted: Option<u32>) -> Result<Attempt, AppError> {
    let mut attempts = store.attempts(run.number, task)?;
    let Some(newest) = attempts.pop() else { return Err(without_attempt(store, run, task)?) };
    match wanted {
        None => Ok(newest),
        Some(wanted) if wanted == newest.try_number => Ok(newest),
        Some(wanted) => {
            let tries = newest.try_number;
            attempts.into_iter().find(|attempt| attempt.try_number == wanted).ok_or_else(|| {
                AppError::usage(
                    format!("{task} has no try {wanted} in {}, its newest is {tries}", run.run_id),
                    format!("crondag logs {} {task} {} --try {tries}", run.dag_id, run.run_id),
                )
            })
        }
    }
}

/// What there is to say of a task without a log: it has not started, or it is a wait that needs no process.
fn without_attempt(store: &Store, run: &RunRow, task: &TaskId) -> Result<AppError, AppError> {
    let instance = store.task_instances(run.number)?.into_iter().find(|instance| instance.task_id == *task);
    let (state, reason) = instance.map_or((TaskState::None, None), |instance| (instance.state, instance.reason));
    let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
    let (dag, run) = (&run.dag_id, &run.run_id);
    let explain = format!("crondag explain {dag} {task} {run}");
    let (message, next) = match state {
        TaskState::Failed => (
            format!("{task} failed in {run} without a log{because}"),
            format!("crondag clear {dag} {run} --task {task}"),
        ),
        TaskState::Skipped => (format!("{task} was skipped in {run} without a log{because}"), explain),
        TaskState::Success => {
            (format!("{task} succeeded in {run} without a log"), format!("crondag tasks {dag} {run}"))
        }
        TaskState::UpForReschedule => (format!("{task} still waits in {run}, without a log"), explain),
        TaskState::None | TaskState::Running | TaskState::UpForRetry | TaskState::UpstreamFailed => {
            (format!("{task} has not started in {run}"), explain)
        }
    };
    Ok(AppError::usage(message, next))
}

fn unreadable(path: &Path, error: &io::Error) -> AppError {
    if error.kind() == io::ErrorKind::NotFound {
        AppError::environment(
            format!("the log {} is gone", path.display()),
            "logs are kept as long as `keep` under [logs] in crondag.toml says; if it is newer, look into .crondag/driver.log",
        )
    } else {
        AppError::environment(format!("cannot read the log {}: {error}", path.display()), "check who owns it")
    }
}

/// The text of a log, piece by piece.
#[derive(Debug)]
pub struct Log {
    file: File,
    path: PathBuf,
}

impl Log {
    /// The next piece; empty at what is the end by now. Bytes: what a task prints need not be text.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_piece(&mut self) -> Result<Vec<u8>, AppError> {
        let mut buffer = vec![0; 64 << 10];
        let length = self.file.read(&mut buffer).map_err(|error| unreadable(&self.path, &error))?;
        buffer.truncate(length);
        Ok(buffer)
    }
}

/// What there is to tell of a log that grows.
#[derive(Debug, PartialEq, Eq)]
pub enum Followed {
    /// More of it.
    Text(Vec<u8>),
    /// Nothing new so far: ask again in a moment.
    Nothing,
    /// There will be no more of the attempt that was asked for.
    AttemptEnded,
    /// There will be no more: the task has ended like this.
    TaskEnded(TaskState),
}

/// Follows the log of a task.
pub struct Follower<'a> {
    app: &'a App,
    store: Store,
    run: RunRow,
    task: TaskId,
    wanted: Option<u32>,
    /// The newest attempt that was read to its end.
    read_until: Option<u32>,
    attempt: Option<(Attempt, Option<Log>)>,
}

impl Follower<'_> {
    /// What has been added since it was asked last.
    ///
    /// # Errors
    /// The log or the database cannot be read, or the run ended without the task.
    pub fn poll(&mut self) -> Result<Followed, AppError> {
        if self.attempt.is_none() {
            let attempts = self.store.attempts(self.run.number, &self.task)?;
            let is_next = |attempt: &Attempt| match self.wanted {
                Some(wanted) => attempt.try_number == wanted,
                None => self.read_until.is_none_or(|read| attempt.try_number > read),
            };
            self.attempt = attempts.into_iter().rfind(is_next).map(|attempt| (attempt, None));
        }
        match self.attempt.take() {
            Some((attempt, log)) => self.read(attempt, log),
            None => self.without_attempt(),
        }
    }

    fn read(&mut self, attempt: Attempt, log: Option<Log>) -> Result<Followed, AppError> {
        // Asked before reading: what was written before the recorded end is then read for sure.
        let attempts = self.store.attempts(self.run.number, &self.task)?;
        let now = attempts.iter().find(|other| other.try_number == attempt.try_number);
        let has_ended = now.is_none_or(|attempt| attempt.ended_at.is_some());
        let path = self.app.home.root().join(&attempt.log_file);
        let mut log = match log {
            Some(log) => log,
            // The shim makes it a moment after the attempt was claimed.
            None if !has_ended && !path.exists() => {
                self.attempt = Some((attempt, None));
                return Ok(Followed::Nothing);
            }
            None => open(&path)?,
        };
        let text = log.next_piece()?;
        if !text.is_empty() {
            self.attempt = Some((attempt, Some(log)));
            return Ok(Followed::Text(text));
        }
        if !has_ended {
            self.attempt = Some((attempt, Some(log)));
            return Ok(Followed::Nothing);
        }
        self.read_until = Some(attempt.try_number);
        if self.wanted.is_some() { Ok(Followed::AttemptEnded) } else { self.poll() }
    }

    fn without_attempt(&self) -> Result<Followed, AppError> {
        let tasks = self.store.task_instances(self.run.number)?;
        let state = tasks.iter().find(|task| task.task_id == self.task).map_or(TaskState::None, |task| task.state);
        if state.is_final() {
            return Ok(Followed::TaskEnded(state));
        }
        if self.store.run(self.run.number)?.is_none_or(|run| run.state.is_final()) {
            return Err(AppError::usage(
                format!("{} does not run in {}: the run has ended", self.task, self.run.run_id),
                format!("crondag tasks {} {}", self.run.dag_id, self.run.run_id),
            ));
        }
        Ok(Followed::Nothing)
    }
}
