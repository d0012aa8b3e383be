//! Builds the message and hands it to the transport of `[email]`: an SMTP server, the local sendmail, or a folder.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};

use super::{Mail, sendmail, smtp};
use crate::dag::config::{Email, MailTransport};

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

/// `Auto-Submitted: auto-generated` (RFC 3834): vacation notices do not answer it.
#[derive(Debug, Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(AutoSubmitted)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

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
    let (recipients, faulty) = recipients(mail);
    if recipients.is_empty() {
        return Err(permanent(faulty.unwrap_or_else(|| "the mail has no recipients".to_owned())));
    }
    let message = message(mail, recipients, message_id, settings)?;
    match &settings.transport {
        MailTransport::Smtp(settings) => smtp::deliver(&message, settings, home, variable),
        MailTransport::Sendmail { command } => sendmail::deliver(&message, command),
        MailTransport::Folder { path } => deliver_folder(&message, &home.join(path), message_id),
    }?;
    faulty.map_or(Ok(()), |faulty| Err(permanent(format!("{faulty}; the other recipients have it"))))
}

/// The recipients, and what is wrong with the rest.
fn recipients(mail: &Mail) -> (Vec<Mailbox>, Option<String>) {
    let (mut good, mut faulty) = (Vec::new(), Vec::new());
    for text in &mail.to {
        match text.parse::<Mailbox>() {
            Ok(mailbox) => good.push(mailbox),
            Err(error) => faulty.push(format!("the recipient `{text}` is not a mail address: {error}")),
        }
    }
    (good, (!faulty.is_empty()).then(|| faulty.join("; ")))
}

fn message(mail: &Mail, to: Vec<Mailbox>, message_id: &str, settings: &Email) -> Result<Message, DeliveryError> {
    // The sender may be put right in crondag.toml while the mail waits.
    let from = settings.from.parse::<Mailbox>().map_err(|error| {
        transient(format!("`from = \"{}\"` under [email] is not a mail address: {error}", settings.from))
    })?;
    let mut builder = Message::builder()
        .from(from)
        .subject(&mail.subject)
        .date(SystemTime::now())
        .message_id(Some(format!("<{message_id}>")))
        .header(AutoSubmitted);
    for mailbox in to {
        builder = builder.to(mailbox);
    }
    let unusable = |error: &dyn std::fmt::Display| permanent(format!("the mail cannot be built: {error}"));
    let body = if mail.pictures.is_empty() {
        MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone())
    } else {
        let png = "image/png".parse::<ContentType>().map_err(|error| unusable(&error))?;
        let with_pictures = mail.pictures.iter().fold(
            MultiPart::related().singlepart(SinglePart::html(mail.html.clone())),
            |part, picture| {
                part.singlepart(Attachment::new_inline(picture.cid.clone()).body(picture.png.clone(), png.clone()))
            },
        );
        MultiPart::alternative().singlepart(SinglePart::plain(mail.text.clone())).multipart(with_pictures)
    };
    builder.multipart(body).map_err(|error| permanent(format!("the mail cannot be built: {error}")))
}

fn deliver_folder(message: &Message, folder: &Path, message_id: &str) -> Result<(), DeliveryError> {
    let stem: String = message_id.chars().map(|c| if c.is_alphanumeric() || c == '.' { c } else { '-' }).collect();
    let target = folder.join(format!("{stem}.eml"));
    let temporary = folder.join(format!(".{stem}.new"));
    let write = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        let mut file = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&message.formatted())?;
        file.sync_all()?;
        fs::rename(&temporary, &target)?;
        // The name survives power loss only once the folder is on disk.
        fs::File::open(folder)?.sync_all()
    };
    write().map_err(|error| transient(format!("cannot write mail to {}: {error}", target.display())))
}
