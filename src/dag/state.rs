//! The states of runs and task instances, in Airflow's words.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The exit status with which a task says that it has nothing to do: it is skipped.
pub const SKIP_EXIT_STATUS: i32 = 99;

/// The state of one task instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// Nothing has happened yet: upstream tasks, a slot or a date are awaited.
    None,
    /// An attempt is alive.
    Running,
    /// An attempt failed and another one follows after the retry delay.
    UpForRetry,
    /// It waits for a condition that is evaluated again and again; in between it holds nothing.
    UpForReschedule,
    /// An attempt ended with exit status 0.
    Success,
    /// The last attempt failed.
    Failed,
    /// The trigger rule or the task itself ([`SKIP_EXIT_STATUS`]) decided that it has nothing to do.
    Skipped,
    /// The trigger rule found a failure upstream.
    UpstreamFailed,
}

impl TaskState {
    /// Every state, in the order of a task's life.
    pub const ALL: [TaskState; 8] = [
        TaskState::None,
        TaskState::Running,
        TaskState::UpForRetry,
        TaskState::UpForReschedule,
        TaskState::Success,
        TaskState::Failed,
        TaskState::Skipped,
        TaskState::UpstreamFailed,
    ];

    /// Whether the task instance has come to its end.
    pub fn is_final(self) -> bool {
        match self {
            TaskState::Success | TaskState::Failed | TaskState::Skipped | TaskState::UpstreamFailed => true,
            TaskState::None | TaskState::Running | TaskState::UpForRetry | TaskState::UpForReschedule => false,
        }
    }

    /// Whether the task instance failed, or was kept from running by one that did.
    pub fn has_failed(self) -> bool {
        match self {
            TaskState::Failed | TaskState::UpstreamFailed => true,
            TaskState::None
            | TaskState::Running
            | TaskState::UpForRetry
            | TaskState::UpForReschedule
            | TaskState::Success
            | TaskState::Skipped => false,
        }
    }

    /// Airflow's word, as the store and `--json` have it.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::None => "none",
            TaskState::Running => "running",
            TaskState::UpForRetry => "up_for_retry",
            TaskState::UpForReschedule => "up_for_reschedule",
            TaskState::Success => "success",
            TaskState::Failed => "failed",
            TaskState::Skipped => "skipped",
            TaskState::UpstreamFailed => "upstream_failed",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<TaskState> {
        TaskState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for TaskState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How many tasks failed, and how many did not run because of that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Failures {
    /// `failed`: by themselves.
    pub failed: u32,
    /// `upstream_failed`.
    pub upstream_failed: u32,
}

impl Failures {
    /// Those among some tasks.
    pub fn among(states: impl IntoIterator<Item = TaskState>) -> Failures {
        let mut failures = Failures::default();
        for state in states {
            match state {
                TaskState::Failed => failures.failed += 1,
                TaskState::UpstreamFailed => failures.upstream_failed += 1,
                TaskState::None
                | TaskState::Running
                | TaskState::UpForRetry
                | TaskState::UpForReschedule
                | TaskState::Success
                | TaskState::Skipped => {}
            }
        }
        failures
    }

    /// Whether there are any.
    pub fn any(self) -> bool {
        self != Failures::default()
    }
}

impl std::ops::Add for Failures {
    type Output = Failures;

    fn add(self, other: Failures) -> Failures {
        Failures { failed: self.failed + other.failed, upstream_failed: self.upstream_failed + other.upstream_failed }
    }
}

impl fmt::Display for Failures {
    /// `1 task failed`, `2 tasks failed, 11 not run because of them`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tasks = |count: u32| if count == 1 { "1 task".to_owned() } else { format!("{count} tasks") };
        match (self.failed, self.upstream_failed) {
            // Those that failed have been marked since.
            (0, kept @ 1..) => write!(f, "{} not run because of a failure", tasks(kept)),
            (failed, 0) => write!(f, "{} failed", tasks(failed)),
            (1, kept) => write!(f, "1 task failed, {kept} not run because of it"),
            (failed, kept) => write!(f, "{failed} tasks failed, {kept} not run because of them"),
        }
    }
}

/// The state of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// Recorded, not begun: `max_active_runs` or an interrupted backfill holds it back.
    Queued,
    /// Begun.
    Running,
    /// Every leaf task succeeded or was skipped.
    Success,
    /// A leaf task failed or is `upstream_failed`, the run took too long, or somebody stopped it.
    Failed,
    /// It was due while an earlier one was going on, and `overlap` or `catchup = false` gave its place to another; nothing of it
    /// counts for the runs that depend on the past.
    Skipped,
}

impl RunState {
    /// Every state, in the order of a run's life.
    pub const ALL: [RunState; 5] =
        [RunState::Queued, RunState::Running, RunState::Success, RunState::Failed, RunState::Skipped];

    /// Whether the run has come to its end.
    pub fn is_final(self) -> bool {
        match self {
            RunState::Success | RunState::Failed | RunState::Skipped => true,
            RunState::Queued | RunState::Running => false,
        }
    }

    /// Airflow's word, as the store and `--json` have it.
    pub fn as_str(self) -> &'static str {
        match self {
            RunState::Queued => "queued",
            RunState::Running => "running",
            RunState::Success => "success",
            RunState::Failed => "failed",
            RunState::Skipped => "skipped",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<RunState> {
        RunState::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who asked for a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunType {
    /// The schedule.
    Scheduled,
    /// `crondag backfill`.
    Backfill,
    /// `crondag trigger`.
    Manual,
}

impl RunType {
    /// Every type.
    pub const ALL: [RunType; 3] = [RunType::Scheduled, RunType::Backfill, RunType::Manual];

    /// Airflow's word; also the beginning of the run's id.
    pub fn as_str(self) -> &'static str {
        match self {
            RunType::Scheduled => "scheduled",
            RunType::Backfill => "backfill",
            RunType::Manual => "manual",
        }
    }

    /// The type of that name.
    pub fn parse(text: &str) -> Option<RunType> {
        RunType::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

impl fmt::Display for RunType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_as_what_it_names() {
        for state in TaskState::ALL {
            assert_eq!(TaskState::parse(&state.to_string()), Some(state));
        }
        assert_eq!(RunState::ALL.map(|state| state.to_string()), ["queued", "running", "success", "failed", "skipped"]);
        assert_eq!(RunState::ALL.map(|state| RunState::parse(state.as_str())), RunState::ALL.map(Some));
        assert_eq!(RunType::ALL.map(|kind| kind.to_string()), ["scheduled", "backfill", "manual"]);
        assert_eq!(RunType::ALL.map(|kind| RunType::parse(kind.as_str())), RunType::ALL.map(Some));
        assert_eq!((TaskState::parse("done"), RunState::parse("done"), RunType::parse("done")), (None, None, None));
        assert_eq!(RunState::ALL.map(RunState::is_final), [false, false, true, true, true]);
    }
}
