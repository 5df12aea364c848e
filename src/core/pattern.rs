//! Binding keys of a topic exchange, held against the routing keys that a template can print.
//!
//! [`Pattern::overlaps`] answers whether a binding can ever get an event: `calls.*` and `calls.call.created` have
//! nothing in common, `calls.#` and `calls.call.{action}` do. Both sides are split into words once.

use super::template::{Template, TemplatePart, Words};

/// A binding key: words, `*` for exactly one word, `#` for any number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    words: Vec<PatternWord>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum PatternWord {
    Literal(String),
    One,
    Any,
}

/// They double with each word in which a placeholder for several words stands beside a text.
const MOST_WAYS: usize = 64;

/// The routing keys that a template can print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// More than one where a placeholder for several words shares a word with a text.
    ways: Vec<Vec<KeyWord>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum KeyWord {
    /// This word.
    Literal(String),
    /// A word with a part that is open.
    Open(Open),
    /// Any word, the empty one too.
    One,
    /// Any number of words.
    Any,
}

/// A word of which only the beginning and the end are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Open {
    before: String,
    after: String,
    /// Whether what is open begins with a capital letter.
    capitalised: bool,
}

impl Open {
    fn holds(&self, word: &str) -> bool {
        let middle = word.strip_prefix(&self.before).and_then(|rest| rest.strip_suffix(self.after.as_str()));
        middle.is_some_and(|middle| {
            !middle.is_empty() && (!self.capitalised || middle.starts_with(|c: char| c.is_ascii_uppercase()))
        })
    }
}

impl Pattern {
    /// Reads a binding key. There is none that is wrong.
    #[must_use]
    pub fn parse(key: &str) -> Self {
        let word = |word: &str| match word {
            "*" => PatternWord::One,
            "#" => PatternWord::Any,
            word => PatternWord::Literal(word.to_owned()),
        };
        Self { words: words_of(key).map(word).collect() }
    }

    /// The first word, unless it is a wildcard.
    #[must_use]
    pub fn first_word(&self) -> Option<&str> {
        match self.words.first() {
            Some(PatternWord::Literal(word)) => Some(word),
            _ => None,
        }
    }

    /// Whether it is a plain key, which matches itself alone.
    #[must_use]
    pub fn is_literal(&self) -> bool {
        self.words.iter().all(|word| matches!(word, PatternWord::Literal(_)))
    }

    /// Whether it matches every key.
    #[must_use]
    pub fn matches_all(&self) -> bool {
        !self.words.is_empty() && self.words.iter().all(|word| *word == PatternWord::Any)
    }

    /// Whether it matches this routing key.
    #[must_use]
    pub fn matches(&self, routing_key: &str) -> bool {
        let words: Vec<KeyWord> =
            words_of(routing_key).map(|word| KeyWord::Literal(word.to_owned())).collect();
        meet(&self.words, &words)
    }

    /// Whether some routing key matches both.
    #[must_use]
    pub fn meets(&self, other: &Self) -> bool {
        let word = |word: &PatternWord| match word {
            PatternWord::Literal(word) => KeyWord::Literal(word.clone()),
            PatternWord::One => KeyWord::One,
            PatternWord::Any => KeyWord::Any,
        };
        meet(&self.words, &other.words.iter().map(word).collect::<Vec<_>>())
    }

    /// Whether it matches at least one of these keys.
    #[must_use]
    pub fn overlaps(&self, keys: &Keys) -> bool {
        keys.ways.iter().any(|words| meet(&self.words, words))
    }
}

impl Keys {
    /// The keys that this template prints, where `is_capitalised` tells which placeholders begin with a capital
    /// letter.
    #[must_use]
    pub fn of(template: &Template, is_capitalised: impl Fn(&str) -> bool) -> Self {
        let mut ways: Vec<Vec<KeyWord>> = vec![Vec::new()];
        for word in template.words() {
            let mut spellings = spellings(&word, &is_capitalised);
            if ways.len() * spellings.len() > MOST_WAYS {
                // Wider than it is, so nothing that can come is called impossible.
                spellings = vec![vec![KeyWord::Any]];
            }
            let longer = |way: &Vec<KeyWord>, spelling: &Vec<KeyWord>| [way.as_slice(), spelling].concat();
            ways = ways
                .iter()
                .flat_map(|way| spellings.iter().map(move |spelling| longer(way, spelling)))
                .collect();
        }
        Self { ways }
    }

