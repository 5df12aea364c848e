//! The oracle: whatever goes in, what comes out has the shape of a rule, and nothing of the sender's own choosing.
//!
//! It states what is allowed from the data of the rules. It calls nothing that translates, renders or finds.

use std::collections::HashMap;
use std::sync::LazyLock;

use cti_bridge::core::catalog::Entry;
use cti_bridge::core::message::{
    DeliveryMode, HeaderValue, Mark, Outcome, Properties, Publication, Received, ReceivedProperties,
};
use cti_bridge::core::rule::{HeaderTemplate, ModernFace};

use super::attack::Attack;
use super::random::Random;
use super::runner::number;
use super::shape::{Members, Shape, Whose};
use super::world::{BRIDGE, LEGACY_EXCHANGES, MODERN_EXCHANGE, ORIGIN, TRANSLATOR};

/// Members of the envelope that have a meaning; two of the same mean two things.
const ENVELOPE: [&str; 4] = ["name", "origin_uuid", "required_acl", "data"];

type Verdict = Result<(), String>;

/// A rule at the version under test, for one name or for all capitalised ones.
struct Known {
    legacy: Shape,
    /// The legacy name, unless it is open.
    name: Option<String>,
    modern: Option<ModernName>,
    addresses: Vec<(String, Shape)>,
    rebuilt_from: Option<String>,
}

struct ModernName {
    name: Shape,
    routing_key: Shape,
    required_acl: Option<Shape>,
    headers: Vec<(Shape, HeaderShape)>,
}

enum HeaderShape {
    Text(Shape),
    Flag(bool),
}

struct Rules {
    known: Vec<Known>,
    by_legacy: HashMap<String, usize>,
    by_modern: HashMap<String, Vec<usize>>,
    open: Vec<usize>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let catalog = TRANSLATOR.catalog();
    let mut rules =
        Rules { known: Vec::new(), by_legacy: HashMap::new(), by_modern: HashMap::new(), open: Vec::new() };
    for (name, entry) in catalog.listed() {
        let at = rules.known.len();
        rules.known.push(known(Some(name), entry));
        rules.by_legacy.insert(name.to_owned(), at);
        let modern = entry.modern.as_ref().map_or_else(|| name.to_owned(), |face| face.name.to_string());
        rules.by_modern.entry(modern).or_default().push(at);
    }
    for entry in catalog.open() {
        rules.open.push(rules.known.len());
        rules.known.push(known(None, entry));
    }
    rules
});

fn known(name: Option<&str>, entry: &Entry) -> Known {
    let face = |face: &ModernFace| ModernName {
        name: Shape::of(&face.name),
        routing_key: Shape::of(&face.routing_key),
        required_acl: face.required_acl.as_ref().map(Shape::of),
        headers: face.headers.iter().map(|(key, value)| (Shape::of(key), header_shape(value))).collect(),
    };
    Known {
        legacy: Shape::of(&entry.name),
        name: name.map(str::to_owned),
        modern: entry.modern.as_ref().map(face),
        addresses: entry
            .addresses
            .iter()
            .map(|at| (at.exchange.clone(), Shape::of(&at.routing_key)))
            .collect(),
        rebuilt_from: entry.rule.rebuilt_from.as_ref().map(|from| from.name.clone()),
    }
}

fn header_shape(value: &HeaderTemplate) -> HeaderShape {
    match value {
        HeaderTemplate::Text(template) => HeaderShape::Text(Shape::of(template)),
        HeaderTemplate::Flag(flag) => HeaderShape::Flag(*flag),
    }
}

impl Rules {
    /// The open rule for a name, with the part that it leaves open: one word that begins with a capital letter.
    fn open<'n>(
        &self,
        name: &'n str,
        shape: impl Fn(&Known) -> Option<&Shape>,
    ) -> Option<(&Known, (String, &'n str))> {
        let mut open = self.open.iter().map(|at| &self.known[*at]);
        open.find_map(|known| {
            let part = shape(known)?.open_part(name)?;
            let is_one = part.1.starts_with(|c: char| c.is_ascii_uppercase()) && !part.1.contains('.');
            is_one.then_some((known, part))
        })
    }
}

