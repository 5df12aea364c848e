//! `quarantine export`: messages in quarantine as a recording, for a file, a ticket or another broker.

use std::io::{self, BufWriter, ErrorKind, IsTerminal, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::{brokers, cannot, open};
use crate::amqp::ShelfError;
use crate::commands::{Failure, daemon, private_file, record};
use crate::config::Config;
use crate::core::quarantined::Selection;
use crate::core::recording::{End, Gap, Header, Source};
use crate::exit_code::Exit;
use crate::render::{counted, printable};

/// How often a terminal is told how far it is.
const ON_TERMINAL: Duration = Duration::from_millis(500);
/// How often it is told where nobody looks.
const ELSEWHERE: Duration = Duration::from_secs(30);

/// Writes the chosen messages and takes none away.
pub(super) async fn export(config: &Config, selection: &Selection, out: &Path) -> Result<Exit, Failure> {
    // All is looked for before a file is made.
    let mut shelves = Vec::new();
    for address in brokers(config) {
        shelves.push(open(config, address).await?);
    }
    let places: Vec<String> = brokers(config).iter().map(ToString::to_string).collect();
    let header = Header {
        broker: places.join(", "),
        source: Source::Queue { name: daemon::intake(config).quarantine_queue() },
        started: record::written(Timestamp::now()),
    };
    let mut writer = match Writer::open(out, &header) {
        Ok(writer) => writer,
        Err(error) => return unwritable(out, &error, 0),
    };
    for mut shelf in shelves {
        loop {
            match shelf.next().await {
                Ok(Some(item)) if selection.takes(&item.message) => {
                    if let Err(error) = writer.take(item.recorded(Timestamp::now()), shelf.left()) {
                        return unwritable(out, &error, writer.messages);
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => return cut_short(&error, writer, out),
            }
        }
        shelf.close().await;
    }
    let (messages, left_out) = (writer.messages, writer.left_out);
    if let Err(error) = writer.end() {
        return unwritable(out, &error, messages);
    }
    let exported = record::counted_64(messages, "message");
    if left_out > 0 {
        let message = format!("{exported} exported, and {} not", counted(left_out, "message"));
        return Err(Failure::new(Exit::PartlyDone, message)
            .help("their headers are nested too deep; the recording says where they are missing"));
    }
    eprintln!("{exported} exported; they are still in quarantine");
    Ok(Exit::Done)
}

fn cut_short(error: &ShelfError, mut writer: Writer, out: &Path) -> Result<Exit, Failure> {
    // Without its last line the file tells that it is not all.
    if let Err(error) = writer.out.flush() {
        return unwritable(out, &error, writer.messages);
    }
    let exported = record::counted_64(writer.messages, "message");
    match writer.messages {
        0 => Err(cannot(error)),
        _ => Err(Failure::new(Exit::PartlyDone, format!("ended before its time: {error}"))
            .help(format!("{exported} exported before that; all are still in quarantine"))),
    }
}

fn unwritable(out: &Path, error: &io::Error, messages: u64) -> Result<Exit, Failure> {
    let place = printable(&out.display().to_string());
    match error.kind() {
        // Whoever reads has seen enough, as with `| head`.
        ErrorKind::BrokenPipe => Ok(Exit::Done),
        ErrorKind::AlreadyExists => {
            Err(Failure::new(Exit::Usage, format!("{place} exists")).help("name another file"))
        }
        _ => Err(Failure::new(Exit::Unreachable, format!("cannot write {place}: {error}")).help(format!(
            "{} came before that; all are still in quarantine",
            record::counted_64(messages, "message")
        ))),
    }
}

/// The recording as it is written.
struct Writer {
    out: BufWriter<Box<dyn Write>>,
    messages: u64,
    left_out: usize,
    told: Instant,
    every: Option<Duration>,
}

impl Writer {
    fn open(path: &Path, header: &Header) -> io::Result<Self> {
        let on_terminal = io::stderr().is_terminal();
        let (out, every): (Box<dyn Write>, _) = if record::is_stdout(path) {
            (Box::new(io::stdout()), None)
        } else {
            let every = if on_terminal { ON_TERMINAL } else { ELSEWHERE };
            (Box::new(private_file::create(path, false)?), Some(every))
        };
        let mut out = BufWriter::with_capacity(1 << 16, out);
        out.write_all(header.to_line().as_bytes())?;
        Ok(Self { out, messages: 0, left_out: 0, told: Instant::now(), every })
    }

    fn take<E: std::fmt::Display>(
        &mut self,
        message: Result<crate::core::recording::Message, E>,
        left: u32,
    ) -> io::Result<()> {
        let line = message
            .map_err(|why| why.to_string())
            .and_then(|message| message.to_line().map_err(|why| why.to_string()));
        match line {
            Ok(line) => {
                self.out.write_all(line.as_bytes())?;
                self.messages += 1;
            }
            Err(why) => {
                let now = record::written(Timestamp::now());
                let reason = format!("a message could not be kept: {why}");
                self.out.write_all(Gap { from: now.clone(), to: now, reason }.to_line().as_bytes())?;
                self.left_out += 1;
            }
        }
        if self.every.is_some_and(|every| self.told.elapsed() >= every) {
            self.told = Instant::now();
            let (start, end) = if io::stderr().is_terminal() { ("\r", "\u{1b}[K") } else { ("", "\n") };
            let exported = record::counted_64(self.messages, "message");
            // Nothing is left to be done where this cannot be written.
            let _ = write!(io::stderr(), "{start}{exported}, {left} to look at{end}");
        }
        Ok(())
    }

    fn end(mut self) -> io::Result<()> {
        let end = End { at: record::written(Timestamp::now()), messages: self.messages };
        self.out.write_all(end.to_line().as_bytes())?;
        self.out.flush()?;
        if self.every.is_some() && io::stderr().is_terminal() {
            eprint!("\r\u{1b}[K");
        }
        Ok(())
    }
}
