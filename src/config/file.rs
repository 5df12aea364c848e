//! Configuration files: YAML text as a layer of settings, or everything that is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::{Bus, ConfigError, DEFAULT_DIRECTORY, DEFAULT_FILE, Layer, read_certificates};
use crate::amqp::{AddressError, BrokerAddress, Certificates};
use crate::core::diagnostic::{Diagnostic, Place, Problems, did_you_mean};
use crate::core::reader::{Entries, list, owned};
use crate::core::settings::{BridgeId, OriginUuid, UnknownEvents};
use crate::core::split::{MOST_PARTS, SplitBy};
use crate::core::topology::{Bounds, ExchangeKind, QueueKind};
use crate::core::yaml::{self, Node, Value};

/// Reads the named file, or the default file and the directory beside it where they exist.
///
/// # Errors
/// When a file that is named or exists cannot be read or is not valid.
pub fn read_files(named: Option<&Path>) -> Result<Layer, ConfigError> {
    let unreadable = |path: &Path, source| ConfigError::Unreadable { path: path.to_owned(), source };
    let mut paths = Vec::new();
    match named {
        Some(path) => paths.push(path.to_owned()),
        None => {
            paths.extend(Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()));
            let directory = Path::new(DEFAULT_DIRECTORY);
            if directory.is_dir() {
                let entries = fs::read_dir(directory).map_err(|source| unreadable(directory, source))?;
                let mut files: Vec<PathBuf> = entries
                    .filter_map(|entry| entry.ok().map(|entry| entry.path()))
                    .filter(|path| path.extension().is_some_and(|extension| extension == "yml"))
                    .collect();
                files.sort();
                paths.extend(files);
            }
        }
    }
    let mut layer = Layer::default();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|source| unreadable(&path, source))?;
        match read(&text) {
            Ok(above) => layer = layer.under(above),
            Err(diagnostics) => {
                return Err(ConfigError::Invalid { path, text: without_secrets(&text), diagnostics });
            }
        }
    }
    Ok(layer)
}

/// The keys whose values are never secret.
const PUBLIC_KEYS: [&str; 38] = [
    "bridge_id",
    "builtin_mappings",
    "by",
    "ca_file",
    "client_certificate_file",
    "client_key_file",
    "content_type",
    "count_unroutable",
    "debug",
    "declare",
    "events",
    "exchange_durable",
    "exchange_name",
    "exchange_type",
    "host",
    "hosts",
    "intake",
    "into",
    "mappings",
    "max_bytes",
    "max_hops",
    "max_length",
    "origin_uuid",
    "part",
    "password_file",
    "persistent",
    "port",
    "prefetch_count",
    "probes",
    "quarantine",
    "queue_prefix",
    "queue_type",
    "split",
    "status_interval",
    "tls",
    "unknown_events",
    "version",
    "vhost",
];

/// The text of a file as it may be shown. A value stays only where the one key of its line is known not to
/// be that of a secret: a password may stand under a misspelt key, on a line of its own, or in an address.
fn without_secrets(text: &str) -> String {
    let line = |line: &str| match line.split_once(':') {
        Some((key, value)) => {
            let name = key.trim_matches(|c: char| c.is_whitespace() || "\"'-".contains(c));
            let is_public = PUBLIC_KEYS.contains(&name) && !value.contains([':', '@']);
            if is_public || value.trim().is_empty() {
                format!("{line}\n")
            } else {
                format!("{key}: {NOT_SHOWN}\n")
            }
        }
        None if line.trim().is_empty() => "\n".to_owned(),
        None => format!("{NOT_SHOWN}\n"),
    };
    text.lines().map(line).collect()
}

const NOT_SHOWN: &str = "(not shown: a secret may stand here)";

/// The first line of a file, as a password.
pub(super) fn read_password(path: &Path) -> Result<SecretString, ConfigError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    Ok(text.lines().next().unwrap_or_default().into())
}

const TOP_KEYS: [&str; 21] = [
    "bus",
    "legacy",
    "modern",
    "origin_uuid",
    "bridge_id",
    "mappings",
    "builtin_mappings",
    "prefetch_count",
    "queue_type",
    "queue_prefix",
    "intake",
    "quarantine",
    "split",
    "part",
    "persistent",
    "count_unroutable",
    "max_hops",
    "probes",
    "status_interval",
    "uuid",
    "debug",
];

