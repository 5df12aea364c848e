//! Whether a running bridge moves: what is noticed when it does not, what is told, and what becomes of the events.

use serde_json::json;

use super::harness::{World, eventually, rabbitmqctl_meanwhile};
use super::reporting::Manager;

const HELD: (&str, &str) = ("xivo-cti", "call_held");

fn held(number: u32) -> serde_json::Value {
    json!({"name": "call_held", "data": {"number": number}})
}

/// A queue of the broker, as an expression of Erlang.
fn lookup(world: &World, queue: &str) -> String {
    let name = format!("rabbit_misc:r(<<\"{}\">>, queue, <<\"{queue}\">>)", world.vhost);
    format!("{{ok, Q}} = rabbit_amqqueue:lookup({name}), ")
}

/// Has the broker's ends of the consumers of a queue stand still; returns them.
async fn suspend_consumers(world: &World, queue: &str) -> String {
    let suspend = "[begin C = element(1, X), ok = sys:suspend(C), pid_to_list(C) end || X <- rabbit_amqqueue:consumers(Q)].";
    eventually("somebody consumes", async || {
        let text = rabbitmqctl_meanwhile(&["eval", &(lookup(world, queue) + suspend)]).await;
        text.contains("<0.").then(|| text.trim().to_owned())
    })
    .await
}

async fn resume(processes: &str) {
    let resume = format!("[catch sys:resume(list_to_pid(P)) || P <- {processes}].");
    rabbitmqctl_meanwhile(&["eval", &resume]).await;
}

/// Has a quorum queue stand still as one that has lost most of its nodes, or go on.
async fn quorum_queue(world: &World, queue: &str, what: &str) {
    let call = format!("sys:{what}(amqqueue:get_pid(Q)).");
    assert_eq!(rabbitmqctl_meanwhile(&["eval", &(lookup(world, queue) + &call)]).await.trim(), "ok");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_consumer_to_which_nothing_comes_any_more_is_noticed_without_any_event() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--status-interval", "1", "--log-level", "debug"]).start().await;
    // The consumer that a bridge begins with goes when something fresh has come.
    eventually("both go on as usual", async || (bridge.said("going on as usual").len() == 2).then_some(()))
        .await;
    let mut legacy = world.client.tap(&[HELD]).await;
    // To the next one, which the broker may have begun to count before the last one was off its books.
    world.client.publish("xivo", "calls.hold.created", held(0).to_string()).await;
    assert_eq!(legacy.event().await, held(0));
    // Whatever anybody can see on the exchanges.
    let mut all = world.client.tap(&[("xivo", "#"), ("xivo-ami", "#")]).await;
    let consumers = suspend_consumers(&world, "cti-bridge.modern").await;
    let ended = bridge.says("session ended").await;
    assert_eq!(
        (&ended["direction"], &ended["cause"]),
        (
            &json!("to_legacy"),
            &json!("nothing comes from `cti-bridge.modern`, though there is something in it")
        )
    );
    world.client.publish("xivo", "calls.hold.created", held(1).to_string()).await;
    resume(&consumers).await;
    assert_eq!(legacy.event().await, held(1));
    assert_eq!(all.event().await, held(1), "nobody sees what the bridge sends itself");
    bridge.counts("to_legacy", &[("received", 2), ("acked", 2), ("published", 2), ("probes", 0)]).await;
    let (to_legacy, to_modern) = bridge.stop().await;
    assert_eq!((&to_legacy["quarantined"], &to_modern["sessions"]), (&json!(0), &json!(1)));
    for queue in ["cti-bridge.modern", "cti-bridge.legacy", "cti-bridge.quarantine"] {
        assert_eq!(world.client.depth(queue).await, 0, "{queue}");
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_queue_that_confirms_nothing_is_told_and_costs_no_event() {
    let world = World::new().await;
    let manager = Manager::new(&world);
    world.bridge().start().await.stop().await;
    world.client.durable_queue("target", &[HELD]).await;
    let mut bridge = manager.starts(world.bridge()).env("WATCHDOG_USEC", "1000000").start().await;
    manager.hears("STATUS=both directions move", 1).await;
    quorum_queue(&world, "target", "suspend").await;
    let count = 5;
    for number in 0..count {
        world.client.publish("xivo", "calls.hold.created", held(number).to_string()).await;
    }
    let standing = bridge.says("what comes in does not go out").await;
    assert_eq!(standing["direction"], "to_legacy", "the other one has nothing to do with it");
    assert!(standing["cause"].as_str().unwrap().starts_with("the broker does not confirm"), "{standing}");
    manager.hears("STATUS=not moving; the log says why", 1).await;
    // The way may be broken, so another session is tried.
    let ended = bridge.says("session ended").await;
    assert_eq!(ended["cause"], "no publisher confirm for 30 seconds");
    quorum_queue(&world, "target", "resume").await;
    let mut target = world.client.tap_queue("target").await;
    let mut came = Vec::new();
    while came.last() != Some(&held(count - 1)) {
        came.push(target.event().await);
    }
    came.dedup();
    came.sort_by_key(|event| event["data"]["number"].as_u64());
    came.dedup();
    assert_eq!(came, (0..count).map(held).collect::<Vec<_>>());
    manager.hears("STATUS=both directions move", 2).await;
    manager.hears("WATCHDOG=1", 40).await;
    let (to_legacy, _) = bridge.stop().await;
    assert_eq!((&to_legacy["sessions"], &to_legacy["quarantined"]), (&json!(2), &json!(0)));
    assert_eq!(world.client.depth("cti-bridge.quarantine").await, 0);
}
