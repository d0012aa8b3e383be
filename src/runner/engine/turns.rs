//! Scheduled runs of a DAG that meet: what `overlap` says of a run that is due while an earlier one is going on, and which of
//! those that wait stay when `catchup` is off.
//!
//! Only runs that the schedule made take turns. What a person has asked for, a backfill, a trigger, a run cleared, begins as
//! soon as `max_active_runs` lets it.

use std::collections::{BTreeMap, BTreeSet};

use super::run::{Phase, Run};
use super::{Engine, Step};
use crate::dag::schedule::Succession;
use crate::dag::{DagId, Overlap, RunNumber, RunState, RunType, TaskState};

/// The scheduled runs of each DAG that are going on, and those that have never begun.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// They run, or processes of them live.
    going: BTreeMap<DagId, BTreeSet<RunNumber>>,
    waiting: BTreeMap<DagId, BTreeMap<Succession, RunNumber>>,
    /// DAGs of which something has changed.
    changed: BTreeSet<DagId>,
}

impl Turns {
    /// Scheduled runs of a DAG that are going on.
    pub(super) fn going(&self, dag_id: &DagId) -> impl Iterator<Item = RunNumber> {
        self.going.get(dag_id).into_iter().flatten().copied()
    }

    /// Whether another run of the DAG than this one is going on.
    pub(super) fn is_taken(&self, dag_id: &DagId, by_other_than: Option<RunNumber>) -> bool {
        self.going(dag_id).any(|number| Some(number) != by_other_than)
    }

    pub(super) fn changed(&mut self, dag_id: &DagId) {
        self.changed.insert(dag_id.clone());
    }

    /// Takes note of how a run stands now; says whether it was going on and is no more.
    fn note(&mut self, number: RunNumber, run: &Run) -> bool {
        let is_going = run.is_scheduled() && (run.phase == Phase::Running || run.live() > 0);
        let is_waiting = run.phase == Phase::Queued && run.is_fresh();
        let place = run.interval.succession();
        let waiting = self.waiting.entry(run.dag_id.clone()).or_default();
        let mut has_changed = match (is_waiting, waiting.get(&place) == Some(&number)) {
            (true, false) => waiting.insert(place, number) != Some(number),
            (false, true) => waiting.remove(&place).is_some(),
            (true, true) | (false, false) => false,
        };
        if waiting.is_empty() {
            self.waiting.remove(&run.dag_id);
        }
        let going = self.going.entry(run.dag_id.clone()).or_default();
        let was_going = going.contains(&number);
        if is_going != was_going {
            has_changed = true;
            if is_going {
                going.insert(number);
            } else {
                going.remove(&number);
            }
        }
        if going.is_empty() {
            self.going.remove(&run.dag_id);
        }
        if has_changed {
            self.changed.insert(run.dag_id.clone());
        }
        was_going && !is_going
    }
}

impl Run {
    pub(super) fn is_scheduled(&self) -> bool {
        self.run_type == RunType::Scheduled
    }

    /// The schedule made it, nobody has asked for it, and it has never begun.
    pub(super) fn is_fresh(&self) -> bool {
        self.takes_turns && self.kept.is_none() && self.plan.is_none() && self.has_no_tasks()
    }
}

impl Engine {
    /// A run has begun, ended, or lost its last process.
    pub(super) fn note_turn(&mut self, number: RunNumber) {
        let Some(run) = self.runs.get(&number) else { return };
        if self.turns.note(number, run) {
            self.lanes.reconsider(&run.dag_id);
        }
    }

    /// Decides what becomes of the scheduled runs that could not begin. Says whether something ended.
    pub(super) fn take_turns(&mut self, step: &mut Step) -> bool {
        let mut has_ended = false;
        for dag_id in std::mem::take(&mut self.turns.changed) {
            let Some(dag) = self.plans.get(&dag_id).map(|plan| plan.dag.clone()) else { continue };
            let Some(waiting) = self.turns.waiting.get(&dag_id) else { continue };
            let mut waiting: Vec<RunNumber> = waiting.values().copied().collect();
            let is_going = self.turns.is_taken(&dag_id, None);
            let newest = match dag.overlap {
                Overlap::Skip if is_going => None,
                Overlap::Wait | Overlap::Allow if dag.catchup => continue,
                Overlap::Wait | Overlap::Allow | Overlap::Skip | Overlap::Replace => waiting.pop(),
            };
            for number in waiting {
                let reason = match newest {
                    None => format!("overlap = \"skip\": {} was still going on", self.names_of_going(&dag_id)),
                    Some(newest) => {
                        format!("{} was due before this one could begin, and catchup is off", self.name_of(newest))
                    }
                };
                self.end_run(number, RunState::Skipped, Some(reason), step);
                has_ended = true;
            }
            if dag.overlap == Overlap::Replace
                && let Some(newest) = newest
            {
                let running: Vec<RunNumber> = self.turns.going(&dag_id).collect();
                for number in running {
                    let reason = format!("overlap = \"replace\": {} has taken its place", self.name_of(newest));
                    self.end_early(number, &reason, TaskState::Skipped, RunState::Skipped, step);
                    has_ended = true;
                }
            }
        }
        has_ended
    }

    fn names_of_going(&self, dag_id: &DagId) -> String {
        self.turns.going(dag_id).next().map(|number| self.name_of(number)).unwrap_or_default()
    }

    /// A run, for people: by its logical date, in the zone of its DAG.
    fn name_of(&self, number: RunNumber) -> String {
        let Some(run) = self.runs.get(&number) else { return String::new() };
        let zone = self.plans.get(&run.dag_id).map_or(jiff::tz::TimeZone::UTC, |plan| plan.dag.timezone.clone());
        format!("the run of {}", run.interval.start.to_zoned(zone).strftime("%Y-%m-%d %H:%M"))
    }
}
