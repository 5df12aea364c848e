//! What the service manager is told, where there is one.

use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// So many messages wait for a manager that does not listen; what is more is not said.
const WAITING: usize = 16;

/// So long the end waits until the last word is out.
const FAREWELL: Duration = Duration::from_millis(200);

/// systemd, or whoever is behind `NOTIFY_SOCKET`.
///
/// A message to it waits until there is room in the socket. So a thread of its own does that, and a manager that hangs
/// holds nobody up. Who drops it waits a moment until all is said.
pub struct Manager(Option<Telling>);

struct Telling {
    sender: SyncSender<NotifyState<'static>>,
    /// Disconnected when all is said.
    done: Receiver<()>,
}

impl Manager {
    /// The one that started this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self(None);
        }
        let (sender, receiver) = sync_channel(WAITING);
        // That it cannot be reached changes nothing.
        let (at_work, done) = channel();
        let tell = move || {
            receiver.into_iter().for_each(|state| drop(sd_notify::notify(&[state])));
            drop(at_work);
        };
        let spawned = thread::Builder::new().name("service-manager".to_owned()).spawn(tell);
        Self(spawned.is_ok().then_some(Telling { sender, done }))
    }

    /// Tells it something.
    pub fn tell(&self, state: NotifyState<'static>) {
        if let Some(Telling { sender, .. }) = &self.0 {
            let _ = sender.try_send(state);
        }
    }

    /// How often it wants to hear that all is well: half of the time after which it acts, or never.
    #[must_use]
    pub fn watchdog_period(&self) -> Option<Duration> {
        Some(sd_notify::watchdog_enabled()? / 2).filter(|period| !period.is_zero())
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(Telling { sender, done }) = self.0.take() {
            drop(sender);
            let _ = done.recv_timeout(FAREWELL);
        }
    }
}
