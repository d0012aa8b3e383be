//! The resident scheduler, through the built binary: draining, reloading, what systemd hears, taking over from drivers that
//! ticks started and the other way round, and taking up live attempts.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use common::{Home, signal, until};

/// A task that says that it began, runs until the file `go` is there, and says that it ended.
const LONG: &str = "[tasks.long]\nshell = 'echo {{ ds }} >> begun; while [ -e dags -a ! -e go ]; do sleep 0.02; done; echo {{ ds }} >> ended'\n";

impl Home {
    fn scheduled(config: &str, dag: &str) -> Home {
        Home::new().config(config).dag("d", dag)
    }

    /// How many runs of a DAG are in each state.
    fn runs(&self, dag: &str) -> BTreeMap<String, usize> {
        let mut states = BTreeMap::new();
        for run in self.json(&["runs", dag, "--json", "--limit", "100000"]) {
            *states.entry(run["state"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        states
    }

    /// A scheduler whose log is a file of that name. It may stand by.
    fn scheduler(&self, log: &str) -> Scheduler {
        self.scheduler_with(log, &[])
    }

    /// A scheduler that is the driver.
    fn driver(&self, log: &str) -> Scheduler {
        let scheduler = self.scheduler(log);
        scheduler.says("driver_started");
        scheduler
    }

    fn scheduler_with(&self, log: &str, variables: &[(&str, &str)]) -> Scheduler {
        let log = self.path().join(log);
        let child = self
            .command(&["scheduler"])
            .envs(variables.iter().copied())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Scheduler { child, log }
    }

    /// One day of the DAG, asked for and not waited for.
    fn trigger(&self, day: &str) {
        self.run(&["trigger", "d", "--date", day]);
    }

    /// The attempt files whose lock is held.
    fn attempts(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.file(".crondag/attempts")).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files.filter(|file| fs::File::open(file).unwrap().try_lock_shared().is_err()).collect()
    }

    /// Whether a pass has found a DAG.
    fn knows(&self, dag: &str) -> bool {
        let database = rusqlite::Connection::open(self.file(".crondag/crondag.db")).unwrap();
        let count = "SELECT count(*) FROM dags WHERE dag_id = ?1";
        database.query_row(count, [dag], |row| row.get::<_, i64>(0)).unwrap() > 0
    }
}

struct Scheduler {
    child: Child,
    log: PathBuf,
}

impl Scheduler {
    fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    fn says(&self, what: &str) {
        until(&format!("the scheduler says {what}"), || self.log().contains(what));
    }

    /// Waits until it has gone by itself.
    fn ends(&mut self) {
        until("the scheduler ends", || self.child.try_wait().unwrap().is_some());
        assert!(self.child.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // Gone already when its test is good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Once each, in order.
fn once_each(mut lines: Vec<String>) -> Vec<String> {
    let count = lines.len();
    lines.sort();
    lines.dedup();
    assert_eq!(lines.len(), count, "something ran twice");
    lines
}

// ---- going ---------------------------------------------------------------------------------------------------------

#[test]
fn asked_to_go_it_starts_nothing_new_and_waits_for_what_lives() {
    let home = Home::scheduled("drain_timeout = '1h'\n", LONG);
    let mut scheduler = home.driver("log");
    home.trigger("2024-01-01");
    until("the task runs", || home.so_far("begun") == "2024-01-01\n");
    scheduler.signal("-TERM");
    scheduler.says("drain_started live=1 timeout=1h");
    home.trigger("2024-01-02");
    scheduler.says("run_created dag=d run=manual__2024-01-02");
    home.write("go", "");
    scheduler.ends();
    scheduler.says("drain_ended live=0");
    assert_eq!(home.so_far("ended"), "2024-01-01\n");
    assert_eq!(home.so_far("begun"), "2024-01-01\n", "nothing new was started");
    home.run(&["tick"]);
    until("the other run is over", || home.so_far("ended") == "2024-01-01\n2024-01-02\n");
    home.is_sound();
}

#[test]
fn attempts_that_outlive_the_drain_are_taken_up_by_the_next_scheduler() {
    let home = Home::scheduled("drain_timeout = '50ms'\n", LONG);
    let mut first = home.driver("first");
    home.trigger("2024-01-01");
    until("the task runs", || home.so_far("begun") == "2024-01-01\n");
    first.signal("-TERM");
    first.ends();
    first.says("drain_ended live=1");
    let mut second = home.scheduler("second");
    second.says("attempt_adopted dag=d run=manual__2024-01-01");
    home.write("go", "");
    second.says("run_ended dag=d run=manual__2024-01-01");
    assert_eq!((home.so_far("begun"), home.so_far("ended")), ("2024-01-01\n".to_owned(), "2024-01-01\n".to_owned()));
    second.signal("-TERM");
    second.ends();
    home.is_sound();
}

#[test]
fn asked_twice_it_goes_at_once_and_the_attempt_lives_on() {
    let home = Home::scheduled("drain_timeout = '1h'\n", LONG);
    let mut scheduler = home.driver("log");
    home.trigger("2024-01-01");
    until("the task runs", || home.so_far("begun") == "2024-01-01\n");
    scheduler.signal("-TERM");
    scheduler.says("drain_started");
    scheduler.signal("-TERM");
    scheduler.ends();
    scheduler.says("drain_ended live=1");
    home.write("go", "");
    until("the attempt has ended by itself", || home.so_far("ended") == "2024-01-01\n");
    home.run(&["tick"]);
    until("its end is recorded", || home.runs("d").get("success") == Some(&1));
}

// ---- one line per event --------------------------------------------------------------------------------------------

#[test]
fn each_event_is_one_line_with_time_level_and_keys() {
    let dag = "[tasks.good]\nshell = 'true'\n[tasks.bad]\nafter = 'good'\nshell = 'exit 3'\n";
    let home = Home::scheduled("", dag);
    let mut scheduler = home.driver("log");
    home.trigger("2024-01-01");
    scheduler.says("run_ended");
    scheduler.signal("-TERM");
    scheduler.ends();
    let log = scheduler.log();
    let mut events = Vec::new();
    for line in log.lines() {
        let (time, rest) = line.split_once(' ').unwrap();
        assert!(time.len() == 24 && time.ends_with('Z') && time.parse::<jiff::Timestamp>().is_ok(), "{line}");
        events.push(rest.split(" run=").next().unwrap().to_owned());
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        events,
        [
            &format!("info driver_started pid={} mode=resident version={version}", scheduler.child.id()),
            "info run_created dag=d",
            "info run_started dag=d",
            "info attempt_started dag=d",
            "info attempt_ended dag=d",
            "info attempt_started dag=d",
            "warn attempt_ended dag=d",
            "error run_ended dag=d",
            "info drain_started live=0 timeout=30s",
            "info drain_ended live=0",
            "info driver_ended why=asked live=0",
        ]
    );
    assert!(log.contains(" task=bad try=1 how=\"exit status 3\" seconds=0."), "{log}");
    assert!(log.contains(" state=failed reason="), "{log}");
}

#[test]
fn a_driver_that_a_command_started_writes_the_same_lines_into_its_log() {
    let home = Home::scheduled("", "[tasks.good]\nshell = 'true'\n");
    home.run(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]);
    until("the driver has gone", || home.driver_pid().is_none());
    let log = home.so_far(".crondag/driver.log");
    for what in [
        "driver_started pid=",
        "run_created dag=d run=",
        "attempt_ended dag=d run=",
        "run_ended dag=d run=",
        "driver_ended why=idle",
    ] {
        assert!(log.contains(&format!(" info {what}")), "{what}: {log}");
    }
}

// ---- reloading, and what systemd hears -----------------------------------------------------------------------------

/// A socket as a service manager has one.
struct Manager {
    socket: UnixDatagram,
    heard: String,
}

impl Manager {
    fn hears(&mut self, what: &str) {
        let mut buffer = [0; 4096];
        while !self.heard.contains(what) {
            let count = self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}; {}", self.heard));
            self.heard += &String::from_utf8_lossy(&buffer[..count]);
            self.heard.push('\n');
        }
    }

    fn forget(&mut self) {
        self.heard.clear();
    }
}

fn manager(address: &SocketAddr) -> Manager {
    let socket = UnixDatagram::bind_addr(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(180))).unwrap();
    Manager { socket, heard: String::new() }
}

#[test]
fn a_service_manager_hears_of_readiness_work_reloading_and_stopping() {
    let home = Home::scheduled("drain_timeout = '1h'\n", LONG);
    let socket = home.file("notify");
    let mut manager = manager(&SocketAddr::from_pathname(&socket).unwrap());
    let variables = [("NOTIFY_SOCKET", socket.to_str().unwrap()), ("WATCHDOG_USEC", "200000")];
    let mut scheduler = home.scheduler_with("log", &variables);
    manager.hears("READY=1\n");
    manager.hears("STATUS=0 attempts live\n");
    manager.hears("WATCHDOG=1\n");
    home.trigger("2024-01-01");
    manager.hears("STATUS=1 attempt live\n");

    manager.forget();
    home.write("dags/e.toml", "[tasks.wrong\n");
    scheduler.signal("-HUP");
    manager.hears("RELOADING=1\nMONOTONIC_USEC=");
    manager.hears("READY=1\n");
    scheduler.says("warn faulty error=");
    scheduler.says("info reload asked_by=SIGHUP");

    manager.forget();
    scheduler.signal("-TERM");
    manager.hears("STOPPING=1\nEXTEND_TIMEOUT_USEC=3610000000\n");
    manager.hears("STATUS=draining: 1 attempt left, nothing new starts\n");
    manager.forget();
    // Attempts may take their time; the process still shows that it works.
    manager.hears("WATCHDOG=1\n");
    home.write("go", "");
    scheduler.ends();
}

#[test]
fn the_socket_may_be_abstract_and_a_watchdog_for_another_process_is_not_fed() {
    let home = Home::scheduled("", LONG);
    let name = format!("crondag-test-{}", std::process::id());
    let mut manager = manager(&SocketAddr::from_abstract_name(&name).unwrap());
    let socket = format!("@{name}");
    let variables = [("NOTIFY_SOCKET", socket.as_str()), ("WATCHDOG_USEC", "1000"), ("WATCHDOG_PID", "1")];
    let mut scheduler = home.scheduler_with("log", &variables);
    manager.hears("READY=1\n");
    scheduler.signal("-TERM");
    manager.hears("STOPPING=1\n");
    scheduler.ends();
    assert!(!manager.heard.contains("WATCHDOG"), "{}", manager.heard);
}

#[test]
fn what_stays_wrong_is_said_once() {
    let home = Home::scheduled("", "[tasks.a]\nshell = 'true'\n");
    home.write("dags/not an id.toml", "");
    let mut scheduler = home.scheduler("log");
    scheduler.says("warn faulty");
    home.write("crondag.toml", "timezone = 'Mars'\n");
    scheduler.says("Mars");
    // Several passes later.
    for name in ["f", "g", "h"] {
        home.write(&format!("dags/{name}.toml"), "[tasks.a]\nshell = 'true'\n");
        until("the new file is known", || home.knows(name));
    }
    let log = scheduler.log();
    assert_eq!(log.matches("Mars").count(), 1, "{log}");
    assert_eq!(log.matches("not an id.toml").count(), 1, "{log}");
    scheduler.signal("-TERM");
    scheduler.ends();
}

// ---- crontab and scheduler: one, the other, both -------------------------------------------------------------------

/// A DAG of which so many intervals are due by now, each of which notes itself in a file.
fn due(intervals: i64, task: &str) -> (String, Vec<String>) {
    let now = jiff::Timestamp::now().as_second();
    // Far from the next interval's start, so that none is added while the test runs.
    let newest = now - now.rem_euclid(86_400 * 7);
    let start = newest - intervals * 60;
    let date = |second: i64| jiff::Timestamp::from_second(second).unwrap();
    let end = date(newest - 60).strftime("%Y-%m-%dT%H:%M:%S").to_string();
    let text = format!(
        "schedule = '* * * * *'\ncatchup = true\nmax_active_runs = 4\nstart_date = {}\nend_date = {end}\n\
         [tasks.note]\nretries = 1000\nretry_delay = '0s'\nshell = '{task}'\n",
        date(start).strftime("%Y-%m-%dT%H:%M:%S")
    );
    let expected = (0..intervals).map(|index| date(start + index * 60).strftime("%Y%m%dT%H%M%S").to_string()).collect();
    (text, expected)
}

#[test]
fn ticks_and_scheduler_at_once_run_every_interval_exactly_once() {
    let (dag, expected) = due(60, "echo {{ ts_nodash }} >> d.noted; sleep 0.05");
    let home = Home::scheduled("", "[tasks.other]\nshell = 'true'\n");
    let mut scheduler = home.driver("log");
    home.write("dags/d.toml", &dag);
    let mut round = 0;
    while home.runs("d").get("success").copied().unwrap_or(0) < expected.len() {
        round += 1;
        assert!(round < 1_000, "the runs do not end: {:?}", home.runs("d"));
        let ticks: Vec<Child> = (0..8).map(|_| home.command(&["tick"]).spawn().unwrap()).collect();
        if round % 3 == 1 {
            // The scheduler is killed and comes back, sometimes before and sometimes after a tick has started a driver.
            scheduler.signal("-KILL");
            scheduler = home.scheduler("log");
        }
        for mut tick in ticks {
            assert!(tick.wait().unwrap().success());
        }
    }
    assert_eq!(once_each(home.lines("d.noted")), expected);
    until("the scheduler is the driver", || home.driver_pid() == Some(scheduler.child.id()));
    home.is_sound();
    scheduler.signal("-TERM");
    scheduler.ends();
}

#[test]
fn from_crontab_to_scheduler_in_mid_run() {
    let home = Home::scheduled("", LONG);
    home.trigger("2024-01-01");
    until("the task runs", || home.so_far("begun") == "2024-01-01\n");
    let driver = home.driver_pid().unwrap();
    let mut scheduler = home.scheduler("log");
    scheduler.says(&format!("info stand_by pid={driver}"));
    // Nobody else ticks: the scheduler does, while the other driver works.
    let (dag, expected) = due(3, "echo {{ ts_nodash }} >> e.noted");
    home.write("dags/e.toml", &dag);
    until("what is due has run", || home.lines("e.noted").len() == 3);
    assert_eq!(home.driver_pid(), Some(driver));
    home.write("go", "");
    scheduler.says("info driver_started");
    assert_eq!(once_each(home.lines("e.noted")), expected);
    assert_eq!((home.so_far("begun"), home.so_far("ended")), ("2024-01-01\n".to_owned(), "2024-01-01\n".to_owned()));
    assert_eq!(home.driver_pid(), Some(scheduler.child.id()));
    scheduler.signal("-TERM");
    scheduler.ends();
    home.is_sound();
}

#[test]
fn from_scheduler_to_crontab_in_mid_run() {
    let home = Home::scheduled("drain_timeout = '0s'\n", LONG);
    let mut scheduler = home.driver("log");
    home.trigger("2024-01-01");
    until("the task runs", || home.so_far("begun") == "2024-01-01\n");
    scheduler.signal("-TERM");
    scheduler.ends();
    home.run(&["tick"]);
    until("the tick's driver has it", || home.so_far(".crondag/driver.log").contains("attempt_adopted"));
    home.write("go", "");
    until("the run is over", || home.runs("d").get("success") == Some(&1));
    assert_eq!((home.so_far("begun"), home.so_far("ended")), ("2024-01-01\n".to_owned(), "2024-01-01\n".to_owned()));
    home.is_sound();
}

#[test]
fn of_two_schedulers_one_stands_by_and_takes_over() {
    let home = Home::scheduled("", LONG);
    let first = home.driver("first");
    let mut second = home.scheduler("second");
    second.says(&format!("stand_by pid={}", first.child.id()));
    let mut third = home.scheduler("third");
    third.says("stand_by");
    third.signal("-TERM");
    third.ends();
    home.trigger("2024-01-01");
    until("the task runs", || home.so_far("begun") == "2024-01-01\n");
    first.signal("-KILL");
    second.says("attempt_adopted");
    home.write("go", "");
    second.says("run_ended");
    assert_eq!(home.so_far("begun"), "2024-01-01\n");
    second.signal("-TERM");
    second.ends();
}

// ---- taking up live attempts ---------------------------------------------------------------------------------------

/// Who waits in the kernel for the lock of a file.
fn waits_for_lock(pid: u32, file: &Path) -> bool {
    let inode = fs::metadata(file).unwrap().ino().to_string();
    fs::read_to_string("/proc/locks").unwrap().lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        // `7: -> FLOCK ADVISORY READ PID MAJOR:MINOR:INODE START END`
        matches!(words[..], [_, "->", "FLOCK", _, _, holder, place, ..]
            if holder == pid.to_string() && place.rsplit(':').next() == Some(inode.as_str()))
    })
}

