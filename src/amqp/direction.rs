//! One direction of the bridge: deliveries in, publications out, acks back.
//!
//! Deliveries are translated and published on the thread that reads them, see `taking`. There is one loop per direction and
//! session that sees to the rest: a delivery is acked when all that came of it is confirmed. Any fault ends the loop; what
//! was not acked by then is delivered again to the next session.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use lapin::options::BasicAckOptions;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, sleep};
use tracing::warn;

use super::acks::Acks;
use super::bridge::Unroutable;
use super::care::Care;
use super::consuming::Consuming;
use super::counters::Counters;
use super::fault::{Fault, too_large};
use super::locked::locked;
use super::motion::Motion;
use super::nacks::Nacks;
use super::publisher::{Publisher, Translate};
use super::session::Link;
use super::stalls::Stalls;
use super::taking::Shared;

/// As many deliveries are acked at once; beyond this nothing is gained (measured).
const BATCH: usize = 64;

/// How long until it is looked what was confirmed, and that is acked. To be woken for each confirm, and by lapin for each
/// publication and ack that it has written, takes a third more CPU seconds at 1,000 events/s and more than half as much again
/// at 5,000 (measured). After a look in vain the next confirm does wake the loop.
const LOOK: Duration = Duration::from_millis(2);

/// With fewer deliveries at once than this they would wait for that look, so each confirm wakes the loop, and
/// lapin's thread is woken for each ack.
const MANY: u16 = 128;

/// The confirm timeout is watched in as many steps.
const PULSES: u32 = 30;

/// What a direction works with in a session.
pub(super) struct Work<'w> {
    pub(super) link: &'w Arc<Link>,
    pub(super) intake: &'w Consuming,
    pub(super) translate: &'w Arc<dyn Translate>,
    pub(super) counters: &'w Arc<Counters>,
    pub(super) motion: &'w Arc<Motion>,
    pub(super) care: &'w Arc<Mutex<Care>>,
    pub(super) nacks: &'w RefCell<Nacks>,
}

/// How it goes about it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) unroutable: Unroutable,
    pub(super) confirm_timeout: Duration,
    /// How many of these to wait without any confirm; nothing for ever.
    pub(super) patience: Option<u32>,
    /// Whether the session began with a suspect.
    pub(super) careful: bool,
    pub(super) prefetch_count: u16,
}

