//! What a message looks like in the quarantine queue: the body byte for byte, everything else in headers.
//!
//! None of the original properties is set on the message itself: `expiration` would delete it there,
//! `user_id` would close the channel, `CC` would send it elsewhere.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};

use super::bridge::Direction;
use super::printable::{at_most, printable};
use super::properties::{MAX_HEADER_BYTES, table_bytes};
use crate::core::message::{Reason, Refusal};
use crate::core::quarantined::INTERNAL_ERROR;

/// The most that the explanation may take.
const MAX_DETAIL_BYTES: usize = 1024;

/// Why a message goes to quarantine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause<'t> {
    /// Translation or broker would not have it.
    Refused(Refusal<'t>),
    /// The translation panicked, which is a bug of ours.
    InternalError,
}

impl Cause<'_> {
    /// The same as the counters know it.
    pub(super) fn reason(&self) -> Option<Reason> {
        match self {
            Self::Refused(refusal) => Some(refusal.reason),
            Self::InternalError => None,
        }
    }

    /// The stable code in the header.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Refused(refusal) => refusal.reason.code(),
            Self::InternalError => INTERNAL_ERROR,
        }
    }

    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Refused(refusal) => &refusal.detail,
            Self::InternalError => "the translation of this message failed inside, which is a bug",
        }
    }

    fn rule(&self) -> Option<&str> {
        match self {
            Self::Refused(refusal) => refusal.rule,
            Self::InternalError => None,
        }
    }
}

/// The properties of a message in quarantine.
pub(super) fn properties(
    delivery: &Delivery,
    direction: Direction,
    cause: &Cause<'_>,
    now: Timestamp,
) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut set = |name: &str, value: AMQPValue| {
        headers.insert(name.into(), value);
    };
    set("cti-bridge-reason", text(cause.code()));
    let detail = printable(cause.detail());
    set("cti-bridge-detail", text(at_most(&detail, MAX_DETAIL_BYTES)));
    if let Some(rule) = cause.rule() {
        set("cti-bridge-rule", text(at_most(rule, MAX_DETAIL_BYTES)));
    }
    set("cti-bridge-time", text(&format!("{now:.3}")));
    set("cti-bridge-direction", text(direction.code()));
    set("cti-bridge-exchange", text(delivery.exchange.as_str()));
    set("cti-bridge-routing-key", text(delivery.routing_key.as_str()));
    set("cti-bridge-properties", AMQPValue::FieldTable(scalars(&delivery.properties)));
    if let Some(original) = delivery.properties.headers() {
        let (bytes, taken) = (table_bytes(original), table_bytes(&headers));
        // The name of the header, its kind and a margin.
        if bytes + taken + 64 <= MAX_HEADER_BYTES {
            headers.insert("cti-bridge-headers".into(), AMQPValue::FieldTable(original.clone()));
        } else {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            headers.insert("cti-bridge-headers-left-out".into(), AMQPValue::LongLongInt(bytes));
        }
    }
    BasicProperties::default().with_delivery_mode(2).with_headers(headers)
}

