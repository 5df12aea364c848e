//! One session: the connections, channels and the consumer of one direction, which live and die together.
//!
//! A direction consumes on one connection and publishes on another, because one that publishes can be blocked by the
//! broker and then could not even ack. Quarantine is on the side where the messages come from; where that is another
//! broker it takes a third connection. The directions share nothing, so that one of two brokers that is away stops only
//! what needs it. lapin's own recovery stays off: it hides the loss of a connection and leaves closed channels closed.

use std::cell::Cell;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, try_join};
use futures_util::stream::{BoxStream, SelectAll, select_all};
use lapin::options::ConfirmSelectOptions;
use lapin::protocol::AMQPErrorKind;
use lapin::types::ShortString;
use lapin::{Channel, Connection, ConnectionStatus, ErrorKind};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::bridge::{Bridge, Direction, Side};
use super::connect::{OPEN_TIMEOUT, open};
use super::consuming::{Consuming, Source};
use super::declare::{SetUpError, declare, short};
use super::fault::Fault;
use crate::core::topology::{Binding, Destination, Topology};

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

/// How a session is to be opened.
#[derive(Clone, Copy)]
pub(super) struct Opening<'b> {
    pub(super) direction: Direction,
    pub(super) prefetch_count: u16,
    /// Which nodes of the clusters: others each time.
    pub(super) turn: usize,
    /// Held while declaring, so that two sessions do not make the same queue at the same time.
    pub(super) declaring: &'b Mutex<()>,
}

/// One direction, ready to run.
pub(super) struct Session {
    pub(super) link: Link,
    pub(super) events: Events,
    /// Nothing while the broker takes no messages.
    consuming: Option<Consuming>,
    intake_queue: String,
    consume: Connection,
    /// Where the translations go, and where quarantine is if that is another broker.
    publish: Vec<Connection>,
}

/// What one direction works with.
pub(super) struct Link {
    pub(super) direction: Direction,
    pub(super) publishing: Channel,
    /// A channel of its own, on the side where the messages come from: lapin pairs returned messages with the
    /// wrong confirms of a channel, which does no harm where every return means the same.
    pub(super) quarantine: Channel,
    pub(super) quarantine_queue: ShortString,
    connections: [ConnectionStatus; 2],
}

/// What a session consists of.
pub(super) struct Parts<'s> {
    pub(super) link: &'s Link,
    pub(super) events: &'s mut Events,
    pub(super) consuming: &'s mut Option<Consuming>,
    pub(super) source: Source<'s>,
    /// Where to look after what is on either side. The first one is never blocked, as nothing is published on it; the
    /// other one may be.
    pub(super) connections: [&'s Connection; 2],
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

impl Session {
    pub(super) async fn open(bridge: &Bridge, opening: Opening<'_>) -> Result<Self, OpenError> {
        let (from, to) = bridge.sides(opening.direction);
        // The source's nodes in turn, and the target's one further each time these are through: every pair comes.
        let rounds = opening.turn / from.address.nodes().count().max(1);
        let (source, target) = (from.address.node(opening.turn), to.address.node(opening.turn + rounds));
        let at = Cell::new((&source, Stage::Connecting));
        let opened = timeout(OPEN_TIMEOUT, Self::build(bridge, opening, [&source, &target], &at)).await;
        let (address, doing) = at.get();
        let broker = address.to_string();
        match opened {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(source)) => Err(OpenError::Failed { broker, doing, source }),
            Err(_) => Err(OpenError::TimedOut { broker, doing, after: OPEN_TIMEOUT }),
        }
    }

    async fn build<'a>(
        bridge: &Bridge,
        opening: Opening<'_>,
        [source, target]: [&'a BrokerAddress; 2],
        at: &Cell<(&'a BrokerAddress, Stage)>,
    ) -> Result<Self, SetUpError> {
        let (from, to) = bridge.sides(opening.direction);
        let named = |what: &str| format!("cti-bridge {what} {}", opening.direction.code());
        let (consume, publish) =
            try_join(open(source, &named("consume")), open(source, &named("publish"))).await?;
        let mut events = vec![Events::of(source, &consume), Events::of(source, &publish)];
        // First what has to be where the messages come from: they wait there while the other broker is away.
        at.set((source, Stage::Declaring));
        {
            let _alone = opening.declaring.lock().await;
            declare_on(&consume, &from.topology).await?;
        }
        let mut publish = vec![publish];
        if !bridge.is_on_one_broker() {
            at.set((target, Stage::Connecting));
            let other = open(target, &named("publish")).await?;
            events.push(Events::of(target, &other));
            publish.insert(0, other);
        }
        at.set((target, Stage::Declaring));
        if let [to_target, ..] = publish.as_slice() {
            let _alone = opening.declaring.lock().await;
            declare_on(to_target, &exchanges_of(&to.topology)).await?;
        }
        at.set((source, Stage::Consuming));
        let link = Link::open(opening.direction, from, &consume, &publish).await?;
        let intake_queue = from.intake_queue.clone();
        let source = Source {
            direction: opening.direction,
            queue: &intake_queue,
            connection: &consume,
            publish: publish.first().unwrap_or(&consume),
        };
        let consuming = source.consume_unless_blocked(opening.prefetch_count).await?;
        Ok(Self { link, events: Events(select_all(events)), consuming, intake_queue, consume, publish })
    }

    pub(super) fn parts(&mut self) -> Parts<'_> {
        let Self { link, events, consuming, intake_queue, consume, publish } = self;
        let target = publish.first().unwrap_or(consume);
        let connections = [&*consume, target];
        let direction = link.direction;
        let source = Source { direction, queue: intake_queue, connection: consume, publish: target };
        Parts { link, events, consuming, source, connections }
    }

    /// Closes what is still open, the publishing connections first, and waits for the brokers to say so.
    ///
    /// Only then has a broker put back what was not acked, and the next consumer gets it in the right order.
    pub(super) async fn close(self, within: Duration) {
        // Whoever drops a consumer cancels it.
        let Self { link: _link, consuming: _consuming, consume, publish, .. } = self;
        let bye = || ShortString::from("bye");
        let publish = join_all(publish.iter().map(|connection| connection.close(200, bye())));
        // A blocked connection cannot say good-bye; its socket closes with the process or when it is
        // unblocked.
        let _ = timeout(within / 2, publish).await;
        let _ = timeout(within / 2, consume.close(200, bye())).await;
    }
}

