//! What an audit can find. Every kind of finding has an id that never changes its meaning, here and nowhere else.

mod table;

use std::fmt;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing breaks; good to know.
    Note,
    /// Something is lost or differs, and whether that hurts depends on the client.
    Warning,
    /// A client gets nothing, or does not run.
    Error,
}

impl Severity {
    /// All of them, the worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Note];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What becomes of a binding, or of one event that it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It gets the same events as before, the same way.
    Alive,
    /// A binding from exchange to exchange brings it what it is waiting for; no daemon is needed.
    NativeBinding,
    /// The bridge brings it what it is waiting for.
    ServedByBridge,
    /// The event is still there, and differs.
    Changed,
    /// The event is gone, and the bridge makes it of its successor.
    Replaced,
    /// The event is gone.
    Deleted,
    /// Documented, and never sent: by nobody any more, or never under this key.
    NeverSent,
    /// No event that is known has such a key.
    UnknownEvent,
    /// The exchange will not be there, and the bridge has no reason to bring it back.
    ExchangeMissing,
}

impl Fate {
    /// All of them, the best first.
    pub const ALL: [Self; 9] = [
        Self::Alive,
        Self::NativeBinding,
        Self::ServedByBridge,
        Self::Changed,
        Self::Replaced,
        Self::Deleted,
        Self::NeverSent,
        Self::UnknownEvent,
        Self::ExchangeMissing,
    ];

    /// Its name for programs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::NativeBinding => "native_binding",
            Self::ServedByBridge => "served_by_bridge",
            Self::Changed => "changed",
            Self::Replaced => "replaced",
            Self::Deleted => "deleted",
            Self::NeverSent => "never_sent",
            Self::UnknownEvent => "unknown_event",
            Self::ExchangeMissing => "exchange_missing",
        }
    }

    /// The same for people.
    #[must_use]
    pub const fn phrase(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::NativeBinding => "native binding is enough",
            Self::ServedByBridge => "served by the bridge",
            Self::Changed => "changed",
            Self::Replaced => "replaced",
            Self::Deleted => "deleted",
            Self::NeverSent => "documented but never sent",
            Self::UnknownEvent => "matches no known event",
            Self::ExchangeMissing => "exchange will be missing",
        }
    }

    /// Whether a client with such a binding gets anything.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(
            self,
            Self::Alive | Self::NativeBinding | Self::ServedByBridge | Self::Changed | Self::Replaced
        )
    }
}

/// A kind of finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The exchange will not be there.
    ExchangeMissing,
    /// The event is deleted.
    Deleted,
    /// The event is deleted, and the bridge makes it of its successor.
    Replaced,
    /// The event differs.
    Changed,
    /// Nobody publishes the event.
    NeverSent,
    /// The key is in the documents, another one is on the wire.
    DocumentedKey,
    /// The bridge has to run for this client.
    ServedByBridge,
    /// A binding between exchanges is enough.
    NativeBinding,
    /// No known event has this key.
    UnknownEvent,
    /// The pattern has fewer words than the keys it is meant for.
    PatternTooShort,
    /// An AMI event under the key of 14.24.
    OldAmiKey,
    /// The event's name where its routing key should be.
    NameAsKey,
    /// A pattern loses some of its events.
    LosesSome,
    /// The exchange is there and nearly nothing is published on it.
    SilentExchange,
    /// A pattern on an exchange that knows none.
    WildcardOnDirect,
    /// An event that comes with a later version.
    NotYet,
    /// A call that one generation of the library does not know.
    CallForm,
    /// A declaration that the broker will refuse with 406.
    RefusedDeclaration,
    /// A named queue that is neither durable nor exclusive.
    TransientQueue,
    /// A queue that a client left behind and that fills up.
    LeftoverQueue,
    /// The account `guest` from another machine.
    GuestFromElsewhere,
    /// A client that binds to an exchange which only the bridge makes.
    BindsWithoutDeclaring,
    /// A client that gets objects where it got texts.
    ContentType,
    /// A named queue that nobody reads.
    NobodyReads,
    /// A client that publishes what nobody will translate.
    PublishesInVain,
}

/// All that is to be said of a kind of finding, whatever client it is found at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Explanation {
    /// The kind.
    pub kind: Kind,
    /// Its id, `CTI` and four digits. Never given to anything else.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// In a few words.
    pub title: &'static str,
    /// What it means, and where that is known from.
    pub text: &'static str,
    /// What it looks like.
    pub example: &'static str,
    /// What to do.
    pub advice: &'static str,
}

impl Kind {
    /// What is to be said of it.
    #[must_use]
    pub fn explanation(self) -> &'static Explanation {
        // The table has every kind in the order of the kinds; a test holds it to that.
        table::EXPLANATIONS.get(self as usize).unwrap_or(&table::EXPLANATIONS[0])
    }

    /// Its id.
    #[must_use]
    pub fn id(self) -> &'static str {
        self.explanation().id
    }

    /// How bad it is.
    #[must_use]
    pub fn severity(self) -> Severity {
        self.explanation().severity
    }
}

/// Every kind of finding.
#[must_use]
pub const fn explanations() -> &'static [Explanation] {
    &table::EXPLANATIONS
}

/// The kind with this id, written in capitals or not.
#[must_use]
pub fn by_id(id: &str) -> Option<&'static Explanation> {
    table::EXPLANATIONS.iter().find(|explanation| explanation.id.eq_ignore_ascii_case(id))
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_line_in_the_table_and_an_id_of_its_own() {
        let mut ids = Vec::new();
        for (at, explanation) in explanations().iter().enumerate() {
            assert_eq!(explanation.kind as usize, at, "{}", explanation.id);
            assert_eq!(explanation.kind.explanation(), explanation);
            assert_eq!(
                explanation.id,
                format!("CTI{:04}", at + 1),
                "ids are given in order and kept for ever"
            );
            for text in [explanation.title, explanation.text, explanation.example, explanation.advice] {
                assert!(!text.is_empty(), "{}", explanation.id);
            }
            ids.push(explanation.id);
        }
        ids.dedup();
        assert_eq!(ids.len(), explanations().len());
    }

    #[test]
    fn an_id_is_found_however_it_is_written() {
        assert_eq!(by_id("cti0012").map(|found| found.kind), Some(Kind::NameAsKey));
        assert_eq!(by_id("CTI9999"), None);
    }
}
