//! The engine: decides what happens next. `(state, event) -> (state, effects)`, and nothing else.
//!
//! It reads no clock, no file and no database, starts no process and imports only `dag`, so that a simulated clock and
//! simulated processes can drive it. Readiness is event-driven: an event costs what its edges cost, never a scan of all
//! tasks. The driver commits the transitions of a step before it carries out the step's starts and stops.
//!
//! Two things are kept apart on purpose: a task instance's *state*, and whether an attempt of it still has live
//! processes. A task that was cleared, marked or stopped changes its state at once, but no new attempt starts and no
//! slot is freed before the old attempt is really gone.

mod message;
mod past;
mod recorded;
mod requests;
mod run;
mod slots;
mod standstill;
mod timers;
mod turns;
mod wait;
mod why;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

pub use message::{
    Alert, AlertKind, BackfillLimits, Effect, Event, Outcome, Plan, PollResult, RerunRequest, Start, TaskReport,
};
pub use recorded::recorded;
pub use run::{Binding, Past, PriorTask, RunInput};
pub use slots::Limits;
pub use standstill::Standstill;
pub use why::{Blocker, Holder};

use crate::dag::schedule::Succession;
use crate::dag::{DagId, Decision, RunNumber, RunState, RunType, SKIP_EXIT_STATUS, TaskId, TaskState, Transition};
use run::{Phase, Run};
use slots::{Candidate, Lanes, Slots};
use turns::Turns;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Task(usize),
    RunTimeout,
}

/// The state of everything that has not ended.
#[derive(Debug, Default)]
pub struct Engine {
    plans: BTreeMap<DagId, Plan>,
    runs: BTreeMap<RunNumber, Run>,
    /// Interval runs that have not ended, by logical date: for `depends_on_past`.
    by_interval: BTreeMap<DagId, BTreeMap<Succession, RunNumber>>,
    held: BTreeSet<i64>,
    /// Runs of which a task could start but for `depends_on_past`. Some may have found their past meanwhile.
    waiting_for_past: BTreeSet<RunNumber>,
    lanes: Lanes,
    slots: Slots,
    turns: Turns,
    timers: BTreeSet<(Timestamp, RunNumber, Timer)>,
    /// Polls that the driver is about: run, task, attempt.
    polls: BTreeSet<(RunNumber, TaskId, u32)>,
    /// The limits are known, and with them all that lives.
    knows_all: bool,
    /// What time it was at the last step.
    stepped_at: Option<Timestamp>,
    /// Tasks that could have begun to wait before that.
    too_early: Vec<(RunNumber, usize)>,
}

/// How a task instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evaluation {
    /// Nothing is to be decided: it runs, it has ended, or its run does not run.
    Closed,
    /// It needs nothing but a slot, or nothing at all if it only waits for a condition.
    Ready,
    /// Its trigger rule has decided against it.
    Decided(Decision),
    /// It may not start yet.
    Waits(Hold),
}

/// What a task instance that is not ready waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hold {
    Upstream,
    Backfill,
    OldAttempt,
    Retry,
    Poll,
    Past,
}

/// One step's worth of work.
struct Step {
    now: Timestamp,
    effects: Vec<Effect>,
    /// Tasks that must be evaluated again.
    touched: VecDeque<(RunNumber, usize)>,
}

impl Engine {
    /// An engine that knows nothing yet. It starts no attempt and no wait before it is given [`Event::Limits`]: first it must
    /// learn of all that live, and of the past of each run.
    pub fn new() -> Engine {
        Engine::default()
    }

