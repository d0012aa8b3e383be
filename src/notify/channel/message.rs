//! Builds the message of a mail: headers, plain text, HTML, pictures.

use std::time::SystemTime;

use lettre::message::header::{ContentType, Header, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};

use super::error::{DeliveryError, permanent, transient};
use crate::dag::config::Email;
use crate::notify::mail::Mail;

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

/// The recipients, and what is wrong with the rest.
pub(super) fn recipients(mail: &Mail) -> (Vec<Mailbox>, Option<String>) {
    let (mut good, mut faulty) = (Vec::new(), Vec::new());
    for text in &mail.to {
        match text.parse::<Mailbox>() {
            Ok(mailbox) => good.push(mailbox),
            Err(error) => faulty.push(format!("the recipient `{text}` is not a mail address: {error}")),
        }
    }
    (good, (!faulty.is_empty()).then(|| faulty.join("; ")))
}

pub(super) fn message(
    mail: &Mail,
    to: Vec<Mailbox>,
    message_id: &str,
    settings: &Email,
) -> Result<Message, DeliveryError> {
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
