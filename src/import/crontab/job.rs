//! One job of a crontab, taken apart: what crondag does itself (where it runs, its log, its overlap, its delay) is taken out of the
//! command, and everything else stays as it stands, character for character.

use std::collections::BTreeMap;
use std::path::Path;

use super::parse::Command;
use super::shell::{self, Joint, Operator, Part};
use crate::import::{Note, Weight};

/// What one task will do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Job {
    pub(super) line: usize,
    pub(super) script: String,
    pub(super) input: Option<String>,
    pub(super) working_dir: Option<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) overlap: Option<Overlap>,
    /// The longest random delay before it, in seconds.
    pub(super) jitter: Option<u64>,
    /// The file that got its output.
    pub(super) log: Option<String>,
    pub(super) notes: Vec<Note>,
}

/// What happens when it still runs at the next fire time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overlap {
    /// `flock -n`
    Skip,
    /// `flock`
    Wait,
}

impl Job {
    /// Takes a command apart. `home` is the folder in which cron would start it; `is_shared` says whether other jobs lock the same file.
    pub(super) fn new(line: usize, command: Command, home: Option<&str>, is_shared: impl Fn(&str) -> bool) -> Job {
        let mut job = Job {
            line,
            script: command.script,
            input: command.input,
            working_dir: home.map(str::to_owned),
            env: BTreeMap::new(),
            overlap: None,
            jitter: None,
            log: None,
            notes: Vec::new(),
        };
        // What is fed to the command must go to the command, so its frame stays.
        if job.input.is_none() {
            while job.take_prefix(home) {}
            job.take_redirections();
            while job.take_wrapper(&is_shared) || job.take_variables() {}
            // A lock around a command with a folder and redirections of its own.
            while job.take_prefix(home) {}
            job.take_redirections();
        }
        job.say_what_stays();
        job
    }

    fn note(&mut self, weight: Weight, text: impl Into<String>) {
        self.notes.push(Note { line: self.line, weight, text: text.into() });
    }

    /// `cd X &&` and a random delay at the beginning.
    fn take_prefix(&mut self, home: Option<&str>) -> bool {
        let Some(parts) = shell::parts(&self.script) else { return false };
        let [first, second, ..] = &parts[..] else { return false };
        if !matches!(first.joint, Some(Joint::And | Joint::Then)) || !first.redirections.is_empty() {
            return false;
        }
        if let Some(seconds) = random_delay(first, &self.script) {
            self.jitter = Some(seconds);
            self.script.replace_range(..second.at.start, "");
            self.note(Weight::Changed, "the random delay is the DAG's `jitter`: the same for it on every day");
            return true;
        }
        let words: Vec<Option<&str>> = first.words.iter().map(|word| word.literal.as_deref()).collect();
        let folder = match (&words[..], &first.words[..]) {
            ([Some("cd"), Some(folder)], _) => (*folder).to_owned(),
            // The shell would put the home here, and so can we.
            ([Some("cd"), None], [_, word]) => match (self.script[word.at.clone()].strip_prefix('~'), home) {
                (Some(rest), Some(home)) if rest.is_empty() || is_plain_path(rest) => format!("{home}{rest}"),
                _ => return false,
            },
            _ => return false,
        };
        let folder = match (Path::new(&folder).is_absolute(), self.working_dir.as_deref()) {
            (true, _) => folder,
            (false, Some(before)) if !folder.is_empty() && folder != "-" => format!("{before}/{folder}"),
            _ => return false,
        };
        self.script.replace_range(..second.at.start, "");
        self.working_dir = Some(folder);
        true
    }

