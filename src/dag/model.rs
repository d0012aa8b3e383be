//! A DAG as the rest of the program sees it: read, checked, defaults applied, nothing left to look up.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::check::Check;
use super::graph::Graph;
use super::id::{DagId, TaskId};
use super::process::ProcessSettings;
use super::schedule::{DateBound, Schedule, Timetable};
use super::sql::Sql;
use super::trigger_rule::TriggerRule;
use super::wait::Wait;
use super::words::words;

/// One DAG file.
#[derive(Debug, Clone)]
pub struct Dag {
    /// The stem of the file's name.
    pub id: DagId,
    /// For people.
    pub description: Option<String>,
    /// Who answers for it, for people.
    pub owner: Option<String>,
    /// Labels to select DAGs by.
    pub tags: Vec<String>,
    /// When it fires; `None` means only when somebody triggers it.
    pub schedule: Option<Schedule>,
    /// The zone in which `schedule`, `start_date`, `end_date` and every template date are meant.
    pub timezone: TimeZone,
    /// The first logical date that may run.
    pub start_date: Option<DateBound>,
    /// The last logical date that may run (inclusive).
    pub end_date: Option<DateBound>,
    /// Whether all due intervals run after downtime, or only the latest.
    pub catchup: bool,
    /// Scheduled runs start up to this long after their data interval has ended, always by the same time.
    pub jitter: Option<Duration>,
    /// How many runs may be in state running at once.
    pub max_active_runs: u32,
    /// What becomes of a scheduled run that is due while an earlier one is going on.
    pub overlap: Overlap,
    /// How many tasks may run at once, over all runs of this DAG.
    pub max_active_tasks: u32,
    /// From the run's start; then unfinished tasks are skipped and the run fails.
    pub run_timeout: Option<Duration>,
    /// Defaults of `params.*`; a run may override them.
    pub params: BTreeMap<String, Value>,
    /// Environment of every task, on top of crondag.toml's. Values are templates.
    pub env: BTreeMap<String, String>,
    /// The tasks, in the order of the file.
    pub tasks: Vec<Task>,
    /// Who waits for whom, by index into `tasks`.
    pub graph: Graph,
}

/// What becomes of a scheduled run that is due while an earlier scheduled run of its DAG is going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Overlap {
    /// It waits until the other has ended and no process of it lives.
    #[default]
    Wait,
    /// It is skipped.
    Skip,
    /// The other is stopped and skipped, and it takes its place.
    Replace,
    /// It begins beside the other, as far as `max_active_runs` lets it.
    Allow,
}

impl Overlap {
    /// Every choice.
    pub const ALL: [Overlap; 4] = [Overlap::Wait, Overlap::Skip, Overlap::Replace, Overlap::Allow];

    /// The word of the DAG file.
    pub const fn as_str(self) -> &'static str {
        match self {
            Overlap::Wait => "wait",
            Overlap::Skip => "skip",
            Overlap::Replace => "replace",
            Overlap::Allow => "allow",
        }
    }

    /// The choice of that name.
    pub fn parse(text: &str) -> Option<Overlap> {
        Overlap::ALL.into_iter().find(|overlap| overlap.as_str() == text)
    }

    /// Whether a run waits while an earlier one is going on, if only until it is decided which of the two stays.
    pub fn takes_turns(self) -> bool {
        match self {
            Overlap::Wait | Overlap::Skip | Overlap::Replace => true,
            Overlap::Allow => false,
        }
    }
}

impl Task {
    /// What it waits for, if that is what it does.
    pub fn wait(&self) -> Option<&Wait> {
        if let Action::Wait(wait) = &self.action { Some(wait) } else { None }
    }
}

impl Dag {
    /// The index of a task.
    pub fn task_index(&self, id: &str) -> Option<usize> {
        self.tasks.iter().position(|task| task.id.as_str() == id)
    }

    /// Its data intervals.
    pub fn timetable(&self) -> Timetable<'_> {
        Timetable::new(self.schedule.as_ref(), &self.timezone, self.start_date.as_ref(), self.end_date.as_ref())
    }
}

/// One task of a DAG, with the DAG's `[defaults]` applied.
#[derive(Debug, Clone)]
pub struct Task {
    /// Its name within the DAG.
    pub id: TaskId,
    /// For people.
    pub description: Option<String>,
    /// What it runs.
    pub action: Action,
    /// Further attempts after the first one failed.
    pub retries: u32,
    /// How long after a failure the next attempt starts.
    pub retry_delay: Duration,
    /// Each further delay is this many times the one before; 1 keeps it constant.
    pub retry_backoff: f64,
    /// No delay grows beyond this.
    pub retry_max_delay: Duration,
    /// How long one attempt may take before its process tree is ended.
    pub timeout: Option<Duration>,
    /// How long its process tree has between TERM and KILL; `None` means as long as the home says.
    pub kill_grace: Option<Duration>,
    /// When it runs, given how its upstream tasks ended.
    pub trigger_rule: TriggerRule,
    /// Whether the same task of the previous run must have succeeded or been skipped.
    pub depends_on_past: bool,
    /// The pool whose slots it takes.
    pub pool: Option<String>,
    /// How many slots of the pool it takes.
    pub pool_slots: u32,
    /// Among tasks that could start, higher goes first.
    pub priority: i32,
    /// Environment on top of the DAG's. Values are templates.
    pub env: BTreeMap<String, String>,
    /// Words of `set -o` for its script; `None` means those of the home.
    pub shell_options: Option<Vec<String>>,
    /// Where it runs, relative to the home; the home itself by default. A template.
    pub working_dir: Option<String>,
    /// The user of the machine that it runs as; crondag's own by default.
    pub run_as: Option<String>,
    /// Whether what its program has started lives on when that succeeds.
    pub leave_processes: bool,
    /// What its process begins with, beside its environment and its directory; where it says nothing, the home does.
    pub process: ProcessSettings,
    /// Who gets its mail.
    pub email: Vec<String>,
    /// Mail when the last attempt failed.
    pub email_on_failure: bool,
    /// Mail when an attempt failed and another follows.
    pub email_on_retry: bool,
    /// Mail when it succeeded.
    pub email_on_success: bool,
}

