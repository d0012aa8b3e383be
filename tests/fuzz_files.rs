//! Whatever a file holds, reading it ends without a panic, and every fault has its place within the text.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crondag::cli::diagnostic::{Style, render};
use crondag::dag::file::{Fault, Severity, read_config, read_dag};
use crondag::dag::{Config, Dag};
use proptest::prelude::*;
use rustix::time::{ClockId, clock_gettime};

const DAG: &str = include_str!("files/userprofile.toml");
const CONFIG: &str = "timezone = \"UTC\"\n[pools]\nyarn = 4\n[env]\nA = \"ü\"\n[connections.w]\ntype = \"sqlite\"\npath = \"w\"\n\
                      [email]\nfrom = \"a@b\"\nhost = \"h\"\n[logs]\nkeep = \"1d\"\n[spark]\nconf.a.b = 1\n";

fn check(text: &str, is_good: bool, faults: &[Fault]) {
    let has_errors = faults.iter().any(|fault| fault.severity == Severity::Error);
    assert_eq!(is_good, !has_errors, "{faults:?}");
    for fault in faults {
        for span in std::iter::once(&fault.span).chain(fault.related.iter().map(|(span, _)| span)) {
            assert!(text.get(span.clone()).is_some(), "{span:?} is not within the text: {fault:?}");
        }
        assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault:?}");
    }
    let plain = render(faults, Path::new("a.toml"), text, Style::PLAIN);
    assert!(!plain.contains('\u{1b}'), "a control character reached the page: {plain:?}");
}

fn read_both(text: &str) {
    let (dag, faults) = read_dag("a", text, &Config::default(), &|_| false);
    check(text, dag.is_some(), &faults);
    let (config, faults) = read_config(text);
    check(text, config.is_some(), &faults);
}

/// Pieces that mean something in these files, so that chance gets far into the reader.
fn piece() -> impl Strategy<Value = String> {
    let pieces = [
        "[tasks.a]",
        "[tasks.\"b c\"]",
        "[defaults]",
        "[[tasks]]",
        "[env]",
        "shell",
        "spark",
        "sql",
        "after",
        "order",
        "retries",
        "timeout",
        "pool",
        "email",
        "schedule",
        "timezone",
        "start_date",
        "params",
        " = ",
        "=",
        "\n",
        "\r\n",
        "\"",
        "'",
        "\"\"\"",
        "'''",
        "{{ ds }}",
        "{{ dss",
        "{% if",
        "}}",
        "\\u00e9",
        "\\",
        "\\\n",
        "{",
        "}",
        "[",
        "]",
        ",",
        ".",
        ">>",
        "a >> b",
        "\"a >> [b, c\"",
        "1",
        "-1",
        "1e999",
        "0x_f",
        "99999999999999999999",
        "2018-07-01",
        "2018-13-01",
        "07:00:00",
        "\"10m\"",
        "\"0 7 * * *\"",
        "true",
        "True",
        "#",
        "ü",
        "日",
        "\u{feff}",
        "\0",
        "\t",
        "a",
        "b",
        " ",
    ];
    prop_oneof![8 => prop::sample::select(pieces.to_vec()).prop_map(str::to_owned), 1 => ".{0,3}"]
}

/// A good file with a part taken out and another put in.
fn mutated(text: &'static str) -> impl Strategy<Value = String> {
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let count = places.len();
    let change = (0..count, 0usize..12, piece());
    prop::collection::vec(change, 1..4).prop_map(move |changes| {
        let mut characters: Vec<String> = text.chars().map(String::from).collect();
        for (at, length, piece) in changes {
            let at = at.min(characters.len());
            let end = (at + length).min(characters.len());
            characters.splice(at..end, [piece]);
        }
        characters.concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text(text in any::<String>()) {
        read_both(&text);
    }

    #[test]
    fn arbitrary_pieces(pieces in prop::collection::vec(piece(), 0..40)) {
        read_both(&pieces.concat());
    }

    #[test]
    fn mutated_dag_files(text in mutated(DAG)) {
        read_both(&text);
    }

    #[test]
    fn mutated_settings(text in mutated(CONFIG)) {
        read_both(&text);
    }
}

/// Reads files of a size and of eight times that size: the work must grow as the file does. Eight times would become 64 if each
/// name, or each fault, went over the whole file. The processor time of this thread counts, whatever else the machine does.
fn grows_with_its_file(
    size: usize,
    text: impl Fn(usize) -> String,
    check: impl Fn(usize, &str, Option<Dag>, Vec<Fault>),
) {
    let now = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
    let of = |size: usize| {
        let text = text(size);
        let began = now();
        let (dag, faults) = read_dag("a", &text, &Config::default(), &|_| false);
        check(size, &text, dag, faults);
        now().saturating_sub(began)
    };
    let small = (0..3).map(|_| of(size)).min().unwrap();
    let large = of(8 * size);
    assert!(large < 24 * small, "{size}: {small:?}, eight times as much: {large:?}");
}

/// Names that are looked up one by one must not make a large file slow.
#[test]
fn a_file_of_many_tasks_is_read_in_time_that_grows_with_it() {
    grows_with_its_file(1_250, many_tasks, |size, _, dag, faults| {
        assert_eq!(faults, []);
        assert_eq!(dag.map(|dag| dag.graph.downstream(size / 2).len()), Some(3));
    });
}

fn many_tasks(tasks: usize) -> String {
    let mut text = String::new();
    for task in 0..tasks {
        let after: Vec<String> =
            (1..=3).filter(|back| *back <= task).map(|back| format!("\"t{}\"", task - back)).collect();
        let _ = writeln!(text, "[tasks.t{task}]\nshell = \"run {{{{ ds }}}}\"\nafter = [{}]", after.join(", "));
    }
    text
}

/// Depth costs stack: what is nested without end must be refused, not overflow.
#[test]
fn depth_does_not_overflow_the_stack() {
    for depth in [100, 1_000, 100_000] {
        read_both(&format!("params{} = 1", ".a".repeat(depth)));
        read_both(&format!("spark.conf{} = 1", ".a".repeat(depth)));
        read_both(&format!("[tasks.a.spark.conf{}]\n", ".a".repeat(depth)));
        read_both(&format!("params.a = {}1{}", "[".repeat(depth), "]".repeat(depth)));
        read_both(&format!("params.a = {}1{}", "{a=".repeat(depth), "}".repeat(depth)));
        read_both(&format!("order = \"{}a\"", "[".repeat(depth)));
    }
}

/// Twice as many faults as tasks, each looked up and drawn.
#[test]
fn a_file_of_many_faults_is_read_in_time_that_grows_with_it() {
    let task = |task: usize| format!("[tasks.t{task}]\nshel = \"x\"\nafter = [\"u{task}\"]\n");
    let text = |tasks: usize| (0..tasks).map(task).collect::<Vec<_>>().concat();
    grows_with_its_file(625, text, |size, text, dag, faults| {
        assert_eq!(faults.len(), 2 * size);
        check(text, dag.is_some(), &faults);
    });
}
