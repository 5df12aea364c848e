//! `quarantine list|show|retry|export|drop`: what could not be translated, and what to do about it.

mod export;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value as Json, json};

use super::{Failure, approval, daemon, runtime, settings};
use crate::amqp::{Arrival, BrokerAddress, Item, Outlet, Shelf, ShelfError};
use crate::cli::{Output, Quarantine, Select};
use crate::config::{Config, Layer};
use crate::core::message::{Direction, Publication};
use crate::core::quarantined::{Quarantined, Retry, Selection};
use crate::core::translate::Translator;
use crate::exit_code::Exit;
use crate::render::{counted, document, printable, table};

/// Runs one of the commands; its result goes to standard output.
///
/// # Errors
/// When the broker or its quarantine queue cannot be reached, or the settings cannot be used.
pub fn quarantine(command: &Quarantine) -> Result<Exit, Failure> {
    runtime::with_fitting_memory()?;
    let now = Timestamp::now();
    match command {
        Quarantine::List { select, limit, broker, output } => {
            let config = settings::read(broker, Layer::default())?;
            let found = runtime::block_on(|| look(&config, selection(select, now), *limit))?;
            super::print(&listed(&found, *output))?;
        }
        Quarantine::Show { select, limit, daemon, output } => {
            let config = settings::read(&daemon.broker, settings::layer(daemon))?;
            let translator = daemon::anybodys_translator(&config)?;
            let found = runtime::block_on(|| look(&config, selection(select, now), *limit))?;
            if found.messages.is_empty() && !select.ids.is_empty() {
                let message = "no such message in quarantine";
                return Err(
                    Failure::new(Exit::NoInput, message).help("`cti-bridge quarantine list` shows their ids")
                );
            }
            super::print(&shown(&found, &translator, *output))?;
        }
        Quarantine::Retry { select, all, approve, daemon, output } => {
            let config = settings::read(&daemon.broker, settings::layer(daemon))?;
            let identity = config.identity().map_err(settings::cannot_use)?;
            let translator = daemon::translator(&config, identity)?;
            let selection = chosen(select, *all, now)?;
            approval::ask(&format!("retry {} in quarantine?", meant(&selection)), *approve)?;
            let done = runtime::block_on(|| retry(&config, &translator, &selection))?;
            return told(&done, "retried", *output);
        }
        Quarantine::Export { select, out, broker } => {
            let config = settings::read(broker, Layer::default())?;
            let selection = selection(select, now);
            return runtime::block_on(|| export::export(&config, &selection, out));
        }
        Quarantine::Drop { select, all, approve, broker, output } => {
            let config = settings::read(broker, Layer::default())?;
            let selection = chosen(select, *all, now)?;
            approval::ask(&format!("remove {} from quarantine for good?", meant(&selection)), *approve)?;
            let done = runtime::block_on(|| remove(&config, &selection))?;
            return told(&done, "dropped", *output);
        }
    }
    Ok(Exit::Done)
}

fn selection(select: &Select, now: Timestamp) -> Selection {
    let ago =
        |age: Option<SignedDuration>| age.map(|age| now.as_millisecond().saturating_sub(milliseconds(age)));
    Selection {
        ids: select.ids.clone(),
        reasons: select.reason.clone(),
        events: select.event.clone(),
        rules: select.rule.clone(),
        before: ago(select.older_than),
        since: ago(select.newer_than),
    }
}

fn milliseconds(age: SignedDuration) -> i64 {
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}

/// A selection that is not everything by mistake.
fn chosen(select: &Select, all: bool, now: Timestamp) -> Result<Selection, Failure> {
    let selection = selection(select, now);
    if selection.is_everything() && !all {
        return Err(Failure::new(Exit::Usage, "nothing says which messages are meant")
            .help("name ids, a `--reason`, an `--event` or an age; or `--all`"));
    }
    Ok(selection)
}

fn meant(selection: &Selection) -> String {
    if selection.is_everything() { "every message".into() } else { "the chosen messages".into() }
}

