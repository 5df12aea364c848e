//! Finding and reading mapping files: the built-in ones, and directories of the user's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::commands::Failure;
use crate::core::catalog::{MappingFile, Mappings};
use crate::core::mapping_file;
use crate::exit_code::Exit;
use crate::render;

/// The mapping files that are compiled in: their paths in the source, and their texts.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/mappings.rs"));

/// Reads the built-in files, if wanted, and those of the directories, each directory a layer over what is before it.
///
/// # Errors
/// When a directory cannot be read or has no mapping file, and everything that is wrong in any file.
pub fn load(builtin: bool, directories: &[PathBuf]) -> Result<Mappings, Failure> {
    let mut layers: Vec<Vec<(String, String)>> = Vec::new();
    if builtin {
        layers.push(BUILTIN.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect());
    }
    for directory in directories {
        layers.push(texts_of(directory)?);
    }
    read(layers)
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

fn read(layers: Vec<Vec<(String, String)>>) -> Result<Mappings, Failure> {
    let mut mappings = Mappings::default();
    let mut mistakes = Vec::new();
    for texts in layers {
        let mut files = Vec::new();
        for (path, text) in texts {
            match mapping_file::read(&text) {
                Ok(rules) => {
                    files.push(MappingFile { path, text, rules: rules.into_iter().map(Arc::new).collect() })
                }
                Err(diagnostics) => {
                    mistakes
                        .extend(diagnostics.iter().map(|mistake| render::diagnostic(&path, &text, mistake)));
                }
            }
        }
        mappings.layers.push(files);
    }
    let conflicts = mappings.conflicts();
    mistakes
        .extend(conflicts.iter().map(|(file, mistake)| render::diagnostic(&file.path, &file.text, mistake)));
    if mistakes.is_empty() { Ok(mappings) } else { Err(Failure::rendered(Exit::Misconfigured, mistakes)) }
}
