//! `crondag backfill`: asks for every interval of a range, and watches. The driver does the work; this process may be
//! killed without harm.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::context::Global;
use crate::app::App;

use super::error::CliError;
use super::output::Page;
use super::params;
use crate::app::select;
use crate::app::times::{minute, rfc3339};
use crate::dag::schedule::{DataInterval, Timetable};
use crate::dag::units::format_duration;
use crate::dag::{Dag, RunNumber, RunState, RunType, TaskId, TaskState};
use crate::runner::{client, planner};
use crate::store::{Intent, NewRun, Progress, Rerun as RerunIntent, RunRow, Store};

/// Options of `backfill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag backfill -s 2018-07-01 -e 2018-07-07 userprofile\n  \
                        crondag backfill -s 20180701 -e 20180731 userprofile --rerun failed --max-active-runs 3")]
#[allow(clippy::struct_excessive_bools)] // they are flags
pub struct Args {
    /// The DAG
    dag: String,
    /// First logical date
    #[arg(short, long, value_name = "DATE")]
    start: String,
    /// Last logical date, included
    #[arg(short, long, value_name = "DATE")]
    end: String,
    /// Which intervals that have a run already are done again
    #[arg(long, default_value = "none")]
    rerun: Rerun,
    /// Show the intervals and tasks that would run, and stop
    #[arg(long)]
    dry_run: bool,
    /// Only these tasks
    #[arg(long, value_name = "TASK", value_delimiter = ',')]
    only: Vec<String>,
    /// With --only: also everything that they wait for
    #[arg(long, requires = "only")]
    upstream: bool,
    /// With --only: also everything that waits for them
    #[arg(long, requires = "only")]
    downstream: bool,
    /// How many runs of this backfill may go on at once [default: that of the DAG]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_active_runs: Option<u32>,
    /// Newest first
    #[arg(long)]
    reverse: bool,
    /// Override a param of the DAG
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

/// Which intervals that have a run already are done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rerun {
    /// None of them: they are left alone
    None,
    /// Those that failed: their failed tasks and what these blocked
    Failed,
    /// All of them, from the beginning
    All,
}

/// How often the database is looked at while a backfill goes on.
const LOOK: Duration = Duration::from_millis(40);
/// Looking may take at most this share of the time: what is watched needs the machine.
const SHARE: u32 = 20;
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// How often it is made sure that a driver lives.
const DRIVER_LOOK: Duration = Duration::from_secs(2);

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag = app.dag(&args.dag)?;
    let intervals = intervals(args, &dag)?;
    let selection = selection(args, &dag)?;
    let params = params::parse(&dag, &args.params)?;
    if args.reverse && dag.tasks.iter().any(|task| task.depends_on_past) {
        return Err(CliError::usage(
            format!("{} cannot run newest first: it has tasks with depends_on_past", dag.id),
            "leave --reverse out",
        ));
    }
    if args.dry_run {
        return dry_run(args, &app, &dag, &intervals, selection.as_deref());
    }
    let mut store = app.store_for_writing()?;
    let plan = Plan { args, dag: &dag, intervals: &intervals, selection: selection.as_deref(), params: &params };
    let asked = plan.ask(&app, &mut store)?;
    if !asked.left_alone.is_empty() {
        let hint = if args.rerun == Rerun::None { "; --rerun failed or --rerun all does them again" } else { "" };
        eprintln!(
            "left alone: {} of {} intervals have a run that ended{hint}",
            asked.left_alone.len(),
            intervals.len()
        );
    }
    if asked.waiting == 0 {
        println!("nothing to do: all {} of {} ended before", runs(intervals.len()), dag.id);
        return verdict(&store, &asked.left_alone);
    }
    client::wake(&app.home)?;
    watch(&app, &dag, &store, &asked, args)
}

fn intervals(args: &Args, dag: &Dag) -> Result<Vec<DataInterval>, CliError> {
    let zone = &dag.timezone;
    let from = select::date(&args.start, zone)?.first_instant(zone);
    let to = select::date(&args.end, zone)?.last_instant(zone);
    if to < from {
        return Err(CliError::usage(
            format!("the range ends ({}) before it starts ({})", args.end, args.start),
            "swap -s and -e; both ends are included",
        ));
    }
    let intervals: Vec<DataInterval> = Timetable::of(dag).intervals_from(from, to).take(100_001).collect();
    match intervals.len() {
        0 => Err(CliError::usage(
            format!("no data interval of {} starts from {} to {}", dag.id, args.start, args.end),
            format!("crondag next {} shows when intervals start", dag.id),
        )),
        100_001 => Err(CliError::usage("the range has more than 100,000 intervals", "do it in parts")),
        _ => Ok(intervals),
    }
}

