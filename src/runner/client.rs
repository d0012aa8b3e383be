//! What commands say to the driver.

use crate::home::Home;

/// Why the driver was not woken. Reads after "error: ".
#[derive(Debug, thiserror::Error)]
#[error("this build has no driver")]
pub struct ClientError;

/// Starts the driver or rings its doorbell.
///
/// # Errors
/// Always, in this build.
pub fn wake(_home: &Home) -> Result<(), ClientError> {
    Err(ClientError)
}
