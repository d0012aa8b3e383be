//! `crondag pause` and `crondag unpause`

use std::process::ExitCode;

use super::context::Global;

use super::error::CliError;
use super::output::Page;
use crate::app::times::minute;
use crate::dag::schedule::Timetable;
use crate::store::DagRow;

/// Options of `pause` and `unpause`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag pause userprofile       no new scheduled runs; running ones go on\n  \
                        crondag unpause userprofile     scheduled again, from now on")]
pub struct Args {
    /// The DAG
    dag: String,
}

pub(super) fn run(args: &Args, global: &Global, pause: bool) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    let row = write.dag(&dag_id)?;
    let was_paused = row.as_ref().is_some_and(|row| row.is_paused);
    if was_paused != pause {
        let mut row = row.unwrap_or_else(|| DagRow::new(dag_id.clone(), app.now));
        row.is_paused = pause;
        if !pause {
            row.schedule_from = app.now;
            // No file looks like this: the next tick reads it again and finds out when it is due.
            row.file_stamp.clear();
        }
        write.put_dag(&row)?;
        write.commit()?;
    }
    let mut page = Page::new();
    match (pause, was_paused == pause) {
        (true, true) => page.line(format!("{dag_id} is paused already")),
        (false, true) => page.line(format!("{dag_id} is not paused")),
        (true, false) => {
            page.line(format!("{dag_id} is paused: no new scheduled runs; runs that have begun go on"));
            page.next(&format!("crondag unpause {dag_id}"));
        }
        (false, false) => {
            let next = match app.find(&dag_id) {
                Some(Ok(dag)) => {
                    let next = Timetable::of(&dag).next_interval(app.now);
                    next.map(|next| minute(next.end, &dag.timezone))
                }
                Some(Err(_)) | None => None,
            };
            let when = next.map_or_else(|| "it has no fire time ahead".to_owned(), |next| format!("next start {next}"));
            page.line(format!("{dag_id} is scheduled again: {when}"));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}
