//! Process trees: finding every process of an attempt, wherever it hides, and ending all of them.
//!
//! An attempt's processes are those in its session, the descendants of its shim (a subreaper, so orphans come back to it),
//! whatever carries the attempt's token in its environment, and those in its control group where there is one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open};

use super::sys;
use crate::runner::attempt::ATTEMPT_VARIABLE;
use crate::runner::backoff::Backoff;

/// How long after the first KILL the last processes are waited for.
const GIVE_UP_AFTER: Duration = Duration::from_secs(60);
/// How long after a KILL by way of `run_as` the next one follows: each costs a process, and a line in sudo's log.
const FOREIGN_PAUSE: Duration = Duration::from_secs(1);

/// The inner programs that a driver is, or starts for itself.
const DRIVER_PROGRAMS: [&str; 3] = ["__driver", "__spawner", "__shim"];

/// What `/proc/PID/stat` says of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    group: i32,
    session: i32,
    is_zombie: bool,
    is_stopped: bool,
    start_ticks: u64,
}

/// When a process started, in clock ticks since boot: with the boot id it tells a process from a later one of the same
/// number.
pub fn start_ticks(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

/// Whether a signal or a debugger has stopped a process.
pub(super) fn is_stopped(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| stat.is_stopped)
}

/// How long ago the machine was booted, its sleep included.
pub(super) fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default()
}

/// The id of this boot of the machine.
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned())
}

/// Gives this process the name that `top` and `ps -e` show. Without it the name would be `exe`: inner programs are started by
/// way of `/proc/self/exe`, so that an upgrade of the program on disk does not change them half-way.
pub fn name_this_process() {
    // The name is for people; nothing depends on it.
    let _ = rustix::thread::set_name(c"crondag");
}

/// Makes this process the parent of its descendants' orphans, so that they are found among its descendants.
///
/// # Errors
/// The system is older than Linux 3.4.
pub fn adopt_orphans() -> std::io::Result<()> {
    sys::become_subreaper()
}

/// `None` too where it cannot be read: for one process whose number is known, that is as good as gone.
fn stat(pid: i32) -> Option<Stat> {
    read_stat(pid).ok().flatten()
}

/// `None` when there is no such process, or it is hidden from us.
fn read_stat(pid: i32) -> io::Result<Option<Stat>> {
    Ok(read_of(pid, "stat")?.and_then(|text| stat_of(pid, &text)))
}

/// A file of a process; nothing where the process has gone, or is another user's.
///
/// # Errors
/// This process lacks what it takes to read, such as descriptors.
fn read_of(pid: i32, name: &str) -> io::Result<Option<Vec<u8>>> {
    match fs::read(format!("/proc/{pid}/{name}")) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) => match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => Err(error),
            _ => Ok(None),
        },
    }
}

