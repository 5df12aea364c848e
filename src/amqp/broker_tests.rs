//! The engine against a real broker, with translations made for the occasion.
//!
//! Each test has exchanges and queues of its own, named after it, and waits for conditions.

use std::borrow::Cow;
use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use lapin::message::Delivery;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    ExchangeDeleteOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::publisher::Translate;
use super::supervisor::supervise;
use super::{Bridge, BrokerAddress, Counters, Event, RunError, Side, Unroutable};
use crate::core::catalog::{Catalog, Mappings};
use crate::core::intake::Intake;
use crate::core::message::{
    DeliveryMode, HeaderValue, MARK_HEADER, Mark, Outcome, Properties, Publication, Reason, Received, Refusal,
};
use crate::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use crate::core::topology::{
    Binding, Declare, Destination, Exchange, ExchangeKind, Queue, QueueKind, Topology,
};
use crate::core::translate::Translator;

mod messages;
mod topology;

const PATIENCE: Duration = Duration::from_secs(30);

/// A bridge from exchange `NAME.modern` to `NAME.legacy`, and what a test needs around it.
struct Bench {
    name: &'static str,
    bridge: Bridge,
    counters: Arc<Counters>,
    channel: Channel,
    connection: Connection,
    events: Rc<RefCell<Vec<Event>>>,
    happened: Rc<Notify>,
    stop: Rc<Notify>,
}

fn name(text: &str) -> ShortString {
    ShortString::try_new(text).unwrap()
}

fn address() -> BrokerAddress {
    let url = std::env::var("CTI_BRIDGE_AMQP_URL").expect("run by scripts/with-broker");
    BrokerAddress::parse(&url).unwrap()
}

