//! Every key of DAG files and of crondag.toml: the one table from which the reader, the reference and the JSON Schema are
//! made. A key that is not here does not exist.

use crate::dag::cause::{CauseClass, CauseEnding};
use crate::dag::trigger_rule::TriggerRule;

/// One key.
#[derive(Debug)]
pub struct Field {
    /// As it is written.
    pub key: &'static str,
    /// What may stand behind `=`.
    pub kind: Kind,
    /// What holds when the key is left out, as JSON; `None` when that is nothing.
    pub default: Option<&'static str>,
    /// A value, as TOML.
    pub example: &'static str,
    /// What it does, in Markdown, without a closing dot.
    pub doc: &'static str,
}

/// The type and unit of a value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A string.
    Text,
    /// A string that is a template.
    Template,
    /// A list of strings.
    Texts,
    /// A list of templates; one string stands for a list of one.
    Templates,
    /// Names of tasks: a list, or one string.
    TaskIds,
    /// Addresses: a list, or one string.
    Emails,
    /// `true` or `false`.
    Flag,
    /// A whole number between two bounds, both included.
    Whole(i64, i64),
    /// A number not below this.
    Number(f64),
    /// A time span with its unit: `"10m"`.
    Duration,
    /// A time span, or `"forever"`.
    DurationOrForever,
    /// A number of bytes with its unit: `"100MB"`.
    Size,
    /// A size in the JVM's notation: `"4g"`.
    Memory,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A date, a local time or an instant.
    Date,
    /// A name of the tz database.
    Zone,
    /// A crontab schedule.
    Schedule,
    /// Chains of tasks: `a >> [b, c] >> d`.
    Order,
    /// Variables of the environment; the values are templates.
    Env,
    /// Texts by name; the values are templates.
    TextMap,
    /// Like [`Kind::TextMap`], where names have dots.
    Properties,
    /// Any TOML values by name.
    Values,
    /// Slots by name.
    Pools,
    /// A list of whole numbers, 0 to 255.
    Bytes,
    /// A table with keys of its own.
    Table(&'static Section),
    /// Tables by name, each with these keys.
    Tables(&'static Section),
}

/// A table of a file.
#[derive(Debug)]
pub struct Section {
    /// Its header, as the reference writes it.
    pub header: &'static str,
    /// What it is called in a message: "in ...".
    pub place: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// Exactly one of these keys must be there; empty when there is no such rule.
    pub one_of: &'static [&'static str],
    /// Its keys, in groups that other tables share.
    pub groups: &'static [&'static [Field]],
}

impl Section {
    /// All keys.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The key of that name.
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.key == key)
    }
}

