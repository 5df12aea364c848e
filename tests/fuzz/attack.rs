//! Messages made to get out: events of every rule with what an attacker would put into them.

use std::fmt::Write as _;
use std::sync::LazyLock;

use cti_bridge::core::catalog::Entry;
use cti_bridge::core::probe::PROBE_EVENT;
use cti_bridge::core::rule::HeaderTemplate;
use cti_bridge::core::template::Template;

use super::random::Random;
use super::world::{BRIDGE, LEGACY_EXCHANGES, MODERN_EXCHANGE, ORIGIN, TRANSLATOR};

/// A message, owned.
#[derive(Debug, Default)]
pub struct Attack {
    pub exchange: String,
    pub routing_key: String,
    pub message_id: Option<String>,
    pub correlation_id: Option<String>,
    pub timestamp: Option<u64>,
    pub mark: Option<String>,
    pub body: Vec<u8>,
}

/// What a value may be to become more than a word, or somebody else: JSON.
const VALUES: [&str; 48] = [
    "\"a.b\"",
    "\".\"",
    "\"..\"",
    "\"#\"",
    "\"*\"",
    "\"a#\"",
    "\"*.b\"",
    "\"\"",
    "\"me\"",
    "\"my_session\"",
    "\"\\u006de\"",
    "\"events.me\"",
    "\"ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3\"",
    "\"CA7F87E9-C2C8-5FAD-BA1B-C3140EBB9BE3\"",
    "\"{user_uuid}\"",
    "\"{id|raw}\"",
    "\"CC\"",
    "\"BCC\"",
    "\"x-match\"",
    "\"required_acl\"",
    "\"user_uuid:*\"",
    "\"tenant_uuid\"",
    "\"xivo-cti\"",
    "\"xivo\"",
    "\"\\u0000\"",
    "\"a\\u0000b\"",
    "\"\\u002e\"",
    "\"a\\u002eb\"",
    "\"\\n\"",
    "\"\\u0085\"",
    "\"\\u2028\"",
    "\"\\ud800\"",
    "\"\\ud83d\\ude00\"",
    "\"\\u202e\"",
    "\"\u{ff0e}\"",
    "\"\u{e9}\"",
    "\" \"",
    "null",
    "true",
    "0",
    "-0",
    "-1",
    "1e3",
    "1.5",
    "99999999999999999999999999",
    "[\"a\",\"me\",\"#\"]",
    "[[\"a\"]]",
    "{\"a\":\"me\"}",
];

/// What could choose an audience, were it copied: members of the envelope.
const MEMBERS: [&str; 16] = [
    "\"required_acl\":\"#\"",
    "\"required_acl\":null",
    "\"required_access\":\"#\"",
    "\"user_uuid:*\":true",
    "\"user_uuid\":\"*\"",
    "\"tenant_uuid\":\"EVIL\"",
    "\"headers\":{\"required_acl\":\"#\",\"user_uuid:*\":true,\"CC\":[\"EVIL\"]}",
    "\"CC\":[\"EVIL\"]",
    "\"BCC\":[\"EVIL\"]",
    "\"exchange\":\"EVIL\"",
    "\"routing_key\":\"#\"",
    "\"properties\":{\"expiration\":\"0\",\"user_id\":\"EVIL\"}",
    "\"acl\":\"#\"",
    "\"n\\u0061me2\":\"EVIL\"",
    "\"\":\"\"",
    "\"cti-bridge\":\"b1\"",
];

/// An event of the catalog as an attacker sees it.
struct Known {
    legacy: String,
    modern: Option<String>,
    /// Names of fields that the rule reads, in either form.
    fields: Vec<String>,
    addresses: Vec<(String, String)>,
}

static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    let catalog = TRANSLATOR.catalog();
    let listed = catalog.listed().map(|(name, entry)| known(name.to_owned(), entry));
    let open = catalog.open().map(|entry| known("QueueMemberStatus".to_owned(), entry));
    listed.chain(open).collect()
});

