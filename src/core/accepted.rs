//! Findings that somebody looked at and accepted: a YAML file with what, why, and until when.
//!
//! Nothing is accepted without a reason and an end. What has expired counts again and is told, and so is an entry that
//! matches nothing.

use std::fmt;
use std::str::FromStr;

use super::audit::{Audit, Client, Finding};
use super::diagnostic::{Diagnostic, Place, Problems, did_you_mean};
use super::finding::{self, Kind};
use super::reader::{Entries, owned, text};
use super::yaml::{self, Node, Value};

/// What an entry may say.
const KEYS: [&str; 7] = ["id", "client", "queue", "exchange", "key", "reason", "until"];

/// One accepted finding, or several that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// Its kind.
    pub kind: Kind,
    /// The client's name, the name it gave itself, or its path. `*` stands for any text, here and below.
    pub client: Option<String>,
    /// The queue.
    pub queue: Option<String>,
    /// The exchange.
    pub exchange: Option<String>,
    /// The binding key or routing key.
    pub key: Option<String>,
    /// Why it is accepted.
    pub reason: String,
    /// Until when.
    pub until: Until,
    /// Its node in the file.
    pub node: usize,
}

/// How long a finding is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// For good.
    Never,
    /// To the end of this day.
    Day(Date),
}

/// A day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// What there is to tell of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told<'a> {
    /// The entry.
    pub entry: &'a Accepted,
    /// What is the matter.
    pub matter: Matter,
}

/// What can be the matter with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Matter {
    /// Its day is over; so many findings count again.
    Expired(usize),
    /// No finding is like that.
    MatchesNothing,
}

/// Reads a file of accepted findings.
///
/// # Errors
/// All the mistakes in it, from top to bottom.
pub fn read(source: &str) -> Result<Vec<Accepted>, Vec<Diagnostic>> {
    let root = yaml::parse(source).map_err(|error| {
        let place = error.position.map(|position| Place::at(source, position));
        vec![Diagnostic { message: error.message, place, rule: None, help: error.help }]
    })?;
    let mut problems = Problems::default();
    let entries = match &root.value {
        Value::Null => Vec::new(),
        Value::List(items) => items.iter().filter_map(|item| entry(item, &mut problems)).collect(),
        _ => {
            problems.expected(&root, "a list of accepted findings, each beginning with `- id:`");
            Vec::new()
        }
    };
    if problems.is_empty() { Ok(entries) } else { Err(problems.locate(source)) }
}

fn entry(node: &Node, problems: &mut Problems) -> Option<Accepted> {
    let entries = Entries::of(node, "an accepted finding, beginning with `id:`", &KEYS, problems)?;
    let kind = entries
        .required("id", "name the finding, such as `id: CTI0007`", problems)
        .and_then(|node| Some((node, text(node, "an id such as `CTI0007`", problems)?)))
        .and_then(|(node, id)| {
            let found = finding::by_id(id);
            if found.is_none() {
                let ids = finding::explanations().iter().map(|explanation| explanation.id);
                let help = did_you_mean(id, ids)
                    .unwrap_or_else(|| "`cti-bridge explain --list` shows all of them".into());
                problems.add(node, format!("no finding has the id `{id}`"), help);
            }
            found.map(|explanation| explanation.kind)
        });
    let reason = entries
        .required("reason", "say why this is accepted: whoever comes next will want to know", problems)
        .and_then(|node| text(node, "a reason", problems));
    let until = entries
        .required("until", "say until when: a day such as `until: 2027-06-30`, or `never`", problems)
        .and_then(|node| until(node, problems));
    let mut matcher =
        |name: &str| owned(entries.get(name), "a text, in which `*` stands for any text", problems);
    let (client, queue) = (matcher("client"), matcher("queue"));
    let (exchange, key) = (matcher("exchange"), matcher("key"));
    Some(Accepted {
        kind: kind?,
        client,
        queue,
        exchange,
        key,
        reason: reason?.to_owned(),
        until: until?,
        node: node.id,
    })
}

fn until(node: &Node, problems: &mut Problems) -> Option<Until> {
    let text = text(node, "a day such as `2027-06-30`, or `never`", problems)?;
    if text == "never" {
        return Some(Until::Never);
    }
    let day = text.parse().ok();
    if day.is_none() {
        problems.add(node, format!("`{text}` is no day"), "write it as `2027-06-30`, or `never`".to_owned());
    }
    day.map(Until::Day)
}

