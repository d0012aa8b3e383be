//! Sensors, checks, gates and reports with the built binary on `SQLite`.

#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Output};

use common::{Home, until};
use serde_json::Value;

const CONFIG: &str = "kill_grace = '300ms'\n\
    [connections.warehouse]\ntype = 'sqlite'\npath = 'warehouse.db'\n\
    [connections.serving]\ntype = 'sqlite'\npath = 'serving.db'\n\
    [email]\nfrom = 'etl@example.com'\ntransport = 'folder'\npath = 'mail'\n";

impl Home {
    fn with_tables(dags: &[(&str, &str)]) -> Home {
        let home = dags.iter().fold(Home::new().config(CONFIG), |home, (name, text)| home.dag(name, text));
        let tables = "CREATE TABLE tags (day TEXT, tag TEXT, users INTEGER)";
        home.sql("warehouse.db", tables);
        home.sql("serving.db", tables);
        home
    }

    fn sql(&self, database: &str, statements: &str) {
        rusqlite::Connection::open(self.file(database)).unwrap().execute_batch(statements).unwrap();
    }

    /// So many users have tag `A` on a day of July 2018, and half as many tag `B`.
    fn day(&self, day: u32, users: u32) {
        let (date, half) = (format!("2018-07-{day:02}"), users / 2);
        self.sql(
            "warehouse.db",
            &format!(
                "DELETE FROM tags WHERE day = '{date}';
                 INSERT INTO tags VALUES ('{date}', 'A', {users}), ('{date}', 'B', {half})"
            ),
        );
    }

    fn backfill(&self, dag: &str, from: u32, to: u32) -> Option<i32> {
        let (from, to) = (format!("2018-07-{from:02}"), format!("2018-07-{to:02}"));
        self.run(&["backfill", "-s", &from, "-e", &to, dag]).status.code()
    }

    fn again(&self, dag: &str, day: u32) -> Option<i32> {
        let day = format!("2018-07-{day:02}");
        self.run(&["backfill", "-s", &day, "-e", &day, dag, "--rerun", "all"]).status.code()
    }

    fn state_on(&self, dag: &str, day: u32, task: &str) -> (String, String) {
        self.state(&[dag, &format!("2018-07-{day:02}")], task)
    }

    fn log(&self, dag: &str, day: u32, task: &str) -> String {
        self.run(&["logs", dag, task, &format!("2018-07-{day:02}")]).out()
    }

    fn values(&self, args: &[&str]) -> Vec<Value> {
        let args: Vec<&str> = ["checks"].iter().chain(args).chain(&["--json"]).copied().collect();
        self.json(&args)
    }

