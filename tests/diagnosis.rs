//! The corpus: logs of failures that were really provoked, each with the cause that must be named.
//!
//! At least nine of ten are named right, and none is named wrong with confidence. `cargo test --test diagnosis --
//! --nocapture` shows the rates and the misses. How the logs were made: `tests/diagnosis/provoke/provoke.sh`.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod common;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use common::Home;
use crondag::diagnose::{Catalogue, Confidence, End, Evidence, Log, Subject};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    /// The id of the cause, or `unknown`.
    cause: String,
    exit_code: Option<u8>,
    signal: Option<u8>,
    /// Kept aside while the catalogue was written.
    holdout: bool,
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnosis/corpus");
    let mut cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

#[derive(Default)]
struct Rate {
    all: usize,
    right: usize,
}

impl Rate {
    fn shown(&self) -> String {
        format!("{} of {} ({:.0} %)", self.right, self.all, 100.0 * self.right as f64 / self.all as f64)
    }
}

#[test]
fn the_causes_of_real_failures_are_named() {
    let catalogue = Catalogue::built_in();
    let (mut developed, mut held_out) = (Rate::default(), Rate::default());
    let (mut misses, mut wrongly_sure) = (String::new(), Vec::new());
    let mut sure = 0;
    for case in cases() {
        let name = case.file_name().unwrap().to_str().unwrap().to_owned();
        let expected: Expected = toml::from_str(&fs::read_to_string(case.join("expect.toml")).unwrap()).unwrap();
        let known = expected.cause == "unknown" || catalogue.causes().iter().any(|cause| cause.id == expected.cause);
        assert!(known, "{name} expects a cause that does not exist: {}", expected.cause);
        let end = match (expected.exit_code, expected.signal) {
            (Some(code), None) => End::Exited(code),
            (None, Some(signal)) => End::Signaled(signal),
            other => panic!("{name}: {other:?}"),
        };
        let log = String::from_utf8_lossy(&fs::read(case.join("log.txt")).unwrap()).into_owned();
        let diagnosis = catalogue.diagnose(&Evidence {
            subject: Subject::default(),
            end,
            started: None,
            log: Log::of_text(&log),
            upstreams: Vec::new(),
            files: Vec::new(),
            history: Vec::new(),
            gaps: Vec::new(),
            action: if name.contains("-spark-") { "spark" } else { "shell" },
        });
        let found = diagnosis.findings.first().map_or("unknown", |first| first.id.as_str());
        let rate = if expected.holdout { &mut held_out } else { &mut developed };
        rate.all += 1;
        sure += usize::from(diagnosis.confidence() == Confidence::Certain);
        if found == expected.cause {
            rate.right += 1;
            continue;
        }
        let how_sure = diagnosis.confidence().as_str();
        let part = if expected.holdout { "hold-out" } else { "" };
        writeln!(misses, "{name:<32} {:<22} {found:<22} {how_sure:<8} {part}", expected.cause).unwrap();
        if diagnosis.confidence() == Confidence::Certain {
            wrongly_sure.push(name);
        }
    }
    let all = Rate { all: developed.all + held_out.all, right: developed.right + held_out.right };
    println!("named right: {}; with certainty: {sure}", all.shown());
    println!("  seen while the catalogue was written: {}", developed.shown());
    println!("  hold-out: {}", held_out.shown());
    println!("misses (case, cause, named, confidence):\n{misses}");
    assert!(all.all >= 60, "{} cases", all.all);
    assert!(held_out.all * 4 >= all.all, "{} of {} are held out", held_out.all, all.all);
    assert!(all.right * 10 >= all.all * 9, "named right: {}\n{misses}", all.shown());
    assert_eq!(wrongly_sure, Vec::<String>::new(), "named wrong with confidence\n{misses}");
}

impl Home {
    /// The causes that `diagnose --json` names for task `a`, each with what could not be read.
    fn causes(&self) -> Vec<(Value, Value)> {
        let causes = self.json("diagnose d a 2018-07-01 --json");
        causes.into_iter().map(|cause| (cause["id"].clone(), cause["gaps"].clone())).collect()
    }
}

