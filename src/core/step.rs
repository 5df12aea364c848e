//! One thing that a migration does to a broker, as a value: what it makes of a site, and what undoes it.
//!
//! Actions name what they work on by its full identity (name, type, arguments), so that nothing else that happens
//! to have the same name is ever touched.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::site::{Arguments, Binding, Destination, Exchange, Queue, Site};

/// One thing to do on a broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Declare an exchange.
    DeclareExchange(Exchange),
    /// Declare a queue.
    DeclareQueue(Queue),
    /// Make a binding.
    Bind(Binding),
    /// Remove a binding.
    Unbind(Binding),
    /// Delete an exchange that an earlier step declared.
    DeleteExchange(Exchange),
    /// Delete a queue that an earlier step declared.
    DeleteQueue(Queue),
}

/// How an object on a broker differs from what it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difference {
    /// The attribute, such as `type` or `x-queue-type`.
    pub attribute: String,
    /// The value it has.
    pub found: String,
    /// The value it should have.
    pub wanted: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is {}, and {} is needed", self.attribute, self.found, self.wanted)
    }
}

impl Action {
    /// The action that takes this one back.
    #[must_use]
    pub fn inverse(&self) -> Self {
        match self.clone() {
            Self::DeclareExchange(exchange) => Self::DeleteExchange(exchange),
            Self::DeclareQueue(queue) => Self::DeleteQueue(queue),
            Self::Bind(binding) => Self::Unbind(binding),
            Self::Unbind(binding) => Self::Bind(binding),
            Self::DeleteExchange(exchange) => Self::DeclareExchange(exchange),
            Self::DeleteQueue(queue) => Self::DeclareQueue(queue),
        }
    }

    /// Whether a site is already as this action would leave it, as far as the site's sources show.
    #[must_use]
    pub fn is_done(&self, site: &Site) -> bool {
        match self {
            Self::DeclareExchange(wanted) => site
                .exchange(&wanted.name)
                .is_some_and(|found| exchange_differences(found, wanted).is_empty()),
            Self::DeclareQueue(wanted) => {
                site.queue(&wanted.name).is_some_and(|found| queue_differences(found, wanted).is_empty())
            }
            Self::Bind(binding) => site.bindings.contains(binding),
            Self::Unbind(binding) => !site.bindings.contains(binding),
            Self::DeleteExchange(exchange) => site.exchange(&exchange.name).is_none(),
            Self::DeleteQueue(queue) => site.queue(&queue.name).is_none(),
        }
    }

    /// Does it to a site that is only a value, as a broker would: what a deleted object was bound by goes with it.
    pub fn apply(&self, site: &mut Site) {
        if self.is_done(site) {
            return;
        }
        match self {
            Self::DeclareExchange(exchange) => site.exchanges.push(exchange.clone()),
            Self::DeclareQueue(queue) => site.queues.push(queue.clone()),
            Self::Bind(binding) => site.bindings.push(binding.clone()),
            Self::Unbind(binding) => site.bindings.retain(|other| other != binding),
            Self::DeleteExchange(Exchange { name, .. }) => {
                site.exchanges.retain(|exchange| exchange.name != *name);
                site.bindings.retain(|binding| {
                    binding.source != *name && binding.destination != Destination::Exchange(name.clone())
                });
            }
            Self::DeleteQueue(Queue { name, .. }) => {
                site.queues.retain(|queue| queue.name != *name);
                site.bindings.retain(|binding| binding.destination != Destination::Queue(name.clone()));
            }
        }
    }

    /// The exchanges and the queues it names.
    #[must_use]
    pub fn names(&self) -> (Vec<&str>, Vec<&str>) {
        match self {
            Self::DeclareExchange(exchange) | Self::DeleteExchange(exchange) => {
                (vec![&exchange.name], Vec::new())
            }
            Self::DeclareQueue(queue) | Self::DeleteQueue(queue) => (Vec::new(), vec![&queue.name]),
            Self::Bind(binding) | Self::Unbind(binding) => match &binding.destination {
                Destination::Queue(queue) => (vec![&binding.source], vec![queue]),
                Destination::Exchange(exchange) => (vec![&binding.source, exchange], Vec::new()),
            },
        }
    }

    /// What it works on: `exchange`, `queue` or `binding`.
    #[must_use]
    pub const fn object(&self) -> &'static str {
        match self {
            Self::DeclareExchange(_) | Self::DeleteExchange(_) => "exchange",
            Self::DeclareQueue(_) | Self::DeleteQueue(_) => "queue",
            Self::Bind(_) | Self::Unbind(_) => "binding",
        }
    }

    /// `+` where something is there afterwards that was not there before, `-` where something goes.
    #[must_use]
    pub const fn sign(&self) -> char {
        match self {
            Self::DeclareExchange(_) | Self::DeclareQueue(_) | Self::Bind(_) => '+',
            Self::Unbind(_) | Self::DeleteExchange(_) | Self::DeleteQueue(_) => '-',
        }
    }

    /// What it works on, with its identity: `xivo-cti (direct, durable)`.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::DeclareExchange(exchange) | Self::DeleteExchange(exchange) => described_exchange(exchange),
            Self::DeclareQueue(queue) | Self::DeleteQueue(queue) => described_queue(queue),
            Self::Bind(binding) | Self::Unbind(binding) => described_binding(binding),
        }
    }
}

