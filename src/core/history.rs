//! The life of events: what the changelog and the rules, taken together, know of a name at every version.

use super::catalog::Mappings;
use super::changelog::{Basis, Change, Changelog, Kind, Upgrade};
use super::rule::{Modern, Rule, fill};
use super::version::Version;

/// The changelog read beside the rules.
#[derive(Debug, Clone, Copy)]
pub struct History<'h> {
    mappings: &'h Mappings,
    changelog: &'h Changelog,
}

/// One change of an event, with what follows from what is known of it before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventChange<'h> {
    /// The change.
    pub change: &'h Change,
    /// Fields that `data` has from this change on.
    pub fields_added: Vec<&'h str>,
    /// Fields that `data` no longer has.
    pub fields_removed: Vec<&'h str>,
}

/// What is known of an event at one version.
#[derive(Debug, Clone, PartialEq)]
pub struct State<'h> {
    /// What the documents of this version say.
    pub documented: Documented,
    /// What is on the wire.
    pub published: Published<'h>,
    /// What took its place, or carries its content under another name.
    pub successors: Vec<Successor<'h>>,
    /// What a reader of the legacy event misses at this version.
    pub lost: &'h [String],
    /// Why there is no modern event, if there is none.
    pub reason: Option<&'h str>,
    /// The rule that serves it at this version.
    pub rule: Option<&'h Rule>,
}

/// Whether the documents of a version have an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Documented {
    /// They do not.
    No,
    /// They do.
    Yes,
    /// They do, and say that it is to go.
    Deprecated,
}

/// Whether anybody publishes an event at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Published<'h> {
    /// Nobody does.
    No,
    /// Somebody does; documented events are taken to be published unless it was seen otherwise.
    Yes,
    /// Its content is published, under this name.
    As(&'h str),
}

/// An event in the place of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Successor<'h> {
    /// Its name.
    pub name: String,
    /// What the bridge makes of it.
    pub how: How,
    /// The change that names it, if it is the changelog that does.
    pub change: Option<&'h Change>,
}

/// How an event goes on in its successor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It is the same event under another name; the bridge translates it.
    Renamed,
    /// The bridge rebuilds it, except for what is lost.
    Rebuilt,
    /// It tells of the same things, but too differently to rebuild anything.
    Related,
}

impl<'h> History<'h> {
    /// Reads the changelog beside these rules.
    #[must_use]
    pub const fn new(mappings: &'h Mappings, changelog: &'h Changelog) -> Self {
        Self { mappings, changelog }
    }

    /// The changelog.
    #[must_use]
    pub const fn changelog(&self) -> &'h Changelog {
        self.changelog
    }

    /// The rules.
    #[must_use]
    pub const fn mappings(&self) -> &'h Mappings {
        self.mappings
    }

    /// What happens to an event in an upgrade. The changes of exchanges and of the envelope are in
    /// [`Changelog::wire_changes`].
    #[must_use]
    pub fn changes(&self, name: &str, upgrade: Upgrade) -> Vec<EventChange<'h>> {
        let told: Vec<&Change> = self.told_of(name).collect();
        let in_upgrade = told.iter().enumerate().filter(|(_, change)| upgrade.contains(change.version));
        in_upgrade
            .map(|(index, change)| EventChange::of(change, told.get(..index).unwrap_or_default()))
            .collect()
    }

    /// All changes of an event.
    fn told_of(&self, name: &str) -> impl Iterator<Item = &'h Change> {
        let all = self.changelog.between(Upgrade::ALL);
        all.filter(move |change| change.subject.event().is_some_and(|event| self.is_name_of(event, name)))
    }

    /// Whether the changelog means this event by what it calls it: by its name, or as a rule is written.
    fn is_name_of(&self, written: &str, name: &str) -> bool {
        written == name
            || written.contains('{')
                && self.mappings.rules().any(|rule| rule.names(name) && rule.event.to_string() == written)
    }

    /// What is known of an event at a version.
    #[must_use]
    pub fn at(&self, name: &str, version: Version) -> State<'h> {
        let rule = self.rule(name, version);
        let until_then: Vec<&Change> =
            self.told_of(name).take_while(|change| change.version <= version).collect();
        State {
            documented: documented(&until_then),
            published: self.published(name, version, rule),
            successors: successors(name, &until_then, rule),
            lost: rule.map_or(&[], |rule| &rule.lost),
            reason: rule.and_then(|rule| match &rule.modern {
                Modern::None { reason } => Some(reason.as_str()),
                Modern::Face(_) => None,
            }),
            rule,
        }
    }

    /// The rule for a legacy name at a version: the one of the last layer.
    fn rule(&self, name: &str, version: Version) -> Option<&'h Rule> {
        let holds = |rule: &&Rule| rule.versions.contains(version) && rule.names(name);
        self.mappings.rules().map(AsRef::as_ref).filter(holds).last()
    }

    fn published(&self, name: &str, version: Version, rule: Option<&'h Rule>) -> Published<'h> {
        let told: Vec<&Change> = self.told_of(name).collect();
        let seen = |kind: Kind| told.iter().any(|c| c.kind == kind && c.basis == Basis::Observed);
        let mut published = false;
        for change in told.iter().filter(|change| change.version <= version) {
            // What was seen outweighs what the documents say of the same turn in an event's life.
            let outweighed = change.basis == Basis::Documented && seen(change.kind);
            match change.kind {
                _ if outweighed => {}
                Kind::Added => published = true,
                Kind::Deleted => published = false,
                Kind::Changed | Kind::Deprecated => {}
            }
        }
        let seen_as = rule.and_then(|rule| {
            let observed = rule.observed.iter().filter(|observed| observed.versions.contains(version));
            observed.filter_map(|observed| observed.name.as_ref()?.as_literal()).next_back()
        });
        match seen_as {
            Some(other) if published && other != name => Published::As(other),
            _ if published => Published::Yes,
            _ => Published::No,
        }
    }
}

