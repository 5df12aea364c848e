//! Several looks at one virtual host become one site.
//!
//! Sources come in order: a later one is fresher, and what it says wins. An attribute that only one source shows is
//! kept whichever it was. What remains as a gap is what no source shows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::{
    Arguments, Aspect, Binding, Conflict, Connection, Consumer, Destination, Exchange, Gap, Queue, Site,
};

/// What one source shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// The source, for people: a file, or an address without a password.
    pub source: String,
    /// What it shows.
    pub site: Site,
}

/// Two sources are about different virtual hosts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{first_source} shows the virtual host `{first}`, and {second_source} shows `{second}`")]
pub struct DifferentVhosts {
    /// A virtual host.
    pub first: String,
    /// The source that shows it.
    pub first_source: String,
    /// Another virtual host.
    pub second: String,
    /// The source that shows that one.
    pub second_source: String,
}

/// The site that these sources show together.
///
/// # Errors
/// When they are about different virtual hosts.
pub fn merged(parts: Vec<Part>) -> Result<Site, DifferentVhosts> {
    let vhost = the_vhost(&parts)?;
    let gaps = gaps(&parts);
    let mut merge = Merge { site: Site { vhost, gaps, ..Site::default() }, ..Merge::default() };
    for part in parts {
        merge.add(part);
    }
    Ok(merge.finish())
}

fn the_vhost(parts: &[Part]) -> Result<Option<String>, DifferentVhosts> {
    let mut known: Option<(&str, &str)> = None;
    for part in parts {
        let Some(vhost) = part.site.vhost.as_deref() else { continue };
        match known {
            Some((first, first_source)) if first != vhost => {
                return Err(DifferentVhosts {
                    first: first.to_owned(),
                    first_source: first_source.to_owned(),
                    second: vhost.to_owned(),
                    second_source: part.source.clone(),
                });
            }
            _ => known = Some((vhost, &part.source)),
        }
    }
    Ok(known.map(|(vhost, _)| vhost.to_owned()))
}

/// A gap is left where every source has one; then the source that shows most tells what is missing.
fn gaps(parts: &[Part]) -> Vec<Gap> {
    let aspects: BTreeSet<Aspect> =
        parts.iter().flat_map(|part| part.site.gaps.iter().map(|gap| gap.aspect)).collect();
    let left = aspects.into_iter().filter(|aspect| parts.iter().all(|part| !part.site.shows(*aspect)));
    let told = left.filter_map(|aspect| {
        // Of equals the first: `max_by_key` would take the last.
        let most = parts.iter().rev().max_by_key(|part| shown(&part.site, aspect))?;
        Some(most.site.gaps.iter().filter(move |gap| gap.aspect == aspect).cloned())
    });
    told.flatten().collect()
}

/// How much of this a source shows.
fn shown(site: &Site, aspect: Aspect) -> usize {
    match aspect {
        Aspect::Exchanges => site.exchanges.len(),
        Aspect::Queues => site.queues.len(),
        Aspect::Bindings => site.bindings.len(),
        Aspect::Consumers => site.consumers.len(),
        Aspect::Connections => site.connections.len(),
        Aspect::Traffic => site.exchanges.iter().filter(|exchange| exchange.published.is_some()).count(),
        Aspect::Alarms => site.alarms.len(),
        Aspect::Permissions => site.permissions.len(),
    }
}

#[derive(Default)]
struct Merge {
    site: Site,
    exchanges: BTreeMap<String, Exchange>,
    queues: BTreeMap<String, Queue>,
    bindings: BTreeMap<(String, Destination, String, String), Binding>,
    consumers: BTreeMap<(String, Option<String>), Vec<Consumer>>,
    connections: BTreeMap<String, Connection>,
    /// Names of connections by where they come from.
    peers: HashMap<(String, u16), String>,
    /// The broker's own names of connections by those that were put together from address and port.
    renamed: HashMap<String, String>,
}

/// Takes what a later source says about attributes, and notes where an earlier one said something else.
struct Taker<'m> {
    object: String,
    source: &'m str,
    conflicts: &'m mut Vec<Conflict>,
}

