//! What to ask: every example of every rule that is in force, and some of them once more over the exchanges.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::core::catalog::Mappings;
use crate::core::diagnostic::Place;
use crate::core::envelope::push_ascii;
use crate::core::message::{Direction, Received, ReceivedProperties};
use crate::core::probe::{Answered, Data, PROBE_KEY, Probe, Run};
use crate::core::rule::Example;
use crate::core::topology::{Destination, Topology};
use crate::core::translate::Translator;

/// One probe, and what the answer has to be.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// Its place in the order in which they are sent, from 1.
    pub number: u64,
    /// The exchange that it goes over; nothing where it goes straight to the intake queue.
    pub over: Option<String>,
    /// The exchanges that answers come over; nothing where it comes straight.
    pub back: BTreeSet<String>,
    /// The name of the event.
    pub event: String,
    /// Where the example is, as `path:line`.
    pub example: String,
    /// The body of the probe.
    pub body: Vec<u8>,
    /// What the bridge has to answer.
    pub expected: Answered,
}

impl Question {
    /// The AMQP `message-id` and `correlation-id` of a probe: they pass towards modern.
    #[must_use]
    pub fn message_id(run: &Run, number: u64) -> String {
        format!("{}-{number}", run.as_str())
    }

    /// The AMQP `timestamp` of a probe; it passes towards modern.
    pub const TIMESTAMP: u64 = 1_371_168_000;
}

/// What is taken of an example.
struct Sample {
    example: String,
    event: String,
    routing_key: String,
    body: Box<RawValue>,
}

/// The questions of one direction, in the order in which they are to be sent. `legacy` is what the bridge needs on the
/// legacy side; `over` says which exchanges may be used at all.
#[must_use]
pub fn questions(
    direction: Direction,
    run: &Run,
    mappings: &Mappings,
    translator: &Translator,
    legacy: &Topology,
    over: impl Fn(&str) -> bool,
) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for sample in samples(direction, mappings, translator) {
        questions.extend(question(direction, run, questions.len(), translator, &sample, None));
    }
    let modern = translator.settings().modern_exchange.as_str();
    let exchanges = legacy.exchanges.iter().map(|exchange| exchange.name.as_ref()).filter(|name| over(name));
    let exchanges: Vec<&str> = exchanges.collect();
    let mut paths: Vec<(&str, usize)> = Vec::new();
    match direction {
        Direction::ToLegacy if over(modern) => {
            for exchange in exchanges {
                paths.extend(first_to(&questions, exchange, &over).map(|at| (modern, at)));
            }
        }
        Direction::ToModern if over(modern) => {
            let at = first_to(&questions, modern, &over);
            let taken = exchanges.into_iter().filter(|exchange| takes_probes(legacy, exchange));
            paths.extend(taken.filter_map(|exchange| Some((exchange, at?))));
        }
        Direction::ToLegacy | Direction::ToModern => {}
    }
    let samples: Vec<Sample> = samples(direction, mappings, translator).collect();
    for (exchange, at) in paths {
        let sample = questions.get(at).and_then(|asked| {
            samples.iter().find(|sample| sample.event == asked.event && sample.example == asked.example)
        });
        let Some(sample) = sample else { continue };
        questions.extend(question(direction, run, questions.len(), translator, sample, Some(exchange)));
    }
    questions
}

/// The first question whose event goes to this exchange, and to none that nothing may go over.
fn first_to(questions: &[Question], exchange: &str, over: impl Fn(&str) -> bool) -> Option<usize> {
    questions.iter().position(|question| {
        let mut exchanges = question.expected.publications.iter().map(|publication| &publication.exchange);
        exchanges.clone().any(|to| to == exchange) && exchanges.all(|to| over(to))
    })
}

fn takes_probes(legacy: &Topology, exchange: &str) -> bool {
    let is_for_probes = |binding: &crate::core::topology::Binding| {
        binding.source == exchange
            && binding.key == PROBE_KEY
            && matches!(binding.destination, Destination::Queue(_))
    };
    legacy.bindings.iter().any(is_for_probes)
}

