//! `amqplib` for node, with callbacks, promises and `await`: its channel's methods have names of their own. Defaults
//! are those of 2.3: durable, not auto-delete.

use super::channel::{note_connection, queue as queue_name};
use super::expression::Expression;
use super::loaded::library_of;
use super::names::{At, Origin};
use super::values::Led;
use super::{Found, Scan};
use crate::core::program::{Action, Language, Library, Value};

/// Methods that no other library has.
const OWN_METHODS: [&str; 5] = ["assertExchange", "checkExchange", "assertQueue", "checkQueue", "bindQueue"];

/// Reads a call, if it is one of amqplib.
pub fn read<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    if !matches!(scan.language(), Language::JavaScript | Language::TypeScript) {
        return;
    }
    let count = found.call.arguments.len();
    match found.call.name {
        "assertExchange" => exchange(scan, found, false),
        "checkExchange" => exchange(scan, found, true),
        "assertQueue" => queue(scan, found, false),
        "checkQueue" => queue(scan, found, true),
        "bindQueue" => bind(scan, found),
        // Other libraries have methods of these names.
        "consume" if count >= 2 && is_loaded(scan) => consume(scan, found),
        "publish" if count >= 3 && is_loaded(scan) => publish(scan, found),
        "sendToQueue" if is_loaded(scan) => send_to_queue(scan, found),
        "connect" if is_of_module(scan, found) => connect(scan, found),
        _ => {}
    }
}

/// Whether this is a function of the library's module, and not that of a database or the like.
fn is_of_module<'t>(scan: &Scan<'t>, found: &Found<'t>) -> bool {
    let is_library = |module: &str| library_of(scan.language(), module) == Some(Library::NodeAmqplib);
    let is_imported =
        |name: &str| scan.imports.iter().any(|import| import.local == name && is_library(&import.module));
    let is_required = |led: &Led<'t>| match led {
        Led::Expression(at, Expression::Call(call)) if call.name == "require" => {
            let module = call.positional().next().map(|node| scan.values.expression(At { node, ..*at }));
            matches!(module, Some(Expression::Text(module)) if is_library(&module))
        }
        _ => false,
    };
    let at = At { node: found.call.receiver.unwrap_or(found.call.node), scope: found.scope };
    if found.call.receiver.is_some() {
        let led = scan.values.follow(at);
        return is_imported(scan.values.source.text_of(at.node)) || is_required(&led);
    }
    // `const { connect } = require('amqplib')`
    is_imported(found.call.name)
        || scan.values.names.given(&*scan.values.grammar, found.scope, found.call.name).iter().any(|origin| {
            matches!(origin, Origin::Part(whole, _) if matches!(&**whole, Origin::Value(at) if is_required(&scan.values.follow(*at))))
        })
}

fn is_loaded(scan: &Scan<'_>) -> bool {
    scan.has(Library::NodeAmqplib) || scan.has_call(&OWN_METHODS)
}

fn exchange<'t>(scan: &mut Scan<'t>, found: &Found<'t>, is_check: bool) {
    let values = &scan.values;
    let name = values.text(found.argument(&[], 0), "");
    let unknown = || Value::Computed { expression: String::new() };
    if is_check {
        for [exchange] in values.ways([&name]) {
            let passive = Value::Default(true);
            let (kind, durable, auto_delete) =
                (Value::Computed { expression: String::new() }, unknown(), unknown());
            scan.note(found, Action::DeclareExchange { exchange, kind, durable, auto_delete, passive });
        }
        return;
    }
    let kind = values.text(found.argument(&[], 1), "");
    let options = found.argument(&[], 2);
    let durable = values.truth(values.option(options, "durable"), true);
    let auto_delete = values.truth(values.option(options, "autoDelete"), false);
    for [exchange, kind] in values.ways([&name, &kind]) {
        let (durable, auto_delete, passive) = (durable.clone(), auto_delete.clone(), Value::Default(false));
        scan.note(found, Action::DeclareExchange { exchange, kind, durable, auto_delete, passive });
    }
}

fn queue<'t>(scan: &mut Scan<'t>, found: &Found<'t>, is_check: bool) {
    let values = &scan.values;
    let name = values.text(found.argument(&[], 0), "");
    let options = found.argument(&[], 1);
    let flag = |name, default| {
        if is_check {
            Value::Computed { expression: String::new() }
        } else {
            values.truth(values.option(options, name), default)
        }
    };
    let (durable, exclusive, auto_delete) =
        (flag("durable", true), flag("exclusive", false), flag("autoDelete", false));
    for [queue] in values.ways([&name]) {
        let (durable, exclusive, auto_delete) = (durable.clone(), exclusive.clone(), auto_delete.clone());
        let passive = Value::Default(is_check);
        scan.note(found, Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive });
    }
}

fn bind<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let queue = queue_name(scan, found.argument(&[], 0));
    let exchange = scan.values.text(found.argument(&[], 1), "");
    let key = scan.values.text(found.argument(&[], 2), "");
    for [queue, exchange, key] in scan.values.ways([&queue, &exchange, &key]) {
        scan.note(found, Action::Bind { queue, exchange, key });
    }
}

fn consume<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let queue = queue_name(scan, found.argument(&[], 0));
    let auto_ack = scan.values.truth(scan.values.option(found.argument(&[], 2), "noAck"), false);
    for [queue] in scan.values.ways([&queue]) {
        scan.note(found, Action::Consume { queue, auto_ack: auto_ack.clone() });
    }
}

fn publish<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let exchange = scan.values.text(found.argument(&[], 0), "");
    let key = scan.values.text(found.argument(&[], 1), "");
    for [exchange, key] in scan.values.ways([&exchange, &key]) {
        scan.note(found, Action::Publish { exchange, key });
    }
}

fn send_to_queue<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let queue = queue_name(scan, found.argument(&[], 0));
    for [key] in scan.values.ways([&queue]) {
        scan.note(found, Action::Publish { exchange: Value::Default(String::new()), key });
    }
}

fn connect<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let address = found.argument(&[], 0);
    let (host, is_url) = match scan.values.if_options(address, "hostname") {
        Some(host) => (scan.values.text(host, "localhost"), false),
        None => (scan.values.text(address, "amqp://localhost"), true),
    };
    note_connection(scan, found, &host, is_url);
}
