//! `crondag tasks`

use std::process::ExitCode;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};
use serde::Serialize;

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::select;
use crate::app::times::{clock, elapsed, minute, rfc3339, time};
use crate::dag::units::format_duration;
use crate::dag::{Dag, TaskState};
use crate::store::{RunRow, Store, TaskInstance};

/// Options of `tasks`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag tasks userprofile 20180701\n  crondag tasks userprofile --json")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id [default: the newest run]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// The contract of `--json`; `duration` in seconds.
#[derive(Serialize)]
struct Row {
    dag_id: String,
    run_id: String,
    task_id: String,
    logical_date: String,
    state: &'static str,
    try_number: u32,
    start_date: Option<String>,
    end_date: Option<String>,
    duration: Option<f64>,
    reason: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let store = app.store()?;
    let runs = select::runs(&app, store.as_ref(), &dag_id, args.run.as_deref())?;
    let zone = app.zone_of(&dag_id);
    let mut rows = Vec::new();
    let mut page = Page::new();
    let mut failed = None;
    for run in &runs {
        // `select::runs` found them there, so there is a database.
        let Some(store) = &store else { continue };
        let tasks = tasks_of(&app, store, run)?;
        rows.extend(tasks.iter().map(|task| row(run, task, &zone)));
        page.gap();
        head(&mut page, run, &zone, app.now);
        page.table(&table(&tasks, &zone, app.now));
        failed = tasks
            .iter()
            .find(|task| task.state == TaskState::Failed && task.try_number > 0)
            .map(|task| (run.run_id.clone(), task.task_id.clone()))
            .or(failed);
    }
    if args.json {
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Some((run_id, task_id)) = failed {
        page.gap();
        page.next(&format!("crondag logs {dag_id} {task_id} {run_id}"));
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The task instances of a run in the order of its DAG; those that a queued run will have, while it has none.
pub(super) fn tasks_of(app: &App, store: &Store, run: &RunRow) -> Result<Vec<TaskInstance>, CliError> {
    let dag = app.dag_of_run(store, run)?;
    let mut tasks = store.task_instances(run.number)?;
    if tasks.is_empty()
        && !run.state.is_final()
        && let Some(dag) = &dag
    {
        tasks = planned(dag, run);
    }
    Ok(select::in_dag_order(dag.as_ref(), tasks, |task| &task.task_id))
}

fn planned(dag: &Dag, run: &RunRow) -> Vec<TaskInstance> {
    let is_selected =
        |task: &&crate::dag::Task| run.selection.as_ref().is_none_or(|selection| selection.contains(&task.id));
    dag.tasks
        .iter()
        .filter(is_selected)
        .map(|task| TaskInstance {
            task_id: task.id.clone(),
            state: TaskState::None,
            try_number: 0,
            max_tries: task.retries + 1,
            start_date: None,
            end_date: None,
            next_try_at: None,
            reason: None,
        })
        .collect()
}

fn head(page: &mut Page, run: &RunRow, zone: &TimeZone, now: Timestamp) {
    let state = page.paint(Tone::of_run(run.state), run.state.as_str());
    let dag = page.paint(Tone::Bold, run.dag_id.as_str());
    let mut line = format!("{dag} {}: {state}", minute(run.logical_date, zone));
    if let Some(start) = run.start_date {
        line = format!("{line} in {}", format_duration(elapsed(start, run.end_date.unwrap_or(now))));
    }
    if let Some(reason) = &run.reason {
        line = format!("{line} ({reason})");
    }
    page.line(line);
    let id = page.paint(Tone::Dim, &run.run_id);
    page.line(id);
}

fn table(tasks: &[TaskInstance], zone: &TimeZone, now: Timestamp) -> Table {
    let mut table = Table::new(&["task", "state", ">try", "started", ">duration", "reason"]);
    for task in tasks {
        let duration = task.start_date.map(|start| format_duration(elapsed(start, task.end_date.unwrap_or(now))));
        let reason = match (&task.reason, task.next_try_at) {
            (Some(reason), Some(at)) => format!("{reason}; next try {}", time(at, zone)),
            (Some(reason), None) => reason.clone(),
            (None, _) => String::new(),
        };
        table.row(vec![
            task.task_id.to_string().into(),
            Cell::new(if task.state == TaskState::None { "-" } else { task.state.as_str() }, Tone::of_task(task.state)),
            if task.try_number == 0 { "".into() } else { format!("{}/{}", task.try_number, task.max_tries).into() },
            Cell::new(task.start_date.map(|at| clock(at, zone)).unwrap_or_default(), Tone::Dim),
            duration.unwrap_or_default().into(),
            reason.into(),
        ]);
    }
    table
}

fn row(run: &RunRow, task: &TaskInstance, zone: &TimeZone) -> Row {
    let duration = match (task.start_date, task.end_date) {
        (Some(start), Some(end)) => {
            end.since((Unit::Second, start)).ok().and_then(|span| span.total(Unit::Second).ok())
        }
        _ => None,
    };
    Row {
        dag_id: run.dag_id.to_string(),
        run_id: run.run_id.clone(),
        task_id: task.task_id.to_string(),
        logical_date: rfc3339(run.logical_date, zone),
        state: task.state.as_str(),
        try_number: task.try_number,
        start_date: task.start_date.map(|at| rfc3339(at, zone)),
        end_date: task.end_date.map(|at| rfc3339(at, zone)),
        duration,
        reason: task.reason.clone(),
    }
}
