//! Texts with placeholders, such as `config.users.{user_uuid}.forwards.{forward_name}.updated`.
//!
//! A template prints and parses: [`Template::render`] puts values in, [`Template::capture`] reads them
//! back out of a text, and [`Template::binding_key`] gives the topic pattern that matches all it can print.

use std::borrow::Cow;
use std::fmt;

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

/// A piece of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder(Placeholder),
}

/// A piece of one word of a template, to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TemplatePart<'t> {
    /// A text without a dot, never empty.
    Literal(&'t str),
    /// A placeholder.
    Placeholder(&'t Placeholder),
}

/// A placeholder: `{user_uuid}`, an element of an array `{to[0]}`, or `{id|raw}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placeholder {
    /// The parameter, or the field of `data`.
    pub name: String,
    /// The element, where the field is an array.
    pub index: Option<usize>,
    /// Whether the value may be several words, because the platform itself puts dotted ids there.
    pub words: Words,
}

/// How many words of a routing key a placeholder may stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Words {
    /// Exactly one.
    One,
    /// One or more (`|raw`).
    Several,
}

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A `{` without its `}`.
    #[error("unclosed `{{` in template")]
    Unclosed {
        /// What the author probably meant.
        closed: String,
    },
    /// A `}` without its `{`.
    #[error("`}}` without `{{` in template")]
    Unopened,
    /// The text between the braces is not a name.
    #[error("`{{{0}}}` is not a placeholder")]
    NotAName(String),
    /// Nothing separates two placeholders, so that no text could be read back.
    #[error("nothing separates `{{{0}}}` from the placeholder before it")]
    Adjacent(String),
    /// No text at all.
    #[error("the template is empty")]
    Empty,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// When the text is empty, a brace has no partner, a placeholder is not a name, or two
    /// placeholders touch.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        if text.is_empty() {
            return Err(TemplateError::Empty);
        }
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find(['{', '}']) {
            if rest.as_bytes()[open] == b'}' {
                return Err(TemplateError::Unopened);
            }
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let inner = &rest[open + 1..];
            let close = inner.find(['{', '}']).filter(|&at| inner.as_bytes()[at] == b'}');
            let Some(close) = close else {
                let name_ends = inner.find(|c: char| !is_name_char(c)).unwrap_or(inner.len());
                let at = text.len() - inner.len() + name_ends;
                return Err(TemplateError::Unclosed { closed: format!("{}}}{}", &text[..at], &text[at..]) });
            };
            let placeholder = Placeholder::parse(&inner[..close])?;
            if matches!(parts.last(), Some(Part::Placeholder(_))) {
                return Err(TemplateError::Adjacent(placeholder.name));
            }
            parts.push(Part::Placeholder(placeholder));
            rest = &inner[close + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self { parts })
    }

    /// The placeholders, from left to right.
    pub fn placeholders(&self) -> impl Iterator<Item = &Placeholder> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder(placeholder) => Some(placeholder),
            Part::Literal(_) => None,
        })
    }

    /// The text, if there is no placeholder in it.
    #[must_use]
    pub fn as_literal(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Prints the template with a value for each placeholder.
    ///
    /// # Errors
    /// Those of `value_of`.
    pub fn render<'t, 'v, E>(
        &'t self,
        mut value_of: impl FnMut(&'t Placeholder) -> Result<Cow<'v, str>, E>,
    ) -> Result<Cow<'t, str>, E> {
        if let Some(text) = self.as_literal() {
            return Ok(Cow::Borrowed(text));
        }
        let mut out = String::with_capacity(96);
        for part in &self.parts {
            match part {
                Part::Literal(text) => out.push_str(text),
                Part::Placeholder(placeholder) => out.push_str(&value_of(placeholder)?),
            }
        }
        Ok(Cow::Owned(out))
    }

    /// The template with a template in place of some placeholders: values of parameters, or `{routing_key}`.
    #[must_use]
    pub fn substitute(&self, replacement: impl Fn(&str) -> Option<Self>) -> Self {
        let mut parts: Vec<Part> = Vec::with_capacity(self.parts.len());
        let mut push = |part: Part| match (parts.last_mut(), part) {
            (Some(Part::Literal(before)), Part::Literal(text)) => before.push_str(&text),
            (_, part) => parts.push(part),
        };
        for part in &self.parts {
            match part {
                Part::Placeholder(Placeholder { name, .. }) => match replacement(name) {
                    Some(template) => template.parts.into_iter().for_each(&mut push),
                    None => push(part.clone()),
                },
                Part::Literal(_) => push(part.clone()),
            }
        }
        Self { parts }
    }

    /// The value of each placeholder in a text that this template printed, or `None` when the text is
    /// not one of those.
    #[must_use]
    pub fn capture<'t, 'v>(&'t self, text: &'v str) -> Option<Vec<(&'t Placeholder, &'v str)>> {
        let mut matching = Matching { text, hopeless: vec![false; self.parts.len() * (text.len() + 1)] };
        let mut values = Vec::new();
        matching.go(&self.parts, 0, &mut values).then_some(values)
    }

    /// The pieces of each word, where words are separated by dots. The dots in values do not count.
    #[must_use]
    pub fn words(&self) -> Vec<Vec<TemplatePart<'_>>> {
        let mut words = Vec::new();
        let mut word: Vec<TemplatePart<'_>> = Vec::new();
        for part in &self.parts {
            match part {
                Part::Placeholder(placeholder) => word.push(TemplatePart::Placeholder(placeholder)),
                Part::Literal(text) => {
                    for (at, piece) in text.split('.').enumerate() {
                        if at > 0 {
                            words.push(std::mem::take(&mut word));
                        }
                        if !piece.is_empty() {
                            word.push(TemplatePart::Literal(piece));
                        }
                    }
                }
            }
        }
        words.push(word);
        words
    }

    /// The binding key of a topic exchange that matches everything this template can print.
    #[must_use]
    pub fn binding_key(&self) -> String {
        let mut key = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(text) => key.push_str(text),
                // A pattern has no wildcard for a part of a word; marked here, widened below.
                Part::Placeholder(Placeholder { words: Words::One, .. }) => key.push('*'),
                Part::Placeholder(Placeholder { words: Words::Several, .. }) => key.push('#'),
            }
        }
        let widen = |word: &str| match (word.contains('#'), word.contains('*')) {
            (true, _) => "#".to_owned(),
            (_, true) => "*".to_owned(),
            _ => word.to_owned(),
        };
        key.split('.').map(widen).collect::<Vec<_>>().join(".")
    }
}

