//! Taking deliveries: one consumer on a channel of its own, which a session can give up and begin anew.
//!
//! Whatever is delivered and comes back counts against the delivery limit of its queue. So nothing is taken while the
//! broker takes no messages, as nothing could be done with it: a bridge that is restarted again and again during an
//! alarm would use up the limit of messages that nothing is wrong with. Of two brokers it is the one to publish on that
//! counts; with an alarm on the other one only what goes to quarantine has to wait.

use std::time::Duration;

use lapin::options::{BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, Consumer};
use tokio::time::sleep;

use super::bridge::Direction;
use super::connected::Connected;
use super::declare::{SetUpError, short};
use super::session::confirming;
use super::turns::Turns;

/// A queue of this name there is not.
pub(super) const NOBODY: &str = "cti-bridge.nobody";

/// So often is looked whether the broker has said that it takes no messages.
const LOOK: Duration = Duration::from_millis(10);

/// Where deliveries come from, and where what comes of them goes.
#[derive(Clone, Copy)]
pub(super) struct Source<'s> {
    pub(super) direction: Direction,
    pub(super) queue: &'s str,
    pub(super) intake: &'s Connected,
    pub(super) publish: &'s Connected,
}

/// A consumer and its channel.
pub(super) struct Consuming {
    /// Whether somebody else consumed when this one began. It waits behind that one, then: a quorum queue gives to one
    /// consumer at a time and counts no other (RabbitMQ 3.10).
    pub(super) is_behind: bool,
    pub(super) channel: Channel,
    pub(super) consumer: Consumer,
    /// Those in which its deliveries are read.
    pub(super) turns: Turns,
}

impl Source<'_> {
    /// Begins to consume, once the broker takes messages.
    pub(super) async fn consume(self, prefetch_count: u16) -> Result<Consuming, SetUpError> {
        takes_messages(&self.publish.connection).await?;
        let channel = self.intake.connection.create_channel().await?;
        // 0 would mean without bounds.
        channel.basic_qos(prefetch_count.max(1), BasicQosOptions::default()).await?;
        let (queue, tag) = (short(self.queue)?, short(&self.direction.consumer_tag())?);
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(queue.clone(), passive, FieldTable::default()).await?;
        let is_behind = found.consumer_count() > 0;
        let options = BasicConsumeOptions::default();
        let consumer = channel.basic_consume(queue, tag, options, FieldTable::default()).await?;
        Ok(Consuming { is_behind, channel, consumer, turns: self.intake.turns.clone() })
    }

    /// The same, or nothing if the broker takes no messages for now.
    pub(super) async fn consume_unless_blocked(
        self,
        prefetch_count: u16,
    ) -> Result<Option<Consuming>, SetUpError> {
        tokio::select! {
            biased;
            consuming = self.consume(prefetch_count) => consuming.map(Some),
            () = self.blocked() => Ok(None),
        }
    }

    pub(super) fn is_blocked(self) -> bool {
        self.publish.is_blocked()
    }

    async fn blocked(self) {
        while !self.is_blocked() {
            sleep(LOOK).await;
        }
    }
}

impl Consuming {
    /// Ends the consumer. What is still on its way to it goes back to its place in the queue.
    ///
    /// The channel is closed and the consumer not cancelled: a quorum queue would hand over to the next one before it
    /// has put back what was on its way to this one, and so out of order.
    pub(super) async fn close(self) -> Result<(), lapin::Error> {
        self.channel.close(200, ShortString::default()).await
    }
}

/// Resolves when the broker takes messages on this connection.
///
/// A broker with an alarm says so to none but who publishes, and reads nothing more from them. So a message to nobody
/// is published; if the broker answers to what comes behind it, it takes messages.
async fn takes_messages(connection: &Connection) -> Result<(), SetUpError> {
    let channel = confirming(connection).await?;
    let (exchange, nobody) = (ShortString::default(), short(NOBODY)?);
    let (options, none) = (BasicPublishOptions::default(), BasicProperties::default());
    // A refusal would be an answer too.
    if let Ok(confirm) = channel.basic_publish(exchange, nobody, options, &[], none).await {
        let _ = confirm.await;
    }
    connection.create_channel().await?;
    let _ = channel.close(200, ShortString::default()).await;
    Ok(())
}
