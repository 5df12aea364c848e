//! Reads what [`super::quarantine`] wrote, and what the broker put in quarantine by itself.

use jiff::Timestamp;
use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::bridge::Direction;
use super::recorded::{recorded, recorded_headers};
use crate::core::message::MARK_HEADER;
use crate::core::quarantined::{DELIVERY_LIMIT, OVERFLOW, Quarantined};
use crate::core::recording::{Message, Properties, Quarantine, Unwritable};

/// A delivery from the quarantine queue, as what it was when it came. What is not there or of another type is left
/// empty: anybody can publish to a queue.
pub(super) fn read(delivery: &Delivery) -> Quarantined {
    let none = FieldTable::default();
    let headers = delivery.properties.headers().as_ref().unwrap_or(&none);
    if !headers.contains_key("cti-bridge-reason") {
        match text_at(headers, "x-first-death-reason").as_deref() {
            Some(DELIVERY_LIMIT) => {
                let detail = "no client could read it; the broker put it away";
                return dead_lettered(delivery, headers, DELIVERY_LIMIT, detail);
            }
            Some(OVERFLOW) => {
                let detail = "the intake queue was full; the broker put the oldest away";
                return dead_lettered(delivery, headers, OVERFLOW, detail);
            }
            _ => {}
        }
    }
    let text = |name: &str| text_at(headers, name);
    let time = text("cti-bridge-time").and_then(|time| time.parse::<jiff::Timestamp>().ok());
    let properties = table_at(headers, "cti-bridge-properties").unwrap_or(&none);
    let original_headers = table_at(headers, "cti-bridge-headers").unwrap_or(&none);
    Quarantined {
        reason: text("cti-bridge-reason").unwrap_or_default(),
        detail: text("cti-bridge-detail").unwrap_or_default(),
        rule: text("cti-bridge-rule"),
        time: time.map(jiff::Timestamp::as_millisecond),
        direction: text("cti-bridge-direction").and_then(|code| Direction::parse(&code)),
        exchange: text("cti-bridge-exchange").unwrap_or_default(),
        routing_key: text("cti-bridge-routing-key").unwrap_or_default(),
        message_id: text_at(properties, "message-id"),
        correlation_id: text_at(properties, "correlation-id"),
        timestamp: match properties.inner().get("timestamp") {
            Some(AMQPValue::Timestamp(timestamp)) => Some(*timestamp),
            _ => None,
        },
        mark: text_at(original_headers, MARK_HEADER),
        body: delivery.data.clone(),
    }
}

/// What no client could read went through the broker's own dead-lettering, which keeps properties and body.
fn dead_lettered(delivery: &Delivery, headers: &FieldTable, reason: &str, detail: &str) -> Quarantined {
    let death = match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => deaths.as_slice().first(),
        _ => None,
    };
    let none = FieldTable::default();
    let death = match death {
        Some(AMQPValue::FieldTable(death)) => death,
        _ => &none,
    };
    let queue = text_at(headers, "x-first-death-queue").unwrap_or_default();
    let direction = match queue.rsplit_once('.').map(|(_, side)| side) {
        Some("legacy") => Some(Direction::ToModern),
        Some("modern") => Some(Direction::ToLegacy),
        _ => None,
    };
    let routing_key = match death.inner().get("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(text_of),
        _ => None,
    };
    let properties: &BasicProperties = &delivery.properties;
    let owned = |text: &Option<ShortString>| text.as_ref().map(|text| text.as_str().to_owned());
    Quarantined {
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        rule: None,
        time: match death.inner().get("time") {
            Some(AMQPValue::Timestamp(seconds)) => {
                i64::try_from(*seconds).ok().and_then(|seconds| seconds.checked_mul(1000))
            }
            _ => None,
        },
        direction,
        exchange: text_at(headers, "x-first-death-exchange").unwrap_or_default(),
        routing_key: routing_key.unwrap_or_default(),
        message_id: owned(properties.message_id()),
        correlation_id: owned(properties.correlation_id()),
        timestamp: *properties.timestamp(),
        mark: text_at(headers, MARK_HEADER),
        body: delivery.data.clone(),
    }
}

