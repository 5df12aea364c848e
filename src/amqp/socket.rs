//! The socket of a connection, which lapin's thread waits for by itself while messages come.
//!
//! What comes on a socket wakes tokio's thread, and that wakes lapin's: two threads for each message, where few come. So
//! while they come one soon after the other, and the turns of the connection are used, tokio knows nothing of the socket,
//! and lapin's thread waits for it where it reads. What other threads want of lapin's waits meanwhile, but never longer than
//! `WAIT`. When nothing comes any more tokio sees to the socket again, so that an idle connection costs nothing; and so it
//! does when the socket cannot be written, as somebody has to tell lapin when it can.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem;
use std::net::{self, Shutdown};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::io::{AsyncRead, AsyncWrite};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::runtime::Handle;

use super::turns::Turns;

/// Messages come soon after one another: in less than this.
const SOON: Duration = Duration::from_millis(4);

/// After so many in a row they will go on coming.
const MANY: u32 = 8;

/// So long at most lapin's thread waits for the socket at once: 2 ms.
const WAIT: Timespec = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };

/// After so many waits in a row for nothing, nothing comes any more.
const WAITS: u32 = 3;

/// The socket of a connection.
pub(super) struct Socket {
    stream: Stream,
    /// Where tokio sees to sockets.
    program: Handle,
    /// When there was nothing more to read, after something.
    last: Option<Instant>,
    /// How often in a row something came soon after what was before.
    soon: u32,
    /// Whether lapin is told when it can write.
    is_full: bool,
    turns: Turns,
    /// Whether something was read since the last time that there was nothing to read.
    has_read: bool,
    /// Whether something was read since the last turn.
    is_due: bool,
}

/// Who sees to the socket.
enum Stream {
    /// tokio, which wakes who waits.
    Program(TcpStream),
    /// The thread that reads.
    Own {
        stream: net::TcpStream,
        /// Whether all is read that had come by the last read.
        is_drained: bool,
        /// How often in a row it waited for nothing.
        in_vain: u32,
    },
    /// Nobody any more, after an error.
    Lost,
}

impl Socket {
    /// `program` is the runtime that sees to `stream`.
    pub(super) const fn new(stream: TcpStream, program: Handle, turns: Turns) -> Self {
        let stream = Stream::Program(stream);
        Self { stream, program, last: None, soon: 0, is_full: false, turns, has_read: false, is_due: false }
    }

    /// Reads what has come. Who has read it all has one turn before the next wait.
    fn read(&mut self, context: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = match &mut self.stream {
            Stream::Program(stream) => {
                let mut buffer = ReadBuf::new(buffer);
                let read = tokio::io::AsyncRead::poll_read(Pin::new(stream), context, &mut buffer);
                read.map_ok(|()| buffer.filled().len())
            }
            Stream::Own { is_drained: true, .. } if self.has_read => Poll::Pending,
            Stream::Own { stream, .. } if !self.has_read && !comes(stream) => Poll::Pending,
            Stream::Own { stream, is_drained, .. } => {
                let room = buffer.len();
                let read = at_once(stream.read(buffer));
                *is_drained = !matches!(read, Poll::Ready(Ok(bytes)) if bytes == room);
                read
            }
            Stream::Lost => Poll::Ready(Err(lost())),
        };
        match read {
            Poll::Ready(Ok(bytes)) if bytes > 0 => (self.has_read, self.is_due) = (true, true),
            Poll::Pending if mem::take(&mut self.has_read) => {
                self.came()?;
                // Between the two there may be TLS, and lapin have come to what was read after the last turn.
                self.is_due = true;
                context.waker().wake_by_ref();
            }
            Poll::Pending if matches!(self.stream, Stream::Own { .. }) => {
                self.came_not()?;
                // For what others want of this thread, and to wait again.
                context.waker().wake_by_ref();
            }
            _ => {}
        }
        read
    }

    /// Something had come, and all of it is read.
    fn came(&mut self) -> io::Result<()> {
        let may_wait = self.turns.may_wait();
        match &mut self.stream {
            Stream::Own { in_vain, .. } if may_wait => *in_vain = 0,
            Stream::Own { .. } => {
                self.given_back()?;
            }
            _ => {
                let now = Instant::now();
                let is_soon = self.last.replace(now).is_some_and(|last| now - last < SOON);
                self.soon = if is_soon { self.soon + 1 } else { 0 };
                if self.soon >= MANY && !self.is_full && may_wait {
                    self.take()?;
                }
            }
        }
        Ok(())
    }

    /// Nothing came while the thread waited.
    fn came_not(&mut self) -> io::Result<()> {
        if let Stream::Own { in_vain, .. } = &mut self.stream {
            *in_vain += 1;
            if *in_vain >= WAITS || !self.turns.may_wait() {
                self.given_back()?;
            }
        }
        Ok(())
    }

    /// From now on the thread that reads sees to it.
    fn take(&mut self) -> io::Result<()> {
        self.stream = match mem::replace(&mut self.stream, Stream::Lost) {
            Stream::Program(stream) => {
                Stream::Own { stream: stream.into_std()?, is_drained: true, in_vain: 0 }
            }
            other => other,
        };
        Ok(())
    }

    /// From now on tokio sees to it.
    fn given_back(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream = match mem::replace(&mut self.stream, Stream::Lost) {
            Stream::Own { stream, .. } => {
                let _entered = self.program.enter();
                (self.last, self.soon) = (None, 0);
                Stream::Program(TcpStream::from_std(stream)?)
            }
            other => other,
        };
        match &mut self.stream {
            Stream::Program(stream) => Ok(Pin::new(stream)),
            _ => Err(lost()),
        }
    }

    fn write(
        &mut self,
        by_itself: impl FnOnce(&mut net::TcpStream) -> io::Result<usize>,
        by_program: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Stream::Own { stream, .. } = &mut self.stream {
            let written = at_once(by_itself(stream));
            if written.is_ready() {
                return written;
            }
        }
        let written = by_program(self.given_back()?);
        self.is_full = written.is_pending();
        written
    }
}

/// Waits until there is something to read, be it an error.
fn comes(stream: &net::TcpStream) -> bool {
    // A wait that was interrupted is one in vain.
    poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&WAIT)).is_ok_and(|ready| ready > 0)
}

/// What a socket that does not block has come to.
fn at_once(done: io::Result<usize>) -> Poll<io::Result<usize>> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        done => Poll::Ready(done),
    }
}

fn lost() -> io::Error {
    io::ErrorKind::NotConnected.into()
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.read(context, buffer)
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        match buffers.iter_mut().find(|buffer| !buffer.is_empty()) {
            Some(buffer) => self.read(context, buffer),
            None => Poll::Ready(Ok(0)),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(
            |stream| stream.write(buffer),
            |stream| tokio::io::AsyncWrite::poll_write(stream, context, buffer),
        )
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(
            |stream| stream.write_vectored(buffers),
            |stream| tokio::io::AsyncWrite::poll_write_vectored(stream, context, buffers),
        )
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if mem::take(&mut self.is_due) {
            self.turns.turn();
        }
        // A socket keeps nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_close(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Program(stream) => tokio::io::AsyncWrite::poll_shutdown(Pin::new(stream), context),
            Stream::Own { stream, .. } => Poll::Ready(match stream.shutdown(Shutdown::Write) {
                // The other end was the first, which tokio takes for closed, too.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(()),
                closed => closed,
            }),
            Stream::Lost => Poll::Ready(Ok(())),
        }
    }
}

#[cfg(test)]
mod tests;
