//! The spawner: a small process of a single thread that forks the shims for the driver.
//!
//! A shim is needed for every attempt, and starting a program of this size anew for each (loading, relocating, setting
//! up) costs more than most of what the shim does. The driver itself cannot fork: it has threads. The spawner has none,
//! holds next to nothing, and a forked shim goes on from there without being loaded again.
//!
//! Two sockets join them. By one the driver sends a token, the specification and the locked attempt file. By the other come
//! reports: from a shim when its exit record is on the disk, from the spawner when a shim ended without a word. A driver that
//! dies takes the spawner along, but no shim; a spawner that dies takes nobody along, and the driver watches its attempts by
//! their locks until it has a new one.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, Shutdown, SocketFlags, SocketType, recvmsg, sendmsg, shutdown, socketpair,
};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitOptions, setsid};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use super::attempt_file::{Report, Reporter};
use super::cgroup::{Group, Groups};
use super::shim::Spare;
use super::{attributes, memory, process, program, sys};
use crate::runner::attempt::AttemptSpec;
use crate::runner::race_delay::race_delay;

/// A specification that is longer than this, for its script or its environment, goes by a file in memory.
const LONGEST_MESSAGE: usize = 16 << 10;
/// Longer than any report: an exit record whose reason names a long `PATH` is the longest.
const LONGEST_REPORT: usize = 128 << 10;
/// Room on the command line, in which each shim says which attempt it is.
const TITLE_ROOM: usize = 240;

/// The driver's end. Dropped, it ends the spawner; the shims go on.
pub(crate) struct Spawner {
    control: OwnedFd,
    process: Child,
}

/// Where the driver hears of its shims.
pub(crate) struct Reports {
    socket: OwnedFd,
}

