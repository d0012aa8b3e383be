//! Schedules in every zone of the tz database, every day of 1990 to 2037, and generated schedules in awkward zones.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

use std::collections::BTreeMap;

use crondag::dag::schedule::Schedule;
use jiff::civil::{Date, date};
use jiff::tz::{self, TimeZone};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;

/// One name for each set of zones that behave alike in those years, so that links are not walked twice.
fn distinct_zones() -> Vec<(String, TimeZone)> {
    let from: Timestamp = "1989-12-01T00:00:00Z".parse().unwrap();
    let to: Timestamp = "2038-02-01T00:00:00Z".parse().unwrap();
    let mut distinct: BTreeMap<Vec<(Timestamp, i32)>, (String, TimeZone)> = BTreeMap::new();
    let mut names = 0;
    for name in tz::db().available() {
        let zone = TimeZone::get(name.as_str()).unwrap();
        let changes = std::iter::once((from, zone.to_offset(from).seconds()))
            .chain(zone.following(from).map(|c| (c.timestamp(), c.offset().seconds())).take_while(|(at, _)| *at < to))
            .collect();
        distinct.entry(changes).or_insert((name.as_str().to_owned(), zone));
        names += 1;
    }
    assert!(names > 400 && distinct.len() > 150, "{names} names, {} distinct", distinct.len());
    distinct.into_values().collect()
}

fn days() -> impl Iterator<Item = Date> {
    date(1990, 1, 1).series(1.day()).take_while(|day| *day <= date(2037, 12, 31))
}

/// Whether the local day exists at all: Kwajalein skipped 1993-08-21, Samoa 2011-12-30.
fn exists(day: Date, zone: &TimeZone) -> bool {
    let midday = zone.to_ambiguous_timestamp(day.at(12, 0, 0, 0)).compatible().unwrap();
    zone.to_datetime(midday).date() == day
}

fn check_once_a_day(name: &str, zone: &TimeZone, schedule: &Schedule) {
    let mut fire = zone.to_timestamp(date(1989, 12, 31).at(12, 0, 0, 0)).unwrap();
    for day in days() {
        if !exists(day, zone) {
            continue;
        }
        let next = schedule.next_fire(fire, zone).unwrap();
        let local = zone.to_datetime(next);
        assert_eq!(local.date(), day, "{name}: `{}` after {fire}", schedule.text());
        assert!(next > fire);
        fire = next;
    }
}

fn check_strictly_increasing(name: &str, zone: &TimeZone, schedule: &Schedule) {
    let from: Timestamp = "1990-01-01T00:00:00Z".parse().unwrap();
    let to: Timestamp = "2038-01-01T00:00:00Z".parse().unwrap();
    // Away from clock changes the calendar alone decides, so the days around each change are walked.
    for change in zone.following(from).take_while(|change| change.timestamp() < to) {
        let mut fire = change.timestamp() - 30.hours();
        let end = change.timestamp() + 30.hours();
        while fire < end {
            let next = schedule.next_fire(fire, zone).unwrap();
            assert!(next > fire, "{name}: {next} after {fire}");
            assert!(zone.to_datetime(next).minute() % 30 == 0, "{name}: {next}");
            assert!(
                next.duration_since(fire) <= SignedDuration::from_mins(60),
                "{name}: nothing from {fire} to {next}"
            );
            fire = next;
        }
    }
}

#[test]
fn a_daily_job_fires_exactly_once_on_every_local_day_of_every_zone() {
    let zones = distinct_zones();
    let (left, right) = zones.split_at(zones.len() / 2);
    std::thread::scope(|scope| {
        for half in [left, right] {
            scope.spawn(move || {
                let daily = ["0 2 * * *", "30 2 * * *"].map(|text| Schedule::parse(text).unwrap());
                let half_hourly = Schedule::parse("*/30 * * * *").unwrap();
                for (name, zone) in half {
                    for schedule in &daily {
                        check_once_a_day(name, zone, schedule);
                    }
                    check_strictly_increasing(name, zone, &half_hourly);
                }
            });
        }
    });
}

fn fires(expr: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
    let (schedule, zone) = (Schedule::parse(expr).unwrap(), TimeZone::get(zone).unwrap());
    let mut fire: Timestamp = after.parse().unwrap();
    (0..count)
        .map(|_| {
            fire = schedule.next_fire(fire, &zone).unwrap();
            fire.to_zoned(zone.clone()).strftime("%m-%dT%H:%M%:z").to_string()
        })
        .collect()
}

