//! The clients of a site: who owns which queue, and which bindings lead there.

use std::collections::{HashMap, HashSet};

use super::judge::{Bound, Judge, Verdict};
use super::{BindingFate, Client, Finding, LeftOut, Question, QueueUse, SeenAs, habits, platform};
use crate::core::finding::Fate;
use crate::core::site::{Binding, Connection, Consumer, Destination, Queue, Site};

/// The clients, and what was left out.
pub(super) fn on_the_site(question: &Question<'_>, judge: &mut Judge<'_, '_>) -> (Vec<Client>, LeftOut) {
    let site = question.site;
    let seen = Seen::of(site);
    let own = format!("{}.", question.own_prefix);
    let mut left_out = LeftOut::default();
    let mut clients: Vec<Client> = Vec::new();
    let mut by_owner: HashMap<Owner<'_>, usize> = HashMap::new();
    let mut queues_left_out: HashSet<&str> = HashSet::new();
    for binding in &site.bindings {
        let name = match &binding.destination {
            Destination::Queue(name) | Destination::Exchange(name) => name.as_str(),
        };
        let is_queue = matches!(binding.destination, Destination::Queue(_));
        if is_queue && (name.starts_with(&own) || platform::is_platforms_own_queue(name)) {
            if queues_left_out.insert(name) {
                let counter = match name.starts_with(&own) {
                    true => &mut left_out.own_queues,
                    false => &mut left_out.platform_queues,
                };
                *counter += 1;
            }
            continue;
        }
        if !is_queue && (name.starts_with(&own) || platform::is_platforms_own_exchange(name)) {
            continue;
        }
        let kind = seen.exchange_kinds.get(binding.source.as_str()).copied();
        let bound =
            Bound { exchange: &binding.source, kind, key: &binding.key, arguments: &binding.arguments };
        let Some(verdict) = judge.judge(bound) else {
            left_out.foreign_bindings += 1;
            continue;
        };
        let owner = if is_queue { seen.owner(name) } else { Owner::Exchange(name) };
        let number = *by_owner.entry(owner).or_insert_with(|| {
            clients.push(seen.client(owner));
            clients.len() - 1
        });
        if let Some(client) = clients.get_mut(number) {
            add(client, binding, is_queue.then_some(name), verdict, &seen);
        }
    }
    for client in &mut clients {
        let findings = habits::of_a_client(client, question);
        client.findings.extend(findings);
    }
    (clients, left_out)
}

/// Who stands behind a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Owner<'s> {
    Connection(&'s str),
    Consumer(&'s str),
    Queue(&'s str),
    Exchange(&'s str),
}

/// A site, arranged to be asked by name.
struct Seen<'s> {
    exchange_kinds: HashMap<&'s str, &'s str>,
    queues: HashMap<&'s str, &'s Queue>,
    consumers: HashMap<&'s str, Vec<&'s Consumer>>,
    connections: HashMap<&'s str, &'s Connection>,
}

impl<'s> Seen<'s> {
    fn of(site: &'s Site) -> Self {
        let mut consumers: HashMap<&str, Vec<&Consumer>> = HashMap::new();
        for consumer in &site.consumers {
            consumers.entry(&consumer.queue).or_default().push(consumer);
        }
        Self {
            exchange_kinds: site
                .exchanges
                .iter()
                .map(|seen| (seen.name.as_str(), seen.kind.as_str()))
                .collect(),
            queues: site.queues.iter().map(|queue| (queue.name.as_str(), queue)).collect(),
            connections: site.connections.iter().map(|seen| (seen.name.as_str(), seen)).collect(),
            consumers,
        }
    }

    /// Who consumes from this queue; the first one where there are several.
    fn owner(&self, queue: &'s str) -> Owner<'s> {
        let consumers = self.consumers.get(queue).map_or(&[][..], Vec::as_slice);
        let known = consumers.iter().find_map(|consumer| consumer.connection.as_deref());
        let counted = self.queues.get(queue).and_then(|queue| queue.consumers).unwrap_or_default();
        match known {
            Some(connection) => Owner::Connection(connection),
            None if counted > 0 || !consumers.is_empty() => Owner::Consumer(queue),
            None => Owner::Queue(queue),
        }
    }

    fn client(&self, owner: Owner<'s>) -> Client {
        let (seen_as, name) = match owner {
            Owner::Connection(name) => (SeenAs::Connection, name),
            Owner::Consumer(name) => (SeenAs::Consumer, name),
            Owner::Queue(name) => (SeenAs::Queue, name),
            Owner::Exchange(name) => (SeenAs::Exchange, name),
        };
        let mut client = Client::new(seen_as, name);
        let connection = match owner {
            Owner::Connection(name) => self.connections.get(name),
            _ => None,
        };
        if let Some(connection) = connection {
            let library = connection.library.as_ref().map(|library| {
                let version = connection.library_version.as_ref();
                version.map_or_else(|| library.clone(), |version| format!("{library} {version}"))
            });
            client.library = library;
            client.client_name.clone_from(&connection.client_name);
            client.platform.clone_from(&connection.platform);
            client.user.clone_from(&connection.user);
            client.peer.clone_from(&connection.peer_host);
        }
        client
    }

    fn queue(&self, name: &str) -> QueueUse {
        let seen = self.queues.get(name);
        // The statistics of the management API come some seconds after its lists.
        let counted = seen.and_then(|queue| queue.consumers);
        let listed = self.consumers.get(name).map(|consumers| consumers.len() as u64);
        QueueUse {
            name: name.to_owned(),
            durable: seen.and_then(|queue| queue.durable),
            exclusive: seen.and_then(|queue| queue.exclusive),
            auto_delete: seen.and_then(|queue| queue.auto_delete),
            messages: seen.and_then(|queue| queue.messages),
            consumers: counted.max(listed),
        }
    }
}

fn add(client: &mut Client, binding: &Binding, queue: Option<&str>, verdict: Verdict, seen: &Seen<'_>) {
    if let Some(queue) = queue.filter(|name| client.queues.iter().all(|known| known.name != *name)) {
        client.queues.push(seen.queue(queue));
    }
    let fate = BindingFate {
        queue: queue.map(str::to_owned),
        exchange: binding.source.clone(),
        key: binding.key.clone(),
        arguments: binding.arguments.clone(),
        at: None,
        fate: Fate::Alive,
        events: Vec::new(),
    };
    client.bind(fate, verdict);
}

impl Client {
    /// A client of which nothing is known yet.
    pub(super) fn new(seen_as: SeenAs, name: &str) -> Self {
        Self {
            seen_as,
            name: name.to_owned(),
            client_name: None,
            library: None,
            platform: None,
            user: None,
            peer: None,
            queues: Vec::new(),
            bindings: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Adds a binding and what is to be said of it.
    pub(super) fn bind(&mut self, binding: BindingFate, verdict: Verdict) {
        for said in verdict.said {
            self.findings.push(Finding {
                kind: said.kind,
                fates: said.fates,
                queue: binding.queue.clone(),
                exchange: Some(binding.exchange.clone()),
                key: Some(binding.key.clone()),
                at: binding.at,
                events: said.events,
                what: said.what,
                lost: said.lost,
                why: said.why,
                advice: said.advice,
                accepted: None,
            });
        }
        self.bindings.push(BindingFate { fate: verdict.fate, events: verdict.events, ..binding });
    }
}
