//! How a translator is set up.

use std::collections::HashSet;

use super::message::DeliveryMode;

/// The identity of a bridge in marks: one word, the same for all instances of one bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeId(String);

impl BridgeId {
    /// Reads an id of 1 to 64 letters, digits, `-`, `_` and `.`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_id(text).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this may stand in a mark.
pub(super) fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// The uuid of a server, or another id of 1 to 64 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginUuid(String);

impl OriginUuid {
    /// Reads a uuid.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (is_id(text) && !text.contains('.')).then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What is listened for on the legacy side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// No event, so that nothing is ever published on the modern side.
    Nothing,
    /// Every event of the catalog.
    All,
    /// The events that legacy programs themselves published, and these.
    Also(HashSet<String>),
}

/// What becomes of a modern event without a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownEvents {
    /// It is published in the generic legacy form: a direct exchange delivers only to who asked.
    #[default]
    Pass,
    /// It goes to quarantine.
    Quarantine,
    /// It is dropped and counted.
    Drop,
}

/// What becomes of the probes of `verify`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Probes {
    /// They are answered.
    #[default]
    Answer,
    /// They are dropped and counted.
    Ignore,
}

/// How a translator is set up.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The id that marks what this bridge publishes.
    pub bridge_id: BridgeId,
    /// The `origin_uuid` of events that have none.
    pub origin_uuid: OriginUuid,
    /// The exchange of modern events.
    pub modern_exchange: String,
    /// What is listened for on the legacy side.
    pub listen: Listen,
    /// What becomes of a modern event without a rule.
    pub unknown_events: UnknownEvents,
    /// A message that passed more bridges than this goes to quarantine.
    pub max_hops: usize,
    /// The delivery mode of everything published.
    pub delivery_mode: DeliveryMode,
    /// The content type towards legacy, for sites whose clients want one; old publishers set none.
    pub legacy_content_type: Option<String>,
    /// What becomes of probes.
    pub probes: Probes,
}
