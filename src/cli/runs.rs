//! `crondag runs`

use std::process::ExitCode;

use clap::ValueEnum;

use super::alike::alike;
use super::context::Global;
use super::error::CliError;
use super::excerpt::ExcerptArgs;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::App;
use crate::app::query::runs::{RunAnswer, RunsQuestion, runs};
use crate::app::times::Moment;
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
    #[command(flatten)]
    excerpt: ExcerptArgs,
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
    let question = RunsQuestion {
        dag_id: dag_id.clone(),
        state: args.state.map(State::run_state),
        failed_tasks: args.failed_tasks,
        excerpt: args.excerpt.excerpt(),
    };
    let answers = runs(&app, &question)?;
    if args.json {
        print_json(&answers)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if answers.is_empty() {
        let is_narrowed = args.failed_tasks || question.excerpt.has_times();
        page.line(match args.state {
            _ if is_narrowed => "no such runs",
            Some(_) => "no runs in that state",
            None => "no runs yet",
        });
        page.next(&dag_id.map_or_else(|| "crondag list_dags".to_owned(), |dag| format!("crondag next {dag}")));
    } else {
        page.table(&table(&app, &answers));
        if let Some(failed) = answers.iter().rev().find(|run| run.needs_attention()) {
            page.gap();
            page.next(&format!("crondag tasks {} {}", failed.dag_id, failed.run_id));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn table(app: &App, runs: &[RunAnswer]) -> Table {
    let alike =
        alike(runs.iter().map(|run| (&run.dag_id, run.logical_date.at, run.run_type.as_str(), run.run_id.as_str())));
    let mut heads = vec!["dag", "logical date", "type", "state", "started", ">duration", "reason"];
    heads.extend((!alike.is_empty()).then_some("run id"));
    let mut table = Table::new(&heads).without_at_need(&["started", "type", "duration"]);
    for run in runs {
        let failures = run.failures_despite_state();
        let tone = if failures.is_some() { Tone::Red } else { Tone::of_run(run.state) };
        let mut row = vec![
            run.dag_id.to_string().into(),
            run.logical_date.minute().into(),
            run.run_type.as_str().into(),
            Cell::new(run.state.as_str(), Tone::of_run(run.state)),
            Cell::new(run.start_date.as_ref().map(Moment::clock).unwrap_or_default(), Tone::Dim),
            run.duration(app).map(format_duration).unwrap_or_default().into(),
            Cell::new(failures.map(|failures| failures.to_string()).or(run.reason.clone()).unwrap_or_default(), tone),
        ];
        if !alike.is_empty() {
            let own = alike.get(run.run_id.as_str()).copied();
            row.push(own.unwrap_or_default().into());
        }
        table.row(row);
    }
    table
}
