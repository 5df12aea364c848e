//! Patterns for names of events: `call_*`.

/// A text with `*` for any text and `?` for any one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<char>);

/// Whether a text that names one or more events is a pattern and not a name.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

impl Glob {
    /// The pattern that is written so.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Self(pattern.chars().collect())
    }

    /// Whether all of the text is as the pattern says.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        let (mut at, mut in_text) = (0, 0);
        // The last star, and where in the text what follows it was looked for last.
        let mut star = None;
        while in_text < text.len() {
            match self.0.get(at) {
                Some('*') => {
                    star = Some((at, in_text));
                    at += 1;
                }
                Some(c) if *c == '?' || *c == text[in_text] => (at, in_text) = (at + 1, in_text + 1),
                _ => match star {
                    Some((star_at, from)) => {
                        star = Some((star_at, from + 1));
                        (at, in_text) = (star_at + 1, from + 1);
                    }
                    None => return false,
                },
            }
        }
        self.0[at..].iter().all(|c| *c == '*')
    }
}

impl std::fmt::Display for Glob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|c| write!(f, "{c}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_whole_text() {
        for (pattern, text, matches) in [
            ("call_created", "call_created", true),
            ("call_created", "call_created_", false),
            ("call_*", "call_created", true),
            ("call_*", "call_", true),
            ("call_*", "recall_", false),
            ("*_updated", "users_services_dnd_updated", true),
            ("*_*_updated", "users_services_dnd_updated", true),
            ("*ab", "aab", true),
            ("a?c", "aéc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("**a*", "bab", true),
        ] {
            assert_eq!(Glob::new(pattern).matches(text), matches, "{pattern} {text}");
        }
    }
}
