//! Diagnostics as text: what, where, the line of source with a caret, and what to do.

use std::fmt::Write as _;

use crate::core::diagnostic::{Diagnostic, Place};

/// A diagnostic of a file, for people. Ends with a newline.
#[must_use]
pub fn diagnostic(path: &str, text: &str, diagnostic: &Diagnostic) -> String {
    let mut out = format!("error: {}\n", diagnostic.message);
    let mut gutter = 1;
    match diagnostic.place {
        Some(Place { position, width }) => {
            let number = position.line.to_string();
            gutter = number.len();
            let line = text.lines().nth(position.line.saturating_sub(1)).unwrap_or_default();
            let before: String = line
                .chars()
                .take(position.column.saturating_sub(1))
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            let _ = writeln!(out, "{:gutter$} ──▶ {path}:{}:{}", "", position.line, position.column);
            let _ = writeln!(out, "{number} │ {}", printable(line));
            let _ = writeln!(out, "{:gutter$} │ {before}{}", "", "^".repeat(width));
        }
        None => {
            let _ = writeln!(out, "  ──▶ {path}");
        }
    }
    if let Some(rule) = &diagnostic.rule {
        let _ = writeln!(out, "{:gutter$} = rule: `{rule}`", "");
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{:gutter$} = help: {help}", "");
    }
    out
}

/// The text without control characters, which could drive a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}
