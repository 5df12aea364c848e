//! A changelog file: YAML text in, valid changes out, or everything that is wrong with it.

use super::changelog::{Basis, Change, Kind, Part, Subject};
use super::diagnostic::{Diagnostic, Place, Problems, did_you_mean};
use super::reader::{Entries, list, owned, text};
use super::version::Version;
use super::yaml::{self, Node, Value};

/// What a change may say besides its kind.
const DETAILS: [&str; 5] = ["text", "data", "replaced_by", "except", "source"];

/// What a subject in braces may be.
const SUBJECTS: [&str; 2] = ["exchange", "envelope"];

/// Reads a changelog file.
///
/// # Errors
/// All the mistakes in it, from top to bottom. A text that is not YAML has one.
pub fn read(text: &str) -> Result<Vec<Change>, Vec<Diagnostic>> {
    let root = yaml::parse(text).map_err(|error| {
        let place = error.position.map(|position| Place::at(text, position));
        vec![Diagnostic { message: error.message, place, rule: None, help: error.help }]
    })?;
    let mut problems = Problems::default();
    let mut changes: Vec<Change> = Vec::new();
    let mut newest = None;
    match &root.value {
        Value::Null => {}
        Value::List(releases) => {
            for node in releases {
                release(node, &mut newest, &mut changes, &mut problems);
            }
        }
        _ => problems.expected(&root, "a list of releases, each beginning with `- version:`"),
    }
    if problems.is_empty() { Ok(changes) } else { Err(problems.locate(text)) }
}

fn release(node: &Node, newest: &mut Option<Version>, changes: &mut Vec<Change>, problems: &mut Problems) {
    let known = ["version", Basis::Documented.as_str(), Basis::Observed.as_str()];
    let Some(entries) = Entries::of(node, "a release, beginning with `version:`", &known, problems) else {
        return;
    };
    let version = entries
        .required("version", "every release begins with its version, such as `version: \"19.05\"`", problems)
        .and_then(|node| {
            let version = version(node, problems)?;
            if let Some(before) = newest.filter(|before| *before >= version) {
                let (message, help) = match before == version {
                    true => {
                        (format!("{version} is there twice"), "put all changes of a release in one place")
                    }
                    false => (
                        format!("{version} comes after {before}"),
                        "order the releases from the oldest to the newest",
                    ),
                };
                problems.add(node, message, help.to_owned());
            }
            *newest = Some(version.max(newest.unwrap_or(version)));
            Some(version)
        });
    if entries.entries.iter().all(|(key, _)| *key == "version") && all_are_known(node, &entries) {
        let help = "list its changes under `documented` or `observed`, or leave it out".to_owned();
        problems.add(node, "a release without changes", help);
    }
    // Without a version the rest is read all the same, for its own mistakes.
    let version = version.unwrap_or(Version::new(0, 0));
    for basis in Basis::ALL {
        let Some(node) = entries.get(basis.as_str()) else { continue };
        let mut told: Vec<(Subject, Kind)> = Vec::new();
        for node in list(node, "a list of changes, each such as `{added: call_held, source: …}`", problems)
        {
            change(node, (version, basis), &mut told, changes, problems);
        }
    }
}

fn version(node: &Node, problems: &mut Problems) -> Option<Version> {
    match &node.value {
        Value::Float(_) | Value::Integer(_) => {
            let help = "quote it, such as `\"19.05\"`; 17.10 would become 17.1".to_owned();
            problems.add(node, "this version is read as a number", help);
            None
        }
        Value::Text(text) => match text.parse() {
            Ok(version) => Some(version),
            Err(error) => {
                problems.add(node, format!("{error}"), None);
                None
            }
        },
        _ => {
            problems.expected(node, "a version such as `\"19.05\"`");
            None
        }
    }
}