    fn mails(&self) -> Vec<String> {
        let Ok(entries) = self.file("mail").read_dir() else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let is_whole = |path: &PathBuf| path.extension().is_some_and(|end| end == "eml");
        paths.into_iter().filter(is_whole).map(|path| fs::read_to_string(path).unwrap()).collect()
    }
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const COUNTS: &str = "max_active_runs = 1\n[tasks.counts]\nemail = 'people@example.com'\n[tasks.counts.check]\nconnection = 'warehouse'\n\
    query = 'SELECT tag, users FROM tags WHERE day = :ds'\ngate = 'tags_ok'\n\
    [tasks.counts.check.rules.jump]\nmax_change = 0.3\n\
    [tasks.counts.check.rules.size]\nmin = 10\nverdict = 'warn'\n\
    [tasks.push]\nafter = 'counts'\nshell = 'echo {{ ds }} >> pushed'\n";

#[test]
fn a_day_that_jumps_fails_shuts_the_gate_and_is_no_baseline() {
    let home = Home::with_tables(&[("tags", COUNTS)]);
    for day in 1..=4 {
        home.day(day, 100 + day);
    }
    home.day(5, 300);
    home.day(6, 106);
    assert_eq!(home.backfill("tags", 1, 4), Some(0));
    assert_eq!(home.backfill("tags", 5, 5), Some(1));
    assert_eq!(home.state_on("tags", 5, "counts"), ("failed".into(), "exit status 1".into()));
    assert_eq!(home.state_on("tags", 5, "push").0, "upstream_failed");
    let log = home.log("tags", 5, "counts");
    for expected in [
        "\nkey  metric  value  baseline  change  verdict  history\nA    users     300     102.5  +193 %  fail     ▁▁▁▁█\n",
        "fail: A users: jump: +193 % against the median of 4 dates, at most 30 % allowed\n",
        "verdict: fail (2 values: 2 fail)\ngate tags_ok of 2018-07-05: fail\n",
    ] {
        assert!(log.contains(expected), "{log}");
    }
    assert_eq!(home.run(&["gate", "tags_ok", "20180705"]).status.code(), Some(1));
    assert_eq!(home.run(&["gate", "tags_ok", "20180704"]).status.code(), Some(0));
    assert_eq!(home.run(&["gate", "tags_ok", "20180706"]).status.code(), Some(1), "nobody has spoken");

    assert_eq!(home.backfill("tags", 6, 6), Some(0), "the failed day is no part of the baseline");
    let sixth = home.values(&["tags", "--key", "A"]);
    assert_eq!((sixth[0]["ds"].as_str(), sixth[0]["baseline"].as_f64()), (Some("2018-07-06"), Some(102.5)));

    home.day(5, 105);
    assert_eq!(home.again("tags", 5), Some(0));
    assert_eq!(home.run(&["gate", "tags_ok", "20180705"]).status.code(), Some(0));
    let fifth: Vec<f64> = home
        .values(&["tags", "counts", "--since", "20180705"])
        .iter()
        .filter(|row| row["ds"] == "2018-07-05")
        .map(|row| row["value"].as_f64().unwrap())
        .collect();
    assert_eq!(fifth, [105.0, 52.0], "the new values took the place of the old ones");
    let mut pushed: Vec<String> = fs::read_to_string(home.file("pushed")).unwrap().lines().map(str::to_owned).collect();
    pushed.sort();
    assert_eq!(pushed, ["2018-07-01", "2018-07-02", "2018-07-03", "2018-07-04", "2018-07-05", "2018-07-06"]);
}

#[test]
fn the_cause_of_a_failed_check_is_read_from_the_values_that_broke_a_rule() {
    let dag = "max_active_runs = 1\n[tasks.load]\nshell = 'true'\n[tasks.counts]\nafter = 'load'\n[tasks.counts.check]\n\
        connection = 'warehouse'\nquery = 'SELECT tag, users, users % 10 AS duplicates FROM tags WHERE day = :ds'\n\
        [tasks.counts.check.rules.jump]\nmetrics = ['users']\nmax_change = 0.3\nagainst = 'previous'\n";
    let home = Home::with_tables(&[("tags", dag)]);
    for day in 1..=4 {
        home.day(day, 200 + day % 2 * 2);
    }
    // Far fewer users; the duplicates are many times those of the days before, but no rule is about them.
    home.day(5, 59);
    assert_eq!(home.backfill("tags", 1, 4), Some(0));
    assert_eq!(home.backfill("tags", 5, 5), Some(1));
    let diagnosis = out(&home.run(&["diagnose", "tags", "counts", "20180705"]));
    assert!(
        diagnosis.contains("\nlikely: the input from load is not as it always was (upstream_abnormal)\n"),
        "{diagnosis}"
    );
    assert!(diagnosis.contains("A users of load is 59 for 2018-07-05, usually 201: far fewer"), "{diagnosis}");
    assert!(!diagnosis.contains("(logic)"), "{diagnosis}");
}

#[test]
fn of_the_branches_behind_a_failed_check_the_one_is_named_whose_rows_moved() {
    let counts = |task: &str, after: &str, tag: &str| {
        format!(
            "[tasks.{task}]\nafter = [{after}]\n[tasks.{task}.check]\nconnection = 'warehouse'\n\
             query = \"SELECT tag, users FROM tags WHERE day = :ds AND tag IN ({tag})\"\n\
             [tasks.{task}.check.rules.jump]\nmax_change = 0.3\nagainst = 'previous'\n"
        )
    };
    let branches = "max_active_runs = 1\n[tasks.orders]\nshell = 'true'\n[tasks.visits]\nshell = 'true'\n\
                    [tasks.merge]\nafter = ['orders', 'visits']\nshell = 'true'\n";
    let (at_the_side, of_merge) =
        (counts("orders_count", "'orders'", "'A'") + &counts("visits_count", "'visits'", "'B'"), |after: &str| {
            counts("all_counts", after, "'A', 'B'")
        });
    let home = Home::with_tables(&[
        ("seen", &(branches.to_owned() + &at_the_side + &of_merge("'merge'"))),
        ("unseen", &(branches.to_owned() + &of_merge("'orders', 'visits'"))),
    ]);
    for day in 1..=4 {
        home.day(day, 400);
    }
    home.day(5, 400);
    home.sql("warehouse.db", "UPDATE tags SET users = 20 WHERE day = '2018-07-05' AND tag = 'B'");
    for dag in ["seen", "unseen"] {
        assert_eq!(home.backfill(dag, 1, 4), Some(0));
        assert_eq!(home.backfill(dag, 5, 5), Some(1));
    }
    let run = "backfill__2018-07-05T00:00:00+00:00";
    let said = |dag: &str| home.run(&["diagnose", dag, "all_counts", "20180705"]).out();
    for (dag, culprits, command) in [("seen", "visits", "visits"), ("unseen", "orders, visits", "orders,visits")] {
        let said = said(dag);
        assert!(said.contains(&format!("the input from {culprits} is not as it always was")), "{said}");
        assert!(said.contains(&format!("crondag clear {dag} {run} --task {command}\n")), "{said}");
    }
    assert!(said("seen").contains("B users of visits_count is 20 for 2018-07-05, usually 200: far fewer"));
}

#[test]
fn what_a_failed_check_says_to_type_repairs_the_whole_up_to_what_a_check_has_found_sound() {
    let check = |task: &str, after: &str, query: &str| {
        format!("[tasks.{task}]\nafter = {after}\ncheck = {{ connection = 'warehouse', query = \"{query}\" }}\n")
    };
    let shell = |task: &str, after: &str| format!("[tasks.{task}]\nafter = {after}\nshell = 'true'\n");
    let good = "SELECT 'all' AS tag, 1 AS users";
    let counts = check("all_counts", "['merge']", "SELECT tag, users FROM tags WHERE day = :ds");
    let dag = |sound: &str| {
        ["max_active_runs = 1\n", &shell("raw", "[]"), &shell("orders", "['raw']"), &shell("visits", "[]"), sound]
            .concat()
            + &shell("merge", "['orders', 'visits']")
            + &counts
    };
    let home = Home::with_tables(&[
        ("none", &dag("")),
        ("orders_are", &dag(&check("orders_count", "['orders']", good))),
        ("all_are", &dag(&(check("orders_count", "['orders']", good) + &check("visits_count", "['visits']", good)))),
    ]);
    // No value of the date: there is nothing to compare, and still the check itself is not what is to run again.
    home.day(1, 400);
    let run = "backfill__2018-07-02T00:00:00+00:00";
    for (dag, tasks) in [("none", "raw,visits"), ("orders_are", "visits"), ("all_are", "merge")] {
        assert_eq!(home.backfill(dag, 1, 1), Some(0));
        assert_eq!(home.backfill(dag, 2, 2), Some(1));
        let said = home.run(&["diagnose", dag, "all_counts", "20180702"]).out();
        assert!(said.ends_with(&format!("crondag clear {dag} {run} --task {tasks}\n")), "{said}");
        let explained = home.run(&["explain", dag, "20180702"]).out();
        assert!(explained.contains(&format!("next: crondag diagnose {dag} all_counts {run}\n")), "{explained}");
        assert!(!explained.contains("--failed"), "{explained}");
    }
}

#[test]
fn an_earlier_try_is_diagnosed_by_what_was_there_then() {
    let dag = "max_active_runs = 1\n[tasks.load]\nshell = 'true'\n\
        [tasks.merge]\nafter = 'load'\nshell = 'cat in.csv'\n\
        [tasks.counts]\nafter = 'merge'\ntrigger_rule = 'all_done'\n[tasks.counts.check]\n\
        connection = 'warehouse'\nquery = 'SELECT tag, users FROM tags WHERE day = :ds'\n";
    let home = Home::with_tables(&[("tags", dag)]);
    for day in 1..=4 {
        home.day(day, 200);
    }
    home.write("in.csv", "");
    assert_eq!(home.backfill("tags", 1, 4), Some(0));
    fs::remove_file(home.file("in.csv")).unwrap();
    home.day(5, 200);
    home.backfill("tags", 5, 5);
    // The second try has an upstream that ended after the first, and a check that saw other values than the first.
    home.day(5, 4000);
    home.again("tags", 5);
    for (which, logic) in [("1", false), ("2", true)] {
        let diagnosis = out(&home.run(&["diagnose", "tags", "merge", "20180705", "--try", which]));
        assert!(diagnosis.starts_with(&format!("tags merge 2018-07-05 00:00 +00:00, try {which}\n")), "{diagnosis}");
        assert!(!diagnosis.contains("(upstream_late)"), "{diagnosis}");
        assert_eq!(diagnosis.contains("(logic)"), logic, "{diagnosis}");
    }
}

#[test]
fn a_warning_sends_mail_and_the_run_goes_on() {
    let home = Home::with_tables(&[("tags", COUNTS)]);
    home.day(1, 8);
    assert_eq!(home.backfill("tags", 1, 1), Some(0));
    until("the mail is there", || !home.mails().is_empty());
    let mails = home.mails();
    assert_eq!(mails.len(), 1);
    assert!(mails[0].contains("Subject: [crondag] tags counts warns (ds 2018-07-01)"), "{}", mails[0]);
    assert!(mails[0].contains("warn: A users: size: below 10"), "{}", mails[0]);
    assert!(home.has("pushed"));
    assert_eq!(home.run(&["gate", "tags_ok", "20180701"]).status.code(), Some(0));
}

#[test]
fn a_rehearsed_check_records_nothing() {
    let home = Home::with_tables(&[("tags", COUNTS)]);
    home.day(1, 100);
    let output = home.run(&["test", "tags", "counts", "20180701"]);
    assert!(output.status.success(), "{output:?}");
    assert!(out(&output).ends_with("nothing is recorded, no gate is set\n"), "{}", out(&output));
    assert!(home.values(&["tags"]).is_empty());
    assert_eq!(home.run(&["gate", "tags_ok", "20180701"]).status.code(), Some(1));
}

#[test]
fn values_are_shown_as_table_and_csv() {
    let home = Home::with_tables(&[("tags", COUNTS)]);
    home.day(1, 100);
    home.day(2, 1250);
    home.backfill("tags", 1, 2);
    let shown = out(&home.run(&["checks", "tags"]));
    let expected = "tags counts 2018-07-02: ok\nkey  metric  value  baseline   change  verdict  history\n\
                    A    users   1,250       100  +1150 %  ok       ▁█\n\
                    B    users     625        50  +1150 %  ok       ▁█\n";
    assert_eq!(shown, expected, "two dates are no median");
    let csv = out(&home.run(&["checks", "tags", "counts", "--since", "20180701", "--key", "A", "--csv"]));
    let expected = "dag_id,task_id,ds,logical_date,key,metric,value,baseline,verdict,reason\n\
                    tags,counts,2018-07-01,2018-07-01T00:00:00+00:00,A,users,100,,ok,\n\
                    tags,counts,2018-07-02,2018-07-02T00:00:00+00:00,A,users,1250,100,ok,\n";
    assert_eq!(csv, expected);
}

#[test]
fn two_databases_must_agree_key_by_key() {
    let dag = "[tasks.same.check]\nconnection = 'warehouse'\nquery = 'SELECT tag, users FROM tags WHERE day = :ds'\n\
               [tasks.same.check.reconcile]\nconnection = 'serving'\nquery = 'SELECT tag, users FROM tags WHERE day = :ds'\n";
    let home = Home::with_tables(&[("sync", dag)]);
    home.day(1, 100);
    home.sql("serving.db", "INSERT INTO tags VALUES ('2018-07-01', 'A', 99), ('2018-07-01', 'C', 1)");
    assert_eq!(home.backfill("sync", 1, 1), Some(1));
    let log = home.log("sync", 1, "same");
    for expected in [
        "fail: 3 of 3 values do not agree with the other side\n",
        "fail: A users: reconcile: the other side has 99\n",
        "fail: B users: reconcile: the other side has no such key\n",
        "fail: C users: reconcile: only the other side has this key\n",
    ] {
        assert!(log.contains(expected), "{log}");
    }
    home.sql(
        "serving.db",
        "DELETE FROM tags; INSERT INTO tags VALUES ('2018-07-01', 'A', 100), ('2018-07-01', 'B', 50)",
    );
    assert_eq!(home.again("sync", 1), Some(0));
}

#[test]
fn a_check_that_cannot_be_made_says_why() {
    for (query, expected) in [
        ("SELECT users FROM no_such_table", "no such table: no_such_table"),
        (
            "SELECT tag FROM tags",
            "error: the query gives only `tag`: a check needs a key and at least one number beside it",
        ),
    ] {
        let dag = format!("[tasks.c.check]\nconnection = 'warehouse'\nquery = '{query}'\n");
        let home = Home::with_tables(&[("d", &dag)]);
        home.day(1, 1);
        assert_eq!(home.backfill("d", 1, 1), Some(1));
        let log = home.log("d", 1, "c");
        assert!(log.contains(expected), "{log}");
        assert!(home.values(&["d"]).is_empty());
    }
}

#[test]
fn a_person_overrules_a_gate_and_whoever_waits_goes_on() {
    let push =
        "[tasks.gate.wait]\ngate = 'tags_ok'\nevery = '100ms'\n[tasks.push]\nafter = 'gate'\nshell = 'echo > pushed'\n";
    let home = Home::with_tables(&[("push", push)]);
    let mut backfill = home.command(&["backfill", "-s", "2018-07-01", "-e", "2018-07-01", "push"]).spawn().unwrap();
    until("it waits", || {
        let output = home.run(&["tasks", "push", "--json"]);
        out(&output).contains("up_for_reschedule")
    });
    let explained = out(&home.run(&["explain", "push", "gate"]));
    assert!(explained.contains("for gate tags_ok: evaluated every 100ms, until"), "{explained}");
    let mut set = home.command(&["gate", "set", "tags_ok", "20180701", "ok", "--reason", "the drop is the holiday"]);
    let set = set.env_remove("USER").env_remove("LOGNAME").output().unwrap();
    assert!(set.status.success(), "{set:?}");
    assert!(backfill.wait().unwrap().success());
    assert!(home.has("pushed"));
    let shown: Vec<Value> =
        serde_json::from_slice(&home.run(&["gate", "tags_ok", "20180701", "--json"]).stdout).unwrap();
    assert_eq!(shown[0]["decisions"][0]["reason"], "the drop is the holiday");
    // The session has no name, as under cron; the machine knows it.
    let me = out(&Command::new("id").arg("-un").output().unwrap());
    assert_eq!(shown[0]["decisions"][0]["by"], me.trim());
    assert_eq!(shown[0]["open"], true);
    let without = home.run(&["gate", "set", "tags_ok", "20180701", "fail", "--reason", " "]);
    assert_eq!(without.status.code(), Some(2));
    assert!(home.run(&["gate", "set", "tags_ok", "20180701", "checks", "--reason", "my mistake"]).status.success());
    assert_eq!(home.run(&["gate", "tags_ok", "20180701"]).status.code(), Some(1), "no check has spoken");
}

#[test]
fn sensors_wait_for_files_queries_commands_and_other_dags() {
    let dag = "max_active_tasks = 1\n\
        [tasks.file.wait]\nfile = 'in/{{ ds_nodash }}/part-*'\nevery = '100ms'\n\
        [tasks.query.wait]\nconnection = 'warehouse'\nquery = 'SELECT count(*) > 0 FROM tags WHERE day = :ds'\nevery = '100ms'\n\
        [tasks.command.wait]\ncommand = 'echo polling; test -e ready || exit 99'\nevery = '100ms'\n\
        [tasks.before.wait]\ndag = 'other'\ntask = 'load'\noffset = -1\nevery = '100ms'\n\
        [tasks.last]\nafter = ['file', 'query', 'command', 'before']\nshell = 'echo > done'\n";
    let other =
        "schedule = '30 7 * * *'\nstart_date = 2018-06-30\nend_date = 2018-06-30\n[tasks.load]\nshell = 'true'\n";
    let home = Home::with_tables(&[("d", dag), ("other", other)]);
    assert!(home.run(&["pause", "other"]).status.success());
    assert!(home.run(&["tick"]).status.success());
    let mut backfill = home.command(&["backfill", "-s", "2018-07-01", "-e", "2018-07-01", "d"]).spawn().unwrap();
    let state = |task: &str| {
        let output = home.run(&["tasks", "d", "--json"]);
        let rows: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap_or_default();
        rows.iter().find(|row| row["task_id"] == task).map_or("", |row| row["state"].as_str().unwrap()).to_owned()
    };
    for task in ["file", "query", "command", "before"] {
        until("it waits", || waits_still(&state(task)));
    }
    fs::create_dir_all(home.file("in/20180701")).unwrap();
    home.write("in/20180701/part-0", "");
    until("the file is found", || state("file") == "success");
    home.day(1, 1);
    until("the row is found", || state("query") == "success");
    home.write("ready", "");
    until("the command succeeds", || state("command") == "success");
    assert!(waits_still(&state("before")));
    assert_eq!(home.run(&["backfill", "-s", "2018-06-30", "-e", "2018-06-30", "other"]).status.code(), Some(0));
    assert!(backfill.wait().unwrap().success());
    assert!(home.has("done"));
    let log = home.log("d", 1, "command");
    assert!(log.matches("polling").count() >= 2, "all polls are in one log: {log}");
    let attempts = out(&home.run(&["tasks", "d", "2018-07-01", "--json"]));
    assert!(!attempts.contains("\"try_number\": 2"), "{attempts}");
    assert!(home.run(&["db", "check"]).status.success());
}

fn waits_still(state: &str) -> bool {
    ["up_for_reschedule", "running"].contains(&state)
}

#[test]
fn a_sensor_waits_for_a_web_server_to_answer_as_expected() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = server.local_addr().unwrap();
    let answers = std::thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in [
            "503 Busy\r\nContent-Length: 0\r\n\r\n",
            "200 OK\r\nContent-Length: 5\r\n\r\nwait\n",
            "200 OK\r\nContent-Length: 6\r\n\r\nready\n",
        ] {
            let (mut stream, _) = server.accept().unwrap();
            let mut buffer = [0; 4096];
            let length = stream.read(&mut buffer).unwrap();
            asked.push(String::from_utf8_lossy(&buffer[..length]).lines().next().unwrap().to_owned());
            write!(stream, "HTTP/1.1 {answer}").unwrap();
        }
        asked
    });
    let dag =
        format!("[tasks.u.wait]\nurl = 'http://{address}/day/{{{{ ds }}}}'\ncontains = 'ready'\nevery = '50ms'\n");
    let home = Home::with_tables(&[("d", &dag)]);
    assert_eq!(home.backfill("d", 1, 1), Some(0));
    assert_eq!(answers.join().unwrap(), ["GET /day/2018-07-01 HTTP/1.1"; 3]);
    let log = home.log("d", 1, "u");
    assert!(log.contains("answers with status 503") && log.contains("does not contain `ready`"), "{log}");
}

