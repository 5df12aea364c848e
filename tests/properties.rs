//! Laws: what holds for every template, every event, every body and every mapping file.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod translator;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use cti_bridge::commands::mappings;
use cti_bridge::core::mapping_file;
use cti_bridge::core::message::{
    DeliveryMode, HeaderValue, MARK_HEADER, Mark, Outcome, Properties, Publication, Received,
    ReceivedProperties,
};
use cti_bridge::core::probe::{PROBE_EVENT, PROBE_HEADER};
use cti_bridge::core::rule::{HeaderTemplate, Modern, ModernFace, Rule, fill};
use cti_bridge::core::template::{Placeholder, Template, Words};
use cti_bridge::core::translate::Translator;
use cti_bridge::core::version::Version;
use cti_bridge::render;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value as Json, json};
use translator::{MADE_UP, ORIGIN};

fn cases(cases: u32) -> ProptestConfig {
    // A failure prints its smallest case, which then becomes a test of its own.
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

// ── Templates ────────────────────────────────────────────────────────────────────────────────────

/// A template and a value for each of its placeholders. Literals are letters `a` to `f`; values are made
/// of `values`, so that a disjoint alphabet makes every text readable in one way only.
fn template_and_values(values: &'static str) -> impl Strategy<Value = (Template, Vec<String>)> {
    let word = prop_oneof![
        "[a-f]{1,3}".prop_map(|literal| (literal, false)),
        ("[a-f]{0,2}", "[a-f]{0,2}").prop_map(|(before, after)| (format!("{before}{{}}{after}"), false)),
        Just(("{|raw}".to_owned(), true)),
    ];
    prop::collection::vec(word, 1..6).prop_flat_map(move |words| {
        let (mut placeholders, mut raw_before) = (0, false);
        let mut shapes = Vec::new();
        let words: Vec<String> = words
            .into_iter()
            .map(|(word, is_raw)| {
                // One placeholder of several words is enough: two in a row could share them out at will.
                let word = if is_raw && raw_before { "{}".to_owned() } else { word };
                let is_raw = word == "{|raw}";
                raw_before |= is_raw;
                if !word.contains('{') {
                    return word;
                }
                placeholders += 1;
                shapes.push(if is_raw { format!("{values}(\\.{values}){{0,2}}") } else { values.to_owned() });
                word.replace('{', &format!("{{p{placeholders}"))
            })
            .collect();
        let template = Template::parse(&words.join(".")).unwrap();
        let values: Vec<_> = shapes.iter().map(|shape| prop::string::string_regex(shape).unwrap()).collect();
        (Just(template), values)
    })
}

fn rendered(template: &Template, values: &[String]) -> String {
    let mut next = values.iter();
    let mut value = |_: &Placeholder| Ok::<_, ()>(Cow::Borrowed(next.next().unwrap().as_str()));
    template.render(&mut value).unwrap().into_owned()
}

/// Whether a topic exchange routes this key to this binding, as AMQP 0-9-1 has it.
fn matches(binding_key: &str, routing_key: &str) -> bool {
    fn go(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern, words) {
            ([], []) => true,
            (["#", rest @ ..], _) => go(rest, words) || (!words.is_empty() && go(pattern, &words[1..])),
            (["*", rest @ ..], [_, words @ ..]) => go(rest, words),
            ([word, rest @ ..], [first, words @ ..]) => word == first && go(rest, words),
            _ => false,
        }
    }
    let split = |key| str::split(key, '.').collect::<Vec<_>>();
    go(&split(binding_key), &split(routing_key))
}

