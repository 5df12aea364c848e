//! Keeps the bridge running: session after session until it is told to stop.
//!
//! A lost connection is a state and not an error. Only what no waiting will cure, found before the bridge
//! ever ran, ends it: an exchange or queue that exists otherwise, or a broker that does not let us in.

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join;
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::bridge::{Bridge, Direction};
use super::canary;
use super::care::Care;
use super::connect::{Frames, OPEN_TIMEOUT};
use super::connected::Notice;
use super::consuming::{Consuming, Source};
use super::counters::DirectionCounters;
use super::declare::{Inequivalent, SetUpError};
use super::direction::{self, Settings, Work};
use super::fault::Fault;
use super::locked::locked;
use super::motion::Motion;
use super::nacks::Nacks;
use super::pace::{Hold, Pace};
use super::printable::printable;
use super::publisher::Translate;
use super::readiness::{Event, Readiness};
use super::session::{Events, Link, OpenError, Opening, Parts, Session, Stage};
use super::stalls::Stalls;
use super::watching;
use crate::core::message::{Outcome, Received};
use crate::core::translate::Translator;

/// While the broker is away, so often at most is it said.
const REMINDER: Duration = Duration::from_secs(10);

/// While a direction is held up, so often at most is it said.
const HOLD_REMINDER: Duration = Duration::from_secs(300);

/// How long a canary may take to come home when the bridge is told to stop.
const CANARY_TIMEOUT: Duration = Duration::from_millis(500);

/// How long an ended session may take to close its connections, and half of that before for its channels.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

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
/// Only before both directions have moved for the first time, and only for what waiting does not cure.
pub async fn run(
    bridge: &Bridge,
    events: impl Fn(Event),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let translation = |direction| -> Arc<dyn Translate> {
        Arc::new(Translation { translator: Arc::clone(&bridge.translator), direction })
    };
    let translations = [translation(Direction::ToLegacy), translation(Direction::ToModern)];
    supervise(bridge, translations, events, shutdown).await
}

/// What the rules say.
struct Translation {
    translator: Arc<Translator>,
    direction: Direction,
}

impl Translate for Translation {
    fn translate(&self, message: &Received<'_>) -> Outcome<'_> {
        match self.direction {
            Direction::ToLegacy => self.translator.to_legacy(message),
            Direction::ToModern => self.translator.to_modern(message),
        }
    }
}

/// Runs the bridge with any pair of translations: to legacy and to modern.
pub(super) async fn supervise(
    bridge: &Bridge,
    [to_legacy, to_modern]: [Arc<dyn Translate>; 2],
    events: impl Fn(Event),
    shutdown: impl Future<Output = ()>,
) -> Result<(), RunError> {
    let readiness = Readiness::new(events);
    let (stop, stopped) = watch::channel(false);
    let declaring = Mutex::new(());
    let supervisor = |direction, translate| Supervisor {
        bridge,
        direction,
        translate,
        readiness: &readiness,
        counters: bridge.counters.of(direction),
        care: Arc::new(std::sync::Mutex::new(first_care(bridge, direction))),
        nacks: RefCell::default(),
        stalls: Stalls::default(),
        backoff: Backoff::default(),
        complaints: Complaints::default(),
        turn: 0,
        frames: Frames::Small,
        declaring: &declaring,
        stop: stopped.clone(),
    };
    let mut to_legacy = supervisor(Direction::ToLegacy, to_legacy);
    let mut to_modern = supervisor(Direction::ToModern, to_modern);
    let mut both = pin!(try_join(to_legacy.run(), to_modern.run()));
    tokio::select! {
        biased;
        ended = &mut both => return ended.map(drop),
        () = shutdown => {}
    }
    if readiness.is_any_moving() {
        readiness.tell(Event::Draining);
    }
    stop.send_replace(true);
    both.await.map(drop)
}

/// One direction, session after session.
struct Supervisor<'b, E> {
    bridge: &'b Bridge,
    direction: Direction,
    translate: Arc<dyn Translate>,
    readiness: &'b Readiness<E>,
    counters: &'b DirectionCounters,
    care: Arc<std::sync::Mutex<Care>>,
    nacks: RefCell<Nacks>,
    stalls: Stalls,
    backoff: Backoff,
    complaints: Complaints,
    /// Which nodes of the clusters: others after each fault.
    turn: usize,
    /// Small until a message came that does not fit.
    frames: Frames,
    declaring: &'b Mutex<()>,
    stop: watch::Receiver<bool>,
}

