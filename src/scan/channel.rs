//! The methods of a channel as pika, py-amqp and php-amqplib have them: the protocol's own names, with small
//! differences in order and defaults.
//!
//! pika: signatures of 0.9.5, 0.9.14, 0.10, 0.11, 0.12, 0.13 and 1.0. Before 1.0 the asynchronous channel takes a
//! callback before everything else, and `basic_consume` does so on every channel. php-amqplib is a port of the library
//! that py-amqp comes from: an exchange or a queue is auto-delete unless told otherwise.

use super::expression::Expression;
use super::names::{At, Origin, Part};
use super::values::{Given, Led, Text};
use super::{Found, Scan};
use crate::core::program::{Action, Language, Library, SignKind, Value};

/// Which of the libraries it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Pika,
    /// py-amqp and php-amqplib.
    Amqplib,
}

fn dialect_of(scan: &Scan<'_>) -> Option<Dialect> {
    match scan.language() {
        Language::Php => Some(Dialect::Amqplib),
        Language::Python if scan.has(Library::PyAmqp) && !scan.has(Library::Pika) => Some(Dialect::Amqplib),
        Language::Python => Some(Dialect::Pika),
        Language::JavaScript | Language::TypeScript => None,
    }
}

/// Reads a call, if it is one of a channel.
pub fn read<'t>(scan: &mut Scan<'t>, found: &Found<'t>) {
    let Some(dialect) = dialect_of(scan) else { return };
    match found.call.name {
        "exchange_declare" => exchange_declare(scan, found, dialect),
        "queue_declare" => queue_declare(scan, found, dialect),
        "queue_bind" => queue_bind(scan, found, dialect),
        "basic_consume" => basic_consume(scan, found, dialect),
        "basic_get" => basic_get(scan, found, dialect),
        "consume" if dialect == Dialect::Pika && scan.has(Library::Pika) => basic_get(scan, found, dialect),
        "basic_publish" => basic_publish(scan, found, dialect),
        _ => connect(scan, found, dialect),
    }
}

fn exchange_declare<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) {
    let first = first_place(scan, found, dialect);
    if dialect == Dialect::Pika {
        if let Some(at) = found.call.place_of(&["type"]) {
            scan.sign(at, SignKind::TypeOfExchange);
        }
        if let Some(at) = found.call.place_of(&["exchange_type"]) {
            scan.sign(at, SignKind::ExchangeType);
        }
    }
    let values = &scan.values;
    let exchange = values.text(found.argument(&["exchange"], first), "");
    let kind = values.text(found.argument(&["exchange_type", "type"], first + 1), "direct");
    let passive = values.truth(found.argument(&["passive"], first + 2), false);
    let durable = values.truth(found.argument(&["durable"], first + 3), false);
    let auto_delete = values.truth(found.argument(&["auto_delete"], first + 4), dialect == Dialect::Amqplib);
    for [exchange, kind] in values.ways([&exchange, &kind]) {
        let (durable, auto_delete, passive) = (durable.clone(), auto_delete.clone(), passive.clone());
        scan.note(found, Action::DeclareExchange { exchange, kind, durable, auto_delete, passive });
    }
}

fn queue_declare<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) {
    let first = first_place(scan, found, dialect);
    let queue = found.argument(&["queue"], first);
    if dialect == Dialect::Pika && matches!(queue, Given::Not) {
        scan.sign(found.call.name_at, SignKind::NoQueueName);
    }
    let values = &scan.values;
    let queue = values.text(queue, "");
    let passive = values.truth(found.argument(&["passive"], first + 1), false);
    let durable = values.truth(found.argument(&["durable"], first + 2), false);
    let exclusive = values.truth(found.argument(&["exclusive"], first + 3), false);
    let auto_delete = values.truth(found.argument(&["auto_delete"], first + 4), dialect == Dialect::Amqplib);
    for [queue] in values.ways([&queue]) {
        let (durable, exclusive) = (durable.clone(), exclusive.clone());
        let (auto_delete, passive) = (auto_delete.clone(), passive.clone());
        scan.note(found, Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive });
    }
}

