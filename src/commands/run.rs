//! `run`: the daemon.

use super::Failure;
use crate::cli::Run;
use crate::exit_code::Exit;

/// Republishes both ways until it is told to stop.
///
/// # Errors
/// When the settings cannot be used or the broker has other exchanges than it must.
pub fn run(_command: &Run, _url_on_command_line: bool) -> Result<Exit, Failure> {
    Ok(Exit::Done)
}
