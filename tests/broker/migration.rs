//! A site is moved and moved back: plan, apply, verify, rollback, from what real releases leave on a broker.
//! Needs the management plugin: `scripts/with-broker --plugins rabbitmq_management`.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::options::ExchangeDeleteOptions;
use serde_json::{Value, json};

use super::harness::{NARROW, ORIGIN, PASSWORD, Ran, World, eventually, management_url};

/// What is on the vhost, in any order, as the broker itself exports it.
async fn topology(world: &World) -> Value {
    let mut definitions = api(world, None).await;
    let parts = definitions.as_object_mut().unwrap();
    parts.retain(|name, _| ["exchanges", "queues", "bindings"].contains(&name.as_str()));
    for part in parts.values_mut() {
        part.as_array_mut().unwrap().sort_by_key(Value::to_string);
    }
    definitions
}

/// Reads the definitions of the vhost, or imports some.
async fn api(world: &World, import: Option<String>) -> Value {
    let url = management_url();
    let (user, host) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
    let (url, login) = (format!("http://{host}/api/definitions/{}", world.vhost), STANDARD.encode(user));
    let exchange = move || match import {
        None => {
            let mut answer = ureq::get(url).header("authorization", format!("Basic {login}")).call().unwrap();
            serde_json::from_str(&answer.body_mut().read_to_string().unwrap()).unwrap()
        }
        Some(definitions) => {
            let post = ureq::post(url).header("authorization", format!("Basic {login}"));
            post.header("content-type", "application/json").send(definitions).unwrap();
            Value::Null
        }
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

/// A vhost with what this release leaves there.
async fn site(name: &str) -> World {
    let world = World::new().await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sites").join(format!("{name}.json"));
    let definitions = std::fs::read_to_string(path).unwrap();
    let wanted: Value = serde_json::from_str(&definitions).unwrap();
    api(&world, Some(definitions)).await;
    let there = topology(&world).await;
    for part in ["exchanges", "queues", "bindings"] {
        let count = |site: &Value| site[part].as_array().unwrap().len();
        assert_eq!(count(&there), count(&wanted), "{name}: {part}");
    }
    world
}

async fn run(world: &World, arguments: &[&str]) -> Ran {
    let url = management_url();
    world.command(&[arguments, &["--management-url", &url]].concat()).await
}

fn plan_file(world: &World) -> String {
    world.directory().join("site.plan").display().to_string()
}

async fn planned(world: &World, arguments: &[&str]) -> Ran {
    let file = plan_file(world);
    run(world, &[&["plan", "--detailed-exit-codes", "--out", &file], arguments].concat()).await
}

async fn apply(world: &World) -> Ran {
    run(world, &["apply", &plan_file(world), "--approve"]).await
}

async fn rollback(world: &World) -> Ran {
    run(world, &["rollback", &format!("{}.state", plan_file(world)), "--approve"]).await
}

/// Plan, apply, apply again, verify with a running bridge, and back.
async fn there_and_back(name: &str, version: &str) {
    let world = site(name).await;
    if name == "xivo_14.24" {
        the_old_fanout_stands_in_the_way(&world).await;
    }
    let before = topology(&world).await;
    let options = ["--modern-version", version, "--legacy-event", "call_held"];

    let plan = planned(&world, &options).await;
    assert_eq!(plan.code, Some(2), "{plan:?}");
    assert_eq!(topology(&world).await, before, "a plan changes nothing");
    let applied = apply(&world).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let after = topology(&world).await;
    assert_ne!(after, before);

    let again = apply(&world).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(topology(&world).await, after, "a second apply changes nothing");
    let nothing = planned(&world, &options).await;
    assert_eq!(nothing.code, Some(0), "nothing is left to plan: {nothing:?}");

    let mut bridge = world.bridge().args(options).start().await;
    assert_eq!(topology(&world).await, after, "the bridge needs nothing that was not planned");
    let verified = run(&world, &[["verify"].as_slice(), &options].concat()).await;
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let refused = rollback(&world).await;
    assert_eq!(refused.code, Some(78), "the bridge still consumes: {refused:?}");
    bridge.stop().await;
    assert_eq!(topology(&world).await, after);

    let undone = rollback(&world).await;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(topology(&world).await, before);
    let again = rollback(&world).await;
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(topology(&world).await, before);

    // What was taken back stands in the way of no other plan.
    let other = planned(&world, &["--modern-version", version, "--legacy-event", "call_created"]).await;
    assert_eq!(other.code, Some(2), "{other:?}");
    let applied = apply(&world).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let undone = rollback(&world).await;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(topology(&world).await, before);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn where_the_bridge_ran_before_nothing_is_done_and_nothing_undone() {
    let world = World::new().await;
    world.bridge().start().await.stop().await;
    let before = topology(&world).await;
    assert_eq!(planned(&world, &[]).await.code, Some(0));
    let applied = apply(&world).await;
    assert_eq!(applied.code, Some(0), "{applied:?}");
    let undone = rollback(&world).await;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(topology(&world).await, before);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_mark_that_no_plan_knew_stands_in_no_rollbacks_way() {
    // The site is seen, or the broker alone is asked, and told the mark by either. The origin uuid is the bridge's id.
    for told_by in [None, Some("--origin-uuid"), Some("--bridge-id")] {
        let world = World::new().await;
        let before = topology(&world).await;
        let unknown = async |arguments: &[&str]| {
            let mut command = world.any_command();
            command.env_remove("CTI_BRIDGE_ORIGIN_UUID").args(arguments);
            Ran::of(command).await
        };
        let (plan, url) = (plan_file(&world), management_url());
        let before_it_ran = format!("{plan}.site");
        let plan = ["plan", "--out", &plan, "--management-url", &url, "--save-site", &before_it_ran];
        let planned = unknown(&plan).await;
        assert_eq!(planned.code, Some(0), "{planned:?}");
        let applied = apply(&world).await;
        assert_eq!(applied.code, Some(0), "{applied:?}");
        let after = topology(&world).await;
        world.bridge().start().await.stop().await;
        assert_ne!(topology(&world).await, after, "the bridge binds its mark");

        let state = format!("{}.state", plan_file(&world));
        let rollback = ["rollback", &state, "--approve"];
        let undone = if let Some(option) = told_by {
            // Nothing listens there.
            let rollback = [&rollback[..], &["--management-url", "http://127.0.0.1:1"]].concat();
            let shown = unknown(&[&rollback[..], &[option, ORIGIN, "--dry-run"]].concat()).await;
            assert!(shown.stderr.contains(ORIGIN), "{}", shown.stderr);
            let refused = unknown(&rollback).await;
            assert_eq!(refused.code, Some(3), "{refused:?}");
            for told in ["not checked", "`cti-bridge.modern.filter` is in use", option] {
                assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
            }
            unknown(&[&rollback[..], &[option, ORIGIN]].concat()).await
        } else {
            let by_file = ["--site", &before_it_ran, "--bridge-id", ORIGIN, "--dry-run"];
            let shown = unknown(&[&rollback[..], &by_file].concat()).await;
            assert!(shown.stderr.contains(ORIGIN), "{shown:?}");
            let rollback = [&rollback[..], &["--management-url", &url]].concat();
            let shown = unknown(&[&rollback[..], &["--dry-run", "--output", "json"]].concat()).await;
            let document: Value = serde_json::from_str(&shown.stdout).unwrap();
            let marks = document["steps"].as_array().unwrap().iter().filter_map(|step| step["marks"].get(0));
            assert_eq!(marks.count(), 1, "{document}");
            assert!(shown.stderr.contains(ORIGIN), "{}", shown.stderr);
            unknown(&rollback).await
        };
        assert_eq!(undone.code, Some(0), "{undone:?}");
        assert_eq!(topology(&world).await, before);
    }
}

/// A management API that shows the site as the broker's does, but no single queue.
fn api_of_another_broker() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = management_url();
    let (login, broker) = url.strip_prefix("http://").unwrap().split_once('@').unwrap();
    let (api, broker) = (format!("http://{login}@127.0.0.1:{port}"), broker.to_owned());
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // Whoever goes away in the middle is not the last one.
            let _ = answer(&mut client, &broker);
        }
    });
    api
}

