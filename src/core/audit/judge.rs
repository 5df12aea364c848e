//! What becomes of one binding: every event that it gets, or was meant to get, and why.

use std::collections::HashMap;

use super::known::{Event, Hit, Known};
use super::platform::{self, Exchange};
use super::suggestion;
use crate::core::finding::{Fate, Kind};
use crate::core::history::How;
use crate::core::pattern::Pattern;
use crate::core::site::Arguments;

/// What becomes of a binding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Verdict {
    pub(super) fate: Fate,
    pub(super) events: Vec<(String, Fate)>,
    pub(super) said: Vec<Said>,
}

/// What is to be said of a binding.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Said {
    pub(super) kind: Kind,
    pub(super) fates: Vec<Fate>,
    pub(super) events: Vec<String>,
    pub(super) what: String,
    pub(super) lost: Vec<String>,
    pub(super) why: String,
    pub(super) advice: String,
}

/// A binding, without where it leads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bound<'b> {
    pub(super) exchange: &'b str,
    /// The type of the exchange, where the site shows it.
    pub(super) kind: Option<&'b str>,
    pub(super) key: &'b str,
    pub(super) arguments: &'b Arguments,
}

/// What becomes of one event for one binding.
struct Outcome {
    event: String,
    fate: Fate,
    said: Option<Said>,
    /// Whether the client gets it today.
    is_news: bool,
}

/// Judges bindings, each different one once.
pub(super) struct Judge<'k, 'h> {
    known: &'k Known<'h>,
    judged: HashMap<String, Option<Verdict>>,
}

impl<'k, 'h> Judge<'k, 'h> {
    pub(super) fn new(known: &'k Known<'h>) -> Self {
        Self { known, judged: HashMap::new() }
    }

    /// What becomes of this binding; nothing is said of exchanges that are not the platform's.
    pub(super) fn judge(&mut self, bound: Bound<'_>) -> Option<Verdict> {
        let mut id = format!("{}\0{}\0{}", bound.exchange, bound.kind.unwrap_or_default(), bound.key);
        for (name, value) in bound.arguments {
            id.push_str(&format!("\0{name}={value}"));
        }
        let known = self.known;
        self.judged.entry(id).or_insert_with(|| verdict(known, bound)).clone()
    }
}

fn verdict(known: &Known<'_>, bound: Bound<'_>) -> Option<Verdict> {
    let now = platform::exchange(bound.exchange, known.from)?;
    let later = platform::exchange(bound.exchange, known.to)?;
    if now.is_legacy {
        return Some(legacy(known, bound, later));
    }
    // Nobody binds a key to a fanout exchange: where its type was not seen, the key tells which `xivo` it is.
    let is_fanout = bound.kind.map_or(now.kind == "fanout" && bound.key.is_empty(), |kind| kind == "fanout");
    if is_fanout && bound.exchange == "xivo" || !later.exists_at(known.to) {
        let gone = if is_fanout { now } else { later };
        return Some(missing(known, bound, gone));
    }
    if later.kind == "headers" {
        return Some(by_headers(known, bound));
    }
    Some(by_pattern(known, bound))
}

fn missing(known: &Known<'_>, bound: Bound<'_>, gone: &Exchange) -> Verdict {
    let said = Said {
        kind: Kind::ExchangeMissing,
        fates: vec![Fate::ExchangeMissing],
        events: Vec::new(),
        what: format!("the {} exchange `{}` will not be there in {}", gone.kind, bound.exchange, known.to),
        lost: Vec::new(),
        why: gone.source.to_owned(),
        advice:
            "find out what the client wants to know, and bind it to the exchange where that is published now"
                .into(),
    };
    Verdict { fate: Fate::ExchangeMissing, events: Vec::new(), said: vec![said] }
}

