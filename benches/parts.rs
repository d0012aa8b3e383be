//! The parts that an attempt and a tick are made of, one by one. Whole processes are measured by `run.sh`.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a bench may fail
#![allow(missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use crondag::dag::file::read_dag;
use crondag::dag::schedule::{DataInterval, Schedule};
use crondag::dag::template::{Renderer, Scope, Secrets};
use crondag::dag::{Config, Dag, DagId, RunNumber, RunState, RunType, TaskId, TaskState, Transition};
use crondag::runner::engine::{Binding, Effect, Engine, Event, Limits, Outcome, Past, Plan, RunInput};
use crondag::store::{NewRun, Store};
use divan::{Bencher, black_box};
use jiff::{Timestamp, tz::TimeZone};

fn main() {
    divan::main();
}

/// A file of tasks in layers of ten, each after the one above it.
fn text(tasks: usize) -> String {
    let mut text = "schedule = '0 7 * * *'\ntimezone = 'Europe/Berlin'\nmax_active_tasks = 10000\n".to_owned();
    for task in 0..tasks {
        writeln!(text, "[tasks.t{task}]\nshell = 'echo {{{{ ds }}}} {{{{ macros.ds_add(ds, -30) }}}}'").unwrap();
        if task >= 10 {
            writeln!(text, "after = ['t{}']", task - 10).unwrap();
        }
    }
    text
}

fn read(text: &str) -> Dag {
    read_dag("d", text, &Config::default(), &|_| true).0.expect("a good file")
}

#[divan::bench(args = [10, 1_000])]
fn read_dag_file(bencher: Bencher<'_, '_>, tasks: usize) {
    let text = text(tasks);
    bencher.bench(|| read(black_box(&text)));
}

#[divan::bench(args = ["0 7 * * *", "*/5 * * * 1-5", "0 0 29 2 *"])]
fn next_fire(bencher: Bencher<'_, '_>, schedule: &str) {
    let schedule = Schedule::parse(schedule).unwrap();
    let zone = TimeZone::get("Europe/Berlin").unwrap();
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    bencher.bench(|| schedule.next_fire(black_box(now), &zone));
}

#[divan::bench]
fn render_command(bencher: Bencher<'_, '_>) {
    let dag = read(&text(1));
    let interval = DataInterval {
        start: Timestamp::from_second(1_700_000_000).unwrap(),
        end: Timestamp::from_second(1_700_086_400).unwrap(),
    };
    let nothing = BTreeMap::new();
    bencher.bench(|| {
        let scope = Scope {
            dag: &dag,
            task: &dag.tasks[0],
            interval,
            run_type: RunType::Scheduled,
            run_id: "scheduled__2023-11-14",
            try_number: 1,
            params: &nothing,
            vars: &nothing,
        };
        Renderer::new(&scope, Secrets::none()).render("echo {{ ds }} {{ macros.ds_add(ds, -30) }}").unwrap()
    });
}

/// All steps of a run, from its start to its end.
#[divan::bench(args = [10, 1_000])]
fn engine_run(bencher: Bencher<'_, '_>, tasks: usize) {
    let dag = Arc::new(read(&text(tasks)));
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    bencher.bench(|| {
        let mut engine = Engine::new();
        engine.step(Event::Limits(Limits { parallelism: 8, pools: BTreeMap::new().into_iter().collect() }), now);
        engine.step(Event::Plan(Plan::new(dag.clone(), 1)), now);
        let run = RunInput {
            number: RunNumber(1),
            dag_id: dag.id.clone(),
            run_type: RunType::Scheduled,
            interval: DataInterval { start: now, end: now },
            state: RunState::Queued,
            started_at: None,
            backfill: None,
            selection: None,
            plan: Binding::Newest,
            tasks: Vec::new(),
            past: Past::default(),
            is_awaited: false,
            is_reopened: false,
        };
        let mut effects: std::collections::VecDeque<Effect> = engine.step(Event::Runs(vec![run]), now).into();
        let mut ended = 0;
        while let Some(effect) = effects.pop_front() {
            if let Effect::Start(start) = effect {
                let task = dag.tasks[start.task].id.clone();
                let end = Event::AttemptEnded {
                    run: start.run,
                    task,
                    try_number: start.try_number,
                    outcome: Outcome::Success,
                };
                effects.extend(engine.step(end, now));
                ended += 1;
            }
        }
        assert_eq!(ended, tasks);
    });
}

/// One durable transaction, as for the end of a task and the start of the next.
#[divan::bench]
fn store_transitions(bencher: Bencher<'_, '_>) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let mut store = Store::open(&folder.path().join("db")).unwrap();
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let (dag_id, tasks) = (DagId::new("d").unwrap(), 1_000_u32);
    let name = |number: u32| TaskId::new(format!("t{number}")).unwrap();
    let write = store.write().unwrap();
    let run = NewRun {
        dag_id: dag_id.clone(),
        run_id: "r".to_owned(),
        run_type: RunType::Scheduled,
        logical_date: now,
        data_interval_end: now,
        params: BTreeMap::new(),
        selection: None,
        backfill_id: None,
    };
    let number = write.create_run(&run, now).unwrap().unwrap();
    let version = write.keep_version(&dag_id, "", now).unwrap();
    let all = (0..tasks).map(|task| (name(task), 1)).collect();
    write.apply(&Transition::RunStarted { run: number, version, tasks: all }, now).unwrap();
    write.commit().unwrap();
    let mut next = 0;
    bencher.bench_local(|| {
        let write = store.write().unwrap();
        let (ended, started) = (name(next % tasks), name((next + 1) % tasks));
        next += 1;
        write
            .apply(
                &Transition::TaskEnded {
                    run: number,
                    task: ended,
                    state: TaskState::Success,
                    reason: None,
                    awaited: None,
                    cut_off: false,
                },
                now,
            )
            .unwrap();
        let start = Transition::TaskStarted { run: number, task: started, try_number: 1 };
        write.apply(&start, now).unwrap();
        write.commit().unwrap();
    });
}
