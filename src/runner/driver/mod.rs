//! The driver: one process per home that owns all running work. It obeys the engine: every transition is committed
//! before its action is taken.
//!
//! It can be killed at any instant. What it knows is in the database and in the attempt files; the next driver reads
//! both and goes on.

mod attempts;
mod file_polls;
mod host;
mod housekeeping;
mod mailer;
mod message;
mod overdue;
mod polls;
mod requests;
mod resident;
mod saying;
mod supervisor;
mod system;
mod work;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::attempt::environment::host as host_name;
use super::attempt::{Ending, ExitRecord};
use super::backoff::Backoff;
use super::catalog;
use super::client::ClientError;
use super::engine::{Effect, Engine, Event, Limits, Start};
use super::load::Loader;
use super::planner::Pacer;
use crate::dag::{Config, DagId, RunNumber, RunState, RunType, TaskId, Transition};
use crate::home::Home;
use crate::notify::{Notice, Outbox};
use crate::store::{LeftProcesses, RunRow, Store, StoreError, Trouble, Write};
use crate::text_file;

pub use host::Host;
pub use message::{Key, Message};
pub use work::{run, run_in_foreground};

use super::driver_log::line::{Fresh, Happening, Line};

/// How a driver lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Ends when there is nothing left to do.
    UntilIdle,
    /// The same, for somebody who waits: mail that is not due yet is left to the next driver.
    Foreground,
    /// Plans every second and never ends by itself; asked to go, it first lets live attempts end for a
    /// while.
    Resident,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Mode::UntilIdle => "until_idle",
            Mode::Foreground => "foreground",
            Mode::Resident => "resident",
        }
    }
}

/// The newest ended attempt of a task, until its end is committed.
#[derive(Debug, Clone)]
struct EndedAttempt {
    started_at: Timestamp,
    ended_at: Timestamp,
    /// Relative to the home.
    log_file: String,
    /// Where in it the output lies.
    printed: Option<(u64, u64)>,
}

/// Why a driver ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Nothing is left to do.
    Idle,
    /// Another process is the driver.
    Taken,
    /// A signal asked for it; attempts live on and the next driver takes them up.
    Asked,
    /// The home was deleted or moved; attempts live on, and a driver of where it is now takes them up.
    HomeGone,
}

/// Why a driver cannot work. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum DriverError {
    /// The lock or the doorbell.
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Threads or signals.
    #[error("the system refuses: {0}\nnext: check the limits of processes and open files (`ulimit -a`)")]
    System(#[from] std::io::Error),
    /// crondag.toml is faulty.
    #[error("{0}\nnext: run `crondag validate`")]
    Config(String),
    /// While the driver worked.
    #[error(
        "the database {0} is gone: its home was deleted, or moved to another place\nnext: run `crondag` where the home is now"
    )]
    HomeGone(String),
}

/// A clock that is set back by no more than this may let things be late by as much.
const CORRECTED: SignedDuration = SignedDuration::from_mins(1);

/// An attempt with live processes.
struct Live {
    token: String,
    log_file: String,
    started_at: Timestamp,
    /// Whether its shim reports to this driver; else a thread waits for its lock.
    is_reporting: bool,
    /// Its shim has been asked to stop it.
    is_stopping: bool,
    /// Its end is known and about to be committed.
    has_ended: bool,
}

/// Something to write in the next transaction.
enum Item {
    Transition(Transition),
    Start(Box<Starting>),
    End {
        key: Key,
        record: Box<ExitRecord>,
    },
    Notice {
        dag_id: DagId,
        notice: Box<Notice>,
    },
    IntentDone(i64),
    Assign {
        run: RunNumber,
        backfill: Option<i64>,
        selection: Option<Vec<TaskId>>,
        params: std::collections::BTreeMap<String, serde_json::Value>,
    },
    HoldBackfill(i64, bool),
}

struct Starting {
    start: Start,
    token: String,
    log_file: String,
}

