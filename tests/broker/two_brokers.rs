//! The legacy exchanges on one broker and the modern one on another: `scripts/with-broker --nodes 2 --apart cargo test
//! --test broker -- --include-ignored two_brokers::`.
//!
//! Each direction consumes on one of them and publishes on the other, so it needs both. While one is away, what is
//! published on the other one waits there.

use std::env;
use std::ops::Range;

use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use lapin::{BasicProperties, ExchangeKind};
use serde_json::json;

use super::alarm::alarm;
use super::harness::{Bridge, Client, Setup, Tap, World, eventually, rabbitmqctl_meanwhile, unacked};
use super::load::{Came, Feeder, TO_LEGACY, TO_MODERN, Way, only_echoes_are_left};
use super::nodes::Node;

const PREFETCH: u32 = 64;
const EVENTS: u32 = 300;

/// Where a direction gets its events from is the broker of the same number, and the other one is where it publishes.
const WAYS: [Way; 2] = [TO_LEGACY, TO_MODERN];

/// The broker of the modern side, and that of the legacy side.
struct Brokers {
    world: World,
    nodes: [Node; 2],
}

impl Brokers {
    async fn new() -> Self {
        let world = World::alone().await;
        let nodes = Node::all(2, "--nodes 2 --apart");
        assert!(env::var_os("BROKER_APART").is_some(), "needs two brokers and no cluster: --apart");
        let [modern, legacy] = nodes.try_into().ok().unwrap();
        Self { world, nodes: [modern, legacy] }
    }

    fn url(&self, number: usize) -> String {
        self.nodes[number].url(&self.world)
    }

    /// Connects anew: the connections of before may be gone.
    async fn client(&self, number: usize) -> Client {
        Client::connect(&self.url(number)).await
    }

    fn bridge(&self) -> Setup {
        let url = |number| self.url(number).replace("?heartbeat=4", "");
        self.world.bridge().config(&format!(
            "modern: {{bus: {{url: \"{}\"}}}}\nlegacy: {{bus: {{url: \"{}\"}}}}\nprefetch_count: {PREFETCH}\n",
            url(0),
            url(1)
        ))
    }

    /// Queues for what comes out of both directions.
    async fn collect(&self) {
        for (number, way) in WAYS.iter().enumerate() {
            self.client(1 - number).await.durable_queue(way.out, &[way.out_of]).await;
        }
    }

    async fn publish(&self, number: usize, events: Range<u32>) {
        WAYS[number].publish_all(&self.client(number).await, events).await;
    }

    async fn depth(&self, number: usize, queue: &str) -> u32 {
        self.client(number).await.depth(queue).await
    }

    async fn tap(&self, number: usize) -> Tap {
        self.client(1 - number).await.tap_queue(WAYS[number].out).await
    }

    /// The messages on a broker that were delivered and not acked.
    async fn unacked(&self, number: usize) -> u32 {
        unacked(&["-n", &self.nodes[number].name], &self.world.vhost).await
    }
}

/// Waits until a direction has looked for the broker in vain, which it does when all is declared on its own one.
async fn has_declared(bridge: &Bridge, direction: &str) {
    eventually("the direction looks for the other broker", async || {
        let complaints = bridge.said("no session with the broker");
        complaints.iter().any(|complaint| complaint["direction"] == direction).then_some(())
    })
    .await;
}

/// How much memory a process has, in KiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse().unwrap()
}

