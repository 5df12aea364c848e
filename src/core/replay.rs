//! What becomes of a recorded message when it is published again, and when that is.

use super::message::{
    DeliveryMode, Direction, HeaderValue, MARK_HEADER, Outcome, Publication, Reason, Received,
    ReceivedProperties, Refusal,
};
use super::recording::field::Table;
use super::recording::{Field, Message, Properties};
use super::translate::Translator;

/// The exchanges of the bus itself, whatever is configured: what is published there reaches programs at work.
pub const LIVE_EXCHANGES: [&str; 5] = ["xivo", "xivo-cti", "xivo-ami", "xivo-status-updates", "wazo-headers"];

/// Whether an exchange has listeners that take what comes for real. The nameless one leads straight into queues.
#[must_use]
pub fn is_live(exchange: &str, configured: &str) -> bool {
    exchange.is_empty() || exchange == configured || LIVE_EXCHANGES.contains(&exchange)
}

/// How recorded messages are changed.
#[derive(Debug, Clone, Default)]
pub struct Preparation {
    /// The exchange instead of the recorded one.
    pub exchange: Option<String>,
    /// The routing key instead of the recorded one.
    pub routing_key: Option<String>,
    /// Whether the mark of the bridges that a message passed stays on it.
    pub keep_mark: bool,
}

impl Preparation {
    /// The message as it is to be published.
    ///
    /// All properties stay but two. The broker closes the channel over a user id that is not our own login's. And a
    /// message that lists a bridge's id would be taken by that bridge for its own and passed over, so that nothing
    /// would come of a replay beside a bridge.
    #[must_use]
    pub fn prepared(&self, mut message: Message) -> Message {
        message.properties.user_id = None;
        if !self.keep_mark
            && let Some(headers) = &mut message.properties.headers
            && headers.0.remove(MARK_HEADER).is_some()
            && headers.0.is_empty()
        {
            message.properties.headers = None;
        }
        if let Some(exchange) = &self.exchange {
            message.exchange.clone_from(exchange);
        }
        if let Some(routing_key) = &self.routing_key {
            message.routing_key.clone_from(routing_key);
        }
        message
    }
}

/// What a bridge would publish for a message, and what it would put in quarantine, as one sentence. A mark does not
/// matter: nothing can come back.
#[must_use]
pub fn translated(
    translator: &Translator,
    direction: Direction,
    message: &Message,
) -> (Vec<Message>, Option<(Reason, String)>) {
    let received = Received {
        exchange: &message.exchange,
        routing_key: &message.routing_key,
        properties: ReceivedProperties {
            message_id: message.properties.message_id.as_deref(),
            correlation_id: message.properties.correlation_id.as_deref(),
            timestamp: message.properties.timestamp,
            ..ReceivedProperties::default()
        },
        body: &message.body,
    };
    let outcome = match direction {
        Direction::ToLegacy => translator.to_legacy(&received),
        Direction::ToModern => translator.to_modern(&received),
    };
    let (publications, refusal) = match outcome {
        Outcome::Publish(publications) | Outcome::Answer(publications) => (publications, None),
        Outcome::Partly(publications, refusal) => (publications, Some(refusal)),
        Outcome::Refused(refusal) => (Vec::new(), Some(refusal)),
        Outcome::Echo | Outcome::Dropped => (Vec::new(), None),
    };
    let published = publications.into_iter().map(|publication| published(publication, &message.received));
    let why = |refusal: Refusal<'_>| {
        let rule = refusal.rule.map_or(String::new(), |rule| format!(" (rule `{rule}`)"));
        (refusal.reason, format!("{}{rule}", refusal.detail))
    };
    (published.collect(), refusal.map(why))
}

/// A publication as it would be recorded.
fn published(publication: Publication<'_>, received: &str) -> Message {
    let properties = publication.properties;
    let header = |value: HeaderValue<'_>| match value {
        HeaderValue::Text(text) => Field::LongString(text.into_owned().into_bytes()),
        HeaderValue::Flag(flag) => Field::Flag(flag),
    };
    let headers: Table = Table(
        properties.headers.into_iter().map(|(name, value)| (name.into_owned(), header(value))).collect(),
    );
    Message {
        received: received.to_owned(),
        exchange: publication.exchange.to_owned(),
        routing_key: publication.routing_key.into_owned(),
        properties: Properties {
            content_type: properties.content_type.map(str::to_owned),
            content_encoding: properties.content_encoding.map(str::to_owned),
            headers: (!headers.0.is_empty()).then_some(headers),
            delivery_mode: (properties.delivery_mode == DeliveryMode::Persistent).then_some(2),
            message_id: properties.message_id,
            correlation_id: properties.correlation_id,
            timestamp: properties.timestamp,
            ..Properties::default()
        },
        body: publication.body,
        quarantine: None,
    }
}

