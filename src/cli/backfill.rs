//! `crondag backfill`: asks for every interval of a range, and watches. The driver does the work; this process may be
//! killed without harm.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use super::context::Global;

use super::ended::ended;
use super::error::CliError;
use super::layout::{Layout, width};
use super::output::{Page, print_json, say};
use super::{still, stuck};
use crate::app::App;
use crate::app::query::runs as queries;
use crate::app::request::backfill::{
    self, Action, BackfillPlan, BackfillReceipt, BackfillRequest, PlannedRun, Rerun, TaskChoice,
};
use crate::app::request::outcome::Outcome;
use crate::app::request::range::{LeftOut, Outside};
use crate::app::request::watch::{Outlook, Snapshot, Watch};
use crate::app::times::minute;
use crate::dag::repair::RepairScope;
use crate::dag::template::quote;
use crate::dag::units::format_duration;
use crate::dag::{DagId, Failures, RunNumber, RunState, RunType, TaskId};
use crate::store::Progress;

/// Options of `backfill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  crondag backfill -s 2018-07-01 -e 2018-07-07 userprofile\n  \
                        crondag backfill -s 20180701 -e 20180731 userprofile --rerun failed --max-active-runs 3\n  \
                        crondag backfill --only city_tags -s 20180701 -e 20180730 userprofile   fill a new task in")]
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
    rerun: RerunArg,
    /// Also run intervals that have not ended, as manual runs: the scheduled ones come all the same
    #[arg(long)]
    unfinished: bool,
    /// Also run intervals before the DAG's `start_date` and after its `end_date`
    #[arg(long)]
    ignore_bounds: bool,
    /// Show the intervals and tasks that would run, and stop
    #[arg(long)]
    dry_run: bool,
    /// Only these tasks; a run that has ended without them gets them
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
    /// End with 0 when all runs succeeded, although tasks of them failed (as Airflow does)
    #[arg(long)]
    allow_failed_tasks: bool,
    /// Override a param of the DAG. It stays with the run: whatever of it is done again has it too
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Print JSON: the runs when all have ended; with --dry-run what would be done
    #[arg(long)]
    json: bool,
}

/// Which intervals that have a run already are done again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RerunArg {
    /// None of them: they are left alone
    None,
    /// Those in which a task failed: what failed, what that blocked, and what was built on it
    Failed,
    /// Those in which a task failed: what failed and what that blocked
    OnlyFailed,
    /// All of them, from the beginning
    All,
}

impl Args {
    fn request(&self) -> BackfillRequest {
        BackfillRequest {
            dag: self.dag.clone(),
            start: self.start.clone(),
            end: self.end.clone(),
            rerun: match self.rerun {
                RerunArg::None => Rerun::None,
                RerunArg::Failed => Rerun::Repair(RepairScope::Whole),
                RerunArg::OnlyFailed => Rerun::Repair(RepairScope::OnlyFailed),
                RerunArg::All => Rerun::All,
            },
            tasks: TaskChoice { only: self.only.clone(), upstream: self.upstream, downstream: self.downstream },
            max_active_runs: self.max_active_runs,
            reverse: self.reverse,
            params: self.params.clone(),
            unfinished: self.unfinished,
            ignore_bounds: self.ignore_bounds,
        }
    }

