//! `[defaults]` and `[tasks.NAME]`.

use std::time::Duration;

use super::fault::Fault;
use super::reader::{At, Open, Reader};
use super::suggest::or_known;
use super::surroundings::Surroundings;
use super::value::{bad_variable, quoted_key};
use super::{action, process, spark};
use crate::dag::model::Task;
use crate::dag::trigger_rule::TriggerRule;
use crate::dag::{Config, ProcessSettings, SparkOptions, TaskId};

/// `[defaults]`
#[derive(Default)]
pub(super) struct Defaults {
    settings: Settings,
    pub(super) spark: SparkOptions,
}

/// What a table says of the settings that `[defaults]` and tasks share.
#[derive(Default)]
struct Settings {
    description: Option<String>,
    retries: Option<u32>,
    retry_delay: Option<Duration>,
    retry_backoff: Option<f64>,
    retry_max_delay: Option<Duration>,
    timeout: Option<Duration>,
    kill_grace: Option<Duration>,
    trigger_rule: Option<TriggerRule>,
    depends_on_past: Option<bool>,
    pool: Option<At<Option<String>>>,
    pool_slots: Option<At<i64>>,
    priority: Option<i32>,
    shell_options: Option<Vec<String>>,
    working_dir: Option<String>,
    run_as: Option<String>,
    leave_processes: Option<bool>,
    process: ProcessSettings,
    email: Option<Vec<String>>,
    email_on_failure: Option<bool>,
    email_on_retry: Option<bool>,
    email_on_success: Option<bool>,
}

impl Settings {
    fn read<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Settings {
        Settings {
            description: reader.text(open, "description").map(|text| text.value),
            retries: reader.count(open, "retries"),
            retry_delay: reader.duration(open, "retry_delay").map(|delay| delay.value),
            retry_backoff: reader.number(open, "retry_backoff"),
            retry_max_delay: reader.duration(open, "retry_max_delay").map(|delay| delay.value),
            timeout: reader.span_of_time(open, "timeout"),
            kill_grace: reader.duration(open, "kill_grace").map(|grace| grace.value),
            trigger_rule: reader.choice(open, "trigger_rule").and_then(|word| TriggerRule::parse(word.value)),
            depends_on_past: reader.flag(open, "depends_on_past"),
            pool: reader.text_or_false(open, "pool"),
            pool_slots: reader.whole(open, "pool_slots"),
            priority: reader.whole(open, "priority").and_then(|number| i32::try_from(number.value).ok()),
            shell_options: reader.shell_options(open),
            working_dir: reader.template(open, "working_dir").map(|text| text.value),
            run_as: read_user(reader, open),
            leave_processes: reader.flag(open, "leave_processes"),
            process: process::read(reader, open),
            email: reader.emails(open, "email"),
            email_on_failure: reader.flag(open, "email_on_failure"),
            email_on_retry: reader.flag(open, "email_on_retry"),
            email_on_success: reader.flag(open, "email_on_success"),
        }
    }
}

fn read_user<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Option<String> {
    let user = reader.text(open, "run_as")?;
    let fits = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+');
    if user.value.starts_with(['-', '+']) || !user.value.chars().all(fits) {
        let message = format!("`{}` is not the name of a user", user.value);
        reader.push(Fault::error("bad-name", user.span, message, "expected a name as in /etc/passwd"));
        return None;
    }
    Some(user.value)
}

/// Reads `[defaults]`.
pub(super) fn read_defaults<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Defaults {
    let settings = Settings::read(reader, open);
    let spark = match open.get("spark").cloned() {
        Some(entry) => reader.table(&entry).map(|open| spark::options(reader, &open)).unwrap_or_default(),
        None => SparkOptions::default(),
    };
    Defaults { settings, spark }
}

