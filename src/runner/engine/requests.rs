//! What people ask for: doing tasks again, setting states, ending runs, interrupting backfills.

use std::collections::BTreeSet;

use super::message::{Effect, RerunRequest};
use super::run::Phase;
use super::tasks::candidate;
use super::{Engine, Step, Timer};
use crate::dag::{RunNumber, RunState, TaskId, TaskState, Transition};

impl Engine {
    pub(super) fn rerun(&mut self, request: RerunRequest, step: &mut Step) {
        let number = request.run;
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.is_awaited = false;
        let took_turns = std::mem::replace(&mut run.takes_turns, false);
        let newest = self.plans.get(&run.dag_id).cloned();
        let retries = |task: &TaskId| {
            newest.as_ref().and_then(|plan| Some(plan.dag.tasks[plan.index(task)?].retries)).unwrap_or(0)
        };
        if run.phase == Phase::Queued {
            self.lanes.dequeue(&run.lane, run.queue_key(), number);
        }
        if run.phase == Phase::Running && request.backfill.is_some() {
            self.lanes.end(&run.lane);
            run.assign(request.backfill);
            self.lanes.begin(run.lane.clone());
        } else {
            run.assign(request.backfill);
        }
        run.selection = request.selection;
        let clear_all = request.clear_all;
        let to_clear = |task: &TaskId| clear_all || request.clear.contains(task);
        let (dag_id, place, is_interval) = (run.dag_id.clone(), run.interval.succession(), run.is_interval());
        match run.phase {
            Phase::Queued => {
                if run.kept.take().is_some() || took_turns {
                    step.effects.push(Effect::Record(Transition::RunReopened { run: number }));
                }
                run.clear_prior(number, &to_clear, &retries, step);
                self.enqueue(number);
            }
            Phase::Running => {
                let Some(plan) = run.plan.clone() else { return };
                let missing = run.missing_tasks(&plan.dag);
                if !missing.is_empty() {
                    step.effects.push(Effect::Record(Transition::RunStarted {
                        run: number,
                        version: plan.version,
                        tasks: missing,
                    }));
                    run.widen();
                }
                let cleared: Vec<usize> = (0..run.tasks.len())
                    .filter(|&index| run.tasks[index].selected && to_clear(&plan.dag.tasks[index].id))
                    .collect();
                for index in cleared {
                    self.clear_task(number, index, None, step);
                }
                if let Some(run) = self.runs.get(&number) {
                    let is_held = run.backfill.is_some_and(|backfill| self.held.contains(&backfill));
                    step.touched.extend((0..run.tasks.len()).map(|index| (number, index)));
                    if !is_held {
                        self.set_timers(number, step.now);
                    }
                }
            }
            Phase::Ended => {
                // Nothing of it waits for a slot; attempts that live keep theirs.
                run.unbuild();
                run.state_in_store = RunState::Queued;
                step.effects.push(Effect::Record(Transition::RunReopened { run: number }));
                run.clear_prior(number, &to_clear, &retries, step);
                if is_interval {
                    self.by_interval.entry(dag_id.clone()).or_default().insert(place, number);
                }
                self.enqueue(number);
            }
        }
        self.note_turn(number);
        if is_interval {
            self.touch_next(&dag_id, place, step);
        }
    }