    /// The same command again.
    fn again(&self) -> String {
        let mut words = vec![self.of_the_range()];
        if !self.only.is_empty() {
            words.push(format!("--only {}", quote(&self.only.join(","))));
        }
        words.extend(self.params.iter().map(|param| format!("--param {}", quote(param))));
        let flags = [(self.upstream, "--upstream"), (self.downstream, "--downstream")];
        words.extend(flags.iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| (*flag).to_owned()));
        words.join(" ")
    }

    /// A backfill of the same intervals.
    fn of_the_range(&self) -> String {
        let mut command =
            format!("crondag backfill -s {} -e {} {}", quote(&self.start), quote(&self.end), quote(&self.dag));
        for (is_set, option) in [(self.ignore_bounds, " --ignore-bounds"), (self.unfinished, " --unfinished")] {
            command += if is_set { option } else { "" };
        }
        command
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let plan = backfill::plan(&app, &args.request())?;
    let mut left_out = left_out(&plan.left_out);
    left_out.extend(not_repaired(&plan));
    if args.dry_run {
        return dry_run(args, &plan, &left_out);
    }
    for line in &left_out {
        say(line);
    }
    if plan.runs.is_empty() {
        return Err(CliError::usage(
            format!("no data interval of {} from {} to {} may run now", plan.dag_id, args.start, args.end),
            match plan.left_out.first().map(|left_out| left_out.why) {
                Some(Outside::BeforeStartDate | Outside::AfterEndDate) => format!("{} --ignore-bounds", args.again()),
                Some(Outside::NotEnded) => format!("{} --unfinished", args.again()),
                None => format!("crondag next {}", plan.dag_id),
            },
        ));
    }
    let (dag_id, intervals) = (plan.dag_id.clone(), plan.runs.len());
    let receipt = backfill::apply(&app, plan)?;
    let zone = app.zone_of(&dag_id);
    for run in &receipt.changed {
        say(format!("meanwhile changed: {}", described(run)));
    }
    if !receipt.left_alone.is_empty() {
        let hint = if args.rerun == RerunArg::None { "; --rerun failed or --rerun all does them again" } else { "" };
        say(format!("left alone: {} of {intervals} intervals have a run that ended{hint}", receipt.left_alone.len()));
    }
    if receipt.runs.is_empty() {
        let all = queries::by_number(&app, &receipt.left_alone)?;
        if args.json {
            print_json(&all)?;
        } else {
            let mut page = Page::new();
            page.line(format!("nothing to do: all {} of {dag_id} ended before", runs(intervals)));
            page.print()?;
        }
        return Ok(exit_code(&Outcome::of_ended(&all), args.allow_failed_tasks));
    }
    receipt.driver.clone()?;
    let watcher = Watcher { app: &app, dag_id: &dag_id, receipt: &receipt, args };
    watcher.watch(View::new(&dag_id, zone, receipt.runs.len()))
}

/// What of the range is left out, a line for each reason.
fn left_out(left_out: &[LeftOut]) -> Vec<String> {
    let mut lines = Vec::new();
    for why in [Outside::BeforeStartDate, Outside::AfterEndDate, Outside::NotEnded] {
        let of: Vec<&LeftOut> = left_out.iter().filter(|interval| interval.why == why).collect();
        let (Some(first), Some(last)) = (of.first(), of.last()) else { continue };
        let dates = match of.len() {
            1 => first.logical_date.minute(),
            count => {
                format!("{count} intervals from {} to {}", first.logical_date.minute(), last.logical_date.minute())
            }
        };
        let bound = first.bound.minute();
        let (verb, them) = if of.len() == 1 { ("lies", "it") } else { ("lie", "them") };
        lines.push(match why {
            Outside::BeforeStartDate => {
                format!("left out: {dates} {verb} before start_date ({bound}); --ignore-bounds runs {them}")
            }
            Outside::AfterEndDate => {
                format!("left out: {dates} {verb} after end_date ({bound}); --ignore-bounds runs {them}")
            }
            Outside::NotEnded if of.len() == 1 => {
                format!("left out: {dates} ends at {bound}; --unfinished runs it now, as a manual run")
            }
            Outside::NotEnded => {
                format!(
                    "left out: {dates}, the first of which ends at {bound}; --unfinished runs them now, as manual runs"
                )
            }
        });
    }
    lines
}

