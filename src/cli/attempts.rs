//! `crondag attempts`

use std::process::ExitCode;
use std::time::Duration;

use super::alike::alike;
use super::context::Global;
use super::error::CliError;
use super::excerpt::ExcerptArgs;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::attempts::{HistoryQuestion, PastAttempt, history};
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
    #[command(flatten)]
    excerpt: ExcerptArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let question = HistoryQuestion { dag_id: dag_id.clone(), task: args.task.clone(), excerpt: args.excerpt.excerpt() };
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
    let alike = alike(attempts.iter().map(|of| (&of.dag_id, of.logical_date.at, "", of.run_id.as_str())));
    let mut heads =
        vec!["task", "logical date", ">try", "started", ">queued", ">duration", ">cpu", ">memory", "host", "ended"];
    heads.extend((!alike.is_empty()).then_some("run id"));
    let mut table = Table::new(&heads).without_at_need(&["host", "started", "cpu", "memory", "queued"]);
    // What the database says of a time that never was is none.
    let seconds = |seconds: f64| Duration::try_from_secs_f64(seconds).map(format_duration).unwrap_or_default();
    for attempt in attempts {
        let tone = if attempt.has_failed { Tone::Red } else { Tone::Plain };
        let mut row = vec![
            attempt.task_id.to_string().into(),
            attempt.logical_date.minute().into(),
            attempt.try_number.to_string().into(),
            Cell::new(attempt.start_date.clock(), Tone::Dim),
            attempt.queue_time.map(seconds).unwrap_or_default().into(),
            seconds(attempt.duration).into(),
            attempt.cpu_seconds.map(seconds).unwrap_or_default().into(),
            attempt.max_rss_bytes.map(format_size).unwrap_or_default().into(),
            attempt.host.clone().unwrap_or_default().into(),
            Cell::new(attempt.outcome.as_deref().unwrap_or("is running"), tone),
        ];
        if !alike.is_empty() {
            let own = alike.get(attempt.run_id.as_str()).copied();
            row.push(own.unwrap_or_default().into());
        }
        table.row(row);
    }
    table
}
