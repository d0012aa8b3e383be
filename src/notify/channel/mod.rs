//! The ways by which a notice reaches people: mail, which leaves through an SMTP server, the local sendmail or a folder.

mod error;
mod folder;
mod message;
mod sendmail;
mod smtp;

use std::path::Path;

use crate::dag::config::{Email, MailTransport};
use crate::notify::mail::Mail;

pub use error::DeliveryError;

use error::permanent;

/// Delivers a mail. `message_id` stays the same however often it is tried, so that a mail that arrives twice shows as
/// one; `variable` looks a variable up in `env_file` or the environment.
///
/// A recipient who cannot be reached keeps nobody else from the mail: the others get it, and the error names him.
///
/// # Errors
/// With the words that save the call to the mail administrator; says whether trying again can help.
pub fn deliver(
    mail: &Mail,
    message_id: &str,
    settings: &Email,
    home: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), DeliveryError> {
    let (recipients, faulty) = message::recipients(mail);
    if recipients.is_empty() {
        return Err(permanent(faulty.unwrap_or_else(|| "the mail has no recipients".to_owned())));
    }
    let message = message::message(mail, recipients, message_id, settings)?;
    match &settings.transport {
        MailTransport::Smtp(settings) => smtp::deliver(&message, settings, home, variable),
        MailTransport::Sendmail { command } => sendmail::deliver(&message, command),
        MailTransport::Folder { path } => folder::deliver(&message, &home.join(path), message_id),
    }?;
    faulty.map_or(Ok(()), |faulty| Err(permanent(format!("{faulty}; the other recipients have it"))))
}
