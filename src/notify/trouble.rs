//! What is wrong with the home itself, whatever its runs do: told once when it is found, and once when it is good again. Pure.

use jiff::{SignedDuration, Timestamp};

use crate::store::{Trouble, TroubleRow};

/// What comes back so soon after it was good has not been mended.
const RETURNS_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// After so many returns people know that it comes and goes.
const MOST_RETURNS: u32 = 3;

/// What a trouble makes of the newest one of its key, and whether people are told.
pub(super) fn after_trouble(before: Option<TroubleRow>, what: Trouble, now: Timestamp) -> (TroubleRow, bool) {
    let opened =
        TroubleRow { opened_at: now, last_at: now, closed_at: None, count: 1, returns: 0, is_told: false, what };
    match before {
        None => (opened, true),
        Some(before) => match before.closed_at {
            None => {
                (TroubleRow { last_at: now, count: before.count.saturating_add(1), what: opened.what, ..before }, false)
            }
            Some(closed_at) if is_soon_after(closed_at, now) => {
                let returns = before.returns.saturating_add(1);
                (TroubleRow { returns, ..opened }, returns < MOST_RETURNS)
            }
            Some(_) => (opened, true),
        },
    }
}

/// What it makes of an open one that all is good again, and whether people are told.
pub(super) fn after_good(before: TroubleRow, now: Timestamp) -> (TroubleRow, bool) {
    let is_told = before.is_told;
    (TroubleRow { closed_at: Some(now), is_told: false, ..before }, is_told)
}

/// What lies ahead is of a clock that was wrong.
fn is_soon_after(at: Timestamp, now: Timestamp) -> bool {
    let passed = now.duration_since(at);
    passed >= SignedDuration::ZERO && passed < RETURNS_WITHIN
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What people hear when at these minutes something is found wrong (`w`) or good (`g`).
    fn heard(what: &[(i64, char)]) -> Vec<(i64, &'static str)> {
        let (mut row, mut heard) = (None, Vec::new());
        for (minute, what) in what {
            let now = Timestamp::from_second(1_530_489_600 + 60 * minute).unwrap();
            match (what, row.take()) {
                ('w', before) => {
                    let what = Trouble::LogDisk { dag_id: "d".into(), task_id: "a".into(), error: "full".into() };
                    let (after, is_told) = after_trouble(before, what, now);
                    heard.extend(is_told.then_some((*minute, "wrong")));
                    row = Some(TroubleRow { is_told: after.is_told || is_told, ..after });
                }
                (_, Some(before @ TroubleRow { closed_at: None, .. })) => {
                    let (after, is_told) = after_good(before, now);
                    heard.extend(is_told.then_some((*minute, "good")));
                    row = Some(after);
                }
                (_, before) => row = before,
            }
        }
        heard
    }

    #[test]
    fn people_hear_once_that_something_is_wrong_and_once_that_it_is_good() {
        assert_eq!(
            heard(&[(0, 'g'), (1, 'w'), (2, 'w'), (900, 'w'), (901, 'g'), (902, 'g')]),
            [(1, "wrong"), (901, "good")]
        );
        assert_eq!(
            heard(&[(0, 'w'), (1, 'g'), (100, 'w'), (101, 'g')]),
            [(0, "wrong"), (1, "good"), (100, "wrong"), (101, "good")]
        );
    }

    #[test]
    fn of_what_comes_and_goes_people_hear_three_times() {
        let flapping: Vec<(i64, char)> =
            (0..100).map(|minute| (minute, if minute % 2 == 0 { 'w' } else { 'g' })).collect();
        assert_eq!(heard(&flapping), [(0, "wrong"), (1, "good"), (2, "wrong"), (3, "good"), (4, "wrong"), (5, "good")]);
    }
}
