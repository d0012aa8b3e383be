//! From a notice to the mail that tells it. Pure.

mod body;
pub(crate) mod chart;
mod evidence;
mod html;
mod notice;
mod place;
pub(crate) mod report;
mod subject;
mod warning;

pub use evidence::{Evidence, LogTail};
pub use notice::render;
pub use place::Place;
pub(crate) use subject::run_selector;
