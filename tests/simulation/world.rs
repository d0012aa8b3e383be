//! A simulated world: a clock, processes, files and people around a real driver and a real database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crondag::dag::Config;
use crondag::home::Home;
use crondag::runner::attempt::ExitRecord;
use crondag::runner::driver::{Key, Message};
use crondag::store::Store;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::due::{Due, File};
use super::processes::Process;
use super::promises::Promises;
use super::random::Random;
use super::version::{Span, Version};

/// A promise was broken, in words. Unwinds to the seed.
pub struct Broken(pub String);

/// The driver is killed here. Unwinds to the seed.
pub struct Killed;

/// Says that a promise is broken.
pub fn broken(what: impl Into<String>) -> ! {
    std::panic::resume_unwind(Box::new(Broken(what.into())))
}

/// Microseconds since the world began.
pub type Elapsed = i64;

pub const SECOND: Elapsed = 1_000_000;
pub const MINUTE: Elapsed = 60 * SECOND;
pub const HOUR: Elapsed = 60 * MINUTE;
pub const DAY: Elapsed = 24 * HOUR;

/// The clock goes wrong by less than this.
const FAR_DAYS: i64 = 760;

/// Who ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ticking {
    Crontab,
    Resident,
    Both,
}

/// What is going to happen.
#[derive(Debug, Clone)]
pub enum Happening {
    Tick,
    /// The supervisor makes sure that the resident scheduler runs.
    Supervise,
    /// A person does something.
    Person,
    /// The world does something.
    Fate,
    ProgramEnds(String),
    ShimDies(String),
    /// A stop has had its effect.
    Stopped(String),
    /// What a dead shim had left is gone.
    Swept(String, u64),
    /// A message reaches the driver with this number, if that still lives.
    Arrives(u64, Arrival),
    FaultEnds,
    MailWorks,
    /// The clock that was far from the truth is set right.
    ClockSetRight,
}

/// Messages, as long as they are on their way.
#[derive(Debug, Clone)]
pub enum Arrival {
    Reported(Box<ExitRecord>),
    Refused(String, String),
    ShimLost,
    SpawnerLost,
    Ended(Key, Box<ExitRecord>),
    Mail(i64, u32, Timestamp, bool),
    MailerDone,
    Polled(Vec<(Key, bool)>),
}

/// How often what happened, for people: a world in which nothing happens keeps every promise.
pub type Counts = BTreeMap<&'static str, u64>;

/// What becomes of the lines that a world says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Telling {
    Nothing,
    /// Kept for the case that it fails.
    Journal,
    Printed,
}

pub struct World {
    pub seed: u64,
    pub random: Random,
    _folder: TempDir,
    pub home: Home,
    pub config: Config,
    pub config_text: String,
    /// The clients' connection.
    pub store: Store,
    pub span: Span,
    /// By how much the clock is wrong, where that is months or years.
    pub far: SignedDuration,
    pub ticking: Ticking,
    pub elapsed: Elapsed,
    pub end: Elapsed,
    /// The wall clock when the world began, moved by clock jumps.
    pub wall: Timestamp,
    queue: BTreeMap<(Elapsed, u64), Happening>,
    queued: u64,
    pub processes: BTreeMap<String, Process>,
    pub claims: u64,
    /// When what tasks wait for is there, by DAG, run and task; `None`: never.
    pub awaited: BTreeMap<(String, String, String), Option<Elapsed>>,
    /// What the living driver's host is polling.
    pub polling: BTreeSet<Key>,
    /// When it has answered last.
    pub answered: BTreeMap<Key, (Timestamp, Elapsed)>,
    /// The driver's number; each start is a new one.
    pub driver: u64,
    pub is_driver_alive: bool,
    pub wants_driver: bool,
    pub messages: Vec<Message>,
    /// How many calls the driver makes before it is killed.
    pub fuse: Option<u64>,
    /// Nothing is disturbed any more.
    pub is_quiet: bool,
    pub fault: Option<&'static str>,
    pub was_faulty: bool,
    pub pauses: u32,
    pub mail_works: bool,
    pub files: BTreeMap<String, File>,
    pub stamps: u64,
    pub marks: u32,
    pub due: Due,
    /// The commits and the changes of `due` at which the two agreed.
    pub compared: (u64, u64),
    /// What the clock said to the driver in this step.
    pub passes: BTreeSet<Timestamp>,
    /// The latest time that the clock has said to a driver.
    pub latest: Timestamp,
    /// The living driver plans by itself.
    pub is_resident: bool,
    /// When anything but tasks last happened.
    pub disturbed_at: Elapsed,
    /// When the clock was set back, and what it said then.
    pub set_backs: Vec<(Elapsed, Timestamp)>,
    /// When the newest driver began.
    pub driver_began_at: Elapsed,
    pub promises: Promises,
    pub journal: Vec<String>,
    pub telling: Telling,
    pub counts: Counts,
}

