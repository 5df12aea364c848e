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

/// The text without what stands where the address of a broker has its password.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || "'\"`".contains(c)).unwrap_or(after.len());
        let password = after[..end].rfind('@').and_then(|at| Some((after[..at].find(':')? + 1, at)));
        rest = match password {
            Some((start, end)) => {
                out.push_str(&after[..start]);
                out.push('…');
                &after[end..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

/// The text without control characters, which could drive a terminal.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::without_passwords;

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown =
            without_passwords("cannot read 'amqp://u:p@ss@h/v': see https://example.org or amqps://u@h");
        assert_eq!(shown, "cannot read 'amqp://u:…@h/v': see https://example.org or amqps://u@h");
        assert_eq!(without_passwords("nothing to hide: a@b"), "nothing to hide: a@b");
    }
}
