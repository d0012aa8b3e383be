//! What a driver knows of the past when it takes up what another one has left, and that it heeds a clock that is set back;
//! with a host that starts nothing.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use crondag::dag::{Config, DagId, RunNumber, RunState, RunType, TaskId, TaskState, Transition};
use crondag::home::Home;
use crondag::runner::attempt::{AttemptSpec, Ending, ExitRecord};
use crondag::runner::catalog;
use crondag::runner::driver::{Driver, Host, Key, Message, Mode};
use crondag::runner::driver_log::line::Line;
use crondag::store::{DagRow, Intent, NewAttempt, NewNotice, NewRun, Store, WaitingNotice, Way};
use jiff::{Timestamp, ToSpan};

/// Remembers what is launched and which mail is to be delivered.
struct Idle {
    launched: Rc<RefCell<Vec<String>>>,
    mailed: Rc<RefCell<Vec<String>>>,
    now: Rc<Cell<Timestamp>>,
    /// How often a resident driver has planned.
    passes: Rc<Cell<u32>>,
    said: Rc<RefCell<Vec<String>>>,
    /// The runs whose logs were deleted.
    tidied: Rc<RefCell<Vec<String>>>,
}

impl Host for Idle {
    fn now(&self) -> Timestamp {
        self.now.get()
    }
    fn has_home(&self) -> bool {
        true
    }
    fn pause(&mut self, _: Duration) {}
    fn report(&self, line: &Line) {
        self.said.borrow_mut().push(line.to_string());
    }
    fn note_tick(&mut self) {
        self.passes.set(self.passes.get() + 1);
    }
    fn take_over(&mut self, _: &[&str]) {}
    fn claim(&mut self) -> String {
        format!("token {}", self.launched.borrow().len())
    }
    fn in_background(&mut self, _: Box<dyn FnOnce() -> Message + Send>) {}
    fn launch(&mut self, spec: &AttemptSpec) -> Result<(), String> {
        self.launched.borrow_mut().push(format!("{} {}", spec.key.run_id, spec.key.task_id));
        Ok(())
    }
    fn log_failed_start(&mut self, _: &str, _: &str) {}
    fn is_gone(&self, _: &str) -> bool {
        false
    }
    fn watch(&mut self, _: Key, _: String, _: Timestamp, _: Duration) {}
    fn stop(&mut self, _: &str) {}
    fn kill(&mut self, _: &str) {}
    fn release(&mut self, _: &str) {}
    fn release_all(&mut self) {}
    fn poll_files(&mut self, _: Vec<(Key, String)>) {}
    fn deliver(&mut self, due: Vec<WaitingNotice>, _: &Config) {
        self.mailed.borrow_mut().extend(due.into_iter().map(|waiting| waiting.notice));
    }
    fn delete_logs(&mut self, _: &DagId, run_id: &str) {
        self.tidied.borrow_mut().push(run_id.to_owned());
    }
}

fn day(number: i64) -> Timestamp {
    Timestamp::from_second(1_704_067_200).unwrap() + (24 * number).hours()
}

fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

fn record(token: &str, ending: Ending) -> Box<ExitRecord> {
    Box::new(ExitRecord {
        token: token.to_owned(),
        started_at: day(1),
        ended_at: day(9),
        ending,
        cpu_seconds: 0.0,
        max_rss_bytes: 0,
        left_behind: 0,
        left_running: 0,
        log_failure: None,
        log_left_out: 0,
        printed: None,
    })
}

struct World {
    folder: common::Home,
    home: Home,
    store: Store,
    launched: Rc<RefCell<Vec<String>>>,
    mailed: Rc<RefCell<Vec<String>>>,
    now: Rc<Cell<Timestamp>>,
    passes: Rc<Cell<u32>>,
    said: Rc<RefCell<Vec<String>>>,
    tidied: Rc<RefCell<Vec<String>>>,
}

const HAS_PAST: &str = "[tasks.a]\nshell = 'true'\ndepends_on_past = true\n[tasks.b]\nshell = 'true'\n";

