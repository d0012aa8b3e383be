//! What may happen to a run and to its task instances: the vocabulary of the event log.
//!
//! The engine decides transitions, the store applies them to its tables and appends them to its log in the same
//! transaction; folding the log gives the tables back.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::TaskId;
use super::state::{RunState, TaskState};

/// A run's number in the store: short, unique in its home, ascending in the order of creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunNumber(pub i64);

/// One change of state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Transition {
    /// Queued -> running. The run is bound to a version of its DAG file and gets its task instances.
    RunStarted {
        run: RunNumber,
        /// The version of the DAG file, by its number in the store.
        version: i64,
        /// Task instances that the run did not have yet, with the attempts each may take.
        tasks: Vec<(TaskId, u32)>,
    },
    /// Running (or queued) -> success, failed or skipped.
    RunEnded {
        run: RunNumber,
        /// The final state.
        state: RunState,
        /// Why it failed or was skipped.
        reason: Option<String>,
    },
    /// Queued -> failed: somebody stopped the run before it began. It keeps no time of a start, and is no failure to be told.
    RunCancelled {
        run: RunNumber,
        /// Who stopped it.
        reason: String,
    },
    /// Any state -> queued: tasks of the run were cleared, or more tasks were asked for.
    RunReopened { run: RunNumber },
    /// Running -> queued: the run can do nothing before an earlier one has, which gets its place. It stays bound to its version.
    RunGaveWay {
        run: RunNumber,
        /// The earlier one.
        to: RunNumber,
    },
    /// None, `up_for_retry` or `up_for_reschedule` -> running.
    TaskStarted {
        run: RunNumber,
        task: TaskId,
        /// 1 for the first attempt.
        try_number: u32,
    },
    /// Running -> `up_for_retry`.
    TaskRetry {
        run: RunNumber,
        task: TaskId,
        /// Why the attempt failed.
        reason: String,
        /// When the next attempt may start.
        next_try_at: Timestamp,
    },
    /// None or `up_for_retry` -> `up_for_reschedule`: it waits for something that the driver polls by itself.
    TaskWaiting {
        run: RunNumber,
        task: TaskId,
        /// 1 for the first attempt.
        try_number: u32,
    },
    /// Running -> `up_for_reschedule`: an evaluation found that it is too early.
    TaskRescheduled {
        run: RunNumber,
        task: TaskId,
        /// When the next evaluation is.
        #[serde(rename = "next_look_at")]
        next_poll_at: Timestamp,
    },
    /// Any open state -> a final one.
    TaskEnded {
        run: RunNumber,
        task: TaskId,
        /// The final state.
        state: TaskState,
        /// Why it failed or was skipped.
        reason: Option<String>,
        /// What it waited for in vain, where it ended because of that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        awaited: Option<String>,
        /// Its run was ended before it had come to an end of its own: by its timeout, a newer run, or somebody who stopped it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut_off: bool,
    },
    /// Any state -> none: somebody cleared it, or its attempt was stopped by an interrupted backfill; or it was cleared before,
    /// and its run begins with a version that has other `retries`.
    TaskCleared {
        run: RunNumber,
        task: TaskId,
        /// The attempts that it may have taken in all, before it is final.
        max_tries: u32,
        /// Why; shown until it starts again.
        reason: Option<String>,
    },
}

impl Transition {
    /// The run that changes.
    pub fn run(&self) -> RunNumber {
        match self {
            Transition::RunStarted { run, .. }
            | Transition::RunEnded { run, .. }
            | Transition::RunCancelled { run, .. }
            | Transition::RunReopened { run }
            | Transition::RunGaveWay { run, .. }
            | Transition::TaskStarted { run, .. }
            | Transition::TaskRetry { run, .. }
            | Transition::TaskWaiting { run, .. }
            | Transition::TaskRescheduled { run, .. }
            | Transition::TaskEnded { run, .. }
            | Transition::TaskCleared { run, .. } => *run,
        }
    }

    /// The task that changes, if it is not the run itself.
    pub fn task(&self) -> Option<&TaskId> {
        match self {
            Transition::RunStarted { .. }
            | Transition::RunEnded { .. }
            | Transition::RunCancelled { .. }
            | Transition::RunReopened { .. }
            | Transition::RunGaveWay { .. } => None,
            Transition::TaskStarted { task, .. }
            | Transition::TaskRetry { task, .. }
            | Transition::TaskWaiting { task, .. }
            | Transition::TaskRescheduled { task, .. }
            | Transition::TaskEnded { task, .. }
            | Transition::TaskCleared { task, .. } => Some(task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_a_run_or_one_of_its_tasks() {
        let run = RunNumber(7);
        let task = TaskId::new("a").unwrap();
        let cleared = Transition::TaskCleared { run, task: task.clone(), max_tries: 2, reason: None };
        assert_eq!((cleared.run(), cleared.task()), (run, Some(&task)));
        let reopened = Transition::RunReopened { run };
        assert_eq!((reopened.run(), reopened.task()), (run, None));
        let gave_way = Transition::RunGaveWay { run, to: RunNumber(6) };
        assert_eq!((gave_way.run(), gave_way.task()), (run, None));
    }
}
