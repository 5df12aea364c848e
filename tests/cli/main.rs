//! Command lines, and what they come to: output, messages and exit code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod audit;
mod changelog;
mod compare;
mod doctor;
mod harness;
mod replay;
mod site;

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use cti_bridge::exit_code::Exit;
use harness::{Directory, Ran, cti};
use serde_json::{Value as Json, json};

const UUID: &str = "ca7f87e9-c2c8-5fad-ba1b-c3140ebb9be3";
const FORM: &str = r#"{"name": "call_form_result", "data": {"user_id": 40}}"#;

fn done(stdout: &str) -> Ran {
    Ran { code: 0, stdout: stdout.into(), stderr: String::new() }
}

fn lines(text: &str) -> Vec<Json> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

mod translate {
    use super::*;

    #[test]
    fn an_event_becomes_a_record() {
        let ran = cti(["translate", "--to", "modern", "--origin-uuid", UUID]).stdin(FORM).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert_eq!(
            lines(&ran.stdout),
            [json!({
                "exchange": "xivo",
                "routing_key": "call_form_result",
                "properties": {
                    "content_type": "application/json",
                    "content_encoding": "utf-8",
                    "headers": {"name": "call_form_result", "origin_uuid": UUID, "cti-bridge": UUID},
                },
                "body": {"name": "call_form_result", "origin_uuid": UUID, "data": {"user_id": 40}},
            })]
        );
    }

    #[test]
    fn a_modern_event_goes_to_each_of_its_legacy_addresses() {
        let event = r#"{"name": "agent_status_update", "required_acl": null, "data": {"agent_id": 42}}"#;
        let ran = cti(["translate", "--to", "legacy"]).stdin(event).run();
        let records = lines(&ran.stdout);
        let body = json!({"name": "agent_status_update", "data": {"agent_id": 42}});
        assert_eq!(records.len(), 2);
        for (record, (exchange, key)) in
            records.iter().zip([("xivo-cti", "agent_status_update"), ("xivo-status-updates", "status.agent")])
        {
            assert_eq!(record["exchange"], exchange);
            assert_eq!(record["routing_key"], key);
            assert_eq!(record["body"], body);
            assert_eq!(record["properties"], json!({"headers": {"cti-bridge": NO_UUID}}));
        }
    }

    const NO_UUID: &str = "00000000-0000-0000-0000-000000000000";

