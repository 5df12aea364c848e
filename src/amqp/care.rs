//! Finding the one message that the broker closes a channel for.
//!
//! With many messages under way nobody can tell which of them it was. So the deliveries that were under way
//! are gone through again one by one; the one that is alone when it happens again is taken to quarantine.
//!
//! A bridge that has just started cannot know how the one before it ended. So it begins one by one as well, for as long
//! as what comes was delivered before: else a bridge that is killed again and again would use up the delivery limit of
//! all that was under way with it.

use std::hash::{DefaultHasher, Hash, Hasher};

use lapin::message::Delivery;

use crate::core::message::{Reason, Refusal};

/// How carefully one direction goes on, from one session to the next.
#[derive(Debug, Default)]
pub(super) struct Care {
    remaining: u64,
    /// A fresh delivery ends it.
    starting: bool,
    convicted: Option<(Fingerprint, String)>,
}

/// Tells deliveries apart over sessions, in which delivery tags start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint(u64);

impl Fingerprint {
    pub(super) fn of(delivery: &Delivery) -> Self {
        let mut hasher = DefaultHasher::new();
        (delivery.exchange.as_str(), delivery.routing_key.as_str(), &delivery.data).hash(&mut hasher);
        delivery.properties.message_id().hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Care {
    /// For a bridge that has just started, of which the one before had as many under way at most.
    pub(super) fn at_start(deliveries: u16) -> Self {
        Self { remaining: u64::from(deliveries), starting: true, convicted: None }
    }

    /// Go through this many deliveries one by one, as one of them is suspect.
    pub(super) fn begin(&mut self, deliveries: u16) {
        self.remaining = self.remaining.max(u64::from(deliveries));
        self.starting = false;
    }

    /// Whether to go one by one.
    pub(super) fn is_on(&self) -> bool {
        self.remaining > 0
    }

    /// With a suspect among them, one delivery at a time: each that is under way when a session ends counts
    /// against the delivery limit of its queue.
    pub(super) fn prefetch_count(&self, usual: u16) -> u16 {
        if self.is_on() { 1 } else { usual }
    }

    /// This many deliveries are settled.
    pub(super) fn passed(&mut self, deliveries: u64) {
        self.remaining = self.remaining.saturating_sub(deliveries);
        if self.remaining == 0 {
            *self = Self::default();
        }
    }

    /// A delivery came, and whether for the first time. Behind such a one there is none that came before.
    pub(super) fn arrived(&mut self, redelivered: bool) {
        if self.starting && !redelivered {
            self.remaining = 0;
        }
    }

    /// Nothing is left to be delivered, so no suspect either. To a bridge that has just started it means nothing: it may
    /// be a standby, to which things come when the active one dies.
    pub(super) fn idle(&mut self) {
        if !self.starting {
            *self = Self::default();
        }
    }

    /// This one was alone when the broker closed the channel with these words.
    pub(super) fn convict(&mut self, culprit: Fingerprint, text: String) {
        self.convicted = Some((culprit, text));
    }

    /// Why this delivery goes to quarantine, if it does.
    pub(super) fn verdict(&self, delivery: Fingerprint) -> Option<Refusal<'static>> {
        let (_, text) = self.convicted.as_ref().filter(|(culprit, _)| *culprit == delivery)?;
        Some(Refusal { reason: Reason::RefusedByBroker, detail: text.clone(), rule: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(key: &str, body: &[u8]) -> Fingerprint {
        Fingerprint::of(&Delivery::mock(1, "xivo".into(), key.into(), false, body.to_vec()))
    }

    #[test]
    fn convicts_the_one_that_was_alone_and_forgets_it_once_it_is_passed() {
        let mut care = Care::default();
        assert!(!care.is_on());
        care.begin(3);
        care.passed(1);
        care.convict(fingerprint("a", b"1"), "words".to_owned());
        care.begin(3);
        let refusal = care.verdict(fingerprint("a", b"1")).unwrap();
        assert_eq!((refusal.reason, refusal.detail.as_str()), (Reason::RefusedByBroker, "words"));
        assert!(care.verdict(fingerprint("a", b"2")).is_none());
        care.passed(2);
        assert!(care.is_on() && care.verdict(fingerprint("a", b"1")).is_some());
        care.passed(1);
        assert!(!care.is_on() && care.verdict(fingerprint("a", b"1")).is_none());
    }

    #[test]
    fn what_was_delivered_before_a_start_is_gone_through_one_by_one_and_nothing_else() {
        let mut care = Care::at_start(256);
        for _ in 0..3 {
            assert_eq!(care.prefetch_count(256), 1);
            care.arrived(true);
            care.passed(1);
        }
        care.idle();
        assert_eq!(care.prefetch_count(256), 1, "a standby waits for its first delivery");
        care.arrived(false);
        assert_eq!(care.prefetch_count(256), 256);
    }

    #[test]
    fn the_care_of_a_start_ends_after_as_many_as_can_have_been_under_way() {
        let mut care = Care::at_start(2);
        for remaining in [true, false] {
            care.arrived(true);
            care.passed(1);
            assert_eq!(care.is_on(), remaining);
        }
    }

    #[test]
    fn a_suspect_after_the_start_is_looked_for_among_fresh_deliveries_too() {
        let mut care = Care::at_start(256);
        care.begin(256);
        care.arrived(false);
        assert!(care.is_on());
        care.idle();
        assert!(!care.is_on());
    }

    #[test]
    fn a_fingerprint_tells_key_and_body_apart() {
        assert_eq!(fingerprint("a", b"1"), fingerprint("a", b"1"));
        assert_ne!(fingerprint("a", b"1"), fingerprint("b", b"1"));
        assert_ne!(fingerprint("ab", b""), fingerprint("a", b"b"));
    }
}
