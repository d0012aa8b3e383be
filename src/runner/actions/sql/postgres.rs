//! `PostgreSQL`. Parameters are bound as texts of whatever type the server infers; rows stream in its binary format.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::ToSpan as _;
use jiff::civil;
use postgres::error::{DbError, ErrorPosition, SqlState};
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::types::private::BytesMut;
use postgres::types::{Format, FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, NoTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::script::{Dialect, Statement};
use super::session::{Canceller, ErrorKind, Outcome, Params, Rows, Session, SqlError, Value, address, values};
use crate::dag::config::{DatabaseServer, ServerAddress};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

type Anything = Box<dyn std::error::Error + Sync + Send>;

/// An open connection.
pub(super) struct Postgres {
    client: Client,
    tls: Option<MakeRustlsConnect>,
    address: String,
}

impl Postgres {
    pub(super) fn open(server: &DatabaseServer, password: Option<&str>, home: &Path) -> Result<Postgres, SqlError> {
        let mut config = postgres::Config::new();
        match &server.address {
            ServerAddress::Tcp { host, port } => config.host(host).port(*port),
            ServerAddress::Unix { path, port } => {
                let (folder, port) = socket(&home.join(path), *port);
                config.host_path(folder).port(port)
            }
        };
        config
            .user(&server.username)
            .dbname(&server.database)
            .connect_timeout(CONNECT_TIMEOUT)
            .application_name("crondag");
        if let Some(password) = password {
            config.password(password);
        }
        let tls = server.tls_ca.as_ref().map(|ca| trust(&home.join(ca))).transpose()?;
        let mode = if tls.is_some() { postgres::config::SslMode::Require } else { postgres::config::SslMode::Disable };
        config.ssl_mode(mode);
        let address = address(server);
        let client = match tls.clone() {
            Some(tls) => config.connect(tls),
            None => config.connect(NoTls),
        };
        Ok(Postgres { client: client.map_err(|error| failure(&error, &address))?, tls, address })
    }

    fn simple(&mut self, text: &str) -> Result<(), SqlError> {
        self.client.batch_execute(text).map_err(|error| failure(&error, &self.address))
    }
}

/// The folder and the port of a socket that is named by its folder or by itself (`/run/postgresql/.s.PGSQL.5432`).
fn socket(path: &Path, port: u16) -> (PathBuf, u16) {
    let own = path.file_name().and_then(|name| name.to_str()?.strip_prefix(".s.PGSQL.")?.parse().ok());
    match (path.parent(), own) {
        (Some(folder), Some(port)) => (folder.to_owned(), port),
        (_, _) => (path.to_owned(), port),
    }
}

fn trust(ca: &Path) -> Result<MakeRustlsConnect, SqlError> {
    let failed =
        |error: &dyn std::fmt::Display| SqlError::other(format!("cannot use tls_ca {}: {error}", ca.display()));
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|error| failed(&error))? {
        let certificate = certificate.map_err(|error| failed(&error))?;
        roots.add(certificate).map_err(|error| failed(&error))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| failed(&error))?;
    Ok(MakeRustlsConnect::new(builder.with_root_certificates(roots).with_no_client_auth()))
}

impl Session for Postgres {
    fn dialect(&self) -> Dialect {
        Dialect::Postgres
    }

    fn begin(&mut self) -> Result<(), SqlError> {
        self.simple("BEGIN")
    }

    fn commit(&mut self) -> Result<(), SqlError> {
        self.simple("COMMIT")
    }

