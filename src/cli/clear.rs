//! `crondag clear`

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::confirm::confirm;
use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone};
use crate::app::query::tasks::tasks_of;
use crate::app::select;
use crate::app::times::minute;
use crate::dag::{Dag, TaskId, TaskState};
use crate::store::{Intent, Rerun, TaskInstance};

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
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let mut store = app.store()?;
    let run = select::run(&app, store.as_ref(), &dag_id, Some(&args.run))?;
    let Some(store) = &mut store else { return Ok(ExitCode::SUCCESS) };
    // A cleared task runs again as the file stands now, so that is what decides who waits for whom.
    let dag = app.dag(&args.dag)?;
    let instances = tasks_of(&app, store, &run)?;
    let chosen = chosen(&dag, args)?;
    let cleared: Vec<&TaskInstance> = instances
        .iter()
        .filter(|task| chosen.as_ref().is_none_or(|chosen| chosen.contains(&task.task_id)))
        .filter(|task| !args.failed || matches!(task.state, TaskState::Failed | TaskState::UpstreamFailed))
        .collect();
    let zone = app.zone_of(&dag_id);
    let name = format!("{dag_id} {}", minute(run.logical_date, &zone));
    let mut page = Page::new();
    if cleared.is_empty() {
        page.line(format!("{name}: no such tasks to clear"));
        page.next(&format!("crondag tasks {dag_id} {}", run.run_id));
        page.print()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&["task", "state"]);
    for task in &cleared {
        let state = if task.state == TaskState::None { "-" } else { task.state.as_str() };
        table.row(vec![task.task_id.to_string().into(), Cell::new(state, Tone::of_task(task.state))]);
    }
    page.line(format!("{name}: these tasks start again as if they had never run"));
    page.table(&table);
    page.print()?;
    confirm(&format!("Clear {} of {} tasks?", cleared.len(), instances.len()), args.yes)?;
    let is_all = args.tasks.is_empty() && !args.failed;
    let rerun = Rerun {
        run: run.number,
        clear: if is_all { Vec::new() } else { cleared.iter().map(|task| task.task_id.clone()).collect() },
        clear_all: is_all,
        backfill: None,
        selection: run.selection.clone(),
        params: run.params.clone(),
    };
    let write = store.write()?;
    if let Some(Ok(dag)) = app.find(&dag_id) {
        // Whoever clears a task has just corrected the file.
        app.keep_version(&write, &dag)?;
    }
    write.ask(&Intent::Rerun(rerun), app.now)?;
    write.commit()?;
    app.wake_driver()?;
    let mut page = Page::new();
    page.next(&format!("crondag tasks {dag_id} {}", run.run_id));
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The tasks that were named, with what hangs on them; `None` means all.
fn chosen(dag: &Dag, args: &Args) -> Result<Option<BTreeSet<TaskId>>, CliError> {
    if args.tasks.is_empty() {
        return Ok(None);
    }
    let mut indexes = BTreeSet::new();
    for name in &args.tasks {
        let task = select::task(dag, name)?;
        indexes.insert(task);
        if !args.only {
            indexes.extend(dag.graph.descendants(task));
        }
        if args.upstream {
            indexes.extend(dag.graph.ancestors(task));
        }
    }
    Ok(Some(indexes.into_iter().map(|task| dag.tasks[task].id.clone()).collect()))
}