impl World {
    fn new() -> World {
        let folder = common::Home::bare().config("");
        let (home, store) = (Home::at(folder.path()), folder.store());
        World {
            folder,
            home,
            store,
            launched: Rc::default(),
            mailed: Rc::default(),
            now: Rc::new(Cell::new(day(9))),
            passes: Rc::default(),
            said: Rc::default(),
            tidied: Rc::default(),
        }
    }

    /// Makes a text the newest version of the DAG.
    fn version(&mut self, text: &str) -> i64 {
        let dag_id = DagId::new("d").unwrap();
        let write = self.store.write().unwrap();
        let id = write.keep_version(&dag_id, text, day(0)).unwrap();
        let row = DagRow { version_id: Some(id), ..DagRow::new(dag_id, day(0)) };
        write.put_dag(&row).unwrap();
        write.commit().unwrap();
        id
    }

    /// A run of a day that waits to begin.
    fn queued(&mut self, number: i64) -> RunNumber {
        let new = NewRun {
            dag_id: DagId::new("d").unwrap(),
            run_id: format!("day {number}"),
            run_type: RunType::Scheduled,
            logical_date: day(number),
            data_interval_end: day(number + 1),
            params: BTreeMap::new(),
            selection: None,
            backfill_id: None,
        };
        let write = self.store.write().unwrap();
        let run = write.create_run(&new, day(number + 1)).unwrap().unwrap();
        write.commit().unwrap();
        run
    }

    /// A run of a day that has begun with a version.
    fn run(&mut self, number: i64, version: i64) -> RunNumber {
        let run = self.queued(number);
        let tasks = vec![(task("a"), 1), (task("b"), 1)];
        let write = self.store.write().unwrap();
        write.apply(&Transition::RunStarted { run, version, tasks }, day(number + 1)).unwrap();
        write.commit().unwrap();
        run
    }

    fn record(&mut self, transition: &Transition) {
        let write = self.store.write().unwrap();
        write.apply(transition, day(8)).unwrap();
        write.commit().unwrap();
    }

    fn ends(&mut self, run: RunNumber, name: &str, state: TaskState) {
        self.record(&Transition::TaskEnded {
            run,
            task: task(name),
            state,
            reason: None,
            awaited: None,
            cut_off: false,
        });
    }

    /// An attempt of task `b` that lives.
    fn attempts(&mut self, run: RunNumber) -> String {
        let token = "lives".to_owned();
        self.record(&Transition::TaskStarted { run, task: task("b"), try_number: 1 });
        let write = self.store.write().unwrap();
        let attempt = NewAttempt {
            run,
            task: &task("b"),
            try_number: 1,
            token: &token,
            log_file: "b.1.log",
            ready_at: day(1),
            host: "h",
        };
        write.begin_attempt(&attempt, day(1)).unwrap();
        write.commit().unwrap();
        token
    }

    /// What a report does.
    fn writes_mail(&mut self, notice: &str, now: Timestamp) {
        let write = self.store.write().unwrap();
        let new = NewNotice { dag_id: "d", kind: "report", notice, host: "host", way: Way::Now("email") };
        write.put_notice(&new, now).unwrap();
        write.commit().unwrap();
    }

    fn fails(&mut self, run: RunNumber) {
        self.record(&Transition::RunEnded { run, state: RunState::Failed, reason: None });
    }

    fn driver(&mut self, mode: Mode) -> Driver<Idle> {
        let (config, file) = catalog::load_config(&self.home).unwrap();
        let host = Idle {
            launched: self.launched.clone(),
            mailed: self.mailed.clone(),
            now: self.now.clone(),
            passes: self.passes.clone(),
            said: self.said.clone(),
            tidied: self.tidied.clone(),
        };
        let store = Store::open(&self.home.database_path()).unwrap();
        let mut driver = Driver::take_up(host, self.home.clone(), mode, store, (config, file.text)).unwrap();
        driver.step(Vec::new());
        driver
    }
}

