//! One run inside the engine: its task instances, laid out along the plan it is bound to.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::input::{BackfillLimits, Binding, Past, Plan, PriorTask, RunInput};
use super::message::{Effect, TaskReport};
use super::slots::{Lane, QueueKey, Slots};
use super::step::Step;
use crate::dag::schedule::DataInterval;
use crate::dag::{
    Dag, DagId, Decision, RunNumber, RunState, RunType, Task, TaskId, TaskState, Transition, UpstreamCounts,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Queued,
    Running,
    Ended,
}

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) state: TaskState,
    pub(super) tries: u32,
    pub(super) max_tries: u32,
    pub(super) next_try_at: Option<Timestamp>,
    pub(super) reason: Option<String>,
    pub(super) started_at: Option<Timestamp>,
    /// The attempt that has live processes, whatever the state says.
    pub(super) live: Option<u32>,
    /// Since when only a slot is missing.
    pub(super) ready_since: Option<Timestamp>,
    /// Whether the run has this task at all.
    pub(super) selected: bool,
    pub(super) upstream: UpstreamCounts,
}

#[derive(Debug)]
pub(super) struct Run {
    pub(super) dag_id: DagId,
    pub(super) run_type: RunType,
    pub(super) interval: DataInterval,
    pub(super) state_in_store: RunState,
    pub(super) started_at: Option<Timestamp>,
    pub(super) backfill: Option<i64>,
    is_reverse: bool,
    pub(super) lane: Lane,
    pub(super) selection: Option<Vec<TaskId>>,
    pub(super) plan: Option<Plan>,
    /// The plan of a run that gave way: the queued run stays bound to this plan.
    pub(super) kept: Option<Plan>,
    /// Task instances by name while no plan lays them out.
    prior: BTreeMap<TaskId, PriorTask>,
    /// Those of `prior` that hold a slot, each with the plan by which the slot was taken, if that plan is known.
    held_slots: BTreeMap<TaskId, Option<Plan>>,
    pub(super) tasks: Vec<Instance>,
    /// Selected tasks that are not in a final state.
    pub(super) open: usize,
    pub(super) past: Past,
    pub(super) phase: Phase,
    pub(super) times_out_at: Option<Timestamp>,
    pub(super) is_awaited: bool,
    /// The schedule made it and nobody has asked for it since.
    pub(super) takes_turns: bool,
}

impl Run {
    pub(super) fn new(input: RunInput) -> (Run, Binding) {
        let gave_way = input.state == RunState::Queued && input.started_at.is_some();
        let kept = match &input.plan {
            Binding::To(plan) if gave_way => Some(plan.clone()),
            Binding::To(_) | Binding::Newest | Binding::Unreadable(_) => None,
        };
        let mut run = Run {
            lane: Lane::Dag(input.dag_id.clone()),
            dag_id: input.dag_id,
            run_type: input.run_type,
            interval: input.interval,
            state_in_store: input.state,
            started_at: input.started_at,
            backfill: None,
            is_reverse: false,
            selection: input.selection,
            plan: None,
            kept,
            prior: input.tasks.into_iter().map(|task| (task.task.clone(), task)).collect(),
            held_slots: BTreeMap::new(),
            tasks: Vec::new(),
            open: 0,
            past: input.past,
            phase: if input.state == RunState::Running { Phase::Running } else { Phase::Queued },
            times_out_at: None,
            is_awaited: input.is_awaited,
            takes_turns: input.run_type == RunType::Scheduled && input.backfill.is_none() && !input.is_reopened,
        };
        run.assign(input.backfill);
        (run, input.plan)
    }

    /// Puts the run under a backfill; without one it stays where it is.
    pub(super) fn assign(&mut self, backfill: Option<BackfillLimits>) {
        let Some(limits) = backfill else { return };
        self.backfill = Some(limits.backfill);
        self.is_reverse = limits.is_reverse;
        self.lane = match limits.max_active_runs {
            Some(limit) => Lane::Backfill { backfill: limits.backfill, limit },
            None => Lane::Dag(self.dag_id.clone()),
        };
    }

    pub(super) fn is_interval(&self) -> bool {
        is_interval(self.run_type)
    }

    /// Oldest first, or newest first in a reverse backfill.
    pub(super) fn queue_key(&self) -> QueueKey {
        // As runs follow one another, or against it.
        let (end, start) = (self.interval.end.as_microsecond(), self.interval.start.as_microsecond());
        if self.is_reverse { (-end, -start) } else { (end, start) }
    }

