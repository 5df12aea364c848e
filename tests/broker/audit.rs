//! Six clients of different kinds on one broker, and what the audit says of them from each source alone. Needs the
//! management plugin: `scripts/with-broker --plugins rabbitmq_management`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::{env, fs};

use lapin::options::{BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, LongString};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use serde_json::Value;

use super::harness::{World, eventually, lists, management_url, rabbitmqctl_meanwhile};

const UPGRADE: [&str; 5] = ["audit", "--from", "18.04", "--to", "19.05"];

/// A client that is connected for as long as it is kept.
struct Connected {
    queue: String,
    _connection: Connection,
    _channel: Channel,
    _consumer: Consumer,
}

const fn durable() -> QueueDeclareOptions {
    QueueDeclareOptions { passive: false, durable: true, exclusive: false, auto_delete: false, nowait: false }
}

/// A client as its library would tell the broker of itself.
async fn client(
    world: &World,
    (name, library, version): (&str, &str, &str),
    (queue, options): (&str, QueueDeclareOptions),
    (exchange, key): (&str, &str),
) -> Connected {
    let text = |text: &str| LongString::from(text);
    let properties = ConnectionProperties::default()
        .with_client_property("product".into(), text(library))
        .with_client_property("version".into(), text(version))
        .with_connection_name(text(name));
    let connection = Connection::connect(&world.url(), properties).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let none = FieldTable::default;
    let queue = channel.queue_declare(queue.into(), options, none()).await.unwrap().name().to_string();
    let bind = QueueBindOptions::default();
    channel.queue_bind(queue.as_str().into(), exchange.into(), key.into(), bind, none()).await.unwrap();
    let consume = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue.as_str().into(), "".into(), consume, none()).await.unwrap();
    Connected { queue, _connection: connection, _channel: channel, _consumer: consumer }
}

/// The clients whose sources are below `tests/golden/audit/clients`.
async fn six(world: &World) -> Vec<Connected> {
    let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    for (exchange, kind) in [("xivo-cti", ExchangeKind::Direct), ("xivo", ExchangeKind::Topic)] {
        let none = FieldTable::default();
        world.client.channel.exchange_declare(exchange.into(), kind, options, none).await.unwrap();
    }
    let exclusive = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let transient = QueueDeclareOptions::default();
    let old = ("pika", "0.9.5");
    let new = ("pika", "1.3.2");
    vec![
        client(world, ("popup", old.0, old.1), ("", exclusive), ("xivo-cti", "call_form_result")).await,
        client(world, ("wallboard", new.0, new.1), ("wallboard", transient), ("xivo", "calls.call.created"))
            .await,
        client(world, ("queue_log", new.0, new.1), ("queue-log", durable()), ("xivo", "QueueMemberStatus"))
            .await,
        client(world, ("calls", "py-amqp", "2.4.2"), ("", durable()), ("xivo", "calls.*")).await,
        client(world, ("away", "amqplib", "0.10.3"), ("presence", durable()), ("xivo", "status.user")).await,
        client(world, ("journal", "AMQPLib", "3.6.0"), ("journal", durable()), ("xivo", "calls.call.*"))
            .await,
    ]
}

/// A report without what differs from run to run: names that the broker chose, ports, and the order of clients
/// among which none is worse.
fn settled(report: &str, clients: &[Connected], directory: &Path) -> String {
    let mut text = report.replace(&format!("{}/", directory.display()), "");
    for (client, stands_for) in [(0, "amq.gen-POPUP"), (3, "amq.gen-CALLS")] {
        text = text.replace(&clients[client].queue, stands_for);
    }
    let mut pieces = text.split("127.0.0.1:");
    let mut settled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        settled.push_str("127.0.0.1:PORT");
        settled.push_str(piece.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    }
    let mut blocks: Vec<&str> = settled.split("\n\n").collect();
    let rest = blocks.pop().unwrap_or_default();
    blocks.sort_unstable();
    format!("{}\n\n{rest}", blocks.join("\n\n"))
}

