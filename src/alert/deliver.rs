//! Hands a mail to an SMTP server, to the local sendmail, or to a folder.

use std::error::Error as _;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;

use lettre::message::header::{Header, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message, MultiPart};
use lettre::transport::sendmail::SendmailTransport;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as LettreTls, TlsParameters};
use lettre::{SmtpTransport, Transport};

use super::Mail;
use crate::dag::config::{Email, MailTransport, Smtp, Tls};

/// Why a mail was not delivered. Reads after "error: ".
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct DeliveryError {
    /// Trying again cannot help.
    pub permanent: bool,
    /// What happened and what to do.
    pub message: String,
}

fn transient(message: String) -> DeliveryError {
    DeliveryError { permanent: false, message }
}

fn permanent(message: String) -> DeliveryError {
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

/// Delivers a mail. `message_id` stays the same however often it is tried; `variable` looks a variable up in `env_file`
/// or the environment.
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
    let message = message(mail, message_id, settings)?;
    match &settings.transport {
        MailTransport::Smtp(smtp) => deliver_smtp(&message, smtp, home, variable),
        MailTransport::Sendmail { command } => deliver_sendmail(&message, command),
        MailTransport::Folder { path } => deliver_folder(&message, &home.join(path), message_id),
    }
}

fn message(mail: &Mail, message_id: &str, settings: &Email) -> Result<Message, DeliveryError> {
    let mailbox = |text: &str, whose: &str| {
        text.parse::<Mailbox>().map_err(|error| permanent(format!("{whose} `{text}` is not a mail address: {error}")))
    };
    let mut builder = Message::builder()
        .from(mailbox(&settings.from, "[email] from")?)
        .subject(&mail.subject)
        .date(SystemTime::now())
        .message_id(Some(format!("<{message_id}>")))
        .header(AutoSubmitted);
    for to in &mail.to {
        builder = builder.to(mailbox(to, "the recipient")?);
    }
    builder
        .multipart(MultiPart::alternative_plain_html(mail.text.clone(), mail.html.clone()))
        .map_err(|error| permanent(format!("the mail cannot be built: {error}")))
}

fn deliver_smtp(
    message: &Message,
    smtp: &Smtp,
    home: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), DeliveryError> {
    let server = format!("{}:{}", smtp.host, smtp.port);
    let tls = match smtp.tls {
        Tls::None => LettreTls::None,
        Tls::Required => LettreTls::Wrapper(tls_parameters(smtp, home)?),
        Tls::Starttls => LettreTls::Required(tls_parameters(smtp, home)?),
    };
    let mut transport =
        SmtpTransport::builder_dangerous(&smtp.host).port(smtp.port).tls(tls).timeout(Some(smtp.timeout));
    if let (Some(username), Some(name)) = (&smtp.username, &smtp.password_env) {
        // May be put right in env_file while the mail waits, so it is worth trying again.
        let password = variable(name).ok_or_else(|| {
            transient(format!("the mail password is missing: put {name}=... into env_file of crondag.toml"))
        })?;
        transport = transport.credentials(Credentials::new(username.clone(), password));
    }
    transport.build().send(message).map(|_| ()).map_err(|error| explain(&error, &server, smtp))
}

fn tls_parameters(smtp: &Smtp, home: &Path) -> Result<TlsParameters, DeliveryError> {
    let mut builder = TlsParameters::builder(smtp.host.clone()).dangerous_accept_invalid_certs(!smtp.tls_verify);
    if let Some(path) = &smtp.tls_ca {
        let path = home.join(path);
        let wrong = |what: String| transient(format!("tls_ca {}: {what}", path.display()));
        let pem = fs::read(&path).map_err(|error| wrong(error.to_string()))?;
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?);
    }
    builder.build().map_err(|error| transient(format!("TLS cannot be set up: {error}")))
}

fn explain(error: &lettre::transport::smtp::Error, server: &str, smtp: &Smtp) -> DeliveryError {
    let mut whole = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !whole.contains(&inner_text) {
            whole.push_str(": ");
            whole.push_str(&inner_text);
        }
        source = inner.source();
    }
    let has = |words: &[&str]| words.iter().any(|word| whole.contains(word));
    if has(&["Connection refused"]) {
        transient(format!("the mail server {server} refuses connections: is it running, is the port right?"))
    } else if error.is_timeout() || has(&["os error 11", "timed out", "WouldBlock"]) {
        transient(format!("the mail server {server} did not answer in time"))
    } else if has(&["certificate", "CaUsedAsEndEntity", "UnknownIssuer", "NotValidForName"]) {
        transient(format!(
            "the certificate of the mail server {server} is not trusted ({whole}): set tls_ca to your company's \
             certificate, or tls_verify = false"
        ))
    } else if has(&["STARTTLS"]) {
        transient(format!("the mail server {server} does not offer STARTTLS: set tls = \"required\" or \"none\""))
    } else if has(&["535", "Authentication", "authentication", "No compatible"]) {
        let user = smtp.username.as_deref().unwrap_or_default();
        transient(format!("the mail server {server} refuses the login of {user}: {whole}"))
    } else if error.is_permanent() {
        permanent(format!("the mail server {server} refuses the mail: {whole}"))
    } else {
        transient(format!("the mail server {server}: {whole}"))
    }
}

fn deliver_sendmail(message: &Message, command: &str) -> Result<(), DeliveryError> {
    if !Path::new(command).exists() {
        return Err(transient(format!("the program {command} does not exist: set `command` under [email]")));
    }
    SendmailTransport::new_with_command(command)
        .send(message)
        .map_err(|error| transient(format!("{command} failed: {error}")))
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
        fs::rename(&temporary, &target)
    };
    write().map_err(|error| transient(format!("cannot write mail to {}: {error}", target.display())))
}
