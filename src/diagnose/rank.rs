//! Which causes the evidence speaks for, the most probable first, and how sure that is.
//!
//! A match in the end of the log, or one that the exit status confirms, comes before what was printed earlier; a specific
//! cause before one that only wraps it; the later line before the earlier one. Only what stands without a rival is certain.

use std::cmp::Reverse;

use super::log::shown;
use super::{Catalogue, Confidence, Diagnosis, End, Evidence, Finding, Line, Log, Subject, history};
use crate::dag::{Cause, CauseClass};

/// Matching lines that are shown of one cause.
const SHOWN: usize = 3;
/// Causes that are shown.
const MOST: usize = 3;
/// Paths that are looked at.
const PATHS: usize = 20;

/// A cause with what speaks for it.
struct Candidate<'c> {
    cause: &'c Cause,
    /// Indices of the lines that match.
    lines: Vec<usize>,
    /// Whether one of them is in the end of the log.
    is_at_end: bool,
    /// Whether the exit status, signal or ending tells of it.
    is_of_end: bool,
}

impl Candidate<'_> {
    /// By how much it is more specific than another; an end without a line is worth less than any line.
    fn weight(&self) -> u8 {
        match (self.lines.is_empty(), self.is_of_end) {
            (true, _) if !self.cause.patterns.is_empty() => 0,
            (true, _) => self.cause.specificity,
            (false, true) => self.cause.specificity + 1,
            (false, false) => self.cause.specificity,
        }
    }

    fn is_strong(&self) -> bool {
        self.is_at_end || self.is_of_end
    }
}

impl Catalogue {
    /// The files that the log names as missing, for the caller to look at; relative ones as they are.
    pub fn missing_paths(&self, log: &Log) -> Vec<String> {
        let mut paths = Vec::new();
        let suspects: Vec<&Line> = log.lines().iter().filter(|line| self.may_match(&line.text)).collect();
        for pattern in self.causes().iter().flat_map(|cause| &cause.patterns) {
            if pattern.capture_names().flatten().all(|name| name != "path") {
                continue;
            }
            for line in &suspects {
                let found = pattern.captures(&line.text).and_then(|captures| captures.name("path"));
                if let Some(path) = found
                    && paths.len() < PATHS
                {
                    let path = path.as_str().trim_start_matches("file:").to_owned();
                    if !paths.contains(&path) {
                        paths.push(path);
                    }
                }
            }
        }
        paths
    }

    /// The most probable causes of a failure.
    pub fn diagnose(&self, evidence: &Evidence) -> Diagnosis {
        let candidates = self.candidates(evidence);
        let mut findings: Vec<Finding> = candidates
            .iter()
            .enumerate()
            .map(|(rank, candidate)| {
                let confidence = confidence(candidate, candidates.get(rank + 1), rank, &evidence.end);
                finding(candidate, confidence, evidence)
            })
            .collect();
        let is_certain = findings.first().is_some_and(|first| first.confidence == Confidence::Certain);
        let waits = candidates.first().is_none_or(|first| first.cause.is_of_upstream);
        // A sure cause that no upstream can have is the cause, whatever else was late or unusual.
        let place = if is_certain && !waits { findings.len() } else { 0 };
        let others = late(evidence, waits).into_iter().chain(history::findings(&evidence.history, &evidence.subject));
        findings.splice(place..place, others);
        findings.truncate(MOST);
        let is_certain = findings.first().is_some_and(|first| first.confidence == Confidence::Certain);
        let Subject { dag, task, run, again, .. } = &evidence.subject;
        Diagnosis {
            error_lines: if is_certain { Vec::new() } else { evidence.log.error_lines() },
            // Of a check one clears what it found wrong.
            command: if again.is_empty() {
                format!("crondag logs {dag} {task} {run}")
            } else {
                evidence.subject.clear_from(again)
            },
            repair: evidence.subject.clear_from(again),
            findings,
            gaps: evidence.gaps.clone(),
        }
    }

    fn candidates(&self, evidence: &Evidence) -> Vec<Candidate<'_>> {
        let log = &evidence.log;
        let end = log.end();
        let suspects: Vec<usize> = (0..log.lines().len()).filter(|&at| self.may_match(&log.lines()[at].text)).collect();
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        for cause in self.causes().iter().filter(|cause| cause.is_of(evidence.action)) {
            let matches = |text: &str| cause.patterns.iter().any(|pattern| pattern.is_match(text));
            let lines: Vec<usize> = suspects.iter().copied().filter(|&at| matches(&log.lines()[at].text)).collect();
            let is_of_end = match &evidence.end {
                End::Exited(code) => cause.exit_codes.contains(code),
                End::Signaled(signal) => cause.signals.contains(signal),
                End::Other(ending) => cause.ending == Some(*ending),
                End::NotStarted(reason) => matches(reason),
                End::Unknown => false,
            };
            if lines.is_empty() && !is_of_end {
                continue;
            }
            let is_at_end = lines.last().is_some_and(|&last| last >= end);
            candidates.push(Candidate { cause, lines, is_at_end, is_of_end });
        }
        candidates.sort_by_key(|candidate| {
            Reverse((candidate.is_strong(), candidate.weight(), candidate.lines.last().copied()))
        });
        candidates
    }
}

