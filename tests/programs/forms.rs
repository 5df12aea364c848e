//! The forms in which libraries are called, and how a value is followed to a constant, a few lines each.

use cti_bridge::core::program::{Language, Value};
use cti_bridge::scan;

use crate::shown::shown;

/// What is found in a text, without the line that says which library it loads.
fn found(language: Language, text: &str) -> Vec<String> {
    let mut found = shown(&scan::read("client", language, text));
    found.retain(|line| !line.contains(" loads "));
    found
}

fn python(text: &str) -> Vec<String> {
    found(Language::Python, text)
}

fn javascript(text: &str) -> Vec<String> {
    found(Language::JavaScript, text)
}

fn php(text: &str) -> Vec<String> {
    found(Language::Php, &format!("<?php {text}"))
}

// ── Values ───────────────────────────────────────────────────────────────────────────────────────

/// The keys that a program binds with, each as it is shown.
fn keys(before: &str, key: &str) -> Vec<String> {
    let lines = python(&format!("{before}\nch.queue_bind('q', 'xivo', {key})\n"));
    lines.iter().filter_map(|line| line.split_once(" to \"xivo\" with ")).map(|(_, key)| key.into()).collect()
}

#[test]
fn a_name_that_is_given_one_constant_stands_for_it() {
    assert_eq!(keys("KEY = 'call_' + \"created\"", "KEY"), ["\"call_created\""]);
    assert_eq!(keys("A = 'call'\nB = '%s_%s' % (A, 'ended')", "B"), ["\"call_ended\""]);
    assert_eq!(keys("A = 'call'", "'{}_{}'.format(A, 'ended')"), ["\"call_ended\""]);
    assert_eq!(keys("A = 'call'", "f'{A}_ended'"), ["\"call_ended\""]);
    assert_eq!(keys("C = {'keys': {'call': u'x\\u00e9'}}", "C['keys']['call']"), ["\"xé\""]);
    assert_eq!(keys("class C:\n  KEY = r'a\\b'", "C.KEY"), ["\"a\\\\b\""]);
}

#[test]
fn a_name_that_is_given_two_values_is_not_guessed() {
    assert_eq!(keys("KEY = 'a'\nif x:\n  KEY = 'b'", "KEY"), ["?KEY"]);
    assert_eq!(keys("KEY = 'a'\nKEY += 'b'", "KEY"), ["?KEY"]);
    assert_eq!(keys("KEY = 'a'\ndef f():\n  global KEY\n  KEY = 'b'", "KEY"), ["?KEY"]);
    assert_eq!(keys("KEY = os.environ.get('KEY', 'a')", "KEY"), ["?KEY"]);
    assert_eq!(keys("C = {'key': 'a'}\nC['key'] = 'b'", "C['key']"), ["?C['key']"]);
    assert_eq!(keys("C = {'key': 'a'}\nC[x] = 'b'", "C['key']"), ["?C['key']"]);
    assert_eq!(keys("C = {'key': 'a'}\nC.update(D)", "C['key']"), ["?C['key']"]);
    assert_eq!(keys("C = {'key': 'a', x: 'b'}", "C['key']"), ["?C['key']"]);
    assert_eq!(keys("KEY = 'a'\nfrom settings import KEY", "KEY"), ["?KEY"]);
    assert_eq!(keys("", "'a.%d' % 3"), ["?'a.%d' % 3"]);
}

#[test]
fn the_same_name_elsewhere_is_another() {
    let text = "def one():\n  key = 'a'\ndef two(key):\n  ch.queue_bind('q', 'xivo', key)\n";
    assert_eq!(python(text), ["4:6 binds queue \"q\" to \"xivo\" with ?key"]);
    let text = "key = 'a'\ndef two():\n  key = 'b'\n  ch.queue_bind('q', 'xivo', key)\n";
    assert_eq!(python(text), ["4:6 binds queue \"q\" to \"xivo\" with \"b\""]);
}

