//! `crondag trigger`

use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use jiff::Timestamp;

use super::context::Global;

use super::error::CliError;
use super::output::{Page, print_json, write_out};
use super::params;
use crate::app::select;
use crate::app::times::{minute, rfc3339};
use crate::dag::schedule::Timetable;
use crate::dag::{Dag, RunNumber, RunState, RunType};
use crate::store::{NewRun, Store};

/// Options of `trigger`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag trigger userprofile                  the latest complete interval\n  \
                        crondag trigger userprofile --date 20180701 --param limit=10 --wait")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The logical date [default: that of the latest complete data interval]
    #[arg(long, value_name = "DATE")]
    date: Option<String>,
    /// Override a param of the DAG
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Wait for the run's end; exit code 1 if it fails
    #[arg(long)]
    wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How often a waiting command looks at the database.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag = app.dag(&args.dag)?;
    let zone = &dag.timezone;
    let params = params::parse(&dag, &args.params)?;
    let timetable = Timetable::of(&dag);
    let interval = match &args.date {
        Some(date) => select::interval(&dag, date)?,
        None => timetable.latest_interval(app.now).ok_or_else(|| {
            CliError::usage(
                format!("{} has no complete data interval yet: its start_date is not over", dag.id),
                format!("crondag next {}, or name a date with --date", dag.id),
            )
        })?,
    };
    let mut run = NewRun {
        dag_id: dag.id.clone(),
        run_id: run_id(&dag, interval.start, app.now, 0),
        run_type: RunType::Manual,
        logical_date: interval.start,
        data_interval_end: interval.end,
        params,
        selection: None,
        backfill_id: None,
    };
    let mut store = app.store_for_writing()?;
    let write = store.write()?;
    app.keep_version(&write, &dag)?;
    let mut created = write.create_run(&run, app.now)?;
    let mut nth = 0;
    while created.is_none() {
        // Two triggers within one second.
        nth += 1;
        run.run_id = run_id(&dag, interval.start, app.now, nth);
        created = write.create_run(&run, app.now)?;
    }
    write.commit()?;
    if args.json {
        print_json(&serde_json::json!([{
            "dag_id": dag.id, "run_id": run.run_id, "run_type": run.run_type,
            "logical_date": rfc3339(run.logical_date, zone), "state": RunState::Queued,
        }]))?;
    } else {
        let mut page = Page::new();
        page.line(format!("{} for {}", dag.id, minute(interval.start, zone)));
        page.line(format!("run id: {}", run.run_id));
        if !args.wait {
            page.next(&format!("crondag tasks {} {}", dag.id, run.run_id));
        }
        page.print()?;
    }
    // Said first: the run is recorded even when the driver cannot be woken.
    app.wake_driver()?;
    match created {
        Some(number) if args.wait => wait(&store, number, &dag, &run.run_id, args.json),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn run_id(dag: &Dag, logical_date: Timestamp, now: Timestamp, nth: u32) -> String {
    let zone = &dag.timezone;
    let stamp = now.to_zoned(zone.clone()).strftime("%Y%m%dT%H%M%S").to_string();
    let suffix = if nth == 0 { String::new() } else { format!("_{nth}") };
    format!("{}__{}__{stamp}{suffix}", RunType::Manual, rfc3339(logical_date, zone))
}

fn wait(store: &Store, number: RunNumber, dag: &Dag, run_id: &str, quiet: bool) -> Result<ExitCode, CliError> {
    loop {
        let gone = || CliError::usage(format!("the run {run_id} was deleted"), format!("crondag runs {}", dag.id));
        let run = store.run(number)?.ok_or_else(gone)?;
        match run.state {
            RunState::Success => {
                if !quiet {
                    write_out("success\n")?;
                }
                return Ok(ExitCode::SUCCESS);
            }
            RunState::Failed => {
                let why = run.reason.map(|reason| format!(": {reason}")).unwrap_or_default();
                return Err(CliError::failed(
                    format!("the run failed{why}"),
                    format!("crondag tasks {} {run_id}", dag.id),
                ));
            }
            RunState::Queued | RunState::Running => thread::sleep(LOOK),
        }
    }
}
