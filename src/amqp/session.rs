//! One session: the connections, channels and the consumer of one direction, which live and die together.
//!
//! On one broker a direction has one connection for everything, so that its end puts back what was not acked and drops
//! what was not written. A broker that takes no messages reads nothing from it, then, not even acks; these
//! can only be of what it confirmed a moment before. Between two brokers there is one to consume, one to publish on the
//! other side, and one for what goes to quarantine, so that one blocked broker does not keep acks from the other. The
//! directions share nothing. lapin's own recovery stays off: it hides the loss of a connection and leaves closed
//! channels closed.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{join_all, try_join};
use futures_util::stream::{LocalBoxStream, SelectAll, select_all};
use lapin::options::ConfirmSelectOptions;
use lapin::types::ShortString;
use lapin::{Channel, Connection, ConnectionStatus};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::bridge::{Bridge, Direction, Side};
use super::connect::{Frames, OPEN_TIMEOUT};
use super::connected::{Connected, Notice};
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
    pub(super) frames: Frames,
    /// Held while declaring, so that two sessions do not make the same queue at the same time.
    pub(super) declaring: &'b Mutex<()>,
}

/// One direction, ready to run.
pub(super) struct Session {
    pub(super) link: Arc<Link>,
    pub(super) events: Events,
    /// Nothing while the broker takes no messages.
    consuming: Option<Consuming>,
    intake_queue: String,
    consume: Connected,
    /// Between two brokers: where the translations go, and where quarantine is.
    publish: Vec<Connected>,
}

/// What one direction works with.
pub(super) struct Link {
    pub(super) direction: Direction,
    pub(super) publishing: Arc<Channel>,
    /// A channel of its own, on the side where the messages come from: lapin pairs returned messages with the
    /// wrong confirms of a channel, which does no harm where every return means the same.
    pub(super) quarantine: Arc<Channel>,
    pub(super) quarantine_queue: ShortString,
    /// Another one, as a return means something else there.
    pub(super) canaries: Channel,
    pub(super) frames: Frames,
    connections: [ConnectionStatus; 2],
}

/// What a session consists of.
pub(super) struct Parts<'s> {
    pub(super) link: &'s Arc<Link>,
    pub(super) events: &'s mut Events,
    pub(super) consuming: &'s mut Option<Consuming>,
    pub(super) source: Source<'s>,
    /// Where to look after what is on either side.
    pub(super) connections: [&'s Connection; 2],
}

