//! The life of events: what the changelog and the rules, taken together, know of a name at every version.

mod shape;

pub use shape::{DataFrom, Shape};

use std::collections::BTreeSet;

use super::catalog::Mappings;
use super::changelog::{Basis, Change, Changelog, Kind, Subject, Upgrade};
use super::glob::Glob;
use super::rule::{Modern, Observed, Rule, fill};
use super::version::Version;

/// The changelog read beside the rules.
#[derive(Debug, Clone, Copy)]
pub struct History<'h> {
    mappings: &'h Mappings,
    changelog: &'h Changelog,
}

/// One change, with what follows from what is known of its subject before.
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

    /// Every name that an event is known by, in either era, sorted; those that cannot be listed as their rule is
    /// written.
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        for change in self.changelog.changes() {
            if let Subject::Event(name) = &change.subject {
                names.insert(name.clone());
                names.extend(change.replaced_by.iter().cloned());
            }
        }
        for rule in self.mappings.rules() {
            names.extend(rule.listed_names().into_iter().map(|(name, _)| name));
            names.extend(modern_names(rule));
            names.extend(rule.rebuilt_from.iter().map(|from| from.name.clone()));
            let observed = rule.observed.iter().filter_map(|observed| observed.name.as_ref()?.as_literal());
            names.extend(observed.map(str::to_owned));
            if rule.listed_names().is_empty() {
                names.insert(rule.event.to_string());
            }
        }
        names
    }

    /// The events that a name or a pattern stands for: a name of an event, that of a rule as it is written
    /// (`call_{action}`), any name of a rule whose names cannot be listed, or a pattern with `*` and `?`.
    #[must_use]
    pub fn resolve(&self, written: &str) -> Vec<String> {
        let known = self.names();
        if known.contains(written) || self.mappings.rules().any(|rule| rule.names(written)) {
            return vec![written.to_owned()];
        }
        let of_a_rule = self.mappings.rules().filter(|rule| rule.event.to_string() == written);
        let listed: BTreeSet<String> =
            of_a_rule.flat_map(|rule| rule.listed_names()).map(|(name, _)| name).collect();
        let pattern = Glob::new(written);
        match listed.is_empty() {
            true => known.into_iter().filter(|name| pattern.matches(name)).collect(),
            false => listed.into_iter().collect(),
        }
    }

    /// What happens to an event in an upgrade. What happens to the exchange it is on and to the envelope is in
    /// [`Self::wire_changes`].
    #[must_use]
    pub fn changes(&self, name: &str, upgrade: Upgrade) -> Vec<EventChange<'h>> {
        let told: Vec<&Change> = self.told_of(name).collect();
        let in_upgrade = told.iter().enumerate().filter(|(_, change)| upgrade.contains(change.version));
        in_upgrade
            .map(|(index, change)| EventChange::of(change, told.get(..index).unwrap_or_default()))
            .collect()
    }

    /// A change with what follows from the changes before it.
    #[must_use]
    pub fn explained(&self, change: &'h Change) -> EventChange<'h> {
        let before = self.changelog.changes().iter().take_while(|other| !std::ptr::eq(*other, change));
        EventChange::of(change, &before.filter(|other| other.subject == change.subject).collect::<Vec<_>>())
    }

    /// The changes of exchanges and of the envelope that an event meets in an upgrade: those of the exchange that
    /// it leaves or arrives on, and those of all messages while it is there.
    #[must_use]
    pub fn wire_changes(&self, name: &str, upgrade: Upgrade) -> Vec<&'h Change> {
        let shapes = self.shapes(name);
        // The latest shape before a version, and the one at it.
        let before = |version: Version| {
            shapes.iter().rfind(|shape| shape.versions.start().is_none_or(|start| start < version))
        };
        let at = |version: Version| shapes.iter().find(|shape| shape.versions.contains(version));
        let meets = |change: &&Change| {
            let before = before(change.version).filter(|shape| shape.published != Published::No);
            let at = at(change.version).filter(|shape| shape.published != Published::No);
            match &change.subject {
                Subject::Event(_) => false,
                _ if change.except.iter().any(|except| except == name) => false,
                Subject::Exchange(exchange) => {
                    before.is_some()
                        && [before, at].into_iter().flatten().any(|shape| shape.exchange == Some(exchange))
                }
                Subject::Envelope(_) => before.is_some() && at.is_some(),
            }
        };
        self.changelog.wire_changes(upgrade).filter(meets).collect()
    }

    /// The changes in an upgrade that name this event as what takes the place of another one.
    #[must_use]
    pub fn follows(&self, name: &str, upgrade: Upgrade) -> Vec<&'h Change> {
        let changes = self.changelog.between(upgrade).filter(|change| change.subject.event().is_some());
        changes.filter(|change| change.replaced_by.iter().any(|other| other == name)).collect()
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

    /// Without what was itself deleted by then: nobody can go over to that.
    fn still_there(&self, mut successors: Vec<Successor<'h>>, version: Version) -> Vec<Successor<'h>> {
        successors.retain(|successor| {
            let told = self.told_of(&successor.name).filter(|change| change.version <= version);
            told.filter(|change| change.kind != Kind::Changed)
                .last()
                .is_none_or(|change| change.kind != Kind::Deleted)
        });
        successors
    }

    /// What is known of an event at a version.
    #[must_use]
    pub fn at(&self, name: &str, version: Version) -> State<'h> {
        let rule = self.rule(name, version);
        let told: Vec<&Change> = self.told_of(name).collect();
        let until_then: Vec<&Change> =
            told.iter().take_while(|change| change.version <= version).copied().collect();
        State {
            documented: documented(&until_then),
            published: published(name, version, rule, &told),
            successors: self.still_there(successors(name, &until_then, rule), version),
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
        let holds = |rule: &&Rule| rule.versions.contains(version) && gives(rule, name);
        self.mappings.rules().map(AsRef::as_ref).filter(holds).last()
    }

    /// The legacy events that the bridge makes of an event of this modern name at a version, besides one of the
    /// same name.
    #[must_use]
    pub fn makes(&self, name: &str, version: Version) -> Vec<(String, How)> {
        let mut made = Vec::new();
        for rule in self.mappings.rules().filter(|rule| rule.versions.contains(version)) {
            for (legacy, values) in rule.listed_names() {
                let is_current =
                    self.rule(&legacy, version).is_some_and(|current| std::ptr::eq(current, rule.as_ref()));
                let is_renamed = modern_name(rule, &values).is_some_and(|modern| modern == name);
                let is_rebuilt = rule.rebuilt_from.as_ref().is_some_and(|from| from.name == name);
                if is_current && legacy != name && (is_renamed || is_rebuilt) {
                    made.push((legacy, if is_renamed { How::Renamed } else { How::Rebuilt }));
                }
            }
        }
        made
    }
}

