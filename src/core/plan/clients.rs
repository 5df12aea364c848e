//! What becomes of each client: every queue that is bound to a legacy exchange, binding by binding.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::core::catalog::{Catalog, Entry};
use crate::core::intake::Intake;
use crate::core::pattern::Pattern;
use crate::core::rule::Address;
use crate::core::site::{Binding, Destination, Site};

use super::Mode;
use super::native::{differences, obstacle};

/// A client queue that is bound to a legacy exchange.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Client {
    /// Its queue.
    pub queue: String,
    /// Whether the queue belongs to one connection, where that was seen.
    pub exclusive: Option<bool>,
    /// Who consumes from it: client library, host, user, as far as they were seen.
    pub who: Vec<String>,
    /// What it is bound to.
    pub needs: Vec<Need>,
}

/// A binding of a client, and what serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Need {
    /// The legacy exchange.
    pub exchange: String,
    /// The binding key.
    pub key: String,
    /// The event, where one is known.
    pub event: Option<String>,
    /// What serves it under this plan.
    pub served: Served,
    /// Why, and what the client sees differently.
    pub note: String,
}

/// What serves a binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Served {
    /// The bridge translates the event.
    Bridge,
    /// A binding between two exchanges brings the event.
    Binding,
    /// It would take the bridge, which this plan leaves out.
    Unserved,
    /// These versions of the platform do not have the event.
    Gone,
    /// No rule has such an event; should one come, it passes as it is.
    Unknown,
}

impl Served {
    /// In a word or two, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Bridge => "by the bridge",
            Self::Binding => "by a binding",
            Self::Unserved => "not served",
            Self::Gone => "gone",
            Self::Unknown => "unknown event",
        }
    }
}

/// The events of a catalog by their legacy addresses.
pub(super) struct Directory<'c> {
    catalog: &'c Catalog,
    by_address: HashMap<(&'c str, String), Vec<Event<'c>>>,
}

/// An event at one of its legacy addresses.
#[derive(Debug, Clone)]
pub(super) struct Event<'c> {
    pub(super) name: String,
    pub(super) entry: &'c Entry,
    pub(super) address: &'c Address,
    /// The word that an open entry leaves open; `*` for any.
    pub(super) open: Option<String>,
}

impl<'c> Directory<'c> {
    pub(super) fn of(catalog: &'c Catalog) -> Self {
        let mut by_address: HashMap<(&str, String), Vec<Event<'c>>> = HashMap::new();
        for (name, entry) in catalog.listed() {
            for address in &entry.addresses {
                let event = Event { name: name.to_owned(), entry, address, open: None };
                let key = (address.exchange.as_str(), address.routing_key.to_string());
                by_address.entry(key).or_default().push(event);
            }
        }
        Self { catalog, by_address }
    }

    /// The events that a binding to a legacy exchange brings.
    pub(super) fn events(&self, binding: &Binding, is_topic: bool) -> Vec<Event<'c>> {
        let pattern = Pattern::parse(&binding.key);
        if is_topic && !pattern.is_literal() {
            let mut events: Vec<Event<'c>> = Vec::new();
            for ((exchange, key), found) in &self.by_address {
                if *exchange == binding.source && pattern.matches(key) {
                    events.extend(found.iter().cloned());
                }
            }
            events.sort_by(|a, b| a.name.cmp(&b.name));
            let open = self.catalog.open().flat_map(|entry| entry.addresses.iter().map(move |a| (entry, a)));
            for (entry, address) in open.filter(|(_, address)| address.exchange == binding.source) {
                if pattern.meets(&Pattern::parse("*")) {
                    let open = Some("*".to_owned());
                    events.push(Event { name: entry.name.to_string(), entry, address, open });
                }
            }
            return events;
        }
        if let Some(found) = self.by_address.get(&(binding.source.as_str(), binding.key.clone())) {
            return found.clone();
        }
        // AMI events have an exchange of their own, and a binding brings them to the main one as well.
        let open = self.catalog.by_legacy_name(&binding.key).filter(|found| found.entry.is_open());
        open.and_then(|found| {
            let address = found.entry.addresses.first()?;
            let event = Event {
                name: binding.key.clone(),
                entry: found.entry,
                address,
                open: Some(binding.key.clone()),
            };
            Some(vec![event])
        })
        .unwrap_or_default()
    }
}

/// Every client of a legacy exchange, by the names of their queues.
pub(super) fn clients(
    site: &Site,
    directory: &Directory<'_>,
    intake: &Intake,
    is_legacy: impl Fn(&str) -> bool,
    mode: Mode,
) -> Vec<Client> {
    let own = intake.own_queues();
    let mut bound: HashMap<&str, Vec<&Binding>> = HashMap::new();
    for binding in site.bindings.iter().filter(|binding| is_legacy(&binding.source)) {
        if let Destination::Queue(queue) = &binding.destination
            && !own.contains(queue)
        {
            bound.entry(queue).or_default().push(binding);
        }
    }
    let mut clients: Vec<Client> = bound
        .into_iter()
        .map(|(queue, mut bindings)| {
            bindings.sort_by(|a, b| (&a.source, &a.key).cmp(&(&b.source, &b.key)));
            let needs = bindings.iter().flat_map(|binding| needs(site, directory, binding, mode));
            Client {
                queue: queue.to_owned(),
                exclusive: site.queue(queue).and_then(|queue| queue.exclusive),
                who: who(site, queue),
                needs: needs.collect(),
            }
        })
        .collect();
    clients.sort_by(|a, b| a.queue.cmp(&b.queue));
    clients
}

