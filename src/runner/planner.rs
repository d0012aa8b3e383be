//! One look at the clock: takes note of changed DAG files and creates the runs that are due. What `tick` does, and what
//! the resident scheduler does again and again, as its [`Lookout`] says.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;
use std::{fs, io};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::catalog::{self, FaultyFile};
use crate::access::Exposed;
use crate::dag::schedule::{DataInterval, Timetable};
use crate::dag::template::iso;
use crate::dag::{Config, Dag, DagId, RunType};
use crate::home::Home;
use crate::store::{ChangeToken, DagRow, NewRun, Store, StoreError, Write};

/// Due runs that one look creates per DAG at most; the next look goes on. Nobody has more due, except by a wrong
/// `start_date`.
const MOST_RUNS: usize = 100_000;

/// What a look found.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs that were created.
    pub created: usize,
    /// Files that changed and are faulty now. A file is reported once for each of its contents.
    pub faulty: Vec<FaultyFile>,
    /// Any row was written.
    pub changed: bool,
    /// DAG files that were looked at.
    files: usize,
    /// When the first DAG fires next; not known after a change.
    next_fire: Option<Timestamp>,
}

/// How long a resident scheduler leaves DAG files alone, per file: a look at a file costs some microseconds, so watching
/// takes no more of a core for many files than for few.
const PAUSE_PER_FILE: SignedDuration = SignedDuration::from_millis(20);
/// As often as cron looks at its crontabs.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// Knows whether a look would find anything, for one who could look every second.
#[derive(Debug, Default)]
pub struct Lookout {
    quiet: Option<Quiet>,
}

/// Nothing is to be found before any of these.
#[derive(Debug)]
struct Quiet {
    since: Timestamp,
    files_at: Timestamp,
    next_fire: Option<Timestamp>,
    change_token: ChangeToken,
}

impl Lookout {
    /// Whether it is time to look: something is due, somebody wrote to the database (who pauses a DAG, say), the clock was
    /// set back, or the files were left alone for long enough.
    pub fn is_worth_a_look(&self, store: &Store, now: Timestamp) -> bool {
        let Some(quiet) = &self.quiet else { return true };
        let is_calm = now >= quiet.since && now < quiet.files_at && quiet.next_fire.is_none_or(|fire| now < fire);
        !is_calm || store.change_token().ok() != Some(quiet.change_token)
    }

    /// Looks, and remembers what the next look is to wait for.
    ///
    /// # Errors
    /// As [`plan`]; then the next look is worth it at once.
    pub fn look(
        &mut self,
        home: &Home,
        store: &mut Store,
        config: &Config,
        now: Timestamp,
    ) -> Result<Report, PlanError> {
        self.quiet = None;
        // Asked before: what is written meanwhile is worth the next look.
        let change_token = store.change_token()?;
        let report = plan(home, store, config, now)?;
        if !report.changed {
            let count = i32::try_from(report.files).unwrap_or(i32::MAX);
            let pause = PAUSE_PER_FILE.saturating_mul(count).min(LONGEST_PAUSE);
            let files_at = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
            self.quiet = Some(Quiet { since: now, files_at, next_fire: report.next_fire, change_token });
        }
        Ok(report)
    }
}

