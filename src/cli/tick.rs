//! `crondag tick`: one scheduler step, for the crontab.

use std::io;
use std::process::ExitCode;

use super::context::Global;
use super::diagnostic::{self, Style};
use super::error::CliError;
use super::output::say;
use crate::app::request::tick::{self, UnusableFile};

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
    let receipt = tick::make_due(&app)?;
    let style = Style::of(&io::stderr());
    let pages: Vec<String> = receipt
        .faulty
        .iter()
        .map(|UnusableFile { file, .. }| diagnostic::render(&file.faults, &file.path, &file.text, style))
        .collect();
    eprint!("{}", pages.join("\n"));
    for note in &receipt.notes {
        say(format!("note: {note}"));
    }
    if !receipt.faulty.is_empty() {
        say(format!("next: {}", until_then(&receipt.faulty)));
    }
    let is_good = receipt.faulty.is_empty();
    if args.foreground {
        if let Some(at) = tick::run_here(&app, receipt)? {
            say(format!("note: mail waits until {}: the next `crondag tick` from then on sends it", at.minute()));
        }
    } else {
        tick::wake(&app, &receipt)?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// What to do about files, and what becomes of them meanwhile.
fn until_then(faulty: &[UnusableFile]) -> String {
    let (good, never): (Vec<_>, Vec<_>) = faulty.iter().partition(|file| file.has_good_version);
    let name = |file: &&UnusableFile| file.file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let names = |files: &[&UnusableFile]| files.iter().map(name).collect::<Vec<_>>().join(", ");
    let until_then = match (good.len(), never.len()) {
        (0, 0 | 1) => "nothing of it".to_owned(),
        (1, 0) => "its last good version".to_owned(),
        (0, _) => "nothing of them".to_owned(),
        (_, 0) => "the last good version of each".to_owned(),
        (_, _) => format!("the last good version of {}, and nothing of {},", names(&good), names(&never)),
    };
    let them = if faulty.len() == 1 { "it" } else { "them" };
    format!("correct {them}, then type `crondag validate`; until then {until_then} is scheduled")
}
