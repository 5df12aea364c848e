//! The migration of a site as a plan: what the bridge needs, held against what is there, as an ordered list of
//! idempotent steps; what cannot be done and why; and what becomes of each client.
//!
//! What is needed comes from [`super::intake`], as for the daemon itself. A plan that was carried out leaves nothing to
//! plan.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use self::clients::Directory;
use self::needs::Needs;
use super::intake::Intake;
use super::site::{Binding, Destination, Exchange, Queue, Site};
use super::step::{Action, Difference, described_binding, exchange_differences, queue_differences};
use super::topology::Declare;
use super::translate::Translator;

mod clients;
mod drift;
mod loops;
mod native;
mod needs;
mod rebind;

pub use clients::{Client, Need, Served};
pub use drift::{Basis, Drift};
pub use loops::{Conflict, Hop, Via};
pub(super) use needs::{exchange_of, queue_of};

/// What to plan for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// With the daemon, or with bindings alone.
    pub mode: Mode,
    /// Which sides of the bridge are on this virtual host.
    pub sides: Sides,
    /// The named client queues that leave the bridge.
    pub rebind: Vec<String>,
}

/// With the daemon or without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The daemon translates.
    #[default]
    Bridge,
    /// No daemon: exchange-to-exchange bindings for the events that need no translation, and nothing for the others.
    Native,
}

/// Which sides of the bridge are on one virtual host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sides {
    /// Both: the usual site.
    #[default]
    Both,
    /// The legacy exchanges; the modern one is elsewhere.
    Legacy,
    /// The modern exchange; the legacy ones are elsewhere.
    Modern,
}

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// With the daemon or without it.
    pub mode: Mode,
    /// What to do, in this order.
    pub steps: Vec<Step>,
    /// How many of the needed objects are in place already.
    pub in_place: usize,
    /// What is needed and cannot be done.
    pub impossible: Vec<Impossible>,
    /// What must not be carried out as it is: loops, and events that would come twice.
    pub conflicts: Vec<Conflict>,
    /// What becomes of each client that is bound to a legacy exchange.
    pub clients: Vec<Client>,
    /// What else the operator should know.
    pub notes: Vec<String>,
    /// What of the site this rests on.
    pub basis: Basis,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// What to do.
    pub action: Action,
    /// What for.
    pub why: String,
    /// The client queue that is rebound by this step and others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebinds: Option<String>,
}

/// Something that is needed and cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Impossible {
    /// What, such as ``exchange `xivo` ``.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub help: String,
    /// Where attributes differ: the 406 in waiting.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differences: Vec<Difference>,
}

/// Why a text is not a plan to be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A plan only declares, binds and unbinds.
    #[error("step {step} would {action}: a plan deletes nothing")]
    Deletes {
        /// The step's number, from one.
        step: usize,
        /// What it says.
        action: String,
    },
}

/// Plans the migration of a site.
#[must_use]
pub fn plan(site: &Site, translator: &Translator, intake: &Intake, options: &Options) -> Plan {
    let catalog = translator.catalog();
    let directory = Directory::of(catalog);
    let modern = translator.settings().modern_exchange.as_str();
    let native = native::bindings(catalog, modern, intake.modern_exchange_kind);
    let needs = Needs::of(translator, intake, &native, options);
    let legacy: BTreeSet<String> = intake
        .legacy_side(translator)
        .exchanges
        .into_iter()
        .map(|exchange| exchange.name.into_owned())
        .collect();
    let is_legacy = |exchange: &str| legacy.contains(exchange);

    let mut work =
        Work { site, steps: Vec::new(), in_place: 0, impossible: Vec::new(), blocked: BTreeSet::new() };
    for (exchange, declare, why) in &needs.exchanges {
        work.exchange(exchange, *declare, why);
    }
    for (queue, why) in &needs.queues {
        work.queue(queue, why);
    }
    for (binding, why) in &needs.bindings {
        work.binding(binding, why);
    }
    for (binding, why) in needs.obsolete.iter().filter(|(binding, _)| site.bindings.contains(binding)) {
        work.step(Action::Unbind(binding.clone()), why);
    }
    for binding in needs.other_marks(site, intake) {
        work.step(Action::Unbind(binding), "an earlier configuration had another `bridge_id`");
    }
    let mut notes = Vec::new();
    let mut exchange_names: BTreeSet<String> =
        needs.exchanges.iter().map(|(exchange, ..)| exchange.name.clone()).collect();
    let mut queue_names: BTreeSet<String> =
        needs.queues.iter().map(|(queue, _)| queue.name.clone()).collect();
    for queue in &options.rebind {
        let rebinding = rebind::rebind(queue, site, &directory, translator, intake, is_legacy);
        if rebinding
            .steps
            .iter()
            .any(|step| step.action.names().0.iter().any(|name| work.blocked.contains(*name)))
        {
            work.cannot_rebind(queue, modern);
        } else {
            work.steps.extend(rebinding.steps);
        }
        work.impossible.extend(rebinding.impossible);
        notes.extend(rebinding.notes);
        queue_names.insert(queue.clone());
    }
    let Work { steps, in_place, impossible, .. } = work;
    for (exchanges, queues) in steps.iter().map(|step| step.action.names()) {
        exchange_names.extend(exchanges.into_iter().map(str::to_owned));
        queue_names.extend(queues.into_iter().map(str::to_owned));
    }

    let mut after = site.clone();
    steps.iter().for_each(|step| step.action.apply(&mut after));
    let conflicts = match (options.mode, options.sides) {
        (Mode::Bridge, Sides::Both) => {
            loops::with_the_bridge(&after, translator, &taken_in(&needs, intake), &native)
        }
        (Mode::Bridge, Sides::Legacy | Sides::Modern) => Vec::new(),
        (Mode::Native, _) => loops::without_the_bridge(site, intake),
    };
    notes.extend(site.gaps.iter().map(|gap| format!("not seen: {} ({})", gap.what, gap.source)));
    let clients = clients::clients(site, &directory, intake, is_legacy, options.mode);
    let basis = Basis::of(site, exchange_names, queue_names);
    Plan { mode: options.mode, steps, in_place, impossible, conflicts, clients, notes, basis }
}

