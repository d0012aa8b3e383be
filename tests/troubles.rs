//! What is wrong with a home itself is told by `status` and by one mail to who looks after it, and once more when it is good again.

#![allow(clippy::unwrap_used)] // a test may fail
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use common::{Home, MailServer, until};
use serde_json::json;
use snapbox::str;

const GOOD: &str = "schedule = '0 0 1 1 *'\n[tasks.a]\nshell = 'true'\n";

/// A home, and the server that takes the mail for `ops@example.com`.
fn home(config: &str) -> (Home, MailServer) {
    let server = MailServer::start();
    let home = Home::new().config(&format!("{}to = 'ops@example.com'\n{config}", server.settings())).has_ticked();
    (home, server)
}

impl Home {
    /// The plain text of the newest mail, once there are so many.
    fn mail(&self, server: &MailServer, count: usize) -> String {
        until("the mail comes", || server.mails().len() == count);
        until("the driver goes", || self.driver_pid().is_none());
        let mail = server.mails().pop().unwrap();
        assert!(mail.contains("\nTo: ops@example.com\n"), "{mail}");
        let text = mail.split("\n\n").skip(1).take_while(|part| !part.contains("Content-Type: text/html"));
        text.skip(1)
            .collect::<Vec<_>>()
            .join("\n\n")
            .replace("=\n", "")
            .replace(self.path().to_str().unwrap(), "[HOME]")
    }
}

