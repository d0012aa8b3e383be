//! `crondag gate`
//!
//! Asked by other programs, so its answer is its exit code: 0 open, 1 shut.

use std::process::ExitCode;

use serde::Serialize;

use super::confirm::who;
use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::{Page, Tone, print_json};
use crate::app::select;
use crate::app::times::{rfc3339, time};
use crate::dag::Verdict;
use crate::dag::nearest::nearest;
use crate::dag::schedule::When;
use crate::store::{Gate, GateDecision, Store};

/// Options of `gate`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Example:\n  crondag gate tags_ok 20180919 && ./push.sh\n  \
                  crondag gate set tags_ok 20180919 ok --reason \"the drop is the holiday\"\n\n\
                  Exit code 0 when the gate is open, 1 when it is shut or nobody has spoken yet."
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// The gate
    gate: Option<String>,
    /// The date
    date: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Overrule the checks for one date; it is recorded who did, and why
    Set(SetArgs),
}

#[derive(Debug, clap::Args)]
struct SetArgs {
    /// The gate
    gate: String,
    /// The date
    date: String,
    /// `ok` opens it, `fail` shuts it, `checks` lets the checks decide again
    #[arg(value_parser = ["ok", "fail", "checks"])]
    verdict: String,
    /// Why
    #[arg(long)]
    reason: String,
}

/// The contract of `--json`.
#[derive(Serialize)]
struct Row {
    gate: String,
    ds: String,
    verdict: Option<&'static str>,
    open: bool,
    published: Vec<PublishedRow>,
    decisions: Vec<DecisionRow>,
}

#[derive(Serialize)]
struct PublishedRow {
    dag_id: String,
    task_id: String,
    verdict: Option<&'static str>,
    at: String,
}

#[derive(Serialize)]
struct DecisionRow {
    verdict: Option<&'static str>,
    by: String,
    reason: String,
    at: String,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    if let Some(Command::Set(args)) = &args.command {
        return set(args, &app);
    }
    let store = app.store()?;
    let names = store.as_ref().map(Store::gate_names).transpose()?.unwrap_or_default();
    let Some(name) = &args.gate else { return list(&names, args.json) };
    let Some(date) = &args.date else {
        return Err(CliError::usage("`gate` needs a date", format!("crondag gate {name} 20180919")));
    };
    let ds = ds(date, &app)?;
    let gate = store.as_ref().map(|store| store.gate(name, &ds)).transpose()?.flatten();
    let is_open = gate.as_ref().is_some_and(|gate| gate.verdict() != Verdict::Fail);
    let code = if is_open { ExitCode::SUCCESS } else { ExitCode::from(1) };
    if args.json {
        let decisions = store.as_ref().map(|store| store.gate_decisions(name, &ds)).transpose()?.unwrap_or_default();
        print_json(&[row(&app, name, &ds, gate.as_ref(), &decisions)])?;
        return Ok(code);
    }
    let mut page = Page::new();
    match &gate {
        None => {
            page.line(format!("gate {name} is shut for {ds}: nobody has spoken yet"));
            match nearest(name, names.iter().map(String::as_str)) {
                Some(near) if !names.contains(name) => page.next(&format!("crondag gate {near} {ds}")),
                _ => page.next(&format!("crondag gate set {name} {ds} ok --reason \"...\"")),
            }
        }
        Some(gate) => show(&mut page, &app, name, &ds, gate, is_open),
    }
    page.print()?;
    Ok(code)
}

fn show(page: &mut Page, app: &App, name: &str, ds: &str, gate: &Gate, is_open: bool) {
    let (word, tone) = if is_open { ("open", Tone::Green) } else { ("shut", Tone::Red) };
    let word = page.paint(tone, word);
    page.line(format!("gate {name} is {word} for {ds}"));
    let zone = app.default_zone();
    if let Some(decision) = &gate.decision {
        let says = decision.verdict.map_or("lets the checks decide", Verdict::as_str);
        page.line(format!("  {} at {}: {says}: {}", decision.by, time(decision.at, &zone), decision.reason));
    }
    for published in &gate.published {
        let at = time(published.at, &zone);
        let says = published.verdict.map_or("has yet to speak", Verdict::as_str);
        page.line(format!("  {} {} at {at}: {says}", published.dag_id, published.task_id));
    }
    if !is_open && let Some(worst) = gate.published.iter().max_by_key(|published| published.verdict) {
        page.next(&format!("crondag checks {} {} --since {ds}", worst.dag_id, worst.task_id));
    }
}

fn list(names: &[String], json: bool) -> Result<ExitCode, CliError> {
    if json {
        print_json(&names)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if names.is_empty() {
        page.line("no check has a gate yet");
    }
    for name in names {
        page.line(name);
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn set(args: &SetArgs, app: &App) -> Result<ExitCode, CliError> {
    let ds = ds(&args.date, app)?;
    if args.reason.trim().is_empty() {
        return Err(CliError::usage("a decision needs a reason", "--reason \"the drop is the holiday\""));
    }
    let mut store = app.store_for_writing()?;
    let decision = GateDecision {
        verdict: Verdict::parse(&args.verdict),
        by: who(),
        reason: args.reason.trim().to_owned(),
        at: app.now,
    };
    let write = store.write()?;
    write.decide_gate(&args.gate, &ds, &decision)?;
    write.commit()?;
    let gate = store.gate(&args.gate, &ds)?;
    let is_open = gate.as_ref().is_some_and(|gate| gate.verdict() != Verdict::Fail);
    let mut page = Page::new();
    if let Some(gate) = &gate {
        show(&mut page, app, &args.gate, &ds, gate, is_open);
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The date as gates know it.
fn ds(text: &str, app: &App) -> Result<String, CliError> {
    let zone = app.default_zone();
    Ok(match select::date(text, &zone)? {
        When::Date(date) => date.to_string(),
        when @ When::Instant(_) => when.first_instant(&zone).to_zoned(zone).date().to_string(),
    })
}

fn row(app: &App, gate: &str, ds: &str, found: Option<&Gate>, decisions: &[GateDecision]) -> Row {
    let zone = app.default_zone();
    let verdict = found.map(Gate::verdict);
    Row {
        gate: gate.to_owned(),
        ds: ds.to_owned(),
        verdict: verdict.map(Verdict::as_str),
        open: verdict.is_some_and(|verdict| verdict != Verdict::Fail),
        published: found
            .iter()
            .flat_map(|gate| &gate.published)
            .map(|published| PublishedRow {
                dag_id: published.dag_id.clone(),
                task_id: published.task_id.clone(),
                verdict: published.verdict.map(Verdict::as_str),
                at: rfc3339(published.at, &zone),
            })
            .collect(),
        decisions: decisions
            .iter()
            .map(|decision| DecisionRow {
                verdict: decision.verdict.map(Verdict::as_str),
                by: decision.by.clone(),
                reason: decision.reason.clone(),
                at: rfc3339(decision.at, &zone),
            })
            .collect(),
    }
}
