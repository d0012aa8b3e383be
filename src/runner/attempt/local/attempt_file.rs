//! The attempt files of a home: claiming one, asking whether an attempt lives, waiting for its end, and what a shim says in one
//! and reports of it.

use std::collections::{BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::net::SendFlags;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::cgroup::Group;
use super::process::{self, Ended, Processes, Tree};
use super::run_as;
use crate::runner::attempt::ExitRecord;
use crate::runner::random;

/// Room for the holder and the exit record, taken from the disk before a task starts.
pub(super) const ATTEMPT_FILE_SIZE: usize = 4_096;

/// The first line of an attempt file: who holds its lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) token: String,
    pub(super) pid: i32,
    pub(super) start_ticks: u64,
    pub(super) boot_id: String,
    /// The user whose processes are to be ended when the shim is gone; `None` for crondag's own.
    #[serde(default)]
    pub(super) run_as: Option<String>,
    /// The control group of the attempt, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) cgroup: Option<PathBuf>,
    /// When the attempt is to end at the latest, as time since the machine's boot; `None` when it has no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ends_at: Option<Duration>,
}

/// What the driver hears of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The shim has written its exit record and let go of the lock.
    Ended(Box<ExitRecord>),
    /// A shim is gone without having said so; whose, the locks tell.
    Gone,
    /// There could be no shim.
    Refused {
        token: String,
        /// What the system said.
        errno: i32,
    },
}

/// A socket end by which reports are sent.
pub(super) struct Reporter {
    pub(super) socket: OwnedFd,
}

