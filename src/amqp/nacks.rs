//! What to do about a publication that the broker nacks: send it again for a while, and then give it up.
//!
//! A quorum queue without a leader nacks what is published to it until the other nodes have elected one (RabbitMQ 3.10,
//! measured), and so does a queue for ever that is full and has `x-overflow: reject-publish`. Only time tells them
//! apart.

use std::time::Duration;

use tokio::time::Instant;

/// An election takes no longer than this, on a loaded machine either.
const ELECTION: Duration = Duration::from_secs(10);

/// After so long without any, a nack is the first one again.
const FORGOTTEN: Duration = Duration::from_secs(600);

/// How long to wait before a publication is sent again that was nacked again; each time twice as long, up to the last:
/// other queues of the same exchange get it each time.
const PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(3)];

/// The nacks of one direction, over all sessions.
#[derive(Debug, Default)]
pub(super) struct Nacks {
    first: Option<Instant>,
    last: Option<Instant>,
}

/// What to do about one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Advice {
    /// Send it again after this time.
    Again(Duration),
    /// No election takes so long.
    GiveUp,
}

impl Nacks {
    /// A publication was nacked that had been so this many times before.
    pub(super) fn one_more(&mut self, times_before: u32, now: Instant) -> Advice {
        if self.last.is_none_or(|last| now.duration_since(last) >= FORGOTTEN) {
            self.first = None;
        }
        let first = *self.first.get_or_insert(now);
        self.last = Some(now);
        if now.duration_since(first) >= ELECTION {
            Advice::GiveUp
        } else if times_before == 0 {
            Advice::Again(Duration::ZERO)
        } else {
            let [first, longest] = PAUSES;
            Advice::Again(first.saturating_mul(1 << (times_before - 1).min(8)).min(longest))
        }
    }

    /// One that was nacked is confirmed: the queue has a leader again.
    pub(super) fn over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_again_for_as_long_as_an_election_may_take_and_then_gives_up() {
        let (mut nacks, began) = (Nacks::default(), Instant::now());
        assert_eq!(nacks.one_more(0, began), Advice::Again(Duration::ZERO));
        for (times_before, millis) in [(1, 200), (2, 400), (3, 800), (5, 3000), (40, 3000)] {
            let pause = Advice::Again(Duration::from_millis(millis));
            assert_eq!(nacks.one_more(times_before, began), pause, "{times_before}");
        }
        assert_eq!(nacks.one_more(40, began + ELECTION), Advice::GiveUp);
        // Those behind it are not held up as well.
        assert_eq!(nacks.one_more(0, began + ELECTION * 2), Advice::GiveUp);
        let long_after = began + ELECTION * 2 + FORGOTTEN;
        assert_eq!(nacks.one_more(0, long_after), Advice::Again(Duration::ZERO));
    }

    #[test]
    fn what_is_nacked_is_sent_again_eight_times_at_most() {
        let (mut nacks, mut now, mut times) = (Nacks::default(), Instant::now(), 0);
        while let Advice::Again(pause) = nacks.one_more(times, now) {
            now += pause;
            times += 1;
        }
        assert_eq!(times, 8);
    }

    #[test]
    fn a_confirm_ends_the_election() {
        let (mut nacks, began) = (Nacks::default(), Instant::now());
        nacks.one_more(0, began);
        nacks.over();
        assert_eq!(nacks.one_more(0, began + ELECTION), Advice::Again(Duration::ZERO));
    }
}
