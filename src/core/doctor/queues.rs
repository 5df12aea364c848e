//! The bridge's own queues: as they must be, and nobody else's to consume from.

use super::{Check, Patient, Presence, Presences, State};
use crate::core::plan::queue_of;
use crate::core::site::{Aspect, Connection, Queue, Site};
use crate::core::step::queue_differences;
use crate::core::topology;

const TOPIC: &str = "queue";

/// What the bridge's connections call their client library.
const OUR_LIBRARY: &str = env!("CARGO_PKG_NAME");

pub(super) fn checks(patient: &Patient<'_>, site: &Site, presences: Option<&Presences>) -> Vec<Check> {
    let quarantine = patient.intake.quarantine_queue();
    let (_, names) = patient.names();
    let topologies = patient.topologies();
    let needed = |name: &String| {
        topologies.iter().flat_map(|topology| &topology.queues).find(|queue| queue.name == *name)
    };
    let needed = names.iter().filter_map(needed);
    needed.map(|needed| check(needed, needed.name == quarantine, site, presences)).collect()
}

fn check(needed: &topology::Queue, is_quarantine: bool, site: &Site, presences: Option<&Presences>) -> Check {
    let name = &needed.name;
    let presence = presences.and_then(|presences| presences.queues.get(name));
    let found = site.queue(name).filter(|_| presence != Some(&Presence::Missing));
    let counted = match presence {
        Some(Presence::There { consumers }) => *consumers,
        _ => found.and_then(|found| found.consumers),
    };
    match (presence, found) {
        (Some(Presence::Missing), _) => not_yet(name),
        (Some(Presence::Refused(text)), None) => {
            Check::new(TOPIC, State::Unknown, format!("the broker does not tell about `{name}`: {text}"))
        }
        (None, None) if site.shows(Aspect::Queues) => not_yet(name),
        (None, None) => Check::new(TOPIC, State::Unknown, format!("`{name}` was not looked for")),
        (_, found) => {
            if let Some(refused) = found.and_then(|found| inequivalent(found, needed)) {
                return refused;
            }
            let consumers = consumers(name, is_quarantine, site, counted);
            let messages = found.and_then(|found| found.messages).unwrap_or(0);
            if consumers.state == State::Ok && messages >= needed.bounds.alarm_at().into() {
                return filling(needed, is_quarantine, messages);
            }
            consumers
        }
    }
}

fn not_yet(name: &str) -> Check {
    Check::new(TOPIC, State::Ok, format!("`{name}` is not there yet; `run` declares it"))
}

fn inequivalent(found: &Queue, needed: &topology::Queue) -> Option<Check> {
    let differences = queue_differences(found, &queue_of(needed));
    if differences.is_empty() {
        return None;
    }
    let words: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let finding = format!("`{}` is there otherwise: {}", found.name, words.join(", "));
    Some(Check::new(TOPIC, State::Fail, finding).advise(
        "set the `queue_type` that it was made with, or delete it when it is empty and let `run` declare it anew",
    ))
}

/// Said before it is full.
fn filling(needed: &topology::Queue, is_quarantine: bool, messages: u64) -> Check {
    let name = &needed.name;
    let bound = match (needed.bounds.max_length, &needed.dead_letter_queue) {
        (None, _) => "and nothing bounds it but the disk".to_owned(),
        (Some(most), None) => format!("of {most} at most; beyond that the oldest is lost"),
        (Some(most), Some(queue)) => format!("of {most} at most; beyond that the oldest goes to `{queue}`"),
    };
    let advice = if is_quarantine {
        "`cti-bridge quarantine list` shows what they are; then `retry`, `export` or `drop` them"
    } else {
        "does a bridge run, and does it move? its log tells"
    };
    Check::new(TOPIC, State::Warn, format!("`{name}` is filling: {messages} messages, {bound}"))
        .advise(advice)
}

