//! Reading YAML nodes as what they should be, noting everything that is not.

use super::diagnostic::{Problems, did_you_mean};
use super::yaml::{Node, Value};

/// The entries of a mapping, each to be taken once.
pub struct Entries<'n> {
    node: &'n Node,
    /// The keys and their values, without those that are wrong.
    pub entries: Vec<(&'n str, &'n Node)>,
}

impl<'n> Entries<'n> {
    /// Reads a mapping with these keys, or with any where none are listed. Repeated and unknown keys are
    /// noted; another kind of node is noted as not being `what`.
    pub fn of(node: &'n Node, what: &str, known: &[&str], problems: &mut Problems) -> Option<Self> {
        let Value::Mapping(pairs) = &node.value else {
            problems.expected(node, what);
            return None;
        };
        let mut entries: Vec<(&str, &Node)> = Vec::with_capacity(pairs.len());
        for (key, value) in pairs {
            let Value::Text(name) = &key.value else {
                problems.expected_text(key, "a key");
                continue;
            };
            if entries.iter().any(|(seen, _)| seen == name) {
                problems.add(key, format!("`{name}` is there twice"), "keep one of the two".to_owned());
            } else if known.contains(&name.as_str()) || known.is_empty() {
                entries.push((name, value));
            } else {
                let help = did_you_mean(name, known.iter().copied())
                    .unwrap_or_else(|| format!("known here: {}", known.join(", ")));
                problems.add(key, format!("unknown key `{name}`"), help);
            }
        }
        Some(Self { node, entries })
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'n Node> {
        self.entries.iter().find(|(key, _)| *key == name).map(|(_, node)| *node)
    }

    /// The node of a key itself, for messages about the key; the whole mapping where there is no such key.
    #[must_use]
    pub fn key(&self, name: &str) -> &'n Node {
        let Value::Mapping(pairs) = &self.node.value else { return self.node };
        let is_it = |key: &Node| matches!(&key.value, Value::Text(text) if text == name);
        pairs.iter().find(|(key, _)| is_it(key)).map_or(self.node, |(key, _)| key)
    }

    /// The value of a key; notes that it is missing if it is.
    pub fn required(&self, name: &str, help: &str, problems: &mut Problems) -> Option<&'n Node> {
        let found = self.get(name);
        if found.is_none() {
            problems.add(self.node, format!("no `{name}`"), help.to_owned());
        }
        found
    }
}

/// A text that is not empty.
pub fn text<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> Option<&'n str> {
    match &node.value {
        Value::Text(text) if !text.is_empty() => Some(text),
        Value::Text(_) => {
            problems.add(node, format!("expected {what}, found an empty text"), None);
            None
        }
        _ => {
            problems.expected_text(node, what);
            None
        }
    }
}

/// The same, as an owned text, where there is a node at all.
pub fn owned(node: Option<&Node>, what: &str, problems: &mut Problems) -> Option<String> {
    node.and_then(|node| text(node, what, problems)).map(str::to_owned)
}

/// `true` or `false`; `false` where there is no node.
pub fn flag(node: Option<&Node>, problems: &mut Problems) -> bool {
    match node.map(|node| (&node.value, node)) {
        None => false,
        Some((Value::Bool(flag), _)) => *flag,
        Some((_, node)) => {
            problems.expected(node, "`true` or `false`");
            false
        }
    }
}

/// A list.
pub fn list<'n>(node: &'n Node, what: &str, problems: &mut Problems) -> &'n [Node] {
    match &node.value {
        Value::List(items) => items,
        _ => {
            problems.expected(node, what);
            &[]
        }
    }
}
