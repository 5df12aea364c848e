//! Translation of one message, in both directions. Everything the bridge decides about a message is decided here.

use std::borrow::Cow;

use serde_json::value::RawValue;

mod data;
mod probe;
mod words;

use data::{Towards, legacy_body, map_data, map_value, push_field, single};
use words::{MAX_ACL_BYTES, MAX_KEY_BYTES, Values, limit, render_name};

use super::catalog::{Catalog, Entry, Found};
use super::envelope::{Envelope, Fields, elements_of, json_text, text_of};
use super::message::{
    HeaderValue, MARK_HEADER, Mark, Outcome, Properties, Publication, Reason, Received, Refusal,
    is_reserved_header,
};
use super::probe::PROBE_EVENT;
use super::rule::{DEFAULT_LEGACY_EXCHANGE, HeaderTemplate, Modern, ModernFace, Rebuilt};
use super::settings::{Listen, OriginUuid, Settings, UnknownEvents, is_id};

/// As many legacy events may be rebuilt from one modern event: a user has a few lines, a hostile event millions.
const MAX_EVENTS: usize = 256;
/// The longest mark that is read, in bytes; a longer one was not written by a bridge.
const MAX_MARK_BYTES: usize = 2048;

/// Translates between the two forms at one version of the platform.
#[derive(Debug, Clone)]
pub struct Translator {
    catalog: Catalog,
    settings: Settings,
}

/// Why something cannot be translated, before the rule is named.
type Failure = (Reason, String);

impl Translator {
    /// A translator with these rules.
    #[must_use]
    pub const fn new(catalog: Catalog, settings: Settings) -> Self {
        Self { catalog, settings }
    }

    /// The rules.
    #[must_use]
    pub const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The settings.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Whether the legacy side is listened to for this event.
    #[must_use]
    pub fn listens_for(&self, name: &str, entry: &Entry) -> bool {
        match &self.settings.listen {
            Listen::Nothing => false,
            Listen::All => true,
            Listen::Also(names) => entry.rule.legacy.listen || names.contains(name),
        }
    }

    /// What becomes of a message from the modern exchange.
    #[must_use]
    pub fn to_legacy<'t>(&'t self, message: &Received<'_>) -> Outcome<'t> {
        let (event, mark) = match self.read(message) {
            Ok(read) => read,
            Err(outcome) => return outcome,
        };
        if event.name == PROBE_EVENT {
            return self.probed(Towards::Legacy, &event, mark, message);
        }
        let mut publications = Vec::with_capacity(2);
        let found = self.catalog.by_modern_name(&event.name);
        let main = match &found {
            Some(found) => self
                .legacy_form(found, &event, &mark, &mut publications)
                .map_err(|failure| refused(failure, Some(&found.entry.label))),
            None => match self.settings.unknown_events {
                UnknownEvents::Pass => {
                    publications.push(self.generic_legacy_form(&event, &mark));
                    Ok(())
                }
                UnknownEvents::Quarantine => {
                    return refused((Reason::UnknownEvent, "no rule for this event".into()), None);
                }
                UnknownEvents::Drop => Ok(()),
            },
        };
        if let Err(outcome) = main {
            return outcome;
        }
        let mut failed = None;
        for entry in self.catalog.rebuilt_from(&event.name) {
            let Some(from) = &entry.rule.rebuilt_from else { continue };
            let before = publications.len();
            if let Err((reason, detail)) = self.rebuild(entry, from, event.data, &mark, &mut publications) {
                publications.truncate(before);
                failed.get_or_insert(Refusal { reason, detail, rule: Some(&entry.label) });
            }
        }
        // The event's own form needs no rule to be right: it goes out, whatever cannot be made of it besides.
        if let Some(refusal) = failed {
            return if publications.is_empty() {
                Outcome::Refused(refusal)
            } else {
                Outcome::Partly(publications, refusal)
            };
        }
        if publications.is_empty() { Outcome::Dropped } else { Outcome::Publish(publications) }
    }

