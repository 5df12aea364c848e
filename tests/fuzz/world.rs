//! The rules under test: the built-in ones, and two that use all that a rule may say.

use std::sync::{Arc, LazyLock};

use cti_bridge::commands::mappings;
use cti_bridge::core::catalog::{Catalog, MappingFile};
use cti_bridge::core::mapping_file;
use cti_bridge::core::message::DeliveryMode;
use cti_bridge::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use cti_bridge::core::translate::Translator;
use cti_bridge::core::version::Version;

pub const ORIGIN: &str = "ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3";
pub const BRIDGE: &str = "b1";
pub const MODERN_EXCHANGE: &str = "xivo";
pub const LEGACY_EXCHANGES: [&str; 3] = ["xivo-cti", "xivo-ami", "xivo-status-updates"];

const RULES: &str = r#"
- event: site_{what}_changed
  parameters: {what: [door, window]}
  source: test
  modern:
    name: building_{what}
    routing_key: building.{what}.{id}.{place|raw}
    required_acl: events.buildings.{id}.{level[1]}
    headers: {"user_uuid:{owner}": true, place: "{place|raw}"}
    data:
      id: number
      owner: user
      state: {from: status, values: [[open, opened], [closed, shut], [1, "on"], [true, 1], [null, "off"]]}
- event: site_visited
  source: test
  modern: {name: site_visited, routing_key: "sites.{site}.visited", headers: {"tenant_{tenant}": "{visitor}"}}
"#;

/// The translator at 19.05.
pub static TRANSLATOR: LazyLock<Translator> = LazyLock::new(|| {
    let mut mappings = mappings::load(true, &[]).unwrap();
    let rules = mapping_file::read(RULES).unwrap().into_iter().map(Arc::new).collect();
    mappings.layers.push(vec![MappingFile { path: "test.yaml".into(), text: RULES.into(), rules }]);
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
    Translator::new(Catalog::at(Version::new(19, 5), &mappings), settings)
});
