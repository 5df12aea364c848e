//! What the management API answers, as a site. Every field may be missing: versions differ, statistics may be turned
//! off, and an account sees only what it has the right to see.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::row::{BindingFields, Missing, Row};
use super::{Alarm, Aspect, Connection, Consumer, Gap, Resource, Site};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Question {
    /// The version, and which statistics are kept.
    Overview,
    /// Who is asking, with which rights.
    Whoami,
    /// The exchanges of a virtual host.
    Exchanges,
    /// Its queues.
    Queues,
    /// Its bindings.
    Bindings,
    /// Its consumers.
    Consumers,
    /// The connections to the broker.
    Connections,
    /// The nodes, with their alarms.
    Nodes,
    /// What accounts may do on the virtual host.
    Permissions,
}

impl Question {
    /// All of them, in the order in which they are asked: the first tells whether a management API answers at all.
    pub const ALL: [Self; 9] = [
        Self::Overview,
        Self::Whoami,
        Self::Exchanges,
        Self::Queues,
        Self::Bindings,
        Self::Consumers,
        Self::Connections,
        Self::Nodes,
        Self::Permissions,
    ];

    /// What follows `/api/`, for a virtual host that is encoded for it. Only the fields that are read are asked for.
    #[must_use]
    pub fn path(self, vhost: &str) -> String {
        match self {
            Self::Overview => "overview".into(),
            Self::Whoami => "whoami".into(),
            Self::Exchanges => format!(
                "exchanges/{vhost}?columns=name,type,durable,auto_delete,internal,arguments,message_stats.publish_in"
            ),
            Self::Queues => format!(
                "queues/{vhost}?columns=name,durable,auto_delete,exclusive,arguments,messages,consumers"
            ),
            Self::Bindings => {
                format!("bindings/{vhost}?columns=source,destination,destination_type,routing_key,arguments")
            }
            Self::Consumers => format!("consumers/{vhost}"),
            Self::Connections => {
                "connections?columns=name,user,vhost,peer_host,peer_port,client_properties,user_provided_name"
                    .into()
            }
            Self::Nodes => "nodes?columns=name,mem_alarm,disk_free_alarm".into(),
            Self::Permissions => format!("vhosts/{vhost}/permissions"),
        }
    }

    /// Whether nothing can be said of a site without the answer. Without the others, there is a gap.
    #[must_use]
    pub const fn is_essential(self) -> bool {
        matches!(self, Self::Overview | Self::Exchanges | Self::Queues | Self::Bindings)
    }
}

/// What a status of HTTP means for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The answer follows.
    Answered,
    /// The account has no right to ask this, or the broker does not know it: there is a gap.
    Gap,
    /// The account is not let in.
    Denied,
    /// There is no such virtual host.
    NoSuchVhost,
    /// The broker is in trouble.
    Failing,
    /// This is no management API.
    Unexpected,
}

impl Meaning {
    /// What this status means as the answer to this question.
    #[must_use]
    pub const fn of(question: Question, status: u16) -> Self {
        match (status, question) {
            (200, _) => Self::Answered,
            (400..=405 | 503, question) if !question.is_essential() => Self::Gap,
            (401 | 403, _) => Self::Denied,
            (404, Question::Exchanges | Question::Queues | Question::Bindings) => Self::NoSuchVhost,
            (500..=599, _) => Self::Failing,
            _ => Self::Unexpected,
        }
    }

    /// The same where one queue is asked for by name: there is a gap where there is none.
    #[must_use]
    pub const fn of_queue(status: u16) -> Self {
        match status {
            404 => Self::Gap,
            status => Self::of(Question::Queues, status),
        }
    }
}

/// An answer of the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// What should be JSON.
    Body(Vec<u8>),
    /// The account has no right to ask this, or this broker does not know the question.
    Refused,
}

