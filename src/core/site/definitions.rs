//! Exported definitions: `rabbitmqctl export_definitions`, or the export of the management interface.
//!
//! They are of the whole broker, or of one virtual host; then their objects do not name it. Exclusive queues are never
//! in them, for they cannot be imported.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::file::{self, FileError, Kind};
use super::row::{BindingFields, Row};
use super::{Aspect, Gap, Site};

/// What exported definitions show of a virtual host; if none is named, of `/` or the only one.
///
/// # Errors
/// When the text is something else, or the virtual host is not in it.
pub fn site(text: &str, vhost: Option<&str>, source: &str) -> Result<Site, FileError> {
    let definitions = file::object(text, Kind::Definitions)?;
    let vhost = chosen(&definitions, vhost)?;
    let rows = |list| rows(&definitions, list, vhost.as_deref());
    let gap = |aspect, what: &str| Gap { aspect, what: what.to_owned(), source: source.to_owned() };
    let mut site = Site {
        broker_version: ["rabbitmq_version", "rabbit_version"]
            .iter()
            .find_map(|field| Row(&definitions).text(field)),
        gaps: vec![
            gap(Aspect::Queues, "exclusive queues, which are never exported"),
            gap(Aspect::Bindings, "bindings of exclusive queues, which an export by HTTP leaves out"),
            gap(Aspect::Consumers, "consumers"),
            gap(Aspect::Connections, "connections"),
            gap(Aspect::Traffic, "how much is published"),
            gap(Aspect::Alarms, "alarms"),
        ],
        ..Site::default()
    };
    for (list, aspect, what) in [
        ("exchanges", Aspect::Exchanges, "exchanges"),
        ("queues", Aspect::Queues, "queues"),
        ("bindings", Aspect::Bindings, "bindings"),
        ("permissions", Aspect::Permissions, "permissions"),
    ] {
        if !definitions.contains_key(list) {
            site.gaps.push(gap(aspect, what));
        }
    }
    for row in rows("exchanges") {
        site.exchanges.extend(row?.exchange()?);
    }
    for row in rows("queues") {
        let mut queue = row?.queue()?;
        queue.exclusive = Some(false);
        site.queues.push(queue);
    }
    for row in rows("bindings") {
        site.bindings.extend(row?.binding(&BindingFields::PLAIN)?);
    }
    for row in rows("permissions") {
        site.permissions.push(row?.permission()?);
    }
    site.vhost = vhost;
    Ok(site)
}

/// The rows of one list that are of this virtual host.
fn rows<'d>(
    definitions: &'d Map<String, Json>,
    list: &str,
    vhost: Option<&'d str>,
) -> impl Iterator<Item = Result<Row<'d>, FileError>> {
    let values = definitions.get(list).map(Json::as_array);
    let broken = matches!(values, Some(None)).then_some(Err(unknown()));
    let rows =
        values.flatten().into_iter().flatten().map(|value| value.as_object().map(Row).ok_or(unknown()));
    broken.into_iter().chain(rows).filter(move |row| row.as_ref().map_or(true, |row| row.is_of(vhost)))
}

const fn unknown() -> FileError {
    FileError::UnknownKind { wanted: Kind::Definitions }
}

