//! The text of a DAG file, as a person would write it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::entry::Entry;
use super::job::{Overlap, program};
use super::parse::When;
use super::shell;
use crate::import::ImportedDag;
use crate::import::toml_text::{text, verbatim};

/// The DAG of jobs that follow one another, of one job mostly.
pub(super) fn dag(entries: &[Entry], taken: &mut BTreeSet<String>) -> ImportedDag {
    let Some(first) = entries.first() else {
        return ImportedDag { dag_id: String::new(), line: 0, text: String::new(), is_paused: false };
    };
    let dag_id = free(&first.name, taken);
    let mut out = String::new();
    for entry in entries {
        line(&mut out, &format!("# crontab, line {}: {}", entry.job.line, printable(&entry.source)));
    }
    let settings = settings(first, entries);
    let width = settings.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in &settings {
        line(&mut out, &format!("{key:width$} = {value}"));
    }
    let shared = shared_env(entries);
    if !shared.is_empty() {
        line(&mut out, "\n[env]");
        variables(&mut out, &shared);
    }
    let mut ids = BTreeSet::new();
    let mut before: Option<String> = None;
    for entry in entries {
        let id = free(&entry.name, &mut ids);
        line(&mut out, &format!("\n[tasks.{}]", key(&id)));
        task(&mut out, entry, entries.len() > 1, before.as_deref());
        let own: BTreeMap<&String, &String> =
            entry.job.env.iter().filter(|(name, _)| !shared.contains_key(name)).collect();
        if !own.is_empty() {
            line(&mut out, &format!("[tasks.{}.env]", key(&id)));
            variables(&mut out, &own);
        }
        before = Some(id);
    }
    ImportedDag { dag_id, line: first.job.line, text: out, is_paused: entries.iter().all(|entry| entry.is_disabled) }
}

fn settings(first: &Entry, entries: &[Entry]) -> Vec<(&'static str, String)> {
    let mut settings = Vec::new();
    if let ([_], Some(description)) = (entries, &first.description) {
        settings.push(("description", text(description)));
    }
    match &first.when {
        When::Schedule(schedule) => settings.push(("schedule", text(schedule))),
        // A boot closes no data interval.
        When::Reboot => {}
    }
    if let Some(zone) = &first.timezone {
        settings.push(("timezone", text(zone)));
    }
    match first.job.overlap {
        Some(Overlap::Skip) => settings.push(("overlap", text("skip"))),
        Some(Overlap::Wait) => settings.push(("overlap", text("wait"))),
        None => {}
    }
    if let Some(seconds) = first.job.jitter {
        let jitter = if seconds.is_multiple_of(60) { format!("{}m", seconds / 60) } else { format!("{seconds}s") };
        settings.push(("jitter", text(&jitter)));
    }
    settings
}

/// What all jobs have in their environment.
fn shared_env(entries: &[Entry]) -> BTreeMap<&String, &String> {
    let Some(first) = entries.first() else { return BTreeMap::new() };
    let everywhere = |name: &String, value: &String| entries.iter().all(|entry| entry.job.env.get(name) == Some(value));
    first.job.env.iter().filter(|(name, value)| everywhere(name, value)).collect()
}

fn variables(out: &mut String, variables: &BTreeMap<&String, &String>) {
    let width = variables.keys().map(|name| name.len()).max().unwrap_or(0);
    for (name, value) in variables {
        line(out, &format!("{name:width$} = {}", text(&verbatim(value))));
    }
}

fn task(out: &mut String, entry: &Entry, is_chained: bool, before: Option<&str>) {
    let job = &entry.job;
    let mut settings: Vec<(&str, String)> = Vec::new();
    if is_chained && let Some(description) = &entry.description {
        settings.push(("description", text(description)));
    }
    if let Some(before) = before {
        settings.push(("after", text(before)));
    }
    settings.push(("shell", text(&verbatim(&script(entry)))));
    if let Some(folder) = &job.working_dir {
        settings.push(("working_dir", text(&verbatim(folder))));
    }
    if let Some(user) = &entry.user {
        settings.push(("run_as", text(user)));
    }
    if !entry.email.is_empty() {
        let addresses: Vec<String> = entry.email.iter().map(|address| text(address)).collect();
        settings.push(("email", format!("[{}]", addresses.join(", "))));
    }
    let width = settings.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in settings {
        line(out, &format!("{key:width$} = {value}"));
    }
}

