//! What must not be seen, written or smuggled in by others, through the built binary: modes of files, secrets, hostile
//! names and values. docs/reliability/security.md lists the threats with the tests here.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::Home;

const GOOD: &str = "[tasks.a]\nshell = 'true'\n";

impl Home {
    /// Exit code and standard error.
    fn refusal(&self, args: &[&str]) -> (Option<i32>, String) {
        let ran = self.run(args);
        (ran.status.code(), ran.err())
    }
}

/// Every file and folder below.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

// ---- modes --------------------------------------------------------------------------------------------------------

#[test]
fn what_crondag_writes_is_for_its_owner_alone_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let home = Home::of("[email]\nfrom = 'a@b.c'\ntransport = 'folder'\npath = 'mail'\n", GOOD);
        home.write(
            "dags/d.toml",
            "schedule = '@daily'\nstart_date = 2024-01-01\n[tasks.a]\nshell = 'echo hello; exit 1'\nemail = 'x@y.z'\n",
        );
        let crondag = |args: &str| {
            let line = format!(
                "umask {umask}; exec '{}' --home '{}' {args}",
                env!("CARGO_BIN_EXE_crondag"),
                home.path().display()
            );
            Command::new("sh").args(["-c", &line]).output().unwrap()
        };
        assert!(crondag("tick").status.success());
        assert_eq!(crondag("backfill -s 2024-01-01 -e 2024-01-01 d").status.code(), Some(1));
        assert!(crondag("tick --foreground").status.success());
        let backup = home.file("backup.db");
        assert!(crondag(&format!("db backup '{}'", backup.display())).status.success());
        assert_eq!(mode_of(&backup), 0o600);
        let state = home.file(".crondag");
        assert_eq!(mode_of(&state), 0o700);
        let found = below(&state);
        assert!(found.iter().any(|path| path.ends_with("a.1.log")), "{found:?}");
        assert!(found.iter().any(|path| path.ends_with("crondag.db")), "{found:?}");
        for path in found.iter().chain(&below(&home.file("mail"))) {
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode_of(path), expected, "{} under umask {umask}", path.display());
        }
    }
}

#[test]
fn a_state_folder_that_was_opened_to_others_is_closed_again() {
    let home = Home::of("", GOOD);
    assert!(home.run(&["tick"]).status.success());
    home.mode(".crondag", 0o755).mode(".crondag/logs", 0o777).mode(".crondag/crondag.db", 0o644);
    assert!(home.run(&["tick"]).status.success());
    assert_eq!(mode_of(&home.file(".crondag")), 0o700);
    assert_eq!(mode_of(&home.file(".crondag/logs")), 0o700);
    assert_eq!(mode_of(&home.file(".crondag/crondag.db")), 0o600);
}

#[test]
fn what_everybody_may_write_is_refused_with_the_command_that_corrects_it() {
    let home = Home::of("", GOOD);
    for (name, wrong, right) in [("", 0o777, 0o755), ("dags", 0o1777, 0o755), ("crondag.toml", 0o666, 0o644)] {
        home.mode(name, wrong);
        let path = home.path().join(name);
        let path = path.display().to_string();
        let remedy = format!("chmod o-w {}", path.trim_end_matches('/'));
        for args in [&["tick"][..], &["list_dags"], &["test", "d", "a", "20240101"], &["scheduler"]] {
            let (code, said) = home.refusal(args);
            assert_eq!(code, Some(2), "{name} {args:?}: {said}");
            assert!(said.contains(&remedy) && said.contains(&format!("{wrong:04o}")), "{name} {args:?}: {said}");
        }
        let faults = home.json(&["validate", "--json"]);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((&faults[0]["code"], &faults[0]["severity"]), (&"world-writable".into(), &"error".into()));
        assert!(faults[0]["help"].as_str().unwrap().contains(&remedy), "{faults:?}");
        home.mode(name, right);
    }
    assert!(home.run(&["validate"]).status.success());
    assert!(home.run(&["tick"]).status.success());
}

#[test]
fn a_sticky_folder_above_the_home_is_no_concern() {
    let home = Home::of("", GOOD);
    home.mode("", 0o1777);
    let inner = home.file("etl");
    assert!(Command::new(env!("CARGO_BIN_EXE_crondag")).arg("init").arg(&inner).status().unwrap().success());
    let tick = Command::new(env!("CARGO_BIN_EXE_crondag")).arg("--home").arg(&inner).arg("tick").status().unwrap();
    assert!(tick.success());
}

