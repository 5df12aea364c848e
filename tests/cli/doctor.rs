//! What the doctor says of sites that were saved: the checks and their exit codes.

use std::net::TcpListener;
use std::path::Path;

use serde_json::Value as Json;

use crate::harness::{Directory, Ran, cti};

fn golden(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/doctor").join(file).display().to_string()
}

fn examined(name: &str, arguments: &[&str]) -> Ran {
    let site = golden(&format!("{name}.site.json"));
    cti(["doctor", "--offline", "--site", &site].into_iter().chain(arguments.iter().copied())).run()
}

#[test]
fn each_saved_site_gets_its_diagnosis() {
    for (name, code) in [
        ("xivo-14.24", 1),
        ("wazo-19.05", 0),
        ("wazo-23.01", 1),
        ("bridge-runs", 0),
        ("everything-wrong", 1),
        ("little-seen", 0),
    ] {
        let ran = examined(name, &[]);
        let expected = std::fs::read_to_string(golden(&format!("{name}.txt"))).unwrap();
        assert_eq!(ran, Ran { code, stdout: expected, stderr: String::new() }, "{name}");
    }
}

#[test]
fn the_settings_decide_what_is_needed() {
    let config = |name: &str, text: &str| Directory::new(name).file("config.yml", text);
    let told = |directory: &Directory, site: &str| {
        let path = directory.0.join("config.yml");
        examined(site, &["--config", path.to_str().unwrap()]).stdout
    };
    let newer = config("doctor-newer", "modern: {version: '23.01'}\n");
    let text = told(&newer, "wazo-23.01");
    assert!(text.contains("ok       traffic   the events are on `wazo-headers`"), "{text}");
    // What is fed by another exchange is no rival's.
    let text = told(&newer, "wazo-19.05");
    assert!(
        text.contains("ok       traffic   the events are on `xivo`, which feeds `wazo-headers`"),
        "{text}"
    );
    let classic = config("doctor-classic", "queue_type: classic\nqueue_prefix: other\n");
    let text = told(&classic, "xivo-14.24");
    assert!(text.contains("ok       version   RabbitMQ 3.6.6, with classic queues"), "{text}");
    assert!(text.contains("`other.modern` is not there yet"), "{text}");
    let passive = config("doctor-passive", "modern: {declare: false, bus: {exchange_name: elsewhere}}\n");
    let text = told(&passive, "wazo-19.05");
    assert!(text.contains("fail     exchange  `elsewhere` is not there\n"), "{text}");
}

#[test]
fn what_is_listened_for_decides_what_is_needed_and_has_a_rule() {
    let told = |events: &str| {
        let config = format!("legacy: {{events: {events}}}\n");
        let directory = Directory::new(&format!("doctor-listen-{events}")).file("config.yml", &config);
        examined("wazo-19.05", &["--config", directory.0.join("config.yml").to_str().unwrap()])
    };
    assert!(told("all").stdout.contains("`cti-bridge.modern.filter`"));
    let deaf = told("none");
    assert_eq!(
        (deaf.code, deaf.stdout.contains("`cti-bridge.modern.filter`")),
        (0, false),
        "{}",
        deaf.stdout
    );
    for (events, words) in [
        ("[none, call_held]", "cannot listen for `none` and for `call_held`"),
        ("[none, all]", "cannot listen for `none` and for `all`"),
        ("[call_hold]", "cannot listen for `call_hold`: there is no rule for it"),
    ] {
        let refused = told(events);
        assert_eq!((refused.code, refused.stdout.as_str()), (78, ""), "{events}");
        assert!(refused.stderr.contains(words) && refused.stderr.contains("help:"), "{}", refused.stderr);
    }
}

#[test]
fn a_warning_fails_where_it_is_asked_to() {
    let directory =
        Directory::new("doctor-warning").file("config.yml", "modern: {bus: {exchange_name: own}}\n");
    let config = directory.0.join("config.yml");
    let arguments = ["--config", config.to_str().unwrap(), "--fail-on"];
    let code = |state| {
        let site = r#"{"schema": "cti-bridge/site/1", "broker_version": "3.10.8", "permissions":
            [{"user": "guest", "configure": ".*", "write": ".*", "read": ".*"}]}"#;
        let run = cti(["doctor", "--offline", "--site", "-"].into_iter().chain(arguments).chain([state]));
        run.stdin(site).run().code
    };
    assert_eq!((code("warn"), code("fail")), (1, 0));
}

#[test]
fn the_document_has_every_check() {
    let ran = examined("everything-wrong", &["--output", "json"]);
    let document: Json = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&document["schema"], &document["worst"]), (&"cti-bridge/doctor/1".into(), &"fail".into()));
    let checks = document["checks"].as_array().unwrap();
    let text = examined("everything-wrong", &[]).stdout;
    assert!(checks.iter().all(|check| text.contains(check["finding"].as_str().unwrap())));
    assert!(text.contains(&format!("{} checks", checks.len())), "{text}");
}

#[test]
fn offline_needs_files_and_nothing_else() {
    for arguments in [
        &["doctor", "--offline"][..],
        &["doctor", "--offline", "--site", "s", "--management-url", "http://h"],
    ] {
        assert_eq!(cti(arguments.iter().copied()).run().code, 64, "{arguments:?}");
    }
}

#[test]
fn a_broker_that_is_not_there_is_unreachable_and_nothing_is_reported() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("amqp://127.0.0.1:{port}");
    let ran = cti(["doctor", "--amqp-url", &url]).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (69, ""), "{}", ran.stderr);
}

#[test]
fn a_password_in_the_address_of_the_api_is_refused() {
    let ran = cti(["doctor", "--management-url", "http://user:hunter2@pbx:15672"]).run();
    assert_eq!(ran.code, 64);
    assert!(
        !ran.stderr.contains("hunter2") && ran.stderr.contains("CTI_BRIDGE_MANAGEMENT_URL"),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_help_has_the_commands_to_run_on_the_broker() {
    let help = cti(["doctor", "--help"]).run().stdout;
    let words: Vec<&str> = help.split_whitespace().collect();
    let help = words.join(" ");
    for command in cti_bridge::core::site::rabbitmqctl::COMMANDS {
        assert!(help.contains(&format!("rabbitmqctl {command} --formatter json")), "{command}: {help}");
    }
}
