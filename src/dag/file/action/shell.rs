//! `shell`: a script for `bash -c`.

use crate::dag::file::reader::{Entry, Reader};
use crate::dag::file::section::{Field, Kind, field};
use crate::dag::model::Shell;

pub(super) const FIELD: Field = field(
    "shell",
    Kind::Template,
    "\"python3 jobs/load.py {{ ds }}\"",
    "Action: a script for `bash -c`; exit status 99 skips the task. A template; `{{ params.x | sh }}` quotes a value for the shell",
);

/// Reads the `shell` action of a task.
pub(super) fn read<'f>(reader: &mut Reader<'f>, entry: &Entry<'_, 'f>) -> Option<Shell> {
    reader.template_at(entry).map(|script| Shell { script: script.value })
}