#[test]
fn a_dag_file_that_everybody_may_write_stops_no_other_dag() {
    let home = Home::of(
        "",
        "schedule = '0 */6 * * *'\ncatchup = true\nstart_date = 2024-01-01\nend_date = 2024-01-01\nmax_active_runs = 1\n[tasks.a]\nshell = 'echo first >> d.txt'\n",
    );
    home.write("dags/other.toml", "[tasks.a]\nshell = 'echo other > other.txt'\n");
    // A good version is known; then somebody opens the file, and another puts his own words into it.
    assert!(home.run(&["pause", "d"]).status.success());
    assert!(home.run(&["tick"]).status.success());
    home.write("dags/d.toml", "schedule = '0 */6 * * *'\n[tasks.a]\nshell = 'echo smuggled >> d.txt'\n")
        .mode("dags/d.toml", 0o646);
    let (code, said) = home.refusal(&["tick"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("world-writable") && said.contains("chmod o-w"), "{said}");
    let (code, said) = home.refusal(&["test", "d", "a", "20240101"]);
    assert!(code == Some(2) && said.contains("chmod o-w"), "{said}");
    let faults = home.json(&["validate", "--json"]);
    assert_eq!((faults.len(), &faults[0]["code"]), (1, &"world-writable".into()));
    assert_eq!(home.run(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "other"]).status.code(), Some(0));
    assert!(home.file("other.txt").exists());
    // The version from before goes on being scheduled.
    assert!(home.run(&["unpause", "d"]).status.success());
    home.run(&["tick", "--foreground"]);
    let text = fs::read_to_string(home.file("d.txt")).unwrap();
    assert!(text.lines().all(|line| line == "first"), "{text}");
    // `chmod` alone is enough to be believed again: no need to touch the file.
    home.mode("dags/d.toml", 0o644);
    let (code, said) = home.refusal(&["tick"]);
    assert_eq!((code, said.as_str()), (Some(0), ""));
}

// ---- secrets ------------------------------------------------------------------------------------------------------

/// The value of each secret contains the same word, so that one search finds any of them.
const SECRET_CONFIG: &str = r#"
env_file = "secrets.env"
[secrets]
QUOTED  = { env = "QUOTED" }
FILE    = { file = "secrets/key" }
COMMAND = { command = "printf 'xyzzy-from-%s\n' command" }
PEM     = { file = "secrets/pem" }
[connections.w]
type = "sqlite"
path = "w.db"
[email]
from = "etl@example.com"
transport = "folder"
path = "mail"
"#;

const SECRET_DAG: &str = r#"
[env]
KEY = "{{ secret.FILE }}"
[defaults]
email = "admin@example.com"
trigger_rule = "all_done"
[tasks.prints]
shell = '''
# line 2
echo {{ secret.QUOTED | sh }} {{ secret.COMMAND }} "$TOKEN" "$KEY"
printf '%s' '{{ secret.FILE }}' | head -c 5; sleep 0.2; printf '%s\n' '{{ secret.FILE }}' | tail -c +6
printf '%s\n' '{{ secret.PEM }}' >&2
tr '\0' '\n' < /proc/$$/cmdline > title.txt
ps -eo args > ps.txt
env > env.txt
[ "{{ secret.QUOTED | length }}" = 18 ] && [ $LINENO = 9 ] && exit 7
'''
[tasks.vanishes]
shell = "true"
working_dir = "nowhere/{{ secret.FILE }}"
[tasks.renders]
shell = "{{ macros.ds_add(secret.COMMAND, 1) }}"
[tasks.path]
shell = "true"
env = { PATH = "/{{ secret.COMMAND }}" }
[tasks.no_program]
[tasks.no_program.spark]
application = "a.py"
[tasks.no_program.env]
PATH = "/{{ secret.COMMAND }}"
[tasks.statements.sql]
connection = "w"
statements = "SELECT '{{ secret.FILE }}' AS a, :b AS b; SELECT '                                                                                                  {{ secret.COMMAND }}' FROM missing"
params = { b = "{{ secret.QUOTED }}" }
[tasks.reads.sql]
connection = "w"
file = "{{ secret.FILE }}.sql"
"#;