fn legacy(known: &Known<'_>, bound: Bound<'_>, exchange: &Exchange) -> Verdict {
    let mut events = known.on_legacy(bound.exchange, bound.key);
    if events.is_empty() && bound.exchange == "xivo-cti" {
        // The bridge binds `xivo-ami` to `xivo-cti` for scripts that look for AMI events there.
        events.extend(known.open_named(bound.key));
    }
    if events.is_empty() {
        return unknown(known, bound, exchange.kind);
    }
    let outcomes = events.iter().filter_map(|&event| known.events.get(event));
    let outcomes: Vec<Outcome> = outcomes.map(|event| on_legacy(known, event, bound, exchange)).collect();
    summed_up(known, bound, outcomes)
}

fn on_legacy(known: &Known<'_>, event: &Event<'_>, bound: Bound<'_>, exchange: &Exchange) -> Outcome {
    let name = named(event, bound.key);
    if let Some(outcome) = gone(known, event, &name, true) {
        return outcome;
    }
    if exchange.exists_at(known.to) {
        return Outcome { event: name, fate: Fate::Alive, said: None, is_news: false };
    }
    if let Some(said) = changed(known, event, &name, None) {
        let advice = "run the bridge, and look whether the client reads what changes".to_owned();
        let said = Some(Said { advice, ..said });
        return Outcome { event: name, fate: Fate::Changed, said, is_news: true };
    }
    let removed = format!("`{}` is not in {}: {}", bound.exchange, known.to, exchange.source);
    let is_same = is_the_same(event, bound.key);
    let (fate, kind, what, why, advice) = if is_same {
        let is_on_xivo = platform::is_on_xivo(bound.key, known.to);
        let (source, by) = match is_on_xivo {
            true => ("xivo", format!("key `{}`", bound.key)),
            false => ("wazo-headers", format!("header `name` = `{name}`")),
        };
        (
            Fate::NativeBinding,
            Kind::NativeBinding,
            format!("`{name}` has the same name, key and fields on `{source}`"),
            removed,
            format!(
                "declare `{}` again and bind `{source}` to it ({by}), or run the bridge; pika before 0.9.8 dies of the \
                 header without a value that comes with a null ACL",
                bound.exchange
            ),
        )
    } else {
        (
            Fate::ServedByBridge,
            Kind::ServedByBridge,
            format!("the bridge brings `{name}` back to `{}`", bound.exchange),
            format!("{removed}; {}", on_the_wire(known, event, &name)),
            "run the bridge, and start it before this client".to_owned(),
        )
    };
    let said =
        Said { kind, fates: Vec::new(), events: vec![name.clone()], what, lost: Vec::new(), why, advice };
    Outcome { event: name, fate, said: Some(said), is_news: true }
}

/// Whether the modern event is the legacy one but for more keys, properties and headers.
fn is_the_same(event: &Event<'_>, key: &str) -> bool {
    let after = &event.after;
    after.wire_name.as_ref() == Some(&event.name)
        && after.wire_keys.iter().any(|wire| wire.as_literal() == Some(key))
        && after.face.as_ref().is_some_and(|face| face.data.is_empty())
}

/// Where an event is to be found at the end of the upgrade.
fn on_the_wire(known: &Known<'_>, event: &Event<'_>, name: &str) -> String {
    let key = event.after.wire_keys.first().map(ToString::to_string).unwrap_or_default();
    // An event whose rule lists no names stands in its key as the rule is written.
    let key = if event.is_open { key.replace(&event.name, name) } else { key };
    let exchange = if platform::is_on_xivo(&key, known.to) { "xivo" } else { "wazo-headers" };
    format!("the event is on `{exchange}` under `{key}`")
}

