//! A named client queue that leaves the bridge: bound to the modern exchange with the keys that its events have
//! there, then unbound from the legacy one.

use crate::core::diagnostic::did_you_mean;
use crate::core::intake::Intake;
use crate::core::rule::DEFAULT_LEGACY_EXCHANGE;
use crate::core::site::{Arguments, Binding, Destination, Site};
use crate::core::step::{Action, described_binding};
use crate::core::topology::ExchangeKind;
use crate::core::translate::Translator;

use super::clients::{Directory, Event, is_topic};
use super::native::{by_name, wire_key, with_open_value};
use super::{Impossible, Step};

/// The steps for one queue, and why others cannot be made.
#[derive(Debug, Default)]
pub(super) struct Rebinding {
    pub(super) steps: Vec<Step>,
    pub(super) impossible: Vec<Impossible>,
    pub(super) notes: Vec<String>,
}

pub(super) fn rebind(
    queue: &str,
    site: &Site,
    directory: &Directory<'_>,
    translator: &Translator,
    intake: &Intake,
    is_legacy: impl Fn(&str) -> bool,
) -> Rebinding {
    let mut rebinding = Rebinding::default();
    if let Some(obstacle) = obstacle(queue, site, intake) {
        rebinding.impossible.push(obstacle);
        return rebinding;
    }
    let to_queue = Destination::Queue(queue.to_owned());
    let bound: Vec<&Binding> = site
        .bindings
        .iter()
        .filter(|binding| binding.destination == to_queue && is_legacy(&binding.source))
        .collect();
    if bound.is_empty() {
        rebinding.notes.push(format!("queue `{queue}` is bound to no legacy exchange: nothing to rebind"));
        return rebinding;
    }
    if site.queue(queue).is_some_and(|queue| queue.exclusive.is_none()) {
        rebinding.notes.push(format!("whether queue `{queue}` is exclusive was not seen"));
    }
    let (mut bind, mut unbind) = (Vec::new(), Vec::new());
    for binding in bound {
        let events = directory.events(binding, is_topic(site, &binding.source));
        match modern(binding, &events, translator, intake) {
            Ok(found) => {
                for (event, wanted) in events.iter().zip(found) {
                    rebinding.notes.extend(changes(queue, event));
                    if !bind.contains(&wanted) && !site.bindings.contains(&wanted) {
                        bind.push(wanted);
                    }
                }
                unbind.push(binding.clone());
            }
            Err(why) => rebinding.impossible.push(Impossible {
                what: format!("rebind {}", described_binding(binding)),
                why,
                help: format!("the queue stays bound to `{}` and needs the bridge", binding.source),
                differences: Vec::new(),
            }),
        }
    }
    rebinding.notes.dedup();
    let step =
        |action: Action, why: &str| Step { action, why: why.to_owned(), rebinds: Some(queue.to_owned()) };
    // First one, then the other: what comes in between comes twice, and nothing is missed.
    let bind = bind
        .into_iter()
        .map(|binding| step(Action::Bind(binding), "the same event as the platform sends it"));
    let unbind =
        unbind.into_iter().map(|binding| step(Action::Unbind(binding), "the queue leaves the bridge"));
    rebinding.steps = bind.chain(unbind).collect();
    rebinding
}

/// Why nothing can be done for a queue.
fn obstacle(queue: &str, site: &Site, intake: &Intake) -> Option<Impossible> {
    let because = |why: &str, help: String| Impossible {
        what: format!("rebind queue `{queue}`"),
        why: why.to_owned(),
        help,
        differences: Vec::new(),
    };
    if intake.own_queues().iter().any(|own| own == queue) {
        return Some(because("it is the bridge's own", "name the queue of a client".to_owned()));
    }
    let Some(found) = site.queue(queue) else {
        let names = site.queues.iter().map(|queue| queue.name.as_str());
        let help = did_you_mean(queue, names)
            .unwrap_or_else(|| format!("look for queues that are bound to `{DEFAULT_LEGACY_EXCHANGE}`"));
        return Some(because("there is no such queue", help));
    };
    (found.exclusive == Some(true)).then(|| {
        because(
            "it is exclusive: only the connection that declared it can bind it, and it goes with that connection",
            "change the program, or leave it to the bridge".to_owned(),
        )
    })
}