#[tokio::test]
#[ignore = "needs two brokers: scripts/with-broker --nodes 2 --apart"]
async fn events_pass_both_ways_between_two_brokers() {
    let brokers = Brokers::new().await;
    let mut bridge = brokers.bridge().start().await;
    brokers.collect().await;
    for number in [0, 1] {
        brokers.publish(number, 0..EVENTS).await;
        Came::take(&mut brokers.tap(number).await, EVENTS).await.assert_exactly(EVENTS);
    }
    // Each puts away on its own side what it cannot translate.
    for number in [0, 1] {
        let (exchange, key) = WAYS[number].into;
        brokers.client(number).await.publish(exchange, key, "no event").await;
        eventually("it is in quarantine where it came from", async || {
            (brokers.depth(number, "cti-bridge.quarantine").await == 1).then_some(())
        })
        .await;
    }
    let (to_legacy, to_modern) = bridge.stop().await;
    assert_eq!((&to_legacy["published"], &to_modern["published"]), (&EVENTS.into(), &EVENTS.into()));
    assert_eq!((&to_legacy["quarantined"], &to_modern["quarantined"]), (&1.into(), &1.into()));
}

/// Starts a bridge that has never run here, while the broker that this direction publishes on is away.
async fn first_start_without_a_target(number: usize, direction: &str) {
    let brokers = Brokers::new().await;
    // What the platform has there, before there was a bridge.
    let client = brokers.client(1 - number).await;
    let (exchange, _) = WAYS[number].out_of;
    let kind = if exchange == "xivo" { ExchangeKind::Topic } else { ExchangeKind::Direct };
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    client.channel.exchange_declare(exchange.into(), kind, options, FieldTable::default()).await.unwrap();
    client.durable_queue(WAYS[number].out, &[WAYS[number].out_of]).await;
    let away = &brokers.nodes[1 - number].name;
    rabbitmqctl_meanwhile(&["-n", away, "stop_app"]).await;
    let mut bridge = brokers.bridge().spawn();
    has_declared(&bridge, direction).await;
    brokers.publish(number, 0..EVENTS).await;
    assert_eq!(brokers.depth(number, WAYS[number].intake).await, EVENTS);
    if number == 0 {
        // Every attempt connects to this broker first, and leaves nothing behind.
        let list = ["-n", &brokers.nodes[number].name, "list_connections", "--silent", "pid"];
        eventually("no more connections than one attempt needs", async || {
            (rabbitmqctl_meanwhile(&list).await.lines().count() <= 4).then_some(())
        })
        .await;
    }
    rabbitmqctl_meanwhile(&["-n", away, "start_app"]).await;
    bridge.says("ready").await;
    Came::take(&mut brokers.tap(number).await, EVENTS).await.assert_exactly(EVENTS);
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs two brokers: scripts/with-broker --nodes 2 --apart"]
async fn before_the_legacy_broker_was_ever_there_modern_events_wait() {
    first_start_without_a_target(0, "to_legacy").await;
}

#[tokio::test]
#[ignore = "needs two brokers: scripts/with-broker --nodes 2 --apart"]
async fn before_the_modern_broker_was_ever_there_legacy_events_wait() {
    first_start_without_a_target(1, "to_modern").await;
}

#[tokio::test]
#[ignore = "needs two brokers: scripts/with-broker --nodes 2 --apart"]
async fn a_broker_that_is_killed_under_load_costs_nothing_on_either_side() {
    let brokers = Brokers::new().await;
    let mut bridge = brokers.bridge().start().await;
    brokers.collect().await;
    let feeders = [0, 1].map(|number| Feeder::start(brokers.url(number), WAYS[number]));
    // Which quorum queues it has a node of RabbitMQ 3.10 saves every half second; one that was made just before it is
    // killed comes back without a leader and never confirms.
    for feeder in &feeders {
        feeder.goes_on_for(8 * EVENTS).await;
    }
    for (round, killed) in [1, 0].into_iter().enumerate() {
        for feeder in &feeders {
            feeder.goes_on_for(200).await;
        }
        brokers.nodes[killed].signal("KILL");
        let other = 1 - killed;
        feeders[other].goes_on_for(EVENTS).await;
        eventually("what is published meanwhile waits", async || {
            (brokers.depth(other, WAYS[other].intake).await >= EVENTS).then_some(())
        })
        .await;
        brokers.nodes[killed].start().await;
        eventually("both directions go on", async || {
            (bridge.said("consuming again").len() > round).then_some(())
        })
        .await;
    }
    let mut came = Vec::new();
    for (number, feeder) in feeders.into_iter().enumerate() {
        let events = feeder.finish().await;
        brokers.publish(number, events..events + 1).await;
        let mut all = Came::default();
        all.take_up_to(&mut brokers.tap(number).await, events).await;
        all.assert_complete_and_in_order(events + 1);
        came.push((events, all.duplicates()));
    }
    let (to_legacy, to_modern) = bridge.stop().await;
    for (counts, (events, duplicates)) in [to_legacy, to_modern].iter().zip(came) {
        let ended = counts["sessions"].as_u64().unwrap() - 1;
        eprintln!("{events} events, {ended} sessions ended, {duplicates} duplicates");
        assert!(u64::from(duplicates) <= ended * u64::from(PREFETCH), "{duplicates} duplicates: {counts}");
        assert_eq!(counts["quarantined"], 0, "{counts}");
    }
    for (number, way) in WAYS.iter().enumerate() {
        only_echoes_are_left(&brokers.client(number).await, &[*way]).await;
    }
}

#[tokio::test]
#[ignore = "needs two brokers: scripts/with-broker --nodes 2 --apart"]
async fn a_broker_that_takes_nothing_stops_only_what_is_published_there() {
    let brokers = Brokers::new().await;
    let (legacy, [to_legacy, to_modern]) = (&brokers.nodes[1].name, [0, 1]);
    brokers.bridge().start().await.stop().await;
    brokers.collect().await;
    // Nobody can publish on a broker with an alarm, but what it has already goes on.
    brokers.publish(to_modern, 0..EVENTS).await;
    alarm(legacy, true).await;
    let mut bridge = brokers.bridge().spawn();
    bridge.says("the broker takes no messages for now").await;
    Came::take(&mut brokers.tap(to_modern).await, EVENTS).await.assert_exactly(EVENTS);
    brokers.publish(to_legacy, 0..EVENTS).await;
    assert!(brokers.depth(0, TO_LEGACY.intake).await >= EVENTS);
    alarm(legacy, false).await;
    let mut tap = brokers.tap(to_legacy).await;
    Came::take(&mut tap, EVENTS).await.assert_exactly(EVENTS);

    // Now while it consumes. What cannot be translated needs no other broker.
    alarm(legacy, true).await;
    let client = brokers.client(to_legacy).await;
    let before = memory(bridge.id());
    let big = |number: u32| {
        let padding = "x".repeat(16 * 1024);
        json!({"name": "call_held", "data": {"number": number, "attempt": 0, "padding": padding}}).to_string()
    };
    client.publish("xivo", "calls.hold.created", big(EVENTS)).await;
    client.publish("xivo", "calls.hold.created", "no event").await;
    eventually("it is in quarantine already", async || {
        (client.depth("cti-bridge.quarantine").await == 1).then_some(())
    })
    .await;
    let all = 3_000;
    let mut confirms = Vec::new();
    for number in EVENTS + 1..all {
        let none = BasicProperties::default();
        let body = big(number);
        confirms.push(client.send("xivo", "calls.hold.created", none, body.as_bytes()).await.unwrap());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    eventually("as many are under way as may be", async || {
        (brokers.unacked(0).await == PREFETCH).then_some(())
    })
    .await;
    let (waiting, grown) = (client.depth(TO_LEGACY.intake).await, memory(bridge.id()).saturating_sub(before));
    eprintln!("{waiting} messages wait, the bridge has grown by {grown} KiB");
    assert!(waiting > all - EVENTS - 2 * PREFETCH, "only {waiting} wait");
    assert!(grown < 16 * 1024, "grown by {grown} KiB");
    alarm(legacy, false).await;
    let mut came = Came::default();
    came.take_more(&mut tap, all - EVENTS).await;
    bridge.stop().await;
}
