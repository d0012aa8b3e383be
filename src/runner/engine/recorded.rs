//! A run that never ran, recorded as somebody says it ended.

use crate::dag::{RunNumber, RunState, TaskId, TaskState, Transition};

/// The transitions of a run that has just been created, to a run whose tasks all have ended in `state`. The event log keeps who
/// said so.
pub fn recorded(run: RunNumber, version: i64, tasks: &[TaskId], state: TaskState, by: &str) -> Vec<Transition> {
    let reason = format!("marked {state} by {by}");
    // No attempt was begun, and none may be.
    let instances = tasks.iter().map(|task| (task.clone(), 0)).collect();
    let started = Transition::RunStarted { run, version, tasks: instances };
    let ended = tasks.iter().map(|task| Transition::TaskEnded {
        run,
        task: task.clone(),
        state,
        reason: Some(reason.clone()),
        awaited: None,
        cut_off: false,
    });
    let becomes = if state == TaskState::Failed { RunState::Failed } else { RunState::Success };
    let over = Transition::RunEnded { run, state: becomes, reason: Some(reason.clone()) };
    std::iter::once(started).chain(ended).chain(std::iter::once(over)).collect()
}
