//! One session: the connections, channels and consumers that live and die together.
//!
//! Each broker gets two connections, because one that publishes can be blocked by the broker and then could
//! not even ack. Where both sides are the same broker they share them. lapin's own recovery stays off: it
//! hides the loss of a connection and leaves closed channels closed.

use std::cell::Cell;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, try_join};
use futures_util::stream::{BoxStream, SelectAll, select_all};
use lapin::options::{BasicConsumeOptions, BasicQosOptions, ConfirmSelectOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, ConnectionStatus, Consumer};
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::bridge::{Bridge, Direction, Side};
use super::connect::{OPEN_TIMEOUT, open};
use super::declare::{SetUpError, declare, short};
use super::fault::Fault;

/// Why a session could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum OpenError {
    /// The broker was not there, or refused.
    #[error("{doing} {broker} failed: {source}")]
    Failed {
        /// The broker, without a password.
        broker: String,
        /// What was being done.
        doing: Stage,
        /// Why it failed.
        source: SetUpError,
    },
    /// The broker did not answer in time.
    #[error("{doing} {broker} failed: no answer within {} seconds", after.as_secs())]
    TimedOut {
        /// The broker, without a password.
        broker: String,
        /// What was being done.
        doing: Stage,
        /// The time allowed.
        after: Duration,
    },
}

/// How far the opening of a session got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// TCP, TLS, login, vhost.
    Connecting,
    /// Exchanges, queues, bindings.
    Declaring,
    /// Channels and consumers.
    Consuming,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting to",
            Self::Declaring => "declaring exchanges and queues on",
            Self::Consuming => "consuming from",
        })
    }
}

/// Both directions, ready to run.
pub(super) struct Session {
    pub(super) to_legacy: Link,
    pub(super) to_modern: Link,
    pub(super) events: Events,
    legacy: Broker,
    /// Nothing where it is the same broker.
    modern: Option<Broker>,
}

/// What one direction works with.
pub(super) struct Link {
    pub(super) direction: Direction,
    pub(super) consuming: Channel,
    pub(super) consumer: Consumer,
    pub(super) publishing: Channel,
    /// A channel of its own, on the side where the messages come from: lapin pairs returned messages with the
    /// wrong confirms of a channel, which does no harm where every return means the same.
    pub(super) quarantine: Channel,
    pub(super) quarantine_queue: ShortString,
    connections: [ConnectionStatus; 2],
}

/// What the connections of a session report by themselves.
pub(super) struct Events(SelectAll<BoxStream<'static, (String, lapin::Event)>>);

/// What is worth knowing of it.
#[derive(Debug)]
pub(super) enum Notice {
    /// The broker takes no more messages for now.
    Blocked { broker: String, reason: String },
    /// It does again.
    Unblocked { broker: String },
    /// The end.
    Fault(Fault),
}

struct Broker {
    name: String,
    consume: Connection,
    publish: Connection,
}

impl Session {
    pub(super) async fn open(bridge: &Bridge, prefetch_count: u16) -> Result<Self, OpenError> {
        let at = Cell::new((&bridge.legacy.address, Stage::Connecting));
        let opened = timeout(OPEN_TIMEOUT, Self::build(bridge, prefetch_count, &at)).await;
        let (address, doing) = at.get();
        let broker = address.to_string();
        match opened {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(source)) => Err(OpenError::Failed { broker, doing, source }),
            Err(_) => Err(OpenError::TimedOut { broker, doing, after: OPEN_TIMEOUT }),
        }
    }

    async fn build<'b>(
        bridge: &'b Bridge,
        prefetch_count: u16,
        at: &Cell<(&'b BrokerAddress, Stage)>,
    ) -> Result<Self, SetUpError> {
        let legacy = Broker::connect(&bridge.legacy.address).await?;
        let modern = if bridge.legacy.address.is_same(&bridge.modern.address) {
            None
        } else {
            at.set((&bridge.modern.address, Stage::Connecting));
            Some(Broker::connect(&bridge.modern.address).await?)
        };
        // From here on nothing that a broker says is missed.
        let events = Events::of([Some(&legacy), modern.as_ref()].into_iter().flatten());

        let sides = [(&bridge.legacy, &legacy), (&bridge.modern, modern.as_ref().unwrap_or(&legacy))];
        for (side, broker) in sides {
            at.set((&side.address, Stage::Declaring));
            let channel = broker.consume.create_channel().await?;
            declare(&channel, &side.topology).await?;
            channel.close(200, ShortString::default()).await?;
        }
        let [legacy_side, modern_side] = sides;
        at.set((&bridge.modern.address, Stage::Consuming));
        let to_legacy = Link::open(Direction::ToLegacy, modern_side, legacy_side.1, prefetch_count).await?;
        at.set((&bridge.legacy.address, Stage::Consuming));
        let to_modern = Link::open(Direction::ToModern, legacy_side, modern_side.1, prefetch_count).await?;
        Ok(Self { to_legacy, to_modern, events, legacy, modern })
    }

    /// Closes what is still open, the publishing connections first, and waits for the brokers to say so.
    ///
    /// Only then has a broker put back what was not acked, and the next consumer gets it in the right order.
    pub(super) async fn close(self, within: Duration) {
        let Self { to_legacy: _to_legacy, to_modern: _to_modern, events: _, legacy, modern } = self;
        let brokers: Vec<_> = [Some(legacy), modern].into_iter().flatten().collect();
        let bye = || ShortString::from("bye");
        let publish = join_all(brokers.iter().map(|broker| broker.publish.close(200, bye())));
        // A blocked connection cannot say good-bye; its socket closes with the process or when it is
        // unblocked.
        let _ = timeout(within / 2, publish).await;
        let consume = join_all(brokers.iter().map(|broker| broker.consume.close(200, bye())));
        let _ = timeout(within / 2, consume).await;
    }
}

