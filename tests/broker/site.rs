//! What is seen of a real broker, by each source, and what the doctor makes of it.
//! Needs the management plugin: `scripts/with-broker --plugins rabbitmq_management`.

use std::process::{Command, Output, Stdio};

use cti_bridge::cli::{BrokerFrom, SiteFrom, Sources};
use cti_bridge::commands::Failure;
use cti_bridge::commands::site::observe;
use cti_bridge::core::site::{Aspect, Site};
use cti_bridge::exit_code::Exit;
use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Consumer, ExchangeKind};
use serde_json::Value;

use super::harness::{
    PASSWORD, STRANGER, World, eventually, lists, long, management_url, rabbitmqctl, rabbitmqctl_meanwhile,
    table,
};

fn look(world: &World, sources: Sources) -> Result<Site, Failure> {
    let config = world.file("look.yml", "");
    let vhost = sources.vhost.clone().or_else(|| Some(world.vhost.clone()));
    let broker = BrokerFrom { config: Some(config), ..BrokerFrom::default() };
    observe(&SiteFrom { sources: Sources { vhost, ..sources }, broker })
}

fn live(world: &World) -> Site {
    let url = Some(management_url());
    look(world, Sources { management_url: url, ..Sources::default() }).unwrap()
}

/// A topic and a headers exchange, a durable queue with arguments of every kind, and an exclusive one with a consumer,
/// which ends when it is dropped.
async fn furnish(world: &World) -> Consumer {
    let channel = &world.client.channel;
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    let none = FieldTable::default;
    channel.exchange_declare("xivo".into(), ExchangeKind::Topic, durable, none()).await.unwrap();
    let alternate = table([("alternate-exchange", long("amq.fanout"))]);
    channel.exchange_declare("wazo-headers".into(), ExchangeKind::Headers, durable, alternate).await.unwrap();
    channel
        .exchange_bind("wazo-headers".into(), "xivo".into(), "#".into(), Default::default(), none())
        .await
        .unwrap();
    let list = AMQPValue::FieldArray(vec![long("a"), long("b"), AMQPValue::LongLongInt(7)].into());
    let arguments = table([
        ("x-queue-type", long("classic")),
        ("x-max-length", AMQPValue::LongInt(10)),
        ("x-list", list),
        ("x-table", AMQPValue::FieldTable(table([("k", long("é"))]))),
        ("x-void", AMQPValue::Void),
        ("x-flag", AMQPValue::Boolean(true)),
    ]);
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("popup".into(), options, arguments.clone()).await.unwrap();
    let bind = QueueBindOptions::default();
    channel.queue_bind("popup".into(), "xivo".into(), "calls.é.#".into(), bind, none()).await.unwrap();
    channel.queue_bind("popup".into(), "wazo-headers".into(), "".into(), bind, arguments).await.unwrap();
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("own".into(), options, none()).await.unwrap();
    channel.queue_bind("own".into(), "xivo".into(), "#".into(), bind, none()).await.unwrap();
    let options = BasicConsumeOptions::default();
    channel.basic_consume("own".into(), "tag".into(), options, none()).await.unwrap()
}

