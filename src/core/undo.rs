//! What stands against undoing the steps of a journal: others who have come to depend on what it made.

use std::collections::BTreeSet;

use super::intake::{is_mark, mark};
use super::journal::Line;
use super::settings::BridgeId;
use super::site::{Binding, Destination, Exchange, Queue, Site};
use super::step::{Action, described_binding, exchange_differences, queue_differences};
use super::topology::ExchangeKind;

/// Something that stands against it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// What cannot be undone.
    pub what: String,
    /// Why.
    pub why: String,
    /// What to do about it.
    pub help: String,
}

/// The marks by which an exchange that was made is bound to itself: those that were seen, and that of the bridge, where it
/// is known. The bridge binds its mark when it starts, so no journal need know it.
#[must_use]
pub fn marks(made: &Exchange, site: Option<&Site>, bridge_id: Option<&BridgeId>) -> Vec<Binding> {
    let seen = site.iter().flat_map(|site| &site.bindings);
    let mut marks: Vec<_> = seen.filter(|it| it.source == made.name && is_mark(it)).cloned().collect();
    // What is not there is unbound without an error.
    let own = bridge_id.filter(|_| made.kind == ExchangeKind::Headers.as_str());
    marks.extend(own.map(|id| (&mark(&made.name, id)).into()).filter(|own| !marks.contains(own)));
    marks
}

/// What stands against undoing these steps on this site. Messages in the queues of `discard` are given up.
#[must_use]
pub fn obstacles(undo: &[&Line], site: &Site, discard: &BTreeSet<String>) -> Vec<Obstacle> {
    let undo = Undo::of(undo);
    let mut obstacles = Vec::new();
    for action in &undo.actions {
        let mut add = |why: String, help: &str| {
            obstacles.push(Obstacle { what: action.inverse().to_string(), why, help: help.to_owned() });
        };
        match action {
            Action::DeclareExchange(made) => {
                let Some(found) = site.exchange(&made.name) else { continue };
                for difference in exchange_differences(found, made) {
                    add(format!("it is not what was made: {difference}"), "somebody made it anew: leave it");
                }
                for binding in
                    site.bindings.iter().filter(|binding| undo.is_foreign_to_exchange(binding, &made.name))
                {
                    add(format!("{} depends on it", described_binding(binding)), "unbind it first");
                }
            }
            Action::DeclareQueue(made) => {
                let Some(found) = site.queue(&made.name) else { continue };
                for difference in queue_differences(found, made) {
                    add(format!("it is not what was made: {difference}"), "somebody made it anew: leave it");
                }
                if let Some(why) = consumers(found, site) {
                    add(why, "stop it first");
                }
                if let Some(messages) = found.messages.filter(|messages| *messages > 0)
                    && !discard.contains(&made.name)
                {
                    let help = format!("see what they are; `--discard {}` gives them up", made.name);
                    add(format!("{messages} messages are in it"), &help);
                }
                for binding in
                    site.bindings.iter().filter(|binding| undo.is_foreign_to_queue(binding, &made.name))
                {
                    add(format!("{} leads there", described_binding(binding)), "unbind it first");
                }
            }
            Action::Unbind(binding) => {
                let (exchanges, queues) = action.names();
                let missing = exchanges.iter().find(|name| site.exchange(name).is_none());
                let missing = missing.or_else(|| queues.iter().find(|name| site.queue(name).is_none()));
                if let Some(missing) = missing {
                    let why = format!("`{missing}` is gone, which {} needs", described_binding(binding));
                    add(why, "declare it again as it was, or leave the rest as it is");
                }
            }
            Action::Bind(_) | Action::DeleteExchange(_) | Action::DeleteQueue(_) => {}
        }
    }
    obstacles
}

fn consumers(queue: &Queue, site: &Site) -> Option<String> {
    let listed: Vec<&str> = site
        .consumers
        .iter()
        .filter(|consumer| consumer.queue == queue.name)
        .filter_map(|consumer| consumer.connection.as_deref())
        .collect();
    // What the queue itself counts is fresher than a list of consumers.
    let count = queue.consumers.or_else(|| u64::try_from(listed.len()).ok())?;
    (count > 0).then(|| {
        let names: BTreeSet<&str> = listed.into_iter().collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let consumers = if count == 1 { "1 consumer is" } else { &format!("{count} consumers are") };
        if names.is_empty() { format!("{consumers} on it") } else { format!("{consumers} on it: {names}") }
    })
}

/// What is to be undone.
struct Undo<'l> {
    actions: Vec<&'l Action>,
    exchanges: BTreeSet<&'l str>,
    queues: BTreeSet<&'l str>,
}

