//! Which runs exist, given when ticks came: the first promise, without processes and without waiting.

#![allow(clippy::unused_self)] // questions to a home read as such
#![allow(clippy::unwrap_used)] // a test may fail

mod common;

use std::collections::BTreeSet;
use std::fs;

use crondag::dag::schedule::{DataInterval, OutOfBounds, Place};
use crondag::dag::{Dag, DagId};
use crondag::home::Home;
use crondag::runner::planner::{Fate, Never, Pacer};
use crondag::runner::{catalog, planner};
use crondag::store::{DagRow, RunFilter, Store};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;

struct World {
    _folder: common::Home,
    home: Home,
    store: Store,
}

impl World {
    fn new(dag: &str) -> World {
        let folder = common::Home::bare()
            .with("crondag.toml", "timezone = 'America/New_York'\n")
            .dag("d", format!("{dag}\n[tasks.a]\nshell = 'true'\n"));
        let (home, store) = (Home::at(folder.path()), folder.store());
        World { _folder: folder, home, store }
    }

    fn tick(&mut self, at: &str) -> usize {
        self.tick_at(at.parse().unwrap())
    }

    fn tick_at(&mut self, now: Timestamp) -> usize {
        let (config, _) = catalog::load_config(&self.home).unwrap();
        planner::plan(&self.home, &mut self.store, &config, now).unwrap().created
    }

    fn edit(&mut self, dag: &str) {
        fs::write(self.home.dag_path("d"), format!("{dag}\n[tasks.a]\nshell = 'true'\n")).unwrap();
    }

    fn sql(&self, statements: &str) {
        rusqlite::Connection::open(self.home.database_path()).unwrap().execute_batch(statements).unwrap();
    }

    fn zone(&self) -> TimeZone {
        TimeZone::get("America/New_York").unwrap()
    }

    /// A time of June 2024, as `03T09:00`.
    fn time(&self, text: &str) -> Timestamp {
        format!("2024-06-{text}:00-04:00").parse().unwrap()
    }

    fn dag(&self) -> Dag {
        let (config, _) = catalog::load_config(&self.home).unwrap();
        catalog::load_dag(&self.home.dag_path("d"), &config).unwrap().0
    }

    fn row(&self) -> Option<DagRow> {
        self.store.dag(&DagId::new("d").unwrap()).unwrap()
    }

    fn fate(&self, interval: DataInterval, now: Timestamp) -> Fate {
        planner::fate_of(&self.store, &self.dag(), self.row().as_ref(), interval, now).unwrap()
    }

    fn backlog(&self, now: Timestamp) -> usize {
        let backlog = planner::backlog(&self.store, &self.dag(), self.row().as_ref(), now).unwrap();
        backlog.map_or(0, |backlog| backlog.count)
    }

    /// What `next` says.
    fn next_run(&self, after: Timestamp) -> Option<DataInterval> {
        planner::next_run(&self.store, &self.dag(), after).unwrap()
    }

    /// The data intervals of all runs, by their ends.
    fn intervals(&self) -> Vec<DataInterval> {
        self.store.intervals_from(&DagId::new("d").unwrap(), Timestamp::UNIX_EPOCH).unwrap()
    }

    /// Logical dates of all runs.
    fn runs(&self) -> Vec<String> {
        let zone = jiff::tz::TimeZone::get("America/New_York").unwrap();
        self.store
            .runs(&RunFilter::default())
            .unwrap()
            .iter()
            .map(|run| run.logical_date.to_zoned(zone.clone()).strftime("%m-%dT%H:%M%:z").to_string())
            .collect()
    }
}

#[test]
fn a_file_that_comes_back_faulty_goes_on_with_its_last_good_version() {
    let mut world = World::new("schedule = '0 7 * * *'");
    let file = world.home.dag_path("d");
    assert_eq!(world.tick("2024-06-10T16:00:00-04:00"), 0);
    fs::remove_file(&file).unwrap();
    assert_eq!(world.tick("2024-06-11T16:00:00-04:00"), 0);
    fs::write(&file, "schedule = [").unwrap();
    assert_eq!(world.tick("2024-06-12T16:00:00-04:00"), 0, "what was due while it was away is not made up for");
    assert_eq!(world.tick("2024-06-13T07:00:00-04:00"), 1);
}

