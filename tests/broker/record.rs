//! Recording, replaying and watching, on a real broker.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use lapin::BasicProperties;
use lapin::ExchangeKind;
use lapin::options::{ExchangeDeclareOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, DecimalValue, FieldTable};
use serde_json::{Value, json};

use super::harness::{World, eventually, long, rabbitmqctl_meanwhile, table};

/// A command of the program that is running, with what it says.
struct Running {
    child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cti-bridge"));
    command
        .args(arguments)
        .env_clear()
        .env("CTI_BRIDGE_AMQP_URL", world.url())
        .current_dir(world.directory());
    // An own file, so that no configuration of the machine leaks in.
    command.arg("--config").arg(world.file("none.yml", "")).stdin(Stdio::null());
    command
}

async fn run(world: &World, arguments: &[&str]) -> Output {
    let mut command = command(world, arguments);
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

impl Running {
    /// Starts it, and waits until it says this.
    async fn start(world: &World, arguments: &[&str], ready: &str) -> Self {
        let mut command = command(world, arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (sink, stderr) = (Arc::clone(&said), child.stderr.take().unwrap());
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                sink.lock().unwrap().push_str(&(line.unwrap() + "\n"));
            }
        });
        let running = Self { child, said, reader: Some(reader) };
        running.says(ready).await;
        running
    }

    async fn says(&self, text: &str) {
        let what = format!("it says `{text}`");
        eventually(&what, async || self.said.lock().unwrap().contains(text).then_some(())).await;
    }

    async fn signal(&self, name: &str) {
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()])
            .status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end: exit code, standard output, standard error.
    async fn end(&mut self) -> (Option<i32>, String, String) {
        let mut stdout = self.child.stdout.take().unwrap();
        let read = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            stdout.read_to_string(&mut text).unwrap();
            text
        });
        let status = eventually("the command ends", async || self.child.try_wait().unwrap()).await;
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        (status.code(), read.await.unwrap(), self.said.lock().unwrap().clone())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Our own child, not reaped yet, so the id is still its own.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the command said:\n{}\n---", self.said.lock().unwrap());
        }
    }
}

