//! What to ask, and what the answers show, without a broker.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::core::catalog::{Catalog, MappingFile, Mappings};
use crate::core::intake::Intake;
use crate::core::mapping_file;
use crate::core::message::{DeliveryMode, Outcome, Received, ReceivedProperties};
use crate::core::probe::Run;
use crate::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use crate::core::site::{self, Site};
use crate::core::split::Split;
use crate::core::topology::{Declare, ExchangeKind, QueueKind, Topology};
use crate::core::translate::Translator;
use crate::core::version::Version;

const RULES: &str = r#"
- event: call_{action}
  parameters: {action: [created, ended]}
  source: test
  modern: {routing_key: "calls.call.{action}", required_acl: "events.calls.{user}"}
  tests:
    - legacy: {"name": "call_created", "data": {"user": "é"}}
      routing_key: calls.call.created
      modern: {"name": "call_created", "required_acl": "events.calls.é", "data": {"user": "é"}}
    - legacy: {"name": "call_ended", "data": {"user": "b"}}
      routing_key: calls.call.ended
      modern: {"name": "call_ended", "required_acl": "events.calls.b", "data": {"user": "b"}}
- event: status
  source: test
  legacy: {exchange: xivo-status-updates, routing_key: status, also: [{exchange: xivo-cti}]}
  modern: {routing_key: status.user}
  tests:
    - legacy: {"name": "status", "data": 1}
      routing_key: status.user
      modern: {"name": "status", "data": 1}
- event: gone
  versions: "13.22..17.01"
  source: test
  modern: {routing_key: gone}
  tests:
    - legacy: {"name": "gone", "data": 1}
      routing_key: gone
      modern: {"name": "gone", "data": 1}
- event: gone
  versions: "17.01.."
  source: test
  modern: none
  reason: removed in 17.01
  tests:
    - legacy: {"name": "gone", "data": 1}
      refused: removed_event
- event: "{ami_event}"
  parameters: {ami_event: capitalised}
  source: test
  legacy: {exchange: xivo-ami}
  modern: {routing_key: "ami.{ami_event}"}
  tests:
    - legacy: {"name": "Hangup", "data": {}}
      routing_key: ami.Hangup
      modern: {"name": "Hangup", "data": {}}
"#;

struct Asked {
    translator: Translator,
    legacy: Topology,
    mappings: Mappings,
}

fn asked(layers: &[&str], listen: Listen) -> Asked {
    let file = |(at, text): (usize, &&str)| MappingFile {
        path: format!("{at}.yaml"),
        text: (*text).to_owned(),
        rules: mapping_file::read(text).unwrap().into_iter().map(Arc::new).collect(),
    };
    let mappings = Mappings { layers: layers.iter().enumerate().map(|layer| vec![file(layer)]).collect() };
    let settings = Settings {
        bridge_id: BridgeId::parse("b1").unwrap(),
        origin_uuid: OriginUuid::parse("u1").unwrap(),
        modern_exchange: "xivo".into(),
        listen,
        unknown_events: UnknownEvents::Pass,
        max_hops: 8,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    let translator = Translator::new(Catalog::at(Version::new(19, 5), &mappings), settings);
    let intake = Intake {
        prefix: "cti-bridge".into(),
        queue_kind: QueueKind::Quorum,
        modern_exchange_kind: ExchangeKind::Topic,
        declare_modern_exchange: Declare::Active,
        bounds: crate::core::topology::Bounds::default(),
        quarantine_bounds: crate::core::topology::Bounds::default(),
        bridge_id: BridgeId::parse("b1"),
        split: Split::default(),
    };
    Asked { legacy: intake.legacy_side(&translator), translator, mappings }
}

fn run() -> Run {
    Run::parse("r1").unwrap()
}

impl Asked {
    fn questions(&self, direction: Direction) -> Vec<Question> {
        self.questions_over(direction, |_| true)
    }

    fn questions_over(&self, direction: Direction, over: impl Fn(&str) -> bool) -> Vec<Question> {
        questions(direction, &run(), &self.mappings, &self.translator, &self.legacy, over)
    }

    /// What a bridge with this translator answers to these questions, in their order.
    fn answered(&self, direction: Direction, questions: &[Question]) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for asked in questions {
            let id = Question::message_id(&run(), asked.number);
            let message = Received {
                exchange: asked.over.as_deref().unwrap_or_default(),
                routing_key: "cti-bridge.probe",
                properties: ReceivedProperties {
                    message_id: Some(&id),
                    correlation_id: Some(&id),
                    timestamp: Some(Question::TIMESTAMP),
                    ..ReceivedProperties::default()
                },
                body: &asked.body,
            };
            let outcome = match direction {
                Direction::ToLegacy => self.translator.to_legacy(&message),
                Direction::ToModern => self.translator.to_modern(&message),
            };
            let Outcome::Answer(answers) = outcome else { panic!("{outcome:?}") };
            for answer in answers {
                assert_eq!(answer.routing_key, "cti-bridge.probe.r1");
                let event: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                let told = serde_json::from_value(event["data"]["answer"].clone()).unwrap();
                arrivals.push(Arrival { exchange: answer.exchange.into(), answer: told, latency: 1 });
            }
        }
        arrivals
    }
}

