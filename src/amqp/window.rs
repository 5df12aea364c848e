//! What is under way: deliveries in the order in which they came, each with the confirms it waits for.
//!
//! Nothing waits for a confirm before the next message is sent, but deliveries are settled in order, so an
//! ack of the last one settled (with `multiple`) covers exactly what is confirmed. Only the oldest is polled:
//! the futures behind it are already on their way and need nobody's attention.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use futures_util::future::{Either, Ready, ready as at_once};
use lapin::Confirmation;
use lapin::message::Delivery;

use super::fault::Fault;

/// What a message was sent for, which decides what its confirm means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A translation. No queue need want it.
    Publication,
    /// The answer to a probe. Whoever asked may be gone, or have a queue that takes nothing more.
    Answer,
    /// A message to quarantine. Returned, it would be lost.
    Quarantine,
}

/// The deliveries under way. `F` resolves to a publisher confirm, `T` is the delivery itself.
pub(super) struct Window<F, T> {
    deliveries: VecDeque<Entry<T>>,
    /// What they wait for, in the same order: nearly always one for each, so that none has a list of its own.
    confirms: VecDeque<(Purpose, Confirm<F>)>,
    bytes: usize,
}

/// While bodies of so many bytes are under way no more are taken. Each is there up to three times: as it came, as it goes
/// out, and in what lapin has still to write.
const MOST_BYTES: usize = 16 << 20;

/// What takes memory while it is under way.
pub(super) trait Weigh {
    /// How much its body takes.
    fn bytes(&self) -> usize;
}

impl Weigh for Delivery {
    fn bytes(&self) -> usize {
        self.data.len()
    }
}

/// Deliveries that are done, all that came before them included.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settled<T> {
    /// To be acked with `multiple`.
    pub(super) last: T,
    /// How many deliveries.
    pub(super) deliveries: u64,
    /// How many publications came of them.
    pub(super) published: u64,
    /// How many of those no queue wanted.
    pub(super) unroutable: u64,
    /// How many of them were nacked at first.
    pub(super) nacked: u64,
}

struct Entry<T> {
    delivery: T,
    /// How many of the confirms are still its own.
    waits_for: usize,
    published: u64,
    unroutable: u64,
    nacked: bool,
    /// How often it was sent again.
    again: u32,
}

/// One that is waited for, or one that came when the message was sent: that is rare, and large, hence the box.
type Confirm<F> = Either<F, Box<Ready<lapin::Result<Confirmation>>>>;

impl<F, T> Window<F, T>
where
    F: Future<Output = lapin::Result<Confirmation>> + Unpin,
    T: Weigh,
{
    pub(super) const fn new() -> Self {
        Self { deliveries: VecDeque::new(), confirms: VecDeque::new(), bytes: 0 }
    }

    /// Whether no more deliveries are to be taken, for the memory's sake.
    pub(super) const fn is_full(&self) -> bool {
        self.bytes >= MOST_BYTES
    }

    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    /// Whether something was nacked and is sent again: what is behind it had better wait.
    pub(super) fn is_sending_again(&self) -> bool {
        self.deliveries.front().is_some_and(|oldest| oldest.again > 0)
    }

    /// Adds a delivery and sends what came of it, which may be nothing.
    pub(super) fn push(&mut self, delivery: T, sendings: impl IntoIterator<Item = (Purpose, F)>) {
        // The first poll of a publish queues its frames. What wakes it later is of no interest until it is
        // the oldest, hence a waker that does nothing.
        let mut context = Context::from_waker(Waker::noop());
        let before = self.confirms.len();
        for (purpose, mut sending) in sendings {
            let confirm = match Pin::new(&mut sending).poll(&mut context) {
                Poll::Pending => Either::Left(sending),
                Poll::Ready(confirm) => Either::Right(Box::new(at_once(confirm))),
            };
            self.confirms.push_back((purpose, confirm));
        }
        self.bytes += delivery.bytes();
        self.deliveries.push_back(Entry {
            delivery,
            waits_for: self.confirms.len() - before,
            published: 0,
            unroutable: 0,
            nacked: false,
            again: 0,
        });
    }

    /// Ready when at least the oldest delivery is settled, with as many as are, up to `most`.
    ///
    /// `nacked` says what to send now for a delivery of which a publication was nacked, told how often it was sent again
    /// by then. Only when quarantine is nacked too there is nothing left to be done.
    ///
    /// After an error the window is of no use any more.
    pub(super) fn poll_settled(
        &mut self,
        context: &mut Context<'_>,
        most: usize,
        mut nacked: impl FnMut(&T, u32) -> Vec<(Purpose, F)>,
    ) -> Poll<Result<Settled<T>, Fault>> {
        let Self { deliveries, confirms, bytes } = self;
        let mut settled = 0;
        while let Some(oldest) = deliveries.get_mut(settled).filter(|_| settled < most) {
            match oldest.poll(confirms, context) {
                Poll::Pending => break,
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Ready(Ok(())) if oldest.nacked => {
                    let sendings = nacked(&oldest.delivery, oldest.again);
                    oldest.waits_for = sendings.len();
                    // Its turn is before all that is behind it.
                    for (purpose, sending) in sendings.into_iter().rev() {
                        confirms.push_front((purpose, Either::Left(sending)));
                    }
                    (oldest.published, oldest.unroutable, oldest.nacked) = (0, 0, false);
                    oldest.again += 1;
                }
                Poll::Ready(Ok(())) => settled += 1,
            }
        }
        *bytes -= deliveries.range(..settled).map(|entry| entry.delivery.bytes()).sum::<usize>();
        let mut done = deliveries.drain(..settled);
        let Some(last) = done.next_back() else { return Poll::Pending };
        let (mut published, mut unroutable, mut nacked) =
            (last.published, last.unroutable, last.nacked_at_first());
        for entry in done {
            published += entry.published;
            unroutable += entry.unroutable;
            nacked += entry.nacked_at_first();
        }
        let deliveries = settled as u64;
        Poll::Ready(Ok(Settled { last: last.delivery, deliveries, published, unroutable, nacked }))
    }
}

