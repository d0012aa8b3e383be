//! Random delays where processes and threads meet, compiled in by the feature `race-delays` alone: what two of them may do in either
//! order must come out right in either order.

/// Waits for up to a quarter of a second, half of the time not at all.
#[cfg(feature = "race-delays")]
pub(crate) fn race_delay() {
    use rustix::rand::{GetRandomFlags, getrandom};
    let mut bytes = [0_u8; 2];
    if getrandom(&mut bytes, GetRandomFlags::empty()) == Ok(bytes.len()) && bytes[0] & 1 == 0 {
        std::thread::sleep(std::time::Duration::from_millis(bytes[1].into()));
    }
}

/// Nothing.
#[cfg(not(feature = "race-delays"))]
#[inline]
pub(crate) fn race_delay() {}
