//! What of a site a plan rests on, and how the site has changed since.
//!
//! Old scripts come and go with queues of their own, and so do the tenants' exchanges of the platform. A plan rests on
//! none of these: only on the objects that it names, and on the bindings by which a message can get from one of its
//! exchanges to another.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::intake::is_mark;
use crate::core::site::{Binding, Destination, Exchange, Queue, Site};
use crate::core::step::{Action, described_binding, exchange_differences, queue_differences};

use super::Plan;

/// What of a site a plan rests on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Basis {
    /// The virtual host, where a source named it.
    pub vhost: Option<String>,
    /// The exchanges whose being there or not matters.
    pub exchange_names: BTreeSet<String>,
    /// The queues whose being there or not matters.
    pub queue_names: BTreeSet<String>,
    /// Those of them that were there.
    pub exchanges: Vec<Exchange>,
    /// Those of them that were there.
    pub queues: Vec<Queue>,
    /// The bindings that matter.
    pub bindings: Vec<Binding>,
}

/// A change since the plan was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drift {
    /// What changed, such as ``exchange `xivo` ``.
    pub what: String,
    /// How it changed.
    pub change: String,
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.what, self.change)
    }
}

impl Basis {
    /// What matters of this site, where these exchanges and queues do.
    pub(super) fn of(site: &Site, exchange_names: BTreeSet<String>, queue_names: BTreeSet<String>) -> Self {
        let exchanges = site.exchanges.iter().filter(|exchange| exchange_names.contains(&exchange.name));
        let queues = site.queues.iter().filter(|queue| queue_names.contains(&queue.name));
        let (ahead, back) = (reach(site, &exchange_names, true), reach(site, &exchange_names, false));
        let matters = |binding: &&Binding| match &binding.destination {
            Destination::Queue(queue) => queue_names.contains(queue),
            Destination::Exchange(exchange) => ahead.contains(&binding.source) && back.contains(exchange),
        };
        let mut basis = Self {
            vhost: site.vhost.clone(),
            // Figures change all the time and mean nothing here.
            exchanges: exchanges.map(|exchange| Exchange { published: None, ..exchange.clone() }).collect(),
            queues: queues.map(|queue| Queue { messages: None, consumers: None, ..queue.clone() }).collect(),
            bindings: site.bindings.iter().filter(matters).cloned().collect(),
            exchange_names,
            queue_names,
        };
        basis.exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        basis.queues.sort_by(|a, b| a.name.cmp(&b.name));
        basis.bindings.sort_by_key(described_binding);
        basis
    }
}

/// The exchanges that a message can get to from these over bindings, or from which it can get to these.
fn reach(site: &Site, from: &BTreeSet<String>, ahead: bool) -> BTreeSet<String> {
    let mut reached = from.clone();
    loop {
        let before = reached.len();
        for binding in &site.bindings {
            if let Destination::Exchange(destination) = &binding.destination {
                let (start, end) =
                    if ahead { (&binding.source, destination) } else { (destination, &binding.source) };
                if reached.contains(start) {
                    reached.insert(end.clone());
                }
            }
        }
        if reached.len() == before {
            return reached;
        }
    }
}

impl Plan {
    /// How the site has changed since the plan was made, but for what the plan itself does to it.
    #[must_use]
    pub fn drift(&self, site: &Site) -> Vec<Drift> {
        let was = &self.basis;
        let is = Basis::of(site, was.exchange_names.clone(), was.queue_names.clone());
        let mut drift = Vec::new();
        if let (Some(planned), Some(found)) = (&was.vhost, &is.vhost)
            && planned != found
        {
            let change = format!("is another one: the plan was made for `{planned}`");
            drift.push(Drift { what: format!("the virtual host `{found}`"), change });
        }
        let by_the_plan = |action: &Action| self.steps.iter().any(|step| step.action == *action);
        for name in &was.exchange_names {
            let of =
                |exchanges: &[Exchange]| exchanges.iter().find(|exchange| exchange.name == *name).cloned();
            let made = self.steps.iter().find_map(|step| match &step.action {
                Action::DeclareExchange(exchange) if exchange.name == *name => Some(exchange),
                _ => None,
            });
            let differences = |is: &Exchange, was: &Exchange| exchange_differences(is, was);
            changed(
                "exchange",
                name,
                of(&was.exchanges).as_ref(),
                of(&is.exchanges).as_ref(),
                made,
                differences,
            )
            .into_iter()
            .for_each(|change| drift.push(change));
        }
        for name in &was.queue_names {
            let of = |queues: &[Queue]| queues.iter().find(|queue| queue.name == *name).cloned();
            let made = self.steps.iter().find_map(|step| match &step.action {
                Action::DeclareQueue(queue) if queue.name == *name => Some(queue),
                _ => None,
            });
            let differences = |is: &Queue, was: &Queue| queue_differences(is, was);
            changed("queue", name, of(&was.queues).as_ref(), of(&is.queues).as_ref(), made, differences)
                .into_iter()
                .for_each(|change| drift.push(change));
        }
        let binding = |binding: &Binding, change: &str| Drift {
            what: format!("binding {}", described_binding(binding)),
            change: change.to_owned(),
        };
        // The bridge binds its mark itself when it starts. A plan that leaves marks alone does not rest on them.
        let sees_to_marks = self.steps.iter().any(|step| match &step.action {
            Action::Bind(binding) | Action::Unbind(binding) => is_mark(binding),
            _ => false,
        });
        let matters = |binding: &&Binding| sees_to_marks || !is_mark(binding);
        for gone in was.bindings.iter().filter(matters).filter(|was| !is.bindings.contains(was)) {
            if !by_the_plan(&Action::Unbind(gone.clone())) {
                drift.push(binding(gone, "is gone"));
            }
        }
        for new in is.bindings.iter().filter(matters).filter(|is| !was.bindings.contains(is)) {
            if !by_the_plan(&Action::Bind(new.clone())) {
                drift.push(binding(new, "is new"));
            }
        }
        drift
    }
}

