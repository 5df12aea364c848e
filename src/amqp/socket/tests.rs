use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Wake, Waker};
use std::thread;

use futures_util::io::AsyncWriteExt;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::*;
use crate::amqp::turns::Used;

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than any socket buffers.
const MUCH: usize = 32 << 20;

/// Who sees to the socket at first, in each test that asks.
const EITHER: [Who; 2] = [Who::Program, Who::Own];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Program,
    Own,
}

/// Reads and writes as lapin does: on a thread of its own, which sleeps until it is woken.
struct Reader {
    socket: Socket,
    woken: mpsc::Receiver<()>,
    waker: Waker,
    turns: Turns,
    turns_taken: Arc<AtomicUsize>,
    used: Option<Used>,
    peer: net::TcpStream,
    began: Instant,
    program: Runtime,
}

struct Alarm(mpsc::Sender<()>);

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

impl Reader {
    fn new(who: Who) -> Self {
        let turns = Turns::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let program = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connected = program.block_on(TcpStream::connect(listener.local_addr().unwrap())).unwrap();
        let socket = Socket::new(connected, program.handle().clone(), turns.clone());
        let (alarm, woken) = mpsc::channel();
        let waker = Waker::from(Arc::new(Alarm(alarm)));
        let (peer, _) = listener.accept().unwrap();
        peer.set_read_timeout(Some(PATIENCE)).unwrap();
        let (turns_taken, used, began) = (Arc::default(), None, Instant::now());
        let mut reader = Self { socket, woken, waker, turns, turns_taken, used, peer, began, program };
        reader.use_turns(true);
        if who == Who::Own {
            reader.talk_until_it_is(Who::Own);
        }
        reader
    }

    fn use_turns(&mut self, may_wait: bool) {
        self.used = None;
        let taken = Arc::clone(&self.turns_taken);
        let act = move || {
            taken.fetch_add(1, Ordering::Relaxed);
        };
        self.used = Some(self.turns.used(act, may_wait));
    }

    fn turns_taken(&self) -> usize {
        self.turns_taken.load(Ordering::Relaxed)
    }

    fn who(&self) -> Who {
        assert!(self.began.elapsed() < PATIENCE, "nothing changes");
        match self.socket.stream {
            Stream::Program(_) => Who::Program,
            Stream::Own { .. } => Who::Own,
            Stream::Lost => panic!("the socket is lost"),
        }
    }

    fn flush(&mut self) {
        let mut context = Context::from_waker(&self.waker);
        assert!(Pin::new(&mut self.socket).poll_flush(&mut context).is_ready());
    }

    fn poll_read(&mut self, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(&mut Context::from_waker(&self.waker), buffer)
    }

    fn poll_write(&mut self, bytes: &[u8]) -> Poll<usize> {
        let context = &mut Context::from_waker(&self.waker);
        Pin::new(&mut self.socket).poll_write(context, bytes).map(Result::unwrap)
    }

    /// One run of lapin's loop: a flush, and all that can be read.
    fn run(&mut self) -> Vec<u8> {
        self.flush();
        let mut all = Vec::new();
        let mut buffer = [0; 64];
        while let Poll::Ready(read) = self.poll_read(&mut buffer) {
            all.extend_from_slice(&buffer[..read.unwrap()]);
        }
        all
    }

    fn sleep(&self) {
        self.woken.recv_timeout(PATIENCE).expect("nobody wakes the reader");
    }

    fn is_woken(&self) -> bool {
        self.woken.try_recv().is_ok()
    }

    /// Runs until this much was read, and the turn after it is over.
    fn read(&mut self, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < bytes {
            all.extend(self.run());
            self.sleep();
        }
        all.extend(self.run());
        all
    }

    /// A message comes, and is answered.
    fn talk(&mut self) {
        self.peer.write_all(b"x").unwrap();
        assert_eq!(self.read(1), b"x");
        assert_eq!(self.poll_write(b"y"), Poll::Ready(1));
        self.peer.read_exact(&mut [0]).unwrap();
    }

    fn talk_until_it_is(&mut self, who: Who) {
        while self.who() != who {
            self.talk();
        }
    }

    /// Nothing comes, until tokio sees to the socket.
    fn idle(&mut self) {
        while self.who() == Who::Own {
            assert!(self.run().is_empty());
            self.sleep();
        }
    }
}

#[test]
fn who_has_read_something_has_one_turn_before_the_next_wait() {
    for who in EITHER {
        let mut reader = Reader::new(who);
        if who == Who::Program {
            reader.run();
            assert_eq!(reader.turns_taken(), 0);
        }
        let before = reader.turns_taken();
        reader.peer.write_all(b"x").unwrap();
        while reader.poll_read(&mut [0]).is_pending() {
            reader.sleep();
        }
        reader.flush();
        assert_eq!(reader.turns_taken(), before + 1, "{who:?}");
        while reader.is_woken() {}
        assert!(reader.poll_read(&mut [0]).is_pending());
        assert!(reader.is_woken());
        reader.flush();
        assert_eq!(reader.turns_taken(), before + 2, "one more when all is read: {who:?}");
        reader.run();
        reader.flush();
        assert_eq!(reader.turns_taken(), before + 2, "and no other without having read: {who:?}");
        reader.used = None;
        reader.peer.write_all(b"x").unwrap();
        reader.read(1);
        assert_eq!(reader.turns_taken(), before + 2);
    }
}