    /// Makes a task of a running run as if it had not run; its live attempt is stopped.
    fn clear_task(&mut self, number: RunNumber, index: usize, reason: Option<String>, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        let candidate = candidate(number, run, index);
        self.slots.not_ready(&candidate, &plan.dag, index);
        let task = &plan.dag.tasks[index];
        let instance = &mut run.tasks[index];
        instance.ready_since = None;
        let before = std::mem::replace(&mut instance.state, TaskState::None);
        if let Some(at) = instance.next_try_at.take() {
            self.timers.remove(&(at, number, Timer::Task(index)));
        }
        instance.reason = None;
        instance.max_tries = instance.tries + task.retries + 1;
        let (live, max_tries) = (instance.live, instance.max_tries);
        if before.is_final() {
            run.open += 1;
        }
        for &next in plan.dag.graph.downstream(index) {
            run.tasks[next].upstream.remove(before);
            step.touched.push_back((number, next));
        }
        let (dag_id, place, is_interval) = (run.dag_id.clone(), run.interval.succession(), run.is_interval());
        let task = task.id.clone();
        if is_interval && let Some(next) = self.run_after(&dag_id, place) {
            self.touch_named(next, &task, step);
        }
        step.effects.push(Effect::Record(Transition::TaskCleared {
            run: number,
            task: task.clone(),
            max_tries,
            reason,
        }));
        if let Some(try_number) = live {
            step.effects.push(Effect::StopAttempt { run: number, task, try_number });
        }
        step.touched.push_back((number, index));
    }

