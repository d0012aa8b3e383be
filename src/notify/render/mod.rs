//! From what happened to the mail that tells it. Pure.

pub mod chart;
mod html;
mod incident;
pub mod report;
mod warning;

pub use incident::{Incident, IncidentKind, TaskIncident, compose, run_selector};
pub use report::compose_report;
pub use warning::{CheckWarning, compose_warning};