#[test]
fn clock_changes_in_new_york() {
    // Spring 2024-03-10: 02:00 to 03:00 does not exist.
    let spring = "2024-03-09T12:00:00Z";
    assert_eq!(
        fires("30 2 * * *", "America/New_York", spring, 3),
        ["03-10T03:30-04:00", "03-11T02:30-04:00", "03-12T02:30-04:00"]
    );
    assert_eq!(fires("30 2,3 * * *", "America/New_York", spring, 2), ["03-10T03:30-04:00", "03-11T02:30-04:00"]);
    assert_eq!(
        fires("0 * * * *", "America/New_York", "2024-03-10T05:30:00Z", 3),
        ["03-10T01:00-05:00", "03-10T03:00-04:00", "03-10T04:00-04:00"]
    );
    // Autumn 2024-11-03: 01:00 to 02:00 comes twice.
    let autumn = "2024-11-03T04:30:00Z";
    assert_eq!(fires("30 1 * * *", "America/New_York", autumn, 2), ["11-03T01:30-04:00", "11-04T01:30-05:00"]);
    assert_eq!(
        fires("*/30 * * * *", "America/New_York", autumn, 5),
        ["11-03T01:00-04:00", "11-03T01:30-04:00", "11-03T01:00-05:00", "11-03T01:30-05:00", "11-03T02:00-05:00"]
    );
}

