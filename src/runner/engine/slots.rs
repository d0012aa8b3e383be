//! Who may start: running runs per lane, and slots of the home, its pools and its DAGs.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::dag::{Dag, DagId, RunNumber, Task};

/// The home's limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Attempts that may live at once.
    pub parallelism: u32,
    /// Slots of each pool.
    pub pools: BTreeMap<String, u32>,
}

/// Runs that share one `max_active_runs`: those of a DAG, or those of a backfill with a limit of its own.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Dag(DagId),
    Backfill { backfill: i64, limit: u32 },
}

/// The place of a run in its lane's queue.
pub(super) type QueueKey = (i64, i64);

#[derive(Debug, Default)]
struct LaneState {
    running: u32,
    queue: BTreeSet<(QueueKey, RunNumber)>,
}

/// Runs that wait for `max_active_runs`.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    limits: BTreeMap<DagId, u32>,
    lanes: BTreeMap<Lane, LaneState>,
    /// Lanes in which something may have changed since [`Lanes::next`] found nothing.
    changed: BTreeSet<Lane>,
}

impl Lanes {
    pub(super) fn set_dag_limit(&mut self, dag: &DagId, limit: u32) {
        self.limits.insert(dag.clone(), limit);
        self.changed.insert(Lane::Dag(dag.clone()));
        // A backfill with a limit of its own may have waited for this plan.
        let first = Lane::Backfill { backfill: i64::MIN, limit: 0 };
        self.changed.extend(self.lanes.range(first..).map(|(lane, _)| lane.clone()));
    }

    pub(super) fn enqueue(&mut self, lane: Lane, key: QueueKey, run: RunNumber) {
        self.changed.insert(lane.clone());
        self.lanes.entry(lane).or_default().queue.insert((key, run));
    }

    pub(super) fn dequeue(&mut self, lane: &Lane, key: QueueKey, run: RunNumber) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.queue.remove(&(key, run));
        }
    }

    /// The runs that a lane's queue has before this place, in its order.
    pub(super) fn queued_before(&self, lane: &Lane, key: QueueKey) -> impl Iterator<Item = RunNumber> {
        let queue = self.lanes.get(lane).map(|state| &state.queue);
        queue
            .into_iter()
            .flatten()
            .map(|(at, run)| (*at, *run))
            .take_while(move |(at, _)| *at < key)
            .map(|(_, run)| run)
    }

    /// How many runs of a lane may run at once.
    pub(super) fn limit(&self, lane: &Lane) -> u32 {
        match lane {
            Lane::Dag(dag) => self.limits.get(dag).copied().unwrap_or(0),
            Lane::Backfill { limit, .. } => *limit,
        }
    }

    /// Whether another run of the lane may run.
    pub(super) fn has_room(&self, lane: &Lane) -> bool {
        self.lanes.get(lane).map_or(0, |state| state.running) < self.limit(lane)
    }

    pub(super) fn begin(&mut self, lane: Lane) {
        self.lanes.entry(lane).or_default().running += 1;
    }

    pub(super) fn end(&mut self, lane: &Lane) {
        if let Some(state) = self.lanes.get_mut(lane) {
            state.running = state.running.saturating_sub(1);
        }
        self.changed.insert(lane.clone());
    }

    /// Something of a DAG may begin that could not.
    pub(super) fn reconsider(&mut self, dag: &DagId) {
        self.changed.insert(Lane::Dag(dag.clone()));
    }

    /// Every lane may have something new to start: a hold was lifted.
    pub(super) fn reconsider_all(&mut self) {
        self.changed.extend(self.lanes.keys().cloned());
    }

    /// Takes the next run that may start out of its queue and counts it as running.
    pub(super) fn next(&mut self, may_start: impl Fn(RunNumber) -> bool) -> Option<RunNumber> {
        while let Some(lane) = self.changed.first().cloned() {
            if self.has_room(&lane)
                && let Some(state) = self.lanes.get_mut(&lane)
                && let Some(entry) = state.queue.iter().find(|(_, run)| may_start(*run)).copied()
            {
                state.queue.remove(&entry);
                state.running += 1;
                return Some(entry.1);
            }
            if self.lanes.get(&lane).is_some_and(|state| state.running == 0 && state.queue.is_empty()) {
                self.lanes.remove(&lane);
            }
            self.changed.remove(&lane);
        }
        None
    }
}

/// A task instance that could start if there were a slot. Ordered: higher priority, older date, older run, file order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    pub(super) rank: i64,
    pub(super) logical_date: Timestamp,
    pub(super) run: RunNumber,
    pub(super) task: usize,
    /// How many slots of its pool the task takes; it follows from the others.
    pub(super) pool_slots: u32,
}

/// What keeps a ready task from starting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lack {
    Home,
    Dag {
        limit: u32,
    },
    Pool {
        slots: u32,
        used: u32,
    },
    /// This one, which the pool has no room for, stands before it in the pool's queue.
    Behind(Candidate),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Bucket {
    dag: DagId,
    pool: Option<String>,
}

#[derive(Debug, Default)]
struct BucketState {
    ready: BTreeSet<Candidate>,
    max_active_tasks: u32,
}

/// Slots of the home, of its pools and of its DAGs, and the tasks that wait for them.
///
/// Waiting tasks stand in one queue per DAG and pool, so that a full pool costs nothing to pass by. A task that takes
/// several slots of a pool is not overtaken by smaller ones of the same pool: otherwise it might never start.
#[derive(Debug, Default)]
pub(super) struct Slots {
    limits: Limits,
    running: u32,
    pools: BTreeMap<String, u32>,
    dags: BTreeMap<DagId, u32>,
    buckets: BTreeMap<Bucket, BucketState>,
}