fn answer(client: &mut TcpStream, broker: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8(head).unwrap();
    // The virtual host, and the queue.
    let path = head.strip_prefix("GET /api/queues/").and_then(|path| path.split([' ', '?']).next());
    if path.is_some_and(|path| path.contains('/')) {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let mut server = TcpStream::connect(broker)?;
    server.write_all(head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())?;
    std::io::copy(&mut server, client)?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_another_brokers_api_shows_changes_nothing_here() {
    let world = site("wazo_19.05").await;
    let before = topology(&world).await;
    assert_eq!(planned(&world, &[]).await.code, Some(2));
    let (plan, other) = (plan_file(&world), api_of_another_broker());
    let state = format!("{plan}.state");
    let refuses = async |arguments: &[&str]| {
        let before = topology(&world).await;
        let refused = world.command(&[arguments, &["--management-url", &other]].concat()).await;
        assert_eq!(refused.code, Some(78), "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains("another broker"), "{}", refused.stderr);
        assert!(!refused.stderr.contains("guest:guest"), "{}", refused.stderr);
        assert_eq!(topology(&world).await, before, "{arguments:?}");
    };
    refuses(&["apply", &plan, "--approve"]).await;
    assert!(!Path::new(&state).exists(), "a journal of nothing");

    // Where the account may not make that queue, nothing can be said of it.
    let elsewhere = world.file("elsewhere.yml", "queue_prefix: elsewhere\n").display().to_string();
    let mut command = world.any_command();
    command.env("CTI_BRIDGE_AMQP_URL", world.url_of(NARROW, PASSWORD));
    command.args(["apply", &plan, "--approve", "--config", &elsewhere, "--management-url", &other]);
    let applied = Ran::of(command).await;
    assert!(applied.stderr.contains("not checked: whether the management API"), "{applied:?}");
    assert_eq!(applied.code, Some(0), "{applied:?}");

    // Nor is what is done there done here.
    refuses(&["apply", &plan, "--approve"]).await;
    refuses(&["rollback", &state, "--approve"]).await;
    let undone = rollback(&world).await;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(topology(&world).await, before);
}

/// Every documented event as a recording of the exchange `xivo`.
fn recording() -> String {
    let documented = include_str!("../golden/documented.jsonl");
    let header = json!({"format": "cti-bridge/recording", "version": 1, "broker": "amqp://guest@localhost:5672/%2f",
        "exchange": "xivo", "keys": ["#"], "started": "2026-01-01T00:00:00.000000Z"});
    let mut lines = vec![header];
    for case in documented.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        if case["at"] == "19.05" && case["modern"].is_object() {
            lines.push(json!({"received": "2026-01-01T00:00:01.000000Z", "exchange": "xivo",
                "routing_key": case["routing_key"], "body": case["modern"]}));
        }
    }
    assert!(lines.len() > 40);
    lines.push(json!({"end": {"at": "2026-01-01T00:00:02.000000Z", "messages": lines.len() - 1}}));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

async fn verify_migration(world: &World, arguments: &[&str]) -> Ran {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/verify-migration");
    let report = world.directory().join("report").display().to_string();
    let program = world.any_command();
    let mut command = Command::new(script);
    command
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))))
        .env("CTI_BRIDGE", program.get_program())
        .env("CTI_BRIDGE_MANAGEMENT_URL", management_url())
        .args(["--from", "14.24", "--to", "19.05", "--out", &report])
        .args(arguments);
    Ran::of(command).await
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_script_for_pipelines_moves_a_site_proves_it_and_moves_it_back() {
    let world = site("wazo_19.05").await;
    let before = topology(&world).await;
    let traffic = world.file("traffic.jsonl", &recording()).display().to_string();
    let ran = verify_migration(&world, &["--replay", &traffic, "--rollback"]).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("no difference"), "{}", ran.stderr);
    assert_eq!(topology(&world).await, before);
    for file in ["doctor.txt", "audit.json", "site.plan.state", "bridge.log", "verify.xml", "compare.json"] {
        assert!(world.directory().join("report").join(file).exists(), "{file}");
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_script_for_pipelines_stops_where_something_does_not_hold() {
    let world = site("xivo_14.24").await;
    let before = topology(&world).await;
    let ran = verify_migration(&world, &["--rollback"]).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stderr.contains("exchange `xivo`"), "{}", ran.stderr);
    assert_eq!(topology(&world).await, before);
}

