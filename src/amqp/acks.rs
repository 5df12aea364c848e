//! Acknowledging in batches: one ack covers all deliveries up to its own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use super::fault::Fault;

/// Deliveries that are settled and not yet acked. At most one ack is being written at a time; what is settled
/// meanwhile makes up the next.
pub(super) struct Acks<'c> {
    /// Acks this delivery tag and all before it. On the channel itself: the handle that comes with a delivery has a task do
    /// it, with three more wake-ups. A channel that is closed acks nothing, and without lapin's recovery stays closed.
    ack: Box<dyn Fn(u64) -> Writing<'c> + 'c>,
    due: Option<(u64, u64)>,
    writing: Option<(Writing<'c>, u64)>,
}

/// An ack on its way.
pub(super) type Writing<'c> = Pin<Box<dyn Future<Output = lapin::Result<()>> + 'c>>;

impl<'c> Acks<'c> {
    pub(super) fn new(ack: impl Fn(u64) -> Writing<'c> + 'c) -> Self {
        Self { ack: Box::new(ack), due: None, writing: None }
    }

    /// Adds settled deliveries, of which the last has this tag.
    pub(super) fn add(&mut self, last_tag: u64, deliveries: u64) {
        self.due = Some((last_tag, self.due() + deliveries));
    }

    /// How many deliveries wait for the next ack.
    pub(super) fn due(&self) -> u64 {
        self.due.map_or(0, |(_, deliveries)| deliveries)
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.due.is_none() && self.writing.is_none()
    }

    /// Begins to write an ack of all that is due, unless another one is being written.
    pub(super) fn write(&mut self) {
        if self.writing.is_none() {
            self.writing = self.due.take().map(|(last_tag, deliveries)| ((self.ack)(last_tag), deliveries));
        }
    }

    /// Ready when the ack being written is, with the number of its deliveries; never if there is none.
    pub(super) fn poll_written(&mut self, context: &mut Context<'_>) -> Poll<Result<u64, Fault>> {
        let Some((ack, deliveries)) = &mut self.writing else {
            return Poll::Pending;
        };
        let result = ready!(ack.as_mut().poll(context));
        let deliveries = *deliveries;
        self.writing = None;
        Poll::Ready(result.map(|()| deliveries).map_err(Fault::Ack))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::future::ready;
    use std::task::Waker;

    use lapin::ErrorKind;

    use super::*;

    fn written(acks: &mut Acks<'_>) -> Poll<Result<u64, Fault>> {
        acks.poll_written(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn gathers_while_one_is_being_written() {
        let acked = RefCell::new(Vec::new());
        let mut acks = Acks::new(|tag| {
            acked.borrow_mut().push(tag);
            Box::pin(ready(Ok(())))
        });
        assert!(acks.is_idle());
        acks.write();
        assert!(!acks.is_writing());
        acks.add(1, 1);
        acks.add(3, 2);
        assert_eq!(acks.due(), 3);
        acks.write();
        assert!(acks.is_writing());
        acks.add(4, 1);
        acks.write();
        assert_eq!(acks.due(), 1);
        assert!(matches!(written(&mut acks), Poll::Ready(Ok(3))));
        assert!(written(&mut acks).is_pending());
        acks.write();
        assert!(matches!(written(&mut acks), Poll::Ready(Ok(1))));
        assert!(acks.is_idle());
        assert_eq!(*acked.borrow(), [3, 4]);
    }

    #[test]
    fn an_ack_that_cannot_be_written_is_a_fault() {
        let mut acks = Acks::new(|_| Box::pin(ready(Err(ErrorKind::MissingHeartbeatError.into()))));
        acks.add(1, 1);
        acks.write();
        assert!(matches!(written(&mut acks), Poll::Ready(Err(Fault::Ack(_)))));
    }
}
