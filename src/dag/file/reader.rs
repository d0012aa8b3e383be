//! Walks the parsed TOML against a table of fields, typed getter by typed getter, and collects every fault on the way.
//!
//! Not serde: it stops at the first error and loses the place of half of them.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use jiff::civil;
use jiff::tz::TimeZone;
use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::fault::Fault;
use super::field::Field;
use crate::dag::model::DateBound;
use crate::dag::schedule::{Schedule, parse_zone};
use crate::dag::template::Checker;
use crate::dag::template::check::nearest;
use crate::dag::units::{UnitFault, parse_duration, parse_size};

type Key<'i> = Spanned<Cow<'i, str>>;
type Item<'t, 'i> = &'t Spanned<DeValue<'i>>;

/// The text of a file and the faults found in it so far.
pub(super) struct Reader<'i> {
    pub(super) text: &'i str,
    faults: RefCell<Vec<Fault>>,
    checker: RefCell<Option<Checker>>,
}

/// One table of the file.
pub(super) struct Section<'r, 't, 'i> {
    reader: &'r Reader<'i>,
    table: &'t DeTable<'i>,
    /// Where faults about the table as a whole point: its header.
    pub(super) span: Range<usize>,
}

/// A text with its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    pub(super) value: String,
    /// The whole literal with its quotes.
    pub(super) span: Range<usize>,
    /// Where the value begins in the file, if it stands there letter by letter.
    pub(super) inner: Option<usize>,
}

impl Text {
    /// A part of the value as a place in the file.
    pub(super) fn part(&self, part: Range<usize>) -> Range<usize> {
        match self.inner {
            Some(start) => start + part.start..start + part.end,
            None => self.span.clone(),
        }
    }
}

impl<'i> Reader<'i> {
    pub(super) fn new(text: &'i str) -> Reader<'i> {
        Reader { text, faults: RefCell::new(Vec::new()), checker: RefCell::new(None) }
    }

    /// Templates are checked from now on.
    pub(super) fn check_templates(&self, checker: Checker) {
        *self.checker.borrow_mut() = Some(checker);
    }

    pub(super) fn push(&self, fault: Fault) {
        self.faults.borrow_mut().push(fault);
    }

    /// All faults in the order of the file, none outside of it.
    pub(super) fn into_faults(self) -> Vec<Fault> {
        let mut faults = self.faults.into_inner();
        for fault in &mut faults {
            fault.span = within(self.text, fault.span.clone());
            for (span, _) in &mut fault.related {
                *span = within(self.text, span.clone());
            }
        }
        faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
        faults.dedup();
        faults
    }

    /// Parses the TOML itself. With syntax errors the rest is not looked at: half a file only misleads.
    pub(super) fn parse(&self) -> Option<Spanned<DeTable<'i>>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in &errors {
            let span = error.span().unwrap_or(0..0);
            let (code, help) = if error.message().contains("duplicate key") {
                ("duplicate-key", "each key and each table stands only once; join the two")
            } else {
                ("toml-syntax", "see https://toml.io for how TOML is written")
            };
            let message = if code == "duplicate-key" {
                let name = self.text.get(span.clone()).unwrap_or_default().trim_matches(['"', '\'', '[', ']', ' ']);
                format!("`{name}` is defined twice")
            } else {
                error.message().replace('\n', " ")
            };
            let label = if code == "duplicate-key" { "the second time" } else { "here" };
            self.push(Fault::error(code, span, message).label(label).help(help));
        }
        errors.is_empty().then_some(table)
    }

    fn text(&self, value: &str, span: Range<usize>) -> Text {
        let raw = self.text.get(span.clone()).unwrap_or_default();
        let quotes = ["\"\"\"\n", "'''\n", "\"\"\"\r\n", "'''\r\n", "\"\"\"", "'''", "\"", "'"];
        let inner = quotes
            .iter()
            .find(|quote| raw.starts_with(**quote))
            .filter(|quote| raw[quote.len()..].starts_with(value))
            .map(|quote| span.start + quote.len());
        Text { value: value.to_owned(), span, inner }
    }

    fn check_template(&self, text: &Text) {
        if let Some(checker) = self.checker.borrow().as_ref() {
            for found in checker.check(&text.value) {
                let mut fault =
                    Fault::error("template", text.part(found.span), found.message).label("in this template");
                fault.help = found.help;
                self.push(fault);
            }
        }
    }
}

