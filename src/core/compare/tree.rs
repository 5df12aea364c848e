//! What is compared of a message: a tree in which two things are equal if every client would take them for equal.
//!
//! The order of keys and white space mean nothing. Numbers keep their kind: `1` and `1.0` differ, as they do for the
//! programs that read them, and numbers of any size are compared digit by digit.

use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::core::envelope::{Fields, MAX_DEPTH, deeper_than, elements_of, json_text, text_of};

/// A value to compare.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tree {
    /// Keys in alphabetical order, repeated ones in theirs.
    Object(Vec<(String, Tree)>),
    List(Vec<Tree>),
    /// A scalar as canonical JSON.
    Scalar(String),
    /// No JSON: a text, or bytes in hexadecimal digits.
    Other(String),
}

impl Tree {
    /// Reads the body of a message.
    pub(super) fn read(body: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(body) else {
            let mut digits = String::with_capacity(2 * body.len());
            // Writing into a String cannot fail.
            body.iter().for_each(|byte| write!(digits, "{byte:02x}").unwrap_or_default());
            return Self::Other(digits);
        };
        match serde_json::from_str::<&RawValue>(text) {
            Ok(json) if !deeper_than(json.get(), MAX_DEPTH) => Self::of(json),
            _ => Self::Other(text.to_owned()),
        }
    }

    /// Reads JSON; this recursion is as deep as the JSON.
    pub(super) fn of(json: &RawValue) -> Self {
        let text = json.get();
        match text.as_bytes().first() {
            Some(b'{') => match Fields::of(json) {
                Some(Fields(fields)) => {
                    let field = |(key, value): (_, &RawValue)| (String::from(key), Self::of(value));
                    let mut fields: Vec<_> = fields.into_iter().map(field).collect();
                    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                    Self::Object(fields)
                }
                None => Self::Other(text.to_owned()),
            },
            Some(b'[') => match elements_of(json) {
                Some(elements) => Self::List(elements.into_iter().map(Self::of).collect()),
                None => Self::Other(text.to_owned()),
            },
            Some(b'"') => match text_of(json) {
                Some(text) => Self::text(&text),
                // A lone surrogate, which is no character.
                None => Self::Other(text.to_owned()),
            },
            Some(b'-' | b'0'..=b'9') => Self::Scalar(number(text)),
            _ => Self::Scalar(text.to_owned()),
        }
    }

    pub(super) fn text(text: &str) -> Self {
        Self::Scalar(json_text(text))
    }

    /// The tree as one text: equal for equal trees, and for no others.
    pub(super) fn canonical(&self) -> String {
        let mut out = String::new();
        self.push(&mut out);
        out
    }

    fn push(&self, out: &mut String) {
        match self {
            Self::Object(fields) => {
                out.push('{');
                for (key, value) in fields {
                    out.push_str(&json_text(key));
                    out.push(':');
                    value.push(out);
                    out.push(',');
                }
                out.push('}');
            }
            Self::List(items) => {
                out.push('[');
                for item in items {
                    item.push(out);
                    out.push(',');
                }
                out.push(']');
            }
            Self::Scalar(json) => out.push_str(json),
            // A quoted text behind a letter: no JSON begins like this.
            Self::Other(text) => {
                out.push('x');
                out.push_str(&json_text(text));
            }
        }
    }

    /// Takes away what lies on the path; the path's end may be inside a list.
    pub(super) fn remove(&mut self, path: &[String]) {
        let Some((first, rest)) = path.split_first() else { return };
        let is_it = |name: &str| first == "*" || first == name;
        match self {
            Self::Object(fields) if rest.is_empty() => fields.retain(|(key, _)| !is_it(key)),
            Self::Object(fields) => {
                fields.iter_mut().filter(|(key, _)| is_it(key)).for_each(|(_, value)| value.remove(rest));
            }
            Self::List(items) if rest.is_empty() => {
                let mut at = 0..;
                items.retain(|_| !at.next().is_some_and(|at: usize| is_it(&at.to_string())));
            }
            Self::List(items) => {
                let items = items.iter_mut().enumerate();
                items.filter(|(at, _)| is_it(&at.to_string())).for_each(|(_, value)| value.remove(rest));
            }
            Self::Scalar(_) | Self::Other(_) => {}
        }
    }

    /// Calls this for every value that holds no others, with its path.
    pub(super) fn leaves(&self, path: &str, on: &mut impl FnMut(&str, &str)) {
        match self {
            Self::Object(fields) if !fields.is_empty() => {
                for (key, value) in fields {
                    value.leaves(&with_key(path, key), on);
                }
            }
            Self::List(items) if !items.is_empty() => {
                for (at, value) in items.iter().enumerate() {
                    value.leaves(&format!("{path}[{at}]"), on);
                }
            }
            Self::Object(_) | Self::List(_) => on(path, ""),
            Self::Scalar(text) | Self::Other(text) => on(path, text),
        }
    }
}

/// A number that equals another if its kind and its value do.
fn number(text: &str) -> String {
    let is_whole = !text.contains(['.', 'e', 'E']);
    match text.parse::<f64>() {
        Ok(number) if !is_whole && number.is_finite() => format!("{number:?}"),
        _ => text.to_owned(),
    }
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Where, such as `data.lines[0].id`.
    pub path: String,
    /// Its value before, as JSON; `None` where there was none.
    pub before: Option<String>,
    /// Its value after.
    pub after: Option<String>,
}

