//! `crondag diagnose`

use std::io::{self, Write};
use std::process::ExitCode;

use super::context::Global;
use super::diagnostic::{self, Style};
use super::error::CliError;
use super::output::{Page, Tone, print_json};
use crate::app::query::diagnose::{DiagnosisAnswer, diagnose};
use crate::diagnose::Confidence;

/// Options of `diagnose`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag diagnose userprofile merge 20180701\n  crondag diagnose userprofile merge --json"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task
    task: String,
    /// The run's logical date, or its id [default: the newest run]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Which attempt [default: the newest]
    #[arg(long = "try", value_name = "N")]
    try_number: Option<u32>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let answer = diagnose(&app, &dag_id, &args.task, args.run.as_deref(), args.try_number)?;
    if let Some(file) = &answer.catalogue {
        let text = diagnostic::render(&file.faults, &file.path, &file.text, Style::of(&io::stderr()));
        // With standard error closed there is nobody to tell; the diagnosis has the causes that are good.
        let _ = io::stderr().write_all(text.as_bytes());
    }
    if args.json {
        print_json(&answer.causes())?;
    } else {
        show(&answer)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn show(answer: &DiagnosisAnswer) -> Result<(), CliError> {
    let mut page = Page::new();
    let diagnosis = &answer.diagnosis;
    let what = page.paint(Tone::Bold, &format!("{} {}", answer.dag_id, answer.task_id));
    page.line(format!("{what} {}, try {}", answer.logical_date.minute(), answer.try_number));
    if diagnosis.findings.is_empty() {
        page.gap();
        page.hanging("", Tone::Yellow, &diagnosis.headline());
    }
    for finding in &diagnosis.findings {
        let tone = if finding.confidence == Confidence::Certain { Tone::Red } else { Tone::Yellow };
        page.gap();
        let line = format!("{}: {} ({})", finding.confidence.as_str(), finding.name, finding.class.as_str());
        page.hanging("", tone, &line);
        for evidence in &finding.evidence {
            page.hanging("  | ", Tone::Plain, evidence);
        }
        page.hanging("  ", Tone::Plain, &finding.advice);
    }
    if !diagnosis.error_lines.is_empty() {
        page.gap();
        page.line("the last lines that look like errors:");
        for line in &diagnosis.error_lines {
            page.hanging("  | ", Tone::Plain, line);
        }
    }
    // Where there is no finding the headline says it.
    for gap in diagnosis.gaps.iter().filter(|_| !diagnosis.findings.is_empty()) {
        page.gap();
        page.hanging("", Tone::Yellow, gap);
    }
    page.gap();
    page.next(diagnosis.findings.first().map_or(&diagnosis.command, |first| &first.command));
    page.print()
}
