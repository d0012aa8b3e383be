//! Finds what is wrong with a template before any run: syntax, undefined names, unknown filters and methods.

use std::collections::BTreeMap;
use std::ops::Range;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use minijinja::{Environment, ErrorKind, Value};
use serde_json::Value as Json;

use crate::dag::nearest::nearest;

use super::{Dates, Secrets, context, describe, environment, is_template};

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault {
    /// Of which kind it is.
    pub kind: TemplateFaultKind,
    /// The bytes of the template that are wrong.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// What kind of fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplateFaultKind {
    /// It is no template, or renders with no values.
    Wrong,
    /// A name that nothing defines.
    UndefinedName,
    /// A name of crondag.toml that is not there: a variable, a secret.
    NotInConfig,
}

/// Airflow's names that mean something else here, or nothing.
const AIRFLOW_NAMES: &[(&str, &str)] = &[
    ("execution_date", "Airflow 1 and 2 called it that; here it is `logical_date`"),
    ("next_execution_date", "write `data_interval_end`"),
    ("prev_execution_date", "write `prev_ds`"),
    ("ti", "there are no task instance objects; write `task.id` or `try_number`"),
    ("task_instance", "there are no task instance objects; write `task.id` or `try_number`"),
    ("dag_run", "write `run_id`, or `params.x` for what was given with `trigger --param x=...`"),
    ("conf", "write `params.x` for what was given with `trigger --param x=...`"),
    ("conn", "connections belong to `sql` tasks; put a value into [vars] or [env] of crondag.toml"),
    ("env", "in a shell script write `$NAME`"),
];

/// Checks templates against the names of one DAG file.
pub struct Checker {
    environment: Environment<'static>,
    sample: Value,
    names: BTreeMap<String, Vec<String>>,
}

impl Checker {
    /// A checker for templates that know these params, vars and secrets.
    pub fn new(
        params: &BTreeMap<String, Json>,
        vars: &BTreeMap<String, Json>,
        secrets: impl Iterator<Item = impl AsRef<str>>,
    ) -> Checker {
        // Any interval will do: only the names and their kinds matter.
        let start = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC);
        let dates = Dates { start: start.clone(), end: start.clone(), prev: start };
        let texts = dates.texts("scheduled__1970-01-01T00:00:00+00:00");
        let mut names: BTreeMap<String, Vec<String>> = texts.keys().map(|name| (name.clone(), Vec::new())).collect();
        let owned = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        names.insert("dag".to_owned(), owned(&["id", "dag_id"]));
        names.insert("task".to_owned(), owned(&["id", "task_id"]));
        names.insert("try_number".to_owned(), Vec::new());
        names.insert("params".to_owned(), params.keys().cloned().collect());
        names.insert("var".to_owned(), vars.keys().cloned().chain(["value".to_owned()]).collect());
        names.insert("secret".to_owned(), secrets.map(|name| name.as_ref().to_owned()).collect());
        names.insert("macros".to_owned(), owned(&["ds_add", "ds_format"]));
        let any = Secrets::new(|_| Some(Ok("secret".to_owned())));
        let sample = context(&dates, &texts, "dag", "task", 1, params, vars, any);
        Checker { environment: environment(), sample, names }
    }

    /// Everything that is wrong with a template.
    pub fn check(&self, text: &str) -> Vec<TemplateFault> {
        if !is_template(text) {
            return Vec::new();
        }
        let template = match self.environment.template_from_str(text) {
            Ok(template) => template,
            Err(error) => return vec![fault(text, &error)],
        };
        let mut faults = Vec::new();
        let mut undeclared: Vec<String> = template.undeclared_variables(true).into_iter().collect();
        undeclared.sort_unstable();
        for path in &undeclared {
            let mut parts = path.split('.');
            let (root, member) = (parts.next().unwrap_or_default(), parts.next());
            match (self.names.get(root), member) {
                (None, _)
                    // Functions such as `range` are globals of the engine.
                    if self.environment.globals().all(|(name, _)| name != root) => {
                        faults.extend(places(text, root).into_iter().map(|span| self.undefined(span, root)));
                    }
                (Some(members), Some(member)) if !members.is_empty() || matches!(root, "params" | "var" | "secret") => {
                    let dated = matches!(root, "ds" | "ts");
                    if !dated && !members.iter().any(|known| known == member) {
                        let whole = format!("{root}.{member}");
                        faults.extend(
                            places(text, &whole).into_iter().map(|span| unknown_member(span, root, member, members)),
                        );
                    }
                }
                _ => {}
            }
        }
        if faults.is_empty()
            && let Err(error) = template.render(&self.sample)
            // Names that depend on values are not known before the run; everything static has been checked above.
            && error.kind() != ErrorKind::UndefinedError
            // What a secret's value is like is not known either.
            && (!undeclared.iter().any(|path| path.split('.').next() == Some("secret")) || is_static(error.kind()))
        {
            faults.push(fault(text, &error));
        }
        faults.sort_by_key(|fault| fault.span.start);
        faults.dedup();
        faults
    }

    /// What a template says for some run; `None` where that depends on what is not known before.
    pub fn sample(&self, text: &str) -> Option<String> {
        if !is_template(text) {
            return Some(text.to_owned());
        }
        let template = self.environment.template_from_str(text).ok()?;
        let depends = |root: &str| matches!(root, "params" | "var" | "secret");
        if template.undeclared_variables(false).iter().any(|root| depends(root)) {
            return None;
        }
        template.render(&self.sample).ok()
    }

    /// Where a template asks for secrets.
    pub fn secrets_in(&self, text: &str) -> Vec<Range<usize>> {
        let Ok(template) = self.environment.template_from_str(text) else { return Vec::new() };
        let undeclared = template.undeclared_variables(false);
        if undeclared.contains("secret") { places(text, "secret") } else { Vec::new() }
    }

    fn undefined(&self, span: Range<usize>, name: &str) -> TemplateFault {
        let help =
            AIRFLOW_NAMES.iter().find(|(airflow, _)| *airflow == name).map(|(_, help)| (*help).to_owned()).or_else(
                || nearest(name, self.names.keys().map(String::as_str)).map(|near| format!("did you mean `{near}`?")),
            );
        let help = help.or_else(|| Some("see the list of names in docs/reference/templates.md".to_owned()));
        TemplateFault {
            kind: TemplateFaultKind::UndefinedName,
            span,
            message: format!("`{name}` is not defined"),
            help,
        }
    }
}

