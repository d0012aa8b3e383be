//! What people do at random, written as their commands write it.

use std::collections::BTreeMap;
use std::rc::Rc;

use crondag::dag::schedule::DataInterval;
use crondag::dag::{DagId, RunNumber, RunType, TaskId, TaskState};
use crondag::runner::planner;
use crondag::store::{DagRow, Intent, NewRun, Rerun, StoreError, Write};
use jiff::{SignedDuration, Timestamp};

use super::due::File;
use super::version::Version;
use super::world::World;

const BY: &str = "sim";

impl World {
    /// Somebody does something.
    pub fn person(&mut self) {
        match self.random.below(20) {
            0..=3 => self.work_on_a_file(),
            4 => self.touch_pause(),
            5 | 6 => self.trigger(),
            7..=9 => self.backfill(),
            _ => self.interfere_now(),
        }
    }

    /// Somebody may commit something while the driver is in the midst of a step.
    pub fn interfere(&mut self) {
        if !self.is_quiet && self.fault.is_none() && self.random.chance(10) {
            self.interfere_now();
        }
    }

    fn interfere_now(&mut self) {
        match self.random.below(8) {
            0..=3 => self.clear(),
            4 | 5 => self.mark(),
            6 => self.stop_run(),
            _ => self.hold(),
        }
    }

    fn any_dag(&mut self) -> Option<DagId> {
        let ids: Vec<String> = self.due.dags.keys().cloned().collect();
        if ids.is_empty() {
            return None;
        }
        Some(DagId::new(self.random.pick(&ids).clone()).unwrap())
    }

    fn good_file(&mut self) -> Option<Rc<Version>> {
        let good: Vec<Rc<Version>> = self
            .files
            .values()
            .filter_map(|file| match file {
                File::Good(version) => Some(version.clone()),
                File::Broken => None,
            })
            .collect();
        if good.is_empty() { None } else { Some(self.random.pick(&good).clone()) }
    }

