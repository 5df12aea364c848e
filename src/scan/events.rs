//! Which events and which of their fields a program reads: what it compares `name` with, and what it takes out of
//! `data`.

use super::Scan;
use super::expression::Expression;
use super::names::At;
use super::values::Led;
use crate::core::program::Action;

/// Notes what is read.
pub fn read(scan: &mut Scan<'_>) {
    for (left, right) in std::mem::take(&mut scan.comparisons) {
        for (one, other) in [(left, right), (right, left)] {
            if member_of(scan, one).is_some_and(|(name, _)| name == "name") {
                note_names(scan, other);
            }
        }
    }
    for at in std::mem::take(&mut scan.members) {
        let Some((field, object)) = member_of(scan, at) else { continue };
        if member_of(scan, object).is_some_and(|(name, _)| name == "data") {
            scan.note_at(at.node, Action::ReadField { field });
        }
    }
}

fn note_names<'t>(scan: &mut Scan<'t>, at: At<'t>) {
    let found = match scan.values.follow(at) {
        Led::Expression(list, Expression::List(parts)) => {
            let one = |node| scan.values.texts(At { node, ..list }).unwrap_or_default();
            parts.into_iter().flat_map(one).collect()
        }
        _ => scan.values.texts(at).unwrap_or_default(),
    };
    for known in found {
        scan.note_at(at.node, Action::ReadName { name: known.text });
    }
}

/// The member that an expression, or the name that stands for it, takes out of something.
fn member_of<'t>(scan: &Scan<'t>, at: At<'t>) -> Option<(String, At<'t>)> {
    match scan.values.follow(at) {
        Led::Expression(at, Expression::Member { object, name }) => Some((name, At { node: object, ..at })),
        // `event.get('name')`
        Led::Expression(at, Expression::Call(call)) if call.name == "get" => {
            let key = At { node: call.positional().next()?, ..at };
            match scan.values.expression(key) {
                Expression::Text(name) => Some((name, At { node: call.receiver?, ..at })),
                _ => None,
            }
        }
        _ => None,
    }
}
