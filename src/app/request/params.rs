//! `--param name=value`: overrides of a DAG's params, read as the type that the DAG's default has.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::app::AppError;
use crate::dag::Dag;
use crate::dag::nearest::nearest;

/// Reads `name=value` pairs.
///
/// # Errors
/// No `=`, a name that the DAG's `[params]` lacks, a value that is not of its default's type.
pub fn parse(dag: &Dag, given: &[String]) -> Result<BTreeMap<String, Value>, AppError> {
    given
        .iter()
        .map(|pair| {
            let (name, text) = pair.split_once('=').ok_or_else(|| {
                AppError::usage(format!("`--param {pair}` has no `=`"), "write it as --param name=value")
            })?;
            let default = dag.params.get(name).ok_or_else(|| unknown(dag, name))?;
            Ok((name.to_owned(), value(name, text, default)?))
        })
        .collect()
}

fn unknown(dag: &Dag, name: &str) -> AppError {
    let what = format!("the DAG {} has no param `{name}`", dag.id);
    match nearest(name, dag.params.keys().map(String::as_str)) {
        Some(near) => AppError::usage(what, format!("did you mean `{near}`?")),
        None if dag.params.is_empty() => {
            AppError::usage(what, "it has none at all; give it a default under [params] in its file")
        }
        None => {
            let names: Vec<&str> = dag.params.keys().map(String::as_str).collect();
            AppError::usage(what, format!("it has {}", names.join(", ")))
        }
    }
}

fn value(name: &str, text: &str, default: &Value) -> Result<Value, AppError> {
    let wanted = match default {
        Value::String(_) => return Ok(Value::String(text.to_owned())),
        Value::Null => return Ok(serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))),
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::Array(_) => "a JSON array",
        Value::Object(_) => "a JSON object",
    };
    match serde_json::from_str::<Value>(text) {
        Ok(value) if std::mem::discriminant(&value) == std::mem::discriminant(default) => Ok(value),
        _ => Err(AppError::usage(
            format!("the param `{name}` wants {wanted}, not `{text}`"),
            format!("its default is {default}"),
        )),
    }
}