#[test]
fn a_file_that_is_faulty_goes_on_with_the_version_that_a_client_has_used_meanwhile() {
    let mut world = World::new("schedule = '0 7 * * *'");
    assert_eq!(world.tick("2024-06-10T16:00:00-04:00"), 0);
    // Edited, triggered and broken between two passes.
    let write = world.store.write().unwrap();
    let id = DagId::new("d").unwrap();
    let text = "schedule = '0 6 * * *'\n[tasks.a]\nshell = 'true'\n";
    let version = write.keep_version(&id, text, "2024-06-10T17:00:00-04:00".parse().unwrap()).unwrap();
    let row = write.dag(&id).unwrap().unwrap();
    write.put_dag(&DagRow { version_id: Some(version), ..row }).unwrap();
    write.commit().unwrap();
    fs::write(world.home.dag_path("d"), "schedule = [").unwrap();
    assert_eq!(world.tick("2024-06-10T18:00:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-11T05:59:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-11T06:00:00-04:00"), 1);
    assert_eq!(world.tick("2024-06-11T07:00:00-04:00"), 0);
    assert_eq!(world.runs(), ["06-10T06:00-04:00"]);
}

#[test]
fn without_catchup_the_first_run_is_the_next_fire_time_and_downtime_costs_all_but_the_latest() {
    let mut world = World::new("schedule = '0 7 * * *'\nstart_date = 2024-01-01");
    assert_eq!(world.tick("2024-06-10T16:00:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-11T06:59:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-11T07:00:00-04:00"), 1);
    assert_eq!(world.tick("2024-06-11T07:00:00-04:00"), 0, "the same minute again");
    // The machine sleeps for three days.
    assert_eq!(world.tick("2024-06-14T12:00:00-04:00"), 1);
    assert_eq!(world.runs(), ["06-10T07:00-04:00", "06-13T07:00-04:00"]);
    // The clock is set back an hour, then runs on.
    assert_eq!(world.tick("2024-06-14T11:00:00-04:00") + world.tick("2024-06-15T06:30:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-15T07:01:00-04:00"), 1);
}

#[test]
fn a_pacer_makes_no_pass_in_vain_and_misses_nothing() {
    let mut world = World::new("schedule = '0 7 * * *'\nstart_date = 2024-01-01");
    for number in 1..100 {
        let path = world.home.dags_dir().join(format!("d{number}.toml"));
        fs::write(path, "schedule = '0 9 * * *'\n[tasks.a]\nshell = 'true'\n").unwrap();
    }
    let (config, _) = catalog::load_config(&world.home).unwrap();
    let mut pacer = Pacer::default();
    let at = |time: &str| format!("2024-06-11T{time}-04:00").parse::<Timestamp>().unwrap();
    let mut pass = |world: &mut World, time: &str| {
        assert!(pacer.is_due(&world.store, at(time)), "{time}");
        let created = pacer.pass(&world.home, &mut world.store, &config, at(time)).unwrap().created;
        let is_worth_another = pacer.is_due(&world.store, at(time));
        (created, is_worth_another)
    };
    assert_eq!(pass(&mut world, "06:00:00"), (0, true), "what was written may hold something due");
    assert_eq!(pass(&mut world, "06:00:00"), (0, false));
    assert_eq!(pass(&mut world, "06:00:02"), (0, false), "a hundred files are left alone for two seconds");
    assert_eq!(
        pass(&mut world, "05:00:00"),
        (0, true),
        "the clock was set back: since when DAGs are known is corrected"
    );
    assert_eq!(pass(&mut world, "05:00:00"), (0, false));
    assert_eq!(pass(&mut world, "06:59:59"), (0, false));
    assert_eq!(pass(&mut world, "07:00:00"), (1, true), "due before the files are");
    assert_eq!(pass(&mut world, "07:00:00"), (0, false));
    let mut other = Store::open(&world.home.database_path()).unwrap();
    let write = other.write().unwrap();
    write.set_meta("somebody", "wrote").unwrap();
    write.commit().unwrap();
    assert_eq!(pass(&mut world, "07:00:01"), (0, false), "another process wrote");
    for time in ["07:00:01", "07:00:02", "07:00:02.999"] {
        assert!(!pacer.is_due(&world.store, at(time)), "{time}");
    }
}

