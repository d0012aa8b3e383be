//! The reference pages of DAG files, crondag.toml and diagnosis.toml, made from the table of keys.

use std::fmt::Write as _;

use super::field::{CONFIG, DAG, DIAGNOSIS};
use super::section::{Field, Kind, Section};

const DAG_INTRODUCTION: &str = "\
# DAG files

<!-- Made from the table of keys in src/dag/file/field.rs: change it there, then run `UPDATE=1 cargo test --test reference`. -->

A DAG file is a [TOML](https://toml.io) file in the folder `dags/` of a home. The DAG's id is the name of the file without
`.toml`. `crondag validate` shows every fault of every file.

```toml
description = \"Daily user-profile tags\"
schedule    = \"0 7 * * *\"
timezone    = \"Asia/Shanghai\"
start_date  = 2018-07-01
order       = [\"check_table >> [active, buyers] >> export\"]

[defaults]
retries     = 1
retry_delay = \"1m\"

[tasks.check_table]
shell   = \"python3 jobs/check_table.py {{ ds_nodash }}\"
retries = 6

[tasks.active.spark]
application     = \"jobs/active.py\"
args            = [\"{{ ds_nodash }}\"]
executor_memory = \"8g\"

[tasks.buyers.sql]
connection = \"warehouse\"
file       = \"sql/buyers.sql\"

[tasks.export]
shell        = \"python3 jobs/export.py {{ ds }}\"
trigger_rule = \"all_done\"
```
";

const CONFIG_INTRODUCTION: &str = "\
# crondag.toml

<!-- Made from the table of keys in src/dag/file/field.rs: change it there, then run `UPDATE=1 cargo test --test reference`. -->

The directory with this file is a home. Every key may be left out; an empty file will do.

```toml
timezone = \"Asia/Shanghai\"
env_file = \"secrets.env\"

[pools]
yarn = 4

[connections.warehouse]
type = \"sqlite\"
path = \"warehouse.db\"

[email]
from         = \"crondag <etl@example.com>\"
to           = \"admin@example.com\"                # who is told what is wrong with the home itself
host         = \"mail.example.com\"
username     = \"etl\"
password_env = \"SMTP_PASSWORD\"
```
";

const DIAGNOSIS_INTRODUCTION: &str = "\
# diagnosis.toml

<!-- Made from the table of keys in src/dag/file/field.rs: change it there, then run `UPDATE=1 cargo test --test reference`. -->

A `diagnosis.toml` in the home adds causes to those that `crondag diagnose` knows; `crondag validate` checks it. The built-in
causes have the same format.

```toml
[causes.hive-metastore]
name       = \"the Hive metastore does not answer\"
class      = \"environment\"
patterns   = ['MetaException\\(message:Could not connect to meta store']
confidence = \"certain\"
advice     = \"ask the platform team; the task can run again as soon as it answers\"
```
";

const ORDER: &str = "
## Order

`order` has chains of task ids. `a >> b` means that `b` waits for `a`; a list stands for each of its tasks:

```toml
order = [\"extract >> [clean, check] >> load\", \"load >> report\"]
```

`after` on a task says the same from the other end, and the two may be mixed:

```toml
[tasks.report]
after = [\"load\"]
```
";

/// The page `docs/reference/dag-file.md`.
pub fn dag_page() -> String {
    let mut page = DAG_INTRODUCTION.to_owned();
    sections(&mut page, &DAG, "Keys of the file");
    page.push_str(ORDER);
    values(&mut page);
    page.push_str(&editors("dag", "../dag.schema.json"));
    page
}

/// The page `docs/reference/crondag-toml.md`.
pub fn config_page() -> String {
    let mut page = CONFIG_INTRODUCTION.to_owned();
    sections(&mut page, &CONFIG, "Keys of the file");
    values(&mut page);
    page.push_str(&editors("config", "./crondag.schema.json"));
    page
}

/// The page `docs/reference/diagnosis-toml.md`.
pub fn diagnosis_page() -> String {
    let mut page = DIAGNOSIS_INTRODUCTION.to_owned();
    sections(&mut page, &DIAGNOSIS, "Keys of the file");
    page.push_str(&editors("diagnosis", "./diagnosis.schema.json"));
    page
}

fn sections(page: &mut String, section: &'static Section, title: &str) {
    let mut open = vec![(section, title.to_owned())];
    while let Some((section, title)) = open.pop() {
        // Several tables may share one.
        if page.contains(&format!("\n## {title}\n")) {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {title}\n\n{}\n\n", section.doc);
        for (keys, what) in [(section.required, "Required"), (section.one_of, "Exactly one of")] {
            if !keys.is_empty() {
                let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
                let _ = write!(page, "{what}: {}.\n\n", keys.join(", "));
            }
        }
        page.push_str("| key | value | default | what it does | example |\n|---|---|---|---|---|\n");
        for field in section.fields() {
            row(page, field);
        }
        let mut inner: Vec<(&'static Section, String)> = section
            .fields()
            .filter_map(|field| match field.kind {
                Kind::Table(section) | Kind::Tables(section) => Some((section, format!("`{}`", section.header))),
                _ => None,
            })
            .collect();
        inner.reverse();
        open.append(&mut inner);
    }
}

fn row(page: &mut String, field: &Field) {
    let default = field.default.map_or(String::new(), |default| format!("`{default}`"));
    let value = value_of(field.kind);
    let cell = |text: &str| text.replace('|', "\\|");
    let _ = writeln!(
        page,
        "| `{}` | {} | {} | {} | `{}` |",
        field.key,
        cell(&value),
        cell(&default),
        cell(field.doc),
        cell(field.example)
    );
}

fn value_of(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::TextOrFalse => "text, or `false`".into(),
        Kind::Template => "template".into(),
        Kind::Texts => "list of texts".into(),
        Kind::Templates => "list of templates".into(),
        Kind::TaskIds => "list of task ids, or one".into(),
        Kind::Emails => "list of addresses, or one".into(),
        Kind::Flag => "`true` or `false`".into(),
        Kind::Whole(low, high) if low == i64::from(i32::MIN) && high == i64::from(i32::MAX) => "whole number".into(),
        Kind::Whole(low, high) => format!("whole number, {low} to {high}"),
        Kind::Number(low, high) => match (low < -1e9, high > 1e9) {
            (true, true) => "number".to_owned(),
            (false, true) => format!("number, at least {low}"),
            _ => format!("number, {low} to {high}"),
        },
        Kind::Duration => "duration".into(),
        Kind::DurationOrForever => "duration, or `\"forever\"`".into(),
        Kind::Size => "size".into(),
        Kind::Memory => "memory size".into(),
        Kind::Choice(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Date => "date".into(),
        Kind::Zone => "name of the tz database".into(),
        Kind::Schedule => "schedule".into(),
        Kind::Order => "list of chains, or one".into(),
        Kind::Env => "table of variables".into(),
        Kind::TextMap | Kind::Properties => "table of templates".into(),
        Kind::Values => "table of any values".into(),
        Kind::Pools => "table of whole numbers, 1 to 10000".into(),
        Kind::Bytes => "list of whole numbers, 0 to 255".into(),
        Kind::Table(_) => "table, see below".into(),
        Kind::Tables(_) => "tables, see below".into(),
    }
}

fn values(page: &mut String) {
    page.push_str(
        "
## Values

- **text**: a TOML string that is not empty.
- **template**: a text in which `{{ ds }}` and the like are filled in. Names that do not exist are faults of the file.
- **duration**: numbers with units, `\"90s\"`, `\"10m\"`, `\"1h30m\"`; the units are `ms`, `s`, `m`, `h`, `d`, `w`.
- **size**: a whole number with `B`, `KB`, `MB` or `GB`, powers of 1024: `\"100MB\"`.
- **memory size**: as the JVM takes it, `\"512m\"`, `\"4g\"`, or a template.
- **date**: `2018-07-01` (a whole day), `2018-07-01T07:00:00` (both in the DAG's zone), or
  `2018-07-01T07:00:00+08:00`. The same in quotes means the same.
- **schedule**: five crontab fields, read as Vixie cron reads them, or a shorthand such as `\"@daily\"`.
- Where texts stand in a table by name, numbers and flags stand for their text: `N = 3` is `N = \"3\"`.
",
    );
}

fn editors(which: &str, path: &str) -> String {
    let file = path.trim_start_matches(['.', '/']);
    format!(
        "
## In an editor

The [JSON Schema]({file}) makes editors complete keys, show what they do and mark faults. Put it into the home:

```sh
crondag schema {which} > {file}
```

Then this first line of the file makes taplo, and with it VS Code's *Even Better TOML*, use it:

```toml
#:schema {path}
```
"
    )
}
