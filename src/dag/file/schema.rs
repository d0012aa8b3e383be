//! The reference and the JSON Schemas of DAG files and of crondag.toml, rendered from the tables of fields.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::field::{CONFIG, DAG, Field, Kind};

/// The JSON Schema (draft 2020-12) of DAG files.
pub fn dag_schema() -> Value {
    let mut schema = root("A crondag DAG file", DAG);
    schema["required"] = json!(["tasks"]);
    schema
}

/// The JSON Schema (draft 2020-12) of crondag.toml.
pub fn config_schema() -> Value {
    root("crondag.toml", CONFIG)
}

fn root(title: &str, fields: &[Field]) -> Value {
    let mut schema = object(fields);
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

fn object(fields: &[Field]) -> Value {
    let properties: Map<String, Value> = fields
        .iter()
        .map(|field| {
            let mut property = value(field.kind);
            property["description"] = json!(field.doc);
            if let Some(default) = json_default(field) {
                property["default"] = default;
            }
            (field.key.to_owned(), property)
        })
        .collect();
    let required: Vec<&str> =
        fields.iter().filter(|field| field.doc.ends_with(" Required.")).map(|field| field.key).collect();
    let mut schema = json!({ "type": "object", "additionalProperties": false, "properties": properties });
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let actions = ["shell", "spark", "sql"];
    if actions.iter().all(|action| fields.iter().any(|field| field.key == *action)) {
        schema["oneOf"] = actions.iter().map(|action| json!({ "required": [action] })).collect();
    }
    schema
}

fn json_default(field: &Field) -> Option<Value> {
    serde_json::from_str(field.default).ok()
}

fn value(kind: Kind) -> Value {
    let duration = r"^([0-9]+(ms|s|m|h|d|w))+$";
    let text = json!({ "type": "string" });
    let table_of = |item: Value| json!({ "type": "object", "additionalProperties": item });
    let scalar = json!({ "type": ["string", "number", "boolean"] });
    match kind {
        Kind::Text | Kind::Template | Kind::Zone => text,
        Kind::Texts | Kind::Templates => json!({ "oneOf": [text, { "type": "array", "items": text }] }),
        Kind::Bool => json!({ "type": "boolean" }),
        Kind::Count(least) => json!({ "type": "integer", "minimum": least }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Number(least) => json!({ "type": "number", "minimum": least }),
        Kind::Duration => json!({ "type": "string", "pattern": duration }),
        Kind::DurationOrForever => json!({ "type": "string", "pattern": format!("^forever$|{duration}") }),
        Kind::Size => json!({ "type": "string", "pattern": "^[0-9]+(B|KB|MB|GB)$" }),
        Kind::Memory => json!({ "type": "string", "pattern": r"^[0-9]+[kKmMgGtT][bB]?$|\{\{" }),
        Kind::Schedule => json!({
            "type": "string",
            "pattern": r"^\s*(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|\S+(\s+\S+){4})\s*$"
        }),
        // TOML has dates of its own, which JSON Schema sees as texts.
        Kind::Date => json!({ "type": "string", "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}" }),
        Kind::OneOf(words) => json!({ "enum": words }),
        Kind::TextTable | Kind::TemplateTable => table_of(scalar),
        Kind::CountTable => table_of(json!({ "type": "integer", "minimum": 1 })),
        Kind::ValueTable => table_of(json!(true)),
        Kind::Table(fields) => object(fields),
        Kind::Tables(fields) => table_of(object(fields)),
    }
}

/// The reference of DAG files, in Markdown.
pub fn dag_reference() -> String {
    let mut text = String::from(
        "# DAG files\n\n<!-- Made by `crondag schema dag --format markdown`; do not edit. -->\n\n\
         A DAG is a TOML file in `dags/`; its id is the file's name without `.toml`.\n\
         Values marked *template* may contain names between `{{ }}`: see [templates](templates.md).\n\n\
         An editor with TOML support (taplo, or Even Better TOML in VS Code) checks and completes as you type when the\n\
         first line of the file is\n\n```toml\n#:schema ../docs/reference/dag.schema.json\n```\n\n\
         with the path to the schema, which `crondag schema dag > dag.schema.json` writes.\n",
    );
    section(&mut text, "The file", DAG, "");
    text
}

/// The reference of crondag.toml, in Markdown.
pub fn config_reference() -> String {
    let mut text = String::from(
        "# crondag.toml\n\n<!-- Made by `crondag schema config --format markdown`; do not edit. -->\n\n\
         The settings of a home. An empty file is fine: everything has a default.\n\n\
         For editors: `#:schema config.schema.json` as the first line, with the file that\n\
         `crondag schema config > config.schema.json` writes.\n",
    );
    section(&mut text, "The file", CONFIG, "");
    text
}

fn section(text: &mut String, title: &str, fields: &[Field], path: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "\n## {title}\n\n| key | value | default | meaning |\n| --- | --- | --- | --- |");
    for field in fields {
        let default = if field.default.is_empty() { String::new() } else { format!("`{}`", field.default) };
        let doc = field.doc.replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {} | {default} | {doc} |", field.key, describe(field.kind));
    }
    for field in fields {
        match field.kind {
            Kind::Table(inner) => {
                let name = format!("{path}{}", field.key);
                section(text, &format!("`[{name}]`"), inner, &format!("{name}."));
            }
            Kind::Tables(inner) => {
                let name = format!("{path}{}.NAME", field.key);
                section(text, &format!("`[{name}]`"), inner, &format!("{name}."));
            }
            _ => {}
        }
    }
}

fn describe(kind: Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Template => "*template*".to_owned(),
        Kind::Texts => "text or list of texts".to_owned(),
        Kind::Templates => "list of *templates*".to_owned(),
        Kind::Bool => "`true` or `false`".to_owned(),
        Kind::Count(least) => format!("whole number, at least {least}"),
        Kind::Integer => "whole number".to_owned(),
        Kind::Number(least) => format!("number, at least {least}"),
        Kind::Duration => "duration: `90s`, `10m`, `1h30m`, `1d`, `2w`".to_owned(),
        Kind::DurationOrForever => "duration, or `forever`".to_owned(),
        Kind::Size => "size: `64KB`, `100MB`, `2GB`".to_owned(),
        Kind::Memory => "memory: `512m`, `4g`".to_owned(),
        Kind::Schedule => "five crontab fields or `@daily` and the like".to_owned(),
        Kind::Zone => "zone, such as `Asia/Shanghai`".to_owned(),
        Kind::Date => "date, or date and time".to_owned(),
        Kind::OneOf(words) => words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", "),
        Kind::TextTable => "table of texts".to_owned(),
        Kind::TemplateTable => "table of *templates*".to_owned(),
        Kind::CountTable => "table of whole numbers".to_owned(),
        Kind::ValueTable => "table of values".to_owned(),
        Kind::Table(_) | Kind::Tables(_) => "table, see below".to_owned(),
    }
}