impl<T> Entry<T> {
    /// How many of its publications are confirmed only now that they were sent again.
    const fn nacked_at_first(&self) -> u64 {
        if self.again > 0 { self.published } else { 0 }
    }

    fn poll<F>(
        &mut self,
        confirms: &mut VecDeque<(Purpose, Confirm<F>)>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Fault>>
    where
        F: Future<Output = lapin::Result<Confirmation>> + Unpin,
    {
        while self.waits_for > 0 {
            // Cannot be: what a delivery waits for is there.
            let Some((purpose, oldest)) = confirms.front_mut() else {
                return Poll::Ready(Err(Fault::Closed));
            };
            let (purpose, confirm) = (*purpose, ready!(Pin::new(oldest).poll(context)));
            // Whatever it says, it must not be polled again.
            confirms.pop_front();
            self.waits_for -= 1;
            self.published += u64::from(purpose == Purpose::Publication);
            match (confirm, purpose) {
                (Ok(Confirmation::Ack(None)), _) => {}
                (Ok(Confirmation::Ack(Some(_))), Purpose::Publication) => self.unroutable += 1,
                (Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(_)), Purpose::Answer) => {}
                (Ok(Confirmation::Ack(Some(_))), Purpose::Quarantine) => {
                    return Poll::Ready(Err(Fault::QuarantineGone));
                }
                (Ok(Confirmation::Nack(_)), Purpose::Publication) => self.nacked = true,
                (Ok(Confirmation::Nack(_)), Purpose::Quarantine) => return Poll::Ready(Err(Fault::Nacked)),
                (Err(error), Purpose::Publication | Purpose::Answer) => {
                    return Poll::Ready(Err(Fault::Publish(error)));
                }
                (Err(error), Purpose::Quarantine) => return Poll::Ready(Err(Fault::Quarantine(error))),
                // Cannot be: the channel confirms.
                (Ok(Confirmation::NotRequested), _) => return Poll::Ready(Err(Fault::Closed)),
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::Wake;

    use lapin::ErrorKind;
    use lapin::message::BasicReturnMessage;

    use super::*;

    impl Weigh for usize {
        fn bytes(&self) -> usize {
            *self
        }
    }

    /// A confirm that resolves when the test says so, and panics like a promise when polled after that.
    #[derive(Clone, Default)]
    struct Promise(Arc<Mutex<State>>);

    #[derive(Default)]
    struct State {
        polls: usize,
        result: Option<lapin::Result<Confirmation>>,
        gone: bool,
        waker: Option<Waker>,
    }

    impl Promise {
        fn resolve(&self, result: lapin::Result<Confirmation>) {
            let mut state = self.0.lock().unwrap();
            state.result = Some(result);
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }

        fn polls(&self) -> usize {
            self.0.lock().unwrap().polls
        }
    }

    impl Future for Promise {
        type Output = lapin::Result<Confirmation>;

        fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            let mut state = self.0.lock().unwrap();
            assert!(!state.gone, "polled after completion");
            state.polls += 1;
            match state.result.take() {
                Some(result) => {
                    state.gone = true;
                    Poll::Ready(result)
                }
                None => {
                    state.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        }
    }

    fn ack() -> lapin::Result<Confirmation> {
        Ok(Confirmation::Ack(None))
    }

    fn returned() -> lapin::Result<Confirmation> {
        let delivery = Delivery::mock(0, "".into(), "".into(), false, Vec::new());
        let message = BasicReturnMessage { delivery, reply_code: 312, reply_text: "NO_ROUTE".into() };
        Ok(Confirmation::Ack(Some(message)))
    }

    fn window(sizes: &[usize]) -> (Window<Promise, usize>, Vec<Vec<Promise>>) {
        let mut window = Window::new();
        let mut promises = Vec::new();
        for (tag, size) in sizes.iter().enumerate() {
            let sent: Vec<_> = (0..*size).map(|_| Promise::default()).collect();
            window.push(tag, sent.iter().map(|promise| (Purpose::Publication, promise.clone())));
            promises.push(sent);
        }
        (window, promises)
    }

    fn nothing_nacked(_: &usize, _: u32) -> Vec<(Purpose, Promise)> {
        panic!("nothing was nacked")
    }

    fn settled(window: &mut Window<Promise, usize>) -> Poll<Result<Settled<usize>, Fault>> {
        window.poll_settled(&mut Context::from_waker(Waker::noop()), 64, nothing_nacked)
    }

    fn expect(window: &mut Window<Promise, usize>, last: usize, deliveries: u64) -> Settled<usize> {
        match settled(window) {
            Poll::Ready(Ok(settled)) => {
                assert_eq!((settled.last, settled.deliveries), (last, deliveries));
                settled
            }
            _ => panic!("not settled"),
        }
    }

    #[test]
    fn is_full_while_bodies_of_16_mib_are_under_way() {
        let mut window = Window::new();
        let promises = [10 << 20, (6 << 20) - 1, 1].map(|bytes| {
            assert!(!window.is_full());
            let promise = Promise::default();
            window.push(bytes, vec![(Purpose::Publication, promise.clone())]);
            promise
        });
        assert!(window.is_full());
        promises[0].resolve(ack());
        expect(&mut window, 10 << 20, 1);
        assert!(!window.is_full());
        window.push(10 << 20, vec![]);
        assert!(window.is_full());
    }

    #[test]
    fn settles_in_order_whatever_the_order_of_the_confirms() {
        let (mut window, promises) = window(&[1, 2, 1, 1]);
        promises[2][0].resolve(ack());
        promises[1][1].resolve(ack());
        assert!(settled(&mut window).is_pending());
        promises[0][0].resolve(ack());
        expect(&mut window, 0, 1);
        assert!(settled(&mut window).is_pending());
        promises[1][0].resolve(ack());
        assert_eq!(expect(&mut window, 2, 2).published, 3);
        assert_eq!(window.deliveries.len(), 1);
    }

    #[test]
    fn a_delivery_without_publications_waits_for_those_before_it() {
        let (mut window, promises) = window(&[0, 1, 0, 0]);
        expect(&mut window, 0, 1);
        assert!(settled(&mut window).is_pending());
        promises[1][0].resolve(ack());
        expect(&mut window, 3, 3);
        assert!(window.is_empty());
    }

    #[test]
    fn sends_at_once_and_then_looks_at_the_oldest_only() {
        let (mut window, promises) = window(&[1, 1, 1]);
        for _ in 0..5 {
            assert!(settled(&mut window).is_pending());
        }
        assert_eq!(promises.iter().map(|sent| sent[0].polls()).collect::<Vec<_>>(), [6, 1, 1]);
    }

    #[test]
    fn takes_a_confirm_that_was_there_at_once() {
        let mut window = Window::new();
        let promise = Promise::default();
        promise.resolve(ack());
        window.push(7, vec![(Purpose::Publication, promise)]);
        expect(&mut window, 7, 1);
    }

    #[test]
    fn hands_out_no_more_than_asked_for() {
        let (mut window, _) = window(&[0, 0, 0]);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(settled)) = window.poll_settled(&mut context, 2, nothing_nacked) else { panic!() };
        assert_eq!((settled.last, settled.deliveries), (1, 2));
        expect(&mut window, 2, 1);
    }

    #[test]
    fn is_woken_by_the_oldest() {
        struct Count(AtomicUsize);
        impl Wake for Count {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let (mut window, promises) = window(&[1, 1]);
        let count = Arc::new(Count(AtomicUsize::new(0)));
        let waker = Waker::from(Arc::clone(&count));
        assert!(window.poll_settled(&mut Context::from_waker(&waker), 64, nothing_nacked).is_pending());
        promises[1][0].resolve(ack());
        assert_eq!(count.0.load(Ordering::SeqCst), 0);
        promises[0][0].resolve(ack());
        assert_eq!(count.0.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn counts_a_returned_publication_and_fails_on_a_returned_quarantine() {
        let mut window = Window::new();
        let (publication, quarantine) = (Promise::default(), Promise::default());
        window.push(1, vec![(Purpose::Publication, publication.clone())]);
        window.push(2, vec![(Purpose::Quarantine, quarantine.clone())]);
        publication.resolve(returned());
        let done = expect(&mut window, 1, 1);
        assert_eq!((done.published, done.unroutable), (1, 1));
        quarantine.resolve(returned());
        assert!(matches!(settled(&mut window), Poll::Ready(Err(Fault::QuarantineGone))));
    }

    #[test]
    fn a_nacked_publication_is_sent_again_and_holds_up_what_is_behind_it() {
        let (mut window, promises) = window(&[1, 2, 1]);
        let (again, quarantine) = (Promise::default(), Promise::default());
        let poll = |window: &mut Window<Promise, usize>| {
            window.poll_settled(&mut Context::from_waker(Waker::noop()), 64, |delivery, times| {
                assert_eq!(*delivery, 1);
                vec![match times {
                    0 => (Purpose::Publication, again.clone()),
                    _ => (Purpose::Quarantine, quarantine.clone()),
                }]
            })
        };
        promises[0][0].resolve(ack());
        promises[1][0].resolve(Ok(Confirmation::Nack(None)));
        promises[1][1].resolve(ack());
        promises[2][0].resolve(ack());
        assert!(matches!(poll(&mut window), Poll::Ready(Ok(Settled { last: 0, nacked: 0, .. }))));
        assert!(poll(&mut window).is_pending() && window.is_sending_again());
        again.resolve(Ok(Confirmation::Nack(None)));
        assert!(poll(&mut window).is_pending());
        quarantine.resolve(ack());
        let done = poll(&mut window);
        let expected = Settled { last: 2, deliveries: 2, published: 1, unroutable: 0, nacked: 0 };
        assert!(matches!(done, Poll::Ready(Ok(done)) if done == expected));
        assert!(!window.is_sending_again());
    }

    #[test]
    fn tells_that_what_was_nacked_is_confirmed() {
        let (mut window, promises) = window(&[1]);
        promises[0][0].resolve(Ok(Confirmation::Nack(None)));
        let mut context = Context::from_waker(Waker::noop());
        let sent = |_: &usize, _| {
            let again = Promise::default();
            again.resolve(ack());
            vec![(Purpose::Publication, again)]
        };
        let done = window.poll_settled(&mut context, 64, sent);
        assert!(matches!(done, Poll::Ready(Ok(Settled { published: 1, nacked: 1, .. }))));
    }

    #[test]
    fn an_answer_that_nobody_takes_is_no_fault_and_no_publication() {
        for confirm in [ack(), returned(), Ok(Confirmation::Nack(None))] {
            let mut window = Window::new();
            let answer = Promise::default();
            window.push(1, vec![(Purpose::Answer, answer.clone())]);
            answer.resolve(confirm);
            let done = expect(&mut window, 1, 1);
            assert_eq!((done.published, done.unroutable), (0, 0));
        }
    }

    #[test]
    fn nothing_is_settled_by_an_error_or_a_nack_from_quarantine() {
        let mut window = Window::new();
        let promise = Promise::default();
        promise.resolve(Ok(Confirmation::Nack(None)));
        window.push(1, vec![(Purpose::Quarantine, promise)]);
        assert!(matches!(settled(&mut window), Poll::Ready(Err(Fault::Nacked))));
        let (mut window, promises) = self::window(&[1]);
        promises[0][0].resolve(Err(ErrorKind::MissingHeartbeatError.into()));
        assert!(matches!(settled(&mut window), Poll::Ready(Err(Fault::Publish(_)))));
        let mut window = Window::new();
        let promise = Promise::default();
        window.push(1, vec![(Purpose::Quarantine, promise.clone())]);
        promise.resolve(Err(ErrorKind::MissingHeartbeatError.into()));
        assert!(matches!(settled(&mut window), Poll::Ready(Err(Fault::Quarantine(_)))));
    }
}