/// What came of the events of a run.
#[derive(Debug, Default)]
struct Figures {
    to_modern: u64,
    to_legacy: u64,
    answers: u64,
    nothing: u64,
}

/// Runs as many events as the environment says, in both directions each.
pub fn run() {
    let seed = number("CTI_BRIDGE_SEED", 1);
    let events = number("CTI_BRIDGE_ORACLE_EVENTS", number("CTI_BRIDGE_FUZZ_INPUTS", 20_000));
    let mut random = Random::new(seed);
    let mut figures = Figures::default();
    for at in 0..events {
        let attack = Attack::next(&mut random);
        let message = Received {
            exchange: &attack.exchange,
            routing_key: &attack.routing_key,
            properties: ReceivedProperties {
                message_id: attack.message_id.as_deref(),
                correlation_id: attack.correlation_id.as_deref(),
                timestamp: attack.timestamp,
                mark: attack.mark.as_deref().map_or(Mark::Absent, Mark::Text),
            },
            body: &attack.body,
        };
        let judged = to_modern(&attack, TRANSLATOR.to_modern(&message), &mut figures)
            .map_err(|why| format!("to modern: {why}"))
            .and_then(|()| {
                to_legacy(&attack, TRANSLATOR.to_legacy(&message), &mut figures)
                    .map_err(|why| format!("to legacy: {why}"))
            });
        if let Err(why) = judged {
            let body = String::from_utf8_lossy(&attack.body);
            panic!("event {at} with seed {seed} escapes {why}\n{body}\n{attack:?}");
        }
    }
    println!("oracle: {events} events with seed {seed}, no escape: {figures:?}");
    // Attacks that are all refused show nothing.
    assert!(events < 1000 || figures.to_modern * 8 > events && figures.to_legacy * 4 > events, "{figures:?}");
    assert!(events < 1000 || figures.answers > 0, "{figures:?}");
}

/// What was published of a message, where it may be published at all.
fn published<'t>(
    attack: &Attack,
    outcome: Outcome<'t>,
    figures: &mut Figures,
) -> Result<Option<Vec<Publication<'t>>>, String> {
    let made = match outcome {
        Outcome::Publish(made) | Outcome::Partly(made, _) => made,
        Outcome::Answer(made) => {
            figures.answers += 1;
            return made.iter().try_for_each(|made| answer(attack, made)).map(|()| None);
        }
        Outcome::Echo | Outcome::Dropped | Outcome::Refused(_) => {
            figures.nothing += 1;
            return Ok(None);
        }
    };
    ensure(!made.is_empty(), || "nothing to publish".into())?;
    let body = std::str::from_utf8(&attack.body).map_err(|_| "published what is not UTF-8")?;
    let input = Members::of(body).ok_or("published what is not an object")?;
    for key in ENVELOPE {
        ensure(input.count(key) <= 1, || format!("`{key}` means two things"))?;
    }
    Ok(Some(made))
}

