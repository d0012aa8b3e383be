//! Attempts as real processes, through the built binary: endings, process trees, logs, environment, and what survives
//! `kill -9`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail
#![allow(clippy::needless_raw_string_hashes)] // as snapbox writes them

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Home, Ran, pids, signal, until};
use serde_json::Value;

impl Home {
    /// State, reason and number of tries of each task of the newest run.
    fn tasks(&self) -> BTreeMap<String, (String, String, u64)> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows = self.json("tasks d --json").into_iter();
        rows.map(|row| {
            let tries = row["try_number"].as_u64().unwrap();
            (text(&row["task_id"]), (text(&row["state"]), text(&row["reason"]), tries))
        })
        .collect()
    }

    /// The database is sound, and the driver leaves no attempt file behind.
    fn ends_clean(&self) {
        self.is_sound();
        let folder = self.file(".crondag/attempts");
        until("the driver has removed the attempt files", || fs::read_dir(&folder).unwrap().count() == 0);
    }
}

/// A number that no other test's `sleep` has.
fn marker(base: u32) -> String {
    format!("{}.{}", base, std::process::id())
}

#[test]
fn endings_become_states_with_reasons() {
    let home = Home::of(
        "",
        "[tasks.good]\nshell = 'exit 0'\n[tasks.bad]\nshell = 'exit 7'\n[tasks.nothing_to_do]\nshell = 'exit 99'\n\
         [tasks.killed]\nshell = 'kill -SEGV $$'\n[tasks.no_folder]\nshell = 'true'\nworking_dir = 'nowhere'\n\
         [tasks.no_program.spark]\napplication = 'a.py'\n\
         [tasks.retried]\nretries = 2\nretry_delay = '10ms'\nshell = 'test {{ try_number }} = 3'\n",
    );
    assert_eq!(home.backfill_day(), Some(1));
    let state = |task: &str| home.state("d", task);
    let is = |state: &str, reason: &str| (state.to_owned(), reason.to_owned());
    assert_eq!(state("good"), is("success", ""));
    assert_eq!(state("bad"), is("failed", "exit status 7"));
    assert_eq!(state("nothing_to_do"), is("skipped", "the task skipped itself (exit status 99)"));
    assert_eq!(state("killed"), is("failed", "killed by signal 11 SIGSEGV"));
    let folder = fs::canonicalize(home.path()).unwrap();
    let missing = format!("the working directory {}/nowhere does not exist", folder.display());
    assert_eq!(state("no_folder"), is("failed", &missing));
    let missing = "spark-submit is not on the task's PATH (/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin); \
                   set spark_submit or spark_home under [spark] in crondag.toml";
    assert_eq!(state("no_program"), is("failed", missing));
    assert_eq!(home.tasks()["retried"], ("success".to_owned(), String::new(), 3));
    home.ends_clean();
}

#[test]
fn a_timeout_ends_the_whole_tree_however_it_hides() {
    let long = marker(86_401);
    let dag = format!(
        "[tasks.stubborn]\ntimeout = '8s'\nshell = '''\n\
         trap '' TERM\n\
         setsid sleep {long} &\n\
         (setsid bash -c 'trap \"\" TERM; (sleep {long} & echo deep > deep; sleep {long})' &)\n\
         env -i setsid sleep {long} &\n\
         sleep {long}\nsleep {long}\n'''\n"
    );
    let home = Home::of("", &dag);
    assert_eq!(home.backfill_day(), Some(1));
    assert!(home.has("deep"), "the tree was never there");
    let (state, reason) = home.state("d", "stubborn");
    assert!(
        state == "failed" && reason.starts_with("timed out after ") && reason.ends_with(" (its timeout is 8s)"),
        "{reason}"
    );
    assert_eq!(pids(&long), Vec::<u32>::new());
    home.ends_clean();
}

#[test]
fn what_a_task_leaves_behind_is_ended_and_its_output_kept_in_order() {
    let sleep = marker(86_402);
    let dag = format!(
        "[tasks.a]\nshell = '''\nnohup setsid sleep {sleep} > /dev/null 2>&1 &\n\
         for i in 1 2 3; do echo out $i; echo err $i >&2; done\nexec > /dev/null 2>&1\necho unseen\n'''\n"
    );
    let home = Home::of("", &dag);
    assert_eq!(home.backfill_day(), Some(0));
    assert_eq!(pids(&sleep), Vec::<u32>::new());
    let log = home.log_of("a");
    assert!(log.contains("\nout 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"), "{log}");
    assert!(log.contains("[crondag] exit status 0\n[crondag] ended 1 process that it had left behind\n"), "{log}");
}

#[test]
fn a_task_hears_of_signals_that_are_ignored_where_crondag_is_started() {
    let home = Home::of("", "[tasks.a]\nshell = 'grep SigIgn /proc/self/status > ignored'\n");
    let backfill = home.command(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "trap '' HUP INT QUIT USR1; exec \"$@\"", "sh"]).arg(backfill.get_program());
    assert!(shell.args(backfill.get_args()).current_dir(home.path()).output().unwrap().status.success());
    let ignored = home.read("ignored");
    let mask = u64::from_str_radix(ignored.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    // Without those of real time, of which glibc keeps two for itself.
    assert_eq!(mask & 0x7fff_ffff, 0, "{ignored}");
}

