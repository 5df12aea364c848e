//! What is answered to a probe, and what never comes of one.

use crate::core::message::{HeaderValue, Mark, Outcome, Publication, Reason, Received, ReceivedProperties};
use crate::core::probe::{Answer, Data};
use crate::core::settings::{BridgeId, Listen, Probes, Settings};
use crate::core::translate::Translator;
use crate::core::translate::tests::{OUR_UUID, RULES, layered, message, settings, translator};

fn answers(outcome: Outcome<'_>) -> Vec<Publication<'_>> {
    match outcome {
        Outcome::Answer(answers) => answers,
        outcome => panic!("not answered: {outcome:?}"),
    }
}

fn read(publication: &Publication<'_>) -> Answer {
    let event: serde_json::Value = serde_json::from_slice(&publication.body).unwrap();
    assert_eq!(event["name"], "cti-bridge-probe");
    assert!(event.get("required_acl").is_none());
    let data = event["data"].to_string();
    let Ok(Data::Answer(answer)) = serde_json::from_str(&data) else { panic!("{data}") };
    answer
}

fn probe(event: &str) -> String {
    format!(
        r#"{{"name": "cti-bridge-probe", "data": {{"probe": {{"run": "r1", "number": 7, "event": {event}}}}}}}"#
    )
}

/// As it comes over this exchange.
fn over<'m>(exchange: &'m str, body: &'m str) -> Received<'m> {
    Received { exchange, ..message(body) }
}

#[test]
fn the_answer_says_what_would_be_published_and_goes_straight_to_who_asked() {
    let translator = translator();
    let body = probe(r#"{"name": "call_created", "data": {"user_uuid": "u", "tenant_uuid": "t"}}"#);
    let properties = ReceivedProperties { message_id: Some("m"), ..ReceivedProperties::default() };
    let publications = answers(translator.to_modern(&Received { properties, ..message(&body) }));
    let [made] = publications.as_slice() else { panic!("{publications:#?}") };
    assert_eq!((made.exchange, made.routing_key.as_ref()), ("", "cti-bridge.probe.r1"));
    let text = |text: &'static str| HeaderValue::Text(text.into());
    assert_eq!(
        made.properties.headers,
        [
            ("cti-bridge-probe".into(), text("r1")),
            ("cti-bridge".into(), text("b1")),
            ("name".into(), text("cti-bridge-probe")),
        ]
    );
    assert_eq!(made.properties.message_id, None);
    let answer = read(made);
    assert_eq!((answer.number, answer.bridge.as_str(), answer.platform.as_str()), (7, "b1", "19.05"));
    let result = answer.result.unwrap();
    assert_eq!(result.refusal, None);
    let [published] = result.publications.as_slice() else { panic!("{result:#?}") };
    assert_eq!((published.exchange.as_str(), published.routing_key.as_str()), ("xivo", "calls.call.created"));
    assert_eq!(
        published.body,
        format!(
            r#"{{"name": "call_created", "origin_uuid": "{OUR_UUID}", "required_acl": "events.calls.u", "data": {{"user_uuid": "u", "tenant_uuid": "t"}}}}"#
        )
    );
    assert_eq!(published.properties["message_id"], "m");
    assert_eq!(published.properties["headers"]["user_uuid:u"], true);
    assert_eq!(published.properties["headers"]["cti-bridge"], "b1");
}

#[test]
fn a_probe_that_came_over_an_exchange_is_answered_over_those_of_the_event() {
    let translator = translator();
    let body = probe(r#"{"name": "agent_status_update", "data": {}}"#);
    let made = answers(translator.to_legacy(&over("xivo", &body)));
    let addresses: Vec<_> = made.iter().map(|made| (made.exchange, made.routing_key.as_ref())).collect();
    let key = "cti-bridge.probe.r1";
    assert_eq!(addresses, [("xivo-cti", key), ("xivo-status-updates", key)]);
    assert!(made.iter().all(|made| read(made).number == 7 && made.properties.content_type.is_none()));
    let made = answers(translator.to_modern(&over("xivo-cti", &body)));
    assert_eq!((made[0].exchange, made[0].routing_key.as_ref(), made.len()), ("xivo", key, 1));
}

#[test]
fn one_without_an_event_only_asks_who_is_there() {
    let translator = translator();
    let body = r#"{"name": "cti-bridge-probe", "data": {"probe": {"run": "r1", "number": 1}}}"#;
    for (exchange, to_legacy, to_modern) in [("", "", ""), ("xivo", "xivo-cti", "xivo")] {
        let message = over(exchange, body);
        let made = answers(translator.to_legacy(&message));
        assert_eq!((made[0].exchange, made.len(), read(&made[0]).result), (to_legacy, 1, None));
        let made = answers(translator.to_modern(&message));
        assert_eq!((made[0].exchange, made.len(), read(&made[0]).result), (to_modern, 1, None));
    }
}

#[test]
fn what_would_be_refused_or_dropped_is_answered_and_does_not_go_to_quarantine() {
    let translator = translator();
    let body = probe(r#"{"name": "no_such_event"}"#);
    let made = answers(translator.to_modern(&message(&body)));
    let result = read(&made[0]).result.unwrap();
    assert_eq!((result.publications.len(), result.refusal.unwrap().reason.as_str()), (0, "unknown_event"));

    let deaf = Settings { listen: Listen::Also(Default::default()), ..settings() };
    let deaf = layered(&[RULES], deaf);
    let body = r#"{"name": "cti-bridge-probe", "data": {"probe": {"run": "r1", "number": 7,
        "routing_key": "call_created", "event": {"name": "call_created"}}}}"#;
    let made = answers(deaf.to_modern(&message(body)));
    assert_eq!(read(&made[0]).result, Some(Default::default()));
}

#[test]
fn the_answer_of_another_bridge_is_passed_by() {
    let translator = translator();
    let body = probe(r#"{"name": "call_form_result"}"#);
    let made = answers(translator.to_modern(&message(&body)));
    let other = layered(&[RULES], Settings { bridge_id: BridgeId::parse("b2").unwrap(), ..settings() });
    let properties = ReceivedProperties { mark: Mark::Text("b1"), ..ReceivedProperties::default() };
    let answer = Received { exchange: "xivo", routing_key: "", properties, body: &made[0].body };
    assert_eq!(other.to_legacy(&answer), Outcome::Answer(Vec::new()));
    assert_eq!(translator.to_legacy(&answer), Outcome::Echo);
}

#[test]
fn what_is_no_probe_goes_to_quarantine() {
    let refused = |translator: &Translator, body: &str| match translator.to_legacy(&message(body)) {
        Outcome::Refused(refusal) => refusal.reason,
        outcome => panic!("{outcome:?}"),
    };
    let translator = translator();
    for body in [
        r#"{"name": "cti-bridge-probe"}"#.to_owned(),
        r#"{"name": "cti-bridge-probe", "data": {"probe": {"run": "a.#", "number": 1}}}"#.to_owned(),
        r#"{"name": "cti-bridge-probe", "data": {"probe": {"run": "r1", "number": -1}}}"#.to_owned(),
        probe(&probe(r#"{"name": "call_created"}"#)),
    ] {
        assert_eq!(refused(&translator, &body), Reason::BadField, "{body}");
    }
    let large = probe(&format!(r#"{{"name": "x", "data": "{}"}}"#, "x".repeat(64 * 1024)));
    assert_eq!(refused(&translator, &large), Reason::TooLarge);
}

#[test]
fn a_bridge_that_is_told_to_answers_none() {
    let silent = layered(&[RULES], Settings { probes: Probes::Ignore, ..settings() });
    let body = probe(r#"{"name": "call_created"}"#);
    assert_eq!(silent.to_legacy(&message(&body)), Outcome::Dropped);
    assert_eq!(silent.to_modern(&message(&body)), Outcome::Dropped);
}
