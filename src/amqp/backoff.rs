//! How long to wait before the next try: longer each time, and never in step with anybody else.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// Delays that double from 100 ms to 5 s.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The longest delay there is.
    pub(super) const LONGEST: Duration = LONGEST;

    /// The delay before the next try.
    pub(super) fn next_delay(&mut self) -> Duration {
        // A hasher's keys are the random numbers that the standard library has.
        let delay = jittered(self.tries, RandomState::new().hash_one(self.tries));
        self.tries = self.tries.saturating_add(1);
        Duration::from_millis(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX))
    }

    /// Begin anew with the shortest.
    pub(super) fn reset(&mut self) {
        self.tries = 0;
    }
}

/// Between half of the delay and all of it.
fn jittered(tries: u32, random: u64) -> Duration {
    let delay = FIRST.saturating_mul(1_u32 << tries.min(16)).min(LONGEST);
    let share = u32::try_from(random % 1024).unwrap_or(0);
    delay / 2 + delay / 2 * share / 1023
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_100_ms_to_5_s() {
        let longest: Vec<_> = (0..8).map(|tries| jittered(tries, 1023).as_millis()).collect();
        assert_eq!(longest, [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        let shortest: Vec<_> = (0..8).map(|tries| jittered(tries, 0).as_millis()).collect();
        assert_eq!(shortest, [50, 100, 200, 400, 800, 1600, 2500, 2500]);
        assert_eq!(jittered(u32::MAX, 1023), LONGEST);
    }

    #[test]
    fn begins_anew_after_a_reset() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next_delay();
        }
        assert!(backoff.next_delay() >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.next_delay() <= FIRST);
    }

    #[test]
    fn is_not_the_same_every_time() {
        let delays: std::collections::HashSet<_> =
            (0..50).map(|_| Backoff { tries: 6 }.next_delay()).collect();
        assert!(delays.len() > 1);
    }
}
