//! `wait`: the conditions, and how they are waited for.

use std::ops::Range;
use std::time::Duration;

use crate::dag::file::fault::Fault;
use crate::dag::file::reader::{At, Entry, Open, Reader};
use crate::dag::file::section::{Field, Kind, MANY, Section, field, with_default};
use crate::dag::file::source::read_connection;
use crate::dag::file::surroundings::Surroundings;
use crate::dag::file::value::any_name;
use crate::dag::wait::{AwaitedDag, AwaitedDates, Condition, ConditionKind, Over, Wait};

pub(super) const FIELD: Field = field(
    "wait",
    Kind::Table(&SECTION),
    "{ file = \"data/{{ ds_nodash }}/_SUCCESS\" }",
    "Action: waits until a condition holds",
);

/// `[tasks.NAME.wait]`
static SECTION: Section = Section {
    header: "[tasks.NAME.wait]",
    place: "a wait table",
    doc: "Waits until a condition holds: exactly one of `file`, `query`, `dag`, `url`, `command` and `gate`. Between two \
          evaluations the task is `up_for_reschedule` and holds no process and no slot; files, DAGs and gates are evaluated \
          without any process. The task's `timeout` is that of one evaluation, which also ends, with all its processes, when \
          `for_at_most` is over; the last one, which begins just then, has from 5 to 30 s, as `for_at_most` is long. What \
          cannot be evaluated at all (no such table, no such program) fails the attempt, and `retries` apply; `for_at_most` \
          then counts anew.",
    required: &[],
    one_of: &ConditionKind::WORDS,
    groups: &[&[
        field(
            "file",
            Kind::Template,
            "\"data/{{ ds_nodash }}/_SUCCESS\"",
            "Until the file or folder is there, or one that the pattern (`*`, `?`, `[a-z]`) matches; relative to the home. A \
             template",
        ),
        field(
            "query",
            Kind::Template,
            "\"SELECT count(*) > 0 FROM orders WHERE day = :ds\"",
            "Until the first cell of the first row is true: neither NULL, false, 0 nor an empty text. A template; `:ds` and its \
             like are bound as in `sql`",
        ),
        field("connection", Kind::Text, "\"warehouse\"", "The connection of crondag.toml for `query`"),
        field("params", Kind::TextMap, "{ shop = \"{{ params.shop }}\" }", "Values of `:NAME` in `query`"),
        field(
            "dag",
            Kind::Text,
            "\"orders\"",
            "Until another DAG has succeeded for the matching dates, see `over`. A manual run counts like any other if it began \
             when its data interval was over and had all tasks",
        ),
        field(
            "task",
            Kind::Text,
            "\"load\"",
            "With `dag`: until this task of it has succeeded; the whole run when left out",
        ),
        with_default(
            "over",
            Kind::Choice(&Over::WORDS),
            "\"date\"",
            "\"interval\"",
            "With `dag`: `\"date\"` waits for its run of the same logical date if its schedule has one, else for all its runs \
             whose logical date lies on the same `ds`; `\"interval\"` for all its runs that lie at least by half within this \
             run's data interval, so that a weekly DAG waits for seven runs of a daily one, and none before its `start_date`",
        ),
        with_default(
            "offset",
            Kind::Whole(-MANY, MANY),
            "0",
            "-1",
            "With `dag`: the date is shifted by so many intervals of this DAG; -1 is the run before",
        ),
        field(
            "date",
            Kind::Template,
            "\"{{ yesterday_ds }}\"",
            "With `dag`, in place of `over` and `offset`: the dates of its runs, separated by spaces or commas. A day means all \
             runs whose logical date lies on it in the zone of that DAG, `2018-07-01T07:00` one of them. A template: \
             `\"{{ data_interval_end | ds }}\"` is the day on which this run starts, `\"{% for n in range(7) %}{{ \
             macros.ds_add(ds, n) }} {% endfor %}\"` are seven days from `ds` on",
        ),
        field(
            "url",
            Kind::Template,
            "\"http://api.example.com/ready?day={{ ds }}\"",
            "Until a web server answers as expected. A template",
        ),
        field(
            "status",
            Kind::Whole(100, 599),
            "204",
            "With `url`: the status that is expected; any from 200 to 299 when left out",
        ),
        field("contains", Kind::Template, "\"complete\"", "With `url`: a text that the answer must contain"),
        field(
            "command",
            Kind::Template,
            "\"hdfs dfs -test -e /dw/orders/{{ ds }}/_SUCCESS\"",
            "Until a script for `bash -c` exits with 0; 126 and 127 (no such program) fail the attempt, all others say \"not yet\". A template",
        ),
        field("gate", Kind::Template, "\"tags_ok\"", "Until a gate is open for the run's `ds`. A template"),
        with_default("every", Kind::Duration, "\"1m\"", "\"30s\"", "How long after an evaluation the next one follows"),
        with_default(
            "for_at_most",
            Kind::Duration,
            "\"12h\"",
            "\"2h\"",
            "How long after the beginning of the first evaluation the wait is over",
        ),
        with_default(
            "soft_fail",
            Kind::Flag,
            "false",
            "true",
            "When the wait is over: `true` skips the task, `false` fails it. There are no retries then",
        ),
    ]],
};

