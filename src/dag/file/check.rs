//! `check` tables: the source of the values, rules, reconciliation.

use super::fault::Fault;
use super::reader::{Entry, Open, Reader};
use super::task::{Surroundings, read_connection, read_source};
use super::value::any_name;
use crate::dag::check::{Baseline, Check, Reconcile, Rule, Rules, Source, Verdict};

/// What a rule can bound; one of them must be there.
const BOUNDS: [&str; 6] = ["min", "max", "max_change", "max_deviations", "max_null_share", "max_age"];

/// Reads the `check` action of a task.
pub(super) fn read<'f>(
    reader: &mut Reader<'f>,
    entry: &Entry<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Check> {
    let open = reader.table(entry)?;
    let source = read_where(reader, &open, "a check", surroundings);
    let names = |reader: &mut Reader<'f>, key| super::dag::values(reader.texts(&open, key));
    let (key, metrics) = (names(reader, "key"), names(reader, "metrics"));
    let gate = reader.text(&open, "gate").map(|gate| gate.value);
    let mut verdict = |key, default| read_verdict(reader, &open, key).unwrap_or(default);
    let (no_rows, duplicate_keys) = (verdict("no_rows", Verdict::Fail), verdict("duplicate_keys", Verdict::Fail));
    let (missing_keys, new_keys) = (verdict("missing_keys", Verdict::Warn), verdict("new_keys", Verdict::Ok));
    let mut rules = Vec::new();
    if let Some(entry) = open.get("rules").cloned() {
        for (name, table) in reader.tables(&entry) {
            if let Some(table) = table {
                rules.push(read_rule(reader, name.value, &table));
            }
        }
    }
    let reconcile = match open.get("reconcile").cloned() {
        None => None,
        Some(entry) => match reader.table(&entry) {
            None => return None,
            Some(open) => {
                let source = read_where(reader, &open, "a reconcile table", surroundings);
                let tolerance = reader.number(&open, "tolerance").unwrap_or(0.0);
                let verdict = read_verdict(reader, &open, "verdict").unwrap_or(Verdict::Fail);
                Some(Reconcile { source: source?, tolerance, verdict })
            }
        },
    };
    let rules = Rules { key, metrics, no_rows, duplicate_keys, missing_keys, new_keys, rules };
    Some(Check { source: source?, rules, gate, reconcile })
}

fn read_where<'f>(
    reader: &mut Reader<'f>,
    open: &Open<'_, 'f>,
    what: &str,
    surroundings: &Surroundings<'_>,
) -> Option<Source> {
    let connection = read_connection(reader, open, what, surroundings);
    let query = read_source(reader, open, "query", what, surroundings);
    let params = reader.text_map(open, "params", any_name).unwrap_or_default();
    Some(Source { connection: connection?, query: query?, params })
}

fn read_verdict<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>, key: &str) -> Option<Verdict> {
    reader.choice(open, key).and_then(|word| Verdict::parse(word.value))
}

fn read_rule<'f>(reader: &mut Reader<'f>, name: &str, open: &Open<'_, 'f>) -> Rule {
    let rule = Rule {
        name: name.to_owned(),
        metrics: super::dag::values(reader.texts(open, "metrics")),
        keys: super::dag::values(reader.texts(open, "keys")),
        min: reader.number(open, "min"),
        max: reader.number(open, "max"),
        max_change: reader.number(open, "max_change"),
        max_deviations: reader.number(open, "max_deviations"),
        against: reader
            .choice(open, "against")
            .and_then(|word| Baseline::parse(word.value))
            .unwrap_or(Baseline::Median),
        last: reader.count(open, "last").unwrap_or(7),
        at_least: reader.count(open, "at_least").unwrap_or(3),
        max_null_share: reader.number(open, "max_null_share"),
        max_age: reader.duration(open, "max_age").map(|age| age.value),
        verdict: read_verdict(reader, open, "verdict").unwrap_or(Verdict::Fail),
    };
    if BOUNDS.iter().all(|key| open.lacks(key)) {
        reader.push(
            Fault::error("empty-rule", open.at.clone(), format!("rule `{name}` has no bound"), "it judges nothing")
                .help("write for example max_change = 0.3"),
        );
    }
    rule
}
