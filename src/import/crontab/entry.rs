//! What a crontab says of one job.

use super::job::Job;
use super::parse::When;

/// A job with all that its lines and those above it say.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) job: Job,
    pub(super) name: String,
    pub(super) source: String,
    pub(super) when: When,
    pub(super) user: Option<String>,
    pub(super) description: Option<String>,
    pub(super) timezone: Option<String>,
    pub(super) email: Vec<String>,
    /// The shell that crontab names, where it is not one that bash can stand for.
    pub(super) shell: Option<String>,
    pub(super) is_disabled: bool,
}
