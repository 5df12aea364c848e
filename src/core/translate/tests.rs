//! What becomes of a message, case by case. The rules are made up here, so that each case shows its own.

use std::sync::Arc;

use super::*;
use crate::core::catalog::{MappingFile, Mappings};
use crate::core::mapping_file;
use crate::core::message::{DeliveryMode, ReceivedProperties};
use crate::core::settings::{BridgeId, Probes};
use crate::core::version::Version;

pub(super) const OUR_UUID: &str = "ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3";

pub(super) const RULES: &str = r#"
- event: call_{action}
  parameters: {action: [created, ended]}
  source: test
  modern:
    routing_key: calls.call.{action}
    required_acl: events.calls.{user_uuid}
    headers: {"user_uuid:{user_uuid}": true, tenant_uuid: "{tenant_uuid}"}

- event: call_form_result
  source: test
  legacy: {listen: true}
  modern: {routing_key: call_form_result}

- event: fax_sent
  source: test
  modern: {routing_key: "faxes.{id|raw}.sent"}

- event: conference_joined
  source: test
  modern:
    routing_key: conferences.{conference_id}.{to[1]}.joined
    required_acl: events.{routing_key}

- event: agent_status_update
  source: test
  legacy:
    also: [{exchange: xivo-status-updates, routing_key: status.agent}]
    content_type: application/json
  modern: {routing_key: status.agent}

- event: presence_updated
  source: test
  modern:
    name: chatd_presence
    routing_key: chatd.users.{uuid}.presences
    required_acl: events.{routing_key}
    data:
      uuid: user_uuid
      state: {from: status, values: [[away, away], [busy, unavailable], [1, on], [true, yes], [null, none]]}

- event: "{ami_event}"
  parameters: {ami_event: capitalised}
  source: test
  legacy: {exchange: xivo-ami}
  modern: {routing_key: "ami.{ami_event}"}

- event: user_status_update
  source: test
  legacy: {exchange: xivo-status-updates, routing_key: status.user, also: [{exchange: xivo-cti}]}
  modern: none
  reason: removed in 19.05
  rebuilt_from:
    name: chatd_presence_updated
    data: {uuid: user_uuid, state: {from: status, values: {available: available, disconnected: invisible}}}

- event: endpoint_status_update
  source: test
  modern: none
  reason: removed in 19.05
  rebuilt_from:
    name: chatd_presence_updated
    each: lines
    data: {id: endpoint_id, state: {from: status, values: [[1, talking], [1, progressing], [8, ringing]]}}
"#;

fn file(text: &str) -> MappingFile {
    let rules = mapping_file::read(text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"));
    MappingFile {
        path: "test.yaml".into(),
        text: text.into(),
        rules: rules.into_iter().map(Arc::new).collect(),
    }
}

pub(super) fn settings() -> Settings {
    Settings {
        bridge_id: BridgeId::parse("b1").unwrap(),
        origin_uuid: OriginUuid::parse(OUR_UUID).unwrap(),
        modern_exchange: "xivo".into(),
        listen: Listen::All,
        unknown_events: UnknownEvents::Pass,
        max_hops: 3,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    }
}

pub(super) fn layered(texts: &[&str], settings: Settings) -> Translator {
    let mappings = Mappings { layers: texts.iter().map(|text| vec![file(text)]).collect() };
    assert_eq!(mappings.conflicts().len(), 0);
    Translator::new(Catalog::at(Version::new(19, 5), &mappings), settings)
}

pub(super) fn translator() -> Translator {
    layered(&[RULES], settings())
}

pub(super) fn message(body: &str) -> Received<'_> {
    Received {
        exchange: "",
        routing_key: "",
        properties: ReceivedProperties::default(),
        body: body.as_bytes(),
    }
}

fn marked<'m>(body: &'m str, mark: &'m str) -> Received<'m> {
    let properties = ReceivedProperties { mark: Mark::Text(mark), ..ReceivedProperties::default() };
    Received { properties, ..message(body) }
}

