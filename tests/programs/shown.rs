//! What is found in a program, as lines that a person can read.

use cti_bridge::core::program::{Action, Gap, Program, Value};

/// What is found, a line each.
pub fn shown(program: &Program) -> Vec<String> {
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

fn flags(flags: &[(&str, &Value<bool>)]) -> String {
    let set = flags.iter().filter(|(_, flag)| flag.known() != Some(&false));
    set.map(|(name, flag)| match flag {
        Value::Constant { .. } => format!(" {name}"),
        Value::Default(_) => format!(" {name} by default"),
        Value::Computed { expression } => format!(" {name} ?{expression}"),
    })
    .collect()
}

fn action(action: &Action) -> String {
    match action {
        Action::Connect { host } => format!("connects to {}", value(host)),
        Action::DeclareExchange { exchange, kind, durable, auto_delete, passive } => {
            let flags = flags(&[("durable", durable), ("auto-delete", auto_delete), ("passive", passive)]);
            format!("declares exchange {} {}{flags}", value(exchange), value(kind))
        }
        Action::DeclareQueue { queue, durable, exclusive, auto_delete, passive } => {
            let flags = flags(&[
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
            format!("consumes {}{}", value(queue), flags(&[("auto-ack", auto_ack)]))
        }
        Action::Publish { exchange, key } => format!("publishes to {} with {}", value(exchange), value(key)),
        Action::ReadName { name } => format!("reads event {name}"),
        Action::ReadField { field } => format!("reads field {field}"),
    }
}