/// Reads the text of a configuration file.
///
/// # Errors
/// All the mistakes in it.
pub fn read(text: &str) -> Result<Layer, Vec<Diagnostic>> {
    let root = yaml::parse(text).map_err(|error| {
        let place = error.position.map(|position| Place::at(text, position));
        vec![Diagnostic { message: error.message, place, rule: None, help: error.help }]
    })?;
    let mut problems = Problems::default();
    let layer = match root.value {
        Value::Null => Layer::default(),
        _ => top(&root, &mut problems),
    };
    if problems.is_empty() { Ok(layer) } else { Err(problems.locate(text)) }
}

fn top(root: &Node, problems: &mut Problems) -> Layer {
    let Some(entries) = Entries::of(root, "settings such as `bus:`", &TOP_KEYS, problems) else {
        return Layer::default();
    };
    let mut layer = Layer::default();
    if let Some(node) = entries.get("bus") {
        layer.bus = bus(node, problems);
    }
    if let Some(node) = entries.get("legacy")
        && let Some(legacy) =
            Entries::of(node, "settings of the legacy side", &["bus", "events", "content_type"], problems)
    {
        layer.legacy_bus = legacy.get("bus").map(|node| bus(node, problems)).unwrap_or_default();
        layer.legacy_events = match legacy.get("events") {
            Some(Node { value: Value::Text(text), .. }) => vec![text.clone()],
            Some(node) => texts(node, "the names of events, `all` or `none`", problems),
            None => Vec::new(),
        };
        layer.legacy_content_type = owned(legacy.get("content_type"), "a content type", problems);
    }
    let known = ["bus", "version", "declare", "unknown_events"];
    if let Some(node) = entries.get("modern")
        && let Some(modern) = Entries::of(node, "settings of the modern side", &known, problems)
    {
        layer.modern_bus = modern.get("bus").map(|node| bus(node, problems)).unwrap_or_default();
        layer.modern_version =
            parsed(modern.get("version"), "a version such as `\"19.05\"`", problems, |text| {
                text.parse().ok()
            });
        layer.declare = boolean(modern.get("declare"), problems);
        layer.unknown_events = chosen(modern.get("unknown_events"), &UNKNOWN_EVENTS, problems);
    }
    layer.origin_uuid = parsed(
        entries.get("origin_uuid").or(entries.get("uuid")),
        "the uuid of this server",
        problems,
        OriginUuid::parse,
    );
    layer.bridge_id = parsed(
        entries.get("bridge_id"),
        "an id of letters, digits, `-`, `_` and `.`",
        problems,
        BridgeId::parse,
    );
    layer.mappings = match entries.get("mappings") {
        Some(node) => texts(node, "a list of directories", problems).into_iter().map(PathBuf::from).collect(),
        None => Vec::new(),
    };
    layer.builtin_mappings = boolean(entries.get("builtin_mappings"), problems);
    layer.prefetch_count = number(entries.get("prefetch_count"), 1, 65_535, problems);
    layer.queue_type = chosen(entries.get("queue_type"), &QUEUE_TYPES, problems);
    layer.queue_prefix =
        parsed(entries.get("queue_prefix"), "a prefix of at most 200 bytes", problems, |text| {
            (text.len() <= 200 && !text.starts_with("amq.")).then(|| text.to_owned())
        });
    layer.intake = bounds(entries.get("intake"), problems);
    layer.quarantine = bounds(entries.get("quarantine"), problems);
    (layer.split_into, layer.split_by) = split(entries.get("split"), problems);
    layer.part = number(entries.get("part"), 1, MOST_PARTS.into(), problems);
    layer.persistent = boolean(entries.get("persistent"), problems);
    layer.count_unroutable = boolean(entries.get("count_unroutable"), problems);
    layer.max_hops = number(entries.get("max_hops"), 1, 64, problems);
    layer.probes = boolean(entries.get("probes"), problems);
    layer.status_interval = number(entries.get("status_interval"), 0, 86_400, problems);
    layer
}