fn consumers(name: &str, is_quarantine: bool, site: &Site, counted: Option<u64>) -> Check {
    let connection = |name: &str| site.connections.iter().find(|connection| connection.name == name);
    let (mut ours, mut foreign, mut unseen) = (0_u64, Vec::new(), 0_u64);
    for consumer in site.consumers.iter().filter(|consumer| consumer.queue == *name) {
        match consumer.connection.as_deref().and_then(connection) {
            Some(found) if found.library.as_deref() == Some(OUR_LIBRARY) => ours += 1,
            Some(found) => foreign.push(described(found)),
            None => unseen += 1,
        }
    }
    if !foreign.is_empty() {
        let who = foreign.join(", ");
        if is_quarantine {
            let finding = format!("`{name}` has a consumer that takes from quarantine: {who}");
            return Check::new(TOPIC, State::Warn, finding)
                .advise("is it yours? `cti-bridge quarantine` reads it");
        }
        let finding = format!("`{name}` has a foreign consumer: {who}");
        return Check::new(TOPIC, State::Fail, finding)
            .advise("stop it: what it takes, the bridge never sees, and no client gets");
    }
    unseen = unseen.max(counted.unwrap_or(0).saturating_sub(ours));
    if unseen > 0 {
        let finding = format!("`{name}` is consumed from, and by whom was not seen ({unseen})");
        return Check::new(TOPIC, State::Warn, finding).advise(
            "`rabbitmqctl list_consumers` shows them; none but the bridge may consume from its queues",
        );
    }
    match ours {
        0 => Check::new(TOPIC, State::Ok, format!("`{name}` is there, and nobody consumes from it")),
        _ => Check::new(TOPIC, State::Ok, format!("`{name}` is there, and a bridge consumes from it")),
    }
}

fn described(connection: &Connection) -> String {
    let library = [&connection.library, &connection.library_version].into_iter().flatten();
    let library: Vec<&str> = library.map(String::as_str).collect();
    let words = if library.is_empty() { &connection.name } else { &library.join(" ") };
    match &connection.peer_host {
        Some(host) => format!("{words} at {host}"),
        None => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::topology::{Bounds, QueueKind};

    #[test]
    fn a_queue_is_told_before_it_is_full_and_what_is_lost_then() {
        let queue = |max_length, dead_letter_queue: Option<&str>| topology::Queue {
            name: "q".into(),
            kind: QueueKind::Quorum,
            single_active_consumer: false,
            delivery_limit: None,
            dead_letter_queue: dead_letter_queue.map(str::to_owned),
            bounds: Bounds { max_length, max_bytes: None },
        };
        let checked = |needed: &topology::Queue, messages| {
            let found = Queue {
                name: "q".into(),
                durable: Some(true),
                auto_delete: Some(false),
                exclusive: Some(false),
                arguments: needed.arguments(),
                messages: Some(messages),
                consumers: Some(0),
            };
            let site = Site { queues: vec![found], ..Site::default() };
            let check = check(needed, dead_letter_queue_of(needed).is_none(), &site, None);
            (check.state, check.finding)
        };
        assert_eq!(checked(&queue(Some(10), None), 7).0, State::Ok);
        let (state, finding) = checked(&queue(Some(10), None), 8);
        assert_eq!(state, State::Warn);
        assert_eq!(finding, "`q` is filling: 8 messages, of 10 at most; beyond that the oldest is lost");
        let (_, finding) = checked(&queue(Some(10), Some("r")), 10);
        assert_eq!(finding, "`q` is filling: 10 messages, of 10 at most; beyond that the oldest goes to `r`");
        let (_, finding) = checked(&queue(None, None), 1_000_000);
        assert_eq!(finding, "`q` is filling: 1000000 messages, and nothing bounds it but the disk");
    }

    fn dead_letter_queue_of(queue: &topology::Queue) -> Option<&str> {
        queue.dead_letter_queue.as_deref()
    }
}
