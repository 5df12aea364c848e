//! `amqp` for node, the library before `amqplib`: queues and exchanges are objects, handed to a callback or answered.
//! Defaults are those of 0.2: an exchange is a topic exchange, and all is auto-delete.

use super::channel::note_connection;
use super::expression::{Call, Expression};
use super::names::{At, Origin};
use super::values::{Given, Led, Text};
use super::{Found, Scan};
use crate::core::program::{Action, Library, Value};

/// What a binding without an exchange is made on.
const DEFAULT_EXCHANGE: &str = "amq.topic";

/// Reads a call, if it is one of this library.
pub fn read<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    if !scan.has(Library::NodeAmqp) {
        return;
    }
    match (found.call.name, found.call.receiver) {
        ("createConnection", _) => connect(scan, found),
        ("exchange", Some(_)) => exchange(scan, found),
        ("queue", Some(_)) => queue(scan, found),
        ("bind", Some(receiver)) => bind(scan, found, receiver),
        ("subscribe", Some(receiver)) => subscribe(scan, found, receiver),
        ("publish", Some(receiver)) => publish(scan, found, receiver),
        _ => {}
    }
}

fn connect<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let options = found.argument(&[], 0);
    let url = scan.values.option(options, "url");
    let (given, is_url) = match url {
        Given::As(_) => (url, true),
        _ => (scan.values.option(options, "host"), false),
    };
    let host = scan.values.text(given, "localhost");
    note_connection(scan, found, &host, is_url);
}

fn exchange<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let values = &scan.values;
    let name = values.text(found.argument(&[], 0), "");
    let options = options(scan, found);
    let kind = values.text(values.option(options, "type"), "topic");
    let flag = |name, default| values.truth(values.option(options, name), default);
    let (durable, auto_delete, passive) =
        (flag("durable", false), flag("autoDelete", true), flag("passive", false));
    for [exchange, kind] in values.ways([&name, &kind]) {
        let (durable, auto_delete, passive) = (durable.clone(), auto_delete.clone(), passive.clone());
        scan.note(found, Action::DeclareExchange { exchange, kind, durable, auto_delete, passive });
    }
}

fn queue<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let values = &scan.values;
    let name = values.text(found.argument(&[], 0), "");
    let options = options(scan, found);
    let flag = |name, default| values.truth(values.option(options, name), default);
    let (durable, exclusive) = (flag("durable", false), flag("exclusive", false));
    let (auto_delete, passive) = (flag("autoDelete", true), flag("passive", false));
    for [queue] in values.ways([&name]) {
        let (durable, exclusive) = (durable.clone(), exclusive.clone());
        let (auto_delete, passive) = (auto_delete.clone(), passive.clone());
        scan.note(found, Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive });
    }
}

/// The options of a call, which may be left out before a callback.
fn options<'t>(scan: &Scan<'t>, found: &Found<'t>) -> Given<'t> {
    match found.argument(&[], 1) {
        Given::As(at) if is_function(scan, at) => Given::Not,
        given => given,
    }
}

fn bind<'t>(scan: &mut Scan<'t>, found: &Found<'t>, receiver: tree_sitter::Node<'t>) {
    // Functions have a method `bind` too.
    let Some(queue) = name_of(scan, At { node: receiver, scope: found.scope }, "queue") else { return };
    let arguments: Vec<At<'t>> =
        found.call.positional().map(|node| At { node, scope: found.scope }).collect();
    let (exchange, key) = match arguments.as_slice() {
        [key] => (Text::Default(DEFAULT_EXCHANGE.to_owned()), *key),
        [key, second] if is_function(scan, *second) => (Text::Default(DEFAULT_EXCHANGE.to_owned()), *key),
        [exchange, key, ..] => {
            let named = name_of(scan, *exchange, "exchange");
            (named.unwrap_or_else(|| scan.values.text(Given::As(*exchange), "")), *key)
        }
        [] => return,
    };
    let key = scan.values.text(Given::As(key), "");
    for [queue, exchange, key] in scan.values.ways([&queue, &exchange, &key]) {
        scan.note(found, Action::Bind { queue, exchange, key });
    }
}

fn subscribe<'t>(scan: &mut Scan<'t>, found: &Found<'t>, receiver: tree_sitter::Node<'t>) {
    let Some(queue) = name_of(scan, At { node: receiver, scope: found.scope }, "queue") else { return };
    let options = match found.argument(&[], 0) {
        Given::As(at) if is_function(scan, at) => Given::Not,
        given => given,
    };
    let auto_ack = match scan.values.truth(scan.values.option(options, "ack"), false) {
        Value::Constant { value, at } => Value::Constant { value: !value, at },
        Value::Default(value) => Value::Default(!value),
        computed => computed,
    };
    for [queue] in scan.values.ways([&queue]) {
        scan.note(found, Action::Consume { queue, auto_ack: auto_ack.clone() });
    }
}

fn publish<'t>(scan: &mut Scan<'t>, found: &Found<'t>, receiver: tree_sitter::Node<'t>) {
    let at = At { node: receiver, scope: found.scope };
    let exchange = match made(scan, at) {
        Some(call) if call.call.name == "exchange" => scan.values.text(call.argument(&[], 0), ""),
        Some(call) if call.call.name == "createConnection" => Text::Default(String::new()),
        _ => return,
    };
    let key = scan.values.text(found.argument(&[], 0), "");
    for [exchange, key] in scan.values.ways([&exchange, &key]) {
        scan.note(found, Action::Publish { exchange, key });
    }
}

/// The name of the queue or the exchange that an expression stands for.
fn name_of<'t>(scan: &Scan<'t>, at: At<'t>, what: &str) -> Option<Text> {
    let made = made(scan, at).filter(|made| made.call.name == what)?;
    Some(scan.values.text(made.argument(&[], 0), ""))
}

/// The call that made what an expression stands for: it answers it, or hands it to its callback.
fn made<'t>(scan: &Scan<'t>, at: At<'t>) -> Option<Found<'t>> {
    let (at, call): (At<'t>, Call<'t>) = match scan.values.follow(at) {
        Led::Expression(at, Expression::Call(call)) => (at, call),
        Led::Origin(Origin::Passed(at, 0)) => match scan.values.expression(at) {
            Expression::Call(call) => (at, call),
            _ => return None,
        },
        _ => return None,
    };
    Some(Found { scope: at.scope, call })
}

fn is_function<'t>(scan: &Scan<'t>, at: At<'t>) -> bool {
    matches!(scan.values.follow(at), Led::Expression(_, Expression::Function) | Led::Origin(Origin::Function))
}
