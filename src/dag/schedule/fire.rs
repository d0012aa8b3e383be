//! From a crontab line to instants.
//!
//! The `cron` crate searches the calendar in naive local time, after the translation of crontab's counting into its own
//! (weekdays from 1, explicit lists, day-of-month OR day-of-week as two schedules). What a clock change does to the
//! times it finds is decided here. chrono appears nowhere else.

use std::ops::Range;
use std::str::FromStr;

use chrono::{DateTime as ChronoDateTime, Datelike, Timelike, Utc};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, civil};

use super::cron_field::{self, Doubt, Fields, ScheduleFault, ScheduleFaultKind};

/// A schedule: five crontab fields or a shorthand such as `@daily`.
#[derive(Debug, Clone)]
pub struct Schedule {
    text: String,
    is_wildcard: bool,
    /// One calendar, or two when day-of-month and day-of-week are alternatives.
    calendars: Vec<cron::Schedule>,
}

/// No clock change moves local time by more than this: the largest ones skip or repeat a whole day.
const LARGEST_CHANGE: SignedDuration = SignedDuration::from_hours(26);

impl Schedule {
    /// Reads a schedule as Vixie cron reads it.
    ///
    /// # Errors
    /// The place, the field, and the allowed range. Also when no day can ever match (30 February).
    pub fn parse(text: &str) -> Result<Schedule, ScheduleFault> {
        let fields = cron_field::parse(text)?;
        let impossible = || ScheduleFault {
            kind: ScheduleFaultKind::NeverMatches,
            span: 0..text.len(),
            message: "no day ever matches this schedule".to_owned(),
            help: "check day-of-month against month: there is no such date".to_owned(),
        };
        let mut calendars = Vec::with_capacity(2);
        for (days_of_month, days_of_week) in day_pairs(&fields) {
            let expression = format!(
                "0 {} {} {} {} {} *",
                list(fields.minute, 0..60, 0),
                list(fields.hour, 0..24, 0),
                list(days_of_month, 1..32, 0),
                list(fields.month, 1..13, 0),
                list(days_of_week, 0..7, 1),
            );
            calendars.push(cron::Schedule::from_str(&expression).map_err(|_| impossible())?);
        }
        let schedule = Schedule { text: text.trim().to_owned(), is_wildcard: fields.is_wildcard, calendars };
        // Within 40 years every possible date has come on every weekday.
        match schedule.next_local(civil::date(2000, 1, 1).at(0, 0, 0, 0)) {
            Some(first) if first.year() < 2050 => Ok(schedule),
            _ => Err(impossible()),
        }
    }

    /// What the schedule means that may not be what its author means.
    pub(crate) fn doubts(text: &str) -> Vec<Doubt> {
        cron_field::doubts(text)
    }

    /// The schedule as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The first fire time strictly after `after`.
    ///
    /// Fixed-time schedules (neither minute nor hour begins with `*`) fire once per matching wall-clock time: one that
    /// a clock change skips fires shifted by the gap, one that it repeats fires at its first occurrence. Wildcard
    /// schedules follow elapsed time. `None` beyond the year 2100.
    pub fn next_fire(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.is_wildcard { self.next_by_elapsed_time(after, zone) } else { self.next_by_wall_clock(after, zone) }
    }

    /// The last fire time strictly before `before`; `None` before 1970.
    pub fn prev_fire(&self, before: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        if self.is_wildcard { self.prev_by_elapsed_time(before, zone) } else { self.prev_by_wall_clock(before, zone) }
    }

    // ---- elapsed time: in each stretch of constant offset local time is just shifted -------------------------------

    fn next_by_elapsed_time(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut after = after;
        loop {
            let offset = zone.to_offset(after);
            let change = zone.following(after).next().map(|change| change.timestamp());
            let fire = self.next_local(offset.to_datetime(after)).and_then(|local| offset.to_timestamp(local).ok());
            match (fire, change) {
                (Some(fire), Some(change)) if fire < change => return Some(fire),
                (Some(fire), None) => return Some(fire),
                // The change itself may be a fire time under the new offset.
                (_, Some(change)) => {
                    let just_before = change.checked_sub(SignedDuration::from_nanos(1)).ok()?;
                    let local = zone.to_offset(change).to_datetime(just_before);
                    let first =
                        self.next_local(local).and_then(|local| zone.to_offset(change).to_timestamp(local).ok());
                    if first == Some(change) {
                        return Some(change);
                    }
                    after = change;
                }
                (None, None) => return None,
            }
        }
    }

    fn prev_by_elapsed_time(&self, before: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut before = before;
        loop {
            let just_before = before.checked_sub(SignedDuration::from_nanos(1)).ok()?;
            let offset = zone.to_offset(just_before);
            // The change at which the stretch that contains `just_before` began.
            let change = zone.preceding(before).next().map(|change| change.timestamp());
            let fire = self.prev_local(offset.to_datetime(before)).and_then(|local| offset.to_timestamp(local).ok());
            match (fire, change) {
                (Some(fire), Some(change)) if fire >= change => return Some(fire),
                (Some(fire), None) => return Some(fire),
                (_, Some(change)) => before = change,
                (None, None) => return None,
            }
        }
    }

