//! How a home stands: what goes on, what failed, what keeps things from starting.

mod answer;
mod findings;

use jiff::{SignedDuration, Timestamp};

pub use answer::{BadLog, FaultyDag, Missing, RunningRun, StatusAnswer};
use findings::findings;

use super::ending::ending;
use super::explain::{HoldUp, HoldUps};
use super::finding::last_tick;
use super::lag::lag;
use super::runs::RunAnswer;
use crate::app::times::{Moment, elapsed};
use crate::app::{App, AppError};
use crate::dag::units::format_duration;
use crate::dag::{Failures, RunState, TaskState};
use crate::runner::client::{self, Driver};
use crate::runner::planner::{self, Note, NoteKind};
use crate::store::{RunFilter, Store, Trouble, UnfinishedRun};

/// What has ended is told for so long.
const RECENTLY: SignedDuration = SignedDuration::from_hours(24);

/// More failures than anybody reads.
const MOST_FAILURES: u32 = 10_000;

/// Asks for all of it.
///
/// # Errors
/// The folder of DAG files or the database.
pub fn status(app: &App) -> Result<StatusAnswer, AppError> {
    let store = app.store()?;
    let driver = client::driver(&app.home);
    let mut answer = StatusAnswer {
        findings: Vec::new(),
        driver_running: matches!(driver, Driver::Running { .. }),
        driver_pid: match driver {
            Driver::Running { pid } => pid,
            Driver::Absent => None,
        },
        last_tick: last_tick(app),
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
    answer.findings = findings(app, &answer);
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
