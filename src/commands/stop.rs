//! Being told to stop.

use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Failure, runtime};
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

/// How long a command may take to end by itself when it is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Ends the process some time after it was told to stop, whatever it is doing then: who writes to a reader that does
/// not read is not there to hear anything.
///
/// # Errors
/// When signals cannot be waited for, or no thread can be had.
pub fn at_the_latest() -> Result<(), Failure> {
    let waiting = || {
        let waited: Result<(), Failure> = runtime::block_on(|| async {
            signals()?.await;
            Ok(())
        });
        if waited.is_ok() {
            thread::sleep(GRACE);
            // Standard output may be locked by who is stuck: nothing is written any more.
            std::process::exit(i32::from(Exit::PartlyDone.code()));
        }
    };
    let started = thread::Builder::new().name("stop".to_owned()).spawn(waiting);
    started.map(drop).map_err(|error| Failure::new(Exit::Bug, format!("cannot start: {error}")))
}