impl Broker {
    async fn connect(address: &BrokerAddress) -> Result<Self, SetUpError> {
        let (consume, publish) =
            try_join(open(address, "cti-bridge consume"), open(address, "cti-bridge publish")).await?;
        Ok(Self { name: address.to_string(), consume, publish })
    }
}

impl Link {
    async fn open(
        direction: Direction,
        (side, from): (&Side, &Broker),
        to: &Broker,
        prefetch_count: u16,
    ) -> Result<Self, SetUpError> {
        let publishing = confirming(&to.publish).await?;
        let quarantine = confirming(&from.publish).await?;
        let consuming = from.consume.create_channel().await?;
        // 0 would mean without bounds.
        consuming.basic_qos(prefetch_count.max(1), BasicQosOptions::default()).await?;
        let tag = short(&format!("cti-bridge.{}", direction.code()))?;
        let queue = short(&side.intake_queue)?;
        let consumer = consuming
            .basic_consume(queue, tag, BasicConsumeOptions::default(), FieldTable::default())
            .await?;
        Ok(Self {
            direction,
            consuming,
            consumer,
            publishing,
            quarantine,
            quarantine_queue: short(&side.quarantine_queue)?,
            connections: [to.publish.status().clone(), from.publish.status().clone()],
        })
    }

    /// Whether the broker has stopped taking messages.
    pub(super) fn is_blocked(&self) -> bool {
        self.connections.iter().any(ConnectionStatus::blocked)
    }

    /// Whether all that is needed is still open.
    pub(super) fn is_open(&self) -> bool {
        let channels = [&self.consuming, &self.publishing, &self.quarantine];
        channels.iter().all(|channel| channel.status().connected())
            && self.connections.iter().all(ConnectionStatus::connected)
    }
}

async fn confirming(connection: &Connection) -> Result<Channel, SetUpError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

impl Events {
    fn of<'b>(brokers: impl Iterator<Item = &'b Broker>) -> Self {
        Self(select_all(brokers.flat_map(|broker| {
            [&broker.consume, &broker.publish].map(|connection| {
                let name = broker.name.clone();
                connection.events_listener().map(move |event| (name.clone(), event)).boxed()
            })
        })))
    }

    /// The next that matters.
    pub(super) async fn next(&mut self) -> Notice {
        loop {
            match self.0.next().await {
                Some((broker, lapin::Event::ConnectionBlocked(reason))) => {
                    return Notice::Blocked { broker, reason };
                }
                Some((broker, lapin::Event::ConnectionUnblocked)) => return Notice::Unblocked { broker },
                Some((_, lapin::Event::Error(error))) => return Notice::Fault(Fault::Lost(error)),
                Some(_) => {}
                None => return Notice::Fault(Fault::Closed),
            }
        }
    }
}
