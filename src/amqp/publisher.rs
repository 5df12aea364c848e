//! What is sent for a delivery: its translation, an answer, or the delivery itself to quarantine.

use std::cell::Cell;
use std::future::ready;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use std::{iter, option, vec};

use jiff::Timestamp;
use lapin::message::Delivery;
use lapin::types::ShortString;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::bridge::Unroutable;
use super::canary;
use super::counters::{Counters, DirectionCounters};
use super::fault::too_large;
use super::prepared::{Prepared, Sending};
use super::properties::received;
use super::quarantine::{self, Cause};
use super::session::Link;
use super::window::Purpose;
use crate::core::message::{Outcome, Publication, Reason, Received, Refusal};

/// What becomes of a message.
pub(super) trait Translate: Send + Sync {
    /// It may borrow from the rules.
    fn translate(&self, message: &Received<'_>) -> Outcome<'_>;
}

/// Makes publications of deliveries. Nothing is sent before a sending is polled.
pub(super) struct Publisher {
    pub(super) link: Arc<Link>,
    pub(super) translate: Arc<dyn Translate>,
    pub(super) counters: Arc<Counters>,
    pub(super) unroutable: Unroutable,
    /// Whether something does not fit into the frames of the connection.
    pub(super) too_large: Cell<bool>,
}

/// A message to send for a delivery.
pub(super) type Outgoing = (Purpose, Sending);

/// All that is sent for one delivery: nearly always one message, for which no list is made.
pub(super) type Sendings = iter::Chain<option::IntoIter<Outgoing>, vec::IntoIter<Outgoing>>;

impl Publisher {
    pub(super) fn counters(&self) -> &DirectionCounters {
        self.counters.of(self.link.direction)
    }

    /// What comes of a canary.
    pub(super) fn canary(&self) -> Sendings {
        let onwards = canary::onwards().send(Arc::clone(&self.link.publishing), false);
        sendings(Some((Purpose::Answer, Box::pin(onwards))), Vec::new())
    }

    /// What comes of a delivery that is convicted already, perhaps.
    pub(super) fn sendings(&self, delivery: &Delivery, convicted: Option<Refusal<'_>>) -> Sendings {
        let sent = convicted.map(Cause::Refused).map_or_else(|| self.translated(delivery), Err);
        sent.unwrap_or_else(|cause| self.quarantined(delivery, &cause))
    }

    /// The publications of a delivery once more, after a while.
    pub(super) fn again(&self, delivery: &Delivery, pause: Duration) -> Sendings {
        // What went to quarantine beside them is there.
        let publications = match self.translate.translate(&received(delivery)) {
            Outcome::Publish(publications) | Outcome::Partly(publications, _) => publications,
            Outcome::Answer(_) | Outcome::Echo | Outcome::Dropped | Outcome::Refused(_) => Vec::new(),
        };
        self.published(publications, Purpose::Publication, Some(pause))
            .unwrap_or_else(|cause| self.quarantined(delivery, &cause))
    }

    /// What is sent instead of publications that were nacked for too long.
    pub(super) fn given_up(&self, delivery: &Delivery) -> Sendings {
        let detail = "a queue that is bound to its exchange takes nothing more (basic.nack)".to_owned();
        let refusal = Refusal { reason: Reason::RefusedByBroker, detail, rule: None };
        self.quarantined(delivery, &Cause::Refused(refusal))
    }

    /// What is to be sent, or why the message goes to quarantine.
    fn translated(&self, delivery: &Delivery) -> Result<Sendings, Cause<'_>> {
        let message = received(delivery);
        // The translator holds no state between messages, so a panic leaves nothing half done.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.translate.translate(&message)));
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
                self.counters().probes.add(1);
                self.published(answers, Purpose::Answer, None)
            }
            Outcome::Echo => {
                self.counters().echoes.add(1);
                Ok(sendings(None, Vec::new()))
            }
            Outcome::Dropped => {
                self.counters().dropped.add(1);
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
    ) -> Result<Sendings, Cause<'static>> {
        let mandatory = self.unroutable == Unroutable::Count;
        let send = |publication| {
            let prepared = Prepared::new(publication).map_err(|unpublishable| {
                let detail = unpublishable.to_string();
                Cause::Refused(Refusal { reason: Reason::RefusedByBroker, detail, rule: None })
            })?;
            self.too_large.set(self.too_large.get() || !prepared.fits(self.link.frames));
            let channel = Arc::clone(&self.link.publishing);
            let sending: Sending = match pause {
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

    fn quarantined(&self, delivery: &Delivery, cause: &Cause<'_>) -> Sendings {
        sendings(Some(self.to_quarantine(delivery, cause)), Vec::new())
    }

    fn to_quarantine(&self, delivery: &Delivery, cause: &Cause<'_>) -> Outgoing {
        let Link { direction, frames, ref quarantine, ref quarantine_queue, .. } = *self.link;
        let prepared = Prepared {
            // The default exchange: straight to the queue of this name.
            exchange: ShortString::default(),
            routing_key: quarantine_queue.clone(),
            properties: quarantine::properties(delivery, direction, cause, Timestamp::now()),
            body: delivery.data.clone(),
        };
        let sending: Sending = if prepared.fits(frames) {
            self.tell_of_quarantine(delivery, cause);
            Box::pin(prepared.send(Arc::clone(quarantine), true))
        } else {
            self.too_large.set(true);
            Box::pin(ready(Err(too_large())))
        };
        (Purpose::Quarantine, sending)
    }

    fn tell_of_quarantine(&self, delivery: &Delivery, cause: &Cause<'_>) {
        let (reason, detail) = (cause.code(), cause.detail());
        let counters = self.counters();
        counters.quarantined(cause.reason());
        if let Some(unsaid) = counters.said().say(reason, Instant::now()) {
            let (direction, key) = (self.link.direction.code(), delivery.routing_key.as_str());
            // Not within a span of lapin's, on whose thread this may be.
            warn!(parent: None, direction, reason, ?detail, routing_key = ?key, unsaid, "to quarantine");
        }
    }
}

fn sendings(first: Option<Outgoing>, more: Vec<Outgoing>) -> Sendings {
    first.into_iter().chain(more)
}
