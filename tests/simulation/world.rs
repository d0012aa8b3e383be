//! A simulated world: a clock, processes, files and people around a real driver and a real database.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crondag::dag::Config;
use crondag::home::Home;
use crondag::runner::attempt::{AttemptSpec, Ending, ExitRecord};
use crondag::runner::driver::{Key, Message};
use crondag::runner::planner;
use crondag::store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::due::{Due, File};
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
}

/// One attempt's processes.
#[derive(Debug)]
pub struct Process {
    pub dag: String,
    pub run_id: String,
    pub task: String,
    pub try_number: u32,
    pub started_at: Timestamp,
    /// The shim holds the lock.
    pub has_shim: bool,
    /// Processes of the program live.
    pub is_alive: bool,
    pub is_stopping: bool,
    pub record: Option<Box<ExitRecord>>,
    /// The driver that its spawner reports to.
    pub reports_to: Option<u64>,
    /// Who waits for its lock.
    pub watched_by: Option<(u64, Key)>,
    /// How it ends if nobody stops it.
    plan: Ending,
}

/// What happened in a seed, for people.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    pub runs: u64,
    pub attempts: u64,
    pub drivers: u64,
    pub deaths: u64,
    pub events: u64,
    pub mails: u64,
    pub days: u64,
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
    pub ticking: Ticking,
    pub elapsed: Elapsed,
    pub end: Elapsed,
    /// The wall clock when the world began, moved by clock jumps.
    pub wall: Timestamp,
    queue: BTreeMap<(Elapsed, u64), Happening>,
    queued: u64,
    pub processes: BTreeMap<String, Process>,
    pub claims: u64,
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
    /// What the clock said to the driver in this step.
    pub looks: BTreeSet<Timestamp>,
    /// The living driver looks at the clock by itself.
    pub is_resident: bool,
    /// When anything but tasks last happened.
    pub disturbed_at: Elapsed,
    pub promises: Promises,
    pub journal: Vec<String>,
    pub tells: bool,
    pub counts: Counts,
}

