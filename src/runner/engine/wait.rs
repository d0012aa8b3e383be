//! Sensors: tasks that wait for something. Between two looks they hold neither an attempt nor a slot.
//!
//! A look that needs a process is an attempt like any other and takes a slot for its duration. The other looks are taken by
//! the driver itself, when a timer is due.

use std::time::Duration;

use jiff::Timestamp;

use super::message::{Alert, AlertKind, Effect, Look, Plan, Start};
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

    /// Begins a wait that needs no process: with a look, at once.
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
        self.look(number, index, step);
    }

    /// Has the driver look, unless it is looking already.
    fn look(&mut self, number: RunNumber, index: usize, step: &mut Step) {
        let Some(run) = self.runs.get(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        let try_number = run.tasks[index].tries;
        if self.looks.insert((number, plan.dag.tasks[index].id.clone(), try_number)) {
            step.effects.push(Effect::Look(Start { run: number, plan, task: index, try_number, ends_by: None }));
        }
    }

    /// A task's timer: its retry or its next look is due.
    pub(super) fn task_is_due(&mut self, number: RunNumber, index: usize, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = &run.plan else { return };
        let waits_without_process = plan.dag.tasks[index].wait().is_some_and(|wait| !wait.condition.needs_process());
        let instance = &mut run.tasks[index];
        // Due once is due for good: it may have to wait for a slot, and the clock may be set back meanwhile.
        instance.next_try_at = None;
        if instance.state == TaskState::UpForReschedule && waits_without_process {
            self.look(number, index, step);
        } else {
            step.touched.push_back((number, index));
        }
    }

    /// Takes in what the driver saw.
    pub(super) fn looked(&mut self, number: RunNumber, task: &TaskId, try_number: u32, look: Look, step: &mut Step) {
        self.looks.remove(&(number, task.clone(), try_number));
        let Some(run) = self.runs.get(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        let Some(index) = plan.index(task) else { return };
        let instance = &run.tasks[index];
        // Cleared, marked or stopped meanwhile.
        if instance.state != TaskState::UpForReschedule || instance.tries != try_number {
            return;
        }
        match look {
            Look::Found => {
                let report = self.report(number, index, String::new());
                self.finish_task(number, index, TaskState::Success, None, step);
                step.effects.push(Effect::Alert(Alert { run: number, plan, kind: AlertKind::TaskSucceeded(report) }));
            }
            Look::NotYet(what) => self.not_yet(number, index, &what, step),
            Look::Failed(reason) => self.attempt_failed(number, index, &plan, reason, step),
        }
    }

    /// An attempt that evaluates the condition of a wait has ended, and it does not hold.
    pub(super) fn is_not_yet(&mut self, number: RunNumber, index: usize, plan: &Plan, step: &mut Step) {
        let what = plan.dag.tasks[index].wait().map(|wait| wait.condition.to_string()).unwrap_or_default();
        self.not_yet(number, index, &what, step);
    }

    /// A look found that it is too early: another follows, unless the patience is over.
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
                let transition = Transition::TaskRescheduled { run: number, task: task.id.clone(), next_look_at: at };
                step.effects.push(Effect::Record(transition));
            }
            return;
        }
        let reason = wait.in_vain(what);
        if wait.soft_fail {
            self.finish_task(number, index, TaskState::Skipped, Some(reason), step);
        } else {
            let report = self.report(number, index, reason.clone());
            step.effects.push(Effect::Alert(Alert { run: number, plan, kind: AlertKind::TaskFailed(report) }));
            self.finish_task(number, index, TaskState::Failed, Some(reason), step);
        }
    }

    /// When a task that was taken up from the store is due: its retry, or its next look.
    pub(super) fn due_at(state: TaskState, next_try_at: Option<Timestamp>) -> Option<Timestamp> {
        match state {
            TaskState::UpForRetry => next_try_at,
            // Looks of the driver are not recorded: it looks at once.
            TaskState::UpForReschedule => Some(next_try_at.unwrap_or(Timestamp::UNIX_EPOCH)),
            _ => None,
        }
    }
}