#[test]
fn half_hour_and_whole_day_changes() {
    assert_eq!(
        fires("0 * * * *", "Australia/Lord_Howe", "2026-10-03T14:40:00Z", 3),
        ["10-04T03:00+11:00", "10-04T04:00+11:00", "10-04T05:00+11:00"]
    );
    assert_eq!(
        fires("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2),
        ["10-04T02:45+11:00", "10-05T02:15+11:00"]
    );
    assert_eq!(
        fires("0 7 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 2),
        ["12-29T07:00-10:00", "12-31T07:00+14:00"]
    );
}

#[test]
fn a_shifted_time_may_come_after_one_that_is_later_by_the_clock() {
    // 02:00 to 02:30 does not exist: 02:15 becomes 02:45.
    let (expr, zone) = ("15,40 2 * * *", "Australia/Lord_Howe");
    assert_eq!(
        fires(expr, zone, "2026-10-03T12:00:00Z", 3),
        ["10-04T02:40+11:00", "10-04T02:45+11:00", "10-05T02:15+11:00"]
    );
    let (schedule, zone) = (Schedule::parse(expr).unwrap(), TimeZone::get(zone).unwrap());
    let before = |at: &str| schedule.prev_fire(at.parse().unwrap(), &zone);
    assert_eq!(before("2026-10-04T02:50:00+11:00"), Some("2026-10-04T02:45:00+11:00".parse().unwrap()));
    assert_eq!(before("2026-10-04T02:45:00+11:00"), Some("2026-10-04T02:40:00+11:00".parse().unwrap()));
    assert_eq!(before("2026-10-04T02:40:00+11:00"), Some("2026-10-03T02:40:00+10:30".parse().unwrap()));
}

#[test]
fn the_only_time_of_the_year_may_fall_on_a_clock_change() {
    // 02:00 on the first Sunday of October does not exist on Lord Howe: the time before it is a year earlier.
    let (schedule, zone) = (Schedule::parse("0 2 * 10 *").unwrap(), TimeZone::get("Australia/Lord_Howe").unwrap());
    let shifted: Timestamp = "2017-10-01T02:30:00+11:00".parse().unwrap();
    assert_eq!(schedule.next_fire(shifted - 1.hour(), &zone), Some(shifted));
    assert_eq!(schedule.prev_fire(shifted, &zone), Some("2016-10-31T02:00:00+11:00".parse().unwrap()));
    // 01:45 on 3 November 2024 comes twice in New York: after its first occurrence the next is a year later.
    assert_eq!(fires("45 1 3 11 *", "America/New_York", "2024-11-03T06:40:00Z", 1), ["11-03T01:45-05:00"]);
    let (schedule, zone) = (Schedule::parse("45 1 3 11 *").unwrap(), TimeZone::get("America/New_York").unwrap());
    let second: Timestamp = "2024-11-03T01:40:00-05:00".parse().unwrap();
    assert_eq!(schedule.next_fire(second, &zone), Some("2025-11-03T01:45:00-05:00".parse().unwrap()));
}

#[test]
fn the_way_back_through_a_clock_change_finds_the_same_times() {
    let changes = [
        ("America/New_York", "2024-03-09T04:30:00Z"),
        ("America/New_York", "2024-11-02T04:30:00Z"),
        ("Australia/Lord_Howe", "2026-10-02T14:40:00Z"),
        ("Pacific/Apia", "2011-12-28T12:00:00Z"),
    ];
    for (zone, from) in changes {
        let (zone, from): (TimeZone, Timestamp) = (TimeZone::get(zone).unwrap(), from.parse().unwrap());
        for expr in ["0 * * * *", "*/30 * * * *", "30 1 * * *", "15,45 1,2,3 * * *", "0 0 * * *"] {
            let schedule = Schedule::parse(expr).unwrap();
            let mut fires = vec![schedule.next_fire(from, &zone).unwrap()];
            while *fires.last().unwrap() < from + 96.hours() {
                fires.push(schedule.next_fire(*fires.last().unwrap(), &zone).unwrap());
            }
            assert!(fires.is_sorted_by(|one, next| one < next), "{expr}: {fires:?}");
            for pair in fires.windows(2) {
                assert_eq!(schedule.prev_fire(pair[1], &zone), Some(pair[0]), "{expr} before {}", pair[1]);
                assert_eq!(schedule.next_fire(pair[1] - 1.nanoseconds(), &zone), Some(pair[1]), "{expr}");
                assert_eq!(schedule.prev_fire(pair[0] + 1.nanoseconds(), &zone), Some(pair[0]), "{expr}");
            }
        }
    }
}

fn expression() -> impl Strategy<Value = String> {
    let minute = prop_oneof![
        Just("*".to_owned()),
        Just("*/7".to_owned()),
        (0..60_u32).prop_map(|m| m.to_string()),
        Just("5-50/9".to_owned())
    ];
    let hour = prop_oneof![
        Just("*".to_owned()),
        Just("*/5".to_owned()),
        (0..24_u32).prop_map(|h| h.to_string()),
        Just("1,2,3".to_owned())
    ];
    let dom = prop_oneof![3 => Just("*".to_owned()), 1 => (1..29_u32).prop_map(|d| d.to_string()), 1 => Just("*/3".to_owned())];
    let month = prop_oneof![3 => Just("*".to_owned()), 1 => (1..13_u32).prop_map(|m| m.to_string())];
    let dow = prop_oneof![3 => Just("*".to_owned()), 1 => (0..8_u32).prop_map(|d| d.to_string()), 1 => Just("mon-fri".to_owned())];
    (minute, hour, dom, month, dow).prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

const AWKWARD: &[&str] = &[
    "America/New_York",
    "Europe/London",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Asia/Beirut",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Pacific/Apia",
    "Asia/Shanghai",
    "UTC",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    /// Fire times found one after the other equal those found by starting anywhere between them, in both directions.
    #[test]
    fn any_restart_finds_the_same_fire_times(
        expr in expression(), zone in 0..AWKWARD.len(), start in 600_000_000_i64..2_100_000_000, part in 0.0..1.0_f64,
    ) {
        let (schedule, zone) = (Schedule::parse(&expr).unwrap(), TimeZone::get(AWKWARD[zone]).unwrap());
        let mut fire = Timestamp::from_second(start).unwrap();
        for _ in 0..20 {
            let Some(next) = schedule.next_fire(fire, &zone) else { break };
            prop_assert!(next > fire);
            let between = fire + SignedDuration::from_secs_f64(next.duration_since(fire).as_secs_f64() * part * 0.999);
            prop_assert_eq!(schedule.next_fire(between, &zone), Some(next), "{} from {} between {}", expr, fire, between);
            let just_after = next + SignedDuration::from_nanos(1);
            prop_assert_eq!(schedule.prev_fire(just_after, &zone), Some(next), "{} back to {}", expr, next);
            let previous = schedule.prev_fire(next, &zone).unwrap();
            prop_assert!(previous <= fire || fire == Timestamp::from_second(start).unwrap(), "{expr}: {previous} {fire}");
            prop_assert_eq!(schedule.next_fire(previous, &zone), Some(next), "{} forth from {}", expr, previous);
            fire = next;
        }
    }
}
