//! What the engine is given to work with.

use std::sync::Arc;
use std::time::Duration;

use super::address::BrokerAddress;
use super::counters::Counters;
pub use crate::core::message::Direction;
use crate::core::topology::Topology;
use crate::core::translate::Translator;

/// All that the engine needs.
#[derive(Debug)]
pub struct Bridge {
    /// Where the legacy exchanges are.
    pub legacy: Side,
    /// Where the modern exchange is; may be the same broker.
    pub modern: Side,
    /// Decides what becomes of a message.
    pub translator: Arc<Translator>,
    /// How many deliveries may be under way in each direction: the bound of duplicates, and times their size of memory.
    pub prefetch_count: u16,
    /// What to do about publications that no queue wants.
    pub unroutable: Unroutable,
    /// How long to finish what is under way when told to stop.
    pub shutdown_grace: Duration,
    /// How long between two looks at whether all is still there.
    pub watch_period: Duration,
    /// How long between two looks at whether a direction moves.
    pub look_period: Duration,
    /// How long to wait for a publisher confirm without any progress.
    pub confirm_timeout: Duration,
    /// What happens is counted here.
    pub counters: Arc<Counters>,
}

impl Bridge {
    /// Where a direction takes its messages from, and where it publishes what comes of them.
    pub(super) const fn sides(&self, direction: Direction) -> (&Side, &Side) {
        match direction {
            Direction::ToLegacy => (&self.modern, &self.legacy),
            Direction::ToModern => (&self.legacy, &self.modern),
        }
    }

    /// Whether both sides are on the same broker, so that one connection serves for both.
    pub(super) fn is_on_one_broker(&self) -> bool {
        self.legacy.address.is_same(&self.modern.address)
    }
}

impl Side {
    /// Whether the broker itself puts a message away that ends every session.
    pub(super) fn broker_puts_poison_away(&self) -> bool {
        self.topology.queues.iter().any(|queue| queue.dead_letter_queue.is_some())
    }
}

/// One side of the bridge.
#[derive(Debug)]
pub struct Side {
    /// The broker.
    pub address: BrokerAddress,
    /// What has to be there.
    pub topology: Topology,
    /// The queue to consume from.
    pub intake_queue: String,
    /// The queue for messages from this side that could not be translated.
    pub quarantine_queue: String,
}

/// What to do about publications that no queue wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unroutable {
    /// Nothing: on a direct exchange it is the normal case.
    #[default]
    Ignore,
    /// Have the broker send them back, and count them.
    Count,
}
