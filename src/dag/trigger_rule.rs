//! Trigger rules: whether a task runs, given how its upstream tasks ended.
//!
//! The decision is a pure function of counts, so it cannot depend on the order in which upstream tasks end. Airflow's
//! own is order-dependent in one place (an `all_success` task with both a skipped and a failed upstream); here
//! `upstream_failed` always goes before `skipped`. Early decisions are taken only where no later upstream state could
//! change them. Source of the outcomes: cases recorded from Airflow 2.10.5 (`tests/oracle/trigger_rules.json`);
//! `all_done_min_one_success` is Airflow 3's.

use std::fmt;

use super::state::TaskState;

/// When a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum TriggerRule {
    /// All upstream tasks succeeded.
    #[default]
    AllSuccess,
    /// All upstream tasks failed or are `upstream_failed`.
    AllFailed,
    /// All upstream tasks have ended, however.
    AllDone,
    /// All have ended, none was skipped, at least one succeeded (Airflow 3).
    AllDoneMinOneSuccess,
    /// At least one upstream task succeeded; does not wait for the others.
    OneSuccess,
    /// At least one upstream task failed; does not wait for the others.
    OneFailed,
    /// At least one upstream task succeeded or failed; does not wait for the others.
    OneDone,
    /// No upstream task failed; skipped ones are fine.
    NoneFailed,
    /// No upstream task was skipped; failed ones are fine.
    NoneSkipped,
    /// No upstream task failed and at least one succeeded.
    NoneFailedMinOneSuccess,
    /// All upstream tasks were skipped.
    AllSkipped,
    /// Runs at once, whatever the upstream tasks do.
    Always,
}

impl TriggerRule {
    /// Whether there are failures upstream because of which the task becomes `upstream_failed`.
    pub fn minds_failures(self) -> bool {
        match self {
            TriggerRule::AllSuccess
            | TriggerRule::AllDoneMinOneSuccess
            | TriggerRule::OneSuccess
            | TriggerRule::NoneFailed
            | TriggerRule::NoneFailedMinOneSuccess => true,
            TriggerRule::AllFailed
            | TriggerRule::AllDone
            | TriggerRule::OneFailed
            | TriggerRule::OneDone
            | TriggerRule::NoneSkipped
            | TriggerRule::AllSkipped
            | TriggerRule::Always => false,
        }
    }
}

/// How the upstream tasks of one task stand: all that a trigger rule needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct UpstreamCounts {
    /// Number of upstream tasks.
    pub total: u32,
    /// Of these, in state `success`.
    pub success: u32,
    /// In state `failed`.
    pub failed: u32,
    /// In state `upstream_failed`.
    pub upstream_failed: u32,
    /// In state `skipped`.
    pub skipped: u32,
}

impl UpstreamCounts {
    /// Counts the states.
    pub fn of(states: impl IntoIterator<Item = TaskState>) -> Self {
        let mut counts = UpstreamCounts::default();
        for state in states {
            counts.total += 1;
            counts.add(state);
        }
        counts
    }

    /// Records that one more of the `total` upstream tasks is in `state`; states that are not final count nowhere.
    pub fn add(&mut self, state: TaskState) {
        if let Some(counter) = self.counter(state) {
            *counter += 1;
        }
    }

    /// Takes back an [`add`](Self::add), for a task instance that was cleared.
    pub fn remove(&mut self, state: TaskState) {
        if let Some(counter) = self.counter(state) {
            *counter = counter.saturating_sub(1);
        }
    }

    fn counter(&mut self, state: TaskState) -> Option<&mut u32> {
        match state {
            TaskState::Success => Some(&mut self.success),
            TaskState::Failed => Some(&mut self.failed),
            TaskState::UpstreamFailed => Some(&mut self.upstream_failed),
            TaskState::Skipped => Some(&mut self.skipped),
            TaskState::None | TaskState::Running | TaskState::UpForRetry | TaskState::UpForReschedule => None,
        }
    }

    /// Failed or `upstream_failed`.
    pub fn any_failed(&self) -> u32 {
        self.failed + self.upstream_failed
    }

    /// Whether every upstream task has ended.
    pub fn all_final(&self) -> bool {
        self.success + self.any_failed() + self.skipped == self.total
    }
}

/// What a trigger rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Decision {
    /// More upstream tasks have to end first.
    Wait,
    /// Run the task.
    Run,
    /// The task becomes `skipped`.
    Skip,
    /// The task becomes `upstream_failed`.
    UpstreamFailed,
}

impl TriggerRule {
    /// Every rule, in the order of the reference.
    pub const ALL: [TriggerRule; 12] = [
        TriggerRule::AllSuccess,
        TriggerRule::AllFailed,
        TriggerRule::AllDone,
        TriggerRule::AllDoneMinOneSuccess,
        TriggerRule::OneSuccess,
        TriggerRule::OneFailed,
        TriggerRule::OneDone,
        TriggerRule::NoneFailed,
        TriggerRule::NoneSkipped,
        TriggerRule::NoneFailedMinOneSuccess,
        TriggerRule::AllSkipped,
        TriggerRule::Always,
    ];

