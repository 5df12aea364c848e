//! Looks at a site: reads every source that was named, and puts together what they show.

use std::fs;
use std::io::Read;
use std::path::Path;

use super::Failure;
use crate::cli::SiteFrom;
use crate::core::site::Site;
use crate::exit_code::Exit;
use crate::render;

/// What the sources show, as one site.
///
/// # Errors
/// When a source cannot be read, is refused, or is not what it should be: nothing is reported by halves.
pub fn observe(from: &SiteFrom) -> Result<Site, Failure> {
    let mut site = Site::default();
    for path in &from.site {
        site = saved(path)?;
    }
    if let Some(path) = &from.save_site {
        save(&site, path)?;
    }
    Ok(site)
}

fn saved(path: &Path) -> Result<Site, Failure> {
    let text = text(path)?;
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(Exit::BadInput, format!("{}: {error}", path.display())))
}

fn save(site: &Site, path: &Path) -> Result<(), Failure> {
    let value = serde_json::to_value(site)
        .map_err(|error| Failure::new(Exit::Bug, format!("cannot write a site as JSON: {error}")))?;
    fs::write(path, render::document("site", value))
        .map_err(|error| Failure::new(Exit::Unreachable, format!("cannot write {}: {error}", path.display())))
}

fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        std::io::stdin().lock().read_to_string(&mut text)
    } else {
        fs::File::open(path).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.map_err(|error| Failure::new(Exit::NoInput, format!("cannot read {}: {error}", path.display())))?;
    Ok(text)
}
