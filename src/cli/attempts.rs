//! `crondag attempts`

use std::process::ExitCode;
use std::time::Duration;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::attempts::{HistoryQuestion, PastAttempt, history};
use crate::app::select;
use crate::dag::units::{format_duration, format_size};

/// Options of `attempts`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag attempts userprofile merge               the newest attempts of a task\n  \
                        crondag attempts userprofile --since 30d --slowest 10\n  \
                        crondag attempts userprofile --at 04:00          what ran at four this night"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// Only this task
    task: Option<String>,
    /// Only attempts that lived at some moment from then on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only attempts that lived at some moment before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only attempts that lived then
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"])]
    at: Option<String>,
    /// The N that took longest, the slowest first; of all, unless --limit is given
    #[arg(long, value_name = "N")]
    slowest: Option<usize>,
    /// At most so many, the newest [default: 20]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How many attempts are listed unless somebody says so.
const LIMIT: u32 = 20;

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let zone = app.zone_of(&dag_id);
    let time = |text: &Option<String>| text.as_deref().map(|text| select::past_time(text, &zone, app.now)).transpose();
    let at = time(&args.at)?;
    let question = HistoryQuestion {
        dag_id: dag_id.clone(),
        task: args.task.clone(),
        since: time(&args.since)?.or(at),
        until: time(&args.until)?.or(at),
        limit: args.limit.or(if args.slowest.is_some() { None } else { Some(LIMIT) }),
        slowest: args.slowest,
    };
    let attempts = history(&app, &question)?;
    if args.json {
        print_json(&attempts)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if attempts.is_empty() {
        page.line("no such attempts");
        page.next(&format!("crondag tasks {dag_id}"));
    } else {
        page.table(&table(&attempts));
        if let Some(failed) = attempts.iter().rev().find(|attempt| attempt.has_failed) {
            page.gap();
            page.next(&format!(
                "crondag logs {} {} {} --try {}",
                failed.dag_id, failed.task_id, failed.run_id, failed.try_number
            ));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn table(attempts: &[PastAttempt]) -> Table {
    let heads = ["task", "logical date", ">try", "started", ">duration", ">cpu", ">memory", "ended"];
    let mut table = Table::new(&heads).without_at_need(&["started", "cpu", "memory"]);
    // What the database says of a time that never was is none.
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).map(format_duration).unwrap_or_default();
    for attempt in attempts {
        let tone = if attempt.has_failed { Tone::Red } else { Tone::Plain };
        table.row(vec![
            attempt.task_id.to_string().into(),
            attempt.logical_date.minute().into(),
            attempt.try_number.to_string().into(),
            Cell::new(attempt.start_date.clock(), Tone::Dim),
            seconds(attempt.duration).into(),
            attempt.cpu_seconds.map(seconds).unwrap_or_default().into(),
            attempt.max_rss_bytes.map(format_size).unwrap_or_default().into(),
            Cell::new(attempt.outcome.as_deref().unwrap_or("is running"), tone),
        ]);
    }
    table
}