#[test]
fn the_topic_matcher_of_these_tests_is_right() {
    assert!(matches("calls.*.created", "calls.call.created"));
    assert!(!matches("calls.*", "calls.call.created"));
    assert!(!matches("calls.*", "calls"));
    assert!(matches("calls.#", "calls.call.created") && matches("calls.#", "calls"));
    assert!(matches("#", "anything.at.all") && matches("#.b", "a.x.b") && !matches("#.b", "a.x"));
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn a_template_reads_back_what_it_printed((template, values) in template_and_values("[0-9A-Zé-]{1,4}")) {
        let text = rendered(&template, &values);
        let captured = template.capture(&text);
        let captured: Option<Vec<&str>> =
            captured.map(|captured| captured.into_iter().map(|(_, value)| value).collect());
        prop_assert_eq!(captured, Some(values.iter().map(String::as_str).collect()), "{} {}", template, text);
    }

    #[test]
    fn what_a_template_reads_it_prints_again((template, values) in template_and_values("[a-f0-9]{1,4}")) {
        let text = rendered(&template, &values);
        let captured = template.capture(&text);
        prop_assert!(captured.is_some(), "{} {}", template, text);
        let captured: Vec<String> =
            captured.unwrap().into_iter().map(|(_, value)| value.to_owned()).collect();
        prop_assert_eq!(rendered(&template, &captured), text);
    }

    #[test]
    fn a_binding_key_matches_all_that_its_template_prints(
        (template, values) in template_and_values("[a-f0-9A-Z-]{1,4}")
    ) {
        let (key, pattern) = (rendered(&template, &values), template.binding_key());
        prop_assert!(matches(&pattern, &key), "{} gives {}, which does not match {}", template, pattern, key);
    }

    #[test]
    fn a_template_is_displayed_as_it_was_written(text in "[a-c{}.|\\[\\]0-2]{0,12}") {
        if let Ok(template) = Template::parse(&text) {
            prop_assert_eq!(Template::parse(&template.to_string()), Ok(template));
        }
    }
}

// ── Events ───────────────────────────────────────────────────────────────────────────────────────

/// The rules at 19.05 with those made up here, and their translator.
struct World {
    translator: Translator,
    /// Every event with a modern face.
    events: Vec<Event>,
    /// The modern fields from which another legacy event is rebuilt, by modern name.
    rebuilt: BTreeMap<String, Vec<String>>,
}

/// An event by its legacy name, and its rule.
#[derive(Clone)]
struct Event {
    name: String,
    rule: Arc<Rule>,
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    let mut mappings = mappings::load(true, &[]).unwrap();
    mappings.layers.push(translator::made_up());
    let version = Version::new(19, 5);
    let events = mappings
        .rules()
        .filter(|rule| rule.versions.contains(version) && matches!(rule.modern, Modern::Face(_)))
        .flat_map(|rule| {
            let mut names: Vec<String> = rule.listed_names().into_iter().map(|(name, _)| name).collect();
            if names.is_empty() {
                names.push("QueueMemberStatus".into());
            }
            names.into_iter().map(|name| Event { name, rule: Arc::clone(rule) })
        })
        .collect();
    let rebuilt = mappings
        .rules()
        .filter(|rule| rule.versions.contains(version))
        .filter_map(|rule| rule.rebuilt_from.as_ref())
        .map(|from| (from.name.clone(), from.data.iter().map(|field| field.modern.clone()).collect()))
        .collect();
    World { translator: translator::translator(&mappings), events, rebuilt }
});

fn face(rule: &Rule) -> &ModernFace {
    match &rule.modern {
        Modern::Face(face) => face,
        Modern::None { .. } => panic!("an event with a modern face"),
    }
}

/// The templates of the modern face for an event of this name.
struct Shape {
    routing_key: Template,
    required_acl: Option<Template>,
    headers: Vec<(Template, HeaderTemplate)>,
}

fn shape(event: &Event) -> Shape {
    let face = face(&event.rule);
    let captured = event.rule.event.capture(&event.name).unwrap();
    let values: Vec<(&str, &str)> =
        captured.iter().map(|(placeholder, value)| (placeholder.name.as_str(), *value)).collect();
    Shape {
        routing_key: fill(&face.routing_key, &values),
        required_acl: face.required_acl.as_ref().map(|acl| fill(acl, &values)),
        headers: face.headers.iter().map(|(key, value)| (fill(key, &values), value.clone())).collect(),
    }
}

