//! How often the translation of an event asks for memory: that is a good part of what an event costs, and does not
//! vary with the machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod translator;

use std::path::PathBuf;

use cti_bridge::commands::mappings;
use cti_bridge::core::catalog::Mappings;
use cti_bridge::core::message::{Outcome, Received, ReceivedProperties};
use cti_bridge::core::translate::Translator;
use translator::{layer, translator};

fn builtin() -> Mappings {
    mappings::load(true, &Vec::<PathBuf>::new()).unwrap_or_else(|_| panic!("the built-in rules"))
}

/// The built-in rules and as many others.
fn with_more_rules(count: usize) -> Mappings {
    let mut mappings = builtin();
    mappings.layers.push(layer("", count));
    mappings
}

fn allocations(translator: &Translator, body: &str, to_legacy: bool) -> u64 {
    let message = Received {
        exchange: if to_legacy { "xivo" } else { "xivo-cti" },
        routing_key: if to_legacy { "calls.call.created" } else { "call_created" },
        properties: ReceivedProperties::default(),
        body: body.as_bytes(),
    };
    let translate =
        || if to_legacy { translator.to_legacy(&message) } else { translator.to_modern(&message) };
    assert!(matches!(translate(), Outcome::Publish(publications) if publications.len() == 1));
    allocation_counter::measure(|| drop(translate())).count_total
}

fn modern(more: usize) -> String {
    let filler = "x".repeat(more);
    format!(
        r#"{{"name": "call_created", "origin_uuid": "u1", "required_acl": "events.calls.7", "data": {{"user_uuid": "7", "note": "{filler}"}}}}"#
    )
}

#[test]
fn to_legacy_takes_four_allocations_whatever_the_size_and_the_rules() {
    for mappings in [builtin(), with_more_rules(10_000)] {
        let translator = translator(&mappings);
        for more in [0, 1_000, 16_000] {
            let count = allocations(&translator, &modern(more), true);
            assert!(count <= 4, "{count} allocations for {more} more bytes");
        }
    }
}

#[test]
fn to_modern_takes_as_many_with_10_000_rules_more() {
    let body = r#"{"name": "call_created", "data": {"user_uuid": "7"}}"#;
    let few = allocations(&translator(&builtin()), body, false);
    let many = allocations(&translator(&with_more_rules(10_000)), body, false);
    assert_eq!(few, many);
    assert!(few <= 24, "{few} allocations");
}