/// The brokers whose quarantine is meant: one, or two where the sides are apart.
fn brokers(config: &Config) -> Vec<&BrokerAddress> {
    if config.legacy.is_same(&config.modern) {
        vec![&config.legacy]
    } else {
        vec![&config.legacy, &config.modern]
    }
}

struct Found {
    messages: Vec<Quarantined>,
    /// All that are there, chosen or not.
    there: usize,
    /// All that fit, by reason, shown or not.
    by_reason: BTreeMap<String, usize>,
}

impl Found {
    /// What to say when none is chosen.
    fn nothing(&self) -> String {
        match self.there {
            0 => "nothing in quarantine\n".into(),
            there => format!("none of {} in quarantine is meant\n", counted(there, "message")),
        }
    }
}

async fn look(config: &Config, selection: Selection, limit: usize) -> Result<Found, Failure> {
    let mut found = Found { messages: Vec::new(), there: 0, by_reason: BTreeMap::new() };
    for address in brokers(config) {
        let mut shelf = open(config, address).await?;
        while let Some(Item { message, .. }) = shelf.next().await.map_err(|error| cannot(&error))? {
            found.there += 1;
            if selection.takes(&message) {
                *found.by_reason.entry(reason_of(&message).to_owned()).or_default() += 1;
                if limit == 0 || found.messages.len() < limit {
                    found.messages.push(message);
                }
            }
        }
        shelf.close().await;
    }
    Ok(found)
}

async fn open(config: &Config, address: &BrokerAddress) -> Result<Shelf, Failure> {
    Shelf::open(address, &daemon::intake(config).quarantine_queue()).await.map_err(|error| cannot(&error))
}

fn cannot(error: &ShelfError) -> Failure {
    match error {
        ShelfError::Connect(error) => runtime::not_connected(error),
        ShelfError::Queue { .. } => Failure::new(Exit::NoInput, error)
            .help("a bridge makes it when it starts; is `queue_prefix` or the virtual host another one?"),
        ShelfError::Lost(_) => Failure::new(Exit::Unreachable, error).help(
            "nothing was taken away; if it happens again, the next message is one that no client can read",
        ),
        ShelfError::Refused(_) => Failure::new(Exit::Unreachable, error),
    }
}

/// What came of the chosen messages.
#[derive(Default)]
struct Done {
    gone: usize,
    /// What stays, by the reason why.
    stay: BTreeMap<String, usize>,
    /// Why it ended before its time.
    cut_short: Option<String>,
}

async fn remove(config: &Config, selection: &Selection) -> Result<Done, Failure> {
    let mut done = Done::default();
    for address in brokers(config) {
        let mut shelf = open(config, address).await?;
        let gone_through = async {
            while let Some(item) = shelf.next().await? {
                if selection.takes(&item.message) {
                    shelf.remove(item).await?;
                    done.gone += 1;
                }
            }
            Ok::<(), ShelfError>(())
        };
        if let Err(error) = gone_through.await {
            done.cut_short = Some(error.to_string());
            return Ok(done);
        }
        shelf.close().await;
    }
    Ok(done)
}

async fn retry(config: &Config, translator: &Translator, selection: &Selection) -> Result<Done, Failure> {
    let mut to_legacy = Outlet::open(&config.legacy).await.map_err(|error| cannot(&error))?;
    let mut to_modern = Outlet::open(&config.modern).await.map_err(|error| cannot(&error))?;
    let mut done = Done::default();
    for address in brokers(config) {
        let mut shelf = open(config, address).await?;
        let gone_through = async {
            while let Some(item) = shelf.next().await? {
                if !selection.takes(&item.message) {
                    continue;
                }
                let outlet = match item.message.direction {
                    Some(Direction::ToLegacy) => &mut to_legacy,
                    _ => &mut to_modern,
                };
                let stays = match item.message.retry(translator) {
                    Retry::Publish(publications) => publish(outlet, publications).await?,
                    Retry::Refused(refusal) => Some(refusal.reason.code().to_owned()),
                    Retry::Vanish => Some("dropped_by_configuration".to_owned()),
                    Retry::NoDirection => Some("not_from_a_bridge".to_owned()),
                };
                match stays {
                    None => {
                        shelf.remove(item).await?;
                        done.gone += 1;
                    }
                    Some(reason) => *done.stay.entry(reason).or_default() += 1,
                }
            }
            Ok::<(), ShelfError>(())
        };
        if let Err(error) = gone_through.await {
            done.cut_short = Some(error.to_string());
            return Ok(done);
        }
        shelf.close().await;
    }
    to_legacy.close().await;
    to_modern.close().await;
    Ok(done)
}

