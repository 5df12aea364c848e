//! What is found in small programs, as lines that a person can read.

use super::{language_of, read};
use crate::core::program::{Action, Gap, Language, Program, Value};

/// What is found, a line each.
fn found(language: Language, text: &str) -> Vec<String> {
    shown(&read("client", language, text))
}

fn shown(program: &Program) -> Vec<String> {
    let mut lines = Vec::new();
    for loaded in &program.libraries {
        lines.push(format!("{}:{} loads {}", loaded.at.line, loaded.at.column, loaded.library.as_str()));
    }
    for sign in &program.signs {
        lines.push(format!("{}:{} {:?}", sign.at.line, sign.at.column, sign.kind));
    }
    for one in &program.uses {
        lines.push(format!("{}:{} {}", one.at.line, one.at.column, action(&one.action)));
    }
    for gap in &program.gaps {
        lines.push(match gap {
            Gap::Syntax(at) => format!("{}:{} wrong syntax", at.line, at.column),
            gap => format!("{gap:?}"),
        });
    }
    lines
}

fn value<T: std::fmt::Debug>(value: &Value<T>) -> String {
    match value {
        Value::Constant { value, .. } => format!("{value:?}"),
        Value::Default(value) => format!("default {value:?}"),
        Value::Computed { expression } => format!("?{expression}"),
    }
}

fn flags(flags: [(&str, &Value<bool>); 4]) -> String {
    let set = flags.iter().filter(|(_, flag)| flag.known() != Some(&false));
    set.map(|(name, flag)| match flag {
        Value::Constant { .. } => format!(" {name}"),
        Value::Default(_) => format!(" {name} by default"),
        Value::Computed { expression } => format!(" {name} ?{expression}"),
    })
    .collect()
}

fn action(action: &Action) -> String {
    const NONE: &Value<bool> = &Value::Default(false);
    match action {
        Action::Connect { host } => format!("connects to {}", value(host)),
        Action::DeclareExchange { exchange, kind, durable, auto_delete, passive } => {
            let flags =
                flags([("durable", durable), ("auto-delete", auto_delete), ("passive", passive), ("", NONE)]);
            format!("declares exchange {} {}{flags}", value(exchange), value(kind))
        }
        Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive } => {
            let flags = flags([
                ("durable", durable),
                ("exclusive", exclusive),
                ("auto-delete", auto_delete),
                ("passive", passive),
            ]);
            format!("declares queue {}{flags}", value(queue))
        }
        Action::Bind { queue, exchange, key } => {
            format!("binds queue {} to {} with {}", value(queue), value(exchange), value(key))
        }
        Action::Consume { queue, auto_ack } => {
            format!(
                "consumes {}{}",
                value(queue),
                flags([("auto-ack", auto_ack), ("", NONE), ("", NONE), ("", NONE)])
            )
        }
        Action::Publish { exchange, key } => format!("publishes to {} with {}", value(exchange), value(key)),
        Action::ReadName { name } => format!("reads event {name}"),
        Action::ReadField { field } => format!("reads field {field}"),
    }
}

#[test]
fn the_documented_client_of_2013_is_understood() {
    let found = found(Language::Python, include_str!("../../tests/clients/legacy_2013.py"));
    assert_eq!(
        found,
        [
            "3:8 loads pika",
            "8:18 NoQueueName",
            "14:5 PrintStatement",
            "17:9 CallbackFirst",
            "5:43 connects to \"localhost\"",
            "8:18 declares queue default \"\" exclusive",
            "11:9 binds queue default \"\" to \"xivo-cti\" with \"call_form_result\"",
            "17:9 consumes default \"\"",
        ]
    );
}

#[test]
fn the_documented_client_of_the_modern_bus_is_understood() {
    let found = found(Language::Python, include_str!("../../tests/clients/modern_kombu.py"));
    assert_eq!(
        found,
        [
            "7:8 loads kombu",
            "11:18 declares exchange \"xivo\" \"topic\" durable by default",
            "21:17 consumes default \"\"",
            "21:32 declares queue default \"\" durable by default",
            "21:32 binds queue default \"\" to \"xivo\" with ?ROUTING_KEY",
            "30:16 connects to ?",
        ]
    );
}

#[test]
fn debug() {
    let text = std::fs::read_to_string(std::env::var("SCAN_FILE").unwrap_or("/dev/null".into())).unwrap();
    let name = std::env::var("SCAN_FILE").unwrap_or_default();
    if let Some(language) = language_of(&name, "") {
        eprintln!("{:#?}", found(language, &text));
    }
}
