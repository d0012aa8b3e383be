//! `report`: one mail about the run.

use crate::dag::file::fault::Fault;
use crate::dag::file::reader::{Entry, Reader};
use crate::dag::file::section::{Field, Kind, Section, field, with_default};
use crate::dag::file::suggest::or_known;
use crate::dag::file::surroundings::Surroundings;
use crate::dag::model::Report;

pub(super) const FIELD: Field = field(
    "report",
    Kind::Table(&SECTION),
    "{ to = [\"profile@example.com\"] }",
    "Action: one mail with the values that the run's checks recorded, what failed and what was late",
);

/// `[tasks.NAME.report]`
static SECTION: Section = Section {
    header: "[tasks.NAME.report]",
    place: "a report table",
    doc: "One mail about the run: its checks with value, baseline, change and verdict, charts of the values as pictures, the gates, \
          what failed, what took longer than usual. Its task needs a `trigger_rule` such as \"all_done\" to be sent on bad days \
          too.",
    required: &[],
    one_of: &[],
    groups: &[&[
        field("to", Kind::Emails, "[\"profile@example.com\"]", "Who gets it; the task's `email` when left out"),
        field("subject", Kind::Template, "\"Tags of {{ ds }}\"", "Its subject, after the verdict. A template"),
        field("checks", Kind::TaskIds, "[\"tag_counts\"]", "The checks that it shows; all of the DAG when left out"),
        with_default("charts", Kind::Whole(0, 100), "12", "0", "How many charts at most; the worst values first"),
        with_default("history", Kind::Whole(2, 366), "30", "90", "How many dates a chart shows"),
    ]],
};

/// Reads the `report` action of a task.
pub(super) fn read<'f>(
    reader: &mut Reader<'f>,
    entry: &Entry<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Report> {
    let open = reader.table(entry)?;
    let checks = reader.task_ids(&open, "checks");
    for check in checks.iter().filter(|check| !surroundings.checks.contains(&check.value.as_str())) {
        let message = format!("there is no check `{}`", check.value);
        let fault =
            Fault::error("unknown-check", check.span.clone(), message, "no task of this file is a check of this name");
        reader.push(or_known(fault, &check.value, surroundings.checks.iter().copied(), "leave it out"));
    }
    Some(Report {
        to: reader.emails(&open, "to").unwrap_or_default(),
        subject: reader.template(&open, "subject").map(|subject| subject.value),
        checks: checks.into_iter().map(|check| check.value).collect(),
        charts: reader.count(&open, "charts").unwrap_or(12),
        history: reader.count(&open, "history").unwrap_or(30),
    })
}
