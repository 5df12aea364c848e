//! Puts events on the source exchange.

use std::collections::VecDeque;
use std::io::{BufWriter, Write, stdout};
use std::num::NonZeroU64;
use std::pin::Pin;
use std::task::{Context, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::{MaybeDone, maybe_done};
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions,
    ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ExchangeKind};

use super::event::{event, names, now};
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

type Sending<'c> = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + 'c>>;

fn send<'c>(channel: &'c Channel, exchange: &'static str, key: String, body: Vec<u8>) -> Sending<'c> {
    Box::pin(async move {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default().with_delivery_mode(1);
        let key = ShortString::from(key);
        channel.basic_publish(exchange.into(), key, options, &body, properties).await?.await
    })
}

fn must_be_taken(confirmation: &lapin::Result<Confirmation>) {
    assert!(matches!(confirmation, Ok(Confirmation::Ack(None))), "not taken: {confirmation:?}");
}

/// Publishes all events at a rate, or as fast as they are confirmed. How many nanoseconds late each was sent, which is
/// part of its delay: the rate is kept whatever becomes of the events.
pub async fn publish(load: Load, rate: Option<NonZeroU64>) -> Vec<u64> {
    let connection = connect().await;
    let channel = connection.create_channel().await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let [source, _] = load.direction.exchanges();
    let mut window: VecDeque<MaybeDone<Sending<'_>>> = VecDeque::new();
    let mut context = Context::from_waker(Waker::noop());
    let mut late = Vec::new();
    let begin = now();
    for number in 0..load.count {
        let mut intended = now();
        if let Some(rate) = rate {
            intended = begin + number * 1_000_000_000 / rate;
            // The timers of tokio are too coarse, and this thread has nothing else to do.
            thread::sleep(Duration::from_nanos(intended.saturating_sub(now())));
            late.push(now().saturating_sub(intended));
        }
        let (key, body) = event(load.direction, number, intended);
        let mut sending = maybe_done(send(&channel, source, key, body));
        // The first poll queues the frames.
        let _ = Pin::new(&mut sending).poll(&mut context);
        window.push_back(sending);
        while rate.is_some() || window.len() >= WINDOW {
            let Some(oldest) = window.front_mut() else { break };
            let mut oldest = Pin::new(oldest);
            if rate.is_none() {
                oldest.as_mut().await;
            } else if oldest.as_mut().poll(&mut context).is_pending() {
                break;
            }
            must_be_taken(&oldest.take_output().unwrap());
            window.pop_front();
        }
    }
    for mut sending in window {
        Pin::new(&mut sending).await;
        must_be_taken(&Pin::new(&mut sending).take_output().unwrap());
    }
    connection.close(200, "done".into()).await.unwrap();
    late
}

/// The same on a thread of its own.
pub fn publish_beside(load: Load, rate: Option<NonZeroU64>) -> JoinHandle<Vec<u64>> {
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(publish(load, rate))
    })
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