    pub(super) fn mark(
        &mut self,
        number: RunNumber,
        task: Option<&TaskId>,
        state: TaskState,
        by: &str,
        step: &mut Step,
    ) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.is_awaited = false;
        let was = run.phase;
        let reason = format!("marked {state} by {by}");
        let Some(plan) = run.plan.clone() else {
            run.end_prior(number, task, &|_| state, &reason, false, step);
            let (dag_id, place, is_interval) = (run.dag_id.clone(), run.interval.succession(), run.is_interval());
            if let Some(task) = task {
                if is_interval && let Some(next) = self.run_after(&dag_id, place) {
                    self.touch_named(next, task, step);
                }
            } else {
                let becomes = if state == TaskState::Failed { RunState::Failed } else { RunState::Success };
                self.end_run(number, becomes, Some(reason), step);
            }
            if was == Phase::Ended {
                self.pass_on_past(number, step);
                self.forget_if_over(number);
            }
            return;
        };
        let marked: Vec<usize> = match task {
            Some(task) => plan.index(task).filter(|&index| run.tasks[index].selected).into_iter().collect(),
            None => (0..run.tasks.len())
                .filter(|&index| run.tasks[index].selected && !run.tasks[index].state.is_final())
                .collect(),
        };
        let mut undecided = BTreeSet::new();
        for &index in &marked {
            self.stop_live(number, index, step);
            self.finish_task(number, index, state, Some(reason.clone()), step);
            // What the old state had decided downstream is decided anew, as Airflow does it.
            if let Some(run) = self.runs.get(&number) {
                undecided.extend(
                    plan.dag
                        .graph
                        .descendants(index)
                        .into_iter()
                        .filter(|&next| run.tasks[next].selected && run.tasks[next].state == TaskState::UpstreamFailed),
                );
            }
        }
        if was == Phase::Running && self.runs.get(&number).is_some_and(|run| run.phase == Phase::Running) {
            for index in undecided {
                self.clear_task(number, index, None, step);
            }
        } else if !undecided.is_empty() {
            let clear = undecided.into_iter().map(|index| plan.dag.tasks[index].id.clone()).collect();
            let Some(run) = self.runs.get(&number) else { return };
            let selection = run.selection.clone();
            let request = RerunRequest { run: number, clear, clear_all: false, backfill: None, selection };
            self.rerun(request, step);
        } else if was == Phase::Ended
            && let Some(run) = self.runs.get_mut(&number)
        {
            // With nothing to mark its end stays as it was recorded.
            if !marked.is_empty() {
                let (state, reason) = run.verdict();
                run.state_in_store = state;
                step.effects.push(Effect::Record(Transition::RunEnded { run: number, state, reason }));
            }
            self.pass_on_past(number, step);
            self.forget_if_over(number);
        }
    }

    fn stop_live(&self, number: RunNumber, index: usize, step: &mut Step) {
        if let Some(run) = self.runs.get(&number)
            && let Some(plan) = &run.plan
            && let Some(try_number) = run.tasks[index].live
        {
            let task = plan.dag.tasks[index].id.clone();
            step.effects.push(Effect::StopAttempt { run: number, task, try_number });
        }
    }

    /// Ends a run at once: live tasks become `running_becomes`, what has not begun is skipped.
    pub(super) fn end_early(
        &mut self,
        number: RunNumber,
        reason: &str,
        running_becomes: TaskState,
        run_becomes: RunState,
        step: &mut Step,
    ) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        run.is_awaited = false;
        if run.phase == Phase::Ended {
            self.forget_if_over(number);
            return;
        }
        let has_begun = run.phase == Phase::Running || run.kept.is_some();
        let open: Vec<(usize, TaskState)> = run
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.selected && !task.state.is_final())
            .map(|(index, task)| (index, task.state))
            .collect();
        let becomes = |state| match state {
            TaskState::Running | TaskState::UpForReschedule => running_becomes,
            TaskState::None
            | TaskState::UpForRetry
            | TaskState::Success
            | TaskState::Failed
            | TaskState::Skipped
            | TaskState::UpstreamFailed => TaskState::Skipped,
        };
        if run.plan.is_none() {
            run.end_prior(number, None, &becomes, reason, true, step);
        }
        // The run is over before its tasks are, so that the last of them does not end it a second time.
        for &(index, state) in &open {
            self.stop_live(number, index, step);
            self.set_ended(number, index, becomes(state), reason, step);
        }
        if has_begun {
            self.end_run(number, run_becomes, Some(reason.to_owned()), step);
        } else {
            self.cancel_run(number, reason, step);
        }
    }

    /// A final state without consequences downstream: the run is being ended as a whole.
    fn set_ended(&mut self, number: RunNumber, index: usize, state: TaskState, reason: &str, step: &mut Step) {
        let Some(run) = self.runs.get_mut(&number) else { return };
        let Some(plan) = run.plan.clone() else { return };
        self.slots.not_ready(&candidate(number, run, index), &plan.dag, index);
        let instance = &mut run.tasks[index];
        instance.state = state;
        instance.ready_since = None;
        if let Some(at) = instance.next_try_at.take() {
            self.timers.remove(&(at, number, Timer::Task(index)));
        }
        instance.reason = Some(reason.to_owned());
        run.open -= 1;
        step.effects.push(Effect::Record(Transition::TaskEnded {
            run: number,
            task: plan.dag.tasks[index].id.clone(),
            state,
            reason: Some(reason.to_owned()),
            awaited: None,
            cut_off: true,
        }));
    }

    pub(super) fn hold(&mut self, backfill: i64, hold: bool, step: &mut Step) {
        let changed = if hold { self.held.insert(backfill) } else { self.held.remove(&backfill) };
        if !changed {
            return;
        }
        self.lanes.reconsider_all();
        let runs: Vec<RunNumber> =
            self.runs.iter().filter(|(_, run)| run.backfill == Some(backfill)).map(|(number, _)| *number).collect();
        if hold {
            self.timers.retain(|(_, number, _)| !runs.contains(number));
        }
        for number in runs {
            let Some(run) = self.runs.get_mut(&number) else { continue };
            step.touched.extend((0..run.tasks.len()).map(|index| (number, index)));
            if !hold && run.phase == Phase::Running {
                // The time in which it was held does not count against its timeout.
                run.started_at = Some(step.now);
                self.set_timers(number, step.now);
            }
        }
    }

    pub(super) fn stop_backfill(&mut self, backfill: i64, step: &mut Step) {
        let live: Vec<(RunNumber, usize)> = self
            .runs
            .iter()
            .filter(|(_, run)| run.backfill == Some(backfill) && run.phase == Phase::Running)
            .flat_map(|(number, run)| {
                run.tasks
                    .iter()
                    .enumerate()
                    .filter(|(_, task)| task.state == TaskState::Running)
                    .map(|(index, _)| (*number, index))
            })
            .collect();
        for (number, index) in live {
            self.clear_task(
                number,
                index,
                Some("its attempt was stopped when the backfill was interrupted".to_owned()),
                step,
            );
        }
    }
}