impl World {
    pub fn new(seed: u64, telling: Telling) -> World {
        let mut random = Random::new(seed);
        let folder = tempfile::Builder::new().prefix("crondag-simulation-").tempdir_in(memory()).unwrap();
        let home = Home::at(folder.path());
        home.make_state_dir().unwrap();
        fs::create_dir(home.dags_dir()).unwrap();
        let parallelism = *random.pick(&[1, 2, 4, 8, 32]);
        let config_text = format!(
            "timezone = \"UTC\"\nparallelism = {parallelism}\nkill_grace = \"10s\"\n[pools]\n{}\n[email]\nfrom = \"crondag@example.com\"\ntransport = \"folder\"\npath = \"mail\"\n",
            super::version::POOLS.map(|(name, slots)| format!("{name} = {slots}")).join("\n")
        );
        fs::write(home.config_path(), &config_text).unwrap();
        let (config, _) =
            crondag::runner::catalog::load_config(&home).unwrap_or_else(|file| panic!("{}", file.summary()));
        let store = Store::open(&home.database_path()).unwrap();
        let wall = beginning(&mut random);
        // In some worlds the clock goes wrong by months and years; that needs many intervals.
        let is_far = Random::about(seed, "a clock far from the truth").chance(200);
        let around = SignedDuration::from_hours(24 * if is_far { FAR_DAYS } else { 60 });
        let span = Span { from: wall, to: wall + SignedDuration::from_hours(24 * 60), around };
        let ticking = *random.pick(&[Ticking::Crontab, Ticking::Crontab, Ticking::Resident, Ticking::Both]);
        let promises = Promises::new(&home, parallelism);
        let mut world = World {
            seed,
            random,
            _folder: folder,
            home,
            config,
            config_text,
            store,
            span,
            far: SignedDuration::ZERO,
            ticking,
            elapsed: 0,
            end: 0,
            wall,
            queue: BTreeMap::new(),
            queued: 0,
            processes: BTreeMap::new(),
            claims: 0,
            awaited: BTreeMap::new(),
            polling: BTreeSet::new(),
            answered: BTreeMap::new(),
            driver: 0,
            is_driver_alive: false,
            wants_driver: false,
            messages: Vec::new(),
            fuse: None,
            is_quiet: false,
            fault: None,
            was_faulty: false,
            pauses: 0,
            mail_works: true,
            files: BTreeMap::new(),
            stamps: 0,
            marks: 0,
            due: Due::default(),
            compared: (0, 0),
            passes: BTreeSet::new(),
            latest: wall,
            is_resident: false,
            disturbed_at: 0,
            set_backs: Vec::new(),
            driver_began_at: 0,
            promises,
            journal: Vec::new(),
            telling,
            counts: Counts::new(),
        };
        world.populate();
        world
    }