/// A sentence in the infinitive: ``declare exchange `xivo-cti` ``.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeclareExchange(exchange) => write!(f, "declare exchange `{}`", exchange.name),
            Self::DeclareQueue(queue) => write!(f, "declare queue `{}`", queue.name),
            Self::Bind(binding) => write!(f, "bind {}", described_binding(binding)),
            Self::Unbind(binding) => write!(f, "unbind {}", described_binding(binding)),
            Self::DeleteExchange(exchange) => write!(f, "delete exchange `{}`", exchange.name),
            Self::DeleteQueue(queue) => write!(f, "delete queue `{}`", queue.name),
        }
    }
}

fn described_exchange(exchange: &Exchange) -> String {
    let flags = [
        (exchange.durable == Some(true), "durable"),
        (exchange.durable == Some(false), "not durable"),
        (exchange.auto_delete == Some(true), "auto-delete"),
        (exchange.internal == Some(true), "internal"),
    ];
    described(&exchange.name, vec![exchange.kind.clone()], &flags, &exchange.arguments)
}

fn described_queue(queue: &Queue) -> String {
    let flags = [
        (queue.durable == Some(true), "durable"),
        (queue.durable == Some(false), "not durable"),
        (queue.auto_delete == Some(true), "auto-delete"),
        (queue.exclusive == Some(true), "exclusive"),
    ];
    // What every intake queue has in common, in words; all else as it stands.
    let mut arguments = queue.arguments.clone();
    let mut words = Vec::new();
    if let Some(kind) = arguments.remove("x-queue-type") {
        words.push(kind.as_str().map_or_else(|| kind.to_string(), str::to_owned));
    }
    if arguments.get("x-single-active-consumer") == Some(&Json::Bool(true)) {
        arguments.remove("x-single-active-consumer");
        words.push("single active consumer".to_owned());
    }
    let dead_letters = arguments.get("x-dead-letter-routing-key").and_then(Json::as_str).map(str::to_owned);
    if let Some(to) = dead_letters
        && arguments.get("x-dead-letter-exchange").and_then(Json::as_str) == Some("")
    {
        arguments.remove("x-dead-letter-exchange");
        arguments.remove("x-dead-letter-routing-key");
        let limit = arguments.remove("x-delivery-limit").map(|limit| format!(" after {limit} deliveries"));
        words.push(format!("to {to}{}", limit.unwrap_or_default()));
    }
    if arguments.get("x-delivery-limit").and_then(Json::as_i64) == Some(i32::MAX.into()) {
        arguments.remove("x-delivery-limit");
        words.push("no delivery limit".to_owned());
    }
    described(&queue.name, words, &flags, &arguments)
}

fn described(name: &str, words: Vec<String>, flags: &[(bool, &str)], arguments: &Arguments) -> String {
    let flags = flags.iter().filter(|(on, _)| *on).map(|(_, flag)| (*flag).to_owned());
    let words: Vec<String> = words.into_iter().chain(flags).chain(arguments.iter().map(argument)).collect();
    if words.is_empty() { name.to_owned() } else { format!("{name} ({})", words.join(", ")) }
}

/// A binding in one line: `` `xivo-ami` → exchange `xivo-cti`, key `#` ``.
#[must_use]
pub fn described_binding(binding: &Binding) -> String {
    let mut text = format!("`{}` → {}", binding.source, binding.destination);
    if !binding.key.is_empty() || binding.arguments.is_empty() {
        text.push_str(&format!(", key `{}`", binding.key));
    }
    for pair in binding.arguments.iter().map(argument) {
        text.push_str(&format!(", {pair}"));
    }
    text
}

fn argument((name, value): (&String, &Json)) -> String {
    match value {
        Json::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    }
}

/// How an exchange that is there differs from the one that is needed. What the source did not show counts as equal.
#[must_use]
pub fn exchange_differences(found: &Exchange, wanted: &Exchange) -> Vec<Difference> {
    let mut differences = Vec::new();
    if found.kind != wanted.kind {
        differences.push(difference("type", &quoted(&found.kind), &quoted(&wanted.kind)));
    }
    flag(&mut differences, "durable", found.durable, wanted.durable);
    flag(&mut differences, "auto_delete", found.auto_delete, wanted.auto_delete);
    flag(&mut differences, "internal", found.internal, wanted.internal);
    // A list without the flags has no arguments either.
    if found.durable.is_some() || !found.arguments.is_empty() {
        arguments(&mut differences, &found.arguments, &wanted.arguments);
    }
    differences
}