impl World {
    pub fn new(seed: u64, tells: bool) -> World {
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
        // Room for clock jumps.
        let span = Span { from: wall, to: wall + SignedDuration::from_hours(24 * 60) };
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
            ticking,
            elapsed: 0,
            end: 0,
            wall,
            queue: BTreeMap::new(),
            queued: 0,
            processes: BTreeMap::new(),
            claims: 0,
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
            looks: BTreeSet::new(),
            is_resident: false,
            disturbed_at: 0,
            promises,
            journal: Vec::new(),
            tells,
            counts: Counts::default(),
        };
        world.populate();
        world
    }

    /// Writes the DAG files; the more they fire, the shorter the world.
    fn populate(&mut self) {
        let dags = self.random.between(1, 5);
        let mut per_day = 0.0;
        for number in 0..dags {
            let version = self.new_version(&format!("d{number}"));
            per_day += version.calendar.as_ref().map_or(0.0, |calendar| calendar.per_day * version.tasks.len() as f64);
            self.write_file(File::Good(version.clone()), &version.dag);
        }
        let days = (250.0 / f64::max(per_day, 1.0)).clamp(2.0, 35.0);
        self.end = (days * DAY as f64) as Elapsed;
        self.counts.days = days as u64;
        self.tell(|world| format!("{:?}, {days:.0} days from {}", world.ticking, world.wall));
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
        if matches!(happening, Happening::Person | Happening::Fate | Happening::FaultEnds) {
            self.disturbed_at = self.elapsed;
        }
        match happening {
            Happening::Tick => {
                self.tick();
                let pause = self.pause_between_ticks();
                self.after(pause, Happening::Tick);
            }
            Happening::Supervise => {
                if self.ticking == Ticking::Crontab {
                    return;
                }
                self.check_resident();
                if !self.is_driver_alive {
                    self.wants_driver = true;
                }
                self.after(30 * SECOND, Happening::Supervise);
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
        }
    }

    fn pause_between_ticks(&mut self) -> Elapsed {
        if self.is_quiet {
            return 10 * MINUTE;
        }
        // Most minutes are quiet; now and then the machine sleeps.
        match self.random.below(100) {
            0..=19 => MINUTE,
            20..=97 => self.random.between(2, 60) * MINUTE,
            _ => self.random.between(2, 72) * HOUR,
        }
    }

    // ---- the clients ---------------------------------------------------------------------------------------------

    fn tick(&mut self) {
        let now = self.now();
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
        self.due.look(&self.files, now);
        self.compare_due("a tick");
        self.counts.runs += report.created as u64;
        if !self.is_quiet && self.random.chance(20) {
            self.tell(|_| "tick, killed before it woke the driver".to_owned());
            return;
        }
        let needs = crondag::runner::client::needs_driver(&self.store).unwrap_or(false);
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
        let expected = self.due.found();
        let found = self.promises.found();
        if expected != found {
            let wrong = differences(&expected, &found);
            broken(format!(
                "promise 1, after {after}: the runs or the looks at DAGs are not those that are due: {wrong}"
            ));
        }
    }

    /// The driver may have looked at the clock in its step, at any of the times that it saw.
    pub fn compare_due_after_step(&mut self) {
        let found = self.promises.found();
        if self.due.found() == found {
            return;
        }
        let mut last = self.due.found();
        for now in self.looks.clone() {
            let mut due = self.due.clone();
            due.look(&self.files, now);
            last = due.found();
            if last == found {
                self.due = due;
                return;
            }
        }
        let wrong = differences(&last, &found);
        broken(format!("promise 1, after a step of the resident driver: not those that are due: {wrong}"));
    }

    /// A resident driver that nothing has disturbed for some minutes has looked at the clock within the last one.
    fn check_resident(&mut self) {
        let is_resident = self.is_driver_alive && self.is_resident;
        if !is_resident || self.fault.is_some() || self.elapsed - self.disturbed_at < 3 * MINUTE {
            return;
        }
        let mut due = self.due.clone();
        due.look(&self.files, self.now() - SignedDuration::from_secs(70));
        if due.found() != self.due.found() {
            let wrong = differences(&due.found(), &self.due.found());
            broken(format!("promise 1: the resident driver does not look at the clock: {wrong}"));
        }
    }

    // ---- processes -----------------------------------------------------------------------------------------------

    /// The processes of an attempt begin; the lock is held.
    pub fn begin_process(&mut self, spec: &AttemptSpec) {
        let key = &spec.key;
        let what = format!("{} {} {} {}", key.dag_id, key.run_id, key.task_id, key.try_number);
        let mut random = Random::about(self.seed, &what);
        let flaky = Random::about(self.seed, &format!("{} {}", key.dag_id, key.task_id)).pick(&[50, 200, 700]) + 0;
        let mut plan = match random.below(1_000) {
            failing if failing < flaky => Ending::Exited { code: 1 + i32::try_from(random.below(90)).unwrap() },
            failing if failing < flaky + 15 => Ending::Signaled { signal: 9 },
            failing if failing < flaky + 60 => Ending::Exited { code: 99 },
            _ => Ending::Exited { code: 0 },
        };
        let longest = if random.chance(100) { 5.0 * HOUR as f64 } else { 20.0 * MINUTE as f64 };
        let mut takes = Some(random.spread(0.02 * SECOND as f64, longest) as Elapsed);
        if random.chance(4) {
            takes = None;
        }
        if let Some(timeout) = spec.timeout {
            let timeout = Elapsed::try_from(timeout.as_micros()).unwrap();
            if takes.is_none_or(|takes| takes > timeout) {
                takes = Some(timeout + random.between(0, 10 * SECOND));
                plan = Ending::TimedOut;
            }
        }
        let process = Process {
            dag: key.dag_id.to_string(),
            run_id: key.run_id.clone(),
            task: key.task_id.to_string(),
            try_number: key.try_number,
            started_at: self.now(),
            has_shim: true,
            is_alive: true,
            is_stopping: false,
            record: None,
            reports_to: Some(self.driver),
            watched_by: None,
            plan,
        };
        self.counts.attempts += 1;
        self.processes.insert(spec.token.clone(), process);
        if let Some(takes) = takes {
            self.after(takes, Happening::ProgramEnds(spec.token.clone()));
        }
        if !self.is_quiet && random.chance(15) {
            let dies = random.between(0, takes.unwrap_or(HOUR));
            self.after(dies, Happening::ShimDies(spec.token.clone()));
        }
    }

    /// An attempt that was launched and never came to life: its spawner was killed too early.
    pub fn stillborn_process(&mut self, spec: &AttemptSpec) {
        let key = &spec.key;
        let process = Process {
            dag: key.dag_id.to_string(),
            run_id: key.run_id.clone(),
            task: key.task_id.to_string(),
            try_number: key.try_number,
            started_at: self.now(),
            has_shim: false,
            is_alive: false,
            is_stopping: false,
            record: None,
            reports_to: Some(self.driver),
            watched_by: None,
            plan: Ending::Stopped,
        };
        self.processes.insert(spec.token.clone(), process);
    }

    fn program_ends(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token).filter(|process| process.is_alive) else { return };
        process.is_alive = false;
        let plan = process.plan.clone();
        if process.has_shim {
            self.shim_writes(token, plan);
        }
    }

    fn stopped(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token).filter(|process| process.is_alive && process.has_shim) else {
            return;
        };
        process.is_alive = false;
        self.shim_writes(token, Ending::Stopped);
    }

    /// The shim writes its record and ends.
    fn shim_writes(&mut self, token: &str, ending: Ending) {
        let ended_at = self.now();
        let Some(process) = self.processes.get_mut(token) else { return };
        let record = Box::new(ExitRecord {
            token: token.to_owned(),
            started_at: process.started_at,
            ended_at,
            ending,
            cpu_seconds: 0.5,
            max_rss_bytes: 1 << 20,
            left_behind: 0,
        });
        process.record = Some(record.clone());
        process.has_shim = false;
        let (reports_to, watched_by) = (process.reports_to, process.watched_by.clone());
        self.tell(|world| {
            let process = &world.processes[token];
            let Process { dag, run_id, task, try_number, .. } = process;
            format!("{token} {dag} {run_id} {task} {try_number} ended: {:?}", record.ending)
        });
        let delay = |world: &mut World| world.random.between(0, 2_000);
        if let Some(driver) = reports_to {
            let after = delay(self);
            self.after(after, Happening::Arrives(driver, Arrival::Reported(record.clone())));
        }
        if let Some((driver, key)) = watched_by {
            let after = delay(self);
            self.after(after, Happening::Arrives(driver, Arrival::Ended(key, record)));
        }
    }

    fn shim_dies(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token).filter(|process| process.has_shim) else { return };
        process.has_shim = false;
        let reports_to = process.reports_to;
        let watched = process.watched_by.is_some();
        self.tell(|_| format!("the shim of {token} is killed"));
        if let Some(driver) = reports_to {
            self.after(1_000, Happening::Arrives(driver, Arrival::ShimLost));
        }
        if watched {
            self.sweep(token);
        }
    }

    /// Somebody waits for the attempt's lock.
    pub fn watch(&mut self, key: Key, token: &str) {
        let driver = self.driver;
        let Some(process) = self.processes.get_mut(token) else {
            // Claimed and committed, but the driver was killed before it could launch it.
            let record = lost(token, self.now(), self.now());
            self.after(1_000, Happening::Arrives(driver, Arrival::Ended(key, record)));
            return;
        };
        process.watched_by = Some((driver, key.clone()));
        if process.has_shim {
            return;
        }
        match process.record.clone() {
            Some(record) => self.after(1_000, Happening::Arrives(driver, Arrival::Ended(key, record))),
            None => self.sweep(token),
        }
    }

    /// The lock is free and there is no record: what is left of the attempt is ended.
    fn sweep(&mut self, token: &str) {
        let process = &self.processes[token];
        let Some((driver, _)) = process.watched_by else { return };
        let takes = if process.is_alive { self.random.between(0, 11 * SECOND) } else { 2_000 };
        self.after(takes, Happening::Swept(token.to_owned(), driver));
    }

    fn swept(&mut self, token: &str, driver: u64) {
        if self.driver != driver || !self.is_driver_alive {
            return;
        }
        let now = self.now();
        let Some(process) = self.processes.get_mut(token) else { return };
        process.is_alive = false;
        let Some((_, key)) = process.watched_by.clone() else { return };
        let record = lost(token, process.started_at, now);
        self.arrives(driver, Arrival::Ended(key, record));
    }

    /// TERM to the shim.
    pub fn stop(&mut self, token: &str) {
        let Some(process) = self.processes.get_mut(token) else { return };
        if !process.has_shim || std::mem::replace(&mut process.is_stopping, true) {
            return;
        }
        let takes = self.random.between(1_000, 11 * SECOND);
        self.after(takes, Happening::Stopped(token.to_owned()));
    }

    fn arrives(&mut self, driver: u64, arrival: Arrival) {
        if driver != self.driver || !self.is_driver_alive {
            return;
        }
        self.messages.push(match arrival {
            Arrival::Reported(record) => Message::Reported(record),
            Arrival::Refused(token, reason) => Message::Refused(token, reason),
            Arrival::ShimLost => Message::ShimLost,
            Arrival::SpawnerLost => Message::SpawnerLost,
            Arrival::Ended(key, record) => Message::Ended(key, record),
            Arrival::Mail(id, tries, created_at, is_delivered) => {
                let result = if is_delivered {
                    Ok(())
                } else {
                    Err(crondag::alert::DeliveryError { permanent: false, message: "connection refused".to_owned() })
                };
                Message::Mail(id, tries, created_at, result)
            }
            Arrival::MailerDone => Message::MailerDone,
        });
    }

    // ---- fate ----------------------------------------------------------------------------------------------------

    /// The driver is gone; shims live on.
    pub fn driver_is_gone(&mut self) {
        self.is_driver_alive = false;
        self.messages.clear();
        for process in self.processes.values_mut() {
            process.reports_to = None;
            process.watched_by = None;
        }
    }

    /// The process that starts attempts is killed.
    pub fn spawner_dies(&mut self) {
        self.tell(|_| "the spawner is killed".to_owned());
        let late = self.random.chance(300);
        for process in self.processes.values_mut() {
            // A shim that was just about to report may still do so.
            if !(late && process.has_shim) {
                process.reports_to = None;
            }
        }
        self.after(1_000, Happening::Arrives(self.driver, Arrival::SpawnerLost));
    }

    fn fate(&mut self) {
        match self.random.below(10) {
            0 | 1 => {
                if self.is_driver_alive {
                    // In the midst of its next step, or between two of them.
                    self.fuse = Some(self.random.below(12));
                }
            }
            2 => self.spawner_dies(),
            3 => self.reboot(),
            4 | 5 => {
                let hours = *self.random.pick(&[-3, -1, -1, 1, 1, 3, 30]);
                let jump = SignedDuration::from_secs(hours * 3_600 + self.random.between(-900, 900));
                self.wall += jump;
                self.tell(|world| format!("the clock jumps by {jump:?} to {}", world.now()));
            }
            6 | 7 => self.begin_fault(),
            8 => {
                self.mail_works = !self.mail_works;
                self.tell(|world| format!("mail works: {}", world.mail_works));
            }
            _ => {
                let tokens: Vec<String> =
                    self.processes.iter().filter(|(_, it)| it.has_shim).map(|(token, _)| token.clone()).collect();
                if !tokens.is_empty() {
                    let token = self.random.pick(&tokens).clone();
                    self.shim_dies(&token);
                }
            }
        }
    }

    fn reboot(&mut self) {
        self.tell(|_| "the machine goes down".to_owned());
        self.driver_is_gone();
        self.wants_driver = false;
        for process in self.processes.values_mut() {
            process.is_alive = false;
            process.has_shim = false;
        }
        let down = self.random.spread(MINUTE as f64, 3.0 * DAY as f64) as Elapsed;
        self.elapsed += down;
    }

    /// The disk refuses writes to a table, or the database cannot be read at all.
    fn begin_fault(&mut self) {
        if self.fault.is_some() {
            return;
        }
        let table = *self.random.pick(&["events", "attempts", "outbox", "runs", "task_instances", "intents", "meta"]);
        let (operation, how) = match table {
            "events" | "attempts" => ("INSERT", "ABORT"),
            "outbox" => ("INSERT", "ROLLBACK"),
            "intents" => ("DELETE", "ABORT"),
            _ => ("UPDATE", "FAIL"),
        };
        self.promises.sabotage(&format!(
            "CREATE TRIGGER disk_full BEFORE {operation} ON {table} BEGIN SELECT RAISE ({how}, 'disk full'); END"
        ));
        self.fault = Some(table);
        self.was_faulty = true;
        self.tell(|_| format!("the disk refuses {operation} on {table}"));
        let lasts = self.random.spread(SECOND as f64, 30.0 * MINUTE as f64) as Elapsed;
        self.after(lasts, Happening::FaultEnds);
    }

    pub fn end_fault(&mut self) {
        if self.fault.take().is_some() {
            self.promises.sabotage("DROP TRIGGER disk_full");
            self.pauses = 0;
            self.tell(|_| "the disk works again".to_owned());
        }
    }

    /// A client's writing: refused by a faulty disk it changes nothing.
    pub fn refused(&self, error: &StoreError) {
        if self.fault.is_none() {
            broken(format!("a client cannot write although nothing is wrong: {error}"));
        }
    }

    pub fn tell(&mut self, what: impl FnOnce(&World) -> String) {
        let line = format!("{} driver {} | {}", self.now(), self.driver, what(self));
        if self.tells {
            println!("{line}");
        }
        self.journal.push(line);
        if self.journal.len() > 400 {
            self.journal.drain(..200);
        }
    }
}

