//! One direction of the bridge: deliveries in, publications out, acks back.
//!
//! There is one loop per direction and session. Deliveries are translated strictly in order, what comes of
//! them is published without waiting, and a delivery is acked when all of it is confirmed. Any fault ends the
//! loop; what was not acked by then is delivered again to the next session.

use std::cell::{Cell, RefCell};
use std::future::{poll_fn, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{iter, option, thread, vec};

use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use lapin::types::ShortString;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, sleep};
use tracing::warn;

use super::acks::Acks;
use super::bridge::Unroutable;
use super::canary;
use super::care::{Care, Fingerprint};
use super::consuming::Consuming;
use super::counters::DirectionCounters;
use super::fault::{Fault, too_large};
use super::motion::Motion;
use super::nacks::{Advice, Nacks};
use super::prepared::{Prepared, Sending};
use super::properties::received;
use super::quarantine::{self, Cause};
use super::session::Link;
use super::stalls::Stalls;
use super::window::{Purpose, Settled, Window};
use crate::core::message::{Outcome, Publication, Reason, Received, Refusal};

/// As many deliveries are acked at once; beyond this nothing is gained (measured).
const BATCH: usize = 64;

/// As many deliveries are taken at once where they wait already: then signals, timers and sockets have their turn.
const HANDFUL: usize = 32;

/// Where deliveries come one upon the other, more of them come at once after so short a pause, and all that is done per
/// wake-up is done for more: 20 % of the CPU seconds per event at saturation, at the same rate (measured). tokio has no
/// timer for it, so the thread pauses, and with it the other direction.
const BREATH: Duration = Duration::from_micros(100);

/// How long until it is looked what was confirmed, and that is acked, where no delivery wakes the loop before. To be woken
/// for each confirm, and by lapin for each publication and ack that it has written, takes a third more CPU seconds at 1,000
/// events/s and more than half as much again at 5,000 (measured). After a look in vain the next confirm does wake it.
const LOOK: Duration = Duration::from_millis(2);

/// With fewer deliveries at once than this they would wait for that look, so each confirm wakes the loop.
const MANY: u16 = 128;

/// The confirm timeout is watched in as many steps.
const PULSES: u32 = 30;

/// What a direction needs to know besides its link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings<'b> {
    pub(super) unroutable: Unroutable,
    pub(super) confirm_timeout: Duration,
    /// How many of these to wait without any confirm; nothing for ever.
    pub(super) patience: Option<u32>,
    /// Whether the session began with a suspect.
    pub(super) careful: bool,
    pub(super) prefetch_count: u16,
    pub(super) counters: &'b DirectionCounters,
    pub(super) motion: &'b Motion,
}

/// A message to send for a delivery.
type Outgoing<'l> = (Purpose, Sending<'l>);

/// All that is sent for one delivery: nearly always one message, for which no list is made.
type Sendings<'l> = iter::Chain<option::IntoIter<Outgoing<'l>>, vec::IntoIter<Outgoing<'l>>>;

/// What becomes of a message; `'t` is what the outcome may borrow from.
pub(super) trait Translate<'t>: Fn(&Received<'_>) -> Outcome<'t> {}

impl<'t, T: Fn(&Received<'_>) -> Outcome<'t>> Translate<'t> for T {}

struct Loop<'l, 'b, 'f, T> {
    publisher: Publisher<'l, 'b, 'f, T>,
    window: Window<Sending<'l>, Delivery>,
    acks: Acks<'l>,
    /// The last delivery taken, while going one by one.
    head: Option<Fingerprint>,
}

/// Sends what comes of a delivery.
struct Publisher<'l, 'b, 'f, T> {
    link: &'l Link,
    settings: Settings<'b>,
    translate: &'f T,
    /// Whether something does not fit into the frames of the connection: the session ends when all before it is done.
    too_large: Cell<bool>,
}

