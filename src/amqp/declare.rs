//! Makes a topology real: exchanges, queues and bindings, in this order.
//!
//! Declaring what is there with the same arguments is no error, so this runs at the start of every session.
//! What is there with other arguments is never changed: the broker's refusal becomes a value that names them.

use std::fmt;

use futures_util::future::try_join_all;
use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeUnbindOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, ErrorKind};

use super::arguments::table;
use super::printable::printable;
use super::tls::TlsError;
use crate::core::topology::{Binding, Declare, Destination, Exchange, ExchangeKind, Queue, Topology};

/// Why a topology could not be made, or a connection not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SetUpError {
    /// It exists, declared otherwise.
    #[error(transparent)]
    Inequivalent(#[from] Inequivalent),
    /// The broker does not let us: login, vhost, or a permission on an exchange or a queue.
    #[error("access refused by the broker: {text}")]
    AccessRefused {
        /// The broker's words.
        text: String,
    },
    /// Something that is not ours to make is not there.
    #[error("not found on the broker: {text}")]
    Missing {
        /// The broker's words.
        text: String,
    },
    /// A type of exchanges whose plugin is not enabled.
    #[error("{text}: enable the plugin `rabbitmq_consistent_hash_exchange`, which comes with RabbitMQ")]
    UnknownType {
        /// The broker's words.
        text: String,
    },
    /// AMQP has no names of more than 255 bytes.
    #[error("a name or key of {bytes} bytes is longer than the 255 that AMQP allows")]
    NameTooLong {
        /// Its length.
        bytes: usize,
    },
    /// The two ends do not come together in TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Anything else, a lost connection among them.
    #[error("{}", printable(_0))]
    Broker(lapin::Error),
}

/// An exchange or a queue exists with other arguments than ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {object} `{name}` exists with `{attribute}` {found}, and {wanted} is needed")]
pub struct Inequivalent {
    /// What it is.
    pub object: Object,
    /// Its name.
    pub name: String,
    /// The property that differs, such as `type` or `x-queue-type`.
    pub attribute: String,
    /// The value it should have.
    pub wanted: String,
    /// The value it has.
    pub found: String,
}

/// What can be declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Object {
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exchange => "exchange",
            Self::Queue => "queue",
        })
    }
}

impl From<lapin::Error> for SetUpError {
    fn from(error: lapin::Error) -> Self {
        let ErrorKind::ProtocolError(refusal) = error.kind() else {
            return Self::Broker(error);
        };
        let text = refusal.get_message().as_str();
        match refusal.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED)
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED) => Self::AccessRefused { text: printable(text) },
            AMQPErrorKind::Hard(AMQPHardError::COMMANDINVALID) if text.contains("unknown exchange type") => {
                Self::UnknownType { text: printable(text) }
            }
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Self::Missing { text: printable(text) },
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => match Inequivalent::parse(text) {
                Some(inequivalent) => Self::Inequivalent(inequivalent),
                None => Self::Broker(error),
            },
            _ => Self::Broker(error),
        }
    }
}

impl Inequivalent {
    /// Reads the broker's `PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'xivo' in vhost '/':
    /// received 'topic' but current is 'fanout'`. The broker cuts texts at 255 bytes, so the end may be
    /// missing.
    fn parse(text: &str) -> Option<Self> {
        let (_, rest) = text.split_once("inequivalent arg '")?;
        let (attribute, rest) = rest.split_once("' for ")?;
        let (object, rest) = match rest.strip_prefix("exchange '") {
            Some(rest) => (Object::Exchange, rest),
            None => (Object::Queue, rest.strip_prefix("queue '")?),
        };
        let (name, rest) = rest.split_once("' in vhost '").unwrap_or((rest, ""));
        let values = rest.rsplit_once("': received ").map_or("", |(_, values)| values);
        let (wanted, found) = values.split_once(" but current is ").unwrap_or((values, ""));
        Some(Self {
            object,
            name: printable(name),
            attribute: printable(attribute),
            wanted: value(wanted),
            found: value(found),
        })
    }
}

/// `'topic'`, `the value 'quorum' of type 'longstr'` or `none`, as one word between backticks where it has
/// one.
fn value(text: &str) -> String {
    let text = text.strip_prefix("the value ").unwrap_or(text);
    let quoted = text.strip_prefix('\'').and_then(|text| {
        let (word, _) = text.split_once("' of type '").or_else(|| text.rsplit_once('\''))?;
        Some(word)
    });
    match quoted {
        Some("") => "an empty text".to_owned(),
        Some(word) => format!("`{}`", printable(word)),
        None if text.is_empty() => "another value".to_owned(),
        None => printable(text),
    }
}

