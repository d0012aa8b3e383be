//! One seed: a world from its beginning to its end.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crondag::dag::{DagId, RunNumber};
use crondag::runner::attempt::AttemptSpec;
use crondag::runner::driver::{Driver, End, Message, Mode};
use crondag::store::Store;

use super::host::SimHost;
use super::promises::{Facts, Promises};
use super::version::Version;
use super::world::{Broken, Counts, DAY, Elapsed, Killed, MINUTE, SECOND, Telling, Ticking, World, broken};

/// What went wrong in a seed.
pub struct Failure {
    pub what: String,
    pub journal: Vec<String>,
}

impl World {
    fn facts<T>(&mut self, check: impl FnOnce(&mut Promises, &Facts<'_>) -> T) -> T {
        let facts = Facts {
            processes: &self.processes,
            was_faulty: self.was_faulty,
            latest: self.latest,
            elapsed: self.elapsed,
            set_backs: &self.set_backs,
        };
        check(&mut self.promises, &facts)
    }

    pub fn check(&mut self) {
        self.facts(Promises::check);
    }

    /// A driver lives and nothing has disturbed it for a while.
    pub fn check_waiting(&mut self) {
        self.facts(Promises::check_waiting);
        self.promises.check_timers(
            self.now(),
            self.elapsed,
            self.set_backs.last().map_or(0, |(at, _)| *at).max(self.driver_began_at),
        );
    }

    pub fn check_launch(&mut self, spec: &AttemptSpec) -> Rc<Version> {
        self.facts(|promises, facts| promises.check_launch(spec, facts))
    }

    pub fn check_release(&mut self, token: &str) {
        self.facts(|promises, facts| promises.check_release(token, facts));
        // Nothing may ask for it any more.
        self.processes.remove(token);
    }
}

/// Lives a world through.
pub fn live(seed: u64, telling: Telling) -> Result<Counts, Failure> {
    let world = match catch_unwind(|| World::new(seed, telling)) {
        Ok(world) => Rc::new(RefCell::new(world)),
        Err(payload) => return Err(Failure { what: words(payload.as_ref()), journal: Vec::new() }),
    };
    let lived = catch_unwind(AssertUnwindSafe(|| {
        Seed { world: world.clone(), driver: None, mode: Mode::UntilIdle, wakes_at: None, slept_at: 0 }.live();
    }));
    let mut world = world.borrow_mut();
    match lived {
        Ok(()) => {
            let events = world.promises.events;
            world.count_many("events", events);
            let caught_up = world.due.caught_up;
            world.count_many("runs of catchup", caught_up);
            let (begin, end) = (world.span.from, world.now());
            let zones: Vec<_> = world.due.dags.values().filter_map(|known| known.version.clone()).collect();
            let changes = |version: &Rc<Version>| {
                version.time_zone().following(begin).take_while(|change| change.timestamp() < end).count() as u64
            };
            let changes = zones.iter().map(changes).sum();
            world.count_many("clock changes of zones", changes);
            for (what, many) in std::mem::take(&mut world.promises.counts) {
                world.count_many(what, many);
            }
            Ok(std::mem::take(&mut world.counts))
        }
        Err(payload) => Err(Failure { what: words(payload.as_ref()), journal: std::mem::take(&mut world.journal) }),
    }
}

fn words(payload: &(dyn std::any::Any + Send)) -> String {
    if let Some(Broken(what)) = payload.downcast_ref() {
        return what.clone();
    }
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    format!("a panic: {}", text.unwrap_or_else(|| "of an unknown kind".to_owned()))
}

struct Seed {
    world: Rc<RefCell<World>>,
    driver: Option<Driver<SimHost>>,
    mode: Mode,
    /// When the driver stops waiting by itself.
    wakes_at: Option<Elapsed>,
    /// When it began to wait.
    slept_at: Elapsed,
}

impl Seed {
    fn live(mut self) {
        let end = self.world.borrow().end;
        self.live_until(end, false);
        self.calm_down();
        let begins = self.world.borrow().elapsed;
        self.live_until(begins + 5 * DAY, true);
        // What never ends by itself, and what waits for a past that failed.
        self.world.borrow_mut().stop_all();
        let begins = self.world.borrow().elapsed;
        self.live_until(begins + 2 * DAY, true);
        self.driver = None;
        let mut world = self.world.borrow_mut();
        world.compare_due("everything");
        world.facts(Promises::check_end);
    }

    /// Nothing disturbs the world any more, nothing new is scheduled.
    fn calm_down(&mut self) {
        let mut world = self.world.borrow_mut();
        world.is_quiet = true;
        world.end_fault();
        world.set_clock_right();
        world.mail_works = true;
        world.fuse = None;
        world.tell(|_| "quiet".to_owned());
        // Only what is known can be paused.
        world.tick();
        if world.ticking == Ticking::Resident {
            // It may make a run in the very moment in which it is due, before the driver has woken up.
            world.disturbed_at = world.elapsed;
            world.at(0, super::world::Happening::Tick);
        }
        // Those too that no pass has seen yet.
        let known: BTreeSet<&String> = world.due.dags.keys().chain(world.files.keys()).collect();
        let dags: Vec<DagId> = known.into_iter().map(|dag| DagId::new(dag.clone()).unwrap()).collect();
        for dag in dags {
            world.pause(&dag, true);
        }
        world.hold_nothing();
        if world.ticking != Ticking::Crontab && world.is_driver_alive {
            world.messages.push(Message::Terminate);
        }
        world.ticking = Ticking::Crontab;
    }

