//! `crondag completions SHELL`

use std::process::ExitCode;

use clap_complete::Shell;

use super::error::CliError;
use super::output::write_out;

/// Options of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag completions bash > ~/.local/share/bash-completion/completions/crondag")]
pub struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args, mut command: clap::Command) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "crondag", &mut script);
    write_out(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}
