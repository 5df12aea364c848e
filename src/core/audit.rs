//! What will become of a site's clients: what was seen of a site, and what programs do, held against what is known of
//! events at two versions of the platform.
//!
//! Every binding has a [`Fate`], and everything that somebody should know is a [`Finding`] of the client it concerns.

mod clients;
mod habits;
mod judge;
mod known;
mod platform;
mod programs;
mod suggestion;

use super::finding::{Fate, Kind, Severity};
use super::history::History;
use super::program::Program;
use super::site::{Arguments, Aspect, Site};
use super::version::Version;
use super::yaml::Position;

/// What is to be audited.
#[derive(Debug, Clone, Copy)]
pub struct Question<'q> {
    /// The version that the clients run with today.
    pub from: Version,
    /// The version that the site is to have.
    pub to: Version,
    /// What is known of events.
    pub history: History<'q>,
    /// What was seen of the site.
    pub site: &'q Site,
    /// What programs do, as their sources show.
    pub programs: &'q [Program],
    /// What the bridge's own queues are called before the dot; they are left out.
    pub own_prefix: &'q str,
}

/// What an audit came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// The version that the clients run with today.
    pub from: Version,
    /// The version that the site is to have.
    pub to: Version,
    /// The clients, those with the worst findings first.
    pub clients: Vec<Client>,
    /// What the sources could not show, so that its absence proves nothing.
    pub gaps: Vec<Unseen>,
    /// What was seen and is not audited.
    pub left_out: LeftOut,
}

/// Something that a source does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// What is not shown.
    pub what: String,
    /// The source, or the place in it.
    pub source: String,
}

/// How much was seen and is not audited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeftOut {
    /// Queues of the bridge.
    pub own_queues: usize,
    /// Queues of the platform's own daemons, which are upgraded with it.
    pub platform_queues: usize,
    /// Bindings to exchanges that are not the platform's.
    pub foreign_bindings: usize,
}

/// Somebody on the bus.
#[derive(Debug, Clone, PartialEq)]
pub struct Client {
    /// How it was seen.
    pub seen_as: SeenAs,
    /// The broker's name of the connection, the queue, the exchange, or the path of the source.
    pub name: String,
    /// The name that the client gave itself.
    pub client_name: Option<String>,
    /// Its library and the library's version.
    pub library: Option<String>,
    /// What the library runs on.
    pub platform: Option<String>,
    /// The account it is logged in as.
    pub user: Option<String>,
    /// The machine it comes from.
    pub peer: Option<String>,
    /// Its queues.
    pub queues: Vec<QueueUse>,
    /// Its bindings, in the order in which they were seen.
    pub bindings: Vec<BindingFate>,
    /// What somebody should know, the worst first.
    pub findings: Vec<Finding>,
}

/// How a client was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SeenAs {
    /// As a connection that consumes.
    Connection,
    /// As a consumer of a queue, without its connection.
    Consumer,
    /// As a queue that nobody consumes from, as far as was seen.
    Queue,
    /// As an exchange that is bound to one of the platform's.
    Exchange,
    /// As the source of a program.
    Program,
}

/// A queue of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueUse {
    /// Its name; empty where the broker is to choose one.
    pub name: String,
    /// Whether it survives a restart of the broker.
    pub durable: Option<bool>,
    /// Whether it belongs to one connection.
    pub exclusive: Option<bool>,
    /// Whether it goes with its last consumer.
    pub auto_delete: Option<bool>,
    /// Messages in it.
    pub messages: Option<u64>,
    /// Consumers on it.
    pub consumers: Option<u64>,
}

/// A binding, and what becomes of it.
#[derive(Debug, Clone, PartialEq)]
pub struct BindingFate {
    /// Where it leads, if that is a queue that has a name.
    pub queue: Option<String>,
    /// The exchange that messages come from.
    pub exchange: String,
    /// The binding key.
    pub key: String,
    /// Its arguments.
    pub arguments: Arguments,
    /// Where it is made, in the source of a program.
    pub at: Option<Position>,
    /// What becomes of it.
    pub fate: Fate,
    /// What becomes of each event that it gets or was meant to get.
    pub events: Vec<(String, Fate)>,
}

/// Something that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Its kind, which has an id and a severity.
    pub kind: Kind,
    /// What becomes of the events it is about.
    pub fates: Vec<Fate>,
    /// The queue it is about.
    pub queue: Option<String>,
    /// The exchange it is about.
    pub exchange: Option<String>,
    /// The binding key or routing key it is about.
    pub key: Option<String>,
    /// Where, in the source of a program.
    pub at: Option<Position>,
    /// The events it is about.
    pub events: Vec<String>,
    /// What is the matter.
    pub what: String,
    /// What a client misses that got it before.
    pub lost: Vec<String>,
    /// Why, and where that is known from.
    pub why: String,
    /// What to do.
    pub advice: String,
    /// Why it does not count, if it was accepted.
    pub accepted: Option<String>,
}

impl Finding {
    /// How bad it is.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.kind.severity()
    }
}

impl Audit {
    /// All findings that were not accepted, each with its client.
    pub fn open(&self) -> impl Iterator<Item = (&Client, &Finding)> {
        let findings = self
            .clients
            .iter()
            .flat_map(|client| client.findings.iter().map(move |finding| (client, finding)));
        findings.filter(|(_, finding)| finding.accepted.is_none())
    }

    /// All bindings.
    pub fn bindings(&self) -> impl Iterator<Item = &BindingFate> {
        self.clients.iter().flat_map(|client| &client.bindings)
    }
}

/// Answers the question.
#[must_use]
pub fn audit(question: Question<'_>) -> Audit {
    let known = known::Known::new(question.from, question.to, question.history);
    let mut judge = judge::Judge::new(&known);
    let (mut clients, left_out) = clients::on_the_site(&question, &mut judge);
    let gaps = question
        .site
        .gaps
        .iter()
        .filter(|gap| !matches!(gap.aspect, Aspect::Traffic | Aspect::Alarms | Aspect::Permissions));
    let mut gaps: Vec<Unseen> =
        gaps.map(|gap| Unseen { what: gap.what.clone(), source: gap.source.clone() }).collect();
    for program in question.programs.iter().filter(|program| program.uses_the_bus()) {
        clients.push(programs::client(program, &known, &mut judge, &mut gaps));
    }
    for client in &mut clients {
        // The worst first; those alike in the order in which they were seen.
        client.findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity()));
    }
    let worst = |client: &Client| client.findings.iter().map(Finding::severity).max();
    clients.sort_by_key(|client| std::cmp::Reverse(worst(client)));
    Audit { from: question.from, to: question.to, clients, gaps, left_out }
}
