//! What the bridge needs on the broker of each side: the exchanges of the bus, its own queues, and
//! which events are bound to them.

use std::borrow::Cow;

use super::catalog::Entry;
use super::rule::DEFAULT_LEGACY_EXCHANGE;
use super::topology::{Binding, Declare, Destination, Exchange, ExchangeKind, Queue, QueueKind, Topology};
use super::translate::{Listen, Translator};

/// The exchange of AMI events, 14.02 to 14.24 (xivo-amid).
const AMI_EXCHANGE: &str = "xivo-ami";

/// The exchanges of the legacy bus, all durable (XiVO 14.24: xivo-ctid, xivo-amid).
const LEGACY_EXCHANGES: [(&str, ExchangeKind); 3] = [
    (DEFAULT_LEGACY_EXCHANGE, ExchangeKind::Direct),
    (AMI_EXCHANGE, ExchangeKind::Topic),
    ("xivo-status-updates", ExchangeKind::Direct),
];

/// The names and kinds of what the bridge makes for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Intake {
    /// What its queues are called before the dot.
    pub prefix: String,
    /// The type of its intake queues.
    pub queue_kind: QueueKind,
    /// The type of the exchange of modern events.
    pub modern_exchange_kind: ExchangeKind,
    /// Whether the platform's own exchange is declared or only looked for.
    pub declare_modern_exchange: Declare,
}

impl Intake {
    /// The queue of messages from legacy exchanges.
    #[must_use]
    pub fn legacy_queue(&self) -> String {
        format!("{}.legacy", self.prefix)
    }

    /// The queue of messages from the modern exchange.
    #[must_use]
    pub fn modern_queue(&self) -> String {
        format!("{}.modern", self.prefix)
    }

    /// The queue of messages that could not be translated.
    #[must_use]
    pub fn quarantine_queue(&self) -> String {
        format!("{}.quarantine", self.prefix)
    }

    fn queues(&self, intake: String) -> Vec<Queue> {
        let intake = Queue { name: intake, kind: self.queue_kind, single_active_consumer: true };
        // Read by hand and rarely: any number of readers, and always the safe kind.
        let quarantine =
            Queue { name: self.quarantine_queue(), kind: self.queue_kind, single_active_consumer: false };
        vec![intake, quarantine]
    }

    /// What is needed on the broker of the modern side.
    #[must_use]
    pub fn modern_side(&self, translator: &Translator) -> Topology {
        let name: Cow<'static, str> = Cow::Owned(translator.settings().modern_exchange.clone());
        let key = match self.modern_exchange_kind {
            ExchangeKind::Topic => "#",
            // Without arguments a binding to a headers exchange gets every message, whatever its key.
            ExchangeKind::Headers | ExchangeKind::Direct => "",
        };
        Topology {
            bindings: vec![Binding {
                source: name.clone(),
                destination: Destination::Queue(self.modern_queue()),
                key: key.to_owned(),
            }],
            exchanges: vec![Exchange {
                name,
                kind: self.modern_exchange_kind,
                declare: self.declare_modern_exchange,
            }],
            queues: self.queues(self.modern_queue()),
            obsolete_bindings: Vec::new(),
        }
    }

    /// What is needed on the broker of the legacy side.
    ///
    /// A direct exchange has no wildcards, so its queue is bound name by name, to what is listened for only.
    #[must_use]
    pub fn legacy_side(&self, translator: &Translator) -> Topology {
        let historical = LEGACY_EXCHANGES.iter().map(|(name, kind)| Exchange {
            name: Cow::Borrowed(*name),
            kind: *kind,
            declare: Declare::Active,
        });
        let mut topology = Topology {
            exchanges: historical.collect(),
            queues: self.queues(self.legacy_queue()),
            ..Topology::default()
        };
        // Old scripts that look for AMI events on `xivo-cti` are served by the broker.
        topology.bindings.push(Binding {
            source: Cow::Borrowed(AMI_EXCHANGE),
            destination: Destination::Exchange(Cow::Borrowed(DEFAULT_LEGACY_EXCHANGE)),
            key: "#".to_owned(),
        });
        let catalog = translator.catalog();
        for (name, entry) in catalog.listed() {
            self.add(&mut topology, entry, translator.listens_for(name, entry), |key| key.to_owned());
        }
        for entry in catalog.open() {
            let all = translator.settings().listen == Listen::All;
            self.add(&mut topology, entry, all, |_| "#".to_owned());
        }
        if let Listen::Also(names) = &translator.settings().listen {
            let mut names: Vec<&String> = names.iter().collect();
            names.sort();
            for name in names {
                let found = catalog.by_legacy_name(name).filter(|found| found.entry.is_open());
                if let Some(found) = found {
                    self.add(&mut topology, found.entry, true, |_| name.clone());
                }
            }
        }
        let wanted = topology.bindings.clone();
        topology.obsolete_bindings.retain(|binding| !wanted.contains(binding));
        topology
    }

    fn add(&self, topology: &mut Topology, entry: &Entry, listened: bool, key: impl Fn(&str) -> String) {
        for address in &entry.addresses {
            if !topology.exchanges.iter().any(|exchange| exchange.name == address.exchange) {
                // An exchange that only this site has: it knows how it was declared.
                topology.exchanges.push(Exchange {
                    name: Cow::Owned(address.exchange.clone()),
                    kind: ExchangeKind::Direct,
                    declare: Declare::Passive,
                });
            }
            let binding = Binding {
                source: Cow::Owned(address.exchange.clone()),
                destination: Destination::Queue(self.legacy_queue()),
                key: key(&address.routing_key.to_string()),
            };
            let list = if listened { &mut topology.bindings } else { &mut topology.obsolete_bindings };
            if !list.contains(&binding) {
                list.push(binding);
            }
        }
    }
}
