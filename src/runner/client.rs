//! How clients reach the driver: the lock that says whether there is one, the doorbell that wakes it, and starting one.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, FlockOperation, Mode, flock, mknodat};
use rustix::process::{Pid, Signal, kill_process};

use super::driver_log as log;
use super::race_delay::race_delay;
use crate::home::Home;
use crate::store::{Store, StoreError};

/// Why the driver could not be reached. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum ClientError {
    /// The lock, the doorbell or the log of the driver.
    #[error(
        "cannot start the driver: {path}: {source}\nnext: check who owns the state folder and whether the disk is full"
    )]
    File {
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The driver's process.
    #[error("cannot start the driver: {0}\nnext: check the limit of processes (`ulimit -u`) and the free memory")]
    Spawn(io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Clients that ask for the driver keep nobody from becoming it for longer.
const ASKING: Duration = Duration::from_secs(30);

/// A driver that is asked to go has gone after this.
const GOING: Duration = Duration::from_secs(30);

/// The driver's lock, held for as long as this lives.
#[derive(Debug)]
pub struct DriverLock {
    _file: File,
}

/// Takes the driver's lock; `None` when another process has it.
pub(crate) fn try_lock(home: &Home) -> Result<Option<DriverLock>, ClientError> {
    lock_unless_driven(home, || thread::sleep(Duration::from_millis(1)))
}

/// The same; `pause` passes the time while a client asks whether there is a driver.
fn lock_unless_driven(home: &Home, mut pause: impl FnMut()) -> Result<Option<DriverLock>, ClientError> {
    let path = home.driver_lock_path();
    let failed = |source| ClientError::File { path: path.display().to_string(), source };
    let file =
        File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    let began = Instant::now();
    let locked = loop {
        let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
        // Where a shared lock is to be had there is no driver, only a client that asks whether there is one.
        if locked != Err(rustix::io::Errno::WOULDBLOCK)
            || flock(&file, FlockOperation::NonBlockingLockShared).is_err()
            || began.elapsed() > ASKING
        {
            break locked;
        }
        flock(&file, FlockOperation::Unlock).map_err(|error| failed(error.into()))?;
        pause();
    };
    match locked {
        Ok(()) => {
            let pid = std::process::id().to_string();
            // Only for people (`status`): the lock is what counts.
            file.set_len(0).and_then(|()| io::Write::write_all(&mut &file, pid.as_bytes())).map_err(failed)?;
            Ok(Some(DriverLock { _file: file }))
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(failed(error.into())),
    }
}

/// Opens the database of a home whose driver may be another process. A background driver of an older program
/// would not understand the newer database: that driver is ended, and a driver of this program takes up the attempts that live.
///
/// # Errors
/// As [`Store::open`]; an older driver that does not end, or that somebody else keeps alive; a new driver that cannot be started.
pub fn open_store(home: &Home) -> Result<Store, ClientError> {
    let mut has_gone = false;
    let store = Store::open_unless_used(&home.database_path(), || {
        has_gone = older_driver_goes(home)?;
        Ok(())
    })?;
    if has_gone {
        wake_if_needed(home, &store)?;
    }
    Ok(store)
}

/// Ends the driver of an older program. Gives whether there was one.
fn older_driver_goes(home: &Home) -> Result<bool, StoreError> {
    let first = driver(home);
    let Driver::Running { pid } = first else { return Ok(false) };
    let pid = pid.unwrap_or_default();
    let refused = || StoreError::OlderDriver { path: home.database_path().display().to_string(), pid };
    let process = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(refused)?;
    let began = Instant::now();
    let mut is_asked = false;
    // Another one in its place is of whoever was faster.
    while driver(home) == first {
        match keeper_of(pid) {
            Some(Keeper::Nobody) if !is_asked => {
                is_asked = true;
                // One that has just gone of itself is gone all the same.
                let _ = kill_process(process, Signal::TERM);
            }
            Some(Keeper::Nobody) | None => {}
            // Who would only see it end.
            Some(Keeper::Somebody) => return Err(refused()),
        }
        if began.elapsed() > GOING {
            return Err(refused());
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(true)
}

/// Who sees to it that a driver lives.
enum Keeper {
    /// The next tick starts another one.
    Nobody,
    /// A service manager, or a person.
    Somebody,
}

/// Who keeps a driver, by its command line; `None` when it is gone.
fn keeper_of(pid: u32) -> Option<Keeper> {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let mut words = command.split(|byte| *byte == 0 || *byte == b' ').filter(|word| !word.is_empty());
    words.next()?;
    Some(if words.next() == Some(b"__driver") { Keeper::Nobody } else { Keeper::Somebody })
}

/// Waits until no process has the driver's lock.
pub(crate) fn wait_for_driver(home: &Home) -> Result<(), ClientError> {
    let path = home.driver_lock_path();
    let failed = |source| ClientError::File { path: path.display().to_string(), source };
    let file = File::open(&path).map_err(failed)?;
    while let Err(error) = flock(&file, FlockOperation::LockShared) {
        if error != rustix::io::Errno::INTR {
            return Err(failed(error.into()));
        }
    }
    Ok(())
}

/// Whether there is a driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A process holds the driver's lock.
    Running {
        /// Its number, as far as the lock file says.
        pid: Option<u32>,
    },
    /// Nobody does.
    Absent,
}

/// Asks for the driver's lock. Shared and let go at once, so that two who ask do not take each other for a driver.
pub fn driver(home: &Home) -> Driver {
    // No such file: no driver was ever started. Not readable: not ours to say; the database will complain first.
    let Ok(mut file) = File::open(home.driver_lock_path()) else { return Driver::Absent };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            let pid = file.read_to_string(&mut text).ok().and_then(|_| text.trim().parse().ok());
            Driver::Running { pid }
        }
        _ => Driver::Absent,
    }
}

/// Makes sure that a driver reads what was just committed: by its doorbell, or by starting one.
///
/// # Errors
/// A driver that cannot be started.
pub fn wake(home: &Home) -> Result<(), ClientError> {
    wake_watched(home).map(drop)
}

/// As [`wake`], for one who wants to know how the driver that was started ends, if one was.
pub(crate) fn wake_watched(home: &Home) -> Result<Option<Child>, ClientError> {
    // A driver that is about to end lets its lock go and then reads once more: either it, or the driver that is started here,
    // sees the work.
    race_delay();
    match driver(home) {
        Driver::Running { .. } => {
            notify(home);
            Ok(None)
        }
        Driver::Absent => start(home).map(Some),
    }
}

/// As [`wake`], but only when there is work that a driver could do now. A living driver is told as well: the client that
/// committed the work may have been killed before it could notify the driver.
pub(crate) fn wake_if_needed(home: &Home, store: &Store) -> Result<(), ClientError> {
    if needs_driver(store)? { wake(home) } else { Ok(()) }
}

/// Whether there is anything for a driver: requests, attempts whose end is not recorded, mail that is due, or runs that
/// have changed since the last driver left them.
///
/// # Errors
/// The database.
pub fn needs_driver(store: &Store) -> Result<bool, StoreError> {
    if store.has_intents_until(i64::MAX)? || store.has_open_attempts()? {
        return Ok(true);
    }
    if store.next_notice_at()?.is_some() {
        return Ok(true);
    }
    Ok(store.has_unfinished_runs()? && !is_parked(store)?)
}

/// Whether the last driver went because nothing of what is unfinished can go on by itself, and nothing has changed since: a run
/// that waits for a failed past, say.
fn is_parked(store: &Store) -> Result<bool, StoreError> {
    let parked = store.meta("parked")?.and_then(|text| text.parse::<i64>().ok());
    Ok(parked == Some(store.last_event()?))
}

/// Tells a driver that something was committed.
pub(super) fn notify(home: &Home) {
    race_delay();
    // Nobody listening, or a full pipe, both mean that the driver need not be told.
    if let Ok(mut bell) = File::options().write(true).custom_flags(libc::O_NONBLOCK).open(home.doorbell_path()) {
        let _ = io::Write::write_all(&mut bell, b"!");
    }
}

/// Opens the doorbell for listening.
pub(super) fn doorbell(home: &Home) -> Result<File, ClientError> {
    let path = home.doorbell_path();
    let failed = |source| ClientError::File { path: path.display().to_string(), source };
    match mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0) {
        Ok(()) => {}
        Err(rustix::io::Errno::EXIST) => {
            let is_pipe = fs::symlink_metadata(&path).map_err(failed)?.file_type().is_fifo();
            if !is_pipe {
                return Err(failed(io::Error::other("it is no named pipe: remove it")));
            }
        }
        Err(error) => return Err(failed(error.into())),
    }
    // Also for writing, so that it never reads as ended when the last client leaves.
    File::options().read(true).write(true).open(&path).map_err(failed)
}

/// Starts a driver in a session of its own, so that neither a terminal nor cron takes it along when it ends.
fn start(home: &Home) -> Result<Child, ClientError> {
    let path = home.driver_log_path();
    let failed = |source| ClientError::File { path: path.display().to_string(), source };
    let log = log::open(&path).map_err(failed)?;
    fs::set_permissions(home.state_dir(), fs::Permissions::from_mode(0o700)).map_err(failed)?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("crondag")
        .arg("__driver")
        .arg(home.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::from(log))
        .env_remove(super::attempt::ATTEMPT_VARIABLE)
        .current_dir("/");
    // Nobody waits for the driver: it outlives the client that starts it.
    command.spawn().map_err(ClientError::Spawn)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dag::{DagId, RunType};
    use crate::store::NewRun;

    /// On a machine with too much to do, a client may hold its shared lock for as long as it is not given a core.
    #[test]
    fn a_client_that_asks_for_the_driver_keeps_nobody_from_becoming_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        home.make_state_dir().unwrap();
        drop(try_lock(&home).unwrap().unwrap());
        let client = File::open(home.driver_lock_path()).unwrap();
        // A program that another test starts at this moment may still hold a copy of the driver's descriptor.
        flock(&client, FlockOperation::LockShared).unwrap();
        // The client goes while the driver waits for it.
        let mut client = Some(client);
        let lock = lock_unless_driven(&home, || {
            drop(client.take());
            thread::sleep(Duration::from_millis(1));
        });
        assert!(lock.unwrap().is_some());
        assert!(client.is_none(), "the client was met");
    }

    #[test]
    fn a_driver_keeps_others_from_becoming_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        home.make_state_dir().unwrap();
        let _lock = try_lock(&home).unwrap().unwrap();
        assert!(try_lock(&home).unwrap().is_none());
        assert_eq!(super::driver(&home), Driver::Running { pid: Some(std::process::id()) });
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn a_living_driver_is_told_of_a_run_whose_client_was_killed_before_it_could_notify_it() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path());
        home.make_state_dir().unwrap();
        let mut store = Store::open(&home.database_path()).unwrap();
        let _lock = try_lock(&home).unwrap().unwrap();
        let mut bell = doorbell(&home).unwrap();
        wake_if_needed(&home, &store).unwrap();
        let now = jiff::Timestamp::UNIX_EPOCH;
        let run = NewRun {
            dag_id: DagId::new("d").unwrap(),
            run_id: "scheduled".to_owned(),
            run_type: RunType::Scheduled,
            logical_date: now,
            data_interval_end: now,
            params: BTreeMap::new(),
            selection: None,
            backfill_id: None,
        };
        let write = store.write().unwrap();
        write.create_run(&run, now).unwrap();
        write.commit().unwrap();
        // The next tick has nothing of its own to say.
        wake_if_needed(&home, &store).unwrap();
        let mut notices = [0; 8];
        assert_eq!(bell.read(&mut notices).unwrap(), 1, "notified once: for the run, not before it");
    }
}
