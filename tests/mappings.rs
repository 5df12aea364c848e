//! The built-in mapping files, held against the documents: every documented event, in both directions.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;

use cti_bridge::commands::mappings;
use cti_bridge::core::catalog::{Catalog, Mappings};
use cti_bridge::core::examples;
use cti_bridge::core::message::{
    DeliveryMode, HeaderValue, MARK_HEADER, Outcome, Publication, Received, ReceivedProperties,
};
use cti_bridge::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use cti_bridge::core::translate::Translator;
use cti_bridge::core::version::Version;
use serde_json::{Map, Value as Json, json};

/// Both forms of each event, as the documents show them.
const DOCUMENTED: &str = include_str!("golden/documented.jsonl");

/// Another server than that of the documented examples, whose own uuid must win.
const OUR_ORIGIN: &str = "00000000-0000-4000-8000-000000000000";

/// The names in the documents of 13.22 and 19.05, the changelog included. AMI events have any name.
const DOCUMENTED_NAMES: [&str; 53] = [
    "agent_status_update",
    "auth_tenant_created",
    "auth_tenant_deleted",
    "auth_tenant_updated",
    "auth_user_external_auth_added",
    "auth_user_external_auth_authorized",
    "auth_user_external_auth_deleted",
    "call_created",
    "call_ended",
    "call_form_result",
    "call_held",
    "call_resumed",
    "call_updated",
    "chat_message_event",
    "chat_message_received",
    "chat_message_sent",
    "conference_participant_joined",
    "conference_participant_left",
    "conference_participant_muted",
    "conference_participant_talk_started",
    "conference_participant_talk_stopped",
    "conference_participant_unmuted",
    "conference_record_started",
    "conference_record_stopped",
    "endpoint_status_update",
    "favorite_added",
    "favorite_deleted",
    "fax_outbound_created",
    "fax_outbound_failed",
    "fax_outbound_succeeded",
    "fax_outbound_user_created",
    "fax_outbound_user_failed",
    "fax_outbound_user_succeeded",
    "plugin_install_progress",
    "plugin_uninstall_progress",
    "relocate_answered",
    "relocate_completed",
    "relocate_ended",
    "relocate_initiated",
    "service_deregistered_event",
    "service_registered_event",
    "user_created",
    "user_deleted",
    "user_edited",
    "user_status_update",
    "user_voicemail_message_created",
    "user_voicemail_message_deleted",
    "user_voicemail_message_updated",
    "users_forwards_busy_updated",
    "users_forwards_noanswer_updated",
    "users_forwards_unconditional_updated",
    "users_services_dnd_updated",
    "users_services_incallfilter_updated",
];

/// Deleted in 19.05, and known all the same: their readers are told what became of them.
const DELETED_NAMES: [&str; 5] = [
    "chat_message_event",
    "chat_message_received",
    "chat_message_sent",
    "endpoint_status_update",
    "user_status_update",
];

fn builtin() -> Mappings {
    mappings::load(true, &[]).unwrap_or_else(|failure| panic!("{failure}"))
}

fn translator(mappings: &Mappings, version: &str) -> Translator {
    let settings = Settings {
        bridge_id: BridgeId::parse("test").unwrap(),
        origin_uuid: OriginUuid::parse(OUR_ORIGIN).unwrap(),
        modern_exchange: "xivo".into(),
        listen: Listen::All,
        unknown_events: UnknownEvents::Quarantine,
        max_hops: 1,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    Translator::new(Catalog::at(version.parse().unwrap(), mappings), settings)
}

fn vectors() -> Vec<Json> {
    DOCUMENTED.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn received<'m>(routing_key: &'m str, body: &'m [u8]) -> Received<'m> {
    Received { exchange: "", routing_key, properties: ReceivedProperties::default(), body }
}

fn published<'t>(outcome: Outcome<'t>) -> Result<Vec<Publication<'t>>, String> {
    match outcome {
        Outcome::Publish(publications) => Ok(publications),
        outcome => Err(format!("not published: {outcome:?}")),
    }
}

fn header_json(value: &HeaderValue<'_>) -> Json {
    match value {
        HeaderValue::Text(text) => json!(text),
        HeaderValue::Flag(flag) => json!(flag),
    }
}

