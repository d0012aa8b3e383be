//! Control groups (cgroup v2). Where the host lets the driver make some, each attempt has a group of its own, which no
//! process leaves by forking, by a session of its own or by clearing its environment, and which the kernel ends at once.
//!
//! Where it does not, nothing is said and nothing changes: an attempt's processes are found as [`super::process`] says.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::process;

/// How often the processes of a group are listed to be moved: those that fork meanwhile are found again.
const RELEASES: u32 = 100;

/// Attempts' groups are called `crondag-attempt-PID-TICKS-NUMBER`, after the spawner of their shims and when it started.
const PREFIX: &str = "crondag-attempt-";

/// The groups of the attempts whose shims one spawner forks. They are numbered, and used again: making and removing one for
/// each attempt costs a third of what starting its program does. Only a shim that has left its group fit for another attempt gives
/// the number back; with one that was killed its number is lost, for somebody may be about to end what is in that group.
#[derive(Debug)]
pub(super) struct Groups {
    folder: PathBuf,
    /// The process that hands the numbers out.
    pid: i32,
    start_ticks: u64,
    free: Vec<u32>,
    next: u32,
}

impl Groups {
    /// Groups below the group of this process, if they can be made there, the kernel lets processes begin in them
    /// (`accepts_processes`), and they can be ended at once (Linux 5.14). Removes those that spawners before have left.
    pub(super) fn of_this_process(accepts_processes: impl Fn(&OwnedFd) -> bool) -> Option<Groups> {
        let pid = i32::try_from(std::process::id()).ok()?;
        let start_ticks = process::start_ticks(pid)?;
        let mut groups = Groups { folder: own_folder()?, pid, start_ticks, free: Vec::new(), next: 0 };
        groups.remove_orphans();
        let number = groups.take();
        let first = groups.group(number);
        let is_usable = first.folder.join("cgroup.kill");
        let is_usable = first.make().is_ok_and(|folder| is_usable.exists() && accepts_processes(&folder));
        groups.give_back(number);
        is_usable.then_some(groups)
    }

    /// The number of a group that no attempt has.
    pub(super) fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        })
    }

    /// The group with this number is empty, and stays so.
    pub(super) fn give_back(&mut self, number: u32) {
        self.free.push(number);
    }

    /// The group with this number.
    pub(super) fn group(&self, number: u32) -> Group {
        Group::at(self.folder.join(format!("{PREFIX}{}-{}-{number}", self.pid, self.start_ticks)))
    }

    /// Removes empty groups of spawners that are gone.
    fn remove_orphans(&self) {
        // What cannot be listed now is left to the next spawner.
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let name = entry.file_name();
            let mut numbers = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).unwrap_or_default().split('-');
            let (pid, ticks) = (numbers.next().map(str::parse), numbers.next().map(str::parse));
            if let (Some(Ok(pid)), Some(Ok(ticks))) = (pid, ticks)
                && process::start_ticks(pid) != Some(ticks)
            {
                Group::at(entry.path()).remove();
            }
        }
    }
}

impl Drop for Groups {
    /// Those in which attempts live on are removed by their shims.
    fn drop(&mut self) {
        (0..self.next).for_each(|number| {
            self.group(number).remove();
        });
    }
}

/// Leaves the group of an attempt: a driver that was started from inside a task does not end with it.
pub fn leave_attempt() {
    let is_attempt =
        |folder: &PathBuf| folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX));
    if let Some(parent) = own_folder().filter(is_attempt).as_deref().and_then(Path::parent) {
        // If it cannot, it ends with the task, and the next tick starts another driver.
        let _ = fs::write(parent.join("cgroup.procs"), "0");
    }
}

/// The group of one attempt.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
}

impl Group {
    /// A group that somebody else made.
    pub(super) fn at(folder: PathBuf) -> Group {
        Group { folder }
    }

    /// Where it lies.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes it if it is not there yet, and opens it for processes to be born in.
    pub(super) fn make(&self) -> io::Result<OwnedFd> {
        match fs::create_dir(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(openat(CWD, &self.folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// The processes in it and in groups below it.
    pub(super) fn processes(&self) -> BTreeSet<i32> {
        // Of a group that cannot be read no process is known; that none is left, `is_empty` and `remove` ask the kernel.
        let listed = |folder: &Path| fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        let mut found: BTreeSet<i32> = listed(&self.folder).lines().filter_map(|pid| pid.parse().ok()).collect();
        for below in self.below() {
            found.extend(below.processes());
        }
        found
    }

    /// Moves the processes in it to the group above, where nobody ends them. Gives whether that is all of them: one may fork
    /// meanwhile.
    pub(super) fn release(&self) -> bool {
        let Some(above) = self.folder.parent() else { return false };
        for _ in 0..RELEASES {
            for pid in self.processes() {
                // One that is gone already is fine.
                let _ = fs::write(above.join("cgroup.procs"), pid.to_string());
            }
            if self.is_empty() {
                return true;
            }
        }
        false
    }

    /// Ends them all at once; none can fork meanwhile.
    pub(super) fn kill(&self) {
        // A group that is gone has no processes.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
    }

    /// Whether no process lives in it or in a group below it.
    pub(super) fn is_empty(&self) -> bool {
        match fs::read_to_string(self.folder.join("cgroup.events")) {
            Ok(events) => events.lines().any(|line| line == "populated 0"),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        }
    }

    /// Removes it, with the groups below it. Gives `false` while a process lives in it.
    pub(super) fn remove(&self) -> bool {
        match fs::remove_dir(&self.folder) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
            // Processes live in it, or groups lie below it.
            Err(_) => {}
        }
        self.below().iter().all(Group::remove) && fs::remove_dir(&self.folder).is_ok()
    }

    fn below(&self) -> Vec<Group> {
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let folders = entries.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        folders.map(|entry| Group::at(entry.path())).collect()
    }
}

/// Where the group of this process lies in the file system.
fn own_folder() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    folder_of(&groups, &mounts)
}

/// From `/proc/self/cgroup` and `/proc/self/mountinfo` (see proc(5)).
fn folder_of(groups: &str, mounts: &str) -> Option<PathBuf> {
    let group = Path::new(groups.lines().find_map(|line| line.strip_prefix("0::"))?);
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        if !file_system.starts_with("cgroup2 ") {
            return None;
        }
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        Some(Path::new(point).join(group.strip_prefix(root).ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let unified =
            "24 1 0:22 / /sys rw - sysfs sysfs rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let found = |groups, mounts| folder_of(groups, mounts).map(|path| path.display().to_string());
        assert_eq!(
            found("0::/system.slice/cron.service\n", unified).as_deref(),
            Some("/sys/fs/cgroup/system.slice/cron.service")
        );
        let hybrid = "31 1 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 1 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        assert_eq!(found("4:memory:/a\n0::/b\n", hybrid).as_deref(), Some("/sys/fs/cgroup/unified/b"));
        let container = "33 1 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(found("0::/docker/1/x\n", container).as_deref(), Some("/sys/fs/cgroup/x"));
        assert_eq!(found("0::/elsewhere\n", container), None);
        assert_eq!(found("4:memory:/a\n", hybrid), None, "without a group of version 2");
        assert_eq!(found("0::/a\n", "31 1 0:27 / /c rw - cgroup cgroup rw,memory\n"), None);
    }
}