/// The bindings to the modern exchange that bring these events.
fn modern(
    binding: &Binding,
    events: &[Event<'_>],
    translator: &Translator,
    intake: &Intake,
) -> Result<Vec<Binding>, String> {
    if events.is_empty() {
        return Err("no rule names such an event, so its key on the modern exchange is not known".to_owned());
    }
    let version = translator.catalog().version();
    events
        .iter()
        .map(|Event { name, entry, open, .. }| {
            let gone = || match &entry.rule.rebuilt_from {
                Some(from) => format!("`{name}` is made of `{}` by the bridge; nobody sends it", from.name),
                None => format!("`{name}` is no longer sent"),
            };
            let (face, key) =
                (entry.modern.as_ref().ok_or_else(gone)?, wire_key(entry, version).ok_or_else(gone)?);
            let (key, modern_name) = match open {
                Some(value) => {
                    // A pattern over AMI events keeps its form: `#` and `*` are one word there.
                    let value = if value == "*" { "*" } else { value };
                    (with_open_value(entry, &key, value), with_open_value(entry, &face.name, value))
                }
                None => (key, face.name.clone()),
            };
            let (key, arguments) = match intake.modern_exchange_kind {
                ExchangeKind::Headers if open.as_deref() == Some("*") => {
                    return Err("a headers exchange has no wildcards".to_owned());
                }
                ExchangeKind::Headers => (String::new(), by_name(&modern_name.to_string())),
                ExchangeKind::Topic
                | ExchangeKind::Direct
                | ExchangeKind::Fanout
                | ExchangeKind::ConsistentHash => (key.binding_key(), Arguments::new()),
            };
            Ok(Binding {
                source: translator.settings().modern_exchange.clone(),
                destination: binding.destination.clone(),
                key,
                arguments,
            })
        })
        .collect()
}

/// What the program that reads the queue has to cope with.
fn changes(queue: &str, event: &Event<'_>) -> Vec<String> {
    let mut notes = vec![format!(
        "what reads queue `{queue}` gets modern events: more keys than `name` and `data`, a content type and headers"
    )];
    if let Some(face) = &event.entry.modern {
        if event.open.is_none() && face.name.as_literal() != Some(event.name.as_str()) {
            notes.push(format!("`{}` is called `{}` there", event.name, face.name));
        }
        for field in face.data.iter().filter(|field| field.modern != field.legacy) {
            notes.push(format!(
                "in `{}` the field `{}` is called `{}`",
                event.name, field.legacy, field.modern
            ));
        }
        for field in face.data.iter().filter(|field| !field.values.is_empty()) {
            notes.push(format!("in `{}` the field `{}` has other values", event.name, field.modern));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::super::tests::{bind_queue, planned_with, site_of};
    use super::super::{Options, Plan};
    use super::*;
    use crate::core::site::Queue;

    fn rebound(exclusive: Option<bool>, bindings: &[(&str, &str)]) -> (Site, Plan) {
        let mut site = site_of(&[("xivo", "topic"), ("xivo-cti", "direct"), ("xivo-ami", "topic")]);
        site.queues.push(Queue { name: "wallboard".into(), exclusive, ..Queue::default() });
        for (exchange, key) in bindings {
            bind_queue(&mut site, exchange, "wallboard", key);
        }
        let plan = planned_with(&site, &options("wallboard")).plan;
        (site, plan)
    }

    fn options(queue: &str) -> Options {
        Options { rebind: vec![queue.into()], ..Options::default() }
    }

    fn steps(plan: &Plan) -> Vec<String> {
        plan.steps.iter().filter(|step| step.rebinds.is_some()).map(|step| step.action.to_string()).collect()
    }

    #[test]
    fn a_queue_is_bound_by_the_modern_keys_before_it_is_unbound() {
        let (site, plan) = rebound(
            Some(false),
            &[
                ("xivo-cti", "call_created"),
                ("xivo-cti", "users_services_dnd_updated"),
                ("xivo-ami", "Hangup"),
            ],
        );
        assert_eq!(
            steps(&plan),
            [
                "bind `xivo` → queue `wallboard`, key `calls.call.created`",
                "bind `xivo` → queue `wallboard`, key `config.users.*.services.dnd.updated`",
                "bind `xivo` → queue `wallboard`, key `ami.Hangup`",
                "unbind `xivo-cti` → queue `wallboard`, key `call_created`",
                "unbind `xivo-cti` → queue `wallboard`, key `users_services_dnd_updated`",
                "unbind `xivo-ami` → queue `wallboard`, key `Hangup`",
            ]
        );
        assert_eq!(plan.impossible, []);
        let mut after = site;
        plan.steps.iter().for_each(|step| step.action.apply(&mut after));
        let again = planned_with(&after, &options("wallboard")).plan;
        assert!(again.is_empty(), "{:?}", again.steps);
    }

    #[test]
    fn all_ami_events_are_one_pattern() {
        let (_, plan) = rebound(Some(false), &[("xivo-ami", "#")]);
        assert_eq!(steps(&plan)[0], "bind `xivo` → queue `wallboard`, key `ami.*`");
    }

    #[test]
    fn what_cannot_be_rebound_stays_and_is_told() {
        let (_, plan) = rebound(
            Some(false),
            &[("xivo-cti", "user_status_update"), ("xivo-cti", "door_opened"), ("xivo-cti", "call_ended")],
        );
        assert_eq!(
            steps(&plan),
            [
                "bind `xivo` → queue `wallboard`, key `calls.call.ended`",
                "unbind `xivo-cti` → queue `wallboard`, key `call_ended`",
            ]
        );
        let why: Vec<&str> = plan.impossible.iter().map(|impossible| impossible.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "`user_status_update` is made of `chatd_presence_updated` by the bridge; nobody sends it",
                "no rule names such an event, so its key on the modern exchange is not known",
            ]
        );
    }

    #[test]
    fn an_exclusive_queue_is_beyond_reach() {
        let (_, plan) = rebound(Some(true), &[("xivo-cti", "call_created")]);
        assert_eq!(steps(&plan), [] as [&str; 0]);
        assert!(plan.impossible[0].why.starts_with("it is exclusive"));
    }

    #[test]
    fn a_queue_that_is_not_there_has_a_suggestion() {
        let (site, _) = rebound(Some(false), &[]);
        let plan = planned_with(&site, &options("walboard")).plan;
        assert_eq!(plan.impossible[0].help, "did you mean `wallboard`?");
        let plan = planned_with(&site, &options("cti-bridge.legacy")).plan;
        assert_eq!(plan.impossible[0].why, "it is the bridge's own");
    }

    #[test]
    fn what_its_reader_has_to_cope_with_is_told() {
        let (_, plan) = rebound(Some(false), &[("xivo-cti", "call_created")]);
        assert!(plan.notes.iter().any(|note| note.contains("more keys")), "{:?}", plan.notes);
    }
}
