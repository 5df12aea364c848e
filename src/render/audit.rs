//! An audit, written for people, for scripts, and for build servers.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::junit::{Case, Outcome, Suite};
use super::{counted, document, printable};
use crate::core::audit::{Audit, BindingFate, Client, Finding, QueueUse, SeenAs};
use crate::core::finding::{self, Fate, Severity};

/// For people: a tree, client by client, and a line that sums it up.
#[must_use]
pub fn text(audit: &Audit, told: &[String], colours: bool) -> String {
    let paint = Paint { colours };
    let mut text = String::new();
    for client in &audit.clients {
        let _ = writeln!(text, "{}", paint.bold(&title(client)));
        let mut branches: Vec<Vec<String>> = Vec::new();
        for queue in client.queues.iter().filter(|queue| !queue.name.is_empty()) {
            let mut branch = vec![in_words(queue)];
            for binding in
                client.bindings.iter().filter(|binding| binding.queue.as_ref() == Some(&queue.name))
            {
                branch.extend(
                    lines_of_binding(client, binding, &paint).into_iter().map(|line| format!("  {line}")),
                );
            }
            branches.push(branch);
        }
        let is_shown = |name: &String| client.queues.iter().any(|queue| queue.name == *name);
        for binding in &client.bindings {
            if !binding.queue.as_ref().is_some_and(is_shown) {
                branches.push(lines_of_binding(client, binding, &paint));
            }
        }
        let rest = client.findings.iter().filter(|finding| !is_of_a_binding(client, finding));
        branches.extend(rest.map(|finding| lines_of_finding(client, finding, &paint)));
        let last = branches.len().saturating_sub(1);
        for (at, branch) in branches.iter().enumerate() {
            for (line, content) in branch.iter().enumerate() {
                let trunk = match (line, at == last) {
                    (0, true) => "└─ ",
                    (0, false) => "├─ ",
                    (_, true) => "   ",
                    (_, false) => "│  ",
                };
                let _ = writeln!(text, "{trunk}{content}");
            }
        }
        text.push('\n');
    }
    for gap in &audit.gaps {
        let _ = writeln!(text, "not shown: {} ({})", printable(&gap.what), printable(&gap.source));
    }
    for line in left_out(audit) {
        let _ = writeln!(text, "left out: {line}");
    }
    for line in told {
        let _ = writeln!(text, "{}", printable(line));
    }
    let _ = writeln!(text, "{}", summary(audit));
    text
}

/// The line that sums an audit up.
#[must_use]
pub fn summary(audit: &Audit) -> String {
    let count = |severity| audit.open().filter(|(_, finding)| finding.severity() == severity).count();
    let found: Vec<String> = Severity::ALL
        .iter()
        .map(|severity| (count(*severity), severity.as_str()))
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| counted(count, name))
        .collect();
    let accepted = audit
        .clients
        .iter()
        .flat_map(|client| &client.findings)
        .filter(|finding| finding.accepted.is_some())
        .count();
    let accepted = if accepted > 0 { format!(", {accepted} accepted") } else { String::new() };
    let found = if found.is_empty() { "nothing found".to_owned() } else { found.join(", ") };
    let bindings = audit.bindings().count();
    format!(
        "{} → {}: {} with {}: {found}{accepted}",
        audit.from,
        audit.to,
        counted(audit.clients.len(), "client"),
        counted(bindings, "binding"),
    )
}

fn left_out(audit: &Audit) -> Vec<String> {
    let counts = [
        (audit.left_out.own_queues, "queue", " of the bridge"),
        (
            audit.left_out.platform_queues,
            "queue",
            " of the platform's own daemons, which are upgraded with it",
        ),
        (audit.left_out.foreign_bindings, "binding", " to exchanges that are not the platform's"),
    ];
    counts
        .into_iter()
        .filter(|(count, _, _)| *count > 0)
        .map(|(count, noun, whose)| format!("{}{whose}", counted(count, noun)))
        .collect()
}

/// Colours, where they are wanted.
struct Paint {
    colours: bool,
}

