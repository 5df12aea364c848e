//! Whatever properties a message has: all that reads them comes to an end, and all that is written from them fits on
//! the wire.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};
use proptest::prelude::*;
use proptest::sample::select;

use super::bridge::Direction;
use super::properties::{MAX_HEADER_BYTES, received, table_bytes};
use super::quarantine::{self, Cause};
use super::{quarantined, recorded};
use crate::core::message::{Reason, Refusal};
use crate::core::recording::{Read, Reader};

/// Names that mean something to the bridge, the broker or a client, and others.
fn name() -> impl Strategy<Value = ShortString> {
    let known = [
        "cti-bridge",
        "cti-bridge-probe",
        "cti-bridge-reason",
        "cti-bridge-time",
        "cti-bridge-direction",
        "cti-bridge-properties",
        "cti-bridge-headers",
        "cti-bridge-routing-key",
        "x-first-death-reason",
        "x-first-death-queue",
        "x-death",
        "x-delivery-count",
        "routing-keys",
        "exchange",
        "timestamp",
        "message-id",
        "CC",
        "BCC",
        "required_acl",
        "user_uuid:*",
        "",
    ];
    prop_oneof![
        4 => select(known.to_vec()).prop_map(ShortString::from),
        1 => short(),
    ]
}

fn short() -> impl Strategy<Value = ShortString> {
    prop_oneof![
        ".{0,6}".prop_map(ShortString::from),
        "[a-z.#*]{255}".prop_map(ShortString::from),
        select(vec!["delivery_limit", "b1,b2", "to_legacy", "cti-bridge.legacy", "me", "#"])
            .prop_map(ShortString::from),
    ]
}

fn value() -> impl Strategy<Value = AMQPValue> {
    let leaf = prop_oneof![
        Just(AMQPValue::Void),
        any::<bool>().prop_map(AMQPValue::Boolean),
        any::<i8>().prop_map(AMQPValue::ShortShortInt),
        any::<u8>().prop_map(AMQPValue::ShortShortUInt),
        any::<i16>().prop_map(AMQPValue::ShortInt),
        any::<u16>().prop_map(AMQPValue::ShortUInt),
        any::<i32>().prop_map(AMQPValue::LongInt),
        any::<u32>().prop_map(AMQPValue::LongUInt),
        any::<i64>().prop_map(AMQPValue::LongLongInt),
        any::<u32>().prop_map(|bits| AMQPValue::Float(f32::from_bits(bits))),
        any::<u64>().prop_map(|bits| AMQPValue::Double(f64::from_bits(bits))),
        (any::<u8>(), any::<u32>())
            .prop_map(|(scale, value)| AMQPValue::DecimalValue(DecimalValue { scale, value })),
        any::<u64>().prop_map(AMQPValue::Timestamp),
        short().prop_map(|text| AMQPValue::LongString(text.as_str().into())),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| AMQPValue::LongString(bytes.into())),
        prop::collection::vec(any::<u8>(), 0..8).prop_map(|bytes| AMQPValue::ByteArray(bytes.into())),
        (0_usize..130_000).prop_map(|length| AMQPValue::LongString("x".repeat(length).into())),
    ];
    leaf.prop_recursive(50, 64, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| AMQPValue::FieldArray(items.into())),
            table(inner).prop_map(AMQPValue::FieldTable),
        ]
    })
}

fn table(value: impl Strategy<Value = AMQPValue>) -> impl Strategy<Value = FieldTable> {
    prop::collection::vec((name(), value), 0..5).prop_map(|entries| {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert(name, value);
        }
        table
    })
}

fn delivery() -> impl Strategy<Value = Delivery> {
    let headers = prop::option::weighted(0.9, table(value()));
    let scalars = prop::option::of((any::<u8>(), any::<u8>(), any::<u64>(), short(), short(), short()));
    (headers, scalars, short(), short()).prop_map(|(headers, scalars, exchange, key)| {
        let mut properties = BasicProperties::default();
        if let Some((mode, priority, timestamp, id, kind, user)) = scalars {
            properties = properties
                .with_delivery_mode(mode)
                .with_priority(priority)
                .with_timestamp(timestamp)
                .with_message_id(id.clone())
                .with_correlation_id(id.clone())
                .with_content_type(kind.clone())
                .with_content_encoding(kind.clone())
                .with_reply_to(kind.clone())
                .with_type(kind.clone())
                .with_app_id(kind.clone())
                .with_cluster_id(kind)
                .with_expiration(id)
                .with_user_id(user);
        }
        if let Some(headers) = headers {
            properties = properties.with_headers(headers);
        }
        let mut delivery = Delivery::mock(1, exchange, key, false, b"{}".to_vec());
        delivery.properties = properties;
        delivery
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn quarantine_takes_any_message_and_gives_it_back(delivery in delivery(), detail in ".{0,40}") {
        let seen = received(&delivery);
        let refusal = Refusal { reason: Reason::NotJson, detail, rule: Some("call_created") };
        let cause = Cause::Refused(refusal);
        let put_away =
            quarantine::properties(&delivery, Direction::ToLegacy, &cause, Timestamp::UNIX_EPOCH);
        let headers = put_away.headers().as_ref().unwrap();
        prop_assert!(table_bytes(headers) <= MAX_HEADER_BYTES, "{} bytes", table_bytes(headers));
        // Nothing of the sender's stands where the broker would act on it.
        prop_assert!(headers.inner().keys().all(|name| name.as_str().starts_with("cti-bridge-")));
        prop_assert!(put_away.expiration().is_none() && put_away.user_id().is_none());
        let mut again = Delivery::mock(1, "".into(), "".into(), false, delivery.data.clone());
        again.properties = put_away;
        let read = quarantined::read(&again);
        prop_assert_eq!((read.exchange.as_str(), read.routing_key.as_str()), (seen.exchange, seen.routing_key));
        prop_assert_eq!(read.message_id.as_deref(), seen.properties.message_id);
        prop_assert_eq!(read.timestamp, seen.properties.timestamp);
        prop_assert_eq!(&read.reason, "not_json");
        // What anybody put into the quarantine queue is read as well.
        drop(quarantined::read(&delivery));
    }

    #[test]
    fn any_message_is_recorded_as_it_is_or_not_at_all(delivery in delivery()) {
        let Ok(message) = recorded::recorded(delivery, Timestamp::UNIX_EPOCH) else { return Ok(()) };
        let line = message.to_line().unwrap();
        let mut reader = Reader::default();
        reader.read(crate::core::recording::Header::default().to_line().as_bytes()).unwrap();
        let read = reader.read(line.as_bytes());
        prop_assert_eq!(read, Ok(Read::Message(Box::new(message.clone()))), "{}", line);
        if let Ok(prepared) = recorded::prepared(message.clone()) {
            let mut again =
                Delivery::mock(1, prepared.exchange, prepared.routing_key, false, prepared.body);
            again.properties = prepared.properties;
            prop_assert_eq!(recorded::recorded(again, Timestamp::UNIX_EPOCH), Ok(message));
        }
    }
}
