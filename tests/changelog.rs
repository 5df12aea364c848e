//! The built-in changelog, held against the published one and against the rules.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use cti_bridge::commands::mappings;
use cti_bridge::core::catalog::Mappings;
use cti_bridge::core::changelog::{Basis, Change, Changelog, Kind, Part, Subject, Upgrade};
use cti_bridge::core::history::{DataFrom, Documented, History, How, Published};
use cti_bridge::core::rule::{Modern, Rule};
use cti_bridge::core::version::Version;

use Kind::{Added, Changed, Deleted, Deprecated};

/// Every entry of the changelog in the Message Bus documentation of 19.05, the oldest first.
const PUBLISHED: [(&str, Kind, &[&str]); 17] = [
    ("15.17", Added, &["service_registered_event", "service_deregistered_event"]),
    ("15.20", Added, &["chat_message_event"]),
    ("16.07", Added, &["user_created", "user_edited", "user_deleted"]),
    ("16.08", Added, &["call_held", "call_resumed"]),
    ("16.08", Changed, &["user_status_update"]),
    ("17.01", Added, &["favorite_added", "favorite_deleted"]),
    ("17.08", Added, &["plugin_install_progress", "plugin_uninstall_progress"]),
    ("17.14", Added, &["chat_message_sent", "chat_message_received"]),
    ("17.14", Deprecated, &["chat_message_event"]),
    ("17.16", Added, &["relocate_initiated", "relocate_answered", "relocate_completed", "relocate_ended"]),
    ("17.17", Added, &["auth_user_external_auth_added", "auth_user_external_auth_deleted"]),
    ("18.02", Added, &["auth_user_external_auth_authorized"]),
    ("18.04", Added, &["auth_tenant_created", "auth_tenant_deleted", "auth_tenant_updated"]),
    (
        "19.02",
        Added,
        &[
            "conference_participant_joined",
            "conference_participant_left",
            "conference_participant_muted",
            "conference_participant_unmuted",
        ],
    ),
    (
        "19.03",
        Added,
        &[
            "conference_record_started",
            "conference_record_stopped",
            "conference_participant_talk_started",
            "conference_participant_talk_stopped",
        ],
    ),
    (
        "19.04",
        Added,
        &[
            "fax_outbound_created",
            "fax_outbound_user_created",
            "fax_outbound_succeeded",
            "fax_outbound_user_succeeded",
            "fax_outbound_failed",
            "fax_outbound_user_failed",
        ],
    ),
    (
        "19.05",
        Deleted,
        &[
            "chat_message_event",
            "chat_message_received",
            "chat_message_sent",
            "endpoint_status_update",
            "user_status_update",
        ],
    ),
];

fn builtin() -> (Mappings, Changelog) {
    mappings::load_with_changelog(true, &[]).unwrap_or_else(|failure| panic!("{failure}"))
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

fn upgrade(from: &str, to: &str) -> Upgrade {
    Upgrade::new(Some(version(from)), Some(version(to))).unwrap()
}

#[test]
fn the_published_changelog_is_there_entry_for_entry() {
    let (_, changelog) = builtin();
    let of_it =
        changelog.changes().iter().filter(|change| change.source.starts_with("Message Bus changelog"));
    let told: Vec<(String, Kind, String)> = of_it
        .map(|change| {
            assert_eq!(change.source, format!("Message Bus changelog, {}", change.version));
            assert_eq!(change.basis, Basis::Documented, "{}", change.subject);
            (change.version.to_string(), change.kind, change.subject.event().unwrap().to_owned())
        })
        .collect();
    let published: Vec<(String, Kind, String)> = PUBLISHED
        .iter()
        .flat_map(|(version, kind, names)| {
            names.iter().map(|name| ((*version).to_owned(), *kind, (*name).to_owned()))
        })
        .collect();
    let set = |entries: &[(String, Kind, String)]| entries.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&told), set(&published));
    assert_eq!(told.len(), published.len(), "an entry is there twice");
}