fn within(text: &str, span: Range<usize>) -> Range<usize> {
    let mut start = span.start.min(text.len());
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = span.end.clamp(start, text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    start..end
}

/// "a number", "an array", ...: what stands where something else was expected.
fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

impl<'r, 't, 'i> Section<'r, 't, 'i> {
    /// A table, whose keys are checked against `fields` at once.
    pub(super) fn new(
        reader: &'r Reader<'i>,
        table: &'t DeTable<'i>,
        span: Range<usize>,
        name: &str,
        fields: &'static [Field],
    ) -> Section<'r, 't, 'i> {
        let section = Section { reader, table, span };
        for (key, _) in section.entries() {
            if fields.iter().any(|field| field.key == key.get_ref().as_ref()) {
                continue;
            }
            let fault = Fault::error("unknown-key", key.span(), format!("unknown key `{}` in {name}", key.get_ref()));
            let known = fields.iter().map(|field| field.key);
            reader.push(match nearest(key.get_ref(), known.clone()) {
                Some(near) => fault.label("not a key here").help(format!("did you mean `{near}`?")),
                None => {
                    let names: Vec<&str> = known.collect();
                    let list = if names.len() > 14 {
                        format!("{}, ... (all in docs/reference)", names[..14].join(", "))
                    } else {
                        names.join(", ")
                    };
                    fault.label("not a key here").help(format!("the keys of {name} are {list}"))
                }
            });
        }
        section
    }

    /// A table of names: any keys are fine.
    pub(super) fn names(reader: &'r Reader<'i>, table: &'t DeTable<'i>, span: Range<usize>) -> Section<'r, 't, 'i> {
        Section { reader, table, span }
    }

    /// Its entries in the order of the file.
    pub(super) fn entries(&self) -> Vec<(&'t Key<'i>, Item<'t, 'i>)> {
        let mut entries: Vec<_> = self.table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
    }

    pub(super) fn get(&self, key: &str) -> Option<(&'t Key<'i>, Item<'t, 'i>)> {
        self.table.get_key_value(key)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn key_span(&self, key: &str) -> Range<usize> {
        self.get(key).map_or_else(|| self.span.clone(), |(key, _)| key.span())
    }

    fn wrong_type(&self, key: &str, item: Item<'_, '_>, expected: &str) {
        let fault =
            Fault::error("wrong-type", item.span(), format!("`{key}` takes {expected}, not {}", found(item.get_ref())));
        self.reader.push(fault.label(format!("expected {expected}")));
    }

    fn wrong_value(&self, key: &str, span: Range<usize>, expected: &str, help: &str) {
        let fault = Fault::error("wrong-value", span, format!("`{key}` takes {expected}"));
        self.reader.push(fault.label(format!("expected {expected}")).help(help));
    }

    pub(super) fn text(&self, key: &str) -> Option<Text> {
        let (_, item) = self.get(key)?;
        match item.get_ref() {
            DeValue::String(value) => Some(self.reader.text(value, item.span())),
            _ => {
                self.wrong_type(key, item, "a text");
                None
            }
        }
    }

    pub(super) fn string(&self, key: &str) -> Option<String> {
        self.text(key).map(|text| text.value)
    }

    pub(super) fn template_text(&self, key: &str) -> Option<Text> {
        let text = self.text(key)?;
        self.reader.check_template(&text);
        Some(text)
    }

    pub(super) fn template(&self, key: &str) -> Option<String> {
        self.template_text(key).map(|text| text.value)
    }

    pub(super) fn texts(&self, key: &str) -> Option<Vec<Text>> {
        let (_, item) = self.get(key)?;
        match item.get_ref() {
            DeValue::String(value) => Some(vec![self.reader.text(value, item.span())]),
            DeValue::Array(items) => {
                let mut texts = Vec::new();
                for item in items.iter() {
                    match item.get_ref() {
                        DeValue::String(value) => texts.push(self.reader.text(value, item.span())),
                        _ => self.wrong_type(key, item, "texts"),
                    }
                }
                Some(texts)
            }
            _ => {
                self.wrong_type(key, item, "a list of texts");
                None
            }
        }
    }

    pub(super) fn strings(&self, key: &str) -> Option<Vec<String>> {
        Some(self.texts(key)?.into_iter().map(|text| text.value).collect())
    }

    pub(super) fn templates(&self, key: &str) -> Option<Vec<String>> {
        let texts = self.texts(key)?;
        for text in &texts {
            self.reader.check_template(text);
        }
        Some(texts.into_iter().map(|text| text.value).collect())
    }

    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        let (_, item) = self.get(key)?;
        let value = item.get_ref().as_bool();
        if value.is_none() {
            self.wrong_type(key, item, "true or false");
        }
        value
    }

    fn integer_of(&self, key: &str, item: Item<'_, '_>) -> Option<i64> {
        match item.get_ref() {
            DeValue::Integer(integer) => {
                let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
                if value.is_none() {
                    self.wrong_value(key, item.span(), "a smaller number", "it does not fit into 64 bits");
                }
                value
            }
            _ => {
                self.wrong_type(key, item, "a whole number");
                None
            }
        }
    }

    pub(super) fn integer(&self, key: &str) -> Option<i32> {
        let (_, item) = self.get(key)?;
        let value = i32::try_from(self.integer_of(key, item)?).ok();
        if value.is_none() {
            self.wrong_value(key, item.span(), "a number between -2147483648 and 2147483647", "write a smaller number");
        }
        value
    }

    fn count_of(&self, key: &str, item: Item<'_, '_>, least: u32) -> Option<u32> {
        let value = self.integer_of(key, item)?;
        let count = u32::try_from(value).ok().filter(|count| (least..=1_000_000_000).contains(count));
        if count.is_none() {
            self.wrong_value(
                key,
                item.span(),
                &format!("a whole number of at least {least}"),
                &format!("{value} makes no sense here"),
            );
        }
        count
    }

    pub(super) fn count(&self, key: &str, least: u32) -> Option<u32> {
        let (_, item) = self.get(key)?;
        self.count_of(key, item, least)
    }

    pub(super) fn number(&self, key: &str, least: f64) -> Option<f64> {
        let (_, item) = self.get(key)?;
        let value = match item.get_ref() {
            DeValue::Integer(integer) => integer.as_str().parse::<f64>().ok(),
            DeValue::Float(float) => float.as_str().parse::<f64>().ok(),
            _ => {
                self.wrong_type(key, item, "a number");
                return None;
            }
        };
        let value = value.filter(|value| (least..=1_000_000.0).contains(value));
        if value.is_none() {
            self.wrong_value(key, item.span(), &format!("a number of at least {least}"), "write for example 1.5 or 2");
        }
        value
    }

    fn unit<T>(
        &self,
        key: &str,
        code: &'static str,
        what: &str,
        parse: impl Fn(&str) -> Result<T, UnitFault>,
    ) -> Option<T> {
        let (_, item) = self.get(key)?;
        match item.get_ref() {
            DeValue::String(value) => {
                let text = self.reader.text(value, item.span());
                parse(value)
                    .map_err(|fault| {
                        let span = if fault.span.is_empty() { text.span.clone() } else { text.part(fault.span) };
                        let found = Fault::error(code, span, format!("`{key}` is not {what}: {}", fault.message));
                        self.reader.push(found.label(format!("expected {what}")).help(fault.help));
                    })
                    .ok()
            }
            DeValue::Integer(number) if code == "bad-duration" => {
                let fault = Fault::error(code, item.span(), format!("`{key}` has no unit"));
                let help = format!("write \"{0}s\" for seconds or \"{0}m\" for minutes", number.as_str());
                self.reader.push(fault.label("expected a duration such as \"10m\"").help(help));
                None
            }
            _ => {
                self.wrong_type(key, item, what);
                None
            }
        }
    }

    pub(super) fn duration(&self, key: &str) -> Option<Duration> {
        self.unit(key, "bad-duration", "a duration", parse_duration)
    }

    pub(super) fn size(&self, key: &str) -> Option<u64> {
        self.unit(key, "bad-size", "a size", parse_size)
    }

    pub(super) fn one_of(&self, key: &str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().find(|word| **word == text.value).copied();
        if found.is_none() {
            let fault = Fault::error("wrong-value", text.span.clone(), format!("`{key}` cannot be `{}`", text.value));
            let label = format!("expected one of {} words", words.len());
            let list = words.join(", ");
            self.reader.push(match nearest(&text.value, words.iter().copied()) {
                Some(near) => fault
                    .label(if words.len() > 4 { label } else { format!("expected {list}") })
                    .help(format!("did you mean \"{near}\"?")),
                None => fault
                    .label(if words.len() > 4 { label } else { format!("expected {list}") })
                    .help(format!("write one of: {list}")),
            });
        }
        found
    }

    /// A memory size as Spark writes it.
    pub(super) fn memory(&self, key: &str) -> Option<String> {
        let text = self.template_text(key)?;
        let digits = text.value.bytes().take_while(u8::is_ascii_digit).count();
        let unit = text.value[digits..].to_ascii_lowercase();
        if text.value.contains("{{")
            || (digits > 0 && matches!(unit.as_str(), "k" | "m" | "g" | "t" | "kb" | "mb" | "gb" | "tb"))
        {
            return Some(text.value);
        }
        let help = if digits > 0 && unit.is_empty() {
            format!("write \"{0}g\" for gigabytes or \"{0}m\" for megabytes", text.value)
        } else {
            "write for example \"512m\" or \"4g\"".to_owned()
        };
        self.wrong_value(key, text.span, "a memory size", &help);
        None
    }

    pub(super) fn schedule(&self, key: &str) -> Option<Schedule> {
        let text = self.text(key)?;
        Schedule::parse(&text.value)
            .map_err(|fault| {
                let span = if fault.span.is_empty() { text.span.clone() } else { text.part(fault.span) };
                self.reader
                    .push(Fault::error("bad-schedule", span, fault.message).label("in this schedule").help(fault.help));
            })
            .ok()
    }

    pub(super) fn zone(&self, key: &str) -> Option<TimeZone> {
        let text = self.text(key)?;
        parse_zone(&text.value)
            .map_err(|fault| {
                let found = Fault::error("bad-zone", text.span, fault.message);
                self.reader.push(found.label("not in the tz database").help(fault.help));
            })
            .ok()
    }

    pub(super) fn date(&self, key: &str) -> Option<(DateBound, Range<usize>)> {
        let (_, item) = self.get(key)?;
        let written = match item.get_ref() {
            DeValue::Datetime(datetime) => datetime.to_string(),
            DeValue::String(text) => text.to_string(),
            _ => {
                self.wrong_type(key, item, "a date");
                return None;
            }
        };
        let bound = written.parse::<jiff::Timestamp>().map(DateBound::Instant).or_else(|error| match written.len() {
            0..=10 => written.parse::<civil::Date>().map(DateBound::Date),
            _ if written.contains('[') => Err(error),
            _ => written.parse::<civil::DateTime>().map(DateBound::DateTime),
        });
        match bound {
            Ok(bound) => Some((bound, item.span())),
            Err(_) => {
                let fault = Fault::error("bad-date", item.span(), format!("`{key}` is not a date"));
                self.reader.push(
                    fault
                        .label("expected a date")
                        .help("write it as 2018-07-01, 2018-07-01T07:00:00 or with an offset"),
                );
                None
            }
        }
    }

    /// A table with known keys.
    pub(super) fn section(&self, key: &str, name: &str, fields: &'static [Field]) -> Option<Section<'r, 't, 'i>> {
        let (found, item) = self.get(key)?;
        match item.get_ref() {
            DeValue::Table(table) => Some(Section::new(self.reader, table, found.span(), name, fields)),
            _ => {
                self.wrong_type(key, item, "a table");
                None
            }
        }
    }

    /// A table of names.
    pub(super) fn name_table(&self, key: &str) -> Option<Section<'r, 't, 'i>> {
        let (found, item) = self.get(key)?;
        match item.get_ref() {
            DeValue::Table(table) => Some(Section::names(self.reader, table, found.span())),
            _ => {
                self.wrong_type(key, item, "a table");
                None
            }
        }
    }

    pub(super) fn text_table(&self, key: &str, is_template: bool) -> BTreeMap<String, String> {
        let Some(section) = self.name_table(key) else { return BTreeMap::new() };
        let mut texts = BTreeMap::new();
        for (name, item) in section.entries() {
            let value = match item.get_ref() {
                DeValue::String(value) => {
                    if is_template {
                        self.reader.check_template(&self.reader.text(value, item.span()));
                    }
                    value.to_string()
                }
                DeValue::Integer(number) => number.as_str().to_owned(),
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Boolean(flag) => flag.to_string(),
                DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
                    self.wrong_type(name.get_ref(), item, "a text");
                    continue;
                }
            };
            texts.insert(name.get_ref().to_string(), value);
        }
        texts
    }

    /// Environment variables: like a text table, with names that a shell accepts.
    pub(super) fn environment(&self, key: &str, is_template: bool) -> BTreeMap<String, String> {
        if let Some(section) = self.name_table(key) {
            for (name, _) in section.entries() {
                let text = name.get_ref();
                let is_name = !text.starts_with(|c: char| c.is_ascii_digit())
                    && !text.is_empty()
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if !is_name {
                    let fault =
                        Fault::error("bad-name", name.span(), format!("`{text}` is not the name of a variable"));
                    self.reader.push(
                        fault.label("expected letters, digits and `_`").help("write for example `SPARK_CONF_DIR`"),
                    );
                } else if text.starts_with("CRONDAG_") {
                    let fault = Fault::error("bad-name", name.span(), format!("`{text}` is set by crondag itself"));
                    self.reader.push(fault.label("names with CRONDAG_ are taken").help("choose another name"));
                }
            }
        }
        self.text_table(key, is_template)
    }

    pub(super) fn count_table(&self, key: &str) -> BTreeMap<String, u32> {
        let Some(section) = self.name_table(key) else { return BTreeMap::new() };
        let mut counts = BTreeMap::new();
        for (name, item) in section.entries() {
            if let Some(count) = self.count_of(name.get_ref(), item, 1) {
                counts.insert(name.get_ref().to_string(), count);
            }
        }
        counts
    }

    pub(super) fn value_table(&self, key: &str) -> BTreeMap<String, Json> {
        let Some(section) = self.name_table(key) else { return BTreeMap::new() };
        section.entries().into_iter().map(|(name, item)| (name.get_ref().to_string(), json(item.get_ref()))).collect()
    }

    /// Says that a required key is missing.
    pub(super) fn missing(&self, name: &str, key: &str, help: &str) {
        let fault = Fault::error("missing-key", self.span.clone(), format!("{name} has no `{key}`"));
        self.reader.push(fault.label(format!("`{key}` is missing")).help(help));
    }
}

fn json(value: &DeValue<'_>) -> Json {
    match value {
        DeValue::String(text) => Json::String(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Json::String(number.as_str().to_owned()), Json::from),
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Json::Null, Json::from),
        DeValue::Boolean(flag) => Json::Bool(*flag),
        DeValue::Datetime(datetime) => Json::String(datetime.to_string()),
        DeValue::Array(items) => Json::Array(items.iter().map(|item| json(item.get_ref())).collect()),
        DeValue::Table(table) => {
            Json::Object(table.iter().map(|(name, item)| (name.get_ref().to_string(), json(item.get_ref()))).collect())
        }
    }
}
