//! Which scheduled runs of a DAG are going on, and which wait for their turn.

use std::collections::{BTreeMap, BTreeSet};

use super::run::{Phase, Run};
use crate::dag::schedule::Succession;
use crate::dag::{DagId, RunNumber, RunType};

/// The scheduled runs of each DAG that are going on, and those that have never begun.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// They run, or processes of them live.
    going: BTreeMap<DagId, BTreeSet<RunNumber>>,
    pub(super) waiting: BTreeMap<DagId, BTreeMap<Succession, RunNumber>>,
    /// DAGs of which something has changed.
    pub(super) changed: BTreeSet<DagId>,
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
    pub(super) fn note(&mut self, number: RunNumber, run: &Run) -> bool {
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
