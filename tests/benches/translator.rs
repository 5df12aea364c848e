//! The translator whose allocations and time are measured.

use std::fmt::Write;
use std::sync::Arc;

use cti_bridge::core::catalog::{Catalog, MappingFile, Mappings};
use cti_bridge::core::mapping_file;
use cti_bridge::core::message::DeliveryMode;
use cti_bridge::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use cti_bridge::core::translate::Translator;
use cti_bridge::core::version::Version;

pub fn translator(mappings: &Mappings) -> Translator {
    let settings = Settings {
        bridge_id: BridgeId::parse("b1").unwrap(),
        origin_uuid: OriginUuid::parse("u1").unwrap(),
        modern_exchange: "xivo".into(),
        listen: Listen::All,
        unknown_events: UnknownEvents::Pass,
        max_hops: 3,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    Translator::new(Catalog::at(Version::new(19, 5), mappings), settings)
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
