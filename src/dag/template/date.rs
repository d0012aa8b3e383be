//! `logical_date` and its like: instants that print as Airflow prints them and know a few of its methods.

use std::fmt;
use std::sync::Arc;

use jiff::{Span, Zoned};
use minijinja::value::{Kwargs, Object, ObjectRepr, from_args};
use minijinja::{Error, ErrorKind, State, Value};

#[derive(Debug)]
pub(super) struct DateTimeValue(pub(super) Zoned);

impl Object for DateTimeValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "year" => self.0.year().into(),
            "month" => self.0.month().into(),
            "day" => self.0.day().into(),
            "hour" => self.0.hour().into(),
            "minute" => self.0.minute().into(),
            "second" => self.0.second().into(),
            _ => return None,
        })
    }

    fn call_method(self: &Arc<Self>, _state: &mut State<'_, '_>, method: &str, args: &[Value]) -> Result<Value, Error> {
        let bad = |error: jiff::Error| Error::new(ErrorKind::InvalidOperation, error.to_string());
        match method {
            "strftime" => {
                let (format,): (&str,) = from_args(args)?;
                Ok(jiff::fmt::strtime::format(format, &self.0).map_err(bad)?.into())
            }
            "date" => Ok(self.0.date().to_string().into()),
            "isoformat" => Ok(iso(&self.0).into()),
            "timestamp" | "int_timestamp" => Ok(self.0.timestamp().as_second().into()),
            "add" | "subtract" => {
                let (kwargs,): (Kwargs,) = from_args(args)?;
                let mut span = Span::new();
                for (name, put) in UNITS {
                    if let Some(number) = kwargs.get::<Option<i64>>(name)? {
                        span = put(span, number).map_err(bad)?;
                    }
                }
                kwargs.assert_all_used()?;
                let moved = if method == "add" { self.0.checked_add(span) } else { self.0.checked_sub(span) };
                Ok(Value::from_object(DateTimeValue(moved.map_err(bad)?)))
            }
            // UnknownMethod would leave the words to the environment's callback, which knows only texts.
            _ => Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("a date has no method {method}; it has strftime, date, isoformat, timestamp, add and subtract"),
            )),
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&iso(&self.0))
    }
}

type Put = fn(Span, i64) -> Result<Span, jiff::Error>;

const UNITS: [(&str, Put); 6] = [
    ("months", |span, number| span.try_months(number)),
    ("weeks", |span, number| span.try_weeks(number)),
    ("days", |span, number| span.try_days(number)),
    ("hours", |span, number| span.try_hours(number)),
    ("minutes", |span, number| span.try_minutes(number)),
    ("seconds", |span, number| span.try_seconds(number)),
];

/// RFC 3339 with the offset, without the zone's name: `2018-07-01T07:00:00+08:00`.
pub fn iso(zoned: &Zoned) -> String {
    zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}