    #[test]
    fn bare_is_the_event_alone() {
        let ran = cti(["translate", "--to", "legacy", "--bare"])
            .stdin(r#"{"origin_uuid":"u","name":"call_held","data":{"call_id":"1.20"},"required_acl":"x"}"#)
            .run();
        assert_eq!(ran, done("{\"name\": \"call_held\", \"data\": {\"call_id\":\"1.20\"}}\n"));
    }

    #[test]
    fn a_record_keeps_its_identity_towards_modern_and_loses_it_towards_legacy() {
        let record = json!({
            "exchange": "xivo-cti",
            "routing_key": "call_form_result",
            "properties": {
                "message_id": "m", "correlation_id": "c", "timestamp": 1_700_000_000,
                "expiration": "60000", "user_id": "guest", "reply_to": "q",
                "headers": {"required_acl": "events.all", "x-death": [], "CC": ["q"]},
            },
            "body": {"name": "call_form_result", "data": {}},
            "redelivered": true,
        })
        .to_string();
        let ran = cti(["translate", "--to", "modern"]).stdin(record.as_str()).run();
        let properties = &lines(&ran.stdout)[0]["properties"];
        assert_eq!(
            *properties,
            json!({
                "content_type": "application/json", "content_encoding": "utf-8",
                "message_id": "m", "correlation_id": "c", "timestamp": 1_700_000_000,
                "headers": {"name": "call_form_result", "origin_uuid": NO_UUID, "cti-bridge": NO_UUID},
            })
        );
        let ran = cti(["translate", "--to", "legacy"]).stdin(record).run();
        assert_eq!(lines(&ran.stdout)[0]["properties"], json!({"headers": {"cti-bridge": NO_UUID}}));
    }

    #[test]
    fn a_line_is_answered_before_the_next_one_ends() {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cti-bridge"))
            .args(["translate", "--to", "legacy", "--bare"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (line, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            BufReader::new(output).lines().try_for_each(|one| line.send(one.unwrap()))
        });
        for _ in 0..2 {
            // The next line has begun, as when a pipe is full.
            input.write_all(format!("{FORM}\n ").as_bytes()).unwrap();
            assert_eq!(lines.recv_timeout(Duration::from_secs(60)).as_deref(), Ok(FORM));
        }
        drop(input);
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn what_was_written_can_be_read_again() {
        let there = cti(["translate", "--to", "modern"]).stdin(FORM).run();
        let back = cti(["translate", "--to", "legacy", "--bare"]).stdin(there.stdout).run();
        assert_eq!(back, done(&format!("{FORM}\n")));
    }

    #[test]
    fn an_event_with_a_key_body_is_an_event() {
        let event = r#"{"name": "call_form_result", "data": 1, "body": {"name": "call_held"}}"#;
        let ran = cti(["translate", "--to", "legacy", "--bare"]).stdin(event).run();
        assert_eq!(ran, done("{\"name\": \"call_form_result\", \"data\": 1}\n"));
    }

    #[test]
    fn a_record_without_properties_is_one() {
        for properties in ["", r#""properties": null, "#, r#""properties": {}, "exchange": null, "#] {
            let ran = cti(["translate", "--to", "legacy", "--bare"])
                .stdin(format!("{{{properties}\"body\": {FORM}}}"))
                .run();
            assert_eq!(ran, done(&format!("{FORM}\n")), "{properties}");
        }
    }

    #[test]
    fn a_record_that_is_none_is_told_as_such() {
        let ran = cti(["translate", "--to", "legacy"])
            .stdin(format!("{{\"body\": {FORM}, \"properties\": {{\"message_id\": 3}}}}"))
            .run();
        assert_eq!(ran.code, 1);
        assert_eq!(ran.stderr, "line 1: not a record: invalid type: integer `3`, expected a string\n");
    }

    #[test]
    fn blank_lines_count_and_say_nothing() {
        let input = format!("\n  \r\n{FORM}\r\n\nnonsense\n{FORM}");
        let ran = cti(["translate", "--to", "legacy", "--bare"]).stdin(input).run();
        assert_eq!(ran.stdout, format!("{FORM}\n{FORM}\n"));
        assert_eq!(ran.stderr, "line 5: not_json: not JSON at line 1 column 2\n");
        assert_eq!(ran.code, 1);
    }

    #[test]
    fn nothing_in_is_nothing_out() {
        assert_eq!(cti(["translate", "--to", "modern"]).run(), done(""));
    }

    #[test]
    fn a_bad_line_does_not_stop_the_good_ones() {
        let input = [
            FORM,
            r#"{"name": "call_created", "data": {}}"#,
            r#"{"name": "never_heard_of", "data": {}}"#,
            r#"{"name": "user_status_update", "data": {}}"#,
            r#"{"data": {}}"#,
            "[]",
            FORM,
        ]
        .join("\n");
        let ran = cti(["translate", "--to", "modern", "--bare"]).stdin(input).run();
        assert_eq!(ran.code, 1);
        assert_eq!(lines(&ran.stdout).len(), 2);
        assert_eq!(
            ran.stderr,
            "line 2: bad_field: no `user_uuid` in `data` (rule `call_{action}`)\n\
             line 3: unknown_event: no rule for this event, and its routing key and ACL cannot be guessed\n\
             line 4: removed_event: removed in 19.05; presence is set through the REST API of wazo-chatd and \
             published as `chatd_presence_updated` (rule `user_status_update`)\n\
             line 5: bad_name: no `name`\n\
             line 6: not_an_event: not an object\n"
        );
    }

    #[test]
    fn bytes_that_are_no_text_are_a_bad_line() {
        let ran = cti(["translate", "--to", "legacy", "--bare"])
            .stdin([b"{\"name\": \"\xff\"}\n".as_slice(), FORM.as_bytes()].concat())
            .run();
        assert_eq!(ran.code, 1);
        assert_eq!(ran.stdout, format!("{FORM}\n"));
        assert_eq!(ran.stderr, "line 1: not_utf8: byte 10 is not UTF-8\n");
    }

    #[test]
    fn files_are_read_in_turn_and_a_dash_is_standard_input() {
        let directory = Directory::new("cli/files")
            .file("a.jsonl", r#"{"name": "a"}"#)
            .file("b.jsonl", "{\"name\": \"b\"}\n\nnonsense\n");
        let ran = cti(["translate", "--to", "legacy", "--bare", "a.jsonl", "-", "b.jsonl"])
            .within(&directory)
            .stdin("{\"name\": \"c\"}\nalso nonsense\n")
            .run();
        let body = |name: &str| format!("{{\"name\": \"{name}\", \"data\": null}}\n");
        assert_eq!(ran.stdout, [body("a"), body("c"), body("b")].concat());
        assert_eq!(
            ran.stderr,
            "line 2: not_json: not JSON at line 1 column 1\n\
             b.jsonl:3: not_json: not JSON at line 1 column 2\n"
        );
        assert_eq!(ran.code, 1);
    }

    #[test]
    fn lines_may_be_longer_than_what_is_read_at_once_and_end_anywhere() {
        let event = |length: usize| format!("{{\"name\": \"a\", \"data\": \"{}\"}}\n", "x".repeat(length));
        // The last line of the beginning is three times as long as a read.
        let (beginning, end): (String, String) = (
            (0..400).chain([200_000]).map(event).collect(),
            (0..700).map(|length| event(length * 3)).collect(),
        );
        let directory = Directory::new("cli/long").file("a.jsonl", format!("{beginning}nonsense\n{end}"));
        let ran = cti(["translate", "--to", "legacy", "--bare", "a.jsonl"]).within(&directory).run();
        assert!(ran.stdout == [beginning, end].concat(), "not as it came: {} bytes", ran.stdout.len());
        assert_eq!(ran.stderr, "a.jsonl:402: not_json: not JSON at line 1 column 2\n");
        assert_eq!(ran.code, 1);
    }

    #[test]
    fn a_missing_file_is_no_input() {
        let directory = Directory::new("cli/missing").file("a.jsonl", FORM);
        let ran = cti(["translate", "--to", "legacy", "--bare", "a.jsonl", "nope.jsonl", "a.jsonl"])
            .within(&directory)
            .run();
        assert_eq!(ran.code, 66);
        assert_eq!(ran.stdout, format!("{FORM}\n"));
        assert_eq!(ran.stderr, "error: cannot read nope.jsonl: No such file or directory (os error 2)\n");
        let ran = cti(["translate", "--to", "legacy", "."]).within(&directory).run();
        assert_eq!(ran.code, 66);
    }

    #[test]
    fn unknown_events_are_what_the_option_says() {
        let event = r#"{"name": "never_heard_of", "data": {}}"#;
        let with = |what: &str| {
            cti(["translate", "--to", "legacy", "--bare", "--unknown-events", what]).stdin(event).run()
        };
        assert_eq!(with("pass"), done(&format!("{event}\n")));
        assert_eq!(with("drop"), done(""));
        let ran = with("quarantine");
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
        assert_eq!(ran.stderr, "line 1: unknown_event: no rule for this event\n");
        assert_eq!(with("explode").code, 64);
    }

    #[test]
    fn the_version_decides_which_rule_holds() {
        let event = r#"{"name": "user_status_update", "data": {"user_uuid": "u", "status": "busy"}}"#;
        let at = |version: &str| {
            cti(["translate", "--to", "modern", "--bare", "--modern-version", version]).stdin(event).run()
        };
        assert_eq!(lines(&at("19.04").stdout)[0]["required_acl"], "events.statuses.users");
        assert_eq!(lines(&at("16.02").stdout)[0].get("required_acl"), None);
        assert_eq!(at("19.05").code, 1);
        assert_eq!(at("19.5").code, 64);
    }

    #[test]
    fn rules_of_the_site_replace_built_in_ones() {
        let directory = Directory::new("cli/site").file(
            "rules/calls.yml",
            "- event: call_held\n  source: this site\n  modern: {routing_key: site.held}\n",
        );
        let event = r#"{"name": "call_held"}"#;
        let key = |ran: Ran| lines(&ran.stdout)[0]["routing_key"].clone();
        let flag = cti(["translate", "--to", "modern", "--mappings", "rules"]).within(&directory);
        assert_eq!(key(flag.stdin(event).run()), "site.held");
        let variable = cti(["translate", "--to", "modern"]).env("CTI_BRIDGE_MAPPINGS", "rules");
        assert_eq!(key(variable.within(&directory).stdin(event).run()), "site.held");
        assert_eq!(key(cti(["translate", "--to", "modern"]).stdin(event).run()), "calls.hold.created");
        let alone = cti(["translate", "--to", "modern", "--no-builtin-mappings", "--mappings", "rules"]);
        assert_eq!(alone.within(&directory).stdin(FORM).run().code, 1);
    }

    #[test]
    fn a_rule_that_is_replaced_is_told_as_that() {
        let rule = "- event: call_created\n  source: a site\n  modern: {routing_key: own.key}\n";
        let directory = Directory::new("cli/replaced").file("own/calls.yaml", rule);
        let list = cti(["rules", "list", "--mappings", "own"]).within(&directory).run().stdout;
        let rows: Vec<_> = list.lines().filter(|line| line.starts_with("call_created ")).collect();
        assert!(matches!(rows[..], [row] if row.ends_with("own.key")), "{rows:?}");
        let show =
            cti(["rules", "show", "call_created", "--mappings", "own"]).within(&directory).run().stdout;
        let (builtin, own) = show.split_once("\n\n").expect("both rules");
        assert!(builtin.ends_with("  replaced      in own/calls.yaml"), "{builtin}");
        assert!(own.contains("own.key") && !own.contains("replaced"), "{own}");
    }

    #[test]
    fn a_broken_rule_stops_it_before_it_begins() {
        let directory = Directory::new("cli/broken").file("rules/calls.yaml", "- event: call_held\n");
        let ran =
            cti(["translate", "--to", "modern", "--mappings", "rules"]).within(&directory).stdin(FORM).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (78, ""));
        assert!(ran.stderr.contains("rules/calls.yaml:1:3"), "{}", ran.stderr);
    }
}

mod rules {
    use super::*;

    #[test]
    fn the_built_in_rules_are_valid() {
        let ran = cti(["rules", "check"]).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        assert!(ran.stdout.ends_with(" changes: all hold\n"), "{}", ran.stdout);
        assert_eq!(ran.stdout.lines().count(), 1, "every event has an example");
    }

    #[test]
    fn an_event_without_an_example_is_mentioned() {
        let rule = "- event: call_held\n  source: test\n  modern: {routing_key: calls.held}\n";
        let directory = Directory::new("cli/no_example").file("rules/a.yaml", rule);
        assert_eq!(
            cti(["rules", "check", "rules"]).within(&directory).run(),
            done(
                "1 file, 1 rule, 1 event, 0 examples: all hold\nno example shows `call_held` (rules/a.yaml)\n"
            )
        );
    }

    #[test]
    fn a_file_of_comments_has_no_rules() {
        let directory =
            Directory::new("cli/comments").file("rules/a.yaml", "# nothing yet\n").file("rules/b.yml", "");
        assert_eq!(
            cti(["rules", "check", "rules"]).within(&directory).run(),
            done("2 files, 0 rules, 0 events, 0 examples: all hold\n")
        );
    }

    #[test]
    fn a_directory_that_is_not_there_or_has_no_rules_is_no_input() {
        let directory = Directory::new("cli/no_rules").file("rules/readme.txt", "");
        let ran = cti(["rules", "check", "nope"]).within(&directory).run();
        assert_eq!(ran.code, 66);
        assert_eq!(ran.stderr, "error: cannot read nope: No such file or directory (os error 2)\n");
        let ran = cti(["rules", "check", "rules"]).within(&directory).run();
        assert_eq!(ran.code, 66);
        assert_eq!(
            ran.stderr,
            "error: no mapping file in rules\n  = help: mapping files end in .yaml or .yml\n"
        );
    }

    #[test]
    fn a_file_in_another_encoding_is_invalid() {
        let directory = Directory::new("cli/latin").file("rules/a.yaml", b"# one\n# Qu\xe9bec\n");
        let ran = cti(["rules", "check", "rules"]).within(&directory).run();
        assert_eq!(ran.code, 78);
        assert_eq!(ran.stderr, "error: rules/a.yaml:2: not UTF-8\n  = help: save the file as UTF-8\n");
    }

    #[test]
    fn mistakes_of_all_files_are_told_in_one_run() {
        let directory = Directory::new("cli/mistakes")
            .file("rules/a.yaml", "- event: a\n")
            .file("rules/b.yaml", "- event: b{\n");
        let ran = cti(["rules", "check", "rules"]).within(&directory).run();
        assert_eq!(ran.code, 78);
        assert!(ran.stderr.contains("rules/a.yaml:1:3") && ran.stderr.contains("rules/b.yaml:1:10"));
        assert!(ran.stderr.ends_with("\n\n5 mistakes\n"), "{}", ran.stderr);
    }

    #[test]
    fn the_list_has_every_kind_of_event() {
        let ran = cti(["rules", "list"]).run();
        assert_eq!(ran.code, 0);
        let names: Vec<&str> =
            ran.stdout.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
        for name in [
            "call_form_result",
            "call_created",
            "auth_tenant_created",
            "auth_tenant_added",
            "chat_message_event",
            "chat_message_received",
            "chat_message_sent",
            "endpoint_status_update",
            "user_status_update",
            "{ami_event}",
        ] {
            assert!(names.contains(&name), "{name}\n{}", ran.stdout);
        }
        assert!(ran.stdout.lines().all(|line| line == line.trim_end()), "no blanks at the ends");
    }

    #[test]
    fn an_event_is_explained() {
        let ran = cti(["rules", "show", "call_held"]).run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
        let start = "call_held  16.08..\n  legacy        xivo-cti  key call_held\n  \
                     modern        call_held  key calls.hold.created\n  \
                     ACL           none: the websocket shows the event to nobody\n";
        assert!(ran.stdout.starts_with(start), "{}", ran.stdout);
    }

    #[test]
    fn every_name_an_event_goes_by_finds_it() {
        for (name, found) in [
            ("QueueMemberStatus", "ami.{ami_event}"),
            ("call_{action}", "calls.call.{action}"),
            ("chatd_presence_updated", "endpoint_status_update in mappings/presence.yaml"),
            ("service_registered", "service_registered_event"),
            ("auth_tenant_added", "auth_tenant_created"),
        ] {
            let ran = cti(["rules", "show", name]).run();
            assert_eq!(ran.code, 0, "{name}");
            assert!(ran.stdout.contains(found), "{name}\n{}", ran.stdout);
        }
    }

    #[test]
    fn a_near_miss_gets_a_suggestion() {
        let ran = cti(["rules", "show", "call_craeted"]).run();
        assert_eq!((ran.code, ran.stdout.as_str()), (66, ""));
        assert_eq!(ran.stderr, "error: no rule for `call_craeted`\n  = help: did you mean `call_created`?\n");
        let ran = cti(["rules", "show", "nothing_of_the_kind"]).run();
        assert_eq!(ran.code, 66);
        assert!(ran.stderr.contains("`cti-bridge rules list` shows all of them"), "{}", ran.stderr);
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        for name in ["A\u{1b}[31m", "a\u{1b}[31m"] {
            let ran = cti(["rules", "show", name]).run();
            assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
        }
    }

    #[test]
    fn json_names_its_schema() {
        for (arguments, schema, key) in [
            (["rules", "check"].as_slice(), "cti-bridge/rules-check/1", "examples"),
            (&["rules", "list"], "cti-bridge/rules-list/1", "rules"),
            (&["rules", "show", "call_created"], "cti-bridge/rules-show/1", "rules"),
        ] {
            let ran = cti(arguments.iter().copied().chain(["--output", "json"])).run();
            assert_eq!(ran.code, 0);
            let document: Json = serde_json::from_str(&ran.stdout).unwrap();
            assert_eq!(document["schema"], schema);
            assert!(document.get(key).is_some(), "{}", ran.stdout);
        }
        let ran = cti(["rules", "show", "call_created", "--output", "json"]).run();
        let document: Json = serde_json::from_str(&ran.stdout).unwrap();
        let rule = &document["rules"][0];
        assert_eq!(rule["names"], json!(["call_created", "call_updated", "call_ended"]));
        assert_eq!(rule["modern"]["required_acl"], "events.calls.{user_uuid}");
        assert_eq!(
            rule["legacy"]["addresses"],
            json!([{"exchange": "xivo-cti", "routing_key": "call_{action}"}])
        );
    }
}

mod exit_codes {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_a_usage_error() {
        for arguments in [
            [].as_slice(),
            &["translate"],
            &["translate", "--to", "sideways"],
            &["translate", "--to", "modern", "--origin-uuid", "not a uuid"],
            &["rules"],
            &["rules", "show"],
            &["rules", "list", "--output", "xml"],
            &["no-such-command"],
            &["rules", "check", "--no-such-flag"],
            &["run", "--prefetch-count", "0"],
        ] {
            let ran = cti(arguments.iter().copied()).run();
            assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{arguments:?}");
            assert!(!ran.stderr.is_empty(), "{arguments:?}");
        }
    }

    #[test]
    fn help_and_version_are_results() {
        for arguments in [
            ["--help"].as_slice(),
            &["-h"],
            &["help"],
            &["--version"],
            &["translate", "--help"],
            &["translate", "--version"],
            &["rules", "check", "--help"],
            &["run", "--help"],
        ] {
            let ran = cti(arguments.iter().copied()).run();
            assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
            assert!(!ran.stdout.is_empty(), "{arguments:?}");
        }
    }

    #[test]
    fn all_of_them_are_documented() {
        let help = cti(["--help"]).run().stdout;
        let (_, table) = help.split_once("Exit codes:").expect("a table of exit codes");
        let documented: Vec<u8> =
            table.split(|c: char| !c.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect();
        let existing: Vec<u8> = Exit::ALL.into_iter().map(Exit::code).collect();
        assert_eq!(documented, existing);
    }

    #[test]
    fn they_are_those_of_the_interface() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 64, 65, 66, 69, 70, 75, 77, 78]);
    }
}

mod closed_ends {
    use super::*;