fn secret_home() -> Home {
    let home = Home::of(SECRET_CONFIG, SECRET_DAG);
    home.write("secrets.env", "TOKEN=xyzzy-from-env-file\nQUOTED=\"xyzzy it's $quoted\"\n");
    home.write("secrets/key", "xyzzy-from-file\n").write("secrets/pem", "xyzzy-line-1\nxyzzy-line-2\n");
    home.write("a.py", "");
    home
}

fn assert_no_secret(what: &str, bytes: &[u8]) {
    let at = bytes.windows(5).position(|window| window == b"xyzzy" || window == b"zyzzy");
    let around =
        at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..(at + 80).min(bytes.len())]).into_owned());
    assert_eq!(around, None, "a secret is in {what}");
}

#[test]
fn no_secret_is_in_any_byte_that_crondag_writes_or_shows() {
    let home = secret_home();
    assert_eq!(home.run(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).status.code(), Some(1));
    home.run(&["tick", "--foreground"]);
    let mut searched = 0;
    for folder in [".crondag", "mail"] {
        for path in below(&home.path().join(folder)).iter().filter(|path| path.is_file()) {
            searched += 1;
            assert_no_secret(&path.display().to_string(), &fs::read(path).unwrap());
        }
    }
    assert!(searched > 10, "{searched}");
    let tasks = ["prints", "vanishes", "renders", "path", "no_program", "statements", "reads"];
    let mut commands: Vec<Vec<&str>> = vec![vec!["tasks", "d"], vec!["runs", "d"], vec!["status"], vec!["validate"]];
    for task in tasks {
        commands.extend([
            vec!["logs", "d", task],
            vec!["diagnose", "d", task],
            vec!["explain", "d", task],
            vec!["render", "d", task, "20240101"],
            vec!["render", "d", task, "20240101", "--json"],
            vec!["test", "d", task, "20240101"],
        ]);
    }
    for command in commands {
        let output = home.run(&command);
        assert_no_secret(&format!("the output of {command:?}"), (output.out() + &output.err()).as_bytes());
    }
    // It was all there, and the tasks had it.
    let log = home.run(&["logs", "d", "prints"]).out();
    assert!(log.contains("\n*** *** *** ***\n***\n***\n"), "{log}");
    assert!(log.contains("exit status 7"), "{log}");
    let environment = fs::read_to_string(home.file("env.txt")).unwrap();
    assert!(environment.contains("TOKEN=xyzzy-from-env-file\n") && environment.contains("KEY=xyzzy-from-file\n"));
    assert!(!environment.contains("CRONDAG_SCRIPT"), "{environment}");
    assert_no_secret("the title of the shell", &fs::read(home.file("title.txt")).unwrap());
    assert_no_secret("the titles of all processes", &fs::read(home.file("ps.txt")).unwrap());
    let reasons = home.json(&["tasks", "d", "--json"]);
    let reason = |task: &str| {
        let row = reasons.iter().find(|row| row["task_id"] == task).unwrap();
        row["reason"].as_str().unwrap_or_default().to_owned()
    };
    assert!(reason("vanishes").contains("nowhere/*** does not exist"), "{}", reason("vanishes"));
    assert!(reason("renders").contains("not a date: ***"), "{}", reason("renders"));
    assert!(reason("no_program").contains("PATH (/***)"), "{}", reason("no_program"));
    assert!(reason("reads").contains("***.sql"), "{}", reason("reads"));
}

