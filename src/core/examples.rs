//! The examples in mapping files, held against what the translator really does.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::catalog::{Catalog, MappingFile, Mappings};
use super::diagnostic::{Diagnostic, Place};
use super::message::{
    DeliveryMode, HeaderValue, MARK_HEADER, Outcome, Publication, Received, ReceivedProperties,
};
use super::rule::{Example, HeaderExample, Rule, RuleTest};
use super::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use super::translate::Translator;
use super::version::Version;

/// The newest version of the published documentation, at which rules are looked at by default.
pub const DOCUMENTED_VERSION: Version = Version::new(19, 5);

/// What came of checking all examples.
#[derive(Debug, Default)]
pub struct Checked<'m> {
    /// How many examples were checked.
    pub examples: usize,
    /// The examples that do not hold.
    pub failed: Vec<(&'m MappingFile, Diagnostic)>,
    /// The event names that no example shows.
    pub without_example: Vec<(&'m MappingFile, String)>,
}

/// Checks every example of every rule, in both directions, at a version for which the rule holds.
#[must_use]
pub fn check(mappings: &Mappings) -> Checked<'_> {
    let mut checked = Checked::default();
    let mut translators: HashMap<Version, Translator> = HashMap::new();
    for file in mappings.files() {
        for rule in &file.rules {
            let version = version_of(rule);
            let translator = translators.entry(version).or_insert_with(|| translator(version, mappings));
            for test in &rule.tests {
                checked.examples += 1;
                if let Err(message) = holds(translator, rule, test) {
                    checked.failed.push((file, failure(file, rule, test, message)));
                }
            }
            let shown: Vec<&str> = rule.tests.iter().filter_map(|test| name_shown(&test.example)).collect();
            let missing = rule.listed_names().into_iter().map(|(name, _)| name);
            let missing = missing.filter(|name| !shown.contains(&name.as_str()));
            checked.without_example.extend(missing.map(|name| (file, name)));
        }
    }
    checked
}

/// A version at which a rule holds, the documented one if possible.
#[must_use]
pub fn version_of(rule: &Rule) -> Version {
    let versions = rule.versions;
    let oldest = Version::new(13, 22);
    let candidates = [Some(DOCUMENTED_VERSION), versions.start(), Some(oldest)];
    candidates.into_iter().flatten().find(|version| versions.contains(*version)).unwrap_or(Version::new(0, 0))
}

const ORIGIN: &str = "00000000-0000-4000-8000-000000000000";

fn translator(version: Version, mappings: &Mappings) -> Translator {
    let settings = Settings {
        // Both texts are ids, whatever may be done to them here.
        bridge_id: BridgeId::parse("check").unwrap_or_else(|| unreachable!()),
        origin_uuid: OriginUuid::parse(ORIGIN).unwrap_or_else(|| unreachable!()),
        modern_exchange: "xivo".into(),
        listen: Listen::All,
        unknown_events: UnknownEvents::Pass,
        max_hops: 1,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    Translator::new(Catalog::at(version, mappings), settings)
}

fn failure(file: &MappingFile, rule: &Rule, test: &RuleTest, message: String) -> Diagnostic {
    Diagnostic {
        message: format!("the example does not hold: {message}"),
        place: Place::of(&file.text, test.node),
        rule: Some(rule.event.to_string()),
        help: Some("correct the rule or the example".into()),
    }
}

fn name_shown(example: &Example) -> Option<&str> {
    let legacy = match example {
        Example::Both { legacy, .. } | Example::Refused { legacy, .. } => legacy,
        Example::Rebuilt { rebuilt, .. } => rebuilt.first()?,
    };
    legacy.get("name")?.as_str()
}

fn holds(translator: &Translator, rule: &Rule, test: &RuleTest) -> Result<(), String> {
    if let Some(name) = name_shown(&test.example)
        && !rule.names(name)
    {
        return Err(format!("`{name}` is not an event of this rule"));
    }
    match &test.example {
        Example::Both { legacy, modern, routing_key, headers } => {
            holds_to_modern(translator, legacy, modern, routing_key, headers)?;
            holds_to_legacy(translator, rule, legacy, modern, routing_key)
        }
        Example::Rebuilt { modern, rebuilt } => {
            let made = legacy_events(translator, modern, "", |name| rule.names(name))?;
            let expected: Vec<&Json> =
                rebuilt.iter().flat_map(|event| rule.legacy.addresses.iter().map(move |_| event)).collect();
            same(
                "the list of rebuilt events",
                &Json::from_iter(made.iter().map(|(_, _, event)| event.clone())),
                &Json::from_iter(expected.into_iter().cloned()),
            )
        }
        Example::Refused { legacy, refused } => match translator.to_modern(&received("", &body(legacy))) {
            Outcome::Refused(refusal) if refusal.reason == *refused => Ok(()),
            outcome => Err(format!("expected `{}`, {}", refused.code(), told(&outcome))),
        },
    }
}

fn holds_to_modern(
    translator: &Translator,
    legacy: &Json,
    modern: &Json,
    routing_key: &str,
    headers: &[(String, HeaderExample)],
) -> Result<(), String> {
    let body = body(legacy);
    let outcome = translator.to_modern(&received("", &body));
    let Outcome::Publish(publications) = &outcome else {
        return Err(format!("to modern, {}", told(&outcome)));
    };
    let [publication] = publications.as_slice() else { return Err("to modern, more than one event".into()) };
    let mut made = event(publication)?;
    same("the routing key", &publication.routing_key.as_ref().into(), &routing_key.into())?;
    let header_acl = publication.properties.headers.iter().find(|(name, _)| name == "required_acl");
    let header_acl = header_acl.map_or(Json::Null, |(_, value)| header_json(value));
    same("the header `required_acl`", &header_acl, &made.get("required_acl").cloned().unwrap_or_default())?;
    let mut expected = modern.clone();
    for event in [&mut made, &mut expected] {
        event.as_object_mut().map(|event| event.remove("origin_uuid"));
    }
    same("the modern event", &made, &expected)?;
    let standard = ["name", "origin_uuid", "required_acl", MARK_HEADER];
    let own = publication.properties.headers.iter().filter(|(name, _)| !standard.contains(&name.as_ref()));
    let own: Json = own.map(|(name, value)| (name.to_string(), header_json(value))).collect();
    let expected = headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderExample::Text(text) => Json::from(text.as_str()),
            HeaderExample::Flag(flag) => Json::Bool(*flag),
        };
        (name.clone(), value)
    });
    same("the headers", &own, &expected.collect())
}

