//! What the engine has counted since the start, kept without locks and read as a whole for the status line.
//!
//! All figures of a direction only ever grow. `received` and `published` count attempts, so what comes again
//! after a lost connection is counted again; `acked` counts deliveries that are settled for good.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use super::locked::locked;
use super::sparing::Sparing;
use crate::core::message::{Direction, Reason};

/// All counters of a bridge.
#[derive(Debug, Default)]
pub struct Counters {
    /// From the modern exchange to the legacy ones.
    pub to_legacy: DirectionCounters,
    /// From the legacy exchanges to the modern one.
    pub to_modern: DirectionCounters,
}

/// The counters of one direction.
#[derive(Debug, Default)]
pub struct DirectionCounters {
    sessions: Counter,
    pub(super) received: Counter,
    pub(super) redelivered: Counter,
    pub(super) published: Counter,
    pub(super) acked: Counter,
    pub(super) echoes: Counter,
    pub(super) probes: Counter,
    pub(super) dropped: Counter,
    pub(super) unroutable: Counter,
    quarantined: [Counter; Reason::ALL.len()],
    internal_errors: Counter,
    /// What was said of quarantine, over all sessions.
    said: Mutex<Sparing>,
}

/// One number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Snapshot {
    /// From the modern exchange to the legacy ones.
    pub to_legacy: DirectionSnapshot,
    /// From the legacy exchanges to the modern one.
    pub to_modern: DirectionSnapshot,
}

/// The counters of one direction at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DirectionSnapshot {
    /// How often the direction began to consume.
    pub sessions: u64,
    /// Deliveries taken from the intake queue.
    pub received: u64,
    /// Those of them that the broker had delivered before.
    pub redelivered: u64,
    /// Publications that the broker confirmed, those to quarantine not among them.
    pub published: u64,
    /// Deliveries acknowledged: all that came of them is confirmed.
    pub acked: u64,
    /// Deliveries that had passed this bridge before.
    pub echoes: u64,
    /// Probes of `verify`, answered or on their way to who asked.
    pub probes: u64,
    /// Deliveries dropped because the configuration says so.
    pub dropped: u64,
    /// Confirmed publications that no queue wanted. Stays 0 where they are not counted.
    pub unroutable: u64,
    /// Deliveries handed to quarantine, whatever the reason.
    pub quarantined: u64,
    /// The same by reason; only reasons that occurred.
    pub quarantined_by_reason: Vec<(Reason, u64)>,
    /// Those of the quarantined for which the translation panicked.
    pub internal_errors: u64,
}

impl Counters {
    /// Reads all counters. They go on changing meanwhile, so the figures of one snapshot need not add up.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { to_legacy: self.to_legacy.snapshot(), to_modern: self.to_modern.snapshot() }
    }

    /// Those of one direction.
    pub(super) const fn of(&self, direction: Direction) -> &DirectionCounters {
        match direction {
            Direction::ToLegacy => &self.to_legacy,
            Direction::ToModern => &self.to_modern,
        }
    }
}

impl DirectionCounters {
    pub(super) fn session_began(&self) {
        self.sessions.add(1);
    }

    /// What was said of messages that went to quarantine.
    pub(super) fn said(&self) -> MutexGuard<'_, Sparing> {
        locked(&self.said)
    }

    /// Counts a delivery that went to quarantine; no reason means that the translation panicked.
    pub(super) fn quarantined(&self, reason: Option<Reason>) {
        let place = Reason::ALL.iter().position(|known| Some(*known) == reason);
        match place.and_then(|place| self.quarantined.get(place)) {
            Some(counter) => counter.add(1),
            None => self.internal_errors.add(1),
        }
    }

    fn snapshot(&self) -> DirectionSnapshot {
        let by_reason: Vec<_> = Reason::ALL
            .into_iter()
            .zip(self.quarantined.iter().map(Counter::get))
            .filter(|(_, count)| *count > 0)
            .collect();
        let internal_errors = self.internal_errors.get();
        DirectionSnapshot {
            sessions: self.sessions.get(),
            received: self.received.get(),
            redelivered: self.redelivered.get(),
            published: self.published.get(),
            acked: self.acked.get(),
            echoes: self.echoes.get(),
            probes: self.probes.get(),
            dropped: self.dropped.get(),
            unroutable: self.unroutable.get(),
            quarantined: by_reason.iter().map(|(_, count)| count).sum::<u64>() + internal_errors,
            quarantined_by_reason: by_reason,
            internal_errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_quarantined_without_a_reason() {
        let counters = Counters::default();
        counters.to_legacy.quarantined(Some(Reason::NotJson));
        counters.to_legacy.quarantined(Some(Reason::NotJson));
        counters.to_legacy.quarantined(Some(Reason::RefusedByBroker));
        counters.to_legacy.quarantined(None);
        let snapshot = counters.snapshot();
        assert_eq!(snapshot.to_legacy.quarantined, 4);
        assert_eq!(snapshot.to_legacy.internal_errors, 1);
        assert_eq!(
            snapshot.to_legacy.quarantined_by_reason,
            [(Reason::NotJson, 2), (Reason::RefusedByBroker, 1)]
        );
        assert_eq!(snapshot.to_modern, DirectionSnapshot::default());
    }
}