impl Paint {
    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn severity(&self, severity: Severity) -> String {
        let code = match severity {
            Severity::Error => "1;31",
            Severity::Warning => "33",
            Severity::Note => "36",
        };
        self.with(code, severity.as_str())
    }

    fn with(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Who a client is, in one line.
fn title(client: &Client) -> String {
    let name = printable(&client.name);
    let mut parts: Vec<String> = match client.seen_as {
        SeenAs::Connection => client
            .client_name
            .iter()
            .map(|name| format!("`{}`", printable(name)))
            .chain(Some(client.library.as_deref().map_or_else(|| "a client".into(), printable)))
            .collect(),
        SeenAs::Consumer => vec![format!("a consumer of queue {name}")],
        SeenAs::Queue if client.queues.iter().all(|queue| queue.consumers.is_none()) => {
            vec![format!("queue {name}, whoever consumes from it")]
        }
        SeenAs::Queue => vec![format!("queue {name}, nobody seen consuming")],
        SeenAs::Exchange => vec![format!("exchange {name}")],
        SeenAs::Program => vec![name.clone()],
    };
    match client.seen_as {
        SeenAs::Connection => {
            parts.extend(client.platform.as_deref().map(|platform| format!("on {}", printable(platform))));
            parts.extend(client.user.as_deref().map(|user| format!("as {}", printable(user))));
            parts.push(format!("from {name}"));
        }
        SeenAs::Program => {
            let library = client.library.iter().map(|library| printable(library));
            parts.extend(client.platform.iter().cloned().chain(library));
        }
        SeenAs::Consumer | SeenAs::Queue | SeenAs::Exchange => {}
    }
    parts.join("  ")
}

/// A queue in one line.
fn in_words(queue: &QueueUse) -> String {
    let mut words = vec![format!("queue {}", printable(&queue.name))];
    words.extend(queue.durable.map(|durable| if durable { "durable" } else { "transient" }.to_owned()));
    words.extend((queue.exclusive == Some(true)).then(|| "exclusive".to_owned()));
    words.extend((queue.auto_delete == Some(true)).then(|| "auto-delete".to_owned()));
    words
        .extend(queue.messages.map(|count| counted(usize::try_from(count).unwrap_or(usize::MAX), "message")));
    words.join("  ")
}

fn is_of_a_binding(client: &Client, finding: &Finding) -> bool {
    client.bindings.iter().any(|binding| is_about(finding, binding))
}

fn is_about(finding: &Finding, binding: &BindingFate) -> bool {
    !finding.fates.is_empty()
        && finding.queue == binding.queue
        && finding.exchange.as_ref() == Some(&binding.exchange)
        && finding.key.as_ref() == Some(&binding.key)
        && finding.at == binding.at
}

fn lines_of_binding(client: &Client, binding: &BindingFate, paint: &Paint) -> Vec<String> {
    let key = match (binding.key.as_str(), binding.arguments.get("name")) {
        ("", Some(name)) => format!("name = {name}"),
        ("", None) => "(no key)".to_owned(),
        (key, _) => key.to_owned(),
    };
    let events = match binding.events.as_slice() {
        [] | [_] => String::new(),
        many => format!(" ({})", counted(many.len(), "event")),
    };
    let place = binding.at.map(|at| format!("  line {}", at.line)).unwrap_or_default();
    let fate = binding.fate.phrase();
    let mut lines =
        vec![format!("{}  {}  {fate}{events}{place}", printable(&binding.exchange), printable(&key))];
    for finding in client.findings.iter().filter(|finding| is_about(finding, binding)) {
        lines.extend(lines_of_finding(client, finding, paint).into_iter().map(|line| format!("  {line}")));
    }
    lines
}

fn lines_of_finding(client: &Client, finding: &Finding, paint: &Paint) -> Vec<String> {
    let place = match (client.seen_as, finding.at) {
        (SeenAs::Program, Some(at)) => format!("  {}:{}", printable(&client.name), at.line),
        _ => String::new(),
    };
    let mut lines = vec![format!(
        "{} {}: {}{place}",
        paint.severity(finding.severity()),
        finding.kind.id(),
        printable(&finding.what)
    )];
    lines.extend(finding.lost.iter().map(|lost| format!("  lost: {}", printable(lost))));
    lines.push(format!("  why: {}", printable(&finding.why)));
    lines.push(format!("  do:  {}", printable(&finding.advice)));
    lines.extend(finding.accepted.as_ref().map(|reason| format!("  accepted: {}", printable(reason))));
    lines
}

/// One JSON document.
#[must_use]
pub fn json(audit: &Audit, told: &[String]) -> String {
    let fates = Fate::ALL.iter().map(|fate| {
        (fate.as_str().to_owned(), json!(audit.bindings().filter(|binding| binding.fate == *fate).count()))
    });
    let severities = Severity::ALL.iter().map(|severity| {
        let count = audit.open().filter(|(_, finding)| finding.severity() == *severity).count();
        (severity.as_str().to_owned(), json!(count))
    });
    let clients: Vec<Json> = audit.clients.iter().map(client_json).collect();
    let gaps: Vec<Json> =
        audit.gaps.iter().map(|gap| json!({ "what": gap.what, "source": gap.source })).collect();
    document(
        "audit",
        json!({
            "from": audit.from.to_string(), "to": audit.to.to_string(),
            "bindings": fates.collect::<serde_json::Map<_, _>>(),
            "findings": severities.collect::<serde_json::Map<_, _>>(),
            "clients": clients,
            "not_shown": gaps,
            "left_out": {
                "own_queues": audit.left_out.own_queues,
                "platform_queues": audit.left_out.platform_queues,
                "foreign_bindings": audit.left_out.foreign_bindings,
            },
            "accepted": told,
        }),
    )
}

fn client_json(client: &Client) -> Json {
    let queues: Vec<Json> = client
        .queues
        .iter()
        .map(|queue| {
            json!({
                "name": queue.name, "durable": queue.durable, "exclusive": queue.exclusive,
                "auto_delete": queue.auto_delete, "messages": queue.messages, "consumers": queue.consumers,
            })
        })
        .collect();
    let bindings: Vec<Json> = client
        .bindings
        .iter()
        .map(|binding| {
            let events =
                binding.events.iter().map(|(event, fate)| json!({ "event": event, "fate": fate.as_str() }));
            json!({
                "queue": binding.queue, "exchange": binding.exchange, "key": binding.key,
                "arguments": binding.arguments, "line": binding.at.map(|at| at.line),
                "fate": binding.fate.as_str(), "events": events.collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({
        "seen_as": seen_as(client.seen_as), "name": client.name, "client_name": client.client_name,
        "library": client.library, "platform": client.platform, "user": client.user, "peer": client.peer,
        "queues": queues, "bindings": bindings,
        "findings": client.findings.iter().map(finding_json).collect::<Vec<_>>(),
    })
}

const fn seen_as(how: SeenAs) -> &'static str {
    match how {
        SeenAs::Connection => "connection",
        SeenAs::Consumer => "consumer",
        SeenAs::Queue => "queue",
        SeenAs::Exchange => "exchange",
        SeenAs::Program => "program",
    }
}

fn finding_json(finding: &Finding) -> Json {
    json!({
        "id": finding.kind.id(), "severity": finding.severity().as_str(),
        "fates": finding.fates.iter().map(|fate| fate.as_str()).collect::<Vec<_>>(),
        "queue": finding.queue, "exchange": finding.exchange, "key": finding.key,
        "line": finding.at.map(|at| at.line), "events": finding.events,
        "what": finding.what, "lost": finding.lost, "why": finding.why, "do": finding.advice, "accepted": finding.accepted,
    })
}

/// JUnit XML: a suite for each client, a case for each binding and each other finding.
///
/// # Errors
/// When the XML cannot be written.
pub fn junit(audit: &Audit, failing: &dyn Fn(&Finding) -> bool) -> Result<String, String> {
    let said = |findings: &[&Finding]| {
        let text = findings.iter().map(|finding| {
            format!(
                "{} {}: {}\nwhy: {}\ndo: {}",
                finding.severity(),
                finding.kind.id(),
                finding.what,
                finding.why,
                finding.advice
            )
        });
        text.collect::<Vec<_>>().join("\n\n")
    };
    let case = |client: &Client, name: String, findings: &[&Finding]| {
        let failed: Vec<&Finding> = findings.iter().copied().filter(|finding| failing(finding)).collect();
        let (outcome, text) = match failed.first() {
            Some(first) => {
                let failed_by =
                    Outcome::Failed { kind: first.kind.id().to_owned(), message: first.what.clone() };
                (failed_by, said(&failed))
            }
            None => (Outcome::Passed, said(findings)),
        };
        Case { name, place: Some(client.name.clone()), outcome, micros: None, text }
    };
    let suites: Vec<Suite> = audit
        .clients
        .iter()
        .map(|client| {
            let mut cases: Vec<Case> = Vec::new();
            for binding in &client.bindings {
                let findings: Vec<&Finding> =
                    client.findings.iter().filter(|finding| is_about(finding, binding)).collect();
                let name = format!("{} {}: {}", binding.exchange, binding.key, binding.fate.phrase());
                cases.push(case(client, name, &findings));
            }
            for finding in client.findings.iter().filter(|finding| !is_of_a_binding(client, finding)) {
                cases.push(case(client, finding.kind.explanation().title.to_owned(), &[finding]));
            }
            Suite { name: title(client), cases }
        })
        .collect();
    super::junit::report(&format!("audit {} to {}", audit.from, audit.to), &suites)
}

/// Annotations of GitHub Actions, one for each finding that was not accepted.
#[must_use]
pub fn github(audit: &Audit) -> String {
    let message = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let property = |text: &str| message(text).replace(':', "%3A").replace(',', "%2C");
    let mut text = String::new();
    for (client, finding) in audit.open() {
        let level = match finding.severity() {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "notice",
        };
        let mut properties = vec![format!("title={}", finding.kind.id())];
        if client.seen_as == SeenAs::Program {
            properties.push(format!("file={}", property(&client.name)));
            properties.extend(finding.at.map(|at| format!("line={}", at.line)));
        }
        let who =
            if client.seen_as == SeenAs::Program { String::new() } else { format!("{}: ", title(client)) };
        let said = format!("{who}{} ({}); {}", finding.what, finding.why, finding.advice);
        let _ = writeln!(text, "::{level} {}::{}", properties.join(","), message(&said));
    }
    text
}

/// SARIF 2.1.0: a rule for each kind of finding, a result for each finding.
#[must_use]
pub fn sarif(audit: &Audit) -> String {
    let level = |severity: Severity| severity.as_str();
    let rules: Vec<Json> = finding::explanations()
        .iter()
        .map(|explanation| {
            json!({
                "id": explanation.id,
                "shortDescription": { "text": explanation.title },
                "fullDescription": { "text": explanation.text },
                "help": { "text": explanation.advice },
                "defaultConfiguration": { "level": level(explanation.severity) },
            })
        })
        .collect();
    let results: Vec<Json> = audit
        .clients
        .iter()
        .flat_map(|client| client.findings.iter().map(move |finding| (client, finding)))
        .map(|(client, finding)| {
            let location = if client.seen_as == SeenAs::Program {
                let start = finding.at.map_or((1, 1), |at| (at.line, at.column));
                json!({ "physicalLocation": {
                    "artifactLocation": { "uri": client.name },
                    "region": { "startLine": start.0, "startColumn": start.1 },
                }})
            } else {
                json!({ "logicalLocations": [{ "fullyQualifiedName": title(client), "kind": seen_as(client.seen_as) }] })
            };
            let mut result = json!({
                "ruleId": finding.kind.id(),
                "level": level(finding.severity()),
                "message": { "text": format!("{}. {}. {}.", finding.what, finding.why, finding.advice) },
                "locations": [location],
            });
            if let (Some(reason), Some(result)) = (&finding.accepted, result.as_object_mut()) {
                result.insert("suppressions".into(), json!([{ "kind": "external", "justification": reason }]));
            }
            result
        })
        .collect();
    let log = json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "cti-bridge", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "results": results,
        }],
    });
    format!("{log:#}\n")
}
