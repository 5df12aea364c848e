//! Every mistake that can be made in a mapping file or a changelog has a file here, and the message for it beside it.
//!
//! `UPDATE_EXPECTED=1 cargo test --test bad_mappings` writes the messages anew; review them like code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "cli/harness.rs"]
#[allow(dead_code)]
mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::{Directory, Ran, cti};

/// Files of rules, and files that are read as `changelog.yaml`.
const DIRECTORIES: [&str; 2] = ["tests/bad_mappings", CHANGELOGS];
const CHANGELOGS: &str = "tests/bad_changelogs";

fn files() -> impl Iterator<Item = PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let entries = DIRECTORIES.iter().flat_map(move |name| fs::read_dir(root.join(name)).unwrap());
    entries.map(|entry| entry.unwrap().path())
}

fn is_changelog(case: &Path) -> bool {
    case.starts_with(Path::new(env!("CARGO_MANIFEST_DIR")).join(CHANGELOGS))
}

fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = files().collect();
    cases.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    cases
}

fn check(case: &Path) -> Ran {
    let name = case.file_stem().unwrap().to_str().unwrap();
    let files = match case.is_dir() {
        true => fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()).collect(),
        false => vec![case.to_owned()],
    };
    let scratch = if is_changelog(case) { "bad_changelogs" } else { "bad_mappings" };
    let directory = files.iter().fold(Directory::new(&format!("{scratch}/{name}")), |directory, file| {
        let file_name = match is_changelog(case) {
            true => "changelog.yaml",
            false => file.file_name().unwrap().to_str().unwrap(),
        };
        directory.file(&format!("mappings/{file_name}"), fs::read(file).unwrap())
    });
    cti(["rules", "check", "mappings"]).within(&directory).run()
}

#[test]
fn every_mistake_is_told_as_its_file_says() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let cases = cases();
    let changelogs = cases.iter().filter(|case| is_changelog(case)).count();
    let counts = (cases.len() - changelogs, changelogs);
    assert!(counts.0 > 80 && counts.1 > 30, "only {counts:?} files of mistakes");
    let mut wrong = Vec::new();
    for case in cases {
        let Ran { code, stdout, stderr } = check(&case);
        assert_eq!((code, stdout.as_str()), (78, ""), "{}\n{stderr}", case.display());
        let expected = case.with_extension("stderr");
        if update {
            fs::write(&expected, &stderr).unwrap();
        } else if fs::read_to_string(&expected).ok().as_deref() != Some(stderr.as_str()) {
            wrong.push(format!("{}:\n{stderr}", expected.display()));
        }
    }
    assert!(wrong.is_empty(), "{} messages are not as expected\n\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_expected_message_belongs_to_a_mistake() {
    for path in files() {
        if path.extension().is_some_and(|extension| extension == "stderr") {
            let case = path.with_extension("yaml");
            assert!(case.exists() || path.with_extension("").is_dir(), "{} is left over", path.display());
        }
    }
}

#[test]
fn the_caret_stands_under_a_text_of_the_line_above() {
    for case in cases() {
        let message = fs::read_to_string(case.with_extension("stderr")).unwrap();
        let lines: Vec<&str> = message.lines().collect();
        for pair in lines.windows(2) {
            let Some((_, carets)) = pair[1].split_once("│ ").filter(|(_, after)| after.contains('^'))
            else {
                continue;
            };
            let (_, source) = pair[0].split_once("│ ").unwrap();
            // Where something is missing, one caret may stand behind the end.
            assert!(
                carets.chars().count() <= source.chars().count().max(1) + 1,
                "{}\n{message}",
                case.display()
            );
        }
    }
}
