//! `crondag logs`

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::tasks::tasks_of;
use crate::app::select;
use crate::app::times::{clock, elapsed, rfc3339};
use crate::dag::units::format_duration;
use crate::dag::{DagId, TaskId, TaskState};
use crate::store::{Attempt, RunRow, Store};

/// Options of `logs`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag logs userprofile merge 20180701\n  crondag logs userprofile merge -f            follow the newest\n  \
                        crondag logs userprofile                     the log files of the newest run"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task [default: list the log files of the run]
    task: Option<String>,
    /// The run's logical date, or its id [default: the newest run]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Which attempt [default: the newest]
    #[arg(long = "try", value_name = "N")]
    try_number: Option<u32>,
    /// Print what is added until the task has ended
    #[arg(short, long, requires = "task", conflicts_with = "json")]
    follow: bool,
    /// Print the attempts with their log files as JSON
    #[arg(long)]
    json: bool,
}

/// How often `-f` looks for more.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let store = app.store()?;
    // Several runs of one day: the newest.
    let found = select::runs(&app, store.as_ref(), &dag_id, args.run.as_deref())?.pop();
    let (Some(run), Some(store)) = (found, &store) else { return Ok(ExitCode::SUCCESS) };
    if args.json {
        return list_json(args, &app, store, &run);
    }
    let Some(name) = &args.task else {
        list(&app, store, &run)?;
        return Ok(ExitCode::SUCCESS);
    };
    let task = task_of(&app, store, &run, name)?;
    if args.follow {
        return follow(&app, store, &run, &task, args.try_number);
    }
    let attempt = attempt_of(store, &run, &task, args.try_number)?;
    print_file(&app.home.root().join(&attempt.log_file))?;
    Ok(ExitCode::SUCCESS)
}

fn list(app: &App, store: &Store, run: &RunRow) -> Result<(), CliError> {
    let zone = app.zone_of(&run.dag_id);
    let mut table = Table::new(&["task", ">try", "started", ">duration", "file"]);
    let dag = app.dag_of_run(store, run)?;
    for attempt in select::in_dag_order(dag.as_ref(), store.attempts_of_run(run.number)?, |attempt| &attempt.task_id) {
        let end = attempt.ended_at.unwrap_or(app.now);
        table.row(vec![
            attempt.task_id.to_string().into(),
            attempt.try_number.to_string().into(),
            Cell::new(clock(attempt.started_at, &zone), Tone::Dim),
            format_duration(elapsed(attempt.started_at, end)).into(),
            attempt.log_file.into(),
        ]);
    }
    let mut page = Page::new();
    if table.is_empty() {
        page.line(format!("nothing of {} has started", run.run_id));
        page.next(&format!("crondag explain {} {}", run.dag_id, run.run_id));
    } else {
        page.table(&table);
    }
    page.print()
}

fn list_json(args: &Args, app: &App, store: &Store, run: &RunRow) -> Result<ExitCode, CliError> {
    let zone = app.zone_of(&run.dag_id);
    let attempts = match &args.task {
        Some(name) => store.attempts(run.number, &task_of(app, store, run, name)?)?,
        None => store.attempts_of_run(run.number)?,
    };
    let rows: Vec<serde_json::Value> = attempts
        .iter()
        .filter(|attempt| args.try_number.is_none_or(|wanted| attempt.try_number == wanted))
        .map(|attempt| {
            serde_json::json!({
                "dag_id": run.dag_id,
                "run_id": run.run_id,
                "task_id": attempt.task_id,
                "try_number": attempt.try_number,
                "start_date": rfc3339(attempt.started_at, &zone),
                "end_date": attempt.ended_at.map(|at| rfc3339(at, &zone)),
                "cpu_seconds": attempt.cpu_seconds,
                "max_rss_bytes": attempt.max_rss_bytes,
                "log_file": app.home.root().join(&attempt.log_file),
            })
        })
        .collect();
    print_json(&rows)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn task_of(app: &App, store: &Store, run: &RunRow, name: &str) -> Result<TaskId, CliError> {
    let tasks = tasks_of(app, store, run)?;
    if let Some(task) = tasks.into_iter().find(|task| task.task_id.as_str() == name) {
        return Ok(task.task_id);
    }
    if let Some(dag) = app.dag_of_run(store, run)? {
        select::task(&dag, name)?;
    }
    Err(CliError::usage(
        format!("the run {} has no task `{name}`", run.run_id),
        format!("crondag tasks {} {}", run.dag_id, run.run_id),
    ))
}

pub(super) fn attempt_of(store: &Store, run: &RunRow, task: &TaskId, wanted: Option<u32>) -> Result<Attempt, CliError> {
    let mut attempts = store.attempts(run.number, task)?;
    let Some(newest) = attempts.pop() else { return Err(without_attempt(store, run, task)?) };
    match wanted {
        None => Ok(newest),
        Some(wanted) if wanted == newest.try_number => Ok(newest),
        Some(wanted) => {
            let tries = newest.try_number;
            attempts.into_iter().find(|attempt| attempt.try_number == wanted).ok_or_else(|| {
                CliError::usage(
                    format!("{task} has no try {wanted} in {}, its newest is {tries}", run.run_id),
                    format!("crondag logs {} {task} {} --try {tries}", run.dag_id, run.run_id),
                )
            })
        }
    }
}

/// What there is to say of a task without a log: it has not started, or it is a wait that needs no process.
fn without_attempt(store: &Store, run: &RunRow, task: &TaskId) -> Result<CliError, CliError> {
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
    Ok(CliError::usage(message, next))
}

fn print_file(path: &Path) -> Result<(), CliError> {
    let mut file = File::open(path).map_err(|error| unreadable(path, &error))?;
    copy(&mut file, path).map(|_| ())
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    if error.kind() == io::ErrorKind::NotFound {
        CliError::environment(
            format!("the log {} is gone", path.display()),
            "logs are kept as long as `keep` under [logs] in crondag.toml says; if it is newer, look into .crondag/driver.log",
        )
    } else {
        CliError::environment(format!("cannot read the log {}: {error}", path.display()), "check who owns it")
    }
}

/// Copies what is left of a file to standard output; false when nobody reads it any more.
fn copy(file: &mut File, path: &Path) -> Result<bool, CliError> {
    let mut buffer = vec![0; 64 << 10];
    let mut out = io::stdout().lock();
    loop {
        let length = file.read(&mut buffer).map_err(|error| unreadable(path, &error))?;
        if length == 0 {
            return Ok(true);
        }
        match out.write_all(&buffer[..length]).and_then(|()| out.flush()) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
            Err(error) => {
                return Err(CliError::environment(
                    format!("cannot write to standard output: {error}"),
                    "check the disk or the program that the output goes to",
                ));
            }
        }
    }
}