#[test]
fn a_run_keeps_depends_on_past_though_the_newest_file_has_it_no_more() {
    let mut world = World::new();
    let version = world.version(HAS_PAST);
    let first = world.run(0, version);
    world.ends(first, "a", TaskState::Failed);
    world.ends(first, "b", TaskState::Success);
    world.fails(first);
    world.run(1, version);
    world.version("[tasks.a]\nshell = 'true'\n[tasks.b]\nshell = 'true'\n");
    world.driver(Mode::UntilIdle);
    assert_eq!(*world.launched.borrow(), ["day 1 b"]);
}

#[test]
fn the_past_outlives_the_last_attempt_of_a_run_that_has_ended() {
    let mut world = World::new();
    let version = world.version(HAS_PAST);
    let first = world.run(0, version);
    world.ends(first, "a", TaskState::Failed);
    let token = world.attempts(first);
    // The run was stopped, and the driver killed before the attempt was gone.
    world.ends(first, "b", TaskState::Failed);
    world.fails(first);
    world.run(1, version);
    let mut driver = world.driver(Mode::UntilIdle);
    driver.step(vec![Message::Ended((first, task("b"), 1), record(&token, Ending::Stopped))]);
    // Whatever makes the driver evaluate the run again.
    driver.step(vec![Message::Doorbell]);
    assert_eq!(*world.launched.borrow(), ["day 1 b"]);
}

#[test]
fn a_run_whose_past_ends_while_a_new_driver_takes_it_up_knows_how_it_ended() {
    let mut world = World::new();
    let version = world.version(&format!("run_timeout = '1h'\n{HAS_PAST}"));
    world.run(0, version);
    world.queued(1);
    world.driver(Mode::UntilIdle);
    // The timeout of the first run is over: that skips what it had not begun.
    assert_eq!(*world.launched.borrow(), ["day 1 a", "day 1 b"]);
}

#[test]
fn a_run_that_turns_up_in_the_moment_in_which_its_past_ends_knows_how_it_ended() {
    let mut world = World::new();
    let version = world.version(HAS_PAST);
    let first = world.run(0, version);
    world.ends(first, "b", TaskState::Success);
    let mut driver = world.driver(Mode::UntilIdle);
    assert_eq!(*world.launched.borrow(), ["day 0 a"]);
    world.queued(1);
    let failed = record("token 0", Ending::Exited { code: 1 });
    driver.step(vec![Message::Ended((first, task("a"), 1), failed), Message::Doorbell]);
    assert_eq!(*world.launched.borrow(), ["day 0 a", "day 1 b"]);
}

#[test]
fn a_resident_driver_reads_its_files_though_the_clock_was_set_back() {
    let mut world = World::new();
    let mut driver = world.driver(Mode::Resident);
    assert_eq!(world.passes.get(), 1);
    driver.step(Vec::new());
    assert_eq!(world.passes.get(), 1, "once a second");
    world.now.set(day(8));
    driver.step(Vec::new());
    assert_eq!(world.passes.get(), 2);
}

#[test]
fn logs_are_deleted_though_the_clock_was_ahead_at_the_last_tidying() {
    let mut world = World::new();
    world.folder.write("crondag.toml", "timezone = 'UTC'\n[logs]\nkeep = '30d'\n");
    let version = world.version(HAS_PAST);
    let first = world.run(0, version);
    world.fails(first);
    world.now.set(day(4000));
    world.driver(Mode::UntilIdle).park();
    assert_eq!(*world.tidied.borrow(), ["day 0"]);
    let second = world.run(1, version);
    world.fails(second);
    world.now.set(day(39));
    world.driver(Mode::UntilIdle).park();
    assert_eq!(*world.tidied.borrow(), ["day 0", "day 0", "day 1"]);
    world.tidied.borrow_mut().clear();
    world.driver(Mode::UntilIdle).park();
    assert_eq!(*world.tidied.borrow(), Vec::<String>::new());
}