fn to_modern(attack: &Attack, outcome: Outcome<'_>, figures: &mut Figures) -> Verdict {
    let Some(made) = published(attack, outcome, figures)? else { return Ok(()) };
    figures.to_modern += 1;
    let [made] = &made[..] else { return Err(format!("{} publications", made.len())) };
    let input = std::str::from_utf8(&attack.body).ok().and_then(Members::of).ok_or("no input")?;
    let legacy = input.text("name").ok_or("published without a name")?;
    let rules = &*RULES;
    let (known, open) = match rules.by_legacy.get(&legacy) {
        Some(at) => (&rules.known[*at], None),
        None => rules
            .open(&legacy, |known| Some(&known.legacy))
            .map(|(known, part)| (known, Some(part)))
            .ok_or("published without a rule")?,
    };
    let face = known.modern.as_ref().ok_or("published though the event is no more")?;
    let open = open.as_ref();

    let body = std::str::from_utf8(&made.body).map_err(|_| "a body that is no UTF-8")?;
    let event = Members::of(body).ok_or("a body that is no object")?;
    let acl = face.required_acl.is_some();
    let keys: &[&str] =
        if acl { &["name", "origin_uuid", "required_acl", "data"] } else { &["name", "origin_uuid", "data"] };
    ensure(event.keys() == keys, || format!("members {:?}", event.keys()))?;
    let data = event.only("data").and_then(Members::of);
    let data = data.as_ref();

    let name = face.name.filled(open, None, Whose::Place)?;
    is(event.text("name").as_deref(), &name, "the name")?;
    is(Some(made.exchange), MODERN_EXCHANGE, "the exchange")?;
    is(Some(&made.routing_key), &face.routing_key.filled(open, data, Whose::Place)?, "the routing key")?;
    ensure(made.routing_key.len() <= 255, || "a long routing key".into())?;
    let origin = event.text("origin_uuid").ok_or("no origin")?;
    let own_origin = input.only("origin_uuid").is_none_or(|json| json == "null");
    is(
        Some(&origin),
        &if own_origin { ORIGIN.to_owned() } else { input.text("origin_uuid").unwrap_or_default() },
        "the origin",
    )?;
    ensure(is_id(&origin) && !origin.contains('.'), || format!("origin {origin:?}"))?;

    let mut headers = vec![("name".to_owned(), Ok(name)), ("origin_uuid".to_owned(), Ok(origin))];
    if let Some(shape) = &face.required_acl {
        let acl = shape.filled(open, data, Whose::Audience)?;
        is(event.text("required_acl").as_deref(), &acl, "the ACL")?;
        ensure(acl.len() <= 1024, || "a long ACL".into())?;
        headers.push(("required_acl".to_owned(), Ok(acl)));
    }
    for (key, value) in &face.headers {
        let key = key.filled(open, data, Whose::Place)?;
        let lower = key.to_ascii_lowercase();
        let reserved = ["cc", "bcc", "name", "origin_uuid", "required_acl", "cti-bridge", "cti-bridge-probe"];
        ensure(!reserved.contains(&lower.as_str()) && !lower.starts_with("x-"), || format!("header {key}"))?;
        ensure(key.len() <= 255 && headers.iter().all(|(seen, _)| *seen != key), || format!("header {key}"))?;
        let value = match value {
            HeaderShape::Text(shape) => Ok(shape.filled(open, data, Whose::Place)?),
            HeaderShape::Flag(flag) => Err(*flag),
        };
        headers.push((key, value));
    }
    headers.push(("cti-bridge".to_owned(), Ok(mark(attack)?)));
    let expected = Properties {
        content_type: Some("application/json"),
        content_encoding: Some("utf-8"),
        delivery_mode: DeliveryMode::Transient,
        message_id: attack.message_id.clone(),
        correlation_id: attack.correlation_id.clone(),
        timestamp: attack.timestamp,
        headers: headers.into_iter().map(|(key, value)| (key.into(), header(value))).collect(),
    };
    ensure(made.properties == expected, || format!("with {:?}, not {expected:?}", made.properties))
}

fn header<'t>(value: Result<String, bool>) -> HeaderValue<'t> {
    value.map_or_else(HeaderValue::Flag, |text| HeaderValue::Text(text.into()))
}

