//! A message in quarantine: how it came, why it is there, and what today's rules would make of it.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::message::{Direction, Mark, Outcome, Publication, Received, ReceivedProperties, Refusal};
use super::translate::Translator;

/// The reason of a message that the broker itself put there, after it had been delivered too often
/// (`x-first-death-reason` of RabbitMQ).
pub const DELIVERY_LIMIT: &str = "delivery_limit";

/// The reason of a message that the broker itself put there, as its queue was full (`x-first-death-reason`).
pub const OVERFLOW: &str = "maxlen";

/// The reason of a message whose translation panicked, which is a bug.
pub const INTERNAL_ERROR: &str = "internal_error";

/// A message in quarantine, with everything that is known of how it came.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Quarantined {
    /// The stable code of the reason; empty where somebody else put the message there.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// The event of the rule that was to be applied.
    pub rule: Option<String>,
    /// When it was put there, in milliseconds since 1970.
    pub time: Option<i64>,
    /// The way it was on.
    pub direction: Option<Direction>,
    /// The exchange it was published on.
    pub exchange: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// AMQP `message-id`.
    pub message_id: Option<String>,
    /// AMQP `correlation-id`.
    pub correlation_id: Option<String>,
    /// AMQP `timestamp`, in seconds since 1970.
    pub timestamp: Option<u64>,
    /// The ids of the bridges it had passed.
    pub mark: Option<String>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

/// What today's rules make of a message in quarantine.
#[derive(Debug, PartialEq)]
pub enum Retry<'t> {
    /// These publications. What of the message went out when it was put in quarantine comes again.
    Publish(Vec<Publication<'t>>),
    /// It would go to quarantine again.
    Refused(Refusal<'t>),
    /// It would vanish: the configuration drops it, or it is the bridge's own.
    Vanish,
    /// Nobody knows which way it was on.
    NoDirection,
}

impl Quarantined {
    /// Eight hexadecimal digits to name it by; the same for messages that are the same in every respect.
    #[must_use]
    pub fn id(&self) -> String {
        let mut hasher = DefaultHasher::new();
        (&self.time, &self.exchange, &self.routing_key, &self.message_id, &self.body).hash(&mut hasher);
        format!("{:08x}", hasher.finish() >> 32)
    }

    /// The name of the event, as far as the body can be read.
    #[must_use]
    pub fn event(&self) -> Option<String> {
        #[derive(serde::Deserialize)]
        struct Named {
            name: String,
        }
        serde_json::from_slice::<Named>(&self.body).ok().map(|named| named.name)
    }

    /// The message as it came.
    #[must_use]
    pub fn received(&self) -> Received<'_> {
        Received {
            exchange: &self.exchange,
            routing_key: &self.routing_key,
            properties: ReceivedProperties {
                message_id: self.message_id.as_deref(),
                correlation_id: self.correlation_id.as_deref(),
                timestamp: self.timestamp,
                mark: self.mark.as_deref().map_or(Mark::Absent, Mark::Text),
            },
            body: &self.body,
        }
    }

    /// What today's rules make of it.
    #[must_use]
    pub fn retry<'t>(&self, translator: &'t Translator) -> Retry<'t> {
        let outcome = match self.direction {
            Some(Direction::ToLegacy) => translator.to_legacy(&self.received()),
            Some(Direction::ToModern) => translator.to_modern(&self.received()),
            None => return Retry::NoDirection,
        };
        match outcome {
            Outcome::Publish(publications) => Retry::Publish(publications),
            // The rest would have to wait here, and the part would go out once more at every attempt.
            Outcome::Partly(_, refusal) | Outcome::Refused(refusal) => Retry::Refused(refusal),
            Outcome::Echo | Outcome::Dropped | Outcome::Answer(_) => Retry::Vanish,
        }
    }
}

/// Which messages in quarantine are meant; nothing set means all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Any of these ids.
    pub ids: Vec<String>,
    /// Any of these reasons.
    pub reasons: Vec<String>,
    /// Any of these events.
    pub events: Vec<String>,
    /// Any of these rules.
    pub rules: Vec<String>,
    /// Put there before this time, in milliseconds since 1970.
    pub before: Option<i64>,
    /// Put there at this time or later, in milliseconds since 1970.
    pub since: Option<i64>,
}

impl Selection {
    /// Whether everything is meant.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether this message is meant. One without a time is neither old nor new.
    #[must_use]
    pub fn takes(&self, message: &Quarantined) -> bool {
        let any = |wanted: &[String], is: Option<&str>| {
            wanted.is_empty() || is.is_some_and(|is| wanted.iter().any(|wanted| wanted == is))
        };
        let in_time = |bound: Option<i64>, holds: fn(i64, i64) -> bool| {
            bound.is_none_or(|bound| message.time.is_some_and(|time| holds(time, bound)))
        };
        any(&self.ids, Some(&message.id()))
            && any(&self.reasons, Some(&message.reason))
            && any(&self.events, message.event().as_deref())
            && any(&self.rules, message.rule.as_deref())
            && in_time(self.before, |time, bound| time < bound)
            && in_time(self.since, |time, bound| time >= bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Quarantined {
        Quarantined {
            reason: "unknown_event".into(),
            rule: Some("call_{action}".into()),
            time: Some(1000),
            body: br#"{"name": "call_created", "data": {}}"#.to_vec(),
            ..Quarantined::default()
        }
    }

    #[test]
    fn a_selection_takes_what_fits_in_every_respect() {
        let takes = |selection: Selection| selection.takes(&message());
        let list = |text: &str| vec![text.to_owned()];
        assert!(takes(Selection::default()) && Selection::default().is_everything());
        assert!(takes(Selection { ids: list(&message().id()), ..Selection::default() }));
        assert!(!takes(Selection { ids: list("0"), ..Selection::default() }));
        assert!(takes(Selection {
            reasons: vec!["x".into(), "unknown_event".into()],
            ..Selection::default()
        }));
        assert!(!takes(Selection {
            reasons: list("x"),
            events: list("call_created"),
            ..Selection::default()
        }));
        assert!(takes(Selection { events: list("call_created"), ..Selection::default() }));
        assert!(takes(Selection { rules: list("call_{action}"), ..Selection::default() }));
        assert!(takes(Selection { before: Some(1001), since: Some(1000), ..Selection::default() }));
        assert!(!takes(Selection { before: Some(1000), ..Selection::default() }));
        assert!(!takes(Selection { since: Some(1001), ..Selection::default() }));
    }

    #[test]
    fn without_a_name_or_a_time_it_is_not_the_one_that_is_looked_for() {
        let nothing = Quarantined { body: b"nonsense".to_vec(), ..Quarantined::default() };
        assert_eq!(nothing.event(), None);
        assert!(!Selection { events: vec!["nonsense".into()], ..Selection::default() }.takes(&nothing));
        assert!(!Selection { before: Some(i64::MAX), ..Selection::default() }.takes(&nothing));
        assert!(Selection::default().takes(&nothing));
    }

    #[test]
    fn the_same_body_at_another_time_is_another_message() {
        let later = Quarantined { time: Some(2000), ..message() };
        assert_ne!(message().id(), later.id());
        assert_eq!(message().id().len(), 8);
    }
}
