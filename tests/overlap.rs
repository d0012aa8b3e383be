//! `overlap`: what becomes of a scheduled run that is due while another one of its DAG is going on, as people see it.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod common;

use common::{Home, until};
use crondag::dag::{DagId, RunType};
use crondag::store::{DagRow, NewRun, Store};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

/// A home in which the run of the day before yesterday is going on, and yesterday's has just become due.
struct Night {
    home: Home,
    days: [Date; 2],
}

impl Night {
    fn of(overlap: &str) -> Night {
        let today = Timestamp::now().strftime("%Y-%m-%d").to_string().parse::<Date>().unwrap();
        let days = [today - 2.days(), today - 1.day()];
        let [first, last] = days;
        // Nothing becomes due at midnight.
        let dag = format!(
            "schedule = '@daily'\nend_date = {last}\noverlap = '{overlap}'\n[tasks.a]\nshell = '''\necho {{{{ ds }}}} >> began\n\
             until [ -e go ]; do sleep 0.02; done\necho {{{{ ds }}}} >> ended\n'''\n"
        );
        let home = Home::new().dag("d", dag);
        let night = Night { home, days };
        let start: Timestamp = format!("{first}T00:00:00Z").parse().unwrap();
        night.write(|store, dag_id| {
            let write = store.write().unwrap();
            let run = NewRun {
                dag_id: dag_id.clone(),
                run_id: format!("scheduled__{first}"),
                run_type: RunType::Scheduled,
                logical_date: start,
                data_interval_end: start + 24.hours(),
                params: [].into(),
                selection: None,
                backfill_id: None,
            };
            write.create_run(&run, Timestamp::now()).unwrap();
            write.commit().unwrap();
        });
        night.home.run("tick").success();
        until("the first run is going on", || night.began() == [first.to_string()]);
        // As if the DAG had been there for days, and the night had just passed.
        night.write(|store, dag_id| {
            let write = store.write().unwrap();
            let row = write.dag(dag_id).unwrap().unwrap();
            let row = DagRow { schedule_from: start, next_fire_at: Some(start + 48.hours()), ..row };
            write.put_dag(&row).unwrap();
            write.commit().unwrap();
        });
        night.home.run("tick").success();
        night
    }

    fn write(&self, what: impl FnOnce(&mut Store, &DagId)) {
        what(&mut self.home.store(), &DagId::new("d").unwrap());
    }

    fn began(&self) -> Vec<String> {
        self.home.so_far("began").lines().map(str::to_owned).collect()
    }

    /// The states of both runs, the older one first, with what is said of them.
    fn runs(&self) -> Vec<(String, String)> {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        let mut runs = self.home.json("runs d --json");
        runs.sort_by_key(|run| text(&run["logical_date"]));
        runs.iter().map(|run| (text(&run["state"]), text(&run["reason"]))).collect()
    }

    fn states(&self) -> Vec<String> {
        self.runs().into_iter().map(|(state, _)| state).collect()
    }

    fn ends_as(&self, states: [&str; 2]) {
        self.home.write("go", "");
        until("both runs have ended", || self.states() == states);
        self.home.is_sound();
    }
}

#[test]
fn wait_lets_the_run_that_is_due_begin_when_the_other_is_over() {
    let night = Night::of("wait");
    let [first, second] = night.days;
    until("the second run is there", || night.states() == ["running", "queued"]);
    let said = night.home.json(&["explain", "d", &second.to_string(), "--json"]);
    let words = format!(
        "{second} 00:00 +00:00 is queued: scheduled runs take turns (overlap), and that of {first} 00:00 +00:00 is going on"
    );
    assert_eq!(said[0]["reason"], words);
    assert_eq!(night.began(), [first.to_string()]);
    night.ends_as(["success", "success"]);
    assert_eq!(night.home.lines("ended"), [first.to_string(), second.to_string()]);
}

#[test]
fn skip_leaves_the_run_out_that_is_due() {
    let night = Night::of("skip");
    until("the second run is skipped", || night.states() == ["running", "skipped"]);
    let reason = &night.runs()[1].1;
    assert!(reason.starts_with("overlap = \"skip\""), "{reason}");
    night.ends_as(["success", "skipped"]);
    assert_eq!(night.began(), [night.days[0].to_string()]);
}

#[test]
fn replace_stops_the_run_that_is_going_on() {
    let night = Night::of("replace");
    until("the second run is going on", || night.began().len() == 2);
    assert_eq!(night.states(), ["skipped", "running"]);
    let reason = &night.runs()[0].1;
    assert!(reason.starts_with("overlap = \"replace\""), "{reason}");
    night.ends_as(["skipped", "success"]);
    assert_eq!(night.home.lines("ended"), [night.days[1].to_string()]);
}

#[test]
fn allow_lets_both_go_on_at_once() {
    let night = Night::of("allow");
    until("both are going on", || night.began().len() == 2);
    assert_eq!(night.states(), ["running", "running"]);
    night.ends_as(["success", "success"]);
}
