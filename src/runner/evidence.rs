//! Gathers what a diagnosis needs of an attempt: its log, its end, its upstreams, the files that it missed, what checks
//! recorded. It judges nothing: that is for `diagnose`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use jiff::Timestamp;

use super::attempt::{Ending, Printed};
use super::catalog::FaultyFile;
use crate::access;
use crate::dag::config::{Connection, SparkSql};
use crate::dag::file::{Fault, read_diagnosis};
use crate::dag::{Action, CauseEnding, Config, Dag, SparkOptions, Task, TaskState, Verdict};
use crate::diagnose::{
    Catalogue, End, Evidence, FileTime, LineNumber, Log, Measure, Owner, Recorded, Series, Subject, Upstream,
};
use crate::home::Home;
use crate::store::{Attempt, CheckFilter, CheckRow, Store, StoreError, TaskInstance};
use crate::text_file;

/// A log up to this size is read whole; of a bigger one, so much of its head and of its tail.
const PART: u64 = 256 << 10;
/// The lines of a log up to this size are counted, so that its tail has line numbers.
const COUNTED: u64 = 256 << 20;
/// Dates of recorded values that are read.
const DATES: u32 = 15;

/// The attempt that is diagnosed.
#[derive(Debug)]
pub struct Failed<'a> {
    pub home: &'a Home,
    /// The settings of the home.
    pub config: &'a Config,
    /// The DAG of the run.
    pub dag: &'a Dag,
    /// The task's index in the DAG.
    pub task: usize,
    /// The run's date or id, as commands take it.
    pub run: String,
    /// The run's logical date.
    pub logical_date: Timestamp,
    /// How the attempt ended, if that is known.
    pub ending: Option<Ending>,
    pub started: Option<Timestamp>,
    /// Relative to the home.
    pub log_file: &'a str,
    /// Where in it the output lies, as far as that is known.
    pub printed: Option<(u64, u64)>,
    /// All tasks of the run, as they are or as they were.
    pub tasks: &'a [TaskInstance],
    /// What checks recorded later is left out; `None` for the newest attempt.
    pub until: Option<Timestamp>,
}

/// Turns tasks as they are now into what an attempt could see that ended at `until`: who had ended by then, and when.
pub fn as_of(until: Timestamp, tasks: &mut [TaskInstance], attempts: &[Attempt]) {
    for task in tasks {
        let begun = attempts.iter().filter(|attempt| attempt.task_id == task.task_id && attempt.started_at <= until);
        let Some(then) = begun.max_by_key(|attempt| attempt.started_at) else {
            // A task without attempts, as some waits are, has only its own end, and had not ended before that.
            if task.end_date.is_some_and(|end| end > until) {
                (task.state, task.end_date) = (TaskState::None, None);
            }
            continue;
        };
        let ended = then.ended_at.filter(|ended| *ended <= until);
        if ended != task.end_date {
            task.state = if ended.is_some() { TaskState::Success } else { TaskState::Running };
            task.end_date = ended;
        }
    }
}

