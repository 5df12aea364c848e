//! Whole programs, with what is found in them beside them.
//!
//! `UPDATE_EXPECTED=1 cargo test --test programs` writes that anew; review it like code.

use std::fs;
use std::path::{Path, PathBuf};

use cti_bridge::commands::sources::read_programs;

use crate::shown::shown;

fn holds(program: &Path, expected: &Path) {
    let sources = read_programs(&[program.to_owned()]).unwrap();
    let found: String = sources.programs.iter().flat_map(shown).map(|line| line + "\n").collect();
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(expected, &found).unwrap();
    }
    let expected_text = fs::read_to_string(expected).unwrap_or_default();
    assert_eq!(found, expected_text, "{}: UPDATE_EXPECTED=1 writes it anew", program.display());
    assert!(!found.is_empty(), "{}: nothing found", program.display());
}

#[test]
fn what_is_found_in_each_program_is_as_it_is_written_beside_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let directory = root.join("golden/clients");
    let mut programs: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    programs.retain(|path| path.extension().is_some_and(|ending| ending != "found"));
    // The two clients of the documentation, which the tests with a broker run.
    programs.push(root.join("clients/legacy_2013.py"));
    programs.push(root.join("clients/modern_kombu.py"));
    assert!(programs.len() > 6, "{programs:?}");
    for program in programs {
        let name = program.file_name().unwrap().to_string_lossy().into_owned();
        holds(&program, &directory.join(format!("{name}.found")));
    }
}