fn documented(changes: &[&Change]) -> Documented {
    let last = changes.iter().rfind(|c| c.basis == Basis::Documented && c.kind != Kind::Changed);
    match last.map(|change| change.kind) {
        None | Some(Kind::Deleted) => Documented::No,
        Some(Kind::Deprecated) => Documented::Deprecated,
        Some(Kind::Added | Kind::Changed) => Documented::Yes,
    }
}

/// What the rule makes of other events, and then what the changelog names besides.
fn successors<'h>(name: &str, changes: &[&'h Change], rule: Option<&'h Rule>) -> Vec<Successor<'h>> {
    let mut successors: Vec<Successor<'h>> = Vec::new();
    if let Some(rule) = rule {
        if let Modern::Face(face) = &rule.modern {
            let listed = rule.listed_names();
            let values =
                listed.iter().find(|(listed, _)| listed == name).map_or(&[][..], |(_, values)| values);
            let modern = fill(&face.name, values).to_string();
            let is_one_event = !values.is_empty() || rule.parameters.is_empty();
            if is_one_event && modern != name {
                successors.push(Successor { name: modern, how: How::Renamed, change: None });
            }
        }
        if let Some(from) = &rule.rebuilt_from {
            successors.push(Successor { name: from.name.clone(), how: How::Rebuilt, change: None });
        }
    }
    for change in changes {
        for other in &change.replaced_by {
            match successors.iter_mut().find(|successor| successor.name == *other) {
                Some(successor) => successor.change = Some(change),
                None => successors.push(Successor {
                    name: other.clone(),
                    how: How::Related,
                    change: Some(change),
                }),
            }
        }
    }
    successors
}

impl<'h> EventChange<'h> {
    /// A change after these earlier ones of the same event. Fields are held against the last ones known on the same
    /// basis, or on the other where there are none.
    fn of(change: &'h Change, earlier: &[&'h Change]) -> Self {
        let known = |basis: Option<Basis>| {
            let on_it = earlier.iter().rev().filter(|e| basis.is_none_or(|basis| e.basis == basis));
            on_it.filter_map(|earlier| earlier.data.as_deref()).next()
        };
        let before = known(Some(change.basis)).or_else(|| known(None));
        let missing = |from: &'h [String], among: &[String]| -> Vec<&'h str> {
            from.iter().filter(|field| !among.contains(field)).map(String::as_str).collect()
        };
        match (before, change.data.as_deref()) {
            (Some(before), Some(after)) => {
                Self { change, fields_added: missing(after, before), fields_removed: missing(before, after) }
            }
            _ => Self { change, fields_added: Vec::new(), fields_removed: Vec::new() },
        }
    }
}
