//! The connections of the bridge: for each broker one to consume, which the directions share, and for each direction one
//! to publish.
//!
//! Each direction has a channel of its own to consume. One that has trouble with the connection gives it up and gets
//! another; whoever still works on it keeps it until it has trouble too. Who is the last to leave closes it.
//!
//! To publish is not shared: when the broker closes a channel, lapin still writes what was published on it, and then the
//! broker closes the connection. And whatever is still to be written must be gone before the next session begins, which
//! only the end of a connection brings about.

use std::cell::Cell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use lapin::protocol::AMQPErrorKind;
use lapin::types::ShortString;
use lapin::{Connection, ErrorKind};
use tokio::sync::{Mutex, watch};
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::bridge::{Bridge, Direction, Side};
use super::connect::{Frames, open};
use super::declare::SetUpError;
use super::fault::Fault;

/// All connections of the bridge that somebody works on.
pub(super) struct Pool<'b> {
    bridge: &'b Bridge,
    /// Each locked while it is being opened, so that the other direction waits for it and opens none itself.
    slots: [[Mutex<Weak<Shared>>; 2]; 2],
    apart: Cell<bool>,
}

/// What a connection is for. One that publishes can be blocked by the broker and then could not even ack.
#[derive(Debug, Clone, Copy)]
pub(super) enum Use {
    /// By this direction.
    Consume(Direction),
    /// By this direction, translations or quarantine.
    Publish(Direction),
}

/// A connection, and what it said of itself.
pub(super) struct Shared {
    pub(super) connection: Connection,
    /// The node, without a password.
    pub(super) broker: String,
    news: watch::Receiver<News>,
    given_up: Cell<bool>,
}

/// What lapin tells to one listener only.
#[derive(Debug, Clone, Default)]
struct News {
    blocked: Option<String>,
    lost: Option<lapin::Error>,
}

/// What is worth knowing of a connection.
#[derive(Debug)]
pub(super) enum Notice {
    /// The broker takes no more messages for now.
    Blocked { broker: String, reason: String },
    /// It does again.
    Unblocked { broker: String },
    /// The end.
    Fault(Fault),
}

impl<'b> Pool<'b> {
    pub(super) fn new(bridge: &'b Bridge) -> Self {
        Self { bridge, slots: Default::default(), apart: Cell::new(false) }
    }

    /// A new connection to this node; to consume the one that somebody has already, to whichever node.
    pub(super) async fn take(
        &self,
        side: &Side,
        usage: Use,
        node: &BrokerAddress,
    ) -> Result<Rc<Shared>, SetUpError> {
        let broker = !self.bridge.is_on_one_broker() && std::ptr::eq(side, &self.bridge.legacy);
        let open = async |name: &str, frames| {
            Ok::<_, SetUpError>(Rc::new(Shared::new(open(node, name, frames).await?, node.to_string())))
        };
        let place = match usage {
            Use::Publish(direction) => {
                return open(&format!("cti-bridge publish {}", direction.code()), Frames::Small).await;
            }
            Use::Consume(direction) => usize::from(self.apart.get() && direction == Direction::ToModern),
        };
        let mut slot = self.slots[usize::from(broker)][place].lock().await;
        if let Some(shared) = slot.upgrade().filter(|shared| shared.is_of_use()) {
            return Ok(shared);
        }
        let shared = open("cti-bridge consume", Frames::Whole).await?;
        *slot = Rc::downgrade(&shared);
        Ok(shared)
    }

    /// From now on each direction consumes on a connection of its own: a message that no client can read ends the
    /// connection that it comes on, and with a classic queue it would do so for ever.
    pub(super) fn consume_apart(&self) {
        self.apart.set(true);
    }
}

impl Shared {
    fn new(connection: Connection, broker: String) -> Self {
        let mut events = connection.events_listener();
        let (tell, news) = watch::channel(News::default());
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                tell.send_modify(|news| match event {
                    lapin::Event::ConnectionBlocked(reason) => news.blocked = Some(reason),
                    lapin::Event::ConnectionUnblocked => news.blocked = None,
                    // A channel that the broker closed. Its direction sees it on the channel; any other one is the
                    // watch's, and what that finds is no fault of the session.
                    lapin::Event::Error(error) if is_of_a_channel(&error) => {}
                    lapin::Event::Error(error) => news.lost = Some(error),
                    _ => {}
                });
            }
        });
        Self { connection, broker, news, given_up: Cell::new(false) }
    }

    /// Whether a session can begin on it.
    fn is_of_use(&self) -> bool {
        self.connection.status().connected() && !self.given_up.get() && self.news.borrow().lost.is_none()
    }

    /// Nobody else begins to work on it.
    pub(super) fn give_up(&self) {
        self.given_up.set(true);
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.connection.status().blocked()
    }

    /// What is worth knowing of it, from now on.
    pub(super) fn notices(&self) -> LocalBoxStream<'static, Notice> {
        let state = (self.news.clone(), self.broker.clone(), false);
        let notices = stream::unfold(state, |(mut news, broker, was_blocked)| async move {
            loop {
                let now = news.borrow_and_update().clone();
                let notice = match now {
                    News { lost: Some(error), .. } => Notice::Fault(Fault::Lost(error)),
                    News { blocked: Some(reason), .. } if !was_blocked => {
                        Notice::Blocked { broker: broker.clone(), reason }
                    }
                    News { blocked: None, .. } if was_blocked => Notice::Unblocked { broker: broker.clone() },
                    _ => match news.changed().await {
                        Ok(()) => continue,
                        Err(_) => Notice::Fault(Fault::Closed),
                    },
                };
                let is_blocked = matches!(notice, Notice::Blocked { .. });
                return Some((notice, (news, broker, is_blocked)));
            }
        });
        notices.boxed_local()
    }

    /// Leaves it to the other direction, or closes it.
    ///
    /// The good-bye goes before all that is still to be written, which is dropped.
    pub(super) async fn leave(self: Rc<Self>, within: Duration) {
        if let Some(last) = Rc::into_inner(self) {
            // A blocked connection cannot say it; it will when it is unblocked, or its socket closes with the process.
            let _ = timeout(within, last.connection.close(200, ShortString::from("bye"))).await;
        }
    }
}

/// Whether the broker closed a channel only.
fn is_of_a_channel(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return false };
    matches!(refusal.kind(), AMQPErrorKind::Soft(_))
}