    /// Output that went to a log file, or nowhere, goes to the attempt's log.
    fn take_redirections(&mut self) {
        let Some(parts) = shell::parts(&self.script) else { return };
        let mut taken: Vec<std::ops::Range<usize>> = Vec::new();
        let mut files: Vec<String> = Vec::new();
        for part in &parts {
            if part.joint == Some(Joint::Pipe) || part.redirections.iter().any(|r| r.operator == Operator::Other) {
                continue;
            }
            let name = |at: &std::ops::Range<usize>| self.script[at.clone()].trim_matches(['"', '\'']).to_owned();
            let has_both = part
                .redirections
                .iter()
                .any(|r| matches!(r.operator, Operator::ErrorsToOutput | Operator::Both { .. }));
            let output: Option<String> = part.redirections.iter().rev().find_map(|r| match r.operator {
                Operator::Output { .. } | Operator::Both { .. } => Some(name(&r.target.at)),
                _ => None,
            });
            // Data that the job makes stays where it was made.
            let keeps_output = output.as_deref().is_some_and(|file| !is_log(file));
            if keeps_output && has_both {
                continue;
            }
            for redirection in &part.redirections {
                let goes = match redirection.operator {
                    Operator::Output { .. } => !keeps_output,
                    Operator::Errors { .. } => is_log(&name(&redirection.target.at)),
                    Operator::ErrorsToOutput | Operator::Both { .. } => true,
                    Operator::Other => false,
                };
                if goes {
                    taken.push(redirection.at.clone());
                    if redirection.operator != Operator::ErrorsToOutput {
                        files.push(name(&redirection.target.at));
                    }
                }
            }
        }
        for at in taken.into_iter().rev() {
            let start = self.script[..at.start].trim_end_matches([' ', '\t']).len();
            self.script.replace_range(start..at.end, "");
        }
        self.script = self.script.trim().to_owned();
        files.retain(|file| file != "/dev/null");
        files.dedup();
        for file in files {
            self.note(
                Weight::Changed,
                format!("its output went to {file}; now `crondag logs` shows it, one log an attempt"),
            );
            self.log = Some(file);
        }
    }

    /// `flock`, `chronic` before the only command.
    fn take_wrapper(&mut self, is_shared: &impl Fn(&str) -> bool) -> bool {
        let Some(parts) = shell::parts(&self.script) else { return false };
        let [only] = &parts[..] else { return false };
        let words: Vec<Option<&str>> = only.words.iter().map(|word| word.literal.as_deref()).collect();
        match words.first().copied().flatten().map(program) {
            Some("chronic") if only.words.len() > 1 => {
                self.script.replace_range(..only.words[1].at.start, "");
                self.note(
                    Weight::Changed,
                    "`chronic` is not needed: mail comes only for a failure, and the log is always kept",
                );
                true
            }
            Some("flock") => self.take_lock(only, &words, is_shared),
            _ => false,
        }
    }

    fn take_lock(&mut self, only: &Part, words: &[Option<&str>], is_shared: &impl Fn(&str) -> bool) -> bool {
        let mut overlap = Overlap::Wait;
        let mut at = 1;
        while let Some(Some(option)) = words.get(at) {
            match *option {
                "-n" | "--nb" | "--nonblock" | "-xn" | "-nx" => overlap = Overlap::Skip,
                "-x" | "-e" | "--exclusive" | "-F" | "--no-fork" | "-o" | "--close" => {}
                // Another exit code, a longest wait, a shared lock, a descriptor: not what `overlap` says.
                option if option.starts_with('-') => return false,
                _ => break,
            }
            at += 1;
        }
        let Some(Some(file)) = words.get(at) else { return false };
        let file = (*file).to_owned();
        if is_shared(&file) {
            self.note(
                Weight::Proposed,
                format!("several jobs lock {file}: the lock stays; a pool of one slot (`[pools]`, `pool`) would show who waits for whom"),
            );
            return false;
        }
        let inner = match words.get(at + 1) {
            Some(Some("-c" | "--command")) if words.len() == at + 3 => match words[at + 2] {
                Some(script) => script.to_owned(),
                None => return false,
            },
            Some(_) => self.script[only.words[at + 1].at.start..].to_owned(),
            None => return false,
        };
        self.script = inner;
        self.overlap = Some(overlap);
        let how = match overlap {
            Overlap::Skip => "skip",
            Overlap::Wait => "wait",
        };
        self.note(Weight::Changed, format!("the lock on {file} is the DAG's `overlap = \"{how}\"`"));
        true
    }

    /// `VAR=x command` and `env VAR=x command`.
    fn take_variables(&mut self) -> bool {
        let Some(parts) = shell::parts(&self.script) else { return false };
        let [only] = &parts[..] else { return false };
        let mut from = 0;
        if only.words.first().and_then(|word| word.literal.as_deref()).map(program) == Some("env") {
            from = 1;
        }
        let mut set = BTreeMap::new();
        let mut at = from;
        while let Some((name, value)) =
            only.words.get(at).and_then(|word| word.literal.as_deref()).and_then(|word| word.split_once('='))
        {
            if !is_variable(name) || name.starts_with("CRONDAG_") {
                return false;
            }
            set.insert(name.to_owned(), value.to_owned());
            at += 1;
        }
        // `env -i`, a lone assignment, nothing to set.
        let Some(command) = only.words.get(at) else { return false };
        if set.is_empty() || self.script[command.at.clone()].starts_with('-') {
            return false;
        }
        self.script.replace_range(..command.at.start, "");
        self.env.extend(set);
        true
    }

