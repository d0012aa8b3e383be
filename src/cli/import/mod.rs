//! `crondag import`: the way in from other schedulers.

mod crontab;

use std::process::ExitCode;

use super::error::CliError;

/// Options of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crontab -l | crondag import crontab -")]
pub struct Args {
    #[command(subcommand)]
    from: From,
}

#[derive(Debug, clap::Subcommand)]
enum From {
    /// Make DAG files of the jobs of a crontab
    Crontab(crontab::Args),
}

pub(super) fn run(args: &Args) -> Result<ExitCode, CliError> {
    match &args.from {
        From::Crontab(args) => crontab::run(args),
    }
}
