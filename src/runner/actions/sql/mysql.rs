//! `MySQL` and `MariaDB`. Text parameters are bound by the server's prepared statements.

use std::path::Path;
use std::time::Duration;

use mysql::consts::{ColumnFlags, ColumnType};
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder, Params as Bound, SslOpts};

use super::script::{Dialect, Statement};
use super::session::{Canceller, ErrorKind, Outcome, Params, Rows, Session, SqlError, Value, address, values};
use crate::dag::config::{DatabaseServer, ServerAddress};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
/// "This command is not supported in the prepared statement protocol yet".
const UNPREPARABLE: u16 = 1295;

/// An open connection.
pub(super) struct Mysql {
    connection: Conn,
    options: Opts,
    address: String,
}

impl Mysql {
    pub(super) fn open(server: &DatabaseServer, password: Option<String>, home: &Path) -> Result<Mysql, SqlError> {
        let tls = server.tls_ca.as_ref().map(|ca| SslOpts::default().with_root_cert_path(Some(home.join(ca))));
        let options = match &server.address {
            ServerAddress::Tcp { host, port } => {
                // A socket on the same machine would go around the host, port and TLS that were asked for.
                OptsBuilder::new().ip_or_hostname(Some(host.clone())).tcp_port(*port).prefer_socket(false)
            }
            ServerAddress::Unix { path, .. } => {
                let socket = home.join(path).to_str().map(str::to_owned);
                let Some(socket) = socket else {
                    return Err(SqlError::other(format!("the socket {} is not UTF-8", path.display())));
                };
                OptsBuilder::new().socket(Some(socket))
            }
        };
        let options: Opts = options
            .user(Some(server.username.clone()))
            .pass(password)
            .db_name(Some(server.database.clone()))
            .tcp_connect_timeout(Some(CONNECT_TIMEOUT))
            .ssl_opts(tls)
            .into();
        let address = address(server);
        let connection = Conn::new(options.clone()).map_err(|error| failure(&error, &address))?;
        Ok(Mysql { connection, options, address })
    }

    fn simple(&mut self, text: &str) -> Result<(), SqlError> {
        self.connection.query_drop(text).map_err(|error| failure(&error, &self.address))
    }
}

impl Session for Mysql {
    fn dialect(&self) -> Dialect {
        Dialect::Mysql
    }

    fn begin(&mut self) -> Result<(), SqlError> {
        // A transaction begun by name would end at the first implicit commit, and what follows would commit one by one.
        self.simple("SET autocommit = 0")
    }

    fn commit(&mut self) -> Result<(), SqlError> {
        self.simple("COMMIT")
    }

    fn run(&mut self, statement: &Statement, params: &Params, rows: &mut dyn Rows) -> Result<Outcome, SqlError> {
        let address = self.address.clone();
        let failed = |error: mysql::Error| {
            let mut error = failure(&error, &address);
            error.offset = near(&error.message, &statement.text);
            error
        };
        let bound: Vec<mysql::Value> = values(statement, params)?.into_iter().map(mysql::Value::from).collect();
        let prepared = match self.connection.prep(&statement.text) {
            Ok(prepared) => prepared,
            Err(mysql::Error::MySqlError(error)) if error.code == UNPREPARABLE && bound.is_empty() => {
                self.connection.query_drop(&statement.text).map_err(failed)?;
                return Ok(Outcome::Changed(self.connection.affected_rows()));
            }
            Err(error) => return Err(failed(error)),
        };
        let bound = if bound.is_empty() { Bound::Empty } else { Bound::Positional(bound) };
        let mut result = self.connection.exec_iter(prepared, bound).map_err(failed)?;
        let (mut returned, mut changed) = (None, 0);
        // A procedure may give several result sets.
        while let Some(set) = result.iter() {
            changed += set.affected_rows();
            let columns = set.columns().as_ref().to_vec();
            if columns.is_empty() {
                continue;
            }
            let unkept = |error: std::io::Error| SqlError::other(error.to_string());
            let names: Vec<String> = columns.iter().map(|column| column.name_str().into_owned()).collect();
            rows.begin(&names).map_err(unkept)?;
            let mut count = 0;
            for row in set {
                let cells = row.map_err(failed)?.unwrap_raw();
                let cells: Vec<Value> = cells
                    .into_iter()
                    .zip(&columns)
                    .map(|(cell, column)| value(cell.unwrap_or(mysql::Value::NULL), column))
                    .collect();
                rows.row(&cells).map_err(unkept)?;
                count += 1;
            }
            returned = Some(count);
        }
        Ok(returned.map_or(Outcome::Changed(changed), Outcome::Returned))
    }