/// What the connections of a session report by themselves.
pub(super) struct Events(SelectAll<LocalBoxStream<'static, Notice>>);

/// How far an opening got.
struct Progress {
    broker: String,
    stage: Stage,
}

impl Session {
    pub(super) async fn open(bridge: &Bridge, opening: Opening<'_>) -> Result<Self, OpenError> {
        let (from, to) = bridge.sides(opening.direction);
        // The source's nodes in turn, and the target's one further each time these are through: every pair comes.
        let rounds = opening.turn / from.address.nodes().count().max(1);
        let nodes = [from.address.node(opening.turn), to.address.node(opening.turn + rounds)];
        let progress = RefCell::new(Progress { broker: nodes[0].to_string(), stage: Stage::Connecting });
        let opened = timeout(OPEN_TIMEOUT, Self::build(bridge, opening, &nodes, &progress)).await;
        let Progress { broker, stage: doing } = progress.into_inner();
        match opened {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(source)) => Err(OpenError::Failed { broker, doing, source }),
            Err(_) => Err(OpenError::TimedOut { broker, doing, after: OPEN_TIMEOUT }),
        }
    }

    async fn build(
        bridge: &Bridge,
        opening: Opening<'_>,
        [source, target]: &[BrokerAddress; 2],
        progress: &RefCell<Progress>,
    ) -> Result<Self, SetUpError> {
        let Opening { direction, frames, .. } = opening;
        let (from, to) = bridge.sides(direction);
        let at = |broker: &str, stage| *progress.borrow_mut() = Progress { broker: broker.to_owned(), stage };
        let open = async |node, what: &str, frames| {
            Connected::open(node, &format!("cti-bridge {what}{}", direction.code()), frames).await
        };
        let on_one_broker = bridge.is_on_one_broker();
        let (consume, quarantine) = try_join(open(source, "", frames), async {
            if on_one_broker { Ok(None) } else { open(source, "quarantine ", frames).await.map(Some) }
        })
        .await?;
        // First what has to be where the messages come from: they wait there while the other broker is away.
        at(&consume.broker, Stage::Declaring);
        {
            let _alone = opening.declaring.lock().await;
            declare_on(&consume.connection, &from.topology).await?;
        }
        let mut publish = Vec::from_iter(quarantine);
        if !on_one_broker {
            at(&target.to_string(), Stage::Connecting);
            publish.insert(0, open(target, "publish ", frames).await?);
        }
        let ends = [publish.first().unwrap_or(&consume), publish.last().unwrap_or(&consume)];
        at(&ends[0].broker, Stage::Declaring);
        {
            let _alone = opening.declaring.lock().await;
            declare_on(&ends[0].connection, &exchanges_of(&to.topology)).await?;
        }
        at(&consume.broker, Stage::Consuming);
        let link = Arc::new(Link::open(direction, from, frames, ends).await?);
        let events = [&consume].into_iter().chain(&publish).map(|connection| connection.notices());
        let events = Events(select_all(events));
        let intake_queue = from.intake_queue.clone();
        let source = Source { direction, queue: &intake_queue, intake: &consume, publish: ends[0] };
        let consuming = source.consume_unless_blocked(opening.prefetch_count).await?;
        Ok(Self { link, events, consuming, intake_queue, consume, publish })
    }

    pub(super) fn parts(&mut self) -> Parts<'_> {
        let Self { link, events, consuming, intake_queue, consume, publish } = self;
        let target = publish.first().unwrap_or(consume);
        let connections = [&consume.connection, &target.connection];
        let direction = link.direction;
        let source = Source { direction, queue: intake_queue, intake: consume, publish: target };
        Parts { link, events, consuming, source, connections }
    }

    /// Why the connection to consume was lost, if that is a message that does not fit or cannot be read.
    pub(super) fn unreadable(&self) -> Option<Fault> {
        self.consume.lost().filter(|fault| fault.is_too_large() || fault.is_unreadable())
    }

    /// Closes what publishes first, and waits for the brokers to say so: they are through with all that was published, then,
    /// when the next consumer gets what was not acked.
    ///
    /// That ends with its connection and not before: whoever drops it cancels it, and a quorum queue would hand over to the
    /// next one before it has put back what was on its way to this one.
    pub(super) async fn close(&self, within: Duration) {
        let publishing = [&self.link.publishing, &self.link.quarantine];
        let closing = join_all(publishing.map(|channel| channel.close(200, ShortString::default())));
        let _ = timeout(within / 2, closing).await;
        let connections = self.publish.iter().chain([&self.consume]);
        join_all(connections.map(|connection| connection.close(within))).await;
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
        frames: Frames,
        [target, source]: [&Connected; 2],
    ) -> Result<Self, SetUpError> {
        Ok(Self {
            direction,
            publishing: Arc::new(confirming(&target.connection).await?),
            quarantine: Arc::new(confirming(&source.connection).await?),
            canaries: confirming(&source.connection).await?,
            quarantine_queue: short(&side.quarantine_queue)?,
            frames,
            connections: [target.connection.status().clone(), source.connection.status().clone()],
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

/// A channel with publisher confirms.
pub(super) async fn confirming(connection: &Connection) -> Result<Channel, SetUpError> {
    let channel = connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

impl Events {
    /// The next that matters.
    pub(super) async fn next(&mut self) -> Notice {
        self.0.next().await.unwrap_or(Notice::Fault(Fault::Closed))
    }
}
