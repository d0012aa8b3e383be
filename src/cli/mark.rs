//! `crondag mark`

use std::process::ExitCode;

use clap::ValueEnum;

use super::confirm::who;
use super::context::Global;

use super::error::CliError;
use super::output::{Page, print_json};
use crate::app::request::mark::{self, Mark, MarkRequest};

/// Options of `mark`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag mark userprofile 20180701 success --task check_table_finish\n  \
                        crondag mark userprofile 20180701 failed      every task that has not ended\n  \
                        crondag mark userprofile 20180704 skipped     a date that never ran: recorded, not run")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id. A date that never ran gets a run in that state; nothing is started
    #[arg(value_name = "DATE|RUN_ID")]
    run: String,
    /// The state that the tasks get
    state: State,
    /// Only this task; may be repeated [default: every task of the run that has not ended]
    #[arg(long = "task", value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Success,
    Failed,
    Skipped,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let mark = match args.state {
        State::Success => Mark::Success,
        State::Failed => Mark::Failed,
        State::Skipped => Mark::Skipped,
    };
    let request = MarkRequest { dag: args.dag.clone(), run: args.run.clone(), mark, tasks: args.tasks.clone() };
    let plan = mark::plan(&app, &request)?;
    let receipt = mark::apply(&app, plan, &who())?;
    if args.json {
        print_json(&[&receipt])?;
    } else {
        let (dag_id, date, state) = (&receipt.dag_id, receipt.logical_date.minute(), mark.state());
        let mut page = Page::new();
        if receipt.was_created {
            page.line(format!("{dag_id} {date} never ran: recorded as {state}, nothing is started"));
        } else if receipt.tasks.is_empty() {
            page.line(format!(
                "{dag_id} {date}: every task has ended, so none is marked; --task names one all the same"
            ));
        } else {
            let named = args.tasks.join(", ");
            let what = if named.is_empty() { "every task that has not ended" } else { named.as_str() };
            page.line(format!("{dag_id} {date}: {what} will be marked {state}"));
        }
        page.next(&format!("crondag tasks {dag_id} {}", receipt.run_id));
        page.print()?;
    }
    receipt.driver?;
    Ok(ExitCode::SUCCESS)
}
