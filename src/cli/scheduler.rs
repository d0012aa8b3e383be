//! `crondag scheduler`, the resident mode, and the background driver that clients start.

use std::process::ExitCode;

use super::context::Global;

use super::error::CliError;
use crate::home::Home;
use crate::runner::attempt::local::cgroup;
use crate::runner::attempt::local::process;
use crate::runner::driver::{self, Mode};
use crate::runner::driver_log as log;
use crate::runner::driver_log::line::{Level, Line};

/// Options of `scheduler`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, in a container or a systemd unit:\n  crondag --home /path/to/home scheduler\n\n\
                        SIGTERM starts nothing new and waits for live attempts up to `drain_timeout` of crondag.toml; \
                        those that live longer are left to the next scheduler. A second SIGTERM: at once. SIGHUP reads \
                        settings and DAG files again.")]
pub struct Args {}

pub(super) fn run(_: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    app.make_database()?;
    driver::run(&app.home, Mode::Resident)?;
    Ok(ExitCode::SUCCESS)
}

/// The driver that a client has started for the home in the second argument.
pub(super) fn driver() -> ExitCode {
    let Some(home) = std::env::args_os().nth(2).map(Home::at) else { return ExitCode::from(2) };
    // Fails only for somebody who started it by hand as the leader of a group.
    let _ = rustix::process::setsid();
    cgroup::leave_attempt();
    process::name_this_process();
    // Standard error is that file too, for what crondag does not say itself.
    let _ = log::keep_in_home(&home);
    match driver::run(&home, Mode::UntilIdle) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            log::say(&Line::trouble("the driver ends", error).at(Level::Error));
            ExitCode::from(3)
        }
    }
}
