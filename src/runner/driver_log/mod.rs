//! Where the driver's lines go: to standard error, or into the home's driver.log, which is kept short.

pub mod line;

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::home::Home;
use line::{Level, Line};

/// How many bytes driver.log may have before it is put aside.
const LONGEST: u64 = 10 << 20;

/// The log of this process; without one, lines go to standard error.
static LOG: Mutex<Option<Log>> = Mutex::new(None);

struct Log {
    file: File,
    path: PathBuf,
}

/// From now on lines go into driver.log.
///
/// # Errors
/// The file cannot be opened.
pub fn keep_in_home(home: &Home) -> io::Result<()> {
    let path = home.driver_log_path();
    let file = open(&path)?;
    *LOG.lock().unwrap_or_else(PoisonError::into_inner) = Some(Log { file, path });
    Ok(())
}

/// Opens a driver.log for appending.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    File::options().append(true).create(true).mode(0o600).open(path)
}

/// Says something to the people who read the log.
pub fn say(line: &Line) {
    // One write, so that lines of two processes do not mix.
    let text = format!("{}\n", line.said(Timestamp::now()));
    let mut log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    // The disk of the log may be the one that is full: a driver that cannot speak works on.
    let _ = match log.as_mut() {
        None => io::stderr().write_all(text.as_bytes()),
        Some(log) => log.file.write_all(text.as_bytes()).and_then(|()| log.turn()),
    };
}

/// What the log of a home says of a driver that does not live: its newest error since then, else its last line; `None` when it
/// is empty or cannot be read.
pub(crate) fn last_words(home: &Home, since: Timestamp) -> Option<String> {
    let text = String::from_utf8_lossy(&fs::read(home.driver_log_path()).ok()?).into_owned();
    let is_error = |text: &&str| {
        Line::heard(text).is_some_and(|(at, line)| match line.level {
            Level::Error => at >= since,
            Level::Info | Level::Warn => false,
        })
    };
    text.lines().rev().find(is_error).or_else(|| text.lines().last()).map(str::to_owned)
}

impl Log {
    fn turn(&mut self) -> io::Result<()> {
        if self.file.metadata()?.len() > LONGEST {
            // One old generation is enough for people.
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            self.file = open(&self.path)?;
        }
        Ok(())
    }
}