#[test]
fn a_loop_over_constants_binds_each() {
    let twice = |loop_: &str| {
        python(&format!("{loop_}\n  ch.queue_bind('q', 'xivo', key)\n"))
            .iter()
            .map(|line| line.rsplit(' ').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(twice("for key in ('a', 'b'):"), ["\"a\"", "\"b\""]);
    assert_eq!(twice("K = ['a', 'b']\nfor key in sorted(K):"), ["\"a\"", "\"b\""]);
    assert_eq!(twice("for key in {'a': 1, 'b': 2}:"), ["\"a\"", "\"b\""]);
    assert_eq!(twice("for key, f in {'a': 1, 'b': 2}.items():"), ["\"a\"", "\"b\""]);
    assert_eq!(twice("K = ['a']\nK.append(x)\nfor key in K:"), ["?key"]);
    assert_eq!(twice("for key in sys.argv[1:]:"), ["?key"]);
    assert_eq!(twice("for key in ('a', 'b'):\n  key = key.upper()"), ["?key"]);
}

#[test]
fn values_of_one_round_of_a_loop_stay_together() {
    let text = "for ex, key in [('xivo', 'a'), ('xivo-ami', 'b')]:\n  ch.queue_bind('q', ex, key)\n";
    assert_eq!(
        python(text),
        ["2:6 binds queue \"q\" to \"xivo\" with \"a\"", "2:6 binds queue \"q\" to \"xivo-ami\" with \"b\""]
    );
    let text =
        "for b in [{'e': 'xivo', 'k': 'a'}, {'e': 'y', 'k': 'b'}]:\n  ch.queue_bind('q', b['e'], b['k'])\n";
    assert_eq!(
        python(text),
        ["2:6 binds queue \"q\" to \"xivo\" with \"a\"", "2:6 binds queue \"q\" to \"y\" with \"b\""]
    );
}

#[test]
fn a_constant_has_the_place_where_it_is_written() {
    let program = scan::read("x.py", Language::Python, "KEY = 'é' + 'b'\nch.queue_bind('q', 'œ', KEY)\n");
    let cti_bridge::core::program::Action::Bind { exchange, key, .. } = &program.uses[0].action else {
        panic!("{program:?}")
    };
    let place = |value: &Value<String>| value.at().map(|at| (at.line, at.column));
    assert_eq!((place(exchange), place(key)), (Some((2, 20)), Some((1, 7))));
}

#[test]
fn arguments_that_cannot_be_counted_are_not_taken_for_defaults() {
    assert_eq!(python("ch.queue_bind(*args)"), ["1:4 binds queue ? to ? with ?"]);
    assert_eq!(
        python("ch.exchange_declare('x', **options)"),
        ["1:4 declares exchange \"x\" ? durable ? auto-delete ? passive ?"]
    );
}

// ── pika ─────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn pika_takes_the_callback_first_before_1_0() {
    assert_eq!(
        python("def f(): pass\nch.basic_consume(f, 'q', no_ack=True)"),
        ["2:4 CallbackFirst", "2:26 NoAck", "2:4 consumes \"q\" auto-ack"]
    );
    assert_eq!(
        python("ch.basic_consume(handlers.f, queue='q')"),
        ["1:4 CallbackFirst", "1:4 consumes \"q\""]
    );
    assert_eq!(
        python("ch.basic_consume(consumer_callback=f, queue='q')"),
        ["1:4 CallbackFirst", "1:4 consumes \"q\""]
    );
}

#[test]
fn pika_takes_the_queue_first_since_1_0() {
    assert_eq!(python("ch.basic_consume('q', f, True)"), ["1:4 QueueFirst", "1:4 consumes \"q\" auto-ack"]);
    assert_eq!(
        python("ch.basic_consume(queue='q', on_message_callback=f, auto_ack=False)"),
        ["1:4 QueueFirst", "1:52 AutoAck", "1:4 consumes \"q\""]
    );
    // Neither is known: nothing is said of the version.
    assert_eq!(python("ch.basic_consume(x, y)"), ["1:4 consumes ?x"]);
}

#[test]
fn the_asynchronous_pika_before_1_0_takes_a_callback_before_everything() {
    let text =
        "class C:\n  def f(self, x): pass\n  def g(self):\n    ch.queue_bind(self.f, 'q', 'xivo', 'k')";
    assert_eq!(python(text), ["4:8 CallbackFirst", "4:8 binds queue \"q\" to \"xivo\" with \"k\""]);
    assert_eq!(
        python("ch.queue_bind(cb, 'q', 'xivo', 'k')"),
        ["1:4 CallbackFirst", "1:4 binds queue \"q\" to \"xivo\" with \"k\""]
    );
    assert_eq!(
        python("ch.queue_bind('q', 'xivo', 'k', {'x': 1})"),
        ["1:4 binds queue \"q\" to \"xivo\" with \"k\""]
    );
    assert_eq!(
        python("ch.exchange_declare(lambda f: f, 'x', 'topic')"),
        ["1:4 CallbackFirst", "1:4 declares exchange \"x\" \"topic\""]
    );
}

#[test]
fn pika_declares_with_its_own_defaults() {
    assert_eq!(python("ch.exchange_declare('xivo')"), ["1:4 declares exchange \"xivo\" default \"direct\""]);
    assert_eq!(python("ch.queue_declare()"), ["1:4 NoQueueName", "1:4 declares queue default \"\""]);
    assert_eq!(
        python("ch.exchange_declare('x', exchange_type='topic', durable=d)"),
        ["1:26 ExchangeType", "1:4 declares exchange \"x\" \"topic\" durable ?d"]
    );
    // The binding key is the queue's name where there is none.
    assert_eq!(python("ch.queue_bind('q', 'xivo')"), ["1:4 binds queue \"q\" to \"xivo\" with \"q\""]);
}

#[test]
fn py_amqp_has_other_defaults_and_another_order() {
    assert_eq!(
        python(
            "import amqp\nch.queue_declare('q')\nch.basic_consume('q', '', False, True)\nch.basic_publish(m, 'x', 'k')"
        ),
        [
            "2:4 declares queue \"q\" auto-delete by default",
            "3:4 consumes \"q\" auto-ack",
            "4:4 publishes to \"x\" with \"k\"",
        ]
    );
}

#[test]
fn an_address_shows_its_host_and_never_its_password() {
    let host = |text: &str| python(text).join("");
    assert_eq!(host("pika.URLParameters('amqp://u:p@h:1/v')"), "1:6 connects to \"h\"");
    assert_eq!(host("pika.URLParameters('amqps://[::1]:1')"), "1:6 connects to \"::1\"");
    assert_eq!(host("pika.URLParameters('amqp://u:secret@' + x)"), "1:6 connects to ?");
    assert_eq!(host("import kombu\nkombu.Connection('amqp://u:secret@%s' % x)"), "2:7 connects to ?");
    assert_eq!(host("pika.ConnectionParameters()"), "1:6 connects to default \"localhost\"");
}

// ── kombu ────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn names_of_kombu_mean_nothing_without_it() {
    assert!(python("import pika\nExchange('xivo')\nQueue('q', 'xivo', 'k')").is_empty());
    assert!(python("import kombu\nfrom queue import Queue\nQueue('q', 'xivo', 'k')").is_empty());
}

