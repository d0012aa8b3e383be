//! How a home stands: what goes on, what failed, what keeps things from starting.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::ending::{EndingAttempt, ending};
use super::explain::{HoldUp, HoldUps};
use super::lag::{Lag, lag};
use super::runs::RunAnswer;
use crate::app::times::{Moment, elapsed};
use crate::app::{App, AppError};
use crate::dag::units::format_duration;
use crate::dag::{DagId, Failures, RunState, TaskState};
use crate::runner::client::{self, Driver};
use crate::runner::planner::{self, Note, NoteKind};
use crate::store::{RunFilter, Store, Trouble, UnfinishedRun};

/// Below this many free bytes, runs are about to fail.
pub const DISK_LOW: u64 = 1 << 30;

/// What has ended is told for so long.
const RECENTLY: SignedDuration = SignedDuration::from_hours(24);

/// More failures than anybody reads.
const MOST_FAILURES: u32 = 10_000;

/// How a home stands.
#[derive(Debug, Serialize)]
pub struct StatusAnswer {
    /// Whether a driver lives.
    pub driver_running: bool,
    /// Its process id, as far as its lock file says.
    pub driver_pid: Option<u32>,
    /// When the last tick was.
    pub last_tick: Option<Moment>,
    /// How many DAG files there are.
    pub dags: usize,
    /// Those that cannot be used.
    pub faulty: Vec<FaultyDag>,
    /// The DAGs whose schedule is paused.
    pub paused: Vec<DagId>,
    /// Runs that go on.
    pub running: Vec<RunningRun>,
    /// Attempts that were told to end and whose processes still live.
    pub ending: Vec<EndingAttempt>,
    /// Runs that wait to start.
    pub queued: usize,
    /// Why the first of them waits.
    pub queued_held_up: Option<HoldUp>,
    /// Requests that no driver has carried out yet.
    pub waiting_requests: usize,
    /// Runs that failed within a day, the newest first.
    pub failed_last_24h: Vec<RunAnswer>,
    /// Runs that succeeded within a day although tasks of them failed, the newest first.
    pub failed_tasks_last_24h: Vec<RunAnswer>,
    /// Mail that is to be sent.
    pub mail_pending: u32,
    /// Notices of the last 24 hours that reached nobody, because the home had no `[email]`.
    pub mail_undeliverable: u32,
    /// Whether crondag.toml says how mail is sent.
    pub has_email: bool,
    /// Mail that nobody tries to send any more.
    pub mail_given_up: u32,
    /// Why the newest mail was not sent.
    pub mail_last_error: Option<String>,
    /// Logs that are not whole, found within a day.
    pub logs: Vec<BadLog>,
    /// Free bytes for the state folder; `None` where the disk does not tell.
    pub disk_free_bytes: Option<u64>,
    /// What is to be known of the next runs of DAGs, one sentence each.
    pub notes: Vec<String>,
    /// The DAGs that are behind their schedules.
    pub lags: Vec<Lag>,
    /// The zone of DAGs that name none, and who says so.
    pub timezone: String,
    /// What cannot be understood of the machine's zone.
    pub timezone_warning: Option<String>,
    /// The first run that waits to start.
    #[serde(skip)]
    pub first_queued: Option<(DagId, String)>,
    /// Which DAG starts next, and when.
    #[serde(skip)]
    pub next: Option<(DagId, Moment)>,
    /// There is something for a driver to do: requests, attempts whose end is not recorded, mail, runs that may go on.
    pub needs_driver: bool,
}

/// A DAG file that cannot be used.
#[derive(Debug, Serialize)]
pub struct FaultyDag {
    /// Its name without `.toml`.
    pub dag_id: String,
    /// The first fault.
    pub message: String,
}

/// A log that is not whole.
#[derive(Debug, Serialize)]
pub struct BadLog {
    pub dag_id: String,
    pub task_id: String,
    /// What is missing of it.
    pub missing: Missing,
    /// When the first such log was written.
    pub since: Moment,
    /// How many there have been since.
    pub count: u32,
}

/// What a log lacks.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// So many bytes of the newest one, since it had reached its `max_size`.
    LeftOut(u64),
    /// What the disk did not take, with what the system said.
    NotTaken(String),
}

