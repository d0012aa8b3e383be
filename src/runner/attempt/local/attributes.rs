//! What a new process takes on of its own accord, so that nothing of it comes from whoever started crondag: umask, nice value,
//! resource limits, and its chance of being chosen when memory runs out.

use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::process::{Resource, Rlimit, getpriority_process, getrlimit, setpriority_process, setrlimit, umask};

use crate::dag::ProcessAttributes;
use crate::dag::units::format_size;

/// Files that may be open at once when nobody says how many: enough for Spark, and for programs that go through all numbers no
/// long way. crond's 1024 starve the first; the hard limit of some hosts, a thousand million, the others.
const OPEN_FILES: u64 = 65_536;
/// Without a limit Linux lays memory out in another way, and threads get stacks of another size.
const STACK_SIZE: u64 = 8 << 20;

const RESOURCES: [Resource; 16] = [
    Resource::As,
    Resource::Core,
    Resource::Cpu,
    Resource::Data,
    Resource::Fsize,
    Resource::Locks,
    Resource::Memlock,
    Resource::Msgqueue,
    Resource::Nice,
    Resource::Nofile,
    Resource::Nproc,
    Resource::Rss,
    Resource::Rtprio,
    Resource::Rttime,
    Resource::Sigpending,
    Resource::Stack,
];

/// The limits of this process; `None` of a resource means no limit.
fn inherited() -> &'static [Rlimit; RESOURCES.len()] {
    static INHERITED: OnceLock<[Rlimit; RESOURCES.len()]> = OnceLock::new();
    INHERITED.get_or_init(|| RESOURCES.map(getrlimit))
}

/// A limit, and what is taken where the system does not give so much.
#[derive(Debug, Clone, Copy)]
struct Limit {
    resource: Resource,
    wanted: Rlimit,
    else_: Rlimit,
}

/// What a process is to begin with, in numbers alone: it is taken on where nothing may be allocated.
#[derive(Debug)]
pub(super) struct Attributes {
    umask: Mode,
    nice: i32,
    limits: [Option<Limit>; RESOURCES.len()],
}

impl Attributes {
    /// For a process that this one starts.
    pub(super) fn new(attributes: &ProcessAttributes) -> Attributes {
        let mut limits = [None; RESOURCES.len()];
        for ((place, resource), inherited) in limits.iter_mut().zip(RESOURCES).zip(inherited()) {
            let limit = limit(resource, set(attributes, resource), inherited);
            *place = (!is_same(&limit.wanted, inherited)).then_some(limit);
        }
        Attributes { umask: Mode::from_raw_mode(attributes.umask), nice: attributes.nice, limits }
    }

    /// Takes them on. Makes system calls only: it is used in a process that borrows another one's memory. What the system
    /// refuses is left as it is; [`deviations`] says so beforehand.
    pub(super) fn take_on(&self) {
        umask(self.umask);
        let _ = setpriority_process(None, self.nice);
        for limit in self.limits.iter().flatten() {
            if setrlimit(limit.resource, limit.wanted).is_err() {
                let _ = setrlimit(limit.resource, limit.else_);
            }
        }
        if let Ok(file) = openat(CWD, c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()) {
            let _ = rustix::io::write(&file, b"0");
        }
    }
}

/// What somebody has set.
fn set(attributes: &ProcessAttributes, resource: Resource) -> Option<u64> {
    let limits = &attributes.limits;
    match resource {
        Resource::Nofile => limits.open_files,
        Resource::Nproc => limits.processes,
        Resource::As => limits.address_space,
        Resource::Fsize => limits.file_size,
        Resource::Core => limits.core_size,
        Resource::Stack => limits.stack_size,
        _ => None,
    }
}

fn limit(resource: Resource, set: Option<u64>, inherited: &Rlimit) -> Limit {
    let hard = inherited.maximum;
    // `None` is no limit at all.
    let within = |size: u64| hard.map_or(size, |hard| hard.min(size));
    let enough = |size: u64| hard.map(|hard| hard.max(size));
    let usual = match resource {
        Resource::Nofile => Some(OPEN_FILES),
        Resource::Stack => Some(STACK_SIZE),
        Resource::Core => Some(0),
        _ => None,
    };
    let (wanted, else_) = match (set, usual) {
        // A limit that its process may raise is none.
        (Some(size), _) => ((Some(size), Some(size)), (Some(within(size)), Some(within(size)))),
        (None, Some(size)) => ((Some(size), enough(size)), (Some(within(size)), hard)),
        (None, None) => ((hard, hard), (hard, hard)),
    };
    let rlimit = |(current, maximum)| Rlimit { current, maximum };
    Limit { resource, wanted: rlimit(wanted), else_: rlimit(else_) }
}

fn is_same(one: &Rlimit, other: &Rlimit) -> bool {
    (one.current, one.maximum) == (other.current, other.maximum)
}

/// Bits of `CapEff` in `/proc/PID/status`: who has them may give more than it was given.
const CAP_SYS_NICE: u32 = 23;
const CAP_SYS_RESOURCE: u32 = 24;

fn has_capability(bit: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok());
    effective.is_some_and(|effective| effective >> bit & 1 == 1)
}

/// What a process that this one starts will not get, in words.
pub(super) fn deviations(attributes: &ProcessAttributes) -> Vec<String> {
    let mut found = Vec::new();
    if let Ok(nice) = getpriority_process(None)
        && nice > attributes.nice
        && !has_capability(CAP_SYS_NICE)
    {
        found.push(format!("nice {nice}, not {}: crondag itself was started so", attributes.nice));
    }
    for (resource, inherited) in RESOURCES.into_iter().zip(inherited()) {
        let limit = limit(resource, set(attributes, resource), inherited);
        if let (Some(wanted), Some(has)) = (limit.wanted.current, limit.else_.current)
            && has < wanted
            && !has_capability(CAP_SYS_RESOURCE)
        {
            let (name, has, wanted) = match resource {
                Resource::Nofile => ("open files", has.to_string(), wanted.to_string()),
                Resource::Nproc => ("processes", has.to_string(), wanted.to_string()),
                Resource::As => ("address space", format_size(has), format_size(wanted)),
                Resource::Fsize => ("file size", format_size(has), format_size(wanted)),
                Resource::Core => ("core size", format_size(has), format_size(wanted)),
                Resource::Stack => ("stack size", format_size(has), format_size(wanted)),
                _ => continue,
            };
            found.push(format!("{name} {has}, not {wanted}: crondag itself was started so"));
        }
    }
    found
}

/// Learns what this process was started with, for the processes that are forked from it.
pub(super) fn learn() {
    inherited();
}
