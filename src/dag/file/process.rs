//! The keys that say what a task's process begins with: `umask`, `nice` and `limits`.

use super::fault::Fault;
use super::reader::{Open, Reader};
use crate::dag::{ProcessSettings, ResourceLimits};

/// Reads them from crondag.toml, from `[defaults]` or from a task.
pub(super) fn read<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> ProcessSettings {
    ProcessSettings {
        umask: read_umask(reader, open),
        nice: reader.whole(open, "nice").and_then(|nice| i32::try_from(nice.value).ok()),
        limits: read_limits(reader, open),
    }
}

fn read_umask<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Option<u32> {
    let text = reader.text(open, "umask")?;
    let umask = u32::from_str_radix(&text.value, 8).ok().filter(|umask| *umask <= 0o777 && text.value.len() >= 3);
    if umask.is_none() {
        let message = format!("`{}` is not a umask", text.value);
        reader.push(
            Fault::error("bad-umask", text.span, message, "expected three octal digits").help(
                "write the permissions that new files do not get, such as \"022\", or \"027\" to shut others out",
            ),
        );
    }
    umask
}

fn read_limits<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> ResourceLimits {
    let Some(entry) = open.get("limits").cloned() else { return ResourceLimits::default() };
    let Some(open) = reader.table(&entry) else { return ResourceLimits::default() };
    let mut count = |key: &str| reader.whole(&open, key).and_then(|count| u64::try_from(count.value).ok());
    let (open_files, processes) = (count("open_files"), count("processes"));
    ResourceLimits {
        open_files,
        processes,
        address_space: reader.size(&open, "address_space"),
        file_size: reader.size(&open, "file_size"),
        core_size: reader.size(&open, "core_size"),
        stack_size: reader.size(&open, "stack_size"),
    }
}
