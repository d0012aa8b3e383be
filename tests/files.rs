//! Good files, and what is read from them.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::path::Path;
use std::time::Duration;

use crondag::dag::check::{Baseline, Query, Source};
use crondag::dag::config::{Connection, Email, Hive, MailTransport, SecretSource, Smtp, Tls};
use crondag::dag::file::{read_config, read_dag, read_diagnosis};
use crondag::dag::{
    Action, AwaitedDag, AwaitedDates, CauseClass, CauseEnding, Condition, Config, Dag, DateBound, Over, Overlap,
    SqlSource, TriggerRule, Verdict, Wait,
};
use jiff::civil::date;
use regex::Regex;

const CONFIG: &str = r#"
timezone = "Europe/Berlin"
parallelism = 8
kill_grace = "30s"
env_file = "secrets.env"
inherit_env = ["SSH_AUTH_SOCK"]
[pools]
yarn = 4
[env]
JAVA_HOME = "/usr/lib/jvm/java-17"
[vars]
bucket = "raw"
[connections.warehouse]
type = "sqlite"
path = "warehouse.db"
[email]
from = "crondag <etl@example.com>"
host = "mail.example.com"
tls = "required"
username = "etl"
password_env = "SMTP_PASSWORD"
[logs]
keep = "forever"
max_size = "1MB"
[spark]
spark_home = "/opt/spark"
queue = "etl"
conf.spark.sql.shuffle.partitions = 200
"#;

fn config() -> Config {
    let (config, faults) = read_config(CONFIG);
    assert_eq!(faults, []);
    config.unwrap()
}

fn dag(text: &str) -> Dag {
    let (dag, faults) = read_dag("userprofile", text, &config(), &|path| path.starts_with("jobs"));
    assert_eq!(faults, []);
    dag.unwrap()
}

#[test]
fn crondag_toml_is_read_completely() {
    let config = config();
    assert_eq!(config.timezone.unwrap().iana_name(), Some("Europe/Berlin"));
    assert_eq!(config.parallelism, 8);
    assert_eq!(config.kill_grace, Duration::from_secs(30));
    assert_eq!(config.pools["yarn"], 4);
    assert_eq!(config.env["JAVA_HOME"], "/usr/lib/jvm/java-17");
    assert_eq!(config.env_file.as_deref(), Some(Path::new("secrets.env")));
    assert_eq!(config.inherit_env, ["SSH_AUTH_SOCK"]);
    assert_eq!(config.vars["bucket"], "raw");
    assert_eq!(config.connections["warehouse"], Connection::Sqlite { path: "warehouse.db".into() });
    assert_eq!(config.logs.keep, None);
    assert_eq!(config.logs.max_size, 1 << 20);
    assert_eq!(config.spark.spark_home.as_deref(), Some("/opt/spark"));
    assert_eq!(config.spark.options.conf["spark.sql.shuffle.partitions"], "200");
    let smtp = Smtp {
        host: "mail.example.com".to_owned(),
        port: 465,
        tls: Tls::Required,
        tls_verify: true,
        tls_ca: None,
        username: Some("etl".to_owned()),
        password_env: Some("SMTP_PASSWORD".to_owned()),
        timeout: Duration::from_secs(30),
    };
    let from = "crondag <etl@example.com>".to_owned();
    assert_eq!(
        config.email,
        Some(Email { from, to: Vec::new(), transport: MailTransport::Smtp(smtp), max_per_hour: 30 })
    );
}