/// A message from the quarantine queue as a recording has it. What the bridge packed is unpacked; what another put
/// there, the broker among them, keeps the properties that it has.
pub(super) fn unpacked(from: Quarantined, delivery: Delivery, now: Timestamp) -> Result<Message, Unwritable> {
    let received = from.time.and_then(|time| Timestamp::from_millisecond(time).ok()).unwrap_or(now);
    let headers = delivery.properties.headers().clone().unwrap_or_default();
    let quarantine = Quarantine {
        reason: from.reason.clone(),
        detail: from.detail,
        rule: from.rule,
        direction: from.direction.map(|direction| direction.code().to_owned()),
        headers_left_out: match headers.inner().get("cti-bridge-headers-left-out") {
            Some(AMQPValue::LongLongInt(bytes)) => Some(*bytes),
            _ => None,
        },
    };
    let mut message = recorded(delivery, received)?;
    if let Some(scalars) = table_at(&headers, "cti-bridge-properties") {
        message.properties = properties(scalars);
        message.properties.headers =
            table_at(&headers, "cti-bridge-headers").map(recorded_headers).transpose()?;
    }
    if !from.reason.is_empty() {
        (message.exchange, message.routing_key) = (from.exchange, from.routing_key);
        message.quarantine = Some(quarantine);
    }
    Ok(message)
}

/// The counterpart of what [`super::quarantine`] makes of all properties but the headers.
fn properties(scalars: &FieldTable) -> Properties {
    let text = |name: &str| text_at(scalars, name);
    let byte = |name: &str| match scalars.inner().get(name) {
        Some(AMQPValue::LongInt(number)) => u8::try_from(*number).ok(),
        _ => None,
    };
    Properties {
        content_type: text("content-type"),
        content_encoding: text("content-encoding"),
        headers: None,
        delivery_mode: byte("delivery-mode"),
        priority: byte("priority"),
        correlation_id: text("correlation-id"),
        reply_to: text("reply-to"),
        expiration: text("expiration"),
        message_id: text("message-id"),
        timestamp: match scalars.inner().get("timestamp") {
            Some(AMQPValue::Timestamp(seconds)) => Some(*seconds),
            _ => None,
        },
        kind: text("type"),
        user_id: text("user-id"),
        app_id: text("app-id"),
        cluster_id: text("cluster-id"),
    }
}

fn text_at(table: &FieldTable, name: &str) -> Option<String> {
    table.inner().get(name).and_then(text_of)
}

fn text_of(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.as_str().to_owned()),
        _ => None,
    }
}

