//! Scheduled runs of a DAG that meet: what `overlap` says of a run that is due while an earlier one is going on, and which of
//! those that wait stay when `catchup` is off.
//!
//! Only runs that the schedule made take turns. What a person has asked for, a backfill, a trigger, a run cleared, begins as
//! soon as `max_active_runs` lets it.

use super::{Engine, Step};
use crate::dag::{DagId, Overlap, RunNumber, RunState, TaskState};

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