#[test]
fn a_wait_in_vain_fails_or_skips_and_what_cannot_be_looked_at_fails() {
    let dag = "[tasks.hard.wait]\nfile = 'never/{{ ds }}'\nevery = '50ms'\nfor_at_most = '200ms'\n\
        [tasks.soft.wait]\ncommand = 'false'\nevery = '50ms'\nfor_at_most = '200ms'\nsoft_fail = true\n\
        [tasks.typo.wait]\ncommand = 'no-such-program-at-all'\n\
        [tasks.unknown.wait]\ndag = 'nowhere'\n";
    let home = Home::with_tables(&[("d", dag)]);
    assert_eq!(home.backfill("d", 1, 1), Some(1));
    let state = |task| home.state_on("d", 1, task);
    assert_eq!(state("hard"), ("failed".into(), "waited 200ms in vain for file never/2018-07-01".into()));
    assert_eq!(state("soft"), ("skipped".into(), "waited 200ms in vain for the command false".into()));
    assert_eq!(state("typo").0, "failed");
    assert_eq!(state("unknown"), ("failed".into(), "there is no DAG `nowhere`: see `crondag list_dags`".into()));
    let rehearsed = home.run(&["test", "d", "hard", "20180701"]);
    assert_eq!(rehearsed.status.code(), Some(1));
    assert!(out(&rehearsed).contains("not yet: file never/2018-07-01"), "{}", out(&rehearsed));

    // A wait without a process has no log; what there is to say is said.
    let run = "backfill__2018-07-01T00:00:00+00:00";
    let logs = home.run(&["logs", "d", "hard", "20180701"]);
    assert_eq!(logs.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&logs.stderr),
        format!(
            "error: hard failed in {run} without a log: waited 200ms in vain for file never/2018-07-01\n\
             next: crondag clear d {run} --task hard\n"
        )
    );
    let diagnosis = home.run(&["diagnose", "d", "hard", "20180701"]);
    assert_eq!(
        out(&diagnosis),
        format!(
            "d hard 2018-07-01 00:00 +00:00, try 1\n\n\
             certain: what the task waits for did not come in time (upstream_late)\n\
             \x20 | hard waited 200ms in vain for file never/2018-07-01\n\
             \x20 ask who answers for file never/2018-07-01; once it is there, let the task wait again\n\n\
             next: crondag clear d {run} --task hard\n"
        )
    );
    let unknown = home.run(&["diagnose", "d", "unknown", "20180701"]);
    let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(said.starts_with(&format!("error: unknown failed in {run} without a log: there is no DAG")), "{said}");
}

