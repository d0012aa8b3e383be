//! `crondag next`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::next::{NextAnswer, next};
use crate::app::times::Moment;

/// Options of `next`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag next userprofile -n 3\n  crondag next userprofile --after 2026-03-07")]
pub struct Args {
    /// The DAG
    dag: String,
    /// How many
    #[arg(short, value_name = "N", default_value_t = 10)]
    n: usize,
    /// Strictly after this time, instead of now; a date means its first instant
    #[arg(long, value_name = "TIME")]
    after: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag = app.dag(&args.dag)?;
    let answer = next(&app, &dag, args.after.as_deref(), args.n)?;
    if args.json {
        print_json(&answer.starts)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if let Some(nothing) = &answer.nothing {
        page.line(nothing);
        page.next(&format!("crondag trigger {}", dag.id));
    } else {
        list(&answer, &mut page);
        let zone = page.paint(Tone::Dim, &format!("zone: {}", answer.zone));
        page.line(zone);
        for note in &answer.notes {
            page.gap();
            say_note(note, &mut page);
        }
        if answer.is_paused {
            page.gap();
            page.line(format!("{} is paused: nothing starts by itself", dag.id));
            page.next(&format!("crondag unpause {}", dag.id));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn list(answer: &NextAnswer, page: &mut Page) {
    let mut table = Table::new(&["starts at", "ds", "data of"]);
    for start in &answer.starts {
        let tone = if start.is_noted { Tone::Yellow } else { Tone::Plain };
        table.row(vec![
            // With `jitter` to the second.
            Cell::new(start.starts_at.as_ref().map_or_else(|| start.fire_time.minute(), Moment::time), tone),
            start.ds.clone().into(),
            format!("{} .. {}", start.data_interval_start.minute(), start.data_interval_end.minute()).into(),
        ]);
    }
    page.table(&table);
    if !answer.clock_changes.is_empty() {
        page.gap();
    }
    for note in &answer.clock_changes {
        say_note(note, page);
    }
}

fn say_note(note: &str, page: &mut Page) {
    let lead = format!("{} ", page.paint(Tone::Yellow, "note:"));
    page.hanging(&lead, Tone::Plain, note);
}