impl<E: Fn(Event)> Supervisor<'_, E> {
    /// Until it is told to stop.
    async fn run(&mut self) -> Result<(), RunError> {
        let mut stop = self.stop.clone();
        let mut stopped = pin!(stop.wait_for(|stop| *stop));
        loop {
            let opening = Opening {
                direction: self.direction,
                prefetch_count: locked(&self.care).prefetch_count(self.bridge.prefetch_count),
                turn: self.turn,
                frames: self.frames,
                declaring: self.declaring,
            };
            let opened = tokio::select! {
                biased;
                _ = &mut stopped => return Ok(()),
                opened = Session::open(self.bridge, opening) => opened,
            };
            let retry_in = match opened {
                Err(open_error) => {
                    if let Some(fatal) = fatal(&open_error).filter(|_| !self.readiness.was_ready()) {
                        return Err(fatal);
                    }
                    self.not_opened(&open_error)
                }
                Ok(session) => match self.run_session(session).await {
                    Ended::Stopped => return Ok(()),
                    Ended::Fault(fault, began) => self.ended(&fault, began),
                },
            };
            tokio::select! {
                biased;
                _ = &mut stopped => return Ok(()),
                () = sleep(retry_in) => {}
            }
        }
    }

    /// How long to wait when there is no session.
    fn not_opened(&mut self, open_error: &OpenError) -> Duration {
        let bridge = self.bridge;
        let cause = open_error.to_string();
        // After a careful session it counts as consuming still.
        self.readiness.stands(self.direction);
        // It waits for the broker.
        self.readiness.is_silent(self.direction, false);
        let fitted = match open_error {
            OpenError::Failed { source: SetUpError::Broker(error), .. } => {
                self.fit(&Fault::Lost(error.clone()))
            }
            _ => false,
        };
        if lost_while_consuming(open_error) && !fitted {
            // The first delivery came and ended it, before the session was complete.
            locked(&self.care).begin(bridge.prefetch_count);
            if bridge.sides(self.direction).0.broker_puts_poison_away() {
                self.backoff.reset();
            }
        }
        self.turn += 1;
        let retry_in = self.backoff.next_delay();
        let direction = self.direction.code();
        self.complaints.complain(|| warn!(direction, %cause, ?retry_in, "no session with the broker"));
        retry_in
    }

    /// How long to wait after a session that ended.
    fn ended(&mut self, fault: &Fault, began: Began) -> Duration {
        let bridge = self.bridge;
        let direction = self.direction.code();
        if let Fault::Silent { .. } = fault {
            self.readiness.is_silent(self.direction, true);
        }
        let progress = self.counters.acked.get() > began.acked;
        let in_vain = self.counters.received.get() > began.received && !progress;
        if progress {
            self.stalls.over();
        }
        if let Fault::Stalled(_) = fault {
            self.stalls.one_more();
        }
        let fitted = self.fit(fault);
        let is_unreadable = fault.is_unreadable() || (fault.is_too_large() && !fitted);
        if fault.refusal().is_some() || is_unreadable || (in_vain && !fitted) {
            locked(&self.care).begin(bridge.prefetch_count);
            info!(direction, "a message may be the cause: going on one by one");
        }
        // A session that ended before it did anything was no good: do not hurry to the next. But a
        // message that cannot be read is put away by the broker after some more deliveries.
        let put_away = is_unreadable && bridge.sides(self.direction).0.broker_puts_poison_away();
        if progress || put_away || began.at.elapsed() >= Backoff::LONGEST {
            self.backoff.reset();
        }
        self.turn += 1;
        let retry_in = self.backoff.next_delay();
        warn!(direction, cause = %fault, ?retry_in, "session ended");
        retry_in
    }

    /// Uses larger frames from now on, if that is what the session ended for and they were not large already.
    fn fit(&mut self, fault: &Fault) -> bool {
        let fits = fault.is_too_large() && self.frames == Frames::Small;
        if fits {
            self.frames = Frames::Whole;
            let direction = self.direction.code();
            info!(direction, "a message has large headers: larger frames from now on");
        }
        fits
    }

    /// Runs the direction until it ends.
    async fn run_session(&mut self, mut session: Session) -> Ended {
        self.counters.session_began();
        self.complaints = Complaints::default();
        let began = Began {
            at: Instant::now(),
            received: self.counters.received.get(),
            acked: self.counters.acked.get(),
        };
        let ended = self.until_ended(&mut session).await;
        if ended.is_err() {
            self.readiness.stands(self.direction);
        }
        // What a channel says of a message that cannot be read is less than what the connection says.
        let cause = session.unreadable();
        session.close(CLOSE_TIMEOUT).await;
        ended.unwrap_or_else(|fault| Ended::Fault(cause.unwrap_or(fault), began))
    }

    /// Runs the direction with one consumer after the other: a careful one, and then a usual one.
    async fn consume(
        &self,
        link: &Arc<Link>,
        consuming: &mut Option<Consuming>,
        source: Source<'_>,
        motion: &Arc<Motion>,
        stop: watch::Receiver<bool>,
    ) -> Result<(), Fault> {
        let bridge = self.bridge;
        let mut told = stop.clone();
        loop {
            let intake = match &mut *consuming {
                Some(intake) => intake,
                none => none.insert(tokio::select! {
                    biased;
                    _ = told.wait_for(|stop| *stop) => return Ok(()),
                    intake = again(source, locked(&self.care).prefetch_count(bridge.prefetch_count)) => intake?,
                }),
            };
            motion.join(intake.is_behind);
            let settings = Settings {
                unroutable: bridge.unroutable,
                confirm_timeout: bridge.confirm_timeout,
                patience: self.stalls.patience(),
                careful: locked(&self.care).is_on(),
                prefetch_count: bridge.prefetch_count,
            };
            let (translate, counters) = (&self.translate, &bridge.counters);
            let (care, nacks) = (&self.care, &self.nacks);
            let work = Work { link, intake, translate, counters, motion, care, nacks };
            direction::run(work, settings, stop.clone()).await?;
            if *stop.borrow() {
                return Ok(());
            }
            if let Some(intake) = consuming.take() {
                tokio::select! {
                    biased;
                    _ = told.wait_for(|stop| *stop) => return Ok(()),
                    closed = intake.close() => closed.map_err(Fault::Consume)?,
                }
            }
            debug!(direction = self.direction.code(), "going on as usual");
        }
    }

    /// Says how the direction gets on, where that is something new.
    fn teller(&self) -> impl Fn(Pace) {
        let direction = self.direction.code();
        let said: Cell<Option<(Pace, Instant)>> = Cell::new(None);
        move |pace| {
            self.readiness.is_silent(self.direction, pace == Pace::Silent);
            match pace {
                Pace::Moving | Pace::StandingBy => self.readiness.moves(self.direction),
                Pace::Held(_) | Pace::Silent => self.readiness.stands(self.direction),
            }
            let before = said.get();
            if before.is_some_and(|(before, when)| before == pace && when.elapsed() < HOLD_REMINDER) {
                return;
            }
            said.set(Some((pace, Instant::now())));
            match pace {
                Pace::StandingBy if before.is_none_or(|(before, _)| before != pace) => {
                    info!(direction, "standing by for another bridge")
                }
                Pace::Held(hold) => {
                    if let Some(cause) = words(hold) {
                        warn!(direction, cause, "what comes in does not go out");
                    }
                }
                Pace::Moving if matches!(before, Some((Pace::Held(_), _))) => {
                    info!(direction, "moving again")
                }
                Pace::Moving | Pace::StandingBy | Pace::Silent => {}
            }
        }
    }

    async fn until_ended(&self, session: &mut Session) -> Result<Ended, Fault> {
        let bridge = self.bridge;
        let Parts { link, events, consuming, source, connections } = session.parts();
        let (stop, stopped) = watch::channel(false);
        let motion = Arc::new(Motion::default());
        let mut running = Box::pin(self.consume(link, consuming, source, &motion, stopped));
        let tell = self.teller();
        let mut told = self.stop.clone();

        // The direction is asked first: it knows best what an error of its channels means.
        tokio::select! {
            biased;
            ended = &mut running => return ended.map(|()| Ended::Stopped),
            fault = watch_for_fault(events, self.readiness) => return Err(fault),
            fault = watching::watch(bridge, link, connections) => return Err(fault),
            fault = canary::observe(bridge, link, source, &motion, tell) => return Err(fault),
            _ = told.wait_for(|stop| *stop) => {}
        }
        // One that is on its way need not wait for the next bridge.
        tokio::select! {
            biased;
            ended = &mut running => return ended.map(|()| Ended::Stopped),
            _ = timeout(CANARY_TIMEOUT, motion.canary_home()) => {}
        }

        let grace = bridge.shutdown_grace - CLOSE_TIMEOUT.min(bridge.shutdown_grace / 5);
        stop.send_replace(true);
        let drained = timeout(grace, async {
            tokio::select! {
                biased;
                ended = &mut running => ended.err(),
                fault = watch_for_fault(events, self.readiness) => Some(fault),
            }
        });
        let direction = self.direction.code();
        match drained.await {
            Ok(None) => {}
            Ok(Some(fault)) => {
                warn!(direction, cause = %fault, "session ended while stopping; the rest is delivered again");
            }
            Err(_) => warn!(direction, "not all was confirmed in time; the rest is delivered again"),
        }
        Ok(Ended::Stopped)
    }
}

