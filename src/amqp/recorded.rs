//! Messages as recordings have them: every property of every type, in both directions.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, DecimalValue, FieldTable, ShortString};

use super::prepared::Prepared;
use super::properties::{MAX_HEADER_BYTES, Unpublishable, short, table_bytes};
use crate::core::recording::field::{MAX_DEPTH, Table};
use crate::core::recording::{Field, Message, Properties, Unwritable};

/// A delivery as it is recorded.
pub(super) fn recorded(delivery: Delivery, received: Timestamp) -> Result<Message, Unwritable> {
    let text = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    let properties = &delivery.properties;
    let headers = properties.headers().as_ref().map(recorded_headers).transpose()?;
    Ok(Message {
        received: format!("{received:.6}"),
        exchange: delivery.exchange.as_str().to_owned(),
        routing_key: delivery.routing_key.as_str().to_owned(),
        properties: Properties {
            content_type: text(properties.content_type()),
            content_encoding: text(properties.content_encoding()),
            headers,
            delivery_mode: *properties.delivery_mode(),
            priority: *properties.priority(),
            correlation_id: text(properties.correlation_id()),
            reply_to: text(properties.reply_to()),
            expiration: text(properties.expiration()),
            message_id: text(properties.message_id()),
            timestamp: *properties.timestamp(),
            kind: text(properties.kind()),
            user_id: text(properties.user_id()),
            app_id: text(properties.app_id()),
            cluster_id: text(properties.cluster_id()),
        },
        body: delivery.data,
        quarantine: None,
    })
}

/// Headers as they are recorded.
pub(super) fn recorded_headers(headers: &FieldTable) -> Result<Table, Unwritable> {
    table(headers, MAX_DEPTH)
}

fn table(from: &FieldTable, levels: usize) -> Result<Table, Unwritable> {
    let entry =
        |(name, value): (&ShortString, &AMQPValue)| Ok((name.as_str().to_owned(), field(value, levels)?));
    Ok(Table(from.into_iter().map(entry).collect::<Result<BTreeMap<_, _>, _>>()?))
}

fn field(from: &AMQPValue, levels: usize) -> Result<Field, Unwritable> {
    Ok(match from {
        AMQPValue::Void => Field::Void,
        AMQPValue::Boolean(flag) => Field::Flag(*flag),
        AMQPValue::ShortShortInt(number) => Field::Int8(*number),
        AMQPValue::ShortShortUInt(number) => Field::Uint8(*number),
        AMQPValue::ShortInt(number) => Field::Int16(*number),
        AMQPValue::ShortUInt(number) => Field::Uint16(*number),
        AMQPValue::LongInt(number) => Field::Int32(*number),
        AMQPValue::LongUInt(number) => Field::Uint32(*number),
        AMQPValue::LongLongInt(number) => Field::Int64(*number),
        AMQPValue::Float(number) => Field::Float(number.to_bits()),
        AMQPValue::Double(number) => Field::Double(number.to_bits()),
        AMQPValue::DecimalValue(DecimalValue { scale, value }) => {
            Field::Decimal { scale: *scale, value: *value }
        }
        AMQPValue::Timestamp(seconds) => Field::Timestamp(*seconds),
        AMQPValue::LongString(text) => Field::LongString(text.as_bytes().to_vec()),
        AMQPValue::ShortString(text) => Field::ShortString(text.as_str().to_owned()),
        AMQPValue::ByteArray(bytes) => Field::Bytes(bytes.as_slice().to_vec()),
        AMQPValue::FieldArray(items) => {
            let levels = levels.checked_sub(1).ok_or(Unwritable)?;
            Field::List(items.as_slice().iter().map(|item| field(item, levels)).collect::<Result<_, _>>()?)
        }
        AMQPValue::FieldTable(inner) => Field::Table(table(inner, levels.checked_sub(1).ok_or(Unwritable)?)?),
    })
}

/// A recorded message that is sure to be one on the wire.
pub(super) fn prepared(message: Message) -> Result<Prepared, Unpublishable> {
    Ok(Prepared {
        exchange: short("name of the exchange", message.exchange)?,
        routing_key: short("routing key", message.routing_key)?,
        properties: basic_properties(message.properties)?,
        body: message.body,
    })
}

