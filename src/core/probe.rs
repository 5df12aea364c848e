//! The protocol of probes: how `verify` asks a running bridge what it does with an event, without that any other
//! client sees this event.
//!
//! A probe is an event called [`PROBE_EVENT`] that carries another one as data. The bridge translates that one as if
//! it had come by itself and publishes none of it: what it would have published stands in the answer, an event of the
//! same name without ACL. Neither side of this is ever addressed by what is in the probe. A probe that came straight
//! to an intake queue is answered straight to the queue [`address`]; one that came over an exchange is answered over
//! the exchanges that the event would go to, with [`address`] as the routing key.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::envelope::push_ascii;
use super::message::{DeliveryMode, HeaderValue, Outcome, Properties, Publication, Refusal};

/// The name of probes and of their answers.
pub const PROBE_EVENT: &str = "cti-bridge-probe";

/// The header of probes and answers, by which a headers exchange brings an answer to who asked, and anybody else can
/// leave them out. A plain text.
pub const PROBE_HEADER: &str = "cti-bridge-probe";

/// The routing key of a probe that goes over an exchange; [`address`] begins with it.
pub const PROBE_KEY: &str = "cti-bridge.probe";

/// The largest message that is read as a probe, in bytes: examples in mapping files are far smaller.
pub const MAX_PROBE_BYTES: usize = 64 * 1024;

/// The name of one run of `verify`: 1 to 32 letters and digits, so that it is one word of a routing key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Run(String);

impl Run {
    /// Reads the name of a run.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_word = (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric());
        is_word.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Run {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("`run` is not 1 to 32 letters and digits")
    }
}

impl From<Run> for String {
    fn from(run: Run) -> Self {
        run.0
    }
}

/// Where the answers to a run go: the name of its queue, and the routing key on every exchange.
#[must_use]
pub fn address(run: &Run) -> String {
    format!("{PROBE_KEY}.{}", run.as_str())
}

/// A question: what becomes of this event?
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Probe<'p> {
    /// Whose question it is.
    pub run: Run,
    /// The number of the question in its run.
    pub number: u64,
    /// The routing key that the event has.
    #[serde(default, skip_serializing_if = "str::is_empty")]
    pub routing_key: Cow<'p, str>,
    /// The event; without one the answer only says who answers.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    pub event: Option<&'p RawValue>,
}

/// What the bridge makes of the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Whose question it was.
    pub run: Run,
    /// The number of the question.
    pub number: u64,
    /// The id of the bridge that answers.
    pub bridge: String,
    /// The `origin_uuid` that it gives to events without one.
    pub origin_uuid: String,
    /// The version of the platform that it works for.
    pub platform: String,
    /// What it would do; nothing where the probe had no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Answered>,
}

/// What becomes of an event. Nothing at all where the bridge does not listen for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Answered {
    /// What would be published.
    pub publications: Vec<Published>,
    /// Why it would go to quarantine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refused>,
}

/// A message as it would be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// The exchange.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The properties, those that are not set left out.
    pub properties: BTreeMap<String, serde_json::Value>,
    /// The body, to the letter.
    pub body: String,
}

/// Why an event would go to quarantine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// The code of the reason.
    pub reason: String,
    /// The same for people.
    pub detail: String,
    /// The rule that was to be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
}

/// The `data` of an event called [`PROBE_EVENT`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Data<'p> {
    /// A question.
    #[serde(borrow)]
    Probe(Probe<'p>),
    /// An answer.
    Answer(Answer),
}

impl Data<'_> {
    /// The body of the message, in ASCII.
    ///
    /// # Errors
    /// When an event is no JSON; it always is where it was read from some.
    pub fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        let data = serde_json::to_string(self)?;
        let mut body = format!("{{\"name\": \"{PROBE_EVENT}\", \"data\": ").into_bytes();
        push_ascii(&mut body, &data);
        body.push(b'}');
        Ok(body)
    }
}

impl From<&Outcome<'_>> for Answered {
    fn from(outcome: &Outcome<'_>) -> Self {
        let (publications, refusal) = match outcome {
            Outcome::Publish(publications) => (publications.as_slice(), None),
            Outcome::Partly(publications, refusal) => (publications.as_slice(), Some(refusal)),
            Outcome::Refused(refusal) => (&[][..], Some(refusal)),
            Outcome::Dropped | Outcome::Echo | Outcome::Answer(_) => (&[][..], None),
        };
        Self {
            publications: publications.iter().map(Published::from).collect(),
            refusal: refusal.map(Refused::from),
        }
    }
}

impl From<&Publication<'_>> for Published {
    fn from(publication: &Publication<'_>) -> Self {
        Self {
            exchange: publication.exchange.to_owned(),
            routing_key: publication.routing_key.to_string(),
            properties: told(&publication.properties),
            body: String::from_utf8_lossy(&publication.body).into_owned(),
        }
    }
}

impl From<&Refusal<'_>> for Refused {
    fn from(refusal: &Refusal<'_>) -> Self {
        Self {
            reason: refusal.reason.code().to_owned(),
            detail: refusal.detail.clone(),
            rule: refusal.rule.map(str::to_owned),
        }
    }
}

fn told(properties: &Properties<'_>) -> BTreeMap<String, serde_json::Value> {
    let text = |text: &str| serde_json::Value::from(text);
    let headers = properties.headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderValue::Text(value) => text(value),
            HeaderValue::Flag(flag) => (*flag).into(),
        };
        (name.to_string(), value)
    });
    let mode = match properties.delivery_mode {
        DeliveryMode::Transient => None,
        DeliveryMode::Persistent => Some(2.into()),
    };
    [
        ("content_type", properties.content_type.map(text)),
        ("content_encoding", properties.content_encoding.map(text)),
        ("delivery_mode", mode),
        ("message_id", properties.message_id.as_deref().map(text)),
        ("correlation_id", properties.correlation_id.as_deref().map(text)),
        ("timestamp", properties.timestamp.map(Into::into)),
        ("headers", Some(headers.collect())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name.to_owned(), value?)))
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_one_word_whatever_is_sent() {
        for bad in ["", "a.b", "#", "*", "a b", "é", "a-b", &"a".repeat(33)] {
            assert!(Run::parse(bad).is_none(), "{bad}");
            assert!(serde_json::from_value::<Run>(serde_json::json!(bad)).is_err(), "{bad}");
        }
        assert_eq!(address(&Run::parse("7f").unwrap()), "cti-bridge.probe.7f");
    }

    #[test]
    fn what_was_written_can_be_read_again() {
        let event = RawValue::from_string(r#"{"name":"é"}"#.to_owned()).unwrap();
        let run = Run::parse("r1").unwrap();
        let probe =
            Probe { run, number: 3, routing_key: "calls.call.created".into(), event: Some(event.as_ref()) };
        let body = Data::Probe(probe).body().unwrap();
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"name": "cti-bridge-probe", "data": {"probe":{"run":"r1","number":3,"routing_key":"calls.call.created","event":{"name":"\u00e9"}}}}"#
        );
        let data = r#"{"probe":{"run":"r1","number":3,"more":[]}}"#;
        let Ok(Data::Probe(probe)) = serde_json::from_str(data) else { panic!() };
        assert!(probe.event.is_none() && probe.routing_key.is_empty());
    }
}
