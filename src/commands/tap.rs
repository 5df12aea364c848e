//! `tap`: events as they go by, and what the other side sees of them.

use std::cell::RefCell;
use std::io::{self, ErrorKind, IsTerminal, Write};

use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

use super::listening::{cannot_listen, source, translator};
use super::{Failure, runtime, settings, stop};
use crate::amqp::{self, Heard, Then};
use crate::cli::{Output, Tap};
use crate::config::Layer;
use crate::core::intake;
use crate::core::message::Direction;
use crate::core::recording::{Message, Source};
use crate::core::replay::translated;
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render::printable;

/// A body is shown up to this length; JSON output has all of it.
const MAX_SHOWN: usize = 2000;

/// Shows events until the limit is reached, or it is told to stop.
///
/// # Errors
/// When the broker, the exchange or the rules cannot be used.
pub fn tap(command: &Tap) -> Result<Exit, Failure> {
    runtime::with_fitting_memory()?;
    let config = settings::read(&command.broker, Layer::default())?;
    let source = source(&command.from, &config, &command.mappings)?;
    let translator = command.both.then(|| translator(&config, &command.mappings)).transpose()?;
    let tap = amqp::Tap { address: config.modern.clone(), name: "cti-bridge tap", source };
    runtime::block_on(|| run(command, &tap, translator.as_ref()))
}

async fn run(command: &Tap, tap: &amqp::Tap, translator: Option<&Translator>) -> Result<Exit, Failure> {
    stop::at_the_latest()?;
    let stopped = stop::signals()?;
    let view = RefCell::new(View {
        command,
        tap,
        translator,
        colours: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
        shown: 0,
        failed: None,
    });
    let heard = amqp::listen(tap, |heard| view.borrow_mut().hear(heard), stopped).await;
    heard.map_err(|error| cannot_listen(&error))?;
    match view.into_inner().failed {
        // Whoever reads has seen enough, as with `| head`.
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Unreachable, format!("cannot write: {error}")))
        }
        _ => Ok(Exit::Done),
    }
}

/// What is shown of what is heard.
struct View<'v> {
    command: &'v Tap,
    tap: &'v amqp::Tap,
    translator: Option<&'v Translator>,
    colours: bool,
    shown: u64,
    failed: Option<io::Error>,
}

impl View<'_> {
    fn hear(&mut self, heard: Heard) -> Then {
        match heard {
            Heard::Listening => {
                if let Source::Exchange { name, keys } = &self.tap.source {
                    say(&format!("listening to `{name}`, key `{}`", keys.join("`, `")));
                }
                Then::GoOn
            }
            Heard::Lost { cause } => {
                say(&format!(
                    "the exchange or the connection is lost: {cause}; trying again, events may be missed"
                ));
                Then::GoOn
            }
            Heard::Unreadable { reason } => {
                say(&format!("an event is not shown: {reason}"));
                Then::GoOn
            }
            Heard::Message(message) => self.message(&message),
        }
    }

    fn message(&mut self, message: &Message) -> Then {
        let event = message.event();
        let globs = &self.command.event;
        let is_wanted = event.as_deref().is_some_and(|event| globs.iter().any(|glob| glob.matches(event)));
        if !globs.is_empty() && !is_wanted {
            return Then::GoOn;
        }
        let text = match self.command.output {
            Output::Text => self.text(event.as_deref(), message),
            Output::Json => self.json(event.as_deref(), message),
        };
        let mut out = io::stdout().lock();
        if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            self.failed = Some(error);
            return Then::Stop;
        }
        self.shown += 1;
        if self.command.limit.is_some_and(|limit| self.shown >= limit) { Then::Stop } else { Then::GoOn }
    }

    fn text(&self, event: Option<&str>, message: &Message) -> String {
        let (bold, dim, plain) =
            if self.colours { ("\u{1b}[1m", "\u{1b}[2m", "\u{1b}[0m") } else { ("", "", "") };
        // The time of day out of `2026-01-01T12:34:56.789012Z`.
        let time = message.received.get(11..23).unwrap_or_default();
        let event = printable(event.unwrap_or("(no event)"));
        let key = printable(&message.routing_key);
        let mut text = format!(
            "{dim}{time}{plain}  {bold}{event}{plain}  {dim}{key}{plain}  {}\n",
            shown(&message.body)
        );
        if let Some((others, refusal)) = self.other(message) {
            for other in others {
                let (exchange, key) = (printable(&other.exchange), printable(&other.routing_key));
                let line = format!(
                    "{dim}           ⇒{plain}  {exchange}  {dim}{key}{plain}  {}\n",
                    shown(&other.body)
                );
                text.push_str(&line);
            }
            if let Some(refusal) = refusal {
                text.push_str(&format!("{dim}           ⇒{plain}  {}\n", printable(&refusal)));
            }
        }
        text
    }

    fn json(&self, event: Option<&str>, message: &Message) -> String {
        // As in a recording; read again, for a document in a document.
        let line = |message: &Message| {
            message.to_line().ok().and_then(|line| RawValue::from_string(line.trim_end().to_owned()).ok())
        };
        #[derive(serde::Serialize)]
        struct Shown<'s> {
            schema: &'s str,
            event: Option<&'s str>,
            message: Option<Box<RawValue>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            other: Option<Vec<Option<Box<RawValue>>>>,
            #[serde(skip_serializing_if = "Option::is_none")]
            refused: Option<Json>,
        }
        let (other, refused) = match self.other(message) {
            Some((others, refusal)) => {
                (Some(others.iter().map(line).collect()), refusal.map(|refusal| json!(refusal)))
            }
            None => (None, None),
        };
        let shown = Shown { schema: "cti-bridge/event/1", event, message: line(message), other, refused };
        // Texts and documents that were read before: this cannot fail.
        serde_json::to_string(&shown).unwrap_or_default() + "\n"
    }

    /// What the other side sees, and what it does not see.
    fn other(&self, message: &Message) -> Option<(Vec<Message>, Option<String>)> {
        let direction = match intake::legacy_exchange(&message.exchange) {
            Some(_) => Direction::ToModern,
            None => Direction::ToLegacy,
        };
        let (others, refusal) = translated(self.translator?, direction, message);
        Some((others, refusal.map(|(reason, detail)| format!("{}: {detail}", reason.code()))))
    }
}

/// A body on one line.
fn shown(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    // Where JSON goes over several lines, white space is all that is at their ends.
    let text: String = match text.contains('\n') {
        true => text.lines().map(str::trim).collect::<Vec<_>>().join(" "),
        false => text.into_owned(),
    };
    let mut shown: String = text.chars().take(MAX_SHOWN).collect();
    if shown.len() < text.len() {
        shown.push_str(&format!("… ({} bytes)", body.len()));
    }
    printable(&shown)
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}
