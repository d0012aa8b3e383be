//! `check`: the source of the values, rules, reconciliation.

use crate::dag::check::{Baseline, Check, Query, Reconcile, Rule, Rules, Source, Verdict};
use crate::dag::file::fault::Fault;
use crate::dag::file::reader::{Entry, Open, Reader};
use crate::dag::file::section::{Field, Kind, Section, field, with_default};
use crate::dag::file::source::{read_connection, read_source};
use crate::dag::file::surroundings::Surroundings;
use crate::dag::file::value::any_name;

pub(super) const FIELD: Field = field(
    "check",
    Kind::Table(&SECTION),
    "{ connection = \"warehouse\", query = \"SELECT tag, count(*) FROM tags GROUP BY tag\" }",
    "Action: records values and judges them against their history",
);

/// `[tasks.NAME.check]`
static SECTION: Section = Section {
    header: "[tasks.NAME.check]",
    place: "a check table",
    doc: "Runs a query, or a command, that returns a row for each key, records the numbers in its other columns for the run's date, and judges \
          them. Exactly one of `query`, `file` and `command`. A value is ok, warn or fail: warn sends mail and goes on, fail fails the task. A run \
          of the same date replaces its values. Without any rule the values are only recorded.",
    required: &[],
    one_of: &["query", "file", "command"],
    groups: &[
        &SOURCE,
        &[
            field(
                "key",
                Kind::Texts,
                "[\"tagid\"]",
                "The columns that make up the key; the first column when left out",
            ),
            field(
                "metrics",
                Kind::Texts,
                "[\"tag_count\"]",
                "The columns that are recorded; all but the key's when left out",
            ),
            field(
                "gate",
                Kind::Text,
                "\"tags_ok\"",
                "The gate that gets the verdict for the date. It opens on `ok` and on what is said to be no more than `warn`. Clearing the check shuts it until the check speaks again",
            ),
            with_default(
                "no_rows",
                Kind::Choice(&VERDICTS),
                "\"fail\"",
                "\"warn\"",
                "The verdict when the query returns nothing",
            ),
            with_default(
                "duplicate_keys",
                Kind::Choice(&VERDICTS),
                "\"fail\"",
                "\"ok\"",
                "The verdict when a key has several rows: a join has multiplied them",
            ),
            with_default(
                "missing_keys",
                Kind::Choice(&VERDICTS),
                "\"warn\"; with `gate`: \"fail\"",
                "\"warn\"",
                "The verdict when a key of the newest good date before has no row. A gate opens on whole data only, unless \
                 `warn` says here that such a key does no harm",
            ),
            with_default(
                "new_keys",
                Kind::Choice(&VERDICTS),
                "\"ok\"",
                "\"warn\"",
                "The verdict when a key was never there before",
            ),
            field(
                "rules",
                Kind::Tables(&RULE),
                "{ jump = { max_change = 0.3 } }",
                "What the values must keep, by name",
            ),
            field(
                "reconcile",
                Kind::Table(&RECONCILE),
                "{ connection = \"serving\", query = \"SELECT tagid, count(*) FROM tagsmap GROUP BY tagid\" }",
                "A second query whose values must agree, key by key",
            ),
        ],
    ],
};

/// `[tasks.NAME.check.rules.NAME]`
static RULE: Section = Section {
    header: "[tasks.NAME.check.rules.NAME]",
    place: "a rule",
    doc: "One rule. It holds for all metrics and keys unless it names some; every bound in it must be kept. A baseline is made of \
          earlier dates whose check did not fail; without enough of them `max_change` and `max_deviations` judge nothing.",
    required: &[],
    one_of: &[],
    groups: &[&[
        field("metrics", Kind::Texts, "[\"tag_count\"]", "The metrics that it is for"),
        field("keys", Kind::Texts, "[\"A111*\"]", "The keys that it is for; `*` and `?` stand for any characters"),
        field("min", Kind::Number(-FAR, FAR), "1", "The value must not be below this"),
        field("max", Kind::Number(-FAR, FAR), "0.95", "The value must not be above this"),
        field(
            "max_change",
            Kind::Number(0.0, FAR),
            "0.3",
            "The value may differ from its baseline by this share of it, up or down: 0.3 is 30 %",
        ),
        field(
            "max_deviations",
            Kind::Number(0.0, FAR),
            "5",
            "The value may differ from the median of `last` dates by so many robust standard deviations (1.4826 times the median \
             absolute deviation)",
        ),
        with_default(
            "against",
            Kind::Choice(&BASELINES),
            "\"median\"",
            "\"same_weekday\"",
            "The baseline of `max_change`: the median of `last` dates, the previous date, or the same weekday a week before",
        ),
        field(
            "min_base",
            Kind::Number(0.0, FAR),
            "100",
            "`max_change` and `max_deviations` judge from here on: where both the value and its baseline are below, nothing is \
             judged (1 to 2 users is no + 100 %), and a change from a smaller baseline is a share of this",
        ),
        with_default("last", Kind::Whole(1, 366), "7", "28", "How many earlier dates make the baseline"),
        with_default("at_least", Kind::Whole(1, 366), "3", "7", "A median of fewer dates than this judges nothing"),
        field(
            "max_null_share",
            Kind::Number(0.0, FAR),
            "0.01",
            "At most this share of the rows may be NULL in the metric (an empty cell of a `command`'s CSV); a text that is no number fails \
             the check, whatever its share",
        ),
        field(
            "max_age",
            Kind::Duration,
            "\"26h\"",
            "The metric is a time; at the end of the data interval it must not be older than this. NULL is no time; a rule without `metrics` is \
             for the columns without numbers",
        ),
        with_default("verdict", Kind::Choice(&JUDGEMENTS), "\"fail\"", "\"warn\"", "The verdict when it is broken"),
    ]],
};

