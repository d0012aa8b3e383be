//! Jinja templates with Airflow's names. Undefined names are errors, found when a DAG file is read.

mod check;
mod date;
mod secrets;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned, civil};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Object};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior, Value};
use serde_json::Value as Json;

use super::model::{Dag, Task};
use super::schedule::{DataInterval, Timetable};
use super::state::RunType;

pub use check::{Checker, TemplateFault, TemplateFaultKind};
use date::DateTimeValue;
pub use date::iso;
pub use secrets::Secrets;

/// Bounds the work of one rendering, in minijinja's instructions: a template is text with holes, not a program.
const FUEL: u64 = 1_000_000;

/// What a template's names stand for.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The DAG.
    pub dag: &'a Dag,
    /// The task.
    pub task: &'a Task,
    /// The run's data interval.
    pub interval: DataInterval,
    /// Who asked for the run.
    pub run_type: RunType,
    /// The run's id.
    pub run_id: &'a str,
    /// 1 for the first attempt.
    pub try_number: u32,
    /// The run's params: the DAG's, overridden by the run's own.
    pub params: &'a BTreeMap<String, Json>,
    /// crondag.toml's `[vars]`.
    pub vars: &'a BTreeMap<String, Json>,
}

/// Why a template did not render. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the template does not render: {message}\nin: {excerpt}")]
pub struct RenderError {
    /// minijinja's words.
    pub message: String,
    /// The line of the template.
    pub excerpt: String,
}

/// Renders the templates of one attempt.
pub struct Renderer {
    environment: Environment<'static>,
    context: Value,
    variables: BTreeMap<String, String>,
    params: BTreeMap<String, Json>,
    dag_id: String,
    task_id: String,
    try_number: u32,
}

impl Renderer {
    /// Computes the values of all names.
    pub fn new(scope: &Scope<'_>, secrets: Secrets) -> Renderer {
        let timetable = scope.dag.timetable();
        let dates = Dates::new(scope.interval, &timetable, &scope.dag.timezone);
        let variables = dates.texts(scope.run_id);
        let context = context(
            &dates,
            &variables,
            scope.dag.id.as_str(),
            scope.task.id.as_str(),
            scope.try_number,
            scope.params,
            scope.vars,
            secrets,
        );
        Renderer {
            environment: environment(),
            context,
            variables,
            params: scope.params.clone(),
            dag_id: scope.dag.id.to_string(),
            task_id: scope.task.id.to_string(),
            try_number: scope.try_number,
        }
    }

    /// Renders one text.
    ///
    /// # Errors
    /// The template cannot be filled in: a name that is not known, a function that fails, a secret that cannot be read.
    pub fn render(&self, text: &str) -> Result<String, RenderError> {
        if !is_template(text) {
            return Ok(text.to_owned());
        }
        self.environment.render_str(text, &self.context).map_err(|error| RenderError {
            message: describe(&error),
            excerpt: error
                .line()
                .and_then(|line| text.lines().nth(line.saturating_sub(1)))
                .unwrap_or(text)
                .trim()
                .chars()
                .take(200)
                .collect(),
        })
    }

    /// The names whose values are plain texts, for binding in SQL: `ds`, `ds_nodash`, `ts`, ..., `run_id`.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }

    /// The same values for a task's environment: `CRONDAG_DS`, ..., `CRONDAG_PARAM_<NAME>`.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let mut environment: BTreeMap<String, String> = self
            .variables
            .iter()
            .map(|(name, value)| (format!("CRONDAG_{}", name.to_uppercase()), value.clone()))
            .collect();
        environment.insert("CRONDAG_DAG_ID".to_owned(), self.dag_id.clone());
        environment.insert("CRONDAG_TASK_ID".to_owned(), self.task_id.clone());
        environment.insert("CRONDAG_TRY_NUMBER".to_owned(), self.try_number.to_string());
        for (name, value) in &self.params {
            let (name, value) = param_variable(name, value);
            environment.insert(name, value);
        }
        environment
    }
}

/// The variable by which tasks find a param.
pub(crate) fn param_variable(name: &str, value: &Json) -> (String, String) {
    let name = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' });
    (format!("CRONDAG_PARAM_{}", name.collect::<String>()), plain(value))
}

