//! Why something does not start: the answer to what [`Engine::step`] has left undone.
//!
//! Nothing is decided here. Each blocker comes from the predicate that also keeps the engine from starting the run or the
//! task, so that an explanation cannot differ from what happens.

use jiff::Timestamp;

use super::run::{Phase, Run};
use super::runs::{BeginHold, begin_hold};
use super::slots::{Lack, Lane};
use super::tasks::{Evaluation, Hold, candidate};
use super::{Engine, later};
use crate::dag::{RunNumber, TaskId, TaskState, TriggerRule};

/// One thing that must change before a run or a task starts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum Blocker {
    /// No version of the run's DAG file could be read yet.
    NoPlan,
    /// The run's backfill was interrupted: nothing of it starts.
    BackfillHeld { backfill: i64 },
    /// `overlap`: scheduled runs of the DAG take turns, and one is going on, or processes of it live.
    Overlap {
        /// Those that are going on.
        going: Vec<RunNumber>,
    },
    /// As many runs as may are running.
    MaxActiveRuns {
        /// How many may.
        limit: u32,
        /// The backfill whose own limit it is; `None` when it is the DAG's.
        backfill: Option<i64>,
        /// Those that run, oldest logical date first.
        running: Vec<RunNumber>,
    },
    /// Other runs that share the limit go first: older ones, or newer ones in a reverse backfill.
    QueuedBehind {
        /// The one that goes next.
        first: RunNumber,
        /// How many there are.
        ahead: usize,
    },
    /// The trigger rule waits for upstream tasks.
    Upstream {
        rule: TriggerRule,
        /// Upstream tasks that have not ended, in file order, with their states.
        open: Vec<(TaskId, TaskState)>,
    },
    /// `depends_on_past`: the same task of the previous run has not succeeded, nor was it skipped.
    Past {
        /// The previous run's logical date.
        logical_date: Timestamp,
        /// The previous run; `None` when it has ended.
        run: Option<RunNumber>,
        /// How its task stands; `None` when that run has not begun.
        state: Option<TaskState>,
    },
    /// The task was cleared, or its run was taken up again, and its old attempt still has live processes.
    OldAttempt {
        /// The attempt that lives.
        try_number: u32,
    },
    /// An attempt failed and the next one has its time.
    Retry { at: Timestamp },
    /// A sensor between two evaluations, or while the driver polls.
    Poll {
        /// When it began to wait.
        since: Timestamp,
        /// When the next evaluation is; `None` while the driver polls, or when one is due.
        next_at: Option<Timestamp>,
        /// When it gives up.
        until: Timestamp,
    },
    /// The task's pool has fewer free slots than it wants.
    Pool {
        pool: String,
        /// The pool's slots.
        slots: u32,
        /// How many of them are taken.
        used: u32,
        /// How many the task wants.
        wanted: u32,
        /// Who has them.
        holders: Vec<Holder>,
    },
    /// A task that the pool has no room for stands first in the pool's queue, and is not overtaken.
    PoolQueue {
        pool: String,
        /// The run of the task that stands first.
        run: RunNumber,
        /// The task that stands first.
        task: TaskId,
        /// How many slots that task wants.
        wanted: u32,
    },
    /// As many tasks of the DAG as may are running.
    MaxActiveTasks {
        /// How many may.
        limit: u32,
        /// Those that run.
        holders: Vec<Holder>,
    },
    /// As many tasks of the home as may are running.
    Parallelism {
        /// How many may.
        limit: u32,
        /// Those that run.
        holders: Vec<Holder>,
    },
}

/// A task instance with live processes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub struct Holder {
    pub run: RunNumber,
    pub task: TaskId,
    /// How many slots of its pool it takes.
    pub slots: u32,
}

impl Engine {
    /// What keeps a run, or one of its tasks, from starting after a step at `now`. Empty for what runs, has
    /// ended, or was started by a step at `now`, and for what the engine does not know.
    pub fn why(&self, run: RunNumber, task: Option<&TaskId>, now: Timestamp) -> Vec<Blocker> {
        let Some(known) = self.runs.get(&run) else { return Vec::new() };
        match (known.phase, task) {
            (Phase::Ended, _) => Vec::new(),
            (Phase::Queued, _) => self.why_queued(run, known),
            (Phase::Running, None) => self.backfill_held(known).into_iter().collect(),
            (Phase::Running, Some(task)) => self.why_task(run, known, task, now),
        }
    }

    fn backfill_held(&self, run: &Run) -> Option<Blocker> {
        run.backfill.filter(|_| self.is_held(run)).map(|backfill| Blocker::BackfillHeld { backfill })
    }

