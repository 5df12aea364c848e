//! `translate`: JSON lines in, JSON lines out, by the same translator as the daemon's.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;

use memchr::memchr;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

use super::{Failure, load};
use crate::cli::{Form, RulesFrom, Translate};
use crate::core::catalog::Catalog;
use crate::core::message::{
    DeliveryMode, HeaderValue, Outcome, Properties, Publication, Received, ReceivedProperties, Refusal,
};
use crate::core::settings::{BridgeId, Listen, OriginUuid, Probes, Settings, UnknownEvents};
use crate::core::translate::Translator;
use crate::core::version::Version;
use crate::exit_code::Exit;

/// How much is read and written at once.
const CHUNK: usize = 64 * 1024;

/// A line of input that is more than an event.
#[derive(Deserialize)]
struct Record<'l> {
    #[serde(borrow, default)]
    exchange: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    routing_key: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    properties: Option<RecordProperties<'l>>,
    #[serde(borrow)]
    body: &'l RawValue,
}

/// What tells events and records apart: an event has a `name`, and a record has a `body` and no `name`.
#[derive(Deserialize)]
struct Kind<'l> {
    #[serde(borrow, default)]
    name: Option<&'l RawValue>,
    #[serde(borrow, default)]
    body: Option<&'l RawValue>,
}

/// Of the properties, those that a translation keeps. A mark is not looked at: offline nothing can come back.
#[derive(Deserialize, Default)]
struct RecordProperties<'l> {
    #[serde(borrow, default)]
    message_id: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    correlation_id: Option<Cow<'l, str>>,
    #[serde(default)]
    timestamp: Option<u64>,
}

/// A line of output.
#[derive(Serialize)]
struct Line<'p> {
    exchange: &'p str,
    routing_key: &'p str,
    properties: LineProperties<'p>,
    body: &'p RawValue,
}

#[derive(Serialize)]
struct LineProperties<'p> {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_encoding: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'p str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<u64>,
    headers: BTreeMap<&'p str, LineHeader<'p>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum LineHeader<'p> {
    Text(&'p str),
    Flag(bool),
}

/// Translates all lines of all files.
///
/// # Errors
/// When the rules or a file cannot be read, or the output cannot be written.
pub fn translate(command: &Translate) -> Result<Exit, Failure> {
    let translator =
        translator(&command.rules, &command.origin_uuid, command.modern_version, command.unknown_events)?;
    let out = BufWriter::with_capacity(CHUNK, io::stdout().lock());
    let mut work = Work { command, translator: &translator, out, failed: 0 };
    let done = if command.files.is_empty() {
        work.read("-", io::stdin().lock())
    } else {
        command.files.iter().try_for_each(|path| work.file(path))
    };
    let flushed = work.out.flush().map_err(Stopped::Output);
    match done.and(flushed) {
        Ok(()) if work.failed == 0 => Ok(Exit::Done),
        Ok(()) => Ok(Exit::Findings),
        // Whoever reads has seen enough, as with `| head`.
        Err(Stopped::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Done),
        Err(Stopped::Output(error)) => Err(Failure::new(Exit::Unreachable, format!("cannot write: {error}"))),
        Err(Stopped::Input(path, error)) => {
            Err(Failure::new(Exit::NoInput, format!("cannot read {path}: {error}")))
        }
    }
}

/// Whether this is a record and no event.
fn is_record(line: &[u8]) -> bool {
    serde_json::from_slice::<Kind<'_>>(line).is_ok_and(|kind| kind.name.is_none() && kind.body.is_some())
}

impl<'l> Record<'l> {
    fn received(&'l self) -> Received<'l> {
        let properties =
            self.properties.as_ref().map_or_else(ReceivedProperties::default, |kept| ReceivedProperties {
                message_id: kept.message_id.as_deref(),
                correlation_id: kept.correlation_id.as_deref(),
                timestamp: kept.timestamp,
                ..ReceivedProperties::default()
            });
        Received {
            exchange: self.exchange.as_deref().unwrap_or_default(),
            routing_key: self.routing_key.as_deref().unwrap_or_default(),
            properties,
            body: self.body.get().as_bytes(),
        }
    }
}

/// A translator that needs no broker: it listens for everything, as nothing can come back.
pub(super) fn translator(
    rules: &RulesFrom,
    origin_uuid: &OriginUuid,
    version: Version,
    unknown_events: UnknownEvents,
) -> Result<Translator, Failure> {
    let mappings = load(rules)?;
    let settings = Settings {
        bridge_id: BridgeId::parse(origin_uuid.as_str())
            .ok_or_else(|| Failure::new(Exit::Bug, "an origin uuid is always an id"))?,
        origin_uuid: origin_uuid.clone(),
        modern_exchange: "xivo".into(),
        listen: Listen::All,
        unknown_events,
        max_hops: usize::MAX,
        delivery_mode: DeliveryMode::Transient,
        legacy_content_type: None,
        probes: Probes::Answer,
    };
    Ok(Translator::new(Catalog::at(version, &mappings), settings))
}

/// Why the work ends early.
enum Stopped {
    Input(String, io::Error),
    Output(io::Error),
}

struct Work<'w, W> {
    command: &'w Translate,
    translator: &'w Translator,
    out: W,
    failed: usize,
}

