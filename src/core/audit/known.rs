//! What is known of events, arranged to be asked by binding keys: every event with its keys in every version, split
//! into words once and filed under their first word.

use std::collections::HashMap;

use crate::core::catalog::Mappings;
use crate::core::changelog::{Change, Kind as ChangeKind, Upgrade};
use crate::core::history::{EventChange, History, How, Published, State};
use crate::core::pattern::{Keys, Pattern};
use crate::core::rule::{Address, Modern, ModernFace, Observed, Rule, Values, fill};
use crate::core::template::Template;
use crate::core::version::{Version, VersionRange};

/// All events, at the two ends of an upgrade.
pub(super) struct Known<'h> {
    pub(super) from: Version,
    pub(super) to: Version,
    pub(super) events: Vec<Event<'h>>,
    history: History<'h>,
    keys: Vec<Key>,
    by_first_word: HashMap<String, Vec<usize>>,
    /// Keys whose first word is open.
    anywhere: Vec<usize>,
    /// The events of legacy exchanges that know no patterns, by exchange and key.
    legacy: HashMap<(String, String), Vec<usize>>,
    /// The other addresses on legacy exchanges.
    legacy_patterns: Vec<(String, Keys, usize)>,
    by_name: HashMap<String, Vec<usize>>,
}

/// One event, or all events whose names cannot be listed.
pub(super) struct Event<'h> {
    /// Its legacy name, or as the rule is written.
    pub(super) name: String,
    /// Whether its names cannot be listed.
    pub(super) is_open: bool,
    /// What is known at the start.
    pub(super) before: Side<'h>,
    /// What is known at the end.
    pub(super) after: Side<'h>,
    /// What happens in between.
    pub(super) changes: Vec<EventChange<'h>>,
    /// The change that ended it, or ended that anybody publishes it, whenever that was.
    pub(super) ended: Option<&'h Change>,
    /// The first version that any rule has it at.
    pub(super) since: Option<Version>,
}

/// What is known of an event at one end of the upgrade.
pub(super) struct Side<'h> {
    /// What the changelog and the rules say.
    pub(super) state: State<'h>,
    /// Whether anybody publishes it, under whatever name.
    pub(super) is_published: bool,
    /// Its modern face, with the parameters of this event in it.
    pub(super) face: Option<ModernFace>,
    /// The routing keys on the wire.
    pub(super) wire_keys: Vec<Template>,
    /// The name on the wire.
    pub(super) wire_name: Option<String>,
    /// Where its legacy form is published.
    pub(super) addresses: Vec<Address>,
}

/// One routing key of an event.
struct Key {
    event: usize,
    keys: Keys,
    shown: String,
    versions: VersionRange,
    /// Versions in which the wire has another key.
    not_on_the_wire: Vec<VersionRange>,
}

/// An event with a key that a binding matches.
pub(super) struct Hit {
    pub(super) event: usize,
    /// The wire has such a key at the start.
    pub(super) before: bool,
    /// The wire has such a key at the end.
    pub(super) after: bool,
    /// The documents of a version up to the end have such a key.
    pub(super) documented: bool,
}

impl<'h> Known<'h> {
    /// Gathers what the rules and the changelog know.
    pub(super) fn new(from: Version, to: Version, history: History<'h>) -> Self {
        let mut known = Self {
            from,
            to,
            events: Vec::new(),
            history,
            keys: Vec::new(),
            by_first_word: HashMap::new(),
            anywhere: Vec::new(),
            legacy: HashMap::new(),
            legacy_patterns: Vec::new(),
            by_name: HashMap::new(),
        };
        let mut numbers: HashMap<String, usize> = HashMap::new();
        let mappings = history.mappings();
        for rule in mappings.rules() {
            for (name, values) in names_of(rule, mappings) {
                let number = *numbers.entry(name.clone()).or_insert_with(|| {
                    known.events.push(Event::new(&name, rule, history, (from, to)));
                    known.events.len() - 1
                });
                known.add(number, rule, &values);
            }
        }
        for number in 0..known.events.len() {
            known.file(number);
        }
        known
    }

    /// Files the keys that a rule gives to an event, on both sides.
    fn add(&mut self, event: usize, rule: &Rule, values: &[(&str, &str)]) {
        if let Some(event) = self.events.get_mut(event) {
            let start = rule.versions.start().unwrap_or(Version::new(0, 0));
            event.since = Some(event.since.map_or(start, |since| since.min(start)));
        }
        self.add_addresses(event, rule, values);
        let Modern::Face(face) = &rule.modern else { return };
        let elsewhere = rule.observed.iter().filter(|observed| observed.routing_key.is_some());
        let documented = Key {
            event,
            versions: rule.versions,
            not_on_the_wire: elsewhere.clone().map(|observed| observed.versions).collect(),
            ..Key::of(event, rule, &fill(&face.routing_key, values))
        };
        self.push(documented);
        for observed in elsewhere {
            if let Some(template) = &observed.routing_key {
                let key =
                    Key { versions: observed.versions, ..Key::of(event, rule, &fill(template, values)) };
                self.push(key);
            }
        }
    }