/// What is to be said of an event that is not there at the end of the upgrade, or not sent, whatever the binding.
fn gone(known: &Known<'_>, event: &Event<'_>, name: &str, is_legacy: bool) -> Option<Outcome> {
    let after = &event.after;
    let (fate, kind, what, why, advice) = if after.state.rule.is_none() {
        no_rule(known, event, name)
    } else if after.face.is_none() {
        no_face(event, name, is_legacy)
    } else if !after.is_published {
        let why = event.ended.map_or_else(
            || "nobody was seen to publish it".to_owned(),
            |end| format!("{} ({})", end.text.as_deref().unwrap_or("its publisher is gone"), end.source),
        );
        let since = event.ended.filter(|end| end.version <= known.to);
        let since = since.map(|end| format!(" since {}", end.version)).unwrap_or_default();
        let what = format!("`{name}` is documented in {}, and nobody publishes it{since}", known.to);
        let advice = match is_legacy {
            true => "nothing arrives unless a program of this site publishes it; then run the bridge",
            false => "nothing arrives unless a program of this site publishes it",
        };
        (Fate::NeverSent, Kind::NeverSent, what, why, advice.to_owned())
    } else {
        return None;
    };
    let lost = if after.face.is_none() { after.state.lost.to_vec() } else { Vec::new() };
    let said = Said { kind, fates: Vec::new(), events: vec![name.to_owned()], what, lost, why, advice };
    let is_news = event.before.is_published || event.before.state.rule.is_none();
    Some(Outcome { event: name.to_owned(), fate, said: Some(said), is_news })
}

/// Fate, kind, what, why and advice.
type Told = (Fate, Kind, String, String, String);

fn no_rule(known: &Known<'_>, event: &Event<'_>, name: &str) -> Told {
    match event.since.filter(|since| *since > known.to) {
        Some(since) => (
            Fate::UnknownEvent,
            Kind::NotYet,
            format!("`{name}` comes with {since} only"),
            format!("{} does not have it yet", known.to),
            "nothing to do until the platform has it".to_owned(),
        ),
        None => (
            Fate::Deleted,
            Kind::Deleted,
            format!("`{name}` is deleted"),
            format!("no rule has it in {}", known.to),
            "the client has to be written anew, or be switched off".to_owned(),
        ),
    }
}

fn no_face(event: &Event<'_>, name: &str, is_legacy: bool) -> Told {
    let state = &event.after.state;
    let source = event.ended.map(|end| end.source.as_str()).or(state.rule.map(|rule| rule.source.as_str()));
    let why = format!("{} ({})", state.reason.unwrap_or("it is deleted"), source.unwrap_or_default());
    match state.successors.iter().find(|successor| successor.how == How::Rebuilt) {
        Some(by) => {
            let advice = match is_legacy {
                true => "run the bridge, which makes the old event of the new one, and look whether the client can do \
                         without what is lost"
                    .to_owned(),
                false => format!(
                    "read `{}` instead, or bind {}, where the bridge brings the old event",
                    by.name,
                    old_addresses(event)
                ),
            };
            (Fate::Replaced, Kind::Replaced, format!("`{name}` is replaced by `{}`", by.name), why, advice)
        }
        None => {
            let related: Vec<String> = state.successors.iter().map(|by| format!("`{}`", by.name)).collect();
            let advice = match related.as_slice() {
                [] => "the client has to be written anew, or be switched off".to_owned(),
                [one] => format!("the client has to be written anew; {one} comes closest"),
                several => {
                    format!("the client has to be written anew; {} come closest", several.join(", "))
                }
            };
            (Fate::Deleted, Kind::Deleted, format!("`{name}` is deleted"), why, advice)
        }
    }
}

fn old_addresses(event: &Event<'_>) -> String {
    let addresses = event.after.addresses.iter();
    let addresses: Vec<String> =
        addresses.map(|address| format!("`{}` with `{}`", address.exchange, address.routing_key)).collect();
    addresses.join(" or ")
}

