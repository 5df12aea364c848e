//! One mapping rule: two faces of one event, and each direction is a way to read it.
//!
//! Rules come from mapping files only ([`super::mapping_file`]), which checks what a rule can be checked
//! for by itself. What two rules say of one name is checked when they meet in a [`super::catalog`].

use std::fmt;

use super::message::Reason;
use super::template::Template;
use super::version::VersionRange;

/// The exchange of legacy events unless a rule says otherwise (XiVO Message Bus documentation, 13.22).
pub const DEFAULT_LEGACY_EXCHANGE: &str = "xivo-cti";

/// What an event is called and looks like in both eras, for a range of platform versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// The legacy name, a template over the parameters.
    pub event: Template,
    /// What may stand in the name.
    pub parameters: Vec<Parameter>,
    /// The platform versions at which this holds.
    pub versions: VersionRange,
    /// Where the facts come from.
    pub source: String,
    /// What else a reader should know.
    pub note: Option<String>,
    /// The legacy face.
    pub legacy: LegacyFace,
    /// The modern face.
    pub modern: Modern,
    /// Another modern event from which the legacy one is rebuilt as well.
    pub rebuilt_from: Option<Rebuilt>,
    /// What a reader of the legacy event misses.
    pub lost: Vec<String>,
    /// Where the wire differs from the documents.
    pub observed: Vec<Observed>,
    /// Examples, checked in both directions.
    pub tests: Vec<RuleTest>,
    /// The node of `event` in the mapping file, for messages about this rule.
    pub node: usize,
}

/// A part of an event name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in templates.
    pub name: String,
    /// What it may be.
    pub values: Values,
}

/// The values of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values {
    /// One of these. A direct exchange has no wildcards, so bindings can only be made value by value.
    Listed(Vec<String>),
    /// Any word that begins with a capital letter, as all AMI events do and no other event of the bus does.
    Capitalised,
}

impl Values {
    /// Whether this text is one of the values.
    #[must_use]
    pub fn contain(&self, text: &str) -> bool {
        match self {
            Self::Listed(values) => values.iter().any(|value| value == text),
            Self::Capitalised => text.starts_with(|c: char| c.is_ascii_uppercase()),
        }
    }
}

/// Where and how the legacy event is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegacyFace {
    /// The addresses, never none.
    pub addresses: Vec<Address>,
    /// Whether legacy programs themselves published it, so that it is listened for by default.
    pub listen: bool,
    /// The content type to set; old publishers set none.
    pub content_type: Option<String>,
}

/// An exchange and the routing key used on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The exchange.
    pub exchange: String,
    /// The routing key, a template over the parameters.
    pub routing_key: Template,
}

/// What the event is on the modern exchange.
#[derive(Debug, Clone, PartialEq)]
pub enum Modern {
    /// An event of its own.
    Face(Box<ModernFace>),
    /// Nothing: these versions do not have it.
    None {
        /// Since when and why, for people.
        reason: String,
    },
}

/// The modern form of an event.
#[derive(Debug, Clone, PartialEq)]
pub struct ModernFace {
    /// The name, a template over the parameters.
    pub name: Template,
    /// The routing key, a template over parameters and fields of the modern `data`.
    pub routing_key: Template,
    /// The ACL; none where the documents name none.
    pub required_acl: Option<Template>,
    /// Headers besides `name`, `origin_uuid` and `required_acl`.
    pub headers: Vec<(Template, HeaderTemplate)>,
    /// Fields that are called or written otherwise; all others pass unchanged.
    pub data: Vec<FieldMapping>,
}

/// The value of a header in a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderTemplate {
    /// A text with placeholders.
    Text(Template),
    /// `true` or `false`.
    Flag(bool),
}

/// A field of `data` that differs between the two forms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldMapping {
    /// Its name in the modern event.
    pub modern: String,
    /// Its name in the legacy event.
    pub legacy: String,
    /// Pairs of legacy and modern value; empty where values pass unchanged.
    pub values: Vec<(Scalar, Scalar)>,
}

/// A simple value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
}

impl fmt::Display for Scalar {
    /// The value as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&super::envelope::json_text(text)),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// How a legacy event is made of a modern event that took its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebuilt {
    /// The name of the modern event.
    pub name: String,
    /// One legacy event for each element of this array, whose fields are then the ones to read.
    pub each: Option<String>,
    /// All the fields of the legacy event.
    pub data: Vec<FieldMapping>,
}

/// What was seen on the wire or in the platform's code where it differs from the documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// In which versions.
    pub versions: VersionRange,
    /// Another name.
    pub name: Option<Template>,
    /// Another routing key.
    pub routing_key: Option<Template>,
    /// Another ACL, or none.
    pub required_acl: Option<ObservedAcl>,
    /// Other headers.
    pub headers: Vec<(Template, HeaderTemplate)>,
    /// What else differs.
    pub note: Option<String>,
    /// Where it was seen.
    pub source: String,
}

/// The ACL seen on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObservedAcl {
    /// The key is not there, so the websocket shows the event to nobody.
    Absent,
    /// This one.
    Is(Template),
}

/// An example in a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleTest {
    /// The node of the example in the mapping file.
    pub node: usize,
    /// What it shows.
    pub example: Example,
}

/// What an example in a rule shows. Events are JSON objects.
#[derive(Debug, Clone, PartialEq)]
pub enum Example {
    /// Both forms of one event; checked both ways.
    Both {
        /// The legacy event.
        legacy: serde_json::Value,
        /// The modern event, `origin_uuid` left out.
        modern: serde_json::Value,
        /// The routing key of the modern event.
        routing_key: String,
        /// The headers that the rule adds.
        headers: Vec<(String, HeaderExample)>,
    },
    /// A modern event and the legacy events rebuilt from it.
    Rebuilt {
        /// The modern event.
        modern: serde_json::Value,
        /// What this rule makes of it.
        rebuilt: Vec<serde_json::Value>,
    },
    /// A legacy event that cannot become a modern one.
    Refused {
        /// The legacy event.
        legacy: serde_json::Value,
        /// The reason in quarantine.
        refused: Reason,
    },
}

/// The value of a header in an example.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderExample {
    /// A text.
    Text(String),
    /// `true` or `false`.
    Flag(bool),
}

impl Rule {
    /// The names this rule gives to events, each with the values of its parameters; empty for the
    /// parameter values that cannot be listed.
    #[must_use]
    pub fn listed_names(&self) -> Vec<(String, Vec<(&str, &str)>)> {
        let mut choices: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
        for parameter in &self.parameters {
            let Values::Listed(values) = &parameter.values else { return Vec::new() };
            choices = choices
                .into_iter()
                .flat_map(|chosen| {
                    values.iter().map(move |value| {
                        let mut chosen = chosen.clone();
                        chosen.push((parameter.name.as_str(), value.as_str()));
                        chosen
                    })
                })
                .collect();
        }
        choices
            .into_iter()
            .map(|chosen| {
                let name = fill(&self.event, &chosen).to_string();
                (name, chosen)
            })
            .collect()
    }

    /// Whether this rule gives an event of this name.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        let Some(values) = self.event.capture(name) else { return false };
        values.iter().all(|(placeholder, value)| {
            self.parameters
                .iter()
                .any(|parameter| parameter.name == placeholder.name && parameter.values.contain(value))
        })
    }
}

/// The template with these values for its parameters.
#[must_use]
pub fn fill(template: &Template, values: &[(&str, &str)]) -> Template {
    template.substitute(|name| {
        values.iter().find(|(parameter, _)| *parameter == name).map(|(_, value)| Template::from(*value))
    })
}