/// The driver: see the module.
pub struct Driver<H> {
    host: H,
    home: Home,
    mode: Mode,
    store: Store,
    config: Config,
    engine: Engine,
    events: VecDeque<Event>,
    items: Vec<Item>,
    stops: Vec<Key>,
    /// Runs whose attempts, where they are being stopped, get no more time.
    kills: Vec<RunNumber>,
    polls: Vec<Start>,
    live: HashMap<Key, Live>,
    /// The live attempts by their tokens.
    keys: HashMap<String, Key>,
    ended: HashMap<(RunNumber, TaskId), EndedAttempt>,
    runs: HashMap<RunNumber, RunRow>,
    loader: Loader,
    loaded_until: RunNumber,
    is_mailing: bool,
    next_mail_at: Option<Timestamp>,
    outbox: Outbox,
    next_plan_at: Option<Timestamp>,
    pacer: Pacer,
    /// Since the last time that runs were made where there was room for them.
    has_made_room: bool,
    next_tidy_at: Timestamp,
    /// What time it was at the last step.
    stepped_at: Option<Timestamp>,
    /// Nothing new is started any more.
    is_draining: bool,
    /// Nothing can be recorded any more.
    has_lost_home: bool,
    /// The text of crondag.toml as it was last good, and what has been wrong with the file since.
    seen_config: String,
    config_fault: Option<String>,
    /// What the last reading of the files found wrong.
    fresh: Fresh,
}

