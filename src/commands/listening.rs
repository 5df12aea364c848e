//! Where `record` and `tap` listen: what was asked for, made into an exchange and its binding keys.

use super::{Failure, daemon, runtime};
use crate::amqp::{self, SetUpError, TapError};
use crate::cli::{ListenTo, RulesFrom};
use crate::config::{Config, Identity};
use crate::core::intake;
use crate::core::recording::Source;
use crate::core::settings::{BridgeId, OriginUuid};
use crate::core::topology::{Destination, ExchangeKind};
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render::printable;

/// The exchange and the keys.
///
/// # Errors
/// When keys are needed and none are named, or the broker cannot be asked about an exchange that is not known.
pub fn source(from: &ListenTo, config: &Config, mappings: &RulesFrom) -> Result<Source, Failure> {
    let (name, target_key) = match (&from.target, &from.exchange) {
        (Some(target), _) => match target.split_once(':') {
            Some((exchange, key)) => (exchange.to_owned(), Some(key.to_owned())),
            None => (target.clone(), None),
        },
        (None, Some(exchange)) => (exchange.clone(), None),
        (None, None) => (config.exchange_name.clone(), None),
    };
    if name.is_empty() {
        let message = "the nameless exchange cannot be listened to: the broker allows no bindings there";
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut keys: Vec<String> = target_key.into_iter().chain(from.key.iter().cloned()).collect();
    if from.rules {
        keys = all_keys(&name, config, mappings)?;
        if keys.is_empty() {
            let message = format!("no rule publishes on `{}`", printable(&name));
            return Err(Failure::new(Exit::Usage, message).help("name the keys with `--key`"));
        }
    }
    if keys.is_empty() {
        if is_direct(&name, config)? {
            let message = format!("`{}` is a direct exchange, which knows no wildcards", printable(&name));
            return Err(Failure::new(Exit::Usage, message).help(
                "name the keys with `--key`, or take every key that there is a rule for with `--rules`",
            ));
        }
        // A topic exchange takes it for everything, and all others but a direct one do not look at it.
        keys.push("#".to_owned());
    }
    Ok(Source::Exchange { name, keys })
}

fn is_direct(exchange: &str, config: &Config) -> Result<bool, Failure> {
    if exchange == config.exchange_name {
        return Ok(config.exchange_type == ExchangeKind::Direct);
    }
    if let Some(kind) = intake::known_exchange(exchange) {
        return Ok(kind == ExchangeKind::Direct);
    }
    let asked = runtime::block_on(|| async {
        amqp::is_direct(&config.modern, exchange).await.map_err(|error| cannot_listen(&error))
    })?;
    if asked.is_none() {
        let exchange = printable(exchange);
        eprintln!(
            "note: if `{exchange}` is a direct exchange, nothing will come: name the keys with `--key`"
        );
    }
    Ok(asked == Some(true))
}

/// Every key under which there are events on this exchange.
fn all_keys(exchange: &str, config: &Config, mappings: &RulesFrom) -> Result<Vec<String>, Failure> {
    let everything = Config { legacy_events: vec!["all".to_owned()], probes: false, ..config.clone() };
    let translator = translator(&everything, mappings)?;
    let side = daemon::intake(&everything).legacy_side(&translator);
    let bindings = side
        .bindings
        .into_iter()
        .filter(|binding| binding.source == exchange && matches!(binding.destination, Destination::Queue(_)));
    Ok(bindings.map(|binding| binding.key).collect())
}

/// The daemon's translator; where nobody said who this server is, any identity will do to look at.
///
/// # Errors
/// When the rules cannot be used.
pub fn translator(config: &Config, mappings: &RulesFrom) -> Result<Translator, Failure> {
    let mut config = config.clone();
    config.mappings.extend(mappings.mappings.iter().cloned());
    config.builtin_mappings &= !mappings.no_builtin_mappings;
    let nobody = "00000000-0000-0000-0000-000000000000";
    let identity = match (&config.identity, OriginUuid::parse(nobody), BridgeId::parse(nobody)) {
        (Some(identity), _, _) => identity.clone(),
        (None, Some(origin_uuid), Some(bridge_id)) => Identity { origin_uuid, bridge_id },
        _ => return Err(Failure::new(Exit::Bug, "a uuid is always an id")),
    };
    daemon::translator(&config, &identity)
}

/// What to tell when it is not possible to listen.
#[must_use]
pub fn cannot_listen(error: &TapError) -> Failure {
    match error {
        TapError::Connect(error) => runtime::not_connected(error),
        TapError::Source { source: SetUpError::Missing { .. } } => Failure::new(Exit::Misconfigured, error)
            .help(
                "`rabbitmqctl list_exchanges` shows the exchanges; `--amqp-url` names the virtual host, too",
            ),
        TapError::Source { source: SetUpError::AccessRefused { .. } } => Failure::new(
            Exit::AccessRefused,
            error,
        )
        .help(
            "the account needs read on what it listens to, and configure, write and read on `^amq\\.gen.*$`",
        ),
        TapError::Source { .. } | TapError::TimedOut => Failure::new(Exit::Unreachable, error),
    }
}
