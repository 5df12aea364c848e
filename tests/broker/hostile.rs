//! Messages that nobody should send. None ends the bridge, and a good message behind each one arrives.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::options::QueueDeclareOptions;
use lapin::types::{AMQPValue, DecimalValue, FieldTable};
use serde_json::{Value, json};

use super::harness::{ORIGIN, Tap, World, eventually, json_of, long, mark, only_the_mark, table, text};

const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

/// How long the messages with an expiration may live. All others take longer.
const EXPIRATION: Duration = Duration::from_secs(3);

/// A queue that only a copied CC or BCC can reach.
const SECRET: &str = "secret";

/// Headers that fit into no small frame: the session ends, once, and what was not acked comes again.
const LARGE: &str = "60 kB of headers";

/// Headers that fit into one frame, but not into one with others.
const BEYOND_MEASURE: &str = "headers beyond all measure";

struct Case {
    what: String,
    exchange: &'static str,
    key: String,
    properties: BasicProperties,
    body: Vec<u8>,
    fate: Fate,
}

enum Fate {
    /// It comes out under this key; what else is to be seen is up to the function.
    Passes(String, fn(&Delivery)),
    /// It is in quarantine for this reason.
    Quarantined(&'static str),
    /// Nothing comes of it.
    Vanishes,
}

fn anything(_: &Delivery) {}

/// Bodies that are no event, for either direction. `name` is an event that passes.
fn no_events(name: &str) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let with_data = |data: &str| format!(r#"{{"name": "{name}", "data": {data}}}"#).into_bytes();
    let nested = |levels: usize| with_data(&format!("{}{}", "[".repeat(levels), "]".repeat(levels)));
    let mut too_large = with_data(&format!(r#"{{"call_id": "{}"}}"#, "a".repeat(MAX_BODY_BYTES)));
    too_large.truncate(MAX_BODY_BYTES + 1);
    let named = |name: &str| format!(r#"{{"name": {name}, "data": {{}}}}"#).into_bytes();
    vec![
        ("not JSON", b"not json".to_vec(), "not_json"),
        ("an empty body", Vec::new(), "not_json"),
        ("a cut body", with_data("{").into_iter().take(30).collect(), "not_json"),
        ("two events in one body", [with_data("1"), with_data("2")].concat(), "not_json"),
        ("a byte order mark", [b"\xef\xbb\xbf".to_vec(), with_data("{}")].concat(), "not_json"),
        ("NaN", with_data("NaN"), "not_json"),
        (
            "broken UTF-8",
            with_data("\"?\"").iter().map(|b| if *b == b'?' { 0xff } else { *b }).collect(),
            "not_utf8",
        ),
        ("UTF-16", with_data("{}").iter().flat_map(|b| [*b, 0]).collect(), "not_json"),
        ("a list", b"[1]".to_vec(), "not_an_event"),
        ("null", b"null".to_vec(), "not_an_event"),
        ("a text", b"\"call_held\"".to_vec(), "not_an_event"),
        (
            "a repeated name",
            format!(r#"{{"name": "{name}", "n\u0061me": "x"}}"#).into_bytes(),
            "not_an_event",
        ),
        (
            "repeated data",
            format!(r#"{{"name": "{name}", "data": 1, "data": 2}}"#).into_bytes(),
            "not_an_event",
        ),
        ("no name", b"{\"data\": {}}".to_vec(), "bad_name"),
        ("null for a name", named("null"), "bad_name"),
        ("a number for a name", named("5"), "bad_name"),
        ("a list for a name", named("[\"call_held\"]"), "bad_name"),
        ("an empty name", named("\"\""), "bad_name"),
        ("a name with a line break", named("\"a\\nb\""), "bad_name"),
        ("a name of 256 bytes", named(&format!("\"{}\"", "n".repeat(256))), "bad_name"),
        ("a name of 255 characters and more bytes", named(&format!("\"{}\"", "é".repeat(255))), "bad_name"),
        ("half a surrogate in the name", named("\"a\\ud800b\""), "bad_name"),
        ("901 levels", nested(901), "too_deep"),
        ("100,000 levels", nested(100_000), "too_deep"),
        ("100,000 levels that are never closed", vec![b'['; 100_000], "not_an_event"),
        ("100,000 levels of objects around the event", b"{\"name\":".repeat(100_000), "not_json"),
        ("one byte more than 16 MiB", too_large, "too_large"),
    ]
}

fn of_16_mib(name: &str) -> Vec<u8> {
    let event = |text: &str| format!(r#"{{"name": "{name}", "data": {{"call_id": "{text}"}}}}"#);
    let event = event(&"a".repeat(MAX_BODY_BYTES - event("").len()));
    assert_eq!(event.len(), MAX_BODY_BYTES);
    event.into_bytes()
}

/// Every kind of value that a header can have with this broker.
fn every_kind() -> FieldTable {
    let mut kinds = vec![
        ("true", AMQPValue::Boolean(true)),
        ("i8", AMQPValue::ShortShortInt(-1)),
        ("u8", AMQPValue::ShortShortUInt(255)),
        ("i16", AMQPValue::ShortInt(i16::MIN)),
        ("u16", AMQPValue::ShortUInt(u16::MAX)),
        ("i32", AMQPValue::LongInt(i32::MIN)),
        ("u32", AMQPValue::LongUInt(u32::MAX)),
        ("i64", AMQPValue::LongLongInt(i64::MIN)),
        ("f32", AMQPValue::Float(0.5)),
        ("f64", AMQPValue::Double(-1e300)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("text", long("Québec \u{1f600} \u{0} \u{1b}[31m")),
        ("not text", AMQPValue::LongString(vec![0xff, 0xfe].into())),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("time", AMQPValue::Timestamp(u64::MAX)),
        ("nothing", AMQPValue::Void),
        ("", long("a header without a name")),
        ("empty list", AMQPValue::FieldArray(Vec::new().into())),
        ("empty table", AMQPValue::FieldTable(FieldTable::default())),
    ];
    let list = kinds.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>();
    let nested = table([
        ("list", AMQPValue::FieldArray(list.into())),
        ("table", AMQPValue::FieldTable(table([("deeper", AMQPValue::FieldTable(table(kinds.clone())))]))),
    ]);
    kinds.push(("nested", AMQPValue::FieldTable(nested)));
    // What the broker reads where it is on the message itself.
    kinds.push((
        "x-death",
        AMQPValue::FieldArray(vec![AMQPValue::FieldTable(table([("count", long("many"))]))].into()),
    ));
    kinds.push(("x-delay", AMQPValue::LongInt(60_000)));
    kinds.push(("cti-bridge-reason", long("forged")));
    table(kinds)
}

/// Properties that must not be copied, each with what they are.
fn hostile_properties() -> Vec<(&'static str, BasicProperties)> {
    let base = BasicProperties::default;
    let headers = |entries: Vec<(&str, AMQPValue)>| BasicProperties::default().with_headers(table(entries));
    let keys = |key: &str| AMQPValue::FieldArray(vec![long(key)].into());
    vec![
        ("expiration", base().with_expiration(EXPIRATION.as_millis().to_string().into())),
        ("reply_to", base().with_reply_to("somebody".into())),
        ("user_id of the login", base().with_user_id("guest".into())),
        ("priority 255", base().with_priority(255)),
        ("other texts", base().with_type("t".into()).with_app_id("a".into()).with_cluster_id("c".into())),
        (
            "a content type and an encoding",
            base().with_content_type("text/x".into()).with_content_encoding("gzip".into()),
        ),
        ("CC", headers(vec![("CC", keys(SECRET))])),
        ("BCC", headers(vec![("BCC", keys(SECRET))])),
        ("headers of every kind", base().with_headers(every_kind())),
        (LARGE, headers(vec![("h", AMQPValue::LongString(vec![b'x'; 60_000].into()))])),
        (
            "forged rights",
            headers(vec![
                ("required_acl", long("events.everybody")),
                ("name", long("another")),
                ("origin_uuid", long("another")),
                ("tenant_uuid", long("another")),
                ("user_uuid:2e752722-0864-4665-887d-a78a024cf7c7", AMQPValue::Boolean(true)),
                ("user_uuid:*", AMQPValue::Boolean(true)),
            ]),
        ),
    ]
}

/// Marks that no bridge wrote: as good as none.
fn forged_marks() -> Vec<(&'static str, AMQPValue)> {
    let own_in_a_list = AMQPValue::FieldArray(vec![long(ORIGIN)].into());
    vec![
        ("an empty text", long("")),
        ("an empty id", long(&format!("{ORIGIN},,b"))),
        ("a space", long(&format!(" {ORIGIN}"))),
        ("a line break", long(&format!("{ORIGIN}\n"))),
        ("3,000 bytes", long(&format!("{ORIGIN},").repeat(81))),
        ("no text", AMQPValue::LongString(vec![0xff].into())),
        ("true", AMQPValue::Boolean(true)),
        ("a number", AMQPValue::LongLongInt(1)),
        ("nothing", AMQPValue::Void),
        ("a list", own_in_a_list),
        ("a table", AMQPValue::FieldTable(table([(ORIGIN, AMQPValue::Void)]))),
    ]
}

fn with_mark(value: AMQPValue) -> BasicProperties {
    BasicProperties::default().with_headers(table([("cti-bridge", value)]))
}

/// Nine other bridges, one more than may be.
fn nine_hops() -> AMQPValue {
    long(&(0..9).map(|hop| format!("b{hop}")).collect::<Vec<_>>().join(","))
}

/// Sends all, each followed by a good message, and holds what comes out against what should.
async fn run(
    world: &World,
    cases: &[Case],
    out: &mut Tap,
    good: impl Fn(usize) -> (&'static str, &'static str, Value),
    is_good: impl Fn(&Delivery, usize) -> bool,
) {
    for (number, case) in cases.iter().enumerate() {
        let Case { what, exchange, key, properties, body, fate } = case;
        if what.starts_with(LARGE) {
            world.all_is_acked().await;
        }
        world.client.publish_with(exchange, key, properties.clone(), body).await;
        let (exchange, key, event) = good(number);
        world.client.publish(exchange, key, event.to_string()).await;
        let mut came = out.next().await;
        if let Fate::Passes(key, check) = fate {
            assert_eq!(came.routing_key.as_str(), key, "{what}");
            check(&came);
            came = out.next().await;
        }
        assert!(is_good(&came, number), "behind {what}: {} {:?}", came.routing_key, came.data.get(..200));
    }
}

/// Everything that should be in quarantine is there, in order, as it came, and nothing else.
async fn examine_quarantine(world: &World, direction: &str, cases: &[Case], began: Instant) {
    eventually("the expiration", async || (began.elapsed() > EXPIRATION).then_some(())).await;
    let mut quarantine = world.client.tap_queue("cti-bridge.quarantine").await;
    for case in cases {
        let Fate::Quarantined(reason) = case.fate else { continue };
        let found = quarantine.next().await;
        let what = &case.what;
        let headers = found.properties.headers().clone().unwrap_or_default();
        let header = |name: &str| headers.inner().get(name).and_then(text);
        assert_eq!(header("cti-bridge-reason").as_deref(), Some(reason), "{what}: {headers:?}");
        assert!(found.data == case.body, "{what}: the body is another one");
        assert_eq!(header("cti-bridge-direction").as_deref(), Some(direction), "{what}");
        assert_eq!(header("cti-bridge-exchange").as_deref(), Some(case.exchange), "{what}");
        assert_eq!(header("cti-bridge-routing-key"), Some(case.key.clone()), "{what}");
        assert!(header("cti-bridge-time").is_some_and(|time| time.ends_with('Z')), "{what}");
        let detail = header("cti-bridge-detail").unwrap();
        assert!(!detail.is_empty() && !detail.contains(char::is_control), "{what}: {detail}");

        // On the message itself nothing is left of its properties.
        let bare = BasicProperties::default().with_delivery_mode(2).with_headers(headers.clone());
        assert_eq!(found.properties, bare, "{what}");
        for name in headers.inner().keys() {
            assert!(name.as_str().starts_with("cti-bridge-"), "{what}: {name}");
        }
        let mut original = case.properties.headers().clone();
        if let Some(original) = &mut original {
            // The broker takes this one out before anybody sees it.
            *original = without(original, "BCC");
        }
        let kept = headers.inner().get("cti-bridge-headers");
        if !what.starts_with(BEYOND_MEASURE) {
            let kept = kept.and_then(AMQPValue::as_field_table).map(|kept| without(kept, DELIVERIES));
            assert_eq!(kept, original, "{what}");
        } else {
            assert!(kept.is_none() && headers.contains_key("cti-bridge-headers-left-out"), "{what}");
        }
        let Some(AMQPValue::FieldTable(scalars)) = headers.inner().get("cti-bridge-properties") else {
            panic!("{what}: no properties");
        };
        assert_eq!(scalars, &scalars_of(&case.properties), "{what}");
    }
    assert_eq!(world.client.depth("cti-bridge.quarantine").await, 0);
}

/// The broker's own, on what came before: the first large headers end one session, which the next one fits.
const DELIVERIES: &str = "x-delivery-count";

fn without(table: &FieldTable, name: &str) -> FieldTable {
    let others = table.inner().iter().filter(|(other, _)| other.as_str() != name);
    others.map(|(name, value)| (name.clone(), value.clone())).collect::<BTreeMap<_, _>>().into()
}

fn scalars_of(properties: &BasicProperties) -> FieldTable {
    let texts = [
        ("content-type", properties.content_type()),
        ("content-encoding", properties.content_encoding()),
        ("correlation-id", properties.correlation_id()),
        ("reply-to", properties.reply_to()),
        ("expiration", properties.expiration()),
        ("message-id", properties.message_id()),
        ("type", properties.kind()),
        ("user-id", properties.user_id()),
        ("app-id", properties.app_id()),
        ("cluster-id", properties.cluster_id()),
    ];
    let mut scalars =
        table(texts.into_iter().filter_map(|(name, value)| Some((name, long(value.as_ref()?.as_str())))));
    if let Some(priority) = properties.priority() {
        scalars.insert("priority".into(), AMQPValue::LongInt(i32::from(*priority)));
    }
    scalars
}

/// Listens where nothing may come.
async fn listen_in_secret(world: &World, published_on: &str) -> Tap {
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    world.client.channel.queue_declare(SECRET.into(), options, FieldTable::default()).await.unwrap();
    world.client.bind(SECRET, &[(published_on, SECRET)]).await;
    world.client.tap_queue(SECRET).await
}

async fn nothing_came(world: &World, secret: &mut Tap) {
    world.client.publish("", SECRET, "the end").await;
    assert_eq!(secret.next().await.data, b"the end");
}

fn without_rights(delivery: &Delivery) {
    let headers = table([
        ("name", long("call_form_result")),
        ("origin_uuid", long(ORIGIN)),
        ("cti-bridge", long(ORIGIN)),
    ]);
    let expected = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers);
    assert_eq!(delivery.properties, expected);
}

fn bare(delivery: &Delivery) {
    assert_eq!(delivery.properties, only_the_mark(ORIGIN));
}

fn passed_two(delivery: &Delivery) {
    assert_eq!(mark(delivery), Some(format!("other,{ORIGIN}")));
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn hostile_modern_messages_stop_nothing() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let began = Instant::now();
    let case = |what: &str, fate: Fate, properties: BasicProperties, body: Vec<u8>| Case {
        what: what.to_owned(),
        exchange: "xivo",
        key: "calls.hold.created".to_owned(),
        properties,
        body,
        fate,
    };
    let plain = BasicProperties::default;
    let held = || json!({"name": "call_held", "data": {"call_id": "x"}}).to_string().into_bytes();
    let passes = |check| Fate::Passes("call_held".to_owned(), check);
    let named = |name: &str| json!({"name": name, "data": {}}).to_string().into_bytes();
    let mut cases = Vec::new();
    // First those that must outlive their expiration.
    for (what, properties) in hostile_properties() {
        cases.push(case(
            &format!("{what} on no event"),
            Fate::Quarantined("not_json"),
            properties.clone(),
            vec![b'{'],
        ));
        cases.push(case(what, passes(bare), properties, held()));
    }
    let many = table([("h", AMQPValue::LongString(vec![b'x'; 125_000].into()))]);
    cases.push(case(BEYOND_MEASURE, Fate::Quarantined("not_json"), plain().with_headers(many), Vec::new()));
    for (what, body, reason) in no_events("call_held") {
        cases.push(case(what, Fate::Quarantined(reason), plain(), body));
    }
    for (what, value) in forged_marks() {
        cases.push(case(&format!("a mark: {what}"), passes(bare), with_mark(value), held()));
    }
    cases.push(case("the mark of another bridge", passes(passed_two), with_mark(long("other")), held()));
    cases.push(case("our own mark", Fate::Vanishes, with_mark(long(&format!("other,{ORIGIN}"))), held()));
    cases.push(case("nine marks", Fate::Quarantined("too_many_hops"), with_mark(nine_hops()), held()));

    let longest = "n".repeat(255);
    let wild = "a.#.*.b";
    cases.push(case("a name of 255 bytes", Fate::Passes(longest.clone(), bare), plain(), named(&longest)));
    cases.push(case(
        "a name that looks like a pattern",
        Fate::Passes(wild.to_owned(), bare),
        plain(),
        named(wild),
    ));
    let large = of_16_mib("call_held");
    let is_large = |delivery: &Delivery| {
        let event: Value = json_of(delivery);
        assert!(event["data"]["call_id"].as_str().unwrap().len() > MAX_BODY_BYTES - 60);
        bare(delivery);
    };
    cases.push(case("16 MiB", passes(is_large), plain(), large));
    let deep = format!(r#"{{"data": {}1{}, "name": "call_held"}}"#, "[".repeat(900), "]".repeat(900));
    cases.push(case("900 levels", passes(bare), plain(), deep.into_bytes()));
    cases.push(case(
        "no data",
        passes(|copy| assert_eq!(copy.data, br#"{"name": "call_held", "data": null}"#)),
        plain(),
        br#"{"name":"call_held"}"#.to_vec(),
    ));
    // The name in the body decides, not the key.
    for key in ["", "#", "calls.call.created", "no.such.key", "a..b"] {
        let mut other = case(&format!("key `{key}`"), passes(bare), plain(), held());
        other.key = key.to_owned();
        cases.push(other);
    }

    let mut secret = listen_in_secret(&world, "xivo-cti").await;
    let mut out = world
        .client
        .tap(&["call_held", "call_resumed", "another", "x", &longest, wild].map(|name| ("xivo-cti", name)))
        .await;
    let good =
        |number| ("xivo", "calls.hold.deleted", json!({"name": "call_resumed", "data": {"call_id": number}}));
    let is_good = |copy: &Delivery, number| {
        json_of(copy) == json!({"name": "call_resumed", "data": {"call_id": number}})
            && copy.routing_key.as_str() == "call_resumed"
    };
    run(&world, &cases, &mut out, good, is_good).await;
    nothing_came(&world, &mut secret).await;
    examine_quarantine(&world, "to_legacy", &cases, began).await;

    let (to_legacy, _) = bridge.stop().await;
    let count = |fate: fn(&Fate) -> bool| cases.iter().filter(|case| fate(&case.fate)).count();
    assert_eq!(to_legacy["quarantined"], count(|fate| matches!(fate, Fate::Quarantined(_))));
    assert_eq!(to_legacy["echoes"], 1);
    assert_eq!(to_legacy["published"], cases.len() + count(|fate| matches!(fate, Fate::Passes(..))));
    assert_eq!(to_legacy["sessions"], 2, "one for the large headers");
    assert!(to_legacy["redelivered"].as_u64() <= Some(3), "{to_legacy}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn hostile_legacy_messages_stop_nothing() {
    let world = World::new().await;
    let listened = ["auth_tenant_deleted", "call_created", "relocate_initiated", "user_status_update"];
    let mut bridge = world.bridge().args(["--legacy-event", &listened.join(",")]).start().await;
    let began = Instant::now();
    let case = |what: &str, fate: Fate, properties: BasicProperties, body: Vec<u8>| Case {
        what: what.to_owned(),
        exchange: "xivo-cti",
        key: "call_form_result".to_owned(),
        properties,
        body,
        fate,
    };
    let plain = BasicProperties::default;
    let form = || json!({"name": "call_form_result", "data": {"user_id": 1}}).to_string().into_bytes();
    let passes = |check| Fate::Passes("call_form_result".to_owned(), check);
    let mut cases = Vec::new();
    for (what, properties) in hostile_properties() {
        cases.push(case(
            &format!("{what} on no event"),
            Fate::Quarantined("not_json"),
            properties.clone(),
            vec![b'{'],
        ));
        cases.push(case(what, passes(without_rights), properties, form()));
    }
    for (what, body, reason) in no_events("call_form_result") {
        cases.push(case(what, Fate::Quarantined(reason), plain(), body));
    }
    for (what, value) in forged_marks() {
        cases.push(case(&format!("a mark: {what}"), passes(without_rights), with_mark(value), form()));
    }
    cases.push(case("the mark of another bridge", passes(passed_two), with_mark(long("other")), form()));
    cases.push(case("our own mark", Fate::Vanishes, with_mark(long(&format!("other,{ORIGIN}"))), form()));
    cases.push(case("nine marks", Fate::Quarantined("too_many_hops"), with_mark(nine_hops()), form()));
    let body = |text: &str| text.as_bytes().to_vec();
    cases.push(case("16 MiB", passes(without_rights), plain(), of_16_mib("call_form_result")));
    cases.push(case(
        "an ACL of its own",
        passes(|copy| {
            without_rights(copy);
            assert_eq!(json_of(copy).get("required_acl"), None);
        }),
        plain(),
        body(r#"{"name": "call_form_result", "required_acl": "events.everybody", "data": {}}"#),
    ));
    cases.push(case(
        "an ACL of null",
        passes(|copy| assert_eq!(json_of(copy).get("required_acl"), None)),
        plain(),
        body(r#"{"name": "call_form_result", "required_acl": null, "data": {}}"#),
    ));
    let nobody = body(r#"{"name": "call_form_result", "origin_uuid": null, "data": {}}"#);
    cases.push(case("an origin of null", passes(without_rights), plain(), nobody));
    for origin in ["\"a.b\"", "5", "\"\"", "\"\\ud800\""] {
        let text = format!(r#"{{"name": "call_form_result", "origin_uuid": {origin}, "data": {{}}}}"#);
        cases.push(case(
            &format!("origin {origin}"),
            Fate::Quarantined("bad_field"),
            plain(),
            text.into_bytes(),
        ));
    }

    // Values that would become a part of a routing key, an ACL or the name of a header.
    let long_value = format!("\"{}\"", "v".repeat(300));
    for (value, fate) in [
        ("\"a.b\"", "unsafe_value"),
        ("\"#\"", "unsafe_value"),
        ("\"*\"", "unsafe_value"),
        ("\"a*\"", "unsafe_value"),
        ("\"\"", "unsafe_value"),
        ("\"a\\nb\"", "unsafe_value"),
        ("\"a\\u0000b\"", "unsafe_value"),
        ("\"\\u009b\"", "unsafe_value"),
        (&long_value, "unsafe_value"),
        ("null", "bad_field"),
        ("true", "bad_field"),
        ("1.5", "bad_field"),
        ("{\"a\": 1}", "bad_field"),
        ("[\"a\"]", "bad_field"),
        ("\"\\ud800\"", "bad_field"),
        ("\"a\", \"uuid\": \"b\"", "bad_field"),
        ("\"a\", \"user_uuid\": \"b\"", "bad_field"),
    ] {
        for (name, field) in [("auth_tenant_deleted", "uuid"), ("call_created", "user_uuid")] {
            if value.contains(':') && value.starts_with("\"a\"") && !value.contains(&format!("\"{field}\"")) {
                continue;
            }
            let text = format!(r#"{{"name": "{name}", "data": {{"{field}": {value}}}}}"#);
            let what = format!("{name} with {:.20}", value);
            cases.push(case(&what, Fate::Quarantined(fate), plain(), text.into_bytes()));
        }
    }
    for (name, data) in [
        ("call_created", r#"{"user_uuid": "me"}"#),
        ("call_created", r#"{"user_uuid": "my_session"}"#),
        ("relocate_initiated", r##"{"initiator": "#", "uuid": "a"}"##),
        ("relocate_initiated", r#"{"initiator": "a.b", "uuid": "a"}"#),
    ] {
        let text = format!(r#"{{"name": "{name}", "data": {data}}}"#);
        cases.push(case(data, Fate::Quarantined("unsafe_value"), plain(), text.into_bytes()));
    }
    for data in ["null", "[]", "\"uuid\"", "{}", "{\"UUID\": \"a\"}"] {
        let text = format!(r#"{{"name": "auth_tenant_deleted", "data": {data}}}"#);
        cases.push(case(&format!("data {data}"), Fate::Quarantined("bad_field"), plain(), text.into_bytes()));
    }

    // The name in the body decides, if it is listened for.
    cases.push(case(
        "a number in a key",
        Fate::Passes("auth.tenants.5.deleted".to_owned(), anything),
        plain(),
        body(r#"{"name": "auth_tenant_deleted", "data": {"uuid": 5}}"#),
    ));
    cases.push(case(
        "another name that is listened for",
        Fate::Passes("auth.tenants.a.deleted".to_owned(), anything),
        plain(),
        body(r#"{"name": "auth_tenant_deleted", "data": {"uuid": "a"}}"#),
    ));
    cases.push(case(
        "a name that is not listened for",
        Fate::Quarantined("not_listened_for"),
        plain(),
        body(r#"{"name": "auth_tenant_added", "data": {"uuid": "a"}}"#),
    ));
    cases.push(case(
        "a name without a rule",
        Fate::Quarantined("unknown_event"),
        plain(),
        body(r#"{"name": "no_such_event", "data": {"uuid": "a"}}"#),
    ));
    cases.push(case(
        "a removed event",
        Fate::Quarantined("removed_event"),
        plain(),
        body(r#"{"name": "user_status_update", "data": {"user_uuid": "a", "status": "busy"}}"#),
    ));

    let mut secret = listen_in_secret(&world, "xivo").await;
    let mut out = world.client.tap(&[("xivo", "#")]).await;
    let good = |number| {
        ("xivo-cti", "call_form_result", json!({"name": "call_form_result", "data": {"number": number}}))
    };
    let is_good = |copy: &Delivery, number| {
        json_of(copy)
            == json!({"name": "call_form_result", "origin_uuid": ORIGIN, "data": {"number": number}})
    };
    run(&world, &cases, &mut out, good, is_good).await;
    nothing_came(&world, &mut secret).await;
    examine_quarantine(&world, "to_modern", &cases, began).await;

    let (_, to_modern) = bridge.stop().await;
    let count = |fate: fn(&Fate) -> bool| cases.iter().filter(|case| fate(&case.fate)).count();
    assert_eq!(to_modern["quarantined"], count(|fate| matches!(fate, Fate::Quarantined(_))));
    assert_eq!(to_modern["echoes"], 1);
    assert_eq!(to_modern["sessions"], 2, "one for the large headers");
    assert!(to_modern["redelivered"].as_u64() <= Some(3), "{to_modern}");
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn identity_of_a_message_is_kept_towards_modern() {
    let world = World::new().await;
    let mut bridge = world.bridge().start().await;
    let mut out = world.client.tap(&[("xivo", "#")]).await;
    let longest = "m".repeat(255);
    let properties = BasicProperties::default()
        .with_message_id(longest.as_str().into())
        .with_correlation_id("c\n".into())
        .with_timestamp(u64::MAX);
    let event = json!({"name": "call_form_result", "data": {}}).to_string();
    world.client.publish_with("xivo-cti", "call_form_result", properties, event.as_bytes()).await;
    let copy = out.next().await.properties;
    assert_eq!(copy.message_id().as_ref().unwrap().as_str(), longest);
    assert_eq!(copy.correlation_id().as_ref().unwrap().as_str(), "c\n");
    assert_eq!(*copy.timestamp(), Some(u64::MAX));
    bridge.stop().await;
}
