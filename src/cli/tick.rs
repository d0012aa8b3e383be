//! `crondag tick`: one scheduler step, for the crontab.

use std::io;
use std::process::ExitCode;

use super::context::Global;

use super::diagnostic::{self, Style};
use super::error::CliError;
use super::output::say;
use crate::dag::DagId;
use crate::runner::client;
use crate::runner::driver::{self, End, log};
use crate::runner::planner;

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
    let mut store = app.store_for_writing()?;
    let report = planner::plan(&app.home, &mut store, &app.config, app.now)?;
    planner::note_tick(&app.home);
    let style = Style::of(&io::stderr());
    for file in &report.faulty {
        eprint!("{}", diagnostic::render(&file.faults, &file.path, &file.text, style));
    }
    for note in &report.notes {
        say(format!("note: {note}"));
    }
    if !report.faulty.is_empty() {
        let mut is_scheduled = false;
        for stem in report.faulty.iter().filter_map(|file| file.path.file_stem()) {
            let Ok(dag_id) = DagId::new(stem.to_string_lossy()) else { continue };
            is_scheduled |= store.dag(&dag_id)?.is_some_and(|row| row.version_id.is_some());
        }
        let until_then = if is_scheduled {
            "; until then its last good version is scheduled"
        } else {
            "; until then nothing of it is scheduled"
        };
        say(format!("next: correct it, then type `crondag validate`{until_then}"));
    }
    if args.foreground {
        drop(store);
        // tick prints nothing when all is well. A log that cannot be opened is not worth a missed run.
        let _ = log::keep_in_home(&app.home);
        let end = driver::run_in_foreground(&app.home)?;
        if end == End::Asked && client::needs_driver(&app.store_for_writing()?)? {
            return Err(CliError::environment(
                "a signal ended this tick before all was done; what has begun is recorded",
                "the next `crondag tick` goes on with it",
            ));
        }
    } else {
        client::wake_if_needed(&app.home, &store)?;
    }
    Ok(if report.faulty.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}
