//! Reads a DAG file.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::de::DeTable;

use super::fault::Fault;
use super::field;
use super::order;
use super::reader::{Reader, Section, Text};
use crate::dag::config::Config;
use crate::dag::graph::Graph;
use crate::dag::id::{DagId, TaskId};
use crate::dag::model::{Action, Dag, Shell, Spark, SparkOptions, Sql, SqlSource, Task};
use crate::dag::template::Checker;
use crate::dag::template::check::nearest;
use crate::dag::trigger_rule::TriggerRule;

/// Reads the DAG file `<id>.toml`.
///
/// `exists` says whether a path relative to the home is there; missing files are warnings. Gives the DAG, unless there
/// is any error, and every fault of the file.
pub fn read_dag(id: &str, text: &str, config: &Config, exists: &dyn Fn(&Path) -> bool) -> (Option<Dag>, Vec<Fault>) {
    let reader = Reader::new(text);
    let mut dag = None;
    match DagId::new(id) {
        Ok(id) => {
            if let Some(table) = reader.parse() {
                dag = DagReader { reader: &reader, config, exists }.read(id, table.get_ref());
            }
        }
        Err(error) => reader.push(
            Fault::error("bad-name", 0..0, format!("the file's name `{id}.toml` cannot be a DAG's id: {error}"))
                .label("the id is the name of the file")
                .help("rename the file"),
        ),
    }
    let faults = reader.into_faults();
    let usable = faults.iter().all(|fault| fault.severity == super::fault::Severity::Warning);
    (dag.filter(|_| usable), faults)
}

/// Settings that `[defaults]` and a task both have.
#[derive(Debug, Clone)]
struct Settings {
    retries: u32,
    retry_delay: Duration,
    retry_backoff: f64,
    retry_max_delay: Duration,
    timeout: Option<Duration>,
    trigger_rule: TriggerRule,
    depends_on_past: bool,
    pool: Option<String>,
    pool_slots: u32,
    priority: i32,
    env: BTreeMap<String, String>,
    working_dir: Option<String>,
    email: Vec<String>,
    email_on_failure: bool,
    email_on_retry: bool,
    email_on_success: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            retries: 0,
            retry_delay: Duration::from_secs(300),
            retry_backoff: 1.0,
            retry_max_delay: Duration::from_secs(86_400),
            timeout: None,
            trigger_rule: TriggerRule::AllSuccess,
            depends_on_past: false,
            pool: None,
            pool_slots: 1,
            priority: 0,
            env: BTreeMap::new(),
            working_dir: None,
            email: Vec::new(),
            email_on_failure: true,
            email_on_retry: false,
            email_on_success: false,
        }
    }
}

/// A task's name with the place where it is defined.
struct Named {
    id: TaskId,
    span: Range<usize>,
}

struct DagReader<'a, 'i> {
    reader: &'a Reader<'i>,
    config: &'a Config,
    exists: &'a dyn Fn(&Path) -> bool,
}

