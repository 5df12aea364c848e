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
            consumers(name, is_quarantine, site, counted)
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
