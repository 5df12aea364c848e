//! Stopping under load: what is under way is finished, the rest stays for the next bridge.

use std::time::{Duration, Instant};

use super::harness::{World, rounds};
use super::load::{Came, Feeder, TO_LEGACY, TO_MODERN, only_echoes_are_left};

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
    let rounds = rounds();
    let start = async || world.bridge().args(["--prefetch-count", "32"]).start().await;
    let mut active = start().await;
    way.collect(&world).await;
    let feeder = Feeder::start(world.url(), way);
    let mut tap = world.client.tap_queue(way.out).await;
    let mut came = Came::default();
    let mut silences = Vec::new();
    for _ in 0..rounds {
        let mut standby = start().await;
        came.take_more(&mut tap, 100).await;
        active.signal("KILL");
        assert_eq!(active.exit_code().await, None);
        silences.push(came.take_more(&mut tap, 200).await);
        assert_eq!(active.said("stopped").len(), 0);
        std::mem::swap(&mut active, &mut standby);
    }
    let events = feeder.finish().await;
    came.take_up_to(&mut tap, events - 1).await;
    came.assert_complete_and_in_order(events);
    assert!(came.duplicates() <= rounds * prefetch, "{} duplicates", came.duplicates());
    silences.sort();
    let at = |percent: usize| silences[(silences.len() * percent).div_ceil(100) - 1];
    eprintln!(
        "silent while another took over, {rounds} times: p50 {:?}, p99 {:?}, max {:?}; {} of {events} events twice",
        at(50),
        at(99),
        at(100),
        came.duplicates(),
    );
    let (_, counts) = active.stop().await;
    assert_eq!(counts["acked"], counts["received"]);
}
