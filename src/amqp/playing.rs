//! Publishes recorded messages, each at its time, with confirms and a bounded window.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection, ExchangeKind, PublisherConfirm};
use tokio::time::{Instant, sleep_until, timeout};

use super::address::BrokerAddress;
use super::connect::{ConnectError, OPEN_TIMEOUT, connect};
use super::declare::{SetUpError, short};
use super::prepared::Prepared;
use super::printable::printable;
use super::recorded::prepared;
use super::shelf::Arrival;
use crate::core::recording::Message;

/// Publications whose confirms are awaited, which bounds memory and what comes twice after an interruption.
const WINDOW: usize = 256;

/// How long to wait for a publisher confirm without any progress.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for confirms when told to stop.
const GRACE: Duration = Duration::from_secs(5);

/// A message and its time.
#[derive(Debug)]
pub struct Due {
    /// What to publish.
    pub message: Message,
    /// When, since the beginning.
    pub after: Duration,
}

/// Why messages cannot be published, or no more of them.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlayError {
    /// There is no connection.
    #[error("{0}")]
    Connect(Box<ConnectError>),
    /// The exchange is not there, or not for us.
    #[error("cannot publish on `{exchange}`: {source}")]
    Exchange {
        /// The exchange.
        exchange: String,
        /// Why.
        source: Box<SetUpError>,
    },
    /// A message does not fit into AMQP.
    #[error("a message cannot be published: {0}")]
    Unpublishable(String),
    /// A queue takes nothing more.
    #[error("the broker refused a message: a queue takes nothing more (basic.nack)")]
    Refused,
    /// The broker closed the channel or the connection, or it was lost.
    #[error("publishing failed: {0}")]
    Failed(String),
}

/// A connection to publish on.
pub struct Player {
    connection: Connection,
    channel: Channel,
}

impl Player {
    /// Opens a connection, and looks whether all these exchanges are there.
    ///
    /// # Errors
    /// When the broker cannot be reached, or an exchange is missing.
    pub async fn open(address: &BrokerAddress, exchanges: &HashSet<String>) -> Result<Self, PlayError> {
        let connected = connect(address, "cti-bridge replay").await;
        let connection = connected.map_err(|error| PlayError::Connect(Box::new(error)))?;
        // The nameless exchange is always there, and must not be declared.
        for exchange in exchanges.iter().filter(|name| !name.is_empty()) {
            let found = timeout(OPEN_TIMEOUT, find(&connection, exchange)).await;
            if let Err(source) = found.map_err(|_| failed("no answer"))? {
                return Err(PlayError::Exchange { exchange: exchange.clone(), source: Box::new(source) });
            }
        }
        let channel = connection.create_channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        Ok(Self { connection, channel })
    }

    /// Publishes what `next` gives, in order, until it gives no more or `shutdown` resolves. `on` hears of each
    /// confirm, in the same order.
    ///
    /// # Errors
    /// When the broker does not take a message. What `on` heard of is published then, and of the rest at most a window.
    pub async fn play(
        &self,
        mut next: impl FnMut() -> Option<Due>,
        mut on: impl FnMut(Arrival),
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), PlayError> {
        let mut shutdown = std::pin::pin!(shutdown);
        let began = Instant::now();
        let mut window: FuturesOrdered<PublisherConfirm> = FuturesOrdered::new();
        let mut waiting = next();
        let mut progress = Instant::now();
        while let Some(due) = &waiting {
            // Far beyond any replay where the sum would be none.
            let at = began.checked_add(due.after).unwrap_or_else(|| began + Duration::from_secs(1 << 32));
            let is_full = window.len() >= WINDOW;
            tokio::select! {
                biased;
                () = &mut shutdown => break,
                Some(confirm) = window.next() => {
                    progress = Instant::now();
                    on(arrival(confirm)?);
                }
                () = sleep_until(progress + CONFIRM_TIMEOUT), if !window.is_empty() => {
                    // A broker that takes no messages says so, and confirms them later.
                    if !self.connection.status().blocked() {
                        return Err(failed(format!(
                            "no publisher confirm came within {} seconds", CONFIRM_TIMEOUT.as_secs()
                        )));
                    }
                    progress = Instant::now();
                }
                () = sleep_until(at), if !is_full => {
                    let Some(due) = waiting.take() else { break };
                    // A broker that takes no messages keeps a publication waiting. One that is given up may be out
                    // all the same, and would come twice: it gets the time that those under way have.
                    let mut publishing = std::pin::pin!(self.publish(due.message));
                    let mut is_over = false;
                    let published = tokio::select! {
                        biased;
                        published = &mut publishing => Some(published),
                        () = &mut shutdown => {
                            is_over = true;
                            timeout(GRACE, &mut publishing).await.ok()
                        }
                    };
                    let Some(published) = published else { break };
                    if window.is_empty() {
                        progress = Instant::now();
                    }
                    window.push_back(published?);
                    if is_over {
                        break;
                    }
                    waiting = next();
                }
            }
        }
        let rest = timeout(GRACE, async {
            while let Some(confirm) = window.next().await {
                on(arrival(confirm)?);
            }
            Ok(())
        });
        match rest.await {
            Ok(result) => result,
            Err(_) => Err(failed("no publisher confirm came")),
        }
    }

    async fn publish(&self, message: Message) -> Result<PublisherConfirm, PlayError> {
        let Prepared { exchange, routing_key, properties, body } =
            prepared(message).map_err(|error| PlayError::Unpublishable(error.to_string()))?;
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        self.channel.basic_publish(exchange, routing_key, options, &body, properties).await.map_err(failed)
    }

    /// Says good-bye.
    pub async fn close(self) {
        let _ = timeout(Duration::from_secs(1), self.connection.close(200, "bye".into())).await;
    }
}

async fn find(connection: &Connection, exchange: &str) -> Result<(), SetUpError> {
    let channel = connection.create_channel().await?;
    let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    channel.exchange_declare(short(exchange)?, ExchangeKind::Topic, options, FieldTable::default()).await?;
    let _ = channel.close(200, "bye".into()).await;
    Ok(())
}

/// A returned message may be told with the confirm of another one of the window; their number is right.
fn arrival(confirm: lapin::Result<Confirmation>) -> Result<Arrival, PlayError> {
    match confirm.map_err(failed)? {
        Confirmation::Ack(None) => Ok(Arrival::Queued),
        Confirmation::Ack(Some(_)) => Ok(Arrival::Nowhere),
        _ => Err(PlayError::Refused),
    }
}

#[allow(clippy::needless_pass_by_value)]
fn failed(error: impl std::fmt::Display) -> PlayError {
    PlayError::Failed(printable(error))
}
