//! Acknowledging in batches: one ack covers all deliveries up to its own.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};

use lapin::Acker;
use lapin::options::BasicAckOptions;

use super::fault::Fault;

/// Deliveries that are settled and not yet acked. At most one ack is being written at a time; what is settled
/// meanwhile makes up the next.
#[derive(Default)]
pub(super) struct Acks {
    due: Option<(Acker, u64)>,
    writing: Option<(Writing, u64)>,
}

type Writing = Pin<Box<dyn Future<Output = lapin::Result<bool>>>>;

impl Acks {
    /// Adds settled deliveries, of which this is the last.
    pub(super) fn add(&mut self, last: Acker, deliveries: u64) {
        self.due = Some((last, self.due() + deliveries));
    }

    /// How many deliveries wait for the next ack.
    pub(super) fn due(&self) -> u64 {
        self.due.as_ref().map_or(0, |(_, deliveries)| *deliveries)
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.due.is_none() && self.writing.is_none()
    }

    /// Begins to write an ack of all that is due, unless another one is being written.
    pub(super) fn write(&mut self) {
        if self.writing.is_some() {
            return;
        }
        self.writing = self.due.take().map(|(last, deliveries)| {
            let ack: Writing = Box::pin(async move { last.ack(BasicAckOptions { multiple: true }).await });
            (ack, deliveries)
        });
    }

    /// Resolves when the ack being written is, to the number of its deliveries; never if there is none.
    pub(super) async fn written(&mut self) -> Result<u64, Fault> {
        poll_fn(|context| {
            let Some((ack, deliveries)) = &mut self.writing else {
                return Poll::Pending;
            };
            let result = ready!(ack.as_mut().poll(context));
            let deliveries = *deliveries;
            self.writing = None;
            Poll::Ready(match result {
                Ok(true) => Ok(deliveries),
                Ok(false) => Err(Fault::AckTooLate),
                Err(error) => Err(Fault::Ack(error)),
            })
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use lapin::message::Delivery;

    use super::*;

    fn acker(tag: u64) -> Acker {
        Delivery::mock(tag, "".into(), "".into(), false, Vec::new()).acker
    }

    #[test]
    fn gathers_while_one_is_being_written() {
        let mut acks = Acks::default();
        assert!(acks.is_idle());
        acks.write();
        assert!(!acks.is_writing());
        acks.add(acker(1), 1);
        acks.add(acker(3), 2);
        assert_eq!(acks.due(), 3);
        acks.write();
        assert!(acks.is_writing());
        acks.add(acker(4), 1);
        acks.write();
        assert_eq!(acks.due(), 1);
        assert!(matches!(acks.written().now_or_never(), Some(Ok(3))));
        assert!(acks.written().now_or_never().is_none());
        acks.write();
        assert!(matches!(acks.written().now_or_never(), Some(Ok(1))));
        assert!(acks.is_idle());
    }

    #[test]
    fn an_ack_that_was_used_before_is_a_fault() {
        let acker = acker(1);
        let mut acks = Acks::default();
        for expected in [true, false] {
            acks.add(acker.clone(), 1);
            acks.write();
            let result = acks.written().now_or_never().unwrap();
            assert_eq!(result.is_ok(), expected);
        }
    }
}