/// An answer that is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer to `{asked}` is not what the management API answers: {problem}")]
pub struct Unexpected {
    /// What was asked for: a path.
    pub asked: String,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with an answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is none.
    #[error("nothing was answered")]
    NoAnswer,
    /// It ends in the middle.
    #[error("it breaks off after {bytes} bytes")]
    BreaksOff {
        /// How long it is.
        bytes: usize,
    },
    /// It is no JSON.
    #[error("it is no JSON")]
    NotJson,
    /// It is JSON of another shape.
    #[error("it is no {wanted}")]
    NotA {
        /// What it should be.
        wanted: &'static str,
    },
    /// An object without what makes it one.
    #[error(transparent)]
    Missing(#[from] Missing),
}

/// The site that these answers show.
///
/// # Errors
/// When an answer is not what was asked for.
pub fn site(vhost: &str, source: &str, answers: &BTreeMap<Question, Answer>) -> Result<Site, Unexpected> {
    let reader = Reader { vhost, source, answers };
    let overview = reader.object(Question::Overview)?;
    let overview = Row(&overview);
    let mut site = Site {
        vhost: Some(vhost.to_owned()),
        broker_version: overview.text("rabbitmq_version").or_else(|| overview.text("product_version")),
        exchanges: reader.rows(Question::Exchanges, |row| row.exchange())?.into_iter().flatten().collect(),
        queues: reader.rows(Question::Queues, |row| row.queue())?,
        bindings: reader
            .rows(Question::Bindings, |row| row.binding(&BindingFields::PLAIN))?
            .into_iter()
            .flatten()
            .collect(),
        consumers: reader.rows(Question::Consumers, consumer)?,
        connections: reader.rows(Question::Connections, connection)?,
        alarms: reader.rows(Question::Nodes, alarms)?.into_iter().flatten().collect(),
        permissions: reader.rows(Question::Permissions, |row| row.permission())?,
        ..Site::default()
    };
    site.gaps = reader.gaps(&overview)?;
    Ok(site)
}

struct Reader<'a> {
    vhost: &'a str,
    source: &'a str,
    answers: &'a BTreeMap<Question, Answer>,
}

impl Reader<'_> {
    fn unexpected(&self, question: Question, problem: impl Into<Problem>) -> Unexpected {
        let path = question.path("VHOST");
        let asked = format!("/api/{}", path.split('?').next().unwrap_or_default());
        Unexpected { asked, problem: problem.into() }
    }

    /// The answer; none where it was refused.
    fn json(&self, question: Question) -> Result<Option<Json>, Unexpected> {
        match self.answers.get(&question) {
            Some(Answer::Body(body)) => {
                let parsed = serde_json::from_slice(body).map(Some);
                parsed.map_err(|error| {
                    let problem = match error.is_eof() {
                        true if body.is_empty() => Problem::NoAnswer,
                        true => Problem::BreaksOff { bytes: body.len() },
                        false => Problem::NotJson,
                    };
                    self.unexpected(question, problem)
                })
            }
            Some(Answer::Refused) if !question.is_essential() => Ok(None),
            _ => Err(self.unexpected(question, Problem::NoAnswer)),
        }
    }

    fn object(&self, question: Question) -> Result<Map<String, Json>, Unexpected> {
        match self.json(question)? {
            Some(Json::Object(object)) => Ok(object),
            None => Ok(Map::new()),
            Some(_) => Err(self.unexpected(question, Problem::NotA { wanted: "object" })),
        }
    }

    /// What each row of a list that is of this virtual host comes to.
    fn rows<T>(
        &self,
        question: Question,
        read: impl Fn(&Row<'_>) -> Result<T, Missing>,
    ) -> Result<Vec<T>, Unexpected> {
        let not_a_list = || self.unexpected(question, Problem::NotA { wanted: "list of objects" });
        let rows = match self.json(question)? {
            Some(Json::Array(rows)) => rows,
            None => return Ok(Vec::new()),
            Some(_) => return Err(not_a_list()),
        };
        let mut read_rows = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = Row(row.as_object().ok_or_else(not_a_list)?);
            if row.is_of(Some(self.vhost)) {
                read_rows.push(read(&row).map_err(|missing| self.unexpected(question, missing))?);
            }
        }
        Ok(read_rows)
    }

    fn gaps(&self, overview: &Row<'_>) -> Result<Vec<Gap>, Unexpected> {
        let mut gaps = Vec::new();
        let mut gap = |aspect, what: &str| {
            gaps.push(Gap { aspect, what: what.to_owned(), source: self.source.to_owned() });
        };
        let whoami = self.object(Question::Whoami)?;
        let sees_others = sees_others(&whoami);
        for (question, aspect, what) in [
            (Question::Consumers, Aspect::Consumers, "consumers"),
            (Question::Connections, Aspect::Connections, "connections"),
        ] {
            if self.answers.get(&question) == Some(&Answer::Refused) {
                gap(aspect, what);
            } else if !sees_others {
                gap(aspect, &format!("{what} of other accounts, for which the tag `monitoring` is needed"));
            }
        }
        if self.answers.get(&Question::Nodes) == Some(&Answer::Refused) {
            gap(Aspect::Alarms, "alarms, for which the tag `monitoring` is needed");
        }
        if self.answers.get(&Question::Permissions) == Some(&Answer::Refused) {
            gap(Aspect::Permissions, "permissions, for which the tag `administrator` is needed");
        }
        if overview.flag("disable_stats") == Some(true)
            || overview.text("rates_mode").as_deref() == Some("none")
        {
            gap(Aspect::Traffic, "how much is published, for this broker keeps no statistics");
        }
        Ok(gaps)
    }
}