    /// Takes one event in and says what follows.
    pub fn step(&mut self, event: Event, now: Timestamp) -> Vec<Effect> {
        let mut step = Step { now, effects: Vec::new(), touched: VecDeque::new() };
        self.believe_clock(now);
        match event {
            Event::TimePassed => {}
            Event::Limits(limits) => {
                self.slots.set_limits(limits);
                self.knows_all = true;
                step.touched.extend(self.too_early.drain(..));
            }
            Event::Plan(plan) => {
                self.lanes.set_dag_limit(&plan.dag.id, plan.dag.max_active_runs);
                self.turns.changed(&plan.dag.id);
                self.plans.insert(plan.dag.id.clone(), plan);
            }
            Event::Runs(inputs) => self.take_runs(inputs, &mut step),
            Event::AttemptEnded { run, task, try_number, outcome } => {
                self.attempt_ended(run, &task, try_number, outcome, &mut step);
            }
            Event::Polled { run, task, try_number, result } => self.polled(run, &task, try_number, result, &mut step),
            Event::Rerun(request) => self.rerun(*request, &mut step),
            Event::Mark { run, task, state, by } => self.mark(run, task.as_ref(), state, &by, &mut step),
            Event::Stop { run, by } => {
                self.end_early(run, &format!("stopped by {by}"), TaskState::Failed, RunState::Failed, &mut step);
            }
            Event::HoldBackfill { backfill, hold } => self.hold(backfill, hold, &mut step),
            Event::StopBackfill { backfill } => self.stop_backfill(backfill, &mut step),
        }
        self.fire_timers(&mut step);
        self.settle(&mut step);
        self.start_queued_runs(&mut step);
        self.settle(&mut step);
        while self.take_turns(&mut step) {
            self.start_queued_runs(&mut step);
            self.settle(&mut step);
        }
        self.dispatch(&mut step);
        step.effects
    }

