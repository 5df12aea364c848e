//! kombu: exchanges and queues are objects that say what is to be declared and bound.

use super::channel::note_connection;
use super::expression::{Call, Expression};
use super::names::At;
use super::values::{Given, Led, Text};
use super::{Found, Scan};
use crate::core::program::{Action, Library, Value};

/// Reads a call, if it is one of kombu.
pub fn read<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    if !scan.has(Library::Kombu) {
        return;
    }
    match original_name(scan, &found.call) {
        Some("Exchange") => exchange(scan, found),
        Some("Queue") => queue(scan, found),
        Some("binding") => binding(scan, found),
        Some("Consumer") => consumer(scan, found),
        Some("Connection" | "BrokerConnection") => connection(scan, found),
        _ => match found.call.name {
            "publish" => publish(scan, found),
            "bind_to" => bind_to(scan, found),
            _ => {}
        },
    }
}

/// What a call is called in kombu.
fn original_name<'t>(scan: &Scan<'t>, call: &Call<'t>) -> Option<&'t str> {
    let is_kombu = |module: &str| module == "kombu" || module.starts_with("kombu.");
    let Some(receiver) = call.receiver else {
        let import = scan.imports.iter().find(|import| import.local == call.name);
        return match import {
            Some(import) if is_kombu(&import.module) => import.name,
            // The class that a mixin hands to its method.
            None if call.name == "Consumer" => Some("Consumer"),
            _ => None,
        };
    };
    let root = scan.values.source.text_of(receiver).split('.').next()?;
    let is_module = scan.imports.iter().any(|import| {
        import.name.is_none() && is_kombu(&import.module) && {
            import.local == root || import.local.split('.').next() == Some(root)
        }
    });
    // `connection.Consumer(…)`, `connection.Producer(…)`
    (is_module || matches!(call.name, "Consumer" | "Producer")).then_some(call.name)
}

fn exchange<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let values = &scan.values;
    let name = values.text(found.argument(&["name"], 0), "");
    let kind = values.text(found.argument(&["type"], 1), "direct");
    let durable = values.truth(found.named(&["durable"]), true);
    let auto_delete = values.truth(found.named(&["auto_delete"]), false);
    let passive = values.truth(found.named(&["passive"]), false);
    for [exchange, kind] in values.ways([&name, &kind]) {
        let (durable, auto_delete, passive) = (durable.clone(), auto_delete.clone(), passive.clone());
        scan.note(found, Action::DeclareExchange { exchange, kind, durable, auto_delete, passive });
    }
}

fn queue<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let values = &scan.values;
    let name = values.text(found.argument(&["name"], 0), "");
    let exclusive = values.truth(found.named(&["exclusive"]), false);
    // kombu: exclusive implies auto-delete.
    let auto_delete = match (exclusive.known(), values.truth(found.named(&["auto_delete"]), false)) {
        (Some(true), _) => Value::Default(true),
        (_, auto_delete) => auto_delete,
    };
    let durable = values.truth(found.named(&["durable"]), true);
    for [queue] in values.ways([&name]) {
        let (durable, exclusive, auto_delete) = (durable.clone(), exclusive.clone(), auto_delete.clone());
        let passive = Value::Default(false);
        scan.note(found, Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive });
    }
    // Where there are bindings, each is a call of its own and read there.
    let given = found.argument(&["exchange"], 1);
    if matches!(given, Given::Not) || found.call.named(&["bindings"]).is_some() {
        return;
    }
    if let Given::As(at) = given
        && matches!(scan.values.follow(at), Led::Expression(_, Expression::List(_)))
    {
        return;
    }
    let exchange = exchange_name(scan, given);
    if matches!(&exchange, Text::Default(name) if name.is_empty()) {
        return;
    }
    let key = scan.values.text(found.argument(&["routing_key"], 2), "");
    for [queue, exchange, key] in scan.values.ways([&name, &exchange, &key]) {
        scan.note(found, Action::Bind { queue, exchange, key });
    }
}

fn binding<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let exchange = exchange_name(scan, found.argument(&["exchange"], 0));
    let key = scan.values.text(found.argument(&["routing_key"], 1), "");
    for [exchange, key] in scan.values.ways([&exchange, &key]) {
        let queue = Value::Computed { expression: String::new() };
        scan.note(found, Action::Bind { queue, exchange, key });
    }
}

