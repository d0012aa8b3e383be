//! Tells people: from a notice of what happened to its delivery. Rendering is pure; delivery is one function. What waits
//! is kept by the store, the retries are the driver's.

mod channel;
pub(crate) mod incident;
mod line;
mod mail;
mod notice;
mod outbox;
pub mod render;
pub(crate) mod report;
mod trouble;

pub use channel::{DeliveryError, deliver};
pub use mail::{Mail, Picture};
pub use notice::{Notice, NoticeEvent, RunFacts, Standing, TaskFacts};
pub(crate) use outbox::NO_CHANNEL;
pub use outbox::Outbox;