    fn live_until(&mut self, end: Elapsed, until_over: bool) {
        let mut spins = 0;
        loop {
            let before = self.world.borrow().elapsed;
            {
                let mut world = self.world.borrow_mut();
                let has_mail = !world.messages.is_empty() && self.driver.is_some();
                let next = if has_mail || (world.wants_driver && self.driver.is_none()) {
                    Some(world.elapsed)
                } else {
                    [world.next_at(), self.wakes_at(&world)].into_iter().flatten().min()
                };
                let next = next.unwrap_or(end);
                if next > end {
                    world.elapsed = world.elapsed.max(end);
                    return;
                }
                world.elapsed = world.elapsed.max(next);
                world.let_happen(false);
            }
            self.drive();
            let mut world = self.world.borrow_mut();
            world.check();
            if until_over && self.driver.is_none() && !world.wants_driver && world.promises.is_over() {
                return;
            }
            spins = if world.elapsed == before { spins + 1 } else { 0 };
            if spins > 2_000 {
                broken("the driver turns in circles without waiting");
            }
        }
    }

    /// When the driver stops waiting: a resident one notices within a minute that something has changed.
    fn wakes_at(&self, world: &World) -> Option<Elapsed> {
        let at = self.wakes_at?;
        let is_disturbed = self.mode == Mode::Resident && world.disturbed_at >= self.slept_at;
        Some(if is_disturbed { at.min(world.disturbed_at + MINUTE) } else { at })
    }

    /// Starts a driver if one is wanted, and lets it do what it has to do now.
    fn drive(&mut self) {
        if !self.world.borrow().is_driver_alive {
            self.driver = None;
            self.wakes_at = None;
        }
        if self.driver.is_none() && std::mem::take(&mut self.world.borrow_mut().wants_driver) {
            self.guarded(Seed::start);
        }
        let is_due = {
            let world = self.world.borrow();
            !world.messages.is_empty() || self.wakes_at(&world).is_some_and(|at| at <= world.elapsed)
        };
        if self.driver.is_some() && is_due {
            self.guarded(Seed::step);
        }
    }

    /// Lets the driver work; it may be killed meanwhile.
    fn guarded(&mut self, work: fn(&mut Seed)) {
        self.world.borrow_mut().passes.clear();
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| work(self))) {
            if !payload.is::<Killed>() {
                std::panic::resume_unwind(payload);
            }
            self.driver = None;
            let mut world = self.world.borrow_mut();
            world.count("drivers killed in a step");
            world.tell(|_| "the driver is killed".to_owned());
            world.driver_is_gone();
        }
        if self.driver.is_none() {
            self.wakes_at = None;
        }
        let mut world = self.world.borrow_mut();
        world.compare_due_after_step();
    }

    fn start(&mut self) {
        let mode = {
            let mut world = self.world.borrow_mut();
            world.driver += 1;
            world.count("drivers");
            world.is_driver_alive = true;
            world.messages.clear();
            world.pauses = 0;
            world.tell(|_| "a driver starts".to_owned());
            match world.ticking {
                Ticking::Crontab => Mode::UntilIdle,
                Ticking::Resident => Mode::Resident,
                Ticking::Both => *world.random.pick(&[Mode::UntilIdle, Mode::Resident]),
            }
        };
        self.take_up(mode);
    }

    fn take_up(&mut self, mode: Mode) {
        let (home, config, store) = {
            let world = self.world.borrow();
            let store = Store::open(&world.home.database_path()).unwrap_or_else(|error| broken(error.to_string()));
            (world.home.clone(), (world.config.clone(), world.config_text.clone()), store)
        };
        let host = SimHost { world: self.world.clone() };
        match Driver::take_up(host, home, mode, store, config) {
            Ok(driver) => {
                self.driver = Some(driver);
                self.mode = mode;
                let mut world = self.world.borrow_mut();
                world.is_resident = mode == Mode::Resident;
                world.disturbed_at = world.elapsed;
                world.driver_began_at = world.elapsed;
                drop(world);
                self.step();
            }
            Err(error) => {
                let mut world = self.world.borrow_mut();
                world.refused(&error);
                world.driver_is_gone();
            }
        }
    }

    fn step(&mut self) {
        let Some(driver) = &mut self.driver else { return };
        let messages = std::mem::take(&mut self.world.borrow_mut().messages);
        if driver.step(messages) == Some(End::Asked) {
            self.driver = None;
            let mut world = self.world.borrow_mut();
            world.tell(|_| "the driver goes as it was asked".to_owned());
            world.driver_is_gone();
            return;
        }
        if driver.is_done() {
            self.end();
            return;
        }
        let within = driver.wakes_within();
        let mut world = self.world.borrow_mut();
        self.slept_at = world.elapsed;
        self.wakes_at = within.map(|within| {
            let within = Elapsed::try_from(within.as_micros()).unwrap_or(Elapsed::MAX);
            let at = world.elapsed.saturating_add(within);
            let only_plans = self.mode == Mode::Resident && within > 1_000 && within <= SECOND + 1_000;
            if only_plans && !world.random.chance(20) { at.max(world.is_dull_until()) } else { at }
        });
    }

    /// Nothing is left to do: as the driver's process ends.
    fn end(&mut self) {
        let Some(driver) = self.driver.take() else { return };
        self.wakes_at = None;
        let (loaded_until, store) = driver.park();
        // Somebody who comes now sees the lock taken and notifies.
        self.world.borrow_mut().interfere();
        let again = store.has_intents_until(i64::MAX).unwrap_or(true)
            || store.last_run().unwrap_or(RunNumber(0)) > loaded_until;
        let mut world = self.world.borrow_mut();
        if again {
            drop(world);
            self.take_up(self.mode);
            return;
        }
        world.driver_is_gone();
        world.tell(|_| "the driver has nothing left to do".to_owned());
        world.facts(Promises::check_rest);
    }
}
