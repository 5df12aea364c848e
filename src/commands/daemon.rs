//! What the daemon of these settings is: its translator, and what it needs on its brokers. The commands that speak of
//! the daemon ask here, so that they mean the same one.

use super::{Failure, mappings, settings};
use crate::config::{Config, ConfigError, Identity};
use crate::core::catalog::Catalog;
use crate::core::diagnostic::did_you_mean;
use crate::core::intake::Intake;
use crate::core::message::DeliveryMode;
use crate::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings};
use crate::core::topology::Declare;
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render;

/// The translator. Where no identity is known and none is needed, any will do.
///
/// # Errors
/// When the mapping files cannot be used, or an event to listen for has no rule.
pub fn translator(config: &Config, identity: &Identity) -> Result<Translator, Failure> {
    let mappings = mappings::load(config.builtin_mappings, &config.mappings)?;
    let catalog = Catalog::at(config.modern_version, &mappings);
    let listen = listen(&config.legacy_events, &catalog)?;
    let settings = Settings {
        bridge_id: identity.bridge_id.clone(),
        origin_uuid: identity.origin_uuid.clone(),
        modern_exchange: config.exchange_name.clone(),
        listen,
        unknown_events: config.unknown_events,
        max_hops: config.max_hops,
        delivery_mode: if config.persistent { DeliveryMode::Persistent } else { DeliveryMode::Transient },
        legacy_content_type: config.legacy_content_type.clone(),
        probes: if config.probes { Probes::Answer } else { Probes::Ignore },
    };
    Ok(Translator::new(catalog, settings))
}

/// What `legacy.events` and `--legacy-event` say.
fn listen(events: &[String], catalog: &Catalog) -> Result<Listen, Failure> {
    let (words, names): (Vec<_>, Vec<_>) =
        events.iter().map(String::as_str).partition(|name| ["all", "none"].contains(name));
    if words.contains(&"none")
        && let Some(other) = events.iter().find(|name| *name != "none")
    {
        let message = format!("cannot listen for `none` and for `{}`", render::printable(other));
        let help = "leave one of them out; what the configuration files and the options name adds up";
        return Err(Failure::new(Exit::Misconfigured, message).help(help));
    }
    if let Some(unknown) = names.iter().find(|name| catalog.by_legacy_name(name).is_none()) {
        let help = did_you_mean(unknown, catalog.listed().map(|(name, _)| name))
            .unwrap_or_else(|| "`cti-bridge rules list` shows all of them".into());
        let unknown = render::printable(unknown);
        let message = format!("cannot listen for `{unknown}`: there is no rule for it");
        return Err(Failure::new(Exit::Misconfigured, message).help(help));
    }
    Ok(match words.first() {
        Some(&"none") => Listen::Nothing,
        Some(_) => Listen::All,
        None => Listen::Also(names.into_iter().map(str::to_owned).collect()),
    })
}

/// The translator for who only looks: nobody needs to know who the bridge is.
///
/// # Errors
/// When the mapping files cannot be used.
pub fn anybodys_translator(config: &Config) -> Result<Translator, Failure> {
    let nobody = || {
        Some(Identity {
            origin_uuid: OriginUuid::parse("00000000-0000-0000-0000-000000000000")?,
            bridge_id: BridgeId::parse("nobody")?,
        })
    };
    let identity = config.identity.clone().or_else(nobody);
    let identity = identity.ok_or_else(|| settings::cannot_use(ConfigError::NoOriginUuid))?;
    translator(config, &identity)
}

/// The names and kinds of what it makes on its brokers.
#[must_use]
pub fn intake(config: &Config) -> Intake {
    Intake {
        prefix: config.queue_prefix.clone(),
        queue_kind: config.queue_type,
        modern_exchange_kind: config.exchange_type,
        declare_modern_exchange: if config.declare { Declare::Active } else { Declare::Passive },
        bounds: config.intake,
        quarantine_bounds: config.quarantine,
        bridge_id: config.identity.as_ref().map(|identity| identity.bridge_id.clone()),
        split: config.split.clone(),
    }
}
