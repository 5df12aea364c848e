//! Stopping under load: what is under way is finished, the rest stays for the next bridge.

use std::time::{Duration, Instant};

use super::harness::World;
use super::load::{Came, Feeder, TO_LEGACY, TO_MODERN, all_that_came, only_echoes_are_left};

async fn stops_and_another_takes_over(signal: &str) {
    let world = World::new().await;
    let ways = [TO_LEGACY, TO_MODERN];
    // Makes the exchanges and the queues.
    world.bridge().start().await.stop().await;
    for way in ways {
        way.collect(&world).await;
        // A backlog, so that the bridge is in full swing when it is told to stop.
        way.publish_all(&world.client, 0..BACKLOG).await;
    }
    let mut first = world.bridge().args(["--prefetch-count", "64"]).start().await;
    let feeders = ways.map(|way| Feeder::start_from(world.url(), way, BACKLOG));
    super::harness::eventually("some events are through", async || {
        let through = [world.client.depth(TO_LEGACY.out).await, world.client.depth(TO_MODERN.out).await];
        through.iter().all(|depth| *depth > 200).then_some(())
    })
    .await;

    let began = Instant::now();
    first.signal(signal);
    assert_eq!(first.exit_code().await, Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
    assert_eq!(first.said("stopping")[0]["signal"], format!("SIG{signal}"));
    assert!(!first.output().contains("delivered again"), "did not finish what was under way");
    // Nobody takes these now.
    for feeder in &feeders {
        feeder.goes_on_for(100).await;
    }
    let mut second = world.bridge().start().await;
    for (way, feeder) in ways.into_iter().zip(feeders) {
        let events = feeder.finish().await;
        let mut tap = world.client.tap_queue(way.out).await;
        Came::take(&mut tap, events).await.assert_exactly(events);
    }
    second.stop().await;
    for way in ways {
        assert_eq!(world.client.depth(way.out).await, 0);
    }
    only_echoes_are_left(&world.client, &ways).await;
}

const BACKLOG: u32 = 2_000;

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn sigterm_under_load_loses_and_doubles_nothing() {
    stops_and_another_takes_over("TERM").await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn sigint_under_load_loses_and_doubles_nothing() {
    stops_and_another_takes_over("INT").await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_standby_takes_over_when_the_active_bridge_is_killed() {
    let world = World::new().await;
    let way = TO_MODERN;
    let prefetch = 32;
    let mut active = world.bridge().args(["--prefetch-count", "32"]).start().await;
    let mut standby = world.bridge().args(["--prefetch-count", "32"]).start().await;
    way.collect(&world).await;
    let feeder = Feeder::start(world.url(), way);
    super::harness::eventually("the active one works", async || {
        (world.client.depth(way.out).await > 100).then_some(())
    })
    .await;
    active.signal("KILL");
    assert_eq!(active.exit_code().await, None);
    feeder.goes_on_for(200).await;
    let events = feeder.finish().await;
    let came = all_that_came(&world.client, way, events).await;
    came.assert_complete_and_in_order(events);
    assert!(came.duplicates() <= prefetch, "{} duplicates", came.duplicates());
    let (_, counts) = standby.stop().await;
    assert_eq!(counts["acked"], counts["received"]);
    assert_eq!(active.said("stopped").len(), 0);
}
