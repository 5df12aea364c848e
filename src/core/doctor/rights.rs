//! What an account needs, operation by operation (RabbitMQ documentation, "Access Control").

use std::collections::BTreeSet;

use crate::core::topology::{Declare, Destination, Topology};

/// A kind of permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Right {
    /// Declare.
    Configure,
    /// Publish to an exchange; bind as the destination.
    Write,
    /// Consume from a queue; bind as the source.
    Read,
}

impl Right {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Configure => "configure",
            Self::Write => "write",
            Self::Read => "read",
        }
    }
}

/// What the broker calls the nameless exchange where permissions are concerned.
const DEFAULT_EXCHANGE: &str = "amq.default";

/// What the bridge does to which exchange or queue.
pub(super) fn needed(topologies: &[Topology]) -> BTreeSet<(Right, String)> {
    // What cannot be translated is published to the quarantine queue by its name.
    let mut needed = BTreeSet::from([(Right::Write, DEFAULT_EXCHANGE.to_owned())]);
    for topology in topologies {
        for exchange in &topology.exchanges {
            let name = exchange.name.clone().into_owned();
            if exchange.declare == Declare::Active {
                needed.insert((Right::Configure, name.clone()));
            }
            needed.insert((Right::Write, name));
        }
        for exchange in &topology.own_exchanges {
            needed.insert((Right::Configure, exchange.name.clone().into_owned()));
            if let Some(alternate) = &exchange.alternate {
                needed.insert((Right::Read, exchange.name.clone().into_owned()));
                needed.insert((Right::Write, alternate.clone()));
            }
        }
        for queue in &topology.queues {
            for right in [Right::Configure, Right::Write, Right::Read] {
                needed.insert((right, queue.name.clone()));
            }
            if let Some(queue) = &queue.dead_letter_queue {
                needed.insert((Right::Write, queue.clone()));
            }
        }
        for binding in topology.bindings.iter().chain(&topology.obsolete_bindings) {
            needed.insert((Right::Read, binding.source.clone().into_owned()));
            let destination = match &binding.destination {
                Destination::Queue(queue) => queue.clone(),
                Destination::Exchange(exchange) => exchange.clone().into_owned(),
            };
            needed.insert((Right::Write, destination));
        }
    }
    needed
}
