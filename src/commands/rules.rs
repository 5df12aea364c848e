//! `rules check`, `rules list` and `rules show`: the mapping rules for people.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::changelog::sentence;
use super::{Failure, load, mappings};
use crate::cli::{Output, Rules, RulesFrom};
use crate::core::catalog::Mappings;
use crate::core::changelog::Upgrade;
use crate::core::diagnostic::did_you_mean;
use crate::core::examples;
use crate::core::history::{EventChange, History};
use crate::core::rule::{
    FieldMapping, HeaderTemplate, Modern, Observed, ObservedAcl, Rule, Scalar, Values, fill,
};
use crate::core::template::Template;
use crate::exit_code::Exit;
use crate::render::{self, counted, document, table};

/// Runs one of the commands; its result goes to standard output.
///
/// # Errors
/// When mapping files cannot be read or are not valid, an example does not hold, or there is no such event.
pub fn rules(command: &Rules) -> Result<Exit, Failure> {
    let (text, exit) = match command {
        Rules::Check { dir, output } => {
            let directories: Vec<_> = dir.iter().cloned().collect();
            let (mappings, changelog) = mappings::load_with_changelog(dir.is_none(), &directories)?;
            check(&mappings, changelog.changes().len(), *output)?
        }
        Rules::List { rules, output } => (list(&load(rules)?, *output), Exit::Done),
        Rules::Show { event, rules, output } => (show(event, rules, *output)?, Exit::Done),
    };
    super::print(&text)?;
    Ok(exit)
}

fn check(mappings: &Mappings, changes: usize, output: Output) -> Result<(String, Exit), Failure> {
    let checked = examples::check(mappings);
    let failed: Vec<String> = checked
        .failed
        .iter()
        .map(|(file, mistake)| render::diagnostic(&file.path, &file.text, mistake))
        .collect();
    if !failed.is_empty() {
        return Err(Failure::rendered(Exit::Misconfigured, failed));
    }
    let (files, rules) = (mappings.files().count(), mappings.rules().count());
    let events: usize = mappings.rules().map(|rule| rule.listed_names().len().max(1)).sum();
    let missing = &checked.without_example;
    let text = match output {
        Output::Json => document(
            "rules-check",
            json!({
                "files": files, "rules": rules, "events": events, "examples": checked.examples,
                "changes": changes,
                "without_example": missing.iter().map(|(_, name)| name).collect::<Vec<_>>(),
            }),
        ),
        Output::Text => {
            let mut counts = vec![
                counted(files, "file"),
                counted(rules, "rule"),
                counted(events, "event"),
                counted(checked.examples, "example"),
            ];
            // Only where there is a changelog: most directories of rules have none.
            counts.extend((changes > 0).then(|| counted(changes, "change")));
            let mut text = format!("{}: all hold\n", counts.join(", "));
            for (file, name) in missing {
                let _ = writeln!(text, "no example shows `{name}` ({})", file.path);
            }
            text
        }
    };
    Ok((text, Exit::Done))
}

fn list(mappings: &Mappings, output: Output) -> String {
    if output == Output::Json {
        let rules: Vec<Json> = mappings
            .files()
            .flat_map(|file| file.rules.iter().map(|rule| rule_json(&file.path, rule)))
            .collect();
        return document("rules-list", json!({ "rules": rules }));
    }
    let mut rows = vec![["EVENT".to_owned(), "VERSIONS".into(), "LEGACY".into(), "MODERN".into()]];
    for rule in mappings.rules() {
        let mut names = rule.listed_names();
        if names.is_empty() {
            names.push((rule.event.to_string(), Vec::new()));
        }
        let exchanges: Vec<&str> =
            rule.legacy.addresses.iter().map(|address| address.exchange.as_str()).collect();
        names.retain(|(name, _)| mappings.replaced_in(name, rule).is_none());
        for (name, values) in names {
            let key = modern_key(rule, &values);
            rows.push([name, rule.versions.to_string(), exchanges.join(", "), key]);
        }
    }
    table(&rows)
}

fn modern_key(rule: &Rule, values: &[(&str, &str)]) -> String {
    match (&rule.modern, &rule.rebuilt_from) {
        (Modern::Face(face), _) => fill(&face.routing_key, values).to_string(),
        (Modern::None { .. }, Some(from)) => format!("(rebuilt from {})", from.name),
        (Modern::None { .. }, None) => "(none)".into(),
    }
}

