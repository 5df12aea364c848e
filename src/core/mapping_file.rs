//! A mapping file: YAML text in, valid rules out, or everything that is wrong with it.

mod data;
mod example;

use data::data;

use super::diagnostic::{Diagnostic, Place, Problems, did_you_mean};
use super::message::is_reserved_header;
use super::reader::{Entries, flag, list, owned, text};
use super::rule::{
    Address, DEFAULT_LEGACY_EXCHANGE, HeaderTemplate, LegacyFace, Modern, ModernFace, Observed, ObservedAcl,
    Parameter, Rebuilt, Rule, Values,
};
use super::template::{Placeholder, Template, TemplateError, Words};
use super::version::{VersionError, VersionRange};
use super::yaml::{self, Node, Value};

/// The value of a parameter that may be any word with a capital letter first.
const CAPITALISED: &str = "capitalised";

/// Reads a mapping file.
///
/// # Errors
/// All the mistakes in it, from top to bottom. A text that is not YAML has one.
pub fn read(text: &str) -> Result<Vec<Rule>, Vec<Diagnostic>> {
    let root = yaml::parse(text).map_err(|error| {
        let place = error.position.map(|position| Place::at(text, position));
        vec![Diagnostic { message: error.message, place, rule: None, help: error.help }]
    })?;
    let mut problems = Problems::default();
    let rules = match &root.value {
        Value::List(items) => items.iter().filter_map(|item| rule(item, &mut problems)).collect(),
        Value::Null => Vec::new(),
        _ => {
            problems.expected(&root, "a list of rules, each beginning with `- event:`");
            Vec::new()
        }
    };
    if problems.is_empty() { Ok(rules) } else { Err(problems.locate(text)) }
}

fn template(node: &Node, example: &str, problems: &mut Problems) -> Option<Template> {
    let text = text(node, &format!("a template such as `{example}`"), problems)?;
    let error = match Template::parse(text) {
        Ok(template) => return Some(template),
        Err(error) => error,
    };
    let help = match &error {
        TemplateError::Unclosed { closed } => format!("close the placeholder: `{closed}`"),
        TemplateError::Unopened => "write `{` before the name of the placeholder".into(),
        TemplateError::NotAName(_) => "a placeholder is `{name}`, `{name[0]}` or `{name|raw}`".into(),
        TemplateError::Adjacent(name) => format!("put a text between them, such as `.{{{name}}}`"),
        TemplateError::Empty => format!("write a template such as `{example}`"),
    };
    problems.add(node, error.to_string(), help);
    None
}

fn versions(node: Option<&Node>, problems: &mut Problems) -> VersionRange {
    let Some(node) = node else { return VersionRange::ALL };
    match &node.value {
        Value::Float(_) | Value::Integer(_) => {
            let help = "quote it and say from where to where: `\"16.08..19.05\"`; 17.10 would become 17.1";
            problems.add(node, "this version is read as a number", help.to_owned());
        }
        Value::Text(text) => match text.parse() {
            Ok(range) => return range,
            Err(error) => {
                let help = match &error {
                    VersionError::NotARange(text) => {
                        Some(format!("for this version and all later ones write `{text}..`"))
                    }
                    VersionError::Malformed(_) | VersionError::Empty(_) => None,
                };
                problems.add(node, error.to_string(), help);
            }
        },
        _ => problems.expected(node, "a range of versions such as `\"16.08..19.05\"`"),
    }
    VersionRange::ALL
}

const RULE_KEYS: [&str; 11] = [
    "event",
    "parameters",
    "versions",
    "source",
    "note",
    "legacy",
    "modern",
    "reason",
    "rebuilt_from",
    "lost",
    "observed",
];

