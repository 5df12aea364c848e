//! Carries out the steps of a plan or of its undoing, one at a time, over AMQP alone.
//!
//! Nothing is deleted unless it is what the step says it is, is used by nobody and holds no message: what the
//! protocol can check in the deletion itself is left to the broker, and the rest is asked immediately before.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use lapin::options::{
    ExchangeDeclareOptions, ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};
use tokio::time::timeout;

use super::address::BrokerAddress;
use super::arguments::table;
use super::connect::{ConnectError, close, connect};
use super::declare::{Object, SetUpError, make_binding, remove_binding, short};
use super::printable::printable;
use crate::core::site::{Binding, Destination, Exchange, Queue};
use crate::core::step::Action;
use crate::core::topology::QueueKind;

/// The time for one step.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a step was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StepError {
    /// The broker refuses it.
    #[error(transparent)]
    Refused(SetUpError),
    /// Somebody else uses what is to be deleted.
    #[error("the {object} `{name}` is in use: {how}")]
    InUse {
        /// What it is.
        object: Object,
        /// Its name.
        name: String,
        /// By what.
        how: String,
    },
    /// It is not known whether it was done: the connection was lost.
    #[error("the connection to the broker was lost: {0}")]
    Lost(String),
    /// It is not known whether it was done: the broker did not answer.
    #[error("no answer from the broker within {} seconds", STEP_TIMEOUT.as_secs())]
    NoAnswer,
}

impl StepError {
    /// Whether it is certain that nothing was done.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::InUse { .. })
    }
}

impl From<SetUpError> for StepError {
    fn from(error: SetUpError) -> Self {
        match error {
            SetUpError::Broker(error) if !is_refusal(&error) => Self::Lost(printable(&error)),
            error => Self::Refused(error),
        }
    }
}

impl From<lapin::Error> for StepError {
    fn from(error: lapin::Error) -> Self {
        SetUpError::from(error).into()
    }
}

fn is_refusal(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if matches!(error.kind(), AMQPErrorKind::Soft(_)))
}

/// What is in a queue and who consumes from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Messages that wait.
    pub messages: u32,
    /// Consumers.
    pub consumers: u32,
}

/// What becomes of the messages in a queue that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Messages {
    /// The queue is not deleted while there are any.
    Keep,
    /// They go with it.
    Discard,
}

/// A connection that steps are carried out on.
pub struct Migrator {
    connection: Connection,
}

impl Migrator {
    /// Connects.
    ///
    /// # Errors
    /// When the broker cannot be reached or refuses the account.
    pub async fn connect(address: &BrokerAddress) -> Result<Self, ConnectError> {
        Ok(Self { connection: connect(address, "cti-bridge migration").await? })
    }

    /// Whether there is an exchange of this name.
    ///
    /// # Errors
    /// When the broker does not say.
    pub async fn has_exchange(&self, name: &str) -> Result<bool, StepError> {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let declared = self.within(async |channel| {
            // A passive declaration looks at nothing but the name.
            let kind = ExchangeKind::Direct;
            Ok(channel.exchange_declare(short(name)?, kind, options, FieldTable::default()).await?)
        });
        Ok(found(declared.await)?.is_some())
    }

