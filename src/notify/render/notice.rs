//! Writes the mail: a subject that says it all, a plain text that stands on its own, the same as HTML.

use super::body::Body;
use super::evidence::Evidence;
use super::place::Place;
use super::report::render_report;
use super::subject::summary;
use super::warning::{CheckWarning, render_warning};
use crate::notify::line::one_line;
use crate::notify::mail::Mail;
use crate::notify::notice::{Notice, NoticeEvent};

/// Writes the mail of a notice. Pure.
pub fn render(notice: &Notice, evidence: &Evidence, place: &Place) -> Mail {
    match &notice.event {
        NoticeEvent::Rendered { mail } => mail.clone(),
        NoticeEvent::Report(report) => render_report(report, &notice.to, place),
        NoticeEvent::CheckWarned { dag_id, task_id, selector, ds, table } => {
            render_warning(&CheckWarning { dag_id, task_id, selector, ds, table }, &notice.to, place)
        }
        NoticeEvent::TaskFailed { .. }
        | NoticeEvent::TaskRetry { .. }
        | NoticeEvent::TaskSucceeded { .. }
        | NoticeEvent::RunFailed { .. }
        | NoticeEvent::Recovered { .. }
        | NoticeEvent::Trouble { .. }
        | NoticeEvent::TroubleOver { .. }
        | NoticeEvent::Digest { .. } => {
            let body = Body::of(&notice.event, evidence, place);
            Mail {
                to: recipients(notice, evidence),
                subject: one_line(&format!("[crondag] {}", summary(&notice.event, evidence))),
                text: body.text(),
                html: body.html(),
                pictures: Vec::new(),
            }
        }
    }
}

