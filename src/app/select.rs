//! From what people type to what they mean: tasks, data intervals and runs.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

use super::times::{minute, rfc3339, zone_name};
use super::{App, AppError};
use crate::dag::nearest::nearest;
use crate::dag::schedule::{DataInterval, When, parse_when};
use crate::dag::units::parse_duration;
use crate::dag::{Dag, DagId, TaskId};
use crate::store::{RunFilter, RunRow, Store};

/// A date as people type it, in the DAG's zone.
pub fn date(text: &str, zone: &TimeZone) -> Result<When, AppError> {
    parse_when(text, zone).map_err(|_| {
        AppError::usage(
            format!("`{text}` is not a date"),
            "write it as 20180701, 2018-07-01, 2018-07-01T07:00 or 2018-07-01T07:00:00+08:00",
        )
    })
}

/// Which part of a history is asked for, as people type it. The times are those of [`past_time`].
#[derive(Debug, Clone, Default)]
pub struct Excerpt {
    /// What was going on at some moment from then on.
    pub since: Option<String>,
    /// What was going on at some moment before.
    pub until: Option<String>,
    /// What was going on then, in place of the two.
    pub at: Option<String>,
    /// At most so many, the newest; of these that is what counts as all.
    pub limit: Option<u32>,
    /// Of all, only so many, those that took longest.
    pub slowest: Option<usize>,
}

/// How many are listed unless somebody says so.
const NEWEST: u32 = 20;

impl Excerpt {
    /// The first and the last moment that are asked for.
    ///
    /// # Errors
    /// A time is none.
    pub(crate) fn span(
        &self,
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), AppError> {
        let time = |text: &Option<String>| text.as_deref().map(|text| past_time(text, zone, now)).transpose();
        let at = time(&self.at)?;
        Ok((time(&self.since)?.or(at), time(&self.until)?.or(at)))
    }

    /// How many of the newest count. The slowest are looked for among all.
    pub(crate) fn newest(&self) -> Option<u32> {
        self.limit.or(if self.slowest.is_some() { None } else { Some(NEWEST) })
    }

    /// Whether times were given.
    pub fn has_times(&self) -> bool {
        self.since.is_some() || self.until.is_some() || self.at.is_some()
    }
}

/// A time that has been, as people type it: a date (its first instant) or an instant, `04:00` (the last time that a clock in
/// `zone` showed it), or a length of time (`2h`: that long ago).
///
/// # Errors
/// The text is nothing of that.
pub fn past_time(text: &str, zone: &TimeZone, now: Timestamp) -> Result<Timestamp, AppError> {
    let on_the_clock = |time: civil::Time| {
        let today = now.to_zoned(zone.clone()).date();
        let days = [today, today.yesterday().unwrap_or(today)];
        let at = days.map(|day| zone.to_ambiguous_timestamp(day.to_datetime(time)).compatible().ok());
        at.into_iter().flatten().find(|at| *at <= now)
    };
    let clock = ["%H:%M", "%H:%M:%S"].iter().find_map(|format| civil::Time::strptime(format, text).ok());
    let ago = || now.checked_sub(SignedDuration::try_from(parse_duration(text).ok()?).ok()?).ok();
    let date = || parse_when(text, zone).ok().map(|when| when.first_instant(zone));
    clock.and_then(on_the_clock).or_else(date).or_else(ago).ok_or_else(|| {
        AppError::usage(
            format!("`{text}` is not a time"),
            "write it as 2018-07-01, 2018-07-01T04:00, 04:00 (the last time that it was) or 2h (so long ago)",
        )
    })
}

/// The index of a task that a user named.
pub fn task(dag: &Dag, text: &str) -> Result<usize, AppError> {
    dag.task_index(text).ok_or_else(|| {
        let what = format!("the DAG {} has no task `{text}`", dag.id);
        match nearest(text, dag.tasks.iter().map(|task| task.id.as_str())) {
            Some(near) => {
                AppError::usage(what, format!("did you mean `{near}`? `crondag list_tasks {}` shows them all", dag.id))
            }
            None => AppError::usage(what, format!("crondag list_tasks {}", dag.id)),
        }
    })
}