/// The command for bash, with its input and its own shell where it had them.
fn script(entry: &Entry) -> String {
    let job = &entry.job;
    let script = match &entry.shell {
        Some(shell) => format!("exec {shell} -c {}", quoted(&job.script)),
        None => job.script.clone(),
    };
    match &job.input {
        Some(input) => {
            let mut mark = "INPUT".to_owned();
            while input.lines().any(|line| line == mark) {
                mark.push('_');
            }
            format!("{{ {script}\n}} << '{mark}'\n{input}{mark}")
        }
        None => script,
    }
}

fn quoted(script: &str) -> String {
    format!("'{}'", script.replace('\'', r"'\''"))
}

/// A task's id as a TOML key.
fn key(id: &str) -> String {
    if id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) { id.to_owned() } else { text(id) }
}

fn line(out: &mut String, line: &str) {
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{line}");
}

fn printable(source: &str) -> String {
    source.replace(|c: char| c.is_control() && c != '\t', "?")
}

/// The name, or the name with the first number that is free.
fn free(name: &str, taken: &mut BTreeSet<String>) -> String {
    let mut id = name.to_owned();
    let mut number = 2;
    while !taken.insert(id.clone()) {
        id = format!("{name}_{number}");
        number += 1;
    }
    id
}

/// Programs that start another one, whose name says more.
const STARTERS: [&str; 28] = [
    "bash",
    "sh",
    "zsh",
    "python",
    "python2",
    "python3",
    "perl",
    "php",
    "ruby",
    "node",
    "java",
    "env",
    "nice",
    "ionice",
    "nohup",
    "time",
    "timeout",
    "sudo",
    "su",
    "exec",
    "flock",
    "chronic",
    "setsid",
    "source",
    ".",
    "docker",
    "docker-compose",
    "spark-submit",
];

/// What a job is called: after the script or program that does the work.
pub(super) fn name(script: &str) -> String {
    let parts = shell::parts(script).unwrap_or_default();
    let mut words: Vec<String> = Vec::new();
    for part in &parts {
        let literal: Vec<String> = part
            .words
            .iter()
            .map(|word| word.literal.clone().unwrap_or_else(|| script[word.at.clone()].to_owned()))
            .collect();
        let is_frame = literal.first().is_some_and(|word| {
            matches!(
                program(word),
                "cd" | "test" | "[" | "sleep" | "export" | "." | "source" | "mkdir" | "umask" | "set" | "true" | "echo"
            )
        });
        if !is_frame && words.is_empty() {
            words = literal;
        }
    }
    if words.is_empty() {
        words = script.split_ascii_whitespace().map(str::to_owned).collect();
    }
    let is_worth = |word: &&String| {
        let name = program(word);
        !STARTERS.contains(&name)
            && !name.starts_with(['-', '$', '+'])
            && !name.contains('=')
            && std::path::Path::new(name).extension().is_none_or(|end| end != "lock")
            && name.chars().any(char::is_alphabetic)
            && !matches!(name, "exec" | "run" | "compose" | "up")
    };
    let word = words.iter().find(is_worth).or(words.first()).map(String::as_str).unwrap_or_default();
    let name = program(word);
    let stem = [".sh", ".py", ".pl", ".php", ".rb", ".js", ".jar", ".bash", ".sql", ".R"]
        .iter()
        .find_map(|end| name.strip_suffix(end))
        .unwrap_or(name);
    let clean: String =
        stem.chars().map(|c| if c.is_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' }).collect();
    let clean: String = clean.trim_matches(['_', '-', '.']).chars().take(60).collect();
    if clean.is_empty() { "job".to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn a_job_is_called_after_what_does_the_work() {
        for (script, expected) in [
            ("/opt/etl/load_orders.sh --full", "load_orders"),
            ("cd /srv && python3 -u jobs/tags.py", "tags"),
            ("nice -n 10 /usr/bin/php artisan.php schedule:run", "artisan"),
            ("test -x /usr/sbin/anacron || ( cd / && run-parts /etc/cron.daily )", "test"),
            ("curl -fsS https://example.org/a", "curl"),
            ("$HOME/bin/x", "x"),
            ("docker exec web python manage.py clearsessions", "web"),
            ("%%%", "job"),
        ] {
            assert_eq!(name(script), expected, "{script}");
        }
    }
}