#[test]
fn the_environment_is_the_defined_one_and_secrets_are_masked() {
    let home = Home::of(
        "env_file = 'secrets.env'\n[env]\nWAREHOUSE = 'hdfs:///w'\n",
        "[env]\nDAY = '{{ ds }}'\n[params]\ntop = 5\n[tasks.a]\nenv = { EXTRA = '{{ params.top }}' }\nshell = 'env | sort > env.txt; echo \"got $TOKEN\"'\n",
    );
    home.write("secrets.env", "TOKEN=hunter2hunter2\n");
    fs::set_permissions(home.file("secrets.env"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(home.backfill_day(), Some(0));
    let text = home.read("env.txt");
    let names: Vec<&str> = text.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
    let expected = "CRONDAG_ATTEMPT CRONDAG_DAG_ID CRONDAG_DATA_INTERVAL_END CRONDAG_DATA_INTERVAL_START CRONDAG_DS \
                    CRONDAG_DS_NODASH CRONDAG_HOME CRONDAG_LOGICAL_DATE CRONDAG_NEXT_DS CRONDAG_NEXT_DS_NODASH \
                    CRONDAG_PARAM_TOP CRONDAG_PREV_DS CRONDAG_PREV_DS_NODASH CRONDAG_RUN_ID CRONDAG_TASK_ID \
                    CRONDAG_TOMORROW_DS CRONDAG_TOMORROW_DS_NODASH CRONDAG_TRY_NUMBER CRONDAG_TS CRONDAG_TS_NODASH \
                    CRONDAG_YESTERDAY_DS CRONDAG_YESTERDAY_DS_NODASH DAY EXTRA HOME LANG LOGNAME PATH PWD SHELL SHLVL \
                    TOKEN TZ USER WAREHOUSE _";
    assert_eq!(names.join(" "), expected);
    assert!(text.contains("\nDAY=2024-01-01\n") && text.contains("\nEXTRA=5\n") && text.contains("\nTZ=UTC\n"));
    let log = home.log_of("a");
    assert!(log.contains("got ***\n") && !log.contains("hunter2"), "{log}");
    assert!(log.contains(" TOKEN "), "its name is shown: {log}");
    let render = home.run(&["render", "d", "a", "20240101"]).out();
    assert!(render.contains("TOKEN") && !render.contains("hunter2"), "{render}");
    let bytes = fs::read(home.file(".crondag/crondag.db")).unwrap();
    assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "a secret is in the database");
}

#[test]
fn a_long_log_is_bounded_and_binary_output_does_no_harm() {
    let home = Home::of(
        "[logs]\nmax_size = '1MB'\n",
        "[tasks.long]\nshell = 'echo first; yes 0123456789 | head -c 20000000; echo last'\n\
         [tasks.binary]\nshell = 'head -c 100000 /dev/urandom; echo; echo end'\n",
    );
    assert_eq!(home.backfill_day(), Some(0));
    let log = home.log_of("long");
    assert!(log.len() < 1_100_000 && log.contains("\nfirst\n") && log.contains("last\n"), "{}", log.len());
    assert!(log.contains("left out here: the log has reached its max_size"));
    assert!(home.log_of("binary").contains("\nend\n"));
}

#[test]
fn sql_runs_in_one_transaction_with_bound_params_and_writes_csv() {
    let home = Home::of(
        "[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n",
        "order = ['make >> wrong >> look']\n\
         [tasks.make.sql]\nconnection = 'w'\nstatements = \"CREATE TABLE t (ds TEXT, n INTEGER, s TEXT); INSERT INTO t VALUES (:ds, 1, ';'), (:ds, 2, :quoted);\"\nparams = { quoted = \"it's {{ ds_nodash }}\" }\n\
         [tasks.wrong]\n[tasks.wrong.sql]\nconnection = 'w'\nfile = 'wrong.sql'\n\
         [tasks.look]\ntrigger_rule = 'all_done'\n[tasks.look.sql]\nconnection = 'w'\nstatements = 'SELECT n, s, NULL AS x FROM t ORDER BY n'\nto = 'out/{{ ds }}.csv'\n",
    );
    home.write("wrong.sql", "-- first\nDELETE FROM t;\n\nINSERT INTO t VALUES (1, 2);\n");
    assert_eq!(home.backfill_day(), Some(1), "a task failed, although the leaf succeeded");
    let log = home.log_of("wrong");
    let expected = "wrong.sql:2: 2 rows changed in TIME\n\
                    error: wrong.sql:4:1: table t has 3 columns but 2 values were supplied\n  \
                    in: INSERT INTO t VALUES (1, 2);\n  everything was rolled back\n";
    let (before, after) = log.split_once(" changed in ").unwrap();
    let shown = format!("{before} changed in TIME\n{}", after.split_once('\n').unwrap().1);
    assert!(shown.contains(expected), "{log}");
    let log = home.log_of("look");
    assert!(log.contains("| n | s             | x    |\n|---|---------------|------|\n| 1 | ;             | NULL |\n| 2 | it's 20240101 | NULL |"), "{log}");
    assert_eq!(home.read("out/2024-01-01.csv"), "n,s,x\n1,;,\n2,it's 20240101,\n");
}

/// The driver is killed while tasks run; the next one adopts them: nothing runs twice, nothing is lost.
#[test]
fn a_killed_driver_is_replaced_and_attempts_are_adopted() {
    let home = Home::of(
        "",
        "[tasks.long]\nshell = 'echo start >> starts; until [ -e go ]; do sleep 0.05; done; echo done'\n\
         [tasks.short]\nshell = 'echo start >> short_starts; until [ -e short_go ]; do sleep 0.05; done'\n\
         [tasks.after]\nafter = ['long', 'short']\nshell = 'true'\n",
    );
    let mut backfill = home.command(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).spawn().unwrap();
    until("both tasks run", || home.has("starts") && home.has("short_starts"));
    signal(home.driver_pid().unwrap(), "-KILL");
    backfill.kill().unwrap();
    backfill.wait().unwrap();
    // One ends while nobody watches.
    home.write("short_go", "");
    let ended = || pids("__shim d/backfill__2024-01-01T00:00:00+00:00/short").is_empty();
    until("the short attempt's shim is gone", ended);
    assert!(home.run(&["tick"]).status.success());
    until("the short task is a success", || home.state("d", "short").0 == "success");
    assert_eq!(home.state("d", "long").0, "running");
    home.write("go", "");
    until("the run is over", || home.state("d", "after").0 == "success");
    assert_eq!(home.read("starts"), "start\n");
    assert_eq!(home.read("short_starts"), "start\n");
    until("the driver is gone", || {
        home.run(&["tick"]).status.success() && fs::read_dir(home.file(".crondag/attempts")).unwrap().count() == 0
    });
    home.ends_clean();
}

/// A new driver counts the attempts that live before it gives their slots to runs of earlier dates.
#[test]
fn a_pool_stays_full_when_the_driver_is_killed() {
    let home = Home::of(
        "[pools]\nnarrow = 1\n",
        "[tasks.a]\npool = 'narrow'\nshell = 'mkdir slot || echo {{ ds }} >> overlaps; echo {{ ds }} >> starts; until [ -e go ]; do sleep 0.05; done; rmdir slot'\n",
    );
    home.write("dags/other.toml", "[tasks.a]\nshell = 'echo > other'\n");
    let run = |dag: &str, day: &str| assert!(home.run(&["trigger", dag, "--date", day]).status.success());
    run("d", "2024-01-02");
    until("the later run has the slot", || home.has("starts"));
    run("d", "2024-01-01");
    let is_waiting =
        || String::from_utf8_lossy(&home.run(&["runs", "d", "--json"]).stdout).matches("running").count() == 2;
    until("the earlier run waits", is_waiting);
    signal(home.driver_pid().unwrap(), "-KILL");
    // Its lock is free when it is really gone.
    let lock = fs::File::open(home.file(".crondag/driver.lock")).unwrap();
    until("the driver is dead", || lock.try_lock_shared().is_ok());
    drop(lock);
    run("other", "2024-01-01");
    until("a new driver works", || home.has("other"));
    home.write("go", "");
    until("both have run", || home.read("starts").lines().count() == 2 && !home.has("slot"));
    assert!(!home.has("overlaps"), "two attempts in a pool of one");
}

/// The shim is killed: its orphans are found and ended before the task is tried again.
#[test]
fn a_killed_shim_is_a_failed_attempt_whose_processes_are_gone_before_the_next() {
    let long = marker(86_403);
    let dag = format!(
        "[tasks.a]\nretries = 1\nretry_delay = '10ms'\nshell = '''\n\
         if [ {{{{ try_number }}}} = 2 ]; then\n\
         for process in /proc/[0-9]*; do\n\
         [ \"$(tr '\\0' ' ' 2> /dev/null < $process/cmdline)\" = 'sleep {long} ' ] && echo $process\n\
         done > left 2> /dev/null\nexit 0\nfi\n\
         setsid sleep {long} &\necho > begun\nsleep {long}\n'''\n"
    );
    let home = Home::of("", &dag);
    let mut backfill = home.command(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).spawn().unwrap();
    until("the task runs", || home.has("begun"));
    let shims = pids("__shim d/backfill__2024-01-01T00:00:00+00:00/a/1");
    let shims: Vec<u32> = shims.into_iter().filter(|pid| belongs_to(*pid, home.path())).collect();
    assert_eq!(shims.len(), 1);
    signal(shims[0], "-KILL");
    assert!(backfill.wait().unwrap().success());
    assert_eq!(home.read("left"), "", "processes of the first attempt lived when the second began");
    assert_eq!(home.tasks()["a"], ("success".to_owned(), String::new(), 2));
    home.ends_clean();
}

/// The process that forks the shims is killed: the attempts that run live on, their ends are noticed, and others start.
#[test]
fn a_killed_spawner_takes_no_attempt_along() {
    let home = Home::of(
        "",
        "[tasks.a]\nshell = 'echo start >> starts; until [ -e go ]; do sleep 0.05; done'\n\
         [tasks.killed]\nshell = 'echo > killed; sleep 86405'\n\
         [tasks.b]\nafter = 'a'\nshell = 'true'\n",
    );
    let mut backfill = home.command(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).spawn().unwrap();
    until("the tasks run", || home.has("starts") && home.has("killed"));
    let driver = home.driver_pid().unwrap();
    let spawners: Vec<u32> = pids("__spawner").into_iter().filter(|pid| parent(*pid) == Some(driver)).collect();
    assert_eq!(spawners.len(), 1);
    signal(spawners[0], "-KILL");
    until("the driver has noticed", || home.read(".crondag/driver.log").contains("its attempts live on"));
    let shims = pids("__shim d/backfill__2024-01-01T00:00:00+00:00/killed/1");
    signal(shims.into_iter().find(|pid| belongs_to(*pid, home.path())).unwrap(), "-KILL");
    until("the end of the killed one is noticed", || home.state("d", "killed").0 == "failed");
    home.write("go", "");
    assert_eq!(backfill.wait().unwrap().code(), Some(1), "one task was killed");
    assert_eq!(home.read("starts"), "start\n");
    assert_eq!(home.state("d", "a").0, "success");
    assert_eq!(home.state("d", "b").0, "success");
    home.ends_clean();
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')? + 2..].split(' ').nth(1)?.parse().ok()
}

/// Whether a shim works for this home: its standard output is an attempt file in it.
fn belongs_to(pid: u32, home: &Path) -> bool {
    let home = fs::canonicalize(home).unwrap();
    fs::read_link(format!("/proc/{pid}/fd/1")).is_ok_and(|file| file.starts_with(home))
}

#[test]
fn ctrl_c_holds_a_backfill_and_the_same_command_takes_it_up() {
    let home = Home::of(
        "",
        "max_active_runs = 1\n[tasks.a]\nshell = 'echo {{ ds }} >> ran; until [ -e go ]; do sleep 0.05; done'\n[tasks.b]\nafter = 'a'\nshell = 'true'\n",
    );
    let args = ["backfill", "-s", "2024-01-01", "-e", "2024-01-03", "d"];
    let backfill = home.command(&args).stderr(std::process::Stdio::piped()).spawn().unwrap();
    until("the first task runs", || home.has("ran"));
    let interrupt =
        || assert!(Command::new("kill").args(["-INT", &backfill.id().to_string()]).status().unwrap().success());
    interrupt();
    until("the interruption is taken in", || held(&home));
    home.write("go", "");
    let output = backfill.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.ends_with(
            "d: interrupted; 0 of 3 runs are done, 1 are begun and wait, 2 have not begun\n\
         next: go on with `crondag backfill -s 2024-01-01 -e 2024-01-03 d`\n"
        ),
        "{said}"
    );
    assert_eq!(home.read("ran"), "2024-01-01\n", "nothing new started");
    assert_eq!(home.run(&args).status.code(), Some(0));
    assert_eq!(home.read("ran"), "2024-01-01\n2024-01-02\n2024-01-03\n", "what had ended was not done again");
    home.ends_clean();
}