impl<H: Host> Driver<H> {
    /// Takes up everything that has not ended.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn take_up(
        host: H,
        home: Home,
        mode: Mode,
        store: Store,
        (config, config_text): (Config, String),
    ) -> Result<Driver<H>, StoreError> {
        let outbox = Outbox::of(&config, host_name());
        let mut driver = Driver {
            host,
            home,
            mode,
            store,
            config,
            seen_config: config_text,
            config_fault: None,
            engine: Engine::new(),
            events: VecDeque::new(),
            items: Vec::new(),
            stops: Vec::new(),
            kills: Vec::new(),
            polls: Vec::new(),
            live: HashMap::new(),
            keys: HashMap::new(),
            ended: HashMap::new(),
            runs: HashMap::new(),
            loader: Loader::default(),
            loaded_until: RunNumber(0),
            is_mailing: false,
            next_mail_at: None,
            outbox,
            next_tidy_at: Timestamp::UNIX_EPOCH,
            stepped_at: None,
            next_plan_at: (mode == Mode::Resident).then_some(Timestamp::UNIX_EPOCH),
            pacer: Pacer::default(),
            has_made_room: false,
            is_draining: false,
            has_lost_home: false,
            fresh: Fresh::default(),
        };
        let line = Line::new(Happening::DriverStarted).with("pid", std::process::id()).with("mode", mode.name());
        driver.host.report(&line.with("version", env!("CARGO_PKG_VERSION")));
        driver.read_all()?;
        // It may have been mended while there was no driver.
        if driver.store.open_troubles()?.iter().any(|row| row.what.key() == Trouble::faulty_config()) {
            driver.heed_config();
        }
        // Without limits the engine starts nothing: it must know every live attempt before it gives slots away.
        let limits = driver.limits();
        driver.events.push_back(Event::Limits(limits));
        Ok(driver)
    }

    /// The world around it.
    pub fn host_mut(&mut self) -> &mut H {
        &mut self.host
    }

    /// Takes in what has happened and does all that follows from it. Gives [`End::Asked`] when it is to go, and [`End::HomeGone`] when
    /// it has no home any more.
    pub fn step(&mut self, messages: Vec<Message>) -> Option<End> {
        if !self.host.has_home() {
            return Some(End::HomeGone);
        }
        let end = self.take_in(messages);
        if self.has_lost_home { Some(End::HomeGone) } else { end }
    }

    fn take_in(&mut self, messages: Vec<Message>) -> Option<End> {
        self.believe_clock();
        let (mut is_notified, mut reload) = (false, false);
        for message in messages {
            match message {
                Message::Terminate if self.mode == Mode::Resident && !self.is_draining => self.drain(),
                Message::Terminate => return Some(self.go()),
                Message::Doorbell => is_notified = true,
                Message::Reload => reload = true,
                Message::Child => {}
                Message::SpawnerLost => self.watch_all(),
                Message::ShimLost => self.watch_gone(),
                Message::Reported(record) => self.attempt_reported(record),
                Message::Refused(token, reason) => self.attempt_refused(&token, reason),
                Message::Prepared(token, spec) => self.attempt_prepared(&token, spec),
                Message::Ended(key, record) => self.attempt_ended(&key, record),
                Message::Polled(results) => {
                    for (key, result) in results {
                        self.polled(key, result);
                    }
                }
                Message::Mail(id, tries, created_at, result) => self.mail_tried(id, tries, created_at, &result),
                Message::MailerDone => self.mailer_done(),
            }
        }
        if is_notified {
            self.reload_config();
            self.read_anyway(Driver::read_requests);
        }
        self.events.push_back(Event::TimePassed);
        if reload {
            self.reload();
        } else {
            self.plan_if_due();
        }
        self.settle();
        self.fill_room();
        if self.is_done() {
            // A task that has written mail says so, but its end may be heard first.
            self.read_anyway(Driver::find_mail);
        }
        self.send_mail();
        let is_drained = self.is_draining && self.live.is_empty() && !self.is_mailing;
        is_drained.then(|| self.go())
    }

    /// What was to be done at a time that lies further away than anything ever waits, because the clock was ahead, is due now.
    fn believe_clock(&mut self) {
        let now = self.host.now();
        let before = self.stepped_at.replace(now);
        if before.is_none_or(|before| before.duration_since(now) > CORRECTED) {
            self.next_tidy_at = Timestamp::UNIX_EPOCH;
            self.read_anyway(Driver::bring_mail_forward);
        }
    }

    /// Steps the engine until it has nothing more to say, committing and acting on the way.
    fn settle(&mut self) {
        while !self.events.is_empty() || !self.items.is_empty() || !self.polls.is_empty() {
            let now = self.host.now();
            while let Some(event) = self.events.pop_front() {
                let effects = self.engine.step(event, now);
                for effect in effects {
                    self.take_effect(effect);
                }
            }
            let items = self.commit(now);
            if self.has_lost_home {
                // Nothing is done that is not recorded.
                self.events.clear();
                self.polls.clear();
                return;
            }
            self.act(items);
        }
        let engine = &self.engine;
        self.runs.retain(|number, _| engine.knows(*number));
    }

    /// Whether a run of a DAG that catches up may be made now: fewer run, or fewer wait for their turn.
    fn makes_room(&self, transition: &Transition) -> bool {
        match transition {
            Transition::RunEnded { .. } | Transition::RunCancelled { .. } => true,
            Transition::RunStarted { run, .. } => {
                self.runs.get(run).is_some_and(|run| run.run_type == RunType::Scheduled)
            }
            Transition::RunReopened { .. }
            | Transition::RunGaveWay { .. }
            | Transition::TaskStarted { .. }
            | Transition::TaskWaiting { .. }
            | Transition::TaskRetry { .. }
            | Transition::TaskRescheduled { .. }
            | Transition::TaskEnded { .. }
            | Transition::TaskCleared { .. } => false,
        }
    }

    fn take_effect(&mut self, effect: Effect) {
        match effect {
            Effect::Record(transition) => {
                self.has_made_room |= self.makes_room(&transition);
                self.items.push(Item::Transition(transition));
            }
            Effect::Start(start) => {
                let starting = self.starting(start);
                self.items.push(Item::Start(Box::new(starting)));
            }
            Effect::Poll(start) => self.polls.push(start),
            Effect::StopAttempt { run, task, try_number } => self.stops.push((run, task, try_number)),
            Effect::Alert(alert) => {
                let item = self.notice(&alert);
                self.items.extend(item);
            }
        }
    }

    /// Writes all pending items in one transaction, for as long as it takes: a full disk or a locked database delays
    /// work, it loses nothing.
    fn commit(&mut self, now: Timestamp) -> Vec<Item> {
        let items = std::mem::take(&mut self.items);
        if !items.is_empty() {
            let mut is_told = false;
            self.until_it_works("the database does not take changes, trying again", |driver| {
                is_told = write(&mut driver.store, &driver.outbox, &items, now)?;
                Ok(())
            });
            if is_told {
                self.next_mail_at = Some(Timestamp::UNIX_EPOCH);
            }
        }
        items
    }

    /// Carries out what has been committed.
    fn act(&mut self, items: Vec<Item>) {
        for item in items {
            match item {
                Item::Start(starting) => self.start(*starting),
                Item::End { key, record } => {
                    self.say_ended(&key, &record);
                    self.forget_attempt(&key);
                }
                Item::Notice { .. } => {}
                Item::Transition(transition) => self.say_transition(&transition),
                Item::IntentDone(_) | Item::Assign { .. } | Item::HoldBackfill(..) => {}
            }
        }
        for key in std::mem::take(&mut self.stops) {
            self.stop(&key);
        }
        for run in std::mem::take(&mut self.kills) {
            self.kill(run);
        }
        let polls = std::mem::take(&mut self.polls);
        self.poll_all(polls);
    }

    /// Reads something from the database, for as long as it takes.
    fn read_anyway(&mut self, what: fn(&mut Driver<H>) -> Result<(), StoreError>) {
        self.until_it_works("the database cannot be read, trying again", what);
    }

    /// Repeats something that only needs the database until the database lets it, or is gone.
    fn until_it_works(&mut self, trouble: &str, mut what: impl FnMut(&mut Driver<H>) -> Result<(), StoreError>) {
        let mut pauses = Backoff::of_storage();
        while !self.has_lost_home
            && let Err(error) = what(self)
        {
            if !self.host.has_home() {
                self.has_lost_home = true;
                return;
            }
            self.host.report(&Line::trouble(trouble, error));
            self.host.pause(pauses.pause());
        }
    }

    /// Whether nothing is left to do; a resident driver always has something.
    pub fn is_done(&self) -> bool {
        let has_mail = match self.mode {
            Mode::Resident => return false,
            Mode::UntilIdle => self.next_mail_at.is_some(),
            Mode::Foreground => self.next_mail_at.is_some_and(|at| at <= self.host.now()),
        };
        self.engine.is_idle() && self.live.is_empty() && !self.is_mailing && !has_mail
    }

    /// How long it can wait for the next message; `None` for as long as it takes.
    pub fn wakes_within(&self) -> Option<Duration> {
        let mail = self.next_mail_at.filter(|_| !self.is_mailing);
        let now = self.host.now();
        let next = [self.engine.next_timer(), mail, self.plans_at(now)].into_iter().flatten().min()?;
        let left = next.duration_since(now);
        // A little later rather than too early and then again.
        let left = Duration::try_from(left.max(SignedDuration::ZERO)).unwrap_or_default() + Duration::from_millis(1);
        Some(left.min(self.longest_wait()))
    }

    /// Remembers how far this driver has come, so that ticks do not start another one for runs that only wait. Gives the
    /// newest run that it knew.
    pub fn park(mut self) -> (RunNumber, Store) {
        let parked = self.store.last_event().and_then(|event| {
            let write = self.store.write()?;
            write.set_meta("parked", &event.to_string())?;
            write.commit()
        });
        if let Err(error) = parked {
            self.host.report(&Line::trouble("cannot park", error));
        }
        self.host.release_all();
        self.tidy();
        self.say_end("idle");
        (self.loaded_until, self.store)
    }

    fn limits(&self) -> Limits {
        let parallelism = if self.is_draining { 0 } else { self.config.parallelism };
        Limits { parallelism, pools: self.config.pools.clone() }
    }

    /// Takes in a changed crondag.toml; a faulty one is reported once and the old settings stay.
    fn reload_config(&mut self) {
        // What was wrong may be its mode, which leaves the text as it was.
        let is_good = self.config_fault.is_none();
        if is_good && text_file::read(&self.home.config_path()).is_ok_and(|text| text == self.seen_config) {
            return;
        }
        match catalog::load_config(&self.home) {
            Ok((config, file)) => {
                // Every DAG file is read with these settings.
                self.pacer = Pacer::default();
                self.outbox = Outbox::of(&config, host_name());
                self.config = config;
                self.seen_config = file.text;
                self.config_fault = None;
                self.loader.forget_plans();
                let limits = self.limits();
                self.events.push_back(Event::Limits(limits));
                self.host.report(&Line::new(Happening::Reload).with("changed", "crondag.toml"));
                self.heed_config();
            }
            Err(file) => {
                let fault = file.summary();
                if self.config_fault.as_ref() != Some(&fault) {
                    self.host.report(&Line::new(Happening::Faulty).with("error", &fault));
                    self.config_fault = Some(fault);
                    self.heed_config();
                }
            }
        }
    }
}

