//! The broker runs out of memory, and takes no messages until it has some again.

use super::harness::{World, broker, eventually, rabbitmqctl_meanwhile};
use super::load::{Came, TO_LEGACY, TO_MODERN};

/// More than the delivery limit of the intake queues.
const RESTARTS: u32 = 14;

const EVENTS: u32 = 300;

/// Has a node believe that it uses too much memory, or not.
pub async fn alarm(node: &str, on: bool) {
    let watermark = if on { "0.0001" } else { "0.8" };
    let ask =
        format!("vm_memory_monitor:set_vm_memory_high_watermark({watermark}), rabbit_alarm:get_alarms().");
    eventually("the broker sees how much memory it uses", async || {
        let alarms = rabbitmqctl_meanwhile(&["-n", node, "eval", &ask]).await;
        (alarms.contains("memory") == on).then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn restarts_during_an_alarm_put_nothing_in_quarantine() {
    let world = World::alone().await;
    let ways = [TO_LEGACY, TO_MODERN];
    world.bridge().start().await.stop().await;
    for way in ways {
        way.collect(&world).await;
        way.publish_all(&world.client, 0..EVENTS).await;
    }
    alarm(&broker("BROKER_NODE"), true).await;
    for restart in 0..RESTARTS {
        let mut bridge = world.bridge().spawn();
        eventually("both directions know that the broker takes nothing", async || {
            (bridge.said("the broker takes no messages for now").len() == 2).then_some(())
        })
        .await;
        if restart % 2 == 0 {
            bridge.signal("KILL");
            bridge.exit_code().await;
        } else {
            bridge.stop().await;
        }
    }
    let mut last = world.bridge().spawn();
    last.says("the broker takes no messages for now").await;
    assert!(last.said("ready").is_empty(), "nothing moves");
    alarm(&broker("BROKER_NODE"), false).await;
    last.says("ready").await;
    for way in ways {
        let mut tap = world.client.tap_queue(way.out).await;
        Came::take(&mut tap, EVENTS).await.assert_exactly(EVENTS);
    }
    let (to_legacy, to_modern) = last.stop().await;
    assert_eq!((&to_legacy["quarantined"], &to_modern["quarantined"]), (&0.into(), &0.into()));
    assert_eq!(world.client.depth("cti-bridge.quarantine").await, 0);
}