fn to_legacy(attack: &Attack, outcome: Outcome<'_>, figures: &mut Figures) -> Verdict {
    let Some(made) = published(attack, outcome, figures)? else { return Ok(()) };
    figures.to_legacy += 1;
    let input = std::str::from_utf8(&attack.body).ok().and_then(Members::of).ok_or("no input")?;
    let modern = input.text("name").ok_or("published without a name")?;
    let rules = &*RULES;
    // Exchange, routing key and name of everything that may come of this event.
    let mut allowed = Vec::new();
    let mut allow = |known: &Known, open: Option<&(String, &str)>| -> Verdict {
        let name = known.legacy.filled(open, None, Whose::Place)?;
        for (exchange, key) in &known.addresses {
            allowed.push((exchange.clone(), key.filled(open, None, Whose::Place)?, name.clone()));
        }
        Ok(())
    };
    match rules.by_modern.get(&modern) {
        Some(all) => all.iter().try_for_each(|at| allow(&rules.known[*at], None))?,
        None => match rules.open(&modern, |known| known.modern.as_ref().map(|face| &face.name)) {
            Some((known, part)) => allow(known, Some(&part))?,
            None => allowed.push(("xivo-cti".to_owned(), modern.clone(), modern.clone())),
        },
    }
    for known in rules.known.iter().filter(|known| known.rebuilt_from.as_ref() == Some(&modern)) {
        ensure(known.name.is_some(), || "an open rule that rebuilds".into())?;
        for (exchange, key) in &known.addresses {
            let name = known.legacy.filled(None, None, Whose::Place)?;
            allowed.push((exchange.clone(), key.filled(None, None, Whose::Place)?, name));
        }
    }
    let mark = HeaderValue::Text(mark(attack)?.into());
    let expected = Properties { headers: vec![("cti-bridge".into(), mark)], ..Properties::default() };
    for made in &made {
        ensure(made.body.is_ascii(), || "a body that is not ASCII".into())?;
        let event =
            std::str::from_utf8(&made.body).ok().and_then(Members::of).ok_or("a body that is no object")?;
        ensure(event.keys() == ["name", "data"], || format!("members {:?}", event.keys()))?;
        let name = event.text("name").ok_or("no name")?;
        ensure(made.routing_key.len() <= 255 && !name.chars().any(char::is_control), || {
            format!("name {name:?}")
        })?;
        let at = (made.exchange.to_owned(), made.routing_key.to_string(), name);
        ensure(allowed.contains(&at), || format!("at {at:?}, not one of {allowed:?}"))?;
        ensure(LEGACY_EXCHANGES.contains(&made.exchange), || format!("on {}", made.exchange))?;
        ensure(made.properties == expected, || format!("with {:?}", made.properties))?;
    }
    Ok(())
}

/// An answer to a probe goes to the address of probes alone, and says nothing that has an audience.
fn answer(attack: &Attack, made: &Publication<'_>) -> Verdict {
    let run = made.routing_key.strip_prefix("cti-bridge.probe.").unwrap_or_default();
    let is_run = (1..=64).contains(&run.len()) && run.bytes().all(|byte| byte.is_ascii_alphanumeric());
    ensure(is_run, || format!("an answer at {}", made.routing_key))?;
    let back = attack.exchange.is_empty();
    let is_own = made.exchange == MODERN_EXCHANGE || LEGACY_EXCHANGES.contains(&made.exchange);
    ensure(if back { made.exchange.is_empty() } else { is_own }, || {
        format!("an answer on {}", made.exchange)
    })?;
    let event = std::str::from_utf8(&made.body).ok().and_then(Members::of).ok_or("no answer")?;
    let mut keys = event.keys();
    keys.sort_unstable();
    ensure(keys == ["data", "name"], || format!("an answer with {keys:?}"))?;
    let names = ["name", "cti-bridge", "cti-bridge-probe"];
    let strange = made.properties.headers.iter().find(|(name, _)| !names.contains(&name.as_ref()));
    ensure(strange.is_none(), || format!("an answer with {strange:?}"))?;
    let Properties { message_id, correlation_id, timestamp, .. } = &made.properties;
    ensure(message_id.is_none() && correlation_id.is_none() && timestamp.is_none(), || {
        "an answer with ids".into()
    })
}

/// The mark to publish with: the ids of the bridges before, if bridges wrote them, and ours.
fn mark(attack: &Attack) -> Result<String, String> {
    let Some(mark) = attack.mark.as_ref().filter(|mark| mark.split(',').all(is_id)) else {
        return Ok(BRIDGE.to_owned());
    };
    ensure(mark.split(',').all(|id| id != BRIDGE), || "published a second time".into())?;
    ensure(mark.split(',').count() <= 3, || "passed too many bridges".into())?;
    Ok(format!("{mark},{BRIDGE}"))
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is(found: Option<&str>, expected: &str, what: &str) -> Verdict {
    ensure(found == Some(expected), || format!("{what} is {found:?}, not {expected:?}"))
}

fn ensure(is_so: bool, why_not: impl FnOnce() -> String) -> Verdict {
    if is_so { Ok(()) } else { Err(why_not()) }
}
