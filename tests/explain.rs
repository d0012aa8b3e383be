//! What `explain` says is what the engine does: it answers from the same state by the same rules.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use common::{Home, until};
use crondag::dag::{DagId, RunNumber, RunState, RunType, TaskId, TaskState, Transition};
use crondag::store::{NewAttempt, NewRun, Store};
use jiff::{SignedDuration, Timestamp};
use snapbox::str;

/// Runs and attempts as a driver leaves them, made through the store: no driver may change them while they are looked at.
struct Stage {
    home: Home,
    store: Store,
}

const CONFIG: &str = "[pools]\ndb = 4\n";

impl Stage {
    fn new(dag: &str) -> Stage {
        let home = Home::new().config(CONFIG).dag("d", dag).has_ticked();
        let store = home.store();
        Stage { home, store }
    }

    /// A run of a day in July 2018 that has begun, with its tasks.
    fn run(&mut self, day: i8, run_type: RunType, backfill_id: Option<i64>, begun: bool) -> RunNumber {
        let text = self.home.read("dags/d.toml");
        let tasks: Vec<(TaskId, u32)> = text
            .lines()
            .filter_map(|line| line.strip_prefix("[tasks.")?.strip_suffix(']'))
            .map(|task| (TaskId::new(task).unwrap(), 1))
            .collect();
        let start: Timestamp = format!("2018-07-{day:02}T00:00:00Z").parse().unwrap();
        let end = start + SignedDuration::from_hours(24);
        let write = self.store.write().unwrap();
        let dag_id = DagId::new("d").unwrap();
        let version = write.keep_version(&dag_id, &text, end).unwrap();
        let mut row = write.dag(&dag_id).unwrap().unwrap_or_else(|| crondag::store::DagRow::new(dag_id.clone(), end));
        row.version_id = Some(version);
        write.put_dag(&row).unwrap();
        let new = NewRun {
            dag_id,
            run_id: format!("{run_type}__2018-07-{day:02}"),
            run_type,
            logical_date: start,
            data_interval_end: end,
            params: [].into(),
            selection: None,
            backfill_id,
        };
        let run = write.create_run(&new, end).unwrap().unwrap();
        if begun {
            write.apply(&Transition::RunStarted { run, version, tasks }, end).unwrap();
        }
        write.commit().unwrap();
        run
    }

    /// An attempt that lives.
    fn live(&mut self, run: RunNumber, task: &str) {
        let task = TaskId::new(task).unwrap();
        let token = format!("token-{}-{task}", run.0);
        let write = self.store.write().unwrap();
        let now = Timestamp::now();
        write
            .begin_attempt(
                &NewAttempt {
                    run,
                    task: &task,
                    try_number: 1,
                    token: &token,
                    log_file: "log",
                    ready_at: now,
                    host: "h",
                },
                now,
            )
            .unwrap();
        write.apply(&Transition::TaskStarted { run, task, try_number: 1 }, now).unwrap();
        write.commit().unwrap();
    }

    fn backfill(&mut self, max_active_runs: Option<u32>, is_held: bool) -> i64 {
        let write = self.store.write().unwrap();
        let backfill =
            write.create_backfill(&DagId::new("d").unwrap(), max_active_runs, false, Timestamp::now()).unwrap();
        write.hold_backfill(backfill, is_held).unwrap();
        write.commit().unwrap();
        backfill
    }
}

