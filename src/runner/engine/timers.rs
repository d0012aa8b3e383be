//! Timers: retries, polls and the timeouts of runs, by a clock that may be set.
//!
//! They are kept and recorded as times. After the clock was set back, or where a driver that began while the clock was ahead has
//! recorded them, a time may lie much further away than anything was ever to wait: then it counts from now.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::run::{Instance, Phase, Run};
use super::{Engine, Step, Timer, later};
use crate::dag::{RunNumber, RunState, Task, TaskState};

/// Clocks are corrected by seconds all the time, and timers may be late by as much.
const WORTH_NOTICING: SignedDuration = SignedDuration::from_mins(1);

impl Engine {
    /// Takes the clock at its word: when it was set back, nothing waits longer than if it began to wait now.
    pub(super) fn believe_clock(&mut self, now: Timestamp) {
        let before = self.stepped_at.replace(now);
        if before.is_none_or(|before| before.duration_since(now) <= WORTH_NOTICING) {
            return;
        }
        self.timers.clear();
        let is_timed = |run: &Run| run.phase == Phase::Running && !self.is_held(run);
        let runs: Vec<RunNumber> =
            self.runs.iter().filter(|(_, run)| is_timed(run)).map(|(number, _)| *number).collect();
        for number in runs {
            self.set_timers(number, now);
        }
    }

    /// Sets the timers of a running run: its own timeout, and the retries of its tasks.
    pub(super) fn set_timers(&mut self, number: RunNumber, now: Timestamp) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        run.started_at = run.started_at.map(|at| at.min(now));
        if let (Some(started_at), Some(limit)) = (run.started_at, plan.dag.run_timeout) {
            let at = later(started_at, limit);
            run.times_out_at = Some(at);
            self.timers.insert((at, number, Timer::RunTimeout));
        }
        for (index, (instance, task)) in run.tasks.iter_mut().zip(&plan.dag.tasks).enumerate() {
            instance.started_at = instance.started_at.map(|at| at.min(now));
            let is_polled = instance.state == TaskState::UpForReschedule
                && self.polls.contains(&(number, task.id.clone(), instance.tries));
            // The driver is about it, and its answer sets the next time.
            if !is_polled && let Some(at) = Engine::due_at(task, instance, now) {
                instance.next_try_at = Some(at);
                self.timers.insert((at, number, Timer::Task(index)));
            }
        }
    }

    pub(super) fn fire_timers(&mut self, step: &mut Step) {
        while let Some(&(at, number, timer)) = self.timers.first() {
            if at > step.now {
                return;
            }
            self.timers.pop_first();
            match timer {
                Timer::Task(index) => self.task_is_due(number, index, step),
                Timer::RunTimeout => {
                    let limit = self.runs.get(&number).and_then(|run| run.plan.as_ref()?.dag.run_timeout);
                    let limit = crate::dag::units::format_duration(limit.unwrap_or_default());
                    self.end_early(
                        number,
                        &format!("run_timeout of {limit} is over"),
                        TaskState::Skipped,
                        RunState::Failed,
                        step,
                    );
                }
            }
        }
    }

    /// When a task is due that waits for a time.
    fn due_at(task: &Task, instance: &Instance, now: Timestamp) -> Option<Timestamp> {
        let tries = (instance.tries, instance.max_tries);
        due_at(task, instance.state, tries, instance.next_try_at, now)
    }

    /// How long after its newest failure a task is tried again.
    pub(super) fn delay_of(task: &Task, instance: &Instance) -> Duration {
        delay_after(task, (instance.tries, instance.max_tries))
    }
}

/// When a task is due that waits for a time: its retry, or its next evaluation. What was set while the clock was ahead is not
/// believed: no task waits longer than its delay from now.
pub fn due_at(
    task: &Task,
    state: TaskState,
    tries: (u32, u32),
    next_try_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    match state {
        TaskState::UpForRetry => Some(next_try_at?.min(later(now, delay_after(task, tries)))),
        // Polls of the driver are not recorded: a new one polls at once.
        TaskState::UpForReschedule => {
            let next = next_try_at.unwrap_or(Timestamp::UNIX_EPOCH);
            Some(task.wait().map_or(next, |wait| next.min(later(now, wait.every))))
        }
        TaskState::None
        | TaskState::Running
        | TaskState::Success
        | TaskState::Failed
        | TaskState::Skipped
        | TaskState::UpstreamFailed => None,
    }
}

/// The delay after so many tries of so many.
fn delay_after(task: &Task, (tries, max_tries): (u32, u32)) -> Duration {
    // Retries after a clear begin with the first delay again.
    let failures = tries.saturating_sub(max_tries.saturating_sub(task.retries + 1)).max(1);
    retry_delay(task, failures)
}

/// `retry_delay * retry_backoff ^ (failures - 1)`, at most `retry_max_delay`. Airflow's formula without its jitter.
fn retry_delay(task: &Task, failures: u32) -> Duration {
    let factor = task.retry_backoff.powi(i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX));
    let seconds = task.retry_delay.as_secs_f64() * factor;
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX).min(task.retry_max_delay.max(task.retry_delay))
}