#[test]
fn a_check_and_its_reconciliation_take_what_a_command_prints() {
    let dag = "max_active_runs = 1\n[tasks.counts]\nenv = { DAY = '{{ ds }}' }\n[tasks.counts.check]\n\
        command = 'cat counts-$DAY.csv; exit $(cat status-$DAY)'\n\
        [tasks.counts.check.reconcile]\ncommand = 'echo path,files; echo /dw/a,3'\n";
    let home = Home::with_tables(&[("d", dag)]);
    home.write("counts-2018-07-01.csv", "path,files\n/dw/a,3\n").write("status-2018-07-01", "0");
    home.write("counts-2018-07-02.csv", "path,files\n/dw/a,4\n").write("status-2018-07-02", "0");
    home.write("counts-2018-07-03.csv", "path,files\n/dw/a\n").write("status-2018-07-03", "0");
    home.write("counts-2018-07-04.csv", "path,files\n/dw/a,3\n").write("status-2018-07-04", "3");
    home.write("counts-2018-07-05.csv", "path,files\n/dw/a,\"12,345\"\n").write("status-2018-07-05", "0");
    assert_eq!(home.backfill("d", 1, 1), Some(0), "{}", home.log("d", 1, "counts"));
    assert_eq!(home.values(&["d"])[0]["value"].as_f64(), Some(3.0));
    for (day, said) in [
        (2, "verdict: fail"),
        (3, "error: the command's CSV: line 2: 1 value for 2 columns\n"),
        (4, "error: the command ended with exit status: 3; nothing is recorded\n"),
        (5, "fail: /dw/a files: `12,345` is no number; reconcile: only one side has a number\n"),
    ] {
        assert_eq!(home.backfill("d", day, day), Some(1));
        let log = home.log("d", day, "counts");
        assert!(log.contains(said), "{log}");
    }
}