impl Taker<'_> {
    fn take<T: PartialEq + fmt::Debug>(&mut self, attribute: &str, known: &mut Option<T>, said: Option<T>) {
        let Some(said) = said else { return };
        if let Some(known) = known.as_ref().filter(|known| **known != said) {
            self.note(attribute, format!("{said:?}"), format!("{known:?}"));
        }
        *known = Some(said);
    }

    /// Arguments are empty where there are none, and where the source does not show any.
    fn take_arguments(&mut self, known: &mut Arguments, said: Arguments, is_whole: bool) {
        if said.is_empty() && !is_whole {
            return;
        }
        if *known != said && !known.is_empty() {
            let text = |arguments: &Arguments| serde_json::to_string(arguments).unwrap_or_default();
            self.note("arguments", text(&said), text(known));
        }
        *known = said;
    }

    fn note(&mut self, attribute: &str, taken: String, instead_of: String) {
        let what = format!("{}: {attribute}", self.object);
        self.conflicts.push(Conflict { what, taken, source: self.source.to_owned(), instead_of });
    }
}

impl Merge {
    fn add(&mut self, part: Part) {
        let Part { source, site: mut said } = part;
        self.site.broker_version = said.broker_version.take().or(self.site.broker_version.take());
        self.site.conflicts.append(&mut said.conflicts);
        let whole = |aspect| said.gaps.iter().all(|gap: &Gap| gap.aspect != aspect);
        let (whole_exchanges, whole_queues) = (whole(Aspect::Exchanges), whole(Aspect::Queues));
        let whole_alarms = whole(Aspect::Alarms);
        for exchange in said.exchanges {
            self.exchange(exchange, &source, whole_exchanges);
        }
        for queue in said.queues {
            self.queue(queue, &source, whole_queues);
        }
        for binding in said.bindings {
            let arguments = serde_json::to_string(&binding.arguments).unwrap_or_default();
            let identity =
                (binding.source.clone(), binding.destination.clone(), binding.key.clone(), arguments);
            self.bindings.entry(identity).or_insert(binding);
        }
        for connection in said.connections {
            self.connection(connection);
        }
        self.consumers(said.consumers);
        // Alarms come and go: who sees all of them sees which have gone.
        if whole_alarms {
            self.site.alarms.clear();
        }
        self.site.alarms.append(&mut said.alarms);
        for permission in said.permissions {
            self.site.permissions.retain(|known| known.user != permission.user);
            self.site.permissions.push(permission);
        }
    }

    fn exchange(&mut self, said: Exchange, source: &str, is_whole: bool) {
        let object = format!("exchange `{}`", said.name);
        let Some(known) = self.exchanges.get_mut(&said.name) else {
            self.exchanges.insert(said.name.clone(), said);
            return;
        };
        let mut taker = Taker { object, source, conflicts: &mut self.site.conflicts };
        if known.kind != said.kind {
            taker.note("type", said.kind.clone(), known.kind.clone());
            known.kind = said.kind;
        }
        taker.take("durable", &mut known.durable, said.durable);
        taker.take("auto_delete", &mut known.auto_delete, said.auto_delete);
        taker.take("internal", &mut known.internal, said.internal);
        taker.take_arguments(&mut known.arguments, said.arguments, is_whole);
        // A counter moves between two looks; that is no contradiction.
        known.published = said.published.or(known.published);
    }

    fn queue(&mut self, said: Queue, source: &str, is_whole: bool) {
        let object = format!("queue `{}`", said.name);
        let Some(known) = self.queues.get_mut(&said.name) else {
            self.queues.insert(said.name.clone(), said);
            return;
        };
        let mut taker = Taker { object, source, conflicts: &mut self.site.conflicts };
        taker.take("durable", &mut known.durable, said.durable);
        taker.take("auto_delete", &mut known.auto_delete, said.auto_delete);
        taker.take("exclusive", &mut known.exclusive, said.exclusive);
        taker.take_arguments(&mut known.arguments, said.arguments, is_whole);
        known.messages = said.messages.or(known.messages);
        known.consumers = said.consumers.or(known.consumers);
    }

