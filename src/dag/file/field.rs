//! Every key of DAG files and of crondag.toml, once: the reader checks against these tables, and the reference and the
//! JSON Schemas are rendered from them.

/// What a key's value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// A text.
    Text,
    /// A text in which names between `{{ }}` are replaced.
    Template,
    /// A list of texts; one text stands for a list of one.
    Texts,
    /// A list of templates.
    Templates,
    /// `true` or `false`.
    Bool,
    /// A whole number, at least this.
    Count(u32),
    /// A whole number, also below zero.
    Integer,
    /// A number, at least this.
    Number(f64),
    /// A duration such as `"10m"`.
    Duration,
    /// A duration, or the word `forever`.
    DurationOrForever,
    /// A size such as `"100MB"`.
    Size,
    /// A memory size as Spark writes it, such as `"4g"`.
    Memory,
    /// Five crontab fields or a shorthand.
    Schedule,
    /// A zone of the tz database.
    Zone,
    /// A date, or a date with a time.
    Date,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A table of names and texts.
    TextTable,
    /// A table of names and templates.
    TemplateTable,
    /// A table of names and whole numbers above zero.
    CountTable,
    /// A table of names and any values.
    ValueTable,
    /// A table with these keys.
    Table(&'static [Field]),
    /// A table of named tables with these keys.
    Tables(&'static [Field]),
}

/// One key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Field {
    /// The key.
    pub key: &'static str,
    /// What its value may be.
    pub kind: Kind,
    /// The default as it would be written; empty for none.
    pub default: &'static str,
    /// What it means, in one or two sentences.
    pub doc: &'static str,
}

