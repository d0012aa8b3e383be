//! What the driver tells the engine, and what the engine answers.

use jiff::Timestamp;

use super::input::{BackfillLimits, Plan, RunInput};
use super::slots::Limits;
use crate::dag::{RunNumber, TaskId, TaskState, Transition};

/// How an attempt ended, as far as the engine cares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Exit status 0.
    Success,
    /// [`SKIP_EXIT_STATUS`](crate::dag::SKIP_EXIT_STATUS): the task itself says that it has nothing to do.
    Skipped,
    /// It was to find out whether a wait is over, and was ended because its time was: see [`Start::ends_by`].
    WaitTimedOut,
    /// Anything else, with the reason in words.
    Failed {
        /// Reads after "failed: ".
        reason: String,
        /// The exit status, if the program ended by itself.
        exit_status: Option<i32>,
    },
}

/// What the driver found when it evaluated what a task waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollResult {
    /// It is there.
    Found,
    /// Not yet; what it is, rendered.
    NotYet(String),
    /// It cannot be evaluated; reads after "failed: ".
    Failed(String),
}

/// What happened.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Event {
    /// Only time has passed: retries and timeouts may be due.
    TimePassed,
    /// The home's limits, at the beginning or after crondag.toml changed.
    Limits(Limits),
    /// The newest good version of a DAG; runs that start from now on use it.
    Plan(Plan),
    /// Runs that the engine does not know yet: new, or taken up from the store. All become known before anything is decided,
    /// since one may be the past of another.
    Runs(Vec<RunInput>),
    /// The last process of an attempt is gone.
    AttemptEnded {
        run: RunNumber,
        task: TaskId,
        try_number: u32,
        /// How it ended.
        outcome: Outcome,
    },
    /// The driver has evaluated what a task waits for.
    Polled {
        run: RunNumber,
        task: TaskId,
        try_number: u32,
        /// What came of that.
        result: PollResult,
    },
    /// Take a run up again.
    Rerun(Box<RerunRequest>),
    /// Somebody sets the state of a task, or of all open tasks of a run.
    Mark {
        run: RunNumber,
        /// The task; `None` means every task that has not ended.
        task: Option<TaskId>,
        /// A final state.
        state: TaskState,
        /// Who, for the record.
        by: String,
    },
    /// Somebody ends a run.
    Stop {
        run: RunNumber,
        /// Who, for the record.
        by: String,
    },
    /// A backfill is interrupted (starts nothing new) or goes on.
    HoldBackfill {
        backfill: i64,
        /// Interrupted, or going on.
        hold: bool,
    },
    /// The live attempts of a backfill are stopped; their tasks are as if they had not started.
    StopBackfill { backfill: i64 },
}

/// Which tasks of a known run are done again, and under whose limits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct RerunRequest {
    pub run: RunNumber,
    /// Tasks to clear.
    pub clear: Vec<TaskId>,
    /// Clear all tasks.
    pub clear_all: bool,
    /// The backfill that now owns the run, with its own limit of running runs and its direction.
    pub backfill: Option<BackfillLimits>,
    /// Which tasks the run has from now on; `None` means all.
    pub selection: Option<Vec<TaskId>>,
}

/// What to do. Transitions and alerts first go to the store, in one transaction; then starts and stops are carried out.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Effect {
    /// Record a change of state.
    Record(Transition),
    /// Start an attempt; that it starts has its own [`Effect::Record`] before.
    Start(Start),
    /// Stop an attempt's process tree; its end is reported as [`Event::AttemptEnded`] all the same.
    StopAttempt { run: RunNumber, task: TaskId, try_number: u32 },
    /// Evaluate what a task waits for; the answer is an [`Event::Polled`].
    Poll(Start),
    /// Tell somebody.
    Alert(Alert),
}

/// An attempt to start.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Start {
    pub run: RunNumber,
    /// The version of the DAG that the run is bound to.
    pub plan: Plan,
    /// The task's index in the DAG.
    pub task: usize,
    /// 1 for the first attempt.
    pub try_number: u32,
    /// Since when only a slot was missing, as far as this engine knows.
    pub ready_at: Timestamp,
    /// When an attempt that evaluates the condition of a wait is ended, whatever the task's own timeout: the wait is over then.
    pub ends_by: Option<Timestamp>,
}

/// Something that people want to hear of.
#[derive(Debug, Clone)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Alert {
    pub run: RunNumber,
    /// The version of the DAG that the run is bound to.
    pub plan: Plan,
    /// What happened.
    pub kind: AlertKind,
}

/// What an alert is about.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum AlertKind {
    /// The last attempt failed.
    TaskFailed(TaskReport),
    /// An attempt failed and another follows.
    TaskRetry(TaskReport, Timestamp),
    /// A task succeeded.
    TaskSucceeded(TaskReport),
    /// The run failed; every task that is failed or `upstream_failed`, in file order.
    RunFailed { reason: String, tasks: Vec<(TaskReport, TaskState)> },
}

/// A task in an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskReport {
    /// The task's index in the DAG.
    pub task: usize,
    /// The newest attempt; 0 when there was none.
    pub try_number: u32,
    /// Attempts it may take.
    pub max_tries: u32,
    /// Why, in words.
    pub reason: String,
}