    fn why_queued(&self, number: RunNumber, run: &Run) -> Vec<Blocker> {
        let hold = |number| begin_hold(&self.runs, &self.plans, &self.held, &self.turns, number);
        let mut blockers: Vec<Blocker> = Vec::new();
        match hold(number) {
            Some(BeginHold::NoPlan) => blockers.push(Blocker::NoPlan),
            Some(BeginHold::Backfill(backfill)) => blockers.push(Blocker::BackfillHeld { backfill }),
            Some(BeginHold::Turn) => blockers.push(Blocker::Overlap { going: self.turns.going(&run.dag_id).collect() }),
            None => {}
        }
        if self.lanes.has_room(&run.lane) {
            return blockers;
        }
        // A DAG of which nothing is known has no limit yet.
        if self.plans.contains_key(&run.dag_id) {
            let backfill = match run.lane {
                Lane::Backfill { backfill, .. } => Some(backfill),
                Lane::Dag(_) => None,
            };
            let mut running: Vec<(Timestamp, RunNumber)> = self
                .runs
                .iter()
                .filter(|(_, other)| other.phase == Phase::Running && other.lane == run.lane)
                .map(|(number, other)| (other.interval.start, *number))
                .collect();
            running.sort_unstable();
            let running = running.into_iter().map(|(_, number)| number).collect();
            blockers.push(Blocker::MaxActiveRuns { limit: self.lanes.limit(&run.lane), backfill, running });
        }
        let mut ahead = self.lanes.queued_before(&run.lane, run.queue_key()).filter(|other| hold(*other).is_none());
        if let Some(first) = ahead.next() {
            blockers.push(Blocker::QueuedBehind { first, ahead: 1 + ahead.count() });
        }
        blockers
    }

    fn why_task(&self, number: RunNumber, run: &Run, task: &TaskId, now: Timestamp) -> Vec<Blocker> {
        let Some(plan) = &run.plan else { return Vec::new() };
        let Some(index) = plan.index(task) else { return Vec::new() };
        let (task, instance) = (&plan.dag.tasks[index], &run.tasks[index]);
        let hold = match self.evaluate(run, plan, index, now) {
            Evaluation::Closed | Evaluation::Decided(_) => return Vec::new(),
            Evaluation::Ready => return self.why_no_slot(number, run, index),
            Evaluation::Waits(hold) => hold,
        };
        let since = instance.started_at.unwrap_or(now);
        let next_at = instance.next_try_at.filter(|at| *at > now);
        let blocker = match hold {
            Hold::Backfill => None,
            Hold::Upstream => Some(Blocker::Upstream { rule: task.trigger_rule, open: open_upstream(run, index) }),
            Hold::OldAttempt => instance.live.map(|try_number| Blocker::OldAttempt { try_number }),
            Hold::Retry => next_at.map(|at| Blocker::Retry { at }),
            Hold::Poll => {
                task.wait().map(|wait| Blocker::Poll { since, next_at, until: later(since, wait.for_at_most) })
            }
            Hold::Past => self.awaited_past(run, &task.id).map(|past| Blocker::Past {
                logical_date: past.logical_date,
                run: past.run,
                state: past.state,
            }),
        };
        self.backfill_held(run).into_iter().chain(blocker).collect()
    }

    fn why_no_slot(&self, number: RunNumber, run: &Run, index: usize) -> Vec<Blocker> {
        let Some(plan) = &run.plan else { return Vec::new() };
        let task = &plan.dag.tasks[index];
        let pool = task.pool.clone().unwrap_or_default();
        let lacks = self.slots.lacks(&candidate(number, run, index), &plan.dag, index);
        lacks
            .into_iter()
            .filter_map(|lack| match lack {
                Lack::Home => {
                    let limit = self.slots.parallelism();
                    Some(Blocker::Parallelism { limit, holders: self.holders(|_, _| true) })
                }
                Lack::Dag { limit } => {
                    let holders = self.holders(|other, _| other.dag_id == run.dag_id);
                    Some(Blocker::MaxActiveTasks { limit, holders })
                }
                Lack::Pool { slots, used } => {
                    let holders = self.holders(|_, pool| pool.is_some_and(|pool| Some(pool) == task.pool.as_deref()));
                    Some(Blocker::Pool { pool: pool.clone(), slots, used, wanted: task.pool_slots, holders })
                }
                Lack::Behind(first) => {
                    let task = self.runs.get(&first.run)?.plan.as_ref()?.dag.tasks[first.task].id.clone();
                    Some(Blocker::PoolQueue { pool: pool.clone(), run: first.run, task, wanted: first.pool_slots })
                }
            })
            .collect()
    }

    /// Attempts with live processes, by run; each is asked for with its run and the pool whose slots it has.
    fn holders(&self, is_wanted: impl Fn(&Run, Option<&str>) -> bool) -> Vec<Holder> {
        let mut holders = Vec::new();
        for (number, run) in &self.runs {
            for (id, task) in run.live_tasks() {
                if is_wanted(run, task.and_then(|task| task.pool.as_deref())) {
                    let slots = task.map_or(1, |task| task.pool_slots);
                    holders.push(Holder { run: *number, task: id.clone(), slots });
                }
            }
        }
        holders
    }
}

fn open_upstream(run: &Run, index: usize) -> Vec<(TaskId, TaskState)> {
    let Some(plan) = &run.plan else { return Vec::new() };
    plan.dag
        .graph
        .upstream(index)
        .iter()
        .map(|&above| (&plan.dag.tasks[above], &run.tasks[above]))
        .filter(|(_, instance)| instance.selected && !instance.state.is_final())
        .map(|(task, instance)| (task.id.clone(), instance.state))
        .collect()
}