#[test]
fn a_dag_file_that_turns_bad_while_the_schedule_runs_is_told_once() {
    let (home, server) = home("");
    let home = home.dag("d", GOOD);
    home.run("tick").success();
    home.write("dags/d.toml", GOOD.replace("shell", "shel"));
    home.run("tick").code(2);
    let text = home.mail(&server, 1);
    snapbox::assert_data_eq!(
        text,
        str![[r#"
The DAG file d.toml is faulty.

  why       dags/d.toml:3:1: unknown key `shel` in a task
  from now  its last good version goes on being scheduled; you will be told
            when the file is good again
  where     [..] [HOME]

What to type:
  crondag --home [HOME] validate
      see all faults, with their places
"#]]
    );
    home.run("status").success().stdout_eq(str![[r#"
faulty    d: unknown key `shel` in a task
          next: crondag validate

zone: UTC (crondag.toml)

"#]]);
    // Whoever mends it may save it more than once.
    home.write("dags/d.toml", GOOD.replace("shell", "sell"));
    home.run("tick").code(2);
    home.run("tick").success();
    home.write("dags/d.toml", GOOD);
    home.run("tick").success();
    let text = home.mail(&server, 2);
    snapbox::assert_data_eq!(
        text,
        str![[r#"
The DAG file d.toml is good again, or gone.

  before    since [..], found 2 times
  where     [..] [HOME]

What to type:
  crondag --home [HOME] status
      see how things stand
"#]]
    );
    assert_eq!(server.headers("Subject"), ["[crondag] d.toml is faulty", "[crondag] d.toml is good again"]);
    home.is_sound();
}

#[test]
fn a_faulty_dag_file_that_goes_away_is_over() {
    let (home, server) = home("");
    let home = home.dag("d", "schedule = [\n");
    home.run("tick").code(2);
    let text = home.mail(&server, 1);
    assert!(text.contains("nothing of it is scheduled; you will be told when the file is good"), "{text}");
    home.remove("dags/d.toml");
    home.run("tick").success();
    home.mail(&server, 2);
    assert_eq!(server.headers("Subject"), ["[crondag] d.toml is faulty", "[crondag] d.toml is good again"]);
}

#[test]
fn a_resident_scheduler_tells_of_a_faulty_dag_file_too() {
    let (home, server) = home("");
    let home = home.dag("d", GOOD);
    let mut scheduler = home.start("scheduler");
    until("it has read the file", || home.store().dags().unwrap().len() == 1);
    home.write("dags/d.toml", "schedule = [\n");
    until("the mail comes", || server.mails().len() == 1);
    home.write("dags/d.toml", GOOD);
    until("the mail comes", || server.mails().len() == 2);
    common::signal(scheduler.id(), "-TERM");
    scheduler.wait().unwrap();
    assert_eq!(server.headers("Subject"), ["[crondag] d.toml is faulty", "[crondag] d.toml is good again"]);
}

#[test]
fn a_resident_scheduler_tells_of_its_faulty_settings_too() {
    let (home, server) = home("");
    let home = home.dag("d", GOOD);
    let good = home.read("crondag.toml");
    let mut scheduler = home.start("scheduler");
    until("it has read the files", || home.store().dags().unwrap().len() == 1);
    home.write("crondag.toml", format!("{good}parallelism = 'many'\n"));
    until("the mail comes", || server.mails().len() == 1);
    home.write("crondag.toml", good);
    until("the mail comes", || server.mails().len() == 2);
    common::signal(scheduler.id(), "-TERM");
    scheduler.wait().unwrap();
    assert_eq!(server.headers("Subject"), ["[crondag] crondag.toml is faulty", "[crondag] crondag.toml is good again"]);
}

#[test]
fn a_log_that_is_cut_is_told_once_until_it_is_whole_again() {
    let (home, server) = home("[logs]\nmax_size = '8KB'\n");
    let home = home.dag("d", "[tasks.a]\nshell = 'test -e quiet || seq 20000'\n");
    home.run("backfill -s 2018-07-01 -e 2018-07-03 d").success();
    let text = home.mail(&server, 1);
    snapbox::assert_data_eq!(
        text,
        str![[r#"
Task a of d prints more than its log may hold.

  why       [..] KB left out: the log has reached max_size of [logs] in
            crondag.toml
  from now  further cuts are counted; you will be told when its log is whole
            again
  where     [..] [HOME]

What to type:
  crondag --home [HOME] logs d a
      see what there is
"#]]
    );
    home.run("status").success().stdout_eq(str![[r#"
log       d a: [..] KB left out: max_size is reached (3 logs since [..] +00:00)
          next: raise `max_size` under [logs] in crondag.toml, or let the task print less

zone: UTC (crondag.toml)

"#]]);
    home.write("quiet", "");
    home.run("backfill -s 2018-07-04 -e 2018-07-04 d").success();
    let text = home.mail(&server, 2);
    snapbox::assert_data_eq!(
        text,
        str![[r#"
The log of task a of d is whole again.

  before    since [..], found 3 times
  where     [..] [HOME]

What to type:
  crondag --home [HOME] status
      see how things stand
"#]]
    );
    home.run("status").success().stdout_eq(str![[r#"
all is well: 1 DAG, nothing running; nothing is scheduled
zone: UTC (crondag.toml)

"#]]);
    assert_eq!(
        server.headers("Subject"),
        ["[crondag] d a prints more than its log may hold", "[crondag] d a has a whole log again"]
    );
}

#[test]
fn a_disk_that_takes_no_logs_is_told_once_until_it_does() {
    let (home, server) = home("");
    let home = home.dag("d", "[tasks.a]\nshell = 'echo printed; echo ran >> ran'\n");
    for day in 1..=2 {
        let run = format!(".crondag/logs/d/backfill__2018-07-0{day}T00:00:00+00:00");
        fs::create_dir_all(home.file(&run)).unwrap();
        symlink("/dev/full", home.file(&format!("{run}/a.1.log"))).unwrap();
    }
    home.run("backfill -s 2018-07-01 -e 2018-07-02 d").success();
    let text = home.mail(&server, 1);
    snapbox::assert_data_eq!(
        text,
        str![[r#"
The disk does not take the logs: tasks run on, and what they print is lost.

  why       the log of d a: No space left on device (os error 28)
  from now  further logs are counted; you will be told when the disk takes
            them again
  where     [..] [HOME]

What to type:
  crondag --home [HOME] status
      see how things stand, and how much room there is
"#]]
    );
    home.run("status").success().stdout_eq(str![[r#"
disk      d a: the disk did not take its whole log: No space left on device (os error 28) (2 logs
          since [..] +00:00)
          next: `df -h [HOME]/.crondag/logs`; what is missing of a log is lost

zone: UTC (crondag.toml)

"#]]);
    let answer = home.json("status --json")[0]["logs"][0].clone();
    assert_eq!(answer["missing"], json!({ "not_taken": "No space left on device (os error 28)" }));
    assert_eq!((&answer["dag_id"], &answer["task_id"], &answer["count"]), (&json!("d"), &json!("a"), &json!(2)));
    home.run("backfill -s 2018-07-03 -e 2018-07-03 d").success();
    home.mail(&server, 2);
    assert_eq!(home.lines("ran").len(), 3);
    assert_eq!(
        server.headers("Subject"),
        ["[crondag] the disk does not take the logs", "[crondag] the disk takes the logs again"]
    );
}

/// Without anybody who looks after the home, `status` tells it all the same.
#[test]
fn without_a_recipient_status_alone_tells() {
    let home = Home::new().config("[logs]\nmax_size = '8KB'\n").dag("d", "[tasks.a]\nshell = 'seq 20000'\n");
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d").success();
    let status = &home.json("status --json")[0];
    assert_eq!((&status["logs"][0]["task_id"], &status["mail_undeliverable"]), (&json!("a"), &json!(0)));
}