/// The words for [`UnknownEvents`].
pub const UNKNOWN_EVENTS: [(&str, UnknownEvents); 3] =
    [("pass", UnknownEvents::Pass), ("quarantine", UnknownEvents::Quarantine), ("drop", UnknownEvents::Drop)];
/// The words for [`QueueKind`].
pub const QUEUE_TYPES: [(&str, QueueKind); 2] =
    [("quorum", QueueKind::Quorum), ("classic", QueueKind::Classic)];
const EXCHANGE_TYPES: [(&str, ExchangeKind); 2] =
    [("topic", ExchangeKind::Topic), ("headers", ExchangeKind::Headers)];

fn bus(node: &Node, problems: &mut Problems) -> Bus {
    let known = [
        "url",
        "host",
        "hosts",
        "port",
        "username",
        "password",
        "password_file",
        "vhost",
        "tls",
        "exchange_name",
        "exchange_type",
        // In the blocks of the platform's daemons, and of no meaning here.
        "enabled",
        "exchange_durable",
        "startup_connection_delay",
        "uuid",
    ];
    let Some(entries) = Entries::of(node, "the broker, such as `{host: localhost}`", &known, problems) else {
        return Bus::default();
    };
    let url = entries.get("url").and_then(|node| {
        let text = owned(Some(node), "a broker address", problems)?;
        // An address is a secret: the message says what is wrong and never what stands there.
        BrokerAddress::parse(&text)
            .map_err(|error: AddressError| problems.add(node, error.to_string(), None))
            .ok()
    });
    let password = match (entries.get("password"), entries.get("password_file")) {
        (Some(node), _) => owned(Some(node), "a password", problems).map(SecretString::from),
        (None, Some(node)) => owned(Some(node), "a file", problems).and_then(|path| {
            let read = read_password(Path::new(&path));
            let why = |error: ConfigError| match error {
                ConfigError::Unreadable { source, .. } => source.to_string(),
                error => error.to_string(),
            };
            read.map_err(|error| problems.add(node, format!("cannot read `{path}`: {}", why(error)), None))
                .ok()
        }),
        (None, None) => None,
    };
    let hosts = entries.get("hosts").map(|node| nodes(node, problems)).unwrap_or_default();
    if let (Some(node), false) = (entries.get("host"), hosts.is_empty()) {
        problems.add(node, "`host` and `hosts` say the same: leave one of them out", None);
    }
    let (tls, certificates) = entries.get("tls").map(|node| tls(node, problems)).unwrap_or_default();
    Bus {
        url,
        hosts,
        host: owned(entries.get("host"), "a host", problems),
        port: number(entries.get("port"), 1, 65_535, problems),
        username: owned(entries.get("username"), "a user name", problems),
        password,
        // The newest platform has an empty vhost in its files and means the default one.
        vhost: entries
            .get("vhost")
            .filter(|node| !matches!(&node.value, Value::Text(text) if text.is_empty()))
            .and_then(|node| owned(Some(node), "a virtual host", problems)),
        tls,
        certificates,
        exchange_name: owned(entries.get("exchange_name"), "the name of an exchange", problems),
        exchange_type: chosen(entries.get("exchange_type"), &EXCHANGE_TYPES, problems),
    }
}

