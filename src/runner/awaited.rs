//! Whether another DAG has succeeded for the dates that a waiting run asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::catalog;
use crate::dag::schedule::{DataInterval, DateBound};
use crate::dag::wait::named_dates;
use crate::dag::{AwaitedDag, AwaitedDates, Config, Dag, DagId, Over, RunState, RunType, TaskState};
use crate::home::Home;
use crate::runner::engine::PollResult;
use crate::store::{RunFilter, RunRow, Store, StoreError};
use crate::text_file;

/// Of more dates than this only the number is said.
const NAMED_DATES: usize = 3;

/// The other DAG as its file stands, or why it cannot be read; `None` when there is no such file.
pub fn file(home: &Home, dag: &str, config: &Config) -> Option<Result<Arc<Dag>, String>> {
    let path = home.dag_path(DagId::new(dag).ok()?.as_str());
    let load = || catalog::load_dag(&path, config).map(|(dag, _)| Arc::new(dag)).map_err(|file| file.summary());
    text_file::is_there(&path).then(load)
}

/// Whether the runs of the other DAG have succeeded that the run of `interval` waits for; `awaited` is rendered, `other` is that
/// DAG, or why it cannot be read.
///
/// # Errors
/// The database cannot be read.
pub fn poll(
    store: &Store,
    own: &Dag,
    interval: DataInterval,
    awaited: &AwaitedDag,
    other: Option<Result<Arc<Dag>, String>>,
) -> Result<PollResult, StoreError> {
    let other = match other {
        None => return Ok(PollResult::Failed(format!("there is no DAG `{}`: see `crondag list_dags`", awaited.dag))),
        Some(Err(reason)) => return Ok(PollResult::Failed(format!("DAG {}: {reason}", awaited.dag))),
        Some(Ok(other)) => other,
    };
    if let Some(task) = &awaited.task
        && other.task_index(task).is_none()
    {
        return Ok(PollResult::Failed(format!("DAG {0} has no task `{task}`: see `crondag list_tasks {0}`", other.id)));
    }
    let expected = match expected(own, interval, awaited, &other) {
        Ok(expected) => expected,
        Err(reason) => return Ok(PollResult::Failed(reason)),
    };
    let (Some(first), Some(last)) = (expected.first(), expected.last()) else { return Ok(PollResult::Found) };
    let filter = RunFilter {
        dag_id: Some(other.id.clone()),
        from: Some(first.start),
        to: Some(last.start),
        ..RunFilter::default()
    };
    let runs = store.runs(&filter)?;
    let mut missing = Vec::new();
    for interval in &expected {
        if let Some(why) = lacks(store, &runs, interval, awaited)? {
            missing.push((interval.start, Some(why)));
        }
    }
    if missing.is_empty() {
        return Ok(PollResult::Found);
    }
    Ok(PollResult::NotYet(format!("{awaited} of {}", listed(&missing, &other.timezone))))
}

/// What the run of `interval` waits for, with its dates, whether they have succeeded or not; `other` as for [`poll`].
pub fn in_words(
    own: &Dag,
    interval: DataInterval,
    awaited: &AwaitedDag,
    other: Option<Result<Arc<Dag>, String>>,
) -> String {
    let Some(Ok(other)) = other else { return awaited.to_string() };
    match expected(own, interval, awaited, &other) {
        Ok(expected) => {
            let dates: Vec<_> = expected.iter().map(|interval| (interval.start, None)).collect();
            format!("{awaited} of {}", listed(&dates, &other.timezone))
        }
        Err(reason) => format!("{awaited}; {reason}"),
    }
}

