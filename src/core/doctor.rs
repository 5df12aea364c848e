//! Whether the bridge can do its work on a broker, before anything is changed there: one check after the other, each
//! with what was found and what to do about it.
//!
//! What is needed comes from [`super::intake`], as for the daemon. What nobody showed is unknown, and said to be so.

use std::collections::BTreeMap;

use serde::Serialize;

use self::rights::Right;
use super::intake::Intake;
use super::plan::Sides;
use super::site::{Aspect, Site};
use super::topology::{QueueKind, Topology};
use super::translate::Translator;

mod daemon;
mod exchanges;
mod queues;
mod rights;
mod traffic;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// As it should be.
    Ok,
    /// It cannot be told.
    Unknown,
    /// Somebody should look at it.
    Warn,
    /// The bridge cannot work, or works on nothing.
    Fail,
}

impl State {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What it is about, in a word.
    pub topic: &'static str,
    /// How it went.
    pub state: State,
    /// What was found.
    pub finding: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// What AMQP alone shows of a broker.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presences {
    /// The address, without a password.
    pub broker: String,
    /// The exchanges that were asked for.
    pub exchanges: BTreeMap<String, Presence>,
    /// The queues that were asked for.
    pub queues: BTreeMap<String, Presence>,
}

/// Whether something is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// It is.
    There {
        /// How many consume from it; queues only.
        consumers: Option<u64>,
    },
    /// It is not.
    Missing,
    /// The broker does not tell.
    Refused(String),
}

/// Who is to work where.
pub struct Patient<'p> {
    /// What the daemon translates by.
    pub translator: &'p Translator,
    /// What it makes for itself.
    pub intake: &'p Intake,
    /// Which sides of the bridge are on this virtual host.
    pub sides: Sides,
    /// The account of the bridge.
    pub user: &'p str,
    /// The virtual host.
    pub vhost: &'p str,
    /// The pattern of names that the account needs, for `rabbitmqctl set_permissions`.
    pub pattern: &'p str,
    /// Whether a pattern of the broker covers a name; nothing where it cannot be read.
    pub covers: &'p dyn Fn(&str, &str) -> Option<bool>,
}

impl Patient<'_> {
    /// What is needed here.
    fn topologies(&self) -> Vec<Topology> {
        let mut topologies = Vec::new();
        if self.sides != Sides::Legacy {
            topologies.push(self.intake.modern_side(self.translator));
        }
        if self.sides != Sides::Modern {
            topologies.push(self.intake.legacy_side(self.translator));
        }
        topologies
    }

    /// The exchanges and queues that are needed here.
    #[must_use]
    pub fn names(&self) -> (Vec<String>, Vec<String>) {
        let topologies = self.topologies();
        let exchanges =
            topologies.iter().flat_map(|topology| topology.exchanges.iter().chain(&topology.own_exchanges));
        let mut queues: Vec<String> = Vec::new();
        for queue in topologies.iter().flat_map(|topology| &topology.queues) {
            // Both sides need the quarantine.
            if !queues.contains(&queue.name) {
                queues.push(queue.name.clone());
            }
        }
        (exchanges.map(|exchange| exchange.name.clone().into_owned()).collect(), queues)
    }
}

/// All checks, with what the site and AMQP show. A site with every gap stands for none.
#[must_use]
pub fn examine(patient: &Patient<'_>, site: &Site, presences: Option<&Presences>) -> Vec<Check> {
    let mut checks = vec![reach(presences), version(patient, site), rights(patient, site)];
    checks.extend(exchanges::checks(patient, site, presences));
    checks.push(traffic::check(patient, site));
    checks.push(alarms(site));
    checks.extend(queues::checks(patient, site, presences));
    if patient.sides == Sides::Both {
        checks.push(daemon::check(patient, site));
    }
    for conflict in &site.conflicts {
        let finding = format!(
            "{} is {} by {}, and {} by another source",
            conflict.what, conflict.taken, conflict.source, conflict.instead_of
        );
        let advice = "leave out the source that is out of date";
        checks.push(Check::new("sources", State::Warn, finding).advise(advice));
    }
    checks
}

/// The worst of them.
#[must_use]
pub fn worst(checks: &[Check]) -> State {
    checks.iter().map(|check| check.state).max().unwrap_or(State::Ok)
}

impl Check {
    /// That there is no management API to ask.
    #[must_use]
    pub fn without_management(why: String) -> Self {
        Self::new("api", State::Unknown, why).advise(
            "enable the plugin rabbitmq_management, name its address with `--management-url`, or feed in what \
             `rabbitmqctl` lists",
        )
    }