impl Reporter {
    /// Sends a report.
    ///
    /// # Errors
    /// The driver is gone; its successor reads the attempt files.
    pub(super) fn send(&self, report: &Report) -> io::Result<()> {
        let json = serde_json::to_vec(report)?;
        loop {
            match rustix::net::send(&self.socket, &json, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Holder {
    /// Whether its number still means it.
    fn is_known(&self) -> bool {
        self.boot_id == process::boot_id() && process::start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// What an attempt file says.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// The lock is held: the shim lives.
    Alive,
    /// The lock is free and the record is there.
    Ended(Box<ExitRecord>),
    /// The lock is free and there is no record: the shim was killed, or never began.
    Gone,
}

/// The attempt files of a home. They are numbered and used again and again: writing into a file whose blocks are on the
/// disk already needs a third of the time that a new one needs to survive power loss.
#[derive(Debug)]
pub struct AttemptFiles {
    folder: PathBuf,
    /// Numbers below `next` that no attempt has, the longest unused one first.
    free: VecDeque<u32>,
    next: u32,
}

/// An attempt file that is locked for an attempt to come.
#[derive(Debug)]
pub struct Claim {
    /// Unique among all attempts of all homes; begins with the file's number.
    pub token: String,
    /// The file, locked; or why there is none.
    pub file: io::Result<File>,
}

impl AttemptFiles {
    /// The files of a folder, of which some are in use by the attempts with these tokens.
    pub fn new<'a>(folder: PathBuf, tokens: impl IntoIterator<Item = &'a str>) -> AttemptFiles {
        let used: BTreeSet<u32> = tokens.into_iter().filter_map(number_of).collect();
        let next = used.last().map_or(0, |last| last + 1);
        AttemptFiles { folder, free: (0..next).filter(|number| !used.contains(number)).collect(), next }
    }

    /// The file of a token.
    pub fn path(&self, token: &str) -> PathBuf {
        self.folder.join(token.split('.').next().unwrap_or(token))
    }

    /// Takes and locks a file.
    pub fn claim(&mut self) -> Claim {
        for _ in 0..self.free.len() {
            let Some(number) = self.free.pop_front() else { break };
            if let Some(claim) = self.claim_number(number) {
                return claim;
            }
        }
        // Those of an earlier driver may be still at it as well.
        loop {
            let number = self.next;
            self.next += 1;
            if let Some(claim) = self.claim_number(number) {
                return claim;
            }
        }
    }

    /// `None` while the last shim of the file is still syncing its record: its turn comes later.
    fn claim_number(&mut self, number: u32) -> Option<Claim> {
        let token = format!("{number}.{}", random::digits());
        match lock_file(&self.path(&token)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.free.push_back(number);
                None
            }
            file => Some(Claim { token, file }),
        }
    }

    /// The attempt's end is committed: its file may serve another.
    pub fn give_back(&mut self, token: &str) {
        self.free.extend(number_of(token));
    }

    /// Removes all files; no attempt may live.
    ///
    /// # Errors
    /// The disk fails.
    pub fn remove_all(&mut self) -> io::Result<()> {
        self.free.clear();
        self.next = 0;
        for entry in fs::read_dir(&self.folder)? {
            fs::remove_file(entry?.path())?;
        }
        Ok(())
    }
}

fn number_of(token: &str) -> Option<u32> {
    token.split('.').next()?.parse().ok()
}

/// Opens, or makes with all its room, and locks an attempt file.
fn lock_file(path: &Path) -> io::Result<File> {
    let file = File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    if file.metadata()?.len() < ATTEMPT_FILE_SIZE as u64 {
        file.write_all_at(&[b' '; ATTEMPT_FILE_SIZE], 0)?;
        file.sync_data()?;
    }
    Ok(file)
}

/// What an attempt file says now.
///
/// # Errors
/// The file cannot be read.
pub fn inspect(path: &Path, token: &str) -> io::Result<Found> {
    match open(path)? {
        None => Ok(Found::Gone),
        Some(mut file) => match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => read_record(&mut file, token),
            Err(Errno::WOULDBLOCK) => Ok(Found::Alive),
            Err(error) => Err(error.into()),
        },
    }
}

/// Waits until the shim is gone (by its lock, not by polling), then says what it left.
///
/// # Errors
/// As [`inspect`].
pub fn wait(path: &Path, token: &str) -> io::Result<Found> {
    match open(path)? {
        None => Ok(Found::Gone),
        Some(mut file) => {
            while let Err(error) = flock(&file, FlockOperation::LockShared) {
                if error != Errno::INTR {
                    return Err(error.into());
                }
            }
            read_record(&mut file, token)
        }
    }
}

/// How long the processes of an attempt that is asked to end may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grace {
    /// The task's `kill_grace`.
    OfTask,
    /// They are killed at once, also where the grace has begun.
    None,
}

impl Grace {
    /// What tells a shim.
    fn signal(self) -> Signal {
        match self {
            Grace::OfTask => Signal::TERM,
            Grace::None => Signal::USR1,
        }
    }
}

/// Asks a shim to stop its attempt. A shim that has only just been started has not said yet who it is, and may take its time
/// where many do: the shim is tried as many times as there are `pauses`, and once more. Does nothing when the shim is gone, or when its number may
/// belong to another process by now.
///
/// # Errors
/// At the last time the attempt file could not be read, or the shim had not spoken ([`io::ErrorKind::TimedOut`]).
pub fn stop(path: &Path, token: &str, grace: Grace, pauses: impl IntoIterator<Item = Duration>) -> io::Result<()> {
    let mut pauses = pauses.into_iter();
    // Until the shim speaks, the file speaks of its last attempt.
    let mut before: Option<String> = None;
    loop {
        let silent = match holder_of(path) {
            Ok(Lock::Free) => return Ok(()),
            Ok(Lock::Held(Some(holder))) if holder.token == token => {
                if holder.is_known() {
                    process::signal(holder.pid, grace.signal());
                    // One that its task has stopped takes it only when it goes on.
                    process::signal(holder.pid, Signal::CONT);
                }
                return Ok(());
            }
            // If it comes to speak of yet another one, ours is over.
            Ok(Lock::Held(Some(holder))) if before.as_ref().is_some_and(|before| *before != holder.token) => {
                return Ok(());
            }
            Ok(Lock::Held(holder)) => {
                before = before.or(holder.map(|holder| holder.token));
                io::Error::new(io::ErrorKind::TimedOut, "its shim does not say who it is")
            }
            Err(error) => error,
        };
        match pauses.next() {
            Some(pause) => thread::sleep(pause),
            None => return Err(silent),
        }
    }
}

/// How a shim was found that should have ended its attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urged {
    /// It has.
    Gone,
    /// It is at it.
    Goes,
    /// Somebody had stopped it (SIGSTOP); now it goes on.
    WasStopped,
}

