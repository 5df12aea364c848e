//! Order and completeness without any fault.

use futures_util::future::join;

use super::harness::World;
use super::load::{Came, TO_LEGACY, TO_MODERN, Way};

const EVENTS: u32 = 10_000;

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn ten_thousand_events_each_way_come_once_and_in_order() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--status-interval", "1"]).start().await;
    let one_way = async |way: Way| {
        let mut tap = world.client.tap(&[way.out_of]).await;
        let (_, came) = join(way.publish_all(&world.client, 0..EVENTS), Came::take(&mut tap, EVENTS)).await;
        came.assert_exactly(EVENTS);
    };
    join(one_way(TO_LEGACY), one_way(TO_MODERN)).await;
    // Its own copies do not come back to it on xivo.
    let all = u64::from(EVENTS);
    bridge.counts("to_legacy", &[("received", all), ("echoes", 0), ("acked", all)]).await;
    let (to_legacy, to_modern) = bridge.stop().await;
    assert_eq!((&to_legacy["published"], &to_modern["published"]), (&EVENTS.into(), &EVENTS.into()));
}