/// Whether a fault of this kind is one whatever the values are.
fn is_static(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction | ErrorKind::OutOfFuel
    )
}

fn unknown_member(span: Range<usize>, root: &str, member: &str, members: &[String]) -> TemplateFault {
    use TemplateFaultKind::{NotInConfig, UndefinedName};
    let (kind, message, place) = match root {
        "params" => (UndefinedName, format!("there is no param `{member}`"), "add it to [params]"),
        "secret" => (NotInConfig, format!("there is no secret `{member}`"), "add it to [secrets] in crondag.toml"),
        "var" => (NotInConfig, format!("there is no variable `{member}`"), "add it to [vars] in crondag.toml"),
        _ => (UndefinedName, format!("`{root}` has no `{member}`"), ""),
    };
    let help = match nearest(member, members.iter().map(String::as_str)) {
        Some(near) => format!("did you mean `{root}.{near}`?"),
        None if place.is_empty() => format!("`{root}` has {}", members.join(", ")),
        None => place.to_owned(),
    };
    TemplateFault { kind, span, message, help: Some(help) }
}

fn fault(text: &str, error: &minijinja::Error) -> TemplateFault {
    let mut span = error.range().unwrap_or(0..text.len());
    if !text.is_char_boundary(span.start) || !text.is_char_boundary(span.end) || span.start >= span.end {
        let start = text.find('{').unwrap_or(0);
        span = start..text.len();
    }
    let help = match error.kind() {
        ErrorKind::UnknownFilter => {
            Some("crondag's own filters are sh, ds, ds_nodash, ts, ts_nodash; Jinja's are known too".to_owned())
        }
        ErrorKind::SyntaxError if is_in_statement(text, span.start) => Some(
            "`{%` begins a statement of the template; a text that has `{%` itself stands between `{% raw %}` and `{% endraw %}`"
                .to_owned(),
        ),
        ErrorKind::SyntaxError => {
            Some("names stand between `{{` and `}}`; for a literal `{{` write `{{ '{{' }}`".to_owned())
        }
        _ => None,
    };
    let message = format!("the template is wrong: {}", describe(error));
    TemplateFault { kind: TemplateFaultKind::Wrong, span, message, help }
}

/// Whether the last bracket that opens before or at a place is one of a statement.
fn is_in_statement(text: &str, at: usize) -> bool {
    let until = text.len().min(at + 2);
    let before = text.get(..until).unwrap_or(text);
    before.rfind("{%") > before.rfind("{{")
}

/// Where a name stands as a word inside `{{ }}` or `{% %}`.
fn places(text: &str, name: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut from = 0;
    while let Some(offset) = text[from..].find(name) {
        let (start, end) = (from + offset, from + offset + name.len());
        let before = text[..start].chars().next_back();
        let after = text[end..].chars().next();
        let opened = text[..start].rfind("{{").max(text[..start].rfind("{%"));
        let closed = text[..start].rfind("}}").max(text[..start].rfind("%}"));
        let inside = opened.is_some_and(|opened| closed.is_none_or(|closed| closed < opened));
        if inside && !before.is_some_and(|c| is_word(c) || c == '.') && !after.is_some_and(is_word) {
            found.push(start..end);
        }
        from = end;
    }
    if found.is_empty() {
        found.push(0..text.len());
    }
    found
}