fn needs(site: &Site, directory: &Directory<'_>, binding: &Binding, mode: Mode) -> Vec<Need> {
    let need = |event: Option<String>, served: Served, note: String| Need {
        exchange: binding.source.clone(),
        key: binding.key.clone(),
        event,
        served,
        note,
    };
    let events = directory.events(binding, is_topic(site, &binding.source));
    if events.is_empty() {
        return vec![need(None, Served::Unknown, "no rule names such an event".to_owned())];
    }
    let catalog = directory.catalog;
    events
        .into_iter()
        .map(|Event { name, entry, address, .. }| {
            let (served, note) = match obstacle(catalog, &name, entry, address) {
                Some(why) if entry.modern.is_none() && entry.rule.rebuilt_from.is_none() => {
                    (Served::Gone, why)
                }
                Some(why) if mode == Mode::Bridge => (Served::Bridge, why),
                Some(why) => (Served::Unserved, why),
                None if mode == Mode::Bridge => {
                    (Served::Bridge, "a binding would do; see `--native`".to_owned())
                }
                None => {
                    let seen = differences(entry, catalog.version());
                    let note = if seen.is_empty() { seen } else { format!("the client sees {seen}") };
                    (Served::Binding, note)
                }
            };
            need(Some(name), served, note)
        })
        .collect()
}

/// Whether an exchange routes by patterns, as far as is seen.
pub(super) fn is_topic(site: &Site, exchange: &str) -> bool {
    site.exchange(exchange).is_some_and(|exchange| exchange.kind == "topic")
}

/// Who consumes from a queue, in words.
fn who(site: &Site, queue: &str) -> Vec<String> {
    let mut who: Vec<String> = site
        .consumers
        .iter()
        .filter(|consumer| consumer.queue == queue)
        .filter_map(|consumer| {
            let name = consumer.connection.as_ref()?;
            let Some(connection) = site.connections.iter().find(|connection| connection.name == *name) else {
                return Some(name.clone());
            };
            let program = connection.client_name.as_ref().or(connection.library.as_ref());
            let version = connection.library_version.as_ref().filter(|_| connection.client_name.is_none());
            let words = [program, version].into_iter().flatten().cloned().collect::<Vec<_>>().join(" ");
            let words = if words.is_empty() { name.clone() } else { words };
            Some(match &connection.peer_host {
                Some(host) => format!("{words} at {host}"),
                None => words,
            })
        })
        .collect();
    who.sort();
    who.dedup();
    who
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bind_queue, planned, planned_with, site_of};
    use super::super::{Mode, Options};
    use super::*;
    use crate::core::site::{Connection, Consumer, Queue};

    const LEGACY: [(&str, &str); 3] =
        [("xivo-cti", "direct"), ("xivo-ami", "topic"), ("xivo-status-updates", "direct")];

    fn needs(exchange: &str, key: &str, mode: Mode) -> Vec<(Option<String>, Served)> {
        let mut site = site_of(&LEGACY);
        bind_queue(&mut site, exchange, "popup", key);
        let options = Options { mode, ..Options::default() };
        let clients = planned_with(&site, &options).plan.clients;
        assert_eq!(clients.len(), 1, "{clients:?}");
        clients[0].needs.iter().map(|need| (need.event.clone(), need.served)).collect()
    }

    #[test]
    fn each_binding_of_a_client_is_told_what_serves_it() {
        let is = |event: &str, served| vec![(Some(event.to_owned()), served)];
        for (exchange, key, event, bridge, native) in [
            ("xivo-cti", "call_form_result", "call_form_result", Served::Bridge, Served::Binding),
            ("xivo-cti", "call_created", "call_created", Served::Bridge, Served::Unserved),
            ("xivo-cti", "user_status_update", "user_status_update", Served::Bridge, Served::Unserved),
            ("xivo-cti", "chat_message_event", "chat_message_event", Served::Gone, Served::Gone),
            ("xivo-cti", "Hangup", "Hangup", Served::Bridge, Served::Unserved),
            ("xivo-ami", "Hangup", "Hangup", Served::Bridge, Served::Unserved),
            ("xivo-ami", "#", "{ami_event}", Served::Bridge, Served::Unserved),
        ] {
            assert_eq!(needs(exchange, key, Mode::Bridge), is(event, bridge), "{exchange} {key}");
            assert_eq!(needs(exchange, key, Mode::Native), is(event, native), "{exchange} {key}");
        }
        assert_eq!(needs("xivo-cti", "door_opened", Mode::Bridge), [(None, Served::Unknown)]);
        assert_eq!(
            needs("xivo-status-updates", "status.agent", Mode::Native),
            is("agent_status_update", Served::Binding)
        );
    }

    #[test]
    fn who_it_is_is_told_as_far_as_it_was_seen() {
        let mut site = site_of(&LEGACY);
        bind_queue(&mut site, "xivo-cti", "popup", "call_form_result");
        site.queues.push(Queue { name: "popup".into(), exclusive: Some(true), ..Queue::default() });
        let consumer = |connection: &str| Consumer {
            queue: "popup".into(),
            connection: Some(connection.into()),
            ..Consumer::default()
        };
        site.consumers = vec![consumer("a"), consumer("b"), consumer("a")];
        site.connections = vec![Connection {
            name: "a".into(),
            library: Some("Pika".into()),
            library_version: Some("0.9.5".into()),
            peer_host: Some("10.0.4.20".into()),
            ..Connection::default()
        }];
        let client = planned(&site).plan.clients.remove(0);
        assert_eq!(client.who, ["Pika 0.9.5 at 10.0.4.20", "b"]);
        assert_eq!(client.exclusive, Some(true));
    }

    #[test]
    fn the_queues_of_the_bridge_are_no_clients() {
        let site = planned(&Site::default()).applied_to(&Site::default());
        assert_eq!(planned(&site).plan.clients, []);
    }
}
