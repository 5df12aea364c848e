//! Finding programs: what is read, what is left out, and that this is told.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use cti_bridge::commands::sources::{Sources, read_programs};
use cti_bridge::core::program::Gap;

const CLIENT: &str = "import pika\nch.queue_bind('q', 'xivo', 'k')\n";

/// A directory that goes with its test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cti-bridge-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    fn read(&self) -> Sources {
        read_programs(std::slice::from_ref(&self.0)).unwrap()
    }

    fn names(&self, sources: &Sources) -> Vec<String> {
        let name = |path: &str| Path::new(path).strip_prefix(&self.0).unwrap().display().to_string();
        sources.programs.iter().map(|program| name(&program.path)).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn programs_are_found_by_their_endings_and_by_their_first_lines() {
    let directory = Directory::new("names");
    directory.write("b/listen.py", CLIENT);
    directory.write("a/script", format!("#!/usr/bin/python2.7\n{CLIENT}"));
    directory.write("a/env", "#!/usr/bin/env node\nch.bindQueue('q', 'xivo', 'k')\n");
    directory.write("notes.txt", CLIENT);
    directory.write("other.py", "print('nothing to do with the bus')\n");
    let sources = directory.read();
    assert_eq!(directory.names(&sources), ["a/env", "a/script", "b/listen.py"]);
    assert_eq!((sources.count, sources.notes.len()), (4, 0));
}

#[test]
fn directories_of_libraries_are_read_where_they_are_named() {
    let directory = Directory::new("libraries");
    directory.write("node_modules/x/index.js", "ch.bindQueue('q', 'xivo', 'k')");
    directory.write("env/lib/x.py", CLIENT);
    directory.write("env/pyvenv.cfg", "");
    directory.write(".git/hooks/x.py", CLIENT);
    let sources = directory.read();
    assert!(sources.programs.is_empty());
    assert_eq!(sources.notes.len(), 3, "{:?}", sources.notes);
    let named = read_programs(&[directory.0.join("node_modules"), directory.0.join("env")]).unwrap();
    assert_eq!(directory.names(&named), ["env/lib/x.py", "node_modules/x/index.js"]);
}

#[test]
fn links_are_not_followed_in_circles_and_a_file_is_read_once() {
    let directory = Directory::new("links");
    let client = directory.write("a/x.py", CLIENT);
    symlink(&directory.0, directory.0.join("a/up")).unwrap();
    symlink(&client, directory.0.join("a/y.py")).unwrap();
    symlink("nowhere.py", directory.0.join("a/z.py")).unwrap();
    let sources = directory.read();
    assert_eq!(directory.names(&sources), ["a/x.py"]);
    assert!(sources.notes.iter().any(|note| note.contains("a/up")), "{:?}", sources.notes);
    let both = read_programs(&[client.clone(), directory.0.clone(), client]).unwrap();
    assert_eq!(both.programs.len(), 1);
}

#[test]
fn what_is_no_text_or_too_large_is_left_out_and_told() {
    let directory = Directory::new("content");
    directory.write("binary.py", b"import pika\0");
    directory.write("large.py", format!("{CLIENT}#{}", " ".repeat(1024 * 1024)));
    let latin = [b"# caf\xe9\n", CLIENT.as_bytes()].concat();
    directory.write("latin.py", latin);
    directory.write("bom.py", format!("\u{feff}{CLIENT}"));
    let sources = directory.read();
    assert_eq!(directory.names(&sources), ["bom.py", "latin.py"]);
    assert_eq!(sources.programs[1].gaps, [Gap::NotUtf8]);
    assert_eq!(sources.programs[0].libraries[0].at.column, 8);
    let told = |what: &str| sources.notes.iter().any(|note| note.contains(what));
    assert!(told("binary.py") && told("large.py") && sources.notes.len() == 2, "{:?}", sources.notes);
}

#[test]
fn nothing_is_reported_where_something_cannot_be_read() {
    let directory = Directory::new("missing");
    directory.write("x.py", CLIENT);
    let missing = directory.0.join("missing.py");
    let failure = read_programs(&[directory.0.clone(), missing]).unwrap_err();
    assert_eq!(failure.exit, cti_bridge::exit_code::Exit::NoInput);
    let text = failure.to_string();
    assert!(text.contains("missing.py") && text.contains("help"), "{text}");
}

#[test]
fn a_named_file_that_is_no_program_is_told() {
    let directory = Directory::new("no_program");
    let notes = directory.write("notes.txt", CLIENT);
    let sources = read_programs(&[notes]).unwrap();
    assert_eq!((sources.count, sources.notes.len()), (0, 1));
}
