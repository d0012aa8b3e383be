//! What the driver says of runs and attempts, once it is committed.

use super::{Driver, Host, Key};
use crate::dag::{RunNumber, RunState, SKIP_EXIT_STATUS, Transition};
use crate::runner::attempt::{Ending, ExitRecord};
use crate::runner::driver_log::line::{Happening, Level, Line};

impl<H: Host> Driver<H> {
    pub(super) fn say_transition(&self, transition: &Transition) {
        match transition {
            Transition::RunStarted { run, .. } => {
                self.host.report(&self.about_run(Line::new(Happening::RunStarted), *run));
            }
            Transition::RunEnded { run, state, reason } => {
                let level = if *state == RunState::Failed { Level::Error } else { Level::Info };
                let line = self.about_run(Line::new(Happening::RunEnded).at(level), *run).with("state", state);
                self.host.report(&match reason {
                    Some(reason) => line.with("reason", reason),
                    None => line,
                });
            }
            Transition::RunCancelled { run, reason } => {
                let line = self.about_run(Line::new(Happening::RunEnded), *run).with("state", RunState::Failed);
                self.host.report(&line.with("reason", reason));
            }
            Transition::RunGaveWay { run, to } => {
                let line = self.about_run(Line::new(Happening::RunGaveWay), *run);
                let to = self.runs.get(to).map_or_else(|| to.0.to_string(), |row| row.run_id.clone());
                self.host.report(&line.with("to", to));
            }
            // Attempts speak for themselves.
            Transition::RunReopened { .. }
            | Transition::TaskStarted { .. }
            | Transition::TaskRetry { .. }
            | Transition::TaskWaiting { .. }
            | Transition::TaskRescheduled { .. }
            | Transition::TaskEnded { .. }
            | Transition::TaskCleared { .. } => {}
        }
    }

    fn about_run(&self, line: Line, run: RunNumber) -> Line {
        match self.runs.get(&run) {
            Some(row) => line.with("dag", &row.dag_id).with("run", &row.run_id),
            None => line.with("run", run.0),
        }
    }

    fn about_attempt(&self, what: Happening, (run, task, try_number): &Key) -> Line {
        self.about_run(Line::new(what), *run).with("task", task).with("try", try_number)
    }

    pub(super) fn say_ended(&self, key: &Key, record: &ExitRecord) {
        let took = record.ended_at.duration_since(record.started_at).as_secs_f64();
        let line = self.about_attempt(Happening::AttemptEnded, key).with("how", &record.ending);
        let line = line.with("seconds", format!("{:.3}", took.max(0.0)));
        let line = if record.left_behind > 0 { line.with("left_behind", record.left_behind) } else { line };
        let line = if record.left_running > 0 { line.with("left_running", record.left_running) } else { line };
        let is_good = matches!(record.ending, Ending::Exited { code: 0 | SKIP_EXIT_STATUS });
        self.host.report(&if is_good { line } else { line.at(Level::Warn) });
    }

    pub(super) fn say_live(&self, what: Happening, key: &Key) {
        if let Some(live) = self.live.get(key) {
            self.host.report(&self.about_attempt(what, key).with("log", &live.log_file));
        }
    }

    pub(super) fn say_end(&self, why: &str) {
        self.host.report(&Line::new(Happening::DriverEnded).with("why", why).with("live", self.live.len()));
    }
}
