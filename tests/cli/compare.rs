use serde_json::{Value as Json, json};

use super::harness::{Directory, Ran, cti};

const HEADER: &str = r##"{"format":"cti-bridge/recording","version":1,"broker":"amqp://guest@localhost:5672/%2f","exchange":"xivo","keys":["#"],"started":"2026-01-01T00:00:00.000000Z"}"##;

/// A line of a recording.
pub fn line(key: &str, body: &Json) -> String {
    json!({"received": "2026-01-01T00:00:01.000000Z", "exchange": "xivo", "routing_key": key, "body": body})
        .to_string()
}

/// A recording with these lines behind the first, and its end.
pub fn recording(lines: &[String]) -> String {
    let end = json!({"end": {"at": "2026-01-01T00:00:02.000000Z", "messages": lines.len()}}).to_string();
    let all = [HEADER.to_owned()].into_iter().chain(lines.iter().cloned()).chain([end]);
    all.map(|line| line + "\n").collect()
}

fn calls(count: usize) -> Vec<String> {
    let call = |number: usize| {
        let (name, step) =
            [("call_created", "created"), ("call_updated", "updated"), ("call_ended", "ended")][number % 3];
        let data =
            json!({"call_id": format!("1.{number}"), "user_uuid": "7", "status": "Up", "on_hold": false});
        line(
            &format!("calls.call.{step}"),
            &json!({"name": name, "required_acl": "events.calls.7", "data": data}),
        )
    };
    (0..count).map(call).collect()
}

fn compare(before: &str, after: &str, arguments: &[&str]) -> Ran {
    static NEXT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let directory =
        Directory::new(&format!("compare-{number}")).file("a.jsonl", before).file("b.jsonl", after);
    cti(["compare", "a.jsonl", "b.jsonl"].into_iter().chain(arguments.iter().copied()))
        .within(&directory)
        .run()
}

#[test]
fn a_recording_is_like_itself() {
    let calls = recording(&calls(100));
    let ran = compare(&calls, &calls, &[]);
    let expected = "no difference; 100 messages in both\n";
    assert_eq!(ran, Ran { code: 0, stdout: expected.into(), stderr: String::new() });
}

#[test]
fn three_dropped_one_changed_and_two_swapped_are_exactly_that() {
    let before = calls(10_000);
    let mut after = before.clone();
    after[5000] = after[5000].replace("\"Up\"", "\"Down\"");
    after.swap(7001, 7002);
    for dropped in [9001, 4444, 101] {
        after.remove(dropped);
    }
    let (before, after) = (recording(&before), recording(&after));
    let ran = compare(&before, &after, &[]);
    assert_eq!((ran.code, ran.stderr.as_str()), (1, ""));
    let body = |name: &str, number: u32| {
        format!(
            r#"{{"data":{{"call_id":"1.{number}","on_hold":false,"status":"Up","user_uuid":"7"}},"name":"{name}","required_acl":"events.calls.7"}}"#
        )
    };
    let expected = format!(
        "missing    call_ended  line 103  {}
missing    call_updated  line 4446  {}
missing    call_updated  line 9003  {}
changed    call_ended  line 5002 ⇒ line 5000
           data.status: \"Up\" ⇒ \"Down\"
swapped    call_ended  line 7003 ⇒ line 7002
       and call_created  line 7004 ⇒ line 7001

event         missing  extra  changed  reordered  refused
call_created  0        0      0        1          0
call_ended    1        0      1        1          0
call_updated  2        0      0        0          0

5 differences; 9996 messages in both
",
        body("call_ended", 101),
        body("call_updated", 4444),
        body("call_updated", 9001)
    );
    assert_eq!(ran.stdout, expected);

    let ran = compare(&before, &after, &["--output", "json", "--ignore-order", "--ignore", "data.status"]);
    let document: Json = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(ran.code, 1);
    assert_eq!(document["schema"], "cti-bridge/comparison/1");
    assert_eq!((document["equal"].as_bool(), document["matched"].as_u64()), (Some(false), Some(9997)));
    assert_eq!(document["missing"].as_array().unwrap().len(), 3);
    assert_eq!(
        (&document["changed"], &document["reordered"], &document["extra"]),
        (&json!([]), &json!([]), &json!([]))
    );
}

