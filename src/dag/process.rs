//! What a task's process begins with beside its environment and its directory: what POSIX calls process attributes.
//!
//! They are defined and not inherited: a task must not depend on who typed `crondag tick`, or from where.

use serde::{Deserialize, Serialize};

/// What crondag.toml, `[defaults]` or a task says of them. `None` leaves it to whoever is further out, and in the end to
/// [`ProcessSettings::usual`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProcessSettings {
    /// The permissions that new files do not get.
    pub umask: Option<u32>,
    /// 0 to 19; the higher, the more it gives way to others.
    pub nice: Option<i32>,
    /// What it may use.
    pub limits: ResourceLimits,
}

/// What a process may use; `None` means as much as the host allows crondag.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimits {
    /// Files that it has open at once (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Processes and threads of its user, with all that runs beside it (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// Bytes of its address space (`RLIMIT_AS`).
    pub address_space: Option<u64>,
    /// Bytes of a file that it writes (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
    /// Bytes of a core dump (`RLIMIT_CORE`).
    pub core_size: Option<u64>,
    /// Bytes of its stack (`RLIMIT_STACK`).
    pub stack_size: Option<u64>,
}

/// What a process begins with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessAttributes {
    /// The permissions that new files do not get.
    pub umask: u32,
    /// The nice value.
    pub nice: i32,
    /// What somebody set: the process cannot raise it again.
    pub limits: ResourceLimits,
}

impl Default for ProcessAttributes {
    fn default() -> Self {
        ProcessSettings::usual().attributes()
    }
}

impl ProcessSettings {
    /// Those that hold where nobody says anything: as a login shell has them.
    pub const fn usual() -> ProcessSettings {
        let limits = ResourceLimits {
            open_files: None,
            processes: None,
            address_space: None,
            file_size: None,
            core_size: None,
            stack_size: None,
        };
        ProcessSettings { umask: Some(0o022), nice: Some(0), limits }
    }

    /// These, and where they say nothing, the others.
    #[must_use]
    pub fn or(self, outer: ProcessSettings) -> ProcessSettings {
        let (own, other) = (self.limits, outer.limits);
        ProcessSettings {
            umask: self.umask.or(outer.umask),
            nice: self.nice.or(outer.nice),
            limits: ResourceLimits {
                open_files: own.open_files.or(other.open_files),
                processes: own.processes.or(other.processes),
                address_space: own.address_space.or(other.address_space),
                file_size: own.file_size.or(other.file_size),
                core_size: own.core_size.or(other.core_size),
                stack_size: own.stack_size.or(other.stack_size),
            },
        }
    }

    /// What a process begins with.
    pub fn attributes(self) -> ProcessAttributes {
        let ProcessSettings { umask, nice, limits } = self.or(ProcessSettings::usual());
        ProcessAttributes { umask: umask.unwrap_or_default(), nice: nice.unwrap_or_default(), limits }
    }
}
