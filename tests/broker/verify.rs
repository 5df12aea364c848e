//! `verify` on a live broker: it finds nothing wrong with a healthy bridge, finds each defect there is, and nobody else
//! gets to see what it sends.

use std::path::Path;
use std::process::{Command, Stdio};

use lapin::ExchangeKind;
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    ExchangeUnbindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use super::harness::{ORIGIN, World, eventually, rabbitmqctl_meanwhile, table};

/// What a run of `verify` came to.
struct Verified {
    code: i32,
    report: Value,
}

impl Verified {
    /// The codes of the defects, each once.
    fn defects(&self) -> Vec<&str> {
        self.report["defects"].as_array().unwrap().iter().map(|d| d["defect"].as_str().unwrap()).collect()
    }

    fn message(&self, defect: &str) -> &str {
        let defects = self.report["defects"].as_array().unwrap();
        let found = defects.iter().find(|known| known["defect"] == defect);
        found.unwrap_or_else(|| panic!("no `{defect}`: {:#}", self.report))["message"].as_str().unwrap()
    }

    /// The checks of an area with this verdict.
    fn checks(&self, area: &str, verdict: &str) -> Vec<&Value> {
        let checks = self.report["checks"].as_array().unwrap();
        checks.iter().filter(|check| check["area"] == area && check["verdict"] == verdict).collect()
    }
}

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cti-bridge"));
    command
        .env_clear()
        .env("CTI_BRIDGE_AMQP_URL", world.url())
        .arg("verify")
        .args(["--config", world.file("verify.yml", "").to_str().unwrap()])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// Runs `verify` to its end while the test goes on.
async fn verify(world: &World, arguments: &[&str]) -> Verified {
    let mut command = command(world, &[&["--output", "json"], arguments].concat());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    Verified { code: output.status.code().unwrap(), report }
}

