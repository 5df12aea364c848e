//! `compare`: two recordings held against each other.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::recordings::{Notes, Recording};
use super::translate::translator;
use super::{Failure, print};
use crate::cli::{Compare, Form, Output};
use crate::core::compare::{self, Changed, Comparison, Item, Reordered, Tolerance};
use crate::core::message::MARK_HEADER;
use crate::core::recording::{Header, Message, Source};
use crate::core::replay::translated;
use crate::core::settings::UnknownEvents;
use crate::exit_code::Exit;
use crate::render::{self, counted, printable};

/// Compares two recordings.
///
/// # Errors
/// When a recording or the rules cannot be read.
pub fn compare(command: &Compare) -> Result<Exit, Failure> {
    let (_, mut before) = read(command, &command.before)?;
    let (after_header, after) = read(command, &command.after)?;
    let mut refused = Vec::new();
    if let Some(form) = command.translate {
        before.items = translate(command, form, &after_header, before.items, &mut refused)?;
    }
    let before_items: Vec<Item> =
        before.items.into_iter().map(|(line, item)| self::item(command, line, item)).collect();
    let after_items: Vec<Item> =
        after.items.into_iter().map(|(line, item)| self::item(command, line, item)).collect();
    let tolerance = Tolerance { ignored: command.ignore.clone(), any_order: command.ignore_order };
    let found = compare::compare(&before_items, &after_items, &tolerance);
    let told = Told { command, before: &before_items, after: &after_items, found: &found, refused: &refused };
    match command.output {
        Output::Text => {
            eprint!("{}{}", before.notes.told(&command.before), after.notes.told(&command.after));
            print(&told.text())?;
        }
        Output::Json => print(&render::document("comparison", told.json(&before.notes, &after.notes)))?,
    }
    Ok(if found.is_equal() && refused.is_empty() { Exit::Done } else { Exit::Findings })
}

/// All of a recording.
struct Whole {
    items: Vec<(u64, Message)>,
    notes: Notes,
}

fn read(command: &Compare, path: &Path) -> Result<(Header, Whole), Failure> {
    let mut recording = Recording::open(path)?;
    let header = recording.header().clone();
    let mut items = Vec::new();
    while let Some(mut message) = recording.next_message()? {
        if !command.properties {
            // Not kept, as there may be many; but a translation carries some of them on.
            message.properties.headers = None;
        }
        items.push((recording.line(), message));
    }
    Ok((header, Whole { items, notes: recording.into_notes() }))
}

/// A message of the first recording that the rules make nothing of.
struct Refused {
    line: u64,
    event: Option<String>,
    why: String,
}

/// What a bridge would have made of the messages. One that goes to several exchanges is looked for on the one that was
/// recorded.
fn translate(
    command: &Compare,
    form: Form,
    after: &Header,
    messages: Vec<(u64, Message)>,
    refused: &mut Vec<Refused>,
) -> Result<Vec<(u64, Message)>, Failure> {
    let translator =
        translator(&command.rules, &command.origin_uuid, command.modern_version, UnknownEvents::Pass)?;
    let mut all = Vec::with_capacity(messages.len());
    for (line, message) in messages {
        let (published, refusal) = translated(&translator, form.direction(), &message);
        all.extend(published.into_iter().map(|message| (line, message)));
        if let Some((reason, detail)) = refusal {
            refused.push(Refused {
                line,
                event: message.event(),
                why: format!("{}: {detail}", reason.code()),
            });
        }
    }
    if let Source::Exchange { name, .. } = &after.source
        && all.iter().any(|(_, message)| message.exchange == *name)
    {
        all.retain(|(_, message)| message.exchange == *name);
    }
    Ok(all)
}

fn item(command: &Compare, line: u64, message: Message) -> Item {
    let event = message.event();
    let Message { mut properties, routing_key, body, .. } = message;
    // What no replay keeps, and what every bridge adds, is no difference.
    properties.user_id = None;
    if let Some(headers) = &mut properties.headers
        && headers.0.remove(MARK_HEADER).is_some()
        && headers.0.is_empty()
    {
        properties.headers = None;
    }
    Item { line, event, routing_key, properties: command.properties.then_some(properties), body }
}

/// All that there is to tell.
struct Told<'t> {
    command: &'t Compare,
    before: &'t [Item],
    after: &'t [Item],
    found: &'t Comparison,
    refused: &'t [Refused],
}

