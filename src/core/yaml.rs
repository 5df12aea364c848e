//! YAML as a tree of numbered nodes, and where each node stands in its text.
//!
//! `serde_yaml` tells positions only in errors. So a tree is read without positions, and when a node
//! turns out to be wrong, the text is read again and made to fail at that very node. Only wrong files
//! pay for it. This is the one file that uses `serde_yaml`, which is no longer maintained.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// A value in a YAML document.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Counts the nodes of a document, in the order of the text.
    pub id: usize,
    /// What is there.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// A mapping, with repeated keys.
    Mapping(Vec<(Node, Node)>),
}

impl Value {
    /// What it is, for messages.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "`true` or `false`",
            Self::Integer(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Mapping(_) => "a mapping",
        }
    }
}

/// A place in a text, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A text that is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// Where, if the parser says so.
    pub position: Option<Position>,
    /// What to do, where that can be told.
    pub help: Option<String>,
}

/// Reads a document.
///
/// # Errors
/// When the text is not YAML, holds more than one document, or uses tags.
pub fn parse(text: &str) -> Result<Node, SyntaxError> {
    read(text, None).map_err(|error| explained(text, &error))
}

/// The parser's complaint in the words of the author of the file.
fn explained(text: &str, error: &serde_yaml::Error) -> SyntaxError {
    let position = error.location().map(position).or_else(|| second_document(text));
    // It repeats the position in its sentence, and often adds where that began which it was reading.
    let sentence = error.to_string();
    let (problem, rest) = sentence.split_once(" at line ").unwrap_or((&sentence, ""));
    let begun_at = |what: &str| {
        let (_, place) = rest.split_once(what)?.1.split_once(" at line ")?;
        place.split_once(" column ").map(|(line, column)| format!("line {line}, column {column}"))
    };
    let line = position.and_then(|at| text.lines().nth(at.line.saturating_sub(1))).unwrap_or_default();
    let column = position.map_or(0, |at| at.column.saturating_sub(1));
    let here = line.chars().nth(column);
    let before = column.checked_sub(1).and_then(|column| line.chars().nth(column));
    let quote = |c: char| Some(format!("quote a text that begins with `{c}`"));
    let (message, help) = match (problem, here) {
        ("found character that cannot start any token", Some('\t')) => {
            ("a tabulator cannot indent YAML", Some("use spaces".to_owned()))
        }
        ("found character that cannot start any token", Some(c)) => {
            ("no text can begin like this unquoted", quote(c))
        }
        ("did not find expected alphabetic or numeric character", _) => match before {
            Some(c @ ('*' | '&')) => ("no text can begin like this unquoted", quote(c)),
            _ => (problem, None),
        },
        ("unknown anchor", _) => ("this refers to nothing", quote('*')),
        ("mapping values are not allowed in this context", _) => {
            ("a colon in the wrong place", Some("quote a text that holds `: `".to_owned()))
        }
        _ if problem.contains("invalid type: enum") => ("tags mean nothing here", quote('!')),
        _ if problem.contains("more than one document") => {
            ("more than one document", Some("leave out the line `---`, or make two files".to_owned()))
        }
        _ if before == Some('}') => ("text behind a `}`", quote('{')),
        ("found unexpected end of stream", _) => {
            let quoted = begun_at("while scanning a quoted scalar");
            (problem, quoted.map(|place| format!("close the quotes that are open since {place}")))
        }
        _ => {
            let opened = [("while parsing a flow mapping", '{'), ("while parsing a flow sequence", '[')];
            let open = opened.iter().find_map(|(what, c)| Some((c, begun_at(what)?)));
            let indented = problem == "did not find expected key" || problem.contains("'-' indicator");
            let help = match open {
                Some((c, place)) => Some(format!("close the `{c}` that is open since {place}")),
                None if indented => Some("indent the keys of one mapping alike".to_owned()),
                None => None,
            };
            (problem, help)
        }
    };
    SyntaxError { message: message.to_owned(), position, help }
}

/// Where the text begins a second document.
fn second_document(text: &str) -> Option<Position> {
    let is_content = |line: &str| !line.trim().is_empty() && !line.starts_with(['#', '%']);
    let mut lines = text.lines().enumerate().filter(|(_, line)| is_content(line)).skip(1);
    lines.find(|(_, line)| line.starts_with("---")).map(|(at, _)| Position { line: at + 1, column: 1 })
}

/// Where a node of this document stands.
#[must_use]
pub fn position_of(text: &str, node: usize) -> Option<Position> {
    read(text, Some(node)).err().and_then(|error| error.location()).map(position)
}

fn position(location: serde_yaml::Location) -> Position {
    Position { line: location.line(), column: location.column() }
}

fn read(text: &str, fail_at: Option<usize>) -> Result<Node, serde_yaml::Error> {
    let next = Cell::new(0);
    Reader { next: &next, fail_at }.deserialize(serde_yaml::Deserializer::from_str(text))
}

