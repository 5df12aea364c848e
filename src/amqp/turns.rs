//! lapin's runtime is tokio's, but for one thing: each turn of the thread on which lapin reads a connection can be used.
//!
//! lapin flushes before it waits and before it writes. What was read by then is with its consumer, so whoever takes it in a
//! flush has it before any other thread has been woken, and what is published for it leaves with the same turn. A turn may be
//! missed: over TLS, while the socket cannot be written. So nothing may depend on it but the time that it takes.

use std::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::Stream;
use futures_util::io::{AsyncRead, AsyncWrite};

use super::locked::locked;

/// What is done in each turn.
type Act = Box<dyn FnMut() + Send>;

/// The turns of one connection in which something was read.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<Option<Act>>>);

/// The turns are used until this is dropped; then they are not, not even one that has begun.
#[must_use]
pub(super) struct Used(Turns);

impl Turns {
    /// Uses each turn, in place of any earlier use.
    pub(super) fn used(&self, act: impl FnMut() + Send + 'static) -> Used {
        *locked(&self.0) = Some(Box::new(act));
        Used(self.clone())
    }

    fn turn(&self) {
        if let Some(act) = &mut *locked(&self.0) {
            act();
        }
    }

    /// The runtime for a connection.
    pub(super) fn runtime(&self) -> Runtime<Kit> {
        let tokio = Tokio::current();
        let turning = Turning { tokio: tokio.clone(), turns: self.clone() };
        Runtime::new(RuntimeParts::new(tokio, turning))
    }
}

impl Drop for Used {
    fn drop(&mut self) {
        let act = locked(&self.0.0).take();
        drop(act);
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
    turns: Turns,
}

impl Reactor for Turning {
    type TcpStream = Socket<<Tokio as Reactor>::TcpStream>;
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
        let (connecting, turns) = (self.tokio.tcp_connect_addr(address), self.turns.clone());
        async move { Ok(Socket { socket: connecting.await?, turns, has_read: false, is_due: false }) }
    }
}

/// The socket of a connection.
pub(super) struct Socket<S> {
    socket: S,
    turns: Turns,
    /// Whether something was read since the last time that there was nothing to read.
    has_read: bool,
    /// Whether something was read since the last turn.
    is_due: bool,
}

impl<S: Unpin> Socket<S> {
    /// Who has read all there is waits for more, but for one turn.
    fn read(&mut self, context: &Context<'_>, read: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match read {
            Poll::Ready(Ok(bytes)) if bytes > 0 => (self.has_read, self.is_due) = (true, true),
            Poll::Pending if mem::take(&mut self.has_read) => {
                // Between the two there may be TLS, and lapin have come to what was read after the last turn.
                self.is_due = true;
                context.waker().wake_by_ref();
            }
            _ => {}
        }
        read
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.socket).poll_read(context, buffer);
        self.read(context, read)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.socket).poll_read_vectored(context, buffers);
        self.read(context, read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, buffers)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if mem::take(&mut self.is_due) {
            self.turns.turn();
        }
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Wake, Waker};

    use super::*;

    /// What there is to read, one piece at a time.
    struct Pieces(usize);

    impl AsyncRead for Pieces {
        fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut [u8]) -> Poll<io::Result<usize>> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Poll::Ready(Ok(1))
                }
                None => Poll::Pending,
            }
        }
    }

    impl AsyncWrite for Pieces {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(buffer.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Count {
        fn so_far(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_has_read_something_has_one_turn_before_the_next_wait() {
        let (turns, woken, acted) =
            (Turns::default(), Arc::new(Count::default()), Arc::new(Count::default()));
        let count = Arc::clone(&acted);
        let used = turns.used(move || Arc::clone(&count).wake());
        let waker = Waker::from(Arc::clone(&woken));
        let mut context = Context::from_waker(&waker);
        let mut socket = Socket { socket: Pieces(0), turns, has_read: false, is_due: false };
        let mut read_all = |socket: &mut Socket<Pieces>| {
            while Pin::new(&mut *socket).poll_read(&mut context, &mut [0]).is_ready() {}
            for _ in 0..2 {
                assert!(Pin::new(&mut *socket).poll_flush(&mut context).is_ready());
            }
            (woken.so_far(), acted.so_far())
        };
        assert_eq!(read_all(&mut socket), (0, 0));
        socket.socket = Pieces(3);
        assert_eq!(read_all(&mut socket), (1, 1));
        assert_eq!(read_all(&mut socket), (1, 1), "and no other without having read");
        socket.socket = Pieces(1);
        assert!(
            Pin::new(&mut socket).poll_read(&mut Context::from_waker(Waker::noop()), &mut [0]).is_ready()
        );
        assert!(Pin::new(&mut socket).poll_flush(&mut Context::from_waker(Waker::noop())).is_ready());
        assert_eq!(read_all(&mut socket), (2, 3), "one more when all is read");
        drop(used);
        socket.socket = Pieces(1);
        assert_eq!(read_all(&mut socket), (3, 3));
    }
}