#[test]
fn connections_of_programs_are_read_completely() {
    let text = "[connections.hive]\ntype = 'hive'\nurl = 'jdbc:hive2://h:10000/d'\nusername = 'etl'\n\
                password_file = 'secret'\nprogram = '/opt/hive/bin/beeline'\n\
                [connections.lake]\ntype = 'spark_sql'\ndatabase = 'tags'\n\
                [connections.lake.spark]\nmaster = 'yarn'\nconf = { a = '1' }\n";
    let connections = read_config(text).0.unwrap().connections;
    let hive = Hive {
        program: Some("/opt/hive/bin/beeline".to_owned()),
        url: "jdbc:hive2://h:10000/d".to_owned(),
        username: Some("etl".to_owned()),
        password: Some(SecretSource::File("secret".into())),
    };
    assert_eq!(connections["hive"], Connection::Hive(hive));
    let Connection::SparkSql(lake) = &connections["lake"] else { panic!("{connections:?}") };
    assert_eq!((lake.program.as_deref(), lake.database.as_deref()), (None, Some("tags")));
    assert_eq!((lake.options.master.as_deref(), lake.options.conf["a"].as_str()), (Some("yarn"), "1"));
    let faults = read_config("[connections.hive]\ntype = 'hive'\n").1;
    assert_eq!(faults[0].message, "a connection to hive needs `url`");
}

#[test]
fn an_empty_crondag_toml_means_all_defaults() {
    let (config, faults) = read_config("");
    assert_eq!(faults, []);
    assert_eq!(format!("{:?}", config.unwrap()), format!("{:?}", Config::default()));
}

#[test]
fn the_example_of_the_design_is_read_completely() {
    let dag = dag(include_str!("files/userprofile.toml"));
    assert_eq!(dag.id.as_str(), "userprofile");
    assert_eq!(dag.schedule.as_ref().unwrap().text(), "0 7 * * *");
    assert_eq!(dag.timezone.iana_name(), Some("Asia/Shanghai"));
    assert_eq!(dag.start_date, Some(DateBound::Date(date(2018, 7, 1))));
    assert!(dag.catchup);
    assert_eq!((dag.max_active_runs, dag.max_active_tasks), (1, 16));
    let ids: Vec<&str> = dag.tasks.iter().map(|task| task.id.as_str()).collect();
    let expected = [
        "check_table_finish",
        "high_active_period",
        "push_active",
        "push_active_time",
        "buy_category",
        "edm",
        "email_active",
    ];
    assert_eq!(ids, expected);
    let upstream: Vec<&[usize]> = (0..ids.len()).map(|task| dag.graph.upstream(task)).collect();
    assert_eq!(upstream, [&[][..], &[0], &[1], &[2], &[0], &[4], &[4, 5]]);
    assert_eq!(expected.map(|id| dag.task_index(id)), [0, 1, 2, 3, 4, 5, 6].map(Some));
    assert_eq!(dag.task_index("nobody"), None);

    let first = &dag.tasks[0];
    assert_eq!((first.retries, first.retry_delay), (6, Duration::from_secs(600)));
    assert_eq!(first.email, ["admin@example.com"]);
    assert!(first.email_on_failure && first.email_on_retry && !first.email_on_success);

    let second = &dag.tasks[1];
    assert_eq!((second.retries, second.retry_delay), (1, Duration::from_secs(60)));
    assert_eq!(second.trigger_rule, TriggerRule::AllDone);
    assert_eq!((second.pool.as_deref(), second.pool_slots), (Some("yarn"), 1));
    assert_eq!(second.timeout, Some(Duration::from_secs(7200)));
    let Action::Spark(spark) = &second.action else { panic!("{:?}", second.action) };
    assert_eq!(spark.application, "jobs/high_active_period.py");
    assert_eq!(spark.args, ["{{ ds_nodash }}"]);
    let options = &spark.options;
    assert_eq!(options.master.as_deref(), Some("yarn"), "of [defaults.spark]");
    assert_eq!(options.queue.as_deref(), Some("etl"), "of crondag.toml");
    assert_eq!(options.executor_memory.as_deref(), Some("8g"));
    assert_eq!(options.num_executors, Some(100));

    let Action::Sql(sql) = &dag.tasks[5].action else { panic!("{:?}", dag.tasks[5].action) };
    assert!(matches!(&sql.source, SqlSource::File(file) if file == "jobs/{{ task.id }}.sql"));
    assert_eq!(sql.params["limit"], "10");
    assert_eq!(dag.tasks[6].env["STAGE"], "{{ ds }}");
}

