//! `crondag gate`
//!
//! Asked by other programs, so its answer is its exit code: 0 open, 1 shut.

use std::process::ExitCode;

use super::confirm::who;
use super::context::Global;
use super::error::CliError;
use super::output::{Page, Tone, print_json};
use crate::app::App;
use crate::app::query::gates::{GateAnswer, gate, gates};
use crate::app::request::gate as request;
use crate::dag::Verdict;

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
    verdict: SetVerdict,
    /// Why
    #[arg(long)]
    reason: String,
}

/// What holds for the date from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SetVerdict {
    Ok,
    Fail,
    Checks,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    if let Some(Command::Set(args)) = &args.command {
        return set(args, &app);
    }
    let Some(name) = &args.gate else { return list(&gates(&app)?, args.json) };
    let Some(date) = &args.date else {
        return Err(CliError::usage("`gate` needs a date", format!("crondag gate {name} 20180919")));
    };
    let answer = gate(&app, name, date)?;
    if args.json {
        print_json(&[&answer])?;
    } else {
        show(&answer)?;
    }
    Ok(if answer.open { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn show(answer: &GateAnswer) -> Result<(), CliError> {
    let mut page = Page::new();
    let GateAnswer { gate, ds, .. } = answer;
    if !answer.is_known() {
        page.line(format!("gate {gate} is shut for {ds}: nobody has spoken yet"));
        match &answer.nearest {
            Some(near) => page.next(&format!("crondag gate {near} {ds}")),
            None => page.next(&format!("crondag gate set {gate} {ds} ok --reason \"...\"")),
        }
        return page.print();
    }
    let (word, tone) = if answer.open { ("open", Tone::Green) } else { ("shut", Tone::Red) };
    let word = page.paint(tone, word);
    page.line(format!("gate {gate} is {word} for {ds}"));
    if let Some(decision) = answer.decisions.last() {
        let says = decision.verdict.map_or("lets the checks decide", Verdict::as_str);
        page.line(format!("  {} at {}: {says}: {}", decision.by, decision.at.time(), decision.reason));
    }
    for published in &answer.published {
        let says = published.verdict.map_or("has yet to speak", Verdict::as_str);
        page.line(format!("  {} {} at {}: {says}", published.dag_id, published.task_id, published.at.time()));
    }
    if !answer.open
        && let Some(worst) = answer.published.iter().max_by_key(|published| published.verdict.unwrap_or(Verdict::Fail))
    {
        let (dag, task) = (&worst.dag_id, &worst.task_id);
        match worst.verdict {
            Some(_) => page.next(&format!("crondag checks {dag} {task} --since {ds}")),
            None => page.next(&format!("crondag explain {dag} {task} {ds}")),
        }
    }
    page.print()
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
    let verdict = match args.verdict {
        SetVerdict::Ok => Some(Verdict::Ok),
        SetVerdict::Fail => Some(Verdict::Fail),
        SetVerdict::Checks => None,
    };
    let plan = request::plan(app, (&args.gate, &args.date), verdict, &args.reason)?;
    show(&request::apply(app, plan, &who())?.gate)?;
    Ok(ExitCode::SUCCESS)
}