/// What should start again in the runs of the plan and cannot.
fn not_repaired(plan: &BackfillPlan) -> Vec<String> {
    let named = |of: fn(&PlannedRun) -> &[TaskId]| {
        let tasks: BTreeSet<&str> = plan.runs.iter().flat_map(of).map(TaskId::as_str).collect();
        (tasks.len(), tasks.into_iter().collect::<Vec<_>>().join(", "))
    };
    let mut lines = Vec::new();
    let (count, removed) = named(|run| &run.removed);
    if count > 0 {
        let of = plan.runs.iter().filter(|run| !run.removed.is_empty()).count();
        let them = if count == 1 { "it" } else { "them" };
        lines.push(format!("left out in {}, since the DAG no longer has {them}: {removed}", runs(of)));
    }
    let lacking: Vec<&PlannedRun> = plan.runs.iter().filter(|run| !run.lacking.is_empty()).collect();
    if let Some(first) = lacking.first()
        && let Action::Again { run_id, .. } = &first.action
    {
        let (_, all) = named(|run| &run.lacking);
        let (these, each) = if lacking.len() == 1 { ("this run does", "") } else { ("these runs do", ", for each") };
        let tasks = first.lacking.iter().map(TaskId::as_str).collect::<Vec<_>>().join(",");
        lines.push(format!("tasks of the repair now wait for what {these} not have: {all}"));
        lines.push(format!("with it{each}: crondag clear {} {run_id} --task {tasks}", plan.dag_id));
    }
    lines
}

fn dry_run(args: &Args, plan: &BackfillPlan, left_out: &[String]) -> Result<ExitCode, CliError> {
    if args.json {
        print_json(&plan.runs)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Page::new();
    for run in &plan.runs {
        page.line(described(run));
    }
    for line in left_out {
        page.line(line);
    }
    let tasks: Vec<&str> = plan.tasks.iter().map(TaskId::as_str).collect();
    page.gap();
    let count = if tasks.len() == 1 { "1 task".to_owned() } else { format!("{} tasks", tasks.len()) };
    page.line(format!("{} of {count}: {}", runs(plan.working()), tasks.join(" ")));
    page.print()?;
    Ok(ExitCode::SUCCESS)
}

/// One interval of a plan, as people read it.
fn described(run: &PlannedRun) -> String {
    let named = |tasks: &[TaskId]| tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join(" ");
    let what = match &run.action {
        Action::Create { run_type: RunType::Manual } => "would run, as a manual run".to_owned(),
        Action::Create { run_type: RunType::Scheduled | RunType::Backfill } => "would run".to_owned(),
        Action::TakeUp { state, add, .. } if add.is_empty() => format!("is {state}; would be taken up"),
        Action::TakeUp { state, add, .. } => format!("is {state}; would be taken up, with {}", named(add)),
        Action::Again { state, clear, add, .. } => match (clear.is_empty(), add.is_empty()) {
            (false, true) => format!("{state}; would run again: {}", named(clear)),
            (true, false) => format!("{state}; would get {}", named(add)),
            (false, false) => format!("{state}; would run again: {}, and get {}", named(clear), named(add)),
            (true, true) => format!("{state}; would run again"),
        },
        Action::LeftAlone { state, .. } => format!("{state}; left alone"),
    };
    format!("{}  {what}", run.logical_date.minute())
}

// ---- watching --------------------------------------------------------------------------------------------------------

struct Watcher<'a> {
    app: &'a App,
    dag_id: &'a DagId,
    receipt: &'a BackfillReceipt,
    args: &'a Args,
}

