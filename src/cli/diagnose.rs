//! `crondag diagnose`

use std::io::{self, Write};
use std::process::ExitCode;

use serde::Serialize;

use super::context::Global;
use crate::app::App;

use super::diagnostic::{self, Style};
use super::error::CliError;
use super::output::{Page, Tone, WIDTH, print_json, wrap};
use crate::app::query::logs::attempt_of;
use crate::app::query::tasks::task_of_run;
use crate::app::select;
use crate::app::times::minute;
use crate::dag::{Dag, TaskId, TaskState};
use crate::diagnose::{Confidence, Diagnosis, Finding, Subject};
use crate::runner::evidence::{self, Failed};
use crate::store::{RunRow, TaskInstance};

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

/// One cause, as `--json` has it; an unknown cause has neither id nor class.
#[derive(Serialize)]
struct Row<'a> {
    dag_id: &'a str,
    run_id: &'a str,
    task_id: &'a str,
    try_number: u32,
    confidence: &'static str,
    id: Option<&'a str>,
    class: Option<&'static str>,
    cause: String,
    evidence: &'a [String],
    advice: Option<&'a str>,
    next: &'a str,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let store = app.store()?;
    // Several runs of one day: the newest.
    let found = select::runs(&app, store.as_ref(), &dag_id, args.run.as_deref())?.pop();
    let (Some(run), Some(store)) = (found, &store) else { return Ok(ExitCode::SUCCESS) };
    let task = task_of_run(&app, store, &run, &args.task)?;
    let mut tasks = store.task_instances(run.number)?;
    let dag = app.dag_of_run(store, &run)?;
    if args.try_number.is_none()
        && let Some(instance) = tasks.iter().find(|other| other.task_id == task)
        && let Some(diagnosis) = vain_wait(dag.as_ref(), &run, instance)
    {
        return print(args, &app, &run, &task, instance.try_number, &diagnosis);
    }
    let attempt = attempt_of(store, &run, &task, args.try_number)?;
    let Some(ending) = &attempt.ending else {
        return Err(CliError::usage(
            format!("try {} of {task} still runs in {}", attempt.try_number, run.run_id),
            format!("crondag logs {dag_id} {task} {} -f", run.run_id),
        ));
    };
    let is_newest = tasks.iter().any(|other| other.task_id == task && other.try_number == attempt.try_number);
    let succeeded = tasks
        .iter()
        .any(|other| other.task_id == task && matches!(other.state, TaskState::Success | TaskState::Skipped));
    if is_newest && succeeded {
        return Err(CliError::usage(
            format!("{task} did not fail in {}", run.run_id),
            format!("crondag tasks {dag_id} {}", run.run_id),
        ));
    }
    let Some((dag, index)) = dag.and_then(|dag| dag.task_index(task.as_str()).map(|index| (dag, index))) else {
        return Err(CliError::usage(
            format!("the DAG file of {} can no longer be read", run.run_id),
            format!("crondag logs {dag_id} {task} {}", run.run_id),
        ));
    };
    let (catalogue, faults) = evidence::catalogue(&app.home);
    if !faults.is_empty() {
        let path = app.home.diagnosis_path();
        // A file that cannot be read has no text to show; its fault is at no place in it.
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        // With standard error closed there is nobody to tell; the diagnosis goes on with the causes that are good.
        let _ = io::stderr().write_all(diagnostic::render(&faults, &path, &text, Style::Plain).as_bytes());
    }
    // What came after an earlier try says nothing of it.
    let until = if is_newest { None } else { attempt.ended_at };
    if let Some(until) = until {
        evidence::as_of(until, &mut tasks, &store.attempts_of_run(run.number)?);
    }
    let failed = Failed {
        home: &app.home,
        dag: &dag,
        task: index,
        run: run.run_id.clone(),
        logical_date: run.logical_date,
        // An ending that an older crondag wrote otherwise is not known.
        ending: serde_json::from_str(ending).ok(),
        started: Some(attempt.started_at),
        log_file: &attempt.log_file,
        tasks: &tasks,
        until,
    };
    let diagnosis = catalogue.diagnose(&evidence::gather(&failed, &catalogue));
    print(args, &app, &run, &task, attempt.try_number, &diagnosis)
}

