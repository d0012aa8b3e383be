//! `crondag tasks`

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::Value;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::App;
use crate::app::query::runs::RunAnswer;
use crate::app::query::tasks::{Standing, TaskAnswer, tasks, tasks_at};
use crate::app::times::Moment;
use crate::dag::TaskState;
use crate::dag::units::format_duration;
use crate::runner::attempt::counted_processes;

/// Options of `tasks`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag tasks userprofile 20180701\n  crondag tasks userprofile --at 04:00          what ran at four this night\n  crondag tasks userprofile --json"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// The run's logical date, or its id [default: the newest run]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Of all runs, the tasks that ran then: 2018-07-01T04:00, 04:00 (the last time that it was), 2h (so long ago)
    #[arg(long, value_name = "TIME", conflicts_with = "run")]
    at: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let answers = match &args.at {
        Some(at) => tasks_at(&app, &dag_id, at)?,
        None => tasks(&app, &dag_id, args.run.as_deref())?,
    };
    if args.json {
        let rows: Vec<&TaskAnswer> = answers.iter().flat_map(|answer| &answer.tasks).collect();
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if answers.is_empty() {
        page.line("no task ran then");
        page.next(&format!("crondag attempts {dag_id}"));
        page.print()?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut failed = None;
    for answer in &answers {
        page.gap();
        head(&mut page, &app, &answer.run);
        page.table(&table(&app, &answer.tasks));
        let has_failed = |task: &&TaskAnswer| task.state == Standing::In(TaskState::Failed) && task.try_number > 0;
        failed = answer.tasks.iter().find(has_failed).or(failed);
    }
    if let Some(task) = failed {
        page.gap();
        page.next(&format!("crondag logs {dag_id} {} {}", task.task_id, task.run_id));
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn head(page: &mut Page, app: &App, run: &RunAnswer) {
    let state = page.paint(Tone::of_run(run.state), run.state.as_str());
    let dag = page.paint(Tone::Bold, run.dag_id.as_str());
    let mut line = format!("{dag} {}: {state}", run.logical_date.minute());
    if let Some(duration) = run.duration(app) {
        let preposition = if run.end_date.is_some() { "in" } else { "for" };
        line = format!("{line} {preposition} {}", format_duration(duration));
    }
    if let Some(failures) = run.failures_despite_state() {
        line = format!("{line}, {}", page.paint(Tone::Red, &failures.to_string()));
    }
    if let Some(reason) = &run.reason {
        line = format!("{line} ({reason})");
    }
    page.line(line);
    let id = page.paint(Tone::Dim, &run.run_id);
    page.line(id);
    if let (Some(start), Some(took)) = (&run.first_start_date, run.first_duration()) {
        page.line(format!("taken up again; first it started {} and took {}", start.clock(), format_duration(took)));
    }
    if let Some(params) = params_in_words(&run.params) {
        page.line(params);
    }
}

/// The params of a run that are not its DAG's.
pub(super) fn params_in_words(params: &BTreeMap<String, Value>) -> Option<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let words: Vec<String> = params.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
    (!words.is_empty()).then(|| format!("params: {}", words.join(" ")))
}

fn table(app: &App, tasks: &[TaskAnswer]) -> Table {
    let mut table = Table::new(&["task", "state", ">try", "started", ">duration", "reason"])
        .without_at_need(&["started", "duration", "try"]);
    for task in tasks {
        let state = match task.state {
            Standing::In(TaskState::None) => Cell::new("-", Tone::of_task(TaskState::None)),
            Standing::In(state) => Cell::new(state.as_str(), Tone::of_task(state)),
            Standing::Removed => Cell::new(task.state.as_str(), Tone::Dim),
        };
        let reason = match (&task.reason, &task.next_try_at) {
            (Some(reason), Some(at)) => format!("{reason}; next try {}", at.time()),
            (Some(reason), None) => reason.clone(),
            (None, _) => task.waits_for.as_ref().map(|what| format!("waits for {what}")).unwrap_or_default(),
        };
        let left = [(task.left_behind, "ended", " that it had left behind"), (task.left_running, "left", " running")];
        let left = left.into_iter().filter(|(count, ..)| *count > 0);
        let left = left.map(|(count, did, what)| format!("{did} {}{what}", counted_processes(count)));
        let left = left.chain(task.ending_try.map(|number| format!("try {number} is still ending")));
        let reason =
            Some(reason).filter(|reason| !reason.is_empty()).into_iter().chain(left).collect::<Vec<_>>().join("; ");
        table.row(vec![
            task.task_id.to_string().into(),
            state,
            if task.try_number == 0 { "".into() } else { format!("{}/{}", task.try_number, task.max_tries).into() },
            Cell::new(task.start_date.as_ref().map(Moment::clock).unwrap_or_default(), Tone::Dim),
            task.took(app).map(format_duration).unwrap_or_default().into(),
            reason.into(),
        ]);
    }
    table
}