fn show(event: &str, from: &RulesFrom, output: Output) -> Result<String, Failure> {
    let (mappings, changelog) = mappings::load_with_changelog(!from.no_builtin_mappings, &from.mappings)?;
    let changes = History::new(&mappings, &changelog).changes(event, Upgrade::ALL);
    let rules: Vec<(&str, &Rule)> = mappings
        .files()
        .flat_map(|file| file.rules.iter().map(|rule| (file.path.as_str(), rule.as_ref())))
        .filter(|(_, rule)| concerns(rule, event))
        .collect();
    if rules.is_empty() {
        let names: Vec<String> =
            mappings.rules().flat_map(|rule| rule.listed_names().into_iter().map(|(name, _)| name)).collect();
        let help = did_you_mean(event, names.iter().map(String::as_str))
            .unwrap_or_else(|| "`cti-bridge rules list` shows all of them".into());
        let message = format!("no rule for `{}`", render::printable(event));
        return Err(Failure::new(Exit::NoInput, message).help(help));
    }
    Ok(match output {
        Output::Json => {
            let rules: Vec<Json> = rules.iter().map(|(path, rule)| rule_json(path, rule)).collect();
            document("rules-show", json!({ "event": event, "rules": rules }))
        }
        Output::Text => {
            let text = |(path, rule): &(&str, &Rule)| {
                let mut text = rule_text(event, path, rule, &changes);
                if let Some(file) = mappings.replaced_in(event, rule) {
                    let _ = writeln!(text, "  {:<13} in {file}", "replaced");
                }
                text
            };
            rules.iter().map(text).collect::<Vec<_>>().join("\n")
        }
    })
}

/// Whether the rule is about an event of this name, in either era, or is written with this name.
fn concerns(rule: &Rule, name: &str) -> bool {
    let modern = match &rule.modern {
        Modern::Face(face) => Some(&face.name),
        Modern::None { .. } => None,
    };
    let listed = rule.listed_names();
    let modern_names = |template: &Template| {
        listed.iter().any(|(_, values)| fill(template, values).as_literal() == Some(name))
    };
    rule.names(name)
        || rule.event.to_string() == name
        || modern.is_some_and(modern_names)
        || rule.rebuilt_from.as_ref().is_some_and(|from| from.name == name)
        || rule.observed.iter().any(|observed| observed.name.as_ref().is_some_and(modern_names))
}

