//! What the README shows of the command line is what the command line does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use clap::Parser;
use cti_bridge::cli::Cli;
use cti_bridge::core::catalog::{MappingFile, Mappings};
use cti_bridge::core::{examples, mapping_file};
use secrecy::ExposeSecret;

/// The commands of a `console` block, each with the output below it.
fn sessions(readme: &str) -> Vec<(String, String)> {
    let mut sessions: Vec<(String, String)> = Vec::new();
    for block in readme.split("```console\n").skip(1) {
        for line in block.split("```").next().unwrap_or_default().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => sessions.push((command.to_owned(), String::new())),
                None => {
                    let (_, output) = sessions.last_mut().expect("output follows a command");
                    output.push_str(line);
                    output.push('\n');
                }
            }
        }
    }
    sessions
}

#[test]
fn the_console_sessions_of_the_readme_are_true() {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_cti-bridge"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let sessions = sessions(&readme);
    assert!(sessions.len() >= 4, "the README shows at least four commands");
    for (command, expected) in sessions {
        let output =
            Command::new("sh").arg("-c").arg(format!("{command} 2>&1")).env("PATH", &path).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "$ {command}");
    }
}

fn blocks(kind: &str) -> Vec<String> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let fence = format!("```{kind}\n");
    readme.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_commands_of_the_readme_exist() {
    let mut commands = 0;
    for block in blocks("sh") {
        for line in block.lines().filter(|line| line.starts_with("cti-bridge ")) {
            let words = line.split_whitespace().take_while(|word| !["#", "|", ">", "&&"].contains(word));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}\n{error}");
            }
            commands += 1;
        }
    }
    assert!(commands >= 5, "the README shows at least five commands");
}

#[test]
fn the_configuration_of_the_readme_is_valid() {
    let password = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme-password");
    std::fs::write(&password, "s3cret\n").unwrap();
    let text = blocks("yaml").into_iter().find(|block| block.starts_with("bus:")).expect("the example");
    let text = text.replace("/etc/cti-bridge/password", password.to_str().unwrap());
    let config = cti_bridge::config::read(&text).unwrap().finish(None, None).unwrap();
    assert_eq!((config.prefetch_count, config.max_hops, config.exchange_name.as_str()), (256, 8, "xivo"));
    assert_eq!(config.legacy_events, ["call_created"]);
}

#[test]
fn the_credential_of_the_unit_file_is_the_password() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme-credentials");
    std::fs::create_dir_all(&directory).unwrap();
    let unit = blocks("ini").remove(0);
    let credential = unit.split("LoadCredential=").nth(1).unwrap().split(':').next().unwrap().to_owned();
    std::fs::write(directory.join(credential), "s3cret\n").unwrap();
    let config = cti_bridge::config::read("origin_uuid: u").unwrap().finish(None, Some(&directory)).unwrap();
    assert_eq!(config.modern.password.expose_secret(), "s3cret");
}

#[test]
fn the_rule_of_the_readme_is_valid_and_its_example_holds() {
    let text = blocks("yaml").into_iter().find(|block| block.starts_with("- event:")).expect("the example");
    let rules = mapping_file::read(&text).unwrap().into_iter().map(Arc::new).collect();
    let file = MappingFile { path: "README.md".into(), text, rules };
    let mappings = Mappings { layers: vec![vec![file]] };
    let checked = examples::check(&mappings);
    assert_eq!((checked.examples, checked.failed.len()), (1, 0), "{:?}", checked.failed);
}

#[test]
fn the_accepted_finding_of_the_readme_is_one_that_is_shown_there() {
    let text = blocks("yaml").into_iter().find(|block| block.starts_with("- {id: CTI")).expect("the example");
    let accepted = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readme-accepted.yaml");
    std::fs::write(&accepted, text.replace("2027-06-30", "never")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cti-bridge"))
        .args([
            "audit",
            "--from",
            "14.24",
            "--to",
            "19.05",
            "--scan",
            "tests/clients/legacy_2013.py",
            "--accepted",
        ])
        .arg(accepted)
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.ends_with(": 1 error, 1 note, 1 accepted\n"), "{shown}");
}
