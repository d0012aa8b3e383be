//! The few system calls that have no safe wrapper.

#![allow(unsafe_code)]

use std::io;

/// Makes this process the parent of its descendants' orphans (Linux, `PR_SET_CHILD_SUBREAPER`).
pub(super) fn become_subreaper() -> io::Result<()> {
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