fn changed<T>(
    object: &str,
    name: &str,
    was: Option<&T>,
    is: Option<&T>,
    made: Option<&T>,
    differences: impl Fn(&T, &T) -> Vec<crate::core::step::Difference>,
) -> Option<Drift> {
    let (is, should) = match (was, is) {
        (None, None) => return None,
        (Some(_), None) => {
            return Some(Drift { what: format!("{object} `{name}`"), change: "is gone".to_owned() });
        }
        (Some(was), Some(is)) => (is, was),
        (None, Some(is)) => match made {
            Some(made) => (is, made),
            None => {
                return Some(Drift { what: format!("{object} `{name}`"), change: "is new".to_owned() });
            }
        },
    };
    let differences = differences(is, should);
    let words: Vec<String> = differences
        .iter()
        .map(|difference| {
            format!("`{}` is {} and not {}", difference.attribute, difference.found, difference.wanted)
        })
        .collect();
    (!words.is_empty()).then(|| Drift {
        what: format!("{object} `{name}`"),
        change: format!("has changed: {}", words.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bind_exchanges, bind_queue, planned, site_of};
    use super::*;

    fn drift(before: &Site, after: &Site) -> Vec<String> {
        planned(before).plan.drift(after).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_steps_of_the_plan_are_no_drift_however_many_are_done() {
        let before = site_of(&[("xivo", "topic")]);
        let plan = planned(&before).plan;
        let mut site = before.clone();
        assert_eq!(plan.drift(&site), []);
        for step in &plan.steps {
            step.action.apply(&mut site);
            assert_eq!(plan.drift(&site), []);
        }
    }

    #[test]
    fn a_change_is_named() {
        let before = site_of(&[("xivo", "topic")]);
        assert_eq!(drift(&before, &Site::default()), ["exchange `xivo` is gone"]);
        assert_eq!(
            drift(&before, &site_of(&[("xivo", "fanout")])),
            ["exchange `xivo` has changed: `type` is `fanout` and not `topic`"]
        );
        assert_eq!(
            drift(&before, &site_of(&[("xivo", "topic"), ("xivo-cti", "fanout")])),
            ["exchange `xivo-cti` has changed: `type` is `fanout` and not `direct`"]
        );
        let mut after = before.clone();
        bind_exchanges(&mut after, &[("xivo-cti", "xivo", "#")]);
        assert_eq!(drift(&before, &after), ["binding `xivo-cti` → exchange `xivo`, key `#` is new"]);
        bind_queue(&mut after, "xivo", "cti-bridge.legacy", "x");
        assert_eq!(drift(&before, &after).len(), 2);
    }

    #[test]
    fn clients_and_tenants_that_come_and_go_are_none() {
        let before = site_of(&[("xivo", "topic"), ("wazo-headers", "headers")]);
        let mut after = before.clone();
        bind_queue(&mut after, "xivo", "amq.gen-1", "calls.#");
        bind_exchanges(&mut after, &[("xivo", "wazo-headers", "#"), ("wazo-headers", "tenant", "")]);
        assert_eq!(drift(&before, &after), [] as [&str; 0]);
    }

    #[test]
    fn another_virtual_host_is() {
        let (mut before, mut after) = (Site::default(), Site::default());
        before.vhost = Some("/".into());
        after.vhost = Some("test".into());
        assert_eq!(
            drift(&before, &after),
            ["the virtual host `test` is another one: the plan was made for `/`"]
        );
    }
}