#[test]
fn with_catchup_everything_since_start_date_runs_once_until_end_date() {
    let mut world =
        World::new("schedule = '0 7 * * *'\nstart_date = 2024-06-01\nend_date = 2024-06-05\ncatchup = true");
    assert_eq!(world.tick("2024-06-03T12:00:00-04:00"), 2);
    assert_eq!(world.tick("2024-07-01T12:00:00-04:00"), 3);
    let days = ["06-01", "06-02", "06-03", "06-04", "06-05"].map(|day| format!("{day}T07:00-04:00"));
    assert_eq!(world.runs(), days);
}

#[test]
fn clock_changes_neither_lose_nor_double_a_day() {
    let mut world = World::new("schedule = '30 2 * * *'\nstart_date = 2024-03-08\ncatchup = true");
    let mut now: Timestamp = "2024-03-08T00:00:00-05:00".parse().unwrap();
    while now < "2024-03-13T12:00:00-04:00".parse().unwrap() {
        world.tick_at(now);
        now += 10.minutes();
    }
    // On the 10th 02:30 does not exist: that day's run is shifted to 03:30.
    let expected =
        ["03-08T02:30-05:00", "03-09T02:30-05:00", "03-10T03:30-04:00", "03-11T02:30-04:00", "03-12T02:30-04:00"];
    assert_eq!(world.runs(), expected);
}

