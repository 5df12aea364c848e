//! Keeps the bridge running: session after session until it is told to stop.
//!
//! A lost connection is a state and not an error. Only what no waiting will cure, found before the bridge
//! ever ran, ends it: an exchange or queue that exists otherwise, or a broker that does not let us in.

use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::future::try_join;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::backoff::Backoff;
use super::bridge::Bridge;
use super::care::Cares;
use super::declare::{Inequivalent, SetUpError};
use super::direction::{self, Settings, Translate};
use super::fault::Fault;
use super::printable::printable;
use super::session::{Events, Notice, OpenError, Session, Stage};
use crate::core::message::Received;

/// While the broker is away, so often at most is it said.
const REMINDER: Duration = Duration::from_secs(10);

/// How long an ended session may take to close its connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// What happens to the bridge as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Both directions consume.
    Ready {
        /// For the first time.
        first: bool,
    },
    /// The session ended; another one will be tried.
    Lost,
    /// A broker takes no messages for now. Nothing is lost.
    Blocked,
    /// It does again.
    Unblocked,
    /// Told to stop; finishing what is under way.
    Draining,
}

/// Why the bridge cannot run at all.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// An exchange or a queue exists with other arguments than are needed.
    #[error("on {broker}: {source}")]
    Inequivalent {
        /// The broker, without a password.
        broker: String,
        /// What differs.
        source: Inequivalent,
    },
    /// A broker does not let us in, or not do what we have to.
    #[error("on {broker}: access refused: {text}")]
    AccessRefused {
        /// The broker, without a password.
        broker: String,
        /// The broker's words.
        text: String,
    },
}

/// Runs the bridge until `shutdown` resolves.
///
/// `events` is called from within and should not block. Lost connections are retried for ever, with a delay
/// between 100 ms and 5 s, and logged here.
///
/// # Errors
/// Only before both directions have consumed for the first time, and only for what waiting does not cure.
pub async fn run(
    bridge: &Bridge,
    events: impl Fn(Event),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let to_legacy = |message: &Received<'_>| bridge.translator.to_legacy(message);
    let to_modern = |message: &Received<'_>| bridge.translator.to_modern(message);
    supervise(bridge, (&to_legacy, &to_modern), events, shutdown).await
}

/// Runs the bridge with any pair of translations.
pub(super) async fn supervise<'t>(
    bridge: &Bridge,
    translations: (&impl Translate<'t>, &impl Translate<'t>),
    events: impl Fn(Event),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let mut shutdown = pin!(shutdown);
    let mut backoff = Backoff::default();
    let cares = Cares::default();
    let mut complaints = Complaints::default();
    let mut first = true;
    loop {
        let opened = tokio::select! {
            biased;
            () = &mut shutdown => return Ok(()),
            opened = Session::open(bridge, cares.prefetch_count(bridge.prefetch_count)) => opened,
        };
        match opened {
            Err(open_error) => {
                let cause = open_error.to_string();
                if lost_while_consuming(&open_error) {
                    // The first delivery came and ended it, before the session was complete.
                    cares.begin(bridge.prefetch_count);
                    if bridge.broker_puts_poison_away() {
                        backoff.reset();
                    }
                }
                if let Some(fatal) = fatal(open_error).filter(|_| first) {
                    return Err(fatal);
                }
                let retry_in = backoff.next_delay();
                complaints.complain(|| warn!(%cause, ?retry_in, "no session with the broker"));
                tokio::select! {
                    biased;
                    () = &mut shutdown => return Ok(()),
                    () = sleep(retry_in) => {}
                }
            }
            Ok(session) => {
                bridge.counters.session_began();
                events(Event::Ready { first });
                if !first {
                    info!("consuming again");
                }
                first = false;
                complaints = Complaints::default();

                let began = Instant::now();
                let (taken, settled) = (bridge.counters.taken(), bridge.counters.settled());
                let ended = run_session(bridge, session, translations, &cares, &events, shutdown.as_mut());
                let fault = match ended.await {
                    Ended::Stopped => return Ok(()),
                    Ended::CareOver => {
                        info!("going on as usual");
                        continue;
                    }
                    Ended::Fault(fault) => fault,
                };
                let progress = bridge.counters.settled() > settled;
                let in_vain = bridge.counters.taken() > taken && !progress;
                if fault.refusal().is_some() || fault.is_unreadable() || in_vain {
                    cares.begin(bridge.prefetch_count);
                    info!("a message may be the cause: going on one by one");
                }
                // A session that ended before it did anything was no good: do not hurry to the next. But a
                // message that cannot be read is put away by the broker after some more deliveries.
                let put_away = fault.is_unreadable() && bridge.broker_puts_poison_away();
                if progress || put_away || began.elapsed() >= Backoff::LONGEST {
                    backoff.reset();
                }
                events(Event::Lost);
                let retry_in = backoff.next_delay();
                warn!(cause = %fault, ?retry_in, "session ended");
                tokio::select! {
                    biased;
                    () = &mut shutdown => return Ok(()),
                    () = sleep(retry_in) => {}
                }
            }
        }
    }
}

