//! What an operator does about messages in quarantine, from the command line.

use serde_json::{Value, json};

use super::harness::{Ran, World, json_of, mark};

/// Puts three messages in quarantine: an event without a rule, one whose field is missing, and nonsense.
async fn filled() -> World {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "call_held,call_created"]).start().await;
    let unknown = json!({"name": "call_parked", "data": {"call_id": "1"}});
    let without_field = json!({"name": "call_created", "data": {}});
    world.client.publish("xivo-cti", "call_held", unknown.to_string()).await;
    world.client.publish("xivo-cti", "call_created", without_field.to_string()).await;
    world.client.publish("xivo-cti", "call_held", "nonsense\u{1b}[31m").await;
    let event = json!({"name": "call_held", "data": {"call_id": "2"}});
    let mut tap = world.client.tap(&[("xivo", "calls.hold.created")]).await;
    world.client.publish_legacy(&event).await;
    tap.next().await;
    let (_, to_modern) = bridge.stop().await;
    assert_eq!(to_modern["quarantined"], 3);
    world
}

async fn quarantine(world: &World, arguments: &[&str]) -> Ran {
    world.command(&[&["quarantine"], arguments].concat()).await
}

async fn listed(world: &World, arguments: &[&str]) -> Vec<Value> {
    let ran = quarantine(world, &[&["list", "--output", "json"], arguments].concat()).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    document["messages"].as_array().unwrap().clone()
}

fn reasons(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["reason"].as_str().unwrap()).collect()
}

