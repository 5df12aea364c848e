//! A text, its syntax tree, and where things stand in it.

use std::ops::ControlFlow;

use tree_sitter::{Node, ParseOptions, ParseState, Parser, Tree};

use crate::core::program::Language;
use crate::core::yaml::Position;

/// How many steps the parser may take, in hundreds. Ordinary files take 5,000 to 16,000 for a mebibyte, texts that are
/// made to be wrong 28,000.
const PARSER_STEPS: usize = 100_000;

/// Bytes between two notes of how many bytes are no characters of their own.
const BLOCK: usize = 256;

/// A longer expression is cut where it is shown.
const SHOWN_CHARACTERS: usize = 60;

/// A text with its syntax tree.
pub struct Source<'t> {
    /// The text.
    pub text: &'t str,
    line_starts: Vec<usize>,
    /// Before each block, the bytes that are not the first of a character.
    continuations: Vec<usize>,
}

impl<'t> Source<'t> {
    /// Prepares a text for questions about it.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        let mut continuations = vec![0];
        for block in text.as_bytes().chunks(BLOCK) {
            let before = continuations.last().copied().unwrap_or(0);
            continuations.push(before + count_of_continuations(block));
        }
        Self { text, line_starts, continuations }
    }

    /// The text of a node.
    #[must_use]
    pub fn text_of(&self, node: Node<'_>) -> &'t str {
        self.text.get(node.byte_range()).unwrap_or_default()
    }

    /// The text of a node on one line, cut where it is long.
    #[must_use]
    pub fn shown(&self, node: Node<'_>) -> String {
        let mut shown = String::new();
        for word in self.text_of(node).split_whitespace() {
            if !shown.is_empty() {
                shown.push(' ');
            }
            shown.extend(word.chars().take(SHOWN_CHARACTERS + 1));
            if shown.chars().count() > SHOWN_CHARACTERS {
                return shown.chars().take(SHOWN_CHARACTERS).chain(['…']).collect();
            }
        }
        shown
    }

    /// Line and column of a byte.
    #[must_use]
    pub fn position(&self, byte: usize) -> Position {
        let line = self.line_starts.partition_point(|start| *start <= byte);
        let start = line.checked_sub(1).and_then(|line| self.line_starts.get(line)).copied().unwrap_or(0);
        let characters =
            (byte - start) - (self.continuations_before(byte) - self.continuations_before(start));
        Position { line, column: characters + 1 }
    }

    fn continuations_before(&self, byte: usize) -> usize {
        let block = byte / BLOCK;
        let rest = self.text.as_bytes().get(block * BLOCK..byte).unwrap_or_default();
        self.continuations.get(block).copied().unwrap_or(0) + count_of_continuations(rest)
    }
}

fn count_of_continuations(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (*byte & 0xc0) == 0x80).count()
}

/// The syntax tree of a text, or nothing where that takes longer than it may.
#[must_use]
pub fn parse(language: Language, jsx: bool, text: &str) -> Option<Tree> {
    let grammar = match language {
        Language::Python => tree_sitter_python::LANGUAGE,
        Language::JavaScript => tree_sitter_javascript::LANGUAGE,
        Language::TypeScript if jsx => tree_sitter_typescript::LANGUAGE_TSX,
        Language::TypeScript => tree_sitter_typescript::LANGUAGE_TYPESCRIPT,
        Language::Php => tree_sitter_php::LANGUAGE_PHP,
    };
    let mut parser = Parser::new();
    parser.set_language(&grammar.into()).ok()?;
    let mut steps = 0_usize;
    let mut within_limits = |_: &ParseState| {
        steps += 1;
        if steps > PARSER_STEPS { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let options = ParseOptions::new().progress_callback(&mut within_limits);
    let bytes = text.as_bytes();
    let mut rest_from = |at: usize, _| bytes.get(at..).unwrap_or_default();
    parser.parse_with_options(&mut rest_from, None, Some(options))
}

#[cfg(test)]
mod tests {
    use super::Source;

    #[test]
    fn columns_count_characters() {
        let text = format!("{}é\nœx = '…' y", "ä".repeat(300));
        let source = Source::new(&text);
        let place = |what: &str| {
            let position = source.position(text.find(what).unwrap());
            (position.line, position.column)
        };
        assert_eq!(place("é"), (1, 301));
        assert_eq!(place("œ"), (2, 1));
        assert_eq!(place("y"), (2, 10));
        assert_eq!(source.position(text.len()).line, 2);
    }
}