    /// Commits with the clients' connection; a client whose disk refuses has changed nothing.
    fn write<T>(&mut self, what: impl FnOnce(&Write<'_>) -> Result<T, StoreError>) -> Option<T> {
        let written = self.store.write().and_then(|write| {
            let done = what(&write)?;
            write.commit()?;
            Ok(done)
        });
        match written {
            Ok(done) => Some(done),
            Err(error) => {
                self.refused(&error);
                None
            }
        }
    }

    // ---- files ---------------------------------------------------------------------------------------------------

    fn work_on_a_file(&mut self) {
        let dags: Vec<String> = self.files.keys().cloned().collect();
        let span = self.span;
        match self.random.below(10) {
            0 => {
                let dag = format!("d{}", self.random.below(7));
                if !self.files.contains_key(&dag) && !self.due.dags.contains_key(&dag) {
                    let version = self.new_version(&dag);
                    self.tell(|_| format!("a new file {dag}"));
                    self.write_file(File::Good(version), &dag);
                    return;
                }
                // One that was deleted comes back.
                let Some(version) = self.due.dags.get(&dag).and_then(|known| known.version.clone()) else { return };
                if !self.files.contains_key(&dag) {
                    self.tell(|_| format!("{dag} comes back"));
                    self.write_file(File::Good(version), &dag);
                }
            }
            1 if dags.len() > 1 => {
                let dag = self.random.pick(&dags).clone();
                std::fs::remove_file(self.home.dag_path(&dag)).unwrap();
                self.files.remove(&dag);
                self.count("files deleted");
                self.tell(|_| format!("{dag} is deleted"));
            }
            2 => {
                let Some(dag) = dags.first().cloned() else { return };
                self.count("files broken");
                self.tell(|_| format!("{dag} is broken"));
                self.write_file(File::Broken, &dag);
            }
            _ => {
                if dags.is_empty() {
                    return;
                }
                let dag = self.random.pick(&dags).clone();
                self.marks += 1;
                let mark = self.marks;
                let before = match &self.files[&dag] {
                    File::Good(version) => version.clone(),
                    // Somebody repairs it.
                    File::Broken => match self.due.dags.get(&dag).and_then(|known| known.version.clone()) {
                        Some(version) => version,
                        None => return,
                    },
                };
                let version = Rc::new(before.edited(mark, span, &mut self.random));
                self.promises.know(&version);
                self.count("files edited");
                self.tell(|_| format!("{dag} is edited: version {mark}"));
                self.write_file(File::Good(version), &dag);
            }
        }
    }

    // ---- commands ------------------------------------------------------------------------------------------------

    /// Pauses a DAG that is not, unpauses one that is.
    fn touch_pause(&mut self) {
        let Some(dag) = self.any_dag() else { return };
        let is_paused = self.due.dags[dag.as_str()].is_paused;
        self.pause(&dag, !is_paused);
    }

    pub fn pause(&mut self, dag: &DagId, is_paused: bool) {
        let now = self.now();
        let written = self.write(|write| {
            let mut row = write.dag(dag)?.unwrap_or_else(|| DagRow::new(dag.clone(), now));
            row.is_paused = is_paused;
            if !is_paused {
                row.schedule_from = now;
                row.file_stamp.clear();
            }
            write.put_dag(&row)
        });
        if written.is_some() {
            self.due.pause(dag.as_str(), is_paused, now);
            self.count("pauses");
            self.tell(|_| format!("{dag} is paused: {is_paused}"));
        }
    }

    fn trigger(&mut self) {
        let Some(version) = self.good_file() else { return };
        let now = self.now();
        let Some((start, end)) = version.closed(now).last().copied() else { return };
        let dag = DagId::new(version.dag.clone()).unwrap();
        let run = NewRun {
            dag_id: dag.clone(),
            run_id: format!("manual__{start}__{}", now.as_microsecond()),
            run_type: RunType::Manual,
            logical_date: start,
            data_interval_end: end,
            params: BTreeMap::new(),
            selection: None,
            backfill_id: None,
        };
        let written = self.write(|write| {
            keep_version(write, &dag, &version, now)?;
            write.create_run(&run, now)
        });
        if written.is_some() {
            self.due.use_file(&version, now);
            self.count("triggers");
            self.tell(|_| format!("trigger {}", run.run_id));
            self.wake();
        }
    }

    fn any_run(&mut self, dag: &DagId) -> Option<RunNumber> {
        let runs = self.promises.newest_runs(dag.as_str());
        if runs.is_empty() { None } else { Some(RunNumber(self.random.pick(&runs).0)) }
    }

    fn instances(&self, run: RunNumber) -> Vec<TaskId> {
        self.store.task_instances(run).unwrap_or_default().into_iter().map(|task| task.task_id).collect()
    }

    /// Some tasks of a run, by its instances.
    fn some_tasks(&mut self, run: RunNumber) -> Vec<TaskId> {
        let mut tasks = self.instances(run);
        tasks.retain(|_| self.random.chance(500));
        tasks
    }

    fn clear(&mut self) {
        let Some(dag) = self.any_dag() else { return };
        let Some(number) = self.any_run(&dag) else { return };
        let Ok(Some(run)) = self.store.run(number) else { return };
        let clear_all = self.random.chance(400);
        let clear = if clear_all { Vec::new() } else { self.some_tasks(number) };
        if !clear_all && clear.is_empty() {
            return;
        }
        let now = self.now();
        let file = match self.files.get(dag.as_str()) {
            Some(File::Good(version)) => Some(version.clone()),
            _ => None,
        };
        // Of the tasks that the file has and a run that has begun has not, none is named.
        let selection = match (&file, self.instances(number)) {
            (Some(version), has) if !clear_all && !has.is_empty() => {
                let in_file = |task: &TaskId| version.tasks.iter().any(|other| other.id == task.as_str());
                let is_new = version.tasks.iter().any(|task| !has.iter().any(|known| known.as_str() == task.id));
                let kept = has.into_iter().filter(|task| !run.state.is_final() || in_file(task));
                is_new.then(|| kept.collect())
            }
            _ => run.selection,
        };
        self.promises.list(number.0, file.as_ref().filter(|_| !clear_all).map(|file| (&clear[..], file)));
        let rerun = Rerun { run: number, clear, clear_all, backfill: None, selection, params: run.params };
        let written = self.write(|write| {
            if let Some(version) = &file {
                keep_version(write, &dag, version, now)?;
            }
            write.ask(&Intent::Rerun(rerun.clone()), now)
        });
        if written.is_some() {
            if let Some(version) = &file {
                self.due.use_file(version, now);
            }
            self.count("clears");
            self.tell(|_| format!("clear {rerun:?}"));
            self.wake();
        }
    }

    fn mark(&mut self) {
        let Some(dag) = self.any_dag() else { return };
        let Some(run) = self.any_run(&dag) else { return };
        let task = if self.random.chance(300) { None } else { self.some_tasks(run).pop() };
        let state = *self.random.pick(&[TaskState::Success, TaskState::Success, TaskState::Failed, TaskState::Skipped]);
        let intent = Intent::Mark { run, task, state, by: BY.to_owned() };
        self.ask(run, &intent);
    }

    fn stop_run(&mut self) {
        let Some(dag) = self.any_dag() else { return };
        let runs = self.promises.newest_runs(dag.as_str());
        let open: Vec<i64> = runs.into_iter().filter(|(_, has_ended)| !has_ended).map(|(run, _)| run).collect();
        if !open.is_empty() {
            let run = RunNumber(*self.random.pick(&open));
            let at_once = self.random.chance(300);
            self.ask(run, &Intent::Stop { run, by: BY.to_owned(), at_once });
        }
    }

    /// Stops every run that has not ended.
    pub fn stop_all(&mut self) {
        for run in self.promises.unfinished().into_keys() {
            let run = RunNumber(run);
            self.ask(run, &Intent::Stop { run, by: BY.to_owned(), at_once: false });
        }
    }

    fn ask(&mut self, run: RunNumber, intent: &Intent) {
        let now = self.now();
        // Known before it is committed: the promises may be checked right after.
        self.promises.asked.insert(run.0);
        if let Intent::Mark { .. } = intent {
            self.promises.list(run.0, None);
        }
        if self.write(|write| write.ask(intent, now)).is_some() {
            self.count(match intent {
                Intent::Mark { .. } => "marks",
                Intent::Stop { .. } => "stops",
                Intent::HoldBackfill { .. } => "backfills held or let go",
                Intent::StopBackfill { .. } => "backfills stopped",
                Intent::Rerun(_) => "reruns",
            });
            self.tell(|_| format!("{intent:?}"));
            self.wake();
        }
    }

    /// Interrupts a backfill, stops its tasks, or lets it go on.
    fn hold(&mut self) {
        let backfills = self.promises.backfills();
        if backfills.is_empty() {
            return;
        }
        let (backfill, is_held) = *self.random.pick(&backfills);
        let intent = if is_held && self.random.chance(400) {
            Intent::StopBackfill { backfill }
        } else {
            Intent::HoldBackfill { backfill, hold: !is_held }
        };
        self.ask(RunNumber(0), &intent);
    }

    /// Everybody lets interrupted backfills go on.
    pub fn hold_nothing(&mut self) {
        for (backfill, is_held) in self.promises.backfills() {
            if is_held {
                self.ask(RunNumber(0), &Intent::HoldBackfill { backfill, hold: false });
            }
        }
    }

    fn backfill(&mut self) {
        let Some(version) = self.good_file() else { return };
        let now = self.now();
        let ahead = now + SignedDuration::from_hours(24 * self.random.between(-5, 2));
        let length = usize::try_from(self.random.between(1, 8)).unwrap();
        let closed = version.closed(ahead);
        let intervals: Vec<(Timestamp, Timestamp)> = closed[closed.len().saturating_sub(length)..].to_vec();
        let is_reverse = self.random.chance(200) && version.tasks.iter().all(|task| !task.depends_on_past);
        let limit = self.random.chance(500).then(|| u32::try_from(self.random.between(1, 3)).unwrap());
        let selection = self.random.chance(250).then(|| vec![TaskId::new(version.tasks[0].id.clone()).unwrap()]);
        let rerun_all = self.random.chance(400);
        let dag = DagId::new(version.dag.clone()).unwrap();
        let zone = version.time_zone();
        let written = self.write(|write| {
            keep_version(write, &dag, &version, now)?;
            let backfill = write.create_backfill(&dag, limit, is_reverse, now)?;
            for (start, end) in &intervals {
                let run = NewRun {
                    dag_id: dag.clone(),
                    run_id: planner::run_id(RunType::Backfill, *start, &zone),
                    run_type: RunType::Backfill,
                    logical_date: *start,
                    data_interval_end: *end,
                    params: BTreeMap::new(),
                    selection: selection.clone(),
                    backfill_id: Some(backfill),
                };
                if planner::create_run(write, run, &zone, now)?.is_some() {
                    continue;
                }
                let Some(known) = write.interval_run(&dag, DataInterval { start: *start, end: *end })? else {
                    continue;
                };
                if known.state.is_final() && !rerun_all {
                    continue;
                }
                let widened = match (&known.selection, &selection) {
                    (Some(before), Some(now)) => {
                        let mut all = before.clone();
                        all.extend(now.iter().filter(|task| !before.contains(task)).cloned());
                        Some(all)
                    }
                    _ => None,
                };
                let is_final = known.state.is_final();
                let rerun = Rerun {
                    run: known.number,
                    clear: if is_final { selection.clone().unwrap_or_default() } else { Vec::new() },
                    clear_all: is_final && selection.is_none(),
                    backfill: Some(backfill),
                    selection: widened,
                    params: known.params.clone(),
                };
                write.assign_run(known.number, Some(backfill), known.selection.as_deref(), &known.params)?;
                write.ask(&Intent::Rerun(rerun), now)?;
            }
            Ok(backfill)
        });
        if let Some(backfill) = written {
            self.due.use_file(&version, now);
            self.due.changes += 1;
            self.due.runs.extend(intervals.iter().map(|(start, end)| (version.dag.clone(), *start, *end)));
            self.count("backfills");
            self.tell(|_| format!("backfill {backfill} of {dag}: {intervals:?} {selection:?}"));
            self.wake();
        }
    }
}

fn keep_version(write: &Write<'_>, dag: &DagId, version: &Version, now: Timestamp) -> Result<(), StoreError> {
    let id = write.keep_version(dag, &version.text, now)?;
    let mut row = write.dag(dag)?.unwrap_or_else(|| DagRow::new(dag.clone(), now));
    row.version_id = Some(id);
    row.fault = None;
    write.put_dag(&row)
}
