//! Which runs exist, given when ticks looked at the clock: the first promise, without processes and without waiting.

#![allow(clippy::unwrap_used)] // a test may fail

use std::fs;

use crondag::dag::DagId;
use crondag::home::Home;
use crondag::runner::planner::Lookout;
use crondag::runner::{catalog, planner};
use crondag::store::{DagRow, RunFilter, Store};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use tempfile::TempDir;

struct World {
    _folder: TempDir,
    home: Home,
    store: Store,
}

impl World {
    fn new(dag: &str) -> World {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("dags")).unwrap();
        fs::write(folder.path().join("crondag.toml"), "timezone = 'America/New_York'\n").unwrap();
        fs::write(folder.path().join("dags/d.toml"), format!("{dag}\n[tasks.a]\nshell = 'true'\n")).unwrap();
        let home = Home::at(folder.path());
        home.make_state_dir().unwrap();
        let store = Store::open(&home.database_path()).unwrap();
        World { _folder: folder, home, store }
    }

    fn tick(&mut self, at: &str) -> usize {
        self.tick_at(at.parse().unwrap())
    }

    fn tick_at(&mut self, now: Timestamp) -> usize {
        let (config, _) = catalog::load_config(&self.home).unwrap();
        planner::plan(&self.home, &mut self.store, &config, now).unwrap().created
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
    // Edited, triggered and broken between two looks.
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
fn a_lookout_sends_nobody_for_nothing_and_misses_nothing() {
    let mut world = World::new("schedule = '0 7 * * *'\nstart_date = 2024-01-01");
    for number in 1..100 {
        let path = world.home.dags_dir().join(format!("d{number}.toml"));
        fs::write(path, "schedule = '0 9 * * *'\n[tasks.a]\nshell = 'true'\n").unwrap();
    }
    let (config, _) = catalog::load_config(&world.home).unwrap();
    let mut lookout = Lookout::default();
    let at = |time: &str| format!("2024-06-11T{time}-04:00").parse::<Timestamp>().unwrap();
    let mut look = |world: &mut World, time: &str| {
        assert!(lookout.is_worth_a_look(&world.store, at(time)), "{time}");
        let created = lookout.look(&world.home, &mut world.store, &config, at(time)).unwrap().created;
        let is_worth_another = lookout.is_worth_a_look(&world.store, at(time));
        (created, is_worth_another)
    };
    assert_eq!(look(&mut world, "06:00:00"), (0, true), "what was written may hold something due");
    assert_eq!(look(&mut world, "06:00:00"), (0, false));
    assert_eq!(look(&mut world, "06:00:02"), (0, false), "a hundred files are left alone for two seconds");
    assert_eq!(look(&mut world, "05:00:00"), (0, false), "the clock was set back");
    assert_eq!(look(&mut world, "06:59:59"), (0, false));
    assert_eq!(look(&mut world, "07:00:00"), (1, true), "due before the files are");
    assert_eq!(look(&mut world, "07:00:00"), (0, false));
    let mut other = Store::open(&world.home.database_path()).unwrap();
    let write = other.write().unwrap();
    write.set_meta("somebody", "wrote").unwrap();
    write.commit().unwrap();
    assert_eq!(look(&mut world, "07:00:01"), (0, false), "another process wrote");
    for time in ["07:00:01", "07:00:02", "07:00:02.999"] {
        assert!(!lookout.is_worth_a_look(&world.store, at(time)), "{time}");
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

#[test]
fn a_changed_schedule_counts_from_the_newest_run_on() {
    let mut world = World::new("schedule = '0 7 * * *'\ncatchup = true\nstart_date = 2024-06-01");
    assert_eq!(world.tick("2024-06-03T08:00:00-04:00"), 2);
    fs::write(
        world.home.dag_path("d"),
        "schedule = '0 9 * * *'\ncatchup = true\nstart_date = 2024-06-01\n[tasks.a]\nshell = 'true'\n",
    )
    .unwrap();
    assert_eq!(world.tick("2024-06-03T08:30:00-04:00"), 0);
    assert_eq!(world.tick("2024-06-03T09:00:00-04:00"), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Whatever the moments at which ticks look (early, late, twice, backwards), with catchup each due interval has
    /// exactly one run, and without it no run is older than the newest due interval at its tick.
    #[test]
    fn exactly_one_run_per_due_interval(steps in prop::collection::vec(-90..600_i64, 1..40), catchup in any::<bool>()) {
        let mut world = World::new(&format!("schedule = '*/20 * * * *'\nstart_date = 2024-11-02\ncatchup = {catchup}"));
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
}