#[test]
fn the_signal_that_killed_what_gives_the_values_is_said_and_diagnosed() {
    let killed = "exit status 137: a program of it was killed by signal 9 SIGKILL (out of memory? see `dmesg`)";
    let fine = "command = 'echo k,n; echo a,1'\n";
    let dag = format!(
        "[tasks.itself.check]\ncommand = 'echo k,n; kill -KILL $$'\n\
         [tasks.program.check]\ncommand = 'echo k,n; sh -c \"kill -KILL \\$\\$\"; exit $?'\n\
         [tasks.other_side.check]\n{fine}[tasks.other_side.check.reconcile]\ncommand = 'kill -KILL $$'\n\
         [tasks.term.check]\ncommand = 'kill -TERM $$'\n\
         [tasks.own.check]\ncommand = 'exit 200'\n\
         [tasks.statements.sql]\nconnection = 'hive'\nstatements = 'SELECT 1'\n"
    );
    let home = Home::with_tables(&[("d", &dag)]);
    let program = home.file("beeline");
    let hive = format!("[connections.hive]\ntype = 'hive'\nurl = 'u'\nprogram = '{}'\n", program.display());
    let home = home.config(&format!("{CONFIG}{hive}"));
    fs::write(&program, "#!/bin/sh\nkill -KILL $$\n").unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    assert_eq!(home.backfill("d", 1, 1), Some(1));
    for task in ["itself", "program", "other_side"] {
        assert_eq!(home.state_on("d", 1, task), ("failed".into(), killed.into()), "{task}");
        let log = home.log("d", 1, task);
        assert!(
            log.contains("error: the command was killed by signal 9 SIGKILL (out of memory? see `dmesg`); nothing"),
            "{log}"
        );
        let causes = home.run(&["diagnose", "d", task, "20180701"]).out();
        assert!(causes.contains("it was killed with SIGKILL"), "{causes}");
    }
    assert_eq!(home.state_on("d", 1, "statements").1, killed);
    let log = home.log("d", 1, "statements");
    assert!(log.contains("beeline gave no result and no reason (signal: 9 (SIGKILL))\n"), "{log}");
    let term = "exit status 143: a program of it was killed by signal 15 SIGTERM";
    assert_eq!(home.state_on("d", 1, "term").1, term);
    assert_eq!(home.state_on("d", 1, "own").1, "exit status 1");
    assert!(home.log("d", 1, "own").contains("error: the command ended with exit status: 200; nothing is recorded\n"));
}

