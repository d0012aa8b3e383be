//! The ways by which a notice reaches people. What waits in the outbox names its channel; only here it is known what a channel needs.

mod email;
mod error;
mod folder;
mod message;
mod sendmail;
mod smtp;

use std::path::Path;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::dag::Config;
use crate::dag::words::words;
use crate::notify::notice::Notice;
use crate::notify::render::{Evidence, Place, render};

pub use email::deliver as deliver_mail;
pub use error::DeliveryError;

use error::permanent;

words! {
    /// A way by which a notice reaches people, by its name in the outbox.
    pub enum Channel {
        /// `[email]` of crondag.toml.
        Email = "email",
    }
}

impl Serialize for Channel {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Channel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Channel, D::Error> {
        let word = String::deserialize(deserializer)?;
        Channel::parse(&word).ok_or_else(|| D::Error::custom(format!("`{word}` is no channel")))
    }
}

/// A channel as the settings of a home have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChannelSettings {
    /// How many notices may go out in an hour.
    pub(crate) max_per_hour: u32,
    /// Who looks after the home.
    pub(crate) to: Vec<String>,
}

/// A notice with all that telling it needs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Telling {
    pub(crate) notice: Notice,
    pub(crate) evidence: Evidence,
    pub(crate) place: Place,
    /// Stays the same however often delivery is tried.
    pub(crate) message_id: String,
}

impl Channel {
    /// Its settings; `None` where the home has none.
    pub(crate) fn settings(self, config: &Config) -> Option<ChannelSettings> {
        match self {
            Channel::Email => config
                .email
                .as_ref()
                .map(|email| ChannelSettings { max_per_hour: email.max_per_hour, to: email.to.clone() }),
        }
    }

    /// What is said of notices for which the home has no settings any more.
    pub(crate) fn is_missing(self) -> &'static str {
        match self {
            Channel::Email => NO_CHANNEL,
        }
    }

    /// The one that a home has.
    pub(crate) fn of(config: &Config) -> Option<(Channel, ChannelSettings)> {
        Channel::ALL.into_iter().find_map(|channel| Some((channel, channel.settings(config)?)))
    }

    /// Tells people of a notice. `variable` looks a variable up in `env_file` or the environment.
    ///
    /// # Errors
    /// Why it did not arrive, and whether trying again can help.
    pub(crate) fn deliver(
        self,
        telling: &Telling,
        config: &Config,
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), DeliveryError> {
        match self {
            Channel::Email => {
                let settings = config.email.as_ref().ok_or_else(|| permanent(self.is_missing().to_owned()))?;
                let mail = render(&telling.notice, &telling.evidence, &telling.place);
                let home: &Path = &telling.place.home;
                deliver_mail(&mail, &telling.message_id, settings, home, variable)
            }
        }
    }
}

/// Why nobody is told.
pub(crate) const NO_CHANNEL: &str = "crondag.toml has no [email]";
