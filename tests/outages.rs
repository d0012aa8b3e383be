//! What surrounds a home goes wrong: files vanish or break in mid-run, limits are reached, the database is old or taken.
//! What needs root (full and read-only disks) is in `tests/attack/outage.py`.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::{Home, signal, until, until_some};
use serde_json::Value;

impl Home {
    /// A backfill whose task `a` runs until the file `go` is there.
    fn in_mid_run(&self) -> Child {
        let backfill = self.command("backfill -s 2024-01-01 -e 2024-01-01 d").spawn().unwrap();
        until("the task runs", || self.has("begun"));
        backfill
    }

    fn go(&self) {
        self.write("go", "");
    }

    fn reason(&self, task: &str) -> String {
        let (state, reason) = self.state("d", task);
        format!("{state}: {reason}")
    }
}

const TWO: &str = "[tasks.a]\nshell = 'echo > begun; until [ -e go ]; do sleep 0.05; done'\n[tasks.b]\nafter = 'a'\nshell = 'echo b > b'\n";

#[test]
fn a_dag_file_deleted_in_mid_run_does_not_disturb_the_run() {
    let home = Home::of("", TWO);
    let mut backfill = home.in_mid_run();
    fs::remove_file(home.file("dags/d.toml")).unwrap();
    let tick = home.run(&["tick"]);
    assert!(tick.status.success() && tick.stderr.is_empty(), "{}", tick.err());
    home.go();
    assert!(backfill.wait().unwrap().success());
    assert_eq!(home.read("b"), "b\n");
}

#[test]
fn a_dag_file_broken_in_mid_run_does_not_disturb_the_run() {
    let home = Home::of("", TWO);
    let mut backfill = home.in_mid_run();
    home.write("dags/d.toml", "[tasks.a\n");
    let tick = home.run(&["tick"]);
    assert_eq!(tick.status.code(), Some(2));
    let expected = "next: correct it, then type `crondag validate`; until then its last good version is scheduled\n";
    assert!(tick.err().contains("dags/d.toml:1:") && tick.err().ends_with(expected), "{}", tick.err());
    home.go();
    assert!(backfill.wait().unwrap().success());
    assert_eq!(home.read("b"), "b\n");
}

#[test]
fn settings_broken_in_mid_run_stop_new_commands_but_not_the_run() {
    let home = Home::of("", TWO);
    let mut backfill = home.in_mid_run();
    let good = home.read("crondag.toml");
    home.write("crondag.toml", "timezone = 'Mars'\n");
    let tick = home.run(&["tick"]);
    assert_eq!(tick.status.code(), Some(2));
    let next = format!("next: correct {}, then type `crondag validate`\n", home.file("crondag.toml").display());
    assert!(tick.err().contains("crondag.toml:1:13") && tick.err().ends_with(&next), "{}", tick.err());
    home.go();
    assert!(backfill.wait().unwrap().success());
    assert_eq!(home.read("b"), "b\n");
    home.write("crondag.toml", good);
    assert!(home.run(&["tick"]).status.success());
}

#[test]
fn a_task_that_closes_its_output_runs_on_and_its_exit_status_counts() {
    let home = Home::of("", "[tasks.a]\nshell = 'echo before; exec >&- 2>&-; sleep 0.3; echo > after; exit 4'\n");
    assert_eq!(home.backfill_day(), Some(1));
    assert_eq!(home.reason("a"), "failed: exit status 4");
    assert!(home.file("after").exists());
    let log = home.run(&["logs", "d", "a"]).out();
    assert!(log.contains("\nbefore\n") && log.contains("[crondag] exit status 4\n"), "{log}");
}

#[test]
fn missing_shells_and_programs_killed_for_memory_are_named() {
    let home = Home::of(
        "",
        "[tasks.no_shell]\nshell = '/no/such/shell -c true'\n\
         [tasks.killed]\nshell = 'sh -c \"kill -9 \\$\\$\"; exit $?'\n\
         [tasks.limited]\nshell = 'ulimit -v 100000; LC_ALL=C exec sort /dev/zero'\n",
    );
    assert_eq!(home.backfill_day(), Some(1));
    let missing = "failed: exit status 127: the shell did not find a program (see the log)";
    assert_eq!(home.reason("no_shell"), missing);
    let log = home.run(&["logs", "d", "no_shell"]).out();
    assert!(log.contains("/no/such/shell: No such file or directory"), "{log}");
    let killed = "failed: exit status 137: a program of it was killed by signal 9 SIGKILL (out of memory? see `dmesg`)";
    assert_eq!(home.reason("killed"), killed);
    assert_eq!(home.reason("limited"), "failed: exit status 2");
    let log = home.run(&["logs", "d", "limited"]).out();
    assert!(log.contains("memory exhausted"), "{log}");
}