impl<'w, W: Write> Work<'w, W> {
    fn file(&mut self, path: &Path) -> Result<(), Stopped> {
        let name = path.display().to_string();
        if name == "-" {
            return self.read("-", io::stdin().lock());
        }
        let file = File::open(path).map_err(|error| Stopped::Input(name.clone(), error))?;
        self.read(&name, file)
    }

    fn read(&mut self, name: &str, input: impl Read) -> Result<(), Stopped> {
        let mut input = BufReader::with_capacity(CHUNK, input);
        let mut line = Vec::new();
        for number in 1_usize.. {
            if let Some(end) = memchr(b'\n', input.buffer()) {
                self.numbered(name, number, &input.buffer()[..end])?;
                input.consume(end + 1);
                continue;
            }
            // The next line may be long in coming, and somebody may wait for what there is.
            self.out.flush().map_err(Stopped::Output)?;
            line.clear();
            let length =
                input.read_until(b'\n', &mut line).map_err(|error| Stopped::Input(name.into(), error))?;
            if length == 0 {
                break;
            }
            self.numbered(name, number, &line)?;
        }
        Ok(())
    }

    /// Translates one line, or says why it cannot be.
    fn numbered(&mut self, name: &str, number: usize, line: &[u8]) -> Result<(), Stopped> {
        let text = line.trim_ascii();
        if text.is_empty() {
            return Ok(());
        }
        if let Err(why) = self.line(text)? {
            self.failed += 1;
            let place = if name == "-" { "line ".to_owned() } else { format!("{name}:") };
            // Nothing is left to be done where even this cannot be written.
            let _ = writeln!(io::stderr(), "{place}{number}: {why}");
        }
        Ok(())
    }

    /// Translates one line; the inner error says why it cannot be.
    fn line(&mut self, line: &[u8]) -> Result<Result<(), String>, Stopped> {
        let properties = ReceivedProperties::default();
        let event = Received { exchange: "", routing_key: "", properties, body: line };
        let outcome = self.translated(&event);
        // Only what was refused needs the second look that tells a record.
        if !matches!(outcome, Outcome::Refused(_)) || !is_record(line) {
            return self.put(outcome);
        }
        let record = match serde_json::from_slice::<Record<'_>>(line) {
            Ok(record) => record,
            Err(error) => return Ok(Err(format!("not a record: {}", without_place(&error)))),
        };
        self.put(self.translated(&record.received()))
    }

    fn translated(&self, received: &Received<'_>) -> Outcome<'w> {
        let translator = self.translator;
        match self.command.to {
            Form::Legacy => translator.to_legacy(received),
            Form::Modern => translator.to_modern(received),
        }
    }

    fn put(&mut self, outcome: Outcome<'_>) -> Result<Result<(), String>, Stopped> {
        let (publications, refusal) = match outcome {
            Outcome::Publish(publications) | Outcome::Answer(publications) => (publications, None),
            Outcome::Partly(publications, refusal) => (publications, Some(refusal)),
            Outcome::Refused(refusal) => (Vec::new(), Some(refusal)),
            Outcome::Dropped | Outcome::Echo => (Vec::new(), None),
        };
        for publication in &publications {
            self.write(publication)?;
        }
        Ok(refusal.map_or(Ok(()), |refusal| Err(told(&refusal))))
    }

    fn write(&mut self, publication: &Publication<'_>) -> Result<(), Stopped> {
        if self.command.bare {
            self.out.write_all(&publication.body).map_err(Stopped::Output)?;
        } else {
            let body =
                serde_json::from_slice(&publication.body).map_err(|error| Stopped::Output(error.into()))?;
            let line = Line {
                exchange: publication.exchange,
                routing_key: &publication.routing_key,
                properties: properties(&publication.properties),
                body,
            };
            serde_json::to_writer(&mut self.out, &line).map_err(|error| Stopped::Output(error.into()))?;
        }
        self.out.write_all(b"\n").map_err(Stopped::Output)
    }
}

/// The parser's complaint without its place: the line is told already, and it is always the first one.
fn without_place(error: &serde_json::Error) -> String {
    let sentence = error.to_string();
    sentence.split(" at line ").next().unwrap_or_default().to_owned()
}

fn told(refusal: &Refusal<'_>) -> String {
    let rule = refusal.rule.map_or(String::new(), |rule| format!(" (rule `{rule}`)"));
    format!("{}: {}{rule}", refusal.reason.code(), refusal.detail)
}

fn properties<'p>(properties: &'p Properties<'_>) -> LineProperties<'p> {
    let header = |value: &'p HeaderValue<'_>| match value {
        HeaderValue::Text(text) => LineHeader::Text(text),
        HeaderValue::Flag(flag) => LineHeader::Flag(*flag),
    };
    LineProperties {
        content_type: properties.content_type,
        content_encoding: properties.content_encoding,
        message_id: properties.message_id.as_deref(),
        correlation_id: properties.correlation_id.as_deref(),
        timestamp: properties.timestamp,
        headers: properties.headers.iter().map(|(name, value)| (name.as_ref(), header(value))).collect(),
    }
}
