//! The PHP extension `amqp`: exchanges and queues are objects that are given a name, a type and flags, and then declared.
//!
//! What an object is given is looked for by the variable it is in. Given twice, it cannot be told: which of them comes
//! first is for the program to know.

use super::channel::note_connection;
use super::expression::Expression;
use super::names::At;
use super::values::{Given, Led, Text};
use super::{Found, Scan};
use crate::core::program::{Action, Language, Library, Value};

/// Reads a call, if it is one of the extension.
pub fn read<'t>(scan: &mut Scan<'t>, found: &Found<'t>, calls: &[Found<'t>]) {
    if scan.language() != Language::Php || !scan.has(Library::ExtAmqp) {
        return;
    }
    let object = Object::of(scan, found, calls);
    match (found.call.name, object) {
        ("AMQPConnection", None) => connect(scan, found),
        ("setHost", Some(_)) => {
            let host = scan.values.text(found.argument(&["host"], 0), "localhost");
            note_connection(scan, found, &host, false);
        }
        ("declare" | "declareExchange", Some(object)) if object.class == "AMQPExchange" => {
            declare_exchange(scan, found, &object);
        }
        ("declare" | "declareQueue", Some(object)) if object.class == "AMQPQueue" => {
            declare_queue(scan, found, &object);
        }
        ("bind", Some(object)) if object.class == "AMQPQueue" => {
            let queue = object.name(scan);
            let exchange = scan.values.text(found.argument(&["exchangeName"], 0), "");
            let key = scan.values.text(found.argument(&["routingKey"], 1), "");
            for [queue, exchange, key] in scan.values.ways([&queue, &exchange, &key]) {
                scan.note(found, Action::Bind { queue, exchange, key });
            }
        }
        ("consume", Some(object)) if object.class == "AMQPQueue" => {
            consume(scan, found, &object, found.argument(&["flags"], 1));
        }
        ("get", Some(object)) if object.class == "AMQPQueue" => {
            consume(scan, found, &object, found.argument(&["flags"], 0));
        }
        ("publish", Some(object)) if object.class == "AMQPExchange" => {
            let exchange = object.name(scan);
            let key = scan.values.text(found.argument(&["routingKey"], 1), "");
            for [exchange, key] in scan.values.ways([&exchange, &key]) {
                scan.note(found, Action::Publish { exchange, key });
            }
        }
        _ => {}
    }
}

/// An object of the extension, as the variable it is in shows it.
struct Object<'t> {
    /// Its class.
    class: &'t str,
    /// The call that made it.
    made: Found<'t>,
    /// What it is told, other than by the call that is looked at.
    told: Vec<Found<'t>>,
}

impl<'t> Object<'t> {
    /// The object whose method is called.
    fn of(scan: &Scan<'t>, found: &Found<'t>, calls: &[Found<'t>]) -> Option<Self> {
        let receiver = found.call.receiver?;
        let (at, made) = match scan.values.follow(At { node: receiver, scope: found.scope }) {
            Led::Expression(at, Expression::Call(call)) => (at, call),
            _ => return None,
        };
        if !matches!(made.name, "AMQPExchange" | "AMQPQueue" | "AMQPConnection") {
            return None;
        }
        let variable = scan.values.source.text_of(receiver);
        let place = |found: &Found<'t>| match variable.contains("->") || variable.contains("::") {
            true => scan.values.names.class_of(found.scope),
            false => scan.values.names.function_around(found.scope),
        };
        let here = place(found);
        let is_told = |other: &&Found<'t>| {
            let is_setter = matches!(other.call.name, "setName" | "setType" | "setFlags");
            let is_same =
                || other.call.receiver.is_some_and(|node| scan.values.source.text_of(node) == variable);
            is_setter && is_same() && place(other) == here
        };
        let told = calls.iter().filter(is_told).cloned().collect();
        Some(Self { class: made.name, made: Found { scope: at.scope, call: made }, told })
    }

    /// The argument of the one call that tells this.
    fn told(&self, method: &str) -> Given<'t> {
        let mut told = self.told.iter().filter(|told| told.call.name == method);
        match (told.next(), told.next()) {
            (None, _) => Given::Not,
            (Some(once), None) => once.argument(&[], 0),
            (Some(_), Some(_)) => Given::Unclear,
        }
    }

    /// Its name; before 1.0 of the extension it was given when the object was made.
    fn name(&self, scan: &Scan<'t>) -> Text {
        match self.told("setName") {
            Given::Not => scan.values.text(self.made.argument(&[], 1), ""),
            given => scan.values.text(given, ""),
        }
    }

    fn flag(&self, scan: &Scan<'t>, flag: &str) -> Value<bool> {
        flag_in(scan, self.told("setFlags"), flag)
    }
}

