//! `crondag logs`

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use super::context::Global;
use super::error::CliError;
use super::output::{Cell, Page, Table, Tone, print_json};
use crate::app::query::logs::{
    AttemptAnswer, AttemptsQuestion, Followed, Log, RunAttempts, attempts, follow, of_task, open,
};
use crate::app::times::elapsed;
use crate::app::{App, select};
use crate::dag::units::format_duration;
use crate::dag::{Dag, DagId, TaskState};

/// Options of `logs`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  crondag logs userprofile merge 20180701\n  crondag logs userprofile merge -f            follow the newest\n  \
                        crondag logs userprofile                     the log files of the newest run\n  \
                        crondag logs userprofile 20180701            the log files of that run\n  \
                        crondag logs userprofile 20180701 --failed   what its failed tasks printed\n  \
                        crondag logs userprofile --at 04:00          the log files of what ran at four this night"
)]
pub struct Args {
    /// The DAG
    dag: String,
    /// The task [default: list the log files of the run]
    task: Option<String>,
    /// The run's logical date, or its id [default: the newest run]
    #[arg(value_name = "DATE|RUN_ID")]
    run: Option<String>,
    /// Of all runs, what ran then: 2018-07-01T04:00, 04:00 (the last time that it was), 2h (so long ago)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["run", "follow", "failed", "try_number"])]
    at: Option<String>,
    /// Which attempt [default: the newest]
    #[arg(long = "try", value_name = "N")]
    try_number: Option<u32>,
    /// Print what is added until the task has ended
    #[arg(short, long, requires = "task", conflicts_with_all = ["json", "failed"])]
    follow: bool,
    /// Print the newest logs of the tasks that failed
    #[arg(long, conflicts_with = "try_number")]
    failed: bool,
    /// Print the attempts with their log files as JSON
    #[arg(long)]
    json: bool,
}

/// How often `-f` asks for more.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