    /// The first word, where all keys have the same.
    #[must_use]
    pub fn first_word(&self) -> Option<&str> {
        let mut firsts = self.ways.iter().map(|way| match way.first() {
            Some(KeyWord::Literal(word)) => Some(word.as_str()),
            _ => None,
        });
        let first = firsts.next()??;
        firsts.all(|other| other == Some(first)).then_some(first)
    }
}

/// How one word of a template can be written out: one way, or three if a placeholder in it may hold dots.
fn spellings(parts: &[TemplatePart<'_>], is_capitalised: &impl Fn(&str) -> bool) -> Vec<Vec<KeyWord>> {
    match parts {
        [] => return vec![vec![KeyWord::Literal(String::new())]],
        [TemplatePart::Literal(text)] => return vec![vec![KeyWord::Literal((*text).to_owned())]],
        _ => {}
    }
    let text = |part: Option<&TemplatePart<'_>>| match part {
        Some(TemplatePart::Literal(text)) => (*text).to_owned(),
        _ => String::new(),
    };
    let placeholders: Vec<_> = parts
        .iter()
        .filter_map(|part| match part {
            TemplatePart::Placeholder(placeholder) => Some(*placeholder),
            TemplatePart::Literal(_) => None,
        })
        .collect();
    let (before, after) = (text(parts.first()), text(parts.last()));
    let capitalised =
        before.is_empty() && placeholders.first().is_some_and(|first| is_capitalised(&first.name));
    let one = KeyWord::Open(Open { before: before.clone(), after: after.clone(), capitalised });
    if placeholders.iter().all(|placeholder| placeholder.words == Words::One) {
        return vec![vec![one]];
    }
    let open = |before: String, after: String| match (before.as_str(), after.as_str()) {
        ("", "") => KeyWord::Open(Open::default()),
        _ => KeyWord::Open(Open { before, after, capitalised: false }),
    };
    vec![vec![one], vec![open(before, String::new()), KeyWord::Any, open(String::new(), after)]]
}

