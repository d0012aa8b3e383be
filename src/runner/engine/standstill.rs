//! Whether runs can still move by themselves, and if not, what a person must do first.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::run::{Phase, Run};
use super::tasks::{Evaluation, Hold};
use super::{Blocker, Engine};
use crate::dag::{RunNumber, TaskId};

/// Something that nothing but a person changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standstill {
    /// The run that waits.
    pub run: RunNumber,
    /// Its task that waits; `None` when the run has not begun.
    pub task: Option<TaskId>,
    /// What it waits for.
    pub blocker: Blocker,
}

impl Engine {
    /// What holds these runs up, when none of them will move before a person does something; in the order of the runs' numbers.
    /// `None` while any of them moves, and when all have ended.
    ///
    /// The runs for which they wait are followed to the cause: of seven days of which each depends on the one before, only the
    /// first is named.
    pub fn standstill(&self, runs: &[RunNumber], now: Timestamp) -> Option<Vec<Standstill>> {
        let mut open: Vec<RunNumber> = runs.iter().copied().filter(|run| self.is_open(*run)).collect();
        // Oldest first: what a run waits for is then known already.
        open.sort_by_key(|number| self.runs.get(number).map(|run| run.interval.succession()));
        let mut known = BTreeMap::new();
        if open.is_empty() || open.iter().any(|run| self.can_move(*run, now, &mut known)) {
            return None;
        }
        Some(self.causes(open, now))
    }

    /// What a run waits for in which nothing runs, whether it comes by itself or not: the runs for which it waits are followed to
    /// the cause, as in [`Engine::standstill`]. Empty when nothing keeps it, and where all that it waits for is running.
    pub fn held_up(&self, run: RunNumber, now: Timestamp) -> Vec<Standstill> {
        if self.is_open(run) { self.causes(vec![run], now) } else { Vec::new() }
    }

    fn causes(&self, open: Vec<RunNumber>, now: Timestamp) -> Vec<Standstill> {
        let mut causes = Vec::new();
        let mut seen: BTreeSet<RunNumber> = open.iter().copied().collect();
        let mut to_do = open;
        while let Some(number) = to_do.pop() {
            for (task, blocker) in self.blockers_of(number, now) {
                let waits_for = match &blocker {
                    Blocker::Past { run: Some(run), state, .. } if state.is_none_or(|state| !state.is_final()) => {
                        vec![*run]
                    }
                    Blocker::Overlap { going: runs } | Blocker::MaxActiveRuns { running: runs, .. } => runs.clone(),
                    Blocker::QueuedBehind { first, .. } => vec![*first],
                    Blocker::Upstream { .. } => continue,
                    Blocker::NoPlan
                    | Blocker::BackfillHeld { .. }
                    | Blocker::Past { .. }
                    | Blocker::OldAttempt { .. }
                    | Blocker::Retry { .. }
                    | Blocker::Poll { .. }
                    | Blocker::Pool { .. }
                    | Blocker::PoolQueue { .. }
                    | Blocker::MaxActiveTasks { .. }
                    | Blocker::Parallelism { .. } => {
                        causes.push(Standstill { run: number, task, blocker });
                        continue;
                    }
                };
                to_do.extend(waits_for.into_iter().filter(|run| seen.insert(*run)));
            }
        }
        causes.sort_by(|a, b| (a.run, &a.task).cmp(&(b.run, &b.task)));
        causes
    }

    fn is_open(&self, number: RunNumber) -> bool {
        self.runs.get(&number).is_some_and(|run| run.phase != Phase::Ended)
    }

    fn blockers_of(&self, number: RunNumber, now: Timestamp) -> Vec<(Option<TaskId>, Blocker)> {
        let Some(run) = self.runs.get(&number) else { return Vec::new() };
        let Some(plan) = &run.plan else {
            return self.why(number, None, now).into_iter().map(|blocker| (None, blocker)).collect();
        };
        let of_task = |task: &TaskId| {
            self.why(number, Some(task), now)
                .into_iter()
                .map(|blocker| (Some(task.clone()), blocker))
                .collect::<Vec<_>>()
        };
        plan.dag.tasks.iter().flat_map(|task| of_task(&task.id)).collect()
    }

    /// Whether something of a run will happen by itself. Runs that wait for one another in a circle do not move.
    fn can_move(&self, number: RunNumber, now: Timestamp, known: &mut BTreeMap<RunNumber, bool>) -> bool {
        if let Some(answer) = known.get(&number) {
            return *answer;
        }
        known.insert(number, false);
        let answer = self.runs.get(&number).is_some_and(|run| match run.phase {
            Phase::Ended => run.live() > 0,
            Phase::Queued => self.can_begin(number, now, known),
            Phase::Running => {
                run.live() > 0
                    || (run.times_out_at.is_some() && !self.is_held(run))
                    || (0..run.tasks.len()).any(|index| self.task_can_move(run, index, now, known))
            }
        });
        known.insert(number, answer);
        answer
    }

    fn can_begin(&self, number: RunNumber, now: Timestamp, known: &mut BTreeMap<RunNumber, bool>) -> bool {
        let blockers = self.why(number, None, now);
        blockers.iter().all(|blocker| match blocker {
            Blocker::Overlap { going: runs } | Blocker::MaxActiveRuns { running: runs, .. } => {
                runs.iter().any(|run| self.can_move(*run, now, known))
            }
            // It stands in the same queue: what it waits for is waited for here as well.
            Blocker::QueuedBehind { .. } => true,
            Blocker::NoPlan
            | Blocker::BackfillHeld { .. }
            | Blocker::Upstream { .. }
            | Blocker::Past { .. }
            | Blocker::OldAttempt { .. }
            | Blocker::Retry { .. }
            | Blocker::Poll { .. }
            | Blocker::Pool { .. }
            | Blocker::PoolQueue { .. }
            | Blocker::MaxActiveTasks { .. }
            | Blocker::Parallelism { .. } => false,
        })
    }

    fn task_can_move(&self, run: &Run, index: usize, now: Timestamp, known: &mut BTreeMap<RunNumber, bool>) -> bool {
        let Some(plan) = &run.plan else { return false };
        match self.evaluate(run, plan, index, now) {
            // What has been decided, and what runs or has ended, has nothing to wait for.
            Evaluation::Decided(_) => true,
            Evaluation::Closed => false,
            // Its slot becomes free when something ends.
            Evaluation::Ready => self.slots.running() > 0,
            Evaluation::Waits(Hold::Upstream | Hold::Backfill) => false,
            Evaluation::Waits(Hold::OldAttempt | Hold::Retry | Hold::Poll) => true,
            Evaluation::Waits(Hold::Past) => self
                .awaited_past(run, &plan.dag.tasks[index].id)
                .is_some_and(|past| past.run.is_some_and(|before| self.can_move(before, now, known))),
        }
    }
}