    /// Runs the program with much to say and with readers that leave at once.
    fn cut_off(arguments: &[&str], input: String, stdout: Stdio, stderr: Stdio) -> (Option<i32>, String) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cti-bridge"))
            .args(arguments)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let kept = child.stderr.take();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(input.as_bytes());
        });
        let mut said = String::new();
        if let Some(mut stderr) = kept {
            stderr.read_to_string(&mut said).unwrap();
        }
        let code = child.wait().unwrap().code();
        writer.join().unwrap();
        (code, said)
    }

    #[test]
    fn whoever_has_seen_enough_causes_no_error() {
        let much = format!("{FORM}\n").repeat(20_000);
        for arguments in [
            ["translate", "--to", "modern"].as_slice(),
            &["translate", "--to", "modern", "--bare"],
            &["rules", "list"],
            &["rules", "list", "--output", "json"],
            &["--help"],
        ] {
            let (code, said) = cut_off(arguments, much.clone(), Stdio::piped(), Stdio::piped());
            assert_eq!((code, said.as_str()), (Some(0), ""), "{arguments:?}");
        }
    }

    #[test]
    fn complaints_that_nobody_reads_are_no_panic() {
        let (read_end, write_end) = std::io::pipe().unwrap();
        drop(read_end);
        let input = "nonsense\n".repeat(1000);
        let (code, _) =
            cut_off(&["translate", "--to", "modern"], input, Stdio::null(), Stdio::from(write_end));
        assert_eq!(code, Some(1));
    }
}