async fn declare_on(connection: &Connection, topology: &Topology) -> Result<(), SetUpError> {
    let channel = connection.create_channel().await?;
    declare(&channel, topology).await?;
    channel.close(200, ShortString::default()).await?;
    Ok(())
}

/// What has to be where translations are published: the queues there, and what leads to them, are the other
/// direction's.
pub(super) fn exchanges_of(topology: &Topology) -> Topology {
    let is_of_the_bus = |name: &str| topology.exchanges.iter().any(|exchange| exchange.name == name);
    let stays_there = |binding: &&Binding| matches!(&binding.destination, Destination::Exchange(name) if is_of_the_bus(name));
    Topology {
        exchanges: topology.exchanges.clone(),
        bindings: topology.bindings.iter().filter(stays_there).cloned().collect(),
        ..Topology::default()
    }
}

impl Link {
    async fn open(
        direction: Direction,
        side: &Side,
        consume: &Connection,
        publish: &[Connection],
    ) -> Result<Self, SetUpError> {
        let (target, source) = (publish.first().unwrap_or(consume), publish.last().unwrap_or(consume));
        let publishing = confirming(target).await?;
        let quarantine = confirming(source).await?;
        Ok(Self {
            direction,
            publishing,
            quarantine,
            quarantine_queue: short(&side.quarantine_queue)?,
            connections: [target.status().clone(), source.status().clone()],
        })
    }

    /// Whether the broker has stopped taking messages.
    pub(super) fn is_blocked(&self) -> bool {
        self.connections.iter().any(ConnectionStatus::blocked)
    }

    /// Whether all that is needed is still open.
    pub(super) fn is_open(&self, consuming: &Consuming) -> bool {
        let channels = [&consuming.channel, &self.publishing, &self.quarantine];
        channels.iter().all(|channel| channel.status().connected())
            && self.connections.iter().all(ConnectionStatus::connected)
    }
}

/// Whether the broker closed a channel only.
fn is_of_a_channel(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return false };
    matches!(refusal.kind(), AMQPErrorKind::Soft(_))
}

/// A channel with publisher confirms.
pub(super) async fn confirming(connection: &Connection) -> Result<Channel, SetUpError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

impl Events {
    fn of(address: &BrokerAddress, connection: &Connection) -> BoxStream<'static, (String, lapin::Event)> {
        let name = address.to_string();
        connection.events_listener().map(move |event| (name.clone(), event)).boxed()
    }

    /// The next that matters.
    pub(super) async fn next(&mut self) -> Notice {
        loop {
            match self.0.next().await {
                Some((broker, lapin::Event::ConnectionBlocked(reason))) => {
                    return Notice::Blocked { broker, reason };
                }
                Some((broker, lapin::Event::ConnectionUnblocked)) => return Notice::Unblocked { broker },
                // A channel that the broker closed. The direction sees it on its own channels; any other one is the
                // watch's, and what that finds is no fault of the session.
                Some((_, lapin::Event::Error(error))) if is_of_a_channel(&error) => {}
                Some((_, lapin::Event::Error(error))) => return Notice::Fault(Fault::Lost(error)),
                Some(_) => {}
                None => return Notice::Fault(Fault::Closed),
            }
        }
    }
}
