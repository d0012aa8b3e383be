//! The spawner: a small process of a single thread that forks the shims for the driver.
//!
//! A shim is needed for every attempt, and starting a program of this size anew for each (loading, relocating, setting
//! up) costs more than most of what the shim does. The driver itself cannot fork: it has threads. The spawner has none,
//! holds next to nothing, and a forked shim goes on from there without being loaded again.
//!
//! Two sockets join them. By one the driver sends a token with two descriptors, the specification in memory and the
//! locked attempt file. By the other come [`Report`]s: from a shim when its exit record is on the disk, from the spawner
//! when a shim ended without a word. A driver that dies takes the spawner along, but no shim; a spawner that dies takes
//! nobody along, and the driver watches its attempts by their locks until it has a new one.

use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};
use rustix::process::{WaitOptions, setsid};
use rustix::stdio::{dup2_stdin, dup2_stdout};
use serde::{Deserialize, Serialize};

use super::attempt::ExitRecord;
use super::{process, shim, sys};

/// Longer than any token.
const LONGEST_TOKEN: usize = 256;
/// Longer than any report: an exit record whose reason names a long `PATH` is the longest.
const LONGEST_REPORT: usize = 128 << 10;
/// Room on the command line, in which each shim says which attempt it is.
const TITLE_ROOM: usize = 240;

/// What the driver hears of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// The shim has written its exit record and let go of the lock.
    Ended(Box<ExitRecord>),
    /// The shim is gone without having said so.
    Gone {
        /// The attempt.
        token: String,
    },
    /// There could be no shim.
    Refused {
        /// The attempt.
        token: String,
        /// What the system said.
        errno: i32,
    },
}

/// A socket end by which reports are sent.
pub(super) struct Reporter {
    socket: OwnedFd,
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

/// The driver's end. Dropped, it ends the spawner; the shims go on.
pub(super) struct Spawner {
    control: OwnedFd,
    process: Child,
}

/// Where the driver hears of its shims.
pub(super) struct Reports {
    socket: OwnedFd,
}

impl Spawner {
    /// Starts a spawner.
    ///
    /// # Errors
    /// The process table is full, or there are too many open files.
    pub(super) fn start() -> io::Result<(Spawner, Reports)> {
        let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
        let (control, spawner_control) = pair()?;
        let (reports, spawner_reports) = pair()?;
        let process = Command::new("/proc/self/exe")
            .arg0("crondag")
            .arg("__spawner")
            .arg(" ".repeat(TITLE_ROOM))
            .stdin(Stdio::from(spawner_control))
            .stdout(Stdio::from(spawner_reports))
            .current_dir("/")
            .spawn()?;
        Ok((Spawner { control, process }, Reports { socket: reports }))
    }

    /// Asks for a shim, which gets both files.
    ///
    /// # Errors
    /// The spawner is gone.
    pub(super) fn spawn(&self, token: &str, spec: &File, attempt: &File) -> io::Result<()> {
        let descriptors = [spec.as_fd(), attempt.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        loop {
            match sendmsg(&self.control, &[IoSlice::new(token.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether it is still there.
    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        // Both fail only when the spawner is gone already.
        let _ = shutdown(&self.control, Shutdown::Both);
        let _ = self.process.wait();
    }
}

impl Reports {
    /// The next report; `None` when neither the spawner nor any shim of it is left.
    pub(super) fn next(&mut self) -> Option<Report> {
        let mut buffer = vec![0; LONGEST_REPORT];
        loop {
            match rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((_, 0)) => return None,
                Ok((_, count)) => {
                    // What cannot be read is as good as not sent: the attempt's lock tells the rest.
                    if let Some(report) = buffer.get(..count).and_then(|json| serde_json::from_slice(json).ok()) {
                        return Some(report);
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return None,
            }
        }
    }
}

/// `crondag __spawner`: forks shims until the driver is gone.
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        // The driver is gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the spawner ends: {error}");
            ExitCode::from(3)
        }
    }
}

fn serve() -> io::Result<()> {
    // Whatever a terminal sends to the driver is for the driver to act upon. Just started, the spawner leads no group.
    let _ = setsid();
    process::name_this_process();
    let control = fcntl_dupfd_cloexec(io::stdin(), 3)?;
    let reporter = Reporter { socket: fcntl_dupfd_cloexec(io::stdout(), 3)? };
    // No shim may hold the driver's end open by having inherited it.
    dup2_stdin(File::open("/dev/null")?)?;
    let title = sys::Title::of_this_process();
    let signals = sys::Signals::instead_of(&[libc::SIGCHLD])?;
    // Read once, known to every shim.
    process::boot_id();
    let mut shims: Vec<(i32, String)> = Vec::new();
    loop {
        let mut ready = [PollFd::new(&control, PollFlags::IN), PollFd::new(&signals, PollFlags::IN)];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [has_request, has_signal] = ready.map(|fd| !fd.revents().is_empty());
        if has_signal {
            signals.take();
            collect(&mut shims, &reporter)?;
        }
        if !has_request {
            continue;
        }
        let Some((token, [spec, attempt])) = receive(control.as_fd())? else { return Ok(()) };
        match sys::fork() {
            Ok(None) => {
                drop((control, signals, shims));
                let is_shown = dup2_stdout(&attempt).is_ok();
                let done = is_shown && shim::run(spec, &attempt, &reporter, title.as_ref()).is_ok();
                sys::exit_at_once(if done { 0 } else { 3 });
            }
            Ok(Some(pid)) => shims.push((pid, token)),
            Err(error) => {
                reporter.send(&Report::Refused { token, errno: error.raw_os_error().unwrap_or(libc::EAGAIN) })?;
            }
        }
    }
}

/// Takes note of shims that have ended; those that could not say so themselves are reported.
fn collect(shims: &mut Vec<(i32, String)>, reporter: &Reporter) -> io::Result<()> {
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        let Some(position) = shims.iter().position(|(shim, _)| *shim == pid.as_raw_nonzero().get()) else { continue };
        let (_, token) = shims.swap_remove(position);
        if status.exit_status() != Some(0) {
            reporter.send(&Report::Gone { token })?;
        }
    }
    Ok(())
}

/// A request: the token and its two files. `None` when the driver is gone.
fn receive(control: BorrowedFd<'_>) -> io::Result<Option<(String, [File; 2])>> {
    let mut bytes = [0; LONGEST_TOKEN];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = loop {
        match recvmsg(control, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::CMSG_CLOEXEC) {
            Ok(received) => break received,
            Err(Errno::INTR) => {}
            Err(Errno::CONNRESET) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    };
    if received.bytes == 0 {
        return Ok(None);
    }
    let mut files = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.map(File::from).collect(),
        _ => Vec::new(),
    });
    let token = String::from_utf8_lossy(&bytes[..received.bytes]).into_owned();
    match (files.next(), files.next()) {
        (Some(spec), Some(attempt)) if !received.flags.contains(ReturnFlags::CTRUNC) => {
            Ok(Some((token, [spec, attempt])))
        }
        // The descriptors did not arrive: this process has too many open files.
        _ => Err(io::Error::from_raw_os_error(libc::EMFILE)),
    }
}
