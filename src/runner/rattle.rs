//! Random delays where processes and threads meet, compiled in by the feature `rattle` alone: what two of them may do in either
//! order must come out right in either order.

/// Waits for up to a quarter of a second, half of the time not at all.
#[cfg(feature = "rattle")]
pub(crate) fn rattle() {
    use rustix::rand::{GetRandomFlags, getrandom};
    let mut bytes = [0_u8; 2];
    if getrandom(&mut bytes, GetRandomFlags::empty()) == Ok(bytes.len()) && bytes[0] & 1 == 0 {
        std::thread::sleep(std::time::Duration::from_millis(bytes[1].into()));
    }
}

/// Nothing.
#[cfg(not(feature = "rattle"))]
#[inline]
pub(crate) fn rattle() {}
