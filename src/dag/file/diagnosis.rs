//! diagnosis.toml, from its text to causes.

use regex::RegexBuilder;

use super::document::{parse, settle};
use super::fault::{Fault, Severity};
use super::field::{DIAGNOSIS, TASK};
use super::newline;
use super::reader::{At, Open, Reader};
use super::unknown_key::unknown_key;
use crate::dag::nearest::nearest;
use crate::dag::{Cause, CauseClass, CauseEnding};

/// What to type about a failure when a cause does not say better.
const USUAL_COMMAND: &str = "crondag clear {dag} {run} --task {task}";
/// How specific a cause is that does not say so.
const USUAL_SPECIFICITY: u8 = 5;
/// A pattern may take so many bytes once compiled.
const PATTERN_SIZE: usize = 1 << 20;

/// Reads a diagnosis.toml; the empty text is good and adds nothing.
///
/// Causes with an error are left out. Faults are sorted by place. Causes come in the order of the file.
pub fn read_diagnosis(text: &str) -> (Vec<Cause>, Vec<Fault>) {
    newline::normalised(text, read_text)
}

fn read_text(text: &str) -> (Vec<Cause>, Vec<Fault>) {
    let mut reader = Reader::new(text, unknown_key);
    let root = parse(&mut reader);
    let open = reader.open(&DIAGNOSIS, root.get_ref(), 0..0);
    let mut causes = Vec::new();
    if let Some(entry) = open.get("causes").cloned() {
        for (name, table) in reader.tables(&entry) {
            let Some(table) = table else { continue };
            let before = errors(&reader);
            let cause = read_cause(&mut reader, &name, &table);
            if errors(&reader) == before {
                causes.extend(cause);
            }
        }
    }
    (causes, settle(text, reader.faults))
}

fn errors(reader: &Reader<'_>) -> usize {
    reader.faults.iter().filter(|fault| fault.severity == Severity::Error).count()
}

fn read_cause<'f>(reader: &mut Reader<'f>, id: &At<&str>, open: &Open<'_, 'f>) -> Option<Cause> {
    for key in ["name", "class", "advice"] {
        if open.lacks(key) {
            let message = format!("the cause `{}` needs `{key}`", id.value);
            let label = format!("expected `{key}` in this table");
            reader.push(Fault::error("missing-key", open.at.clone(), message, label));
        }
    }
    if ["patterns", "exit_codes", "signals", "ending"].iter().all(|key| open.lacks(key)) {
        let message = format!("nothing tells of the cause `{}`", id.value);
        reader.push(
            Fault::error("missing-key", open.at.clone(), message, "expected `patterns` in this table")
                .help("write for example patterns = ['QuotaExceeded']"),
        );
    }
    let name = reader.text(open, "name");
    let class = reader.choice(open, "class").and_then(|word| CauseClass::parse(word.value));
    let advice = reader.text(open, "advice");
    let confidence = reader.choice(open, "confidence");
    let specificity = reader.whole(open, "specificity").and_then(|number| u8::try_from(number.value).ok());
    let actions = read_actions(reader, open);
    let patterns = read_patterns(reader, open);
    let exit_codes = reader.bytes(open, "exit_codes");
    let signals = reader.bytes(open, "signals");
    let ending = reader.choice(open, "ending").and_then(|word| CauseEnding::parse(word.value));
    let is_of_upstream = reader.flag(open, "upstream").unwrap_or(false);
    let raise = reader.texts(open, "raise").unwrap_or_default().into_iter().map(|key| key.value).collect();
    let spark_advice = reader.text(open, "spark_advice").map(|advice| advice.value);
    let shell_advice = reader.text(open, "shell_advice").map(|advice| advice.value);
    let sql_advice = reader.text(open, "sql_advice").map(|advice| advice.value);
    let command = reader.text(open, "command").map_or_else(|| USUAL_COMMAND.to_owned(), |command| command.value);
    Some(Cause {
        id: id.value.to_owned(),
        name: name?.value,
        class: class?,
        is_certain: confidence.is_some_and(|word| word.value == "certain"),
        specificity: specificity.unwrap_or(USUAL_SPECIFICITY),
        actions,
        patterns,
        exit_codes,
        signals,
        ending,
        is_of_upstream,
        raise,
        advice: advice?.value,
        spark_advice,
        shell_advice,
        sql_advice,
        command,
    })
}

fn read_actions<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Vec<String> {
    let mut actions = Vec::new();
    for action in reader.texts(open, "actions").unwrap_or_default() {
        if TASK.one_of.contains(&action.value.as_str()) {
            actions.push(action.value);
            continue;
        }
        let message = format!("there is no action `{}`", action.value);
        let fault = Fault::error("unknown-value", action.span, message, "not an action of tasks");
        reader.push(match nearest(&action.value, TASK.one_of.iter().copied()) {
            Some(near) => fault.help(format!("did you mean \"{near}\"?")),
            None => fault.help(format!("the actions are {}", TASK.one_of.join(", "))),
        });
    }
    actions
}

fn read_patterns<'f>(reader: &mut Reader<'f>, open: &Open<'_, 'f>) -> Vec<regex::Regex> {
    let mut patterns = Vec::new();
    for pattern in reader.texts(open, "patterns").unwrap_or_default() {
        match RegexBuilder::new(&pattern.value).size_limit(PATTERN_SIZE).build() {
            Ok(regex) if regex.is_match("") => {
                let message = "this pattern matches every line";
                reader.push(
                    Fault::error("bad-pattern", pattern.span, message, "matches the empty text")
                        .help("write what the line must contain"),
                );
            }
            Ok(regex) => patterns.push(regex),
            Err(error) => {
                let text = error.to_string();
                // The regex crate draws the place over several lines and ends with the reason.
                let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                let message = format!("this is not a regular expression: {reason}");
                reader.push(
                    Fault::error("bad-pattern", pattern.span, message, "in this pattern")
                        .help("the syntax is that of https://docs.rs/regex; quote with '...' to keep backslashes"),
                );
            }
        }
    }
    patterns
}