    pub(super) fn has_no_tasks(&self) -> bool {
        self.prior.is_empty()
    }

    fn selects(&self, task: &TaskId) -> bool {
        self.selection.as_ref().is_none_or(|selection| selection.contains(task))
    }

    /// Tasks of the plan for which the store has no instance yet, with the attempts each may take.
    pub(super) fn missing_tasks(&self, dag: &Dag) -> Vec<(TaskId, u32)> {
        let known = |index: usize, task: &TaskId| match &self.plan {
            Some(_) => self.tasks.get(index).is_some_and(|instance| instance.selected),
            None => self.prior.contains_key(task),
        };
        dag.tasks
            .iter()
            .enumerate()
            .filter(|(index, task)| self.selects(&task.id) && !known(*index, &task.id))
            .map(|(_, task)| (task.id.clone(), task.retries + 1))
            .collect()
    }

    /// Binds the run to a plan.
    pub(super) fn build(&mut self, plan: &Plan) {
        let dag = &plan.dag;
        let selection: Option<std::collections::HashSet<&TaskId>> =
            self.selection.as_ref().map(|ids| ids.iter().collect());
        // A run that has ended has no other tasks than those that the store knows, whatever may be selected since: it was
        // ended before it began again.
        let may_begin = self.phase != Phase::Ended;
        self.tasks = dag
            .tasks
            .iter()
            .map(|task| {
                let selected = may_begin && selection.as_ref().is_none_or(|ids| ids.contains(&task.id));
                match self.prior.remove(&task.id) {
                    Some(prior) => Instance {
                        state: prior.state,
                        tries: prior.tries,
                        max_tries: prior.max_tries,
                        next_try_at: prior.next_try_at,
                        reason: prior.reason,
                        started_at: prior.started_at,
                        live: prior.live,
                        ready_since: None,
                        selected: true,
                        upstream: UpstreamCounts::default(),
                    },
                    None => Instance {
                        state: TaskState::None,
                        tries: 0,
                        max_tries: task.retries + 1,
                        next_try_at: None,
                        reason: None,
                        started_at: None,
                        live: None,
                        ready_since: None,
                        selected,
                        upstream: UpstreamCounts::default(),
                    },
                }
            })
            .collect();
        self.plan = Some(plan.clone());
        if self.phase == Phase::Queued {
            self.phase = Phase::Running;
        }
        self.count();
    }

    /// Takes in the tasks of a widened selection.
    pub(super) fn widen(&mut self) {
        let Some(plan) = self.plan.clone() else { return };
        for (index, task) in plan.dag.tasks.iter().enumerate() {
            if self.selects(&task.id) {
                self.tasks[index].selected = true;
            }
        }
        self.count();
    }

    fn count(&mut self) {
        let Some(plan) = self.plan.clone() else { return };
        self.open = self.tasks.iter().filter(|task| task.selected && !task.state.is_final()).count();
        for index in 0..self.tasks.len() {
            self.tasks[index].upstream = UpstreamCounts::of(
                plan.dag
                    .graph
                    .upstream(index)
                    .iter()
                    .filter(|&&up| self.tasks[up].selected)
                    .map(|&up| self.tasks[up].state),
            );
        }
    }

    /// Turns the task instances back into what the store has, to be bound to another plan.
    pub(super) fn unbuild(&mut self) {
        let Some(plan) = self.plan.take() else { return };
        for (task, instance) in plan.dag.tasks.iter().zip(self.tasks.drain(..)) {
            if instance.live.is_some() {
                self.held_slots.insert(task.id.clone(), Some(plan.clone()));
            }
            if instance.selected {
                self.prior.insert(
                    task.id.clone(),
                    PriorTask {
                        task: task.id.clone(),
                        state: instance.state,
                        tries: instance.tries,
                        max_tries: instance.max_tries,
                        next_try_at: instance.next_try_at,
                        reason: instance.reason,
                        started_at: instance.started_at,
                        live: instance.live,
                    },
                );
            }
        }
    }