/// Whether the account sees connections of others. Versions before 3.9 write tags as one text.
fn sees_others(whoami: &Map<String, Json>) -> bool {
    let is_enough = |tag: &str| ["administrator", "monitoring"].contains(&tag.trim());
    match whoami.get("tags") {
        Some(Json::Array(tags)) => tags.iter().filter_map(Json::as_str).any(is_enough),
        Some(Json::String(tags)) => tags.split(',').any(is_enough),
        _ => false,
    }
}

fn consumer(row: &Row<'_>) -> Result<Consumer, Missing> {
    let missing = Missing { list: "consumers", field: "queue" };
    Ok(Consumer {
        queue: row.object("queue").and_then(|queue| queue.name()).ok_or(missing)?,
        tag: row.text("consumer_tag"),
        connection: row.object("channel_details").and_then(|channel| channel.text("connection_name")),
        acks: row.flag("ack_required"),
    })
}

fn connection(row: &Row<'_>) -> Result<Connection, Missing> {
    Ok(row.connection(row.needed("connections", "name")?, row.text("peer_host")))
}

fn alarms(row: &Row<'_>) -> Result<Vec<Alarm>, Missing> {
    let node = row.needed("nodes", "name")?;
    let on = [("mem_alarm", Resource::Memory), ("disk_free_alarm", Resource::Disk)];
    let on = on.into_iter().filter(|(field, _)| row.flag(field) == Some(true));
    Ok(on.map(|(_, resource)| Alarm { node: node.clone(), resource }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// As RabbitMQ 3.10.8 answers, shortened.
    fn answers() -> BTreeMap<Question, Answer> {
        let answers = [
            (
                Question::Overview,
                json!({"rabbitmq_version": "3.10.8", "rates_mode": "basic", "disable_stats": false}),
            ),
            (Question::Whoami, json!({"name": "guest", "tags": ["administrator"]})),
            (
                Question::Exchanges,
                json!([
                    {"arguments": {}, "auto_delete": false, "durable": true, "internal": false, "name": "", "type": "direct"},
                    {"arguments": {"alternate-exchange": "amq.fanout"}, "auto_delete": false, "durable": true,
                     "internal": false, "message_stats": {"publish_in": 20}, "name": "xivo", "type": "topic"},
                ]),
            ),
            (
                Question::Queues,
                json!([{"arguments": {}, "auto_delete": false, "consumers": 1, "durable": false, "exclusive": true,
                        "messages": 0, "name": "amq.gen-1"}]),
            ),
            (
                Question::Bindings,
                json!([
                    {"source": "", "destination": "amq.gen-1", "destination_type": "queue", "routing_key": "amq.gen-1",
                     "arguments": {}},
                    {"source": "xivo", "destination": "amq.gen-1", "destination_type": "queue", "routing_key": "#",
                     "arguments": {"n": 1}},
                ]),
            ),
            (
                Question::Consumers,
                json!([{"ack_required": true, "channel_details": {"connection_name": "c"}, "consumer_tag": "t",
                        "queue": {"name": "amq.gen-1", "vhost": "/"}}]),
            ),
            (
                Question::Connections,
                json!([
                    {"name": "c", "user": "guest", "vhost": "/", "peer_host": "127.0.0.1", "peer_port": 48934,
                     "client_properties": {"product": "Pika Python Client Library", "version": "0.9.14",
                                           "platform": "Python 2.7.18", "connection_name": "wallboard"}},
                    {"name": "d", "vhost": "other"},
                ]),
            ),
            (Question::Nodes, json!([{"name": "rabbit@pbx", "mem_alarm": true, "disk_free_alarm": false}])),
            (
                Question::Permissions,
                json!([{"user": "guest", "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}]),
            ),
        ];
        answers
            .into_iter()
            .map(|(question, body)| (question, Answer::Body(body.to_string().into())))
            .collect()
    }

    fn read(changes: &[(Question, &str)]) -> Result<Site, Unexpected> {
        let mut answers = answers();
        for (question, body) in changes {
            answers.insert(*question, Answer::Body((*body).into()));
        }
        site("/", "http://pbx:15672", &answers)
    }

    #[test]
    fn the_answers_of_an_administrator_leave_no_gap() {
        let site = read(&[]).unwrap();
        assert_eq!(site.gaps, []);
        assert_eq!(site.broker_version.as_deref(), Some("3.10.8"));
        assert_eq!((site.exchanges.len(), site.exchanges[0].published), (1, Some(20)));
        assert_eq!(site.queues[0].exclusive, Some(true));
        assert_eq!((site.bindings.len(), &site.bindings[0].arguments["n"]), (1, &json!(1)));
        assert_eq!(site.consumers[0].connection.as_deref(), Some("c"));
        assert_eq!(site.connections.len(), 1);
        assert_eq!(site.connections[0].library_version.as_deref(), Some("0.9.14"));
        assert_eq!(site.connections[0].client_name.as_deref(), Some("wallboard"));
        assert_eq!(site.alarms, [Alarm { node: "rabbit@pbx".into(), resource: Resource::Memory }]);
        assert_eq!(site.permissions.len(), 1);
    }

    #[test]
    fn an_account_with_fewer_rights_leaves_gaps() {
        let mut answers = answers();
        answers.insert(Question::Whoami, Answer::Body(br#"{"tags": "management"}"#.to_vec()));
        answers.insert(Question::Nodes, Answer::Refused);
        answers.insert(Question::Permissions, Answer::Refused);
        let site = site("/", "api", &answers).unwrap();
        let gaps: Vec<_> = site.gaps.iter().map(|gap| gap.aspect).collect();
        assert_eq!(gaps, [Aspect::Consumers, Aspect::Connections, Aspect::Alarms, Aspect::Permissions]);
        for tags in
            [r#"{"tags": "administrator"}"#, r#"{"tags": "a,monitoring"}"#, r#"{"tags": ["monitoring"]}"#]
        {
            assert!(read(&[(Question::Whoami, tags)]).unwrap().shows(Aspect::Connections), "{tags}");
        }
    }

    #[test]
    fn a_status_means_less_where_the_question_is_not_essential() {
        for (question, status, meaning) in [
            (Question::Nodes, 200, Meaning::Answered),
            (Question::Nodes, 401, Meaning::Gap),
            (Question::Whoami, 404, Meaning::Gap),
            (Question::Connections, 503, Meaning::Gap),
            (Question::Connections, 500, Meaning::Failing),
            (Question::Overview, 401, Meaning::Denied),
            (Question::Bindings, 403, Meaning::Denied),
            (Question::Bindings, 404, Meaning::NoSuchVhost),
            (Question::Overview, 404, Meaning::Unexpected),
            (Question::Overview, 302, Meaning::Unexpected),
            (Question::Queues, 503, Meaning::Failing),
        ] {
            assert_eq!(Meaning::of(question, status), meaning, "{question:?} {status}");
        }
        for (status, meaning) in [
            (200, Meaning::Answered),
            (404, Meaning::Gap),
            (401, Meaning::Denied),
            (500, Meaning::Failing),
            (302, Meaning::Unexpected),
        ] {
            assert_eq!(Meaning::of_queue(status), meaning, "a queue: {status}");
        }
    }

    #[test]
    fn every_attribute_may_be_missing_or_of_another_type() {
        let site = read(&[
            (Question::Overview, "{}"),
            (
                Question::Exchanges,
                r#"[{"name": "xivo", "type": "topic", "durable": 7, "message_stats": []}]"#,
            ),
            (Question::Queues, r#"[{"name": "q", "arguments": [], "messages": "many"}]"#),
            (Question::Consumers, r#"[{"queue": {"name": "q"}, "channel_details": []}]"#),
            (Question::Connections, r#"[{"name": "c", "client_properties": [], "peer_port": 99999}]"#),
            (Question::Nodes, r#"[{"name": "n"}]"#),
        ])
        .unwrap();
        assert_eq!(
            (site.broker_version, site.exchanges[0].durable, site.exchanges[0].published),
            (None, None, None)
        );
        assert_eq!((site.queues[0].messages, site.connections[0].peer_port), (None, None));
        assert!(site.alarms.is_empty());
    }

    #[test]
    fn a_broker_without_statistics_leaves_a_gap() {
        for overview in [r#"{"disable_stats": true}"#, r#"{"rates_mode": "none"}"#] {
            assert!(!read(&[(Question::Overview, overview)]).unwrap().shows(Aspect::Traffic), "{overview}");
        }
    }

    #[test]
    fn an_answer_that_is_not_what_was_asked_for_is_an_error() {
        let not_a = |wanted| Problem::NotA { wanted };
        for (question, body, problem) in [
            (Question::Overview, "", Problem::NoAnswer),
            (Question::Overview, "[]", not_a("object")),
            (Question::Exchanges, "<html>", Problem::NotJson),
            (Question::Exchanges, "{}", not_a("list of objects")),
            (Question::Bindings, "[1]", not_a("list of objects")),
            (Question::Queues, "[{\"na", Problem::BreaksOff { bytes: 5 }),
            (Question::Queues, "[{}]", Missing { list: "queues", field: "name" }.into()),
            (Question::Consumers, "[{}]", Missing { list: "consumers", field: "queue" }.into()),
            (Question::Nodes, "null", not_a("list of objects")),
        ] {
            let error = read(&[(question, body)]).unwrap_err();
            assert_eq!(error.problem, problem, "{body}");
        }
        let error = read(&[(Question::Bindings, "x")]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the answer to `/api/bindings/VHOST` is not what the management API answers: it is no JSON"
        );
        let mut answers = answers();
        answers.insert(Question::Bindings, Answer::Refused);
        assert_eq!(site("/", "api", &answers).unwrap_err().problem, Problem::NoAnswer);
        answers.remove(&Question::Bindings);
        assert!(site("/", "api", &answers).is_err());
    }
}