/// The tasks of `--only`, in the order of the file; `None` means all.
fn selection(args: &Args, dag: &Dag) -> Result<Option<Vec<TaskId>>, CliError> {
    if args.only.is_empty() {
        return Ok(None);
    }
    let mut wanted = BTreeSet::new();
    for name in &args.only {
        let index = select::task(dag, name)?;
        wanted.insert(index);
        if args.upstream {
            wanted.extend(dag.graph.ancestors(index));
        }
        if args.downstream {
            wanted.extend(dag.graph.descendants(index));
        }
    }
    Ok(Some(wanted.into_iter().map(|index| dag.tasks[index].id.clone()).collect()))
}

fn dry_run(
    args: &Args,
    app: &App,
    dag: &Dag,
    intervals: &[DataInterval],
    selection: Option<&[TaskId]>,
) -> Result<ExitCode, CliError> {
    let mut page = Page::new();
    let store = app.store()?;
    let mut would = 0;
    for interval in ordered(intervals, args.reverse) {
        let known = match &store {
            Some(store) => store.interval_run(&dag.id, interval)?,
            None => None,
        };
        let (what, runs) = match &known {
            None => ("would run".to_owned(), true),
            Some(run) if !run.state.is_final() => (format!("is {}; would be taken up", run.state), true),
            Some(run) if does_again(args.rerun, run) => (format!("{}; would run again", run.state), true),
            Some(run) => (format!("{}; left alone", run.state), false),
        };
        would += usize::from(runs);
        page.line(format!("{}  {what}", minute(interval.start, &dag.timezone)));
    }
    let order = dag.graph.order().iter().map(|&index| &dag.tasks[index].id);
    let tasks: Vec<&str> =
        order.filter(|id| selection.is_none_or(|only| only.contains(id))).map(TaskId::as_str).collect();
    page.gap();
    page.line(format!("{} of {} tasks: {}", runs(would), tasks.len(), tasks.join(" ")));
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

fn ordered(intervals: &[DataInterval], is_reverse: bool) -> Vec<DataInterval> {
    if is_reverse { intervals.iter().rev().copied().collect() } else { intervals.to_vec() }
}

fn does_again(rerun: Rerun, run: &RunRow) -> bool {
    match rerun {
        Rerun::None => false,
        Rerun::Failed => run.state == RunState::Failed,
        Rerun::All => true,
    }
}

struct Plan<'a> {
    args: &'a Args,
    dag: &'a Dag,
    intervals: &'a [DataInterval],
    selection: Option<&'a [TaskId]>,
    params: &'a std::collections::BTreeMap<String, Value>,
}

struct Asked {
    backfill: i64,
    /// Runs that this backfill waits for.
    waiting: usize,
    /// The newest intent: until it is carried out, states are those of yesterday.
    last_intent: i64,
    left_alone: Vec<RunNumber>,
}

impl Plan<'_> {
    /// Creates runs and intents in one transaction.
    fn ask(&self, app: &App, store: &mut Store) -> Result<Asked, CliError> {
        let now = app.now;
        // Task instances are read before the write lock is taken; the driver decides by its own, newer view anyway.
        let mut failed_tasks = std::collections::HashMap::new();
        if self.args.rerun == Rerun::Failed {
            for interval in self.intervals {
                if let Some(run) = store.interval_run(&self.dag.id, *interval)?
                    && run.state == RunState::Failed
                {
                    failed_tasks.insert(run.number, self.failed(store, &run)?);
                }
            }
        }
        let write = store.write()?;
        app.keep_version(&write, self.dag)?;
        let backfill = write.create_backfill(&self.dag.id, self.args.max_active_runs, self.args.reverse, now)?;
        let mut asked = Asked { backfill, waiting: 0, last_intent: 0, left_alone: Vec::new() };
        for interval in self.intervals {
            let run = NewRun {
                dag_id: self.dag.id.clone(),
                run_id: planner::run_id(RunType::Backfill, interval.start, &self.dag.timezone),
                run_type: RunType::Backfill,
                logical_date: interval.start,
                data_interval_end: interval.end,
                params: self.params.clone(),
                selection: self.selection.map(<[TaskId]>::to_vec),
                backfill_id: Some(backfill),
            };
            if write.create_run(&run, now)?.is_some() {
                asked.waiting += 1;
                continue;
            }
            let Some(known) = write.interval_run(&self.dag.id, *interval)? else { continue };
            let widens = known.selection.is_some() && self.widened(&known) != known.selection;
            if known.state.is_final() && !does_again(self.args.rerun, &known) && !widens {
                asked.left_alone.push(known.number);
                continue;
            }
            let mut rerun = RerunIntent {
                run: known.number,
                clear: Vec::new(),
                clear_all: false,
                backfill: Some(backfill),
                selection: self.widened(&known),
                params: known.params.clone(),
            };
            rerun.params.extend(self.params.clone());
            match (self.args.rerun, self.selection) {
                (Rerun::All, None) if known.state.is_final() => rerun.clear_all = true,
                (Rerun::All, Some(only)) if known.state.is_final() => rerun.clear = only.to_vec(),
                (Rerun::Failed, _) => rerun.clear = failed_tasks.remove(&known.number).unwrap_or_default(),
                _ => {}
            }
            // Counted by the backfill from now on, not only when the driver gets to it.
            write.assign_run(known.number, Some(backfill), known.selection.as_deref(), &known.params)?;
            asked.last_intent = write.ask(&Intent::Rerun(rerun), now)?;
            asked.waiting += 1;
        }
        write.commit()?;
        Ok(asked)
    }

    /// What the run had been asked to do, and what it is asked to do now.
    fn widened(&self, run: &RunRow) -> Option<Vec<TaskId>> {
        let (before, now) = (run.selection.as_ref()?, self.selection?);
        let mut all = before.clone();
        all.extend(now.iter().filter(|task| !before.contains(task)).cloned());
        Some(all)
    }

    fn failed(&self, store: &Store, run: &RunRow) -> Result<Vec<TaskId>, CliError> {
        let mut clear = BTreeSet::new();
        for task in store.task_instances(run.number)? {
            if matches!(task.state, TaskState::Failed | TaskState::UpstreamFailed)
                && let Some(index) = self.dag.task_index(task.task_id.as_str())
            {
                clear.insert(index);
                clear.extend(self.dag.graph.descendants(index));
            }
        }
        let chosen = clear.into_iter().map(|index| self.dag.tasks[index].id.clone());
        Ok(chosen.filter(|task| self.selection.is_none_or(|only| only.contains(task))).collect())
    }
}

