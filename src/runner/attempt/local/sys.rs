//! The few system calls that have no safe wrapper.

#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::attributes::Attributes;

/// A program with all that it is started with, as the kernel wants it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(super) path: CString,
    pub(super) argv: Vec<CString>,
    pub(super) env: Vec<CString>,
    pub(super) working_dir: CString,
    pub(super) stdin: OwnedFd,
    /// Standard output.
    pub(super) output: OwnedFd,
    /// Standard error; `None` means that it goes where standard output goes, which keeps their order.
    pub(super) errors: Option<OwnedFd>,
    pub(super) attributes: Attributes,
    /// In a session of its own, and not only in a process group.
    pub(super) leads_session: bool,
}

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

/// Waits for a child of this process to end.
pub(super) fn wait_for(pid: i32) -> Option<WaitStatus> {
    loop {
        match rustix::process::waitpid(Pid::from_raw(pid), WaitOptions::empty()) {
            Ok(ended) => return ended.map(|(_, status)| status),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
}

/// Whether a text ends with a complete SQL statement (`sqlite3_complete`).
pub(crate) fn is_complete_sql(sql: &std::ffi::CStr) -> bool {
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

/// Why a program does not run.
#[derive(Debug)]
pub(super) enum NotStarted {
    /// There could be no process.
    NoProcess(io::Error),
    /// There was one, and it could not become the program.
    NoProgram(io::Error),
}

impl From<NotStarted> for io::Error {
    fn from(not_started: NotStarted) -> io::Error {
        match not_started {
            NotStarted::NoProcess(error) | NotStarted::NoProgram(error) => error,
        }
    }
}

/// What a new process does, in numbers and pointers alone: it runs in the memory of the process that made it, and may do
/// nothing but system calls.
struct Child {
    path: *const c_char,
    argv: *const *const c_char,
    env: *const *const c_char,
    working_dir: *const c_char,
    stdin: RawFd,
    output: RawFd,
    errors: RawFd,
    attributes: *const Attributes,
    leads_session: bool,
    no_signals: libc::sigset_t,
    /// Where to say what went wrong, where the memory is not shared.
    failure: Option<RawFd>,
    /// What went wrong.
    errno: i32,
}

/// Starts a program in a process group of its own, with no signal blocked or ignored, and in a control group from its
/// first instant if one is given. Gives its process as soon as the program runs. For a process of a single thread.
pub(super) fn start(program: &Program, group: Option<BorrowedFd<'_>>) -> Result<i32, NotStarted> {
    start_by(make, program, group)
}

/// As [`start`], by the way that is left where the shorter one is not known.
#[cfg(test)]
pub(super) fn start_by_fork(program: &Program, group: Option<BorrowedFd<'_>>) -> Result<i32, NotStarted> {
    start_by(make_by_fork, program, group)
}

fn start_by(
    make: fn(&mut Child, Option<BorrowedFd<'_>>) -> io::Result<i32>,
    program: &Program,
    group: Option<BorrowedFd<'_>>,
) -> Result<i32, NotStarted> {
    let pointers = |texts: &[CString]| -> Vec<*const c_char> {
        texts.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect()
    };
    let (argv, env) = (pointers(&program.argv), pointers(&program.env));
    let mut child = Child {
        path: program.path.as_ptr(),
        argv: argv.as_ptr(),
        env: env.as_ptr(),
        working_dir: program.working_dir.as_ptr(),
        stdin: program.stdin.as_raw_fd(),
        output: program.output.as_raw_fd(),
        errors: program.errors.as_ref().unwrap_or(&program.output).as_raw_fd(),
        attributes: &raw const program.attributes,
        leads_session: program.leads_session,
        no_signals: set_of(&[]),
        failure: None,
        errno: 0,
    };
    // No signal may run a handler of this process in the child.
    let before = block_all_signals();
    let process = make(&mut child, group);
    set_signal_mask(&before);
    let pid = process.map_err(NotStarted::NoProcess)?;
    match child.errno {
        0 => Ok(pid),
        errno => {
            wait_for(pid);
            Err(NotStarted::NoProgram(io::Error::from_raw_os_error(errno)))
        }
    }
}

/// Makes the child. It borrows the memory and the stack of this process, which stands still until the child has become a
/// program or has ended (`CLONE_VM` and `CLONE_VFORK`, as `vfork` does): nothing is copied.
#[cfg(target_arch = "x86_64")]
fn make(child: &mut Child, group: Option<BorrowedFd<'_>>) -> io::Result<i32> {
    const FLAGS: u64 = (libc::CLONE_VM | libc::CLONE_VFORK) as u64;
    // As <linux/sched.h> has it (Linux 5.7); libc's constant is of a type too narrow for it.
    const CLONE_INTO_CGROUP: u64 = 1 << 33;
    // SAFETY: `clone_args` is plain integers, for which zero is a value.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    let (number, first, second) = match group {
        // The older call is there on every Linux and in every container.
        None => (libc::SYS_clone, FLAGS | libc::SIGCHLD as u64, 0),
        Some(group) => {
            args.flags = FLAGS | CLONE_INTO_CGROUP;
            args.exit_signal = libc::SIGCHLD as u64;
            args.cgroup = u64::try_from(group.as_raw_fd()).map_err(io::Error::other)?;
            (libc::SYS_clone3, (&raw const args).addr() as u64, size_of::<libc::clone_args>() as u64)
        }
    };
    let result: i64;
    // SAFETY: the arguments outlive the call. The child goes on behind the call with this stack, below everything that this
    // process has on it, and never comes back from `be_the_program`; this process wakes up when the child has let go of the
    // memory, finds its registers as the kernel kept them, and what the child wrote as written through `child`.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {child}",
            "call {entry}",
            "ud2",
            "2:",
            child = in(reg) &raw mut *child,
            entry = sym be_the_program,
            inlateout("rax") number => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") 0,
            in("r10") 0,
            in("r8") 0,
            out("rcx") _,
            out("r11") _,
        );
    }
    match i32::try_from(result) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(errno) => Err(io::Error::from_raw_os_error(-errno)),
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(not(target_arch = "x86_64"))]
use make_by_fork as make;

/// Makes the child by a fork, outside control groups: for machines whose registers [`make`] does not know.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn make_by_fork(child: &mut Child, group: Option<BorrowedFd<'_>>) -> io::Result<i32> {
    if group.is_some() {
        return Err(io::Error::from_raw_os_error(libc::ENOSYS));
    }
    let (failure, report_failure) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    child.failure = Some(report_failure.as_raw_fd());
    let Some(pid) = fork()? else { be_the_program(child) };
    drop(report_failure);
    let mut errno = [0; 4];
    loop {
        match rustix::io::read(&failure, &mut errno) {
            Err(Errno::INTR) => {}
            Ok(4) => child.errno = i32::from_ne_bytes(errno),
            // The program runs: starting it closed the pipe.
            _ => return Ok(pid),
        }
    }
}

