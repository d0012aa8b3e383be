//! What an inner program prints: without the values that must not be seen, in case nobody else masks them.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::mask::Mask;

static SECRETS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Masks these values from now on.
pub(super) fn keep_secret<'a>(secrets: impl IntoIterator<Item = &'a String>) {
    SECRETS.lock().unwrap_or_else(PoisonError::into_inner).extend(secrets.into_iter().cloned());
}

/// Prints lines to the task's log. A log that is gone stops nothing.
pub(in crate::runner::actions) fn say(lines: &str) {
    let secrets = SECRETS.lock().unwrap_or_else(PoisonError::into_inner);
    let masked = Mask::new(secrets.iter().map(String::as_str)).text(lines);
    let _ = writeln!(std::io::stdout(), "{masked}");
}
