//! Values from messages as words of routing keys, ACLs and headers: text never becomes structure.

use std::borrow::Cow;
use std::cell::OnceCell;

use serde_json::value::RawValue;

use super::Failure;
use super::data::{Towards, map_value, single};
use crate::core::envelope::{Fields, elements_of, text_of};
use crate::core::message::Reason;
use crate::core::rule::{FieldMapping, HeaderTemplate, ModernFace};
use crate::core::template::{Placeholder, Template, Words};

/// The longest routing key, in bytes (AMQP 0-9-1, short string).
pub(super) const MAX_KEY_BYTES: usize = 255;
/// The longest ACL that is published, in bytes; documented ones stay far below.
pub(super) const MAX_ACL_BYTES: usize = 1024;

/// The values of the placeholders in the modern face of an event.
pub(super) struct Values<'v> {
    parameters: &'v [(&'v str, &'v str)],
    /// The face, and the legacy `data`.
    event: Option<(&'v ModernFace, &'v RawValue)>,
    /// What the face needs of `data`, unless that is no object. Many need nothing, so it is read when the first is asked for.
    fields: OnceCell<Option<Fields<'v>>>,
}

impl<'v> Values<'v> {
    pub(super) const fn of(
        face: &'v ModernFace,
        parameters: &'v [(&'v str, &'v str)],
        data: &'v RawValue,
    ) -> Self {
        Self { parameters, event: Some((face, data)), fields: OnceCell::new() }
    }

    const fn of_parameters(parameters: &'v [(&'v str, &'v str)]) -> Self {
        Self { parameters, event: None, fields: OnceCell::new() }
    }

    /// The value as a word of a routing key: text from a message never becomes structure.
    pub(super) fn word(&self, placeholder: &Placeholder) -> Result<Cow<'_, str>, Failure> {
        let value = self.value(placeholder)?;
        let safe = match placeholder.words {
            Words::One => is_one_word(&value),
            Words::Several => value.split('.').all(is_one_word),
        };
        if safe { Ok(value) } else { Err((Reason::UnsafeValue, unsafe_value(placeholder))) }
    }

    /// The same for an ACL, where `me` and `my_session` stand for whoever asks.
    pub(super) fn acl_word(&self, placeholder: &Placeholder) -> Result<Cow<'_, str>, Failure> {
        let value = self.word(placeholder)?;
        if value.split('.').any(|word| matches!(word, "me" | "my_session")) {
            return Err((Reason::UnsafeValue, unsafe_value(placeholder)));
        }
        Ok(value)
    }

    fn value(&self, placeholder: &Placeholder) -> Result<Cow<'_, str>, Failure> {
        if let Some((_, value)) = self.parameters.iter().find(|(name, _)| *name == placeholder.name) {
            return Ok(Cow::Borrowed(value));
        }
        let mapping = self.event.and_then(|(face, _)| mapping_of(face, placeholder));
        let name = legacy_name(mapping, placeholder);
        let Some(fields) = self.fields.get_or_init(|| self.event.and_then(needed)) else {
            return Err((Reason::BadField, format!("no `{name}`: `data` is not an object")));
        };
        let bad = |what: &str| (Reason::BadField, format!("`{name}` is not {what}"));
        let raw = single(fields, name)?;
        let raw = match placeholder.index {
            None => raw,
            Some(index) => {
                let elements = elements_of(raw).ok_or_else(|| bad("a list"))?;
                elements.get(index).copied().ok_or_else(|| bad("a list that long"))?
            }
        };
        let written = match mapping {
            Some(field) => map_value(field, raw, Towards::Modern)?,
            None => Cow::Borrowed(raw.get()),
        };
        scalar_text(&written).ok_or_else(|| bad("a text or a whole number"))
    }
}

fn mapping_of<'v>(face: &'v ModernFace, placeholder: &Placeholder) -> Option<&'v FieldMapping> {
    face.data.iter().find(|field| field.modern == placeholder.name)
}

/// What the field of a placeholder is called in the legacy `data`.
fn legacy_name<'v>(mapping: Option<&'v FieldMapping>, placeholder: &'v Placeholder) -> &'v str {
    mapping.map_or(placeholder.name.as_str(), |field| &field.legacy)
}

/// The fields that the templates of a face name; `data` has many more, as a rule.
fn needed<'v>((face, data): (&'v ModernFace, &'v RawValue)) -> Option<Fields<'v>> {
    let headers = face.headers.iter().flat_map(|(key, value)| match value {
        HeaderTemplate::Text(value) => [Some(key), Some(value)],
        HeaderTemplate::Flag(_) => [Some(key), None],
    });
    let templates =
        [Some(&face.routing_key), face.required_acl.as_ref()].into_iter().chain(headers).flatten();
    let names = templates.flat_map(Template::placeholders);
    let names: Vec<_> =
        names.map(|placeholder| legacy_name(mapping_of(face, placeholder), placeholder)).collect();
    Fields::wanted(data, |name| names.contains(&name))
}

/// A JSON text or whole number as a word; `None` for everything else.
fn scalar_text<'v>(json: &Cow<'v, str>) -> Option<Cow<'v, str>> {
    let digits = json.strip_prefix('-').unwrap_or(json);
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        return Some(json.clone());
    }
    match json {
        Cow::Borrowed(json) => text_of(serde_json::from_str(json).ok()?),
        Cow::Owned(json) => Some(Cow::Owned(text_of(serde_json::from_str(json).ok()?)?.into_owned())),
    }
}

fn is_one_word(value: &str) -> bool {
    !value.is_empty()
        && value.len() <= MAX_KEY_BYTES
        && !value.chars().any(|c| matches!(c, '.' | '#' | '*') || c.is_control())
}

fn unsafe_value(placeholder: &Placeholder) -> String {
    format!("the value of `{}` cannot stand in a routing key or an ACL", placeholder.name)
}

pub(super) fn limit(text: &str, bytes: usize, what: &str) -> Result<(), Failure> {
    if text.len() <= bytes {
        return Ok(());
    }
    Err((Reason::UnsafeValue, format!("{what} would have {} bytes, more than {bytes}", text.len())))
}

/// A name or a legacy routing key: parameters only.
pub(super) fn render_name<'t>(
    template: &'t Template,
    parameters: &[(&str, &str)],
) -> Result<Cow<'t, str>, Failure> {
    let values = Values::of_parameters(parameters);
    let name = template.render(|placeholder| values.word(placeholder))?;
    limit(&name, MAX_KEY_BYTES, "the name")?;
    Ok(name)
}
