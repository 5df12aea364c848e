//! The settings of a command that works with a broker: files, environment and options, one over the other.

use std::path::PathBuf;

use super::Failure;
use crate::amqp::BrokerAddress;
use crate::cli::{BrokerFrom, DaemonFrom};
use crate::config::{self, Bus, Config, ConfigError, Layer};
use crate::core::settings::OriginUuid;
use crate::exit_code::Exit;
use crate::render;

/// The options that say by what a message is translated.
#[must_use]
pub fn layer(from: &DaemonFrom) -> Layer {
    Layer {
        legacy_events: from.legacy_event.iter().filter(|name| !name.is_empty()).cloned().collect(),
        modern_version: from.modern_version,
        unknown_events: from.unknown_events,
        origin_uuid: from.origin_uuid.clone(),
        bridge_id: from.bridge_id.clone(),
        persistent: from.persistent.then_some(true),
        mappings: from.rules.mappings.clone(),
        builtin_mappings: from.rules.no_builtin_mappings.then_some(false),
        ..Layer::default()
    }
}

/// Reads the configuration, with the broker's address and the command's own options over it.
///
/// # Errors
/// When a file or a credential cannot be read, or a setting is not valid.
pub fn read(from: &BrokerFrom, options: Layer) -> Result<Config, Failure> {
    let url = from.amqp_url.as_ref().filter(|url| !url.is_empty());
    let url = url.map(|url| BrokerAddress::parse(url)).transpose();
    let url = url.map_err(|error| Failure::new(Exit::Usage, error))?;
    let file = |path: &'_ Option<PathBuf>| path.clone().filter(|path| !path.as_os_str().is_empty());
    let files = [&from.ca_file, &from.client_certificate_file, &from.client_key_file].map(file);
    let [authorities, client, key] = files.each_ref().map(Option::as_deref);
    let certificates = config::read_certificates(authorities, client, key).map_err(cannot_use)?;
    let options = Layer { bus: Bus { url, certificates, ..Bus::default() }, ..options };
    let xivo_uuid = std::env::var("XIVO_UUID").ok();
    let xivo_uuid = match xivo_uuid.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(OriginUuid::parse(text).ok_or_else(|| {
            Failure::new(Exit::Misconfigured, "the environment variable XIVO_UUID is not a uuid")
        })?),
        None => None,
    };
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    config::read_files(from.config.as_deref())
        .and_then(|files| files.under(options).finish(xivo_uuid, credentials.as_deref()))
        .map_err(cannot_use)
}

/// What to tell about settings that cannot be used.
#[must_use]
pub fn cannot_use(error: ConfigError) -> Failure {
    match &error {
        ConfigError::Invalid { path, text, diagnostics } => {
            let path = path.display().to_string();
            let mistakes = diagnostics.iter().map(|mistake| render::diagnostic(&path, text, mistake));
            Failure::rendered(Exit::Misconfigured, mistakes.collect())
        }
        ConfigError::Unreadable { source, .. } => {
            Failure::new(Exit::NoInput, format!("{error}: {source}"))
        }
        ConfigError::NoOriginUuid => Failure::new(Exit::Misconfigured, error).help(
            "name this server's uuid: `--origin-uuid`, `origin_uuid:` in the configuration, or XIVO_UUID in the \
             environment, where the platform's own daemons find it",
        ),
        ConfigError::SplitByNothing => Failure::new(Exit::Misconfigured, error).help(
            "`by: routing_key`, or the header whose values keep together what has to stay in order, such as \
             `by: tenant_uuid`",
        ),
        ConfigError::NoPart { into } => Failure::new(Exit::Misconfigured, &error)
            .help(format!("name it: `--part`, CTI_BRIDGE_PART or `part:`, from 1 to {into}")),
        ConfigError::NoSuchPart { .. } => Failure::new(Exit::Misconfigured, error)
            .help("`split: {into: …}` says how many there are, the same for all instances"),
        ConfigError::CertificatesWithoutTls(_) => Failure::new(Exit::Misconfigured, error)
            .help("write `amqps://` or `tls: true`, or leave out the CA file and the client certificate"),
        ConfigError::ExchangeOfLegacy(_) | ConfigError::Certificate { .. } => {
            Failure::new(Exit::Misconfigured, error)
        }
    }
}

/// The pattern of all that an account needs, for `rabbitmqctl set_permissions`.
#[must_use]
pub fn permissions(config: &Config) -> String {
    let literal = |text: &str| text.replace('.', "\\.");
    let (prefix, exchange) = (literal(&config.queue_prefix), literal(&config.exchange_name));
    format!("^({prefix}\\..*|{exchange}|xivo-cti|xivo-ami|xivo-status-updates|amq\\.default)$")
}
