//! What is run on each input: everything that reads what others wrote.

use std::fmt::Write as _;

use cti_bridge::amqp::BrokerAddress;
use cti_bridge::config;
use cti_bridge::core::catalog::{Catalog, MappingFile, Mappings};
use cti_bridge::core::compare::{Item, Tolerance, compare};
use cti_bridge::core::journal::Journal;
use cti_bridge::core::message::{
    Mark, Outcome, Publication, Received, ReceivedProperties, is_reserved_header,
};
use cti_bridge::core::pattern::Pattern;
use cti_bridge::core::plan::Plan;
use cti_bridge::core::probe::Run;
use cti_bridge::core::recording::{Message, Properties, Read, Reader};
use cti_bridge::core::settings::{BridgeId, OriginUuid};
use cti_bridge::core::site::{definitions, file, rabbitmqctl};
use cti_bridge::core::template::Template;
use cti_bridge::core::version::Version;
use cti_bridge::core::{accepted, changelog_file, examples, mapping_file};
use cti_bridge::render;

use super::runner::Target;
use super::world::TRANSLATOR;

pub const BODIES: Target = Target { name: "bodies", inputs: 20_000, run: bodies };
pub const PROPERTIES: Target = Target { name: "properties", inputs: 20_000, run: properties };
pub const MAPPINGS: Target = Target { name: "mappings", inputs: 1_500, run: mappings };
pub const TEMPLATES: Target = Target { name: "templates", inputs: 8_000, run: templates };
pub const CONFIGURATION: Target = Target { name: "configuration", inputs: 1_000, run: configuration };
pub const FILES: Target = Target { name: "files", inputs: 3_000, run: files };
pub const COMPARE: Target = Target { name: "compare", inputs: 3_000, run: recordings };

fn bodies(input: &[u8]) -> String {
    let message =
        Received { exchange: "", routing_key: "", properties: ReceivedProperties::default(), body: input };
    both_ways(&message)
}

fn both_ways(message: &Received<'_>) -> String {
    format!("{} {}", told(&TRANSLATOR.to_modern(message)), told(&TRANSLATOR.to_legacy(message)))
}

fn told(outcome: &Outcome<'_>) -> String {
    let (made, refusal): (&[Publication<'_>], _) = match outcome {
        Outcome::Publish(made) => (made, None),
        Outcome::Partly(made, refusal) => (made, Some(refusal)),
        Outcome::Answer(made) => return format!("{} answers", made.len().min(4)),
        Outcome::Echo => return "echo".into(),
        Outcome::Dropped => return "dropped".into(),
        Outcome::Refused(refusal) => (&[], Some(refusal)),
    };
    for made in made {
        let event = serde_json::from_slice::<serde::de::IgnoredAny>(&made.body);
        assert!(event.is_ok(), "published what is not JSON");
        assert!(made.routing_key.len() <= 255, "published with a key that AMQP has not");
    }
    let mut told = format!("{} made", few(made.len()));
    if let Some(refusal) = refusal {
        assert!(!refusal.detail.is_empty() && !refusal.detail.chars().any(char::is_control));
        let _ =
            write!(told, " {} {:?} {}", refusal.reason.code(), refusal.rule, few(refusal.detail.len() / 8));
    }
    told
}

/// Lines of properties, and the body below.
fn properties(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let mut lines = text.splitn(6, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let (body, mark, key, exchange, id) = (line(), line(), line(), line(), line());
    let properties = ReceivedProperties {
        message_id: Some(id),
        correlation_id: Some(key),
        timestamp: Some(input.len() as u64),
        mark: Mark::Text(mark),
    };
    let message = Received { exchange, routing_key: key, properties, body: body.as_bytes() };
    let read: Result<Properties, _> = serde_json::from_str(body);
    if let Ok(properties) = &read {
        let again = serde_json::to_string(properties).unwrap();
        assert_eq!(serde_json::from_str::<Properties>(&again).as_ref().ok(), Some(properties), "{again}");
    }
    let address = BrokerAddress::parse(body);
    let parsed = [
        is_reserved_header(body),
        Run::parse(body).is_some(),
        BridgeId::parse(mark).is_some(),
        OriginUuid::parse(id).is_some(),
        address.is_ok(),
    ];
    format!(
        "{} {parsed:?} {:?} {:?}",
        both_ways(&message),
        read.err().map(|error| few(error.to_string().len() / 4)),
        address.err()
    )
}

fn mappings(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let changelog = match changelog_file::read(&text) {
        Ok(changes) => format!("{} changes", changes.len()),
        Err(_) => String::new(),
    };
    let rules = match mapping_file::read(&text) {
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            let mut told = changelog;
            for mistake in mistakes {
                let shown = render::diagnostic("a.yaml", &text, &mistake);
                assert!(
                    shown.starts_with("error: ") && shown.ends_with('\n') && !shown.contains('\x1b'),
                    "{shown}"
                );
                told.push_str(&mistake.message.chars().take(40).collect::<String>());
            }
            return told;
        }
        Ok(rules) => rules.into_iter().map(std::sync::Arc::new).collect::<Vec<_>>(),
    };
    let file = MappingFile { path: "a.yaml".into(), text: text.clone().into_owned(), rules };
    let mappings = Mappings { layers: vec![vec![file]] };
    for (_, conflict) in mappings.conflicts() {
        drop(render::diagnostic("a.yaml", &text, &conflict));
    }
    let checked = examples::check(&mappings);
    drop(checked);
    let catalog = Catalog::at(Version::new(19, 5), &mappings);
    format!("{} rules, {} listed", few(mappings.rules().count()), few(catalog.listed().count()))
}

/// A template or a pattern on each line, all held against one another.
fn templates(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let lines: Vec<&str> = text.lines().take(4).map(|line| at_most(line, 255)).collect();
    let mut told = String::new();
    for line in &lines {
        match Template::parse(line) {
            Err(error) => {
                let _ = write!(told, "{} ", error.to_string().split('`').next().unwrap_or_default());
            }
            Ok(template) => {
                assert_eq!(Template::parse(&template.to_string()).as_ref(), Ok(&template));
                let pattern = Pattern::parse(&template.binding_key());
                for other in &lines {
                    let captured = template.capture(other);
                    let _ =
                        write!(told, "{:?} {} ", captured.map(|all| few(all.len())), pattern.matches(other));
                }
                let _ = write!(told, "{} words ", few(template.words().len()));
            }
        }
        let pattern = Pattern::parse(line);
        for other in &lines {
            let (one, two) = (pattern.meets(&Pattern::parse(other)), Pattern::parse(other).meets(&pattern));
            assert_eq!(one, two, "{line} and {other} meet in one order only");
            let _ = write!(told, "{one} {} ", pattern.matches(other));
        }
    }
    told
}

/// A count as a letter: numbers make no new outcome.
fn few(count: usize) -> char {
    char::from(b'a' + count.min(25) as u8)
}

fn at_most(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    &text[..end]
}

fn configuration(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    match config::read(&text) {
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            let mut told = String::new();
            for mistake in mistakes {
                let shown = render::diagnostic("a.yml", &text, &mistake);
                assert!(shown.starts_with("error: ") && !shown.contains('\x1b'), "{shown}");
                told.push_str(&mistake.message.chars().take(40).collect::<String>());
            }
            told
        }
        // No files are named: a credential that is one is not read.
        Ok(layer) => match config::Layer::default().under(layer).finish(None, None) {
            Ok(config) => format!("{:?} {}", config.exchange_type, config.identity().is_ok()),
            Err(error) => error.to_string(),
        },
    }
}

