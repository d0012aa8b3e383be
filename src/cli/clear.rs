//! `crondag clear`

use std::process::ExitCode;

use super::confirm::confirm;
use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use super::tasks::params_in_words;
use crate::app::request::clear::{self, ClearPlan, ClearRequest, ClearedTask};
use crate::dag::repair::{Because, RepairScope};
use crate::dag::{TaskId, TaskState};

/// Options of `clear`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag clear userprofile 20180701                         the whole run again\n  \
                        crondag clear userprofile 20180701 --failed                what went wrong, whole\n  \
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
    /// Of these, what failed, what that blocked, and what was built on it
    #[arg(long, conflicts_with = "only_failed")]
    failed: bool,
    /// Of these, what failed and what that blocked; what was built on it stays, although its input was wrong
    #[arg(long)]
    only_failed: bool,
    /// Give the run this param from now on: all tasks that start again see it
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Take away the params that the run was given: it has those of the DAG again
    #[arg(long)]
    reset_params: bool,
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
        let nothing = if args.request().repair.is_some() { "nothing to repair" } else { "no such tasks to clear" };
        page.line(format!("{name}: {nothing}"));
        if let Some(removed) = removed(&plan) {
            page.line(removed);
        }
        page.next(&tasks);
        page.print()?;
        return Ok(ExitCode::SUCCESS);
    }
    let has_reasons = plan.tasks.iter().any(|task| because(task).is_some());
    let columns: &[&str] = if has_reasons { &["task", "state", "because"] } else { &["task", "state"] };
    let mut table = Table::new(columns);
    for task in &plan.tasks {
        let state = if task.state == TaskState::None { "-" } else { task.state.as_str() };
        let mut row = vec![task.task_id.to_string().into(), Cell::new(state, Tone::of_task(task.state))];
        if has_reasons {
            row.push(because(task).unwrap_or_default().into());
        }
        table.row(row);
    }
    if !args.json {
        page.line(format!("{name}: these tasks start again as if they had never run"));
        page.table(&table);
        if let Some(params) = params_in_words(&plan.params) {
            page.line(params);
        }
        if let Some(removed) = removed(&plan) {
            page.line(removed);
        }
        if !plan.lacking.is_empty() {
            let names: Vec<&str> = plan.lacking.iter().map(TaskId::as_str).collect();
            page.line(format!("they now wait for what this run does not have: {}", names.join(", ")));
            let with = format!("crondag clear {} {} --task {}", plan.dag_id, plan.run_id, names.join(","));
            page.command("with it:", &with);
        }
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

/// What should start again and cannot.
fn removed(plan: &ClearPlan) -> Option<String> {
    let names: Vec<&str> = plan.removed.iter().map(TaskId::as_str).collect();
    let them = if names.len() == 1 { "it" } else { "them" };
    (!names.is_empty()).then(|| format!("left out, since the DAG no longer has {them}: {}", names.join(", ")))
}

/// Why a task starts again that did not fail itself.
fn because(task: &ClearedTask) -> Option<String> {
    match task.because.as_ref()? {
        // Its state says it.
        Because::Failed | Because::UpstreamFailed => None,
        Because::CutOff => Some("the run ended before it".to_owned()),
        Because::WaitedInVain => Some("waited in vain".to_owned()),
        Because::BuiltOn(task) => Some(format!("was built on {task}")),
    }
}

impl Args {
    fn request(&self) -> ClearRequest {
        let repair = match (self.failed, self.only_failed) {
            (true, _) => Some(RepairScope::Whole),
            (false, true) => Some(RepairScope::OnlyFailed),
            (false, false) => None,
        };
        ClearRequest {
            dag: self.dag.clone(),
            run: self.run.clone(),
            tasks: self.tasks.clone(),
            upstream: self.upstream,
            only: self.only,
            repair,
            params: self.params.clone(),
            reset_params: self.reset_params,
        }
    }
}
