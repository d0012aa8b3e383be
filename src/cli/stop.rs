//! `crondag stop`

use std::process::ExitCode;

use super::confirm::{confirm, who};
use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::request::stop::{self, StopRequest};

/// Options of `stop`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag stop userprofile 20180701\n  crondag stop userprofile              all runs that have not ended"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id [default: all runs of the DAG that have not ended]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let plan = stop::plan(&app, &StopRequest { dag: args.dag.clone(), run: args.run.clone() })?;
    let next = format!("crondag runs {}", plan.dag_id);
    let mut page = Page::new();
    if plan.runs.is_empty() {
        if args.json {
            print_json(&plan.runs)?;
            return Ok(ExitCode::SUCCESS);
        }
        page.line(format!("{}: nothing to stop, no such run is queued or running", plan.dag_id));
        page.next(&next);
        page.print()?;
        return Ok(ExitCode::SUCCESS);
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
        page.line(format!(
            "{}: running tasks are stopped, the others skipped, the run fails; a queued run ends without having begun",
            plan.dag_id
        ));
        page.table(&table);
        page.print()?;
    }
    let count = plan.runs.len();
    confirm(&format!("Stop {}?", if count == 1 { "this run".to_owned() } else { format!("{count} runs") }), args.yes)?;
    let receipt = stop::apply(&app, plan, &who())?;
    if args.json {
        print_json(&[&receipt])?;
    } else {
        let mut page = Page::new();
        for run in &receipt.ended_before {
            page.line(format!("{} has ended by itself meanwhile", run.run_id));
        }
        page.next(&next);
        page.print()?;
    }
    receipt.driver?;
    Ok(ExitCode::SUCCESS)
}
