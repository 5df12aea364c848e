//! A site as it was seen: what is on one virtual host of a broker, and who is connected to it.
//!
//! [`super::topology`] says what the bridge needs; this says what is there. It is put together from sources that
//! each show a part of it (management API, `rabbitmqctl`, exported definitions), so every attribute that a source
//! may not show is optional, and what no source showed is told in [`Site::gaps`] and never guessed.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

pub mod api;
pub mod definitions;
pub mod file;
pub mod merge;
pub mod rabbitmqctl;
mod row;

pub use merge::{DifferentVhosts, Part, merged};

/// The arguments of an exchange, a queue or a binding.
pub type Arguments = BTreeMap<String, Json>;

/// What was seen of one virtual host.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// The virtual host, where a source names it.
    pub vhost: Option<String>,
    /// The version of RabbitMQ.
    pub broker_version: Option<String>,
    /// The exchanges, without the nameless default exchange.
    pub exchanges: Vec<Exchange>,
    /// The queues.
    pub queues: Vec<Queue>,
    /// The bindings, without those to the default exchange that every queue has.
    pub bindings: Vec<Binding>,
    /// Who consumes from which queue.
    pub consumers: Vec<Consumer>,
    /// The connections.
    pub connections: Vec<Connection>,
    /// The alarms that are on; a broker with one takes no messages.
    pub alarms: Vec<Alarm>,
    /// What accounts may do here.
    pub permissions: Vec<Permission>,
    /// What the sources could not show.
    pub gaps: Vec<Gap>,
    /// Where sources contradicted each other.
    pub conflicts: Vec<Conflict>,
}

/// An exchange that was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// Its type as the broker spells it, plugins' types too.
    #[serde(rename = "type")]
    pub kind: String,
    /// Whether it survives a restart of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<bool>,
    /// Whether it goes with its last binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_delete: Option<bool>,
    /// Whether only other exchanges may publish to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub internal: Option<bool>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: Arguments,
    /// Messages published to it since the broker's statistics began, where they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<u64>,
}

/// A queue that was seen.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether it survives a restart of the broker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durable: Option<bool>,
    /// Whether it goes with its last consumer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_delete: Option<bool>,
    /// Whether it belongs to one connection and goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exclusive: Option<bool>,
    /// Its arguments.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: Arguments,
    /// Messages in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// Consumers on it; also where a source counts but does not list them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumers: Option<u64>,
}

/// A binding that was seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: String,
    /// Where they go.
    pub destination: Destination,
    /// The binding key.
    pub key: String,
    /// Its arguments: what a headers exchange matches by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: Arguments,
}

/// Where a binding leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Destination {
    /// To a queue.
    Queue(String),
    /// To another exchange.
    Exchange(String),
}

/// A consumer that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumer {
    /// The queue it consumes from.
    pub queue: String,
    /// Its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The name of its connection, as in [`Connection::name`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// Whether messages are acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acks: Option<bool>,
}

/// A connection that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Connection {
    /// The broker's name for it, `127.0.0.1:49152 -> 127.0.0.1:5672`.
    pub name: String,
    /// The name that the client gave itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_name: Option<String>,
    /// The user it is logged in as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The host it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_host: Option<String>,
    /// The port it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer_port: Option<u16>,
    /// The client library, such as `Pika Python Client Library`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library: Option<String>,
    /// The version of the client library.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub library_version: Option<String>,
    /// What the library runs on, such as `Python 2.7.18`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// An alarm that is on: all publishers of the cluster are blocked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alarm {
    /// The node it is raised on.
    pub node: String,
    /// What has run out.
    pub resource: Resource,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// The node uses more memory than it may.
    Memory,
    /// Less disk is free than there must be.
    Disk,
}

impl Resource {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Disk => "disk",
        }
    }
}

/// What one account may do on this virtual host: patterns of the names of exchanges and queues.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Permission {
    /// The account.
    pub user: String,
    /// What it may declare and delete.
    pub configure: String,
    /// What it may publish to, and bind as a destination.
    pub write: String,
    /// What it may consume from, and bind as a source.
    pub read: String,
}

/// A part of a site that a source may show or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// Exchanges and their attributes.
    Exchanges,
    /// Queues and their attributes.
    Queues,
    /// Bindings.
    Bindings,
    /// Who consumes from which queue.
    Consumers,
    /// Who is connected, from where and with which client library.
    Connections,
    /// How much was published to each exchange.
    Traffic,
    /// The alarms that are on.
    Alarms,
    /// What accounts may do.
    Permissions,
}

impl Aspect {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Exchanges,
        Self::Queues,
        Self::Bindings,
        Self::Consumers,
        Self::Connections,
        Self::Traffic,
        Self::Alarms,
        Self::Permissions,
    ];
}

/// Something that a source cannot show, so that its absence means nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// The part of the site that is not, or not wholly, shown.
    pub aspect: Aspect,
    /// What is missing, for people: `exclusive queues`.
    pub what: String,
    /// The source that does not show it.
    pub source: String,
}

/// An attribute that two sources show differently.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conflict {
    /// The object and its attribute: ``exchange `xivo`: type``.
    pub what: String,
    /// What is taken for true.
    pub taken: String,
    /// The source that says so.
    pub source: String,
    /// What another source says.
    pub instead_of: String,
}

impl Site {
    /// The exchange of this name.
    #[must_use]
    pub fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.iter().find(|exchange| exchange.name == name)
    }

    /// The queue of this name.
    #[must_use]
    pub fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.iter().find(|queue| queue.name == name)
    }

    /// Whether this part of the site was shown as a whole. If not, what is not there may be all the same.
    #[must_use]
    pub fn shows(&self, aspect: Aspect) -> bool {
        self.gaps.iter().all(|gap| gap.aspect != aspect)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue(name) => write!(f, "queue `{name}`"),
            Self::Exchange(name) => write!(f, "exchange `{name}`"),
        }
    }
}
