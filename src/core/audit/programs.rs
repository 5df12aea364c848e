//! A client program as a client: what its source binds, declares and publishes.

use super::judge::{self, Bound, Judge};
use super::known::Known;
use super::{BindingFate, Client, Finding, QueueUse, SeenAs, Unseen, habits, platform};
use crate::core::finding::{Fate, Kind};
use crate::core::program::{Action, Gap as ProgramGap, Library, Program, SignKind, Use, Value};
use crate::core::site::Arguments;
use crate::core::yaml::Position;

/// The client that this program is.
pub(super) fn client(
    program: &Program,
    known: &Known<'_>,
    judge: &mut Judge<'_, '_>,
    gaps: &mut Vec<Unseen>,
) -> Client {
    let mut client = Client::new(SeenAs::Program, &program.path);
    client.library = program.libraries.first().map(|loaded| loaded.library.as_str().to_owned());
    client.platform = Some(program.language.as_str().to_owned());
    let mut gap = |at: Option<Position>, what: String| {
        let place = at.map_or_else(|| program.path.clone(), |at| format!("{}:{}", program.path, at.line));
        gaps.push(Unseen { what, source: place });
    };
    for doing in &program.uses {
        match &doing.action {
            Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive } => {
                if passive.known() != Some(&true) {
                    client.queues.push(QueueUse {
                        name: queue.known().cloned().unwrap_or_default(),
                        durable: durable.known().copied(),
                        exclusive: exclusive.known().copied(),
                        auto_delete: auto_delete.known().copied(),
                        messages: None,
                        consumers: None,
                    });
                }
            }
            Action::Bind { queue, exchange, key } => {
                let (Some(exchange), Some(key)) = (exchange.known(), key.known()) else {
                    let computed =
                        [("exchange", exchange), ("key", key)].into_iter().filter_map(|(what, value)| {
                            match value {
                                Value::Computed { expression } => Some(format!("{what} `{expression}`")),
                                _ => None,
                            }
                        });
                    let computed: Vec<String> = computed.collect();
                    let verb = if computed.len() > 1 { "are" } else { "is" };
                    gap(
                        Some(doing.at),
                        format!("a binding whose {} {verb} computed", computed.join(" and ")),
                    );
                    continue;
                };
                let arguments = Arguments::new();
                let bound = Bound { exchange, kind: None, key, arguments: &arguments };
                let Some(verdict) = judge.judge(bound) else { continue };
                let binding = BindingFate {
                    queue: queue.known().filter(|name| !name.is_empty()).cloned(),
                    exchange: exchange.clone(),
                    key: key.clone(),
                    arguments,
                    at: Some(doing.at),
                    fate: Fate::Alive,
                    events: Vec::new(),
                };
                client.bind(binding, verdict);
            }
            Action::DeclareExchange { .. }
            | Action::Publish { .. }
            | Action::Connect { .. }
            | Action::Consume { .. }
            | Action::ReadName { .. }
            | Action::ReadField { .. } => {}
        }
    }
    for what in &program.gaps {
        match what {
            ProgramGap::NotUtf8 => {
                gap(None, "bytes that are not UTF-8; what stands there was not read".into())
            }
            ProgramGap::Syntax(at) => {
                gap(Some(*at), "not understood from here on; something may be missing".into())
            }
            ProgramGap::CutShort => gap(None, "reading took too long; only a part was read".into()),
        }
    }
    let mut findings = declarations(program, known);
    findings.extend(call_forms(program, known));
    findings.extend(queues(&client, program));
    findings.extend(undeclared(program));
    findings.extend(publications(program, known));
    if program.libraries.iter().any(|loaded| loaded.library == Library::Kombu) {
        findings.extend(habits::content_type(&client, known.from, known.to));
    }
    client.findings.extend(findings);
    client
}

/// Queues that are bound, named, and neither durable nor exclusive.
fn queues(client: &Client, program: &Program) -> Vec<Finding> {
    if client.bindings.is_empty() {
        return Vec::new();
    }
    let declared = program.uses.iter().filter_map(|doing| match &doing.action {
        Action::DeclareQueue { queue, durable, exclusive, .. } => Some((doing.at, queue, durable, exclusive)),
        _ => None,
    });
    let bad = declared.filter_map(|(at, queue, durable, exclusive)| {
        let name = queue.known().filter(|name| !name.is_empty())?;
        let is_transient = durable.known() == Some(&false) && exclusive.known() == Some(&false);
        is_transient.then(|| Finding {
            queue: Some(name.clone()),
            at: Some(at),
            what: format!("queue `{name}` is named, and neither durable nor exclusive"),
            why: "a restart of the broker takes it away with all that is in it; RabbitMQ 4.3 refuses such queues".into(),
            advice: "declare it durable; or exclusive, without a name".into(),
            ..Finding::of(Kind::TransientQueue)
        })
    });
    bad.collect()
}

/// Exchanges of the platform that are declared otherwise than they are.
fn declarations(program: &Program, known: &Known<'_>) -> Vec<Finding> {
    let declared = program.uses.iter().filter_map(|doing| match &doing.action {
        Action::DeclareExchange { exchange, kind, durable, auto_delete, passive } => {
            Some((doing.at, exchange.known()?, kind, durable, auto_delete, passive))
        }
        _ => None,
    });
    let wrong = declared.filter_map(|(at, name, kind, durable, auto_delete, passive)| {
        let exchange = platform::exchange(name, known.to)?;
        if passive.known() == Some(&true) {
            return None;
        }
        let mut differs: Vec<String> = Vec::new();
        if let Some(kind) = kind.known().filter(|kind| *kind != exchange.kind) {
            differs.push(format!("type `{kind}` instead of `{}`", exchange.kind));
        }
        if durable.known().is_some_and(|durable| *durable != exchange.durable) {
            differs.push(if exchange.durable { "not durable" } else { "durable" }.to_owned());
        }
        if auto_delete.known() == Some(&true) {
            differs.push("auto-delete".to_owned());
        }
        (!differs.is_empty()).then(|| Finding {
            exchange: Some(name.clone()),
            at: Some(at),
            what: format!("`{name}` is declared {}", differs.join(", ")),
            why: format!(
                "it is a {}{} exchange; RabbitMQ answers 406 PRECONDITION_FAILED and closes the channel",
                if exchange.durable { "durable " } else { "" },
                exchange.kind
            ),
            advice: "declare it as it is, with `passive`, or not at all".into(),
            ..Finding::of(Kind::RefusedDeclaration)
        })
    });
    wrong.collect()
}

