//! What a user who wrote an unknown key probably meant.

use std::ops::Range;

use toml::de::DeValue;

use super::action;
use super::fault::Fault;
use super::field::{CONFIG, DAG, DEFAULTS, TASK};
use super::section::{Field, Kind, Section};
use super::suggest::known;
use crate::dag::nearest::nearest;

/// What other schedulers call it, and what it is called here.
const SYNONYMS: &[(&str, &str)] = &[
    ("schedule_interval", "schedule"),
    ("cron", "schedule"),
    ("crontab", "schedule"),
    ("tz", "timezone"),
    ("default_args", "defaults"),
    ("dagrun_timeout", "run_timeout"),
    ("concurrency", "max_active_tasks"),
    ("task_concurrency", "max_active_tasks"),
    ("max_active_tis_per_dag", "max_active_tasks"),
    ("execution_timeout", "timeout"),
    ("retry_exponential_backoff", "retry_backoff"),
    ("max_retry_delay", "retry_max_delay"),
    ("priority_weight", "priority"),
    ("bash_command", "shell"),
    ("bash", "shell"),
    ("command", "shell"),
    ("cmd", "shell"),
    ("script", "shell"),
    ("run", "shell"),
    ("depends_on", "after"),
    ("upstream", "after"),
    ("needs", "after"),
    ("requires", "after"),
    ("deps", "after"),
    ("dependencies", "order"),
    ("cwd", "working_dir"),
    ("workdir", "working_dir"),
    ("doc", "description"),
    ("doc_md", "description"),
    ("environment", "env"),
    ("sql", "statements"),
    ("query", "statements"),
    ("conn_id", "connection"),
    ("num_cores", "executor_cores"),
    ("main_class", "class"),
    ("java_class", "class"),
    ("env_vars", "env"),
    ("smtp_host", "host"),
    ("smtp_port", "port"),
    ("smtp_user", "username"),
    ("user", "username"),
    ("password", "password_env"),
    ("mail_from", "from"),
];

/// A key that its table does not have: the name it has here, the table where it belongs, or the nearest one.
///
/// Also gives the key of this table that was probably meant.
pub(super) fn unknown_key(
    section: &'static Section,
    key: &str,
    span: Range<usize>,
    value: &DeValue<'_>,
) -> (Fault, Option<&'static str>) {
    let fault =
        Fault::error("unknown-key", span, format!("unknown key `{key}` in {}", section.place), "no such setting here");
    let is = |other: &'static Section| std::ptr::eq(section, other);
    if let Some((_, ours)) = SYNONYMS.iter().find(|(theirs, ours)| *theirs == key && section.field(ours).is_some()) {
        let more = if *ours == "password_env" { ": it names the variable that holds the password" } else { "" };
        return (fault.help(format!("here it is called `{ours}`{more}")), Some(ours));
    }
    if key == "dag_id" && is(&DAG) {
        return (fault.help("the DAG's id is the name of its file without `.toml`"), None);
    }
    if key == "task_id" && is(&TASK) {
        return (fault.help("the task's id stands in its header: [tasks.NAME]"), None);
    }
    let elsewhere = if is(&TASK) || is(&DEFAULTS) {
        if is(&TASK)
            && let Some(action) = action_with(key)
        {
            Some(format!("`{key}` is an option of {action}: put it below [tasks.NAME.{action}]"))
        } else if is(&DEFAULTS) && matches!(key, "env" | "params") {
            Some(format!("for all tasks of the DAG write [{key}]"))
        } else if is(&DEFAULTS) && TASK.field(key).is_some() {
            Some(format!("`{key}` belongs to one task: put it below its [tasks.NAME]"))
        } else if DAG.field(key).is_some() {
            Some(format!("`{key}` is a setting of the DAG: put it above the first [table] of the file"))
        } else {
            None
        }
    } else if is(&DAG) && TASK.field(key).is_some() {
        Some(format!("`{key}` is a setting of tasks: put it below [tasks.NAME], or below [defaults] for all"))
    } else if is(&DAG) && matches!(value, DeValue::Table(_)) && key == "spark" {
        Some("for all tasks of the DAG write [defaults.spark]".to_owned())
    } else if is(&DAG) && CONFIG.field(key).is_some() {
        Some(format!("`{key}` belongs into crondag.toml, which all DAGs share"))
    } else if is(&CONFIG) && (DAG.field(key).is_some() || TASK.field(key).is_some()) {
        Some(format!("`{key}` belongs into a DAG file, in the folder dags/"))
    } else {
        None
    };
    if let Some(help) = elsewhere {
        return (fault.help(help), None);
    }
    match nearest(key, section.fields().map(|field| field.key)) {
        Some(near) => (fault.help(format!("did you mean `{near}`?")), Some(near)),
        None => (known(fault, section.fields().map(|field| field.key)), None),
    }
}

/// The only action whose table has this key.
fn action_with(key: &str) -> Option<&'static str> {
    let has = |field: &&Field| matches!(field.kind, Kind::Table(table) if table.field(key).is_some());
    let mut actions = action::FIELDS.iter().filter(has).map(|field| field.key);
    actions.next().filter(|_| actions.next().is_none())
}
