//! Events with addresses of their own, rules of the site, and what is bound for them.

use lapin::BasicProperties;
use serde_json::{Value, json};

use super::harness::{ORIGIN, World, json_of, long, mark, only_the_mark, table};

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn ami_events_are_on_their_own_exchange_and_on_xivo_cti() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "QueueMemberStatus"]).start().await;
    let mut ami = world.client.tap(&[("xivo-ami", "#")]).await;
    let mut cti = world.client.tap(&[("xivo-cti", "QueueMemberStatus"), ("xivo-cti", "UserEvent")]).await;
    let legacy = |number: u32| json!({"name": "QueueMemberStatus", "data": {"Queue": "petak", "Paused": number.to_string()}});
    let modern = |number: u32| {
        let mut event = legacy(number);
        event["origin_uuid"] = json!(ORIGIN);
        event
    };
    world.client.publish("xivo", "ami.QueueMemberStatus", modern(1).to_string()).await;
    for tap in [&mut ami, &mut cti] {
        let copy = tap.next().await;
        assert_eq!(json_of(&copy), legacy(1));
        assert_eq!((copy.exchange.as_str(), copy.routing_key.as_str()), ("xivo-ami", "QueueMemberStatus"));
        assert_eq!(copy.properties, only_the_mark(ORIGIN));
    }
    let mut xivo = world.client.tap(&[("xivo", "ami.#")]).await;
    world.client.publish("xivo-ami", "QueueMemberStatus", legacy(2).to_string()).await;
    let copy = xivo.next().await;
    assert_eq!((json_of(&copy), copy.routing_key.as_str()), (modern(2), "ami.QueueMemberStatus"));
    // One that is not listened for is seen by old programs and by nobody else.
    let other = json!({"name": "UserEvent", "data": {}});
    world.client.publish("xivo-ami", "UserEvent", other.to_string()).await;
    world.client.publish("xivo-ami", "QueueMemberStatus", legacy(3).to_string()).await;
    assert_eq!(xivo.event().await, modern(3));
    for expected in [legacy(2), other, legacy(3)] {
        assert_eq!(cti.event().await, expected);
        assert_eq!(ami.event().await, expected);
    }
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn status_events_are_on_the_exchange_of_their_time_too() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "agent_status_update"]).start().await;
    let mut status = world.client.tap(&[("xivo-status-updates", "status.agent")]).await;
    let mut cti = world.client.tap(&[("xivo-cti", "agent_status_update")]).await;
    let event = |number: u32| json!({"name": "agent_status_update", "data": {"agent_id": number, "status": "logged_in"}});
    world.client.publish("xivo", "status.agent", event(1).to_string()).await;
    assert_eq!(status.event().await, event(1));
    assert_eq!(cti.event().await, event(1));
    // Both are listened to; an event that somebody sends on one of them comes once.
    let mut xivo = world.client.tap(&[("xivo", "status.#")]).await;
    world.client.publish("xivo-status-updates", "status.agent", event(2).to_string()).await;
    world.client.publish("xivo-cti", "agent_status_update", event(3).to_string()).await;
    for number in [2, 3] {
        let copy = xivo.event().await;
        assert_eq!(copy["data"], event(number)["data"]);
        assert_eq!(copy["required_acl"], "events.statuses.agents");
    }
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn deleted_status_events_are_rebuilt_from_their_successor() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let names = ["chatd_presence_updated", "user_status_update", "endpoint_status_update"];
    let mut cti = world.client.tap(&names.map(|name| ("xivo-cti", name))).await;
    let mut status =
        world.client.tap(&["status.user", "status.endpoint"].map(|key| ("xivo-status-updates", key))).await;
    let uuid = "8e58d2a7-cfed-4c2e-ac72-14e0b5c26dc2";
    let presence = json!({"name": "chatd_presence_updated", "origin_uuid": ORIGIN,
        "required_acl": format!("events.chatd.users.{uuid}.presences.updated"),
        "data": {"uuid": uuid, "tenant_uuid": ORIGIN, "state": "invisible", "status": null, "sessions": [],
            "lines": [{"id": 67, "state": "talking"}, {"id": 68, "state": "ringing"}]}});
    world
        .client
        .publish("xivo", &format!("chatd.users.{uuid}.presences.updated"), presence.to_string())
        .await;
    let user = json!({"name": "user_status_update", "data": {"user_uuid": uuid, "status": "disconnected"}});
    let endpoint = |id: u32, status: u32| json!({"name": "endpoint_status_update", "data": {"endpoint_id": id, "status": status}});
    let mut on_cti = Vec::new();
    for _ in 0..4 {
        on_cti.push(cti.event().await);
    }
    let same = json!({"name": "chatd_presence_updated", "data": presence["data"]});
    for event in [&same, &user, &endpoint(67, 1), &endpoint(68, 8)] {
        assert!(on_cti.contains(event), "{event} is not among {on_cti:?}");
    }
    let mut on_status = Vec::new();
    for _ in 0..3 {
        on_status.push(status.event().await);
    }
    for event in [&user, &endpoint(67, 1), &endpoint(68, 8)] {
        assert!(on_status.contains(event), "{event} is not among {on_status:?}");
    }

    // One that cannot be rebuilt whole is not sent in part.
    let mut broken = presence.clone();
    broken["data"]["lines"][1]["state"] = json!("no such state");
    world.client.publish("xivo", "chatd.users.x.presences.updated", broken.to_string()).await;
    world.client.publish("xivo", "a", json!({"name": "chatd_presence_updated_no_more"}).to_string()).await;
    let mut quarantine = world.client.tap_queue("cti-bridge.quarantine").await;
    assert_eq!(quarantine.event().await, broken);
    let (to_legacy, _) = bridge.stop().await;
    assert_eq!(to_legacy["quarantined"], 1);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn names_are_bound_when_listened_for_and_unbound_when_no_more() {
    let world = World::new().await;
    let listening = async |events: &str| world.bridge().args(["--legacy-event", events]).start().await;
    let held = |number: u32| json!({"name": "call_held", "data": {"call_id": number}});
    let form = |number: u32| json!({"name": "call_form_result", "data": number});

    let mut bridge = listening("call_held,call_resumed").await;
    let mut tap = world.client.tap(&[("xivo", "#")]).await;
    world.client.publish_legacy(&held(1)).await;
    assert_eq!(tap.event().await["data"]["call_id"], 1);
    bridge.stop().await;

    let mut bridge = listening("call_resumed").await;
    world.client.publish_legacy(&held(2)).await;
    world.client.publish_legacy(&form(3)).await;
    assert_eq!(tap.event().await["data"], 3);
    let (_, to_modern) = bridge.stop().await;
    // It did not even get as far as the queue.
    assert_eq!(to_modern["received"], 1);

    let mut bridge = listening("all").await;
    world.client.publish_legacy(&held(4)).await;
    assert_eq!(tap.event().await["data"]["call_id"], 4);
    bridge.stop().await;
    let mut bridge = world.bridge().start().await;
    world.client.publish_legacy(&held(5)).await;
    world.client.publish_legacy(&form(6)).await;
    assert_eq!(tap.event().await["data"], 6);
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_unknown_name_to_listen_for_is_a_mistake_with_a_suggestion() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "call_heldd"]).spawn();
    assert_eq!(bridge.exit_code().await, Some(78));
    assert!(
        bridge.output().contains("call_heldd") && bridge.output().contains("`call_held`"),
        "{}",
        bridge.output()
    );
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_mapping_file_of_the_site_takes_the_place_of_a_rule() {
    let world = World::new().await;
    world.file(
        "mappings/site.yaml",
        r#"
- event: call_held
  source: this site
  modern:
    name: line_parked
    routing_key: site.{call_id}.parked
    required_acl: events.site.{call_id}
    data: {line: call_id}
- event: site_event
  source: this site
  legacy: {listen: true}
  modern: {routing_key: site.event}
"#,
    );
    let directory = world.directory().join("mappings");
    let mut bridge = world
        .bridge()
        .args(["--legacy-event", "call_held,call_resumed", "--mappings", directory.to_str().unwrap()])
        .start()
        .await;
    let mut xivo = world.client.tap(&[("xivo", "#")]).await;
    world.client.publish_legacy(&json!({"name": "call_held", "data": {"call_id": "7"}})).await;
    world.client.publish_legacy(&json!({"name": "site_event", "data": {}})).await;
    world.client.publish_legacy(&json!({"name": "call_resumed", "data": {"call_id": "8"}})).await;
    let mut keys = Vec::new();
    for _ in 0..3 {
        let copy = xivo.next().await;
        keys.push((copy.routing_key.to_string(), json_of(&copy)["name"].as_str().unwrap().to_owned()));
    }
    let expected = [
        ("site.7.parked", "line_parked"),
        ("site.event", "site_event"),
        ("calls.hold.deleted", "call_resumed"),
    ];
    assert_eq!(keys, expected.map(|(key, name)| (key.to_owned(), name.to_owned())));
    let mut cti = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let event = json!({"name": "line_parked", "data": {"line": "9"}});
    world.client.publish("xivo", "site.9.parked", event.to_string()).await;
    assert_eq!(cti.event().await, json!({"name": "call_held", "data": {"call_id": "9"}}));
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_headers_exchange_can_be_the_modern_side() {
    let world = World::new().await;
    let config = "bus: {exchange_name: wazo-headers, exchange_type: headers}\nmodern: {version: \"19.05\"}\n";
    let mut bridge = world.bridge().config(config).start().await;
    let mut cti = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let event = json!({"name": "call_held", "origin_uuid": ORIGIN, "data": {"call_id": "1"}});
    let headers = table([("name", long("call_held")), ("origin_uuid", long(ORIGIN))]);
    let properties = BasicProperties::default().with_headers(headers);
    world.client.publish_with("wazo-headers", "", properties, event.to_string().as_bytes()).await;
    // One without headers as well: the binding asks for nothing.
    world.client.publish("wazo-headers", "any.key", event.to_string()).await;
    for _ in 0..2 {
        let copy = cti.next().await;
        assert_eq!(json_of(&copy), json!({"name": "call_held", "data": {"call_id": "1"}}));
        assert_eq!(mark(&copy).as_deref(), Some(ORIGIN));
    }

    // A consumer as the platform has them: all the headers it asks for must be there.
    let queue =
        world.client.channel.queue_declare("by-headers".into(), Default::default(), Default::default());
    let queue = queue.await.unwrap();
    let wanted = table([("x-match", long("all")), ("name", long("call_form_result"))]);
    world
        .client
        .channel
        .queue_bind(queue.name().clone(), "wazo-headers".into(), "".into(), Default::default(), wanted)
        .await
        .unwrap();
    let mut by_headers = world.client.tap_queue("by-headers").await;
    world.client.publish_legacy(&json!({"name": "call_form_result", "data": {"user_id": 1}})).await;
    let copy: Value = by_headers.event().await;
    assert_eq!(copy, json!({"name": "call_form_result", "origin_uuid": ORIGIN, "data": {"user_id": 1}}));
    bridge.stop().await;
}