    fn canceller(&self) -> Canceller {
        let (options, id, address) = (self.options.clone(), self.connection.connection_id(), self.address.clone());
        // The other connection needs no database: the one here may have been dropped meanwhile.
        let options: Opts = OptsBuilder::from_opts(options).db_name(None::<String>).into();
        Box::new(move || {
            let mut other = Conn::new(options.clone()).map_err(|error| failure(&error, &address))?;
            other.query_drop(format!("KILL QUERY {id}")).map_err(|error| failure(&error, &address))
        })
    }
}

fn value(cell: mysql::Value, column: &mysql::Column) -> Value {
    /// The number of the character set `binary`.
    const BINARY: u16 = 63;
    match cell {
        mysql::Value::NULL => Value::Null,
        mysql::Value::Int(number) => Value::Integer(number),
        mysql::Value::UInt(number) => i64::try_from(number).map_or(Value::Decimal(number.to_string()), Value::Integer),
        mysql::Value::Float(number) => Value::Real(number.to_string().parse().unwrap_or(f64::from(number))),
        mysql::Value::Double(number) => Value::Real(number),
        mysql::Value::Bytes(bytes) => {
            let kind = column.column_type();
            let is_number = matches!(kind, ColumnType::MYSQL_TYPE_DECIMAL | ColumnType::MYSQL_TYPE_NEWDECIMAL);
            let is_binary = column.character_set() == BINARY && column.flags().contains(ColumnFlags::BINARY_FLAG);
            match String::from_utf8(bytes) {
                Ok(text) if is_number => Value::Decimal(text),
                Ok(text) if !is_binary => Value::Text(text),
                Ok(text) => Value::Bytes(text.into_bytes()),
                Err(error) => Value::Bytes(error.into_bytes()),
            }
        }
        mysql::Value::Date(year, month, day, hour, minute, second, micros) => {
            let date = format!("{year:04}-{month:02}-{day:02}");
            if column.column_type() == ColumnType::MYSQL_TYPE_DATE {
                return Value::Text(date);
            }
            Value::Text(format!("{date} {hour:02}:{minute:02}:{second:02}{}", fraction(micros)))
        }
        mysql::Value::Time(is_negative, days, hours, minutes, seconds, micros) => {
            let (sign, hours) = (if is_negative { "-" } else { "" }, days * 24 + u32::from(hours));
            Value::Text(format!("{sign}{hours:02}:{minutes:02}:{seconds:02}{}", fraction(micros)))
        }
    }
}

fn fraction(micros: u32) -> String {
    if micros == 0 { String::new() } else { format!(".{micros:06}") }
}

/// Where the text is that the server quotes in "... near 'text' at line 1".
fn near(message: &str, text: &str) -> Option<usize> {
    let (_, quoted) = message.split_once(" near '")?;
    let (quoted, _) = quoted.rsplit_once("' at line ")?;
    text.rfind(quoted).filter(|_| !quoted.is_empty())
}

fn failure(error: &mysql::Error, address: &str) -> SqlError {
    match error {
        mysql::Error::MySqlError(error) => {
            let kind = match error.code {
                1044 | 1045 | 1698 => ErrorKind::Authentication,
                1049 => ErrorKind::UnknownDatabase,
                1051 | 1146 => ErrorKind::MissingTable,
                1317 => ErrorKind::Cancelled,
                _ => ErrorKind::Other,
            };
            let code = Some(format!("error {}, SQLSTATE {}", error.code, error.state));
            SqlError { kind, message: error.message.clone(), code, offset: None, signal: None }
        }
        mysql::Error::DriverError(mysql::DriverError::CouldNotConnect(_)) => SqlError {
            kind: ErrorKind::Refused,
            message: format!("nothing answers at {address}: {error}"),
            code: None,
            offset: None,
            signal: None,
        },
        other => SqlError::other(format!("the connection to {address} failed: {other}")),
    }
}
