//! `crondag schema`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;

/// Options of `schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag schema")]
pub struct Args {}

pub(super) fn run(_args: &Args, _global: &Global) -> Result<ExitCode, CliError> {
    Err(CliError::environment("schema is not part of this build", "use a build that has it"))
}