/// How a queue that is there differs from the one that is needed. What the source did not show counts as equal.
#[must_use]
pub fn queue_differences(found: &Queue, wanted: &Queue) -> Vec<Difference> {
    let mut differences = Vec::new();
    flag(&mut differences, "durable", found.durable, wanted.durable);
    flag(&mut differences, "auto_delete", found.auto_delete, wanted.auto_delete);
    flag(&mut differences, "exclusive", found.exclusive, wanted.exclusive);
    arguments(&mut differences, &found.arguments, &wanted.arguments);
    differences
}

fn flag(differences: &mut Vec<Difference>, attribute: &str, found: Option<bool>, wanted: Option<bool>) {
    if let (Some(found), Some(wanted)) = (found, wanted)
        && found != wanted
    {
        differences.push(difference(attribute, &format!("`{found}`"), &format!("`{wanted}`")));
    }
}

fn arguments(differences: &mut Vec<Difference>, found: &Arguments, wanted: &Arguments) {
    let names: BTreeSet<&String> = found.keys().chain(wanted.keys()).collect();
    for name in names {
        let (found, wanted) = (found.get(name), wanted.get(name));
        if found != wanted {
            let shown = |value: Option<&Json>| match value {
                None => "not set".to_owned(),
                Some(Json::String(text)) => quoted(text),
                Some(other) => format!("`{other}`"),
            };
            differences.push(difference(name, &shown(found), &shown(wanted)));
        }
    }
}

fn difference(attribute: &str, found: &str, wanted: &str) -> Difference {
    Difference { attribute: attribute.into(), found: found.into(), wanted: wanted.into() }
}

fn quoted(text: &str) -> String {
    format!("`{text}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(kind: &str) -> Exchange {
        Exchange {
            name: "xivo".into(),
            kind: kind.into(),
            durable: Some(true),
            auto_delete: Some(false),
            internal: Some(false),
            arguments: Arguments::new(),
            published: None,
        }
    }

    fn binding(key: &str) -> Binding {
        Binding {
            source: "xivo".into(),
            destination: Destination::Queue("q".into()),
            key: key.into(),
            arguments: Arguments::new(),
        }
    }

    fn queue(arguments: &[(&str, Json)]) -> Queue {
        Queue {
            name: "q".into(),
            durable: Some(true),
            arguments: arguments.iter().map(|(name, value)| ((*name).into(), value.clone())).collect(),
            ..Queue::default()
        }
    }

    #[test]
    fn each_action_and_its_inverse_leave_a_site_as_it_was() {
        for action in [
            Action::DeclareExchange(exchange("topic")),
            Action::DeclareQueue(queue(&[])),
            Action::Bind(binding("a")),
        ] {
            let mut site = Site::default();
            assert!(!action.is_done(&site));
            action.apply(&mut site);
            assert!(action.is_done(&site) && !action.inverse().is_done(&site), "{action}");
            assert_eq!(action.inverse().inverse(), action);
            action.inverse().apply(&mut site);
            assert_eq!(site, Site::default());
        }
    }

    #[test]
    fn what_a_deleted_exchange_was_bound_by_goes_with_it() {
        let mut site = Site::default();
        for action in [Action::DeclareExchange(exchange("topic")), Action::Bind(binding("a"))] {
            action.apply(&mut site);
        }
        Action::DeleteExchange(exchange("topic")).apply(&mut site);
        assert_eq!(site, Site::default());
    }

    #[test]
    fn a_difference_is_named_with_both_values_and_what_was_not_shown_is_none() {
        let found = Exchange { durable: Some(false), auto_delete: None, ..exchange("fanout") };
        let words: Vec<String> =
            exchange_differences(&found, &exchange("topic")).iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            ["`type` is `fanout`, and `topic` is needed", "`durable` is `false`, and `true` is needed"]
        );
        let found = queue(&[("x-expires", Json::from(5))]);
        let wanted = queue(&[("x-queue-type", Json::from("quorum"))]);
        let words: Vec<String> = queue_differences(&found, &wanted).iter().map(ToString::to_string).collect();
        assert_eq!(
            words,
            [
                "`x-expires` is `5`, and not set is needed",
                "`x-queue-type` is not set, and `quorum` is needed"
            ]
        );
    }

    #[test]
    fn a_binding_with_another_argument_is_another_binding() {
        let mut site = Site::default();
        Action::Bind(binding("a")).apply(&mut site);
        let mut other = binding("a");
        other.arguments.insert("name".into(), Json::from("x"));
        assert!(!Action::Bind(other.clone()).is_done(&site));
        Action::Unbind(other).apply(&mut site);
        assert_eq!(site.bindings, [binding("a")]);
    }

    #[test]
    fn an_action_is_written_and_read_as_json() {
        let action = Action::Bind(binding("a"));
        let text = serde_json::to_string(&action).unwrap();
        assert_eq!(text, r#"{"bind":{"source":"xivo","destination":{"queue":"q"},"key":"a"}}"#);
        assert_eq!(serde_json::from_str::<Action>(&text).unwrap(), action);
    }
}
