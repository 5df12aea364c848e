//! What has to be on the virtual host, as the site would show it: the topology of the daemon, or native bindings.

use crate::core::intake::{Intake, is_mark};
use crate::core::probe::PROBE_KEY;
use crate::core::site::{Binding, Destination, Exchange, Queue, Site};
use crate::core::topology::{self, Declare, Topology};
use crate::core::translate::Translator;

use super::native::NativeBinding;
use super::{Mode, Options, Sides};

/// What has to be there, each with what for.
#[derive(Debug, Default)]
pub(super) struct Needs {
    pub(super) exchanges: Vec<(Exchange, Declare, String)>,
    pub(super) queues: Vec<(Queue, String)>,
    pub(super) bindings: Vec<(Binding, String)>,
    /// What an earlier configuration or version may have left, each with what it was for.
    pub(super) obsolete: Vec<(Binding, String)>,
}

impl Needs {
    pub(super) fn of(
        translator: &Translator,
        intake: &Intake,
        native: &[NativeBinding<'_>],
        options: &Options,
    ) -> Self {
        let mut needs = Self::default();
        let (legacy, modern) = (intake.legacy_side(translator), intake.modern_side(translator));
        if options.sides != Sides::Modern {
            needs.exchanges(&legacy, "old scripts bind to it and never declare it");
        }
        if options.sides != Sides::Legacy {
            needs.exchanges(&modern, "the platform publishes on it");
        }
        match options.mode {
            Mode::Bridge => {
                if options.sides != Sides::Modern {
                    needs.rest(&legacy, intake);
                }
                if options.sides != Sides::Legacy {
                    needs.rest(&modern, intake);
                }
            }
            Mode::Native => {
                let bindings =
                    native.iter().map(|native| (native.binding.clone(), format!("event `{}`", native.event)));
                needs.bindings.extend(bindings);
            }
        }
        needs
    }

    fn exchanges(&mut self, topology: &Topology, why: &str) {
        for exchange in &topology.exchanges {
            self.exchanges.push((exchange_of(exchange), exchange.declare, why.to_owned()));
        }
    }

    /// The marks of other bridge ids, by which events would be lost that some other bridge of that id published. They
    /// are looked for only where it is known who this bridge is.
    pub(super) fn other_marks(&self, site: &Site, intake: &Intake) -> Vec<Binding> {
        let filter = intake.filter_exchange();
        let needed: Vec<_> =
            self.bindings.iter().map(|(needed, _)| needed).filter(|it| is_mark(it)).collect();
        let is_other = |it: &&Binding| it.source == filter && is_mark(it) && !needed.contains(it);
        site.bindings.iter().filter(|_| !needed.is_empty()).filter(is_other).cloned().collect()
    }

    fn rest(&mut self, topology: &Topology, intake: &Intake) {
        for exchange in &topology.own_exchanges {
            let why = if exchange.name == intake.split_exchange() {
                "gives each instance of the bridge its part"
            } else {
                "what the bridge itself published is not to come back"
            };
            self.exchanges.push((exchange_of(exchange), exchange.declare, why.to_owned()));
        }
        for queue in topology.queues.iter().map(queue_of) {
            let why = if queue.name == intake.quarantine_queue() {
                "keeps what cannot be translated"
            } else if queue.name == intake.legacy_queue() {
                "takes in what legacy programs say"
            } else {
                "takes in modern events"
            };
            // Both sides need the quarantine.
            if !self.queues.iter().any(|(other, _)| other.name == queue.name) {
                self.queues.push((queue, why.to_owned()));
            }
        }
        for binding in topology.bindings.iter().map(Binding::from) {
            let why = match &binding.destination {
                _ if is_mark(&binding) => "what the bridge itself published ends there".to_owned(),
                _ if binding.source == intake.others_exchange() => "every modern event of others".to_owned(),
                Destination::Exchange(exchange)
                    if [intake.filter_exchange(), intake.split_exchange()].contains(exchange) =>
                {
                    "every modern event".to_owned()
                }
                Destination::Queue(_) if binding.source == intake.split_exchange() => {
                    "a part of the modern events".to_owned()
                }
                Destination::Exchange(exchange) => {
                    format!("AMI events for scripts that bind to `{exchange}`")
                }
                Destination::Queue(queue) if *queue == intake.modern_queue() => {
                    "every modern event".to_owned()
                }
                Destination::Queue(_) if binding.key == PROBE_KEY => {
                    "the proof that the bridge works".to_owned()
                }
                Destination::Queue(_) => "what is listened for".to_owned(),
            };
            self.bindings.push((binding, why));
        }
        let makes = |exchange: &String| topology.own_exchanges.iter().any(|own| own.name == *exchange);
        let split = intake.split_exchange();
        let (is_split, is_filtered) = (makes(&split), makes(&intake.filter_exchange()));
        self.obsolete.extend(topology.obsolete_bindings.iter().map(Binding::from).map(|binding| {
            let is_split_otherwise = match &binding.destination {
                Destination::Exchange(exchange) => *exchange == split && !is_split,
                Destination::Queue(_) => is_split || binding.source == split,
            };
            let why = if binding.destination == Destination::Queue(intake.legacy_queue()) {
                "an earlier configuration listened for it"
            } else if is_split_otherwise {
                "an earlier configuration split the events otherwise"
            } else if is_filtered {
                "what the bridge itself publishes would come back"
            } else {
                "events come from the platform's exchange itself now"
            };
            (binding, why.to_owned())
        }));
    }
}

/// An exchange: all are durable, not auto-delete and not internal.
pub(in crate::core) fn exchange_of(exchange: &topology::Exchange) -> Exchange {
    Exchange {
        name: exchange.name.clone().into_owned(),
        kind: exchange.kind.as_str().to_owned(),
        durable: Some(true),
        auto_delete: Some(false),
        internal: Some(false),
        arguments: exchange.arguments(),
        published: None,
    }
}

/// A queue of our own.
pub(in crate::core) fn queue_of(queue: &topology::Queue) -> Queue {
    Queue {
        name: queue.name.clone(),
        durable: Some(true),
        auto_delete: Some(false),
        exclusive: Some(false),
        arguments: queue.arguments(),
        messages: None,
        consumers: None,
    }
}