const fn field(key: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Field {
    Field { key, kind, default: None, example, doc }
}

const fn with_default(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    doc: &'static str,
) -> Field {
    Field { key, kind, default: Some(default), example, doc }
}

const MANY: i64 = 10_000;

/// Names of trigger rules, in the order of [`TriggerRule::ALL`].
static TRIGGER_RULES: [&str; 12] = {
    let mut names = [""; 12];
    let mut index = 0;
    while index < names.len() {
        names[index] = TriggerRule::ALL[index].as_str();
        index += 1;
    }
    names
};

/// A DAG file.
pub static DAG: Section = Section {
    header: "",
    place: "a DAG file",
    doc: "One DAG. Its id is the name of the file without `.toml`. These keys stand above the first `[table]`.",
    required: &["tasks"],
    one_of: &[],
    groups: &[&[
        field("description", Kind::Text, "\"Daily user-profile tags\"", "What the DAG is for; shown in lists"),
        field("owner", Kind::Text, "\"data-platform\"", "Who answers for it; shown in lists and mail"),
        field("tags", Kind::Texts, "[\"profile\", \"daily\"]", "Labels to select DAGs by"),
        field(
            "schedule",
            Kind::Schedule,
            "\"0 7 * * *\"",
            "When it fires: five crontab fields or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Without it \
             the DAG runs only when it is triggered",
        ),
        field(
            "timezone",
            Kind::Zone,
            "\"Asia/Shanghai\"",
            "The zone of `schedule`, of the dates here and of every template date; else the one of crondag.toml, else \
             the machine's",
        ),
        field("start_date", Kind::Date, "2018-07-01", "The first logical date that may run"),
        field("end_date", Kind::Date, "2018-12-31", "The last logical date that may run, itself included"),
        with_default(
            "catchup",
            Kind::Flag,
            "false",
            "true",
            "After downtime: `true` runs every interval that was missed, oldest first; `false` only the latest",
        ),
        with_default("max_active_runs", Kind::Whole(1, MANY), "16", "1", "How many runs may be running at once"),
        with_default(
            "max_active_tasks",
            Kind::Whole(1, MANY),
            "16",
            "4",
            "How many tasks may run at once, over all runs of this DAG",
        ),
        field(
            "run_timeout",
            Kind::Duration,
            "\"6h\"",
            "How long a run may take; then its unfinished tasks are skipped and it fails",
        ),
        field(
            "params",
            Kind::Values,
            "{ window = 30 }",
            "Values of `{{ params.NAME }}`; `--param NAME=VALUE` overrides them for one run",
        ),
        field(
            "env",
            Kind::Env,
            "{ STAGE = \"prod\" }",
            "Environment of every task, on top of crondag.toml's; the values are templates",
        ),
        field(
            "defaults",
            Kind::Table(&DEFAULTS),
            "{ retries = 1 }",
            "Settings for all tasks that do not say otherwise",
        ),
        field(
            "order",
            Kind::Order,
            "[\"extract >> [clean, check] >> load\"]",
            "Who waits for whom: chains of task ids, lists in brackets. Means the same as `after` on the tasks",
        ),
        field("tasks", Kind::Tables(&TASK), "{ load = { shell = \"python3 load.py {{ ds }}\" } }", "The tasks, by id"),
    ]],
};

/// Settings that `[defaults]` shares with a task.
static SHARED: [Field; 16] = [
    with_default(
        "retries",
        Kind::Whole(0, MANY),
        "0",
        "3",
        "How many further attempts follow when the first one failed",
    ),
    with_default("retry_delay", Kind::Duration, "\"5m\"", "\"1m\"", "How long after a failure the next attempt starts"),
    with_default(
        "retry_backoff",
        Kind::Number(1.0),
        "1",
        "2",
        "Each further delay is this many times the one before; 1 keeps it constant",
    ),
    with_default("retry_max_delay", Kind::Duration, "\"24h\"", "\"1h\"", "No delay grows beyond this"),
    field(
        "timeout",
        Kind::Duration,
        "\"2h\"",
        "How long one attempt may take; then its whole process tree is ended and the attempt has failed",
    ),
    with_default(
        "trigger_rule",
        Kind::Choice(&TRIGGER_RULES),
        "\"all_success\"",
        "\"all_done\"",
        "When the task runs, given how the tasks before it ended",
    ),
    with_default(
        "depends_on_past",
        Kind::Flag,
        "false",
        "true",
        "Whether the same task of the previous run must have succeeded or been skipped",
    ),
    field("pool", Kind::Text, "\"yarn\"", "The pool of crondag.toml whose slots it takes"),
    with_default("pool_slots", Kind::Whole(1, MANY), "1", "2", "How many slots of the pool it takes"),
    with_default(
        "priority",
        Kind::Whole(i32::MIN as i64, i32::MAX as i64),
        "0",
        "10",
        "Among tasks that could start, the higher number goes first",
    ),
    field(
        "working_dir",
        Kind::Template,
        "\"jobs\"",
        "Where it runs, relative to the home; the home itself when left out. A template",
    ),
    with_default("email", Kind::Emails, "[]", "[\"admin@example.com\"]", "Who gets its mail"),
    with_default("email_on_failure", Kind::Flag, "true", "false", "Mail when the last attempt failed"),
    with_default("email_on_retry", Kind::Flag, "false", "true", "Mail when an attempt failed and another one follows"),
    with_default("email_on_success", Kind::Flag, "false", "true", "Mail when it succeeded"),
    // `description` is last, so that the reference begins with what most files set.
    field("description", Kind::Text, "\"Loads the day\"", "What the task is for; shown in lists"),
];

/// `[defaults]`
pub static DEFAULTS: Section = Section {
    header: "[defaults]",
    place: "[defaults]",
    doc: "Settings of all tasks of this DAG; a task's own setting goes before.",
    required: &[],
    one_of: &[],
    groups: &[
        &SHARED,
        &[field(
            "spark",
            Kind::Table(&DEFAULTS_SPARK),
            "{ master = \"yarn\" }",
            "Options of all `spark` tasks, on top of crondag.toml's",
        )],
    ],
};

/// `[tasks.NAME]`
pub static TASK: Section = Section {
    header: "[tasks.NAME]",
    place: "a task",
    doc: "One task. It has exactly one action: `shell`, `spark` or `sql`.",
    required: &[],
    one_of: &["shell", "spark", "sql"],
    groups: &[
        &[
            field(
                "shell",
                Kind::Template,
                "\"python3 jobs/load.py {{ ds }}\"",
                "Action: a script for `bash -c`. A template; `{{ params.x | sh }}` quotes a value for the shell",
            ),
            field("spark", Kind::Table(&SPARK), "{ application = \"jobs/load.py\" }", "Action: one `spark-submit`"),
            field(
                "sql",
                Kind::Table(&SQL),
                "{ connection = \"warehouse\", file = \"sql/load.sql\" }",
                "Action: SQL statements in one transaction",
            ),
            field(
                "after",
                Kind::TaskIds,
                "[\"extract\", \"check\"]",
                "The tasks that it waits for. Means the same as `order`",
            ),
            field(
                "env",
                Kind::Env,
                "{ STAGE = \"prod\" }",
                "Environment on top of the DAG's; the values are templates",
            ),
        ],
        &SHARED,
    ],
};

/// `[tasks.NAME.spark]`
pub static SPARK: Section = Section {
    header: "[tasks.NAME.spark]",
    place: "a spark table",
    doc: "One `spark-submit`, started without a shell. Lists take the place of those in `[defaults.spark]` and in \
          crondag.toml's `[spark]`; `conf` is merged key by key. All texts are templates.",
    required: &["application"],
    one_of: &[],
    groups: &[
        &[
            field(
                "application",
                Kind::Template,
                "\"jobs/load.py\"",
                "The Python file or jar. Relative to the home, or with a scheme such as `hdfs://`",
            ),
            field("args", Kind::Templates, "[\"{{ ds_nodash }}\"]", "Arguments of the application"),
        ],
        &SPARK_OPTIONS,
    ],
};

/// `[defaults.spark]`
pub static DEFAULTS_SPARK: Section = Section {
    header: "[defaults.spark]",
    place: "[defaults.spark]",
    doc: "Options of all `spark` tasks of this DAG, on top of crondag.toml's `[spark]`.",
    required: &[],
    one_of: &[],
    groups: &[&SPARK_OPTIONS],
};

static SPARK_OPTIONS: [Field; 19] = [
    field("master", Kind::Template, "\"yarn\"", "`--master`"),
    field("deploy_mode", Kind::Choice(&["client", "cluster"]), "\"client\"", "`--deploy-mode`"),
    field("name", Kind::Template, "\"load {{ ds }}\"", "`--name`"),
    field("class", Kind::Template, "\"com.example.Load\"", "`--class`"),
    field("jars", Kind::Templates, "[\"lib/a.jar\"]", "`--jars`"),
    field("packages", Kind::Templates, "[\"org.apache.spark:spark-avro_2.12:3.5.6\"]", "`--packages`"),
    field("py_files", Kind::Templates, "[\"lib.zip\"]", "`--py-files`"),
    field("files", Kind::Templates, "[\"conf/hive-site.xml\"]", "`--files`"),
    field("archives", Kind::Templates, "[\"env.tar.gz#env\"]", "`--archives`"),
    field("conf", Kind::Properties, "{ \"spark.sql.shuffle.partitions\" = 200 }", "`--conf`, one for each key"),
    field("queue", Kind::Template, "\"etl\"", "`--queue`"),
    field("driver_memory", Kind::Memory, "\"4g\"", "`--driver-memory`"),
    field("driver_cores", Kind::Whole(1, MANY), "2", "`--driver-cores`"),
    field("executor_memory", Kind::Memory, "\"8g\"", "`--executor-memory`"),
    field("executor_cores", Kind::Whole(1, MANY), "2", "`--executor-cores`"),
    field("num_executors", Kind::Whole(1, 1_000_000), "100", "`--num-executors`"),
    field("principal", Kind::Template, "\"etl@EXAMPLE.COM\"", "`--principal`"),
    field("keytab", Kind::Template, "\"/etc/security/etl.keytab\"", "`--keytab`"),
    field("proxy_user", Kind::Template, "\"etl\"", "`--proxy-user`"),
];

/// `[tasks.NAME.sql]`
pub static SQL: Section = Section {
    header: "[tasks.NAME.sql]",
    place: "an sql table",
    doc: "SQL statements, run in one transaction. Either `statements` or `file`.",
    required: &["connection"],
    one_of: &["statements", "file"],
    groups: &[&[
        field("connection", Kind::Text, "\"warehouse\"", "A connection of crondag.toml"),
        field(
            "statements",
            Kind::Template,
            "\"DELETE FROM tags WHERE data_date = :ds\"",
            "The statements, separated by `;`. A template",
        ),
        field(
            "file",
            Kind::Template,
            "\"sql/load.sql\"",
            "A file of statements, relative to the home. The path and the text are templates",
        ),
        field(
            "to",
            Kind::Template,
            "\"export/audience_{{ ds_nodash }}.csv\"",
            "A CSV file, relative to the home, that gets the last result set, whole or not at all. A template",
        ),
        field(
            "params",
            Kind::TextMap,
            "{ window = \"{{ params.window }}\" }",
            "Values of `:NAME` in the statements; the values are templates. `:ds`, `:ds_nodash` and the other template \
             variables that are plain texts need not be named",
        ),
    ]],
};

/// crondag.toml
pub static CONFIG: Section = Section {
    header: "",
    place: "crondag.toml",
    doc: "The settings of a home. The directory that has this file is a home; an empty file will do.",
    required: &[],
    one_of: &[],
    groups: &[&[
        field("timezone", Kind::Zone, "\"Asia/Shanghai\"", "The zone of DAGs that name none; else the machine's"),
        with_default(
            "parallelism",
            Kind::Whole(1, MANY),
            "32",
            "8",
            "How many tasks may run at once in this home, over all DAGs",
        ),
        with_default(
            "kill_grace",
            Kind::Duration,
            "\"10s\"",
            "\"30s\"",
            "How long a process tree has between TERM and KILL",
        ),
        field("pools", Kind::Pools, "{ yarn = 4 }", "Slots of each pool, by name"),
        field("env", Kind::Env, "{ JAVA_HOME = \"/usr/lib/jvm/java-17\" }", "Environment of every task; plain texts"),
        field(
            "env_file",
            Kind::Text,
            "\"secrets.env\"",
            "A file of `NAME=value` lines, relative to the home, read when an attempt starts; its values are secrets and \
             never shown",
        ),
        field(
            "inherit_env",
            Kind::Texts,
            "[\"SSH_AUTH_SOCK\"]",
            "Variables that tasks inherit from the process that started the driver; nothing else is inherited",
        ),
        field("vars", Kind::Values, "{ bucket = \"raw\" }", "Values of `{{ var.NAME }}`"),
        field(
            "connections",
            Kind::Tables(&CONNECTION),
            "{ warehouse = { type = \"sqlite\", path = \"warehouse.db\" } }",
            "Databases, by name",
        ),
        field(
            "email",
            Kind::Table(&EMAIL),
            "{ from = \"etl@example.com\", host = \"localhost\" }",
            "How mail leaves; without it alerts are recorded but not sent",
        ),
        field("logs", Kind::Table(&LOGS), "{ keep = \"30d\" }", "Logs and history"),
        field(
            "spark",
            Kind::Table(&CONFIG_SPARK),
            "{ master = \"yarn\" }",
            "Where Spark is, and options of all `spark` tasks",
        ),
    ]],
};

/// `[connections.NAME]`
pub static CONNECTION: Section = Section {
    header: "[connections.NAME]",
    place: "a connection",
    doc: "One database for `sql` tasks. `sqlite` uses `path`; `postgres` and `mysql` (also MariaDB) use the other keys.",
    required: &["type"],
    one_of: &[],
    groups: &[&[
        field("type", Kind::Choice(&["sqlite", "postgres", "mysql"]), "\"postgres\"", "What it is"),
        field("path", Kind::Text, "\"warehouse.db\"", "The database file, relative to the home; made when missing"),
        with_default("host", Kind::Text, "\"localhost\"", "\"db.example.com\"", "The server"),
        field("port", Kind::Whole(1, 65_535), "5433", "The server's port; else 5432 for postgres, 3306 for mysql"),
        field("database", Kind::Text, "\"warehouse\"", "The database on the server"),
        field("username", Kind::Text, "\"etl\"", "Login name"),
        field(
            "password_env",
            Kind::Text,
            "\"WAREHOUSE_PASSWORD\"",
            "The variable of the task's environment (`env_file`) that holds the password",
        ),
        field("password_file", Kind::Text, "\"secrets/warehouse\"", "A file whose first line is the password"),
        field(
            "password_command",
            Kind::Text,
            "\"pass show warehouse\"",
            "A shell command, run in the home, whose first line of output is the password",
        ),
        field(
            "tls_ca",
            Kind::Text,
            "\"/etc/ssl/certs/ca-certificates.crt\"",
            "PEM certificates to trust. With it the connection is by TLS or fails; without it, in the clear",
        ),
    ]],
};

/// `[email]`
pub static EMAIL: Section = Section {
    header: "[email]",
    place: "[email]",
    doc: "How mail leaves. `smtp` uses `host` to `timeout`, `sendmail` uses `command`, `folder` uses `path`.",
    required: &["from"],
    one_of: &[],
    groups: &[&[
        field("from", Kind::Text, "\"crondag <etl@example.com>\"", "The sender, `Name <address>` or bare"),
        with_default(
            "transport",
            Kind::Choice(&["smtp", "sendmail", "folder"]),
            "\"smtp\"",
            "\"sendmail\"",
            "An SMTP server, the local sendmail program, or a folder of `.eml` files",
        ),
        field("host", Kind::Text, "\"mail.example.com\"", "The SMTP server. Required for `smtp`"),
        field(
            "port",
            Kind::Whole(1, 65_535),
            "587",
            "Its port; else 465, 587 or 25 when `tls` is `required`, `starttls` or `none`",
        ),
        with_default(
            "tls",
            Kind::Choice(&["required", "starttls", "none"]),
            "\"starttls\"",
            "\"required\"",
            "TLS from the first byte, STARTTLS (refused when the server does not offer it), or in the clear",
        ),
        with_default(
            "tls_verify",
            Kind::Flag,
            "true",
            "false",
            "Whether the server's certificate is checked; `false` for relays with a self-signed one",
        ),
        field(
            "tls_ca",
            Kind::Text,
            "\"ca.pem\"",
            "PEM certificates to trust beside the public ones, relative to the home",
        ),
        field("username", Kind::Text, "\"etl\"", "Login name; no login without it"),
        field(
            "password_env",
            Kind::Text,
            "\"SMTP_PASSWORD\"",
            "The variable, of `env_file` or of the driver's environment, that holds the password",
        ),
        with_default("timeout", Kind::Duration, "\"30s\"", "\"10s\"", "How long one delivery may take"),
        with_default("command", Kind::Text, "\"/usr/sbin/sendmail\"", "\"/usr/lib/sendmail\"", "The sendmail program"),
        field(
            "path",
            Kind::Text,
            "\"mail\"",
            "The folder, relative to the home; made when missing. Required for `folder`",
        ),
    ]],
};

/// `[logs]`
pub static LOGS: Section = Section {
    header: "[logs]",
    place: "[logs]",
    doc: "Logs and history.",
    required: &[],
    one_of: &[],
    groups: &[&[
        with_default(
            "keep",
            Kind::DurationOrForever,
            "\"90d\"",
            "\"30d\"",
            "Logs of runs that ended longer ago than this are deleted",
        ),
        with_default(
            "keep_runs",
            Kind::DurationOrForever,
            "\"forever\"",
            "\"730d\"",
            "Runs that ended longer ago than this leave the database, and their logs with them",
        ),
        with_default(
            "max_size",
            Kind::Size,
            "\"100MB\"",
            "\"20MB\"",
            "One attempt's log is cut in the middle beyond this size",
        ),
    ]],
};

/// `[spark]` of crondag.toml
pub static CONFIG_SPARK: Section = Section {
    header: "[spark]",
    place: "[spark]",
    doc: "Where Spark is, and the options that every `spark` task starts from.",
    required: &[],
    one_of: &[],
    groups: &[
        &[
            field(
                "spark_submit",
                Kind::Text,
                "\"/opt/spark/bin/spark-submit\"",
                "The `spark-submit` program; else `$SPARK_HOME/bin/spark-submit`, else the one on the task's `PATH`",
            ),
            field("spark_home", Kind::Text, "\"/opt/spark\"", "Set as `SPARK_HOME` for `spark` tasks"),
        ],
        &SPARK_OPTIONS,
    ],
};

/// diagnosis.toml
pub static DIAGNOSIS: Section = Section {
    header: "",
    place: "diagnosis.toml",
    doc: "Causes of failure, beside those that are built in.",
    required: &[],
    one_of: &[],
    groups: &[&[field(
        "causes",
        Kind::Tables(&CAUSE),
        "{ quota = { name = \"the quota is used up\", class = \"resources\", patterns = ['QuotaExceeded'], advice = \"ask for more\" } }",
        "The causes, by id; one with the id of a built-in cause takes its place",
    )]],
};

/// `[causes.NAME]`
pub static CAUSE: Section = Section {
    header: "[causes.NAME]",
    place: "a cause",
    doc: "One cause: what tells of it, and what to do. At least one of `patterns`, `exit_codes`, `signals` and `ending` \
          must be there.",
    required: &["name", "class", "advice"],
    one_of: &[],
    groups: &[&[
        field("name", Kind::Text, "\"the cluster's quota is used up\"", "What happened, in small letters, for people"),
        field(
            "class",
            Kind::Choice(&CauseClass::NAMES),
            "\"resources\"",
            "Which kind of cause it is: the five usual ones, or the environment",
        ),
        field(
            "patterns",
            Kind::Texts,
            "['QuotaExceeded', 'quota of \\S+ is used up']",
            "Regular expressions, matched line by line; any of them tells of the cause. A group `(?P<path>...)` catches \
             the name of a file that is missing",
        ),
        field(
            "exit_codes",
            Kind::Bytes,
            "[137]",
            "Exit statuses that tell of the cause; alone they make it likely, never certain",
        ),
        field("signals", Kind::Bytes, "[9]", "Numbers of signals that tell of the cause, likewise"),
        field("ending", Kind::Choice(&CauseEnding::NAMES), "\"timed_out\"", "An end that tells of the cause"),
        with_default(
            "confidence",
            Kind::Choice(&["likely", "certain"]),
            "\"likely\"",
            "\"certain\"",
            "How sure a match at the end of the log is",
        ),
        with_default(
            "specificity",
            Kind::Whole(1, 9),
            "5",
            "8",
            "Of two causes that match, the higher one is the root and the other one its consequence",
        ),
        with_default(
            "upstream",
            Kind::Flag,
            "false",
            "true",
            "Whether what is missing is what an upstream makes: then an upstream that came late is looked for",
        ),
        field(
            "raise",
            Kind::Texts,
            "[\"executor_memory\"]",
            "Keys of the task's `spark` table, or `timeout`, to raise; the advice shows what they are now",
        ),
        field("advice", Kind::Text, "\"ask the platform team for more\"", "What to do"),
        with_default(
            "command",
            Kind::Text,
            "\"crondag clear {dag} {run} --task {task}\"",
            "\"yarn queue -status etl\"",
            "What to type; `{dag}`, `{task}` and `{run}` are filled in",
        ),
    ]],
};
