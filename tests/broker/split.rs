//! The modern events split over two bridges by a consistent-hash exchange of the broker.

use std::collections::BTreeMap;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{BasicProperties, ExchangeKind};
use serde_json::json;

use super::harness::{Bridge, Client, Tap, World, eventually, json_of, long, table};

const KEYS: u32 = 50;
const EVENTS: u32 = 2_000;
const QUEUES: [&str; 2] = ["cti-bridge.modern", "cti-bridge.modern.2"];

/// Fails with what is missing where the plugin is.
async fn needs_the_plugin(world: &World) {
    let client = Client::connect(&world.url()).await;
    let kind = ExchangeKind::Custom("x-consistent-hash".to_owned());
    let options = ExchangeDeclareOptions { auto_delete: true, ..ExchangeDeclareOptions::default() };
    let declared =
        client.channel.exchange_declare("probe".into(), kind, options, FieldTable::default()).await;
    declared.expect("needs a plugin: scripts/with-broker --plugins rabbitmq_consistent_hash_exchange");
}

async fn start(world: &World, by: &str, part: &str) -> Bridge {
    let config = format!("split: {{into: 2, by: {by}}}\nstatus_interval: 1\n");
    world.bridge().config(&config).args(["--part", part]).start().await
}

fn key(number: u32) -> String {
    format!("calls.line{}.held", number % KEYS)
}

/// Numbered events, each under one of the keys in turn, and of one of the tenants in turn.
async fn publish(client: &Client, numbers: std::ops::Range<u32>) {
    let mut confirms = Vec::new();
    for number in numbers {
        let tenant = format!("tenant{}", number % KEYS);
        let properties = BasicProperties::default().with_headers(table([("tenant_uuid", long(&tenant))]));
        let event = json!({"name": "call_held", "data": {"number": number}}).to_string();
        confirms.push(client.send("xivo", &key(number), properties, event.as_bytes()).await.unwrap());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
}

/// Takes so many, and holds those of each key to their order.
async fn take(tap: &mut Tap, events: u32) -> BTreeMap<u32, Vec<u32>> {
    let mut came: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for _ in 0..events {
        let number = json_of(&tap.next().await)["data"]["number"].as_u64().unwrap() as u32;
        came.entry(number % KEYS).or_default().push(number);
    }
    for numbers in came.values() {
        assert!(numbers.is_sorted_by(|a, b| a < b), "out of order or twice: {numbers:?}");
    }
    came
}

/// What is counted for modern events so far.
fn acked(bridge: &Bridge) -> u64 {
    let status = bridge.said("status").into_iter().rfind(|status| status["direction"] == "to_legacy");
    status.map_or(0, |status| status["acked"].as_u64().unwrap())
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker --plugins rabbitmq_consistent_hash_exchange"]
async fn two_bridges_share_the_stream_and_keep_the_order_of_each_key() {
    let world = World::new().await;
    needs_the_plugin(&world).await;
    let mut first = start(&world, "routing_key", "1").await;
    let mut second = start(&world, "routing_key", "2").await;
    let mut tap = world.client.tap(&[("xivo-cti", "call_held")]).await;
    publish(&world.client, 0..EVENTS).await;
    let came = take(&mut tap, EVENTS).await;
    assert_eq!(
        came.values().map(Vec::len).collect::<Vec<_>>(),
        [EVENTS as usize / KEYS as usize; KEYS as usize]
    );
    eventually("both have acked all", async || {
        (acked(&first) + acked(&second) == u64::from(EVENTS)).then_some(())
    })
    .await;
    let shares = [acked(&first), acked(&second)];
    assert!(shares.iter().all(|share| *share > 0), "{shares:?}");

    // What is for the one that is stopped waits; the other one goes on.
    let (counts, _) = first.stop().await;
    assert_eq!(counts["acked"], shares[0]);
    publish(&world.client, EVENTS..2 * EVENTS).await;
    let share = u32::try_from(shares[1]).unwrap();
    let mut went_on = take(&mut tap, share).await;
    assert_eq!(world.client.depth(QUEUES[0]).await, EVENTS - share);
    let mut first = start(&world, "routing_key", "1").await;
    let late = take(&mut tap, EVENTS - share).await;
    assert!(late.keys().all(|key| !went_on.contains_key(key)), "a key went through both");
    went_on.extend(late);
    assert!((0..KEYS).all(|key| went_on[&key].len() == EVENTS as usize / KEYS as usize));

    // What legacy programs say is one stream, and either bridge takes it; neither takes in what the other published.
    let mut modern = world.client.tap(&[("xivo", "call_form_result")]).await;
    let form = json!({"name": "call_form_result", "data": {}});
    world.client.publish_legacy(&form).await;
    modern.event().await;
    second.stop().await;
    world.client.publish_legacy(&form).await;
    modern.event().await;
    first.stop().await;
    for queue in QUEUES {
        assert_eq!(world.client.depth(queue).await, 0, "{queue}");
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker --plugins rabbitmq_consistent_hash_exchange"]
async fn a_stream_can_be_split_by_a_header_and_put_together_again() {
    let world = World::new().await;
    needs_the_plugin(&world).await;
    world.bridge().start().await.stop().await;
    publish(&world.client, 0..100).await;
    // The part of an instance that was never started waits as well.
    let mut first = start(&world, "tenant_uuid", "1").await;
    let mut tap = world.client.tap(&[("xivo-cti", "call_held")]).await;
    publish(&world.client, 100..400).await;
    eventually("a part waits for the other instance", async || {
        (world.client.depth(QUEUES[1]).await > 0).then_some(())
    })
    .await;
    let mut second = start(&world, "tenant_uuid", "2").await;
    // The tap is younger than the first of them.
    let mut came = 0;
    while came < 300 {
        let event = json_of(&tap.next().await);
        came += u32::from(event["data"]["number"].as_u64().unwrap() >= 100);
    }
    first.stop().await;
    second.stop().await;
    let mut whole = world.bridge().start().await;
    publish(&world.client, 0..100).await;
    take(&mut tap, 100).await;
    whole.stop().await;
    assert_eq!(world.client.depth(QUEUES[1]).await, 0);
}