    /// When [`Event::TimePassed`] is due next.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, ..)| *at)
    }

    /// Whether nothing is alive, ready or timed: only a new event can move anything.
    pub fn is_idle(&self) -> bool {
        self.slots.is_free() && self.timers.is_empty() && self.polls.is_empty()
    }

    /// Whether the engine knows this run.
    pub fn knows(&self, run: RunNumber) -> bool {
        self.runs.contains_key(&run)
    }

    /// The DAGs of all runs that have not ended.
    pub fn dags(&self) -> BTreeSet<DagId> {
        self.runs.values().map(|run| run.dag_id.clone()).collect()
    }

    /// Number of attempts with live processes.
    pub fn live_attempts(&self) -> u32 {
        self.slots.running()
    }

    // ---- runs ----------------------------------------------------------------------------------------------------

    fn take_runs(&mut self, inputs: Vec<RunInput>, step: &mut Step) {
        let mut taken = Vec::with_capacity(inputs.len());
        for input in inputs {
            let number = input.number;
            if self.runs.contains_key(&number) {
                continue;
            }
            let (run, binding) = Run::new(input);
            // A run that was skipped is nobody's past, as long as nobody takes it up again.
            if run.is_interval() && run.state_in_store != RunState::Skipped {
                let (dag_id, date) = (run.dag_id.clone(), run.interval.succession());
                self.by_interval.entry(dag_id.clone()).or_default().insert(date, number);
                self.touch_next(&dag_id, date, step);
            }
            self.runs.insert(number, run);
            taken.push((number, binding));
        }
        for (number, binding) in taken {
            self.take_run(number, binding, step);
        }
    }

    /// Gives a run that has just become known its place.
    fn take_run(&mut self, number: RunNumber, binding: Binding, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        match (run.state_in_store, binding) {
            (RunState::Queued, Binding::To(plan)) => {
                self.hold_slots(number, Some(&plan));
                self.enqueue(number);
            }
            // A running run is always bound to a version; without one it starts over with the newest.
            (RunState::Queued, Binding::Newest | Binding::Unreadable(_)) | (RunState::Running, Binding::Newest) => {
                self.enqueue(number);
            }
            (RunState::Running, Binding::To(plan)) => {
                self.lanes.begin(run.lane.clone());
                self.build(number, &plan, step);
            }
            (RunState::Running, Binding::Unreadable(reason)) => {
                self.lanes.begin(run.lane.clone());
                self.hold_slots(number, None);
                self.end_early(number, &reason, TaskState::Failed, RunState::Failed, step);
            }
            (RunState::Success | RunState::Failed | RunState::Skipped, binding) => {
                run.phase = Phase::Ended;
                if let Binding::To(plan) = binding {
                    self.build(number, &plan, step);
                }
                self.forget_if_over(number);
            }
        }
        self.hold_slots(number, None);
        self.note_turn(number);
    }

    fn hold_slots(&mut self, number: RunNumber, plan: Option<&Plan>) {
        if let Some(run) = self.runs.get_mut(&number) {
            run.hold_slots(plan, &mut self.slots);
        }
    }

    fn enqueue(&mut self, number: RunNumber) {
        if let Some(run) = self.runs.get_mut(&number) {
            run.phase = Phase::Queued;
            self.lanes.enqueue(run.lane.clone(), run.queue_key(), number);
        }
        self.note_turn(number);
    }

    fn start_queued_runs(&mut self, step: &mut Step) {
        loop {
            let (runs, plans, held, turns) = (&self.runs, &self.plans, &self.held, &self.turns);
            let may_begin = |number| begin_hold(runs, plans, held, turns, number).is_none();
            let Some(number) = self.lanes.next(may_begin).or_else(|| self.give_way(step)) else { return };
            let Some(run) = self.runs.get_mut(&number) else { continue };
            let Some(plan) = run.kept.take().or_else(|| self.plans.get(&run.dag_id).cloned()) else { continue };
            run.started_at = Some(step.now);
            let missing = run.missing_tasks(&plan.dag);
            step.effects.push(Effect::Record(Transition::RunStarted {
                run: number,
                version: plan.version,
                tasks: missing,
            }));
            run.renew_prior(number, &plan.dag, step);
            let (dag_id, date, is_interval) = (run.dag_id.clone(), run.interval.succession(), run.is_interval());
            self.build(number, &plan, step);
            self.note_turn(number);
            if is_interval {
                // It may be bound to a version that lacks a task for which the next run waits.
                self.touch_next(&dag_id, date, step);
            }
            self.settle(step);
        }
    }

    /// Lays the run's task instances out along its plan; all of them are to be evaluated.
    fn build(&mut self, number: RunNumber, plan: &Plan, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.build(plan);
        for (index, task) in plan.dag.tasks.iter().enumerate() {
            if run.tasks[index].live.is_some() {
                run.free_slot(&task.id, &mut self.slots);
                self.slots.occupy(&plan.dag.id, Some(task));
            }
        }
        if run.phase == Phase::Running {
            if !self.runs.get(&number).is_some_and(|run| self.is_held(run)) {
                self.set_timers(number, step.now);
            }
            step.touched.extend((0..plan.dag.tasks.len()).map(|index| (number, index)));
            self.end_run_if_over(number, step);
        }
    }

    fn end_run_if_over(&mut self, number: RunNumber, step: &mut Step) {
        let Some(run) = self.runs.get(&number) else { return };
        if run.phase != Phase::Running || run.open > 0 {
            return;
        }
        let (state, reason) = run.verdict();
        self.end_run(number, state, reason, step);
    }

    fn end_run(&mut self, number: RunNumber, state: RunState, reason: Option<String>, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        match run.phase {
            Phase::Ended => return,
            Phase::Queued => self.lanes.dequeue(&run.lane, run.queue_key(), number),
            Phase::Running => self.lanes.end(&run.lane),
        }
        run.phase = Phase::Ended;
        self.note_turn(number);
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.state_in_store = state;
        step.effects.push(Effect::Record(Transition::RunEnded { run: number, state, reason: reason.clone() }));
        if state == RunState::Failed
            && let Some(plan) = run.plan.clone()
        {
            let tasks = run.failed_tasks();
            let kind = AlertKind::RunFailed { reason: reason.unwrap_or_default(), tasks };
            step.effects.push(Effect::Alert(Alert { run: number, plan, kind }));
        }
        if let Some(at) = run.times_out_at.take() {
            self.timers.remove(&(at, number, Timer::RunTimeout));
        }
        if state == RunState::Skipped {
            self.leave_out_of_past(number, step);
        } else {
            self.pass_on_past(number, step);
        }
        self.forget_if_over(number);
    }

    /// Ends a queued run that has not begun. Nobody is told: it is as somebody wanted it.
    fn cancel_run(&mut self, number: RunNumber, reason: &str, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number).filter(|run| run.phase == Phase::Queued) else { return };
        self.lanes.dequeue(&run.lane, run.queue_key(), number);
        run.phase = Phase::Ended;
        run.state_in_store = RunState::Failed;
        step.effects.push(Effect::Record(Transition::RunCancelled {
            run: number,
            reason: format!("{reason} before it began"),
        }));
        self.pass_on_past(number, step);
        self.forget_if_over(number);
    }

    fn forget_if_over(&mut self, number: RunNumber) {
        self.note_turn(number);
        let over =
            self.runs.get(&number).is_some_and(|run| run.phase == Phase::Ended && run.live() == 0 && !run.is_awaited);
        if over
            && let Some(run) = self.runs.remove(&number)
            && let Some(dates) = self.by_interval.get_mut(&run.dag_id)
        {
            if dates.get(&run.interval.succession()) == Some(&number) {
                dates.remove(&run.interval.succession());
            }
            if dates.is_empty() {
                self.by_interval.remove(&run.dag_id);
            }
        }
    }

    // ---- tasks ---------------------------------------------------------------------------------------------------

    fn attempt_ended(&mut self, number: RunNumber, task: &TaskId, try_number: u32, outcome: Outcome, step: &mut Step) {
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

    fn attempt_failed(&mut self, number: RunNumber, index: usize, plan: &Plan, reason: String, step: &mut Step) {
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

    fn report(&self, number: RunNumber, index: usize, reason: String) -> TaskReport {
        let (try_number, max_tries) = self
            .runs
            .get(&number)
            .and_then(|run| run.tasks.get(index))
            .map_or((0, 0), |task| (task.tries, task.max_tries));
        TaskReport { task: index, try_number, max_tries, reason }
    }

    /// Puts a task instance into a final state; what waits for it is to be evaluated.
    fn finish_task(
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
    fn finish_task_that_waited(
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
        let ended = Transition::TaskEnded { run: number, task: task.clone(), state, reason, awaited };
        step.effects.push(Effect::Record(ended));
        if is_interval && let Some(next) = self.run_after(&dag_id, date) {
            self.touch_named(next, &task, step);
        }
        self.end_run_if_over(number, step);
    }

    /// Evaluates touched tasks until nothing changes any more.
    fn settle(&mut self, step: &mut Step) {
        while let Some((number, index)) = step.touched.pop_front() {
            self.act_on(number, index, step);
        }
    }

    /// How a task instance stands. Whoever starts tasks and whoever explains why one does not start ask here.
    fn evaluate(&self, run: &Run, plan: &Plan, index: usize, now: Timestamp) -> Evaluation {
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
    fn is_held(&self, run: &Run) -> bool {
        run.backfill.is_some_and(|backfill| self.held.contains(&backfill))
    }

    fn act_on(&mut self, number: RunNumber, index: usize, step: &mut Step) {
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
            Evaluation::Ready => self.slots.ready(candidate, &plan.dag, index),
            Evaluation::Waits(hold) => {
                if hold == Hold::Past {
                    self.waiting_for_past.insert(number);
                }
                self.slots.not_ready(&candidate, &plan.dag, index);
            }
            Evaluation::Closed => self.slots.not_ready(&candidate, &plan.dag, index),
        }
    }

    fn dispatch(&mut self, step: &mut Step) {
        while let Some(candidate) = self.slots.take_best() {
            let Some(run) = self.runs.get_mut(&candidate.run) else { continue };
            let Some(plan) = run.plan.clone() else { continue };
            let instance = &mut run.tasks[candidate.task];
            if instance.state != TaskState::UpForReschedule {
                instance.tries += 1;
                instance.started_at = Some(step.now);
            }
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
                ends_by,
            }));
        }
    }
}