/// Reads the `wait` action of a task.
pub(super) fn read<'f>(
    reader: &mut Reader<'f>,
    entry: &Entry<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Wait> {
    let open = reader.table(entry)?;
    let of_condition = |entry: &Entry<'_, 'f>| Some((ConditionKind::parse(entry.field.key)?, entry.key.clone()));
    let conditions: Vec<(ConditionKind, Range<usize>)> = open.entries().iter().filter_map(of_condition).collect();
    if let [(_, first), others @ ..] = conditions.as_slice() {
        for (_, other) in others {
            reader.push(
                Fault::error("two-conditions", other.clone(), "a wait action has two conditions", "a second condition")
                    .also(first.clone(), "the first condition")
                    .help("make two tasks of it, one `after` the other"),
            );
        }
    }
    let condition = match conditions.as_slice() {
        [] => {
            if ConditionKind::WORDS.iter().all(|key| open.lacks(key)) {
                reader.push(
                    Fault::error(
                        "missing-key",
                        open.at.clone(),
                        "a wait action needs something to wait for",
                        "expected `file`, `query`, `dag`, `url`, `command` or `gate` in this table",
                    )
                    .help("write for example file = \"data/{{ ds_nodash }}/_SUCCESS\""),
                );
            }
            None
        }
        [(first, _), ..] => read_condition(reader, &open, *first, surroundings),
    };
    for (key, belongs_to) in [
        ("connection", "query"),
        ("params", "query"),
        ("task", "dag"),
        ("offset", "dag"),
        ("over", "dag"),
        ("date", "dag"),
        ("status", "url"),
        ("contains", "url"),
    ] {
        if let Some(entry) = open.get(key)
            && open.get(belongs_to).is_none()
            && !conditions.is_empty()
        {
            reader.push(
                Fault::error(
                    "misplaced-key",
                    entry.key.clone(),
                    format!("`{key}` says nothing without `{belongs_to}`"),
                    "has no meaning here",
                )
                .help("leave it out"),
            );
        }
    }
    let every = reader.span_of_time(&open, "every").unwrap_or(Duration::from_secs(60));
    let for_at_most = reader.span_of_time(&open, "for_at_most").unwrap_or(Duration::from_secs(12 * 3600));
    let soft_fail = reader.flag(&open, "soft_fail").unwrap_or(false);
    Some(Wait { condition: condition?, every, for_at_most, soft_fail })
}

