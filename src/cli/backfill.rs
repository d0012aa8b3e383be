//! `crondag backfill`

use std::process::ExitCode;

use clap::ValueEnum;

use super::context::Global;
use super::error::CliError;

/// Options of `backfill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag backfill -s 2018-07-01 -e 2018-07-07 userprofile\n  \
                        crondag backfill -s 20180701 -e 20180731 userprofile --rerun failed --max-active-runs 3")]
#[allow(clippy::struct_excessive_bools)] // they are flags
pub struct Args {
    /// The DAG
    pub(super) dag: String,
    /// First logical date
    #[arg(short, long, value_name = "DATE")]
    pub(super) start: String,
    /// Last logical date, included
    #[arg(short, long, value_name = "DATE")]
    pub(super) end: String,
    /// Which intervals that have a run already are done again
    #[arg(long, default_value = "none")]
    pub(super) rerun: Rerun,
    /// Show the intervals and tasks that would run, and stop
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Only these tasks
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    pub(super) only: Vec<String>,
    /// With --only: also everything that they wait for
    #[arg(long, requires = "only")]
    pub(super) upstream: bool,
    /// With --only: also everything that waits for them
    #[arg(long, requires = "only")]
    pub(super) downstream: bool,
    /// How many runs of this backfill may go on at once [default: that of the DAG]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_active_runs: Option<u32>,
    /// Newest first
    #[arg(long)]
    pub(super) reverse: bool,
    /// Override a param of the DAG
    #[arg(long = "param", value_name = "NAME=VALUE")]
    pub(super) params: Vec<String>,
}

/// Which intervals that have a run already are done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Rerun {
    /// None of them: they are left alone
    None,
    /// Those that failed: their failed tasks and what these blocked
    Failed,
    /// All of them, from the beginning
    All,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let _ = (args, global);
    Err(CliError::environment("backfill is not part of this build", "use a build that has it"))
}