fn basic_properties(from: Properties) -> Result<BasicProperties, Unpublishable> {
    let mut basic = BasicProperties::default();
    let Properties { content_type, content_encoding, headers, delivery_mode, priority, .. } = from;
    let Properties { correlation_id, reply_to, expiration, message_id, timestamp, .. } = from;
    let Properties { kind, user_id, app_id, cluster_id, .. } = from;
    if let Some(text) = content_type {
        basic = basic.with_content_type(short("content type", text)?);
    }
    if let Some(text) = content_encoding {
        basic = basic.with_content_encoding(short("content encoding", text)?);
    }
    if let Some(headers) = headers {
        let headers = field_table(headers)?;
        let (bytes, most) = (table_bytes(&headers), MAX_HEADER_BYTES);
        if bytes > most {
            return Err(Unpublishable::HeadersTooLarge { bytes, most });
        }
        basic = basic.with_headers(headers);
    }
    if let Some(mode) = delivery_mode {
        basic = basic.with_delivery_mode(mode);
    }
    if let Some(priority) = priority {
        basic = basic.with_priority(priority);
    }
    if let Some(text) = correlation_id {
        basic = basic.with_correlation_id(short("correlation id", text)?);
    }
    if let Some(text) = reply_to {
        basic = basic.with_reply_to(short("reply-to", text)?);
    }
    if let Some(text) = expiration {
        basic = basic.with_expiration(short("expiration", text)?);
    }
    if let Some(text) = message_id {
        basic = basic.with_message_id(short("message id", text)?);
    }
    if let Some(seconds) = timestamp {
        basic = basic.with_timestamp(seconds);
    }
    if let Some(text) = kind {
        basic = basic.with_type(short("type", text)?);
    }
    if let Some(text) = user_id {
        basic = basic.with_user_id(short("user id", text)?);
    }
    if let Some(text) = app_id {
        basic = basic.with_app_id(short("app id", text)?);
    }
    if let Some(text) = cluster_id {
        basic = basic.with_cluster_id(short("cluster id", text)?);
    }
    Ok(basic)
}

fn field_table(from: Table) -> Result<FieldTable, Unpublishable> {
    let mut table = FieldTable::default();
    for (name, value) in from.0 {
        table.insert(short("name of a header", name)?, amqp_value(value)?);
    }
    Ok(table)
}

fn amqp_value(from: Field) -> Result<AMQPValue, Unpublishable> {
    Ok(match from {
        Field::Void => AMQPValue::Void,
        Field::Flag(flag) => AMQPValue::Boolean(flag),
        Field::Int8(number) => AMQPValue::ShortShortInt(number),
        Field::Uint8(number) => AMQPValue::ShortShortUInt(number),
        Field::Int16(number) => AMQPValue::ShortInt(number),
        Field::Uint16(number) => AMQPValue::ShortUInt(number),
        Field::Int32(number) => AMQPValue::LongInt(number),
        Field::Uint32(number) => AMQPValue::LongUInt(number),
        Field::Int64(number) => AMQPValue::LongLongInt(number),
        Field::Float(bits) => AMQPValue::Float(f32::from_bits(bits)),
        Field::Double(bits) => AMQPValue::Double(f64::from_bits(bits)),
        Field::Decimal { scale, value } => AMQPValue::DecimalValue(DecimalValue { scale, value }),
        Field::Timestamp(seconds) => AMQPValue::Timestamp(seconds),
        Field::LongString(bytes) => AMQPValue::LongString(bytes.into()),
        Field::ShortString(text) => AMQPValue::ShortString(short("value of a header", text)?),
        Field::Bytes(bytes) => AMQPValue::ByteArray(bytes.into()),
        Field::List(items) => {
            let items: Vec<AMQPValue> = items.into_iter().map(amqp_value).collect::<Result<_, _>>()?;
            AMQPValue::FieldArray(items.into())
        }
        Field::Table(inner) => AMQPValue::FieldTable(field_table(inner)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(headers: FieldTable) -> Delivery {
        let mut delivery = Delivery::mock(1, "xivo".into(), "a.b".into(), false, b"\xff".to_vec());
        delivery.properties = BasicProperties::default().with_headers(headers).with_priority(3);
        delivery
    }

    fn nested(levels: usize) -> FieldTable {
        let value = (0..levels).fold(AMQPValue::Void, |inner, _| AMQPValue::FieldArray(vec![inner].into()));
        let mut table = FieldTable::default();
        table.insert("h".into(), value);
        table
    }

    #[test]
    fn what_was_recorded_is_what_is_published() {
        let mut headers = nested(MAX_DEPTH);
        for (name, value) in [
            ("nan", AMQPValue::Double(f64::from_bits(0x7ff8_0000_0000_0001))),
            ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
            ("bytes", AMQPValue::ByteArray(vec![0, 0xff].into())),
            ("text", AMQPValue::LongString(vec![0xff].into())),
        ] {
            headers.insert(name.into(), value);
        }
        let message = recorded(delivery(headers), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(message.received, "1970-01-01T00:00:00.000000Z");
        let published = prepared(message.clone()).unwrap();
        assert_eq!((published.exchange.as_str(), published.routing_key.as_str()), ("xivo", "a.b"));
        let mut again = Delivery::mock(1, published.exchange, published.routing_key, false, published.body);
        again.properties = published.properties;
        assert_eq!(recorded(again, Timestamp::UNIX_EPOCH).unwrap(), message);
    }

    #[test]
    fn headers_nested_too_deep_are_not_gone_into() {
        assert_eq!(recorded(delivery(nested(MAX_DEPTH + 1)), Timestamp::UNIX_EPOCH), Err(Unwritable));
    }

    #[test]
    fn refuses_what_no_frame_holds() {
        let message = |properties| Message { properties, ..Message::default() };
        let long = Properties { app_id: Some("a".repeat(256)), ..Properties::default() };
        assert!(prepared(message(long)).is_err());
        let table = Table(BTreeMap::from([("h".to_owned(), Field::Bytes(vec![0; MAX_HEADER_BYTES]))]));
        assert!(prepared(message(Properties { headers: Some(table), ..Properties::default() })).is_err());
    }
}
