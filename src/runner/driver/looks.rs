//! Looks that need no process: at files (by the host, in the background), at other DAGs and at gates (in the database).

use super::{Driver, Host, Key};
use crate::dag::schedule::DataInterval;
use crate::dag::{AwaitedDag, Condition};
use crate::runner::awaited;
use crate::runner::engine::{Event, Look, Start};
use crate::store::StoreError;

/// What came of a look.
enum Seen {
    Now(Look),
    /// Only the host can see a file; the path is rendered.
    AskHost(String),
}

impl<H: Host> Driver<H> {
    /// Takes the looks that the engine has asked for.
    pub(super) fn take_looks(&mut self, starts: Vec<Start>) {
        let mut files = Vec::new();
        for start in starts {
            let key: Key = (start.run, start.plan.dag.tasks[start.task].id.clone(), start.try_number);
            match self.look_at(&start) {
                Ok(Seen::Now(look)) => self.looked(key, look),
                Ok(Seen::AskHost(path)) => files.push((key, path)),
                Err(reason) => self.looked(key, Look::Failed(reason)),
            }
        }
        if !files.is_empty() {
            self.host.look_for(files);
        }
    }

    pub(super) fn looked(&mut self, (run, task, try_number): Key, look: Look) {
        self.events.push_back(Event::Looked { run, task, try_number, look });
    }

    fn look_at(&mut self, start: &Start) -> Result<Seen, String> {
        let task = &start.plan.dag.tasks[start.task];
        let bug = || "this is no look for the driver; that is a bug of crondag".to_owned();
        let condition = &task.wait().ok_or_else(bug)?.condition;
        let renderer = self.renderer(start)?;
        let render = |text: &str| renderer.render(text).map_err(|error| error.to_string());
        let looked = match condition {
            Condition::File(path) => return Ok(Seen::AskHost(render(path)?)),
            Condition::Gate(gate) => {
                let ds = renderer.variables().get("ds").cloned().unwrap_or_default();
                awaited::look_at_gate(&self.store, &render(gate)?, &ds)
            }
            Condition::Dag(awaited) => self.look_at_dag(start, awaited),
            Condition::Query { .. } | Condition::Url { .. } | Condition::Command(_) => return Err(bug()),
        };
        // A database that does not answer now may answer at the next look.
        Ok(Seen::Now(
            looked.unwrap_or_else(|error| Look::NotYet(format!("{condition}; the last look failed: {error}"))),
        ))
    }

    fn look_at_dag(&mut self, start: &Start, awaited: &AwaitedDag) -> Result<Look, StoreError> {
        let Some(run) = self.runs.get(&start.run) else {
            return Ok(Look::Failed("the driver has lost sight of the run; this is a bug of crondag".to_owned()));
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
        awaited::look(&self.store, &start.plan.dag, interval, awaited, other)
    }
}
