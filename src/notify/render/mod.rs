//! From a notice to the mail that tells it. Pure.

mod body;
pub mod chart;
mod evidence;
mod html;
mod notice;
mod place;
pub mod report;
mod subject;
mod warning;

pub use evidence::{Evidence, LogTail};
pub use notice::render;
pub use place::Place;
pub use subject::run_selector;