/// The virtual host to look at.
fn chosen(definitions: &Map<String, Json>, wanted: Option<&str>) -> Result<Option<String>, FileError> {
    let of = |list: &str, field: &str| -> Vec<&str> {
        let values = definitions.get(list).and_then(Json::as_array).into_iter().flatten();
        values.filter_map(|value| value.get(field)?.as_str()).collect()
    };
    let mut there: BTreeSet<&str> = of("vhosts", "name").into_iter().collect();
    for list in ["exchanges", "queues", "bindings", "permissions"] {
        there.extend(of(list, "vhost"));
    }
    let quoted = || there.iter().map(|vhost| format!("`{vhost}`")).collect::<Vec<_>>().join(", ");
    match wanted {
        Some(wanted) if there.is_empty() || there.contains(wanted) => Ok(Some(wanted.to_owned())),
        Some(wanted) => Err(FileError::NoSuchVhost { wanted: wanted.to_owned(), there: quoted() }),
        None if there.contains("/") => Ok(Some("/".to_owned())),
        None if there.len() > 1 => Err(FileError::WhichVhost { there: quoted() }),
        None => Ok(there.first().map(|vhost| (*vhost).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As `rabbitmqctl export_definitions` of RabbitMQ 3.10.8 writes them, shortened.
    fn whole() -> Json {
        json!({
            "rabbit_version": "3.10.8", "rabbitmq_version": "3.10.8",
            "vhosts": [{"limits": [], "name": "/"}, {"limits": [], "name": "other"}],
            "permissions": [{"configure": ".*", "read": ".*", "user": "guest", "vhost": "/", "write": "^x"}],
            "exchanges": [
                {"arguments": {}, "auto_delete": false, "durable": true, "name": "xivo", "type": "topic", "vhost": "/"},
                {"arguments": {}, "auto_delete": false, "durable": true, "name": "xivo", "type": "fanout", "vhost": "other"},
            ],
            "queues": [{"arguments": {"x-queue-type": "quorum"}, "auto_delete": false, "durable": true, "name": "q",
                        "type": "quorum", "vhost": "/"}],
            "bindings": [{"arguments": {"x-match": "all", "n": 5}, "destination": "q", "destination_type": "queue",
                          "routing_key": "#", "source": "xivo", "vhost": "/"}],
        })
    }

    fn read(value: &Json, vhost: Option<&str>) -> Result<Site, FileError> {
        site(&value.to_string(), vhost, "definitions.json")
    }

    #[test]
    fn a_whole_export_shows_one_virtual_host() {
        let site = read(&whole(), None).unwrap();
        assert_eq!((site.vhost.as_deref(), site.broker_version.as_deref()), (Some("/"), Some("3.10.8")));
        assert_eq!((site.exchanges.len(), site.exchange("xivo").unwrap().kind.as_str()), (1, "topic"));
        assert_eq!(site.queue("q").unwrap().exclusive, Some(false));
        assert_eq!(site.bindings[0].arguments["n"], json!(5));
        assert_eq!(site.permissions[0].write, "^x");
        let other = read(&whole(), Some("other")).unwrap();
        assert_eq!((other.exchange("xivo").unwrap().kind.as_str(), other.queues.len()), ("fanout", 0));
    }

    #[test]
    fn what_is_never_exported_is_a_gap() {
        let gaps: Vec<_> = read(&whole(), None).unwrap().gaps.iter().map(|gap| gap.aspect).collect();
        let expected = [
            Aspect::Queues,
            Aspect::Bindings,
            Aspect::Consumers,
            Aspect::Connections,
            Aspect::Traffic,
            Aspect::Alarms,
        ];
        assert_eq!(gaps, expected);
    }

    #[test]
    fn an_export_of_one_virtual_host_does_not_name_it() {
        let export = json!({
            "rabbit_version": "3.10.8", "parameters": [], "policies": [], "queues": [], "bindings": [],
            "exchanges": [{"name": "xivo", "type": "topic", "durable": true, "auto_delete": false,
                           "internal": false, "arguments": {}}],
        });
        let site = read(&export, None).unwrap();
        assert_eq!((site.vhost.as_deref(), site.exchanges.len()), (None, 1));
        assert!(!site.shows(Aspect::Permissions));
        assert_eq!(read(&export, Some("xivo")).unwrap().vhost.as_deref(), Some("xivo"));
    }

    #[test]
    fn a_virtual_host_that_is_not_there_is_an_error() {
        let error = read(&whole(), Some("xivo")).unwrap_err();
        assert_eq!(error.to_string(), "it shows no virtual host `xivo`, but `/`, `other`");
        let several = json!({"vhosts": [{"name": "a"}, {"name": "b"}], "queues": []});
        assert_eq!(read(&several, None).unwrap_err(), FileError::WhichVhost { there: "`a`, `b`".into() });
    }

    #[test]
    fn anything_else_is_an_error() {
        for (value, error) in [
            (json!([]), FileError::OtherKind { is: Kind::Lists, wanted: Kind::Definitions }),
            (
                json!({"schema": "cti-bridge/site/1"}),
                FileError::OtherKind { is: Kind::Site, wanted: Kind::Definitions },
            ),
            (json!({"users": []}), unknown()),
            (json!({"queues": {}}), unknown()),
            (json!({"queues": [1]}), unknown()),
        ] {
            assert_eq!(read(&value, None).unwrap_err(), error, "{value}");
        }
        let nameless = read(&json!({"exchanges": [{"type": "topic"}]}), None).unwrap_err();
        assert_eq!(nameless.to_string(), "no `name` in a row of the exchanges");
        for broken in ["", "{\"queues\": [{\"na", "null"] {
            assert!(site(broken, None, "f").is_err(), "{broken}");
        }
    }
}
