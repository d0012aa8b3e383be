//! `crondag validate` over files, folders and homes: what it looks at and what it says.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod common;

use std::path::Path;

use common::Home;
use crondag::app::query::validate::{Validation, validate as check};
use crondag::cli::diagnostic::Style;
use crondag::cli::validate::{github, human as page, json as rows};
use crondag::dag::file::Severity;
use serde_json::{Value, json};

const GOOD: &str = "[tasks.a]\nshell = \"true\"\n";

/// A home with these files.
fn home(files: &[(&str, &[u8])]) -> Home {
    files.iter().fold(Home::bare(), |home, (name, content)| home.with(name, content))
}

fn human(home: &Home) -> String {
    page(&report(home), home.path(), Style::PLAIN)
}

fn report(home: &Home) -> Validation {
    check(&[home.path().to_path_buf()])
}

#[test]
fn good_files_are_worth_one_line() {
    let one = home(&[("crondag.toml", b""), ("dags/a.toml", GOOD.as_bytes())]);
    assert_eq!(human(&one), "1 DAG is valid\n");
    let two = home(&[("crondag.toml", b""), ("dags/a.toml", GOOD.as_bytes()), ("dags/b.toml", GOOD.as_bytes())]);
    assert_eq!(human(&two), "2 DAGs are valid\n");
    assert_eq!(rows(&report(&two), two.path()), "[]\n");
    assert_eq!(github(&report(&two), two.path()), "");
    assert_eq!(human(&home(&[("crondag.toml", b""), ("dags/.keep", b"")])), "no DAG files found\n");
}

#[test]
fn all_faults_of_all_files_are_told_in_one_go() {
    let home = home(&[
        ("crondag.toml", b"parallelism = 0\n"),
        ("dags/a.toml", b"schedule = \"0 25 * * *\"\n[tasks.a]\nshell = \"true\"\n"),
        ("dags/b.toml", GOOD.as_bytes()),
        ("dags/my dag.toml", GOOD.as_bytes()),
        ("dags/notes.txt", b"not a DAG"),
        ("dags/spark.toml", b"[tasks.a.spark]\napplication = \"jobs/a.py\"\n"),
    ]);
    let expected = "\
error[out-of-range]: `parallelism` is out of range
 --> crondag.toml:1:15
  |
1 | parallelism = 0
  |               ^ expected 1 to 10000

error[bad-schedule]: 25 is out of range for the hour field
 --> dags/a.toml:1:15
  |
1 | schedule = \"0 25 * * *\"
  |               ^^ not a value of this field
  |
  = help: the hour field takes 0 to 23

error[bad-dag-id]: `my dag` cannot be the id of a DAG
--> dags/my dag.toml
 = help: an id has only letters, digits, `_`, `-` and `.`, not ` `
 = help: the id is the name of the file without `.toml`: rename the file

warning[missing-file]: the application `jobs/a.py` does not exist
 --> dags/spark.toml:2:15
  |
2 | application = \"jobs/a.py\"
  |               ^^^^^^^^^^^ not found from the home
  |
  = help: the task will fail until the file is there; relative paths begin at the home

error: 3 errors, 1 warning in 4 of 5 files
next: correct them, then type `crondag validate` again
";
    assert_eq!(human(&home), expected);
    assert_eq!(report(&home).count(Severity::Error), 3);
}

#[test]
fn a_faulty_crondag_toml_does_not_make_its_dags_look_faulty() {
    let home = home(&[
        ("crondag.toml", b"[pools\nyarn = 4\n"),
        ("dags/a.toml", b"[tasks.a]\nshell = \"true\"\npool = \"yarn\"\n"),
    ]);
    assert_eq!(report(&home).count(Severity::Error), 1);
}

#[test]
fn dag_files_are_read_with_the_settings_of_the_home_above_them() {
    let home = home(&[
        ("crondag.toml", b"pools.yarn = 4\n"),
        (
            "dags/a.toml",
            b"[tasks.a]\nshell = \"true\"\npool = \"yarn\"\n[tasks.b.spark]\napplication = \"jobs/b.py\"\n",
        ),
        ("jobs/b.py", b""),
    ]);
    for path in ["dags/a.toml", "dags"] {
        let report = check(&[home.path().join(path)]);
        assert_eq!(page(&report, home.path(), Style::PLAIN), "1 DAG is valid\n", "{path}");
    }
}

#[test]
fn two_files_with_one_id_are_a_fault() {
    let home = home(&[("crondag.toml", b""), ("dags/a.toml", GOOD.as_bytes()), ("dags/old/a.toml", GOOD.as_bytes())]);
    let report =
        check(&[home.path().join("dags/a.toml"), home.path().join("dags/old"), home.path().join("dags/a.toml")]);
    let rows: Value = serde_json::from_str(&rows(&report, home.path())).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 1, "{rows:#}");
    assert_eq!((&rows[0]["file"], &rows[0]["code"]), (&json!("dags/old/a.toml"), &json!("duplicate-dag-id")));
}

#[test]
fn folders_below_the_dags_are_not_read_and_that_is_said() {
    let home = home(&[("crondag.toml", b""), ("dags/a.toml", GOOD.as_bytes()), ("dags/old/b.toml", GOOD.as_bytes())]);
    let expected = "\
warning[ignored-folder]: DAG files in this folder are not read
--> dags/old
 = help: only the files directly in the folder of DAGs are: move them up

1 DAG is valid, 1 warning
";
    assert_eq!(human(&home), expected);
}