#[test]
fn a_begun_run_whose_backfill_is_held_does_not_go_on() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.a]\nshell = 'true'\n");
    let held = stage.backfill(None, true);
    stage.run(1, RunType::Backfill, Some(held), true);
    stage.home.run("explain d 20180701").success().stdout_eq(str![[r#"
run: 2018-07-01 00:00 +00:00 is running for [..], but its backfill was interrupted
  next: crondag backfill -s 2018-07-01 -e 2018-07-01 d
a: its backfill was interrupted
  next: crondag backfill -s 2018-07-01 -e 2018-07-01 d

"#]]);
}

#[test]
fn a_small_task_does_not_overtake_a_larger_one_of_its_pool() {
    let mut stage = Stage::new(
        "schedule = '@daily'\n[tasks.holder]\nshell = 'true'\npool = 'db'\npool_slots = 2\n\
         [tasks.large]\nshell = 'true'\npool = 'db'\npool_slots = 3\npriority = 1\n\
         [tasks.small]\nshell = 'true'\npool = 'db'\n",
    );
    let run = stage.run(1, RunType::Scheduled, None, true);
    stage.live(run, "holder");
    stage.home.run("explain d 20180701").success().stdout_eq(str![[r#"
run: 2018-07-01 00:00 +00:00 is running for [..]
holder: is running for [..] (try 1 of 1)
  next: crondag logs d holder scheduled__2018-07-01 -f
large: waits: pool `db` has 2 of 4 slots taken, it wants 3; held by d holder 2018-07-01 00:00 +00:00
  next: raise `db` under [pools] in crondag.toml, or wait
small: waits: d large 2018-07-01 00:00 +00:00 stands before it in the queue of pool `db` and wants 3
  slots; it is not overtaken
  next: raise `db` under [pools] in crondag.toml, or wait
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
}

#[test]
fn a_retry_that_was_set_while_the_clock_was_ahead_is_due_within_its_delay_in_tasks_as_in_explain() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.a]\nretries = 3\nretry_delay = '1h'\nshell = 'true'\n");
    let run = stage.run(1, RunType::Scheduled, None, true);
    let (now, task) = (Timestamp::now(), TaskId::new("a").unwrap());
    let started = Transition::TaskStarted { run, task: task.clone(), try_number: 1 };
    let retry = Transition::TaskRetry {
        run,
        task,
        reason: "exit status 3".to_owned(),
        next_try_at: now + SignedDuration::from_hours(24 * 365),
    };
    let write = stage.store.write().unwrap();
    write.apply(&started, now).unwrap();
    write.apply(&retry, now).unwrap();
    write.commit().unwrap();
    let at = stage.home.json("tasks d --json")[0]["next_try_at"].as_str().unwrap().parse::<Timestamp>().unwrap();
    assert!(at.duration_since(now) < SignedDuration::from_mins(61), "{at}");
    let next = at.strftime("%Y-%m-%d %H:%M").to_string();
    let said = stage.home.run("explain d a").success().out();
    let tasks = stage.home.run("tasks d").success().out();
    // The minute may be over between the two.
    let after = (at + SignedDuration::from_mins(1)).strftime("%Y-%m-%d %H:%M").to_string();
    for said in [&said, &tasks] {
        assert!(said.contains(&next) || said.contains(&after), "{said}");
    }
}

#[test]
fn a_scheduled_run_is_not_held_back_by_a_backfill_with_a_limit_of_its_own() {
    let mut stage = Stage::new("schedule = '@daily'\nmax_active_runs = 1\n[tasks.a]\nshell = 'true'\n");
    let own = stage.backfill(Some(1), false);
    stage.run(1, RunType::Backfill, Some(own), true);
    stage.run(2, RunType::Backfill, Some(own), false);
    stage.run(3, RunType::Scheduled, None, false);
    stage.home.run("explain d 20180702").success().stdout_eq(str![[r#"
run: 2018-07-02 00:00 +00:00 is queued: max_active_runs of its backfill is 1, and 1 of them is going
  on (2018-07-01 00:00 +00:00)
  next: crondag explain d backfill__2018-07-01
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    stage.home.run("explain d 20180703").success().stdout_eq(str![[r#"
run: 2018-07-03 00:00 +00:00 is queued and may start at any moment
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
}

#[test]
fn a_cleared_task_waits_for_its_old_attempt() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.a]\nshell = 'true'\n");
    let run = stage.run(1, RunType::Scheduled, None, true);
    stage.live(run, "a");
    let write = stage.store.write().unwrap();
    let cleared = Transition::TaskCleared { run, task: TaskId::new("a").unwrap(), max_tries: 2, reason: None };
    write.apply(&cleared, Timestamp::now()).unwrap();
    write.commit().unwrap();
    stage.home.run("explain d 20180701").success().stdout_eq(str![[r#"
run: 2018-07-01 00:00 +00:00 is running for [..]
a: waits for its try 1 to end: it was cleared or stopped, and its processes still live
  next: crondag tasks d scheduled__2018-07-01
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    let states = stage.store.task_instances(run).unwrap();
    assert_eq!(states[0].state, TaskState::None);
}

/// `2018-07-01`, so many days before today in UTC.
fn days_ago(days: i64) -> String {
    (Timestamp::now() - SignedDuration::from_hours(24 * days)).strftime("%Y-%m-%d").to_string()
}

#[test]
fn a_run_that_waits_for_another_dag_says_for_which_dates_and_how_they_stand() {
    let text = "schedule = '@daily'\n[tasks.date]\nwait = { dag = 'hourly' }\n\
                [tasks.day]\nwait = { dag = 'hourly', task = 'load', over = 'interval' }\n";
    let mut stage = Stage::new(text);
    stage.home.write("dags/hourly.toml", "schedule = '@hourly'\n[tasks.load]\nshell = 'true'\n");
    let run = stage.run(2, RunType::Scheduled, None, true);
    let write = stage.store.write().unwrap();
    for task in ["date", "day"] {
        let task = TaskId::new(task).unwrap();
        write.apply(&Transition::TaskWaiting { run, task, try_number: 1 }, Timestamp::now()).unwrap();
    }
    for (hour, state) in [(0, TaskState::Failed), (1, TaskState::Success)] {
        let start: Timestamp = format!("2018-07-02T{hour:02}:00:00Z").parse().unwrap();
        let dag_id = DagId::new("hourly").unwrap();
        let version = write.keep_version(&dag_id, &stage.home.read("dags/hourly.toml"), start).unwrap();
        let new = NewRun {
            dag_id,
            run_id: format!("scheduled__{hour}"),
            run_type: RunType::Scheduled,
            logical_date: start,
            data_interval_end: start + SignedDuration::from_hours(1),
            params: [].into(),
            selection: None,
            backfill_id: None,
        };
        let run = write.create_run(&new, start).unwrap().unwrap();
        let task = TaskId::new("load").unwrap();
        write.apply(&Transition::RunStarted { run, version, tasks: vec![(task.clone(), 1)] }, start).unwrap();
        write
            .apply(&Transition::TaskEnded { run, task, state, reason: None, awaited: None, cut_off: false }, start)
            .unwrap();
        let ended = if state == TaskState::Success { RunState::Success } else { RunState::Failed };
        write.apply(&Transition::RunEnded { run, state: ended, reason: None }, start).unwrap();
    }
    write.commit().unwrap();
    drop(stage.store);
    let home = stage.home;
    home.run("explain d date scheduled__2018-07-02").success().stdout_eq(str![[r#"
run: 2018-07-02 00:00 +00:00 is running for [..]
date: waits since [..] for DAG hourly of 2018-07-02 00:00 (its run has
  failed): evaluated every 1m, until [..]
  next: crondag explain hourly
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    home.run("explain d day scheduled__2018-07-02").success().stdout_eq(str![[r#"
run: 2018-07-02 00:00 +00:00 is running for [..]
day: waits since [..] for task load of DAG hourly of 2018-07-02 00:00 (the
  task has not succeeded), 2018-07-02 02:00 (it has not run), 2018-07-02 03:00 (it has not run) and
  20 more up to 2018-07-02 23:00: evaluated every 1m, until [..]
  next: crondag explain hourly
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    // Without a run, all the dates.
    let rendered = home.run("render d date 2018-07-02").out();
    assert!(rendered.contains("\nwait\n  wait: DAG hourly of 2018-07-02 00:00\n"), "{rendered}");
    let rendered = home.run("render d day 2018-07-02").out();
    let dates = "2018-07-02 00:00, 2018-07-02 01:00, 2018-07-02 02:00 and 21 more up to 2018-07-02 23:00";
    assert!(rendered.contains(&format!("\nwait\n  wait: task load of DAG hourly of {dates}\n")), "{rendered}");
}

#[test]
fn a_date_that_no_tick_will_make_is_not_called_due() {
    let dag = |start: i64, catchup: bool| {
        format!(
            "schedule = '@daily'\nstart_date = {}\ncatchup = {catchup}\n[tasks.a]\nshell = 'true'\n",
            days_ago(start)
        )
    };
    let home = Home::new().dag("moved", dag(3, true)).dag("skipped", dag(9, false));
    home.run("tick --foreground").success();
    let home = home.dag("moved", dag(6, true));
    home.run("tick --foreground").success();
    let why =
        |dag: &str| home.json(&["explain", dag, &days_ago(5), "--json"])[0]["reason"].as_str().unwrap().to_owned();
    let moved = why("moved");
    assert!(moved.starts_with("no tick makes it: the scheduler has dealt with everything until "), "{moved}");
    let skipped = why("skipped");
    assert!(skipped.starts_with("it was due before the DAG was first seen or last unpaused ("), "{skipped}");
}

#[test]
fn how_far_a_dag_lags_is_said_by_explain_and_status() {
    let mut stage = Stage::new(
        "schedule = '@daily'\nstart_date = 2018-07-01\nend_date = 2018-07-10\ncatchup = true\nmax_active_runs = 2\n\
         [tasks.a]\nshell = 'true'\n",
    );
    let first = stage.run(1, RunType::Scheduled, None, true);
    stage.live(first, "a");
    stage.run(2, RunType::Scheduled, None, false);
    stage.home.run("explain d").success().stdout_eq(str![[r#"
run: that of 2018-07-01 00:00 +00:00, the oldest of 2 that have not ended
dag: it is 9 runs behind its schedule: 1 waits to start, 8 are still to be made (oldest first,
  max_active_runs = 2); the first was due at 2018-07-03 00:00 +00:00, [..] ago
run: 2018-07-01 00:00 +00:00 is running for [..]
a: is running for [..] (try 1 of 1)
  next: crondag logs d a scheduled__2018-07-01 -f
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    stage.home.run("status").success().stdout_eq(str![[r#"
driver    not running, but there is work for it
          next: crondag tick
behind    d is 9 runs behind its schedule: 1 waits to start, 8 are still to be made (oldest first,
          max_active_runs = 2); the first was due at 2018-07-03 00:00 +00:00, [..] ago
          next: crondag explain d
running   d 2018-07-01 00:00 +00:00 for [..], 0 of 1 tasks done: a [..]
queued    1 run
          next: crondag explain d scheduled__2018-07-02

zone: [..]

"#]]);
    let lag = serde_json::json!({
        "dag_id": "d", "to_make": 8, "queued": 1, "skipped": 0, "running_since": null, "since": "2018-07-03T00:00:00+00:00"
    });
    assert_eq!(stage.home.json("explain d --json")[1]["lag"], lag);
    assert_eq!(stage.home.json("status --json")[0]["lags"], serde_json::json!([lag]));
}

#[test]
fn without_catchup_explain_and_status_say_what_a_long_run_skips() {
    let mut stage =
        Stage::new("schedule = '@daily'\nstart_date = 2018-07-01\nend_date = 2018-07-05\n[tasks.a]\nshell = 'true'\n");
    let first = stage.run(1, RunType::Scheduled, None, true);
    stage.live(first, "a");
    stage.run(5, RunType::Scheduled, None, false);
    let lag = "is 4 runs behind its schedule: 1 waits to start, 3 runs before it are skipped (catchup is off), a run goes on since \
               2018-07-02 00:00 +00:00; the first was due at 2018-07-03 00:00 +00:00, ";
    for (command, name) in [("explain d --json", "it"), ("status --json", "d")] {
        let said = stage.home.run(command).success().out();
        assert!(said.contains(&format!("{name} {lag}")), "{said}");
    }
}

#[test]
fn a_word_is_a_run_if_there_is_one_of_that_id_and_else_a_task() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.load__all]\nshell = 'true'\n");
    stage.run(1, RunType::Scheduled, None, true);
    let first = |words: &str| stage.home.run(words).success().out().lines().next().unwrap().to_owned();
    assert!(first("explain d scheduled__2018-07-01").starts_with("run: 2018-07-01 00:00 +00:00 is running"));
    assert!(stage.home.run("explain d load__all").success().out().contains("\nload__all: "));
    stage.home.run("explain d load__al").code(2).stderr_eq(str![[r#"
error: the DAG d has no task `load__al`
next: did you mean `load__all`? `crondag list_tasks d` shows them all

"#]]);
}

/// A run that waits for a file.
fn waiting() -> Stage {
    let mut stage = Stage::new("schedule = '@daily'\nmax_active_runs = 1\n[tasks.a]\nwait = { file = 'x' }\n");
    let first = stage.run(1, RunType::Scheduled, None, true);
    stage.run(2, RunType::Scheduled, None, false);
    let write = stage.store.write().unwrap();
    let task = TaskId::new("a").unwrap();
    write.apply(&Transition::TaskWaiting { run: first, task, try_number: 1 }, Timestamp::now()).unwrap();
    write.commit().unwrap();
    stage
}

#[test]
fn status_says_of_what_does_not_move_why_and_what_to_type() {
    let stage = waiting();
    stage.home.run("status").success().stdout_eq(str![[r#"
driver    not running, but there is work for it
          next: crondag tick
behind    d is 2 runs behind its schedule: 1 waits to start, 1 is still to be made; the first was
          due at 2018-07-03 00:00 +00:00, [..] ago
          next: crondag explain d
running   d 2018-07-01 00:00 +00:00 for [..], 0 of 1 tasks done
waits     d 2018-07-01 00:00 +00:00 a: waits since [..] for file x: evaluated
          every 1m, until [..]
          next: ask who makes it; to go on without it: crondag mark d scheduled__2018-07-01 success --task a
queued    1 run, behind that of d 2018-07-01 00:00 +00:00
          next: crondag explain d scheduled__2018-07-02

zone: UTC (crondag.toml)

"#]]);
    let status = &stage.home.json("status --json")[0];
    let held_up = &status["running"][0]["held_up"];
    assert_eq!((&held_up["run_id"], &held_up["task_id"]), (&"scheduled__2018-07-01".into(), &"a".into()));
    assert_eq!(status["queued_held_up"]["run_id"], "scheduled__2018-07-01");
}

#[test]
fn a_run_in_which_something_runs_is_not_called_still() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.a]\nshell = 'true'\n[tasks.b]\nwait = { file = 'x' }\n");
    let run = stage.run(1, RunType::Scheduled, None, true);
    stage.live(run, "a");
    assert!(!stage.home.run("status").out().contains("waits"));
    assert!(stage.home.json("status --json")[0]["running"][0]["held_up"].is_null());
}

#[test]
fn explain_without_a_date_means_the_run_that_one_thinks_of_and_says_which() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.a]\nshell = 'true'\n");
    let first = |stage: &Stage| stage.home.run("explain d").success().out().lines().next().unwrap().to_owned();
    let runs = [1, 2, 3].map(|day| stage.run(day, RunType::Scheduled, None, true));
    assert_eq!(first(&stage), "run: that of 2018-07-01 00:00 +00:00, the oldest of 3 that have not ended");
    let end = |stage: &mut Stage, run: RunNumber| {
        let write = stage.store.write().unwrap();
        let ended = Transition::RunEnded { run, state: RunState::Failed, reason: None };
        write.apply(&ended, Timestamp::now()).unwrap();
        write.commit().unwrap();
    };
    end(&mut stage, runs[0]);
    end(&mut stage, runs[2]);
    assert_eq!(first(&stage), "run: that of 2018-07-02 00:00 +00:00, the only one that has not ended");
    end(&mut stage, runs[1]);
    assert_eq!(first(&stage), "run: that of 2018-07-03 00:00 +00:00, the one that started last: all have ended");
    // An old one that ran again is what one has just seen.
    drop(stage.store);
    stage.home.run("backfill -s 2018-07-01 -e 2018-07-01 d --rerun all").success();
    let said = stage.home.run("explain d").success().out();
    assert!(
        said.starts_with("run: that of 2018-07-01 00:00 +00:00, the one that started last: all have ended\n"),
        "{said}"
    );
}

#[test]
fn a_driver_that_is_gone_is_missed_for_queued_runs_and_mail_as_well() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.a]\nshell = 'true'\n");
    let no_driver = "driver    not running, but there is work for it\n";
    assert!(!stage.home.run("status").out().contains(no_driver));
    stage.run(1, RunType::Manual, None, false);
    assert!(stage.home.run("status").out().starts_with(no_driver));
    assert_eq!(stage.home.json("status --json")[0]["needs_driver"], true);
    // What is left cannot go on by itself, until there is mail.
    let event = stage.store.last_event().unwrap();
    let write = stage.store.write().unwrap();
    write.set_meta("parked", &event.to_string()).unwrap();
    write.commit().unwrap();
    assert!(!stage.home.run("status").out().contains(no_driver));
    let write = stage.store.write().unwrap();
    let way = crondag::store::Way::Now("email");
    let notice = crondag::store::NewNotice { dag_id: "d", kind: "report", notice: "{}", host: "host", way };
    write.put_notice(&notice, Timestamp::now()).unwrap();
    write.commit().unwrap();
    assert!(stage.home.run("status").out().starts_with(no_driver));
}

#[test]
fn the_dates_that_a_wait_names_are_shown_before_and_while_it_waits() {
    let weekly = "
schedule = '0 5 * * 1'
[params]
from = -1
[tasks.seven]
wait = { dag = 'daily', task = 'load', over = 'interval', every = '50ms' }
[tasks.named]
wait = { dag = 'daily', date = '{% for n in range(2) %}{{ macros.ds_add(ds, params.from + n) }}, {% endfor %}', every = '50ms' }
[tasks.last_day]
wait = { dag = 'daily', date = '{{ macros.ds_add(next_ds, -1) }}T02:00', every = '50ms' }
[tasks.file]
wait = { file = 'in/{{ ds }}', every = '50ms' }
";
    let home = Home::new()
        .dag("daily", "schedule = '0 2 * * *'\n[tasks.load]\nshell = 'test {{ ds }} != 2024-06-05'\n")
        .dag("weekly", weekly)
        .has_ticked();
    let shown = |task: &str, rest: &str| {
        let out = home.run(&format!("render weekly {task} {rest}")).success().out();
        out.lines().find(|line| line.starts_with("  wait: ")).unwrap().to_owned()
    };
    assert_eq!(
        shown("seven", "2024-06-03"),
        "  wait: task load of DAG daily of 2024-06-03 02:00, 2024-06-04 02:00, 2024-06-05 02:00 and 4 more up to 2024-06-09 02:00"
    );
    assert_eq!(shown("named", "2024-06-03"), "  wait: DAG daily of 2024-06-02 02:00, 2024-06-03 02:00");
    assert_eq!(shown("named", "2024-06-03 --param from=4"), "  wait: DAG daily of 2024-06-07 02:00, 2024-06-08 02:00");
    assert_eq!(shown("last_day", "2024-06-03"), "  wait: DAG daily of 2024-06-09 02:00");
    home.run("backfill -s 2024-06-03 -e 2024-06-08 daily").code(1);
    home.run("trigger weekly --date 2024-06-03").success();
    until("all are waited for", || {
        home.json("tasks weekly --json").iter().all(|task| task["state"] == "up_for_reschedule")
    });
    let waits_for: Vec<_> = home.json("tasks weekly --json").iter().map(|task| task["waits_for"].clone()).collect();
    let lacking = [
        "task load of DAG daily of 2024-06-05 02:00 (the task has not succeeded), 2024-06-09 02:00 (it has not run)",
        "DAG daily of 2024-06-02 02:00 (it has not run)",
        "DAG daily of 2024-06-09 02:00 (it has not run)",
        "file in/2024-06-03",
    ];
    assert_eq!(waits_for, lacking);
    assert!(home.run("tasks weekly").success().out().contains("waits for file in/2024-06-03"));
    let reasons = home.json("explain weekly --json");
    for (task, lacking) in ["seven", "named", "last_day", "file"].iter().zip(lacking) {
        let reason = reasons.iter().find(|reason| reason["subject"] == *task).unwrap()["reason"].as_str().unwrap();
        assert!(reason.contains(&format!(" for {lacking}: evaluated every 50ms, until ")), "{reason}");
    }
    home.run("backfill -s 2024-06-02 -e 2024-06-02 daily").success();
    home.run("backfill -s 2024-06-09 -e 2024-06-09 daily").success();
    until("the days are there", || ["named", "last_day"].iter().all(|task| home.state("weekly", task).0 == "success"));
    assert_eq!(home.state("weekly", "seven").0, "up_for_reschedule");
    home.run("stop weekly -y --wait").success();
}

#[test]
fn status_and_explain_say_the_same_of_ticks_and_what_is_found_has_a_weight() {
    let home = Home::new().dag("d", "schedule = '@daily'\n[tasks.a]\nshell = 'true'\n");
    let crontab = |home: &Home| {
        let status = &home.json("status --json")[0]["findings"][0];
        let reasons = home.json("explain d --json");
        let reason = reasons.iter().find(|reason| reason["subject"] == "crontab").unwrap();
        assert_eq!(status["subject"], "crontab");
        assert_eq!((&status["text"], &status["next"]), (&reason["reason"], &reason["next"]));
        (status["weight"].as_str().unwrap().to_owned(), status["text"].as_str().unwrap().to_owned())
    };
    let never = "has never ticked: nothing starts by itself";
    assert_eq!(crontab(&home), ("warning".to_owned(), never.to_owned()));
    let home = home.has_ticked();
    assert_eq!(home.json("status --json")[0]["findings"], serde_json::json!([]));
    let last_tick = std::fs::File::options().write(true).open(home.file(".crondag/last_tick")).unwrap();
    last_tick.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(600)).unwrap();
    assert_eq!(crontab(&home), ("error".to_owned(), "last tick 10m ago: nothing starts by itself".to_owned()));
}

#[test]
fn a_line_for_the_crontab_can_be_copied_from_a_narrow_terminal() {
    let home = Home::new().dag("d", "schedule = '@daily'\n[tasks.a]\nshell = 'true'\n").env("COLUMNS", "60");
    let line = format!("\n* * * * * {} --home {} tick\n", env!("CARGO_BIN_EXE_crondag"), home.path().display());
    for command in ["status", "explain d"] {
        let said = home.run(command).success().out();
        assert!(said.contains("next: `crontab -e`, and this line:\n") && said.contains(&line), "{said}");
    }
    let made = home.run("init new").success().out();
    assert!(made.lines().any(|line| line.starts_with("  * * * * * /") && line.ends_with("/new tick")), "{made}");
}

#[test]
fn a_run_that_was_made_ahead_is_not_the_newest_one_when_its_date_has_come() {
    let mut stage = Stage::new("schedule = '@daily'\n[tasks.a]\nshell = 'true'\n");
    stage.run(1, RunType::Scheduled, None, false);
    let newest = |stage: &Stage| stage.home.json("tasks d --json")[0]["run_id"].as_str().unwrap().to_owned();
    let date = |text: &str| text.parse::<Timestamp>().unwrap();
    let ahead = NewRun {
        dag_id: DagId::new("d").unwrap(),
        run_id: "manual__ahead".to_owned(),
        run_type: RunType::Manual,
        logical_date: date("2018-07-05T00:00:00Z"),
        data_interval_end: date("2018-07-06T00:00:00Z"),
        params: [].into(),
        selection: None,
        backfill_id: None,
    };
    let write = stage.store.write().unwrap();
    write.create_run(&ahead, date("2018-07-02T09:00:00Z")).unwrap();
    write.commit().unwrap();
    assert_eq!(newest(&stage), "scheduled__2018-07-01");
    stage.run(2, RunType::Scheduled, None, false);
    assert_eq!(newest(&stage), "scheduled__2018-07-02");
}