#[test]
fn a_legacy_recording_is_what_the_rules_make_of_a_modern_one() {
    let modern = [
        line(
            "calls.call.created",
            &json!({"name": "call_created", "origin_uuid": "u", "required_acl": "events.calls.7", "data": {"user_uuid": "7"}}),
        ),
        line(
            "status.agent",
            &json!({"name": "agent_status_update", "required_acl": null, "data": {"agent_id": 42}}),
        ),
        line("new.event", &json!({"name": "new_event", "data": {"x": 1.0}})),
    ];
    let legacy = |key: &str, data: Json| {
        json!({"received": "", "exchange": "xivo-cti", "routing_key": key, "body": {"name": key, "data": data}}).to_string()
    };
    let mut lines = vec![
        legacy("call_created", json!({"user_uuid": "7"})),
        legacy("agent_status_update", json!({"agent_id": 42})),
        legacy("new_event", json!({"x": 1.0})),
    ];
    let on_legacy =
        |lines: &[String]| recording(lines).replacen("\"exchange\":\"xivo\"", "\"exchange\":\"xivo-cti\"", 1);
    // `agent_status_update` goes to `xivo-status-updates` as well, which was not recorded.
    let ran = compare(&recording(&modern), &on_legacy(&lines), &["--translate", "legacy"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "no difference; 3 messages in both\n"), "{}", ran.stderr);
    lines.remove(0);
    let ran = compare(&recording(&modern), &on_legacy(&lines), &["--translate", "legacy"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("missing    call_created  line 2  "), "{}", ran.stdout);
    // The other way, what has no rule is told.
    let unknown = recording(&[line("a", &json!({"name": "no_such_event", "data": {}}))]);
    let ran = compare(&unknown, &recording(&[]), &["--translate", "modern"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stdout.starts_with("refused    no_such_event  line 2: unknown_event: "), "{}", ran.stdout);
}

#[test]
fn properties_are_compared_on_request_all_but_the_mark() {
    let with = |headers: Json, priority: u8| {
        let mut line: Json = serde_json::from_str(&calls(1)[0]).unwrap();
        line["properties"] = json!({"headers": headers, "priority": priority, "user_id": "guest"});
        recording(&[line.to_string()])
    };
    let (one, other) =
        (with(json!({"cti-bridge": "b", "n": 1}), 1), with(json!({"n": {"type": "int64", "value": 1}}), 2));
    assert_eq!(compare(&one, &other, &[]).code, 0);
    let ran = compare(&one, &other, &["--properties"]);
    let expected = "           properties.headers.n: 1 ⇒ {\"type\": \"int64\", \"value\": 1}\n           properties.priority: 1 ⇒ 2\n";
    assert!(ran.stdout.contains(expected), "{}", ran.stdout);
    assert_eq!(compare(&one, &other, &["--properties", "--ignore", "properties.*"]).code, 0);
}

#[test]
fn what_is_no_recording_is_refused_with_its_line() {
    let good = recording(&calls(2));
    let cases: [(&str, &str); 6] = [
        (
            "",
            "a.jsonl:1: not a recording: the first line does not say `\"format\": \"cti-bridge/recording\"`",
        ),
        ("{\"name\": \"call_created\"}\n", "a.jsonl:1: not a recording: "),
        (
            &good.replace("\"version\":1", "\"version\":7"),
            "a.jsonl:1: a recording of version 7, and this program reads version 1",
        ),
        (
            &good.replacen("\"routing_key\"", "\"routing_kez\"", 1),
            "a.jsonl:2: unknown field `routing_kez`, expected one of ",
        ),
        (&good.replacen(",\"routing_key\":\"calls.call.updated\"", "", 1), "a.jsonl:3: no `routing_key`"),
        (
            &good.replacen("\"exchange\":\"xivo\",\"received\"", "\"exchange\":\"xi\u{1b}[31m", 1),
            "a.jsonl:2: ",
        ),
    ];
    for (bad, message) in cases {
        let ran = compare(bad, &good, &[]);
        assert_eq!((ran.code, ran.stdout.as_str()), (65, ""), "{bad}");
        assert!(ran.stderr.starts_with(&format!("error: {message}")), "{}", ran.stderr);
        assert!(!ran.stderr.contains('\u{1b}'));
    }
    let missing = cti(["compare", "/nonexistent/a", "/nonexistent/b"]).run();
    assert_eq!(missing.code, 66);
    assert_eq!(missing.stderr, "error: cannot read /nonexistent/a: No such file or directory (os error 2)\n");
    let ran = compare(&good, &good, &["--ignore", "a..b"]);
    assert_eq!(ran.code, 64);
}

#[test]
fn what_may_be_missing_is_told() {
    let whole = recording(&calls(3));
    let cut = &whole[..whole.len() - 100];
    let ran = compare(&whole, cut, &[]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr, "note: b.jsonl: the last line was cut off and is left out\n");
    let gap = json!({"gap": {"from": "t1", "to": "t2", "reason": "lost\u{1b}[0m"}}).to_string();
    let with_gap = recording(&[vec![gap], calls(3)].concat());
    let without_end = whole.lines().take(4).map(|line| format!("{line}\n")).collect::<String>();
    let ran = compare(&with_gap, &without_end, &[]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "no difference; 3 messages in both\n"));
    assert_eq!(
        ran.stderr,
        "note: a.jsonl: messages may be missing between t1 and t2: lost\u{fffd}[0m\nnote: b.jsonl: the recording was not brought to its end\n"
    );
}

#[test]
fn a_field_beside_data_is_named_as_it_is_left_out() {
    let event = |origin: Option<&str>| {
        let mut body = json!({"name": "n", "data": {"n": 1}, "required_acl": "a"});
        if let Some(origin) = origin {
            body["origin_uuid"] = json!(origin);
        }
        recording(&[line("k", &body)])
    };
    let ran = compare(&event(Some("x")), &event(None), &[]);
    assert!(ran.stdout.contains("\n           origin_uuid: \"x\" ⇒ (none)\n"), "{}", ran.stdout);
    assert_eq!(compare(&event(Some("x")), &event(None), &["--ignore", "origin_uuid"]).code, 0);
}