/// Any file that a command reads, whatever it is.
fn files(input: &[u8]) -> String {
    let text = String::from_utf8_lossy(input);
    let mut told = String::new();
    for site in [definitions::site(&text, None, "a.json"), file::saved(&text)] {
        match site {
            Ok(site) => {
                let _ = write!(told, "site of {} ", few(site.exchanges.len() + site.bindings.len()));
            }
            Err(error) => {
                let _ = write!(told, "{} ", at_most(&error.to_string(), 30));
                drop(error.help());
            }
        }
    }
    let mut lists = rabbitmqctl::Lists::default();
    let added = lists.add(&text);
    let _ = write!(told, "{} {} ", added.is_ok(), lists.site(None, "a.txt").is_ok());
    match Journal::read(&text) {
        Ok(journal) => drop(journal.to_undo()),
        Err(error) => {
            let _ = write!(told, "{} ", at_most(&error.to_string(), 30));
        }
    }
    assert!(Journal::whole_bytes(&text) <= text.len());
    match serde_json::from_str::<Plan>(&text) {
        Ok(plan) => {
            let _ = write!(told, "{:?} ", plan.check());
        }
        Err(error) => {
            let _ = write!(told, "{} ", at_most(&error.to_string(), 20));
        }
    }
    match accepted::read(&text) {
        Ok(accepted) => {
            let _ = write!(told, "{} accepted ", few(accepted.len()));
        }
        Err(mistakes) => {
            for mistake in mistakes {
                drop(render::diagnostic("a.yaml", &text, &mistake));
            }
        }
    }
    let (messages, problem) = recording(input);
    let _ = write!(told, "{} {problem}", few(messages.len()));
    told
}

fn recording(text: &[u8]) -> (Vec<Message>, String) {
    let mut reader = Reader::default();
    let mut messages = Vec::new();
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        match reader.read(line) {
            Ok(Read::Message(message)) => {
                // What was read can be written, and says the same again.
                if let Ok(written) = message.to_line() {
                    let mut again = Reader::default();
                    if let Some(header) = reader.header() {
                        again.read(header.to_line().as_bytes()).unwrap();
                    }
                    match again.read(written.as_bytes()) {
                        Ok(Read::Message(read)) => assert_eq!(read, message),
                        other => panic!("{written} is read as {other:?}"),
                    }
                }
                messages.push(*message);
            }
            Ok(_) => {}
            Err(bad) => return (messages, at_most(&bad.to_string(), 40).to_owned()),
        }
    }
    (messages, String::new())
}

/// Two recordings, one after the other.
fn recordings(input: &[u8]) -> String {
    let middle = input.iter().position(|byte| *byte == 0x1e).unwrap_or(input.len() / 2);
    let items = |text: &[u8]| -> Vec<Item> {
        let items = recording(text).0.into_iter().zip(1..).map(|(message, line)| Item {
            line,
            event: message.event(),
            routing_key: message.routing_key,
            properties: Some(message.properties),
            body: message.body,
        });
        items.collect()
    };
    let (before, after) = (items(&input[..middle]), items(input.get(middle + 1..).unwrap_or_default()));
    let any_order = Tolerance { any_order: true, ..Tolerance::default() };
    assert!(compare(&before, &before, &Tolerance::default()).is_equal());
    let [strict, loose] =
        [Tolerance::default(), any_order].map(|tolerance| compare(&before, &after, &tolerance));
    let fields = strict.changed.iter().map(|changed| changed.fields.len()).sum::<usize>();
    let counts = [strict.matched, strict.missing.len(), strict.extra.len(), fields, strict.reordered.len()];
    format!("{} {}", counts.map(few).iter().collect::<String>(), loose.is_equal())
}
