//! From a crontab to DAG files: one DAG a job, or one for jobs that are staggered because each waits for the one before.

mod columns;
mod entry;
mod job;
mod parse;
mod shell;
mod write;

use std::collections::{BTreeMap, BTreeSet};

use super::{ImportedDag, Note, Weight};
use columns::Columns;
use entry::Entry;
use job::Job;
use parse::{Kind, Line, When};

/// What the import is told of the machine and of the wishes of whoever asks.
pub struct Surroundings<'a> {
    /// Whose crontab it is; jobs of a system crontab name their users themselves.
    pub user: &'a str,
    /// The home folder of a user, if there is such a user.
    pub home_of: &'a dyn Fn(&str) -> Option<String>,
    /// Whether a program of this name is on the PATH.
    pub is_program: &'a dyn Fn(&str) -> bool,
    /// Make one DAG of jobs that look like a chain.
    pub chain: bool,
    /// Ids that are taken.
    pub taken: BTreeSet<String>,
}

/// What became of a crontab.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Import {
    /// The DAG files, in the order of the crontab.
    pub dags: Vec<ImportedDag>,
    /// What to know, by line.
    pub notes: Vec<Note>,
}

/// Reads a crontab.
pub fn import(text: &str, around: &Surroundings<'_>) -> Import {
    let lines = parse::lines(text);
    let columns = judge(&lines, around);
    let locks = locks(&lines);
    let mut import = Import::default();
    let mut entries: Vec<Entry> = Vec::new();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    let mut comments: Vec<String> = Vec::new();
    for line in &lines {
        match &line.kind {
            Kind::Blank => comments.clear(),
            Kind::Comment(comment) => comments.push(comment.trim().to_owned()),
            Kind::Unreadable(reason) => {
                import.notes.push(lost(line.number, format!("this line is {reason}; cron does not run it either")));
                comments.clear();
            }
            Kind::Variable { name, value } => {
                import.notes.extend(of_variable(line.number, name, value));
                variables.insert(name.clone(), value.clone());
                comments.clear();
            }
            Kind::Job { when, rest, is_disabled } => {
                let entry = entry(
                    line,
                    when,
                    rest,
                    *is_disabled,
                    columns,
                    &variables,
                    std::mem::take(&mut comments),
                    &locks,
                    around,
                );
                match entry {
                    Ok(entry) => entries.push(entry),
                    Err(note) => import.notes.push(note),
                }
            }
        }
    }
    let mut taken = around.taken.clone();
    for group in chains(entries, around.chain, &mut import.notes) {
        let dag = write::dag(&group, &mut taken);
        for entry in group {
            import.notes.extend(entry.job.notes);
        }
        import.dags.push(dag);
    }
    import.notes.sort_by_key(|note| note.line);
    import
}

fn lost(line: usize, text: String) -> Note {
    Note { line, weight: Weight::Lost, text }
}

fn judge(lines: &[Line], around: &Surroundings<'_>) -> Columns {
    let jobs = |disabled: bool| {
        lines.iter().filter_map(move |line| match &line.kind {
            Kind::Job { rest, is_disabled, .. } if *is_disabled == disabled => Some(rest.as_str()),
            _ => None,
        })
    };
    let legend = lines.iter().find_map(|line| match &line.kind {
        Kind::Comment(comment) if comment.contains("dom") && comment.contains("dow") => Some(comment.as_str()),
        _ => None,
    });
    let is_user = |name: &str| (around.home_of)(name).is_some();
    // Jobs that are switched off speak only where no others do.
    let speaking: Vec<&str> = if jobs(false).next().is_some() { jobs(false).collect() } else { jobs(true).collect() };
    columns::judge(speaking.into_iter(), legend, is_user, around.is_program)
}

/// How many jobs lock a file.
fn locks(lines: &[Line]) -> BTreeMap<String, usize> {
    let mut locks = BTreeMap::new();
    for line in lines {
        let Kind::Job { rest, .. } = &line.kind else { continue };
        let mut words = rest.split_ascii_whitespace().skip_while(|word| job::program(word) != "flock").skip(1);
        if let Some(file) = words.find(|word| !word.starts_with('-')) {
            *locks.entry(file.trim_matches(['"', '\'']).to_owned()).or_default() += 1;
        }
    }
    locks
}

fn of_variable(line: usize, name: &str, value: &str) -> Option<Note> {
    let changed = |text: String| Some(Note { line, weight: Weight::Changed, text });
    match name {
        "CRON_TZ" => {
            changed("CRON_TZ is the DAG's `timezone` (Debian's cron does not know it, cronie does)".to_owned())
        }
        "TZ" => changed("TZ is the zone of the commands, as before; it says nothing of when they start".to_owned()),
        "MAILTO" if !value.is_empty() => changed(
            "MAILTO is the tasks' `email`: mail comes when one fails, by [email] of crondag.toml, not for each output"
                .to_owned(),
        ),
        "START_HOURS_RANGE" | "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING" => {
            Some(lost(line, format!("{name} has no meaning here")))
        }
        _ if value.contains('$') => changed(format!(
            "cron does not expand `{value}`, and neither does crondag: {name} has these very characters"
        )),
        _ => None,
    }
}

