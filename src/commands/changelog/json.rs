//! The changelog for scripts.

use serde_json::{Value as Json, json};

use super::{Asked, Life, Told};
use crate::core::changelog::Subject;
use crate::core::history::{DataFrom, Documented, EventChange, How, Published, Shape};
use crate::core::rule::HeaderTemplate;
use crate::render::document;

pub(super) fn json(asked: &Asked<'_>, told: &Told<'_>) -> String {
    let mut value = json!({
        "from": asked.upgrade.from().map(|version| version.to_string()),
        "to": asked.upgrade.to().map(|version| version.to_string()),
    });
    match told {
        Told::Upgrade(changes) => value["changes"] = changes.iter().map(change).collect(),
        Told::Lives(lives) => value["events"] = lives.iter().map(|life| of_event(asked, life)).collect(),
    }
    document("changelog", value)
}

fn change(told: &EventChange<'_>) -> Json {
    let change = told.change;
    let (what, name) = match &change.subject {
        Subject::Event(name) => ("event", name.as_str()),
        Subject::Exchange(name) => ("exchange", name.as_str()),
        Subject::Envelope(part) => ("envelope", part.as_str()),
    };
    json!({
        "version": change.version.to_string(),
        "kind": change.kind.as_str(),
        "basis": change.basis.as_str(),
        "subject": { what: name },
        "text": change.text,
        "data": change.data,
        "fields_added": told.fields_added,
        "fields_removed": told.fields_removed,
        "replaced_by": change.replaced_by,
        "except": change.except,
        "source": change.source,
    })
}

fn of_event(asked: &Asked<'_>, life: &Life<'_>) -> Json {
    let version = super::end_of(asked);
    let state = asked.history.at(&life.name, version);
    let shapes = asked.history.shapes(&life.name);
    let successors =
        state.successors.iter().map(|successor| json!({ "name": successor.name, "how": how(successor.how) }));
    let serves = asked.history.makes(&life.name, version);
    let serves = serves.iter().map(|(name, made)| json!({ "name": name, "how": how(*made) }));
    json!({
        "name": life.name,
        "changes": life.changes.iter().map(change).collect::<Vec<_>>(),
        "wire_changes": life.wire_changes.iter().map(|c| change(&asked.history.explained(c))).collect::<Vec<_>>(),
        "follows": life.follows.iter().map(|c| change(&asked.history.explained(c))).collect::<Vec<_>>(),
        "shapes": shapes.iter().filter(|shape| super::is_in(shape, asked.upgrade)).map(shape).collect::<Vec<_>>(),
        "at": version.to_string(),
        "documented": documented(state.documented),
        "published": published(&state.published),
        "successors": successors.collect::<Vec<_>>(),
        "serves": serves.collect::<Vec<_>>(),
        "lost": state.lost,
        "reason": state.reason,
    })
}

const fn how(how: How) -> &'static str {
    match how {
        How::Renamed => "renamed",
        How::Rebuilt => "rebuilt",
        How::Related => "related",
    }
}

const fn documented(documented: Documented) -> &'static str {
    match documented {
        Documented::No => "no",
        Documented::Yes => "yes",
        Documented::Deprecated => "deprecated",
    }
}

/// The name that it is published by, or `null`.
fn published(published: &Published<'_>) -> Json {
    match published {
        Published::No => json!({ "published": false, "as": null }),
        Published::Yes => json!({ "published": true, "as": null }),
        Published::As(other) => json!({ "published": true, "as": other }),
    }
}

fn shape(shape: &Shape<'_>) -> Json {
    let headers = shape.headers.iter().map(|(name, value)| {
        let value = match value {
            HeaderTemplate::Text(value) => Json::from(value.to_string()),
            HeaderTemplate::Flag(flag) => Json::Bool(*flag),
        };
        (name.to_string(), value)
    });
    json!({
        "versions": shape.versions.to_string(),
        "documented": documented(shape.documented),
        "published": published(&shape.published),
        "exchange": shape.exchange,
        "routing_key": shape.routing_key.as_ref().map(ToString::to_string),
        "required_acl": shape.required_acl.as_ref().map(ToString::to_string),
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "data": (shape.data_from != DataFrom::Nothing).then_some(&shape.data),
        "data_from": match shape.data_from {
            DataFrom::Nothing => Json::Null,
            DataFrom::Changelog => json!("changelog"),
            DataFrom::Example => json!("example"),
        },
        "documented_data": (!shape.documented_data.is_empty()).then_some(&shape.documented_data),
    })
}
