//! Evaluates what tasks wait for, where that needs no process: files (by the host, in the background), other DAGs and gates (in the
//! database).

use super::{Driver, Host, Key};
use crate::dag::schedule::DataInterval;
use crate::dag::{AwaitedDag, Condition};
use crate::runner::awaited;
use crate::runner::engine::{Event, PollResult, Start};
use crate::store::StoreError;

/// What came of an evaluation.
enum Evaluated {
    Now(PollResult),
    /// Only the host can see a file; the path is rendered.
    ByHost(String),
}

impl<H: Host> Driver<H> {
    /// Evaluates what the engine has asked for.
    pub(super) fn poll_all(&mut self, starts: Vec<Start>) {
        let mut files = Vec::new();
        for start in starts {
            let key: Key = (start.run, start.plan.dag.tasks[start.task].id.clone(), start.try_number);
            match self.evaluate(&start) {
                Ok(Evaluated::Now(result)) => self.polled(key, result),
                Ok(Evaluated::ByHost(path)) => files.push((key, path)),
                Err(reason) => self.polled(key, PollResult::Failed(reason)),
            }
        }
        if !files.is_empty() {
            self.host.poll_files(files);
        }
    }

    pub(super) fn polled(&mut self, (run, task, try_number): Key, result: PollResult) {
        self.events.push_back(Event::Polled { run, task, try_number, result });
    }

    fn evaluate(&mut self, start: &Start) -> Result<Evaluated, String> {
        let task = &start.plan.dag.tasks[start.task];
        let bug = || "this needs a process of its own; that the driver is asked is a bug of crondag".to_owned();
        let condition = &task.wait().ok_or_else(bug)?.condition;
        let renderer = self.renderer(start)?;
        let render = |text: &str| renderer.render(text).map_err(|error| error.to_string());
        let result = match condition {
            Condition::File(path) => return Ok(Evaluated::ByHost(render(path)?)),
            Condition::Gate(gate) => {
                let ds = renderer.variables().get("ds").cloned().unwrap_or_default();
                awaited::poll_gate(&self.store, &render(gate)?, &ds)
            }
            Condition::Dag(awaited) => self.poll_dag(start, &awaited.rendered(render)?),
            Condition::Query { .. } | Condition::Url { .. } | Condition::Command(_) => return Err(bug()),
        };
        // A database that does not answer now may answer the next time.
        Ok(Evaluated::Now(
            result.unwrap_or_else(|error| {
                PollResult::NotYet(format!("{condition}; the database does not answer: {error}"))
            }),
        ))
    }

    fn poll_dag(&mut self, start: &Start, awaited: &AwaitedDag) -> Result<PollResult, StoreError> {
        let Some(run) = self.runs.get(&start.run) else {
            return Ok(PollResult::Failed("the driver has lost sight of the run; this is a bug of crondag".to_owned()));
        };
        let interval = DataInterval { start: run.logical_date, end: run.data_interval_end };
        let version = match crate::dag::DagId::new(&awaited.dag) {
            Ok(dag_id) => self.store.dag(&dag_id)?.and_then(|row| row.version_id),
            Err(_) => None,
        };
        // The driver keeps what it has parsed. A file that no tick has seen yet is a DAG all the same.
        let other = match version {
            Some(version) => Some(self.plan(version)?.map(|plan| plan.dag)),
            None => awaited::file(&self.home, &awaited.dag, &self.config),
        };
        awaited::poll(&self.store, &start.plan.dag, interval, awaited, other)
    }
}
