//! Looks again and again whether everything is still there that a session was opened with.
//!
//! AMQP tells a consumer when its queue is deleted and nobody when an exchange or a binding is. So exchanges and queues
//! are looked for, and each binding is made again: that is no error where it is there, and the broker does not say
//! which it was. What is gone ends the session, and the next one makes it anew.

use std::time::Duration;

use lapin::Connection;
use lapin::types::ShortString;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::bridge::Bridge;
use super::declare::{SetUpError, look, make};
use super::fault::Fault;
use super::session::{Link, exchanges_of};
use crate::core::message::Direction;
use crate::core::topology::Topology;

/// A broker that does not answer for so long has other troubles, which others notice.
const PATIENCE: Duration = Duration::from_secs(10);

/// So often at most is the same said again.
const REMINDER: Duration = Duration::from_secs(300);

/// Watches until something is gone.
pub(super) async fn watch(bridge: &Bridge, link: &Link, [source, target]: [&Connection; 2]) -> Fault {
    let (from, to) = bridge.sides(link.direction);
    let beyond = exchanges_of(&to.topology);
    let mut said = [Said::default(), Said::default()];
    let mut filling = Said::default();
    loop {
        sleep(bridge.watch_period).await;
        for (said, (connection, topology)) in
            said.iter_mut().zip([(source, &from.topology), (target, &beyond)])
        {
            // Nothing is answered on a connection that is blocked.
            if connection.status().blocked() {
                continue;
            }
            match timeout(PATIENCE, check(connection, topology)).await {
                Ok(Err(Finding::Gone(text))) => return Fault::Gone(text),
                Ok(Err(Finding::Otherwise(error))) => said.say(link.direction, &error.to_string()),
                // What is wrong with the connection itself is reported by itself.
                Ok(Ok(full)) => {
                    if let Some(full) = full {
                        filling.say_filling(link.direction, &full);
                    }
                }
                Ok(Err(Finding::Unknown)) | Err(_) => {}
            }
        }
    }
}

enum Finding {
    /// An exchange or a queue is not there, in the broker's words.
    Gone(String),
    /// It is there and is not what it must be.
    Otherwise(SetUpError),
    /// There was no way to find out.
    Unknown,
}

/// A queue with more in it than anybody should leave there.
struct Full {
    queue: String,
    messages: u32,
    max_length: Option<u32>,
}

/// Looks whether all is there, and for a queue that is filling.
async fn check(connection: &Connection, topology: &Topology) -> Result<Option<Full>, Finding> {
    let channel = connection.create_channel().await.map_err(|_| Finding::Unknown)?;
    let lengths = look(&channel, topology).await.map_err(finding)?;
    let mut filling = lengths.into_iter().filter(|(queue, messages)| *messages >= queue.bounds.alarm_at());
    let full = filling.next().map(|(queue, messages)| Full {
        queue: queue.name.clone(),
        messages,
        max_length: queue.bounds.max_length,
    });
    make(&channel, topology).await.map_err(finding)?;
    let _ = channel.close(200, ShortString::default()).await;
    Ok(full)
}

fn finding(error: SetUpError) -> Finding {
    match error {
        SetUpError::Missing { text } => Finding::Gone(text),
        SetUpError::Inequivalent(_) | SetUpError::AccessRefused { .. } => Finding::Otherwise(error),
        SetUpError::NameTooLong { .. }
        | SetUpError::UnknownType { .. }
        | SetUpError::Tls(_)
        | SetUpError::Broker(_) => Finding::Unknown,
    }
}

/// Says the same at once, and then only now and again.
#[derive(Default)]
struct Said(Option<(String, Instant)>);

impl Said {
    fn say(&mut self, direction: Direction, what: &str) {
        let is_known = |(text, when): &(String, Instant)| text == what && when.elapsed() < REMINDER;
        if !self.0.as_ref().is_some_and(is_known) {
            self.0 = Some((what.to_owned(), Instant::now()));
            warn!(direction = direction.code(), cause = what, "not as it must be on the broker");
        }
    }

    /// The same queue is named once in a while, however much is in it by then.
    fn say_filling(&mut self, direction: Direction, full: &Full) {
        let is_known = |(queue, when): &(String, Instant)| *queue == full.queue && when.elapsed() < REMINDER;
        if !self.0.as_ref().is_some_and(is_known) {
            self.0 = Some((full.queue.clone(), Instant::now()));
            let Full { queue, messages, max_length } = full;
            warn!(direction = direction.code(), queue, messages, max_length, "a queue is filling");
        }
    }
}
