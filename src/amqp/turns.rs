//! lapin's runtime is tokio's, but for its sockets: each turn of the thread on which lapin reads a connection can be used.
//!
//! lapin flushes before it waits and before it writes. What was read by then is with its consumer, so whoever takes it in a
//! flush has it before any other thread has been woken, and what is published for it leaves with the same turn. A turn may be
//! missed: over TLS, while the socket cannot be written. So nothing may depend on it but the time that it takes.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;

use super::locked::locked;
use super::socket::Socket;

/// What the turns are used for.
struct Use {
    /// What is done in each.
    act: Box<dyn FnMut() + Send>,
    may_wait: bool,
}

/// The turns of one connection in which something was read.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Option<Use>>>);

/// The turns are used until this is dropped; then they are not, not even one that has begun.
#[must_use]
pub(super) struct Used(Turns);

impl Turns {
    /// Uses each turn, once what an earlier use returned is dropped. `may_wait` says whether what other threads want of lapin's
    /// may come some milliseconds later.
    pub(super) fn used(&self, act: impl FnMut() + Send + 'static, may_wait: bool) -> Used {
        *locked(&self.0) = Some(Use { act: Box::new(act), may_wait });
        Used(self.clone())
    }

    /// Whether they are used, and other threads have time.
    pub(super) fn may_wait(&self) -> bool {
        locked(&self.0).as_ref().is_some_and(|used| used.may_wait)
    }

    /// This is a turn.
    pub(super) fn turn(&self) {
        if let Some(used) = &mut *locked(&self.0) {
            (used.act)();
        }
    }

    /// The runtime for a connection.
    pub(super) fn runtime(&self) -> Runtime<Kit> {
        let (tokio, program) = (Tokio::current(), Handle::current());
        let turning = Turning { tokio: tokio.clone(), program, turns: self.clone() };
        Runtime::new(RuntimeParts::new(tokio, turning))
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let ended = locked(&self.0.0).take();
        drop(ended);
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Turns").finish_non_exhaustive()
    }
}

/// What runs the tasks of a connection, and what tells of its socket.
pub(super) type Kit = RuntimeParts<Tokio, Turning>;

/// tokio's reactor, with sockets that know of turns.
#[derive(Debug, Clone)]
pub(super) struct Turning {
    tokio: Tokio,
    program: Handle,
    turns: Turns,
}

impl Reactor for Turning {
    type TcpStream = Socket;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: Read + Write + AsFd + AsRawFd + Send + 'static>(
        &self,
        socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        self.tokio.register(socket)
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.tokio.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.tokio.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = self.tokio.tcp_connect_addr(address);
        let (program, turns) = (self.program.clone(), self.turns.clone());
        async move { Ok(Socket::new(connecting.await?.into_inner(), program, turns)) }
    }
}
