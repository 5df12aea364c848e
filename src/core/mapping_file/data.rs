//! The fields of `data` that differ between the two forms, and the values that stand for each other.

use crate::core::diagnostic::Problems;
use crate::core::reader::{Entries, list, owned};
use crate::core::rule::{FieldMapping, Parameter, Scalar};
use crate::core::yaml::{Node, Value};

/// Reads the fields, `{modern: legacy, …}`.
pub(super) fn data(node: &Node, parameters: &[Parameter], problems: &mut Problems) -> Vec<FieldMapping> {
    let Some(entries) = Entries::of(node, "fields such as `{uuid: user_uuid}`", &[], problems) else {
        return Vec::new();
    };
    let mut fields: Vec<FieldMapping> = Vec::new();
    for &(modern, node) in &entries.entries {
        if parameters.iter().any(|parameter| parameter.name == modern) {
            let help = "a placeholder of this name would have two meanings: rename the parameter";
            problems.add(
                entries.key(modern),
                format!("`{modern}` is a parameter and a field"),
                help.to_owned(),
            );
        }
        let (legacy, values) = match &node.value {
            Value::Mapping(_) => {
                let Some(entries) = Entries::of(node, "a field", &["from", "values"], problems) else {
                    continue;
                };
                let from = entries.required("from", "name the legacy field", problems);
                let values = entries.get("values").map_or_else(Vec::new, |node| values(node, problems));
                (owned(from, "the name of the legacy field", problems), values)
            }
            _ => (owned(Some(node), "the name of the legacy field", problems), Vec::new()),
        };
        let Some(legacy) = legacy else { continue };
        if fields.iter().any(|field| field.legacy == legacy) {
            problems.add(node, format!("two fields are made of `{legacy}`"), None);
        }
        fields.push(FieldMapping { modern: modern.to_owned(), legacy, values });
    }
    fields
}

/// Pairs of legacy and modern value, `{busy: talking}` or `[[busy, talking], …]`.
fn values(node: &Node, problems: &mut Problems) -> Vec<(Scalar, Scalar)> {
    let mut pairs = Vec::new();
    match &node.value {
        Value::Mapping(entries) => {
            for (at, (legacy, modern)) in entries.iter().enumerate() {
                if entries[..at].iter().any(|(seen, _)| seen.value == legacy.value) {
                    let help = "keep one of the two, or write pairs: `[[busy, talking], [busy, ringing]]`";
                    problems.add(legacy, "this legacy value is there twice", help.to_owned());
                }
                pairs.extend(
                    scalar(legacy, problems).zip(scalar(modern, problems)).map(|pair| (pair, modern)),
                );
            }
        }
        _ => {
            for pair in list(node, "pairs of legacy and modern value", problems) {
                let ends = match &pair.value {
                    Value::List(ends) => ends.as_slice(),
                    _ => &[],
                };
                match ends {
                    [legacy, modern] => pairs.extend(
                        scalar(legacy, problems).zip(scalar(modern, problems)).map(|pair| (pair, modern)),
                    ),
                    _ => problems.add(pair, "expected a pair `[legacy, modern]`", None),
                }
            }
        }
    }
    for (at, ((_, modern), node)) in pairs.iter().enumerate() {
        if pairs[..at].iter().any(|((_, seen), _)| seen == modern) {
            problems.add(
                node,
                format!("{modern} has two legacy values"),
                "the way back would be ambiguous".to_owned(),
            );
        }
    }
    pairs.into_iter().map(|(pair, _)| pair).collect()
}

fn scalar(node: &Node, problems: &mut Problems) -> Option<Scalar> {
    match &node.value {
        Value::Text(text) => Some(Scalar::Text(text.clone())),
        Value::Integer(number) => Some(Scalar::Integer(*number)),
        Value::Bool(flag) => Some(Scalar::Bool(*flag)),
        Value::Null => Some(Scalar::Null),
        _ => {
            problems.expected(node, "a text, a whole number, `true`, `false` or `null`");
            None
        }
    }
}
