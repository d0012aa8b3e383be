//! Whether the driver lives, seen from outside.

use std::fs::{self, File};

use rustix::fs::{FlockOperation, flock};

use crate::home::Home;

/// How the driver stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// It holds its lock.
    Running {
        /// Its process id, as far as its lock file says.
        pid: Option<u32>,
    },
    /// Nobody holds the lock.
    Absent,
}

/// Looks at the driver's lock. Shared and let go at once, so that two who look do not see each other.
pub fn driver(home: &Home) -> Driver {
    let path = home.driver_lock_path();
    // No such file: no driver was ever started. Not readable: not ours to say; the database will complain first.
    let Ok(file) = File::open(&path) else { return Driver::Absent };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Driver::Absent;
    }
    let pid = fs::read_to_string(&path).ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    Driver::Running { pid }
}
