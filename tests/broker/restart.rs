//! The broker goes away and comes back.

use std::time::{Duration, Instant};

use serde_json::json;

use super::harness::{Bridge, Client, World, eventually, own_connections, rabbitmqctl_meanwhile};
use super::load::{Feeder, TO_LEGACY, TO_MODERN, Way, all_that_came, only_echoes_are_left};

/// As many duplicates there may be in each direction after a fault, and no more.
const PREFETCH: u32 = 64;

const WAYS: [Way; 2] = [TO_LEGACY, TO_MODERN];

/// A bridge at work in both directions.
async fn under_load(world: &World) -> (Bridge, [Feeder; 2]) {
    let bridge = world.bridge().args(["--prefetch-count", "64"]).start().await;
    for way in WAYS {
        way.collect(world).await;
    }
    (bridge, WAYS.map(|way| Feeder::start(world.url(), way)))
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_broker_restart_under_load_loses_nothing_and_doubles_little() {
    let world = World::alone().await;
    let (mut bridge, feeders) = under_load(&world).await;
    for feeder in &feeders {
        feeder.goes_on_for(500).await;
    }
    rabbitmqctl_meanwhile(&["stop_app"]).await;
    rabbitmqctl_meanwhile(&["start_app"]).await;
    let began = Instant::now();
    bridge.says("consuming again").await;
    assert!(began.elapsed() < Duration::from_secs(15), "resumed after {:?}", began.elapsed());
    for feeder in &feeders {
        feeder.goes_on_for(500).await;
    }
    examine(&world, &mut bridge, feeders, PREFETCH).await;
    assert_eq!(bridge.said("ready").len(), 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn connections_closed_under_load_lose_nothing_and_double_little() {
    let world = World::new().await;
    let (mut bridge, feeders) = under_load(&world).await;
    let faults = 3;
    for fault in 1..=faults {
        for feeder in &feeders {
            feeder.goes_on_for(200).await;
        }
        rabbitmqctl_meanwhile(&["close_all_connections", "--vhost", &world.vhost, "maintenance"]).await;
        eventually("the bridge consumes again", async || {
            (bridge.said("consuming again").len() >= fault).then_some(())
        })
        .await;
    }
    let faults = u32::try_from(faults).unwrap();
    examine(&world, &mut bridge, feeders, faults * PREFETCH).await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_connection_closed_under_load_leaves_the_other_direction_alone() {
    let world = World::alone().await;
    let (mut bridge, feeders) = under_load(&world).await;
    for (faults, usage) in (1..).zip(["to_legacy", "to_modern"]) {
        for feeder in &feeders {
            feeder.goes_on_for(200).await;
        }
        let before = own_connections(&world).await;
        rabbitmqctl_meanwhile(&["close_connection", &before[usage], "maintenance"]).await;
        eventually("the bridge consumes again", async || {
            (bridge.said("consuming again").len() >= faults).then_some(())
        })
        .await;
        let after = own_connections(&world).await;
        let kept: Vec<_> = before.keys().filter(|usage| before[*usage] == after[*usage]).collect();
        assert_eq!((after.len(), kept.len()), (2, 1), "{after:?}");
        assert_ne!(after[usage], before[usage]);
    }
    examine(&world, &mut bridge, feeders, 2 * PREFETCH).await;
}

/// Ends the load and the bridge, and holds all that came against all that was sent.
async fn examine(world: &World, bridge: &mut Bridge, feeders: [Feeder; 2], most_duplicates: u32) {
    // The connection of before is gone.
    let client = Client::connect(&world.url()).await;
    for (way, feeder) in WAYS.iter().zip(feeders) {
        let events = feeder.finish().await;
        let came = all_that_came(&client, *way, events).await;
        came.assert_complete_and_in_order(events);
        let duplicates = came.duplicates();
        eprintln!("{}: {events} events, {duplicates} duplicates", way.event);
        assert!(duplicates <= most_duplicates, "{}: {duplicates} duplicates", way.event);
    }
    bridge.stop().await;
    only_echoes_are_left(&client, &WAYS).await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_bridge_that_starts_before_the_broker_is_ready_once_it_is_there() {
    let world = World::alone().await;
    rabbitmqctl_meanwhile(&["stop_app"]).await;
    let mut bridge = world.bridge().spawn();
    let complaint = bridge.says("no session with the broker").await;
    assert!(complaint["cause"].as_str().unwrap().contains("127.0.0.1"), "{complaint}");
    assert!(bridge.said("ready").is_empty());
    rabbitmqctl_meanwhile(&["start_app"]).await;
    bridge.says("ready").await;
    let client = Client::connect(&world.url()).await;
    let mut tap = client.tap(&[("xivo-cti", "call_held")]).await;
    let event = json!({"name": "call_held", "data": {"call_id": "1"}});
    client.publish("xivo", "calls.hold.created", event.to_string()).await;
    assert_eq!(tap.event().await, event);
    bridge.stop().await;
}
