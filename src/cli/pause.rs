//! `crondag pause` and `crondag unpause`

use std::process::ExitCode;

use super::context::Global;

use super::error::CliError;
use super::output::{Page, print_json};
use crate::app::request::pause::{self, Schedule};
use crate::app::times::Moment;

/// Options of `pause` and `unpause`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag pause userprofile       no new scheduled runs; running ones go on\n  \
                        crondag unpause userprofile     scheduled again, from now on")]
pub struct Args {
    /// The DAG
    dag: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global, schedule: Schedule) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let plan = pause::plan(&app, &args.dag, schedule)?;
    let receipt = pause::apply(&app, plan)?;
    if args.json {
        print_json(&[&receipt])?;
        return Ok(ExitCode::SUCCESS);
    }
    let dag_id = &receipt.dag_id;
    let mut page = Page::new();
    match (receipt.schedule, receipt.changed) {
        (Schedule::Paused, false) => page.line(format!("{dag_id} is paused already")),
        (Schedule::Resumed, false) => page.line(format!("{dag_id} is not paused")),
        (Schedule::Paused, true) => {
            page.line(format!("{dag_id} is paused: no new scheduled runs; runs that have begun go on"));
            page.next(&format!("crondag unpause {dag_id}"));
        }
        (Schedule::Resumed, true) => {
            let next = receipt.next_start.as_ref().map(Moment::minute);
            let when = next.map_or_else(|| "it has no fire time ahead".to_owned(), |next| format!("next start {next}"));
            page.line(format!("{dag_id} is scheduled again: {when}"));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}