/// All properties but the headers, under the names that the protocol gives them.
fn scalars(properties: &BasicProperties) -> FieldTable {
    let mut table = FieldTable::default();
    let texts = [
        ("content-type", properties.content_type()),
        ("content-encoding", properties.content_encoding()),
        ("correlation-id", properties.correlation_id()),
        ("reply-to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message-id", properties.message_id()),
        ("type", properties.kind()),
        ("user-id", properties.user_id()),
        ("app-id", properties.app_id()),
        ("cluster-id", properties.cluster_id()),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            table.insert(name.into(), text(value.as_str()));
        }
    }
    // Signed, because not every client can read an unsigned byte.
    for (name, value) in [("delivery-mode", properties.delivery_mode()), ("priority", properties.priority())]
    {
        if let Some(value) = value {
            table.insert(name.into(), AMQPValue::LongInt(i32::from(*value)));
        }
    }
    if let Some(timestamp) = properties.timestamp() {
        table.insert(ShortString::from("timestamp"), AMQPValue::Timestamp(*timestamp));
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(detail: &str) -> Cause<'static> {
        Cause::Refused(Refusal {
            reason: Reason::UnknownEvent,
            detail: detail.to_owned(),
            rule: Some("call_{action}"),
        })
    }

    fn delivery(properties: BasicProperties) -> Delivery {
        let mut delivery = Delivery::mock(1, "xivo-cti".into(), "a\nb".into(), false, b"\xff\0".to_vec());
        delivery.properties = properties;
        delivery
    }

    fn headers(delivery: &Delivery, cause: &Cause<'_>) -> FieldTable {
        let now = "2026-11-22T22:27:39.5Z".parse().unwrap();
        let properties = properties(delivery, Direction::ToModern, cause, now);
        let headers = properties.headers().clone().unwrap();
        let bare = BasicProperties::default().with_delivery_mode(2).with_headers(headers.clone());
        assert_eq!(properties, bare);
        assert!(table_bytes(&headers) <= MAX_HEADER_BYTES);
        headers
    }

    fn string<'h>(headers: &'h FieldTable, name: &str) -> &'h str {
        match headers.inner().get(name) {
            Some(AMQPValue::LongString(text)) => std::str::from_utf8(text.as_bytes()).unwrap(),
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn says_why_when_and_from_where() {
        let headers = headers(&delivery(BasicProperties::default()), &refused("no rule for `x\n`"));
        for (name, value) in [
            ("cti-bridge-reason", "unknown_event"),
            ("cti-bridge-detail", r"no rule for `x\n`"),
            ("cti-bridge-rule", "call_{action}"),
            ("cti-bridge-time", "2026-11-22T22:27:39.500Z"),
            ("cti-bridge-direction", "to_modern"),
            ("cti-bridge-exchange", "xivo-cti"),
            ("cti-bridge-routing-key", "a\nb"),
        ] {
            assert_eq!(string(&headers, name), value);
        }
        assert!(!headers.contains_key("cti-bridge-headers"));
        assert_eq!(headers.inner().len(), 8);
    }

    #[test]
    fn a_bug_has_a_code_of_its_own() {
        let headers = headers(&delivery(BasicProperties::default()), &Cause::InternalError);
        assert_eq!(string(&headers, "cti-bridge-reason"), "internal_error");
        assert!(!headers.contains_key("cti-bridge-rule"));
    }

    #[test]
    fn keeps_all_properties_out_of_harms_way() {
        let mut original = FieldTable::default();
        original.insert("CC".into(), AMQPValue::FieldArray(vec![text("secret")].into()));
        original.insert("n".into(), AMQPValue::Void);
        let properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("latin1".into())
            .with_headers(original.clone())
            .with_delivery_mode(1)
            .with_priority(255)
            .with_correlation_id("c".into())
            .with_reply_to("amq.rabbitmq.reply-to".into())
            .with_expiration("0".into())
            .with_message_id("m".into())
            .with_timestamp(u64::MAX)
            .with_type("t".into())
            .with_user_id("u".into())
            .with_app_id("a".into())
            .with_cluster_id("k".into());
        let headers = headers(&delivery(properties), &refused(""));
        assert_eq!(headers.inner().get("cti-bridge-headers"), Some(&AMQPValue::FieldTable(original)));
        let Some(AMQPValue::FieldTable(scalars)) = headers.inner().get("cti-bridge-properties") else {
            panic!()
        };
        assert_eq!(scalars.inner().len(), 13);
        assert_eq!(string(scalars, "expiration"), "0");
        assert_eq!(scalars.inner().get("priority"), Some(&AMQPValue::LongInt(255)));
        assert_eq!(scalars.inner().get("timestamp"), Some(&AMQPValue::Timestamp(u64::MAX)));
    }

    #[test]
    fn leaves_out_headers_that_would_not_fit() {
        let with = |size: usize| {
            let mut original = FieldTable::default();
            original.insert("h".into(), AMQPValue::LongString(vec![b'x'; size].into()));
            headers(&delivery(BasicProperties::default().with_headers(original)), &refused(""))
        };
        assert!(with(100_000).contains_key("cti-bridge-headers"));
        let headers = with(130_000);
        assert!(!headers.contains_key("cti-bridge-headers"));
        let left_out = headers.inner().get("cti-bridge-headers-left-out");
        assert_eq!(left_out, Some(&AMQPValue::LongLongInt(130_000 + 4 + 1 + 1 + 1 + 4)));
    }

    #[test]
    fn cuts_a_long_explanation() {
        let headers = headers(&delivery(BasicProperties::default()), &refused(&"é".repeat(2000)));
        assert_eq!(string(&headers, "cti-bridge-detail").len(), 1024);
    }
}
