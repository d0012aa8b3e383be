//! One pass of planning: takes note of changed DAG files and creates the runs that are due by the clock. What `tick` does, and
//! what the resident scheduler does again and again, as its [`Pacer`] says.

mod fate;
mod note;
mod pacer;
mod schedule;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::SystemTime;
use std::{fs, io};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::attempt::environment::host;
use super::catalog::{self, FaultyFile};
use crate::access::Exposed;
use crate::dag::template::iso;
use crate::dag::{Config, Dag, DagId, RunNumber, RunType};
use crate::home::Home;
use crate::notify::Outbox;
use crate::store::{DagRow, NewRun, Store, StoreError, Trouble, Write};

pub use fate::{Fate, Never, fate_of};
pub use note::{Note, NoteKind, notes};
pub use pacer::Pacer;
pub use schedule::{
    Backlog, History, MOST_COUNTED, backlog, foretold, mark_ahead, next_run, start_delay, starts_at, upcoming,
};

use schedule::{fires_until, heed_clock, made_after, next_fire, room};

/// What a pass found.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs that were created.
    pub created: usize,
    /// Files that changed and are faulty now. A file is reported once for each of its contents.
    pub faulty: Vec<FaultyFile>,
    /// What is to be said of DAGs whose files changed, and of those whose marks were ahead of the clock.
    pub notes: Vec<Note>,
    /// Any row was written.
    pub changed: bool,
    /// How many DAG files there are.
    files: usize,
    /// When the first DAG fires next; not known after a change.
    next_fire: Option<Timestamp>,
}

