//! What people order: backfills, triggers, clears, marks, stops. Each says what it does, does that and nothing else, and ends.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use common::{Home, until};
use serde_json::json;
use snapbox::str;

const DAILY: &str =
    "schedule = '@daily'\nstart_date = 2024-01-02\nend_date = 2024-01-04\n[tasks.a]\nshell = 'echo {{ ds }} >> ran'\n";

impl Home {
    fn daily() -> Home {
        Home::new().dag("d", DAILY)
    }

    /// `date state run_type` of each run.
    fn runs(&self, dag: &str) -> Vec<String> {
        let rows = self.json(&["runs", dag, "--json"]);
        let text = |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_default().to_owned();
        rows.iter()
            .map(|row| format!("{} {} {}", &text(row, "logical_date")[..10], text(row, "state"), text(row, "run_type")))
            .collect()
    }

    /// `task state` of each task of a run.
    fn tasks(&self, dag: &str, date: &str) -> Vec<String> {
        let rows = self.json(&["tasks", dag, date, "--json"]);
        rows.iter().map(|row| format!("{} {}", row["task_id"], row["state"]).replace('"', "")).collect()
    }
}

#[test]
fn a_backfill_stays_within_start_date_and_end_date_unless_it_is_told_otherwise() {
    let home = Home::daily();
    home.run("backfill -s 2024-01-01 -e 2024-01-05 d --dry-run").success().stdout_eq(str![[r#"
2024-01-02 00:00 +00:00  would run
2024-01-03 00:00 +00:00  would run
2024-01-04 00:00 +00:00  would run
left out: 2024-01-01 00:00 +00:00 lies before start_date (2024-01-02 00:00 +00:00); --ignore-bounds runs it
left out: 2024-01-05 00:00 +00:00 lies after end_date (2024-01-04 23:59:59 +00:00); --ignore-bounds runs it

3 runs of 1 task: a

"#]]);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").code(2).stderr_eq(str![[r#"
left out: 2024-01-01 00:00 +00:00 lies before start_date (2024-01-02 00:00 +00:00); --ignore-bounds runs it
error: no data interval of d from 2024-01-01 to 2024-01-01 may run now
next: crondag backfill -s 2024-01-01 -e 2024-01-01 d --ignore-bounds

"#]]);
    assert_eq!(home.runs("d"), [""; 0]);
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --ignore-bounds --max-active-runs 1").success();
    assert_eq!(home.read("ran"), "2024-01-01\n2024-01-02\n");
}

#[test]
fn an_interval_that_has_not_ended_is_left_out_or_run_beside_the_scheduled_run() {
    let home = Home::new().dag("d", "schedule = '@daily'\n[tasks.a]\nshell = 'echo {{ ds }} >> ran'\n");
    home.run("backfill -s 2090-07-01 -e 2090-07-02 d").code(2).stderr_eq(str![[r#"
left out: 2 intervals from 2090-07-01 00:00 +00:00 to 2090-07-02 00:00 +00:00, the first of which ends at 2090-07-02 00:00 +00:00; --unfinished runs them now, as manual runs
error: no data interval of d from 2090-07-01 to 2090-07-02 may run now
next: crondag backfill -s 2090-07-01 -e 2090-07-02 d --unfinished

"#]]);
    let rows = home.json("backfill -s 2090-07-01 -e 2090-07-01 d --unfinished --json");
    assert_eq!((rows.len(), &rows[0]["state"], &rows[0]["run_type"]), (1, &json!("success"), &json!("manual")));
    assert_eq!(home.runs("d"), ["2090-07-01 success manual"], "the place of the scheduled run is free");
    home.run("backfill -s 2090-07-01 -e 2090-07-01 d --unfinished").success().stderr_eq(str![[r#"
left alone: 1 of 1 intervals have a run that ended; --rerun failed or --rerun all does them again

"#]]);
    assert_eq!(home.runs("d").len(), 1, "what was typed twice is run once");
    home.run("backfill -s 2090-07-01 -e 2090-07-01 d --unfinished --rerun all").success();
    assert_eq!((home.runs("d").len(), home.read("ran").lines().count()), (1, 2));
}

#[test]
fn trigger_keeps_to_the_bounds_and_asks_before_it_runs_the_future() {
    let home = Home::daily().dag("open", "[tasks.a]\nshell = 'true'\n");
    home.run("trigger d --date 2023-12-31").code(2).stderr_eq(str![[r#"
error: the data interval from 2023-12-31 00:00 +00:00 lies before the start_date of d (2024-01-02 00:00 +00:00)
next: give --ignore-bounds to run it all the same

"#]]);
    home.run("trigger d --date 2024-01-05").code(2).stderr_eq(str![[r#"
error: the data interval from 2024-01-05 00:00 +00:00 lies after the end_date of d (2024-01-04 23:59:59 +00:00)
next: give --ignore-bounds to run it all the same

"#]]);
    home.run("trigger open --date 2090-01-01").code(2).stderr_eq(str![[r#"
error: nothing was done: "The data interval from 2090-01-01 00:00 +00:00 to 2090-01-02 00:00 +00:00 has not begun. Run open for it?" must be answered, and there is no terminal to ask on
next: the same again with -y, which means yes

"#]]);
    assert_eq!((home.runs("d"), home.runs("open")), (Vec::new(), Vec::new()));
    home.run("trigger d --date 2023-12-31 --ignore-bounds --wait").success();
    home.run("trigger open --date 2090-01-01 -y --wait").success();
    assert_eq!(home.runs("open"), ["2090-01-01 success manual"]);
}

const PAST: &str = "schedule = '@daily'\n[tasks.a]\ndepends_on_past = true\nshell = 'test {{ ds }} != 2024-01-02'\n";

#[test]
fn a_backfill_that_waits_for_a_failed_past_says_for_which_task_and_ends() {
    let home = Home::new().dag("d", PAST);
    let ran = home.run("backfill -s 2024-01-01 -e 2024-01-04 d").code(1);
    let said = ran.err();
    let (progress, error) = said.split_at(said.find("error:").unwrap());
    assert_eq!(progress.lines().count(), 2, "{progress}");
    assert_eq!(
        error,
        "error: 2 runs wait for what will not come by itself:\n  \
         2024-01-03 00:00 +00:00: a waits for a of 2024-01-02 00:00 +00:00, which failed (depends_on_past)\n  \
         1 more wait behind it\n\
         next: crondag clear d backfill__2024-01-02T00:00:00+00:00 --task a, or \
         crondag mark d backfill__2024-01-02T00:00:00+00:00 success --task a\n"
    );
    home.run("mark d backfill__2024-01-02T00:00:00+00:00 success --task a").success();
    home.run("backfill -s 2024-01-01 -e 2024-01-04 d").success();
    home.is_sound();
}

#[test]
fn a_backfill_whose_driver_cannot_start_says_what_the_driver_said() {
    let home = Home::new().dag("d", "[tasks.a]\nshell = 'true'\n").folder(".crondag/doorbell");
    let ran = home.run("backfill -s 2024-01-01 -e 2024-01-01 d").code(3);
    let said = ran.err();
    assert!(said.starts_with("error: the driver ends as soon as it is started; it says: "), "{said}");
    assert!(said.contains(".crondag/doorbell"), "{said}");
    assert!(said.contains("\nnext: what you asked for is recorded; correct what "), "{said}");
}

#[test]
fn a_backfill_that_does_runs_again_shows_only_how_they_end_now() {
    let home = Home::new().dag("d", "[tasks.a]\nshell = 'test -e good'\n");
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d").code(1);
    home.write("good", "");
    let ran = home.run("backfill -s 2024-01-01 -e 2024-01-02 d --rerun failed").success();
    ran.stdout_eq("d: 2 runs succeeded, 0 failed, in [..]\n").stderr_eq(str![[r#"
[..]  d 2024-01-0[..] 00:00 +00:00 success in [..]: 1 succeeded (1 of 2 runs ended)
[..]  d 2024-01-0[..] 00:00 +00:00 success in [..]: 1 succeeded (2 of 2 runs ended)

"#]]);
}

const TWO: &str = "[tasks.a]\nshell = 'echo a >> ran'\n[tasks.b]\nafter = 'a'\nshell = 'echo b >> ran; test -e good'\n";

#[test]
fn clearing_starts_no_task_that_it_did_not_list() {
    let home = Home::new().dag("d", TWO);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").code(1);
    let newer = format!("{TWO}[tasks.new]\nshell = 'echo new >> ran'\n[tasks.newer]\nshell = 'echo newer >> ran'\n");
    home.write("dags/d.toml", newer).write("good", "");
    home.run("clear d 2024-01-01 --failed").code(2).stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: these tasks start again as if they had never run
task  state
b     failed

"#]]);
    assert_eq!(home.tasks("d", "2024-01-01"), ["a success", "b failed"], "it was not answered");
    home.run("clear d 2024-01-01 --failed -y").success();
    until("it has ended", || home.runs("d") == ["2024-01-01 success backfill"]);
    assert_eq!(home.read("ran"), "a\nb\nb\n");
    home.run("clear d 2024-01-01 --task new -y").success();
    until("it has ended", || home.tasks("d", "2024-01-01").contains(&"new success".to_owned()));
    assert_eq!(home.tasks("d", "2024-01-01"), ["a success", "b success", "new success"]);
    // Of the run as a whole all tasks start again, the new one too.
    home.run("clear d 2024-01-01 -y").success();
    until("it has ended", || home.runs("d") == ["2024-01-01 success backfill"]);
}

#[test]
fn a_task_that_is_new_is_filled_into_runs_that_lack_it() {
    let home = Home::new().dag("d", TWO).with("good", "");
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d").success();
    let newer =
        format!("{TWO}[tasks.new]\nshell = 'echo new {{{{ ds }}}} >> filled'\n[tasks.newer]\nshell = 'false'\n");
    home.write("dags/d.toml", newer);
    home.run("backfill -s 2024-01-01 -e 2024-01-03 d --only new --dry-run").success().stdout_eq(str![[r#"
2024-01-01 00:00 +00:00  success; would get new
2024-01-02 00:00 +00:00  success; would get new
2024-01-03 00:00 +00:00  would run

3 runs of 1 task: new

"#]]);
    home.run("backfill -s 2024-01-01 -e 2024-01-03 d --only new --max-active-runs 1").success();
    let mut filled = home.lines("filled");
    filled.sort();
    assert_eq!(filled, ["new 2024-01-01", "new 2024-01-02", "new 2024-01-03"]);
    assert_eq!(home.tasks("d", "2024-01-01"), ["a success", "b success", "new success"]);
    assert_eq!(home.tasks("d", "2024-01-03"), ["new success"]);
    home.run("backfill -s 2024-01-01 -e 2024-01-03 d --only new").success().stdout_eq(str![[r#"
nothing to do: all 3 runs of d ended before

"#]]);
}

#[test]
fn a_date_that_never_ran_is_marked_without_being_run() {
    let home = Home::new().dag("d", PAST);
    home.run("mark d 2024-01-02 skipped").success().stdout_eq(str![[r#"
d 2024-01-02 00:00 +00:00 never ran: recorded as skipped, nothing is started
next: crondag tasks d backfill__2024-01-02T00:00:00+00:00

"#]]);
    assert_eq!(home.runs("d"), ["2024-01-02 success backfill"]);
    assert_eq!(home.state("d 2024-01-02", "a"), ("skipped".to_owned(), "marked skipped by ana".to_owned()));
    home.run("backfill -s 2024-01-01 -e 2024-01-03 d").success();
    assert_eq!(home.state("d 2024-01-02", "a").0, "skipped", "it was left alone");
    home.run("mark d 2090-01-01 skipped").code(2).stderr_eq(str![[r#"
error: the data interval of d from 2090-01-01 00:00 +00:00 ends at 2090-01-02 00:00 +00:00; only one that has ended can be marked
next: crondag next d

"#]]);
    home.run("mark d 2024-01-05 failed").code(2).stderr_eq(str![[r#"
error: d has no run for 2024-01-05 00:00 +00:00: without one, only the whole interval can be marked, as success or skipped
next: crondag backfill -s 2024-01-05 -e 2024-01-05 d, or crondag mark d 2024-01-05 skipped

"#]]);
    home.is_sound();
}

#[test]
fn a_param_that_no_environment_takes_makes_no_run() {
    let home = Home::new().dag("d", "params = { day = 'today' }\n[tasks.a]\nshell = 'true'\n");
    // With the name of its variable, CRONDAG_PARAM_DAY.
    let trigger = |bytes: usize| {
        let param = format!("day={}", "x".repeat(bytes - "CRONDAG_PARAM_DAY=".len()));
        home.run(&["trigger", "d", "--param", &param])
    };
    trigger(131_072).code(2).stderr_eq(str![[r#"
error: the param `day` has 131072 bytes with its name, and a program's variable at most 131071
next: put it into a file, and give the path of that

"#]]);
    assert_eq!(home.runs("d"), [""; 0]);
    trigger(131_071).success();
    until("it has run", || home.state("d", "a").0 == "success");
}

#[test]
fn a_date_is_marked_whose_id_an_interval_of_an_earlier_schedule_has() {
    let home = Home::new().dag("d", "schedule = '@hourly'\n[tasks.a]\nshell = 'true'\n");
    home.run("backfill -s 2024-01-02T00:00 -e 2024-01-02T01:00 d").success();
    home.write("dags/d.toml", PAST);
    home.run("mark d 2024-01-02 success").success().stdout_eq(str![[r#"
d 2024-01-02 00:00 +00:00 never ran: recorded as success, nothing is started
next: crondag tasks d backfill__2024-01-02T00:00:00+00:00--2024-01-03T00:00:00+00:00

"#]]);
    home.run("mark d 2024-01-02T00:00 success").code(2).stderr_eq(str![[r#"
error: 2024-01-02T00:00 means 2 runs of d; their ids:
  backfill__2024-01-02T00:00:00+00:00
  backfill__2024-01-02T00:00:00+00:00--2024-01-03T00:00:00+00:00
next: give one of these ids in place of the date

"#]]);
    let of_day = ["2024-01-02 success backfill"; 3];
    assert_eq!(home.runs("d"), of_day);
    home.run("backfill -s 2024-01-02 -e 2024-01-02 d").success();
    assert_eq!(home.runs("d"), of_day, "the interval has its run");
    home.is_sound();
}

#[test]
fn a_mark_of_a_missing_day_lets_the_days_after_it_go_on() {
    let home = Home::new().dag("d", "schedule = '@daily'\n[tasks.a]\ndepends_on_past = true\nshell = 'test -e good'\n");
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").code(1);
    home.run("backfill -s 2024-01-03 -e 2024-01-03 d").code(1);
    assert_eq!(home.state("d 2024-01-03", "a").0, "none", "it waits for the first");
    home.write("good", "");
    home.run("mark d 2024-01-02 success").success();
    until("it has run", || home.state("d 2024-01-03", "a").0 == "success");
}

#[test]
fn a_queued_run_that_is_stopped_is_no_failure() {
    let dag = "max_active_runs = 1\n[tasks.a]\nshell = 'touch begun; until [ -e go ]; do sleep 0.05; done'\n";
    let home = Home::new().dag("d", dag);
    home.run("trigger d --date 2024-01-01").success();
    until("the first run has begun", || home.has("begun"));
    let second = home.json("trigger d --date 2024-01-02 --json")[0]["run_id"].as_str().unwrap().to_owned();
    home.run(&["stop", "d", &second]).code(2);
    home.run(&["stop", "d", &second, "-y"]).success();
    until("it is stopped", || home.runs("d")[1] == "2024-01-02 failed manual");
    let row = home.json("runs d --json").pop().unwrap();
    assert_eq!((&row["start_date"], &row["reason"]), (&json!(null), &json!("stopped by ana before it began")));
    let status = home.run("status --json").json().pop().unwrap();
    assert_eq!(status["failed_last_24h"], json!([]));
    home.write("go", "");
    until("the first run has ended", || home.runs("d")[0] == "2024-01-01 success manual");
    home.is_sound();
}

#[test]
fn a_tick_in_the_foreground_that_is_ended_with_work_left_does_not_succeed() {
    let home = Home::new().dag("d", "[tasks.a]\nshell = 'touch begun; until [ -e go ]; do sleep 0.05; done'\n");
    let begin = || home.command("tick --foreground").stderr(Stdio::piped()).spawn().unwrap();
    // One that works, and one that waits for it.
    home.run("trigger d --date 2024-01-01").success();
    until("the task runs", || home.has("begun"));
    let waits = begin();
    let driver = home.driver_pid().expect("a driver");
    until("it listens", || listens(waits.id()));
    common::signal(waits.id(), "-TERM");
    let output = waits.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    common::signal(driver, "-TERM");
    until("the driver has gone", || home.driver_pid().is_none());
    let works = begin();
    until("it is the driver", || home.driver_pid() == Some(works.id()));
    until("it listens", || listens(works.id()));
    common::signal(works.id(), "-TERM");
    let output = works.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: a signal ended this tick before all was done; what has begun is recorded\n\
         next: the next `crondag tick` goes on with it\n"
    );
    home.write("go", "");
    home.run("tick --foreground").success();
    assert_eq!(home.runs("d"), ["2024-01-01 success manual"]);
}

/// Whether a process catches SIGTERM by now.
fn listens(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0").trim().to_owned();
    u64::from_str_radix(&caught, 16).unwrap_or(0) & (1 << 14) != 0
}

#[test]
fn a_dag_is_renamed_with_its_file_its_runs_and_its_logs() {
    let home = Home::new()
        .dag("old", "schedule = '@daily'\n[tasks.a]\nshell = 'echo printed'\n")
        .dag("behind", "[tasks.w]\nwait = { dag = 'old' }\n")
        .dag("other", "[tasks.a]\nshell = 'touch begun; until [ -e go ]; do sleep 0.05; done'\n");
    home.run("backfill -s 2024-01-01 -e 2024-01-02 old").success();
    home.run("pause old").success();
    home.run("dag rename old other").code(2).stderr_eq(str![[r#"
error: there are files of both names, dags/old.toml and dags/other.toml
next: remove the one that is not wanted, or keep old and choose another name

"#]]);
    home.run("dag rename old new").success().stdout_eq(str![[r#"
old is new now, with 2 runs
renamed: dags/old.toml to dags/new.toml
dags/behind.toml still waits for old: correct it
next: crondag validate

"#]]);
    assert_eq!(home.runs("new"), ["2024-01-01 success backfill", "2024-01-02 success backfill"]);
    assert!(home.run("logs new a 2024-01-01").success().out().contains("printed"));
    assert!(!home.has(".crondag/logs/old") && !home.has("dags/old.toml"));
    home.run("runs old").code(2);
    home.run("tick").success();
    let rows = home.json("list_dags --json");
    let row = rows.iter().find(|row| row["dag_id"] == "new").unwrap();
    assert_eq!(row["is_paused"], json!(true), "the schedule of the new name is that of the old one");
    home.run("backfill -s 2024-01-01 -e 2024-01-02 new --rerun all").success();
    home.is_sound();
}

#[test]
fn a_dag_whose_runs_have_not_ended_keeps_its_name_and_its_history() {
    let home = Home::new().dag("d", "[tasks.a]\nshell = 'touch begun; until [ -e go ]; do sleep 0.05; done'\n");
    home.run("trigger d --date 2024-01-01").success();
    until("the task runs", || home.has("begun"));
    for order in ["dag rename d e", "dag delete d -y"] {
        home.run(order).code(2).stderr_eq(str![[r#"
error: d has 1 run that has not ended
next: wait (crondag runs d), or crondag stop d

"#]]);
    }
    home.write("go", "");
    until("it has ended", || home.runs("d") == ["2024-01-01 success manual"]);
}

#[test]
fn a_dag_whose_history_is_deleted_goes_on_from_where_it_is() {
    let home = Home::new()
        .dag("d", "schedule = '@daily'\nstart_date = 2024-01-01\nend_date = 2024-01-02\ncatchup = true\n[tasks.a]\nshell = 'true'\n")
        .dag("other", "[tasks.a]\nshell = 'true'\n");
    home.run("tick --foreground").success();
    assert_eq!(home.runs("d").len(), 2);
    home.run("dag delete d").code(2).stderr_eq(str![[r#"
error: nothing was done: "Remove 2 runs of d, their logs and what its checks recorded?" must be answered, and there is no terminal to ask on
next: the same again with -y, which means yes

"#]]);
    home.run("dag delete d -y").success().stdout_eq(str![[r#"
removed: 2 runs of d
dags/d.toml stays, and goes on from where it is
next: crondag list_dags

"#]]);
    assert!(!home.has(".crondag/logs/d"));
    home.run("tick --foreground").success();
    assert_eq!(home.runs("d"), [""; 0], "what was caught up is not caught up again");
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").success();
    home.run("trigger other --date 2024-01-01 --wait").success();
    home.run("dag delete d --with-file -y").success().stdout_eq(str![[r#"
removed: 1 run of d and the file dags/d.toml
next: crondag list_dags

"#]]);
    home.run("runs d").code(2);
    home.is_sound();
}

#[test]
fn no_number_of_a_run_is_given_twice_after_the_newest_was_deleted() {
    let home = Home::new().dag("d", "[tasks.a]\nshell = 'true'\n").dag("e", "[tasks.a]\nshell = 'true'\n");
    home.run("trigger d --date 2024-01-01 --wait").success();
    let last = home.store().last_run().unwrap();
    home.run("dag delete d -y").success();
    home.run("trigger e --date 2024-01-01 --wait").success();
    assert!(home.store().last_run().unwrap() > last);
    home.is_sound();
}

/// Two branches of tags that a merge waits for, however they end; then an audience.
const BRANCHES: &str = "[tasks.orders]\nshell = 'echo orders >> ran; test -e good'\n\
    [tasks.order_tags]\nafter = 'orders'\nshell = 'echo order_tags >> ran'\n\
    [tasks.visit_tags]\nshell = 'echo visit_tags >> ran'\n\
    [tasks.merge]\nafter = ['order_tags', 'visit_tags']\ntrigger_rule = 'all_done'\nshell = 'echo merge >> ran'\n\
    [tasks.audience]\nafter = 'merge'\nshell = 'echo audience >> ran'\n";

#[test]
fn clear_failed_repairs_what_failed_what_that_blocked_and_what_was_built_on_it() {
    let home = Home::new().dag("d", BRANCHES);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d");
    home.write("good", "").remove("ran");
    home.run("clear d 2024-01-01 --failed").code(2).stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: these tasks start again as if they had never run
task        state            because
orders      failed
order_tags  upstream_failed
merge       success          was built on orders
audience    success          was built on orders

"#]]);
    home.run("clear d 2024-01-01 --failed -y").success();
    until("the run is whole", || home.tasks("d", "2024-01-01").iter().all(|task| task.ends_with(" success")));
    let mut ran = home.lines("ran");
    ran.sort();
    assert_eq!(ran, ["audience", "merge", "order_tags", "orders"], "visit_tags was right");
    home.run("clear d 2024-01-01 --failed").success().stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: nothing to repair
next: crondag tasks d backfill__2024-01-01T00:00:00+00:00

"#]]);
}

#[test]
fn clear_only_failed_leaves_what_was_built_on_the_failure() {
    let home = Home::new().dag("d", BRANCHES);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d");
    home.write("good", "").remove("ran");
    home.run("clear d 2024-01-01 --only-failed").code(2).stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: these tasks start again as if they had never run
task        state
orders      failed
order_tags  upstream_failed

"#]]);
    home.run("clear d 2024-01-01 --failed --json -y").success().stdout_eq(str![[r#"
[
  {
    "dag_id": "d",
    "run_id": "backfill__2024-01-01T00:00:00+00:00",
    "tasks": [
      "orders",
      "order_tags",
      "merge",
      "audience"
    ],
    "changed": []
  }
]

"#]]);
}

#[test]
fn a_backfill_repairs_good_runs_in_which_a_task_failed() {
    let home = Home::new().dag("d", BRANCHES);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d");
    home.write("good", "");
    home.run("backfill -s 2024-01-02 -e 2024-01-02 d").success();
    home.remove("ran");
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --rerun failed --dry-run").success().stdout_eq(str![[r#"
2024-01-01 00:00 +00:00  success; would run again: orders order_tags merge audience
2024-01-02 00:00 +00:00  success; left alone

1 run of 5 tasks: orders order_tags visit_tags merge audience

"#]]);
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --rerun only-failed --dry-run").success().stdout_eq(str![[r#"
2024-01-01 00:00 +00:00  success; would run again: orders order_tags
2024-01-02 00:00 +00:00  success; left alone

1 run of 5 tasks: orders order_tags visit_tags merge audience

"#]]);
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --rerun failed").success();
    let mut ran = home.lines("ran");
    ran.sort();
    assert_eq!(ran, ["audience", "merge", "order_tags", "orders"]);
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --rerun failed").success().stdout_eq(str![[r#"
nothing to do: all 2 runs of d ended before

"#]]);
}

#[test]
fn a_run_that_took_too_long_is_repaired_from_where_it_was_cut_off() {
    let home = Home::new().dag("d", "run_timeout = '1s'\n[tasks.a]\nshell = 'echo a >> ran'\n[tasks.b]\nafter = 'a'\nshell = 'echo b >> ran; test -e good || sleep 100'\n[tasks.c]\nafter = 'b'\nshell = 'echo c >> ran'\n");
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").code(1);
    home.write("good", "");
    home.run("clear d 2024-01-01 --failed").code(2).stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: these tasks start again as if they had never run
task  state    because
b     skipped  the run ended before it
c     skipped  the run ended before it

"#]]);
}

#[test]
fn what_should_be_repaired_and_is_no_longer_in_the_file_is_named() {
    let home = Home::new().dag("d", BRANCHES);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d");
    home.write("dags/d.toml", BRANCHES.replace("tasks.orders", "tasks.sales").replace("'orders'", "'sales'"));
    home.run("clear d 2024-01-01 --failed").code(2).stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: these tasks start again as if they had never run
task        state            because
order_tags  upstream_failed
merge       success          was built on orders
audience    success          was built on orders
left out, since the DAG no longer has it: orders
they now wait for what this run does not have: sales
with it: crondag clear d backfill__2024-01-01T00:00:00+00:00 --task sales

"#]]);
}

#[test]
fn marking_a_run_in_which_every_task_has_ended_says_that_none_is_marked() {
    let home = Home::new().dag("d", "[tasks.a]\nshell = 'true'\n").has_ticked();
    home.run("trigger d --date 2024-01-01 --wait").success();
    home.run("mark d 2024-01-01 failed").success().stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: every task has ended, so none is marked; --task names one all the same
next: crondag tasks d manual__2024-01-01T00:00:00+00:00__[..]

"#]]);
    assert_eq!(home.json("mark d 2024-01-01 failed --json")[0]["tasks"], serde_json::json!([]));
}

#[test]
fn a_stop_says_what_still_lives_and_waits_for_it_where_it_is_told_to() {
    let dag = "[tasks.deaf]\nkill_grace = '1h'\nshell = \"trap '' TERM; touch up; until test -e free; do sleep 0.05; done\"\n";
    let home = Home::new().dag("d", dag).has_ticked();
    home.run("trigger d --date 2024-01-01").success();
    until("the task is there", || home.has("up"));
    home.run("stop d -y").success().stdout_eq(str![[r#"
d: running tasks are stopped, the others skipped, the run fails
logical date             state    run id
2024-01-01 00:00 +00:00  running  manual__2024-01-01T00:00:00+00:00__[..]
the driver ends them; their processes have kill_grace to end by themselves, then they are killed
to wait for that: crondag stop d --wait
next: crondag runs d

"#]]);
    until("the run has failed", || home.runs("d") == ["2024-01-01 failed manual"]);
    home.run("tasks d").success().stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: failed in [..] (stopped by [..])
manual__2024-01-01T00:00:00+00:00__[..]
task  state   try  started[..]duration  reason
deaf  failed  1/1  [..]  stopped by [..]; try 1 is still ending

next: crondag logs d deaf manual__2024-01-01T00:00:00+00:00__[..]

"#]]);
    home.run("status").success().stdout_eq(str![[r#"
driver    running (pid [..])
ending    d 2024-01-01 00:00 +00:00 deaf: the processes of try 1 were told to end and still live
          next: crondag logs d deaf manual__2024-01-01T00:00:00+00:00__[..] -f

1 run failed within the last 24 hours
dag  logical date             ended[..]reason
d    2024-01-01 00:00 +00:00  [..] ago  stopped by [..]
next: crondag tasks d manual__2024-01-01T00:00:00+00:00__[..]

zone: UTC (crondag.toml)

"#]]);
    home.run("stop d -y").success().stdout_eq(str![[r#"
d: nothing to stop, no such run is queued or running
ending: deaf (try 1)
next: crondag runs d

"#]]);
    home.run("stop d 2024-01-01").code(0).stdout_eq(
        "d: nothing to stop, no such run is queued or running\nending: deaf (try 1)\nnext: crondag runs d\n",
    );
    let waiting = home.start("stop d --wait -y");
    home.write("free", "");
    assert!(waiting.wait_with_output().unwrap().status.success());
    assert_eq!(home.json("tasks d --json")[0]["ending_try"], json!(null));
    home.run("stop d --wait").success().stdout_eq(str![[r#"
d: nothing to stop, no such run is queued or running
next: crondag runs d

"#]]);
}

#[test]
fn a_stop_now_kills_what_runs_and_what_was_told_to_end_before() {
    let deaf = "kill_grace = '1h'\nshell = \"trap '' TERM; (trap '' TERM; sleep 600) & touch up; wait; sleep 600\"\n";
    let home = Home::new()
        .dag("d", format!("[tasks.deaf]\n{deaf}[tasks.next]\nafter = 'deaf'\nshell = 'true'\n"))
        .has_ticked();
    let begins = |date: &str| {
        home.run(&format!("trigger d --date {date}")).success();
        until("the task is there", || home.has("up"));
        home.remove("up");
    };
    begins("2024-01-01");
    home.run("stop d --now --wait")
        .code(2)
        .stdout_eq(str![[r#"
d: running tasks are stopped, the others skipped, the run fails
logical date             state    run id
2024-01-01 00:00 +00:00  running  manual__2024-01-01T00:00:00+00:00__[..]

"#]])
        .stderr_eq(str![[r#"
error: nothing was done: "Stop this run?" must be answered, and there is no terminal to ask on
next: the same again with -y, which means yes

"#]]);
    home.run("stop d --now --wait -y").success();
    assert_eq!(home.runs("d"), ["2024-01-01 failed manual"]);
    let tasks = home.json("tasks d --json");
    assert_eq!((&tasks[0]["state"], &tasks[0]["ending_try"]), (&json!("failed"), &json!(null)));

    begins("2024-01-02");
    home.run("stop d -y").success();
    until("it is told to end", || home.json("tasks d 2024-01-02 --json")[0]["ending_try"] == 1);
    home.run("stop d 2024-01-02 --now --wait -y").success().stdout_eq(str![[r#"
d: killed at once: deaf (try 1)
next: crondag runs d

"#]]);
    assert_eq!(home.json("tasks d 2024-01-02 --json")[0]["ending_try"], json!(null));
    home.is_sound();
}

#[test]
fn a_param_stays_with_its_run_until_it_is_taken_away() {
    let dag = "[params]\nlimit = 5\n[tasks.a]\nshell = 'echo {{ params.limit }} >> ran'\n";
    let home = Home::new().dag("d", dag);
    home.run("trigger d --date 2024-01-01 --param limit=7 --wait").success();
    assert_eq!(home.json("runs --json")[0]["params"], json!({ "limit": 7 }));
    home.run("clear d 2024-01-01 -y").success();
    until("it has run again", || home.lines("ran").len() == 2 && home.state("d", "a").0 == "success");
    home.run("clear d 2024-01-01 --param limit=9").code(2).stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: these tasks start again as if they had never run
task  state
a     success
params: limit=9

"#]]);
    home.run("clear d 2024-01-01 --param limit=9 -y").success();
    until("it has run again", || home.lines("ran").len() == 3 && home.state("d", "a").0 == "success");
    home.run("clear d 2024-01-01 --param limit=nine -y").code(2).stderr_eq(str![[r#"
error: the param `limit` wants a number, not `nine`
next: its default is 5

"#]]);
    let line = home.run("render d a --run 2024-01-01 --argv").success().out();
    assert!(
        line.contains(" CRONDAG_PARAM_LIMIT=9 ")
            && line.ends_with(
                "'echo 9 >> ran'
"
            ),
        "{line}"
    );
    home.run("clear d 2024-01-01 --reset-params -y").success();
    until("it has run again", || home.lines("ran").len() == 4);
    assert_eq!(home.lines("ran"), ["7", "7", "9", "5"]);
    until("it is over", || home.runs("d") == ["2024-01-01 success manual"]);
    home.run("tasks d").success().stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: success in [..]
manual__2024-01-01T00:00:00+00:00__[..]
taken up again; first it started [..] and took [..]
task  state    try  started[..]duration
a     success  4/4  [..]

"#]]);
}

#[test]
fn a_run_is_rendered_with_its_version_and_its_line_does_what_the_attempt_did() {
    let dag =
        "[tasks.a]\nenv = { WHAT = \"it's\" }\nshell = 'echo \"$WHAT of {{ ds }}, try $CRONDAG_TRY_NUMBER\"; pwd'\n";
    let home = Home::new().dag("d", dag);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").success();
    home.write("dags/d.toml", "[tasks.a]\nshell = 'echo edited'\n");
    let line = home.run("render d a --run 2024-01-01 --argv").success().out();
    let output = std::process::Command::new("sh").args(["-c", &line]).current_dir("/").output().unwrap();
    let expected = format!("it's of 2024-01-01, try 2\n{}\n", home.path().canonicalize().unwrap().display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{line}");
    let edited = home.run("render d a 2024-01-01 --argv").success().out();
    assert!(edited.ends_with("'echo edited'\n"), "{edited}");
    home.run("render d a").code(2);
    home.run("render d a --run 2023-01-01").code(2);
}

#[test]
fn a_backfill_in_which_nothing_moves_says_what_it_waits_for_and_what_to_type() {
    let home = Home::new()
        .dag("d", "[tasks.a]\nwait = { file = '{{ params.home }}/x', every = '200ms' }\n[params]\nhome = ''\n");
    let here = format!("home={}", home.path().display());
    let mut command = home.command(&["backfill", "-s", "2024-01-01", "-e", "2024-01-02", "d", "--param", &here]);
    let mut backfill = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(backfill.stderr.take().unwrap()).lines().map(Result::unwrap);
    let said: Vec<String> = lines.by_ref().skip_while(|line| !line.starts_with("nothing moves: ")).take(2).collect();
    let said = said.join(" ");
    assert!(said.contains("d 2024-01-01 00:00 +00:00 a: waits since "), "{said}");
    assert!(
        said.contains("to go on without it: crondag mark d backfill__2024-01-01T00:00:00+00:00 success --task a"),
        "{said}"
    );
    home.write("x", "");
    assert!(backfill.wait().unwrap().success());
}

#[test]
fn after_a_check_that_failed_a_backfill_and_a_trigger_name_its_diagnosis() {
    let check = "schedule = '@daily'\n[tasks.load]\nshell = 'true'\n[tasks.counts]\nafter = 'load'\n[tasks.counts.check]\n\
                 command = \"printf 'users\\n5\\n'\"\n[tasks.counts.check.rules.size]\nmin = 10\n";
    let home = Home::new().dag("d", check);
    let said = home.run("backfill -s 2024-01-01 -e 2024-01-01 d").code(1).out();
    assert!(said.contains("then: crondag diagnose d counts backfill__2024-01-01T00:00:00+00:00"), "{said}");
    let said = home.run("trigger d --date 2024-01-02 --wait").code(1).err();
    assert!(said.contains("next: crondag diagnose d counts manual__2024-01-02"), "{said}");
    home.write(
        "dags/d.toml",
        format!("{check}[tasks.last]\nafter = 'counts'\ntrigger_rule = 'all_done'\nshell = 'true'\n"),
    );
    let said = home.run("trigger d --date 2024-01-03 --wait").code(1).out();
    assert!(said.contains("then: crondag diagnose d counts manual__2024-01-03"), "{said}");
}

#[test]
fn a_backfill_follows_its_runs_when_another_one_takes_them_up() {
    let home = Home::new().dag(
        "d",
        "schedule = '@daily'\n[tasks.a]\nshell = 'echo >> begun; until test -e go; do sleep 0.1; done; exit 1'\n",
    );
    let range = "backfill -s 2024-01-01 -e 2024-01-02 d";
    let mut first = home.command(range).stderr(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    until("its tasks run", || home.so_far("begun").lines().count() == 2);
    let second = home.command(range).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let of_second = "SELECT count(*) FROM runs WHERE backfill_id = 2";
    let database = rusqlite::Connection::open(home.file(".crondag/crondag.db")).unwrap();
    until("the second has taken up the runs", || database.query_row(of_second, [], |row| row.get(0)) == Ok(2));
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(first.try_wait().unwrap().is_none(), "its runs have not ended");
    home.write("go", "");
    let first = first.wait_with_output().unwrap();
    let said = String::from_utf8(first.stdout).unwrap();
    assert!(said.starts_with("d: 0 runs succeeded, 2 failed"), "{said}");
    assert_eq!((first.status.code(), second.wait_with_output().unwrap().status.code()), (Some(1), Some(1)));
}

#[test]
fn what_waits_for_a_new_task_runs_again_where_downstream_is_asked_for() {
    let shell = |task: &str, after: &str| {
        format!("[tasks.{task}]\nafter = [{after}]\nshell = 'echo {task} {{{{ ds }}}} >> ran'\n")
    };
    let home = Home::new().dag("d", shell("a", "") + &shell("b", "'a'") + &shell("c", ""));
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").success();
    home.remove("ran");
    home.write("dags/d.toml", shell("a", "") + &shell("new", "") + &shell("b", "'a', 'new'") + &shell("c", ""));
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --only new --downstream --dry-run").success().stdout_eq(str![[
        r#"
2024-01-01 00:00 +00:00  success; would run again: b, and get new
2024-01-02 00:00 +00:00  would run

2 runs of 2 tasks: new b

"#
    ]]);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d --only new --downstream").success();
    assert_eq!(home.lines("ran"), ["new 2024-01-01", "b 2024-01-01"]);
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d --only new --downstream").success().stdout_eq(str![[r#"
nothing to do: all 1 run of d ended before

"#]]);
}

#[test]
fn a_repair_of_a_range_names_what_is_no_longer_in_the_file() {
    let home = Home::new().dag("d", BRANCHES);
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d").code(1);
    home.write("good", "");
    home.write("dags/d.toml", BRANCHES.replace("tasks.orders", "tasks.sales").replace("'orders'", "'sales'"));
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --rerun failed --dry-run").success().stdout_eq(str![[r#"
2024-01-01 00:00 +00:00  success; would run again: order_tags merge audience
2024-01-02 00:00 +00:00  success; would run again: order_tags merge audience
left out in 2 runs, since the DAG no longer has it: orders
tasks of the repair now wait for what these runs do not have: sales
with it, for each: crondag clear d backfill__2024-01-01T00:00:00+00:00 --task sales

2 runs of 5 tasks: sales order_tags visit_tags merge audience

"#]]);
    let said = home.run("backfill -s 2024-01-01 -e 2024-01-01 d --rerun failed").code(1).err();
    assert!(said.contains("left out in 1 run, since the DAG no longer has it: orders\n"), "{said}");
}