fn connect<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let host = scan.values.option(found.argument(&["credentials"], 0), "host");
    if matches!(host, Given::As(_)) {
        let host = scan.values.text(host, "localhost");
        note_connection(scan, found, &host, false);
    }
}

fn declare_exchange<'t>(scan: &mut Scan<'t>, found: &Found<'t>, object: &Object<'t>) {
    let exchange = object.name(scan);
    let kind = match object.told("setType") {
        Given::As(at) => kind_of(scan, at),
        given => scan.values.text(given, ""),
    };
    let durable = object.flag(scan, "AMQP_DURABLE");
    let auto_delete = object.flag(scan, "AMQP_AUTODELETE");
    let passive = object.flag(scan, "AMQP_PASSIVE");
    for [exchange, kind] in scan.values.ways([&exchange, &kind]) {
        let (durable, auto_delete, passive) = (durable.clone(), auto_delete.clone(), passive.clone());
        scan.note(found, Action::DeclareExchange { exchange, kind, durable, auto_delete, passive });
    }
}

fn kind_of<'t>(scan: &Scan<'t>, at: At<'t>) -> Text {
    let (constant, kind) = match scan.values.follow(at) {
        Led::Expression(constant, Expression::Name(name)) => match name {
            "AMQP_EX_TYPE_DIRECT" => (constant, "direct"),
            "AMQP_EX_TYPE_TOPIC" => (constant, "topic"),
            "AMQP_EX_TYPE_FANOUT" => (constant, "fanout"),
            "AMQP_EX_TYPE_HEADERS" => (constant, "headers"),
            _ => return scan.values.text(Given::As(at), ""),
        },
        _ => return scan.values.text(Given::As(at), ""),
    };
    Text::constant(kind, constant.node.start_byte())
}

fn declare_queue<'t>(scan: &mut Scan<'t>, found: &Found<'t>, object: &Object<'t>) {
    let queue = object.name(scan);
    let durable = object.flag(scan, "AMQP_DURABLE");
    let exclusive = object.flag(scan, "AMQP_EXCLUSIVE");
    let passive = object.flag(scan, "AMQP_PASSIVE");
    // A queue is auto-delete unless it is given other flags.
    let auto_delete = match object.told("setFlags") {
        Given::Not => Value::Default(true),
        given => flag_in(scan, given, "AMQP_AUTODELETE"),
    };
    for [queue] in scan.values.ways([&queue]) {
        let (durable, exclusive) = (durable.clone(), exclusive.clone());
        let (auto_delete, passive) = (auto_delete.clone(), passive.clone());
        scan.note(found, Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive });
    }
}

fn consume<'t>(scan: &mut Scan<'t>, found: &Found<'t>, object: &Object<'t>, flags: Given<'t>) {
    let queue = object.name(scan);
    let auto_ack = flag_in(scan, flags, "AMQP_AUTOACK");
    for [queue] in scan.values.ways([&queue]) {
        scan.note(found, Action::Consume { queue, auto_ack: auto_ack.clone() });
    }
}

/// Whether a flag is among those given: one of the extension's constants, or several with `|` between them.
fn flag_in<'t>(scan: &Scan<'t>, given: Given<'t>, flag: &str) -> Value<bool> {
    let at = match given {
        Given::Not => return Value::Default(false),
        Given::Unclear => return Value::Computed { expression: String::new() },
        Given::As(at) => at,
    };
    let mut open = vec![at];
    let mut found = false;
    let mut looked_at = 0;
    while let Some(next) = open.pop() {
        looked_at += 1;
        match scan.values.follow(next) {
            Led::Expression(at, Expression::Union(left, right)) if looked_at < 32 => {
                open.extend([At { node: left, ..at }, At { node: right, ..at }]);
            }
            Led::Expression(_, Expression::Name(name)) if name.starts_with("AMQP_") => found |= name == flag,
            Led::Expression(_, Expression::Nothing | Expression::Number(0)) => {}
            _ => return Value::Computed { expression: scan.values.source.shown(at.node) },
        }
    }
    Value::Constant { value: found, at: scan.values.source.position(at.node.start_byte()) }
}
