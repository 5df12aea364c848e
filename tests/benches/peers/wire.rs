//! AMQP 0-9-1 with nothing between this program and the socket, for the load and its receiver: what these two take of
//! the machine, the candidates cannot have. Just what they need of it: one channel, small transient events, no TLS.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::ops::Range;
use std::time::Duration;

use lapin::uri::AMQPUri;

use super::url;

/// Class and method, as they are sent.
type Method = [u8; 4];

const START: Method = [0, 10, 0, 10];
const START_OK: Method = [0, 10, 0, 11];
const TUNE: Method = [0, 10, 0, 30];
const TUNE_OK: Method = [0, 10, 0, 31];
const OPEN: Method = [0, 10, 0, 40];
const OPEN_OK: Method = [0, 10, 0, 41];
const CLOSE: Method = [0, 10, 0, 50];
const CLOSE_OK: Method = [0, 10, 0, 51];
const CHANNEL_OPEN: Method = [0, 20, 0, 10];
const CHANNEL_OPEN_OK: Method = [0, 20, 0, 11];
const CONSUME: Method = [0, 60, 0, 20];
const CONSUME_OK: Method = [0, 60, 0, 21];
const PUBLISH: Method = [0, 60, 0, 40];
const DELIVER: Method = [0, 60, 0, 60];
const ACK: Method = [0, 60, 0, 80];
const CONFIRM_SELECT: Method = [0, 85, 0, 10];
const CONFIRM_SELECT_OK: Method = [0, 85, 0, 11];

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
/// The broker's limit of a body in one frame is more than this.
const FRAME: u64 = 64 * 1024;
const FRAME_END: u8 = 0xce;
/// Type, channel and size, before the payload.
const FRAME_HEAD: usize = 7;

const NO_ACK: u8 = 2;
const MANDATORY: u8 = 1;
/// In the flags of a header: of all properties, only the delivery mode follows.
const DELIVERY_MODE: u16 = 1 << 12;
const TRANSIENT: u8 = 1;

/// A broker that says or takes nothing for so long is of no use.
const PATIENCE: Duration = Duration::from_secs(60);

/// So many bytes are read and not yet taken, at most: more than a frame.
const READ: usize = 256 * 1024;

/// So many bytes are kept back at most, for a write to be worth its while.
const WRITE: usize = 32 * 1024;

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

/// A connection with one channel.
pub struct Wire {
    stream: TcpStream,
    input: Vec<u8>,
    /// What has been read and not yet taken.
    unread: Range<usize>,
    output: Vec<u8>,
    /// Whether each event since the oldest that is not confirmed is.
    confirmed: VecDeque<bool>,
    /// The delivery tag of the oldest.
    oldest: u64,
}

impl Wire {
    /// Connects, logs in and opens the channel.
    pub fn open() -> Self {
        let uri: AMQPUri = url().parse().unwrap();
        let AMQPUri { authority, vhost, .. } = uri;
        let stream = TcpStream::connect((authority.host, authority.port)).expect("no broker");
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (input, output) = (vec![0; READ], b"AMQP\0\0\x09\x01".to_vec());
        let mut wire = Self { stream, input, unread: 0..0, output, confirmed: VecDeque::new(), oldest: 1 };
        wire.answer(START);
        let user = authority.userinfo;
        let plain = ["\0", &user.username, "\0", &user.password].concat();
        wire.frame(
            METHOD,
            0,
            &[&START_OK, &long(b""), &short("PLAIN"), &long(plain.as_bytes()), &short("en_US")],
        );
        let limits = wire.answer(TUNE);
        let (limits, _heartbeat) = limits.split_at(limits.len() - 2);
        wire.frame(METHOD, 0, &[&TUNE_OK, limits, &[0, 0]]);
        wire.frame(METHOD, 0, &[&OPEN, &short(&vhost), &short(""), &[0]]);
        wire.answer(OPEN_OK);
        wire.frame(METHOD, 1, &[&CHANNEL_OPEN, &short("")]);
        wire.answer(CHANNEL_OPEN_OK);
        wire
    }

    /// From now on what is published has to be confirmed.
    pub fn confirm_select(&mut self) {
        self.frame(METHOD, 1, &[&CONFIRM_SELECT, &[0]]);
        self.answer(CONFIRM_SELECT_OK);
    }

    /// From now on `delivery` returns what is in this queue. Without acks.
    pub fn consume(&mut self, queue: &str) {
        self.frame(METHOD, 1, &[&CONSUME, &[0, 0], &short(queue), &short("sink"), &[NO_ACK], &long(b"")]);
        self.answer(CONSUME_OK);
    }