fn read_condition<'f>(
    reader: &mut Reader<'f>,
    open: &Open<'_, 'f>,
    kind: ConditionKind,
    surroundings: &Surroundings<'_>,
) -> Option<Condition> {
    let mut template = |key| reader.template(open, key).map(|text| text.value);
    match kind {
        ConditionKind::File => template("file").map(Condition::File),
        ConditionKind::Command => template("command").map(Condition::Command),
        ConditionKind::Gate => template("gate").map(Condition::Gate),
        ConditionKind::Query => {
            let query = template("query");
            let connection = read_connection(reader, open, "a query", surroundings);
            let params = reader.text_map(open, "params", any_name).unwrap_or_default();
            Some(Condition::Query { connection: connection?, query: query?, params })
        }
        ConditionKind::Dag => {
            let dag = reader.text(open, "dag");
            let task = reader.text(open, "task").map(|task| task.value);
            let offset = reader.whole(open, "offset").and_then(|offset| i32::try_from(offset.value).ok()).unwrap_or(0);
            let over = reader.choice(open, "over").and_then(|word| Over::parse(word.value)).unwrap_or(Over::Date);
            let dates = match open.get("date").cloned() {
                None => AwaitedDates::Matching { offset, over },
                Some(date) => {
                    refuse_beside_date(reader, open, &date);
                    AwaitedDates::Named(reader.named_dates(&date)?)
                }
            };
            let awaited = AwaitedDag { dag: dag?.value, task, dates };
            refuse_itself(reader, open, &awaited, surroundings);
            Some(Condition::Dag(awaited))
        }
        ConditionKind::Url => {
            let url = reader.template(open, "url");
            let status = reader.whole(open, "status").and_then(|status| u16::try_from(status.value).ok());
            let contains = reader.template(open, "contains").map(|text| text.value);
            let url = url?;
            check_scheme(reader, &url)?;
            Some(Condition::Url { url: url.value, status, contains })
        }
    }
}

/// `over` and `offset` say which dates match those of the run, `date` which ones are meant whatever the run's own are.
fn refuse_beside_date<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>, date: &Entry<'_, 'f>) {
    for entry in ["over", "offset"].into_iter().filter_map(|key| open.get(key)) {
        let key = entry.field.key;
        let fault = Fault::error(
            "misplaced-key",
            entry.key.clone(),
            format!("`{key}` says nothing beside `date`"),
            "has no meaning here",
        );
        let help = "leave one of the two out; a shifted date is \"{{ macros.ds_add(ds, -1) }}\"";
        reader.push(fault.also(date.key.clone(), "says which dates are meant").help(help));
    }
}

/// A run that waits for its own end waits until `for_at_most`; for a task of its own there is `after`.
fn refuse_itself(reader: &mut Reader<'_>, open: &Open<'_, '_>, awaited: &AwaitedDag, surroundings: &Surroundings<'_>) {
    let is_own_date = match &awaited.dates {
        AwaitedDates::Matching { offset, .. } => *offset == 0,
        // Whatever else a template says is not known before the run.
        AwaitedDates::Named(template) => matches!(template.trim(), "{{ ds }}" | "{{ ts }}" | "{{ ds_nodash }}"),
    };
    if awaited.dag != surroundings.dag || !is_own_date {
        return;
    }
    let Some(place) = open.get("dag").map(|entry| entry.value.span()) else { return };
    let fault =
        Fault::error("waits-for-itself", place, "this run waits for itself, and so for ever", "the DAG of this file");
    reader.push(match &awaited.task {
        Some(task) => fault.help(format!("to wait for a task of the same run write after = [\"{task}\"]")),
        None => fault.help("to wait for the run before write offset = -1, or depends_on_past = true"),
    });
}

fn check_scheme(reader: &mut Reader<'_>, url: &At<String>) -> Option<()> {
    if ["http://", "https://", "{{"].iter().any(|start| url.value.starts_with(start)) {
        return Some(());
    }
    reader.push(
        Fault::error("bad-url", url.span.clone(), "`url` takes http:// and https:// only", "expected one of the two")
            .help("for anything else wait for a `command`, such as \"curl -fsS ftp://host/file -o /dev/null\""),
    );
    None
}
