//! A client program as its source shows it: the library it was written for, and what it does on the bus.
//!
//! Nothing is guessed. A value is known where it is a literal, or a name that is given one constant and nothing else;
//! everything else is [`Value::Computed`], and says so.

use super::yaml::Position;

/// One source file of a client program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Where it was read from.
    pub path: String,
    /// What it is written in.
    pub language: Language,
    /// The client libraries it loads, in the order in which they are seen.
    pub libraries: Vec<Loaded>,
    /// What it does on the bus, from top to bottom.
    pub uses: Vec<Use>,
    /// Signs of the versions it was written for, from top to bottom.
    pub signs: Vec<Sign>,
    /// What could not be read, and why the above may be incomplete.
    pub gaps: Vec<Gap>,
}

impl Program {
    /// Whether it has to do with the bus at all.
    #[must_use]
    pub fn uses_the_bus(&self) -> bool {
        !(self.libraries.is_empty() && self.uses.is_empty())
    }
}

/// A programming language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Language {
    /// Python 2 or 3; see [`SignKind::PrintStatement`].
    Python,
    /// JavaScript.
    JavaScript,
    /// TypeScript.
    TypeScript,
    /// PHP.
    Php,
}

impl Language {
    /// Its name, for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::TypeScript => "TypeScript",
            Self::Php => "PHP",
        }
    }
}

/// A client library, and where it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// The library.
    pub library: Library,
    /// Where.
    pub at: Position,
}

/// A client library of the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Library {
    /// `pika`, Python.
    Pika,
    /// `kombu`, Python.
    Kombu,
    /// `amqp` or `amqplib`, Python: what kombu is built on.
    PyAmqp,
    /// `xivo_bus`, Python: the platform's own, up to 24.01.
    XivoBus,
    /// `wazo_bus`, Python: the platform's own, from 24.02 on.
    WazoBus,
    /// `amqplib`, node.
    NodeAmqplib,
    /// `amqp`, node: the one before `amqplib`.
    NodeAmqp,
    /// `php-amqplib`.
    PhpAmqplib,
    /// The PHP extension `amqp`.
    ExtAmqp,
}

impl Library {
    /// Its name, as its users know it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pika => "pika",
            Self::Kombu => "kombu",
            Self::PyAmqp => "py-amqp",
            Self::XivoBus => "xivo_bus",
            Self::WazoBus => "wazo_bus",
            Self::NodeAmqplib => "amqplib",
            Self::NodeAmqp => "node-amqp",
            Self::PhpAmqplib => "php-amqplib",
            Self::ExtAmqp => "ext-amqp",
        }
    }
}

/// One thing that a program does on the bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Where the name of what is called stands; for what is read, where that is written.
    pub at: Position,
    /// What it does.
    pub action: Action,
}

/// What a program does. Where one call does it for each of several constants, as in a loop over a list of names, there
/// is a [`Use`] for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Connects to a broker.
    Connect {
        /// Its host.
        host: Value<String>,
    },
    /// Declares an exchange.
    DeclareExchange {
        /// Its name.
        exchange: Value<String>,
        /// Its type.
        kind: Value<String>,
        /// Whether it survives a restart of the broker.
        durable: Value<bool>,
        /// Whether it goes with its last binding.
        auto_delete: Value<bool>,
        /// Whether it is only looked for: then nothing but the name counts.
        passive: Value<bool>,
    },
    /// Declares a queue.
    DeclareQueue {
        /// Its name; empty where the broker names it.
        queue: Value<String>,
        /// Whether it survives a restart of the broker.
        durable: Value<bool>,
        /// Whether it belongs to the connection.
        exclusive: Value<bool>,
        /// Whether it goes with its last consumer.
        auto_delete: Value<bool>,
        /// Whether it is only looked for.
        passive: Value<bool>,
    },
    /// Binds a queue to an exchange.
    Bind {
        /// The queue.
        queue: Value<String>,
        /// The exchange that messages come from.
        exchange: Value<String>,
        /// The binding key.
        key: Value<String>,
    },
    /// Consumes from a queue.
    Consume {
        /// The queue.
        queue: Value<String>,
        /// Whether messages count as acked when they are sent: what is in flight is lost with the program.
        auto_ack: Value<bool>,
    },
    /// Publishes.
    Publish {
        /// The exchange.
        exchange: Value<String>,
        /// The routing key.
        key: Value<String>,
    },
    /// Compares the name of an event with a text.
    ReadName {
        /// The text.
        name: String,
    },
    /// Reads a field of an event's `data`.
    ReadField {
        /// The field.
        field: String,
    },
}

/// What stands in a program for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<T> {
    /// Written down.
    Constant {
        /// The value.
        value: T,
        /// Where it is written, which may be elsewhere than where it is used.
        at: Position,
    },
    /// Not given: what the library takes then.
    Default(T),
    /// Computed when the program runs; what it is cannot be told from the source.
    Computed {
        /// The expression as it is written, on one line and cut where it is long. Empty where there is none: the
        /// library decides.
        expression: String,
    },
}

impl<T> Value<T> {
    /// The value, where it is known.
    #[must_use]
    pub const fn known(&self) -> Option<&T> {
        match self {
            Self::Constant { value, .. } | Self::Default(value) => Some(value),
            Self::Computed { .. } => None,
        }
    }

    /// Where it is written, if it is.
    #[must_use]
    pub const fn at(&self) -> Option<Position> {
        match self {
            Self::Constant { at, .. } => Some(*at),
            Self::Default(_) | Self::Computed { .. } => None,
        }
    }
}

/// A sign of the versions a program was written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sign {
    /// Where it stands.
    pub at: Position,
    /// What it is.
    pub kind: SignKind,
}

/// What shows for which versions a program was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SignKind {
    /// `print 'x'`.
    PrintStatement,
    /// `basic_consume(callback, queue=…)`, or a callback first in another call of pika's asynchronous channel.
    CallbackFirst,
    /// `basic_consume(queue, callback)` or `on_message_callback=`.
    QueueFirst,
    /// `no_ack=` in pika.
    NoAck,
    /// `auto_ack=` in pika.
    AutoAck,
    /// `queue_declare()` without a queue in pika.
    NoQueueName,
    /// `exchange_declare(type=…)` in pika.
    TypeOfExchange,
    /// `exchange_declare(exchange_type=…)` in pika.
    ExchangeType,
    /// A class of `xivo_bus` that was removed, such as `Marshaler`.
    RemovedBusClass,
}

impl SignKind {
    /// What the program needs, for people.
    #[must_use]
    pub const fn needs(self) -> &'static str {
        match self {
            Self::PrintStatement => "Python 2",
            Self::CallbackFirst | Self::NoAck | Self::NoQueueName => "pika before 1.0",
            Self::QueueFirst | Self::AutoAck => "pika 1.0 or newer",
            Self::TypeOfExchange => "pika before 0.11",
            Self::ExchangeType => "pika 0.9.6 or newer",
            Self::RemovedBusClass => "xivo_bus of a platform before 23.02",
        }
    }
}

/// Something of a program that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gap {
    /// Bytes that are not UTF-8 were replaced.
    NotUtf8,
    /// The text breaks the language's grammar here; what stands there may not have been understood.
    Syntax(Position),
    /// Reading took longer than it may, and only a part was read.
    CutShort,
}
