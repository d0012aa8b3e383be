//! Runs and the runs before them: what `depends_on_past` waits for, and who gives way to whom.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::input::Past;
use super::message::Effect;
use super::run::{Phase, Run};
use super::runs::{BeginHold, begin_hold};
use super::{Engine, Step, Timer};
use crate::dag::schedule::Succession;
use crate::dag::{DagId, Decision, RunNumber, RunState, TaskId, TaskState, Transition};

/// A task instance of the previous interval run.
pub(super) struct AwaitedPast {
    pub(super) logical_date: Timestamp,
    /// `None` when the engine does not know that run: it has ended.
    pub(super) run: Option<RunNumber>,
    /// `None` when that run has not begun.
    pub(super) state: Option<TaskState>,
}

impl Engine {
    /// `depends_on_past`: the same task of the previous interval run succeeded or was skipped, or there is none.
    /// Runs that a person triggered do not wait for the past.
    pub(super) fn past_allows(&self, run: &Run, task: &TaskId) -> bool {
        self.awaited_past(run, task).is_none()
    }

    /// The instance of the previous interval run for which a task with `depends_on_past` waits; `None` when it need not wait.
    pub(super) fn awaited_past(&self, run: &Run, task: &TaskId) -> Option<AwaitedPast> {
        if !run.is_interval() {
            return None;
        }
        let before = self
            .by_interval
            .get(&run.dag_id)
            .and_then(|places| places.range(..run.interval.succession()).next_back())
            .filter(|(place, _)| run.past.interval.is_none_or(|known| **place >= known.succession()))
            .and_then(|(_, number)| Some((*number, self.runs.get(number)?)));
        let (logical_date, state) = match before {
            Some((_, before)) => (before.interval.start, before.state_of(task)),
            None => (run.past.interval?.start, run.past.states.get(task).copied()),
        };
        let is_awaited = match state {
            Some(state) => !matches!(state, TaskState::Success | TaskState::Skipped),
            // The previous run does not have this task, was ended before it began, or there is no previous run.
            None => before.is_some_and(|(_, before)| before.plan.is_none() && before.phase != Phase::Ended),
        };
        is_awaited.then_some(AwaitedPast { logical_date, run: before.map(|(number, _)| number), state })
    }