    /// Writes the DAG files; the more they fire, the shorter the world.
    fn populate(&mut self) {
        let dags = *self.random.pick(&[1, 1, 2, 2, 3, 4]);
        let mut per_day = 0.0;
        for number in 0..dags {
            let version = self.new_version(&format!("d{number}"));
            per_day += version.calendar.as_ref().map_or(0.0, |calendar| calendar.per_day * version.tasks.len() as f64);
            self.write_file(File::Good(version.clone()), &version.dag);
        }
        // Passes of planning cost the most where little fires.
        let most = if self.ticking == Ticking::Crontab { 24.0 } else { 14.0 };
        let length = (60.0 / f64::max(per_day, 1.0)).clamp(2.0, most);
        self.end = (length * DAY as f64) as Elapsed;
        self.count_many("days", (self.end / DAY).unsigned_abs());
        self.tell(|world| format!("{:?}, {length:.0} days from {}", world.ticking, world.wall));
        if self.ticking != Ticking::Resident {
            self.at(0, Happening::Tick);
        }
        if self.ticking != Ticking::Crontab {
            self.at(SECOND, Happening::Supervise);
        }
        let first = self.random.between(0, 12 * HOUR);
        self.at(first, Happening::Person);
        let first = self.random.between(0, 12 * HOUR);
        self.at(first, Happening::Fate);
    }

    pub fn new_version(&mut self, dag: &str) -> Rc<Version> {
        self.marks += 1;
        let version = Rc::new(Version::random(dag, self.marks, self.span, &mut self.random));
        self.promises.know(&version);
        version
    }

    pub fn write_file(&mut self, file: File, dag: &str) {
        let path = self.home.dag_path(dag);
        let text = match &file {
            File::Good(version) => version.text.clone(),
            File::Broken => "schedule = [\n".to_owned(),
        };
        fs::write(&path, text).unwrap();
        // Files change faster here than the clock of the file system moves.
        self.stamps += 1;
        let stamp = SystemTime::UNIX_EPOCH + Duration::from_secs(self.stamps);
        fs::File::options().append(true).open(&path).unwrap().set_modified(stamp).unwrap();
        self.files.insert(dag.to_owned(), file);
    }

    // ---- time ----------------------------------------------------------------------------------------------------

    pub fn now(&self) -> Timestamp {
        self.wall + SignedDuration::from_micros(self.elapsed)
    }