/// The causes that a home knows, and its diagnosis.toml when something is wrong with that.
pub fn catalogue(home: &Home) -> (Catalogue, Option<FaultyFile>) {
    let path = home.diagnosis_path();
    let refused = |path, text, faults| Some(FaultyFile { path, text, faults });
    match text_file::read(&path) {
        Ok(text) => {
            // What it advises is for people to type.
            if let Err(exposed) = access::refuse_world_writable(&path) {
                return (Catalogue::built_in(), refused(path, text, vec![exposed.fault()]));
            }
            let (own, faults) = read_diagnosis(&text);
            (Catalogue::with(own), if faults.is_empty() { None } else { refused(path, text, faults) })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => (Catalogue::built_in(), None),
        Err(error) => {
            let message = format!("cannot read {}: {error}", path.display());
            (Catalogue::built_in(), refused(path, String::new(), vec![Fault::of_file("unreadable", message)]))
        }
    }
}

/// All that is known of a failed attempt.
pub fn gather(failed: &Failed<'_>, catalogue: &Catalogue) -> Evidence {
    let task = &failed.dag.tasks[failed.task];
    // Without the log or the database the end and the times are left to judge by, and the diagnosis says so.
    let mut gaps = Vec::new();
    let printed = failed.printed.map(|(from, until)| Printed { from, until });
    let log = read_log(&failed.home.root().join(failed.log_file), printed, has_closing_lines(failed.ending.as_ref()))
        .unwrap_or_else(|error| {
            gaps.push(match error.kind() {
                io::ErrorKind::NotFound => "the log has been removed".to_owned(),
                _ => format!("the log cannot be read: {error}"),
            });
            Log::default()
        });
    let checked = read_checked(failed).unwrap_or_else(|error| {
        gaps.push(format!("what checks recorded cannot be read: {error}"));
        Checked { history: Vec::new(), sound: BTreeSet::new() }
    });
    let is_check = matches!(task.action, Action::Check(_));
    let again = if is_check { from(failed.dag, &made_by(failed.dag, failed.task), &checked.sound) } else { Vec::new() };
    let folder = failed.home.root();
    let files = catalogue
        .missing_paths(&log)
        .into_iter()
        .filter_map(|path| {
            // A file that is not there now has no time to tell; the log says that it lacked.
            let modified = fs::metadata(folder.join(&path)).and_then(|data| data.modified()).ok()?;
            Some(FileTime { path, modified: Timestamp::try_from(modified).ok()? })
        })
        .collect();
    let upstreams = failed
        .dag
        .graph
        .upstream(failed.task)
        .iter()
        .map(|&index| upstream(&failed.dag.tasks[index], failed.tasks))
        .collect();
    Evidence {
        subject: Subject {
            dag: failed.dag.id.to_string(),
            task: task.id.to_string(),
            run: failed.run.clone(),
            settings: settings(task, failed.config),
            spark_table: spark_table(task, failed.config),
            again,
        },
        end: end(failed.ending.as_ref()),
        started: failed.started,
        log,
        upstreams,
        files,
        history: checked.history,
        gaps,
        action: task.action.kind().as_str(),
    }
}

/// The tasks that made what a check measures: those that it follows, past checks, waits and reports, which make nothing.
fn made_by(dag: &Dag, check: usize) -> Vec<usize> {
    let (mut found, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<usize> = dag.graph.upstream(check).to_vec();
    while let Some(task) = open.pop() {
        if !seen.insert(task) {
            continue;
        }
        match dag.tasks[task].action {
            Action::Check(_) | Action::Wait(_) | Action::Report(_) => open.extend(dag.graph.upstream(task)),
            Action::Shell(_) | Action::Spark(_) | Action::Sql(_) => {
                found.insert(task);
            }
        }
    }
    if found.is_empty() {
        found.insert(check);
    }
    found.into_iter().collect()
}

/// The checks that tell of a failed task, in the order in which they may run: those of what it made, of what a failed check
/// found wrong, and of anything before it, also where nothing waits for the check.
fn telling_checks(dag: &Dag, failed: usize) -> Vec<(usize, Owner)> {
    let is_check = |index: usize| matches!(dag.tasks[index].action, Action::Check(_));
    let (before, after) = (dag.graph.ancestors(failed), dag.graph.descendants(failed));
    let owner = |index: usize| {
        if dag.graph.downstream(failed).contains(&index) {
            return Some(Owner::Own);
        }
        let made_by = made_by(dag, index);
        if index == failed || (is_check(failed) && !before.contains(&index) && made_by == self::made_by(dag, failed)) {
            Some(Owner::Checked)
        } else if before.contains(&index) || (!after.contains(&index) && made_by.iter().all(|t| before.contains(t))) {
            Some(Owner::Upstream)
        } else {
            None
        }
    };
    let order = dag.graph.order().iter().copied();
    order.filter(|&index| is_check(index)).filter_map(|index| Some((index, owner(index)?))).collect()
}

/// From which tasks on to run again so that what these made is made anew of sound data: they themselves and what they are made
/// of, up to what a check of the date has found sound.
fn from(dag: &Dag, made_by: &[usize], sound: &BTreeSet<usize>) -> Vec<String> {
    let mut doubtful: BTreeSet<usize> = made_by.iter().copied().collect();
    let mut seen = BTreeSet::new();
    let mut open: Vec<usize> = made_by.iter().flat_map(|&task| dag.graph.upstream(task).to_vec()).collect();
    while let Some(task) = open.pop() {
        if !seen.insert(task) {
            continue;
        }
        match dag.tasks[task].action {
            Action::Check(_) | Action::Wait(_) | Action::Report(_) => open.extend(dag.graph.upstream(task)),
            Action::Shell(_) | Action::Spark(_) | Action::Sql(_) if !sound.contains(&task) => {
                doubtful.insert(task);
                open.extend(dag.graph.upstream(task));
            }
            Action::Shell(_) | Action::Spark(_) | Action::Sql(_) => {}
        }
    }
    let is_first = |task: &&usize| dag.graph.ancestors(**task).iter().all(|before| !doubtful.contains(before));
    doubtful.iter().filter(is_first).map(|&task| dag.tasks[task].id.to_string()).collect()
}

/// What checks have recorded.
struct Checked {
    history: Vec<Series>,
    /// The tasks before the failed one whose data a check of the date has found good.
    sound: BTreeSet<usize>,
}

fn read_checked(failed: &Failed<'_>) -> Result<Checked, StoreError> {
    let dag = failed.dag;
    let checks = telling_checks(dag, failed.task);
    let mut sound = BTreeSet::new();
    if checks.is_empty() {
        return Ok(Checked { history: Vec::new(), sound });
    }
    let store = Store::open_read_only(&failed.home.database_path())?;
    for &(index, owner) in &checks {
        let last = store.checks(&dag.id, &CheckFilter::up_to(&dag.tasks[index].id, failed.logical_date, 1))?;
        let is_good = |check: &CheckRow| check.logical_date == failed.logical_date && check.verdict != Verdict::Fail;
        if owner == Owner::Upstream && last.iter().any(is_good) {
            sound.extend(made_by(dag, index));
        }
    }
    let mut series = Vec::new();
    for (index, owner) in checks {
        let task = &dag.tasks[index].id;
        let filter = CheckFilter::up_to(task, failed.logical_date, DATES);
        let mut by_name: BTreeMap<(String, String), Vec<Recorded>> = BTreeMap::new();
        let is_known = |at: Timestamp| failed.until.is_none_or(|until| at <= until);
        for check in store.checks(&dag.id, &filter)?.into_iter().filter(|check| is_known(check.at)) {
            let date = check.logical_date.to_zoned(dag.timezone.clone()).date();
            for value in store.check_values(&dag.id, task, check.logical_date)? {
                // Where a check failed, the values that broke no rule are not why.
                let is_innocent = check.verdict == Verdict::Fail && value.verdict == Verdict::Ok;
                if let Some(number) = value.value
                    && !(is_innocent && check.logical_date == failed.logical_date)
                {
                    let recorded = Recorded { date, value: number, is_failed: check.verdict == Verdict::Fail };
                    by_name.entry((value.key, value.metric)).or_default().push(recorded);
                }
            }
        }
        let date = failed.logical_date.to_zoned(dag.timezone.clone()).date();
        let made_by = if owner == Owner::Own { vec![failed.task] } else { made_by(dag, index) };
        series.extend(by_name.into_iter().map(|((key, metric), values)| {
            // Counts of several tasks together often have the task as their key.
            let of_key = made_by.iter().copied().find(|&task| dag.tasks[task].id.as_str() == key);
            let made_by = of_key.map_or_else(|| made_by.clone(), |task| vec![task]);
            let before: BTreeSet<usize> = made_by.iter().flat_map(|&task| dag.graph.ancestors(task)).collect();
            let again = from(dag, &made_by, &sound);
            let ids = |tasks: &mut dyn Iterator<Item = usize>| tasks.map(|t| dag.tasks[t].id.to_string()).collect();
            Series {
                owner,
                check: task.to_string(),
                made_by: ids(&mut made_by.into_iter()),
                before: ids(&mut before.into_iter()),
                again,
                name: format!("{key} {metric}"),
                measure: measure(&metric),
                date,
                values,
            }
        }));
    }
    Ok(Checked { history: series, sound })
}

/// What a metric measures, by its name: shares of rows that are no good, keys that are not unique, else rows.
fn measure(metric: &str) -> Measure {
    let has = |words: &[&str]| words.iter().any(|word| metric.to_lowercase().contains(word));
    if has(&["null", "unparsed", "invalid", "bad"]) {
        Measure::UnparsedShare
    } else if has(&["duplicate", "dup_"]) {
        Measure::DuplicateKeys
    } else {
        Measure::Rows
    }
}

fn upstream(task: &Task, tasks: &[TaskInstance]) -> Upstream {
    let instance = tasks.iter().find(|instance| instance.task_id == task.id);
    let is_unfinished = instance.is_some_and(|instance| {
        matches!(
            instance.state,
            TaskState::Running | TaskState::UpForRetry | TaskState::UpForReschedule | TaskState::None
        )
    });
    Upstream { task: task.id.to_string(), ended: instance.and_then(|instance| instance.end_date), is_unfinished }
}

fn end(ending: Option<&Ending>) -> End {
    match ending {
        Some(Ending::Exited { code }) => u8::try_from(*code).map_or(End::Unknown, End::Exited),
        Some(Ending::Signaled { signal }) => u8::try_from(*signal).map_or(End::Unknown, End::Signaled),
        Some(Ending::TimedOut { .. }) => End::Other(CauseEnding::TimedOut),
        Some(Ending::Stopped) => End::Other(CauseEnding::Stopped),
        Some(Ending::Lost { .. }) => End::Other(CauseEnding::Lost),
        Some(Ending::NotStarted { reason }) => End::NotStarted(reason.clone()),
        None => End::Unknown,
    }
}

/// What of a task can be raised, as files name it.
fn settings(task: &Task, config: &Config) -> Vec<(String, String)> {
    let mut settings = Vec::new();
    if let Some(timeout) = task.timeout {
        settings.push(("timeout".to_owned(), crate::dag::units::format_duration(timeout)));
    }
    let options = match &task.action {
        Action::Spark(spark) => Some(&spark.options),
        Action::Sql(sql) => spark_sql(config, &sql.connection).map(|connection| &connection.options),
        Action::Shell(_) | Action::Wait(_) | Action::Check(_) | Action::Report(_) => None,
    };
    if let Some(SparkOptions { driver_memory, executor_memory, .. }) = options {
        let named = [("driver_memory", driver_memory), ("executor_memory", executor_memory)];
        settings.extend(named.into_iter().filter_map(|(key, now)| Some((key.to_owned(), now.clone()?))));
    }
    settings
}

/// Where the options of the Spark are that a task starts.
fn spark_table(task: &Task, config: &Config) -> Option<String> {
    match &task.action {
        Action::Spark(_) => Some(format!("[tasks.{}.spark]", task.id)),
        Action::Sql(sql) => spark_sql(config, &sql.connection)
            .map(|_| format!("[connections.{}.spark] of crondag.toml", sql.connection)),
        Action::Shell(_) | Action::Wait(_) | Action::Check(_) | Action::Report(_) => None,
    }
}

fn spark_sql<'c>(config: &'c Config, connection: &str) -> Option<&'c SparkSql> {
    if let Some(Connection::SparkSql(connection)) = config.connections.get(connection) {
        Some(connection)
    } else {
        None
    }
}

