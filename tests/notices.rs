//! Who is told what and when: what comes out of the outbox while the clock goes on, and what a driver that is killed leaves to the
//! next one.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use common::{Home, MailServer, Silence, signal, until, until_some};
use crondag::dag::config::{Email, MailTransport};
use crondag::dag::{Config, RunNumber, RunType};
use crondag::notify::render::{Evidence, Place, render};
use crondag::notify::{Notice, NoticeEvent, Outbox, RunFacts, Standing, TaskFacts};
use crondag::store::Store;
use jiff::Timestamp;

/// An outbox whose clock the test moves on; what is due is delivered each minute.
struct Clock {
    home: Home,
    store: Store,
    outbox: Outbox,
    minute: i64,
    /// When a mail was delivered, and its subject.
    delivered: Vec<(i64, String)>,
    /// What the digests among them told of, line by line.
    told_together: Vec<String>,
}

fn run(dag_id: &str, number: i64) -> RunFacts {
    RunFacts {
        number: RunNumber(number),
        dag_id: dag_id.to_owned(),
        run_type: RunType::Scheduled,
        run_id: format!("scheduled__{number}"),
        ds: "2018-07-01".to_owned(),
        data_interval: ("2018-07-01T00:00:00+00:00".to_owned(), "2018-07-02T00:00:00+00:00".to_owned()),
    }
}

fn task() -> TaskFacts {
    TaskFacts {
        task_id: "load".to_owned(),
        try_number: 1,
        max_tries: 1,
        reason: "exit status 1".to_owned(),
        started: "2018-07-02T00:00:00+00:00".to_owned(),
        milliseconds: 1000,
        log_file: String::new(),
        printed: None,
    }
}

impl Clock {
    fn with_ceiling(max_per_hour: u32) -> Clock {
        let home = Home::new();
        let transport = MailTransport::Folder { path: "mail".into() };
        let email = Email { from: "etl@example.com".to_owned(), to: Vec::new(), transport, max_per_hour };
        let config = Config { email: Some(email), ..Config::default() };
        let (store, outbox) = (home.store(), Outbox::of(&config, "here".to_owned()));
        Clock { home, store, outbox, minute: 0, delivered: Vec::new(), told_together: Vec::new() }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_530_489_600 + 60 * self.minute).unwrap()
    }

    fn put(&mut self, dag_id: &str, event: NoticeEvent) {
        let now = self.now();
        let write = self.store.write().unwrap();
        self.outbox.put(&write, dag_id, &Notice::new(vec!["team@example.com".to_owned()], event), now).unwrap();
        write.commit().unwrap();
    }

    /// A run of one task fails.
    fn run_fails(&mut self, dag_id: &str, number: i64) {
        let (run, standing) = (run(dag_id, number), Standing::default());
        self.put(
            dag_id,
            NoticeEvent::TaskFailed {
                run: run.clone(),
                task: task(),
                blocks: Vec::new(),
                runs_on: Vec::new(),
                standing: standing.clone(),
            },
        );
        let failed = vec![("load".to_owned(), "exit status 1".to_owned())];
        let reason = "load failed".to_owned();
        self.put(dag_id, NoticeEvent::RunFailed { run, reason, failed, blocked: Vec::new(), standing });
    }

    fn task_succeeds(&mut self, dag_id: &str, number: i64) {
        self.put(dag_id, NoticeEvent::TaskSucceeded { run: run(dag_id, number), task: task() });
    }

    /// A minute passes, at whose end all that is due is delivered.
    fn passes(&mut self) {
        self.minute += 1;
        let now = self.now();
        for waiting in self.store.due_notices(now).unwrap() {
            let read = |text: &str| Notice::from_json(text).unwrap();
            let held = self.store.held_back(waiting.id).unwrap();
            let held_back: Vec<_> = held.iter().map(|(at, text)| (*at, read(text))).collect();
            let place = Place { home: self.home.path().into(), host: "here".to_owned() };
            let mail = render(&read(&waiting.notice), &Evidence { held_back, ..Evidence::default() }, &place);
            let listed = mail.text.lines().filter_map(|line| line.trim_start().split_once("Z "));
            self.told_together.extend(listed.map(|(_, what)| what.to_owned()));
            self.delivered.push((self.minute, mail.subject));
            let write = self.store.write().unwrap();
            write.notice_sent(waiting.id, now).unwrap();
            write.commit().unwrap();
        }
    }

    fn minutes_of(&self, is_one: impl Fn(&str) -> bool) -> Vec<i64> {
        self.delivered.iter().filter(|(_, subject)| is_one(subject)).map(|(minute, _)| *minute).collect()
    }
}

#[test]
fn of_two_hundred_runs_that_fail_one_a_minute_two_are_told() {
    let mut clock = Clock::with_ceiling(30);
    for number in 0..200 {
        clock.run_fails("d", number);
        clock.passes();
    }
    let told: Vec<(i64, &str)> = clock.delivered.iter().map(|(minute, subject)| (*minute, subject.as_str())).collect();
    assert_eq!(
        told,
        [
            (1, "[crondag] d load failed (ds 2018-07-01, try 1 of 1)"),
            (61, "[crondag] d load still fails (ds 2018-07-01, try 1 of 1)"),
        ]
    );
    let incident = clock.store.incident("d").unwrap().unwrap();
    assert_eq!((incident.failures, incident.failed_runs, incident.closed_at), (200, 200, None));
}

