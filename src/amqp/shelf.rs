//! The quarantine queue, gone through message by message. Nothing leaves it but what is taken away on purpose.
//!
//! Messages are fetched with `basic.get` and not acknowledged, so that the broker puts back whatever was only looked
//! at as soon as the connection goes, however it goes.

use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Confirmation, Connection};

use super::address::BrokerAddress;
use super::connect::{ConnectError, close, connect};
use super::declare::{SetUpError, short};
use super::prepared::Prepared;
use super::printable::printable;
use super::quarantined::{read, unpacked};
use crate::core::message::Publication;
use crate::core::quarantined::Quarantined;
use crate::core::recording::{Message, Unwritable};

/// Why the quarantine cannot be gone through any further.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ShelfError {
    /// There is no connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// There is no such queue, or the account may not read it.
    #[error("cannot read the queue `{queue}`: {source}")]
    Queue {
        /// The queue.
        queue: String,
        /// Why.
        source: SetUpError,
    },
    /// The connection was lost; a message that no client can read has the same effect.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
    /// The broker does not take a publication.
    #[error("the broker does not take it: {0}")]
    Refused(String),
}

/// The quarantine queue of one broker.
pub struct Shelf {
    connection: Connection,
    channel: Channel,
    queue: String,
    left: u32,
}

/// A message that is looked at.
pub struct Item {
    /// What it is.
    pub message: Quarantined,
    delivery: Delivery,
}

impl Item {
    /// It as a recording has it: as it came, with all its properties, and why it is in quarantine.
    ///
    /// # Errors
    /// When its headers are nested too deep for a recording.
    pub fn recorded(self, now: Timestamp) -> Result<Message, Unwritable> {
        unpacked(self.message, self.delivery, now)
    }
}

impl Shelf {
    /// Goes to the queue. Messages that come later are not gone through.
    ///
    /// # Errors
    /// When the broker or the queue cannot be reached.
    pub async fn open(address: &BrokerAddress, queue: &str) -> Result<Self, ShelfError> {
        let connection = connect(address, "cti-bridge quarantine").await?;
        let opened = async {
            let channel = connection.create_channel().await?;
            let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
            let declared = channel.queue_declare(short(queue)?, options, FieldTable::default()).await?;
            Ok((channel, declared.message_count()))
        };
        let (channel, left) =
            opened.await.map_err(|source| ShelfError::Queue { queue: queue.to_owned(), source })?;
        Ok(Self { connection, channel, queue: queue.to_owned(), left })
    }

    /// How many messages are still to be gone through.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// The next message, the oldest first.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn next(&mut self) -> Result<Option<Item>, ShelfError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let queue =
            short(&self.queue).map_err(|source| ShelfError::Queue { queue: self.queue.clone(), source })?;
        let got = self.channel.basic_get(queue, BasicGetOptions::default()).await;
        let Some(got) = got.map_err(lost)? else {
            self.left = 0;
            return Ok(None);
        };
        let message = read(&got.delivery);
        Ok(Some(Item { message, delivery: got.delivery }))
    }

    /// Takes a message away for good.
    ///
    /// # Errors
    /// When the connection is lost; the message is still there then.
    pub async fn remove(&self, item: Item) -> Result<(), ShelfError> {
        match item.delivery.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(ShelfError::Lost("the channel is closed".to_owned())),
            Err(error) => Err(lost(error)),
        }
    }

    /// Puts back what was only looked at, and says good-bye.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}

/// Publishes with confirms, one message at a time.
pub struct Outlet {
    connection: Connection,
    channel: Channel,
}

/// Whether anybody got what was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// At least one queue has it.
    Queued,
    /// No queue wanted it.
    Nowhere,
}

impl Outlet {
    /// Opens a connection to publish on.
    ///
    /// # Errors
    /// When the broker cannot be reached.
    pub async fn open(address: &BrokerAddress) -> Result<Self, ShelfError> {
        let connection = connect(address, "cti-bridge retry").await?;
        let channel = Self::channel(&connection).await?;
        Ok(Self { connection, channel })
    }

    async fn channel(connection: &Connection) -> Result<Channel, ShelfError> {
        let channel = connection.create_channel().await.map_err(lost)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(lost)?;
        Ok(channel)
    }

    /// Publishes and waits for the broker's confirm.
    ///
    /// # Errors
    /// When the broker does not take it, after which others can be published, or the connection is lost.
    pub async fn publish(&mut self, publication: Publication<'_>) -> Result<Arrival, ShelfError> {
        let prepared = Prepared::new(publication).map_err(|error| ShelfError::Refused(error.to_string()))?;
        match prepared.send(&self.channel, true).await {
            Ok(Confirmation::Ack(None)) => Ok(Arrival::Queued),
            // One at a time, so that the returned message is this one.
            Ok(Confirmation::Ack(Some(_))) => Ok(Arrival::Nowhere),
            Ok(_) => Err(ShelfError::Refused("a queue takes nothing more (basic.nack)".to_owned())),
            Err(error) if self.connection.status().connected() => {
                self.channel = Self::channel(&self.connection).await?;
                Err(ShelfError::Refused(printable(error)))
            }
            Err(error) => Err(lost(error)),
        }
    }

    /// Says good-bye.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}

#[allow(clippy::needless_pass_by_value)]
fn lost(error: lapin::Error) -> ShelfError {
    ShelfError::Lost(printable(error))
}
