//! When people are told of a DAG that fails: at its first failure, at growing distances while it goes on failing, and once
//! when it is over. Pure.

use jiff::{SignedDuration, Timestamp};

use super::notice::Standing;
use crate::dag::RunNumber;
use crate::store::Incident;

/// The distances of reminders; the last one repeats. A little less than a day, so that a DAG that runs once a day and fails
/// each day is told of each day.
const DISTANCES: [SignedDuration; 3] =
    [SignedDuration::from_hours(1), SignedDuration::from_hours(4), SignedDuration::from_hours(20)];

/// What fails again so soon after its last good run has not been mended.
const RETURNS_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// After so many returns people know that it fails and recovers in turn.
const MOST_RETURNS: u32 = 3;

/// A failure that people want to hear of.
#[derive(Debug, Clone)]
pub struct Failure<'a> {
    pub run: RunNumber,
    /// Whether it is the end of the run; else a task's.
    pub is_of_run: bool,
    /// Who wants to hear of it.
    pub to: &'a [String],
}

/// Who is told of a failure now, and how it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Telling {
    /// The people.
    pub to: Vec<String>,
    /// How it stands.
    pub standing: Standing,
}

/// What a failure makes of the newest incident of its DAG, and who is told. Everybody in `failure.to` has then been told of
/// the incident.
pub fn after_failure(before: Option<Incident>, failure: &Failure<'_>, now: Timestamp) -> (Incident, Option<Telling>) {
    let mut incident = match before {
        Some(incident) => match incident.closed_at {
            None => incident,
            Some(closed_at) if is_within(closed_at, now, RETURNS_WITHIN) => returned(incident, now),
            Some(_) => opened(now),
        },
        None => opened(now),
    };
    let is_first = incident.failures == 0;
    let is_counted = incident.runs.contains(&failure.run);
    if !(failure.is_of_run && is_counted) {
        incident.failures = incident.failures.saturating_add(1);
    }
    if !is_counted {
        incident.failed_runs = incident.failed_runs.saturating_add(1);
        incident.runs.push(failure.run);
    }
    let is_new = |person: &&String| !incident.told.contains(person);
    let to: Vec<String> = if incident.told.is_empty() {
        failure.to.to_vec()
    } else if !(failure.is_of_run && is_counted) && is_due(&incident, now) {
        incident.reminders = incident.reminders.saturating_add(1);
        incident.told.iter().chain(failure.to.iter().filter(is_new)).cloned().collect()
    } else {
        failure.to.iter().filter(is_new).cloned().collect()
    };
    if to.is_empty() {
        return (incident, None);
    }
    let is_reminder_or_first = incident.told.iter().all(|person| to.contains(person));
    if is_reminder_or_first {
        incident.told_at = now;
    }
    for person in &to {
        if !incident.told.contains(person) {
            incident.told.push(person.clone());
        }
    }
    incident.is_told = true;
    let standing = Standing {
        since: (!is_first).then_some(incident.opened_at),
        failures: incident.failures,
        failed_runs: incident.failed_runs,
        is_unsteady: incident.returns >= MOST_RETURNS,
    };
    (incident, Some(Telling { to, standing }))
}

/// What a good run makes of an open incident, and who is told. `unfinished` says whether a run that was counted still goes
/// on: until it has ended nothing is over.
pub fn after_good_run(
    mut incident: Incident,
    run: RunNumber,
    unfinished: &dyn Fn(RunNumber) -> bool,
    now: Timestamp,
) -> (Incident, Option<Telling>) {
    incident.runs.retain(|counted| *counted != run && unfinished(*counted));
    if incident.closed_at.is_some() || !incident.runs.is_empty() {
        return (incident, None);
    }
    incident.closed_at = Some(now);
    if !std::mem::take(&mut incident.is_told) {
        return (incident, None);
    }
    let standing = Standing {
        since: Some(incident.opened_at),
        failures: incident.failures,
        failed_runs: incident.failed_runs,
        is_unsteady: incident.returns >= MOST_RETURNS,
    };
    let to = incident.told.clone();
    (incident, Some(Telling { to, standing }))
}

