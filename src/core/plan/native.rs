//! Events for which a binding between two exchanges does what the bridge does, but for extra keys that an old client
//! does not look at: same name, same fields of `data`, same routing key, and nothing else under that key.

use serde_json::Value as Json;

use crate::core::catalog::{Catalog, Entry};
use crate::core::rule::{Address, Values, fill};
use crate::core::site::{Arguments, Binding, Destination};
use crate::core::template::Template;
use crate::core::topology::ExchangeKind;
use crate::core::version::Version;

/// A binding that serves an event.
#[derive(Debug, Clone)]
pub(super) struct NativeBinding<'c> {
    pub(super) event: &'c str,
    pub(super) entry: &'c Entry,
    pub(super) binding: Binding,
}

/// All events of the catalog that need no daemon.
pub(super) fn bindings<'c>(
    catalog: &'c Catalog,
    modern_exchange: &str,
    kind: ExchangeKind,
) -> Vec<NativeBinding<'c>> {
    let mut found = Vec::new();
    for (event, entry) in catalog.listed() {
        for address in &entry.addresses {
            if obstacle(catalog, event, entry, address).is_none() {
                let key = address.routing_key.to_string();
                let (key, arguments) = match kind {
                    // A headers exchange looks at no key and passes it on, and publishers have gone on to set it.
                    ExchangeKind::Headers => (String::new(), by_name(event)),
                    ExchangeKind::Topic
                    | ExchangeKind::Direct
                    | ExchangeKind::Fanout
                    | ExchangeKind::ConsistentHash => (key, Arguments::new()),
                };
                let binding = Binding {
                    source: modern_exchange.to_owned(),
                    destination: Destination::Exchange(address.exchange.clone()),
                    key,
                    arguments,
                };
                found.push(NativeBinding { event, entry, binding });
            }
        }
    }
    found
}

/// The arguments with which a headers exchange delivers events of this name.
pub(super) fn by_name(event: &str) -> Arguments {
    [("name", event), ("x-match", "all")].map(|(key, value)| (key.to_owned(), Json::from(value))).into()
}

/// Why this event needs the daemon at this address.
pub(super) fn obstacle(catalog: &Catalog, event: &str, entry: &Entry, address: &Address) -> Option<String> {
    let face = match &entry.modern {
        Some(face) => face,
        None => {
            return Some(match &entry.rule.rebuilt_from {
                Some(from) => format!("it is made of `{}`", from.name),
                None => "it is no longer sent".to_owned(),
            });
        }
    };
    if let Some(from) = &entry.rule.rebuilt_from {
        return Some(format!("it is also made of `{}`", from.name));
    }
    let version = catalog.version();
    let observed = || entry.rule.observed.iter().filter(move |observed| observed.versions.contains(version));
    if let Some(name) = observed().find_map(|observed| observed.name.as_ref()) {
        return Some(format!("it is called `{name}` on the wire"));
    }
    if face.name.as_literal() != Some(event) {
        return Some(format!("it is called `{}` today", face.name));
    }
    if !face.data.is_empty() {
        return Some("fields of `data` are called or written otherwise".to_owned());
    }
    let modern_key = wire_key(entry, version)?;
    let legacy_key = address.routing_key.to_string();
    match modern_key.as_literal() {
        None => return Some(format!("its key is `{modern_key}`, another one in each message")),
        Some(key) if key != legacy_key => return Some(format!("its key is `{key}`")),
        Some(_) => {}
    }
    let also = catalog.listed().find(|(other, entry)| {
        *other != event && wire_key(entry, version).is_some_and(|key| key.capture(&legacy_key).is_some())
    });
    also.map(|(other, _)| format!("`{other}` comes under the same key"))
}