#[test]
fn a_deleted_file_gets_no_runs_and_starts_afresh_when_it_comes_back() {
    let mut world = World::new("schedule = '@hourly'");
    world.tick("2024-06-10T10:30:00-04:00");
    assert_eq!(world.tick("2024-06-10T11:00:00-04:00"), 1);
    let path = world.home.dag_path("d");
    let text = fs::read_to_string(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(world.tick("2024-06-10T12:00:00-04:00") + world.tick("2024-06-10T14:00:00-04:00"), 0);
    fs::write(&path, text).unwrap();
    assert_eq!(world.tick("2024-06-10T15:30:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-10T16:00:00-04:00"), 1);
}

/// The case of every edit: what has run by the old schedule, what the new one is, and what then runs when.
struct Edit {
    old: &'static str,
    /// The last tick before the edit.
    at: &'static str,
    new: &'static str,
    /// When the edit is seen, and the next ticks that make runs, each with the newest run after it.
    then: &'static [(&'static str, &'static str)],
}

/// Ticks every ten minutes for ten days after the edit; the interval runs of a DAG, one after the other.
fn check_edit(edit: &Edit, catchup: bool) {
    let keys = format!("catchup = {catchup}\nstart_date = 2024-06-01\nmax_active_runs = 1000");
    let mut world = World::new(&format!("schedule = '{}'\n{keys}", edit.old));
    let time = |text: &str| format!("2024-06-{text}:00-04:00").parse::<Timestamp>().unwrap();
    let mut now = time("03T23:30");
    while now <= time(edit.at) {
        world.tick_at(now);
        now += 10.minutes();
    }
    world.edit(&format!("schedule = '{}'\n{keys}", edit.new));
    let mut made = Vec::new();
    while made.len() < edit.then.len() && now < time("30T00:00") {
        let promised = world.next_run(now);
        if world.tick_at(now) > 0 {
            made.push((now, world.intervals().pop().unwrap()));
        }
        if let Some(promised) = promised {
            assert!(promised.end > now, "{promised:?} at {now}");
        }
        now += 10.minutes();
    }
    let said = |at: Timestamp| at.to_zoned(world.zone()).strftime("%dT%H:%M").to_string();
    let made: Vec<(String, String)> =
        made.iter().map(|(at, it)| (said(*at), format!("{}..{}", said(it.start), said(it.end)))).collect();
    let expected: Vec<(String, String)> = edit.then.iter().map(|(at, it)| ((*at).into(), (*it).into())).collect();
    assert_eq!(made, expected, "{} -> {}, catchup = {catchup}", edit.old, edit.new);
}

#[test]
fn a_later_time_of_the_day_does_not_run_the_same_date_again() {
    // Seen at noon, when 10:00 has passed; and in between, when it has not.
    for at in ["05T12:00", "05T09:20"] {
        let then = &[("06T10:00", "05T10:00..06T10:00"), ("07T10:00", "06T10:00..07T10:00")];
        let edit = Edit { old: "0 9 * * *", at, new: "0 10 * * *", then };
        check_edit(&edit, false);
        check_edit(&edit, true);
    }
}

#[test]
fn an_earlier_time_of_the_day_runs_what_is_left_of_each_date() {
    let then = &[("06T09:00", "05T10:00..06T09:00"), ("07T09:00", "06T09:00..07T09:00")];
    let edit = Edit { old: "0 10 * * *", at: "05T12:00", new: "0 9 * * *", then };
    check_edit(&edit, false);
    check_edit(&edit, true);
    // From before midnight to after it: two hours are left of the fifth.
    let then = &[("06T01:00", "05T23:00..06T01:00"), ("07T01:00", "06T01:00..07T01:00")];
    check_edit(&Edit { old: "0 23 * * *", at: "05T23:10", new: "0 1 * * *", then }, false);
}

#[test]
fn the_first_interval_of_a_coarser_schedule_runs_whole() {
    let daily = &[("06T00:00", "05T00:00..06T00:00"), ("07T00:00", "06T00:00..07T00:00")];
    for (old, at) in
        [("0 */6 * * *", "05T13:00"), ("0 */6 * * *", "05T06:10"), ("@hourly", "05T00:10"), ("@hourly", "05T17:30")]
    {
        let edit = Edit { old, at, new: "@daily", then: daily };
        check_edit(&edit, false);
        check_edit(&edit, true);
    }
    let weekly = &[("09T00:00", "02T00:00..09T00:00"), ("16T00:00", "09T00:00..16T00:00")];
    let edit = Edit { old: "@daily", at: "05T12:00", new: "@weekly", then: weekly };
    check_edit(&edit, false);
    check_edit(&edit, true);
}

#[test]
fn a_finer_schedule_goes_on_where_the_coarser_one_ended() {
    let then = &[("05T10:00", "05T09:00..05T10:00"), ("05T11:00", "05T10:00..05T11:00")];
    check_edit(&Edit { old: "0 9 * * *", at: "05T09:10", new: "@hourly", then }, true);
    let then = &[("05T10:00", "05T09:30..05T10:00"), ("05T11:00", "05T10:00..05T11:00")];
    check_edit(&Edit { old: "30 9 * * *", at: "05T09:30", new: "@hourly", then }, false);
}

#[test]
fn runs_of_two_schedules_that_begin_at_the_same_time_have_ids_of_their_own() {
    let mut world = World::new("schedule = '0 */6 * * *'");
    world.tick("2024-06-05T00:30:00-04:00");
    world.tick("2024-06-05T06:00:00-04:00");
    world.edit("schedule = '@daily'");
    assert_eq!(world.tick("2024-06-05T06:10:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-06T00:00:00-04:00"), 1);
    let runs = world.store.runs(&RunFilter::default()).unwrap();
    let mut ids: Vec<&str> = runs.iter().map(|run| run.run_id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(
        ids,
        ["scheduled__2024-06-05T00:00:00-04:00", "scheduled__2024-06-05T00:00:00-04:00--2024-06-06T00:00:00-04:00"]
    );
}

#[test]
fn a_mark_ahead_of_the_clock_does_not_silence_a_dag() {
    for ahead in ["2024-07-10T12:00:00-04:00", "2034-06-10T12:00:00-04:00"] {
        for keys in ["", "\ncatchup = true\nstart_date = 2024-06-09\nmax_active_runs = 9999"] {
            let mut world = World::new(&format!("schedule = '0 7 * * *'{keys}"));
            world.tick("2024-06-10T16:00:00-04:00");
            world.tick("2024-06-11T07:00:00-04:00");
            assert!(world.tick(ahead) > 0, "one tick while the clock is ahead");
            let mut made = world.intervals();
            assert_eq!(world.tick("2024-06-11T12:00:00-04:00"), 0, "{keys}: what has run does not run again");
            let day = |day: i64| {
                let start: Timestamp = "2024-06-11T07:00:00-04:00".parse().unwrap();
                start + (24 * (day - 11)).hours()
            };
            for number in 12..16 {
                assert_eq!(world.tick_at(day(number) - 1.minute()), 0);
                world.tick_at(day(number));
                let interval = DataInterval { start: day(number - 1), end: day(number) };
                assert!(world.intervals().contains(&interval), "{keys}: {number} has its run");
                assert_eq!(world.tick_at(day(number) + 1.minute()), 0);
            }
            // When the clock comes to where it was, what was made then is there.
            made.retain(|it| it.end > day(15));
            let last = made.last().copied().unwrap();
            assert_eq!(world.fate(last, day(15)), Fate::MadeAhead);
            world.tick_at(last.end);
            assert_eq!(world.fate(last, last.end), Fate::Made);
            let count = world.intervals().len();
            let distinct: BTreeSet<(Timestamp, Timestamp)> =
                world.intervals().iter().map(|it| (it.start, it.end)).collect();
            assert_eq!(distinct.len(), count, "no interval runs twice");
        }
    }
}

#[test]
fn a_dag_that_is_first_seen_while_the_clock_is_ahead_starts_when_it_is_right() {
    let mut world = World::new("schedule = '0 7 * * *'");
    world.tick("2031-01-01T12:00:00-05:00");
    assert_eq!(world.tick("2024-06-10T16:00:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-11T07:00:00-04:00"), 1);
}

#[test]
fn a_clock_that_falls_back_by_years_makes_nothing_run_again_when_it_is_right() {
    let mut world = World::new("schedule = '0 7 * * *'\ncatchup = true\nstart_date = 2024-06-01\nmax_active_runs = 99");
    assert_eq!(world.tick("2024-06-11T12:00:00-04:00"), 10);
    // Their rows are deleted, as `keep_runs` does.
    world.sql("DELETE FROM runs WHERE data_interval_end < (SELECT max(data_interval_end) FROM runs)");
    assert_eq!(world.tick("1970-01-02T00:00:00-05:00"), 0, "a battery is empty");
    assert_eq!(world.tick("2024-06-11T12:10:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-12T07:00:00-04:00"), 1);
}

#[test]
fn a_backlog_is_made_as_there_is_room_for_it() {
    let mut world = World::new("schedule = '@hourly'\ncatchup = true\nstart_date = 2014-06-11\nmax_active_runs = 3");
    let now: Timestamp = "2024-06-11T12:00:00-04:00".parse().unwrap();
    assert_eq!(world.backlog(now), 87_684);
    assert_eq!(world.tick_at(now), 3);
    assert_eq!(world.tick_at(now), 0, "as many again as may run wait");
    world.sql("UPDATE runs SET state = 'running' WHERE id <= 2");
    assert_eq!(world.tick_at(now), 2);
    world.sql("UPDATE runs SET state = 'success'");
    assert_eq!(world.tick_at(now), 3);
    let starts: Vec<String> = world.runs().into_iter().take(8).collect();
    assert_eq!(starts[0], "06-11T00:00-04:00");
    assert_eq!(starts[7], "06-11T07:00-04:00");
    assert_eq!(world.backlog(now), 87_684 - 8);
}

#[test]
fn what_becomes_of_a_date() {
    let mut world = World::new("schedule = '0 7 * * *'\nstart_date = 2024-06-01\nend_date = 2024-06-20");
    let seen = world.time("10T16:00");
    world.tick_at(seen);
    world.tick_at(world.time("11T07:00"));
    world.tick_at(world.time("14T12:00"));
    let now = world.time("14T12:00");
    let day = |world: &World, day: u32| DataInterval {
        start: world.time(&format!("{day:02}T07:00")),
        end: world.time(&format!("{:02}T07:00", day + 1)),
    };
    let fate = |world: &World, number: u32| world.fate(day(world, number), now);
    assert_eq!(fate(&world, 10), Fate::Made);
    assert_eq!(fate(&world, 11), Fate::Never(Never::Superseded { by: day(&world, 13) }), "skipped while it was off");
    assert_eq!(fate(&world, 5), Fate::Never(Never::BeforeSeen { since: seen }));
    assert_eq!(fate(&world, 13), Fate::Made);
    assert_eq!(fate(&world, 14), Fate::Comes { at: day(&world, 14).end, place: Place::Free });
    let last = world.time("20T23:59") + 60.seconds() - 1.nanosecond();
    assert_eq!(fate(&world, 21), Fate::Never(Never::OutOfBounds(OutOfBounds::AfterEndDate(last))));
    // The start is moved back, and it is to catch up from now on.
    world.edit("schedule = '0 7 * * *'\nstart_date = 2024-05-01\ncatchup = true");
    world.tick_at(now);
    assert_eq!(fate(&world, 5), Fate::Never(Never::Passed { until: day(&world, 13).end }));
    assert_eq!(world.fate(day(&world, 14), world.time("15T07:30")), Fate::Due);
    let first = world.time("01T00:00");
    world.edit("schedule = '0 7 * * *'\nstart_date = 2024-06-01\ncatchup = true");
    assert_eq!(
        world.fate(DataInterval { start: first - 17.hours(), end: first + 7.hours() }, now),
        Fate::Never(Never::OutOfBounds(OutOfBounds::BeforeStartDate(first)))
    );
}

#[test]
fn jitter_delays_the_start_of_runs_and_not_their_dates() {
    let mut world = World::new("schedule = '0 7 * * *'\njitter = '10m'");
    world.tick("2024-06-10T16:00:00-04:00");
    let mut starts = Vec::new();
    let mut now: Timestamp = "2024-06-11T06:55:00-04:00".parse().unwrap();
    for _ in 0..4 {
        for second in (0..1200).step_by(10) {
            if world.tick_at(now + second.seconds()) > 0 {
                starts.push(second - 300);
            }
        }
        now += 24.hours();
    }
    assert_eq!(starts.len(), 4);
    assert!(starts.iter().all(|start| *start == starts[0] && (0..=600).contains(start)), "{starts:?}");
    assert_eq!(world.runs()[0], "06-10T07:00-04:00");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the moments at which ticks come (early, late, twice, backwards), with catchup each due interval has
    /// exactly one run, and without it no run is older than the newest due interval at its tick.
    #[test]
    fn exactly_one_run_per_due_interval(steps in prop::collection::vec(-90..600_i64, 1..40), catchup in any::<bool>()) {
        let mut world = World::new(&format!("schedule = '*/20 * * * *'\nstart_date = 2024-11-02\ncatchup = {catchup}\n\
             max_active_runs = 1000"));
        let first: Timestamp = "2024-11-02T00:00:00-04:00".parse().unwrap();
        let mut now = first;
        let mut latest = now;
        world.tick_at(now);
        let mut created = 0;
        for step in steps {
            now = (now + step.minutes()).max(first);
            let new = world.tick_at(now);
            latest = latest.max(now);
            prop_assert!(catchup || new <= 1);
            created += new;
        }
        let runs = world.runs();
        let mut distinct = runs.clone();
        distinct.dedup();
        prop_assert_eq!(runs.len(), created);
        prop_assert_eq!(runs.len(), distinct.len());
        if catchup {
            let due = (latest.as_second() - first.as_second()) / 1_200;
            prop_assert_eq!(i64::try_from(runs.len()).unwrap(), due);
        }
    }

    /// However a schedule is edited, no two runs have the same data, unless the later one is of a coarser schedule; and the
    /// next run that is foretold is the one that is made.
    #[test]
    fn no_edit_of_a_schedule_runs_data_twice_or_breaks_its_word(
        edits in prop::collection::vec((0..SCHEDULES.len(), 1..2_000_i64), 1..6), catchup in any::<bool>(),
    ) {
        let keys = format!("catchup = {catchup}\nmax_active_runs = 9999\nstart_date = 2024-06-01");
        let mut world = World::new(&format!("schedule = '{}'\n{keys}", SCHEDULES[0]));
        let mut now = world.time("03T12:07");
        world.tick_at(now);
        for (schedule, minutes) in edits {
            world.edit(&format!("schedule = '{}'\n{keys}", SCHEDULES[schedule]));
            world.tick_at(now);
            let end = now + minutes.minutes();
            while now < end {
                let promised = world.next_run(now).unwrap();
                now = promised.end.min(end);
                let made = world.tick_at(now);
                prop_assert_eq!(made, usize::from(promised.end == now), "{:?} at {}", promised, now);
                prop_assert!(made == 0 || world.intervals().contains(&promised));
            }
        }
        let runs = world.intervals();
        for (nth, late) in runs.iter().enumerate() {
            for early in runs[..nth].iter().filter(|early| early.overlaps(late)) {
                let longer = late.start.duration_until(late.end) > early.start.duration_until(early.end);
                prop_assert!(longer, "{early:?} and {late:?}");
            }
        }
    }
}

const SCHEDULES: &[&str] = &[
    "0 9 * * *",
    "0 10 * * *",
    "30 8 * * *",
    "0 1 * * *",
    "0 23 * * *",
    "@hourly",
    "30 * * * *",
    "0 */6 * * *",
    "@daily",
    "@weekly",
    "0 7 * * 1-5",
    "*/20 * * * *",
    "0 9,17 * * *",
];