mod secrets {
    use super::*;

    #[test]
    fn a_password_on_the_command_line_is_refused_and_not_repeated() {
        for url in ["amqp://u:hunter2@localhost/", "amqp://:hunter2@localhost", "amqp://u:@localhost"] {
            let ran = cti(["run", "--origin-uuid", UUID, "--amqp-url", url]).run();
            assert_eq!((ran.code, ran.stdout.as_str()), (64, ""), "{url}");
            assert!(ran.stderr.contains("CTI_BRIDGE_AMQP_URL"), "{}", ran.stderr);
            assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        }
    }

    #[test]
    fn a_wrong_address_is_not_repeated() {
        for url in ["http://u:hunter2@h", "amqp://u:hunter2@", "amqp://u:hunter2@h:port", "hunter2"] {
            let ran = cti(["run", "--origin-uuid", UUID]).env("CTI_BRIDGE_AMQP_URL", url).run();
            assert_eq!(ran.code, 64, "{url}: {}", ran.stderr);
            assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
        }
    }

    #[test]
    fn help_shows_no_value_of_the_environment() {
        let ran = cti(["run", "--help"]).env("CTI_BRIDGE_AMQP_URL", "amqp://u:hunter2@h").run();
        assert!(!ran.stdout.contains("hunter2"));
    }