/// What a client that reads the fields of an event has to know.
///
/// Fields that are added hurt nobody.
fn changed(known: &Known<'_>, event: &Event<'_>, name: &str, key: Option<&str>) -> Option<Said> {
    event.before.state.rule?;
    let mut fields: Vec<String> = Vec::new();
    let mut sources: Vec<&str> = Vec::new();
    let mut note = |text: String, source| {
        if !fields.contains(&text) {
            fields.push(text);
        }
        if !sources.contains(&source) {
            sources.push(source);
        }
    };
    for change in &event.changes {
        if !change.fields_removed.is_empty() {
            let quoted = |fields: &[&str]| {
                fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
            };
            let added = match change.fields_added.as_slice() {
                [] => String::new(),
                added => format!(", {} came", quoted(added)),
            };
            let version = change.change.version;
            note(format!("{version}: {} went{added}", quoted(&change.fields_removed)), &change.change.source);
        }
    }
    let rule_source = event.after.state.rule.map_or("", |rule| rule.source.as_str());
    for lost in event.after.state.lost.iter().filter(|lost| !event.before.state.lost.contains(lost)) {
        note(lost.clone(), rule_source);
    }
    if let Some(key) = key {
        if let (Some(before), Some(after)) = (&event.before.wire_name, &event.after.wire_name)
            && before != after
        {
            note(format!("the name in the body is `{after}` instead of `{before}`"), rule_source);
        }
        if !key.is_empty() {
            note(key.to_owned(), rule_source);
        }
    }
    if fields.is_empty() {
        return None;
    }
    Some(Said {
        fates: Vec::new(),
        lost: Vec::new(),
        kind: Kind::Changed,
        events: vec![name.to_owned()],
        what: format!("`{name}` changes up to {}: {}", known.to, fields.join("; ")),
        why: sources.join("; "),
        advice: "look whether the client reads what changes".into(),
    })
}

/// The event's own name, or what stands in the key for one whose names cannot be listed.
pub(super) fn named(event: &Event<'_>, key: &str) -> String {
    if !event.is_open {
        return event.name.clone();
    }
    match Pattern::parse(key).is_literal() {
        true => key.rsplit('.').next().unwrap_or(key).to_owned(),
        false => event.name.clone(),
    }
}

fn by_pattern(known: &Known<'_>, bound: Bound<'_>) -> Verdict {
    let pattern = Pattern::parse(bound.key);
    let hits = known.matched_by(&pattern);
    let outcomes: Vec<Outcome> = hits
        .iter()
        .filter_map(|hit| known.events.get(hit.event).map(|event| (hit, event)))
        .filter(|(hit, _)| {
            hit.before || hit.after || hit.documented || hits.iter().all(|hit| !hit.documented)
        })
        .map(|(hit, event)| on_modern(known, event, hit, bound))
        .collect();
    if outcomes.is_empty() {
        return unknown(known, bound, "topic");
    }
    // An event that is found under one key is not missed under another one.
    summed_up(known, bound, outcomes)
}

fn on_modern(known: &Known<'_>, event: &Event<'_>, hit: &Hit, bound: Bound<'_>) -> Outcome {
    let name = named(event, bound.key);
    if let Some(mut outcome) = gone(known, event, &name, false) {
        outcome.is_news &= hit.before;
        return outcome;
    }
    let keys = || event.after.wire_keys.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    if !hit.after {
        if hit.before {
            let key = format!("its key is {} now", keys());
            let said = changed(known, event, &name, Some(&key));
            return Outcome { event: name, fate: Fate::Changed, said, is_news: true };
        }
        let observed = event.after.state.rule.into_iter().flat_map(|rule| &rule.observed);
        let source = observed.filter(|seen| seen.versions.contains(known.to) && seen.routing_key.is_some());
        let source: Vec<&str> = source.map(|seen| seen.source.as_str()).collect();
        let said = Said {
            fates: Vec::new(),
            lost: Vec::new(),
            kind: Kind::DocumentedKey,
            events: vec![name.clone()],
            what: format!("`{name}` is documented with this key, and published with {}", keys()),
            why: format!("seen on the wire ({})", source.join(", ")),
            advice: format!("bind {} instead", keys()),
        };
        return Outcome { event: name, fate: Fate::NeverSent, said: Some(said), is_news: false };
    }
    let key = event.after.wire_keys.first().map(ToString::to_string).unwrap_or_default();
    if !platform::is_on_xivo(&key, known.to) {
        let said = Said {
            fates: Vec::new(),
            lost: Vec::new(),
            kind: Kind::SilentExchange,
            events: vec![name.clone()],
            what: format!("`{name}` is no longer published on `{}`", bound.exchange),
            why:
                "since 23.01 all daemons but wazo-auth publish on `wazo-headers` (Wazo upgrade notes, 23.01)"
                    .into(),
            advice: format!(
                "bind the queue to `wazo-headers` with the header `name` = `{}`; for a queue that belongs to its \
                 connection bind `wazo-headers` to `xivo`",
                event.after.wire_name.as_deref().unwrap_or(&name)
            ),
        };
        return Outcome { event: name, fate: Fate::NativeBinding, said: Some(said), is_news: true };
    }
    match changed(known, event, &name, Some("")) {
        Some(said) if hit.before => {
            Outcome { event: name, fate: Fate::Changed, said: Some(said), is_news: true }
        }
        _ => Outcome { event: name, fate: Fate::Alive, said: None, is_news: false },
    }
}