/// Reads `[tasks.NAME]`; `None` when it cannot be a task.
pub(super) fn read_task<'f>(
    reader: &mut Reader<'f>,
    name: &At<&str>,
    open: &Open<'_, 'f>,
    defaults: &Defaults,
    surroundings: &Surroundings<'_>,
) -> Option<Task> {
    let id = match TaskId::new(name.value) {
        Ok(id) => Some(id),
        Err(wrong) => {
            let message = format!("`{}` cannot be the id of a task", name.value);
            reader.push(
                Fault::error("bad-task-id", name.span.clone(), message, "expected another id").help(wrong.to_string()),
            );
            None
        }
    };
    let own = Settings::read(reader, open);
    let default = &defaults.settings;
    let pool = own.pool.as_ref().or(default.pool.as_ref());
    let pool_slots = own.pool_slots.as_ref().or(default.pool_slots.as_ref());
    let pool = pool.and_then(|pool| Some(At { value: pool.value.clone()?, span: pool.span.clone() }));
    check_pool(reader, name, pool.as_ref(), pool_slots, surroundings.config);
    let env = reader.text_map(open, "env", bad_variable).unwrap_or_default();
    let action = action::read(reader, name, open, surroundings);
    Some(Task {
        id: id?,
        description: own.description.or_else(|| default.description.clone()),
        action: action?,
        retries: own.retries.or(default.retries).unwrap_or(0),
        retry_delay: own.retry_delay.or(default.retry_delay).unwrap_or(Duration::from_secs(5 * 60)),
        retry_backoff: own.retry_backoff.or(default.retry_backoff).unwrap_or(1.0),
        retry_max_delay: own.retry_max_delay.or(default.retry_max_delay).unwrap_or(Duration::from_secs(24 * 3600)),
        timeout: own.timeout.or(default.timeout),
        kill_grace: own.kill_grace.or(default.kill_grace),
        trigger_rule: own.trigger_rule.or(default.trigger_rule).unwrap_or_default(),
        depends_on_past: own.depends_on_past.or(default.depends_on_past).unwrap_or(false),
        pool: pool.map(|pool| pool.value),
        pool_slots: pool_slots.and_then(|slots| u32::try_from(slots.value).ok()).unwrap_or(1),
        priority: own.priority.or(default.priority).unwrap_or(0),
        env,
        shell_options: own.shell_options.or_else(|| default.shell_options.clone()),
        working_dir: own.working_dir.or_else(|| default.working_dir.clone()),
        run_as: own.run_as.or_else(|| default.run_as.clone()),
        leave_processes: own.leave_processes.or(default.leave_processes).unwrap_or(false),
        process: own.process.or(default.process),
        email: own.email.or_else(|| default.email.clone()).unwrap_or_default(),
        email_on_failure: own.email_on_failure.or(default.email_on_failure).unwrap_or(true),
        email_on_retry: own.email_on_retry.or(default.email_on_retry).unwrap_or(false),
        email_on_success: own.email_on_success.or(default.email_on_success).unwrap_or(false),
    })
}

fn check_pool(
    reader: &mut Reader<'_>,
    name: &At<&str>,
    pool: Option<&At<String>>,
    pool_slots: Option<&At<i64>>,
    config: &Config,
) {
    let Some(pool) = pool else { return };
    let Some(&slots) = config.pools.get(&pool.value) else {
        // A pool of [defaults] is the same words for every task: one fault is enough.
        let is_known = reader.faults.iter().rev().any(|fault| fault.code == "unknown-pool" && fault.span == pool.span);
        if !is_known {
            let message = format!("unknown pool `{}`", pool.value);
            let fault = Fault::error("unknown-pool", pool.span.clone(), message, "crondag.toml has no such pool");
            let add = format!("add it to crondag.toml, below [pools]: {} = 4", quoted_key(&pool.value));
            reader.push(or_known(fault.of_config(), &pool.value, config.pools.keys().map(String::as_str), &add));
        }
        return;
    };
    if let Some(wanted) = pool_slots
        && wanted.value > i64::from(slots)
    {
        let message = format!(
            "task `{}` takes {} slots of pool `{}`, which has {slots}: it could never start",
            name.value, wanted.value, pool.value
        );
        reader.push(
            Fault::error("pool-too-small", wanted.span.clone(), message, format!("expected at most {slots}"))
                .help("ask for fewer, or give the pool more slots in crondag.toml")
                .of_config(),
        );
    }
}
