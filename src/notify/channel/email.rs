//! Mail, which leaves through an SMTP server, the local sendmail or a folder.

use std::path::Path;

use super::error::{DeliveryError, permanent};
use super::{folder, message, sendmail, smtp};
use crate::dag::config::{Email, MailTransport};
use crate::notify::mail::Mail;

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