/// Why there was no pass. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "what a field is called says what it is")]
pub enum PlanError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The home or its folder of DAG files.
    #[error(transparent)]
    Exposed(#[from] Exposed),
    /// The folder of DAG files.
    #[error(
        "cannot read the folder of DAG files {path}: {source}\nnext: put it back, or check its owner and mode (`ls -ld`)"
    )]
    Folder {
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// The id of an interval's run: `scheduled__2018-07-01T07:00:00+08:00`.
pub fn run_id(run_type: RunType, logical_date: Timestamp, zone: &TimeZone) -> String {
    format!("{run_type}__{}", iso(&logical_date.to_zoned(zone.clone())))
}

/// The id of a manual run that is made now: `manual__2018-07-01T07:00:00+08:00__20180702T093000`.
pub fn manual_run_id(logical_date: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let stamp = now.to_zoned(zone.clone()).strftime("%Y%m%dT%H%M%S").to_string();
    format!("{}__{stamp}", run_id(RunType::Manual, logical_date, zone))
}

/// Creates a run and gives its number and its id; `None` when the interval has a run already.
///
/// The id may be taken. Where an interval of an earlier schedule begins at the same time, the end is added:
/// `scheduled__2018-07-01T00:00:00+08:00--2018-07-02T00:00:00+08:00`. Manual runs of the same second are counted.
///
/// # Errors
/// The database.
pub fn create_run(
    write: &Write<'_>,
    mut run: NewRun,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Option<(RunNumber, String)>, StoreError> {
    let first = run.run_id.clone();
    let mut taken = 0;
    loop {
        if let Some(number) = write.create_run(&run, now)? {
            return Ok(Some((number, run.run_id)));
        }
        taken += 1;
        run.run_id = match run.run_type {
            RunType::Manual => format!("{first}_{taken}"),
            RunType::Scheduled | RunType::Backfill => {
                if taken > 1 || write.interval_run(&run.dag_id, run.interval())?.is_some() {
                    return Ok(None);
                }
                format!("{first}--{}", iso(&run.data_interval_end.to_zoned(zone.clone())))
            }
        };
    }
}

/// Makes one pass over the files and the runs that are due at `now`.
///
/// # Errors
/// The database or the folder of DAG files fails. A faulty DAG file is no error: it is reported, and the DAG goes on
/// with its newest good version.
pub fn plan(home: &Home, store: &mut Store, config: &Config, now: Timestamp) -> Result<Report, PlanError> {
    home.refuse_world_writable()?;
    let folder = |source| PlanError::Folder { path: home.dags_dir().display().to_string(), source };
    let known: BTreeMap<String, DagRow> = store.dags()?.into_iter().map(|row| (row.dag_id.to_string(), row)).collect();
    // It has been read a moment ago; one that has vanished since is as good as a changed one.
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
            report.faulty.extend(catalog::load_dag(&path, config).err());
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
    let due = known.values().any(|row| is_due(row, now));
    report.next_fire = known.values().filter(|row| !is_due(row, now)).filter_map(fires_at).min();
    if changed.is_empty() && gone.is_empty() && !due {
        return Ok(report);
    }
    report.changed = !changed.is_empty() || !gone.is_empty();
    let write = store.write()?;
    for row in gone {
        if row.fault.is_some() {
            outbox(config).trouble_over(&write, Trouble::faulty_file(row.dag_id.as_str()), now)?;
        }
        write.put_dag(&DagRow { is_active: false, next_fire_at: None, ..row.clone() })?;
    }
    let edited: BTreeSet<String> = changed.iter().map(|(_, stem, _)| stem.clone()).collect();
    let mut parsed: BTreeMap<String, Dag> = BTreeMap::new();
    for (path, stem, stamp) in changed {
        if let Some(dag) = take_note(home, &write, config, &path, &stem, stamp, now, &mut report)? {
            parsed.insert(stem, dag);
        }
    }
    // Read again under the write lock: another tick may have been faster.
    for stem in seen {
        let Ok(dag_id) = DagId::new(stem.clone()) else { continue };
        let Some(row) = write.dag(&dag_id)?.filter(|row| is_due(row, now)) else { continue };
        let dag = match parsed.get(&stem) {
            Some(dag) => dag,
            None => match stored(&write, &row, config)? {
                Some(dag) => parsed.entry(stem).or_insert(dag),
                None => continue,
            },
        };
        if mark_ahead(&row, now).is_some() {
            report.notes.extend(notes(&write, dag, Some(&row), now)?);
        }
        report.changed |= create_due(&write, dag, &row, now, &mut report)?;
    }
    if report.changed {
        write.commit()?;
    } else {
        drop(write);
    }
    for (stem, dag) in parsed.iter().filter(|(stem, _)| edited.contains(*stem)) {
        let row = DagId::new(stem.as_str()).ok().map(|dag_id| store.dag(&dag_id)).transpose()?.flatten();
        let further = notes(store, dag, row.as_ref(), now)?.into_iter().filter(|note| !report.notes.contains(note));
        report.notes.extend(further.collect::<Vec<_>>());
    }
    Ok(report)
}

/// Whether a DAG fires now or should have fired before, or what is remembered of it cannot be believed.
fn is_due(row: &DagRow, now: Timestamp) -> bool {
    row.is_active
        && !row.is_paused
        && (row.next_fire_at.is_some_and(|fire| fire <= now) || mark_ahead(row, now).is_some())
}

/// Creates what is due of the DAGs that are known, without reading their files: what the driver does when the end of a
/// run has made room. Gives whether anything was written.
///
/// # Errors
/// The database.
pub fn plan_known(store: &mut Store, config: &Config, now: Timestamp) -> Result<bool, StoreError> {
    if !store.is_any_due(now)? {
        return Ok(false);
    }
    let due: Vec<DagId> = store.dags()?.into_iter().filter(|row| is_due(row, now)).map(|row| row.dag_id).collect();
    let write = store.write()?;
    let mut report = Report::default();
    for dag_id in due {
        let Some(row) = write.dag(&dag_id)?.filter(|row| is_due(row, now)) else { continue };
        let Some(dag) = stored(&write, &row, config)? else { continue };
        report.changed |= create_due(&write, &dag, &row, now, &mut report)?;
    }
    if report.changed {
        write.commit()?;
    }
    Ok(report.changed)
}

fn outbox(config: &Config) -> Outbox {
    Outbox::of(config, host())
}

fn stored(write: &Write<'_>, row: &DagRow, config: &Config) -> Result<Option<Dag>, StoreError> {
    let Some(version) = row.version_id else { return Ok(None) };
    let Some(version) = write.version(version)? else { return Ok(None) };
    // Settings may have changed so that it is faulty now. Then its file, which says the same, has been reported.
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
    let loaded = catalog::load_dag(path, config);
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
            if row.fault.take().is_some() {
                outbox(config).trouble_over(write, Trouble::faulty_file(stem), now)?;
            }
            row.next_fire_at = next_fire(&dag, &row);
            Some(dag)
        }
        Err(file) => {
            let fault = file.summary();
            let is_scheduled = row.version_id.is_some();
            let below = format!("{}/", home.root().display());
            let told = fault.strip_prefix(&below).unwrap_or(&fault).to_owned();
            let trouble = Trouble::FaultyFile { dag_id: stem.to_owned(), fault: told, is_scheduled };
            outbox(config).trouble(write, trouble, now)?;
            row.fault = Some(fault);
            report.faulty.push(file);
            // Its last good version goes on: perhaps after it was away, perhaps one that a client used before any pass.
            row.next_fire_at = stored(write, &row, config)?.and_then(|dag| next_fire(&dag, &row));
            None
        }
    };
    write.put_dag(&row)?;
    Ok(dag)
}