/// `true`, `false`, or the files that TLS works with.
fn tls(node: &Node, problems: &mut Problems) -> (Option<bool>, Certificates) {
    if let Value::Bool(flag) = node.value {
        return (Some(flag), Certificates::default());
    }
    let known = ["ca_file", "client_certificate_file", "client_key_file"];
    let expected = "`true`, `false`, or files such as `{ca_file: /etc/cti-bridge/ca.pem}`";
    let Some(entries) = Entries::of(node, expected, &known, problems) else {
        return (None, Certificates::default());
    };
    let [ca, client, key] = known.map(|name| owned(entries.get(name), "a file", problems).map(PathBuf::from));
    if let (Some(node), None) = (entries.get("client_key_file"), &client) {
        problems.add(node, "a key is of no use without `client_certificate_file`", None);
    }
    let read = read_certificates(ca.as_deref(), client.as_deref(), key.as_deref());
    let certificates = read.map_err(|error| {
        let text = match &error {
            ConfigError::Unreadable { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        };
        problems.add(node, text, None);
    });
    (Some(true), certificates.unwrap_or_default())
}

/// How much a queue holds.
fn bounds(node: Option<&Node>, problems: &mut Problems) -> Bounds {
    let known = ["max_length", "max_bytes"];
    let what = "bounds such as `{max_length: 100000}`";
    let Some(entries) = node.and_then(|node| Entries::of(node, what, &known, problems)) else {
        return Bounds::default();
    };
    Bounds {
        max_length: number(entries.get("max_length"), 1, u32::MAX.into(), problems),
        max_bytes: number(entries.get("max_bytes"), 1, i64::MAX, problems),
    }
}

/// Into how many parts, and by what.
fn split(node: Option<&Node>, problems: &mut Problems) -> (Option<u8>, Option<SplitBy>) {
    let (known, what) = (["into", "by"], "parts such as `{into: 2, by: routing_key}`");
    let Some(entries) = node.and_then(|node| Entries::of(node, what, &known, problems)) else {
        return (None, None);
    };
    let into = number(entries.get("into"), 1, MOST_PARTS.into(), problems);
    let by =
        parsed(entries.get("by"), "`routing_key` or the name of a header", problems, |text| match text {
            "routing_key" => Some(SplitBy::RoutingKey),
            header => (1..=255).contains(&header.len()).then(|| SplitBy::Header(header.to_owned())),
        });
    (into, by)
}

/// The nodes of a cluster.
fn nodes(node: &Node, problems: &mut Problems) -> Vec<(String, Option<u16>)> {
    let mut nodes = Vec::new();
    for item in list(node, "the hosts of a cluster", problems) {
        let Some(text) = owned(Some(item), "a host", problems) else {
            continue;
        };
        match crate::amqp::node(&text) {
            Ok(node) => nodes.push(node),
            Err(error) => problems.add(item, error.to_string(), None),
        }
    }
    nodes
}

fn texts(node: &Node, what: &str, problems: &mut Problems) -> Vec<String> {
    list(node, what, problems).iter().filter_map(|item| owned(Some(item), what, problems)).collect()
}

fn parsed<T>(
    node: Option<&Node>,
    what: &str,
    problems: &mut Problems,
    parse: impl Fn(&str) -> Option<T>,
) -> Option<T> {
    let node = node?;
    let text = owned(Some(node), what, problems)?;
    let value = parse(&text);
    if value.is_none() {
        problems.add(node, format!("expected {what}, found `{text}`"), None);
    }
    value
}

fn chosen<T: Copy>(node: Option<&Node>, choices: &[(&str, T)], problems: &mut Problems) -> Option<T> {
    let node = node?;
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let text = owned(Some(node), &format!("one of {}", words.join(", ")), problems)?;
    let choice = choices.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice);
    if choice.is_none() {
        let help = did_you_mean(&text, words.iter().copied());
        problems.add(node, format!("expected one of {}, found `{text}`", words.join(", ")), help);
    }
    choice
}

fn number<T: TryFrom<i64>>(node: Option<&Node>, from: i64, to: i64, problems: &mut Problems) -> Option<T> {
    let node = node?;
    match node.value {
        Value::Integer(number) if (from..=to).contains(&number) => T::try_from(number).ok(),
        _ => {
            problems.add(node, format!("expected a whole number from {from} to {to}"), None);
            None
        }
    }
}

fn boolean(node: Option<&Node>, problems: &mut Problems) -> Option<bool> {
    match node?.value {
        Value::Bool(flag) => Some(flag),
        _ => {
            problems.add(node?, "expected `true` or `false`", None);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_only_where_no_secret_can_stand() {
        for secret in [
            "  password: hunter2",
            "  \"password\": 12345",
            "  pasword: hunter2",
            "  url:\n    amqp://u:hunter2@h",
            "  host: amqp://u:hunter2@h",
            "  host: hunter2@h",
            "bus: {port: 0, password: hunter2}",
            "  hunter2",
        ] {
            let shown = without_secrets(secret);
            assert!(!shown.contains("hunter2") && !shown.contains("12345"), "{shown}");
            assert_eq!(shown.lines().count(), secret.lines().count(), "{shown}");
        }
        for public in ["bus:", "queue_type: quorums", "  port: 0", ""] {
            assert_eq!(without_secrets(&format!("{public}\n")), format!("{public}\n"));
        }
    }
}