/// Follows a task through its attempts until its end; with `--try`, that attempt only. Exit code 1 when it failed.
fn follow(app: &App, store: &Store, run: &RunRow, task: &TaskId, wanted: Option<u32>) -> Result<ExitCode, CliError> {
    let mut shown: Option<u32> = None;
    loop {
        let next = store.attempts(run.number, task)?.into_iter().rfind(|attempt| {
            wanted.map_or(shown.is_none_or(|shown| attempt.try_number > shown), |try_number| {
                attempt.try_number == try_number
            })
        });
        if let Some(attempt) = next {
            shown = Some(attempt.try_number);
            if !follow_attempt(app, store, run, task, &attempt)? {
                return Ok(ExitCode::SUCCESS);
            }
            if wanted.is_some() {
                return Ok(ExitCode::SUCCESS);
            }
            continue;
        }
        let state = state_of(store, run, task)?;
        match state {
            TaskState::Failed | TaskState::UpstreamFailed => return Ok(ExitCode::from(1)),
            TaskState::Success | TaskState::Skipped => return Ok(ExitCode::SUCCESS),
            TaskState::None | TaskState::Running | TaskState::UpForRetry | TaskState::UpForReschedule => {
                if store.run(run.number)?.is_none_or(|run| run.state.is_final()) {
                    return ended_without(&run.dag_id, task, run);
                }
                thread::sleep(LOOK);
            }
        }
    }
}

fn ended_without(dag_id: &DagId, task: &TaskId, run: &RunRow) -> Result<ExitCode, CliError> {
    Err(CliError::usage(
        format!("{task} does not run in {}: the run has ended", run.run_id),
        format!("crondag tasks {dag_id} {}", run.run_id),
    ))
}

fn state_of(store: &Store, run: &RunRow, task: &TaskId) -> Result<TaskState, CliError> {
    let found = store.task_instances(run.number)?.into_iter().find(|instance| instance.task_id == *task);
    Ok(found.map_or(TaskState::None, |instance| instance.state))
}

/// Prints an attempt's log as it grows; false when nobody reads it any more.
fn follow_attempt(app: &App, store: &Store, run: &RunRow, task: &TaskId, attempt: &Attempt) -> Result<bool, CliError> {
    let path = app.home.root().join(&attempt.log_file);
    let mut file: Option<File> = None;
    loop {
        // Asked before reading: what was written before the recorded end is then read for sure.
        let has_ended = store
            .attempts(run.number, task)?
            .iter()
            .find(|other| other.try_number == attempt.try_number)
            .is_none_or(|attempt| attempt.ended_at.is_some());
        if file.is_none() {
            match File::open(&path) {
                Ok(opened) => file = Some(opened),
                // The shim makes it a moment after the attempt was claimed.
                Err(error) if error.kind() == io::ErrorKind::NotFound && !has_ended => {}
                Err(error) => return Err(unreadable(&path, &error)),
            }
        }
        if let Some(file) = &mut file
            && !copy(file, &path)?
        {
            return Ok(false);
        }
        if has_ended {
            return Ok(true);
        }
        thread::sleep(LOOK);
    }
}