/// Bridges until everything taken is acked after `stop` became true, or after there is no more need for care
/// where there was at first; or until a fault.
pub(super) async fn run(
    work: Work<'_>,
    settings: Settings,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Fault> {
    let Work { link, intake, translate, counters, motion, care, nacks } = work;
    let Settings { unroutable, confirm_timeout, mut patience, careful, prefetch_count } = settings;
    let publisher = Publisher {
        link: Arc::clone(link),
        translate: Arc::clone(translate),
        counters: Arc::clone(counters),
        unroutable,
        too_large: Cell::new(false),
    };
    let shared = Shared::new(publisher, Arc::clone(motion), careful.then(|| Arc::clone(care)));
    let mut deliveries = intake.consumer.clone();
    let prompt = careful || prefetch_count < MANY;
    let _taking = shared.take_at_once(deliveries.clone(), &intake.turns, !prompt);
    let mut acks =
        Acks::new(|tag| Box::pin(intake.channel.basic_ack(tag, BasicAckOptions { multiple: true })));
    let counters = counters.of(link.direction);

    let (mut stopped, mut stopping) = (pin!(stop.wait_for(|stop| *stop)), false);
    let period = confirm_timeout / PULSES;
    let mut pulse = tokio::time::interval_at(Instant::now() + period, period);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut look = pin!(sleep(LOOK));
    let (mut looking, mut in_vain) = (false, false);
    let (mut progress, mut still) = (false, 0_u32);

    loop {
        // Nothing below has a budget of its own, and a backlog would keep signals and sockets waiting.
        tokio::task::consume_budget().await;
        let (under_way, eager, taken, ended) = {
            let mut taking = shared.lock();
            if careful && !locked(care).is_on() {
                taking.stop();
            }
            let (under_way, idle) = (taking.is_under_way(), acks.is_idle());
            if !under_way && idle && taking.is_too_large() {
                return Err(Fault::Publish(too_large()));
            }
            if !under_way && idle && !taking.is_on() {
                return Ok(());
            }
            let eager = prompt || in_vain || !taking.is_on();
            if !looking && !eager && (under_way || !idle) {
                look.as_mut().reset(Instant::now() + LOOK);
                looking = true;
            }
            (under_way, eager, taking.taken(), taking.has_ended())
        };
        // Where no look comes and nothing is under way, there is nothing to gain by waiting for a fuller batch.
        if acks.due() >= BATCH as u64 || eager && !under_way {
            acks.write();
        }
        tokio::select! {
            biased;
            settled = poll_fn(|context| shared.lock().poll_settled(BATCH, &mut nacks.borrow_mut(), &mut waking(context, eager))), if under_way => {
                let settled = settled.inspect_err(|fault| {
                    // The message that was alone under way when the broker closed the channel.
                    if let (Fault::Publish(_), Some(head), Some(text)) = (fault, shared.lock().head(), fault.refusal()) {
                        locked(care).convict(head, text);
                    }
                })?;
                (progress, in_vain) = (true, false);
                locked(care).passed(settled.deliveries);
                if settled.nacked > 0 {
                    nacks.borrow_mut().over();
                }
                counters.published.add(settled.published);
                counters.unroutable.add(settled.unroutable);
                // Whatever was in the way is gone; the next stall is the first one again.
                patience = Stalls::default().patience();
                let counted = motion.settle(settled.last.delivery_tag, settled.deliveries);
                acks.add(settled.last.delivery_tag, counted);
            }
            written = poll_fn(|context| acks.poll_written(&mut waking(context, eager))), if acks.is_writing() => {
                counters.acked.add(written?);
            }
            () = look.as_mut(), if looking => {
                looking = false;
                in_vain = under_way && acks.due() == 0;
                acks.write();
                // What lapin's thread did not take: there was no room for it, or it missed its turn.
                let _ = shared.lock().poll_taken(taken, &mut deliveries, &mut Context::from_waker(Waker::noop()));
            }
            // The consumer is not cancelled: a quorum queue would hand over to the next one before it has put
            // back what was on its way to this one, and so out of order. It does both at once when the
            // channel closes.
            _ = &mut stopped, if !stopping => {
                stopping = true;
                shared.lock().stop();
            }
            _ = pulse.tick() => {
                if !under_way && !progress {
                    locked(care).idle();
                }
                let waiting = under_way && !progress && !link.is_blocked();
                for (reason, more) in counters.said().left_unsaid(Instant::now()) {
                    warn!(direction = link.direction.code(), reason, more, "more to quarantine");
                }
                still = if waiting { still.saturating_add(1) } else { 0 };
                progress = false;
                acks.write();
                if let Some(times) = patience.filter(|times| still >= PULSES * times) {
                    return Err(Fault::Stalled(confirm_timeout * times));
                }
                if !link.is_open(intake) {
                    return Err(Fault::Closed);
                }
            }
            // Who looks anyway need not be woken by each delivery: lapin's thread takes it.
            () = poll_fn(|context| shared.lock().poll_taken(taken, &mut deliveries, context)), if !looking || ended => {
                if let Some(fault) = shared.lock().ended(intake.consumer.queue().as_str()) {
                    return Err(fault);
                }
            }
        }
    }
}

/// For a look that has whatever it waits for wake the loop, or nobody.
fn waking<'w>(context: &'w Context<'_>, wakes: bool) -> Context<'w> {
    Context::from_waker(if wakes { context.waker() } else { Waker::noop() })
}
