//! What crosses between the core and the broker: a message that came in, the publications that come
//! of it, or the reason why there are none.
//!
//! Properties are an allow-list: a field that is not in these types can neither be read from a
//! received message nor be copied to a published one. `CC` and `BCC` would re-route it, `user_id` and
//! `expiration` can close the channel, and a legacy `required_acl` would let a sender choose its audience.

use std::borrow::Cow;

use super::probe::PROBE_HEADER;

/// The header that lists the ids of the bridges a message has passed, separated by commas.
///
/// Not an `x-` header: those belong to the broker (RabbitMQ 3.13 and newer treat them apart).
pub const MARK_HEADER: &str = "cti-bridge";

/// Whether a header of this name is written by the bridge itself or has a meaning for the broker, so that
/// neither a rule nor a message may set it.
#[must_use]
pub fn is_reserved_header(name: &str) -> bool {
    ["name", "origin_uuid", "required_acl", MARK_HEADER, PROBE_HEADER].contains(&name)
        || ["cc", "bcc"].iter().any(|reserved| name.eq_ignore_ascii_case(reserved))
        || name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("x-"))
}

/// The two directions of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the modern exchange to the legacy ones.
    ToLegacy,
    /// From the legacy exchanges to the modern one.
    ToModern,
}

impl Direction {
    /// The stable code, as it stands in the quarantine header and in logs.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ToLegacy => "to_legacy",
            Self::ToModern => "to_modern",
        }
    }

    /// The tag with which the bridge consumes.
    #[must_use]
    pub fn consumer_tag(self) -> String {
        format!("cti-bridge.{}", self.code())
    }

    /// The direction of this code.
    #[must_use]
    pub fn parse(code: &str) -> Option<Self> {
        [Self::ToLegacy, Self::ToModern].into_iter().find(|direction| direction.code() == code)
    }
}

/// A message as it came from an intake queue or from a file.
#[derive(Debug, Clone, Copy)]
pub struct Received<'m> {
    /// The exchange it was published on.
    pub exchange: &'m str,
    /// The routing key it was published with.
    pub routing_key: &'m str,
    /// Those of its properties that a translation may depend on.
    pub properties: ReceivedProperties<'m>,
    /// The body, as it came.
    pub body: &'m [u8],
}

/// The properties of a received message that are read at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReceivedProperties<'m> {
    /// AMQP `message-id`; kept towards modern.
    pub message_id: Option<&'m str>,
    /// AMQP `correlation-id`; kept towards modern.
    pub correlation_id: Option<&'m str>,
    /// AMQP `timestamp`, in seconds since 1970; kept towards modern.
    pub timestamp: Option<u64>,
    /// The value of [`MARK_HEADER`].
    pub mark: Mark<'m>,
}

/// The value of [`MARK_HEADER`] on a received message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mark<'m> {
    /// The message has passed no bridge.
    #[default]
    Absent,
    /// A text, not yet read.
    Text(&'m str),
    /// The header is there and is not a text.
    NotText,
}

/// What becomes of a received message. Lifetime `'t` is the translator's.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome<'t> {
    /// Publish all of these, await their confirms, then ack. Never empty.
    Publish(Vec<Publication<'t>>),
    /// Publish all of these, and put the message in quarantine as well: something more was to come of it.
    /// Ack when all of that is confirmed.
    Partly(Vec<Publication<'t>>, Refusal<'t>),
    /// It is a probe: publish the answers, if there are any, await their confirms, then ack and count it.
    Answer(Vec<Publication<'t>>),
    /// It passed this bridge before: ack and count it.
    Echo,
    /// The configuration says to drop it (`unknown_events: drop`): ack and count it.
    Dropped,
    /// It goes to quarantine as it came, with this reason.
    Refused(Refusal<'t>),
}

/// One message to publish.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication<'t> {
    /// The exchange to publish on.
    pub exchange: &'t str,
    /// The routing key; at most 255 bytes.
    pub routing_key: Cow<'t, str>,
    /// All the properties to set.
    pub properties: Properties<'t>,
    /// The body.
    pub body: Vec<u8>,
}

/// The properties of a message to publish. What is not here is never set.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Properties<'t> {
    /// AMQP `content-type`.
    pub content_type: Option<&'t str>,
    /// AMQP `content-encoding`.
    pub content_encoding: Option<&'t str>,
    /// AMQP `delivery-mode`.
    pub delivery_mode: DeliveryMode,
    /// AMQP `message-id`.
    pub message_id: Option<String>,
    /// AMQP `correlation-id`.
    pub correlation_id: Option<String>,
    /// AMQP `timestamp`, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// The headers, in this order, without repetition.
    pub headers: Vec<(Cow<'t, str>, HeaderValue<'t>)>,
}

