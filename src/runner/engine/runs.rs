//! The life of runs: how one becomes known, queues, begins, ends and is forgotten.

use std::collections::{BTreeMap, BTreeSet};

use super::input::{Binding, Plan, RunInput};
use super::message::{Alert, AlertKind, Effect};
use super::run::{Phase, Run};
use super::turns::Turns;
use super::{Engine, Step, Timer};
use crate::dag::{DagId, RunNumber, RunState, TaskState, Transition};

impl Engine {
    pub(super) fn take_runs(&mut self, inputs: Vec<RunInput>, step: &mut Step) {
        let mut taken = Vec::with_capacity(inputs.len());
        for input in inputs {
            let number = input.number;
            if self.runs.contains_key(&number) {
                continue;
            }
            let (run, binding) = Run::new(input);
            // A run that was skipped is nobody's past, as long as nobody takes it up again.
            if run.is_interval() && run.state_in_store != RunState::Skipped {
                let (dag_id, place) = (run.dag_id.clone(), run.interval.succession());
                self.by_interval.entry(dag_id.clone()).or_default().insert(place, number);
                self.touch_next(&dag_id, place, step);
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

    pub(super) fn hold_slots(&mut self, number: RunNumber, plan: Option<&Plan>) {
        if let Some(run) = self.runs.get_mut(&number) {
            run.hold_slots(plan, &mut self.slots);
        }
    }

    pub(super) fn enqueue(&mut self, number: RunNumber) {
        if let Some(run) = self.runs.get_mut(&number) {
            run.phase = Phase::Queued;
            self.lanes.enqueue(run.lane.clone(), run.queue_key(), number);
        }
        self.note_turn(number);
    }

    pub(super) fn start_queued_runs(&mut self, step: &mut Step) {
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
            let (dag_id, place, is_interval) = (run.dag_id.clone(), run.interval.succession(), run.is_interval());
            self.build(number, &plan, step);
            self.note_turn(number);
            if is_interval {
                // It may be bound to a version that lacks a task for which the next run waits.
                self.touch_next(&dag_id, place, step);
            }
            self.settle(step);
        }
    }

    /// Lays the run's task instances out along its plan; all of them are to be evaluated.
    pub(super) fn build(&mut self, number: RunNumber, plan: &Plan, step: &mut Step) {
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

    pub(super) fn end_run_if_over(&mut self, number: RunNumber, step: &mut Step) {
        let Some(run) = self.runs.get(&number) else { return };
        if run.phase != Phase::Running || run.open > 0 {
            return;
        }
        let (state, reason) = run.verdict();
        self.end_run(number, state, reason, step);
    }

    pub(super) fn end_run(&mut self, number: RunNumber, state: RunState, reason: Option<String>, step: &mut Step) {
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
    pub(super) fn cancel_run(&mut self, number: RunNumber, reason: &str, step: &mut Step) {
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

    pub(super) fn forget_if_over(&mut self, number: RunNumber) {
        self.note_turn(number);
        let over =
            self.runs.get(&number).is_some_and(|run| run.phase == Phase::Ended && run.live() == 0 && !run.is_awaited);
        if over
            && let Some(run) = self.runs.remove(&number)
            && let Some(places) = self.by_interval.get_mut(&run.dag_id)
        {
            if places.get(&run.interval.succession()) == Some(&number) {
                places.remove(&run.interval.succession());
            }
            if places.is_empty() {
                self.by_interval.remove(&run.dag_id);
            }
        }
    }
}

/// What keeps a queued run from beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BeginHold {
    /// No version of its DAG is known.
    NoPlan,
    /// Its backfill is interrupted.
    Backfill(i64),
    /// Another scheduled run is going on.
    Turn,
}

/// What keeps a queued run from beginning, its place in the queue apart.
pub(super) fn begin_hold(
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