    pub fn at(&mut self, at: Elapsed, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at, self.queued), happening);
    }

    pub fn after(&mut self, delay: Elapsed, happening: Happening) {
        self.at(self.elapsed + delay, happening);
    }

    /// When something happens next.
    pub fn next_at(&self) -> Option<Elapsed> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets happen what is due; `is_passive`: only what needs neither people nor clients.
    pub fn let_happen(&mut self, is_passive: bool) {
        loop {
            let active = |happening: &Happening| {
                matches!(happening, Happening::Tick | Happening::Supervise | Happening::Person | Happening::Fate)
            };
            let next = self
                .queue
                .range(..=(self.elapsed, u64::MAX))
                .find(|(_, happening)| !is_passive || !active(happening))
                .map(|(at, _)| *at);
            let Some(next) = next else { return };
            let Some(happening) = self.queue.remove(&next) else { return };
            self.happen(happening);
        }
    }

    fn happen(&mut self, happening: Happening) {
        if matches!(happening, Happening::Person | Happening::Fate | Happening::FaultEnds | Happening::ClockSetRight) {
            self.disturbed_at = self.elapsed;
        }
        match happening {
            Happening::Tick => {
                self.tick();
                let pause = self.pause_between_ticks();
                self.at((self.elapsed + pause) / MINUTE * MINUTE, Happening::Tick);
            }
            Happening::Supervise => {
                if self.ticking == Ticking::Crontab {
                    return;
                }
                self.check_resident();
                if !self.is_driver_alive {
                    self.wants_driver = true;
                }
                let is_dull = self.is_driver_alive && self.elapsed - self.disturbed_at > 10 * MINUTE;
                self.after(if is_dull { 10 * MINUTE } else { 30 * SECOND }, Happening::Supervise);
            }
            Happening::Person => {
                if !self.is_quiet {
                    self.person();
                    let pause = self.random.spread(MINUTE as f64, 2.0 * DAY as f64) as Elapsed;
                    self.after(pause, Happening::Person);
                }
            }
            Happening::Fate => {
                if !self.is_quiet {
                    self.fate();
                    let pause = self.random.spread(MINUTE as f64, 3.0 * DAY as f64) as Elapsed;
                    self.after(pause, Happening::Fate);
                }
            }
            Happening::ProgramEnds(token) => self.program_ends(&token),
            Happening::ShimDies(token) => self.shim_dies(&token),
            Happening::Stopped(token) => self.stopped(&token),
            Happening::Swept(token, driver) => self.swept(&token, driver),
            Happening::Arrives(driver, arrival) => self.arrives(driver, arrival),
            Happening::FaultEnds => self.end_fault(),
            Happening::ClockSetRight => self.set_clock_right(),
            Happening::MailWorks => {
                self.mail_works = true;
                self.tell(|_| "the mail server is back".to_owned());
            }
        }
    }

    fn pause_between_ticks(&mut self) -> Elapsed {
        if self.is_quiet {
            return 30 * MINUTE;
        }
        // Most minutes are quiet; now and then the machine sleeps.
        match self.random.below(100) {
            0..=19 => MINUTE,
            20..=97 => self.random.between(2, 60) * MINUTE,
            _ => self.random.between(2, 72) * HOUR,
        }
    }

    /// Until when a resident driver that plans every second sees nothing new: living all those seconds
    /// would cost more than all the rest of its world.
    pub fn is_dull_until(&mut self) -> Elapsed {
        let now = self.now();
        let minute = Timestamp::from_second(now.as_second().div_euclid(60) * 60 + 60).unwrap();
        let expects_something =
            (0..3 * MINUTE).contains(&(self.elapsed - self.disturbed_at)) || self.promises.has_timers();
        let until = if expects_something {
            minute
        } else {
            let later = minute + SignedDuration::from_mins(self.random.between(0, 60));
            self.due.next_after(&self.files, now).map_or(later, |due| due.min(later))
        };
        self.elapsed + Elapsed::try_from(until.duration_since(now).as_micros()).unwrap() + 1_000
    }

    pub fn count(&mut self, what: &'static str) {
        self.count_many(what, 1);
    }

    pub fn count_many(&mut self, what: &'static str, many: u64) {
        *self.counts.entry(what).or_default() += many;
    }

    pub fn tell(&mut self, what: impl FnOnce(&World) -> String) {
        if self.telling == Telling::Nothing {
            return;
        }
        let line = format!("{} driver {} | {}", self.now(), self.driver, what(self));
        match self.telling {
            Telling::Printed => println!("{line}"),
            _ => self.journal.push(line),
        }
    }
}

/// Shortly before a clock change, or any day.
fn beginning(random: &mut Random) -> Timestamp {
    let days = [
        "2018-11-02T00:00:00Z", // Sao Paulo skips midnight on the 4th
        "2018-02-14T00:00:00Z",
        "2024-03-07T00:00:00Z", // New York on the 10th, London and Berlin on the 31st
        "2024-03-28T00:00:00Z",
        "2024-04-04T00:00:00Z", // Lord Howe and Auckland on the 6th
        "2024-10-02T00:00:00Z",
        "2024-10-24T00:00:00Z",
        "2024-11-01T00:00:00Z",
        "2025-01-01T00:00:00Z",
        "2024-02-25T00:00:00Z",
    ];
    let day: Timestamp = random.pick(&days).parse().unwrap();
    // Ticks fall on whole minutes, as the crontab's do.
    day + SignedDuration::from_mins(random.between(0, 2 * 1_440))
}

/// Where a database costs no disk.
fn memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