fn by_headers(known: &Known<'_>, bound: Bound<'_>) -> Verdict {
    let name = bound.arguments.get("name").and_then(serde_json::Value::as_str);
    let Some(name) = name else {
        // Without a name it gets events by what else is in their headers, or all of them.
        return Verdict { fate: Fate::Alive, events: Vec::new(), said: Vec::new() };
    };
    let numbers = known.named(name);
    if numbers.is_empty() && known.is_told_of(name) {
        return Verdict { fate: Fate::Alive, events: vec![(name.to_owned(), Fate::Alive)], said: Vec::new() };
    }
    if numbers.is_empty() {
        return unknown(known, Bound { key: name, ..bound }, "headers");
    }
    let events = numbers.iter().filter_map(|&number| known.events.get(number));
    let mut outcomes: Vec<Outcome> = events.map(|event| under_name(known, event, name)).collect();
    if outcomes.iter().any(|outcome| outcome.fate == Fate::Alive) {
        outcomes.retain(|outcome| outcome.fate.receives());
    }
    summed_up(known, bound, outcomes)
}

/// What becomes of an event for a binding by the header `name`.
fn under_name(known: &Known<'_>, event: &Event<'_>, name: &str) -> Outcome {
    if let Some(outcome) = gone(known, event, name, false) {
        return outcome;
    }
    let wire = event.after.wire_name.as_deref().unwrap_or(&event.name);
    if wire == name || event.is_open {
        return match changed(known, event, name, None) {
            Some(said) => {
                Outcome { event: name.into(), fate: Fate::Changed, said: Some(said), is_news: true }
            }
            None => Outcome { event: name.into(), fate: Fate::Alive, said: None, is_news: false },
        };
    }
    // The documented name, or the one of an earlier version.
    let never = event.after.face.as_ref().is_some_and(|face| face.name.as_literal() == Some(name));
    let said = Said {
        fates: Vec::new(),
        lost: Vec::new(),
        kind: if never { Kind::DocumentedKey } else { Kind::Changed },
        events: vec![name.to_owned()],
        what: format!("`{name}` is called `{wire}` on the wire"),
        why: event
            .after
            .state
            .rule
            .map_or_else(String::new, |rule| rule.note.clone().unwrap_or_else(|| rule.source.clone())),
        advice: format!("bind the header `name` = `{wire}`"),
    };
    let fate = if never { Fate::NeverSent } else { Fate::Changed };
    Outcome { event: name.into(), fate, said: Some(said), is_news: true }
}

fn unknown(known: &Known<'_>, bound: Bound<'_>, kind: &str) -> Verdict {
    let said = suggestion::unknown(known, bound, kind);
    Verdict { fate: Fate::UnknownEvent, events: Vec::new(), said: vec![said] }
}

