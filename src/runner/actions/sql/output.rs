//! Where result sets go: the last one is shown, its first rows, and written to a CSV file if one is named. Rows pass
//! through; only those that are shown are held.

use std::fs::{File, Metadata};
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::say::say;
use super::session::{Rows, Value};
use crate::runner::random;

/// How many rows of a result set are printed.
const SHOWN_ROWS: usize = 1_000;

/// The last result set of a script.
pub(super) struct Output<'t> {
    to: Option<&'t Path>,
    csv: Option<Csv>,
    columns: Option<Vec<String>>,
    shown: Vec<Vec<String>>,
    total: u64,
}

impl Output<'_> {
    pub(super) fn new(to: Option<&Path>) -> Output<'_> {
        Output { to, csv: None, columns: None, shown: Vec::new(), total: 0 }
    }

    /// After the commit: the CSV file takes its name, and the rows are shown.
    pub(super) fn finish(mut self) -> Result<(), String> {
        if let Some(to) = self.to {
            let Some(csv) = self.csv.take() else {
                return Err(format!("there is no result set for {}: end the statements with a SELECT", to.display()));
            };
            csv.publish(to).map_err(|error| format!("cannot write {}: {error}", to.display()))?;
            say(&format!("wrote {} to {}", rows(self.total), to.display()));
        }
        if let Some(columns) = &self.columns {
            let mut table = comfy_table::Table::new();
            table.load_style(comfy_table::presets::ASCII_MARKDOWN);
            table.set_header(columns);
            table.add_rows(&self.shown);
            say(&table.to_string());
            let left_out = self.total - self.shown.len() as u64;
            if left_out > 0 {
                say(&format!("... and {} more", rows(left_out)));
            }
        }
        Ok(())
    }
}

impl Rows for Output<'_> {
    fn begin(&mut self, columns: &[String]) -> std::io::Result<()> {
        (self.columns, self.total) = (Some(columns.to_vec()), 0);
        self.shown.clear();
        if let Some(to) = self.to {
            let unwritten = |error: std::io::Error| named(&error, to);
            // The one before must be gone first: both have the same name.
            self.csv = None;
            let mut csv = Csv::create(to).map_err(unwritten)?;
            let columns: Vec<Value> = columns.iter().cloned().map(Value::Text).collect();
            csv.line(&columns).map_err(unwritten)?;
            self.csv = Some(csv);
        }
        Ok(())
    }

    fn row(&mut self, row: &[Value]) -> std::io::Result<()> {
        self.total += 1;
        if let (Some(csv), Some(to)) = (&mut self.csv, self.to) {
            csv.line(row).map_err(|error: std::io::Error| named(&error, to))?;
        }
        if self.shown.len() < SHOWN_ROWS {
            self.shown.push(row.iter().map(Value::to_string).collect());
        }
        Ok(())
    }
}

/// So many rows, for people.
pub(super) fn rows(count: u64) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

fn named(error: &std::io::Error, to: &Path) -> std::io::Error {
    std::io::Error::new(error.kind(), format!("cannot write {}: {error}", to.display()))
}

/// A CSV file as RFC 4180 has it, under a temporary name; readers see the old file or the new one, never half of it.
struct Csv {
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
}

/// How the names begin that the rows have until they are whole; beside `to`, for its name is changed without a copy.
fn beginning(to: &Path) -> String {
    format!(".{}.", to.file_name().unwrap_or_default().to_string_lossy())
}

/// Where the rows are until they are whole: always the same in one process.
pub(super) fn temporary(to: &Path) -> PathBuf {
    static END: OnceLock<String> = OnceLock::new();
    to.with_file_name(beginning(to) + END.get_or_init(random::digits))
}

/// Removes what writers of the same file left that were killed; those that live hold a lock. Who else may write there may have put
/// anything there under such a name.
fn remove_stale(to: &Path) {
    let beginning = beginning(to);
    let entries = to.parent().and_then(|folder| folder.read_dir().ok());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let end = name.to_str().and_then(|name| name.strip_prefix(&beginning)).unwrap_or_default();
        let is_like_mine = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_like_mine && is_left(&entry.path()) {
            // What cannot be removed is in nobody's way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether a file is one of this user's and nobody writes it. Opening a link would lock what it leads to, opening a FIFO would wait for
/// its other end.
fn is_left(path: &Path) -> bool {
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path);
    file.is_ok_and(|file| {
        let is_ours = |found: &Metadata| found.is_file() && found.uid() == rustix::process::geteuid().as_raw();
        file.metadata().is_ok_and(|found| is_ours(&found)) && file.try_lock().is_ok()
    })
}

impl Csv {
    fn create(to: &Path) -> std::io::Result<Csv> {
        let folder = to.parent().unwrap_or(Path::new("/"));
        std::fs::create_dir_all(folder)?;
        remove_stale(to);
        let temporary = temporary(to);
        // Only a new file: a link that somebody has put there is not followed.
        let file = File::options().write(true).create_new(true).open(&temporary)?;
        // It tells others that somebody still writes. Where a file system has no locks, leftovers of others are theirs to clear.
        let _ = file.try_lock();
        Ok(Csv { file: Some(BufWriter::new(file)), temporary })
    }

    /// NULL is nothing, and a text of length 0 is `""`, as `PostgreSQL`'s COPY has it: both can be read back.
    fn line(&mut self, cells: &[Value]) -> std::io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        for (index, cell) in cells.iter().enumerate() {
            if index > 0 {
                file.write_all(b",")?;
            }
            match cell {
                Value::Null => {}
                Value::Text(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) => {
                    write!(file, "\"{}\"", text.replace('"', "\"\""))?;
                }
                plain => write!(file, "{plain}")?,
            }
        }
        file.write_all(b"\n")
    }

    fn publish(mut self, to: &Path) -> std::io::Result<()> {
        if let Some(file) = self.file.take() {
            file.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        }
        std::fs::rename(&self.temporary, to)
    }
}

impl Drop for Csv {
    fn drop(&mut self) {
        // A published file no longer has this name; one that was not published is of no use, and the failure that led here is
        // what matters.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;

    #[test]
    fn what_a_killed_writer_left_is_gone_at_the_next_attempt_and_what_a_living_one_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("out.csv");
        let living = File::create(folder.path().join(".out.csv.4000000001")).unwrap();
        living.try_lock().unwrap();
        for other in ["out.csv", ".out.csv.4000000000", ".out.csv.bak", ".in.csv.4000000000"] {
            File::create(folder.path().join(other)).unwrap();
        }
        // Neither waits for a FIFO nor follows a link.
        mknodat(CWD, folder.path().join(".out.csv.1"), FileType::Fifo, Mode::RWXU, 0).unwrap();
        std::os::unix::fs::symlink(folder.path().join("out.csv"), folder.path().join(".out.csv.2")).unwrap();
        drop(Csv::create(&to).unwrap());
        let mut left: Vec<String> =
            folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(
            left,
            [".in.csv.4000000000", ".out.csv.1", ".out.csv.2", ".out.csv.4000000001", ".out.csv.bak", "out.csv"]
        );
    }
}