/// Where rules and changelog contradict each other, or one is silent on what the other knows.
fn disagreements(mappings: &Mappings, changelog: &Changelog) -> Vec<String> {
    let history = History::new(mappings, changelog);
    let mut found = Vec::new();
    for change in changelog.changes() {
        let Subject::Event(name) = &change.subject else { continue };
        if !mappings.rules().any(|rule| knows(rule, name)) {
            found.push(format!("{}: no rule knows `{name}`", change.version));
        }
    }
    for rule in mappings.rules() {
        let listed = rule.listed_names().into_iter().map(|(name, _)| name);
        let names: Vec<String> = match rule.listed_names().is_empty() {
            true => vec![rule.event.to_string()],
            false => listed.collect(),
        };
        for name in names {
            let changes = history.changes(&name, Upgrade::ALL);
            let turns_at = |version: Version| changes.iter().any(|told| told.change.version == version);
            let bus_turns_at = |version: Version| {
                changelog.wire_changes(Upgrade::ALL).any(|change| change.version == version)
            };
            for bound in rule.versions.start().into_iter().chain(rule.versions.end()) {
                if !turns_at(bound) {
                    found.push(format!(
                        "{bound}: a rule of `{name}` begins or ends, and nothing happened to it"
                    ));
                }
            }
            let observed = rule.observed.iter().map(|observed| observed.versions);
            for bound in observed.flat_map(|versions| versions.start().into_iter().chain(versions.end())) {
                if !turns_at(bound) && !bus_turns_at(bound) {
                    found.push(format!("{bound}: `{name}` was seen to differ, and nothing happened"));
                }
            }
            let start = rule.versions.start().unwrap_or(Version::new(0, 0));
            let state = history.at(&name, start);
            let is_there = state.published != Published::No || state.documented != Documented::No;
            match &rule.modern {
                Modern::Face(_) if !is_there && state.successors.is_empty() => {
                    found.push(format!("{start}: a rule serves `{name}`, which is not there"));
                }
                Modern::None { .. } if is_there => {
                    found.push(format!("{start}: a rule says that `{name}` is gone, and it is there"));
                }
                Modern::Face(_) | Modern::None { .. } => {}
            }
        }
    }
    found
}

/// Whether the rule is about an event that the changelog calls so, in either era.
fn knows(rule: &Rule, name: &str) -> bool {
    let modern = match &rule.modern {
        Modern::Face(face) => face.name.as_literal() == Some(name),
        Modern::None { .. } => false,
    };
    rule.names(name)
        || rule.event.to_string() == name
        || modern
        || rule.rebuilt_from.as_ref().is_some_and(|from| from.name == name)
}

#[test]
fn rules_and_changelog_agree() {
    let (mappings, changelog) = builtin();
    assert_eq!(disagreements(&mappings, &changelog), Vec::<String>::new());
}

/// The comparison above can fail: it notices when either side is silent.
#[test]
fn a_fact_that_only_one_side_has_is_noticed() {
    let (mappings, changelog) = builtin();
    let without = |at: &str, name: &str| {
        let is_it = |change: &&Change| change.version == version(at) && change.subject.event() == Some(name);
        let kept: Vec<Change> = changelog.changes().iter().filter(|c| !is_it(c)).cloned().collect();
        assert!(kept.len() < changelog.changes().len(), "{at} {name}");
        disagreements(&mappings, &Changelog::of([kept]))
    };
    for (at, name) in [
        ("16.09", "user_status_update"),
        ("19.05", "chat_message_sent"),
        ("17.16", "relocate_ended"),
        ("22.13", "service_registered_event"),
        ("16.15", "call_held"),
        ("20.15", "user_edited"),
        ("14.02", "{ami_event}"),
    ] {
        assert_ne!(without(at, name), Vec::<String>::new(), "{at} {name}");
    }
    let no_headers = changelog.changes().iter().filter(|c| c.subject != Subject::Envelope(Part::Headers));
    let no_headers = no_headers.filter(|c| c.version != version("17.13")).cloned().collect();
    assert_ne!(disagreements(&mappings, &Changelog::of([no_headers])), Vec::<String>::new());

    let mut unheard_of = changelog.changes().to_vec();
    unheard_of[0].subject = Subject::Event("call_form_resul".to_owned());
    assert_ne!(disagreements(&mappings, &Changelog::of([unheard_of])), Vec::<String>::new());
}

#[test]
fn documents_and_wire_are_two_facts() {
    let (mappings, changelog) = builtin();
    let history = History::new(&mappings, &changelog);
    let (yes, no) = (Documented::Yes, Documented::No);
    let cases = [
        ("call_form_result", "13.21", no, Published::No),
        ("call_form_result", "13.22", yes, Published::Yes),
        ("call_form_result", "19.03", yes, Published::Yes),
        ("call_form_result", "19.04", yes, Published::No),
        ("call_form_result", "26.04", yes, Published::No),
        ("user_created", "13.22", no, Published::Yes),
        ("user_created", "16.07", yes, Published::Yes),
        ("endpoint_status_update", "14.24", no, Published::No),
        ("endpoint_status_update", "15.01", yes, Published::Yes),
        ("endpoint_status_update", "19.04", yes, Published::No),
        ("endpoint_status_update", "19.05", no, Published::No),
        ("auth_tenant_created", "18.04", yes, Published::As("auth_tenant_added")),
        ("auth_tenant_added", "18.03", no, Published::No),
        ("auth_tenant_added", "18.04", no, Published::Yes),
        ("chat_message_event", "17.13", yes, Published::Yes),
        ("chat_message_event", "17.14", Documented::Deprecated, Published::Yes),
        ("chat_message_event", "19.05", no, Published::No),
        ("service_registered_event", "22.12", yes, Published::Yes),
        ("service_registered_event", "22.13", yes, Published::No),
        ("service_registered", "22.13", no, Published::Yes),
        ("QueueMemberStatus", "14.01", no, Published::No),
        ("QueueMemberStatus", "14.02", yes, Published::Yes),
        ("never_heard_of", "19.05", no, Published::No),
    ];
    for (name, at, documented, published) in cases {
        let state = history.at(name, version(at));
        assert_eq!((state.documented, state.published), (documented, published), "{name} at {at}");
    }
}

