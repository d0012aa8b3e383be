//! The reference pages and schemas under `docs/reference/` are those that the code makes.
//!
//! `UPDATE=1 cargo test --test reference` writes them anew.

#![allow(clippy::unwrap_used)] // a test that cannot go on has failed

use std::path::Path;
use std::{env, fs};

use crondag::dag::Config;
use crondag::dag::file::{read_config, read_dag, read_diagnosis, reference, schema};
use serde_json::Value;

#[test]
fn the_pages_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference");
    let pages = [
        ("dag-file.md", reference::dag_page()),
        ("crondag-toml.md", reference::config_page()),
        ("diagnosis-toml.md", reference::diagnosis_page()),
        ("driver-log.md", crondag::runner::driver_log::line::page()),
        ("dag.schema.json", schema::dag_schema()),
        ("crondag.schema.json", schema::config_schema()),
        ("diagnosis.schema.json", schema::diagnosis_schema()),
    ];
    for (name, page) in pages {
        let path = folder.join(name);
        if env::var_os("UPDATE").is_some() {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, &page).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page, "{} is stale: run `UPDATE=1 cargo test --test reference`", path.display());
    }
}

/// The example of every key is read without a fault, so what the reference says can be typed.
#[test]
fn every_example_is_good() {
    let config = "pools.yarn = 4\nconnections.warehouse = { type = 'sqlite', path = 'x' }\n\
                  connections.serving = { type = 'sqlite', path = 'y' }";
    let config = read_config(config).0.unwrap();
    let read = |text: &str| read_dag("a", text, &config, &|_: &Path| true).1;
    let (dag, home) = (rows(&reference::dag_page()), rows(&reference::config_page()));
    assert!(dag.len() > 60 && home.len() > 40, "{} {}", dag.len(), home.len());
    for (header, key, example) in dag {
        let text = match header.as_str() {
            "" if key == "tasks" => format!("tasks = {example}"),
            "" if key == "order" => {
                let tasks = ["extract", "clean", "check", "load"].map(|id| format!("tasks.{id}.shell = 'true'\n"));
                format!("order = {example}\n{}", tasks.concat())
            }
            "" => format!("{key} = {example}\n[tasks.a]\nshell = 'true'"),
            "[defaults]" | "[defaults.spark]" => {
                format!("{header}\n{key} = {example}\n[tasks.a]\nshell = 'true'")
            }
            "[tasks.NAME]" if matches!(key.as_str(), "shell" | "spark" | "sql" | "wait" | "check" | "report") => {
                format!("[tasks.a]\n{key} = {example}")
            }
            "[tasks.NAME]" => format!(
                "[tasks.a]\nshell = 'true'\n{key} = {example}\n[tasks.extract]\nshell = 'true'\n[tasks.check]\nshell = 'true'"
            ),
            "[tasks.NAME.spark]" if key == "application" => format!("[tasks.a.spark]\n{key} = {example}"),
            "[tasks.NAME.spark]" => format!("[tasks.a.spark]\napplication = 'a.py'\n{key} = {example}"),
            "[tasks.NAME.sql]" if key == "connection" => {
                format!("[tasks.a.sql]\nstatements = 'SELECT 1'\n{key} = {example}")
            }
            "[tasks.NAME.sql]" if key == "params" => {
                format!("params.window = 1\n[tasks.a.sql]\nconnection = 'warehouse'\nfile = 'a.sql'\n{key} = {example}")
            }
            "[tasks.NAME.sql]" if key == "to" => {
                format!("[tasks.a.sql]\nconnection = 'warehouse'\nfile = 'a.sql'\n{key} = {example}")
            }
            "[tasks.NAME.sql]" => format!("[tasks.a.sql]\nconnection = 'warehouse'\n{key} = {example}"),
            "[tasks.NAME.wait]" => {
                let rest = match key.as_str() {
                    "file" | "dag" | "url" | "command" | "gate" => "",
                    "query" => "connection = 'warehouse'",
                    "connection" => "query = 'SELECT 1'",
                    "params" => "connection = 'warehouse'\nquery = 'SELECT 1'",
                    "task" | "offset" | "over" | "date" => "dag = 'orders'",
                    "status" | "contains" => "url = 'http://localhost'",
                    _ => "file = 'x'",
                };
                format!("params.shop = 's'\n[tasks.a.wait]\n{rest}\n{key} = {example}")
            }
            "[tasks.NAME.check]" | "[tasks.NAME.check.reconcile]" => {
                let rest = match key.as_str() {
                    "query" | "file" => "connection = 'warehouse'",
                    "command" => "",
                    "connection" => "query = 'SELECT 1'",
                    _ => "connection = 'warehouse'\nquery = 'SELECT 1'",
                };
                let outer = match header.contains("reconcile") {
                    true => "[tasks.a.check]\nconnection = 'warehouse'\nquery = 'SELECT 1'\n",
                    false => "",
                };
                let table = header.replace("NAME", "a");
                format!("max_active_runs = 1\nparams.shop = 's'\n{outer}{table}\n{rest}\n{key} = {example}")
            }
            "[tasks.NAME.check.rules.NAME]" => {
                let rest = match key.as_str() {
                    "max" => "",
                    "min_base" => "max_change = 1",
                    _ => "max = 1",
                };
                format!(
                    "max_active_runs = 1\n[tasks.a.check]\nconnection = 'warehouse'\nquery = 'SELECT 1'\n\
                     [tasks.a.check.rules.r]\n{rest}\n{key} = {example}"
                )
            }
            "[tasks.NAME.report]" => format!(
                "[tasks.tag_counts.check]\nconnection = 'warehouse'\nquery = 'SELECT 1'\n[tasks.a.report]\n{key} = {example}"
            ),
            "[tasks.NAME.limits]" => format!("[tasks.a]\nshell = 'true'\n[tasks.a.limits]\n{key} = {example}"),
            other => panic!("no text for {other}"),
        };
        assert_eq!(read(&text), [], "{text}");
    }
    for (header, key, example) in home {
        let transport = match key.as_str() {
            "command" => "transport = 'sendmail'\n",
            "path" => "transport = 'folder'\n",
            _ => "",
        };
        let rest = match header.as_str() {
            "" | "[limits]" | "[logs]" | "[spark]" | "[connections.NAME.spark]" | "[secrets.NAME]" => "",
            "[connections.NAME]" if key == "type" => "database = 'd'\nusername = 'u'\n",
            "[connections.NAME]" if key == "path" => "type = 'sqlite'\n",
            "[connections.NAME]" if key == "database" => "type = 'mysql'\nusername = 'u'\n",
            "[connections.NAME]" if key == "username" => "type = 'mysql'\ndatabase = 'd'\n",
            "[connections.NAME]" if key == "url" => "type = 'hive'\n",
            "[connections.NAME]" if ["program", "spark"].contains(&key.as_str()) => "type = 'spark_sql'\n",
            "[connections.NAME]" => "type = 'mysql'\ndatabase = 'd'\nusername = 'u'\n",
            "[email]" => match key.as_str() {
                "from" => "host = 'h'\n",
                "username" => "from = 'a@b'\nhost = 'h'\npassword_env = 'P'\n",
                "password_env" => "from = 'a@b'\nhost = 'h'\nusername = 'u'\n",
                "host" | "transport" | "command" | "path" => "from = 'a@b'\n",
                _ => "from = 'a@b'\nhost = 'h'\n",
            },
            other => panic!("no text for {other}"),
        };
        let transport = if header == "[email]" { transport } else { "" };
        let parent = if header == "[connections.NAME.spark]" { "[connections.NAME]\ntype = 'spark_sql'\n" } else { "" };
        let text = format!("{parent}{header}\n{transport}{rest}{key} = {example}");
        assert_eq!(read_config(&text).1, [], "{text}");
    }
}

