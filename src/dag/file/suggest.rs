//! What a user who wrote an unknown name probably meant.

use std::ops::Range;

use toml::de::DeValue;

use super::fault::Fault;
use super::field::{CONFIG, DAG, DEFAULTS, SPARK, Section, TASK};
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
        if is(&TASK) && SPARK.field(key).is_some() {
            Some(format!("`{key}` is an option of spark: put it below [tasks.NAME.spark]"))
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

/// Names the nearest of what there is, else some of it.
pub(super) fn or_known<'n>(
    fault: Fault,
    wanted: &str,
    names: impl Iterator<Item = &'n str> + Clone,
    none: &str,
) -> Fault {
    if names.clone().next().is_none() {
        return fault.help(none);
    }
    match nearest(wanted, names.clone()) {
        Some(near) => fault.help(format!("did you mean `{near}`?")),
        None => known(fault, names),
    }
}

/// Adds the names, in lines that fit the width of the page.
fn known<'n>(fault: Fault, names: impl Iterator<Item = &'n str>) -> Fault {
    const WIDTH: usize = 84;
    const MOST: usize = 40;
    const LEAD: &str = "known: ";
    let mut help = LEAD.to_owned();
    let mut column = LEAD.len();
    for (index, name) in names.enumerate() {
        let name = if index < MOST { name } else { "..." };
        let length = name.chars().count() + 2;
        if index > 0 {
            help.push(',');
            if column + length > WIDTH {
                help.push('\n');
                help.push_str(&" ".repeat(LEAD.len()));
                column = LEAD.len();
            } else {
                help.push(' ');
            }
        }
        help.push_str(name);
        column += length;
        if index == MOST {
            break;
        }
    }
    fault.help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_names_forty_are_shown() {
        let names: Vec<String> = (0..45).map(|number| format!("name{number:02}")).collect();
        let fault = or_known(Fault::error("x", 0..0, "m", "l"), "colour", names.iter().map(String::as_str), "");
        let help = &fault.help[0];
        assert!(help.starts_with("known: name00, name01,") && help.ends_with("name39, ..."), "{help}");
        assert!(help.lines().all(|line| line.chars().count() <= 85), "{help}");
    }
}
