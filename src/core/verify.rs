//! The proof that a running bridge does what its rules say: what to ask it, and what its answers show.
//!
//! The questions are the examples of the mapping files, each in both directions. Nearly all of them go straight to an
//! intake queue and come straight back ([`super::probe`]); a few go over the exchanges and prove the way. What is
//! expected is what the translator of the same configuration makes of them. The last question of a direction tells that
//! no answer is missing any more: a queue keeps the order.

mod bindings;
mod defect;
mod judge;
mod questions;

use std::fmt;

use super::message::Direction;
use super::probe::{Answer, Answered};

pub use bindings::{bindings, foreign_consumers};
pub use defect::Defect;
pub use judge::{Line, judge};
pub use questions::{Question, questions};

/// Something that was to be proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What it is about.
    pub area: Area,
    /// What exactly: an event, an exchange, a path.
    pub name: String,
    /// Where the example is that it was proven with.
    pub example: Option<String>,
    /// What it came to.
    pub verdict: Verdict,
    /// From sending to the answer, in microseconds.
    pub latency: Option<u64>,
}

impl Check {
    /// A check that was made without an example.
    #[must_use]
    pub fn new(area: Area, name: impl Into<String>, verdict: Verdict) -> Self {
        Self { area, name: name.into(), example: None, verdict, latency: None }
    }
}

/// What can be proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Area {
    /// The bridge consumes from its queues, answers, and is the one that is configured.
    Bridge,
    /// Exchanges are there, of the right type.
    Exchanges,
    /// The bindings are there.
    Bindings,
    /// From an exchange through the bridge to an exchange.
    Paths,
    /// Events from the modern side.
    ToLegacy,
    /// Events from the legacy side.
    ToModern,
}

impl Area {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::Bridge, Self::Exchanges, Self::Bindings, Self::Paths, Self::ToLegacy, Self::ToModern];

    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Exchanges => "exchanges",
            Self::Bridge => "bridge",
            Self::Bindings => "bindings",
            Self::Paths => "paths",
            Self::ToLegacy => "to_legacy",
            Self::ToModern => "to_modern",
        }
    }
}

impl From<Direction> for Area {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::ToLegacy => Self::ToLegacy,
            Direction::ToModern => Self::ToModern,
        }
    }
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is as it should be.
    Passed,
    /// It is not.
    Failed(Defect),
    /// Nobody could tell, and why.
    Unproven(String),
}

/// An answer that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// The exchange that it was published on; empty where it came straight.
    pub exchange: String,
    /// What it says.
    pub answer: Answer,
    /// From sending the question to this answer, in microseconds.
    pub latency: u64,
}

/// The median, the 99th percentile and the largest of some latencies, by rank.
#[must_use]
pub fn percentiles(latencies: &[u64]) -> Option<[u64; 3]> {
    let mut sorted = latencies.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).saturating_sub(1)).copied();
    Some([at(50)?, at(99)?, at(100)?])
}

/// The first difference between what a bridge would do and what was expected of it.
#[must_use]
pub fn difference(made: &Answered, expected: &Answered) -> Option<String> {
    if let (Some(refusal), None) = (&made.refusal, &expected.refusal) {
        return Some(format!("it goes to quarantine with `{}`: {}", refusal.reason, refusal.detail));
    }
    let reason = |answered: &Answered| answered.refusal.as_ref().map(|refusal| refusal.reason.clone());
    if let Some(wanted) = reason(expected).filter(|wanted| Some(wanted) != reason(made).as_ref()) {
        return Some(match reason(made) {
            Some(reason) => format!("it goes to quarantine with `{reason}`, and `{wanted}` was expected"),
            None => format!("it does not go to quarantine, and `{wanted}` was expected"),
        });
    }
    if made.publications.len() != expected.publications.len() {
        let events = |count: usize| match count {
            0 => "nothing".to_owned(),
            1 => "one message".to_owned(),
            count => format!("{count} messages"),
        };
        let (made, expected) = (events(made.publications.len()), events(expected.publications.len()));
        return Some(format!("{made} would be published, and {expected} was expected"));
    }
    let mut pairs = made.publications.iter().zip(&expected.publications);
    pairs.find_map(|(made, expected)| {
        let texts = [
            ("exchange", &made.exchange, &expected.exchange),
            ("routing key", &made.routing_key, &expected.routing_key),
        ];
        texts
            .into_iter()
            .find(|(_, made, expected)| made != expected)
            .map(|(what, made, expected)| format!("the {what} is `{made}`, and `{expected}` was expected"))
            .or_else(|| different_properties(&made.properties, &expected.properties))
            .or_else(|| different_bodies(&made.body, &expected.body))
    })
}

type Properties = std::collections::BTreeMap<String, serde_json::Value>;

fn different_properties(made: &Properties, expected: &Properties) -> Option<String> {
    let json = |properties: &Properties| properties.clone().into_iter().collect::<serde_json::Value>();
    in_json("the properties", &json(made), &json(expected))
}

fn different_bodies(made: &str, expected: &str) -> Option<String> {
    if made == expected {
        return None;
    }
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text);
    match (json(made), json(expected)) {
        (Ok(made_json), Ok(expected_json)) => in_json("the body", &made_json, &expected_json)
            .or_else(|| Some(written_otherwise(made, expected))),
        _ => Some("the body is not JSON".to_owned()),
    }
}

fn written_otherwise(made: &str, expected: &str) -> String {
    let at = made.bytes().zip(expected.bytes()).take_while(|(made, expected)| made == expected).count();
    // Bodies are ASCII towards legacy, and elsewhere the few bytes around a difference need not be whole characters.
    let around = |text: &str| {
        let bytes = text.as_bytes();
        let (start, end) = (at.saturating_sub(12), (at + 12).min(bytes.len()));
        String::from_utf8_lossy(bytes.get(start..end).unwrap_or_default()).into_owned()
    };
    format!(
        "the body is the same JSON, written otherwise: `{}`, and `{}` was expected",
        around(made),
        around(expected)
    )
}

fn in_json(what: &str, made: &serde_json::Value, expected: &serde_json::Value) -> Option<String> {
    let (path, made, expected) = super::examples::difference(made, expected)?;
    Some(match (made, expected) {
        (None, Some(expected)) => format!("`{path}` is missing in {what}, and {expected} was expected"),
        (Some(made), None) => format!("`{path}` of {what} is {made}, and was not expected"),
        (made, expected) => {
            let told =
                |value: Option<&serde_json::Value>| value.map_or_else(String::new, ToString::to_string);
            format!("`{path}` of {what} is {}, and {} was expected", told(made), told(expected))
        }
    })
}

impl fmt::Display for Area {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code().replace('_', " "))
    }
}

#[cfg(test)]
mod tests;