/// The data interval of a date: the first one that starts on that day, or the one that starts at that instant.
///
/// # Errors
/// No interval starts then; the nearest ones before and after are named.
pub fn interval(dag: &Dag, text: &str) -> Result<DataInterval, AppError> {
    let zone = &dag.timezone;
    let when = date(text, zone)?;
    let timetable = dag.timetable();
    let (first, last) = (when.first_instant(zone), when.last_instant(zone));
    if let Some(found) = timetable.intervals_from(first, last).next() {
        return Ok(found);
    }
    let shown = |interval: DataInterval| match when {
        When::Date(_) => interval.start.to_zoned(zone.clone()).strftime("%Y-%m-%d").to_string(),
        When::Instant(_) => rfc3339(interval.start, zone),
    };
    // Some schedules fire every few years only; beyond that nothing is near.
    let before = timetable.interval_closed_by(first).map(shown);
    let after = timetable.intervals_from(last, Timestamp::MAX).next().map(shown);
    let near: Vec<String> = before.into_iter().chain(after).map(|near| format!("`{near}`")).collect();
    let schedule = dag.schedule.as_ref().map_or("none", |schedule| schedule.text());
    Err(AppError::usage(
        format!("no data interval of {} starts at {text} (schedule: {schedule}, zone {})", dag.id, zone_name(zone)),
        if near.is_empty() { format!("crondag next {}", dag.id) } else { format!("nearest: {}", near.join(" or ")) },
    ))
}

/// The runs that a date or a run id means, oldest first; without one, the newest run. Never empty.
///
/// # Errors
/// There is no such run; the nearest ones are named.
pub fn runs(app: &App, store: Option<&Store>, dag_id: &DagId, text: Option<&str>) -> Result<Vec<RunRow>, AppError> {
    let none_yet = || no_runs_yet(dag_id);
    let store = store.ok_or_else(none_yet)?;
    let Some(text) = text else {
        return last_run(app, store, dag_id)?.map(|run| vec![run]).ok_or_else(none_yet);
    };
    if let Some(run) = store.run_by_id(dag_id, text)? {
        return Ok(vec![run]);
    }
    let zone = app.zone_of(dag_id);
    let Ok(when) = parse_when(text, &zone) else {
        return Err(AppError::usage(
            format!("{dag_id} has no run `{text}`, and that is not a date either"),
            format!("crondag runs {dag_id}; a date is 20180701, 2018-07-01 or 2018-07-01T07:00"),
        ));
    };
    let filter = RunFilter {
        dag_id: Some(dag_id.clone()),
        from: Some(when.first_instant(&zone)),
        to: Some(when.last_instant(&zone)),
        ..RunFilter::default()
    };
    let runs = store.runs(&filter)?;
    if !runs.is_empty() {
        return Ok(runs);
    }
    let last = last_run(app, store, dag_id)?.ok_or_else(none_yet)?;
    Err(AppError::usage(
        format!("{dag_id} has no run for {text} (its newest is for {})", minute(last.logical_date, &zone)),
        format!("crondag runs {dag_id}, or make it: crondag backfill -s {text} -e {text} {dag_id}"),
    ))
}

/// A DAG has no runs.
pub(super) fn no_runs_yet(dag_id: &DagId) -> AppError {
    AppError::usage(
        format!("the DAG {dag_id} has no runs yet"),
        format!("crondag trigger {dag_id}, or crondag backfill -s DATE -e DATE {dag_id}"),
    )
}

