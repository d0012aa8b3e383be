//! `crondag runs`

use std::process::ExitCode;

use clap::ValueEnum;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::runs::{RunAnswer, RunsQuestion, runs};
use crate::app::times::Moment;
use crate::app::{App, select};
use crate::dag::RunState;
use crate::dag::units::format_duration;

/// Options of `runs`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag runs userprofile --state failed\n  crondag runs --at 04:00                        what ran at four this night\n  \
                        crondag runs userprofile --since 30d --slowest 5\n  crondag runs --json --limit 100"
)]
pub struct Args {
    /// Only this DAG
    dag: Option<String>,
    /// Only runs in this state
    #[arg(long)]
    state: Option<State>,
    /// Only runs in which a task failed, whatever their state
    #[arg(long)]
    failed_tasks: bool,
    /// Only runs that were going on at some moment from then on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only runs that were going on at some moment before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only runs that were going on then
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"])]
    at: Option<String>,
    /// The N that took longest, the slowest first; of all, unless --limit is given
    #[arg(long, value_name = "N")]
    slowest: Option<usize>,
    /// At most so many, the newest [default: 20]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How many runs are listed unless somebody says so.
const LIMIT: u32 = 20;

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Queued,
    Running,
    Success,
    Failed,
    Skipped,
}

impl State {
    fn run_state(self) -> RunState {
        match self {
            State::Queued => RunState::Queued,
            State::Running => RunState::Running,
            State::Success => RunState::Success,
            State::Failed => RunState::Failed,
            State::Skipped => RunState::Skipped,
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = args.dag.as_deref().map(|dag| app.dag_id(dag)).transpose()?;
    let zone = dag_id.as_ref().map_or_else(|| app.default_zone(), |dag_id| app.zone_of(dag_id));
    let time = |text: &Option<String>| text.as_deref().map(|text| select::past_time(text, &zone, app.now)).transpose();
    let at = time(&args.at)?;
    let question = RunsQuestion {
        dag_id: dag_id.clone(),
        state: args.state.map(State::run_state),
        since: time(&args.since)?.or(at),
        until: time(&args.until)?.or(at),
        failed_tasks: args.failed_tasks,
        limit: args.limit.or(if args.slowest.is_some() { None } else { Some(LIMIT) }),
        slowest: args.slowest,
    };
    let answers = runs(&app, &question)?;
    if args.json {
        print_json(&answers)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if answers.is_empty() {
        let is_narrowed = args.failed_tasks || question.since.or(question.until).is_some();
        page.line(match args.state {
            _ if is_narrowed => "no such runs",
            Some(_) => "no runs in that state",
            None => "no runs yet",
        });
        page.next(&dag_id.map_or_else(|| "crondag list_dags".to_owned(), |dag| format!("crondag next {dag}")));
    } else {
        page.table(&table(&app, &answers));
        let needs_a_look = |run: &&RunAnswer| {
            // One that was stopped before it began has nothing to show.
            (run.state == RunState::Failed && run.start_date.is_some()) || run.failures().any()
        };
        if let Some(failed) = answers.iter().rev().find(needs_a_look) {
            page.gap();
            page.next(&format!("crondag tasks {} {}", failed.dag_id, failed.run_id));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn table(app: &App, runs: &[RunAnswer]) -> Table {
    let mut table = Table::new(&["dag", "logical date", "type", "state", "started", ">duration", "reason"])
        .without_at_need(&["started", "type", "duration"]);
    for run in runs {
        let failures = run.failures_despite_state();
        let tone = if failures.is_some() { Tone::Red } else { Tone::of_run(run.state) };
        table.row(vec![
            run.dag_id.to_string().into(),
            run.logical_date.minute().into(),
            run.run_type.as_str().into(),
            Cell::new(run.state.as_str(), Tone::of_run(run.state)),
            Cell::new(run.start_date.as_ref().map(Moment::clock).unwrap_or_default(), Tone::Dim),
            run.duration(app).map(format_duration).unwrap_or_default().into(),
            Cell::new(failures.map(|failures| failures.to_string()).or(run.reason.clone()).unwrap_or_default(), tone),
        ]);
    }
    table
}