/// The first care of a direction. Without a limit to deliveries there is nothing to be careful about.
fn first_care(bridge: &Bridge, direction: Direction) -> Care {
    match bridge.sides(direction).0.broker_puts_poison_away() {
        true => Care::at_start(bridge.prefetch_count),
        false => Care::default(),
    }
}

/// How a session ended.
enum Ended {
    /// Something was wrong.
    Fault(Fault, Began),
    /// As it was told to.
    Stopped,
}

/// How things stood when a session began.
struct Began {
    at: Instant,
    received: u64,
    acked: u64,
}

/// What to say of it; the broker's own words are told elsewhere.
const fn words(hold: Hold) -> Option<&'static str> {
    match hold {
        Hold::Blocked => None,
        Hold::Unconfirmed => Some(
            "the broker does not confirm what was published; is there a queue on the other side that has lost most of \
             its nodes? `rabbitmqctl list_queues name state` shows it",
        ),
        Hold::Unanswered => Some(
            "the broker does not take a message to the intake queue, or does not answer; `rabbitmqctl list_queues name \
             state` shows whether the queue has a leader",
        ),
    }
}

/// Another consumer, however long the broker takes no messages.
async fn again(source: Source<'_>, prefetch_count: u16) -> Result<Consuming, Fault> {
    let mut consuming = pin!(source.consume(prefetch_count));
    loop {
        match timeout(OPEN_TIMEOUT, &mut consuming).await {
            Ok(Ok(consuming)) => return Ok(consuming),
            Ok(Err(SetUpError::Broker(error))) => return Err(Fault::Consume(error)),
            Ok(Err(error)) => return Err(Fault::NotConsuming(error)),
            Err(_) if source.is_blocked() => {}
            Err(_) => return Err(Fault::Unanswered(OPEN_TIMEOUT)),
        }
    }
}

async fn watch_for_fault(events: &mut Events, readiness: &Readiness<impl Fn(Event)>) -> Fault {
    loop {
        match events.next().await {
            Notice::Blocked { broker, reason } => {
                warn!(broker, reason = printable(reason), "the broker takes no messages for now");
                readiness.tell(Event::Blocked);
            }
            Notice::Unblocked { broker } => {
                info!(broker, "the broker takes messages again");
                readiness.tell(Event::Unblocked);
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
fn fatal(error: &OpenError) -> Option<RunError> {
    let OpenError::Failed { broker, source, .. } = error else {
        return None;
    };
    match (broker.clone(), source.clone()) {
        (broker, SetUpError::Inequivalent(source)) => Some(RunError::Inequivalent { broker, source }),
        (broker, SetUpError::AccessRefused { text }) => Some(RunError::AccessRefused { broker, text }),
        _ => None,
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
