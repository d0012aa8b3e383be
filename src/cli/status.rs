//! `crondag status`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::App;
use crate::app::query::finding::{Finding, Subject, Weight};
use crate::app::query::runs::RunAnswer;
use crate::app::query::status::{StatusAnswer, status};
use crate::app::times::span;

/// Options of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag status\n  watch crondag status")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let answer = status(&app)?;
    if args.json {
        print_json(&[answer])?;
    } else {
        let mut page = Page::new();
        show(&app, &answer, &mut page);
        page.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(app: &App, answer: &StatusAnswer, page: &mut Page) {
    for finding in &answer.findings {
        match finding.subject {
            Subject::FailedRuns => ended(app, finding, &answer.failed_last_24h, "crondag runs --state failed", page),
            Subject::FailedTasks => ended(app, finding, &answer.failed_tasks_last_24h, "crondag runs", page),
            subject @ (Subject::Driver
            | Subject::Crontab
            | Subject::Zone
            | Subject::Faulty
            | Subject::Paused
            | Subject::Schedule
            | Subject::Behind
            | Subject::Running
            | Subject::Waits
            | Subject::Ending
            | Subject::Queued
            | Subject::Mail
            | Subject::Log
            | Subject::Disk) => {
                let lead = format!("{} ", page.paint(tone(finding), &format!("{:<9}", label(subject))));
                page.hanging(&lead, Tone::Plain, &finding.text);
                if let Some(next) = &finding.next {
                    page.step(&format!("{:<9} next:", ""), next);
                }
            }
        }
    }
    if answer.findings.is_empty() {
        let next = answer
            .next
            .as_ref()
            .map_or_else(|| "nothing is scheduled".to_owned(), |(id, at)| format!("next: {id} at {}", at.minute()));
        let dags = if answer.dags == 1 { "1 DAG".to_owned() } else { format!("{} DAGs", answer.dags) };
        page.line(format!("all is well: {dags}, nothing running; {next}"));
    } else {
        page.gap();
    }
    let zone = page.paint(Tone::Dim, &format!("zone: {}", answer.timezone));
    page.line(zone);
}

fn tone(finding: &Finding) -> Tone {
    match (finding.weight, finding.subject) {
        (Weight::Error, _) => Tone::Red,
        (Weight::Warning, _) => Tone::Yellow,
        (Weight::Info, Subject::Driver | Subject::Running) => Tone::Cyan,
        (Weight::Info, _) => Tone::Plain,
    }
}

fn label(subject: Subject) -> &'static str {
    match subject {
        Subject::Driver => "driver",
        Subject::Crontab => "crontab",
        Subject::Zone => "zone",
        Subject::Faulty => "faulty",
        Subject::Paused => "paused",
        Subject::Schedule => "schedule",
        Subject::Behind => "behind",
        Subject::Running => "running",
        Subject::Waits => "waits",
        Subject::Ending => "ending",
        Subject::Queued => "queued",
        Subject::Mail => "mail",
        Subject::Log => "log",
        Subject::Disk => "disk",
        Subject::FailedRuns | Subject::FailedTasks => "failed",
    }
}

/// At most so many runs are listed.
const MOST: usize = 10;

fn ended(app: &App, finding: &Finding, runs: &[RunAnswer], all: &str, page: &mut Page) {
    page.gap();
    let title = page.paint(tone(finding), &finding.text);
    page.line(title);
    let mut table = Table::new(&["dag", "logical date", "ended", "reason"]).without_at_need(&["ended"]);
    for run in runs.iter().take(MOST) {
        let ago = run.end_date.as_ref().map(|end| format!("{} ago", span(app.now.duration_since(end.at))));
        let reason = run
            .failures_despite_state()
            .map(|failures| failures.to_string())
            .or(run.reason.clone())
            .unwrap_or_default();
        table.row(vec![
            run.dag_id.to_string().into(),
            run.logical_date.minute().into(),
            Cell::new(ago.unwrap_or_default(), Tone::Dim),
            reason.into(),
        ]);
    }
    page.table(&table);
    if runs.len() > MOST {
        page.line(format!("and {} more: {all}", runs.len() - MOST));
    }
    if let Some(next) = &finding.next {
        page.step("next:", next);
    }
}
