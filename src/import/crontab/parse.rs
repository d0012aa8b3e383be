//! A crontab's lines, as Debian's cron (Vixie cron 3.0pl1: `env.c`, `entry.c`, `do_command.c`) reads them.

use crate::dag::schedule::Schedule;

/// One line with a meaning, and its number from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) number: usize,
    /// The line as it stands.
    pub(super) text: String,
    pub(super) kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Blank,
    /// The text behind the `#`.
    Comment(String),
    Variable {
        name: String,
        value: String,
    },
    /// A job; `rest` is all behind the schedule: the command, perhaps with a user before it.
    Job {
        when: When,
        rest: String,
        /// It stands behind a `#`.
        is_disabled: bool,
    },
    /// Neither; why reads after "this line is ".
    Unreadable(String),
}

/// When a job starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    /// Five fields, or a name such as `@daily`.
    Schedule(String),
    /// `@reboot`
    Reboot,
}

/// Reads all lines.
pub(super) fn lines(text: &str) -> Vec<Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut example_before = false;
    let mut lines = Vec::new();
    for (index, raw) in text.lines().enumerate() {
        let raw = raw.strip_suffix('\r').unwrap_or(raw);
        let kind = line(raw, example_before);
        example_before = match &kind {
            Kind::Comment(comment) => is_example(comment) || example_before && !comment.trim().is_empty(),
            _ => false,
        };
        lines.push(Line { number: index + 1, text: raw.to_owned(), kind });
    }
    lines
}

/// Prose that announces a sample job, such as the header that `crontab -e` writes.
fn is_example(comment: &str) -> bool {
    let comment = comment.to_lowercase();
    ["for example", "e.g.", "example of job", "example:"].iter().any(|sign| comment.contains(sign))
}

fn line(raw: &str, example_before: bool) -> Kind {
    let text = raw.trim_start_matches([' ', '\t']);
    if text.is_empty() {
        return Kind::Blank;
    }
    if let Some(comment) = text.strip_prefix('#') {
        return match disabled_job(comment, example_before) {
            Some(job) => job,
            None => Kind::Comment(comment.to_owned()),
        };
    }
    if let Some((name, value)) = variable(text) {
        return Kind::Variable { name, value };
    }
    match job(text) {
        Ok((when, rest)) => Kind::Job { when, rest, is_disabled: false },
        Err(reason) => Kind::Unreadable(reason),
    }
}

/// A commented job rather than prose: it is a job when the `#` is taken away, and its command looks like one.
fn disabled_job(comment: &str, example_before: bool) -> Option<Kind> {
    if example_before || is_example(comment) {
        return None;
    }
    let text = comment.trim_start_matches(['#', ' ', '\t']);
    // The legend of the fields (`m h dom mon dow command`) and rulers are not jobs: they are no schedule.
    let (when, rest) = job(text).ok()?;
    let touches = text.len() == comment.len();
    let words: Vec<&str> = rest.split_ascii_whitespace().take(2).collect();
    let is_command =
        |word: &str| word.contains('/') || matches!(word, "cd" | "bash" | "sh" | "python" | "python3" | "flock");
    (touches && !words.is_empty() || words.iter().any(|word| is_command(word))).then_some(Kind::Job {
        when,
        rest,
        is_disabled: true,
    })
}

/// `NAME = value`: blanks around the sign are left out, and so are quotes that embrace the whole value or the name.
fn variable(text: &str) -> Option<(String, String)> {
    let (name, rest) = match text.chars().next()? {
        quote @ ('"' | '\'') => {
            let (name, rest) = text[1..].split_once(quote)?;
            (name, rest)
        }
        _ => {
            let end = text.find(|c: char| c == '=' || c.is_ascii_whitespace())?;
            text.split_at(end)
        }
    };
    let value = rest.trim_start_matches([' ', '\t']).strip_prefix('=')?;
    let is_name =
        name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !name.starts_with(|c: char| c.is_ascii_digit());
    if name.is_empty() || !is_name {
        return None;
    }
    let value = value.trim_matches([' ', '\t']);
    let unquoted = ['"', '\'']
        .iter()
        .find_map(|&quote| value.strip_prefix(quote)?.strip_suffix(quote).filter(|inside| !inside.contains(quote)));
    Some((name.to_owned(), unquoted.unwrap_or(value).to_owned()))
}

