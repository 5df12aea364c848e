//! Lines of a recording, written and read.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::field::MAX_DEPTH;
use super::{Body, End, FORMAT, Gap, Header, Message, Properties, Quarantine, Source, VERSION};

/// Why a message cannot be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("its headers are nested deeper than {MAX_DEPTH} levels")]
pub struct Unwritable;

/// A line that is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct BadLine {
    /// Its number; the first has 1.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
}

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The first line says nothing of this format.
    #[error("not a recording: the first line does not say `\"format\": \"{FORMAT}\"`")]
    NotARecording,
    /// A version that this program does not know.
    #[error("a recording of version {0}, and this program reads version {VERSION}")]
    Version(u64),
    /// Not JSON, or not what a line may be.
    #[error("{0}")]
    Malformed(String),
    /// It holds none or several of `body`, `text` and `base64`.
    #[error("a message has one of `body`, `text` and `base64`")]
    NotOneBody,
    /// `base64` is not.
    #[error("`base64` is not base64")]
    Base64,
    /// It lacks something.
    #[error("no `{0}`")]
    Missing(&'static str),
}

/// What a line holds.
#[derive(Debug, Clone, PartialEq)]
pub enum Read {
    /// The first line; it is in [`Reader::header`], too.
    Header,
    /// A message.
    Message(Box<Message>),
    /// A gap.
    Gap(Gap),
    /// The end.
    End(End),
    /// Nothing.
    Blank,
    /// The last line, cut off while it was written.
    CutOff,
}

/// Reads a recording line by line.
#[derive(Debug, Default)]
pub struct Reader {
    header: Option<Header>,
    line: u64,
    ended: bool,
}

impl Reader {
    /// What the first line says, once it is read.
    #[must_use]
    pub const fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The number of the line that was read last.
    #[must_use]
    pub const fn line(&self) -> u64 {
        self.line
    }

    /// Whether the recording was brought to an end by the program that made it.
    #[must_use]
    pub const fn ended(&self) -> bool {
        self.ended
    }

    /// Reads the next line. Only a last line may be without its end, `\n`.
    ///
    /// # Errors
    /// When the line is not one of a recording. A line without an end that cannot be read was cut off: no error.
    pub fn read(&mut self, line: &[u8]) -> Result<Read, BadLine> {
        self.line += 1;
        let is_whole = line.ends_with(b"\n");
        match self.read_whole(line.trim_ascii()) {
            Err(Problem::Malformed(_)) if !is_whole && self.header.is_some() => Ok(Read::CutOff),
            result => result.map_err(|problem| BadLine { line: self.line, problem }),
        }
    }

    fn read_whole(&mut self, text: &[u8]) -> Result<Read, Problem> {
        if text.is_empty() && self.header.is_some() {
            return Ok(Read::Blank);
        }
        if self.header.is_none() {
            self.header = Some(read_header(text)?);
            return Ok(Read::Header);
        }
        let line: Line<'_> =
            serde_json::from_slice(text).map_err(|error| Problem::Malformed(without_line(&error)))?;
        if let Some(gap) = line.gap {
            return Ok(Read::Gap(gap));
        }
        if let Some(end) = line.end {
            self.ended = true;
            return Ok(Read::End(end));
        }
        let body = match (line.body, line.text, line.base64) {
            (Some(json), None, None) => json.get().as_bytes().to_vec(),
            (None, Some(text), None) => text.into_owned().into_bytes(),
            (None, None, Some(bytes)) => BASE64.decode(bytes.as_bytes()).map_err(|_| Problem::Base64)?,
            _ => return Err(Problem::NotOneBody),
        };
        Ok(Read::Message(Box::new(Message {
            received: line.received.ok_or(Problem::Missing("received"))?.into_owned(),
            exchange: line.exchange.ok_or(Problem::Missing("exchange"))?.into_owned(),
            routing_key: line.routing_key.ok_or(Problem::Missing("routing_key"))?.into_owned(),
            properties: line.properties.unwrap_or_default(),
            body,
            quarantine: line.quarantine,
        })))
    }
}