fn confidence(candidate: &Candidate<'_>, next: Option<&Candidate<'_>>, rank: usize, end: &End) -> Confidence {
    let is_killed = matches!(end, End::Signaled(_)) || matches!(end, End::Exited(code) if *code > 128);
    let has_rival = next.is_some_and(|next| next.is_at_end && next.weight() >= candidate.weight());
    let has_proof = !candidate.lines.is_empty() || matches!(end, End::Other(_) | End::NotStarted(_));
    // What printed an error and was killed all the same may have been killed for another reason.
    let is_explained = candidate.is_of_end || !is_killed;
    let is_certain =
        candidate.cause.is_certain && candidate.is_strong() && has_proof && is_explained && !has_rival && rank == 0;
    if is_certain { Confidence::Certain } else { Confidence::Likely }
}

fn finding(candidate: &Candidate<'_>, confidence: Confidence, evidence: &Evidence) -> Finding {
    let cause = candidate.cause;
    let lines = evidence.log.lines();
    let first = candidate.lines.len().saturating_sub(SHOWN);
    let mut told: Vec<String> = candidate.lines[first..].iter().map(|&at| shown(&lines[at])).collect();
    if candidate.is_of_end {
        told.push(match &evidence.end {
            End::Exited(code) => format!("exit status {code}"),
            End::Signaled(signal) => format!("killed by signal {signal}"),
            End::Other(ending) => ending.describe().to_owned(),
            End::NotStarted(reason) => format!("not started: {reason}"),
            End::Unknown => String::new(),
        });
    }
    Finding {
        id: cause.id.clone(),
        name: cause.name.clone(),
        class: cause.class,
        confidence,
        evidence: told,
        advice: advice(cause, evidence),
        command: filled(&cause.command, &evidence.subject),
    }
}

/// `raise executor_memory (now 8g) in [tasks.merge.spark]; ...`: where the option is for this task. A script has Spark's options on
/// the command line of its spark-submit.
fn advice(cause: &Cause, evidence: &Evidence) -> String {
    let subject = &evidence.subject;
    let of_action = match evidence.action {
        "spark" => &cause.spark_advice,
        "shell" => &cause.shell_advice,
        "sql" => &cause.sql_advice,
        _ => &None,
    };
    let (timeouts, options): (Vec<_>, Vec<_>) = cause.raise.iter().partition(|key| *key == "timeout");
    let named = |keys: &[&String]| {
        let now = |key: &String| subject.settings.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let words = keys.iter().map(|key| {
            let now = now(key).map_or("not set".to_owned(), |now| format!("now {now}"));
            format!("`{key}` ({now})")
        });
        words.collect::<Vec<_>>().join(" or ")
    };
    let raise = match (&subject.spark_table, timeouts.is_empty(), options.is_empty()) {
        (_, false, _) => Some(format!("raise {} in [tasks.{}]", named(&timeouts), subject.task)),
        (Some(table), true, false) => Some(format!("raise {} in {table}", named(&options))),
        (None, true, false) if evidence.action == "shell" && of_action.is_none() => {
            let options = options.iter().map(|key| format!("`--{}`", key.replace('_', "-"))).collect::<Vec<_>>();
            Some(format!("raise {} of its spark-submit", options.join(" or ")))
        }
        (_, true, true) | (None, true, false) => None,
    };
    let advice = match raise {
        Some(raise) => format!("{raise}; {}", cause.advice),
        // What follows on raising begins with "or".
        None => cause.advice.strip_prefix("or ").unwrap_or(&cause.advice).to_owned(),
    };
    [Some(advice), of_action.clone()].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn filled(command: &str, subject: &Subject) -> String {
    command.replace("{dag}", &subject.dag).replace("{task}", &subject.task).replace("{run}", &subject.run)
}

/// The upstream came late: a file that was missing was written after the start, or an upstream ended after it.
fn late(evidence: &Evidence, waits: bool) -> Option<Finding> {
    let started = evidence.started?;
    let mut told = Vec::new();
    let files = evidence.files.iter().filter(|file| file.modified > started);
    told.extend(files.map(|file| format!("{} was missing and was written at {}", file.path, file.modified)));
    let is_proved = !told.is_empty();
    for upstream in &evidence.upstreams {
        match upstream.ended {
            _ if upstream.is_unfinished => told.push(format!("{} has not ended", upstream.task)),
            Some(ended) if ended > started => told.push(format!("{} ended at {ended}", upstream.task)),
            _ => {}
        }
    }
    if told.is_empty() || !(waits || is_proved) {
        return None;
    }
    told.push(format!("{} started at {started}", evidence.subject.task));
    let Subject { dag, task, run, .. } = &evidence.subject;
    Some(Finding {
        id: "upstream-late".to_owned(),
        name: "the input came after the task had started".to_owned(),
        class: CauseClass::UpstreamLate,
        confidence: if is_proved && waits { Confidence::Certain } else { Confidence::Likely },
        evidence: told,
        advice: format!("run {task} again now; make it wait for its input with `after` or retries"),
        command: format!("crondag clear {dag} {run} --task {task}"),
    })
}
