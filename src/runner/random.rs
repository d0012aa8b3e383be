//! Names that nobody has, and that nobody can guess.

use jiff::Timestamp;
use rustix::rand::{GetRandomFlags, getrandom};

/// Random hexadecimal digits.
pub(crate) fn digits() -> String {
    let mut bytes = [0_u8; 8];
    match getrandom(&mut bytes, GetRandomFlags::empty()) {
        Ok(8) => format!("{:016x}", u64::from_ne_bytes(bytes)),
        // Time and process tell names apart as well, only not from those of other machines.
        _ => format!("{:x}{:x}", Timestamp::now().as_nanosecond(), std::process::id()),
    }
}
