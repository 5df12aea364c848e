//! What the loop of a direction has done in its session, for those who look at it from beside.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use tokio::sync::Notify;

use super::locked::locked;

/// The figures of one session; canaries are among them.
#[derive(Debug, Default)]
pub(super) struct Motion {
    taken: AtomicU64,
    settled: AtomicU64,
    /// The delivery tags of the canaries that are under way.
    canaries: Mutex<VecDeque<u64>>,
    /// Whether one was sent that did not come back yet.
    canary: AtomicBool,
    /// Another bridge consumed first, and nothing came since.
    behind: AtomicBool,
    /// Somebody waits for what is settled next.
    awaited: AtomicBool,
    moved: Notify,
}

impl Motion {
    /// A consumer began, perhaps behind another one.
    pub(super) fn join(&self, is_behind: bool) {
        self.behind.store(is_behind, Relaxed);
    }

    /// Whether it is still another bridge to which everything goes. Who is given something is given everything until its
    /// consumer ends.
    pub(super) fn is_behind(&self) -> bool {
        self.behind.load(Relaxed)
    }

    pub(super) fn take(&self) {
        self.behind.store(false, Relaxed);
        self.taken.fetch_add(1, Relaxed);
    }

    /// The delivery that is taken next is a canary.
    pub(super) fn canary_comes(&self, tag: u64) {
        locked(&self.canaries).push_back(tag);
    }

    /// So many deliveries are done, up to the one with this tag. Returns how many of them are no canaries.
    pub(super) fn settle(&self, last: u64, deliveries: u64) -> u64 {
        let mut canaries = locked(&self.canaries);
        let mut others = deliveries;
        while canaries.front().is_some_and(|tag| *tag <= last) {
            canaries.pop_front();
            others = others.saturating_sub(1);
            self.canary.store(false, Relaxed);
        }
        self.settled.fetch_add(deliveries, Relaxed);
        if self.awaited.load(Relaxed) {
            self.moved.notify_waiters();
        }
        others
    }

    /// How many deliveries were taken and settled.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.taken.load(Relaxed), self.settled.load(Relaxed))
    }

    /// A canary was sent, or whoever sent one does not wait for it any more.
    pub(super) fn expect_canary(&self, is_expected: bool) {
        self.canary.store(is_expected, Relaxed);
    }

    pub(super) fn expects_canary(&self) -> bool {
        self.canary.load(Relaxed)
    }

    /// Resolves when more than this many deliveries are settled.
    pub(super) async fn beyond(&self, settled: u64) {
        loop {
            let moved = self.moved.notified();
            self.awaited.store(true, Relaxed);
            if self.settled.load(Relaxed) > settled {
                break;
            }
            moved.await;
        }
        self.awaited.store(false, Relaxed);
    }

    /// Resolves when no canary is on its way.
    pub(super) async fn canary_home(&self) {
        while self.canary.load(Relaxed) {
            self.beyond(self.settled.load(Relaxed)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn canaries_are_told_from_what_is_acked_with_them() {
        let motion = Motion::default();
        motion.expect_canary(true);
        for tag in 1..=5 {
            motion.take();
            if tag == 2 || tag == 5 {
                motion.canary_comes(tag);
            }
        }
        assert_eq!(motion.settle(1, 1), 1);
        assert!(motion.expects_canary());
        assert_eq!(motion.settle(4, 3), 2);
        assert!(!motion.expects_canary());
        assert_eq!(motion.settle(5, 1), 0);
        assert_eq!(motion.so_far(), (5, 5));
    }

    #[test]
    fn who_is_given_something_is_behind_nobody() {
        let motion = Motion::default();
        motion.join(true);
        assert!(motion.is_behind());
        motion.take();
        assert!(!motion.is_behind());
        motion.join(true);
        assert!(motion.is_behind(), "another consumer");
    }

    #[test]
    fn who_waits_is_told_of_the_next_that_is_settled() {
        let motion = Motion::default();
        let mut next = Box::pin(motion.beyond(0));
        assert!(next.as_mut().now_or_never().is_none());
        motion.settle(1, 1);
        assert!(next.now_or_never().is_some());
        assert!(motion.beyond(0).now_or_never().is_some(), "it was settled before");
        assert!(motion.canary_home().now_or_never().is_some(), "none was sent");
    }
}
