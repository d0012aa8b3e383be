//! `wait` tables.

use std::time::Duration;

use super::fault::Fault;
use super::reader::{At, Entry, Open, Reader};
use super::task::{Surroundings, read_connection};
use super::value::any_name;
use crate::dag::wait::{Condition, Wait};

/// Reads the `wait` action of a task.
pub(super) fn read<'f>(
    reader: &mut Reader<'f>,
    entry: &Entry<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Wait> {
    let open = reader.table(entry)?;
    let conditions: Vec<&Entry<'_, 'f>> =
        open.entries().iter().filter(|entry| super::field::WAIT.one_of.contains(&entry.field.key)).collect();
    if let [first, others @ ..] = conditions.as_slice() {
        for other in others {
            reader.push(
                Fault::error(
                    "two-conditions",
                    other.key.clone(),
                    "a wait action has two conditions",
                    "a second condition",
                )
                .also(first.key.clone(), "the first condition")
                .help("make two tasks of it, one `after` the other"),
            );
        }
    }
    let condition = match conditions.as_slice() {
        [] => {
            if super::field::WAIT.one_of.iter().all(|key| open.lacks(key)) {
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
        [first, ..] => read_condition(reader, &open, first.field.key, surroundings),
    };
    for (key, belongs_to) in [
        ("connection", "query"),
        ("params", "query"),
        ("task", "dag"),
        ("offset", "dag"),
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
    key: &str,
    surroundings: &Surroundings<'_>,
) -> Option<Condition> {
    let mut template = |key| reader.template(open, key).map(|text| text.value);
    match key {
        "file" => template("file").map(Condition::File),
        "command" => template("command").map(Condition::Command),
        "gate" => template("gate").map(Condition::Gate),
        "query" => {
            let query = template("query");
            let connection = read_connection(reader, open, "a query", surroundings);
            let params = reader.text_map(open, "params", any_name).unwrap_or_default();
            Some(Condition::Query { connection: connection?, query: query?, params })
        }
        "dag" => {
            let dag = reader.text(open, "dag");
            let task = reader.text(open, "task").map(|task| task.value);
            let offset = reader.whole(open, "offset").and_then(|offset| i32::try_from(offset.value).ok()).unwrap_or(0);
            Some(Condition::Dag { dag: dag?.value, task, offset })
        }
        _ => {
            let url = reader.template(open, "url");
            let status = reader.whole(open, "status").and_then(|status| u16::try_from(status.value).ok());
            let contains = reader.template(open, "contains").map(|text| text.value);
            let url = url?;
            check_scheme(reader, &url)?;
            Some(Condition::Url { url: url.value, status, contains })
        }
    }
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