/// 0 when none of the runs failed.
fn verdict(store: &Store, runs: &[RunNumber]) -> Result<ExitCode, CliError> {
    for number in runs {
        if store.run(*number)?.is_some_and(|run| run.state == RunState::Failed) {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

// ---- watching --------------------------------------------------------------------------------------------------------

fn watch(app: &App, dag: &Dag, store: &Store, asked: &Asked, args: &Args) -> Result<ExitCode, CliError> {
    let interrupts = Arc::new(AtomicUsize::new(0));
    let counter = interrupts.clone();
    let unwatched = |error: io::Error| {
        CliError::environment(
            format!("cannot watch for Ctrl-C: {error}"),
            "what you asked for is recorded and runs; check the limits (`ulimit -a`), then type the same again to watch",
        )
    };
    let mut signals = Signals::new([SIGINT]).map_err(unwatched)?;
    let count = move || {
        for _ in signals.forever() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::Builder::new().name("ctrl-c".to_owned()).spawn(count).map_err(unwatched)?;
    let mut view = View::new(dag, asked.waiting);
    let mut writer = Store::open(store.path())?;
    let mut handled = 0;
    let mut looked_at_driver = Instant::now();
    loop {
        let began = Instant::now();
        let progress = store.backfill_progress(asked.backfill)?;
        let is_read = !store.has_intents_until(asked.last_intent)?;
        view.show(&progress);
        let is_over = is_read && progress.iter().all(|run| run.state.is_final());
        if is_over {
            return closing(dag, &view, &progress, args);
        }
        if handled > 0
            && is_read
            && progress.iter().all(|run| run.tasks.running == 0)
            && !store.has_intents_until(i64::MAX)?
        {
            return Ok(interrupted(dag, &view, &progress, args));
        }
        let pressed = interrupts.load(Ordering::SeqCst);
        if pressed > handled {
            let intent = if handled == 0 {
                view.say("interrupted: running tasks end, nothing new starts; Ctrl-C again stops them");
                Intent::HoldBackfill { backfill: asked.backfill, hold: true }
            } else {
                view.say("stopping the running tasks");
                Intent::StopBackfill { backfill: asked.backfill }
            };
            handled += 1;
            let write = writer.write()?;
            write.ask(&intent, Timestamp::now())?;
            write.commit()?;
            client::wake(&app.home)?;
        }
        if looked_at_driver.elapsed() > DRIVER_LOOK {
            // The driver may have been killed; with cron the next tick would start another one.
            client::wake_if_needed(&app.home, store)?;
            looked_at_driver = Instant::now();
        }
        thread::sleep((began.elapsed() * SHARE).clamp(LOOK, LONGEST_PAUSE));
    }
}

/// Progress bars on a terminal, plain lines elsewhere.
struct View<'a> {
    dag: &'a Dag,
    started: Instant,
    is_terminal: bool,
    bars: MultiProgress,
    total: ProgressBar,
    active: std::collections::BTreeMap<RunNumber, ProgressBar>,
    told: BTreeSet<RunNumber>,
}

impl<'a> View<'a> {
    fn new(dag: &'a Dag, runs: usize) -> View<'a> {
        let is_terminal = io::stderr().is_terminal();
        let bars = MultiProgress::new();
        let total = bars.add(ProgressBar::new(runs as u64));
        let style = ProgressStyle::with_template("{prefix:<26} {bar:30} {pos}/{len} runs, {msg}");
        total.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━ "));
        total.set_prefix(dag.id.to_string());
        View {
            dag,
            started: Instant::now(),
            is_terminal,
            bars,
            total,
            active: std::collections::BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    fn say(&self, text: &str) {
        if self.is_terminal {
            // Without a terminal indicatif would print nothing at all.
            let _ = self.bars.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    fn show(&mut self, progress: &[Progress]) {
        let done = progress.iter().filter(|run| run.state.is_final()).count();
        let failed = progress.iter().filter(|run| run.state == RunState::Failed).count();
        for run in progress {
            if run.state.is_final() && self.told.insert(run.number) {
                if let Some(bar) = self.active.remove(&run.number) {
                    bar.finish_and_clear();
                    self.bars.remove(&bar);
                }
                if !self.is_terminal {
                    let now = Timestamp::now().to_zoned(self.dag.timezone.clone()).strftime("%H:%M:%S").to_string();
                    let date = minute(run.logical_date, &self.dag.timezone);
                    eprintln!("{now}  {} {date} {} ({done} of {} runs)", self.dag.id, run.state, progress.len());
                } else if run.state == RunState::Failed {
                    self.say(&format!("{} {} failed", self.dag.id, minute(run.logical_date, &self.dag.timezone)));
                }
            }
        }
        if !self.is_terminal {
            return;
        }
        for run in progress.iter().filter(|run| run.state == RunState::Running) {
            let bar = self.active.entry(run.number).or_insert_with(|| {
                let bar = self.bars.insert_before(&self.total, ProgressBar::new(1));
                let style = ProgressStyle::with_template("  {prefix:<24} {bar:30} {pos}/{len} tasks {msg}");
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━ "));
                bar.set_prefix(minute(run.logical_date, &self.dag.timezone));
                bar
            });
            bar.set_length(u64::from(run.tasks.total));
            bar.set_position(u64::from(run.tasks.ended));
            bar.set_message(format!("{} running, {} failed", run.tasks.running, run.tasks.failed));
        }
        let elapsed = self.started.elapsed();
        let left = if done > 0 {
            let per_run = elapsed.as_secs_f64() / done as f64;
            let left = Duration::from_secs_f64(per_run * (progress.len() - done) as f64);
            format!(", ~{} left", format_duration(Duration::from_secs(left.as_secs())))
        } else {
            String::new()
        };
        self.total.set_position(done as u64);
        let elapsed = format_duration(Duration::from_secs(elapsed.as_secs()));
        self.total.set_message(format!("{failed} failed, {elapsed}{left}"));
    }

    fn clear(&self) {
        if self.is_terminal {
            // A closed terminal has nothing to clear.
            let _ = self.bars.clear();
        }
    }
}

fn closing(dag: &Dag, view: &View<'_>, progress: &[Progress], args: &Args) -> Result<ExitCode, CliError> {
    view.clear();
    let failed: Vec<&Progress> = progress.iter().filter(|run| run.state == RunState::Failed).collect();
    let took = format_duration(view.started.elapsed());
    let good = progress.len() - failed.len();
    let mut page = Page::new();
    page.line(format!("{}: {} succeeded, {} failed, in {took}", dag.id, runs(good), failed.len()));
    if let Some(first) = failed.first() {
        let date = match dag.schedule {
            Some(_) => rfc3339(first.logical_date, &dag.timezone),
            None => first.logical_date.to_zoned(dag.timezone.clone()).date().to_string(),
        };
        page.next(&format!("crondag tasks {} {date}", dag.id));
        page.line(format!("then: crondag backfill -s {} -e {} {} --rerun failed", args.start, args.end, dag.id));
    }
    page.print()?;
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn interrupted(dag: &Dag, view: &View<'_>, progress: &[Progress], args: &Args) -> ExitCode {
    view.clear();
    let done = progress.iter().filter(|run| run.state.is_final()).count();
    let begun = progress.iter().filter(|run| run.state == RunState::Running).count();
    eprintln!(
        "{}: interrupted; {done} of {} runs are done, {begun} are begun and wait, {} have not begun",
        dag.id,
        progress.len(),
        progress.len() - done - begun
    );
    eprintln!("next: go on with `crondag backfill -s {} -e {} {}`", args.start, args.end, dag.id);
    ExitCode::FAILURE
}

fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}
