//! `record`: what an exchange is given, as JSON lines.

use std::cell::RefCell;
use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, interval, sleep};

use super::listening::{cannot_listen, source};
use super::{Failure, private_file, runtime, settings, stop};
use crate::amqp::{self, Heard, SILENCE, Tap, Then};
use crate::cli::Record;
use crate::config::Layer;
use crate::core::recording::{End, Gap, Header, Message, Source};
use crate::exit_code::Exit;
use crate::render::{counted, printable};

/// How often what was heard is written through, and a terminal told.
const TICK: Duration = Duration::from_millis(500);
/// How often it is told where nobody looks.
const REPORT: Duration = Duration::from_secs(30);

/// Records until a limit is reached, or it is told to stop.
///
/// # Errors
/// When the broker, the exchange or the output cannot be used.
pub fn record(command: &Record) -> Result<Exit, Failure> {
    if let (Some(queue), false) = (&command.queue, command.consume) {
        let message =
            format!("to record `{}` is to take its messages away from who consumes them", printable(queue));
        return Err(Failure::new(Exit::Usage, message)
            .help("record the exchange that it is bound to, which disturbs nobody; or say `--consume`"));
    }
    if !is_stdout(&command.out) && !command.force && command.out.exists() {
        let message = format!("{} exists", command.out.display());
        return Err(
            Failure::new(Exit::Usage, message).help("overwrite it with `--force`, or name another file")
        );
    }
    runtime::with_fitting_memory()?;
    let config = settings::read(&command.broker, Layer::default())?;
    let source = match &command.queue {
        Some(name) => Source::Queue { name: name.clone() },
        None => source(&command.from, &config, &command.mappings)?,
    };
    let tap = Tap { address: config.modern.clone(), name: "cti-bridge record", source };
    runtime::block_on(|| run(command, &tap))
}

pub(super) fn is_stdout(path: &Path) -> bool {
    path.as_os_str() == "-"
}

async fn run(command: &Record, tap: &Tap) -> Result<Exit, Failure> {
    let stopped = stop::signals()?;
    let began = Instant::now();
    let tape = RefCell::new(Tape::new(command, tap));
    let over = async {
        match command.period {
            Some(period) => tokio::select! { () = stopped => {}, () = sleep(period) => {} },
            None => stopped.await,
        }
    };
    let hear = |heard| tape.borrow_mut().hear(heard);
    let mut listening = std::pin::pin!(amqp::listen(tap, hear, over));
    let mut tick = interval(TICK);
    let heard = loop {
        tokio::select! {
            biased;
            heard = &mut listening => break heard,
            _ = tick.tick() => if !tape.borrow_mut().tick() {
                break Ok(());
            }
        }
    };
    let mut tape = tape.borrow_mut();
    heard.map_err(|error| cannot_listen(&error))?;
    tape.end(began.elapsed())
}

/// The recording as it is made.
struct Tape<'t> {
    command: &'t Record,
    tap: &'t Tap,
    out: Option<BufWriter<Box<dyn Write>>>,
    failed: Option<io::Error>,
    messages: u64,
    bytes: u64,
    gaps: usize,
    /// Until when everything is known to be there, in the time of a gap.
    lost_since: Option<(Timestamp, String)>,
    last: Timestamp,
    reported: Instant,
    on_terminal: bool,
}

impl<'t> Tape<'t> {
    fn new(command: &'t Record, tap: &'t Tap) -> Self {
        Self {
            command,
            tap,
            out: None,
            failed: None,
            messages: 0,
            bytes: 0,
            gaps: 0,
            lost_since: None,
            last: Timestamp::now(),
            reported: Instant::now(),
            on_terminal: io::stderr().is_terminal(),
        }
    }

