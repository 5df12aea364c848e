//! All rules at one version of the platform, to be looked up by name; and what is wrong between rules.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Place};
use super::rule::{Address, Modern, ModernFace, Rule, Values, fill};
use super::template::Template;
use super::version::{Version, VersionRange};

/// A mapping file and its rules.
#[derive(Debug, Clone)]
pub struct MappingFile {
    /// Where it was read from, for messages.
    pub path: String,
    /// Its text, for messages.
    pub text: String,
    /// Its rules.
    pub rules: Vec<Arc<Rule>>,
}

/// Mapping files in layers: a rule of a later layer takes the place of what earlier ones say of its names.
#[derive(Debug, Clone, Default)]
pub struct Mappings {
    /// The layers, the built-in files first.
    pub layers: Vec<Vec<MappingFile>>,
}

impl Mappings {
    /// All files with the rules in them.
    pub fn files(&self) -> impl Iterator<Item = &MappingFile> {
        self.layers.iter().flatten()
    }

    /// All rules, in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.files().flat_map(|file| &file.rules)
    }

    /// The file of a later layer, if a rule there is used for this name in place of this rule, for some of its
    /// versions at least.
    #[must_use]
    pub fn replaced_in(&self, name: &str, rule: &Rule) -> Option<&str> {
        let holds_it = |file: &MappingFile| file.rules.iter().any(|other| std::ptr::eq(other.as_ref(), rule));
        let takes_over = |file: &&MappingFile| {
            file.rules.iter().any(|other| other.names(name) && other.versions.overlaps(&rule.versions))
        };
        let mut layers = self.layers.iter();
        layers.find(|files| files.iter().any(holds_it))?;
        layers.flatten().rfind(takes_over).map(|file| file.path.as_str())
    }

    /// Where rules of one layer contradict each other, each with the file it is in.
    #[must_use]
    pub fn conflicts(&self) -> Vec<(&MappingFile, Diagnostic)> {
        self.layers.iter().flat_map(|files| conflicts_within(files)).collect()
    }
}

fn conflicts_within(files: &[MappingFile]) -> Vec<(&MappingFile, Diagnostic)> {
    let mut conflicts = Vec::new();
    let mut claims: HashMap<(Era, String), Vec<(&MappingFile, &Rule)>> = HashMap::new();
    for file in files {
        for rule in &file.rules {
            for claim in claimed_names(rule) {
                let (era, name) = claim.clone();
                let earlier = claims.entry(claim).or_default();
                if let Some((other_file, other)) =
                    earlier.iter().find(|(_, other)| other.versions.overlaps(&rule.versions))
                {
                    conflicts.push((file, conflict((era, &name), file, rule, other_file, other)));
                    break;
                }
                earlier.push((file, rule));
            }
        }
    }
    conflicts
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Era {
    Legacy,
    Modern,
}

fn claimed_names(rule: &Rule) -> Vec<(Era, String)> {
    let mut names = rule.listed_names();
    if names.is_empty() {
        // Names that cannot be listed are claimed by their template, whatever its parameters are called.
        names.push((rule.event.substitute(|_| Some(Template::from("…"))).to_string(), Vec::new()));
    }
    names
        .into_iter()
        .flat_map(|(name, values)| {
            let modern = match &rule.modern {
                Modern::Face(face) if values.is_empty() && !rule.parameters.is_empty() => {
                    Some((Era::Modern, face.name.substitute(|_| Some(Template::from("…"))).to_string()))
                }
                Modern::Face(face) => Some((Era::Modern, fill(&face.name, &values).to_string())),
                Modern::None { .. } => None,
            };
            [Some((Era::Legacy, name)), modern].into_iter().flatten()
        })
        .collect()
}

fn conflict(
    (era, name): (Era, &str),
    file: &MappingFile,
    rule: &Rule,
    other_file: &MappingFile,
    other: &Rule,
) -> Diagnostic {
    let era = match era {
        Era::Legacy => "legacy",
        Era::Modern => "modern",
    };
    let versions = |rule: &Rule| match rule.versions {
        VersionRange::ALL => "all versions".to_owned(),
        versions => versions.to_string(),
    };
    let there = Place::of(&other_file.text, other.node)
        .map(|Place { position, .. }| format!("{}:{}:{}", other_file.path, position.line, position.column));
    Diagnostic {
        message: format!(
            "two rules claim the {era} name `{name}`: `{}` for {} and `{}` for {}",
            other.event,
            versions(other),
            rule.event,
            versions(rule)
        ),
        place: Place::of(&file.text, rule.node),
        rule: Some(rule.event.to_string()),
        help: Some(format!(
            "the other is at {}; narrow the `versions` of one of them, or delete it",
            there.unwrap_or_else(|| other_file.path.clone())
        )),
    }
}

/// All rules at one version of the platform.
#[derive(Debug, Clone)]
pub struct Catalog {
    version: Version,
    entries: Vec<Entry>,
    by_legacy: HashMap<String, usize>,
    by_modern: HashMap<String, usize>,
    rebuilt: HashMap<String, Vec<usize>>,
    /// Entries whose names cannot be listed, the last one first.
    open: Vec<usize>,
}

/// A rule for one event, or for all events whose names cannot be listed.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The rule's event as it is written there, to be named in messages.
    pub label: String,
    /// The legacy name; a literal unless the entry is open.
    pub name: Template,
    /// Where the legacy event is published.
    pub addresses: Vec<Address>,
    /// The modern face, if these versions have one.
    pub modern: Option<ModernFace>,
}