#[allow(clippy::too_many_arguments)] // a line and what stands above it
fn entry(
    line: &Line,
    when: &When,
    rest: &str,
    is_disabled: bool,
    columns: Columns,
    variables: &BTreeMap<String, String>,
    comments: Vec<String>,
    locks: &BTreeMap<String, usize>,
    around: &Surroundings<'_>,
) -> Result<Entry, Note> {
    let (user, command) = match columns {
        Columns::Command => (None, rest),
        Columns::UserAndCommand => match rest.split_once([' ', '\t']) {
            Some((user, command)) => (Some(user.to_owned()), command.trim_start_matches([' ', '\t'])),
            None => return Err(lost(line.number, "this line is no job: it has a user and no command".to_owned())),
        },
    };
    let home = variables.get("HOME").cloned().or_else(|| (around.home_of)(user.as_deref().unwrap_or(around.user)));
    let mut job = Job::new(line.number, parse::command(command), home.as_deref(), |file| {
        locks.get(file).is_some_and(|count| *count > 1)
    });
    let mut env: BTreeMap<String, String> = variables
        .iter()
        .filter(|(name, _)| {
            !matches!(
                name.as_str(),
                "MAILTO"
                    | "MAILFROM"
                    | "CRON_TZ"
                    | "SHELL"
                    | "LOGNAME"
                    | "USER"
                    | "RANDOM_DELAY"
                    | "START_HOURS_RANGE"
                    | "CONTENT_TYPE"
                    | "CONTENT_TRANSFER_ENCODING"
            )
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    env.append(&mut job.env);
    job.env = env;
    // Debian's cron hands SHELL on as it runs it.
    let shell = variables.get("SHELL").filter(|shell| !matches!(job::program(shell), "bash" | "sh" | "dash")).cloned();
    if let Some(shell) = &shell {
        job.notes.push(Note {
            line: line.number,
            weight: Weight::Changed,
            text: format!("the command is handed to {shell}, as cron did"),
        });
    }
    if job.jitter.is_none()
        && let Some(minutes) =
            variables.get("RANDOM_DELAY").and_then(|text| text.trim().parse::<u64>().ok()).filter(|m| *m > 0)
    {
        job.jitter = Some(minutes * 60);
    }
    let email = variables.get("MAILTO").map(String::as_str).unwrap_or_default();
    let email = email.split([',', ' ']).filter(|address| address.contains('@')).map(str::to_owned).collect();
    if *when == When::Reboot {
        let text =
            "no schedule starts a DAG at boot: keep the line, with `crondag --home HOME trigger ID` as its command";
        job.notes.push(lost(line.number, text.to_owned()));
    }
    let comments: Vec<String> = comments.into_iter().filter(|comment| says_something(comment)).collect();
    Ok(Entry {
        name: write::name(&job.script),
        source: line.text.trim().to_owned(),
        when: when.clone(),
        user: user.filter(|user| user != around.user),
        description: (!comments.is_empty()).then(|| comments.join(" ")),
        timezone: variables.get("CRON_TZ").cloned(),
        email,
        shell,
        is_disabled,
        job,
    })
}

/// Neither a ruler nor the legend of the fields.
fn says_something(comment: &str) -> bool {
    let is_legend = comment.contains("dom") && comment.contains("dow")
        || comment.starts_with(['.', '|', '*', '+', '-', '='])
        || comment.contains("----")
        || comment.to_lowercase().contains("job definition");
    comment.chars().any(char::is_alphabetic) && !is_legend
}

/// The longest pause between two jobs that look like a chain, in minutes.
const LONGEST_STAGGER: u32 = 120;

/// Groups jobs that look as if each waited for the one before: neighbours with the same days, at one fixed time each, later and later.
fn chains(entries: Vec<Entry>, join: bool, notes: &mut Vec<Note>) -> Vec<Vec<Entry>> {
    let mut groups: Vec<Vec<Entry>> = Vec::new();
    for entry in entries {
        match groups.last_mut() {
            Some(group) if group.last().is_some_and(|before| follows(before, &entry)) => group.push(entry),
            _ => groups.push(vec![entry]),
        }
    }
    for group in groups.iter().filter(|group| group.len() > 1) {
        let lines: Vec<String> = group.iter().map(|entry| entry.job.line.to_string()).collect();
        let line = group[0].job.line;
        let lines = lines.join(", ");
        notes.push(if join {
            let text = format!("lines {lines} are one DAG: each waits for the one before, not for the clock");
            Note { line, weight: Weight::Changed, text }
        } else {
            let text = format!("lines {lines} are staggered as a chain is; with --chain they become one DAG");
            Note { line, weight: Weight::Proposed, text }
        });
    }
    if join { groups } else { groups.into_iter().flatten().map(|entry| vec![entry]).collect() }
}

fn follows(before: &Entry, after: &Entry) -> bool {
    let (Some((first, days)), Some((second, same))) = (fixed_time(&before.when), fixed_time(&after.when)) else {
        return false;
    };
    days == same
        && second > first
        && second - first <= LONGEST_STAGGER
        && before.user == after.user
        && before.timezone == after.timezone
        && !before.is_disabled
        && !after.is_disabled
        && before.job.overlap.is_none()
        && after.job.overlap.is_none()
}

/// The minute of the day of a job that starts once on its days, and its three fields of days.
fn fixed_time(when: &When) -> Option<(u32, String)> {
    let When::Schedule(schedule) = when else { return None };
    let fields: Vec<&str> = schedule.split(' ').collect();
    let [minute, hour, days @ ..] = &fields[..] else { return None };
    Some((hour.parse::<u32>().ok()? * 60 + minute.parse::<u32>().ok()?, days.join(" ")))
}
