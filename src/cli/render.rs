//! `crondag render`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Page, Tone, print_json, write_out};
use crate::app::query::render::{Rehearsed, render};

/// Options of `render`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag render userprofile high_active_period 20180701\n  \
                        crondag render userprofile merge --run 20180701 --argv   what that run types")]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task
    task: String,
    /// The logical date
    #[arg(required_unless_present = "run", conflicts_with = "run")]
    date: Option<String>,
    /// As in this run: with its params and its version of the file
    #[arg(long, value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Only one line to paste into a shell: directory, environment and command
    #[arg(long, conflicts_with = "json")]
    argv: bool,
    /// Override a param of the DAG
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let rehearsed = match (&args.run, &args.date) {
        (Some(run), _) => Rehearsed::Run(run),
        (None, date) => Rehearsed::Date(date.as_deref().unwrap_or_default()),
    };
    let answer = render(&global.open()?, (&args.dag, &args.task), rehearsed, &args.params)?;
    if args.argv {
        let Some(line) = answer.command_line() else {
            let what = format!("{} is run by crondag itself, or a secret would be in the line", answer.task_id);
            let date = answer.logical_date.rfc3339();
            return Err(CliError::usage(what, format!("crondag test {} {} {date}", answer.dag_id, answer.task_id)));
        };
        write_out(&format!("{line}\n"))?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        print_json(&[answer])?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    let (name, action) = (format!("{} {}", answer.dag_id, answer.task_id), answer.action.as_str());
    let name = page.paint(Tone::Bold, &name);
    page.line(format!("{name} ({action}) for {}", answer.logical_date.minute()));
    section(&mut page, "directory", [answer.working_dir]);
    section(&mut page, "command", answer.argv);
    if let Some(display) = answer.display {
        section(&mut page, action, [display]);
    } else if let Some(stdin) = answer.stdin {
        section(&mut page, "stdin", [stdin]);
    }
    section(&mut page, "environment", answer.env.iter().map(|(name, value)| format!("{name}={value}")));
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