    /// What is in the queue of this name and who consumes from it; none if there is no such queue.
    ///
    /// # Errors
    /// When the broker does not say; it does not of an exclusive queue of another connection.
    pub async fn queue(&self, name: &str) -> Result<Option<Counts>, StepError> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.within(async |channel| {
            let queue = channel.queue_declare(short(name)?, options, FieldTable::default()).await?;
            Ok(Counts { messages: queue.message_count(), consumers: queue.consumer_count() })
        });
        found(declared.await)
    }

    /// Declares an exclusive queue, which goes with this connection, and returns its name.
    ///
    /// # Errors
    /// When the broker refuses it, or does not answer.
    pub async fn declare_temporary_queue(&self, queue_prefix: &str) -> Result<String, StepError> {
        // A hasher's keys are the random numbers that the standard library has.
        let name = format!("{queue_prefix}.check-{:016x}", RandomState::new().hash_one(()));
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let declared = self.within(async |channel| {
            channel.queue_declare(short(&name)?, options, FieldTable::default()).await?;
            Ok(())
        });
        declared.await.map(|()| name)
    }

    /// Carries out one action. What is done already is no error.
    ///
    /// # Errors
    /// When it was not done, or it is not known whether it was.
    pub async fn perform(&self, action: &Action, messages: Messages) -> Result<(), StepError> {
        match action {
            Action::DeclareExchange(exchange) => self.declare_exchange(exchange).await,
            Action::DeclareQueue(queue) => self.declare_queue(queue).await,
            Action::Bind(Binding { source, destination, key, arguments }) => {
                let arguments = table(arguments)?;
                self.within(async |channel| {
                    Ok(make_binding(channel, source, object(destination), key, arguments).await?)
                })
                .await
            }
            Action::Unbind(Binding { source, destination, key, arguments }) => {
                let arguments = table(arguments)?;
                let removed = self.within(async |channel| {
                    Ok(remove_binding(channel, source, object(destination), key, arguments).await?)
                });
                // Where one end is gone, so is the binding.
                found(removed.await).map(|_| ())
            }
            Action::DeleteExchange(exchange) => self.delete_exchange(exchange).await,
            Action::DeleteQueue(queue) => self.delete_queue(queue, messages).await,
        }
    }

    /// Says good-bye.
    pub async fn close(self) {
        close(&self.connection).await;
    }

    /// Does something on a channel of its own, as a refusal closes the channel.
    async fn within<T>(
        &self,
        work: impl AsyncFnOnce(&Channel) -> Result<T, StepError>,
    ) -> Result<T, StepError> {
        let work = async {
            let channel = self.connection.create_channel().await?;
            let done = work(&channel).await?;
            // It is done; how the good-bye goes changes nothing.
            let _ = channel.close(200, "done".into()).await;
            Ok(done)
        };
        timeout(STEP_TIMEOUT, work).await.unwrap_or(Err(StepError::NoAnswer))
    }

    async fn declare_exchange(&self, exchange: &Exchange) -> Result<(), StepError> {
        let Exchange { name, kind, durable, auto_delete, internal, arguments, published: _ } = exchange;
        let kind = match kind.as_str() {
            "direct" => ExchangeKind::Direct,
            "fanout" => ExchangeKind::Fanout,
            "headers" => ExchangeKind::Headers,
            "topic" => ExchangeKind::Topic,
            other => ExchangeKind::Custom(other.to_owned()),
        };
        let options = ExchangeDeclareOptions {
            durable: durable.unwrap_or(true),
            auto_delete: auto_delete.unwrap_or(false),
            internal: internal.unwrap_or(false),
            ..ExchangeDeclareOptions::default()
        };
        let arguments = table(arguments)?;
        self.within(async |channel| {
            Ok(channel.exchange_declare(short(name)?, kind, options, arguments).await?)
        })
        .await
    }

    async fn declare_queue(&self, queue: &Queue) -> Result<(), StepError> {
        let Queue { name, durable, auto_delete, exclusive: _, arguments, messages: _, consumers: _ } = queue;
        let options = QueueDeclareOptions {
            durable: durable.unwrap_or(true),
            auto_delete: auto_delete.unwrap_or(false),
            ..QueueDeclareOptions::default()
        };
        let arguments = table(arguments)?;
        self.within(async |channel| {
            channel.queue_declare(short(name)?, options, arguments).await?;
            Ok(())
        })
        .await
    }

    async fn delete_exchange(&self, exchange: &Exchange) -> Result<(), StepError> {
        if !self.has_exchange(&exchange.name).await? {
            return Ok(());
        }
        // The broker refuses this unless it is what we made in every respect.
        self.declare_exchange(exchange).await?;
        let options = ExchangeDeleteOptions { if_unused: true, ..ExchangeDeleteOptions::default() };
        let deleted =
            self.within(async |channel| Ok(channel.exchange_delete(short(&exchange.name)?, options).await?));
        deleted
            .await
            .map_err(|error| in_use(error, Object::Exchange, &exchange.name, "something is bound to it"))
    }

    async fn delete_queue(&self, queue: &Queue, messages: Messages) -> Result<(), StepError> {
        let name = &queue.name;
        let in_use_by = |how: String| StepError::InUse { object: Object::Queue, name: name.clone(), how };
        let Some(counts) = self.queue(name).await? else { return Ok(()) };
        if counts.consumers > 0 {
            return Err(in_use_by(format!("{} consume from it", counts.consumers)));
        }
        if counts.messages > 0 && messages == Messages::Keep {
            return Err(in_use_by(format!("{} messages are in it", counts.messages)));
        }
        self.declare_queue(queue).await?;
        // Quorum queues do not know these conditions (RabbitMQ: `not_implemented`); theirs were just asked for.
        let is_quorum = queue
            .arguments
            .get("x-queue-type")
            .is_some_and(|kind| kind.as_str() == Some(QueueKind::Quorum.as_str()));
        let options = QueueDeleteOptions {
            if_unused: !is_quorum,
            if_empty: !is_quorum && messages == Messages::Keep,
            ..QueueDeleteOptions::default()
        };
        let deleted = self.within(async |channel| {
            channel.queue_delete(short(name)?, options).await?;
            Ok(())
        });
        deleted
            .await
            .map_err(|error| in_use(error, Object::Queue, name, "a consumer or messages came in between"))
    }
}

fn object(destination: &Destination) -> (Object, &str) {
    match destination {
        Destination::Queue(queue) => (Object::Queue, queue),
        Destination::Exchange(exchange) => (Object::Exchange, exchange),
    }
}

/// What was found; none where the broker says that it is not there.
fn found<T>(result: Result<T, StepError>) -> Result<Option<T>, StepError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(StepError::Refused(SetUpError::Missing { .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The error, told as what it means for a deletion with a condition.
fn in_use(error: StepError, object: Object, name: &str, how: &str) -> StepError {
    match &error {
        StepError::Refused(SetUpError::Broker(broker)) if is_precondition(broker) => {
            StepError::InUse { object, name: name.to_owned(), how: how.to_owned() }
        }
        _ => error,
    }
}

fn is_precondition(error: &lapin::Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(error.kind(), AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED))
}
