//! The examples of a rule.

use serde_json::Value as Json;

use crate::core::diagnostic::{Problems, did_you_mean};
use crate::core::message::Reason;
use crate::core::reader::{Entries, list, owned, text};
use crate::core::rule::{Example, HeaderExample, RuleTest};
use crate::core::yaml::{Node, Value};

/// Reads an example.
pub(super) fn test(node: &Node, problems: &mut Problems) -> Option<RuleTest> {
    let known = ["legacy", "modern", "routing_key", "headers", "rebuilt", "refused"];
    let entries = Entries::of(node, "an example", &known, problems)?;
    let (legacy, modern) = (entries.get("legacy"), entries.get("modern"));
    let [legacy, modern] = [legacy, modern].map(|event| event.map(|event| json(event, problems)));
    let example = match (legacy, modern, entries.get("rebuilt"), entries.get("refused")) {
        (Some(legacy), Some(modern), None, None) => {
            let key = entries.required("routing_key", "write the routing key of the modern event", problems);
            Example::Both {
                legacy,
                modern,
                routing_key: owned(key, "a routing key", problems)?,
                headers: header_examples(entries.get("headers"), problems),
            }
        }
        (None, Some(modern), Some(rebuilt), None) => {
            let rebuilt = list(rebuilt, "a list of legacy events", problems);
            Example::Rebuilt { modern, rebuilt: rebuilt.iter().map(|event| json(event, problems)).collect() }
        }
        (Some(legacy), None, None, Some(refused)) => {
            let code = text(refused, "a reason such as `removed_event`", problems)?;
            let Some(&reason) = Reason::ALL.iter().find(|reason| reason.code() == code) else {
                let codes = Reason::ALL.map(Reason::code);
                let help =
                    did_you_mean(code, codes).unwrap_or_else(|| format!("known: {}", codes.join(", ")));
                problems.add(refused, format!("unknown reason `{code}`"), help);
                return None;
            };
            Example::Refused { legacy, refused: reason }
        }
        _ => {
            let help = "write `legacy`, `routing_key` and `modern`; or `modern` and `rebuilt`; or `legacy` and `refused`";
            problems.add(node, "this example shows neither direction", help.to_owned());
            return None;
        }
    };
    Some(RuleTest { node: node.id, example })
}

fn header_examples(node: Option<&Node>, problems: &mut Problems) -> Vec<(String, HeaderExample)> {
    let Some(entries) = node.and_then(|node| Entries::of(node, "headers", &[], problems)) else {
        return Vec::new();
    };
    entries
        .entries
        .into_iter()
        .filter_map(|(name, node)| {
            let value = match &node.value {
                Value::Bool(flag) => HeaderExample::Flag(*flag),
                _ => HeaderExample::Text(text(node, "a text, `true` or `false`", problems)?.to_owned()),
            };
            Some((name.to_owned(), value))
        })
        .collect()
}

/// The node as JSON. Keys that are no texts are written as JSON writes their values.
fn json(node: &Node, problems: &mut Problems) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(flag) => Json::Bool(*flag),
        Value::Integer(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Text(text) => Json::from(text.as_str()),
        Value::List(items) => Json::Array(items.iter().map(|item| json(item, problems)).collect()),
        Value::Mapping(entries) => {
            let mut object = serde_json::Map::new();
            for (key, value) in entries {
                let name = match &key.value {
                    Value::Text(text) => text.clone(),
                    _ => json(key, problems).to_string(),
                };
                let value = json(value, problems);
                if object.contains_key(&name) {
                    problems.add(key, format!("`{name}` is there twice"), "keep one of the two".to_owned());
                }
                object.insert(name, value);
            }
            Json::Object(object)
        }
    }
}
