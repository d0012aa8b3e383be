//! `crondag scheduler`, and the driver's entry

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;

/// Options of `scheduler`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag --home /path/to/home scheduler")]
pub struct Args {}

pub(super) fn run(_args: &Args, _global: &Global) -> Result<ExitCode, CliError> {
    Err(CliError::environment("scheduler is not part of this build", "use `crondag tick`"))
}

/// `crondag __driver`
pub(super) fn driver() -> ExitCode {
    ExitCode::from(3)
}
