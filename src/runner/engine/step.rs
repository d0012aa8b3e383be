//! What one event sets going.

use std::collections::VecDeque;

use jiff::Timestamp;

use super::message::Effect;
use crate::dag::RunNumber;

/// One step's worth of work.
pub(super) struct Step {
    pub(super) now: Timestamp,
    pub(super) effects: Vec<Effect>,
    /// Tasks that must be evaluated again.
    pub(super) touched: VecDeque<(RunNumber, usize)>,
}