const fn field(key: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Field {
    Field { key, kind, default, doc }
}

/// The names of the trigger rules.
pub const TRIGGER_RULES: &[&str] = &[
    "all_success",
    "all_failed",
    "all_done",
    "all_done_min_one_success",
    "one_success",
    "one_failed",
    "one_done",
    "none_failed",
    "none_skipped",
    "none_failed_min_one_success",
    "all_skipped",
    "always",
];

const DEPLOY_MODES: &[&str] = &["client", "cluster"];

macro_rules! spark_options {
    ($($extra:expr),* $(,)?) => {
        &[
            $($extra,)*
            field("master", Kind::Template, "", "`--master`: `yarn`, `local[2]`, `spark://host:7077`, `k8s://...`."),
            field("deploy_mode", Kind::OneOf(DEPLOY_MODES), "", "`--deploy-mode`."),
            field("name", Kind::Template, "\"{{ dag.id }}.{{ task.id }} {{ ds }}\"", "`--name`: what the cluster shows."),
            field("class", Kind::Template, "", "`--class`: the main class of a jar."),
            field("jars", Kind::Templates, "[]", "`--jars`."),
            field("packages", Kind::Templates, "[]", "`--packages`: Maven coordinates."),
            field("py_files", Kind::Templates, "[]", "`--py-files`."),
            field("files", Kind::Templates, "[]", "`--files`."),
            field("archives", Kind::Templates, "[]", "`--archives`."),
            field("conf", Kind::TemplateTable, "{}", "`--conf key=value` for each; merged key by key with the tables above it."),
            field("queue", Kind::Template, "", "`--queue`: the YARN queue."),
            field("driver_memory", Kind::Memory, "", "`--driver-memory`, such as `4g`."),
            field("driver_cores", Kind::Count(1), "", "`--driver-cores`."),
            field("executor_memory", Kind::Memory, "", "`--executor-memory`, such as `8g`."),
            field("executor_cores", Kind::Count(1), "", "`--executor-cores`."),
            field("num_executors", Kind::Count(0), "", "`--num-executors`."),
            field("principal", Kind::Template, "", "`--principal`: the Kerberos principal."),
            field("keytab", Kind::Template, "", "`--keytab`: its key file."),
            field("proxy_user", Kind::Template, "", "`--proxy-user`."),
        ]
    };
}

/// Options of `spark-submit`, as `[defaults.spark]` takes them.
pub const SPARK_OPTIONS: &[Field] = spark_options!();

/// `[tasks.NAME.spark]`
pub const SPARK_TASK: &[Field] = spark_options!(
    field(
        "application",
        Kind::Template,
        "",
        "The Python file or jar; relative paths are relative to the home. Required."
    ),
    field("args", Kind::Templates, "[]", "Arguments of the application."),
);

/// `[spark]` of crondag.toml
pub const SPARK_SETTINGS: &[Field] = spark_options!(
    field(
        "spark_submit",
        Kind::Text,
        "",
        "The `spark-submit` program. By default `spark_home/bin/spark-submit`, else the one on the task's `PATH`."
    ),
    field("spark_home", Kind::Text, "", "Where Spark is installed; set as `SPARK_HOME` for spark tasks."),
);

/// `[tasks.NAME.sql]`
pub const SQL_TASK: &[Field] = &[
    field("connection", Kind::Text, "", "A connection of crondag.toml. Required."),
    field("file", Kind::Template, "", "A file of SQL statements, relative to the home. Its text is a template too."),
    field("statements", Kind::Template, "", "The SQL statements themselves. Either this or `file`."),
    field("to", Kind::Template, "", "A CSV file, relative to the home, that gets the last result set, whole or not at all."),
    field(
        "params",
        Kind::TemplateTable,
        "{}",
        "Values bound to `:name` in the statements. `:ds`, `:ds_nodash`, `:ts` and the other dates are bound anyway.",
    ),
];

macro_rules! task_settings {
    ($($extra:expr),* $(,)?) => {
        &[
            $($extra,)*
            field("retries", Kind::Count(0), "0", "Further attempts after the first one failed."),
            field("retry_delay", Kind::Duration, "\"5m\"", "How long after a failure the next attempt starts."),
            field("retry_backoff", Kind::Number(1.0), "1", "Each further delay is this many times the one before."),
            field("retry_max_delay", Kind::Duration, "\"24h\"", "No delay grows beyond this."),
            field("timeout", Kind::Duration, "", "How long one attempt may take before its process tree is ended; it has then failed."),
            field("trigger_rule", Kind::OneOf(TRIGGER_RULES), "\"all_success\"", "When the task runs, given how its upstream tasks ended."),
            field("depends_on_past", Kind::Bool, "false", "Wait until the same task of the previous run has succeeded or was skipped."),
            field("pool", Kind::Text, "", "A pool of crondag.toml whose slots the task takes."),
            field("pool_slots", Kind::Count(1), "1", "How many slots of the pool it takes."),
            field("priority", Kind::Integer, "0", "Among tasks that could start, the highest goes first; then the oldest date."),
            field("env", Kind::TemplateTable, "{}", "Environment, on top of the DAG's `env`."),
            field("working_dir", Kind::Template, "", "Where the task runs, relative to the home; the home itself by default."),
            field("email", Kind::Texts, "[]", "Who gets the task's mail."),
            field("email_on_failure", Kind::Bool, "true", "Mail when the last attempt failed."),
            field("email_on_retry", Kind::Bool, "false", "Mail when an attempt failed and another follows."),
            field("email_on_success", Kind::Bool, "false", "Mail when the task succeeded."),
        ]
    };
}

/// `[tasks.NAME]`
pub const TASK: &[Field] = task_settings!(
    field("description", Kind::Text, "", "For people."),
    field("shell", Kind::Template, "", "A script for `bash -c`. Exit status 99 marks the task skipped."),
    field("spark", Kind::Table(SPARK_TASK), "", "One `spark-submit`."),
    field("sql", Kind::Table(SQL_TASK), "", "SQL statements on one connection, in one transaction."),
    field("after", Kind::Texts, "[]", "Tasks that this one waits for. Means the same as an arrow in `order`."),
);

/// `[defaults]`
pub const DEFAULTS: &[Field] = task_settings!(field(
    "spark",
    Kind::Table(SPARK_OPTIONS),
    "",
    "Options that every spark task of this DAG starts from."
),);

/// A DAG file.
pub const DAG: &[Field] = &[
    field("description", Kind::Text, "", "For people."),
    field("owner", Kind::Text, "", "Who answers for it, for people."),
    field("tags", Kind::Texts, "[]", "Labels, for people."),
    field(
        "schedule",
        Kind::Schedule,
        "",
        "Five crontab fields, or `@hourly @daily @weekly @monthly @yearly`. Without it the DAG runs when triggered.",
    ),
    field(
        "timezone",
        Kind::Zone,
        "crondag.toml's, else the machine's",
        "The zone in which schedule and dates are meant.",
    ),
    field("start_date", Kind::Date, "", "The first logical date that is scheduled."),
    field("end_date", Kind::Date, "", "The last logical date that is scheduled, included."),
    field(
        "catchup",
        Kind::Bool,
        "false",
        "After downtime: run all due intervals, oldest first (from `start_date` on), or only the latest one.",
    ),
    field("max_active_runs", Kind::Count(1), "16", "How many runs of the DAG may be running at once."),
    field("max_active_tasks", Kind::Count(1), "16", "How many tasks of the DAG may run at once, over all its runs."),
    field("run_timeout", Kind::Duration, "", "From a run's start; then its unfinished tasks are skipped and it fails."),
    field("params", Kind::ValueTable, "{}", "Values of `params.*` in templates; `--param` overrides them."),
    field("env", Kind::TemplateTable, "{}", "Environment of every task, on top of crondag.toml's."),
    field("defaults", Kind::Table(DEFAULTS), "", "Settings of every task that does not say otherwise."),
    field(
        "order",
        Kind::Texts,
        "[]",
        "Chains such as `\"a >> [b, c] >> d\"`: what stands left of an arrow comes first.",
    ),
    field("tasks", Kind::Tables(TASK), "", "The tasks. Each has exactly one of `shell`, `spark` and `sql`."),
];

const CONNECTION: &[Field] = &[
    field("type", Kind::OneOf(&["sqlite"]), "", "The kind of database. Required."),
    field("path", Kind::Text, "", "The database file, relative to the home; created when missing. Required."),
];

const EMAIL: &[Field] = &[
    field("from", Kind::Text, "", "The sender, `Name <address>` or bare. Required."),
    field("transport", Kind::OneOf(&["smtp", "sendmail", "folder"]), "\"smtp\"", "How mail leaves the machine."),
    field("host", Kind::Text, "", "smtp: the server. Required for smtp."),
    field("port", Kind::Count(1), "465, 587 or 25 by `tls`", "smtp: its port."),
    field(
        "tls",
        Kind::OneOf(&["required", "starttls", "none"]),
        "\"starttls\"",
        "smtp: TLS from the first byte, STARTTLS (refused if not offered), or none.",
    ),
    field("tls_verify", Kind::Bool, "true", "smtp: check the server's certificate."),
    field("tls_ca", Kind::Text, "", "smtp: a PEM file of certificates to trust beside the public ones."),
    field("username", Kind::Text, "", "smtp: login name; no login without it."),
    field(
        "password_env",
        Kind::Text,
        "",
        "smtp: the variable, of `env_file` or of the environment, that holds the password.",
    ),
    field("timeout", Kind::Duration, "\"30s\"", "smtp: how long one delivery may take."),
    field("command", Kind::Text, "\"/usr/sbin/sendmail\"", "sendmail: the program."),
    field("path", Kind::Text, "\"mail\"", "folder: where each mail becomes an `.eml` file, relative to the home."),
];

const LOGS: &[Field] = &[
    field("keep", Kind::DurationOrForever, "\"90d\"", "Logs of runs that ended longer ago are deleted."),
    field("max_size", Kind::Size, "\"100MB\"", "One attempt's log is cut in the middle beyond this."),
];

/// crondag.toml
pub const CONFIG: &[Field] = &[
    field("timezone", Kind::Zone, "the machine's", "The zone of DAGs that name none."),
    field("parallelism", Kind::Count(1), "32", "How many tasks may run at once in this home."),
    field("kill_grace", Kind::Duration, "\"10s\"", "How long a process tree has between TERM and KILL."),
    field("pools", Kind::CountTable, "{}", "Slots of each pool."),
    field("env", Kind::TextTable, "{}", "Environment of every task. `PATH` belongs here."),
    field("env_file", Kind::Text, "", "A file of `NAME=value` lines. Its values are masked in logs."),
    field("inherit_env", Kind::Texts, "[]", "Names of variables that tasks inherit from crondag's own environment."),
    field("vars", Kind::ValueTable, "{}", "Values of `var.*` in templates."),
    field("connections", Kind::Tables(CONNECTION), "", "Databases for `sql` tasks."),
    field("email", Kind::Table(EMAIL), "", "How mail leaves. Without it no mail is written."),
    field("logs", Kind::Table(LOGS), "", "Logs of attempts."),
    field("spark", Kind::Table(SPARK_SETTINGS), "", "Where Spark is, and options that every spark task starts from."),
];