/// A run that goes on.
#[derive(Debug, Serialize)]
pub struct RunningRun {
    pub dag_id: DagId,
    pub run_id: String,
    /// The start of its data interval.
    pub logical_date: Moment,
    pub start_date: Option<Moment>,
    /// The tasks with a live attempt.
    pub running_tasks: Vec<String>,
    /// Tasks that have failed so far.
    pub failed_tasks: u32,
    /// Tasks that do not run because of that.
    pub upstream_failed_tasks: u32,
    /// Why it does not go on, where nothing of it runs.
    pub held_up: Option<HoldUp>,
    /// One line about it.
    #[serde(skip)]
    pub summary: String,
}

/// Asks for all of it.
///
/// # Errors
/// The folder of DAG files or the database.
pub fn status(app: &App) -> Result<StatusAnswer, AppError> {
    let store = app.store()?;
    let driver = client::driver(&app.home);
    let mut answer = StatusAnswer {
        driver_running: matches!(driver, Driver::Running { .. }),
        driver_pid: match driver {
            Driver::Running { pid } => pid,
            Driver::Absent => None,
        },
        last_tick: planner::last_tick(&app.home).map(|at| Moment::new(at, &app.default_zone())),
        dags: 0,
        faulty: Vec::new(),
        paused: Vec::new(),
        running: Vec::new(),
        ending: Vec::new(),
        queued: 0,
        queued_held_up: None,
        waiting_requests: 0,
        failed_last_24h: Vec::new(),
        failed_tasks_last_24h: Vec::new(),
        mail_pending: 0,
        mail_undeliverable: 0,
        has_email: app.config.email.is_some(),
        mail_given_up: 0,
        mail_last_error: None,
        logs: Vec::new(),
        disk_free_bytes: disk_free(app),
        timezone: app.default_zone_in_words(),
        timezone_warning: app.zone_warning(),
        notes: Vec::new(),
        lags: Vec::new(),
        first_queued: None,
        next: None,
        needs_driver: false,
    };
    let unfinished = store.as_ref().map(Store::unfinished_runs).transpose()?.unwrap_or_default();
    if let Some(store) = &store {
        of_runs(app, store, &unfinished, &mut answer)?;
        let outbox = store.outbox_summary(app.now.checked_sub(RECENTLY).unwrap_or(Timestamp::MIN))?;
        answer.mail_pending = outbox.pending;
        answer.mail_undeliverable = outbox.undeliverable;
        answer.mail_given_up = outbox.given_up;
        answer.mail_last_error = outbox.last_error;
        answer.logs = bad_logs(app, store)?;
        answer.ending = ending(app, store)?;
        answer.paused = store.dags()?.into_iter().filter(|dag| dag.is_paused).map(|dag| dag.dag_id).collect();
    }
    for file in app.dag_files()? {
        answer.dags += 1;
        match file.dag {
            Ok(dag) if !answer.paused.contains(&dag.id) => {
                let row = store.as_ref().map(|store| store.dag(&dag.id)).transpose()?.flatten();
                let lag = lag(app, store.as_ref(), &unfinished, &dag, row.as_ref())?;
                let notes = planner::notes(&store, &dag, row.as_ref(), app.now)?;
                // What is still to be made is said with what waits.
                let said = |note: &&Note| lag.is_none() || !matches!(note.kind, NoteKind::Backlog { .. });
                answer.notes.extend(notes.iter().filter(said).map(Note::to_string));
                answer.lags.extend(lag);
                let next = planner::next_run(&store, &dag, app.now)?.map(|next| planner::starts_at(&dag, &next));
                if let Some(next) = next
                    && answer.next.as_ref().is_none_or(|(_, first)| next < first.at)
                {
                    answer.next = Some((dag.id, Moment::new(next, &dag.timezone)));
                }
            }
            Ok(_) => {}
            Err(faulty) => answer.faulty.push(FaultyDag { dag_id: file.name, message: faulty.first() }),
        }
    }
    Ok(answer)
}

/// What was found longer ago may be of a task that does not run any more.
fn bad_logs(app: &App, store: &Store) -> Result<Vec<BadLog>, AppError> {
    let since = app.now.checked_sub(RECENTLY).unwrap_or(Timestamp::MIN);
    let mut logs = Vec::new();
    for row in store.open_troubles()?.into_iter().filter(|row| row.last_at > since) {
        let (dag_id, task_id, missing) = match row.what {
            Trouble::CutLog { dag_id, task_id, left_out } => (dag_id, task_id, Missing::LeftOut(left_out)),
            Trouble::LogDisk { dag_id, task_id, error } => (dag_id, task_id, Missing::NotTaken(error)),
            // The files themselves are read.
            Trouble::FaultyFile { .. } | Trouble::FaultyConfig { .. } => continue,
        };
        let since = Moment::new(row.opened_at, &app.default_zone());
        logs.push(BadLog { dag_id, task_id, missing, since, count: row.count });
    }
    Ok(logs)
}

