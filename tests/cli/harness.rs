//! Runs the program: `cti(["translate", "--to", "legacy"]).stdin("…").run()`.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A command line, not yet run.
pub struct Cti {
    command: Command,
    stdin: Vec<u8>,
}

/// What a run came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The program with these arguments and nothing of the caller's environment.
pub fn cti<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Cti {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cti-bridge"));
    command.args(arguments).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Cti { command, stdin: Vec::new() }
}

impl Cti {
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = input.into();
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn within(mut self, directory: &Directory) -> Self {
        self.command.current_dir(&directory.0);
        self
    }

    pub fn run(mut self) -> Ran {
        let mut child = self.command.spawn().unwrap();
        // A program that does not read its input closes the pipe, which is its right.
        let _ = child.stdin.take().unwrap().write_all(&self.stdin);
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code().expect("ended by itself"),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// An empty directory for one test.
pub struct Directory(pub PathBuf);

impl Directory {
    pub fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }
}
