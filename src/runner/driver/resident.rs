//! What only a driver with a clock of its own does: plans by the clock and the files, reads them again when it is
//! told to, and lets live attempts end before it goes.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{Driver, End, Host, Mode};
use crate::dag::Config;
use crate::home::Home;
use crate::runner::driver_log::line::{Fresh, Happening, Line};
use crate::runner::engine::Event;
use crate::runner::planner::{self, Pacer};
use crate::store::Store;

/// How often a resident driver reads the clock: a clock that was set and a machine that slept are noticed at once. DAG files
/// are left alone for longer if there are many.
pub(super) const PASS_EVERY: Duration = Duration::from_secs(1);

/// How long a driver without a clock of its own waits at most for a timer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl<H: Host> Driver<H> {
    /// When it plans next by itself.
    pub(super) fn plans_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.next_plan_at.map(|at| if is_due(at, now) { now } else { at })
    }

    /// How long it may wait for a timer. Waiting does not count the time that the machine sleeps, nor does it notice a clock
    /// that is set.
    pub(super) fn longest_wait(&self) -> Duration {
        match self.mode {
            Mode::Resident => PASS_EVERY,
            Mode::UntilIdle | Mode::Foreground => LONGEST_WAIT,
        }
    }

    /// Plans when it is time to.
    pub(super) fn plan_if_due(&mut self) {
        let now = self.host.now();
        if self.is_draining || !self.next_plan_at.is_some_and(|at| is_due(at, now)) {
            return;
        }
        self.reload_config();
        self.tidy_if_due(now);
        if self.pacer.is_due(&self.store, now) {
            self.pass(now);
        }
        self.host.note_tick();
        self.next_plan_at = Some(Timestamp::from_second(now.as_second() + 1).unwrap_or(Timestamp::MAX));
    }

    /// Reads settings and DAG files again, whatever the clock says.
    pub(super) fn reload(&mut self) {
        // Settings that are as faulty as before are worth saying to somebody who has asked.
        self.seen_config.clear();
        self.config_fault = None;
        self.fresh = Fresh::default();
        self.reload_config();
        if !self.is_draining {
            self.pass(self.host.now());
        }
        self.read_anyway(Driver::read_requests);
        self.host.report(&Line::new(Happening::Reload).with("asked_by", "SIGHUP"));
    }

    fn pass(&mut self, now: Timestamp) {
        let (changed, lines) = pass(&mut self.pacer, &self.home, &mut self.store, &self.config, now);
        for line in self.fresh.of(lines) {
            self.host.report(&line);
        }
        if changed {
            self.read_anyway(Driver::read_requests);
        }
    }

    /// A run that ends or begins makes room in the queue for one of its DAG that is due and not made yet.
    pub(super) fn fill_room(&mut self) {
        while std::mem::take(&mut self.has_made_room) && !self.is_draining {
            match planner::plan_known(&mut self.store, &self.config, self.host.now()) {
                Ok(true) => self.read_anyway(Driver::read_requests),
                Ok(false) => return,
                // The next tick makes them.
                Err(error) => return self.host.report(&Line::trouble("no run is made where one has ended", error)),
            }
            self.settle();
        }
    }

    /// Starts nothing new from now on.
    pub(super) fn drain(&mut self) {
        self.is_draining = true;
        self.next_plan_at = None;
        let limits = self.limits();
        self.events.push_back(Event::Limits(limits));
        let timeout = crate::dag::units::format_duration(self.config.drain_timeout);
        let line = Line::new(Happening::DrainStarted).with("live", self.live.len()).with("timeout", timeout);
        self.host.report(&line);
    }

    /// How long live attempts may still take; `None` while nobody has asked this driver to go.
    pub(super) fn drain_timeout(&self) -> Option<Duration> {
        self.is_draining.then_some(self.config.drain_timeout)
    }

    /// Leaves what lives to the next driver.
    pub(super) fn go(&mut self) -> End {
        if self.is_draining {
            self.host.report(&Line::new(Happening::DrainEnded).with("live", self.live.len()));
        }
        self.say_end("asked");
        End::Asked
    }

    /// One line for people: what this driver does now.
    pub(super) fn status(&self) -> String {
        let live = match self.live.len() {
            1 => "1 attempt".to_owned(),
            count => format!("{count} attempts"),
        };
        if self.is_draining { format!("draining: {live} left, nothing new starts") } else { format!("{live} live") }
    }
}

/// Whether it is time for what was to be done at `at`, or the clock has been set back since.
fn is_due(at: Timestamp, now: Timestamp) -> bool {
    at <= now || at.duration_since(now) > SignedDuration::from_secs(2)
}

/// Plans by the files and the clock: whether anything was written, and what is to be said.
pub(super) fn pass(
    pacer: &mut Pacer,
    home: &Home,
    store: &mut Store,
    config: &Config,
    now: Timestamp,
) -> (bool, Vec<Line>) {
    match pacer.pass(home, store, config, now) {
        Ok(found) => {
            let faulty = found.faulty.iter().map(|file| Line::new(Happening::Faulty).with("error", file.summary()));
            (found.changed, faulty.collect())
        }
        Err(error) => (false, vec![Line::trouble("cannot plan by the files and the clock, trying again", error)]),
    }
}
