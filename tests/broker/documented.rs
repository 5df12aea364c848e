//! Every documented event, both ways, in the version of the platform in which it lived.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use lapin::BasicProperties;
use lapin::types::AMQPValue;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::harness::{ORIGIN, World, json_of, long, only_the_mark, table};

/// A line of the golden file. The events stay as they are written there.
#[derive(serde::Deserialize)]
struct Line {
    event: String,
    at: String,
    routing_key: String,
    required_acl: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, bool>,
    legacy: Box<RawValue>,
    modern: Box<RawValue>,
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn every_documented_event_passes_both_ways() {
    let mut by_version: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in include_str!("../golden/documented.jsonl").lines() {
        let line: Line = serde_json::from_str(line).unwrap();
        by_version.entry(line.at.clone()).or_default().push(line);
    }
    assert!(by_version.values().flatten().count() >= 59);
    join_all(by_version.iter().map(|(at, lines)| both_ways(at, lines))).await;
}

async fn both_ways(at: &str, lines: &[Line]) {
    let world = World::new().await;
    let mut setup = world.bridge().args(["--legacy-event", "all"]);
    if at != "19.05" {
        setup = setup.args(["--modern-version", at]);
    }
    let mut bridge = setup.start().await;

    let mut names: Vec<(&str, &str)> = lines.iter().map(|line| ("xivo-cti", line.event.as_str())).collect();
    names.dedup();
    let mut xivo_cti = world.client.tap(&names).await;
    for Line { event, routing_key, legacy, modern, .. } in lines {
        let properties = BasicProperties::default()
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_delivery_mode(2)
            .with_headers(table([("name", long(event)), ("required_acl", long("events.x"))]));
        world.client.publish_with("xivo", routing_key, properties, modern.get().as_bytes()).await;
        let copy = xivo_cti.next().await;
        assert_eq!(json_of(&copy), serde_json::from_str::<Value>(legacy.get()).unwrap(), "{at} {event}");
        assert_eq!(copy.routing_key.as_str(), event);
        // Its exchange is the one it was published on, and from there a binding leads to xivo-cti.
        assert_eq!(copy.exchange.as_str(), legacy_exchange(event));
        assert_eq!(copy.properties, only_the_mark(ORIGIN), "{at} {event}");
        assert!(copy.data.is_ascii() && copy.data.starts_with(b"{\"name\": "), "{at} {event}");
    }

    // From here on xivo-cti is only written to: what the bridge sent there came back to it as an echo.
    let mut xivo = world.client.tap(&[("xivo", "#")]).await;
    for line @ Line { event, routing_key, legacy, modern, .. } in lines {
        world.client.publish(legacy_exchange(event), event, legacy.get()).await;
        let copy = xivo.next().await;
        let mut expected: Value = serde_json::from_str(modern.get()).unwrap();
        expected["origin_uuid"] = json!(ORIGIN);
        assert_eq!(json_of(&copy), expected, "{at} {event}");
        assert_eq!((copy.exchange.as_str(), copy.routing_key.as_str()), ("xivo", routing_key.as_str()));
        assert_eq!(copy.properties, modern_properties(line), "{at} {event}");
    }
    let (to_legacy, to_modern) = bridge.stop().await;
    for counts in [to_legacy, to_modern] {
        assert_eq!(counts["quarantined"], 0, "{at}");
    }
    assert_eq!(world.client.depth("cti-bridge.quarantine").await, 0, "{at}");
}

/// AMI events had an exchange of their own.
fn legacy_exchange(event: &str) -> &'static str {
    if event == "QueueMemberStatus" { "xivo-ami" } else { "xivo-cti" }
}

fn modern_properties(line: &Line) -> BasicProperties {
    let mut headers =
        table([("name", long(&line.event)), ("origin_uuid", long(ORIGIN)), ("cti-bridge", long(ORIGIN))]);
    if let Some(acl) = &line.required_acl {
        headers.insert("required_acl".into(), long(acl));
    }
    for (name, flag) in &line.headers {
        headers.insert(name.as_str().into(), AMQPValue::Boolean(*flag));
    }
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn data_comes_out_as_it_was_written() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let data = r#"{"b":1.0,"a":123456789012345678901234567890,"a":1E5,"s":"\ud800 \/ \u00e9","n":[null,-0]}"#;

    let mut xivo_cti = world.client.tap(&[("xivo-cti", "anything_new")]).await;
    let modern = format!(r#"{{"origin_uuid":"u","data":{data},"extra":[1],"name":"anything_new"}}"#);
    world.client.publish("xivo", "some.key", modern).await;
    let expected = format!(r#"{{"name": "anything_new", "data": {data}}}"#);
    assert_eq!(String::from_utf8(xivo_cti.next().await.data).unwrap(), expected);

    let mut xivo = world.client.tap(&[("xivo", "call_form_result")]).await;
    let legacy = format!(r#"{{"data":{data},"name":"call_form_result"}}"#);
    world.client.publish("xivo-cti", "call_form_result", legacy).await;
    let expected = format!(r#"{{"name": "call_form_result", "origin_uuid": "{ORIGIN}", "data": {data}}}"#);
    assert_eq!(String::from_utf8(xivo.next().await.data).unwrap(), expected);
    bridge.stop().await;
}
