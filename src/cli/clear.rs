//! `crondag clear`

use std::process::ExitCode;

use super::confirm::confirm;
use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::request::clear::{self, ClearRequest};
use crate::dag::TaskState;

/// Options of `clear`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag clear userprofile 20180701                         the whole run again\n  \
                        crondag clear userprofile 20180701 --failed                what failed and what that blocked\n  \
                        crondag clear userprofile 20180701 --task merge --only     one task and nothing else"
)]
#[allow(clippy::struct_excessive_bools)] // they are flags
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id
    #[arg(value_name = "DATE|RUN_ID")]
    run: String,
    /// Only this task and, unless --only is given, all that wait for it; may be repeated
    #[arg(long = "task", value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Also everything that the tasks wait for
    #[arg(long, requires = "tasks")]
    upstream: bool,
    /// Also everything that waits for the tasks [this is the default]
    #[arg(long, requires = "tasks", conflicts_with = "only")]
    downstream: bool,
    /// Not what waits for the tasks
    #[arg(long, requires = "tasks")]
    only: bool,
    /// Of these, only tasks that failed or were blocked by a failure
    #[arg(long)]
    failed: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let plan = clear::plan(&app, &args.request())?;
    let name = format!("{} {}", plan.dag_id, plan.logical_date.minute());
    let tasks = format!("crondag tasks {} {}", plan.dag_id, plan.run_id);
    let mut page = Page::new();
    if plan.tasks.is_empty() {
        if args.json {
            print_json(&[&plan; 0])?;
            return Ok(ExitCode::SUCCESS);
        }
        page.line(format!("{name}: no such tasks to clear"));
        page.next(&tasks);
        page.print()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["task", "state"]);
    for task in &plan.tasks {
        let state = if task.state == TaskState::None { "-" } else { task.state.as_str() };
        table.row(vec![task.task_id.to_string().into(), Cell::new(state, Tone::of_task(task.state))]);
    }
    if !args.json {
        page.line(format!("{name}: these tasks start again as if they had never run"));
        page.table(&table);
        page.print()?;
    }
    confirm(&format!("Clear {} of {} tasks?", plan.tasks.len(), plan.of), args.yes)?;
    let receipt = clear::apply(&app, plan)?;
    if args.json {
        print_json(&[&receipt])?;
    } else {
        let mut page = Page::new();
        if !receipt.changed.is_empty() {
            let names: Vec<&str> = receipt.changed.iter().map(|task| task.task_id.as_str()).collect();
            page.line(format!("meanwhile the state of {} has changed; cleared all the same", names.join(", ")));
        }
        page.next(&tasks);
        page.print()?;
    }
    receipt.driver?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn request(&self) -> ClearRequest {
        ClearRequest {
            dag: self.dag.clone(),
            run: self.run.clone(),
            tasks: self.tasks.clone(),
            upstream: self.upstream,
            only: self.only,
            failed: self.failed,
        }
    }
}
