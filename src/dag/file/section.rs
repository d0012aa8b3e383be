//! What the table of keys is made of: a key with its kind, and a table of keys.

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// As it is written.
    pub key: &'static str,
    /// What may stand behind `=`.
    pub kind: Kind,
    /// What holds when the key is left out, as JSON; `None` when that is nothing.
    pub default: Option<&'static str>,
    /// A value, as TOML.
    pub example: &'static str,
    /// What it does, in Markdown, without a closing dot.
    pub doc: &'static str,
}

/// The type and unit of a value.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// A string.
    Text,
    /// A text, or `false` where there is to be none although `[defaults]` names one.
    TextOrFalse,
    /// A string that is a template.
    Template,
    /// A list of strings.
    Texts,
    /// A list of templates; one string stands for a list of one.
    Templates,
    /// Names of tasks: a list, or one string.
    TaskIds,
    /// Addresses: a list, or one string.
    Emails,
    /// `true` or `false`.
    Flag,
    /// A whole number between two bounds, both included.
    Whole(i64, i64),
    /// A number between two bounds, both included.
    Number(f64, f64),
    /// A time span with its unit: `"10m"`.
    Duration,
    /// A time span, or `"forever"`.
    DurationOrForever,
    /// A number of bytes with its unit: `"100MB"`.
    Size,
    /// A size in the JVM's notation: `"4g"`.
    Memory,
    /// One of some words.
    Choice(&'static [&'static str]),
    /// A date, a local time or an instant.
    Date,
    /// A name of the tz database.
    Zone,
    /// A crontab schedule.
    Schedule,
    /// Chains of tasks: `a >> [b, c] >> d`.
    Order,
    /// Variables of the environment; the values are templates.
    Env,
    /// Texts by name; the values are templates.
    TextMap,
    /// Like [`Kind::TextMap`], where names have dots.
    Properties,
    /// Any TOML values by name.
    Values,
    /// Slots by name.
    Pools,
    /// A list of whole numbers, 0 to 255.
    Bytes,
    /// A table with keys of its own.
    Table(&'static Section),
    /// Tables by name, each with these keys.
    Tables(&'static Section),
}

/// A table of a file.
#[derive(Debug)]
pub struct Section {
    /// Its header, as the reference writes it.
    pub header: &'static str,
    /// What it is called in a message: "in ...".
    pub place: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Keys that must be there.
    pub required: &'static [&'static str],
    /// Exactly one of these keys must be there; empty when there is no such rule.
    pub one_of: &'static [&'static str],
    /// Its keys, in groups that other tables share.
    pub groups: &'static [&'static [Field]],
}

impl Section {
    /// All keys.
    pub fn fields(&self) -> impl Iterator<Item = &'static Field> + use<> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The key of that name.
    pub fn field(&self, key: &str) -> Option<&'static Field> {
        self.fields().find(|field| field.key == key)
    }
}

pub(super) const fn field(key: &'static str, kind: Kind, example: &'static str, doc: &'static str) -> Field {
    Field { key, kind, default: None, example, doc }
}

pub(super) const fn with_default(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    example: &'static str,
    doc: &'static str,
) -> Field {
    Field { key, kind, default: Some(default), example, doc }
}

/// Enough for whatever is counted in a file.
pub(super) const MANY: i64 = 10_000;
