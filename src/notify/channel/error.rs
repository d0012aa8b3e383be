//! Why something was not delivered, and whether trying again can help.

/// Why a mail was not delivered. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    /// Trying again cannot help.
    pub permanent: bool,
    /// What happened and what to do.
    pub message: String,
}

pub(super) fn transient(message: String) -> DeliveryError {
    DeliveryError { permanent: false, message }
}

pub(super) fn permanent(message: String) -> DeliveryError {
    DeliveryError { permanent: true, message }
}
