//! What the driver says to people and to their log shippers: one line per event, `time level event key=value ...`, on its
//! standard error. One format, for the resident scheduler and for the background driver's log alike.

use std::fmt::{self, Display, Write as _};

use jiff::Timestamp;

/// What happened. The table in `docs/reference/driver-log.md` is made from this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happening {
    /// A process became the driver of its home.
    DriverStarted,
    /// It goes.
    DriverEnded,
    /// A resident scheduler waits for another driver to end, and ticks meanwhile.
    StandBy,
    /// A run that the driver sees for the first time.
    RunCreated,
    /// A run began.
    RunStarted,
    /// A run was queued again, for an earlier one for which it waits.
    RunGaveWay,
    /// A run ended.
    RunEnded,
    /// A task's attempt began.
    AttemptStarted,
    /// An attempt that an earlier driver started was taken up.
    AttemptAdopted,
    /// An attempt ended.
    AttemptEnded,
    /// A mail was delivered.
    MailSent,
    /// A mail could not be delivered.
    MailFailed,
    /// Files were read again.
    Reload,
    /// A file is faulty; what was last good stays in force.
    Faulty,
    /// SIGTERM: nothing new starts.
    DrainStarted,
    /// The drain is over.
    DrainEnded,
    /// Something that is waited out or worked around.
    Trouble,
}

use Happening::{
    AttemptAdopted, AttemptEnded, AttemptStarted, DrainEnded, DrainStarted, DriverEnded, DriverStarted, Faulty,
    MailFailed, MailSent, Reload, RunCreated, RunEnded, RunGaveWay, RunStarted, StandBy, Trouble,
};

impl Happening {
    /// All of them, in the order of the reference.
    pub const ALL: [Happening; 17] = [
        DriverStarted,
        DriverEnded,
        StandBy,
        RunCreated,
        RunStarted,
        RunGaveWay,
        RunEnded,
        AttemptStarted,
        AttemptAdopted,
        AttemptEnded,
        MailSent,
        MailFailed,
        Reload,
        Faulty,
        DrainStarted,
        DrainEnded,
        Trouble,
    ];

    /// Its name in the line.
    pub fn name(self) -> &'static str {
        match self {
            DriverStarted => "driver_started",
            DriverEnded => "driver_ended",
            StandBy => "stand_by",
            RunCreated => "run_created",
            RunStarted => "run_started",
            RunGaveWay => "run_gave_way",
            RunEnded => "run_ended",
            AttemptStarted => "attempt_started",
            AttemptAdopted => "attempt_adopted",
            AttemptEnded => "attempt_ended",
            MailSent => "mail_sent",
            MailFailed => "mail_failed",
            Reload => "reload",
            Faulty => "faulty",
            DrainStarted => "drain_started",
            DrainEnded => "drain_ended",
            Trouble => "trouble",
        }
    }

    /// When it is said, and with which keys; Markdown.
    pub fn doc(self) -> &'static str {
        match self {
            DriverStarted => "A process became the driver: `pid`, `mode` (`resident` or `until_idle`), `version`",
            DriverEnded => "It goes: `why` (`idle` or `asked`), `live` attempts that live on for the next driver",
            StandBy => "A resident scheduler waits for the driver `pid` to end; it ticks meanwhile",
            RunCreated => "A run waits to be started: `dag`, `run`, `type`, `created`. A new driver repeats it",
            RunStarted => "`dag`, `run`",
            RunGaveWay => "The run waits for the past of run `to`, which gets its place: `dag`, `run`, `to`",
            RunEnded => "`dag`, `run`, `state`, `reason`. An error when the run failed",
            AttemptStarted => "`dag`, `run`, `task`, `try`, `log`",
            AttemptAdopted => "Another driver had started it: `dag`, `run`, `task`, `try`, `log`",
            AttemptEnded => {
                "`dag`, `run`, `task`, `try`, `how`, `seconds`, `left_behind` processes that were ended, `left_running` ones that live on. A warning when it failed"
            }
            MailSent => "`mail`",
            MailFailed => "`mail`, `error`, `next` (when it is tried again) or `given_up`",
            Reload => "crondag.toml has `changed`, or everything was `asked_by` SIGHUP to be read again",
            Faulty => "A file that cannot be used: `error` with its place. What was last good stays in force",
            DrainStarted => "SIGTERM: nothing new starts. `live` attempts, `timeout`",
            DrainEnded => "`live` attempts that live on for the next driver",
            Trouble => "Something that is waited out or worked around: `what`, `error`",
        }
    }

    fn of_name(name: &str) -> Option<Happening> {
        Happening::ALL.into_iter().find(|what| what.name() == name)
    }

    fn level(self) -> Level {
        match self {
            MailFailed | Faulty | Trouble => Level::Warn,
            _ => Level::Info,
        }
    }
}

/// How much somebody should care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// All is well.
    Info,
    /// It is being dealt with.
    Warn,
    /// Somebody should see to it.
    Error,
}