    pub(super) fn run_after(&self, dag_id: &DagId, place: Succession) -> Option<RunNumber> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.by_interval.get(dag_id)?.range((Excluded(place), Unbounded)).next().map(|(_, number)| *number)
    }

    /// The past of the next run is another one now: what could start there may have to wait.
    pub(super) fn touch_next(&self, dag_id: &DagId, place: Succession, step: &mut Step) {
        if let Some(next) = self.run_after(dag_id, place) {
            let tasks = self.runs.get(&next).map_or(0, |run| run.tasks.len());
            step.touched.extend((0..tasks).map(|index| (next, index)));
        }
    }

    pub(super) fn touch_named(&self, number: RunNumber, task: &TaskId, step: &mut Step) {
        if let Some(run) = self.runs.get(&number)
            && let Some(plan) = &run.plan
            && let Some(index) = plan.index(task)
            && plan.dag.tasks[index].depends_on_past
        {
            step.touched.push_back((number, index));
        }
    }

    /// The next run of the DAG must still know how this one ended after the engine forgets it.
    pub(super) fn pass_on_past(&mut self, number: RunNumber, step: &mut Step) {
        let Some(run) = self.runs.get(&number) else { return };
        // A run that was skipped is nobody's past, whatever is marked on it.
        if !run.is_interval() || run.state_in_store == RunState::Skipped {
            return;
        }
        let past = Past { interval: Some(run.interval), states: run.states() };
        let (dag_id, place) = (run.dag_id.clone(), run.interval.succession());
        let Some(places) = self.by_interval.get_mut(&dag_id) else { return };
        if places.get(&place) == Some(&number) {
            places.remove(&place);
        }
        let next = places.range(place..).next().map(|(_, next)| *next);
        if let Some(next) = next
            && let Some(run) = self.runs.get_mut(&next)
            && run.past.interval.is_none_or(|known| known.succession() <= place)
        {
            run.past = past;
            step.touched.extend((0..run.tasks.len()).map(|index| (next, index)));
        }
    }

    /// Where `max_active_runs` is full of runs that wait for an earlier run, and that earlier run was cleared and is queued
    /// behind them, one of the waiting runs goes back into the queue. (Airflow lets all of them wait for ever.) Gives the
    /// earlier run, counted as running already: were it only queued, the run that gave way might be begun again in its place,
    /// and so on for ever.
    pub(super) fn give_way(&mut self, step: &mut Step) -> Option<RunNumber> {
        let runs = &self.runs;
        self.waiting_for_past.retain(|number| runs.get(number).is_some_and(|run| run.phase == Phase::Running));
        loop {
            let (number, earlier) = self.next_to_give_way()?;
            let mut giving = BTreeSet::from([number]);
            if self.begin_hold(earlier) == Some(BeginHold::Turn) {
                giving.extend(self.turns.going(&self.runs[&earlier].dag_id));
            }
            for number in giving {
                self.queue_again(number, earlier, step);
            }
            let run = self.runs.get(&earlier)?;
            // More may be running than may: the limit was lowered meanwhile.
            if self.lanes.has_room(&run.lane) {
                self.lanes.dequeue(&run.lane, run.queue_key(), earlier);
                self.lanes.begin(run.lane.clone());
                return Some(earlier);
            }
        }
    }

    /// A run that can only wait for an earlier one, and that one.
    fn next_to_give_way(&self) -> Option<(RunNumber, RunNumber)> {
        let givers = self.waiting_for_past.iter().filter_map(|&number| {
            let run = self.runs.get(&number).filter(|run| run.phase == Phase::Running)?;
            let earlier = self.lanes.queued_before(&run.lane, run.queue_key()).find(|&earlier| {
                self.runs.get(&earlier).is_some_and(|earlier| earlier.interval.succession() < run.interval.succession())
                    && self.may_begin_before(earlier)
            })?;
            self.waits_only_for_past(run).then_some((run.interval.succession(), number, earlier))
        });
        // The last one: those between the two would only have to give way in their turn.
        givers.max().map(|(_, number, earlier)| (number, earlier))
    }

    fn begin_hold(&self, number: RunNumber) -> Option<BeginHold> {
        begin_hold(&self.runs, &self.plans, &self.held, &self.turns, number)
    }

    fn queue_again(&mut self, number: RunNumber, earlier: RunNumber, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        if let Some(at) = run.times_out_at.take() {
            self.timers.remove(&(at, number, Timer::RunTimeout));
        }
        run.kept.clone_from(&run.plan);
        run.unbuild();
        step.effects.push(Effect::Record(Transition::RunGaveWay { run: number, to: earlier }));
        self.lanes.end(&run.lane);
        self.enqueue(number);
    }

    /// Whether a queued run may begin once those that wait for it have given way.
    fn may_begin_before(&self, queued: RunNumber) -> bool {
        let Some(run) = self.runs.get(&queued) else { return false };
        match self.begin_hold(queued) {
            None => true,
            Some(BeginHold::Turn) => self.turns.going(&run.dag_id).all(|other| {
                self.waiting_for_past.contains(&other)
                    && self.runs.get(&other).is_some_and(|other| {
                        run.interval.succession() < other.interval.succession() && self.waits_only_for_past(other)
                    })
            }),
            Some(BeginHold::NoPlan | BeginHold::Backfill(_)) => false,
        }
    }

    /// The run was skipped: for the next one, the run before is the one before this one.
    pub(super) fn leave_out_of_past(&mut self, number: RunNumber, step: &mut Step) {
        let Some(run) = self.runs.get(&number) else { return };
        let (dag_id, place, past) = (run.dag_id.clone(), run.interval.succession(), run.past.clone());
        let Some(places) = self.by_interval.get_mut(&dag_id) else { return };
        if places.get(&place) == Some(&number) {
            places.remove(&place);
        }
        if let Some(next) = self.run_after(&dag_id, place)
            && let Some(run) = self.runs.get_mut(&next)
        {
            let known = |past: &Past| past.interval.map(|interval| interval.succession());
            if known(&run.past) < known(&past) {
                run.past = past;
            }
            step.touched.extend((0..run.tasks.len()).map(|index| (next, index)));
        }
    }

    /// Whether nothing of a running run lives or has a time of its own, and all that could start waits for its past.
    fn waits_only_for_past(&self, run: &Run) -> bool {
        let Some(plan) = &run.plan else { return false };
        run.live() == 0
            && plan.dag.tasks.iter().zip(&run.tasks).filter(|(_, it)| it.selected && !it.state.is_final()).all(
                |(task, instance)| {
                    instance.state == TaskState::None
                        && match task.trigger_rule.decide(&instance.upstream) {
                            Decision::Wait => true,
                            Decision::Run => task.depends_on_past && !self.past_allows(run, &task.id),
                            Decision::Skip | Decision::UpstreamFailed => false,
                        }
                },
            )
    }
}
