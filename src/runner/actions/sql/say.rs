//! What this process prints, without the passwords that it has read itself: those the shim does not know.

use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

use crate::runner::log::mask;

static PASSWORDS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Masks a password from now on.
pub(super) fn keep_secret(password: &str) {
    PASSWORDS.lock().unwrap_or_else(PoisonError::into_inner).push(password.to_owned());
}

/// Prints lines to the task's log. A log that is gone stops nothing.
pub(in crate::runner::actions) fn say(lines: &str) {
    let masked = mask(lines, &PASSWORDS.lock().unwrap_or_else(PoisonError::into_inner));
    let _ = writeln!(std::io::stdout(), "{masked}");
}