fn known(legacy: String, entry: &Entry) -> Known {
    let mut fields: Vec<String> = Vec::new();
    let mut read = |template: &Template| {
        for placeholder in template.placeholders() {
            let times = placeholder.index.map_or(1, |_| 3);
            fields.extend(std::iter::repeat_n(placeholder.name.clone(), times));
        }
    };
    if let Some(face) = &entry.modern {
        read(&face.routing_key);
        face.required_acl.iter().for_each(&mut read);
        for (key, value) in &face.headers {
            read(key);
            if let HeaderTemplate::Text(value) = value {
                read(value);
            }
        }
        for field in &face.data {
            fields.extend([field.legacy.clone(), field.modern.clone()]);
        }
    }
    if let Some(from) = &entry.rule.rebuilt_from {
        fields.extend(from.each.clone());
        fields.extend(from.data.iter().map(|field| field.modern.clone()));
    }
    fields.sort();
    fields.dedup();
    let addresses = entry.addresses.iter();
    Known {
        modern: entry.modern.as_ref().map(|face| face.name.to_string()),
        fields,
        addresses: addresses.map(|at| (at.exchange.clone(), at.routing_key.to_string())).collect(),
        legacy,
    }
}

impl Attack {
    /// The next message.
    pub fn next(random: &mut Random) -> Self {
        let known = random.pick(&KNOWN);
        let mut body = String::with_capacity(512);
        if random.one_in(64) {
            probe(&mut body, known, random);
        } else {
            event(&mut body, known, random);
        }
        let mut attack = Self { body: body.into_bytes(), ..Self::default() };
        damage(&mut attack.body, random);
        (attack.exchange, attack.routing_key) = match random.below(4) {
            0 => (MODERN_EXCHANGE.to_owned(), text(random)),
            1 => ((*random.pick(&LEGACY_EXCHANGES)).to_owned(), text(random)),
            2 => (String::new(), "cti-bridge.legacy".to_owned()),
            _ => known.addresses.first().cloned().unwrap_or_default(),
        };
        if random.one_in(3) {
            attack.message_id = Some(text(random));
            attack.correlation_id = Some(text(random));
            attack.timestamp = Some(random.next());
        }
        attack.mark = match random.below(8) {
            0 => Some(text(random)),
            1 => Some("b2".to_owned()),
            2 => Some(format!("b2,{}", text(random))),
            3 => Some(["b2,b3,b4,b5", BRIDGE, "b2,b1", ",", "b2,,b3"][random.below(5)].to_owned()),
            _ => None,
        };
        attack
    }
}

/// The text of one of the values, without its escapes read.
fn text(random: &mut Random) -> String {
    let value = random.pick(&VALUES).trim_matches('"').to_owned();
    if random.one_in(16) { value.repeat(1 + random.below(300)) } else { value }
}

fn event(out: &mut String, known: &Known, random: &mut Random) {
    out.push('{');
    let mut first = true;
    let mut member = |out: &mut String| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
    };
    while random.one_in(3) {
        member(out);
        out.push_str(random.pick::<&str>(&MEMBERS));
    }
    let times = if random.one_in(50) { random.below(3) } else { 1 };
    for _ in 0..times {
        member(out);
        let modern = known.modern.as_deref().filter(|_| random.one_in(2));
        let name = modern.unwrap_or(&known.legacy);
        match random.below(24) {
            0 => write!(out, "\"name\":{}", random.pick(&VALUES)).unwrap(),
            1 => write!(out, "\"name\":\"{name}{}\"", text(random)).unwrap(),
            2 => write!(out, "\"n\\u0061me\":\"{name}\"").unwrap(),
            3 => write!(out, "\"name\":\"\\u{:04x}{}\"", name.as_bytes()[0], &name[1..]).unwrap(),
            4 => write!(out, "\"name\":\"A{}\"", text(random)).unwrap(),
            _ => write!(out, "\"name\":\"{name}\"").unwrap(),
        }
    }
    while random.one_in(4) {
        member(out);
        out.push_str(random.pick::<&str>(&MEMBERS));
    }
    if random.one_in(4) {
        member(out);
        match random.one_in(2) {
            true => write!(out, "\"origin_uuid\":{}", random.pick(&VALUES)).unwrap(),
            false => write!(out, "\"origin_uuid\":\"{ORIGIN}\"").unwrap(),
        }
    }
    let times = if random.one_in(50) { random.below(3) } else { 1 };
    for _ in 0..times {
        member(out);
        out.push_str("\"data\":");
        data(out, known, random);
    }
    while random.one_in(8) {
        member(out);
        out.push_str(random.pick::<&str>(&MEMBERS));
    }
    out.push('}');
}