#[test]
fn a_new_driver_waits_for_live_attempts_by_their_locks_and_reads_the_records_of_the_others() {
    let dag = "[tasks.live]\nshell = 'echo >> live.begun; while [ -e dags -a ! -e go ]; do sleep 0.02; done'\n\
               [tasks.meanwhile]\nshell = 'echo >> meanwhile.begun; while [ -e dags -a ! -e enough ]; do sleep 0.02; done; exit 7'\n";
    let home = Home::scheduled("", dag);
    let first = home.driver("first");
    home.trigger("2024-01-01");
    until("both run", || home.lines("live.begun").len() + home.lines("meanwhile.begun").len() == 2);
    let spawner = children(first.child.id());
    first.signal("-KILL");
    // Its lock is free when it is really gone; before, it might hear of the end itself.
    let lock = fs::File::open(home.file(".crondag/driver.lock")).unwrap();
    until("the first driver is dead", || lock.try_lock_shared().is_ok());
    drop(lock);
    home.write("enough", "");
    until("its shims and its spawner are gone but for one", || {
        spawner.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()) && home.attempts().len() == 1
    });
    let mut second = home.scheduler("second");
    second.says(" task=meanwhile try=1 how=\"exit status 7\"");
    second.says("attempt_adopted");
    let [attempt] = &home.attempts()[..] else { panic!("{:?}", home.attempts()) };
    until("it waits for the lock", || waits_for_lock(second.child.id(), attempt));
    home.write("go", "");
    second.says(" task=live try=1 how=\"exit status 0\"");
    second.says("run_ended");
    assert_eq!((home.lines("live.begun").len(), home.lines("meanwhile.begun").len()), (1, 1));
    second.signal("-TERM");
    second.ends();
    home.is_sound();
}

fn children(parent: u32) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    tasks
        .flat_map(|task| {
            let mut text = String::new();
            let file = fs::File::open(task.unwrap().path().join("children"));
            file.and_then(|mut file| file.read_to_string(&mut text)).unwrap();
            text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}
