//! Reads what [`super::quarantine`] wrote, and what the broker put in quarantine by itself.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::bridge::Direction;
use crate::core::message::MARK_HEADER;
use crate::core::quarantined::{DELIVERY_LIMIT, Quarantined};

/// A delivery from the quarantine queue, as what it was when it came. What is not there or of another type is left
/// empty: anybody can publish to a queue.
pub(super) fn read(delivery: &Delivery) -> Quarantined {
    let none = FieldTable::default();
    let headers = delivery.properties.headers().as_ref().unwrap_or(&none);
    if text_at(headers, "x-first-death-reason").as_deref() == Some(DELIVERY_LIMIT)
        && !headers.contains_key("cti-bridge-reason")
    {
        return dead_lettered(delivery, headers);
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
fn dead_lettered(delivery: &Delivery, headers: &FieldTable) -> Quarantined {
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
        reason: DELIVERY_LIMIT.to_owned(),
        detail: "no client could read it; the broker put it away".to_owned(),
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