#[test]
fn a_queue_of_kombu_is_bound_by_what_it_is_given() {
    let kombu = |text: &str| python(&format!("from kombu import *\nimport kombu as k\n{text}"));
    assert_eq!(kombu("k.Queue('q')"), ["3:3 declares queue \"q\" durable by default"]);
    assert_eq!(
        kombu("k.Queue('q', k.Exchange('x', 'topic')).bind_to('y', 'z')"),
        [
            "3:3 declares queue \"q\" durable by default",
            "3:3 binds queue \"q\" to \"x\" with default \"\"",
            "3:16 declares exchange \"x\" \"topic\" durable by default",
            "3:40 binds queue \"q\" to \"y\" with \"z\"",
        ]
    );
}

// ── node ─────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn amqplib_is_understood_with_await_and_with_then() {
    assert_eq!(
        javascript("const { queue: q } = await ch.assertQueue(''); await ch.bindQueue(q, 'xivo', 'k');"),
        ["1:31 declares queue \"\" durable by default", "1:57 binds queue \"\" to \"xivo\" with \"k\""]
    );
    assert_eq!(
        javascript("ch.assertQueue('q').then(ok => ch.bindQueue(ok.queue, 'xivo', 'k'))"),
        ["1:4 declares queue \"q\" durable by default", "1:35 binds queue \"q\" to \"xivo\" with \"k\""]
    );
    assert_eq!(
        javascript("ch.assertExchange('xivo-cti', 'direct', { durable: false, autoDelete: x })"),
        ["1:4 declares exchange \"xivo-cti\" \"direct\" auto-delete ?x"]
    );
}

#[test]
fn words_that_others_use_too_count_with_amqplib_alone() {
    assert!(
        javascript("// amqp\nmqtt.publish('a', 'b', 'c'); mqtt.consume('q', f); db.connect('mysql://h')")
            .is_empty()
    );
    assert_eq!(
        javascript(
            "const l = require('amqplib'), db = require('mysql'); l.connect('amqp://h'); db.connect('x')"
        ),
        ["1:56 connects to \"h\""]
    );
    assert_eq!(
        javascript("import { connect } from 'amqplib'; connect({ hostname: 'h' }); ch.publish('x', 'k', b)"),
        ["1:36 connects to \"h\"", "1:67 publishes to \"x\" with \"k\""]
    );
}

#[test]
fn what_an_outer_variable_is_given_within_a_function_counts() {
    let text = "let key = 'a'; function f() { key = 'b' } ch.bindQueue('q', 'xivo', key)";
    assert_eq!(javascript(text), ["1:46 binds queue \"q\" to \"xivo\" with ?key"]);
    let text = "function C() { this.key = 'a' }\nC.prototype.f = function () { ch.bindQueue('q', 'xivo', this.key) }";
    assert_eq!(javascript(text), ["2:34 binds queue \"q\" to \"xivo\" with \"a\""]);
}