/// As what cannot be read was never good, it never equals what was seen.
#[test]
fn settings_that_cannot_be_read_are_said_once() {
    let mut world = World::new();
    let mut driver = world.driver(Mode::Resident);
    let config = world.home.config_path();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::remove_file(&config).unwrap();
    let faulty = || world.said.borrow().iter().filter(|line| line.contains("faulty")).count();
    for second in 1..5 {
        world.now.set(day(9) + (second * 10).seconds());
        driver.step(Vec::new());
        assert_eq!(faulty(), 1, "{:?}", world.said.borrow());
    }
    // Other faults are another word.
    std::fs::create_dir(&config).unwrap();
    for second in 5..9 {
        world.now.set(day(9) + (second * 10).seconds());
        driver.step(Vec::new());
        assert_eq!(faulty(), 2, "{:?}", world.said.borrow());
    }
    // Whoever asks for it hears of it again.
    driver.step(vec![Message::Reload]);
    assert_eq!(faulty(), 3, "{:?}", world.said.borrow());
    std::fs::remove_dir(&config).unwrap();
    std::fs::write(&config, text).unwrap();
    world.now.set(day(10));
    driver.step(Vec::new());
    assert_eq!(faulty(), 3, "{:?}", world.said.borrow());
    std::fs::remove_file(&config).unwrap();
    world.now.set(day(11));
    driver.step(Vec::new());
    assert_eq!(faulty(), 4, "{:?}", world.said.borrow());
}

#[test]
fn a_run_that_a_new_driver_ends_is_not_ended_again_by_a_stop_that_was_asked_for_before() {
    let mut world = World::new();
    let version = world.version(&format!("run_timeout = '1h'\n{HAS_PAST}"));
    let run = world.run(0, version);
    let write = world.store.write().unwrap();
    write.ask(&Intent::Stop { run, by: "me".to_owned(), at_once: false }, day(2)).unwrap();
    write.commit().unwrap();
    world.driver(Mode::UntilIdle);
    let database = rusqlite::Connection::open(world.home.database_path()).unwrap();
    let ends = "SELECT count(*) FROM events WHERE task_id IS NULL AND data LIKE '%run_timeout%'";
    let all = "SELECT count(*) FROM events WHERE task_id IS NULL AND data LIKE '%failed%'";
    let count = |sql| database.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    assert_eq!((count(ends), count(all)), (1, 1));
}

const WITH_EMAIL: &str = "timezone = 'UTC'\n[email]\nfrom = 'etl@example.com'\ntransport = 'folder'\npath = 'mail'\n";

/// The doorbell and the end of an attempt come by different ways: the end may be heard first, and may be all that is to do.
#[test]
fn mail_of_a_task_is_sent_though_its_end_is_heard_before_its_notification() {
    let mut world = World::new();
    world.folder.write("crondag.toml", WITH_EMAIL);
    let version = world.version(HAS_PAST);
    let run = world.run(0, version);
    world.ends(run, "a", TaskState::Success);
    let token = world.attempts(run);
    let mut driver = world.driver(Mode::UntilIdle);
    world.writes_mail("of the task", day(9));
    driver.step(vec![Message::Ended((run, task("b"), 1), record(&token, Ending::Exited { code: 0 }))]);
    assert_eq!(*world.mailed.borrow(), ["of the task"]);
    assert!(!driver.is_done());
}

#[test]
fn new_mail_is_sent_at_once_though_the_clock_was_set_back_since() {
    let mut world = World::new();
    world.folder.write("crondag.toml", WITH_EMAIL);
    world.writes_mail("of tomorrow", day(10));
    let driver = world.driver(Mode::UntilIdle);
    assert_eq!(*world.mailed.borrow(), ["of tomorrow"]);
    assert!(!driver.is_done());
}

/// Without `[email]` it stays for when that comes back, and keeps no driver alive.
#[test]
fn mail_that_nobody_may_send_keeps_no_driver() {
    let mut world = World::new();
    world.writes_mail("of the task", day(9));
    let driver = world.driver(Mode::UntilIdle);
    assert!(driver.is_done() && world.mailed.borrow().is_empty());
}
