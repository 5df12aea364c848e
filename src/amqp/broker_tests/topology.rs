//! What is not there, is removed, or is not as it must be.

use super::*;
use crate::amqp::arguments;
use crate::amqp::declare::declare;

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

        let arguments = arguments::table(&own.arguments).unwrap();
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
async fn of_two_ways_that_are_made_at_once_each_in_place_of_the_other_at_least_one_is_left() {
    let bench = Bench::new("ways").await;
    let way = |queue: &str| Binding {
        source: "ways.modern".into(),
        destination: Destination::Queue(format!("ways.{queue}")),
        key: "in.#".to_owned(),
        arguments: Default::default(),
    };
    let one = Topology {
        bindings: vec![way("intake.modern")],
        obsolete_bindings: vec![way("quarantine")],
        ..bench.bridge.modern.topology.clone()
    };
    let other = Topology {
        bindings: one.obsolete_bindings.clone(),
        obsolete_bindings: one.bindings.clone(),
        ..one.clone()
    };
    let channel = async || bench.connection.create_channel().await.unwrap();
    let (first, second) = (channel().await, channel().await);
    for _ in 0..50 {
        tokio::try_join!(declare(&first, &one), declare(&second, &other)).unwrap();
        bench.publish(b"", BasicProperties::default()).await;
    }
}
