//! Every key of DAG files and of crondag.toml: the one table from which the reader, the reference and the JSON Schema are
//! made. A key that is not here does not exist.

use super::action;
use super::section::{Field, Kind, MANY, Section, field, with_default};
use super::spark::OPTIONS as SPARK_OPTIONS;
use crate::dag::cause::{CauseClass, CauseEnding};
use crate::dag::config::{ConnectionKind, TransportKind};
use crate::dag::model::{ActionKind, Overlap};
use crate::dag::trigger_rule::TriggerRule;

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

/// The words of [`Overlap`](crate::dag::Overlap), in the order of its `ALL`.
static OVERLAPS: [&str; 4] = {
    let mut names = [""; 4];
    let mut index = 0;
    while index < names.len() {
        names[index] = Overlap::ALL[index].as_str();
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
            "After downtime: `true` runs every interval that was missed, oldest first; `false` only the latest. A DAG that was \
             just deployed runs first at the next time of its schedule, for the interval that ends then; with `true` also for \
             those since `start_date`",
        ),
        field(
            "jitter",
            Kind::Duration,
            "\"10m\"",
            "Spreads DAGs that fire at the same time: scheduled runs start up to this long after their data interval has \
             ended, the same for a DAG on every day. Their dates and data intervals stay as they are",
        ),
        with_default("max_active_runs", Kind::Whole(1, MANY), "16", "1", "How many runs may be running at once"),
        with_default(
            "overlap",
            Kind::Choice(&OVERLAPS),
            "\"wait\"",
            "\"skip\"",
            "What becomes of a scheduled run that is due while an earlier one is going on: it waits (`wait`), is skipped \
             (`skip`), takes the place of the other, which is stopped (`replace`), or runs beside it as far as \
             `max_active_runs` allows (`allow`, the default where the file sets `max_active_runs` above 1). With \
             `catchup = false` only the newest of those that wait stays, the others are skipped. It does not concern what \
             people ask for",
        ),
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
            "Values of `{{ params.NAME }}`; `--param NAME=VALUE` overrides them for one run, and stays with it: whatever of the run \
             is done again has it too",
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
static SHARED: [Field; 23] = [
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
        Kind::Number(1.0, 1e6),
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
    field(
        "kill_grace",
        Kind::Duration,
        "\"1m\"",
        "How long the process tree has between TERM and KILL; without it, as long as crondag.toml says",
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
    field(
        "pool",
        Kind::TextOrFalse,
        "\"yarn\"",
        "The pool of crondag.toml whose slots it takes; `false`: none, whatever `[defaults]` says",
    ),
    with_default("pool_slots", Kind::Whole(1, MANY), "1", "2", "How many slots of the pool it takes"),
    with_default(
        "priority",
        Kind::Whole(i32::MIN as i64, i32::MAX as i64),
        "0",
        "10",
        "Among tasks that could start, the higher number goes first",
    ),
    field(
        "shell_options",
        Kind::Text,
        "\"errexit pipefail\"",
        "Words of `set -o` for the scripts of `shell` and of the `command` of a `wait`, a `check` or its `reconcile`, with blanks between: with `errexit` a script ends at its first \
         command that fails, with `pipefail` a pipe fails when any of its commands does",
    ),
    field(
        "working_dir",
        Kind::Template,
        "\"jobs\"",
        "Where it runs, relative to the home; the home itself when left out. A template",
    ),
    field(
        "run_as",
        Kind::Text,
        "\"etl\"",
        "The user of this machine that it runs as, through sudo; crondag's own user when left out. Needs a line in sudoers, \
         which the error without it shows",
    ),
    with_default(
        "leave_processes",
        Kind::Flag,
        "false",
        "true",
        "Whether processes that the program leaves behind live on when it succeeds, for a task that starts a service; otherwise \
         they are ended, and the log and `tasks` say so",
    ),
    field(
        "umask",
        Kind::Text,
        "\"027\"",
        "The permissions that its new files do not get; without it, as crondag.toml says",
    ),
    field("nice", Kind::Whole(0, 19), "10", "Its nice value; without it, as crondag.toml says"),
    field(
        "limits",
        Kind::Table(&TASK_LIMITS),
        "{ open_files = 100000 }",
        "What it may use; where it says nothing, as crondag.toml says",
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
    doc: "One task. It has exactly one action.",
    required: &[],
    one_of: &ActionKind::WORDS,
    groups: &[
        &action::FIELDS,
        &[
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

/// `[defaults.spark]`
pub static DEFAULTS_SPARK: Section = Section {
    header: "[defaults.spark]",
    place: "[defaults.spark]",
    doc: "Options of all `spark` tasks of this DAG, on top of crondag.toml's `[spark]`.",
    required: &[],
    one_of: &[],
    groups: &[&SPARK_OPTIONS],
};

/// The keys of `limits`.
static LIMITS: [Field; 6] = [
    field(
        "open_files",
        Kind::Whole(16, 1 << 30),
        "100000",
        "Files that a process has open at once; 65536 when left out",
    ),
    field(
        "processes",
        Kind::Whole(1, 1 << 22),
        "2000",
        "Processes and threads of the task's user, with all that runs beside the task",
    ),
    field("address_space", Kind::Size, "\"8GB\"", "Address space of a process; a JVM reserves far more than it uses"),
    field("file_size", Kind::Size, "\"20GB\"", "Size of a file that a process writes"),
    field("core_size", Kind::Size, "\"1GB\"", "Size of a core dump; none is written when left out"),
    field("stack_size", Kind::Size, "\"64MB\"", "Size of a process' stack; 8 MB when left out"),
];

/// `[tasks.NAME.limits]` and `[defaults.limits]`
pub static TASK_LIMITS: Section = Section {
    header: "[tasks.NAME.limits]",
    place: "limits",
    doc: "What a process of the task may use, on top of crondag.toml's `[limits]`; in `[defaults.limits]` for all tasks. A limit \
          that is set here cannot be raised by the task; what is left out is as much as crondag itself may use, but for what \
          the keys say.",
    required: &[],
    one_of: &[],
    groups: &[&LIMITS],
};

/// `[limits]`
pub static HOME_LIMITS: Section = Section {
    header: "[limits]",
    place: "[limits]",
    doc: "What a process of any task may use. A limit that is set here cannot be raised by the task; what is left out is as much \
          as crondag itself may use, but for what the keys say. [What a task's process finds](environment.md) has the rest.",
    required: &[],
    one_of: &[],
    groups: &[&LIMITS],
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
        with_default(
            "drain_timeout",
            Kind::Duration,
            "\"30s\"",
            "\"10m\"",
            "How long `crondag scheduler`, asked to go (SIGTERM), lets live attempts end before it leaves them, alive, to \
             the next scheduler; `0s` goes at once",
        ),
        field(
            "shell_options",
            Kind::Text,
            "\"errexit pipefail\"",
            "Words of `set -o` for all scripts whose tasks do not say otherwise",
        ),
        field("pools", Kind::Pools, "{ yarn = 4 }", "Slots of each pool, by name"),
        field("env", Kind::Env, "{ JAVA_HOME = \"/usr/lib/jvm/java-17\" }", "Environment of every task; plain texts"),
        with_default("umask", Kind::Text, "\"022\"", "\"027\"", "The permissions that new files of tasks do not get"),
        with_default(
            "nice",
            Kind::Whole(0, 19),
            "0",
            "10",
            "The nice value of tasks; where crondag itself has a higher one, and is not root, that one holds",
        ),
        field("limits", Kind::Table(&HOME_LIMITS), "{ open_files = 100000 }", "What every task may use"),
        field(
            "env_file",
            Kind::Text,
            "\"secrets.env\"",
            "A file of `NAME=value` lines, relative to the home, read when an attempt starts: environment of every task. Its \
             values are secrets and never shown; others may not read the file",
        ),
        field(
            "secrets",
            Kind::Tables(&SECRET),
            "{ DB_PASSWORD = { env = \"DB_PASSWORD\" } }",
            "Where the values of `{{ secret.NAME }}` come from, by name",
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

/// `[secrets.NAME]`
pub static SECRET: Section = Section {
    header: "[secrets.NAME]",
    place: "a secret",
    doc: "One secret for templates. Its value is fetched when an attempt that uses it starts, stored nowhere, and shown as \
          `***`. It has at least 4 characters: shorter ones cannot be masked.",
    required: &[],
    one_of: &["env", "file", "command"],
    groups: &[&[
        field(
            "env",
            Kind::Text,
            "\"DB_PASSWORD\"",
            "The variable, of `env_file` or of the driver's environment, that holds it",
        ),
        field(
            "file",
            Kind::Text,
            "\"/run/secrets/db\"",
            "A file that holds it and nothing else, relative to the home; others may not read it",
        ),
        field(
            "command",
            Kind::Text,
            "\"vault kv get -field=password etl/db\"",
            "A shell command that prints it, run in the home with the environment of tasks; it has 30 seconds",
        ),
    ]],
};

/// `[connections.NAME]`
pub static CONNECTION: Section = Section {
    header: "[connections.NAME]",
    place: "a connection",
    doc: "One database for `sql` tasks. `sqlite` uses `path`; `postgres` and `mysql` (also MariaDB) use `host` to `tls_ca`; \
          `hive` uses `url`, `username`, a password and `program`; `spark_sql` uses `database`, `program` and `spark`; a key \
          of another type is an error. The last two have no transactions and do not bind: `:name` becomes a quoted text.",
    required: &["type"],
    one_of: &[],
    groups: &[&[
        field("type", Kind::Choice(&ConnectionKind::WORDS), "\"postgres\"", "What it is"),
        field("path", Kind::Text, "\"warehouse.db\"", "The database file, relative to the home; made when missing"),
        with_default("host", Kind::Text, "\"localhost\"", "\"db.example.com\"", "The server"),
        field("port", Kind::Whole(1, 65_535), "5433", "The server's port; else 5432 for postgres, 3306 for mysql"),
        field(
            "socket",
            Kind::Text,
            "\"/run/mysqld/mysqld.sock\"",
            "The server's socket on this machine, in place of `host`; that of postgres may be named by its folder and `port`",
        ),
        field("database", Kind::Text, "\"warehouse\"", "The database on the server, or that of `spark-sql`"),
        field("username", Kind::Text, "\"etl\"", "Login name"),
        field(
            "password_env",
            Kind::Text,
            "\"WAREHOUSE_PASSWORD\"",
            "The variable, of the task's environment or of the driver's, that holds the password",
        ),
        field(
            "password_file",
            Kind::Text,
            "\"secrets/warehouse\"",
            "A file whose first line is the password; others may not read it",
        ),
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
        field(
            "url",
            Kind::Text,
            "\"jdbc:hive2://hive.example.com:10000/warehouse\"",
            "The address that `beeline` connects to",
        ),
        field(
            "program",
            Kind::Text,
            "\"/opt/hive/bin/beeline\"",
            "`beeline`, else the one on the task's `PATH`; or `spark-sql`, else `$SPARK_HOME/bin/spark-sql`, else the one on \
             the task's `PATH`",
        ),
        field(
            "spark",
            Kind::Table(&CONNECTION_SPARK),
            "{ master = \"yarn\" }",
            "Options of `spark-sql`, on top of `[spark]`; `deploy_mode` and `class` do not apply",
        ),
    ]],
};

/// `[connections.NAME.spark]`
pub static CONNECTION_SPARK: Section = Section {
    header: "[connections.NAME.spark]",
    place: "a connection's spark table",
    doc: "Options of `spark-sql`, on top of `[spark]`.",
    required: &[],
    one_of: &[],
    groups: &[&SPARK_OPTIONS],
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
            "to",
            Kind::Emails,
            "[]",
            "[\"admin@example.com\"]",
            "Who is told what is wrong with the home itself: faulty DAG files, logs that are cut, a disk that takes no logs",
        ),
        with_default(
            "transport",
            Kind::Choice(&TransportKind::WORDS),
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
        with_default(
            "max_per_hour",
            Kind::Whole(1, 10_000),
            "30",
            "100",
            "How many mails may go out in an hour; one digest lists those beyond them. Reports are not counted",
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
            "Runs that ended longer ago than this leave the database, and their logs with them; not the last run of a DAG, \
             nor one for which another waits (`depends_on_past`)",
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
            field("spark_home", Kind::Text, "\"/opt/spark\"", "Set as `SPARK_HOME` for tasks that are no scripts"),
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
            "actions",
            Kind::Texts,
            "[\"spark\"]",
            "The actions (`shell`, `spark`, `sql`, ...) of tasks that can have the cause; without it all of them can",
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
            "Options of Spark, or `timeout`, to raise. The advice says where they are for the task and what they are now: in its \
             `spark` table, in that of its `spark_sql` connection, or on the command line of a script's spark-submit",
        ),
        field("advice", Kind::Text, "\"ask the platform team for more\"", "What to do"),
        field(
            "spark_advice",
            Kind::Text,
            "\"or name another `queue` in its spark table\"",
            "What to do beside, when the task is a `spark` one",
        ),
        field(
            "shell_advice",
            Kind::Text,
            "\"or raise `-Xmx` of the Java program\"",
            "What to do beside, when the task is a `shell` one; of `raise` it is then told only what the task itself has",
        ),
        field(
            "sql_advice",
            Kind::Text,
            "\"or let the database write the result into a table\"",
            "What to do beside, when the task is an `sql` one",
        ),
        with_default(
            "command",
            Kind::Text,
            "\"crondag clear {dag} {run} --task {task}\"",
            "\"yarn queue -status etl\"",
            "What to type; `{dag}`, `{task}` and `{run}` are filled in",
        ),
    ]],
};