/// How fast messages follow each other. All times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As recorded, so many times as fast.
    Recorded {
        /// More than 0.
        speed: f64,
    },
    /// So many per second.
    Rate(f64),
    /// As fast as the broker confirms.
    NoWait,
}

/// Tells when each message of a replay is due.
#[derive(Debug, Clone)]
pub struct Schedule {
    pace: Pace,
    first: Option<i64>,
    count: u64,
    last: u64,
}

impl Schedule {
    /// The schedule of a replay that begins now.
    #[must_use]
    pub const fn new(pace: Pace) -> Self {
        Self { pace, first: None, count: 0, last: 0 }
    }

    /// When the next message is due, in microseconds since the beginning, if it was recorded at this time. Never
    /// before the one before it, whatever clocks did meanwhile.
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn due(&mut self, recorded: i64) -> u64 {
        let first = *self.first.get_or_insert(recorded);
        let due = match self.pace {
            Pace::Recorded { speed } => recorded.saturating_sub(first).max(0) as f64 / speed,
            Pace::Rate(rate) => self.count as f64 * 1_000_000.0 / rate,
            Pace::NoWait => 0.0,
        };
        self.count += 1;
        // Saturating, as `as` is from a float.
        self.last = self.last.max(due as u64);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn due(pace: Pace, times: &[i64]) -> Vec<u64> {
        let mut schedule = Schedule::new(pace);
        times.iter().map(|time| schedule.due(*time)).collect()
    }

    #[test]
    fn follows_the_recording_at_any_speed() {
        let times = [1_000_000, 1_000_000, 3_000_000, 2_000_000, 5_000_000];
        assert_eq!(due(Pace::Recorded { speed: 1.0 }, &times), [0, 0, 2_000_000, 2_000_000, 4_000_000]);
        assert_eq!(due(Pace::Recorded { speed: 4.0 }, &times), [0, 0, 500_000, 500_000, 1_000_000]);
        assert_eq!(due(Pace::Rate(50.0), &times), [0, 20_000, 40_000, 60_000, 80_000]);
        assert_eq!(due(Pace::NoWait, &times), [0; 5]);
        assert_eq!(due(Pace::Recorded { speed: 1e-300 }, &[0, i64::MAX]), [0, u64::MAX]);
    }

    fn message(headers: &[(&str, Field)]) -> Message {
        let table = headers.iter().map(|(name, field)| ((*name).to_owned(), field.clone()));
        Message {
            exchange: "xivo".into(),
            routing_key: "a".into(),
            properties: Properties {
                user_id: Some("u".into()),
                app_id: Some("kept".into()),
                headers: (!headers.is_empty()).then(|| Table(table.collect())),
                ..Properties::default()
            },
            ..Message::default()
        }
    }

    #[test]
    fn takes_away_what_would_make_a_replay_come_to_nothing() {
        let mark = Field::LongString(b"bridge".to_vec());
        let marked = message(&[(MARK_HEADER, mark.clone()), ("h", Field::Void)]);
        let prepared = Preparation::default().prepared(marked.clone());
        assert_eq!(prepared.properties.user_id, None);
        assert_eq!(prepared.properties.app_id.as_deref(), Some("kept"));
        assert_eq!(prepared.properties.headers, Some(Table(BTreeMap::from([("h".to_owned(), Field::Void)]))));
        let only_marked = message(&[(MARK_HEADER, mark)]);
        assert_eq!(Preparation::default().prepared(only_marked).properties.headers, None);
        let keep = Preparation { keep_mark: true, ..Preparation::default() };
        assert_eq!(keep.prepared(marked.clone()).properties.headers, marked.properties.headers);
    }

    #[test]
    fn leaves_a_table_without_entries_as_it_was() {
        let mut empty = message(&[]);
        empty.properties.headers = Some(Table::default());
        assert_eq!(Preparation::default().prepared(empty).properties.headers, Some(Table::default()));
    }

    #[test]
    fn publishes_elsewhere_on_request() {
        let elsewhere =
            Preparation { exchange: Some("lab".into()), routing_key: Some("b".into()), keep_mark: false };
        let prepared = elsewhere.prepared(message(&[]));
        assert_eq!((prepared.exchange.as_str(), prepared.routing_key.as_str()), ("lab", "b"));
    }

    #[test]
    fn knows_the_exchanges_that_are_at_work() {
        assert!(is_live("xivo", "bus") && is_live("bus", "bus") && is_live("", "bus"));
        assert!(!is_live("lab", "bus"));
    }
}
