//! Whether a direction moves, told from two looks at it, one some time after the other.

/// What one look at a direction found, its session's own figures and what the broker says of its intake queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Look {
    /// How many deliveries came in this session.
    pub(super) taken: u64,
    /// For how many of them everything is done, so that they can be acked.
    pub(super) settled: u64,
    /// Whether a broker takes no messages, so that nothing is consumed either.
    pub(super) blocked: bool,
    /// Whether another bridge has the queue, as far as is known.
    pub(super) behind: bool,
    /// Whether there is a canary in the queue that did not come back yet.
    pub(super) canary: bool,
    /// Nothing if the broker did not answer.
    pub(super) queue: Option<Depth>,
}

/// What the broker says of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Depth {
    /// Messages that were sent to no consumer yet.
    pub(super) ready: u32,
    /// Of all bridges on this queue; of a quorum queue only the active one.
    pub(super) consumers: u32,
}

/// How a direction gets on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// What came in went out.
    Moving,
    /// Another bridge has the queue, and this one waits for its turn.
    StandingBy,
    /// Something outside of the bridge is in the way.
    Held(Hold),
    /// Something should have come, and nothing did.
    Silent,
}

/// What is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// A broker takes no messages.
    Blocked,
    /// What was published is not confirmed.
    Unconfirmed,
    /// The broker takes no canary, or says nothing about the queue.
    Unanswered,
}

impl Look {
    const fn is_under_way(self) -> bool {
        self.taken > self.settled
    }

    /// Whether something should come by now.
    ///
    /// A quorum queue without a leader is told of with neither messages nor consumers (RabbitMQ 3.10).
    const fn is_owed(self) -> bool {
        let Some(Depth { ready, consumers }) = self.queue else { return false };
        let has_something = ready > 0 || (self.canary && consumers > 0);
        has_something && !self.is_under_way() && !self.blocked && !self.behind
    }

    /// Whether to send a canary, as nothing else is sure to show by the next look that the direction moves.
    pub(super) const fn wants_canary(self) -> bool {
        let is_empty = matches!(self.queue, Some(Depth { ready: 0, .. }));
        is_empty && !self.is_under_way() && !self.blocked && !self.canary
    }
}