    fn push(&mut self, key: Key) {
        match key.keys.first_word() {
            Some(word) => self.by_first_word.entry(word.to_owned()).or_default().push(self.keys.len()),
            None => self.anywhere.push(self.keys.len()),
        }
        self.keys.push(key);
    }

    /// Files the names of an event.
    fn file(&mut self, number: usize) {
        let Some(event) = self.events.get(number) else { return };
        let mut names = vec![event.name.clone()];
        for side in [&event.before, &event.after] {
            names.extend(side.face.as_ref().map(|face| face.name.to_string()));
            names.extend(side.wire_name.clone());
        }
        for name in names {
            let numbers = self.by_name.entry(name).or_default();
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }

    /// Files where the legacy form of an event is published.
    fn add_addresses(&mut self, event: usize, rule: &Rule, values: &[(&str, &str)]) {
        for Address { exchange, routing_key } in &rule.legacy.addresses {
            let routing_key = fill(routing_key, values);
            match routing_key.as_literal() {
                Some(key) => {
                    let events = self.legacy.entry((exchange.clone(), key.to_owned())).or_default();
                    if !events.contains(&event) {
                        events.push(event);
                    }
                }
                None => {
                    let keys = Keys::of(&routing_key, |name| is_capitalised(rule, name));
                    self.legacy_patterns.push((exchange.clone(), keys, event));
                }
            }
        }
    }

    /// The events with a routing key that this pattern matches.
    pub(super) fn matched_by(&self, pattern: &Pattern) -> Vec<Hit> {
        let mut hits: Vec<Hit> = Vec::new();
        let filed: &[usize] = match pattern.first_word() {
            Some(word) => self.by_first_word.get(word).map_or(&[], Vec::as_slice),
            None => &[],
        };
        let all = 0..if pattern.first_word().is_none() { self.keys.len() } else { 0 };
        let candidates = all
            .chain(filed.iter().copied())
            .chain(self.anywhere.iter().copied().filter(|_| pattern.first_word().is_some()));
        for key in candidates.filter_map(|index| self.keys.get(index)) {
            if !pattern.overlaps(&key.keys) {
                continue;
            }
            let at = match hits.iter().position(|hit| hit.event == key.event) {
                Some(at) => at,
                None => {
                    hits.push(Hit { event: key.event, before: false, after: false, documented: false });
                    hits.len() - 1
                }
            };
            if let Some(hit) = hits.get_mut(at) {
                hit.before |= key.is_on_the_wire(self.from);
                hit.after |= key.is_on_the_wire(self.to);
                hit.documented |= key.versions.start().is_none_or(|start| start <= self.to.max(self.from));
            }
        }
        hits
    }

    /// Whether any event has a key that this pattern matches.
    pub(super) fn is_matched(&self, key: &str) -> bool {
        !self.matched_by(&Pattern::parse(key)).is_empty()
    }

    /// The events published on a legacy exchange with this key.
    pub(super) fn on_legacy(&self, exchange: &str, key: &str) -> Vec<usize> {
        let listed = self.legacy.get(&(exchange.to_owned(), key.to_owned()));
        let mut events = listed.cloned().unwrap_or_default();
        if !self.legacy_patterns.is_empty() {
            let pattern = Pattern::parse(key);
            let met =
                self.legacy_patterns.iter().filter(|(on, keys, _)| on == exchange && pattern.overlaps(keys));
            for (_, _, event) in met {
                if !events.contains(event) {
                    events.push(*event);
                }
            }
        }
        events
    }

    /// Whether the events of open rules have this name; the bridge forwards those from `xivo-ami` to `xivo-cti`.
    pub(super) fn open_named(&self, name: &str) -> Option<usize> {
        let literal = Pattern::parse(name);
        let is_it = |(_, keys, _): &&(String, Keys, usize)| literal.is_literal() && literal.overlaps(keys);
        self.legacy_patterns.iter().find(is_it).map(|(_, _, event)| *event)
    }

    /// The events of this name, legacy or modern.
    pub(super) fn named(&self, name: &str) -> &[usize] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether the changelog has an event of this name at the end of the upgrade; no rule has to.
    pub(super) fn is_told_of(&self, name: &str) -> bool {
        let told = Upgrade::new(None, Some(self.to)).map(|upgrade| self.history.changes(name, upgrade));
        told.is_ok_and(|told| told.last().is_some_and(|change| change.change.kind != ChangeKind::Deleted))
    }

    /// Every name and every key, for suggestions.
    pub(super) fn words(&self) -> (impl Iterator<Item = &str>, impl Iterator<Item = &str>) {
        (self.by_name.keys().map(String::as_str), self.keys.iter().map(|key| key.shown.as_str()))
    }
}

impl Key {
    fn of(event: usize, rule: &Rule, template: &Template) -> Self {
        Self {
            event,
            keys: Keys::of(template, |name| is_capitalised(rule, name)),
            shown: template.to_string(),
            versions: VersionRange::ALL,
            not_on_the_wire: Vec::new(),
        }
    }

