//! Puts events on the source exchange.

use std::io::{BufWriter, Write, stdout};
use std::num::NonZeroU64;
use std::thread;
use std::time::Duration;

use lapin::options::{
    ExchangeBindOptions, ExchangeDeclareOptions, ExchangeDeleteOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{Channel, ExchangeKind};

use super::event::{event, names, now};
use super::wire::Wire;
use super::{Direction, Load, Prepare, connect};

/// The receiver's queue.
pub const SINK: &str = "bench.sink";

/// Queues of earlier candidates.
const QUEUES: [&str; 5] =
    [SINK, "bench.intake", "cti-bridge.modern", "cti-bridge.legacy", "cti-bridge.quarantine"];

/// Exchanges that the bridge makes for itself and for old clients.
const EXCHANGES: [&str; 4] =
    ["cti-bridge.modern.filter", "cti-bridge.modern.others", "xivo-ami", "xivo-status-updates"];

/// Events that are published and not confirmed yet.
const WINDOW: usize = 1000;

/// At a rate, confirms are looked for after so many events.
const BATCH: u64 = 16;

pub async fn prepare(prepare: &Prepare) {
    let connection = connect().await;
    let channel = connection.create_channel().await.unwrap();
    for queue in QUEUES {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }
    for exchange in EXCHANGES {
        channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
    }
    for (exchange, kind) in [("xivo", ExchangeKind::Topic), ("xivo-cti", ExchangeKind::Direct)] {
        // With it go its bindings to other exchanges.
        channel.exchange_delete(exchange.into(), ExchangeDeleteOptions::default()).await.unwrap();
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await.unwrap();
    }
    let [source, target] = prepare.direction.exchanges();
    let transient = QueueDeclareOptions::default();
    channel.queue_declare(SINK.into(), transient, FieldTable::default()).await.unwrap();
    let keys = if prepare.bind || prepare.as_sent { all_keys(prepare.direction) } else { keys_on(target) };
    bind(&channel, SINK, target, keys).await;
    if let Some(intake) = &prepare.intake {
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let mut arguments = FieldTable::default();
        let kind = LongString::from(prepare.queue_type.as_str());
        arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind));
        channel.queue_declare(intake.as_str().into(), durable, arguments).await.unwrap();
        bind(&channel, intake, source, keys_on(source)).await;
    }
    if prepare.bind {
        for key in keys_on(source) {
            let options = ExchangeBindOptions::default();
            let bound = channel.exchange_bind(
                target.into(),
                source.into(),
                key.into(),
                options,
                FieldTable::default(),
            );
            bound.await.unwrap();
        }
    }
    connection.close(200, "done".into()).await.unwrap();
}

/// What matches the key of every event that belongs on this exchange.
fn keys_on(exchange: &str) -> Vec<String> {
    if exchange == "xivo" { vec!["#".into()] } else { names().map(str::to_owned).collect() }
}

/// Every routing key that the events of this direction are sent with, which bindings and shovels keep.
fn all_keys(direction: Direction) -> Vec<String> {
    let mut keys: Vec<_> = (0..16).map(|number| event(direction, number, 0).0).collect();
    keys.sort();
    keys.dedup();
    keys
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, keys: Vec<String>) {
    for key in keys {
        let options = QueueBindOptions::default();
        let bound =
            channel.queue_bind(queue.into(), exchange.into(), key.into(), options, FieldTable::default());
        bound.await.unwrap();
    }
}

/// Publishes all events at a rate, or as fast as they are confirmed. How many nanoseconds late each was sent, which is
/// part of its delay: the rate is kept whatever becomes of the events.
pub fn publish(load: Load, rate: Option<NonZeroU64>) -> Vec<u64> {
    let mut wire = Wire::open();
    wire.confirm_select();
    let [source, _] = load.direction.exchanges();
    let mut late = Vec::new();
    let begin = now();
    for number in 0..load.count {
        let mut intended = now();
        if let Some(rate) = rate {
            intended = begin + number * 1_000_000_000 / rate;
            thread::sleep(Duration::from_nanos(intended.saturating_sub(now())));
            late.push(now().saturating_sub(intended));
        }
        let (key, body) = event(load.direction, number, intended);
        wire.publish(source, &key, &body);
        if rate.is_some() {
            wire.flush();
            if number % BATCH == 0 {
                wire.confirms_so_far();
            }
        } else if wire.unconfirmed() >= WINDOW {
            wire.flush();
            wire.confirms();
        }
    }
    wire.flush();
    while wire.unconfirmed() > 0 {
        wire.confirms();
    }
    wire.close();
    late
}

/// Writes the bodies of all events, one a line.
pub fn write(load: Load) {
    let mut out = BufWriter::new(stdout().lock());
    for number in 0..load.count {
        let (_, mut body) = event(load.direction, number, 0);
        body.push(b'\n');
        out.write_all(&body).unwrap();
    }
    out.flush().unwrap();
}
