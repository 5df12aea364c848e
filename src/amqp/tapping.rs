//! Listens beside everybody else: on a queue of its own that goes with the connection, or, where that is wanted, on a
//! queue that is there.
//!
//! A lost connection is followed by another, for ever; what was lost with it is told, and cannot be had back.

use std::time::Duration;

use futures_util::StreamExt;
use jiff::Timestamp;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer, ExchangeKind};
use tokio::time::{Instant, sleep, timeout};

use super::address::{BrokerAddress, HEARTBEAT};
use super::backoff::Backoff;
use super::connect::{ConnectError, OPEN_TIMEOUT, connect};
use super::declare::{Inequivalent, SetUpError, short};
use super::fault::Fault;
use super::recorded::recorded;
use crate::core::recording::{Message, Source};

/// A connection that says nothing for so long is given up; as long it may have been dead before that is noticed.
pub const SILENCE: Duration = Duration::from_secs(2 * HEARTBEAT as u64);

/// Deliveries under way, which bounds memory.
const PREFETCH_COUNT: u16 = 256;

/// Copies are acknowledged so many at a time.
const ACK_EVERY: u64 = 64;

/// So often is looked whether the exchange is still there, and the queue bound to it: nobody is told when it is not.
const WATCH_PERIOD: Duration = Duration::from_secs(5);

/// How long to say good-bye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Tap {
    /// The broker.
    pub address: BrokerAddress,
    /// The name of the connection, for the broker's administrator.
    pub name: &'static str,
    /// An exchange, whose messages are copied, or a queue, whose messages are taken away.
    pub source: Source,
}

/// What is heard.
#[derive(Debug)]
pub enum Heard {
    /// From here on nothing is missed.
    Listening,
    /// A message.
    Message(Box<Message>),
    /// A message that cannot be kept; it stays where it was, if it was in a queue that is there.
    Unreadable {
        /// Why.
        reason: String,
    },
    /// From here on messages may be missed.
    Lost {
        /// Why.
        cause: String,
    },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Go on.
    GoOn,
    /// It was enough. The message that was heard last is taken.
    Stop,
    /// Stop, and leave the message that was heard last where it was.
    StopBefore,
}

/// Why it is not possible to listen at all.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TapError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The exchange or the queue is not there, or not for us.
    #[error("{source}")]
    Source {
        /// Why.
        source: SetUpError,
    },
    /// No answer in time.
    #[error("the broker does not answer")]
    TimedOut,
}

/// Listens until `on` says that it is enough, or `shutdown` resolves.
///
/// # Errors
/// Only before it has listened for the first time.
pub async fn listen(
    tap: &Tap,
    mut on: impl FnMut(Heard) -> Then,
    shutdown: impl Future<Output = ()>,
) -> Result<(), TapError> {
    let mut shutdown = std::pin::pin!(shutdown);
    let mut backoff = Backoff::default();
    let mut first = true;
    loop {
        let opened = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            opened = open(tap) => opened,
        };
        match opened {
            Ok((connection, mut consumer)) => {
                first = false;
                let began = Instant::now();
                let queue = consumer.queue();
                let ended = if on(Heard::Listening) == Then::GoOn {
                    tokio::select! {
                        biased;
                        () = &mut shutdown => None,
                        fault = watch(&connection, &tap.source, &queue) => Some(fault),
                        fault = hear(tap, &mut consumer, &mut on) => fault,
                    }
                } else {
                    None
                };
                let _ = timeout(CLOSE_TIMEOUT, connection.close(200, "bye".into())).await;
                let Some(fault) = ended else { return Ok(()) };
                if began.elapsed() >= Backoff::LONGEST {
                    backoff.reset();
                }
                if on(Heard::Lost { cause: fault.to_string() }) != Then::GoOn {
                    return Ok(());
                }
            }
            Err(error) if first => return Err(error),
            // That it is lost was told; nothing more is, until it listens again.
            Err(_) => {}
        }
        tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            () = sleep(backoff.next_delay()) => {}
        }
    }
}

async fn open(tap: &Tap) -> Result<(Connection, Consumer), TapError> {
    let connection = connect(&tap.address, tap.name).await?;
    match timeout(OPEN_TIMEOUT, consume(&connection, &tap.source)).await {
        Ok(Ok(consumer)) => Ok((connection, consumer)),
        Ok(Err(source)) => Err(TapError::Source { source }),
        Err(_) => Err(TapError::TimedOut),
    }
}