#[track_caller]
fn equals_golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit").join(name);
    let golden = fs::read_to_string(&path).unwrap_or_default();
    if golden != found {
        let written = env::temp_dir().join(format!("cti-bridge-audit-{name}"));
        fs::write(&written, found).unwrap();
        panic!("not as {}; what was found is in {}:\n{found}", path.display(), written.display());
    }
}

/// What the management API answers to `guest`.
fn get(host: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(host).unwrap();
    let login = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {host}\r\n{login}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

async fn audit(world: &World, sources: &[&str], output: &str) -> String {
    let arguments: Vec<&str> =
        UPGRADE.into_iter().chain(["--output", output]).chain(sources.iter().copied()).collect();
    let ran = world.command(&arguments).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    ran.stdout
}

/// What is found about bindings and queues, whoever was seen to have them: all but what only a source text shows.
async fn findings(world: &World, sources: &[&str]) -> BTreeSet<String> {
    let report: Value = serde_json::from_str(&audit(world, sources, "json").await).unwrap();
    let findings = report["clients"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|client| client["findings"].as_array().unwrap());
    let told = ["id", "severity", "fates", "exchange", "key", "events", "what", "lost", "why", "do"];
    findings
        .filter(|finding| !["CTI0017", "CTI0022"].contains(&finding["id"].as_str().unwrap()))
        .map(|finding| told.map(|field| finding[field].to_string()).join(" "))
        .collect()
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn six_clients_are_told_the_same_by_every_source_that_shows_them() {
    // The lists of channels and connections ask those of every vhost, and fail where one is busy for long.
    let world = World::alone().await;
    let clients = six(&world).await;
    let directory = world.directory().to_owned();

    let url = management_url();
    let (_, host) = url.split_once('@').unwrap();
    let live = format!("http://{host}");
    let live = ["--management-url", live.as_str()];
    // The API learns of consumers and connections some seconds later than the broker.
    let by_api = eventually("the API shows the clients", async || {
        let text = settled(&audit(&world, &live, "text").await, &clients, &directory);
        (text.matches("from 127.0.0.1").count() == 6 && text.matches("  0 messages").count() == 6)
            .then_some(text)
    })
    .await;
    equals_golden("live.txt", &by_api);
    let all = findings(&world, &live).await;
    assert_eq!(all.len(), 5, "the healthy client has none: {all:#?}");

    let files: Vec<String> = lists(&world).await.iter().map(|file| file.display().to_string()).collect();
    let lists = files.iter().flat_map(|file| ["--rabbitmqctl", file]);
    let lists: Vec<&str> = lists.chain(["--vhost", world.vhost.as_str()]).collect();
    assert_eq!(settled(&audit(&world, &lists, "text").await, &clients, &directory), by_api);
    assert_eq!(findings(&world, &lists).await, all);

    // `rabbitmqctl` exports the bindings of exclusive queues without the queues, the management API neither.
    let file = directory.join("definitions.json");
    rabbitmqctl_meanwhile(&["export_definitions", file.to_str().unwrap()]).await;
    let definitions = ["--definitions", file.to_str().unwrap(), "--vhost", world.vhost.as_str()];
    let by_definitions = settled(&audit(&world, &definitions, "text").await, &clients, &directory);
    equals_golden("definitions.txt", &by_definitions);
    assert_eq!(findings(&world, &definitions).await, all);
    fs::write(&file, get(host, "/api/definitions")).unwrap();
    let by_http = settled(&audit(&world, &definitions, "text").await, &clients, &directory);
    equals_golden("definitions-http.txt", &by_http);
    let kept = findings(&world, &definitions).await;
    let missing: Vec<&String> = all.difference(&kept).collect();
    assert!(kept.is_subset(&all), "{kept:#?}");
    assert!(missing.len() == 1 && missing[0].contains("call_form_result"), "{missing:#?}");

    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/audit/clients");
    let scan = ["--scan", sources.to_str().unwrap()];
    let by_scan = settled(&audit(&world, &scan, "text").await, &clients, &sources);
    equals_golden("scan.txt", &by_scan);
    assert_eq!(findings(&world, &scan).await, all);
}
