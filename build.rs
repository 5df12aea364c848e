//! Lists the mapping files, so that a new file in `mappings/` is compiled in without touching any Rust.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=mappings");
    let directory = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("mappings");
    let files: Result<Vec<PathBuf>, _> =
        fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut files = files?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let mut list = String::from("&[\n");
    for path in &files {
        let name = path.file_name().unwrap_or_default().display();
        list += &format!("    (\"mappings/{name}\", include_str!({:?})),\n", path.display().to_string());
    }
    list += "]\n";
    fs::write(Path::new(&env::var("OUT_DIR")?).join("mappings.rs"), list)?;
    Ok(())
}