    fn new(topic: &'static str, state: State, finding: impl Into<String>) -> Self {
        Self { topic, state, finding: finding.into(), advice: None }
    }

    fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

fn reach(presences: Option<&Presences>) -> Check {
    match presences {
        Some(presences) => Check::new("reach", State::Ok, format!("{} lets the bridge in", presences.broker)),
        None => Check::new("reach", State::Unknown, "no broker was asked").advise("leave out `--offline`"),
    }
}

/// Quorum queues and the single active consumer came with RabbitMQ 3.8.
const QUORUM_QUEUES_SINCE: (u32, u32) = (3, 8);

fn version(patient: &Patient<'_>, site: &Site) -> Check {
    const TOPIC: &str = "version";
    let Some(text) = &site.broker_version else {
        return Check::new(TOPIC, State::Unknown, "which version of RabbitMQ it is was not seen")
            .advise("`rabbitmqctl version` shows it; 3.8 and newer have quorum queues");
    };
    let mut numbers = text.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= QUORUM_QUEUES_SINCE => {
            Check::new(TOPIC, State::Ok, format!("RabbitMQ {text}"))
        }
        (Some(Ok(_)), Some(Ok(_))) if patient.intake.queue_kind == QueueKind::Classic => {
            Check::new(TOPIC, State::Ok, format!("RabbitMQ {text}, with classic queues"))
        }
        (Some(Ok(_)), Some(Ok(_))) => {
            Check::new(TOPIC, State::Fail, format!("RabbitMQ {text} has no quorum queues"))
                .advise("set `queue_type: classic`; such queues lose their events when the broker stops")
        }
        _ => Check::new(TOPIC, State::Unknown, format!("RabbitMQ {text}, which is no known version")),
    }
}

fn rights(patient: &Patient<'_>, site: &Site) -> Check {
    const TOPIC: &str = "rights";
    let Patient { user, vhost, pattern, .. } = patient;
    let grant =
        format!("`rabbitmqctl set_permissions -p {vhost} {user} '{pattern}' '{pattern}' '{pattern}'`");
    let Some(permission) = site.permissions.iter().find(|permission| permission.user == *user) else {
        if site.shows(Aspect::Permissions) {
            let finding = format!("`{user}` has no permissions on the virtual host");
            return Check::new(TOPIC, State::Fail, finding).advise(grant);
        }
        return Check::new(TOPIC, State::Unknown, format!("what `{user}` may do was not seen"))
            .advise(format!("`rabbitmqctl list_user_permissions {user}` shows it; what is needed: {grant}"));
    };
    let mut missing: BTreeMap<Right, Vec<String>> = BTreeMap::new();
    for (right, name) in rights::needed(&patient.topologies()) {
        let granted = match right {
            Right::Configure => &permission.configure,
            Right::Write => &permission.write,
            Right::Read => &permission.read,
        };
        match (patient.covers)(granted, &name) {
            Some(true) => {}
            Some(false) => missing.entry(right).or_default().push(format!("`{name}`")),
            None => {
                let finding = format!("the pattern `{granted}` of `{user}` cannot be read here");
                return Check::new(TOPIC, State::Unknown, finding).advise(format!("what is needed: {grant}"));
            }
        }
    }
    if missing.is_empty() {
        let finding = format!("`{user}` may configure, write and read all that the bridge needs");
        return Check::new(TOPIC, State::Ok, finding);
    }
    let missing: Vec<String> =
        missing.iter().map(|(right, names)| format!("{} {}", right.word(), names.join(", "))).collect();
    Check::new(TOPIC, State::Fail, format!("`{user}` may not {}", missing.join("; nor "))).advise(grant)
}

fn alarms(site: &Site) -> Check {
    const TOPIC: &str = "alarms";
    if !site.alarms.is_empty() {
        let alarms: Vec<String> =
            site.alarms.iter().map(|alarm| format!("{} on {}", alarm.resource.word(), alarm.node)).collect();
        let finding = format!("the broker takes no messages: {}", alarms.join(", "));
        return Check::new(TOPIC, State::Fail, finding)
            .advise("free what has run out; `rabbitmq-diagnostics alarms` tells more");
    }
    if site.shows(Aspect::Alarms) {
        return Check::new(TOPIC, State::Ok, "none");
    }
    Check::new(TOPIC, State::Unknown, "whether an alarm is on was not seen")
        .advise("`rabbitmq-diagnostics alarms` shows it")
}