/// The schedule and what stands behind it.
fn job(text: &str) -> Result<(When, String), String> {
    let (schedule, rest) = if text.starts_with('@') {
        let end = text.find([' ', '\t']).unwrap_or(text.len());
        text.split_at(end)
    } else {
        let mut at = 0;
        for _ in 0..5 {
            let field = text[at..].trim_start_matches([' ', '\t']);
            let start = text.len() - field.len();
            at = start + field.find([' ', '\t']).unwrap_or(field.len());
        }
        text.split_at(at)
    };
    let rest = rest.trim_start_matches([' ', '\t']);
    if schedule.eq_ignore_ascii_case("@reboot") {
        return if rest.is_empty() {
            Err("a time without a command".to_owned())
        } else {
            Ok((When::Reboot, rest.to_owned()))
        };
    }
    let spaced: Vec<&str> = schedule.split_ascii_whitespace().collect();
    let schedule = spaced.join(" ");
    if let Err(fault) = Schedule::parse(&schedule) {
        return Err(format!("no job: {}", fault.message));
    }
    if rest.is_empty() {
        return Err("a time without a command".to_owned());
    }
    Ok((When::Schedule(schedule), rest.to_owned()))
}

/// A command as cron hands it to the shell, and what it writes to its input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Command {
    pub(super) script: String,
    /// What stands behind the first bare `%`; each further one is a newline.
    pub(super) input: Option<String>,
}

/// Takes `%`, `\%` and `\\` as cron takes them: in the command a backslash before either goes; in the input only one before `%`.
pub(super) fn command(text: &str) -> Command {
    let mut script = String::new();
    let mut input: Option<String> = None;
    let mut characters = text.chars();
    while let Some(c) = characters.next() {
        let is_input = input.is_some();
        let into = input.as_mut().unwrap_or(&mut script);
        match (c, is_input) {
            ('\\', _) => match characters.next() {
                Some('%') => into.push('%'),
                Some('\\') if !is_input => into.push('\\'),
                escaped => {
                    into.push('\\');
                    into.extend(escaped);
                }
            },
            ('%', true) => into.push('\n'),
            ('%', false) => input = Some(String::new()),
            (c, _) => into.push(c),
        }
    }
    if let Some(input) = input.as_mut()
        && !input.ends_with('\n')
    {
        input.push('\n');
    }
    Command { script: script.trim_end_matches([' ', '\t']).to_owned(), input }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_signs_are_read_as_debian_cron_reads_them() {
        // Seen with Debian's cron 3.0pl1: what the shell got, and what it read.
        let read = command(r"echo 'a\\b\%c\d'; cat%in1\%x%in2\\y");
        assert_eq!(read.script, r"echo 'a\b%c\d'; cat");
        assert_eq!(read.input.as_deref(), Some("in1%x\nin2\\\\y\n"));
        assert_eq!(command("date +\\%F"), Command { script: "date +%F".to_owned(), input: None });
    }

    #[test]
    fn variables_lose_their_quotes_and_expand_nothing() {
        for (text, name, value) in [
            ("X=\"a b\"  ", "X", "a b"),
            ("Y = 'q'", "Y", "q"),
            ("P=$HOME/bin:$PATH", "P", "$HOME/bin:$PATH"),
            ("MAILTO=\"\"", "MAILTO", ""),
            ("'Z' = a b", "Z", "a b"),
        ] {
            assert_eq!(variable(text), Some((name.to_owned(), value.to_owned())), "{text}");
        }
        for text in ["* * * * * X=1 cmd", "0 1 * * * a=b", "X", "=1", "@daily A=1 b"] {
            assert_eq!(variable(text), None, "{text}");
        }
    }

    #[test]
    fn a_disabled_job_is_no_prose() {
        let disabled: Vec<bool> = lines(
            "# m h  dom mon dow   command\n#0 2 * * * old.sh\n# 0 3 * * * /opt/older.sh\n# 0 5 daily we load\n\n\
             # For example, you can run a backup of all your user accounts\n# at 5 a.m every week with:\n\
             # 0 5 * * 1 tar -zcf /var/backups/home.tgz /home/\n\n# 0 5 * * 1 e.g. tar\n\n##*/5 * * * * /opt/x.sh\n",
        )
        .into_iter()
        .map(|line| matches!(line.kind, Kind::Job { is_disabled: true, .. }))
        .collect();
        assert_eq!(disabled, [false, true, true, false, false, false, false, false, false, false, false, true]);
    }
}
