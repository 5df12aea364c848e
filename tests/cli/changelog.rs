//! `changelog`: what is told, how it is written, and what it comes to.
//!
//! `UPDATE_EXPECTED=1 cargo test --test cli changelog` writes the golden files anew; review them like code.

use std::fs;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::harness::{Directory, Ran, cti};

fn changelog(arguments: &[&str]) -> Ran {
    cti(["changelog"].into_iter().chain(arguments.iter().copied())).run()
}

fn told(arguments: &[&str]) -> String {
    let ran = changelog(arguments);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    ran.stdout
}

fn document(arguments: &[&str]) -> Json {
    let text = told(&[arguments, &["--output", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"))
}

/// The versions, kinds and names of the changes in a document.
fn changes(document: &Json) -> Vec<(String, String, String)> {
    let text = |value: &Json| value.as_str().unwrap().to_owned();
    let subject = |change: &Json| change["subject"].as_object().unwrap().values().next().unwrap().clone();
    let changes = document["changes"].as_array().unwrap().iter();
    changes.map(|change| (text(&change["version"]), text(&change["kind"]), text(&subject(change)))).collect()
}

#[test]
fn outputs_are_as_their_golden_files() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/changelog");
    let commands: [(&str, &[&str]); 6] = [
        ("deletions", &["--from", "19.04", "--to", "19.05"]),
        ("all", &[]),
        ("user_status_update", &["--event", "user_status_update"]),
        ("call_form_result", &["--event", "call_form_result"]),
        ("two_events", &["--event", "service_registered_event,chat_message_sent", "--from", "17.13"]),
        ("pattern", &["--event", "call_*", "--kind", "changed,deleted", "--basis", "observed"]),
    ];
    let mut wrong = Vec::new();
    for (name, arguments) in commands {
        for (output, extension) in [("text", "txt"), ("json", "json"), ("markdown", "md")] {
            let made = told(&[arguments, &["--output", output]].concat());
            let expected = directory.join(format!("{name}.{extension}"));
            if update {
                fs::write(&expected, &made).unwrap();
            } else if fs::read_to_string(&expected).ok().as_deref() != Some(made.as_str()) {
                wrong.push(format!("{}:\n{made}", expected.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} outputs are not as expected\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_upgrade_to_19_05_brings_exactly_the_five_deletions() {
    let document = document(&["--from", "19.04", "--to", "19.05"]);
    assert_eq!(document["schema"], "cti-bridge/changelog/1");
    let deleted = |name: &str| ("19.05".to_owned(), "deleted".to_owned(), name.to_owned());
    assert_eq!(
        changes(&document),
        [
            "chat_message_event",
            "chat_message_received",
            "chat_message_sent",
            "endpoint_status_update",
            "user_status_update"
        ]
        .map(deleted)
    );
    assert_eq!(document["changes"][0]["replaced_by"], json!(["chatd_user_room_message_created"]));
}

#[test]
fn the_life_of_user_status_update_is_told_whole() {
    let document = document(&["--event", "user_status_update"]);
    let event = &document["events"][0];
    let told: Vec<(&str, &str, &str)> = event["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| {
            let text = |key: &str| change[key].as_str().unwrap();
            (text("version"), text("kind"), text("basis"))
        })
        .collect();
    for change in [
        ("14.24", "added", "documented"),
        ("14.24", "added", "observed"),
        ("15.01", "changed", "documented"),
        ("16.08", "changed", "documented"),
        ("16.09", "changed", "observed"),
        ("19.05", "deleted", "documented"),
    ] {
        assert!(told.contains(&change), "{change:?} is not in {told:?}");
    }
    assert_eq!(event["successors"], json!([{"name": "chatd_presence_updated", "how": "rebuilt"}]));
    assert!(event["lost"].as_array().unwrap().len() > 2);
    let wire = event["wire_changes"].as_array().unwrap();
    assert!(wire.iter().any(|change| change["subject"] == json!({"exchange": "xivo-status-updates"})));
}

#[test]
fn call_form_result_lost_its_publisher_and_kept_its_documents() {
    let text = told(&["--event", "call_form_result"]);
    let line = text.lines().find(|line| line.trim_start().starts_with("19.04  deleted")).unwrap();
    assert!(line.contains("observed") && line.contains("nobody publishes it any more"), "{line}");
    assert!(text.contains("\n  19.04..  documented, not published\n"), "{text}");
    let document = document(&["--event", "call_form_result", "--to", "19.05"]);
    let event = &document["events"][0];
    assert_eq!((&event["documented"], &event["published"]["published"]), (&json!("yes"), &json!(false)));
}

#[test]
fn an_upgrade_that_goes_backwards_is_refused() {
    let ran = changelog(&["--from", "19.05", "--to", "19.04"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (64, ""));
    assert_eq!(
        ran.stderr,
        "error: 19.05 is newer than 19.04, so nothing lies between them\n  \
         = help: `--from` is the older release, `--to` the newer one\n"
    );
    for arguments in [["--from", "19.5"], ["--to", "nineteen"], ["--kind", "removed"], ["--fail-on", "all"]] {
        assert_eq!(changelog(&arguments).code, 64, "{arguments:?}");
    }
}

#[test]
fn versions_are_numbers_and_need_no_release() {
    assert_eq!(changes(&document(&["--from", "19.04", "--to", "19.99"])).len(), {
        let to_the_end_of_it = document(&["--from", "19.04", "--to", "20.00"]);
        changes(&to_the_end_of_it).len()
    });
    assert_eq!(told(&["--from", "19.05", "--to", "19.05"]), "nothing changed after 19.05 up to 19.05\n");
    assert_eq!(told(&["--from", "98.00"]), "nothing changed after 98.00\n");
    assert_eq!(told(&["--to", "09.01"]), "nothing changed up to 09.01\n");
    assert_eq!(document(&["--from", "98.00"])["changes"], json!([]));
    let narrowed = told(&["--from", "19.04", "--to", "19.05", "--kind", "added"]);
    assert_eq!(narrowed, "nothing of this kind changed after 19.04 up to 19.05\n");
}

#[test]
fn patterns_find_events_and_nothing_else() {
    let names = |pattern: &str| {
        let mut names: Vec<String> =
            changes(&document(&["--event", pattern])).into_iter().map(|(_, _, name)| name).collect();
        names.sort();
        names.dedup();
        names
    };
    assert_eq!(names("conference_record_*"), ["conference_record_started", "conference_record_stopped"]);
    assert_eq!(names("user_?????d"), ["user_edited"]);
    assert!(names("*").iter().all(|name| name != "xivo-cti" && name != "headers"));
    let of_a_rule = document(&["--event", "call_{action}"]);
    let names: Vec<&Json> =
        of_a_rule["events"].as_array().unwrap().iter().map(|event| &event["name"]).collect();
    assert_eq!(names, ["call_created", "call_ended", "call_updated"]);
}

#[test]
fn the_changes_of_several_events_come_in_the_order_of_releases() {
    let versions: Vec<String> =
        changes(&document(&["--event", "*"])).into_iter().map(|(version, _, _)| version).collect();
    assert!(versions.len() > 100 && versions.is_sorted(), "{versions:?}");
}

#[test]
fn an_event_that_nobody_knows_is_no_input() {
    let ran = changelog(&["--event", "call_craeted"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (66, ""));
    assert_eq!(
        ran.stderr,
        "error: nothing is known of an event `call_craeted`\n  = help: did you mean `call_created`?\n"
    );
    let ran = changelog(&["--event", "call_created,zzz_*"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (66, ""));
    assert!(ran.stderr.contains("no event is called like `zzz_*`"), "{}", ran.stderr);
    for name in ["a\u{1b}[31m", "A\u{1b}[31m"] {
        let ran = changelog(&["--event", name]);
        assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "{ran:?}");
    }
}

#[test]
fn a_pipeline_can_fail_on_kinds_of_changes() {
    let upgrade = ["--from", "19.04", "--to", "19.05"];
    let with = |more: &[&str]| changelog(&[&upgrade, more].concat());
    let told = with(&[]).stdout;
    let ran = with(&["--fail-on", "deleted,changed"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, told.as_str()), "the data are the same");
    assert_eq!(ran.stderr, "5 changes to fail on (deleted, changed)\n");
    assert_eq!(with(&["--fail-on", "added,changed,deprecated"]).code, 0);
    assert_eq!(with(&["--fail-on", "deleted", "--event", "user_*"]).code, 1);
    assert_eq!(with(&["--fail-on", "deleted", "--event", "call_created"]).code, 0);
    for output in ["json", "markdown"] {
        assert_eq!(with(&["--fail-on", "deleted", "--output", output]).code, 1, "{output}");
    }
    let silent = ["--event", "call_created", "--from", "22.17", "--to", "23.01", "--fail-on", "changed"];
    assert_eq!(changelog(&silent).code, 1, "its exchange falls silent");
    let spared = ["--event", "auth_tenant_added", "--from", "22.17", "--to", "23.01", "--fail-on", "changed"];
    assert_eq!(changelog(&spared).code, 0);
}

const OF_THE_SITE: &str = r#"
- version: "19.05"
  documented:
    - {deleted: user_status_update, text: kept by our own daemon, source: this site}
- version: "24.01"
  observed:
    - {added: door_opened, source: this site}
"#;

#[test]
fn a_site_adds_to_the_changelog_and_overrides_it() {
    let rule = "- event: door_opened\n  source: this site\n  modern: {routing_key: site.door}\n";
    let directory = Directory::new("cli/changelog_site")
        .file("own/changelog.yaml", OF_THE_SITE)
        .file("own/door.yaml", rule);
    let run = |arguments: &[&str]| {
        let ran = cti(["changelog", "--mappings", "own"].into_iter().chain(arguments.iter().copied()))
            .within(&directory)
            .run();
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
        ran.stdout
    };
    let text = run(&["--from", "19.04", "--to", "19.05"]);
    assert_eq!(text.matches("user_status_update").count(), 1, "{text}");
    assert!(text.contains("kept by our own daemon") && text.contains("chat_message_sent"), "{text}");
    assert!(run(&["--event", "door_opened"]).contains("24.01  added  observed  [this site]"));
    let alone = run(&["--no-builtin-mappings"]);
    assert_eq!(alone.lines().filter(|line| line.starts_with("  ")).count(), 2, "{alone}");

    let checked = cti(["rules", "check", "own"]).within(&directory).run();
    assert_eq!(checked.code, 0);
    assert!(checked.stdout.starts_with("1 file, 1 rule, 1 event, 0 examples, 2 changes: all hold\n"));
    // The daemon, and whatever else needs rules alone, leaves the changelog unread.
    let listed = cti(["rules", "list", "--mappings", "own"]).within(&directory).run();
    assert!(listed.stdout.contains("door_opened"), "{listed:?}");
}

#[test]
fn a_wrong_changelog_is_told_where_it_is_wrong_and_stops_no_translation() {
    let directory = Directory::new("cli/changelog_wrong")
        .file("own/changelog.yml", "- version: \"19.05\"\n  documented:\n    - {added: call_held}\n");
    let ran = cti(["changelog", "--mappings", "own"]).within(&directory).run();
    assert_eq!((ran.code, ran.stdout.as_str()), (78, ""));
    assert!(ran.stderr.contains("own/changelog.yml:3:7"), "{}", ran.stderr);
    let event = r#"{"name": "call_form_result", "data": {}}"#;
    let ran = cti(["translate", "--to", "legacy", "--mappings", "own"]).within(&directory).stdin(event).run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn text_of_a_file_cannot_drive_the_terminal() {
    let file = "- version: \"19.05\"\n  documented:\n    - {added: door, text: \"\\e[31mred\", source: \"a\\e[0m\"}\n";
    let directory = Directory::new("cli/changelog_escapes").file("own/changelog.yaml", file);
    for arguments in [&["--from", "19.04"][..], &["--event", "door"], &["--output", "markdown"]] {
        let ran = cti(["changelog", "--mappings", "own"].into_iter().chain(arguments.iter().copied()))
            .within(&directory)
            .run();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(!ran.stdout.contains('\u{1b}'), "{}", ran.stdout);
    }
}
