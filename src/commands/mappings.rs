//! Finding and reading mapping files and changelogs: the built-in ones, and those in directories of the user's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::Failure;
use crate::core::catalog::{MappingFile, Mappings};
use crate::core::changelog::{Change, Changelog};
use crate::core::{changelog_file, mapping_file};
use crate::exit_code::Exit;
use crate::render;

/// The mapping files that are compiled in: their paths in the source, and their texts.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/mappings.rs"));

/// Reads the built-in files, if wanted, and those of the directories, each directory a layer over what is before it.
///
/// # Errors
/// When a directory cannot be read or has no mapping file, and everything that is wrong in any file.
pub fn load(builtin: bool, directories: &[PathBuf]) -> Result<Mappings, Failure> {
    let mut mistakes = Vec::new();
    let mappings = read_rules(&layers(builtin, directories)?, &mut mistakes);
    if mistakes.is_empty() { Ok(mappings) } else { Err(Failure::rendered(Exit::Misconfigured, mistakes)) }
}

/// The same, and the changelogs of the same places. [`load`] leaves those unread, so that a daemon does not depend on
/// what only people ask for.
///
/// # Errors
/// As for [`load`], and everything that is wrong in a changelog.
pub fn load_with_changelog(builtin: bool, directories: &[PathBuf]) -> Result<(Mappings, Changelog), Failure> {
    let layers = layers(builtin, directories)?;
    let mut mistakes = Vec::new();
    let mappings = read_rules(&layers, &mut mistakes);
    let changelog = read_changelogs(&layers, &mut mistakes);
    match mistakes.is_empty() {
        true => Ok((mappings, changelog)),
        false => Err(Failure::rendered(Exit::Misconfigured, mistakes)),
    }
}

/// The paths and texts of the files of one place.
type Texts = Vec<(String, String)>;

fn layers(builtin: bool, directories: &[PathBuf]) -> Result<Vec<Texts>, Failure> {
    let mut layers = Vec::new();
    if builtin {
        layers.push(BUILTIN.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect());
    }
    for directory in directories {
        layers.push(texts_of(directory)?);
    }
    Ok(layers)
}

/// Whether this file holds a changelog, and not rules: it is the one that is called so.
fn is_changelog(path: &str) -> bool {
    Path::new(path).file_name().is_some_and(|name| name == "changelog.yaml" || name == "changelog.yml")
}

fn texts_of(directory: &Path) -> Result<Vec<(String, String)>, Failure> {
    let cannot_read = |path: &Path, error: std::io::Error| {
        Failure::new(Exit::NoInput, format!("cannot read {}: {error}", path.display()))
    };
    let mut paths = Vec::new();
    if directory.is_file() {
        paths.push(directory.to_owned());
    } else {
        for entry in fs::read_dir(directory).map_err(|error| cannot_read(directory, error))? {
            let path = entry.map_err(|error| cannot_read(directory, error))?.path();
            let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
            if is_yaml {
                paths.push(path);
            }
        }
    }
    if paths.is_empty() {
        let message = format!("no mapping file in {}", directory.display());
        return Err(Failure::new(Exit::NoInput, message).help("mapping files end in .yaml or .yml"));
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let bytes = fs::read(&path).map_err(|error| cannot_read(&path, error))?;
            let text = String::from_utf8(bytes).map_err(|error| {
                let line =
                    error.as_bytes()[..error.utf8_error().valid_up_to()].split(|b| *b == b'\n').count();
                let message = format!("{}:{line}: not UTF-8", path.display());
                Failure::new(Exit::Misconfigured, message).help("save the file as UTF-8")
            })?;
            Ok((path.display().to_string(), text))
        })
        .collect()
}

fn read_rules(layers: &[Texts], mistakes: &mut Vec<String>) -> Mappings {
    let mut mappings = Mappings::default();
    for texts in layers {
        let mut files = Vec::new();
        for (path, text) in texts.iter().filter(|(path, _)| !is_changelog(path)) {
            match mapping_file::read(text) {
                Ok(rules) => files.push(MappingFile {
                    path: path.clone(),
                    text: text.clone(),
                    rules: rules.into_iter().map(Arc::new).collect(),
                }),
                Err(diagnostics) => {
                    mistakes
                        .extend(diagnostics.iter().map(|mistake| render::diagnostic(path, text, mistake)));
                }
            }
        }
        mappings.layers.push(files);
    }
    let conflicts = mappings.conflicts();
    mistakes
        .extend(conflicts.iter().map(|(file, mistake)| render::diagnostic(&file.path, &file.text, mistake)));
    mappings
}

fn read_changelogs(layers: &[Texts], mistakes: &mut Vec<String>) -> Changelog {
    let changelogs = layers.iter().flatten().filter(|(path, _)| is_changelog(path));
    let read: Vec<Vec<Change>> = changelogs
        .filter_map(|(path, text)| match changelog_file::read(text) {
            Ok(changes) => Some(changes),
            Err(diagnostics) => {
                mistakes.extend(diagnostics.iter().map(|mistake| render::diagnostic(path, text, mistake)));
                None
            }
        })
        .collect();
    Changelog::of(read)
}