/// The legacy fields that a rule reads, each with the elements that it needs where it is a list.
fn fields_read(event: &Event) -> BTreeMap<String, usize> {
    let shape = shape(event);
    let mut templates = vec![&shape.routing_key];
    templates.extend(&shape.required_acl);
    for (key, value) in &shape.headers {
        templates.push(key);
        if let HeaderTemplate::Text(value) = value {
            templates.push(value);
        }
    }
    let mut fields: BTreeMap<String, usize> = BTreeMap::new();
    for placeholder in templates.into_iter().flat_map(Template::placeholders) {
        let mapped = face(&event.rule).data.iter().find(|field| field.modern == placeholder.name);
        let field = mapped.map_or(&placeholder.name, |field| &field.legacy);
        let elements = fields.entry(field.clone()).or_default();
        *elements = (*elements).max(placeholder.index.map_or(0, |index| index + 1));
    }
    for field in WORLD.rebuilt.get(&face(&event.rule).name.to_string()).into_iter().flatten() {
        fields.entry(field.clone()).or_default();
    }
    fields
}

/// JSON as a sender may write it: escapes, numbers of any size, blanks, repeated keys.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|flag| flag.to_string()),
        "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,10})?([eE][+-]?[0-9]{1,3})?",
        "\"([ !#-\\[\\]-~]|\\\\u[0-9a-fA-F]{4}|\\\\[bfnrt/\"\\\\]){0,8}\"",
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let key = "\"[a-z\\.#*]{0,3}\"";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec((key, inner), 0..4).prop_map(|fields| {
                let fields: Vec<String> =
                    fields.iter().map(|(key, value)| format!("{key} : {value}")).collect();
                format!("{{{}}}", fields.join(","))
            }),
        ]
    })
}

/// An event of a rule and legacy data for it: what the rule reads as plain words, and anything beside it.
fn event_and_data() -> impl Strategy<Value = (Event, String)> {
    select(WORLD.events.clone()).prop_flat_map(|event| {
        let read: Vec<_> = fields_read(&event)
            .into_iter()
            .map(|(field, elements)| {
                let word = || "\"[A-Za-z0-9-]{3,12}\"|[1-9][0-9]{0,20}";
                let value = match elements {
                    0 => word().prop_map(|word| word).boxed(),
                    _ => prop::collection::vec(word(), elements..elements + 2)
                        .prop_map(|words| format!("[{}]", words.join(",")))
                        .boxed(),
                };
                (Just(field), value.prop_filter("stands for whoever asks", |value| value != "\"me\""))
            })
            .collect();
        let status = select(vec!["\"open\"", "\"closed\"", "1", "true", "null"]);
        let is_mapped = !face(&event.rule).data.is_empty();
        let other = prop::collection::vec(("x[a-z]{0,5}", json_text()), 0..5);
        (Just(event), read, other, status).prop_map(move |(event, read, other, status)| {
            let mut fields: Vec<String> =
                read.iter().chain(&other).map(|(field, value)| format!("\"{field}\":{value}")).collect();
            if is_mapped {
                fields.push(format!("\"status\":{status}"));
            }
            (event, format!("{{{}}}", fields.join(", ")))
        })
    })
}

fn received(body: &[u8]) -> Received<'_> {
    Received { exchange: "", routing_key: "", properties: ReceivedProperties::default(), body }
}