fn bind_to<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let queue = match found.call.receiver {
        Some(node) => queue_name(scan, At { node, scope: found.scope }),
        None => return,
    };
    let exchange = exchange_name(scan, found.argument(&["exchange"], 0));
    let key = scan.values.text(found.argument(&["routing_key"], 1), "");
    for [queue, exchange, key] in scan.values.ways([&queue, &exchange, &key]) {
        scan.note(found, Action::Bind { queue, exchange, key });
    }
}

fn consumer<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    // The class itself takes the channel first; what a connection or a mixin offers does not.
    let is_class = scan.imports.iter().any(|import| import.name == Some("Consumer"))
        || found.call.receiver.is_some_and(|node| scan.values.source.text_of(node).starts_with("kombu"));
    let queues = found.argument(&["queues"], usize::from(is_class));
    let auto_ack = scan.values.truth(found.named(&["no_ack"]), false);
    let names = match queues {
        Given::As(at) => match scan.values.follow(at) {
            Led::Expression(list, Expression::List(parts)) => {
                parts.into_iter().map(|node| queue_name(scan, At { node, ..list })).collect()
            }
            _ => vec![queue_name(scan, at)],
        },
        Given::Not | Given::Unclear => vec![Text::Computed(String::new())],
    };
    for name in names {
        for [queue] in scan.values.ways([&name]) {
            scan.note(found, Action::Consume { queue, auto_ack: auto_ack.clone() });
        }
    }
}

fn publish<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let producer =
        found.call.receiver.and_then(|node| match scan.values.follow(At { node, scope: found.scope }) {
            Led::Expression(at, Expression::Call(call)) if matches!(call.name, "Producer" | "Publisher") => {
                Some(Found { scope: at.scope, call })
            }
            _ => None,
        });
    let call = &found.call;
    if producer.is_none() && call.named(&["routing_key"]).is_none() && call.named(&["exchange"]).is_none() {
        return;
    }
    let or_of_producer = |given, names: &[&str], place| match (given, &producer) {
        (Given::Not, Some(producer)) => producer.argument(names, place),
        (Given::Not, None) => Given::Unclear,
        (given, _) => given,
    };
    // The class itself takes the channel first; what a connection offers does not.
    let is_class = producer.as_ref().is_some_and(|producer| {
        producer.call.receiver.is_none_or(|node| scan.values.source.text_of(node).starts_with("kombu"))
    });
    let place = usize::from(is_class);
    let exchange = or_of_producer(found.named(&["exchange"]), &["exchange"], place);
    let key = or_of_producer(found.argument(&["routing_key"], 1), &["routing_key"], place + 1);
    let exchange = exchange_name(scan, exchange);
    let key = scan.values.text(key, "");
    for [exchange, key] in scan.values.ways([&exchange, &key]) {
        scan.note(found, Action::Publish { exchange, key });
    }
}

fn connection<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let host = scan.values.text(found.argument(&["hostname"], 0), "localhost");
    let is_address = match &host {
        Text::Known(known) => known.iter().any(|known| known.text.contains("://")),
        Text::Default(_) => false,
        // It may be either, and an address may hold a password.
        Text::Computed(_) => true,
    };
    note_connection(scan, found, &host, is_address);
}

/// The name of an exchange: a text, or that of an `Exchange`.
fn exchange_name<'t>(scan: &Scan<'t>, given: Given<'t>) -> Text {
    name_in(scan, given, "Exchange")
}

fn queue_name<'t>(scan: &Scan<'t>, at: At<'t>) -> Text {
    name_in(scan, Given::As(at), "Queue")
}

fn name_in<'t>(scan: &Scan<'t>, given: Given<'t>, class: &str) -> Text {
    if let Given::As(at) = given
        && let Led::Expression(at, Expression::Call(call)) = scan.values.follow(at)
        && original_name(scan, &call) == Some(class)
    {
        let made = Found { scope: at.scope, call };
        return scan.values.text(made.argument(&["name"], 0), "");
    }
    scan.values.text(given, "")
}
