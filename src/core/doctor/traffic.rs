//! Where the platform's events are: on the exchange that the bridge listens to, or on another.

use super::{Check, Patient, State};
use crate::core::site::{Aspect, Destination, Site};

const TOPIC: &str = "traffic";

/// The exchange of events 15.01 to 22.17, and the one since 23.01 (Wazo upgrade notes).
const TOPIC_EXCHANGE: &str = "xivo";
const HEADERS_EXCHANGE: &str = "wazo-headers";

pub(super) fn check(patient: &Patient<'_>, site: &Site) -> Check {
    let own = patient.translator.settings().modern_exchange.as_str();
    let is_seen = site.shows(Aspect::Traffic) && site.shows(Aspect::Exchanges);
    if !is_seen {
        return Check::new(TOPIC, State::Unknown, "how much is published where was not seen")
            .advise("the management API shows it, where the broker keeps statistics");
    }
    let published = |name: &str| site.exchange(name).and_then(|exchange| exchange.published).unwrap_or(0);
    let rivals = [TOPIC_EXCHANGE, HEADERS_EXCHANGE].into_iter().filter(|name| *name != own);
    let rival = rivals.max_by_key(|name| published(name)).unwrap_or(HEADERS_EXCHANGE);
    let (here, there) = (published(own), published(rival));
    let counts = format!("since its statistics began, {here} on `{own}` and {there} on `{rival}`");
    if here == 0 && there == 0 {
        return Check::new(TOPIC, State::Unknown, format!("nothing was published: {counts}"))
            .advise("make a call, and ask again");
    }
    if here >= there {
        return Check::new(TOPIC, State::Ok, format!("the events are on `{own}`: {counts}"));
    }
    let feeds = |binding: &&crate::core::site::Binding| {
        binding.source == rival
            && binding.destination == Destination::Exchange(own.to_owned())
            && binding.key == "#"
    };
    if site.bindings.iter().find(feeds).is_some() {
        let finding = format!("the events are on `{rival}`, which feeds `{own}`: {counts}");
        return Check::new(TOPIC, State::Ok, finding);
    }
    let advice = if rival == HEADERS_EXCHANGE {
        "the platform is of 23.01 or newer: set `modern: {version: …}` to its version"
    } else {
        "the platform is older than 23.01: set `modern: {version: …}` to its version"
    };
    Check::new(TOPIC, State::Fail, format!("the events are on `{rival}`: {counts}")).advise(advice)
}