fn holds_to_legacy(
    translator: &Translator,
    rule: &Rule,
    legacy: &Json,
    modern: &Json,
    routing_key: &str,
) -> Result<(), String> {
    let made = legacy_events(translator, modern, routing_key, |name| rule.names(name))?;
    if made.len() != rule.legacy.addresses.len() {
        return Err(format!("{} legacy events for {} addresses", made.len(), rule.legacy.addresses.len()));
    }
    for ((exchange, key, event), address) in made.iter().zip(&rule.legacy.addresses) {
        same("the legacy event", event, legacy)?;
        same("the exchange", &exchange.as_str().into(), &address.exchange.as_str().into())?;
        if address.routing_key.capture(key).is_none() {
            return Err(format!("the legacy routing key is `{key}`, not `{}`", address.routing_key));
        }
    }
    Ok(())
}

/// The legacy events made of a modern one, those of this rule only.
fn legacy_events(
    translator: &Translator,
    modern: &Json,
    routing_key: &str,
    of_rule: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String, Json)>, String> {
    let body = body(modern);
    let outcome = translator.to_legacy(&received(routing_key, &body));
    let Outcome::Publish(publications) = &outcome else {
        return Err(format!("to legacy, {}", told(&outcome)));
    };
    let mut events = Vec::new();
    for publication in publications {
        let event = event(publication)?;
        if event.get("name").and_then(Json::as_str).is_some_and(&of_rule) {
            events.push((publication.exchange.to_owned(), publication.routing_key.to_string(), event));
        }
    }
    Ok(events)
}

fn body(event: &Json) -> Vec<u8> {
    event.to_string().into_bytes()
}

fn received<'m>(routing_key: &'m str, body: &'m [u8]) -> Received<'m> {
    Received { exchange: "", routing_key, properties: ReceivedProperties::default(), body }
}

fn event(publication: &Publication<'_>) -> Result<Json, String> {
    serde_json::from_slice(&publication.body).map_err(|error| format!("the body is not JSON: {error}"))
}

fn header_json(value: &HeaderValue<'_>) -> Json {
    match value {
        HeaderValue::Text(text) => Json::from(text.as_ref()),
        HeaderValue::Flag(flag) => Json::Bool(*flag),
    }
}

fn told(outcome: &Outcome<'_>) -> String {
    match outcome {
        Outcome::Refused(refusal) => {
            format!("it is refused with `{}`: {}", refusal.reason.code(), refusal.detail)
        }
        Outcome::Publish(_) => "it is published".into(),
        Outcome::Partly(_, refusal) => format!("only a part is published: {}", refusal.detail),
        Outcome::Echo | Outcome::Dropped | Outcome::Answer(_) => "it is dropped".into(),
    }
}

fn same(what: &str, made: &Json, expected: &Json) -> Result<(), String> {
    let Some((path, made, expected)) = difference(made, expected) else { return Ok(()) };
    let told = |value: Option<&Json>| value.map_or_else(|| "missing".to_owned(), Json::to_string);
    let what = if path.is_empty() { what.to_owned() } else { format!("`{path}` of {what}") };
    Err(format!("{what} is {}, in the example it is {}", told(made), told(expected)))
}

/// The first place at which two values differ, and what each has there.
pub(super) fn difference<'j>(
    made: &'j Json,
    expected: &'j Json,
) -> Option<(String, Option<&'j Json>, Option<&'j Json>)> {
    let below = |key: &str, (path, made, expected): (String, Option<&'j Json>, Option<&'j Json>)| {
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        (format!("{key}{dot}{path}"), made, expected)
    };
    match (made, expected) {
        (Json::Object(ours), Json::Object(theirs)) => {
            ours.keys().chain(theirs.keys()).find_map(|key| match (ours.get(key), theirs.get(key)) {
                (Some(ours), Some(theirs)) => Some(below(key, difference(ours, theirs)?)),
                (ours, theirs) => Some((key.clone(), ours, theirs)),
            })
        }
        (Json::Array(ours), Json::Array(theirs)) if ours.len() == theirs.len() => {
            let mut pairs = ours.iter().zip(theirs).enumerate();
            pairs.find_map(|(at, (ours, theirs))| Some(below(&format!("[{at}]"), difference(ours, theirs)?)))
        }
        _ => (made != expected).then(|| (String::new(), Some(made), Some(expected))),
    }
}
