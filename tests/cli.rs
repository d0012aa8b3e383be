//! What each command prints, as whole outputs. Nothing here needs a driver: rows are made through the store.

#![allow(clippy::unwrap_used)]
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use std::os::unix::fs::PermissionsExt;

use common::Home;
use crondag::dag::{DagId, RunNumber, RunState, RunType, TaskId, TaskState, Transition};
use crondag::store::{LeftProcesses, NewAttempt, NewRun};
use jiff::{SignedDuration, Timestamp};
use snapbox::str;

const CONFIG: &str = "timezone = \"Asia/Shanghai\"\n\n[pools]\nyarn = 1\n";

const PROFILE: &str = r#"
description = "Daily user-profile tags"
owner       = "data"
tags        = ["profile", "daily"]
schedule    = "0 7 * * *"
start_date  = 2018-07-01
order       = ["check >> [activity, value] >> merge >> mail"]

[params]
limit = 10
city  = "all"

[tasks.check]
shell   = "echo check {{ ds_nodash }}"
retries = 2

[tasks.activity]
shell = "echo activity {{ ds }} {{ params.limit }} {{ params.city }}"
pool  = "yarn"

[tasks.value]
shell = "exit 3"
pool  = "yarn"

[tasks.merge]
shell        = "exit 99"
trigger_rule = "all_done"

[tasks.mail]
shell   = "sleep 60"
timeout = "1s"
"#;

impl Home {
    fn empty() -> Home {
        Home::new().with("crondag.toml", CONFIG)
    }

    fn with_profile() -> Home {
        Home::empty().dag("userprofile", PROFILE)
    }

    /// A run of `userprofile` for a day, begun an hour after its fire time, in which each task has come to a state.
    fn profile_run(&self, day: &str, states: &[(&str, TaskState, Option<&str>)], end: Option<RunState>) -> RunNumber {
        let mut store = self.store();
        let start: Timestamp = format!("{day}T07:00:00+08:00").parse().unwrap();
        let hours = |hours: i64| start + SignedDuration::from_hours(hours);
        let dag_id = DagId::new("userprofile").unwrap();
        let new = NewRun {
            dag_id: dag_id.clone(),
            run_id: format!("scheduled__{day}T07:00:00+08:00"),
            run_type: RunType::Scheduled,
            logical_date: start,
            data_interval_end: hours(24),
            params: [].into(),
            selection: None,
            backfill_id: None,
        };
        let write = store.write().unwrap();
        let run = write.create_run(&new, hours(24)).unwrap().unwrap();
        if states.is_empty() {
            write.commit().unwrap();
            return run;
        }
        let version = write.keep_version(&dag_id, PROFILE, hours(24)).unwrap();
        let tasks = states.iter().map(|(task, _, _)| (id(task), if *task == "check" { 3 } else { 1 })).collect();
        write.apply(&Transition::RunStarted { run, version, tasks }, hours(25)).unwrap();
        for (nth, (task, state, reason)) in states.iter().enumerate() {
            let task = id(task);
            let began = hours(25) + SignedDuration::from_mins(i64::try_from(nth).unwrap());
            let ended = began + SignedDuration::from_millis(12_345);
            if !matches!(state, TaskState::None | TaskState::UpstreamFailed) {
                let token = format!("token-{}-{task}", run.0);
                let log_file = format!(".crondag/logs/{day}-{task}.log");
                std::fs::write(self.path().join(&log_file), format!("log of {task}\n")).unwrap();
                let attempt = NewAttempt {
                    run,
                    task: &task,
                    try_number: 1,
                    token: &token,
                    log_file: &log_file,
                    ready_at: began,
                    host: "h",
                };
                write.begin_attempt(&attempt, began).unwrap();
                let started = Transition::TaskStarted { run, task: task.clone(), try_number: 1 };
                write.apply(&started, began).unwrap();
            }
            if state.is_final() {
                let reason = reason.map(str::to_owned);
                if *state != TaskState::UpstreamFailed {
                    write
                        .end_attempt(
                            (run, &task, 1),
                            r#"{"how":"exited","code":0}"#,
                            None,
                            LeftProcesses::default(),
                            None,
                            ended,
                        )
                        .unwrap();
                }
                write
                    .apply(
                        &Transition::TaskEnded { run, task, state: *state, reason, awaited: None, cut_off: false },
                        ended,
                    )
                    .unwrap();
            }
        }
        if let Some(state) = end {
            let reason = (state == RunState::Failed).then(|| "mail is upstream_failed".to_owned());
            write.apply(&Transition::RunEnded { run, state, reason }, hours(26)).unwrap();
        }
        write.commit().unwrap();
        run
    }

    fn with_history() -> Home {
        use TaskState::{Failed, Skipped, Success, UpstreamFailed};
        let home = Home::with_profile();
        home.profile_run(
            "2018-07-01",
            &[
                ("check", Success, None),
                ("activity", Success, None),
                ("value", Success, None),
                ("merge", Success, None),
                ("mail", Success, None),
            ],
            Some(RunState::Success),
        );
        home.profile_run(
            "2018-07-02",
            &[
                ("check", Success, None),
                ("activity", Skipped, Some("exit status 99")),
                ("value", Success, None),
                ("merge", Failed, Some("exit status 1")),
                ("mail", UpstreamFailed, Some("merge failed")),
            ],
            Some(RunState::Failed),
        );
        home
    }
}

