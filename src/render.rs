//! What commands have to say, as text or JSON: diagnostics with the line of source and a caret, tables, documents.

pub mod audit;
pub mod junit;
pub mod plan;

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use crate::core::diagnostic::{Diagnostic, Place};

/// A diagnostic of a file, for people. Ends with a newline.
#[must_use]
pub fn diagnostic(path: &str, text: &str, diagnostic: &Diagnostic) -> String {
    let mut out = format!("error: {}\n", printable(&diagnostic.message));
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
        let _ = writeln!(out, "{:gutter$} = rule: `{}`", "", printable(rule));
    }
    if let Some(help) = &diagnostic.help {
        let _ = writeln!(out, "{:gutter$} = help: {}", "", printable(help));
    }
    out
}

/// The password that everybody knows, so that it may stand on a command line.
const PUBLIC_PASSWORD: &str = "guest";

/// Whether the address of a broker with a password that is not the public one is in the text.
#[must_use]
pub fn holds_a_secret(text: &str) -> bool {
    let text = text.replace(&format!(":{PUBLIC_PASSWORD}@"), "@");
    without_passwords(&text) != text
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

/// A number and a noun, in the plural unless there is one.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

/// Rows in aligned columns, two spaces between them.
#[must_use]
pub fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// One JSON document, with the name and version of its schema in `schema`.
#[must_use]
pub fn document(schema: &str, mut value: Json) -> String {
    if let Some(object) = value.as_object_mut() {
        object.insert("schema".into(), json!(format!("cti-bridge/{schema}/1")));
    }
    format!("{value:#}\n")
}

#[cfg(test)]
mod tests {
    use super::{diagnostic, holds_a_secret, without_passwords};
    use crate::core::mapping_file;

    #[test]
    fn a_name_written_with_escapes_does_not_reach_the_terminal() {
        let text = "- event: \"call_\\e[2J\"\n  notice: x\n";
        let mistakes = mapping_file::read(text).unwrap_err();
        let told: String = mistakes.iter().map(|mistake| diagnostic("a.yaml", text, mistake)).collect();
        assert!(told.contains("rule: `call_\u{fffd}[2J`"), "{told}");
        assert!(!told.contains('\x1b'), "{told}");
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        let shown =
            without_passwords("cannot read 'amqp://u:p@ss@h/v': see https://example.org or amqps://u@h");
        assert_eq!(shown, "cannot read 'amqp://u:…@h/v': see https://example.org or amqps://u@h");
        assert!(holds_a_secret("--amqp-url=amqp://u:@h") && !holds_a_secret("amqp://guest:guest@h/v"));
        assert_eq!(without_passwords("nothing to hide: a@b"), "nothing to hide: a@b");
    }
}