/// The routing key of the modern event as it is on the wire, where that is known, and as documented elsewhere.
pub(super) fn wire_key(entry: &Entry, version: Version) -> Option<Template> {
    let face = entry.modern.as_ref()?;
    let observed = entry.rule.observed.iter().rev().filter(|observed| observed.versions.contains(version));
    let Some(key) = observed.filter_map(|observed| observed.routing_key.as_ref()).next() else {
        return Some(face.routing_key.clone());
    };
    let values = entry.name.as_literal().and_then(|name| entry.rule.event.capture(name)).unwrap_or_default();
    let values: Vec<(&str, &str)> =
        values.iter().map(|(placeholder, value)| (placeholder.name.as_str(), *value)).collect();
    Some(fill(key, &values))
}

/// The template with this value for the parameter that the rule leaves open.
pub(super) fn with_open_value(entry: &Entry, template: &Template, value: &str) -> Template {
    let is_open =
        |name: &str| entry.rule.parameters.iter().any(|p| p.name == name && p.values == Values::Capitalised);
    template.substitute(|name| is_open(name).then(|| Template::from(value)))
}

/// What a client sees that a legacy publisher did not send (properties and keys by version: library xivo-bus, later
/// wazo-bus, 15.03 to 26.04).
pub(super) fn differences(entry: &Entry, version: Version) -> String {
    let since = |major, minor| version >= Version::new(major, minor);
    let mut keys = Vec::new();
    if since(15, 3) {
        keys.push("`origin_uuid`");
    }
    if since(16, 3) && entry.modern.as_ref().is_some_and(|face| face.required_acl.is_some()) {
        keys.push("`required_acl`");
    }
    if since(21, 8) {
        keys.push("`timestamp`");
    }
    let mut seen = Vec::new();
    if !keys.is_empty() {
        seen.push(format!("{} beside `name` and `data`", keys.join(", ")));
    }
    if since(16, 2) {
        seen.push(
            "content type `application/json`, for which kombu hands out an object and no text".to_owned(),
        );
    }
    if since(22, 13) {
        seen.push("headers, one of which may be null and end pika 0.9.5".to_owned());
    } else if since(17, 13) {
        seen.push("headers".to_owned());
    }
    seen.join("; ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::catalog;
    use super::*;

    fn native(version: (u8, u8), kind: ExchangeKind) -> Vec<String> {
        let catalog = catalog(version.0, version.1);
        let bindings = bindings(&catalog, "xivo", kind);
        bindings.iter().map(|native| crate::core::step::described_binding(&native.binding)).collect()
    }

    #[test]
    fn only_what_has_the_same_name_data_and_key_needs_no_daemon() {
        assert_eq!(
            native((19, 5), ExchangeKind::Topic),
            [
                "`xivo` → exchange `xivo-cti`, key `call_form_result`",
                "`xivo` → exchange `xivo-status-updates`, key `status.agent`",
            ]
        );
    }

    #[test]
    fn a_headers_exchange_is_bound_by_name() {
        assert_eq!(
            native((23, 1), ExchangeKind::Headers)[0],
            "`xivo` → exchange `xivo-cti`, name=call_form_result, x-match=all"
        );
    }

    #[test]
    fn each_obstacle_is_told() {
        let catalog = catalog(19, 5);
        let why = |event: &str| {
            let entry = catalog.by_legacy_name(event).unwrap().entry;
            obstacle(&catalog, event, entry, &entry.addresses[0]).unwrap()
        };
        assert_eq!(why("call_created"), "its key is `calls.call.created`");
        assert_eq!(why("user_status_update"), "it is made of `chatd_presence_updated`");
        assert!(why("users_services_dnd_updated").ends_with("another one in each message"));
    }

    #[test]
    fn what_a_client_sees_besides_grows_with_the_version() {
        let shown = |major, minor| {
            let catalog = catalog(major, minor);
            differences(catalog.by_legacy_name("call_form_result").unwrap().entry, catalog.version())
        };
        assert_eq!(shown(15, 1), "");
        assert_eq!(shown(15, 3), "`origin_uuid` beside `name` and `data`");
        assert!(shown(26, 4).ends_with("headers, one of which may be null and end pika 0.9.5"));
    }
}
