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
    /// A number between two bounds, both included.
    Number(f64, f64),
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
        field(
            "jitter",
            Kind::Duration,
            "\"10m\"",
            "Spreads DAGs that fire at the same time: scheduled runs start up to this long after their data interval has \
             ended, the same for a DAG on every day. Their dates and data intervals stay as they are",
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
static SHARED: [Field; 22] = [
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
        "shell_options",
        Kind::Text,
        "\"errexit pipefail\"",
        "Words of `set -o` for the scripts of `shell` and of `wait`'s `command`, with blanks between: with `errexit` a script ends at its first \
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
    doc: "One task. It has exactly one action: `shell`, `spark`, `sql`, `wait`, `check` or `report`.",
    required: &[],
    one_of: &["shell", "spark", "sql", "wait", "check", "report"],
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
                "wait",
                Kind::Table(&WAIT),
                "{ file = \"data/{{ ds_nodash }}/_SUCCESS\" }",
                "Action: waits until a condition holds",
            ),
            field(
                "check",
                Kind::Table(&CHECK),
                "{ connection = \"warehouse\", query = \"SELECT tag, count(*) FROM tags GROUP BY tag\" }",
                "Action: records values and judges them against their history",
            ),
            field(
                "report",
                Kind::Table(&REPORT),
                "{ to = [\"profile@example.com\"] }",
                "Action: one mail with the values that the run's checks recorded, what failed and what was late",
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
            "A CSV file, relative to the home, that gets the last result set, whole or not at all. NULL is an empty cell, an \
             empty text is `\"\"`. A template",
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

/// `[tasks.NAME.wait]`
pub static WAIT: Section = Section {
    header: "[tasks.NAME.wait]",
    place: "a wait table",
    doc: "Waits until a condition holds: exactly one of `file`, `query`, `dag`, `url`, `command` and `gate`. Between two \
          looks the task is `up_for_reschedule` and holds no process and no slot; files, DAGs and gates are looked at \
          without any process. The task's `timeout` is that of one look. What cannot be looked at at all (no such table, no \
          such program) fails the attempt, and `retries` apply; the patience then counts anew.",
    required: &[],
    one_of: &["file", "query", "dag", "url", "command", "gate"],
    groups: &[&[
        field(
            "file",
            Kind::Template,
            "\"data/{{ ds_nodash }}/_SUCCESS\"",
            "Until the file or folder is there, or one that the pattern (`*`, `?`, `[a-z]`) matches; relative to the home. A \
             template",
        ),
        field(
            "query",
            Kind::Template,
            "\"SELECT count(*) > 0 FROM orders WHERE day = :ds\"",
            "Until the first cell of the first row is true: neither NULL, false, 0 nor an empty text. A template; `:ds` and its \
             like are bound as in `sql`",
        ),
        field("connection", Kind::Text, "\"warehouse\"", "The connection of crondag.toml for `query`"),
        field("params", Kind::TextMap, "{ shop = \"{{ params.shop }}\" }", "Values of `:NAME` in `query`"),
        field(
            "dag",
            Kind::Text,
            "\"orders\"",
            "Until another DAG has succeeded for the matching date: its run of the same logical date if its schedule has one, \
             else all its runs whose logical date lies on the same `ds`",
        ),
        field(
            "task",
            Kind::Text,
            "\"load\"",
            "With `dag`: until this task of it has succeeded; the whole run when left out",
        ),
        with_default(
            "offset",
            Kind::Whole(-MANY, MANY),
            "0",
            "-1",
            "With `dag`: the date is shifted by so many intervals of this DAG; -1 is the run before",
        ),
        field(
            "url",
            Kind::Template,
            "\"http://api.example.com/ready?day={{ ds }}\"",
            "Until a web server answers as expected. A template",
        ),
        field(
            "status",
            Kind::Whole(100, 599),
            "204",
            "With `url`: the status that is expected; any from 200 to 299 when left out",
        ),
        field("contains", Kind::Template, "\"complete\"", "With `url`: a text that the answer must contain"),
        field(
            "command",
            Kind::Template,
            "\"hdfs dfs -test -e /dw/orders/{{ ds }}/_SUCCESS\"",
            "Until a script for `bash -c` exits with 0; 126 and 127 (no such program) fail the attempt. A template",
        ),
        field("gate", Kind::Template, "\"tags_ok\"", "Until a gate is open for the run's `ds`. A template"),
        with_default("every", Kind::Duration, "\"1m\"", "\"30s\"", "How long after a look the next one follows"),
        with_default(
            "for_at_most",
            Kind::Duration,
            "\"12h\"",
            "\"2h\"",
            "How long after the first look the wait is over",
        ),
        with_default(
            "soft_fail",
            Kind::Flag,
            "false",
            "true",
            "When the wait is over: `true` skips the task, `false` fails it. There are no retries then",
        ),
    ]],
};

/// `[tasks.NAME.check]`
pub static CHECK: Section = Section {
    header: "[tasks.NAME.check]",
    place: "a check table",
    doc: "Runs a query that returns a row for each key, records the numbers in its other columns for the run's date, and judges \
          them. Either `query` or `file`. A value is ok, warn or fail: warn sends mail and goes on, fail fails the task. A run \
          of the same date replaces its values. Without any rule the values are only recorded.",
    required: &["connection"],
    one_of: &["query", "file"],
    groups: &[
        &SOURCE,
        &[
            field(
                "key",
                Kind::Texts,
                "[\"tagid\"]",
                "The columns that make up the key; the first column when left out",
            ),
            field(
                "metrics",
                Kind::Texts,
                "[\"tag_count\"]",
                "The columns that are recorded; all but the key's when left out",
            ),
            field("gate", Kind::Text, "\"tags_ok\"", "The gate that gets the verdict for the date; warn opens it"),
            with_default(
                "no_rows",
                Kind::Choice(&VERDICTS),
                "\"fail\"",
                "\"warn\"",
                "The verdict when the query returns nothing",
            ),
            with_default(
                "duplicate_keys",
                Kind::Choice(&VERDICTS),
                "\"fail\"",
                "\"ok\"",
                "The verdict when a key has several rows: a join has multiplied them",
            ),
            with_default(
                "missing_keys",
                Kind::Choice(&VERDICTS),
                "\"warn\"",
                "\"fail\"",
                "The verdict when a key of the newest good date before has no row",
            ),
            with_default(
                "new_keys",
                Kind::Choice(&VERDICTS),
                "\"ok\"",
                "\"warn\"",
                "The verdict when a key was never there before",
            ),
            field(
                "rules",
                Kind::Tables(&RULE),
                "{ jump = { max_change = 0.3 } }",
                "What the values must keep, by name",
            ),
            field(
                "reconcile",
                Kind::Table(&RECONCILE),
                "{ connection = \"serving\", query = \"SELECT tagid, count(*) FROM tagsmap GROUP BY tagid\" }",
                "A second query whose values must agree, key by key",
            ),
        ],
    ],
};

/// `[tasks.NAME.check.rules.NAME]`
pub static RULE: Section = Section {
    header: "[tasks.NAME.check.rules.NAME]",
    place: "a rule",
    doc: "One rule. It holds for all metrics and keys unless it names some; every bound in it must be kept. A baseline is made of \
          earlier dates whose check did not fail; without enough of them `max_change` and `max_deviations` judge nothing.",
    required: &[],
    one_of: &[],
    groups: &[&[
        field("metrics", Kind::Texts, "[\"tag_count\"]", "The metrics that it is for"),
        field("keys", Kind::Texts, "[\"A111*\"]", "The keys that it is for; `*` and `?` stand for any characters"),
        field("min", Kind::Number(-FAR, FAR), "1", "The value must not be below this"),
        field("max", Kind::Number(-FAR, FAR), "0.95", "The value must not be above this"),
        field(
            "max_change",
            Kind::Number(0.0, FAR),
            "0.3",
            "The value may differ from its baseline by this share of it, up or down: 0.3 is 30 %",
        ),
        field(
            "max_deviations",
            Kind::Number(0.0, FAR),
            "5",
            "The value may differ from the median of `last` dates by so many robust standard deviations (1.4826 times the median \
             absolute deviation)",
        ),
        with_default(
            "against",
            Kind::Choice(&BASELINES),
            "\"median\"",
            "\"same_weekday\"",
            "The baseline of `max_change`: the median of `last` dates, the previous date, or the same weekday a week before",
        ),
        with_default("last", Kind::Whole(1, 366), "7", "28", "How many earlier dates make the baseline"),
        with_default("at_least", Kind::Whole(1, 366), "3", "7", "A median of fewer dates than this judges nothing"),
        field(
            "max_null_share",
            Kind::Number(0.0, FAR),
            "0.01",
            "At most this share of the rows may be NULL or no number in the metric",
        ),
        field(
            "max_age",
            Kind::Duration,
            "\"26h\"",
            "The metric is a time; at the end of the data interval it must not be older than this",
        ),
        with_default("verdict", Kind::Choice(&JUDGEMENTS), "\"fail\"", "\"warn\"", "The verdict when it is broken"),
    ]],
};

/// `[tasks.NAME.check.reconcile]`
pub static RECONCILE: Section = Section {
    header: "[tasks.NAME.check.reconcile]",
    place: "a reconcile table",
    doc: "A second query on a connection of its own, with the same columns. Every key and metric of either side must be on the \
          other and agree.",
    required: &["connection"],
    one_of: &["query", "file"],
    groups: &[
        &SOURCE,
        &[
            with_default(
                "tolerance",
                Kind::Number(0.0, FAR),
                "0",
                "0.001",
                "The values may differ by this share of the larger one: 0.001 is one in a thousand",
            ),
            with_default(
                "verdict",
                Kind::Choice(&JUDGEMENTS),
                "\"fail\"",
                "\"warn\"",
                "The verdict when they do not agree",
            ),
        ],
    ],
};

/// Beyond any number that a check meets.
const FAR: f64 = 1e15;

static VERDICTS: [&str; 3] = ["ok", "warn", "fail"];
static JUDGEMENTS: [&str; 2] = ["warn", "fail"];
static BASELINES: [&str; 3] = ["median", "previous", "same_weekday"];

/// Where values come from.
static SOURCE: [Field; 4] = [
    field("connection", Kind::Text, "\"warehouse\"", "A connection of crondag.toml"),
    field(
        "query",
        Kind::Template,
        "\"SELECT tagid, tag_count FROM tag_counts WHERE data_date = :ds\"",
        "The query; of several statements the last result set counts. A template",
    ),
    field("file", Kind::Template, "\"sql/tag_counts.sql\"", "A file with the query, relative to the home. A template"),
    field("params", Kind::TextMap, "{ shop = \"{{ params.shop }}\" }", "Values of `:NAME` in the query"),
];

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

/// `[tasks.NAME.report]`
pub static REPORT: Section = Section {
    header: "[tasks.NAME.report]",
    place: "a report table",
    doc: "One mail about the run: its checks with value, baseline, change and verdict, charts of the values as pictures, the gates, \
          what failed, what took longer than usual. Its task needs a `trigger_rule` such as \"all_done\" to be sent on bad days \
          too.",
    required: &[],
    one_of: &[],
    groups: &[&[
        field("to", Kind::Emails, "[\"profile@example.com\"]", "Who gets it; the task's `email` when left out"),
        field("subject", Kind::Template, "\"Tags of {{ ds }}\"", "Its subject, after the verdict. A template"),
        field("checks", Kind::TaskIds, "[\"tag_counts\"]", "The checks that it shows; all of the DAG when left out"),
        with_default("charts", Kind::Whole(0, 100), "12", "0", "How many charts at most; the worst values first"),
        with_default("history", Kind::Whole(2, 366), "30", "90", "How many dates a chart shows"),
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
        field(
            "type",
            Kind::Choice(&["sqlite", "postgres", "mysql", "hive", "spark_sql"]),
            "\"postgres\"",
            "What it is",
        ),
        field("path", Kind::Text, "\"warehouse.db\"", "The database file, relative to the home; made when missing"),
        with_default("host", Kind::Text, "\"localhost\"", "\"db.example.com\"", "The server"),
        field("port", Kind::Whole(1, 65_535), "5433", "The server's port; else 5432 for postgres, 3306 for mysql"),
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
