//! `crondag checks`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json, write_out};
use crate::app::query::checks::{CheckAnswer, ChecksQuestion, ValueAnswer, checks};
use crate::check::{change, number, sparkline};
use crate::dag::{DagId, Verdict};

/// Options of `checks`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag checks userprofile\n  \
                        crondag checks userprofile tag_counts --key A111 --since 20180901\n  \
                        crondag checks userprofile --csv > values.csv")]
pub struct Args {
    /// The DAG
    dag: String,
    /// Only this check
    task: Option<String>,
    /// Only keys that match; `*` and `?` stand for any characters
    #[arg(long)]
    key: Option<String>,
    /// All dates from this one on; without it only the newest date
    #[arg(long, value_name = "DATE")]
    since: Option<String>,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV
    #[arg(long)]
    csv: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let question = ChecksQuestion {
        task: args.task.clone(),
        key: args.key.clone(),
        since: args.since.clone(),
        with_history: !args.json && !args.csv,
    };
    let answers = checks(&app, &dag_id, &question)?;
    if args.json || args.csv {
        let values: Vec<&ValueAnswer> = answers.iter().flat_map(|answer| &answer.values).collect();
        if args.json {
            print_json(&values)?;
        } else {
            print_csv(&values)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if answers.is_empty() {
        page.line(format!(
            "no check of {dag_id} has recorded anything{}",
            if args.since.is_some() { " since then" } else { " yet" }
        ));
        page.next(&format!("crondag list_tasks {dag_id}"));
    }
    for answer in &answers {
        page.gap();
        show(&mut page, &dag_id, answer);
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn show(page: &mut Page, dag_id: &DagId, check: &CheckAnswer) {
    let verdict = page.paint(tone(check.verdict), check.verdict.as_str());
    page.line(format!("{dag_id} {} {}: {verdict}", check.task_id, check.ds));
    for finding in &check.findings {
        page.line(format!("  {finding}"));
    }
    let mut table = Table::new(&["key", "metric", ">value", ">baseline", ">change", "verdict", "history", "reason"])
        .without_at_need(&["history", "baseline", "change"]);
    for value in &check.values {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let moved = value.value.zip(value.baseline).map_or_else(String::new, |(value, base)| change(value, base));
        table.row(vec![
            value.key.clone().into(),
            value.metric.clone().into(),
            shown(value.value).into(),
            shown(value.baseline).into(),
            moved.into(),
            Cell::new(value.verdict.as_str(), tone(value.verdict)),
            sparkline(&value.history).into(),
            Cell::new(value.reason.clone().unwrap_or_default(), tone(value.verdict)),
        ]);
    }
    page.table(&table);
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Ok => Tone::Green,
        Verdict::Warn => Tone::Yellow,
        Verdict::Fail => Tone::Red,
    }
}

/// As RFC 4180 has it.
fn print_csv(rows: &[&ValueAnswer]) -> Result<(), CliError> {
    let mut text = String::from("dag_id,task_id,ds,logical_date,key,metric,value,baseline,verdict,reason\n");
    for row in rows {
        let plain = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let cells = [
            row.dag_id.to_string(),
            row.task_id.to_string(),
            row.ds.clone(),
            row.logical_date.rfc3339(),
            row.key.clone(),
            row.metric.clone(),
            plain(row.value),
            plain(row.baseline),
            row.verdict.to_string(),
            row.reason.clone().unwrap_or_default(),
        ];
        let quoted: Vec<String> = cells
            .iter()
            .map(|cell| match cell {
                cell if cell.contains([',', '"', '\n', '\r']) => format!("\"{}\"", cell.replace('"', "\"\"")),
                cell => cell.clone(),
            })
            .collect();
        text.push_str(&quoted.join(","));
        text.push('\n');
    }
    write_out(&text)
}
