//! The state file: a journal on disk. A line that was written stays, whatever happens next.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::{Failure, plan_file};
use crate::core::journal::{Journal, Line, State};
use crate::core::step::Action;
use crate::exit_code::Exit;
use crate::render;

/// A journal with its file.
pub struct StateFile {
    path: PathBuf,
    /// Opened by the first line.
    file: Option<File>,
    /// How much of the file is whole.
    whole: u64,
    /// How long the file was when it was read.
    length: u64,
    /// What it says.
    pub journal: Journal,
}

impl StateFile {
    /// Reads a state file that has to be there.
    ///
    /// # Errors
    /// When it is not there or is no state file.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = plan_file::read(path)?;
        let journal = Journal::read(&text).map_err(|error| {
            let shown = render::printable(&path.display().to_string());
            let why = render::printable(&error.to_string());
            Failure::new(Exit::BadInput, format!("{shown} is not a state file: {why}"))
        })?;
        let whole = Journal::whole_bytes(&text) as u64;
        let length = text.len() as u64;
        Ok(Self { path: path.to_owned(), file: None, whole, length, journal })
    }

    /// Reads a state file, or begins one.
    ///
    /// # Errors
    /// When there is one that cannot be used.
    pub fn read_or_new(path: &Path, broker: &str) -> Result<Self, Failure> {
        // A first line that was torn says no more than none.
        let (begun, length) = match fs::read_to_string(path) {
            Ok(text) => (Journal::whole_bytes(&text) > 0, text.len() as u64),
            Err(error) => (error.kind() != io::ErrorKind::NotFound, 0),
        };
        if begun {
            return Self::read(path);
        }
        let journal = Journal::new(env!("CARGO_PKG_VERSION"), broker);
        Ok(Self { path: path.to_owned(), file: None, whole: 0, length, journal })
    }

    /// Forgets what is in it, once nothing of it is left to be undone: another plan can be noted there.
    pub fn start_anew(&mut self, broker: &str) {
        *self = Self {
            path: std::mem::take(&mut self.path),
            file: None,
            whole: 0,
            length: self.length,
            journal: Journal::new(env!("CARGO_PKG_VERSION"), broker),
        };
    }

    /// Makes the file where there is none yet, so that there is something to roll back, even if it is nothing.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn begin(&mut self) -> Result<(), Failure> {
        let begun = if self.whole > 0 { Ok(()) } else { self.open().map(drop) };
        begun.map_err(|error| {
            Failure::new(Exit::Unreachable, format!("cannot write {}: {error}", self.shown()))
        })
    }

    /// Its path, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        render::printable(&self.path.display().to_string())
    }

    /// Writes a line, and returns when it is on the disk.
    ///
    /// # Errors
    /// When it cannot be written: then nothing must be done that it would have told.
    pub fn note(&mut self, step: usize, state: State, action: &Action) -> Result<(), Failure> {
        let line = Line { step, state, action: action.clone() };
        let written = self.write(&line);
        written.map_err(|error| {
            Failure::new(Exit::Unreachable, format!("cannot write {}: {error}", self.shown()))
                .help("nothing is done that cannot be noted")
        })?;
        self.journal.note(line).map_err(|()| {
            Failure::new(Exit::Bug, format!("step {step} was another one before in {}", self.shown()))
        })
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let text = serde_json::to_string(line)? + "\n";
        let file = self.open()?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    }

    /// Keeps others away from the file for as long as this process has it open: two at work on one broker, each with
    /// its own idea of what is done, would undo each other's steps.
    fn lock(&self, file: &File) -> io::Result<()> {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::other("another `apply` or `rollback` is at work with it"),
            TryLockError::Error(error) => error,
        })?;
        if file.metadata()?.len() != self.length {
            return Err(io::Error::other("another `apply` or `rollback` has written to it meanwhile"));
        }
        Ok(())
    }

    /// The file with its first line, ready for the next one.
    fn open(&mut self) -> io::Result<&mut File> {
        if self.file.is_none() {
            let mut file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
            self.lock(&file)?;
            // What a torn line began is taken away, so that the next one begins where a line does.
            file.set_len(self.whole)?;
            if self.whole == 0 {
                file.write_all((serde_json::to_string(&self.journal.header)? + "\n").as_bytes())?;
                file.sync_all()?;
            }
            // The name of a new file is on the disk when its directory is.
            let directory = self.path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
            self.file = Some(file);
        }
        self.file.as_mut().ok_or_else(|| io::Error::other("the file is not open"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_has_the_file() {
        let name = format!("cti-bridge-state-file-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        let new = || StateFile::read_or_new(&path, "amqp://h/").unwrap();
        let (mut first, mut early) = (new(), new());
        first.begin().unwrap();
        let failure = early.begin().unwrap_err().to_string();
        assert!(failure.contains("another `apply` or `rollback` is at work"), "{failure}");
        drop(first);
        let failure = early.begin().unwrap_err().to_string();
        assert!(failure.contains("has written to it meanwhile"), "{failure}");
        let mut later = new();
        later.open().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
    }
}