pub fn lost(token: &str, started_at: Timestamp, ended_at: Timestamp) -> Box<ExitRecord> {
    Box::new(ExitRecord {
        token: token.to_owned(),
        started_at,
        ended_at,
        ending: Ending::Lost { reason: "crondag's shim was killed".to_owned() },
        cpu_seconds: 0.0,
        max_rss_bytes: 0,
        left_behind: 0,
    })
}

fn differences(expected: &super::due::Found, found: &super::due::Found) -> String {
    let time = |micros: i64| Timestamp::from_microsecond(micros).unwrap().to_string();
    let mut wrong = Vec::new();
    for (dag, start) in expected.runs.difference(&found.runs) {
        wrong.push(format!("{dag} has no run for {}", time(*start)));
    }
    for (dag, start) in found.runs.difference(&expected.runs) {
        wrong.push(format!("{dag} has a run for {}, which is not due", time(*start)));
    }
    for (dag, state) in &expected.dags {
        if found.dags.get(dag) != Some(state) {
            wrong.push(format!("{dag} is {:?} and should be {state:?}", found.dags.get(dag)));
        }
    }
    wrong.join("; ")
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
    day + SignedDuration::from_secs(random.between(0, 2 * 86_400))
}

/// Where a database costs no disk.
fn memory() -> std::path::PathBuf {
    let memory = std::path::PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}