/// AMQP `delivery-mode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryMode {
    /// Property not set, which every broker reads as 1: what old publishers did.
    #[default]
    Transient,
    /// 2: written to disk by durable queues.
    Persistent,
}

/// The value of a header to publish. Only the two kinds that every client of either era can read:
/// a null ends pika 0.9.5, an unsigned or floating number ends asynqp 0.4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderValue<'t> {
    /// An AMQP long string.
    Text(Cow<'t, str>),
    /// An AMQP boolean.
    Flag(bool),
}

/// Why a message was not translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal<'t> {
    /// The kind of reason, stable.
    pub reason: Reason,
    /// The same for people: what was wrong with this message. Never holds data of the message beyond
    /// names of events and fields, and no control characters.
    pub detail: String,
    /// The event of the rule that was to be applied, if it got as far.
    pub rule: Option<&'t str>,
}

/// The kinds of reasons for which a message goes to quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The body is larger than 16 MiB and was not read.
    TooLarge,
    /// The body is not UTF-8.
    NotUtf8,
    /// The body is not JSON as RFC 8259 has it.
    NotJson,
    /// The body is JSON and not an object, or an envelope key is there twice.
    NotAnEvent,
    /// The body has no usable `name`.
    BadName,
    /// `data` is nested deeper than old clients can read.
    TooDeep,
    /// The message passed more bridges than `max_hops`.
    TooManyHops,
    /// No rule for this name, and one is needed.
    UnknownEvent,
    /// A name came in under the routing key of another, and this bridge does not listen for it.
    NotListenedFor,
    /// The target version no longer has this event.
    RemovedEvent,
    /// A field that the rule needs is missing, doubled or of another type.
    BadField,
    /// More events would come of it than one message may cause.
    TooManyEvents,
    /// A value would become more than one word of a routing key or an ACL.
    UnsafeValue,
    /// The broker would not take the publication, or a queue that it was for.
    RefusedByBroker,
}

impl Reason {
    /// Every reason, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::TooLarge,
        Self::NotUtf8,
        Self::NotJson,
        Self::NotAnEvent,
        Self::BadName,
        Self::TooDeep,
        Self::TooManyHops,
        Self::UnknownEvent,
        Self::NotListenedFor,
        Self::RemovedEvent,
        Self::BadField,
        Self::TooManyEvents,
        Self::UnsafeValue,
        Self::RefusedByBroker,
    ];

    /// The stable code, as it stands in the quarantine header and in JSON output.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::TooLarge => "too_large",
            Self::NotUtf8 => "not_utf8",
            Self::NotJson => "not_json",
            Self::NotAnEvent => "not_an_event",
            Self::BadName => "bad_name",
            Self::TooDeep => "too_deep",
            Self::TooManyHops => "too_many_hops",
            Self::UnknownEvent => "unknown_event",
            Self::NotListenedFor => "not_listened_for",
            Self::RemovedEvent => "removed_event",
            Self::BadField => "bad_field",
            Self::TooManyEvents => "too_many_events",
            Self::UnsafeValue => "unsafe_value",
            Self::RefusedByBroker => "refused_by_broker",
        }
    }
}