/// Whether the rule gives an event of this name, or is written like this.
fn gives(rule: &Rule, name: &str) -> bool {
    rule.names(name) || name.contains('{') && rule.event.to_string() == name
}

/// The values of a rule's parameters that make up this name; none where the rule is written like this.
fn values_in<'r>(rule: &'r Rule, name: &'r str) -> Vec<(&'r str, &'r str)> {
    let captured = rule.event.capture(name).filter(|_| rule.names(name)).unwrap_or_default();
    captured.into_iter().map(|(placeholder, value)| (placeholder.name.as_str(), value)).collect()
}

/// The modern name of one of a rule's events.
fn modern_name(rule: &Rule, values: &[(&str, &str)]) -> Option<String> {
    match &rule.modern {
        Modern::Face(face) => Some(fill(&face.name, values).to_string()),
        Modern::None { .. } => None,
    }
}

fn modern_names(rule: &Rule) -> impl Iterator<Item = String> {
    rule.listed_names().into_iter().filter_map(|(_, values)| modern_name(rule, &values))
}

/// What was observed at a version beside a rule.
fn observed_at(rule: &Rule, version: Version) -> impl DoubleEndedIterator<Item = &Observed> {
    rule.observed.iter().filter(move |observed| observed.versions.contains(version))
}

fn published<'h>(name: &str, version: Version, rule: Option<&'h Rule>, told: &[&Change]) -> Published<'h> {
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
        observed_at(rule, version).filter_map(|observed| observed.name.as_ref()?.as_literal()).next_back()
    });
    match seen_as {
        Some(other) if published && other != name => Published::As(other),
        _ if published => Published::Yes,
        _ => Published::No,
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
        let renamed = modern_name(rule, &values_in(rule, name)).filter(|modern| modern != name);
        let successor = |name, how| Successor { name, how, change: None };
        successors.extend(renamed.map(|modern| successor(modern, How::Renamed)));
        let rebuilt = rule.rebuilt_from.iter().map(|from| successor(from.name.clone(), How::Rebuilt));
        successors.extend(rebuilt);
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
            (Some(before), Some(after)) if change.kind != Kind::Added => {
                Self { change, fields_added: missing(after, before), fields_removed: missing(before, after) }
            }
            _ => Self { change, fields_added: Vec::new(), fields_removed: Vec::new() },
        }
    }
}
