//! Ticks, as `crondag tick` does them, and whether the runs that are due exist afterwards.

use crondag::runner::driver::Message;
use crondag::runner::{client, planner};
use jiff::SignedDuration;

use super::due::{Dags, Due};
use super::world::{HOUR, MINUTE, World, broken};

impl World {
    pub fn tick(&mut self) {
        let now = self.now();
        if self.is_driver_alive && self.fault.is_none() && self.elapsed - self.disturbed_at > 3 * MINUTE {
            self.check_waiting();
        }
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
        if self.due.look(&self.files, now) || report.changed {
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
        self.look();
        let (dags, found) = (self.due.dags(), self.promises.found());
        if self.due.runs != self.promises.intervals || dags != found {
            let wrong = self.differences(&self.due, &found);
            broken(format!(
                "promise 1, after {after}: the runs or the looks at DAGs are not those that are due: {wrong}"
            ));
        }
        self.compared = (self.promises.commits, self.due.changes);
    }

    /// The driver may have looked at the clock in its step, at any of the times that it saw.
    pub fn compare_due_after_step(&mut self) {
        self.look();
        if self.compared == (self.promises.commits, self.due.changes) {
            return;
        }
        let found = self.promises.found();
        if self.due.runs != self.promises.intervals || self.due.dags() != found {
            let mut due = self.due.clone();
            let fits = self.looks.iter().any(|now| {
                due.clone_from(&self.due);
                due.look(&self.files, *now);
                due.runs == self.promises.intervals && due.dags() == found
            });
            if !fits {
                let wrong = self.differences(&due, &found);
                broken(format!("promise 1, after a step of the resident driver: not those that are due: {wrong}"));
            }
            self.due = due;
        }
        self.compared = (self.promises.commits, self.due.changes);
    }

    /// A resident driver that nothing has disturbed for some minutes has looked at the clock within the last one.
    pub fn check_resident(&mut self) {
        let is_resident = self.is_driver_alive && self.is_resident;
        if !is_resident || self.fault.is_some() || self.elapsed - self.disturbed_at < 3 * MINUTE {
            return;
        }
        self.check_waiting();
        let before = self.now() - SignedDuration::from_secs(70);
        if self.due.is_behind(&self.files, before) {
            let mut due = self.due.clone();
            due.look(&self.files, before);
            let found = self.promises.found();
            let wrong = self.differences(&due, &found);
            broken(format!("promise 1: the resident driver does not look at the clock: {wrong}"));
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