    fn run(&mut self, statement: &Statement, params: &Params, rows: &mut dyn Rows) -> Result<Outcome, SqlError> {
        let address = self.address.clone();
        let failed = |error: postgres::Error| {
            let mut error = failure(&error, &address);
            // The server counts characters.
            error.offset = error.offset.and_then(|nth| statement.text.char_indices().nth(nth).map(|(byte, _)| byte));
            error
        };
        let bound: Vec<Text<'_>> = values(statement, params)?.into_iter().map(Text).collect();
        let prepared = self.client.prepare(&statement.text).map_err(failed)?;
        let columns: Vec<String> = prepared.columns().iter().map(|column| column.name().to_owned()).collect();
        let bound = bound.iter().map(|text| text as &dyn ToSql);
        let mut found = self.client.query_raw(&prepared, bound).map_err(failed)?;
        let unkept = |error: std::io::Error| SqlError::other(error.to_string());
        if !columns.is_empty() {
            rows.begin(&columns).map_err(unkept)?;
        }
        let mut count = 0;
        while let Some(row) = found.next().map_err(failed)? {
            let cells = (0..columns.len()).map(|column| {
                row.try_get::<_, Cell>(column).map(|cell| cell.0).map_err(|error| {
                    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                    SqlError::other(format!("column {}: {reason}", columns[column]))
                })
            });
            rows.row(&cells.collect::<Result<Vec<_>, _>>()?).map_err(unkept)?;
            count += 1;
        }
        Ok(if columns.is_empty() {
            Outcome::Changed(found.rows_affected().unwrap_or(0))
        } else {
            Outcome::Returned(count)
        })
    }

    fn canceller(&self) -> Canceller {
        let (token, tls, address) = (self.client.cancel_token(), self.tls.clone(), self.address.clone());
        Box::new(move || {
            let done = match tls.clone() {
                Some(tls) => token.cancel_query(tls),
                None => token.cancel_query(NoTls),
            };
            done.map_err(|error| failure(&error, &address))
        })
    }
}

/// A parameter in the text format, which the server reads as whatever type it needs.
#[derive(Debug)]
struct Text<'t>(&'t str);

impl ToSql for Text<'_> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Anything> {
        out.extend_from_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }

    to_sql_checked!();
}

struct Cell(Value);

impl<'r> FromSql<'r> for Cell {
    fn from_sql(kind: &Type, raw: &'r [u8]) -> Result<Cell, Anything> {
        let value = match *kind {
            Type::BOOL => Value::Bool(bool::from_sql(kind, raw)?),
            Type::INT2 => Value::Integer(i16::from_sql(kind, raw)?.into()),
            Type::INT4 => Value::Integer(i32::from_sql(kind, raw)?.into()),
            Type::INT8 => Value::Integer(i64::from_sql(kind, raw)?),
            Type::OID => Value::Integer(u32::from_sql(kind, raw)?.into()),
            // By its shortest text: 0.1 must not become 0.10000000149.
            Type::FLOAT4 => Value::Real(f32::from_sql(kind, raw)?.to_string().parse()?),
            Type::FLOAT8 => Value::Real(f64::from_sql(kind, raw)?),
            Type::NUMERIC => Value::Decimal(numeric(raw).ok_or("a numeric that cannot be read")?),
            Type::BYTEA => Value::Bytes(raw.to_vec()),
            Type::DATE => match i32::from_be_bytes(raw.try_into()?) {
                i32::MAX => Value::Text("infinity".to_owned()),
                i32::MIN => Value::Text("-infinity".to_owned()),
                days => Value::Text(EPOCH.date().checked_add(days.days())?.to_string()),
            },
            Type::TIMESTAMP => Value::Text(moment(raw, "")?),
            Type::TIMESTAMPTZ => Value::Text(moment(raw, "+00")?),
            Type::TIME => {
                let micros = i64::from_be_bytes(raw.try_into()?);
                Value::Text(EPOCH.checked_add(micros.microseconds())?.time().to_string())
            }
            Type::UUID => {
                let hex = raw.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
                let part = |range| hex.get(range).ok_or("a uuid that cannot be read");
                Value::Text([part(0..8)?, part(8..12)?, part(12..16)?, part(16..20)?, part(20..32)?].join("-"))
            }
            Type::JSONB => Value::Text(str::from_utf8(raw.get(1..).unwrap_or_default())?.to_owned()),
            Type::JSON | Type::XML => Value::Text(str::from_utf8(raw)?.to_owned()),
            _ if <&str as FromSql>::accepts(kind) || matches!(kind.kind(), postgres::types::Kind::Enum(_)) => {
                Value::Text(str::from_utf8(raw)?.to_owned())
            }
            // What a function without a result gives.
            Type::VOID => Value::Null,
            _ => return Err(format!("the type {kind} cannot be read: cast the column with ::text").into()),
        };
        Ok(Cell(value))
    }