#[test]
fn a_text_where_a_query_should_give_a_number_fails_the_check() {
    let check = "connection = 'warehouse'\nquery = \"SELECT tag, users, 'n/a' AS cost FROM tags WHERE day = :ds\"\n";
    let dag = format!("[tasks.all.check]\n{check}[tasks.named.check]\n{check}metrics = ['users']\n");
    let home = Home::with_tables(&[("d", &dag)]);
    home.day(1, 10);
    assert_eq!(home.backfill("d", 1, 1), Some(1));
    let log = home.log("d", 1, "all");
    for expected in [
        "fail: 2 of 4 values are no numbers, and no NULL (in CSV an empty cell) either: correct the source; where a column is a time, \
         name it in a rule with max_age; where it is another text, name the columns with numbers in `metrics`\n",
        "\nfail: A cost: `n/a` is no number\nfail: B cost: `n/a` is no number\nverdict: fail (4 values: 2 fail, 2 ok)\n",
    ] {
        assert!(log.contains(expected), "{log}");
    }
    assert_eq!(home.state_on("d", 1, "named").0, "success");
}

#[test]
fn a_secret_that_rows_hold_is_neither_recorded_nor_shown() {
    let dag = "[tasks.c]\nenv = { KEY = '{{ secret.KEY }}' }\n[tasks.c.check]\n\
        command = \"echo path,files; echo \\\"$KEY,$KEY\\\"; echo x$KEY,not-$KEY\"\n";
    let home = Home::with_tables(&[("d", dag)]).config(&format!("{CONFIG}[secrets]\nKEY = {{ file = 'key' }}\n"));
    home.write("key", "open-sesame-42");
    home.backfill("d", 1, 1);
    let shown = format!("{}{:?}", home.log("d", 1, "c"), home.values(&["d"]));
    assert!(shown.contains("is no number") && !shown.contains("sesame"), "{shown}");
}

#[test]
fn a_weekly_dag_waits_for_all_runs_of_a_daily_one_and_names_the_dates_that_lack() {
    // The daily one fires after the weekly one: the days that they have in common count, not the hours.
    let daily = "schedule = '0 7 * * *'\n[tasks.load]\nshell = 'test ! -e broken-{{ ds }}'\n";
    let weekly = "schedule = '0 6 * * 1'\n[tasks.w.wait]\ndag = 'daily'\nover = 'interval'\nevery = '50ms'\n\
        for_at_most = '200ms'\n";
    let home = Home::with_tables(&[("daily", daily), ("weekly", weekly)]);
    for day in ["2018-07-04", "2018-07-06"] {
        home.write(&format!("broken-{day}"), "");
    }
    assert_eq!(home.backfill("daily", 2, 7), Some(1));
    assert_eq!(home.backfill("weekly", 2, 2), Some(1));
    let reason = "waited 200ms in vain for DAG daily of 2018-07-04 07:00 (its run has failed), \
                  2018-07-06 07:00 (its run has failed), 2018-07-08 07:00 (it has not run)";
    assert_eq!(home.state_on("weekly", 2, "w"), ("failed".into(), reason.into()));

    for day in ["2018-07-04", "2018-07-06"] {
        home.remove(&format!("broken-{day}"));
    }
    assert_eq!(home.again("daily", 4), Some(0));
    assert_eq!(home.again("daily", 6), Some(0));
    assert_eq!(home.backfill("daily", 8, 8), Some(0));
    assert_eq!(home.again("weekly", 2), Some(0));
}

#[test]
fn a_wait_over_an_interval_leaves_out_what_lies_before_the_start_of_the_other_dag() {
    let daily = "schedule = '0 7 * * *'\nstart_date = 2018-07-07\n[tasks.load]\nshell = 'true'\n";
    let weekly = "schedule = '0 6 * * 1'\n[tasks.w.wait]\ndag = 'daily'\nover = 'interval'\nevery = '50ms'\n";
    let home = Home::with_tables(&[("daily", daily), ("weekly", weekly)]);
    assert_eq!(home.backfill("daily", 7, 8), Some(0));
    assert_eq!(home.backfill("weekly", 2, 2), Some(0), "the days since the start are all there");
    let none = home.run(&["test", "weekly", "w", "20180625"]);
    assert_eq!(none.status.code(), Some(1));
    let said = out(&none);
    let why = "DAG daily has no run between 2018-06-25 06:00 and 2018-07-02 06:00: what lies there of its schedule is before its \
               start_date or after its end_date";
    assert!(said.contains(why), "{said}");
}