impl Level {
    /// Its name in the line.
    pub fn name(self) -> &'static str {
        match self {
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
        }
    }

    fn of_name(name: &str) -> Option<Level> {
        [Level::Info, Level::Warn, Level::Error].into_iter().find(|level| level.name() == name)
    }
}

/// One line, without its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What happened.
    pub what: Happening,
    /// How much somebody should care.
    pub level: Level,
    fields: String,
}

impl Line {
    /// A line at the event's usual level.
    pub fn new(what: Happening) -> Line {
        Line { what, level: what.level(), fields: String::new() }
    }

    /// A [`Happening::Trouble`].
    pub fn trouble(what: &str, error: impl Display) -> Line {
        Line::new(Trouble).with("what", what).with("error", error)
    }

    /// The same line at another level.
    #[must_use]
    pub fn at(self, level: Level) -> Line {
        Line { level, ..self }
    }

    /// Adds `key=value`. A value that is not one plain word is quoted as in JSON, so that a line stays a line.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Display) -> Line {
        let value = value.to_string();
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '=' | '\\');
        // Writing to a String cannot fail.
        let _ = if !value.is_empty() && value.chars().all(is_plain) {
            write!(self.fields, " {key}={value}")
        } else {
            write!(self.fields, " {key}={}", serde_json::Value::String(value))
        };
        self
    }

    /// As a log has it, without the end of the line.
    pub(in crate::runner) fn said(&self, at: Timestamp) -> String {
        format!("{at:.3} {self}")
    }

    /// What [`Line::said`] has made a line of a log of; `None` when crondag has not said it, but a library, say.
    pub(in crate::runner) fn heard(text: &str) -> Option<(Timestamp, Line)> {
        let (at, rest) = text.split_once(' ')?;
        let (level, rest) = rest.split_once(' ')?;
        let (what, fields) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
        let line = Line { what: Happening::of_name(what)?, level: Level::of_name(level)?, fields: fields.to_owned() };
        Some((at.parse().ok()?, line))
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.level.name(), self.what.name(), self.fields)
    }
}

/// Lines that were not said the last time: what is found wrong again and again is said once.
#[derive(Debug, Default)]
pub(in crate::runner) struct Fresh(Vec<Line>);

impl Fresh {
    /// Those of these lines that were not among the ones before.
    pub(in crate::runner) fn of(&mut self, lines: Vec<Line>) -> Vec<Line> {
        let fresh = lines.iter().filter(|line| !self.0.contains(line)).cloned().collect();
        self.0 = lines;
        fresh
    }
}

/// The reference page.
pub fn page() -> String {
    let mut page = String::from(
        "# The driver's log\n\n\
         <!-- Made from src/runner/driver_log/line.rs: change it there, then run `UPDATE=1 cargo test --test reference`. -->\n\n\
         The driver writes one line per event: the resident scheduler to its standard error (the journal, with systemd), a\n\
         driver that a tick or a command started to `.crondag/driver.log`.\n\n\
         ```\n\
         2018-07-02T07:00:00.004Z info attempt_started dag=userprofile run=scheduled__2018-07-01T07:00:00+08:00 task=load try=1 log=...\n\
         ```\n\n\
         A time in UTC, a level (`info`, `warn`, `error`), the event, then `key=value`. A value that is not one plain word is\n\
         quoted as in JSON; a line never breaks. `error` means that somebody should look: `grep ' error '`.\n\n\
         | event | says |\n| --- | --- |\n",
    );
    for what in Happening::ALL {
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| `{}` | {} |", what.name(), what.doc());
    }
    page
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_line_is_heard_as_it_was_said(
            milliseconds in 0_i64..4_000_000_000_000,
            what in proptest::sample::select(&Happening::ALL[..]),
            level in proptest::sample::select(&[Level::Info, Level::Warn, Level::Error][..]),
            fields in proptest::collection::vec(("[a-z_]{1,9}", ".*| error |a error driver_ended=b"), 0..5),
        ) {
            let line = fields.iter().fold(Line::new(what).at(level), |line, (key, value)| line.with(key, value));
            let at = Timestamp::from_millisecond(milliseconds).unwrap();
            let said = line.said(at);
            prop_assert_eq!(said.lines().count(), 1);
            prop_assert_eq!(Line::heard(&said), Some((at, line)));
        }
    }

    #[test]
    fn what_others_write_into_the_log_is_no_line_of_crondag() {
        for text in
            ["", "thread 'main' panicked at error driver_ended", "2018-07-02T07:00:00.004Z error", "now error trouble"]
        {
            assert_eq!(Line::heard(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_never_breaks_and_plain_words_stay_bare() {
        let line =
            Line::new(RunEnded).at(Level::Error).with("dag", "画像").with("reason", "task \"a\"\nfailed").with("x", "");
        assert_eq!(line.to_string(), r#"error run_ended dag=画像 reason="task \"a\"\nfailed" x="""#);
        assert_eq!(Line::trouble("a=b", 7).to_string(), r#"warn trouble what="a=b" error=7"#);
    }
}