    /// What is worth knowing of what was left in the command.
    fn say_what_stays(&mut self) {
        if self.input.is_some() {
            self.note(
                Weight::Changed,
                "a bare `%` ends the command for cron, and what is behind it is the command's input; so it is here",
            );
        }
        if let Some(parts) = shell::parts(&self.script) {
            let last =
                parts.last().and_then(|part| part.words.first()).and_then(|word| word.literal.as_deref()).map(program);
            let is_piped = parts.iter().any(|part| part.joint == Some(Joint::Pipe));
            if is_piped && matches!(last, Some("logger" | "tee")) {
                let last = last.unwrap_or_default();
                self.note(
                    Weight::Proposed,
                    format!("behind `| {last}` a failure of the command is not seen; without it the attempt's log has the output"),
                );
            }
            for part in &parts {
                let words: Vec<&str> = part.words.iter().filter_map(|word| word.literal.as_deref()).collect();
                let Some(url) = words.iter().find(|word| is_health_check(word)) else { continue };
                if matches!(words.first().copied().map(program), Some("curl" | "wget")) {
                    let url = (*url).to_owned();
                    self.note(
                        Weight::Proposed,
                        format!("the ping to {url} stays in the command, and is sent as before"),
                    );
                }
            }
        }
        if self.script.contains("sudo ") || self.script.starts_with("su ") {
            self.note(Weight::Proposed, "`run_as` on the task runs it as another user, and ends it as that user too");
        }
        for (found, template) in yesterdays(&self.script) {
            self.note(
                Weight::Proposed,
                format!("`{found}` is the day before the start; of a daily DAG that is {template}, for backfills and repeats too"),
            );
        }
    }
}

/// The last part of a program's path.
pub(super) fn program(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_plain_path(text: &str) -> bool {
    text.starts_with('/') && text.chars().all(|c| c.is_alphanumeric() || "/._-+@,:=".contains(c))
}

/// A file that people read, rather than one that another job reads.
fn is_log(file: &str) -> bool {
    let lower = file.to_lowercase();
    file == "/dev/null" || lower.contains("log") || [".out", ".err"].iter().any(|end| lower.ends_with(end))
}

fn is_health_check(word: &str) -> bool {
    ["hc-ping.com", "healthchecks", "cronitor", "deadmanssnitch", "nosnch.in", "heartbeat", "/ping/"]
        .iter()
        .any(|sign| word.contains(sign))
}

/// `sleep $((RANDOM % 600))` and its like: the longest delay in seconds.
fn random_delay(part: &Part, script: &str) -> Option<u64> {
    let text = &script[part.at.clone()];
    let name = part.words.first()?.literal.as_deref()?;
    let digits_behind = |sign: &str| -> Option<u64> {
        let behind = text[text.rfind(sign)? + sign.len()..].trim_start_matches([' ', '(']);
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok().filter(|seconds| *seconds > 0)
    };
    match program(name) {
        "sleep" if part.words.len() == 2 && text.contains("RANDOM") && !text.contains('m') => digits_behind("%"),
        "perl" if text.contains("sleep") => digits_behind("rand"),
        _ => None,
    }
}

/// The places where a command works out yesterday, each with the template that says the same.
fn yesterdays(script: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (open, close) in [("$(", ")"), ("`", "`")] {
        let mut rest = script;
        while let Some(start) = rest.find(open) {
            let inside_on = &rest[start + open.len()..];
            let Some(end) = inside_on.find(close) else { break };
            let inside = inside_on[..end].trim();
            let is_date = inside.split_ascii_whitespace().next().map(program) == Some("date");
            let is_yesterday = ["yesterday", "-1 day", "-1day", "1 day ago", "1 days ago", "-v-1d"]
                .iter()
                .any(|sign| inside.contains(sign));
            if is_date && is_yesterday {
                let format = inside.split_once('+').map(|(_, format)| format.trim_matches(['"', '\'', ' ']));
                let format = format.map(|format| format.split(['"', '\'']).next().unwrap_or(format));
                let template = match format {
                    Some("%Y%m%d") => "`{{ ds_nodash }}`".to_owned(),
                    Some("%Y-%m-%d" | "%F") => "`{{ ds }}`".to_owned(),
                    Some(other) => format!("`{{{{ macros.ds_format(ds, \"%Y-%m-%d\", \"{other}\") }}}}`"),
                    None => "`{{ ds }}`".to_owned(),
                };
                found.push((rest[start..start + open.len() + end + close.len()].to_owned(), template));
            }
            rest = &inside_on[end + close.len()..];
        }
    }
    found
}
