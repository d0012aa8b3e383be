//! `crondag trigger`

use std::process::ExitCode;
use std::thread;

use super::confirm::confirm;
use super::context::Global;

use super::ended::ended;
use super::error::CliError;
use super::output::{Page, print_json, say};
use super::{still, stuck};
use crate::app::App;
use crate::app::request::outcome::Outcome;
use crate::app::request::trigger::{self, TriggerReceipt, TriggerRequest};
use crate::app::request::watch::{Outlook, Watch};

/// Options of `trigger`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag trigger userprofile                  the latest complete interval\n  \
                        crondag trigger userprofile --date 20180701 --param limit=10 --wait")]
#[allow(clippy::struct_excessive_bools)] // they are flags
pub struct Args {
    /// The DAG
    dag: String,
    /// The logical date [default: that of the latest complete data interval]
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
    /// Override a param of the DAG. It stays with the run: whatever of it is done again has it too
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Also before the DAG's `start_date` and after its `end_date`
    #[arg(long)]
    ignore_bounds: bool,
    /// Wait for the run's end; exit code 1 if it or a task of it fails
    #[arg(long)]
    wait: bool,
    /// With --wait: end with 0 when the run succeeded, although tasks of it failed (as Airflow does)
    #[arg(long, requires = "wait")]
    allow_failed_tasks: bool,
    /// Do not ask, where the date is still to come
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let request = TriggerRequest {
        dag: args.dag.clone(),
        date: args.date.clone(),
        params: args.params.clone(),
        ignore_bounds: args.ignore_bounds,
    };
    let plan = trigger::plan(&app, &request)?;
    let (start, end) = (plan.logical_date.minute(), plan.data_interval_end.minute());
    if !plan.has_begun {
        confirm(
            &format!("The data interval from {start} to {end} has not begun. Run {} for it?", plan.dag_id),
            args.yes,
        )?;
    } else if !plan.has_ended {
        say(format!(
            "note: the data interval from {start} ends at {end}; the scheduled run of then comes all the same"
        ));
    }
    let receipt = trigger::apply(&app, plan)?;
    if args.json {
        print_json(&[&receipt])?;
    } else {
        let mut page = Page::new();
        page.line(format!("{} for {start}", receipt.dag_id));
        page.line(format!("run id: {}", receipt.run_id));
        if !args.wait {
            page.next(&format!("crondag tasks {} {}", receipt.dag_id, receipt.run_id));
        }
        page.print()?;
    }
    // Said first: the run is recorded even when the driver cannot be woken.
    receipt.driver.clone()?;
    if args.wait { wait(&app, &receipt, args) } else { Ok(ExitCode::SUCCESS) }
}

fn wait(app: &App, receipt: &TriggerReceipt, args: &Args) -> Result<ExitCode, CliError> {
    let mut watch = Watch::new(app, vec![receipt.number], None)?;
    let mut told = None;
    loop {
        let snapshot = watch.poll()?;
        if let Outlook::Still(held_up) = &snapshot.outlook
            && let Some(lines) = still::news(held_up, &mut told)
        {
            lines.iter().for_each(say);
        }
        if let Outlook::Stuck(stuck) = &snapshot.outlook {
            return Err(stuck::error(stuck));
        }
        let Some(run) = snapshot.runs.first().filter(|run| run.state.is_final()) else {
            thread::sleep(watch.pause());
            continue;
        };
        let outcome = Outcome::of_watched(&snapshot.runs);
        let tasks = format!("crondag tasks {} {}", receipt.dag_id, receipt.run_id);
        if !outcome.failed.is_empty() {
            let why = watch.reason(run.number)?.map(|why| format!(": {why}")).unwrap_or_default();
            if !args.json {
                say(ended(run));
            }
            let next = watch.diagnosis(run.number)?.map_or(tasks, |diagnosis| diagnosis.to_string());
            return Err(CliError::failed(format!("the run failed{why}"), next));
        }
        let is_good = outcome.is_good(args.allow_failed_tasks);
        if !args.json {
            let mut page = Page::new();
            page.line(ended(run));
            if outcome.worst().is_some() {
                page.next(&tasks);
                let clear = || format!("crondag clear {} {} --failed", receipt.dag_id, receipt.run_id);
                page.command(
                    "then:",
                    &watch.diagnosis(run.number)?.map_or_else(clear, |diagnosis| diagnosis.to_string()),
                );
            }
            page.print()?;
        }
        return Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
}
