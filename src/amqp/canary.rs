//! Canaries: messages of our own, sent through a direction that has nothing else to do, to see whether it moves.
//!
//! One goes over the default exchange straight into the intake queue and comes back as any delivery does. What comes of
//! it is a message to a queue that there is not, over the same channel as all translations; when that is confirmed the
//! canary is acked. So nobody ever sees one, and what it went through works.

use std::time::Duration;

use lapin::message::Delivery;
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::time::{sleep, timeout};

use super::bridge::Bridge;
use super::consuming::{NOBODY, Source};
use super::declare::{SetUpError, short};
use super::fault::Fault;
use super::motion::Motion;
use super::pace::{Depth, Look, Pace, judge};
use super::prepared::Prepared;
use super::session::Link;
use crate::core::message::MARK_HEADER;
use crate::core::probe::{Data, Probe, Run};

/// The AMQP property `type` of a canary.
const TYPE: &str = "cti-bridge-canary";

/// A broker that does not answer for so long does not answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether this is a canary, of whichever bridge.
pub(super) fn is_one(delivery: &Delivery) -> bool {
    delivery.exchange.as_str().is_empty()
        && delivery.properties.kind().as_ref().is_some_and(|kind| kind.as_str() == TYPE)
}

/// What comes of a canary.
pub(super) fn onwards() -> Prepared {
    Prepared {
        exchange: ShortString::default(),
        routing_key: ShortString::from(NOBODY),
        properties: BasicProperties::default(),
        body: Vec::new(),
    }
}

/// Looks at a direction now and again, says how it gets on, and ends when something should have come and did not.
pub(super) async fn observe(
    bridge: &Bridge,
    link: &Link,
    source: Source<'_>,
    motion: &Motion,
    tell: impl Fn(Pace),
) -> Fault {
    let (mut before, mut last): (Option<Look>, Option<Pace>) = (None, None);
    loop {
        let now = look(link, source, motion).await;
        if let Some(pace) = judge(before, now) {
            if pace == Pace::Silent {
                return Fault::Silent { queue: source.queue.to_owned() };
            }
            if pace == Pace::StandingBy {
                // The other bridge got it.
                motion.expect_canary(false);
            }
            tell(pace);
            last = Some(pace);
        }
        let asked = Look { canary: motion.expects_canary(), ..now };
        if asked.wants_canary() {
            motion.expect_canary(true);
            // It may be back before the broker has said that it is there.
            match timeout(PATIENCE, send(bridge, link, source.queue)).await {
                Ok(Ok(true)) => {}
                Ok(Err(SetUpError::Broker(error))) => return Fault::Lost(error),
                Ok(Err(refused)) => return Fault::Canary(refused),
                Ok(Ok(false)) | Err(_) => motion.expect_canary(false),
            }
        }
        before = Some(Look { canary: motion.expects_canary(), ..now });
        // That it moves again is told at once.
        let mut next = std::pin::pin!(sleep(bridge.look_period));
        while last != Some(Pace::Moving) {
            tokio::select! {
                biased;
                () = motion.beyond(now.settled) => {
                    last = Some(Pace::Moving);
                    tell(Pace::Moving);
                }
                () = &mut next => break,
            }
        }
        next.await;
    }
}

async fn look(link: &Link, source: Source<'_>, motion: &Motion) -> Look {
    // Nothing is answered on a connection that is blocked.
    let queue = match source.intake.connection.status().blocked() {
        true => None,
        false => {
            timeout(PATIENCE, depth(&source.intake.connection, source.queue)).await.ok().and_then(Result::ok)
        }
    };
    let (taken, settled) = motion.so_far();
    Look {
        taken,
        settled,
        blocked: link.is_blocked(),
        behind: motion.is_behind(),
        canary: motion.expects_canary(),
        // What is wrong with a connection, or a queue that is gone, others notice.
        queue,
    }
}

async fn depth(connection: &Connection, queue: &str) -> Result<Depth, SetUpError> {
    let channel = connection.create_channel().await?;
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let found = channel.queue_declare(short(queue)?, options, FieldTable::default()).await?;
    let _ = channel.close(200, ShortString::default()).await;
    Ok(Depth { ready: found.message_count(), consumers: found.consumer_count() })
}

/// Sends one and says whether it is in the queue.
async fn send(bridge: &Bridge, link: &Link, queue: &str) -> Result<bool, SetUpError> {
    let channel: &Channel = &link.canaries;
    let Ok(body) = body() else { return Ok(false) };
    let mut headers = FieldTable::default();
    // A bridge that knows no canaries takes it for something of our own that came back.
    let mark = bridge.translator.settings().bridge_id.as_str();
    headers.insert(short(MARK_HEADER)?, AMQPValue::LongString(mark.into()));
    let properties = BasicProperties::default().with_type(short(TYPE)?).with_headers(headers);
    let options = BasicPublishOptions::default();
    let confirm = channel.basic_publish(ShortString::default(), short(queue)?, options, &body, properties);
    Ok(matches!(confirm.await?.await?, Confirmation::Ack(_)))
}

/// A probe that asks for nothing, for who looks into the queue.
fn body() -> Result<Vec<u8>, serde_json::Error> {
    let Some(run) = Run::parse("canary") else { return Ok(Vec::new()) };
    Data::Probe(Probe { run, number: 0, routing_key: "".into(), event: None }).body()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(exchange: &str, kind: Option<&str>) -> Delivery {
        let mut delivery = Delivery::mock(1, exchange.into(), "cti-bridge.modern".into(), false, Vec::new());
        if let Some(kind) = kind {
            delivery.properties = BasicProperties::default().with_type(kind.into());
        }
        delivery
    }

    #[test]
    fn nothing_from_an_exchange_of_the_bus_is_a_canary() {
        assert!(is_one(&delivery("", Some(TYPE))));
        for (exchange, kind) in [("xivo", Some(TYPE)), ("", None), ("", Some("event"))] {
            assert!(!is_one(&delivery(exchange, kind)), "{exchange} {kind:?}");
        }
    }

    #[test]
    fn a_canary_is_a_probe_that_asks_for_nothing() {
        let body = String::from_utf8(body().unwrap()).unwrap();
        assert_eq!(body, r#"{"name": "cti-bridge-probe", "data": {"probe":{"run":"canary","number":0}}}"#);
    }
}
