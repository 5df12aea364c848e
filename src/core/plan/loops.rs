//! Proof that no message goes round or arrives twice: the exchanges as a graph, with the bindings between them and
//! the two ways of the bridge as edges.
//!
//! A message that the bridge published carries its mark, and the bridge does not take it in again; the broker follows
//! bindings between exchanges at most once per message. So a message can come back to an exchange in one way only: over
//! the bridge once, and then over bindings. That is what is looked for here, and likewise whether an event gets from the
//! modern exchange to a legacy one by a binding as well as by the bridge.
//!
//! Keys are compared, as most ways that exist on paper are open to no message. Where keys can only be estimated, too many
//! are taken to meet, never too few.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::intake::Intake;
use crate::core::pattern::Pattern;
use crate::core::rule::DEFAULT_LEGACY_EXCHANGE;
use crate::core::settings::UnknownEvents;
use crate::core::site::{Binding, Destination, Site};
use crate::core::translate::Translator;

use super::native::NativeBinding;

/// Something that must not be carried out as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Conflict {
    /// A message comes back to an exchange that it was on.
    Loop {
        /// The way round.
        path: Vec<Hop>,
    },
    /// The bridge and a binding both bring an event to its clients.
    Twice {
        /// The event.
        event: String,
        /// The way past the bridge.
        path: Vec<Hop>,
    },
    /// The bridge is set up where bindings alone are to serve.
    BridgeIsSetUp {
        /// Its queue.
        queue: String,
    },
}

/// One stretch of the way of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hop {
    /// The exchange it leaves.
    pub from: String,
    /// How.
    pub via: Via,
    /// The exchange it comes to.
    pub to: String,
}

/// What carries a message from one exchange to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    /// The bridge.
    Bridge,
    /// A binding with this key.
    Binding(String),
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loop { path } => write!(f, "a message would come back: {}", shown(path)),
            Self::Twice { event, path } => {
                write!(f, "`{event}` would come twice, from the bridge and past it: {}", shown(path))
            }
            Self::BridgeIsSetUp { queue } => {
                write!(f, "the bridge is set up here: its queue `{queue}` is bound")
            }
        }
    }
}

impl Conflict {
    /// What to do about it.
    #[must_use]
    pub const fn help(&self) -> &'static str {
        match self {
            Self::Loop { .. } => "remove one of these bindings first",
            Self::Twice { .. } => {
                "roll the native bindings back, or remove this one; or leave the daemon out with `--native`"
            }
            Self::BridgeIsSetUp { .. } => "stop the daemon and roll its plan back first",
        }
    }
}

fn shown(path: &[Hop]) -> String {
    let mut text = path.first().map(|hop| format!("`{}`", hop.from)).unwrap_or_default();
    for hop in path {
        match &hop.via {
            Via::Bridge => text.push_str(" ─ the bridge"),
            Via::Binding(key) => text.push_str(&format!(" ─ key `{key}`")),
        }
        text.push_str(&format!(" → `{}`", hop.to));
    }
    text
}

/// Some routing keys.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Keys {
    All,
    Is(String),
    Like(String),
    /// One word with a capital letter first: AMI events.
    Capitalised,
}

impl Keys {
    fn like(pattern: &str) -> Self {
        if Pattern::parse(pattern).is_literal() {
            Self::Is(pattern.to_owned())
        } else {
            Self::Like(pattern.to_owned())
        }
    }

    /// The keys that are in both, or more of them; none if there are none.
    fn narrowed(&self, by: &Self) -> Option<Self> {
        match (self, by) {
            (Self::All, keys) | (keys, Self::All) => Some(keys.clone()),
            (Self::Is(one), Self::Is(other)) => (one == other).then(|| self.clone()),
            (Self::Is(key), Self::Like(pattern)) | (Self::Like(pattern), Self::Is(key)) => {
                Pattern::parse(pattern).matches(key).then(|| Self::Is(key.clone()))
            }
            (Self::Like(one), Self::Like(other)) => {
                Pattern::parse(one).meets(&Pattern::parse(other)).then(|| self.clone())
            }
            (Self::Capitalised, Self::Is(key)) | (Self::Is(key), Self::Capitalised) => {
                let is_one = key.starts_with(|c: char| c.is_ascii_uppercase()) && !key.contains('.');
                is_one.then(|| Self::Is(key.clone()))
            }
            (Self::Capitalised, Self::Like(pattern)) | (Self::Like(pattern), Self::Capitalised) => {
                Pattern::parse(pattern).meets(&Pattern::parse("*")).then_some(Self::Capitalised)
            }
            (Self::Capitalised, Self::Capitalised) => Some(Self::Capitalised),
        }
    }
}

