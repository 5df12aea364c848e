//! The changelog for people.

use std::fmt::Write as _;

use super::{Asked, Life, Told, nothing, sentence};
use crate::core::changelog::{Basis, Change};
use crate::core::history::{DataFrom, EventChange, How, Shape, State};
use crate::core::rule::HeaderTemplate;
use crate::render::{printable, table};

pub(super) fn text(asked: &Asked<'_>, told: &Told<'_>) -> String {
    match told {
        Told::Upgrade(changes) if changes.is_empty() => format!("{}\n", nothing(asked)),
        Told::Upgrade(changes) => upgrade(changes),
        Told::Lives(lives) => lives.iter().map(|life| of_event(asked, life)).collect::<Vec<_>>().join("\n"),
    }
}

/// Release by release; within it, what comes from one source stands below it.
fn upgrade(changes: &[EventChange<'_>]) -> String {
    let rows: Vec<[String; 4]> = changes
        .iter()
        .map(|told| {
            let change = told.change;
            [String::new(), change.kind.as_str().into(), change.subject.to_string(), sentence(told)]
        })
        .collect();
    let aligned = table(&rows);
    let mut text = String::new();
    let mut above = None;
    for (told, line) in changes.iter().zip(aligned.lines()) {
        let group = (told.change.version, told.change.basis, told.change.source.as_str());
        if above != Some(group) {
            let (version, basis, source) = group;
            let _ = writeln!(text, "{version}  {}", rests_on(basis, source));
            above = Some(group);
        }
        let _ = writeln!(text, "{line}");
    }
    printable_lines(&text)
}

fn rests_on(basis: Basis, source: &str) -> String {
    format!("{}: {source}", basis.as_str())
}

fn of_event(asked: &Asked<'_>, life: &Life<'_>) -> String {
    let mut text = format!("{}\n", life.name);
    let mut section = |title: &str, body: String| {
        if !body.is_empty() {
            let _ = write!(text, "\n{title}\n{}", body);
        }
    };
    let mut rows: Vec<[String; 5]> =
        life.changes.iter().map(|told| row(told.change, sentence(told))).collect();
    rows.extend(
        life.follows.iter().map(|change| row(change, format!("{}, which it follows", change.subject))),
    );
    // Versions have two digits on both sides, so their texts sort as they do.
    rows.sort_by(|a, b| a[1].cmp(&b[1]));
    match rows.is_empty() {
        true => section("What happened to it", format!("  {}\n", nothing(asked))),
        false => section("What happened to it", table(&rows)),
    }
    let rows: Vec<[String; 5]> = life
        .wire_changes
        .iter()
        .map(|change| {
            let explained = asked.history.explained(change);
            row(change, format!("{}: {}", change.subject, sentence(&explained)))
        })
        .collect();
    section("What happened to the bus meanwhile", table(&rows));
    let shapes = asked.history.shapes(&life.name);
    let shown = shapes.iter().filter(|shape| super::is_in(shape, asked.upgrade));
    section("What it is on the wire", shown.map(shape).collect());
    section("What becomes of it", fate(asked, &life.name));
    printable_lines(&text)
}

fn row(change: &Change, what: String) -> [String; 5] {
    let what = match what.is_empty() {
        true => format!("[{}]", change.source),
        false => format!("{what} [{}]", change.source),
    };
    [
        String::new(),
        change.version.to_string(),
        change.kind.as_str().into(),
        change.basis.as_str().into(),
        what,
    ]
}

fn shape(shape: &Shape<'_>) -> String {
    let mut lines: Vec<(&str, String)> = Vec::new();
    if let Some(exchange) = shape.exchange {
        let key = shape.routing_key.as_ref().map_or(String::new(), |key| format!("  key {key}"));
        lines.push(("exchange", format!("{exchange}{key}")));
    }
    lines.extend(shape.required_acl.iter().map(|acl| ("ACL", acl.to_string())));
    lines.extend(shape.headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderTemplate::Text(value) => value.to_string(),
            HeaderTemplate::Flag(flag) => flag.to_string(),
        };
        ("header", format!("{name}: {value}"))
    }));
    match shape.data_from {
        DataFrom::Nothing => {}
        DataFrom::Changelog => lines.push(("data", shape.data.join(", "))),
        DataFrom::Example => lines.push(("data", format!("{} (in the example)", shape.data.join(", ")))),
    }
    if !shape.documented_data.is_empty() {
        lines.push(("", format!("documented: {}", shape.documented_data.join(", "))));
    }
    let mut text = format!("  {}  {}\n", shape.versions, super::presence(shape));
    for (label, value) in lines {
        let _ = writeln!(text, "    {label:<9} {value}");
    }
    text
}

/// What takes its place at the end of the upgrade.
fn fate(asked: &Asked<'_>, name: &str) -> String {
    let version = super::end_of(asked);
    let State { successors, lost, reason, .. } = asked.history.at(name, version);
    let mut rows: Vec<[String; 3]> = Vec::new();
    let mut add = |label: &str, value: String| rows.push([String::new(), label.to_owned(), value]);
    reason.into_iter().for_each(|reason| add("why", reason.to_owned()));
    for successor in &successors {
        add("successor", format!("{}: {}", successor.name, super::becomes(successor.how)));
    }
    lost.iter().for_each(|lost| add("lost", lost.clone()));
    for (legacy, how) in asked.history.makes(name, version) {
        let how = match how {
            How::Renamed => "is this event under its legacy name",
            How::Rebuilt | How::Related => "is rebuilt from it",
        };
        add("serves", format!("{legacy}: {how}"));
    }
    table(&rows)
}

/// A file of the user's may hold anything; a terminal gets text.
fn printable_lines(text: &str) -> String {
    text.lines().map(|line| printable(line) + "\n").collect()
}
