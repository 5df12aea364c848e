//! What changed from release to release: events, exchanges, and the envelope that all events share.
//!
//! What the documents say and what was seen on the wire or in the platform's code are two facts, and both are kept
//! ([`Basis`]). What a rule knows of an event is not repeated here; [`super::history`] puts the two together.

use std::fmt;

use super::version::Version;

/// One change, of one subject, in one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The first release with it.
    pub version: Version,
    /// What became of the subject.
    pub kind: Kind,
    /// Whether documents say so, or the wire.
    pub basis: Basis,
    /// What changed.
    pub subject: Subject,
    /// The change in a sentence, where the kind does not say it all.
    pub text: Option<String>,
    /// The fields of the event's `data` from this release on, where they are known.
    pub data: Option<Vec<String>>,
    /// What took its place: events for an event, exchanges for an exchange.
    pub replaced_by: Vec<String>,
    /// Events that a change of an exchange or of the envelope leaves alone.
    pub except: Vec<String>,
    /// Where the fact comes from.
    pub source: String,
}

/// What became of something in a release, as the published changelog has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It came.
    Added,
    /// It is still there and differs.
    Changed,
    /// It is still there and is to go.
    Deprecated,
    /// It went.
    Deleted,
}

/// What a statement rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Basis {
    /// Published documentation.
    Documented,
    /// The wire, or the code of the platform, where it differs from the documents or goes beyond them.
    Observed,
}

/// What a change is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// The event of this name, or of the names of a rule written like this (`{ami_event}`).
    Event(String),
    /// The exchange of this name.
    Exchange(String),
    /// A part of all messages.
    Envelope(Part),
}

/// A part of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The keys of the body as a whole.
    Body,
    /// The key `origin_uuid`.
    OriginUuid,
    /// The key `required_acl`.
    RequiredAcl,
    /// The key and header `timestamp`.
    Timestamp,
    /// The AMQP property `content_type`.
    ContentType,
    /// The AMQP headers.
    Headers,
    /// How routing keys are made.
    RoutingKey,
}

impl Kind {
    /// Every kind, in the order of an event's life.
    pub const ALL: [Self; 4] = [Self::Added, Self::Changed, Self::Deprecated, Self::Deleted];

    /// The word for it, in changelog files and on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Deprecated => "deprecated",
            Self::Deleted => "deleted",
        }
    }
}

impl Basis {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Documented, Self::Observed];

    /// The word for it, in changelog files and in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Documented => "documented",
            Self::Observed => "observed",
        }
    }
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 7] = [
        Self::Body,
        Self::OriginUuid,
        Self::RequiredAcl,
        Self::Timestamp,
        Self::ContentType,
        Self::Headers,
        Self::RoutingKey,
    ];

    /// The word for it in changelog files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::OriginUuid => "origin_uuid",
            Self::RequiredAcl => "required_acl",
            Self::Timestamp => "timestamp",
            Self::ContentType => "content_type",
            Self::Headers => "headers",
            Self::RoutingKey => "routing_key",
        }
    }
}

impl Subject {
    /// The name of the event, if it is one.
    #[must_use]
    pub fn event(&self) -> Option<&str> {
        match self {
            Self::Event(name) => Some(name),
            Self::Exchange(_) | Self::Envelope(_) => None,
        }
    }

    /// The name of the exchange, if it is one.
    #[must_use]
    pub fn exchange(&self) -> Option<&str> {
        match self {
            Self::Exchange(name) => Some(name),
            Self::Event(_) | Self::Envelope(_) => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(name) => f.write_str(name),
            Self::Exchange(name) => write!(f, "exchange {name}"),
            Self::Envelope(part) => write!(f, "envelope {}", part.as_str()),
        }
    }
}

/// An upgrade of the platform: all releases after the one and up to the other, which is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Upgrade {
    from: Option<Version>,
    to: Option<Version>,
}

/// An upgrade to an older release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{from} is newer than {to}, so nothing lies between them")]
pub struct Backwards {
    /// Where the upgrade was to start.
    pub from: Version,
    /// Where it was to end.
    pub to: Version,
}

impl Upgrade {
    /// Every release there is.
    pub const ALL: Self = Self { from: None, to: None };

    /// From a release, or from before all of them, to a release, or to the newest one.
    ///
    /// # Errors
    /// When it goes backwards. From a release to itself is an upgrade in which nothing changes.
    pub fn new(from: Option<Version>, to: Option<Version>) -> Result<Self, Backwards> {
        match (from, to) {
            (Some(from), Some(to)) if from > to => Err(Backwards { from, to }),
            _ => Ok(Self { from, to }),
        }
    }

    /// The release that it starts at, whose own changes are not in it.
    #[must_use]
    pub const fn from(&self) -> Option<Version> {
        self.from
    }

    /// The release that it ends at, whose changes are in it.
    #[must_use]
    pub const fn to(&self) -> Option<Version> {
        self.to
    }

    /// Whether the changes of this release are in it.
    #[must_use]
    pub fn contains(&self, version: Version) -> bool {
        self.from.is_none_or(|from| from < version) && self.to.is_none_or(|to| version <= to)
    }
}

/// All changes, by version; those of one release in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changelog {
    changes: Vec<Change>,
}

impl Changelog {
    /// Puts the changes of several files together. What a later file says of a subject in a release, on one basis,
    /// takes the place of what earlier ones say of it.
    #[must_use]
    pub fn of(layers: impl IntoIterator<Item = Vec<Change>>) -> Self {
        let mut changes: Vec<Change> = Vec::new();
        for layer in layers {
            let told_anew = |change: &Change| {
                layer.iter().any(|other| {
                    (other.version, other.basis, &other.subject)
                        == (change.version, change.basis, &change.subject)
                })
            };
            changes.retain(|change| !told_anew(change));
            changes.extend(layer);
        }
        changes.sort_by_key(|change| change.version);
        Self { changes }
    }

    /// All changes.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// The changes in an upgrade.
    pub fn between(&self, upgrade: Upgrade) -> impl Iterator<Item = &Change> {
        self.changes.iter().filter(move |change| upgrade.contains(change.version))
    }

    /// The changes of exchanges and of the envelope in an upgrade: those that concern more than one event.
    pub fn wire_changes(&self, upgrade: Upgrade) -> impl Iterator<Item = &Change> {
        self.between(upgrade).filter(|change| change.subject.event().is_none())
    }

    /// The newest release that anything is known of.
    #[must_use]
    pub fn newest(&self) -> Option<Version> {
        self.changes.last().map(|change| change.version)
    }
}