fn table_at<'t>(table: &'t FieldTable, name: &str) -> Option<&'t FieldTable> {
    match table.inner().get(name) {
        Some(AMQPValue::FieldTable(table)) => Some(table),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::quarantine::{Cause, properties};
    use super::*;
    use crate::core::message::{Reason, Refusal};

    fn long(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    fn table(entries: impl IntoIterator<Item = (&'static str, AMQPValue)>) -> FieldTable {
        let mut table = FieldTable::default();
        for (name, value) in entries {
            table.insert(name.into(), value);
        }
        table
    }

    #[test]
    fn reads_all_that_was_written() {
        let mut came = Delivery::mock(1, "xivo-cti".into(), "a\nb".into(), false, b"\xff\0".to_vec());
        came.properties = BasicProperties::default()
            .with_message_id("m".into())
            .with_correlation_id("c".into())
            .with_timestamp(u64::MAX)
            .with_headers(table([(MARK_HEADER, long("one,two"))]));
        let refusal =
            Refusal { reason: Reason::UnknownEvent, detail: "no rule".into(), rule: Some("call_{action}") };
        let now = "2026-11-22T22:27:39.5Z".parse().unwrap();
        let properties = properties(&came, Direction::ToModern, &Cause::Refused(refusal), now);
        let mut there =
            Delivery::mock(2, "".into(), "cti-bridge.quarantine".into(), false, came.data.clone());
        there.properties = properties;
        assert_eq!(
            read(&there),
            Quarantined {
                reason: "unknown_event".into(),
                detail: "no rule".into(),
                rule: Some("call_{action}".into()),
                time: Some(now.as_millisecond()),
                direction: Some(Direction::ToModern),
                exchange: "xivo-cti".into(),
                routing_key: "a\nb".into(),
                message_id: Some("m".into()),
                correlation_id: Some("c".into()),
                timestamp: Some(u64::MAX),
                mark: Some("one,two".into()),
                body: b"\xff\0".to_vec(),
            }
        );
    }

    #[test]
    fn reads_what_the_broker_put_away() {
        let mut there = Delivery::mock(2, "".into(), "cti-bridge.quarantine".into(), false, b"{}".to_vec());
        let death = table([
            (
                "routing-keys",
                AMQPValue::FieldArray(vec![AMQPValue::LongString(vec![b'k', 0xff].into())].into()),
            ),
            ("time", AMQPValue::Timestamp(7)),
        ]);
        there.properties = BasicProperties::default().with_message_id("m".into()).with_headers(table([
            ("x-first-death-reason", long(DELIVERY_LIMIT)),
            ("x-first-death-queue", long("cti-bridge.legacy")),
            ("x-first-death-exchange", long("xivo-cti")),
            ("x-death", AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into())),
        ]));
        let read = read(&there);
        assert_eq!((read.reason.as_str(), read.direction), (DELIVERY_LIMIT, Some(Direction::ToModern)));
        assert_eq!((read.exchange.as_str(), read.routing_key.as_str()), ("xivo-cti", "k\u{fffd}"));
        assert_eq!((read.time, read.message_id.as_deref()), (Some(7000), Some("m")));
    }

    /// Puts a message in quarantine and takes it out again.
    fn there_and_back(came: &Delivery) -> Message {
        let refusal = Refusal { reason: Reason::UnknownEvent, detail: "no rule".into(), rule: None };
        let now = "2026-11-22T22:27:39.5Z".parse().unwrap();
        let mut there =
            Delivery::mock(2, "".into(), "cti-bridge.quarantine".into(), false, came.data.clone());
        there.properties =
            super::super::quarantine::properties(came, Direction::ToModern, &Cause::Refused(refusal), now);
        unpacked(read(&there), there, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn a_message_comes_out_as_it_came() {
        let mut came = Delivery::mock(1, "xivo-cti".into(), "a\nb".into(), false, b"\xff\0".to_vec());
        came.properties = BasicProperties::default()
            .with_content_type("text/plain".into())
            .with_content_encoding("latin1".into())
            .with_headers(table([("n", AMQPValue::Void), (MARK_HEADER, long("one"))]))
            .with_delivery_mode(1)
            .with_priority(255)
            .with_correlation_id("c".into())
            .with_reply_to("r".into())
            .with_expiration("0".into())
            .with_message_id("m".into())
            .with_timestamp(u64::MAX)
            .with_type("t".into())
            .with_user_id("u".into())
            .with_app_id("a".into())
            .with_cluster_id("k".into());
        let message = there_and_back(&came);
        let why = message.quarantine.clone().unwrap();
        assert_eq!((why.reason.as_str(), why.direction.as_deref()), ("unknown_event", Some("to_modern")));
        let when = "2026-11-22T22:27:39.5Z".parse().unwrap();
        assert_eq!(Message { quarantine: None, ..message }, recorded(came, when).unwrap());
        let bare = Delivery::mock(1, "".into(), "".into(), false, Vec::new());
        let message = there_and_back(&bare);
        assert_eq!(Message { quarantine: None, ..message }, recorded(bare, when).unwrap());
    }

    #[test]
    fn what_another_put_there_comes_out_as_it_is() {
        let mut there = Delivery::mock(1, "x".into(), "k".into(), false, b"b".to_vec());
        there.properties = BasicProperties::default().with_app_id("a".into());
        let now = Timestamp::UNIX_EPOCH;
        let message = unpacked(read(&there), there, now).unwrap();
        assert_eq!((message.exchange.as_str(), message.routing_key.as_str()), ("x", "k"));
        assert_eq!((message.properties.app_id.as_deref(), message.quarantine), (Some("a"), None));
    }

    #[test]
    fn makes_do_with_what_anybody_may_have_put_there() {
        let mut there = Delivery::mock(1, "".into(), "q".into(), false, b"x".to_vec());
        assert_eq!(read(&there), Quarantined { body: b"x".to_vec(), ..Quarantined::default() });
        there.properties = BasicProperties::default().with_headers(table([
            ("cti-bridge-reason", AMQPValue::Void),
            ("cti-bridge-time", long("yesterday")),
            ("cti-bridge-direction", long("sideways")),
            ("cti-bridge-properties", long("none")),
            ("x-first-death-reason", long(DELIVERY_LIMIT)),
            ("x-death", AMQPValue::FieldArray(vec![AMQPValue::Void].into())),
        ]));
        assert_eq!(read(&there), Quarantined { body: b"x".to_vec(), ..Quarantined::default() });
    }
}
