//! What the tests of the built binary share: one home, one way to wait, and the processes of this machine.
//!
//! A test makes a [`Home`], runs commands in it and compares whole outputs; what it has to wait for, it waits for with
//! [`until`]. A test that fails prints what the driver of its home has written.

#![allow(dead_code, unused_imports)] // each test uses a part
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

mod home;
mod process;
mod ran;
mod smtp;
mod terminal;
mod until;

pub use home::Home;
pub use process::{pids, processes, signal};
pub use ran::Ran;
pub use smtp::{MailServer, Silence};
pub use terminal::on_terminal;
pub use until::{LONG_ENOUGH, until, until_some};