fn opened(now: Timestamp) -> Incident {
    Incident {
        opened_at: now,
        closed_at: None,
        failures: 0,
        failed_runs: 0,
        told_at: now,
        reminders: 0,
        returns: 0,
        is_told: false,
        told: Vec::new(),
        runs: Vec::new(),
    }
}

/// The incident that it was; after many returns those who were told stay told, and hear of it at the distances of reminders.
fn returned(before: Incident, now: Timestamp) -> Incident {
    let returns = before.returns.saturating_add(1);
    if returns < MOST_RETURNS {
        Incident { returns, ..opened(now) }
    } else {
        Incident { returns, closed_at: None, ..before }
    }
}

fn is_due(incident: &Incident, now: Timestamp) -> bool {
    let last = DISTANCES.len() - 1;
    let distance = DISTANCES[usize::try_from(incident.reminders).unwrap_or(last).min(last)];
    !is_within(incident.told_at, now, distance)
}

/// Whether less than `distance` has passed. What is of the future is of a clock that was wrong.
fn is_within(at: Timestamp, now: Timestamp, distance: SignedDuration) -> bool {
    let passed = now.duration_since(at);
    passed >= SignedDuration::ZERO && passed < distance
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A DAG and the people who hear of it.
    #[derive(Default)]
    struct World {
        incident: Option<Incident>,
        now: i64,
        unfinished: Vec<i64>,
        /// `failed`, `recovered` and to whom, with the minute.
        told: Vec<(i64, String)>,
    }

    fn minute(minute: i64) -> Timestamp {
        Timestamp::from_second(1_530_428_400 + minute * 60).unwrap()
    }

    impl World {
        fn fails(&mut self, run: i64, is_of_run: bool, to: &[&str]) -> Option<Telling> {
            let to: Vec<String> = to.iter().map(|person| (*person).to_owned()).collect();
            let failure = Failure { run: RunNumber(run), is_of_run, to: &to };
            let (incident, telling) = after_failure(self.incident.take(), &failure, minute(self.now));
            self.incident = Some(incident);
            if let Some(telling) = &telling {
                self.told.push((self.now, format!("failed {}", telling.to.join(" "))));
            }
            telling
        }

        /// A run of one task that fails.
        fn run_fails(&mut self, run: i64) {
            self.fails(run, false, &["a"]);
            self.fails(run, true, &["a"]);
        }

        fn good(&mut self, run: i64) -> Option<Telling> {
            let incident = self.incident.take()?;
            if incident.closed_at.is_some() {
                self.incident = Some(incident);
                return None;
            }
            let unfinished = self.unfinished.clone();
            let is_unfinished = |run: RunNumber| unfinished.contains(&run.0);
            let (incident, telling) = after_good_run(incident, RunNumber(run), &is_unfinished, minute(self.now));
            self.incident = Some(incident);
            if let Some(telling) = &telling {
                self.told.push((self.now, format!("recovered {}", telling.to.join(" "))));
            }
            telling
        }

        fn told(&self) -> Vec<(i64, &str)> {
            self.told.iter().map(|(minute, what)| (*minute, what.as_str())).collect()
        }
    }

    #[test]
    fn a_job_that_fails_each_minute_is_told_of_at_growing_distances() {
        let mut world = World::default();
        for now in 0..3 * 24 * 60 {
            world.now = now;
            world.run_fails(now);
        }
        let hours: Vec<i64> = world.told.iter().map(|(minute, _)| minute / 60).collect();
        assert_eq!(hours, [0, 1, 5, 25, 45, 65]);
        let incident = world.incident.as_ref().unwrap();
        assert_eq!((incident.failures, incident.failed_runs), (3 * 24 * 60, 3 * 24 * 60));
    }

    #[test]
    fn a_job_that_fails_once_a_day_is_told_of_each_day() {
        let mut world = World::default();
        for day in 0..5 {
            // Now a little earlier, now a little later.
            world.now = day * 24 * 60 + 10 * (day % 2);
            world.run_fails(day);
        }
        assert_eq!(world.told.len(), 5);
    }

    #[test]
    fn the_first_good_run_ends_it_with_a_word() {
        let mut world = World::default();
        for run in 0..40 {
            world.now = run;
            world.run_fails(run);
        }
        world.now = 45;
        let telling = world.good(45).unwrap();
        assert_eq!((telling.standing.failures, telling.standing.failed_runs), (40, 40));
        assert_eq!(world.good(46), None);
        assert_eq!(world.told(), [(0, "failed a"), (45, "recovered a")]);
    }

    #[test]
    fn whoever_has_not_heard_of_it_is_told() {
        let mut world = World::default();
        world.fails(1, false, &["a"]);
        world.fails(1, false, &["b", "a"]);
        world.fails(1, true, &["a", "b", "c"]);
        world.fails(2, true, &["a"]);
        assert_eq!(world.told(), [(0, "failed a"), (0, "failed b"), (0, "failed c")]);
        let incident = world.incident.unwrap();
        assert_eq!((incident.failures, incident.failed_runs), (3, 2));
    }

    #[test]
    fn the_end_of_a_run_whose_task_was_told_of_is_no_reminder() {
        let mut world = World::default();
        world.fails(1, false, &["a"]);
        world.now = 180;
        world.fails(1, true, &["a"]);
        assert_eq!(world.told(), [(0, "failed a")]);
    }

    #[test]
    fn it_is_not_over_while_a_failed_run_goes_on() {
        let mut world = World { unfinished: vec![1], ..World::default() };
        world.fails(1, false, &["a"]);
        assert_eq!(world.good(2), None);
        world.unfinished.clear();
        world.fails(1, true, &["a"]);
        assert!(world.good(3).is_some());
        assert_eq!(world.told(), [(0, "failed a"), (0, "recovered a")]);
    }

    #[test]
    fn what_fails_and_recovers_in_turn_is_soon_told_of_more_rarely() {
        let mut world = World::default();
        for now in (0..10 * 60).step_by(2) {
            world.now = now;
            world.run_fails(now);
            world.now = now + 1;
            world.good(now + 1);
        }
        let minutes: Vec<i64> =
            world.told.iter().filter(|(_, what)| what.starts_with("failed")).map(|(minute, _)| *minute).collect();
        assert_eq!(minutes, [0, 2, 4, 64, 304]);
        assert_eq!(world.told.len(), 10);
    }

    #[test]
    fn a_clock_that_was_years_ahead_silences_nothing() {
        let mut world = World { now: 5_000_000, ..World::default() };
        world.run_fails(1);
        world.now = 0;
        world.run_fails(2);
        world.run_fails(3);
        assert_eq!(world.told(), [(5_000_000, "failed a"), (0, "failed a")]);
    }

    proptest! {
        #[test]
        fn nobody_is_left_unaware_and_nobody_is_flooded(
            steps in proptest::collection::vec((0_i64..90, 0_u8..3, proptest::bool::ANY, 0_usize..3), 1..200)
        ) {
            let mut world = World::default();
            let mut began = 0;
            for (run, (pause, what, is_of_run, who)) in (0_i64..).zip(&steps) {
                world.now += pause;
                if *what == 0 {
                    world.good(run);
                    continue;
                }
                let to = [["a", "b"], ["b", "c"], ["c", "c"]][*who];
                if world.incident.as_ref().is_none_or(|incident| incident.closed_at.is_some()) {
                    began += 1;
                }
                world.fails(run, *is_of_run, &to);
                let incident = world.incident.as_ref().unwrap();
                prop_assert!(to.iter().all(|person| incident.told.iter().any(|told| told == person)));
                prop_assert!(incident.closed_at.is_none() && incident.failures >= incident.failed_runs);
            }
            let tellings = |what: &str| world.told.iter().filter(|(_, told)| told.starts_with(what)).count();
            // Each incident tells each of three people at most once, and reminds at most once an hour.
            let most = 3 * began + usize::try_from(world.now / 60).unwrap();
            prop_assert!(tellings("failed") <= most, "{:?}", world.told);
            prop_assert!(tellings("recovered") <= began);
        }
    }
}