fn line(direction: Direction) -> Line<'static> {
    match direction {
        Direction::ToLegacy => {
            let (intake_queue, bound) = ("cti-bridge.modern", "exchange `cti-bridge.modern.filter`");
            Line { direction, intake_queue, binding_key: "#", bound, is_complete: true }
        }
        Direction::ToModern => {
            let (intake_queue, binding_key) = ("cti-bridge.legacy", "cti-bridge.probe");
            Line {
                direction,
                intake_queue,
                binding_key,
                bound: "queue `cti-bridge.legacy`",
                is_complete: true,
            }
        }
    }
}

fn failed(checks: &[Check]) -> Vec<(String, String)> {
    let failed = checks.iter().filter_map(|check| match &check.verdict {
        Verdict::Failed(defect) => Some((check.name.clone(), defect.to_string())),
        _ => None,
    });
    failed.collect()
}

#[test]
fn every_example_in_force_is_asked_in_both_directions() {
    let asked = asked(&[RULES], Listen::All);
    let told = |direction| {
        let questions = asked.questions(direction).into_iter();
        questions
            .map(|asked| match asked.over {
                None => format!("{} {}", asked.event, asked.example),
                Some(over) => {
                    format!(
                        "{} {over} → {}",
                        asked.event,
                        asked.back.into_iter().collect::<Vec<_>>().join(" ")
                    )
                }
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told(Direction::ToLegacy),
        [
            "call_created 0.yaml:7",
            "call_ended 0.yaml:10",
            "status 0.yaml:18",
            "Hangup 0.yaml:43",
            "call_created xivo → xivo-cti",
            "Hangup xivo → xivo-ami",
            "status xivo → xivo-cti xivo-status-updates",
        ]
    );
    assert_eq!(
        told(Direction::ToModern),
        [
            "call_created 0.yaml:7",
            "call_ended 0.yaml:10",
            "status 0.yaml:18",
            "gone 0.yaml:35",
            "Hangup 0.yaml:43",
            "call_created xivo-cti → xivo",
            "call_created xivo-ami → xivo",
            "call_created xivo-status-updates → xivo",
        ]
    );
}

#[test]
fn a_bridge_with_the_same_rules_passes() {
    for listen in [Listen::All, Listen::Also(Default::default())] {
        let asked = asked(&[RULES], listen);
        for direction in [Direction::ToLegacy, Direction::ToModern] {
            let questions = asked.questions(direction);
            let checks = judge(line(direction), &questions, &asked.answered(direction, &questions));
            assert!(checks.iter().all(|check| check.verdict == Verdict::Passed), "{checks:#?}");
            assert!(checks.len() > 4);
        }
    }
}

#[test]
fn a_rule_of_a_later_layer_is_asked_with_its_own_example() {
    let site = r#"
- event: call_created
  source: site
  modern: {routing_key: other}
  tests:
    - legacy: {"name": "call_created", "data": 2}
      routing_key: other
      modern: {"name": "call_created", "data": 2}
"#;
    let asked = asked(&[RULES, site], Listen::All);
    let questions = asked.questions(Direction::ToModern);
    let created: Vec<_> = questions.iter().filter(|asked| asked.event == "call_created").collect();
    assert!(created.iter().all(|asked| asked.example == "1.yaml:6"), "{created:#?}");
    assert!(!created.is_empty());
}

#[test]
fn nothing_goes_over_an_exchange_that_is_not_as_it_should_be() {
    let asked = asked(&[RULES], Listen::All);
    for direction in [Direction::ToLegacy, Direction::ToModern] {
        let over = |wrong: &'static str| {
            let questions = asked.questions_over(direction, |exchange| exchange != wrong);
            let reaches =
                |asked: &Question| asked.over.as_deref() == Some(wrong) || asked.back.contains(wrong);
            assert!(!questions.iter().any(reaches), "{questions:#?}");
            questions.iter().filter(|asked| asked.over.is_some()).count()
        };
        assert_eq!(over("xivo"), 0);
        assert!(over("xivo-cti") > 0);
    }
}

#[test]
fn a_rule_that_is_broken_is_told_with_the_difference() {
    let asked_of = asked(&[RULES], Listen::All);
    let broken = asked(&[&RULES.replace("events.calls.", "events.call.")], Listen::All);
    let questions = asked_of.questions(Direction::ToModern);
    let checks =
        judge(line(Direction::ToModern), &questions, &broken.answered(Direction::ToModern, &questions));
    let difference =
        "`headers.required_acl` of the properties is \"events.call.b\", and \"events.calls.b\" was expected";
    assert!(failed(&checks).contains(&("call_ended".into(), difference.into())), "{:#?}", failed(&checks));
    assert!(failed(&checks).iter().all(|(name, _)| name.starts_with("call_") || name.contains('→')));
}

#[test]
fn what_differs_is_the_first_thing_that_a_reader_needs_to_know() {
    let published = |key: &str, body: &str| crate::core::probe::Published {
        exchange: "xivo".into(),
        routing_key: key.into(),
        properties: Default::default(),
        body: body.into(),
    };
    let answered =
        |publications: Vec<crate::core::probe::Published>| Answered { publications, refusal: None };
    let one = |key: &str, body: &str| answered(vec![published(key, body)]);
    let refused = |reason: &str| Answered {
        refusal: Some(crate::core::probe::Refused { reason: reason.into(), detail: "so".into(), rule: None }),
        ..Answered::default()
    };
    let told = |made: &Answered, expected: &Answered| difference(made, expected).unwrap();
    assert_eq!(difference(&one("a", "{}"), &one("a", "{}")), None);
    assert_eq!(told(&one("a", "{}"), &one("b", "1")), "the routing key is `a`, and `b` was expected");
    assert_eq!(
        told(&one("a", r#"{"x":[1,2]}"#), &one("a", r#"{"x":[1,3]}"#)),
        "`x[1]` of the body is 2, and 3 was expected"
    );
    assert_eq!(
        told(&one("a", r#"{"x":1}"#), &one("a", r#"{"x": 1}"#)),
        "the body is the same JSON, written otherwise: `{\"x\":1}`, and `{\"x\": 1}` was expected"
    );
    assert_eq!(
        told(&one("a", "{}"), &answered(vec![])),
        "one message would be published, and nothing was expected"
    );
    assert_eq!(told(&refused("bad_field"), &one("a", "")), "it goes to quarantine with `bad_field`: so");
    assert_eq!(
        told(&one("a", ""), &refused("bad_field")),
        "it does not go to quarantine, and `bad_field` was expected"
    );
    assert_eq!(
        told(&refused("unsafe_value"), &refused("bad_field")),
        "it goes to quarantine with `unsafe_value`, and `bad_field` was expected"
    );
}

#[test]
fn one_that_is_never_answered_got_lost_and_nothing_is_said_of_ways() {
    let asked = asked(&[RULES], Listen::All);
    let questions = asked.questions(Direction::ToLegacy);
    let mut arrivals = asked.answered(Direction::ToLegacy, &questions);
    arrivals.retain(|arrival| arrival.answer.number != 2 && arrival.exchange.is_empty());
    let checks = judge(line(Direction::ToLegacy), &questions, &arrivals);
    let lost = "1 of 4 probes got lost from `cti-bridge.modern`: another consumer takes messages there";
    assert_eq!(failed(&checks), [("call_ended".to_owned(), lost.to_owned())]);
    // Without the last answer nothing is known of any.
    let checks = judge(Line { is_complete: false, ..line(Direction::ToLegacy) }, &questions, &arrivals);
    assert!(checks.iter().all(|check| matches!(check.verdict, Verdict::Unproven(_))));
}

#[test]
fn a_way_that_is_cut_is_told_with_the_binding_that_is_missing() {
    let asked = asked(&[RULES], Listen::All);
    let questions = asked.questions(Direction::ToLegacy);
    let arrivals = asked.answered(Direction::ToLegacy, &questions);
    let without = |is_gone: &dyn Fn(&Arrival) -> bool| {
        let left: Vec<Arrival> = arrivals.iter().filter(|arrival| !is_gone(arrival)).cloned().collect();
        let checks = judge(line(Direction::ToLegacy), &questions, &left);
        let told: BTreeSet<String> = failed(&checks).into_iter().map(|(_, message)| message).collect();
        told.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(
        without(&|arrival| !arrival.exchange.is_empty()),
        ["the binding from `xivo` with the key `#` to the exchange `cti-bridge.modern.filter` is missing"]
    );
    assert_eq!(
        without(&|arrival| arrival.exchange == "xivo-ami"),
        ["the binding from `xivo-ami` with the key `#` to the exchange `xivo-cti` is missing"]
    );
    assert_eq!(
        without(&|arrival| arrival.exchange == "xivo-status-updates"),
        ["the bridge answers, and nothing comes over the exchange `xivo-status-updates`"]
    );
}

#[test]
fn two_answers_are_those_of_a_second_bridge_or_of_a_twin() {
    let asked = asked(&[RULES], Listen::All);
    let questions = asked.questions(Direction::ToLegacy);
    let arrivals = asked.answered(Direction::ToLegacy, &questions);
    let doubled = |bridge: &str| {
        let second =
            arrivals.iter().filter(|arrival| !arrival.exchange.is_empty()).cloned().map(|mut arrival| {
                arrival.answer.bridge = bridge.into();
                arrival
            });
        let both: Vec<Arrival> = arrivals.iter().cloned().chain(second).collect();
        let checks = judge(line(Direction::ToLegacy), &questions, &both);
        failed(&checks).into_iter().map(|(_, message)| message).collect::<BTreeSet<_>>()
    };
    let told = "a second bridge doubles every event: `b1` and `b2` answer the same probe";
    assert_eq!(doubled("b2"), BTreeSet::from([told.to_owned()]));
    let told = "every event comes twice from `b1`: two bridges of the same id run with queues of their own";
    assert_eq!(doubled("b1"), BTreeSet::from([told.to_owned()]));
}

#[test]
fn an_answer_that_was_overtaken_is_told() {
    let asked = asked(&[RULES], Listen::All);
    let questions = asked.questions(Direction::ToModern);
    let mut arrivals = asked.answered(Direction::ToModern, &questions);
    arrivals.swap(0, 1);
    let checks = judge(line(Direction::ToModern), &questions, &arrivals);
    let told = "`call_created` was answered after what was sent later";
    assert_eq!(failed(&checks), [("order".to_owned(), told.to_owned())]);
}

#[test]
fn a_binding_is_proven_by_what_was_seen_or_what_came_over_it() {
    let asked = asked(&[RULES], Listen::Also(["call_created".to_owned()].into()));
    let told = |seen: Option<&Site>| {
        let checks = bindings(&asked.legacy, seen, |binding| binding.key == "cti-bridge.probe");
        checks
            .into_iter()
            .map(|check| match check.verdict {
                Verdict::Passed => format!("{}: passed", check.name),
                Verdict::Failed(defect) => defect.to_string(),
                Verdict::Unproven(why) => format!("{}: {why}", check.name),
            })
            .collect::<Vec<_>>()
    };
    let unseen = [
        "`xivo-ami` with `#` → exchange `xivo-cti`: AMQP shows no bindings",
        "`xivo-cti` with `call_created` → queue `cti-bridge.legacy`: AMQP shows no bindings",
        "`xivo-cti` with `cti-bridge.probe` → queue `cti-bridge.legacy`: passed",
    ];
    assert_eq!(told(None), unseen);
    // A source that shows none shows nothing.
    assert_eq!(told(Some(&Site::default())), unseen);
    let binding = |source: &str, destination: site::Destination, key: &str| site::Binding {
        source: source.into(),
        destination,
        key: key.into(),
        arguments: Default::default(),
    };
    let seen = Site {
        bindings: vec![
            binding("xivo-ami", site::Destination::Exchange("xivo-cti".into()), "#"),
            binding("xivo-cti", site::Destination::Queue("cti-bridge.legacy".into()), "cti-bridge.probe"),
            binding("xivo-cti", site::Destination::Queue("old-script".into()), "call_created"),
        ],
        ..Site::default()
    };
    assert_eq!(
        told(Some(&seen)),
        [
            "`xivo-ami` with `#` → exchange `xivo-cti`: passed",
            "the binding from `xivo-cti` with the key `call_created` to the queue `cti-bridge.legacy` is missing",
            "`xivo-cti` with `cti-bridge.probe` → queue `cti-bridge.legacy`: passed",
        ]
    );
}

#[test]
fn whoever_is_no_bridge_is_a_foreign_consumer() {
    let consumer = |queue: &str, tag: &str| site::Consumer {
        queue: queue.into(),
        tag: Some(tag.into()),
        connection: Some("127.0.0.1:1 -> 127.0.0.1:5672".into()),
        acks: None,
    };
    let seen = Site {
        consumers: vec![
            consumer("cti-bridge.modern", "cti-bridge.to_legacy"),
            consumer("cti-bridge.modern", "ctag1.0"),
            consumer("other", "x"),
        ],
        connections: vec![site::Connection {
            name: "127.0.0.1:1 -> 127.0.0.1:5672".into(),
            user: Some("guest".into()),
            library: Some("pika".into()),
            ..site::Connection::default()
        }],
        ..Site::default()
    };
    let who =
        "consumer `ctag1.0` of connection `127.0.0.1:1 -> 127.0.0.1:5672`, user `guest`, library `pika`";
    assert_eq!(foreign_consumers(&seen, "cti-bridge.modern"), BTreeSet::from([who.to_owned()]));
    assert!(foreign_consumers(&seen, "cti-bridge.legacy").is_empty());
}

#[test]
fn percentiles_are_values_that_occurred() {
    assert_eq!(percentiles(&[]), None);
    assert_eq!(percentiles(&[7]), Some([7, 7, 7]));
    let hundred: Vec<u64> = (1..=100).rev().collect();
    assert_eq!(percentiles(&hundred), Some([50, 99, 100]));
}