/// Calls that one generation of the library knows and the next one does not.
fn call_forms(program: &Program, known: &Known<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for sign in &program.signs {
        let what = match sign.kind {
            SignKind::CallbackFirst => "`basic_consume` is called with the callback first",
            SignKind::NoAck => "`basic_consume` is called with `no_ack`",
            SignKind::NoQueueName => "`queue_declare` is called without a queue",
            SignKind::TypeOfExchange => "`exchange_declare` is called with `type`",
            SignKind::RemovedBusClass if known.to >= crate::core::version::Version::new(23, 2) => {
                "a class of `xivo_bus` is used that was removed in 23.02"
            }
            SignKind::RemovedBusClass
            | SignKind::PrintStatement
            | SignKind::QueueFirst
            | SignKind::AutoAck
            | SignKind::ExchangeType => continue,
        };
        let needs = format!("the program needs {}", sign.kind.needs());
        match findings.iter_mut().find(|finding| finding.why == needs) {
            Some(finding) => {
                if !finding.what.contains(what) {
                    finding.what.push_str(&format!("; {what} (line {})", sign.at.line));
                }
            }
            None => findings.push(Finding {
                at: Some(sign.at),
                what: what.to_owned(),
                why: needs,
                advice: "keep the old library for this program, or write the call in the new form".into(),
                ..Finding::of(Kind::CallForm)
            }),
        }
    }
    findings
}

fn declares(program: &Program, name: &str) -> bool {
    let is_it = |doing: &Use| matches!(&doing.action, Action::DeclareExchange { exchange, .. } if exchange.known().is_some_and(|known| known == name));
    program.uses.iter().any(is_it)
}

/// Legacy exchanges that the program binds to and does not declare.
fn undeclared(program: &Program) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    for doing in &program.uses {
        let Action::Bind { exchange, .. } = &doing.action else { continue };
        let Some(name) = exchange.known().filter(|name| !declares(program, name)) else { continue };
        let is_legacy = platform::exchange(name, crate::core::version::Version::new(13, 22))
            .is_some_and(|found| found.is_legacy);
        if is_legacy && findings.iter().all(|finding| finding.exchange.as_ref() != Some(name)) {
            findings.push(Finding {
                exchange: Some(name.clone()),
                at: Some(doing.at),
                what: format!("binds to `{name}` without declaring it"),
                why: "where the exchange is not there yet, the broker answers 404 NOT_FOUND and closes the channel".into(),
                advice: "start the bridge first (`After=cti-bridge.service`)".into(),
                ..Finding::of(Kind::BindsWithoutDeclaring)
            });
        }
    }
    findings
}

/// Events that the program publishes on a legacy exchange, and that the bridge does not listen for.
fn publications(program: &Program, known: &Known<'_>) -> Vec<Finding> {
    let published = program.uses.iter().filter_map(|doing| match &doing.action {
        Action::Publish { exchange, key } => Some((doing.at, exchange.known()?, key.known()?)),
        _ => None,
    });
    let in_vain = published.filter_map(|(at, exchange, key)| {
        let found = platform::exchange(exchange, known.to)?;
        if !found.is_legacy || found.exists_at(known.to) {
            return None;
        }
        let events = known.on_legacy(exchange, key);
        let event = events.iter().find_map(|&number| known.events.get(number));
        let (what, why, advice) = match event {
            None => (
                format!("publishes `{key}` on `{exchange}`, which is no event that the bridge knows"),
                "a direct exchange has no wildcards: the bridge hears what it is bound to".to_owned(),
                "give the bridge a rule for the event, and name it with `--legacy-event`".to_owned(),
            ),
            Some(event) if event.after.face.is_none() => (
                format!("publishes `{key}` on `{exchange}`, which {} does not have", known.to),
                event.after.state.reason.unwrap_or("it is deleted").to_owned(),
                "nothing reads it on the modern side; the bridge puts it into quarantine".to_owned(),
            ),
            Some(event) => {
                let listens = event.after.state.rule.is_some_and(|rule| rule.legacy.listen);
                if listens {
                    return None;
                }
                (
                    format!(
                        "publishes `{key}` on `{exchange}`, which the bridge does not listen for by default"
                    ),
                    "by default it listens for what legacy programs of the platform published".to_owned(),
                    format!("run the bridge with `--legacy-event {}`", judge::named(event, key)),
                )
            }
        };
        Some(Finding {
            exchange: Some(exchange.clone()),
            key: Some(key.clone()),
            at: Some(at),
            what,
            why,
            advice,
            ..Finding::of(Kind::PublishesInVain)
        })
    });
    published_once(in_vain.collect())
}

fn published_once(mut findings: Vec<Finding>) -> Vec<Finding> {
    let mut seen: Vec<(Option<String>, Option<String>)> = Vec::new();
    findings.retain(|finding| {
        let id = (finding.exchange.clone(), finding.key.clone());
        let is_new = !seen.contains(&id);
        seen.push(id);
        is_new
    });
    findings
}
