//! Which client library a program loads.

use super::Scan;
use crate::core::program::{Language, Library, Loaded, SignKind};

/// Classes of `xivo_bus` that are gone since 23.02.
const REMOVED: [&str; 7] = [
    "ArbitraryEvent",
    "BaseEvent",
    "FailFastPublisher",
    "LongLivedPublisher",
    "Marshaler",
    "PublishingQueue",
    "ResourceConfigEvent",
];

/// Notes the classes that a program loads and that are gone.
pub fn note_removed(scan: &mut Scan<'_>) {
    let is_removed = |import: &&super::names::Import<'_>| {
        library_of(Language::Python, &import.module) == Some(Library::XivoBus)
            && import.name.is_some_and(|name| REMOVED.contains(&name))
    };
    let removed: Vec<usize> =
        scan.imports.iter().filter(is_removed).map(|import| import.node.start_byte()).collect();
    if scan.language() == Language::Python {
        for byte in removed {
            scan.sign(byte, SignKind::RemovedBusClass);
        }
    }
}

/// The libraries that a program loads, each once, where it is first loaded.
#[must_use]
pub fn libraries(scan: &Scan<'_>) -> Vec<Loaded> {
    let mut found: Vec<Loaded> = Vec::new();
    let mut add = |library: Library, byte: usize| {
        if found.iter().all(|loaded| loaded.library != library) {
            found.push(Loaded { library, at: scan.values.source.position(byte) });
        }
    };
    for import in &scan.imports {
        if let Some(library) = library_of(scan.language(), &import.module) {
            add(library, import.node.start_byte());
        }
    }
    // Its classes are the extension's where they are not those of php-amqplib, which has an `AMQPConnection` too.
    if let (Language::Php, Some(byte)) = (scan.language(), scan.call_of(&EXTENSION_CLASSES)) {
        add(Library::ExtAmqp, byte);
    }
    found
}

/// Classes that the PHP extension alone has.
const EXTENSION_CLASSES: [&str; 2] = ["AMQPExchange", "AMQPQueue"];

/// The library that a module belongs to.
#[must_use]
pub fn library_of(language: Language, module: &str) -> Option<Library> {
    match language {
        Language::Python => match module.split('.').next()? {
            "pika" => Some(Library::Pika),
            "kombu" => Some(Library::Kombu),
            "amqp" | "amqplib" => Some(Library::PyAmqp),
            "xivo_bus" => Some(Library::XivoBus),
            "wazo_bus" => Some(Library::WazoBus),
            _ => None,
        },
        Language::JavaScript | Language::TypeScript => match module {
            // The second is a wrapper with the same methods.
            "amqplib" | "amqplib/callback_api" | "amqp-connection-manager" => Some(Library::NodeAmqplib),
            "amqp" => Some(Library::NodeAmqp),
            _ => None,
        },
        Language::Php => {
            let is_php_amqplib = module.trim_start_matches('\\').starts_with("PhpAmqpLib");
            is_php_amqplib.then_some(Library::PhpAmqplib)
        }
    }
}
