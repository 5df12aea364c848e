//! A connection of the bridge, and what it says of itself.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::{self, LocalBoxStream};
use lapin::protocol::AMQPErrorKind;
use lapin::types::ShortString;
use lapin::{Connection, ErrorKind};
use tokio::sync::watch;
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::connect::{Frames, open};
use super::declare::SetUpError;
use super::fault::Fault;
use super::turns::Turns;

/// A connection that somebody listens to.
pub(super) struct Connected {
    pub(super) connection: Connection,
    pub(super) turns: Turns,
    /// The node, without a password.
    pub(super) broker: String,
    news: watch::Receiver<News>,
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

impl Connected {
    /// Connects to this node, under this name.
    pub(super) async fn open(node: &BrokerAddress, name: &str, frames: Frames) -> Result<Self, SetUpError> {
        let turns = Turns::default();
        let connection = open(node, name, frames, &turns).await?;
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
        Ok(Self { connection, turns, broker: node.to_string(), news })
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

    /// Why it is of no use any more, if it said so.
    pub(super) fn lost(&self) -> Option<Fault> {
        self.news.borrow().lost.clone().map(Fault::Lost)
    }

    /// Says good-bye, which goes before all that is still to be written, and that is dropped. Only when the broker has
    /// said so too it has put back what was not acked.
    pub(super) async fn close(&self, within: Duration) {
        // A blocked connection cannot say it; it will when it is unblocked, or its socket closes with the process.
        let _ = timeout(within, self.connection.close(200, ShortString::from("bye"))).await;
    }
}

/// Whether the broker closed a channel only.
fn is_of_a_channel(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(refusal) = error.kind() else { return false };
    matches!(refusal.kind(), AMQPErrorKind::Soft(_))
}