/// A name or key for AMQP; lapin's own conversions panic above 255 bytes.
pub(super) fn short(text: &str) -> Result<ShortString, SetUpError> {
    ShortString::try_new(text).map_err(|_| SetUpError::NameTooLong { bytes: text.len() })
}

/// Makes the topology, on a channel that is of no use after an error.
///
/// Another instance may be configured otherwise: what is obsolete here is needed there, and the other way round. Where both
/// start at once, each might remove what the other one made, and no event would come in. So what is needed is made once
/// more after the removal: at least one way is left then. Both may be, and events come twice until one starts again.
pub(super) async fn declare(channel: &Channel, topology: &Topology) -> Result<(), SetUpError> {
    make(channel, topology).await?;
    if topology.obsolete_bindings.is_empty() {
        return Ok(());
    }
    try_join_all(topology.obsolete_bindings.iter().map(|binding| unbind(channel, binding))).await?;
    make_bindings(channel, topology).await
}

/// Makes what is missing, and removes nothing.
pub(super) async fn make(channel: &Channel, topology: &Topology) -> Result<(), SetUpError> {
    for exchange in topology.exchanges.iter().chain(&topology.own_exchanges) {
        declare_exchange(channel, exchange).await?;
    }
    for queue in &topology.queues {
        declare_queue(channel, queue).await?;
    }
    make_bindings(channel, topology).await
}

/// There may be hundreds, one for every event name: all are sent before the first answer is awaited.
async fn make_bindings(channel: &Channel, topology: &Topology) -> Result<(), SetUpError> {
    try_join_all(topology.bindings.iter().map(|binding| bind(channel, binding))).await?;
    Ok(())
}

/// Looks whether all exchanges and queues are there, and how many messages each queue has.
///
/// The broker does not say whether a binding is there.
pub(super) async fn look<'t>(
    channel: &Channel,
    topology: &'t Topology,
) -> Result<Vec<(&'t Queue, u32)>, SetUpError> {
    for exchange in topology.exchanges.iter().chain(&topology.own_exchanges) {
        declare_exchange(channel, &Exchange { declare: Declare::Passive, ..exchange.clone() }).await?;
    }
    let mut lengths = Vec::new();
    for queue in &topology.queues {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(short(&queue.name)?, options, FieldTable::default()).await?;
        lengths.push((queue, found.message_count()));
    }
    Ok(lengths)
}