/// A JSON value as a text without quotes.
fn plain(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether the text has anything for the template engine.
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

/// The dates of a run in the DAG's zone.
struct Dates {
    start: Zoned,
    end: Zoned,
    prev: Zoned,
}

impl Dates {
    fn new(interval: DataInterval, timetable: &Timetable<'_>, zone: &TimeZone) -> Dates {
        let start = interval.start.to_zoned(zone.clone());
        let prev = match timetable.before(&interval) {
            Some(before) => before.start.to_zoned(zone.clone()),
            None => start.checked_sub(1.day()).unwrap_or_else(|_| start.clone()),
        };
        Dates { end: interval.end.to_zoned(zone.clone()), start, prev }
    }

    fn texts(&self, run_id: &str) -> BTreeMap<String, String> {
        let mut texts = BTreeMap::new();
        let mut put = |name: &str, date: civil::Date| {
            texts.insert(name.to_owned(), date.to_string());
            texts.insert(format!("{name}_nodash"), date.strftime("%Y%m%d").to_string());
        };
        let day = self.start.date();
        put("ds", day);
        put("prev_ds", self.prev.date());
        put("next_ds", self.end.date());
        put("yesterday_ds", day.checked_sub(1.day()).unwrap_or(day));
        put("tomorrow_ds", day.checked_add(1.day()).unwrap_or(day));
        let mut put = |name: &str, value: String| texts.insert(name.to_owned(), value);
        put("ts", iso(&self.start));
        put("ts_nodash", self.start.strftime("%Y%m%dT%H%M%S").to_string());
        put("logical_date", iso(&self.start));
        put("data_interval_start", iso(&self.start));
        put("data_interval_end", iso(&self.end));
        put("run_id", run_id.to_owned());
        texts
    }
}

#[allow(clippy::too_many_arguments)] // one for each root of names
fn context(
    dates: &Dates,
    texts: &BTreeMap<String, String>,
    dag_id: &str,
    task_id: &str,
    try_number: u32,
    params: &BTreeMap<String, Json>,
    vars: &BTreeMap<String, Json>,
    secrets: Secrets,
) -> Value {
    let mut names: BTreeMap<String, Value> =
        texts.iter().map(|(name, text)| (name.clone(), Value::from(text.clone()))).collect();
    for (name, date) in
        [("logical_date", &dates.start), ("data_interval_start", &dates.start), ("data_interval_end", &dates.end)]
    {
        names.insert(name.to_owned(), Value::from_object(DateTimeValue(date.clone())));
    }
    let object = |pairs: &[(&str, Value)]| -> Value {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect::<BTreeMap<String, Value>>()
            .into()
    };
    names.insert("dag".to_owned(), object(&[("id", dag_id.into()), ("dag_id", dag_id.into())]));
    names.insert("task".to_owned(), object(&[("id", task_id.into()), ("task_id", task_id.into())]));
    names.insert("try_number".to_owned(), try_number.into());
    names.insert("params".to_owned(), object_of(params));
    // Airflow writes `var.value.x`; here `var.x` means the same.
    let mut var: BTreeMap<String, Value> = vars.iter().map(|(name, value)| (name.clone(), from_json(value))).collect();
    var.entry("value".to_owned()).or_insert_with(|| object_of(vars));
    names.insert("var".to_owned(), var.into());
    names.insert("secret".to_owned(), Value::from_object(secrets));
    names.insert("macros".to_owned(), Value::from_object(Macros));
    names.into()
}

fn object_of(values: &BTreeMap<String, Json>) -> Value {
    values.iter().map(|(name, value)| (name.clone(), from_json(value))).collect::<BTreeMap<String, Value>>().into()
}

fn from_json(value: &Json) -> Value {
    match value {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::from(integer),
            (None, Some(float)) => Value::from(float),
            (None, None) => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text.clone()),
        Json::Array(items) => items.iter().map(from_json).collect::<Vec<Value>>().into(),
        Json::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), from_json(value)))
            .collect::<BTreeMap<String, Value>>()
            .into(),
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    if let Some(syntax) = syntax() {
        environment.set_syntax(syntax);
    }
    environment.set_fuel(Some(FUEL));
    environment.set_unknown_method_callback(string_method);
    environment.add_filter("sh", |value: &Value| quote(&value.to_string()));
    environment.add_filter("ds", |value: &Value| date_text(value, "%Y-%m-%d"));
    environment.add_filter("ds_nodash", |value: &Value| date_text(value, "%Y%m%d"));
    environment.add_filter("ts", |value: &Value| date_text(value, "%Y-%m-%dT%H:%M:%S%:z"));
    environment.add_filter("ts_nodash", |value: &Value| date_text(value, "%Y%m%dT%H%M%S"));
    environment
}

