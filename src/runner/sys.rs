//! The few system calls that have no safe wrapper.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

/// Makes this process the parent of its descendants' orphans (Linux, `PR_SET_CHILD_SUBREAPER`).
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: prctl with this option takes one integer and touches no memory of ours.
    let done = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// CPU time (user and system, in seconds) and peak memory (of the largest process, in bytes) of all children that have
/// been waited for, and of theirs.
pub(super) fn children_usage() -> (f64, u64) {
    // SAFETY: `rusage` is plain integers, for which zero is a value; getrusage fills it in.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
        usage
    };
    #[allow(clippy::cast_precision_loss)] // microseconds of years fit into 53 bits
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    (seconds(usage.ru_utime) + seconds(usage.ru_stime), u64::try_from(usage.ru_maxrss).unwrap_or(0) * 1024)
}

/// Whether this process has any child, alive or not yet waited for.
pub(super) fn has_children() -> bool {
    // SAFETY: `siginfo_t` is plain data, for which zero is a value; with WNOWAIT nothing is collected.
    let result = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOHANG | libc::WNOWAIT)
    };
    result == 0
}

/// Whether a text ends with a complete SQL statement (`sqlite3_complete`).
pub(super) fn is_complete_sql(sql: &std::ffi::CStr) -> bool {
    // SAFETY: the pointer is to a C text that outlives the call; the function only reads it.
    unsafe { rusqlite::ffi::sqlite3_complete(sql.as_ptr()) != 0 }
}

/// Forks. Gives the child's number, and `None` in the child. Only for a process of a single thread: in the child there
/// is no other thread that would ever release a lock.
pub(super) fn fork() -> io::Result<Option<i32>> {
    // SAFETY: the caller has a single thread, so the child is a whole copy of it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(Some(pid)),
    }
}

/// As [`fork`], with the child in a control group from its first instant (Linux 5.7, `CLONE_INTO_CGROUP`). The C library
/// does not know of the child: it may only start a program, or end.
pub(super) fn fork_into(group: BorrowedFd<'_>) -> io::Result<Option<i32>> {
    // As <linux/sched.h> has it; libc's constant is of a type too narrow for it.
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    // SAFETY: `clone_args` is plain integers, for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = CLONE_INTO_CGROUP;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = u64::try_from(group.as_raw_fd()).map_err(io::Error::other)?;
    // SAFETY: the arguments outlive the call; without memory shared or a stack given, it is a fork: the caller has a
    // single thread, so the child is a whole copy of it.
    match unsafe { libc::syscall(libc::SYS_clone3, &raw const args, size_of::<libc::clone_args>()) } {
        -1 => Err(io::Error::last_os_error()),
        0 => Ok(None),
        pid => Ok(i32::try_from(pid).ok()),
    }
}

/// Ends this process without running what was registered for the end of the process that it was forked from.
pub(super) fn exit_at_once(code: i32) -> ! {
    // SAFETY: _exit takes one integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Gives up root's rights for those of a user, for good.
pub(super) fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: setgroups reads as many numbers as there are; the others take one each. The order matters: without root's
    // rights the groups could no longer be set.
    let done = unsafe {
        libc::setgroups(groups.len(), groups.as_ptr()) == 0 && libc::setgid(gid) == 0 && libc::setuid(uid) == 0
    };
    if done { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn set_of(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: `sigset_t` is plain integers, for which zero is a value; the functions only write into it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for signal in signals {
            libc::sigaddset(&raw mut set, *signal);
        }
        set
    }
}

/// Lets all signals through again: for a process that was forked from one with [`Signals`], before it becomes a program.
pub(super) fn unblock_signals() {
    let set = set_of(&[]);
    // SAFETY: the set outlives the call. It cannot fail: the arguments are right.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) };
}

/// Signals as something to be polled (`signalfd`), in place of what they do to a process. They are blocked, and would stay
/// so in programs that this process starts: see [`unblock_signals`].
pub(super) struct Signals {
    queue: OwnedFd,
}

impl Signals {
    /// Blocks these signals, and only these, and queues them instead. For processes of a single thread.
    pub(super) fn instead_of(signals: &[i32]) -> io::Result<Signals> {
        let set = set_of(signals);
        // SAFETY: the set outlives both calls; the descriptor is new and owned by nobody else.
        unsafe {
            if libc::sigprocmask(libc::SIG_SETMASK, &raw const set, ptr::null_mut()) == -1 {
                return Err(io::Error::last_os_error());
            }
            match libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK) {
                -1 => Err(io::Error::last_os_error()),
                fd => Ok(Signals { queue: OwnedFd::from_raw_fd(fd) }),
            }
        }
    }

    /// The next signal in the queue, if any. Signals of the same kind melt into one.
    pub(super) fn take(&self) -> Option<i32> {
        // As `struct signalfd_siginfo`: 128 bytes, of which the first four are the signal's number.
        let mut info = [0; 128];
        match rustix::io::read(&self.queue, &mut info) {
            Ok(128) => i32::try_from(u32::from_ne_bytes([info[0], info[1], info[2], info[3]])).ok(),
            _ => None,
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

/// Where the kernel finds this process' command line, as `ps` shows it.
pub(super) struct Title {
    start: usize,
    len: usize,
}

impl Title {
    /// Asks the kernel (`/proc/self/stat`, fields `arg_start` and `arg_end`).
    pub(super) fn of_this_process() -> Option<Title> {
        let text = std::fs::read("/proc/self/stat").ok()?;
        let text = String::from_utf8_lossy(&text);
        // The name stands in parentheses and may hold anything; the third field follows it.
        let mut fields = text[text.rfind(')')? + 2..].split(' ').skip(48 - 3);
        let start: usize = fields.next()?.parse().ok()?;
        let end: usize = fields.next()?.trim_end().parse().ok()?;
        (start != 0 && end > start).then(|| Title { start, len: end - start })
    }

    /// Replaces the command line by these words, cut to the room there is.
    pub(super) fn set(&self, words: &[&str]) {
        let mut text = words.join("\0").into_bytes();
        // The last byte must be zero, or the kernel takes it for a line that goes on elsewhere.
        text.truncate(self.len - 1);
        text.resize(self.len, 0);
        let memory = ptr::with_exposed_provenance_mut::<u8>(self.start);
        // SAFETY: the kernel says that these bytes hold the arguments of this process; they are writable, and no
        // reference to them exists: the standard library copies arguments when it is asked for them.
        unsafe { ptr::copy_nonoverlapping(text.as_ptr(), memory, text.len()) };
    }
}