/// Watches until the exchange is gone.
async fn watch(connection: &Connection, source: &Source, queue: &ShortString) -> Fault {
    let Source::Exchange { name, keys } = source else { return std::future::pending().await };
    loop {
        sleep(WATCH_PERIOD).await;
        let looked = async {
            let channel = connection.create_channel().await?;
            look(&channel, name).await?;
            bind(&channel, queue, name, keys).await?;
            Ok(channel.close(200, ShortString::default()).await?)
        };
        // What is wrong with the connection itself, the consumer is told.
        if let Ok(Err(SetUpError::Missing { text })) = timeout(OPEN_TIMEOUT, looked).await {
            return Fault::Gone(text);
        }
    }
}

/// Looks whether an exchange is there: a binding to what is not says the same, but less clearly.
async fn look(channel: &Channel, exchange: &str) -> Result<(), SetUpError> {
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    Ok(channel
        .exchange_declare(short(exchange)?, ExchangeKind::Topic, options, FieldTable::default())
        .await?)
}

/// Binds a queue, which is no error where it is bound.
async fn bind(
    channel: &Channel,
    queue: &ShortString,
    exchange: &str,
    keys: &[String],
) -> Result<(), SetUpError> {
    for key in keys {
        let (options, none) = (QueueBindOptions::default(), FieldTable::default());
        channel.queue_bind(queue.clone(), short(exchange)?, short(key)?, options, none).await?;
    }
    Ok(())
}

async fn consume(connection: &Connection, source: &Source) -> Result<Consumer, SetUpError> {
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH_COUNT, BasicQosOptions::default()).await?;
    let none = FieldTable::default;
    let queue = match source {
        Source::Queue { name } => short(name)?,
        Source::Exchange { name, keys } => {
            look(&channel, name).await?;
            let options = QueueDeclareOptions { exclusive: true, auto_delete: true, ..Default::default() };
            let queue = channel.queue_declare("".into(), options, none()).await?.name().clone();
            bind(&channel, &queue, name, keys).await?;
            queue
        }
    };
    Ok(channel.basic_consume(queue, "".into(), BasicConsumeOptions::default(), none()).await?)
}

/// Hears message after message until it is enough, or something is wrong.
async fn hear(tap: &Tap, consumer: &mut Consumer, on: &mut impl FnMut(Heard) -> Then) -> Option<Fault> {
    let takes_away = matches!(tap.source, Source::Queue { .. });
    let mut unacked = 0;
    loop {
        let delivery = match consumer.next().await {
            Some(Ok(delivery)) => delivery,
            Some(Err(error)) => return Some(Fault::Consume(error)),
            None => return Some(Fault::ConsumerEnded { queue: consumer.queue().as_str().to_owned() }),
        };
        let acker = delivery.acker.clone();
        let heard = match recorded(delivery, Timestamp::now()) {
            Ok(message) => Heard::Message(Box::new(message)),
            Err(reason) => Heard::Unreadable { reason: reason.to_string() },
        };
        let is_kept = matches!(heard, Heard::Message(_));
        let then = on(heard);
        if takes_away {
            if is_kept
                && then != Then::StopBefore
                && let Err(error) = acker.ack(BasicAckOptions::default()).await
            {
                return Some(Fault::Ack(error));
            }
        } else {
            unacked += 1;
            if unacked == ACK_EVERY {
                unacked = 0;
                if let Err(error) = acker.ack(BasicAckOptions { multiple: true }).await {
                    return Some(Fault::Ack(error));
                }
            }
        }
        if then != Then::GoOn {
            return None;
        }
    }
}

/// Whether an exchange is a direct one, where the broker tells: it does by refusing to declare it otherwise.
///
/// # Errors
/// When the broker cannot be reached, or there is no such exchange.
pub async fn is_direct(address: &BrokerAddress, exchange: &str) -> Result<Option<bool>, TapError> {
    let connection = connect(address, "cti-bridge").await?;
    let asked = timeout(OPEN_TIMEOUT, async {
        let channel = connection.create_channel().await?;
        look(&channel, exchange).await?;
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let kind = ExchangeKind::Direct;
        match channel.exchange_declare(short(exchange)?, kind, options, FieldTable::default()).await {
            Ok(()) => Ok(Some(true)),
            Err(error) => match SetUpError::from(error) {
                // The type is what the broker looks at first.
                SetUpError::Inequivalent(Inequivalent { attribute, .. }) => Ok(Some(attribute != "type")),
                SetUpError::AccessRefused { .. } => Ok(None),
                error => Err(error),
            },
        }
    });
    let answer = asked.await;
    let _ = timeout(CLOSE_TIMEOUT, connection.close(200, "bye".into())).await;
    match answer {
        Ok(answer) => answer.map_err(|source| TapError::Source { source }),
        Err(_) => Err(TapError::TimedOut),
    }
}
