//! Settings of the daemon: files, then environment and flags over them, checked once at start.
//!
//! The `bus:` block is the one of the platform's own daemons, so that it can be copied.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::amqp::{BrokerAddress, Certificates, UnusableFile};
use crate::core::diagnostic::Diagnostic;
use crate::core::settings::{BridgeId, OriginUuid, UnknownEvents};
use crate::core::split::{Split, SplitBy};
use crate::core::topology::{Bounds, ExchangeKind, QueueKind};
use crate::core::version::Version;

mod certificates;
mod file;

pub use certificates::read as read_certificates;
use file::read_password;
pub use file::{QUEUE_TYPES, UNKNOWN_EVENTS, read, read_files};

/// The file that is read when none is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/cti-bridge/config.yml";
/// The directory whose `*.yml` files are laid over it, in the order of their names.
const DEFAULT_DIRECTORY: &str = "/etc/cti-bridge/conf.d";
/// The quarantine, where nothing is said: a flood of bad messages must not fill the disk.
const QUARANTINE_BOUNDS: Bounds = Bounds { max_length: Some(100_000), max_bytes: Some(1 << 30) };
/// The name of a systemd credential that holds the password.
const CREDENTIAL: &str = "amqp-password";

/// From here on the platform's daemons publish on `wazo-headers` (Wazo upgrade notes, 23.01).
const HEADERS_SINCE: Version = Version::new(23, 1);

/// What one source of settings says; later sources lie over earlier ones.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// The broker, for both sides.
    pub bus: Bus,
    /// The broker of the legacy side, where it is another one.
    pub legacy_bus: Bus,
    /// The broker of the modern side, where it is another one.
    pub modern_bus: Bus,
    /// Events to listen for on the legacy side, `all` or `none`.
    pub legacy_events: Vec<String>,
    /// Content type towards legacy.
    pub legacy_content_type: Option<String>,
    /// The platform's version.
    pub modern_version: Option<Version>,
    /// Whether to declare the platform's exchange.
    pub declare: Option<bool>,
    /// What becomes of modern events without a rule.
    pub unknown_events: Option<UnknownEvents>,
    /// The uuid of this server.
    pub origin_uuid: Option<OriginUuid>,
    /// The id in the mark.
    pub bridge_id: Option<BridgeId>,
    /// Directories of mapping files.
    pub mappings: Vec<PathBuf>,
    /// Whether the built-in mapping files are used.
    pub builtin_mappings: Option<bool>,
    /// Deliveries in flight per direction.
    pub prefetch_count: Option<u16>,
    /// The type of our queues.
    pub queue_type: Option<QueueKind>,
    /// What our queues are called before the dot.
    pub queue_prefix: Option<String>,
    /// How much each intake queue holds.
    pub intake: Bounds,
    /// How much the quarantine queue holds.
    pub quarantine: Bounds,
    /// Over how many instances the modern events are split.
    pub split_into: Option<u8>,
    /// What keeps events in one part.
    pub split_by: Option<SplitBy>,
    /// Which part this instance takes.
    pub part: Option<u8>,
    /// Whether to publish with delivery mode 2.
    pub persistent: Option<bool>,
    /// Whether to count what nobody listens for.
    pub count_unroutable: Option<bool>,
    /// How many bridges a message may have passed.
    pub max_hops: Option<usize>,
    /// Whether the probes of `verify` are answered.
    pub probes: Option<bool>,
    /// Seconds between status lines; 0 for none.
    pub status_interval: Option<u64>,
}

/// A `bus:` block.
#[derive(Debug, Clone, Default)]
pub struct Bus {
    /// Everything at once; parts beside it lie over it.
    pub url: Option<BrokerAddress>,
    /// Host name or address.
    pub host: Option<String>,
    /// The nodes of a cluster instead, each with its port if that is another one.
    pub hosts: Vec<(String, Option<u16>)>,
    /// TCP port.
    pub port: Option<u16>,
    /// User name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<SecretString>,
    /// Virtual host.
    pub vhost: Option<String>,
    /// Whether to speak TLS.
    pub tls: Option<bool>,
    /// The certificates for it.
    pub certificates: Certificates,
    /// The exchange of modern events.
    pub exchange_name: Option<String>,
    /// Its type.
    pub exchange_type: Option<ExchangeKind>,
}

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has mistakes.
    #[error("{} is not valid", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its text, without what may be a secret.
        text: String,
        /// The mistakes.
        diagnostics: Vec<Diagnostic>,
    },
    /// A file of a certificate or a key is of no use.
    #[error("cannot use {}: {why}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        why: UnusableFile,
    },
    /// Certificates, and an address without TLS.
    #[error("there are certificates for `{0}`, and no TLS is spoken there")]
    CertificatesWithoutTls(String),
    /// No `origin_uuid` anywhere.
    #[error("no origin uuid")]
    NoOriginUuid,
    /// Events are to be split, by nothing.
    #[error("`split` does not say by what the modern events are split")]
    SplitByNothing,
    /// Several instances, and nobody says which one this is.
    #[error("the modern events are split into {into} parts, and nothing says which one this instance takes")]
    NoPart {
        /// How many parts.
        into: u8,
    },
    /// A part that there is not.
    #[error("there is no part {part}: the modern events are split into {into}")]
    NoSuchPart {
        /// The part.
        part: u8,
        /// How many parts.
        into: u8,
    },
    /// The modern exchange is one of the legacy ones.
    #[error("the modern exchange cannot be `{0}`: the bridge publishes legacy events there")]
    ExchangeOfLegacy(String),
}

