//! `crondag tick`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;

/// Options of `tick`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, the one line in the crontab:\n  * * * * * crondag --home /path/to/home tick\n\n\
                        Example, for systemd timers and containers:\n  crondag --home /path/to/home tick --foreground")]
pub struct Args {
    /// Do the work in this process and end when it is done, for supervisors that kill what a finished job leaves behind
    #[arg(long)]
    pub(super) foreground: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let _ = (args.foreground, global);
    Err(CliError::environment("tick is not part of this build", "use a build that has it"))
}