#[test]
fn a_wait_that_is_tried_in_a_home_in_which_nothing_has_run_finds_nothing_yet() {
    let dag = "[tasks.dag]\nwait = { dag = 'other' }\n[tasks.gate]\nwait = { gate = 'ok' }\n";
    let home = Home::with_tables(&[("d", dag), ("other", "[tasks.a]\nshell = 'true'\n")]);
    std::fs::remove_dir_all(home.path().join(".crondag")).ok();
    for task in ["dag", "gate"] {
        let tried = home.run(&["test", "d", task, "20180701"]);
        let said = format!("{}{}", out(&tried), String::from_utf8_lossy(&tried.stderr));
        assert!(said.contains("not yet: nothing has run in this home"), "{said}");
    }
}

#[test]
fn a_manual_run_of_the_date_counts_for_those_that_wait_for_it() {
    let waits = "[tasks.w.wait]\ndag = 'other'\nevery = '50ms'\nfor_at_most = '200ms'\n";
    let home = Home::with_tables(&[("other", "[tasks.load]\nshell = 'true'\n"), ("waits", waits)]);
    assert_eq!(home.backfill("waits", 1, 1), Some(1));
    let reason = "waited 200ms in vain for DAG other of 2018-07-01 00:00 (it has not run)";
    assert_eq!(home.state_on("waits", 1, "w"), ("failed".into(), reason.into()));

    home.run(&["trigger", "other", "--date", "20180701"]).success();
    until("it has run", || out(&home.run(&["runs", "other", "--json"])).contains("\"success\""));
    assert_eq!(home.again("waits", 1), Some(0));
}

#[test]
fn a_thousand_waiting_tasks_hold_no_process_and_no_slot() {
    let mut dag = String::from("max_active_tasks = 1\n[tasks.work]\nshell = 'echo > worked'\n");
    for task in 0..1000 {
        dag += &["[tasks.w", &task.to_string(), ".wait]\nfile = 'go'\nevery = '1s'\n"].concat();
    }
    let home = Home::with_tables(&[("d", &dag)]);
    let mut backfill = home.command(&["backfill", "-s", "2018-07-01", "-e", "2018-07-01", "d"]).spawn().unwrap();
    until("the other task is done", || home.has("worked"));
    until("all wait", || out(&home.run(&["tasks", "d", "--json"])).matches("up_for_reschedule").count() == 1000);
    assert_eq!(home.file(".crondag/logs").join("d").read_dir().unwrap().count(), 1);
    home.write("go", "");
    assert!(backfill.wait().unwrap().success());
}

#[test]
fn a_report_tells_in_text_and_pictures_what_moved() {
    let dag = format!(
        "{COUNTS}[tasks.report]\nafter = ['push']\ntrigger_rule = 'all_done'\n[tasks.report.report]\n\
         to = ['boss@example.com']\nsubject = 'tags of {{{{ ds }}}}'\n"
    );
    let home = Home::with_tables(&[("tags", &dag)]);
    for day in 1..=4 {
        home.day(day, 100 + day);
    }
    home.day(5, 300);
    home.backfill("tags", 1, 5);
    let is_report = |mail: &&String| mail.contains("To: boss@example.com");
    until("five reports", || home.mails().iter().filter(is_report).count() == 5);
    let mails = home.mails();
    let of_day = |subject: &str| {
        mails.iter().find(|mail| mail.contains(subject)).unwrap_or_else(|| panic!("no mail `{subject}`"))
    };
    let good = of_day("Subject: [crondag] ok: tags of 2018-07-04");
    assert!(good.contains("Gate tags_ok: ok (by 1 check)"));
    let bad = of_day("Subject: [crondag] fail: tags of 2018-07-05");
    let text = readable(bad);
    for expected in [
        "tags for 2018-07-05: something failed.",
        "- counts failed: exit status 1",
        "- push could not run",
        "- counts: fail A users (jump: +193 % against the median of 4 dates, at most 30 % allowed)",
        "Gate tags_ok: fail (by counts)",
        "Check counts: fail",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    assert_eq!(bad.matches("Content-Type: image/png").count(), 2);
    assert!(bad.contains("cid:chart0@crondag") || text.contains("cid:chart0@crondag"));
}

/// Quoted-printable undone, as far as these mails need it.
fn readable(mail: &str) -> String {
    mail.replace("=\r\n", "").replace("=\n", "").replace("=3D", "=").replace("=20", " ")
}

#[test]
fn a_gate_of_two_checks_opens_when_both_have_spoken() {
    let check = |name: &str, more: &str| {
        format!(
            "[tasks.{name}]\n{more}[tasks.{name}.check]\nconnection = 'warehouse'\n\
             query = 'SELECT tag, users FROM tags WHERE day = :ds'\ngate = 'tags_ok'\n"
        )
    };
    let last = "[tasks.wait]\nafter = 'one'\nshell = 'echo > one; until [ -e go ]; do sleep 0.05; done'\n";
    let home = Home::with_tables(&[("d", &format!("{}{last}{}", check("one", ""), check("two", "after = 'wait'\n")))]);
    home.day(1, 100);
    let mut backfill = home.command(&["backfill", "-s", "2018-07-01", "-e", "2018-07-01", "d"]).spawn().unwrap();
    until("the first has spoken", || home.has("one"));
    let gate = home.run(&["gate", "tags_ok", "20180701"]);
    assert_eq!(gate.status.code(), Some(1), "{}", out(&gate));
    assert!(out(&gate).contains("d two at ") && out(&gate).contains(": has yet to speak"), "{}", out(&gate));
    home.write("go", "");
    assert!(backfill.wait().unwrap().success());
    assert_eq!(home.run(&["gate", "tags_ok", "20180701"]).status.code(), Some(0));
}

/// A task that says its offset, and a check that is good at 08:00 in Shanghai and in no zone to the west of it.
fn in_shanghai() -> Home {
    let home = Home::with_tables(&[(
        "d",
        "schedule = '0 7 * * *'\n[tasks.says]\nshell = 'date +%z'\n\
         [tasks.fresh.check]\nconnection = 'warehouse'\nquery = \"SELECT 'all' AS key, '2018-07-02 06:00:00' AS at\"\n\
         key = ['key']\n[tasks.fresh.check.rules]\nat = { max_age = '2h' }\n",
    )]);
    home.with("crondag.toml", CONFIG)
}

#[track_caller]
fn is_in_shanghai(home: &Home) {
    home.run("test d says 20180701").success().stdout_eq("+0800\n");
    home.run("test d fresh 20180701").success();
}

/// `TZ` may be a rule, which has no name in the tz database.
#[test]
fn tasks_and_checks_have_the_zone_of_a_rule() {
    is_in_shanghai(&in_shanghai().env("TZ", "CST-8"));
}

/// A copy of a file of the tz database does not say which one it was.
#[test]
fn tasks_and_checks_have_the_zone_of_a_file_without_a_name() {
    let home = in_shanghai();
    fs::copy("/usr/share/zoneinfo/Asia/Shanghai", home.file("zone")).unwrap();
    let zone = format!(":{}", home.file("zone").display());
    let home = home.env("TZ", &zone);
    is_in_shanghai(&home);
    // The zone can be found again on this machine alone, so it is not written down.
    home.run("init new").success();
    assert!(home.read("new/crondag.toml").contains("\n# timezone = \"Asia/Shanghai\"\n"));

    if !Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success()) {
        eprintln!("this machine lets us have no /etc of our own");
        return;
    }
    let home = in_shanghai();
    let etc = home.file("etc");
    assert!(Command::new("cp").arg("-a").arg("/etc").arg(&etc).status().unwrap().success());
    // It may be a link, behind which no file is to be replaced.
    let _ = fs::remove_file(etc.join("localtime"));
    fs::copy("/usr/share/zoneinfo/Asia/Shanghai", etc.join("localtime")).unwrap();
    let other_etc = format!("unset TZ; mount --bind '{}' /etc && exec \"$@\"", etc.display());
    let home = home.run_by(&["unshare", "--mount", "sh", "-c", &other_etc, "sh"]);
    is_in_shanghai(&home);
    home.run("show d").success().stdout_eq("d  0 7 * * * (local time)\n...\n");
}

