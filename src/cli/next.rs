//! `crondag next`

use std::collections::BTreeMap;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};
use serde::Serialize;

use super::context::Global;

use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, WIDTH, print_json, wrap};
use crate::app::times::{minute, rfc3339};
use crate::app::{App, select};
use crate::dag::Dag;
use crate::dag::schedule::{DataInterval, Schedule};
use crate::runner::planner;

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

/// The contract of `--json`.
#[derive(Serialize)]
struct Row {
    fire_time: String,
    /// The fire time and the delay of `jitter`, of a DAG that has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    starts_at: Option<String>,
    logical_date: String,
    data_interval_start: String,
    data_interval_end: String,
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag = app.dag(&args.dag)?;
    let zone = &dag.timezone;
    let after = match &args.after {
        Some(text) => select::date(text, zone)?.first_instant(zone),
        None => app.now,
    };
    let store = app.store()?;
    let row = store.as_ref().map(|store| store.dag(&dag.id)).transpose()?.flatten();
    let intervals = planner::foretold(&store, &dag, after, args.n)?;
    if args.json {
        let rows: Vec<Row> = intervals
            .iter()
            .map(|interval| Row {
                fire_time: rfc3339(interval.end, zone),
                starts_at: dag.jitter.map(|_| rfc3339(planner::starts_at(&dag, interval), zone)),
                logical_date: rfc3339(interval.start, zone),
                data_interval_start: rfc3339(interval.start, zone),
                data_interval_end: rfc3339(interval.end, zone),
            })
            .collect();
        print_json(&rows)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    if intervals.is_empty() {
        page.line(nothing(&dag, after));
        page.next(&format!("crondag trigger {}", dag.id));
    } else {
        list(&dag, &intervals, &mut page);
        let zone = page.paint(Tone::Dim, &format!("zone: {}", zone_in_words(&app, &dag)));
        page.line(zone);
        for note in planner::notes(&store, &dag, row.as_ref(), app.now)? {
            page.gap();
            say_note(&note.to_string(), &mut page);
        }
        if row.is_some_and(|row| row.is_paused) {
            page.gap();
            page.line(format!("{} is paused: nothing starts by itself", dag.id));
            page.next(&format!("crondag unpause {}", dag.id));
        }
    }
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// The DAG's zone, and who says so where the DAG does not.
fn zone_in_words(app: &App, dag: &Dag) -> String {
    if dag.timezone == app.default_zone() { app.default_zone_in_words() } else { select::zone_name(&dag.timezone) }
}

fn nothing(dag: &Dag, after: Timestamp) -> String {
    match &dag.schedule {
        None => format!("{} has no schedule: it runs when it is triggered or backfilled", dag.id),
        Some(schedule) => format!(
            "{} (schedule: {}) has nothing to start after {}: its end_date has passed",
            dag.id,
            schedule.text(),
            minute(after, &dag.timezone)
        ),
    }
}

fn list(dag: &Dag, intervals: &[DataInterval], page: &mut Page) {
    let zone = &dag.timezone;
    let mut table = Table::new(&["starts at", "ds", "data of"]);
    let mut notes: BTreeMap<Timestamp, String> = BTreeMap::new();
    for interval in intervals {
        let changes = clock_changes(interval, dag);
        let mark = if changes.is_empty() { Tone::Plain } else { Tone::Yellow };
        for (at, note) in changes {
            notes.entry(at).or_insert(note);
        }
        table.row(vec![
            Cell::new(starts(dag, interval), mark),
            interval.start.to_zoned(zone.clone()).strftime("%Y-%m-%d").to_string().into(),
            format!("{} .. {}", minute(interval.start, zone), minute(interval.end, zone)).into(),
        ]);
    }
    page.table(&table);
    if !notes.is_empty() {
        page.gap();
    }
    for note in notes.values() {
        say_note(note, page);
    }
}

fn say_note(note: &str, page: &mut Page) {
    for (nth, line) in wrap(note, WIDTH - 6).into_iter().enumerate() {
        let head = if nth == 0 { page.paint(Tone::Yellow, "note:") } else { "     ".to_owned() };
        page.line(format!("{head} {line}"));
    }
}

/// When a run starts; with `jitter` to the second.
fn starts(dag: &Dag, interval: &DataInterval) -> String {
    let at = planner::starts_at(dag, interval);
    if dag.jitter.is_none() {
        return minute(at, &dag.timezone);
    }
    at.to_zoned(dag.timezone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What the clocks do within an interval or soon after its end, and what that does to the start at its end; by the
/// instant of the change.
fn clock_changes(interval: &DataInterval, dag: &Dag) -> Vec<(Timestamp, String)> {
    let (zone, fire) = (&dag.timezone, interval.end);
    let local = zone.to_datetime(fire);
    let shown = |at: civil::DateTime| at.strftime("%H:%M").to_string();
    let just_before = |at: Timestamp| at.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(at);
    let mut found = Vec::new();
    for change in zone.following(interval.start) {
        let at = change.timestamp();
        let (old, new) = (zone.to_offset(just_before(at)), change.offset());
        let moved = SignedDuration::from_secs(i64::from(new.seconds() - old.seconds()));
        let is_after = at > fire;
        // A start that comes twice is the one before the change; beyond that a later change is not this row's.
        let comes_twice = moved.is_negative() && zone.to_ambiguous_timestamp(local).is_ambiguous();
        if is_after && !(comes_twice && fire.duration_until(at) <= moved.abs()) {
            break;
        }
        if moved.is_zero() {
            continue;
        }
        let date = zone.to_datetime(just_before(at)).date();
        let way = if moved.is_positive() { "forward" } else { "back" };
        let (from, to) = (shown(old.to_datetime(at)), shown(new.to_datetime(at)));
        let mut note = format!("on {date} the clocks go {way} from {from} to {to}");
        let second = fire.checked_add(moved.abs()).unwrap_or(fire);
        let fires_at = |at: Timestamp| {
            dag.schedule.as_ref().is_some_and(|schedule| schedule.next_fire(just_before(at), zone) == Some(at))
        };
        if comes_twice && is_after && fires_at(second) {
            note.push_str("; the schedule follows elapsed time");
        } else if comes_twice && is_after {
            note = format!("{note}; {} comes twice, it starts at the first", shown(local));
        } else if moved.is_positive()
            && let Ok(meant) = local.checked_sub(moved)
            && zone.to_ambiguous_timestamp(meant).is_ambiguous()
            && !is_on_schedule(dag.schedule.as_ref(), local)
        {
            note = format!("{note}; there is no {} that day, it starts at {}", shown(meant), shown(local));
        }
        found.push((at, note));
    }
    found
}

/// Whether a wall-clock time is one that the schedule names: in UTC there are no clock changes to shift it.
fn is_on_schedule(schedule: Option<&Schedule>, local: civil::DateTime) -> bool {
    let Some(schedule) = schedule else { return true };
    let Ok(naive) = TimeZone::UTC.to_timestamp(local) else { return true };
    let just_before = naive.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(naive);
    schedule.next_fire(just_before, &TimeZone::UTC) == Some(naive)
}