/// The words of a key. RabbitMQ takes an empty key for no word at all.
fn words_of(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

/// Whether a key exists that is one of both.
fn meet(mut pattern: &[PatternWord], mut key: &[KeyWord]) -> bool {
    // Most are words from end to end, or from both ends to the first wildcard.
    while let ([PatternWord::Literal(word), more @ ..], [KeyWord::Literal(other), others @ ..]) =
        (pattern, key)
    {
        if word != other {
            return false;
        }
        (pattern, key) = (more, others);
    }
    while let ([more @ .., PatternWord::Literal(word)], [others @ .., KeyWord::Literal(other)]) =
        (pattern, key)
    {
        if word != other {
            return false;
        }
        (pattern, key) = (more, others);
    }
    // A row for each rest of the pattern, a column for each rest of the key, from the ends backwards.
    let mut below = vec![false; key.len() + 1];
    let mut row = below.clone();
    for at in (0..=pattern.len()).rev() {
        let mut next = false;
        for place in (0..=key.len()).rev() {
            let (here, diagonal) = (below[place], below.get(place + 1).copied().unwrap_or(false));
            next = match (pattern.get(at), key.get(place)) {
                (None, None) => true,
                (Some(PatternWord::Any), _) | (Some(_), Some(KeyWord::Any)) => here || next,
                (None, Some(KeyWord::Any)) => next,
                (None, Some(_)) | (Some(_), None) => false,
                (Some(PatternWord::One), Some(_)) | (Some(PatternWord::Literal(_)), Some(KeyWord::One)) => {
                    diagonal
                }
                (Some(PatternWord::Literal(word)), Some(KeyWord::Literal(other))) => {
                    diagonal && word == other
                }
                (Some(PatternWord::Literal(word)), Some(KeyWord::Open(open))) => diagonal && open.holds(word),
            };
            row[place] = next;
        }
        std::mem::swap(&mut below, &mut row);
    }
    below[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlap(pattern: &str, template: &str) -> bool {
        let template = Template::parse(template).unwrap();
        Pattern::parse(pattern).overlaps(&Keys::of(&template, |name| name == "ami_event"))
    }

    #[test]
    fn a_star_is_one_word_and_a_hash_any_number() {
        assert!(!overlap("calls.*", "calls.call.created"));
        assert!(overlap("calls.#", "calls.call.created"));
        assert!(overlap("calls.#", "calls"));
        assert!(overlap("#.created", "calls.call.created"));
        assert!(overlap("*.*.created", "calls.call.created"));
        assert!(!overlap("*.created", "calls.call.created"));
        assert!(overlap("calls.#.call.#.created.#", "calls.call.created"));
        assert!(!overlap("", "calls.call.created"));
        assert!(overlap("#", "calls.call.created"));
    }

    #[test]
    fn a_placeholder_is_one_word_that_is_not_empty() {
        let key = "config.users.{user_uuid}.services.{service_name}.updated";
        assert!(overlap("config.users.2e75.services.dnd.updated", key));
        assert!(overlap("config.users.*.services.#", key));
        assert!(!overlap("config.users.2e.75.services.dnd.updated", key));
        assert!(!overlap("config.users..services.dnd.updated", key));
    }

    #[test]
    fn a_raw_placeholder_is_one_word_or_several() {
        let key = "faxes.outbound.{id|raw}.succeeded";
        assert!(overlap("faxes.outbound.1.succeeded", key));
        assert!(overlap("faxes.outbound.1.2.succeeded", key));
        assert!(overlap("faxes.outbound.*.*.succeeded", key));
        assert!(!overlap("faxes.outbound.succeeded", key));
        assert!(overlap("a.x1.2.3y", "a.x{id|raw}y"));
        assert!(!overlap("a.1.2.3y", "a.x{id|raw}y"));
    }

    #[test]
    fn many_placeholders_for_several_words_cost_no_more_than_some() {
        let key = vec!["x{a|raw}"; 40].join(".");
        assert!(overlap(&vec!["x1"; 40].join("."), &key) && overlap("x1.2.3.#", &key));
        assert!(!overlap("y.#", &key) && !overlap("x1.x2", &key));
    }

    #[test]
    fn a_part_of_a_word_is_compared_with_the_whole_word() {
        assert!(overlap("x.call_created", "x.call_{action}"));
        assert!(overlap("x.*", "x.call_{action}"));
        assert!(!overlap("x.call_", "x.call_{action}"));
        assert!(!overlap("x.calls_created", "x.call_{action}"));
    }

    #[test]
    fn an_ami_event_begins_with_a_capital_letter() {
        assert!(overlap("ami.QueueMemberStatus", "ami.{ami_event}"));
        assert!(!overlap("ami.queuememberstatus", "ami.{ami_event}"));
        assert!(!overlap("QueueMemberStatus", "ami.{ami_event}"));
    }

    #[test]
    fn wildcards_inside_a_word_are_characters_like_others() {
        assert!(!overlap("calls*", "calls.call.created"));
        assert!(Pattern::parse("calls*").is_literal());
        assert!(Pattern::parse("a.b").matches("a.b") && !Pattern::parse("a.b").matches("a.b.c"));
    }

    #[test]
    fn two_patterns_meet_where_one_key_matches_both() {
        let meet = |one: &str, other: &str| Pattern::parse(one).meets(&Pattern::parse(other));
        for (one, other) in
            [("a.*", "*.b"), ("#", "a.b.c"), ("a.#", "#.z"), ("#", "#"), ("*.#", "a"), ("a.*.b", "a..b")]
        {
            assert!(meet(one, other) && meet(other, one), "{one} {other}");
        }
        for (one, other) in [("a.*", "b.*"), ("*", "*.*"), ("a.#", "b.#"), ("a.*.c", "a.c")] {
            assert!(!meet(one, other) && !meet(other, one), "{one} {other}");
        }
    }

    #[test]
    fn an_empty_key_has_no_word() {
        assert!(Pattern::parse("#").matches("") && Pattern::parse("").matches(""));
        assert!(!Pattern::parse("*").matches(""));
        assert!(Pattern::parse("*.b").matches(".b"));
    }
}
