//! How far a replay is, in a file beside the recording, for the one that goes on with it.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Failure;
use crate::cli::Replay;
use crate::core::recording::Header;
use crate::exit_code::Exit;
use crate::render;

/// The progress of one replay.
pub struct Progress {
    path: PathBuf,
    /// What the replay is one of; another one cannot go on with it.
    job: String,
    written: u64,
    warned: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    schema: String,
    job: String,
    /// All of the recording up to this line is published and confirmed.
    line: u64,
}

impl Progress {
    /// The progress of this replay of this recording.
    #[must_use]
    pub fn of(command: &Replay, header: &Header) -> Self {
        let mut path = command.file.clone().into_os_string();
        path.push(".progress");
        let Replay { to, key, only, translate, keep_mark, .. } = command;
        let only: Vec<String> = only.iter().map(ToString::to_string).collect();
        let job = format!("{} {to:?} {key:?} {only:?} {translate:?} {keep_mark}", header.started);
        Self { path: path.into(), job, written: 0, warned: false }
    }

    /// The line up to which all is published.
    ///
    /// # Errors
    /// When there was no such replay, or it was another one.
    pub fn read(&self) -> Result<u64, Failure> {
        let path = self.path.display();
        let text = fs::read(&self.path).map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                Failure::new(Exit::NoInput, format!("no replay was interrupted: there is no {path}"))
                    .help("leave `--resume` out to begin from the start")
            }
            _ => Failure::new(Exit::NoInput, format!("cannot read {path}: {error}")),
        })?;
        let written: Written = serde_json::from_slice(&text)
            .map_err(|error| Failure::new(Exit::BadInput, format!("{path}: {error}")))?;
        if written.job != self.job {
            let message = format!("{path} is of another replay: another recording or other options");
            return Err(Failure::new(Exit::BadInput, message)
                .help("repeat the options of that replay, or leave `--resume` out to begin from the start"));
        }
        Ok(written.line)
    }

    /// Writes down how far it is. Where that is not possible it is told once, and the replay goes on.
    pub fn write(&mut self, line: u64) {
        if line == self.written {
            return;
        }
        self.written = line;
        let text = render::document("replay-progress", serde_json::json!({"job": self.job, "line": line}));
        // Beside it and then in its place, so that there is never half a file.
        let mut new = self.path.clone().into_os_string();
        new.push(".new");
        let result = fs::write(&new, text).and_then(|()| fs::rename(&new, &self.path));
        if let (Err(error), false) = (result, self.warned) {
            self.warned = true;
            eprintln!("note: cannot write {}: {error}; this replay cannot be resumed", self.path.display());
        }
    }

    /// There is nothing left to go on with.
    pub fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}