/// Nothing reads the file of an editor beside the one that is edited; a folder that is called as a DAG file is a faulty one.
#[test]
fn what_is_read_as_a_dag_is_the_same_for_every_command() {
    let home = home(&[
        ("crondag.toml", b"timezone = 'UTC'\n"),
        ("dags/a.toml", GOOD.as_bytes()),
        ("dags/.a.toml", b"half of"),
        ("dags/.b.TOML", b"half of"),
        ("dags/old/.b.toml", b"half of"),
        ("dags/folder.toml/notes.txt", b""),
    ]);
    let faulty = human(&home);
    assert!(
        faulty.contains("--> dags/folder.toml\n") && faulty.contains("error: 1 error in 1 of 3 files\n"),
        "{faulty}"
    );
    home.run("list_dags").success().stdout_eq(snapbox::str![[r"
dag     schedule  next start  last run
a       -         -           -
folder  1 fault   faulty      -

next: crondag validate

"]]);
}

#[test]
fn nothing_is_foretold_without_the_history_that_it_needs() {
    let dag = "schedule = '@daily'\ncatchup = true\nstart_date = 2020-01-01\n[tasks.a]\nshell = 'true'\n";
    let home = Home::new().dag("a", dag).with(".crondag/crondag.db", "no database".repeat(1000));
    home.run("validate").success().stdout_eq(snapbox::str![[r"
note: what the next runs will be is not known: [..]
next: [..]
1 DAG is valid
zone: UTC (crondag.toml)

"]]);
}

#[test]
fn what_is_no_text_no_file_or_empty_has_clear_words() {
    let home = home(&[
        ("crondag.toml", b""),
        ("dags/empty.toml", b""),
        ("dags/latin.toml", b"description = \"na\xefve\"\n[tasks.a]\nshell = \"true\"\n"),
        ("dags/upper.TOML", GOOD.as_bytes()),
        ("dags/nul.toml", b"\0\0\0\0"),
    ]);
    let gone = home.path().join("dags/gone.toml");
    let report = check(&[home.path().to_path_buf(), gone]);
    let rows: Value = serde_json::from_str(&rows(&report, home.path())).unwrap();
    let found: Vec<String> = rows
        .as_array()
        .unwrap()
        .iter()
        .map(|row| format!("{}:{}:{} {}", row["file"], row["line"], row["column"], row["code"]).replace('"', ""))
        .collect();
    let expected = [
        "dags/empty.toml:1:1 no-tasks",
        "dags/latin.toml:1:18 not-utf8",
        "dags/nul.toml:1:1 syntax",
        "dags/upper.TOML:1:1 bad-file-name",
        "dags/gone.toml:1:1 not-found",
    ];
    assert_eq!(found, expected);
    let page = page(&report, home.path(), Style::PLAIN);
    assert!(page.contains("1 | description = \"na�ve\"\n  |                  ^ this byte is no character"), "{page}");
    assert!(page.contains("--> dags/gone.toml\n = help: check the name"), "{page}");
}

#[test]
fn columns_count_characters_from_one() {
    let home = home(&[
        ("crondag.toml", b""),
        ("dags/a.toml", "tags = [\"用户画像\", 5]\n[tasks.a]\nshell = \"true\"\n".as_bytes()),
    ]);
    let rows: Value = serde_json::from_str(&rows(&report(&home), home.path())).unwrap();
    let expected = json!([{
        "file": "dags/a.toml",
        "line": 1,
        "column": 17,
        "severity": "error",
        "code": "wrong-type",
        "message": "`tags` takes a list of strings, this is a whole number",
        "help": "write \"5\"",
    }]);
    assert_eq!(rows, expected);
    assert_eq!(
        github(&report(&home), home.path()),
        "::error file=dags/a.toml,line=1,col=17,title=wrong-type::`tags` takes a list of strings, this is a whole \
         number%0Ahelp: write \"5\"\n"
    );
}

#[test]
fn colour_is_only_where_it_is_asked_for() {
    let home = home(&[("crondag.toml", b"x = 1")]);
    assert!(!human(&home).contains('\u{1b}'));
    assert!(page(&report(&home), Path::new(""), Style::COLOUR).contains('\u{1b}'));
}

#[test]
fn a_wait_for_a_dag_or_a_task_that_no_file_has_is_a_fault_of_the_file_that_waits() {
    let waits = "[tasks.dag.wait]\ndag = \"order\"\n\n[tasks.task.wait]\ndag = \"orders\"\ntask = \"loda\"\n\n\
                 [tasks.faulty.wait]\ndag = \"faulty\"\ntask = \"x\"\n\n[tasks.good.wait]\ndag = \"orders\"\ntask = \"load\"\n";
    let home = home(&[
        ("crondag.toml", b""),
        ("dags/faulty.toml", b"[tasks.a]\n"),
        ("dags/orders.toml", b"[tasks.load]\nshell = \"true\"\n"),
        ("dags/waits.toml", waits.as_bytes()),
    ]);
    let expected = "\
error[no-action]: task `a` has no action
 --> dags/faulty.toml:1:8
  |
1 | [tasks.a]
  |        ^ expected one of `shell`, `spark`, `sql`, `wait`, `check` and `report`
  |
  = help: write for example shell = \"echo {{ ds }}\"

error[unknown-dag]: unknown DAG `order`
 --> dags/waits.toml:2:7
  |
2 | dag = \"order\"
  |       ^^^^^^^ there is no such DAG file
  |
  = help: did you mean `orders`?

error[unknown-task]: DAG `orders` has no task `loda`
 --> dags/waits.toml:6:8
  |
6 | task = \"loda\"
  |        ^^^^^^ no task of that DAG has this id
  |
  = help: did you mean `load`?

error: 3 errors in 2 of 4 files
next: correct them, then type `crondag validate` again
";
    assert_eq!(human(&home), expected);
    // One file is read against all others of its home.
    let one = check(&[home.path().join("dags/waits.toml")]);
    assert_eq!(one.count(Severity::Error), 2);
}