fn rule_text(event: &str, path: &str, rule: &Rule, changes: &[EventChange<'_>]) -> String {
    // For one of its events, the rule is shown with the values that make up the name.
    let listed = rule.listed_names();
    let values = listed.iter().find(|(name, _)| name == event).map_or(&[][..], |(_, values)| values);
    let mut lines: Vec<(&str, String)> = Vec::new();
    for parameter in rule.parameters.iter().filter(|_| values.is_empty()) {
        let values = match &parameter.values {
            Values::Listed(values) => values.join(", "),
            Values::Capitalised => "any word with a capital letter first".into(),
        };
        lines.push(("parameter", format!("{}: {values}", parameter.name)));
    }
    for address in &rule.legacy.addresses {
        lines.push(("legacy", format!("{}  key {}", address.exchange, fill(&address.routing_key, values))));
    }
    if rule.legacy.listen {
        lines.push(("", "legacy programs publish it: listened for by default".into()));
    }
    match &rule.modern {
        Modern::None { reason } => lines.push(("modern", format!("none: {reason}"))),
        Modern::Face(face) => {
            lines.push((
                "modern",
                format!("{}  key {}", fill(&face.name, values), fill(&face.routing_key, values)),
            ));
            lines.push(("ACL", acl_text(face.required_acl.as_ref(), values)));
            lines.extend(face.headers.iter().map(|(name, value)| ("header", header_text(name, value))));
            for field in &face.data {
                lines.push((
                    "data",
                    format!(
                        "legacy `{}` is modern `{}`{}",
                        field.legacy,
                        field.modern,
                        values_text(&field.values)
                    ),
                ));
            }
        }
    }
    if let Some(from) = &rule.rebuilt_from {
        let each =
            from.each.as_ref().map_or(String::new(), |each| format!(", one for each element of `{each}`"));
        lines.push(("rebuilt from", format!("{}{each}", from.name)));
        for field in &from.data {
            lines.push((
                "",
                format!("`{}` from `{}`{}", field.legacy, field.modern, values_text(&field.values)),
            ));
        }
    }
    lines.extend(rule.lost.iter().map(|lost| ("lost", lost.clone())));
    lines.extend(rule.observed.iter().map(|observed| ("on the wire", observed_text(observed, values))));
    let meanwhile = changes.iter().filter(|told| rule.versions.contains(told.change.version));
    lines.extend(meanwhile.map(|told| ("changelog", change_text(told))));
    lines.extend(rule.note.iter().map(|note| ("note", note.clone())));
    lines.push(("source", rule.source.clone()));
    lines.push(("rule", format!("{} in {path}", rule.event)));
    let mut text = format!("{}  {}\n", render::printable(event), rule.versions);
    for (label, value) in lines {
        let _ = writeln!(text, "  {label:<13} {value}");
    }
    text
}

fn change_text(told: &EventChange<'_>) -> String {
    let change = told.change;
    let sentence = match sentence(told) {
        sentence if sentence.is_empty() => sentence,
        sentence => format!(": {sentence}"),
    };
    let (kind, basis) = (change.kind.as_str(), change.basis.as_str());
    format!("{} {kind}, {basis}{sentence} [{}]", change.version, change.source)
}

fn acl_text(acl: Option<&Template>, values: &[(&str, &str)]) -> String {
    let none = || "none: the websocket shows the event to nobody".into();
    acl.map_or_else(none, |acl| fill(acl, values).to_string())
}

fn header_text(name: &Template, value: &HeaderTemplate) -> String {
    match value {
        HeaderTemplate::Text(value) => format!("{name}: {value}"),
        HeaderTemplate::Flag(flag) => format!("{name}: {flag}"),
    }
}

fn values_text(values: &[(Scalar, Scalar)]) -> String {
    if values.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> = values.iter().map(|(legacy, modern)| format!("{legacy} is {modern}")).collect();
    format!(" ({})", pairs.join(", "))
}

fn observed_text(observed: &Observed, values: &[(&str, &str)]) -> String {
    let filled = |template: &Template| fill(template, values);
    let mut parts = Vec::new();
    parts.extend(observed.name.iter().map(|name| format!("name {}", filled(name))));
    parts.extend(observed.routing_key.iter().map(|key| format!("key {}", filled(key))));
    parts.extend(observed.required_acl.iter().map(|acl| match acl {
        ObservedAcl::Absent => "no ACL".into(),
        ObservedAcl::Is(acl) => format!("ACL {}", filled(acl)),
    }));
    parts.extend(observed.headers.iter().map(|(name, value)| format!("header {}", header_text(name, value))));
    parts.extend(observed.note.clone());
    format!("{}: {} [{}]", observed.versions, parts.join("; "), observed.source)
}

fn rule_json(path: &str, rule: &Rule) -> Json {
    let headers = |headers: &[(Template, HeaderTemplate)]| -> Json {
        let value = |value: &HeaderTemplate| match value {
            HeaderTemplate::Text(text) => Json::from(text.to_string()),
            HeaderTemplate::Flag(flag) => Json::Bool(*flag),
        };
        headers.iter().map(|(name, header)| (name.to_string(), value(header))).collect()
    };
    let fields = |fields: &[FieldMapping]| -> Json {
        let field = |field: &FieldMapping| {
            let values =
                field.values.iter().map(|(legacy, modern)| json!([legacy.to_string(), modern.to_string()]));
            json!({ "legacy": field.legacy, "modern": field.modern, "values": values.collect::<Vec<_>>() })
        };
        fields.iter().map(field).collect()
    };
    let modern = match &rule.modern {
        Modern::None { reason } => json!({ "none": reason }),
        Modern::Face(face) => json!({
            "name": face.name.to_string(), "routing_key": face.routing_key.to_string(),
            "required_acl": face.required_acl.as_ref().map(Template::to_string),
            "headers": headers(&face.headers), "data": fields(&face.data),
        }),
    };
    let parameters = rule.parameters.iter().map(|parameter| {
        let values = match &parameter.values {
            Values::Listed(values) => json!(values),
            Values::Capitalised => json!("capitalised"),
        };
        (parameter.name.clone(), values)
    });
    let addresses = rule.legacy.addresses.iter().map(
        |address| json!({ "exchange": address.exchange, "routing_key": address.routing_key.to_string() }),
    );
    let observed = rule.observed.iter().map(|observed| {
        json!({
            "versions": observed.versions.to_string(),
            "name": observed.name.as_ref().map(Template::to_string),
            "routing_key": observed.routing_key.as_ref().map(Template::to_string),
            "required_acl": observed.required_acl.as_ref().map(|acl| match acl {
                ObservedAcl::Absent => "none".into(),
                ObservedAcl::Is(acl) => acl.to_string(),
            }),
            "headers": headers(&observed.headers), "note": observed.note, "source": observed.source,
        })
    });
    json!({
        "event": rule.event.to_string(),
        "names": rule.listed_names().into_iter().map(|(name, _)| name).collect::<Vec<_>>(),
        "file": path,
        "parameters": parameters.collect::<serde_json::Map<_, _>>(),
        "versions": rule.versions.to_string(),
        "source": rule.source, "note": rule.note,
        "legacy": { "addresses": addresses.collect::<Vec<_>>(), "listen": rule.legacy.listen, "content_type": rule.legacy.content_type },
        "modern": modern,
        "rebuilt_from": rule.rebuilt_from.as_ref().map(|from| json!({ "name": from.name, "each": from.each, "data": fields(&from.data) })),
        "lost": rule.lost,
        "observed": observed.collect::<Vec<_>>(),
        "examples": rule.tests.len(),
    })
}