fn rule(node: &Node, problems: &mut Problems) -> Option<Rule> {
    // Named at once, so that also a message about the keys says in which rule.
    problems.rule = event_written(node);
    let known: Vec<&str> = RULE_KEYS.iter().copied().chain(["tests"]).collect();
    let entries = Entries::of(node, "a rule, beginning with `event:`", &known, problems)?;
    let event_node = entries.required("event", "every rule begins with the name of its event", problems)?;
    let written = template(event_node, "call_{action}", problems);
    // Without a name the rest is read all the same, for its own mistakes.
    let named = written.is_some();
    let event = written.unwrap_or_else(|| Template::from("event"));

    let parameters = parameters(entries.get("parameters"), problems);
    let all_are_parameters = check_name(event_node, &event, &parameters, problems, |placeholder| {
        format!("list its values: `parameters: {{{}: [a, b]}}`", placeholder.name)
    });
    for parameter in &parameters {
        if named
            && all_are_parameters
            && !event.placeholders().any(|placeholder| placeholder.name == parameter.name)
        {
            let help = "every parameter is a part of the event's name".to_owned();
            problems.add(event_node, format!("no `{{{}}}` in the name of the event", parameter.name), help);
        }
    }
    let source = entries.required("source", "say where the facts of this rule come from", problems);
    let modern = modern(&entries, &event, &parameters, problems);
    let rebuilt_from = entries.get("rebuilt_from").and_then(|node| rebuilt(node, &parameters, problems));
    let texts = |name: &str, problems: &mut Problems| -> Vec<String> {
        let items = entries.get(name).map_or(&[][..], |node| list(node, "a list of sentences", problems));
        items.iter().filter_map(|item| text(item, "a sentence", problems)).map(str::to_owned).collect()
    };
    let items = |name: &str, what: &str, problems: &mut Problems| {
        entries.get(name).map_or(&[][..], |node| list(node, what, problems))
    };
    let observed = items("observed", "a list of observations", problems);
    let tests = items("tests", "a list of examples", problems);
    let rule = Rule {
        versions: versions(entries.get("versions"), problems),
        source: owned(source, "a text", problems).unwrap_or_default(),
        note: owned(entries.get("note"), "a text", problems),
        legacy: legacy(entries.get("legacy"), &event, &parameters, problems),
        lost: texts("lost", problems),
        observed: observed.iter().filter_map(|node| observation(node, modern.as_ref(), problems)).collect(),
        tests: tests.iter().filter_map(|node| example::test(node, problems)).collect(),
        modern: modern.unwrap_or(Modern::None { reason: String::new() }),
        rebuilt_from,
        parameters,
        node: event_node.id,
        event,
    };
    named.then_some(rule)
}

fn event_written(rule: &Node) -> Option<String> {
    let Value::Mapping(entries) = &rule.value else { return None };
    entries.iter().find_map(|(key, value)| match (&key.value, &value.value) {
        (Value::Text(key), Value::Text(event)) if key == "event" && !event.is_empty() => Some(event.clone()),
        _ => None,
    })
}

fn parameters(node: Option<&Node>, problems: &mut Problems) -> Vec<Parameter> {
    let Some(node) = node else { return Vec::new() };
    let Some(entries) = Entries::of(node, "parameters such as `{action: [created, ended]}`", &[], problems)
    else {
        return Vec::new();
    };
    let mut parameters = Vec::new();
    for (name, node) in entries.entries {
        let values = match &node.value {
            Value::Text(word) if word == CAPITALISED => Values::Capitalised,
            Value::List(items) if !items.is_empty() => {
                let mut values: Vec<String> = Vec::new();
                for item in items {
                    match text(item, "a value", problems) {
                        Some(value) if values.iter().any(|seen| seen == value) => {
                            problems.add(
                                item,
                                format!("`{value}` is there twice"),
                                "keep one of the two".to_owned(),
                            );
                        }
                        Some(value) => values.push(value.to_owned()),
                        None => {}
                    }
                }
                Values::Listed(values)
            }
            _ => {
                let help = format!("list its values, `[created, ended]`, or write `{CAPITALISED}`");
                problems.add(node, format!("`{name}` has no list of values"), help);
                Values::Listed(Vec::new())
            }
        };
        parameters.push(Parameter { name: name.to_owned(), values });
    }
    parameters
}

/// A name, and a legacy routing key, can be filled from parameters alone, in either direction.
/// Says whether all placeholders are parameters.
fn check_name(
    node: &Node,
    template: &Template,
    parameters: &[Parameter],
    problems: &mut Problems,
    otherwise: impl Fn(&Placeholder) -> String,
) -> bool {
    let mut all_are_parameters = true;
    for placeholder in template.placeholders() {
        if !parameters.iter().any(|parameter| parameter.name == placeholder.name) {
            let names = parameters.iter().map(|parameter| parameter.name.as_str());
            let help = did_you_mean(&placeholder.name, names).unwrap_or_else(|| otherwise(placeholder));
            problems.add(node, format!("nothing fills `{{{placeholder}}}`: it is no parameter"), help);
            all_are_parameters = false;
        } else if placeholder.index.is_some() || placeholder.words == Words::Several {
            let help = format!("write `{{{}}}`", placeholder.name);
            problems.add(node, format!("`{{{placeholder}}}` stands for one word here"), help);
        }
    }
    all_are_parameters
}