/// Everything in which translations of this vector differ from it.
fn differences(mappings: &Mappings, vector: &Json) -> Vec<String> {
    let text = |key: &str| vector[key].as_str().unwrap();
    let translator = translator(mappings, text("at"));
    let mut differences = Vec::new();
    let mut same = |what: &str, made: &Json, expected: &Json| {
        if made != expected {
            differences.push(format!("{}: {what}: {made} is not {expected}", text("event")));
        }
    };

    // From legacy to modern, once with the origin of the documented event and once with ours.
    let mut with_origin = vector["legacy"].clone();
    with_origin["origin_uuid"] = vector["modern"]["origin_uuid"].clone();
    let mut with_ours = vector["modern"].clone();
    with_ours["origin_uuid"] = json!(OUR_ORIGIN);
    for (legacy, modern) in [(&with_origin, &vector["modern"]), (&vector["legacy"], &with_ours)] {
        let body = legacy.to_string();
        match published(translator.to_modern(&received("", body.as_bytes()))).as_deref() {
            Ok([publication]) => {
                same("exchange", &json!(publication.exchange), &json!("xivo"));
                same("routing key", &json!(publication.routing_key), &vector["routing_key"]);
                let made: Json = serde_json::from_slice(&publication.body).unwrap();
                same("modern body", &made, modern);
                same("ACL", &made["required_acl"], &vector["required_acl"]);
                let mut expected = vector["headers"].as_object().cloned().unwrap_or_default();
                for key in ["name", "origin_uuid", "required_acl"] {
                    expected.extend(modern.get(key).map(|value| (key.to_owned(), value.clone())));
                }
                expected.insert(MARK_HEADER.into(), json!("test"));
                let headers = &publication.properties.headers;
                let made: Map<String, Json> =
                    headers.iter().map(|(name, value)| (name.to_string(), header_json(value))).collect();
                same("headers", &Json::Object(made), &Json::Object(expected));
            }
            outcome => same("to modern", &json!(format!("{outcome:?}")), &json!("one event")),
        }
    }

    // From modern to legacy: the same body at each address.
    let body = vector["modern"].to_string();
    match published(translator.to_legacy(&received(text("routing_key"), body.as_bytes()))) {
        Ok(publications) => {
            for publication in publications {
                let made: Json = serde_json::from_slice(&publication.body).unwrap();
                same("legacy body", &made, &vector["legacy"]);
                let start = format!("{{\"name\": {}, \"data\": ", vector["legacy"]["name"]);
                let begins_right = publication.body.starts_with(start.as_bytes());
                same("legacy body, in its order", &json!(begins_right), &json!(true));
                let names: Vec<_> = publication.properties.headers.iter().map(|(name, _)| name).collect();
                same("legacy headers", &json!(names), &json!([MARK_HEADER]));
            }
        }
        Err(why) => same("to legacy", &json!(why), &json!("an event")),
    }
    differences
}