#[test]
fn a_function_that_is_bound_is_no_queue() {
    assert!(javascript("var amqp = require('amqp'); f.bind(this); f.bind('xivo', 'k')").is_empty());
}

// ── PHP ──────────────────────────────────────────────────────────────────────────────────────────

#[test]
fn php_amqplib_is_auto_delete_by_default() {
    assert_eq!(
        php("$c->exchange_declare('xivo', 'topic'); $c->queue_declare('q', false, true, false, false);"),
        [
            "1:11 declares exchange \"xivo\" \"topic\" auto-delete by default",
            "1:50 declares queue \"q\" durable",
        ]
    );
    assert_eq!(
        php("[$q] = $c->queue_declare(exclusive: true); $c->queue_bind($q, 'x', \"a.{$k}\");"),
        [
            "1:18 declares queue default \"\" exclusive auto-delete by default",
            "1:54 binds queue default \"\" to \"x\" with ?\"a.{$k}\"",
        ]
    );
}

#[test]
fn a_function_of_php_does_not_see_variables_of_the_file_but_its_constants() {
    let text = "$key = 'a'; const K = 'b'; function f($c) { $c->queue_bind('q', K, $key); }";
    assert_eq!(php(text), ["1:55 binds queue \"q\" to \"b\" with ?$key"]);
    let text = "$key = 'a'; function f($c) { global $key; $c->queue_bind('q', 'x', $key); }";
    assert_eq!(php(text), ["1:53 binds queue \"q\" to \"x\" with \"a\""]);
    let text = "$key = 'a'; $f = function ($c) use ($key) { $c->queue_bind('q', 'x', $key); };";
    assert_eq!(php(text), ["1:55 binds queue \"q\" to \"x\" with \"a\""]);
}

#[test]
fn the_extension_knows_what_its_objects_are_told_once() {
    let text = "$q = new AMQPQueue($c); $q->setName('a'); $q->setName('b'); $q->bind('xivo', 'k');";
    assert_eq!(php(text), ["1:71 binds queue ? to \"xivo\" with \"k\""]);
    let text = "$x = new AMQPExchange($c); $x->setName('xivo'); $x->setType('topic'); $x->setFlags($f); $x->declareExchange();";
    assert_eq!(
        php(text),
        ["1:99 declares exchange \"xivo\" \"topic\" durable ?$f auto-delete ?$f passive ?$f"]
    );
    let text = "$x = new AMQPExchange($c); $x->setName('xivo'); $x->publish('m');";
    assert_eq!(php(text), ["1:59 publishes to \"xivo\" with default \"\""]);
}

// ── Syntax ───────────────────────────────────────────────────────────────────────────────────────

#[test]
fn what_stands_behind_wrong_syntax_is_read_and_the_place_is_told() {
    let found = python("ch.queue_bind('q', 'xivo', 'a')\ndef f(:\nch.queue_bind('q', 'xivo', 'b')\n");
    assert!(found.contains(&"1:4 binds queue \"q\" to \"xivo\" with \"a\"".to_owned()), "{found:?}");
    assert!(found.contains(&"3:4 binds queue \"q\" to \"xivo\" with \"b\"".to_owned()), "{found:?}");
    assert!(found.iter().any(|line| line.ends_with("wrong syntax")), "{found:?}");
}

#[test]
fn python_2_is_not_wrong_syntax() {
    let text = "import pika\ntry:\n  print >>f, 'x'\n  exec 'x'\nexcept IOError, e:\n  raise E, 'x'\nx = `1` <> 0777L\n";
    let found = python(text);
    assert!(!found.iter().any(|line| line.ends_with("wrong syntax")), "{found:?}");
    assert_eq!(found, ["3:3 PrintStatement"]);
}

#[test]
fn a_language_is_told_by_the_name_or_the_first_line() {
    assert_eq!(scan::language_of("a/popup.PY", ""), Some(Language::Python));
    assert_eq!(scan::language_of("a.b/popup", "#!/usr/bin/env python2.7"), Some(Language::Python));
    assert_eq!(scan::language_of("popup", "#!/usr/bin/node"), Some(Language::JavaScript));
    assert_eq!(scan::language_of("popup.tsx", ""), Some(Language::TypeScript));
    assert_eq!(scan::language_of("popup", "<?php"), Some(Language::Php));
    assert_eq!(scan::language_of(".py", ""), None);
    assert_eq!(scan::language_of("README.md", "# python"), None);
}