impl<'l> Undo<'l> {
    fn of(lines: &[&'l Line]) -> Self {
        let actions: Vec<&Action> = lines.iter().map(|line| &line.action).collect();
        let exchanges = actions.iter().filter_map(|action| match action {
            Action::DeclareExchange(exchange) => Some(exchange.name.as_str()),
            _ => None,
        });
        let queues = actions.iter().filter_map(|action| match action {
            Action::DeclareQueue(queue) => Some(queue.name.as_str()),
            _ => None,
        });
        Self { exchanges: exchanges.collect(), queues: queues.collect(), actions }
    }

    /// Whether the binding was made by the journal's steps, or goes with what they made.
    fn goes(&self, binding: &Binding) -> bool {
        let goes_with_its_end = match &binding.destination {
            Destination::Queue(queue) => self.queues.contains(queue.as_str()),
            Destination::Exchange(exchange) => {
                self.exchanges.contains(exchange.as_str()) && self.exchanges.contains(binding.source.as_str())
            }
        };
        goes_with_its_end
            || self.actions.iter().any(|action| matches!(action, Action::Bind(own) if own == binding))
    }

    fn is_foreign_to_exchange(&self, binding: &Binding, exchange: &str) -> bool {
        let touches =
            binding.source == exchange || binding.destination == Destination::Exchange(exchange.to_owned());
        touches && !self.goes(binding)
    }

    /// A binding into one of our queues is somebody else's if it comes from where none of ours comes from: the daemon
    /// binds its own queues by itself where it is told to listen for more, and straight where it listens for nothing.
    fn is_foreign_to_queue(&self, binding: &Binding, queue: &str) -> bool {
        let to_it = Destination::Queue(queue.to_owned());
        let is_on_the_way = |to: &Destination| match to {
            Destination::Queue(_) => *to == to_it,
            Destination::Exchange(exchange) => {
                exchange.strip_prefix(queue).is_some_and(|own| own.starts_with('.'))
            }
        };
        let ours = |action: &&&Action| matches!(action, Action::Bind(own) if is_on_the_way(&own.destination) && own.source == binding.source);
        binding.destination == to_it
            && !self.exchanges.contains(binding.source.as_str())
            && self.actions.iter().find(ours).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::super::journal::State;
    use super::super::site::{Arguments, Consumer, Exchange};
    use super::*;

    fn binding(source: &str, destination: Destination, key: &str) -> Binding {
        Binding { source: source.into(), destination, key: key.into(), arguments: Arguments::new() }
    }

    fn to_queue(queue: &str) -> Destination {
        Destination::Queue(queue.into())
    }

    fn steps() -> Vec<Action> {
        let exchange = Exchange {
            name: "xivo-cti".into(),
            kind: "direct".into(),
            durable: Some(true),
            auto_delete: Some(false),
            internal: Some(false),
            arguments: Arguments::new(),
            published: None,
        };
        let queue = Queue { name: "cti-bridge.legacy".into(), durable: Some(true), ..Queue::default() };
        vec![
            Action::DeclareExchange(exchange),
            Action::DeclareQueue(queue),
            Action::Bind(binding("xivo-cti", to_queue("cti-bridge.legacy"), "call_form_result")),
            Action::Unbind(binding("xivo-ami", to_queue("wallboard"), "Hangup")),
        ]
    }

    fn why(change: impl FnOnce(&mut Site), discard: &[&str]) -> Vec<String> {
        let mut site = Site::default();
        site.exchanges.push(Exchange {
            name: "xivo-ami".into(),
            kind: "topic".into(),
            durable: None,
            auto_delete: None,
            internal: None,
            arguments: Arguments::new(),
            published: None,
        });
        site.queues.push(Queue { name: "wallboard".into(), ..Queue::default() });
        steps().iter().for_each(|action| action.apply(&mut site));
        change(&mut site);
        let lines: Vec<Line> = steps()
            .into_iter()
            .enumerate()
            .map(|(at, action)| Line { step: at + 1, state: State::Done, action })
            .collect();
        let discard = discard.iter().map(|name| (*name).to_owned()).collect();
        obstacles(&lines.iter().rev().collect::<Vec<_>>(), &site, &discard)
            .into_iter()
            .map(|obstacle| format!("{}: {}", obstacle.what, obstacle.why))
            .collect()
    }

    #[test]
    fn nothing_stands_against_it_where_nobody_came_in_between() {
        assert_eq!(why(|_| (), &[]), [] as [&str; 0]);
        // The daemon, told to listen for more.
        let more = |site: &mut Site| {
            site.bindings.push(binding("xivo-cti", to_queue("cti-bridge.legacy"), "call_created"));
        };
        assert_eq!(why(more, &[]), [] as [&str; 0]);
    }

    #[test]
    fn a_queue_that_the_daemon_bound_straight_goes_and_one_that_others_bound_stays() {
        let queue = Queue { name: "cti-bridge.modern".into(), durable: Some(true), ..Queue::default() };
        let to_filter = Destination::Exchange("cti-bridge.modern.filter".into());
        let actions = [Action::DeclareQueue(queue.clone()), Action::Bind(binding("xivo", to_filter, "#"))];
        let lines = actions.map(|action| Line { step: 1, state: State::Done, action });
        let with = |source: &str| {
            let bindings = vec![binding(source, to_queue(&queue.name), "#")];
            let site = Site { queues: vec![queue.clone()], bindings, ..Site::default() };
            obstacles(&lines.iter().collect::<Vec<_>>(), &site, &BTreeSet::new()).len()
        };
        assert_eq!((with("xivo"), with("wazo-headers")), (0, 1));
        // The daemon's own as well, where no plan knew of it.
        assert_eq!(with("cti-bridge.modern.others"), 1);
    }

    #[test]
    fn an_exchange_that_others_are_bound_to_stays() {
        let popup =
            |site: &mut Site| site.bindings.push(binding("xivo-cti", to_queue("popup"), "call_created"));
        assert_eq!(
            why(popup, &[]),
            ["delete exchange `xivo-cti`: `xivo-cti` → queue `popup`, key `call_created` depends on it"]
        );
        let feed = |site: &mut Site| {
            site.bindings.push(binding("other", Destination::Exchange("xivo-cti".into()), "#"));
        };
        assert_eq!(why(feed, &[]).len(), 1);
    }

    #[test]
    fn a_mark_goes_with_the_filter_and_nothing_else_that_is_bound_there() {
        let filter = Exchange {
            name: "cti-bridge.modern.filter".into(),
            kind: "headers".into(),
            durable: Some(true),
            auto_delete: Some(false),
            internal: Some(false),
            arguments: Arguments::new(),
            published: None,
        };
        let marked = |id| Binding::from(&mark(&filter.name, &BridgeId::parse(id).unwrap()));
        let mut watched = binding(&filter.name, Destination::Exchange("watch".into()), "");
        watched.arguments = marked("b1").arguments;
        let mut site = Site { exchanges: vec![filter.clone()], ..Site::default() };
        site.bindings = vec![marked("b1"), watched, binding(&filter.name, to_queue("watcher"), "")];
        let id = BridgeId::parse("b2");
        assert_eq!(marks(&filter, Some(&site), id.as_ref()), [marked("b1"), marked("b2")]);
        assert_eq!(marks(&filter, Some(&site), BridgeId::parse("b1").as_ref()), [marked("b1")]);
        assert_eq!(marks(&filter, None, id.as_ref()), [marked("b2")]);
        assert_eq!(marks(&filter, None, None), []);
        let direct = Exchange { name: "xivo-cti".into(), kind: "direct".into(), ..filter.clone() };
        assert_eq!(marks(&direct, Some(&site), id.as_ref()), []);

        let line = Line { step: 1, state: State::Done, action: Action::DeclareExchange(filter) };
        assert_eq!(obstacles(&[&line], &site, &BTreeSet::new()).len(), 2);
        site.bindings.truncate(1);
        assert_eq!(obstacles(&[&line], &site, &BTreeSet::new()), []);
    }

    #[test]
    fn a_queue_that_is_read_or_fed_by_others_or_not_empty_stays() {
        let read = |site: &mut Site| {
            site.consumers.push(Consumer {
                queue: "cti-bridge.legacy".into(),
                connection: Some("10.0.0.1:5 -> 10.0.0.2:5672".into()),
                ..Consumer::default()
            });
        };
        assert_eq!(
            why(read, &[]),
            ["delete queue `cti-bridge.legacy`: 1 consumer is on it: 10.0.0.1:5 -> 10.0.0.2:5672"]
        );
        let full = |site: &mut Site| {
            site.queues.iter_mut().for_each(|queue| queue.messages = Some(3));
        };
        assert_eq!(why(full, &[]), ["delete queue `cti-bridge.legacy`: 3 messages are in it"]);
        assert_eq!(why(full, &["cti-bridge.legacy"]), [] as [&str; 0]);
        let fed = |site: &mut Site| site.bindings.push(binding("other", to_queue("cti-bridge.legacy"), "x"));
        assert_eq!(
            why(fed, &[]),
            ["delete queue `cti-bridge.legacy`: `other` → queue `cti-bridge.legacy`, key `x` leads there"]
        );
    }

    #[test]
    fn what_was_made_anew_by_others_stays() {
        let anew = |site: &mut Site| site.exchanges[1].kind = "topic".into();
        assert_eq!(
            why(anew, &[]),
            [
                "delete exchange `xivo-cti`: it is not what was made: `type` is `topic`, and `direct` is needed"
            ]
        );
    }

    #[test]
    fn a_binding_whose_ends_are_gone_cannot_be_made_again() {
        let gone = |site: &mut Site| site.queues.retain(|queue| queue.name != "wallboard");
        assert!(why(gone, &[])[0].contains("`wallboard` is gone"));
    }

    #[test]
    fn what_is_gone_already_stands_against_nothing() {
        let gone = |site: &mut Site| {
            site.queues.retain(|queue| queue.name == "wallboard");
            site.exchanges.retain(|exchange| exchange.name == "xivo-ami");
            site.bindings.clear();
        };
        assert_eq!(why(gone, &[]), [] as [&str; 0]);
    }
}
