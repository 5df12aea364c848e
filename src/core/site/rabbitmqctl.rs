//! Lists as `rabbitmqctl list_… --formatter json` writes them, recognised by their columns.
//!
//! Consumers and connections are in lists of their own, and what ties them together, the process ids of Erlang, is
//! in a third one. So all lists are gathered first, and then make one site.

use serde_json::{Map, Value as Json};

use super::file::{self, FileError, Kind};
use super::row::{BindingFields, Missing, Row};
use super::{Aspect, Connection, Consumer, Gap, Site};

mod pid;
mod term;

use pid::Pids;
use term::Term;

/// The lists to ask for, as arguments of `rabbitmqctl`. Fewer, or other columns, do too.
pub const COMMANDS: [&str; 7] = [
    "list_exchanges name type durable auto_delete internal arguments",
    "list_queues name durable auto_delete exclusive arguments messages consumers",
    "list_bindings source_name destination_name destination_kind routing_key arguments",
    "list_consumers queue_name consumer_tag channel_pid ack_required",
    "list_channels pid connection",
    "list_connections pid name user vhost peer_host peer_port client_properties",
    "list_permissions",
];

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Exchanges,
    Queues,
    Bindings,
    Consumers,
    Channels,
    Connections,
    Permissions,
}

/// Lists that make one site together.
#[derive(Debug, Default)]
pub struct Lists {
    rows: Vec<(List, Map<String, Json>)>,
    seen: Vec<List>,
}

impl Lists {
    /// Adds the lists of one file: one, or several one after the other. An empty list does not tell what it is of.
    ///
    /// # Errors
    /// When it holds something else.
    pub fn add(&mut self, text: &str) -> Result<(), FileError> {
        if text.trim().is_empty() {
            return Err(FileError::Empty);
        }
        let (banner, lists) = without_banner(text)
            .ok_or_else(|| not_json(text).unwrap_or(FileError::UnknownKind { wanted: Kind::Lists }))?;
        for term in serde_json::Deserializer::from_str(lists).into_iter::<Term>() {
            match term.map_err(|error| broken(text, &error, banner))? {
                Term::List(rows) => self.add_list(rows)?,
                Term::Pairs(fields) => {
                    let is = file::kind(fields.iter().map(|(name, _)| name));
                    return Err(match is {
                        Some(is) => FileError::OtherKind { is, wanted: Kind::Lists },
                        None => FileError::UnknownKind { wanted: Kind::Lists },
                    });
                }
                _ => return Err(FileError::UnknownKind { wanted: Kind::Lists }),
            }
        }
        Ok(())
    }

    fn add_list(&mut self, terms: Vec<Term>) -> Result<(), FileError> {
        let mut rows = Vec::with_capacity(terms.len());
        for term in terms {
            let Term::Pairs(columns) = term else {
                return Err(FileError::UnknownKind { wanted: Kind::Lists });
            };
            rows.push(row(columns)?);
        }
        let Some(list) = list(&rows)? else { return Ok(()) };
        self.seen.push(list);
        self.rows.extend(rows.into_iter().map(|row| (list, row)));
        Ok(())
    }

    /// What the lists show of this virtual host. Only the list of connections names virtual hosts; without one, it
    /// is `/` there.
    ///
    /// # Errors
    /// When a row lacks what makes it one.
    pub fn site(&self, vhost: Option<&str>, source: &str) -> Result<Site, FileError> {
        let pids = Pids::of(self.rows_of(List::Channels), self.rows_of(List::Connections));
        let mut site = Site { gaps: self.gaps(source), ..Site::default() };
        let own = vhost.or(Some("/"));
        for (list, row) in &self.rows {
            let row = Row(row);
            match list {
                List::Exchanges => site.exchanges.extend(row.exchange()?),
                List::Queues => site.queues.push(row.queue()?),
                List::Bindings => site.bindings.extend(row.binding(&BINDING)?),
                List::Consumers => site.consumers.push(consumer(&row, &pids)?),
                List::Connections if row.is_of(own) => site.connections.push(connection(&row)?),
                List::Permissions => site.permissions.push(row.permission()?),
                List::Connections | List::Channels => {}
            }
        }
        site.vhost = vhost.map(str::to_owned);
        Ok(site)
    }

    fn rows_of(&self, wanted: List) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().filter(move |(list, _)| *list == wanted).map(|(_, row)| Row(row))
    }

    fn gaps(&self, source: &str) -> Vec<Gap> {
        let mut gaps = Vec::new();
        let mut gap = |aspect, what: &str| {
            gaps.push(Gap { aspect, what: what.to_owned(), source: source.to_owned() });
        };
        let lacks = |list, column: &str| self.rows_of(list).any(|row| !row.0.contains_key(column));
        for (list, aspect, what, columns) in [
            (List::Exchanges, Aspect::Exchanges, "exchanges", &["durable", "auto_delete", "arguments"][..]),
            (List::Queues, Aspect::Queues, "queues", &["durable", "auto_delete", "exclusive", "arguments"]),
            (List::Bindings, Aspect::Bindings, "bindings", &["arguments"]),
            (List::Consumers, Aspect::Consumers, "consumers", &["channel_pid"]),
            (List::Connections, Aspect::Connections, "connections", &["client_properties"]),
            (List::Permissions, Aspect::Permissions, "permissions", &[]),
        ] {
            if !self.seen.contains(&list) {
                gap(aspect, what);
                continue;
            }
            for column in columns.iter().filter(|column| lacks(list, column)) {
                gap(aspect, &format!("the column `{column}` of the {what}"));
            }
        }
        if self.seen.contains(&List::Consumers) && !self.seen.contains(&List::Channels) {
            gap(Aspect::Consumers, "which connection a consumer has (list_channels)");
        }
        gap(Aspect::Traffic, "how much is published");
        gap(Aspect::Alarms, "alarms");
        gaps
    }
}