/// The run that is meant where nobody names one: the newest. One that somebody made for a date that was yet to come is meant only
/// where there is no other, also when that date has come: nobody thinks of it then.
///
/// # Errors
/// The database.
pub fn last_run(app: &App, store: &Store, dag_id: &DagId) -> Result<Option<RunRow>, AppError> {
    let newest = RunFilter { dag_id: Some(dag_id.clone()), limit: Some(1), ..RunFilter::default() };
    let begun = RunFilter { to: Some(app.now), not_made_ahead: true, ..newest.clone() };
    Ok(match store.runs(&begun)?.pop() {
        Some(run) => Some(run),
        None => store.runs(&newest)?.pop(),
    })
}

/// The task and the run that are meant where a task comes first and a run may follow: `20180701` alone means the run, and of
/// two the one that is a date or a run's id is the run, in whichever order they come.
///
/// # Errors
/// The database.
pub fn task_and_run<'t>(
    app: &App,
    store: Option<&Store>,
    dag_id: &DagId,
    dag: Option<&Dag>,
    (first, second): (Option<&'t str>, Option<&'t str>),
) -> Result<(Option<&'t str>, Option<&'t str>), AppError> {
    let zone = app.zone_of(dag_id);
    let is_task = |text: &str| dag.is_some_and(|dag| dag.task_index(text).is_some());
    let is_run = |text: &str| -> Result<bool, AppError> {
        if is_task(text) || parse_when(text, &zone).is_ok() {
            return Ok(!is_task(text));
        }
        Ok(store.map(|store| store.run_by_id(dag_id, text)).transpose()?.flatten().is_some())
    };
    Ok(match (first, second) {
        (Some(text), None) if is_run(text)? => (None, Some(text)),
        (Some(date), Some(task)) if is_task(task) && is_run(date)? => (Some(task), Some(date)),
        as_typed => as_typed,
    })
}

/// As [`runs`], for commands that act on exactly one.
///
/// # Errors
/// Also when several runs are meant: they are named.
pub fn run(app: &App, store: Option<&Store>, dag_id: &DagId, text: Option<&str>) -> Result<RunRow, AppError> {
    let mut found = runs(app, store, dag_id, text)?;
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (last, _) => {
            found.extend(last);
            let ids: Vec<String> = found.iter().map(|run| format!("\n  {}", run.run_id)).collect();
            Err(AppError::usage(
                format!(
                    "{} means {} runs of {dag_id}; their ids:{}",
                    text.unwrap_or("this"),
                    found.len(),
                    ids.concat()
                ),
                "give one of these ids in place of the date",
            ))
        }
    }
}

/// The tasks of a run in the order of its DAG, with those that the DAG no longer has at the end.
pub fn in_dag_order<T>(dag: Option<&Dag>, mut tasks: Vec<T>, id: impl Fn(&T) -> &TaskId) -> Vec<T> {
    if let Some(dag) = dag {
        let rank = |task: &T| {
            let index = dag.task_index(id(task).as_str());
            index.and_then(|index| dag.graph.order().iter().position(|&other| other == index)).unwrap_or(usize::MAX)
        };
        tasks.sort_by_cached_key(rank);
    }
    tasks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_has_been_is_a_date_an_instant_a_clock_or_a_length_of_time() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        // Half past three in the night in which half past two came not at all.
        let now: Timestamp = "2024-03-31T01:30:00Z".parse().unwrap();
        for (text, expected) in [
            ("2024-03-30", "2024-03-29T23:00:00Z"),
            ("20240330", "2024-03-29T23:00:00Z"),
            ("2024-03-30T04:00", "2024-03-30T03:00:00Z"),
            ("2024-03-30T04:00+00:00", "2024-03-30T04:00:00Z"),
            ("03:30", "2024-03-31T01:30:00Z"),
            ("03:30:01", "2024-03-30T02:30:01Z"),
            ("2h", "2024-03-30T23:30:00Z"),
            ("30d", "2024-03-01T01:30:00Z"),
        ] {
            assert_eq!(past_time(text, &zone, now).unwrap().to_string(), expected, "{text}");
        }
        for text in ["", "24:00", "-2h", "yesterday", "2024-02-30"] {
            assert!(past_time(text, &zone, now).is_err(), "{text}");
        }
    }
}