async fn exchange(world: &World, name: &str, kind: ExchangeKind) {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    world.client.channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await.unwrap();
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

/// Properties of every kind, and headers of every type. (RabbitMQ closes the connection over a float that is no number.)
fn every_property() -> BasicProperties {
    let headers = table([
        ("void", AMQPValue::Void),
        ("flag", AMQPValue::Boolean(true)),
        ("int8", AMQPValue::ShortShortInt(-8)),
        ("uint8", AMQPValue::ShortShortUInt(200)),
        ("int16", AMQPValue::ShortInt(-16)),
        ("uint16", AMQPValue::ShortUInt(60_000)),
        ("int32", AMQPValue::LongInt(-32)),
        ("uint32", AMQPValue::LongUInt(4_000_000_000)),
        ("int64", AMQPValue::LongLongInt(i64::MIN)),
        ("float", AMQPValue::Float(0.1)),
        ("double", AMQPValue::Double(0.1)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("timestamp", AMQPValue::Timestamp(1_571_300_000)),
        ("text", long("é")),
        ("bytes of a text", AMQPValue::LongString(vec![0xff, 0].into())),
        ("bytes", AMQPValue::ByteArray(vec![0, 1, 0xfe].into())),
        (
            "list",
            AMQPValue::FieldArray(
                vec![AMQPValue::Void, AMQPValue::FieldTable(table([("a", long("b"))]))].into(),
            ),
        ),
        ("table", AMQPValue::FieldTable(table([("type", long("table"))]))),
    ]);
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(7)
        .with_correlation_id("c".into())
        .with_reply_to("r".into())
        .with_expiration("3600000".into())
        .with_message_id("m".into())
        .with_timestamp(1_571_300_000)
        .with_type("t".into())
        .with_app_id("a".into())
        .with_cluster_id("k".into())
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn ten_thousand_events_are_recorded_and_replayed_without_a_difference() {
    const EVENTS: usize = 10_000;
    let world = World::new().await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    exchange(&world, "lab", ExchangeKind::Topic).await;
    let limit = EVENTS.to_string();
    let mut recording = Running::start(
        &world,
        &["record", "--out", "a.jsonl", "--limit", &limit],
        "recording the exchange `xivo`",
    )
    .await;
    for number in 0..EVENTS {
        let body = json!({"name": format!("call_{}", number % 7), "data": {"id": number % 900, "x": 1.0}})
            .to_string();
        let key = format!("calls.call.{}", number % 7);
        let confirm =
            world.client.send("xivo", &key, BasicProperties::default(), body.as_bytes()).await.unwrap();
        // A bounded number under way.
        if number % 500 == 0 {
            confirm.await.unwrap();
        }
    }
    let (code, _, said) = recording.end().await;
    assert_eq!(code, Some(0), "{said}");

    let mut again = Running::start(
        &world,
        &["record", "lab", "--out", "b.jsonl", "--limit", &limit],
        "recording the exchange `lab`",
    )
    .await;
    let replayed = run(&world, &["replay", "a.jsonl", "--to", "lab", "--no-wait"]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    assert_eq!(text(&replayed.stdout), "published 10000 messages, 0 of them unroutable\n");
    assert_eq!(again.end().await.0, Some(0));
    let compared = Command::new(env!("CARGO_BIN_EXE_cti-bridge"))
        .args(["compare", "a.jsonl", "b.jsonl", "--properties"])
        .current_dir(world.directory())
        .output()
        .unwrap();
    assert_eq!(text(&compared.stdout), "no difference; 10000 messages in both\n");
    assert_eq!((compared.status.code(), text(&compared.stderr)), (Some(0), ""));
    assert!(!world.directory().join("a.jsonl.progress").exists());
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn every_property_and_every_byte_survives_a_round_trip() {
    let world = World::new().await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    exchange(&world, "lab", ExchangeKind::Fanout).await;
    let body: Vec<u8> = (0..=255).collect();
    let mut recording =
        Running::start(&world, &["record", "xivo:a.#", "--out", "a.jsonl", "--limit", "3"], "recording")
            .await;
    world.client.publish_with("xivo", "a.b", every_property(), &body).await;
    let json =
        b"{\"name\":  \"x\", \"data\": {\"big\": 100000000000000000000, \"f\": 1.0, \"s\": \"\\ud800\"}}";
    world.client.publish("xivo", "unheard", b"not recorded").await;
    world.client.publish("xivo", "a", json).await;
    world
        .client
        .publish_with("xivo", "a.c", BasicProperties::default().with_user_id("guest".into()), b"")
        .await;
    assert_eq!(recording.end().await.0, Some(0));

    let mut lab = world.client.tap(&[("lab", "")]).await;
    let replayed = run(&world, &["replay", "a.jsonl", "--to", "lab", "--no-wait"]).await;
    assert!(replayed.status.success(), "{replayed:?}");
    let first = lab.next().await;
    assert_eq!((first.exchange.as_str(), first.routing_key.as_str()), ("lab", "a.b"));
    assert_eq!(first.properties, every_property());
    assert_eq!(first.data, body);
    let second = lab.next().await;
    assert_eq!((second.routing_key.as_str(), &second.data[..]), ("a", &json[..]));
    assert_eq!(second.properties, BasicProperties::default());
    let third = lab.next().await;
    assert_eq!(
        (third.properties, third.data),
        (BasicProperties::default(), Vec::new()),
        "a user id does not go out again"
    );
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_lost_connection_leaves_a_gap_in_the_recording_and_no_end() {
    let world = World::new().await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    let recording = Running::start(&world, &["record", "--out", "a.jsonl"], "recording the exchange").await;
    let mut recording = recording;
    let file = world.directory().join("a.jsonl");
    let holds = |text: &'static str| {
        let file = file.clone();
        async move {
            eventually(&format!("the recording holds {text}"), async || {
                std::fs::read_to_string(&file).unwrap().contains(text).then_some(())
            })
            .await;
        }
    };
    world.client.publish("xivo", "before", b"{}").await;
    holds("before").await;
    // The one connection that has the recorder's name.
    let list = rabbitmqctl_meanwhile(&["list_connections", "pid", "vhost", "client_properties"]).await;
    let is_it = |line: &&str| {
        line.contains("cti-bridge record") && line.split('\t').nth(1) == Some(world.vhost.as_str())
    };
    let pid = list.lines().find(is_it).unwrap().split('\t').next().unwrap().to_owned();
    rabbitmqctl_meanwhile(&["close_connection", &pid, "for a test"]).await;
    recording.says("recording again").await;
    world.client.publish("xivo", "after", b"{}").await;
    holds("after").await;
    recording.signal("TERM").await;
    let (code, _, said) = recording.end().await;
    assert_eq!(code, Some(0));
    assert!(said.contains("the exchange or the connection is lost: "), "{said}");
    assert!(said.contains("; messages may be missing: 1 gap in the recording"), "{said}");
    let lines = lines(&file);
    assert_eq!(lines.len(), 5, "{lines:?}");
    let gap = &lines[2]["gap"];
    assert!(gap["from"].as_str() >= lines[1]["received"].as_str(), "{lines:?}");
    assert!(
        gap["to"].as_str() <= lines[3]["received"].as_str() && gap["from"].as_str() <= gap["to"].as_str()
    );
    assert_eq!((&lines[1]["routing_key"], &lines[3]["routing_key"]), (&json!("before"), &json!("after")));
    assert_eq!(lines[4]["end"]["messages"], 2);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_exchange_that_is_deleted_leaves_a_gap_and_is_heard_again_when_it_is_back() {
    let world = World::new().await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    let mut recording =
        Running::start(&world, &["record", "--out", "a.jsonl"], "recording the exchange").await;
    let gone = lapin::options::ExchangeDeleteOptions::default();
    world.client.channel.exchange_delete("xivo".into(), gone).await.unwrap();
    recording.says("the exchange or the connection is lost: gone from the broker").await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    recording.says("recording again").await;
    world.client.publish("xivo", "after", b"{}").await;
    let file = world.directory().join("a.jsonl");
    eventually("the recording holds it", async || {
        std::fs::read_to_string(&file).unwrap().contains("after").then_some(())
    })
    .await;
    recording.signal("TERM").await;
    assert_eq!(recording.end().await.0, Some(0));
    let lines = lines(&file);
    assert!(lines[1]["gap"].is_object(), "{lines:?}");
    assert_eq!(lines[2]["routing_key"], "after");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn recording_disturbs_nobody_unless_it_is_told_to_consume() {
    let world = World::new().await;
    exchange(&world, "xivo-cti", ExchangeKind::Direct).await;
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    world.client.channel.queue_declare("q".into(), options, FieldTable::default()).await.unwrap();
    world.client.bind("q", &[("xivo-cti", "call_held")]).await;
    // A direct exchange has to be told what of.
    let refused = run(&world, &["record", "xivo-cti"]).await;
    assert_eq!(refused.status.code(), Some(64));
    assert!(text(&refused.stderr).contains("`xivo-cti` is a direct exchange"), "{refused:?}");
    let mut recording =
        Running::start(&world, &["record", "xivo-cti", "--rules", "--limit", "2"], "recording the exchange")
            .await;
    for number in 0..3 {
        world.client.publish("xivo-cti", "call_held", format!("{number}")).await;
    }
    let (code, stdout, _) = recording.end().await;
    assert_eq!((code, stdout.lines().count()), (Some(0), 4));
    assert_eq!(world.client.depth("q").await, 3);

    let refused = run(&world, &["record", "--queue", "q"]).await;
    assert_eq!(refused.status.code(), Some(64));
    assert_eq!(world.client.depth("q").await, 3);
    let taken =
        run(&world, &["record", "--queue", "q", "--consume", "--limit", "2", "--out", "q.jsonl"]).await;
    assert!(taken.status.success(), "{taken:?}");
    let taken: Vec<Value> = lines(&world.directory().join("q.jsonl"));
    assert_eq!(
        (&taken[0]["queue"], &taken[1]["body"], &taken[2]["body"]),
        (&json!("q"), &json!(0), &json!(1))
    );
    // What was fetched ahead is back when the connection is gone.
    eventually("the third message is in the queue", async || {
        (world.client.depth("q").await == 1).then_some(())
    })
    .await;
    let exists = run(&world, &["record", "--out", "q.jsonl"]).await;
    assert_eq!(exists.status.code(), Some(64));
    assert!(text(&exists.stderr).contains("q.jsonl exists"), "{exists:?}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_is_not_there_is_told() {
    let world = World::new().await;
    exchange(&world, "other", ExchangeKind::Direct).await;
    for arguments in
        [&["record", "nowhere"][..], &["tap", "nowhere:key"], &["record", "--queue", "nowhere", "--consume"]]
    {
        let missing = run(&world, arguments).await;
        assert_eq!(missing.status.code(), Some(78), "{missing:?}");
        assert!(text(&missing.stderr).starts_with("error: not found on the broker: "), "{missing:?}");
        assert!(text(&missing.stderr).contains("nowhere"), "{missing:?}");
    }
    let direct = run(&world, &["tap", "other"]).await;
    assert_eq!(direct.status.code(), Some(64));
    assert!(text(&direct.stderr).contains("`other` is a direct exchange"), "{direct:?}");
}

fn recording(exchange: &str, count: usize) -> String {
    let header = json!({"format": "cti-bridge/recording", "version": 1, "broker": "", "exchange": exchange, "keys": ["#"], "started": "t"});
    let line = |number: usize| json!({"received": "2026-01-01T00:00:00.000000Z", "exchange": exchange, "routing_key": "k", "body": {"name": "e", "data": number}});
    std::iter::once(header).chain((0..count).map(line)).map(|line| format!("{line}\n")).collect()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_replay_asks_before_it_speaks_to_programs_at_work() {
    let world = World::new().await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    world.file("a.jsonl", &recording("xivo", 2));
    world.file("b.jsonl", &recording("nowhere", 2));
    let mut listener = world.client.tap(&[("xivo", "#")]).await;
    let refused = run(&world, &["replay", "a.jsonl"]).await;
    assert_eq!(refused.status.code(), Some(64));
    assert!(
        text(&refused.stderr).contains("publish 2 messages on `xivo`, where programs at work listen?"),
        "{refused:?}"
    );
    let missing = run(&world, &["replay", "b.jsonl"]).await;
    assert_eq!(missing.status.code(), Some(78), "{missing:?}");
    let approved =
        run(&world, &["replay", "a.jsonl", "--approve", "--key", "other", "--output", "json"]).await;
    assert!(approved.status.success(), "{approved:?}");
    let document: Value = serde_json::from_slice(&approved.stdout).unwrap();
    assert_eq!((&document["published"], &document["unroutable"]), (&json!(2), &json!(0)));
    // The first thing that comes is of the approved one.
    assert_eq!(listener.next().await.routing_key.as_str(), "other");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_interrupted_replay_goes_on_where_the_confirms_ended() {
    const EVENTS: usize = 3000;
    let world = World::new().await;
    exchange(&world, "lab", ExchangeKind::Fanout).await;
    let file = world.file("a.jsonl", &recording("lab", EVENTS));
    let mut lab = world.client.tap(&[("lab", "")]).await;
    let mut replay = Running::start(&world, &["replay", "a.jsonl", "--rate", "500/s"], "").await;
    let mut heard = Vec::new();
    while heard.len() < 300 {
        heard.push(lab.event().await["data"].as_u64().unwrap());
    }
    replay.signal("INT").await;
    let (code, _, said) = replay.end().await;
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("`--resume` goes on from there"), "{said}");
    assert!(file.with_file_name("a.jsonl.progress").exists());
    // Another replay cannot go on with it.
    let other = run(&world, &["replay", "a.jsonl", "--resume", "--key", "x"]).await;
    assert_eq!(other.status.code(), Some(65), "{other:?}");
    let resumed = run(&world, &["replay", "a.jsonl", "--resume", "--no-wait"]).await;
    assert!(resumed.status.success(), "{resumed:?}");
    assert!(text(&resumed.stderr).contains("may come twice"), "{resumed:?}");
    while heard.last() != Some(&(EVENTS as u64 - 1)) {
        heard.push(lab.event().await["data"].as_u64().unwrap());
    }
    // Everything came, in order, and nothing that was confirmed came twice: told to stop, a replay awaits the rest.
    assert_eq!(heard, (0..EVENTS as u64).collect::<Vec<_>>());
    let nothing = run(&world, &["replay", "a.jsonl", "--resume"]).await;
    assert_eq!(nothing.status.code(), Some(66), "{nothing:?}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_tap_shows_events_from_both_sides() {
    let world = World::new().await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    exchange(&world, "xivo-cti", ExchangeKind::Direct).await;
    let arguments = ["tap", "--event", "call_*", "--both", "--limit", "2"];
    let mut tap = Running::start(&world, &arguments, "listening to `xivo`, key `#`").await;
    world.client.publish("xivo", "a", b"{\"name\": \"other\", \"data\": 1}").await;
    world
        .client
        .publish(
            "xivo",
            "calls.call.created",
            b"{\"name\": \"call_created\", \"data\": {\"user_uuid\": \"7\",\n  \"x\": 1}}",
        )
        .await;
    world.client.publish("xivo", "b\x1b[31m", b"{\"name\": \"call_x\", \"data\": \"\x7f\"}").await;
    let (code, stdout, _) = tap.end().await;
    assert_eq!(code, Some(0));
    let shown: Vec<&str> = stdout.lines().map(|line| line.split_once("  ").unwrap().1.trim_start()).collect();
    assert_eq!(
        shown[0],
        "call_created  calls.call.created  {\"name\": \"call_created\", \"data\": {\"user_uuid\": \"7\", \"x\": 1}}"
    );
    assert!(shown[1].starts_with("⇒  xivo-cti  call_created  {\"name\": \"call_created\", "), "{stdout}");
    assert_eq!(shown[2], "call_x  b\u{fffd}[31m  {\"name\": \"call_x\", \"data\": \"\u{fffd}\"}");
    assert!(!stdout.contains(['\u{1b}', '\u{7f}']));

    let arguments = ["tap", "xivo-cti:call_form_result", "--both", "--limit", "1", "--output", "json"];
    let mut tap = Running::start(&world, &arguments, "listening to `xivo-cti`, key `call_form_result`").await;
    world.client.publish_legacy(&json!({"name": "call_form_result", "data": {"user_id": 40}})).await;
    let (code, stdout, _) = tap.end().await;
    assert_eq!(code, Some(0));
    let shown: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(
        (&shown["schema"], &shown["event"]),
        (&json!("cti-bridge/event/1"), &json!("call_form_result"))
    );
    assert_eq!(shown["message"]["body"], json!({"name": "call_form_result", "data": {"user_id": 40}}));
    assert_eq!(shown["other"][0]["exchange"], "xivo");
    assert_eq!(shown["other"][0]["body"]["data"], json!({"user_id": 40}));
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_headers_exchange_is_recorded_whole_and_limits_are_kept() {
    let world = World::new().await;
    exchange(&world, "wazo-headers", ExchangeKind::Headers).await;
    let mut recording =
        Running::start(&world, &["record", "wazo-headers", "--size", "600", "--out", "a.jsonl"], "recording")
            .await;
    for number in 0..10 {
        world
            .client
            .publish_with(
                "wazo-headers",
                "",
                BasicProperties::default().with_headers(table([("name", long("x"))])),
                format!("{number}").as_bytes(),
            )
            .await;
    }
    assert_eq!(recording.end().await.0, Some(0));
    let lines = lines(&world.directory().join("a.jsonl"));
    assert!((4..9).contains(&lines.len()), "{lines:?}");
    assert_eq!(lines[1]["properties"]["headers"], json!({"name": "x"}));
    assert_eq!(lines.last().unwrap()["end"]["messages"], lines.len() - 2);
    let mut brief = Running::start(&world, &["record", "wazo-headers", "--for", "300ms"], "recording").await;
    assert_eq!(brief.end().await.0, Some(0));
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_tap_ends_when_told_to_though_nobody_reads() {
    let world = World::new().await;
    exchange(&world, "xivo", ExchangeKind::Topic).await;
    let arguments = ["tap", "--output", "json"];
    let mut tap = Running::start(&world, &arguments, "listening to `xivo`, key `#`").await;
    // More than a pipe holds.
    let event = json!({"name": "call_x", "data": "x".repeat(1 << 20)});
    world.client.publish("xivo", "k", event.to_string()).await;
    let mut stdout = tap.child.stdout.take().unwrap();
    let stdout = tokio::task::spawn_blocking(move || {
        stdout.read_exact(&mut [0]).unwrap();
        stdout
    });
    let unread = stdout.await.unwrap();
    tap.signal("TERM").await;
    let status = eventually("the command ends", async || tap.child.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(3));
    drop(unread);
}