/// A wait that gave up: its reason tells all, and most waits have no log.
fn vain_wait(dag: Option<&Dag>, run: &RunRow, instance: &TaskInstance) -> Option<Diagnosis> {
    let dag = dag?;
    let wait = dag.tasks[dag.task_index(instance.task_id.as_str())?].wait()?;
    let reason = instance.reason.as_deref().filter(|_| instance.state == TaskState::Failed)?;
    let what = wait.awaited_in_vain(reason)?;
    let subject = Subject {
        dag: run.dag_id.to_string(),
        task: instance.task_id.to_string(),
        run: run.run_id.clone(),
        settings: Vec::new(),
    };
    Some(Diagnosis::of_vain_wait(&subject, what, reason))
}

fn print(
    args: &Args,
    app: &App,
    run: &RunRow,
    task: &TaskId,
    try_number: u32,
    diagnosis: &Diagnosis,
) -> Result<ExitCode, CliError> {
    if args.json {
        print_json(&rows(run, task, try_number, diagnosis))?;
    } else {
        show(app, run, task, try_number, diagnosis)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows<'a>(run: &'a RunRow, task: &'a TaskId, try_number: u32, diagnosis: &'a Diagnosis) -> Vec<Row<'a>> {
    let row = |finding: Option<&'a Finding>| Row {
        dag_id: run.dag_id.as_str(),
        run_id: &run.run_id,
        task_id: task.as_str(),
        try_number,
        confidence: finding.map_or(Confidence::Unknown, |finding| finding.confidence).as_str(),
        id: finding.map(|finding| finding.id.as_str()),
        class: finding.map(|finding| finding.class.as_str()),
        cause: finding.map_or_else(|| diagnosis.headline(), |finding| finding.name.clone()),
        evidence: finding.map_or(&diagnosis.error_lines, |finding| &finding.evidence),
        advice: finding.map(|finding| finding.advice.as_str()),
        next: finding.map_or(&diagnosis.command, |finding| &finding.command),
    };
    if diagnosis.findings.is_empty() {
        return vec![row(None)];
    }
    diagnosis.findings.iter().map(|finding| row(Some(finding))).collect()
}

fn show(app: &App, run: &RunRow, task: &TaskId, try_number: u32, diagnosis: &Diagnosis) -> Result<(), CliError> {
    let mut page = Page::new();
    let zone = app.zone_of(&run.dag_id);
    let what = page.paint(Tone::Bold, &format!("{} {task}", run.dag_id));
    page.line(format!("{what} {}, try {try_number}", minute(run.logical_date, &zone)));
    if diagnosis.findings.is_empty() {
        page.gap();
        paragraph(&mut page, Tone::Yellow, "", &diagnosis.headline());
    }
    for finding in &diagnosis.findings {
        let tone = if finding.confidence == Confidence::Certain { Tone::Red } else { Tone::Yellow };
        page.gap();
        let line = format!("{}: {} ({})", finding.confidence.as_str(), finding.name, finding.class.as_str());
        paragraph(&mut page, tone, "", &line);
        for evidence in &finding.evidence {
            paragraph(&mut page, Tone::Plain, "  | ", evidence);
        }
        paragraph(&mut page, Tone::Plain, "  ", &finding.advice);
    }
    if !diagnosis.error_lines.is_empty() {
        page.gap();
        page.line("the last lines that look like errors:");
        for line in &diagnosis.error_lines {
            paragraph(&mut page, Tone::Plain, "  | ", line);
        }
    }
    page.gap();
    page.next(diagnosis.findings.first().map_or(&diagnosis.command, |first| &first.command));
    page.print()
}

fn paragraph(page: &mut Page, tone: Tone, lead: &str, text: &str) {
    for line in wrap(&printable(text), WIDTH - lead.len()) {
        let line = page.paint(tone, &line);
        page.line(format!("{lead}{line}"));
    }
}

/// What a log holds must not steer the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