const BINDING: BindingFields = BindingFields {
    source: "source_name",
    destination: "destination_name",
    destination_kind: "destination_kind",
};

/// The text from its first list on, and how many lines come before. Some versions write what they do in front.
fn without_banner(text: &str) -> Option<(usize, &str)> {
    let mut start = 0;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_start().starts_with(['[', '{']) {
            return Some((number, &text[start..]));
        }
        start += line.len();
    }
    None
}

fn not_json(text: &str) -> Option<FileError> {
    let error = serde_json::from_str::<Json>(text).err()?;
    Some(FileError::of_json(&error, 0))
}

fn broken(text: &str, error: &serde_json::Error, banner: usize) -> FileError {
    let failed = text.lines().position(|line| line.starts_with("Stack trace") || line.starts_with("Error:"));
    match failed {
        Some(line) => FileError::ToolFailed { line: line + 1 },
        None => FileError::of_json(error, banner),
    }
}

/// A row as JSON, with tables of arguments as objects.
fn row(columns: Vec<(String, Term)>) -> Result<Map<String, Json>, FileError> {
    let mut row = Map::new();
    for (name, term) in columns {
        let value = match name.as_str() {
            "arguments" | "client_properties" => match term.table() {
                // Taken for none, they would make a binding match everything.
                Json::Array(rows) if !rows.is_empty() => {
                    return Err(FileError::UnknownArguments { written: Json::Array(rows).to_string() });
                }
                table => table,
            },
            _ => term.plain(),
        };
        row.insert(name, value);
    }
    Ok(row)
}

/// What the list is of; nothing if it is empty.
fn list(rows: &[Map<String, Json>]) -> Result<Option<List>, FileError> {
    let Some(first) = rows.first() else { return Ok(None) };
    let has = |column: &str| first.contains_key(column);
    let kind = first.get("type").and_then(Json::as_str).unwrap_or_default();
    let is_of_queue = ["classic", "quorum", "stream"].iter().any(|word| kind.contains(word));
    let of_queues = ["exclusive", "messages", "consumers", "messages_ready", "memory", "slave_pids"];
    Ok(Some(if has("source_name") || has("destination_name") {
        List::Bindings
    } else if has("queue_name") {
        List::Consumers
    } else if has("configure") && has("write") && has("read") {
        List::Permissions
    } else if has("connection") {
        List::Channels
    } else if ["peer_host", "peer_port", "client_properties"].iter().any(|column| has(column)) {
        List::Connections
    } else if has("name") && (is_of_queue || of_queues.iter().any(|column| has(column))) {
        List::Queues
    } else if has("name") && has("type") {
        List::Exchanges
    } else {
        let columns: Vec<String> = first.keys().map(|column| format!("`{column}`")).collect();
        return Err(FileError::UnknownList { columns: columns.join(", ") });
    }))
}

fn consumer(row: &Row<'_>, pids: &Pids) -> Result<Consumer, Missing> {
    Ok(Consumer {
        queue: row.needed("consumers", "queue_name")?,
        tag: row.text("consumer_tag"),
        connection: row.text("channel_pid").and_then(|pid| pids.connection_of(&pid)),
        acks: row.flag("ack_required"),
    })
}

fn connection(row: &Row<'_>) -> Result<Connection, Missing> {
    let name = connection_name(row).ok_or(Missing { list: "connections", field: "name" })?;
    Ok(row.connection(name, peer_host(row)))
}

/// The broker's name for a connection, or address and port of the other end.
fn connection_name(row: &Row<'_>) -> Option<String> {
    row.text("name").or_else(|| Some(format!("{}:{}", peer_host(row)?, row.count("peer_port")?)))
}

/// An address: a text, or its numbers.
fn peer_host(row: &Row<'_>) -> Option<String> {
    // `core` of the language, not of this program: addresses as values, without the sockets of `std`.
    use ::core::net::{Ipv4Addr, Ipv6Addr};
    let Some(Json::Array(numbers)) = row.0.get("peer_host") else { return row.text("peer_host") };
    let numbers: Option<Vec<u16>> =
        numbers.iter().map(|number| number.as_u64().and_then(|number| u16::try_from(number).ok())).collect();
    match *numbers? {
        [a, b, c, d] => {
            let byte = |number: u16| u8::try_from(number).ok();
            Some(Ipv4Addr::new(byte(a)?, byte(b)?, byte(c)?, byte(d)?).to_string())
        }
        [a, b, c, d, e, f, g, h] => Some(Ipv6Addr::new(a, b, c, d, e, f, g, h).to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
