//! A home of the last released program under this one: what `tests/fixtures/released/make.sh` has made of it.
//!
//! It was stopped ten minutes after midnight of 3 July 2018: `loads` had caught up, `nightly` had failed, `push` waited for a
//! gate, `paused` was paused, and no mail had been delivered.

#![allow(clippy::unwrap_used)] // a test may fail
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{Home, MailServer, signal, until};
use snapbox::str;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/released").join(name)
}

/// The home as the released program has left it; its mail server has come back on that port.
fn released(port: u16) -> Home {
    let read = |name: &str| fs::read_to_string(fixture(name)).unwrap();
    let home = Home::bare()
        .with("crondag.toml", read("home/crondag.toml").replace("port      = 1\n", &format!("port = {port}\n")));
    for file in files(&fixture("home/dags")) {
        let name = format!("dags/{}", file.file_name().unwrap().to_str().unwrap());
        home.write(&name, fs::read(&file).unwrap());
    }
    for file in files(&fixture("logs")) {
        let name = Path::new(".crondag/logs").join(file.strip_prefix(fixture("logs")).unwrap());
        home.write(name.to_str().unwrap(), fs::read(&file).unwrap());
    }
    home.write(".crondag/last_tick", "");
    let database = rusqlite::Connection::open(home.file(".crondag/crondag.db")).unwrap();
    database.pragma_update(None, "journal_mode", "WAL").unwrap();
    database.execute_batch(&read("crondag.sql").replace("/HOME", home.path().to_str().unwrap())).unwrap();
    home
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn a_database_of_the_released_program_is_sound_and_says_what_it_said() {
    let home = released(1);
    home.run("db check").success().stdout_eq(str![[r"
[HOME]/.crondag/crondag.db: sound (7 runs, 51 events)

"]]);
    home.run("status").success().stdout_eq(str![[r#"
driver    not running, but there is work for it
          next: crondag tick
paused    paused
          next: crondag unpause paused
behind    loads is 3 runs behind its schedule: 3 are still to be made (oldest first, max_active_runs
          = 16); the first was due at 2018-07-04 00:00 +00:00, [..] ago
          next: crondag explain loads
running   push 2018-07-02 00:00 +00:00 for [..], 0 of 2 tasks done
waits     push 2018-07-02 00:00 +00:00 gate: waits since 2018-07-03 00:10:08 +00:00 for gate
          tags_ok: evaluated every 1s, until 2118-06-09 00:10:08 +00:00
          next: crondag gate tags_ok 2018-07-02
mail      4 waiting, 0 given up: the mail server 127.0.0.1:1 refuses connections: is it running, is
          the port right?
          next: check [email] in crondag.toml, then `crondag tick`

zone: UTC (crondag.toml)

"#]]);
    home.run("list_dags").success().stdout_eq(str![[r"
dag      schedule   next start  last run
loads    @daily     -           success
nightly  0 2 * * *  -           failed
paused   @daily     paused      -
push     -          -           running
tags     -          -           failed

"]]);
    home.run("runs").success().stdout_eq(str![[r"
dag      logical date             type       state    started              duration  reason
loads    2018-07-01 00:00 +00:00  scheduled  success  2018-07-03 00:10:02      86ms
tags     2018-07-01 00:00 +00:00  backfill   success  2018-07-03 00:10:07      46ms
push     2018-07-01 00:00 +00:00  manual     success  2018-07-03 00:10:07      22ms
nightly  2018-07-01 02:00 +00:00  scheduled  failed   2018-07-03 00:10:02      2.1s  task publish could
                                                                                     not run: trigger
                                                                                     rule all_success:
                                                                                     fetch failed
loads    2018-07-02 00:00 +00:00  scheduled  success  2018-07-03 00:10:02     108ms
tags     2018-07-02 00:00 +00:00  backfill   failed   2018-07-03 00:10:07      54ms  task counts failed:
                                                                                     exit status 1
push     2018-07-02 00:00 +00:00  manual     running  2018-07-03 00:10:08[..]

next: crondag tasks tags backfill__2018-07-02T00:00:00+00:00

"]]);
    home.run("tasks nightly 2018-07-01").success().stdout_eq(str![[r"
nightly 2018-07-01 02:00 +00:00: failed in 2.1s (task publish could not run: trigger rule all_success: fetch failed)
scheduled__2018-07-01T02:00:00+00:00
task        state            try  started              duration  reason
fetch       failed           3/3  2018-07-03 00:10:04      12ms  exit status 3
publish     upstream_failed                                      trigger rule all_success: fetch
                                                                 failed
on_failure  success          1/1  2018-07-03 00:10:04      27ms
clean_up    success          1/1  2018-07-03 00:10:04      31ms
month_end   skipped          1/1  2018-07-03 00:10:02      76ms  the task skipped itself (exit
                                                                 status 99)
invoices    skipped                                              trigger rule all_success: month_end
                                                                 was skipped

next: crondag logs nightly fetch scheduled__2018-07-01T02:00:00+00:00

"]]);
    home.run("tasks push 2018-07-02").success().stdout_eq(str![[r#"
push 2018-07-02 00:00 +00:00: running for [..]
manual__2018-07-02T00:00:00+00:00__20180703T001008
task  state              try  started              duration  reason
gate  up_for_reschedule  1/1  2018-07-03 00:10:08[..]
push  -

"#]]);
    home.run("tasks push 2018-07-01").success().stdout_eq(str![[r#"
push 2018-07-01 00:00 +00:00: success in 22ms
manual__2018-07-01T00:00:00+00:00__20180703T001007
params: target=shop
task  state    try  started              duration
gate  success  1/1  2018-07-03 00:10:07       2ms
push  success  1/1  2018-07-03 00:10:07      19ms

"#]]);
    home.run("explain push 2018-07-02").success().stdout_eq(str![[r#"
run: 2018-07-02 00:00 +00:00 is running for [..]
gate: waits since 2018-07-03 00:10:08 +00:00 for gate tags_ok: evaluated every 1s, until 2118-06-09
  00:10:08 +00:00
  next: crondag gate tags_ok 2018-07-02
push: waits for gate (up_for_reschedule); its trigger rule is all_success
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    home.run("explain nightly 2018-07-01").success().stdout_eq(str![[r"
run: 2018-07-01 02:00 +00:00 has failed: task publish could not run: trigger rule all_success: fetch
  failed
  next: crondag clear nightly scheduled__2018-07-01T02:00:00+00:00 --failed
fetch: has failed (try 3 of 3): exit status 3
  next: crondag logs nightly fetch scheduled__2018-07-01T02:00:00+00:00

"]]);
    home.run("explain loads").success().stdout_eq(str![[r#"
run: that of 2018-07-02 00:00 +00:00, the one that started last: all have ended
dag: it is 3 runs behind its schedule: 3 are still to be made (oldest first, max_active_runs = 16);
  the first was due at 2018-07-04 00:00 +00:00, [..] ago
run: 2018-07-02 00:00 +00:00 has succeeded
dag: its schedule (@daily) has nothing ahead: end_date has passed
  next: crondag trigger loads

"#]]);
    home.run("logs nightly fetch 2018-07-01").success().stdout_eq(str![[r"
[crondag] nightly fetch try 3 of run scheduled__2018-07-01T02:00:00+00:00
[crondag] logical date 2018-07-01T02:00:00+00:00
[crondag] started      2018-07-03T00:10:04.320Z on HOST as root
[crondag] directory    /HOME
[crondag] environment  CRONDAG_ATTEMPT CRONDAG_DAG_ID CRONDAG_DATA_INTERVAL_END CRONDAG_DATA_INTERVAL_START CRONDAG_DS CRONDAG_DS_NODASH CRONDAG_HOME CRONDAG_LOGICAL_DATE CRONDAG_NEXT_DS CRONDAG_NEXT_DS_NODASH CRONDAG_PREV_DS CRONDAG_PREV_DS_NODASH CRONDAG_RUN_ID CRONDAG_TASK_ID CRONDAG_TOMORROW_DS CRONDAG_TOMORROW_DS_NODASH CRONDAG_TRY_NUMBER CRONDAG_TS CRONDAG_TS_NODASH CRONDAG_YESTERDAY_DS CRONDAG_YESTERDAY_DS_NODASH HOME LANG LOGNAME PATH SHELL TZ USER
[crondag] command      echo the source is gone; exit 3

the source is gone

[crondag] exit status 3
[crondag] took 2ms, cpu 0.00s, peak memory 12.2 MB (largest process)

"]]);
    home.run("checks tags").success().stdout_eq(str![[r"
tags counts 2018-07-02: fail
key  metric  value  baseline  verdict  history  reason
A    users       7         -  fail     █▁       enough: below 100

"]]);
    home.run("gate tags_ok 2018-07-03").code(1).stdout_eq(str![[r"
gate tags_ok is shut for 2018-07-03
  root at 2018-07-03 00:10:08 +00:00: fail: no data on that day

"]]);
    home.run("diagnose nightly fetch 2018-07-01").success().stdout_eq(str![[r"
nightly fetch 2018-07-01 02:00 +00:00, try 3

unknown: nothing in the log or the end fits a known cause

the last lines that look like errors:
  | line 8: the source is gone

next: crondag logs nightly fetch scheduled__2018-07-01T02:00:00+00:00

"]]);
}

#[test]
fn the_first_tick_goes_on_where_the_released_program_has_stopped() {
    let server = MailServer::start();
    let home = released(server.port());
    home.run("tick").success().stdout_eq("").stderr_eq("");
    until("the rest of the days are loaded", || home.lines("loaded").len() == 3);
    until("all mails are delivered", || home.json("status --json")[0]["mail_pending"] == 0);
    assert_eq!(home.lines("loaded"), ["2018-07-03", "2018-07-04", "2018-07-05"]);
    let mut subjects = server.headers("Subject");
    subjects.sort();
    assert_eq!(
        subjects,
        [
            "[crondag] nightly fetch failed (ds 2018-07-01, try 3 of 3)",
            "[crondag] nightly fetch failed, will retry (ds 2018-07-01, try 1 of 3)",
            "[crondag] nightly fetch failed, will retry (ds 2018-07-01, try 2 of 3)",
            "[crondag] nightly run failed (ds 2018-07-01, 1 task failed)",
        ]
    );
    assert!(server.mails().iter().all(|mail| mail.contains("To: team@example.com")));
    // A second driver and a second tick find nothing that they would do again.
    home.run(&["gate", "set", "tags_ok", "2018-07-02", "ok", "--reason", "counted by hand"]).success();
    until("the push runs", || home.lines("pushed") == ["pushed 2018-07-02 to ads"]);
    until("the driver goes", || home.driver_pid().is_none());
    home.run("tick").success();
    until("the driver goes", || home.driver_pid().is_none());
    home.is_sound();
}

#[test]
fn a_backup_of_the_released_program_is_checked_as_it_is() {
    let home = released(1);
    let backup = home.file(".crondag/crondag.db");
    let other = Home::new();
    other.run(&["db", "check", backup.to_str().unwrap()]).success().stdout_eq(str![[r"
[..]/.crondag/crondag.db: sound (7 runs, 51 events)

"]]);
}

#[test]
fn a_database_of_a_newer_program_is_refused_and_not_touched() {
    let home = released(1);
    home.is_sound();
    let database = rusqlite::Connection::open(home.file(".crondag/crondag.db")).unwrap();
    database.pragma_update(None, "user_version", 1000).unwrap();
    database.pragma_update(None, "journal_mode", "DELETE").unwrap();
    drop(database);
    let before = fs::read(home.file(".crondag/crondag.db")).unwrap();
    for args in ["tick", "status", "runs", "db check", "backfill -s 2018-07-04 -e 2018-07-04 loads", "pause loads"] {
        home.run(args).code(3).stdout_eq("").stderr_eq(str![[r"
error: the database [HOME]/.crondag/crondag.db has format 1000, this crondag knows formats up to [..]
next: use the newer crondag that made it

"]]);
    }
    assert!(fs::read(home.file(".crondag/crondag.db")).unwrap() == before);
    // A copy of it, too.
    let copy = home.file(".crondag/crondag.db");
    Home::new().run(&["db", "check", copy.to_str().unwrap()]).code(3).stdout_eq("").stderr_eq(str![[r"
error: the database [..]/.crondag/crondag.db has format 1000, this crondag knows formats up to [..]
next: use the newer crondag that made it

"]]);
}

impl Home {
    /// A stand-in for what an older program runs under that name: it holds the driver's lock until it is ended.
    fn older(&self, name: &str) -> Child {
        let script = "exec 9>> .crondag/driver.lock; flock 9; printf $$ > .crondag/driver.lock; trap exit TERM\n\
                      while true; do sleep 0.01; done\n";
        self.write(name, script);
        let child = Command::new("bash").arg(name).current_dir(self.path()).spawn().unwrap();
        until("it has the lock", || self.driver_pid() == Some(child.id()));
        child
    }
}

/// It would not understand what the database has become, and do nothing more.
#[test]
fn a_driver_of_the_released_program_gives_way_to_the_first_ticks_of_this_one() {
    let server = MailServer::start();
    let home = released(server.port());
    let mut driver = home.older("__driver");
    let start = |_| home.command("tick").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ticks: Vec<Child> = (0..8).map(start).collect();
    driver.wait().unwrap();
    for tick in ticks {
        let output = tick.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    until("the rest of the days are loaded", || home.lines("loaded").len() == 3);
    until("all mails are delivered", || home.json("status --json")[0]["mail_pending"] == 0);
    home.is_sound();
}

#[test]
fn a_resident_scheduler_of_the_released_program_is_for_people_to_restart() {
    let home = released(1);
    let mut scheduler = home.older("scheduler");
    for args in ["tick", "status"] {
        home.run(args).code(3).stdout_eq("").stderr_eq(str![[r"
error: an older crondag, process [..], still works with the database [HOME]/.crondag/crondag.db
next: restart that scheduler, or end it with `kill [..]`: attempts live on, and are taken up again

"]]);
    }
    signal(scheduler.id(), "-TERM");
    scheduler.wait().unwrap();
    until("its lock is free", || home.driver_pid().is_none());
    home.run("tick").success().stdout_eq("").stderr_eq("");
    until("the rest of the days are loaded", || home.lines("loaded").len() == 3);
}