/// When an attempt is to end that another driver has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    /// It has ended.
    Gone,
    /// Its shim has not spoken yet.
    Unknown,
    /// It may take as long as it likes.
    Never,
    /// After this time.
    In(Duration),
}

/// Reads when an attempt is to end.
pub(crate) fn due(path: &Path, token: &str) -> Due {
    match holder_of(path) {
        Ok(Lock::Free) => Due::Gone,
        Ok(Lock::Held(Some(holder))) if holder.token == token => match holder.ends_at {
            None => Due::Never,
            Some(at) => Due::In(at.saturating_sub(process::since_boot())),
        },
        Ok(Lock::Held(_)) | Err(_) => Due::Unknown,
    }
}

/// Lets a shim go on that somebody has stopped.
pub(crate) fn urge(path: &Path, token: &str) -> Urged {
    match shim_of(path, token) {
        None => Urged::Gone,
        Some(pid) if process::is_stopped(pid) => {
            process::signal(pid, Signal::CONT);
            Urged::WasStopped
        }
        Some(_) => Urged::Goes,
    }
}

/// Ends a shim; who watches its lock ends what it leaves.
pub(crate) fn end_shim(path: &Path, token: &str) {
    if let Some(pid) = shim_of(path, token) {
        process::signal(pid, Signal::KILL);
    }
}

/// The living shim of an attempt.
fn shim_of(path: &Path, token: &str) -> Option<i32> {
    match holder_of(path) {
        Ok(Lock::Held(Some(holder))) if holder.token == token && holder.is_known() => Some(holder.pid),
        _ => None,
    }
}

/// Whether somebody has the lock of an attempt file, and who it says that is.
enum Lock {
    Free,
    Held(Option<Holder>),
}

fn holder_of(path: &Path) -> io::Result<Lock> {
    Ok(match open(path)? {
        Some(file) if flock(&file, FlockOperation::NonBlockingLockShared).is_err() => Lock::Held(read_holder(&file)),
        _ => Lock::Free,
    })
}

/// Ends the processes of an attempt whose shim is gone.
///
/// # Errors
/// The attempt file or the list of processes cannot be read: some processes may be left.
pub fn end_survivors(path: &Path, token: &str, grace: Duration) -> io::Result<Ended> {
    let holder = open(path)?.and_then(|file| read_holder(&file));
    let holder = holder.filter(|holder| holder.token == token);
    let user = holder.as_ref().and_then(|holder| holder.run_as.clone());
    let holder = holder.filter(|holder| holder.boot_id == process::boot_id());
    // The session's number means nothing when another process has it by now.
    let is_known = |holder: &&Holder| process::start_ticks(holder.pid).is_none_or(|ticks| ticks == holder.start_ticks);
    let session = holder.as_ref().filter(is_known).map(|holder| holder.pid);
    let group = holder.and_then(|holder| holder.cgroup).map(Group::at);
    let mut survivors = Survivors { token, session, user, group, unseen: None };
    let ended = process::end_all(&mut survivors, grace);
    survivors.unseen.map_or(Ok(ended), Err)
}

/// What a shim that was killed has left.
struct Survivors<'a> {
    token: &'a str,
    session: Option<i32>,
    user: Option<String>,
    group: Option<Group>,
    /// Why the newest list of processes may not be whole.
    unseen: Option<io::Error>,
}