fn stat_of(pid: i32, text: &[u8]) -> Option<Stat> {
    let text = String::from_utf8_lossy(text);
    // The name stands in parentheses and may hold anything, even parentheses.
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    Some(Stat {
        pid,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        is_stopped: matches!(*fields.first()?, "T" | "t"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// All processes of this machine.
fn all() -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        if let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse().ok()) {
            found.extend(read_stat(pid)?);
        }
    }
    Ok(found)
}

/// Whether a process' environment has an entry that begins so. That of another user is not for us to see.
fn has_in_environment(pid: i32, wanted: &[u8]) -> io::Result<bool> {
    let environment = read_of(pid, "environ")?;
    Ok(environment.is_some_and(|text| text.split(|byte| *byte == 0).any(|entry| entry.starts_with(wanted))))
}

/// Whether a process is a driver that was started from inside a task, or belongs to one: that is no part of the task. It has to be this
/// very program, for what a process says of itself anybody can say. After an upgrade one of the other version is taken for a part of the
/// task, and ends with it: the next tick starts another.
fn is_driver(pid: i32) -> bool {
    static OWN: OnceLock<Option<(u64, u64)>> = OnceLock::new();
    let program = |path: &str| fs::metadata(path).ok().map(|program| (program.dev(), program.ino()));
    let own = OWN.get_or_init(|| program("/proc/self/exe"));
    own.is_some() && program(&format!("/proc/{pid}/exe")) == *own && {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let name = line.split(|byte| *byte == 0).nth(1).unwrap_or_default();
        DRIVER_PROGRAMS.contains(&String::from_utf8_lossy(name).as_ref())
    }
}

/// Processes with the process groups that they are in.
pub type Processes = BTreeMap<i32, i32>;

/// Those of these processes that live, without drivers started among them.
pub fn living(pids: impl IntoIterator<Item = i32>) -> Processes {
    let stats = pids.into_iter().filter_map(stat).filter(|stat| !stat.is_zombie && !is_driver(stat.pid));
    stats.map(|stat| (stat.pid, stat.group)).collect()
}

/// Whether this process has children (of which some may have ended just now) other than drivers started inside it.
pub(super) fn has_children() -> bool {
    // Asked first because it costs next to nothing.
    sys::has_children() && children(std::process::id()).into_iter().any(|pid| !is_driver(pid))
}

/// The children of a process at this instant, where the kernel lists them.
fn children(parent: impl std::fmt::Display) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{parent}/task")) else { return Vec::new() };
    let lists = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// The live descendants of a process, without itself and without drivers started inside it.
pub fn descendants(root: i32) -> Processes {
    // At once, since orphans that fork and end again and again are rarely there still when a list of all is read.
    let mut found = living(children(root));
    let mut children: HashMap<i32, Vec<Stat>> = HashMap::new();
    // Where the list cannot be read, whoever asks for descendants still hears of its children, and of whether it has any.
    for stat in all().unwrap_or_default() {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if is_driver(child.pid) {
                continue;
            }
            open.push(child.pid);
            if !child.is_zombie {
                found.insert(child.pid, child.group);
            }
        }
    }
    found
}

/// Live processes that belong to an attempt by its token or, when known, by its session.
///
/// A process whose environment is hidden from us (another user's) is not seen. Neither is a process that cleared its own
/// environment and left the attempt's session after the shim had been killed.
///
/// # Errors
/// The list of processes cannot be read, or not to its end (too many open files): there may be some.
pub fn with_token(token: &str, session: Option<i32>) -> io::Result<Processes> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let wanted = format!("{ATTEMPT_VARIABLE}={token}");
    let mut found = Processes::new();
    for stat in all()?.into_iter().filter(|stat| !stat.is_zombie && stat.pid != own) {
        let is_of_session = session.is_some_and(|session| stat.session == session && stat.pid != session);
        if (is_of_session || has_in_environment(stat.pid, wanted.as_bytes())?) && !is_driver(stat.pid) {
            found.insert(stat.pid, stat.group);
        }
    }
    Ok(found)
}

/// Sends a signal to a process; one that is gone already is fine. Gives `false` when it belongs to another user.
pub fn signal(pid: i32, signal: Signal) -> bool {
    let Some(pid) = Pid::from_raw(pid) else { return true };
    rustix::process::kill_process(pid, signal) != Err(Errno::PERM)
}

/// What became of a child of this process that was waited for.
#[derive(Debug)]
pub(crate) enum Waited {
    /// It has ended; so, unless somebody else has collected it.
    Ended(Option<WaitStatus>),
    /// It still runs.
    StillThere,
}

/// Waits for a child of this process to end, for at most this long.
pub(crate) fn wait_at_most(pid: i32, longest: Duration) -> Waited {
    let Some(pid) = Pid::from_raw(pid) else { return Waited::Ended(None) };
    let deadline = Instant::now() + longest;
    // Before Linux 5.3 there is none.
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok();
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(Some((_, status))) => return Waited::Ended(Some(status)),
            Ok(None) | Err(Errno::INTR) => {}
            Err(_) => return Waited::Ended(None),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Waited::StillThere;
        }
        match (&descriptor, rustix::time::Timespec::try_from(left)) {
            (Some(descriptor), Ok(left)) => {
                // Interrupted is as good as woken.
                let _ = poll(&mut [PollFd::new(descriptor, PollFlags::IN)], Some(&left));
            }
            _ => std::thread::sleep(left.min(Duration::from_millis(10))),
        }
    }
}

/// Ends a child of this process that leads a process group, with all of the group, and collects it.
pub(crate) fn end_group(leader: i32) {
    signal_group(leader, Signal::KILL);
    sys::wait_for(leader);
}

