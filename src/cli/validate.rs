//! `crondag validate`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;

/// Options of `validate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag validate")]
pub struct Args {}

pub(super) fn run(_args: &Args, _global: &Global) -> Result<ExitCode, CliError> {
    Err(CliError::environment("validate is not part of this build", "use a build that has it"))
}
