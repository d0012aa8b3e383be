//! Walks a parsed TOML document against the table of keys, collecting every fault instead of stopping at the first.
//!
//! It knows types and units, not what the settings mean: that is for `dag` and `config`.

use std::collections::BTreeMap;
use std::ops::{Add, Range};
use std::time::Duration;

use jiff::tz::TimeZone;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::fault::Fault;
use super::fit::{becomes_argument, too_long};
use super::section::{Field, Kind, Section};
use super::suggest::or_known;
use super::text::Places;
use super::value::{
    bad_address, bad_identifier, date_of_toml, integer, is_address, is_memory, is_template, quoted_key, scalar,
};
use crate::dag::nearest::nearest;
use crate::dag::schedule::DateBound;
use crate::dag::schedule::{Schedule, ScheduleFaultKind, parse_zone, read_date};
use crate::dag::template::{Checker, TemplateFaultKind, param_variable};
use crate::dag::units::{parse_duration, parse_size};
use crate::dag::wait::named_dates;

/// The words of bash's `set -o` that mean something in a script.
const SHELL_OPTIONS: [&str; 14] = [
    "allexport",
    "braceexpand",
    "errexit",
    "errtrace",
    "functrace",
    "noclobber",
    "noexec",
    "noglob",
    "nounset",
    "physical",
    "pipefail",
    "posix",
    "verbose",
    "xtrace",
];

/// A value with the bytes of the file that it came from.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Range<usize>,
}

/// What is said of a key that its section does not have, and the key of the section that was probably meant.
pub(super) type UnknownKey = fn(&'static Section, &str, Range<usize>, &DeValue<'_>) -> (Fault, Option<&'static str>);

/// The file that is read, and what was found wrong with it so far.
pub(super) struct Reader<'f> {
    pub(super) text: &'f str,
    pub(super) faults: Vec<Fault>,
    /// Checks templates; `None` until `params` are known.
    pub(super) checker: Option<Checker>,
    unknown_key: UnknownKey,
    /// The texts that are read become arguments of a program, which `ps` shows to everybody.
    pub(super) is_command_line: bool,
}

/// One key and its value.
#[derive(Clone)]
pub(super) struct Entry<'a, 'f> {
    pub(super) field: &'static Field,
    pub(super) key: Range<usize>,
    pub(super) value: &'a Spanned<DeValue<'f>>,
}

/// A table whose keys are all known.
pub(super) struct Open<'a, 'f> {
    /// The key or header that opened it.
    pub(super) at: Range<usize>,
    entries: Vec<Entry<'a, 'f>>,
    /// Keys that unknown ones were probably meant to be: they are not missed on top of that.
    meant: Vec<&'static str>,
}

impl<'a, 'f> Open<'a, 'f> {
    pub(super) fn get(&self, key: &str) -> Option<&Entry<'a, 'f>> {
        self.entries.iter().find(|entry| entry.field.key == key)
    }

    /// Whether a key is neither there nor there under a wrong name.
    pub(super) fn lacks(&self, key: &str) -> bool {
        self.get(key).is_none() && !self.meant.contains(&key)
    }

    pub(super) fn entries(&self) -> &[Entry<'a, 'f>] {
        &self.entries
    }
}

