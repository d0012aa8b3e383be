//! `crondag test`
//!
//! The one command that runs a task itself: as a real attempt is run, but in the foreground, with its output on the terminal, and
//! without a trace in the database.

use std::io;
use std::process::ExitCode;
use std::time::Instant;

use super::context::Global;
use super::error::CliError;
use super::layout::wants_colour;
use super::output::say;
use crate::app::query::render::{self, Outcome, Rehearsal};
use crate::dag::SKIP_EXIT_STATUS;
use crate::dag::units::format_duration;
use crate::mask::Mask;
use crate::runner::attempt::counted_processes;
use crate::runner::attempt::local::foreground::{self, Note};
use crate::runner::attempt::printed::own;

/// Options of `test`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag test userprofile age_task 20180701\n  \
                        crondag test userprofile age_task 20180701 --param limit=10\n\n\
                        Exit code 0 when the task succeeds or skips itself (exit status 99), else 1.")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task
    task: String,
    /// The logical date
    date: String,
    /// Override a param of the DAG
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let rehearsal = Rehearsal::new(&app, (&args.dag, &args.task), render::Rehearsed::Date(&args.date), &args.params)?;
    let date = rehearsal.logical_date().minute();
    note(&format!("{} {} for {date}: nothing is recorded", rehearsal.dag_id(), rehearsal.task().id));
    let again = format!("crondag render {} {} {}", args.dag, args.task, args.date);
    let (action, began) = (rehearsal.task().action.kind(), Instant::now());
    let spec = rehearsal.spec(&app);
    let mask = Mask::new(spec.secrets.iter().map(String::as_str));
    let ended = foreground::run(&spec, &mask, (io::stdout(), io::stderr()), |what| note(&in_words(what)));
    let ending = ended.map_err(|reason| CliError::failed(mask.text(&reason), &again))?;
    let took = format_duration(began.elapsed());
    match Outcome::of(action, &ending) {
        Outcome::Succeeded => note(&format!("success in {took}")),
        Outcome::Skipped => {
            note(&format!("skipped in {took}: exit status {SKIP_EXIT_STATUS} says that there is nothing to do"));
        }
        Outcome::Failed => return Err(CliError::failed(format!("the task failed in {took}: {ending}"), again)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Beside the task's own output, so on standard error.
fn note(text: &str) {
    let text = own(text);
    say(if wants_colour(&io::stderr()) { format!("\x1b[2m{text}\x1b[0m") } else { text });
}

fn in_words(note: Note) -> String {
    match note {
        Note::LeftRunning(count) => format!("left {} running", counted_processes(count)),
        Note::Ended(count) => format!("ended {} that it had left behind", counted_processes(count)),
        Note::NotAllEnded => "not all processes took the KILL; some of them still live".to_owned(),
    }
}
