//! Control groups (cgroup v2). Where the host lets the driver make some, each attempt has a group of its own, which no
//! process leaves by forking, by a session of its own or by clearing its environment, and which the kernel ends at once.
//!
//! Where it does not, nothing is said and nothing changes: an attempt's processes are found as [`super::process`] says.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::{process, sys};

/// Attempts' groups begin so.
const PREFIX: &str = "crondag-attempt-";

/// The group below which attempts get theirs.
#[derive(Debug)]
pub(super) struct Parent {
    folder: PathBuf,
}

impl Parent {
    /// The group of this process, if others can be made below it and ended at once (Linux 5.14). Tries it.
    pub(super) fn of_this_process() -> Option<Parent> {
        let parent = Parent { folder: own_folder()? };
        let probe = parent.group(&format!("probe-{}", std::process::id()));
        let works = probe.make().is_ok_and(|group| {
            probe.folder.join("cgroup.kill").exists()
                && match sys::fork_into(group.as_fd()) {
                    Ok(None) => sys::exit_at_once(0),
                    Ok(Some(pid)) => process::wait_for(pid).is_some(),
                    Err(_) => false,
                }
        });
        probe.remove();
        works.then_some(parent)
    }

    /// The group of the attempt with this token.
    pub(super) fn group(&self, token: &str) -> Group {
        Group { folder: self.folder.join(format!("{PREFIX}{token}")) }
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
pub(super) struct Group {
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

    /// Makes it, and opens it for processes to be born in.
    pub(super) fn make(&self) -> io::Result<OwnedFd> {
        fs::create_dir(&self.folder)?;
        Ok(openat(CWD, &self.folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
    }

    /// The processes in it and in groups below it.
    pub(super) fn processes(&self) -> BTreeSet<i32> {
        let listed = |folder: &Path| fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        let mut found: BTreeSet<i32> = listed(&self.folder).lines().filter_map(|pid| pid.parse().ok()).collect();
        for below in self.below() {
            found.extend(below.processes());
        }
        found
    }

    /// Ends them all at once; none can fork meanwhile.
    pub(super) fn kill(&self) {
        // A group that is gone has no processes.
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
    }

    /// Removes it, with the groups below it. Gives `false` while a process lives in it.
    pub(super) fn remove(&self) -> bool {
        match fs::remove_dir(&self.folder) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
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