#[test]
fn test_prints_what_the_task_prints_with_secrets_masked() {
    let home = secret_home();
    let output = home.run(&["test", "d", "prints", "20240101"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.out(), "*** *** *** ***\n***\n");
    assert!(output.err().contains("\n***\n"));
}

#[test]
fn render_masks_and_runs_no_command_of_a_secret() {
    let home = Home::of(
        "[secrets]\nA = { command = 'touch ran; echo xyzzy' }\n",
        "[tasks.a]\nshell = 'login {{ secret.A | sh }}'\n",
    );
    let shown = home.run(&["render", "d", "a", "20240101"]).out();
    assert!(shown.contains("login '***'"), "{shown}");
    assert!(!home.file("ran").exists());
}

#[test]
fn a_secret_that_cannot_be_had_fails_the_attempt_with_the_reason() {
    for (source, why) in [
        ("command = 'echo abc'", "the secret A is not to be had: it has fewer than 4 characters"),
        ("command = 'echo xyzzy; exit 4'", "the secret A is not to be had: its command ended with exit status: 4"),
        ("env = 'NOT_THERE'", "the secret A is not to be had: NOT_THERE is neither in env_file nor"),
    ] {
        let home = Home::of(&format!("[secrets]\nA = {{ {source} }}\n"), "[tasks.a]\nshell = 'echo {{ secret.A }}'\n");
        assert_eq!(home.run(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).status.code(), Some(1));
        let row = &home.json(&["tasks", "d", "--json"])[0];
        assert!(row["reason"].as_str().unwrap().contains(why), "{row}");
    }
}

#[test]
fn a_command_of_a_secret_that_takes_its_time_holds_nobody_up() {
    let home = Home::of(
        "[secrets]\nSLOW = { command = 'until [ -e go ]; do sleep 0.02; done; echo xyzzy' }\n",
        "[tasks.slow]\nshell = 'echo {{ secret.SLOW }}'\n[tasks.quick]\nshell = 'echo quick; touch done'\n\
         [tasks.asks]\nafter = 'quick'\nshell = 'touch go'\n",
    );
    // Only when the others have run does the command end: were they held up by it, it would not.
    assert_eq!(home.run(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).status.code(), Some(0));
    let rows = home.json(&["tasks", "d", "--json"]);
    assert!(rows.iter().all(|row| row["state"] == "success"), "{rows:?}");
}

/// Masking takes time that grows with what is printed, and a shim that only reads and masks sees neither clock nor signal.
#[test]
fn a_task_that_prints_without_end_something_like_its_secret_is_ended_at_its_timeout() {
    let home = Home::of(
        "[logs]\nmax_size = '1MB'\n[secrets]\nKEY = { file = 'key' }\n",
        "[tasks.prints]\ntimeout = '2s'\nshell = \"true '{{ secret.KEY }}'; head -c 90000 key | tr -d b > as; while cat as; do :; done\"\n",
    );
    home.write("key", format!("{}b", "a".repeat(90_000)));
    assert_eq!(home.run(&["backfill", "-s", "2024-01-01", "-e", "2024-01-01", "d"]).status.code(), Some(1));
    let reason = home.json(&["tasks", "d", "--json"])[0]["reason"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("timed out after ") && reason.ends_with(" (its timeout is 2s)"), "{reason}");
}

#[test]
fn secret_files_that_are_open_to_others_are_refused() {
    let home = secret_home();
    home.mode("secrets.env", 0o644).mode("secrets/key", 0o604);
    let faults = home.json(&["validate", "--json"]);
    let messages: Vec<&str> = faults.iter().map(|fault| fault["message"].as_str().unwrap()).collect();
    assert!(faults.iter().all(|fault| fault["code"] == "bad-secret"), "{faults:?}");
    assert_eq!(messages.len(), 2, "{messages:?}");
    assert!(messages.iter().all(|message| message.contains("chmod o-rwx")), "{messages:?}");
    let (code, said) = home.refusal(&["test", "d", "prints", "20240101"]);
    assert!(code == Some(2) && said.contains("chmod o-rwx"), "{said}");
    home.mode("secrets.env", 0o640).mode("secrets/key", 0o400);
    assert!(home.json(&["validate", "--json"]).is_empty());
}

// ---- hostile values and names -------------------------------------------------------------------------------------

const HOSTILE: [&str; 12] = [
    "'; touch pwned; '",
    "\"; touch pwned; \"",
    "$(touch pwned)",
    "`touch pwned`",
    "a\nb; touch pwned\n",
    "--help",
    "; rm -rf . #",
    "%s%n\\0\\",
    "x'); DROP TABLE t; --",
    "' OR '1'='1",
    "{{ secret.A }}{% raw %}",
    "\u{202e}\u{1b}[31m",
];

#[test]
fn hostile_params_reach_shell_and_sql_as_they_are() {
    let home = Home::of(
        "[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n",
        "[params]\nx = ''\n\
         [tasks.shell]\nshell = '''printf '%s' {{ params.x | sh }} > quoted; printf '%s' \"$CRONDAG_PARAM_X\" > variable'''\n\
         [tasks.sql.sql]\nconnection = 'w'\nstatements = 'SELECT :x AS x'\nto = 'out.csv'\nparams = { x = '{{ params.x }}' }\n",
    );
    for value in HOSTILE {
        let param = format!("x={value}");
        let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap();
        for task in ["shell", "sql"] {
            let output = home.run(&["test", "d", task, "20240101", "--param", &param]);
            assert!(output.status.success(), "{value:?} {task}: {output:?}");
        }
        assert_eq!((read("quoted").as_str(), read("variable").as_str()), (value, value));
        let cell = if value.contains(['"', '\n', ',']) {
            format!("\"{}\"", value.replace('"', "\"\""))
        } else {
            value.to_owned()
        };
        assert_eq!(read("out.csv").trim_end_matches(['\r', '\n']), format!("x\n{cell}").trim_end_matches(['\r', '\n']));
        assert!(!home.file("pwned").exists(), "{value:?}");
    }
}

#[test]
fn hostile_names_are_refused_and_stop_nobody() {
    let home = Home::of("", "[tasks.a]\nshell = 'echo hello'\n");
    let names = ["a;touch pwned", "$(touch pwned)", "--version", "-rf", "a b", "a\nb", "\u{1b}[31mred", "x'--", "..a"];
    for name in names {
        home.write(&format!("dags/{name}.toml"), GOOD);
    }
    home.write(
        "dags/inner.toml",
        "[tasks.\"../../../escaped\"]\nshell = 'true'\n[tasks.\"a; touch pwned\"]\nshell = 'true'\n",
    );
    let (code, said) = home.refusal(&["tick"]);
    assert_eq!(code, Some(2), "{said}");
    for said in [said, home.run("validate").out(), home.run("list_dags").out()] {
        assert!(!said.contains('\x1b'), "a name reaches the terminal as it is: {said}");
    }
    let faults = home.json(&["validate", "--json"]);
    let refused = faults.iter().filter(|fault| fault["code"] == "bad-dag-id").count();
    // A name that begins with a dot is that of an editor's file, which nobody reads.
    let read = names.iter().filter(|name| !name.starts_with('.')).count();
    assert_eq!(refused, read, "{faults:?}");
    assert_eq!(faults.iter().filter(|fault| fault["code"] == "bad-task-id").count(), 2);
    assert!(home.run(&["backfill", "-s", "20240101", "-e", "20240101", "d"]).status.success());
    for hostile in ["x' OR '1'='1", "../../../etc/passwd", "a; touch pwned", "$(touch pwned)", "2024-01-01;touch pwned"]
    {
        for args in [
            vec!["runs", hostile],
            vec!["tasks", "d", hostile],
            vec!["logs", "d", "a", hostile],
            vec!["logs", "d", hostile],
        ] {
            let output = home.run(&args);
            assert_ne!(output.status.code(), Some(0), "{args:?}: {output:?}");
        }
        assert_eq!(home.run(&["backfill", "-s", hostile, "-e", hostile, "d"]).status.code(), Some(2), "{hostile}");
    }
    assert!(!home.file("pwned").exists());
    let logs: Vec<PathBuf> = below(&home.file(".crondag/logs")).into_iter().filter(|path| path.is_file()).collect();
    assert_eq!(logs.len(), 1, "{logs:?}");
}

#[test]
fn no_value_leads_out_of_the_folder_that_a_template_names() {
    let home = Home::of(
        "[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n",
        "[params]\nx = 'x'\n\
         [tasks.to.sql]\nconnection = 'w'\nstatements = 'SELECT 1 AS x'\nto = 'out/{{ params.x }}.csv'\n\
         [tasks.file.sql]\nconnection = 'w'\nfile = 'sql/{{ params.x }}.sql'\n\
         [tasks.folder]\nshell = 'pwd'\nworking_dir = 'jobs/../{{ params.x }}'\n\
         [tasks.spark.spark]\napplication = '{{ params.x }}'\n",
    );
    for (task, value, why) in [
        ("to", "../../up", "out/../../up.csv climbs by `..`"),
        ("file", "../secrets", "sql/../secrets.sql climbs by `..`"),
        ("folder", "..", "jobs/../.. climbs by `..`"),
        ("spark", "--conf=spark.driver.extraJavaOptions=-x", "begins with `-`"),
    ] {
        let (code, said) = home.refusal(&["test", "d", task, "20240101", "--param", &format!("x={value}")]);
        assert!(code == Some(2) && said.contains(why), "{said}");
    }
    assert!(home.run(&["test", "d", "to", "20240101"]).status.success());
    assert!(home.file("out/x.csv").exists());
}

#[test]
fn nothing_adds_a_header_to_a_mail() {
    use crondag::dag::config::{Email, MailTransport};
    use crondag::dag::{RunNumber, RunType};
    use crondag::notify::render::{Evidence, LogTail, Place, render};
    use crondag::notify::{Notice, NoticeEvent, RunFacts, Standing, TaskFacts, deliver_mail};

    let home = Home::bare();
    let evil = "x\r\nBcc: evil@example.com\r\n\r\n<script>";
    let task = TaskFacts {
        task_id: evil.to_owned(),
        try_number: 1,
        max_tries: 1,
        reason: evil.to_owned(),
        started: evil.to_owned(),
        milliseconds: 0,
        log_file: evil.to_owned(),
        printed: None,
    };
    let run = RunFacts {
        number: RunNumber(1),
        dag_id: evil.to_owned(),
        run_type: RunType::Scheduled,
        run_id: evil.to_owned(),
        ds: evil.to_owned(),
        data_interval: (evil.to_owned(), evil.to_owned()),
    };
    let to =
        vec!["good@example.com".to_owned(), "a@b.c\r\nBcc: evil@example.com".to_owned(), format!("{evil} <a@b.c>")];
    let (blocks, standing) = (vec![evil.to_owned()], Standing::default());
    let notice = Notice::new(to, NoticeEvent::TaskFailed { run, task, blocks, runs_on: Vec::new(), standing });
    let place = Place { home: home.path().join(evil), host: evil.to_owned() };
    for log in [LogTail::Lines(vec![evil.to_owned()]), LogTail::Unreadable(evil.to_owned())] {
        let undiagnosed = Some(evil.to_owned());
        let mail = render(&notice, &Evidence { log, undiagnosed, ..Evidence::default() }, &place);
        assert!(!mail.subject.contains(['\r', '\n']) && !mail.html.contains("<script>"), "{mail:?}");
    }
    let mail = render(&notice, &Evidence::default(), &place);
    // A subject as an older database may have it.
    let mail = crondag::notify::Mail { subject: evil.to_owned(), ..mail };
    let settings = Email {
        from: "crondag <etl@example.com>".to_owned(),
        to: Vec::new(),
        transport: MailTransport::Folder { path: "mail".into() },
        max_per_hour: 30,
    };
    let error =
        deliver_mail(&mail, "1.2@host\r\nBcc: evil@example.com", &settings, home.path(), &|_| None).unwrap_err();
    assert!(error.message.contains("is not a mail address"), "{error}");
    let text = fs::read_to_string(&below(&home.path().join("mail"))[0]).unwrap();
    let headers = text.split("\r\n\r\n").next().unwrap();
    let names: Vec<String> = headers
        .lines()
        .filter(|line| !line.starts_with([' ', '\t']))
        .filter_map(|line| line.split_once(':').map(|(name, _)| name.to_lowercase()))
        .collect();
    for name in &names {
        let known = ["from", "to", "subject", "date", "message-id", "auto-submitted", "mime-version", "content-type"];
        assert!(known.contains(&name.as_str()), "{headers}");
    }
    assert!(names.contains(&"subject".to_owned()) && !headers.to_lowercase().contains("\nbcc"), "{headers}");
    let to = headers.lines().find(|line| line.starts_with("To:")).unwrap();
    assert_eq!(to, "To: good@example.com");
}

// ---- the code -----------------------------------------------------------------------------------------------------

#[test]
fn only_one_small_module_is_unsafe() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    assert!(manifest.contains("unsafe_code = \"deny\""));
    let mut lines = 0;
    for path in below(&root.join("src")).iter().filter(|path| path.extension().is_some_and(|end| end == "rs")) {
        let text = fs::read_to_string(path).unwrap();
        let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
        let has_unsafe = words.clone().any(|word| matches!(word, "unsafe" | "unsafe_code"));
        if path.ends_with("attempt/local/sys.rs") {
            lines = text.lines().count();
            let blocks = text.matches("unsafe {").count();
            assert_eq!(blocks, text.matches("// SAFETY:").count(), "each unsafe block says why it is sound");
        } else {
            assert!(!has_unsafe, "{} has unsafe code: it belongs into src/runner/attempt/local/sys.rs", path.display());
        }
    }
    assert!((1..450).contains(&lines), "src/runner/attempt/local/sys.rs is no small module any more: {lines} lines");
}