impl Watcher<'_> {
    fn watch(&self, mut view: View<'_>) -> Result<ExitCode, CliError> {
        let interrupts = count_interrupts()?;
        let mut watch = Watch::new(self.app, self.receipt.runs.clone(), self.receipt.request)?;
        let (mut handled, mut told) = (0, None);
        loop {
            let snapshot = watch.poll()?;
            view.show(&snapshot.runs);
            match &snapshot.outlook {
                Outlook::Over => return self.closing(&view, &watch, &snapshot.runs),
                Outlook::Stuck(stuck) if handled == 0 => {
                    view.clear();
                    return Err(stuck::error(stuck));
                }
                Outlook::Still(held_up) if handled == 0 => {
                    for line in still::news(held_up, &mut told).into_iter().flatten() {
                        view.say(&line);
                    }
                }
                Outlook::Stuck(_) | Outlook::Still(_) | Outlook::Going => {}
            }
            if handled > 0 && watch.is_at_rest(&snapshot)? {
                return Ok(self.interrupted(&view, &snapshot));
            }
            if interrupts.load(Ordering::SeqCst) > handled {
                if watch.is_taken_up(self.receipt.backfill, &snapshot)? {
                    // What is left to it is held; the other one goes on with the rest.
                    watch.hold(self.receipt.backfill)?;
                    view.clear();
                    say(format!(
                        "{}: interrupted; another backfill has taken up these runs, and goes on with them",
                        self.dag_id
                    ));
                    return Ok(ExitCode::FAILURE);
                }
                if handled == 0 {
                    view.say("interrupted: running tasks end, nothing new starts; Ctrl-C again stops them");
                    watch.hold(self.receipt.backfill)?;
                } else {
                    view.say("stopping the running tasks");
                    watch.stop(self.receipt.backfill)?;
                }
                handled += 1;
            }
            thread::sleep(watch.pause());
        }
    }

    fn closing(&self, view: &View<'_>, watch: &Watch<'_>, progress: &[Progress]) -> Result<ExitCode, CliError> {
        view.clear();
        let outcome = Outcome::of_watched(progress);
        let code = exit_code(&outcome, self.args.allow_failed_tasks);
        if self.args.json {
            let numbers: Vec<RunNumber> = progress.iter().map(|run| run.number).collect();
            print_json(&queries::by_number(self.app, &numbers)?)?;
            return Ok(code);
        }
        let took = format_duration(view.started.elapsed());
        let skipped = match outcome.skipped {
            0 => String::new(),
            skipped => format!(", {skipped} skipped"),
        };
        let mut page = Page::new();
        page.line(format!(
            "{}: {} succeeded{}, {} failed{skipped}, in {took}",
            self.dag_id,
            runs(outcome.succeeded),
            in_spite(&outcome),
            outcome.failed.len()
        ));
        if let Some(worst) = outcome.worst() {
            let of = queries::by_number(self.app, &[worst])?;
            let run_id = of.first().map_or("", |run| run.run_id.as_str());
            page.next(&format!("crondag tasks {} {run_id}", self.dag_id));
            match watch.diagnosis(worst)? {
                Some(diagnosis) => page.step("then:", &diagnosis),
                None => page.command("then:", &(self.args.of_the_range() + " --rerun failed")),
            }
        }
        page.print()?;
        Ok(code)
    }

    fn interrupted(&self, view: &View<'_>, snapshot: &Snapshot) -> ExitCode {
        view.clear();
        let progress = &snapshot.runs;
        let done = progress.iter().filter(|run| run.state.is_final()).count();
        let begun = progress.iter().filter(|run| run.state == RunState::Running).count();
        say(format!(
            "{}: interrupted; {done} of {} runs are done, {begun} are begun and wait, {} have not begun",
            self.dag_id,
            progress.len(),
            progress.len() - done - begun
        ));
        say(format!("next: go on with `{}`", self.args.again()));
        ExitCode::FAILURE
    }
}

fn exit_code(outcome: &Outcome, allow_failed_tasks: bool) -> ExitCode {
    if outcome.is_good(allow_failed_tasks) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// ` (3 tasks failed in 2 runs)`
fn in_spite(outcome: &Outcome) -> String {
    let failures = match outcome.failures_in_spite {
        failures if !failures.any() => return String::new(),
        // What did not run because of them is said of each run.
        Failures { failed: failed @ 1.., .. } => Failures { failed, upstream_failed: 0 },
        failures => failures,
    };
    format!(" ({failures} in {})", runs(outcome.in_spite.len()))
}

/// How often Ctrl-C was pressed from now on.
fn count_interrupts() -> Result<Arc<AtomicUsize>, CliError> {
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
    Ok(interrupts)
}

/// Progress bars on a terminal, plain lines elsewhere.
struct View<'a> {
    dag_id: &'a DagId,
    zone: TimeZone,
    started: Instant,
    is_terminal: bool,
    layout: Layout,
    bars: MultiProgress,
    total: ProgressBar,
    active: BTreeMap<RunNumber, ProgressBar>,
    told: BTreeSet<RunNumber>,
}

