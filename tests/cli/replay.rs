//! What can be said of recordings without a broker: dry runs, and input that is not what it should be.

use serde_json::{Value as Json, json};

use super::compare::{line, recording};
use super::harness::{Directory, Ran, cti};

fn replay(name: &str, file: &str, arguments: &[&str]) -> Ran {
    let directory = Directory::new(&format!("replay-{name}")).file("r.jsonl", file);
    cti(["replay", "r.jsonl"].into_iter().chain(arguments.iter().copied())).within(&directory).run()
}

fn two_events() -> String {
    let call = json!({"name": "call_created", "required_acl": "events.calls.7", "data": {"user_uuid": "7"}});
    let favorite = json!({"name": "favorite_added", "data": {}});
    recording(&[line("calls.call.created", &call), line("directory.7.favorite.created", &favorite)])
}

#[test]
fn a_dry_run_says_what_would_be_published() {
    let ran = replay("dry", &two_events(), &["--dry-run"]);
    let told =
        "xivo  call_created    1\nxivo  favorite_added  1\nwould publish 2 messages, recorded within 0.0 s\n";
    assert_eq!(ran, Ran { code: 0, stdout: told.into(), stderr: String::new() });
}

#[test]
fn only_the_chosen_events_are_published() {
    let ran = replay("only", &two_events(), &["--dry-run", "--only", "call_*", "--output", "json"]);
    let document: Json = serde_json::from_str(&ran.stdout).unwrap();
    let events = json!([{"event": "call_created", "exchange": "xivo", "messages": 1}]);
    assert_eq!((ran.code, &document["events"], &document["to_publish"]), (0, &events, &json!(1)));
}

#[test]
fn a_translation_says_where_it_goes_and_what_has_none() {
    let ran = replay("legacy", &two_events(), &["--dry-run", "--translate", "legacy"]);
    assert!(ran.stdout.starts_with("xivo-cti  call_created    1\n"), "{ran:?}");
    assert_eq!(ran.code, 0);

    let form = json!({"name": "call_form_result", "data": {"user_id": 40}});
    let unknown = json!({"name": "never_heard_of", "data": {}});
    let legacy = recording(&[line("call_form_result", &form), line("never_heard_of", &unknown)]);
    let ran = replay("modern", &legacy, &["--dry-run", "--translate", "modern", "--origin-uuid", "u"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.contains("would publish 1 message, "), "{ran:?}");
    assert!(ran.stdout.contains("1 message not translated"), "{ran:?}");
    assert!(ran.stderr.starts_with("r.jsonl:3: never_heard_of: unknown_event: "), "{ran:?}");
}

#[test]
fn an_exchange_at_work_needs_approval() {
    let ran = replay("approval", &two_events(), &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""));
    assert!(ran.stderr.contains("`xivo`") && ran.stderr.contains("--approve"), "{ran:?}");
}

#[test]
fn what_is_no_recording_is_told_with_its_line_before_anything_is_published() {
    let cut = two_events().lines().take(2).map(|line| format!("{line}\n")).collect::<String>();
    for (name, file, line) in [
        ("empty", String::new(), "r.jsonl:1"),
        ("other", "{\"name\": \"call_created\"}\n".into(), "r.jsonl:1"),
        ("newer", two_events().replacen("\"version\":1", "\"version\":2", 1), "r.jsonl:1"),
        ("line", format!("{cut}{{\"received\": 1}}\n"), "r.jsonl:3"),
    ] {
        let ran = replay(name, &file, &["--dry-run"]);
        assert_eq!((ran.code, ran.stdout.as_str()), (65, ""), "{name}: {ran:?}");
        assert!(ran.stderr.contains(line), "{name}: {ran:?}");
    }
    let directory = Directory::new("replay-none");
    let ran = cti(["replay", "r.jsonl", "--dry-run"]).within(&directory).run();
    assert_eq!(ran.code, 66, "{ran:?}");
}

#[test]
fn a_last_line_that_was_cut_off_is_left_out_and_told() {
    let whole = two_events();
    let cut: String =
        whole.lines().take(2).map(|line| format!("{line}\n")).collect::<String>() + "{\"received\": \"2026";
    let ran = replay("torn", &cut, &["--dry-run"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("would publish 1 message"), "{ran:?}");
    assert_eq!(ran.stderr, "note: r.jsonl: the last line was cut off and is left out\n");
}

#[test]
fn a_recording_is_not_overwritten_and_a_queue_not_emptied_by_mistake() {
    let directory = Directory::new("record-exists").file("r.jsonl", "precious");
    let ran = cti(["record", "--out", "r.jsonl"]).within(&directory).run();
    assert_eq!(
        (ran.code, std::fs::read_to_string(directory.0.join("r.jsonl")).unwrap()),
        (64, "precious".into())
    );
    assert!(ran.stderr.contains("--force"), "{ran:?}");
    let ran = cti(["record", "--queue", "cti-bridge.modern"]).run();
    assert_eq!(ran.code, 64);
    assert!(ran.stderr.contains("--consume"), "{ran:?}");
}