/// The settings of a daemon, complete and checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The broker of the legacy side.
    pub legacy: BrokerAddress,
    /// The broker of the modern side.
    pub modern: BrokerAddress,
    /// The exchange of modern events.
    pub exchange_name: String,
    /// Its type.
    pub exchange_type: ExchangeKind,
    /// Whether to declare it.
    pub declare: bool,
    /// The platform's version.
    pub modern_version: Version,
    /// Events to listen for on the legacy side, `all` or `none`.
    pub legacy_events: Vec<String>,
    /// Content type towards legacy.
    pub legacy_content_type: Option<String>,
    /// What becomes of modern events without a rule.
    pub unknown_events: UnknownEvents,
    /// Who the bridge is, where it is known; the daemon needs it and says so.
    pub identity: Option<Identity>,
    /// Directories of mapping files.
    pub mappings: Vec<PathBuf>,
    /// Whether the built-in mapping files are used.
    pub builtin_mappings: bool,
    /// Deliveries in flight per direction: the memory bound, and the window of duplicates after a fault.
    pub prefetch_count: u16,
    /// The type of our queues.
    pub queue_type: QueueKind,
    /// What our queues are called before the dot.
    pub queue_prefix: String,
    /// How much each intake queue holds.
    pub intake: Bounds,
    /// How much the quarantine queue holds.
    pub quarantine: Bounds,
    /// Whether several instances share the modern events.
    pub split: Split,
    /// Whether to publish with delivery mode 2.
    pub persistent: bool,
    /// Whether to count what nobody listens for.
    pub count_unroutable: bool,
    /// How many bridges a message may have passed.
    pub max_hops: usize,
    /// Whether the probes of `verify` are answered.
    pub probes: bool,
    /// Between status lines; none if there are to be none.
    pub status_interval: Option<Duration>,
}

/// Who the bridge is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The uuid of this server.
    pub origin_uuid: OriginUuid,
    /// The id in the mark.
    pub bridge_id: BridgeId,
}

impl Config {
    /// Who the bridge is.
    ///
    /// # Errors
    /// When there is no origin uuid anywhere.
    pub fn identity(&self) -> Result<&Identity, ConfigError> {
        self.identity.as_ref().ok_or(ConfigError::NoOriginUuid)
    }

    /// That an instance knows which part is its own.
    ///
    /// # Errors
    /// When there are several and it does not.
    pub const fn check_part(&self) -> Result<(), ConfigError> {
        match self.split {
            Split { into, part: None, .. } if into > 1 => Err(ConfigError::NoPart { into }),
            _ => Ok(()),
        }
    }
}

impl Layer {
    /// This layer with another one laid over it.
    #[must_use]
    pub fn under(mut self, above: Self) -> Self {
        let mut legacy_events = self.legacy_events;
        legacy_events.extend(above.legacy_events);
        self.mappings.extend(above.mappings);
        Self {
            bus: self.bus.under(above.bus),
            legacy_bus: self.legacy_bus.under(above.legacy_bus),
            modern_bus: self.modern_bus.under(above.modern_bus),
            legacy_events,
            legacy_content_type: above.legacy_content_type.or(self.legacy_content_type),
            modern_version: above.modern_version.or(self.modern_version),
            declare: above.declare.or(self.declare),
            unknown_events: above.unknown_events.or(self.unknown_events),
            origin_uuid: above.origin_uuid.or(self.origin_uuid),
            bridge_id: above.bridge_id.or(self.bridge_id),
            mappings: self.mappings,
            builtin_mappings: above.builtin_mappings.or(self.builtin_mappings),
            prefetch_count: above.prefetch_count.or(self.prefetch_count),
            queue_type: above.queue_type.or(self.queue_type),
            queue_prefix: above.queue_prefix.or(self.queue_prefix),
            intake: self.intake.under(above.intake),
            quarantine: self.quarantine.under(above.quarantine),
            split_into: above.split_into.or(self.split_into),
            split_by: above.split_by.or(self.split_by),
            part: above.part.or(self.part),
            persistent: above.persistent.or(self.persistent),
            count_unroutable: above.count_unroutable.or(self.count_unroutable),
            max_hops: above.max_hops.or(self.max_hops),
            probes: above.probes.or(self.probes),
            status_interval: above.status_interval.or(self.status_interval),
        }
    }