    /// Airflow's name of the rule.
    pub const fn as_str(self) -> &'static str {
        match self {
            TriggerRule::AllSuccess => "all_success",
            TriggerRule::AllFailed => "all_failed",
            TriggerRule::AllDone => "all_done",
            TriggerRule::AllDoneMinOneSuccess => "all_done_min_one_success",
            TriggerRule::OneSuccess => "one_success",
            TriggerRule::OneFailed => "one_failed",
            TriggerRule::OneDone => "one_done",
            TriggerRule::NoneFailed => "none_failed",
            TriggerRule::NoneSkipped => "none_skipped",
            TriggerRule::NoneFailedMinOneSuccess => "none_failed_min_one_success",
            TriggerRule::AllSkipped => "all_skipped",
            TriggerRule::Always => "always",
        }
    }

    /// The rule of that name.
    pub fn parse(text: &str) -> Option<TriggerRule> {
        TriggerRule::ALL.into_iter().find(|rule| rule.as_str() == text)
    }

    /// Decides. Without upstream tasks every rule says [`Decision::Run`].
    pub fn decide(self, up: &UpstreamCounts) -> Decision {
        use Decision::{Run, Skip, UpstreamFailed, Wait};
        if up.total == 0 || self == TriggerRule::Always {
            return Run;
        }
        let failed = up.any_failed();
        let all_final = up.all_final();
        // "settled" is what a rule says once nothing is open; before that it waits.
        let when_final = |settled: Decision| if all_final { settled } else { Wait };
        match self {
            TriggerRule::AllSuccess if failed > 0 => UpstreamFailed,
            TriggerRule::AllSuccess => when_final(if up.skipped > 0 { Skip } else { Run }),
            TriggerRule::AllFailed if up.success + up.skipped > 0 => Skip,
            TriggerRule::AllFailed | TriggerRule::AllDone => when_final(Run),
            TriggerRule::AllDoneMinOneSuccess if up.skipped > 0 => Skip,
            TriggerRule::AllDoneMinOneSuccess => when_final(if up.success > 0 { Run } else { UpstreamFailed }),
            TriggerRule::OneSuccess if up.success > 0 => Run,
            TriggerRule::OneSuccess => when_final(if up.skipped == up.total { Skip } else { UpstreamFailed }),
            TriggerRule::OneFailed if failed > 0 => Run,
            TriggerRule::OneDone if up.success + up.failed > 0 => Run,
            TriggerRule::OneFailed | TriggerRule::OneDone => when_final(Skip),
            TriggerRule::NoneFailed | TriggerRule::NoneFailedMinOneSuccess if failed > 0 => UpstreamFailed,
            TriggerRule::NoneFailed => when_final(Run),
            TriggerRule::NoneFailedMinOneSuccess => when_final(if up.success > 0 { Run } else { Skip }),
            TriggerRule::NoneSkipped if up.skipped > 0 => Skip,
            TriggerRule::NoneSkipped => when_final(Run),
            TriggerRule::AllSkipped if up.success + failed > 0 => Skip,
            TriggerRule::AllSkipped => when_final(Run),
            TriggerRule::Always => Run,
        }
    }

    /// Whether an upstream task in this state is a reason for a decision against running.
    pub fn is_reason(self, decision: Decision, upstream: TaskState) -> bool {
        use TaskState::{Failed, Skipped, Success, UpstreamFailed};
        let reasons: &[TaskState] = match decision {
            Decision::Wait | Decision::Run => &[],
            Decision::UpstreamFailed => &[Failed, UpstreamFailed],
            Decision::Skip => match self {
                TriggerRule::AllSuccess
                | TriggerRule::AllDoneMinOneSuccess
                | TriggerRule::OneSuccess
                | TriggerRule::NoneFailedMinOneSuccess
                | TriggerRule::NoneSkipped => &[Skipped],
                TriggerRule::AllFailed | TriggerRule::OneFailed => &[Success, Skipped],
                TriggerRule::OneDone => &[Skipped, UpstreamFailed],
                TriggerRule::AllSkipped => &[Success, Failed, UpstreamFailed],
                TriggerRule::AllDone | TriggerRule::NoneFailed | TriggerRule::Always => &[],
            },
        };
        reasons.contains(&upstream)
    }
}

impl fmt::Display for TriggerRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_against_running_has_a_reason_and_is_another_one_without_it() {
        let finals = [TaskState::Success, TaskState::Failed, TaskState::UpstreamFailed, TaskState::Skipped];
        for rule in TriggerRule::ALL {
            for number in 0..64 {
                let upstream = [finals[number % 4], finals[number / 4 % 4], finals[number / 16]];
                let decision = rule.decide(&UpstreamCounts::of(upstream));
                let (reasons, others): (Vec<TaskState>, Vec<TaskState>) =
                    upstream.into_iter().partition(|state| rule.is_reason(decision, *state));
                let is_against = matches!(decision, Decision::Skip | Decision::UpstreamFailed);
                assert_eq!(is_against, !reasons.is_empty(), "{rule} {upstream:?}: {decision:?}");
                assert!(
                    !is_against || rule.decide(&UpstreamCounts::of(others.clone())) != decision,
                    "{rule} {upstream:?}: {decision:?} with {others:?} alone"
                );
            }
        }
    }

    #[test]
    fn a_rule_minds_failures_if_one_of_them_makes_it_upstream_failed() {
        let finals = [TaskState::Success, TaskState::Failed, TaskState::UpstreamFailed, TaskState::Skipped];
        for rule in TriggerRule::ALL {
            let minds = (0..64).any(|number| {
                let upstream = [finals[number % 4], finals[number / 4 % 4], finals[number / 16]];
                let has_failure =
                    upstream.iter().any(|state| matches!(state, TaskState::Failed | TaskState::UpstreamFailed));
                has_failure && rule.decide(&UpstreamCounts::of(upstream)) == Decision::UpstreamFailed
            });
            assert_eq!(rule.minds_failures(), minds, "{rule}");
        }
    }
}