/// Why there was no look. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The home or its folder of DAG files.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The folder of DAG files.
    #[error("cannot read the folder {path}: {source}\nnext: check its owner and mode")]
    Folder {
        /// The folder.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The id of an interval's run: `scheduled__2018-07-01T07:00:00+08:00`.
pub fn run_id(run_type: RunType, logical_date: Timestamp, zone: &TimeZone) -> String {
    format!("{run_type}__{}", iso(&logical_date.to_zoned(zone.clone())))
}

/// Looks at the files and at the clock.
///
/// # Errors
/// The database or the folder of DAG files fails. A faulty DAG file is no error: it is reported, and the DAG goes on
/// with its newest good version.
pub fn plan(home: &Home, store: &mut Store, config: &Config, now: Timestamp) -> Result<Report, PlanError> {
    home.refuse_world_writable()?;
    let folder = |source| PlanError::Folder { path: home.dags_dir().display().to_string(), source };
    let known: BTreeMap<String, DagRow> = store.dags()?.into_iter().map(|row| (row.dag_id.to_string(), row)).collect();
    let config_stamp = file_stamp(&home.config_path()).unwrap_or_default();
    let mut report = Report::default();
    // In order: runs get their numbers by it.
    let mut seen: BTreeSet<String> = BTreeSet::new();
    let mut changed = Vec::new();
    for path in catalog::dag_files(home).map_err(folder)? {
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let row = known.get(&stem);
        if row.is_none() && DagId::new(stem.as_str()).is_err() {
            // Without an id there is no row to remember the file by, so it is reported each time.
            report.faulty.extend(catalog::load_dag(home, &path, config).err());
            continue;
        }
        // A file that vanished since the folder was read is as good as not listed.
        let Ok(stamp) = file_stamp(&path) else { continue };
        let stamp = format!("{stamp} {config_stamp}");
        if row.is_none_or(|row| row.file_stamp != stamp || !row.is_active) {
            changed.push((path, stem.clone(), stamp));
        }
        seen.insert(stem);
    }
    report.files = seen.len();
    let gone: Vec<&DagRow> =
        known.values().filter(|row| row.is_active && !seen.contains(row.dag_id.as_str())).collect();
    let fires_at = |row: &DagRow| row.next_fire_at.filter(|_| row.is_active && !row.is_paused);
    let is_due = |row: &DagRow| fires_at(row).is_some_and(|fire| fire <= now);
    report.next_fire = known.values().filter_map(fires_at).min();
    let due = report.next_fire.is_some_and(|fire| fire <= now);
    if changed.is_empty() && gone.is_empty() && !due {
        return Ok(report);
    }
    let write = store.write()?;
    for row in gone {
        write.put_dag(&DagRow { is_active: false, next_fire_at: None, ..row.clone() })?;
    }
    let mut parsed: HashMap<String, Dag> = HashMap::new();
    for (path, stem, stamp) in changed {
        if let Some(dag) = take_note(home, &write, config, &path, &stem, stamp, now, &mut report)? {
            parsed.insert(stem, dag);
        }
    }
    // Read again under the write lock: another tick may have been faster.
    for stem in seen {
        let Ok(dag_id) = DagId::new(stem.clone()) else { continue };
        let Some(row) = write.dag(&dag_id)?.filter(|row| is_due(row)) else { continue };
        let dag = match parsed.remove(&stem) {
            Some(dag) => dag,
            None => match stored(&write, &row, config)? {
                Some(dag) => dag,
                None => continue,
            },
        };
        create_due(&write, &dag, row, now, &mut report)?;
    }
    write.commit()?;
    report.changed = true;
    Ok(report)
}

fn stored(write: &Write<'_>, row: &DagRow, config: &Config) -> Result<Option<Dag>, StoreError> {
    let Some(version) = row.version_id else { return Ok(None) };
    let Some(version) = write.version(version)? else { return Ok(None) };
    Ok(catalog::load_version(row.dag_id.as_str(), &version.text, config).ok().map(|dag| (*dag).clone()))
}

/// Reads a changed file and keeps its text if it is good.
#[allow(clippy::too_many_arguments)]
fn take_note(
    home: &Home,
    write: &Write<'_>,
    config: &Config,
    path: &Path,
    stem: &str,
    stamp: String,
    now: Timestamp,
    report: &mut Report,
) -> Result<Option<Dag>, StoreError> {
    let Ok(dag_id) = DagId::new(stem) else { return Ok(None) };
    let loaded = catalog::load_dag(home, path, config);
    let mut row = write.dag(&dag_id)?.unwrap_or_else(|| DagRow::new(dag_id.clone(), now));
    row.file_stamp = stamp;
    if !row.is_active {
        // It was away; what was due meanwhile is not made up for, unless it catches up.
        row.schedule_from = now;
    }
    row.is_active = true;
    let dag = match loaded {
        Ok((dag, file)) => {
            row.version_id = Some(write.keep_version(&dag_id, &file.text, now)?);
            row.fault = None;
            row.next_fire_at = next_fire(&dag, &row);
            Some(dag)
        }
        Err(file) => {
            row.fault = Some(file.summary());
            report.faulty.push(file);
            // Its last good version goes on: perhaps after it was away, perhaps one that a client used before any look.
            row.next_fire_at = stored(write, &row, config)?.and_then(|dag| next_fire(&dag, &row));
            None
        }
    };
    write.put_dag(&row)?;
    Ok(dag)
}

/// Where the search for due intervals begins: after the newest one dealt with.
fn searched_until(dag: &Dag, row: &DagRow) -> Timestamp {
    let start = dag.start_date.as_ref().map(|bound| bound.first_instant(&dag.timezone));
    match (row.scheduled_until, start) {
        (Some(until), _) if dag.catchup => until,
        (None, Some(start)) if dag.catchup => start,
        (until, _) => until.map_or(row.schedule_from, |until| until.max(row.schedule_from)),
    }
}

/// When the DAG fires next.
pub fn next_fire(dag: &Dag, row: &DagRow) -> Option<Timestamp> {
    Timetable::of(dag).next_interval(searched_until(dag, row)).map(|interval| interval.end)
}

fn create_due(
    write: &Write<'_>,
    dag: &Dag,
    mut row: DagRow,
    now: Timestamp,
    report: &mut Report,
) -> Result<(), StoreError> {
    let timetable = Timetable::of(dag);
    let from = searched_until(dag, &row);
    let due: Vec<DataInterval> = if dag.catchup {
        std::iter::successors(timetable.next_interval(from), |interval| timetable.next_interval(interval.end))
            .take_while(|interval| interval.end <= now)
            .take(MOST_RUNS)
            .collect()
    } else {
        timetable.latest_interval(now).filter(|interval| interval.end > from).into_iter().collect()
    };
    for interval in &due {
        let run = NewRun {
            dag_id: dag.id.clone(),
            run_id: run_id(RunType::Scheduled, interval.start, &dag.timezone),
            run_type: RunType::Scheduled,
            logical_date: interval.start,
            data_interval_end: interval.end,
            params: std::collections::BTreeMap::new(),
            selection: None,
            backfill_id: None,
        };
        if write.create_run(&run, now)?.is_some() {
            report.created += 1;
        }
        row.scheduled_until = row.scheduled_until.max(Some(interval.end));
    }
    row.next_fire_at = next_fire(dag, &row);
    write.put_dag(&row)
}

/// Remembers that there was a look, for `status`. The time of a file is enough, and costs no transaction.
pub fn note_tick(home: &Home) {
    // Only for people: a full disk must not stop the tick.
    let path = home.last_tick_path();
    let opened = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    let _ = opened.and_then(|file| file.set_modified(SystemTime::now()));
}

/// When the last look was.
pub fn last_tick(home: &Home) -> Option<Timestamp> {
    let modified = fs::metadata(home.last_tick_path()).ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}

/// What a file looks like from outside; changes whenever its content or its mode does, unless somebody hides it on
/// purpose.
fn file_stamp(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Ok(format!("{seconds}.{nanoseconds}.{}.{}.{:o}", metadata.size(), metadata.ino(), metadata.mode()))
}
