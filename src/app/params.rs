//! `--param name=value`: overrides of a DAG's params, read as the type that the DAG's default has.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::app::AppError;
use crate::dag::Dag;
use crate::dag::argument::{LONGEST_ARGUMENT, is_too_long};
use crate::dag::nearest::nearest;
use crate::dag::template::param_variable;

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
            let value = value(name, text, default)?;
            let (variable, text) = param_variable(name, &value);
            refuse_unfit(name, &text, variable.len() + 1 + text.len())?;
            Ok((name.to_owned(), value))
        })
        .collect()
}

/// Every task finds it in its environment.
fn refuse_unfit(name: &str, text: &str, bytes: usize) -> Result<(), AppError> {
    if text.contains('\0') {
        return Err(AppError::usage(
            format!("the param `{name}` has a NUL character"),
            "no program can take such a text: leave the NUL out",
        ));
    }
    if is_too_long(bytes) {
        return Err(AppError::usage(
            format!(
                "the param `{name}` has {bytes} bytes with its name, and a program's variable at most {}",
                LONGEST_ARGUMENT - 1
            ),
            "put it into a file, and give the path of that",
        ));
    }
    Ok(())
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
