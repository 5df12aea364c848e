//! The exchanges of the bus, with their real types and arguments against the historical ones.

use super::{Check, Patient, Presence, Presences, State};
use crate::core::plan::exchange_of;
use crate::core::site::{Aspect, Exchange, Site};
use crate::core::step::exchange_differences;
use crate::core::topology::{self, Declare, ExchangeKind};

const TOPIC: &str = "exchange";

pub(super) fn checks(patient: &Patient<'_>, site: &Site, presences: Option<&Presences>) -> Vec<Check> {
    let modern = patient.translator.settings().modern_exchange.as_str();
    let topologies = patient.topologies();
    let needed =
        topologies.iter().flat_map(|topology| topology.exchanges.iter().chain(&topology.own_exchanges));
    needed.map(|needed| check(needed, needed.name == modern, site, presences)).collect()
}

fn check(needed: &topology::Exchange, is_modern: bool, site: &Site, presences: Option<&Presences>) -> Check {
    let name = &needed.name;
    // What the broker says now counts more than what somebody has written down.
    let presence = presences.and_then(|presences| presences.exchanges.get(name.as_ref()));
    match (presence, site.exchange(name)) {
        (Some(Presence::Missing), _) => missing(needed, is_modern),
        (_, Some(found)) => compared(found, needed),
        (Some(Presence::There { .. }), None) => unseen(name),
        (Some(Presence::Refused(text)), None) => {
            Check::new(TOPIC, State::Unknown, format!("the broker does not tell about `{name}`: {text}"))
        }
        (None, None) if site.shows(Aspect::Exchanges) => missing(needed, is_modern),
        (None, None) => Check::new(TOPIC, State::Unknown, format!("`{name}` was not looked for")),
    }
}

fn missing(needed: &topology::Exchange, is_modern: bool) -> Check {
    let name = &needed.name;
    match needed.declare {
        Declare::Passive => Check::new(TOPIC, State::Fail, format!("`{name}` is not there"))
            .advise("start what declares it first, or let the bridge do it with `declare: true`"),
        Declare::Active if is_modern => Check::new(
            TOPIC,
            State::Warn,
            format!("`{name}` is not there, so nothing of the platform has run on this virtual host"),
        )
        .advise("is this the broker, the virtual host and the `modern.version` of the platform?"),
        Declare::Active if needed.kind == ExchangeKind::ConsistentHash => Check::new(
            TOPIC,
            State::Unknown,
            format!(
                "`{name}` is not there yet; `run` declares it where the broker knows the type `{}`",
                needed.kind.as_str()
            ),
        )
        .advise("`rabbitmq-plugins enable rabbitmq_consistent_hash_exchange`"),
        Declare::Active => {
            Check::new(TOPIC, State::Ok, format!("`{name}` is not there yet; `run` declares it"))
        }
    }
}

fn compared(found: &Exchange, needed: &topology::Exchange) -> Check {
    let name = &found.name;
    let wanted = exchange_of(needed);
    let differences = exchange_differences(found, &wanted);
    if differences.is_empty() {
        if found.durable.is_none() || found.auto_delete.is_none() {
            let finding = format!("`{name}` is {}; whether durable was not seen", found.kind);
            return Check::new(TOPIC, State::Unknown, finding).advise(
                "`rabbitmqctl list_exchanges name type durable auto_delete internal arguments` shows it",
            );
        }
        return Check::new(TOPIC, State::Ok, format!("`{name}` is {} and durable", found.kind));
    }
    let words: Vec<String> = differences.iter().map(ToString::to_string).collect();
    let finding = format!("`{name}` is there otherwise: {}", words.join(", "));
    if needed.declare == Declare::Passive {
        return Check::new(TOPIC, State::Warn, finding)
            .advise("the bridge takes it as it is; is `exchange_name` the right one?");
    }
    let advice = if name == "xivo" && found.kind == "fanout" {
        "it is the exchange of configuration events of XiVO up to 14.24, and two exchanges of one name cannot share a \
         virtual host: wait until the upgrade to 15.01 has removed it, or give the bridge another virtual host"
    } else if needed.kind.as_str() != found.kind {
        "nothing can re-type an exchange: delete it if nothing needs it, or give the bridge another virtual host"
    } else {
        "whoever declares it as it should be is refused with 406: delete it if nothing needs it as it is, or give \
         the bridge another virtual host"
    };
    Check::new(TOPIC, State::Fail, finding).advise(advice)
}

fn unseen(name: &str) -> Check {
    Check::new(TOPIC, State::Unknown, format!("`{name}` is there; its type and arguments were not seen")).advise(
        "`rabbitmqctl list_exchanges name type durable auto_delete internal arguments --formatter json | cti-bridge \
         doctor --rabbitmqctl -`, or the plugin rabbitmq_management",
    )
}