/// The keys of the first line.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct First<'l> {
    #[serde(borrow)]
    format: Cow<'l, str>,
    version: u64,
    #[serde(borrow)]
    broker: Cow<'l, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    exchange: Option<Cow<'l, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<String>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    queue: Option<Cow<'l, str>>,
    #[serde(borrow)]
    started: Cow<'l, str>,
}

/// What tells a recording of another version from something else.
#[derive(Deserialize)]
struct Format<'l> {
    #[serde(borrow)]
    format: Cow<'l, str>,
    version: u64,
}

fn read_header(text: &[u8]) -> Result<Header, Problem> {
    let format: Format<'_> = serde_json::from_slice(text).map_err(|_| Problem::NotARecording)?;
    if format.format != FORMAT {
        return Err(Problem::NotARecording);
    }
    if format.version != VERSION {
        return Err(Problem::Version(format.version));
    }
    let first: First<'_> =
        serde_json::from_slice(text).map_err(|error| Problem::Malformed(without_line(&error)))?;
    let source = match (first.exchange, first.queue) {
        (Some(name), None) => {
            Source::Exchange { name: name.into_owned(), keys: first.keys.unwrap_or_default() }
        }
        (None, Some(name)) => Source::Queue { name: name.into_owned() },
        _ => return Err(Problem::Missing("exchange")),
    };
    Ok(Header { broker: first.broker.into_owned(), source, started: first.started.into_owned() })
}

/// The keys of all other lines. Gap and end come alone; read in one go, as there are many lines.
#[derive(Deserialize, Serialize, Default)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    received: Option<Cow<'l, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    exchange: Option<Cow<'l, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    routing_key: Option<Cow<'l, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    properties: Option<Properties>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    body: Option<&'l RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'l, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'l, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quarantine: Option<Quarantine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<End>,
}

/// The parser's complaint without the line, which is told already and is always the first one to the parser.
fn without_line(error: &serde_json::Error) -> String {
    let sentence = error.to_string();
    match sentence.rsplit_once(" at line ") {
        Some((sentence, _)) => format!("{sentence} at column {}", error.column()),
        None => sentence,
    }
}

impl Header {
    /// The first line, with its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        let (exchange, keys, queue) = match &self.source {
            Source::Exchange { name, keys } => (Some(name.as_str()), Some(keys.clone()), None),
            Source::Queue { name } => (None, None, Some(name.as_str())),
        };
        written(&First {
            format: Cow::Borrowed(FORMAT),
            version: VERSION,
            broker: Cow::Borrowed(&self.broker),
            exchange: exchange.map(Cow::Borrowed),
            keys,
            queue: queue.map(Cow::Borrowed),
            started: Cow::Borrowed(&self.started),
        })
    }
}

impl Message {
    /// Its line, with its end.
    ///
    /// # Errors
    /// When headers are nested too deep.
    pub fn to_line(&self) -> Result<String, Unwritable> {
        if self.properties.headers.as_ref().is_some_and(|headers| headers.depth() > MAX_DEPTH) {
            return Err(Unwritable);
        }
        let mut line = Line {
            received: Some(Cow::Borrowed(&self.received)),
            exchange: Some(Cow::Borrowed(&self.exchange)),
            routing_key: Some(Cow::Borrowed(&self.routing_key)),
            properties: (self.properties != Properties::default()).then(|| self.properties.clone()),
            quarantine: self.quarantine.clone(),
            ..Line::default()
        };
        match Body::of(&self.body) {
            Body::Json(json) => line.body = Some(json),
            Body::Text(text) => line.text = Some(Cow::Borrowed(text)),
            Body::Bytes(bytes) => line.base64 = Some(Cow::Owned(BASE64.encode(bytes))),
        }
        Ok(written(&line))
    }
}

impl Gap {
    /// Its line, with its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        written(&Line { gap: Some(self.clone()), ..Line::default() })
    }
}

