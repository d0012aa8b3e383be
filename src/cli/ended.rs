//! How commands that watch a run say that it has ended.

use crate::app::times::elapsed;
use crate::dag::units::format_duration;
use crate::store::Progress;

/// `success in 1m 4s: 3 succeeded, 1 failed, 2 upstream_failed`
pub(super) fn ended(run: &Progress) -> String {
    let took = match (run.start_date, run.end_date) {
        (Some(start), Some(end)) => format!(" in {}", format_duration(elapsed(start, end))),
        (None, _) | (_, None) => String::new(),
    };
    let text = format!("{}{took}", run.state);
    let tasks = &run.tasks;
    let counts = [
        (tasks.success, "succeeded"),
        (tasks.failures.failed, "failed"),
        (tasks.failures.upstream_failed, "upstream_failed"),
        (tasks.skipped, "skipped"),
        (tasks.total - tasks.ended, "not run"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if counts.is_empty() { text } else { format!("{text}: {}", counts.join(", ")) }
}
