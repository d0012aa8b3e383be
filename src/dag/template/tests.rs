use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::*;
use crate::dag::schedule::Schedule;
use crate::dag::{Action, DagId, Graph, ProcessSettings, Shell, TaskId, TriggerRule};

fn render(text: &str) -> Result<String, RenderError> {
    render_with(text, Secrets::none())
}

fn render_with(text: &str, secrets: Secrets) -> Result<String, RenderError> {
    let task = Task {
        id: TaskId::new("age_task").unwrap(),
        description: None,
        action: Action::Shell(Shell { script: String::new() }),
        retries: 0,
        retry_delay: Duration::ZERO,
        retry_backoff: 1.0,
        retry_max_delay: Duration::ZERO,
        timeout: None,
        kill_grace: None,
        trigger_rule: TriggerRule::AllSuccess,
        depends_on_past: false,
        pool: None,
        pool_slots: 1,
        priority: 0,
        env: BTreeMap::new(),
        shell_options: None,
        working_dir: None,
        run_as: None,
        leave_processes: false,
        process: ProcessSettings::default(),
        email: Vec::new(),
        email_on_failure: true,
        email_on_retry: false,
        email_on_success: false,
    };
    let dag = Dag {
        id: DagId::new("userprofile").unwrap(),
        description: None,
        owner: None,
        tags: Vec::new(),
        schedule: Some(Schedule::parse("0 7 * * *").unwrap()),
        timezone: TimeZone::get("Asia/Shanghai").unwrap(),
        start_date: None,
        end_date: None,
        catchup: false,
        jitter: None,
        max_active_runs: 16,
        overlap: crate::dag::Overlap::Wait,
        max_active_tasks: 16,
        run_timeout: None,
        params: BTreeMap::new(),
        env: BTreeMap::new(),
        tasks: vec![task.clone()],
        graph: Graph::new(1, []).unwrap(),
    };
    let start: Timestamp = "2018-07-01T07:00:00+08:00".parse().unwrap();
    let end: Timestamp = "2018-07-02T07:00:00+08:00".parse().unwrap();
    let params = BTreeMap::from([("country".to_owned(), json!("it's")), ("top".to_owned(), json!(5))]);
    let vars = BTreeMap::from([("queue".to_owned(), json!("etl"))]);
    let scope = Scope {
        dag: &dag,
        task: &task,
        interval: DataInterval { start, end },
        run_type: RunType::Scheduled,
        run_id: "scheduled__x",
        try_number: 2,
        params: &params,
        vars: &vars,
    };
    let renderer = Renderer::new(&scope, secrets);
    if text == "VARIABLES" {
        let names: Vec<String> = renderer.variables().iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        return Ok(names.concat());
    }
    if text == "ENV" {
        let names: Vec<String> =
            renderer.environment().into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        return Ok(names.join("\n"));
    }
    renderer.render(text)
}

