//! The nodes of `scripts/with-broker --nodes N`, one by one: killed, stopped, started again.

use std::fs;
use std::process::Command;

use super::harness::{World, broker, rabbitmqctl_meanwhile};

/// One node.
#[derive(Clone)]
pub struct Node {
    pub name: String,
    pub port: u16,
    /// Its place among the nodes, from 1.
    number: usize,
}

impl Node {
    /// All of them, so many.
    pub fn all(count: usize, options: &str) -> Vec<Self> {
        let (names, ports) = (broker("BROKER_NODES"), broker("BROKER_PORTS"));
        let nodes = names.split(' ').zip(ports.split(' ')).enumerate();
        let nodes: Vec<_> = nodes
            .map(|(at, (name, port))| Self {
                name: name.to_owned(),
                port: port.parse().unwrap(),
                number: at + 1,
            })
            .collect();
        assert_eq!(nodes.len(), count, "needs {count} nodes: scripts/with-broker {options}");
        nodes
    }

    pub fn signal(&self, signal: &str) {
        let file = format!("{}/node-{}.pid", broker("BROKER_DIR"), self.number);
        let process = fs::read_to_string(file).unwrap();
        let status =
            Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, process.trim()]).status();
        assert!(status.unwrap().success());
    }

    pub async fn start(&self) {
        let number = self.number.to_string();
        let run = move || Command::new("start-node").arg(number).output().unwrap();
        let started = tokio::task::spawn_blocking(run).await.unwrap();
        assert!(started.status.success(), "{started:?}");
        rabbitmqctl_meanwhile(&["-n", &self.name, "await_startup"]).await;
    }

    pub fn url(&self, world: &World) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/{}?heartbeat=4", self.port, world.vhost)
    }
}
