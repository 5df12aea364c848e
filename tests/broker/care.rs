//! A message for which the broker itself closes the channel.

use lapin::options::QueueDeclareOptions;
use lapin::types::AMQPValue;
use serde_json::json;

use super::harness::{
    NARROW, PASSWORD, World, eventually, long, only_the_second_came_twice, own_connections, table,
};
use super::load::{Feeder, TO_LEGACY, all_that_came};

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_message_that_the_broker_refuses_is_found_among_many_and_stops_no_other() {
    let world = World::new().await;
    // This user may not publish on xivo under keys that begin with auth.tenants.forbidden.
    let mut bridge = world
        .bridge()
        .env("CTI_BRIDGE_AMQP_URL", world.url_of(NARROW, PASSWORD))
        .args(["--legacy-event", "auth_tenant_deleted", "--prefetch-count", "16"])
        .start()
        .await;
    let mut xivo = world.client.tap(&[("xivo", "auth.#")]).await;
    let uuid =
        |number: u32| if number % 20 == 10 { "forbidden".to_owned() } else { format!("tenant-{number}") };
    let count = 60;
    let mut confirms = Vec::new();
    for number in 0..count {
        let event = json!({"name": "auth_tenant_deleted", "data": {"uuid": uuid(number), "number": number}});
        let body = event.to_string().into_bytes();
        confirms.push(
            world.client.send("xivo-cti", "auth_tenant_deleted", Default::default(), &body).await.unwrap(),
        );
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    // What was under way with it may come again, but nothing is missing and the order is kept.
    let mut first_times = Vec::new();
    while first_times.len() < 57 {
        let number = xivo.event().await["data"]["number"].as_u64().unwrap();
        if !first_times.contains(&number) {
            first_times.push(number);
        }
    }
    let expected: Vec<u64> = (0..u64::from(count)).filter(|number| number % 20 != 10).collect();
    assert_eq!(first_times, expected);
    let mut quarantine = world.client.tap_queue("cti-bridge.quarantine").await;
    for number in [10, 30, 50] {
        let refused = quarantine.next().await;
        let event = super::harness::json_of(&refused);
        assert_eq!(event["data"]["number"], number);
        let headers = refused.properties.headers().as_ref().unwrap();
        let header = |name: &str| super::harness::text(headers.inner().get(name).unwrap()).unwrap();
        assert_eq!(header("cti-bridge-reason"), "refused_by_broker");
        assert!(header("cti-bridge-detail").contains("access to topic"), "{}", header("cti-bridge-detail"));
    }
    let (_, to_modern) = bridge.stop().await;
    assert_eq!(to_modern["quarantined"], 3);
    assert_eq!(world.client.depth("cti-bridge.legacy").await, 0);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_queue_that_takes_nothing_more_stops_only_what_is_for_it() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let full = table([("x-max-length", AMQPValue::LongInt(1)), ("x-overflow", long("reject-publish"))]);
    let channel = &world.client.channel;
    channel.queue_declare("full".into(), QueueDeclareOptions::default(), full).await.unwrap();
    world.client.bind("full", &[("xivo-cti", "call_created")]).await;
    let mut legacy = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let count = 20;
    for number in 0..count {
        for name in ["call_created", "call_held"] {
            let event = json!({"name": name, "data": {"call_id": number}});
            world.client.publish("xivo", "calls.call", event.to_string()).await;
        }
    }
    for number in 0..count {
        assert_eq!(legacy.event().await["data"]["call_id"], number);
    }
    let mut quarantine = world.client.tap_queue("cti-bridge.quarantine").await;
    let refused = quarantine.next().await;
    assert_eq!(super::harness::json_of(&refused)["name"], "call_created");
    let headers = refused.properties.headers().as_ref().unwrap();
    let reason = super::harness::text(headers.inner().get("cti-bridge-reason").unwrap()).unwrap();
    assert_eq!(reason, "refused_by_broker");
    let (to_legacy, _) = bridge.stop().await;
    assert_eq!(to_legacy["sessions"], 1, "no session ends for it");
    assert_eq!(to_legacy["acked"], u64::try_from(count * 2).unwrap());
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_direction_without_suspects_goes_on_as_usual_while_the_other_is_careful() {
    let world = World::new().await;
    let mut bridge = world
        .bridge()
        .env("CTI_BRIDGE_AMQP_URL", world.url_of(NARROW, PASSWORD))
        .args(["--legacy-event", "auth_tenant_deleted"])
        .start()
        .await;
    let mut legacy = world.client.tap(&[("xivo-cti", "call_held")]).await;
    // The broker refuses this one, and from then on the direction it came in is careful.
    let bad = json!({"name": "auth_tenant_deleted", "data": {"uuid": "forbidden"}});
    world.client.publish("xivo-cti", "auth_tenant_deleted", bad.to_string()).await;
    let held = json!({"name": "call_held", "data": {"call_id": "1"}}).to_string();
    eventually("the message is in quarantine", async || {
        world.client.publish("xivo", "calls.hold.created", &held).await;
        legacy.event().await;
        (world.client.depth("cti-bridge.quarantine").await == 1).then_some(())
    })
    .await;
    let careful = bridge.said("a message may be the cause: going on one by one");
    assert!(
        !careful.is_empty() && careful.iter().all(|line| line["direction"] == "to_modern"),
        "{careful:?}"
    );
    let (to_legacy, to_modern) = bridge.stop().await;
    assert_eq!(to_legacy["sessions"], 1);
    only_the_second_came_twice(&to_legacy);
    assert!(to_modern["sessions"].as_u64() > Some(1), "{to_modern}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn channels_that_the_broker_closes_leave_the_other_direction_alone() {
    let world = World::alone().await;
    let mut bridge = world
        .bridge()
        .env("CTI_BRIDGE_AMQP_URL", world.url_of(NARROW, PASSWORD))
        .args(["--legacy-event", "auth_tenant_deleted"])
        .start()
        .await;
    let before = own_connections(&world).await;
    TO_LEGACY.collect(&world).await;
    let feeder = Feeder::start(world.url(), TO_LEGACY);
    feeder.goes_on_for(100).await;
    // Three of them are refused, each among many.
    let refused = 3;
    for round in 1..=refused {
        for number in 0..200 {
            let uuid = if number == 100 { "forbidden" } else { "tenant" };
            let event = json!({"name": "auth_tenant_deleted", "data": {"uuid": uuid}});
            world
                .client
                .send("xivo-cti", "auth_tenant_deleted", Default::default(), event.to_string().as_bytes())
                .await
                .unwrap();
        }
        eventually("the message is in quarantine", async || {
            (world.client.depth("cti-bridge.quarantine").await == round).then_some(())
        })
        .await;
    }
    let after = own_connections(&world).await;
    assert_eq!(after["to_legacy"], before["to_legacy"]);
    let events = feeder.finish().await;
    all_that_came(&world.client, TO_LEGACY, events).await.assert_exactly(events);
    let (to_legacy, to_modern) = bridge.stop().await;
    assert_eq!(to_legacy["sessions"], 1, "{to_legacy}");
    only_the_second_came_twice(&to_legacy);
    assert!(to_modern["sessions"].as_u64() > Some(u64::from(refused)), "{to_modern}");
}
