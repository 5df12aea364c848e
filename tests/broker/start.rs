//! What the bridge makes on a broker, and when it refuses to run.

use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, ExchangeDeleteOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};

use super::harness::{PASSWORD, STRANGER, World, rabbitmqctl};

fn listed(world: &World, arguments: &[&str]) -> Vec<Value> {
    let mut all = vec![arguments[0], "--formatter", "json", "--vhost", &world.vhost];
    all.extend(&arguments[1..]);
    let text = rabbitmqctl(&all);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn exchanges(world: &World) -> Vec<Value> {
    let columns = ["name", "type", "durable", "auto_delete", "internal", "arguments"];
    let mut all = listed(world, &[&["list_exchanges"], &columns[..]].concat());
    all.retain(|exchange| {
        let name = exchange["name"].as_str().unwrap();
        !name.is_empty() && !name.starts_with("amq.")
    });
    all.sort_by_key(|exchange| exchange["name"].to_string());
    all
}

fn bindings(world: &World) -> Vec<(String, String, String)> {
    let columns = ["list_bindings", "source_name", "destination_name", "routing_key"];
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut all: Vec<_> = listed(world, &columns)
        .iter()
        .map(|binding| {
            (text(&binding["source_name"]), text(&binding["destination_name"]), text(&binding["routing_key"]))
        })
        .filter(|(source, ..)| !source.is_empty())
        .collect();
    all.sort();
    all
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_empty_broker_has_all_that_is_needed_when_the_bridge_is_ready() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let found = (exchanges(&world), bindings(&world));
    let exchange = |name: &str, kind: &str| json!({"name": name, "type": kind, "durable": true, "auto_delete": false, "internal": false, "arguments": []});
    let with_alternate = |mut exchange: Value, name: &str| {
        exchange["arguments"] = json!([["alternate-exchange", "longstr", name]]);
        exchange
    };
    let expected = [
        with_alternate(exchange("cti-bridge.modern.filter", "headers"), "cti-bridge.modern.others"),
        exchange("cti-bridge.modern.others", "fanout"),
        exchange("xivo", "topic"),
        exchange("xivo-ami", "topic"),
        exchange("xivo-cti", "direct"),
        exchange("xivo-status-updates", "direct"),
    ];
    assert_eq!(found.0.iter().map(normal).collect::<Vec<_>>(), expected);
    let binding = |source: &str, destination: &str, key: &str| {
        (source.to_owned(), destination.to_owned(), key.to_owned())
    };
    let expected = [
        binding("cti-bridge.modern.filter", "cti-bridge.modern.filter", ""),
        binding("cti-bridge.modern.others", "cti-bridge.modern", ""),
        binding("xivo", "cti-bridge.modern.filter", "#"),
        binding("xivo-ami", "xivo-cti", "#"),
        binding("xivo-cti", "cti-bridge.legacy", "call_form_result"),
        binding("xivo-cti", "cti-bridge.legacy", "cti-bridge.probe"),
    ];
    assert_eq!(found.1, expected);
    let mut queues =
        listed(&world, &["list_queues", "name", "durable", "auto_delete", "exclusive", "type", "arguments"]);
    queues.sort_by_key(|queue| queue["name"].to_string());
    let names: Vec<_> = queues.iter().map(|queue| queue["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cti-bridge.legacy", "cti-bridge.modern", "cti-bridge.quarantine"]);
    for queue in &queues {
        assert_eq!((&queue["durable"], &queue["auto_delete"]), (&json!(true), &json!(false)), "{queue}");
        assert!(queue["type"].as_str().unwrap().contains("quorum"), "{queue}");
        let single = queue["arguments"].to_string().contains("x-single-active-consumer");
        assert_eq!(single, queue["name"] != "cti-bridge.quarantine", "{queue}");
    }
    bridge.stop().await;

    // The second start finds what it made, and an unchanged binding is not made twice.
    let mut again = world.bridge().start().await;
    assert_eq!((exchanges(&world), bindings(&world)), found);
    again.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn who_listens_for_nothing_has_the_queue_at_the_platforms_exchange_itself() {
    let world = World::new().await;
    let started = async |arguments: &[&str]| {
        world.bridge().args(arguments.iter().copied()).start().await.stop().await;
        let bound = bindings(&world)
            .into_iter()
            .filter(|(from, to, _)| from.starts_with("cti-bridge") || to.starts_with("cti-bridge"));
        bound.map(|(from, to, key)| format!("{from} → {to} {key}")).collect::<Vec<_>>()
    };
    let deaf = ["--legacy-event", "none"];
    assert_eq!(started(&deaf).await, ["xivo → cti-bridge.modern #"]);
    assert_eq!(exchanges(&world).len(), 4);
    let both = [
        "cti-bridge.modern.filter → cti-bridge.modern.filter ",
        "cti-bridge.modern.others → cti-bridge.modern ",
        "xivo → cti-bridge.modern.filter #",
        "xivo-cti → cti-bridge.legacy call_form_result",
        "xivo-cti → cti-bridge.legacy cti-bridge.probe",
    ];
    assert_eq!(started(&[]).await, both);
    // What is left of the filter leads nowhere.
    assert_eq!(started(&deaf).await, [both[0], "xivo → cti-bridge.modern #"]);
    assert_eq!(started(&[]).await, both);
}

/// A table of arguments is shown as an object or, by older versions and where it is empty, as a list.
fn normal(exchange: &Value) -> Value {
    let mut exchange = exchange.clone();
    if let Some(arguments) = exchange["arguments"].as_object() {
        let list = arguments.iter().map(|(name, value)| json!([name, "longstr", value]));
        exchange["arguments"] = list.collect();
    }
    exchange
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_exchange_of_another_kind_is_named_with_both_values_and_left_alone() {
    let world = World::new().await;
    let declare = async |kind: ExchangeKind, durable: bool| {
        let options = ExchangeDeclareOptions { durable, ..ExchangeDeclareOptions::default() };
        world
            .client
            .channel
            .exchange_declare("xivo".into(), kind, options, FieldTable::default())
            .await
            .unwrap();
    };
    for (kind, durable, attribute, found, wanted) in [
        (ExchangeKind::Fanout, false, "type", "fanout", "topic"),
        (ExchangeKind::Topic, false, "durable", "false", "true"),
    ] {
        declare(kind.clone(), durable).await;
        let mut bridge = world.bridge().spawn();
        assert_eq!(bridge.exit_code().await, Some(78));
        let words =
            format!("the exchange `xivo` exists with `{attribute}` `{found}`, and `{wanted}` is needed");
        assert!(bridge.output().contains(&words), "{}", bridge.output());
        assert!(bridge.said("ready").is_empty());
        // Still as it was.
        declare(kind, durable).await;
        world.client.channel.exchange_delete("xivo".into(), ExchangeDeleteOptions::default()).await.unwrap();
    }
    world.bridge().start().await.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_queue_of_another_type_is_named_and_left_alone() {
    let world = World::new().await;
    let classic = async || world.bridge().args(["--queue-type", "classic"]).start().await.stop().await;
    classic().await;
    let mut bridge = world.bridge().spawn();
    assert_eq!(bridge.exit_code().await, Some(78));
    // The broker names the first argument that differs, and that need not be the type.
    let named = ["legacy", "modern"]
        .map(|side| bridge.output().contains(&format!("the queue `cti-bridge.{side}` exists with `x-")));
    assert!(named.contains(&true), "{}", bridge.output());
    assert!(bridge.said("ready").is_empty());
    classic().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_wrong_password_is_refused_and_never_shown() {
    let world = World::new().await;
    let mut bridge = world
        .bridge()
        .args(["--log-level", "trace"])
        .env("CTI_BRIDGE_AMQP_URL", world.url_of("guest", "swordfish"))
        .spawn();
    assert_eq!(bridge.exit_code().await, Some(77));
    assert!(!bridge.output().contains("swordfish"), "{}", bridge.output());
    assert!(bridge.output().contains("guest@127.0.0.1"), "{}", bridge.output());
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_vhost_without_permission_or_that_is_not_there_is_refused() {
    let world = World::new().await;
    let missing = format!("{}-missing", world.url());
    for url in [world.url_of(STRANGER, PASSWORD), missing] {
        let mut bridge = world.bridge().env("CTI_BRIDGE_AMQP_URL", &url).spawn();
        assert_eq!(bridge.exit_code().await, Some(77), "{}", bridge.output());
        assert!(!bridge.output().contains(PASSWORD), "{}", bridge.output());
        assert!(bridge.said("ready").is_empty());
    }
}