/// All fields in which two trees differ.
pub(super) fn changes(before: &Tree, after: &Tree) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    push_changes("", Some(before), Some(after), &mut changes);
    changes
}

fn push_changes(path: &str, before: Option<&Tree>, after: Option<&Tree>, out: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Tree::Object(before)), Some(Tree::Object(after))) => {
            let (mut before, mut after) = (before.iter().peekable(), after.iter().peekable());
            // Both are sorted, so this is a merge.
            loop {
                let order = match (before.peek(), after.peek()) {
                    (None, None) => break,
                    (Some(_), None) => std::cmp::Ordering::Less,
                    (None, Some(_)) => std::cmp::Ordering::Greater,
                    (Some((one, _)), Some((other, _))) => one.cmp(other),
                };
                let one = if order.is_le() { before.next() } else { None };
                let other = if order.is_ge() { after.next() } else { None };
                if let Some((key, _)) = one.or(other) {
                    let values = (one.map(|(_, value)| value), other.map(|(_, value)| value));
                    push_changes(&with_key(path, key), values.0, values.1, out);
                }
            }
        }
        (Some(Tree::List(before)), Some(Tree::List(after))) => {
            for at in 0..before.len().max(after.len()) {
                push_changes(&format!("{path}[{at}]"), before.get(at), after.get(at), out);
            }
        }
        (before, after) => {
            let (before, after) = (before.map(shown), after.map(shown));
            out.push(FieldChange { path: path.to_owned(), before, after });
        }
    }
}

/// A tree for people: JSON, or what it is if not.
fn shown(tree: &Tree) -> String {
    match tree {
        Tree::Other(text) => json_text(text),
        Tree::Scalar(json) => json.clone(),
        Tree::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Tree::Object(fields) => {
            let field = |(key, value): &(String, Tree)| format!("{}: {}", json_text(key), shown(value));
            format!("{{{}}}", fields.iter().map(field).collect::<Vec<_>>().join(", "))
        }
    }
}

/// What is in the body is told without saying so: nearly everything is.
fn with_key(path: &str, key: &str) -> String {
    match path {
        "" => key.to_owned(),
        "body" if !["body", "properties", "routing_key"].contains(&key) => key.to_owned(),
        path => format!("{path}.{key}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> bool {
        let (one, other) = (Tree::read(one.as_bytes()), Tree::read(other.as_bytes()));
        assert_eq!(one == other, one.canonical() == other.canonical());
        one == other
    }

    #[test]
    fn equal_is_what_every_client_takes_for_equal() {
        assert!(same(r#"{"a": 1, "b": [true, null]}"#, r#" {"b":[true,null],"a":1}"#));
        assert!(same(r#""é/""#, r#""\u00e9\/""#));
        assert!(same("1.0", "1.00") && same("1e2", "100.0"));
        assert!(same("100000000000000000000000001", "100000000000000000000000001"));
    }

    #[test]
    fn different_is_what_some_client_could_tell() {
        for (one, other) in [
            ("1", "1.0"),
            ("1", "\"1\""),
            ("100000000000000000000000001", "100000000000000000000000002"),
            ("1e400", "1e401"),
            ("null", "{}"),
            ("[]", "{}"),
            ("[1, 2]", "[2, 1]"),
            (r#"{"a": 1}"#, r#"{"a": 1, "a": 1}"#),
            (r#"{"a": null}"#, "{}"),
            ("\"text\"", "text"),
            (r#""\ud800""#, r#""\ud801""#),
            ("", "\"\""),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
        assert_ne!(Tree::read(b"\xff"), Tree::read(b"\xfe"));
    }

    #[test]
    fn names_each_field_that_differs() {
        let tree = |text: &str| Tree::Object(vec![("body".into(), Tree::read(text.as_bytes()))]);
        let before = tree(r#"{"name": "a", "data": {"list": [1, {"x": "é"}], "gone": null, "kind": 1}}"#);
        let after =
            tree(r#"{"name": "a", "data": {"list": [1, {"x": "e"}, 3], "new": {"y": [1.0]}, "kind": 1.0}}"#);
        let found: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|change| (change.path, change.before.unwrap_or_default(), change.after.unwrap_or_default()))
            .collect();
        let expected = [
            ("data.gone", "null", ""),
            ("data.kind", "1", "1.0"),
            ("data.list[1].x", "\"é\"", "\"e\""),
            ("data.list[2]", "", "3"),
            ("data.new", "", "{\"y\": [1.0]}"),
        ];
        assert_eq!(
            found,
            expected.map(|(path, one, other)| (path.to_owned(), one.to_owned(), other.to_owned()))
        );
    }

    #[test]
    fn a_path_may_have_stars() {
        let mut tree = Tree::read(br#"{"a": [{"t": 1, "u": 2}, {"t": 3}], "t": 4}"#);
        tree.remove(&["a", "*", "t"].map(str::to_owned));
        assert_eq!(tree, Tree::read(br#"{"a": [{"u": 2}, {}], "t": 4}"#));
        tree.remove(&["a", "0"].map(str::to_owned));
        tree.remove(&["missing", "t"].map(str::to_owned));
        assert_eq!(tree, Tree::read(br#"{"a": [{}], "t": 4}"#));
    }

    #[test]
    fn a_body_nested_without_end_is_a_text() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert_eq!(Tree::read(deep.as_bytes()), Tree::Other(deep));
    }
}