/// Why the message has to stay, if it has to: a queue must have something that came of it.
async fn publish(
    outlet: &mut Outlet,
    publications: Vec<Publication<'_>>,
) -> Result<Option<String>, ShelfError> {
    let mut queued = false;
    for publication in publications {
        match outlet.publish(publication).await {
            Ok(arrival) => queued |= arrival == Arrival::Queued,
            Err(ShelfError::Refused(_)) => return Ok(Some("refused_by_broker".to_owned())),
            Err(error) => return Err(error),
        }
    }
    Ok((!queued).then(|| "nobody_listens".to_owned()))
}

fn told(done: &Done, what: &str, output: Output) -> Result<Exit, Failure> {
    let Done { gone, stay, cut_short } = done;
    let text = match output {
        Output::Json => document(
            &format!("quarantine-{what}"),
            json!({ what: gone, "stay": stay, "cut_short": cut_short }),
        ),
        Output::Text => {
            let mut text = format!("{} {what}\n", counted(*gone, "message"));
            for (reason, count) in stay {
                let _ = writeln!(text, "stay: {count} {reason}");
            }
            text
        }
    };
    super::print(&text)?;
    match cut_short {
        Some(why) => Err(Failure::new(Exit::PartlyDone, format!("ended before its time: {why}"))
            .help("what is not done is still in quarantine; repeating it is harmless")),
        None if stay.is_empty() => Ok(Exit::Done),
        None => Ok(Exit::Findings),
    }
}

fn reason_of(message: &Quarantined) -> &str {
    if message.reason.is_empty() { "(none)" } else { &message.reason }
}

fn time_of(message: &Quarantined) -> String {
    let time = message.time.and_then(|time| Timestamp::from_millisecond(time).ok());
    time.map_or_else(|| "?".into(), |time| format!("{time:.0}"))
}

fn direction_of(message: &Quarantined) -> &'static str {
    message.direction.map_or("?", Direction::code)
}

fn listed(found: &Found, output: Output) -> String {
    if output == Output::Json {
        let messages: Vec<Json> = found.messages.iter().map(message_json).collect();
        return document("quarantine-list", json!({ "messages": messages, "by_reason": found.by_reason }));
    }
    let total: usize = found.by_reason.values().sum();
    if total == 0 {
        return found.nothing();
    }
    let mut rows = vec![["ID", "TIME", "DIRECTION", "REASON", "EVENT", "RULE", "BYTES"].map(str::to_owned)];
    for message in &found.messages {
        rows.push([
            message.id(),
            time_of(message),
            direction_of(message).to_owned(),
            printable(reason_of(message)),
            message.event().map_or_else(|| "-".into(), |name| printable(&name)),
            message.rule.as_deref().map_or_else(|| "-".into(), printable),
            message.body.len().to_string(),
        ]);
    }
    let mut text = table(&rows);
    if total > found.messages.len() {
        let _ = writeln!(text, "… and {} more; `--limit 0` shows all", total - found.messages.len());
    }
    let reasons: Vec<String> =
        found.by_reason.iter().map(|(reason, count)| format!("{} {count}", printable(reason))).collect();
    let _ = writeln!(text, "{}: {}", counted(total, "message"), reasons.join(", "));
    text
}

