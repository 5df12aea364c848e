//! A translator as the tests have it that look at the core alone, and rules made up for them.
#![allow(dead_code, reason = "no test needs all of it")]

use std::fmt::Write;
use std::sync::Arc;

use cti_bridge::core::catalog::{Catalog, MappingFile, Mappings};
use cti_bridge::core::mapping_file;
use cti_bridge::core::message::DeliveryMode;
use cti_bridge::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use cti_bridge::core::translate::Translator;
use cti_bridge::core::version::Version;

pub const BRIDGE: &str = "b1";
pub const MODERN_EXCHANGE: &str = "xivo";
pub const ORIGIN: &str = "ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3";

/// At 19.05, and it listens to all.
pub fn translator(mappings: &Mappings) -> Translator {
    let settings = Settings {
        bridge_id: BridgeId::parse(BRIDGE).unwrap(),
        origin_uuid: OriginUuid::parse(ORIGIN).unwrap(),
        modern_exchange: MODERN_EXCHANGE.into(),
        listen: Listen::All,
        unknown_events: UnknownEvents::Pass,
        max_hops: 3,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    Translator::new(Catalog::at(Version::new(19, 5), mappings), settings)
}

/// Rules that use all that a rule may say: the built-in ones rename no field.
pub const MADE_UP: &str = include_str!("made_up.yaml");

pub fn made_up() -> Vec<MappingFile> {
    layer(MADE_UP, 0)
}

/// These rules, and as many more that no event of the measurement needs.
pub fn layer(rules: &str, more: usize) -> Vec<MappingFile> {
    let mut text = rules.to_owned();
    for number in 0..more {
        write!(
            text,
            "- event: site_event_{number}\n  source: a site\n  modern: {{routing_key: site.event_{number}, required_acl: events.site}}\n"
        )
        .unwrap();
    }
    let rules = mapping_file::read(&text).unwrap().into_iter().map(Arc::new).collect();
    vec![MappingFile { path: "site.yaml".into(), text, rules }]
}
