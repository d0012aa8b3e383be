//! How what was ordered came out, and whether that is good.

use std::ops::Add;

use crate::app::query::runs::RunAnswer;
use crate::dag::{Failures, RunNumber, RunState};
use crate::store::Progress;

/// Runs that have ended, by how they did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many there are.
    pub runs: usize,
    /// How many succeeded, those of `in_spite` too.
    pub succeeded: usize,
    /// How many gave their place to a newer one.
    pub skipped: usize,
    /// Those that failed.
    pub failed: Vec<RunNumber>,
    /// Those that succeeded although tasks of them failed.
    pub in_spite: Vec<RunNumber>,
    /// The tasks that failed in those that succeeded all the same.
    pub failures_in_spite: Failures,
}

impl Outcome {
    fn of(runs: impl IntoIterator<Item = (RunNumber, RunState, Failures)>) -> Outcome {
        let mut outcome = Outcome::default();
        for (run, state, failures) in runs {
            outcome.runs += 1;
            match state {
                RunState::Failed => outcome.failed.push(run),
                RunState::Success => {
                    outcome.succeeded += 1;
                    if failures.any() {
                        outcome.in_spite.push(run);
                        outcome.failures_in_spite = outcome.failures_in_spite.add(failures);
                    }
                }
                RunState::Skipped => outcome.skipped += 1,
                // One that has not ended has no outcome.
                RunState::Queued | RunState::Running => {}
            }
        }
        outcome
    }

    /// Of runs that were watched until they ended.
    pub fn of_watched(runs: &[Progress]) -> Outcome {
        Outcome::of(runs.iter().map(|run| (run.number, run.state, run.tasks.failures)))
    }

    /// Of runs that had ended before.
    pub fn of_ended(runs: &[RunAnswer]) -> Outcome {
        Outcome::of(runs.iter().map(|run| (run.number, run.state, run.failures())))
    }

    /// Whether nothing of it failed. With `allow_failed_tasks` only the states of the runs count, as in Airflow.
    pub fn is_good(&self, allow_failed_tasks: bool) -> bool {
        self.failed.is_empty() && (allow_failed_tasks || self.in_spite.is_empty())
    }

    /// The run that a person should see first.
    pub fn worst(&self) -> Option<RunNumber> {
        self.failed.first().or(self.in_spite.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_failed_makes_it_bad_unless_that_is_allowed() {
        let some = Failures { failed: 1, upstream_failed: 2 };
        let none = Failures::default();
        let of = |runs: &[(i64, RunState, Failures)]| {
            Outcome::of(runs.iter().map(|(number, state, failures)| (RunNumber(*number), *state, *failures)))
        };
        let outcome = of(&[
            (1, RunState::Success, none),
            (2, RunState::Success, some),
            (3, RunState::Skipped, Failures::default()),
        ]);
        assert_eq!((outcome.runs, outcome.succeeded, outcome.skipped, outcome.worst()), (3, 2, 1, Some(RunNumber(2))));
        assert_eq!(outcome.failures_in_spite, some);
        assert_eq!([false, true].map(|allow| outcome.is_good(allow)), [false, true]);
        let outcome = of(&[(1, RunState::Success, some), (2, RunState::Failed, some)]);
        assert_eq!(outcome.worst(), Some(RunNumber(2)));
        assert_eq!([false, true].map(|allow| outcome.is_good(allow)), [false, false]);
        assert_eq!([false, true].map(|allow| of(&[(1, RunState::Skipped, none)]).is_good(allow)), [true, true]);
    }
}