/// Values in `{{ }}`, statements in `{% %}`, and no comments: `{#` is the shell's (`${#list[@]}`), and what a comment hides from bash
/// is missed by nobody until it is needed. A comment would have to stand between NULs, which no text of a DAG file has.
fn syntax() -> Option<SyntaxConfig> {
    let mut syntax = SyntaxConfig::builder();
    syntax.keep_trailing_newline(true).comment_delimiters("\0{#", "#}\0");
    let built = syntax.build();
    debug_assert!(built.is_ok());
    built.ok()
}

fn date_text(value: &Value, format: &str) -> Result<String, Error> {
    match value.downcast_object_ref::<DateTimeValue>() {
        Some(date) => Ok(date.0.strftime(format).to_string()),
        None => {
            Err(Error::new(ErrorKind::InvalidOperation, "this filter takes logical_date or data_interval_start/_end"))
        }
    }
}

/// Quotes a text for a POSIX shell; a word without special characters stays as it is.
pub fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// `macros.ds_add(ds, n)` and `macros.ds_format(ds, in, out)`.
#[derive(Debug)]
struct Macros;

impl Object for Macros {
    fn call_method(
        self: &std::sync::Arc<Self>,
        _state: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let bad = |message: String| Error::new(ErrorKind::InvalidOperation, message);
        let text = |position: usize| {
            args.get(position)
                .and_then(Value::as_str)
                .ok_or_else(|| bad(format!("macros.{method} needs a text as argument {}", position + 1)))
        };
        match method {
            "ds_add" => {
                let date: civil::Date =
                    text(0)?.parse().map_err(|_| bad(format!("macros.ds_add: not a date: {}", args[0])))?;
                let days = args
                    .get(1)
                    .and_then(Value::as_i64)
                    .ok_or_else(|| bad("macros.ds_add needs a number of days".to_owned()))?;
                let span = jiff::Span::new().try_days(days).map_err(|error| bad(error.to_string()))?;
                Ok(date.checked_add(span).map_err(|error| bad(error.to_string()))?.to_string().into())
            }
            "ds_format" => {
                let (value, from, to) = (text(0)?, text(1)?, text(2)?);
                let parsed = jiff::fmt::strtime::parse(from, value).map_err(|error| bad(error.to_string()))?;
                let date = parsed.to_datetime().or_else(|_| parsed.to_date().map(civil::Date::into));
                let date: civil::DateTime = date.map_err(|error| bad(error.to_string()))?;
                Ok(jiff::fmt::strtime::format(to, date).map_err(|error| bad(error.to_string()))?.into())
            }
            // UnknownMethod would leave the words to the environment's callback, which knows only texts.
            _ => Err(bad(format!("macros has ds_add and ds_format, not {method}"))),
        }
    }
}

/// The methods of Python's texts that Airflow users write most.
fn string_method(_state: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return Err(Error::new(ErrorKind::UnknownMethod, format!("a {} has no method {method}", value.kind())));
    };
    let (args, kwargs): (&[Value], Kwargs) = minijinja::value::from_args(args)?;
    kwargs.assert_all_used()?;
    let argument = |position: usize| {
        args.get(position).and_then(Value::as_str).ok_or_else(|| {
            Error::new(ErrorKind::MissingArgument, format!("{method} needs a text as argument {}", position + 1))
        })
    };
    Ok(match method {
        "replace" => text.replace(argument(0)?, argument(1)?).into(),
        "split" if args.is_empty() => text.split_whitespace().map(Value::from).collect::<Vec<Value>>().into(),
        "split" => text.split(argument(0)?).map(Value::from).collect::<Vec<Value>>().into(),
        "upper" => text.to_uppercase().into(),
        "lower" => text.to_lowercase().into(),
        "strip" => text.trim().into(),
        "startswith" => text.starts_with(argument(0)?).into(),
        "endswith" => text.ends_with(argument(0)?).into(),
        _ => {
            let known = "replace, split, upper, lower, strip, startswith, endswith";
            return Err(Error::new(ErrorKind::UnknownMethod, format!("a text has no method {method}; it has {known}")));
        }
    })
}

fn describe(error: &Error) -> String {
    match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => "it takes too many steps".to_owned(),
        (ErrorKind::UndefinedError, None) => "a name is undefined".to_owned(),
        (kind, None) => kind.to_string(),
        (_, Some(detail)) => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests;