/// Without what only one of the sources shows: statistics, and the exchanges that every broker has.
fn comparable(mut site: Site) -> Site {
    site.exchanges.retain(|exchange| !exchange.name.starts_with("amq."));
    for exchange in &mut site.exchanges {
        exchange.published = None;
        exchange.internal = None;
    }
    for queue in &mut site.queues {
        (queue.messages, queue.consumers) = (None, None);
    }
    site
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn every_source_shows_the_same_site() {
    // The lists of channels and connections ask those of every vhost, and fail where one is busy for long.
    let world = World::alone().await;
    let _consumer = furnish(&world).await;
    // The API learns of consumers and connections some seconds later than the broker.
    let by_api = eventually("the API shows the consumer", async || {
        let site = live(&world);
        let exclusive = site.queue("own").and_then(|queue| queue.exclusive);
        (site.consumers.len() == 1 && site.connections.len() == 1 && exclusive == Some(true)).then_some(site)
    })
    .await;
    assert_eq!(by_api.gaps, []);
    assert!(by_api.broker_version.is_some());
    assert_eq!(by_api.consumers[0].connection.as_ref(), Some(&by_api.connections[0].name));
    assert!(by_api.permissions.iter().any(|permission| permission.user == "guest"));

    let by_lists = look(&world, Sources { rabbitmqctl: lists(&world).await, ..Sources::default() }).unwrap();
    let (api, ctl) = (comparable(by_api.clone()), comparable(by_lists));
    assert_eq!(ctl.exchanges, api.exchanges);
    assert_eq!(ctl.queues, api.queues);
    assert_eq!(ctl.bindings, api.bindings);
    assert_eq!(ctl.consumers, api.consumers);
    assert_eq!(ctl.connections, api.connections);
    assert_eq!(ctl.permissions, api.permissions);

    let path = world.directory().join("definitions.json");
    rabbitmqctl_meanwhile(&["export_definitions", path.to_str().unwrap()]).await;
    let by_definitions = look(&world, Sources { definitions: vec![path], ..Sources::default() }).unwrap();
    let definitions = comparable(by_definitions.clone());
    assert_eq!(definitions.exchanges, api.exchanges);
    assert_eq!(
        definitions.queues.iter().collect::<Vec<_>>(),
        api.queue("popup").iter().copied().collect::<Vec<_>>()
    );
    assert!(
        api.bindings
            .iter()
            .filter(|binding| binding.key != "#")
            .all(|one| definitions.bindings.contains(one))
    );
    assert!(!definitions.shows(Aspect::Queues) && !definitions.shows(Aspect::Consumers));
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn ten_thousand_bindings_are_seen() {
    let world = World::new().await;
    let _consumer = furnish(&world).await;
    let options = QueueBindOptions { nowait: true };
    for number in 0..10_000 {
        let key = format!("key.{number}");
        let channel = &world.client.channel;
        channel
            .queue_bind("popup".into(), "xivo".into(), key.into(), options, FieldTable::default())
            .await
            .unwrap();
    }
    // An answer to this comes after all of them.
    world.client.depth("popup").await;
    let keys = live(&world).bindings.into_iter().filter(|binding| binding.key.starts_with("key.")).count();
    assert_eq!(keys, 10_000);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn who_is_refused_is_told_so_and_nothing_is_reported() {
    let world = World::new().await;
    let at = |user: &str| Some(management_url().replace("guest:guest@", user));
    let failed = |management_url, vhost: Option<&str>| {
        let vhost = vhost.map(str::to_owned);
        let failure = look(&world, Sources { management_url, vhost, ..Sources::default() }).unwrap_err();
        assert!(!failure.to_string().contains(PASSWORD), "{failure}");
        failure.exit
    };
    assert_eq!(failed(at(&format!("{STRANGER}:{PASSWORD}@")), None), Exit::AccessRefused);
    assert_eq!(failed(at(&format!("guest:{PASSWORD}@")), None), Exit::AccessRefused);
    assert_eq!(failed(at("guest:guest@"), Some("no-such-vhost")), Exit::NoInput);
    // On the port of AMQP something else answers.
    let port = std::env::var("BROKER_PORT").unwrap();
    assert_eq!(failed(Some(format!("http://guest:guest@127.0.0.1:{port}")), None), Exit::BadInput);
}

/// Runs the doctor with this broker's addresses in its environment.
fn doctor(world: &World, url: &str, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cti-bridge"))
        .env_clear()
        .env("CTI_BRIDGE_AMQP_URL", url)
        .env("CTI_BRIDGE_MANAGEMENT_URL", management_url())
        .env("CTI_BRIDGE_CONFIG", world.file("doctor.yml", ""))
        .arg("doctor")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The state and the finding of the checks of one topic.
fn checks(output: &Output, topic: &str) -> Vec<(String, String)> {
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let text = |check: &Value, field: &str| check[field].as_str().unwrap().to_owned();
    let checks = document["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["topic"] == topic)
        .map(|check| (text(check, "state"), text(check, "finding")))
        .collect()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_doctor_changes_nothing_and_names_what_is_wrong() {
    let world = World::new().await;
    let json = ["--output", "json"];
    let listed = || {
        ["list_exchanges", "list_queues", "list_bindings"]
            .map(|list| rabbitmqctl(&[list, "-p", &world.vhost]))
    };
    let before = listed();
    let output = doctor(&world, &world.url(), &json);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(checks(&output, "exchange")[0].0, "warn", "no platform has run here");
    assert_eq!(checks(&output, "reach")[0].0, "ok");
    assert_eq!(checks(&output, "rights")[0].0, "ok");
    assert_eq!(checks(&output, "alarms")[0].0, "ok");
    assert_eq!(listed(), before);

    let transient = ExchangeDeclareOptions::default();
    let channel = &world.client.channel;
    channel
        .exchange_declare("xivo".into(), ExchangeKind::Fanout, transient, FieldTable::default())
        .await
        .unwrap();
    let output = doctor(&world, &world.url(), &json);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let (state, finding) = checks(&output, "exchange").remove(0);
    assert_eq!(state, "fail");
    assert!(finding.contains("`type` is `fanout`, and `topic` is needed"), "{finding}");
    channel.exchange_delete("xivo".into(), Default::default()).await.unwrap();
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_doctor_tells_the_bridge_from_a_foreign_consumer() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let json = ["--output", "json"];
    let queue = async |name: &str, words: &str| {
        eventually(words, async || {
            let found = checks(&doctor(&world, &world.url(), &json), "queue");
            found.into_iter().find(|(_, finding)| finding.contains(name) && finding.contains(words))
        })
        .await
    };
    assert_eq!(queue("cti-bridge.modern", "a bridge consumes from it").await.0, "ok");
    let thief = world.client.tap_queue("cti-bridge.modern").await;
    assert_eq!(queue("cti-bridge.modern", "has a foreign consumer").await.0, "fail");
    drop(thief);
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_doctor_is_refused_where_the_bridge_would_be() {
    let world = World::new().await;
    let output = doctor(&world, &world.url_of(STRANGER, PASSWORD), &[]);
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(77), &b""[..]), "{output:?}");
    // An account of little rights is told which it lacks.
    let output = doctor(&world, &world.url_of(super::harness::NARROW, PASSWORD), &["--output", "json"]);
    assert_eq!(checks(&output, "rights")[0].0, "ok", "the README says what an account needs");
}
