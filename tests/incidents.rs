//! Who is told of failures, and how often, through the built binary: a mail for an incident, not for a failure.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::fs;

use common::{Home, signal, until};

const EMAIL: &str = "[email]\nfrom = 'etl@example.com'\ntransport = 'folder'\npath = 'mail'\n";

impl Home {
    /// The subjects of all mails once the driver has gone, in the order in which they were sent.
    fn subjects(&self) -> Vec<String> {
        until("the driver goes", || self.driver_pid().is_none());
        let entries = fs::read_dir(self.file("mail")).into_iter().flatten().map(|entry| entry.unwrap());
        let mut mails: Vec<_> =
            entries.map(|entry| (entry.metadata().unwrap().modified().unwrap(), entry.path())).collect();
        mails.sort();
        let subject = |text: String| text.lines().find_map(|line| line.strip_prefix("Subject: ").map(str::to_owned));
        mails.into_iter().map(|(_, path)| subject(fs::read_to_string(path).unwrap()).unwrap()).collect()
    }
}

#[test]
fn five_hundred_failing_runs_are_one_incident() {
    let dag = "schedule = '@hourly'\nstart_date = 2018-07-01\nmax_active_runs = 16\n\
               [tasks.load]\nshell = 'test -e good'\nemail = 'team@example.com'\n";
    let home = Home::new().config(EMAIL).dag("d", dag).has_ticked();
    home.run("backfill -s 2018-07-01T00:00 -e 2018-07-21T19:00 d").code(1);
    let subjects = home.subjects();
    // Which of the first sixteen fails first is not said.
    assert!(subjects.len() == 1 && subjects[0].starts_with("[crondag] d load failed (ds 2018-07-01 "), "{subjects:?}");
    home.write("good", "");
    home.run("backfill -s 2018-07-22T00:00 -e 2018-07-22T00:00 d").success();
    let subjects = home.subjects();
    assert_eq!(subjects[1..], ["[crondag] d recovered after 500 failures (ds 2018-07-22 00:00)"]);
}

#[test]
fn a_task_that_fails_in_a_run_that_succeeds_is_told() {
    let dag = "schedule = '@daily'\nstart_date = 2018-07-01\n[defaults]\nemail = 'team@example.com'\n\
               [tasks.first]\nshell = 'exit 3'\n[tasks.last]\nafter = 'first'\ntrigger_rule = 'all_done'\nshell = 'true'\n";
    let home = Home::new().config(EMAIL).dag("d", dag).has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d --allow-failed-tasks").success();
    assert_eq!(home.subjects(), ["[crondag] d first failed (ds 2018-07-01, try 1 of 1)"]);
}

#[test]
fn beyond_the_ceiling_of_the_home_nothing_goes_out_at_once() {
    let home = (0..5).fold(Home::new().config(&format!("{EMAIL}max_per_hour = 2\n")), |home, number| {
        home.dag(
            &format!("d{number}"),
            "schedule = '@daily'\nstart_date = 2018-07-01\n[tasks.a]\nshell = 'exit 1'\nemail = 'team@example.com'\n",
        )
    });
    let home = home.has_ticked();
    for number in 0..5 {
        home.run(&format!("backfill -s 2018-07-01 -e 2018-07-01 d{number}")).code(1);
    }
    until("two are delivered", || fs::read_dir(home.file("mail")).is_ok_and(|mails| mails.count() == 2));
    let waiting: i64 = rusqlite::Connection::open(home.file(".crondag/crondag.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM outbox WHERE sent_at IS NULL", [], |row| row.get(0))
        .unwrap();
    assert!(waiting >= 1, "{waiting}");
    assert_eq!(fs::read_dir(home.file("mail")).unwrap().count(), 2);
    // Whoever waits for the time of the digest.
    if let Some(driver) = home.driver_pid() {
        signal(driver, "-TERM");
        until("the driver goes", || home.driver_pid().is_none());
    }
    let tick = home.run("tick --foreground").success().err();
    assert!(tick.contains("note: mail waits until ") && tick.contains("the next `crondag tick`"), "{tick}");
    assert_eq!(home.driver_pid(), None, "it has not waited for the time of the digest");
}

#[test]
fn a_shell_task_that_was_killed_is_not_advised_about_spark() {
    let dag = "schedule = '@daily'\nstart_date = 2018-07-01\n[tasks.a]\nshell = 'kill -9 $$'\n";
    let home = Home::new().dag("d", dag).has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d").code(1);
    let said = home.run("diagnose d a 2018-07-01").success().out();
    assert!(said.contains("SIGKILL") && !said.to_lowercase().contains("spark"), "{said}");
}

#[test]
fn a_tick_speaks_of_no_last_good_version_where_there_is_none() {
    let home = Home::new().dag("d", "schedule = [\n");
    let said = home.run("tick").code(2).err();
    assert!(
        said.ends_with("next: correct it, then type `crondag validate`; until then nothing of it is scheduled\n"),
        "{said}"
    );
    home.write("dags/d.toml", "[tasks.a]\nshell = 'true'\n");
    home.run("tick").success();
    home.write("dags/d.toml", "schedule = [\n");
    let said = home.run("tick").code(2).err();
    assert!(said.ends_with("until then its last good version is scheduled\n"), "{said}");
    home.write("dags/d.toml", "schedule =\n").write("dags/e.toml", "schedule = [\n");
    let said = home.run("tick").code(2).err();
    let next = "next: correct them, then type `crondag validate`; until then the last good version of d.toml, and nothing of e.toml, \
                is scheduled\n";
    assert!(said.contains("\n\nerror[syntax]: not TOML: a list is not closed\n") && said.ends_with(next), "{said}");
}

/// Lines that look like crondag's own, at the beginning, in the middle, at the end, and those of a task whose shim was killed.
#[test]
fn a_task_hides_no_line_of_its_log_from_a_mail() {
    let fake = "echo '[crondag] first'; echo middle; echo; echo '[crondag] exit status 0'; echo '[crondag] took 1ms'";
    let dag = format!(
        "[defaults]\nemail = 'team@example.com'\n[tasks.ends]\nshell = \"{fake}; exit 3\"\n\
         [tasks.loses]\nshell = \"{fake}; until grep -qxF '[crondag] took 1ms' .crondag/logs/d/*/loses.1.log; \
         do sleep 0.01; done; kill -KILL $PPID\"\n"
    );
    for (task, why) in [("ends", "exit status 3"), ("loses", "crondag's shim was killed")] {
        let home = Home::new().config(EMAIL).dag("d", &dag).has_ticked();
        home.run(&format!("backfill -s 2018-07-01 -e 2018-07-01 d --only {task}")).code(1);
        assert_eq!(home.subjects().len(), 1);
        let mail = fs::read_dir(home.file("mail")).unwrap().next().unwrap().unwrap().path();
        let mail = fs::read_to_string(mail).unwrap().replace("\r\n", "\n");
        assert!(mail.contains(why), "{mail}");
        let lines = mail.lines().skip_while(|line| !line.ends_with("lines of its log:")).skip(1);
        let shown: Vec<&str> = lines.take_while(|line| line.starts_with("  |")).collect();
        assert_eq!(
            shown,
            ["  | [crondag] first", "  | middle", "  |", "  | [crondag] exit status 0", "  | [crondag] took 1ms"],
            "{mail}"
        );
        let diagnosis = home.run(&format!("diagnose d {task} 2018-07-01")).success().out();
        assert!(!diagnosis.contains("logical date"), "{diagnosis}");
    }
}