    fn connection(&mut self, said: Connection) {
        let peer = said.peer_host.clone().zip(said.peer_port);
        let name = match peer.as_ref().and_then(|peer| self.peers.get(peer)) {
            Some(known) => known.clone(),
            None => said.name.clone(),
        };
        if let Some(peer) = peer {
            self.peers.insert(peer, name.clone());
        }
        let Some(known) = self.connections.get_mut(&name) else {
            self.connections.insert(name, said);
            return;
        };
        // The broker's name for it has an arrow in it; what is put together from address and port has none.
        if said.name.contains("->") && said.name != known.name {
            self.renamed.insert(known.name.clone(), said.name.clone());
            known.name = said.name;
        }
        known.client_name = said.client_name.or(known.client_name.take());
        known.user = said.user.or(known.user.take());
        known.peer_host = said.peer_host.or(known.peer_host.take());
        known.peer_port = said.peer_port.or(known.peer_port);
        known.library = said.library.or(known.library.take());
        known.library_version = said.library_version.or(known.library_version.take());
        known.platform = said.platform.or(known.platform.take());
    }

    /// Tags are unique on a channel only: two consumers of one source are two, whatever they look like. Each is
    /// matched with one that an earlier source showed.
    fn consumers(&mut self, said: Vec<Consumer>) {
        let mut matched: HashMap<(String, Option<String>), Vec<bool>> = HashMap::new();
        for consumer in said {
            let identity = (consumer.queue.clone(), consumer.tag.clone());
            let known = self.consumers.entry(identity.clone()).or_default();
            let matched = matched.entry(identity).or_insert_with(|| vec![false; known.len()]);
            let fits = |known: &Consumer| {
                known.connection.is_none()
                    || consumer.connection.is_none()
                    || known.connection == consumer.connection
            };
            let found =
                known.iter_mut().zip(matched.iter_mut()).find(|(known, taken)| !**taken && fits(known));
            match found {
                Some((known, taken)) => {
                    *taken = true;
                    known.connection = consumer.connection.or(known.connection.take());
                    known.acks = consumer.acks.or(known.acks);
                }
                None => known.push(consumer),
            }
        }
    }