impl From<&str> for Template {
    /// A template without placeholders: the text is taken as it is.
    fn from(text: &str) -> Self {
        Self { parts: vec![Part::Literal(text.to_owned())] }
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.parts {
            match part {
                Part::Literal(text) => f.write_str(text)?,
                Part::Placeholder(placeholder) => write!(f, "{{{placeholder}}}")?,
            }
        }
        Ok(())
    }
}

impl Placeholder {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let not_a_name = || TemplateError::NotAName(text.to_owned());
        let (path, words) = match text.strip_suffix("|raw") {
            Some(path) => (path, Words::Several),
            None => (text, Words::One),
        };
        let (name, index) = match path.strip_suffix(']').and_then(|path| path.split_once('[')) {
            Some((name, index)) => (name, Some(index.parse().map_err(|_| not_a_name())?)),
            None => (path, None),
        };
        if name.is_empty() || !name.chars().all(is_name_char) {
            return Err(not_a_name());
        }
        Ok(Self { name: name.to_owned(), index, words })
    }
}

impl fmt::Display for Placeholder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if let Some(index) = self.index {
            write!(f, "[{index}]")?;
        }
        match self.words {
            Words::One => Ok(()),
            Words::Several => f.write_str("|raw"),
        }
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Where in a text which parts of a template cannot be: without it the tries multiply with each placeholder.
struct Matching<'v> {
    text: &'v str,
    /// For each number of parts that are left, each place in the text.
    hopeless: Vec<bool>,
}