/// Whether the shim lived to write the end of the log.
pub(super) fn has_closing_lines(ending: Option<&Ending>) -> bool {
    match ending {
        Some(Ending::Lost { .. }) => false,
        Some(
            Ending::Exited { .. }
            | Ending::Signaled { .. }
            | Ending::TimedOut { .. }
            | Ending::Stopped
            | Ending::NotStarted { .. },
        )
        | None => true,
    }
}

/// The lines that a program printed into its log: all of a small one; those of the head and the tail of a big one, of which never
/// more than these is in memory.
fn read_log(path: &Path, printed: Option<Printed>, has_closing_lines: bool) -> io::Result<Log> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    if length <= 2 * PART {
        let mut bytes = Vec::new();
        file.take(2 * PART).read_to_end(&mut bytes)?;
        let printed = printed.unwrap_or_else(|| Printed::guessed(&bytes, (&bytes, 0), has_closing_lines));
        let lines = lines(&bytes, 0).enumerate().filter(|(_, (at, _))| printed.holds(*at));
        return Ok(Log::new(lines.map(|(number, (_, line))| (LineNumber::FromStart(number + 1), line))));
    }
    let mut head = Vec::new();
    (&mut file).take(PART).read_to_end(&mut head)?;
    let tail_start = length - PART;
    let before = if length <= COUNTED { Some(newlines(&mut file, tail_start - PART)? + count(&head)) } else { None };
    file.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    file.take(PART).read_to_end(&mut tail)?;
    let printed = printed.unwrap_or_else(|| Printed::guessed(&head, (&tail, tail_start), has_closing_lines));
    // The last line of the head and the first one of the tail are broken off.
    let head_lines = lines(&head, 0).count().saturating_sub(1);
    let head = lines(&head, 0).take(head_lines).enumerate().map(|(at, line)| (LineNumber::FromStart(at + 1), line));
    let count = lines(&tail, tail_start).count();
    let tail = lines(&tail, tail_start).enumerate().skip(1).map(|(at, line)| {
        (before.map_or(LineNumber::FromEnd(count - at), |before| LineNumber::FromStart(before + at + 1)), line)
    });
    let lines = head.chain(tail).filter(|(_, (at, _))| printed.holds(*at));
    Ok(Log::new(lines.map(|(number, (_, line))| (number, line))))
}