/// Dates with what is said of them: the first ones, and how many follow.
fn listed(dates: &[(Timestamp, Option<&str>)], zone: &TimeZone) -> String {
    let date = |at: Timestamp| at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
    let named = dates.iter().take(NAMED_DATES).map(|(start, why)| match why {
        Some(why) => format!("{} ({why})", date(*start)),
        None => date(*start),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    match dates {
        [_, .., (last, _)] if dates.len() > NAMED_DATES => {
            format!("{named} and {} more up to {}", dates.len() - NAMED_DATES, date(*last))
        }
        _ => named,
    }
}

/// The data intervals of the other DAG that must have succeeded, the earliest first, or why there are none.
fn expected(own: &Dag, interval: DataInterval, awaited: &AwaitedDag, other: &Dag) -> Result<Vec<DataInterval>, String> {
    let (offset, over) = match &awaited.dates {
        AwaitedDates::Named(text) => return named(text, other),
        AwaitedDates::Matching { offset, over } => (*offset, *over),
    };
    let timetable = own.timetable();
    let mut interval = interval;
    for _ in 0..offset.unsigned_abs() {
        let shifted = if offset < 0 { timetable.before(&interval) } else { timetable.after(&interval) };
        interval = shifted.ok_or_else(|| format!("there is no date {offset} intervals away"))?;
    }
    let theirs = other.timetable();
    let local = |at: Timestamp| at.to_zoned(own.timezone.clone());
    match over {
        Over::Date => {
            let ds = local(interval.start).date();
            let mut expected: Vec<DataInterval> = theirs.intervals_from(interval.start, interval.start).collect();
            if expected.is_empty() {
                expected = theirs.on_date(ds);
            }
            if expected.is_empty() {
                return Err(format!("DAG {} has no run for {ds}: no interval of its schedule begins then", other.id));
            }
            Ok(expected)
        }
        Over::Interval => {
            let mut from = theirs.intervals_from(interval.start, Timestamp::MAX);
            let after = from.next();
            let before = after.and_then(|after| theirs.before(&after));
            let reaches_in = |other: &DataInterval| other.start < interval.end;
            let intervals = before.into_iter().chain(after).chain(from).take_while(reaches_in);
            let mut expected: Vec<DataInterval> =
                intervals.filter(|other| is_by_half_within(other, &interval)).collect();
            let why = if expected.is_empty() {
                "no interval of its schedule lies there"
            } else {
                "what lies there of its schedule is before its start_date or after its end_date"
            };
            // Nothing makes a run beyond these: what waited for one would wait for ever.
            expected.retain(|interval| theirs.check_bounds(interval).is_ok());
            if expected.is_empty() {
                let (start, end) = (local(interval.start), local(interval.end));
                return Err(format!(
                    "DAG {} has no run between {} and {}: {why}",
                    other.id,
                    start.strftime("%Y-%m-%d %H:%M"),
                    end.strftime("%Y-%m-%d %H:%M")
                ));
            }
            Ok(expected)
        }
    }
}

/// The data intervals of the other DAG on the dates of a text, each once, the earliest first; or which date has none.
fn named(text: &str, other: &Dag) -> Result<Vec<DataInterval>, String> {
    let dates = named_dates(text).map_err(|word| match word.as_str() {
        "" => "`date` says no date".to_owned(),
        word => format!("`date` says `{word}`, which is no date"),
    })?;
    let (theirs, zone) = (other.timetable(), &other.timezone);
    let mut expected = BTreeMap::new();
    for date in dates {
        let (said, of_date) = match &date {
            DateBound::Date(day) => (day.to_string(), theirs.on_date(*day)),
            DateBound::DateTime(_) | DateBound::Instant(_) => {
                let at = date.first_instant(zone);
                let said = at.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M").to_string();
                (said, theirs.intervals_from(at, at).collect())
            }
        };
        if of_date.is_empty() {
            return Err(format!("DAG {} has no run for {said}: no interval of its schedule begins then", other.id));
        }
        expected.extend(of_date.into_iter().map(|interval| (interval.start, interval)));
    }
    Ok(expected.into_values().collect())
}

/// Whether the middle of one interval lies within another: schedules that fire at different hours of the day still have the
/// same days in common.
fn is_by_half_within(one: &DataInterval, other: &DataInterval) -> bool {
    let middle = one.start.as_microsecond().midpoint(one.end.as_microsecond());
    (other.start.as_microsecond()..other.end.as_microsecond()).contains(&middle)
}

/// Why an interval does not count as done; `None` when it does.
fn lacks(
    store: &Store,
    runs: &[RunRow],
    interval: &DataInterval,
    awaited: &AwaitedDag,
) -> Result<Option<&'static str>, StoreError> {
    let mut why = "it has not run";
    for run in runs.iter().filter(|run| run.interval() == *interval) {
        // What a person runs while the data still come is no run of all of them; the one that is planned will be.
        if run.run_type == RunType::Manual && run.start_date.is_some_and(|start| start < interval.end) {
            why = "a manual run of it began before its data interval was over";
            continue;
        }
        let Some(task) = &awaited.task else {
            if run.run_type == RunType::Manual && run.selection.is_some() {
                why = "a manual run of it had only some of the tasks";
                continue;
            }
            match run.state {
                RunState::Success => return Ok(None),
                state => why = of_run(state),
            }
            continue;
        };
        let instances = store.task_instances(run.number)?;
        match instances.iter().find(|instance| instance.task_id.as_str() == task).map(|instance| instance.state) {
            Some(TaskState::Success) => return Ok(None),
            Some(state) if state.is_final() => why = "the task has not succeeded",
            _ => why = of_run(run.state),
        }
    }
    Ok(Some(why))
}

fn of_run(state: RunState) -> &'static str {
    match state {
        RunState::Queued => "its run is queued",
        RunState::Running => "its run is running",
        RunState::Success => "its run did not have the task",
        RunState::Failed => "its run has failed",
        RunState::Skipped => "its run was skipped",
    }
}