#[test]
fn scheduled_runs_take_turns_unless_the_file_lets_several_run() {
    let overlap = |keys: &str| dag(&format!("{keys}\n[tasks.a]\nshell = 'true'")).overlap;
    assert_eq!(overlap(""), Overlap::Wait);
    assert_eq!(overlap("max_active_runs = 1"), Overlap::Wait);
    assert_eq!(overlap("max_active_runs = 3"), Overlap::Allow);
    assert_eq!(overlap("max_active_runs = 3\noverlap = 'replace'"), Overlap::Replace);
}

#[test]
fn a_task_without_settings_has_the_documented_ones() {
    let dag = dag("[tasks.a]\nshell = 'true'");
    let task = &dag.tasks[0];
    assert_eq!((dag.max_active_runs, dag.max_active_tasks, dag.catchup), (16, 16, false));
    assert_eq!(dag.timezone.iana_name(), Some("Europe/Berlin"), "of crondag.toml");
    assert_eq!((task.retries, task.retry_delay), (0, Duration::from_secs(300)));
    assert_eq!(task.retry_max_delay, Duration::from_secs(86_400));
    assert!((task.retry_backoff - 1.0).abs() < f64::EPSILON);
    assert_eq!((task.timeout, task.trigger_rule), (None, TriggerRule::AllSuccess));
    assert_eq!((task.depends_on_past, task.pool_slots, task.priority), (false, 1, 0));
    assert!(task.email_on_failure && !task.email_on_retry && !task.email_on_success && task.email.is_empty());
}

#[test]
fn dates_may_be_toml_dates_or_strings() {
    let bound = |value: &str| dag(&format!("start_date = {value}\n[tasks.a]\nshell = 'true'")).start_date.unwrap();
    assert_eq!(bound("2018-07-01"), DateBound::Date(date(2018, 7, 1)));
    assert_eq!(bound("'2018-07-01'"), DateBound::Date(date(2018, 7, 1)));
    assert_eq!(bound("'20180701'"), DateBound::Date(date(2018, 7, 1)));
    let local = DateBound::DateTime(date(2018, 7, 1).at(7, 0, 0, 0));
    assert_eq!(bound("2018-07-01T07:00:00"), local);
    assert_eq!(bound("2018-07-01 07:00"), local);
    assert_eq!(bound("'2018-07-01T07:00'"), local);
    let instant = DateBound::Instant("2018-06-30T23:00:00Z".parse().unwrap());
    assert_eq!(bound("2018-07-01T07:00:00+08:00"), instant);
    assert_eq!(bound("'2018-07-01T07:00:00+08:00'"), instant);
}

#[test]
fn each_action_is_named_as_in_the_file() {
    let text = "[tasks.shell]\nshell = 'true'\n[tasks.spark]\nspark.application = 'jobs/a.py'\n\
                [tasks.sql]\nsql = { connection = 'warehouse', statements = 'select 1' }\n\
                [tasks.wait]\nwait.file = '/data/done'\n\
                [tasks.check]\ncheck = { connection = 'warehouse', query = 'select 1', rules.r.min = 1 }\n\
                [tasks.report]\nreport.to = ['a@example.com']\n";
    let dag = dag(text);
    assert_eq!(dag.tasks.len(), 6);
    for task in &dag.tasks {
        assert_eq!(task.action.kind().as_str(), task.id.as_str());
    }
}

