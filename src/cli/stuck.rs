//! How a command that waits says that there is nothing to wait for.

use super::error::CliError;
use crate::app::request::watch::{Stuck, StuckCause, StuckRun};
use crate::dag::TaskState;

/// More runs than anybody reads.
const MOST_NAMED: usize = 5;

/// The runs, what each waits for, and what to type.
pub fn error(stuck: &Stuck) -> CliError {
    let causes = &stuck.causes;
    let mut lines: Vec<String> = causes.iter().take(MOST_NAMED).map(|run| format!("\n  {}", line(run))).collect();
    let behind = stuck.waiting.saturating_sub(lines.len());
    if behind > 0 {
        lines.push(format!("\n  {behind} more wait behind {}", if causes.len() == 1 { "it" } else { "these" }));
    }
    let count = if stuck.waiting == 1 { "1 run waits".to_owned() } else { format!("{} runs wait", stuck.waiting) };
    CliError::failed(
        format!("{count} for what will not come by itself:{}", lines.concat()),
        causes.first().map_or_else(|| "crondag status".to_owned(), next),
    )
}

fn line(run: &StuckRun) -> String {
    let date = run.logical_date.minute();
    match &run.cause {
        StuckCause::Past { task, logical_date, state, .. } => {
            let stands = match state {
                Some(TaskState::Failed) => "failed".to_owned(),
                Some(state) => format!("is {state}"),
                None => "did not run".to_owned(),
            };
            format!("{date}: {task} waits for {task} of {}, which {stands} (depends_on_past)", logical_date.minute())
        }
        StuckCause::BackfillHeld => format!("{date}: its backfill was interrupted"),
        StuckCause::NoVersion => format!("{date}: no version of its DAG file can be read"),
        StuckCause::OtherRuns => format!("{date}: it waits for other runs that wait"),
    }
}

fn next(run: &StuckRun) -> String {
    let dag_id = &run.dag_id;
    match &run.cause {
        StuckCause::Past { task, run_id: Some(earlier), .. } => format!(
            "crondag clear {dag_id} {earlier} --task {task}, or crondag mark {dag_id} {earlier} success --task {task}"
        ),
        StuckCause::NoVersion => "crondag validate".to_owned(),
        StuckCause::Past { run_id: None, .. } | StuckCause::BackfillHeld | StuckCause::OtherRuns => {
            format!("crondag explain {dag_id} {}", run.run_id)
        }
    }
}