/// Whether a gate is open on a date.
///
/// # Errors
/// The database cannot be read.
pub fn poll_gate(store: &Store, gate: &str, ds: &str) -> Result<PollResult, StoreError> {
    Ok(match store.gate(gate, ds)? {
        Some(found) if found.verdict() != crate::dag::Verdict::Fail => PollResult::Found,
        _ => PollResult::NotYet(format!("gate {gate} of {ds}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dag::file::{read_config, read_dag};

    fn dag(id: &str, keys: &str) -> Dag {
        let config = read_config("timezone = 'UTC'").0.unwrap();
        let (dag, faults) = read_dag(id, &format!("{keys}\n[tasks.a]\nshell = 'true'\n"), &config, &|_| true);
        dag.unwrap_or_else(|| panic!("{faults:?}"))
    }

    /// The logical dates that a run from `start` waits for.
    fn dates(own: &str, start: &str, over: Over, other: &str) -> Result<Vec<String>, String> {
        awaited_dates(own, start, AwaitedDates::Matching { offset: 0, over }, other)
    }

    fn awaited_dates(own: &str, start: &str, dates: AwaitedDates, other: &str) -> Result<Vec<String>, String> {
        let (own, other) = (dag("own", own), dag("other", other));
        let start: Timestamp = start.parse().unwrap();
        let interval = own.timetable().intervals_from(start, start).next().unwrap();
        let awaited = AwaitedDag { dag: "other".to_owned(), task: None, dates };
        let said = |other: DataInterval| other.start.strftime("%m-%d %H:%M").to_string();
        Ok(expected(&own, interval, &awaited, &other)?.into_iter().map(said).collect())
    }

    #[test]
    fn over_an_interval_all_runs_count_whose_greater_part_lies_in_it() {
        let monday = "2018-07-02T06:00:00Z";
        let week = |hour: &str| (2..=8).map(|day| format!("07-{day:02} {hour}:00")).collect::<Vec<_>>();
        for (daily, hour) in [("0 5 * * *", "05"), ("0 6 * * *", "06"), ("0 7 * * *", "07")] {
            let daily = format!("schedule = '{daily}'");
            let found = dates("schedule = '0 6 * * 1'", monday, Over::Interval, &daily).unwrap();
            assert_eq!(found, week(hour));
        }
        let hours = dates("schedule = '0 6 * * *'", monday, Over::Interval, "schedule = '@hourly'").unwrap();
        assert_eq!((hours.len(), hours[0].as_str(), hours[23].as_str()), (24, "07-02 06:00", "07-03 05:00"));
        let none = dates("schedule = '0 6 * * *'", monday, Over::Interval, "schedule = '@monthly'");
        let expected = "DAG other has no run between 2018-07-02 06:00 and 2018-07-03 06:00: no interval of its schedule lies there";
        assert_eq!(none, Err(expected.to_owned()));
    }

    #[test]
    fn over_a_date_the_run_of_the_same_logical_date_counts_else_all_of_the_local_date() {
        let monday = "2018-07-02T06:00:00Z";
        let found = |other| dates("schedule = '0 6 * * *'", monday, Over::Date, other).unwrap();
        assert_eq!(found("schedule = '@hourly'"), ["07-02 06:00"]);
        assert_eq!(found("schedule = '30 */12 * * *'"), ["07-02 00:30", "07-02 12:30"]);
    }
    #[test]
    fn named_dates_are_days_with_all_their_runs_or_logical_dates() {
        let monday = "2018-07-02T06:00:00Z";
        let found = |text: &str, other| {
            awaited_dates("schedule = '0 6 * * *'", monday, AwaitedDates::Named(text.to_owned()), other)
        };
        let twice = "schedule = '30 */12 * * *'";
        assert_eq!(found("20180703 2018-07-01T12:30", twice).unwrap(), ["07-01 12:30", "07-03 00:30", "07-03 12:30"]);
        assert_eq!(found("2018-07-01T00:30Z, 2018-07-01", twice).unwrap(), ["07-01 00:30", "07-01 12:30"]);
        let none = |text| found(text, twice).unwrap_err();
        assert_eq!(
            none("2018-07-01T01:00"),
            "DAG other has no run for 2018-07-01 01:00: no interval of its schedule begins then"
        );
        assert_eq!(none(""), "`date` says no date");
        assert_eq!(none("2018-07-01 monday"), "`date` says `monday`, which is no date");
    }
}
