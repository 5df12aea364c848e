//! What can only be seen from outside: bindings, and who consumes.

use std::collections::BTreeSet;

use super::{Area, Check, Defect, Verdict};
use crate::core::message::{Direction, MARK_HEADER};
use crate::core::site::{self, Site};
use crate::core::topology::{Binding, Topology};

/// Holds the bindings that are needed against those that were seen. Where none were, those stay unproven that no probe
/// came over: the keys of real events belong to real clients.
#[must_use]
pub fn bindings(needed: &Topology, seen: Option<&Site>, came_over: impl Fn(&Binding) -> bool) -> Vec<Check> {
    let seen = seen.filter(|site| !site.bindings.is_empty());
    let check = |binding: &Binding| {
        let as_seen = site::Binding::from(binding);
        let destination = as_seen.destination.to_string();
        let by = match binding.arguments.get(MARK_HEADER) {
            Some(mark) => format!("{MARK_HEADER}={}", mark.as_str().unwrap_or_default()),
            None => binding.key.clone(),
        };
        let name = format!("`{}` with `{by}` → {destination}", binding.source);
        let verdict = match seen {
            Some(site) if site.bindings.contains(&as_seen) => Verdict::Passed,
            Some(_) => Verdict::Failed(Defect::BindingMissing {
                source: binding.source.to_string(),
                key: by,
                destination,
            }),
            None if came_over(binding) => Verdict::Passed,
            None => Verdict::Unproven("AMQP shows no bindings".to_owned()),
        };
        Check::new(Area::Bindings, name, verdict)
    };
    needed.bindings.iter().map(check).collect()
}

/// The consumers on this queue that are no bridge, each as somebody to be looked for.
#[must_use]
pub fn foreign_consumers(site: &Site, queue: &str) -> BTreeSet<String> {
    let own = [Direction::ToLegacy, Direction::ToModern].map(Direction::consumer_tag);
    let on_queue = site.consumers.iter().filter(|consumer| consumer.queue == queue);
    let foreign = on_queue.filter(|consumer| consumer.tag.as_ref().is_some_and(|tag| !own.contains(tag)));
    foreign
        .map(|consumer| {
            let tag = consumer.tag.as_deref().unwrap_or_default();
            let mut who = format!("consumer `{tag}`");
            let name = consumer.connection.as_deref();
            let connection = site.connections.iter().find(|known| Some(known.name.as_str()) == name);
            if let Some(name) = name {
                who.push_str(&format!(" of connection `{name}`"));
            }
            let details = connection.map(|known| {
                [("user", &known.user), ("client", &known.client_name), ("library", &known.library)]
            });
            for (what, value) in details.into_iter().flatten() {
                if let Some(value) = value {
                    who.push_str(&format!(", {what} `{value}`"));
                }
            }
            who
        })
        .collect()
}
