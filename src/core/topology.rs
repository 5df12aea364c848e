//! Exchanges, queues and bindings as values: what a broker has, or what the bridge needs there.

use std::borrow::Cow;

use serde_json::Value as Json;

use super::site::{self, Arguments};

/// What has to be on the broker of one side before the bridge can run, in the order in which it is made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Topology {
    /// Exchanges of the bus, to be declared or, where `declare` is off, to be found.
    pub exchanges: Vec<Exchange>,
    /// Exchanges of our own between those and our queues; nobody publishes to them.
    pub own_exchanges: Vec<Exchange>,
    /// Queues of our own.
    pub queues: Vec<Queue>,
    /// Bindings to make.
    pub bindings: Vec<Binding>,
    /// Bindings that an earlier configuration may have left on our own queues. Removing one that is
    /// not there is no error on RabbitMQ.
    pub obsolete_bindings: Vec<Binding>,
}

/// An exchange. All are durable, not auto-delete and not internal, and those of the bus have no arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its type.
    pub kind: ExchangeKind,
    /// Declare it, or only look that it is there.
    pub declare: Declare,
    /// Where messages go that none of its bindings leads anywhere.
    pub alternate: Option<String>,
    /// The header that a consistent-hash exchange goes by, instead of the routing key.
    pub hash_header: Option<String>,
}

impl Exchange {
    /// Its arguments, as they are declared and as the broker shows them.
    #[must_use]
    pub fn arguments(&self) -> Arguments {
        let all = [(ALTERNATE_EXCHANGE, &self.alternate), (HASH_HEADER, &self.hash_header)];
        let given =
            all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.as_deref()?.into())));
        given.collect()
    }
}

/// The argument of an exchange that names its alternate one.
const ALTERNATE_EXCHANGE: &str = "alternate-exchange";

/// The argument of a consistent-hash exchange that names a header.
const HASH_HEADER: &str = "hash-header";

/// Whether something is made when it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declare {
    /// Declare it with exactly these arguments.
    Active,
    /// Only look that it exists.
    Passive,
}

/// The type of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExchangeKind {
    /// Routes by the whole routing key.
    Direct,
    /// Routes by dotted patterns.
    Topic,
    /// Routes by headers; `wazo-headers` since 17.13.
    Headers,
    /// Routes everything everywhere.
    Fanout,
    /// Routes each message to one of its queues, by a hash; of the plugin `rabbitmq_consistent_hash_exchange`.
    ConsistentHash,
}

impl ExchangeKind {
    /// The type's name in the protocol.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::Fanout => "fanout",
            Self::ConsistentHash => "x-consistent-hash",
        }
    }
}

/// A durable queue of the bridge's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: QueueKind,
    /// Whether one consumer at a time gets all messages, and the next one takes over when it goes.
    pub single_active_consumer: bool,
    /// After so many deliveries that were not acked the broker itself puts a message away; quorum queues only.
    ///
    /// RabbitMQ 4 has a limit of 20 by default and then drops the message.
    pub delivery_limit: Option<u32>,
    /// The queue that it goes to then; without one it is dropped.
    pub dead_letter_queue: Option<String>,
    /// How much it holds.
    pub bounds: Bounds,
}

/// How much a queue holds; beyond that the broker takes the oldest message away, into the dead-letter queue if there is
/// one. To refuse new ones instead (`reject-publish`) would stop who publishes, and what is behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bounds {
    /// Messages.
    pub max_length: Option<u32>,
    /// Bytes of their bodies.
    pub max_bytes: Option<u64>,
}

impl Bounds {
    /// From so many messages on somebody should look: 80 % of the bound, or of 100,000 where there is none.
    #[must_use]
    pub fn alarm_at(self) -> u32 {
        let most = self.max_length.unwrap_or(100_000);
        most - most / 5
    }

    /// With others laid over them.
    #[must_use]
    pub fn under(self, above: Self) -> Self {
        Self {
            max_length: above.max_length.or(self.max_length),
            max_bytes: above.max_bytes.or(self.max_bytes),
        }
    }
}

impl Queue {
    /// Its arguments, as they are declared and as the broker shows them.
    #[must_use]
    pub fn arguments(&self) -> Arguments {
        let mut arguments = Arguments::new();
        let mut set = |name: &str, value: Json| arguments.insert(name.to_owned(), value);
        set("x-queue-type", self.kind.as_str().into());
        if self.single_active_consumer {
            set("x-single-active-consumer", true.into());
        }
        if let Some(limit) = self.delivery_limit {
            set("x-delivery-limit", limit.into());
        }
        if let Some(messages) = self.bounds.max_length {
            set("x-max-length", messages.into());
        }
        if let Some(bytes) = self.bounds.max_bytes {
            set("x-max-length-bytes", bytes.into());
        }
        if let Some(queue) = &self.dead_letter_queue {
            // The default exchange: straight to the queue of this name.
            set("x-dead-letter-exchange", "".into());
            set("x-dead-letter-routing-key", queue.as_str().into());
        }
        arguments
    }
}

/// The type of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QueueKind {
    /// Replicated, and keeps transient messages over a restart of the broker.
    Quorum,
    /// Loses transient messages when the broker restarts.
    Classic,
}

impl QueueKind {
    /// The type's name, as in the queue argument `x-queue-type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quorum => "quorum",
            Self::Classic => "classic",
        }
    }
}

/// A binding. A headers exchange delivers everything to one without arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The exchange that messages come from.
    pub source: Cow<'static, str>,
    /// Where they go.
    pub destination: Destination,
    /// The binding key.
    pub key: String,
    /// Its arguments: what a headers exchange looks for.
    pub arguments: Arguments,
}

impl From<&Binding> for site::Binding {
    /// As a site would show it.
    fn from(binding: &Binding) -> Self {
        Self {
            source: binding.source.clone().into_owned(),
            destination: match &binding.destination {
                Destination::Queue(queue) => site::Destination::Queue(queue.clone()),
                Destination::Exchange(exchange) => site::Destination::Exchange(exchange.clone().into_owned()),
            },
            key: binding.key.clone(),
            arguments: binding.arguments.clone(),
        }
    }
}

/// The destination of a binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A queue.
    Queue(String),
    /// Another exchange.
    Exchange(Cow<'static, str>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alarm_comes_before_the_bound() {
        let bounds = |max_length| Bounds { max_length, max_bytes: None };
        assert_eq!(bounds(None).alarm_at(), 80_000);
        assert_eq!(bounds(Some(10)).alarm_at(), 8);
        assert_eq!(bounds(Some(1)).alarm_at(), 1);
        assert_eq!(bounds(Some(u32::MAX)).alarm_at(), 3_435_973_836);
    }
}
