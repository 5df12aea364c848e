//! Asking before something is done that cannot be taken back.

use std::io::{BufRead, IsTerminal, Write};

use super::Failure;
use crate::exit_code::Exit;

/// Goes on when it was approved on the command line, or somebody at the terminal says yes.
///
/// # Errors
/// When nobody can be asked, or the answer is another one.
pub fn ask(question: &str, approved: bool) -> Result<(), Failure> {
    if approved {
        return Ok(());
    }
    let stdin = std::io::stdin();
    let mut stderr = std::io::stderr();
    if !stdin.is_terminal() || !stderr.is_terminal() {
        let message = format!("nobody is there to approve: {question}");
        return Err(Failure::new(Exit::Usage, message).help("repeat it with `--approve`"));
    }
    let _ = write!(stderr, "{question} [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let _ = stdin.lock().read_line(&mut answer);
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Failure::new(Exit::Findings, "not approved, nothing was done")),
    }
}