/// Bridges until everything taken is acked after `stop` became true, or after there is no more need for care
/// where there was at first; or until a fault.
pub(super) async fn run<'t>(
    link: &Link,
    intake: &Consuming,
    settings: Settings<'_>,
    care: &RefCell<Care>,
    nacks: &RefCell<Nacks>,
    translate: &impl Translate<'t>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let publisher = Publisher { link, settings, translate, too_large: Cell::new(false) };
    let acks = Acks::new(|tag| Box::pin(intake.channel.basic_ack(tag, BasicAckOptions { multiple: true })));
    let mut this = Loop { publisher, window: Window::new(), acks, head: None };
    let mut deliveries = intake.consumer.clone();
    let mut consuming = true;

    let mut stopped = pin!(stop.wait_for(|stop| *stop));

    let careful = settings.careful;
    let prompt = careful || settings.prefetch_count < MANY;
    let period = settings.confirm_timeout / PULSES;
    let mut pulse = tokio::time::interval_at(Instant::now() + period, period);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = pin!(sleep(LOOK));
    let (mut looking, mut in_vain) = (false, false);
    let (mut progress, mut still) = (false, 0_u32);
    let mut patience = settings.patience;

    while consuming || !this.window.is_empty() || !this.acks.is_idle() {
        let ending = this.publisher.too_large.get();
        if ending && this.window.is_empty() && this.acks.is_idle() {
            return Err(Fault::Publish(too_large()));
        }
        // Nothing below has a budget of its own, and a backlog would keep signals and sockets waiting.
        tokio::task::consume_budget().await;
        let under_way = !this.window.is_empty();
        let eager = prompt || in_vain || ending || !consuming;
        // Where no look comes and nothing is under way, there is nothing to gain by waiting for a fuller batch.
        if this.acks.due() >= BATCH as u64 || eager && !under_way {
            this.acks.write();
        }
        if !looking && !eager && (under_way || !this.acks.is_idle()) {
            look.as_mut().reset(Instant::now() + LOOK);
            looking = true;
        }
        let room = match careful {
            true => !under_way,
            false => !this.window.is_sending_again() && !this.window.is_full(),
        } && !ending;
        tokio::select! {
            biased;
            settled = poll_fn(|context| this.publisher.poll_settled(&mut this.window, nacks, &mut waking(context, eager))), if under_way => {
                let settled = settled.inspect_err(|fault| this.convict(care, fault))?;
                (progress, in_vain) = (true, false);
                care.borrow_mut().passed(settled.deliveries);
                if settled.nacked > 0 {
                    nacks.borrow_mut().over();
                }
                settings.counters.published.add(settled.published);
                settings.counters.unroutable.add(settled.unroutable);
                // Whatever was in the way is gone; the next stall is the first one again.
                patience = Stalls::default().patience();
                let counted = settings.motion.settle(settled.last.delivery_tag, settled.deliveries);
                this.acks.add(settled.last.delivery_tag, counted);
            }
            written = poll_fn(|context| this.acks.poll_written(&mut waking(context, eager))), if this.acks.is_writing() => {
                settings.counters.acked.add(written?);
            }
            () = look.as_mut(), if looking => {
                looking = false;
                in_vain = under_way && this.acks.due() == 0;
                this.acks.write();
            }
            // The consumer is not cancelled: a quorum queue would hand over to the next one before it has put
            // back what was on its way to this one, and so out of order. It does both at once when the
            // channel closes.
            _ = &mut stopped, if consuming => consuming = false,
            _ = pulse.tick() => {
                if !under_way && !progress {
                    care.borrow_mut().idle();
                }
                let waiting = under_way && !progress && !link.is_blocked();
                for (reason, more) in settings.counters.said().left_unsaid(Instant::now()) {
                    warn!(direction = link.direction.code(), reason, more, "more to quarantine");
                }
                still = if waiting { still.saturating_add(1) } else { 0 };
                progress = false;
                this.acks.write();
                if let Some(times) = patience.filter(|times| still >= PULSES * times) {
                    return Err(Fault::Stalled(settings.confirm_timeout * times));
                }
                if !link.is_open(intake) {
                    return Err(Fault::Closed);
                }
            }
            mut delivery = deliveries.next(), if consuming && room => {
                let most = if careful { 1 } else { HANDFUL };
                let mut taken = 0;
                loop {
                    match delivery {
                        Some(Ok(delivery)) => this.take(delivery, care),
                        Some(Err(error)) => return Err(Fault::Consume(error)),
                        None => return Err(Fault::ConsumerEnded { queue: intake.consumer.queue().to_string() }),
                    }
                    taken += 1;
                    let enough = taken == most || this.publisher.too_large.get() || this.window.is_full();
                    // What has come meanwhile, without asking for everything else each time.
                    let Some(next) = (!enough).then(|| deliveries.next().now_or_never()).flatten() else { break };
                    delivery = next;
                }
                if taken > 1 {
                    thread::sleep(BREATH);
                }
            }
        }
        consuming &= !careful || care.borrow().is_on();
    }
    Ok(())
}