fn message_json(message: &Quarantined) -> Json {
    let time = message.time.and_then(|time| Timestamp::from_millisecond(time).ok());
    json!({
        "id": message.id(), "time": time.map(|time| time.to_string()), "reason": message.reason,
        "detail": message.detail, "rule": message.rule, "direction": message.direction.map(Direction::code),
        "event": message.event(), "exchange": message.exchange, "routing_key": message.routing_key,
        "bytes": message.body.len(),
    })
}

fn shown(found: &Found, translator: &Translator, output: Output) -> String {
    if output == Output::Json {
        let messages = found.messages.iter().map(|message| {
            let mut json = message_json(message);
            json["today"] = today_json(&message.retry(translator));
            match std::str::from_utf8(&message.body) {
                Ok(body) => json["body"] = body.into(),
                Err(_) => json["body_hex"] = hex(&message.body).into(),
            }
            json
        });
        return document("quarantine-show", json!({ "messages": messages.collect::<Vec<_>>() }));
    }
    if found.messages.is_empty() {
        return found.nothing();
    }
    let texts: Vec<String> = found.messages.iter().map(|message| message_text(message, translator)).collect();
    texts.join("\n")
}

fn message_text(message: &Quarantined, translator: &Translator) -> String {
    let mut lines = vec![
        ("reason", format!("{}: {}", reason_of(message), message.detail)),
        ("since", time_of(message)),
        ("direction", direction_of(message).to_owned()),
        ("came by", format!("{}  key {}", message.exchange, message.routing_key)),
    ];
    lines.extend(message.rule.iter().map(|rule| ("rule", rule.clone())));
    lines.extend(message.message_id.iter().map(|id| ("message id", id.clone())));
    lines.extend(message.mark.iter().map(|mark| ("passed", mark.clone())));
    lines.extend(today_lines(&message.retry(translator)).into_iter().map(|line| ("today", line)));
    lines.push(("body", body_text(&message.body)));
    let mut text =
        format!("{}  {}\n", message.id(), printable(&message.event().unwrap_or_else(|| "?".into())));
    for (label, value) in lines {
        let _ = writeln!(text, "  {label:<11} {}", printable(&value));
    }
    text
}

/// As much of a body as is shown.
const SHOWN_BYTES: usize = 4096;

fn body_text(body: &[u8]) -> String {
    let shown = body.get(..SHOWN_BYTES).unwrap_or(body);
    let more = body.len() - shown.len();
    let text = match std::str::from_utf8(body) {
        Ok(_) => String::from_utf8_lossy(shown).into_owned(),
        Err(_) => format!("(not text) {}", hex(shown)),
    };
    if more > 0 { format!("{text} … and {}", counted(more, "more byte")) } else { text }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn today_lines(retry: &Retry<'_>) -> Vec<String> {
    match retry {
        Retry::Publish(publications) => publications
            .iter()
            .map(|publication| {
                format!("would go to {}  key {}", publication.exchange, publication.routing_key)
            })
            .collect(),
        Retry::Refused(refusal) => vec![format!("{}: {}", refusal.reason.code(), refusal.detail)],
        Retry::Vanish => vec!["the configuration drops it".into()],
        Retry::NoDirection => vec!["it was not put here by a bridge: `drop` is all there is to do".into()],
    }
}

fn today_json(retry: &Retry<'_>) -> Json {
    match retry {
        Retry::Publish(publications) => {
            let publications = publications.iter().map(|publication| {
                json!({ "exchange": publication.exchange, "routing_key": publication.routing_key })
            });
            json!({ "publish": publications.collect::<Vec<_>>() })
        }
        Retry::Refused(refusal) => json!({ "refused": refusal.reason.code(), "detail": refusal.detail }),
        Retry::Vanish => json!({ "refused": "dropped_by_configuration" }),
        Retry::NoDirection => json!({ "refused": "not_from_a_bridge" }),
    }
}
