//! `crondag status`

use std::process::ExitCode;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::runs::RunAnswer;
use crate::app::query::status::{BadLog, DISK_LOW, Missing, StatusAnswer, status};
use crate::app::times::span;
use crate::app::{App, TICK_LATE, crontab_line};
use crate::dag::DagId;
use crate::dag::units::format_size;

/// Options of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag status\n  watch crondag status")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let answer = status(&app)?;
    if args.json {
        print_json(&[answer])?;
    } else {
        let mut page = Page::new();
        show(&app, &answer, &mut page);
        page.print()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn count_of(number: u32, what: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), what)
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

fn show(app: &App, answer: &StatusAnswer, page: &mut Page) {
    let mut is_quiet = true;
    let mut say = |page: &mut Page, label: &str, tone: Tone, text: &str, next: Option<&str>| {
        is_quiet = false;
        let lead = format!("{} ", page.paint(tone, &format!("{label:<9}")));
        page.hanging(&lead, Tone::Plain, text);
        if let Some(next) = next {
            page.command(&format!("{:<9} next:", ""), next);
        }
    };
    if answer.driver_running {
        let pid = answer.driver_pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
        say(page, "driver", Tone::Cyan, &format!("running{pid}"), None);
    } else if answer.needs_driver {
        say(page, "driver", Tone::Red, "not running, but there is work for it", Some("crondag tick"));
    }
    match &answer.last_tick {
        None => {
            let line = format!("`crontab -e`, and this line: {}", crontab_line(&app.home));
            say(page, "crontab", Tone::Yellow, "has never ticked: nothing starts by itself", Some(&line));
        }
        Some(tick) if app.now.duration_since(tick.at) > TICK_LATE => {
            let ago = span(app.now.duration_since(tick.at));
            let line = format!("`crontab -l` must have: {}", crontab_line(&app.home));
            say(page, "crontab", Tone::Red, &format!("last tick {ago} ago: nothing starts by itself"), Some(&line));
        }
        Some(_) => {}
    }
    if let Some(warning) = &answer.timezone_warning {
        let text = format!("{warning}: times are in {}", answer.timezone);
        say(page, "zone", Tone::Yellow, &text, Some("write `timezone = \"...\"` into crondag.toml"));
    }
    for faulty in &answer.faulty {
        let text = format!("{}: {}", faulty.dag_id, faulty.message);
        say(page, "faulty", Tone::Red, &text, Some("crondag validate"));
    }
    if let Some(first) = answer.paused.first() {
        let names: Vec<&str> = answer.paused.iter().map(DagId::as_str).collect();
        say(page, "paused", Tone::Yellow, &names.join(", "), Some(&format!("crondag unpause {first}")));
    }
    for note in &answer.notes {
        say(page, "schedule", Tone::Yellow, note, None);
    }
    for lag in &answer.lags {
        let text = format!("{} {}", lag.dag_id, lag.in_words(app.now));
        say(page, "behind", Tone::Yellow, &text, Some(&format!("crondag explain {}", lag.dag_id)));
    }
    for running in &answer.running {
        let tone = if running.failed_tasks + running.upstream_failed_tasks > 0 { Tone::Red } else { Tone::Cyan };
        say(page, "running", tone, &running.summary, None);
        if let Some(held_up) = &running.held_up {
            say(page, "waits", Tone::Yellow, &held_up.in_words(), held_up.next.as_deref());
        }
    }
    for ending in &answer.ending {
        let text = format!(
            "{} {} {}: the processes of try {} were told to end and still live",
            ending.dag_id,
            ending.logical_date.minute(),
            ending.task_id,
            ending.try_number
        );
        let next = format!("crondag logs {} {} {} -f", ending.dag_id, ending.task_id, ending.run_id);
        say(page, "ending", Tone::Yellow, &text, Some(&next));
    }
    if answer.queued > 0 {
        let explain = answer.first_queued.as_ref().map(|(dag, run)| format!("crondag explain {dag} {run}"));
        let (text, next) = match &answer.queued_held_up {
            Some(first) if answer.running.iter().any(|run| run.held_up.as_ref() == Some(first)) => {
                let behind = format!("{} {}", first.dag_id, first.logical_date.minute());
                (format!("{}, behind that of {behind}", count(answer.queued, "run")), explain)
            }
            Some(first) => (format!("{}: {}", count(answer.queued, "run"), first.in_words()), first.next.clone()),
            None => (count(answer.queued, "run"), explain),
        };
        say(page, "queued", Tone::Plain, &text, next.as_deref());
    }
    if answer.mail_undeliverable > 0 {
        let count = count_of(answer.mail_undeliverable, "notice");
        let (text, next) = if answer.has_email {
            (
                format!(
                    "{count} of the last 24 hours reached nobody: there was no [email] then; `crondag runs` has what failed"
                ),
                None,
            )
        } else {
            let next = "write [email] into crondag.toml, or take `email` out of the DAG files";
            (format!("{count} of the last 24 hours reached nobody: crondag.toml has no [email]"), Some(next))
        };
        say(page, "mail", Tone::Yellow, &text, next);
    }
    if answer.mail_pending > 0 || answer.mail_given_up > 0 {
        let error = answer.mail_last_error.as_ref().map(|error| format!(": {error}")).unwrap_or_default();
        let tone = if answer.mail_given_up > 0 || answer.mail_last_error.is_some() { Tone::Red } else { Tone::Plain };
        let text = format!("{} waiting, {} given up{error}", answer.mail_pending, answer.mail_given_up);
        let next = if tone == Tone::Red { Some("check [email] in crondag.toml, then `crondag tick`") } else { None };
        say(page, "mail", tone, &text, next);
    }
    for log in &answer.logs {
        let BadLog { dag_id, task_id, missing, since, count } = log;
        let times = if *count == 1 { String::new() } else { format!(" ({count} logs since {})", since.minute()) };
        let (label, text, next) = match missing {
            Missing::LeftOut(bytes) => (
                "log",
                format!("{dag_id} {task_id}: {} left out: max_size is reached", format_size(*bytes)),
                "raise `max_size` under [logs] in crondag.toml, or let the task print less".to_owned(),
            ),
            Missing::NotTaken(error) => (
                "disk",
                format!("{dag_id} {task_id}: the disk did not take its whole log: {error}"),
                format!("`df -h {}`; what is missing of a log is lost", app.home.logs_dir().display()),
            ),
        };
        say(page, label, Tone::Red, &format!("{text}{times}"), Some(&next));
    }
    if let Some(free) = answer.disk_free_bytes.filter(|free| *free < DISK_LOW) {
        let text = format!("only {} free for {}", format_size(free), app.home.state_dir().display());
        say(page, "disk", Tone::Red, &text, Some("free some space, or shorten `keep` under [logs] in crondag.toml"));
    }
    let in_spite = &answer.failed_tasks_last_24h;
    if !answer.failed_last_24h.is_empty() {
        is_quiet = false;
        let title = format!("{} failed within the last 24 hours", count(answer.failed_last_24h.len(), "run"));
        ended(app, &title, &answer.failed_last_24h, "crondag runs --state failed", page);
    }
    if !in_spite.is_empty() {
        is_quiet = false;
        let title =
            format!("{} succeeded within the last 24 hours in spite of failed tasks", count(in_spite.len(), "run"));
        ended(app, &title, in_spite, "crondag runs", page);
    }
    if is_quiet {
        let next = answer
            .next
            .as_ref()
            .map_or_else(|| "nothing is scheduled".to_owned(), |(id, at)| format!("next: {id} at {}", at.minute()));
        page.line(format!("all is well: {}, nothing running; {next}", count(answer.dags, "DAG")));
    } else {
        page.gap();
    }
    let zone = page.paint(Tone::Dim, &format!("zone: {}", answer.timezone));
    page.line(zone);
}

/// At most so many runs are listed.
const MOST: usize = 10;

fn ended(app: &App, title: &str, runs: &[RunAnswer], all: &str, page: &mut Page) {
    page.gap();
    let title = page.paint(Tone::Red, title);
    page.line(title);
    let mut table = Table::new(&["dag", "logical date", "ended", "reason"]).without_at_need(&["ended"]);
    for run in runs.iter().take(MOST) {
        let ago = run.end_date.as_ref().map(|end| format!("{} ago", span(app.now.duration_since(end.at))));
        let reason = run
            .failures_despite_state()
            .map(|failures| failures.to_string())
            .or(run.reason.clone())
            .unwrap_or_default();
        table.row(vec![
            run.dag_id.to_string().into(),
            run.logical_date.minute().into(),
            Cell::new(ago.unwrap_or_default(), Tone::Dim),
            reason.into(),
        ]);
    }
    page.table(&table);
    if runs.len() > MOST {
        page.line(format!("and {} more: {all}", runs.len() - MOST));
    }
    if let Some(newest) = runs.first() {
        page.next(&format!("crondag tasks {} {}", newest.dag_id, newest.run_id));
    }
}
