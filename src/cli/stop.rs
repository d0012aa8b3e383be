//! `crondag stop`

use std::process::ExitCode;

use super::confirm::{confirm, who};
use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone};
use crate::app::select;
use crate::app::times::minute;
use crate::dag::DagId;
use crate::store::{Intent, RunRow, Store};

/// Options of `stop`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag stop userprofile 20180701\n  crondag stop userprofile              all runs that have not ended"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id [default: all runs of the DAG that have not ended]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let mut store = app.store()?;
    let candidates = match &args.run {
        Some(text) => vec![select::run(&app, store.as_ref(), &dag_id, Some(text))?],
        None => unfinished(store.as_ref(), &dag_id)?,
    };
    let runs: Vec<RunRow> = candidates.into_iter().filter(|run| !run.state.is_final()).collect();
    let zone = app.zone_of(&dag_id);
    let mut page = Page::new();
    let (false, Some(store)) = (runs.is_empty(), &mut store) else {
        page.line(format!("{dag_id}: nothing to stop, no such run is queued or running"));
        page.next(&format!("crondag runs {dag_id}"));
        page.print()?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut table = Table::new(&["logical date", "state", "run id"]);
    for run in &runs {
        table.row(vec![
            minute(run.logical_date, &zone).into(),
            Cell::new(run.state.as_str(), Tone::of_run(run.state)),
            run.run_id.as_str().into(),
        ]);
    }
    page.line(format!("{dag_id}: running tasks are stopped, the others skipped, the run fails"));
    page.table(&table);
    page.print()?;
    confirm(
        &format!("Stop {}?", if runs.len() == 1 { "this run".to_owned() } else { format!("{} runs", runs.len()) }),
        args.yes,
    )?;
    let write = store.write()?;
    for run in &runs {
        write.ask(&Intent::Stop { run: run.number, by: who() }, app.now)?;
    }
    write.commit()?;
    app.wake_driver()?;
    let mut page = Page::new();
    page.next(&format!("crondag runs {dag_id}"));
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn unfinished(store: Option<&Store>, dag_id: &DagId) -> Result<Vec<RunRow>, CliError> {
    let Some(store) = store else { return Ok(Vec::new()) };
    let runs = store.unfinished_runs()?.into_iter().map(|unfinished| unfinished.run);
    Ok(runs.filter(|run| run.dag_id == *dag_id).collect())
}
