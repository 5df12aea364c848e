//! Numbered events at a steady rate, published again where the broker did not confirm them, and what came of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::harness::{Client, Tap, World, eventually, mark};

/// One direction of the bridge, and where its load goes in and comes out.
#[derive(Clone, Copy)]
pub struct Way {
    pub event: &'static str,
    pub into: (&'static str, &'static str),
    pub out_of: (&'static str, &'static str),
    pub intake: &'static str,
    pub out: &'static str,
}

pub const TO_LEGACY: Way = Way {
    event: "call_held",
    into: ("xivo", "calls.hold.created"),
    out_of: ("xivo-cti", "call_held"),
    intake: "cti-bridge.modern",
    out: "out.legacy",
};

pub const TO_MODERN: Way = Way {
    event: "call_form_result",
    into: ("xivo-cti", "call_form_result"),
    out_of: ("xivo", "call_form_result"),
    intake: "cti-bridge.legacy",
    out: "out.modern",
};

impl Way {
    /// The bridge's own copies of what it sent out come back in here; they are no part of the load.
    pub fn body(&self, number: u32, attempt: u32) -> Vec<u8> {
        json!({"name": self.event, "data": {"number": number, "attempt": attempt}}).to_string().into_bytes()
    }

    /// A queue for what comes out, that outlives the node's stop.
    pub async fn collect(&self, world: &World) {
        world.client.durable_queue(self.out, &[self.out_of]).await;
    }

    /// Publishes all of these without waiting in between.
    pub async fn publish_all(&self, client: &Client, numbers: std::ops::Range<u32>) {
        let mut confirms = Vec::new();
        for number in numbers {
            let (exchange, key) = self.into;
            let body = self.body(number, 0);
            confirms.push(client.send(exchange, key, BasicProperties::default(), &body).await.unwrap());
        }
        for confirm in confirms {
            confirm.await.unwrap();
        }
    }
}

/// Sends one more event behind the load and takes all that came up to it, the event itself left out.
///
/// Order is kept, so what is not there by then is lost. How many there are tells nothing: among them may be duplicates,
/// while the last ones are still under way.
pub async fn all_that_came(client: &Client, way: Way, events: u32) -> Came {
    way.publish_all(client, events..events + 1).await;
    let mut tap = client.tap_queue(way.out).await;
    let mut came = Vec::new();
    loop {
        let sending = sending(&tap.event().await);
        if sending.0 == events {
            return Came(came);
        }
        came.push(sending);
    }
}

/// After a bridge has stopped, all that its queues may hold are its own copies, which it had no time to count.
pub async fn only_echoes_are_left(client: &Client, ways: &[Way]) {
    for way in ways {
        let left = client.depth(way.intake).await;
        let mut tap = client.tap_queue(way.intake).await;
        for _ in 0..left {
            let message = tap.next().await;
            assert!(mark(&message).is_some(), "not bridged: {}", String::from_utf8_lossy(&message.data));
        }
    }
}

/// Publishes until it is told to stop, over any number of connections.
pub struct Feeder {
    stop: Arc<AtomicBool>,
    confirmed: Arc<AtomicU32>,
    task: Option<JoinHandle<u32>>,
}

impl Feeder {
    /// 500 events a second.
    pub fn start(url: String, way: Way) -> Self {
        Self::start_from(url, way, 0)
    }

    /// The same, behind events that were published before.
    pub fn start_from(url: String, way: Way, number: u32) -> Self {
        Self::new(vec![url], way, number)
    }

    /// To whichever of these nodes lets it in, another one after each fault.
    pub fn start_on(urls: Vec<String>, way: Way) -> Self {
        Self::new(urls, way, 0)
    }

