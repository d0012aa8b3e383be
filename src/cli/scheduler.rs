//! `crondag scheduler`, the resident mode, and the background driver that clients start.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::context::{Context, Global};
use super::error::CliError;
use crate::home::Home;
use crate::runner::client;
use crate::runner::driver::{self, End, Mode};
use crate::runner::process;

/// Options of `scheduler`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in a container or a systemd unit:\n  crondag --home /path/to/home scheduler")]
pub struct Args {}

pub(super) fn run(_: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let context = Context::open(global)?;
    drop(context.store_for_writing()?);
    loop {
        match driver::run(&context.home, Mode::Resident)? {
            // A driver that a tick started works; when it is gone, this process takes over.
            End::Taken => client::wait_for_driver(&context.home)?,
            End::Idle | End::Asked => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// The driver that a client has started for the home in the second argument.
pub(super) fn driver() -> ExitCode {
    let Some(home) = std::env::args_os().nth(2) else { return ExitCode::from(2) };
    // Fails only for somebody who started it by hand as the leader of a group.
    let _ = rustix::process::setsid();
    process::name_this_process();
    match driver::run(&Home::at(home), Mode::UntilIdle) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            // The log's disk may be full: the exit code says it all the same.
            let _ = writeln!(io::stderr(), "{:.3} the driver ends: {error}", jiff::Timestamp::now());
            ExitCode::from(3)
        }
    }
}