impl<'i> DagReader<'_, 'i> {
    fn read(&self, id: DagId, table: &DeTable<'i>) -> Option<Dag> {
        let top = Section::new(self.reader, table, 0..0, "a DAG file", field::DAG);
        let params = top.value_table("params");
        self.reader.check_templates(Checker::new(&params, &self.config.vars));
        let timezone = top
            .zone("timezone")
            .or_else(|| self.config.timezone.clone())
            .unwrap_or_else(|| TimeZone::try_system().unwrap_or(TimeZone::UTC));
        let start = top.date("start_date");
        let end = top.date("end_date");
        if let (Some((start, start_span)), Some((end, end_span))) = (&start, &end)
            && end.last_instant(&timezone) < start.first_instant(&timezone)
        {
            self.reader.push(
                Fault::error("end-before-start", end_span.clone(), "`end_date` is before `start_date`")
                    .label("nothing would ever run")
                    .related(start_span.clone(), "it starts here")
                    .help("swap them, or leave `end_date` out"),
            );
        }
        let defaults_section = top.section("defaults", "[defaults]", field::DEFAULTS);
        let defaults = match &defaults_section {
            Some(section) => self.settings(section, &Settings::default()),
            None => Settings::default(),
        };
        let spark_defaults = defaults_section
            .as_ref()
            .and_then(|section| section.section("spark", "[defaults.spark]", field::SPARK_OPTIONS))
            .map_or_else(
                || self.config.spark.options.clone(),
                |section| spark_options(&section, &self.config.spark.options),
            );
        let schedule = top.schedule("schedule");
        let catchup = top.boolean("catchup").unwrap_or(false);
        if catchup && schedule.is_some() && !top.has("start_date") {
            self.reader.push(
                Fault::warning("catchup-without-start", top.key_span("catchup"), "`catchup` without `start_date`")
                    .label("from when on?")
                    .help("only intervals after the file was first seen are caught up; set `start_date`"),
            );
        }
        let env = top.environment("env", true);
        let (names, tasks, mut edges) = self.tasks(&top, &defaults, &spark_defaults);
        self.orders(&top, &names, &mut edges);
        let graph = self.graph(&names, &edges)?;
        Some(Dag {
            id,
            description: top.string("description"),
            owner: top.string("owner"),
            tags: top.strings("tags").unwrap_or_default(),
            schedule,
            timezone,
            start_date: start.map(|(bound, _)| bound),
            end_date: end.map(|(bound, _)| bound),
            catchup,
            max_active_runs: top.count("max_active_runs", 1).unwrap_or(16),
            max_active_tasks: top.count("max_active_tasks", 1).unwrap_or(16),
            run_timeout: top.duration("run_timeout"),
            params,
            env,
            tasks,
            graph,
        })
        .filter(|dag| dag.graph.len() == dag.tasks.len())
    }

    // ---- tasks -----------------------------------------------------------------------------------------------------

    fn tasks(
        &self,
        top: &Section<'_, '_, 'i>,
        defaults: &Settings,
        spark: &SparkOptions,
    ) -> (Vec<Named>, Vec<Task>, Vec<Edge>) {
        let section = top.name_table("tasks");
        let entries = section.as_ref().map(Section::entries).unwrap_or_default();
        if entries.is_empty() {
            if section.is_some() || !top.has("tasks") {
                self.reader.push(
                    Fault::error("no-tasks", top.key_span("tasks"), "the DAG has no tasks")
                        .label("expected at least one task")
                        .help("add for example:\n[tasks.hello]\nshell = \"echo hello {{ ds }}\""),
                );
            }
            return (Vec::new(), Vec::new(), Vec::new());
        }
        let mut names = Vec::with_capacity(entries.len());
        let mut tasks = Vec::with_capacity(entries.len());
        let mut afters: Vec<(usize, Vec<Text>)> = Vec::new();
        for (key, _) in entries {
            let id = match TaskId::new(key.get_ref().to_string()) {
                Ok(id) => id,
                Err(error) => {
                    let message = format!("`{}` cannot be a task's id: {error}", key.get_ref());
                    self.reader
                        .push(Fault::error("bad-name", key.span(), message).label("not an id").help("rename the task"));
                    continue;
                }
            };
            let Some(section) =
                section.as_ref().and_then(|all| all.section(id.as_str(), &format!("task `{id}`"), field::TASK))
            else {
                continue;
            };
            let after = section.texts("after").unwrap_or_default();
            let task = self.task(id.clone(), &section, defaults, spark);
            afters.push((names.len(), after));
            names.push(Named { id, span: key.span() });
            tasks.extend(task);
        }
        let known = index(&names);
        let mut edges = Vec::new();
        for (task, after) in afters {
            for text in after {
                if let Some(from) = self.find(&text.value, text.part(0..text.value.len()), &names, &known) {
                    edges.push(Edge { from, to: task, span: text.span });
                }
            }
        }
        (names, tasks, edges)
    }

    fn task(
        &self,
        id: TaskId,
        section: &Section<'_, '_, 'i>,
        defaults: &Settings,
        spark: &SparkOptions,
    ) -> Option<Task> {
        let settings = self.settings(section, defaults);
        let action = self.action(&id, section, spark)?;
        Some(Task {
            id,
            description: section.string("description"),
            action,
            retries: settings.retries,
            retry_delay: settings.retry_delay,
            retry_backoff: settings.retry_backoff,
            retry_max_delay: settings.retry_max_delay,
            timeout: settings.timeout,
            trigger_rule: settings.trigger_rule,
            depends_on_past: settings.depends_on_past,
            pool: settings.pool,
            pool_slots: settings.pool_slots,
            priority: settings.priority,
            env: settings.env,
            working_dir: settings.working_dir,
            email: settings.email,
            email_on_failure: settings.email_on_failure,
            email_on_retry: settings.email_on_retry,
            email_on_success: settings.email_on_success,
        })
    }

    fn settings(&self, section: &Section<'_, '_, 'i>, defaults: &Settings) -> Settings {
        let mut env = defaults.env.clone();
        env.extend(section.environment("env", true));
        let pool = section.text("pool");
        if let Some(pool) = &pool {
            self.check_pool(pool, section);
        }
        if let Some(emails) = section.texts("email") {
            for email in emails.iter().filter(|email| !email.value.contains('@')) {
                self.reader.push(
                    Fault::error("bad-email", email.span.clone(), format!("`{}` is not a mail address", email.value))
                        .label("expected an address")
                        .help("write for example \"data-team@example.com\""),
                );
            }
        }
        Settings {
            retries: section.count("retries", 0).unwrap_or(defaults.retries),
            retry_delay: section.duration("retry_delay").unwrap_or(defaults.retry_delay),
            retry_backoff: section.number("retry_backoff", 1.0).unwrap_or(defaults.retry_backoff),
            retry_max_delay: section.duration("retry_max_delay").unwrap_or(defaults.retry_max_delay),
            timeout: section.duration("timeout").or(defaults.timeout),
            trigger_rule: section
                .one_of("trigger_rule", field::TRIGGER_RULES)
                .and_then(TriggerRule::parse)
                .unwrap_or(defaults.trigger_rule),
            depends_on_past: section.boolean("depends_on_past").unwrap_or(defaults.depends_on_past),
            pool: pool.map(|pool| pool.value).or_else(|| defaults.pool.clone()),
            pool_slots: section.count("pool_slots", 1).unwrap_or(defaults.pool_slots),
            priority: section.integer("priority").unwrap_or(defaults.priority),
            env,
            working_dir: section.template("working_dir").or_else(|| defaults.working_dir.clone()),
            email: section.strings("email").unwrap_or_else(|| defaults.email.clone()),
            email_on_failure: section.boolean("email_on_failure").unwrap_or(defaults.email_on_failure),
            email_on_retry: section.boolean("email_on_retry").unwrap_or(defaults.email_on_retry),
            email_on_success: section.boolean("email_on_success").unwrap_or(defaults.email_on_success),
        }
    }

    fn check_pool(&self, pool: &Text, section: &Section<'_, '_, 'i>) {
        match self.config.pools.get(&pool.value) {
            None => {
                let fault =
                    Fault::error("unknown-pool", pool.span.clone(), format!("there is no pool `{}`", pool.value));
                let help = match nearest(&pool.value, self.config.pools.keys().map(String::as_str)) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("add it to crondag.toml:\n[pools]\n{} = 4", pool.value),
                };
                self.reader.push(fault.label("not in [pools] of crondag.toml").help(help));
            }
            Some(&slots) => {
                if let Some(wanted) = section.count("pool_slots", 1).filter(|wanted| *wanted > slots) {
                    let message = format!("the task wants {wanted} slots, the pool `{}` has {slots}", pool.value);
                    self.reader.push(
                        Fault::warning("pool-too-small", section.key_span("pool_slots"), message)
                            .label("it will run alone in the pool")
                            .help("lower `pool_slots`, or give the pool more in crondag.toml"),
                    );
                }
            }
        }
    }

    fn action(&self, id: &TaskId, section: &Section<'_, '_, 'i>, spark: &SparkOptions) -> Option<Action> {
        let kinds: Vec<&str> = ["shell", "spark", "sql"].into_iter().filter(|kind| section.has(kind)).collect();
        match kinds.as_slice() {
            [] => {
                self.reader.push(
                    Fault::error("no-action", section.span.clone(), format!("task `{id}` has nothing to run"))
                        .label("expected one of shell, spark and sql")
                        .help("add for example: shell = \"echo {{ ds }}\""),
                );
                None
            }
            ["shell"] => {
                let script = section.template_text("shell")?;
                if script.value.trim().is_empty() {
                    self.reader.push(
                        Fault::error("no-action", script.span, format!("the script of task `{id}` is empty"))
                            .label("expected a script")
                            .help("write what the task runs, or `true` for nothing"),
                    );
                }
                Some(Action::Shell(Shell { script: script.value }))
            }
            ["spark"] => self.spark(section, spark),
            [_] => self.sql(section),
            [first, second, ..] => {
                self.reader.push(
                    Fault::error("two-actions", section.key_span(second), format!("task `{id}` has two actions"))
                        .label("the second one")
                        .related(section.key_span(first), "the first one")
                        .help("make two tasks of it, one `after` the other"),
                );
                None
            }
        }
    }

    fn spark(&self, task: &Section<'_, '_, 'i>, defaults: &SparkOptions) -> Option<Action> {
        let section = task.section("spark", "the spark table", field::SPARK_TASK)?;
        let options = spark_options(&section, defaults);
        let application = section.template_text("application");
        match &application {
            None if !section.has("application") => {
                section.missing(
                    "the spark table",
                    "application",
                    "name the Python file or jar: application = \"jobs/x.py\"",
                );
            }
            None => {}
            Some(path) => self.check_exists(path, "application"),
        }
        let args = section.templates("args").unwrap_or_default();
        Some(Action::Spark(Box::new(Spark { application: application?.value, args, options })))
    }

    fn sql(&self, task: &Section<'_, '_, 'i>) -> Option<Action> {
        let section = task.section("sql", "the sql table", field::SQL_TASK)?;
        let connection = section.text("connection");
        match &connection {
            None if !section.has("connection") => {
                section.missing("the sql table", "connection", "name a connection of crondag.toml");
            }
            None => {}
            Some(name) if !self.config.connections.contains_key(&name.value) => {
                let fault = Fault::error(
                    "unknown-connection",
                    name.span.clone(),
                    format!("there is no connection `{}`", name.value),
                );
                let known = self.config.connections.keys().map(String::as_str);
                let help = match nearest(&name.value, known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!(
                        "add it to crondag.toml:\n[connections.{}]\ntype = \"sqlite\"\npath = \"data/x.db\"",
                        name.value
                    ),
                };
                self.reader.push(fault.label("not in [connections] of crondag.toml").help(help));
            }
            Some(_) => {}
        }
        let params = section.text_table("params", true);
        let (file, statements) = (section.template_text("file"), section.template_text("statements"));
        let source = match (file, statements) {
            (Some(file), None) => {
                self.check_exists(&file, "SQL file");
                SqlSource::File(file.value)
            }
            (None, Some(statements)) => SqlSource::Inline(statements.value),
            (Some(_), Some(_)) => {
                self.reader.push(
                    Fault::error(
                        "two-actions",
                        section.key_span("statements"),
                        "the sql table has both `file` and `statements`",
                    )
                    .label("the second one")
                    .related(section.key_span("file"), "the first one")
                    .help("keep one of them"),
                );
                return None;
            }
            (None, None) => {
                if !section.has("file") && !section.has("statements") {
                    section.missing("the sql table", "file", "write file = \"jobs/x.sql\", or statements = \"...\"");
                }
                return None;
            }
        };
        let to = section.template("to");
        Some(Action::Sql(Sql { connection: connection?.value, source, params, to }))
    }

    fn check_exists(&self, path: &Text, what: &str) {
        let is_local = !path.value.contains("{{") && !path.value.contains("://");
        if is_local && !(self.exists)(Path::new(&path.value)) {
            self.reader.push(
                Fault::warning(
                    "missing-file",
                    path.span.clone(),
                    format!("the {what} `{}` does not exist", path.value),
                )
                .label("no such file in the home")
                .help("paths are relative to the home, the folder with crondag.toml"),
            );
        }
    }

    // ---- edges -----------------------------------------------------------------------------------------------------

    fn orders(&self, top: &Section<'_, '_, 'i>, names: &[Named], edges: &mut Vec<Edge>) {
        let known = index(names);
        for text in top.texts("order").unwrap_or_default() {
            let groups = match order::parse(&text.value) {
                Ok(groups) => groups,
                Err(fault) => {
                    let span = if fault.span.is_empty() { text.span.clone() } else { text.part(fault.span) };
                    self.reader
                        .push(Fault::error("bad-order", span, fault.message).label("in this order").help(fault.help));
                    continue;
                }
            };
            let groups: Vec<Vec<Option<usize>>> = groups
                .into_iter()
                .map(|group| {
                    group.into_iter().map(|(name, at)| self.find(&name, text.part(at), names, &known)).collect()
                })
                .collect();
            for pair in groups.windows(2) {
                for &from in pair[0].iter().flatten() {
                    for &to in pair[1].iter().flatten() {
                        edges.push(Edge { from, to, span: text.span.clone() });
                    }
                }
            }
        }
    }

    fn find(&self, name: &str, span: Range<usize>, names: &[Named], known: &HashMap<String, usize>) -> Option<usize> {
        let found = known.get(name).copied();
        if found.is_none() && !names.is_empty() {
            let fault = Fault::error("unknown-task", span, format!("there is no task `{name}`"))
                .label("not a task of this DAG");
            self.reader.push(match nearest(name, names.iter().map(|named| named.id.as_str())) {
                Some(near) => fault.help(format!("did you mean `{near}`?")),
                None => fault.help(format!("define it as [tasks.{name}], or take it out here")),
            });
        }
        found
    }

    fn graph(&self, names: &[Named], edges: &[Edge]) -> Option<Graph> {
        match Graph::new(names.len(), edges.iter().map(|edge| (edge.from, edge.to))) {
            Ok(graph) => Some(graph),
            Err(cycles) => {
                for cycle in cycles {
                    let first = cycle.0[0];
                    let path: Vec<&str> = cycle.0.iter().chain([&first]).map(|&task| names[task].id.as_str()).collect();
                    let mut steps = cycle.0.iter().copied().zip(cycle.0.iter().copied().skip(1).chain([first]));
                    let closing = steps.clone().last();
                    let edge_span = |step: (usize, usize)| {
                        edges.iter().find(|edge| (edge.from, edge.to) == step).map(|edge| edge.span.clone())
                    };
                    let span = closing.and_then(edge_span).unwrap_or_else(|| names[first].span.clone());
                    let mut fault = Fault::error(
                        "cycle",
                        span.clone(),
                        format!("tasks wait for one another: {}", path.join(" >> ")),
                    )
                    .label("this closes the cycle")
                    .help("take one of the arrows away");
                    if let Some(other) = steps.next().and_then(edge_span).filter(|other| *other != span) {
                        fault = fault.related(other, "it begins here");
                    }
                    self.reader.push(fault);
                }
                None
            }
        }
    }
}

