//! The driver's side of the attempt file: starting a shim, asking whether an attempt lives, waiting for its end.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::fs::{FlockOperation, MemfdFlags, flock, memfd_create};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use super::attempt::{AttemptSpec, ExitRecord};
use super::process;

/// The first line of an attempt file: who holds its lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Holder {
    pub(super) token: String,
    pub(super) pid: i32,
    pub(super) start_ticks: u64,
    pub(super) boot_id: String,
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

/// The attempt file of a token.
pub fn attempt_file(attempts_dir: &Path, token: &str) -> PathBuf {
    attempts_dir.join(token)
}

/// Starts an attempt: makes and locks its file, and starts the shim that inherits the lock.
///
/// Between the lock and its inheritance there is no gap: both are one open file description.
///
/// # Errors
/// The disk is full, the process table is full, or the file exists already.
pub fn launch(attempts_dir: &Path, spec: &AttemptSpec) -> io::Result<Child> {
    let path = attempt_file(attempts_dir, &spec.token);
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let started = start_shim(&file, spec);
    if started.is_err() {
        // No shim was started, so nothing will ever be recorded in it.
        let _ = fs::remove_file(&path);
    }
    started
}

fn start_shim(file: &File, spec: &AttemptSpec) -> io::Result<Child> {
    let mut memory = File::from(memfd_create("crondag-attempt", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&mut memory, spec)?;
    memory.flush()?;
    memory.seek(SeekFrom::Start(0))?;
    let key = &spec.key;
    Command::new("/proc/self/exe")
        .arg("__shim")
        .arg(format!("{}/{}/{}/{}", key.dag_id, key.run_id, key.task_id, key.try_number))
        .stdin(Stdio::from(memory))
        .stdout(Stdio::from(file.try_clone()?))
        .stderr(Stdio::null())
        .current_dir("/")
        .spawn()
}

/// What an attempt file says now.
///
/// # Errors
/// The file cannot be read, or holds the record of another attempt.
pub fn inspect(path: &Path, token: &str) -> io::Result<Found> {
    match open(path)? {
        None => Ok(Found::Gone),
        Some(mut file) => match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => read_record(&mut file, token),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(Found::Alive),
            Err(error) => Err(error.into()),
        },
    }
}

/// Waits until the shim is gone (by its lock, not by looking again and again), then says what it left.
///
/// # Errors
/// As [`inspect`].
pub fn wait(path: &Path, token: &str) -> io::Result<Found> {
    match open(path)? {
        None => Ok(Found::Gone),
        Some(mut file) => {
            while let Err(error) = flock(&file, FlockOperation::LockShared) {
                if error != rustix::io::Errno::INTR {
                    return Err(error.into());
                }
            }
            read_record(&mut file, token)
        }
    }
}

/// Asks a shim to stop its attempt. Does nothing when the shim is gone, or when its number may belong to another
/// process by now.
///
/// # Errors
/// The attempt file cannot be read.
pub fn stop(path: &Path, token: &str) -> io::Result<()> {
    let Some(file) = open(path)? else { return Ok(()) };
    if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
        return Ok(());
    }
    if let Some(holder) = read_holder(&file)
        && holder.token == token
        && holder.boot_id == process::boot_id()
        && process::start_ticks(holder.pid) == Some(holder.start_ticks)
    {
        process::signal(holder.pid, Signal::TERM);
    }
    Ok(())
}

/// Ends the processes of an attempt whose shim is gone. Gives how many there were.
pub fn end_survivors(path: &Path, token: &str, grace: Duration) -> u32 {
    let holder = open(path).ok().flatten().and_then(|file| read_holder(&file));
    // After a reboot the session's number means nothing.
    let session = holder.filter(|holder| holder.boot_id == process::boot_id()).map(|holder| holder.pid);
    process::end_all(|| process::with_token(token, session), grace, || {})
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

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
    if record.token != token {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the exit record belongs to another attempt"));
    }
    Ok(Found::Ended(Box::new(record)))
}