impl End {
    /// Its line, with its end.
    #[must_use]
    pub fn to_line(&self) -> String {
        written(&Line { end: Some(self.clone()), ..Line::default() })
    }
}

/// Nothing that is written here can fail to be JSON: texts, numbers, and maps by texts.
fn written(line: &impl Serialize) -> String {
    let mut text = serde_json::to_string(line).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::field::{Field, Table};
    use super::*;

    fn header() -> Header {
        Header {
            broker: "amqp://guest@localhost:5672/%2f".into(),
            source: Source::Exchange { name: "xivo".into(), keys: vec!["#".into()] },
            started: "2026-01-01T00:00:00.000000Z".into(),
        }
    }

    fn message(body: &[u8]) -> Message {
        Message {
            received: "2026-01-01T00:00:01.000000Z".into(),
            exchange: "xivo".into(),
            routing_key: "calls.call.created".into(),
            properties: Properties::default(),
            body: body.to_vec(),
            quarantine: None,
        }
    }

    fn reader() -> Reader {
        let mut reader = Reader::default();
        assert_eq!(reader.read(header().to_line().as_bytes()), Ok(Read::Header));
        reader
    }

    #[test]
    fn the_first_line_says_what_was_recorded() {
        assert_eq!(reader().header(), Some(&header()));
        let queue = Header { source: Source::Queue { name: "q".into() }, ..header() };
        let mut reader = Reader::default();
        reader.read(queue.to_line().as_bytes()).unwrap();
        assert_eq!(reader.header(), Some(&queue));
    }

    #[test]
    fn every_byte_of_a_body_survives() {
        let every_byte: Vec<u8> = (0..=255).collect();
        let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
        for body in [
            &b"{\"name\": \"call_created\",  \"data\": {\"a\": 1.0, \"b\": 100000000000000000000, \"b\": 2}}"
                [..],
            b"{\"surrogate\": \"\\ud800\", \"slash\": \"\\/\"}",
            b" {\"name\": 1} ",
            b"{\"name\":\n1}",
            b"null",
            b"\"text\"",
            b"text",
            b"",
            b"two\r\nlines\tof text",
            "\u{feff}{}".as_bytes(),
            b"\x1b[31m",
            b"\xff\xfe\x00",
            &every_byte,
            deep.as_bytes(),
        ] {
            let line = message(body).to_line().unwrap();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            let Ok(Read::Message(read)) = reader().read(line.as_bytes()) else { panic!("{line}") };
            assert_eq!(read.body, body, "{line}");
        }
    }

    #[test]
    fn an_event_stands_in_the_recording_as_json() {
        let line = message(br#"{"name": "a", "data": [1]}"#).to_line().unwrap();
        assert!(line.contains(r#""body":{"name": "a", "data": [1]}}"#), "{line}");
        assert!(message(b"plain").to_line().unwrap().contains(r#""text":"plain"}"#));
        assert!(message(b"\xff").to_line().unwrap().contains(r#""base64":"/w=="}"#));
    }

    #[test]
    fn every_property_survives() {
        let mut message = message(b"{}");
        let some = |text: &str| Some(text.to_owned());
        message.properties = Properties {
            content_type: some("application/json"),
            content_encoding: some("utf-8"),
            headers: Some(Table(BTreeMap::from([("h".to_owned(), Field::Timestamp(1))]))),
            delivery_mode: Some(2),
            priority: Some(9),
            correlation_id: some("c"),
            reply_to: some("r"),
            expiration: some("60000"),
            message_id: some(""),
            timestamp: Some(u64::MAX),
            kind: some("t"),
            user_id: some("guest"),
            app_id: some("a"),
            cluster_id: some("k"),
        };
        let line = message.to_line().unwrap();
        assert_eq!(reader().read(line.as_bytes()), Ok(Read::Message(Box::new(message))));
        let mut empty = super::tests::message(b"{}");
        empty.properties.headers = Some(Table::default());
        let line = empty.to_line().unwrap();
        assert_eq!(reader().read(line.as_bytes()), Ok(Read::Message(Box::new(empty))));
    }

    #[test]
    fn why_it_was_in_quarantine_survives() {
        let why = Quarantine {
            reason: "bad_field".into(),
            detail: "no `a`".into(),
            rule: Some("call_{action}".into()),
            direction: Some("to_modern".into()),
            headers_left_out: Some(7),
        };
        let message = Message { quarantine: Some(why), ..message(b"{}") };
        let line = message.to_line().unwrap();
        assert_eq!(reader().read(line.as_bytes()), Ok(Read::Message(Box::new(message))));
    }

    #[test]
    fn headers_that_no_parser_would_read_back_are_not_written() {
        let nested = |levels: usize| {
            let field = (0..levels)
                .fold(Field::Void, |inner, _| Field::Table(Table(BTreeMap::from([("t".to_owned(), inner)]))));
            let mut message = message(b"{}");
            message.properties.headers = Some(Table(BTreeMap::from([("h".to_owned(), field)])));
            message
        };
        let deepest = nested(MAX_DEPTH);
        let line = deepest.to_line().unwrap();
        assert_eq!(reader().read(line.as_bytes()), Ok(Read::Message(Box::new(deepest))));
        assert_eq!(nested(MAX_DEPTH + 1).to_line(), Err(Unwritable));
    }

    #[test]
    fn gaps_and_the_end_are_lines_of_their_own() {
        let gap = Gap { from: "a".into(), to: "b".into(), reason: "lost".into() };
        let mut reader = reader();
        assert_eq!(reader.read(gap.to_line().as_bytes()), Ok(Read::Gap(gap)));
        assert!(!reader.ended());
        let end = End { at: "c".into(), messages: 7 };
        assert_eq!(reader.read(end.to_line().as_bytes()), Ok(Read::End(end)));
        assert!(reader.ended());
    }

    #[test]
    fn a_last_line_that_was_cut_off_is_told_and_no_error() {
        let line = message(br#"{"name": "a"}"#).to_line().unwrap();
        for length in 1..line.len() - 1 {
            assert_eq!(reader().read(&line.as_bytes()[..length]), Ok(Read::CutOff), "{length}");
        }
        let whole = reader().read(line.trim_end().as_bytes());
        assert!(matches!(whole, Ok(Read::Message(_))), "all is there but the end of the line");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let problem = |line: &str| reader().read(line.as_bytes()).unwrap_err().to_string();
        assert_eq!(problem("{\"received\": \n"), "line 2: EOF while parsing a value at column 12");
        assert_eq!(
            problem("{\"recieved\": \"a\"}\n").split(',').next(),
            Some("line 2: unknown field `recieved`")
        );
        assert_eq!(problem("{}\n"), "line 2: a message has one of `body`, `text` and `base64`");
        assert_eq!(
            problem("{\"text\": \"\", \"base64\": \"\"}\n"),
            "line 2: a message has one of `body`, `text` and `base64`"
        );
        assert_eq!(problem("{\"base64\": \"?\"}\n"), "line 2: `base64` is not base64");
        assert_eq!(
            problem("{\"text\": \"\", \"received\": \"\", \"exchange\": \"\"}\n"),
            "line 2: no `routing_key`"
        );
        let first = |line: &str| Reader::default().read(line.as_bytes()).unwrap_err().problem;
        for text in [
            "",
            "\n",
            "{}\n",
            "{\"name\": \"call_created\"}\n",
            "{\"format\": \"tar\", \"version\": 1}\n",
            "\u{0}\n",
        ] {
            assert_eq!(first(text), Problem::NotARecording, "{text}");
        }
        let next = header().to_line().replace("\"version\":1", "\"version\":2");
        assert_eq!(first(&next), Problem::Version(2));
        let without = header().to_line().replace("\"exchange\":\"xivo\",", "");
        assert_eq!(first(&without), Problem::Missing("exchange"));
    }
}
