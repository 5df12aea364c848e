//! Texts that are no programs, and programs that nobody wrote.

use cti_bridge::core::program::{Gap, Language};
use cti_bridge::scan;
use proptest::prelude::*;
use proptest::sample::select;

const LANGUAGES: [Language; 4] =
    [Language::Python, Language::JavaScript, Language::TypeScript, Language::Php];

/// What programs are made of, so that chance comes across calls, loops and names.
const PIECES: [&str; 60] = [
    "pika",
    "import ",
    "from kombu import Exchange, Queue\n",
    "require('amqplib')",
    "<?php ",
    "?>",
    "channel",
    ".",
    "->",
    "queue_bind",
    "basic_consume",
    "exchange_declare",
    "queue_declare",
    "bindQueue",
    "assertQueue",
    "publish",
    "AMQPQueue",
    "AMQPExchange",
    "setName",
    "new ",
    "Exchange",
    "Queue",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "'xivo'",
    "\"é\"",
    "'",
    "\"",
    "`${",
    "f'{",
    "=",
    "+",
    "+=",
    "%",
    ",",
    ":",
    ";",
    "\n",
    "\n    ",
    "for k in ",
    "foreach ($a as $b) ",
    "def f(x):",
    "function (x) ",
    "class A:",
    "class A { ",
    "self.x",
    "this.x",
    "$x",
    "x",
    "event['data']['a']",
    "== ",
    "list($a, ,) = ",
    "global ",
    "|",
    "**x",
    "<<<EOT\n",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    /// The result has places that are in the text, in order.
    #[test]
    fn no_text_is_too_much(
        pieces in prop::collection::vec(prop_oneof![8 => select(&PIECES[..]).prop_map(str::to_owned), 1 => ".{0,8}"], 0..60),
        language in select(&LANGUAGES[..]),
    ) {
        let text = format!("pika amqp\n{}", pieces.concat());
        let program = scan::read("x.tsx", language, &text);
        let lines: Vec<&str> = text.split('\n').collect();
        for at in program.uses.iter().map(|one| one.at).chain(program.signs.iter().map(|sign| sign.at)) {
            prop_assert!(at.line >= 1 && at.line <= lines.len(), "{at:?}");
            prop_assert!(at.column >= 1 && at.column <= lines[at.line - 1].chars().count() + 1, "{at:?}");
        }
        prop_assert!(program.uses.is_sorted_by_key(|one| one.at));
    }
}

fn read(language: Language, text: &str) -> Vec<Gap> {
    scan::read(
        "x",
        language,
        &format!("{}# pika amqp\n{text}", if language == Language::Php { "<?php " } else { "" }),
    )
    .gaps
}

#[test]
fn deep_nesting_does_not_end_the_process() {
    // Far more levels than a test's thread has room for, if each took a frame of its stack.
    for language in LANGUAGES {
        for piece in
            ["(", "[", "{", "f(", "a.b(", "x = [", "-", "'a' + ", "a.", "if x:\n ", "!", "function(){"]
        {
            let _ = read(language, &piece.repeat(20_000 / piece.len()));
        }
        let brackets = format!("x = {}{}", "[".repeat(20_000), "]".repeat(20_000));
        let _ = read(language, &brackets);
    }
    let indented: String = (0..1200).map(|depth| format!("{}if x:\n", " ".repeat(depth))).collect();
    let _ = read(Language::Python, &indented);
    let _ = read(Language::Php, &format!("<?php <<<{}\nx", "A".repeat(5000)));
}

#[test]
fn names_that_lead_in_circles_or_grow_without_end_are_given_up() {
    let circle = "a = b\nb = a\nc = c\nfor d in d:\n  ch.queue_bind(a, c, d)\n";
    assert_eq!(scan::read("x", Language::Python, circle).uses.len(), 1);
    let mut text = String::from("x0 = ''\ny0 = 'ab'\n");
    for n in 1..64 {
        text.push_str(&format!("x{n} = x{0} + x{0}\ny{n} = y{0} + y{0}\n", n - 1));
    }
    text.push_str("ch.queue_bind(x20, 'xivo', y63)\n");
    let program = scan::read("x", Language::Python, &text);
    assert_eq!(program.uses.len(), 1);
    assert!(matches!(
        &program.uses[0].action,
        cti_bridge::core::program::Action::Bind { queue, key, .. } if queue.known().is_none() && key.known().is_none()
    ));
}

#[test]
fn what_is_left_out_of_too_many_uses_is_told() {
    let keys: String = (0..400).map(|n| format!("'k{n}', ")).collect();
    let text = format!("for a in [{keys}]:\n  for b in [{keys}]:\n    ch.queue_bind('q', a, b)\n");
    let program = scan::read("x", Language::Python, &text);
    assert!(program.gaps.contains(&Gap::CutShort));
    let program = scan::read("x", Language::Python, &"ch.queue_bind('q', 'x', 'k')\n".repeat(20_000));
    assert!(program.gaps.contains(&Gap::CutShort) && program.uses.len() < 6_000, "{}", program.uses.len());
}

/// What is left of a program that was cut off anywhere is read as far as it goes.
#[test]
fn no_beginning_of_a_program_ends_the_reader() {
    let clients = [
        (Language::Python, include_str!("../clients/legacy_2013.py")),
        (Language::Python, include_str!("../clients/modern_kombu.py")),
        (Language::JavaScript, include_str!("../golden/clients/popup.js")),
        (Language::TypeScript, include_str!("../golden/clients/presence.ts")),
        (Language::JavaScript, include_str!("../golden/clients/wallboard.js")),
        (Language::Php, include_str!("../golden/clients/agents.php")),
        (Language::Php, include_str!("../golden/clients/dial_log.php")),
    ];
    let found = |language, text: &str| {
        let program = scan::read("x", language, text);
        program.libraries.len() + program.signs.len() + program.uses.len() + program.gaps.len()
    };
    for (language, text) in clients {
        let whole = found(language, text);
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)).step_by(7) {
            let (start, rest) = text.split_at(end);
            assert!(found(language, start) <= whole + 3, "{start}");
            found(language, rest);
        }
    }
}
