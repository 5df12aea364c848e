//! Message properties between lapin's types and the core's: an allow-list in both directions.
//!
//! What lapin turns into text on the wire is checked here first: its conversions panic above 255 bytes, and
//! a header frame larger than the connection's frames would end the connection for all messages.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::connect::SMALL_FRAME_BYTES;
use crate::core::message::{
    DeliveryMode, HeaderValue, MARK_HEADER, Mark, Properties, Received, ReceivedProperties,
};

/// The most that the headers of a message may take. RabbitMQ's frames have 128 KiB, and the rest of the
/// header frame needs some of it.
pub(super) const MAX_HEADER_BYTES: usize = 120 * 1024;

/// The same for a translation, which has a few hundred nearly always.
pub(super) const MAX_OWN_HEADER_BYTES: usize = 24 * 1024;

/// The same for a connection with small frames. What else the header frame holds is a dozen short strings at the most.
pub(super) const MAX_SMALL_HEADER_BYTES: usize = SMALL_FRAME_BYTES as usize - 3 * 1024;

/// Why a publication cannot be put on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unpublishable {
    /// AMQP keeps this in a short string.
    #[error("the {part} has {bytes} bytes, and AMQP allows 255")]
    TooLong { part: &'static str, bytes: usize },
    /// The headers do not fit into one frame.
    #[error("the headers have {bytes} bytes, and a frame holds {most}")]
    HeadersTooLarge { bytes: usize, most: usize },
}

/// The core's view of a delivery.
pub(super) fn received(delivery: &Delivery) -> Received<'_> {
    let properties = &delivery.properties;
    Received {
        exchange: delivery.exchange.as_str(),
        routing_key: delivery.routing_key.as_str(),
        properties: ReceivedProperties {
            message_id: properties.message_id().as_ref().map(ShortString::as_str),
            correlation_id: properties.correlation_id().as_ref().map(ShortString::as_str),
            timestamp: *properties.timestamp(),
            mark: properties.headers().as_ref().map_or(Mark::Absent, mark),
        },
        body: &delivery.data,
    }
}

fn mark(headers: &FieldTable) -> Mark<'_> {
    match headers.inner().get(MARK_HEADER) {
        None => Mark::Absent,
        Some(AMQPValue::LongString(text)) => {
            std::str::from_utf8(text.as_bytes()).map_or(Mark::NotText, Mark::Text)
        }
        Some(AMQPValue::ShortString(text)) => Mark::Text(text.as_str()),
        Some(_) => Mark::NotText,
    }
}

/// The properties of a publication as lapin wants them.
pub(super) fn basic_properties(properties: Properties<'_>) -> Result<BasicProperties, Unpublishable> {
    let mut basic = BasicProperties::default();
    if let Some(content_type) = properties.content_type {
        basic = basic.with_content_type(short("content type", content_type)?);
    }
    if let Some(content_encoding) = properties.content_encoding {
        basic = basic.with_content_encoding(short("content encoding", content_encoding)?);
    }
    if properties.delivery_mode == DeliveryMode::Persistent {
        basic = basic.with_delivery_mode(2);
    }
    if let Some(message_id) = properties.message_id {
        basic = basic.with_message_id(short("message id", message_id)?);
    }
    if let Some(correlation_id) = properties.correlation_id {
        basic = basic.with_correlation_id(short("correlation id", correlation_id)?);
    }
    if let Some(timestamp) = properties.timestamp {
        basic = basic.with_timestamp(timestamp);
    }
    if !properties.headers.is_empty() {
        let mut headers = FieldTable::default();
        for (name, value) in properties.headers {
            let value = match value {
                HeaderValue::Text(text) => AMQPValue::LongString(text.into_owned().into()),
                HeaderValue::Flag(flag) => AMQPValue::Boolean(flag),
            };
            headers.insert(short("name of a header", name)?, value);
        }
        let (bytes, most) = (table_bytes(&headers), MAX_OWN_HEADER_BYTES);
        if bytes > most {
            return Err(Unpublishable::HeadersTooLarge { bytes, most });
        }
        basic = basic.with_headers(headers);
    }
    Ok(basic)
}

/// A text of at most 255 bytes.
pub(super) fn short(part: &'static str, text: impl Into<String>) -> Result<ShortString, Unpublishable> {
    let text = text.into();
    let bytes = text.len();
    ShortString::try_new(text).map_err(|_| Unpublishable::TooLong { part, bytes })
}

/// How many bytes a table takes on the wire.
pub(super) fn table_bytes(table: &FieldTable) -> usize {
    let entries = table.into_iter().map(|(name, value)| 1 + name.as_str().len() + value_bytes(value));
    4 + entries.sum::<usize>()
}