#[test]
fn every_example_of_a_cause_is_good() {
    let rows = rows(&reference::diagnosis_page());
    assert!(rows.len() > 10, "{}", rows.len());
    for (header, key, example) in rows {
        let text = match (header.as_str(), key.as_str()) {
            ("", _) => format!("{key} = {example}"),
            (_, "name" | "class" | "advice" | "patterns") => {
                let others = [("name", "'n'"), ("class", "'logic'"), ("advice", "'a'"), ("patterns", "['p']")];
                let others = others.iter().filter(|(other, _)| *other != key);
                let others: String = others.map(|(other, value)| [other, " = ", value, "\n"].concat()).collect();
                format!("[causes.a]\n{key} = {example}\n{others}")
            }
            _ => format!("[causes.a]\nname = 'n'\nclass = 'logic'\nadvice = 'a'\npatterns = ['p']\n{key} = {example}"),
        };
        let (causes, faults) = read_diagnosis(&text);
        assert_eq!(faults, [], "{text}");
        assert_eq!(causes.len(), 1, "{text}");
    }
}

/// `(header, key, example)` of each row of a page's tables.
fn rows(page: &str) -> Vec<(String, String, String)> {
    let mut header = String::new();
    let mut rows = Vec::new();
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            header = if title.starts_with("`[") { title.trim_matches('`').to_owned() } else { String::new() };
        }
        let cells: Vec<String> =
            line.replace("\\|", "\u{1}").split('|').map(|cell| cell.replace('\u{1}', "|")).collect();
        if let [_, key, _, _, _, example, _] = cells.as_slice()
            && let Some(key) = key.trim().strip_prefix('`')
        {
            rows.push((header.clone(), key.trim_matches('`').to_owned(), example.trim().trim_matches('`').to_owned()));
        }
    }
    rows
}

/// The defaults that are documented are those that hold: writing them changes nothing.
#[test]
fn the_documented_defaults_hold() {
    let with = |settings: &str, defaults: &str| {
        let text = format!("{settings}\n[defaults]\n{defaults}\n[tasks.a]\nshell = 'true'");
        let (dag, faults) = read_dag("a", &text, &Config::default(), &|_: &Path| true);
        assert_eq!(faults, [], "{text}");
        format!("{:?}", dag.unwrap())
    };
    let plain = with("", "");
    let schema: Value = serde_json::from_str(&schema::dag_schema()).unwrap();
    assert_eq!(with(&documented(&schema), ""), plain);
    let defaults = documented(&schema["$defs"]["defaults"]);
    assert_eq!(defaults.lines().count(), 13, "{defaults}");
    assert_eq!(with("", &defaults), plain);

    let schema: Value = serde_json::from_str(&schema::config_schema()).unwrap();
    let logs = documented(&schema["$defs"]["logs"]);
    let (config, faults) = read_config(&format!("{}\n[logs]\n{logs}", documented(&schema)));
    assert_eq!(faults, []);
    assert_eq!(format!("{:?}", config.unwrap()), format!("{:?}", Config::default()));
}

fn documented(schema: &Value) -> String {
    let properties = schema["properties"].as_object().unwrap();
    let lines = properties.iter().filter_map(|(key, property)| Some(format!("{key} = {}\n", property.get("default")?)));
    lines.collect()
}