/// Marks the findings that are accepted, and tells what is the matter with entries.
pub fn accept<'a>(audit: &mut Audit, accepted: &'a [Accepted], today: Date) -> Vec<Told<'a>> {
    let mut told = Vec::new();
    for entry in accepted {
        let is_over = matches!(entry.until, Until::Day(day) if day < today);
        let mut matched = 0;
        for client in &mut audit.clients {
            let matches: Vec<bool> =
                client.findings.iter().map(|finding| entry.is_about(client, finding)).collect();
            for (finding, _) in client.findings.iter_mut().zip(matches).filter(|(_, is_it)| *is_it) {
                matched += 1;
                if !is_over && finding.accepted.is_none() {
                    finding.accepted = Some(entry.reason.clone());
                }
            }
        }
        let matter = match matched {
            0 => Some(Matter::MatchesNothing),
            count => is_over.then_some(Matter::Expired(count)),
        };
        told.extend(matter.map(|matter| Told { entry, matter }));
    }
    told
}

impl Accepted {
    fn is_about(&self, client: &Client, finding: &Finding) -> bool {
        let fits = |pattern: &Option<String>, text: Option<&str>| match (pattern, text) {
            (None, _) => true,
            (Some(pattern), Some(text)) => is_like(pattern, text),
            (Some(_), None) => false,
        };
        self.kind == finding.kind
            && (fits(&self.client, Some(&client.name)) || fits(&self.client, client.client_name.as_deref()))
            && fits(&self.queue, finding.queue.as_deref())
            && fits(&self.exchange, finding.exchange.as_deref())
            && fits(&self.key, finding.key.as_deref())
    }
}

/// Whether a text is like a pattern in which `*` stands for any text.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(rest) = pieces.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    let mut rest = rest;
    for piece in middle {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

impl Date {
    /// The day with these numbers, if there is one.
    #[must_use]
    pub fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap => 29,
            2 => 28,
            1..=12 => 31,
            _ => 0,
        };
        (1..=days).contains(&day).then_some(Self { year, month, day })
    }
}

impl FromStr for Date {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut number = |digits: usize| {
            let part =
                parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|part| part.parse::<u16>().ok()).ok_or(())
        };
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        let small = |number: u16| u8::try_from(number).map_err(|_| ());
        match parts.next() {
            None => Self::new(year, small(month)?, small(day)?).ok_or(()),
            Some(_) => Err(()),
        }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("never"),
            Self::Day(day) => day.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = "- {id: CTI0007, key: call_*, reason: the bridge runs here, until: 2026-06-30}\n";

    fn message(source: &str) -> String {
        read(source)
            .unwrap_err()
            .iter()
            .map(|mistake| mistake.message.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    }

    #[test]
    fn an_entry_has_an_id_a_reason_and_an_end() {
        let entries = read(ENTRY).unwrap();
        assert_eq!(entries[0].kind, Kind::ServedByBridge);
        assert_eq!(entries[0].until.to_string(), "2026-06-30");
        assert_eq!(message("- {id: CTI0007}"), "no `reason`; no `until`");
        assert_eq!(message("- {id: CTI99, reason: r, until: never}"), "no finding has the id `CTI99`");
        assert_eq!(message("- {id: CTI0007, reason: r, until: 2026-02-30}"), "`2026-02-30` is no day");
        assert_eq!(message("- {id: CTI0007, reason: r, until: never, ke: x}"), "unknown key `ke`");
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, text) in [("a*c", "abc"), ("*", ""), ("a*", "a"), ("*b*", "abc"), ("a*b*c", "a1b2b3c")]
        {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*c", "abd"), ("abc", "abcd"), ("a*a", "a"), ("", "a")] {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn days_are_days() {
        assert!("2028-02-29".parse::<Date>().is_ok() && "2027-02-29".parse::<Date>().is_err());
        for wrong in
            ["2027-6-30", "2027-13-01", "2027-00-10", "2027-06-30-1", "27-06-30", "+027-06-30", "never"]
        {
            assert!(wrong.parse::<Date>().is_err(), "{wrong}");
        }
        assert!(Date::new(2026, 12, 31) < Date::new(2027, 1, 1));
    }
}
