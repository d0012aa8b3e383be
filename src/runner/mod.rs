//! How a run happens: the pure engine, the driver that obeys it, the shim that watches over one attempt.

pub mod actions;
pub mod attempt;
pub mod engine;