#[test]
fn while_messages_come_the_reader_waits_by_itself_and_then_no_longer() {
    let mut reader = Reader::new(Who::Program);
    for _ in 0..3 {
        reader.talk_until_it_is(Who::Own);
        reader.talk();
        reader.idle();
        reader.talk();
    }
}

#[test]
fn nobody_waits_by_itself_for_whom_others_must_not_wait() {
    for used in [None, Some(false)] {
        for comes in [false, true] {
            let mut reader = Reader::new(Who::Own);
            match used {
                Some(may_wait) => reader.use_turns(may_wait),
                None => reader.used = None,
            }
            if comes {
                // Nor is another wait begun where something comes all the time.
                reader.peer.write_all(b"x").unwrap();
                assert!(reader.poll_read(&mut [0; 64]).is_ready());
                assert!(reader.poll_read(&mut [0; 64]).is_pending());
            } else {
                // The first wait in vain is the last.
                reader.run();
            }
            assert_eq!(reader.who(), Who::Program);
            for _ in 0..10 * MANY {
                reader.talk();
                assert_eq!(reader.who(), Who::Program);
            }
        }
    }
}

#[test]
fn nothing_is_lost_from_one_to_the_other() {
    let mut reader = Reader::new(Who::Program);
    let mut sent = (0..=u8::MAX).cycle();
    let mut moves = 0;
    while moves < 6 {
        let (before, first) = (reader.who(), sent.next().unwrap());
        // The rest comes while it may go over.
        let rest: Vec<u8> = sent.by_ref().take(usize::from(first % 3)).collect();
        reader.peer.write_all(&[first]).unwrap();
        let mut all = reader.run();
        reader.peer.write_all(&rest).unwrap();
        while all.len() <= rest.len() {
            reader.sleep();
            all.extend(reader.run());
        }
        assert_eq!(all, [&[first], &*rest].concat());
        moves += usize::from(reader.who() != before);
        if reader.who() == Who::Own && first % 16 == 0 {
            reader.idle();
            moves += 1;
        }
    }
}

#[test]
fn who_cannot_write_is_told_when_it_can() {
    for who in EITHER {
        let mut reader = Reader::new(who);
        let mut written = 0;
        while let Poll::Ready(bytes) = reader.poll_write(&vec![b'z'; MUCH]) {
            written += bytes;
        }
        assert_eq!(reader.who(), Who::Program);
        // Messages may come, but whoever is to tell stays the same.
        for _ in 0..10 * MANY {
            reader.peer.write_all(b"x").unwrap();
            reader.read(1);
            assert_eq!(reader.who(), Who::Program);
        }
        while reader.is_woken() {}
        reader.peer.read_exact(&mut vec![0; written]).unwrap();
        reader.sleep();
        reader.talk_until_it_is(Who::Own);
    }
}

#[test]
fn what_is_written_in_pieces_arrives() {
    for who in EITHER {
        let mut reader = Reader::new(who);
        let mut context = Context::from_waker(&reader.waker);
        let pieces = [IoSlice::new(b"ab"), IoSlice::new(b"c")];
        let written = Pin::new(&mut reader.socket).poll_write_vectored(&mut context, &pieces);
        assert!(matches!(written, Poll::Ready(Ok(3))), "{who:?}");
        let mut arrived = [0; 3];
        reader.peer.read_exact(&mut arrived).unwrap();
        assert_eq!(&arrived, b"abc");
    }
}

/// Where it is closed there may be something to say before, as with TLS.
#[test]
fn it_can_be_closed_at_once_and_when_it_is_full() {
    for (who, last_words) in EITHER.into_iter().flat_map(|who| [(who, 0), (who, MUCH)]) {
        let Reader { mut socket, program, mut peer, .. } = Reader::new(who);
        let reading = thread::spawn(move || {
            let mut all = Vec::new();
            peer.read_to_end(&mut all).unwrap();
            all.len()
        });
        program.block_on(async {
            let closing = async {
                socket.write_all(&vec![b'z'; last_words]).await.unwrap();
                socket.close().await.unwrap();
            };
            timeout(PATIENCE, closing).await.expect("closing hangs");
        });
        assert_eq!(reading.join().unwrap(), last_words, "{who:?}");
    }
}

#[test]
fn the_end_of_the_connection_shows_to_either() {
    for who in EITHER {
        let mut reader = Reader::new(who);
        reader.peer.shutdown(Shutdown::Both).unwrap();
        loop {
            match reader.poll_read(&mut [0; 64]) {
                Poll::Ready(Ok(0) | Err(_)) => break,
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => reader.sleep(),
            }
        }
    }
}