fn publications(outcome: Outcome<'_>) -> Result<Vec<Publication<'_>>, TestCaseError> {
    match outcome {
        Outcome::Publish(publications) => Ok(publications),
        outcome => Err(TestCaseError::fail(format!("not published: {outcome:?}"))),
    }
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn there_and_back_is_the_same_event((Event { name, rule }, data) in event_and_data()) {
        let translator = &WORLD.translator;
        let legacy = format!("{{\"name\": \"{name}\", \"data\": {data}}}");
        let there = publications(translator.to_modern(&received(legacy.as_bytes())))?;
        prop_assert_eq!(there.len(), 1);
        // As another bridge would see it: without our mark, or it would be an echo.
        let back = publications(translator.to_legacy(&received(&there[0].body)))?;
        let same_name: Vec<_> = back
            .iter()
            .filter(|made| made.body.starts_with(format!("{{\"name\": \"{name}\",").as_bytes()))
            .collect();
        prop_assert_eq!(same_name.len(), rule.legacy.addresses.len());
        for made in same_name {
            let made = std::str::from_utf8(&made.body).unwrap();
            if face(&rule).data.is_empty() {
                prop_assert_eq!(made, &legacy);
            } else {
                prop_assert_eq!(without_blanks(made), without_blanks(&legacy));
            }
        }
    }
}

/// JSON without the blanks between its tokens, everything else as it is written.
fn without_blanks(json: &str) -> String {
    let (mut out, mut in_text, mut escaped) = (String::new(), false, false);
    for c in json.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            ' ' if !in_text => continue,
            _ => {}
        }
        out.push(c);
    }
    out
}

/// What a sender may put into a field to become more than one word, or somebody else.
fn hostile_value() -> impl Strategy<Value = Json> {
    let texts = [
        "a.b",
        ".",
        "..",
        "#",
        "*",
        "a#",
        "*b",
        "",
        "me",
        "my_session",
        "events.me",
        "None",
        "null",
        " ",
        "a b",
        "\n",
        "\u{0}",
        "\u{7f}",
        "\u{85}",
        "é",
        "😀",
        "{user_uuid}",
        "{routing_key}",
        "x-match",
        "CC",
        "required_acl",
        "evil",
    ];
    prop_oneof![
        select(texts.to_vec()).prop_map(Json::from),
        "[a-z.#*]{1,6}".prop_map(Json::from),
        any::<String>().prop_map(Json::from),
        (1_usize..400).prop_map(|length| Json::from("x".repeat(length))),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        any::<bool>().prop_map(Json::from),
        Just(Json::Null),
        Just(json!(["a", "me"])),
        Just(json!({"a": "me"})),
        prop::collection::vec(select(texts.to_vec()).prop_map(Json::from), 0..3).prop_map(Json::Array),
    ]
}

fn hostile_event() -> impl Strategy<Value = (Event, Json)> {
    select(WORLD.events.clone()).prop_flat_map(|event| {
        let read: Vec<_> = fields_read(&event)
            .into_keys()
            .map(|field| (Just(field), prop_oneof!["[a-z0-9-]{1,8}".prop_map(Json::from), hostile_value()]))
            .collect();
        let more = prop::collection::vec(("[a-z_]{1,12}", hostile_value()), 0..3);
        (Just(event), read, more).prop_map(|(event, read, more)| {
            let data: Map<String, Json> = more.into_iter().chain(read).collect();
            (event, Json::Object(data))
        })
    })
}

/// Whether a text that a template printed has the shape of the template and no structure beside it.
fn keeps_shape(text: &str, template: &Template, longest: usize) -> Result<(), TestCaseError> {
    let several = template.placeholders().any(|placeholder| placeholder.words == Words::Several);
    let words = template.to_string().split('.').count();
    let count = text.split('.').count();
    prop_assert!(if several { count >= words } else { count == words }, "{template}: {text}");
    prop_assert!(text.split('.').all(|word| !word.is_empty()), "{template}: {text}");
    prop_assert!(!text.contains(['#', '*']) && !text.chars().any(char::is_control), "{template}: {text:?}");
    prop_assert!(text.len() <= longest, "{template}: {} bytes", text.len());
    prop_assert!(matches(&template.binding_key(), text), "{template}: {text}");
    prop_assert!(template.capture(text).is_some(), "{template}: {text}");
    Ok(())
}

