//! What `verify` does on a broker: it looks at exchanges and queues, sends probes, and gets answers in a queue of its
//! own that goes with the connection. Nothing that is there is changed.

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, Consumer};

use super::address::BrokerAddress;
use super::connect::{ConnectError, close, connect};
use super::declare::{Inequivalent, SetUpError, declare_exchange, short};
use crate::core::probe::PROBE_HEADER;
use crate::core::topology::{Declare, Exchange, ExchangeKind};

/// What an exchange is on the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExchangeSeen {
    /// There, declared as it should be.
    AsNeeded,
    /// There. That its attributes are right could not be asked: the account may not configure it, or they are the site's
    /// own.
    There,
    /// There, declared otherwise.
    Otherwise(Inequivalent),
    /// Not there.
    Missing,
}

/// How many messages and consumers a queue has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Depth {
    /// Messages that wait to be delivered.
    pub messages: u32,
    /// Consumers, those that stand by included.
    pub consumers: u32,
}

/// A message that came to the queue of answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The exchange it was published on; empty for the default one.
    pub exchange: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection to one broker to send probes and to get answers.
pub struct Probing {
    connection: Connection,
    publishing: Channel,
    answers: Option<Consumer>,
}

impl Probing {
    /// Connects.
    ///
    /// # Errors
    /// When there is no connection to be had.
    pub async fn connect(address: &BrokerAddress) -> Result<Self, ConnectError> {
        let connection = connect(address, "cti-bridge verify").await?;
        let failed = |source: lapin::Error| ConnectError::Failed {
            broker: address.to_string(),
            source: SetUpError::from(source),
        };
        let publishing = connection.create_channel().await.map_err(failed)?;
        publishing.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        Ok(Self { connection, publishing, answers: None })
    }

    /// Looks whether an exchange is there as it is needed, and never makes one: it is declared with its attributes only
    /// where it is there.
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn exchange(&self, exchange: &Exchange) -> Result<ExchangeSeen, SetUpError> {
        // An error closes the channel.
        let channel = self.connection.create_channel().await?;
        match declare_exchange(&channel, &Exchange { declare: Declare::Passive, ..exchange.clone() }).await {
            Ok(()) => {}
            Err(SetUpError::Missing { .. }) => return Ok(ExchangeSeen::Missing),
            Err(error) => return Err(error),
        }
        let seen = match exchange.declare {
            Declare::Passive => ExchangeSeen::There,
            Declare::Active => match declare_exchange(&channel, exchange).await {
                Ok(()) => ExchangeSeen::AsNeeded,
                Err(SetUpError::Inequivalent(difference)) => return Ok(ExchangeSeen::Otherwise(difference)),
                Err(SetUpError::AccessRefused { .. }) => return Ok(ExchangeSeen::There),
                Err(error) => return Err(error),
            },
        };
        channel.close(200, short("bye")?).await?;
        Ok(seen)
    }

    /// What is in a queue and who consumes from it; nothing where it is not there.
    ///
    /// # Errors
    /// When the broker cannot be asked.
    pub async fn depth(&self, queue: &str) -> Result<Option<Depth>, SetUpError> {
        let channel = self.connection.create_channel().await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(short(queue)?, options, FieldTable::default()).await {
            Ok(queue) => {
                let depth = Depth { messages: queue.message_count(), consumers: queue.consumer_count() };
                channel.close(200, short("bye")?).await?;
                Ok(Some(depth))
            }
            Err(error) => match SetUpError::from(error) {
                SetUpError::Missing { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Makes the queue of answers, with its address as the key on each of these exchanges, and consumes from it.
    ///
    /// # Errors
    /// When the broker refuses.
    pub async fn listen(
        &mut self,
        address: &str,
        run: &str,
        exchanges: &[(&str, ExchangeKind)],
    ) -> Result<(), SetUpError> {
        let channel = self.connection.create_channel().await?;
        let options =
            QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(short(address)?, options, FieldTable::default()).await?;
        for (exchange, kind) in exchanges {
            let mut arguments = FieldTable::default();
            if *kind == ExchangeKind::Headers {
                arguments.insert(short("x-match")?, AMQPValue::LongString("all".into()));
                arguments.insert(short(PROBE_HEADER)?, AMQPValue::LongString(run.into()));
            }
            let options = QueueBindOptions::default();
            channel
                .queue_bind(short(address)?, short(exchange)?, short(address)?, options, arguments)
                .await?;
        }
        let options = BasicConsumeOptions { no_ack: true, exclusive: true, ..BasicConsumeOptions::default() };
        let consumer = channel.basic_consume(
            short(address)?,
            short("cti-bridge.verify")?,
            options,
            FieldTable::default(),
        );
        self.answers = Some(consumer.await?);
        Ok(())
    }

    /// Sends probes in this order, and returns when the broker has them all. `sent` is told of each as it goes.
    ///
    /// # Errors
    /// When the broker refuses one.
    pub async fn send(&self, probes: Vec<Outgoing>, mut sent: impl FnMut(u64)) -> Result<(), SetUpError> {
        for probe in probes {
            let mut headers = FieldTable::default();
            for (name, value) in &probe.headers {
                headers.insert(short(name)?, AMQPValue::LongString(value.as_str().into()));
            }
            let properties = BasicProperties::default()
                .with_content_type(short("application/json")?)
                .with_content_encoding(short("utf-8")?)
                .with_message_id(short(&probe.message_id)?)
                .with_correlation_id(short(&probe.message_id)?)
                .with_timestamp(probe.timestamp)
                .with_headers(headers);
            let (exchange, key) = (short(&probe.exchange)?, short(&probe.routing_key)?);
            sent(probe.number);
            let options = BasicPublishOptions::default();
            let confirm =
                self.publishing.basic_publish(exchange, key, options, &probe.body, properties).await?;
            // One by one: what is measured shall be the way of one message, and not that of all of them.
            if let Confirmation::Nack(_) = confirm.await? {
                let text = "a queue takes nothing more (basic.nack)".to_owned();
                return Err(SetUpError::AccessRefused { text });
            }
        }
        Ok(())
    }

    /// The next message in the queue of answers.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn next(&mut self) -> Result<Incoming, SetUpError> {
        let Some(answers) = &mut self.answers else { return std::future::pending().await };
        match answers.next().await {
            Some(Ok(delivery)) => {
                Ok(Incoming { exchange: delivery.exchange.to_string(), body: delivery.data })
            }
            Some(Err(error)) => Err(error.into()),
            None => Err(SetUpError::Missing { text: "the queue of answers is gone".into() }),
        }
    }

    /// Closes the connection, and with it goes the queue of answers.
    pub async fn close(self) {
        close(&self.connection).await;
    }
}

/// A probe as it goes to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The number of the question.
    pub number: u64,
    /// The exchange; empty for the default one.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The headers, all of them texts.
    pub headers: Vec<(String, String)>,
    /// The message id, which is the correlation id too.
    pub message_id: String,
    /// The timestamp.
    pub timestamp: u64,
    /// The body.
    pub body: Vec<u8>,
}