/// `[tasks.NAME.check.reconcile]`
static RECONCILE: Section = Section {
    header: "[tasks.NAME.check.reconcile]",
    place: "a reconcile table",
    doc: "A second query on a connection of its own, or a command, with the same columns. Every key and metric of either side must be on the \
          other and agree.",
    required: &[],
    one_of: &["query", "file", "command"],
    groups: &[
        &SOURCE,
        &[
            with_default(
                "tolerance",
                Kind::Number(0.0, FAR),
                "0",
                "0.001",
                "The values may differ by this share of the larger one: 0.001 is one in a thousand",
            ),
            with_default(
                "verdict",
                Kind::Choice(&JUDGEMENTS),
                "\"fail\"",
                "\"warn\"",
                "The verdict when they do not agree",
            ),
        ],
    ],
};

/// Beyond any number that a check meets.
const FAR: f64 = 1e15;

static VERDICTS: [&str; 3] = ["ok", "warn", "fail"];
static JUDGEMENTS: [&str; 2] = ["warn", "fail"];
static BASELINES: [&str; 3] = ["median", "previous", "same_weekday"];

/// Where values come from.
static SOURCE: [Field; 5] = [
    field("connection", Kind::Text, "\"warehouse\"", "A connection of crondag.toml"),
    field(
        "query",
        Kind::Template,
        "\"SELECT tagid, tag_count FROM tag_counts WHERE data_date = :ds\"",
        "The query; of several statements the last result set counts. A template",
    ),
    field("file", Kind::Template, "\"sql/tag_counts.sql\"", "A file with the query, relative to the home. A template"),
    field("params", Kind::TextMap, "{ shop = \"{{ params.shop }}\" }", "Values of `:NAME` in the query"),
    field(
        "command",
        Kind::Template,
        "\"echo path,files; hdfs dfs -count /dw/orders/{{ ds }} | awk '{ print $4 \\\",\\\" $2 }'\"",
        "In place of a query: a script for `bash -c` that prints CSV, its first line the names of the columns. It runs as the \
         task's own scripts do; any exit status but 0 fails the check. A template",
    ),
];

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
    let (key, metrics) = (reader.list(&open, "key"), reader.list(&open, "metrics"));
    let gate = reader.text(&open, "gate").map(|gate| gate.value);
    let mut verdict = |key, default| read_verdict(reader, &open, key).unwrap_or(default);
    let (no_rows, duplicate_keys) = (verdict("no_rows", Verdict::Fail), verdict("duplicate_keys", Verdict::Fail));
    // Half the keys behind an open gate are half of everything that is pushed.
    let incomplete = if open.lacks("gate") { Verdict::Warn } else { Verdict::Fail };
    let (missing_keys, new_keys) = (verdict("missing_keys", incomplete), verdict("new_keys", Verdict::Ok));
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
    if let Some(command) = open.get("command").cloned() {
        for key in ["connection", "query", "file", "params"] {
            if let Some(other) = open.get(key) {
                let message = format!("{what} has both `command` and `{key}`");
                reader.push(
                    Fault::error("two-sources", other.key.clone(), message, "expected only one of them")
                        .also(command.key.clone(), "the other one"),
                );
            }
        }
        return reader.template_at(&command).map(|script| Source::Command(script.value));
    }
    let connection = read_connection(reader, open, what, surroundings);
    let query = read_source(reader, open, "query", what, surroundings);
    let params = reader.text_map(open, "params", any_name).unwrap_or_default();
    Some(Source::Query(Query { connection: connection?, query: query?, params }))
}

fn read_verdict<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>, key: &str) -> Option<Verdict> {
    reader.choice(open, key).and_then(|word| Verdict::parse(word.value))
}

fn read_rule<'f>(reader: &mut Reader<'f>, name: &str, open: &Open<'_, 'f>) -> Rule {
    let rule = Rule {
        name: name.to_owned(),
        metrics: reader.list(open, "metrics"),
        keys: reader.list(open, "keys"),
        min: reader.number(open, "min"),
        max: reader.number(open, "max"),
        max_change: reader.number(open, "max_change"),
        max_deviations: reader.number(open, "max_deviations"),
        against: reader
            .choice(open, "against")
            .and_then(|word| Baseline::parse(word.value))
            .unwrap_or(Baseline::Median),
        min_base: reader.number(open, "min_base"),
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
    if rule.min_base.is_some() && rule.max_change.is_none() && rule.max_deviations.is_none() {
        let at = open.get("min_base").map_or_else(|| open.at.clone(), |entry| entry.key.clone());
        reader.push(
            Fault::error(
                "min-base-alone",
                at,
                format!("rule `{name}` has a min_base and compares nothing"),
                "it says from which size on `max_change` and `max_deviations` judge",
            )
            .help("write max_change = 0.3 beside it, or take min_base out"),
        );
    }
    rule
}
