//! A cluster of three nodes, of which one at a time is killed or stands still: `scripts/with-broker --nodes 3 cargo test
//! --test broker -- --include-ignored cluster::`.

use std::time::{Duration, Instant};

use super::harness::{Client, World, eventually, rabbitmqctl_meanwhile, rounds};
use super::load::{Feeder, TO_LEGACY, TO_MODERN, all_that_came, only_echoes_are_left};
use super::nodes::Node;

const PREFETCH: u32 = 64;

impl Node {
    /// Asks this node, which is up.
    async fn leader_of(&self, world: &World, queue: &str) -> String {
        let asked = ["-n", &self.name, "-p", &world.vhost, "list_queues", "--silent", "name", "leader"];
        eventually("the queue has a leader", async || {
            let list = rabbitmqctl_meanwhile(&asked).await;
            let leader = list.lines().find_map(|line| line.strip_prefix(queue)?.strip_prefix('\t'));
            leader.filter(|leader| !leader.is_empty()).map(str::to_owned)
        })
        .await
    }
}

/// All nodes in one address, as in the configuration.
fn address(nodes: &[Node], world: &World) -> String {
    let hosts: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
    format!("amqp://guest:guest@{}/{}", hosts.join(","), world.vhost)
}

/// Lets something happen to the leader of an intake queue again and again, under load in both directions.
async fn leaders_suffer(rounds: u32, fault: impl AsyncFn(&Node, &[Feeder; 2])) {
    let world = World::alone().await;
    let nodes = Node::all(3, "--nodes 3");
    let prefetch = PREFETCH.to_string();
    let address = address(&nodes, &world);
    let bridge = world.bridge().env("CTI_BRIDGE_AMQP_URL", &address).args(["--prefetch-count", &prefetch]);
    let mut bridge = bridge.start().await;
    let ways = [TO_LEGACY, TO_MODERN];
    for way in ways {
        way.collect(&world).await;
    }
    let urls: Vec<_> = nodes.iter().map(|node| node.url(&world)).collect();
    let feeders = ways.map(|way| Feeder::start_on(urls.clone(), way));
    for round in 0..rounds {
        for feeder in &feeders {
            feeder.goes_on_for(200).await;
        }
        let intake = ways[round as usize % 2].intake;
        let leader = nodes[0].leader_of(&world, intake).await;
        let leader = nodes.iter().find(|node| node.name == leader).unwrap();
        let began = Instant::now();
        fault(leader, &feeders).await;
        eprintln!("round {round}: {} suffered, {} ms", leader.name, began.elapsed().as_millis());
    }
    let client = Client::connect(&nodes[0].url(&world)).await;
    let mut all = Vec::new();
    for (way, feeder) in ways.iter().zip(feeders) {
        let events = feeder.finish().await;
        let came = all_that_came(&client, *way, events).await;
        came.assert_complete_and_in_order(events);
        all.push((events, came.duplicates()));
    }
    let (to_legacy, to_modern) = bridge.stop().await;
    for (counts, (events, duplicates)) in [to_legacy, to_modern].iter().zip(all) {
        let ended = counts["sessions"].as_u64().unwrap() - 1;
        eprintln!("{rounds} rounds, {ended} sessions ended: {events} events, {duplicates} duplicates");
        // One more window, as a queue that loses its leader may have taken what it did not confirm.
        let most = (ended + u64::from(rounds)) * u64::from(PREFETCH);
        assert!(u64::from(duplicates) <= most, "{duplicates} duplicates: {counts}");
        assert_eq!(counts["quarantined"], 0, "{counts}");
    }
    only_echoes_are_left(&client, &ways).await;
}

#[tokio::test]
#[ignore = "needs three nodes of RabbitMQ: scripts/with-broker --nodes 3"]
async fn leaders_of_the_intake_queues_are_killed_under_load_and_nothing_is_lost() {
    leaders_suffer(rounds(), async |leader, feeders| {
        leader.signal("KILL");
        // The others elect a new one, and the load goes on while this node is away.
        for feeder in feeders {
            feeder.goes_on_for(100).await;
        }
        leader.start().await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs three nodes of RabbitMQ: scripts/with-broker --nodes 3"]
async fn a_leader_that_stands_still_under_load_loses_nothing() {
    leaders_suffer(1, async |leader, feeders| {
        leader.signal("STOP");
        // Longer than anybody waits for an answer on a connection, and shorter than the nodes wait for each other.
        let still = tokio::time::sleep(Duration::from_secs(25));
        still.await;
        leader.signal("CONT");
        for feeder in feeders {
            feeder.goes_on_for(100).await;
        }
    })
    .await;
}