proptest! {
    #![proptest_config(cases(3000))]

    #[test]
    fn text_from_a_message_never_becomes_structure((event, data) in hostile_event()) {
        let shape = shape(&event);
        let event = json!({
            "name": event.name, "data": data,
            // What a legacy sender might add to choose its audience.
            "required_acl": null, "tenant_uuid": "EVIL", "user_uuid:*": true, "headers": {"EVIL": true},
        });
        let body = event.to_string();
        let properties = ReceivedProperties { mark: Mark::NotText, ..ReceivedProperties::default() };
        let Outcome::Publish(made) =
            WORLD.translator.to_modern(&Received { properties, ..received(body.as_bytes()) })
        else {
            return Ok(());
        };
        prop_assert_eq!(made.len(), 1);
        let Publication { exchange, routing_key, properties, body } = &made[0];
        prop_assert_eq!(*exchange, "xivo");
        keeps_shape(routing_key, &shape.routing_key, 255)?;

        let made: Map<String, Json> = serde_json::from_slice(body).unwrap();
        let keys: Vec<&str> = made.keys().map(String::as_str).collect();
        let mut expected = vec!["data", "name", "origin_uuid"];
        expected.extend(shape.required_acl.as_ref().map(|_| "required_acl"));
        prop_assert_eq!(keys, expected);
        prop_assert_eq!(&made["origin_uuid"], ORIGIN);
        if let Some(template) = &shape.required_acl {
            let acl = made["required_acl"].as_str().unwrap();
            keeps_shape(acl, template, 1024)?;
            prop_assert!(!acl.split('.').any(|word| matches!(word, "me" | "my_session")), "{}", acl);
        }

        let Properties { content_type, content_encoding, delivery_mode, message_id, headers, .. } = properties;
        prop_assert_eq!((*content_type, *content_encoding), (Some("application/json"), Some("utf-8")));
        prop_assert_eq!((*delivery_mode, message_id), (DeliveryMode::Transient, &None));
        let mut seen = Vec::new();
        for (header, value) in headers {
            prop_assert!(!seen.contains(header), "{} twice", header);
            seen.push(header.clone());
            let value_is = |expected: &Json| matches!(value, HeaderValue::Text(text) if *expected == **text);
            match header.as_ref() {
                "name" | "origin_uuid" | "required_acl" => prop_assert!(value_is(&made[header.as_ref()])),
                MARK_HEADER => prop_assert!(value_is(&json!("b1"))),
                header => {
                    let mut templates = shape.headers.iter();
                    let template = templates.find(|(template, _)| template.capture(header).is_some());
                    prop_assert!(template.is_some(), "a header {header:?} of its own making");
                    prop_assert!(!header.contains(['#', '*', '.']), "{}", header);
                }
            }
        }
        prop_assert_eq!(headers.len(), 3 + usize::from(shape.required_acl.is_some()) + shape.headers.len());
        let outside = json!([routing_key, format!("{headers:?}")]).to_string();
        prop_assert!(!outside.contains("EVIL"), "{}", outside);
    }

    #[test]
    fn legacy_events_are_ascii_with_two_keys(
        (event, data) in hostile_event(), beside in hostile_value(), other_name in any::<String>()
    ) {
        for name in [&event.name, &other_name] {
            let event = json!({"name": name, "data": data, "origin_uuid": beside, "required_acl": beside});
            let body = event.to_string();
            let outcome = WORLD.translator.to_legacy(&received(body.as_bytes()));
            let made = match outcome {
                Outcome::Publish(made) => made,
                Outcome::Refused(_) => continue,
                outcome => return Err(TestCaseError::fail(format!("{outcome:?}"))),
            };
            for made in made {
                prop_assert!(made.body.is_ascii());
                let text = std::str::from_utf8(&made.body).unwrap();
                prop_assert!(text.starts_with("{\"name\": \"") && text.contains("\", \"data\": "), "{}", text);
                let keys: Map<String, Json> = serde_json::from_str(text).unwrap();
                prop_assert_eq!(keys.keys().collect::<Vec<_>>(), ["data", "name"]);
                prop_assert!(made.routing_key.len() <= 255);
                prop_assert!(["xivo-cti", "xivo-ami", "xivo-status-updates"].contains(&made.exchange));
                let mark = (Cow::Borrowed(MARK_HEADER), HeaderValue::Text("b1".into()));
                let nothing_else = Properties { headers: vec![mark], ..Properties::default() };
                prop_assert_eq!(made.properties, nothing_else);
            }
        }
    }
}

