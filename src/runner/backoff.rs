//! Pauses between tries, each twice as long as the one before.

use std::time::Duration;

/// Pauses that double up to a longest one. It never ends.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// For what a disk or a database refuses: short enough to be noticed at once when it works again.
    pub(crate) fn of_storage() -> Backoff {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(10))
    }

    pub(crate) fn new(first: Duration, longest: Duration) -> Backoff {
        Backoff { next: first, longest }
    }

    /// How long to wait before the next try.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.longest);
        pause
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.pause())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let pauses: Vec<u128> = Backoff::of_storage().take(9).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000]);
    }
}
