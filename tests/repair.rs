//! What an order says that it will start is what it starts, for random DAGs that somebody has edited since the run.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use common::{Home, until};
use crondag::dag::{DagId, TaskState};
use crondag::store::RunFilter;
use proptest::prelude::*;
use proptest::sample::select;

/// A task: whom it waits for, of all tasks with a smaller number, its trigger rule, and its exit status from then on.
#[derive(Debug, Clone)]
struct Task {
    after: u8,
    rule: &'static str,
    exits: u8,
}

/// The tasks of a DAG by number: an edit may take some out and bring others in.
type Tasks = BTreeMap<u8, Task>;

fn tasks(fates: &'static [u8]) -> impl Strategy<Value = Tasks> {
    let rules = select(&["all_success", "all_success", "all_done", "one_success", "none_failed"][..]);
    let task = (any::<u8>(), rules, select(fates)).prop_map(|(after, rule, exits)| Task { after, rule, exits });
    proptest::collection::btree_map(0..7u8, task, 2..=6)
}

fn file(tasks: &Tasks) -> String {
    let mut text = String::new();
    for (number, Task { after, rule, .. }) in tasks {
        let upstream: Vec<String> = tasks
            .keys()
            .filter(|other| *other < number && after >> *other & 1 == 1)
            .map(|n| format!("'t{n}'"))
            .collect();
        writeln!(text, "[tasks.t{number}]\nafter = [{}]\ntrigger_rule = '{rule}'", upstream.join(", ")).unwrap();
        writeln!(text, "shell = 'echo t{number} >> ran; exit $(cat fates/t{number})'").unwrap();
    }
    text
}

/// What is typed, up to the DAG and its run.
#[derive(Debug, Clone)]
enum Order {
    Clear(&'static str),
    ClearTask(usize, &'static str),
    Backfill(&'static str),
    BackfillOnly(usize, &'static str),
}

fn order() -> impl Strategy<Value = Order> {
    let rerun = || select(&["", "--rerun failed", "--rerun only-failed", "--rerun all"][..]);
    prop_oneof![
        select(&["", "--failed", "--only-failed"][..]).prop_map(Order::Clear),
        (0..8usize, select(&["", "--only", "--upstream", "--failed"][..]))
            .prop_map(|(task, how)| Order::ClearTask(task, how)),
        rerun().prop_map(Order::Backfill),
        (0..8usize, select(&["", "--rerun failed", "--rerun all", "--downstream", "--downstream --rerun all"][..]))
            .prop_map(|(task, how)| Order::BackfillOnly(task, how)),
    ]
}

const RANGE: &str = "-s 2024-01-01 -e 2024-01-01 d";

impl Order {
    fn command(&self, tasks: &Tasks) -> String {
        let name = |at: &usize| format!("t{}", tasks.keys().nth(at % tasks.len()).unwrap());
        match self {
            Order::Clear(how) => format!("clear d 2024-01-01 {how}"),
            Order::ClearTask(task, how) => format!("clear d 2024-01-01 --task {} {how}", name(task)),
            Order::Backfill(how) => format!("backfill {RANGE} {how}"),
            Order::BackfillOnly(task, how) => format!("backfill {RANGE} --only {} {how}", name(task)),
        }
    }
}

/// A home with a run of a DAG.
struct Night {
    home: Home,
}

impl Night {
    fn use_file(&self, tasks: &Tasks) {
        self.home.write("dags/d.toml", format!("schedule = '@daily'\n{}", file(tasks)));
        for (number, task) in tasks {
            self.home.write(&format!("fates/t{number}"), task.exits.to_string());
        }
    }

    /// The tasks that the order says it would start.
    fn listed(&self, command: &str) -> BTreeSet<String> {
        if command.starts_with("backfill") {
            let runs = self.home.json(&format!("{command} --dry-run --json"));
            let names = |key: &str| runs[0][key].as_array().cloned().unwrap_or_default();
            return names("clear").iter().chain(&names("add")).map(|name| name.as_str().unwrap().to_owned()).collect();
        }
        let out = self.home.run(command).out();
        let of_table = out.lines().skip_while(|line| !line.starts_with("task ")).skip(1);
        of_table
            .take_while(|line| line.starts_with('t') && !line.starts_with("they"))
            .map(|line| line.split(' ').next().unwrap().to_owned())
            .collect()
    }

    fn carry_out(&self, command: &str) {
        let yes = if command.starts_with("clear") { " -y" } else { "" };
        self.home.run(&format!("{command}{yes}"));
        let store = self.home.store();
        until("the run has ended", || {
            let runs = store.runs(&RunFilter::default()).unwrap();
            !store.has_intents_until(i64::MAX).unwrap()
                && runs.iter().all(|run| run.state.is_final())
                && !store.has_open_attempts().unwrap()
        });
    }

    /// The state of each task instance, and all that is recorded of it.
    fn instances(&self) -> BTreeMap<String, (TaskState, String)> {
        let store = self.home.store();
        let filter = RunFilter { dag_id: Some(DagId::new("d").unwrap()), ..RunFilter::default() };
        let run = store.runs(&filter).unwrap().pop().unwrap();
        store
            .task_instances(run.number)
            .unwrap()
            .into_iter()
            .map(|task| (task.task_id.to_string(), (task.state, format!("{task:?}"))))
            .collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_order_starts_what_it_has_listed_and_nothing_else(
        before in tasks(&[0, 0, 0, 1, 99]),
        after in tasks(&[0, 0, 0, 0, 1]),
        only in proptest::option::weighted(0.3, 0..8usize),
        is_edited in any::<bool>(),
        order in order(),
    ) {
        let night = Night { home: Home::new().folder("fates").has_ticked() };
        night.use_file(&before);
        night.carry_out(&match only {
            None => format!("backfill {RANGE}"),
            Some(task) => Order::BackfillOnly(task, "").command(&before),
        });
        let was = night.instances();
        let now = if is_edited { after } else { before };
        night.use_file(&now);
        night.home.write("ran", "");
        let command = order.command(&now);
        let listed = night.listed(&command);
        night.carry_out(&command);
        let started: Vec<String> = night.home.lines("ran");
        let is = night.instances();
        let all = format!("{command}: listed {listed:?}, started {started:?}\nwas {was:?}\nis {is:?}\n{}", file(&now));
        prop_assert!(started.iter().all(|task| listed.contains(task)), "not listed: {all}");
        for task in &listed {
            let state = is.get(task).map(|(state, _)| *state);
            let is_kept_back = matches!(state, Some(TaskState::UpstreamFailed | TaskState::Skipped));
            prop_assert!(started.contains(task) || is_kept_back, "{task} did not start: {all}");
        }
        // What the file no longer has is `removed` where the whole run begins again.
        let in_file = |task: &str| now.keys().any(|number| task == format!("t{number}"));
        for (task, instance) in was.iter().filter(|(task, _)| !listed.contains(*task) && in_file(task)) {
            prop_assert_eq!(is.get(task), Some(instance), "{} was not listed: {}", task, &all);
        }
        for task in is.keys().filter(|task| !was.contains_key(*task)) {
            prop_assert!(listed.contains(task), "{} is new: {}", task, all);
        }
        night.home.is_sound();
    }
}
