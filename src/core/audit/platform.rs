//! The exchanges of the platform: of which type, in which versions, and what is published on them.

use crate::core::version::Version;

/// An exchange of the platform. All of them are durable but the fanout, and none is auto-delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) durable: bool,
    /// The first version with it, if it is not older than the documents.
    since: Option<Version>,
    /// The first version without it.
    pub(super) until: Option<Version>,
    /// Whether the bridge declares it again.
    pub(super) is_legacy: bool,
    pub(super) source: &'static str,
}

const V15_01: Option<Version> = Some(Version::new(15, 1));
const REMOVED: &str = "the upgrade to 15.01 deletes it (wazo-upgrade@e9d9c89)";

const EXCHANGES: [Exchange; 7] = [
    Exchange {
        name: "xivo-cti",
        kind: "direct",
        durable: true,
        since: None,
        until: V15_01,
        is_legacy: true,
        source: REMOVED,
    },
    Exchange {
        name: "xivo-ami",
        kind: "topic",
        durable: true,
        since: Some(Version::new(14, 2)),
        until: V15_01,
        is_legacy: true,
        source: REMOVED,
    },
    Exchange {
        name: "xivo-status-updates",
        kind: "direct",
        durable: true,
        since: Some(Version::new(14, 24)),
        until: V15_01,
        is_legacy: true,
        source: REMOVED,
    },
    Exchange {
        name: "xivo",
        kind: "fanout",
        durable: false,
        since: None,
        until: V15_01,
        is_legacy: false,
        source: "the upgrade to 15.01 deletes the fanout `xivo`; the topic exchange of that name is another one \
                 (wazo-upgrade@e9d9c89)",
    },
    Exchange {
        name: "xivo",
        kind: "topic",
        durable: true,
        since: V15_01,
        until: None,
        is_legacy: false,
        source: "Message Bus documentation, 19.05",
    },
    Exchange {
        name: "wazo-headers",
        kind: "headers",
        durable: true,
        since: Some(Version::new(17, 13)),
        until: None,
        is_legacy: false,
        source: "wazo-webhookd@20867a0",
    },
    Exchange {
        name: "wazo-websocketd",
        kind: "headers",
        durable: true,
        since: Some(Version::new(19, 17)),
        until: Some(Version::new(22, 13)),
        is_legacy: false,
        source: "22.13 deletes it (wazo-websocketd@wazo-22.13)",
    },
];

/// The first version in which nearly nothing is published on `xivo` any more.
const XIVO_SILENT: Version = Version::new(23, 1);

/// The first version in which a kombu client gets objects instead of texts.
pub(super) const JSON_CONTENT_TYPE: Version = Version::new(16, 2);

/// The exchange of this name: the one at this version, or else the last one before or the first one after it.
pub(super) fn exchange(name: &str, version: Version) -> Option<&'static Exchange> {
    let named = || EXCHANGES.iter().filter(|exchange| exchange.name == name);
    named()
        .find(|exchange| exchange.exists_at(version))
        .or_else(|| named().rfind(|exchange| exchange.until.is_some_and(|until| until <= version)))
        .or_else(|| named().next())
}

impl Exchange {
    /// Whether the platform itself has it at this version.
    pub(super) fn exists_at(&self, version: Version) -> bool {
        self.since.is_none_or(|since| since <= version) && self.until.is_none_or(|until| version < until)
    }
}

/// Whether an event with this routing key is published on `xivo` at this version. wazo-auth is the one daemon that
/// did not move to `wazo-headers` (wazo-auth@wazo-26.05, Wazo upgrade notes, 23.01).
pub(super) fn is_on_xivo(routing_key: &str, version: Version) -> bool {
    version < XIVO_SILENT || routing_key.split('.').next() == Some("auth")
}

/// Whether a queue is one of the platform's own daemons, which are upgraded with it.
///
/// wazo-bus names the queues of its consumers after the service and six hexadecimal digits (wazo-bus@wazo-26.04);
/// websocketd names one for each session (wazo-websocketd@wazo-22.08).
pub(super) fn is_platforms_own_queue(name: &str) -> bool {
    if ["xivo-call-logd-queue", "wazo-websocketd"].contains(&name) || name.starts_with("wazo-websocketd.") {
        return true;
    }
    let Some((service, digits)) = name.rsplit_once('.') else { return false };
    (service.starts_with("wazo-") || service.starts_with("xivo-"))
        && digits.len() == 6
        && digits.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Whether an exchange only passes on what the platform's own daemons want.
pub(super) fn is_platforms_own_exchange(name: &str) -> bool {
    EXCHANGES.iter().any(|exchange| exchange.name == name)
        || ["wazo-websocketd.", "wazo-webhookd", "webhookd"].iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_xivo_means_two_exchanges() {
        assert_eq!(exchange("xivo", Version::new(14, 24)).map(|found| found.kind), Some("fanout"));
        assert_eq!(exchange("xivo", Version::new(15, 1)).map(|found| found.kind), Some("topic"));
        assert!(!exchange("xivo-cti", Version::new(19, 5)).unwrap().exists_at(Version::new(19, 5)));
        assert_eq!(exchange("own", Version::new(19, 5)), None);
    }

    #[test]
    fn queues_of_daemons_are_told_from_those_of_scripts() {
        for own in ["wazo-calld.a1b2c3", "xivo-call-logd-queue", "wazo-websocketd.user-7.abcdef"] {
            assert!(is_platforms_own_queue(own), "{own}");
        }
        for other in ["xivo-popup", "wazo-calld.script", "myscript.a1b2c3", "amq.gen-x"] {
            assert!(!is_platforms_own_queue(other), "{other}");
        }
    }

    /// The table has the types, which the changelog has only in words; of the releases it may not say anything else.
    #[test]
    fn exchanges_come_and_go_as_the_changelog_says() {
        use crate::core::changelog::{Kind, Subject};
        let text = include_str!("../../../mappings/changelog.yaml");
        let changes = crate::core::changelog_file::read(text).unwrap();
        let told = |name: &str, kind: Kind, version: Option<Version>| {
            changes.iter().any(|change| {
                change.subject == Subject::Exchange(name.to_owned())
                    && change.kind == kind
                    && version.is_none_or(|version| change.version == version)
            })
        };
        for exchange in &EXCHANGES {
            // The two of the name `xivo` follow each other, which is a change.
            let (comes, goes) = match exchange.name {
                "xivo" => (Kind::Changed, Kind::Changed),
                _ => (Kind::Added, Kind::Deleted),
            };
            assert!(exchange.since.is_none() || told(exchange.name, comes, exchange.since), "{exchange:?}");
            assert!(exchange.until.is_none() || told(exchange.name, goes, exchange.until), "{exchange:?}");
            assert!(exchange.until.is_some() || !told(exchange.name, Kind::Deleted, None), "{exchange:?}");
        }
        assert!(told("xivo", Kind::Changed, Some(XIVO_SILENT)));
    }
}