    /// Publishes a transient, mandatory event, at the latest with the next `flush`.
    pub fn publish(&mut self, exchange: &str, key: &str, body: &[u8]) {
        self.frame(METHOD, 1, &[&PUBLISH, &[0, 0], &short(exchange), &short(key), &[MANDATORY]]);
        let size = u64::try_from(body.len()).unwrap().to_be_bytes();
        self.frame(HEADER, 1, &[&PUBLISH[..2], &[0, 0], &size, &DELIVERY_MODE.to_be_bytes(), &[TRANSIENT]]);
        self.frame(BODY, 1, &[body]);
        self.confirmed.push_back(false);
        if self.output.len() >= WRITE {
            self.flush();
        }
    }

    pub fn flush(&mut self) {
        self.stream.write_all(&self.output).unwrap();
        self.output.clear();
    }

    /// How many events are not confirmed, or came after one that is not.
    pub fn unconfirmed(&self) -> usize {
        self.confirmed.len()
    }

    /// Takes the confirms that are there; waits for one if there is none.
    pub fn confirms(&mut self) {
        self.read().unwrap();
        self.settle();
    }

    /// Takes the confirms that are there.
    pub fn confirms_so_far(&mut self) {
        self.stream.set_nonblocking(true).unwrap();
        let read = self.read();
        self.stream.set_nonblocking(false).unwrap();
        match read {
            Ok(()) => self.settle(),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// How long `delivery` waits.
    pub fn set_patience(&self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).unwrap();
    }

    /// The body of the next message.
    pub fn delivery(&mut self) -> Option<&[u8]> {
        loop {
            match self.take() {
                Some((BODY, payload)) => return Some(&self.input[payload]),
                Some((HEADER, payload)) => {
                    let size = u64::from_be_bytes(self.input[payload][4..12].try_into().unwrap());
                    assert!(size > 0 && size < FRAME, "{size} bytes are no event that fits in a frame");
                }
                Some((_, payload)) => self.must_be(DELIVER, payload),
                None => match self.read() {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                    Err(error) => panic!("{error}"),
                },
            }
        }
    }

    /// Fails where a delivery comes still.
    pub fn close(mut self) {
        self.set_patience(PATIENCE);
        self.frame(METHOD, 0, &[&CLOSE, &200_u16.to_be_bytes(), &short("done"), &[0; 4]]);
        self.answer(CLOSE_OK);
    }

    fn settle(&mut self) {
        while let Some((_, payload)) = self.take() {
            self.must_be(ACK, payload.clone());
            let (tag, multiple) = self.input[payload][4..].split_first_chunk().unwrap();
            let at = usize::try_from(u64::from_be_bytes(*tag) - self.oldest).unwrap();
            let from = if multiple == [1] { 0 } else { at };
            self.confirmed.range_mut(from..=at).for_each(|confirmed| *confirmed = true);
            while self.confirmed.front() == Some(&true) {
                self.confirmed.pop_front();
                self.oldest += 1;
            }
        }
    }

    fn frame(&mut self, kind: u8, channel: u16, payload: &[&[u8]]) {
        let size: usize = payload.iter().map(|part| part.len()).sum();
        self.output.push(kind);
        self.output.extend(channel.to_be_bytes());
        self.output.extend(u32::try_from(size).unwrap().to_be_bytes());
        payload.iter().for_each(|part| self.output.extend_from_slice(part));
        self.output.push(FRAME_END);
    }

    /// Sends what is to be sent, and returns the arguments of the answer to it.
    fn answer(&mut self, to_be: Method) -> Vec<u8> {
        self.flush();
        loop {
            if let Some((_, payload)) = self.take() {
                self.must_be(to_be, payload.clone());
                return self.input[payload][4..].to_vec();
            }
            self.read().unwrap();
        }
    }

    /// A refusal, a returned event and the end of the connection are none of what is waited for.
    fn must_be(&self, expected: Method, payload: Range<usize>) {
        let payload = &self.input[payload];
        assert!(payload.starts_with(&expected), "the broker said {}", payload.escape_ascii());
    }

    /// The type of the next frame and where its payload is, if all of it has been read.
    fn take(&mut self) -> Option<(u8, Range<usize>)> {
        let unread = &self.input[self.unread.clone()];
        let &[kind, _, _, size @ ..] = unread.first_chunk::<FRAME_HEAD>()?;
        let end = FRAME_HEAD + usize::try_from(u32::from_be_bytes(size)).unwrap();
        assert_eq!(*unread.get(end)?, FRAME_END, "no frame");
        let begin = self.unread.start;
        self.unread.start += end + 1;
        Some((kind, begin + FRAME_HEAD..begin + end))
    }

    /// Reads more. Fails where nothing comes in time, and at the end of the connection.
    fn read(&mut self) -> io::Result<()> {
        self.input.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let read = self.stream.read(&mut self.input[self.unread.end..])?;
        self.unread.end += read;
        if read == 0 { Err(ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}