/// What a task runs. Every text in it is a template.
#[derive(Debug, Clone)]
pub enum Action {
    /// A script for `bash -c`.
    Shell(Shell),
    /// One `spark-submit`.
    Spark(Box<Spark>),
    /// SQL statements on one connection.
    Sql(Sql),
    /// Waits until a condition holds.
    Wait(Wait),
    /// Records values and judges them.
    Check(Box<Check>),
    /// One mail about the run.
    Report(Report),
}

impl Action {
    /// Which of the actions it is.
    pub fn kind(&self) -> ActionKind {
        match self {
            Action::Shell(_) => ActionKind::Shell,
            Action::Spark(_) => ActionKind::Spark,
            Action::Sql(_) => ActionKind::Sql,
            Action::Wait(_) => ActionKind::Wait,
            Action::Check(_) => ActionKind::Check,
            Action::Report(_) => ActionKind::Report,
        }
    }
}

words! {
    /// What a task can run, by the key that the DAG file uses for it. Who adds one is led by the compiler to every place
    /// that must know it: its file below `file/action`, which reads it, and its file below `runner/actions`, which runs it.
    pub enum ActionKind {
        /// A script for `bash -c`.
        Shell = "shell",
        /// One `spark-submit`.
        Spark = "spark",
        /// SQL statements on one connection.
        Sql = "sql",
        /// Waits until a condition holds.
        Wait = "wait",
        /// Records values and judges them.
        Check = "check",
        /// One mail about the run.
        Report = "report",
    }
}

/// One mail about the run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Who gets it; the task's `email` when empty.
    pub to: Vec<String>,
    /// Its subject, a template.
    pub subject: Option<String>,
    /// The checks that it shows, by task id; all when empty.
    pub checks: Vec<String>,
    /// How many charts at most.
    pub charts: u32,
    /// How many dates a chart shows.
    pub history: u32,
}

/// A script for `bash -c`.
#[derive(Debug, Clone)]
pub struct Shell {
    /// The script, a template.
    pub script: String,
}

/// One `spark-submit`: crondag.toml's `[spark]`, the DAG's `[defaults.spark]` and the task's own table, merged.
#[derive(Debug, Clone)]
pub struct Spark {
    /// The Python file or jar, as given to `spark-submit`. A template.
    pub application: String,
    /// Arguments of the application; templates.
    pub args: Vec<String>,
    /// Everything before the application.
    pub options: SparkOptions,
}

/// Options of `spark-submit`. All texts are templates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SparkOptions {
    /// `--master`
    pub master: Option<String>,
    /// `--deploy-mode`
    pub deploy_mode: Option<String>,
    /// `--name`
    pub name: Option<String>,
    /// `--class`
    pub class: Option<String>,
    /// `--jars`, joined by commas
    pub jars: Vec<String>,
    /// `--packages`, joined by commas
    pub packages: Vec<String>,
    /// `--py-files`, joined by commas
    pub py_files: Vec<String>,
    /// `--files`, joined by commas
    pub files: Vec<String>,
    /// `--archives`, joined by commas
    pub archives: Vec<String>,
    /// `--conf key=value`, one each; merged key by key
    pub conf: BTreeMap<String, String>,
    /// `--queue`
    pub queue: Option<String>,
    /// `--driver-memory`
    pub driver_memory: Option<String>,
    /// `--driver-cores`
    pub driver_cores: Option<u32>,
    /// `--executor-memory`
    pub executor_memory: Option<String>,
    /// `--executor-cores`
    pub executor_cores: Option<u32>,
    /// `--num-executors`
    pub num_executors: Option<u32>,
    /// `--principal`
    pub principal: Option<String>,
    /// `--keytab`
    pub keytab: Option<String>,
    /// `--proxy-user`
    pub proxy_user: Option<String>,
}

impl SparkOptions {
    /// `over` on top of these: single values and lists take their place, `conf` is merged key by key.
    #[must_use]
    pub fn with(self, over: &SparkOptions) -> SparkOptions {
        let list = |base: Vec<String>, over: &Vec<String>| if over.is_empty() { base } else { over.clone() };
        let mut conf = self.conf;
        conf.extend(over.conf.clone());
        SparkOptions {
            master: over.master.clone().or(self.master),
            deploy_mode: over.deploy_mode.clone().or(self.deploy_mode),
            name: over.name.clone().or(self.name),
            class: over.class.clone().or(self.class),
            jars: list(self.jars, &over.jars),
            packages: list(self.packages, &over.packages),
            py_files: list(self.py_files, &over.py_files),
            files: list(self.files, &over.files),
            archives: list(self.archives, &over.archives),
            conf,
            queue: over.queue.clone().or(self.queue),
            driver_memory: over.driver_memory.clone().or(self.driver_memory),
            driver_cores: over.driver_cores.or(self.driver_cores),
            executor_memory: over.executor_memory.clone().or(self.executor_memory),
            executor_cores: over.executor_cores.or(self.executor_cores),
            num_executors: over.num_executors.or(self.num_executors),
            principal: over.principal.clone().or(self.principal),
            keytab: over.keytab.clone().or(self.keytab),
            proxy_user: over.proxy_user.clone().or(self.proxy_user),
        }
    }
}