/// A rule for the event that has none, as an operator would add it.
fn with_a_rule(world: &World) -> String {
    let rule = "- event: call_parked\n  source: this test\n  legacy: {listen: true}\n  modern: {routing_key: calls.call.parked}\n";
    world.file("mappings/parked.yaml", rule).parent().unwrap().display().to_string()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn looking_takes_nothing_away() {
    let world = filled().await;
    assert_eq!(reasons(&listed(&world, &[]).await), ["unknown_event", "bad_field", "not_json"]);
    assert_eq!(reasons(&listed(&world, &["--event", "call_created"]).await), ["bad_field"]);
    assert_eq!(reasons(&listed(&world, &["--older-than", "1h"]).await), [""; 0]);
    let messages = listed(&world, &["--newer-than", "1h", "--reason", "not_json,unknown_event"]).await;
    assert_eq!(reasons(&messages), ["unknown_event", "not_json"]);

    let id = messages[0]["id"].as_str().unwrap();
    let shown = quarantine(&world, &["show", id]).await;
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    assert!(shown.stdout.contains("call_parked"), "{}", shown.stdout);
    assert!(shown.stdout.contains("today       unknown_event"), "{}", shown.stdout);
    let rules = with_a_rule(&world);
    let shown = quarantine(&world, &["show", id, "--mappings", &rules]).await;
    assert!(shown.stdout.contains("would go to xivo  key calls.call.parked"), "{}", shown.stdout);
    let shown = quarantine(&world, &["show"]).await;
    assert!(!shown.stdout.contains('\u{1b}'), "what is shown cannot drive a terminal: {}", shown.stdout);
    let table = quarantine(&world, &["list", "--limit", "1"]).await.stdout;
    assert!(
        table.ends_with(
            "… and 2 more; `--limit 0` shows all\n3 messages: bad_field 1, not_json 1, unknown_event 1\n"
        ),
        "{table}"
    );

    assert_eq!(quarantine(&world, &["show", "00000000"]).await.code, Some(66));
    let none = quarantine(&world, &["list", "--event", "call_ended"]).await.stdout;
    assert_eq!(none, "none of 3 messages in quarantine is meant\n");
    let misspelt = quarantine(&world, &["drop", "--reason", "not_jsn", "--approve"]).await;
    assert_eq!(misspelt.code, Some(64));
    assert!(misspelt.stderr.contains("did you mean `not_json`?"), "{}", misspelt.stderr);
    assert_eq!(listed(&world, &[]).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_retry_publishes_by_todays_rules_and_keeps_what_still_fails() {
    let world = filled().await;
    let rules = with_a_rule(&world);
    let retry = [
        "retry",
        "--all",
        "--approve",
        "--output",
        "json",
        "--legacy-event",
        "call_created",
        "--mappings",
        &rules,
    ];

    let mut tap = world.client.tap(&[("xivo", "calls.call.parked")]).await;
    let ran = quarantine(&world, &retry).await;
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((ran.code, &document["retried"]), (Some(1), &json!(1)), "{}", ran.stderr);
    assert_eq!(document["stay"], json!({"bad_field": 1, "not_json": 1}));
    let message = tap.next().await;
    assert_eq!(json_of(&message)["data"], json!({"call_id": "1"}));
    assert_eq!(mark(&message).as_deref(), Some(super::harness::ORIGIN));
    assert_eq!(reasons(&listed(&world, &[]).await), ["bad_field", "not_json"]);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_nobody_on_the_legacy_side_has_a_queue_for_stays() {
    let world = World::new().await;
    let mut bridge =
        world.bridge().args(["--unknown-events", "quarantine", "--status-interval", "1"]).start().await;
    let event = json!({"name": "call_parked", "data": {"call_id": "1"}});
    world.client.publish("xivo", "calls.call.parked", event.to_string()).await;
    bridge.counts("to_legacy", &[("quarantined", 1), ("acked", 1)]).await;
    bridge.stop().await;
    let ran = quarantine(&world, &["retry", "--reason", "unknown_event", "--approve"]).await;
    let told = "0 messages retried\nstay: 1 nobody_listens\n";
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), told), "{}", ran.stderr);

    let mut tap = world.client.tap(&[("xivo-cti", "call_parked")]).await;
    let ran = quarantine(&world, &["retry", "--reason", "unknown_event", "--approve"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1 message retried\n"), "{}", ran.stderr);
    assert_eq!(tap.event().await, event);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn dropping_takes_away_what_was_chosen_and_nothing_else() {
    let world = filled().await;
    let ran = quarantine(&world, &["drop", "--approve"]).await;
    assert_eq!(ran.code, Some(64), "everything is meant only when it is said");
    let ran = quarantine(&world, &["drop", "--reason", "not_json"]).await;
    assert_eq!(ran.code, Some(64), "nobody is there to approve");
    assert_eq!(listed(&world, &[]).await.len(), 3);

    let ran = quarantine(&world, &["drop", "--reason", "not_json", "--approve"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "1 message dropped\n"), "{}", ran.stderr);
    assert_eq!(reasons(&listed(&world, &[]).await), ["unknown_event", "bad_field"]);
    let ran = quarantine(&world, &["drop", "--all", "--approve"]).await;
    assert_eq!(ran.stdout, "2 messages dropped\n");
    assert_eq!(quarantine(&world, &["list"]).await.stdout, "nothing in quarantine\n");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn without_a_bridge_before_there_is_no_quarantine() {
    let world = World::new().await;
    let ran = quarantine(&world, &["list"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(66), ""));
    assert!(ran.stderr.contains("`cti-bridge.quarantine`"), "{}", ran.stderr);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_export_can_be_replayed_and_takes_nothing_away() {
    let world = filled().await;
    let file = world.file("out/here", "").with_file_name("quarantine.jsonl");
    let out = file.display().to_string();
    let ran = quarantine(&world, &["export", "--out", &out]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), ""), "{}", ran.stderr);
    assert_eq!(ran.stderr, "3 messages exported; they are still in quarantine\n");
    let written = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["queue"], "cti-bridge.quarantine");
    assert_eq!(lines[1]["body"], json!({"name": "call_parked", "data": {"call_id": "1"}}));
    assert_eq!((&lines[1]["exchange"], &lines[1]["routing_key"]), (&json!("xivo-cti"), &json!("call_held")));
    assert_eq!(lines[1]["quarantine"]["reason"], "unknown_event");
    assert_eq!(lines[2]["quarantine"]["direction"], "to_modern");
    // An escape character takes less as base64.
    assert_eq!(lines[3]["base64"], "bm9uc2Vuc2UbWzMxbQ==");
    assert_eq!(lines[4]["end"]["messages"], 3);
    assert_eq!(lines.len(), 5);

    let ran = quarantine(&world, &["export", "--out", &out]).await;
    assert_eq!(ran.code, Some(64));
    assert!(ran.stderr.contains("quarantine.jsonl exists"), "{}", ran.stderr);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written, "nothing is overwritten");
    let ran = quarantine(&world, &["export", "--reason", "bad_field"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (Some(0), 3), "{}", ran.stdout);

    let mut tap = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let ran = world.command(&["replay", &out, "--approve", "--no-wait"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(json_of(&tap.next().await)["name"], "call_parked");
    assert_eq!(tap.next().await.data, b"nonsense\x1b[31m");
    assert_eq!(listed(&world, &[]).await.len(), 3);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_flood_of_bad_messages_does_not_flood_the_log() {
    const FLOOD: u64 = 10_000;
    let world = World::new().await;
    let arguments = ["--legacy-event", "call_held", "--status-interval", "1"];
    let mut bridge = world.bridge().args(arguments).start().await;
    let mut confirms = Vec::new();
    for _ in 0..FLOOD {
        let properties = lapin::BasicProperties::default();
        confirms.push(world.client.send("xivo-cti", "call_held", properties, b"nonsense").await.unwrap());
    }
    for confirm in confirms {
        confirm.await.unwrap();
    }
    bridge.counts("to_modern", &[("quarantined", FLOOD), ("acked", FLOOD)]).await;
    // What is left unsaid is said with the next one or when nothing follows.
    let told = |bridge: &super::harness::Bridge| {
        let (first, more) = (bridge.said("to quarantine"), bridge.said("more to quarantine"));
        let figures = first.iter().map(|line| 1 + line["unsaid"].as_u64().unwrap());
        figures.chain(more.iter().map(|line| line["more"].as_u64().unwrap())).sum::<u64>()
    };
    super::harness::eventually("all is told", async || (told(&bridge) == FLOOD).then_some(())).await;
    let lines = bridge.said("to quarantine").len() + bridge.said("more to quarantine").len();
    let seconds = bridge.said("status").len();
    assert!(lines <= 2 + seconds / 10, "{lines} lines in about {seconds} s");
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_full_quarantine_loses_its_oldest_and_says_so_before() {
    let world = World::new().await;
    let config = "quarantine: {max_length: 3}\nintake: {max_bytes: 100000000}\n";
    let mut bridge = world.bridge().args(["--legacy-event", "call_held"]).config(config).start().await;
    for number in 0..5 {
        world.client.publish("xivo-cti", "call_held", format!("nonsense {number}")).await;
    }
    let filling = bridge.says("a queue is filling").await;
    assert_eq!((&filling["queue"], &filling["max_length"]), (&json!("cti-bridge.quarantine"), &json!(3)));
    bridge.stop().await;
    let ran = quarantine(&world, &["show", "--output", "json"]).await;
    let document: Value = serde_json::from_str(&ran.stdout).unwrap();
    let bodies = document["messages"].as_array().unwrap().iter().map(|message| message["body"].clone());
    assert_eq!(bodies.collect::<Vec<_>>(), ["nonsense 2", "nonsense 3", "nonsense 4"]);

    let mut other = world.bridge().args(["--legacy-event", "call_held"]).spawn();
    assert_eq!(other.exit_code().await, Some(78));
    assert!(other.output().contains("other bounds"), "{}", other.output());
}