    fn from_sql_null(_: &Type) -> Result<Cell, Anything> {
        Ok(Cell(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Where the server's dates begin.
const EPOCH: civil::DateTime = civil::datetime(2000, 1, 1, 0, 0, 0, 0);

fn moment(raw: &[u8], zone: &str) -> Result<String, Anything> {
    let micros = match i64::from_be_bytes(raw.try_into()?) {
        i64::MAX => return Ok("infinity".to_owned()),
        i64::MIN => return Ok("-infinity".to_owned()),
        micros => micros,
    };
    let moment = EPOCH.checked_add(micros.microseconds())?;
    Ok(format!("{} {}{zone}", moment.date(), moment.time()))
}

/// `numeric` on the wire: counts of base-10000 digits, weight of the first, sign, digits after the point, the digits.
fn numeric(raw: &[u8]) -> Option<String> {
    use std::fmt::Write as _;
    let word = |index: usize| Some(u16::from_be_bytes([*raw.get(2 * index)?, *raw.get(2 * index + 1)?]));
    let (count, weight, sign, scale) = (word(0)?, word(1)?.cast_signed(), word(2)?, usize::from(word(3)?));
    match sign {
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => {}
    }
    let digit = |power: i32| {
        let index = i32::from(weight) - power;
        let index = usize::try_from(index).ok().filter(|index| *index < usize::from(count));
        index.map_or(Some(0), |index| word(4 + index))
    };
    let mut text = if sign == 0x4000 { "-".to_owned() } else { String::new() };
    let mut whole = String::new();
    for power in (0..=i32::from(weight).max(0)).rev() {
        write!(whole, "{:04}", digit(power)?).ok()?;
    }
    let whole = whole.trim_start_matches('0');
    text.push_str(if whole.is_empty() { "0" } else { whole });
    if scale > 0 {
        let mut fraction = String::new();
        let mut power = -1;
        while fraction.len() < scale {
            write!(fraction, "{:04}", digit(power)?).ok()?;
            power -= 1;
        }
        text.push('.');
        text.push_str(&fraction[..scale]);
    }
    Some(text)
}

fn failure(error: &postgres::Error, address: &str) -> SqlError {
    if let Some(error) = error.as_db_error() {
        return refusal(error);
    }
    let source = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    let is_io = error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    if is_io && error.to_string().contains("connecting") {
        let message = format!("nothing answers at {address}: {source}");
        return SqlError { kind: ErrorKind::Refused, message, code: None, offset: None, signal: None };
    }
    if source.contains("password missing") {
        let message = format!("the server {address} wants a password and [connections] has none");
        return SqlError { kind: ErrorKind::Authentication, message, code: None, offset: None, signal: None };
    }
    SqlError::other(format!("the connection to {address} failed: {source}"))
}

fn refusal(error: &DbError) -> SqlError {
    let code = error.code();
    let kind = match code {
        code if *code == SqlState::INVALID_PASSWORD || *code == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            ErrorKind::Authentication
        }
        code if *code == SqlState::INVALID_CATALOG_NAME => ErrorKind::UnknownDatabase,
        code if *code == SqlState::UNDEFINED_TABLE => ErrorKind::MissingTable,
        code if *code == SqlState::QUERY_CANCELED => ErrorKind::Cancelled,
        _ => ErrorKind::Other,
    };
    let mut message = error.message().to_owned();
    for (what, text) in [("detail", error.detail()), ("hint", error.hint())] {
        if let Some(text) = text {
            message = format!("{message}; {what}: {text}");
        }
    }
    let offset = match error.position() {
        Some(ErrorPosition::Original(position)) => {
            usize::try_from(*position).ok().map(|position| position.saturating_sub(1))
        }
        _ => None,
    };
    SqlError { kind, message, code: Some(format!("SQLSTATE {}", code.code())), offset, signal: None }
}