fn publications(outcome: Outcome<'_>) -> Vec<Publication<'_>> {
    match outcome {
        Outcome::Publish(publications) => publications,
        outcome => panic!("not published: {outcome:?}"),
    }
}

fn publication(outcome: Outcome<'_>) -> Publication<'_> {
    let mut publications = publications(outcome);
    assert_eq!(publications.len(), 1, "{publications:#?}");
    publications.remove(0)
}

fn refusal(outcome: Outcome<'_>) -> Refusal<'_> {
    match outcome {
        Outcome::Refused(refusal) => refusal,
        outcome => panic!("not refused: {outcome:?}"),
    }
}

fn text(publication: &Publication<'_>) -> String {
    String::from_utf8(publication.body.clone()).unwrap()
}

fn header<'p>(publication: &'p Publication<'_>, name: &str) -> Option<&'p HeaderValue<'p>> {
    publication.properties.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value)
}

fn mark_of(publication: &Publication<'_>) -> String {
    match header(publication, MARK_HEADER) {
        Some(HeaderValue::Text(mark)) => mark.to_string(),
        other => panic!("no mark: {other:?}"),
    }
}

mod forms {
    use super::*;

    #[test]
    fn a_modern_event_has_four_keys_in_their_order() {
        let translator = translator();
        let body = r#"{"name":"call_created","data":{"user_uuid":"u1","tenant_uuid":"t1","x":1.0}}"#;
        let made = publication(translator.to_modern(&message(body)));
        assert_eq!((made.exchange, &*made.routing_key), ("xivo", "calls.call.created"));
        assert_eq!(
            text(&made),
            format!(
                r#"{{"name": "call_created", "origin_uuid": "{OUR_UUID}", "required_acl": "events.calls.u1", "data": {{"user_uuid":"u1","tenant_uuid":"t1","x":1.0}}}}"#
            )
        );
        let names: Vec<&str> = made.properties.headers.iter().map(|(name, _)| name.as_ref()).collect();
        let expected = ["name", "origin_uuid", "required_acl", "user_uuid:u1", "tenant_uuid", MARK_HEADER];
        assert_eq!(names, expected);
        assert_eq!(header(&made, "user_uuid:u1"), Some(&HeaderValue::Flag(true)));
        assert_eq!(header(&made, "tenant_uuid"), Some(&HeaderValue::Text("t1".into())));
    }

    #[test]
    fn without_an_acl_in_the_rule_there_is_no_such_key() {
        let translator = translator();
        let made = publication(translator.to_modern(&message(r#"{"name":"call_form_result"}"#)));
        let expected =
            format!(r#"{{"name": "call_form_result", "origin_uuid": "{OUR_UUID}", "data": null}}"#);
        assert_eq!(text(&made), expected);
        assert_eq!(header(&made, "required_acl"), None);
    }

    #[test]
    fn a_legacy_event_has_two_keys_and_no_more() {
        let translator = translator();
        let body =
            r#"{"required_acl":null,"data":{"a":1},"name":"call_ended","origin_uuid":"u","timestamp":1}"#;
        let made = publication(translator.to_legacy(&message(body)));
        assert_eq!((made.exchange, &*made.routing_key), ("xivo-cti", "call_ended"));
        assert_eq!(text(&made), r#"{"name": "call_ended", "data": {"a":1}}"#);
    }

    #[test]
    fn without_data_there_is_null_whatever_else_is_there() {
        let translator = translator();
        let body = r#"{"name":"call_form_result","required_acl":"events.all","origin_uuid":"u"}"#;
        let made = publication(translator.to_legacy(&message(body)));
        assert_eq!(text(&made), r#"{"name": "call_form_result", "data": null}"#);
    }

    #[test]
    fn a_legacy_event_is_ascii() {
        let translator = translator();
        let body = r#"{"name":"été","data":{"ville":"Québec \u00e9","smile":"😀","😀":"\ud83d"}}"#;
        let made = publication(translator.to_legacy(&message(body)));
        assert_eq!(made.routing_key, "été");
        assert_eq!(
            text(&made),
            r#"{"name": "\u00e9t\u00e9", "data": {"ville":"Qu\u00e9bec \u00e9","smile":"\ud83d\ude00","\ud83d\ude00":"\ud83d"}}"#
        );
    }

    #[test]
    fn data_passes_as_it_is_written() {
        let translator = translator();
        let data = r#"{"n":123456789012345678901234567890, "f":1.00, "e":1E5, "a":1,"a":2, "s":"\/\ud800"}"#;
        let body = format!(r#"{{"name":"call_form_result","data":{data}}}"#);
        for made in [translator.to_modern(&message(&body)), translator.to_legacy(&message(&body))] {
            assert!(text(&publication(made)).ends_with(&format!(r#""data": {data}}}"#)));
        }
    }

    #[test]
    fn every_address_of_a_rule_gets_the_same_body() {
        let translator = translator();
        let body = r#"{"name":"agent_status_update","data":{"agent_id":1}}"#;
        let made = publications(translator.to_legacy(&message(body)));
        let places: Vec<_> = made.iter().map(|made| (made.exchange, made.routing_key.as_ref())).collect();
        assert_eq!(places, [("xivo-cti", "agent_status_update"), ("xivo-status-updates", "status.agent")]);
        for made in &made {
            assert_eq!(text(made), r#"{"name": "agent_status_update", "data": {"agent_id":1}}"#);
            assert_eq!(made.properties.content_type, Some("application/json"));
        }
    }

    #[test]
    fn an_ami_event_keeps_its_name_as_its_key() {
        let translator = translator();
        let body = r#"{"name":"QueueMemberStatus","data":{}}"#;
        let made = publication(translator.to_legacy(&message(body)));
        assert_eq!((made.exchange, &*made.routing_key), ("xivo-ami", "QueueMemberStatus"));
        let made = publication(translator.to_modern(&message(body)));
        assert_eq!((made.exchange, &*made.routing_key), ("xivo", "ami.QueueMemberStatus"));
        assert_eq!(header(&made, "name"), Some(&HeaderValue::Text("QueueMemberStatus".into())));
    }

    #[test]
    fn an_ami_name_that_is_no_word_does_not_reach_a_topic_exchange() {
        let translator = translator();
        for name in ["Queue#", "A*", "#".repeat(3).as_str()] {
            let body = format!(r#"{{"name":"{name}","data":{{}}}}"#);
            let reason = refusal(translator.to_modern(&message(&body))).reason;
            assert!(matches!(reason, Reason::UnsafeValue | Reason::UnknownEvent), "{name}: {reason:?}");
        }
        let refusal = refusal(translator.to_modern(&message(r#"{"name":"A.b","data":{}}"#)));
        assert_eq!(refusal.reason, Reason::UnknownEvent);
    }

    #[test]
    fn data_that_is_no_object_passes_where_no_field_is_needed() {
        let translator = translator();
        for data in ["null", "[1]", "\"x\"", "4"] {
            let body = format!(r#"{{"name":"call_form_result","data":{data}}}"#);
            publication(translator.to_modern(&message(&body)));
            publication(translator.to_legacy(&message(&body)));
            let body = format!(r#"{{"name":"call_created","data":{data}}}"#);
            let refusal = refusal(translator.to_modern(&message(&body)));
            assert_eq!((refusal.reason, refusal.rule), (Reason::BadField, Some("call_{action}")));
        }
    }
}

mod marks {
    use super::*;

    const BODY: &str = r#"{"name":"call_form_result","data":{}}"#;

    #[test]
    fn what_we_published_ourselves_is_an_echo() {
        let translator = translator();
        for mark in ["b1", "b0,b1", "b1,b2", "b0,b1,b2,b3,b4,b5"] {
            assert_eq!(translator.to_modern(&marked(BODY, mark)), Outcome::Echo, "{mark}");
            assert_eq!(translator.to_legacy(&marked(BODY, mark)), Outcome::Echo, "{mark}");
        }
    }

    #[test]
    fn what_we_publish_is_an_echo_to_us() {
        let translator = translator();
        let legacy = publication(translator.to_legacy(&message(BODY)));
        let body = text(&legacy);
        assert_eq!(translator.to_modern(&marked(&body, &mark_of(&legacy))), Outcome::Echo);
        let modern = publication(translator.to_modern(&message(BODY)));
        let body = text(&modern);
        assert_eq!(translator.to_legacy(&marked(&body, &mark_of(&modern))), Outcome::Echo);
    }

    #[test]
    fn what_another_bridge_published_passes_and_lists_both() {
        let translator = translator();
        assert_eq!(mark_of(&publication(translator.to_modern(&marked(BODY, "b0")))), "b0,b1");
        assert_eq!(mark_of(&publication(translator.to_legacy(&marked(BODY, "b0,b11")))), "b0,b11,b1");
        assert_eq!(mark_of(&publication(translator.to_legacy(&message(BODY)))), "b1");
    }

    #[test]
    fn a_mark_that_no_bridge_wrote_neither_hides_nor_stops_an_event() {
        let translator = translator();
        let long = vec!["a"; 1500].join(",");
        for forged in ["", ",", "b0,,b1", " b1", "b1;b2", "b\u{0}1", "é", "b1\n", long.as_str()] {
            let made = publication(translator.to_modern(&marked(BODY, forged)));
            assert_eq!(mark_of(&made), "b1", "{forged:?}");
        }
        let properties = ReceivedProperties { mark: Mark::NotText, ..ReceivedProperties::default() };
        let made = translator.to_legacy(&Received { properties, ..message(BODY) });
        assert_eq!(mark_of(&publication(made)), "b1");
    }

    #[test]
    fn more_bridges_than_max_hops_are_too_many() {
        let translator = translator();
        publication(translator.to_legacy(&marked(BODY, "a,b,c")));
        let refusal = refusal(translator.to_legacy(&marked(BODY, "a,b,c,d")));
        assert_eq!((refusal.reason, refusal.rule), (Reason::TooManyHops, None));
    }
}

mod unknown {
    use super::*;

    const BODY: &str = r#"{"name":"brand_new","origin_uuid":"u","required_acl":null,"data":{"a":1}}"#;

    fn with(unknown_events: UnknownEvents) -> Translator {
        layered(&[RULES], Settings { unknown_events, ..settings() })
    }

    #[test]
    fn a_modern_event_without_a_rule_passes_in_the_generic_form() {
        let translator = with(UnknownEvents::Pass);
        let made = publication(translator.to_legacy(&message(BODY)));
        assert_eq!((made.exchange, &*made.routing_key), ("xivo-cti", "brand_new"));
        assert_eq!(text(&made), r#"{"name": "brand_new", "data": {"a":1}}"#);
        assert_eq!(mark_of(&made), "b1");
    }

    #[test]
    fn it_goes_to_quarantine_or_is_dropped_where_the_configuration_says_so() {
        let translator = with(UnknownEvents::Quarantine);
        assert_eq!(refusal(translator.to_legacy(&message(BODY))).reason, Reason::UnknownEvent);
        assert_eq!(with(UnknownEvents::Drop).to_legacy(&message(BODY)), Outcome::Dropped);
    }

    #[test]
    fn what_is_only_rebuilt_from_is_dropped_or_quarantined_as_unknown_but_still_rebuilt() {
        let body = r#"{"name":"chatd_presence_updated","data":{"uuid":"u","state":"available","lines":[]}}"#;
        let names = |translator: &Translator| -> Vec<String> {
            publications(translator.to_legacy(&message(body)))
                .into_iter()
                .map(|made| format!("{} {}", made.exchange, made.routing_key))
                .collect()
        };
        let rebuilt = ["xivo-status-updates status.user", "xivo-cti user_status_update"];
        assert_eq!(names(&with(UnknownEvents::Drop)), rebuilt);
        assert_eq!(names(&with(UnknownEvents::Pass))[0], "xivo-cti chatd_presence_updated");
        assert_eq!(names(&with(UnknownEvents::Pass))[1..], rebuilt);
    }

    #[test]
    fn a_legacy_event_without_a_rule_always_goes_to_quarantine() {
        for unknown in [UnknownEvents::Pass, UnknownEvents::Quarantine, UnknownEvents::Drop] {
            let translator = with(unknown);
            let refusal = refusal(translator.to_modern(&message(BODY)));
            assert_eq!((refusal.reason, refusal.rule), (Reason::UnknownEvent, None));
        }
    }
}

mod listening {
    use super::*;

    fn only(names: &[&str]) -> Translator {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        layered(&[RULES], Settings { listen: Listen::Also(names), ..settings() })
    }

    fn came_in_with<'m>(routing_key: &'m str, body: &'m str) -> Received<'m> {
        Received { exchange: "xivo-cti", routing_key, ..message(body) }
    }

    #[test]
    fn what_legacy_programs_published_is_listened_for_without_being_named() {
        let translator = only(&[]);
        publication(
            translator.to_modern(&came_in_with("call_form_result", r#"{"name":"call_form_result"}"#)),
        );
    }

    #[test]
    fn who_listens_for_nothing_drains_what_waits_even_of_the_default_events() {
        let deaf = layered(&[RULES], Settings { listen: Listen::Nothing, ..settings() });
        let form = came_in_with("call_form_result", r#"{"name":"call_form_result"}"#);
        assert_eq!(deaf.to_modern(&form), Outcome::Dropped);
    }

    #[test]
    fn a_stale_binding_of_our_own_is_drained_in_silence() {
        let body = r#"{"name":"call_created","data":{"user_uuid":"u","tenant_uuid":"t"}}"#;
        assert_eq!(only(&[]).to_modern(&came_in_with("call_created", body)), Outcome::Dropped);
        publication(only(&["call_created"]).to_modern(&came_in_with("call_created", body)));
        let ami = r#"{"name":"Newchannel","data":{}}"#;
        assert_eq!(only(&[]).to_modern(&came_in_with("Newchannel", ami)), Outcome::Dropped);
        publication(only(&["Newchannel"]).to_modern(&came_in_with("Newchannel", ami)));
    }

    #[test]
    fn an_event_under_the_key_of_another_one_is_smuggled() {
        let translator = only(&[]);
        let body = r#"{"name":"call_created","data":{"user_uuid":"u","tenant_uuid":"t"}}"#;
        let refusal = refusal(translator.to_modern(&came_in_with("call_form_result", body)));
        assert_eq!((refusal.reason, refusal.rule), (Reason::NotListenedFor, Some("call_{action}")));
    }

    #[test]
    fn every_address_of_an_event_is_its_own_key() {
        let body = r#"{"name":"agent_status_update","data":{}}"#;
        for key in ["agent_status_update", "status.agent"] {
            assert_eq!(only(&[]).to_modern(&came_in_with(key, body)), Outcome::Dropped, "{key}");
        }
    }
}

mod removed {
    use super::*;

    #[test]
    fn a_legacy_event_that_is_no_longer_there_is_refused_with_the_reason_of_the_rule() {
        let translator = translator();
        let refusal = refusal(translator.to_modern(&message(r#"{"name":"user_status_update","data":{}}"#)));
        assert_eq!(
            refusal,
            Refusal {
                reason: Reason::RemovedEvent,
                detail: "removed in 19.05".into(),
                rule: Some("user_status_update")
            }
        );
    }

    #[test]
    fn should_one_come_from_the_modern_side_it_goes_to_its_legacy_addresses() {
        let translator = translator();
        let made =
            publications(translator.to_legacy(&message(r#"{"name":"user_status_update","data":{"a":1}}"#)));
        let places: Vec<_> = made.iter().map(|made| (made.exchange, made.routing_key.as_ref())).collect();
        assert_eq!(places, [("xivo-status-updates", "status.user"), ("xivo-cti", "user_status_update")]);
    }

    fn rebuilt(data: &str) -> Result<Vec<(String, String)>, Reason> {
        let translator = layered(&[RULES], Settings { unknown_events: UnknownEvents::Drop, ..settings() });
        let body = format!(r#"{{"name":"chatd_presence_updated","data":{data}}}"#);
        match translator.to_legacy(&message(&body)) {
            Outcome::Publish(made) => {
                Ok(made.iter().map(|made| (made.routing_key.to_string(), text(made))).collect())
            }
            Outcome::Refused(refusal) | Outcome::Partly(_, refusal) => Err(refusal.reason),
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn its_successor_is_turned_into_it_and_into_one_event_per_line() {
        let data = r#"{"uuid":"u1","state":"invisible","lines":[{"id":67,"state":"progressing"},{"id":68,"state":"ringing","more":1}]}"#;
        let user = r#"{"name": "user_status_update", "data": {"user_uuid": "u1", "status": "disconnected"}}"#;
        let line = |id: u32, status: u32| {
            let body = format!(
                r#"{{"name": "endpoint_status_update", "data": {{"endpoint_id": {id}, "status": {status}}}}}"#
            );
            ("endpoint_status_update".to_owned(), body)
        };
        assert_eq!(
            rebuilt(data).unwrap(),
            [
                ("status.user".to_owned(), user.to_owned()),
                ("user_status_update".to_owned(), user.to_owned()),
                line(67, 1),
                line(68, 8),
            ]
        );
    }

    #[test]
    fn what_cannot_be_rebuilt_stops_nothing_else_that_comes_of_the_event() {
        let translator = translator();
        let body = r#"{"name":"chatd_presence_updated","data":{"uuid":"u","state":"unheard of","lines":[{"id":1,"state":"talking"}]}}"#;
        let Outcome::Partly(made, refusal) = translator.to_legacy(&message(body)) else { panic!("partly") };
        let keys: Vec<_> = made.iter().map(|made| made.routing_key.as_ref()).collect();
        assert_eq!(keys, ["chatd_presence_updated", "endpoint_status_update"]);
        assert_eq!((refusal.reason, refusal.rule), (Reason::BadField, Some("user_status_update")));
    }

    #[test]
    fn one_event_does_not_become_thousands() {
        let lines = |count: usize| vec![r#"{"id":1,"state":"talking"}"#; count].join(",");
        let data = |count| format!(r#"{{"uuid":"u","state":"available","lines":[{}]}}"#, lines(count));
        assert!(rebuilt(&data(256)).is_ok());
        assert_eq!(rebuilt(&data(257)), Err(Reason::TooManyEvents));
    }

    #[test]
    fn what_cannot_be_rebuilt_whole_is_told() {
        let good_line = r#"[{"id":1,"state":"talking"}]"#;
        for data in [
            r#"null"#.to_owned(),
            format!(r#"{{"state":"available","lines":{good_line}}}"#),
            format!(r#"{{"uuid":"u","uuid":"v","state":"available","lines":{good_line}}}"#),
            format!(r#"{{"uuid":"u","state":"unheard of","lines":{good_line}}}"#),
            r#"{"uuid":"u","state":"available"}"#.to_owned(),
            r#"{"uuid":"u","state":"available","lines":{}}"#.to_owned(),
            r#"{"uuid":"u","state":"available","lines":[1]}"#.to_owned(),
            r#"{"uuid":"u","state":"available","lines":[{"id":1}]}"#.to_owned(),
            r#"{"uuid":"u","state":"available","lines":[{"id":1,"state":"on fire"}]}"#.to_owned(),
        ] {
            assert_eq!(rebuilt(&data), Err(Reason::BadField), "{data}");
        }
    }
}

mod data {
    use super::*;

    fn to_modern(data: &str) -> Result<String, Reason> {
        let translator = translator();
        let body = format!(r#"{{"name":"presence_updated","data":{data}}}"#);
        match translator.to_modern(&message(&body)) {
            Outcome::Publish(made) => Ok(text(&made[0]).split_once(r#""data": "#).unwrap().1.to_owned()),
            Outcome::Refused(refusal) => Err(refusal.reason),
            outcome => panic!("{outcome:?}"),
        }
    }

    fn to_legacy(data: &str) -> Result<String, Reason> {
        let translator = translator();
        let body = format!(r#"{{"name":"chatd_presence","data":{data}}}"#);
        match translator.to_legacy(&message(&body)) {
            Outcome::Publish(made) => {
                assert_eq!(made[0].routing_key, "presence_updated");
                Ok(text(&made[0]).split_once(r#""data": "#).unwrap().1.to_owned())
            }
            Outcome::Refused(refusal) => Err(refusal.reason),
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn fields_are_renamed_and_all_others_pass_in_their_places() {
        assert_eq!(
            to_modern(r#"{"b":1.0,"user_uuid":"u","a":[1, 2]}"#).unwrap(),
            r#"{"b": 1.0, "uuid": "u", "a": [1, 2]}}"#
        );
        assert_eq!(
            to_legacy(r#"{"b":1.0,"uuid":"u","a":[1, 2]}"#).unwrap(),
            r#"{"b": 1.0, "user_uuid": "u", "a": [1, 2]}}"#
        );
    }

    #[test]
    fn values_are_exchanged_both_ways_and_kinds_are_kept_apart() {
        let pairs = [
            (r#""away""#, r#""away""#),
            (r#""busy""#, r#""unavailable""#),
            ("1", r#""on""#),
            ("true", r#""yes""#),
            ("null", r#""none""#),
        ];
        for (legacy, modern) in pairs {
            let made = to_modern(&format!(r#"{{"user_uuid":"u","status":{legacy}}}"#)).unwrap();
            assert_eq!(made, format!(r#"{{"uuid": "u", "state": {modern}}}}}"#));
            let made = to_legacy(&format!(r#"{{"uuid":"u","state":{modern}}}"#)).unwrap();
            assert_eq!(made, format!(r#"{{"user_uuid": "u", "status": {legacy}}}}}"#));
        }
        assert_eq!(to_modern(r#"{"user_uuid":"u","status":"\u0062usy"}"#).unwrap(), {
            r#"{"uuid": "u", "state": "unavailable"}}"#
        });
        for other in [r#""1""#, "1.0", "2", r#""true""#, "false", r#""null""#, "[]", "{}", r#""Busy""#] {
            let data = format!(r#"{{"user_uuid":"u","status":{other}}}"#);
            assert_eq!(to_modern(&data), Err(Reason::BadField), "{other}");
        }
        assert_eq!(to_legacy(r#"{"uuid":"u","state":"busy"}"#), Err(Reason::BadField));
    }

    #[test]
    fn two_fields_never_become_one() {
        assert_eq!(to_modern(r#"{"user_uuid":"u","uuid":"v"}"#), Err(Reason::BadField));
        assert_eq!(to_legacy(r#"{"user_uuid":"u","uuid":"v"}"#), Err(Reason::BadField));
        assert_eq!(to_legacy(r#"{"uuid":"u","uuid":"v"}"#), Err(Reason::BadField));
    }

    #[test]
    fn a_renamed_field_fills_its_placeholder() {
        let translator = translator();
        let body = r#"{"name":"presence_updated","data":{"user_uuid":"u1","status":"busy"}}"#;
        let made = publication(translator.to_modern(&message(body)));
        assert_eq!(made.routing_key, "chatd.users.u1.presences");
        assert_eq!(header(&made, "name"), Some(&HeaderValue::Text("chatd_presence".into())));
        assert_eq!(
            header(&made, "required_acl"),
            Some(&HeaderValue::Text("events.chatd.users.u1.presences".into()))
        );
    }
}

mod placeholders {
    use super::*;

    fn key(conference_id: &str, to: &str) -> Result<String, Reason> {
        let translator = translator();
        let body =
            format!(r#"{{"name":"conference_joined","data":{{"conference_id":{conference_id},"to":{to}}}}}"#);
        match translator.to_modern(&message(&body)) {
            Outcome::Publish(made) => Ok(made[0].routing_key.to_string()),
            Outcome::Refused(refusal) => Err(refusal.reason),
            outcome => panic!("{outcome:?}"),
        }
    }

    #[test]
    fn texts_and_whole_numbers_fill_them() {
        let pair = r#"["s","u"]"#;
        assert_eq!(key("1", pair).unwrap(), "conferences.1.u.joined");
        assert_eq!(key("-12345678901234567890", pair).unwrap(), "conferences.-12345678901234567890.u.joined");
        assert_eq!(key(r#""a\u0062""#, pair).unwrap(), "conferences.ab.u.joined");
        assert_eq!(key(r#""é ø""#, r#"["s",7]"#).unwrap(), "conferences.é ø.7.joined");
    }

    #[test]
    fn nothing_else_does() {
        let pair = r#"["s","u"]"#;
        for value in ["null", "true", "1.0", "1e3", "[1]", "{}", r#""\ud800""#] {
            assert_eq!(key(value, pair), Err(Reason::BadField), "{value}");
        }
        for to in ["[]", r#"["s"]"#, r#""su""#, "{}", "null", "[1,null]"] {
            assert_eq!(key("1", to), Err(Reason::BadField), "{to}");
        }
    }

    #[test]
    fn a_value_is_one_word() {
        let long = format!("\"{}\"", "x".repeat(300));
        for value in [
            r#""a.b""#,
            r#"".""#,
            "\"#\"",
            r##""a#""##,
            r#""*""#,
            r#""""#,
            r#""a\nb""#,
            r#""\u0000""#,
            r#""\u007f""#,
            r#""\u0085""#,
            long.as_str(),
        ] {
            assert_eq!(key(value, r#"["s","u"]"#), Err(Reason::UnsafeValue), "{value}");
            assert_eq!(key("1", &format!("[0,{value}]")), Err(Reason::UnsafeValue), "{value}");
        }
    }

    #[test]
    fn a_key_has_at_most_255_bytes() {
        let fixed = "conferences..u.joined".len();
        let fits = format!("\"{}\"", "x".repeat(255 - fixed));
        assert_eq!(key(&fits, r#"["s","u"]"#).unwrap().len(), 255);
        let over = format!("\"{}\"", "x".repeat(256 - fixed));
        assert_eq!(key(&over, r#"["s","u"]"#), Err(Reason::UnsafeValue));
    }

    #[test]
    fn a_header_has_at_most_255_bytes_too() {
        let translator = translator();
        let outcome = |length: usize| {
            let tenant = "x".repeat(length);
            let body =
                format!(r#"{{"name":"call_created","data":{{"user_uuid":"u","tenant_uuid":"{tenant}"}}}}"#);
            matches!(translator.to_modern(&message(&body)), Outcome::Publish(_))
        };
        assert!(outcome(255));
        assert!(!outcome(256));
    }

    #[test]
    fn nobody_can_be_me_in_an_acl() {
        for word in ["me", "my_session"] {
            assert_eq!(key(&format!("\"{word}\""), r#"["s","u"]"#), Err(Reason::UnsafeValue), "{word}");
        }
        assert_eq!(key(r#""mey""#, r#"["s","u"]"#).unwrap(), "conferences.mey.u.joined");
    }

    #[test]
    fn a_raw_value_may_be_several_words_and_each_is_one() {
        let translator = translator();
        let outcome = |id: &str| {
            let body = format!(r#"{{"name":"fax_sent","data":{{"id":"{id}"}}}}"#);
            match translator.to_modern(&message(&body)) {
                Outcome::Publish(made) => Ok(made[0].routing_key.to_string()),
                Outcome::Refused(refusal) => Err(refusal.reason),
                outcome => panic!("{outcome:?}"),
            }
        };
        assert_eq!(outcome("1234567.89").unwrap(), "faxes.1234567.89.sent");
        for id in ["", ".", "1.", ".1", "1..2", "1.#", "*.1"] {
            assert_eq!(outcome(id), Err(Reason::UnsafeValue), "{id:?}");
        }
    }

    #[test]
    fn a_value_never_makes_a_header_of_another_meaning() {
        let rules = r#"
- event: x
  source: test
  modern:
    routing_key: x
    headers: {"x{a}": true, "user_uuid:{a}": true, "user_uuid:{b}": true}
"#;
        let translator = layered(&[rules], settings());
        let reason = |a: &str, b: &str| {
            let body = format!(r#"{{"name":"x","data":{{"a":"{a}","b":"{b}"}}}}"#);
            match translator.to_modern(&message(&body)) {
                Outcome::Refused(refusal) => Some(refusal.reason),
                _ => None,
            }
        };
        assert_eq!(reason("-delay", "b"), Some(Reason::UnsafeValue));
        assert_eq!(reason("same", "same"), Some(Reason::UnsafeValue));
        assert_eq!(reason("*", "b"), Some(Reason::UnsafeValue));
        assert_eq!(reason("a", "b"), None);
    }

    #[test]
    fn a_refusal_tells_no_data() {
        let translator = translator();
        for value in [r#""hunter2.x""#, r#"["hunter2"]"#, r#"{"hunter2":1}"#] {
            let body = format!(r#"{{"name":"call_created","data":{{"user_uuid":{value}}}}}"#);
            let refusal = refusal(translator.to_modern(&message(&body)));
            assert!(!refusal.detail.contains("hunter2"), "{}", refusal.detail);
        }
    }
}

mod properties {
    use super::*;

    const KEPT: ReceivedProperties<'_> = ReceivedProperties {
        message_id: Some("m"),
        correlation_id: Some("c"),
        timestamp: Some(1_700_000_000),
        mark: Mark::Absent,
    };

    #[test]
    fn towards_modern_the_message_keeps_its_identity() {
        let translator = translator();
        let body = r#"{"name":"call_form_result"}"#;
        let made = publication(translator.to_modern(&Received { properties: KEPT, ..message(body) }));
        assert_eq!(
            made.properties,
            Properties {
                content_type: Some("application/json"),
                content_encoding: Some("utf-8"),
                delivery_mode: DeliveryMode::Transient,
                message_id: Some("m".into()),
                correlation_id: Some("c".into()),
                timestamp: Some(1_700_000_000),
                headers: vec![
                    ("name".into(), HeaderValue::Text("call_form_result".into())),
                    ("origin_uuid".into(), HeaderValue::Text(OUR_UUID.into())),
                    (MARK_HEADER.into(), HeaderValue::Text("b1".into())),
                ],
            }
        );
    }

    #[test]
    fn towards_legacy_there_is_nothing_but_the_mark() {
        let translator = translator();
        let body = r#"{"name":"call_form_result"}"#;
        let made = publication(translator.to_legacy(&Received { properties: KEPT, ..message(body) }));
        let mark_alone = Properties {
            headers: vec![(MARK_HEADER.into(), HeaderValue::Text("b1".into()))],
            ..Properties::default()
        };
        assert_eq!(made.properties, mark_alone);
    }

    #[test]
    fn what_the_site_asks_for_is_set() {
        let settings = Settings {
            delivery_mode: DeliveryMode::Persistent,
            legacy_content_type: Some("application/json".into()),
            ..settings()
        };
        let translator = layered(&[RULES], settings);
        for body in [r#"{"name":"call_form_result"}"#, r#"{"name":"brand_new"}"#] {
            let made = publication(translator.to_legacy(&message(body)));
            assert_eq!(made.properties.content_type, Some("application/json"));
            assert_eq!(made.properties.delivery_mode, DeliveryMode::Persistent);
        }
    }

    #[test]
    fn the_origin_of_the_event_wins_over_ours() {
        let translator = translator();
        let body = r#"{"name":"call_form_result","origin_uuid":"2e752722-0864-4665-887d-a78a024cf7c7"}"#;
        let made = publication(translator.to_modern(&message(body)));
        let theirs = "2e752722-0864-4665-887d-a78a024cf7c7";
        assert!(text(&made).contains(&format!(r#""origin_uuid": "{theirs}""#)));
        assert_eq!(header(&made, "origin_uuid"), Some(&HeaderValue::Text(theirs.into())));
    }

    #[test]
    fn an_origin_that_is_no_uuid_is_refused() {
        let translator = translator();
        for origin in ["1", r#""""#, r#""a.b""#, r#""a b""#, r#"["u"]"#, r#""\ud800""#, r#""*""#] {
            let body = format!(r#"{{"name":"call_form_result","origin_uuid":{origin}}}"#);
            assert_eq!(refusal(translator.to_modern(&message(&body))).reason, Reason::BadField, "{origin}");
        }
    }

    #[test]
    fn an_origin_that_is_null_is_none() {
        let translator = translator();
        let body = r#"{"name":"call_form_result","origin_uuid":null}"#;
        let made = publication(translator.to_modern(&message(body)));
        assert_eq!(header(&made, "origin_uuid"), Some(&HeaderValue::Text(OUR_UUID.into())));
    }

    #[test]
    fn a_legacy_sender_chooses_no_audience() {
        let translator = translator();
        let body = r#"{"name":"call_created","required_acl":"events.all","tenant_uuid":"evil","user_uuid:*":true,
                       "data":{"user_uuid":"u","tenant_uuid":"t"}}"#;
        let made = publication(translator.to_modern(&message(body)));
        assert!(!text(&made).contains("evil") && !text(&made).contains("events.all"));
        assert_eq!(header(&made, "tenant_uuid"), Some(&HeaderValue::Text("t".into())));
        assert_eq!(header(&made, "user_uuid:*"), None);
    }
}

mod layers {
    use super::*;

    const SITE: &str = r#"
- event: call_created
  source: this site
  legacy: {exchange: site}
  modern: {name: site_call, routing_key: site.calls}
"#;

    #[test]
    fn a_rule_of_the_site_takes_the_place_of_a_built_in_one() {
        let translator = layered(&[RULES, SITE], settings());
        let made = publication(translator.to_modern(&message(r#"{"name":"call_created","data":{}}"#)));
        assert_eq!(made.routing_key, "site.calls");
        let made = publication(translator.to_legacy(&message(r#"{"name":"site_call","data":{}}"#)));
        assert_eq!((made.exchange, &*made.routing_key), ("site", "call_created"));
        // The other event of the same built-in rule stays as it was.
        let made = publication(translator.to_legacy(&message(r#"{"name":"call_ended","data":{}}"#)));
        assert_eq!((made.exchange, &*made.routing_key), ("xivo-cti", "call_ended"));
    }

    #[test]
    fn the_modern_name_of_the_rule_that_gave_way_is_unknown() {
        let site = Settings { unknown_events: UnknownEvents::Quarantine, ..settings() };
        let translator = layered(&[RULES, SITE], site);
        let refusal = refusal(translator.to_legacy(&message(r#"{"name":"call_created","data":{}}"#)));
        assert_eq!(refusal.reason, Reason::UnknownEvent);
    }

    #[test]
    fn a_rule_that_gave_way_rebuilds_nothing() {
        let site = "
- event: user_status_update
  source: this site
  modern: none
  reason: this site has no presence
";
        let translator = layered(&[RULES, site], settings());
        let body = r#"{"name":"chatd_presence_updated","data":{"lines":[]}}"#;
        let made = publication(translator.to_legacy(&message(body)));
        assert_eq!(made.routing_key, "chatd_presence_updated");
    }

    #[test]
    fn a_name_that_is_both_removed_and_given_anew_is_the_new_one() {
        for rules in [["old", "new"], ["new", "old"]] {
            let text: String = rules
                .iter()
                .map(|which| match *which {
                    "old" => "- {event: paused, source: test, modern: none, reason: renamed}\n",
                    _ => "- {event: held, source: test, modern: {name: paused, routing_key: calls.paused}}\n",
                })
                .collect();
            let translator = layered(&[&text], settings());
            let made = publication(translator.to_legacy(&message(r#"{"name":"paused","data":{}}"#)));
            assert_eq!(made.routing_key, "held", "{text}");
        }
    }

    #[test]
    fn an_open_rule_of_the_site_comes_before_the_built_in_one() {
        let site = r#"
- event: Queue{rest}
  parameters: {rest: capitalised}
  source: this site
  modern: {routing_key: "queues.{rest}"}
"#;
        let translator = layered(&[RULES, site], settings());
        let key = |name: &str| {
            let body = format!(r#"{{"name":"{name}","data":{{}}}}"#);
            publication(translator.to_modern(&message(&body))).routing_key.into_owned()
        };
        assert_eq!(key("QueueMember"), "queues.Member");
        assert_eq!(key("Queuemember"), "ami.Queuemember");
        assert_eq!(key("Newchannel"), "ami.Newchannel");
    }
}

#[test]
fn ids_are_words() {
    for id in ["b1", "A-b_c.d", &"x".repeat(64), OUR_UUID] {
        assert!(BridgeId::parse(id).is_some(), "{id}");
    }
    for id in ["", "a,b", "a b", "é", "a\n", &"x".repeat(65)] {
        assert!(BridgeId::parse(id).is_none(), "{id}");
        assert!(OriginUuid::parse(id).is_none(), "{id}");
    }
    assert!(OriginUuid::parse("a.b").is_none());
}
