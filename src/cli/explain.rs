//! `crondag explain`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::layout::printable;
use super::output::{Page, Tone, print_json};
use crate::app::query::explain::explain;

/// Options of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag explain userprofile                  why does it not run now?\n  \
                        crondag explain userprofile merge 20180701   why does this task not run?")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task [default: every task that has not ended]
    task: Option<String>,
    /// The run's logical date, or its id [default: the oldest run that has not ended, else the one that started last]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let reasons = explain(&app, &args.dag, args.task.as_deref(), args.run.as_deref())?;
    if args.json {
        print_json(&reasons)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    for reason in &reasons {
        let subject = page.paint(Tone::Bold, &reason.subject);
        page.paragraph(&format!("{subject}: {}", printable(&reason.reason)));
        if let Some(next) = &reason.next {
            page.step("  next:", next);
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}