    #[test]
    fn a_wrong_configuration_is_told_without_its_secrets() {
        for (number, text) in [
            "bus: {url: 'amqp://u:hunter2@h:port'}\n",
            "bus:\n  url: 'amqp://u:hunter2@h:port'\n",
            "bus:\n  url:\n    amqp://u:hunter2@h:port\n",
            "bus:\n  \"url\": http://u:hunter2@h\n",
            "bus:\n  pasword: hunter2\n",
            "bus:\n  password: [hunter2]\n",
            "bus:\n  password: {hunter2: 1}\n",
            "bus:\n  password: *hunter2\n",
            "bus:\n  password: !secret hunter2\n",
            "bus:\n  password: 'hunter2\n",
            "bus:\n  host: localhost\n  password: hunter2: x\n",
            "password: hunter2\n",
            "bus: amqp://u:hunter2@h\n",
        ]
        .into_iter()
        .enumerate()
        {
            let directory = Directory::new(&format!("cli/config{number}")).file("config.yml", text);
            let ran = cti(["run", "--config", "config.yml", "--origin-uuid", UUID]).within(&directory).run();
            assert_eq!((ran.code, ran.stdout.as_str()), (78, ""), "{text}{}", ran.stderr);
            assert!(ran.stderr.contains("config.yml:"), "{text}{}", ran.stderr);
            assert!(!ran.stderr.contains("hunter2"), "{text}{}", ran.stderr);
        }
    }

    #[test]
    fn a_wrong_setting_is_shown_where_it_stands() {
        let directory = Directory::new("cli/config").file("config.yml", "bus: {}\nqueue_type: quorums\n");
        let ran = cti(["run", "--config", "config.yml", "--origin-uuid", UUID]).within(&directory).run();
        assert_eq!(ran.code, 78);
        assert_eq!(
            ran.stderr,
            "error: expected one of quorum, classic, found `quorums`\n  ──▶ config.yml:2:13\n\
             2 │ queue_type: quorums\n  │             ^^^^^^^\n  = help: did you mean `quorum`?\n"
        );
    }

    #[test]
    fn a_configuration_that_is_not_there_is_no_input() {
        let directory = Directory::new("cli/no_config");
        let ran = cti(["run", "--config", "nope.yml", "--origin-uuid", UUID]).within(&directory).run();
        assert_eq!(ran.code, 66);
        assert!(ran.stderr.contains("nope.yml"), "{}", ran.stderr);
    }
}
