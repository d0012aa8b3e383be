//! Which part of a history is listed: options that several commands have.

use crate::app::select::Excerpt;

/// The options.
#[derive(Debug, clap::Args)]
pub(super) struct ExcerptArgs {
    /// Only what was going on at some moment from then on
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Only what was going on at some moment before
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Only what was going on then: 2018-07-01T04:00, 04:00 (the last time that it was), 2h (so long ago)
    #[arg(long, value_name = "TIME", conflicts_with_all = ["since", "until"])]
    at: Option<String>,
    /// The N that took longest, the slowest first; of all, unless --limit is given
    #[arg(long, value_name = "N")]
    slowest: Option<usize>,
    /// At most so many, the newest [default: 20]
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

impl ExcerptArgs {
    pub(super) fn excerpt(&self) -> Excerpt {
        Excerpt {
            since: self.since.clone(),
            until: self.until.clone(),
            at: self.at.clone(),
            limit: self.limit,
            slowest: self.slowest,
        }
    }
}