async fn list(world: &World, what: &str, columns: &[&str]) -> std::path::PathBuf {
    let text =
        rabbitmqctl_meanwhile(&[&[what, "--formatter", "json", "--vhost", &world.vhost], columns].concat())
            .await;
    world.file(&format!("{what}.json"), &text)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_healthy_bridge_on_an_empty_site_has_nothing_wrong_with_it() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "all"]).start().await;
    let junit = world.directory().join("verify.xml");
    let verified = verify(&world, &["--legacy-event", "all", "--junit", text(&junit)]).await;
    assert_eq!((verified.code, verified.defects()), (0, vec![]), "{:#}", verified.report);
    assert_eq!(verified.report["bridge"]["id"], ORIGIN);
    assert_eq!(verified.report["not_listened_for"], 0);
    // Every example of every rule that is in force, both ways.
    for (area, least) in [("to_legacy", 57), ("to_modern", 55), ("paths", 6), ("exchanges", 4), ("bridge", 3)]
    {
        let passed = verified.checks(area, "passed").len();
        assert!(passed >= least, "{area}: {passed}");
        let latencies = &verified.report["latency_us"][area];
        assert!(latencies.is_null() || latencies["p50"].as_u64() <= latencies["max"].as_u64(), "{latencies}");
    }
    // What AMQP does not show is not called proven, and only that.
    let unproven = verified.checks("bindings", "unproven");
    assert!(unproven.len() > 50 && verified.report["unproven"] == unproven.len(), "{:#}", verified.report);
    let suites = std::fs::read_to_string(&junit).unwrap();
    assert!(
        suites.contains(r#"failures="0""#) && suites.contains(r#"<testsuite name="to_modern""#),
        "{suites}"
    );

    let (to_legacy, to_modern) = bridge.stop().await;
    for counts in [to_legacy, to_modern] {
        assert_eq!((&counts["published"], &counts["quarantined"]), (&json!(0), &json!(0)), "{counts}");
        assert!(counts["probes"].as_u64().unwrap() > 50, "{counts}");
    }
    assert_eq!(world.client.depth("cti-bridge.quarantine").await, 0);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn bindings_are_proven_where_a_list_shows_them() {
    let world = World::new().await;
    let _bridge = world.bridge().start().await;
    let bindings = list(
        &world,
        "list_bindings",
        &["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"],
    )
    .await;
    let verified = verify(&world, &["--strict", "--rabbitmqctl", text(&bindings)]).await;
    assert_eq!((verified.code, &verified.report["unproven"]), (0, &json!(0)), "{:#}", verified.report);
    let verified = verify(&world, &["--strict"]).await;
    // The key of real events, and what leads the bridge's own away.
    assert_eq!((verified.code, &verified.report["unproven"]), (1, &json!(2)), "{:#}", verified.report);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_bridge_that_listens_for_nothing_is_proven_too() {
    let world = World::new().await;
    let deaf = ["--legacy-event", "none"];
    let mut bridge = world.bridge().args(deaf).start().await;
    let verified = verify(&world, &[&deaf[..], &["--strict"]].concat()).await;
    assert_eq!((verified.code, &verified.report["unproven"]), (0, &json!(0)), "{:#}", verified.report);
    let channel = &world.client.channel;
    // The bridge makes it again every ten seconds, and may be quicker.
    let mut missing = None;
    for _ in 0..10 {
        channel
            .queue_unbind("cti-bridge.modern".into(), "xivo".into(), "#".into(), FieldTable::default())
            .await
            .unwrap();
        let verified = verify(&world, &deaf).await;
        if verified.code == 1 {
            missing = Some(verified.message("binding_missing").to_owned());
            break;
        }
    }
    let words = "the binding from `xivo` with the key `#` to the queue `cti-bridge.modern` is missing";
    assert_eq!(missing.as_deref(), Some(words));
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn no_client_sees_an_event_that_never_was() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "all"]).start().await;
    // An old script for every name there is, and one for all AMI events.
    let documented = include_str!("../golden/documented.jsonl").lines();
    let names: Vec<String> = documented
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    let mut keys: Vec<(&str, &str)> = names.iter().map(|name| ("xivo-cti", name.as_str())).collect();
    keys.extend([("xivo-status-updates", "status.user"), ("xivo-status-updates", "status.agent")]);
    keys.dedup();
    let mut old = world.client.tap(&keys).await;
    let mut ami = world.client.tap(&[("xivo-ami", "#")]).await;
    let mut modern = world.client.tap(&[("xivo", "#")]).await;
    let verified = verify(&world, &["--legacy-event", "all"]).await;
    assert_eq!(verified.code, 0, "{:#}", verified.report);

    // Behind all that it sent comes a real event, and before that there was nothing for anybody.
    let last = json!({"name": "QueueMemberStatus", "data": {}, "origin_uuid": ORIGIN});
    world.client.publish("xivo", "ami.QueueMemberStatus", last.to_string()).await;
    assert_eq!(old.event().await["name"], "QueueMemberStatus");
    for tap in [&mut ami, &mut modern] {
        let mut probes = 0;
        loop {
            let delivery = tap.next().await;
            let event: Value = serde_json::from_slice(&delivery.data).unwrap();
            if event["name"] == "QueueMemberStatus" {
                break;
            }
            // The few that go over an exchange with wildcards say nothing to anybody.
            assert_eq!(event["name"], "cti-bridge-probe");
            assert!(event.get("required_acl").is_none());
            assert!(delivery.routing_key.as_str().starts_with("cti-bridge.probe"), "{delivery:?}");
            probes += 1;
        }
        assert!(probes <= 8, "{probes}");
    }
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_bridge_that_is_down_is_told_as_that() {
    let world = World::new().await;
    let verified = verify(&world, &["--patience", "1"]).await;
    assert_eq!((verified.code, verified.defects()), (75, vec!["queue_missing", "queue_missing"]));
    assert!(
        verified
            .message("queue_missing")
            .starts_with("the bridge is down: there is no queue `cti-bridge.modern`")
    );

    world.bridge().start().await.stop().await;
    world.client.publish("xivo", "a", json!({"name": "waits"}).to_string()).await;
    let verified = verify(&world, &["--patience", "1"]).await;
    assert_eq!((verified.code, verified.defects()), (75, vec!["bridge_down", "bridge_down"]));
    assert_eq!(
        verified.message("bridge_down"),
        "the bridge is down: nobody consumes from `cti-bridge.modern`, and 1 messages wait there"
    );
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_bridge_that_comes_up_late_is_waited_for() {
    let world = World::new().await;
    let (verified, mut bridge) = tokio::join!(verify(&world, &[]), async {
        // Not before the other one has asked: what it makes is there then, and nobody consumes.
        world.bridge().start().await
    });
    assert_eq!(verified.code, 0, "{:#}", verified.report);
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_bridge_that_answers_no_probes_is_told_as_that() {
    let world = World::new().await;
    let mut bridge = world.bridge().config("probes: false").start().await;
    let verified = verify(&world, &["--patience", "1"]).await;
    assert_eq!(
        (verified.code, verified.defects()),
        (75, vec!["no_answer", "no_answer"]),
        "{:#}",
        verified.report
    );
    let (to_legacy, to_modern) = bridge.stop().await;
    for counts in [to_legacy, to_modern] {
        assert_eq!((&counts["dropped"], &counts["probes"]), (&json!(1), &json!(0)), "{counts}");
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_broken_rule_is_told_with_the_exact_difference() {
    let world = World::new().await;
    let rules = world.file(
        "broken/calls.yaml",
        r#"
- event: call_created
  source: a mistake
  modern:
    routing_key: calls.call.creatid
    required_acl: events.calls.{user_uuid}
- event: call_form_result
  source: a mistake
  legacy: {listen: true}
  modern: {routing_key: call_form_resutl}
- event: call_ended
  source: a mistake
  modern:
    routing_key: calls.call.ended
    required_acl: events.calls.{user_uuid}
    data: {call_id: id}
- event: relocate_ended
  source: a mistake
  legacy: {exchange: xivo-status-updates, routing_key: relocate}
  modern: {routing_key: calls.relocate.ended}
"#,
    );
    let listen = ["--legacy-event", "call_created"];
    let mut bridge = world
        .bridge()
        .args(listen)
        .args(["--mappings", rules.parent().unwrap().to_str().unwrap()])
        .start()
        .await;
    let verified = verify(&world, &listen).await;
    assert_eq!(verified.code, 1, "{:#}", verified.report);
    assert!(verified.defects().iter().all(|defect| *defect == "different"), "{:#}", verified.report);
    let failed = |area: &str| -> Vec<(String, String)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        verified
            .checks(area, "failed")
            .iter()
            .map(|check| (text(&check["name"]), text(&check["message"])))
            .collect()
    };
    let difference = |event: &str, message: &str| (event.to_owned(), message.to_owned());
    assert_eq!(
        failed("to_modern"),
        [
            difference(
                "call_form_result",
                "the routing key is `call_form_resutl`, and `call_form_result` was expected"
            ),
            difference(
                "call_created",
                "the routing key is `calls.call.creatid`, and `calls.call.created` was expected"
            ),
            difference(
                "relocate_ended",
                "it goes to quarantine with `not_listened_for`: came in under the routing key of another event, and is \
                 not listened for"
            ),
        ]
    );
    assert_eq!(
        failed("to_legacy"),
        [
            difference("call_ended", "`data.id` of the body is \"1455123422.8\", and was not expected"),
            difference(
                "relocate_ended",
                "the exchange is `xivo-status-updates`, and `xivo-cti` was expected"
            ),
        ]
    );
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn another_configuration_is_told_as_that() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--modern-version", "18.03"]).start().await;
    let verified = verify(&world, &["--bridge-id", "pbx-2", "--origin-uuid", ORIGIN]).await;
    assert_eq!(verified.code, 1);
    assert_eq!(
        verified.message("other_bridge"),
        "the running bridge has the version of the platform `18.03`, and `19.05` is configured"
    );
    assert!(
        verified.report.to_string().contains(&format!("bridge id `{ORIGIN}`, and `pbx-2` is configured"))
    );
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_binding_that_is_missing_is_named() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let channel = &world.client.channel;
    let none = FieldTable::default;
    let columns =
        ["source_name", "source_kind", "destination_name", "destination_kind", "routing_key", "arguments"];

    let ways = [("xivo", "cti-bridge.modern.filter"), ("xivo-ami", "xivo-cti")];
    for (source, destination) in ways {
        let words = format!(
            "the binding from `{source}` with the key `#` to the exchange `{destination}` is missing"
        );
        let unbound = async || {
            let unbind = ExchangeUnbindOptions::default();
            channel
                .exchange_unbind(destination.into(), source.into(), "#".into(), unbind, none())
                .await
                .unwrap();
            // Who knows the bridge's id knows of the mark too, by which nothing comes in.
            verify(&world, &["--origin-uuid", ORIGIN]).await
        };
        let mut verified = unbound().await;
        // The bridge makes it again every ten seconds, and may be quicker.
        for _ in 0..10 {
            if verified.code == 1 {
                break;
            }
            verified = unbound().await;
        }
        assert_eq!((verified.code, verified.message("binding_missing")), (1, words.as_str()));
        // What goes straight to the queue is as right as before.
        assert!(destination == "xivo-cti" || verified.checks("to_legacy", "failed").is_empty());
        let bind = lapin::options::ExchangeBindOptions::default();
        channel.exchange_bind(destination.into(), source.into(), "#".into(), bind, none()).await.unwrap();
    }

    let key = "call_form_result";
    // Awake, it would make the binding again before it is listed.
    bridge.signal("STOP");
    channel.queue_unbind("cti-bridge.legacy".into(), "xivo-cti".into(), key.into(), none()).await.unwrap();
    let bindings = list(&world, "list_bindings", &columns).await;
    bridge.signal("CONT");
    let verified = verify(&world, &["--rabbitmqctl", text(&bindings)]).await;
    let words = "the binding from `xivo-cti` with the key `call_form_result` to the queue `cti-bridge.legacy` is missing";
    assert_eq!((verified.code, verified.message("binding_missing")), (1, words));

    // As the upgrade to 15.01 leaves it: the exchange is made anew, and nothing is bound to it.
    channel.exchange_delete("xivo-cti".into(), ExchangeDeleteOptions::default()).await.unwrap();
    declare(&world, "xivo-cti", ExchangeKind::Direct).await;
    let verified = verify(&world, &[]).await;
    assert_eq!(verified.code, 1);
    let all = verified.report["defects"].to_string();
    let words = "the binding from `xivo-cti` with the key `cti-bridge.probe` to the queue `cti-bridge.legacy` is missing";
    assert!(all.contains(words), "{all}");
    bridge.stop().await;
}

async fn declare(world: &World, exchange: &str, kind: ExchangeKind) {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    world
        .client
        .channel
        .exchange_declare(exchange.into(), kind, options, FieldTable::default())
        .await
        .unwrap();
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_exchange_of_the_wrong_type_is_named_and_no_probe_goes_over_it() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    for (exchange, kind, needed) in
        [("xivo-cti", ExchangeKind::Fanout, "direct"), ("xivo", ExchangeKind::Direct, "topic")]
    {
        world
            .client
            .channel
            .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
            .await
            .unwrap();
        declare(&world, exchange, kind.clone()).await;
        let mut client = world.client.tap(&[(exchange, "cti-bridge.probe")]).await;
        let verified = verify(&world, &[]).await;
        assert_eq!(verified.code, 1);
        let found = if kind == ExchangeKind::Fanout { "fanout" } else { "direct" };
        assert_eq!(
            verified.message("wrong_exchange"),
            format!("the exchange `{exchange}` exists with `type` `{found}`, and `{needed}` is needed")
        );
        world.client.publish(exchange, "cti-bridge.probe", json!({"name": "the first"}).to_string()).await;
        assert_eq!(client.event().await["name"], "the first");
        world
            .client
            .channel
            .exchange_delete(exchange.into(), ExchangeDeleteOptions::default())
            .await
            .unwrap();
        let verified = verify(&world, &[]).await;
        assert_eq!(verified.message("exchange_missing"), format!("the exchange `{exchange}` is missing"));
        // As it was, but for the bindings.
        declare(
            &world,
            exchange,
            if needed == "direct" { ExchangeKind::Direct } else { ExchangeKind::Topic },
        )
        .await;
    }
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_second_bridge_is_named() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let mut second = world.bridge().config("{queue_prefix: other, bridge_id: another-bridge}").start().await;
    let verified = verify(&world, &[]).await;
    assert_eq!(verified.code, 1);
    assert_eq!(
        verified.message("second_bridge"),
        format!("a second bridge doubles every event: `{ORIGIN}` and `another-bridge` answer the same probe")
    );
    let directions: Vec<_> =
        verified.checks("paths", "failed").iter().map(|check| check["name"].clone()).collect();
    assert!(directions.contains(&json!("`xivo` → bridge → `xivo-cti`")), "{directions:?}");
    assert!(directions.contains(&json!("`xivo-cti` → bridge → `xivo`")), "{directions:?}");
    second.stop().await;

    // What a bridge left behind when it was stopped is not a bridge.
    let verified = verify(&world, &[]).await;
    assert_eq!((verified.code, verified.defects()), (0, vec![]));

    let mut twin = world.bridge().config("queue_prefix: twin").start().await;
    let verified = verify(&world, &[]).await;
    assert_eq!((verified.code, verified.defects()), (1, vec!["twice"]));
    assert!(verified.message("twice").contains("two bridges of the same id"), "{:#}", verified.report);
    twin.stop().await;

    // A standby is none: it has the same queues.
    let mut standby = world.bridge().start().await;
    let verified = verify(&world, &[]).await;
    assert_eq!((verified.code, verified.defects()), (0, vec![]));
    standby.stop().await;
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_foreign_consumer_is_named() {
    let world = World::new().await;
    world.bridge().start().await.stop().await;
    // It is there before the bridge, and so gets everything.
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let queue = "cti-bridge.modern";
    let thief =
        world.client.channel.basic_consume(queue.into(), "thief".into(), options, FieldTable::default());
    let thief = thief.await.unwrap();
    let mut bridge = world.bridge().start().await;
    let verified = verify(&world, &["--patience", "1"]).await;
    assert_eq!((verified.code, verified.defects()), (1, vec!["foreign_consumer"]), "{:#}", verified.report);
    assert_eq!(
        verified.message("foreign_consumer"),
        "a foreign consumer takes messages of the bridge from `cti-bridge.modern`: the bridge answers from its other \
         queue, and whoever consumes from this one does not"
    );
    // The other direction is as it should be.
    assert!(!verified.checks("to_modern", "passed").is_empty());
    assert!(verified.checks("to_modern", "failed").is_empty());

    let consumers =
        list(&world, "list_consumers", &["queue_name", "channel_pid", "consumer_tag", "ack_required"]).await;
    let verified = verify(&world, &["--patience", "1", "--rabbitmqctl", text(&consumers)]).await;
    assert_eq!(verified.code, 1);
    assert!(verified.message("foreign_consumer").contains("consumer `thief`"), "{:#}", verified.report);
    drop(thief);
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn probes_that_somebody_takes_now_and_then_are_told_as_lost() {
    let world = World::new().await;
    // Without the one consumer at a time that the bridge asks for: made by hand, as somebody might.
    for queue in ["cti-bridge.modern", "cti-bridge.legacy"] {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let arguments = table([
            ("x-queue-type", AMQPValue::LongString("classic".into())),
            ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ]);
        world.client.channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    }
    let mut bridge = world.bridge().args(["--queue-type", "classic", "--prefetch-count", "1"]).start().await;
    let take = async || {
        let options = BasicGetOptions { no_ack: true };
        world.client.channel.basic_get("cti-bridge.modern".into(), options).await.unwrap().is_some()
    };
    let lost = eventually("somebody takes some and not the last", async || {
        let running = verify(&world, &["--patience", "1"]);
        let mut running = std::pin::pin!(running);
        let verified = loop {
            tokio::select! {
                biased;
                verified = &mut running => break verified,
                _ = take() => {}
            }
        };
        verified.defects().contains(&"lost").then_some(verified)
    });
    let verified = lost.await;
    assert_eq!(verified.code, 1);
    let words = verified.message("lost");
    assert!(
        words.ends_with("probes got lost from `cti-bridge.modern`: another consumer takes messages there"),
        "{words}"
    );
    // Nothing else is made of it.
    assert_eq!(verified.defects(), ["lost"], "{:#}", verified.report);
    bridge.stop().await;
}