#[test]
fn ctrl_c_twice_stops_the_running_tasks_and_they_start_again_later() {
    let home = Home::of("", "[tasks.a]\nshell = 'echo start >> ran; until [ -e go ]; do sleep 0.05; done'\n");
    let args = ["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"];
    let backfill = home.command(&args).stderr(std::process::Stdio::piped()).spawn().unwrap();
    until("the task runs", || home.has("ran"));
    let pid = backfill.id().to_string();
    let interrupt = || assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    interrupt();
    // The second one must not melt into the first.
    until("the first is taken in", || home.run(&["status", "--json"]).status.success() && held(&home));
    interrupt();
    let output = backfill.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(home.state("d", "a").0, "none");
    home.write("go", "");
    assert_eq!(home.run(&args).status.code(), Some(0));
    assert_eq!(home.read("ran"), "start\nstart\n");
    home.ends_clean();
}

fn held(home: &Home) -> bool {
    let path = home.file(".crondag/crondag.db");
    let database = rusqlite::Connection::open(path).unwrap();
    database.query_row("SELECT max(is_held) FROM backfills", [], |row| row.get::<_, i64>(0)).unwrap() == 1
}

#[test]
fn a_hundred_ticks_at_once_make_one_run() {
    let home = Home::of(
        "",
        "schedule = '* * * * *'\nstart_date = 2024-01-01\nend_date = 2024-01-01T00:02:00\ncatchup = true\n[tasks.a]\nshell = 'echo {{ ts }} >> ran'\n",
    );
    let start = |_| home.command(&["tick"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let ticks: Vec<_> = (0..100).map(start).collect();
    for tick in ticks {
        let output = tick.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty() && output.stdout.is_empty(), "{output:?}");
    }
    until("three runs", || home.has("ran") && home.read("ran").lines().count() >= 3);
    let mut lines: Vec<String> = home.read("ran").lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["2024-01-01T00:00:00+00:00", "2024-01-01T00:01:00+00:00", "2024-01-01T00:02:00+00:00"]);
}

