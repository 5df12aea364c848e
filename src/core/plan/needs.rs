//! What has to be on the virtual host, as the site would show it: the topology of the daemon, or native bindings.

use crate::core::intake::Intake;
use crate::core::probe::PROBE_KEY;
use crate::core::site::{Arguments, Binding, Destination, Exchange, Queue};
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
    /// What an earlier configuration may have left on our own queues.
    pub(super) obsolete: Vec<Binding>,
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

    fn rest(&mut self, topology: &Topology, intake: &Intake) {
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
        for binding in topology.bindings.iter().map(binding_of) {
            let why = match &binding.destination {
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
        self.obsolete.extend(topology.obsolete_bindings.iter().map(binding_of));
    }
}

/// An exchange of the bus: all are durable, not auto-delete, not internal and without arguments.
pub(in crate::core) fn exchange_of(exchange: &topology::Exchange) -> Exchange {
    Exchange {
        name: exchange.name.clone().into_owned(),
        kind: exchange.kind.as_str().to_owned(),
        durable: Some(true),
        auto_delete: Some(false),
        internal: Some(false),
        arguments: Arguments::new(),
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

fn binding_of(binding: &topology::Binding) -> Binding {
    Binding {
        source: binding.source.clone().into_owned(),
        destination: match &binding.destination {
            topology::Destination::Queue(queue) => Destination::Queue(queue.clone()),
            topology::Destination::Exchange(exchange) => Destination::Exchange(exchange.clone().into_owned()),
        },
        key: binding.key.clone(),
        arguments: Arguments::new(),
    }
}