#[test]
fn reminders_come_at_growing_distances() {
    let mut clock = Clock::with_ceiling(30);
    for number in 0..5 * 24 * 60 {
        if number % 7 == 0 {
            clock.run_fails("d", number);
        }
        clock.passes();
    }
    // The first failure that comes 1 h, then 4 h, then each time 20 h after the one that was told of.
    let distance = |hours: i64, since: i64| since + (hours * 60 + 6) / 7 * 7;
    let first = distance(1, 1);
    let second = distance(4, first);
    let mut expected = vec![1, first, second];
    while expected[expected.len() - 1] + 20 * 60 < 5 * 24 * 60 - 7 {
        expected.push(distance(20, expected[expected.len() - 1]));
    }
    assert_eq!(clock.minutes_of(|_| true), expected);
    assert_eq!(expected, [1, 64, 309, 1513, 2717, 3921, 5125, 6329]);
}

/// A hundred DAGs fail in three hours, of a home that may send five notices an hour.
#[test]
fn beyond_the_ceiling_one_digest_an_hour_tells_of_all_that_was_held_back() {
    let mut clock = Clock::with_ceiling(5);
    let dags: Vec<String> = (100..200).map(|number| format!("dag{number}")).collect();
    for (minute, number) in (0..6 * 60).zip(0..) {
        if let Some(dag) = dags.get(number / 2).filter(|_| number % 2 == 0) {
            clock.run_fails(dag, minute);
        }
        // A driver that has just started takes what waits for longer to be of a clock that was wrong.
        let within_an_hour = clock.now() + jiff::SignedDuration::from_hours(1);
        assert!(!clock.store.has_notices_after(within_an_hour).unwrap(), "minute {minute}");
        clock.passes();
    }
    let is_digest = |subject: &str| subject.ends_with(" held back");
    assert_eq!(clock.minutes_of(is_digest), [20, 80, 140, 200]);
    let at_once = clock.minutes_of(|subject| !is_digest(subject));
    for minute in &at_once {
        let within = at_once.iter().filter(|other| (*minute - 59..=*minute).contains(other)).count();
        assert!(within <= 5, "{within} in the hour up to minute {minute}");
    }
    let counted: usize = clock
        .delivered
        .iter()
        .filter_map(|(_, subject)| {
            subject.strip_prefix("[crondag] ")?.strip_suffix(" notices held back")?.parse::<usize>().ok()
        })
        .sum();
    assert_eq!((counted, clock.told_together.len()), (100 - at_once.len(), counted));
    let mut told: Vec<String> = clock.told_together.clone();
    told.extend(clock.delivered.iter().map(|(_, subject)| subject.trim_start_matches("[crondag] ").to_owned()));
    let mut told: Vec<&str> =
        told.iter().filter_map(|what| what.strip_suffix(" load failed (ds 2018-07-01, try 1 of 1)")).collect();
    told.sort_unstable();
    assert_eq!(told, dags);
    let summary = clock.store.outbox_summary(jiff::Timestamp::MIN).unwrap();
    assert_eq!((summary.pending, summary.given_up), (0, 0));
}

#[test]
fn good_news_holds_no_bad_news_back() {
    let mut clock = Clock::with_ceiling(3);
    for number in 0..5 {
        clock.task_succeeds("good", number);
    }
    clock.run_fails("bad", 10);
    clock.task_succeeds("good", 11);
    clock.passes();
    let subjects: Vec<&str> = clock.delivered.iter().map(|(_, subject)| subject.as_str()).collect();
    let succeeded = "[crondag] good load succeeded (ds 2018-07-01, try 1 of 1)";
    let failed = "[crondag] bad load failed (ds 2018-07-01, try 1 of 1)";
    assert_eq!(subjects, [succeeded, succeeded, succeeded, failed]);
    while clock.minute < 60 {
        clock.passes();
    }
    assert_eq!(clock.delivered[4..], [(10, "[crondag] 3 notices held back".to_owned())]);
}

/// A home whose run has failed, whose driver was killed while the server was silent, and to which the next tick has come.
fn killed_while_it_mailed(silence: Silence) -> (Home, MailServer) {
    let server = MailServer::start();
    server.falls_silent(Some(silence));
    let dag = "[tasks.a]\nshell = 'exit 3'\nemail = 'team@example.com'\n";
    let home = Home::new().config(&server.settings()).dag("d", dag).has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d").code(1);
    until("the server has fallen silent", || server.times_silent() == 1);
    let driver = until_some("there is a driver", || home.driver_pid());
    signal(driver, "-KILL");
    until("it is gone", || home.driver_pid().is_none());
    server.falls_silent(None);
    home.run("tick").success();
    until("the next driver has done all that there was", || {
        home.driver_pid().is_none() && home.json("status --json")[0]["mail_pending"] == 0
    });
    home.run("tick").success();
    until("nobody has anything to do", || home.driver_pid().is_none());
    home.is_sound();
    (home, server)
}

#[test]
fn what_a_killed_driver_had_not_delivered_the_next_one_delivers_once() {
    let (_home, server) = killed_while_it_mailed(Silence::BeforeTheMail);
    assert_eq!(server.headers("Subject"), ["[crondag] d a failed (ds 2018-07-01, try 1 of 1)"]);
}

#[test]
fn what_was_delivered_and_not_recorded_comes_once_more_under_the_same_id() {
    let (_home, server) = killed_while_it_mailed(Silence::AfterTheMail);
    let ids = server.headers("Message-ID");
    assert_eq!(ids.len(), 2);
    assert_eq!(ids[0], ids[1]);
}
