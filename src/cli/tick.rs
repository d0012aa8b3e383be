//! `crondag tick`: one scheduler step, for the crontab.

use std::io;
use std::process::ExitCode;

use super::context::Global;
use super::diagnostic::{self, Style};
use super::error::CliError;
use super::output::say;
use crate::app::request::tick;

/// Options of `tick`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example, the one line in the crontab:\n  * * * * * crondag --home /path/to/home tick\n\n\
                        Example, for jobs of a container platform:\n  crondag --home /path/to/home tick --foreground")]
pub struct Args {
    /// Do the work in this process and end when it is done, for supervisors that kill what a finished job leaves behind
    #[arg(long)]
    foreground: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    // tick prints nothing when all is well.
    let receipt = tick::plan(&app)?;
    let style = Style::of(&io::stderr());
    for file in &receipt.faulty {
        eprint!("{}", diagnostic::render(&file.faults, &file.path, &file.text, style));
    }
    for note in &receipt.notes {
        say(format!("note: {note}"));
    }
    if !receipt.faulty.is_empty() {
        let until_then = if receipt.is_scheduled_all_the_same { "its last good version" } else { "nothing of it" };
        say(format!("next: correct it, then type `crondag validate`; until then {until_then} is scheduled"));
    }
    let is_good = receipt.faulty.is_empty();
    if args.foreground {
        tick::run_here(&app, receipt)?;
    } else {
        tick::wake(&app, &receipt)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