pub(super) fn run(args: &Args, global: &Global) -> Result<ExitCode, CliError> {
    let app = global.open()?;
    let dag_id = app.dag_id(&args.dag)?;
    let file: Option<Dag> = app.find(&dag_id).and_then(Result::ok);
    let (task, run) = (args.task.as_deref(), args.run.as_deref());
    let (task, run) = select::task_and_run(&app, app.store()?.as_ref(), &dag_id, file.as_ref(), (task, run))?;
    let question = AttemptsQuestion {
        task: task.map(ToOwned::to_owned),
        run: run.map(ToOwned::to_owned),
        at: args.at.clone(),
        try_number: args.try_number,
        failed_only: args.failed,
    };
    match task {
        Some(task) if !args.json && !args.failed && args.at.is_none() => {
            if args.follow {
                return print_while_it_grows(&app, &dag_id, task, &question);
            }
            copy(&mut of_task(&app, &dag_id, task, &question)?)?;
            Ok(ExitCode::SUCCESS)
        }
        None if args.follow => Err(CliError::usage(
            "-f follows the log of one task",
            format!("crondag logs {dag_id} TASK {} -f", run.unwrap_or_default()),
        )),
        _ => {
            let answers = attempts(&app, &dag_id, &question)?;
            if args.json {
                let mut rows: Vec<&AttemptAnswer> = answers.iter().flat_map(|answer| &answer.attempts).collect();
                // Programs have always had the tasks of a run by name.
                rows.sort_by(|a, b| a.run_id.cmp(&b.run_id).then_with(|| a.task_id.cmp(&b.task_id)));
                print_json(&rows)?;
            } else if answers.is_empty() {
                let mut page = Page::new();
                page.line("nothing ran then");
                page.next(&format!("crondag attempts {dag_id}"));
                page.print()?;
            } else if args.failed || (args.at.is_some() && task.is_some()) {
                print_logs(&answers)?;
            } else {
                list(&app, &answers)?;
            }
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn list(app: &App, answers: &[RunAttempts]) -> Result<(), CliError> {
    let mut page = Page::new();
    for answer in answers {
        page.gap();
        if answers.len() > 1 {
            page.line(&answer.run.run.run_id);
        }
        let mut table =
            Table::new(&["task", ">try", "started", ">duration", "file"]).without_at_need(&["started", "duration"]);
        for attempt in &answer.attempts {
            let end = attempt.end_date.as_ref().map_or(app.now, |end| end.at);
            table.row(vec![
                attempt.task_id.to_string().into(),
                attempt.try_number.to_string().into(),
                Cell::new(attempt.start_date.clock(), Tone::Dim),
                format_duration(elapsed(attempt.start_date.at, end)).into(),
                attempt.path_in_home.clone().into(),
            ]);
        }
        if table.is_empty() {
            let run = &answer.run.run;
            page.line(format!("nothing of {} has started", run.run_id));
            page.next(&format!("crondag explain {} {}", run.dag_id, run.run_id));
        } else {
            page.table(&table);
        }
    }
    page.print()
}

/// Each log under a line that says whose it is. Printed one by one: logs may be larger than the memory.
fn print_logs(answers: &[RunAttempts]) -> Result<(), CliError> {
    let mut is_first = true;
    // One log that is gone hides no other.
    let mut unreadable: Option<CliError> = None;
    for answer in answers {
        let run = &answer.run.run;
        for attempt in &answer.attempts {
            let gap = if std::mem::take(&mut is_first) { "" } else { "\n" };
            let head = format!("{gap}==> {} {} try {} <==\n", attempt.task_id, run.run_id, attempt.try_number);
            if !write(head.as_bytes())? {
                return Ok(());
            }
            match open(&attempt.log_file) {
                Ok(mut log) => {
                    if !copy(&mut log)? {
                        return Ok(());
                    }
                }
                Err(error) => {
                    if !write(b"cannot be read: see the end\n")? {
                        return Ok(());
                    }
                    unreadable = unreadable.or(Some(error.into()));
                }
            }
        }
        for task in &answer.failed_without_log {
            let gap = if std::mem::take(&mut is_first) { "" } else { "\n" };
            let reason = task.reason.as_deref().unwrap_or("nothing is known");
            if !write(format!("{gap}==> {} {} has no log <==\n{reason}\n", task.task_id, run.run_id).as_bytes())? {
                return Ok(());
            }
        }
    }
    if is_first {
        let mut page = Page::new();
        for answer in answers {
            page.line(format!("no task of {} has failed", answer.run.run.run_id));
        }
        page.print()?;
    }
    unreadable.map_or(Ok(()), Err)
}

/// Exit code 1 when the task failed.
fn print_while_it_grows(
    app: &App,
    dag_id: &DagId,
    task: &str,
    question: &AttemptsQuestion,
) -> Result<ExitCode, CliError> {
    let mut follower = follow(app, dag_id, task, question)?;
    loop {
        match follower.poll()? {
            Followed::Text(text) => {
                if !write(&text)? {
                    return Ok(ExitCode::SUCCESS);
                }
            }
            Followed::Nothing => thread::sleep(POLL_INTERVAL),
            Followed::TaskEnded(TaskState::Failed | TaskState::UpstreamFailed) => return Ok(ExitCode::from(1)),
            Followed::TaskEnded(
                TaskState::None
                | TaskState::Running
                | TaskState::UpForRetry
                | TaskState::UpForReschedule
                | TaskState::Success
                | TaskState::Skipped,
            )
            | Followed::AttemptEnded => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// Copies what is left of a log to standard output; false when nobody reads it any more.
fn copy(log: &mut Log) -> Result<bool, CliError> {
    loop {
        let text = log.next_piece()?;
        if text.is_empty() {
            return Ok(true);
        }
        if !write(&text)? {
            return Ok(false);
        }
    }
}

/// False when nobody reads it any more.
fn write(text: &[u8]) -> Result<bool, CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(CliError::environment(
            format!("cannot write to standard output: {error}"),
            "check the disk or the program that the output goes to",
        )),
    }
}