#[test]
fn what_cannot_be_read_is_named_as_a_gap() {
    let dag = "[tasks.a]\nshell = 'kill -9 $$'\n\
               [tasks.c]\nafter = 'a'\n[tasks.c.check]\nquery = 'select 1'\nconnection = 'w'\n";
    let home = Home::new().config("[connections.w]\ntype = 'sqlite'\npath = 'w.db'\n").dag("d", dag);
    home.run("backfill -s 2018-07-01 -e 2018-07-01 d").code(1);
    let killed = |gaps: Value| vec![(Value::from("killed"), gaps)];
    assert_eq!(home.causes(), killed(Value::Array(Vec::new())));
    let log = ".crondag/logs/d/backfill__2018-07-01T00:00:00+00:00/a.1.log";
    home.remove(log);
    assert_eq!(home.causes(), killed(["the log has been removed"].into()));
    fs::create_dir(home.file(log)).unwrap();
    assert_eq!(home.causes(), killed(["the log cannot be read: Is a directory (os error 21)"].into()));
    let database = rusqlite::Connection::open(home.file(".crondag/crondag.db")).unwrap();
    database.execute_batch("ALTER TABLE checks RENAME TO elsewhere").unwrap();
    drop(database);
    let gaps = home.causes()[0].1.clone();
    assert_eq!(gaps[0], "the log cannot be read: Is a directory (os error 21)");
    assert!(gaps[1].as_str().unwrap().starts_with("what checks recorded cannot be read: "), "{gaps}");
}

#[test]
fn what_to_do_about_missing_memory_fits_what_the_task_runs() {
    let catalogue = Catalogue::built_in();
    let advice = |action: &'static str, table: Option<&str>, end: End, log: &str| {
        let subject = Subject {
            task: "merge".to_owned(),
            settings: table.map(|_| ("executor_memory".to_owned(), "8g".to_owned())).into_iter().collect(),
            spark_table: table.map(str::to_owned),
            ..Subject::default()
        };
        let (log, upstreams, files, history, gaps) = (Log::of_text(log), vec![], vec![], vec![], vec![]);
        let evidence = Evidence { subject, end, started: None, log, upstreams, files, history, gaps, action };
        catalogue.diagnose(&evidence).findings.remove(0).advice
    };
    let spark = Some("[tasks.merge.spark]");
    let connection = Some("[connections.lake.spark] of crondag.toml");
    let executor = "Caused by: executor 3): java.lang.OutOfMemoryError: Java heap space\n";
    let of_executor = |action, table| advice(action, table, End::Exited(1), executor);
    let partitions = "or spread the work over more partitions, then run it again";
    assert_eq!(
        of_executor("spark", spark),
        format!("raise `executor_memory` (now 8g) in [tasks.merge.spark]; {partitions}")
    );
    assert_eq!(
        of_executor("sql", connection),
        format!("raise `executor_memory` (now 8g) in [connections.lake.spark] of crondag.toml; {partitions}")
    );
    assert_eq!(of_executor("shell", None), format!("raise `--executor-memory` of its spark-submit; {partitions}"));
    let heap = "Exception in thread \"main\" java.lang.OutOfMemoryError: Java heap space\n";
    let of_heap = |action, table| advice(action, table, End::Exited(1), heap);
    assert_eq!(
        of_heap("spark", spark),
        "raise `driver_memory` (not set) in [tasks.merge.spark]; or bring less into memory at once"
    );
    assert_eq!(
        of_heap("shell", None),
        "bring less into memory at once; give the Java program more with -Xmx, or its spark-submit with `--driver-memory`"
    );
    assert_eq!(of_heap("sql", None), "bring less into memory at once; of beeline it is -Xmx in `HADOOP_CLIENT_OPTS`");
    let killed = "look whether the kernel did it; then run fewer tasks at once with a pool, or let it need less memory";
    assert_eq!(
        advice("spark", spark, End::Signaled(9), ""),
        format!(
            "{killed}; in client mode its driver has the memory of this machine: with `deploy_mode = \"cluster\"` it runs elsewhere"
        )
    );
    assert_eq!(
        advice("sql", None, End::Signaled(9), ""),
        format!("{killed}; let the database write the result into a table instead of fetching it")
    );
}