#[test]
fn what_follows_an_event_is_told_with_what_is_lost() {
    let (mappings, changelog) = builtin();
    let history = History::new(&mappings, &changelog);
    let successors = |name: &str, at: &str| -> Vec<(String, How)> {
        let state = history.at(name, version(at));
        state.successors.into_iter().map(|successor| (successor.name, successor.how)).collect()
    };
    let is = |name: &str, how: How| vec![(name.to_owned(), how)];
    assert_eq!(successors("user_status_update", "19.04"), []);
    assert_eq!(successors("user_status_update", "19.05"), is("chatd_presence_updated", How::Rebuilt));
    assert_eq!(successors("service_registered_event", "22.13"), is("service_registered", How::Renamed));
    assert_eq!(successors("chat_message_sent", "19.05"), is("chatd_user_room_message_created", How::Related));
    assert_eq!(successors("call_form_result", "19.05"), []);
    let lost = history.at("user_status_update", version("19.05")).lost;
    assert!(lost.iter().any(|lost| lost.contains("user_id")), "{lost:?}");
    let state = history.at("chat_message_sent", version("19.05"));
    assert!(state.reason.is_some() && !state.lost.is_empty());
    let mut made = history.makes("chatd_presence_updated", version("19.05"));
    made.sort_by(|a, b| a.0.cmp(&b.0));
    let rebuilt = |name: &str| (name.to_owned(), How::Rebuilt);
    assert_eq!(made, [rebuilt("endpoint_status_update"), rebuilt("user_status_update")]);
    assert_eq!(history.makes("chatd_presence_updated", version("19.04")), []);
}

#[test]
fn fields_that_come_and_go_are_known_with_their_basis() {
    let (mappings, changelog) = builtin();
    let history = History::new(&mappings, &changelog);
    let changed = |name: &str, from: &str, to: &str| -> Vec<(Basis, Vec<&str>, Vec<&str>)> {
        let changes = history.changes(name, upgrade(from, to));
        let told = changes.into_iter().filter(|told| told.change.data.is_some());
        told.map(|told| (told.change.basis, told.fields_added, told.fields_removed)).collect()
    };
    let (uuid, id) = (vec!["user_uuid"], vec!["user_id"]);
    assert_eq!(
        changed("user_status_update", "16.07", "16.08"),
        [(Basis::Documented, uuid.clone(), id.clone())]
    );
    assert_eq!(changed("user_status_update", "16.08", "16.09"), [(Basis::Observed, uuid.clone(), id)]);
    assert_eq!(changed("user_status_update", "16.09", "19.05"), []);
    assert_eq!(changed("call_held", "16.08", "19.05"), [(Basis::Observed, uuid, vec![])]);
    assert_eq!(changed("users_services_dnd_updated", "16.04", "26.04").len(), 2);
}

#[test]
fn an_upgrade_holds_its_end_and_not_its_start() {
    let (mappings, changelog) = builtin();
    let history = History::new(&mappings, &changelog);
    let count = |from: &str, to: &str| history.changes("user_status_update", upgrade(from, to)).len();
    assert_eq!(count("19.04", "19.05"), 1);
    assert_eq!(count("19.05", "19.05"), 0);
    assert_eq!(count("19.05", "26.04"), 0);
    assert_eq!(count("19.03", "19.04"), 0);
    assert!(Upgrade::new(Some(version("19.05")), Some(version("19.04"))).is_err());
}