fn value_bytes(value: &AMQPValue) -> usize {
    let content = match value {
        AMQPValue::Boolean(_) | AMQPValue::ShortShortInt(_) | AMQPValue::ShortShortUInt(_) => 1,
        AMQPValue::ShortInt(_) | AMQPValue::ShortUInt(_) => 2,
        AMQPValue::LongInt(_) | AMQPValue::LongUInt(_) | AMQPValue::Float(_) => 4,
        AMQPValue::DecimalValue(_) => 5,
        AMQPValue::LongLongInt(_) | AMQPValue::Double(_) | AMQPValue::Timestamp(_) => 8,
        AMQPValue::ShortString(text) => 1 + text.as_str().len(),
        AMQPValue::LongString(text) => 4 + text.len(),
        AMQPValue::ByteArray(bytes) => 4 + bytes.len(),
        AMQPValue::FieldArray(values) => 4 + values.as_slice().iter().map(value_bytes).sum::<usize>(),
        AMQPValue::FieldTable(table) => table_bytes(table),
        AMQPValue::Void => 0,
    };
    1 + content
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn delivery(headers: Option<(&str, AMQPValue)>) -> Delivery {
        let mut delivery =
            Delivery::mock(7, "xivo".into(), "calls.call.created".into(), false, b"{}".to_vec());
        if let Some((name, value)) = headers {
            let mut table = FieldTable::default();
            table.insert(name.into(), value);
            delivery.properties = BasicProperties::default().with_headers(table);
        }
        delivery
    }

    #[test]
    fn reads_what_the_core_may_know() {
        let mut delivery = delivery(None);
        delivery.properties = BasicProperties::default()
            .with_message_id("m".into())
            .with_correlation_id("c".into())
            .with_timestamp(u64::MAX)
            .with_user_id("u".into());
        let received = received(&delivery);
        assert_eq!((received.exchange, received.routing_key), ("xivo", "calls.call.created"));
        assert_eq!(received.body, b"{}");
        assert_eq!(received.properties.message_id, Some("m"));
        assert_eq!(received.properties.correlation_id, Some("c"));
        assert_eq!(received.properties.timestamp, Some(u64::MAX));
        assert_eq!(received.properties.mark, Mark::Absent);
    }

    #[test]
    fn a_mark_is_a_text_or_it_is_not() {
        let mark = |value| {
            let delivery = delivery(Some((MARK_HEADER, value)));
            match received(&delivery).properties.mark {
                Mark::Text(text) => Some(text.to_owned()),
                Mark::NotText => None,
                Mark::Absent => panic!("absent"),
            }
        };
        assert_eq!(mark(AMQPValue::LongString("a,b".into())).as_deref(), Some("a,b"));
        assert_eq!(mark(AMQPValue::ShortString("a".into())).as_deref(), Some("a"));
        assert_eq!(mark(AMQPValue::LongString(vec![0xff].into())), None);
        for value in [AMQPValue::Void, AMQPValue::Boolean(true), AMQPValue::FieldTable(FieldTable::default())]
        {
            assert_eq!(mark(value), None);
        }
        assert_eq!(received(&delivery(Some(("other", AMQPValue::Void)))).properties.mark, Mark::Absent);
    }

    #[test]
    fn sets_what_the_core_says_and_nothing_else() {
        assert_eq!(basic_properties(Properties::default()).unwrap(), BasicProperties::default());
        let all = Properties {
            content_type: Some("application/json"),
            content_encoding: Some("utf-8"),
            delivery_mode: DeliveryMode::Persistent,
            message_id: Some("m".to_owned()),
            correlation_id: Some("c".to_owned()),
            timestamp: Some(1),
            headers: vec![
                (Cow::Borrowed("name"), HeaderValue::Text(Cow::Borrowed("call_created"))),
                (Cow::Borrowed("user_uuid:1"), HeaderValue::Flag(true)),
            ],
        };
        let mut headers = FieldTable::default();
        headers.insert("name".into(), AMQPValue::LongString("call_created".into()));
        headers.insert("user_uuid:1".into(), AMQPValue::Boolean(true));
        let expected = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_message_id("m".into())
            .with_correlation_id("c".into())
            .with_timestamp(1)
            .with_headers(headers);
        assert_eq!(basic_properties(all).unwrap(), expected);
    }

    #[test]
    fn refuses_what_would_end_the_channel_or_the_connection() {
        let long = Properties { message_id: Some("m".repeat(256)), ..Properties::default() };
        assert_eq!(
            basic_properties(long).unwrap_err(),
            Unpublishable::TooLong { part: "message id", bytes: 256 }
        );
        let header = |name: String, text: String| Properties {
            headers: vec![(Cow::Owned(name), HeaderValue::Text(Cow::Owned(text)))],
            ..Properties::default()
        };
        assert_eq!(
            basic_properties(header("h".repeat(256), String::new())).unwrap_err(),
            Unpublishable::TooLong { part: "name of a header", bytes: 256 }
        );
        let most = MAX_OWN_HEADER_BYTES;
        let fits = most - (4 + 1 + 1 + 1 + 4);
        assert!(basic_properties(header("h".to_owned(), "x".repeat(fits))).is_ok());
        assert_eq!(
            basic_properties(header("h".to_owned(), "x".repeat(fits + 1))).unwrap_err(),
            Unpublishable::HeadersTooLarge { bytes: most + 1, most }
        );
    }
}
