//! The changelog as Markdown.

use std::fmt::Write as _;

use super::{Asked, Life, Told, nothing, sentence};
use crate::core::changelog::{Change, Subject};
use crate::core::history::EventChange;
use crate::render::printable;

pub(super) fn markdown(asked: &Asked<'_>, told: &Told<'_>) -> String {
    match told {
        Told::Upgrade(changes) => upgrade(asked, changes),
        Told::Lives(lives) => lives.iter().map(|life| of_event(asked, life)).collect::<Vec<_>>().join("\n"),
    }
}

fn upgrade(asked: &Asked<'_>, changes: &[EventChange<'_>]) -> String {
    let mut text = format!("# {}\n", title(asked));
    if changes.is_empty() {
        let _ = write!(text, "\n{}.\n", capitalised(&nothing(asked)));
    }
    let mut above = None;
    for told in changes {
        if above != Some(told.change.version) {
            let _ = write!(text, "\n## {}\n\n", told.change.version);
            above = Some(told.change.version);
        }
        let _ = writeln!(text, "- {}", item(told.change, &sentence(told)));
    }
    text
}

fn title(asked: &Asked<'_>) -> String {
    match (asked.upgrade.from(), asked.upgrade.to()) {
        (Some(from), Some(to)) => format!("Message bus, changes after {from} up to {to}"),
        (Some(from), None) => format!("Message bus, changes after {from}"),
        (None, Some(to)) => format!("Message bus, changes up to {to}"),
        (None, None) => "Message bus, all changes".to_owned(),
    }
}

fn item(change: &Change, sentence: &str) -> String {
    let subject = match &change.subject {
        Subject::Event(name) => code(name),
        Subject::Exchange(name) => format!("exchange {}", code(name)),
        Subject::Envelope(part) => format!("envelope {}", code(part.as_str())),
    };
    let sentence = if sentence.is_empty() { String::new() } else { format!(": {}", escaped(sentence)) };
    let (kind, basis) = (change.kind.as_str(), change.basis.as_str());
    format!("**{kind}** {subject}{sentence} _({basis}: {})_", escaped(&change.source))
}

fn of_event(asked: &Asked<'_>, life: &Life<'_>) -> String {
    let mut text = format!("# {}\n\n", code(&life.name));
    for told in &life.changes {
        let _ = writeln!(text, "- {} {}", told.change.version, item(told.change, &sentence(told)));
    }
    for change in &life.follows {
        let _ = writeln!(text, "- {} {}", change.version, item(change, "which it follows"));
    }
    if life.changes.is_empty() && life.follows.is_empty() {
        let _ = writeln!(text, "{}.", capitalised(&nothing(asked)));
    }
    if !life.wire_changes.is_empty() {
        let _ = write!(text, "\n## The bus meanwhile\n\n");
    }
    for change in &life.wire_changes {
        let told = asked.history.explained(change);
        let _ = writeln!(text, "- {} {}", change.version, item(change, &sentence(&told)));
    }
    let _ = write!(
        text,
        "\n## On the wire\n\n| versions | | exchange | routing key | ACL | data |\n| --- | --- | --- | --- | --- | --- |\n"
    );
    for shape in asked.history.shapes(&life.name).iter().filter(|shape| super::is_in(shape, asked.upgrade)) {
        let key = shape.routing_key.as_ref().map_or(String::new(), |key| code(&key.to_string()));
        let acl = shape.required_acl.as_ref().map_or(String::new(), |acl| code(&acl.to_string()));
        let exchange = shape.exchange.map_or(String::new(), code);
        let data: Vec<String> = shape.data.iter().map(|field| code(field)).collect();
        let _ = writeln!(
            text,
            "| {} | {} | {exchange} | {key} | {acl} | {} |",
            shape.versions,
            super::presence(shape),
            data.join(", ")
        );
    }
    let state = asked.history.at(&life.name, super::end_of(asked));
    let mut items: Vec<String> = state.reason.map(escaped).into_iter().collect();
    items.extend(
        state.successors.iter().map(|successor| {
            format!("successor {}: {}", code(&successor.name), super::becomes(successor.how))
        }),
    );
    items.extend(state.lost.iter().map(|lost| format!("lost: {}", escaped(lost))));
    if !items.is_empty() {
        let _ = write!(text, "\n## What becomes of it\n\n");
    }
    items.iter().for_each(|item| {
        let _ = writeln!(text, "- {item}");
    });
    text
}

fn code(text: &str) -> String {
    format!("`{}`", printable(text).replace('`', "'"))
}

/// Text that stays text. Sentences of changelogs and rules mark names with backticks, as Markdown does, and nothing
/// means anything between those.
fn escaped(text: &str) -> String {
    let printable = printable(text);
    let pieces = printable.split('`').enumerate().map(|(index, piece)| match index % 2 {
        0 => piece.replace('<', "&lt;").replace('*', "\\*"),
        _ => piece.to_owned(),
    });
    pieces.collect::<Vec<_>>().join("`")
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
