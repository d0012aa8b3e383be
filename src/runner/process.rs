//! Process trees: finding every process of an attempt, wherever it hides, and ending all of them.
//!
//! An attempt's processes are those in its session or process group, the descendants of its shim (a subreaper, so
//! orphans come back to it), and whatever carries the attempt's token in its environment.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// The variable that a driver carries: one that was started from inside a task is not part of that task.
pub const DRIVER_VARIABLE: &str = "CRONDAG_DRIVER";

/// What `/proc/PID/stat` says of one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    pid: i32,
    parent: i32,
    session: i32,
    is_zombie: bool,
    start_ticks: u64,
}

/// When a process started, in clock ticks since boot: with the boot id it tells a process from a later one of the same
/// number.
pub fn start_ticks(pid: i32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

/// The id of this boot of the machine.
pub fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned())
}

/// Names this process as `top` and `ps -e` show it: it was started by way of `/proc/self/exe`, so that an upgrade of the
/// program does not change it half-way, and would be called `exe`.
pub fn name_this_process() {
    // The name is for people; nothing depends on it.
    let _ = rustix::thread::set_name(c"crondag");
}

fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    // The name stands in parentheses and may hold anything, even parentheses.
    let fields: Vec<&str> = text[text.rfind(')')? + 2..].split(' ').collect();
    Some(Stat {
        pid,
        is_zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

fn all() -> Vec<Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| stat(entry.ok()?.file_name().to_str()?.parse().ok()?)).collect()
}

/// Whether a process' environment has an entry that begins so.
fn has_in_environment(pid: i32, wanted: &[u8]) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environment| environment.split(|byte| *byte == 0).any(|entry| entry.starts_with(wanted)))
}

fn is_driver(pid: i32) -> bool {
    has_in_environment(pid, format!("{DRIVER_VARIABLE}=").as_bytes())
}

/// The live descendants of a process, without itself and without drivers started inside it.
pub fn descendants(root: i32) -> BTreeSet<i32> {
    let mut children: HashMap<i32, Vec<Stat>> = HashMap::new();
    for stat in all() {
        children.entry(stat.parent).or_default().push(stat);
    }
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(parent) = open.pop() {
        for child in children.get(&parent).into_iter().flatten() {
            if is_driver(child.pid) {
                continue;
            }
            open.push(child.pid);
            if !child.is_zombie {
                found.insert(child.pid);
            }
        }
    }
    found
}

/// Live processes that belong to an attempt by its token or, when known, by its session.
///
/// A process that hides its environment (another user's) is not seen; neither is one that cleared its environment and
/// left its session after its shim had been killed.
pub fn with_token(token: &str, session: Option<i32>) -> BTreeSet<i32> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let wanted = format!("{}={token}", super::attempt::ATTEMPT_VARIABLE);
    all()
        .into_iter()
        .filter(|stat| !stat.is_zombie && stat.pid != own)
        .filter(|stat| {
            session.is_some_and(|session| stat.session == session && stat.pid != session)
                || has_in_environment(stat.pid, wanted.as_bytes())
        })
        .filter(|stat| !is_driver(stat.pid))
        .map(|stat| stat.pid)
        .collect()
}

/// Sends a signal to a process; one that is gone already is fine.
pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        // The process may have ended since it was looked up.
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Ends all processes that `find` finds: TERM, `grace`, KILL, again and again until it finds none.
///
/// `reap` is called between looks, to collect children. Gives how many different processes were signalled.
pub fn end_all(find: impl Fn() -> BTreeSet<i32>, grace: Duration, mut reap: impl FnMut()) -> u32 {
    let mut seen: HashSet<i32> = HashSet::new();
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        reap();
        let found = find();
        if found.is_empty() {
            return u32::try_from(seen.len()).unwrap_or(u32::MAX);
        }
        let is_patient = started.elapsed() < grace;
        for pid in found {
            let is_new = seen.insert(pid);
            if !is_patient {
                signal(pid, Signal::KILL);
            } else if is_new {
                signal(pid, Signal::TERM);
                // A stopped process takes TERM only when it goes on.
                signal(pid, Signal::CONT);
            }
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
        // Something that cannot be killed (stuck in the kernel) must not hold the shim for ever.
        if started.elapsed() > grace + Duration::from_secs(60) {
            return u32::try_from(seen.len()).unwrap_or(u32::MAX);
        }
    }
}