/// How a direction gets on; nothing if these two looks do not tell.
pub(super) fn judge(before: Option<Look>, now: Look) -> Option<Pace> {
    if before.is_some_and(|before| now.settled > before.settled) {
        return Some(Pace::Moving);
    }
    if now.blocked {
        return Some(Pace::Held(Hold::Blocked));
    }
    if now.behind {
        return Some(Pace::StandingBy);
    }
    let before = before.filter(|before| !before.blocked && !before.behind)?;
    match (before.is_under_way(), now.is_under_way()) {
        (true, true) => return Some(Pace::Held(Hold::Unconfirmed)),
        // It came a moment ago.
        (false, true) => return None,
        (_, false) => {}
    }
    if before.is_owed() && now.is_owed() && before.taken == now.taken {
        return Some(Pace::Silent);
    }
    Some(Pace::Held(Hold::Unanswered))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a direction that did much, has nothing to do and is alone on its queue.
    const IDLE: Look = Look {
        taken: 100,
        settled: 100,
        blocked: false,
        behind: false,
        canary: false,
        queue: Some(Depth { ready: 0, consumers: 1 }),
    };

    const CANARY: Look = Look { canary: true, ..IDLE };

    fn with(look: Look, ready: u32, consumers: u32) -> Look {
        Look { queue: Some(Depth { ready, consumers }), ..look }
    }

    #[test]
    fn whatever_was_settled_since_is_movement() {
        let now = Look { taken: 105, settled: 101, ..with(IDLE, 1_000_000, 1) };
        assert_eq!(judge(Some(IDLE), now), Some(Pace::Moving));
        assert_eq!(judge(Some(IDLE), Look { queue: None, ..now }), Some(Pace::Moving));
        assert_eq!(judge(None, now), None, "one look tells nothing");
    }

    #[test]
    fn a_canary_that_does_not_come_is_silence() {
        assert_eq!(judge(Some(CANARY), CANARY), Some(Pace::Silent));
        assert_eq!(judge(Some(CANARY), with(CANARY, 1, 1)), Some(Pace::Silent));
        assert_eq!(judge(Some(CANARY), with(CANARY, 1, 0)), Some(Pace::Silent), "nobody consumes any more");
    }

    #[test]
    fn messages_that_wait_and_do_not_come_are_silence() {
        let waiting = with(IDLE, 7, 1);
        assert_eq!(judge(Some(waiting), waiting), Some(Pace::Silent));
        let came = Look { taken: 101, ..waiting };
        assert_eq!(judge(Some(waiting), came), None, "it came a moment ago");
        assert_ne!(judge(Some(IDLE), waiting), Some(Pace::Silent), "they may have come a moment ago");
    }

    #[test]
    fn a_queue_without_a_leader_is_not_silent() {
        let none = with(CANARY, 0, 0);
        assert_eq!(judge(Some(none), none), Some(Pace::Held(Hold::Unanswered)));
        let unanswered = Look { queue: None, ..CANARY };
        assert_eq!(judge(Some(unanswered), unanswered), Some(Pace::Held(Hold::Unanswered)));
    }

    #[test]
    fn what_is_not_confirmed_is_held_and_not_silent() {
        let stalled = Look { taken: 101, ..with(IDLE, 7, 1) };
        assert_eq!(judge(Some(stalled), stalled), Some(Pace::Held(Hold::Unconfirmed)));
        assert_eq!(judge(Some(CANARY), stalled), None);
    }

    #[test]
    fn nothing_is_owed_while_a_broker_takes_nothing_or_took_nothing() {
        let waiting = with(IDLE, 7, 1);
        let blocked = Look { blocked: true, ..waiting };
        assert_eq!(judge(Some(waiting), blocked), Some(Pace::Held(Hold::Blocked)));
        assert_eq!(judge(Some(blocked), waiting), None);
    }

    #[test]
    fn a_standby_waits_for_its_turn_and_then_for_a_canary() {
        let standby = Look { behind: true, ..with(CANARY, 7, 1) };
        assert_eq!(judge(None, standby), Some(Pace::StandingBy));
        assert_eq!(judge(Some(standby), standby), Some(Pace::StandingBy));
        let alone = Look { behind: false, ..with(standby, 0, 1) };
        assert_eq!(judge(Some(standby), alone), None);
        assert_eq!(judge(Some(alone), alone), Some(Pace::Silent));
    }

    #[test]
    fn the_active_one_of_two_may_be_silent_too() {
        let waiting = with(IDLE, 7, 2);
        assert_eq!(judge(Some(waiting), waiting), Some(Pace::Silent));
    }

    #[test]
    fn a_canary_is_sent_where_nothing_else_moves() {
        assert!(IDLE.wants_canary());
        for busy in [
            CANARY,
            with(IDLE, 1, 1),
            Look { taken: 101, ..IDLE },
            Look { blocked: true, ..IDLE },
            Look { queue: None, ..IDLE },
        ] {
            assert!(!busy.wants_canary(), "{busy:?}");
        }
        let standby = Look { behind: true, ..IDLE };
        assert!(standby.wants_canary(), "nobody knows who is the active one");
    }

    #[test]
    fn with_canaries_an_idle_direction_moves_from_look_to_look() {
        let (mut before, mut now) = (None, Look { taken: 0, settled: 0, ..IDLE });
        for number in 0..5 {
            let expected = if number == 0 { None } else { Some(Pace::Moving) };
            assert_eq!(judge(before, now), expected);
            assert!(now.wants_canary());
            before = Some(Look { canary: true, ..now });
            // It came back before the next look.
            now = Look { taken: now.taken + 1, settled: now.settled + 1, ..now };
        }
    }

    #[test]
    fn a_canary_that_could_not_be_sent_is_no_movement() {
        assert_eq!(judge(Some(IDLE), IDLE), Some(Pace::Held(Hold::Unanswered)));
    }
}
