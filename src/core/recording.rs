//! Recordings: messages as they came, one JSON object per line, so that nothing is lost and text tools work.
//!
//! The first line says what was recorded. Then each line is a message, a gap (what may be missing, and when) or the
//! end. A recording without an end was cut off, and is still worth reading.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub mod field;
mod line;

pub use field::Field;
pub use line::{BadLine, Problem, Read, Reader, Unwritable};

/// The name of the format, in `format` of the first line.
pub const FORMAT: &str = "cti-bridge/recording";

/// The version of the format that is written and read.
pub const VERSION: u64 = 1;

/// The first line: what was recorded.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Header {
    /// The broker, without a password.
    pub broker: String,
    /// Where the messages came from.
    pub source: Source,
    /// When it began: RFC 3339, UTC.
    pub started: String,
}

/// Where recorded messages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Copies of what an exchange was given.
    Exchange {
        /// Its name.
        name: String,
        /// The binding keys.
        keys: Vec<String>,
    },
    /// The messages of a queue, taken away from there.
    Queue {
        /// Its name.
        name: String,
    },
}

impl Default for Source {
    fn default() -> Self {
        Self::Exchange { name: String::new(), keys: Vec::new() }
    }
}

/// A recorded message.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Message {
    /// When it was received: RFC 3339, UTC, with microseconds.
    pub received: String,
    /// The exchange it was published on.
    pub exchange: String,
    /// The routing key it was published with.
    pub routing_key: String,
    /// All its properties.
    pub properties: Properties,
    /// Its body, as it came.
    pub body: Vec<u8>,
    /// Why it was in quarantine, where it comes from there.
    pub quarantine: Option<Quarantine>,
}

/// Why a message was in quarantine. It says nothing to whoever replays the message.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Quarantine {
    /// The stable code of the reason.
    pub reason: String,
    /// The same for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// The event of the rule that was to be applied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The way it was on, `to_legacy` or `to_modern`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<String>,
    /// How many bytes of headers were too many to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers_left_out: Option<i64>,
}

/// All properties of a message.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Properties {
    /// AMQP `content-type`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// AMQP `content-encoding`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_encoding: Option<String>,
    /// AMQP `headers`; a table without entries is not the same as no table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<field::Table>,
    /// AMQP `delivery-mode`: 2 is persistent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_mode: Option<u8>,
    /// AMQP `priority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// AMQP `correlation-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// AMQP `reply-to`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// AMQP `expiration`: a text of milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration: Option<String>,
    /// AMQP `message-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// AMQP `timestamp`, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// AMQP `type`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// AMQP `user-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// AMQP `app-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_id: Option<String>,
    /// AMQP `cluster-id`, which no current client sets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
}

/// A stretch of time in which messages may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gap {
    /// Since when: RFC 3339, UTC.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Why.
    pub reason: String,
}

/// The last line of a recording that ended in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// When: RFC 3339, UTC.
    pub at: String,
    /// How many messages are in the recording.
    pub messages: u64,
}

impl Message {
    /// The event's name, where the body is an event.
    #[must_use]
    pub fn event(&self) -> Option<String> {
        event_of(&self.body)
    }
}

/// The name in a body that is an event.
#[must_use]
pub fn event_of(body: &[u8]) -> Option<String> {
    super::envelope::Envelope::read(body).ok().map(|event| event.name.into_owned())
}

/// A body in the form that keeps every byte and can be read best.
enum Body<'b> {
    /// JSON on one line, which stands in the recording as it is.
    Json(&'b RawValue),
    /// Other text.
    Text(&'b str),
    /// Anything else.
    Bytes(&'b [u8]),
}

impl<'b> Body<'b> {
    fn of(body: &'b [u8]) -> Self {
        let Ok(text) = std::str::from_utf8(body) else { return Self::Bytes(body) };
        // `null` would be read as a key that is not there.
        let is_bare = |json: &&RawValue| json.get().len() == text.len() && text != "null";
        // White space between the parts of a JSON text may hold the ends of lines.
        if !text.contains(['\n', '\r'])
            && let Some(json) = serde_json::from_str::<&RawValue>(text).ok().filter(is_bare)
        {
            return Self::Json(json);
        }
        // Escaped, a control character takes six bytes; then base64 is shorter.
        let is_text = |c: char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        if text.chars().all(is_text) { Self::Text(text) } else { Self::Bytes(body) }
    }
}
