//! What an event looks like on the wire, version by version.

use std::collections::BTreeSet;

use super::{Documented, History, Published, gives, modern_name, observed_at, values_in};
use crate::core::changelog::{Basis, Change, Upgrade};
use crate::core::rule::{DEFAULT_LEGACY_EXCHANGE, Example, HeaderTemplate, Modern, ObservedAcl, Rule, fill};
use crate::core::template::Template;
use crate::core::version::{Version, VersionRange};

/// What an event looks like on the wire in a range of versions in which that does not change.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape<'h> {
    /// The versions.
    pub versions: VersionRange,
    /// What the documents of these versions say.
    pub documented: Documented,
    /// Whether it is on the wire, and under which name.
    pub published: Published<'h>,
    /// The exchange, where it is known.
    pub exchange: Option<&'h str>,
    /// The routing key, where it is known; `{…}` is a field of `data`.
    pub routing_key: Option<Template>,
    /// The ACL; none where it has none, or it is not known.
    pub required_acl: Option<Template>,
    /// Headers besides those that all events have.
    pub headers: Vec<(Template, HeaderTemplate)>,
    /// The fields of `data`, where they are known.
    pub data: Vec<&'h str>,
    /// Where the fields come from.
    pub data_from: DataFrom,
    /// The fields of `data` that the documents have, where these are others.
    pub documented_data: Vec<&'h str>,
}

/// Where the fields of `data` are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFrom {
    /// Nowhere.
    Nothing,
    /// In the changelog: all of them.
    Changelog,
    /// In the example of a rule: those that the documents show.
    Example,
}

impl<'h> History<'h> {
    /// What an event looks like on the wire, from its first version to the newest.
    #[must_use]
    pub fn shapes(&self, name: &str) -> Vec<Shape<'h>> {
        let starts: Vec<Option<Version>> =
            [None].into_iter().chain(self.turns(name).into_iter().map(Some)).collect();
        let ends = starts.iter().skip(1).copied().chain([None]);
        let mut shapes: Vec<Shape<'h>> = Vec::new();
        for (start, end) in starts.iter().copied().zip(ends) {
            let Some(shape) = self.shape(name, VersionRange::between(start, end)) else { continue };
            match shapes.last_mut().filter(|last| last.versions.end() == start && last.looks_like(&shape)) {
                Some(last) => last.versions = VersionRange::between(last.versions.start(), end),
                None => shapes.push(shape),
            }
        }
        shapes
    }

    /// The versions at which anything that is known of an event may change.
    fn turns(&self, name: &str) -> BTreeSet<Version> {
        let mut turns = BTreeSet::new();
        let mut add =
            |versions: VersionRange| turns.extend(versions.start().into_iter().chain(versions.end()));
        for rule in self.mappings.rules().filter(|rule| self.is_about(rule, name)) {
            add(rule.versions);
            rule.observed.iter().for_each(|observed| add(observed.versions));
        }
        turns.extend(self.told_of(name).map(|change| change.version));
        let moves = self.changelog.wire_changes(Upgrade::ALL).filter(|change| !change.replaced_by.is_empty());
        turns.extend(moves.map(|change| change.version));
        turns
    }

    fn is_about(&self, rule: &Rule, name: &str) -> bool {
        gives(rule, name) || super::modern_names(rule).any(|modern| modern == name)
    }

    fn shape(&self, name: &str, versions: VersionRange) -> Option<Shape<'h>> {
        let version = versions.start().unwrap_or(Version::new(0, 0));
        let state = self.at(name, version);
        let told: Vec<&Change> = self.told_of(name).take_while(|change| change.version <= version).collect();
        let rule = state.rule.or_else(|| self.rule_of_modern_name(name, version));
        if told.is_empty() && rule.is_none() {
            return None;
        }
        let mut shape = Shape {
            versions,
            documented: state.documented,
            published: state.published,
            exchange: None,
            routing_key: None,
            required_acl: None,
            headers: Vec::new(),
            data: Vec::new(),
            data_from: DataFrom::Nothing,
            documented_data: Vec::new(),
        };
        if shape.published != Published::No {
            let exchange = self.exchange_after(DEFAULT_LEGACY_EXCHANGE, name, version);
            let era = if exchange == DEFAULT_LEGACY_EXCHANGE { Era::Legacy } else { Era::Modern };
            if era == Era::Modern {
                shape.exchange = Some(exchange);
            }
            if let Some(rule) = rule {
                face(&mut shape, rule, name, (version, era));
            }
            fields(&mut shape, &told, rule, name);
        }
        Some(shape)
    }

    /// The rule whose modern event has this name at a version.
    fn rule_of_modern_name(&self, name: &str, version: Version) -> Option<&'h Rule> {
        let holds = |rule: &&Rule| {
            rule.versions.contains(version) && super::modern_names(rule).any(|modern| modern == name)
        };
        self.mappings.rules().map(AsRef::as_ref).filter(holds).last()
    }

    /// Where the events of an exchange are at a version, after all moves until then.
    fn exchange_after(&self, exchange: &'h str, name: &str, version: Version) -> &'h str {
        let mut exchange = exchange;
        for change in self.changelog.wire_changes(Upgrade::ALL).take_while(|change| change.version <= version)
        {
            let stays = change.except.iter().any(|except| except == name);
            if let (Some(subject), Some(next)) = (change.subject.exchange(), change.replaced_by.first())
                && subject == exchange
                && !stays
            {
                exchange = next;
            }
        }
        exchange
    }
}