fn data(out: &mut String, known: &Known, random: &mut Random) {
    if random.one_in(40) {
        return out.push_str(random.pick::<&str>(&VALUES));
    }
    out.push('{');
    let hostile = [0, 2, 4, 12][random.below(4)];
    for (at, field) in known.fields.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        let times = if random.one_in(60) { 2 } else { 1 };
        for time in 0..times {
            write!(out, "{}\"{field}\":", if time > 0 { "," } else { "" }).unwrap();
            value(out, hostile, random);
        }
    }
    if random.one_in(3) {
        out.push_str(if known.fields.is_empty() { "" } else { "," });
        out.push_str(random.pick::<&str>(&MEMBERS));
    }
    out.push('}');
}

fn value(out: &mut String, hostile: usize, random: &mut Random) {
    if hostile > 0 && random.one_in(hostile) {
        return match random.below(40) {
            0 => write!(out, "\"{}\"", text(random).replace(['"', '\\', '[', '{'], "")).unwrap(),
            1 => {
                let depth = 1 + random.below(1200);
                out.push_str(&"[".repeat(depth));
                out.push_str(&"]".repeat(depth));
            }
            2 => out.push_str(&"9".repeat(1 + random.below(400))),
            _ => out.push_str(random.pick::<&str>(&VALUES)),
        };
    }
    match random.below(8) {
        0 => write!(out, "{}", random.below(100_000)).unwrap(),
        1 => write!(out, "[\"a{}\",\"b{}\"]", random.below(9), random.below(9)).unwrap(),
        2 => out.push_str(r#"[{"id":1,"uuid":"u","agent_id":5,"user_id":6}]"#),
        3 => out.push_str("\"open\""),
        4 => write!(out, "\"{ORIGIN}\"").unwrap(),
        _ => write!(out, "\"word-{}\"", random.below(1000)).unwrap(),
    }
}

/// An event within what calls itself a probe.
fn probe(out: &mut String, known: &Known, random: &mut Random) {
    let run = if random.one_in(2) { "\"Run1\"" } else { random.pick::<&str>(&VALUES) };
    write!(out, "{{\"name\":\"{PROBE_EVENT}\",\"required_acl\":\"#\",\"data\":{{\"probe\":{{\"run\":{run},")
        .unwrap();
    out.push_str("\"number\":1,\"routing_key\":\"a\",\"event\":");
    event(out, known, random);
    out.push_str("}}}");
}

/// Bytes that are no JSON, or not the JSON that they were.
fn damage(body: &mut Vec<u8>, random: &mut Random) {
    if !random.one_in(24) || body.is_empty() {
        return;
    }
    let at = random.below(body.len());
    match random.below(5) {
        0 => body[at] = random.next() as u8,
        1 => body.truncate(at),
        2 => drop(body.splice(at..at, *b"\xff")),
        3 => drop(body.splice(at..at, *b"\xed\xa0\x80")),
        _ => drop(body.splice(at..at, *b",\"data\":{}")),
    }
}