fn question(
    direction: Direction,
    run: &Run,
    asked: usize,
    translator: &Translator,
    sample: &Sample,
    over: Option<&str>,
) -> Option<Question> {
    let number = asked as u64 + 1;
    let id = Question::message_id(run, number);
    let received = Received {
        exchange: "",
        routing_key: &sample.routing_key,
        properties: ReceivedProperties {
            message_id: Some(&id),
            correlation_id: Some(&id),
            timestamp: Some(Question::TIMESTAMP),
            ..ReceivedProperties::default()
        },
        body: sample.body.get().as_bytes(),
    };
    let outcome = match direction {
        Direction::ToLegacy => translator.to_legacy(&received),
        Direction::ToModern => translator.to_modern(&received),
    };
    let expected = Answered::from(&outcome);
    let back = expected.publications.iter().map(|publication| publication.exchange.clone());
    let back = if over.is_some() { back.collect() } else { BTreeSet::new() };
    let routing_key = sample.routing_key.as_str().into();
    let probe = Probe { run: run.clone(), number, routing_key, event: Some(&sample.body) };
    Some(Question {
        number,
        over: over.map(str::to_owned),
        back,
        event: sample.event.clone(),
        example: sample.example.clone(),
        body: Data::Probe(probe).body().ok()?,
        expected,
    })
}

/// The examples of the rules in force, in the order of the files.
fn samples<'m>(
    direction: Direction,
    mappings: &'m Mappings,
    translator: &'m Translator,
) -> impl Iterator<Item = Sample> + 'm {
    let version = translator.catalog().version();
    let rules = mappings.files().flat_map(|file| file.rules.iter().map(move |rule| (file, rule)));
    let in_force = rules.filter(move |(_, rule)| rule.versions.contains(version));
    let tests = in_force.flat_map(|(file, rule)| rule.tests.iter().map(move |test| (file, rule, test)));
    tests.filter_map(move |(file, rule, test)| {
        let (json, routing_key) = match (direction, &test.example) {
            (Direction::ToLegacy, Example::Both { modern, routing_key, .. }) => (modern, Some(routing_key)),
            (Direction::ToLegacy, Example::Rebuilt { modern, .. }) => (modern, None),
            (Direction::ToModern, Example::Both { legacy, .. } | Example::Refused { legacy, .. }) => {
                (legacy, None)
            }
            _ => return None,
        };
        let event = json.get("name")?.as_str()?.to_owned();
        let legacy_name = match &test.example {
            Example::Both { legacy, .. } | Example::Refused { legacy, .. } => legacy.get("name")?.as_str()?,
            Example::Rebuilt { rebuilt, .. } => rebuilt.first()?.get("name")?.as_str()?,
        };
        // Replaced by a rule of a later layer, whose own examples are asked.
        if mappings.replaced_in(legacy_name, rule).is_some() {
            return None;
        }
        let legacy_key = || {
            let found = translator.catalog().by_legacy_name(legacy_name)?;
            let key = found.entry.addresses.first()?.routing_key.as_literal()?;
            Some(key.to_owned())
        };
        let routing_key = match (direction, routing_key) {
            (Direction::ToLegacy, key) => key.cloned().unwrap_or_default(),
            (Direction::ToModern, _) => legacy_key().unwrap_or_else(|| legacy_name.to_owned()),
        };
        let example = match Place::of(&file.text, test.node) {
            Some(place) => format!("{}:{}", file.path, place.position.line),
            None => file.path.clone(),
        };
        // In ASCII, as it travels: what is carried as text must come out as it went in.
        let mut body = Vec::new();
        push_ascii(&mut body, &json.to_string());
        let body = RawValue::from_string(String::from_utf8(body).ok()?).ok()?;
        Some(Sample { example, event, routing_key, body })
    })
}
