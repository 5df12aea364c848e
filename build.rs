//! Lists the mapping files, so that a new file in `mappings/` is compiled in without touching any Rust.

use std::{env, fs, path::PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=mappings");
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let mut files: Vec<PathBuf> = fs::read_dir(root.join("mappings"))
        .expect("the mapping files are part of the source")
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    let entries: String = files
        .iter()
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
            format!("    (\"mappings/{name}\", include_str!({:?})),\n", path.display().to_string())
        })
        .collect();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("mappings.rs");
    fs::write(out, format!("&[\n{entries}]\n")).expect("OUT_DIR can be written");
}