/// What keeps a queued run from beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BeginHold {
    /// No version of its DAG is known.
    NoPlan,
    /// Its backfill is interrupted.
    Backfill(i64),
    /// Another scheduled run is going on.
    Turn,
}

/// What keeps a queued run from beginning, its place in the queue apart.
fn begin_hold(
    runs: &BTreeMap<RunNumber, Run>,
    plans: &BTreeMap<DagId, Plan>,
    held: &BTreeSet<i64>,
    turns: &Turns,
    number: RunNumber,
) -> Option<BeginHold> {
    let Some(run) = runs.get(&number) else { return Some(BeginHold::NoPlan) };
    let Some(plan) = plans.get(&run.dag_id) else { return Some(BeginHold::NoPlan) };
    if let Some(backfill) = run.backfill.filter(|backfill| held.contains(backfill)) {
        return Some(BeginHold::Backfill(backfill));
    }
    let waits = run.takes_turns && plan.dag.overlap.takes_turns() && turns.is_taken(&run.dag_id, Some(number));
    waits.then_some(BeginHold::Turn)
}

fn candidate(number: RunNumber, run: &Run, index: usize) -> Candidate {
    let task = run.plan.as_ref().map(|plan| &plan.dag.tasks[index]);
    let priority = task.map_or(0, |task| task.priority);
    let pool_slots = task.map_or(1, |task| task.pool_slots);
    Candidate { rank: -i64::from(priority), logical_date: run.interval.start, run: number, task: index, pool_slots }
}

fn later(at: Timestamp, by: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

/// Whether a run of this type stands for its interval; manual runs come beside it.
fn is_interval(run_type: RunType) -> bool {
    match run_type {
        RunType::Scheduled | RunType::Backfill => true,
        RunType::Manual => false,
    }
}