// ── Probes ───────────────────────────────────────────────────────────────────────────────────────

/// A message that calls itself a probe: who asks, over what, about anything at all.
fn any_probe() -> impl Strategy<Value = (String, Vec<u8>)> {
    let run = prop_oneof!["[A-Za-z0-9]{1,32}", "[a-z.#*]{0,40}", ".{0,8}", Just("x.xivo-cti".to_owned())];
    let event = prop_oneof![
        event_and_data()
            .prop_map(|(Event { name, .. }, data)| format!("{{\"name\":\"{name}\",\"data\":{data}}}")),
        json_text(),
        "[a-z.#*-]{0,20}".prop_map(|name| json!({"name": name, "required_acl": "#", "data": {}}).to_string()),
    ];
    let exchange = select(vec!["", "xivo", "xivo-cti", "xivo-ami", "amq.topic"]);
    (run, event, json_text(), exchange, any::<bool>()).prop_map(|(run, event, key, exchange, whole)| {
        let key = if whole { "\"calls.call.created\"".to_owned() } else { key };
        let run = Json::from(run);
        let probe = format!("{{\"run\":{run},\"number\":1,\"routing_key\":{key},\"event\":{event}}}");
        let body =
            format!("{{\"name\":\"{PROBE_EVENT}\",\"required_acl\":\"#\",\"data\":{{\"probe\":{probe}}}}}");
        (exchange.to_owned(), body.into_bytes())
    })
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn nothing_that_a_probe_brings_gets_out_of_the_names_of_probes((exchange, body) in any_probe()) {
        let message = Received { exchange: &exchange, ..received(&body) };
        for outcome in [WORLD.translator.to_modern(&message), WORLD.translator.to_legacy(&message)] {
            let made = match outcome {
                Outcome::Answer(made) => made,
                Outcome::Refused(_) => continue,
                outcome => return Err(TestCaseError::fail(format!("a probe became {outcome:?}"))),
            };
            let mut exchanges: Vec<&str> = made.iter().map(|made| made.exchange).collect();
            exchanges.dedup();
            // One answer to an exchange, and none but those of the bus or, where it came from there, the default one.
            prop_assert_eq!(exchanges.len(), made.len());
            let bus = ["xivo", "xivo-cti", "xivo-ami", "xivo-status-updates"];
            for made in made {
                let back = exchange.is_empty() && made.exchange.is_empty();
                prop_assert!(back || !exchange.is_empty() && bus.contains(&made.exchange), "{}", made.exchange);
                let run = made.routing_key.strip_prefix("cti-bridge.probe.");
                let run = run.ok_or_else(|| TestCaseError::fail(made.routing_key.to_string()))?;
                prop_assert!(!run.is_empty() && run.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                let event: Map<String, Json> = serde_json::from_slice(&made.body).unwrap();
                prop_assert_eq!(event.keys().collect::<Vec<_>>(), ["data", "name"]);
                prop_assert_eq!(&event["name"], PROBE_EVENT);
                for (name, value) in made.properties.headers {
                    prop_assert!([PROBE_HEADER, MARK_HEADER, "name"].contains(&name.as_ref()), "{}", name);
                    prop_assert!(name != "name" || value == HeaderValue::Text(PROBE_EVENT.into()));
                }
            }
        }
    }
}

// ── Anything at all ──────────────────────────────────────────────────────────────────────────────

/// Bytes that are nearly an event.
fn damaged_event() -> impl Strategy<Value = Vec<u8>> {
    let event = event_and_data()
        .prop_map(|(Event { name, .. }, data)| format!("{{\"name\":\"{name}\",\"data\":{data}}}"));
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..4);
    (event, damage).prop_map(|(event, damage)| {
        let mut bytes = event.into_bytes();
        for (at, byte, kind) in damage {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => bytes.truncate(at),
            }
        }
        bytes
    })
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        "[\\[\\]{}\":,\\\\a-z0-9 .-]{0,64}".prop_map(String::into_bytes),
        json_text().prop_map(String::into_bytes),
        damaged_event(),
    ]
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn every_body_has_an_outcome(body in any_body(), mark in prop::option::of("[a-c,]{0,8}|.{0,4}")) {
        let mark = mark.as_deref().map_or(Mark::Absent, Mark::Text);
        let properties = ReceivedProperties { mark, ..ReceivedProperties::default() };
        let message = Received { properties, ..received(&body) };
        for outcome in [WORLD.translator.to_modern(&message), WORLD.translator.to_legacy(&message)] {
            match outcome {
                Outcome::Publish(made) | Outcome::Partly(made, _) => {
                    prop_assert!(!made.is_empty());
                    for made in made {
                        let event = serde_json::from_slice::<serde::de::IgnoredAny>(&made.body);
                        prop_assert!(event.is_ok(), "{:?}", String::from_utf8_lossy(&made.body));
                    }
                }
                Outcome::Refused(refusal) => {
                    prop_assert!(!refusal.detail.is_empty());
                    prop_assert!(!refusal.detail.chars().any(char::is_control), "{:?}", refusal.detail);
                }
                Outcome::Echo | Outcome::Dropped | Outcome::Answer(_) => {}
            }
        }
    }
}