/// A binding between two exchanges, with the keys that pass.
struct Edge<'s> {
    from: &'s str,
    to: &'s str,
    keys: Keys,
    binding: &'s Binding,
}

/// A site's exchanges and the bindings between them.
pub(super) struct Graph<'s> {
    edges: Vec<Edge<'s>>,
}

impl<'s> Graph<'s> {
    pub(super) fn of(site: &'s Site) -> Self {
        let edge = |binding: &'s Binding| {
            let Destination::Exchange(to) = &binding.destination else { return None };
            let keys = match site.exchange(&binding.source).map(|exchange| exchange.kind.as_str()) {
                Some("direct") => Keys::Is(binding.key.clone()),
                Some("topic") => Keys::like(&binding.key),
                // Headers exchanges, fanouts and plugins' types look at no key, or in a way of their own.
                _ => Keys::All,
            };
            Some(Edge { from: &binding.source, to, keys, binding })
        };
        Self { edges: site.bindings.iter().filter_map(edge).collect() }
    }

    /// The way over bindings from one exchange to another that a message with such a key can take.
    fn path(&self, from: &str, to: &str, keys: Keys) -> Option<Vec<Hop>> {
        let mut seen: BTreeSet<(String, Keys)> = BTreeSet::new();
        let mut queue = VecDeque::from([(from.to_owned(), keys, Vec::new())]);
        while let Some((at, keys, path)) = queue.pop_front() {
            for edge in self.edges.iter().filter(|edge| edge.from == at) {
                let Some(keys) = keys.narrowed(&edge.keys) else { continue };
                let mut path = path.clone();
                let via = Via::Binding(edge.binding.key.clone());
                path.push(Hop { from: at.clone(), via, to: edge.to.to_owned() });
                if edge.to == to {
                    return Some(path);
                }
                if seen.insert((edge.to.to_owned(), keys.clone())) {
                    queue.push_back((edge.to.to_owned(), keys, path));
                }
            }
        }
        None
    }
}