/// The lines of a part of a log, without their ends, each with the byte of the log at which it begins.
fn lines(bytes: &[u8], mut at: u64) -> impl Iterator<Item = (u64, String)> {
    bytes.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let begins = at;
        at += line.len() as u64;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        (begins, String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned())
    })
}

#[allow(clippy::naive_bytecount)] // it counts a log once, and is not worth a crate
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

/// How many line ends the next `length` bytes hold.
fn newlines(file: &mut File, length: u64) -> io::Result<usize> {
    let mut reader = BufReader::with_capacity(64 << 10, file.take(length));
    let mut lines = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let read = buffer.len();
        if read == 0 {
            return Ok(lines);
        }
        lines += count(buffer);
        reader.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_big_log_head_and_tail_are_read_with_true_line_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let text: String = (1..=200_000).map(|number| ["row ", &number.to_string(), "\n"].concat()).collect();
        fs::write(&path, text).unwrap();
        let log = read_log(&path, None, true).unwrap();
        assert!(log.lines().len() < 100_000, "{}", log.lines().len());
        for line in log.lines() {
            let LineNumber::FromStart(number) = line.number else { panic!("{line:?}") };
            assert_eq!(line.text, format!("row {number}"));
        }
        assert_eq!(log.lines().last().unwrap().text, "row 200000");
    }

    #[test]
    fn of_a_huge_log_the_tail_counts_from_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        // A hole of 5 GB takes no room.
        let mut file = File::create(&path).unwrap();
        file.seek(SeekFrom::Start(5 << 30)).unwrap();
        io::Write::write_all(&mut file, b"\nlast but one\nlast\n").unwrap();
        let log = read_log(&path, None, true).unwrap();
        let last: Vec<(LineNumber, &str)> =
            log.lines().iter().rev().take(2).map(|line| (line.number, line.text.as_str())).collect();
        assert_eq!(last, [(LineNumber::FromEnd(1), "last"), (LineNumber::FromEnd(2), "last but one")]);
    }
}
