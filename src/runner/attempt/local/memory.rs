//! Files in memory: for what must not pass through a disk, a pipe of limited size or a command line.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use rustix::fs::{MemfdFlags, memfd_create};

/// A file with this content, to be read from its start.
pub(crate) fn file_of(bytes: &[u8]) -> io::Result<File> {
    let mut file = empty_file()?;
    file.write_all(bytes)?;
    file.seek(SeekFrom::Start(0))?;
    Ok(file)
}

/// A file without content.
pub(crate) fn empty_file() -> io::Result<File> {
    Ok(File::from(memfd_create("crondag", MemfdFlags::CLOEXEC)?))
}
