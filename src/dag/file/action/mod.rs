//! The actions of tasks: each in a file of its own, which has its keys and reads them.

mod check;
mod report;
mod shell;
mod spark;
mod sql;
mod wait;

use super::fault::Fault;
use super::reader::{At, Entry, Open, Reader};
use super::section::Field;
use super::surroundings::Surroundings;
use super::value::listed;
use crate::dag::model::{Action, ActionKind};

/// The key of each action.
pub(super) static FIELDS: [Field; ActionKind::ALL.len()] = {
    let mut fields = [shell::FIELD; ActionKind::ALL.len()];
    let mut index = 0;
    while index < fields.len() {
        fields[index] = field(ActionKind::ALL[index]);
        index += 1;
    }
    fields
};

const fn field(kind: ActionKind) -> Field {
    match kind {
        ActionKind::Shell => shell::FIELD,
        ActionKind::Spark => spark::FIELD,
        ActionKind::Sql => sql::FIELD,
        ActionKind::Wait => wait::FIELD,
        ActionKind::Check => check::FIELD,
        ActionKind::Report => report::FIELD,
    }
}

fn read_one<'f>(
    reader: &mut Reader<'f>,
    kind: ActionKind,
    entry: &Entry<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Action> {
    match kind {
        ActionKind::Shell => shell::read(reader, entry).map(Action::Shell),
        ActionKind::Spark => spark::read(reader, entry, surroundings).map(|spark| Action::Spark(Box::new(spark))),
        ActionKind::Sql => sql::read(reader, entry, surroundings).map(Action::Sql),
        ActionKind::Wait => wait::read(reader, entry, surroundings).map(Action::Wait),
        ActionKind::Check => check::read(reader, entry, surroundings).map(|check| Action::Check(Box::new(check))),
        ActionKind::Report => report::read(reader, entry, surroundings).map(Action::Report),
    }
}

/// Reads the action of a task; `None`, with faults, when there is none, or more than one.
pub(super) fn read<'f>(
    reader: &mut Reader<'f>,
    name: &At<&str>,
    open: &Open<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Action> {
    let entries = open.entries().iter();
    let found: Vec<(ActionKind, Entry<'_, 'f>)> =
        entries.filter_map(|entry| Some((ActionKind::parse(entry.field.key)?, entry.clone()))).collect();
    // All of them are read, so that all their faults are found.
    let mut actions: Vec<Option<Action>> =
        found.iter().map(|(kind, entry)| read_one(reader, *kind, entry, surroundings)).collect();
    match found.as_slice() {
        [] if !ActionKind::WORDS.iter().all(|action| open.lacks(action)) => {}
        [] => {
            let message = format!("task `{}` has no action", name.value);
            reader.push(
                Fault::error(
                    "no-action",
                    open.at.clone(),
                    message,
                    format!("expected one of {}", listed(&ActionKind::WORDS)),
                )
                .help("write for example shell = \"echo {{ ds }}\""),
            );
        }
        [_] => return actions.pop().flatten(),
        [(_, first), others @ ..] => {
            for (_, other) in others {
                let message = format!("task `{}` has two actions", name.value);
                reader.push(
                    Fault::error("two-actions", other.key.clone(), message, "a second action")
                        .also(first.key.clone(), "the first action")
                        .help("make two tasks of it, one `after` the other"),
                );
            }
        }
    }
    None
}
