//! What each kind of task runs.
