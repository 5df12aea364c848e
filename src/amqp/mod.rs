//! The AMQP engine: lapin, and what it takes to lose no message with it.
//!
//! For each direction `supervisor` builds one `session` after the other on connections of its own, `direction` runs in
//! it and `watching` looks whether all is still there. Deliveries are translated and published (`taking`) on the thread that
//! reads them (`turns`, `socket`), and everything else is done on that of the program. The promise is at least once and in
//! order: a delivery is acked when everything that came of it is confirmed, and whatever goes wrong ends the session, so that
//! the broker delivers again what was not acked.

mod acks;
mod address;
mod arguments;
mod backoff;
mod bridge;
#[cfg(test)]
mod broker_tests;
mod canary;
mod care;
mod connect;
mod connected;
mod consuming;
mod counters;
mod declare;
mod direction;
mod fault;
#[cfg(test)]
mod hostile_tests;
mod locked;
mod migrator;
mod motion;
mod nacks;
mod pace;
mod playing;
mod prepared;
mod presence;
mod printable;
mod probing;
mod properties;
mod publisher;
mod quarantine;
mod quarantined;
mod readiness;
mod recorded;
mod session;
mod shelf;
mod socket;
mod sparing;
mod stalls;
mod supervisor;
mod taking;
mod tapping;
mod tls;
mod turns;
mod watching;
mod window;

pub use address::{AddressError, BrokerAddress, node};
pub use bridge::{Bridge, Direction, Side, Unroutable};
pub use connect::{ConnectError, connect};
pub use counters::{Counters, DirectionSnapshot, Snapshot};
pub use declare::{Inequivalent, Object, SetUpError};
pub use migrator::{Counts, Messages, Migrator, StepError};
pub use playing::{Due, PlayError, Player};
pub use presence::presences;
pub use probing::{Depth, ExchangeSeen, Incoming, Outgoing, Probing};
pub use readiness::Event;
pub use shelf::{Arrival, Item, Outlet, Shelf, ShelfError};
pub use supervisor::{RunError, run};
pub use tapping::{Heard, SILENCE, Tap, TapError, Then, is_direct, listen};
pub use tls::{Certificates, ClientCertificate, TlsError, UnusableFile};
