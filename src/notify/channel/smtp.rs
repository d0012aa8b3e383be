//! Hands a mail to an SMTP server, and says in words what stood in the way.

use std::error::Error as _;
use std::path::Path;

use lettre::address::Envelope;
use lettre::message::Message;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as LettreTls, TlsParameters};
use lettre::{SmtpTransport, Transport};

use super::error::{DeliveryError, permanent, transient};
use crate::dag::config::{Smtp, Tls};
use crate::mask::{Mask, SHORTEST_SECRET};
use crate::notify::line::one_line;
use crate::text_file;

/// Replies by which a server refuses a login or wants one (RFC 4954).
const LOGIN_CODES: [&str; 6] = ["432", "454", "530", "534", "535", "538"];

pub(super) fn deliver(
    message: &Message,
    smtp: &Smtp,
    home: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<(), DeliveryError> {
    let password = password(smtp, variable)?;
    // A server may repeat in its answer what it was told.
    let hidden = |mut error: DeliveryError| {
        error.message = Mask::new(password.as_deref()).text(&error.message);
        error
    };
    let transport = transport(smtp, home, password.as_deref())?;
    let bytes = message.formatted();
    let whole = message.envelope();
    let Err(error) = transport.send_raw(whole, &bytes) else { return Ok(()) };
    let error = hidden(explain(&error, smtp));
    if !error.permanent || whole.to().len() < 2 {
        return Err(error);
    }
    // One refused recipient ends the delivery to all of them, so each gets his own.
    let mut refused = Vec::new();
    for address in whole.to() {
        let one = Envelope::new(whole.from().cloned(), vec![address.clone()])
            .map_err(|error| permanent(format!("the mail cannot be built: {error}")))?;
        let Err(error) = transport.send_raw(&one, &bytes) else { continue };
        let error = hidden(explain(&error, smtp));
        if !error.permanent {
            return Err(error);
        }
        refused.push((address, error));
    }
    match refused.first() {
        None => Ok(()),
        Some((_, first)) if refused.len() == whole.to().len() => Err(first.clone()),
        Some((_, first)) => {
            let names: Vec<String> = refused.iter().map(|(address, _)| address.to_string()).collect();
            Err(permanent(format!("{} ({}; the other recipients have it)", first.message, names.join(", "))))
        }
    }
}

/// Whatever is missing may be put right while the mail waits, so it is worth trying again.
fn password(smtp: &Smtp, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>, DeliveryError> {
    match (&smtp.username, &smtp.password_env) {
        (None, _) => Ok(None),
        (Some(username), None) => Err(transient(format!(
            "[email] has the username {username} but no password_env: name the variable of env_file that holds the password"
        ))),
        (Some(_), Some(name)) => match variable(name) {
            Some(password) if password.len() < SHORTEST_SECRET => Err(transient(format!(
                "the mail password in {name} has fewer than {SHORTEST_SECRET} characters: it could not be masked"
            ))),
            Some(password) => Ok(Some(password)),
            None => {
                Err(transient(format!("the mail password is missing: put {name}=... into env_file of crondag.toml")))
            }
        },
    }
}

fn transport(smtp: &Smtp, home: &Path, password: Option<&str>) -> Result<SmtpTransport, DeliveryError> {
    let tls = match smtp.tls {
        Tls::None => LettreTls::None,
        Tls::Required => LettreTls::Wrapper(tls_parameters(smtp, home)?),
        Tls::Starttls => LettreTls::Required(tls_parameters(smtp, home)?),
    };
    let mut builder = SmtpTransport::builder_dangerous(&smtp.host).port(smtp.port).tls(tls).timeout(Some(smtp.timeout));
    if let (Some(username), Some(password)) = (&smtp.username, password) {
        builder = builder.credentials(Credentials::new(username.clone(), password.to_owned()));
    }
    Ok(builder.build())
}

fn tls_parameters(smtp: &Smtp, home: &Path) -> Result<TlsParameters, DeliveryError> {
    let mut builder = TlsParameters::builder(smtp.host.clone())
        .dangerous_accept_invalid_certs(!smtp.tls_verify)
        .dangerous_accept_invalid_hostnames(!smtp.tls_verify);
    if let Some(path) = &smtp.tls_ca {
        let path = home.join(path);
        let wrong = |what: String| transient(format!("tls_ca {}: {what}", path.display()));
        let pem = text_file::bytes(&path).map_err(|error| wrong(error.to_string()))?;
        if !pem.windows(27).any(|window| window == b"-----BEGIN CERTIFICATE-----") {
            return Err(wrong("no certificate in it; it must be PEM, with BEGIN CERTIFICATE lines".to_owned()));
        }
        builder = builder.add_root_certificate(Certificate::from_pem(&pem).map_err(|error| wrong(error.to_string()))?);
    }
    builder.build().map_err(|error| transient(format!("TLS cannot be set up: {error}")))
}

/// What a failure means and what to do about it. Decided by the reply's code where the server gave one: its words may
/// say anything.
fn explain(error: &Error, smtp: &Smtp) -> DeliveryError {
    let server = format!("{}:{}", smtp.host, smtp.port);
    match error.status() {
        Some(code) => {
            let words = one_line(&error.source().map_or_else(String::new, ToString::to_string));
            explain_reply(&server, smtp, &code.to_string(), &words, error.is_permanent())
        }
        None => explain_failure(&server, smtp, &one_line(&error.to_string()), error.is_timeout()),
    }
}

fn explain_reply(server: &str, smtp: &Smtp, code: &str, words: &str, is_permanent: bool) -> DeliveryError {
    let reply = format!("{code} {words}");
    if LOGIN_CODES.contains(&code) {
        // The settings may be put right while the mail waits.
        return transient(if words.contains("STARTTLS") {
            format!("the mail server {server} wants TLS first: set tls = \"starttls\" ({reply})")
        } else if let Some(username) = &smtp.username {
            format!("the mail server {server} refuses the login of {username}: {reply}")
        } else {
            format!("the mail server {server} wants a login: set username and password_env under [email] ({reply})")
        });
    }
    if is_permanent {
        permanent(format!("the mail server {server} refuses the mail: {reply}"))
    } else {
        transient(format!("the mail server {server} does not take the mail now: {reply}"))
    }
}

fn explain_failure(server: &str, smtp: &Smtp, whole: &str, is_timeout: bool) -> DeliveryError {
    let has = |words: &[&str]| words.iter().any(|word| whole.contains(word));
    if has(&["Connection refused"]) {
        transient(format!("the mail server {server} refuses connections: is it running, is the port right?"))
    } else if is_timeout || has(&["os error 11", "timed out", "WouldBlock"]) {
        // A server that waits for TLS from the first byte never greets.
        let hint = if smtp.tls != Tls::Required && smtp.port == 465 {
            ": port 465 usually wants tls = \"required\""
        } else {
            ""
        };
        transient(format!("the mail server {server} did not answer in time{hint}"))
    } else if has(&["lookup address", "Name or service not known", "Temporary failure in name resolution"]) {
        transient(format!("no address is known for the mail server {}: is `host` under [email] right?", smtp.host))
    } else if has(&["No route to host", "Network is unreachable"]) {
        transient(format!("there is no way to the mail server {server} from this machine: {whole}"))
    } else if let Some((_, fault)) = whole.split_once("invalid peer certificate: ") {
        transient(explain_certificate(server, fault))
    } else if has(&["InvalidContentType"]) {
        transient(format!(
            "the mail server {server} does not speak TLS from the first byte: set tls = \"starttls\" or \"none\""
        ))
    } else if has(&["STARTTLS is not supported"]) {
        transient(format!("the mail server {server} does not offer STARTTLS: set tls = \"required\" or \"none\""))
    } else if has(&["No compatible authentication"]) {
        let hint = if smtp.tls == Tls::None { "; many do only with tls = \"starttls\"" } else { "" };
        transient(format!("the mail server {server} offers no login by password (PLAIN or LOGIN){hint}"))
    } else if has(&["SMTPUTF8"]) {
        permanent(format!("the mail server {server} takes no addresses beyond ASCII (it lacks SMTPUTF8)"))
    } else if has(&["incomplete response"]) {
        transient(format!("the mail server {server} closed the connection"))
    } else {
        transient(format!("the mail server {server}: {whole}"))
    }
}

fn explain_certificate(server: &str, fault: &str) -> String {
    if fault.contains("xpired") {
        format!("the certificate of the mail server {server} has expired ({fault}): it must be renewed there")
    } else if fault.contains("not valid for name") || fault.contains("NotValidForName") {
        format!(
            "the certificate of the mail server {server} is not trusted, it is for another name ({fault}): set `host` \
             to that name, or tls_verify = false"
        )
    } else {
        format!(
            "the certificate of the mail server {server} is not trusted ({fault}): set tls_ca to your company's \
             certificate, or tls_verify = false"
        )
    }
}