/// Whether an event is where its legacy face has it, or on the one exchange of all modern events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Era {
    Legacy,
    Modern,
}

/// Routing key, ACL and headers at a version, as observed, or else as the rule has them; and the legacy exchange.
fn face<'h>(shape: &mut Shape<'h>, rule: &'h Rule, name: &str, (version, era): (Version, Era)) {
    let values = match gives(rule, name) {
        true => values_in(rule, name),
        false => {
            let listed = rule.listed_names();
            let found =
                listed.into_iter().find(|(_, values)| modern_name(rule, values).as_deref() == Some(name));
            found.map(|(_, values)| values).unwrap_or_default()
        }
    };
    let face = match (&rule.modern, era) {
        (_, Era::Legacy) => {
            if let Some(address) = rule.legacy.addresses.first() {
                shape.exchange = Some(&address.exchange);
                shape.routing_key = Some(fill(&address.routing_key, &values));
            }
            return;
        }
        (Modern::None { .. }, Era::Modern) => return,
        (Modern::Face(face), Era::Modern) => face,
    };
    shape.routing_key = Some(fill(&face.routing_key, &values));
    shape.required_acl = face.required_acl.as_ref().map(|acl| fill(acl, &values));
    let mut headers = &face.headers;
    for observed in observed_at(rule, version) {
        if let Some(key) = &observed.routing_key {
            shape.routing_key = Some(fill(key, &values));
        }
        match &observed.required_acl {
            None => {}
            Some(ObservedAcl::Absent) => shape.required_acl = None,
            Some(ObservedAcl::Is(acl)) => shape.required_acl = Some(fill(acl, &values)),
        }
        if !observed.headers.is_empty() {
            headers = &observed.headers;
        }
    }
    let filled = |value: &HeaderTemplate| match value {
        HeaderTemplate::Text(text) => HeaderTemplate::Text(fill(text, &values)),
        HeaderTemplate::Flag(flag) => HeaderTemplate::Flag(*flag),
    };
    shape.headers = headers.iter().map(|(key, value)| (fill(key, &values), filled(value))).collect();
}

/// The fields of `data` on the wire, and those of the documents where they differ.
fn fields<'h>(shape: &mut Shape<'h>, told: &[&'h Change], rule: Option<&'h Rule>, name: &str) {
    let last = |basis: Basis| told.iter().rev().find_map(|c| c.data.as_deref().filter(|_| c.basis == basis));
    let names = |fields: &'h [String]| -> Vec<&'h str> { fields.iter().map(String::as_str).collect() };
    let (documented, observed) = (last(Basis::Documented), last(Basis::Observed));
    match (observed.or(documented), rule) {
        (Some(fields), _) => {
            shape.data = names(fields);
            shape.data_from = DataFrom::Changelog;
            let differ = |documented: &&[String]| {
                let sorted = |fields: &[String]| fields.iter().cloned().collect::<BTreeSet<String>>();
                sorted(documented) != sorted(fields)
            };
            if shape.documented != Documented::No {
                shape.documented_data = documented.filter(differ).map(names).unwrap_or_default();
            }
        }
        (None, Some(rule)) => {
            shape.data = example_fields(rule, name);
            if !shape.data.is_empty() {
                shape.data_from = DataFrom::Example;
            }
        }
        (None, None) => {}
    }
}

/// The fields that the example of this event shows.
fn example_fields<'h>(rule: &'h Rule, name: &str) -> Vec<&'h str> {
    let data = rule.tests.iter().find_map(|test| match &test.example {
        Example::Both { legacy, modern, .. } => {
            let is_it = |event: &serde_json::Value| event.get("name").is_some_and(|given| given == name);
            (is_it(legacy) || is_it(modern)).then(|| legacy.get("data"))?
        }
        Example::Rebuilt { .. } | Example::Refused { .. } => None,
    });
    let fields = data.and_then(|data| data.as_object());
    fields.map(|fields| fields.keys().map(String::as_str).collect()).unwrap_or_default()
}

impl Shape<'_> {
    /// Whether two shapes differ in their versions at most.
    fn looks_like(&self, other: &Self) -> bool {
        *self == Shape { versions: self.versions, ..other.clone() }
    }
}