#[test]
fn a_faulty_file_never_stops_the_others_and_its_last_good_version_goes_on() {
    let good = "schedule = '* * * * *'\nstart_date = 2024-01-01\nend_date = 2024-01-01T00:00:00\ncatchup = true\n[tasks.a]\nshell = 'echo {{ dag.id }} >> ran'\n";
    let home = Home::of("", good);
    home.write("dags/broken.toml", "[tasks.a]\nshel = 'true'\n");
    let first = home.run(&["tick"]);
    assert_eq!(first.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&first.stderr).contains("unknown key `shel`"));
    until("the good one ran", || home.has("ran"));
    let second = home.run(&["tick"]);
    assert!(second.status.success() && second.stderr.is_empty(), "said once: {second:?}");
    // A good file becomes faulty: it goes on as it was.
    home.write("dags/d.toml", good.replace("00:00:00", "00:01:00"));
    assert!(home.run(&["tick"]).status.success());
    until("the second interval ran", || home.read("ran").lines().count() == 2);
    home.write("dags/d.toml", "nonsense");
    assert_eq!(home.run(&["tick"]).status.code(), Some(2));
    let status = home.run(&["status"]).out();
    assert!(status.contains("faulty"), "{status}");
}

#[test]
fn a_running_run_keeps_its_version_and_a_cleared_one_gets_the_new() {
    let dag = |word: &str| {
        format!(
            "[tasks.a]\nshell = 'echo begun > begun; until [ -e go ]; do sleep 0.05; done'\n[tasks.b]\nafter = 'a'\nshell = 'echo {word} >> words'\n"
        )
    };
    let home = Home::of("", &dag("old"));
    let mut backfill = home.command(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).spawn().unwrap();
    until("the task runs", || home.has("begun"));
    home.write("dags/d.toml", dag("new"));
    assert!(home.run(&["tick"]).status.success());
    home.write("go", "");
    assert!(backfill.wait().unwrap().success());
    assert_eq!(home.read("words"), "old\n");
    assert!(home.run(&["clear", "d", "2024-01-01", "--task", "b", "-y"]).status.success());
    until("it ran again", || home.read("words").lines().count() == 2);
    assert_eq!(home.read("words"), "old\nnew\n");
    until("the run is over", || home.state("d", "b").0 == "success");
    home.ends_clean();
}