/// For a look that has whatever it waits for wake the loop, or nobody.
fn waking<'w>(context: &'w Context<'_>, wakes: bool) -> Context<'w> {
    Context::from_waker(if wakes { context.waker() } else { Waker::noop() })
}

impl<'l, 't, T: Translate<'t>> Loop<'l, '_, '_, T> {
    fn take(&mut self, delivery: Delivery, care: &RefCell<Care>) {
        let Settings { counters, motion, .. } = self.publisher.settings;
        motion.take();
        let mut care = care.borrow_mut();
        if canary::is_one(&delivery) {
            motion.canary_comes(delivery.delivery_tag);
            self.head = None;
            care.arrived(delivery.redelivered);
            let onwards = canary::onwards().send(&self.publisher.link.publishing, false);
            self.window.push(delivery, iter::once((Purpose::Answer, Box::pin(onwards) as Sending<'_>)));
            return;
        }
        counters.received.add(1);
        counters.redelivered.add(u64::from(delivery.redelivered));
        self.head = care.is_on().then(|| Fingerprint::of(&delivery));
        let convicted = self.head.and_then(|head| care.verdict(head)).map(Cause::Refused);
        let sendings = match convicted.map_or_else(|| self.publisher.translated(&delivery), Err) {
            Ok(sendings) => sendings,
            Err(cause) => sendings(Some(self.publisher.to_quarantine(&delivery, &cause)), Vec::new()),
        };
        care.arrived(delivery.redelivered);
        // It comes again, to a session that it fits; what came before it is finished here.
        if !self.publisher.too_large.get() {
            self.window.push(delivery, sendings);
        }
    }

    /// Remembers the message that was alone under way when the broker closed the channel.
    fn convict(&self, care: &RefCell<Care>, fault: &Fault) {
        if let (Fault::Publish(_), Some(head), Some(text)) = (fault, self.head, fault.refusal()) {
            care.borrow_mut().convict(head, text);
        }
    }
}

impl<'l, 't, T: Translate<'t>> Publisher<'l, '_, '_, T> {
    /// What is to be sent, or why the message goes to quarantine.
    fn translated(&self, delivery: &Delivery) -> Result<Sendings<'l>, Cause<'t>> {
        let message = received(delivery);
        // The translator holds no state between messages, so a panic leaves nothing half done.
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.translate)(&message)));
        let Ok(outcome) = outcome else {
            return Err(Cause::InternalError);
        };
        match outcome {
            Outcome::Publish(publications) => self.published(publications, Purpose::Publication, None),
            Outcome::Partly(publications, refusal) => {
                let published = self.published(publications, Purpose::Publication, None)?;
                let refused = self.to_quarantine(delivery, &Cause::Refused(refusal));
                Ok(sendings(None, published.chain(iter::once(refused)).collect()))
            }
            Outcome::Answer(answers) => {
                self.settings.counters.probes.add(1);
                self.published(answers, Purpose::Answer, None)
            }
            Outcome::Echo => {
                self.settings.counters.echoes.add(1);
                Ok(sendings(None, Vec::new()))
            }
            Outcome::Dropped => {
                self.settings.counters.dropped.add(1);
                Ok(sendings(None, Vec::new()))
            }
            Outcome::Refused(refusal) => Err(Cause::Refused(refusal)),
        }
    }

