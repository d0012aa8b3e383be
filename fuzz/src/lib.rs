//! What must hold whatever the text is. Each function panics when it does not.

mod calendar;
/// The core, as it stands.
#[path = "../../src/dag/mod.rs"]
pub mod dag;
#[path = "../../src/app/next_step.rs"]
mod next_step;
/// What the pages say that one may do.
pub mod app {
    pub use crate::next_step::NextStep;
}
/// The width of the pages that show faults.
#[path = "../../src/cli/layout.rs"]
pub mod layout;

/// The pages that show faults.
#[path = "../../src/cli/diagnostic.rs"]
pub mod diagnostic;

use std::collections::BTreeMap;
use std::path::Path;

use crate::diagnostic::{Style, render};
use crate::dag::file::{Fault, Severity, read_config, read_dag, read_diagnosis};
use crate::dag::schedule::{DataInterval, Schedule, When, parse_when};
use crate::dag::template::{Checker, Renderer, Scope, Secrets};
use crate::dag::units::{format_duration, parse_duration, parse_size};
use crate::dag::{Config, Dag};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

/// A DAG file, which may as well be crondag.toml or diagnosis.toml.
pub fn dag_file(text: &str) {
    let (dag, faults) = read_dag("a", text, &Config::default(), &|_| false);
    check(text, dag.is_some(), &faults);
    let (config, faults) = read_config(text);
    check(text, config.is_some(), &faults);
    let (_, faults) = read_diagnosis(text);
    check(text, !has_errors(&faults), &faults);
}

fn has_errors(faults: &[Fault]) -> bool {
    faults.iter().any(|fault| fault.severity == Severity::Error)
}

fn check(text: &str, is_good: bool, faults: &[Fault]) {
    assert_eq!(is_good, !has_errors(faults), "{faults:?}");
    for fault in faults {
        for span in std::iter::once(&fault.span).chain(fault.related.iter().map(|(span, _)| span)) {
            assert!(text.get(span.clone()).is_some(), "{span:?} is not within the text: {fault:?}");
        }
        assert!(!fault.message.is_empty() && !fault.message.contains('\n'), "{fault:?}");
        let (line, column) = fault.position(text);
        assert!(line >= 1 && column >= 1 && line <= text.matches('\n').count() + 1, "{fault:?}");
    }
    let page = render(faults, Path::new("a.toml"), text, Style::PLAIN);
    assert!(!page.contains(|c: char| c.is_control() && c != '\n'), "a control character reached the page: {page:?}");
}

/// A schedule, after a minute of 2024 to 2039 that the text's first word says.
pub fn schedule(text: &str) {
    let (first, expression) = text.split_once('|').unwrap_or(("0", text));
    let minutes = i64::from(first.parse::<u32>().unwrap_or(0) % (15 * 366 * 1_440));
    let after = Timestamp::from_second(1_704_067_200 + minutes * 60).expect("a time of this century");
    let Ok(schedule) = Schedule::parse(expression) else { return };
    assert_eq!(Schedule::parse(schedule.text()).expect("it was good before").text(), schedule.text());
    calendar::check(&schedule, after);
    for zone in ["UTC", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo"] {
        let zone = TimeZone::get(zone).expect("a zone that is built in");
        let Some(next) = schedule.next_fire(after, &zone) else { continue };
        assert!(next > after, "{next} is not after {after}");
        let just_after = next.checked_add(SignedDuration::from_nanos(1)).expect("far from the end of time");
        assert_eq!(schedule.prev_fire(just_after, &zone), Some(next), "backwards from {next}");
        if let Some(prev) = schedule.prev_fire(next, &zone) {
            assert!(prev <= after, "{prev} lies between {after} and {next}");
            assert_eq!(schedule.next_fire(prev, &zone), Some(next), "from {prev}");
        }
    }
}

/// A template.
pub fn template(text: &str) {
    const SECRET: &str = "xyzzy-plugh";
    let params = BTreeMap::from([("window".to_owned(), serde_json::json!(30)), ("city".to_owned(), "北京".into())]);
    let vars = BTreeMap::from([("bucket".to_owned(), serde_json::json!("raw"))]);
    for fault in Checker::new(&params, &vars, ["DB"].iter()).check(text) {
        assert!(text.get(fault.span.clone()).is_some(), "{fault:?} is not within the text");
        assert!(!fault.message.is_empty());
    }
    let dag = dag();
    let interval = DataInterval {
        start: Timestamp::from_second(1_530_403_200).expect("in 2018"),
        end: Timestamp::from_second(1_530_489_600).expect("in 2018"),
    };
    let scope = Scope {
        dag: &dag,
        task: &dag.tasks[0],
        interval,
        run_type: crate::dag::RunType::Scheduled,
        run_id: "scheduled__2018-07-01T00:00:00+00:00",
        try_number: 1,
        params: &params,
        vars: &vars,
    };
    let secrets = |value: &'static str| Secrets::new(move |name| (name == "DB").then(|| Ok(value.to_owned())));
    let shown = Renderer::new(&scope, secrets("***")).render(text);
    assert_eq!(shown, Renderer::new(&scope, secrets("***")).render(text), "the same names give the same text");
    if let (Ok(shown), false) = (shown, text.contains("xyzzy")) {
        assert!(!shown.contains(SECRET));
    }
    // With the value itself it may give anything, but no panic.
    let _ = Renderer::new(&scope, secrets(SECRET)).render(text);
}

fn dag() -> Dag {
    let text = "schedule = '@daily'\ntimezone = 'UTC'\n[tasks.a]\nshell = 'true'\n";
    read_dag("a", text, &Config::default(), &|_| true).0.expect("a good file")
}

/// A date on a command line.
pub fn date(text: &str) {
    for zone in ["UTC", "America/New_York", "Pacific/Apia", "Africa/Monrovia"] {
        let zone = TimeZone::get(zone).expect("a zone that is built in");
        let Ok(when) = parse_when(text, &zone) else { continue };
        // A zone may skip a whole day, as Samoa did on 2011-12-30: then it has no instants.
        let is_skipped = |date: civil::Date| TimeZone::to_datetime(&zone, when.first_instant(&zone)).date() != date;
        let has_instants = when.first_instant(&zone) <= when.last_instant(&zone);
        assert!(has_instants || matches!(when, When::Date(date) if is_skipped(date)), "{when:?}");
        let printed = match when {
            When::Date(date) => date.to_string(),
            When::Instant(instant) => instant.to_string(),
        };
        assert_eq!(parse_when(&printed, &zone).ok(), Some(when), "{printed}");
    }
}

/// A duration, or a size.
pub fn duration(text: &str) {
    match parse_duration(text) {
        Ok(duration) => {
            let printed = format_duration(duration);
            // Tenths of seconds are for people only.
            if printed.contains('.') {
                return;
            }
            let again = parse_duration(&printed).unwrap_or_else(|fault| panic!("{printed}: {fault:?}"));
            assert_eq!(format_duration(again), printed, "{duration:?}");
            let lost = duration.abs_diff(again).as_millis();
            let unit = match duration.as_secs() {
                86_400.. => 3_600_000,
                3_600.. => 60_000,
                _ => 1_000,
            };
            assert!(lost <= unit, "{duration:?} is printed as {printed}");
        }
        Err(fault) => assert!(text.get(fault.span.clone()).is_some(), "{fault:?} is not within the text"),
    }
    if let Err(fault) = parse_size(text) {
        assert!(text.get(fault.span.clone()).is_some(), "{fault:?} is not within the text");
    }
}
