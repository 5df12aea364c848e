//! Text from outside, made fit for a line of a log or a header.

use std::fmt::{Display, Write};

/// The same text with its control characters escaped, so that it can neither end a line nor paint a terminal.
pub(super) fn printable(text: impl Display) -> String {
    let mut out = String::new();
    // Writing into a String cannot fail.
    let _ = write!(Escaping(&mut out), "{text}");
    out
}

/// At most this many bytes of a text, cut between two characters.
pub(super) fn at_most(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

struct Escaping<'o>(&'o mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_control_characters_and_nothing_else() {
        assert_eq!(printable("é `x`\r\n\u{1b}[31m\u{9b}"), r"é `x`\r\n\u{1b}[31m\u{9b}");
    }

    #[test]
    fn cuts_between_characters() {
        assert_eq!(at_most("aéb", 2), "a");
        assert_eq!(at_most("aéb", 3), "aé");
        assert_eq!(at_most("ab", 9), "ab");
    }
}