/// A job that fails without the file `ok`, and a check behind it whose gate is `good`.
fn behind_a_gate() -> Home {
    let dag = "[tasks.job]\nshell = 'test -e ok'\n[tasks.chk]\nafter = 'job'\n[tasks.chk.check]\n\
        connection = 'warehouse'\nquery = 'SELECT tag, users FROM tags WHERE day = :ds'\ngate = 'good'\n\
        rules.size.min = 10\n";
    let home = Home::with_tables(&[("d", dag)]);
    home.day(1, 100);
    home.write("ok", "");
    home
}

#[test]
fn a_gate_is_shut_from_when_its_check_is_cleared_until_the_check_speaks_again() {
    let home = behind_a_gate();
    assert_eq!(home.backfill("d", 1, 1), Some(0));
    assert_eq!(home.run(&["gate", "good", "20180701"]).status.code(), Some(0));

    fs::remove_file(home.file("ok")).unwrap();
    assert!(home.run(&["clear", "d", "20180701", "-y"]).status.success());
    until("the job has failed", || home.state_on("d", 1, "chk").0 == "upstream_failed");
    let gate = home.run(&["gate", "good", "20180701"]);
    assert_eq!(gate.status.code(), Some(1), "{}", out(&gate));
    assert!(out(&gate).contains("d chk at ") && out(&gate).contains(": has yet to speak"), "{}", out(&gate));
    assert!(out(&gate).ends_with("next: crondag explain d chk 2018-07-01\n"), "{}", out(&gate));

    home.write("ok", "");
    assert_eq!(home.again("d", 1), Some(0));
    assert_eq!(home.run(&["gate", "good", "20180701"]).status.code(), Some(0), "it has spoken again");
}

#[test]
fn what_a_person_said_of_a_gate_ends_when_the_check_is_cleared_unless_they_shut_it() {
    let set = |home: &Home, verdict: &str| {
        let reason = ["--reason", "the drop is the holiday"];
        let set = home.run(&[&["gate", "set", "good", "20180701", verdict], &reason[..]].concat());
        assert!(set.status.success(), "{set:?}");
    };
    let home = behind_a_gate();
    home.day(1, 4);
    assert_eq!(home.backfill("d", 1, 1), Some(1));
    set(&home, "ok");
    assert_eq!(home.run(&["gate", "good", "20180701"]).status.code(), Some(0));
    assert_eq!(home.again("d", 1), Some(1));
    let gate = home.run(&["gate", "good", "20180701"]);
    assert_eq!(gate.status.code(), Some(1), "{}", out(&gate));
    let says = "lets the checks decide: d chk was cleared after the gate was opened by hand\n";
    assert!(out(&gate).contains(says), "{}", out(&gate));

    set(&home, "fail");
    home.day(1, 100);
    assert_eq!(home.again("d", 1), Some(0));
    assert_eq!(home.run(&["gate", "good", "20180701"]).status.code(), Some(1), "a person has shut it");
}

#[test]
fn a_gate_opened_by_hand_before_its_check_ever_spoke_is_the_checks_once_that_was_cleared() {
    let home = behind_a_gate();
    home.day(1, 4);
    fs::remove_file(home.file("ok")).unwrap();
    assert_eq!(home.backfill("d", 1, 1), Some(1));
    assert!(home.run(&["gate", "set", "good", "20180701", "ok", "--reason", "counted by hand"]).status.success());
    home.write("ok", "");
    assert_eq!(home.again("d", 1), Some(1));
    let gate = home.run(&["gate", "good", "20180701"]);
    assert_eq!(gate.status.code(), Some(1), "{}", out(&gate));
}
