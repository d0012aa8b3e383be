//! The JSON Schemas (draft 2020-12) of DAG files, crondag.toml and diagnosis.toml, made from the table of keys.
//!
//! They serve editors and CI without crondag; what needs a look at more than one value (unknown tasks, cycles, pools) only
//! `crondag validate` finds.

use serde_json::{Map, Value, json};

use super::field::{CONFIG, DAG, DIAGNOSIS};
use super::section::{Field, Kind, Section};

/// The schema of a DAG file, as indented JSON with a line end.
pub fn dag_schema() -> String {
    document(&DAG, "A DAG file of crondag")
}

/// The schema of crondag.toml, as indented JSON with a line end.
pub fn config_schema() -> String {
    document(&CONFIG, "crondag.toml")
}

/// The schema of diagnosis.toml, as indented JSON with a line end.
pub fn diagnosis_schema() -> String {
    document(&DIAGNOSIS, "diagnosis.toml")
}

fn document(root: &'static Section, title: &str) -> String {
    let mut definitions = Map::new();
    let mut schema = section(root, &mut definitions);
    if let Value::Object(members) = &mut schema {
        members.insert("$schema".into(), json!("https://json-schema.org/draft/2020-12/schema"));
        members.insert("title".into(), json!(title));
        members.insert("$defs".into(), Value::Object(definitions));
    }
    let mut text = format!("{schema:#}");
    text.push('\n');
    text
}

/// The name of a table in `$defs`.
fn name_of(section: &Section) -> String {
    section.header.trim_matches(['[', ']']).replace('.', "-")
}

fn reference(to: &'static Section, definitions: &mut Map<String, Value>) -> Value {
    let name = name_of(to);
    if !definitions.contains_key(&name) {
        // The name is taken before the table is described, should tables ever contain one another.
        definitions.insert(name.clone(), Value::Null);
        let described = section(to, definitions);
        definitions.insert(name.clone(), described);
    }
    json!({ "$ref": format!("#/$defs/{name}") })
}

fn section(of: &'static Section, definitions: &mut Map<String, Value>) -> Value {
    let mut properties = Map::new();
    for field in of.fields() {
        properties.insert(field.key.to_owned(), property(field, definitions));
    }
    let mut schema = json!({
        "type": "object",
        "description": of.doc,
        "properties": properties,
        "additionalProperties": false,
    });
    if let Value::Object(members) = &mut schema {
        if !of.required.is_empty() {
            members.insert("required".into(), json!(of.required));
        }
        if !of.one_of.is_empty() {
            let each: Vec<Value> = of.one_of.iter().map(|key| json!({ "required": [key] })).collect();
            members.insert("oneOf".into(), json!(each));
        }
    }
    schema
}

fn property(field: &Field, definitions: &mut Map<String, Value>) -> Value {
    let mut schema = of_kind(field.kind, definitions);
    if let Value::Object(members) = &mut schema {
        members.insert("description".into(), json!(field.doc));
        if let Some(default) = field.default.and_then(|default| serde_json::from_str::<Value>(default).ok()) {
            members.insert("default".into(), default);
        }
    }
    schema
}

const DURATION: &str = "^([0-9]+(ms|s|m|h|d|w))+$";
const IDENTIFIER: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

fn of_kind(kind: Kind, definitions: &mut Map<String, Value>) -> Value {
    let text = || json!({ "type": "string", "pattern": "\\S" });
    let scalar = || json!({ "type": ["string", "number", "boolean"] });
    match kind {
        Kind::Text | Kind::Template | Kind::Zone => text(),
        Kind::TextOrFalse => json!({ "anyOf": [text(), { "const": false }] }),
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Templates | Kind::TaskIds => {
            json!({ "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] })
        }
        Kind::Emails => {
            let address = json!({ "type": "string", "pattern": "@" });
            json!({ "anyOf": [address, { "type": "array", "items": address }] })
        }
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole(low, high) => json!({ "type": "integer", "minimum": low, "maximum": high }),
        Kind::Number(low, high) => json!({ "type": "number", "minimum": low, "maximum": high }),
        Kind::Duration => json!({ "type": "string", "pattern": DURATION }),
        Kind::DurationOrForever => {
            json!({ "anyOf": [{ "const": "forever" }, { "type": "string", "pattern": DURATION }] })
        }
        Kind::Size => json!({ "type": "string", "pattern": "^[0-9]+(B|KB|MB|GB)$" }),
        Kind::Memory => json!({ "type": "string", "pattern": "^[0-9]+([kKmMgGtT][bB]?)?$|\\{[{%]" }),
        Kind::Choice(words) => json!({ "type": "string", "enum": words }),
        Kind::Date => json!({ "type": "string", "pattern": "^[0-9]{4}-?[0-9]{2}-?[0-9]{2}([T ].+)?$" }),
        Kind::Schedule => json!({
            "type": "string",
            "pattern": "^\\s*(@(hourly|daily|midnight|weekly|monthly|yearly|annually)|\\S+(\\s+\\S+){4})\\s*$",
        }),
        Kind::Order => {
            let chain = json!({ "type": "string", "pattern": ">>" });
            json!({ "anyOf": [chain, { "type": "array", "items": chain }] })
        }
        Kind::Env => json!({
            "type": "object",
            "propertyNames": { "pattern": IDENTIFIER },
            "additionalProperties": scalar(),
        }),
        Kind::TextMap => json!({ "type": "object", "additionalProperties": scalar() }),
        Kind::Properties => {
            json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "object"] } })
        }
        Kind::Values => json!({ "type": "object", "propertyNames": { "pattern": IDENTIFIER } }),
        Kind::Pools => json!({
            "type": "object",
            "additionalProperties": { "type": "integer", "minimum": 1, "maximum": 10_000 },
        }),
        Kind::Bytes => json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 255 } }),
        Kind::Table(section) => reference(section, definitions),
        Kind::Tables(section) => {
            let mut tables = json!({ "type": "object", "additionalProperties": reference(section, definitions) });
            if section.header == "[tasks.NAME]"
                && let Value::Object(members) = &mut tables
            {
                members.insert("minProperties".into(), json!(1));
                members
                    .insert("propertyNames".into(), json!({ "maxLength": 200, "pattern": "^[^-. /\\\\][^ /\\\\]*$" }));
            }
            tables
        }
    }
}