/// What to do about a placeholder that cannot stand in a legacy routing key or a modern name.
fn only_parameters(parameters: &[Parameter]) -> String {
    let names: Vec<String> = parameters.iter().map(|parameter| format!("`{{{}}}`", parameter.name)).collect();
    match names.as_slice() {
        [] => "write it without placeholders: this event has no parameters".to_owned(),
        _ => format!("only parameters can stand here: {}", names.join(", ")),
    }
}

fn legacy(
    node: Option<&Node>,
    event: &Template,
    parameters: &[Parameter],
    problems: &mut Problems,
) -> LegacyFace {
    let default = Address { exchange: DEFAULT_LEGACY_EXCHANGE.to_owned(), routing_key: event.clone() };
    let mut face = LegacyFace { addresses: Vec::new(), listen: false, content_type: None };
    let known = ["exchange", "routing_key", "also", "listen", "content_type"];
    let entries = node.and_then(|node| {
        Entries::of(node, "the legacy face, such as `{exchange: xivo-ami}`", &known, problems)
    });
    let Some(entries) = entries else {
        face.addresses.push(default);
        return face;
    };
    let mut address = |entries: &Entries<'_>, problems: &mut Problems| {
        let exchange = owned(entries.get("exchange"), "the name of an exchange", problems);
        let routing_key = entries.get("routing_key").and_then(|node| {
            let key = template(node, "status.user", problems)?;
            check_name(node, &key, parameters, problems, |_| only_parameters(parameters));
            Some(key)
        });
        face.addresses.push(Address {
            exchange: exchange.unwrap_or_else(|| default.exchange.clone()),
            routing_key: routing_key.unwrap_or_else(|| default.routing_key.clone()),
        });
    };
    address(&entries, problems);
    for node in entries.get("also").map_or(&[][..], |node| list(node, "a list of addresses", problems)) {
        if let Some(more) = Entries::of(node, "an address", &["exchange", "routing_key"], problems) {
            address(&more, problems);
        }
    }
    face.listen = flag(entries.get("listen"), problems);
    face.content_type = owned(entries.get("content_type"), "a content type", problems);
    face
}

fn modern(
    entries: &Entries<'_>,
    event: &Template,
    parameters: &[Parameter],
    problems: &mut Problems,
) -> Option<Modern> {
    let help = "write the modern face, or `modern: none` and a `reason`";
    let node = entries.required("modern", help, problems)?;
    let reason = entries.get("reason");
    if matches!(&node.value, Value::Text(text) if text == "none") {
        let reason = reason.or_else(|| {
            problems.add(
                node,
                "no `reason`",
                "say why there is no modern event, such as `removed in 19.05`".to_owned(),
            );
            None
        });
        return owned(reason, "a sentence", problems).map(|reason| Modern::None { reason });
    }
    if reason.is_some() {
        let key = entries.key("reason");
        problems.add(key, "a `reason` without `modern: none`", "move it to `note`".to_owned());
    }
    let known = ["name", "routing_key", "required_acl", "headers", "data"];
    let face = Entries::of(
        node,
        "the modern face, such as `{routing_key: calls.call.created}`, or `none`",
        &known,
        problems,
    )?;
    let name = match face.get("name") {
        Some(node) => {
            let name = template(node, "chatd_presence_updated", problems);
            if let Some(name) = &name {
                check_name(node, name, parameters, problems, |_| only_parameters(parameters));
            }
            for parameter in parameters {
                let Some(name) = &name else { break };
                if !name.placeholders().any(|placeholder| placeholder.name == parameter.name) {
                    let help = format!(
                        "put `{{{}}}` into the modern name too, or write one rule per event",
                        parameter.name
                    );
                    problems.add(
                        node,
                        format!("nothing fills `{{{}}}` on the way back", parameter.name),
                        help,
                    );
                }
            }
            name
        }
        None => Some(event.clone()),
    };
    let key_node =
        face.required("routing_key", "write the key that the event has on the topic exchange", problems);
    let routing_key = key_node.and_then(|node| template(node, "calls.call.{action}", problems));
    if let (Some(key_node), Some(routing_key)) = (key_node, &routing_key) {
        check_words(key_node, routing_key, problems);
        if routing_key.placeholders().any(|placeholder| placeholder.name == "routing_key") {
            let help = "`{routing_key}` is for `required_acl`; write the key itself".to_owned();
            problems.add(key_node, "nothing fills `{routing_key}` inside the routing key", help);
        }
    }
    let whole_key = |template: &Template| {
        template.substitute(|name| routing_key.clone().filter(|_| name == "routing_key"))
    };
    let required_acl = face
        .get("required_acl")
        .and_then(|node| template(node, "events.{routing_key}", problems))
        .map(|acl| whole_key(&acl));
    let headers = face.get("headers").map_or_else(Vec::new, |node| headers(node, problems));
    let data = face.get("data").map_or_else(Vec::new, |node| data(node, parameters, problems));
    let (name, routing_key) = (name?, routing_key?);
    Some(Modern::Face(Box::new(ModernFace { name, routing_key, required_acl, headers, data })))
}