    /// The settings, with defaults for what no layer says. `xivo_uuid` is the platform's own variable
    /// `XIVO_UUID`; `credentials` is where systemd puts credentials.
    ///
    /// # Errors
    /// When the settings contradict each other, or a credential cannot be read.
    pub fn finish(
        self,
        xivo_uuid: Option<OriginUuid>,
        credentials: Option<&Path>,
    ) -> Result<Config, ConfigError> {
        let credential = match credentials.map(|directory| directory.join(CREDENTIAL)) {
            Some(path) if path.exists() => Some(read_password(&path)?),
            _ => None,
        };
        let mut bus = self.bus;
        bus.password = bus.password.or(credential);
        let legacy = bus.clone().under(self.legacy_bus);
        let modern = bus.under(self.modern_bus);
        let modern_version = self.modern_version.unwrap_or(crate::core::examples::DOCUMENTED_VERSION);
        let (name, kind) = if modern_version < HEADERS_SINCE {
            ("xivo", ExchangeKind::Topic)
        } else {
            ("wazo-headers", ExchangeKind::Headers)
        };
        let exchange_name = modern.exchange_name.clone().unwrap_or_else(|| name.into());
        if ["xivo-cti", "xivo-ami", "xivo-status-updates"].contains(&exchange_name.as_str()) {
            return Err(ConfigError::ExchangeOfLegacy(exchange_name));
        }
        let identity = self.origin_uuid.or(xivo_uuid).and_then(|origin_uuid| {
            // The uuid tells servers apart, and two instances on one server are one bridge.
            let bridge_id = self.bridge_id.or_else(|| BridgeId::parse(origin_uuid.as_str()))?;
            Some(Identity { origin_uuid, bridge_id })
        });
        let exchange_type = modern.exchange_type.unwrap_or(kind);
        let (legacy, modern) = (legacy.address(), modern.address());
        for address in [&legacy, &modern] {
            if !address.tls && !address.certificates.is_empty() {
                return Err(ConfigError::CertificatesWithoutTls(address.to_string()));
            }
        }
        let into = self.split_into.unwrap_or(1);
        let by = match self.split_by {
            Some(by) => by,
            None if into > 1 => return Err(ConfigError::SplitByNothing),
            None => SplitBy::RoutingKey,
        };
        if let Some(part) = self.part.filter(|part| *part > into) {
            return Err(ConfigError::NoSuchPart { part, into });
        }
        Ok(Config {
            split: Split { into, by, part: self.part },
            exchange_type,
            legacy,
            modern,
            exchange_name,
            declare: self.declare.unwrap_or(true),
            modern_version,
            legacy_events: self.legacy_events,
            legacy_content_type: self.legacy_content_type,
            unknown_events: self.unknown_events.unwrap_or_default(),
            identity,
            mappings: self.mappings,
            builtin_mappings: self.builtin_mappings.unwrap_or(true),
            prefetch_count: self.prefetch_count.unwrap_or(256),
            queue_type: self.queue_type.unwrap_or(QueueKind::Quorum),
            queue_prefix: self.queue_prefix.unwrap_or_else(|| "cti-bridge".into()),
            intake: self.intake,
            quarantine: QUARANTINE_BOUNDS.under(self.quarantine),
            persistent: self.persistent.unwrap_or(false),
            count_unroutable: self.count_unroutable.unwrap_or(true),
            max_hops: self.max_hops.unwrap_or(8),
            probes: self.probes.unwrap_or(true),
            status_interval: match self.status_interval.unwrap_or(60) {
                0 => None,
                seconds => Some(Duration::from_secs(seconds)),
            },
        })
    }
}