/// How a session ended.
enum Ended {
    /// Something was wrong.
    Fault(Fault),
    /// It was a careful one, and what it had to be careful about is through.
    CareOver,
    /// As it was told to.
    Stopped,
}

/// Runs both directions until one of them ends.
async fn run_session<'t>(
    bridge: &Bridge,
    mut session: Session,
    translations: (&impl Translate<'t>, &impl Translate<'t>),
    cares: &Cares,
    on: &impl Fn(Event),
    shutdown: Pin<&mut impl Future<Output = ()>>,
) -> Ended {
    let (stop, stopped) = watch::channel(false);
    let Session { to_legacy, to_modern, events, .. } = &mut session;
    let careful = cares.is_on();
    let settings = |counters| Settings {
        unroutable: bridge.unroutable,
        confirm_timeout: bridge.confirm_timeout,
        careful,
        counters,
    };
    let mut both = Box::pin(try_join(
        direction::run(
            to_legacy,
            settings(&bridge.counters.to_legacy),
            cares,
            translations.0,
            stopped.clone(),
        ),
        direction::run(to_modern, settings(&bridge.counters.to_modern), cares, translations.1, stopped),
    ));

    // The directions are asked first: they know best what an error of their channels means.
    let ended = tokio::select! {
        biased;
        ended = &mut both => Some(ended.map_or_else(Ended::Fault, |_| Ended::CareOver)),
        fault = watch_for_fault(events, on) => Some(Ended::Fault(fault)),
        () = shutdown => None,
    };
    if let Some(ended) = ended {
        drop(both);
        session.close(CLOSE_TIMEOUT).await;
        return ended;
    }

    on(Event::Draining);
    let deadline = Instant::now() + bridge.shutdown_grace;
    let closing = CLOSE_TIMEOUT.min(bridge.shutdown_grace / 5);
    stop.send_replace(true);
    let drained = timeout_at(deadline - closing, async {
        tokio::select! {
            biased;
            ended = &mut both => ended.err(),
            fault = watch_for_fault(events, on) => Some(fault),
        }
    });
    match drained.await {
        Ok(None) => {}
        Ok(Some(fault)) => warn!(cause = %fault, "session ended while stopping; the rest is delivered again"),
        Err(_) => warn!("not all was confirmed in time; the rest is delivered again"),
    }
    drop(both);
    session.close(deadline.saturating_duration_since(Instant::now()).max(closing)).await;
    Ended::Stopped
}

async fn watch_for_fault(events: &mut Events, on: &impl Fn(Event)) -> Fault {
    loop {
        match events.next().await {
            Notice::Blocked { broker, reason } => {
                warn!(broker, reason = printable(reason), "the broker takes no messages for now");
                on(Event::Blocked);
            }
            Notice::Unblocked { broker } => {
                info!(broker, "the broker takes messages again");
                on(Event::Unblocked);
            }
            Notice::Fault(fault) => return fault,
        }
    }
}

/// Whether the connection was lost when all was declared and deliveries could come.
const fn lost_while_consuming(error: &OpenError) -> bool {
    matches!(error, OpenError::Failed { doing: Stage::Consuming, source: SetUpError::Broker(_), .. })
}

/// The error to end with, for what does not get better by waiting.
fn fatal(error: OpenError) -> Option<RunError> {
    match error {
        OpenError::Failed { broker, source: SetUpError::Inequivalent(source), .. } => {
            Some(RunError::Inequivalent { broker, source })
        }
        OpenError::Failed { broker, source: SetUpError::AccessRefused { text }, .. } => {
            Some(RunError::AccessRefused { broker, text })
        }
        OpenError::Failed { .. } | OpenError::TimedOut { .. } => None,
    }
}

/// Says the same at once, and then at most every ten seconds.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
}

impl Complaints {
    fn complain(&mut self, say: impl FnOnce()) {
        if self.last.is_none_or(|last| last.elapsed() >= REMINDER) {
            self.last = Some(Instant::now());
            say();
        }
    }
}
