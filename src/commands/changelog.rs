//! `changelog`: what changed between two releases, and the life of an event.

mod json;
mod markdown;
mod text;

use super::{Failure, mappings};
use crate::cli::{Changelog, Report};
use crate::core::changelog::{Change, Upgrade};
use crate::core::diagnostic::did_you_mean;
use crate::core::glob;
use crate::core::history::{Documented, EventChange, History, How, Published, Shape};
use crate::core::version::Version;
use crate::exit_code::Exit;
use crate::render::{self, counted};

/// Writes the changes that were asked for to standard output.
///
/// # Errors
/// When the upgrade goes backwards, there is no such event, or mapping files or changelogs cannot be read or are not
/// valid.
pub fn changelog(command: &Changelog) -> Result<Exit, Failure> {
    let upgrade = Upgrade::new(command.from, command.to).map_err(|backwards| {
        Failure::new(Exit::Usage, backwards).help("`--from` is the older release, `--to` the newer one")
    })?;
    let (mappings, changelog) =
        mappings::load_with_changelog(!command.rules.no_builtin_mappings, &command.rules.mappings)?;
    let history = History::new(&mappings, &changelog);
    let events = events(history, &command.event)?;
    let asked = Asked { history, upgrade, command };
    let told = match command.event.iter().any(|name| glob::is_pattern(name)) {
        _ if command.event.is_empty() => Told::Upgrade(asked.all()),
        true => Told::Upgrade(events.iter().flat_map(|name| asked.of(name)).collect()).sorted(),
        false => Told::Lives(events.into_iter().map(|name| asked.life(name)).collect()),
    };
    super::print(&match command.output {
        Report::Text => text::text(&asked, &told),
        Report::Json => json::json(&asked, &told),
        Report::Markdown => markdown::markdown(&asked, &told),
    })?;
    let failing = told.changes().filter(|change| command.fail_on.contains(&change.kind)).count();
    if failing == 0 {
        return Ok(Exit::Done);
    }
    let kinds: Vec<&str> = command.fail_on.iter().map(|kind| kind.as_str()).collect();
    eprintln!("{} to fail on ({})", counted(failing, "change"), kinds.join(", "));
    Ok(Exit::Findings)
}

/// What was asked for.
struct Asked<'a> {
    history: History<'a>,
    upgrade: Upgrade,
    command: &'a Changelog,
}

/// What there is to tell.
enum Told<'a> {
    /// The changes in an upgrade, by release.
    Upgrade(Vec<EventChange<'a>>),
    /// The lives of events.
    Lives(Vec<Life<'a>>),
}

/// The life of one event, as far as it was asked for.
struct Life<'a> {
    name: String,
    changes: Vec<EventChange<'a>>,
    /// What other events made way for it.
    follows: Vec<&'a Change>,
    /// What happened meanwhile to its exchange and to all messages.
    wire_changes: Vec<&'a Change>,
}

impl<'a> Asked<'a> {
    fn wants(&self, change: &Change) -> bool {
        (self.command.kind.is_empty() || self.command.kind.contains(&change.kind))
            && self.command.basis.is_none_or(|basis| basis == change.basis)
    }

    /// Every change, with those of exchanges and of the envelope.
    fn all(&self) -> Vec<EventChange<'a>> {
        let changes = self.history.changelog().between(self.upgrade);
        changes.filter(|change| self.wants(change)).map(|change| self.history.explained(change)).collect()
    }

    fn of(&self, name: &str) -> Vec<EventChange<'a>> {
        let mut changes = self.history.changes(name, self.upgrade);
        changes.retain(|told| self.wants(told.change));
        changes
    }

    fn life(&self, name: String) -> Life<'a> {
        let mut wire_changes = self.history.wire_changes(&name, self.upgrade);
        let mut follows = self.history.follows(&name, self.upgrade);
        for changes in [&mut wire_changes, &mut follows] {
            changes.retain(|change| self.wants(change));
        }
        Life { changes: self.of(&name), follows, wire_changes, name }
    }
}

impl Told<'_> {
    fn sorted(mut self) -> Self {
        if let Self::Upgrade(changes) = &mut self {
            changes.sort_by_key(|told| (told.change.version, told.change.basis));
        }
        self
    }

    /// All the changes that are told.
    fn changes(&self) -> impl Iterator<Item = &Change> {
        let (changes, lives) = match self {
            Self::Upgrade(changes) => (changes.as_slice(), [].as_slice()),
            Self::Lives(lives) => ([].as_slice(), lives.as_slice()),
        };
        let of_lives = lives.iter().flat_map(|life| {
            life.changes.iter().map(|told| told.change).chain(life.wire_changes.iter().copied())
        });
        changes.iter().map(|told| told.change).chain(of_lives)
    }
}