/// What a rule itself writes into a routing key is held to the same as what comes from a message.
fn check_words(node: &Node, routing_key: &Template, problems: &mut Problems) {
    let written = routing_key.to_string();
    if let Some(wildcard) = written.chars().find(|c| matches!(c, '#' | '*')) {
        let help = "wildcards are for binding keys; a routing key names one event".to_owned();
        problems.add(node, format!("`{wildcard}` in a routing key"), help);
    }
    if written.split('.').any(str::is_empty) {
        let help = "a routing key has words between its dots; quote a text that holds ` #`".to_owned();
        problems.add(node, "an empty word in a routing key", help);
    }
}

fn headers(node: &Node, problems: &mut Problems) -> Vec<(Template, HeaderTemplate)> {
    let Some(entries) =
        Entries::of(node, "headers such as `{\"user_uuid:{user_uuid}\": true}`", &[], problems)
    else {
        return Vec::new();
    };
    let mut headers = Vec::new();
    for &(name, node) in &entries.entries {
        if is_reserved_header(name) {
            let help = "the bridge writes `name`, `origin_uuid`, `required_acl` and its mark; `CC`, `BCC` and `x-…` \
                        belong to the broker";
            let message = format!("a rule cannot set the header `{name}`");
            problems.add(entries.key(name), message, help.to_owned());
            continue;
        }
        let key = match Template::parse(name) {
            Ok(key) => key,
            Err(error) => {
                let help = "write a header such as `user_uuid:{user_uuid}`".to_owned();
                problems.add(entries.key(name), error.to_string(), help);
                continue;
            }
        };
        if name.starts_with('{') {
            let help = "begin it with a text, such as `user_uuid:{user_uuid}`".to_owned();
            problems.add(entries.key(name), "a message cannot choose a header", help);
            continue;
        }
        match &node.value {
            Value::Bool(flag) => headers.push((key, HeaderTemplate::Flag(*flag))),
            _ => headers.extend(
                template(node, "{tenant_uuid}", problems).map(|value| (key, HeaderTemplate::Text(value))),
            ),
        }
    }
    headers
}

fn rebuilt(node: &Node, parameters: &[Parameter], problems: &mut Problems) -> Option<Rebuilt> {
    let entries = Entries::of(node, "the modern event to rebuild from", &["name", "each", "data"], problems)?;
    let name = entries.required("name", "name the modern event", problems);
    let data_node = entries.required("data", "list the fields of the legacy event", problems)?;
    if let Some(parameter) = parameters.first() {
        let help = "write one rule per event".to_owned();
        problems.add(node, format!("nothing fills `{{{}}}` in a rebuilt event", parameter.name), help);
    }
    Some(Rebuilt {
        name: owned(name, "the name of the modern event", problems)?,
        each: owned(entries.get("each"), "the name of an array in `data`", problems),
        data: data(data_node, &[], problems),
    })
}

fn observation(node: &Node, modern: Option<&Modern>, problems: &mut Problems) -> Option<Observed> {
    let known = ["versions", "name", "routing_key", "required_acl", "headers", "note", "source"];
    let entries = Entries::of(node, "an observation", &known, problems)?;
    let source = entries.required("source", "say where this was seen", problems);
    let mut part =
        |name: &str| entries.get(name).and_then(|node| template(node, "calls.relocate.edited", problems));
    let (name, routing_key) = (part("name"), part("routing_key"));
    let required_acl = match entries.get("required_acl") {
        Some(Node { value: Value::Text(text), .. }) if text == "none" => Some(ObservedAcl::Absent),
        Some(node) => {
            let documented = match modern {
                Some(Modern::Face(face)) => Some(&face.routing_key),
                _ => None,
            };
            let key = routing_key.as_ref().or(documented);
            let whole_key =
                |acl: Template| acl.substitute(|name| key.filter(|_| name == "routing_key").cloned());
            template(node, "events.{routing_key}", problems).map(|acl| ObservedAcl::Is(whole_key(acl)))
        }
        None => None,
    };
    Some(Observed {
        versions: versions(entries.get("versions"), problems),
        name,
        routing_key,
        required_acl,
        headers: entries.get("headers").map_or_else(Vec::new, |node| headers(node, problems)),
        note: owned(entries.get("note"), "a text", problems),
        source: owned(source, "a text", problems).unwrap_or_default(),
    })
}
