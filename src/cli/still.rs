//! How a command that waits says why nothing moves.

use crate::app::query::explain::HoldUp;

/// The lines, where they are not those that were `told` last. The time that is left, which a line may name, is no news.
pub(super) fn news(held_up: &HoldUp, told: &mut Option<HoldUp>) -> Option<Vec<String>> {
    let is_same =
        |told: &HoldUp| (&told.run_id, &told.task_id, &told.next) == (&held_up.run_id, &held_up.task_id, &held_up.next);
    if told.as_ref().is_some_and(is_same) {
        return None;
    }
    *told = Some(held_up.clone());
    let next = held_up.next.as_ref().map(|next| format!("next: {next}"));
    Some([format!("nothing moves: {}", held_up.in_words())].into_iter().chain(next).collect())
}
