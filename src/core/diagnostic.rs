//! What is wrong in a file, where, and what to do: a value, rendered elsewhere.

use super::yaml::{Node, Position, Value, position_of};

/// A mistake in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// What is wrong, in the words of the author of the file.
    pub message: String,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// The rule it is in.
    pub rule: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

/// A stretch of one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Where it begins.
    pub position: Position,
    /// How many characters it has, at least one.
    pub width: usize,
}

impl Place {
    /// Where this node stands in its text.
    #[must_use]
    pub fn of(text: &str, node: usize) -> Option<Self> {
        position_of(text, node).map(|position| Self::at(text, position))
    }

    /// The key or value that begins at this position.
    #[must_use]
    pub fn at(text: &str, position: Position) -> Self {
        let line = text.lines().nth(position.line.saturating_sub(1)).unwrap_or_default();
        let start =
            line.char_indices().nth(position.column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
        let (before, rest) = line.split_at(start);
        let end = match rest.chars().next() {
            Some(quote @ ('"' | '\'')) => end_of_quoted(rest, quote),
            Some('{' | '[') => 1,
            // Within braces or brackets these end a plain text; elsewhere they belong to it.
            _ if is_in_flow(before) => end_of_plain(rest, &[": ", " #", ",", "}", "]"]),
            _ => end_of_plain(rest, &[": ", " #"]),
        };
        Self { position, width: rest[..end].chars().count().max(1) }
    }
}

fn end_of_quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote == '"' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

fn end_of_plain(text: &str, stops: &[&str]) -> usize {
    let end = stops.iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
    text[..end].trim_end().trim_end_matches(':').len()
}

/// Whether a brace or a bracket is open at the end of this beginning of a line.
fn is_in_flow(before: &str) -> bool {
    let (mut open, mut quoted, mut last) = (0_usize, None, ' ');
    for c in before.chars() {
        match (quoted, c) {
            (Some(quote), _) => quoted = (c != quote).then_some(quote),
            // Inside a plain text these are characters like others.
            (None, '"' | '\'' | '{' | '[') if last.is_alphanumeric() || "._".contains(last) => {}
            (None, '"' | '\'') => quoted = Some(c),
            (None, '{' | '[') => open += 1,
            (None, '}' | ']') => open = open.saturating_sub(1),
            (None, _) => {}
        }
        last = c;
    }
    open > 0
}

/// Gathers the mistakes of one file, so that all are told in one run.
#[derive(Debug, Default)]
pub struct Problems {
    found: Vec<(usize, Diagnostic)>,
    /// The rule that is being read.
    pub rule: Option<String>,
}

impl Problems {
    /// Notes a mistake at a node.
    pub fn add(&mut self, node: &Node, message: impl Into<String>, help: impl Into<Option<String>>) {
        let diagnostic =
            Diagnostic { message: message.into(), place: None, rule: self.rule.clone(), help: help.into() };
        self.found.push((node.id, diagnostic));
    }

    /// Notes that a node holds something else than it should.
    pub fn expected(&mut self, node: &Node, what: &str) {
        self.add(node, format!("expected {what}, found {}", node.value.kind()), None);
    }

    /// Notes that a node holds something else than a text.
    pub fn expected_text(&mut self, node: &Node, what: &str) {
        let help = match &node.value {
            Value::Mapping(_) => {
                Some("quote a text that begins with `{`: plain, it opens a mapping".to_owned())
            }
            Value::Integer(_) | Value::Float(_) | Value::Bool(_) => Some("quote it".to_owned()),
            _ => None,
        };
        self.add(node, format!("expected {what}, found {}", node.value.kind()), help);
    }

    /// Whether nothing was wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The mistakes with their places, from top to bottom.
    #[must_use]
    pub fn locate(self, text: &str) -> Vec<Diagnostic> {
        let place = |(node, diagnostic): (usize, Diagnostic)| {
            let place = Place::of(text, node);
            let comment = place.is_some_and(|place| is_cut_by_comment(text, place));
            let help = match diagnostic.help {
                None if comment => Some("quote the text: a `#` after a space begins a comment".to_owned()),
                help => help,
            };
            Diagnostic { place, help, ..diagnostic }
        };
        let mut diagnostics: Vec<_> = self.found.into_iter().map(place).collect();
        diagnostics.sort_by_key(|diagnostic| diagnostic.place);
        diagnostics
    }
}

/// Whether there is nothing at this place but a comment.
fn is_cut_by_comment(text: &str, place: Place) -> bool {
    let line = text.lines().nth(place.position.line.saturating_sub(1)).unwrap_or_default();
    let line = line.split_once(": ").map_or(line, |(_, value)| value);
    line.trim_start().starts_with('#')
}

/// The candidate that was probably meant, as a help text.
#[must_use]
pub fn did_you_mean<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    closest(written, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}

/// The candidate that was probably meant.
#[must_use]
pub fn closest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let length = written.chars().count();
    let limit = |candidate: &str| 1.max(candidate.len() / 4);
    candidates
        .into_iter()
        // No distance is less than the difference in length, which is told at once.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= limit(candidate))
        .map(|candidate| (strsim::damerau_levenshtein(written, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= limit(candidate))
        .min()
        .map(|(_, candidate)| candidate)
}