fn queue_bind<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) {
    let first = first_place(scan, found, dialect);
    let queue = queue(scan, found.argument(&["queue"], first));
    let exchange = scan.values.text(found.argument(&["exchange"], first + 1), "");
    let key = match (found.argument(&["routing_key"], first + 2), dialect) {
        // pika then takes the name of the queue, which is as well known as that.
        (Given::Not, Dialect::Pika) => match &queue {
            Text::Known(known) => Text::Known(known.clone()),
            Text::Default(name) if name.is_empty() => Text::Computed(String::new()),
            other => other.clone(),
        },
        (key, _) => scan.values.text(key, ""),
    };
    for [queue, exchange, key] in scan.values.ways([&queue, &exchange, &key]) {
        scan.note(found, Action::Bind { queue, exchange, key });
    }
}

fn basic_consume<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) {
    let (queue, no_ack_place) = match dialect {
        Dialect::Amqplib => (found.argument(&["queue"], 0), 3),
        Dialect::Pika => {
            let order = order_of_consume(scan, found);
            if let Some(kind) = order {
                scan.sign(found.call.name_at, kind);
            }
            let place = usize::from(order == Some(SignKind::CallbackFirst));
            (found.argument(&["queue"], place), 2)
        }
    };
    consume(scan, found, dialect, queue, no_ack_place);
}

/// Whether the callback comes first or the queue.
fn order_of_consume<'t>(scan: &Scan<'t>, found: &Found<'t>) -> Option<SignKind> {
    let call = &found.call;
    if call.named(&["on_message_callback"]).is_some() {
        return Some(SignKind::QueueFirst);
    }
    if call.named(&["consumer_callback"]).is_some() {
        return Some(SignKind::CallbackFirst);
    }
    let mut places = call.positional().map(|node| At { node, scope: found.scope });
    let (first, second) = (places.next()?, places.next());
    if is_function(scan, first) || call.named(&["queue"]).is_some() {
        return Some(SignKind::CallbackFirst);
    }
    let is_queue_first = second.is_some_and(|second| is_function(scan, second))
        || !matches!(queue(scan, Given::As(first)), Text::Computed(_));
    is_queue_first.then_some(SignKind::QueueFirst)
}

fn basic_get<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) {
    let first = first_place(scan, found, dialect);
    let queue = found.argument(&["queue"], first);
    consume(scan, found, dialect, queue, first + 1);
}

fn consume<'t>(
    scan: &mut Scan<'t>,
    found: &Found<'t>,
    dialect: Dialect,
    queue_given: Given<'t>,
    no_ack_place: usize,
) {
    if dialect == Dialect::Pika {
        if let Some(at) = found.call.place_of(&["no_ack"]) {
            scan.sign(at, SignKind::NoAck);
        }
        if let Some(at) = found.call.place_of(&["auto_ack"]) {
            scan.sign(at, SignKind::AutoAck);
        }
    }
    let auto_ack = scan.values.truth(found.argument(&["no_ack", "auto_ack"], no_ack_place), false);
    let queue = queue(scan, queue_given);
    for [queue] in scan.values.ways([&queue]) {
        scan.note(found, Action::Consume { queue, auto_ack: auto_ack.clone() });
    }
}

fn basic_publish<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) {
    let first = usize::from(dialect == Dialect::Amqplib);
    let exchange = scan.values.text(found.argument(&["exchange"], first), "");
    let key = scan.values.text(found.argument(&["routing_key"], first + 1), "");
    for [exchange, key] in scan.values.ways([&exchange, &key]) {
        scan.note(found, Action::Publish { exchange, key });
    }
}

fn connect<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) {
    let (given, is_url) = match (found.call.name, dialect, scan.language()) {
        ("ConnectionParameters", Dialect::Pika, _) => (found.argument(&["host"], 0), false),
        ("URLParameters", Dialect::Pika, _) => (found.argument(&["url"], 0), true),
        ("Connection", Dialect::Amqplib, Language::Python) => (found.argument(&["host"], 0), false),
        (
            "AMQPStreamConnection"
            | "AMQPSocketConnection"
            | "AMQPLazyConnection"
            | "AMQPSSLConnection"
            | "AMQPConnection",
            Dialect::Amqplib,
            Language::Php,
        ) if scan.has(Library::PhpAmqplib) => (found.argument(&["host"], 0), false),
        _ => return,
    };
    let host = scan.values.text(given, "localhost");
    note_connection(scan, found, &host, is_url);
}

