//! Finding and reading the sources of client programs: files, and directories with all that is below them.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::commands::Failure;
use crate::core::program::{Gap, Program};
use crate::exit_code::Exit;
use crate::render;
use crate::scan;

/// A larger file is not read: no person wrote it.
const LIMIT_BYTES: usize = 1024 * 1024;

/// As much of a file is looked at to tell its language where its name does not.
const FIRST_LINE_BYTES: usize = 256;

/// Directories that hold libraries or a version control's own files. They are read where they are named.
const SKIPPED: [&str; 14] = [
    ".git",
    ".hg",
    ".svn",
    ".bzr",
    ".tox",
    ".venv",
    "__pycache__",
    "bower_components",
    "dist-packages",
    "node_modules",
    "site-packages",
    "vendor",
    "venv",
    "virtualenv",
];

/// So many paths of one kind are told one by one.
const TOLD_ONE_BY_ONE: usize = 10;

/// What was read.
#[derive(Debug, Default)]
pub struct Sources {
    /// The programs that have to do with the bus, by path.
    pub programs: Vec<Program>,
    /// How many programs were read, those that have nothing to do with it too.
    pub count: usize,
    /// What was left out and why, a line each, for standard error.
    pub notes: Vec<String>,
}

/// Reads the programs at these paths and below them, in Python, JavaScript, TypeScript and PHP.
///
/// Directories of libraries and links to directories are left out below a path and read where they are the path; what
/// is left out is told in the notes.
///
/// # Errors
/// When anything cannot be read: who asks which programs use the bus is not served with a part of the answer.
pub fn read_programs(paths: &[PathBuf]) -> Result<Sources, Failure> {
    let mut walk = Walk::default();
    for path in paths {
        walk.named(path);
    }
    if !walk.unreadable.is_empty() {
        let mut messages = walk.unreadable;
        let rest = messages.len().saturating_sub(TOLD_ONE_BY_ONE);
        messages.truncate(TOLD_ONE_BY_ONE);
        if rest > 0 {
            messages.push(format!("error: cannot read {} more\n", render::counted(rest, "path")));
        }
        if let Some(last) = messages.last_mut() {
            last.push_str("  = help: name paths that this user can read, or run as another user\n");
        }
        return Err(Failure::rendered(Exit::NoInput, messages));
    }
    let mut sources = walk.sources;
    sources.programs.sort_by(|one, other| one.path.cmp(&other.path));
    for (what, paths) in walk.left_out {
        let told = paths.len().min(TOLD_ONE_BY_ONE);
        sources.notes.extend(paths.iter().take(told).map(|path| format!("{what}: {path}")));
        if paths.len() > told {
            sources.notes.push(format!("{what}: {} more", paths.len() - told));
        }
    }
    Ok(sources)
}

/// Why something is left out.
const NO_PROGRAM: &str = "skipped, no Python, JavaScript, TypeScript or PHP";
const TOO_LARGE: &str = "skipped, larger than 1 MiB";
const BINARY: &str = "skipped, has bytes of value 0";
const LIBRARIES: &str = "skipped, a directory of libraries (name it to have it read)";
const LINK: &str = "not followed, a link to a directory (name it to have it read)";
const NO_FILE: &str = "skipped, neither file nor directory";

#[derive(Default)]
struct Walk {
    sources: Sources,
    /// By reason, in the order in which the reasons came up.
    left_out: Vec<(&'static str, Vec<String>)>,
    unreadable: Vec<String>,
    /// Device and number of every file and directory that was read: a file may have several names.
    seen: BTreeSet<(u64, u64)>,
}

impl Walk {
    fn named(&mut self, path: &Path) {
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) => return self.cannot_read(path, &error),
        };
        if metadata.is_dir() {
            self.below(path, &metadata);
        } else if metadata.is_file() {
            self.file(path, &metadata, true);
        } else {
            self.leave_out(NO_FILE, path);
        }
    }

    /// Reads what is below a directory, without recursion: directories nest as deeply as they like.
    fn below(&mut self, directory: &Path, metadata: &Metadata) {
        let mut directories = vec![(directory.to_owned(), metadata.clone())];
        while let Some((directory, metadata)) = directories.pop() {
            if !self.seen.insert((metadata.dev(), metadata.ino())) {
                continue;
            }
            let entries = fs::read_dir(&directory)
                .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
            let mut entries = match entries {
                Ok(entries) => entries,
                Err(error) => {
                    self.cannot_read(&directory, &error);
                    continue;
                }
            };
            entries.sort();
            for path in entries {
                if let Some(metadata) = self.entry(&path) {
                    directories.push((path, metadata));
                }
            }
        }
    }

    /// Reads an entry of a directory, unless it is a directory that is to be read later.
    fn entry(&mut self, path: &Path) -> Option<Metadata> {
        let own = match fs::symlink_metadata(path) {
            Ok(own) => own,
            Err(error) => {
                self.cannot_read(path, &error);
                return None;
            }
        };
        if own.is_dir() {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if SKIPPED.contains(&&*name) || path.join("pyvenv.cfg").is_file() {
                self.leave_out(LIBRARIES, path);
                return None;
            }
            return Some(own);
        }
        if !own.is_symlink() {
            if own.is_file() {
                self.file(path, &own, false);
            }
            return None;
        }
        match fs::metadata(path) {
            Ok(target) if target.is_dir() => self.leave_out(LINK, path),
            Ok(target) if target.is_file() => self.file(path, &target, false),
            // A link to nothing holds no program.
            Ok(_) | Err(_) => {}
        }
        None
    }

    fn file(&mut self, path: &Path, metadata: &Metadata, is_named: bool) {
        let name = path.display().to_string();
        let mut language = scan::language_of(&name, "");
        if language.is_none() {
            match read_up_to(path, FIRST_LINE_BYTES) {
                Ok(start) => {
                    let start = String::from_utf8_lossy(&start).into_owned();
                    language = scan::language_of(&name, start.lines().next().unwrap_or_default());
                }
                Err(error) => return self.cannot_read(path, &error),
            }
        }
        let Some(language) = language else {
            if is_named {
                self.leave_out(NO_PROGRAM, path);
            }
            return;
        };
        if !self.seen.insert((metadata.dev(), metadata.ino())) {
            return;
        }
        let bytes = match read_up_to(path, LIMIT_BYTES + 1) {
            Ok(bytes) => bytes,
            Err(error) => return self.cannot_read(path, &error),
        };
        if bytes.len() > LIMIT_BYTES {
            return self.leave_out(TOO_LARGE, path);
        }
        if bytes.contains(&0) {
            return self.leave_out(BINARY, path);
        }
        let text = String::from_utf8_lossy(&bytes);
        let mut program = scan::read(&name, language, text.trim_start_matches('\u{feff}'));
        self.sources.count += 1;
        if matches!(text, std::borrow::Cow::Owned(_)) {
            program.gaps.insert(0, Gap::NotUtf8);
        }
        if program.uses_the_bus() || program.gaps.contains(&Gap::CutShort) {
            self.sources.programs.push(program);
        }
    }

    fn leave_out(&mut self, why: &'static str, path: &Path) {
        let path = render::printable(&path.display().to_string());
        match self.left_out.iter_mut().find(|(reason, _)| *reason == why) {
            Some((_, paths)) => paths.push(path),
            None => self.left_out.push((why, vec![path])),
        }
    }

    fn cannot_read(&mut self, path: &Path, error: &io::Error) {
        let path = render::printable(&path.display().to_string());
        self.unreadable.push(format!("error: cannot read {path}: {error}\n"));
    }
}

fn read_up_to(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}