/// `xivo` was a fanout up to 14.24: nothing is done that it stands against. The upgrade to 15.01 deleted it.
async fn the_old_fanout_stands_in_the_way(world: &World) {
    let before = topology(world).await;
    let plan = planned(world, &[]).await;
    assert_eq!(plan.code, Some(1), "{plan:?}");
    for told in ["exchange `xivo`", "fanout", "topic", "14.24"] {
        assert!(plan.stdout.contains(told), "{told}: {}", plan.stdout);
    }
    let refused = apply(world).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("exchange `xivo`"), "{refused:?}");
    assert_eq!(topology(world).await, before);
    let options = ExchangeDeleteOptions::default();
    world.client.channel.exchange_delete("xivo".into(), options).await.unwrap();
    std::fs::remove_file(plan_file(world)).unwrap();
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_broker_as_xivo_14_24_left_it_is_moved_and_moved_back() {
    there_and_back("xivo_14.24", "19.05").await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn an_empty_broker_is_moved_and_moved_back() {
    there_and_back("empty", "19.05").await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_broker_as_wazo_19_05_leaves_it_is_moved_and_moved_back() {
    there_and_back("wazo_19.05", "19.05").await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_broker_as_wazo_22_17_leaves_it_is_moved_and_moved_back() {
    there_and_back("wazo_22.17", "22.17").await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_site_that_has_changed_since_is_left_alone() {
    let world = site("wazo_19.05").await;
    assert_eq!(planned(&world, &[]).await.code, Some(2));
    api(
        &world,
        Some(
            json!({"exchanges": [{"name": "xivo-cti", "type": "topic", "durable": true, "auto_delete": false,
        "internal": false, "arguments": {}}]})
            .to_string(),
        ),
    )
    .await;
    let before = topology(&world).await;
    let refused = apply(&world).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("`xivo-cti`"), "the drift is named: {}", refused.stderr);
    assert_eq!(topology(&world).await, before);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn what_others_use_by_now_is_not_taken_away() {
    let world = site("empty").await;
    assert_eq!(planned(&world, &[]).await.code, Some(2));
    assert_eq!(apply(&world).await.code, Some(0));
    let _popup = world.client.tap(&[("xivo-cti", "call_form_result")]).await;
    let before = topology(&world).await;
    let refused = rollback(&world).await;
    assert_eq!(refused.code, Some(78), "{refused:?}");
    assert!(refused.stderr.contains("xivo-cti"), "{}", refused.stderr);
    assert_eq!(topology(&world).await, before);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn killed_after_any_answer_of_the_broker_apply_completes_when_repeated_and_can_be_rolled_back() {
    let world = site("wazo_19.05").await;
    let before = topology(&world).await;
    assert_eq!(planned(&world, &[]).await.code, Some(2));
    assert_eq!(apply(&world).await.code, Some(0));
    let after = topology(&world).await;
    assert_eq!(rollback(&world).await.code, Some(0));
    let state = PathBuf::from(format!("{}.state", plan_file(&world)));

    let mut kills = 0;
    for answers in 1.. {
        std::fs::remove_file(&state).unwrap();
        if !killed_after(&world, answers).await {
            break;
        }
        kills += 1;
        // Before its first step is noted, there is nothing that could be taken back.
        if kills % 2 == 0 || !state.exists() {
            let completed = apply(&world).await;
            assert_eq!(completed.code, Some(0), "killed after {answers} answers: {completed:?}");
            assert_eq!(topology(&world).await, after, "killed after {answers} answers");
        }
        let undone = rollback(&world).await;
        assert_eq!(undone.code, Some(0), "killed after {answers} answers: {undone:?}");
        assert_eq!(topology(&world).await, before, "killed after {answers} answers");
    }
    let steps = after["bindings"].as_array().unwrap().len() - before["bindings"].as_array().unwrap().len();
    assert!(kills > 2 * steps, "killed {kills} times only");
}

/// Runs `apply` through a proxy that keeps back everything behind so many frames of the broker, and kills it there.
/// Says whether it got as far; it ends by itself where there are no more frames.
async fn killed_after(world: &World, answers: usize) -> bool {
    let proxy = Proxy::start(world.port(), answers);
    let mut command: Command = world.any_command();
    let url = world.url().replace(&format!(":{}/", world.port()), &format!(":{}/", proxy.port));
    command.env("CTI_BRIDGE_AMQP_URL", &url);
    // The plan names the broker it is for; through the proxy it is the same one at another port.
    let plan = plan_file(world);
    let text = std::fs::read_to_string(&plan).unwrap();
    let moved = format!("{plan}.moved");
    std::fs::write(&moved, text.replace(&format!(":{}/", world.port()), &format!(":{}/", proxy.port)))
        .unwrap();
    let through = format!("{plan}.through");
    command.args(["apply", &moved, "--approve", "--state", &through, "--management-url", &management_url()]);
    let mut child = command.spawn().unwrap();
    let ended = eventually("apply waits for an answer, or ends", async || {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(Some(status));
        }
        proxy.is_holding().then_some(None)
    })
    .await;
    if ended.is_none() {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // What it noted is what the next ones go by, at the broker's own port.
    let state = format!("{plan}.state");
    match std::fs::read_to_string(&through) {
        Ok(text) => {
            std::fs::write(
                &state,
                text.replace(&format!(":{}/", proxy.port), &format!(":{}/", world.port())),
            )
            .unwrap();
            std::fs::remove_file(&through).unwrap();
        }
        Err(_) => drop(std::fs::remove_file(&state)),
    }
    // The broker has seen the end of the connection, so that nothing is under way any more.
    proxy.end();
    if let Some(status) = ended {
        assert!(status.success(), "{status}");
        assert_eq!(rollback(world).await.code, Some(0));
        return false;
    }
    true
}

fn read_frame(from: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    // Type, channel, size; then the payload and its end.
    let mut frame = vec![0; 7];
    from.read_exact(&mut frame)?;
    let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
    frame.resize(7 + size + 1, 0);
    from.read_exact(&mut frame[7..])?;
    Ok(frame)
}

/// Passes on what goes between clients and the broker, up to so many frames from the broker.
struct Proxy {
    port: u16,
    held: Arc<AtomicUsize>,
    ends: Arc<std::sync::Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn start(broker: u16, frames: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (held, ends) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Vec::new())));
        let (holding, all) = (Arc::clone(&held), Arc::clone(&ends));
        // Those of earlier connections count too.
        let passed = Arc::new(AtomicUsize::new(0));
        thread::spawn(move || {
            // By the first `apply` knows the broker, on the second it does the steps.
            for client in listener.incoming().take(2) {
                let (client, server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", broker)).unwrap());
                all.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                let (mut from_client, mut to_server) =
                    (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    let _ = std::io::copy(&mut from_client, &mut to_server);
                    let _ = to_server.shutdown(Shutdown::Both);
                });
                let (holding, passed) = (Arc::clone(&holding), Arc::clone(&passed));
                let (mut from_server, mut to_client) = (server, client);
                thread::spawn(move || {
                    while let Ok(frame) = read_frame(&mut from_server) {
                        if passed.load(Ordering::SeqCst) >= frames {
                            holding.fetch_add(1, Ordering::SeqCst);
                            continue;
                        }
                        passed.fetch_add(1, Ordering::SeqCst);
                        if to_client.write_all(&frame).is_err() {
                            break;
                        }
                    }
                    let _ = to_client.shutdown(Shutdown::Both);
                });
            }
        });
        Self { port, held, ends }
    }

    /// Whether the broker has answered more than is passed on.
    fn is_holding(&self) -> bool {
        self.held.load(Ordering::SeqCst) > 0
    }

    fn end(&self) {
        for end in self.ends.lock().unwrap().iter() {
            let _ = end.shutdown(Shutdown::Both);
        }
    }
}