/// What a table's values are called, for messages.
pub(super) fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn expected(kind: Kind) -> String {
    match kind {
        Kind::Text | Kind::Template => "a string".into(),
        Kind::TextOrFalse => "a string or `false`".into(),
        Kind::Texts | Kind::Templates => "a list of strings".into(),
        Kind::TaskIds => "a list of task ids".into(),
        Kind::Emails => "an address or a list of addresses".into(),
        Kind::Flag => "`true` or `false`".into(),
        Kind::Whole(..) => "a whole number".into(),
        Kind::Number(..) => "a number".into(),
        Kind::Duration => "a duration with its unit".into(),
        Kind::DurationOrForever => "a duration with its unit, or \"forever\"".into(),
        Kind::Size => "a size with its unit".into(),
        Kind::Memory => "a memory size".into(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Date => "a date".into(),
        Kind::Zone => "a time zone".into(),
        Kind::Schedule => "five crontab fields".into(),
        Kind::Order => "chains of tasks".into(),
        Kind::Env => "a table of variables".into(),
        Kind::TextMap | Kind::Properties | Kind::Values => "a table of names and values".into(),
        Kind::Pools => "a table of names and slots".into(),
        Kind::Bytes => "a list of whole numbers".into(),
        Kind::Table(_) | Kind::Tables(_) => "a table".into(),
    }
}

impl<'f> Reader<'f> {
    pub(super) fn new(text: &'f str, unknown_key: UnknownKey) -> Reader<'f> {
        Reader { text, faults: Vec::new(), checker: None, unknown_key, is_command_line: false }
    }

    pub(super) fn push(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    /// Matches the keys of a table with those of its section, in the order of the file.
    pub(super) fn open<'a>(
        &mut self,
        section: &'static Section,
        table: &'a DeTable<'f>,
        at: Range<usize>,
    ) -> Open<'a, 'f> {
        let mut entries = Vec::with_capacity(table.len());
        let mut meant = Vec::new();
        for (key, value) in table {
            let name: &str = key.get_ref();
            if let Some(field) = section.field(name) {
                entries.push(Entry { field, key: key.span(), value });
            } else {
                let (fault, key) = (self.unknown_key)(section, name, key.span(), value.get_ref());
                self.push(fault);
                meant.extend(key);
            }
        }
        entries.sort_by_key(|entry| entry.key.start);
        Open { at, entries, meant }
    }

    /// Opens the table behind a key.
    pub(super) fn table<'a>(&mut self, entry: &Entry<'a, 'f>) -> Option<Open<'a, 'f>> {
        let (Kind::Table(section), DeValue::Table(table)) = (entry.field.kind, entry.value.get_ref()) else {
            self.wrong_type(entry);
            return None;
        };
        Some(self.open(section, table, entry.key.clone()))
    }

    /// The tables behind a key, by name, in the order of the file.
    pub(super) fn tables<'a>(&mut self, entry: &Entry<'a, 'f>) -> Vec<(At<&'a str>, Option<Open<'a, 'f>>)> {
        let (Kind::Tables(section), DeValue::Table(table)) = (entry.field.kind, entry.value.get_ref()) else {
            self.wrong_type(entry);
            return Vec::new();
        };
        let mut inner: Vec<_> = table.iter().collect();
        inner.sort_by_key(|(key, _)| key.span().start);
        inner
            .into_iter()
            .map(|(key, value)| {
                let name = At { value: key.get_ref().as_ref(), span: key.span() };
                let open = if let DeValue::Table(table) = value.get_ref() {
                    Some(self.open(section, table, key.span()))
                } else {
                    let message = format!("`{}` is {}, not a table", name.value, kind_of(value.get_ref()));
                    let help = format!("write {}", section.header.replace("NAME", &quoted_key(name.value)));
                    self.push(Fault::error("wrong-type", value.span(), message, "expected a table").help(help));
                    None
                };
                (name, open)
            })
            .collect()
    }

    fn wrong_type(&mut self, entry: &Entry<'_, 'f>) {
        let fault = wrong_type(self.text, entry);
        self.push(fault);
    }

    fn string<'a>(&mut self, entry: &Entry<'a, 'f>) -> Option<&'a str> {
        let text = entry.value.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(entry);
        }
        text
    }

    fn places(&self, value: &Spanned<DeValue<'_>>, text: &str) -> Places {
        Places::of(self.text, value.span(), text)
    }

    /// A string that is not empty.
    pub(super) fn text(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<At<String>> {
        let entry = open.get(key)?.clone();
        let text = self.string(&entry)?;
        if self.is_command_line || becomes_argument(key) {
            self.check_length(key, entry.key.clone(), text.len());
        }
        self.filled(&entry, text)
    }

    /// A text; `At` nothing where `false` says that there is to be none.
    pub(super) fn text_or_false(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<At<Option<String>>> {
        let entry = open.get(key)?.clone();
        match entry.value.get_ref() {
            DeValue::Boolean(false) => Some(At { value: None, span: entry.value.span() }),
            DeValue::String(text) => {
                self.filled(&entry, text).map(|text| At { value: Some(text.value), span: text.span })
            }
            _ => {
                self.wrong_type(&entry);
                None
            }
        }
    }

    fn filled(&mut self, entry: &Entry<'_, 'f>, text: &str) -> Option<At<String>> {
        let span = entry.value.span();
        if text.trim().is_empty() {
            let fault = Fault::error("empty", span, format!("`{}` is empty", entry.field.key), "expected a text");
            self.push(fault.help(example(entry.field)));
            return None;
        }
        Some(At { value: text.to_owned(), span })
    }

    /// A template that is not empty, checked.
    pub(super) fn template(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<At<String>> {
        let entry = open.get(key)?.clone();
        self.template_at(&entry)
    }

    /// The template behind a key.
    pub(super) fn template_at(&mut self, entry: &Entry<'_, 'f>) -> Option<At<String>> {
        let text = self.string(entry)?;
        self.check_template(entry.value, text);
        if self.is_command_line || becomes_argument(entry.field.key) {
            self.check_length(entry.field.key, entry.key.clone(), text.len());
        }
        self.filled(entry, text)
    }

    /// A template of dates, of which what it renders to for some run is one.
    pub(super) fn named_dates(&mut self, entry: &Entry<'_, 'f>) -> Option<String> {
        let text = self.template_at(entry)?.value;
        let sample = self.checker.as_ref().and_then(|checker| checker.sample(&text));
        if let Some(Err(word)) = sample.as_deref().map(named_dates) {
            let message = match word.as_str() {
                "" => format!("`{}` says no date", entry.field.key),
                word => format!("`{word}` is not a date"),
            };
            let fault = Fault::error("bad-date", entry.value.span(), message, "expected dates").help(
                "write 2018-07-01, 20180701 or 2018-07-01T07:00, or a template of such, as \"{{ yesterday_ds }}\"",
            );
            self.push(fault);
            return None;
        }
        Some(text)
    }

    fn check_length(&mut self, name: &str, at: Range<usize>, bytes: usize) {
        self.faults.extend(too_long(name, at, bytes));
    }

    fn check_template(&mut self, value: &Spanned<DeValue<'_>>, text: &str) {
        let Some(checker) = &self.checker else { return };
        let found = checker.check(text);
        let argued = if self.is_command_line { checker.secrets_in(text) } else { Vec::new() };
        if found.is_empty() && argued.is_empty() {
            return;
        }
        let places = self.places(value, text);
        for span in argued {
            let message =
                "a secret cannot be an argument of spark-submit: everybody on the machine could see it with `ps`";
            self.push(
                Fault::error("secret-on-command-line", places.at(span), message, "a secret")
                    .help("pass it in the task's environment: env = { NAME = \"{{ secret.NAME }}\" }"),
            );
        }
        for fault in found {
            let (code, label) = match fault.kind {
                TemplateFaultKind::Wrong => ("bad-template", "in this template"),
                TemplateFaultKind::UndefinedName | TemplateFaultKind::NotInConfig => {
                    ("undefined-name", "not known in templates")
                }
            };
            let mut shown = Fault::error(code, places.at(fault.span), fault.message, label);
            shown.is_of_config = fault.kind == TemplateFaultKind::NotInConfig;
            shown.help.extend(fault.help);
            self.push(shown);
        }
    }

    /// Strings of a list, or one string, each with its value for [`Places`].
    fn strings<'a>(&mut self, entry: &Entry<'a, 'f>) -> Vec<(&'a str, &'a Spanned<DeValue<'f>>)> {
        match entry.value.get_ref() {
            DeValue::String(text) if !matches!(entry.field.kind, Kind::Texts) => vec![(text.as_ref(), entry.value)],
            DeValue::Array(items) => {
                let mut strings = Vec::with_capacity(items.len());
                for item in items {
                    if let Some(text) = item.get_ref().as_str() {
                        strings.push((text, item));
                        continue;
                    }
                    let message =
                        format!("`{}` takes a list of strings, this is {}", entry.field.key, kind_of(item.get_ref()));
                    let mut fault = Fault::error("wrong-type", item.span(), message, "expected a string");
                    if let Some(scalar) = scalar(item.get_ref()) {
                        fault = fault.help(format!("write \"{scalar}\""));
                    }
                    self.push(fault);
                }
                strings
            }
            _ => {
                self.wrong_type(entry);
                Vec::new()
            }
        }
    }

    /// A list of strings; `None` when the key is absent.
    pub(super) fn texts(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<Vec<At<String>>> {
        let entry = open.get(key)?.clone();
        let strings = self.strings(&entry);
        if matches!(entry.field.kind, Kind::Templates) {
            for (text, value) in &strings {
                self.check_template(value, text);
            }
        }
        if self.is_command_line {
            let lengths = strings.iter().map(|(text, _)| text.len());
            // `args` are so many arguments; other lists are one, with commas.
            let longest = if key == "args" {
                lengths.max()
            } else {
                lengths.map(|length| length + 1).reduce(Add::add).map(|sum| sum - 1)
            };
            self.check_length(key, entry.key.clone(), longest.unwrap_or(0));
        }
        Some(strings.into_iter().map(|(text, value)| At { value: text.to_owned(), span: value.span() }).collect())
    }

    /// A list of strings; empty when the key is absent.
    pub(super) fn list(&mut self, open: &Open<'_, 'f>, key: &str) -> Vec<String> {
        self.texts(open, key).unwrap_or_default().into_iter().map(|text| text.value).collect()
    }

    /// Task ids, each with the place of the word.
    pub(super) fn task_ids(&mut self, open: &Open<'_, 'f>, key: &str) -> Vec<At<String>> {
        let Some(entry) = open.get(key).cloned() else { return Vec::new() };
        let strings = self.strings(&entry);
        let at = |reader: &Self, value, text: &str| reader.places(value, text).at(0..text.len());
        strings.into_iter().map(|(text, value)| At { value: text.to_owned(), span: at(self, value, text) }).collect()
    }

    /// The strings behind a key, to be parsed by the caller, each with its [`Places`].
    pub(super) fn strings_with_places(&mut self, open: &Open<'_, 'f>, key: &str) -> Vec<(String, Places)> {
        let Some(entry) = open.get(key).cloned() else { return Vec::new() };
        let strings = self.strings(&entry);
        strings.into_iter().map(|(text, value)| (text.to_owned(), self.places(value, text))).collect()
    }

    /// Addresses.
    pub(super) fn emails(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<Vec<String>> {
        let entry = open.get(key)?.clone();
        let strings = self.strings(&entry);
        let mut emails = Vec::with_capacity(strings.len());
        for (text, value) in strings {
            if is_address(text) {
                emails.push(text.to_owned());
            } else {
                self.push(bad_address(text, value.span()));
            }
        }
        Some(emails)
    }

    pub(super) fn flag(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<bool> {
        let entry = open.get(key)?.clone();
        let flag = entry.value.get_ref().as_bool();
        if flag.is_none() {
            self.wrong_type(&entry);
        }
        flag
    }

    /// A whole number within the bounds of its field.
    pub(super) fn whole(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<At<i64>> {
        let entry = open.get(key)?.clone();
        let (DeValue::Integer(number), Kind::Whole(low, high)) = (entry.value.get_ref(), entry.field.kind) else {
            self.wrong_type(&entry);
            return None;
        };
        self.within(entry.field.key, number, entry.value.span(), low, high)
    }

    fn within(
        &mut self,
        name: &str,
        number: &DeInteger<'_>,
        span: Range<usize>,
        low: i64,
        high: i64,
    ) -> Option<At<i64>> {
        match integer(number) {
            Some(value) if (low..=high).contains(&value) => Some(At { value, span }),
            _ => {
                let label = format!("expected {low} to {high}");
                self.push(Fault::error("out-of-range", span, format!("`{name}` is out of range"), label));
                None
            }
        }
    }

    /// A list of whole numbers from 0 to 255; those that are not are faults.
    pub(super) fn bytes(&mut self, open: &Open<'_, 'f>, key: &str) -> Vec<u8> {
        let Some(entry) = open.get(key).cloned() else { return Vec::new() };
        let DeValue::Array(items) = entry.value.get_ref() else {
            self.wrong_type(&entry);
            return Vec::new();
        };
        let mut bytes = Vec::with_capacity(items.len());
        for item in items {
            let DeValue::Integer(number) = item.get_ref() else {
                let message = format!("`{key}` takes a list of whole numbers, this is {}", kind_of(item.get_ref()));
                self.push(Fault::error("wrong-type", item.span(), message, "expected a whole number"));
                continue;
            };
            let number = self.within(key, number, item.span(), 0, 255);
            bytes.extend(number.and_then(|number| u8::try_from(number.value).ok()));
        }
        bytes
    }

    /// A whole number that fits.
    pub(super) fn count(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<u32> {
        self.whole(open, key).and_then(|number| u32::try_from(number.value).ok())
    }

    pub(super) fn number(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<f64> {
        let entry = open.get(key)?.clone();
        let Kind::Number(low, high) = entry.field.kind else { return None };
        let number = match entry.value.get_ref() {
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Integer(number) => integer(number).map(|number| {
                #[allow(clippy::cast_precision_loss)] // a factor beyond 2^52 is no factor
                let number = number as f64;
                number
            }),
            _ => {
                self.wrong_type(&entry);
                return None;
            }
        };
        match number {
            Some(number) if number >= low && number <= high => Some(number),
            _ => {
                let message = format!("`{}` is out of range", entry.field.key);
                let label = format!("expected a number from {low} to {high}");
                self.push(Fault::error("out-of-range", entry.value.span(), message, label));
                None
            }
        }
    }

    pub(super) fn duration(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<At<Duration>> {
        let entry = open.get(key)?.clone();
        let text = self.string(&entry)?;
        match parse_duration(text) {
            Ok(value) => Some(At { value, span: entry.value.span() }),
            Err(fault) => {
                let span = self.places(entry.value, text).at(fault.span);
                let message = format!("`{}` is not a duration: {}", entry.field.key, fault.message);
                let shown = Fault::error("bad-duration", span, message, "expected a duration").help(fault.help);
                let may_be_forever = matches!(entry.field.kind, Kind::DurationOrForever);
                self.push(if may_be_forever { shown.help("or write \"forever\"") } else { shown });
                None
            }
        }
    }

    /// A duration above zero: for timeouts, where zero would end everything at once.
    pub(super) fn span_of_time(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<Duration> {
        let duration = self.duration(open, key)?;
        if duration.value.is_zero() {
            let message = format!("`{key}` is zero");
            self.push(
                Fault::error("out-of-range", duration.span, message, "expected more than zero")
                    .help(format!("leave `{key}` out for no limit")),
            );
            return None;
        }
        Some(duration.value)
    }

    /// `None` for "forever"; `default` when the key is absent or wrong.
    pub(super) fn duration_or_forever(
        &mut self,
        open: &Open<'_, 'f>,
        key: &str,
        default: Option<Duration>,
    ) -> Option<Duration> {
        let entry = open.get(key);
        if entry.is_some_and(|entry| entry.value.get_ref().as_str() == Some("forever")) {
            return None;
        }
        self.duration(open, key).map_or(default, |duration| Some(duration.value))
    }

    pub(super) fn size(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<u64> {
        let entry = open.get(key)?.clone();
        let text = self.string(&entry)?;
        match parse_size(text) {
            Ok(size) if size >= 4096 => Some(size),
            Ok(_) => {
                let message = format!("`{key}` is out of range");
                self.push(Fault::error("out-of-range", entry.value.span(), message, "expected at least 4KB"));
                None
            }
            Err(fault) => {
                let span = self.places(entry.value, text).at(fault.span);
                self.push(Fault::error("bad-size", span, fault.message, "expected a size").help(fault.help));
                None
            }
        }
    }

    /// A size as the JVM takes it, or a template.
    pub(super) fn memory(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<String> {
        let entry = open.get(key)?.clone();
        let text = self.template(open, key)?;
        if !is_memory(&text.value) && !is_template(&text.value) {
            let fault = Fault::error(
                "bad-size",
                text.span,
                format!("`{}` is not a memory size", text.value),
                "expected a number with k, m, g or t",
            );
            self.push(fault.help(example(entry.field)));
            return None;
        }
        Some(text.value)
    }

    pub(super) fn choice(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<At<&'static str>> {
        let entry = open.get(key)?.clone();
        let Kind::Choice(words) = entry.field.kind else { return None };
        let text = self.string(&entry)?;
        if let Some(word) = words.iter().find(|word| **word == text) {
            return Some(At { value: word, span: entry.value.span() });
        }
        let span = self.places(entry.value, text).at(0..text.len());
        let message = format!("`{text}` is not a value of `{}`", entry.field.key);
        let label = match words {
            [only] => format!("expected \"{only}\""),
            [..] if words.len() > 4 => "not one of the known words".to_owned(),
            [..] => format!("expected {}", expected(entry.field.kind)),
        };
        let fault = Fault::error("unknown-value", span, message, label);
        let fault = match nearest(text, words.iter().copied()) {
            Some(near) => fault.help(format!("did you mean \"{near}\"?")),
            None if words.len() > 4 => or_known(fault, text, words.iter().copied(), ""),
            None => fault,
        };
        self.push(fault);
        None
    }

    /// Words of `set -o`, each known to bash.
    pub(super) fn shell_options(&mut self, open: &Open<'_, 'f>) -> Option<Vec<String>> {
        let entry = open.get("shell_options")?.clone();
        let text = self.string(&entry)?;
        let mut options = Vec::new();
        for word in text.split_ascii_whitespace() {
            if SHELL_OPTIONS.contains(&word) {
                options.push(word.to_owned());
                continue;
            }
            let at = word.as_ptr() as usize - text.as_ptr() as usize;
            let span = self.places(entry.value, text).at(at..at + word.len());
            let fault =
                Fault::error("unknown-value", span, format!("`{word}` is no option of bash"), "not a word of `set -o`");
            let fault = match (word, nearest(word, SHELL_OPTIONS.iter().copied())) {
                ("-e", _) => fault.help("write `errexit`"),
                ("-u", _) => fault.help("write `nounset`"),
                ("-x", _) => fault.help("write `xtrace`"),
                (_, Some(near)) => fault.help(format!("did you mean `{near}`?")),
                (_, None) => fault.help(format!("the words are {}", SHELL_OPTIONS.join(", "))),
            };
            self.push(fault);
        }
        Some(options)
    }

    pub(super) fn zone(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<TimeZone> {
        let entry = open.get(key)?.clone();
        let text = self.string(&entry)?;
        match parse_zone(text) {
            Ok(zone) => Some(zone),
            Err(fault) => {
                let span = self.places(entry.value, text).at(0..text.len());
                self.push(Fault::error("bad-zone", span, fault.message, "not a known zone").help(fault.help));
                None
            }
        }
    }

    pub(super) fn schedule(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<Schedule> {
        let entry = open.get(key)?.clone();
        let text = self.string(&entry)?;
        match Schedule::parse(text) {
            Ok(schedule) => {
                for doubt in Schedule::doubts(text) {
                    let span = self.places(entry.value, text).at(doubt.span);
                    self.push(
                        Fault::warning("doubtful-schedule", span, doubt.message, "is this meant?").help(doubt.help),
                    );
                }
                Some(schedule)
            }
            Err(fault) => {
                let label = match fault.kind {
                    ScheduleFaultKind::NeverMatches => "never matches",
                    ScheduleFaultKind::Shorthand => "not one of the shorthands",
                    ScheduleFaultKind::NotAField => "not a field",
                    ScheduleFaultKind::Fields => "expected five crontab fields",
                    ScheduleFaultKind::Value => "not a value of this field",
                };
                let span = self.places(entry.value, text).at(fault.span);
                self.push(Fault::error("bad-schedule", span, fault.message, label).help(fault.help));
                None
            }
        }
    }

    pub(super) fn date(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<At<DateBound>> {
        let entry = open.get(key)?.clone();
        let span = entry.value.span();
        let bound = match entry.value.get_ref() {
            DeValue::Datetime(date) => date_of_toml(date),
            DeValue::String(text) => read_date(text),
            _ => {
                self.wrong_type(&entry);
                return None;
            }
        };
        if let Some(value) = bound {
            return Some(At { value, span });
        }
        let message = format!("`{}` is not a date", entry.field.key);
        self.push(
            Fault::error("bad-date", span, message, "there is no such date")
                .help(format!("write {0} = 2018-07-01, {0} = 2018-07-01T07:00:00, or with an offset", entry.field.key)),
        );
        None
    }

    /// Texts by name. Numbers and flags stand for their text. `names` says what is wrong with a name.
    pub(super) fn text_map(
        &mut self,
        open: &Open<'_, 'f>,
        key: &str,
        names: fn(&str) -> Option<&'static str>,
    ) -> Option<BTreeMap<String, String>> {
        let entry = open.get(key)?.clone();
        let DeValue::Table(table) = entry.value.get_ref() else {
            self.wrong_type(&entry);
            return None;
        };
        let mut map = BTreeMap::new();
        self.collect_texts(&entry, table, "", names, &mut map);
        Some(map)
    }

    fn collect_texts(
        &mut self,
        entry: &Entry<'_, 'f>,
        table: &DeTable<'f>,
        prefix: &str,
        names: fn(&str) -> Option<&'static str>,
        map: &mut BTreeMap<String, String>,
    ) {
        for (key, value) in table {
            let name = format!("{prefix}{}", key.get_ref());
            // `spark.executor.cores = 2` without quotes is a tree of tables to TOML, and one property to Spark.
            if let (DeValue::Table(inner), Kind::Properties) = (value.get_ref(), entry.field.kind) {
                self.collect_texts(entry, inner, &format!("{name}."), names, map);
                continue;
            }
            if let Some(wrong) = names(&name) {
                let message = format!("`{name}` is not a name for `{}`", entry.field.key);
                self.push(Fault::error("bad-name", key.span(), message, wrong));
            }
            let text = match value.get_ref() {
                DeValue::String(text) => {
                    self.check_template(value, text);
                    text.to_string()
                }
                other => {
                    if let Some(text) = scalar(other) {
                        text
                    } else {
                        let message = format!("`{name}` takes a text, not {}", kind_of(other));
                        self.push(Fault::error("wrong-type", value.span(), message, "expected a string"));
                        continue;
                    }
                }
            };
            if matches!(entry.field.kind, Kind::Env | Kind::Properties) {
                self.check_length(&name, key.span(), name.len() + 1 + text.len());
            }
            map.insert(name, text);
        }
    }

    /// Any values by name.
    pub(super) fn values(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<BTreeMap<String, Value>> {
        let entry = open.get(key)?.clone();
        let DeValue::Table(table) = entry.value.get_ref() else {
            self.wrong_type(&entry);
            return None;
        };
        let mut map = BTreeMap::new();
        for (name, value) in table {
            if let Some(wrong) = bad_identifier(name.get_ref()) {
                let message = format!("`{}` is not a name for `{key}`", name.get_ref());
                self.push(Fault::error("bad-name", name.span(), message, wrong));
            }
            if let Some(json) = self.json(value) {
                // Every task finds it in its environment.
                if key == "params" {
                    let (variable, text) = param_variable(name.get_ref(), &json);
                    self.check_length(name.get_ref(), name.span(), variable.len() + 1 + text.len());
                }
                map.insert(name.get_ref().to_string(), json);
            }
        }
        Some(map)
    }

    fn json(&mut self, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let number = match value.get_ref() {
            DeValue::String(text) => return Some(Value::String(text.to_string())),
            DeValue::Boolean(flag) => return Some(Value::Bool(*flag)),
            DeValue::Datetime(date) => return Some(Value::String(date.to_string())),
            DeValue::Array(items) => {
                return Some(Value::Array(items.iter().filter_map(|item| self.json(item)).collect()));
            }
            DeValue::Table(table) => {
                let members = table.iter();
                return Some(Value::Object(
                    members.filter_map(|(key, value)| Some((key.get_ref().to_string(), self.json(value)?))).collect(),
                ));
            }
            DeValue::Integer(number) => integer(number).map(serde_json::Number::from),
            DeValue::Float(number) => number.as_str().parse().ok().and_then(serde_json::Number::from_f64),
        };
        if number.is_none() {
            let message = "this number cannot be used in templates";
            self.push(Fault::error("out-of-range", value.span(), message, "expected a finite number of 64 bits"));
        }
        number.map(Value::Number)
    }

    /// Slots by name.
    pub(super) fn pools(&mut self, open: &Open<'_, 'f>, key: &str) -> Option<BTreeMap<String, u32>> {
        let entry = open.get(key)?.clone();
        let DeValue::Table(table) = entry.value.get_ref() else {
            self.wrong_type(&entry);
            return None;
        };
        let mut pools = BTreeMap::new();
        for (name, value) in table {
            let DeValue::Integer(number) = value.get_ref() else {
                let message =
                    format!("pool `{}` takes its number of slots, not {}", name.get_ref(), kind_of(value.get_ref()));
                self.push(
                    Fault::error("wrong-type", value.span(), message, "expected a whole number")
                        .help(format!("write {} = 4", quoted_key(name.get_ref()))),
                );
                continue;
            };
            if let Some(slots) = self.within(name.get_ref(), number, value.span(), 1, 10_000)
                && let Ok(slots) = u32::try_from(slots.value)
            {
                pools.insert(name.get_ref().to_string(), slots);
            }
        }
        Some(pools)
    }
}

/// "`retries` takes a whole number, not a string", with what to write instead.
fn wrong_type(file: &str, entry: &Entry<'_, '_>) -> Fault {
    let Entry { field, value, .. } = entry;
    let wanted = expected(field.kind);
    let message = format!("`{}` takes {wanted}, not {}", field.key, kind_of(value.get_ref()));
    let raw = file.get(value.span()).unwrap_or_default();
    let help = match (field.kind, value.get_ref()) {
        (Kind::Duration | Kind::DurationOrForever, DeValue::Integer(number)) => {
            format!("write \"{}s\" for seconds", number.as_str())
        }
        (Kind::Flag, DeValue::String(text)) if matches!(text.to_lowercase().as_str(), "true" | "yes" | "on" | "1") => {
            format!("write {} = true", field.key)
        }
        (Kind::Flag, DeValue::String(text)) if matches!(text.to_lowercase().as_str(), "false" | "no" | "off" | "0") => {
            format!("write {} = false", field.key)
        }
        (Kind::Flag, DeValue::Integer(number)) if matches!(number.as_str(), "0" | "1") => {
            format!("write {} = {}", field.key, number.as_str() == "1")
        }
        (Kind::Whole(..) | Kind::Number(..), DeValue::String(text)) if text.parse::<i64>().is_ok() => {
            format!("write {} = {text}", field.key)
        }
        (Kind::Texts, DeValue::String(_)) => format!("write {} = [{raw}]", field.key),
        (Kind::Text | Kind::Template, DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)) => {
            format!("write {} = \"{raw}\"", field.key)
        }
        (Kind::Tables(section), DeValue::Array(_)) => {
            format!("write {} for each, without `[[ ]]`", section.header)
        }
        _ if field.key == "shell" => "write shell = \"python3 jobs/load.py {{ ds }}\"".to_owned(),
        _ => example(field),
    };
    let value_span = match value.get_ref() {
        // The span of a table is that of its header; the key is what the user looks for.
        DeValue::Table(_) => entry.key.clone(),
        _ => value.span(),
    };
    Fault::error("wrong-type", value_span, message, format!("expected {wanted}")).help(help)
}

fn example(field: &Field) -> String {
    format!("write for example {} = {}", field.key, field.example)
}
