//! The engine as a pure function: whole runs against the oracle, and the rules of retries, pools, limits and the past.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test may fail

mod adoption;
mod limits;
mod outcomes;
mod overlap;
mod past;
mod requests;
mod sensors;
mod why;
mod world;
