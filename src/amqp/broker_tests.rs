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

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn publishes_all_in_order_and_leaves_nothing_behind() {
    let bench = Bench::new("order").await;
    let translate = |message: &Received<'_>| {
        Outcome::Publish(vec![
            publication("order", "out", message.body),
            publication("order", "nobody.wants.this", message.body),
        ])
    };
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        for number in 0..500 {
            bench.publish(number.to_string().as_bytes(), BasicProperties::default()).await;
        }
        assert_eq!(bodies(&bench.take("out", 500).await), numbers(0..500));
    };
    bench.run(translate, meanwhile).await.unwrap();
    let snapshot = bench.counters.snapshot();
    let counted = &snapshot.to_legacy;
    assert_eq!((counted.received, counted.acked, counted.published), (500, 500, 1000));
    assert_eq!((counted.unroutable, counted.quarantined, snapshot.to_legacy.sessions), (500, 0, 1));
    assert_eq!(bench.left_in("intake.modern").await, 0);
    let events = bench.events.borrow();
    assert_eq!(events.as_slice(), [Event::Ready { first: true }, Event::Draining]);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_cannot_be_translated_goes_to_quarantine_as_it_came() {
    let bench = Bench::new("quarantine").await;
    let translate = |message: &Received<'_>| match message.body {
        b"refuse" => Outcome::Refused(Refusal {
            reason: Reason::UnknownEvent,
            detail: "no rule".to_owned(),
            rule: Some("some_{event}"),
        }),
        b"panic" => panic!("as told"),
        b"long" => {
            let mut long = publication("quarantine", "out", b"");
            long.routing_key = Cow::Owned("k".repeat(256));
            Outcome::Publish(vec![publication("quarantine", "out", b"must not go"), long])
        }
        body => Outcome::Publish(vec![publication("quarantine", "out", body)]),
    };
    let mut headers = FieldTable::default();
    headers.insert(name("CC"), AMQPValue::FieldArray(vec![AMQPValue::LongString("x".into())].into()));
    headers.insert(name("nothing"), AMQPValue::Void);
    let properties = BasicProperties::default()
        .with_expiration(name("600000"))
        .with_user_id(name(&bench.bridge.modern.address.username))
        .with_headers(headers.clone());
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        bench.publish(b"refuse", properties).await;
        for body in ["1", "panic", "2", "long", "3"] {
            bench.publish(body.as_bytes(), BasicProperties::default()).await;
        }
        assert_eq!(bodies(&bench.take("out", 3).await), ["1", "2", "3"]);
        let quarantined = bench.take("quarantine", 3).await;
        assert_eq!(bodies(&quarantined), ["refuse", "panic", "long"]);
        let reasons: Vec<_> = quarantined.iter().map(|message| text(message, "cti-bridge-reason")).collect();
        assert_eq!(reasons, ["unknown_event", "internal_error", "refused_by_broker"]);
        let refused = &quarantined[0];
        assert_eq!(text(refused, "cti-bridge-rule"), "some_{event}");
        assert_eq!(text(refused, "cti-bridge-exchange"), "quarantine.modern");
        assert_eq!(text(refused, "cti-bridge-routing-key"), "in.key");
        assert_eq!(*refused.properties.expiration(), None);
        assert_eq!(*refused.properties.user_id(), None);
        assert_eq!(*refused.properties.delivery_mode(), Some(2));
        let kept = refused.properties.headers().as_ref().unwrap().inner().get("cti-bridge-headers");
        assert_eq!(kept, Some(&AMQPValue::FieldTable(headers)));
        assert_eq!(
            text(&quarantined[2], "cti-bridge-detail"),
            "the routing key has 256 bytes, and AMQP allows 255"
        );
    };
    bench.run(translate, meanwhile).await.unwrap();
    let counted = bench.counters.snapshot().to_legacy;
    assert_eq!((counted.acked, counted.quarantined, counted.internal_errors), (6, 3, 1));
    assert_eq!(counted.quarantined_by_reason, [(Reason::UnknownEvent, 1), (Reason::RefusedByBroker, 1)]);
    assert_eq!(bench.left_in("intake.modern").await, 0);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_one_message_that_the_broker_refuses_does_not_stop_the_others() {
    let bench = Bench::new("poison").await;
    let translate = |message: &Received<'_>| match message.body {
        // Beside the poison, so that its confirm is the oldest when the channel is closed.
        b"5" | b"7" => {
            Outcome::Refused(Refusal { reason: Reason::NotAnEvent, detail: String::new(), rule: None })
        }
        body => {
            let mut publication = publication("poison", "out", body);
            if body == b"6" {
                // A CC header has to be an array: 406.
                let text = HeaderValue::Text(Cow::Borrowed("text"));
                publication.properties.headers.push((Cow::Borrowed("CC"), text));
            }
            Outcome::Publish(vec![publication])
        }
    };
    // All of them wait before the bridge starts, so that they are under way together.
    super::declare::declare(&bench.channel, &bench.bridge.modern.topology).await.unwrap();
    for number in 0..100 {
        bench.publish(number.to_string().as_bytes(), BasicProperties::default()).await;
    }
    let meanwhile = async {
        let mut passed = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let mut out = bench
            .channel
            .basic_consume(bench.own("out"), name("out"), options, FieldTable::default())
            .await
            .unwrap();
        while passed.len() < 97 {
            let body = String::from_utf8(out.next().await.unwrap().unwrap().data).unwrap();
            if seen.insert(body.clone()) {
                passed.push(body);
            }
        }
        let expected: Vec<_> = numbers(0..100)
            .into_iter()
            .filter(|number| !["5", "6", "7"].contains(&number.as_str()))
            .collect();
        assert_eq!(passed, expected);
        let mut quarantined = Vec::new();
        while !quarantined.iter().any(|(body, _)| body == "6") {
            let message = bench.take_one_from_quarantine().await;
            quarantined.push((message.0, message.1));
        }
        assert_eq!(quarantined.last().unwrap().1, "refused_by_broker");
    };
    bench.run(translate, meanwhile).await.unwrap();
    let snapshot = bench.counters.snapshot();
    // As usual, with care until it was found, with care until it was passed, and perhaps as usual again.
    assert!((3..=4).contains(&snapshot.to_legacy.sessions), "{}", snapshot.to_legacy.sessions);
    assert!(snapshot.to_legacy.quarantined_by_reason.contains(&(Reason::RefusedByBroker, 1)));
    assert_eq!(bench.left_in("intake.modern").await, 0);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn queues_that_are_deleted_come_back() {
    let bench = Bench::new("deleted").await;
    let translate = |message: &Received<'_>| match message.body {
        b"refuse" => {
            Outcome::Refused(Refusal { reason: Reason::NotAnEvent, detail: String::new(), rule: None })
        }
        body => Outcome::Publish(vec![publication("deleted", "out", body)]),
    };
    let delete = async |queue: &str| {
        bench.channel.queue_delete(bench.own(queue), QueueDeleteOptions::default()).await.unwrap();
    };
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        delete("intake.modern").await;
        bench.happens(Event::Ready { first: false }).await;
        bench.events.borrow_mut().clear();
        bench.publish(b"1", BasicProperties::default()).await;
        assert_eq!(bodies(&bench.take("out", 1).await), ["1"]);

        // Nobody notices this one before it is needed, and then the message is not lost.
        delete("quarantine").await;
        bench.publish(b"refuse", BasicProperties::default()).await;
        bench.happens(Event::Ready { first: false }).await;
        assert_eq!(bodies(&bench.take("quarantine", 1).await), ["refuse"]);
    };
    bench.run(translate, meanwhile).await.unwrap();
    assert_eq!(bench.counters.snapshot().to_legacy.sessions, 3);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn bindings_and_exchanges_that_are_removed_come_back_without_any_message() {
    let bench = Bench::new("removed").await;
    let translate =
        |message: &Received<'_>| Outcome::Publish(vec![publication("removed", "out", message.body)]);
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        let (queue, exchange) = (bench.own("intake.modern"), bench.own("modern"));
        let none = FieldTable::default;
        bench.channel.queue_unbind(queue, exchange, name("in.#"), none()).await.unwrap();
        bench.bound_again(b"1").await;
        assert_eq!(bodies(&bench.take("out", 1).await), ["1"]);

        for exchange in ["modern", "legacy"] {
            let options = ExchangeDeleteOptions::default();
            bench.channel.exchange_delete(bench.own(exchange), options).await.unwrap();
            bench.exists_again(exchange).await;
        }
        let (queue, exchange) = (bench.own("out"), bench.own("legacy"));
        bench.channel.queue_bind(queue, exchange, name("out"), Default::default(), none()).await.unwrap();
        bench.bound_again(b"2").await;
        assert_eq!(bodies(&bench.take("out", 1).await), ["2"]);
    };
    bench.run(translate, meanwhile).await.unwrap();
    assert_eq!(bench.left_in("intake.modern").await, 0);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_keeps_own_publications_out_is_made_again_and_meanwhile_nothing_else_is_kept_out() {
    let mut bench = Bench::new("filter").await;
    let settings =
        Settings { modern_exchange: "filter.modern".to_owned(), ..translator().settings().clone() };
    let translator = Translator::new(translator().catalog().clone(), settings);
    let intake = Intake {
        prefix: "filter".to_owned(),
        queue_kind: QueueKind::Quorum,
        modern_exchange_kind: ExchangeKind::Topic,
        declare_modern_exchange: Declare::Active,
        bounds: Default::default(),
        quarantine_bounds: Default::default(),
        bridge_id: BridgeId::parse("test"),
        split: crate::core::split::Split::default(),
    };
    bench.bridge.modern.topology = intake.modern_side(&translator);
    bench.bridge.modern.intake_queue = intake.modern_queue();
    // One quarantine for both sides, as always.
    bench.bridge.legacy.topology.queues[1] = bench.bridge.modern.topology.queues[1].clone();
    let own = bench.bridge.modern.topology.bindings[1].clone();
    let translate = |message: &Received<'_>| match message.properties.mark {
        Mark::Text("test") => Outcome::Echo,
        _ => Outcome::Publish(vec![publication("filter", "out", message.body)]),
    };
    let marked = |id: &str| {
        let mut headers = FieldTable::default();
        headers.insert(name(MARK_HEADER), AMQPValue::LongString(id.into()));
        BasicProperties::default().with_headers(headers)
    };
    // What no queue gets comes back from the broker.
    let is_kept_out = async |id: &str| {
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let (exchange, key) = (bench.own("modern"), name("in.key"));
        let sent = bench.channel.basic_publish(exchange, key, options, b"marked", marked(id)).await.unwrap();
        sent.await.unwrap().take_message().is_some()
    };
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        assert!(is_kept_out("test").await);
        for other in ["other", "other,test", "test,other", "TEST"] {
            assert!(!is_kept_out(other).await, "{other}");
        }
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let none = FieldTable::default();
        let mut out =
            bench.channel.basic_consume(bench.own("out"), name("out"), options, none).await.unwrap();
        let mut next = async || bodies(&[out.next().await.unwrap().unwrap()]).remove(0);
        for _ in 0..4 {
            assert_eq!(next().await, "marked");
        }

        let arguments = super::arguments::table(&own.arguments).unwrap();
        let filter = bench.own("modern.filter");
        let options = Default::default();
        bench.channel.exchange_unbind(filter.clone(), filter, name(""), options, arguments).await.unwrap();
        while !is_kept_out("test").await {
            bench.publish(b"1", BasicProperties::default()).await;
        }
        for exchange in ["modern.filter", "modern.others"] {
            let options = ExchangeDeleteOptions::default();
            bench.channel.exchange_delete(bench.own(exchange), options).await.unwrap();
            bench.exists_again(exchange).await;
            bench.bound_again(b"2").await;
            while !is_kept_out("test").await {
                tokio::task::yield_now().await;
            }
        }
        bench.publish(b"3", BasicProperties::default()).await;
        let mut came = next().await;
        while came != "3" {
            assert!(["1", "2"].contains(&came.as_str()), "{came}");
            came = next().await;
        }
    };
    bench.run(translate, meanwhile).await.unwrap();
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_exchange_that_came_back_otherwise_stops_nothing_that_goes_on_without_it() {
    let bench = Bench::new("otherwise").await;
    let translate =
        |message: &Received<'_>| Outcome::Publish(vec![publication("otherwise", "out", message.body)]);
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        let (queue, exchange) = (bench.own("out"), bench.own("legacy"));
        let gone = ExchangeDeleteOptions::default();
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default;
        // Quicker than the watch, most of the time; where it is not, it made the exchange itself in between.
        bench.channel.exchange_delete(exchange.clone(), gone).await.unwrap();
        let kind = lapin::ExchangeKind::Direct;
        if bench.channel.exchange_declare(exchange.clone(), kind, options, none()).await.is_err() {
            return;
        }
        bench.channel.queue_bind(queue, exchange, name("out"), Default::default(), none()).await.unwrap();
        // One after the other is looked at: by the second time, the other exchange was looked at in between.
        for body in [b"1", b"2"] {
            let (queue, exchange) = (bench.own("intake.modern"), bench.own("modern"));
            bench.channel.queue_unbind(queue, exchange, name("in.#"), none()).await.unwrap();
            bench.bound_again(body).await;
        }
        assert_eq!(bodies(&bench.take("out", 2).await), ["1", "2"]);
        assert!(!bench.events.borrow().contains(&Event::Lost));
        assert_eq!(bench.counters.snapshot().to_legacy.sessions, 1);
    };
    bench.run(translate, meanwhile).await.unwrap();
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_cluster_of_which_one_node_is_away_is_entered_by_another() {
    let mut bench = Bench::new("nodes").await;
    let there = bench.bridge.modern.address.clone();
    let port = there.port;
    for side in [&mut bench.bridge.legacy, &mut bench.bridge.modern] {
        // Nothing listens on port 1.
        side.address = BrokerAddress { port: 1, others: vec![(there.host.clone(), port)], ..there.clone() };
    }
    let meanwhile = async { bench.happens(Event::Ready { first: true }).await };
    bench.run(|_: &Received<'_>| Outcome::Dropped, meanwhile).await.unwrap();
    let connection = super::connect(&bench.bridge.legacy.address, "test").await.unwrap();
    connection.close(200, name("bye")).await.unwrap();
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_exchange_of_another_type_is_fatal_at_the_start() {
    let mut bench = Bench::new("inequivalent").await;
    bench.bridge.legacy.topology.exchanges[0].kind = ExchangeKind::Direct;
    let dropped = |_: &Received<'_>| Outcome::Dropped;
    let error = bench.run(dropped, std::future::pending()).await.unwrap_err();
    let RunError::Inequivalent { source, .. } = error else { panic!("{error}") };
    assert_eq!(
        source.to_string(),
        "the exchange `inequivalent.legacy` exists with `type` `topic`, and `direct` is needed"
    );
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_wrong_password_is_fatal_at_the_start() {
    let mut bench = Bench::new("access").await;
    bench.bridge.modern.address.password = "wrong".to_owned().into();
    let error = bench.run(|_: &Received<'_>| Outcome::Dropped, std::future::pending()).await.unwrap_err();
    assert!(matches!(&error, RunError::AccessRefused { .. }), "{error}");
    assert!(!error.to_string().contains("wrong"), "{error}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_broker_that_never_answers_does_not_keep_the_bridge_from_stopping() {
    let mut bench = Bench::new("silent").await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    bench.bridge.modern.address.port = listener.local_addr().unwrap().port();
    let meanwhile = async {
        listener.accept().await.unwrap();
    };
    bench.run(|_: &Received<'_>| Outcome::Dropped, meanwhile).await.unwrap();
    assert_eq!(bench.counters.snapshot().to_legacy.sessions, 0);
}

/// Has the queue `out` stand still, or go on.
async fn out_queue(bench: &Bench, what: &str) {
    let name = format!("rabbit_misc:r(<<\"{}\">>, queue, <<\"{}\">>)", address().vhost, bench.own("out"));
    let call = format!("{{ok, Q}} = rabbit_amqqueue:lookup({name}), sys:{what}(amqqueue:get_pid(Q)).");
    let run = move || std::process::Command::new("rabbitmqctl").args(["--quiet", "eval", &call]).output();
    let output = tokio::task::spawn_blocking(run).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "ok", "{output:?}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_last_event_is_acked_though_nothing_comes_behind_it() {
    let mut bench = Bench::new("last").await;
    // Nothing else may come to it.
    bench.bridge.confirm_timeout = Duration::from_secs(3600);
    bench.bridge.look_period = Duration::from_secs(3600);
    let translate = |message: &Received<'_>| Outcome::Publish(vec![publication("last", "out", message.body)]);
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        bench.publish(b"last", BasicProperties::default()).await;
        assert_eq!(bodies(&bench.take("out", 1).await), ["last"]);
        let acked = async {
            while bench.counters.snapshot().to_legacy.acked == 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, acked).await.expect("not acked");
    };
    bench.run(translate, meanwhile).await.unwrap();
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_comes_is_taken_on_the_thread_that_reads_it() {
    let bench = Bench::new("thread").await;
    let there = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&there);
    let translate = move |message: &Received<'_>| {
        let is_there = std::thread::current().name() == Some("lapin-io-loop");
        counted.fetch_add(usize::from(is_there), Ordering::Relaxed);
        Outcome::Publish(vec![publication("thread", "out", message.body)])
    };
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        for number in 0..100 {
            bench.publish(number.to_string().as_bytes(), BasicProperties::default()).await;
        }
        assert_eq!(bodies(&bench.take("out", 100).await), numbers(0..100));
    };
    bench.run(translate, meanwhile).await.unwrap();
    // The loop takes what it sees first, which on a busy machine may be much.
    assert!(there.load(Ordering::Relaxed) > 0);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_there_was_no_memory_for_is_taken_when_there_is() {
    let mut bench = Bench::new("memory").await;
    // Nothing else may come to it.
    bench.bridge.confirm_timeout = Duration::from_secs(3600);
    bench.bridge.look_period = Duration::from_secs(3600);
    let translate =
        |message: &Received<'_>| Outcome::Publish(vec![publication("memory", "out", &message.body[..2])]);
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        out_queue(&bench, "suspend").await;
        for number in 10..34 {
            let body = [number.to_string().as_bytes(), &vec![b' '; 1 << 20]].concat();
            bench.publish(&body, BasicProperties::default()).await;
        }
        let received = || bench.counters.snapshot().to_legacy.received;
        while received() < 16 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        out_queue(&bench, "resume").await;
        assert_eq!(bodies(&bench.take("out", 24).await), numbers(10..34));
        assert_eq!(received(), 24);
    };
    bench.run(translate, meanwhile).await.unwrap();
    assert_eq!(bench.left_in("intake.modern").await, 0);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_queue_that_confirms_nothing_is_waited_for_longer_each_time() {
    let mut bench = Bench::new("stalled").await;
    bench.bridge.confirm_timeout = Duration::from_millis(300);
    bench.bridge.look_period = Duration::from_millis(100);
    let translate =
        |message: &Received<'_>| Outcome::Publish(vec![publication("stalled", "out", message.body)]);
    let meanwhile = async {
        bench.happens(Event::Ready { first: true }).await;
        out_queue(&bench, "suspend").await;
        let began = tokio::time::Instant::now();
        let sessions = bench.counters.snapshot().to_legacy.sessions;
        for number in 0..3 {
            bench.publish(number.to_string().as_bytes(), BasicProperties::default()).await;
        }
        while bench.counters.snapshot().to_legacy.sessions < sessions + 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // Once the confirm timeout, and four times.
        let took = began.elapsed();
        out_queue(&bench, "resume").await;
        assert!(took >= Duration::from_millis(1500), "{took:?}");
        // Each of them may have come several times.
        while bench.counters.snapshot().to_legacy.acked < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        bench.publish(b"last", BasicProperties::default()).await;
        let mut came = Vec::new();
        while came.last().is_none_or(|last| last != "last") {
            came.extend(bodies(&[bench.take_another().await]));
        }
        came.sort();
        came.dedup();
        assert_eq!(came, ["0", "1", "2", "last"]);
    };
    bench.run(translate, meanwhile).await.unwrap();
    assert_eq!(bench.counters.snapshot().to_legacy.quarantined, 0);
    assert_eq!(bench.left_in("intake.modern").await, 0);
}