    fn hear(&mut self, heard: Heard) -> Then {
        let now = Timestamp::now();
        let result = match heard {
            Heard::Listening if self.out.is_none() => self.open(now),
            Heard::Listening => self.gap_until(now),
            Heard::Message(message) => {
                self.last = now;
                return self.message(&message);
            }
            Heard::Unreadable { reason } => {
                self.gap(now, now, format!("a message could not be kept: {reason}"))
            }
            Heard::Lost { cause } => {
                self.say(&format!("the exchange or the connection is lost: {cause}; trying again"));
                // It may have been dead for some time, but not before the last message.
                let silence = now.checked_sub(SILENCE).unwrap_or(now);
                self.lost_since = Some((self.last.max(silence), cause));
                Ok(())
            }
        };
        match result {
            Ok(()) => Then::GoOn,
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: io::Error) -> Then {
        self.failed = Some(error);
        Then::StopBefore
    }

    fn open(&mut self, now: Timestamp) -> io::Result<()> {
        self.last = now;
        let to: Box<dyn Write> = if is_stdout(&self.command.out) {
            Box::new(io::stdout())
        } else {
            Box::new(private_file::create(&self.command.out, self.command.force)?)
        };
        self.out = Some(BufWriter::with_capacity(1 << 16, to));
        let header = Header {
            broker: self.tap.address.to_string(),
            source: self.tap.source.clone(),
            started: written(now),
        };
        self.write(&header.to_line())?;
        self.flush()?;
        self.say(&format!("recording {}", described(&self.tap.source)));
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Then {
        let line = match message.to_line() {
            Ok(line) => line,
            // It was looked at when it was received.
            Err(reason) => {
                let now = Timestamp::now();
                let reason = format!("a message could not be kept: {reason}");
                return self.gap(now, now, reason).map_or_else(|error| self.fail(error), |()| Then::GoOn);
            }
        };
        let size = self.bytes + line.len() as u64;
        if self.command.size.is_some_and(|most| size > most) && self.messages > 0 {
            return Then::StopBefore;
        }
        let mut result = self.write(&line);
        // A message that is taken away is nowhere else.
        if matches!(self.tap.source, Source::Queue { .. }) {
            result = result.and_then(|()| self.flush());
        }
        if let Err(error) = result {
            return self.fail(error);
        }
        self.messages += 1;
        if self.command.limit.is_some_and(|limit| self.messages >= limit) { Then::Stop } else { Then::GoOn }
    }

    fn gap_until(&mut self, to: Timestamp) -> io::Result<()> {
        let Some((from, cause)) = self.lost_since.take() else { return Ok(()) };
        self.last = to;
        self.gap(from, to, cause)?;
        self.say("recording again; the recording says what may be missing");
        Ok(())
    }

    fn gap(&mut self, from: Timestamp, to: Timestamp, reason: String) -> io::Result<()> {
        self.gaps += 1;
        let gap = Gap { from: written(from), to: written(to), reason };
        self.write(&gap.to_line())?;
        self.flush()
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        self.bytes += line.len() as u64;
        self.out.as_mut().map_or(Ok(()), |out| out.write_all(line.as_bytes()))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.as_mut().map_or(Ok(()), BufWriter::flush)
    }

    /// Writes through and tells how far it is; `false` when that is not possible.
    fn tick(&mut self) -> bool {
        if let Err(error) = self.flush() {
            self.failed = Some(error);
            return false;
        }
        let is_due = self.on_terminal || self.reported.elapsed() >= REPORT;
        if is_due && self.out.is_some() && !(self.on_terminal && is_stdout(&self.command.out)) {
            self.reported = Instant::now();
            let progress = format!("{}, {} bytes", counted_64(self.messages, "message"), self.bytes);
            let (start, end) = if self.on_terminal { ("\r", "\u{1b}[K") } else { ("", "\n") };
            // Nothing is left to be done where this cannot be written.
            let _ = write!(io::stderr(), "{start}{progress}{end}").and_then(|()| io::stderr().flush());
        }
        true
    }

    fn say(&self, text: &str) {
        let start = if self.on_terminal { "\r\u{1b}[K" } else { "" };
        let _ = writeln!(io::stderr(), "{start}{}", printable(text));
    }

    fn end(&mut self, took: Duration) -> Result<Exit, Failure> {
        let now = Timestamp::now();
        let result = match self.failed.take() {
            Some(error) => Err(error),
            None => self.gap_until(now).and_then(|()| {
                let end = End { at: written(now), messages: self.messages };
                if self.out.is_some() {
                    self.write(&end.to_line())?;
                }
                self.flush()
            }),
        };
        match result {
            // Whoever reads has seen enough, as with `| head`.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Done),
            Err(error) => {
                let place = self.command.out.display();
                let written = counted_64(self.messages, "message");
                return Err(Failure::new(Exit::Unreachable, format!("cannot write {place}: {error}"))
                    .help(format!("{written} came before that; what is in the file can be read")));
            }
            Ok(()) => {}
        }
        let gaps = match self.gaps {
            0 => String::new(),
            gaps => format!("; messages may be missing: {} in the recording", counted(gaps, "gap")),
        };
        self.say(&format!("{} in {:.1} s{gaps}", counted_64(self.messages, "message"), took.as_secs_f64()));
        Ok(Exit::Done)
    }
}

fn described(source: &Source) -> String {
    match source {
        Source::Queue { name } => format!("the queue `{name}`, whose messages are taken away"),
        Source::Exchange { name, keys } => match &keys[..] {
            [key] => format!("the exchange `{name}`, key `{key}`"),
            keys => format!("the exchange `{name}`, {}", counted(keys.len(), "key")),
        },
    }
}

pub(super) fn counted_64(count: u64, noun: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), noun)
}

pub(super) fn written(time: Timestamp) -> String {
    format!("{time:.6}")
}