/// Creates the runs that are due and have room. Gives whether anything was written.
fn create_due(
    write: &Write<'_>,
    dag: &Dag,
    before: &DagRow,
    now: Timestamp,
    report: &mut Report,
) -> Result<bool, StoreError> {
    let timetable = dag.timetable();
    let mut row = before.clone();
    heed_clock(write, dag, &mut row, now)?;
    let until = fires_until(dag, now);
    let after = made_after(dag, &row, until);
    let mut room = if dag.catchup { room(write, dag)? } else { 1 };
    if let Some(first) = timetable.next_interval(after) {
        let ran = write.intervals_from(&dag.id, first.start)?;
        for upcoming in timetable.upcoming(after, &ran).take_while(|upcoming| upcoming.interval.end <= until) {
            if let Some(interval) = upcoming.to_run() {
                if room == 0 {
                    break;
                }
                room -= 1;
                let run = NewRun {
                    dag_id: dag.id.clone(),
                    run_id: run_id(RunType::Scheduled, interval.start, &dag.timezone),
                    run_type: RunType::Scheduled,
                    logical_date: interval.start,
                    data_interval_end: interval.end,
                    params: BTreeMap::new(),
                    selection: None,
                    backfill_id: None,
                };
                if create_run(write, run, &dag.timezone, now)?.is_some() {
                    report.created += 1;
                }
            }
            row.scheduled_until = row.scheduled_until.max(Some(upcoming.interval.end));
        }
    }
    row.next_fire_at = next_fire(dag, &row);
    if row == *before {
        // It has a backlog and no room: the end of a run is what makes some.
        return Ok(false);
    }
    write.put_dag(&row)?;
    Ok(true)
}

/// Remembers that there was a pass, for `status`. The time of a file is enough, and costs no transaction.
pub fn note_tick(home: &Home) {
    // Only for people: a full disk must not stop the tick.
    let path = home.last_tick_path();
    let opened = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(path);
    let _ = opened.and_then(|file| file.set_modified(SystemTime::now()));
}

/// When the last pass was; `None` too where the file system does not tell, which is for people only.
pub fn last_tick(home: &Home) -> Option<Timestamp> {
    let modified = fs::metadata(home.last_tick_path()).ok()?.modified().ok()?;
    Timestamp::try_from(modified).ok()
}

/// Size, times, mode and number of a file, as one text; changes whenever its content or its mode does, unless somebody hides it on
/// purpose.
fn file_stamp(path: &Path) -> io::Result<String> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        // A link that leads nowhere is a file that cannot be read.
        Err(_) => fs::symlink_metadata(path)?,
    };
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    Ok(format!("{seconds}.{nanoseconds}.{}.{}.{:o}", metadata.size(), metadata.ino(), metadata.mode()))
}