fn change(
    node: &Node,
    (version, basis): (Version, Basis),
    told: &mut Vec<(Subject, Kind)>,
    changes: &mut Vec<Change>,
    problems: &mut Problems,
) {
    let kinds = Kind::ALL.map(Kind::as_str);
    let known: Vec<&str> = kinds.into_iter().chain(DETAILS).collect();
    let Some(entries) =
        Entries::of(node, "a change such as `{added: call_held, source: …}`", &known, problems)
    else {
        return;
    };
    let mut given = Kind::ALL.into_iter().filter_map(|kind| Some((kind, entries.get(kind.as_str())?)));
    let Some((kind, subject_node)) = given.next() else {
        if all_are_known(node, &entries) {
            let words = kinds.map(|kind| format!("`{kind}: …`")).join(", ");
            let help = format!("say what became of what: {words}");
            problems.add(node, "neither added, changed, deprecated nor deleted", help);
        }
        return;
    };
    if let Some((other, _)) = given.next() {
        let message = format!("`{}` and `{}` in one change", kind.as_str(), other.as_str());
        problems.add(entries.key(other.as_str()), message, "make two changes of it".to_owned());
    }
    let subjects = subjects(subject_node, problems);
    let source = entries.required("source", "say where this fact comes from", problems);
    let names = |key: &str, problems: &mut Problems| -> Option<Vec<String>> {
        entries.get(key).map(|node| names(node, problems).into_iter().map(|(name, _)| name).collect())
    };
    let (data, replaced_by, except) =
        (names("data", problems), names("replaced_by", problems), names("except", problems));
    let of_an_event = subjects.iter().any(|(subject, _)| subject.event().is_some());
    for (key, is_wrong, help) in [
        ("data", !of_an_event, "only an event has `data`"),
        ("except", of_an_event, "leave the event out of the list instead"),
    ] {
        if is_wrong && !subjects.is_empty() && entries.get(key).is_some() {
            problems.add(entries.key(key), format!("`{key}` means nothing here"), help.to_owned());
        }
    }
    if kind == Kind::Changed && data.is_none() && entries.get("text").is_none() {
        let help = "write a `text`, or the fields of `data` from then on".to_owned();
        problems.add(subject_node, "a change that does not say what changed", help);
    }
    let change = Change {
        version,
        kind,
        basis,
        subject: Subject::Envelope(Part::Body),
        text: owned(entries.get("text"), "a sentence", problems),
        data,
        replaced_by: replaced_by.unwrap_or_default(),
        except: except.unwrap_or_default(),
        source: owned(source, "a text", problems).unwrap_or_default(),
    };
    for (subject, node) in subjects {
        if told.contains(&(subject.clone(), kind)) {
            let message = format!("`{subject}` is {} twice in {version}", kind.as_str());
            problems.add(node, message, "keep one of the two".to_owned());
        } else {
            told.push((subject.clone(), kind));
            changes.push(Change { subject, ..change.clone() });
        }
    }
}

/// Whether no key is wrong: then what is missing is missing, and not misspelt.
fn all_are_known(node: &Node, entries: &Entries<'_>) -> bool {
    matches!(&node.value, Value::Mapping(pairs) if pairs.len() == entries.entries.len())
}

/// The name of an event, a list of them, an exchange or a part of the envelope.
fn subjects<'n>(node: &'n Node, problems: &mut Problems) -> Vec<(Subject, &'n Node)> {
    if !matches!(node.value, Value::Mapping(_)) {
        return names(node, problems).into_iter().map(|(name, node)| (Subject::Event(name), node)).collect();
    }
    let what = "an event, a list of events, `{exchange: NAME}` or `{envelope: PART}`";
    if matches!(&node.value, Value::Mapping(pairs) if pairs.iter().all(|(_, value)| value.value == Value::Null))
    {
        // The name of an open event without its quotes.
        problems.expected_text(node, what);
        return Vec::new();
    }
    let Some(entries) = Entries::of(node, what, &SUBJECTS, problems) else { return Vec::new() };
    if entries.entries.len() != 1 {
        // An unknown key has been noted already.
        if all_are_known(node, &entries) {
            problems.expected(node, what);
        }
        return Vec::new();
    }
    let exchange = entries.get("exchange").and_then(|node| {
        let name = text(node, "the name of an exchange", problems)?;
        Some((Subject::Exchange(name.to_owned()), node))
    });
    let envelope = entries.get("envelope").and_then(|node| {
        let name = text(node, "a part of the envelope", problems)?;
        let part = Part::ALL.into_iter().find(|part| part.as_str() == name);
        if part.is_none() {
            let parts = Part::ALL.map(Part::as_str);
            let help =
                did_you_mean(name, parts).unwrap_or_else(|| format!("known here: {}", parts.join(", ")));
            problems.add(node, format!("no part of the envelope is called `{name}`"), help);
        }
        Some((Subject::Envelope(part?), node))
    });
    exchange.into_iter().chain(envelope).collect()
}

/// One name, or a list of names that are all different.
fn names<'n>(node: &'n Node, problems: &mut Problems) -> Vec<(String, &'n Node)> {
    let items = match &node.value {
        Value::List(items) => items.as_slice(),
        _ => std::slice::from_ref(node),
    };
    if items.is_empty() {
        problems.add(node, "an empty list", "name at least one, or leave it out".to_owned());
    }
    let mut names: Vec<(String, &Node)> = Vec::with_capacity(items.len());
    for item in items {
        let Some(name) = text(item, "a name", problems) else { continue };
        if names.iter().any(|(seen, _)| seen == name) {
            problems.add(item, format!("`{name}` is there twice"), "keep one of the two".to_owned());
        } else {
            names.push((name.to_owned(), item));
        }
    }
    names
}