#[derive(Clone, Copy)]
struct Reader<'r> {
    next: &'r Cell<usize>,
    fail_at: Option<usize>,
}

impl Reader<'_> {
    fn enter<E: de::Error>(self) -> Result<usize, E> {
        let id = self.next.replace(self.next.get() + 1);
        if self.fail_at == Some(id) { Err(E::custom("here")) } else { Ok(id) }
    }

    fn leaf<E: de::Error>(self, value: Value) -> Result<Node, E> {
        Ok(Node { id: self.enter()?, value })
    }
}

impl<'de> DeserializeSeed<'de> for Reader<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Reader<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, a list or a mapping")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node, E> {
        self.leaf(Value::Null)
    }

    // What the parser says of a text without any document: an empty one, or comments alone.
    fn visit_none<E: de::Error>(self) -> Result<Node, E> {
        self.leaf(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node, E> {
        self.leaf(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node, E> {
        self.leaf(Value::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node, E> {
        self.leaf(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
    }

    // Without these, the parser would refuse the number and repeat it in its message, secret or not.
    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node, E> {
        self.leaf(Value::Float(value as f64))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node, E> {
        self.leaf(Value::Float(value as f64))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node, E> {
        self.leaf(Value::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.leaf(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let id = self.enter()?;
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Node { id, value: Value::List(items) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let id = self.enter()?;
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry_seed(self, self)? {
            entries.push(entry);
        }
        Ok(Node { id, value: Value::Mapping(entries) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "- event: call_held\n  versions: 16.08\n  modern: {routing_key: \"a.b\", x: [1, yes]}\n";

    fn all(node: &Node, out: &mut Vec<(usize, &'static str)>) {
        out.push((node.id, node.value.kind()));
        match &node.value {
            Value::List(items) => items.iter().for_each(|item| all(item, out)),
            Value::Mapping(entries) => entries.iter().for_each(|(key, value)| {
                all(key, out);
                all(value, out);
            }),
            _ => {}
        }
    }

    #[test]
    fn every_node_is_found_where_it_stands() {
        let root = parse(TEXT).unwrap();
        let mut nodes = Vec::new();
        all(&root, &mut nodes);
        let places: Vec<_> = nodes
            .iter()
            .map(|&(id, kind)| {
                let Position { line, column } = position_of(TEXT, id).unwrap();
                (line, column, kind)
            })
            .collect();
        assert_eq!(
            places,
            [
                (1, 1, "a list"),
                (1, 3, "a mapping"),
                (1, 3, "a text"),
                (1, 10, "a text"),
                (2, 3, "a text"),
                (2, 13, "a number"),
                (3, 3, "a text"),
                (3, 11, "a mapping"),
                (3, 12, "a text"),
                (3, 25, "a text"),
                (3, 32, "a text"),
                (3, 35, "a list"),
                (3, 36, "a number"),
                (3, 39, "a text"),
            ]
        );
    }

    #[test]
    fn keeps_repeated_keys() {
        let Value::Mapping(entries) = parse("a: 1\na: 2\n").unwrap().value else { panic!("a mapping") };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn tells_where_the_syntax_is_broken() {
        let error = parse("- a: b\n- c: [d\n- e: f\n").unwrap_err();
        assert!(error.position.is_some(), "{error:?}");
        assert!(!error.message.contains(" at line "), "{error:?}");
    }

    #[test]
    fn a_text_without_anything_is_nothing() {
        for text in ["", "\n", "# a comment\n", "---\n", "~"] {
            assert_eq!(parse(text).map(|root| root.value), Ok(Value::Null), "{text:?}");
        }
    }

    #[test]
    fn complaints_are_in_the_words_of_the_author() {
        let told = |text: &str| {
            let error = parse(text).unwrap_err();
            (error.message, error.help.unwrap_or_default(), error.position.map(|p| (p.line, p.column)))
        };
        assert_eq!(
            told("a:\n\tb: 1\n"),
            ("a tabulator cannot indent YAML".into(), "use spaces".into(), Some((2, 1)))
        );
        assert_eq!(told("a: *b\n").1, "quote a text that begins with `*`");
        assert_eq!(told("a: !b c\n").0, "tags mean nothing here");
        assert_eq!(told("# one\n---\na\n---\nb\n").2, Some((4, 1)));
        assert_eq!(told("a: 'b\n").1, "close the quotes that are open since line 1, column 4");
    }

    #[test]
    fn a_number_of_any_size_is_a_number() {
        let text = "[18446744073709551616, -18446744073709551616, 9223372036854775808]";
        let Value::List(items) = parse(text).unwrap().value else { panic!("a list") };
        assert!(items.iter().all(|item| matches!(item.value, Value::Float(_))), "{items:?}");
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x]\n".to_owned();
        for level in 1..40 {
            let before = level - 1;
            text += &format!("a{level}: &a{level} [*a{before}, *a{before}, *a{before}, *a{before}]\n");
        }
        assert!(parse(&text).is_err());
    }
}
