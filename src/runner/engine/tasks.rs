//! The life of task instances: whether one may start, what its attempt's end makes of it, and who starts next.

use jiff::Timestamp;

use super::input::Plan;
use super::message::{Alert, AlertKind, Effect, Outcome, Start, TaskReport};
use super::run::{Phase, Run};
use super::slots::Candidate;
use super::{Engine, Step, Timer, later};
use crate::dag::{Decision, RunNumber, SKIP_EXIT_STATUS, TaskId, TaskState, Transition};

/// How a task instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evaluation {
    /// Nothing is to be decided: the task instance runs or has ended, or its run does not run.
    Closed,
    /// The task instance needs nothing but a slot, or nothing at all if it only waits for a condition.
    Ready,
    /// Its trigger rule has decided against it.
    Decided(Decision),
    /// It may not start yet.
    Waits(Hold),
}

/// What a task instance that is not ready waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    Upstream,
    Backfill,
    OldAttempt,
    Retry,
    Poll,
    Past,
}

impl Engine {
    pub(super) fn attempt_ended(
        &mut self,
        number: RunNumber,
        task: &TaskId,
        try_number: u32,
        outcome: Outcome,
        step: &mut Step,
    ) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let laid_out = run.plan.clone().and_then(|plan| plan.index(task).map(|index| (plan, index)));
        let Some((plan, index)) = laid_out else {
            run.prior_attempt_ended(task, try_number, &mut self.slots);
            self.forget_if_over(number);
            return;
        };
        let instance = &mut run.tasks[index];
        if instance.live != Some(try_number) {
            return;
        }
        instance.live = None;
        let counts =
            run.phase == Phase::Running && instance.state == TaskState::Running && instance.tries == try_number;
        self.slots.release(&plan.dag.id, Some(&plan.dag.tasks[index]));
        if !counts {
            // Cleared, marked or stopped meanwhile: the state has been decided, only the slot was still taken.
            step.touched.push_back((number, index));
            self.forget_if_over(number);
            return;
        }
        match outcome {
            Outcome::Success => {
                let report = self.report(number, index, String::new());
                self.finish_task(number, index, TaskState::Success, None, step);
                step.effects.push(Effect::Alert(Alert { run: number, plan, kind: AlertKind::TaskSucceeded(report) }));
            }
            // To a wait it says what any other failure of its command says.
            Outcome::Skipped
                if plan.dag.tasks[index].wait().is_some_and(|wait| wait.condition.is_not_yet(SKIP_EXIT_STATUS)) =>
            {
                self.is_not_yet(number, index, &plan, step);
            }
            Outcome::Skipped => {
                let reason = format!("the task skipped itself (exit status {SKIP_EXIT_STATUS})");
                self.finish_task(number, index, TaskState::Skipped, Some(reason), step);
            }
            Outcome::WaitTimedOut => self.is_not_yet(number, index, &plan, step),
            Outcome::Failed { exit_status: Some(code), .. }
                if plan.dag.tasks[index].wait().is_some_and(|wait| wait.condition.is_not_yet(code)) =>
            {
                self.is_not_yet(number, index, &plan, step);
            }
            Outcome::Failed { reason, .. } => self.attempt_failed(number, index, &plan, reason, step),
        }
    }

    pub(super) fn attempt_failed(
        &mut self,
        number: RunNumber,
        index: usize,
        plan: &Plan,
        reason: String,
        step: &mut Step,
    ) {
        let report = self.report(number, index, reason.clone());
        let Some(run) = self.runs.get_mut(&number) else { return };
        let instance = &mut run.tasks[index];
        let kind = if instance.tries < instance.max_tries {
            let task = &plan.dag.tasks[index];
            let next_try_at = later(step.now, Engine::delay_of(task, instance));
            instance.state = TaskState::UpForRetry;
            instance.next_try_at = Some(next_try_at);
            step.effects.push(Effect::Record(Transition::TaskRetry {
                run: number,
                task: task.id.clone(),
                reason,
                next_try_at,
            }));
            self.timers.insert((next_try_at, number, Timer::Task(index)));
            AlertKind::TaskRetry(report, next_try_at)
        } else {
            let alert = AlertKind::TaskFailed(report);
            step.effects.push(Effect::Alert(Alert { run: number, plan: plan.clone(), kind: alert }));
            self.finish_task(number, index, TaskState::Failed, Some(reason), step);
            return;
        };
        step.effects.push(Effect::Alert(Alert { run: number, plan: plan.clone(), kind }));
    }

    pub(super) fn report(&self, number: RunNumber, index: usize, reason: String) -> TaskReport {
        let (try_number, max_tries) = self
            .runs
            .get(&number)
            .and_then(|run| run.tasks.get(index))
            .map_or((0, 0), |task| (task.tries, task.max_tries));
        TaskReport { task: index, try_number, max_tries, reason }
    }

    /// Puts a task instance into a final state; what waits for it is to be evaluated.
    pub(super) fn finish_task(
        &mut self,
        number: RunNumber,
        index: usize,
        state: TaskState,
        reason: Option<String>,
        step: &mut Step,
    ) {
        self.finish_task_that_waited(number, index, state, reason, None, step);
    }

    /// The same, of one that waited for `awaited` in vain.
    pub(super) fn finish_task_that_waited(
        &mut self,
        number: RunNumber,
        index: usize,
        state: TaskState,
        reason: Option<String>,
        awaited: Option<String>,
        step: &mut Step,
    ) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        self.slots.not_ready(&candidate(number, run, index), &plan.dag, index);
        let instance = &mut run.tasks[index];
        instance.ready_since = None;
        let before = std::mem::replace(&mut instance.state, state);
        if let Some(at) = instance.next_try_at.take() {
            self.timers.remove(&(at, number, Timer::Task(index)));
        }
        instance.reason.clone_from(&reason);
        if !before.is_final() {
            run.open -= 1;
        }
        let task = plan.dag.tasks[index].id.clone();
        for &next in plan.dag.graph.downstream(index) {
            if run.tasks[next].selected {
                run.tasks[next].upstream.remove(before);
                run.tasks[next].upstream.add(state);
                step.touched.push_back((number, next));
            }
        }
        let (dag_id, date, is_interval) = (run.dag_id.clone(), run.interval.succession(), run.is_interval());
        let ended = Transition::TaskEnded { run: number, task: task.clone(), state, reason, awaited, cut_off: false };
        step.effects.push(Effect::Record(ended));
        if is_interval && let Some(next) = self.run_after(&dag_id, date) {
            self.touch_named(next, &task, step);
        }
        self.end_run_if_over(number, step);
    }

    /// How a task instance stands. Whoever starts tasks and whoever explains why one does not start ask here.
    pub(super) fn evaluate(&self, run: &Run, plan: &Plan, index: usize, now: Timestamp) -> Evaluation {
        let (task, instance) = (&plan.dag.tasks[index], &run.tasks[index]);
        if !instance.selected || run.phase != Phase::Running {
            return Evaluation::Closed;
        }
        let is_due = instance.next_try_at.is_none_or(|at| at <= now);
        let timer = match instance.state {
            TaskState::None => match task.trigger_rule.decide(&instance.upstream) {
                Decision::Wait => return Evaluation::Waits(Hold::Upstream),
                Decision::Run => None,
                decision @ (Decision::Skip | Decision::UpstreamFailed) => return Evaluation::Decided(decision),
            },
            TaskState::UpForRetry => (!is_due).then_some(Hold::Retry),
            TaskState::UpForReschedule => {
                let needs_process = task.wait().is_some_and(|wait| wait.condition.needs_process());
                (!is_due || !needs_process).then_some(Hold::Poll)
            }
            TaskState::Running
            | TaskState::Success
            | TaskState::Failed
            | TaskState::Skipped
            | TaskState::UpstreamFailed => return Evaluation::Closed,
        };
        if self.is_held(run) {
            Evaluation::Waits(Hold::Backfill)
        } else if instance.live.is_some() {
            Evaluation::Waits(Hold::OldAttempt)
        } else if let Some(timer) = timer {
            Evaluation::Waits(timer)
        } else if instance.state == TaskState::None && task.depends_on_past && !self.past_allows(run, &task.id) {
            Evaluation::Waits(Hold::Past)
        } else {
            Evaluation::Ready
        }
    }

    /// Whether the run's backfill is interrupted.
    pub(super) fn is_held(&self, run: &Run) -> bool {
        run.backfill.is_some_and(|backfill| self.held.contains(&backfill))
    }

    pub(super) fn act_on(&mut self, number: RunNumber, index: usize, step: &mut Step) {
        let Some(run) = self.runs.get(&number) else { return };
        let Some(plan) = run.plan.clone().filter(|_| index < run.tasks.len()) else { return };
        let task = &plan.dag.tasks[index];
        let candidate = candidate(number, run, index);
        match self.evaluate(run, &plan, index, step.now) {
            Evaluation::Decided(decision) => {
                let reason = run.rule_reason(index, &plan.dag, decision);
                let state = if decision == Decision::Skip { TaskState::Skipped } else { TaskState::UpstreamFailed };
                self.finish_task(number, index, state, Some(reason), step);
            }
            Evaluation::Ready if task.wait().is_some_and(|wait| !wait.condition.needs_process()) => {
                if self.knows_all {
                    self.begin_wait(number, index, step);
                } else {
                    self.too_early.push((number, index));
                }
            }
            Evaluation::Ready => {
                self.slots.ready(candidate, &plan.dag, index);
                if let Some(run) = self.runs.get_mut(&number) {
                    run.tasks[index].ready_since.get_or_insert(step.now);
                }
                return;
            }
            Evaluation::Waits(hold) => {
                if hold == Hold::Past {
                    self.waiting_for_past.insert(number);
                }
                self.slots.not_ready(&candidate, &plan.dag, index);
            }
            Evaluation::Closed => self.slots.not_ready(&candidate, &plan.dag, index),
        }
        if let Some(instance) = self.runs.get_mut(&number).and_then(|run| run.tasks.get_mut(index)) {
            instance.ready_since = None;
        }
    }

    pub(super) fn dispatch(&mut self, step: &mut Step) {
        while let Some(candidate) = self.slots.take_best() {
            let Some(run) = self.runs.get_mut(&candidate.run) else { continue };
            let Some(plan) = run.plan.clone() else { continue };
            let instance = &mut run.tasks[candidate.task];
            if instance.state != TaskState::UpForReschedule {
                instance.tries += 1;
                instance.started_at = Some(step.now);
            }
            let ready_at = instance.ready_since.take().unwrap_or(step.now);
            instance.state = TaskState::Running;
            instance.live = Some(instance.tries);
            instance.next_try_at = None;
            let try_number = instance.tries;
            let task = plan.dag.tasks[candidate.task].id.clone();
            step.effects.push(Effect::Record(Transition::TaskStarted { run: candidate.run, task, try_number }));
            self.slots.occupy(&plan.dag.id, Some(&plan.dag.tasks[candidate.task]));
            let started_at = instance.started_at.unwrap_or(step.now);
            let ends_by = plan.dag.tasks[candidate.task].wait().map(|wait| Engine::ends_by(wait, started_at, step.now));
            step.effects.push(Effect::Start(Start {
                run: candidate.run,
                plan,
                task: candidate.task,
                try_number,
                ready_at,
                ends_by,
            }));
        }
    }
}

pub(super) fn candidate(number: RunNumber, run: &Run, index: usize) -> Candidate {
    let task = run.plan.as_ref().map(|plan| &plan.dag.tasks[index]);
    let priority = task.map_or(0, |task| task.priority);
    let pool_slots = task.map_or(1, |task| task.pool_slots);
    Candidate { rank: -i64::from(priority), logical_date: run.interval.start, run: number, task: index, pool_slots }
}
