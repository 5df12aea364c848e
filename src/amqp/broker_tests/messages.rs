//! What becomes of messages, and of connections.

use super::*;
use crate::amqp::connect;
use crate::amqp::declare::declare;

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
    declare(&bench.channel, &bench.bridge.modern.topology).await.unwrap();
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
    let connection = connect(&bench.bridge.legacy.address, "test").await.unwrap();
    connection.close(200, name("bye")).await.unwrap();
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