/// Twenty tasks at once need more descriptors than the driver has: none is lost, those that cannot start say why and are
/// tried again.
#[test]
fn too_many_open_files_fail_an_attempt_with_a_reason_and_a_retry() {
    let mut dag = String::from("[defaults]\nretries = 1000\nretry_delay = '50ms'\n");
    for task in 0..20 {
        let shell = format!("echo t{task} >> ran; until [ -e go ]; do sleep 0.05; done");
        writeln!(dag, "[tasks.t{task}]\nshell = '{shell}'").unwrap();
    }
    let home = Home::of("parallelism = 20\n", &dag);
    let args = ["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"];
    let mut command = Command::new("bash");
    command.args(["-c", "ulimit -n 30; exec \"$@\"", "bash", env!("CARGO_BIN_EXE_crondag"), "--home"]);
    let backfill = command.arg(home.path()).args(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    until("the limit is reached", || {
        home.file(".crondag/crondag.db").exists() && !attempts_that_did_not_start(home.path()).is_empty()
    });
    home.go();
    let output = backfill.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut ran: Vec<String> = home.read("ran").lines().map(str::to_owned).collect();
    ran.sort();
    ran.dedup();
    assert_eq!(ran.len(), 20);
    let reasons = attempts_that_did_not_start(home.path());
    assert!(reasons.iter().all(|reason| reason == "too many open files (see `ulimit -n`)"), "{reasons:?}");
    assert_eq!(home.read("ran").lines().count(), 20, "nothing ran twice");
}

fn attempts_that_did_not_start(home: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(home.join(".crondag/crondag.db")).unwrap();
    // The driver may not have made the tables yet.
    let Ok(mut statement) = database.prepare("SELECT ending FROM attempts WHERE ending IS NOT NULL") else {
        return Vec::new();
    };
    let endings = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    endings
        .filter_map(|ending| {
            let ending: Value = serde_json::from_str(&ending.unwrap()).unwrap();
            (ending["how"] != "exited").then(|| ending["reason"].as_str().unwrap_or("?").to_owned())
        })
        .collect()
}

/// Many ticks of a new program meet a database of the oldest format.
#[test]
fn ticks_during_a_migration_wait_for_it_and_it_happens_once() {
    let home = Home::of("", TWO);
    fs::create_dir(home.file(".crondag")).unwrap();
    let database = rusqlite::Connection::open(home.file(".crondag/crondag.db")).unwrap();
    database.execute_batch("PRAGMA journal_mode = WAL;").unwrap();
    database.execute_batch(include_str!("../src/store/migrations/0001.sql")).unwrap();
    database.execute_batch("PRAGMA user_version = 1; BEGIN IMMEDIATE;").unwrap();
    let start = |_| home.command(&["tick"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut ticks: Vec<Child> = (0..20).map(start).collect();
    until("all of them stand before the migration, while another program writes", || {
        let has_it_open = processes_that_have_open(&home.file(".crondag/crondag.db"));
        ticks.iter().all(|tick| has_it_open.iter().any(|pid| pid.as_raw_nonzero().get().cast_unsigned() == tick.id()))
    });
    assert!(ticks.iter_mut().all(|tick| tick.try_wait().unwrap().is_none()), "one did not wait");
    database.execute_batch("COMMIT").unwrap();
    for tick in ticks {
        let output = tick.wait_with_output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    }
    let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert!(version > 1, "{version}");
    assert!(home.run(&["db", "check"]).status.success());
}

#[test]
fn a_corrupt_database_is_refused_and_the_way_to_restore_it_works() {
    let home = Home::of("", "[tasks.a]\nshell = 'true'\n");
    assert_eq!(home.backfill_day(), Some(0));
    until("the driver is gone", || !driver_lives(&home));
    let backup = home.file("backup.db").display().to_string();
    assert!(home.run(&["db", "backup", &backup]).status.success());
    let database = home.file(".crondag/crondag.db");
    for companion in ["-wal", "-shm"] {
        // Without them the file alone counts; they may not be there.
        let _ = fs::remove_file(home.file(&format!(".crondag/crondag.db{companion}")));
    }
    fs::write(&database, "not a database at all\n".repeat(1_000)).unwrap();
    for args in [vec!["tick"], vec!["runs", "d"], vec!["backfill", "-s", "2024-01-02", "-e", "2024-01-02", "d"]] {
        let output = home.run(&args);
        assert_eq!(output.status.code(), Some(3), "{args:?}");
        let text = output.err();
        let expected = format!(
            "next: stop the crontab line, end what has the file open (`fuser -k {0}`), move {0}* aside, \
             restore your last `crondag db backup` as {0}\n",
            database.display()
        );
        assert!(text.contains("is corrupt") && text.ends_with(&expected), "{args:?}: {text}");
    }
    fs::rename(&database, home.file("aside.db")).unwrap();
    fs::copy(&backup, &database).unwrap();
    assert!(home.run(&["tick"]).status.success());
    assert_eq!(home.reason("a"), "success: ");
}

#[test]
fn a_backup_is_restored_under_live_attempts_and_the_next_driver_adopts_them() {
    let home = Home::of("", "[tasks.a]\nshell = 'echo >> begun; until [ -e go ]; do sleep 0.05; done'\n");
    assert!(home.run(&["trigger", "d"]).status.success());
    until("the task runs", || home.file("begun").exists());
    let backup = home.file("backup.db").display().to_string();
    assert!(home.run(&["db", "backup", &backup]).status.success());
    let database = home.file(".crondag/crondag.db");
    let with = |end: &str| PathBuf::from(format!("{}{end}", database.display()));
    fs::write(&database, "not a database at all\n".repeat(1_000)).unwrap();
    // What the error says, word by word.
    for pid in processes_that_have_open(&database) {
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
    until("they are gone", || processes_that_have_open(&database).is_empty());
    for end in ["", "-wal", "-shm"] {
        if with(end).exists() {
            fs::rename(with(end), with(&format!("{end}.aside"))).unwrap();
        }
    }
    fs::copy(&backup, &database).unwrap();
    until("there is a driver again", || home.run(&["tick"]).status.success() && driver_lives(&home));
    home.go();
    until("the run is over", || home.reason("a") == "success: ");
    assert_eq!(home.read("begun").lines().count(), 1);
    assert!(home.run(&["db", "check"]).status.success());
}

/// As `fuser` finds them.
fn processes_that_have_open(file: &Path) -> Vec<rustix::process::Pid> {
    let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let has_it_open = |pid: &i32| {
        fs::read_dir(format!("/proc/{pid}/fd"))
            .is_ok_and(|open| open.flatten().any(|open| fs::read_link(open.path()).is_ok_and(|link| link == file)))
    };
    pids.filter(has_it_open).filter_map(rustix::process::Pid::from_raw).collect()
}

/// Whether the process of the newest driver is there; without its lock it still has the database open for a moment.
fn driver_lives(home: &Home) -> bool {
    fs::read_link(format!("/proc/{}/exe", home.read(".crondag/driver.lock"))).is_ok()
}

#[test]
fn a_home_may_lie_on_a_path_with_blanks_and_chinese_characters() {
    let dag = "[tasks.a]\nshell = 'echo \"$PWD\" > \"$CRONDAG_HOME/where\"'\n[tasks.b]\nafter = 'a'\nworking_dir = '数据 夹'\nshell = 'pwd > here'\n";
    let home = Home::bare_named("数据 仓库 (it's \"new\")").config("").dag("d", dag);
    fs::create_dir(home.file("数据 夹")).unwrap();
    assert_eq!(home.backfill_day(), Some(0));
    assert_eq!(home.read("where"), format!("{}\n", home.path().display()));
    assert_eq!(home.read("数据 夹/here"), format!("{}\n", home.file("数据 夹").display()));
    assert!(home.run(&["tick"]).status.success() && home.run(&["db", "check"]).status.success());
}

#[test]
fn a_dag_file_of_a_million_lines_is_read_and_its_faults_have_their_place() {
    let home = Home::of("", "");
    let mut text = "# a line that says nothing\n".repeat(999_998);
    text.push_str("[tasks.a]\nshell = 'true'\n");
    home.write("dags/d.toml", &text);
    assert_eq!(home.backfill_day(), Some(0));
    home.write("dags/d.toml", text.replace("shell", "shel"));
    let output = home.run(&["tick"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.err().contains("dags/d.toml:1000000:1"), "{}", output.err());
}

/// A home whose driver waits for the next try of a mail that nobody takes, and that driver.
fn with_waiting_mail() -> (Home, u32) {
    let dag = "[tasks.a]\nshell = 'exit 3'\nemail = 'team@example.com'\n";
    let closed = "[email]\nfrom = 'etl@example.com'\nhost = '127.0.0.1'\nport = 1\ntls = 'none'\n";
    let home = Home::of(closed, dag).has_ticked();
    assert_eq!(home.backfill_day(), Some(1));
    until("a delivery has failed", || !home.json("status --json")[0]["mail_last_error"].is_null());
    let driver = until_some("there is a driver", || home.driver_pid());
    (home, driver)
}

/// A process that has ended and is not waited for is gone too.
fn is_gone(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

#[test]
fn a_driver_whose_home_is_deleted_or_moved_ends() {
    let (deleted, driver) = with_waiting_mail();
    fs::remove_dir_all(deleted.path()).unwrap();
    until("the driver of the deleted home ends", || is_gone(driver));
    assert!(!deleted.path().exists(), "and makes nothing of it anew");

    let (moved, driver) = with_waiting_mail();
    let elsewhere = moved.path().with_file_name("elsewhere");
    fs::rename(moved.path(), &elsewhere).unwrap();
    until("the driver of the moved home ends", || is_gone(driver));
    let log = fs::read_to_string(elsewhere.join(".crondag/driver.log")).unwrap();
    let expected = "is gone: its home was deleted, or moved to another place";
    assert!(log.contains(expected), "{log}");

    let (replaced, driver) = with_waiting_mail();
    let database = replaced.file(".crondag/crondag.db");
    fs::copy(&database, replaced.file("copy")).unwrap();
    fs::rename(replaced.file("copy"), &database).unwrap();
    until("the driver of another database ends", || is_gone(driver));
}

#[test]
fn mail_that_waits_while_email_is_taken_out_of_the_settings_is_given_up_and_shown() {
    let (home, driver) = with_waiting_mail();
    let home = home.config("");
    home.run("tick").success();
    until("the driver has nothing to do any more", || is_gone(driver));
    let status = &home.json("status --json")[0];
    assert_eq!((&status["mail_pending"], &status["mail_given_up"]), (&0.into(), &1.into()), "{status}");
    assert_eq!(status["mail_last_error"], "crondag.toml has no [email]");
    assert_eq!(status["needs_driver"], false);
    home.run("tick").success();
    assert_eq!(home.driver_pid(), None);
    home.is_sound();
}

/// Whatever has the name of a DAG file and is none is a faulty file, beside which all others go on; nothing waits for it.
#[test]
fn what_is_called_as_a_dag_file_and_is_none_is_a_faulty_file_with_its_reason() {
    let home = Home::of("", "schedule = '0 7 * * *'\n[tasks.a]\nshell = 'true'\n").has_ticked();
    let at = |name: &str| home.file(&format!("dags/{name}"));
    std::os::unix::fs::symlink("nowhere", at("dangling.toml")).unwrap();
    std::os::unix::fs::symlink("loop.toml", at("loop.toml")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("device.toml")).unwrap();
    fs::create_dir(at("folder.toml")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe.toml")).status().unwrap().success());
    let _listener = std::os::unix::net::UnixListener::bind(at("socket.toml")).unwrap();
    fs::write(at("two\nlines.toml"), "[tasks.a]\nshell = 'true'\n").unwrap();
    let reasons = [
        ("dangling", "it is a symbolic link to nowhere, where there is no file"),
        ("device", "it is a device, and has to be a file"),
        ("folder", "it is a folder, and has to be a file"),
        ("loop", "Too many levels of symbolic links (os error 40)"),
        ("pipe", "it is a named pipe, and has to be a file"),
        ("socket", "it is a socket, and has to be a file"),
    ];
    let tick = home.run("tick").code(2).err();
    let validate = home.run("validate").code(2).out();
    let dags = home.json("list_dags --json");
    assert_eq!(dags.len(), 8, "{dags:?}");
    for (name, reason) in reasons {
        assert!(tick.contains(reason), "{tick}");
        assert!(validate.contains(reason), "{validate}");
        let dag = dags.iter().find(|dag| dag["dag_id"] == name).unwrap();
        assert_eq!(dag["fault"], format!("the file cannot be read: {reason}"));
    }
    let status = &home.json("status --json")[0];
    assert_eq!(status["faulty"].as_array().unwrap().len(), 7, "{status}");
    for said in [tick, validate, home.run("status").out(), home.run("list_dags").out()] {
        assert!(!said.contains("two\nlines"), "a name is on one line: {said}");
    }
}

#[test]
fn a_dag_whose_link_leads_nowhere_any_more_goes_on_with_its_newest_good_version() {
    let home = Home::of("", "").has_ticked();
    home.write("elsewhere.toml", "schedule = '0 7 * * *'\n[tasks.a]\nshell = 'true'\n");
    fs::remove_file(home.file("dags/d.toml")).unwrap();
    std::os::unix::fs::symlink("../elsewhere.toml", home.file("dags/d.toml")).unwrap();
    home.run("tick").success();
    fs::remove_file(home.file("elsewhere.toml")).unwrap();
    let tick = home.run("tick").code(2).err();
    assert!(tick.contains("it is a symbolic link to ../elsewhere.toml, where there is no file"), "{tick}");
    assert!(tick.contains("last good version"), "{tick}");
}

#[test]
fn a_folder_of_dags_that_is_gone_is_no_home_without_dags() {
    let home = Home::of("", "schedule = '0 7 * * *'\n[tasks.a]\nshell = 'true'\n").has_ticked();
    home.run("tick").success();
    fs::rename(home.file("dags"), home.file("away")).unwrap();
    for command in ["tick", "status", "list_dags"] {
        let said = home.run(command).code(3).err();
        assert!(said.contains("folder of DAG files") && said.contains("next: put"), "{command}: {said}");
    }
    let said = home.run("validate").code(2).out();
    assert!(said.contains("there is no folder of DAG files"), "{said}");
    fs::rename(home.file("away"), home.file("dags")).unwrap();
    let status = &home.json("status --json")[0];
    assert_eq!(status["dags"], 1);
    let row = home.store().dag(&crondag::dag::DagId::new("d").unwrap()).unwrap().unwrap();
    assert!(row.is_active, "its DAGs were not taken for deleted");
}

#[test]
fn what_runs_goes_on_while_the_folder_of_dags_is_gone() {
    let home = Home::of(
        "",
        "[tasks.a]\nshell = 'echo > begun; until [ -e go ]; do sleep 0.05; done'\n[tasks.b]\nafter = 'a'\nshell = 'true'\n",
    );
    home.run("trigger d --date 2024-01-01").success();
    until("the task runs", || home.has("begun"));
    signal(home.driver_pid().unwrap(), "-KILL");
    until("the driver is gone", || home.driver_pid().is_none());
    fs::rename(home.file("dags"), home.file("away")).unwrap();
    home.write("go", "");
    home.run("tick").code(3);
    until("the run has ended", || home.json("runs d --json")[0]["state"] == "success");
}

#[test]
fn other_files_that_are_read_wait_for_nobody_and_are_named() {
    let pipe = |home: &Home, name: &str| {
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(home.file(name)).status().unwrap().success());
    };
    let task = |text: &str| format!("[tasks.a]\n{text}\n");
    let settings = Home::of("", &task("shell = 'true'"));
    fs::remove_file(settings.file("crondag.toml")).unwrap();
    pipe(&settings, "crondag.toml");
    let said = settings.run("status").code(2).err();
    assert!(said.contains("it is a named pipe, and has to be a file"), "{said}");
    fs::remove_file(settings.file("crondag.toml")).unwrap();
    std::os::unix::fs::symlink("gone.toml", settings.file("crondag.toml")).unwrap();
    let said = settings.run("status").code(2).err();
    assert!(said.contains("it is a symbolic link to gone.toml, where there is no file"), "{said}");

    let config =
        "env_file = 'env'\n[secrets]\nKEY = { file = 'key' }\n[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n";
    for (name, dag, reason) in [
        ("env", task("shell = 'true'"), "it is a named pipe"),
        ("key", task("shell = 'echo {{ secret.KEY }}'"), "it is a named pipe"),
        ("q.sql", task("[tasks.a.sql]\nconnection = 'w'\nfile = 'q.sql'"), "it is a named pipe"),
        ("diagnosis.toml", task("shell = 'exit 1'"), ""),
    ] {
        let home = Home::of(config, &dag);
        home.write("env", "").write("key", "sesame");
        if home.has(name) {
            fs::remove_file(home.file(name)).unwrap();
        }
        pipe(&home, name);
        assert_eq!(home.backfill_day(), Some(1), "{name}");
        let found = home.reason("a");
        assert!(found.contains(reason), "{name}: {found}");
        let said = home.run("diagnose d a 2024-01-01");
        assert!(name != "diagnosis.toml" || said.err().contains("it is a named pipe"), "{}{}", said.out(), said.err());
    }
}
