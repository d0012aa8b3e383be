//! `crondag stop`

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::confirm::{confirm, who};
use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json, say};
use crate::app::App;
use crate::app::query::ending::EndingAttempt;
use crate::app::request::stop::{self, StopProgress, StopRequest, StoppedRun};
use crate::dag::{DagId, RunState};

/// Options of `stop`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag stop userprofile 20180701\n  crondag stop userprofile              all runs that have not ended\n  \
                        crondag stop userprofile --now --wait what does not end, killed"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id [default: all runs of the DAG that have not ended]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Kill their processes at once, and those that were told to end before: they have no `kill_grace` to put things away
    #[arg(long)]
    now: bool,
    /// Wait until all their processes are gone
    #[arg(long)]
    wait: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let plan = stop::plan(&app, &StopRequest { dag: args.dag.clone(), run: args.run.clone(), at_once: args.now })?;
    let next = format!("crondag runs {}", plan.dag_id);
    let mut page = Page::new();
    if plan.is_empty() {
        if args.json {
            print_json(&plan.runs)?;
            return Ok(ExitCode::SUCCESS);
        }
        page.line(format!("{}: nothing to stop, no such run is queued or running", plan.dag_id));
        let before = stop::progress(&app, &plan.dag_id, &[])?;
        if let Some(ending) = ending(&before) {
            page.line(ending);
        }
        page.next(&next);
        page.print()?;
        return if args.wait { wait(&app, &plan.dag_id, &[]) } else { Ok(ExitCode::SUCCESS) };
    }
    let mut table = Table::new(&["logical date", "state", "run id"]);
    for run in &plan.runs {
        table.row(vec![
            run.logical_date.minute().into(),
            Cell::new(run.state.as_str(), Tone::of_run(run.state)),
            run.run_id.as_str().into(),
        ]);
    }
    if !args.json {
        if !plan.runs.is_empty() {
            page.line(format!("{}: {}", plan.dag_id, what_happens(&plan.runs)));
            page.table(&table);
        }
        if !plan.killed.is_empty() {
            page.line(format!("{}: killed at once: {}", plan.dag_id, names(&plan.killed)));
        }
        page.print()?;
    }
    confirm(
        &match (plan.runs.len(), plan.killed.len()) {
            (0, 1) => "Kill this attempt?".to_owned(),
            (0, attempts) => format!("Kill {attempts} attempts?"),
            (1, _) => "Stop this run?".to_owned(),
            (runs, _) => format!("Stop {runs} runs?"),
        },
        args.yes,
    )?;
    let receipt = stop::apply(&app, plan, &who())?;
    if args.json {
        print_json(&[&receipt])?;
    } else {
        let mut page = Page::new();
        for run in &receipt.ended_before {
            page.line(format!("{} has ended meanwhile", run.run_id));
        }
        if !args.wait {
            page.line(if args.now {
                "the driver kills their processes at once"
            } else {
                "the driver ends them; their processes have kill_grace to end by themselves, then they are killed"
            });
            page.command("to wait for that:", &format!("crondag stop {} --wait", receipt.dag_id));
        }
        page.next(&next);
        page.print()?;
    }
    receipt.driver.clone()?;
    if args.wait { wait(&app, &receipt.dag_id, &receipt.runs) } else { Ok(ExitCode::SUCCESS) }
}

/// What becomes of these runs.
fn what_happens(runs: &[StoppedRun]) -> String {
    let is_queued = |run: &StoppedRun| run.state == RunState::Queued;
    let begun = "running tasks are stopped, the others skipped, the run fails";
    let queued = "a queued run ends without having begun";
    match (runs.iter().all(is_queued), runs.iter().any(is_queued)) {
        (true, _) => queued.to_owned(),
        (false, true) => format!("{begun}; {queued}"),
        (false, false) => begun.to_owned(),
    }
}

/// How often the database is asked while a stop is waited for.
const PAUSE: Duration = Duration::from_millis(100);

/// Until nothing of the runs lives any more.
fn wait(app: &App, dag_id: &DagId, runs: &[StoppedRun]) -> Result<ExitCode, CliError> {
    let mut said = None;
    loop {
        let progress = stop::progress(app, dag_id, runs)?;
        if progress.is_over() {
            return Ok(ExitCode::SUCCESS);
        }
        if !progress.has_driver {
            return Err(CliError::failed("the driver that was to end them is gone", "crondag tick"));
        }
        let now = ending(&progress);
        if now.is_some() && now != said {
            say(now.as_deref().unwrap_or_default());
            said = now;
        }
        thread::sleep(PAUSE);
    }
}

/// What still lives, in a line.
fn ending(progress: &StopProgress) -> Option<String> {
    (!progress.ending.is_empty()).then(|| format!("ending: {}", names(&progress.ending)))
}

fn names(attempts: &[EndingAttempt]) -> String {
    let names = attempts.iter().map(|attempt| format!("{} (try {})", attempt.task_id, attempt.try_number));
    names.collect::<Vec<_>>().join(", ")
}