fn of_runs(app: &App, store: &Store, unfinished: &[UnfinishedRun], answer: &mut StatusAnswer) -> Result<(), AppError> {
    let is_running = |unfinished: &&UnfinishedRun| unfinished.run.state == RunState::Running;
    let hold_ups = if unfinished.is_empty() { None } else { Some(HoldUps::at(app, store, unfinished, app.now)?) };
    for unfinished in unfinished.iter().filter(is_running) {
        let is_still = unfinished.tasks.iter().all(|task| task.state != TaskState::Running);
        let held_up = match &hold_ups {
            Some(hold_ups) if is_still => hold_ups.of(unfinished.run.number)?,
            Some(_) | None => None,
        };
        answer.running.push(running(app, unfinished, held_up));
    }
    answer.queued = unfinished.len() - answer.running.len();
    let first = unfinished.iter().find(|unfinished| unfinished.run.state == RunState::Queued);
    if let (Some(first), Some(hold_ups)) = (first, &hold_ups) {
        answer.queued_held_up = hold_ups.of(first.run.number)?;
    }
    answer.first_queued = first.map(|first| (first.run.dag_id.clone(), first.run.run_id.clone()));
    answer.waiting_requests = store.intents()?.len();
    answer.needs_driver = client::needs_driver(store)?;
    let since = app.now.checked_sub(RECENTLY).unwrap_or(Timestamp::MIN);
    let filter = RunFilter {
        state: Some(RunState::Failed),
        ended_since: Some(since),
        limit: Some(MOST_FAILURES),
        ..RunFilter::default()
    };
    let mut failed = store.runs(&filter)?;
    failed.retain(|run| !run.was_cancelled());
    let mut in_spite = store.successes_with_failed_tasks(since)?;
    for runs in [&mut failed, &mut in_spite] {
        runs.sort_by_key(|run| std::cmp::Reverse((run.end_date, run.number)));
    }
    let all = |runs: &[crate::store::RunRow]| -> Result<Vec<RunAnswer>, AppError> {
        runs.iter().map(|run| RunAnswer::new(app, store, run)).collect()
    };
    answer.failed_last_24h = all(&failed)?;
    answer.failed_tasks_last_24h = all(&in_spite)?;
    Ok(())
}

fn running(app: &App, unfinished: &UnfinishedRun, held_up: Option<HoldUp>) -> RunningRun {
    let (run, zone) = (&unfinished.run, app.zone_of(&unfinished.run.dag_id));
    let live = || unfinished.tasks.iter().filter(|task| task.state == TaskState::Running);
    let failures = Failures::among(unfinished.tasks.iter().map(|task| task.state));
    let since =
        |start: Option<Timestamp>| start.map(|start| format_duration(elapsed(start, app.now))).unwrap_or_default();
    let done = unfinished.tasks.iter().filter(|task| task.state.is_final()).count();
    let names: Vec<String> = live().map(|task| format!("{} {}", task.task_id, since(task.start_date))).collect();
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    let failed = if failures.any() { format!(", {failures}") } else { String::new() };
    let date = Moment::new(run.logical_date, &zone);
    RunningRun {
        dag_id: run.dag_id.clone(),
        run_id: run.run_id.clone(),
        start_date: run.start_date.map(|at| Moment::new(at, &zone)),
        running_tasks: live().map(|task| task.task_id.to_string()).collect(),
        failed_tasks: failures.failed,
        upstream_failed_tasks: failures.upstream_failed,
        held_up,
        summary: format!(
            "{} {} for {}, {done} of {} tasks done{failed}{names}",
            run.dag_id,
            date.minute(),
            since(run.start_date),
            unfinished.tasks.len()
        ),
        logical_date: date,
    }
}

fn disk_free(app: &App) -> Option<u64> {
    let folder = if app.home.state_dir().is_dir() { app.home.state_dir() } else { app.home.root().into() };
    // Some network disks do not tell; then nothing is said about it.
    let disk = rustix::fs::statvfs(&folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}