/// The names of the events that were asked for.
fn events(history: History<'_>, asked: &[String]) -> Result<Vec<String>, Failure> {
    let mut events = Vec::new();
    for written in asked {
        let found = history.resolve(written);
        if found.is_empty() {
            let names = history.names();
            let message = match glob::is_pattern(written) {
                true => format!("no event is called like `{}`", render::printable(written)),
                false => format!("nothing is known of an event `{}`", render::printable(written)),
            };
            let help = did_you_mean(written, names.iter().map(String::as_str))
                .unwrap_or_else(|| "`cti-bridge rules list` shows all events".into());
            return Err(Failure::new(Exit::NoInput, message).help(help));
        }
        events.extend(found.into_iter().filter(|name| !events.contains(name)).collect::<Vec<_>>());
    }
    Ok(events)
}

/// What changed, in one sentence after the kind and the subject.
pub(super) fn sentence(told: &EventChange<'_>) -> String {
    let change = told.change;
    let mut parts: Vec<String> = change.text.iter().cloned().collect();
    let list = |fields: &[&str]| fields.iter().map(|f| format!("`{f}`")).collect::<Vec<_>>().join(", ");
    match (told.fields_added.as_slice(), told.fields_removed.as_slice(), &change.data) {
        ([], [], Some(data)) => {
            let fields: Vec<&str> = data.iter().map(String::as_str).collect();
            parts.push(format!("`data` is {}", list(&fields)));
        }
        ([], [], None) => {}
        (added, [], _) => parts.push(format!("`data` gains {}", list(added))),
        ([], removed, _) => parts.push(format!("`data` loses {}", list(removed))),
        (added, removed, _) => {
            parts.push(format!("`data` gains {} and loses {}", list(added), list(removed)));
        }
    }
    if !change.replaced_by.is_empty() {
        parts.push(format!("followed by {}", change.replaced_by.join(", ")));
    }
    if !change.except.is_empty() {
        parts.push(format!("except for {}", change.except.join(", ")));
    }
    parts.join("; ")
}

/// What is said where an upgrade changes nothing that was asked for.
fn nothing(asked: &Asked<'_>) -> String {
    let is_narrowed = !asked.command.kind.is_empty() || asked.command.basis.is_some();
    let what = if is_narrowed { "nothing of this kind changed" } else { "nothing changed" };
    match (asked.upgrade.from(), asked.upgrade.to()) {
        (Some(from), Some(to)) => format!("{what} after {from} up to {to}"),
        (Some(from), None) => format!("{what} after {from}"),
        (None, Some(to)) => format!("{what} up to {to}"),
        (None, None) => what.to_owned(),
    }
}

/// Whether the upgrade starts or ends with a release of these versions, or has one on the way.
fn is_in(shape: &Shape<'_>, upgrade: Upgrade) -> bool {
    let starts_late = matches!((shape.versions.start(), upgrade.to()), (Some(start), Some(to)) if start > to);
    let ends_early = matches!((shape.versions.end(), upgrade.from()), (Some(end), Some(from)) if end <= from);
    !starts_late && !ends_early
}

/// The release that the upgrade ends at.
fn end_of(asked: &Asked<'_>) -> Version {
    asked.upgrade.to().or_else(|| asked.history.changelog().newest()).unwrap_or(Version::new(99, 99))
}

/// Whether documents and wire have an event.
fn presence(shape: &Shape<'_>) -> String {
    let documented = match shape.documented {
        Documented::No => "not documented",
        Documented::Yes => "documented",
        Documented::Deprecated => "documented as deprecated",
    };
    match shape.published {
        Published::No => format!("{documented}, not published"),
        Published::Yes => format!("{documented}, published"),
        Published::As(other) => format!("{documented}, published as {other}"),
    }
}

/// What becomes of an event whose successor was found like this.
const fn becomes(how: How) -> &'static str {
    match how {
        How::Renamed => "the same event; the bridge translates it",
        How::Rebuilt => "the bridge rebuilds this event from it",
        How::Related => "the bridge makes nothing of it",
    }
}