/// What the bridge listens to on the legacy side.
fn taken_in(needs: &Needs, intake: &Intake) -> Vec<Binding> {
    let queue = Destination::Queue(intake.legacy_queue());
    let bindings = needs.bindings.iter().map(|(binding, _)| binding);
    bindings.filter(|binding| binding.destination == queue).cloned().collect()
}

/// A plan in the making.
struct Work<'s> {
    site: &'s Site,
    steps: Vec<Step>,
    in_place: usize,
    impossible: Vec<Impossible>,
    /// Exchanges and queues that cannot be had as they are needed.
    blocked: BTreeSet<String>,
}

impl Work<'_> {
    fn step(&mut self, action: Action, why: &str) {
        self.steps.push(Step { action, why: why.to_owned(), rebinds: None });
    }

    fn exchange(&mut self, wanted: &Exchange, declare: Declare, why: &str) {
        let what = format!("exchange `{}`", wanted.name);
        match self.site.exchange(&wanted.name) {
            None if declare == Declare::Active => self.step(Action::DeclareExchange(wanted.clone()), why),
            None => self.cannot(
                &wanted.name,
                Impossible {
                    what,
                    why: "it is not there, and it is not ours to make".to_owned(),
                    help: "start what makes it first, or let it be declared".to_owned(),
                    differences: Vec::new(),
                },
            ),
            // A passive declaration looks at nothing but the name.
            Some(_) if declare == Declare::Passive => self.in_place += 1,
            Some(found) => {
                let differences = exchange_differences(found, wanted);
                if differences.is_empty() {
                    self.in_place += 1;
                    return;
                }
                let is_old_fanout = found.kind == "fanout" && found.durable == Some(false);
                let help = if is_old_fanout {
                    "it is the exchange of configuration events of XiVO up to 14.24: plan again when the upgrade to \
                     15.01 or a restart of the broker has removed it, or let the bridge run on another virtual host"
                } else {
                    "delete it if nothing needs it, or let the bridge run on another virtual host"
                };
                self.cannot(&wanted.name, inequivalent(what, help, differences));
            }
        }
    }

    fn queue(&mut self, wanted: &Queue, why: &str) {
        let Some(found) = self.site.queue(&wanted.name) else {
            return self.step(Action::DeclareQueue(wanted.clone()), why);
        };
        let differences = queue_differences(found, wanted);
        if differences.is_empty() {
            self.in_place += 1;
            return;
        }
        let help =
            "it was made with another `queue_type`: set that one again, or delete the queue when it is empty";
        self.cannot(&wanted.name, inequivalent(format!("queue `{}`", wanted.name), help, differences));
    }

    fn binding(&mut self, binding: &Binding, why: &str) {
        if self.site.bindings.contains(binding) {
            self.in_place += 1;
            return;
        }
        let action = Action::Bind(binding.clone());
        let (exchanges, queues) = action.names();
        let blocked = exchanges.iter().chain(&queues).find(|name| self.blocked.contains(**name));
        match blocked {
            None => self.step(action, why),
            Some(blocked) => self.impossible.push(Impossible {
                what: format!("binding {}", described_binding(binding)),
                why: format!("`{blocked}` cannot be had as it is needed"),
                help: "see there".to_owned(),
                differences: Vec::new(),
            }),
        }
    }

    fn cannot(&mut self, name: &str, impossible: Impossible) {
        self.blocked.insert(name.to_owned());
        self.impossible.push(impossible);
    }

    fn cannot_rebind(&mut self, queue: &str, exchange: &str) {
        self.impossible.push(Impossible {
            what: format!("rebind queue `{queue}`"),
            why: format!("`{exchange}` cannot be had as it is needed"),
            help: "see there".to_owned(),
            differences: Vec::new(),
        });
    }
}

fn inequivalent(what: String, help: &str, differences: Vec<Difference>) -> Impossible {
    let words: Vec<String> = differences.iter().map(ToString::to_string).collect();
    Impossible {
        what,
        why: format!("it exists otherwise: {}", words.join(", ")),
        help: help.to_owned(),
        differences,
    }
}

impl Plan {
    /// Whether anything is to be done.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// That a plan that was read from a file does only what plans do.
    ///
    /// # Errors
    /// When it deletes something: only a rollback does, and of its own.
    pub fn check(&self) -> Result<(), PlanError> {
        for (at, step) in self.steps.iter().enumerate() {
            if matches!(step.action, Action::DeleteExchange(_) | Action::DeleteQueue(_)) {
                return Err(PlanError::Deletes { step: at + 1, action: step.action.to_string() });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
