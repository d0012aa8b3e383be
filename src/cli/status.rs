//! `crondag status`

use std::process::ExitCode;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::context::Global;
use crate::app::App;

use super::driver_watch::{Driver, driver};
use super::error::CliError;
use super::init::crontab_line;
use super::output::{Cell, Page, Table, Tone, WIDTH, print_json, wrap};
use crate::app::times::{elapsed, minute, rfc3339, span};
use crate::dag::schedule::Timetable;
use crate::dag::units::{format_duration, format_size};
use crate::dag::{DagId, RunState, TaskState};
use crate::runner::{client, planner};
use crate::store::{OutboxSummary, RunFilter, RunRow, Store, UnfinishedRun};

/// Options of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag status\n  watch crondag status")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A crontab line that ticks each minute is late after this long.
const TICK_LATE: SignedDuration = SignedDuration::from_mins(3);

/// Below this many free bytes, runs are about to fail.
const DISK_LOW: u64 = 1 << 30;

/// What is gathered before anything is said.
struct State {
    driver: Driver,
    last_tick: Option<Timestamp>,
    dags: usize,
    faulty: Vec<(String, String)>,
    paused: Vec<DagId>,
    next: Option<(DagId, Timestamp)>,
    unfinished: Vec<UnfinishedRun>,
    intents: usize,
    is_parked: bool,
    failures: Vec<RunRow>,
    outbox: OutboxSummary,
    disk_free: Option<u64>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let state = gather(&app)?;
    if args.json {
        print_json(&[summary(&app, &state)])?;
    } else {
        let mut page = Page::new();
        show(&app, &state, &mut page);
        page.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn gather(app: &App) -> Result<State, CliError> {
    let store = app.store()?;
    let mut state = State {
        driver: driver(&app.home),
        last_tick: planner::last_tick(&app.home),
        dags: 0,
        faulty: Vec::new(),
        paused: Vec::new(),
        next: None,
        unfinished: Vec::new(),
        intents: 0,
        is_parked: false,
        failures: Vec::new(),
        outbox: OutboxSummary::default(),
        disk_free: disk_free(app),
    };
    if let Some(store) = &store {
        state.unfinished = store.unfinished_runs()?;
        state.intents = store.intents()?.len();
        state.is_parked = client::is_parked(store)?;
        state.failures = failures(app, store)?;
        state.outbox = store.outbox_summary()?;
        state.paused = store.dags()?.into_iter().filter(|dag| dag.is_paused).map(|dag| dag.dag_id).collect();
    }
    for file in app.dag_files()? {
        state.dags += 1;
        match file.dag {
            Ok(dag) if !state.paused.contains(&dag.id) => {
                if let Some(next) = Timetable::of(&dag).next_interval(app.now)
                    && state.next.as_ref().is_none_or(|(_, at)| next.end < *at)
                {
                    state.next = Some((dag.id, next.end));
                }
            }
            Err(faulty) => state.faulty.push((file.name, faulty.first())),
            Ok(_) => {}
        }
    }
    Ok(state)
}

/// Runs that failed within the last day. Newest first.
fn failures(app: &App, store: &Store) -> Result<Vec<RunRow>, CliError> {
    let since = app.now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    let filter = RunFilter { ended_since: Some(since), limit: Some(10_000), ..RunFilter::default() };
    let mut failed = store.runs(&filter)?;
    failed.retain(|run| run.state == RunState::Failed);
    failed.sort_by_key(|run| std::cmp::Reverse((run.end_date, run.number)));
    Ok(failed)
}

fn disk_free(app: &App) -> Option<u64> {
    let folder = if app.home.state_dir().is_dir() { app.home.state_dir() } else { app.home.root().into() };
    // Some network disks do not tell; then nothing is said about it.
    let disk = rustix::fs::statvfs(&folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn show(app: &App, state: &State, page: &mut Page) {
    let mut is_quiet = true;
    let mut say = |page: &mut Page, label: &str, tone: Tone, text: &str, next: Option<&str>| {
        is_quiet = false;
        for (nth, line) in wrap(text, WIDTH - 10).into_iter().enumerate() {
            let label = page.paint(tone, &format!("{:<9}", if nth == 0 { label } else { "" }));
            page.line(format!("{label} {line}"));
        }
        if let Some(next) = next {
            page.line(format!("{:<9} next: {next}", ""));
        }
    };
    let going: Vec<&UnfinishedRun> = state.unfinished.iter().filter(|run| run.run.state == RunState::Running).collect();
    let queued = state.unfinished.len() - going.len();
    match state.driver {
        Driver::Running { pid } => {
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            say(page, "driver", Tone::Cyan, &format!("running{pid}"), None);
        }
        Driver::Absent if state.intents > 0 || !going.is_empty() && !state.is_parked => {
            say(page, "driver", Tone::Red, "not running, but there is work for it", Some("crondag tick"));
        }
        Driver::Absent => {}
    }
    match state.last_tick {
        None => {
            let line = format!("`crontab -e`, and this line: {}", crontab_line(&app.home));
            say(page, "crontab", Tone::Yellow, "has never ticked: nothing starts by itself", Some(&line));
        }
        Some(at) if app.now.duration_since(at) > TICK_LATE => {
            let ago = span(app.now.duration_since(at));
            let line = format!("`crontab -l` must have: {}", crontab_line(&app.home));
            say(page, "crontab", Tone::Red, &format!("last tick {ago} ago: nothing starts by itself"), Some(&line));
        }
        Some(_) => {}
    }
    for (id, first) in &state.faulty {
        say(page, "faulty", Tone::Red, &format!("{id}: {first}"), Some("crondag validate"));
    }
    if !state.paused.is_empty() {
        let names: Vec<&str> = state.paused.iter().map(DagId::as_str).collect();
        say(page, "paused", Tone::Yellow, &names.join(", "), Some(&format!("crondag unpause {}", names[0])));
    }
    for unfinished in &going {
        say(page, "running", Tone::Cyan, &going_on(app, unfinished), None);
    }
    if queued > 0 {
        let first = state.unfinished.iter().find(|run| run.run.state == RunState::Queued);
        let next = first.map(|first| format!("crondag explain {} {}", first.run.dag_id, first.run.run_id));
        say(page, "queued", Tone::Plain, &count(queued, "run"), next.as_deref());
    }
    let mail = &state.outbox;
    if mail.pending > 0 || mail.given_up > 0 {
        let error = mail.last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let tone = if mail.given_up > 0 || mail.last_error.is_some() { Tone::Red } else { Tone::Plain };
        let text = format!("{} waiting, {} given up{error}", mail.pending, mail.given_up);
        let next = if tone == Tone::Red { Some("check [email] in crondag.toml, then `crondag tick`") } else { None };
        say(page, "mail", tone, &text, next);
    }
    if let Some(free) = state.disk_free.filter(|free| *free < DISK_LOW) {
        let text = format!("only {} free for {}", format_size(free), app.home.state_dir().display());
        say(page, "disk", Tone::Red, &text, Some("free some space, or shorten `keep` under [logs] in crondag.toml"));
    }
    if !state.failures.is_empty() {
        is_quiet = false;
        failed(app, &state.failures, page);
    }
    if is_quiet {
        let next = state.next.as_ref().map_or_else(
            || "nothing is scheduled".to_owned(),
            |(id, at)| format!("next: {id} at {}", minute(*at, &app.zone_of(id))),
        );
        page.line(format!("all is well: {}, nothing running; {next}", count(state.dags, "DAG")));
    }
}

fn going_on(app: &App, unfinished: &UnfinishedRun) -> String {
    let run = &unfinished.run;
    let since = run.start_date.map(|start| format_duration(elapsed(start, app.now))).unwrap_or_default();
    let done = unfinished.tasks.iter().filter(|task| task.state.is_final()).count();
    let live: Vec<String> = unfinished
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Running)
        .map(|task| {
            let since = task.start_date.map(|start| format_duration(elapsed(start, app.now))).unwrap_or_default();
            format!("{} {since}", task.task_id)
        })
        .collect();
    let live = if live.is_empty() { String::new() } else { format!(": {}", live.join(", ")) };
    let date = minute(run.logical_date, &app.zone_of(&run.dag_id));
    format!("{} {date} for {since}, {done} of {} tasks done{live}", run.dag_id, unfinished.tasks.len())
}

/// At most so many failures are listed.
const FAILURES: usize = 10;

fn failed(app: &App, failures: &[RunRow], page: &mut Page) {
    page.gap();
    let title = format!("{} failed within the last 24 hours", count(failures.len(), "run"));
    let title = page.paint(Tone::Red, &title);
    page.line(title);
    let mut table = Table::new(&["dag", "logical date", "ended", "reason"]);
    for run in failures.iter().take(FAILURES) {
        let zone = app.zone_of(&run.dag_id);
        let ago = run.end_date.map(|end| format!("{} ago", span(app.now.duration_since(end))));
        table.row(vec![
            run.dag_id.to_string().into(),
            minute(run.logical_date, &zone).into(),
            Cell::new(ago.unwrap_or_default(), Tone::Dim),
            run.reason.clone().unwrap_or_default().into(),
        ]);
    }
    page.table(&table);
    if failures.len() > FAILURES {
        page.line(format!("and {} more: crondag runs --state failed", failures.len() - FAILURES));
    }
    if let Some(newest) = failures.first() {
        page.next(&format!("crondag tasks {} {}", newest.dag_id, newest.run_id));
    }
}

#[derive(Serialize)]
struct Summary {
    driver_running: bool,
    driver_pid: Option<u32>,
    last_tick: Option<String>,
    dags: usize,
    faulty: Vec<Faulty>,
    paused: Vec<String>,
    running: Vec<Going>,
    queued: usize,
    waiting_requests: usize,
    failed_last_24h: Vec<Failure>,
    mail_pending: u32,
    mail_given_up: u32,
    mail_last_error: Option<String>,
    disk_free_bytes: Option<u64>,
}

#[derive(Serialize)]
struct Faulty {
    dag_id: String,
    message: String,
}

#[derive(Serialize)]
struct Going {
    dag_id: String,
    run_id: String,
    logical_date: String,
    start_date: Option<String>,
    running_tasks: Vec<String>,
}

#[derive(Serialize)]
struct Failure {
    dag_id: String,
    run_id: String,
    logical_date: String,
    end_date: Option<String>,
    reason: Option<String>,
}

fn summary(app: &App, state: &State) -> Summary {
    let is_running = |unfinished: &&UnfinishedRun| unfinished.run.state == RunState::Running;
    let going = state.unfinished.iter().filter(is_running).map(|unfinished| {
        let (run, zone) = (&unfinished.run, app.zone_of(&unfinished.run.dag_id));
        let live = unfinished.tasks.iter().filter(|task| task.state == TaskState::Running);
        Going {
            dag_id: run.dag_id.to_string(),
            run_id: run.run_id.clone(),
            logical_date: rfc3339(run.logical_date, &zone),
            start_date: run.start_date.map(|at| rfc3339(at, &zone)),
            running_tasks: live.map(|task| task.task_id.to_string()).collect(),
        }
    });
    let failed = state.failures.iter().map(|run| {
        let zone = app.zone_of(&run.dag_id);
        Failure {
            dag_id: run.dag_id.to_string(),
            run_id: run.run_id.clone(),
            logical_date: rfc3339(run.logical_date, &zone),
            end_date: run.end_date.map(|at| rfc3339(at, &zone)),
            reason: run.reason.clone(),
        }
    });
    let faulty = state.faulty.iter().map(|(id, message)| Faulty { dag_id: id.clone(), message: message.clone() });
    let running: Vec<Going> = going.collect();
    Summary {
        driver_running: matches!(state.driver, Driver::Running { .. }),
        driver_pid: match state.driver {
            Driver::Running { pid } => pid,
            Driver::Absent => None,
        },
        last_tick: state.last_tick.map(|at| rfc3339(at, &app.default_zone())),
        dags: state.dags,
        faulty: faulty.collect(),
        paused: state.paused.iter().map(ToString::to_string).collect(),
        queued: state.unfinished.len() - running.len(),
        running,
        waiting_requests: state.intents,
        failed_last_24h: failed.collect(),
        mail_pending: state.outbox.pending,
        mail_given_up: state.outbox.given_up,
        mail_last_error: state.outbox.last_error.clone(),
        disk_free_bytes: state.disk_free,
    }
}
