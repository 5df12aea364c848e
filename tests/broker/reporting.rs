//! What operators and service managers are told.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::harness::{Setup, World, eventually, only_the_second_came_twice, own_connections};

/// A service manager, as far as it listens.
pub struct Manager {
    path: PathBuf,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Manager {
    pub fn new(world: &World) -> Self {
        let path = world.directory().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::downgrade(&heard);
        thread::spawn(move || {
            let mut buffer = [0; 1024];
            while let Some(heard) = kept.upgrade() {
                if let Ok(length) = socket.recv(&mut buffer) {
                    let text = std::str::from_utf8(&buffer[..length]).unwrap();
                    heard.lock().unwrap().extend(text.lines().map(str::to_owned));
                }
            }
        });
        Self { path, heard }
    }

    /// A bridge that tells this one, and would be watched by it.
    pub fn starts(&self, setup: Setup) -> Setup {
        setup.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", "3600000000")
    }

    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// Waits until this was said so often.
    pub async fn hears(&self, what: &str, times: usize) {
        eventually(what, async || {
            (self.heard().iter().filter(|line| *line == what).count() >= times).then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn ready_is_said_once_and_counts_regularly_and_at_the_end() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--status-interval", "1"]).start().await;
    let ready = bridge.said("ready").remove(0);
    assert_eq!(
        (&ready["legacy_queue"], &ready["modern_queue"]),
        (&json!("cti-bridge.legacy"), &json!("cti-bridge.modern"))
    );
    let mut tap = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let held = json!({"name": "call_held", "data": {}}).to_string();
    for _ in 0..3 {
        world.client.publish("xivo", "calls.hold.created", &held).await;
        tap.next().await;
    }
    world.client.publish("xivo", "a", json!({"name": "nobody_listens"}).to_string()).await;
    world.client.publish("xivo", "a", "{").await;
    world.client.publish("xivo-cti", "call_form_result", "[]").await;
    world.client.publish_legacy(&json!({"name": "call_form_result", "data": {}})).await;

    // Nobody listens for what became of call_form_result, and the own copy does not come back in.
    let to_legacy = [
        ("received", 5),
        ("published", 4),
        ("unroutable", 1),
        ("quarantined", 1),
        ("echoes", 0),
        ("acked", 5),
    ];
    let to_modern = [
        ("received", 2),
        ("published", 1),
        ("unroutable", 1),
        ("quarantined", 1),
        ("echoes", 0),
        ("acked", 2),
    ];
    bridge.counts("to_legacy", &to_legacy).await;
    bridge.counts("to_modern", &to_modern).await;
    let (final_legacy, final_modern) = bridge.stop().await;
    for (found, expected) in [(final_legacy, &to_legacy[..]), (final_modern, &to_modern[..])] {
        for (name, figure) in expected {
            assert_eq!(found[*name], *figure, "{name}: {found}");
        }
        assert_eq!((&found["sessions"], &found["dropped"]), (&json!(1), &json!(0)));
        only_the_second_came_twice(&found);
    }
    assert_eq!(bridge.said("ready").len(), 1);
    assert_eq!(bridge.said("stopped").len(), 2);
    for line in bridge.output().lines() {
        let line: Value = serde_json::from_str(line).expect("a log line that is no JSON");
        for key in ["timestamp", "level", "target", "fields"] {
            assert!(line.get(key).is_some(), "{line}");
        }
    }
    // Names of events and bodies are the business of the bus, not of the log.
    assert!(!bridge.output().contains("nobody_listens"));
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_status_is_said_without_traffic_too() {
    let world = World::new().await;
    let mut bridge = world.bridge().args(["--status-interval", "1"]).start().await;
    eventually("two rounds", async || (bridge.said("status").len() >= 4).then_some(())).await;
    bridge.counts("to_modern", &[("received", 0), ("published", 0)]).await;
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn the_service_manager_is_told_when_the_bridge_is_ready_and_when_it_stops() {
    let world = World::new().await;
    let manager = Manager::new(&world);
    let mut bridge = manager.starts(world.bridge()).start().await;
    manager.hears("READY=1", 1).await;
    bridge.stop().await;
    manager.hears("STOPPING=1", 1).await;
    assert_eq!(manager.heard(), ["STATUS=both directions move", "READY=1", "STOPPING=1"]);
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_service_manager_that_does_not_listen_holds_nobody_up() {
    let world = World::new().await;
    let path = world.directory().join("deaf");
    let _socket = UnixDatagram::bind(&path).unwrap();
    // A thousand messages a second: the socket has room for some ten.
    let setup = world.bridge().env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "2000");
    let mut bridge = setup.args(["--status-interval", "1"]).start().await;
    eventually("time goes by", async || (bridge.said("status").len() >= 4).then_some(())).await;
    let mut tap = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let held = json!({"name": "call_held", "data": {}});
    world.client.publish("xivo", "calls.hold.created", held.to_string()).await;
    assert_eq!(tap.event().await, held);
    bridge.stop().await;
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn a_deleted_queue_is_made_again_and_costs_the_other_direction_nothing() {
    let world = World::alone().await;
    let mut bridge = world.bridge().start().await;
    let before = own_connections(&world).await;
    let uses: Vec<&str> = before.keys().map(String::as_str).collect();
    assert_eq!(uses, ["to_legacy", "to_modern"]);
    world.client.channel.queue_delete("cti-bridge.modern".into(), Default::default()).await.unwrap();
    bridge.says("consuming again").await;
    let after = own_connections(&world).await;
    assert_eq!(after["to_modern"], before["to_modern"]);
    assert_ne!(after["to_legacy"], before["to_legacy"]);
    let mut tap = world.client.tap(&[("xivo-cti", "call_held")]).await;
    let held = json!({"name": "call_held", "data": {}});
    world.client.publish("xivo", "calls.hold.created", held.to_string()).await;
    assert_eq!(tap.event().await, held);
    assert_eq!(bridge.said("ready").len(), 1);
    bridge.stop().await;
}