fn id(task: &str) -> TaskId {
    TaskId::new(task).unwrap()
}

// ---- DAGs ---------------------------------------------------------------------------------------------------------

#[test]
fn init_makes_a_home_and_says_what_to_do_next() {
    let home = Home::bare();
    home.run("init etl").success().stderr_eq("").stdout_eq(str![[r#"
made a home in [HOME]/etl
  dags/hello.toml
  .gitignore
  crondag.toml
  jobs/

next:
  cd [HOME]/etl
  crondag validate
  crondag test hello greet 20180701                 one task, here and now
  crondag backfill -s 20180701 -e 20180703 hello    three runs, with history and logs
and, to have it scheduled, this line in your crontab (`crontab -e`):
  * * * * * [BIN] --home [HOME]/etl tick

"#]]);
    assert!(home.path().join("etl/jobs").is_dir());
    home.run("--home etl list_tasks hello --tree").success().stdout_eq(str![[r#"
fetch
└─ count
   └─ greet

"#]]);
    home.run("init etl").code(2).stdout_eq("").stderr_eq(str![[r#"
error: [HOME]/etl is a home already: it has a crondag.toml
next: crondag --home [HOME]/etl list_dags

"#]]);
}

#[test]
fn list_dags_shows_schedules_and_faulty_files() {
    let home = Home::with_profile()
        .dag("byhand", "[tasks.a]\nshell = \"true\"\n")
        .dag("over", "schedule = \"@daily\"\nend_date = 2018-07-01\n[tasks.a]\nshell = \"true\"\n")
        .dag("broken", "[tasks.a]\n");
    home.run("list_dags").success().stderr_eq("").stdout_eq(str![[r#"
dag          schedule   next start               last run  owner  tags
broken       1 fault    faulty                   -
byhand       -          -                        -
over         @daily     -                        -
userprofile  0 7 * * *  [..] 07:00 +08:00  -         data   profile, daily

next: crondag validate

"#]]);
    home.run("list-dags --tag profile --json").success().stdout_eq(str![[r#"
[
  {
    "dag_id": "userprofile",
    "description": "Daily user-profile tags",
    "owner": "data",
    "tags": [
      "profile",
      "daily"
    ],
    "schedule": "0 7 * * *",
    "timezone": "Asia/Shanghai",
    "is_paused": false,
    "next_fire_time": "[..]",
    "last_run_state": null,
    "last_run_logical_date": null,
    "last_run_failed_tasks": null,
    "last_run_upstream_failed_tasks": null,
    "fault": null,
    "faults": 0
  }
]

"#]]);
}

#[test]
fn list_dags_of_an_empty_home_says_so() {
    Home::empty().run("list_dags").success().stdout_eq(str![[r#"
no DAG files in [HOME]/dags
next: write one, then `crondag validate`

"#]]);
}

#[test]
fn list_tasks_lists_in_the_order_of_dependence() {
    let home = Home::with_profile();
    home.run("list_tasks userprofile").success().stderr_eq("").stdout_eq(str![[r#"
check
activity
value
merge
mail

"#]]);
    home.run("list-tasks userprofile --tree").success().stdout_eq(str![[r#"
check
├─ activity
│  └─ merge
│     └─ mail
└─ value
   └─ merge ...

"#]]);
}

#[test]
fn list_tasks_gives_json() {
    let home = Home::empty().dag("two", "[tasks.b]\nshell = \"true\"\nafter = [\"a\"]\n[tasks.a]\nshell = \"true\"\n");
    home.run("list_tasks two --json").success().stdout_eq(str![[r#"
[
  {
    "task_id": "a",
    "description": null,
    "action": "shell",
    "trigger_rule": "all_success",
    "upstream": [],
    "downstream": [
      "b"
    ],
    "retries": 0,
    "pool": null
  },
  {
    "task_id": "b",
    "description": null,
    "action": "shell",
    "trigger_rule": "all_success",
    "upstream": [
      "a"
    ],
    "downstream": [],
    "retries": 0,
    "pool": null
  }
]

"#]]);
}

#[test]
fn show_draws_text_dot_and_mermaid() {
    let home = Home::with_profile();
    home.run("show userprofile").success().stderr_eq("").stdout_eq(str![[r#"
userprofile  0 7 * * * (Asia/Shanghai)
Daily user-profile tags

layer   task      runs   waits for
   1 ─  check     shell  nothing
   2 ┌  activity  shell  check
     └  value     shell  check
   3 ─  merge     shell  activity, value (all_done)
   4 ─  mail      shell  merge

"#]]);
    home.run("show userprofile --format dot").success().stdout_eq(str![[r#"
digraph "userprofile" {
  rankdir=LR;
  node [shape=box, style="rounded,filled", fillcolor=white, fontname="sans-serif"];
  "check";
  "activity";
  "value";
  "merge" [label="merge/nall_done"];
  "mail";
  "check" -> "activity";
  "check" -> "value";
  "activity" -> "merge";
  "value" -> "merge";
  "merge" -> "mail";
}

"#]]);
    home.run("show userprofile --format mermaid").success().stdout_eq(str![[r#"
flowchart LR
  t0["check"]
  t1["activity"]
  t2["value"]
  t3["merge<br/><i>all_done</i>"]
  t4["mail"]
  t0 --> t1
  t0 --> t2
  t1 --> t3
  t2 --> t3
  t3 --> t4

"#]]);
}

#[test]
fn show_with_a_date_adds_the_states() {
    let home = Home::with_history();
    home.run("show userprofile 20180702").success().stderr_eq("").stdout_eq(str![[r#"
userprofile  0 7 * * * (Asia/Shanghai)
Daily user-profile tags
2018-07-02 07:00 +08:00: failed

layer   task      runs   state            waits for
   1 ─  check     shell  success          nothing
   2 ┌  activity  shell  skipped          check
     └  value     shell  success          check
   3 ─  merge     shell  failed           activity, value (all_done)
   4 ─  mail      shell  upstream_failed  merge

"#]]);
}

// ---- schedules ----------------------------------------------------------------------------------------------------

#[test]
fn next_shows_starts_and_data_side_by_side() {
    let home = Home::with_profile();
    home.run("next userprofile -n 2 --after 2018-07-04T12:00").success().stderr_eq("").stdout_eq(str![[r#"
starts at                ds          data of
2018-07-05 07:00 +08:00  2018-07-04  2018-07-04 07:00 +08:00 .. 2018-07-05 07:00 +08:00
2018-07-06 07:00 +08:00  2018-07-05  2018-07-05 07:00 +08:00 .. 2018-07-06 07:00 +08:00
zone: Asia/Shanghai (crondag.toml)

"#]]);
    home.run("next userprofile -n 1 --after 20180704 --json").success().stdout_eq(str![[r#"
[
  {
    "fire_time": "2018-07-04T07:00:00+08:00",
    "logical_date": "2018-07-03T07:00:00+08:00",
    "data_interval_start": "2018-07-03T07:00:00+08:00",
    "data_interval_end": "2018-07-04T07:00:00+08:00"
  }
]

"#]]);
}

#[test]
fn next_begins_with_start_date() {
    Home::with_profile().run("next userprofile -n 1 --after 2010-01-01").success().stdout_eq(str![[r#"
starts at                ds          data of
2018-07-02 07:00 +08:00  2018-07-01  2018-07-01 07:00 +08:00 .. 2018-07-02 07:00 +08:00
zone: Asia/Shanghai (crondag.toml)

"#]]);
}

const NEW_YORK: &str = "timezone = \"America/New_York\"\n[tasks.a]\nshell = \"true\"\n";

#[test]
fn next_notes_a_time_that_a_clock_change_skips() {
    let home = Home::empty().dag("spring", format!("schedule = \"30 2 * * *\"\n{NEW_YORK}"));
    home.run("next spring -n 3 --after 2026-03-07").success().stderr_eq("").stdout_eq(str![[r#"
starts at                ds          data of
2026-03-07 02:30 -05:00  2026-03-06  2026-03-06 02:30 -05:00 .. 2026-03-07 02:30 -05:00
2026-03-08 03:30 -04:00  2026-03-07  2026-03-07 02:30 -05:00 .. 2026-03-08 03:30 -04:00
2026-03-09 02:30 -04:00  2026-03-08  2026-03-08 03:30 -04:00 .. 2026-03-09 02:30 -04:00

note: on 2026-03-08 the clocks go forward from 02:00 to 03:00; there is no 02:30 that day, it starts
      at 03:30
zone: America/New_York

"#]]);
}

#[test]
fn next_notes_a_time_that_a_clock_change_repeats() {
    let home = Home::empty().dag("autumn", format!("schedule = \"30 1 * * *\"\n{NEW_YORK}"));
    home.run("next autumn -n 3 --after 2026-10-31").success().stderr_eq("").stdout_eq(str![[r#"
starts at                ds          data of
2026-10-31 01:30 -04:00  2026-10-30  2026-10-30 01:30 -04:00 .. 2026-10-31 01:30 -04:00
2026-11-01 01:30 -04:00  2026-10-31  2026-10-31 01:30 -04:00 .. 2026-11-01 01:30 -04:00
2026-11-02 01:30 -05:00  2026-11-01  2026-11-01 01:30 -04:00 .. 2026-11-02 01:30 -05:00

note: on 2026-11-01 the clocks go back from 02:00 to 01:00; 01:30 comes twice, it starts at the
      first
zone: America/New_York

"#]]);
}

#[test]
fn next_notes_that_wildcard_schedules_follow_elapsed_time() {
    let home = Home::empty().dag("half", format!("schedule = \"*/30 * * * *\"\n{NEW_YORK}"));
    home.run("next half -n 5 --after 2026-11-01T00:45").success().stderr_eq("").stdout_eq(str![[r#"
starts at                ds          data of
2026-11-01 01:00 -04:00  2026-11-01  2026-11-01 00:30 -04:00 .. 2026-11-01 01:00 -04:00
2026-11-01 01:30 -04:00  2026-11-01  2026-11-01 01:00 -04:00 .. 2026-11-01 01:30 -04:00
2026-11-01 01:00 -05:00  2026-11-01  2026-11-01 01:30 -04:00 .. 2026-11-01 01:00 -05:00
2026-11-01 01:30 -05:00  2026-11-01  2026-11-01 01:00 -05:00 .. 2026-11-01 01:30 -05:00
2026-11-01 02:00 -05:00  2026-11-01  2026-11-01 01:30 -05:00 .. 2026-11-01 02:00 -05:00

note: on 2026-11-01 the clocks go back from 02:00 to 01:00; the schedule follows elapsed time
zone: America/New_York

"#]]);
}

#[test]
fn next_of_a_dag_without_schedule_says_how_to_run_it() {
    let home = Home::empty().dag("byhand", "[tasks.a]\nshell = \"true\"\n");
    home.run("next byhand").success().stdout_eq(str![[r#"
byhand has no schedule: it runs when it is triggered or backfilled
next: crondag trigger byhand

"#]]);
    home.run("next byhand --json").success().stdout_eq("[]\n");
}

#[test]
fn pause_works_before_the_first_tick_and_unpause_says_when_it_starts() {
    let home = Home::empty().dag("byhand", "[tasks.a]\nshell = \"true\"\n");
    home.run("pause byhand").success().stderr_eq("").stdout_eq(str![[r#"
byhand is paused: no new scheduled runs; runs that have begun go on
next: crondag unpause byhand

"#]]);
    home.run("pause byhand").success().stdout_eq("byhand is paused already\n");
    let row = home.store().dag(&DagId::new("byhand").unwrap()).unwrap().unwrap();
    assert!(row.is_paused && row.file_stamp.is_empty());
    home.run("unpause byhand").success().stdout_eq(str![[r#"
byhand is scheduled again: it has no fire time ahead

"#]]);
    home.run("unpause byhand").success().stdout_eq("byhand is not paused\n");
}

// ---- one task, here and now ---------------------------------------------------------------------------------------

#[test]
fn render_shows_exactly_what_would_run_with_secrets_masked() {
    let home = Home::with_profile();
    std::fs::write(home.path().join("crondag.toml"), "timezone = \"Asia/Shanghai\"\nenv_file = \".env\"\n[env]\nHOME = \"/h\"\nUSER = \"u\"\nLOGNAME = \"u\"\nSHELL = \"/bin/sh\"\n[pools]\nyarn = 1\n").unwrap();
    std::fs::write(home.path().join(".env"), "TOKEN=hunter22\n").unwrap();
    std::fs::set_permissions(home.path().join(".env"), std::fs::Permissions::from_mode(0o600)).unwrap();
    home.run("render userprofile activity 20180701 --param city=hunter22").success().stderr_eq("").stdout_eq(str![[
        r#"
userprofile activity (shell) for 2018-07-01 07:00 +08:00
directory
  [HOME]
command
  /bin/bash
  -c
  echo activity 2018-07-01 10 ***
environment
  CRONDAG_DAG_ID=userprofile
  CRONDAG_DATA_INTERVAL_END=2018-07-02T07:00:00+08:00
  CRONDAG_DATA_INTERVAL_START=2018-07-01T07:00:00+08:00
  CRONDAG_DS=2018-07-01
  CRONDAG_DS_NODASH=20180701
  CRONDAG_HOME=[HOME]
  CRONDAG_LOGICAL_DATE=2018-07-01T07:00:00+08:00
  CRONDAG_NEXT_DS=2018-07-02
  CRONDAG_NEXT_DS_NODASH=20180702
  CRONDAG_PARAM_CITY=***
  CRONDAG_PARAM_LIMIT=10
  CRONDAG_PREV_DS=2018-06-30
  CRONDAG_PREV_DS_NODASH=20180630
  CRONDAG_RUN_ID=scheduled__2018-07-01T07:00:00+08:00
  CRONDAG_TASK_ID=activity
  CRONDAG_TOMORROW_DS=2018-07-02
  CRONDAG_TOMORROW_DS_NODASH=20180702
  CRONDAG_TRY_NUMBER=1
  CRONDAG_TS=2018-07-01T07:00:00+08:00
  CRONDAG_TS_NODASH=20180701T070000
  CRONDAG_YESTERDAY_DS=2018-06-30
  CRONDAG_YESTERDAY_DS_NODASH=20180630
  HOME=/h
  LANG=C.UTF-8
  LOGNAME=u
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
  SHELL=/bin/sh
  TOKEN=***
  TZ=Asia/Shanghai
  USER=u

"#
    ]]);
    home.run("render userprofile check 20180701 --json").success().stdout_eq(str![[r#"
[
  {
    "dag_id": "userprofile",
    "task_id": "check",
    "logical_date": "2018-07-01T07:00:00+08:00",
    "action": "shell",
    "argv": [
      "/bin/bash",
      "-c",
      "echo check 20180701"
    ],
    "working_dir": "[HOME]",
    "env": {
      "CRONDAG_DAG_ID": "userprofile",
      "CRONDAG_DATA_INTERVAL_END": "2018-07-02T07:00:00+08:00",
      "CRONDAG_DATA_INTERVAL_START": "2018-07-01T07:00:00+08:00",
      "CRONDAG_DS": "2018-07-01",
      "CRONDAG_DS_NODASH": "20180701",
      "CRONDAG_HOME": "[HOME]",
      "CRONDAG_LOGICAL_DATE": "2018-07-01T07:00:00+08:00",
      "CRONDAG_NEXT_DS": "2018-07-02",
      "CRONDAG_NEXT_DS_NODASH": "20180702",
      "CRONDAG_PARAM_CITY": "all",
      "CRONDAG_PARAM_LIMIT": "10",
      "CRONDAG_PREV_DS": "2018-06-30",
      "CRONDAG_PREV_DS_NODASH": "20180630",
      "CRONDAG_RUN_ID": "scheduled__2018-07-01T07:00:00+08:00",
      "CRONDAG_TASK_ID": "check",
      "CRONDAG_TOMORROW_DS": "2018-07-02",
      "CRONDAG_TOMORROW_DS_NODASH": "20180702",
      "CRONDAG_TRY_NUMBER": "1",
      "CRONDAG_TS": "2018-07-01T07:00:00+08:00",
      "CRONDAG_TS_NODASH": "20180701T070000",
      "CRONDAG_YESTERDAY_DS": "2018-06-30",
      "CRONDAG_YESTERDAY_DS_NODASH": "20180630",
      "HOME": "/h",
      "LANG": "C.UTF-8",
      "LOGNAME": "u",
      "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      "SHELL": "/bin/sh",
      "TOKEN": "***",
      "TZ": "Asia/Shanghai",
      "USER": "u"
    },
    "stdin": null
  }
]

"#]]);
}

#[test]
fn test_runs_one_task_in_the_foreground() {
    let home = Home::with_profile();
    home.run("test userprofile activity 20180701 --param limit=3")
        .success()
        .stdout_eq(str![[r#"
activity 2018-07-01 3 all

"#]])
        .stderr_eq(str![[r#"
[crondag] userprofile activity for 2018-07-01 07:00 +08:00: nothing is recorded
[crondag] success in [..]

"#]]);
    home.run("test userprofile value 20180701").code(1).stdout_eq("").stderr_eq(str![[r#"
[crondag] userprofile value for 2018-07-01 07:00 +08:00: nothing is recorded
error: the task failed in [..]: exit status 3
next: crondag render userprofile value 20180701

"#]]);
    home.run("test userprofile merge 20180701").success().stderr_eq(str![[r#"
[crondag] userprofile merge for 2018-07-01 07:00 +08:00: nothing is recorded
[crondag] skipped in [..]: exit status 99 says that there is nothing to do

"#]]);
    assert!(!home.path().join(".crondag").exists(), "test records nothing");
}

#[test]
fn test_ends_the_whole_tree_at_the_timeout() {
    let home = Home::with_profile();
    home.run("test userprofile mail 20180701").code(1).stderr_eq(str![[r#"
[crondag] userprofile mail for 2018-07-01 07:00 +08:00: nothing is recorded
error: the task failed in [..]: timed out (its timeout is 1s)
next: crondag render userprofile mail 20180701

"#]]);
}

#[test]
fn test_of_a_date_without_an_interval_names_the_nearest() {
    let home = Home::empty().dag("weekly", "schedule = \"0 7 * * mon\"\n[tasks.a]\nshell = \"true\"\n");
    home.run("test weekly a 20180704").code(2).stdout_eq("").stderr_eq(str![[r#"
error: no data interval of weekly starts at 20180704 (schedule: 0 7 * * mon, zone Asia/Shanghai)
next: nearest: `2018-07-02` or `2018-07-09`

"#]]);
}

// ---- runs ---------------------------------------------------------------------------------------------------------

#[test]
fn runs_lists_runs_and_points_at_the_failure() {
    let home = Home::with_history();
    home.run("runs").success().stderr_eq("").stdout_eq(str![[r#"
dag          logical date             type       state    started              duration  reason
userprofile  2018-07-01 07:00 +08:00  scheduled  success  2018-07-02 08:00:00        1h
userprofile  2018-07-02 07:00 +08:00  scheduled  failed   2018-07-03 08:00:00        1h  mail is
                                                                                         upstream_failed

next: crondag tasks userprofile scheduled__2018-07-02T07:00:00+08:00

"#]]);
    home.run("runs userprofile --state success --json").success().stdout_eq(str![[r#"
[
  {
    "dag_id": "userprofile",
    "run_id": "scheduled__2018-07-01T07:00:00+08:00",
    "run_type": "scheduled",
    "logical_date": "2018-07-01T07:00:00+08:00",
    "state": "success",
    "queued_at": "2018-07-02T07:00:00+08:00",
    "start_date": "2018-07-02T08:00:00+08:00",
    "end_date": "2018-07-02T09:00:00+08:00",
    "first_start_date": null,
    "first_end_date": null,
    "data_interval_end": "2018-07-02T07:00:00+08:00",
    "failed_tasks": 0,
    "upstream_failed_tasks": 0,
    "reason": null,
    "params": {}
  }
]

"#]]);
}

#[test]
fn runs_of_an_empty_home_says_so() {
    Home::with_profile().run("runs userprofile").success().stdout_eq(str![[r#"
no runs yet
next: crondag next userprofile

"#]]);
}

#[test]
fn tasks_shows_the_newest_run_in_dag_order() {
    let home = Home::with_history();
    home.run("tasks userprofile").success().stderr_eq("").stdout_eq(str![[r#"
userprofile 2018-07-02 07:00 +08:00: failed in 1h (mail is upstream_failed)
scheduled__2018-07-02T07:00:00+08:00
task      state            try  started              duration  reason
check     success          1/3  2018-07-03 08:00:00       12s
activity  skipped          1/1  2018-07-03 08:01:00       12s  exit status 99
value     success          1/1  2018-07-03 08:02:00       12s
merge     failed           1/1  2018-07-03 08:03:00       12s  exit status 1
mail      upstream_failed                                      merge failed

next: crondag logs userprofile merge scheduled__2018-07-02T07:00:00+08:00

"#]]);
}

#[test]
fn tasks_of_a_date_as_json() {
    let home = Home::with_history();
    home.run("tasks userprofile 2018-07-02 --json").success().stderr_eq("").stdout_eq(str![[r#"
[
  {
    "dag_id": "userprofile",
    "run_id": "scheduled__2018-07-02T07:00:00+08:00",
    "task_id": "check",
    "logical_date": "2018-07-02T07:00:00+08:00",
    "state": "success",
    "try_number": 1,
    "start_date": "2018-07-03T08:00:00+08:00",
    "end_date": "2018-07-03T08:00:12.345+08:00",
    "duration": 12.345,
    "reason": null,
    "waits_for": null,
    "max_tries": 3,
    "next_try_at": null,
    "ending_try": null,
    "left_behind": 0,
    "left_running": 0
  },
  {
    "dag_id": "userprofile",
    "run_id": "scheduled__2018-07-02T07:00:00+08:00",
    "task_id": "activity",
    "logical_date": "2018-07-02T07:00:00+08:00",
    "state": "skipped",
    "try_number": 1,
    "start_date": "2018-07-03T08:01:00+08:00",
    "end_date": "2018-07-03T08:01:12.345+08:00",
    "duration": 12.345,
    "reason": "exit status 99",
    "waits_for": null,
    "max_tries": 1,
    "next_try_at": null,
    "ending_try": null,
    "left_behind": 0,
    "left_running": 0
  },
  {
    "dag_id": "userprofile",
    "run_id": "scheduled__2018-07-02T07:00:00+08:00",
    "task_id": "value",
    "logical_date": "2018-07-02T07:00:00+08:00",
    "state": "success",
    "try_number": 1,
    "start_date": "2018-07-03T08:02:00+08:00",
    "end_date": "2018-07-03T08:02:12.345+08:00",
    "duration": 12.345,
    "reason": null,
    "waits_for": null,
    "max_tries": 1,
    "next_try_at": null,
    "ending_try": null,
    "left_behind": 0,
    "left_running": 0
  },
  {
    "dag_id": "userprofile",
    "run_id": "scheduled__2018-07-02T07:00:00+08:00",
    "task_id": "merge",
    "logical_date": "2018-07-02T07:00:00+08:00",
    "state": "failed",
    "try_number": 1,
    "start_date": "2018-07-03T08:03:00+08:00",
    "end_date": "2018-07-03T08:03:12.345+08:00",
    "duration": 12.345,
    "reason": "exit status 1",
    "waits_for": null,
    "max_tries": 1,
    "next_try_at": null,
    "ending_try": null,
    "left_behind": 0,
    "left_running": 0
  },
  {
    "dag_id": "userprofile",
    "run_id": "scheduled__2018-07-02T07:00:00+08:00",
    "task_id": "mail",
    "logical_date": "2018-07-02T07:00:00+08:00",
    "state": "upstream_failed",
    "try_number": 0,
    "start_date": null,
    "end_date": "2018-07-03T08:04:12.345+08:00",
    "duration": null,
    "reason": "merge failed",
    "waits_for": null,
    "max_tries": 1,
    "next_try_at": null,
    "ending_try": null,
    "left_behind": 0,
    "left_running": 0
  }
]

"#]]);
}

#[test]
fn tasks_of_a_queued_run_are_those_it_will_have() {
    let home = Home::with_profile();
    home.profile_run("2018-07-03", &[], None);
    home.run("tasks userprofile scheduled__2018-07-03T07:00:00+08:00").success().stdout_eq(str![[r#"
userprofile 2018-07-03 07:00 +08:00: queued
scheduled__2018-07-03T07:00:00+08:00
task      state
check     -
activity  -
value     -
merge     -
mail      -

"#]]);
}

#[test]
fn logs_prints_the_file_or_lists_the_files() {
    let home = Home::with_history();
    home.run("logs userprofile merge 20180702").success().stderr_eq("").stdout_eq("log of merge\n");
    home.run("logs userprofile merge 20180702 -f").code(1).stderr_eq("").stdout_eq("log of merge\n");
    home.run("logs userprofile").success().stdout_eq(str![[r#"
task      try  started              duration  file
check       1  2018-07-03 08:00:00       12s  .crondag/logs/2018-07-02-check.log
activity    1  2018-07-03 08:01:00       12s  .crondag/logs/2018-07-02-activity.log
value       1  2018-07-03 08:02:00       12s  .crondag/logs/2018-07-02-value.log
merge       1  2018-07-03 08:03:00       12s  .crondag/logs/2018-07-02-merge.log

"#]]);
    home.run("logs userprofile mail").code(2).stdout_eq("").stderr_eq(str![[r#"
error: mail has not started in scheduled__2018-07-02T07:00:00+08:00
next: crondag explain userprofile mail scheduled__2018-07-02T07:00:00+08:00

"#]]);
    home.run("logs userprofile merge --try 2").code(2).stderr_eq(str![[r#"
error: merge has no try 2 in scheduled__2018-07-02T07:00:00+08:00, its newest is 1
next: crondag logs userprofile merge scheduled__2018-07-02T07:00:00+08:00 --try 1

"#]]);
}

#[test]
fn explain_names_the_limit_that_holds_a_task_back() {
    use TaskState::{None, Running, Success};
    let home = Home::with_profile();
    home.profile_run(
        "2018-07-01",
        &[
            ("check", Success, Option::None),
            ("activity", Running, Option::None),
            ("value", None, Option::None),
            ("merge", None, Option::None),
            ("mail", None, Option::None),
        ],
        Option::None,
    );
    home.profile_run("2018-07-02", &[], Option::None);
    home.run("explain userprofile").success().stderr_eq("").stdout_eq(str![[r#"
run: that of 2018-07-01 07:00 +08:00, the oldest of 2 that have not ended
dag: it is 1 run behind its schedule: 1 waits to start; the first was due at 2018-07-03 07:00
  +08:00, [..] ago
run: 2018-07-01 07:00 +08:00 is running for [..]
activity: is running for [..] (try 1 of 1)
  next: crondag logs userprofile activity scheduled__2018-07-01T07:00:00+08:00 -f
value: waits: pool `yarn` has 1 of 1 slots taken, it wants 1; held by userprofile activity
  2018-07-01 07:00 +08:00
  next: raise `yarn` under [pools] in crondag.toml, or wait
merge: waits for activity (running), value (not started); its trigger rule is all_done
mail: waits for merge (not started); its trigger rule is all_success
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    home.run("explain userprofile value").success().stdout_eq(str![[r#"
run: that of 2018-07-01 07:00 +08:00, the oldest of 2 that have not ended
run: 2018-07-01 07:00 +08:00 is running for [..]
value: waits: pool `yarn` has 1 of 1 slots taken, it wants 1; held by userprofile activity
  2018-07-01 07:00 +08:00
  next: raise `yarn` under [pools] in crondag.toml, or wait
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    home.run("explain userprofile 20180702").success().stdout_eq(str![[r#"
run: 2018-07-02 07:00 +08:00 is queued: no tick has read its DAG file yet
  next: crondag tick
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    // A driver that has gone since nothing can go on by itself, but not without recording how an attempt ended.
    let mut store = home.store();
    let last_event = store.last_event().unwrap();
    let write = store.write().unwrap();
    write.set_meta("parked", &last_event.to_string()).unwrap();
    write.commit().unwrap();
    home.run("explain userprofile 20180702").success().stdout_eq(str![[r#"
run: 2018-07-02 07:00 +08:00 is queued: no tick has read its DAG file yet
  next: crondag tick
driver: it is not running, so nothing starts
  next: crondag tick

"#]]);
    let home = home.has_ticked();
    home.run("status").success().stdout_eq(str![[r#"
driver    not running, but there is work for it
          next: crondag tick
behind    userprofile is 1 run behind its schedule: 1 waits to start; the first was due at
          2018-07-03 07:00 +08:00, [..] ago
          next: crondag explain userprofile
running   userprofile 2018-07-01 07:00 +08:00 for [..], 1 of 5 tasks done: activity [..]
queued    1 run: userprofile 2018-07-02 07:00 +08:00: no tick has read its DAG file yet
          next: crondag tick

zone: Asia/Shanghai (crondag.toml)

"#]]);
    home.run("explain userprofile 20180620").success().stdout_eq(str![[r#"
run: it lies before start_date (2018-07-01 00:00 +08:00)
  next: crondag backfill -s 20180620 -e 20180620 userprofile --ignore-bounds

"#]]);
    home.run("explain userprofile 20180710").success().stdout_eq(str![[r#"
run: it was missed, and with catchup off only the latest due interval runs: [..] 07:00 +08:00
  .. [..] 07:00 +08:00
  next: crondag backfill -s 20180710 -e 20180710 userprofile

"#]]);
}

#[test]
fn status_shows_what_needs_a_look() {
    let home = Home::with_history().dag("broken", "[tasks.a]\n");
    home.store();
    let home = home.has_ticked();
    home.run("pause userprofile").success();
    home.run("status").success().stderr_eq("").stdout_eq(str![[r#"
faulty    broken: task `a` has no action
          next: crondag validate
paused    userprofile
          next: crondag unpause userprofile

zone: Asia/Shanghai (crondag.toml)

"#]]);
}

#[test]
fn status_is_one_line_when_all_is_well() {
    let home = Home::with_profile();
    home.store();
    let home = home.has_ticked();
    home.run("status").success().stderr_eq("").stdout_eq(str![[r#"
all is well: 1 DAG, nothing running; next: userprofile at [..] 07:00 +08:00
zone: Asia/Shanghai (crondag.toml)

"#]]);
}

#[test]
fn db_backup_and_check() {
    let home = Home::with_history();
    home.run("db backup copy.db").success().stderr_eq("").stdout_eq(str![[r#"
backed up to copy.db
next: crondag db check copy.db

"#]]);
    home.run("db check copy.db").success().stdout_eq(str![[r#"
copy.db: sound (2 runs, 25 events)

"#]]);
    home.run("db check").success().stdout_eq(str![[r#"
[HOME]/.crondag/crondag.db: sound (2 runs, 25 events)

"#]]);
    home.run("db backup copy.db").code(2).stderr_eq(str![[r#"
error: copy.db exists already
next: name a new file

"#]]);
    std::fs::write(home.path().join("junk.db"), "no database").unwrap();
    home.run("db check junk.db").code(3).stdout_eq("").stderr_eq(str![[r#"
error: the database junk.db is corrupt: file is not a database
next: stop the crontab line, end what has the file open (`fuser -k junk.db`), move junk.db* aside, restore your last `crondag db backup` as junk.db

"#]]);
}

// ---- errors -------------------------------------------------------------------------------------------------------

#[test]
fn without_a_home_the_error_says_how_to_get_one() {
    let home = Home::bare();
    home.run("runs").code(2).stdout_eq("").stderr_eq(str![[r#"
error: no home found: neither --home nor $CRONDAG_HOME is set, and neither [HOME] nor a folder above it has a crondag.toml
next: go to your home, name it with --home, or make one with `crondag init DIRECTORY`

"#]]);
    home.run("runs --home nowhere").code(2).stderr_eq(str![[r#"
error: --home names nowhere, which has no crondag.toml
next: correct the path, or make a home there with `crondag init nowhere`

"#]]);
}

#[test]
fn unknown_names_suggest_the_nearest() {
    let home = Home::with_history();
    home.run("next userprofil").code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no DAG `userprofil` in [HOME]/dags
next: did you mean `userprofile`? `crondag list_dags` shows them all

"#]]);
    home.run("tasks finance").code(2).stderr_eq(str![[r#"
error: there is no DAG `finance` in [HOME]/dags
next: crondag list_dags

"#]]);
    home.run("logs userprofile chek 20180701").code(2).stderr_eq(str![[r#"
error: the DAG userprofile has no task `chek`
next: did you mean `check`? `crondag list_tasks userprofile` shows them all

"#]]);
    home.run("trigger userprofile --param limt=3").code(2).stderr_eq(str![[r#"
error: the DAG userprofile has no param `limt`
next: did you mean `limit`?

"#]]);
    home.run("trigger userprofile --param limit=many").code(2).stderr_eq(str![[r#"
error: the param `limit` wants a number, not `many`
next: its default is 10

"#]]);
    home.run("list_dag").code(2).stdout_eq("").stderr_eq(str![[r#"
error: unrecognized subcommand 'list_dag'

  tip: some similar subcommands exist: 'list-tasks', 'list_tasks', 'list-dags', 'list_dags'

Usage: crondag [OPTIONS] <COMMAND>

For more information, try '--help'.

"#]]);
}

#[test]
fn dates_that_mean_nothing_are_answered_with_those_that_do() {
    let home = Home::with_history().dag("weekly", "schedule = \"0 7 * * mon\"\n[tasks.a]\nshell = \"true\"\n");
    home.run("tasks userprofile 2018-13-01").code(2).stderr_eq(str![[r#"
error: userprofile has no run `2018-13-01`, and that is not a date either
next: crondag runs userprofile; a date is 20180701, 2018-07-01 or 2018-07-01T07:00

"#]]);
    home.run("tasks userprofile 20180705").code(2).stderr_eq(str![[r#"
error: userprofile has no run for 20180705 (its newest is for 2018-07-02 07:00 +08:00)
next: crondag runs userprofile, or make it: crondag backfill -s 20180705 -e 20180705 userprofile

"#]]);
    home.run("trigger weekly --date 20180704").code(2).stderr_eq(str![[r#"
error: no data interval of weekly starts at 20180704 (schedule: 0 7 * * mon, zone Asia/Shanghai)
next: nearest: `2018-07-02` or `2018-07-09`

"#]]);
}
