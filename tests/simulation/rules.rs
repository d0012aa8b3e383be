//! Trigger rules and retry delays, written down a second time.

use crondag::dag::TaskState;
use jiff::SignedDuration;

use super::version::Task;
use super::world::broken;

/// Airflow's trigger rules, in the words of its documentation.
pub fn decide(rule: &str, states: &[TaskState]) -> Option<TaskState> {
    use TaskState::{Failed, Running, Skipped, Success, UpstreamFailed};
    if states.is_empty() || rule == "always" {
        return Some(Running);
    }
    let any = |wanted: &[TaskState]| states.iter().any(|state| wanted.contains(state));
    let all = |wanted: &[TaskState]| states.iter().all(|state| wanted.contains(state));
    let done = states.iter().all(|state| state.is_final());
    let failed = any(&[Failed, UpstreamFailed]);
    match rule {
        "all_success" if failed => Some(UpstreamFailed),
        "all_success" => done.then(|| if any(&[Skipped]) { Skipped } else { Running }),
        "all_failed" if any(&[Success, Skipped]) => Some(Skipped),
        "all_failed" | "all_done" => done.then_some(Running),
        "all_done_min_one_success" if any(&[Skipped]) => Some(Skipped),
        "all_done_min_one_success" => done.then(|| if any(&[Success]) { Running } else { UpstreamFailed }),
        "one_success" if any(&[Success]) => Some(Running),
        "one_success" => done.then(|| if all(&[Skipped]) { Skipped } else { UpstreamFailed }),
        "one_failed" if failed => Some(Running),
        "one_done" if any(&[Success, Failed]) => Some(Running),
        "one_failed" | "one_done" => done.then_some(Skipped),
        "none_failed" | "none_failed_min_one_success" if failed => Some(UpstreamFailed),
        "none_failed" => done.then_some(Running),
        "none_failed_min_one_success" => done.then(|| if any(&[Success]) { Running } else { Skipped }),
        "none_skipped" if any(&[Skipped]) => Some(Skipped),
        "none_skipped" => done.then_some(Running),
        "all_skipped" if any(&[Success, Failed, UpstreamFailed]) => Some(Skipped),
        "all_skipped" => done.then_some(Running),
        other => broken(format!("no trigger rule is called {other}")),
    }
}

impl Task {
    /// How long it waits, in seconds.
    pub fn for_at_most(&self) -> i64 {
        self.wait.as_ref().map_or(0, |wait| wait.for_at_most)
    }

    /// How long after its failure number `failures` the task is tried again.
    pub fn delay(&self, failures: u32) -> SignedDuration {
        let mut delay = self.retry_delay;
        for _ in 1..failures {
            delay = (delay * i64::from(self.retry_backoff)).min(1 << 40);
        }
        SignedDuration::from_secs(delay.min(self.retry_max_delay.max(self.retry_delay)))
    }
}