#[test]
fn all_examples_hold_and_show_every_event() {
    let mappings = builtin();
    let checked = examples::check(&mappings);
    let failed: Vec<&str> = checked.failed.iter().map(|(_, failure)| failure.message.as_str()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let missing: Vec<&str> = checked.without_example.iter().map(|(_, name)| name.as_str()).collect();
    assert!(missing.is_empty(), "no example shows {missing:?}");
    assert!(checked.examples >= DOCUMENTED_NAMES.len(), "{} examples", checked.examples);
}

#[test]
fn every_documented_event_translates_both_ways_exactly() {
    let mappings = builtin();
    let vectors = vectors();
    let differences: Vec<String> = vectors.iter().flat_map(|vector| differences(&mappings, vector)).collect();
    assert!(differences.is_empty(), "{differences:#?}");

    let shown: HashSet<&str> = vectors.iter().map(|vector| vector["event"].as_str().unwrap()).collect();
    let missing: Vec<_> = DOCUMENTED_NAMES.iter().filter(|name| !shown.contains(*name)).collect();
    assert!(missing.is_empty(), "no documented example of {missing:?}");
}

/// The comparison above can fail: it notices every part of a vector that is altered.
#[test]
fn an_altered_vector_is_noticed() {
    let mappings = builtin();
    type Alter = fn(&mut Json);
    let alterations: [(&str, Alter); 12] = [
        ("routing_key", |vector| vector["routing_key"] = json!("calls.call.other")),
        ("required_acl", |vector| vector["required_acl"] = json!("events.other")),
        ("no required_acl", |vector| {
            vector.as_object_mut().unwrap().remove("required_acl");
        }),
        ("no required_acl in the event", |vector| {
            vector["modern"].as_object_mut().unwrap().remove("required_acl");
        }),
        ("headers", |vector| vector["headers"] = json!({"user_uuid:other": true})),
        ("no headers", |vector| {
            vector.as_object_mut().unwrap().remove("headers");
        }),
        ("legacy data", |vector| vector["legacy"]["data"]["uuid"] = json!("other")),
        ("legacy name", |vector| vector["legacy"]["name"] = json!("relocate_ended")),
        ("legacy key", |vector| vector["legacy"]["origin_uuid"] = json!("other")),
        ("modern data", |vector| vector["modern"]["data"]["added"] = json!(null)),
        ("modern name", |vector| vector["modern"]["name"] = json!("relocate_ended")),
        ("at", |vector| vector["at"] = json!("17.15")),
    ];
    let vectors = vectors();
    let whole = vectors.iter().find(|vector| vector["event"] == "relocate_initiated").unwrap();
    assert_eq!(differences(&mappings, whole), Vec::<String>::new());
    for (what, alter) in alterations {
        let mut vector = whole.clone();
        alter(&mut vector);
        if what == "at" {
            // Before the event came there is no rule, and these translators quarantine what has none.
            assert_eq!(differences(&mappings, &vector).len(), 3, "{what}");
        } else {
            assert_ne!(differences(&mappings, &vector), Vec::<String>::new(), "{what}");
        }
    }
}

#[test]
fn every_documented_name_is_in_the_catalog_of_its_time() {
    let mappings = builtin();
    let listed: HashSet<String> =
        mappings.rules().flat_map(|rule| rule.listed_names()).map(|(name, _)| name).collect();
    let wanted = DOCUMENTED_NAMES.iter().chain(&["auth_tenant_added"]);
    let missing: Vec<_> = wanted.filter(|name| !listed.contains(**name)).collect();
    assert!(missing.is_empty(), "no rule for {missing:?}");

    let catalog = Catalog::at(Version::new(19, 5), &mappings);
    for name in DOCUMENTED_NAMES.into_iter().chain(["auth_tenant_added", "QueueMemberStatus"]) {
        let found = catalog.by_legacy_name(name).unwrap_or_else(|| panic!("no rule for {name} at 19.05"));
        assert_eq!(found.entry.modern.is_none(), DELETED_NAMES.contains(&name), "{name} at 19.05");
    }
    let catalog = Catalog::at(Version::new(19, 4), &mappings);
    for name in DELETED_NAMES {
        let found = catalog.by_legacy_name(name).unwrap_or_else(|| panic!("no rule for {name} at 19.04"));
        assert!(found.entry.modern.is_some(), "{name} at 19.04");
    }
}

#[test]
fn the_first_documented_event_translates_at_every_version() {
    let mappings = builtin();
    let vectors = vectors();
    let vector = vectors.iter().find(|vector| vector["event"] == "call_form_result").unwrap();
    for version in ["13.22", "14.24", "15.01", "16.08", "19.05", "22.17", "26.04"] {
        let mut vector = vector.clone();
        vector["at"] = json!(version);
        assert_eq!(differences(&mappings, &vector), Vec::<String>::new(), "{version}");
    }
}

#[test]
fn legacy_events_go_where_their_readers_are_bound() {
    let mappings = builtin();
    let at = |version: &str, event: &Json| -> Vec<(String, String)> {
        let translator = translator(&mappings, version);
        let body = event.to_string();
        published(translator.to_legacy(&received("", body.as_bytes())))
            .unwrap()
            .into_iter()
            .map(|publication| (publication.exchange.to_owned(), publication.routing_key.into_owned()))
            .collect()
    };
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs.iter().map(|(exchange, key)| ((*exchange).to_owned(), (*key).to_owned())).collect()
    };
    assert_eq!(
        at("19.05", &json!({"name": "call_created", "data": {"user_uuid": "u"}})),
        pairs(&[("xivo-cti", "call_created")])
    );
    assert_eq!(
        at("19.05", &json!({"name": "QueueMemberStatus", "data": {}})),
        pairs(&[("xivo-ami", "QueueMemberStatus")])
    );
    assert_eq!(
        at("19.05", &json!({"name": "agent_status_update", "data": {}})),
        pairs(&[("xivo-cti", "agent_status_update"), ("xivo-status-updates", "status.agent")])
    );
    assert_eq!(
        at("19.04", &json!({"name": "user_status_update", "data": {}})),
        pairs(&[("xivo-status-updates", "status.user"), ("xivo-cti", "user_status_update")])
    );
    let tenant = json!({"name": "auth_tenant_added", "data": {"uuid": "u", "name": "n"}});
    assert_eq!(
        at("19.05", &tenant),
        pairs(&[("xivo-cti", "auth_tenant_added"), ("xivo-cti", "auth_tenant_created")])
    );
}

/// Who may see an event is a matter of the documents: an ACL is a template below `events`, never less.
#[test]
fn every_acl_of_the_mapping_files_is_below_events() {
    use cti_bridge::core::rule::Modern;
    for rule in builtin().rules() {
        let Modern::Face(face) = &rule.modern else { continue };
        let Some(acl) = &face.required_acl else { continue };
        let acl = acl.to_string();
        assert!(acl.starts_with("events.") && !acl.contains(['#', '*']), "{}: {acl}", rule.event);
    }
}