/// What becomes of the binding, from what becomes of its events.
fn summed_up(known: &Known<'_>, bound: Bound<'_>, outcomes: Vec<Outcome>) -> Verdict {
    let events: Vec<(String, Fate)> =
        outcomes.iter().map(|outcome| (outcome.event.clone(), outcome.fate)).collect();
    let best = outcomes.iter().map(|outcome| outcome.fate).filter(|fate| fate.receives()).min();
    let worst = outcomes.iter().map(|outcome| outcome.fate).max().unwrap_or(Fate::UnknownEvent);
    let is_mixed = best.is_some_and(|best| best != worst);
    let mut said: Vec<Said> = Vec::new();
    let mut lost: Vec<(String, Fate, String)> = Vec::new();
    for outcome in outcomes {
        let Some(mut one) = outcome.said else { continue };
        one.fates = vec![outcome.fate];
        let is_loss = !matches!(one.kind, Kind::ServedByBridge | Kind::NativeBinding | Kind::SilentExchange);
        if is_mixed && is_loss {
            // A pattern that never got an event does not lose it.
            if outcome.is_news {
                lost.push((outcome.event, outcome.fate, one.what));
            }
            continue;
        }
        match said.iter_mut().find(|other| other.kind == one.kind && is_alike(other, &one)) {
            Some(other) => other.add(one),
            None => said.push(one),
        }
    }
    for one in &mut said {
        if let [_, _, ..] = one.events.as_slice() {
            one.what = together(one, bound, known);
        }
    }
    if !lost.is_empty() {
        let mut fates: Vec<Fate> = lost.iter().map(|(_, fate, _)| *fate).collect();
        fates.sort_unstable();
        fates.dedup();
        said.push(Said {
            fates,
            lost: Vec::new(),
            kind: Kind::LosesSome,
            what: format!(
                "of what this pattern matches, {}",
                lost.iter().map(|(_, _, what)| what.as_str()).collect::<Vec<_>>().join("; ")
            ),
            why: format!("between {} and {}", known.from, known.to),
            advice: "look whether the client reads these events".into(),
            events: lost.into_iter().map(|(event, _, _)| event).collect(),
        });
    }
    Verdict { fate: if is_mixed { best.unwrap_or(worst) } else { worst }, events, said }
}

impl Said {
    /// Says the same of more events.
    fn add(&mut self, other: Self) {
        self.events.extend(other.events);
        for fate in other.fates {
            if !self.fates.contains(&fate) {
                self.fates.push(fate);
            }
        }
    }
}

/// Whether two events have the same said of them, so that it is said once.
fn is_alike(one: &Said, other: &Said) -> bool {
    match one.kind {
        Kind::SilentExchange | Kind::ServedByBridge | Kind::NativeBinding => true,
        _ => one.why == other.why && one.advice == other.advice,
    }
}

fn together(said: &Said, bound: Bound<'_>, known: &Known<'_>) -> String {
    let events: Vec<String> = said.events.iter().map(|event| format!("`{event}`")).collect();
    let events = match events.as_slice() {
        few if few.len() <= 6 => few.join(", "),
        many => format!(
            "{} and {} more",
            many.iter().take(5).cloned().collect::<Vec<_>>().join(", "),
            many.len() - 5
        ),
    };
    match said.kind {
        Kind::SilentExchange => format!("{events} are no longer published on `{}`", bound.exchange),
        Kind::ServedByBridge => format!("the bridge brings {events} back to `{}`", bound.exchange),
        Kind::NativeBinding => format!("{events} have the same names, keys and fields"),
        Kind::Deleted => format!("{events} are deleted"),
        Kind::NotYet => format!("{events} come after {}", known.to),
        Kind::NeverSent => format!("{events} are documented in {}, and nobody publishes them", known.to),
        _ => format!("{} ({events})", said.what),
    }
}