impl Spawner {
    /// Starts a spawner.
    ///
    /// # Errors
    /// The process table is full, or there are too many open files.
    pub(crate) fn start() -> io::Result<(Spawner, Reports)> {
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

    /// Asks for a shim, which gets the specification and the attempt file. Neither passes through a file on disk: a
    /// specification holds secrets.
    ///
    /// # Errors
    /// The spawner is gone, or the system lacks memory.
    pub(crate) fn spawn(&self, spec: &AttemptSpec, attempt: &File) -> io::Result<()> {
        let json = serde_json::to_vec(spec)?;
        let token = format!("{}\n", spec.token);
        let (message, memory) = if token.len() + json.len() <= LONGEST_MESSAGE {
            (&json[..], None)
        } else {
            (&[][..], Some(memory::file_of(&json)?))
        };
        let descriptors: Vec<BorrowedFd<'_>> =
            std::iter::once(attempt.as_fd()).chain(memory.as_ref().map(AsFd::as_fd)).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let parts = [IoSlice::new(token.as_bytes()), IoSlice::new(message)];
        loop {
            match sendmsg(&self.control, &parts, &mut ancillary, SendFlags::NOSIGNAL) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Whether it is still there.
    pub(crate) fn is_alive(&mut self) -> bool {
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
    pub(crate) fn next(&mut self) -> Option<Report> {
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

/// The exit status of a spare shim that the driver no longer needs.
const NOT_NEEDED: i32 = 5;
/// The exit status of a shim whose attempt has ended as it should, but whose group must not be used again.
const GROUP_SPENT: i32 = 6;

fn serve() -> io::Result<()> {
    let mut fork = Fork::prepare()?;
    loop {
        race_delay();
        let mut failure = None;
        if fork.spare.is_none() {
            match fork.make_spare() {
                Ok(Side::Shim(group)) => sys::exit_at_once(fork.be_a_shim(group)),
                Ok(Side::Spawner) => {}
                Err(error) => failure = error.raw_os_error(),
            }
        }
        let ready = fork.wait()?;
        if ready.is_taken {
            fork.note_taken();
        }
        if ready.has_child_ended && fork.collect()? == Driver::Gone {
            return Ok(());
        }
        if ready.is_asked && fork.refuse(failure)? == Driver::Gone {
            return Ok(());
        }
    }
}

/// Who goes on behind a fork.
enum Side {
    Spawner,
    /// With its control group, where there is one.
    Shim(Option<Group>),
}

/// Whether somebody still asks for shims.
#[derive(Debug, PartialEq, Eq)]
enum Driver {
    There,
    Gone,
}

/// What the spawner has to see to.
struct Ready {
    /// The spare shim has got an attempt.
    is_taken: bool,
    has_child_ended: bool,
    /// There is a request and no spare shim that would take it.
    is_asked: bool,
}

/// The state of the spawner.
struct Fork {
    control: OwnedFd,
    reporter: Reporter,
    title: Option<sys::Title>,
    groups: Option<Groups>,
    signals: sys::Signals,
    /// By this pipe a spare shim says its number when it has got an attempt.
    taken: OwnedFd,
    take: OwnedFd,
    /// The shim of the next attempt is there before it is asked for, so that nobody waits for the fork.
    spare: Option<i32>,
    /// The numbers of the shims' control groups.
    numbers: HashMap<i32, u32>,
}

impl Fork {
    fn prepare() -> io::Result<Fork> {
        // Whatever a terminal sends to the driver is for the driver to act upon. Just started, the spawner leads no group.
        let _ = setsid();
        process::name_this_process();
        let control = fcntl_dupfd_cloexec(io::stdin(), 3)?;
        let reporter = Reporter { socket: fcntl_dupfd_cloexec(io::stdout(), 3)? };
        // No shim may hold the driver's end open by having inherited it.
        dup2_stdin(File::open("/dev/null")?)?;
        let title = sys::Title::of_this_process();
        // Read once, known to every shim.
        process::boot_id();
        attributes::learn();
        let groups = Groups::of_this_process(program::accepts_processes);
        let signals = sys::Signals::instead_of(&[libc::SIGCHLD])?;
        let (taken, take) = pipe_with(PipeFlags::CLOEXEC)?;
        Ok(Fork { control, reporter, title, groups, signals, taken, take, spare: None, numbers: HashMap::new() })
    }

    /// Forks the next shim.
    ///
    /// # Errors
    /// There can be no process.
    fn make_spare(&mut self) -> io::Result<Side> {
        let number = self.groups.as_mut().map(Groups::take);
        match sys::fork() {
            Ok(None) => Ok(Side::Shim(self.groups.as_ref().zip(number).map(|(groups, number)| groups.group(number)))),
            Ok(Some(pid)) => {
                self.spare = Some(pid);
                self.numbers.extend(number.map(|number| (pid, number)));
                Ok(Side::Spawner)
            }
            Err(error) => {
                self.give_back(number);
                Err(error)
            }
        }
    }

    fn give_back(&mut self, number: Option<u32>) {
        if let Some((groups, number)) = self.groups.as_mut().zip(number) {
            groups.give_back(number);
        }
    }

    /// Waits for something to do.
    fn wait(&self) -> io::Result<Ready> {
        let mut fds = vec![PollFd::new(&self.taken, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
        if self.spare.is_none() {
            fds.push(PollFd::new(&self.control, PollFlags::IN));
        }
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let is_ready = |fd: usize| fds.get(fd).is_some_and(|fd| !fd.revents().is_empty());
        Ok(Ready { is_taken: is_ready(0), has_child_ended: is_ready(1), is_asked: is_ready(2) })
    }

    fn note_taken(&mut self) {
        let mut pid = [0; 4];
        let is_whole = rustix::io::read(&self.taken, &mut pid) == Ok(pid.len());
        if is_whole && self.spare == Some(i32::from_ne_bytes(pid)) {
            self.spare = None;
        }
    }

    /// Collects the shims that have ended, and reports those that did not do so themselves.
    fn collect(&mut self) -> io::Result<Driver> {
        self.signals.take();
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            let was_spare = self.spare.take_if(|spare| *spare == pid).is_some();
            let number = self.numbers.remove(&pid);
            match status.exit_status() {
                Some(0) => self.give_back(number),
                // What is left of its group is removed with the other ones.
                Some(GROUP_SPENT) => {}
                Some(NOT_NEEDED) => return Ok(Driver::Gone),
                _ => {
                    self.reporter.send(&Report::Gone)?;
                    if was_spare {
                        // One that cannot even wait will hardly be followed by a better one at once.
                        thread::sleep(Duration::from_millis(10));
                    }
                }
            }
        }
        Ok(Driver::There)
    }

    /// Answers a request for which there can be no shim: it would wait for ever.
    fn refuse(&self, errno: Option<i32>) -> io::Result<Driver> {
        let Some(request) = receive(self.control.as_fd())? else { return Ok(Driver::Gone) };
        self.reporter.send(&Report::Refused { token: request.token, errno: errno.unwrap_or(libc::EAGAIN) })?;
        Ok(Driver::There)
    }

    /// What a forked process does: waits for a request, and is the shim of that attempt. Gives its exit status.
    fn be_a_shim(self, group: Option<Group>) -> i32 {
        // There is nobody to tell why: the driver finds the attempt's lock free and no record, and counts the attempt as failed.
        const FAILED: i32 = 3;
        let Fork { control, reporter, title, groups, signals, taken, take, .. } = self;
        // The spawner's alone. The groups are not dropped: that would remove those of other attempts.
        drop((signals, taken));
        std::mem::forget(groups);
        let Ok(shim) = Spare::prepare() else { return FAILED };
        let Request { spec, attempt, .. } = match receive(control.as_fd()) {
            Ok(Some(request)) => request,
            Ok(None) => return NOT_NEEDED,
            Err(_) => return FAILED,
        };
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        race_delay();
        let is_known = rustix::io::write(&take, &pid.to_ne_bytes()).is_ok();
        // The file is shown as standard output, where people find out whose shim it is.
        let is_shown = dup2_stdout(&attempt).is_ok();
        if !is_known || !is_shown {
            return FAILED;
        }
        match shim.run(&spec, &attempt, &reporter, title.as_ref(), group) {
            Ok(true) => 0,
            Ok(false) => GROUP_SPENT,
            Err(_) => FAILED,
        }
    }
}

/// What the driver asks for.
struct Request {
    token: String,
    /// JSON of the [`AttemptSpec`].
    spec: Vec<u8>,
    /// Locked.
    attempt: File,
}

/// The next request; `None` when the driver is gone.
fn receive(control: BorrowedFd<'_>) -> io::Result<Option<Request>> {
    let mut bytes: Vec<u8> = vec![0; LONGEST_MESSAGE];
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
    bytes.truncate(received.bytes);
    let mut files = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => descriptors.map(File::from).collect(),
        _ => Vec::new(),
    });
    let attempt = files.next().filter(|_| !received.flags.contains(ReturnFlags::CTRUNC));
    // The descriptors did not arrive: this process has too many open files.
    let Some(attempt) = attempt else { return Err(io::Error::from_raw_os_error(libc::EMFILE)) };
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let token = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let spec = match files.next() {
        None => bytes.split_off((end + 1).min(bytes.len())),
        Some(mut memory) => {
            let mut spec = Vec::new();
            memory.read_to_end(&mut spec)?;
            spec
        }
    };
    Ok(Some(Request { token, spec, attempt }))
}