/// A mapping file in which pieces are exchanged, lost or out of place.
fn damaged_file() -> impl Strategy<Value = String> {
    let pieces = [
        "- ",
        "event: ",
        "source: x\n",
        "  ",
        "modern: ",
        "modern: none\n",
        "routing_key: ",
        "data: ",
        "tests:\n",
        "{",
        "}",
        "[",
        "]",
        "\"",
        "'",
        ": ",
        "#",
        "*a",
        "&a ",
        "!b ",
        "|\n",
        ">\n",
        "\t",
        "\n",
        "---\n",
        "a_{b}",
        "parameters: {b: [c, d]}\n",
        "versions: ",
        "\"19.05..\"\n",
        "17.10",
        "values: ",
        "é",
        "\u{feff}",
        "\r\n",
        "legacy: {\"name\": \"a_c\"}\n",
        "refused: removed_event\n",
        "99999999999999999999",
        "? ",
        "<<: ",
        "~",
        "\u{2028}",
        "\u{85}",
    ];
    prop::collection::vec(select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn every_text_is_a_mapping_file_or_has_mistakes(
        text in prop_oneof![damaged_file(), any::<String>()],
        cut in any::<prop::sample::Index>(),
        piece in damaged_file(),
        whole in any::<bool>(),
    ) {
        // Either damage alone, or damage in the middle of a good file.
        let text = if whole {
            let at = (0..=cut.index(MADE_UP.len())).rev().find(|&at| MADE_UP.is_char_boundary(at)).unwrap();
            format!("{}{piece}{}", &MADE_UP[..at], &MADE_UP[at..])
        } else {
            text
        };
        if let Err(mistakes) = mapping_file::read(&text) {
            prop_assert!(!mistakes.is_empty());
            for mistake in mistakes {
                let told = render::diagnostic("a.yaml", &text, &mistake);
                prop_assert!(told.starts_with("error: ") && told.ends_with('\n'), "{}", told);
                prop_assert!(!told.contains('\x1b'));
            }
        }
    }
}
