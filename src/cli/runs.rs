//! `crondag runs`

use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::times::{clock, elapsed, minute, rfc3339};
use crate::dag::RunState;
use crate::dag::units::format_duration;
use crate::store::{RunFilter, RunRow};

/// Options of `runs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag runs userprofile --state failed\n  crondag runs --json --limit 100")]
pub struct Args {
    /// Only this DAG
    dag: Option<String>,
    /// Only runs in this state
    #[arg(long)]
    state: Option<State>,
    /// At most so many, the newest
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Queued,
    Running,
    Success,
    Failed,
}

impl State {
    fn run_state(self) -> RunState {
        match self {
            State::Queued => RunState::Queued,
            State::Running => RunState::Running,
            State::Success => RunState::Success,
            State::Failed => RunState::Failed,
        }
    }
}

/// The contract of `--json`.
#[derive(Serialize)]
struct Row {
    dag_id: String,
    run_id: String,
    run_type: &'static str,
    logical_date: String,
    state: &'static str,
    queued_at: String,
    start_date: Option<String>,
    end_date: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = args.dag.as_deref().map(|dag| app.dag_id(dag)).transpose()?;
    let filter = RunFilter {
        dag_id: dag_id.clone(),
        state: args.state.map(State::run_state),
        limit: Some(args.limit),
        ..RunFilter::default()
    };
    let runs = match app.store()? {
        Some(store) => store.runs(&filter)?,
        None => Vec::new(),
    };
    if args.json {
        print_json(&runs.iter().map(|run| row(&app, run)).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if runs.is_empty() {
        page.line(if args.state.is_some() { "no runs in that state" } else { "no runs yet" });
        page.next(&dag_id.map_or_else(|| "crondag list_dags".to_owned(), |dag| format!("crondag next {dag}")));
    } else {
        page.table(&table(&app, &runs));
        if let Some(failed) = runs.iter().rev().find(|run| run.state == RunState::Failed) {
            page.gap();
            page.next(&format!("crondag tasks {} {}", failed.dag_id, failed.run_id));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn row(app: &App, run: &RunRow) -> Row {
    let zone = app.zone_of(&run.dag_id);
    Row {
        dag_id: run.dag_id.to_string(),
        run_id: run.run_id.clone(),
        run_type: run.run_type.as_str(),
        logical_date: rfc3339(run.logical_date, &zone),
        state: run.state.as_str(),
        queued_at: rfc3339(run.queued_at, &zone),
        start_date: run.start_date.map(|at| rfc3339(at, &zone)),
        end_date: run.end_date.map(|at| rfc3339(at, &zone)),
    }
}

fn table(app: &App, runs: &[RunRow]) -> Table {
    let mut table = Table::new(&["dag", "logical date", "type", "state", "started", ">duration", "reason"]);
    for run in runs {
        let zone = app.zone_of(&run.dag_id);
        let duration = run.start_date.map(|start| format_duration(elapsed(start, run.end_date.unwrap_or(app.now))));
        table.row(vec![
            run.dag_id.to_string().into(),
            minute(run.logical_date, &zone).into(),
            run.run_type.as_str().into(),
            Cell::new(run.state.as_str(), Tone::of_run(run.state)),
            Cell::new(run.start_date.map(|at| clock(at, &zone)).unwrap_or_default(), Tone::Dim),
            duration.unwrap_or_default().into(),
            Cell::new(run.reason.clone().unwrap_or_default(), Tone::of_run(run.state)),
        ]);
    }
    table
}
