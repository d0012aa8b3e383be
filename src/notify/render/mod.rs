//! From a notice to the mail that tells it. Pure.

pub mod chart;
mod html;
mod notice;
mod place;
pub mod report;
mod warning;

pub use notice::{Evidence, LogTail, render, run_selector};
pub use place::Place;