impl Bus {
    fn under(self, above: Self) -> Self {
        // Certificates are no part of an address, and stay unless it is said that there is no TLS.
        let is_plain =
            above.tls == Some(false) || above.tls.is_none() && above.url.as_ref().is_some_and(|url| !url.tls);
        let certificates = if is_plain { Certificates::default() } else { self.certificates.clone() };
        let certificates = above.certificates.or(certificates);
        // A whole address replaces the parts of an earlier one.
        let below = if above.url.is_some() {
            Self { exchange_name: self.exchange_name, exchange_type: self.exchange_type, ..Self::default() }
        } else {
            self
        };
        Self {
            url: above.url.or(below.url),
            // One host and several are the same setting.
            hosts: if above.hosts.is_empty() && above.host.is_none() {
                below.hosts
            } else {
                above.hosts.clone()
            },
            host: above.host.or(below.host).filter(|_| above.hosts.is_empty()),
            port: above.port.or(below.port),
            username: above.username.or(below.username),
            password: above.password.or(below.password),
            vhost: above.vhost.or(below.vhost),
            tls: above.tls.or(below.tls),
            certificates,
            exchange_name: above.exchange_name.or(below.exchange_name),
            exchange_type: above.exchange_type.or(below.exchange_type),
        }
    }

    /// The address, with the platform's defaults: guest on the local broker (Message Bus documentation, 13.22).
    fn address(self) -> BrokerAddress {
        let base = self.url;
        let tls = self.tls.or(base.as_ref().map(|base| base.tls)).unwrap_or(!self.certificates.is_empty());
        let own_port = self.port.or(base.as_ref().map(|base| base.port));
        let port = own_port.unwrap_or(if tls { 5671 } else { 5672 });
        let part = |own: Option<String>, of: fn(&BrokerAddress) -> &String, default: &str| {
            own.or_else(|| base.as_ref().map(|base| of(base).clone())).unwrap_or_else(|| default.to_owned())
        };
        let mut nodes: VecDeque<_> =
            self.hosts.into_iter().map(|(host, own)| (host, own.unwrap_or(port))).collect();
        let first = nodes.pop_front();
        let others = match (&first, &self.host, &base) {
            (None, None, Some(base)) => base.others.clone(),
            _ => nodes.into(),
        };
        let (host, port) = first.unwrap_or_else(|| (part(self.host, |base| &base.host, "localhost"), port));
        BrokerAddress {
            host,
            port,
            others,
            vhost: part(self.vhost, |base| &base.vhost, "/"),
            username: part(self.username, |base| &base.username, "guest"),
            has_password: self.password.is_some() || base.as_ref().is_some_and(|base| base.has_password),
            password: self.password.or(base.map(|base| base.password)).unwrap_or_else(|| "guest".into()),
            tls,
            certificates: self.certificates,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    const UUID: &str = "ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3";

    fn finish(text: &str) -> Config {
        read(text).unwrap().finish(OriginUuid::parse(UUID), None).unwrap()
    }

    #[test]
    fn everything_has_a_default_but_the_origin_uuid() {
        let config = finish("");
        assert_eq!((config.legacy.host.as_str(), config.legacy.port), ("localhost", 5672));
        assert_eq!((config.exchange_name.as_str(), config.exchange_type), ("xivo", ExchangeKind::Topic));
        assert_eq!(config.identity().unwrap().bridge_id.as_str(), UUID);
        let nobody = Layer::default().finish(None, None).unwrap();
        assert!(matches!(nobody.identity(), Err(ConfigError::NoOriginUuid)));
    }

    #[test]
    fn the_bus_block_of_a_daemon_can_be_copied() {
        let text = "bus:\n  username: guest\n  password: s3cret\n  host: pbx\n  port: 5673\n  vhost: ''\n  \
                    exchange_name: wazo-headers\n  exchange_type: headers\n  startup_connection_delay: 1\n";
        let config = finish(text);
        assert_eq!(config.exchange_type, ExchangeKind::Headers);
        assert_eq!((config.modern.host.as_str(), config.modern.vhost.as_str()), ("pbx", "/"));
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn the_exchange_is_the_one_of_the_version() {
        let exchange = |text: &str| {
            let config = finish(text);
            (config.exchange_name, config.exchange_type)
        };
        let headers = ("wazo-headers".to_owned(), ExchangeKind::Headers);
        assert_eq!(exchange("modern: {version: '22.17'}"), ("xivo".to_owned(), ExchangeKind::Topic));
        assert_eq!(exchange("modern: {version: '23.01'}"), headers);
        let named = "modern: {version: '23.01', bus: {exchange_name: own, exchange_type: topic}}";
        assert_eq!(exchange(named), ("own".to_owned(), ExchangeKind::Topic));
    }

    #[test]
    fn an_instance_of_several_has_to_say_which_part_it_takes() {
        let read = |text: &str| read(text).unwrap().finish(OriginUuid::parse(UUID), None);
        assert!(finish("").check_part().is_ok() && !finish("").split.is_on());
        let split = |by| Split { into: 3, by, part: Some(2) };
        assert_eq!(finish("split: {into: 3, by: routing_key}\npart: 2\n").split, split(SplitBy::RoutingKey));
        let by_tenant = SplitBy::Header("tenant_uuid".to_owned());
        assert_eq!(finish("{split: {into: 3, by: tenant_uuid}, part: 2}").split, split(by_tenant));
        let nowhere = finish("split: {into: 3, by: routing_key}").check_part();
        assert!(matches!(nowhere, Err(ConfigError::NoPart { into: 3 })));
        assert!(matches!(read("split: {into: 3}"), Err(ConfigError::SplitByNothing)));
        let beyond = read("{split: {into: 3, by: routing_key}, part: 4}");
        assert!(matches!(beyond, Err(ConfigError::NoSuchPart { part: 4, into: 3 })));
        assert!(matches!(read("part: 2"), Err(ConfigError::NoSuchPart { part: 2, into: 1 })));
        assert!(super::read("split: {into: 17, by: routing_key}").is_err());
    }

    #[test]
    fn a_later_layer_lies_over_an_earlier_one() {
        let below = read("bus: {host: a, port: 1}\nlegacy: {events: [x]}\n").unwrap();
        let above = read("bus: {port: 2}\nlegacy: {bus: {host: b}, events: all}\n").unwrap();
        let config = below.under(above).finish(OriginUuid::parse(UUID), None).unwrap();
        assert_eq!((config.legacy.host.as_str(), config.legacy.port), ("b", 2));
        assert_eq!((config.modern.host.as_str(), config.modern.port), ("a", 2));
        assert_eq!(config.legacy_events, ["x", "all"]);
    }

    #[test]
    fn a_whole_address_replaces_the_parts_of_an_earlier_layer() {
        let below = read("bus: {host: a, password: one, exchange_name: other}\n").unwrap();
        let above = read("bus: {url: 'amqp://u:two@b:1/v'}\n").unwrap();
        let config = below.under(above).finish(OriginUuid::parse(UUID), None).unwrap();
        assert_eq!(config.modern.host, "b");
        assert_eq!(config.modern.password.expose_secret(), "two");
        assert_eq!(config.exchange_name, "other");
    }

    #[test]
    fn a_cluster_is_a_list_of_hosts() {
        let cluster = |text: &str| finish(text).modern.to_string();
        let listed = "bus: {hosts: [one, 'two:7', '[::1]'], port: 9, username: u}";
        assert_eq!(cluster(listed), "amqp://u@one:9,two:7,[::1]:9/%2f");
        assert_eq!(cluster("bus: {url: 'amqp://u@a,b:7/v'}"), "amqp://u@a:5672,b:7/v");
        let over = read(listed).unwrap().under(read("bus: {host: other}").unwrap());
        let over = over.finish(OriginUuid::parse(UUID), None).unwrap();
        assert_eq!(over.modern.to_string(), "amqp://u@other:9/%2f");
        let both = read("bus: {host: a, hosts: [b, 'c:x']}").unwrap_err();
        assert_eq!(both.len(), 2, "{both:?}");
    }

    #[test]
    fn all_mistakes_are_told_with_their_places() {
        let text = "prefetch_cout: 1\nqueue_type: quorums\nbus: {port: 0, url: 'amqp://u:hunter2@h:x'}\n";
        let diagnostics = read(text).unwrap_err();
        let lines: Vec<_> = diagnostics.iter().map(|d| d.place.unwrap().position.line).collect();
        assert_eq!(lines, [1, 2, 3, 3]);
        assert_eq!(diagnostics[0].help.as_deref(), Some("did you mean `prefetch_count`?"));
        assert!(!format!("{diagnostics:?}").contains("hunter2"));
    }

    #[test]
    fn a_number_of_any_size_is_not_repeated() {
        let diagnostics = read("bus: {password: 123456789012345678901234567890}").unwrap_err();
        assert!(!format!("{diagnostics:?}").contains("12345678"), "{diagnostics:?}");
    }

    #[test]
    fn the_modern_exchange_cannot_be_a_legacy_one() {
        let layer = read("bus: {exchange_name: xivo-cti}").unwrap();
        let config = layer.finish(OriginUuid::parse(UUID), None);
        assert!(matches!(config, Err(ConfigError::ExchangeOfLegacy(_))));
    }
}