    fn is_on_the_wire(&self, version: Version) -> bool {
        self.versions.contains(version) && !self.not_on_the_wire.iter().any(|range| range.contains(version))
    }
}

impl<'h> Event<'h> {
    fn new(name: &str, rule: &Rule, history: History<'h>, (from, to): (Version, Version)) -> Self {
        let upgrade = Upgrade::new(Some(from), Some(to)).unwrap_or(Upgrade::ALL);
        Self {
            name: name.to_owned(),
            is_open: rule.parameters.iter().any(|parameter| parameter.values == Values::Capitalised),
            before: Side::new(name, rule, history, from),
            after: Side::new(name, rule, history, to),
            changes: history.changes(name, upgrade),
            ended: history
                .changes(name, Upgrade::new(None, Some(to)).unwrap_or(Upgrade::ALL))
                .iter()
                .map(|change| change.change)
                .rfind(|change| change.kind == ChangeKind::Deleted),
            since: None,
        }
    }
}

impl<'h> Side<'h> {
    fn new(name: &str, first: &Rule, history: History<'h>, version: Version) -> Self {
        let mut state = history.at(name, version);
        if state.rule.is_none() {
            // Names that cannot be listed are asked for by what their rule is called.
            let is_it = |rule: &&Rule| rule.event == first.event && rule.versions.contains(version);
            state.rule = history.mappings().rules().map(AsRef::as_ref).filter(is_it).last();
        }
        let Some(rule) = state.rule else {
            return Self {
                state,
                is_published: false,
                face: None,
                wire_keys: Vec::new(),
                wire_name: None,
                addresses: Vec::new(),
            };
        };
        let captured = rule.event.capture(name).unwrap_or_default();
        let values: Vec<(&str, &str)> = captured
            .iter()
            .filter(|_| rule.names(name))
            .map(|(placeholder, value)| (placeholder.name.as_str(), *value))
            .collect();
        let observed: Vec<&Observed> =
            rule.observed.iter().filter(|observed| observed.versions.contains(version)).collect();
        let face = match &rule.modern {
            Modern::None { .. } => None,
            Modern::Face(face) => Some(ModernFace {
                name: fill(&face.name, &values),
                routing_key: fill(&face.routing_key, &values),
                ..face.as_ref().clone()
            }),
        };
        let mut wire_keys: Vec<Template> = observed
            .iter()
            .filter_map(|observed| Some(fill(observed.routing_key.as_ref()?, &values)))
            .collect();
        let mut wire_name =
            observed.iter().find_map(|observed| Some(fill(observed.name.as_ref()?, &values).to_string()));
        if let Some(face) = &face {
            if wire_keys.is_empty() {
                wire_keys.push(face.routing_key.clone());
            }
            wire_name = wire_name.or_else(|| Some(face.name.to_string()));
        }
        let addresses = rule.legacy.addresses.iter().map(|address| Address {
            exchange: address.exchange.clone(),
            routing_key: fill(&address.routing_key, &values),
        });
        // Events that no changelog tells of come from rules of the site, which knows that they are there.
        let is_told_of = !history.changes(name, Upgrade::ALL).is_empty();
        // A renamed event is no longer published under its old name, and is the same event all the same.
        let is_renamed = state.successors.iter().any(|successor| successor.how == How::Renamed);
        let is_published = face.is_some() && (!is_told_of || is_renamed || state.published != Published::No);
        Self { is_published, face, wire_keys, wire_name, addresses: addresses.collect(), state }
    }
}

/// The names that a rule gives, without those for which a rule of a later layer is used.
fn names_of<'r>(rule: &'r Rule, mappings: &Mappings) -> Vec<(String, Vec<(&'r str, &'r str)>)> {
    let mut names = rule.listed_names();
    if names.is_empty() {
        names.push((rule.event.to_string(), Vec::new()));
    }
    names.retain(|(name, _)| mappings.replaced_in(name, rule).is_none());
    names
}

fn is_capitalised(rule: &Rule, name: &str) -> bool {
    let is_it = |parameter: &&crate::core::rule::Parameter| parameter.name == name;
    rule.parameters.iter().find(is_it).is_some_and(|parameter| parameter.values == Values::Capitalised)
}