impl<'v> Matching<'v> {
    fn go<'t>(&mut self, parts: &'t [Part], at: usize, values: &mut Vec<(&'t Placeholder, &'v str)>) -> bool {
        let text = &self.text[at..];
        let Some((part, rest)) = parts.split_first() else {
            return text.is_empty();
        };
        let place = rest.len() * (self.text.len() + 1) + at;
        if self.hopeless[place] {
            return false;
        }
        let found = match part {
            Part::Literal(literal) => {
                text.starts_with(literal.as_str()) && self.go(rest, at + literal.len(), values)
            }
            Part::Placeholder(placeholder) => {
                let longest = match placeholder.words {
                    Words::One => text.find('.').unwrap_or(text.len()),
                    Words::Several => text.len(),
                };
                // The shortest value that lets the rest match.
                (1..=longest).filter(|&end| text.is_char_boundary(end)).any(|end| {
                    values.push((placeholder, &text[..end]));
                    let found = self.go(rest, at + end, values);
                    if !found {
                        values.pop();
                    }
                    found
                })
            }
        };
        self.hopeless[place] = !found;
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    #[test]
    fn prints_and_parses() {
        let template = template("config.users.{user_uuid}.forwards.{name}.updated");
        let text = template.render(|p| Ok::<_, ()>(Cow::Owned(format!("<{}>", p.name)))).unwrap();
        assert_eq!(text, "config.users.<user_uuid>.forwards.<name>.updated");
        let values: Vec<_> =
            template.capture(&text).unwrap().into_iter().map(|(p, v)| (p.name.clone(), v)).collect();
        assert_eq!(values, [("user_uuid".to_owned(), "<user_uuid>"), ("name".to_owned(), "<name>")]);
    }

    #[test]
    fn captures_nothing_from_a_text_it_cannot_print() {
        let template = template("call_{action}");
        assert!(template.capture("call_").is_none());
        assert!(template.capture("calls_created").is_none());
        assert!(template.capture("call_a.b").is_none());
    }

    #[test]
    fn captures_in_a_time_that_does_not_multiply_with_each_placeholder() {
        let template = template(&"{a|raw}x".repeat(12));
        assert!(template.capture(&format!("{}y", "x".repeat(250))).is_none());
        assert_eq!(template.capture(&"x".repeat(250)).unwrap().len(), 12);
    }

    #[test]
    fn a_raw_placeholder_holds_several_words() {
        let template = template("faxes.outbound.{id|raw}.succeeded");
        let text = "faxes.outbound.1234567.89.succeeded";
        assert_eq!(template.capture(text).unwrap()[0].1, "1234567.89");
        assert_eq!(template.binding_key(), "faxes.outbound.#.succeeded");
    }

    #[test]
    fn a_binding_key_widens_a_part_of_a_word_to_the_word() {
        assert_eq!(template("calls.{id}.x").binding_key(), "calls.*.x");
        assert_eq!(template("ami.Queue{event}.x").binding_key(), "ami.*.x");
    }

    #[test]
    fn reads_an_element_of_an_array() {
        let template = template("chat.message.{to[0]}.{to[1]}");
        let indexes: Vec<_> = template.placeholders().map(|p| (p.name.as_str(), p.index)).collect();
        assert_eq!(indexes, [("to", Some(0)), ("to", Some(1))]);
    }

    #[test]
    fn rejects_what_is_not_a_template() {
        let error = |text: &str| Template::parse(text).unwrap_err();
        assert_eq!(
            error("events.calls.{user_uuid"),
            TemplateError::Unclosed { closed: "events.calls.{user_uuid}".into() }
        );
        assert_eq!(error("a.{b.c"), TemplateError::Unclosed { closed: "a.{b}.c".into() });
        assert_eq!(error("a.{b.{c}"), TemplateError::Unclosed { closed: "a.{b}.{c}".into() });
        assert_eq!(error("a}.b"), TemplateError::Unopened);
        assert_eq!(error("{}"), TemplateError::NotAName(String::new()));
        assert_eq!(error("{a b}"), TemplateError::NotAName("a b".into()));
        assert_eq!(error("{to[x]}"), TemplateError::NotAName("to[x]".into()));
        assert_eq!(error("{a}{b}"), TemplateError::Adjacent("b".into()));
        assert_eq!(error(""), TemplateError::Empty);
    }

    #[test]
    fn displays_as_it_was_written() {
        for text in ["a.{b}.c", "{to[1]}", "x.{id|raw}", "plain"] {
            assert_eq!(template(text).to_string(), text);
        }
    }

    #[test]
    fn substitutes_templates_for_placeholders() {
        let acl = template("events.{routing_key}")
            .substitute(|name| (name == "routing_key").then(|| template("calls.{uuid}")));
        assert_eq!(acl, template("events.calls.{uuid}"));
    }
}