    fn new(urls: Vec<String>, way: Way, number: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let confirmed = Arc::new(AtomicU32::new(number));
        let (task_stop, task_confirmed) = (Arc::clone(&stop), Arc::clone(&confirmed));
        // A thread of its own, so that nothing in the test slows it down.
        let task = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(feed(&urls, way, &task_stop, &task_confirmed))
        });
        Self { stop, confirmed, task: Some(task) }
    }

    pub fn confirmed(&self) -> u32 {
        self.confirmed.load(Ordering::SeqCst)
    }

    /// Waits until so many more are confirmed.
    pub async fn goes_on_for(&self, events: u32) {
        let until = self.confirmed() + events;
        eventually("the broker takes more events", async || (self.confirmed() >= until).then_some(())).await;
    }

    /// Ends the load when all of it is confirmed, and returns how many events there were.
    pub async fn finish(mut self) -> u32 {
        self.stop.store(true, Ordering::SeqCst);
        let task = self.task.take().unwrap();
        tokio::task::spawn_blocking(|| task.join().unwrap()).await.unwrap()
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

async fn feed(urls: &[String], way: Way, stop: &AtomicBool, confirmed: &AtomicU32) -> u32 {
    let mut rate = interval(Duration::from_millis(2));
    rate.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut attempt = 0;
    loop {
        let mut nodes = urls.iter().cycle().skip(attempt as usize);
        let connected = eventually("a connection", async || {
            timeout(Duration::from_secs(5), Client::try_connect(nodes.next()?)).await.ok()?.ok()
        });
        let client = connected.await;
        let mut waiting = VecDeque::new();
        let mut next = confirmed.load(Ordering::SeqCst);
        let lost = loop {
            let stopping = stop.load(Ordering::SeqCst);
            if stopping && waiting.is_empty() {
                return next;
            }
            if !stopping && waiting.len() < 32 {
                rate.tick().await;
                let (exchange, key) = way.into;
                let body = way.body(next, attempt);
                match client.send(exchange, key, BasicProperties::default(), &body).await {
                    Ok(confirm) => waiting.push_back(confirm),
                    Err(error) => break error.to_string(),
                }
                next += 1;
                if waiting.len() < 32 {
                    continue;
                }
            }
            let oldest = waiting.pop_front().unwrap();
            match oldest.await {
                Ok(lapin::Confirmation::Ack(None)) => confirmed.fetch_add(1, Ordering::SeqCst),
                // So answers a queue without a leader.
                Ok(lapin::Confirmation::Nack(None)) => break "nacked".to_owned(),
                Ok(other) => panic!("{other:?}"),
                Err(error) => break error.to_string(),
            };
        };
        assert!(attempt < 100, "{lost}");
        attempt += 1;
    }
}

/// The number of an event, and which attempt to publish it this was.
fn sending(event: &Value) -> (u32, u32) {
    let field = |name: &str| u32::try_from(event["data"][name].as_u64().unwrap()).unwrap();
    (field("number"), field("attempt"))
}

/// What came out, in order.
#[derive(Default)]
pub struct Came(Vec<(u32, u32)>);

impl Came {
    /// Takes the next so many.
    pub async fn take(tap: &mut Tap, events: u32) -> Self {
        let mut came = Self::default();
        came.take_more(tap, events).await;
        came
    }

    /// Takes so many more, and returns the longest time in which none came.
    pub async fn take_more(&mut self, tap: &mut Tap, events: u32) -> Duration {
        let mut longest = Duration::ZERO;
        for _ in 0..events {
            let began = Instant::now();
            self.0.push(sending(&tap.event().await));
            longest = longest.max(began.elapsed());
        }
        longest
    }

    /// Takes all up to this number.
    pub async fn take_up_to(&mut self, tap: &mut Tap, number: u32) {
        while self.0.iter().rev().take(1_000).all(|(came, _)| *came < number) {
            self.0.push(sending(&tap.event().await));
        }
    }

    /// Each number up to `events` came, for the first time in order.
    pub fn assert_complete_and_in_order(&self, events: u32) {
        let mut first_times = Vec::new();
        let mut seen = vec![false; events as usize];
        for (number, _) in &self.0 {
            if !std::mem::replace(&mut seen[*number as usize], true) {
                first_times.push(*number);
            }
        }
        let lost: Vec<usize> = (0..seen.len()).filter(|number| !seen[*number]).collect();
        assert!(lost.is_empty(), "{} of {events} lost: {:?}", lost.len(), lost.iter().take(10));
        let disorder = first_times.windows(2).find(|pair| pair[0] > pair[1]);
        assert_eq!(disorder, None, "out of order");
    }

    /// How often the same publication came again. What the sender sent again is another attempt.
    pub fn duplicates(&self) -> u32 {
        let mut times: BTreeMap<(u32, u32), u32> = BTreeMap::new();
        for sending in &self.0 {
            *times.entry(*sending).or_default() += 1;
        }
        times.values().map(|times| times - 1).sum()
    }

    /// Each number up to `events` came, once and in order.
    pub fn assert_exactly(&self, events: u32) {
        self.assert_complete_and_in_order(events);
        assert_eq!(self.0.len(), events as usize, "{} came twice", self.duplicates());
    }
}