/// An entry found by name, with the parts of the name that an open entry leaves open.
#[derive(Debug)]
pub struct Found<'c, 'n> {
    /// The entry.
    pub entry: &'c Entry,
    /// The values of the parameters that are still placeholders in the entry's templates.
    pub parameters: Vec<(&'c str, &'n str)>,
}

impl Catalog {
    /// The rules that hold at this version.
    #[must_use]
    pub fn at(version: Version, mappings: &Mappings) -> Self {
        let mut catalog = Self {
            version,
            entries: Vec::new(),
            by_legacy: HashMap::new(),
            by_modern: HashMap::new(),
            rebuilt: HashMap::new(),
            open: Vec::new(),
        };
        for rule in mappings.rules().filter(|rule| rule.versions.contains(version)) {
            catalog.add(rule);
        }
        // A rule whose name a later layer took over has no modern name any more and rebuilds nothing either.
        let current: HashSet<usize> = catalog.by_legacy.values().copied().collect();
        catalog.by_modern.retain(|_, entry| current.contains(entry));
        for entries in catalog.rebuilt.values_mut() {
            entries.retain(|entry| current.contains(entry));
        }
        // An event that is no longer sent has kept its legacy addresses, should one come all the same.
        for (name, &index) in &catalog.by_legacy {
            if catalog.entries.get(index).is_some_and(|entry| entry.modern.is_none()) {
                catalog.by_modern.entry(name.clone()).or_insert(index);
            }
        }
        catalog
    }

    fn add(&mut self, rule: &Arc<Rule>) {
        let names = rule.listed_names();
        if names.is_empty() {
            self.open.insert(0, self.entries.len());
            self.entries.push(Entry::new(rule, &[]));
            return;
        }
        for (legacy, values) in names {
            let index = self.entries.len();
            let entry = Entry::new(rule, &values);
            if let Some(face) = &entry.modern {
                self.by_modern.insert(face.name.to_string(), index);
            }
            self.by_legacy.insert(legacy, index);
            if let Some(from) = &rule.rebuilt_from {
                self.rebuilt.entry(from.name.clone()).or_default().push(index);
            }
            self.entries.push(entry);
        }
    }

    /// The version of the platform.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The entry for an event of this legacy name.
    #[must_use]
    pub fn by_legacy_name<'c, 'n>(&'c self, name: &'n str) -> Option<Found<'c, 'n>> {
        self.find(&self.by_legacy, name, |entry| Some(&entry.name))
    }

    /// The entry for an event of this modern name.
    #[must_use]
    pub fn by_modern_name<'c, 'n>(&'c self, name: &'n str) -> Option<Found<'c, 'n>> {
        self.find(&self.by_modern, name, |entry| entry.modern.as_ref().map(|face| &face.name))
    }

    fn find<'c, 'n>(
        &'c self,
        listed: &HashMap<String, usize>,
        name: &'n str,
        template: impl Fn(&'c Entry) -> Option<&'c Template>,
    ) -> Option<Found<'c, 'n>> {
        if let Some(entry) = listed.get(name).and_then(|&index| self.entries.get(index)) {
            return Some(Found { entry, parameters: Vec::new() });
        }
        self.open.iter().filter_map(|&index| self.entries.get(index)).find_map(|entry| {
            let values = template(entry)?.capture(name)?;
            let contained = values.iter().all(|(placeholder, value)| {
                let parameter =
                    entry.rule.parameters.iter().find(|parameter| parameter.name == placeholder.name);
                parameter.is_some_and(|parameter| parameter.values.contain(value))
            });
            let parameters =
                values.into_iter().map(|(placeholder, value)| (placeholder.name.as_str(), value));
            contained.then(|| Found { entry, parameters: parameters.collect() })
        })
    }

    /// The entries whose legacy event is rebuilt from this modern one.
    pub fn rebuilt_from(&self, modern_name: &str) -> impl Iterator<Item = &Entry> {
        let indexes = self.rebuilt.get(modern_name).map_or(&[][..], Vec::as_slice);
        indexes.iter().filter_map(|&index| self.entries.get(index))
    }

    /// The entries with a name, in the order of the files.
    pub fn listed(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| {
            let name = entry.name.as_literal()?;
            (self.by_legacy.get(name) == Some(&index)).then_some((name, entry))
        })
    }

    /// The entries for names that cannot be listed.
    pub fn open(&self) -> impl Iterator<Item = &Entry> {
        self.open.iter().filter_map(|&index| self.entries.get(index))
    }
}

impl Entry {
    fn new(rule: &Arc<Rule>, values: &[(&str, &str)]) -> Self {
        let modern = match &rule.modern {
            Modern::None { .. } => None,
            Modern::Face(face) => Some(ModernFace {
                name: fill(&face.name, values),
                routing_key: fill(&face.routing_key, values),
                required_acl: face.required_acl.as_ref().map(|acl| fill(acl, values)),
                headers: face.headers.iter().map(|(key, value)| (fill(key, values), value.clone())).collect(),
                data: face.data.clone(),
            }),
        };
        let addresses = rule.legacy.addresses.iter().map(|address| Address {
            exchange: address.exchange.clone(),
            routing_key: fill(&address.routing_key, values),
        });
        Self {
            label: rule.event.to_string(),
            name: fill(&rule.event, values),
            addresses: addresses.collect(),
            modern,
            rule: Arc::clone(rule),
        }
    }

    /// Whether its names cannot be listed.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.rule.parameters.iter().any(|parameter| parameter.values == Values::Capitalised)
    }
}