/// Collects every child of this process that has ended.
pub(crate) fn collect() {
    while let Ok(Some(_)) = rustix::process::wait(WaitOptions::NOHANG) {}
}

/// Sends a signal to all processes of a group at once: one that forks and ends does not get away. The group of this process
/// is left alone.
fn signal_group(group: i32, signal: Signal) {
    if let Some(group) = Pid::from_raw(group).filter(|group| *group != rustix::process::getpgrp()) {
        // All of it may have ended since it was found.
        let _ = rustix::process::kill_process_group(group, signal);
    }
}

/// An attempt's processes, as one who is to end them sees them.
pub trait Tree {
    /// Finds those that live; one that forks and ends at once may be missed.
    fn find(&mut self) -> Processes;

    /// Whether there is none for certain; asked when none was found.
    fn is_gone(&mut self) -> bool {
        true
    }

    /// Whether the grace is over before its time.
    fn is_urgent(&mut self) -> bool {
        false
    }

    /// Ends those that can be ended in one blow.
    fn kill(&mut self) {}

    /// Asks those that belong to another user to end, or ends them when the grace is over.
    fn end_foreign(&mut self, _pids: &[i32], _is_in_grace: bool) {}
}

/// How it went to end an attempt's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How many different processes were signalled.
    pub count: u32,
    /// None is left.
    pub is_clean: bool,
}

/// Ends all processes of an attempt: TERM, `grace`, KILL, again and again until none is left. Those of another user are ended as
/// the tree says.
pub fn end_all(tree: &mut impl Tree, grace: Duration) -> Ended {
    let mut seen: HashSet<i32> = HashSet::new();
    let mut last_kill: Option<Instant> = None;
    let started = Instant::now();
    let mut pauses = Backoff::new(Duration::from_millis(1), Duration::from_millis(50));
    loop {
        let found = tree.find();
        let is_clean = found.is_empty() && tree.is_gone();
        // Something that cannot be killed (stuck in the kernel) must not hold the shim for ever.
        if is_clean || started.elapsed() > grace + GIVE_UP_AFTER {
            return Ended { count: u32::try_from(seen.len()).unwrap_or(u32::MAX), is_clean };
        }
        let is_in_grace = !tree.is_urgent() && started.elapsed() < grace;
        if !is_in_grace {
            tree.kill();
        }
        let mut foreign = Vec::new();
        for (pid, group) in found {
            let is_new = seen.insert(pid);
            let is_ours = if !is_in_grace {
                signal_group(group, Signal::KILL);
                signal(pid, Signal::KILL)
            } else if is_new {
                // A stopped process takes TERM only when it goes on.
                signal(pid, Signal::TERM) && signal(pid, Signal::CONT)
            } else {
                true
            };
            if !is_ours {
                foreign.push(pid);
            }
        }
        let is_due = is_in_grace || last_kill.is_none_or(|last| last.elapsed() > FOREIGN_PAUSE);
        if !foreign.is_empty() && is_due {
            tree.end_foreign(&foreign, is_in_grace);
            last_kill = (!is_in_grace).then(Instant::now);
        }
        std::thread::sleep(pauses.pause());
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    use super::*;

    /// In a process of its own, since the limit holds for all threads.
    #[test]
    fn processes_that_cannot_be_listed_are_not_taken_for_gone() {
        const IS_ALONE: &str = "CRONDAG_TEST_IS_ALONE";
        if std::env::var_os(IS_ALONE).is_some() {
            let limit = Rlimit { current: Some(0), ..getrlimit(Resource::Nofile) };
            setrlimit(Resource::Nofile, limit).unwrap();
            assert_eq!(with_token("0.token", None).unwrap_err().raw_os_error(), Some(libc::EMFILE));
            return;
        }
        assert_eq!(with_token("0.token", None).unwrap(), Processes::new());
        let name = "runner::attempt::local::process::tests::processes_that_cannot_be_listed_are_not_taken_for_gone";
        let mut alone = Command::new(std::env::current_exe().unwrap());
        let said = alone.args([name, "--exact"]).env(IS_ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout);
        assert!(said.contains("1 passed"), "{said}");
    }
}