impl<F: Fn(&Received<'_>) -> Outcome<'static> + Send + Sync> Translate for F {
    fn translate(&self, message: &Received<'_>) -> Outcome<'_> {
        self(message)
    }
}

/// A translator that no test asks.
fn translator() -> Translator {
    let settings = Settings {
        bridge_id: BridgeId::parse("test").unwrap(),
        origin_uuid: OriginUuid::parse("test").unwrap(),
        modern_exchange: "xivo".to_owned(),
        listen: Listen::All,
        unknown_events: UnknownEvents::Pass,
        max_hops: 1,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    Translator::new(Catalog::at("19.05".parse().unwrap(), &Mappings::default()), settings)
}

fn side(test: &str, which: &str) -> Side {
    let queue = |queue: &str, single_active_consumer| Queue {
        name: format!("{test}.{queue}"),
        kind: QueueKind::Quorum,
        single_active_consumer,
        delivery_limit: None,
        dead_letter_queue: None,
        bounds: crate::core::topology::Bounds::default(),
    };
    let exchange: Cow<'static, str> = Cow::Owned(format!("{test}.{which}"));
    Side {
        address: address(),
        topology: Topology {
            exchanges: vec![Exchange {
                name: exchange.clone(),
                kind: ExchangeKind::Topic,
                declare: Declare::Active,
                alternate: None,
                hash_header: None,
            }],
            own_exchanges: Vec::new(),
            queues: vec![queue(&format!("intake.{which}"), true), queue("quarantine", false)],
            bindings: vec![Binding {
                source: exchange,
                destination: Destination::Queue(format!("{test}.intake.{which}")),
                key: "in.#".to_owned(),
                arguments: Default::default(),
            }],
            obsolete_bindings: Vec::new(),
        },
        intake_queue: format!("{test}.intake.{which}"),
        quarantine_queue: format!("{test}.quarantine"),
    }
}

impl Bench {
    async fn new(test: &'static str) -> Self {
        let counters = Arc::new(Counters::default());
        let uri = address().to_uri(PATIENCE);
        let connection = Connection::connect_uri(uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
        let bridge = Bridge {
            legacy: side(test, "legacy"),
            modern: side(test, "modern"),
            translator: Arc::new(translator()),
            prefetch_count: 256,
            unroutable: Unroutable::Count,
            shutdown_grace: Duration::from_secs(5),
            watch_period: Duration::from_millis(200),
            look_period: PATIENCE,
            confirm_timeout: PATIENCE,
            counters: Arc::clone(&counters),
        };
        let bench = Self {
            name: test,
            bridge,
            counters,
            channel,
            connection,
            events: Rc::default(),
            happened: Rc::default(),
            stop: Rc::default(),
        };
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let exchange = bench.own("legacy");
        bench
            .channel
            .exchange_declare(exchange, lapin::ExchangeKind::Topic, options, FieldTable::default())
            .await
            .unwrap();
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        bench.channel.queue_declare(bench.own("out"), options, FieldTable::default()).await.unwrap();
        let (queue, exchange) = (bench.own("out"), bench.own("legacy"));
        bench
            .channel
            .queue_bind(queue, exchange, name("out"), QueueBindOptions::default(), FieldTable::default())
            .await
            .unwrap();
        bench
    }

    fn own(&self, what: &str) -> ShortString {
        name(&format!("{}.{what}", self.name))
    }

    /// Runs the bridge with a translation to legacy, beside what the test does meanwhile, and stops it.
    async fn run(
        &self,
        to_legacy: impl Fn(&Received<'_>) -> Outcome<'static> + Send + Sync + 'static,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<(), RunError> {
        let nothing = |_: &Received<'_>| Outcome::Dropped;
        let on = |event| {
            self.events.borrow_mut().push(event);
            self.happened.notify_one();
        };
        let running =
            supervise(&self.bridge, [Arc::new(to_legacy), Arc::new(nothing)], on, self.stop.notified());
        let (mut running, mut done) = (pin!(running), false);
        tokio::select! {
            result = &mut running => return result,
            result = timeout(PATIENCE * 4, meanwhile) => done |= result.is_ok(),
        }
        assert!(done, "the test took too long");
        self.stop.notify_one();
        running.await
    }

    async fn happens(&self, event: Event) {
        while !self.events.borrow().contains(&event) {
            self.happened.notified().await;
        }
    }

    async fn publish(&self, body: &[u8], properties: BasicProperties) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let confirm = self
            .channel
            .basic_publish(self.own("modern"), name("in.key"), options, body, properties)
            .await
            .unwrap();
        let confirmation = confirm.await.unwrap();
        assert!(confirmation.is_ack() && confirmation.take_message().is_none());
    }

    /// Sends something until a queue gets it: nobody else can tell when a binding is there again.
    async fn bound_again(&self, body: &[u8]) {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, none) = (self.own("modern"), BasicProperties::default());
        let send = async || {
            let sent =
                self.channel.basic_publish(exchange.clone(), name("in.key"), options, body, none.clone());
            sent.await.unwrap().await.unwrap().take_message().is_none()
        };
        while !send().await {
            tokio::task::yield_now().await;
        }
    }

    /// Looks for an exchange until it is there. Events would not tell: what one direction made anew, the other need
    /// never have missed.
    async fn exists_again(&self, exchange: &str) {
        let options = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let is_there = async || {
            // A channel of its own, as the broker closes it for what is not there.
            let channel = self.connection.create_channel().await.unwrap();
            let kind = lapin::ExchangeKind::Topic;
            channel.exchange_declare(self.own(exchange), kind, options, FieldTable::default()).await.is_ok()
        };
        while !is_there().await {
            tokio::task::yield_now().await;
        }
    }

    async fn take(&self, queue: &str, count: usize) -> Vec<Delivery> {
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let tag = name(&format!("test.{queue}"));
        let mut consumer =
            self.channel.basic_consume(self.own(queue), tag, options, FieldTable::default()).await.unwrap();
        let mut taken = Vec::new();
        while taken.len() < count {
            taken.push(consumer.next().await.unwrap().unwrap());
        }
        taken
    }

    /// The next message of the queue `out`.
    async fn take_another(&self) -> Delivery {
        loop {
            let got = self.channel.basic_get(self.own("out"), BasicGetOptions { no_ack: true }).await;
            match got.unwrap() {
                Some(message) => return message.delivery,
                None => tokio::task::yield_now().await,
            }
        }
    }

    /// How many messages a queue had when it was deleted, now.
    async fn left_in(&self, queue: &str) -> u32 {
        self.channel.queue_delete(self.own(queue), QueueDeleteOptions::default()).await.unwrap()
    }

    async fn take_one_from_quarantine(&self) -> (String, String) {
        loop {
            let got = self.channel.basic_get(self.own("quarantine"), BasicGetOptions { no_ack: true }).await;
            if let Some(message) = got.unwrap() {
                let reason = text(&message.delivery, "cti-bridge-reason").to_owned();
                return (String::from_utf8(message.delivery.data).unwrap(), reason);
            }
            tokio::task::yield_now().await;
        }
    }
}

fn publication(test: &str, key: &'static str, body: &[u8]) -> Publication<'static> {
    // Leaked: a translator would lend this from its settings.
    let exchange: &'static str = format!("{test}.legacy").leak();
    Publication {
        exchange,
        routing_key: Cow::Borrowed(key),
        properties: Properties::default(),
        body: body.to_vec(),
    }
}

fn bodies(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.data).into_owned()).collect()
}

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

fn text<'d>(delivery: &'d Delivery, header: &str) -> &'d str {
    let headers = delivery.properties.headers().as_ref().unwrap();
    match headers.inner().get(header) {
        Some(AMQPValue::LongString(text)) => std::str::from_utf8(text.as_bytes()).unwrap(),
        other => panic!("{header}: {other:?}"),
    }
}
