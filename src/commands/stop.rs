//! Being told to stop.

use tokio::signal::unix::{SignalKind, signal};

use super::Failure;
use crate::exit_code::Exit;

/// Resolves at the first SIGINT or SIGTERM from here on.
///
/// # Errors
/// When signals cannot be waited for.
pub fn signals() -> Result<impl Future<Output = ()>, Failure> {
    let no_signals = |error| Failure::new(Exit::Bug, format!("cannot wait for signals: {error}"));
    let mut terminate = signal(SignalKind::terminate()).map_err(no_signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signals)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
