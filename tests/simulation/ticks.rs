//! Ticks, as `crondag tick` does them, and whether the runs that are due exist afterwards.

use std::collections::BTreeMap;

use crondag::runner::driver::Message;
use crondag::runner::{client, planner};
use jiff::{SignedDuration, Timestamp};

use super::due::{Dags, Due, Known, Room};
use super::world::{HOUR, MINUTE, World, broken};

/// As many runs of a DAG wait as may be running at once.
fn room_of(queued: &BTreeMap<String, u64>) -> impl Fn(&str, &Known) -> Room + use<'_> {
    |dag, known| {
        let Some(version) = known.version.as_ref().filter(|version| version.catchup) else { return Room::Runs(1) };
        let queued = queued.get(dag).copied().unwrap_or_default();
        Room::Runs(u64::from(version.max_active_runs).saturating_sub(queued))
    }
}

impl World {
    pub fn tick(&mut self) {
        let now = self.now();
        if self.is_driver_alive && self.fault.is_none() && self.elapsed - self.disturbed_at > 3 * MINUTE {
            self.check_waiting();
        }
        let queued = self.promises.queued();
        let planned = planner::plan(&self.home, &mut self.store, &self.config, now);
        let report = match planned {
            Ok(report) => report,
            Err(error) => {
                if self.fault.is_none() {
                    broken(format!("a tick fails although nothing is wrong: {error}"));
                }
                return;
            }
        };
        for file in &report.faulty {
            if !file.text.starts_with("schedule = [") {
                broken(format!("a good file is refused: {}\n{}", file.summary(), file.text));
            }
        }
        if self.due.pass(Some(&self.files), now, &room_of(&queued)) || report.changed {
            self.compare_due("a tick");
        }
        self.count_many("scheduled runs", report.created as u64);
        if !self.is_quiet && self.random.chance(20) {
            self.tell(|_| "tick, killed before it woke the driver".to_owned());
            self.disturbed_at = self.elapsed + 72 * HOUR;
            return;
        }
        let needs = client::needs_driver(&self.store).unwrap_or(false);
        self.disturbed_at = self.disturbed_at.min(self.elapsed);
        if needs {
            self.wake();
        }
        if report.changed {
            self.tell(|_| format!("tick: {} runs created", report.created));
        }
    }

    /// As a client that has written something for the driver.
    pub fn wake(&mut self) {
        if self.is_driver_alive {
            self.messages.push(Message::Doorbell);
        } else {
            self.wants_driver = true;
        }
    }

    pub fn compare_due(&mut self, after: &str) {
        self.check();
        let (dags, found) = (self.due.dags(), self.promises.found());
        if self.due.runs != self.promises.intervals || dags != found {
            let wrong = self.differences(&self.due, &found);
            broken(format!(
                "promise 1, after {after}: the runs or what is known of DAGs are not those that are due: {wrong}"
            ));
        }
        self.compared = (self.promises.commits, self.due.changes);
    }

    /// The driver may have planned in its step, at any of the times that it saw.
    pub fn compare_due_after_step(&mut self) {
        self.check();
        if self.compared == (self.promises.commits, self.due.changes) {
            return;
        }
        let found = self.promises.found();
        if self.due.runs != self.promises.intervals || self.due.dags() != found {
            let mut due = self.due.clone();
            let until = |dag: &str, _: &Known| {
                Room::Until(found.get(dag).and_then(|row| row.3).map(|at| Timestamp::from_microsecond(at).unwrap()))
            };
            // Where the end of a run has made room it plans by the clock alone, and knows no more of a file than the last tick.
            let at_once = |dag: &str, known: &Known| {
                if found.get(dag) == Some(&known.row()) { Room::Unseen } else { until(dag, known) }
            };
            let is_as_found = |due: &Due| due.runs == self.promises.intervals && due.dags() == found;
            let fits = [true, false].into_iter().any(|with_files| {
                self.passes.iter().any(|now| {
                    due.clone_from(&self.due);
                    if with_files {
                        due.pass(Some(&self.files), *now, &until);
                    }
                    if is_as_found(&due) {
                        return true;
                    }
                    // A step may take long: a disk that refuses holds it up between the two.
                    let first = due.clone();
                    self.passes.iter().filter(|later| *later >= now).any(|later| {
                        due.clone_from(&first);
                        due.pass(None, *later, &at_once);
                        is_as_found(&due)
                    })
                })
            });
            if !fits {
                let wrong = self.differences(&due, &found);
                broken(format!("promise 1, after a step of the resident driver: not those that are due: {wrong}"));
            }
            self.due = due;
        }
        self.compared = (self.promises.commits, self.due.changes);
    }

    /// A resident driver that nothing has disturbed for some minutes has planned within the last one.
    pub fn check_resident(&mut self) {
        let is_resident = self.is_driver_alive && self.is_resident;
        if !is_resident || self.fault.is_some() || self.elapsed - self.disturbed_at < 3 * MINUTE {
            return;
        }
        self.check_waiting();
        let before = self.now() - SignedDuration::from_secs(70);
        let queued = self.promises.queued();
        if self.due.is_behind(&self.files, before, &room_of(&queued)) {
            let mut due = self.due.clone();
            due.pass(Some(&self.files), before, &room_of(&queued));
            let found = self.promises.found();
            let wrong = self.differences(&due, &found);
            broken(format!("promise 1: the resident driver does not plan: {wrong}"));
        }
    }

    fn differences(&self, due: &Due, found: &Dags) -> String {
        let mut wrong = Vec::new();
        for (dag, start, _) in due.runs.difference(&self.promises.intervals) {
            wrong.push(format!("{dag} has no run for {start}"));
        }
        for (dag, start, _) in self.promises.intervals.difference(&due.runs) {
            wrong.push(format!("{dag} has a run for {start}, which is not due"));
        }
        for (dag, state) in &due.dags() {
            if found.get(dag) != Some(state) {
                wrong.push(format!("{dag} is {:?} and should be {state:?}", found.get(dag)));
            }
        }
        wrong.join("; ")
    }
}