#[test]
fn causes_are_read_completely() {
    let text = "[causes.quota]\nname = 'the quota is used up'\nclass = 'resources'\nconfidence = 'certain'\n\
                specificity = 7\npatterns = ['QuotaExceeded: (?<path>.*)']\nexit_codes = [3]\nsignals = [9, 15]\n\
                ending = 'timed_out'\nupstream = true\nraise = ['timeout']\nadvice = 'ask for more'\n\
                command = 'quota {dag}'\n\
                [causes.rest]\nname = 'it is gone'\nclass = 'environment'\nadvice = 'look'\nending = 'lost'\n";
    let (causes, faults) = read_diagnosis(text);
    assert_eq!(faults, []);
    let [quota, rest] = causes.as_slice() else { panic!("{causes:?}") };
    assert_eq!((quota.id.as_str(), quota.name.as_str()), ("quota", "the quota is used up"));
    assert_eq!((quota.class, quota.is_certain, quota.specificity), (CauseClass::Resources, true, 7));
    assert_eq!(quota.patterns.iter().map(Regex::as_str).collect::<Vec<_>>(), ["QuotaExceeded: (?<path>.*)"]);
    assert_eq!((quota.exit_codes.as_slice(), quota.signals.as_slice()), (&[3][..], &[9, 15][..]));
    assert_eq!((quota.ending, quota.is_of_upstream), (Some(CauseEnding::TimedOut), true));
    assert_eq!(quota.raise, ["timeout"]);
    assert_eq!((quota.advice.as_str(), quota.command.as_str()), ("ask for more", "quota {dag}"));
    assert_eq!((rest.class, rest.is_certain, rest.specificity), (CauseClass::Environment, false, 5));
    assert_eq!((rest.patterns.len(), rest.exit_codes.len(), rest.signals.len()), (0, 0, 0));
    assert_eq!((rest.ending, rest.is_of_upstream, rest.raise.len()), (Some(CauseEnding::Lost), false, 0));
    assert_eq!(rest.command, "crondag clear {dag} {run} --task {task}");
}

#[test]
fn a_check_is_read_completely() {
    let text = "max_active_runs = 1\n[tasks.c.check]\nconnection = 'warehouse'\nquery = 'select 1'\nparams.day = '{{ ds }}'\n\
                key = ['tag']\nmetrics = ['n']\ngate = 'fresh'\nno_rows = 'warn'\nduplicate_keys = 'ok'\n\
                missing_keys = 'fail'\nnew_keys = 'warn'\n\
                [tasks.c.check.rules.steady]\nmetrics = ['n']\nkeys = ['A*']\nmin = 1\nmax = 9.5\nmax_change = 0.3\n\
                max_deviations = 4\nagainst = 'same_weekday'\nmin_base = 50\nlast = 5\nat_least = 2\nmax_null_share = 0.1\n\
                max_age = '26h'\nverdict = 'warn'\n\
                [tasks.c.check.rules.usual]\nmax = 1\n\
                [tasks.c.check.reconcile]\nconnection = 'warehouse'\nquery = 'select 2'\ntolerance = 0.01\nverdict = 'warn'\n";
    let dag = dag(text);
    let Action::Check(check) = &dag.tasks[0].action else { panic!("{:?}", dag.tasks[0].action) };
    let Source::Query(source) = &check.source else { panic!("{:?}", check.source) };
    assert_eq!(source.connection, "warehouse");
    assert!(matches!(&source.query, SqlSource::Inline(text) if text == "select 1"), "{:?}", source.query);
    assert_eq!(source.params["day"], "{{ ds }}");
    assert_eq!(check.gate.as_deref(), Some("fresh"));
    let rules = &check.rules;
    assert_eq!((rules.key.as_slice(), rules.metrics.as_slice()), (&["tag".to_owned()][..], &["n".to_owned()][..]));
    let verdicts = [rules.no_rows, rules.duplicate_keys, rules.missing_keys, rules.new_keys];
    assert_eq!(verdicts, [Verdict::Warn, Verdict::Ok, Verdict::Fail, Verdict::Warn]);
    let [steady, usual] = rules.rules.as_slice() else { panic!("{:?}", rules.rules) };
    assert_eq!((steady.name.as_str(), steady.metrics.len(), steady.keys.len()), ("steady", 1, 1));
    assert_eq!((steady.min, steady.max), (Some(1.0), Some(9.5)));
    assert_eq!((steady.max_change, steady.max_deviations, steady.max_null_share), (Some(0.3), Some(4.0), Some(0.1)));
    assert_eq!((steady.min_base, usual.min_base), (Some(50.0), None));
    assert_eq!((steady.against, steady.last, steady.at_least), (Baseline::SameWeekday, 5, 2));
    assert_eq!((steady.max_age, steady.verdict), (Some(Duration::from_secs(26 * 3600)), Verdict::Warn));
    assert_eq!((usual.against, usual.last, usual.at_least, usual.verdict), (Baseline::Median, 7, 3, Verdict::Fail));
    let reconcile = check.reconcile.as_ref().unwrap();
    assert!((reconcile.tolerance - 0.01).abs() < f64::EPSILON && reconcile.verdict == Verdict::Warn);
    assert!(
        matches!(&reconcile.source, Source::Query(Query { query: SqlSource::Inline(text), .. }) if text == "select 2")
    );
}

