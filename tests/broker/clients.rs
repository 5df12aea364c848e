//! Real client libraries of both eras; `scripts/clients` prepares them.

use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use super::harness::{ORIGIN, World, eventually, rabbitmqctl};

/// A program with one library, and what it writes.
struct Program {
    child: Child,
    out: Arc<Mutex<Vec<String>>>,
    errors: Arc<Mutex<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

fn home() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    env::var_os("CLIENTS_DIR").map_or_else(|| root.join(".cache/clients"), PathBuf::from)
}

fn is_there(library: &str) -> bool {
    home().join(library).join(".ready").exists()
}

impl Program {
    fn start(world: &World, library: &str, program: &str, arguments: &[&str]) -> Self {
        assert!(is_there(library), "the client library {library} is not prepared: run scripts/clients");
        let interpreter =
            home().join(library).join(if library == "node" { "bin/node" } else { "bin/python" });
        let mut child = Command::new(interpreter)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(program))
            .args(arguments)
            .env("CTI_BRIDGE_AMQP_URL", world.url())
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (out, reader) = lines_of(child.stdout.take().unwrap());
        let (errors, other_reader) = lines_of(child.stderr.take().unwrap());
        Self { child, out, errors, readers: vec![reader, other_reader] }
    }

    /// Starts a receiver and waits until it is bound.
    async fn receive(world: &World, library: &str, program: &str, arguments: &[&str]) -> Self {
        let receiver = Self::start(world, library, program, arguments);
        eventually(&format!("{program} with {library} is bound"), async || {
            receiver.errors.lock().unwrap().iter().any(|line| line == "bound").then_some(())
        })
        .await;
        receiver
    }

    /// Runs a sender on these lines to its end.
    async fn send(world: &World, library: &str, program: &str, events: &[Value]) {
        let mut sender = Self::start(world, library, program, &[]);
        let mut input = sender.child.stdin.take().unwrap();
        for event in events {
            writeln!(input, "{event}").unwrap();
        }
        drop(input);
        assert_eq!(sender.exit_code().await, Some(0), "{program} with {library}");
    }

    async fn exit_code(&mut self) -> Option<i32> {
        let status = eventually("the program ends", async || self.child.try_wait().unwrap()).await;
        for reader in self.readers.drain(..) {
            reader.join().unwrap();
        }
        status.code()
    }

    /// Waits for the program to end by itself, and returns what it has received.
    async fn received(&mut self) -> Vec<Value> {
        assert_eq!(self.exit_code().await, Some(0));
        self.out.lock().unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for so many lines of output.
    async fn lines(&self, count: usize) -> Vec<String> {
        eventually(&format!("{count} lines of output"), async || {
            let out = self.out.lock().unwrap();
            (out.len() >= count).then(|| out.clone())
        })
        .await
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if thread::panicking() {
            eprintln!(
                "--- a client's output:\n{:#?}\n{:#?}",
                self.out.lock().unwrap(),
                self.errors.lock().unwrap()
            );
        }
    }
}

fn lines_of(stream: impl Read + Send + 'static) -> (Arc<Mutex<Vec<String>>>, JoinHandle<()>) {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&lines);
    let reader = thread::spawn(move || {
        for line in BufReader::new(stream).lines() {
            sink.lock().unwrap().push(line.unwrap());
        }
    });
    (lines, reader)
}

/// Waits until one more queue that the broker named is bound to this key; documented programs do not say when they are.
async fn another_is_bound(world: &World, exchange: &str, key: &str, known: &mut Vec<String>) {
    eventually("a binding", async || {
        let columns = ["source_name", "destination_name", "routing_key"];
        let listed = rabbitmqctl(&[&["list_bindings", "--vhost", &world.vhost], &columns[..]].concat());
        let queue = listed.lines().find_map(|line| {
            let (source, rest) = line.split_once('\t')?;
            let (queue, bound_key) = rest.split_once('\t')?;
            let is_new = queue.starts_with("amq.gen") && !known.iter().any(|known| known == queue);
            (source == exchange && bound_key == key && is_new).then(|| queue.to_owned())
        })?;
        known.push(queue);
        Some(())
    })
    .await;
}

fn form(number: u32) -> Value {
    json!({"name": "call_form_result", "data": {"user_id": number, "variables": {"firstname": "Zoé"}}})
}

fn held(number: u32) -> Value {
    json!({"name": "call_held", "data": {"call_id": format!("1465572129.{number}")}})
}