    fn finish(self) -> Site {
        let mut site = self.site;
        site.exchanges = self.exchanges.into_values().collect();
        site.queues = self.queues.into_values().collect();
        site.bindings = self.bindings.into_values().collect();
        site.consumers = self.consumers.into_values().flatten().collect();
        for name in site.consumers.iter_mut().filter_map(|consumer| consumer.connection.as_mut()) {
            if let Some(renamed) = self.renamed.get(name) {
                renamed.clone_into(name);
            }
        }
        site.connections = self.connections.into_values().collect();
        site.alarms.sort();
        site.alarms.dedup();
        site.permissions.sort();
        site.conflicts.sort();
        site.conflicts.dedup();
        site
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(source: &str, site: serde_json::Value) -> Part {
        Part { source: source.into(), site: serde_json::from_value(site).unwrap() }
    }

    fn one(parts: Vec<Part>) -> Site {
        merged(parts).unwrap()
    }

    #[test]
    fn the_same_object_from_two_sources_is_one_with_all_that_is_known() {
        let site = one(vec![
            part(
                "a",
                serde_json::json!({
                    "exchanges": [{"name": "xivo", "type": "topic", "arguments": {"x": 1}}],
                    "queues": [{"name": "q", "durable": true}],
                    "bindings": [{"source": "xivo", "destination": {"queue": "q"}, "key": "#"}],
                    "connections": [{"name": "10.0.0.1:5", "peer_host": "10.0.0.1", "peer_port": 5}],
                    "consumers": [{"queue": "q", "tag": "1"}],
                    "gaps": [{"aspect": "exchanges", "what": "w", "source": "a"}],
                }),
            ),
            part(
                "b",
                serde_json::json!({
                    "exchanges": [{"name": "xivo", "type": "topic", "durable": true}],
                    "queues": [{"name": "q", "messages": 3}],
                    "bindings": [
                        {"source": "xivo", "destination": {"queue": "q"}, "key": "#"},
                        {"source": "xivo", "destination": {"exchange": "q"}, "key": "#"},
                    ],
                    "connections": [{
                        "name": "10.0.0.1:5 -> 10.0.0.2:5672", "peer_host": "10.0.0.1", "peer_port": 5,
                        "library": "pika",
                    }],
                    "consumers": [
                        {"queue": "q", "tag": "1", "connection": "c"}, {"queue": "q", "tag": "1", "connection": "d"},
                    ],
                    "gaps": [{"aspect": "exchanges", "what": "w", "source": "b"}],
                }),
            ),
        ]);
        assert_eq!((site.exchanges.len(), site.exchanges[0].durable), (1, Some(true)));
        assert_eq!(site.exchanges[0].arguments.len(), 1, "what only an earlier source shows is kept");
        assert_eq!(
            (site.queues.len(), site.queues[0].durable, site.queues[0].messages),
            (1, Some(true), Some(3))
        );
        assert_eq!(site.bindings.len(), 2);
        assert_eq!(site.connections.len(), 1);
        assert_eq!(site.connections[0].name, "10.0.0.1:5 -> 10.0.0.2:5672");
        assert_eq!(site.connections[0].library.as_deref(), Some("pika"));
        let connections: Vec<_> = site.consumers.iter().map(|found| found.connection.as_deref()).collect();
        assert_eq!(connections, [Some("c"), Some("d")]);
        assert_eq!(site.conflicts, []);
    }

    #[test]
    fn two_consumers_with_one_tag_in_one_source_are_two() {
        let twice =
            serde_json::json!({"consumers": [{"queue": "q", "tag": "1"}, {"queue": "q", "tag": "1"}]});
        assert_eq!(one(vec![part("a", twice.clone())]).consumers.len(), 2);
        assert_eq!(one(vec![part("a", twice.clone()), part("b", twice)]).consumers.len(), 2);
    }

    #[test]
    fn of_a_contradiction_the_later_source_wins_and_it_is_noted() {
        let exchange = |kind: &str, durable: bool, arguments: serde_json::Value| {
            serde_json::json!({"exchanges": [
                {"name": "xivo", "type": kind, "durable": durable, "arguments": arguments},
            ]})
        };
        let site = one(vec![
            part("old.json", exchange("fanout", false, serde_json::json!({"x": 1}))),
            part("live", exchange("topic", true, serde_json::json!({}))),
        ]);
        assert_eq!((site.exchanges[0].kind.as_str(), site.exchanges[0].durable), ("topic", Some(true)));
        assert!(site.exchanges[0].arguments.is_empty(), "a source without gaps shows that there are none");
        let conflicts: Vec<_> = site.conflicts.iter().map(|found| found.what.as_str()).collect();
        assert_eq!(
            conflicts,
            ["exchange `xivo`: arguments", "exchange `xivo`: durable", "exchange `xivo`: type"]
        );
        assert_eq!(
            (site.conflicts[2].source.as_str(), site.conflicts[2].instead_of.as_str()),
            ("live", "fanout")
        );
    }

    #[test]
    fn a_gap_is_left_only_where_every_source_has_one() {
        let gap =
            |aspect: &str, what: &str| serde_json::json!({"aspect": aspect, "what": what, "source": "s"});
        let site = one(vec![
            part(
                "bindings",
                serde_json::json!({"gaps": [gap("queues", "queues"), gap("consumers", "consumers")]}),
            ),
            part(
                "definitions",
                serde_json::json!({
                    "queues": [{"name": "q"}],
                    "gaps": [gap("queues", "exclusive queues"), gap("bindings", "bindings of exclusive queues")],
                }),
            ),
        ]);
        let gaps: Vec<_> = site.gaps.iter().map(|gap| gap.what.as_str()).collect();
        assert_eq!(gaps, ["exclusive queues"]);
        assert!(site.shows(Aspect::Bindings) && !site.shows(Aspect::Queues));
    }

    #[test]
    fn two_virtual_hosts_do_not_become_one_site() {
        let at = |vhost: &str| part(vhost, serde_json::json!({"vhost": vhost}));
        assert!(merged(vec![at("/"), part("x", serde_json::json!({})), at("/")]).is_ok());
        let error = merged(vec![at("/"), at("xivo")]).unwrap_err();
        assert_eq!(error.to_string(), "/ shows the virtual host `/`, and xivo shows `xivo`");
    }
}
