//! A publication on its way to the wire, and its confirm.

use std::ops::Deref;
use std::pin::Pin;

use lapin::options::BasicPublishOptions;
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};

use super::connect::Frames;
use super::properties::{MAX_SMALL_HEADER_BYTES, Unpublishable, basic_properties, short, table_bytes};
use crate::core::message::Publication;

/// A publish and its confirm. Queues its frames when polled for the first time.
pub(super) type Sending = Pin<Box<dyn Future<Output = lapin::Result<Confirmation>> + Send>>;

/// A publication that is sure to be one on the wire.
pub(super) struct Prepared {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

impl Prepared {
    pub(super) fn new(publication: Publication<'_>) -> Result<Self, Unpublishable> {
        Ok(Self {
            exchange: short("name of the exchange", publication.exchange)?,
            routing_key: short("routing key", publication.routing_key)?,
            properties: basic_properties(publication.properties)?,
            body: publication.body,
        })
    }

    /// Whether the headers fit into one of these frames.
    pub(super) fn fits(&self, frames: Frames) -> bool {
        let is_small = |headers| table_bytes(headers) <= MAX_SMALL_HEADER_BYTES;
        frames == Frames::Whole || self.properties.headers().as_ref().is_none_or(is_small)
    }

    /// Publishes and waits for the confirm. Queues its frames when polled for the first time.
    pub(super) async fn send(
        self,
        channel: impl Deref<Target = Channel>,
        mandatory: bool,
    ) -> lapin::Result<Confirmation> {
        let Self { exchange, routing_key, properties, body } = self;
        let options = BasicPublishOptions { mandatory, ..BasicPublishOptions::default() };
        let confirm = channel.basic_publish(exchange, routing_key, options, &body, properties).await?;
        drop(body);
        confirm.await
    }
}
