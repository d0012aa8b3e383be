//! When schedules fire, computed by brute force: every minute of the simulated time is tried. Shares nothing with the
//! program but the zones of jiff.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, civil};

use super::random::Random;

/// A crontab schedule as sets of values, with the text that says the same.
#[derive(Debug, Clone)]
pub struct Calendar {
    pub text: String,
    minutes: Vec<i8>,
    hours: Vec<i8>,
    /// `None`: not restricted.
    days: Option<Vec<i8>>,
    /// 0 is Sunday; `None`: not restricted.
    weekdays: Option<Vec<i8>>,
    /// A day must match both; otherwise one of the two is enough.
    both_days: bool,
    /// Follows elapsed time through clock changes.
    follows_elapsed_time: bool,
    /// How often it fires, roughly.
    pub per_day: f64,
}

fn list(values: &[i8]) -> String {
    values.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

impl Calendar {
    pub fn random(random: &mut Random) -> Calendar {
        let minute = i8::try_from(*random.pick(&[0, 0, 15, 30, 30, 59])).unwrap();
        // Clock changes happen at night.
        let hour = i8::try_from(*random.pick(&[0, 1, 1, 2, 2, 2, 3, 7, 23])).unwrap();
        let daily = Calendar {
            text: format!("{minute} {hour} * * *"),
            minutes: vec![minute],
            hours: vec![hour],
            days: None,
            weekdays: None,
            both_days: true,
            follows_elapsed_time: false,
            per_day: 1.0,
        };
        let every_hour: Vec<i8> = (0..24).collect();
        match random.below(12) {
            0..=3 => daily,
            4 => Calendar { text: "@daily".to_owned(), minutes: vec![0], hours: vec![0], ..daily },
            5 => {
                let hours = vec![1, 2, 14];
                Calendar { text: format!("{minute} {} * * *", list(&hours)), hours, per_day: 3.0, ..daily }
            }
            6 => Calendar {
                text: format!("{minute} * * * *"),
                hours: every_hour,
                follows_elapsed_time: true,
                per_day: 24.0,
                ..daily
            },
            7 => {
                let hours: Vec<i8> = (0..24).step_by(6).collect();
                Calendar {
                    text: format!("{minute} */6 * * *"),
                    hours,
                    follows_elapsed_time: true,
                    per_day: 4.0,
                    ..daily
                }
            }
            8 => Calendar {
                text: "*/30 0-4 * * *".to_owned(),
                minutes: vec![0, 30],
                hours: (0..5).collect(),
                follows_elapsed_time: true,
                per_day: 10.0,
                ..daily
            },
            9 => Calendar {
                text: format!("{minute} {hour} * * 1-5"),
                weekdays: Some((1..=5).collect()),
                both_days: true,
                per_day: 0.7,
                ..daily
            },
            10 => Calendar {
                text: format!("{minute} {hour} 1,15 * 0"),
                days: Some(vec![1, 15]),
                weekdays: Some(vec![0]),
                both_days: false,
                per_day: 0.2,
                ..daily
            },
            _ => Calendar {
                text: format!("{minute} {hour} */2 * mon,thu"),
                days: Some((1..=31).step_by(2).collect()),
                weekdays: Some(vec![1, 4]),
                both_days: true,
                per_day: 0.15,
                ..daily
            },
        }
    }

    fn has_day(&self, date: civil::Date) -> bool {
        let day = self.days.as_ref().is_none_or(|days| days.contains(&date.day()));
        let weekday = date.weekday().to_sunday_zero_offset();
        let weekday = self.weekdays.as_ref().is_none_or(|days| days.contains(&weekday));
        if self.both_days { day && weekday } else { day || weekday }
    }

    /// All fire times from `from` to `to`, in order.
    pub fn fires(&self, zone: &TimeZone, from: Timestamp, to: Timestamp) -> Vec<Timestamp> {
        let mut fires = Vec::new();
        if self.follows_elapsed_time {
            // No zone has changed its clock within a quarter of an hour for a century.
            let quarter = SignedDuration::from_mins(15);
            let mut at = Timestamp::from_second(from.as_second().div_euclid(900) * 900).unwrap();
            while at <= to {
                let local = zone.to_datetime(at);
                if self.hours.contains(&local.hour()) && self.has_day(local.date()) {
                    for minute in 0..15_i8 {
                        if self.minutes.contains(&(local.minute() + minute)) {
                            fires.push(at + SignedDuration::from_mins(i64::from(minute)));
                        }
                    }
                }
                at += quarter;
            }
        } else {
            let mut date = zone.to_datetime(from).date().checked_sub(2.days()).unwrap();
            let last = zone.to_datetime(to).date().checked_add(2.days()).unwrap();
            while date <= last {
                if self.has_day(date) {
                    for &hour in &self.hours {
                        for &minute in &self.minutes {
                            // Skipped: shifted by the gap. Repeated: the first one.
                            let local = date.at(hour, minute, 0, 0);
                            fires.push(zone.to_ambiguous_timestamp(local).compatible().unwrap());
                        }
                    }
                }
                date = date.tomorrow().unwrap();
            }
            fires.sort();
            fires.dedup();
        }
        fires.retain(|fire| (from..=to).contains(fire));
        fires
    }
}