#[test]
fn a_cleared_run_gets_the_place_of_the_run_that_waits_for_it() {
    let dag = "schedule = '@daily'\nmax_active_runs = 1\n[tasks.a]\nshell = 'test -e ok && echo {{ ds }} >> order'\n\
               depends_on_past = true\n[tasks.b]\nafter = 'a'\nshell = 'true'\n";
    let home = Home::of("", dag);
    assert_eq!(home.backfill_day(), Some(1));
    let mut others = home.command(&["backfill", "-s", "2024-01-02", "-e", "2024-01-03", "d"]).spawn().unwrap();
    let states = || {
        let runs: Vec<Value> = serde_json::from_slice(&home.run(&["runs", "d", "--json"]).stdout).unwrap();
        runs.iter().map(|run| run["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    until("the second run waits for the first, the third for a place", || {
        let mut states = states();
        states.sort();
        states == ["failed", "queued", "running"]
    });
    home.write("ok", "");
    assert!(home.run(&["clear", "d", "2024-01-01", "-y"]).status.success());
    assert!(others.wait().unwrap().success());
    assert_eq!(
        (states(), home.read("order")),
        (vec!["success".to_owned(); 3], "2024-01-01\n2024-01-02\n2024-01-03\n".to_owned())
    );
    home.ends_clean();
}

#[test]
fn stop_mark_and_trigger_do_what_they_say() {
    let long = marker(86_404);
    let dag = format!(
        "[params]\nname = 'x'\n[tasks.a]\nshell = 'echo {{{{ params.name }}}} >> begun; sleep {long}'\n[tasks.b]\nafter = 'a'\nshell = 'echo b > b'\n"
    );
    let home = Home::of("", &dag);
    let triggered = home.run(&["trigger", "d", "--date", "2024-01-01", "--param", "name=y z"]);
    assert!(triggered.status.success(), "{triggered:?}");
    until("the task runs", || home.has("begun") && home.read("begun").ends_with('\n'));
    assert_eq!(home.read("begun"), "y z\n");
    let stopped = home.run(&["stop", "d", "-y"]);
    assert!(stopped.status.success(), "{stopped:?}");
    until("the processes are gone", || pids(&long).is_empty());
    until("the end is recorded", || home.state("d", "b").0 == "skipped");
    let (state, reason) = home.state("d", "a");
    assert!(state == "failed" && reason.starts_with("stopped by "), "{state}: {reason}");
    let run: Vec<Value> = serde_json::from_slice(&home.run(&["runs", "d", "--json"]).stdout).unwrap();
    assert_eq!(run[0]["state"], "failed");
    let id = run[0]["run_id"].as_str().unwrap();
    let marked = home.run(&["mark", "d", id, "success", "--task", "a"]);
    assert!(marked.status.success(), "{marked:?}");
    until("the mark is set", || home.state("d", "a").0 == "success");
    let cleared = home.run(&["clear", "d", id, "--task", "b", "-y"]);
    assert!(cleared.status.success(), "{cleared:?}");
    until("b ran", || home.has("b"));
    until("the run is over", || home.state("d", "b").0 == "success");
    home.ends_clean();
}

#[test]
fn test_and_backfill_of_a_missing_disk_are_clear() {
    let home = Home::of("", "[tasks.a]\nshell = 'true'\n");
    fs::create_dir(home.file(".crondag")).unwrap();
    fs::write(home.file(".crondag/crondag.db"), "this is not a database, it is far too short to be one\n".repeat(100))
        .unwrap();
    let output = home.run(&["tick"]);
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("is corrupt") && said.contains("next: stop the crontab line"), "{said}");
}

