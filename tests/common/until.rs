use std::thread;
use std::time::{Duration, Instant};

/// After this long what a test waits for will not come, however busy the machine is.
pub const LONG_ENOUGH: Duration = Duration::from_secs(180);

/// Waits until something is so; fails with what was waited for.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    until_some(what, || is_so().then_some(()));
}

/// Waits until there is a value, and gives it.
#[track_caller]
pub fn until_some<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG_ENOUGH;
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(Instant::now() < deadline, "waited in vain for {} seconds: {what}", LONG_ENOUGH.as_secs());
        thread::sleep(Duration::from_millis(10));
    }
}