/// What would go wrong on this site with the bridge beside it.
pub(super) fn with_the_bridge(
    site: &Site,
    translator: &Translator,
    taken_in: &[Binding],
    native: &[NativeBinding<'_>],
) -> Vec<Conflict> {
    let modern = translator.settings().modern_exchange.as_str();
    let graph = Graph::of(site);
    let mut conflicts: Vec<Conflict> = Vec::new();
    let mut add = |conflict: Conflict| {
        if !conflicts.contains(&conflict) {
            conflicts.push(conflict);
        }
    };
    for (exchange, keys) in published(translator) {
        if let Some(back) = graph.path(&exchange, modern, keys) {
            let over = Hop { from: modern.to_owned(), via: Via::Bridge, to: exchange };
            add(Conflict::Loop { path: [vec![over], back].concat() });
        }
    }
    for binding in taken_in {
        let keys = match site.exchange(&binding.source).map(|exchange| exchange.kind.as_str()) {
            Some("direct") => Keys::Is(binding.key.clone()),
            _ => Keys::like(&binding.key),
        };
        if let Some(back) = graph.path(modern, &binding.source, keys) {
            let over = Hop { from: binding.source.clone(), via: Via::Bridge, to: modern.to_owned() };
            add(Conflict::Loop { path: [vec![over], back].concat() });
        }
    }
    for native in native {
        let Destination::Exchange(exchange) = &native.binding.destination else { continue };
        for address in native.entry.addresses.iter().filter(|address| address.exchange == *exchange) {
            let key = Keys::Is(address.routing_key.to_string());
            if let Some(path) = graph.path(modern, exchange, key) {
                add(Conflict::Twice { event: native.event.to_owned(), path });
            }
        }
    }
    conflicts
}

/// What would go wrong on this site with native bindings and no bridge: that there is one.
pub(super) fn without_the_bridge(site: &Site, intake: &Intake) -> Vec<Conflict> {
    let queue = intake.modern_queue();
    let to_queue = Destination::Queue(queue.clone());
    let is_bound = site.bindings.iter().any(|binding| binding.destination == to_queue);
    if is_bound { vec![Conflict::BridgeIsSetUp { queue }] } else { Vec::new() }
}

/// Where the bridge publishes, and under which keys.
fn published(translator: &Translator) -> BTreeSet<(String, Keys)> {
    let catalog = translator.catalog();
    let mut published = BTreeSet::new();
    if translator.settings().unknown_events == UnknownEvents::Pass {
        published.insert((DEFAULT_LEGACY_EXCHANGE.to_owned(), Keys::All));
    }
    for (_, entry) in catalog.listed() {
        for address in &entry.addresses {
            published.insert((address.exchange.clone(), Keys::Is(address.routing_key.to_string())));
        }
    }
    for entry in catalog.open() {
        published.extend(entry.addresses.iter().map(|a| (a.exchange.clone(), Keys::Capitalised)));
    }
    published
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bind_exchanges, planned, planned_with, site_of};
    use super::super::{Mode, Options, Sides};
    use super::*;

    fn conflicts(extra: &[(&str, &str, &str)]) -> Vec<String> {
        let mut site = planned(&Site::default()).applied_to(&Site::default());
        bind_exchanges(&mut site, extra);
        planned(&site).plan.conflicts.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_the_bridge_itself_needs_is_no_loop() {
        assert_eq!(conflicts(&[]), [] as [&str; 0]);
    }

    #[test]
    fn a_way_back_behind_the_bridge_is_shown() {
        assert_eq!(
            conflicts(&[("xivo-cti", "xivo", "door_opened")]),
            ["a message would come back: `xivo` ─ the bridge → `xivo-cti` ─ key `door_opened` → `xivo`"]
        );
        assert_eq!(
            conflicts(&[("xivo-ami", "fan", "#"), ("fan", "xivo", "")]),
            [
                "a message would come back: `xivo` ─ the bridge → `xivo-ami` ─ key `#` → `fan` ─ key `` → `xivo`"
            ]
        );
    }

    #[test]
    fn a_key_that_no_message_has_makes_no_loop() {
        assert_eq!(conflicts(&[("xivo-ami", "xivo", "ami.Hangup")]), [] as [&str; 0]);
        assert_eq!(conflicts(&[("xivo-status-updates", "xivo", "no.such.key")]), [] as [&str; 0]);
    }

    #[test]
    fn a_native_binding_beside_the_bridge_doubles() {
        let found = conflicts(&[("xivo", "xivo-status-updates", "status.#")]);
        assert_eq!(
            found,
            ["`agent_status_update` would come twice, from the bridge and past it: \
                 `xivo` ─ key `status.#` → `xivo-status-updates`"]
        );
        // This one is also taken in by the bridge, and published on `xivo` once more.
        let found = conflicts(&[("xivo", "xivo-cti", "call_form_result")]);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].starts_with("a message would come back: `xivo-cti` ─ the bridge → `xivo` ─ key"));
    }

    #[test]
    fn platform_exchanges_that_only_lead_away_do_no_harm() {
        assert_eq!(
            conflicts(&[("xivo", "wazo-headers", "#"), ("wazo-headers", "tenant", "")]),
            [] as [&str; 0]
        );
    }

    #[test]
    fn native_bindings_and_the_bridge_exclude_each_other() {
        let site = planned(&Site::default()).applied_to(&Site::default());
        let native = Options { mode: Mode::Native, sides: Sides::Both, rebind: Vec::new() };
        let plan = planned_with(&site, &native).plan;
        assert_eq!(plan.conflicts, [Conflict::BridgeIsSetUp { queue: "cti-bridge.modern".into() }]);
        let alone = planned_with(&Site::default(), &native).applied_to(&Site::default());
        assert!(!planned(&alone).plan.conflicts.is_empty());
        assert_eq!(planned_with(&alone, &native).plan.conflicts, []);
    }

    #[test]
    fn ways_beyond_counting_are_searched_in_no_time() {
        let mut site = site_of(&[("xivo", "topic")]);
        for layer in 0..40 {
            for (from, to) in [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b")] {
                let (from, to) = (format!("{from}{layer}"), format!("{to}{}", layer + 1));
                bind_exchanges(&mut site, &[(&from, &to, "#")]);
            }
        }
        bind_exchanges(&mut site, &[("xivo-ami", "a0", "#")]);
        assert_eq!(planned(&site).plan.conflicts, []);
        bind_exchanges(&mut site, &[("a40", "xivo", "#")]);
        assert_eq!(planned(&site).plan.conflicts.len(), 1);
    }
}