impl<'a> View<'a> {
    fn new(dag_id: &'a DagId, zone: TimeZone, runs: usize) -> View<'a> {
        let is_terminal = io::stderr().is_terminal();
        let bars = MultiProgress::new();
        let total = bars.add(ProgressBar::new(runs as u64));
        let layout = Layout::of(&io::stderr());
        total.set_style(style_of_all(layout.width(), dag_id));
        total.set_prefix(dag_id.to_string());
        View {
            dag_id,
            zone,
            started: Instant::now(),
            is_terminal,
            layout,
            bars,
            total,
            active: BTreeMap::new(),
            told: BTreeSet::new(),
        }
    }

    fn say(&self, text: &str) {
        if self.is_terminal {
            // Without a terminal indicatif would print nothing at all.
            let _ = self.bars.println(self.layout.text(text));
        } else {
            say(text);
        }
    }

    fn show(&mut self, progress: &[Progress]) {
        let done = progress.iter().filter(|run| run.state.is_final()).count();
        let failed = progress.iter().filter(|run| run.state == RunState::Failed).count();
        // One that somebody clears meanwhile is told of again when it has ended again.
        let ended_now = |run: &&Progress| run.state.is_final() && !self.told.contains(&run.number);
        let mut news: Vec<&Progress> = progress.iter().filter(ended_now).collect();
        news.sort_by_key(|run| (run.end_date, run.logical_date));
        self.told.retain(|told| progress.iter().any(|run| run.number == *told && run.state.is_final()));
        for run in news {
            self.told.insert(run.number);
            if let Some(bar) = self.active.remove(&run.number) {
                bar.finish_and_clear();
                self.bars.remove(&bar);
            }
            let what = format!("{} {} {}", self.dag_id, minute(run.logical_date, &self.zone), ended(run));
            if !self.is_terminal {
                let at = run.end_date.unwrap_or_else(Timestamp::now).to_zoned(self.zone.clone()).strftime("%H:%M:%S");
                say(format!("{at}  {what} ({} of {} ended)", self.told.len(), runs(progress.len())));
            } else if run.tasks.failures.any() || run.state == RunState::Failed {
                self.say(&what);
            }
        }
        if !self.is_terminal {
            return;
        }
        for run in progress.iter().filter(|run| run.state == RunState::Running) {
            let bar = self.active.entry(run.number).or_insert_with(|| {
                let bar = self.bars.insert_before(&self.total, ProgressBar::new(1));
                bar.set_style(style_of_run(self.layout.width()));
                bar.set_prefix(minute(run.logical_date, &self.zone));
                bar
            });
            bar.set_length(u64::from(run.tasks.total));
            bar.set_position(u64::from(run.tasks.ended));
            bar.set_message(format!("{} running, {} failed", run.tasks.running, run.tasks.failures.failed));
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

/// Before the bars, when there is room beside them.
const LEAD: usize = 26;
const LONGEST_BAR: usize = 30;
/// Behind a bar: ` 9999/9999 runs, 999 failed, 59m 59s, ~23h 59m left`, the longer of the two.
const BEHIND: usize = 52;

/// The bar of all runs. Its name has a line of its own where it does not fit beside it.
fn style_of_all(room: usize, dag_id: &DagId) -> ProgressStyle {
    let fits = width(dag_id.as_str()) <= LEAD && room >= LEAD + 6 + BEHIND;
    if fits {
        let bar = (room - LEAD - 1 - BEHIND).min(LONGEST_BAR);
        style(&format!("{{prefix:<{LEAD}}} {{bar:{bar}}} {{pos}}/{{len}} runs, {{msg}}"))
    } else {
        let bar = room.saturating_sub(2 + BEHIND).clamp(4, LONGEST_BAR);
        style(&format!("{{prefix}}\n  {{bar:{bar}}} {{pos}}/{{len}} runs, {{msg}}"))
    }
}

/// That of one run, which a narrow terminal has no room for.
fn style_of_run(room: usize) -> ProgressStyle {
    let lead = LEAD - 2;
    match room.saturating_sub(LEAD + 1 + BEHIND).min(LONGEST_BAR) {
        0..5 => style(&format!("  {{prefix:<{lead}}} {{pos}}/{{len}} tasks, {{msg}}")),
        bar => style(&format!("  {{prefix:<{lead}}} {{bar:{bar}}} {{pos}}/{{len}} tasks, {{msg}}")),
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━ ")
}

fn runs(count: usize) -> String {
    if count == 1 { "1 run".to_owned() } else { format!("{count} runs") }
}