    /// All or none: the second may turn out to be impossible when the first has gone. Not at once, where it was nacked
    /// before.
    fn published(
        &self,
        publications: Vec<Publication<'_>>,
        purpose: Purpose,
        pause: Option<Duration>,
    ) -> Result<Sendings<'l>, Cause<'t>> {
        let (channel, frames) = (&self.link.publishing, self.link.frames);
        let mandatory = self.settings.unroutable == Unroutable::Count;
        let send = |publication| {
            let prepared = Prepared::new(publication).map_err(|unpublishable| {
                let detail = unpublishable.to_string();
                Cause::Refused(Refusal { reason: Reason::RefusedByBroker, detail, rule: None })
            })?;
            self.too_large.set(self.too_large.get() || !prepared.fits(frames));
            let sending: Sending<'l> = match pause {
                None => Box::pin(prepared.send(channel, mandatory)),
                Some(pause) => Box::pin(async move {
                    sleep(pause).await;
                    prepared.send(channel, mandatory).await
                }),
            };
            Ok((purpose, sending))
        };
        let mut publications = publications.into_iter();
        let first = publications.next().map(send).transpose()?;
        let more: Vec<_> = publications.map(send).collect::<Result<_, _>>()?;
        Ok(sendings(first, more))
    }

    /// Settles what is confirmed, and sends again or to quarantine what is nacked.
    ///
    /// One queue that takes nothing more must not stop what is behind it for ever.
    fn poll_settled(
        &self,
        window: &mut Window<Sending<'l>, Delivery>,
        nacks: &RefCell<Nacks>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Settled<Delivery>, Fault>> {
        window.poll_settled(context, BATCH, |delivery, times| {
            let sendings = match nacks.borrow_mut().one_more(times, Instant::now()) {
                Advice::Again(pause) => self.again(delivery, pause),
                Advice::GiveUp => {
                    let detail =
                        "a queue that is bound to its exchange takes nothing more (basic.nack)".to_owned();
                    let refusal = Refusal { reason: Reason::RefusedByBroker, detail, rule: None };
                    sendings(Some(self.to_quarantine(delivery, &Cause::Refused(refusal))), Vec::new())
                }
            };
            sendings.collect()
        })
    }

    /// The publications of a delivery once more, after a while.
    fn again(&self, delivery: &Delivery, pause: Duration) -> Sendings<'l> {
        // What went to quarantine beside them is there.
        let publications = match (self.translate)(&received(delivery)) {
            Outcome::Publish(publications) | Outcome::Partly(publications, _) => publications,
            Outcome::Answer(_) | Outcome::Echo | Outcome::Dropped | Outcome::Refused(_) => Vec::new(),
        };
        self.published(publications, Purpose::Publication, Some(pause))
            .unwrap_or_else(|cause| sendings(Some(self.to_quarantine(delivery, &cause)), Vec::new()))
    }

    fn to_quarantine(&self, delivery: &Delivery, cause: &Cause<'_>) -> Outgoing<'l> {
        let Link { direction, frames, ref quarantine, ref quarantine_queue, .. } = *self.link;
        let prepared = Prepared {
            // The default exchange: straight to the queue of this name.
            exchange: ShortString::default(),
            routing_key: quarantine_queue.clone(),
            properties: quarantine::properties(delivery, direction, cause, Timestamp::now()),
            body: delivery.data.clone(),
        };
        let sending: Sending<'l> = if prepared.fits(frames) {
            self.tell_of_quarantine(delivery, cause);
            Box::pin(prepared.send(quarantine, true))
        } else {
            self.too_large.set(true);
            Box::pin(ready(Err(too_large())))
        };
        (Purpose::Quarantine, sending)
    }

    fn tell_of_quarantine(&self, delivery: &Delivery, cause: &Cause<'_>) {
        let (reason, detail) = (cause.code(), cause.detail());
        let counters = self.settings.counters;
        counters.quarantined(cause.reason());
        if let Some(unsaid) = counters.said().say(reason, Instant::now()) {
            let (direction, key) = (self.link.direction.code(), delivery.routing_key.as_str());
            warn!(direction, reason, ?detail, routing_key = ?key, unsaid, "to quarantine");
        }
    }
}

fn sendings<'l>(first: Option<Outgoing<'l>>, more: Vec<Outgoing<'l>>) -> Sendings<'l> {
    first.into_iter().chain(more)
}
