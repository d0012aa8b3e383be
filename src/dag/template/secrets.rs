//! `secret.NAME`: values that are fetched only when a template asks for them.

use std::fmt;
use std::sync::Arc;

use minijinja::value::Object;
use minijinja::{Error, ErrorKind, Value};

type Lookup = dyn Fn(&str) -> Option<Result<String, String>> + Send + Sync;

/// How secrets are found: a function from a name to the value, or to why there is none. `None` for a name that is not
/// declared.
#[derive(Clone)]
pub struct Secrets(Arc<Lookup>);

impl Secrets {
    /// Secrets that are found by this function.
    pub fn new(lookup: impl Fn(&str) -> Option<Result<String, String>> + Send + Sync + 'static) -> Secrets {
        Secrets(Arc::new(lookup))
    }

    /// No secrets at all.
    pub fn none() -> Secrets {
        Secrets::new(|_| None)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secrets")
    }
}

impl Object for Secrets {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match (self.0)(key.as_str()?)? {
            Ok(value) => value.into(),
            Err(reason) => Error::new(ErrorKind::InvalidOperation, reason).into(),
        })
    }
}
