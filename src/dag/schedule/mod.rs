//! When a DAG fires, and which data each firing is about.

/// A schedule of a DAG.
#[derive(Debug, Clone)]
pub struct Schedule {}