    /// Clears tasks of a run that is not laid out.
    pub(super) fn clear_prior(
        &mut self,
        number: RunNumber,
        to_clear: &dyn Fn(&TaskId) -> bool,
        retries: &dyn Fn(&TaskId) -> u32,
        step: &mut Step,
    ) {
        for (task, prior) in &mut self.prior {
            if !to_clear(task) || prior.state == TaskState::None {
                continue;
            }
            prior.state = TaskState::None;
            prior.next_try_at = None;
            prior.reason = None;
            prior.max_tries = prior.tries + retries(task) + 1;
            step.effects.push(Effect::Record(Transition::TaskCleared {
                run: number,
                task: task.clone(),
                max_tries: prior.max_tries,
                reason: None,
            }));
            if let Some(try_number) = prior.live {
                step.effects.push(Effect::StopAttempt { run: number, task: task.clone(), try_number });
            }
        }
    }

    /// The file may have been edited since tasks were cleared: they have the retries of the version with which the run begins.
    pub(super) fn renew_prior(&mut self, number: RunNumber, dag: &Dag, step: &mut Step) {
        for task in &dag.tasks {
            let Some(prior) = self.prior.get_mut(&task.id) else { continue };
            let max_tries = prior.tries + task.retries + 1;
            if prior.state != TaskState::None || prior.max_tries == max_tries {
                continue;
            }
            prior.max_tries = max_tries;
            step.effects.push(Effect::Record(Transition::TaskCleared {
                run: number,
                task: task.id.clone(),
                max_tries,
                reason: prior.reason.clone(),
            }));
        }
    }

    /// Gives tasks of a run that is not laid out a final state: one of them, or all that have none.
    pub(super) fn end_prior(
        &mut self,
        number: RunNumber,
        task: Option<&TaskId>,
        becomes: &dyn Fn(TaskState) -> TaskState,
        reason: &str,
        cut_off: bool,
        step: &mut Step,
    ) {
        let is_meant = |id: &TaskId, prior: &PriorTask| match task {
            Some(task) => task == id,
            None => !prior.state.is_final(),
        };
        for (id, prior) in self.prior.iter_mut().filter(|(id, prior)| is_meant(id, prior)) {
            prior.state = becomes(prior.state);
            prior.next_try_at = None;
            prior.reason = Some(reason.to_owned());
            step.effects.push(Effect::Record(Transition::TaskEnded {
                run: number,
                task: id.clone(),
                state: prior.state,
                reason: prior.reason.clone(),
                awaited: None,
                cut_off,
            }));
            if let Some(try_number) = prior.live {
                step.effects.push(Effect::StopAttempt { run: number, task: id.clone(), try_number });
            }
        }
    }

    /// Takes the slots of attempts that live although no plan lays their tasks out: the run was cleared and waits to begin
    /// again, or its new plan has no such task.
    pub(super) fn hold_slots(&mut self, plan: Option<&Plan>, slots: &mut Slots) {
        for task in self.prior.values().filter(|task| task.live.is_some()) {
            if !self.held_slots.contains_key(&task.task) {
                slots.occupy(&self.dag_id, task_of(plan, &task.task));
                self.held_slots.insert(task.task.clone(), plan.cloned());
            }
        }
    }

    pub(super) fn free_slot(&mut self, task: &TaskId, slots: &mut Slots) {
        if let Some(plan) = self.held_slots.remove(task) {
            slots.release(&self.dag_id, task_of(plan.as_ref(), task));
        }
    }

    pub(super) fn prior_attempt_ended(&mut self, task: &TaskId, try_number: u32, slots: &mut Slots) {
        if let Some(prior) = self.prior.get_mut(task)
            && prior.live == Some(try_number)
        {
            prior.live = None;
            self.free_slot(task, slots);
        }
    }

    /// Tasks of which an attempt has live processes; what each takes a slot as, where that is known.
    pub(super) fn live_tasks(&self) -> impl Iterator<Item = (&TaskId, Option<&Task>)> {
        let tasks = self.plan.iter().flat_map(|plan| &plan.dag.tasks);
        let laid_out = tasks.zip(&self.tasks).filter(|(_, instance)| instance.live.is_some());
        let prior = self.prior.values().filter(|prior| prior.live.is_some());
        laid_out.map(|(task, _)| (&task.id, Some(task))).chain(prior.map(|prior| {
            let plan = self.held_slots.get(&prior.task).and_then(Option::as_ref);
            (&prior.task, task_of(plan, &prior.task))
        }))
    }

    /// Attempts with live processes.
    pub(super) fn live(&self) -> usize {
        self.tasks.iter().filter(|task| task.live.is_some()).count()
            + self.prior.values().filter(|task| task.live.is_some()).count()
    }

