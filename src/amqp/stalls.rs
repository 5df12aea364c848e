//! How long to wait for a publisher confirm before a session is given up for want of it.
//!
//! There are two reasons why none comes. The way may be broken so that nobody notices; another session mends that. Or a
//! queue on the other side cannot confirm, such as a quorum queue that has lost most of its nodes; then nothing mends
//! it but these nodes, and each session counts as one more delivery of the oldest message, until the broker puts it
//! away though nothing is wrong with it (`x-delivery-limit`). So other sessions are tried seldom, and not for ever: by
//! then the confirm comes in the session that there is, or the broker ends it.

/// How often the confirm timeout is waited for before the next session: 30 seconds, 2 and 10 minutes, an hour. The
/// delivery limit is twice as much as the deliveries of all these sessions.
const TIMES: [u32; 4] = [1, 4, 20, 120];

/// The sessions of one direction that ended so, one after the other.
#[derive(Debug, Default)]
pub(super) struct Stalls(usize);

impl Stalls {
    /// How many confirm timeouts to wait now; nothing for ever.
    pub(super) fn patience(&self) -> Option<u32> {
        TIMES.get(self.0).copied()
    }

    pub(super) fn one_more(&mut self) {
        self.0 += 1;
    }

    /// Something was confirmed.
    pub(super) fn over(&mut self) {
        self.0 = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_innocent_message_is_never_delivered_as_often_as_the_limit_allows() {
        let mut stalls = Stalls::default();
        let mut waits = Vec::new();
        while let Some(patience) = stalls.patience() {
            waits.push(patience);
            stalls.one_more();
        }
        assert_eq!(waits, [1, 4, 20, 120]);
        stalls.one_more();
        assert_eq!(stalls.patience(), None);
        let limit = usize::try_from(crate::core::intake::DELIVERY_LIMIT).unwrap();
        assert!((waits.len() + 1) * 2 <= limit, "half of the limit is for everything else");
        stalls.over();
        assert_eq!(stalls.patience(), Some(1));
    }
}
