//! Says what happens again and again only now and again, with how often it was not said.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// So often at most is the same said.
const PERIOD: Duration = Duration::from_secs(10);

/// What was said when, and how often it was not said since.
#[derive(Debug, Default)]
pub(super) struct Sparing(BTreeMap<&'static str, Said>);

#[derive(Debug)]
struct Said {
    at: Instant,
    unsaid: u64,
}

impl Sparing {
    /// Whether this is to be said now, and how often it was not said before.
    pub(super) fn say(&mut self, what: &'static str, now: Instant) -> Option<u64> {
        let Some(said) = self.0.get_mut(what) else {
            self.0.insert(what, Said { at: now, unsaid: 0 });
            return Some(0);
        };
        if now.duration_since(said.at) < PERIOD {
            said.unsaid += 1;
            return None;
        }
        said.at = now;
        Some(std::mem::take(&mut said.unsaid))
    }

    /// What was not said for long enough, with how often: the end of a flood, which nothing follows.
    pub(super) fn left_unsaid(&mut self, now: Instant) -> Vec<(&'static str, u64)> {
        let due =
            self.0.iter_mut().filter(|(_, said)| said.unsaid > 0 && now.duration_since(said.at) >= PERIOD);
        due.map(|(what, said)| {
            said.at = now;
            (*what, std::mem::take(&mut said.unsaid))
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_the_same_once_in_a_while_and_how_often_it_did_not() {
        let (mut sparing, start) = (Sparing::default(), Instant::now());
        assert_eq!(sparing.say("not_json", start), Some(0));
        for _ in 0..10_000 {
            assert_eq!(sparing.say("not_json", start + PERIOD / 2), None);
        }
        assert_eq!(sparing.say("bad_field", start + PERIOD / 2), Some(0), "another one is said at once");
        assert_eq!(sparing.say("not_json", start + PERIOD), Some(10_000));
        assert_eq!(sparing.say("not_json", start + PERIOD * 2), Some(0));
    }

    #[test]
    fn the_end_of_a_flood_is_told() {
        let (mut sparing, start) = (Sparing::default(), Instant::now());
        sparing.say("not_json", start);
        assert_eq!(sparing.left_unsaid(start + PERIOD), []);
        sparing.say("not_json", start + PERIOD / 2);
        assert_eq!(sparing.left_unsaid(start + PERIOD / 2), []);
        assert_eq!(sparing.left_unsaid(start + PERIOD), [("not_json", 1)]);
        assert_eq!(sparing.left_unsaid(start + PERIOD * 2), []);
    }
}