impl<H: Host> Driver<H> {
    /// Tells of a fault of crondag.toml, or that it is good.
    fn heed_config(&mut self) {
        let now = self.host.now();
        self.until_it_works("the database does not take what is to be told of crondag.toml, trying again", |driver| {
            let write = driver.store.write()?;
            let is_told = match driver.config_fault.clone() {
                Some(fault) => driver.outbox.trouble(&write, Trouble::FaultyConfig { fault }, now)?,
                None => driver.outbox.trouble_over(&write, Trouble::faulty_config(), now)?,
            };
            write.commit()?;
            if is_told {
                driver.next_mail_at = Some(Timestamp::UNIX_EPOCH);
            }
            Ok(())
        });
    }
}

/// Takes note of a log that is not whole, or whole again. Gives whether a notice was written.
fn heed_log(
    write: &Write<'_>,
    outbox: &Outbox,
    (dag_id, task): (&str, &TaskId),
    record: &ExitRecord,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let (dag, task_id) = (dag_id.to_owned(), task.to_string());
    let cut = match record.log_left_out {
        0 if record.printed.is_some() => outbox.trouble_over(write, Trouble::cut_log(dag_id, task.as_str()), now)?,
        0 => false,
        left_out => {
            let trouble = Trouble::CutLog { dag_id: dag.clone(), task_id: task_id.clone(), left_out };
            outbox.trouble(write, trouble, now)?
        }
    };
    let disk = match &record.log_failure {
        None if record.printed.is_some() => outbox.trouble_over(write, Trouble::log_disk(), now)?,
        None => false,
        Some(error) => outbox.trouble(write, Trouble::LogDisk { dag_id: dag, task_id, error: error.clone() }, now)?,
    };
    Ok(cut || disk)
}

