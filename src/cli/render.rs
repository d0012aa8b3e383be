//! `crondag render`

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde::Serialize;

use super::context::Global;
use super::error::CliError;
use super::output::{Page, Tone, print_json};
use super::rehearsal::Rehearsal;
use crate::app::times::{minute, rfc3339};
use crate::dag::Action;

/// Options of `render`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag render userprofile high_active_period 20180701")]
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row<'a> {
    dag_id: &'a str,
    task_id: &'a str,
    logical_date: String,
    action: &'static str,
    argv: Vec<String>,
    working_dir: String,
    env: BTreeMap<String, String>,
    stdin: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let rehearsal = Rehearsal::new(global, (&args.dag, &args.task, &args.date), &args.params, true)?;
    let (prepared, task, zone) = (&rehearsal.prepared, rehearsal.task(), &rehearsal.dag.timezone);
    if args.json {
        print_json(&[Row {
            dag_id: rehearsal.dag.id.as_str(),
            task_id: task.id.as_str(),
            logical_date: rfc3339(rehearsal.interval.start, zone),
            action: task.action.kind().as_str(),
            argv: prepared.argv.clone(),
            working_dir: prepared.working_dir.display().to_string(),
            env: prepared.env.clone(),
            stdin: prepared.stdin.clone(),
        }])?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    let name = page.paint(Tone::Bold, &format!("{} {}", rehearsal.dag.id, task.id));
    page.line(format!("{name} ({}) for {}", task.action.kind().as_str(), minute(rehearsal.interval.start, zone)));
    section(&mut page, "directory", [prepared.working_dir.display().to_string()]);
    section(&mut page, "command", prepared.argv.clone());
    match task.action {
        // What goes to the inner program is JSON; people want the statements.
        Action::Sql(_) | Action::Wait(_) | Action::Check(_) | Action::Report(_) => {
            section(&mut page, task.action.kind().as_str(), [prepared.display.clone()]);
        }
        Action::Shell(_) | Action::Spark(_) => {
            if let Some(stdin) = &prepared.stdin {
                section(&mut page, "stdin", [stdin.clone()]);
            }
        }
    }
    section(&mut page, "environment", prepared.env.iter().map(|(name, value)| format!("{name}={value}")));
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn section(page: &mut Page, title: &str, texts: impl IntoIterator<Item = String>) {
    let title = page.paint(Tone::Dim, title);
    page.line(title);
    for text in texts {
        for line in text.trim_end_matches('\n').split('\n') {
            page.line(format!("  {line}"));
        }
    }
}