    /// The state of a task by name; `None` when the run does not have it, or does not know yet.
    pub(super) fn state_of(&self, task: &TaskId) -> Option<TaskState> {
        match &self.plan {
            Some(plan) => {
                let instance = &self.tasks[plan.index(task)?];
                instance.selected.then_some(instance.state)
            }
            None => self.prior.get(task).map(|prior| prior.state),
        }
    }

    pub(super) fn states(&self) -> BTreeMap<TaskId, TaskState> {
        match &self.plan {
            Some(plan) => plan
                .dag
                .tasks
                .iter()
                .zip(&self.tasks)
                .filter(|(_, instance)| instance.selected)
                .map(|(task, instance)| (task.id.clone(), instance.state))
                .collect(),
            None => self.prior.iter().map(|(task, prior)| (task.clone(), prior.state)).collect(),
        }
    }

    /// Failed or `upstream_failed` tasks for which nothing in this run waits.
    fn failed_leaves(&self) -> Vec<usize> {
        let Some(plan) = &self.plan else { return Vec::new() };
        (0..self.tasks.len())
            .filter(|&index| {
                let instance = &self.tasks[index];
                instance.selected
                    && instance.state.has_failed()
                    && !plan.dag.graph.downstream(index).iter().any(|&next| self.tasks[next].selected)
            })
            .collect()
    }

    /// How the run ends, now that nothing is open: a leaf that failed or could not run fails it.
    pub(super) fn verdict(&self) -> (RunState, Option<String>) {
        match self.failed_leaves().as_slice() {
            [] => (RunState::Success, None),
            [one] => (RunState::Failed, Some(self.leaf_reason(*one))),
            [first, rest @ ..] => {
                (RunState::Failed, Some(format!("{}, and {} more", self.leaf_reason(*first), rest.len())))
            }
        }
    }

    fn leaf_reason(&self, index: usize) -> String {
        let name = self.plan.as_ref().map_or("a task", |plan| plan.dag.tasks[index].id.as_str());
        let how = if self.tasks[index].state == TaskState::UpstreamFailed { "could not run" } else { "failed" };
        format!("task {name} {how}: {}", self.reason(index))
    }

    fn reason(&self, index: usize) -> String {
        self.tasks[index].reason.clone().unwrap_or_default()
    }

    pub(super) fn failed_tasks(&self) -> Vec<(TaskReport, TaskState)> {
        self.tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.state.has_failed())
            .map(|(index, task)| {
                let report = TaskReport {
                    task: index,
                    try_number: task.tries,
                    max_tries: task.max_tries,
                    reason: task.reason.clone().unwrap_or_default(),
                };
                (report, task.state)
            })
            .collect()
    }

    /// Why a trigger rule decided against running, in words that name the upstream task.
    pub(super) fn rule_reason(&self, index: usize, dag: &Dag, decision: Decision) -> String {
        let rule = dag.tasks[index].trigger_rule;
        let upstream = dag.graph.upstream(index).iter().filter(|&&up| self.tasks[up].selected);
        let mut reasons = upstream
            .filter(|&&up| rule.is_reason(decision, self.tasks[up].state))
            .map(|&up| format!("{} {}", dag.tasks[up].id, verb(self.tasks[up].state)));
        let Some(first) = reasons.next() else { return format!("trigger rule {rule}") };
        match reasons.count() {
            0 => format!("trigger rule {rule}: {first}"),
            more => format!("trigger rule {rule}: {first}, and {more} more"),
        }
    }
}

fn task_of<'a>(plan: Option<&'a Plan>, task: &TaskId) -> Option<&'a Task> {
    plan.and_then(|plan| Some(&plan.dag.tasks[plan.index(task)?]))
}

fn verb(state: TaskState) -> &'static str {
    match state {
        TaskState::Success => "succeeded",
        TaskState::Failed => "failed",
        TaskState::Skipped => "was skipped",
        TaskState::UpstreamFailed => "is upstream_failed",
        TaskState::None | TaskState::Running | TaskState::UpForRetry | TaskState::UpForReschedule => "has not ended",
    }
}

/// Whether a run of this type stands for its interval; manual runs come beside it.
fn is_interval(run_type: RunType) -> bool {
    match run_type {
        RunType::Scheduled | RunType::Backfill => true,
        RunType::Manual => false,
    }
}
