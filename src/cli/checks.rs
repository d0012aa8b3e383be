//! `crondag checks`

use std::process::ExitCode;

use serde::Serialize;

use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json, write_out};
use crate::app::select;
use crate::app::times::rfc3339;
use crate::check::{change, number, sparkline};
use crate::dag::pattern::matches;
use crate::dag::{DagId, TaskId, Verdict};
use crate::store::{CheckFilter, CheckRow, CheckValue, Store};

/// How many earlier values a sparkline shows.
const SPARKS: usize = 14;

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

/// The contract of `--json`; the columns of `--csv`.
#[derive(Serialize)]
struct Row {
    dag_id: String,
    task_id: String,
    ds: String,
    logical_date: String,
    key: String,
    metric: String,
    value: Option<f64>,
    baseline: Option<f64>,
    verdict: &'static str,
    reason: Option<String>,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let zone = app.zone_of(&dag_id);
    let task_id = args.task.as_deref().map(TaskId::new).transpose().map_err(|error| {
        CliError::usage(
            format!("`{}` is no task: {error}", args.task.as_deref().unwrap_or_default()),
            format!("crondag checks {dag_id}"),
        )
    })?;
    let since = args.since.as_deref().map(|text| select::date(text, &zone)).transpose()?;
    let filter = CheckFilter { task_id, since: since.map(|when| when.first_instant(&zone)), ..CheckFilter::default() };
    let store = app.store()?;
    let mut checks = match &store {
        Some(store) => store.checks(&dag_id, &filter)?,
        None => Vec::new(),
    };
    if args.since.is_none() {
        // Each check's newest date.
        let mut seen = std::collections::BTreeSet::new();
        checks.retain(|check| seen.insert(check.task_id.clone()));
    }
    checks.reverse();
    let is_wanted = |value: &CheckValue| args.key.as_deref().is_none_or(|pattern| matches(pattern, &value.key));
    let mut found = Vec::new();
    for check in checks {
        let Some(store) = &store else { break };
        let mut values = store.check_values(&dag_id, &check.task_id, check.logical_date)?;
        values.retain(is_wanted);
        found.push((check, values));
    }
    if args.json || args.csv {
        let rows: Vec<Row> = found
            .iter()
            .flat_map(|(check, values)| values.iter().map(move |value| (check, value)))
            .map(|(check, value)| row(check, value, &rfc3339(check.logical_date, &zone)))
            .collect();
        if args.json {
            print_json(&rows)?;
        } else {
            print_csv(&rows)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if found.is_empty() {
        page.line(format!(
            "no check of {dag_id} has recorded anything{}",
            if args.since.is_some() { " since then" } else { " yet" }
        ));
        page.next(&format!("crondag list_tasks {dag_id}"));
    }
    for (index, (check, values)) in found.iter().enumerate() {
        if index > 0 {
            page.gap();
        }
        if let Some(store) = &store {
            show(&mut page, store, &dag_id, check, values)?;
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn show(
    page: &mut Page,
    store: &Store,
    dag_id: &DagId,
    check: &CheckRow,
    values: &[CheckValue],
) -> Result<(), CliError> {
    let verdict = page.paint(tone(check.verdict), check.verdict.as_str());
    page.line(format!("{dag_id} {} {}: {verdict}", check.task_id, check.ds));
    for finding in &check.findings {
        page.line(format!("  {finding}"));
    }
    let filter = CheckFilter {
        task_id: Some(check.task_id.clone()),
        before: Some(check.logical_date),
        limit: u32::try_from(SPARKS).ok(),
        ..CheckFilter::default()
    };
    let mut history: std::collections::BTreeMap<(String, String), Vec<f64>> = std::collections::BTreeMap::new();
    for earlier in store.checks(dag_id, &filter)?.iter().rev() {
        for value in store.check_values(dag_id, &check.task_id, earlier.logical_date)? {
            if let Some(number) = value.value {
                history.entry((value.key, value.metric)).or_default().push(number);
            }
        }
    }
    let mut table = Table::new(&["key", "metric", ">value", ">baseline", ">change", "verdict", "history", "reason"]);
    for value in values {
        let shown = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), number);
        let moved = value.value.zip(value.baseline).map_or_else(String::new, |(value, base)| change(value, base));
        let mut line = history.get(&(value.key.clone(), value.metric.clone())).cloned().unwrap_or_default();
        line.extend(value.value);
        table.row(vec![
            value.key.clone().into(),
            value.metric.clone().into(),
            shown(value.value).into(),
            shown(value.baseline).into(),
            moved.into(),
            Cell::new(value.verdict.as_str(), tone(value.verdict)),
            sparkline(&line).into(),
            Cell::new(value.reason.clone().unwrap_or_default(), tone(value.verdict)),
        ]);
    }
    page.table(&table);
    Ok(())
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Ok => Tone::Green,
        Verdict::Warn => Tone::Yellow,
        Verdict::Fail => Tone::Red,
    }
}

fn row(check: &CheckRow, value: &CheckValue, logical_date: &str) -> Row {
    Row {
        dag_id: check.dag_id.to_string(),
        task_id: check.task_id.to_string(),
        ds: check.ds.clone(),
        logical_date: logical_date.to_owned(),
        key: value.key.clone(),
        metric: value.metric.clone(),
        value: value.value,
        baseline: value.baseline,
        verdict: value.verdict.as_str(),
        reason: value.reason.clone(),
    }
}

/// As RFC 4180 has it.
fn print_csv(rows: &[Row]) -> Result<(), CliError> {
    let mut text = String::from("dag_id,task_id,ds,logical_date,key,metric,value,baseline,verdict,reason\n");
    for row in rows {
        let plain = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        let cells = [
            row.dag_id.clone(),
            row.task_id.clone(),
            row.ds.clone(),
            row.logical_date.clone(),
            row.key.clone(),
            row.metric.clone(),
            plain(row.value),
            plain(row.baseline),
            row.verdict.to_owned(),
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