impl Tree for Survivors<'_> {
    fn find(&mut self) -> Processes {
        let (mut found, unseen) = match process::with_token(self.token, self.session) {
            Ok(found) => (found, None),
            Err(error) => (Processes::new(), Some(error)),
        };
        self.unseen = unseen;
        if let Some(user) = &self.user {
            found.extend(process::living(run_as::find(user, self.token)));
        }
        found.extend(self.group.iter().flat_map(|group| process::living(group.processes())));
        found
    }

    fn is_gone(&mut self) -> bool {
        self.unseen.is_none() && self.group.as_ref().is_none_or(Group::remove)
    }

    fn kill(&mut self) {
        if let Some(group) = &self.group {
            group.kill();
        }
    }

    fn end_foreign(&mut self, pids: &[i32], is_in_grace: bool) {
        if let Some(user) = &self.user {
            run_as::end(user, pids, is_in_grace);
        }
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Nothing while the shim has not written it, or where the line is not whole.
fn read_holder(file: &File) -> Option<Holder> {
    let mut line = String::new();
    BufReader::new(file).read_line(&mut line).ok()?;
    serde_json::from_str(line.trim_end()).ok()
}

fn read_record(file: &mut File, token: &str) -> io::Result<Found> {
    let mut text = String::new();
    file.seek(SeekFrom::Start(0))?;
    file.read_to_string(&mut text)?;
    // Padding keeps room for the record on a full disk; a torn line has no newline.
    let record = text.lines().nth(1).map(str::trim_end).filter(|line| !line.is_empty());
    let Some(record) = record else { return Ok(Found::Gone) };
    let Ok(record) = serde_json::from_str::<ExitRecord>(record) else { return Ok(Found::Gone) };
    // The file's last attempt may be an older one: then this one's shim never began.
    Ok(if record.token == token { Found::Ended(Box::new(record)) } else { Found::Gone })
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    struct Slot {
        _folder: tempfile::TempDir,
        path: PathBuf,
        _lock: File,
    }

    impl Slot {
        /// A locked file that speaks of its last attempt.
        fn new() -> Slot {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("0");
            let lock = lock_file(&path).unwrap();
            let slot = Slot { _folder: folder, path, _lock: lock };
            slot.says("0.last", i32::MAX);
            slot
        }

        fn says(&self, token: &str, pid: i32) {
            let holder = Holder {
                token: token.to_owned(),
                pid,
                start_ticks: process::start_ticks(pid).unwrap_or_default(),
                boot_id: process::boot_id().to_owned(),
                run_as: None,
                cgroup: None,
                ends_at: None,
            };
            let line = serde_json::to_string(&holder).unwrap() + "\n";
            let file = File::options().write(true).open(&self.path).unwrap();
            file.write_all_at(&[b' '; ATTEMPT_FILE_SIZE], 0).unwrap();
            file.write_all_at(line.as_bytes(), 0).unwrap();
        }

        /// Stops `0.ours`; before the time with this number somebody says that he has the lock.
        fn stop(&self, times: u32, speaks: u32, token: &str, pid: i32) -> io::Result<()> {
            let pauses = (1..times).map(|time| {
                if time == speaks {
                    self.says(token, pid);
                }
                Duration::ZERO
            });
            stop(&self.path, "0.ours", Grace::OfTask, pauses)
        }
    }

    /// Those of an ended attempt keep their lock until their record is on the disk, which the next driver does not wait for.
    #[test]
    fn files_whose_shims_still_sync_are_passed_over_and_used_later() {
        let folder = tempfile::tempdir().unwrap();
        let syncing = ["0", "1"].map(|name| lock_file(&folder.path().join(name)).unwrap());
        let mut files = AttemptFiles::new(folder.path().to_owned(), []);
        let claims = [files.claim(), files.claim()];
        assert_eq!(
            claims.map(|claim| (number_of(&claim.token), claim.file.is_ok())),
            [(Some(2), true), (Some(3), true)]
        );
        for file in syncing {
            // A process that another test forks just now has the same lock until it is a program of its own.
            rustix::fs::flock(&file, rustix::fs::FlockOperation::Unlock).unwrap();
        }
        let claims = [files.claim(), files.claim()];
        assert_eq!(
            claims.map(|claim| (number_of(&claim.token), claim.file.is_ok())),
            [(Some(0), true), (Some(1), true)]
        );
    }

    #[test]
    fn a_shim_is_stopped_however_late_it_says_who_it_is() {
        let mut shim = Command::new("sleep").arg("86400").spawn().unwrap();
        Slot::new().stop(2_000, 1_000, "0.ours", shim.id().cast_signed()).unwrap();
        assert_eq!(shim.wait().unwrap().signal(), Some(Signal::TERM.as_raw()));
    }

    #[test]
    fn a_shim_that_never_says_who_it_is_is_an_error_and_not_forgotten() {
        let error = Slot::new().stop(20, 0, "", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn the_next_attempt_of_the_file_is_let_be() {
        let mut next = Command::new("sleep").arg("86400").spawn().unwrap();
        Slot::new().stop(20, 10, "0.next", next.id().cast_signed()).unwrap();
        assert!(next.try_wait().unwrap().is_none());
        next.kill().unwrap();
        next.wait().unwrap();
    }
}