/// Notes a connection to a host, or to that of an address.
pub fn note_connection<'t>(scan: &mut Scan<'t>, found: &Found<'t>, host: &Text, is_url: bool) {
    for [host] in scan.values.ways([host]) {
        let host = match host {
            Value::Constant { value, at } if is_url => match host_of(&value) {
                Some(host) => Value::Constant { value: host.to_owned(), at },
                None => Value::Computed { expression: String::new() },
            },
            // What an address is put together from may be its password.
            Value::Computed { .. } if is_url => Value::Computed { expression: String::new() },
            host => host,
        };
        scan.note(found, Action::Connect { host });
    }
}

/// The host in the address of a broker.
fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let host = authority.rsplit('@').next()?;
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next()?,
        None => host.split(':').next()?,
    };
    Some(if host.is_empty() { "localhost" } else { host })
}

/// The place of the first argument that is not a callback.
fn first_place<'t>(scan: &mut Scan<'t>, found: &Found<'t>, dialect: Dialect) -> usize {
    if dialect == Dialect::Amqplib {
        return 0;
    }
    let places: Vec<_> = found.call.positional().map(|node| At { node, scope: found.scope }).collect();
    let Some(first) = places.first() else { return 0 };
    let is_nothing = matches!(scan.values.expression(*first), Expression::Nothing);
    // The fourth argument of `queue_bind` is a map where the first is the queue.
    let is_pushed = found.call.name == "queue_bind"
        && places.get(3).is_some_and(|fourth| {
            !matches!(
                scan.values.follow(*fourth),
                Led::Expression(_, Expression::Map(_) | Expression::Nothing)
            )
        });
    if is_function(scan, *first) || is_nothing || is_pushed {
        scan.sign(found.call.name_at, SignKind::CallbackFirst);
        return 1;
    }
    0
}

fn is_function<'t>(scan: &Scan<'t>, at: At<'t>) -> bool {
    matches!(scan.values.follow(at), Led::Expression(_, Expression::Function) | Led::Origin(Origin::Function))
}

/// The name of a queue: a text, or the answer to the declaration of a queue.
#[must_use]
pub fn queue<'t>(scan: &Scan<'t>, given: Given<'t>) -> Text {
    let text = scan.values.text(given, "");
    let (Text::Computed(_), Given::As(at)) = (&text, given) else { return text };
    let declared = match scan.values.follow(at) {
        // `result.method.queue`, `ok.queue`
        Led::Expression(at, Expression::Member { object, name }) if name == "queue" => {
            let object = At { node: object, ..at };
            let holder = match scan.values.expression(object) {
                Expression::Member { object: frame, name } if name == "method" => At { node: frame, ..at },
                _ => object,
            };
            declaration(scan, scan.values.follow(holder))
        }
        Led::Origin(Origin::Part(whole, part)) => match (&*whole, part) {
            (Origin::Value(at), Part::Place(0)) => declaration(scan, scan.values.follow(*at)),
            (Origin::Value(at), Part::Name(name)) if name == "queue" => {
                declaration(scan, scan.values.follow(*at))
            }
            (Origin::Passed(..), Part::Name(name)) if name == "queue" => {
                declaration(scan, Led::Origin((*whole).clone()))
            }
            _ => None,
        },
        _ => None,
    };
    declared.unwrap_or(text)
}

/// What the queue is called that is declared where this leads.
fn declaration<'t>(scan: &Scan<'t>, led: Led<'t>) -> Option<Text> {
    let (at, call) = match led {
        Led::Expression(at, Expression::Call(call)) => (at, call),
        Led::Origin(Origin::Passed(at, place)) => match scan.values.expression(at) {
            // `channel.assertQueue('', {}, function (error, ok) { … })`
            Expression::Call(call) if call.name == "assertQueue" && place == 1 => (at, call),
            // `channel.assertQueue('').then(function (ok) { … })`
            Expression::Call(call) if call.name == "then" && place == 0 => {
                let receiver = At { node: call.receiver?, ..at };
                match scan.values.follow(receiver) {
                    Led::Expression(at, Expression::Call(call)) => (at, call),
                    _ => return None,
                }
            }
            _ => return None,
        },
        _ => return None,
    };
    if !matches!(call.name, "queue_declare" | "assertQueue") {
        return None;
    }
    let found = Found { scope: at.scope, call };
    let text = scan.values.text(found.argument(&["queue"], 0), "");
    (!matches!(text, Text::Computed(_))).then_some(text)
}