/// Gives whether a notice was written.
fn write(store: &mut Store, outbox: &Outbox, items: &[Item], now: Timestamp) -> Result<bool, StoreError> {
    let write = store.write()?;
    let mut is_told = false;
    // Most logs are whole, and were before.
    let is_end = |item: &Item| matches!(item, Item::End { .. });
    let has_bad_logs = items.iter().any(is_end) && write.has_open_troubles_with_logs()?;
    for item in items {
        match item {
            Item::Transition(transition) => {
                write.apply(transition, now)?;
                if let Transition::RunEnded { run, state: RunState::Success, .. } = transition {
                    is_told |= outbox.run_succeeded(&write, *run, now)?;
                }
            }
            Item::Start(starting) => {
                let Starting { start, token, log_file } = &**starting;
                let task = &start.plan.dag.tasks[start.task].id;
                let attempt = crate::store::NewAttempt {
                    run: start.run,
                    task,
                    try_number: start.try_number,
                    token,
                    log_file,
                    ready_at: start.ready_at,
                    host: &host_name(),
                };
                write.begin_attempt(&attempt, now)?;
            }
            Item::End { key: (run, task, try_number), record } => {
                let ending =
                    serde_json::to_string(&record.ending).map_err(|e| StoreError::Impossible(e.to_string()))?;
                let is_lost = matches!(record.ending, Ending::Lost { .. });
                let usage = (!is_lost).then_some((record.cpu_seconds, record.max_rss_bytes));
                let left = LeftProcesses { ended: record.left_behind, running: record.left_running };
                let printed = record.printed.map(|printed| (printed.from, printed.until));
                write.end_attempt((*run, task, *try_number), &ending, usage, left, printed, record.ended_at)?;
                if has_bad_logs || record.log_left_out > 0 || record.log_failure.is_some() {
                    let dag_id = write.dag_of(*run)?.unwrap_or_default();
                    is_told |= heed_log(&write, outbox, (&dag_id, task), record, now)?;
                }
            }
            Item::Notice { dag_id, notice } => is_told |= outbox.put(&write, dag_id.as_str(), notice, now)?,
            Item::IntentDone(id) => write.intent_done(*id)?,
            Item::Assign { run, backfill, selection, params } => {
                write.assign_run(*run, *backfill, selection.as_deref(), params)?;
            }
            Item::HoldBackfill(backfill, hold) => write.hold_backfill(*backfill, *hold)?,
        }
    }
    write.commit()?;
    Ok(is_told)
}