pub(super) async fn declare_exchange(channel: &Channel, exchange: &Exchange) -> Result<(), SetUpError> {
    let kind = match exchange.kind {
        ExchangeKind::Direct => lapin::ExchangeKind::Direct,
        ExchangeKind::Topic => lapin::ExchangeKind::Topic,
        ExchangeKind::Headers => lapin::ExchangeKind::Headers,
        ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        ExchangeKind::ConsistentHash => lapin::ExchangeKind::Custom(exchange.kind.as_str().to_owned()),
    };
    let options = ExchangeDeclareOptions {
        passive: exchange.declare == Declare::Passive,
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let arguments = table(&exchange.arguments())?;
    Ok(channel.exchange_declare(short(&exchange.name)?, kind, options, arguments).await?)
}

async fn declare_queue(channel: &Channel, queue: &Queue) -> Result<(), SetUpError> {
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(short(&queue.name)?, options, table(&queue.arguments())?).await?;
    Ok(())
}

async fn bind(channel: &Channel, binding: &Binding) -> Result<(), SetUpError> {
    make_binding(channel, &binding.source, to(binding), &binding.key, table(&binding.arguments)?).await
}

async fn unbind(channel: &Channel, binding: &Binding) -> Result<(), SetUpError> {
    remove_binding(channel, &binding.source, to(binding), &binding.key, table(&binding.arguments)?).await
}

fn to(binding: &Binding) -> (Object, &str) {
    match &binding.destination {
        Destination::Queue(queue) => (Object::Queue, queue),
        Destination::Exchange(exchange) => (Object::Exchange, exchange),
    }
}

/// Makes a binding to this destination. Making one that is there is no error.
pub(super) async fn make_binding(
    channel: &Channel,
    source: &str,
    (object, destination): (Object, &str),
    key: &str,
    arguments: FieldTable,
) -> Result<(), SetUpError> {
    let (source, destination, key) = (short(source)?, short(destination)?, short(key)?);
    match object {
        Object::Queue => {
            let options = QueueBindOptions::default();
            channel.queue_bind(destination, source, key, options, arguments).await?;
        }
        Object::Exchange => {
            let options = ExchangeBindOptions::default();
            channel.exchange_bind(destination, source, key, options, arguments).await?;
        }
    }
    Ok(())
}

/// Removes the binding with exactly these parts. Removing one that is not there is no error on RabbitMQ.
pub(super) async fn remove_binding(
    channel: &Channel,
    source: &str,
    (object, destination): (Object, &str),
    key: &str,
    arguments: FieldTable,
) -> Result<(), SetUpError> {
    let (source, destination, key) = (short(source)?, short(destination)?, short(key)?);
    match object {
        Object::Queue => channel.queue_unbind(destination, source, key, arguments).await?,
        Object::Exchange => {
            let options = ExchangeUnbindOptions::default();
            channel.exchange_unbind(destination, source, key, options, arguments).await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lapin::protocol::AMQPError;

    use super::*;

    fn error(kind: impl Into<AMQPErrorKind>, text: &str) -> SetUpError {
        let error = AMQPError::new(kind.into(), ShortString::try_new(text).unwrap());
        lapin::Error::from(ErrorKind::ProtocolError(error)).into()
    }

    fn inequivalent(text: &str) -> Inequivalent {
        match error(AMQPSoftError::PRECONDITIONFAILED, text) {
            SetUpError::Inequivalent(inequivalent) => inequivalent,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_what_differs_on_an_exchange() {
        let found = inequivalent(
            "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'xivo' in vhost '/': \
             received 'topic' but current is 'fanout'",
        );
        assert_eq!(
            found.to_string(),
            "the exchange `xivo` exists with `type` `fanout`, and `topic` is needed"
        );
        assert_eq!((found.object, found.name.as_str()), (Object::Exchange, "xivo"));
    }

    #[test]
    fn names_what_differs_on_a_queue() {
        let found = inequivalent(
            "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q.legacy' in vhost 'a': b': \
             received the value 'quorum' of type 'longstr' but current is none",
        );
        assert_eq!(
            (found.object, found.name.as_str(), found.attribute.as_str()),
            (Object::Queue, "q.legacy", "x-queue-type")
        );
        assert_eq!((found.wanted.as_str(), found.found.as_str()), ("`quorum`", "none"));
        let found = inequivalent(
            "PRECONDITION_FAILED - inequivalent arg 'x-single-active-consumer' for queue 'q' in vhost '/': \
             received none but current is the value 'true' of type 'bool'",
        );
        assert_eq!((found.wanted.as_str(), found.found.as_str()), ("none", "`true`"));
    }

    #[test]
    fn makes_do_with_a_text_that_was_cut() {
        let found = inequivalent("PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'qqqqq");
        assert_eq!(
            found.to_string(),
            "the queue `qqqqq` exists with `durable` another value, and another value is needed"
        );
        let found = inequivalent(
            "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'q' in vhost '/': received 'tr",
        );
        assert_eq!((found.name.as_str(), found.found.as_str()), ("q", "another value"));
    }

    #[test]
    fn tells_refusals_from_faults() {
        let access = "ACCESS_REFUSED - access to exchange 'xivo' in vhost '/' refused for user 'x\u{1b}[0m'";
        let SetUpError::AccessRefused { text } = error(AMQPSoftError::ACCESSREFUSED, access) else {
            panic!()
        };
        assert!(text.ends_with(r"'x\u{1b}[0m'"), "{text}");
        assert!(matches!(
            error(AMQPHardError::NOTALLOWED, "NOT_ALLOWED - vhost x not found"),
            SetUpError::AccessRefused { .. }
        ));
        assert!(matches!(
            error(AMQPSoftError::NOTFOUND, "NOT_FOUND - no exchange 'xivo' in vhost '/'"),
            SetUpError::Missing { .. }
        ));
        for other in ["PRECONDITION_FAILED - unknown delivery tag 1", ""] {
            assert!(matches!(error(AMQPSoftError::PRECONDITIONFAILED, other), SetUpError::Broker(_)));
        }
        assert!(matches!(error(AMQPHardError::CONNECTIONFORCED, "shutdown"), SetUpError::Broker(_)));
    }

    #[test]
    fn refuses_names_that_amqp_has_no_room_for() {
        assert!(matches!(short(&"n".repeat(256)), Err(SetUpError::NameTooLong { bytes: 256 })));
    }
}
