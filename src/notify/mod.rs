//! Tells people: from a notice of what happened to its delivery. Rendering is pure; delivery is one function. What waits
//! is kept by the store, the retries are the driver's.

mod channel;
mod line;
mod mail;
pub mod render;

pub use channel::{DeliveryError, deliver};
pub use mail::{Mail, Picture};
