//! One object of a list, as every source has it: a JSON object whose fields may all be missing.

use serde_json::{Map, Value as Json};

use super::{Arguments, Binding, Connection, Destination, Exchange, Permission, Queue};

/// A field that an object cannot do without is not there, or is something else.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no `{field}` in a row of the {list}")]
pub struct Missing {
    /// What the list is of.
    pub list: &'static str,
    /// The field.
    pub field: &'static str,
}

/// An object with fields.
pub(super) struct Row<'j>(pub &'j Map<String, Json>);

impl Row<'_> {
    pub fn text(&self, field: &str) -> Option<String> {
        // The broker writes this word where it has no value.
        self.0.get(field)?.as_str().filter(|text| *text != "undefined").map(str::to_owned)
    }

    pub fn needed(&self, list: &'static str, field: &'static str) -> Result<String, Missing> {
        let text = self.0.get(field).and_then(Json::as_str);
        text.map(str::to_owned).ok_or(Missing { list, field })
    }

    /// The name, which is one like others even where it is `undefined`.
    pub fn name(&self) -> Option<String> {
        self.0.get("name")?.as_str().map(str::to_owned)
    }

    pub fn flag(&self, field: &str) -> Option<bool> {
        match self.0.get(field)? {
            Json::Bool(flag) => Some(*flag),
            // `rabbitmqctl` of some versions quotes atoms.
            Json::String(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub fn count(&self, field: &str) -> Option<u64> {
        self.0.get(field)?.as_u64()
    }

    /// An object within; an empty one may be written as `[]`.
    pub fn object(&self, field: &str) -> Option<Row<'_>> {
        self.0.get(field)?.as_object().map(Row)
    }

    pub fn arguments(&self, field: &str) -> Arguments {
        let pairs = self.object(field).into_iter().flat_map(|row| row.0.iter());
        pairs.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Whether the object is of this virtual host. Where one virtual host was asked for, objects may not name it.
    pub fn is_of(&self, vhost: Option<&str>) -> bool {
        match (self.0.get("vhost").and_then(Json::as_str), vhost) {
            (Some(own), Some(vhost)) => own == vhost,
            _ => true,
        }
    }

    /// The exchange; none for the nameless one, which every broker has.
    pub fn exchange(&self) -> Result<Option<Exchange>, Missing> {
        const LIST: &str = "exchanges";
        let name = self.needed(LIST, "name")?;
        if name.is_empty() {
            return Ok(None);
        }
        Ok(Some(Exchange {
            name,
            kind: self.needed(LIST, "type")?,
            durable: self.flag("durable"),
            auto_delete: self.flag("auto_delete"),
            internal: self.flag("internal"),
            arguments: self.arguments("arguments"),
            published: self.object("message_stats").and_then(|stats| stats.count("publish_in")),
        }))
    }

    pub fn queue(&self) -> Result<Queue, Missing> {
        Ok(Queue {
            name: self.needed("queues", "name")?,
            durable: self.flag("durable"),
            auto_delete: self.flag("auto_delete"),
            exclusive: self.flag("exclusive"),
            arguments: self.arguments("arguments"),
            messages: self.count("messages"),
            consumers: self.count("consumers"),
        })
    }

    /// The binding, by the names that the source has for its fields; none from the nameless exchange.
    pub fn binding(&self, fields: &BindingFields) -> Result<Option<Binding>, Missing> {
        const LIST: &str = "bindings";
        let source = self.needed(LIST, fields.source)?;
        if source.is_empty() {
            return Ok(None);
        }
        let name = self.needed(LIST, fields.destination)?;
        let destination = match self.needed(LIST, fields.destination_kind)?.as_str() {
            "queue" => Destination::Queue(name),
            "exchange" => Destination::Exchange(name),
            _ => return Err(Missing { list: LIST, field: fields.destination_kind }),
        };
        let key = self.needed(LIST, "routing_key")?;
        Ok(Some(Binding { source, destination, key, arguments: self.arguments("arguments") }))
    }

    /// The connection of this name, with what the client library says of itself.
    pub fn connection(&self, name: String, peer_host: Option<String>) -> Connection {
        let properties = self.object("client_properties");
        let property = |name: &str| properties.as_ref().and_then(|properties| properties.text(name));
        Connection {
            name,
            client_name: self.text("user_provided_name").or_else(|| property("connection_name")),
            user: self.text("user"),
            peer_host,
            peer_port: self.count("peer_port").and_then(|port| u16::try_from(port).ok()),
            library: property("product"),
            library_version: property("version"),
            platform: property("platform"),
        }
    }

    pub fn permission(&self) -> Result<Permission, Missing> {
        let needed = |field| self.needed("permissions", field);
        Ok(Permission {
            user: needed("user")?,
            configure: needed("configure")?,
            write: needed("write")?,
            read: needed("read")?,
        })
    }
}

/// What a source calls the fields of a binding.
pub(super) struct BindingFields {
    pub source: &'static str,
    pub destination: &'static str,
    pub destination_kind: &'static str,
}

impl BindingFields {
    /// In the management API and in exported definitions.
    pub const PLAIN: Self =
        Self { source: "source", destination: "destination", destination_kind: "destination_type" };
}
