//! No command shows a password, whatever it is given and whatever goes wrong.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::{fs, str};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use super::harness::{ODD, ODD_PASSWORD, World, management_url};

/// What a command needs to be tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum With {
    /// No broker.
    Nothing,
    /// A broker.
    Broker,
    /// A virtual host where no bridge has run yet.
    Site,
    /// A broker, and it has to be told to stop.
    BrokerUntilStopped,
}

use With::{Broker, BrokerUntilStopped, Nothing, Site};

/// A command, its arguments, what it needs, and whether it has `--output json`.
type Row = (&'static str, &'static str, With, bool);

/// Each command with arguments that let it do its work; in this order, as some work with the files of those before.
const TABLE: [Row; 24] = [
    ("run", "--log-level trace --log-format json", BrokerUntilStopped, false),
    ("run", "--log-level trace --log-format text", BrokerUntilStopped, false),
    ("doctor", "", Broker, true),
    ("verify", "--patience 1", Broker, true),
    ("audit", "--from 14.24 --to 19.05 --save-site site.json", Broker, true),
    ("explain", "CTI0001", Nothing, true),
    ("record", "xivo --limit 1 --force --out recording.jsonl", Broker, false),
    ("record", "xivo --limit 1", Broker, false),
    ("tap", "xivo --limit 1", Broker, true),
    ("compare", "recording.jsonl recording.jsonl", Nothing, true),
    ("translate", "--to legacy recording.jsonl", Nothing, false),
    ("replay", "recording.jsonl --to xivo-status-updates --approve", Broker, true),
    ("quarantine list", "", Broker, true),
    ("quarantine show", "", Broker, true),
    ("quarantine export", "", Broker, false),
    ("quarantine retry", "--all --approve", Broker, true),
    ("quarantine drop", "--all --approve", Broker, true),
    ("plan", "--out site.plan", Site, true),
    ("apply", "--approve site.plan", Site, true),
    // A dry run, so that something is left to undo for the wrong password too.
    ("rollback", "--dry-run site.plan.state", Site, true),
    ("rules check", "", Nothing, true),
    ("rules list", "", Nothing, true),
    ("rules show", "call_created", Nothing, true),
    ("changelog", "--from 14.24 --to 19.05", Nothing, true),
];

/// All ways in which a password could be written.
fn forms(password: &str, user: &str) -> Vec<String> {
    let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC).to_string();
    let as_json = json!(password).to_string();
    vec![
        password.to_owned(),
        encoded.to_lowercase(),
        encoded,
        as_json.trim_matches('"').to_owned(),
        password.escape_default().to_string(),
        STANDARD.encode(format!("{user}:{password}")),
        STANDARD.encode(password),
        STANDARD.encode(format!("\0{user}\0{password}")),
    ]
}

fn assert_silent(what: &str, output: &[u8], forms: &[String]) {
    let text = String::from_utf8_lossy(output);
    for form in forms {
        assert!(!text.contains(form.as_str()), "{what} shows `{form}`:\n{text}");
    }
}

/// The names of all commands, those of `quarantine` and `rules` with both words.
fn all_commands() -> BTreeSet<String> {
    let listed = |arguments: &[&str]| -> Vec<String> {
        let output =
            Command::new(env!("CARGO_BIN_EXE_cti-bridge")).args(arguments).arg("--help").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let Some((_, list)) = text.split_once("\nCommands:\n") else {
            return Vec::new();
        };
        let lines = list.lines().take_while(|line| line.starts_with("  "));
        let names =
            lines.filter(|line| !line.starts_with("   ")).map(|line| line.split_whitespace().next().unwrap());
        names.filter(|name| *name != "help").map(str::to_owned).collect()
    };
    let mut all = BTreeSet::new();
    for name in listed(&[]) {
        match listed(&[&name]).as_slice() {
            [] => drop(all.insert(name)),
            inner => all.extend(inner.iter().map(|inner| format!("{name} {inner}"))),
        }
    }
    all
}

#[tokio::test]
#[ignore = "needs RabbitMQ: scripts/with-broker"]
async fn no_command_shows_a_password_be_it_right_or_wrong() {
    let tried: BTreeSet<_> = TABLE.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(tried, all_commands(), "the table has to have each command of `cti-bridge --help`");

    let world = World::new().await;
    let site = World::new().await;
    let mut bridge = world.bridge().start().await;
    world.client.publish("xivo-cti", "call_form_result", "no event at all").await;
    // Something for `tap` and `record` to end with.
    let publishing = {
        let client = super::harness::Client::connect(&world.url()).await;
        tokio::spawn(async move {
            loop {
                client
                    .publish("xivo", "this.test", json!({"name": "this_test", "data": {}}).to_string())
                    .await;
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
    };
    let wrong = format!("{ODD_PASSWORD}wrong");
    for (password, is_right) in [(ODD_PASSWORD, true), (wrong.as_str(), false)] {
        let forms = forms(password, ODD);
        let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC).to_string();
        let management = management_url();
        let host = management.rsplit('@').next().unwrap();
        for (name, arguments, with, has_json) in TABLE {
            if with == Nothing && !is_right {
                continue;
            }
            for json in [false, true] {
                if json && !has_json {
                    continue;
                }
                let mut command = world.any_command();
                command
                    .args(name.split(' '))
                    .args(arguments.split_whitespace())
                    .args(if json { &["--output", "json"][..] } else { &[] })
                    .current_dir(world.directory())
                    .env("RUST_BACKTRACE", "full")
                    .env("RUST_LOG", "trace")
                    .env(
                        "CTI_BRIDGE_AMQP_URL",
                        if with == Site { &site } else { &world }.url_of(ODD, &encoded),
                    )
                    .env("CTI_BRIDGE_MANAGEMENT_URL", format!("http://{ODD}:{encoded}@{host}"));
                let what = format!("cti-bridge {name} {arguments}, right: {is_right}, JSON: {json}");
                let until_stopped = with == BrokerUntilStopped && is_right;
                let ran = tokio::task::spawn_blocking(move || ended(command, until_stopped)).await.unwrap();
                let (code, output) = ran;
                assert_silent(&what, &output, &forms);
                let text = String::from_utf8_lossy(&output);
                assert!(!matches!(code, Some(64) | None), "{what}: {code:?}\n{text}");
                let works = is_right && code != Some(77) || !is_right && code != Some(0);
                assert!(works, "{what}: {code:?}\n{text}");
            }
        }
        // What the commands wrote: plan, state, recording, look.
        for entry in fs::read_dir(world.directory()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                assert_silent(&format!("{}", path.display()), &fs::read(&path).unwrap(), &forms);
            }
        }
    }
    assert!(Path::new(&world.directory().join("site.plan.state")).exists());
    publishing.abort();
    bridge.stop().await;
}

/// Runs it to its end, which comes by SIGTERM when it is ready if it does not come by itself.
fn ended(mut command: Command, until_stopped: bool) -> (Option<i32>, Vec<u8>) {
    use std::io::{BufRead, BufReader};
    if !until_stopped {
        let output = command.output().unwrap();
        return (output.status.code(), [output.stdout, output.stderr].concat());
    }
    let mut child = command.spawn().unwrap();
    let mut all = Vec::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    loop {
        let before = all.len();
        if lines.read_until(b'\n', &mut all).unwrap() == 0 {
            break;
        }
        if String::from_utf8_lossy(&all[before..]).contains("ready") {
            let status =
                Command::new("sh").args(["-c", "kill -s TERM \"$0\"", &child.id().to_string()]).status();
            assert!(status.unwrap().success());
        }
    }
    (child.wait().unwrap().code(), all)
}