/// `tick --foreground` is done when the work is done, and leaves no process behind.
#[test]
fn a_tick_in_the_foreground_ends_with_the_work() {
    let home = Home::of(
        "",
        "schedule = '@daily'\nstart_date = 2024-01-01\nend_date = 2024-01-03\ncatchup = true\n[tasks.a]\nshell = 'sleep 0.3; echo {{ ds }} >> ran'\n",
    );
    let output = home.run(&["tick", "--foreground"]);
    assert!(output.status.success() && output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(home.read("ran").lines().count(), 3);
    assert!(!pids("__shim").into_iter().any(|pid| belongs_to(pid, home.path())));
    let again = home.run(&["tick", "--foreground"]);
    assert!(again.status.success() && home.read("ran").lines().count() == 3, "each interval once");
    home.ends_clean();
}

/// What is older than `keep_runs` leaves the database, all but the last run of each DAG and the newest of all, and what comes
/// later is not confused.
#[test]
fn old_runs_are_forgotten_with_their_logs() {
    let home =
        Home::of("[logs]\nkeep_runs = '1ms'\n", "max_active_runs = 1\n[tasks.a]\nshell = 'echo {{ ds }} >> ran'\n");
    let args = ["backfill", "-s", "2024-01-01", "-e", "2024-01-05", "d"];
    assert_eq!(home.run(&args).status.code(), Some(0));
    let runs = || -> Vec<Value> { serde_json::from_slice(&home.run(&["runs", "d", "--json"]).stdout).unwrap() };
    until("the driver has tidied up", || runs().len() == 1);
    let logs = || fs::read_dir(home.file(".crondag/logs/d")).unwrap().count();
    until("their logs are gone", || logs() == 1);
    assert!(home.run(&["db", "check"]).status.success());
    assert_eq!(home.run(&["backfill", "-s", "2024-01-01", "-e", "2024-01-02", "d"]).status.code(), Some(0));
    assert_eq!(home.read("ran").lines().filter(|line| *line == "2024-01-02").count(), 2, "forgotten, so done again");
    until("the driver has tidied up again", || runs().len() == 2);
    home.ends_clean();
}

/// A specification that does not fit into one message goes another way.
#[test]
fn a_long_script_reaches_its_attempt_whole() {
    let words = "crondag ".repeat(12_000);
    let home = Home::of("", &format!("[tasks.a]\nshell = '''\nset -- {words}\necho $# > count\n'''\n"));
    assert_eq!(home.backfill_day(), Some(0));
    assert_eq!(home.read("count"), "12000\n");
    home.ends_clean();
}

/// Prints what a process begins with, but for what names the attempt.
const PRINTS_ATTRIBUTES: &str = r"
umask; nice; ulimit -Sa | sort; grep -E '^Sig(Blk|Ign)' /proc/self/status; cat /proc/self/oom_score_adj
ls /proc/$$/fd
readlink /proc/$$/fd/0; ps -o tty= -p $$; pwd; env | grep -vE '^CRONDAG_(ATTEMPT|RUN_ID)=' | sort
";

/// Runs crondag from a shell in which everything is odd that a process hands down.
#[test]
fn what_templates_make_too_long_or_give_a_nul_is_named_and_starts_nothing() {
    let home = Home::of(
        "[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n",
        r#"
[tasks.script]
shell = "true {{ 'x' * 140000 }}"
[tasks.variable]
shell = "true"
env = { BIG = "{{ 'x' * 131072 }}" }
[tasks.argument.spark]
application = "a.py"
args = ["{{ 'x' * 131072 }}"]
[tasks.property.spark]
application = "a.py"
conf = { a.b = "{{ 'x' * 131072 }}" }
[tasks.poll.wait]
command = "true {{ 'x' * 140000 }}"
[tasks.nul]
shell = 'echo {{ "\u0000" }}'
[tasks.nul_in_file.sql]
connection = "w"
file = "nul.sql"
[tasks.nul_folder]
shell = "true"
working_dir = '{{ "\u0000" }}'
"#,
    );
    home.write("nul.sql", "SELECT 1;\0");
    assert_eq!(home.backfill_day(), Some(1));
    let too_long = |what: &str, bytes: u32| {
        let rest = "put the text into a file, and let the program read that";
        let most = "Linux takes at most 131071 as one argument or variable of a program (MAX_ARG_STRLEN)";
        ("failed".to_owned(), format!("{what} has {bytes} bytes, and {most}: {rest}"))
    };
    let nul = |what: &str| {
        let rest = "has a NUL character, which no program can take: which value puts it there?";
        ("failed".to_owned(), format!("{what} {rest}"))
    };
    assert_eq!(home.state("d", "script"), too_long("`shell`", 140_005));
    assert_eq!(home.state("d", "variable"), too_long("the environment variable BIG", 131_076));
    assert_eq!(home.state("d", "argument"), too_long("an argument in `args`", 131_072));
    assert_eq!(home.state("d", "property"), too_long("`conf.a.b`", 131_076));
    assert_eq!(home.state("d", "poll"), too_long("`command`", 140_005));
    assert_eq!(home.state("d", "nul"), nul("`shell`"));
    assert_eq!(home.state("d", "nul_in_file"), nul("nul.sql"));
    assert_eq!(home.state("d", "nul_folder"), nul("`working_dir`"));
}

#[test]
fn files_as_editors_on_windows_save_them_mean_what_they_say() {
    let windows = |text: &str| format!("\u{feff}{}", text.replace('\n', "\r\n"));
    let home = Home::new()
        .with(
            "crondag.toml",
            windows(
                "timezone = 'UTC'\nenv_file = 'tasks.env'\n[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n\
                 [secrets]\nkey = { file = 'key' }\n",
            ),
        )
        .with(
            "sql/load.sql",
            windows("CREATE TABLE t (a);\nINSERT INTO t VALUES ('x\ny');\nSELECT hex(a) AS a FROM t;\n"),
        )
        .with("tasks.env", windows("FIRST=plain\nSECOND='quoted'\n"))
        .with("key", windows("hidden\n"))
        .with(
            "diagnosis.toml",
            windows("[causes.x]\nname = 'no'\nclass = 'logic'\nadvice = 'none'\npatterns = ['no']\n"),
        )
        .dag(
            "d",
            windows(
                "[tasks.load.sql]\nconnection = 'w'\nfile = 'sql/load.sql'\nto = 'out.csv'\n\
                 [tasks.show]\nshell = '''printf '%s|' \"$FIRST\" \"$SECOND\" {{ secret.key }} > shown\n'''\n",
            ),
        );
    for file in ["tasks.env", "key"] {
        fs::set_permissions(home.file(file), fs::Permissions::from_mode(0o600)).unwrap();
    }
    assert_eq!(home.run("validate").out(), "1 DAG is valid\nzone: UTC (crondag.toml)\n");
    assert_eq!(home.backfill_day(), Some(0), "{}", home.run("tasks d").out());
    assert_eq!(fs::read_to_string(home.file("out.csv")).unwrap(), "a\n780A79\n");
    assert_eq!(fs::read_to_string(home.file("shown")).unwrap(), "plain|quoted|hidden|");
    home.write(
        "dags/e.toml",
        windows("[tasks.a]\nshell = 'true'\nretries = 'two'\n[tasks.b]\nshell = '''\n{{ x }}\n'''\n"),
    );
    home.run("validate").code(2).stdout_eq(snapbox::str![[r#"
error[wrong-type]: `retries` takes a whole number, not a string
 --> dags/e.toml:3:11
  |
3 | retries = 'two'
  |           ^^^^^ expected a whole number
  |
  = help: write for example retries = 3

error[undefined-name]: `x` is not defined
 --> dags/e.toml:6:4
  |
6 | {{ x }}
  |    ^ not known in templates
  |
  = help: see the list of names in docs/reference/templates.md

error: 2 errors in 1 of 4 files
next: correct them, then type `crondag validate` again

"#]]);
    // A second run reads the same settings: the driver does not take them for changed ones.
    let log = fs::read_to_string(home.file(".crondag/driver.log")).unwrap();
    assert!(!log.contains("reload"), "{log}");
}

#[test]
fn a_file_in_utf_16_is_called_so() {
    let utf16 = |text: &str| -> Vec<u8> {
        "\u{feff}".encode_utf16().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect()
    };
    let home = Home::of(
        "[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n",
        "[tasks.load.sql]\nconnection = 'w'\nfile = 'load.sql'\n",
    );
    home.write("load.sql", utf16("SELECT 1;\n"));
    assert_eq!(home.backfill_day(), Some(1));
    let path = fs::canonicalize(home.path()).unwrap();
    let reason =
        format!("cannot read {}/load.sql: it is UTF-16 text, and has to be UTF-8: save it as UTF-8", path.display());
    assert_eq!(home.state("d", "load"), ("failed".to_owned(), reason));
    home.write("dags/wide.toml", utf16("[tasks.a]\nshell = 'true'\n"));
    home.run("validate").code(2).stdout_eq(snapbox::str![[r#"
error[not-utf8]: the file is UTF-16 text
--> dags/wide.toml
 = help: save the file as UTF-8

error: 1 error in 1 of 3 files
next: correct them, then type `crondag validate` again

"#]]);
    home.run("tick").code(2).stderr_eq(snapbox::str![[r#"
error[unreadable]: the file cannot be read: it is UTF-16 text, and has to be UTF-8: save it as UTF-8
--> [HOME]/dags/wide.toml
next: correct it, then type `crondag validate`; until then nothing of it is scheduled

"#]]);
}

fn from_an_odd_shell(home: &Home, args: &str) -> Ran {
    let line = format!(
        "umask 077; ulimit -Sn 64; ulimit -Ss 1024; ulimit -Sc unlimited; echo 500 > /proc/self/oom_score_adj; exec 9> '{0}/lock'; \
         flock 9; export PATH=/nowhere:$PATH LANG=tlh TZ=Asia/Tokyo X=y CRONDAG_DRIVER=1; cd /; \
         exec nice -n 7 env --ignore-signal=HUP,CHLD,INT,QUIT --block-signal=TERM,USR1 '{1}' --home '{0}' {args}",
        home.path().display(),
        env!("CARGO_BIN_EXE_crondag")
    );
    home.run_command(Command::new("bash").args(["-c", &line]))
}

#[test]
fn what_a_task_begins_with_is_defined_and_not_inherited_and_test_gives_the_same() {
    let dag = format!("[tasks.prints]\nshell = '''{PRINTS_ATTRIBUTES}'''\n");
    let plain = Home::of("", &dag);
    assert_eq!(plain.backfill_day(), Some(0));
    let printed = |log: &str| -> String {
        let (_, rest) = log.split_once("\n\n").unwrap();
        rest.split("\n\n[crondag]").next().unwrap().trim_end().to_owned()
    };
    let expected = printed(&plain.log_of("prints"));
    let begins = "0022\n0\n";
    assert!(expected.starts_with(begins), "{expected}");
    for part in [
        "core file size              (blocks, -c) 0\n",
        "stack size                  (kbytes, -s) 8192\n",
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0\n0\n1\n2\n",
        "/dev/null\n",
        "LANG=C.UTF-8\n",
        "TZ=UTC\n",
    ] {
        assert!(expected.contains(part), "{part:?} is not in {expected}");
    }
    let odd = Home::of("", &dag);
    from_an_odd_shell(&odd, "backfill -s 2024-01-01 -e 2024-01-01 d").success();
    let tested = from_an_odd_shell(&odd, "test d prints 20240101");
    let home = |text: &str| text.replace(odd.path().to_str().unwrap(), plain.path().to_str().unwrap());
    assert_eq!(home(&printed(&odd.log_of("prints"))), expected);
    assert_eq!(home(tested.out().trim_end()), expected);
}

#[test]
fn umask_nice_and_limits_are_settings_of_the_home_and_of_a_task() {
    let home = Home::of(
        "umask = '027'\nnice = 3\n[limits]\nopen_files = 500\n",
        "[defaults.limits]\ncore_size = '4KB'\n[tasks.home]\nshell = 'umask; nice; ulimit -n; ulimit -c; ulimit -Hn'\n\
         [tasks.own]\nnice = 9\numask = '077'\nlimits = { open_files = 400 }\nshell = 'umask; nice; ulimit -n; ulimit -c; ulimit -n 450'\n",
    );
    assert_eq!(home.backfill_day(), Some(1), "a limit cannot be raised");
    assert!(home.log_of("home").contains("\n0027\n3\n500\n4\n500\n"), "{}", home.log_of("home"));
    assert!(home.log_of("own").contains("\n0077\n9\n400\n4\n"), "{}", home.log_of("own"));
    assert_eq!(home.state("d", "own").0, "failed");
}

/// A caller's lock would never be free again while the driver has its descriptor.
#[test]
fn the_descriptors_of_a_caller_reach_neither_driver_nor_task() {
    let home = Home::of(
        "",
        "[tasks.waits]\nshell = 'ls /proc/$$/fd > fds; touch begun; until [ -e go ]; do sleep 0.02; done'\n",
    );
    let lock = home.path().join("lock");
    let line = format!(
        "exec 9> '{}'; flock 9; '{}' --home '{}' trigger d",
        lock.display(),
        env!("CARGO_BIN_EXE_crondag"),
        home.path().display()
    );
    assert!(Command::new("bash").args(["-c", &line]).status().unwrap().success());
    until("the task begins", || home.has("begun"));
    assert_eq!(home.read("fds"), "0\n1\n2\n");
    let flock = Command::new("flock").arg("--nonblock").arg(&lock).arg("true").status().unwrap();
    fs::write(home.path().join("go"), "").unwrap();
    assert!(flock.success(), "somebody still has the caller's lock");
    until("the run ends", || home.state("d", "waits").0 == "success");
}

/// Neither what a process says of itself in its environment nor what it calls itself makes it one that is let be.
#[test]
fn no_task_passes_for_a_driver() {
    let long = marker(86_421);
    let home = Home::of(
        "",
        &format!(
            "[tasks.a]\ntimeout = '1s'\nshell = '''\nCRONDAG_DRIVER=1 setsid bash -c 'exec -a crondag sleep {long}' &\n\
             bash -c 'exec -a crondag bash -c \"sleep {long}; :\" __driver' &\nCRONDAG_DRIVER=1 sleep {long}\n'''\n"
        ),
    );
    assert_eq!(home.backfill_day(), Some(1));
    assert!(home.state("d", "a").1.starts_with("timed out"), "{:?}", home.state("d", "a"));
    assert_eq!(pids(&long), Vec::<u32>::new());
}

#[test]
fn what_a_successful_task_leaves_behind_is_ended_and_that_is_shown() {
    let long = marker(86_431);
    let home = Home::of(
        "",
        &format!("[tasks.a]\nshell = 'setsid sleep {long} & sleep {long} &'\n[tasks.b]\nshell = 'true'\n"),
    );
    assert_eq!(home.backfill_day(), Some(0));
    assert_eq!(pids(&long), Vec::<u32>::new());
    let shown = home.run("tasks d").success().out();
    assert!(shown.contains("ended 2 processes that it had left behind\n"), "{shown}");
    let rows = home.json("tasks d --json");
    let left: Vec<(u64, u64)> =
        rows.iter().map(|row| (row["left_behind"].as_u64().unwrap(), row["left_running"].as_u64().unwrap())).collect();
    assert_eq!(left, [(2, 0), (0, 0)]);
}

#[test]
fn a_task_that_starts_a_service_may_leave_it_running_when_it_succeeds() {
    let [service, orphan] = [marker(86_441), marker(86_442)];
    let dag = format!(
        "[defaults]\nleave_processes = true\n[tasks.starts]\nshell = 'setsid sleep {service} > /dev/null 2>&1 &'\n\
         [tasks.fails]\nshell = 'sleep {orphan} & exit 1'\n[tasks.prints]\nshell = 'sleep 0.2 &'\n"
    );
    let home = Home::of("", &dag);
    assert_eq!(home.backfill_day(), Some(1));
    assert_eq!(pids(&orphan), Vec::<u32>::new(), "a task that is tried again starts its service again");
    until("the service has become its program", || pids(&service).len() == 1);
    let services = pids(&service);
    let log = home.log_of("starts");
    assert!(log.contains("[crondag] exit status 0\n[crondag] left 1 process running\n"), "{log}");
    assert!(!log.contains("goes nowhere"), "{log}");
    assert!(home.log_of("prints").contains("what they print from here on goes nowhere"), "{}", home.log_of("prints"));
    let shown = home.run("tasks d").success().out();
    assert!(shown.contains("left 1 process running\n"), "{shown}");
    let group = fs::read_to_string(format!("/proc/{}/cgroup", services[0])).unwrap();
    assert!(!group.contains("crondag-attempt"), "who ends the groups of attempts would end it: {group}");
    home.ends_clean();
    let tested = home.run("test d starts 20240101").success();
    assert!(tested.err().contains("left 1 process running\n"), "{}", tested.err());
    until("both services have become their programs", || pids(&format!("sleep {service}")).len() == 2);
    for pid in pids(&service) {
        signal(pid, "-KILL");
    }
}

/// The driver that started the attempt is gone, and its shim hears nothing: the next driver knows from the attempt file when it
/// was to end.
#[test]
fn a_task_that_stops_its_shim_is_ended_at_its_timeout_by_the_next_driver() {
    let long = marker(86_454);
    let home = Home::of(
        "",
        &format!("[tasks.a]\ntimeout = '2s'\nshell = 'touch begun; kill -STOP $PPID; sleep {long}; true'\n"),
    );
    home.run("trigger d").success();
    until("it has begun", || home.has("begun") && !pids(&format!("sleep {long}")).is_empty());
    signal(home.driver_pid().unwrap(), "-KILL");
    home.run("tick").success();
    until("it has ended", || home.state("d", "a").0 == "failed");
    let (_, reason) = home.state("d", "a");
    assert!(reason.starts_with("timed out after ") && reason.ends_with("(its timeout is 2s)"), "{reason}");
    until("its processes are gone", || pids(&long).is_empty());
    home.ends_clean();
}

#[test]
fn a_task_that_stops_its_shim_is_ended_at_its_timeout_and_by_a_stop_all_the_same() {
    let [once, again, asked] = [marker(86_451), marker(86_452), marker(86_453)];
    let home = Home::of(
        "",
        &format!(
            "[tasks.once]\ntimeout = '1s'\nshell = 'kill -STOP $PPID; sleep {once}; true'\n\
             [tasks.again]\ntimeout = '1s'\nshell = 'while :; do kill -STOP $PPID; done 2> /dev/null & sleep {again}; true'\n\
             [tasks.asked]\nshell = 'kill -STOP $PPID; touch begun; sleep {asked}; true'\n"
        ),
    );
    home.run("trigger d").success();
    until("it has begun", || home.has("begun"));
    until("those with a timeout have ended", || {
        ["once", "again"].iter().all(|task| home.state("d", task).0 == "failed")
    });
    let (_, reason) = home.state("d", "once");
    assert!(reason.starts_with("timed out after "), "{reason}");
    let (_, reason) = home.state("d", "again");
    assert!(reason.contains("shim was killed") || reason.starts_with("timed out after "), "{reason}");
    home.run("stop d -y").success();
    until("the last one has ended", || home.state("d", "asked").0 == "failed");
    let (_, reason) = home.state("d", "asked");
    assert!(reason.starts_with("stopped"), "{reason}");
    for long in [once, again, asked] {
        until("its processes are gone", || pids(&long).is_empty());
    }
    home.ends_clean();
}
