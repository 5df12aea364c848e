//! Recordings on disk: read line by line, so that their size does not matter.

use std::fs::File;
use std::io::{BufRead, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::Failure;
use crate::core::recording::{BadLine, Gap, Header, Message, Read, Reader};
use crate::exit_code::Exit;
use crate::render;

/// A line may be so long: a broker's largest message, 512 MiB, as base64, and its headers.
const MAX_LINE_BYTES: u64 = 700 * 1024 * 1024;

/// A recording that is being read.
pub struct Recording {
    path: PathBuf,
    input: BufReader<File>,
    reader: Reader,
    header: Header,
    line: Vec<u8>,
    notes: Notes,
}

/// What to know of a recording besides its messages.
#[derive(Debug, Default)]
pub struct Notes {
    /// Where messages may be missing.
    pub gaps: Vec<Gap>,
    /// Whether its last line was cut off.
    pub cut_off: bool,
    /// Whether it was brought to an end by the program that made it.
    pub ended: bool,
}

impl Recording {
    /// Opens a recording and reads what it is one of.
    ///
    /// # Errors
    /// When there is no such file, or it is no recording.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let file = File::open(path).map_err(|error| cannot_read(path, &error))?;
        let mut recording = Self {
            path: path.to_owned(),
            input: BufReader::with_capacity(1 << 16, file),
            reader: Reader::default(),
            header: Header::default(),
            line: Vec::new(),
            notes: Notes::default(),
        };
        recording.read_line()?;
        recording.reader.read(&recording.line).map_err(|error| bad(path, &error))?;
        recording.header = recording.reader.header().cloned().unwrap_or_default();
        Ok(recording)
    }

    /// What it is a recording of.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// The line of the message that was read last.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.reader.line()
    }

    /// The next message.
    ///
    /// # Errors
    /// When the file cannot be read, or a line of it is not one of a recording.
    pub fn next_message(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if self.read_line()? == 0 {
                self.notes.ended = self.reader.ended();
                return Ok(None);
            }
            match self.reader.read(&self.line).map_err(|error| bad(&self.path, &error))? {
                Read::Message(message) => return Ok(Some(*message)),
                Read::Gap(gap) => self.notes.gaps.push(gap),
                Read::CutOff => self.notes.cut_off = true,
                Read::Header | Read::End(_) | Read::Blank => {}
            }
        }
    }

    /// What to know of it, once all of it is read.
    #[must_use]
    pub fn into_notes(self) -> Notes {
        self.notes
    }

    fn read_line(&mut self) -> Result<usize, Failure> {
        // What one large message took is not kept for all others.
        if self.line.capacity() > 1 << 20 {
            self.line = Vec::new();
        }
        self.line.clear();
        let length = (&mut self.input).take(MAX_LINE_BYTES).read_until(b'\n', &mut self.line);
        let length = length.map_err(|error| cannot_read(&self.path, &error))?;
        if length as u64 == MAX_LINE_BYTES {
            let message = format!("{}: a line is longer than any message", self.path.display());
            return Err(Failure::new(Exit::BadInput, message));
        }
        Ok(length)
    }
}

impl Notes {
    /// What is worth telling, a line each: that messages may be missing, and why.
    #[must_use]
    pub fn told(&self, path: &Path) -> String {
        let path = path.display();
        let mut text = String::new();
        for Gap { from, to, reason } in &self.gaps {
            let note = format!("note: {path}: messages may be missing between {from} and {to}: {reason}");
            text.push_str(&render::printable(&note));
            text.push('\n');
        }
        if self.cut_off {
            text.push_str(&format!("note: {path}: the last line was cut off and is left out\n"));
        } else if !self.ended {
            text.push_str(&format!("note: {path}: the recording was not brought to its end\n"));
        }
        text
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(Exit::NoInput, format!("cannot read {}: {error}", path.display()))
}

fn bad(path: &Path, error: &BadLine) -> Failure {
    let why = render::printable(&error.problem.to_string());
    Failure::new(Exit::BadInput, format!("{}:{}: {why}", path.display(), error.line))
        .help("`cti-bridge record` makes recordings")
}
