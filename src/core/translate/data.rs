//! `data` and its fields, from one form to the other.

use std::borrow::Cow;
use std::collections::HashSet;

use serde_json::value::RawValue;

use super::Failure;
use crate::core::envelope::{Fields, json_text, push_ascii, text_of};
use crate::core::message::Reason;
use crate::core::rule::{FieldMapping, Scalar};

pub(super) fn single<'m>(fields: &Fields<'m>, name: &str) -> Result<&'m RawValue, Failure> {
    fields.single(name).map_err(|found| {
        let detail = if found == 0 {
            format!("no `{name}` in `data`")
        } else {
            format!("`{name}` is in `data` twice")
        };
        (Reason::BadField, detail)
    })
}

/// Which form is being made.
#[derive(Clone, Copy)]
pub(super) enum Towards {
    Legacy,
    Modern,
}

/// `data` with the fields of this mapping renamed and their values exchanged; all others as they came.
pub(super) fn map_data<'m>(
    data: &'m RawValue,
    mapping: &[FieldMapping],
    towards: Towards,
) -> Result<Cow<'m, str>, Failure> {
    let fields = if mapping.is_empty() { None } else { Fields::of(data) };
    let Some(fields) = fields else { return Ok(Cow::Borrowed(data.get())) };
    let ends = |field: &'_ FieldMapping| match towards {
        Towards::Legacy => (field.modern.clone(), field.legacy.clone()),
        Towards::Modern => (field.legacy.clone(), field.modern.clone()),
    };
    let mut out = String::with_capacity(data.get().len() + 64);
    out.push('{');
    let mut written = HashSet::new();
    for (key, value) in &fields.0 {
        let mapped = mapping.iter().find(|field| ends(field).0 == **key);
        let (name, value) = match mapped {
            Some(field) => (ends(field).1, map_value(field, value, towards)?),
            None => (key.to_string(), Cow::Borrowed(value.get())),
        };
        let concerns_mapping = mapping.iter().any(|field| ends(field).1 == name);
        if concerns_mapping && !written.insert(name.clone()) {
            return Err((Reason::BadField, format!("two fields would become `{name}`")));
        }
        push_field(&mut out, &name, &value);
    }
    out.push('}');
    Ok(Cow::Owned(out))
}

pub(super) fn map_value<'m>(
    field: &FieldMapping,
    value: &'m RawValue,
    towards: Towards,
) -> Result<Cow<'m, str>, Failure> {
    if field.values.is_empty() {
        return Ok(Cow::Borrowed(value.get()));
    }
    let (name, other) = match towards {
        Towards::Legacy => (&field.modern, "legacy"),
        Towards::Modern => (&field.legacy, "modern"),
    };
    let ends = |(legacy, modern): &'_ (Scalar, Scalar)| match towards {
        Towards::Legacy => (modern.clone(), legacy.clone()),
        Towards::Modern => (legacy.clone(), modern.clone()),
    };
    let pair = field.values.iter().map(ends).find(|(from, _)| is_scalar(from, value));
    pair.map(|(_, to)| Cow::Owned(to.to_string()))
        .ok_or_else(|| (Reason::BadField, format!("the value of `{name}` has no {other} counterpart")))
}

fn is_scalar(scalar: &Scalar, value: &RawValue) -> bool {
    match scalar {
        Scalar::Text(text) => text_of(value).is_some_and(|value| value == *text),
        Scalar::Integer(_) | Scalar::Bool(_) | Scalar::Null => scalar.to_string() == value.get(),
    }
}

pub(super) fn push_field(out: &mut String, name: &str, json: &str) {
    if out.len() > 1 {
        out.push_str(", ");
    }
    out.push_str(&json_text(name));
    out.push_str(": ");
    out.push_str(json);
}

/// The body of a legacy event, as Python's `json.dumps` writes it.
pub(super) fn legacy_body(name: &str, data: &str) -> Vec<u8> {
    let mut body = Vec::with_capacity(name.len() + data.len() + 32);
    body.extend_from_slice(b"{\"name\": ");
    if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
        body.push(b'"');
        body.extend_from_slice(name.as_bytes());
        body.push(b'"');
    } else {
        push_ascii(&mut body, &json_text(name));
    }
    body.extend_from_slice(b", \"data\": ");
    push_ascii(&mut body, data);
    body.push(b'}');
    body
}
