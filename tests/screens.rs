//! What people read of a home in trouble: nothing is called well where it is not, and nothing that cannot be read is left out.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use common::{Home, until};
use crondag::dag::{DagId, RunType};
use crondag::store::NewRun;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use snapbox::str;

/// A run that ends well because its leaf does not mind what failed before it.
const IN_SPITE: &str = "
schedule = '@daily'
start_date = 2018-07-01
order = ['[gender, age] >> merge']
[tasks.gender]
shell = 'exit 3'
[tasks.age]
shell = 'true'
[tasks.merge]
shell = 'true'
trigger_rule = 'all_done'
";

#[test]
fn two_runs_of_one_date_are_told_apart() {
    let home = Home::new().dag("d", "schedule = '@daily'\n[tasks.a]\nshell = 'true'\n").has_ticked();
    home.run("trigger d --date 2018-07-02 --wait").success();
    for command in ["runs d", "attempts d"] {
        assert!(!home.run(command).success().out().contains("run id"), "where there is one it is not named");
    }
    // The second one's id says another second.
    home.run("backfill -s 2018-07-02 -e 2018-07-02 d").success();
    let ids: Vec<String> =
        home.json("runs d --json").iter().map(|run| run["run_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2);
    assert!(!home.run("runs d").success().out().contains("run id"), "their types differ");
    let attempts = home.run("attempts d").success().out();
    assert!(
        attempts.lines().next().unwrap().ends_with("run id") && ids.iter().all(|id| attempts.contains(id)),
        "{attempts}"
    );
    let said = home.run("explain d").success().out();
    assert!(ids.iter().any(|id| said.contains(&format!("that of 2018-07-02 00:00 +00:00 ({id})"))), "{said}");
    crate::common::until("another second has come", || {
        home.run("trigger d --date 2018-07-02 --wait").status.success() && home.json("runs d --json").len() > 2
    });
    assert!(home.run("runs d").success().out().lines().next().unwrap().ends_with("run id"));
}

#[test]
fn a_triggered_run_in_which_a_task_failed_ends_as_a_backfill_does() {
    let home = Home::new().dag("tags", IN_SPITE).has_ticked();
    home.run("trigger tags --date 2018-07-01 --wait").code(1).stdout_eq(str![[r#"
tags for 2018-07-01 00:00 +00:00
run id: manual__2018-07-01T00:00:00+00:00__[..]
success in [..]: 2 succeeded, 1 failed
next: crondag tasks tags manual__2018-07-01T00:00:00+00:00__[..]
then: crondag clear tags manual__2018-07-01T00:00:00+00:00__[..] --failed

"#]]);
    home.run("trigger tags --date 2018-07-02 --wait --allow-failed-tasks").success();
    home.run("trigger tags --date 2018-07-03 --wait --json").code(1);
    home.run("trigger tags --date 2018-07-04 --allow-failed-tasks").code(2);
}

#[test]
fn a_run_that_succeeded_in_spite_of_failed_tasks_says_so_everywhere() {
    let home = Home::new().dag("tags", IN_SPITE).has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-01 tags").code(1).stdout_eq(str![[r#"
tags: 1 run succeeded (1 task failed in 1 run), 0 failed, in [..]
next: crondag tasks tags backfill__2018-07-01T00:00:00+00:00
then: crondag backfill -s 2018-07-01 -e 2018-07-01 tags --rerun failed

"#]]);
    home.run("backfill -s 2018-07-01 -e 2018-07-01 tags --allow-failed-tasks").success();
    home.run("runs").success().stdout_eq(str![[r#"
dag   logical date             type      state    started              duration  reason
tags  2018-07-01 00:00 +00:00  backfill  success  [..]  1 task failed

next: crondag tasks tags backfill__2018-07-01T00:00:00+00:00

"#]]);
    home.run("list_dags").success().stdout_eq(str![[r#"
dag   schedule  next start               last run
tags  @daily    [..]  success, 1 task failed

"#]]);
    home.run("status").success().stdout_eq(str![[r#"
1 run succeeded within the last 24 hours in spite of failed tasks
dag   logical date             ended[..]reason
tags  2018-07-01 00:00 +00:00  [..] ago[..]1 task failed
next: crondag tasks tags backfill__2018-07-01T00:00:00+00:00

zone: UTC (crondag.toml)

"#]]);
    home.run("tasks tags").success().stdout_eq(str![[r#"
tags 2018-07-01 00:00 +00:00: success in [..], 1 task failed
backfill__2018-07-01T00:00:00+00:00
task    state    try  started              duration  reason
gender  failed   1/1  [..]  exit status 3
age     success  1/1  [..]
merge   success  1/1  [..]

next: crondag logs tags gender backfill__2018-07-01T00:00:00+00:00

"#]]);
    let runs = home.json("runs --json");
    assert_eq!(runs[0]["failed_tasks"], 1);
    let status = home.json("status --json");
    assert_eq!(status[0]["failed_tasks_last_24h"][0]["failed_tasks"], 1);
}

/// What fails blocks two tasks, and the last one looks after that; the second DAG has none that does.
const BLOCKED: &str = "
schedule = '@daily'
start_date = 2018-07-01
order = ['load >> [a, b]']
[tasks.load]
shell = 'exit 3'
[tasks.a]
shell = 'true'
[tasks.b]
shell = 'true'
";

#[test]
fn a_task_that_did_not_run_because_of_another_is_not_counted_as_failed() {
    let home = Home::new()
        .dag("good", format!("{BLOCKED}[tasks.last]\nshell = 'true'\nafter = ['a', 'b']\ntrigger_rule = 'all_done'\n"))
        .dag("bad", BLOCKED)
        .has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-01 bad")
        .code(1)
        .stderr_eq(str![[r#"
[..]  bad 2018-07-01 00:00 +00:00 failed in [..]: 1 failed, 2 upstream_failed (1 of 1 run ended)

"#]])
        .stdout_eq(str![[r#"
bad: 0 runs succeeded, 1 failed, in [..]
next: crondag tasks bad backfill__2018-07-01T00:00:00+00:00
then: crondag backfill -s 2018-07-01 -e 2018-07-01 bad --rerun failed

"#]]);
    home.run("backfill -s 2018-07-01 -e 2018-07-01 good")
        .code(1)
        .stderr_eq(str![[r#"
[..]  good 2018-07-01 00:00 +00:00 success in [..]: 1 succeeded, 1 failed, 2 upstream_failed (1 of 1 run ended)

"#]])
        .stdout_eq(str![[r#"
good: 1 run succeeded (1 task failed in 1 run), 0 failed, in [..]
next: crondag tasks good backfill__2018-07-01T00:00:00+00:00
then: crondag backfill -s 2018-07-01 -e 2018-07-01 good --rerun failed

"#]]);
    home.run("trigger good --date 2018-07-01 --wait -y").code(1).stdout_eq(str![[r#"
good for 2018-07-01 00:00 +00:00
run id: manual__2018-07-01T00:00:00+00:00__[..]
success in [..]: 1 succeeded, 1 failed, 2 upstream_failed
next: crondag tasks good manual__2018-07-01T00:00:00+00:00__[..]
then: crondag clear good manual__2018-07-01T00:00:00+00:00__[..] --failed

"#]]);
    home.run("list_dags").success().stdout_eq(str![[r#"
dag   schedule  next start               last run
bad   @daily    [..]  failed
good  @daily    [..]  success, 1 task failed, 2 not run because of it

"#]]);
    home.run("runs good").success().stdout_eq(str![[r#"
dag   logical date             type      state    started              duration  reason
good  2018-07-01 00:00 +00:00  backfill  success  [..]  1 task failed, 2 not
                                                                                 run because of it
good  2018-07-01 00:00 +00:00  manual    success  [..]  1 task failed, 2 not
                                                                                 run because of it

next: crondag tasks good manual__2018-07-01T00:00:00+00:00__[..]

"#]]);
    home.run("tasks good").success().stdout_eq(str![[r#"
good 2018-07-01 00:00 +00:00: success in [..], 1 task failed, 2 not run because of it
manual__2018-07-01T00:00:00+00:00__[..]
task  state            try  started              duration  reason
load  failed           1/1  [..]  exit status 3
a     upstream_failed                                      trigger rule all_success: load failed
b     upstream_failed                                      trigger rule all_success: load failed
last  success          1/1  [..]

next: crondag logs good load manual__2018-07-01T00:00:00+00:00__[..]

"#]]);
    home.run("explain good").success().stdout_eq(str![[r#"
run: that of 2018-07-01 00:00 +00:00 (manual__2018-07-01T00:00:00+00:00__[..]), the one
  that started last: all have ended
run: 2018-07-01 00:00 +00:00 (manual__2018-07-01T00:00:00+00:00__[..]) has succeeded,
  although 1 task failed, 2 not run because of it
  next: crondag clear good manual__2018-07-01T00:00:00+00:00__[..] --failed
load: has failed (try 1 of 1): exit status 3
  next: crondag logs good load manual__2018-07-01T00:00:00+00:00__[..]
dag: the next run starts at [..]
...

"#]]);
    home.run("status").success().stdout_eq(str![[r#"
1 run failed within the last 24 hours
dag  logical date             ended    reason
bad  2018-07-01 00:00 +00:00  [..] ago  task a could not run: trigger rule all_success: load failed,
                                       and 1 more
next: crondag tasks bad backfill__2018-07-01T00:00:00+00:00

2 runs succeeded within the last 24 hours in spite of failed tasks
dag   logical date             ended    reason
good  2018-07-01 00:00 +00:00  [..] ago  1 task failed, 2 not run because of it
good  2018-07-01 00:00 +00:00  [..] ago  1 task failed, 2 not run because of it
next: crondag tasks good manual__2018-07-01T00:00:00+00:00__[..]

zone: UTC (crondag.toml)

"#]]);
    for answer in [home.json("runs bad --json"), home.json("runs good --json")] {
        assert_eq!((&answer[0]["failed_tasks"], &answer[0]["upstream_failed_tasks"]), (&1.into(), &2.into()));
    }
    let dags = home.json("list_dags --json");
    let of = |nth: usize| (&dags[nth]["last_run_failed_tasks"], &dags[nth]["last_run_upstream_failed_tasks"]);
    assert_eq!([of(0), of(1)], [(&1.into(), &2.into()); 2]);
}

#[test]
fn a_task_that_the_file_no_longer_has_is_removed() {
    let home = Home::new().dag(
        "d",
        "schedule = '@daily'\nstart_date = 2018-07-01\norder = ['old >> last']\n[tasks.old]\nshell = 'exit 1'\n[tasks.last]\nshell = 'true'\n",
    );
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d").code(1);
    let home = home.dag(
        "d",
        "schedule = '@daily'\nstart_date = 2018-07-01\norder = ['new >> last']\n[tasks.new]\nshell = 'true'\n[tasks.last]\nshell = 'true'\n",
    );
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d --rerun all").success();
    home.run("tasks d").success().stdout_eq(str![[r#"
d 2018-07-01 00:00 +00:00: success in [..]
backfill__2018-07-01T00:00:00+00:00
taken up again; first it started [..] and took [..]
task  state    try  started              duration
new   success  1/1  [..]
last  success  1/1  [..]
old   removed  1/2

"#]]);
}

#[test]
fn files_that_cannot_be_read_or_named_are_shown_and_end_nothing() {
    let home = Home::new()
        .dag("good", "schedule = '@daily'\n[tasks.a]\nshell = 'true'\n")
        .dag("latin", b"description = \"caf\xe9\"\n[tasks.a]\nshell = 'true'\n")
        .dag("bad name", "[tasks.a]\nshell = 'true'\n")
        .has_ticked();
    fs::create_dir(home.path().join("dags/folder.toml")).unwrap();
    home.run("list_dags").success().stdout_eq(str![[r#"
dag       schedule  next start               last run
bad name  1 fault   faulty                   -
folder    1 fault   faulty                   -
good      @daily    [..]  -
latin     1 fault   faulty                   -

next: crondag validate

"#]]);
    home.run("status").success().stdout_eq(str![[r#"
faulty    bad name: `bad name` cannot be the id of a DAG
          next: crondag validate
faulty    folder: the file cannot be read: it is a folder, and has to be a file
          next: crondag validate
faulty    latin: the file cannot be read: it is not UTF-8 text: save it as UTF-8
          next: crondag validate

zone: UTC (crondag.toml)

"#]]);
    home.run("next good -n 1").success();
    home.run("next latin").code(2);
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error_of_the_surroundings() {
    if rustix::process::geteuid().is_root() {
        // Root reads every folder; a file in its place cannot be read by anybody.
        let home = Home::new();
        fs::remove_dir(home.path().join("dags")).unwrap();
        fs::write(home.path().join("dags"), "").unwrap();
        home.run("list_dags").code(3);
        return;
    }
    let home = Home::new();
    fs::set_permissions(home.path().join("dags"), fs::Permissions::from_mode(0o000)).unwrap();
    home.run("list_dags").code(3);
}

#[test]
fn what_is_no_template_reaches_bash_byte_for_byte() {
    let script = r#"set -- one two
dirs=(a b c)
printf '%s ' "${#dirs[@]}" "${#}" # {# no comment of a template #}
name='x#'; printf '%s\n' "${name%#}"
"#;
    let home = Home::new().dag("d", format!("schedule = '@daily'\n[tasks.a]\nshell = '''\n{script}'''\n"));
    home.run("test d a 20180701").success().stdout_eq(str![[r#"
3 2 x

"#]]);
    home.run("render d a 20180701").success().stdout_eq(str![[r#"
d a (shell) for 2018-07-01 00:00 +00:00
directory
  [HOME]
command
  /bin/bash
  -c
  set -- one two
  dirs=(a b c)
  printf '%s ' "${#dirs[@]}" "${#}" # {# no comment of a template #}
  name='x#'; printf '%s/n' "${name%#}"
environment
...

"#]]);
}

#[test]
fn a_script_is_as_strict_as_its_options_say() {
    let home = Home::new()
        .dag("d", "schedule = '@daily'\n[defaults]\nshell_options = 'errexit pipefail'\n[tasks.strict]\nshell = 'false | true; echo never'\n[tasks.loose]\nshell_options = ''\nshell = 'false | true; echo reached'\n");
    home.run("test d strict 20180701").code(1).stdout_eq("");
    home.run("test d loose 20180701").success().stdout_eq("reached\n");
    home.run("render d strict 20180701").success().stdout_eq(str![[r#"
d strict (shell) for 2018-07-01 00:00 +00:00
directory
  [HOME]
command
  /bin/bash
  -o
  errexit
  -o
  pipefail
  -c
  false | true; echo never
environment
...

"#]]);
}

#[test]
fn without_a_zone_of_its_own_a_home_has_that_of_the_machine() {
    let home = Home::new().dag("hello", "schedule = '0 7 * * *'\n[tasks.a]\nshell = 'date +%z'\n");
    fs::write(home.path().join("crondag.toml"), "").unwrap();
    let run = |line: &str, zone: &str| home.run_command(home.command(line).env("TZ", zone));
    run("next hello --after 2018-07-01 -n 1", "Asia/Shanghai").success().stdout_eq(str![[r#"
starts at                ds          data of
2018-07-01 07:00 +08:00  2018-06-30  2018-06-30 07:00 +08:00 .. 2018-07-01 07:00 +08:00
zone: Asia/Shanghai (TZ)

"#]]);
    run("test hello a 20180701", "Asia/Shanghai").success().stdout_eq("+0800\n");
    run("show hello", "Asia/Shanghai").success().stdout_eq(str![[r#"
hello  0 7 * * * (Asia/Shanghai)
...
"#]]);
    run("validate", "Asia/Shanghia").success().stdout_eq(str![[r#"
warning[machine-zone]: TZ is `Asia/Shanghia`, which is no zone of the tz database
--> crondag.toml
 = help: name a zone of the tz database: timezone = "Asia/Shanghai"
...
"#]]);
    run("init new", "Europe/Berlin").success();
    let written = fs::read_to_string(home.path().join("new/crondag.toml")).unwrap();
    assert!(written.contains("\ntimezone = \"Europe/Berlin\"\n"), "{written}");
}

#[test]
fn logs_of_a_date_lists_the_files_of_its_run_and_prints_those_of_what_failed() {
    let home = Home::new()
        .dag(
            "d",
            "schedule = '@daily'\nstart_date = 2018-07-01\n[tasks.good]\nshell = 'echo fine'\n\
             [tasks.bad]\nshell = 'echo try $CRONDAG_TRY_NUMBER; exit 3'\nretries = 1\nretry_delay = '0s'\n\
             [tasks.worse]\nshell = 'echo broken; exit 4'\n",
        )
        .has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-02 d").code(1);
    home.run("logs d 20180701").success().stderr_eq("").stdout_eq(str![[r#"
task   try  started              duration  file
good     1  [..]  .crondag/logs/d/backfill__2018-07-01T00:00:00+00:00/good.1.log
bad      1  [..]  .crondag/logs/d/backfill__2018-07-01T00:00:00+00:00/bad.1.log
bad      2  [..]  .crondag/logs/d/backfill__2018-07-01T00:00:00+00:00/bad.2.log
worse    1  [..]  .crondag/logs/d/backfill__2018-07-01T00:00:00+00:00/worse.1.log

"#]]);
    let failed = str![[r#"
==> bad backfill__2018-07-01T00:00:00+00:00 try 2 <==
...
try 2

[crondag] exit status 3
...

==> worse backfill__2018-07-01T00:00:00+00:00 try 1 <==
...
broken

[crondag] exit status 4
...
"#]];
    home.run("logs d 20180701 --failed").success().stderr_eq("").stdout_eq(failed.clone());
    home.run("logs d backfill__2018-07-01T00:00:00+00:00 --failed").success().stdout_eq(failed);
    home.remove(".crondag/logs/d/backfill__2018-07-01T00:00:00+00:00/bad.2.log");
    let one_is_gone = home.run("logs d 20180701 --failed").code(3);
    let (said, error) = (one_is_gone.out(), one_is_gone.err());
    assert!(
        said.contains("bad backfill__2018-07-01T00:00:00+00:00 try 2 <==\ncannot be read: see the end\n"),
        "{said}"
    );
    assert!(said.contains("\nbroken\n") && error.contains("bad.2.log"), "{said}{error}");
    home.run("logs d good 20180701 --failed").success().stdout_eq(str![[r#"
no task of backfill__2018-07-01T00:00:00+00:00 has failed

"#]]);
    home.run("logs d 20180701 good").success().stdout_eq(str![[r#"
...
fine
...
"#]]);
    let json = home.json("logs d 20180701 --failed --json");
    let tries: Vec<_> = json.iter().map(|row| (row["task_id"].clone(), row["try_number"].clone())).collect();
    assert_eq!(tries, [("bad".into(), 2.into()), ("worse".into(), 1.into())]);
    home.run("logs d 20180701 -f").code(2).stdout_eq("").stderr_eq(str![[r#"
error: -f follows the log of one task
next: crondag logs d TASK 20180701 -f

"#]]);
}

/// A run that somebody asked for, as the database has it.
fn create_manual_run(home: &Home, dag: &str, logical_date: &str) {
    let logical_date: Timestamp = logical_date.parse().unwrap();
    let run = NewRun {
        dag_id: DagId::new(dag).unwrap(),
        run_id: format!("manual__{logical_date}"),
        run_type: RunType::Manual,
        logical_date,
        data_interval_end: logical_date,
        params: BTreeMap::new(),
        selection: None,
        backfill_id: None,
    };
    let mut store = home.store();
    let write = store.write().unwrap();
    write.create_run(&run, Timestamp::now()).unwrap();
    write.commit().unwrap();
}

#[test]
fn a_run_made_for_a_date_to_come_is_not_the_last_one() {
    let home = Home::new()
        .dag("d", "schedule = '@daily'\nstart_date = 2018-07-01\n[tasks.a]\nshell = 'echo {{ ds }}'\n")
        .has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d").success();
    create_manual_run(&home, "d", "2099-01-01T00:00:00Z");
    home.run("tasks d").success().stdout_eq(str![[r#"
d 2018-07-01 00:00 +00:00: success in [..]
backfill__2018-07-01T00:00:00+00:00
task  state    try  started              duration
a     success  1/1  [..]

"#]]);
    home.run("logs d a").success().stdout_eq(str![[r#"
...
2018-07-01
...
"#]]);
    home.run("list_dags").success().stdout_eq(str![[r#"
dag  schedule  next start               last run
d    @daily    [..]  success

"#]]);
}

#[test]
fn a_task_that_would_tell_people_in_a_home_without_mail_says_so() {
    let home = Home::new()
        .dag(
            "d",
            "schedule = '@daily'\nstart_date = 2018-07-01\n[tasks.a]\nshell = 'exit 1'\nemail = 'ana@example.com'\n",
        )
        .has_ticked();
    home.run("validate").success().stdout_eq(str![[r#"
warning[no-mail]: task `a` has `email`, and crondag.toml has no [email]
--> dags/d.toml
 = help: what it would tell is recorded and sent to nobody: add [email] to crondag.toml

1 DAG is valid, 1 warning
zone: UTC (crondag.toml)

"#]]);
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d").code(1);
    let said = home.run("status").success().out();
    let wanted = "mail      1 notice of the last 24 hours reached nobody: crondag.toml has no [email]\n";
    assert!(said.contains(wanted), "{said}");
    let home = home.config("[email]\ntransport = 'folder'\npath = 'mail'\nfrom = 'etl@example.com'\n");
    let said = home.run("status").success().out();
    assert!(said.contains("reached nobody: there was no [email] then"), "{said}");
}

#[test]
fn runs_and_attempts_say_what_ran_when_and_what_took_longest() {
    let dag = "[tasks.a]\nretries = 1\nretry_delay = '0s'\nshell = 'test {{ ds }} = 2024-01-01'\n\
               [tasks.b]\nafter = 'a'\ntrigger_rule = 'all_done'\nshell = 'exit 99'\n";
    let home = Home::new().dag("d", dag);
    home.run("backfill -s 2024-01-01 -e 2024-01-02 d --max-active-runs 1").code(1);
    home.run("attempts d").success().stdout_eq(str![[r#"
task  logical date             try  started[..]ended
a     2024-01-01 00:00 +00:00    1  [..]exit status 0
b     2024-01-01 00:00 +00:00    1  [..]exit status 99
a     2024-01-02 00:00 +00:00    1  [..]exit status 1
a     2024-01-02 00:00 +00:00    2  [..]exit status 1
b     2024-01-02 00:00 +00:00    1  [..]exit status 99

next: crondag logs d a backfill__2024-01-02T00:00:00+00:00 --try 2

"#]]);
    home.run("attempts d b --limit 1").success().stdout_eq(str![[r#"
task  logical date             try  started[..]ended
b     2024-01-02 00:00 +00:00    1  [..]exit status 99

"#]]);
    home.run("attempts d --until 2024-01-01").success().stdout_eq(str![[r#"
no such attempts
next: crondag tasks d

"#]]);
    home.run("runs --failed-tasks --since 1h").success().stdout_eq(str![[r#"
dag  logical date             type      state    started[..]duration  reason
d    2024-01-02 00:00 +00:00  backfill  success  [..]1 task failed

next: crondag tasks d backfill__2024-01-02T00:00:00+00:00

"#]]);
    home.run("runs --at 2024-01-01").success().stdout_eq(str![[r#"
no such runs
next: crondag list_dags

"#]]);
    home.run("runs --since yesterday").code(2).stderr_eq(str![[r#"
error: `yesterday` is not a time
next: write it as 2018-07-01, 2018-07-01T04:00, 04:00 (the last time that it was) or 2h (so long ago)

"#]]);
    assert_eq!(home.json("runs --json --until 2024-01-01").len(), 0);
    let rows = home.json("attempts d a --json");
    let ended: Vec<(&serde_json::Value, &serde_json::Value)> =
        rows.iter().map(|row| (&row["outcome"], &row["has_failed"])).collect();
    let (good, bad) = (json!("exit status 0"), json!("exit status 1"));
    assert_eq!(ended, [(&good, &json!(false)), (&bad, &json!(true)), (&bad, &json!(true))]);
    let lengths =
        |rows: &[serde_json::Value]| -> Vec<f64> { rows.iter().map(|row| row["duration"].as_f64().unwrap()).collect() };
    let mut all = lengths(&home.json("attempts d --json"));
    all.sort_by(|a, b| b.total_cmp(a));
    assert_eq!(lengths(&home.json("attempts d --slowest 2 --json")), all[..2]);
    let slowest = home.json("runs d --slowest 1 --json");
    let longest = home.json("runs d --json").into_iter().max_by_key(|run| {
        let at = |key: &str| run[key].as_str().unwrap().parse::<Timestamp>().unwrap();
        at("end_date").duration_since(at("start_date"))
    });
    assert_eq!(slowest, [longest.unwrap()]);
}

/// The second day has nothing to do, the third one fails.
const THREE_DAYS: &str = "
schedule = '@daily'
start_date = 2018-07-01
max_active_runs = 1
[tasks.load]
shell = 'case {{ ds }} in *-02) exit 99;; *-03) exit 3;; esac'
[tasks.report]
shell = 'true'
after = 'load'
[tasks.tidy]
shell = 'true'
";

#[test]
fn a_backfill_in_a_log_file_says_of_each_run_how_it_ended_and_at_last_what_to_type() {
    let home = Home::new().dag("d", THREE_DAYS).has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-03 d --only load,report,tidy --ignore-bounds")
        .code(1)
        .stderr_eq(str![[r#"
[..]:[..]:[..]  d 2018-07-01 00:00 +00:00 success in [..]: 3 succeeded (1 of 3 runs ended)
[..]:[..]:[..]  d 2018-07-02 00:00 +00:00 success in [..]: 1 succeeded, 2 skipped (2 of 3 runs ended)
[..]:[..]:[..]  d 2018-07-03 00:00 +00:00 failed in [..]: 1 succeeded, 1 failed, 1 upstream_failed (3 of 3 runs ended)

"#]])
        .stdout_eq(str![[r#"
d: 2 runs succeeded, 1 failed, in [..]
next: crondag tasks d backfill__2018-07-03T00:00:00+00:00
then: crondag backfill -s 2018-07-01 -e 2018-07-03 d --ignore-bounds --rerun failed

"#]]);
}

#[test]
fn a_repair_of_a_range_does_not_make_runs_whole_that_were_right() {
    let home = Home::new().dag("d", THREE_DAYS).has_ticked();
    home.run("backfill -s 2018-07-01 -e 2018-07-03 d --only load").code(1);
    home.run("backfill -s 2018-07-01 -e 2018-07-03 d --rerun failed --dry-run").success().stdout_eq(str![[r#"
2018-07-01 00:00 +00:00  success; left alone
2018-07-02 00:00 +00:00  success; left alone
2018-07-03 00:00 +00:00  failed; would run again: load

1 run of 3 tasks: load report tidy

"#]]);
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d --dry-run").success().stdout_eq(str![[r#"
2018-07-01 00:00 +00:00  success; would get report tidy

1 run of 3 tasks: load report tidy

"#]]);
}

#[test]
fn attempts_say_how_long_they_waited_for_a_slot_and_where_they_ran() {
    let dag = "[tasks.first]\npriority = 2\nshell = 'until test -e go; do sleep 0.02; done'\npool = 'one'\n\
               [tasks.second]\nshell = 'true'\npool = 'one'\n[tasks.third]\nafter = 'second'\nshell = 'true'\n";
    let home = Home::new().config("[pools]\none = 1\n").dag("d", dag).has_ticked();
    home.run("trigger d --date 2024-01-01").success();
    until("the first one runs", || home.state("d", "first").0 == "running");
    let before = Timestamp::now();
    let wait = SignedDuration::from_millis(300);
    until("the second one has waited", || Timestamp::now().duration_since(before) >= wait);
    home.write("go", "");
    until("the run has ended", || home.state("d", "third").0 == "success");
    let attempts = home.json("attempts d --json");
    let of = |task: &str, key: &str| attempts.iter().find(|attempt| attempt["task_id"] == task).unwrap()[key].clone();
    let queued = |task: &str| of(task, "queue_time").as_f64().unwrap();
    assert!(queued("second") >= 0.3, "{attempts:?}");
    assert!(queued("third") < queued("second"), "{attempts:?}");
    assert!(!of("first", "host").as_str().unwrap().is_empty());

    let at = home.run(&["tasks", "d", "--at", &before.to_string()]).success().out();
    assert!(at.contains("\nfirst  success ") && !at.contains("second"), "{at}");
    let logs = home.run(&["logs", "d", "--at", &before.to_string()]).success().out();
    assert!(logs.contains("/first.1.log") && !logs.contains("second"), "{logs}");
    let log = home.run(&["logs", "d", "first", "--at", &before.to_string()]).success().out();
    assert!(log.starts_with("==> first manual__2024-01-01") && log.contains(" exit status 0\n"), "{log}");
    home.run("logs d --at 2024-01-01").success().stdout_eq("nothing ran then\nnext: crondag attempts d\n");
    home.run("tasks d --at 2024-01-01").success().stdout_eq("no task ran then\nnext: crondag attempts d\n");
}

#[test]
fn a_run_that_is_repaired_keeps_when_it_first_began_and_how_long_that_took() {
    let home = Home::new().dag("d", "[tasks.a]\nshell = 'test -e good'\n").has_ticked();
    home.run("backfill -s 2024-01-01 -e 2024-01-01 d").code(1);
    let first = home.json("runs --json").remove(0);
    assert!(first["first_start_date"].is_null() && first["first_end_date"].is_null(), "{first}");
    home.write("good", "");
    for rerun in ["failed", "all"] {
        home.run(&format!("backfill -s 2024-01-01 -e 2024-01-01 d --rerun {rerun}")).success();
        let run = home.json("runs --json").remove(0);
        assert_eq!((&run["first_start_date"], &run["first_end_date"]), (&first["start_date"], &first["end_date"]));
        assert!(run["start_date"].as_str() > first["end_date"].as_str(), "{run}");
    }
    home.run("tasks d").success().stdout_eq(str![[r#"
d 2024-01-01 00:00 +00:00: success in [..]
backfill__2024-01-01T00:00:00+00:00
taken up again; first it started [..] and took [..]
task  state    try  started              duration
a     success  3/3  [..]

"#]]);
    home.is_sound();
}
