//! Sensors: tasks that wait for something. Between two evaluations of their condition they hold neither an attempt nor a slot.
//!
//! An evaluation that needs a process is an attempt like any other and takes a slot for its duration. The others are polls of
//! the driver, when a timer is due.

use std::time::Duration;

use jiff::Timestamp;

use super::input::Plan;
use super::message::{Alert, AlertKind, Effect, PollResult, Start};
use super::{Engine, Step, Timer, later};
use crate::dag::{RunNumber, TaskId, TaskState, Transition, Wait};

/// What an evaluation may take although the wait is over while it goes on: the last one begins just then.
const LEAST: Duration = Duration::from_secs(5);
/// The same for long waits, of which a slow answer (of a cluster that starts a process for it) may be worth some time.
const LEAST_OF_LONG: Duration = Duration::from_secs(30);

impl Engine {
    /// When the evaluation that begins now has to end; `started_at` is when the task began to wait.
    pub(super) fn ends_by(wait: &Wait, started_at: Timestamp, now: Timestamp) -> Timestamp {
        let least = wait.for_at_most.clamp(LEAST, LEAST_OF_LONG);
        later(started_at, wait.for_at_most).max(later(now, least))
    }

    /// Begins a wait that needs no process: with a poll, at once.
    pub(super) fn begin_wait(&mut self, number: RunNumber, index: usize, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        let instance = &mut run.tasks[index];
        instance.tries += 1;
        instance.state = TaskState::UpForReschedule;
        instance.started_at = Some(step.now);
        instance.next_try_at = None;
        let (run, task, try_number) = (number, plan.dag.tasks[index].id.clone(), instance.tries);
        step.effects.push(Effect::Record(Transition::TaskWaiting { run, task, try_number }));
        self.poll(number, index, step);
    }

    /// Has the driver evaluate the condition, unless it is about it already.
    fn poll(&mut self, number: RunNumber, index: usize, step: &mut Step) {
        let Some(run) = self.runs.get(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        let try_number = run.tasks[index].tries;
        if self.polls.insert((number, plan.dag.tasks[index].id.clone(), try_number)) {
            step.effects.push(Effect::Poll(Start {
                run: number,
                plan,
                task: index,
                try_number,
                ready_at: step.now,
                ends_by: None,
            }));
        }
    }

    /// A task's timer: its retry or its next evaluation is due.
    pub(super) fn task_is_due(&mut self, number: RunNumber, index: usize, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = &run.plan else { return };
        let waits_without_process = plan.dag.tasks[index].wait().is_some_and(|wait| !wait.condition.needs_process());
        let instance = &mut run.tasks[index];
        // Due once is due for good: it may have to wait for a slot, and the clock may be set back meanwhile.
        instance.next_try_at = None;
        if instance.state == TaskState::UpForReschedule && waits_without_process {
            self.poll(number, index, step);
        } else {
            step.touched.push_back((number, index));
        }
    }

    /// Takes in what the driver found.
    pub(super) fn polled(
        &mut self,
        number: RunNumber,
        task: &TaskId,
        try_number: u32,
        result: PollResult,
        step: &mut Step,
    ) {
        self.polls.remove(&(number, task.clone(), try_number));
        let Some(run) = self.runs.get(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        let Some(index) = plan.index(task) else { return };
        let instance = &run.tasks[index];
        // Cleared, marked or stopped meanwhile.
        if instance.state != TaskState::UpForReschedule || instance.tries != try_number {
            return;
        }
        match result {
            PollResult::Found => {
                let report = self.report(number, index, String::new());
                self.finish_task(number, index, TaskState::Success, None, step);
                step.effects.push(Effect::Alert(Alert { run: number, plan, kind: AlertKind::TaskSucceeded(report) }));
            }
            PollResult::NotYet(what) => self.not_yet(number, index, &what, step),
            PollResult::Failed(reason) => self.attempt_failed(number, index, &plan, reason, step),
        }
    }

    /// An attempt that evaluates the condition of a wait has ended, and it does not hold.
    pub(super) fn is_not_yet(&mut self, number: RunNumber, index: usize, plan: &Plan, step: &mut Step) {
        let what = plan.dag.tasks[index].wait().map(|wait| wait.condition.to_string()).unwrap_or_default();
        self.not_yet(number, index, &what, step);
    }

    /// The condition does not hold yet: another evaluation follows, unless the time of the wait is over.
    fn not_yet(&mut self, number: RunNumber, index: usize, what: &str, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        let task = &plan.dag.tasks[index];
        let Some(wait) = task.wait() else { return };
        let instance = &mut run.tasks[index];
        let deadline = later(instance.started_at.unwrap_or(step.now), wait.for_at_most);
        if step.now < deadline {
            let at = later(step.now, wait.every).min(deadline);
            instance.state = TaskState::UpForReschedule;
            instance.next_try_at = Some(at);
            self.timers.insert((at, number, Timer::Task(index)));
            if wait.condition.needs_process() {
                let transition = Transition::TaskRescheduled { run: number, task: task.id.clone(), next_poll_at: at };
                step.effects.push(Effect::Record(transition));
            }
            return;
        }
        let reason = wait.in_vain(what);
        let state = if wait.soft_fail { TaskState::Skipped } else { TaskState::Failed };
        if !wait.soft_fail {
            let report = self.report(number, index, reason.clone());
            step.effects.push(Effect::Alert(Alert { run: number, plan, kind: AlertKind::TaskFailed(report) }));
        }
        self.finish_task_that_waited(number, index, state, Some(reason), Some(what.to_owned()), step);
    }
}