/// Of a digest: everybody who would have been told of what it lists.
fn recipients(notice: &Notice, evidence: &Evidence) -> Vec<String> {
    let mut to = notice.to.clone();
    for person in evidence.held_back.iter().flat_map(|(_, held)| &held.to) {
        if !to.contains(person) {
            to.push(person.clone());
        }
    }
    to
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::evidence::LogTail;
    use super::*;
    use crate::dag::CauseClass;
    use crate::dag::RunNumber;
    use crate::dag::RunType;
    use crate::diagnose::Diagnosis;
    use crate::diagnose::{Confidence, Finding};
    use crate::notify::notice::{RunFacts, Standing, TaskFacts};

    fn run() -> RunFacts {
        RunFacts {
            number: RunNumber(1),
            dag_id: "userprofile".to_owned(),
            run_type: RunType::Scheduled,
            run_id: "scheduled__2018-07-01T07:00:00+08:00".to_owned(),
            ds: "2018-07-01".to_owned(),
            data_interval: ("2018-07-01T07:00:00+08:00".to_owned(), "2018-07-02T07:00:00+08:00".to_owned()),
        }
    }

    fn task() -> TaskFacts {
        TaskFacts {
            task_id: "high_active_period".to_owned(),
            try_number: 2,
            max_tries: 2,
            reason: "exit status 1".to_owned(),
            started: "2018-07-02T07:00:12+08:00".to_owned(),
            milliseconds: 75_000,
            log_file: ".crondag/logs/userprofile/x/high_active_period.2.log".to_owned(),
            printed: None,
        }
    }

    fn blocks() -> Vec<String> {
        vec!["push_active".to_owned()]
    }

    fn failed(run: RunFacts, task: TaskFacts) -> NoticeEvent {
        NoticeEvent::TaskFailed {
            run,
            task,
            blocks: blocks(),
            runs_on: vec!["cleanup".to_owned()],
            standing: Standing::default(),
        }
    }

    fn evidence() -> Evidence {
        Evidence {
            log: LogTail::Lines(vec!["\u{1b}[31mTraceback\u{1b}[0m <b>".to_owned(), "ValueError: \u{7}x".to_owned()]),
            diagnosis: Some(Diagnosis { findings: vec![finding()], ..Diagnosis::default() }),
            ..Evidence::default()
        }
    }

    fn mail(event: NoticeEvent, evidence: &Evidence) -> Mail {
        let place = Place { home: PathBuf::from("/data/my etl"), host: "gateway1".to_owned() };
        render(&Notice::new(vec!["admin@example.com".to_owned()], event), evidence, &place)
    }

    fn finding() -> Finding {
        Finding {
            id: "bad-value".to_owned(),
            name: "a value of the input does not convert".to_owned(),
            class: CauseClass::UpstreamAbnormal,
            confidence: Confidence::Certain,
            evidence: vec!["line 12: ValueError: <n/a>".to_owned()],
            advice: "look for this value in the input of this date".to_owned(),
            command: "crondag clear userprofile 2018-07-01 --task high_active_period".to_owned(),
        }
    }

    /// Compares subject, text and HTML with the files in `snapshots/`; `SNAPSHOTS=overwrite` writes them.
    macro_rules! assert_mail {
        ($text:literal, $html:literal, $subject:literal, $event:expr, $evidence:expr) => {
            let mail = mail($event, &$evidence);
            assert_eq!(mail.subject, $subject);
            assert_eq!(mail.to, ["admin@example.com"]);
            snapbox::assert_data_eq!(mail.text, snapbox::file![$text].raw());
            snapbox::assert_data_eq!(mail.html, snapbox::file![$html].raw());
        };
    }

    #[test]
    fn a_failed_task() {
        assert_mail!(
            "snapshots/task_failed.txt",
            "snapshots/task_failed.html",
            "[crondag] userprofile high_active_period failed (ds 2018-07-01, try 2 of 2)",
            failed(run(), task()),
            evidence()
        );
    }

    #[test]
    fn a_task_that_will_be_tried_again() {
        let finding = Finding { confidence: Confidence::Likely, command: "dmesg -T".to_owned(), ..finding() };
        let other = Finding { name: "something else".to_owned(), ..finding.clone() };
        let diagnosis = Some(Diagnosis { findings: vec![finding, other], ..Diagnosis::default() });
        let reason = "killed by signal 9 (SIGKILL)".to_owned();
        let task = TaskFacts { try_number: 1, reason, ..task() };
        let next_try_at = "2018-07-02T07:10:00+08:00".to_owned();
        assert_mail!(
            "snapshots/task_retry.txt",
            "snapshots/task_retry.html",
            "[crondag] userprofile high_active_period failed, will retry (ds 2018-07-01, try 1 of 2)",
            NoticeEvent::TaskRetry { run: run(), task, blocks: blocks(), next_try_at },
            Evidence { diagnosis, ..evidence() }
        );
    }

    #[test]
    fn an_unknown_cause_shows_the_lines_that_look_like_errors() {
        let error_lines = vec!["line 7: ERROR: count 18 below 1000".to_owned()];
        let diagnosis = Some(Diagnosis { error_lines, ..Diagnosis::default() });
        let text = mail(failed(run(), task()), &Evidence { diagnosis, ..evidence() }).text;
        assert!(text.contains("  cause     unknown: nothing in the log or the end fits a known cause\n"), "{text}");
        assert!(text.contains("\nLines that look like errors:\n  line 7: ERROR: count 18 below 1000\n"), "{text}");
    }

    #[test]
    fn a_log_that_is_gone_or_cannot_be_read_is_not_empty() {
        let text = |log| mail(failed(run(), task()), &Evidence { log, ..Evidence::default() }).text;
        assert!(text(LogTail::Lines(Vec::new())).contains("\nIts log is empty.\n"));
        assert!(text(LogTail::Removed).contains("\nIts log has been removed since.\n"));
        let unreadable = text(LogTail::Unreadable("Permission denied (os error 13)".to_owned()));
        assert!(unreadable.contains("\nIts log cannot be read: Permission denied (os error 13).\n"), "{unreadable}");
    }

    #[test]
    fn what_could_not_be_diagnosed_says_why() {
        let undiagnosed = Some("the database cannot be read: it is locked".to_owned());
        let text = mail(failed(run(), task()), &Evidence { undiagnosed, ..Evidence::default() }).text;
        let expected = "  cause     not diagnosed: the database cannot be read: it is locked\n";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn a_task_that_succeeded() {
        assert_mail!(
            "snapshots/task_succeeded.txt",
            "snapshots/task_succeeded.html",
            "[crondag] userprofile high_active_period succeeded (ds 2018-07-01, try 2 of 2)",
            NoticeEvent::TaskSucceeded { run: run(), task: task() },
            Evidence { log: LogTail::Lines(Vec::new()), ..Evidence::default() }
        );
    }

    fn run_failed(failed: Vec<(String, String)>, blocked: Vec<String>, standing: Standing) -> NoticeEvent {
        NoticeEvent::RunFailed { run: run(), reason: "a leaf task failed".to_owned(), failed, blocked, standing }
    }

    #[test]
    fn a_failed_run() {
        let failed = vec![
            ("high_active_period".to_owned(), "exit status 1".to_owned()),
            (
                "buy_category".to_owned(),
                "timed out after 2h: the process tree was ended with TERM, and with KILL 10 s later".to_owned(),
            ),
        ];
        let blocked = (1..=40).map(|number| format!("push_{number}")).collect();
        assert_mail!(
            "snapshots/run_failed.txt",
            "snapshots/run_failed.html",
            "[crondag] userprofile run failed (ds 2018-07-01, 2 tasks failed)",
            run_failed(failed, blocked, Standing::default()),
            Evidence::default()
        );
    }

    fn standing(failures: u32) -> Standing {
        let since = Some("2018-06-30T23:00:00Z".parse().unwrap());
        Standing { since, failures, failed_runs: failures, is_unsteady: false }
    }

    #[test]
    fn one_failed_task_is_one_task() {
        let failed = vec![("a".to_owned(), "x".to_owned())];
        let mail = mail(run_failed(failed, Vec::new(), standing(7)), &Evidence::default());
        assert_eq!(mail.subject, "[crondag] userprofile run still fails (ds 2018-07-01, 1 task failed)");
        assert!(mail.text.contains("  so far    7 failures in 7 runs since 2018-06-30T23:00:00Z\n"), "{}", mail.text);
    }

    #[test]
    fn a_dag_that_recovered() {
        let event = NoticeEvent::Recovered {
            dag_id: "userprofile".to_owned(),
            run_id: "scheduled__2018-07-01T07:00:00+08:00".to_owned(),
            standing: standing(43),
        };
        assert_mail!(
            "snapshots/recovered.txt",
            "snapshots/recovered.html",
            "[crondag] userprofile recovered after 43 failures (ds 2018-07-01 07:00)",
            event,
            Evidence::default()
        );
    }

    #[test]
    fn a_digest_lists_what_was_held_back_and_goes_to_all_who_would_have_been_told() {
        let at = "2018-07-01T23:00:00.5Z".parse().unwrap();
        let held = Notice::new(vec!["b@example.com".to_owned()], failed(run(), task()));
        let earlier =
            Notice::new(vec!["b@example.com".to_owned()], NoticeEvent::TaskSucceeded { run: run(), task: task() });
        let a_second_before = "2018-07-01T22:59:59Z".parse().unwrap();
        let held_back = vec![(at, held.clone()), (at, held), (a_second_before, earlier)];
        let evidence = Evidence { held_back, ..Evidence::default() };
        let mail = mail(NoticeEvent::Digest { max_per_hour: 30 }, &evidence);
        assert_eq!(mail.subject, "[crondag] 3 notices held back");
        assert_eq!(mail.to, ["admin@example.com", "b@example.com"]);
        snapbox::assert_data_eq!(mail.text, snapbox::file!["snapshots/digest.txt"].raw());
    }

    #[test]
    fn commands_and_subjects_name_the_run_exactly_where_a_day_has_several() {
        let mut hourly = run();
        hourly.run_id = "scheduled__2018-07-01T23:00:00+08:00".to_owned();
        hourly.data_interval = ("2018-07-01T23:00:00+08:00".to_owned(), "2018-07-02T00:00:00+08:00".to_owned());
        let mut manual = run();
        manual.run_type = RunType::Manual;
        manual.run_id = "manual__2018-07-01T07:00:00+08:00".to_owned();
        manual.data_interval.0 = "2018-07-01T07:00:05+08:00".to_owned();
        for (run, time) in [(hourly, "23:00"), (manual, "07:00:05")] {
            let mail = mail(failed(run.clone(), task()), &evidence());
            let expected =
                format!("[crondag] userprofile high_active_period failed (ds 2018-07-01 {time}, try 2 of 2)");
            assert_eq!(mail.subject, expected);
            for command in [
                format!("logs userprofile high_active_period {}\n", run.run_id),
                format!("clear userprofile {} --task high_active_period\n", run.run_id),
            ] {
                assert!(mail.text.contains(&command), "{}", mail.text);
            }
        }
    }

    #[test]
    fn no_text_can_add_a_header_or_a_line_of_its_own() {
        let bad = RunFacts { ds: "2018\r\nBcc: x@y\u{1b}[31m\u{2028}z".to_owned(), ..run() };
        let mail = mail(failed(bad, task()), &evidence());
        assert_eq!(mail.subject, "[crondag] userprofile high_active_period failed (ds 2018 Bcc: x@y z, try 2 of 2)");
        assert!(mail.text.lines().all(|line| !line.starts_with("Bcc")), "{}", mail.text);
    }

    #[test]
    fn html_shows_markup_and_never_obeys_it() {
        let task = TaskFacts { reason: "<script>alert(1)</script>".to_owned(), ..task() };
        let (blocks, standing) = (vec!["<i>".to_owned()], Standing::default());
        let event = NoticeEvent::TaskFailed { run: run(), task, blocks, runs_on: Vec::new(), standing };
        let log = LogTail::Lines(vec!["</pre><img src=x onerror=\"y\">".to_owned()]);
        let place = Place { home: PathBuf::from("/data"), host: "<b>host".to_owned() };
        let notice = Notice::new(vec!["admin@example.com".to_owned()], event);
        let html = render(&notice, &Evidence { log, ..evidence() }, &place).html;
        for tag in ["<script", "<img", "<i>", "<b>host"] {
            assert!(!html.contains(tag), "{tag} in {html}");
        }
        let log = LogTail::Unreadable("<img src=x>".to_owned());
        let html = render(&notice, &Evidence { log, ..evidence() }, &place).html;
        assert!(!html.contains("<img"), "{html}");
    }
}