impl Slots {
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    pub(super) fn parallelism(&self) -> u32 {
        self.limits.parallelism
    }

    pub(super) fn running(&self) -> u32 {
        self.running
    }

    /// Nothing alive and nothing that could start.
    pub(super) fn is_free(&self) -> bool {
        self.running == 0 && self.buckets.is_empty()
    }

    /// An attempt lives; `None`: of a task of which nothing more is known.
    pub(super) fn occupy(&mut self, dag: &DagId, task: Option<&Task>) {
        self.running += 1;
        *self.dags.entry(dag.clone()).or_default() += 1;
        if let Some(task) = task
            && let Some(pool) = &task.pool
        {
            *self.pools.entry(pool.clone()).or_default() += task.pool_slots;
        }
    }

    pub(super) fn release(&mut self, dag: &DagId, task: Option<&Task>) {
        self.running = self.running.saturating_sub(1);
        if let Some(active) = self.dags.get_mut(dag) {
            *active = active.saturating_sub(1);
            if *active == 0 {
                self.dags.remove(dag);
            }
        }
        if let Some(task) = task
            && let Some(pool) = &task.pool
            && let Some(used) = self.pools.get_mut(pool)
        {
            *used = used.saturating_sub(task.pool_slots);
        }
    }

    pub(super) fn ready(&mut self, candidate: Candidate, dag: &Dag, index: usize) {
        let bucket = self.buckets.entry(bucket(dag, index)).or_default();
        bucket.max_active_tasks = dag.max_active_tasks;
        bucket.ready.insert(candidate);
    }

    pub(super) fn not_ready(&mut self, candidate: &Candidate, dag: &Dag, index: usize) {
        let key = bucket(dag, index);
        if let Some(state) = self.buckets.get_mut(&key) {
            state.ready.remove(candidate);
            if state.ready.is_empty() {
                self.buckets.remove(&key);
            }
        }
    }

    fn has_home_room(&self) -> bool {
        self.running < self.limits.parallelism
    }

    fn has_dag_room(&self, dag: &DagId, max_active_tasks: u32) -> bool {
        self.dags.get(dag).copied().unwrap_or(0) < max_active_tasks
    }

    /// The pool's slots, and how many of them are taken.
    fn pool(&self, pool: &str) -> (u32, u32) {
        (self.limits.pools.get(pool).copied().unwrap_or(0), self.pools.get(pool).copied().unwrap_or(0))
    }

    fn has_pool_room(&self, pool: &str, wanted: u32) -> bool {
        let (slots, used) = self.pool(pool);
        // A task that wants more than the whole pool runs alone in it rather than never.
        used == 0 && slots > 0 || used.saturating_add(wanted) <= slots
    }

    /// The first task of each queue whose DAG has room.
    fn heads(&self) -> impl Iterator<Item = (Candidate, &Bucket)> {
        self.buckets
            .iter()
            .filter(|(bucket, state)| self.has_dag_room(&bucket.dag, state.max_active_tasks))
            .filter_map(|(bucket, state)| Some((*state.ready.first()?, bucket)))
    }

    /// What keeps a task that waits for its slot from being taken by [`Slots::take_best`].
    pub(super) fn lacks(&self, candidate: &Candidate, dag: &Dag, index: usize) -> Vec<Lack> {
        let key = bucket(dag, index);
        let Some(state) = self.buckets.get(&key).filter(|state| state.ready.contains(candidate)) else {
            return Vec::new();
        };
        let mut lacks = Vec::new();
        if !self.has_home_room() {
            lacks.push(Lack::Home);
        }
        if !self.has_dag_room(&key.dag, state.max_active_tasks) {
            lacks.push(Lack::Dag { limit: state.max_active_tasks });
        }
        if let Some(pool) = &key.pool {
            if !self.has_pool_room(pool, candidate.pool_slots) {
                let (slots, used) = self.pool(pool);
                lacks.push(Lack::Pool { slots, used });
            }
            let first = self.heads().filter(|(_, bucket)| bucket.pool == key.pool).map(|(head, _)| head).min();
            if let Some(first) = first
                && first < *candidate
                && !self.has_pool_room(pool, first.pool_slots)
            {
                lacks.push(Lack::Behind(first));
            }
        }
        lacks
    }

    /// Takes the first task that fits out of the queues; the caller occupies its slots.
    pub(super) fn take_best(&mut self) -> Option<Candidate> {
        if !self.has_home_room() {
            return None;
        }
        let mut full_pools: BTreeSet<&str> = BTreeSet::new();
        let mut heads: Vec<(Candidate, &Bucket)> = self.heads().collect();
        heads.sort_unstable();
        let mut found = None;
        for (candidate, bucket) in heads {
            if let Some(pool) = &bucket.pool {
                if full_pools.contains(pool.as_str()) {
                    continue;
                }
                if !self.has_pool_room(pool, candidate.pool_slots) {
                    full_pools.insert(pool);
                    continue;
                }
            }
            found = Some((candidate, bucket.clone()));
            break;
        }
        let (candidate, key) = found?;
        if let Some(state) = self.buckets.get_mut(&key) {
            state.ready.remove(&candidate);
            if state.ready.is_empty() {
                self.buckets.remove(&key);
            }
        }
        Some(candidate)
    }
}

fn bucket(dag: &Dag, index: usize) -> Bucket {
    Bucket { dag: dag.id.clone(), pool: dag.tasks[index].pool.clone() }
}
