//! `spark`: one `spark-submit`.

use crate::dag::file::fault::Fault;
use crate::dag::file::reader::{Entry, Reader};
use crate::dag::file::section::{Field, Kind, Section, field};
use crate::dag::file::spark;
use crate::dag::file::surroundings::{Surroundings, warn_of_missing_file};
use crate::dag::model::Spark;

pub(super) const FIELD: Field =
    field("spark", Kind::Table(&SECTION), "{ application = \"jobs/load.py\" }", "Action: one `spark-submit`");

/// `[tasks.NAME.spark]`
pub(in crate::dag::file) static SECTION: Section = Section {
    header: "[tasks.NAME.spark]",
    place: "a spark table",
    doc: "One `spark-submit`, started without a shell. Lists take the place of those in `[defaults.spark]` and in \
          crondag.toml's `[spark]`; `conf` is merged key by key. All texts are templates.",
    required: &["application"],
    one_of: &[],
    groups: &[
        &[
            field(
                "application",
                Kind::Template,
                "\"jobs/load.py\"",
                "The Python file or jar. Relative to the home, or with a scheme such as `hdfs://`",
            ),
            field("args", Kind::Templates, "[\"{{ ds_nodash }}\"]", "Arguments of the application"),
        ],
        &spark::OPTIONS,
    ],
};

/// Reads the `spark` action of a task.
pub(super) fn read<'f>(
    reader: &mut Reader<'f>,
    entry: &Entry<'_, 'f>,
    surroundings: &Surroundings<'_>,
) -> Option<Spark> {
    let open = reader.table(entry)?;
    reader.is_command_line = true;
    let application = reader.template(&open, "application");
    if let Some(application) = &application {
        warn_of_missing_file(reader, application, "application", surroundings);
    } else if open.lacks("application") {
        reader.push(
            Fault::error(
                "missing-key",
                open.at.clone(),
                "a spark action needs an `application`",
                "expected `application` in this table",
            )
            .help("write for example application = \"jobs/load.py\""),
        );
    }
    let args = reader.list(&open, "args");
    reader.is_command_line = false;
    let own = spark::options(reader, &open);
    let options = surroundings.config.spark.options.clone().with(surroundings.spark).with(&own);
    Some(Spark { application: application?.value, args, options })
}