/// The highest number of a signal (Linux).
const LAST_SIGNAL: i32 = 64;
/// As <linux/ioprio.h> has it.
const IOPRIO_WHO_PROCESS: i32 = 1;

/// Closes every descriptor but the standard ones: this process has opened none of them, so they are somebody else's, who may wait
/// for the end of a pipe or for a lock, or trusts that nobody reads on. For the first thing that a process does.
pub(crate) fn close_inherited() {
    // SAFETY: no descriptor above 2 belongs to anything of this process: it has only just begun.
    let done = unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    if done == 0 {
        return;
    }
    // Before Linux 5.9.
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else { return };
    let open: Vec<i32> = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > 2) {
        // SAFETY: as above; the one by which the list was read is closed already, and closing it again does nothing.
        unsafe { libc::close(descriptor) };
    }
}

/// What the child does.
extern "C" fn be_the_program(child: *mut Child) -> ! {
    // SAFETY: the process that made this one keeps what the pointers lead to until the program runs. Only system calls are
    // made; the handlers of signals are this process' own, its mask too.
    unsafe {
        let child = &mut *child;
        if child.leads_session {
            libc::setsid();
        } else {
            libc::setpgid(0, 0);
        }
        // Rust's runtime ignores SIGPIPE, nohup SIGHUP, a shell SIGINT in its background; a task begins as cron would begin it.
        // Not by libc, which keeps two for itself and leaves them ignored in what it spawns.
        let default = [0_u64; 4];
        for signal in 1..=LAST_SIGNAL {
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), ptr::null::<u64>(), size_of::<u64>());
        }
        let is_ready = libc::dup2(child.stdin, 0) != -1
            && libc::dup2(child.output, 1) != -1
            && libc::dup2(child.errors, 2) != -1
            && libc::chdir(child.working_dir) == 0;
        if is_ready {
            (*child.attributes).take_on();
            // As the nice value has it. The class, not the level, is what would be inherited.
            libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, 0);
            // What has to be open until the program runs closes itself then; so does what whoever started crondag had open.
            libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const child.no_signals, ptr::null_mut());
            libc::execve(child.path, child.argv, child.env);
        }
        child.errno = *libc::__errno_location();
        if let Some(failure) = child.failure {
            libc::write(failure, (&raw const child.errno).cast(), size_of::<i32>());
        }
        libc::_exit(127)
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

fn block_all_signals() -> libc::sigset_t {
    // SAFETY: `sigset_t` is plain integers, for which zero is a value; the functions write into the sets, which outlive them.
    unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    }
}

fn set_signal_mask(set: &libc::sigset_t) {
    // SAFETY: the set outlives the call. It cannot fail: the arguments are right.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, set, ptr::null_mut()) };
}

/// Signals as something to be polled (`signalfd`), in place of what they do to a process. They are blocked, and would stay
/// so in programs that this process starts, but for those that [`start`] starts.
pub(super) struct Signals {
    queue: OwnedFd,
}

impl Signals {
    /// Blocks these signals, and only these, and queues them instead. For processes of a single thread.
    pub(super) fn instead_of(signals: &[i32]) -> io::Result<Signals> {
        let set = set_of(signals);
        // SAFETY: the set outlives the calls; the descriptor is new and owned by nobody else.
        unsafe {
            // A signal that whoever started this process ignored would never be queued, and nobody could wait for a child.
            for signal in signals {
                libc::signal(*signal, libc::SIG_DFL);
            }
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
