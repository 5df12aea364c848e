//! What the service manager is told, where there is one.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use sd_notify::NotifyState;

/// So many messages wait for a manager that does not listen; what is more is not said.
const WAITING: usize = 16;

/// systemd, or whoever is behind `NOTIFY_SOCKET`.
///
/// A message to it waits until there is room in the socket. So a thread of its own does that, and a manager that hangs
/// holds nobody up.
pub struct Manager(Option<SyncSender<NotifyState<'static>>>);

impl Manager {
    /// The one that started this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        if std::env::var_os("NOTIFY_SOCKET").is_none() {
            return Self(None);
        }
        let (sender, receiver) = sync_channel(WAITING);
        // That it cannot be reached changes nothing.
        let tell = move || receiver.into_iter().for_each(|state| drop(sd_notify::notify(&[state])));
        let spawned = thread::Builder::new().name("service-manager".to_owned()).spawn(tell);
        Self(spawned.is_ok().then_some(sender))
    }

    /// Tells it something.
    pub fn tell(&self, state: NotifyState<'static>) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(state);
        }
    }

    /// How often it wants to hear that all is well: half of the time after which it acts, or never.
    #[must_use]
    pub fn watchdog_period(&self) -> Option<Duration> {
        Some(sd_notify::watchdog_enabled()? / 2).filter(|period| !period.is_zero())
    }
}