impl Told<'_> {
    fn text(&self) -> String {
        let found = self.found;
        let mut text = String::new();
        let kinds = [
            self.some(&found.missing, |at| one_sided("missing", &self.before[*at])),
            self.some(&found.extra, |at| one_sided("extra", &self.after[*at])),
            self.some(&found.changed, |changed| self.changed(changed)),
            self.some(&found.reordered, |reordered| self.reordered(reordered)),
            self.some(self.refused, |refused| {
                let Refused { line, event, why } = refused;
                format!("{:<10} {}  line {line}: {why}\n", "refused", name(event))
            }),
        ];
        kinds.iter().for_each(|kind| text.push_str(kind));
        let rows = self.per_event();
        if !rows.is_empty() {
            text.push('\n');
            let head = ["event", "missing", "extra", "changed", "reordered", "refused"].map(str::to_owned);
            let rows = rows.into_iter().map(|(event, counts)| {
                let [missing, extra, changed, reordered, refused] = counts.map(|count| count.to_string());
                [printable(&event), missing, extra, changed, reordered, refused]
            });
            text.push_str(&render::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
            text.push('\n');
        }
        let differences = found.missing.len()
            + found.extra.len()
            + found.changed.len()
            + found.reordered.len()
            + self.refused.len();
        let result =
            if differences == 0 { "no difference".to_owned() } else { counted(differences, "difference") };
        let _ = writeln!(text, "{result}; {} in both", counted(found.matched, "message"));
        text
    }

    /// The first of these, and how many more there are.
    fn some<T>(&self, all: &[T], line: impl Fn(&T) -> String) -> String {
        let shown = if self.command.show == 0 { all.len() } else { self.command.show.min(all.len()) };
        let mut text: String = all[..shown].iter().map(line).collect();
        if shown < all.len() {
            let _ = writeln!(text, "           … and {} more; `--show 0` shows all", all.len() - shown);
        }
        text
    }

    fn changed(&self, changed: &Changed) -> String {
        let (before, after) = (&self.before[changed.before], &self.after[changed.after]);
        let mut text = format!(
            "{:<10} {}  line {} ⇒ line {}\n",
            "changed",
            name(&before.event),
            before.line,
            after.line
        );
        for field in &changed.fields {
            let value = |value: &Option<String>| match value {
                Some(json) => shortened(json),
                None => "(none)".to_owned(),
            };
            let (old, new) = (value(&field.before), value(&field.after));
            let _ = writeln!(text, "           {}: {old} ⇒ {new}", printable(&field.path));
        }
        text
    }

    fn reordered(&self, reordered: &Reordered) -> String {
        let place = |pair: &(usize, usize)| {
            let (before, after) = (&self.before[pair.0], &self.after[pair.1]);
            format!("{}  line {} ⇒ line {}", name(&before.event), before.line, after.line)
        };
        match reordered {
            Reordered::Swapped(one, other) => {
                format!("{:<10} {}\n       and {}\n", "swapped", place(one), place(other))
            }
            Reordered::Moved(pair) => format!("{:<10} {}\n", "moved", place(pair)),
        }
    }

    /// The differences of each event: missing, extra, changed, reordered, refused.
    fn per_event(&self) -> BTreeMap<String, [usize; 5]> {
        let mut events: BTreeMap<String, [usize; 5]> = BTreeMap::new();
        let mut count = |event: &Option<String>, kind: usize| {
            events.entry(event.clone().unwrap_or_else(|| NO_EVENT.to_owned())).or_default()[kind] += 1;
        };
        let found = self.found;
        found.missing.iter().for_each(|at| count(&self.before[*at].event, 0));
        found.extra.iter().for_each(|at| count(&self.after[*at].event, 1));
        found.changed.iter().for_each(|changed| count(&self.before[changed.before].event, 2));
        for reordered in &found.reordered {
            match reordered {
                Reordered::Moved(pair) => count(&self.before[pair.0].event, 3),
                Reordered::Swapped(one, other) => {
                    count(&self.before[one.0].event, 3);
                    // One exchange is one difference, whether or not two events have part in it.
                    if self.before[one.0].event != self.before[other.0].event {
                        count(&self.before[other.0].event, 3);
                    }
                }
            }
        }
        self.refused.iter().for_each(|refused| count(&refused.event, 4));
        events
    }

    fn json(&self, before: &Notes, after: &Notes) -> Json {
        let found = self.found;
        let content = |item: &Item| {
            json!({
                "event": item.event, "line": item.line, "routing_key": item.routing_key,
                "body": String::from_utf8_lossy(&item.body),
            })
        };
        let place = |pair: &(usize, usize)| {
            let (before, after) = (&self.before[pair.0], &self.after[pair.1]);
            json!({"event": before.event, "before_line": before.line, "after_line": after.line})
        };
        let changed = |changed: &Changed| {
            let mut json = place(&(changed.before, changed.after));
            let field = |field: &compare::FieldChange| json!({"path": field.path, "before": field.before, "after": field.after});
            json["fields"] = changed.fields.iter().map(field).collect();
            json
        };
        let reordered = |reordered: &Reordered| match reordered {
            Reordered::Swapped(one, other) => json!({"swapped": [place(one), place(other)]}),
            Reordered::Moved(pair) => json!({"moved": place(pair)}),
        };
        let refused =
            |refused: &Refused| json!({"event": refused.event, "line": refused.line, "reason": refused.why});
        let notes =
            |notes: &Notes| json!({"gaps": notes.gaps, "cut_off": notes.cut_off, "ended": notes.ended});
        json!({
            "equal": found.is_equal() && self.refused.is_empty(),
            "matched": found.matched,
            "missing": found.missing.iter().map(|at| content(&self.before[*at])).collect::<Json>(),
            "extra": found.extra.iter().map(|at| content(&self.after[*at])).collect::<Json>(),
            "changed": found.changed.iter().map(changed).collect::<Json>(),
            "reordered": found.reordered.iter().map(reordered).collect::<Json>(),
            "refused": self.refused.iter().map(refused).collect::<Json>(),
            "before": notes(before),
            "after": notes(after),
        })
    }
}

/// How a body that is no event is called.
const NO_EVENT: &str = "(no event)";

fn name(event: &Option<String>) -> String {
    printable(event.as_deref().unwrap_or(NO_EVENT))
}

fn one_sided(kind: &str, item: &Item) -> String {
    let body = shortened(&String::from_utf8_lossy(&item.body));
    format!("{kind:<10} {}  line {}  {body}\n", name(&item.event), item.line)
}

/// Enough of a text to know it by.
fn shortened(text: &str) -> String {
    const ENOUGH: usize = 160;
    let mut shown: String = text.chars().take(ENOUGH).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    printable(&shown)
}
