//! What is to be said of a client whatever it is bound to: its queues, its account, its library.

use super::{Client, Finding, Question, QueueUse, platform};
use crate::core::finding::Kind;

/// What was seen of a client on the broker.
pub(super) fn of_a_client(client: &Client, question: &Question<'_>) -> Vec<Finding> {
    let mut findings: Vec<Finding> = client.queues.iter().filter_map(of_a_queue).collect();
    let peer = client.peer.as_deref().filter(|peer| !is_loopback(peer));
    if let (Some("guest"), Some(peer)) = (client.user.as_deref(), peer) {
        findings.push(Finding {
            what: format!("`guest` is logged in from {peer}"),
            why: "RabbitMQ lets `guest` in from its own machine only, unless that was switched off".into(),
            advice: "make an account for this client".into(),
            ..Finding::of(Kind::GuestFromElsewhere)
        });
    }
    let library = client.library.as_deref().unwrap_or_default();
    if is_kombu(library) {
        findings.extend(content_type(client, question.from, question.to));
    }
    findings
}

/// What changes for a kombu client of the modern exchange in 16.02.
pub(super) fn content_type(
    client: &Client,
    from: crate::core::version::Version,
    to: crate::core::version::Version,
) -> Option<Finding> {
    if from >= platform::JSON_CONTENT_TYPE || to < platform::JSON_CONTENT_TYPE {
        return None;
    }
    let binding = client.bindings.iter().find(|binding| binding.exchange == "xivo")?;
    Some(Finding {
        queue: binding.queue.clone(),
        exchange: Some(binding.exchange.clone()),
        what: "kombu hands over a decoded object where it handed over a text".into(),
        why: "since 16.02 messages on `xivo` have the content type application/json (XiVO upgrade notes, 16.02)".into(),
        advice: "take the object as it is; `json.loads` of it raises TypeError".into(),
        ..Finding::of(Kind::ContentType)
    })
}

/// kombu leaves its name to the library below it.
fn is_kombu(library: &str) -> bool {
    let library = library.to_ascii_lowercase();
    ["py-amqp", "kombu", "amqplib"].iter().any(|name| library.starts_with(name))
}

fn of_a_queue(queue: &QueueUse) -> Option<Finding> {
    let is_named_by_the_broker = queue.name.starts_with("amq.gen") || queue.name.is_empty();
    let messages = match queue.messages {
        Some(1) => ", 1 message in it".to_owned(),
        Some(count) => format!(", {count} messages in it"),
        None => String::new(),
    };
    let finding = |kind, what: String, why: &str, advice: &str| Finding {
        queue: Some(queue.name.clone()),
        what,
        why: why.to_owned(),
        advice: advice.to_owned(),
        ..Finding::of(kind)
    };
    match (queue.durable, queue.exclusive, queue.consumers) {
        (Some(false), Some(false), _) if !is_named_by_the_broker => Some(finding(
            Kind::TransientQueue,
            format!("queue `{}` is named, and neither durable nor exclusive", queue.name),
            "a restart of the broker takes it away with all that is in it; RabbitMQ 4.3 refuses such queues",
            "declare it durable; or exclusive, without a name",
        )),
        (Some(true), Some(false), Some(0)) if is_named_by_the_broker => Some(finding(
            Kind::LeftoverQueue,
            format!("queue `{}` was left behind by a client{messages}", queue.name),
            "no client can come back to a queue that the broker named; it keeps its bindings and fills up",
            "delete the queue; let the client declare its queue exclusive or auto-delete",
        )),
        (Some(true), _, Some(0)) => Some(finding(
            Kind::NobodyReads,
            format!("nobody reads queue `{}`{messages}", queue.name),
            "it has no consumer; whether its client is away or gone is not visible from outside",
            "find out whose it is, and delete it where the client is gone",
        )),
        _ => None,
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches("::ffff:");
    host.starts_with("127.") || ["::1", "localhost", "0:0:0:0:0:0:0:1"].contains(&host)
}

impl Finding {
    /// A finding of this kind of which nothing is said yet.
    pub(super) fn of(kind: Kind) -> Self {
        Self {
            kind,
            fates: Vec::new(),
            queue: None,
            exchange: None,
            key: None,
            at: None,
            events: Vec::new(),
            what: String::new(),
            lost: Vec::new(),
            why: String::new(),
            advice: String::new(),
            accepted: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn tells_this_machine_from_others() {
        for here in ["127.0.0.1", "127.0.1.1", "::1", "::ffff:127.0.0.1", "localhost"] {
            assert!(is_loopback(here), "{here}");
        }
        assert!(!is_loopback("192.0.2.17") && !is_loopback("12.7.0.0"));
    }
}
