//! What the bridge sent does not come back through it, and bridges side by side do not play ping-pong.

use serde_json::{Value, json};

use super::harness::{ORIGIN, Tap, World, json_of, mark, only_the_mark};

async fn came(tap: &mut Tap) -> (Value, Option<String>) {
    let delivery = tap.next().await;
    (json_of(&delivery)["data"].clone(), mark(&delivery))
}

fn held(number: u32) -> String {
    json!({"name": "call_held", "data": number}).to_string()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_event_comes_out_once_and_never_back() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "all", "--status-interval", "1"]).start().await;
    let mut cti = world.client.tap(&[("xivo-cti", "call_held"), ("xivo-cti", "call_form_result")]).await;
    let mut xivo = world.client.tap(&[("xivo", "#")]).await;
    let own = Some(ORIGIN.to_owned());

    // Each queue is worked through in order, so what comes later proves that nothing came before.
    world.client.publish("xivo", "calls.hold.created", held(1)).await;
    assert_eq!(came(&mut cti).await, (json!(1), own.clone()));
    world.client.publish_legacy(&json!({"name": "call_form_result", "data": 2})).await;
    assert_eq!(came(&mut xivo).await, (json!(1), None));
    assert_eq!(came(&mut xivo).await, (json!(2), own.clone()));
    // And the other way with the same event.
    world.client.publish_legacy(&json!({"name": "call_held", "data": 3})).await;
    assert_eq!(came(&mut xivo).await, (json!(3), own.clone()));
    world.client.publish("xivo", "calls.hold.created", held(4)).await;
    assert_eq!(came(&mut xivo).await, (json!(4), None));
    assert_eq!(came(&mut cti).await, (json!(2), None));
    assert_eq!(came(&mut cti).await, (json!(3), None));
    assert_eq!(came(&mut cti).await, (json!(4), own.clone()));

    // 2 and 3 did not come back on the modern side; on the legacy side 1 and 4 did, which are listened for here.
    bridge.counts("to_legacy", &[("received", 2), ("echoes", 0), ("acked", 2)]).await;
    bridge.counts("to_modern", &[("received", 4), ("echoes", 2), ("acked", 4)]).await;
    let (to_legacy, to_modern) = bridge.stop().await;
    for (counts, received) in [(to_legacy, 2), (to_modern, 4)] {
        assert_eq!((&counts["published"], &counts["received"]), (&json!(2), &json!(received)));
    }
    world.client.publish("xivo-cti", "call_held", "the end").await;
    assert_eq!(cti.next().await.data, b"the end");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn on_a_headers_exchange_as_well_nothing_comes_back() {
    let world = World::new().await;
    let mut bridge =
        world.bridge().args(["--modern-version", "23.01", "--status-interval", "1"]).start().await;
    let mut cti = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let mut modern = world.client.tap(&[("wazo-headers", "")]).await;
    for number in 0..3 {
        world.client.publish_legacy(&json!({"name": "call_form_result", "data": number})).await;
        assert_eq!(came(&mut modern).await, (json!(number), Some(ORIGIN.to_owned())));
    }
    world.client.publish("wazo-headers", "", held(3)).await;
    assert_eq!(came(&mut cti).await.0, 3);
    bridge.counts("to_legacy", &[("received", 1), ("echoes", 0), ("published", 1)]).await;
    let (to_legacy, _) = bridge.stop().await;
    assert_eq!(to_legacy["received"], 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_comes_back_past_the_filter_is_known_by_its_mark_and_a_start_closes_the_way_of_old() {
    let world = World::new().await;
    let setup = || world.bridge().args(["--status-interval", "1"]);
    let mut bridge = setup().start().await;
    let mut cti = world.client.tap(&[("xivo-cti", "call_held"), ("xivo-cti", "call_form_result")]).await;
    // As earlier versions bound it.
    world.client.bind("cti-bridge.modern", &[("xivo", "#")]).await;
    let form = json!({"name": "call_form_result", "data": {}});
    world.client.publish_legacy(&form).await;
    bridge.counts("to_legacy", &[("received", 1), ("echoes", 1), ("acked", 1)]).await;
    // Both ways lead to one queue, which gets what others publish once.
    world.client.publish("xivo", "calls.hold.created", held(1)).await;
    bridge.counts("to_legacy", &[("received", 2), ("echoes", 1), ("published", 1)]).await;
    // A mark of several is filtered by none.
    let passed = only_the_mark(&format!("other,{ORIGIN}"));
    world.client.publish_with("cti-bridge.modern.filter", "", passed, held(2).as_bytes()).await;
    bridge.counts("to_legacy", &[("received", 3), ("echoes", 2), ("published", 1)]).await;
    bridge.stop().await;

    let mut bridge = setup().start().await;
    world.client.publish_legacy(&form).await;
    bridge.counts("to_modern", &[("published", 1)]).await;
    world.client.publish("xivo", "calls.hold.created", held(3)).await;
    bridge.counts("to_legacy", &[("received", 1), ("echoes", 0), ("published", 1)]).await;
    bridge.stop().await;
    for event in
        [&form, &json!({"name": "call_held", "data": 1}), &form, &json!({"name": "call_held", "data": 3})]
    {
        assert_eq!(cti.event().await, *event);
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn who_listens_for_nothing_publishes_nothing_on_the_modern_side() {
    let world = World::new().await;
    let deaf = ["--legacy-event", "none", "--status-interval", "1"];
    let mut bridge = world.bridge().args(deaf).start().await;
    let mut cti = world.client.tap(&[("xivo-cti", "call_held"), ("xivo-cti", "call_form_result")]).await;
    let mut xivo = world.client.tap(&[("xivo", "#")]).await;
    let form = json!({"name": "call_form_result", "data": 1});
    world.client.publish_legacy(&form).await;
    world.client.publish("xivo", "calls.hold.created", held(2)).await;
    assert_eq!((came(&mut cti).await.0, came(&mut cti).await.0), (json!(1), json!(2)));
    bridge.counts("to_legacy", &[("received", 1), ("published", 1), ("acked", 1)]).await;
    // Past its bindings as well.
    world.client.publish_with("", "cti-bridge.legacy", Default::default(), form.to_string().as_bytes()).await;
    bridge.counts("to_modern", &[("received", 1), ("published", 0), ("quarantined", 1), ("acked", 1)]).await;
    bridge.stop().await;
    assert_eq!(came(&mut xivo).await.0, 2);
    world.client.publish("xivo", "the.end", "the end").await;
    assert_eq!(xivo.next().await.data, b"the end");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_nobody_on_the_modern_side_has_a_queue_for_is_counted() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--status-interval", "1"]).start().await;
    world.client.publish_legacy(&json!({"name": "call_form_result", "data": 1})).await;
    bridge.counts("to_modern", &[("published", 1), ("unroutable", 1), ("acked", 1)]).await;
    let mut xivo = world.client.tap(&[("xivo", "#")]).await;
    world.client.publish_legacy(&json!({"name": "call_form_result", "data": 2})).await;
    assert_eq!(came(&mut xivo).await.0, 2);
    bridge.counts("to_modern", &[("published", 2), ("unroutable", 1), ("acked", 2)]).await;
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn two_bridges_with_two_ids_on_one_broker_do_not_loop() {
    let world = World::new().await;
    let start = async |id: &str| {
        let config = format!("bridge_id: {id}\nqueue_prefix: bridge-{id}\nlegacy: {{events: all}}\n");
        world.bridge().config(&config).args(["--status-interval", "1"]).start().await
    };
    let (mut a, mut b) = (start("a").await, start("b").await);
    let mut cti = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let mut xivo = world.client.tap(&[("xivo", "#")]).await;

    world
        .client
        .publish("xivo", "calls.hold.created", json!({"name": "call_held", "data": 1}).to_string())
        .await;
    // Each bridges it once, and each bridges the copy of the other back once; then both know them all.
    for bridge in [&a, &b] {
        bridge.counts("to_legacy", &[("received", 3), ("echoes", 2), ("acked", 3)]).await;
        bridge.counts("to_modern", &[("received", 2), ("echoes", 1), ("acked", 2)]).await;
    }
    let mut marks = Vec::new();
    for _ in 0..2 {
        marks.push(came(&mut cti).await.1.unwrap());
    }
    marks.sort();
    assert_eq!(marks, ["a", "b"]);
    assert_eq!(came(&mut xivo).await.1, None);
    let mut marks = Vec::new();
    for _ in 0..2 {
        marks.push(came(&mut xivo).await.1.unwrap());
    }
    marks.sort();
    assert_eq!(marks, ["a,b", "b,a"]);
    // Everything published was counted above, so with these totals nothing is under way any more.
    for bridge in [&mut a, &mut b] {
        let (to_legacy, to_modern) = bridge.stop().await;
        assert_eq!((&to_legacy["published"], &to_modern["published"]), (&json!(1), &json!(1)));
        assert_eq!((&to_legacy["received"], &to_modern["received"]), (&json!(3), &json!(2)));
    }
    for queue in ["bridge-a.legacy", "bridge-a.modern", "bridge-b.legacy", "bridge-b.modern"] {
        assert_eq!(world.client.depth(queue).await, 0, "{queue}");
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_event_that_passed_too_many_bridges_goes_no_further() {
    let world = World::new().await;
    let start = async |id: &str| {
        let config =
            format!("bridge_id: {id}\nqueue_prefix: bridge-{id}\nmax_hops: 1\nlegacy: {{events: all}}\n");
        world.bridge().config(&config).args(["--status-interval", "1"]).start().await
    };
    let ids = ["a", "b", "c"];
    let mut bridges = Vec::new();
    for id in ids {
        bridges.push(start(id).await);
    }
    world
        .client
        .publish("xivo", "calls.hold.created", json!({"name": "call_held", "data": 1}).to_string())
        .await;
    for bridge in &bridges {
        // Three copies of one hop on the legacy side, of which one is its own; six of two hops on the modern
        // side, of which four hold its own id and two are one hop too many.
        bridge.counts("to_modern", &[("received", 3), ("echoes", 1), ("published", 2), ("acked", 3)]).await;
        bridge.counts("to_legacy", &[("received", 7), ("echoes", 4), ("quarantined", 2), ("acked", 7)]).await;
    }
    for (id, bridge) in ids.iter().zip(&mut bridges) {
        let (to_legacy, to_modern) = bridge.stop().await;
        assert_eq!((&to_legacy["received"], &to_modern["received"]), (&json!(7), &json!(3)));
        let mut quarantine = world.client.tap_queue(&format!("bridge-{id}.quarantine")).await;
        for _ in 0..2 {
            let refused = quarantine.next().await;
            let headers = refused.properties.headers().clone().unwrap();
            let reason = headers.inner().get("cti-bridge-reason").and_then(super::harness::text);
            assert_eq!(reason.as_deref(), Some("too_many_hops"));
            // In quarantine it is no bridged event any more.
            assert_eq!(mark(&refused), None);
        }
    }
}