    fn legacy_form<'t>(
        &'t self,
        found: &Found<'t, '_>,
        event: &Envelope<'_>,
        mark: &HeaderValue<'t>,
        publications: &mut Vec<Publication<'t>>,
    ) -> Result<(), Failure> {
        let Found { entry, parameters } = found;
        let name = render_name(&entry.name, parameters)?;
        let mapping = entry.modern.as_ref().map_or(&[][..], |face| &face.data);
        let data = map_data(event.data, mapping, Towards::Legacy)?;
        let body = legacy_body(&name, &data);
        self.address(entry, parameters, body, mark, publications)
    }

    fn generic_legacy_form<'t>(&'t self, event: &Envelope<'_>, mark: &HeaderValue<'t>) -> Publication<'t> {
        Publication {
            exchange: DEFAULT_LEGACY_EXCHANGE,
            routing_key: Cow::Owned(event.name.clone().into_owned()),
            properties: self.legacy_properties(None, mark),
            body: legacy_body(&event.name, event.data.get()),
        }
    }

    fn rebuild<'t>(
        &'t self,
        entry: &'t Entry,
        from: &Rebuilt,
        data: &RawValue,
        mark: &HeaderValue<'t>,
        publications: &mut Vec<Publication<'t>>,
    ) -> Result<(), Failure> {
        let fields =
            || Fields::of(data).ok_or_else(|| (Reason::BadField, "`data` is not an object".to_owned()));
        let sources = match &from.each {
            None => vec![fields()?],
            Some(array) => {
                let not_a_list = || (Reason::BadField, format!("`{array}` is not a list of objects"));
                let elements = elements_of(single(&fields()?, array)?).ok_or_else(not_a_list)?;
                if elements.len() > MAX_EVENTS {
                    let detail =
                        format!("{} events would come of it, more than {MAX_EVENTS}", elements.len());
                    return Err((Reason::TooManyEvents, detail));
                }
                elements
                    .into_iter()
                    .map(|element| Fields::of(element).ok_or_else(not_a_list))
                    .collect::<Result<_, _>>()?
            }
        };
        let name = render_name(&entry.name, &[])?;
        for source in &sources {
            let mut data = String::from("{");
            for field in &from.data {
                let value = map_value(field, single(source, &field.modern)?, Towards::Legacy)?;
                push_field(&mut data, &field.legacy, &value);
            }
            data.push('}');
            self.address(entry, &[], legacy_body(&name, &data), mark, publications)?;
        }
        Ok(())
    }

    /// Publishes a legacy event at all the addresses of its rule.
    fn address<'t>(
        &'t self,
        entry: &'t Entry,
        parameters: &[(&str, &str)],
        body: Vec<u8>,
        mark: &HeaderValue<'t>,
        publications: &mut Vec<Publication<'t>>,
    ) -> Result<(), Failure> {
        let mut body = Some(body);
        let content_type = entry.rule.legacy.content_type.as_deref();
        for (at, address) in entry.addresses.iter().enumerate() {
            let last = at + 1 == entry.addresses.len();
            let routing_key = render_name(&address.routing_key, parameters)?;
            publications.push(Publication {
                exchange: &address.exchange,
                routing_key,
                properties: self.legacy_properties(content_type, mark),
                body: if last { body.take() } else { body.clone() }.unwrap_or_default(),
            });
        }
        Ok(())
    }

    fn legacy_properties<'t>(
        &'t self,
        content_type: Option<&'t str>,
        mark: &HeaderValue<'t>,
    ) -> Properties<'t> {
        Properties {
            content_type: content_type.or(self.settings.legacy_content_type.as_deref()),
            delivery_mode: self.settings.delivery_mode,
            headers: vec![(Cow::Borrowed(MARK_HEADER), mark.clone())],
            ..Properties::default()
        }
    }

    /// What becomes of a message from a legacy exchange.
    #[must_use]
    pub fn to_modern<'t>(&'t self, message: &Received<'_>) -> Outcome<'t> {
        let (event, mark) = match self.read(message) {
            Ok(read) => read,
            Err(outcome) => return outcome,
        };
        if event.name == PROBE_EVENT {
            return self.probed(Towards::Modern, &event, mark, message);
        }
        let Some(found) = self.catalog.by_legacy_name(&event.name) else {
            let detail = "no rule for this event, and its routing key and ACL cannot be guessed".into();
            return refused((Reason::UnknownEvent, detail), None);
        };
        let label = Some(found.entry.label.as_str());
        if !self.listens_for(&event.name, found.entry) {
            // Its own key: a binding that an earlier configuration left. Another key: it was smuggled in.
            let own_key = found.entry.addresses.iter().any(|address| {
                render_name(&address.routing_key, &found.parameters)
                    .is_ok_and(|key| key == message.routing_key)
            });
            if own_key {
                return Outcome::Dropped;
            }
            let detail = "came in under the routing key of another event, and is not listened for".into();
            return refused((Reason::NotListenedFor, detail), label);
        }
        match &found.entry.modern {
            None => {
                let reason = match &found.entry.rule.modern {
                    Modern::None { reason } => reason.clone(),
                    Modern::Face(_) => String::new(),
                };
                refused((Reason::RemovedEvent, reason), label)
            }
            Some(face) => match self.modern_form(face, &found, &event, mark, message) {
                Ok(publication) => Outcome::Publish(vec![publication]),
                Err(failure) => refused(failure, label),
            },
        }
    }

    fn modern_form<'t>(
        &'t self,
        face: &'t ModernFace,
        found: &Found<'t, '_>,
        event: &Envelope<'_>,
        mark: HeaderValue<'t>,
        message: &Received<'_>,
    ) -> Result<Publication<'t>, Failure> {
        let name = render_name(&face.name, &found.parameters)?;
        let values = Values::of(face, &found.parameters, event.data);
        let routing_key = face.routing_key.render(|placeholder| values.word(placeholder))?;
        limit(&routing_key, MAX_KEY_BYTES, "the routing key")?;
        let required_acl = match &face.required_acl {
            None => None,
            Some(acl) => Some(acl.render(|placeholder| values.acl_word(placeholder))?),
        };
        if let Some(acl) = &required_acl {
            limit(acl, MAX_ACL_BYTES, "the ACL")?;
        }
        let origin_uuid = self.origin_of(event)?;
        let data = map_data(event.data, &face.data, Towards::Modern)?;

        let mut body = Vec::with_capacity(data.len() + 256);
        body.extend_from_slice(b"{\"name\": ");
        body.extend_from_slice(json_text(&name).as_bytes());
        body.extend_from_slice(b", \"origin_uuid\": ");
        body.extend_from_slice(json_text(&origin_uuid).as_bytes());
        if let Some(acl) = &required_acl {
            body.extend_from_slice(b", \"required_acl\": ");
            body.extend_from_slice(json_text(acl).as_bytes());
        }
        body.extend_from_slice(b", \"data\": ");
        body.extend_from_slice(data.as_bytes());
        body.push(b'}');

        let text = |value: Cow<'t, str>| HeaderValue::Text(value);
        let mut headers =
            vec![(Cow::Borrowed("name"), text(name)), (Cow::Borrowed("origin_uuid"), text(origin_uuid))];
        headers.extend(required_acl.map(|acl| (Cow::Borrowed("required_acl"), text(acl))));
        for (key, value) in &face.headers {
            let key = key.render(|placeholder| values.word(placeholder))?;
            limit(&key, MAX_KEY_BYTES, "a header's name")?;
            if is_reserved_header(&key) || headers.iter().any(|(seen, _)| *seen == key) {
                return Err((Reason::UnsafeValue, "a value would make a header of another meaning".into()));
            }
            let value = match value {
                HeaderTemplate::Flag(flag) => HeaderValue::Flag(*flag),
                HeaderTemplate::Text(value) => text(value.render(|placeholder| values.word(placeholder))?),
            };
            headers.push((key, value));
        }
        headers.push((Cow::Borrowed(MARK_HEADER), mark));
        let kept = &message.properties;
        Ok(Publication {
            exchange: &self.settings.modern_exchange,
            routing_key,
            properties: Properties {
                content_type: Some("application/json"),
                content_encoding: Some("utf-8"),
                delivery_mode: self.settings.delivery_mode,
                message_id: kept.message_id.map(str::to_owned),
                correlation_id: kept.correlation_id.map(str::to_owned),
                timestamp: kept.timestamp,
                headers,
            },
            body,
        })
    }

    fn origin_of<'t>(&'t self, event: &Envelope<'_>) -> Result<Cow<'t, str>, Failure> {
        match event.origin_uuid.filter(|raw| raw.get() != "null") {
            None => Ok(Cow::Borrowed(self.settings.origin_uuid.as_str())),
            Some(raw) => text_of(raw)
                .and_then(|text| OriginUuid::parse(&text))
                .map(|uuid| Cow::Owned(uuid.as_str().to_owned()))
                .ok_or_else(|| (Reason::BadField, "`origin_uuid` is not the uuid of a server".into())),
        }
    }

    /// The event and the mark to publish with, or what becomes of a message that is none or was here before.
    fn read<'t, 'm>(
        &'t self,
        message: &Received<'m>,
    ) -> Result<(Envelope<'m>, HeaderValue<'t>), Outcome<'t>> {
        let mark = self.next_mark(message.properties.mark)?;
        let event = Envelope::read(message.body)
            .map_err(|unreadable| refused((unreadable.reason, unreadable.detail), None))?;
        Ok((event, mark))
    }

    /// The mark to publish with, or what becomes of a message that already carries ours.
    ///
    /// A mark that no bridge wrote counts as none: it can neither hide an event from the bridge nor
    /// stop the marks of others, for what we publish carries ours again.
    fn next_mark<'t>(&'t self, mark: Mark<'_>) -> Result<HeaderValue<'t>, Outcome<'t>> {
        let own = self.settings.bridge_id.as_str();
        let passed = match mark {
            Mark::Text(text) if text.len() <= MAX_MARK_BYTES && text.split(',').all(is_id) => text,
            Mark::Text(_) | Mark::NotText | Mark::Absent => return Ok(HeaderValue::Text(Cow::Borrowed(own))),
        };
        if passed.split(',').any(|id| id == own) {
            return Err(Outcome::Echo);
        }
        let hops = passed.split(',').count();
        if hops > self.settings.max_hops {
            let detail = format!("passed {hops} bridges, more than {}", self.settings.max_hops);
            return Err(refused((Reason::TooManyHops, detail), None));
        }
        Ok(HeaderValue::Text(Cow::Owned(format!("{passed},{own}"))))
    }
}

fn refused<'t>((reason, detail): Failure, rule: Option<&'t str>) -> Outcome<'t> {
    Outcome::Refused(Refusal { reason, detail, rule })
}

#[cfg(test)]
mod tests;
