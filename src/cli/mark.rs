//! `crondag mark`

use std::process::ExitCode;

use clap::ValueEnum;

use super::confirm::who;
use super::context::Global;

use super::error::CliError;
use super::output::Page;
use crate::app::query::tasks::tasks_of;
use crate::app::select;
use crate::app::times::minute;
use crate::dag::TaskState;
use crate::store::Intent;

/// Options of `mark`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag mark userprofile 20180701 success --task check_table_finish\n  \
                        crondag mark userprofile 20180701 failed      every task that has not ended")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id
    #[arg(value_name = "DATE|RUN_ID")]
    run: String,
    /// The state that the tasks get
    state: State,
    /// Only this task; may be repeated [default: every task of the run that has not ended]
    #[arg(long = "task", value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Success,
    Failed,
    Skipped,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let mut store = app.store()?;
    let run = select::run(&app, store.as_ref(), &dag_id, Some(&args.run))?;
    let Some(store) = &mut store else { return Ok(ExitCode::SUCCESS) };
    let state = match args.state {
        State::Success => TaskState::Success,
        State::Failed => TaskState::Failed,
        State::Skipped => TaskState::Skipped,
    };
    let known = tasks_of(&app, store, &run)?;
    let mut targets = Vec::new();
    for name in &args.tasks {
        let task = known.iter().find(|task| task.task_id.as_str() == name).ok_or_else(|| {
            CliError::usage(
                format!("the run {} has no task `{name}`", run.run_id),
                format!("crondag tasks {dag_id} {}", run.run_id),
            )
        })?;
        targets.push(Some(task.task_id.clone()));
    }
    if targets.is_empty() {
        targets.push(None);
    }
    let what = if args.tasks.is_empty() { "every task that has not ended".to_owned() } else { args.tasks.join(", ") };
    let write = store.write()?;
    for task in targets {
        write.ask(&Intent::Mark { run: run.number, task, state, by: who() }, app.now)?;
    }
    write.commit()?;
    app.wake_driver()?;
    let mut page = Page::new();
    let date = minute(run.logical_date, &app.zone_of(&dag_id));
    page.line(format!("{dag_id} {date}: {what} will be marked {state}"));
    page.next(&format!("crondag tasks {dag_id} {}", run.run_id));
    page.print()?;
    Ok(ExitCode::SUCCESS)
}
