//! Why there is no run of a date, and what the schedule brings next.

use super::{Reason, View, command};
use crate::app::query::finding::ticking;
use crate::app::query::lag::lag;
use crate::app::times::{minute, span};
use crate::app::{AppError, select};
use crate::dag::Dag;
use crate::dag::schedule::{DataInterval, OutOfBounds, Place};
use crate::runner::planner::{self, Fate, Never, NoteKind};

impl View<'_> {
    pub(super) fn explain_missing(&mut self, file: Option<&Dag>, when: Option<&str>) -> Result<(), AppError> {
        let Some(dag) = file else { return Ok(()) };
        match when {
            None => {
                self.say("dag", format!("{} has no runs yet", dag.id), None);
                self.upcoming(dag)
            }
            Some(text) => {
                let interval = select::interval(dag, text)?;
                self.explain_interval(dag, &interval, text)
            }
        }
    }

    fn is_paused(&self) -> Result<bool, AppError> {
        Ok(match self.store {
            Some(store) => store.dag(self.dag_id)?.is_some_and(|row| row.is_paused),
            None => false,
        })
    }

    /// How far the DAG is behind its schedule.
    pub(super) fn lag(&mut self, dag: &Dag) -> Result<(), AppError> {
        let row = self.store.map(|store| store.dag(self.dag_id)).transpose()?.flatten();
        if let Some(lag) = lag(self.app, self.store, self.unfinished, dag, row.as_ref())? {
            let reason = format!("it {}", lag.in_words(self.app.now));
            self.reasons.push(Reason { subject: "dag".to_owned(), reason, next: None, lag: Some(lag) });
        }
        Ok(())
    }

    /// When the schedule makes the next run, and what keeps it from that.
    pub(super) fn upcoming(&mut self, dag: &Dag) -> Result<(), AppError> {
        let Some(schedule) = &dag.schedule else {
            let next = command(format_args!("trigger {}", dag.id));
            self.say("dag", "it has no schedule: it runs when it is triggered or backfilled", next);
            return Ok(());
        };
        if self.is_paused()? {
            let next = command(format_args!("unpause {}", dag.id));
            self.say("dag", "it is paused", next);
        }
        let row = self.store.map(|store| store.dag(self.dag_id)).transpose()?.flatten();
        let notes = planner::notes(&self.store, dag, row.as_ref(), self.app.now)?;
        // What is still to be made may have been said with what waits.
        let has_lag = self.reasons.iter().any(|reason| reason.lag.is_some());
        for note in notes.iter().filter(|note| !has_lag || !matches!(note.kind, NoteKind::Backlog { .. })) {
            self.say("dag", note.to_string(), None);
        }
        if let Some(interval) = planner::next_run(&self.store, dag, self.app.now)? {
            let at = planner::starts_at(dag, &interval);
            let away = span(at.duration_since(self.app.now));
            let reason = format!(
                "the next run starts at {} (in {away}), for the data from {}",
                minute(at, &self.zone),
                minute(interval.start, &self.zone)
            );
            self.say("dag", reason, None);
        } else {
            let reason = format!("its schedule ({}) has nothing ahead: end_date has passed", schedule.text());
            let next = command(format_args!("trigger {}", dag.id));
            self.say("dag", reason, next);
        }
        self.ticking();
        Ok(())
    }

    fn ticking(&mut self) {
        if let Some(finding) = ticking(self.app) {
            self.reasons.push(Reason {
                subject: "crontab".to_owned(),
                reason: finding.text,
                next: finding.next,
                lag: None,
            });
        }
    }

    /// Why the run of an interval does not exist.
    fn explain_interval(&mut self, dag: &Dag, interval: &DataInterval, text: &str) -> Result<(), AppError> {
        let backfill = command(format_args!("backfill -s {text} -e {text} {}", dag.id));
        let row = self.store.map(|store| store.dag(self.dag_id)).transpose()?.flatten();
        let minute = |at| minute(at, &dag.timezone);
        let both = |interval: &DataInterval| format!("{} .. {}", minute(interval.start), minute(interval.end));
        let now = self.app.now;
        let (reason, next) = match planner::fate_of(&self.store, dag, row.as_ref(), *interval, now)? {
            Fate::Made => (format!("the data of {} has run", both(interval)), command(format_args!("runs {}", dag.id))),
            Fate::MadeAhead => {
                let reason = "it was made while the clock was ahead: its data is yet to come, and it is not made again";
                (reason.to_owned(), command(format_args!("clear {} {text}", dag.id)))
            }
            Fate::Due => ("it is due; the next tick makes it".to_owned(), command("tick")),
            Fate::Behind => {
                let reason = "it is due; runs are made oldest first, as those before them leave room (max_active_runs)";
                (reason.to_owned(), None)
            }
            Fate::Comes { at, place } => {
                let away = span(at.duration_since(now));
                let how = match place {
                    Place::Rest { rest, .. } => format!(", for what has not run of it: {}", both(&rest)),
                    Place::Coarser { ran } => format!(", whole, although {} has run", both(&ran)),
                    Place::Free | Place::Taken | Place::LeftOut { .. } => String::new(),
                };
                (format!("it starts when its data is complete: at {} (in {away}){how}", minute(at)), None)
            }
            Fate::Paused => ("the DAG is paused".to_owned(), command(format_args!("unpause {}", dag.id))),
            Fate::Never(never) => (
                match never {
                    Never::NoSchedule => {
                        let next = command(format_args!("trigger {} --date {text}", dag.id));
                        self.say("run", "the DAG has no schedule: it runs when it is triggered or backfilled", next);
                        return Ok(());
                    }
                    Never::NotOnSchedule => "the schedule has no such data interval".to_owned(),
                    Never::OutOfBounds(bound) => {
                        let reason = match bound {
                            OutOfBounds::BeforeStartDate(first) => format!("before start_date ({})", minute(first)),
                            OutOfBounds::AfterEndDate(last) => format!("after end_date ({})", minute(last)),
                        };
                        let next = command(format_args!("backfill -s {text} -e {text} {} --ignore-bounds", dag.id));
                        self.say("run", format!("it lies {reason}"), next);
                        return Ok(());
                    }
                    Never::Passed { until } => format!(
                        "no tick makes it: the scheduler has dealt with everything until {}, and goes on from there",
                        minute(until)
                    ),
                    Never::BeforeSeen { since } if dag.catchup => format!(
                        "no tick makes it: it was due before the DAG was first seen ({}), and there is no start_date",
                        minute(since)
                    ),
                    Never::BeforeSeen { since } => format!(
                        "it was due before the DAG was first seen or last unpaused ({}), and catchup is off",
                        minute(since)
                    ),
                    Never::Superseded { by } => {
                        format!("it was missed, and with catchup off only the latest due interval runs: {}", both(&by))
                    }
                    Never::LeftOut { ran } => {
                        format!("no tick makes it: {} has run, by the schedule as it was before an edit", both(&ran))
                    }
                },
                backfill,
            ),
        };
        self.say("run", reason, next);
        self.ticking();
        Ok(())
    }
}