/// A modern event as `send_kombu.py` wants it.
fn modern(key: &str, mut event: Value) -> Value {
    event["origin_uuid"] = json!("ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3");
    json!({"routing_key": key, "body": event, "headers": {"name": event["name"]}})
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_documented_program_of_2013_receives_what_kombu_sends() {
    // It knows only one vhost.
    let world = World::on_the_default_vhost().await;
    let mut bridge = world.bridge().start().await;
    let mut libraries = vec!["pika-old"];
    // Python 2.7 is not everywhere; where it is, the program runs as it was printed.
    if is_there("pika-2013") {
        libraries.push("pika-2013");
    }
    let mut known = Vec::new();
    for library in libraries {
        let program = Program::start(&world, library, "run_legacy_2013.py", &[]);
        another_is_bound(&world, "xivo-cti", "call_form_result", &mut known).await;
        let events = [
            modern("call_form_result", form(40)),
            modern("calls.hold.created", held(1)),
            modern("call_form_result", form(41)),
        ];
        Program::send(&world, "kombu", "send_kombu.py", &events).await;
        for (line, number) in program.lines(2).await.iter().zip([40, 41]) {
            let body = line.strip_prefix("Received: ").unwrap_or_else(|| panic!("{line}"));
            assert_eq!(serde_json::from_str::<Value>(body).unwrap(), form(number), "{library}");
        }
    }
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn old_and_new_libraries_on_the_legacy_side_receive_what_kombu_sends() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let arguments = ["--count", "3", "--timeout", "60", "xivo-cti", "call_form_result", "call_held"];
    let mut receivers = Vec::new();
    for (library, program) in [
        ("pika-old", "receive_pika.py"),
        ("pika-new", "receive_pika.py"),
        ("kombu", "receive_kombu.py"),
        ("node", "receive_amqplib.js"),
    ] {
        receivers.push((library, Program::receive(&world, library, program, &arguments).await));
    }
    let events = [
        modern("call_form_result", form(1)),
        modern("calls.hold.created", held(2)),
        modern("call_form_result", form(3)),
    ];
    Program::send(&world, "kombu", "send_kombu.py", &events).await;
    for (library, receiver) in &mut receivers {
        let received = receiver.received().await;
        assert_eq!(received.len(), 3, "{library}");
        for (message, event) in received.iter().zip([form(1), held(2), form(3)]) {
            assert_eq!(message["exchange"], "xivo-cti", "{library}");
            assert_eq!(message["routing_key"], event["name"], "{library}");
            assert_eq!(message["content_type"], Value::Null, "{library}");
            assert_eq!(message["content_encoding"], Value::Null, "{library}");
            assert_eq!(message["delivery_mode"], Value::Null, "{library}");
            assert_eq!(message["headers"], json!({"cti-bridge": ORIGIN}), "{library}");
            let body: Value = serde_json::from_str(message["body"].as_str().unwrap()).unwrap();
            assert_eq!(body, event, "{library}");
        }
    }
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn kombu_on_the_modern_side_receives_what_old_and_new_pika_send() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--legacy-event", "relocate_initiated"]).start().await;
    let documented = Program::start(&world, "kombu", "modern_kombu.py", &[]);
    another_is_bound(&world, "xivo", "#", &mut Vec::new()).await;
    let arguments = ["--count", "4", "--timeout", "60", "xivo", "call_form_result", "calls.#"];
    let mut receiver = Program::receive(&world, "kombu", "receive_kombu.py", &arguments).await;
    let initiator = "b459e3c9-b0a9-43a6-86ff-b4f7d00f6737";
    let relocate = json!({"name": "relocate_initiated", "data": {"uuid": "7ffa2ab0", "initiator": initiator,
        "relocated_call": "1", "initiator_call": "2", "recipient_call": "3"}});
    for library in ["pika-old", "pika-new"] {
        Program::send(&world, library, "send_pika.py", &[form(1), relocate.clone()]).await;
    }
    let received = receiver.received().await;
    assert_eq!(received.len(), 4);
    for (message, event) in received.iter().zip([form(1), relocate.clone(), form(1), relocate.clone()]) {
        assert_eq!(message["exchange"], "xivo");
        assert_eq!(message["content_type"], "application/json");
        assert_eq!(message["content_encoding"], "utf-8");
        assert_eq!(message["payload_type"], "dict");
        let mut expected = event.clone();
        expected["origin_uuid"] = json!(ORIGIN);
        let mut headers = json!({"name": event["name"], "origin_uuid": ORIGIN, "cti-bridge": ORIGIN});
        if event == relocate {
            let acl = format!("events.relocates.{initiator}");
            expected["required_acl"] = json!(acl);
            headers["required_acl"] = json!(acl);
            headers[format!("user_uuid:{initiator}")] = json!(true);
            assert_eq!(message["routing_key"], "calls.relocate.initiated");
        }
        assert_eq!(message["headers"], headers);
        assert_eq!(serde_json::from_str::<Value>(message["body"].as_str().unwrap()).unwrap(), expected);
    }
    let lines = documented.lines(4).await;
    for (line, name) in lines.iter().zip(["call_form_result", "relocate_initiated"].iter().cycle()) {
        assert!(line.starts_with("Received: {") && line.contains(name), "{line}");
    }
    bridge.stop().await;
}
