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
fn callbacks_of_amqplib_are_followed() {
    let found = found(Language::JavaScript, include_str!("../../tests/golden/clients/popup.js"));
    assert_eq!(
        found,
        [
            "3:20 loads amqplib",
            "7:6 connects to \"pbx.example.org\"",
            "10:13 declares exchange \"xivo-cti\" ? durable ? auto-delete ? passive by default",
            "11:13 declares queue \"\" durable by default exclusive",
            "13:17 binds queue \"\" to \"xivo-cti\" with \"call_form_result\"",
            "13:17 binds queue \"\" to \"xivo-cti\" with \"call_created\"",
            "15:15 consumes \"\" auto-ack",
            "17:28 reads event call_form_result",
            "18:16 reads field variables",
            "18:38 reads field user_id",
        ]
    );
}

#[test]
fn promises_of_amqplib_are_followed_in_typescript() {
    let found = found(Language::TypeScript, include_str!("../../tests/golden/clients/presence.ts"));
    assert_eq!(
        found,
        [
            "2:39 loads amqplib",
            "15:30 connects to ?",
            "17:19 declares exchange \"xivo\" \"topic\" durable",
            "18:37 declares queue \"doors\" durable ? exclusive ? auto-delete ?",
            "20:21 binds queue \"doors\" to \"xivo\" with \"chatd.users.*.presences.updated\"",
            "20:21 binds queue \"doors\" to \"xivo\" with \"auth.sessions.#\"",
            "22:19 consumes \"doors\"",
            "25:17 publishes to \"xivo\" with ?`doors.${process.env.DOOR}.opened`",
        ]
    );
}

#[test]
fn the_node_library_before_amqplib_is_understood() {
    let found = found(Language::JavaScript, include_str!("../../tests/golden/clients/wallboard.js"));
    assert_eq!(
        found,
        [
            "2:20 loads node-amqp",
            "3:23 connects to \"localhost\"",
            "11:14 declares exchange \"xivo-ami\" \"topic\" durable auto-delete by default passive",
            "12:16 declares queue \"wallboard\"",
            "13:13 binds queue \"wallboard\" to \"xivo-ami\" with \"QueueMemberStatus\"",
            "14:13 binds queue \"wallboard\" to \"xivo-ami\" with \"AgentCalled\"",
            "15:13 binds queue \"wallboard\" to default \"amq.topic\" with \"#\"",
            "16:13 consumes \"wallboard\"",
            "17:29 reads event QueueMemberStatus",
            "17:62 reads field Location",
            "20:14 publishes to \"xivo-ami\" with \"Board\"",
        ]
    );
}

#[test]
fn the_php_extension_is_understood() {
    let found = found(Language::Php, include_str!("../../tests/golden/clients/agents.php"));
    assert_eq!(
        found,
        [
            "15:25 loads ext-amqp",
            "11:27 connects to \"pbx.example.org\"",
            "19:20 declares exchange \"xivo\" \"topic\" durable",
            "24:23 declares queue ?'wallboard-' . gethostname() exclusive auto-delete",
            "26:27 binds queue ?'wallboard-' . gethostname() to \"xivo\" with \"status.agent\"",
            "26:27 binds queue ?'wallboard-' . gethostname() to \"xivo\" with \"status.queue\"",
            "28:20 publishes to \"xivo\" with \"wallboard.started\"",
            "33:23 consumes ?'wallboard-' . gethostname() auto-ack",
            "36:22 reads event agent_status_update",
            "37:26 reads field agent_id",
            "37:50 reads field status",
            "39:22 reads event queue_member_added",
        ]
    );
}

#[test]
fn php_amqplib_is_understood() {
    let found = found(Language::Php, include_str!("../../tests/golden/clients/dial_log.php"));
    assert_eq!(
        found,
        [
            "5:5 loads php-amqplib",
            "11:19 connects to \"localhost\"",
            "13:11 declares exchange \"xivo-cti\" \"direct\" durable",
            "14:29 declares queue \"\" exclusive auto-delete by default",
            "16:15 binds queue \"\" to \"xivo-cti\" with \"call_created\"",
            "16:15 binds queue \"\" to \"xivo-cti\" with \"call_updated\"",
            "16:15 binds queue \"\" to \"xivo-cti\" with \"call_ended\"",
            "18:11 declares queue \"dial-log\" auto-delete by default",
            "22:27 reads event call_created",
            "23:14 reads field call_id",
            "23:41 reads field user_uuid",
            "25:15 publishes to \"reports\" with \"dial.log\"",
            "28:11 consumes \"\" auto-ack",
        ]
    );
}

/// What is left of a program that was cut off anywhere is read as far as it goes.
#[test]
fn no_beginning_of_a_program_ends_the_reader() {
    let clients = [
        (Language::Python, include_str!("../../tests/clients/legacy_2013.py")),
        (Language::Python, include_str!("../../tests/clients/modern_kombu.py")),
        (Language::JavaScript, include_str!("../../tests/golden/clients/popup.js")),
        (Language::TypeScript, include_str!("../../tests/golden/clients/presence.ts")),
        (Language::JavaScript, include_str!("../../tests/golden/clients/wallboard.js")),
        (Language::Php, include_str!("../../tests/golden/clients/agents.php")),
        (Language::Php, include_str!("../../tests/golden/clients/dial_log.php")),
    ];
    for (language, text) in clients {
        let whole = found(language, text).len();
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(7) {
            let (start, rest) = text.split_at(end);
            assert!(found(language, start).len() <= whole + 3, "{start}");
            found(language, rest);
        }
    }
}

#[test]
fn nesting_without_end_ends_nothing() {
    for language in [Language::Python, Language::JavaScript, Language::TypeScript, Language::Php] {
        for deep in ["(", "[", "{", "a(", "a.b(", "f(x=", "-"] {
            let text = format!("<?php import amqp; {}", deep.repeat(10_000));
            found(language, &text);
        }
    }
}

#[test]
fn a_language_is_told_by_the_name_or_the_first_line() {
    assert_eq!(language_of("a/popup.PY", ""), Some(Language::Python));
    assert_eq!(language_of("a.b/popup", "#!/usr/bin/env python2.7"), Some(Language::Python));
    assert_eq!(language_of("popup", "#!/usr/bin/node"), Some(Language::JavaScript));
    assert_eq!(language_of("popup.tsx", ""), Some(Language::TypeScript));
    assert_eq!(language_of("popup", "<?php"), Some(Language::Php));
    assert_eq!(language_of(".py", ""), None);
    assert_eq!(language_of("README.md", "# python"), None);
}
