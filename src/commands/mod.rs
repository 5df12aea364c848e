//! The commands, one file each: read the world, ask the core, act, return how it went.

pub mod apply;
pub mod approval;
pub mod audit;
pub mod changelog;
pub mod compare;
pub mod daemon;
pub mod doctor;
pub mod explain;
pub mod listening;
pub mod look;
pub mod manager;
pub mod mappings;
pub mod plan;
pub mod plan_file;
mod private_file;
pub mod progress;
pub mod quarantine;
pub mod record;
pub mod recordings;
pub mod replay;
pub mod rollback;
pub mod rules;
pub mod run;
pub mod runtime;
pub mod settings;
pub mod site;
pub mod sources;
pub mod state_file;
pub mod stop;
pub mod tap;
pub mod translate;
pub mod verify;

use std::fmt;

use crate::cli::RulesFrom;
use crate::core::catalog::Mappings;
use crate::exit_code::Exit;

/// Why a command could not do its work, ready to be told.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    text: String,
}

impl Failure {
    /// A failure told in one sentence: lower case, no full stop.
    #[must_use]
    pub fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, text: format!("error: {message}\n") }
    }

    /// A failure that is told by several rendered messages, a blank line between them.
    #[must_use]
    pub fn rendered(exit: Exit, messages: Vec<String>) -> Self {
        let count = messages.len();
        let mut text = messages.join("\n");
        if count > 1 {
            text.push_str(&format!("\n{count} mistakes\n"));
        }
        Self { exit, text }
    }

    /// The same where something was done before: what, and another exit code.
    #[must_use]
    pub fn partly(mut self, done: impl fmt::Display) -> Self {
        self.exit = Exit::PartlyDone;
        self.text.push_str(&format!("  = done: {done}\n"));
        self
    }

    /// What is wrong, in the first line.
    #[must_use]
    pub fn message(&self) -> &str {
        let text = self.text.strip_prefix("error: ").unwrap_or(&self.text);
        text.lines().next().unwrap_or_default()
    }

    /// The same with a line on what to do.
    #[must_use]
    pub fn help(mut self, help: impl fmt::Display) -> Self {
        self.text.push_str(&format!("  = help: {help}\n"));
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn load(from: &RulesFrom) -> Result<Mappings, Failure> {
    mappings::load(!from.no_builtin_mappings, &from.mappings)
}

/// Writes a result to standard output. A reader that has gone, as with `| head`, is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::{ErrorKind, Write};
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Unreachable, format!("cannot write: {error}")))
        }
        _ => Ok(()),
    }
}