/// `from` comes before `to`, because of what stands at `span`.
struct Edge {
    from: usize,
    to: usize,
    span: Range<usize>,
}

fn index(names: &[Named]) -> HashMap<String, usize> {
    names.iter().enumerate().map(|(position, named)| (named.id.to_string(), position)).collect()
}

/// A spark table on top of the options that it starts from.
pub(super) fn spark_options(section: &Section<'_, '_, '_>, base: &SparkOptions) -> SparkOptions {
    let mut conf = base.conf.clone();
    conf.extend(section.text_table("conf", true));
    let text = |key: &str, base: &Option<String>| section.template(key).or_else(|| base.clone());
    let list = |key: &str, base: &Vec<String>| section.templates(key).unwrap_or_else(|| base.clone());
    let memory = |key: &str, base: &Option<String>| if section.has(key) { section.memory(key) } else { base.clone() };
    SparkOptions {
        master: text("master", &base.master),
        deploy_mode: section
            .one_of("deploy_mode", &["client", "cluster"])
            .map(str::to_owned)
            .or_else(|| base.deploy_mode.clone()),
        name: text("name", &base.name),
        class: text("class", &base.class),
        jars: list("jars", &base.jars),
        packages: list("packages", &base.packages),
        py_files: list("py_files", &base.py_files),
        files: list("files", &base.files),
        archives: list("archives", &base.archives),
        conf,
        queue: text("queue", &base.queue),
        driver_memory: memory("driver_memory", &base.driver_memory),
        driver_cores: section.count("driver_cores", 1).or(base.driver_cores),
        executor_memory: memory("executor_memory", &base.executor_memory),
        executor_cores: section.count("executor_cores", 1).or(base.executor_cores),
        num_executors: section.count("num_executors", 0).or(base.num_executors),
        principal: text("principal", &base.principal),
        keytab: text("keytab", &base.keytab),
        proxy_user: text("proxy_user", &base.proxy_user),
    }
}