#[test]
fn events_are_followed_from_exchange_to_exchange() {
    let (mappings, changelog) = builtin();
    let history = History::new(&mappings, &changelog);
    let at = |name: &str, at: &str| {
        let shape = history.shapes(name).into_iter().find(|shape| shape.versions.contains(version(at)));
        let shape = shape.unwrap_or_else(|| panic!("{name} at {at}"));
        (shape.exchange, shape.routing_key.map(|key| key.to_string()).unwrap_or_default())
    };
    let on = |exchange: &'static str, key: &str| (Some(exchange), key.to_owned());
    assert_eq!(at("call_form_result", "14.24"), on("xivo-cti", "call_form_result"));
    assert_eq!(at("call_form_result", "15.01"), on("xivo", "call_form_result"));
    assert_eq!(at("call_form_result", "19.04"), (None, String::new()));
    assert_eq!(at("user_status_update", "14.24"), on("xivo-status-updates", "status.user"));
    assert_eq!(at("user_status_update", "15.01"), on("xivo", "status.user"));
    assert_eq!(at("QueueMemberStatus", "14.24"), on("xivo-ami", "QueueMemberStatus"));
    assert_eq!(at("QueueMemberStatus", "19.05"), on("xivo", "ami.QueueMemberStatus"));
    assert_eq!(at("QueueMemberStatus", "23.01"), on("wazo-headers", "ami.QueueMemberStatus"));
    assert_eq!(at("call_created", "22.17"), on("xivo", "calls.call.created"));
    assert_eq!(at("call_created", "23.01"), on("wazo-headers", "calls.call.created"));
    assert_eq!(at("auth_tenant_added", "23.01"), on("xivo", "auth.tenants.{uuid}.created"));
    assert_eq!(at("relocate_answered", "19.05"), on("xivo", "calls.relocate.edited"));
}

#[test]
fn a_shape_has_the_fields_of_the_wire_and_those_of_the_documents() {
    let (mappings, changelog) = builtin();
    let history = History::new(&mappings, &changelog);
    let shapes = history.shapes("user_status_update");
    let at = |at: &str| shapes.iter().find(|shape| shape.versions.contains(version(at))).unwrap();
    assert_eq!(at("16.08").data, ["user_id", "status"]);
    assert_eq!(at("16.08").documented_data, ["xivo_id", "user_uuid", "status"]);
    assert_eq!(at("16.09").data, ["user_uuid", "status"]);
    assert_eq!(at("16.09").data_from, DataFrom::Changelog);
    assert_eq!(at("16.02").required_acl, None);
    assert_eq!(at("16.03").required_acl.as_ref().unwrap().to_string(), "events.statuses.users");
    assert!(at("19.05").data.is_empty());
    let shapes = history.shapes("favorite_added");
    assert_eq!(shapes[0].data_from, DataFrom::Example);
    assert!(shapes[0].data.contains(&"source_entry_id"), "{:?}", shapes[0].data);
    for pair in history.shapes("call_held").windows(2) {
        assert_eq!(pair[0].versions.end(), pair[1].versions.start());
    }
}

#[test]
fn changes_of_the_bus_can_be_asked_for() {
    let (mappings, changelog) = builtin();
    let between = |from: &str, to: &str| -> Vec<(String, Kind)> {
        let changes = changelog.wire_changes(upgrade(from, to));
        changes.map(|change| (change.subject.to_string(), change.kind)).collect()
    };
    for exchange in ["xivo-cti", "xivo-ami", "xivo-status-updates"] {
        let deleted = (format!("exchange {exchange}"), Deleted);
        assert!(between("14.24", "15.01").contains(&deleted), "{exchange}");
    }
    assert_eq!(between("22.17", "23.01"), [("exchange xivo".to_owned(), Changed)]);
    assert_eq!(between("24.01", "24.02"), [("envelope routing_key".to_owned(), Changed)]);
    assert_eq!(between("19.04", "19.05"), []);

    let history = History::new(&mappings, &changelog);
    let meets = |name: &str, from: &str, to: &str| {
        let changes = history.wire_changes(name, upgrade(from, to));
        changes.into_iter().map(|change| change.subject.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(meets("call_created", "22.17", "23.01"), ["exchange xivo"]);
    assert_eq!(meets("auth_tenant_updated", "22.17", "23.01"), Vec::<String>::new());
    assert_eq!(meets("call_form_result", "22.17", "23.01"), Vec::<String>::new(), "nobody publishes it");
    assert!(meets("call_form_result", "14.24", "15.01").contains(&"exchange xivo-cti".to_owned()));
    assert_eq!(meets("call_created", "14.24", "15.01"), Vec::<String>::new(), "it came later");
}

#[test]
fn every_sentence_is_one_to_be_read_in_a_row() {
    let (_, changelog) = builtin();
    for change in changelog.changes() {
        let Some(text) = &change.text else { continue };
        let starts_small = !text.starts_with(|c: char| c.is_uppercase());
        assert!(starts_small && !text.ends_with('.') && !text.contains('\n'), "{text}");
        assert_eq!(text.matches('`').count() % 2, 0, "{text}");
    }
}