#[test]
fn a_dag_may_end_in_the_instant_in_which_it_begins() {
    let when = "2018-07-01T07:00:00";
    let dag = dag(&format!("start_date = {when}\nend_date = {when}\n[tasks.a]\nshell = 'true'"));
    assert_eq!(dag.start_date, dag.end_date);
}

#[test]
fn mail_without_tls_goes_to_port_25() {
    let (config, faults) = read_config("[email]\nfrom = 'a@example.com'\nhost = 'h'\ntls = 'none'\n");
    assert_eq!(faults, []);
    let MailTransport::Smtp(smtp) = config.unwrap().email.unwrap().transport else { panic!("not SMTP") };
    assert_eq!((smtp.tls, smtp.port), (Tls::None, 25));
}

#[test]
fn a_cause_with_an_error_is_left_out_and_the_others_stay() {
    let cause = |id: &str, class: &str| {
        format!("[causes.{id}]\nname = 'n'\nclass = '{class}'\nadvice = 'a'\nexit_codes = [3]\npatterns = ['x']\n")
    };
    let bad = cause("bad", "logic") + "signals = [0.5]\n";
    let (causes, faults) = read_diagnosis(&[cause("one", "logic"), bad, cause("two", "resources")].concat());
    assert_eq!(causes.iter().map(|cause| cause.id.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    assert_eq!(faults.len(), 1, "{faults:?}");
}

#[test]
fn a_task_runs_as_whom_it_names_or_the_defaults_name() {
    let dag =
        dag("[defaults]\nrun_as = 'etl'\n[tasks.a]\nshell = 'true'\n[tasks.b]\nshell = 'true'\nrun_as = 'DOM+b.c-1@x'");
    let users: Vec<_> = dag.tasks.iter().map(|task| task.run_as.as_deref()).collect();
    assert_eq!(users, [Some("etl"), Some("DOM+b.c-1@x")]);
}

#[test]
fn what_is_waited_for_is_read_completely() {
    let text = "[tasks.file]\nwait = { file = 'in/{{ ds }}', every = '5s', for_at_most = '1h', soft_fail = true }\n\
                [tasks.command]\nwait.command = 'test -e x'\n\
                [tasks.gate]\nwait.gate = 'fresh'\n\
                [tasks.query]\nwait = { query = 'select :d', connection = 'warehouse', params.d = '{{ ds }}' }\n\
                [tasks.dag]\nwait = { dag = 'other', task = 'load', offset = -1, over = 'interval' }\n\
                [tasks.url]\nwait = { url = 'https://h/x', status = 204, contains = 'done' }\n\
                [tasks.template]\nwait.url = '{{ ds }}'\n";
    let dag = dag(text);
    let waits: Vec<&Wait> = dag.tasks.iter().map(|task| task.wait().unwrap()).collect();
    let expected = [
        Condition::File("in/{{ ds }}".to_owned()),
        Condition::Command("test -e x".to_owned()),
        Condition::Gate("fresh".to_owned()),
        Condition::Query {
            connection: "warehouse".to_owned(),
            query: "select :d".to_owned(),
            params: [("d".to_owned(), "{{ ds }}".to_owned())].into(),
        },
        Condition::Dag(AwaitedDag {
            dag: "other".to_owned(),
            task: Some("load".to_owned()),
            dates: AwaitedDates::Matching { offset: -1, over: Over::Interval },
        }),
        Condition::Url { url: "https://h/x".to_owned(), status: Some(204), contains: Some("done".to_owned()) },
        Condition::Url { url: "{{ ds }}".to_owned(), status: None, contains: None },
    ];
    assert_eq!(waits.iter().map(|wait| &wait.condition).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    let times = |wait: &Wait| (wait.every.as_secs(), wait.for_at_most.as_secs(), wait.soft_fail);
    assert_eq!(times(waits[0]), (5, 3_600, true));
    assert_eq!(times(waits[1]), (60, 12 * 3_600, false));
}

#[test]
fn a_report_is_read_completely() {
    let check = "[tasks.c.check]\nconnection = 'warehouse'\nquery = 'select 1'\n";
    let text = format!(
        "{check}[tasks.all]\nreport = {{}}\n[tasks.one.report]\nto = ['a@example.com']\nsubject = '{{{{ ds }}}}'\n\
         checks = ['c']\ncharts = 3\nhistory = 7\n"
    );
    let dag = dag(&text);
    let report = |task: usize| match &dag.tasks[task].action {
        Action::Report(report) => report,
        other => panic!("{other:?}"),
    };
    let (all, one) = (report(1), report(2));
    assert_eq!((all.to.len(), all.subject.as_deref(), all.checks.len(), all.charts, all.history), (0, None, 0, 12, 30));
    assert_eq!((one.to.as_slice(), one.subject.as_deref()), (&["a@example.com".to_owned()][..], Some("{{ ds }}")));
    assert_eq!((one.checks.as_slice(), one.charts, one.history), (&["c".to_owned()][..], 3, 7));
}

#[test]
fn line_ends_of_windows_are_read_as_newlines() {
    let unix = "description = 'a'\n[tasks.a]\nshell = \"\"\"\ncd /srv \\\n  && echo\n\"\"\"\n[tasks.b]\nshell = \'\'\'\nif x; then\n  y\nfi\n\'\'\'\n";
    let windows = unix.replace('\n', "\r\n");
    let scripts = |text: &str| -> Vec<String> {
        let shell = |task: &crondag::dag::Task| match &task.action {
            Action::Shell(shell) => shell.script.clone(),
            other => panic!("{other:?}"),
        };
        dag(text).tasks.iter().map(shell).collect()
    };
    assert_eq!(scripts(&windows), scripts(unix));
    assert_eq!(scripts(&windows)[1], "if x; then\n  y\nfi\n");
}

#[test]
fn a_script_that_linux_would_not_take_is_found_before_any_run() {
    let text = |length: usize| format!("[tasks.a]\nshell = \'\'\'{}\'\'\'\n", "x".repeat(length));
    let codes = |length: usize| -> Vec<&str> {
        let (_, faults) = read_dag("d", &text(length), &config(), &|_| true);
        faults.iter().map(|fault| fault.code).collect()
    };
    assert_eq!(codes(131_071), [""; 0]);
    assert_eq!(codes(131_072), ["too-long"]);
    // The sisters of a script: whatever becomes one argument or one variable.
    let long = |bytes: usize| "x".repeat(bytes);
    let found = |text: &str| -> Vec<(&'static str, String)> {
        let (_, faults) = read_dag("d", text, &config(), &|_| true);
        faults
            .iter()
            .map(|fault| (fault.code, fault.message.split('`').nth(1).unwrap_or_default().to_owned()))
            .collect()
    };
    let too_long = |name: &str| vec![("too-long", name.to_owned())];
    let shell = "[tasks.a]\nshell = 'true'\n";
    for (key, value) in [("env", "V"), ("params", "v")] {
        // `V=`, and `CRONDAG_PARAM_V=`.
        let before = if key == "env" { 2 } else { 16 };
        let of = |bytes: usize| format!("{key} = {{ {value} = '{}' }}\n{shell}", long(bytes - before));
        assert_eq!((found(&of(131_071)), found(&of(131_072))), (vec![], too_long(value)));
    }
    assert_eq!(found(&format!("{shell}env = {{ V = '{}' }}\n", long(131_070))), too_long("V"));
    let wait = |bytes: usize| format!("[tasks.a.wait]\ncommand = '{}'\n", long(bytes));
    assert_eq!((found(&wait(131_071)), found(&wait(131_072))), (vec![], too_long("command")));
    let spark = |keys: String| format!("[tasks.a.spark]\napplication = 'jobs/a.py'\n{keys}\n");
    let half = long(65_536);
    for (name, keys) in [
        ("args", format!("args = ['a', '{}']", long(131_072))),
        ("a.b", format!("conf.a.b = '{}'", long(131_068))),
        ("name", format!("name = '{}'", long(131_072))),
        ("jars", format!("jars = ['{half}', '{half}']")),
    ] {
        assert_eq!(found(&spark(keys)), too_long(name));
    }
    assert_eq!(found(&spark(format!("args = ['{half}', '{half}']"))), []);
    // SQL reaches its program through a pipe.
    let sql = "[tasks.a.sql]\nconnection = 'warehouse'\n";
    assert_eq!(found(&format!("{sql}params = {{ p = '{0}' }}\nstatements = '{0}'\n", long(200_000))), []);
    let of_config = |text: String| read_config(&text).1.iter().map(|fault| fault.code).collect::<Vec<_>>();
    assert_eq!(of_config(format!("env = {{ V = '{}' }}\n", long(131_070))), ["too-long"]);
    assert_eq!(of_config(format!("[secrets.s]\ncommand = '{}'\n", long(131_072))), ["too-long"]);
    // What the fault says is so: bash takes the one and Linux does not take the other.
    let starts = |length: usize| std::process::Command::new("true").arg("x".repeat(length)).status();
    assert!(starts(131_071).is_ok());
    assert_eq!(starts(131_072).unwrap_err().kind(), std::io::ErrorKind::ArgumentListTooLong);
}

#[test]
fn a_task_with_pool_false_takes_no_slot_of_the_pool_of_the_defaults() {
    let text =
        "[defaults]\npool = 'yarn'\n[tasks.small]\npool = false\nshell = 'true'\n[tasks.large]\nshell = 'true'\n";
    let config = read_config("[pools]\nyarn = 1\n").0.unwrap();
    let (dag, faults) = read_dag("d", text, &config, &|_| true);
    assert_eq!(faults, []);
    let pools = dag.unwrap().tasks.into_iter().map(|task| (task.id.to_string(), task.pool));
    assert_eq!(pools.collect::<Vec<_>>(), [("small".to_owned(), None), ("large".to_owned(), Some("yarn".to_owned()))]);
}

#[test]
fn a_gate_opens_on_whole_data_unless_the_file_says_what_is_harmless() {
    let missing = |more: &str| {
        let text =
            format!("max_active_runs = 1\n[tasks.c.check]\nconnection = 'warehouse'\nquery = 'select 1'\n{more}");
        let Action::Check(check) = dag(&text).tasks.remove(0).action else { panic!("{text}") };
        check.rules.missing_keys
    };
    assert_eq!(missing(""), Verdict::Warn);
    assert_eq!(missing("gate = 'fresh'\n"), Verdict::Fail);
    assert_eq!(missing("gate = 'fresh'\nmissing_keys = 'warn'\n"), Verdict::Warn);
}
