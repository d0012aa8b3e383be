//! What is to be known of a home, and how much it weighs.

use serde::Serialize;

use crate::app::times::{Moment, span};
use crate::app::{App, NextStep, TICK_LATE, crontab_line};
use crate::runner::planner;

/// How much something weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// So it is; nothing is to be done.
    Info,
    /// Somebody should know of it.
    Warning,
    /// Something failed, or is about to.
    Error,
}

/// What it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The process that runs things.
    Driver,
    /// What starts it.
    Crontab,
    /// The time zone.
    Zone,
    /// A DAG file that cannot be used.
    Faulty,
    /// DAGs that somebody has paused.
    Paused,
    /// The next runs of a DAG.
    Schedule,
    /// A DAG that is behind its schedule.
    Behind,
    /// A run that goes on.
    Running,
    /// Such a run in which nothing moves.
    Waits,
    /// An attempt that was told to end.
    Ending,
    /// Runs that wait to start.
    Queued,
    /// Notices.
    Mail,
    /// A log that is not whole.
    Log,
    /// Room for what is written.
    Disk,
    /// Runs that failed of late.
    FailedRuns,
    /// Runs that succeeded of late although tasks of them failed.
    FailedTasks,
}

/// Something that is to be known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub subject: Subject,
    pub weight: Weight,
    /// What there is to know, in words.
    pub text: String,
    /// What somebody may do about it.
    pub next: Option<NextStep>,
}

impl Finding {
    /// One about which nothing is to be done.
    pub(super) fn new(subject: Subject, weight: Weight, text: impl Into<String>) -> Finding {
        Finding { subject, weight, text: text.into(), next: None }
    }

    /// The same with what to do.
    pub(super) fn next(self, next: NextStep) -> Finding {
        Finding { next: Some(next), ..self }
    }
}

/// When the last tick was.
pub(super) fn last_tick(app: &App) -> Option<Moment> {
    planner::last_tick(&app.home).map(|at| Moment::new(at, &app.default_zone()))
}

/// That nothing starts by itself since nobody ticks.
pub(super) fn ticking(app: &App) -> Option<Finding> {
    let (weight, text, place) = match last_tick(app) {
        None => {
            (Weight::Warning, "has never ticked: nothing starts by itself".to_owned(), "`crontab -e`, and this line")
        }
        Some(tick) => {
            let ago = app.now.duration_since(tick.at);
            if ago <= TICK_LATE {
                return None;
            }
            let text = format!("last tick {} ago: nothing starts by itself", span(ago));
            (Weight::Error, text, "`crontab -l` must have")
        }
    };
    let next = NextStep::Line { place: place.to_owned(), line: crontab_line(&app.home) };
    Some(Finding::new(Subject::Crontab, weight, text).next(next))
}
