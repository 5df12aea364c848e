//! What was probably meant by a binding key that matches nothing.

use super::judge::{Bound, Said};
use super::known::Known;
use crate::core::diagnostic::closest;
use crate::core::finding::{Fate, Kind};
use crate::core::pattern::Pattern;

/// What is to be said of a binding that no event matches.
pub(super) fn unknown(known: &Known<'_>, bound: Bound<'_>, kind: &str) -> Said {
    let key = bound.key;
    let exchange = bound.exchange;
    let (kind, why, advice) = match kind {
        "topic" if exchange == "xivo" => on_topic(known, key),
        "direct" => on_direct(known, key),
        "headers" => (Kind::UnknownEvent, unlisted(), did_you_mean(known.words().0, key)),
        _ => (Kind::UnknownEvent, unlisted(), did_you_mean(known.words().0, key)),
    };
    let what = match kind {
        Kind::UnknownEvent => format!("no known event has a key like `{key}` on `{exchange}`"),
        _ => format!("`{key}` matches no event on `{exchange}`"),
    };
    Said { kind, fates: vec![Fate::UnknownEvent], lost: Vec::new(), events: Vec::new(), what, why, advice }
}

fn unlisted() -> String {
    "the catalog has the documented events and those of the legacy exchanges; whether others are sent is not known here"
        .into()
}

fn did_you_mean<'w>(words: impl Iterator<Item = &'w str>, key: &str) -> String {
    match closest(key, words) {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            "compare the key with `cti-bridge rules list`; where it is right, give the bridge a rule for it"
                .into()
        }
    }
}

fn on_topic(known: &Known<'_>, key: &str) -> (Kind, String, String) {
    let pattern = Pattern::parse(key);
    let is_one_word = !key.contains('.') && pattern.is_literal();
    let ami_key = format!("ami.{key}");
    if is_one_word && key.starts_with(|c: char| c.is_ascii_uppercase()) && known.is_matched(&ami_key) {
        return (
            Kind::OldAmiKey,
            "since 15.01 an AMI event has the key `ami.<name>`; the documents of 19.05 still show the old one".into(),
            format!("bind `{ami_key}`, or bind `{key}` on `xivo-ami`, which the bridge serves"),
        );
    }
    let keys: Vec<String> = known
        .named(key)
        .iter()
        .filter_map(|&number| known.events.get(number))
        .flat_map(|event| event.after.wire_keys.iter().chain(&event.before.wire_keys))
        .map(|template| format!("`{}`", template.binding_key()))
        .collect();
    if let Some(first) = keys.first() {
        return (
            Kind::NameAsKey,
            "the name of an event is its key on `xivo-cti` only; on `xivo` it is in the body".into(),
            format!("bind {first}, or bind `{key}` on `xivo-cti`, which the bridge serves"),
        );
    }
    if key.contains('*') {
        let last = key.rfind('*').map(|at| format!("{}#{}", &key[..at], &key[at + 1..]));
        let all = key.replace('*', "#");
        if let Some(wider) = last.into_iter().chain([all]).find(|wider| known.is_matched(wider)) {
            return (
                Kind::PatternTooShort,
                "`*` stands for exactly one word, and the keys have more (Message Bus documentation, 19.05, has this \
                 mistake in its example)"
                    .into(),
                format!("bind `{wider}`, or the exact key"),
            );
        }
    }
    if let Some(rest) = key.strip_prefix("events.").filter(|rest| known.is_matched(rest)) {
        return (
            Kind::UnknownEvent,
            "`events.…` is how ACLs begin; routing keys do not (the documented example had it until 2019)"
                .into(),
            format!("bind `{rest}`"),
        );
    }
    let longer = format!("{key}.#");
    if pattern.is_literal() && known.is_matched(&longer) {
        return (
            Kind::UnknownEvent,
            "the keys that begin like this have more words".into(),
            format!("bind `{longer}`"),
        );
    }
    (Kind::UnknownEvent, unlisted(), did_you_mean(known.words().1, key))
}

fn on_direct(known: &Known<'_>, key: &str) -> (Kind, String, String) {
    if key == "#" || key.contains('*') || key.split('.').any(|word| word == "#") {
        return (
            Kind::WildcardOnDirect,
            "a direct exchange compares the whole key".into(),
            "bind each name by itself; `cti-bridge rules list` has them".into(),
        );
    }
    let hits = known.matched_by(&Pattern::parse(key));
    let names: Vec<&str> = hits
        .iter()
        .filter_map(|hit| known.events.get(hit.event))
        .filter(|event| !event.is_open)
        .map(|event| event.name.as_str())
        .collect();
    if let Some(name) = names.first() {
        return (
            Kind::UnknownEvent,
            "this is a routing key of `xivo`; on a legacy exchange the key is the name of the event".into(),
            format!("bind `{name}`"),
        );
    }
    (Kind::UnknownEvent, unlisted(), did_you_mean(known.words().0, key))
}
