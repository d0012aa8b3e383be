//! `crondag list_dags`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::dags::{DagAnswer, dags};

/// Options of `list_dags`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag list_dags\n  crondag list_dags --tag finance --json")]
pub struct Args {
    /// Only DAGs with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let answers = dags(&app, args.tag.as_deref())?;
    if args.json {
        print_json(&answers)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    let mut table = Table::new(&["dag", "schedule", "next start", "last run", "owner", "tags"])
        .without_at_need(&["tags", "owner", "schedule"]);
    for answer in &answers {
        table.row(row(answer));
    }
    if table.is_empty() {
        page.line(format!("no DAG files in {}", app.home.dags_dir().display()));
        page.next("write one, then `crondag validate`");
    } else {
        page.table(&table);
    }
    if answers.iter().any(|answer| answer.fault.is_some()) {
        page.gap();
        page.next("crondag validate");
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn row(answer: &DagAnswer) -> Vec<Cell> {
    let last = match &answer.last_run {
        Some(run) => match run.failures_despite_state() {
            Some(failures) => Cell::new(format!("{}, {failures}", run.state), Tone::Red),
            None => Cell::new(run.state.as_str(), Tone::of_run(run.state)),
        },
        None => Cell::new("-", Tone::Dim),
    };
    if answer.fault.is_some() {
        let what = if answer.faults == 1 { "1 fault".to_owned() } else { format!("{} faults", answer.faults) };
        let red = |text: &str| Cell::new(text, Tone::Red);
        // The second column is left out first where there is no room.
        return vec![red(&answer.dag_id), red(&what), red("faulty"), last, "".into(), "".into()];
    }
    let next = match (answer.is_paused, &answer.next_fire_time) {
        (true, _) => Cell::new("paused", Tone::Yellow),
        (false, Some(next)) => next.minute().into(),
        (false, None) => Cell::new("-", Tone::Dim),
    };
    vec![
        answer.dag_id.clone().into(),
        answer.schedule.as_deref().unwrap_or("-").into(),
        next,
        last,
        answer.owner.clone().unwrap_or_default().into(),
        answer.tags.join(", ").into(),
    ]
}