#[test]
fn names_are_airflows() {
    for (text, expected) in [
        ("{{ ds }} {{ ds_nodash }}", "2018-07-01 20180701"),
        ("{{ ts }} {{ ts_nodash }}", "2018-07-01T07:00:00+08:00 20180701T070000"),
        ("{{ data_interval_start }}..{{ data_interval_end }}", "2018-07-01T07:00:00+08:00..2018-07-02T07:00:00+08:00"),
        ("{{ prev_ds }} {{ next_ds_nodash }}", "2018-06-30 20180702"),
        ("{{ yesterday_ds_nodash }} {{ tomorrow_ds }}", "20180630 2018-07-02"),
        ("{{ logical_date.strftime('%Y/%m') }} {{ logical_date.year }}", "2018/07 2018"),
        ("{{ data_interval_end | ds_nodash }} {{ logical_date | ts }}", "20180702 2018-07-01T07:00:00+08:00"),
        (
            "{{ logical_date.subtract(days=7) | ds }} {{ logical_date.add(hours=1) }}",
            "2018-06-24 2018-07-01T08:00:00+08:00",
        ),
        ("{{ dag.id }}.{{ task.id }} {{ run_id }} {{ try_number }}", "userprofile.age_task scheduled__x 2"),
        ("{{ macros.ds_add(ds, -7) }} {{ macros.ds_format(ds, '%Y-%m-%d', '%d.%m.%y') }}", "2018-06-24 01.07.18"),
        ("{{ params.top + 1 }} {{ var.queue }} {{ var.value.queue }}", "6 etl etl"),
        ("{{ ds.replace('-', '/') }} {{ ds.split('-')[0] }} {{ ds[:4] }}", "2018/07/01 2018 2018"),
        ("{{ 'a  b c'.split()[1] }} {{ ' x '.strip() }} {{ 'aB'.upper() }} {{ 'aB'.lower() }}", "b x AB ab"),
        ("{{ 'ab'.startswith('a') }} {{ 'ab'.startswith('b') }} {{ 'ab'.endswith('b') }}", "True False True"),
        ("echo {{ params.country | sh }}\n", "echo 'it'\\''s'\n"),
        ("no holes\r\n", "no holes\r\n"),
    ] {
        assert_eq!(render(text).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn dates_have_parts_and_methods() {
    let moved = "{% set moved = logical_date.add(months=1, weeks=1, days=1, hours=1, minutes=2, seconds=3) %}";
    for (text, expected) in [
        ("{{ moved.year }}/{{ moved.month }}/{{ moved.day }}", "2018/8/9"),
        ("{{ moved.hour }}:{{ moved.minute }}:{{ moved.second }}", "8:2:3"),
        ("{{ moved.date() }} {{ moved.isoformat() }}", "2018-08-09 2018-08-09T08:02:03+08:00"),
        ("{{ logical_date.timestamp() }} {{ logical_date.int_timestamp() }}", "1530399600 1530399600"),
        ("{{ moved.subtract(months=1) }}", "2018-07-09T08:02:03+08:00"),
    ] {
        assert_eq!(render(&format!("{moved}{text}")).as_deref(), Ok(expected), "{text}");
    }
    for (text, message) in [
        ("{{ logical_date.add(years=1) }}", "unknown keyword argument 'years'"),
        (
            "{{ logical_date.nope() }}",
            "a date has no method nope; it has strftime, date, isoformat, timestamp, add and subtract",
        ),
        ("{{ macros.ds_sub(ds, 1) }}", "macros has ds_add and ds_format, not ds_sub"),
        ("{{ logical_date.months }}", "`logical_date.months` is undefined"),
    ] {
        assert_eq!(render(text).unwrap_err().message, message, "{text}");
    }
}

#[test]
fn secrets_are_looked_up_where_a_template_asks_for_them() {
    let secrets = Secrets::new(|name| match name {
        "DB" => Some(Ok("hunter2".to_owned())),
        "GONE" => Some(Err("the file of secret GONE is missing".to_owned())),
        _ => None,
    });
    let render = |text: &str| render_with(text, secrets.clone()).map_err(|error| error.message);
    assert_eq!(render("-p{{ secret.DB }}").as_deref(), Ok("-phunter2"));
    assert_eq!(render("{{ secret.GONE }}").as_deref(), Err(&"the file of secret GONE is missing".to_owned()));
    assert_eq!(render("{{ secret.OTHER }}").as_deref(), Err(&"`secret.OTHER` is undefined".to_owned()));
    assert_eq!(format!("{secrets:?}"), "secrets");
}

#[test]
fn the_environment_has_the_same_values() {
    let environment = render("ENV").unwrap();
    for line in
        ["CRONDAG_DS=2018-07-01", "CRONDAG_RUN_ID=scheduled__x", "CRONDAG_PARAM_TOP=5", "CRONDAG_TASK_ID=age_task"]
    {
        assert!(environment.lines().any(|found| found == line), "{line} in {environment}");
    }
}

#[test]
fn the_names_for_sql_are_plain_texts() {
    let expected = "data_interval_end=2018-07-02T07:00:00+08:00\ndata_interval_start=2018-07-01T07:00:00+08:00\n\
                    ds=2018-07-01\nds_nodash=20180701\nlogical_date=2018-07-01T07:00:00+08:00\nnext_ds=2018-07-02\n\
                    next_ds_nodash=20180702\nprev_ds=2018-06-30\nprev_ds_nodash=20180630\nrun_id=scheduled__x\n\
                    tomorrow_ds=2018-07-02\ntomorrow_ds_nodash=20180702\nts=2018-07-01T07:00:00+08:00\n\
                    ts_nodash=20180701T070000\nyesterday_ds=2018-06-30\nyesterday_ds_nodash=20180630\n";
    assert_eq!(render("VARIABLES").unwrap(), expected);
}

#[test]
fn undefined_names_and_endless_loops_are_errors() {
    assert!(render("{{ nope }}").is_err());
    assert!(render("{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}").is_err());
}

#[test]
fn the_checker_finds_every_undefined_name_with_its_place() {
    let params = BTreeMap::from([("country".to_owned(), json!("x"))]);
    let checker = Checker::new(&params, &BTreeMap::new(), ["DB"].iter());
    let text = "a {{ dss }} {{ params.county }} {{ execution_date }} ds {{ ds }} {{ secret.DP }} {{ secret.DB }}";
    let found: Vec<(&str, String, String)> = checker
        .check(text)
        .into_iter()
        .map(|fault| (&text[fault.span], fault.message, fault.help.unwrap_or_default()))
        .collect();
    let expected = [
        ("dss", "`dss` is not defined", "did you mean `ds`?"),
        ("params.county", "there is no param `county`", "did you mean `params.country`?"),
        (
            "execution_date",
            "`execution_date` is not defined",
            "Airflow 1 and 2 called it that; here it is `logical_date`",
        ),
        ("secret.DP", "there is no secret `DP`", "did you mean `secret.DB`?"),
    ];
    let found: Vec<(&str, &str, &str)> = found.iter().map(|(a, b, c)| (*a, b.as_str(), c.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_name_is_marked_only_where_a_template_uses_it() {
    let checker = Checker::new(&BTreeMap::new(), &BTreeMap::new(), ["DB"].iter());
    let text = "foo {% set foo_2, my_foo = 1, ds %}{{ foo_2 }}{{ my_foo }}{{ my_foo.foo }} foo {{ foo }} {{ 1 ~ foo }}";
    let marked: Vec<Range<usize>> = checker.check(text).into_iter().map(|fault| fault.span).collect();
    assert_eq!(marked, [82..85, 96..99]);
    let text = "secret {{ secret.DB }} {% if secret.DB %}secret{% endif %} {{ 'my.secret' }}";
    assert_eq!(checker.secrets_in(text), [10..16, 29..35]);
    assert!(checker.secrets_in("secret {{ ds }}").is_empty());
}

#[test]
fn the_members_of_a_name_are_told() {
    use TemplateFaultKind::{NotInConfig, UndefinedName};
    let checker = Checker::new(&BTreeMap::new(), &BTreeMap::new(), std::iter::empty::<&str>());
    for (kind, text, message, help) in [
        (UndefinedName, "{{ dag.owner }}", "`dag` has no `owner`", "`dag` has id, dag_id"),
        (UndefinedName, "{{ task.idd }}", "`task` has no `idd`", "did you mean `task.id`?"),
        (UndefinedName, "{{ params.day }}", "there is no param `day`", "add it to [params]"),
        (NotInConfig, "{{ secret.DB }}", "there is no secret `DB`", "add it to [secrets] in crondag.toml"),
        (NotInConfig, "{{ var.queue }}", "there is no variable `queue`", "add it to [vars] in crondag.toml"),
    ] {
        let (message, help) = (message.to_owned(), Some(help.to_owned()));
        let fault = TemplateFault { kind, span: 3..text.len() - 3, message, help };
        assert_eq!(checker.check(text), [fault]);
    }
}

#[test]
fn what_depends_on_the_value_of_a_secret_is_left_to_the_run() {
    let checker = Checker::new(&BTreeMap::new(), &BTreeMap::new(), ["PORT"].iter());
    assert_eq!(checker.check("{{ secret.PORT | int + 1 }}"), []);
    for wrong in ["{{ secret.PORT | nope }}", "{{ nope(secret.PORT) }}", "{{ 'x' | int }}"] {
        assert_eq!(checker.check(wrong).len(), 1, "{wrong}");
    }
}

#[test]
fn the_checker_finds_syntax_unknown_filters_and_methods_and_accepts_the_rest() {
    let checker = Checker::new(&BTreeMap::new(), &BTreeMap::new(), std::iter::empty::<&str>());
    for bad in ["{{ ds", "{{ ds | nope }}", "{{ ds.nope() }}", "{{ macros.nope(ds) }}", "{% if %}", "{{ var.x }}"] {
        assert_eq!(checker.check(bad).len(), 1, "{bad}: {:?}", checker.check(bad));
    }
    for good in [
        "{% set x = 1 %}{{ x }}",
        "{% for i in range(3) %}{{ i }}{% endfor %}",
        "{{ logical_date.month }}",
        "{{ ds[:7] }}",
    ] {
        assert_eq!(checker.check(good), [], "{good}");
    }
}

#[test]
fn what_sh_quotes_bash_gives_back() {
    for text in ["", "plain", "it's", "a b", "$HOME `id` \"x\" \\", "多字节\n新行", "-n", "*?[", "'''"] {
        let output =
            std::process::Command::new("bash").arg("-c").arg(format!("printf %s {}", quote(text))).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    }
}

#[test]
fn only_what_needs_quotes_gets_them() {
    assert_eq!(["", "a-B_9./:=@%+,", "a b", "ü"].map(quote), ["''", "a-B_9./:=@%+,", "'a b'", "'ü'"]);
}

mod what_is_no_template_reaches_bash {
    use proptest::prelude::*;

    use super::*;

    /// Pieces of shell that look like templates of one kind or another.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            Just("${#dirs[@]}".to_owned()),
            Just("${name%#}".to_owned()),
            Just("{#".to_owned()),
            Just("#}".to_owned()),
            Just("%}".to_owned()),
            Just("}}".to_owned()),
            Just("{".to_owned()),
            Just("# a comment\n".to_owned()),
            "[ -~\\n]{0,12}",
            "\\PC{0,4}",
        ]
    }

    fn script() -> impl Strategy<Value = String> {
        prop::collection::vec(piece(), 0..8)
            .prop_map(|pieces| pieces.concat())
            .prop_filter("no template", |text| !text.contains("{{") && !text.contains("{%") && !text.ends_with('{'))
    }

    proptest! {
        #[test]
        fn byte_for_byte(before in script(), after in script()) {
            let checker = Checker::new(&BTreeMap::new(), &BTreeMap::new(), std::iter::empty::<&str>());
            prop_assert_eq!(checker.check(&before), []);
            // Also around what is a template.
            let text = format!("{before}{{{{ ds }}}}{after}");
            prop_assert_eq!(checker.check(&text), []);
            prop_assert_eq!(environment().render_str(&text, minijinja::context! { ds => "2018-07-01" }).unwrap(), format!("{before}2018-07-01{after}"));
        }
    }
}