    // ---- wall clock: every matching local time once ----------------------------------------------------------------

    fn next_by_wall_clock(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut local = zone.to_datetime(after);
        loop {
            let next = self.next_local(local)?;
            let candidate = zone.to_ambiguous_timestamp(next).compatible().ok()?;
            if candidate > after && is_quiet(zone, after, candidate) {
                return Some(candidate);
            }
            // Near a clock change shifted times may overtake others or coincide with them: compute all around it.
            let from = local.checked_sub(LARGEST_CHANGE).ok()?;
            let to = next.checked_add(LARGEST_CHANGE * 2).ok()?;
            let found = self.around(from, to, zone).into_iter().filter(|fire| *fire > after).min();
            if found.is_some() {
                return found;
            }
            // The only time nearby had its first occurrence before: the next one may be a year away.
            local = to;
        }
    }

    fn prev_by_wall_clock(&self, before: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut local = zone.to_datetime(before);
        loop {
            let prev = self.prev_local(local)?;
            let candidate = zone.to_ambiguous_timestamp(prev).compatible().ok()?;
            if candidate < before && is_quiet(zone, candidate, before) {
                return Some(candidate);
            }
            let from = prev.checked_sub(LARGEST_CHANGE * 2).ok()?;
            let to = local.checked_add(LARGEST_CHANGE).ok()?;
            let found = self.around(from, to, zone).into_iter().filter(|fire| *fire < before).max();
            if found.is_some() {
                return found;
            }
            // The only time nearby was shifted to `before` itself.
            local = from;
        }
    }

    fn around(&self, from: civil::DateTime, to: civil::DateTime, zone: &TimeZone) -> Vec<Timestamp> {
        let mut fires = Vec::new();
        let mut local = from;
        while let Some(next) = self.next_local(local).filter(|next| *next <= to) {
            fires.extend(zone.to_ambiguous_timestamp(next).compatible());
            local = next;
        }
        fires
    }

    // ---- the calendar ------------------------------------------------------------------------------------------------

    fn next_local(&self, after: civil::DateTime) -> Option<civil::DateTime> {
        let after = to_chrono(after)?;
        self.calendars.iter().filter_map(|calendar| calendar.after(&after).next()).min().and_then(from_chrono)
    }

    fn prev_local(&self, before: civil::DateTime) -> Option<civil::DateTime> {
        let before = to_chrono(before)?;
        self.calendars.iter().filter_map(|calendar| calendar.after(&before).next_back()).max().and_then(from_chrono)
    }
}

/// Whether no clock change is near the time from `from` to `to`.
fn is_quiet(zone: &TimeZone, from: Timestamp, to: Timestamp) -> bool {
    let (Ok(from), Ok(to)) = (from.checked_sub(LARGEST_CHANGE), to.checked_add(LARGEST_CHANGE)) else { return false };
    zone.following(from).next().is_none_or(|change| change.timestamp() > to)
}

fn day_pairs(fields: &Fields) -> Vec<(u64, u64)> {
    const EVERY_DAY_OF_MONTH: u64 = 0xffff_fffe;
    const EVERY_DAY_OF_WEEK: u64 = 0x7f;
    if fields.both_days {
        vec![(fields.day_of_month, fields.day_of_week)]
    } else {
        vec![(fields.day_of_month, EVERY_DAY_OF_WEEK), (EVERY_DAY_OF_MONTH, fields.day_of_week)]
    }
}

fn list(set: u64, values: Range<u32>, shift: u32) -> String {
    let values: Vec<String> =
        values.filter(|value| set & (1 << value) != 0).map(|value| (value + shift).to_string()).collect();
    values.join(",")
}

/// Local time dressed as UTC, so that the `cron` crate does not meddle with zones. Fractions of a second are kept:
/// "strictly after" must not be rounded.
fn to_chrono(local: civil::DateTime) -> Option<ChronoDateTime<Utc>> {
    chrono::NaiveDate::from_ymd_opt(
        i32::from(local.year()),
        u32::from(local.month().unsigned_abs()),
        u32::from(local.day().unsigned_abs()),
    )?
    .and_hms_nano_opt(
        u32::from(local.hour().unsigned_abs()),
        u32::from(local.minute().unsigned_abs()),
        u32::from(local.second().unsigned_abs()),
        local.subsec_nanosecond().unsigned_abs(),
    )
    .map(|naive| naive.and_utc())
}

fn from_chrono(time: ChronoDateTime<Utc>) -> Option<civil::DateTime> {
    civil::DateTime::new(
        i16::try_from(time.year()).ok()?,
        i8::try_from(time.month()).ok()?,
        i8::try_from(time.day()).ok()?,
        i8::try_from(time.hour()).ok()?,
        i8::try_from(time.minute()).ok()?,
        i8::try_from(time.second()).ok()?,
        0,
    )
    .ok()
}
