//! What one DAG file says of others: the DAGs and tasks that its `wait` tasks name must be there.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::newline;
use super::suggest::or_known;
use crate::dag::{Dag, TaskId};

/// A file that another one names.
#[derive(Debug)]
pub enum OtherFile {
    /// There is none of this name.
    Missing,
    /// It cannot be read, for which it has faults of its own.
    Faulty,
    /// What it says.
    Good(Box<Dag>),
}

/// The faults of a file's waits for other DAGs. `names` are the DAGs that there are, `file` reads the one of a name.
pub fn check_awaited(text: &str, names: &[String], file: &dyn Fn(&str) -> OtherFile) -> Vec<Fault> {
    let ((), faults) = newline::normalised(text, |text| {
        let (root, _) = DeTable::parse_recoverable(text);
        let mut faults = Vec::new();
        if let Some(DeValue::Table(tasks)) = root.get_ref().get("tasks").map(Spanned::get_ref) {
            for (_, task) in tasks {
                faults.extend(check_task(task.get_ref(), names, file));
            }
        }
        ((), faults)
    });
    faults
}

fn check_task(task: &DeValue<'_>, names: &[String], file: &dyn Fn(&str) -> OtherFile) -> Option<Fault> {
    let wait = task.as_table()?.get("wait")?.get_ref().as_table()?;
    let (dag, task) = (wait.get("dag")?, wait.get("task"));
    let name = dag.get_ref().as_str()?;
    match file(name) {
        OtherFile::Faulty => None,
        OtherFile::Missing => {
            let fault =
                Fault::error("unknown-dag", dag.span(), format!("unknown DAG `{name}`"), "there is no such DAG file");
            let none = "the id of a DAG is the name of its file without `.toml`";
            Some(or_known(fault, name, names.iter().map(String::as_str), none))
        }
        OtherFile::Good(other) => {
            let task = task?;
            let id = task.get_ref().as_str()?;
            if other.task_index(id).is_some() {
                return None;
            }
            let message = format!("DAG `{name}` has no task `{id}`");
            let fault = Fault::error("unknown-task", task.span(), message, "no task of that DAG has this id");
            Some(or_known(fault, id, other.tasks.iter().map(|task| &task.id).map(TaskId::as_str), ""))
        }
    }
}
